/* tests/unit/kafka/wire_test.c: what is encoded is what is decoded, for every message. */
#include "dataplane/kafka/wire/wire.h"

#include <errno.h>
#include <time.h>

#include "dataplane/base/endian.h"
#include "tests/mr_test.h"
#include "tests/unit/kafka/wire_random.h"

#define ROUNDS     20
#define SLICES_MAX 64
#define HEAP_MAX   (64u << 20)

static _Alignas(16) uint8_t first_chunk[16384];

/* Cuts `size` bytes into random slices, some of them empty, each in a heap block of its own, so
 * that the sanitizer sees a step across an end. */
static size_t
cut(struct mr_rng *rng, const uint8_t *bytes, size_t size, struct iovec *slices)
{
    size_t count = 0;

    while (size > 0) {
        size_t n = mr_rng_below(rng, 3) == 0 ? mr_rng_below(rng, 4) : mr_rng_below(rng, size + 1);

        if (n > size || count == SLICES_MAX - 1) {
            n = size;
        }
        slices[count].iov_base = malloc(n > 0 ? n : 1);
        slices[count].iov_len = n;
        memcpy(slices[count++].iov_base, bytes, n);
        bytes += n;
        size -= n;
    }
    return count;
}

static void
round_trip(const struct mr_wire_message *message, int16_t version, struct mr_rng *rng,
           struct mr_bump *bump)
{
    struct iovec slices[SLICES_MAX];
    struct mr_wire_out out, again;
    struct mr_wire_in in;
    void *value = mr_bump_alloc(bump, message->root->size);
    void *copy = mr_bump_alloc(bump, message->root->size);
    char *want, *got;
    uint8_t *flat;
    size_t count;

    wire_random_fill(message, version, rng, 3, bump, value);
    mr_wire_out_init(&out, bump);
    MR_CHECK_EQ(mr_wire_encode(message, version, value, &out), 0);
    flat = wire_flatten(&out, bump);
    count = cut(rng, flat, out.size, slices);

    mr_wire_in_init(&in, slices, count, out.size);
    MR_CHECK_EQ(mr_wire_decode(message, version, &in, bump, copy), 0);
    MR_CHECK_EQ(mr_wire_in_left(&in), 0);
    want = wire_text(message, version, value);
    got = wire_text(message, version, copy);
    MR_CHECK_STR(got, want);
    mr_wire_out_init(&again, bump);
    MR_CHECK_EQ(mr_wire_encode(message, version, copy, &again), 0);
    MR_CHECK_EQ(again.size, out.size);
    MR_CHECK(memcmp(wire_flatten(&again, bump), flat, out.size) == 0);

    free(want);
    free(got);
    while (count > 0) {
        free(slices[--count].iov_base);
    }
}

/* Goal: no message, version or cut loses anything. Method: random values, printed and compared. */
MR_TEST(every_message_survives_a_round_trip)
{
    const char *chosen = getenv("MR_SEED");
    uint64_t seed = chosen ? strtoull(chosen, NULL, 10) : (uint64_t)time(NULL);
    uint32_t count;
    const struct mr_wire_message *const *messages = mr_wire_messages(&count);
    struct mr_bump bump;
    struct mr_rng rng;

    printf("seed %" PRIu64 "\n", seed);
    mr_rng_init(&rng, seed);
    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), HEAP_MAX);
    for (uint32_t i = 0; i < count; i++) {
        for (int16_t v = messages[i]->version_min; v <= messages[i]->version_max; v++) {
            for (int round = 0; round < ROUNDS; round++) {
                round_trip(messages[i], v, &rng, &bump);
                mr_bump_reset(&bump);
            }
        }
    }
}

/* Goal: the Nth failed allocation is an error of the call, never more. Method: arenas that end
 * after 0, 8, 16... bytes, so that each allocation fails once. */
MR_TEST(the_arena_limit_is_an_error_on_both_sides)
{
    static _Alignas(16) uint8_t small[65536];
    const struct mr_wire_message *message = &mr_metadata_response_message;
    struct mr_metadata_response value;
    struct mr_bump bump, tight;
    struct mr_wire_out out;
    struct mr_wire_in in;
    struct mr_rng rng;
    struct iovec slice;
    size_t size;
    int rc = -1;

    mr_rng_init(&rng, 7);
    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), HEAP_MAX);
    wire_random_fill(message, 12, &rng, 3, &bump, &value);
    for (size = 0; rc && size <= sizeof(small); size += 8) {
        mr_bump_init(&tight, small, size, 0);
        mr_wire_out_init(&out, &tight);
        rc = mr_wire_encode(message, 12, &value, &out);
        MR_CHECK(rc == 0 || rc == -ENOMEM);
    }
    MR_CHECK_EQ(rc, 0);
    slice = (struct iovec){wire_flatten(&out, &bump), out.size};
    rc = -1;
    for (size = 0; rc && size <= sizeof(small); size += 8) {
        mr_bump_init(&tight, small, size, 0);
        mr_wire_in_init(&in, &slice, 1, slice.iov_len);
        rc = mr_wire_decode(message, 12, &in, &tight, &value);
        MR_CHECK(rc == 0 || rc == -ENOMEM);
    }
    MR_CHECK_EQ(rc, 0);
    mr_bump_reset(&bump);
}

/* Goal: headers choose their version. Method: an old, a flexible, an unknown and a too new call. */
MR_TEST(headers_follow_api_and_version)
{
    static const struct {
        int16_t key, version, request, response;
    } cases[] = {
        {MR_API_PRODUCE, 8, 1, 0},        {MR_API_PRODUCE, 9, 2, 1},
        {MR_API_API_VERSIONS, 2, 1, 0},   {MR_API_API_VERSIONS, 3, 2, 0},
        {MR_API_API_VERSIONS, 999, 2, 0}, {MR_API_SASL_HANDSHAKE, 1, 1, 0},
    };
    struct mr_request_header header, copy;
    struct mr_bump bump;
    struct mr_wire_out out;
    struct mr_wire_in in;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct mr_wire_api *api = mr_wire_api_find(cases[i].key);

        mr_bump_init(&bump, first_chunk, sizeof(first_chunk), HEAP_MAX);
        header = (struct mr_request_header){cases[i].key, cases[i].version, 77,
                                            mr_str_from_c("rdkafka")};
        mr_wire_out_init(&out, &bump);
        MR_CHECK_EQ(mr_wire_request_header_encode(&out, &header), 0);
        MR_CHECK_EQ(out.size, 10 + 7 + (cases[i].request == 2));
        mr_wire_in_init(&in, out.iov, out.iov_count, out.size);
        MR_CHECK_EQ(mr_wire_request_header_decode(&in, &bump, &copy), 0);
        MR_CHECK_EQ(mr_wire_in_left(&in), 0);
        MR_CHECK_EQ(copy.correlation_id, 77);
        MR_CHECK(mr_str_equal(copy.client_id, header.client_id));
        MR_CHECK_EQ(mr_wire_response_header_version(api, cases[i].version), cases[i].response);
        mr_bump_reset(&bump);
    }
    mr_be16_put((void *)out.iov[0].iov_base, 4);
    mr_wire_in_init(&in, out.iov, out.iov_count, out.size);
    MR_CHECK_EQ(mr_wire_request_header_decode(&in, &bump, &copy), -ENOTSUP);
    MR_CHECK_EQ(copy.correlation_id, 77);
}

/* Goal: a field the version lacks has its default, also where the target held something. */
MR_TEST(fields_missing_in_a_version_get_their_defaults)
{
    uint8_t bytes[] = {0, 0, 0, 0};
    struct iovec slice = {bytes, sizeof(bytes)};
    struct mr_metadata_request value;
    struct mr_bump bump;
    struct mr_wire_in in;

    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), 0);
    memset(&value, 0x5a, sizeof(value));
    mr_wire_in_init(&in, &slice, 1, sizeof(bytes));
    MR_CHECK_EQ(mr_wire_decode(&mr_metadata_request_message, 0, &in, &bump, &value), 0);
    MR_CHECK_EQ(value.topics_count, 0);
    MR_CHECK(value.allow_auto_topic_creation);
    MR_CHECK(!value.include_topic_authorized_operations);
}

/* Goal: what a version cannot express is refused and stays refused. */
MR_TEST(the_encoder_refuses_null_where_there_is_none)
{
    struct mr_metadata_request value;
    struct mr_bump bump;
    struct mr_wire_out out;

    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), 0);
    mr_wire_init(&mr_metadata_request_message, &value);
    value.topics_count = -1;
    mr_wire_out_init(&out, &bump);
    MR_CHECK_EQ(mr_wire_encode(&mr_metadata_request_message, 1, &value, &out), 0);
    MR_CHECK_EQ(mr_wire_encode(&mr_metadata_request_message, 0, &value, &out), -EINVAL);
    mr_wire_out_bytes(&out, "x", 1);
    MR_CHECK(mr_wire_out_reserve_4(&out) == NULL);
    MR_CHECK_EQ(out.error, -EINVAL);
}

/* Goal: records are neither copied on the way out nor on the way in, and a frame's length can be
 * patched around them. */
MR_TEST(records_pass_by_reference)
{
    char a[] = "first", b[] = "second";
    struct iovec iov[] = {{a, 5}, {b, 6}};
    struct mr_produce_request_partition partition = {3, {iov, 2, 11}};
    struct mr_produce_request_topic topic = {
        .name = mr_str_from_c("t"), .partition_data = &partition, .partition_data_count = 1};
    struct mr_produce_request value = {mr_str_null(), -1, 100, &topic, 1}, copy;
    struct mr_wire_records *records;
    struct mr_bump bump;
    struct mr_wire_out out;
    struct mr_wire_in in;
    uint8_t *room;

    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), 0);
    mr_wire_out_init(&out, &bump);
    room = mr_wire_out_reserve_4(&out);
    MR_CHECK_EQ(mr_wire_encode(&mr_produce_request_message, 9, &value, &out), 0);
    mr_wire_out_patch_4(room, (uint32_t)out.size - 4);
    MR_CHECK(out.iov[1].iov_base == a && out.iov[2].iov_base == b);
    MR_CHECK_EQ(mr_be32_get(out.iov[0].iov_base), out.size - 4);

    mr_wire_in_init(&in, out.iov, out.iov_count, out.size);
    in.at += 4;
    in.left -= 4;
    MR_CHECK_EQ(mr_wire_decode(&mr_produce_request_message, 9, &in, &bump, &copy), 0);
    records = &copy.topic_data[0].partition_data[0].records;
    MR_CHECK_EQ(records->size, 11);
    MR_CHECK_EQ(records->iov_count, 2);
    MR_CHECK(records->iov[0].iov_base == a && records->iov[1].iov_base == b);
}

/* Goal: know what a small Produce costs; prints it and judges nothing, as machines differ. */
MR_TEST(a_small_produce_request_is_timed)
{
    char batch[100] = {0};
    struct iovec iov = {batch, sizeof(batch)};
    struct mr_produce_request_partition partition = {3, {&iov, 1, sizeof(batch)}};
    struct mr_produce_request_topic topic = {
        .name = mr_str_from_c("topic"), .partition_data = &partition, .partition_data_count = 1};
    struct mr_produce_request value = {mr_str_null(), -1, 100, &topic, 1}, copy;
    struct timespec begin, end;
    struct mr_bump bump;
    struct mr_wire_out out;
    struct mr_wire_in in;
    struct iovec slice;
    int rounds = 200000;

    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), HEAP_MAX);
    mr_wire_out_init(&out, &bump);
    MR_CHECK_EQ(mr_wire_encode(&mr_produce_request_message, 9, &value, &out), 0);
    slice.iov_len = out.size;
    slice.iov_base = malloc(out.size);
    memcpy(slice.iov_base, wire_flatten(&out, &bump), out.size);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < rounds; i++) {
        mr_bump_reset(&bump);
        mr_wire_in_init(&in, &slice, 1, slice.iov_len);
        MR_CHECK_EQ(mr_wire_decode(&mr_produce_request_message, 9, &in, &bump, &copy), 0);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("decode %.0f ns\n",
           ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) /
               rounds);
    free(slice.iov_base);
}

MR_TEST_MAIN(MR_TEST_CASE(every_message_survives_a_round_trip),
             MR_TEST_CASE(the_arena_limit_is_an_error_on_both_sides),
             MR_TEST_CASE(headers_follow_api_and_version),
             MR_TEST_CASE(fields_missing_in_a_version_get_their_defaults),
             MR_TEST_CASE(the_encoder_refuses_null_where_there_is_none),
             MR_TEST_CASE(records_pass_by_reference),
             MR_TEST_CASE(a_small_produce_request_is_timed))
