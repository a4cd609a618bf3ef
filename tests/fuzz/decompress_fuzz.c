/* tests/fuzz/decompress_fuzz.c: any bytes as a compressed payload, in one and in two slices, give
 * the same bytes, stay under the limit, and end. */
#include <stdlib.h>

#include "storage/batch_stream.h"
#include "storage/crc32c.h"

#define OUTPUT_MAX (UINT64_C(1) << 22)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* 0 or an error; the CRC and size of what came out. */
static int
drain(struct mr_batch_scratch *scratch, enum mr_batch_codec codec, const struct iovec *iov,
      unsigned iov_count, size_t size, uint32_t *crc, uint64_t *total)
{
    struct mr_stream stream;
    int got = mr_stream_open(&stream, scratch, codec, iov, iov_count, 0, size, OUTPUT_MAX);

    *crc = 0;
    *total = 0;
    while (got >= 0 && (got = mr_stream_fill(&stream)) == 1) {
        *crc = mr_crc32c(*crc, stream.at, (size_t)(stream.end - stream.at));
        *total += (uint64_t)(stream.end - stream.at);
        stream.at = stream.end;
    }
    if (*total > OUTPUT_MAX) {
        abort();
    }
    return got;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mr_batch_scratch *scratch;
    struct iovec whole, halves[2];
    enum mr_batch_codec codec;
    uint32_t crc_a, crc_b;
    uint64_t total_a, total_b;

    if (!scratch) {
        scratch = mr_batch_scratch_create();
    }
    if (size < 2) {
        return 0;
    }
    codec = (enum mr_batch_codec)(data[0] % 5);
    whole = (struct iovec){(void *)(uintptr_t)(data + 1), size - 1};
    halves[0] = (struct iovec){whole.iov_base, (size - 1) / 2};
    halves[1] =
        (struct iovec){(uint8_t *)whole.iov_base + halves[0].iov_len, size - 1 - halves[0].iov_len};
    if (drain(scratch, codec, &whole, 1, size - 1, &crc_a, &total_a) == 0) {
        if (drain(scratch, codec, halves, 2, size - 1, &crc_b, &total_b) != 0 || crc_a != crc_b ||
            total_a != total_b) {
            abort();
        }
    }
    return 0;
}
