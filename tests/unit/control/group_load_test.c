/* Goal: what is durable comes back, in every form that Kafka has written, and damage does no harm.
 * Method: as group_test.c; records also by the byte. */
#include <errno.h>
#include <string.h>

#include "dataplane/base/endian.h"
#include "group_bed.h"

static struct bed bed;
static struct bed_member one, two;
static struct bed_commit commit;

static void
open_two(void)
{
    bed_open(&bed);
    bed_member(&bed, &one);
    bed_member(&bed, &two);
}

MR_TEST(a_stable_group_survives_a_restart_with_a_fresh_session)
{
    open_two();
    one.instance = "i";
    bed_stable_two(&one, &two);
    bed_commit_init(&bed, &commit, "g", "t", 0, 77);
    bed_commit_as(&commit, &two);
    bed_commit_send(&bed, &commit);
    bed_pass(&bed, 9000);
    bed_restart(&bed);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_STABLE);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), 77);
    bed_pass(&bed, 9000);
    MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_heartbeat(&two), MR_KAFKA_NONE);
    bed_sync(&two);
    MR_CHECK_STR(two.assignment, two.id + strlen(two.id) - 1);
    bed_join(&two); /* a follower, unchanged */
    MR_CHECK(two.joined);
    MR_CHECK_STR(two.leader, one.id);
    MR_CHECK_EQ(two.generation, 1);
    one.id[0] = '\0';
    bed_join(&one);
    MR_CHECK_EQ(one.error, MR_KAFKA_NONE);
    bed_pass(&bed, 10000);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_EMPTY);
    bed_close(&bed);
}

MR_TEST(a_loading_partition_answers_nothing_but_heartbeats)
{
    struct mr_groups_actions actions;
    struct mr_group_description description;
    int16_t offset_error;

    open_two();
    bed_stable(&one);
    mr_groups_destroy(bed.groups);
    actions = bed_actions(&bed);
    bed.groups = mr_groups_create(&bed.config, &actions);
    bed_join(&one);
    MR_CHECK_EQ(one.error, MR_KAFKA_NOT_COORDINATOR);
    MR_CHECK_EQ(one.join.out_member_id.size, 0);
    MR_CHECK_EQ(bed_commit(&bed, NULL, "t", 0, 1), MR_KAFKA_INVALID_GROUP_ID);
    one.session_ms = 1;
    bed_join(&one);
    MR_CHECK_EQ(one.error, MR_KAFKA_INVALID_SESSION_TIMEOUT);
    one.session_ms = 10000;
    one.id[0] = '\0';
    MR_CHECK_EQ(mr_groups_set_partition_count(bed.groups, 1), 0);
    bed_join(&one);
    MR_CHECK_EQ(one.error, MR_KAFKA_NOT_COORDINATOR);
    mr_groups_load_begin(bed.groups, 0);
    bed_join(&one);
    MR_CHECK_EQ(one.error, MR_KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    bed_sync(&one);
    MR_CHECK_EQ(one.sync_error, MR_KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_leave(&one), MR_KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    MR_CHECK_EQ(bed_commit(&bed, "g", "t", 0, 1), MR_KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    MR_CHECK_EQ(bed_delete(&bed, "g"), MR_KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    MR_CHECK_EQ(bed_offset_delete(&bed, "g", "t", 0, &offset_error),
                MR_KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    MR_CHECK_EQ(mr_groups_fetch_check(bed.groups, bed_str("g")),
                MR_KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    MR_CHECK_EQ(mr_groups_describe(bed.groups, bed_str("g"), &description),
                MR_KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    MR_CHECK_EQ(mr_groups_list(bed.groups, NULL, 0, NULL, 0, NULL, NULL),
                MR_KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    mr_groups_load_end(bed.groups, 0, bed.now);
    MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_UNKNOWN_MEMBER_ID);
    bed_close(&bed);
}

/* As when the topic is deleted under them, or the later batch is too large. */
MR_TEST(a_write_that_is_refused_early_waits_for_those_before_it)
{
    struct bed_commit first;
    struct bed_commit last;
    struct mr_group_write *refused;

    open_two();
    bed_stable(&one);
    bed.hold = true;
    bed_commit_init(&bed, &first, "g", "t", 0, 1);
    bed_commit_as(&first, &one);
    bed_commit_send(&bed, &first);
    bed_commit_init(&bed, &commit, "g", "t", 0, 2);
    bed_commit_as(&commit, &one);
    bed_commit_send(&bed, &commit);
    bed_commit_init(&bed, &last, "g", "t", 0, 3);
    bed_commit_as(&last, &one);
    bed_commit_send(&bed, &last);
    MR_CHECK_EQ(bed.write_count, 3);
    refused = bed.writes[1];
    bed.writes[1] = bed.writes[2];
    bed.write_count = 2;
    mr_groups_written(bed.groups, refused, MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION, bed.now);
    MR_CHECK(!first.done && !commit.done);
    bed_flush_one(&bed);
    MR_CHECK(first.done && commit.done && !last.done);
    MR_CHECK_EQ(first.offset.error, MR_KAFKA_NONE);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
    bed_flush(&bed);
    MR_CHECK_EQ(last.offset.error, MR_KAFKA_NONE);
    bed_close(&bed);
}

MR_TEST(a_failed_partition_ends_all_that_waits_and_can_be_loaded_again)
{
    struct mr_groups_stats stats;

    open_two();
    bed_stable(&one);
    bed_join(&two);
    bed.hold = true;
    bed_commit_init(&bed, &commit, "g", "t", 0, 1);
    bed_commit_as(&commit, &one);
    bed_commit_send(&bed, &commit);
    mr_groups_partition_failed(bed.groups, 0);
    MR_CHECK(two.joined && commit.done);
    MR_CHECK_EQ(two.error, MR_KAFKA_NOT_COORDINATOR);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_NOT_COORDINATOR);
    MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_NOT_COORDINATOR);
    mr_groups_load_begin(bed.groups, 0);
    mr_groups_load_end(bed.groups, 0, bed.now);
    bed.error = MR_KAFKA_KAFKA_STORAGE_ERROR;
    bed_flush(&bed);
    mr_groups_stats(bed.groups, &stats);
    MR_CHECK_EQ(stats.writes, 0);
    MR_CHECK_EQ(stats.edges[MR_GROUP_PREPARING_REBALANCE][MR_GROUP_DEAD], 1);
    bed_close(&bed);
}

static int
load(const void *key, size_t key_size, const void *value, size_t value_size)
{
    return mr_groups_load_record(bed.groups, 0, (struct mr_bytes){key, (int32_t)key_size},
                                 (struct mr_bytes){value, value ? (int32_t)value_size : -1});
}

static void
reload(void)
{
    open_two();
    mr_groups_partition_failed(bed.groups, 0);
    mr_groups_load_begin(bed.groups, 0);
}

MR_TEST(every_version_of_an_offset_is_read)
{
    /* Key version 0; offset 5, metadata "m", times. */
    static const uint8_t key[] = {0, 0, 0, 1, 'g', 0, 1, 't', 0, 0, 0, 0};
    static const uint8_t v0[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 1, 'm', 0, 0, 0, 0, 0, 0, 0, 1};
    static const uint8_t v1[] = {0, 1, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0,
                                 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2};
    static const uint8_t v3[] = {0, 3, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0,
                                 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    static const uint8_t v4[] = {0, 4, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0,
                                 0, 9, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0};
    struct mr_group_offset offset = {.topic = bed_str("t")};

    reload();
    MR_CHECK_EQ(load(key, sizeof(key), v0, sizeof(v0)), 0);
    mr_groups_fetch(bed.groups, bed_str("g"), &offset);
    MR_CHECK_EQ(offset.offset, 5);
    MR_CHECK_EQ(offset.metadata.size, 1);
    MR_CHECK_EQ(load(key, sizeof(key), v1, sizeof(v1)), 0);
    mr_groups_fetch(bed.groups, bed_str("g"), &offset);
    MR_CHECK_EQ(offset.offset, 6);
    MR_CHECK_EQ(load(key, sizeof(key), v3, sizeof(v3)), 0);
    mr_groups_fetch(bed.groups, bed_str("g"), &offset);
    MR_CHECK_EQ(offset.offset, 7);
    MR_CHECK_EQ(offset.leader_epoch, 9);
    MR_CHECK_EQ(load(key, sizeof(key), v4, sizeof(v4)), 0);
    mr_groups_fetch(bed.groups, bed_str("g"), &offset);
    MR_CHECK_EQ(offset.offset, 8);
    MR_CHECK_EQ(load(key, sizeof(key), NULL, 0), 0);
    mr_groups_fetch(bed.groups, bed_str("g"), &offset);
    MR_CHECK_EQ(offset.offset, -1);
    mr_groups_load_end(bed.groups, 0, bed.now);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_EMPTY);
    bed_close(&bed);
}

static uint8_t made[256];
static size_t made_size;

static void
put(uint64_t number, size_t size)
{
    while (size-- > 0) {
        made[made_size++] = (uint8_t)(number >> 8 * size);
    }
}

/* A string or bytes with a length of `size`; from version 4 on lengths are compact. */
static void
put_text(int version, size_t size, const char *text)
{
    put(strlen(text) + (version >= 4 ? 1 : 0), version >= 4 ? 1 : size);
    for (; *text; text++) {
        put((uint8_t)*text, 1);
    }
}

/* Generation 3 of one member, "m". */
static void
make_group_value(int version)
{
    made_size = 0;
    put((uint64_t)version, 2);
    put_text(version, 2, "consumer");
    put(3, 4);
    put_text(version, 2, "range");
    put_text(version, 2, "m");
    put(7, version >= 2 ? 8 : 0); /* when its state began */
    put(version >= 4 ? 2 : 1, version >= 4 ? 1 : 4);
    put_text(version, 2, "m");
    if (version >= 3) {
        put_text(version, 2, "i");
    }
    put_text(version, 2, "client");
    put_text(version, 2, "/host");
    put(20000, version >= 1 ? 4 : 0); /* the rebalance timeout */
    put(10000, 4);
    put_text(version, 4, "subscription");
    put_text(version, 4, "assignment");
    put(0, version >= 4 ? 2 : 0); /* tags of the member and of the group */
}

MR_TEST(every_version_of_a_group_is_read)
{
    static const uint8_t key[] = {0, 2, 0, 1, 'g'};
    struct mr_group_description description;

    for (int version = 0; version <= 5; version++) {
        reload();
        make_group_value(version);
        MR_CHECK_EQ(load(key, sizeof(key), made, made_size), version > 4 ? -EBADMSG : 0);
        mr_groups_load_end(bed.groups, 0, bed.now);
        if (version <= 4) {
            MR_CHECK_EQ(mr_groups_describe(bed.groups, bed_str("g"), &description), MR_KAFKA_NONE);
            MR_CHECK_EQ(description.state, MR_GROUP_STABLE);
            MR_CHECK_EQ(description.generation, 3);
            MR_CHECK_EQ(description.member_count, 1);
            MR_CHECK_EQ(description.members[0].instance_id.size, version >= 3 ? 1 : -1);
            MR_CHECK_EQ(description.members[0].client_host.size, 5);
            MR_CHECK_EQ(description.members[0].metadata.size, 12);
            MR_CHECK_EQ(description.members[0].assignment.size, 10);
            bed_pass(&bed, 9999);
            MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_STABLE);
            bed_pass(&bed, 1);
            MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_EMPTY);
        }
        bed_close(&bed);
    }
}

MR_TEST(records_are_written_as_kafka_4_3_1_writes_them)
{
    struct mr_group_write *write;

    open_two();
    bed.hold = true;
    bed_commit_init(&bed, &commit, "g", "t", 3, 5);
    commit.offset.metadata = bed_str("m");
    bed_commit_send(&bed, &commit);
    write = bed.writes[0];
    MR_CHECK_EQ(write->record_count, 1);
    MR_CHECK_EQ(write->timestamp_ms, bed.now.ms);
    MR_CHECK_EQ(write->records[0].key.size, 12);
    MR_CHECK(memcmp(write->records[0].key.data, "\0\1\0\1g\0\1t\0\0\0\3", 12) == 0);
    MR_CHECK_EQ(mr_be16_get(write->records[0].value.data), 4);
    MR_CHECK_EQ(write->records[0].value.size, 2 + 8 + 4 + 2 + 8 + 1);
    bed_flush(&bed);
    commit.commit.retention_ms = 1;
    commit.done = false;
    bed_commit_send(&bed, &commit);
    MR_CHECK_EQ(mr_be16_get(bed.writes[0]->records[0].value.data), 1);
    bed_flush(&bed);
    bed_join(&one);
    MR_CHECK_EQ(bed.write_count, 0); /* the group is there */
    bed_pass(&bed, 3000);
    bed_sync(&one);
    MR_CHECK(memcmp(bed.writes[0]->records[0].key.data, "\0\2\0\1g", 5) == 0);
    MR_CHECK_EQ(mr_be16_get(bed.writes[0]->records[0].value.data), 3);
    bed_flush(&bed);
    bed_close(&bed);
}

/* Others look partitions up by their number. */
MR_TEST(an_offset_of_a_negative_partition_is_none)
{
    static const uint8_t key[] = {0, 1, 0, 1, 'g', 0, 1, 't', 0xff, 0xff, 0xff, 0xff};
    static const uint8_t offset[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

    reload();
    MR_CHECK_EQ(load(key, sizeof(key), offset, sizeof(offset)), -EBADMSG);
    mr_groups_load_end(bed.groups, 0, bed.now);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_DEAD);
    bed_close(&bed);
}

MR_TEST(damaged_records_do_no_harm)
{
    struct bed_record good[8];
    uint32_t count = 0;
    struct mr_rng rng;
    uint64_t seed = 5;

    open_two();
    one.instance = "i";
    bed_stable_two(&one, &two);
    bed_commit_init(&bed, &commit, "g", "t", 0, 1);
    bed_commit_as(&commit, &one);
    bed_commit_send(&bed, &commit);
    for (; count < bed.record_count && count < 8; count++) {
        good[count] = bed.records[count];
    }
    bed.record_count = 0;
    mr_groups_partition_failed(bed.groups, 0);
    mr_groups_load_begin(bed.groups, 0);
    printf("  seed %" PRIu64 "\n", seed);
    mr_rng_init(&rng, seed);
    for (int i = 0; i < 200000; i++) {
        struct bed_record *record = &good[mr_rng_below(&rng, count)];
        uint8_t bytes[1024];
        size_t value_size = record->value_size > 0 ? (size_t)record->value_size : 0;
        size_t size = (size_t)record->key_size + value_size;
        size_t key_size = (size_t)record->key_size;
        uint8_t *exact;
        int result;

        memcpy(bytes, record->bytes, size);
        for (uint64_t flips = mr_rng_below(&rng, 4); flips > 0; flips--) {
            bytes[mr_rng_below(&rng, size)] = (uint8_t)mr_rng_next(&rng);
        }
        if (mr_rng_below(&rng, 4) == 0) {
            value_size = mr_rng_below(&rng, value_size + 1);
        }
        exact = malloc(key_size + value_size); /* so that a sanitizer sees every read beyond */
        memcpy(exact, bytes, key_size + value_size);
        result = load(exact, key_size, mr_rng_below(&rng, 8) ? exact + key_size : NULL, value_size);
        MR_CHECK(result == 0 || result == -EBADMSG);
        free(exact);
    }
    mr_groups_load_end(bed.groups, 0, bed.now);
    for (uint32_t i = 0; i < count; i++) {
        free(good[i].bytes);
    }
    bed_close(&bed);
}

MR_TEST_MAIN(MR_TEST_CASE(a_stable_group_survives_a_restart_with_a_fresh_session),
             MR_TEST_CASE(a_loading_partition_answers_nothing_but_heartbeats),
             MR_TEST_CASE(a_write_that_is_refused_early_waits_for_those_before_it),
             MR_TEST_CASE(a_failed_partition_ends_all_that_waits_and_can_be_loaded_again),
             MR_TEST_CASE(every_version_of_an_offset_is_read),
             MR_TEST_CASE(every_version_of_a_group_is_read),
             MR_TEST_CASE(records_are_written_as_kafka_4_3_1_writes_them),
             MR_TEST_CASE(an_offset_of_a_negative_partition_is_none),
             MR_TEST_CASE(damaged_records_do_no_harm))
