/* storage/recompress.c: the same records in another codec. */
#include "storage/recompress.h"

#include <stdlib.h>
#include <string.h>

#include "storage/batch_stream.h"
#include "storage/compress.h"
#include "storage/crc32c.h"

#define PLAIN_BEGIN (64u * 1024)
#define PLAIN_MAX   (64u * 1024 * 1024)
#define CRC_BEGIN   21u

struct plain {
    uint8_t *bytes;
    size_t size;
    size_t room;
};

static int
plain_add(struct plain *plain, const uint8_t *bytes, size_t size)
{
    while (plain->size + size > plain->room) {
        size_t room = plain->room > 0 ? 2 * plain->room : PLAIN_BEGIN;
        uint8_t *more = realloc(plain->bytes, room);

        if (!more) {
            return -ENOMEM;
        }
        plain->bytes = more;
        plain->room = room;
    }
    memcpy(plain->bytes + plain->size, bytes, size);
    plain->size += size;
    return 0;
}

/* The records without their codec. */
static int
decompress_all(const struct mr_batch *batch, struct mr_batch_scratch *scratch, struct plain *plain)
{
    int codec = batch->header.attributes & MR_BATCH_ATTR_CODEC;
    struct mr_stream stream;
    int result =
        mr_stream_open(&stream, scratch, (enum mr_batch_codec)codec, batch->iov, batch->iov_count,
                       MR_BATCH_HEADER_SIZE, (size_t)batch->header.size, PLAIN_MAX);

    while (result == 0 && (result = mr_stream_fill(&stream)) == 1) {
        size_t size = (size_t)(stream.end - stream.at);

        result = plain_add(plain, stream.at, size);
        result = result ? result : mr_stream_skip(&stream, size);
    }
    return result;
}

/* Fills `out`; -ENOMEM. */
static int
compress_all(const struct mr_batch *batch, enum mr_batch_codec codec, const struct plain *plain,
             struct mr_batch_recompressed *out)
{
    struct mr_batch_header header = batch->header;
    size_t room = mr_compress_bound(codec, plain->size);
    size_t made;

    out->bytes = malloc(MR_BATCH_HEADER_SIZE + room);
    made = out->bytes ? mr_compress(codec, plain->bytes, plain->size,
                                    out->bytes + MR_BATCH_HEADER_SIZE, room)
                      : 0;
    if (made == 0) {
        return -ENOMEM;
    }
    header.attributes = (int16_t)((header.attributes & ~MR_BATCH_ATTR_CODEC) | (int)codec);
    header.size = (int32_t)(MR_BATCH_HEADER_SIZE + made);
    mr_batch_header_put(out->bytes, &header);
    header.crc = mr_crc32c(0, out->bytes + CRC_BEGIN, (size_t)header.size - CRC_BEGIN);
    out->header = header;
    out->iov = (struct iovec){out->bytes, (size_t)header.size};
    return 0;
}

enum mr_kafka_err
mr_batch_recompress(struct mr_batch *batch, enum mr_batch_codec codec,
                    const struct mr_batch_rules *rules, struct mr_batch_scratch *scratch,
                    struct mr_batch_recompressed *out)
{
    struct plain plain = {0};
    int error = decompress_all(batch, scratch, &plain);

    out->bytes = NULL;
    error = error ? error : compress_all(batch, codec, &plain, out);
    free(plain.bytes);
    if (error) {
        return error == -EFBIG ? MR_KAFKA_MESSAGE_TOO_LARGE : MR_KAFKA_KAFKA_STORAGE_ERROR;
    }
    if (out->header.size > rules->size_max) {
        return MR_KAFKA_MESSAGE_TOO_LARGE;
    }
    if (out->header.size > rules->segment_size_max) {
        return MR_KAFKA_RECORD_LIST_TOO_LARGE;
    }
    batch->header = out->header;
    batch->iov = &out->iov;
    batch->iov_count = 1;
    return MR_KAFKA_NONE;
}

void
mr_batch_recompressed_free(struct mr_batch_recompressed *recompressed)
{
    free(recompressed->bytes);
    recompressed->bytes = NULL;
}
