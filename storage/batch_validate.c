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
    *refusal = (struct mr_batch_refusal){record_index, message, false};
    return error;
}

static enum mr_kafka_err
refuse_request(struct mr_batch_refusal *refusal, const char *message)
{
    *refusal = (struct mr_batch_refusal){-1, message, true};
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

/* One record's own rules; *timestamp_out is its timestamp. */
static enum mr_kafka_err
check_record(const struct mr_batch_header *header, const struct mr_batch_rules *rules,
             const struct mr_stream_record *record, int32_t index, int64_t *timestamp_out,
             struct mr_batch_refusal *refusal)
{
    if (record->offset_delta != index) {
        return refuse(refusal, index, MR_KAFKA_INVALID_RECORD,
                      "the offset deltas are not 0, 1, 2 and so on");
    }
    if (rules->keys_required && record->record.key_size < 0) {
        return refuse(refusal, index, MR_KAFKA_INVALID_RECORD,
                      "a compacted topic needs a key in every record");
    }
    if (__builtin_add_overflow(header->base_timestamp, record->timestamp_delta, timestamp_out)) {
        return refuse(refusal, index, MR_KAFKA_INVALID_RECORD, "the timestamp overflows");
    }
    if (!rules->append_time && *timestamp_out != NO_TIMESTAMP &&
        timestamp_outside(rules, *timestamp_out)) {
        return refuse(refusal, index, MR_KAFKA_INVALID_TIMESTAMP,
                      "the timestamp is out of the range that the topic allows");
    }
    return MR_KAFKA_NONE;
}

static enum mr_kafka_err
check_records(struct mr_stream *stream, const struct mr_batch_header *header,
              const struct mr_batch_rules *rules, int64_t *max_timestamp, int32_t *max_delta,
              struct mr_batch_refusal *refusal)
{
    *max_timestamp = NO_TIMESTAMP;
    *max_delta = 0;
    for (int32_t i = 0; i < header->record_count; i++) {
        struct mr_stream_record record;
        enum mr_kafka_err refused;
        int64_t timestamp;
        int32_t size;
        int error = mr_stream_varint(stream, &size);

        if (!error && size < RECORD_BODY_MIN) {
            error = -EBADMSG;
        }
        if (!error) {
            error = mr_stream_record(stream, (uint32_t)size, &record);
        }
        if (error) {
            return stream_refusal(error, i, refusal);
        }
        refused = check_record(header, rules, &record, i, &timestamp, refusal);
        if (refused != MR_KAFKA_NONE) {
            return refused;
        }
        if (timestamp > *max_timestamp) {
            *max_timestamp = timestamp;
            *max_delta = i;
        }
    }
    switch (mr_stream_fill(stream)) {
    case 0:
        return MR_KAFKA_NONE;
    case 1:
        return refuse(refusal, -1, MR_KAFKA_INVALID_RECORD,
                      "there are more records than the batch counts");
    default:
        return refuse(refusal, -1, MR_KAFKA_INVALID_RECORD, "the records are malformed");
    }
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

static uint64_t
output_max(int32_t size_max)
{
    uint64_t limit = (uint64_t)(size_max > 0 ? size_max : 0) * OUTPUT_RATIO;

    limit = limit > OUTPUT_MIN ? limit : OUTPUT_MIN;
    return limit < OUTPUT_MAX ? limit : OUTPUT_MAX;
}

enum mr_kafka_err
mr_batch_validate(const struct iovec *iov, unsigned iov_count, size_t size,
                  const struct mr_batch_rules *rules, struct mr_batch_scratch *scratch,
                  struct mr_batch *out, struct mr_batch_refusal *refusal)
{
    struct mr_batch_header *header = &out->header;
    uint8_t bytes[MR_BATCH_HEADER_SIZE];
    struct mr_stream stream;
    enum mr_batch_codec codec;
    enum mr_kafka_err refused;
    int64_t max_timestamp;
    int error;

    *refusal = (struct mr_batch_refusal){-1, "", false};
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
    codec = (enum mr_batch_codec)(header->attributes & MR_BATCH_ATTR_CODEC);
    if (codec == MR_BATCH_CODEC_NONE &&
        (size_t)header->record_count > (size - MR_BATCH_HEADER_SIZE) / RECORD_SIZE_MIN) {
        return refuse(refusal, -1, MR_KAFKA_INVALID_RECORD, "the batch counts more than it holds");
    }
    if (header->attributes & MR_BATCH_ATTR_APPEND_TIME) {
        return refuse(refusal, 0, MR_KAFKA_INVALID_TIMESTAMP, "clients do not set the append time");
    }
    error = mr_stream_open(&stream, scratch, codec, iov, iov_count, MR_BATCH_HEADER_SIZE, size,
                           output_max(rules->size_max));
    if (error) {
        return stream_refusal(error, -1, refusal);
    }
    refused =
        check_records(&stream, header, rules, &max_timestamp, &out->max_timestamp_delta, refusal);
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
        header_set(header, bytes, header->attributes, max_timestamp);
    }
    out->iov = iov;
    out->iov_count = iov_count;
    return MR_KAFKA_NONE;
}
