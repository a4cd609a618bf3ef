/* tests/sim/sim_batch.c: a batch encoder and CRC of the oracle's own. */
#include "tests/sim/sim_batch.h"

#include <stdlib.h>
#include <string.h>

static void
put(uint8_t **at, uint64_t value, unsigned bytes)
{
    while (bytes-- > 0) {
        *(*at)++ = (uint8_t)(value >> (8 * bytes));
    }
}

uint32_t
sim_get32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

uint64_t
sim_get64(const uint8_t *bytes)
{
    return (uint64_t)sim_get32(bytes) << 32 | sim_get32(bytes + 4);
}

/* A loop of its own over an instruction of the baseline
 * (x86-64-v2); the store has a library for it. */
__attribute__((target("sse4.2"))) uint32_t
sim_crc32c(const uint8_t *bytes, size_t size)
{
    uint64_t crc = UINT32_MAX;

    for (; size >= 8; size -= 8, bytes += 8) {
        uint64_t word;

        memcpy(&word, bytes, 8);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    while (size-- > 0) {
        crc = __builtin_ia32_crc32qi((uint32_t)crc, *bytes++);
    }
    return ~(uint32_t)crc;
}

static void
put_varint(uint8_t **at, int64_t value)
{
    uint64_t zigzag = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);

    while (zigzag >= 128) {
        *(*at)++ = (uint8_t)(zigzag | 128);
        zigzag >>= 7;
    }
    *(*at)++ = (uint8_t)zigzag;
}

static unsigned
varint_size(int64_t value)
{
    uint8_t bytes[10];
    uint8_t *at = bytes;

    put_varint(&at, value);
    return (unsigned)(at - bytes);
}

/* One record with a null key and `value_size` random bytes. */
static void
put_record(struct mr_rng *rng, uint8_t **at, int64_t timestamp_delta, int32_t index,
           uint32_t value_size)
{
    uint64_t word = mr_rng_next(rng);

    put_varint(at, 1 + varint_size(timestamp_delta) + varint_size(index) + 1 +
                       varint_size(value_size) + value_size + 1);
    *(*at)++ = 0;
    put_varint(at, timestamp_delta);
    put_varint(at, index);
    put_varint(at, -1);
    put_varint(at, value_size);
    for (; value_size >= 8; value_size -= 8) {
        memcpy(*at, &word, 8);
        *at += 8;
        word += UINT64_C(0x9E3779B97F4A7C15); /* no two blocks of it are the same */
    }
    memcpy(*at, &word, value_size);
    *at += value_size;
    *(*at)++ = 0;
}

static void
put_header(struct sim_batch *batch, uint8_t *at)
{
    put(&at, 0, 8);
    put(&at, batch->size - 12, 4);
    put(&at, UINT32_MAX, 4);
    put(&at, 2, 1);
    put(&at, 0, 4);
    put(&at, (uint16_t)batch->attributes, 2);
    put(&at, (uint64_t)batch->count - 1, 4);
    put(&at, (uint64_t)batch->base_timestamp, 8);
    put(&at, (uint64_t)batch->max_timestamp, 8);
    put(&at, (uint64_t)batch->producer_id, 8);
    put(&at, (uint16_t)batch->producer_epoch, 2);
    put(&at, (uint32_t)batch->sequence, 4);
    put(&at, (uint32_t)batch->count, 4);
    batch->crc = sim_crc32c(batch->bytes + 21, batch->size - 21);
    at = batch->bytes + 17;
    put(&at, batch->crc, 4);
}

struct sim_batch *
sim_batch_make(struct mr_rng *rng, uint32_t size, int64_t timestamp, bool append_time,
               int64_t producer_id, int16_t producer_epoch, int32_t sequence)
{
    struct sim_batch *batch = calloc(1, sizeof(*batch));
    uint32_t value_size;
    uint8_t *at;

    batch->refs = 1;
    batch->base_offset = -1;
    batch->producer_id = producer_id;
    batch->producer_epoch = producer_epoch;
    batch->sequence = sequence;
    batch->attributes = append_time ? 8 : 0;
    batch->count = size < 150 ? 1 : 1 + (int32_t)mr_rng_below(rng, SIM_RECORDS_MAX);
    batch->base_timestamp = timestamp;
    batch->max_timestamp = timestamp;
    value_size = size > 70 ? (size - 70) / (uint32_t)batch->count : 0;
    batch->bytes = malloc(SIM_HEADER_SIZE + ((size_t)value_size + 32) * (size_t)batch->count);
    at = batch->bytes + SIM_HEADER_SIZE;
    for (int32_t i = 0; i < batch->count; i++) {
        int64_t delta = (int64_t)mr_rng_below(rng, 200) - 50;

        put_record(rng, &at, delta, i, value_size);
        batch->timestamps[i] = timestamp + delta;
        if (!append_time && (i == 0 || batch->timestamps[i] > batch->max_timestamp)) {
            batch->max_timestamp = batch->timestamps[i];
        }
    }
    for (int32_t i = 0; append_time && i < batch->count; i++) {
        batch->timestamps[i] = timestamp;
    }
    batch->size = (uint32_t)(at - batch->bytes);
    put_header(batch, batch->bytes);
    return batch;
}

void
sim_batch_unref(struct sim_batch *batch)
{
    if (batch && --batch->refs == 0) {
        free(batch->bytes);
        free(batch);
    }
}

bool
sim_batch_equal(const struct sim_batch *batch, const uint8_t *bytes, int64_t base_offset,
                int32_t leader_epoch)
{
    return sim_get64(bytes) == (uint64_t)base_offset && sim_get32(bytes + 8) == batch->size - 12 &&
           sim_get32(bytes + 12) == (uint32_t)leader_epoch &&
           memcmp(bytes + 16, batch->bytes + 16, batch->size - 16) == 0;
}
