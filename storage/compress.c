/* storage/compress.c: compression, and batches without some of their records. */
#include "storage/compress.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "dataplane/base/endian.h"
#include "storage/crc32c.h"

#define CRC_BEGIN      21u
#define PLAIN_MAX      (64u * 1024 * 1024) /* a batch that holds more stays as it is */
#define XERIAL_HEADER  16u
#define XERIAL_BLOCK   (32u * 1024)
#define ZSTD_LEVEL     3
#define RECORD_FIXED   32u /* attributes and the varints of a record, at most */
#define FRAME_OVERHEAD 64u

/* ---- codecs ---------------------------------------------------------------------------------- */

size_t
mr_compress_bound(enum mr_batch_codec codec, size_t size)
{
    size_t blocks = size / XERIAL_BLOCK + 1;

    switch (codec) {
    case MR_BATCH_CODEC_GZIP:
        return size + blocks * FRAME_OVERHEAD + FRAME_OVERHEAD;
    case MR_BATCH_CODEC_SNAPPY:
        return XERIAL_HEADER + blocks * (4 + snappy_max_compressed_length(XERIAL_BLOCK));
    case MR_BATCH_CODEC_LZ4:
        return LZ4F_compressFrameBound(size, NULL);
    case MR_BATCH_CODEC_ZSTD:
        return ZSTD_compressBound(size);
    case MR_BATCH_CODEC_NONE:
        break;
    }
    return size;
}

static size_t
compress_gzip(const uint8_t *in, size_t size, uint8_t *out, size_t out_max)
{
    struct isal_zstream *stream = malloc(sizeof(*stream));
    size_t made = 0;

    if (!stream || size > UINT32_MAX || out_max > UINT32_MAX) {
        free(stream);
        return 0;
    }
    isal_deflate_stateless_init(stream);
    stream->gzip_flag = IGZIP_GZIP;
    stream->end_of_stream = 1;
    stream->next_in = (uint8_t *)(uintptr_t)in;
    stream->avail_in = (uint32_t)size;
    stream->next_out = out;
    stream->avail_out = (uint32_t)out_max;
    if (isal_deflate_stateless(stream) == COMP_OK) {
        made = stream->total_out;
    }
    free(stream);
    return made;
}

static size_t
compress_snappy(const uint8_t *in, size_t size, uint8_t *out, size_t out_max)
{
    static const uint8_t header[XERIAL_HEADER] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                                  0,    0,   0,   1,   0,   0,   0,   1};
    size_t at = sizeof(header);

    if (out_max < mr_compress_bound(MR_BATCH_CODEC_SNAPPY, size)) {
        return 0;
    }
    memcpy(out, header, sizeof(header));
    while (size > 0) {
        size_t n = size < XERIAL_BLOCK ? size : XERIAL_BLOCK;
        size_t made = out_max - at - 4;

        if (snappy_compress((const char *)in, n, (char *)out + at + 4, &made) != SNAPPY_OK) {
            return 0;
        }
        mr_be32_put(out + at, (uint32_t)made);
        at += 4 + made;
        in += n;
        size -= n;
    }
    return at;
}

size_t
mr_compress(enum mr_batch_codec codec, const uint8_t *in, size_t size, uint8_t *out, size_t out_max)
{
    size_t made = 0;

    switch (codec) {
    case MR_BATCH_CODEC_NONE:
        made = size <= out_max ? size : 0;
        memcpy(out, in, made);
        return made;
    case MR_BATCH_CODEC_GZIP:
        return compress_gzip(in, size, out, out_max);
    case MR_BATCH_CODEC_SNAPPY:
        return compress_snappy(in, size, out, out_max);
    case MR_BATCH_CODEC_LZ4: {
        LZ4F_preferences_t preferences = {.frameInfo.blockMode = LZ4F_blockIndependent};

        made = LZ4F_compressFrame(out, out_max, in, size, &preferences);
        return LZ4F_isError(made) ? 0 : made;
    }
    case MR_BATCH_CODEC_ZSTD:
        made = ZSTD_compress(out, out_max, in, size, ZSTD_LEVEL);
        return ZSTD_isError(made) ? 0 : made;
    }
    return 0;
}

/* ---- filter ---------------------------------------------------------------------------------- */

static bool
grow(uint8_t **bytes, size_t *have, size_t want)
{
    uint8_t *more;

    if (want <= *have) {
        return true;
    }
    want = want < 2 * *have ? 2 * *have : want;
    more = realloc(*bytes, want);
    if (more) {
        *bytes = more;
        *have = want;
    }
    return more != NULL;
}

void
mr_batch_filter_deinit(struct mr_batch_filter *filter)
{
    free(filter->plain);
    free(filter->out);
    filter->plain = filter->out = NULL;
    filter->plain_max = filter->out_max = 0;
}

static uint8_t *
put_varint(uint8_t *at, int64_t value)
{
    uint64_t zigzag = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);

    while (zigzag >= 128) {
        *at++ = (uint8_t)(zigzag | 128);
        zigzag >>= 7;
    }
    *at++ = (uint8_t)zigzag;
    return at;
}

static uint8_t *
put_bytes(uint8_t *at, const uint8_t *bytes, int32_t size)
{
    at = put_varint(at, bytes ? size : -1);
    if (bytes && size > 0) {
        memcpy(at, bytes, (size_t)size);
        at += size;
    }
    return at;
}

static int
count_each(void *context, const struct mr_record *record)
{
    struct mr_batch_filter *filter = context;

    if (filter->keep(filter->context, record)) {
        filter->kept++;
        filter->tombstones += record->value == NULL;
    }
    return 0;
}

/* One kept record, encoded again: its deltas are against what the header says now. */
static int
build_each(void *context, const struct mr_record *record)
{
    struct mr_batch_filter *filter = context;
    size_t size = RECORD_FIXED + (record->key ? (size_t)record->key_size : 0) +
                  (record->value ? (size_t)record->value_size : 0) + (size_t)record->headers_size;
    uint8_t head[10], *body, *at;
    size_t head_size;

    if (!filter->keep(filter->context, record)) {
        return 0;
    }
    if (!grow(&filter->plain, &filter->plain_max, filter->plain_size + size + sizeof(head))) {
        filter->failed = true;
        return 1;
    }
    body = filter->plain + filter->plain_size + sizeof(head); /* its length comes in front */
    at = body;
    *at++ = 0;
    at = put_varint(at, (int64_t)((uint64_t)record->timestamp - (uint64_t)filter->base_timestamp));
    at = put_varint(at, record->offset - filter->base_offset);
    at = put_bytes(at, record->key, record->key_size);
    at = put_bytes(at, record->value, record->value_size);
    memcpy(at, record->headers, (size_t)record->headers_size);
    at += record->headers_size;
    head_size = (size_t)(put_varint(head, at - body) - head);
    memcpy(filter->plain + filter->plain_size, head, head_size);
    memmove(filter->plain + filter->plain_size + head_size, body, (size_t)(at - body));
    filter->plain_size += head_size + (size_t)(at - body);
    if (filter->max_timestamp < record->timestamp) {
        filter->max_timestamp = record->timestamp;
    }
    return filter->plain_size > PLAIN_MAX ? 1 : 0;
}

static void
seal(struct mr_batch_filter *filter, struct mr_batch_header *header, size_t size)
{
    header->size = (int32_t)size;
    header->record_count = filter->kept;
    mr_batch_header_put(filter->out, header);
    header->crc = mr_crc32c(0, filter->out + CRC_BEGIN, size - CRC_BEGIN);
    mr_batch_header_put(filter->out, header);
    filter->bytes = filter->out;
    filter->size = size;
}

static int
build(struct mr_batch_filter *filter, struct mr_batch_header *header, const uint8_t *batch,
      size_t size, struct mr_batch_scratch *scratch)
{
    enum mr_batch_codec codec = (enum mr_batch_codec)(header->attributes & MR_BATCH_ATTR_CODEC);
    size_t max, made;

    filter->plain_size = 0;
    filter->failed = false;
    filter->base_offset = header->base_offset;
    filter->base_timestamp = header->base_timestamp;
    filter->max_timestamp = INT64_MIN;
    if (mr_batch_each(batch, size, scratch, build_each, filter) != 0) {
        return filter->failed ? -ENOMEM : MR_BATCH_SAME;
    }
    max = mr_compress_bound(codec, filter->plain_size);
    if (!grow(&filter->out, &filter->out_max, MR_BATCH_HEADER_SIZE + max)) {
        return -ENOMEM;
    }
    made = mr_compress(codec, filter->plain, filter->plain_size, filter->out + MR_BATCH_HEADER_SIZE,
                       max);
    if (made == 0 || made > MR_BATCH_SIZE_MAX - MR_BATCH_HEADER_SIZE) {
        return MR_BATCH_SAME;
    }
    if (!(header->attributes & MR_BATCH_ATTR_APPEND_TIME)) {
        header->max_timestamp = filter->max_timestamp;
    }
    seal(filter, header, MR_BATCH_HEADER_SIZE + made);
    return MR_BATCH_CHANGED;
}

int
mr_batch_filter(struct mr_batch_filter *filter, const uint8_t *batch, size_t size,
                struct mr_batch_scratch *scratch)
{
    struct mr_batch_header header;
    bool sets_horizon;
    int result;

    filter->kept = filter->tombstones = 0;
    filter->horizon_now = INT64_MAX;
    if (size < MR_BATCH_HEADER_SIZE || mr_batch_header_get(batch, &header) ||
        mr_batch_each(batch, size, scratch, count_each, filter) != 0) {
        return -EBADMSG;
    }
    sets_horizon = filter->tombstones > 0 && !(header.attributes & MR_BATCH_ATTR_HORIZON) &&
                   filter->horizon != INT64_MIN;
    if (filter->kept == 0) {
        if (!grow(&filter->out, &filter->out_max, MR_BATCH_HEADER_SIZE)) {
            return -ENOMEM;
        }
        header.attributes &= (int16_t)~MR_BATCH_ATTR_CODEC; /* no bytes are no frame of a codec */
        seal(filter, &header, MR_BATCH_HEADER_SIZE);
        return MR_BATCH_EMPTY;
    }
    if (filter->kept == header.record_count && !sets_horizon) {
        result = MR_BATCH_SAME;
    } else {
        if (sets_horizon) {
            header.attributes |= MR_BATCH_ATTR_HORIZON;
            header.base_timestamp = filter->horizon;
        }
        result = build(filter, &header, batch, size, scratch);
        if (result == MR_BATCH_SAME) {
            mr_batch_header_get(batch, &header);
        }
    }
    if (result >= 0 && filter->tombstones > 0 && (header.attributes & MR_BATCH_ATTR_HORIZON)) {
        filter->horizon_now = header.base_timestamp;
    }
    return result;
}
