/* storage/compress.h: what compaction writes: a batch without some of its records.
 *
 * Pure but for memory. Thread: any; a filter belongs to one. */
#ifndef MR_STORAGE_COMPRESS_H
#define MR_STORAGE_COMPRESS_H

#include "storage/batch.h"

/* Compresses as Kafka's clients read it: gzip with one member, snappy in xerial's framing, lz4 as
 * one frame of independent blocks, zstd as one frame. Returns the size, 0 where `out` is too small
 * or memory is missing. */
size_t mr_compress(enum mr_batch_codec codec, const uint8_t *in, size_t size, uint8_t *out,
                   size_t out_max);

/* The most that mr_compress() makes of `size` bytes. */
size_t mr_compress_bound(enum mr_batch_codec codec, size_t size);

struct mr_batch_filter {
    bool (*keep)(void *context, const struct mr_record *record); /* asked twice: must not change */
    void *context;
    int64_t
        horizon; /* where a kept record is a tombstone and the batch has none; INT64_MIN: none */

    /* Out, valid until the next call. */
    const uint8_t *bytes;
    size_t size;
    int32_t kept, tombstones; /* records */
    int64_t horizon_now;      /* of the batch as it is now; INT64_MAX: it has none */

    /* Private; zero at first. */
    uint8_t *plain, *out;
    size_t plain_max, out_max, plain_size;
    int64_t base_offset, base_timestamp, max_timestamp;
    bool failed;
};

enum mr_batch_filtered {
    MR_BATCH_SAME,    /* every record stays (or the batch cannot be made smaller): as it was */
    MR_BATCH_CHANGED, /* `bytes` come instead: the same offsets, sequences and codec */
    MR_BATCH_EMPTY,   /* no record stays: `bytes` are the batch without records */
};

/* Filters one whole batch that lies in contiguous memory. Base and last offset, producer fields,
 * leader epoch and codec stay; a batch with tombstones gets a delete horizon (attribute bit 6, the
 * base timestamp names it) as in Apache Kafka. Returns enum mr_batch_filtered, -EBADMSG, -ENOMEM.
 */
int mr_batch_filter(struct mr_batch_filter *filter, const uint8_t *batch, size_t size,
                    struct mr_batch_scratch *scratch);

void mr_batch_filter_deinit(struct mr_batch_filter *filter);

#endif
