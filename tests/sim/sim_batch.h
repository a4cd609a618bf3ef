/* tests/sim/sim_batch.h: RecordBatch v2 as the simulator's oracle builds and judges it, without any
 * code of storage/. */
#ifndef MR_TESTS_SIM_SIM_BATCH_H
#define MR_TESTS_SIM_SIM_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/rng.h"

#define SIM_RECORDS_MAX 6
#define SIM_HEADER_SIZE 61u

/* A batch and everything that was ever asserted about it. */
struct sim_batch {
    uint8_t *bytes; /* as the log must store it, but for base offset and leader epoch */
    uint32_t size;
    uint32_t crc;
    int32_t count;
    int64_t producer_id; /* -1: none */
    int16_t producer_epoch;
    int32_t sequence;
    int16_t attributes;
    int64_t base_timestamp;
    int64_t max_timestamp;
    int64_t timestamps[SIM_RECORDS_MAX];

    int64_t base_offset; /* -1: not acknowledged */
    int32_t leader_epoch;
    unsigned refs;
};

/* A batch of about `size` bytes. `append_time`: LogAppendTime, with `timestamp`. */
struct sim_batch *sim_batch_make(struct mr_rng *rng, uint32_t size, int64_t timestamp,
                                 bool append_time, int64_t producer_id, int16_t producer_epoch,
                                 int32_t sequence);

void sim_batch_unref(struct sim_batch *batch);

/* Whether `bytes` are this batch at that place in a log. */
bool sim_batch_equal(const struct sim_batch *batch, const uint8_t *bytes, int64_t base_offset,
                     int32_t leader_epoch);

uint32_t sim_crc32c(const uint8_t *bytes, size_t size);
uint32_t sim_get32(const uint8_t *bytes);
uint64_t sim_get64(const uint8_t *bytes);

#endif
