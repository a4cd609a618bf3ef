/* storage/batch.h: RecordBatch v2: parsing, validation, iteration.
 *
 * A batch as it travels and as it lies in the log (all big-endian; Kafka documentation, "Record
 * Batch"; KIP-98):
 *
 *    0 baseOffset i64            27 baseTimestamp i64
 *    8 batchLength i32 (after 12) 35 maxTimestamp i64
 *   12 partitionLeaderEpoch i32  43 producerId i64
 *   16 magic i8 = 2              51 producerEpoch i16
 *   17 crc u32 of [21, end)      53 baseSequence i32
 *   21 attributes i16            57 recordCount i32
 *   23 lastOffsetDelta i32       61 records
 *
 * Pure: no I/O, no clock but what the caller passes. Any thread; a scratch belongs to one. Bytes
 * come from a peer or a disk: nothing here asserts on them. */
#ifndef MR_STORAGE_BATCH_H
#define MR_STORAGE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "dataplane/base/kafka_err.h"

#define MR_BATCH_HEADER_SIZE 61u
#define MR_BATCH_PREFIX_SIZE 12u                 /* baseOffset and batchLength */
#define MR_BATCH_SIZE_MAX    (16u * 1024 * 1024) /* no topic may allow more */
#define MR_BATCH_NO_PRODUCER (-1)

enum mr_batch_codec {
    MR_BATCH_CODEC_NONE = 0,
    MR_BATCH_CODEC_GZIP = 1,
    MR_BATCH_CODEC_SNAPPY = 2,
    MR_BATCH_CODEC_LZ4 = 3,
    MR_BATCH_CODEC_ZSTD = 4,
};

#define MR_BATCH_ATTR_CODEC         0x07
#define MR_BATCH_ATTR_APPEND_TIME   0x08
#define MR_BATCH_ATTR_TRANSACTIONAL 0x10
#define MR_BATCH_ATTR_CONTROL       0x20
#define MR_BATCH_ATTR_HORIZON       0x40

struct mr_batch_header {
    int64_t base_offset;
    int32_t size; /* of the whole batch: batchLength + 12 */
    int32_t leader_epoch;
    int8_t magic;
    uint32_t crc;
    int16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp;
    int64_t max_timestamp;
    int64_t producer_id; /* MR_BATCH_NO_PRODUCER: none */
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t record_count;
};

/* Reads MR_BATCH_HEADER_SIZE bytes. Only the size is judged: -EBADMSG where it is below
 * MR_BATCH_HEADER_SIZE or above MR_BATCH_SIZE_MAX. */
int mr_batch_header_get(const uint8_t *bytes, struct mr_batch_header *out);

/* Writes all fields; the CRC is the caller's. */
void mr_batch_header_put(uint8_t *bytes, const struct mr_batch_header *header);

/* What a topic and a request allow. */
struct mr_batch_rules {
    int32_t size_max;            /* max.message.bytes */
    int32_t segment_size_max;    /* segment.bytes */
    bool append_time;            /* message.timestamp.type=LogAppendTime */
    int64_t now_ms;              /* wall clock */
    int64_t timestamp_before_ms; /* message.timestamp.before.max.ms; INT64_MAX: any */
    int64_t timestamp_after_ms;  /* message.timestamp.after.max.ms; INT64_MAX: any */
    bool keys_required;          /* cleanup.policy has compact */
    bool zstd_allowed;           /* Produce version 7 and above */
    bool transactional_allowed;  /* the request names a transactional id */
};

/* A validated batch, ready for mr_log_append(). */
struct mr_batch {
    /* The header as it shall be stored: maxTimestamp as the records have it, the attributes and CRC
     * that follow from it. baseOffset and partitionLeaderEpoch are stamped by the log. */
    struct mr_batch_header header;
    int32_t max_timestamp_delta; /* offset delta of the first record with the largest timestamp */
    const struct iovec *iov;     /* all bytes as the client sent them, header included; borrowed */
    unsigned iov_count;
};

/* What a refusal says beside its code, for Produce's record_errors and error_message. */
struct mr_batch_refusal {
    int32_t record_index; /* the first at fault; -1: the batch as a whole */
    const char *message;  /* static text */
    bool of_request;      /* what a client sent is not one batch at all */
    int32_t record_count; /* records at fault, each for itself; mr_batch_refused() lists them */
};

/* Working memory for decompression; create one for a thread. */
struct mr_batch_scratch;

struct mr_batch_scratch *mr_batch_scratch_create(void);
void mr_batch_scratch_destroy(struct mr_batch_scratch *scratch);

/* Validates what a client put into one partition of a Produce request, in Kafka's order
 * (kafka.server.ReplicaManager, LogValidator): exactly one batch, magic 2, codec, base offset 0,
 * size, CRC, counts, no control batch, sequence, then record by record: framing, offset deltas
 * 0..n-1, key, timestamps; compressed batches are decompressed in a stream whose output is limited
 * to `size_max` x 1024, at least 64 MiB and at most 1 GiB, without being stored.
 * Returns MR_KAFKA_NONE with `out` filled (iov borrowed from the caller), or the error the client
 * is told, with `refusal` filled. */
enum mr_kafka_err mr_batch_validate(const struct iovec *iov, unsigned iov_count, size_t size,
                                    const struct mr_batch_rules *rules,
                                    struct mr_batch_scratch *scratch, struct mr_batch *out,
                                    struct mr_batch_refusal *refusal);

/* The records that break a rule of their own (a key, a timestamp) in a batch that
 * mr_batch_validate() has refused with a record_count: reads them again, by the same rules. Returns
 * how many of `indexes` are filled, in order; at most `index_max`. */
int32_t mr_batch_refused(const struct iovec *iov, unsigned iov_count, size_t size,
                         const struct mr_batch_rules *rules, struct mr_batch_scratch *scratch,
                         int32_t *indexes, int32_t index_max);

/* One record inside a batch; key and value borrowed until the next step of the iteration. */
struct mr_record {
    int64_t offset;
    int64_t timestamp;
    const uint8_t *key; /* NULL: null */
    const uint8_t *value;
    int32_t key_size; /* -1: null */
    int32_t value_size;
    const uint8_t *headers; /* as encoded: count varint, then key and value of each */
    int32_t headers_size;
};

/* Calls `each` for every record of one whole batch that lies in contiguous memory, decompressing
 * as needed, until it returns nonzero. Returns 0 at the end, `each`'s value, or -EBADMSG where the
 * batch is malformed. The CRC is not checked. */
int mr_batch_each(const uint8_t *batch, size_t size, struct mr_batch_scratch *scratch,
                  int (*each)(void *context, const struct mr_record *record), void *context);

/* The first record with a timestamp of at least `timestamp_ms`; 0 and the record's offset and
 * timestamp, -ENOENT where there is none, -EBADMSG. LogAppendTime batches have one timestamp. */
int mr_batch_find_time(const uint8_t *batch, size_t size, struct mr_batch_scratch *scratch,
                       int64_t timestamp_ms, int64_t *offset_out, int64_t *timestamp_out);

#endif
