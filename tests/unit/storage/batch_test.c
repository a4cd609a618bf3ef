/* tests/unit/storage/batch_test.c: every rule of batch validation, all codecs, and the readers. */
#include <errno.h>

#include "dataplane/base/rng.h"
#include "storage/recompress.h"
#include "tests/unit/storage/batch_build.h"

static struct mr_batch_scratch *scratch;
static struct mr_batch batch;
static struct mr_batch_refusal refusal;

static const struct mr_batch_rules rules_usual = {.size_max = 1 << 20,
                                                  .segment_size_max = 1 << 30,
                                                  .now_ms = 1000000,
                                                  .timestamp_before_ms = INT64_MAX,
                                                  .timestamp_after_ms = 3600000,
                                                  .zstd_allowed = true};

static int
validate(const struct build *build, const struct mr_batch_rules *rules)
{
    static struct iovec iov;

    if (!scratch) {
        scratch = mr_batch_scratch_create();
        MR_CHECK(scratch);
    }
    iov = (struct iovec){build->bytes, build->size};
    return mr_batch_validate(&iov, 1, build->size, rules, scratch, &batch, &refusal);
}

/* A batch of `count` usual records, not yet finished. */
static void
usual(struct build *build, int count)
{
    build_init(build);
    for (int i = 0; i < count; i++) {
        build_record(build, i * 10, i, 5, 20, (uint8_t)i);
    }
}

/* Seals again after a change of `header` and returns the judgement. */
static int
judge(struct build *build, const struct mr_batch_rules *rules)
{
    build_seal(build, build->size - MR_BATCH_HEADER_SIZE);
    return validate(build, rules);
}

/* Goal: header fields survive a write and a read. */
MR_TEST(headers_are_read_as_written)
{
    struct mr_batch_header header = {1, 61, 3, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13};
    struct mr_batch_header back;
    uint8_t bytes[MR_BATCH_HEADER_SIZE];

    mr_batch_header_put(bytes, &header);
    MR_CHECK_EQ(mr_batch_header_get(bytes, &back), 0);
    MR_CHECK_EQ(back.base_offset, 1);
    MR_CHECK_EQ(back.size, 61);
    MR_CHECK_EQ(back.attributes, 6);
    MR_CHECK_EQ(back.producer_id, 10);
    MR_CHECK_EQ(back.record_count, 13);
    mr_be32_put(bytes + 8, 48);
    MR_CHECK_EQ(mr_batch_header_get(bytes, &back), -EBADMSG);
    mr_be32_put(bytes + 8, MR_BATCH_SIZE_MAX - 12);
    MR_CHECK_EQ(mr_batch_header_get(bytes, &back), 0);
    mr_be32_put(bytes + 8, MR_BATCH_SIZE_MAX - 11);
    MR_CHECK_EQ(mr_batch_header_get(bytes, &back), -EBADMSG);
    mr_be32_put(bytes + 8, UINT32_MAX);
    MR_CHECK_EQ(mr_batch_header_get(bytes, &back), -EBADMSG);
}

static int
count_each(void *context, const struct mr_record *record)
{
    int *count = context;

    MR_CHECK_EQ(record->offset, *count);
    MR_CHECK_EQ(record->timestamp, 1000000 + *count * 10);
    MR_CHECK_EQ(record->key_size, 5);
    MR_CHECK_EQ(record->value_size, 20);
    MR_CHECK_EQ(record->key[4], (uint8_t)*count);
    MR_CHECK_EQ(record->value[19], (uint8_t)*count);
    MR_CHECK_EQ(record->headers_size, 4);
    MR_CHECK_EQ(record->headers[2], 'h');
    ++*count;
    return 0;
}

/* Goal: each codec's data, as its library makes it, is accepted and read back, in one or many
 * slices. Method: a few thousand records; slices of prime sizes. */
MR_TEST(all_codecs_are_validated_and_read)
{
    for (int how = 0; how < BUILD_HOW_COUNT; how++) {
        struct iovec iov[4096];
        struct build build;
        unsigned slices = 0;
        int count = 0;
        int64_t offset, timestamp;

        usual(&build, 4000);
        build_finish(&build, (enum build_how)how);
        MR_CHECK_EQ(validate(&build, &rules_usual), MR_KAFKA_NONE);
        MR_CHECK_EQ(batch.header.max_timestamp, 1000000 + 39990);
        MR_CHECK_EQ(batch.max_timestamp_delta, 3999);
        for (size_t at = 0; at < build.size; slices++) {
            size_t piece = slices % 5 == 3 ? 0 : 7 + slices * 31 % 211;

            piece = piece < build.size - at ? piece : build.size - at;
            iov[slices] = (struct iovec){build.bytes + at, piece};
            at += piece;
        }
        MR_CHECK_EQ(
            mr_batch_validate(iov, slices, build.size, &rules_usual, scratch, &batch, &refusal),
            MR_KAFKA_NONE);
        MR_CHECK_EQ(mr_batch_each(build.bytes, build.size, scratch, count_each, &count), 0);
        MR_CHECK_EQ(count, 4000);
        MR_CHECK_EQ(
            mr_batch_find_time(build.bytes, build.size, scratch, 1000011, &offset, &timestamp), 0);
        MR_CHECK_EQ(offset, 2);
        MR_CHECK_EQ(timestamp, 1000020);
        MR_CHECK_EQ(
            mr_batch_find_time(build.bytes, build.size, scratch, 1039991, &offset, &timestamp),
            -ENOENT);
        build_free(&build);
    }
}

/* The batch that was validated last, in another codec, has the same records. */
static void
recompressed_has_the_same(enum mr_batch_codec codec)
{
    struct mr_batch_recompressed recompressed;
    struct mr_batch_header before = batch.header;
    int count = 0;

    MR_CHECK_EQ(mr_batch_recompress(&batch, codec, &rules_usual, scratch, &recompressed),
                MR_KAFKA_NONE);
    MR_CHECK_EQ(batch.iov_count, 1);
    MR_CHECK_EQ(batch.header.attributes, (before.attributes & ~7) | (int)codec);
    MR_CHECK_EQ(batch.header.max_timestamp, before.max_timestamp);
    MR_CHECK_EQ(batch.header.producer_id, before.producer_id);
    MR_CHECK_EQ(batch.header.size, batch.iov[0].iov_len);
    mr_batch_header_put(recompressed.bytes, &batch.header);
    MR_CHECK_EQ(mr_crc32c(0, recompressed.bytes + 21, batch.iov[0].iov_len - 21), batch.header.crc);
    MR_CHECK_EQ(
        mr_batch_each(recompressed.bytes, batch.iov[0].iov_len, scratch, count_each, &count), 0);
    MR_CHECK_EQ(count, 4000);
    mr_batch_recompressed_free(&recompressed);
}

/* Goal: a batch of any codec can be brought into any other. */
MR_TEST(any_codec_becomes_any_other)
{
    for (int how = 0; how < BUILD_HOW_COUNT; how++) {
        for (int codec = MR_BATCH_CODEC_NONE; codec <= MR_BATCH_CODEC_ZSTD; codec++) {
            struct build build;

            usual(&build, 4000);
            build_finish(&build, (enum build_how)how);
            MR_CHECK_EQ(validate(&build, &rules_usual), MR_KAFKA_NONE);
            recompressed_has_the_same((enum mr_batch_codec)codec);
            build_free(&build);
        }
    }
}

/* Goal: what another codec makes too large for the topic is refused. Method: the plain batch is
 * just larger than the limit that its packed form meets. */
MR_TEST(a_batch_may_be_too_large_in_another_codec)
{
    struct mr_batch_recompressed recompressed;
    struct mr_batch_rules rules = rules_usual;
    struct build build;

    usual(&build, 4000);
    rules.size_max = (int32_t)(MR_BATCH_HEADER_SIZE + build.records_size);
    build_finish(&build, BUILD_ZSTD);
    for (int less = 0; less < 2; less++) {
        rules.size_max -= less;
        MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_NONE);
        MR_CHECK_EQ(
            mr_batch_recompress(&batch, MR_BATCH_CODEC_NONE, &rules, scratch, &recompressed),
            less ? MR_KAFKA_MESSAGE_TOO_LARGE : MR_KAFKA_NONE);
        mr_batch_recompressed_free(&recompressed);
    }
    rules.segment_size_max = (int32_t)build.size;
    rules.size_max++;
    MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_NONE);
    MR_CHECK_EQ(mr_batch_recompress(&batch, MR_BATCH_CODEC_NONE, &rules, scratch, &recompressed),
                MR_KAFKA_RECORD_LIST_TOO_LARGE);
    mr_batch_recompressed_free(&recompressed);
    build_free(&build);
}

/* Goal: the stored header and its CRC follow from the records, for CreateTime and LogAppendTime.
 * Method: the CRC over the stored header and the unchanged payload is computed anew. */
MR_TEST(the_stored_header_follows_from_the_records)
{
    for (int append_time = 0; append_time < 2; append_time++) {
        struct mr_batch_rules rules = rules_usual;
        struct build build;

        rules.append_time = append_time;
        rules.now_ms = 777;
        rules.timestamp_after_ms = append_time ? 0 : INT64_MAX;
        build_init(&build);
        build_record(&build, 5, 0, -1, 100, 1);
        build_record(&build, 9, 1, -1, -1, 1);
        build_record(&build, 9, 2, -1, 0, 1);
        build.header.max_timestamp = 12345; /* a lie */
        build_finish(&build, BUILD_LZ4);
        MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_NONE);
        MR_CHECK_EQ(batch.header.max_timestamp, append_time ? 777 : 1000009);
        MR_CHECK_EQ(batch.max_timestamp_delta, append_time ? 0 : 1);
        MR_CHECK_EQ(batch.header.attributes, append_time ? 3 | 8 : 3);
        mr_batch_header_put(build.bytes, &batch.header);
        MR_CHECK_EQ(mr_crc32c(0, build.bytes + 21, build.size - 21), batch.header.crc);
        build_free(&build);
    }
}

/* Goal: the envelope's faults get the codes that a Kafka broker gives. */
MR_TEST(envelope_faults_have_their_codes)
{
    struct mr_batch_rules rules = rules_usual;
    struct build build;
    size_t size;

    usual(&build, 3);
    build_finish(&build, BUILD_NONE);
    size = build.size;
    MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_NONE);

    build.size = size + 1;
    MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_INVALID_RECORD);
    for (build.size = 0; build.size < size; build.size++) {
        MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_INVALID_RECORD);
    }
    build.size = size;
    build.bytes[16] = 3;
    MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_CORRUPT_MESSAGE);
    build.bytes[16] = 1;
    MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_INVALID_RECORD);
    build.bytes[16] = 2;
    build.bytes[size - 1] ^= 1;
    MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_CORRUPT_MESSAGE);
    build.bytes[size - 1] ^= 1;
    mr_be64_put(build.bytes, 1); /* base offset, outside the CRC */
    MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_INVALID_RECORD);
    mr_be64_put(build.bytes, 0);

    rules.size_max = (int32_t)size;
    rules.segment_size_max = (int32_t)size;
    MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_NONE);
    rules.size_max = (int32_t)size - 1;
    MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_MESSAGE_TOO_LARGE);
    rules.size_max = (int32_t)size;
    rules.segment_size_max = (int32_t)size - 1;
    MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_RECORD_LIST_TOO_LARGE);
    build_free(&build);
}

/* Goal: each field of the header is judged. Method: one fault at a time, sealed with a right CRC.
 */
MR_TEST(header_faults_have_their_codes)
{
    struct mr_batch_rules rules = rules_usual;
    struct mr_batch_header good;
    struct build build;

    usual(&build, 3);
    build_finish(&build, BUILD_NONE);
    good = build.header;

    build.header.attributes = 7;
    MR_CHECK_EQ(judge(&build, &rules), MR_KAFKA_UNKNOWN_SERVER_ERROR);
    build.header.attributes = MR_BATCH_ATTR_CONTROL;
    MR_CHECK_EQ(judge(&build, &rules), MR_KAFKA_INVALID_RECORD);
    build.header.attributes = MR_BATCH_ATTR_APPEND_TIME;
    MR_CHECK_EQ(judge(&build, &rules), MR_KAFKA_INVALID_TIMESTAMP);
    build.header.attributes = MR_BATCH_CODEC_ZSTD;
    rules.zstd_allowed = false;
    MR_CHECK_EQ(judge(&build, &rules), MR_KAFKA_UNSUPPORTED_COMPRESSION_TYPE);
    build.header.attributes = MR_BATCH_ATTR_TRANSACTIONAL;
    MR_CHECK_EQ(judge(&build, &rules), MR_KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    rules.transactional_allowed = true;
    MR_CHECK_EQ(judge(&build, &rules), MR_KAFKA_INVALID_RECORD);
    build.header.producer_id = 5;
    build.header.producer_epoch = 0;
    build.header.base_sequence = 0;
    MR_CHECK_EQ(judge(&build, &rules), MR_KAFKA_NONE);
    build.header.base_sequence = -1;
    MR_CHECK_EQ(judge(&build, &rules), MR_KAFKA_INVALID_RECORD);
    build.header.base_sequence = INT32_MAX;
    MR_CHECK_EQ(judge(&build, &rules), MR_KAFKA_NONE);
    build.header.producer_epoch = -1;
    MR_CHECK_EQ(judge(&build, &rules), MR_KAFKA_INVALID_RECORD);

    for (int count = -1; count <= 4; count++) {
        build.header = good;
        build.header.record_count = count;
        build.header.last_offset_delta = count - 1;
        MR_CHECK_EQ(judge(&build, &rules), count == 3 ? MR_KAFKA_NONE : MR_KAFKA_INVALID_RECORD);
        build.header.last_offset_delta = count;
        MR_CHECK_EQ(judge(&build, &rules), MR_KAFKA_INVALID_RECORD);
    }
    build.header = good;
    build.header.record_count = INT32_MAX;
    build.header.last_offset_delta = INT32_MAX - 1;
    MR_CHECK_EQ(judge(&build, &rules), MR_KAFKA_INVALID_RECORD);
    build_free(&build);
}

/* Goal: timestamps are held to the topic's range, exactly at its ends; -1 means none. */
MR_TEST(timestamps_are_held_to_the_range)
{
    struct mr_batch_rules rules = rules_usual;

    rules.now_ms = 1000000;
    rules.timestamp_before_ms = 100;
    rules.timestamp_after_ms = 50;
    for (int64_t delta = -102; delta <= 52; delta++) {
        struct build build;

        build_init(&build);
        build_record(&build, 0, 0, -1, 3, 1);
        build_record(&build, delta, 1, -1, 3, 1);
        build_finish(&build, BUILD_NONE);
        MR_CHECK_EQ(validate(&build, &rules),
                    delta < -100 || delta > 50 ? MR_KAFKA_INVALID_TIMESTAMP : MR_KAFKA_NONE);
        MR_CHECK(delta >= -100 || refusal.record_index == 1);
        build_free(&build);
    }
    for (int64_t base = -1; base <= INT64_MAX - 1; base += INT64_MAX) {
        struct build build;

        build_init(&build);
        build.header.base_timestamp = base;
        build_record(&build, 0, 0, -1, 3, 1);
        build_finish(&build, BUILD_NONE);
        MR_CHECK_EQ(validate(&build, &rules),
                    base == -1 ? MR_KAFKA_NONE : MR_KAFKA_INVALID_TIMESTAMP);
        build_free(&build);
        if (base > 0) {
            break;
        }
    }
}

/* Goal: a record's own faults name the record. */
MR_TEST(record_faults_name_the_record)
{
    struct mr_batch_rules rules = rules_usual;
    struct build build;

    rules.keys_required = true;
    usual(&build, 2);
    build_record(&build, 0, 2, -1, 3, 1);
    build_finish(&build, BUILD_ZSTD);
    MR_CHECK_EQ(validate(&build, &rules_usual), MR_KAFKA_NONE);
    MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_INVALID_RECORD);
    MR_CHECK_EQ(refusal.record_index, 2);
    build_free(&build);

    usual(&build, 2);
    build_record(&build, 0, 3, -1, 3, 1);
    build_finish(&build, BUILD_NONE);
    MR_CHECK_EQ(validate(&build, &rules_usual), MR_KAFKA_INVALID_RECORD);
    MR_CHECK_EQ(refusal.record_index, 2);
    build_free(&build);

    usual(&build, 1);
    build.header.base_timestamp = INT64_MAX;
    build_record(&build, 1, 1, -1, 3, 1);
    build_finish(&build, BUILD_NONE);
    rules.keys_required = false;
    rules.append_time = true;
    MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_INVALID_RECORD);
    MR_CHECK_EQ(refusal.record_index, 1);
    build_free(&build);
}

/* Goal: every record that breaks a rule of its own is told, and a timestamp outweighs a key. */
MR_TEST(all_records_at_fault_are_told)
{
    enum { FAULTS = 4 };
    struct mr_batch_rules rules = rules_usual;
    int32_t indexes[FAULTS + 1];

    rules.keys_required = true;
    for (int how = 0; how < BUILD_HOW_COUNT; how++) {
        struct build build;
        struct iovec iov;

        build_init(&build);
        for (int i = 0; i < 3 * FAULTS; i++) {
            build_record(&build, i, i, i % 3 == 1 ? -1 : 5, 20, (uint8_t)i);
        }
        build_finish(&build, (enum build_how)how);
        MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_INVALID_RECORD);
        MR_CHECK_EQ(refusal.record_index, 1);
        MR_CHECK_EQ(refusal.record_count, FAULTS);
        iov = (struct iovec){build.bytes, build.size};
        for (int32_t room = 1; room <= FAULTS + 1; room++) {
            int32_t told = mr_batch_refused(&iov, 1, build.size, &rules, scratch, indexes, room);

            MR_CHECK_EQ(told, room < FAULTS ? room : FAULTS);
            for (int32_t i = 0; i < told; i++) {
                MR_CHECK_EQ(indexes[i], 3 * i + 1);
            }
        }
        build_free(&build);
    }
}

/* Goal: one timestamp out of range decides what a batch is refused for, wherever it stands. */
MR_TEST(a_timestamp_out_of_range_outweighs_a_missing_key)
{
    struct mr_batch_rules rules = rules_usual;

    rules.keys_required = true;
    rules.timestamp_after_ms = 50;
    for (int ahead = 0; ahead < 3; ahead++) {
        struct build build;

        build_init(&build);
        for (int i = 0; i < 3; i++) {
            build_record(&build, i == ahead ? 51 : 0, i, i == ahead ? 5 : -1, 20, 1);
        }
        build_finish(&build, BUILD_NONE);
        MR_CHECK_EQ(validate(&build, &rules), MR_KAFKA_INVALID_TIMESTAMP);
        MR_CHECK_EQ(refusal.record_index, 0);
        MR_CHECK_EQ(refusal.record_count, 3);
        build_free(&build);
    }
}

/* Goal: a record's fields fill its length exactly. Method: every byte of a small batch takes every
 * value; what is still accepted must parse to the same number of records and never crash. */
MR_TEST(changed_record_bytes_are_refused_or_consistent)
{
    struct build build;
    unsigned refused = 0;

    usual(&build, 2);
    build_finish(&build, BUILD_NONE);
    for (size_t at = MR_BATCH_HEADER_SIZE; at < build.size; at++) {
        uint8_t old = build.bytes[at];

        for (int value = 0; value < 256; value++) {
            build.bytes[at] = (uint8_t)value;
            if (judge(&build, &rules_usual) != MR_KAFKA_NONE) {
                refused++;
            }
        }
        build.bytes[at] = old;
    }
    MR_CHECK(refused > 1000);
    MR_CHECK_EQ(judge(&build, &rules_usual), MR_KAFKA_NONE);
    build_free(&build);
}

/* Goal: a payload that ends early or is changed is refused, whatever the codec, with a right CRC.
 * Method: cut at every byte; flip random bits, of which none may do harm. */
MR_TEST(cut_and_spoilt_payloads_are_refused)
{
    struct mr_rng rng;

    mr_rng_init(&rng, 1);
    for (int how = 0; how < BUILD_HOW_COUNT; how++) {
        struct build build;
        size_t size;

        usual(&build, 60);
        build_finish(&build, (enum build_how)how);
        size = build.size;
        for (size_t cut = MR_BATCH_HEADER_SIZE; cut < size; cut++) {
            build.size = cut;
            MR_CHECK_EQ(judge(&build, &rules_usual), MR_KAFKA_INVALID_RECORD);
        }
        build.size = size;
        for (int i = 0; i < 3000; i++) {
            size_t at =
                MR_BATCH_HEADER_SIZE + mr_rng_below(&rng, build.size - MR_BATCH_HEADER_SIZE);
            uint8_t bit = (uint8_t)(1u << mr_rng_below(&rng, 8));

            build.bytes[at] ^= bit;
            judge(&build, &rules_usual);
            build.bytes[at] ^= bit;
        }
        MR_CHECK_EQ(judge(&build, &rules_usual), MR_KAFKA_NONE);
        build_free(&build);
    }
}

/* Goal: a small batch that decompresses to more than the limit (64 MiB here) is stopped. Method:
 * one record of 70 MB of zeros, packed; one of 60 MB passes. */
MR_TEST(decompression_bombs_are_stopped)
{
    struct mr_batch_rules rules = rules_usual;

    rules.size_max = 65536;
    for (int megabytes = 60; megabytes <= 70; megabytes += 10) {
        size_t value = (size_t)megabytes * 1000 * 1000;
        uint8_t *records = calloc(1, value + 64);
        uint8_t *at = records;
        struct build build;
        size_t packed;

        build_init(&build);
        build_varlong(&at, (int64_t)value + 9);
        *at++ = 0; /* attributes */
        *at++ = 0; /* timestamp */
        *at++ = 0; /* offset */
        *at++ = 1; /* null key */
        build_varlong(&at, (int64_t)value);
        at += value;
        *at++ = 0; /* headers */
        build.header.record_count = 1;
        build.header.attributes = MR_BATCH_CODEC_ZSTD;
        packed = ZSTD_compress(build.bytes + MR_BATCH_HEADER_SIZE, BUILD_MAX / 2, records,
                               (size_t)(at - records), 1);
        build_seal(&build, packed);
        MR_CHECK(build.size < 65536);
        MR_CHECK_EQ(validate(&build, &rules),
                    megabytes == 60 ? MR_KAFKA_NONE : MR_KAFKA_MESSAGE_TOO_LARGE);
        free(records);
        build_free(&build);
    }
}

/* Goal: a snappy block that claims more than the format can give is refused without memory. */
MR_TEST(snappy_cannot_claim_more_than_it_holds)
{
    struct build build;

    usual(&build, 1);
    build.header.attributes = MR_BATCH_CODEC_SNAPPY;
    memcpy(build.bytes + MR_BATCH_HEADER_SIZE, "\xff\xff\xff\xff\x07\x00\x41", 7);
    build_seal(&build, 7);
    MR_CHECK_EQ(validate(&build, &rules_usual), MR_KAFKA_INVALID_RECORD);
    build_free(&build);
}

MR_TEST_MAIN(MR_TEST_CASE(headers_are_read_as_written),
             MR_TEST_CASE(all_codecs_are_validated_and_read),
             MR_TEST_CASE(any_codec_becomes_any_other),
             MR_TEST_CASE(a_batch_may_be_too_large_in_another_codec),
             MR_TEST_CASE(the_stored_header_follows_from_the_records),
             MR_TEST_CASE(envelope_faults_have_their_codes),
             MR_TEST_CASE(header_faults_have_their_codes),
             MR_TEST_CASE(timestamps_are_held_to_the_range),
             MR_TEST_CASE(record_faults_name_the_record),
             MR_TEST_CASE(all_records_at_fault_are_told),
             MR_TEST_CASE(a_timestamp_out_of_range_outweighs_a_missing_key),
             MR_TEST_CASE(changed_record_bytes_are_refused_or_consistent),
             MR_TEST_CASE(cut_and_spoilt_payloads_are_refused),
             MR_TEST_CASE(decompression_bombs_are_stopped),
             MR_TEST_CASE(snappy_cannot_claim_more_than_it_holds))
