/* Goal: a client over its quota is held to it within 10% over 10 s, on one shard and on several;
 * one within it never waits; the most specific quota is the one that counts. Method: the meters
 * alone, and a clock that is a number. Clients send as fast as they may. */
#include <stdlib.h>
#include <string.h>

#include "control/ctl_msg.h"
#include "dataplane/base/rng.h"
#include "dataplane/kafka/quota.h"
#include "tests/mr_test.h"

#define SHARDS_MAX 4u
#define SECOND_MS  1000u
#define RUN_MS     (66 * SECOND_MS)

struct fixture {
    struct mr_quotas *shards[SHARDS_MAX];
    unsigned count;
};

static void
setup(struct fixture *f, unsigned shards, uint32_t meters)
{
    struct mr_quota_config config = {
        .meters_max = meters, .samples = 11, .sample_ms = SECOND_MS, .shard_count = shards};

    f->count = shards;
    for (unsigned i = 0; i < shards; i++) {
        f->shards[i] = mr_quotas_create(&config);
        MR_CHECK(f->shards[i]);
    }
}

static void
teardown(struct fixture *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        mr_quotas_destroy(f->shards[i]);
    }
}

static struct mr_quota_key
key_of(const char *client)
{
    return mr_quota_key(MR_QUOTA_PRODUCE, false, client, strlen(client));
}

/* One request on a shard; what must be told to the others arrives there at once. */
static uint64_t
use(struct fixture *f, unsigned shard, struct mr_quota_key key, double limit, double amount,
    uint64_t now_ms)
{
    uint64_t wait = mr_quotas_charge(f->shards[shard], key, limit, amount, now_ms);
    double untold = mr_quotas_untold(f->shards[shard], key, limit);

    for (unsigned i = 0; untold > 0 && i < f->count; i++) {
        if (i != shard) {
            mr_quotas_learn(f->shards[i], key, untold, now_ms);
        }
    }
    if (untold > 0) {
        mr_quotas_told(f->shards[shard], key);
    }
    return wait;
}

/* What a client with a connection on each shard sends in each 11 s, which is its quota's window;
 * the first window lets it have 10 s at once. */
static void
greedy_client(unsigned shards, double limit, double size)
{
    struct mr_quota_key key = key_of("greedy");
    uint64_t free_ms[SHARDS_MAX] = {0};
    double sum = 0;
    struct fixture f;

    setup(&f, shards, 4);
    for (uint64_t now_ms = 1; now_ms <= RUN_MS; now_ms++) {
        for (unsigned i = 0; i < shards; i++) {
            /* A connection sends up to 50 requests in a millisecond. */
            for (unsigned k = 0; k < 50 && free_ms[i] <= now_ms; k++) {
                uint64_t wait = use(&f, i, key, limit, size, now_ms);

                sum += size;
                free_ms[i] = wait > 0 ? now_ms + wait : free_ms[i];
            }
        }
        if (now_ms == 10 * SECOND_MS) { /* the first ten seconds */
            MR_CHECK(sum >= 9 * limit && sum <= 11 * limit);
        }
    }
    MR_CHECK(sum >= 0.9 * limit * (RUN_MS / 1000.0) && sum <= 1.1 * limit * (RUN_MS / 1000.0));
    teardown(&f);
}

MR_TEST(a_client_over_its_quota_is_held_to_it_within_a_tenth)
{
    for (unsigned shards = 1; shards <= SHARDS_MAX; shards++) {
        greedy_client(shards, 1 << 20, 16384);
        greedy_client(shards, 1 << 20, 1000);
        greedy_client(shards, 50 << 20, 1 << 20);
    }
}

MR_TEST(a_client_within_its_quota_never_waits)
{
    struct mr_rng rng;
    struct fixture f;

    mr_rng_init(&rng, 7);
    setup(&f, 2, 4);
    for (uint64_t now_ms = 0; now_ms < RUN_MS; now_ms += 10) {
        unsigned shard = (unsigned)mr_rng_below(&rng, 2);

        MR_CHECK_EQ(use(&f, shard, key_of("modest"), 1 << 20, 9000, now_ms), 0); /* 900,000/s */
        use(&f, shard, key_of("greedy"), 1 << 20, 1 << 20, now_ms);
    }
    teardown(&f);
}

MR_TEST(the_wait_brings_the_sum_back_to_the_limit)
{
    struct mr_quota_key key = key_of("one");
    struct fixture f;

    setup(&f, 1, 4);
    MR_CHECK_EQ(mr_quotas_charge(f.shards[0], key, 100, 1000, 0), 0);     /* the whole window */
    MR_CHECK_EQ(mr_quotas_charge(f.shards[0], key, 100, 50, 0), 10500);   /* takes 10.5 s */
    MR_CHECK_EQ(mr_quotas_charge(f.shards[0], key, 100, 0, 10500), 0);    /* 10.5 s have passed */
    MR_CHECK_EQ(mr_quotas_charge(f.shards[0], key, 100, 1000, 11000), 0); /* the window is new */
    MR_CHECK_EQ(mr_quotas_charge(f.shards[0], key, 1e-4, 1, 11000), INT32_MAX);
    teardown(&f);
}

MR_TEST(what_is_tried_over_the_limit_is_not_counted)
{
    struct mr_quota_key key = key_of("reader");
    struct fixture f;

    setup(&f, 1, 4);
    MR_CHECK_EQ(mr_quotas_try(f.shards[0], key, 100, 5000, 0), 0); /* nothing was used before it */
    MR_CHECK(mr_quotas_try(f.shards[0], key, 100, 1, 1000) > 0);
    MR_CHECK(mr_quotas_try(f.shards[0], key, 100, 1, 10000) > 0);
    MR_CHECK_EQ(mr_quotas_try(f.shards[0], key, 100, 1, 11000), 0);
    teardown(&f);
}

MR_TEST(the_client_that_was_longest_silent_makes_room)
{
    struct fixture f;

    setup(&f, 1, 2);
    MR_CHECK(mr_quotas_charge(f.shards[0], key_of("a"), 1, 100, 0) > 0);
    MR_CHECK(mr_quotas_charge(f.shards[0], key_of("b"), 1, 100, 1) > 0);
    MR_CHECK(mr_quotas_charge(f.shards[0], key_of("a"), 1, 0, 2) > 0);
    MR_CHECK_EQ(mr_quotas_charge(f.shards[0], key_of("c"), 1, 0, 3), 0);
    MR_CHECK(mr_quotas_charge(f.shards[0], key_of("a"), 1, 0, 4) > 0);
    MR_CHECK_EQ(mr_quotas_charge(f.shards[0], key_of("b"), 1, 0, 5), 0); /* begins anew */
    teardown(&f);
}

MR_TEST(the_most_specific_quota_counts)
{
    static const struct mr_snapshot_quota rules[] = {
        {MR_QUOTA_USER_CLIENT, "a", 1, {1, -1, -1}},
        {MR_QUOTA_USER_CLIENT, "ab", 2, {-1, 9, -1}},
        {MR_QUOTA_USER_ANY_CLIENT, NULL, 0, {2, -1, -1}},
        {MR_QUOTA_USER, NULL, 0, {-1, 3, -1}},
        {MR_QUOTA_ANY_USER_CLIENT, "a", 1, {4, 4, -1}},
        {MR_QUOTA_CLIENT, "b", 1, {-1, 5, 5}},
        {MR_QUOTA_ANY_CLIENT, NULL, 0, {6, 6, 0}},
    };
    static const struct mr_snapshot_quotas quotas = {
        sizeof(rules) / sizeof(rules[0]), {true, true, true}, rules};
    bool shared = false;

    MR_CHECK(mr_snapshot_quota(&quotas, MR_QUOTA_PRODUCE, "a", 1, &shared) == 1 && !shared);
    MR_CHECK(mr_snapshot_quota(&quotas, MR_QUOTA_PRODUCE, "ab", 2, &shared) == 2 && !shared);
    MR_CHECK(mr_snapshot_quota(&quotas, MR_QUOTA_FETCH, "a", 1, &shared) == 3 && shared);
    MR_CHECK(mr_snapshot_quota(&quotas, MR_QUOTA_FETCH, "ab", 2, &shared) == 9 && !shared);
    MR_CHECK(mr_snapshot_quota(&quotas, MR_QUOTA_REQUEST, "b", 1, &shared) == 5 && !shared);
    MR_CHECK(mr_snapshot_quota(&quotas, MR_QUOTA_REQUEST, "", 0, &shared) == 0 && !shared);
}

MR_TEST_MAIN(MR_TEST_CASE(a_client_over_its_quota_is_held_to_it_within_a_tenth),
             MR_TEST_CASE(a_client_within_its_quota_never_waits),
             MR_TEST_CASE(the_wait_brings_the_sum_back_to_the_limit),
             MR_TEST_CASE(what_is_tried_over_the_limit_is_not_counted),
             MR_TEST_CASE(the_client_that_was_longest_silent_makes_room),
             MR_TEST_CASE(the_most_specific_quota_counts))
