/* tests/fuzz/batch_fuzz.c: any bytes as the batch of a Produce request, with a right CRC.
 *
 * The first byte chooses the rules. What validation accepts must read back: as many records as it
 * counts, with a stored CRC that is right. */
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/endian.h"
#include "storage/batch.h"
#include "storage/crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
count_each(void *context, const struct mr_record *record)
{
    int32_t *count = context;

    if (record->offset != *count) {
        abort();
    }
    ++*count;
    return 0;
}

static void
check_accepted(uint8_t *bytes, size_t size, struct mr_batch_scratch *scratch,
               const struct mr_batch *batch)
{
    int32_t count = 0;

    mr_batch_header_put(bytes, &batch->header);
    if (mr_crc32c(0, bytes + 21, size - 21) != batch->header.crc ||
        mr_batch_each(bytes, size, scratch, count_each, &count) != 0 ||
        count != batch->header.record_count) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mr_batch_scratch *scratch;
    struct mr_batch_rules rules = {.size_max = 65536,
                                   .segment_size_max = 1 << 20,
                                   .now_ms = 1700000000000,
                                   .timestamp_before_ms = INT64_MAX,
                                   .timestamp_after_ms = INT64_MAX};
    struct mr_batch_refusal refusal;
    struct mr_batch batch;
    struct iovec iov[2];
    uint8_t *bytes;
    size_t cut;

    if (!scratch) {
        scratch = mr_batch_scratch_create();
    }
    if (size < 1 + MR_BATCH_HEADER_SIZE) {
        return 0;
    }
    rules.append_time = data[0] & 1;
    rules.keys_required = data[0] & 2;
    rules.zstd_allowed = data[0] & 4;
    rules.transactional_allowed = data[0] & 8;
    size--;
    bytes = malloc(size);
    memcpy(bytes, data + 1, size);
    mr_be32_put(bytes + 8, (uint32_t)size - MR_BATCH_PREFIX_SIZE);
    mr_be32_put(bytes + 17, mr_crc32c(0, bytes + 21, size - 21));
    cut = (size_t)data[0] * size / 256;
    iov[0] = (struct iovec){bytes, cut};
    iov[1] = (struct iovec){bytes + cut, size - cut};
    if (mr_batch_validate(iov, 2, size, &rules, scratch, &batch, &refusal) == MR_KAFKA_NONE) {
        check_accepted(bytes, size, scratch, &batch);
    }
    free(bytes);
    return 0;
}
