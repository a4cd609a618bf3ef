/* tests/unit/bench/load_test.c: what the load generator sends, and how it is asked to. */
#include <errno.h>
#include <getopt.h>

#include "bench/load/options.h"
#include "bench/load/payload.h"
#include "bench/load/request.h"
#include "bench/load/stats.h"
#include "dataplane/base/endian.h"
#include "dataplane/kafka/wire/wire.h"
#include "tests/mr_test.h"

static struct load_options options;

/* Parses words that end with NULL; stderr shows what is refused. */
static int
parse(char *const *words)
{
    int count = 0;

    while (words[count]) {
        count++;
    }
    optind = 0;
    return load_options_parse(&options, count, (char **)(uintptr_t)words);
}

#define PARSE(...) parse((char *const[]){"mr_load", __VA_ARGS__, NULL})

MR_TEST(options_have_units_and_limits)
{
    MR_CHECK_EQ(PARSE("--batch-bytes", "64K", "--record-size=1k", "--rate-mb", "1.5"), 0);
    MR_CHECK_EQ(options.batch_bytes, 65536);
    MR_CHECK_EQ(options.record_size, 1024);
    MR_CHECK(options.rate_mb > 1.49 && options.rate_mb < 1.51);
    MR_CHECK_EQ(options.in_flight, 1024);
    MR_CHECK_EQ(PARSE("--batch-bytes", "16M"), 0);
    MR_CHECK_EQ(PARSE("--batch-bytes", "17M"), -EINVAL);
    MR_CHECK_EQ(PARSE("--connections", "0"), -EINVAL);
    MR_CHECK_EQ(PARSE("--connections", "1.5"), -EINVAL);
    MR_CHECK_EQ(PARSE("--connections", "nan"), -EINVAL);
    MR_CHECK_EQ(PARSE("--connections", "4x"), -EINVAL);
    MR_CHECK_EQ(PARSE("--nonsense"), -EINVAL);
    MR_CHECK_EQ(PARSE("operand"), -EINVAL);
}

MR_TEST(options_that_contradict_are_refused)
{
    MR_CHECK_EQ(PARSE("--rate", "1", "--rate-mb", "1"), -EINVAL);
    MR_CHECK_EQ(PARSE("--fetch", "--rate", "1"), -EINVAL);
    MR_CHECK_EQ(PARSE("--fetch", "--in-flight", "2"), -EINVAL);
    MR_CHECK_EQ(PARSE("--tail"), -EINVAL);
    MR_CHECK_EQ(PARSE("--idempotent", "--acks", "1"), -EINVAL);
    MR_CHECK_EQ(PARSE("--threads", "4", "--connections", "2"), 0);
    MR_CHECK_EQ(options.threads, 2);
    MR_CHECK_EQ(options.in_flight, 5);
}

static void
check_valid(const struct load_payload *payload, int64_t producer_id, int32_t sequence)
{
    const struct mr_batch_rules rules = {.size_max = MR_BATCH_SIZE_MAX,
                                         .segment_size_max = MR_BATCH_SIZE_MAX,
                                         .now_ms = 5000,
                                         .timestamp_before_ms = INT64_MAX,
                                         .timestamp_after_ms = INT64_MAX};
    struct mr_batch_scratch *scratch = mr_batch_scratch_create();
    uint8_t header[MR_BATCH_HEADER_SIZE];
    struct iovec slices[2] = {{header, sizeof(header)},
                              {payload->batch + sizeof(header), payload->size - sizeof(header)}};
    struct mr_batch_refusal refusal;
    struct mr_batch batch;

    load_payload_header(payload, 5000, producer_id, 3, sequence, header);
    MR_CHECK_EQ(mr_batch_validate(slices, 2, payload->size, &rules, scratch, &batch, &refusal),
                MR_KAFKA_NONE);
    MR_CHECK_EQ(batch.header.base_timestamp, 5000);
    MR_CHECK_EQ(batch.header.max_timestamp, 5000);
    MR_CHECK_EQ(batch.header.record_count, payload->header.record_count);
    MR_CHECK_EQ(batch.header.producer_id, producer_id);
    MR_CHECK_EQ(batch.header.producer_epoch, producer_id < 0 ? -1 : 3);
    MR_CHECK_EQ(batch.header.base_sequence, producer_id < 0 ? -1 : sequence);
    mr_batch_scratch_destroy(scratch);
}

/* Goal: a patched header's combined CRC is right. Method: the broker's own validation. */
MR_TEST(a_broker_accepts_every_batch)
{
    static const int32_t sizes[] = {0, 1, 63, 64, 1000, 100000};
    struct load_payload payload;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        options = (struct load_options){.record_size = sizes[i], .records_per_batch = 130};
        MR_CHECK_EQ(load_payload_build(&payload, &options), 0);
        MR_CHECK_EQ(payload.header.record_count, 130);
        check_valid(&payload, MR_BATCH_NO_PRODUCER, 0);
        check_valid(&payload, 77, 0);
        check_valid(&payload, 77, INT32_MAX);
        load_payload_free(&payload);
    }
}

/* Goal: a batch fills its limit but never passes it. One record of 100 bytes is 109. */
MR_TEST(batch_bytes_is_a_limit)
{
    const int32_t one = (int32_t)MR_BATCH_HEADER_SIZE + 109;
    struct load_payload payload;

    options = (struct load_options){.record_size = 100, .batch_bytes = one - 1};
    MR_CHECK_EQ(load_payload_build(&payload, &options), -EMSGSIZE);
    options.batch_bytes = one;
    MR_CHECK_EQ(load_payload_build(&payload, &options), 0);
    MR_CHECK_EQ(payload.size, one);
    load_payload_free(&payload);
    options.batch_bytes = one + 108;
    MR_CHECK_EQ(load_payload_build(&payload, &options), 0);
    MR_CHECK_EQ(payload.header.record_count, 1);
    load_payload_free(&payload);
    options.batch_bytes = one + 109;
    MR_CHECK_EQ(load_payload_build(&payload, &options), 0);
    MR_CHECK_EQ(payload.header.record_count, 2);
    load_payload_free(&payload);
}

/* Goal: head, batch and tail together are the request. Method: decode what would be sent. */
static void
check_template(int16_t version)
{
    static _Alignas(16) uint8_t first[16384];
    struct load_plan plan = {.produce_version = version, .topic_id = {{1, 2, 3}}};
    struct load_payload payload;
    struct load_template template;
    struct mr_request_header header;
    struct mr_produce_request request;
    struct mr_bump bump;
    struct mr_wire_in in;
    struct iovec slices[3];

    options = (struct load_options){
        .topic = "orders", .record_size = 10, .records_per_batch = 3, .acks = 1};
    MR_CHECK_EQ(load_payload_build(&payload, &options), 0);
    MR_CHECK_EQ(load_template_make(&template, &options, &plan, &payload, 4), 0);
    mr_be32_put(template.bytes + LOAD_CORRELATION_AT, 99);
    MR_CHECK_EQ(mr_be32_get(template.bytes),
                template.head_size + payload.size + template.tail_size - 4);
    slices[0] = (struct iovec){template.bytes + 4, template.head_size - 4};
    slices[1] = (struct iovec){payload.batch, payload.size};
    slices[2] = (struct iovec){template.bytes + template.head_size, template.tail_size};
    mr_bump_init(&bump, first, sizeof(first), 1 << 20);
    mr_wire_in_init(&in, slices, 3, mr_be32_get(template.bytes));
    MR_CHECK_EQ(mr_wire_request_header_decode(&in, &bump, &header), 0);
    MR_CHECK_EQ(header.correlation_id, 99);
    MR_CHECK_EQ(header.request_api_version, version);
    MR_CHECK_EQ(mr_wire_decode(&mr_produce_request_message, version, &in, &bump, &request), 0);
    MR_CHECK_EQ(mr_wire_in_left(&in), 0);
    MR_CHECK_EQ(request.acks, 1);
    MR_CHECK_EQ(request.topic_data[0].partition_data[0].index, 4);
    MR_CHECK_EQ(request.topic_data[0].partition_data[0].records.size, payload.size);
    MR_CHECK(version >= 13 ? request.topic_data[0].topic_id.bytes[2] == 3
                           : mr_str_equal_c(request.topic_data[0].name, "orders"));
    mr_bump_reset(&bump);
    free(template.bytes);
    load_payload_free(&payload);
}

MR_TEST(a_template_is_a_whole_request_in_every_version)
{
    for (int16_t version = mr_produce_request_message.version_min;
         version <= mr_produce_request_message.version_max; version++) {
        check_template(version);
    }
}

MR_TEST(every_failure_counts)
{
    static struct load_stats a, b;

    b.errors[1] = 5; /* code 0 */
    load_stats_merge(&a, &b);
    MR_CHECK_EQ(load_stats_failures(&a), 0);
    b.errors[0] = 1;
    b.errors[11] = 2;
    b.malformed = 4;
    b.corrupt = 8;
    b.connections_lost = 16;
    load_stats_merge(&a, &b);
    MR_CHECK_EQ(load_stats_failures(&a), 31);
    MR_CHECK_EQ(a.errors[1], 10);
}

MR_TEST_MAIN(MR_TEST_CASE(options_have_units_and_limits),
             MR_TEST_CASE(options_that_contradict_are_refused),
             MR_TEST_CASE(a_broker_accepts_every_batch), MR_TEST_CASE(batch_bytes_is_a_limit),
             MR_TEST_CASE(a_template_is_a_whole_request_in_every_version),
             MR_TEST_CASE(every_failure_counts))
