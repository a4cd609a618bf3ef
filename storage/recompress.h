/* storage/recompress.h: a producer's batch in the codec that its topic wants (compression.type).
 *
 * Pure but for memory: at most 64 MiB of records and what they are compressed to, until the result
 * is freed. Thread: the scratch's. */
#ifndef MR_STORAGE_RECOMPRESS_H
#define MR_STORAGE_RECOMPRESS_H

#include "storage/batch.h"

struct mr_batch_recompressed {
    struct mr_batch_header header;
    struct iovec iov;
    uint8_t *bytes; /* NULL: none */
};

/* Brings a batch that mr_batch_validate() has passed into another codec; its records, offsets and
 * sequences stay. `batch` borrows from `out` then, which is freed after an error as well.
 * MESSAGE_TOO_LARGE: it is larger than max.message.bytes now, or holds more than 64 MiB;
 * RECORD_LIST_TOO_LARGE: than segment.bytes; KAFKA_STORAGE_ERROR: no memory. */
enum mr_kafka_err mr_batch_recompress(struct mr_batch *batch, enum mr_batch_codec codec,
                                      const struct mr_batch_rules *rules,
                                      struct mr_batch_scratch *scratch,
                                      struct mr_batch_recompressed *out);

void mr_batch_recompressed_free(struct mr_batch_recompressed *recompressed);

#endif
