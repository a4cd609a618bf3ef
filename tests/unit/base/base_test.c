/* Goal: the small things everything stands on do what their headers say.
 * Method: limits just below, at and above; known values. */
#include <errno.h>

#include "dataplane/base/bump.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/endian.h"
#include "dataplane/base/histo.h"
#include "dataplane/base/kafka_err.h"
#include "dataplane/base/list.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/uuid.h"
#include "tests/mr_test.h"

MR_TEST(bump_stays_in_the_first_chunk_and_stops_at_its_limit)
{
    _Alignas(16) static uint8_t first[128];
    struct mr_bump bump;

    mr_bump_init(&bump, first, sizeof(first), 8192);
    MR_CHECK(mr_bump_alloc(&bump, 120) == first);
    MR_CHECK_EQ(bump.heap_bytes, 0);
    MR_CHECK(mr_bump_alloc(&bump, 9) != NULL); /* one more than is left */
    MR_CHECK_EQ(bump.heap_bytes, 8192);
    MR_CHECK(mr_bump_alloc(&bump, 8192 - 16) != NULL); /* exactly the rest of that chunk */
    MR_CHECK(mr_bump_alloc(&bump, 1) == NULL);
    MR_CHECK(mr_bump_array(&bump, SIZE_MAX / 2, 4) == NULL);
    mr_bump_reset(&bump);
    MR_CHECK_EQ(bump.heap_bytes, 0);
    MR_CHECK(mr_bump_alloc(&bump, 1) == first);
}

MR_TEST(histogram_quantiles_are_at_most_one_step_above)
{
    static struct mr_histo histo;
    static struct mr_histo other;

    MR_CHECK_EQ(mr_histo_quantile(&histo, 500), 0);
    for (uint64_t i = 1; i <= 100000; i++) {
        mr_histo_record(&histo, i);
    }
    MR_CHECK(mr_histo_quantile(&histo, 500) >= 50000);
    MR_CHECK(mr_histo_quantile(&histo, 500) <= 50000 + 50000 / 31);
    MR_CHECK_EQ(mr_histo_quantile(&histo, 1000), 100000);
    mr_histo_record(&other, UINT64_MAX);
    mr_histo_merge(&histo, &other);
    MR_CHECK_EQ(histo.count, 100001);
    MR_CHECK(histo.max == UINT64_MAX);
}

MR_TEST(uuids_survive_their_text)
{
    for (unsigned i = 0; i < 1000; i++) {
        struct mr_uuid id = mr_uuid_random();
        struct mr_uuid back;
        char text[MR_UUID_TEXT_SIZE];

        mr_uuid_format(&id, text);
        MR_CHECK_EQ(strlen(text), MR_UUID_TEXT_SIZE - 1);
        MR_CHECK(text[0] != '-');
        MR_CHECK_EQ(mr_uuid_parse(text, &back), 0);
        MR_CHECK(mr_uuid_equal(&id, &back));
    }
}

MR_TEST(texts_that_are_no_uuid_are_refused)
{
    struct mr_uuid id;

    MR_CHECK_EQ(mr_uuid_parse("", &id), -EINVAL);
    MR_CHECK_EQ(mr_uuid_parse("AAAAAAAAAAAAAAAAAAAAA", &id), -EINVAL);   /* 21 */
    MR_CHECK_EQ(mr_uuid_parse("AAAAAAAAAAAAAAAAAAAAAAA", &id), -EINVAL); /* 23 */
    MR_CHECK_EQ(mr_uuid_parse("AAAAAAAAAAAA+AAAAAAAAA", &id), -EINVAL);
    MR_CHECK_EQ(mr_uuid_parse("AAAAAAAAAAAAAAAAAAAAAA", &id), 0);
    MR_CHECK(mr_uuid_is_zero(&id));
}

MR_TEST(kafka_errors_have_names_texts_and_one_errno_mapping)
{
    MR_CHECK_STR(mr_kafka_err_name(2), "CORRUPT_MESSAGE");
    MR_CHECK_STR(mr_kafka_err_name(-1), "UNKNOWN_SERVER_ERROR");
    MR_CHECK_STR(mr_kafka_err_name(9999), "UNKNOWN");
    MR_CHECK_EQ(mr_kafka_err_from_errno(0), MR_KAFKA_NONE);
    MR_CHECK_EQ(mr_kafka_err_from_errno(-EIO), MR_KAFKA_KAFKA_STORAGE_ERROR);
    MR_CHECK_EQ(mr_kafka_err_from_errno(-ENODEV), MR_KAFKA_UNKNOWN_SERVER_ERROR);
}

MR_TEST(lists_keep_order_and_survive_removal_inside_a_loop)
{
    struct mr_list head;
    struct mr_list nodes[4];
    unsigned seen = 0;

    mr_list_init(&head);
    MR_CHECK(mr_list_pop_front(&head) == NULL);
    for (unsigned i = 0; i < 4; i++) {
        mr_list_push_back(&head, &nodes[i]);
    }
    MR_LIST_FOR_EACH(node, &head)
    {
        MR_CHECK(node == &nodes[seen++]);
        mr_list_remove(node);
        mr_list_remove(node); /* a second time does no harm */
    }
    MR_CHECK_EQ(seen, 4);
    MR_CHECK(mr_list_empty(&head));
}

MR_TEST(random_numbers_repeat_by_seed_and_stay_in_bounds)
{
    struct mr_rng a;
    struct mr_rng b;

    mr_rng_init(&a, 7);
    mr_rng_init(&b, 7);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t bound = 1 + i * i;
        uint64_t number = mr_rng_below(&a, bound);
        double unit = mr_rng_unit(&a);

        MR_CHECK(number < bound);
        MR_CHECK(unit >= 0 && unit < 1);
        MR_CHECK_EQ(mr_rng_below(&b, bound), number);
        mr_rng_unit(&b);
    }
}

MR_TEST(a_simulated_clock_moves_only_when_told)
{
    struct mr_clock_sim sim;

    mr_clock_sim_init(&sim, 1000);
    MR_CHECK_EQ(mr_clock_now_ns(&sim.clock), 0);
    MR_CHECK_EQ(mr_clock_wall_ms(&sim.clock), 1000);
    sim.now_ns += 5 * MR_NS_PER_MS;
    MR_CHECK_EQ(mr_clock_wall_ms(&sim.clock), 1005);
    MR_CHECK(mr_clock_now_ns(&mr_clock_system) > 0);
}

MR_TEST(integers_keep_their_byte_order)
{
    uint8_t bytes[8];

    mr_be32_put(bytes, 0x01020304);
    MR_CHECK_EQ(bytes[0], 1);
    MR_CHECK_EQ(mr_be32_get(bytes), 0x01020304);
    mr_le64_put(bytes, 0x0102030405060708);
    MR_CHECK_EQ(bytes[0], 8);
    MR_CHECK(mr_le64_get(bytes) == 0x0102030405060708);
}

MR_TEST_MAIN(MR_TEST_CASE(bump_stays_in_the_first_chunk_and_stops_at_its_limit),
             MR_TEST_CASE(histogram_quantiles_are_at_most_one_step_above),
             MR_TEST_CASE(uuids_survive_their_text),
             MR_TEST_CASE(texts_that_are_no_uuid_are_refused),
             MR_TEST_CASE(kafka_errors_have_names_texts_and_one_errno_mapping),
             MR_TEST_CASE(lists_keep_order_and_survive_removal_inside_a_loop),
             MR_TEST_CASE(random_numbers_repeat_by_seed_and_stay_in_bounds),
             MR_TEST_CASE(a_simulated_clock_moves_only_when_told),
             MR_TEST_CASE(integers_keep_their_byte_order))
