#include "bench/load/payload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/endian.h"
#include "dataplane/base/rng.h"
#include "storage/crc32c.h"

#define CRC_AT        17
#define CRC_BEGIN     21
#define RECORD_HEADER 32 /* an upper bound for what a record has beside its value */
#define SEED          1

static void
put_varint(uint8_t **at, int32_t value)
{
    uint32_t zigzag = (uint32_t)value << 1 ^ (uint32_t)(value >> 31);

    while (zigzag >= 0x80) {
        *(*at)++ = (uint8_t)(zigzag | 0x80);
        zigzag >>= 7;
    }
    *(*at)++ = (uint8_t)zigzag;
}

/* One record: no key, random bytes as value, no headers. */
static void
put_record(uint8_t **at, int32_t offset_delta, int32_t value_size, struct mr_rng *rng)
{
    uint8_t head[RECORD_HEADER];
    uint8_t *head_end = head;

    *head_end++ = 0; /* attributes */
    put_varint(&head_end, 0);
    put_varint(&head_end, offset_delta);
    put_varint(&head_end, -1);
    put_varint(&head_end, value_size);
    put_varint(at, (int32_t)(head_end - head) + value_size + 1);
    memcpy(*at, head, (size_t)(head_end - head));
    *at += head_end - head;
    for (int32_t i = 0; i < value_size; i++) {
        *(*at)++ = (uint8_t)mr_rng_next(rng);
    }
    put_varint(at, 0);
}

int
load_payload_build(struct load_payload *payload, const struct load_options *options)
{
    size_t record_max = (size_t)options->record_size + RECORD_HEADER;
    size_t limit = options->batch_bytes > 0 ? (size_t)options->batch_bytes : MR_BATCH_SIZE_MAX;
    uint8_t *at, *record;
    struct mr_rng rng;
    int32_t count = 0;

    *payload = (struct load_payload){.batch = malloc(limit + record_max)};
    if (!payload->batch) {
        return -ENOMEM;
    }
    mr_rng_init(&rng, SEED);
    at = payload->batch + MR_BATCH_HEADER_SIZE;
    while (options->batch_bytes > 0 || count < options->records_per_batch) {
        record = at;
        put_record(&at, count, options->record_size, &rng);
        if ((size_t)(at - payload->batch) > limit) {
            at = record;
            break;
        }
        count++;
    }
    payload->size = (size_t)(at - payload->batch);
    if (count == 0 || (options->batch_bytes == 0 && count < options->records_per_batch)) {
        load_payload_free(payload);
        return -EMSGSIZE;
    }
    payload->records_crc =
        mr_crc32c(0, payload->batch + MR_BATCH_HEADER_SIZE, payload->size - MR_BATCH_HEADER_SIZE);
    payload->header = (struct mr_batch_header){.size = (int32_t)payload->size,
                                               .leader_epoch = -1,
                                               .magic = 2,
                                               .last_offset_delta = count - 1,
                                               .record_count = count};
    return 0;
}

void
load_payload_free(struct load_payload *payload)
{
    free(payload->batch);
    payload->batch = NULL;
}

void
load_payload_header(const struct load_payload *payload, int64_t timestamp_ms, int64_t producer_id,
                    int16_t producer_epoch, int32_t sequence, uint8_t *out)
{
    struct mr_batch_header header = payload->header;
    bool numbered = producer_id != MR_BATCH_NO_PRODUCER;
    uint32_t crc;

    header.base_timestamp = timestamp_ms;
    header.max_timestamp = timestamp_ms;
    header.producer_id = producer_id;
    header.producer_epoch = numbered ? producer_epoch : -1;
    header.base_sequence = numbered ? sequence : -1;
    mr_batch_header_put(out, &header);
    crc = mr_crc32c(0, out + CRC_BEGIN, MR_BATCH_HEADER_SIZE - CRC_BEGIN);
    crc = mr_crc32c_combine(crc, payload->records_crc, payload->size - MR_BATCH_HEADER_SIZE);
    mr_be32_put(out + CRC_AT, crc);
}
