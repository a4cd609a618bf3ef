/* storage/batch.c: the header, and what reads records. */
#include "storage/batch.h"

#include <errno.h>

#include "dataplane/base/endian.h"
#include "storage/batch_stream.h"

/* What decompressing a stored batch may give: it passed mr_batch_validate()'s limit. */
#define OUTPUT_MAX (UINT64_C(1) << 30)

int
mr_batch_header_get(const uint8_t *bytes, struct mr_batch_header *out)
{
    int32_t length = (int32_t)mr_be32_get(bytes + 8);

    if (length < (int32_t)(MR_BATCH_HEADER_SIZE - MR_BATCH_PREFIX_SIZE) ||
        length > (int32_t)(MR_BATCH_SIZE_MAX - MR_BATCH_PREFIX_SIZE)) {
        return -EBADMSG;
    }
    *out = (struct mr_batch_header){
        .base_offset = (int64_t)mr_be64_get(bytes),
        .size = length + (int32_t)MR_BATCH_PREFIX_SIZE,
        .leader_epoch = (int32_t)mr_be32_get(bytes + 12),
        .magic = (int8_t)bytes[16],
        .crc = mr_be32_get(bytes + 17),
        .attributes = (int16_t)mr_be16_get(bytes + 21),
        .last_offset_delta = (int32_t)mr_be32_get(bytes + 23),
        .base_timestamp = (int64_t)mr_be64_get(bytes + 27),
        .max_timestamp = (int64_t)mr_be64_get(bytes + 35),
        .producer_id = (int64_t)mr_be64_get(bytes + 43),
        .producer_epoch = (int16_t)mr_be16_get(bytes + 51),
        .base_sequence = (int32_t)mr_be32_get(bytes + 53),
        .record_count = (int32_t)mr_be32_get(bytes + 57),
    };
    return 0;
}

void
mr_batch_header_put(uint8_t *bytes, const struct mr_batch_header *header)
{
    mr_be64_put(bytes, (uint64_t)header->base_offset);
    mr_be32_put(bytes + 8, (uint32_t)header->size - MR_BATCH_PREFIX_SIZE);
    mr_be32_put(bytes + 12, (uint32_t)header->leader_epoch);
    bytes[16] = (uint8_t)header->magic;
    mr_be32_put(bytes + 17, header->crc);
    mr_be16_put(bytes + 21, (uint16_t)header->attributes);
    mr_be32_put(bytes + 23, (uint32_t)header->last_offset_delta);
    mr_be64_put(bytes + 27, (uint64_t)header->base_timestamp);
    mr_be64_put(bytes + 35, (uint64_t)header->max_timestamp);
    mr_be64_put(bytes + 43, (uint64_t)header->producer_id);
    mr_be16_put(bytes + 51, (uint16_t)header->producer_epoch);
    mr_be32_put(bytes + 53, (uint32_t)header->base_sequence);
    mr_be32_put(bytes + 57, (uint32_t)header->record_count);
}

/* Reads the next record in one piece and gives it its offset and timestamp. */
static int
next_record(struct mr_stream *stream, const struct mr_batch_header *header,
            struct mr_stream_record *out)
{
    struct mr_stream memory;
    const uint8_t *bytes;
    int32_t size;
    int error = mr_stream_varint(stream, &size);

    if (!error && size < 0) {
        error = -EBADMSG;
    }
    if (!error) {
        error = mr_stream_take(stream, (size_t)size, &bytes);
    }
    if (error) {
        return error;
    }
    mr_stream_memory(&memory, bytes, (size_t)size);
    error = mr_stream_record(&memory, (uint32_t)size, out);
    out->record.offset = header->base_offset + out->offset_delta;
    out->record.timestamp =
        header->attributes & MR_BATCH_ATTR_APPEND_TIME
            ? header->max_timestamp
            : (int64_t)((uint64_t)header->base_timestamp + (uint64_t)out->timestamp_delta);
    return error;
}

int
mr_batch_each(const uint8_t *batch, size_t size, struct mr_batch_scratch *scratch,
              int (*each)(void *context, const struct mr_record *record), void *context)
{
    struct iovec iov = {(void *)(uintptr_t)batch, size};
    struct mr_batch_header header;
    struct mr_stream stream;
    int result = 0;

    if (size < MR_BATCH_HEADER_SIZE || mr_batch_header_get(batch, &header) != 0 ||
        (size_t)header.size != size || header.magic != 2) {
        return -EBADMSG;
    }
    if (mr_stream_open(&stream, scratch,
                       (enum mr_batch_codec)(header.attributes & MR_BATCH_ATTR_CODEC), &iov, 1,
                       MR_BATCH_HEADER_SIZE, size, OUTPUT_MAX) != 0) {
        return -EBADMSG;
    }
    for (int32_t i = 0; i < header.record_count && result == 0; i++) {
        struct mr_stream_record record;

        if (next_record(&stream, &header, &record) != 0) {
            return -EBADMSG;
        }
        result = each(context, &record.record);
    }
    return result;
}

struct find {
    int64_t timestamp;
    int64_t found_offset;
    int64_t found_timestamp;
};

static int
find_each(void *context, const struct mr_record *record)
{
    struct find *find = context;

    if (record->timestamp < find->timestamp) {
        return 0;
    }
    find->found_offset = record->offset;
    find->found_timestamp = record->timestamp;
    return 1;
}

int
mr_batch_find_time(const uint8_t *batch, size_t size, struct mr_batch_scratch *scratch,
                   int64_t timestamp_ms, int64_t *offset_out, int64_t *timestamp_out)
{
    struct find find = {.timestamp = timestamp_ms};
    int got = mr_batch_each(batch, size, scratch, find_each, &find);

    if (got < 0) {
        return got;
    }
    if (got == 0) {
        return -ENOENT;
    }
    *offset_out = find.found_offset;
    *timestamp_out = find.found_timestamp;
    return 0;
}
