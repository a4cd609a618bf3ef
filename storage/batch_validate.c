/* storage/batch_validate.c: what a client sends, judged in Kafka's order.
 *
 * Two places differ from Apache Kafka 4.3 on purpose. Where inner offset deltas of a compressed
 * batch are not 0..n-1, Kafka builds the batch anew for clients of the message formats before v2;
 * uncompressed ones it stores as they are, and readers then see wrong offsets. No client of format
 * v2 sends either, and a rebuilt batch would be another one than its producer signed: both are
 * refused as INVALID_RECORD. A compressed payload that does not decompress is INVALID_RECORD, which
 * clients do not retry, where Kafka says UNKNOWN_SERVER_ERROR. */
#include <errno.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/endian.h"
#include "storage/batch.h"
#include "storage/batch_stream.h"
#include "storage/crc32c.h"

#define OUTPUT_RATIO UINT64_C(1024)
#define OUTPUT_MIN   (UINT64_C(64) << 20)
#define OUTPUT_MAX   (UINT64_C(1) << 30)

#define CRC_BEGIN    21u
/* Length, attributes, timestamp, offset, key, value, header count: a byte each. */
#define RECORD_SIZE_MIN 7u
#define RECORD_BODY_MIN 6
#define NO_TIMESTAMP    INT64_C(-1)

static enum mr_kafka_err
refuse(struct mr_batch_refusal *refusal, int32_t record_index, enum mr_kafka_err error,
       const char *message)
{
    *refusal = (struct mr_batch_refusal){record_index, message, false, 0};
    return error;
}

static enum mr_kafka_err
refuse_request(struct mr_batch_refusal *refusal, const char *message)
{
    *refusal = (struct mr_batch_refusal){-1, message, true, 0};
    return MR_KAFKA_INVALID_RECORD;
}

/* Copies the first bytes of a slice list. */
static void
gather(const struct iovec *iov, unsigned iov_count, uint8_t *out, size_t size)
{
    for (unsigned i = 0; i < iov_count && size > 0; i++) {
        size_t piece = iov[i].iov_len < size ? iov[i].iov_len : size;

        memcpy(out, iov[i].iov_base, piece);
        out += piece;
        size -= piece;
    }
}

/* Exactly one batch, of the current format, with a codec that this request may use. */
static enum mr_kafka_err
check_envelope(const uint8_t *bytes, size_t size, const struct mr_batch_rules *rules,
               struct mr_batch_header *header, struct mr_batch_refusal *refusal)
{
    int64_t batch_size = (int64_t)(int32_t)mr_be32_get(bytes + 8) + MR_BATCH_PREFIX_SIZE;
    int codec;

    if ((int8_t)bytes[16] == 0 || (int8_t)bytes[16] == 1) {
        return refuse_request(refusal, "the message format is older than v2");
    }
    if (bytes[16] != 2) {
        return refuse(refusal, -1, MR_KAFKA_CORRUPT_MESSAGE, "the magic byte is unknown");
    }
    if (batch_size < (int64_t)MR_BATCH_HEADER_SIZE) {
        return refuse(refusal, -1, MR_KAFKA_CORRUPT_MESSAGE, "the batch is smaller than a header");
    }
    if (batch_size > (int64_t)size) {
        return refuse_request(refusal, "the batch is cut short");
    }
    if (batch_size < (int64_t)size) {
        return refuse_request(refusal, "more than one batch for a partition");
    }
    if (mr_batch_header_get(bytes, header) != 0) {
        return refuse(refusal, -1, MR_KAFKA_MESSAGE_TOO_LARGE, "the batch is too large");
    }
    codec = header->attributes & MR_BATCH_ATTR_CODEC;
    if (codec == MR_BATCH_CODEC_ZSTD && !rules->zstd_allowed) {
        return refuse(refusal, -1, MR_KAFKA_UNSUPPORTED_COMPRESSION_TYPE,
                      "zstd needs version 7 of Produce");
    }
    if ((header->attributes & MR_BATCH_ATTR_TRANSACTIONAL) && !rules->transactional_allowed) {
        return refuse(refusal, -1, MR_KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                      "a transactional batch in a request without a transactional id");
    }
    if (header->base_offset != 0) {
        return refuse(refusal, -1, MR_KAFKA_INVALID_RECORD, "the base offset is not 0");
    }
    if (header->size > rules->size_max) {
        return refuse(refusal, -1, MR_KAFKA_MESSAGE_TOO_LARGE,
                      "the batch is larger than max.message.bytes");
    }
    return MR_KAFKA_NONE;
}

/* What the header says about the records and their producer. */
static enum mr_kafka_err
check_header(const struct mr_batch_header *header, struct mr_batch_refusal *refusal)
{
    if ((header->attributes & MR_BATCH_ATTR_CODEC) > MR_BATCH_CODEC_ZSTD) {
        return refuse(refusal, -1, MR_KAFKA_UNKNOWN_SERVER_ERROR, "the codec is unknown");
    }
    if (header->record_count <= 0) {
        return refuse(refusal, -1, MR_KAFKA_INVALID_RECORD, "the batch is empty");
    }
    if (header->last_offset_delta != header->record_count - 1) {
        return refuse(refusal, -1, MR_KAFKA_INVALID_RECORD,
                      "the record count does not match the last offset");
    }
    if (header->attributes & MR_BATCH_ATTR_CONTROL) {
        return refuse(refusal, -1, MR_KAFKA_INVALID_RECORD, "clients send no control batches");
    }
    if (header->attributes & MR_BATCH_ATTR_HORIZON) {
        return refuse(refusal, -1, MR_KAFKA_INVALID_RECORD, "clients set no delete horizon");
    }
    if (header->producer_id > MR_BATCH_NO_PRODUCER) {
        if (header->base_sequence < 0) {
            return refuse(refusal, -1, MR_KAFKA_INVALID_RECORD, "the sequence is negative");
        }
        if (header->producer_epoch < 0) {
            return refuse(refusal, -1, MR_KAFKA_INVALID_RECORD, "the producer epoch is negative");
        }
    } else if (header->attributes & MR_BATCH_ATTR_TRANSACTIONAL) {
        return refuse(refusal, -1, MR_KAFKA_INVALID_RECORD,
                      "a transactional batch without a producer id");
    }
    return MR_KAFKA_NONE;
}

static enum mr_kafka_err
stream_refusal(int error, int32_t index, struct mr_batch_refusal *refusal)
{
    switch (error) {
    case -EFBIG:
        return refuse(refusal, index, MR_KAFKA_MESSAGE_TOO_LARGE,
                      "the batch decompresses to more than is allowed");
    case -ENOMEM:
        return refuse(refusal, index, MR_KAFKA_KAFKA_STORAGE_ERROR, "no memory to decompress");
    default:
        return refuse(refusal, index, MR_KAFKA_INVALID_RECORD, "the records are malformed");
    }
}

static bool
timestamp_outside(const struct mr_batch_rules *rules, int64_t timestamp)
{
    int64_t age;

    if (__builtin_sub_overflow(rules->now_ms, timestamp, &age)) {
        age = timestamp < 0 ? INT64_MAX : -INT64_MAX;
    }
    return age > rules->timestamp_before_ms || age < -rules->timestamp_after_ms;
}

static uint64_t
output_max(int32_t size_max)
{
    uint64_t limit = (uint64_t)(size_max > 0 ? size_max : 0) * OUTPUT_RATIO;

    limit = limit > OUTPUT_MIN ? limit : OUTPUT_MIN;
    return limit < OUTPUT_MAX ? limit : OUTPUT_MAX;
}

/* A walk over the records of a batch. */
struct walk {
    struct mr_stream stream;
    const struct mr_batch_header *header;
    const struct mr_batch_rules *rules;
    struct mr_batch_refusal *refusal;
    int64_t max_timestamp;
    int32_t max_delta;

    /* The records that break a rule of their own: they end a walk only at its end, since clients
     * are told all of them. */
    struct mr_batch_refusal refused;
    enum mr_kafka_err error;
    int32_t *indexes; /* has room for index_max */
    int32_t index_max;
};

static enum mr_kafka_err
walk_open(struct walk *walk, const struct iovec *iov, unsigned iov_count, size_t size,
          struct mr_batch_scratch *scratch)
{
    int codec = walk->header->attributes & MR_BATCH_ATTR_CODEC;
    int error = mr_stream_open(&walk->stream, scratch, (enum mr_batch_codec)codec, iov, iov_count,
                               MR_BATCH_HEADER_SIZE, size, output_max(walk->rules->size_max));

    walk->max_timestamp = NO_TIMESTAMP;
    return error ? stream_refusal(error, -1, walk->refusal) : MR_KAFKA_NONE;
}

/* Reads the next record; *timestamp_out is its timestamp. */
static enum mr_kafka_err
walk_step(struct walk *walk, int32_t index, struct mr_stream_record *record, int64_t *timestamp_out)
{
    int32_t size;
    int error = mr_stream_varint(&walk->stream, &size);

    if (!error && size < RECORD_BODY_MIN) {
        error = -EBADMSG;
    }
    if (!error) {
        error = mr_stream_record(&walk->stream, (uint32_t)size, record);
    }
    if (error) {
        return stream_refusal(error, index, walk->refusal);
    }
    if (record->offset_delta != index) {
        return refuse(walk->refusal, index, MR_KAFKA_INVALID_RECORD,
                      "the offset deltas are not 0, 1, 2 and so on");
    }
    if (__builtin_add_overflow(walk->header->base_timestamp, record->timestamp_delta,
                               timestamp_out)) {
        return refuse(walk->refusal, index, MR_KAFKA_INVALID_RECORD, "the timestamp overflows");
    }
    return MR_KAFKA_NONE;
}

static void
walk_refuse(struct walk *walk, int32_t index, enum mr_kafka_err error, const char *message)
{
    struct mr_batch_refusal *refused = &walk->refused;

    if (refused->record_count < walk->index_max) {
        walk->indexes[refused->record_count] = index;
    }
    if (refused->record_count == 0) {
        refused->record_index = index;
    }
    refused->record_count++;
    if (walk->error != MR_KAFKA_INVALID_TIMESTAMP) { /* as in Kafka, it outweighs the others */
        walk->error = error;
        refused->message = message;
    }
}

/* One record's own rules. */
static void
walk_judge(struct walk *walk, int32_t index, const struct mr_stream_record *record,
           int64_t timestamp)
{
    const struct mr_batch_rules *rules = walk->rules;

    if (rules->keys_required && record->record.key_size < 0) {
        walk_refuse(walk, index, MR_KAFKA_INVALID_RECORD,
                    "a compacted topic needs a key in every record");
    } else if (!rules->append_time && timestamp != NO_TIMESTAMP &&
               timestamp_outside(rules, timestamp)) {
        walk_refuse(walk, index, MR_KAFKA_INVALID_TIMESTAMP,
                    "the timestamp is out of the range that the topic allows");
    }
}

static enum mr_kafka_err
walk_records(struct walk *walk)
{
    for (int32_t i = 0; i < walk->header->record_count; i++) {
        struct mr_stream_record record;
        int64_t timestamp;
        enum mr_kafka_err refused = walk_step(walk, i, &record, &timestamp);

        if (refused != MR_KAFKA_NONE) {
            return refused;
        }
        walk_judge(walk, i, &record, timestamp);
        if (timestamp > walk->max_timestamp) {
            walk->max_timestamp = timestamp;
            walk->max_delta = i;
        }
    }
    switch (mr_stream_fill(&walk->stream)) {
    case 0:
        break;
    case 1:
        return refuse(walk->refusal, -1, MR_KAFKA_INVALID_RECORD,
                      "there are more records than the batch counts");
    default:
        return refuse(walk->refusal, -1, MR_KAFKA_INVALID_RECORD, "the records are malformed");
    }
    if (walk->error != MR_KAFKA_NONE) {
        *walk->refusal = walk->refused;
    }
    return walk->error;
}

/* The CRC after a change of the header: the difference of the two headers' CRCs, moved to their
 * place before the records, whose bytes are not read again. */
static void
header_set(struct mr_batch_header *header, uint8_t *bytes, int16_t attributes,
           int64_t max_timestamp)
{
    size_t covered = MR_BATCH_HEADER_SIZE - CRC_BEGIN;
    uint32_t before = mr_crc32c(0, bytes + CRC_BEGIN, covered);

    if (attributes == header->attributes && max_timestamp == header->max_timestamp) {
        return;
    }
    header->attributes = attributes;
    header->max_timestamp = max_timestamp;
    mr_batch_header_put(bytes, header);
    header->crc = mr_crc32c_combine(before ^ mr_crc32c(0, bytes + CRC_BEGIN, covered), header->crc,
                                    (uint64_t)header->size - MR_BATCH_HEADER_SIZE);
}

enum mr_kafka_err
mr_batch_validate(const struct iovec *iov, unsigned iov_count, size_t size,
                  const struct mr_batch_rules *rules, struct mr_batch_scratch *scratch,
                  struct mr_batch *out, struct mr_batch_refusal *refusal)
{
    struct mr_batch_header *header = &out->header;
    uint8_t bytes[MR_BATCH_HEADER_SIZE];
    struct walk walk = {.header = header, .rules = rules, .refusal = refusal};
    enum mr_kafka_err refused;

    *refusal = (struct mr_batch_refusal){-1, "", false, 0};
    if (size < MR_BATCH_HEADER_SIZE) {
        return refuse_request(refusal, "there is no whole batch");
    }
    gather(iov, iov_count, bytes, sizeof(bytes));
    refused = check_envelope(bytes, size, rules, header, refusal);
    if (refused != MR_KAFKA_NONE) {
        return refused;
    }
    if (mr_crc32c_iov(0, iov, iov_count, CRC_BEGIN, size) != header->crc) {
        return refuse(refusal, -1, MR_KAFKA_CORRUPT_MESSAGE, "the CRC does not match");
    }
    refused = check_header(header, refusal);
    if (refused != MR_KAFKA_NONE) {
        return refused;
    }
    if ((header->attributes & MR_BATCH_ATTR_CODEC) == MR_BATCH_CODEC_NONE &&
        (size_t)header->record_count > (size - MR_BATCH_HEADER_SIZE) / RECORD_SIZE_MIN) {
        return refuse(refusal, -1, MR_KAFKA_INVALID_RECORD, "the batch counts more than it holds");
    }
    if (header->attributes & MR_BATCH_ATTR_APPEND_TIME) {
        return refuse(refusal, 0, MR_KAFKA_INVALID_TIMESTAMP, "clients do not set the append time");
    }
    refused = walk_open(&walk, iov, iov_count, size, scratch);
    if (refused == MR_KAFKA_NONE) {
        refused = walk_records(&walk);
    }
    if (refused != MR_KAFKA_NONE) {
        return refused;
    }
    if (header->size > rules->segment_size_max) {
        return refuse(refusal, -1, MR_KAFKA_RECORD_LIST_TOO_LARGE,
                      "the batch is larger than segment.bytes");
    }
    if (rules->append_time) {
        out->max_timestamp_delta = 0; /* all are the same: the first */
        header_set(header, bytes, header->attributes | MR_BATCH_ATTR_APPEND_TIME, rules->now_ms);
    } else {
        out->max_timestamp_delta = walk.max_delta;
        header_set(header, bytes, header->attributes, walk.max_timestamp);
    }
    out->iov = iov;
    out->iov_count = iov_count;
    return MR_KAFKA_NONE;
}

int32_t
mr_batch_refused(const struct iovec *iov, unsigned iov_count, size_t size,
                 const struct mr_batch_rules *rules, struct mr_batch_scratch *scratch,
                 int32_t *indexes, int32_t index_max)
{
    struct mr_batch_refusal refusal;
    struct mr_batch_header header;
    struct walk walk = {.header = &header,
                        .rules = rules,
                        .refusal = &refusal,
                        .indexes = indexes,
                        .index_max = index_max};
    uint8_t bytes[MR_BATCH_HEADER_SIZE];

    MR_ASSERT(size >= sizeof(bytes));
    gather(iov, iov_count, bytes, sizeof(bytes));
    if (mr_batch_header_get(bytes, &header) == 0 &&
        walk_open(&walk, iov, iov_count, size, scratch) == MR_KAFKA_NONE) {
        walk_records(&walk);
    }
    return walk.refused.record_count < index_max ? walk.refused.record_count : index_max;
}
