/* bench/load/payload.h: the record batch that every Produce request of a run carries.
 *
 * The records are encoded once and shared by all connections and threads. What differs between
 * requests stands in the 61-byte header, whose CRC is combined from the header's own bytes and the
 * records' CRC, so that the records are never read again. */
#ifndef MR_BENCH_LOAD_PAYLOAD_H
#define MR_BENCH_LOAD_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>

#include "bench/load/options.h"
#include "storage/batch.h"

struct load_payload {
    uint8_t *batch; /* header, then records */
    size_t size;
    uint32_t records_crc;
    struct mr_batch_header header;
};

/* Builds the batch; -EMSGSIZE where it would pass MR_BATCH_SIZE_MAX or not one record fits. */
int load_payload_build(struct load_payload *payload, const struct load_options *options);

void load_payload_free(struct load_payload *payload);

/* Writes the header of one request to `out`, MR_BATCH_HEADER_SIZE bytes. `producer_id` may be
 * MR_BATCH_NO_PRODUCER; then epoch and sequence are -1. */
void load_payload_header(const struct load_payload *payload, int64_t timestamp_ms,
                         int64_t producer_id, int16_t producer_epoch, int32_t sequence,
                         uint8_t *out);

#endif
