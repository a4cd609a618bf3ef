/* Goal: fetch sessions are made, found, changed, ended and evicted as KIP-227 says, and give all
 * their memory back.
 * Method: requests and answers by hand against the cache alone, with a clock that is a number; a
 * random run against a simple list of what the client was told (ASan watches the memory). */
#include <stdlib.h>

#include "dataplane/base/rng.h"
#include "dataplane/kafka/api.h"
#include "dataplane/kafka/fetch_session.h"
#include "tests/mr_test.h"

#define PARTITIONS_MAX 40u
#define VERSION_NAMES  11
#define VERSION_IDS    13

struct fixture {
    struct mr_shard shard;
    struct mr_server server;
    struct mr_request *request;
    struct mr_fetch_sessions *sessions;
    struct mr_fetch_request asked;
    struct mr_fetch_request_topic topic;
    struct mr_fetch_request_partition partitions[PARTITIONS_MAX];
    struct mr_fetch_request_forgotten_topic forgotten;
    int32_t forgotten_partitions[PARTITIONS_MAX];

    /* What the logs have. */
    int64_t high_watermark[PARTITIONS_MAX];
    enum mr_kafka_err error[PARTITIONS_MAX];
    bool records[PARTITIONS_MAX];

    /* Of the last fetch. */
    enum mr_kafka_err result;
    int32_t session_id;
    bool told[PARTITIONS_MAX];
    unsigned told_count;
    int32_t first; /* partition that was fetched first */
};

static void
setup(struct fixture *f, uint32_t slots)
{
    memset(f, 0, sizeof(*f));
    f->shard.now_ns = MR_NS_PER_S;
    f->shard.shard_count = 4;
    f->server.shard = &f->shard;
    f->request = aligned_alloc(64, MR_REQUEST_SIZE);
    memset(f->request, 0, MR_REQUEST_SIZE);
    f->request->server = &f->server;
    f->request->conn = (struct mr_conn *)f; /* only looked at for being there */
    mr_bump_init(&f->request->bump, f->request->memory, MR_REQUEST_SIZE - sizeof(*f->request),
                 16u << 20);
    f->sessions = mr_fetch_sessions_create(slots, 1000, 2, 4);
    MR_CHECK(f->sessions);
}

static void
teardown(struct fixture *f)
{
    mr_fetch_sessions_destroy(f->sessions);
    mr_bump_reset(&f->request->bump);
    free(f->request);
}

static struct mr_uuid
topic_id(void)
{
    return (struct mr_uuid){{7, 7, 7}};
}

/* The request names `count` partitions from `partition` on. */
static void
ask_for(struct fixture *f, int32_t partition, int32_t count)
{
    f->topic = (struct mr_fetch_request_topic){.topic = mr_str_from_c("topic"),
                                               .topic_id = topic_id(),
                                               .partitions = f->partitions,
                                               .partitions_count = count};
    for (int32_t i = 0; i < count; i++) {
        f->partitions[i] = (struct mr_fetch_request_partition){.partition = partition + i,
                                                               .partition_max_bytes = 100};
    }
    f->asked.topics = &f->topic;
    f->asked.topics_count = count > 0;
}

static void
forget(struct fixture *f, int32_t partition, int32_t count)
{
    f->forgotten = (struct mr_fetch_request_forgotten_topic){.topic = mr_str_from_c("topic"),
                                                             .topic_id = topic_id(),
                                                             .partitions = f->forgotten_partitions,
                                                             .partitions_count = count};
    for (int32_t i = 0; i < count; i++) {
        f->forgotten_partitions[i] = partition + i;
    }
    f->asked.forgotten_topics_data = &f->forgotten;
    f->asked.forgotten_topics_data_count = count > 0;
}

/* Answers what is to be fetched from the state of the logs. */
static void
answer(struct fixture *f, const struct mr_fetch_use *use, const struct mr_fetch_request *body)
{
    static const struct iovec nothing;
    struct mr_fetch_response response = {.responses_count = body->topics_count};

    response.responses =
        mr_request_alloc(f->request, (size_t)body->topics_count, sizeof(*response.responses));
    f->first = body->topics_count > 0 ? body->topics[0].partitions[0].partition : -1;
    for (int32_t t = 0; t < body->topics_count; t++) {
        struct mr_fetch_response_topic *topic = &response.responses[t];

        topic->topic = body->topics[t].topic;
        topic->topic_id = body->topics[t].topic_id;
        topic->partitions_count = body->topics[t].partitions_count;
        topic->partitions = mr_request_alloc(f->request, (size_t)topic->partitions_count,
                                             sizeof(*topic->partitions));
        for (int32_t p = 0; p < topic->partitions_count; p++) {
            int32_t partition = body->topics[t].partitions[p].partition;

            topic->partitions[p] = (struct mr_fetch_response_partition){
                .partition_index = partition,
                .error_code = (int16_t)f->error[partition],
                .high_watermark = f->error[partition] ? -1 : f->high_watermark[partition],
                .log_start_offset = f->error[partition] ? -1 : 0,
                .diverging_epoch = {-1, -1},
                .records = {&nothing, 0, f->records[partition] ? 10 : 0},
            };
        }
    }
    mr_fetch_session_end(f->sessions, use, f->request, body, &response);
    f->session_id = response.session_id;
    for (int32_t t = 0; t < response.responses_count; t++) {
        MR_CHECK(response.responses[t].partitions_count > 0 || !use->incremental);
        for (int32_t p = 0; p < response.responses[t].partitions_count; p++) {
            f->told[response.responses[t].partitions[p].partition_index] = true;
            f->told_count++;
        }
    }
}

/* One request and its answer; what was asked for and forgotten is spent. */
static int32_t
fetch(struct fixture *f, int32_t session, int32_t epoch, int16_t version)
{
    const struct mr_fetch_request *body;
    struct mr_fetch_use use;

    mr_bump_reset(&f->request->bump);
    memset(f->told, 0, sizeof(f->told));
    f->told_count = 0;
    f->session_id = 0;
    f->asked.replica_id = -1;
    f->asked.replica_state.replica_id = -1;
    f->asked.session_id = session;
    f->asked.session_epoch = epoch;
    f->request->version = version;
    f->request->body = &f->asked;
    f->result = mr_fetch_session_begin(f->sessions, f->request, &body, &use);
    if (f->result == MR_KAFKA_NONE) {
        answer(f, &use, body);
    }
    f->asked = (struct mr_fetch_request){0};
    return f->session_id;
}

static uint32_t
sessions_of(const struct fixture *f)
{
    uint32_t partitions;

    return mr_fetch_sessions_count(f->sessions, &partitions);
}

static uint32_t
partitions_of(const struct fixture *f)
{
    uint32_t partitions;

    mr_fetch_sessions_count(f->sessions, &partitions);
    return partitions;
}

MR_TEST(an_incremental_answer_has_only_what_is_new)
{
    for (int16_t version = VERSION_NAMES; version <= VERSION_IDS; version += 2) {
        struct fixture f;
        int32_t id;

        setup(&f, 10);
        ask_for(&f, 0, 5);
        id = fetch(&f, 0, 0, version);
        MR_CHECK(id > 0 && id % 4 == 2); /* ids tell the shard */
        MR_CHECK_EQ(f.told_count, 5);
        MR_CHECK_EQ(fetch(&f, id, 1, version), id);
        MR_CHECK_EQ(f.told_count, 0);
        f.high_watermark[3] = 1;
        fetch(&f, id, 2, version);
        MR_CHECK(f.told_count == 1 && f.told[3]);
        f.records[1] = true; /* records are news each time, and their partition goes last */
        fetch(&f, id, 3, version);
        MR_CHECK(f.told_count == 1 && f.told[1]);
        f.records[1] = false;
        f.records[0] = true;
        fetch(&f, id, 4, version);
        f.records[0] = false;
        fetch(&f, id, 5, version);
        MR_CHECK_EQ(f.first, 2);
        f.error[4] =
            MR_KAFKA_OFFSET_OUT_OF_RANGE; /* an error is told until it has gone, and then */
        fetch(&f, id, 6, version);
        fetch(&f, id, 7, version);
        MR_CHECK(f.told_count == 1 && f.told[4]);
        f.error[4] = MR_KAFKA_NONE;
        fetch(&f, id, 8, version);
        MR_CHECK(f.told_count == 1 && f.told[4]);
        fetch(&f, id, 9, version);
        MR_CHECK_EQ(f.told_count, 0);
        teardown(&f);
    }
}

MR_TEST(partitions_come_and_go_and_the_last_ends_the_session)
{
    struct fixture f;
    int32_t id;

    setup(&f, 10);
    ask_for(&f, 0, 2);
    id = fetch(&f, 0, 0, VERSION_IDS);
    ask_for(&f, 10, 20);
    fetch(&f, id, 1, VERSION_IDS);
    MR_CHECK_EQ(f.told_count, 20);
    MR_CHECK_EQ(partitions_of(&f), 22);
    forget(&f, 0, 12);
    fetch(&f, id, 2, VERSION_IDS);
    MR_CHECK_EQ(partitions_of(&f), 18);
    forget(&f, 0, 40);
    MR_CHECK_EQ(fetch(&f, id, 3, VERSION_IDS), 0);
    MR_CHECK_EQ(f.result, MR_KAFKA_NONE);
    MR_CHECK_EQ(sessions_of(&f), 0);
    MR_CHECK_EQ(partitions_of(&f), 0);
    teardown(&f);
}

MR_TEST(what_does_not_fit_the_session_is_refused)
{
    struct fixture f;
    int32_t id;

    setup(&f, 10);
    ask_for(&f, 0, 2);
    id = fetch(&f, 0, 0, VERSION_IDS);
    fetch(&f, id + 4, 1, VERSION_IDS);
    MR_CHECK_EQ(f.result, MR_KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    fetch(&f, -5, 1, VERSION_IDS);
    MR_CHECK_EQ(f.result, MR_KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    fetch(&f, id, 2, VERSION_IDS);
    MR_CHECK_EQ(f.result, MR_KAFKA_INVALID_FETCH_SESSION_EPOCH);
    fetch(&f, id, 1, VERSION_NAMES);
    MR_CHECK_EQ(f.result, MR_KAFKA_FETCH_SESSION_TOPIC_ID_ERROR);
    MR_CHECK_EQ(fetch(&f, id, 1, VERSION_IDS), id);
    MR_CHECK_EQ(fetch(&f, id, -1, VERSION_IDS), 0); /* closed */
    MR_CHECK_EQ(f.result, MR_KAFKA_NONE);
    fetch(&f, id, 2, VERSION_IDS);
    MR_CHECK_EQ(f.result, MR_KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    teardown(&f);
}

MR_TEST(a_full_cache_evicts_what_is_idle_or_old_and_smaller)
{
    struct fixture f;
    int32_t small;
    int32_t large;

    setup(&f, 2);
    ask_for(&f, 0, 2);
    small = fetch(&f, 0, 0, VERSION_IDS);
    ask_for(&f, 0, 9);
    large = fetch(&f, 0, 0, VERSION_IDS);
    ask_for(&f, 0, 5);
    MR_CHECK_EQ(fetch(&f, 0, 0, VERSION_IDS), 0); /* nobody is old */
    f.shard.now_ns += 119 * MR_NS_PER_S;
    MR_CHECK_EQ(fetch(&f, small, 1, VERSION_IDS), small);
    MR_CHECK_EQ(fetch(&f, large, 1, VERSION_IDS), large);
    f.shard.now_ns += 2 * MR_NS_PER_S; /* old, and not idle */
    ask_for(&f, 0, 2);
    MR_CHECK_EQ(fetch(&f, 0, 0, VERSION_IDS), 0); /* not larger than the smallest */
    ask_for(&f, 0, 5);
    MR_CHECK(fetch(&f, 0, 0, VERSION_IDS) > 0);
    fetch(&f, small, 2, VERSION_IDS);
    MR_CHECK_EQ(f.result, MR_KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    f.shard.now_ns += 121 * MR_NS_PER_S; /* all are idle */
    ask_for(&f, 0, 1);
    MR_CHECK(fetch(&f, 0, 0, VERSION_IDS) > 0);
    MR_CHECK_EQ(sessions_of(&f), 2);
    fetch(&f, large, 2, VERSION_IDS);
    MR_CHECK_EQ(f.result, MR_KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    teardown(&f);
}

MR_TEST(without_slots_or_with_too_many_partitions_there_is_no_session)
{
    struct fixture f;

    setup(&f, 0);
    ask_for(&f, 0, 2);
    MR_CHECK_EQ(fetch(&f, 0, 0, VERSION_IDS), 0);
    MR_CHECK_EQ(f.told_count, 2);
    teardown(&f);
    setup(&f, 100000);
    for (uint32_t i = 0; i < MR_FETCH_SESSION_PARTITIONS_MAX / PARTITIONS_MAX; i++) {
        ask_for(&f, 0, PARTITIONS_MAX);
        MR_CHECK(fetch(&f, 0, 0, VERSION_NAMES) > 0);
    }
    ask_for(&f, 0, PARTITIONS_MAX);
    MR_CHECK_EQ(fetch(&f, 0, 0, VERSION_NAMES), 0);
    MR_CHECK_EQ(f.told_count, PARTITIONS_MAX);
    MR_CHECK_EQ(partitions_of(&f),
                MR_FETCH_SESSION_PARTITIONS_MAX / PARTITIONS_MAX * PARTITIONS_MAX);
    teardown(&f);
}

/* Of each partition: whether the session has it, and what its client was told last. */
struct client {
    bool has[PARTITIONS_MAX];
    int64_t told[PARTITIONS_MAX];
};

static void
change(struct fixture *f, struct client *client, struct mr_rng *rng)
{
    int32_t from = (int32_t)mr_rng_below(rng, PARTITIONS_MAX);
    int32_t count = (int32_t)mr_rng_below(rng, (uint64_t)(PARTITIONS_MAX - (uint32_t)from)) + 1;

    if (mr_rng_below(rng, 2)) {
        ask_for(f, from, count);
        for (int32_t p = from; p < from + count; p++) {
            client->told[p] = client->has[p] ? client->told[p] : -1;
            client->has[p] = true;
        }
    } else if (from > 0) { /* partition 0 stays */
        forget(f, from, count);
        memset(&client->has[from], 0, (size_t)count);
    }
    f->high_watermark[mr_rng_below(rng, PARTITIONS_MAX)]++;
}

MR_TEST(a_random_client_is_told_of_every_change_once)
{
    struct fixture f;
    struct client client = {.has = {true}};
    struct mr_rng rng;
    int32_t id;

    mr_rng_init(&rng, 227);
    setup(&f, 3);
    ask_for(&f, 0, 1);
    id = fetch(&f, 0, 0, VERSION_NAMES);
    for (int32_t epoch = 1; epoch < 20000; epoch++) {
        change(&f, &client, &rng);
        MR_CHECK_EQ(fetch(&f, id, epoch, VERSION_NAMES), id);
        for (unsigned p = 0; p < PARTITIONS_MAX; p++) {
            MR_CHECK_EQ(f.told[p], client.has[p] && client.told[p] != f.high_watermark[p]);
            client.told[p] = f.high_watermark[p];
        }
    }
    teardown(&f);
}

MR_TEST_MAIN(MR_TEST_CASE(an_incremental_answer_has_only_what_is_new),
             MR_TEST_CASE(partitions_come_and_go_and_the_last_ends_the_session),
             MR_TEST_CASE(what_does_not_fit_the_session_is_refused),
             MR_TEST_CASE(a_full_cache_evicts_what_is_idle_or_old_and_smaller),
             MR_TEST_CASE(without_slots_or_with_too_many_partitions_there_is_no_session),
             MR_TEST_CASE(a_random_client_is_told_of_every_change_once))
