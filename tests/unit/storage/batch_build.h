/* tests/unit/storage/batch_build.h: builds batches for tests, right ones and wrong ones. */
#ifndef MR_TESTS_UNIT_STORAGE_BATCH_BUILD_H
#define MR_TESTS_UNIT_STORAGE_BATCH_BUILD_H

#include <isa-l/igzip_lib.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <string.h>
#include <zstd.h>

#include "dataplane/base/endian.h"
#include "storage/batch.h"
#include "storage/crc32c.h"
#include "tests/mr_test.h"

#define BUILD_MAX (8u << 20)

struct build {
    uint8_t *bytes; /* the batch: header, then the payload */
    size_t size;
    uint8_t *records; /* plain */
    size_t records_size;
    struct mr_batch_header header;
};

static inline void
build_varlong(uint8_t **at, int64_t value)
{
    uint64_t zigzag = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);

    while (zigzag >= 0x80) {
        *(*at)++ = (uint8_t)(zigzag | 0x80);
        zigzag >>= 7;
    }
    *(*at)++ = (uint8_t)zigzag;
}

/* Appends one record; sizes of -1 are null, key and value are filled with `fill`. */
static inline void
build_record(struct build *build, int64_t timestamp_delta, int32_t offset_delta, int32_t key_size,
             int32_t value_size, uint8_t fill)
{
    uint8_t *body = malloc(64 + (size_t)(key_size > 0 ? key_size : 0) +
                           (size_t)(value_size > 0 ? value_size : 0));
    uint8_t *at = body;
    uint8_t *out = build->records + build->records_size;

    *at++ = 0;
    build_varlong(&at, timestamp_delta);
    build_varlong(&at, offset_delta);
    build_varlong(&at, key_size);
    if (key_size > 0) {
        memset(at, fill, (size_t)key_size);
        at += key_size;
    }
    build_varlong(&at, value_size);
    if (value_size > 0) {
        memset(at, fill, (size_t)value_size);
        at += value_size;
    }
    build_varlong(&at, 1); /* one header: "h" -> null */
    build_varlong(&at, 1);
    *at++ = 'h';
    build_varlong(&at, -1);
    build_varlong(&out, at - body);
    memcpy(out, body, (size_t)(at - body));
    build->records_size = (size_t)(out - build->records) + (size_t)(at - body);
    build->header.record_count++;
    free(body);
}

static inline void
build_init(struct build *build)
{
    *build = (struct build){.bytes = malloc(BUILD_MAX), .records = malloc(BUILD_MAX)};
    build->header = (struct mr_batch_header){.magic = 2,
                                             .leader_epoch = -1,
                                             .base_timestamp = 1000000,
                                             .producer_id = -1,
                                             .producer_epoch = -1,
                                             .base_sequence = -1};
}

static inline void
build_free(struct build *build)
{
    free(build->bytes);
    free(build->records);
}

/* Writes the header, size and CRC over a payload that is in place. */
static inline void
build_seal(struct build *build, size_t payload_size)
{
    build->size = MR_BATCH_HEADER_SIZE + payload_size;
    build->header.size = (int32_t)build->size;
    mr_batch_header_put(build->bytes, &build->header);
    build->header.crc = mr_crc32c(0, build->bytes + 21, build->size - 21);
    mr_be32_put(build->bytes + 17, build->header.crc);
}

static inline size_t
build_gzip(uint8_t *out, const uint8_t *in, size_t size)
{
    struct isal_zstream stream;

    isal_deflate_stateless_init(&stream);
    stream.gzip_flag = IGZIP_GZIP;
    stream.end_of_stream = 1;
    stream.next_in = (uint8_t *)(uintptr_t)in;
    stream.avail_in = (uint32_t)size;
    stream.next_out = out;
    stream.avail_out = BUILD_MAX / 2;
    MR_CHECK_EQ(isal_deflate_stateless(&stream), COMP_OK);
    return stream.total_out;
}

static inline size_t
build_xerial(uint8_t *out, const uint8_t *in, size_t size)
{
    static const uint8_t header[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                       0,    0,   0,   1,   0,   0,   0,   1};
    size_t at = 16;

    memcpy(out, header, 16);
    while (size > 0) {
        size_t piece = size < 32768 ? size : 32768;
        size_t packed = BUILD_MAX / 2;

        MR_CHECK_EQ(snappy_compress((const char *)in, piece, (char *)out + at + 4, &packed), 0);
        mr_be32_put(out + at, (uint32_t)packed);
        at += 4 + packed;
        in += piece;
        size -= piece;
    }
    return at;
}

enum build_how {
    BUILD_NONE,
    BUILD_GZIP,
    BUILD_GZIP_MEMBERS, /* three members one after the other */
    BUILD_SNAPPY_RAW,
    BUILD_SNAPPY_XERIAL,
    BUILD_LZ4,
    BUILD_LZ4_FRAMES,
    BUILD_ZSTD,
    BUILD_ZSTD_FRAMES,
    BUILD_HOW_COUNT,
};

static inline size_t
build_pack(enum build_how how, uint8_t *out, const uint8_t *in, size_t size)
{
    size_t third = size / 3;
    size_t packed = BUILD_MAX / 2;
    enum build_how one = how - 1;

    switch (how) {
    case BUILD_NONE:
        memcpy(out, in, size);
        return size;
    case BUILD_GZIP:
        return build_gzip(out, in, size);
    case BUILD_SNAPPY_RAW:
        MR_CHECK_EQ(snappy_compress((const char *)in, size, (char *)out, &packed), 0);
        return packed;
    case BUILD_SNAPPY_XERIAL:
        return build_xerial(out, in, size);
    case BUILD_LZ4:
        packed = LZ4F_compressFrame(out, BUILD_MAX / 2, in, size, NULL);
        MR_CHECK(!LZ4F_isError(packed));
        return packed;
    case BUILD_ZSTD:
        packed = ZSTD_compress(out, BUILD_MAX / 2, in, size, 3);
        MR_CHECK(!ZSTD_isError(packed));
        return packed;
    default:
        packed = build_pack(one, out, in, third);
        packed += build_pack(one, out + packed, in + third, third);
        return packed + build_pack(one, out + packed, in + 2 * third, size - 2 * third);
    }
}

static inline int
build_codec(enum build_how how)
{
    static const int codecs[] = {0, 1, 1, 2, 2, 3, 3, 4, 4};

    return codecs[how];
}

/* Packs the records and completes the batch. */
static inline void
build_finish(struct build *build, enum build_how how)
{
    build->header.attributes |= (int16_t)build_codec(how);
    build->header.last_offset_delta = build->header.record_count - 1;
    build_seal(build, build_pack(how, build->bytes + MR_BATCH_HEADER_SIZE, build->records,
                                 build->records_size));
}

#endif
