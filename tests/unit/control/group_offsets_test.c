/* Goal: offsets are committed, fetched, deleted and expired by Kafka's rules; bounds and failed
 * allocations refuse and never break. Method: as group_test.c. */
#include <errno.h>

#include "dataplane/base/clock.h"
#include "group_bed.h"

#define HOUR_MS (60 * 60 * 1000ll)
#define DAY_MS  (24 * HOUR_MS)

static struct bed bed;
static struct bed_member one, two;
static struct bed_commit commit;

/* "t" and "u" are subscribed to. */
static const uint8_t subscription[] = {0,   1, 0, 0,   0,    2,    0,    1,
                                       't', 0, 1, 'u', 0xff, 0xff, 0xff, 0xff};

static void
open_two(void)
{
    bed_open(&bed);
    bed_member(&bed, &one);
    bed_member(&bed, &two);
}

static void
subscribe(struct bed_member *member)
{
    member->protocols[0].metadata = (struct mr_bytes){subscription, sizeof(subscription)};
}

/* ---- commit and fetch --------------------------------------------------------------------------
 */

MR_TEST(an_offset_is_fetched_once_it_is_durable)
{
    open_two();
    bed.hold = true;
    bed_commit_init(&bed, &commit, "g", "t", 3, 42);
    bed_commit_send(&bed, &commit);
    MR_CHECK(!commit.done);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 3), -1);
    bed_flush(&bed);
    MR_CHECK(commit.done);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 3), 42);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 2), -1);
    MR_CHECK_EQ(bed_fetch(&bed, "other", "t", 3), -1);
    bed_close(&bed);
}

MR_TEST(an_offset_that_is_not_durable_leaves_the_one_before)
{
    open_two();
    MR_CHECK_EQ(bed_commit(&bed, "g", "t", 0, 1), MR_KAFKA_NONE);
    bed.error = MR_KAFKA_NOT_ENOUGH_REPLICAS;
    MR_CHECK_EQ(bed_commit(&bed, "g", "t", 0, 2), MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), 1);
    MR_CHECK_EQ(bed_commit(&bed, "fresh", "t", 0, 2), MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
    MR_CHECK_EQ(bed_fetch(&bed, "fresh", "t", 0), -1);
    bed_close(&bed);
}

MR_TEST(a_deletion_covers_a_commit_that_failed_and_is_in_the_log_all_the_same)
{
    struct mr_group_write *write;

    open_two();
    MR_CHECK_EQ(bed_commit(&bed, "g", "u", 0, 1), MR_KAFKA_NONE);
    bed.hold = true;
    bed_commit_init(&bed, &commit, "g", "t", 0, 2);
    bed_commit_send(&bed, &commit);
    write = bed.writes[0];
    bed_keep(&bed, write);
    bed.error = MR_KAFKA_REQUEST_TIMED_OUT;
    bed_flush(&bed);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), -1);
    bed.hold = false;
    bed.error = MR_KAFKA_NONE;
    MR_CHECK_EQ(bed_delete(&bed, "g"), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_DEAD);
    bed_restart(&bed);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), -1);
    bed_close(&bed);
}

static int visits;

static void
visit(void *context, const struct mr_group_offset *offset)
{
    (void)context;
    visits = visits * 10 + (int)offset->offset;
}

MR_TEST(a_fetched_offset_has_its_epoch_metadata_and_topic_id)
{
    struct mr_group_offset offset = {.topic = bed_str("t"), .partition = 1};

    open_two();
    bed_commit_init(&bed, &commit, "g", "t", 1, 7);
    commit.offset.leader_epoch = 5;
    commit.offset.metadata = bed_str("note");
    commit.offset.topic_id.bytes[0] = 1;
    bed_commit_send(&bed, &commit);
    bed_restart(&bed);
    mr_groups_fetch(bed.groups, bed_str("g"), &offset);
    MR_CHECK_EQ(offset.offset, 7);
    MR_CHECK_EQ(offset.leader_epoch, 5);
    MR_CHECK_EQ(offset.metadata.size, 4);
    offset.topic_id.bytes[0] = 1;
    mr_groups_fetch(bed.groups, bed_str("g"), &offset);
    MR_CHECK_EQ(offset.offset, 7);
    offset.topic_id.bytes[0] = 2; /* another topic with the same name */
    mr_groups_fetch(bed.groups, bed_str("g"), &offset);
    MR_CHECK_EQ(offset.offset, -1);
    MR_CHECK_EQ(offset.leader_epoch, -1);
    MR_CHECK_EQ(bed_commit(&bed, "g", "u", 0, 8), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_commit(&bed, "g", "t", 2, 9), MR_KAFKA_NONE);
    visits = 0;
    mr_groups_fetch_all(bed.groups, bed_str("g"), visit, NULL);
    MR_CHECK_EQ(visits, 798); /* those of a topic in a row */
    bed_close(&bed);
}

MR_TEST(a_commit_of_a_member_is_checked_against_its_generation)
{
    open_two();
    bed_stable(&one);
    bed_commit_init(&bed, &commit, "g", "t", 0, 1);
    bed_commit_as(&commit, &one);
    bed_commit_send(&bed, &commit);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_NONE);
    one.generation++;
    bed_commit_init(&bed, &commit, "g", "t", 0, 2);
    bed_commit_as(&commit, &one);
    bed_commit_send(&bed, &commit);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_ILLEGAL_GENERATION);
    one.generation--;
    bed_commit_init(&bed, &commit, "g", "t", 0, 2);
    bed_commit_as(&commit, &one);
    commit.commit.member_id = bed_str("stranger");
    bed_commit_send(&bed, &commit);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_UNKNOWN_MEMBER_ID);
    bed_commit_init(&bed, &commit, "g", "t", 0, 2);
    bed_commit_as(&commit, &one);
    commit.commit.instance_id = bed_str("nobody");
    bed_commit_send(&bed, &commit);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_UNKNOWN_MEMBER_ID);
    /* One that is no member may only while there are none. */
    MR_CHECK_EQ(bed_commit(&bed, "g", "t", 0, 3), MR_KAFKA_UNKNOWN_MEMBER_ID);
    bed_leave(&one);
    MR_CHECK_EQ(bed_commit(&bed, "g", "t", 0, 3), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), 3);
    bed_close(&bed);
}

MR_TEST(a_commit_for_a_group_that_does_not_exist_needs_no_generation)
{
    open_two();
    bed_commit_init(&bed, &commit, "g", "t", 0, 1);
    commit.commit.generation = 1;
    commit.commit.member_id = bed_str("m");
    bed_commit_send(&bed, &commit);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_ILLEGAL_GENERATION);
    commit.done = false;
    commit.offset.error = MR_KAFKA_NONE;
    commit.commit.api_version = 9;
    bed_commit_send(&bed, &commit);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_GROUP_ID_NOT_FOUND);
    MR_CHECK_EQ(bed_commit(&bed, "g", "t", 0, 1), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_EMPTY);
    bed_close(&bed);
}

MR_TEST(commits_while_the_leader_assigns_are_sent_back_and_before_that_they_are_taken)
{
    open_two();
    bed_stable(&one);
    bed_join(&two);
    bed_commit_init(&bed, &commit, "g", "t", 0, 5);
    bed_commit_as(&commit, &one);
    bed_pass(&bed, 9000);
    bed_commit_send(&bed, &commit); /* and the session begins anew */
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_NONE);
    bed_pass(&bed, 9000);
    bed_join(&one);
    MR_CHECK_EQ(one.error, MR_KAFKA_NONE);
    bed_commit_init(&bed, &commit, "g", "t", 0, 6);
    bed_commit_as(&commit, &one);
    bed_commit_send(&bed, &commit);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_REBALANCE_IN_PROGRESS);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), 5);
    bed_close(&bed);
}

MR_TEST(metadata_may_be_as_long_as_the_limit_in_characters)
{
    static char text[4 * 4096 + 8];

    open_two();
    memset(text, 'x', 4097);
    bed_commit_init(&bed, &commit, "g", "t", 0, 1);
    commit.offset.metadata = bed_str(text);
    bed_commit_send(&bed, &commit);
    MR_CHECK(commit.done);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_OFFSET_METADATA_TOO_LARGE);
    text[4096] = '\0';
    bed_commit_init(&bed, &commit, "g", "t", 0, 1);
    commit.offset.metadata = bed_str(text);
    bed_commit_send(&bed, &commit);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_NONE);
    for (int i = 0; i < 4096; i++) { /* a character of two bytes counts once, one of four twice */
        memcpy(text + 2 * i, "\xc3\xa4", 2);
    }
    text[2 * 4096] = '\0';
    bed_commit_init(&bed, &commit, "g", "t", 0, 1);
    commit.offset.metadata = bed_str(text);
    bed_commit_send(&bed, &commit);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_NONE);
    memcpy(text + 2 * 4094, "\xf0\x9f\x98\x80\xc3\xa4", 7);
    bed_commit_init(&bed, &commit, "g", "t", 0, 1);
    commit.offset.metadata = bed_str(text);
    bed_commit_send(&bed, &commit);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_OFFSET_METADATA_TOO_LARGE);
    bed_close(&bed);
}

MR_TEST(partitions_that_the_caller_has_refused_are_left_alone)
{
    struct mr_group_offset offsets[3];

    open_two();
    bed_commit_init(&bed, &commit, "g", "t", 0, 1);
    offsets[0] = commit.offset;
    offsets[1] = commit.offset;
    offsets[1].error = MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    offsets[2] = commit.offset; /* the same partition again: the last one stays */
    offsets[2].offset = 9;
    commit.commit.offsets = offsets;
    commit.commit.offset_count = 3;
    bed_commit_send(&bed, &commit);
    MR_CHECK_EQ(offsets[0].error, MR_KAFKA_NONE);
    MR_CHECK_EQ(offsets[1].error, MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), 9);
    bed_commit_init(&bed, &commit, "h", "t", 0, 1);
    commit.offset.error = MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    bed_commit_send(&bed, &commit);
    MR_CHECK(commit.done);
    MR_CHECK_EQ(bed_state(&bed, "h"), MR_GROUP_DEAD);
    bed_close(&bed);
}

MR_TEST(a_cancelled_commit_is_made_all_the_same)
{
    open_two();
    bed.hold = true;
    bed_commit_init(&bed, &commit, "g", "t", 0, 1);
    bed_commit_send(&bed, &commit);
    mr_groups_cancel(bed.groups, &commit.commit.request);
    bed_flush(&bed);
    MR_CHECK(!commit.done);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), 1);
    bed_close(&bed);
}

/* ---- deletion ----------------------------------------------------------------------------------
 */

MR_TEST(a_group_is_deleted_when_nobody_is_in_it)
{
    open_two();
    MR_CHECK_EQ(bed_delete(&bed, "g"), MR_KAFKA_GROUP_ID_NOT_FOUND);
    bed_stable(&one);
    MR_CHECK_EQ(bed_delete(&bed, "g"), MR_KAFKA_NON_EMPTY_GROUP);
    bed_leave(&one);
    MR_CHECK_EQ(bed_commit(&bed, "g", "t", 0, 1), MR_KAFKA_NONE);
    bed.error = MR_KAFKA_REQUEST_TIMED_OUT;
    MR_CHECK_EQ(bed_delete(&bed, "g"), MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), 1);
    bed.error = MR_KAFKA_NONE;
    MR_CHECK_EQ(bed_delete(&bed, "g"), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_DEAD);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), -1);
    bed_restart(&bed);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_DEAD);
    bed_close(&bed);
}

static void
ignore(struct mr_group_request *request)
{
    (void)request;
}

MR_TEST(a_group_that_is_being_deleted_takes_nothing_and_what_was_on_its_way_goes_too)
{
    struct mr_group_delete request = {.request = {.done = ignore}, .group_id = bed_str("g")};
    struct bed_commit late;

    open_two();
    bed.hold = true;
    bed_commit_init(&bed, &commit, "g", "t", 0, 1);
    bed_commit_send(&bed, &commit);
    MR_CHECK(!mr_groups_delete(bed.groups, &request, bed.now));
    bed_commit_init(&bed, &late, "g", "t", 0, 2);
    bed_commit_send(&bed, &late);
    MR_CHECK(late.done);
    MR_CHECK_EQ(late.offset.error, MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
    bed_join(&one);
    MR_CHECK_EQ(one.error, MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
    bed_flush(&bed);
    MR_CHECK_EQ(commit.offset.error, MR_KAFKA_NONE);
    MR_CHECK_EQ(request.request.error, MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_DEAD);
    bed_restart(&bed);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), -1);
    bed_close(&bed);
}

MR_TEST(many_offsets_are_deleted_in_several_writes)
{
    char topic[16];

    open_two();
    for (int i = 0; i < 1500; i++) {
        snprintf(topic, sizeof(topic), "t%d", i);
        MR_CHECK_EQ(bed_commit(&bed, "g", topic, 0, i), MR_KAFKA_NONE);
    }
    MR_CHECK_EQ(bed_delete(&bed, "g"), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_DEAD);
    bed_restart(&bed);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_DEAD);
    bed_close(&bed);
}

MR_TEST(a_deletion_that_is_durable_in_part_says_so_and_can_be_repeated)
{
    struct mr_group_delete request = {.request = {.done = ignore}, .group_id = bed_str("g")};
    struct mr_groups_stats stats;
    char topic[16];

    open_two();
    for (int i = 0; i < 1500; i++) {
        snprintf(topic, sizeof(topic), "t%d", i);
        MR_CHECK_EQ(bed_commit(&bed, "g", topic, 0, i), MR_KAFKA_NONE);
    }
    bed.hold = true;
    MR_CHECK(!mr_groups_delete(bed.groups, &request, bed.now));
    MR_CHECK_EQ(bed.write_count, 2);
    bed.error = MR_KAFKA_REQUEST_TIMED_OUT;
    bed_flush_one(&bed);
    bed.error = MR_KAFKA_NONE;
    bed_flush_one(&bed);
    MR_CHECK_EQ(request.request.error, MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
    mr_groups_stats(bed.groups, &stats);
    MR_CHECK_EQ(stats.offsets, 1000);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_EMPTY);
    bed.hold = false;
    MR_CHECK_EQ(bed_delete(&bed, "g"), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_DEAD);
    bed_close(&bed);
}

MR_TEST(offsets_of_topics_that_members_consume_are_not_deleted)
{
    int16_t error;

    open_two();
    MR_CHECK_EQ(bed_offset_delete(&bed, "g", "t", 0, &error), MR_KAFKA_GROUP_ID_NOT_FOUND);
    subscribe(&one);
    MR_CHECK_EQ(bed_commit(&bed, "g", "t", 0, 1), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_commit(&bed, "g", "v", 0, 2), MR_KAFKA_NONE);
    bed_stable(&one);
    MR_CHECK_EQ(bed_offset_delete(&bed, "g", "t", 0, &error), MR_KAFKA_NONE);
    MR_CHECK_EQ(error, MR_KAFKA_GROUP_SUBSCRIBED_TO_TOPIC);
    MR_CHECK_EQ(bed_offset_delete(&bed, "g", "v", 0, &error), MR_KAFKA_NONE);
    MR_CHECK_EQ(error, MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "v", 0), -1);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), 1);
    MR_CHECK_EQ(bed_offset_delete(&bed, "g", "v", 9, &error), MR_KAFKA_NONE);
    MR_CHECK_EQ(error, MR_KAFKA_NONE); /* there was none */
    bed_leave(&one);
    MR_CHECK_EQ(bed_offset_delete(&bed, "g", "t", 0, &error), MR_KAFKA_NONE);
    MR_CHECK_EQ(error, MR_KAFKA_NONE);
    bed_restart(&bed);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), -1);
    bed_close(&bed);
}

MR_TEST(subscriptions_that_cannot_be_read_protect_every_topic)
{
    static const uint8_t bad[][12] = {
        {0, 0, 0, 0, 0, 2, 0, 1, 't'},             /* one of two names is missing */
        {0, 0, 0xff, 0xff, 0xff, 0xff},            /* a negative count */
        {0xff, 0xff, 0, 0, 0, 0},                  /* a negative version */
        {0, 0, 0, 0, 0, 1, 0xff, 0xff},            /* a null name */
        {0, 0, 0, 0, 0, 1, 0x7f, 0xff, 'x'},       /* a name beyond the end */
        {0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 1, 'x'}, /* a count beyond the end */
    };
    static const int32_t sizes[] = {9, 6, 6, 8, 9, 9};
    int16_t error;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        open_two();
        MR_CHECK_EQ(bed_commit(&bed, "g", "v", 0, 2), MR_KAFKA_NONE);
        one.protocols[0].metadata = (struct mr_bytes){bad[i], sizes[i]};
        bed_stable(&one);
        MR_CHECK_EQ(bed_offset_delete(&bed, "g", "v", 0, &error), MR_KAFKA_NONE);
        MR_CHECK_EQ(error, MR_KAFKA_GROUP_SUBSCRIBED_TO_TOPIC);
        bed_close(&bed);
    }
}

MR_TEST(offsets_of_a_live_group_of_another_type_are_not_deleted)
{
    int16_t error;

    open_two();
    snprintf(one.type, sizeof(one.type), "connect");
    bed_stable(&one);
    MR_CHECK_EQ(bed_offset_delete(&bed, "g", "t", 0, &error), MR_KAFKA_NON_EMPTY_GROUP);
    bed_close(&bed);
}

MR_TEST(a_deleted_topic_takes_its_offsets_along)
{
    open_two();
    MR_CHECK_EQ(bed_commit(&bed, "g", "t", 0, 1), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_commit(&bed, "g", "t", 1, 1), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_commit(&bed, "g", "u", 0, 1), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_commit(&bed, "h", "t", 0, 1), MR_KAFKA_NONE);
    mr_groups_topic_deleted(bed.groups, bed_str("t"), bed.now);
    bed_settle(&bed);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), -1);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 1), -1);
    MR_CHECK_EQ(bed_fetch(&bed, "h", "t", 0), -1);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "u", 0), 1);
    bed_restart(&bed);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), -1);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "u", 0), 1);
    bed_close(&bed);
}

/* ---- retention ---------------------------------------------------------------------------------
 */

MR_TEST(offsets_expire_a_retention_after_the_group_has_become_empty)
{
    open_two();
    subscribe(&one);
    bed_stable(&one);
    bed_commit_init(&bed, &commit, "g", "t", 0, 1);
    bed_commit_as(&commit, &one);
    bed_commit_send(&bed, &commit);
    for (int64_t i = 0; i < 8 * DAY_MS; i += 9000) {
        bed_pass(&bed, 9000);
        MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_NONE);
    }
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), 1);
    bed_leave(&one);
    bed_pass(&bed, 7 * DAY_MS - 1);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), 1);
    bed_pass(&bed, HOUR_MS);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), -1);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_DEAD);
    bed_restart(&bed);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_DEAD);
    bed_close(&bed);
}

MR_TEST(a_live_group_loses_old_offsets_of_topics_that_it_no_longer_consumes)
{
    open_two();
    subscribe(&one);
    MR_CHECK_EQ(bed_commit(&bed, "g", "t", 0, 1), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_commit(&bed, "g", "v", 0, 2), MR_KAFKA_NONE);
    bed_stable(&one);
    for (int64_t i = 0; i < 7 * DAY_MS + HOUR_MS; i += 9000) {
        bed_pass(&bed, 9000);
        bed_heartbeat(&one);
    }
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), 1);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "v", 0), -1);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_STABLE);
    bed_close(&bed);
}

MR_TEST(offsets_of_a_simple_consumer_expire_by_their_last_commit)
{
    open_two();
    MR_CHECK_EQ(bed_commit(&bed, "g", "t", 0, 1), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_commit(&bed, "g", "t", 1, 1), MR_KAFKA_NONE);
    bed_pass(&bed, 4 * DAY_MS);
    bed_restart(&bed); /* the times come from the log */
    MR_CHECK_EQ(bed_commit(&bed, "g", "t", 0, 2), MR_KAFKA_NONE);
    bed_pass(&bed, 3 * DAY_MS + HOUR_MS);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), 2);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 1), -1);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_EMPTY);
    bed_close(&bed);
}

/* -1 is the broker's, but any other negative retention is over at once, as in Kafka. */
MR_TEST(a_retention_below_zero_is_over)
{
    open_two();
    for (int32_t i = 0; i < 3; i++) {
        bed_commit_init(&bed, &commit, "g", "t", i, 1);
        commit.commit.api_version = 4;
        commit.commit.retention_ms = i == 0 ? -1 : i == 1 ? -2 : INT64_MIN;
        bed_commit_send(&bed, &commit);
    }
    bed_restart(&bed);
    bed_pass(&bed, HOUR_MS);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), 1);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 1), -1);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 2), -1);
    bed_close(&bed);
}

MR_TEST(a_commit_may_bring_its_own_retention)
{
    open_two();
    bed_commit_init(&bed, &commit, "g", "t", 0, 1);
    commit.commit.api_version = 2;
    commit.commit.retention_ms = HOUR_MS;
    bed_commit_send(&bed, &commit);
    bed_restart(&bed);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), 1);
    bed_pass(&bed, HOUR_MS - 1);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), 1);
    bed_pass(&bed, HOUR_MS);
    MR_CHECK_EQ(bed_fetch(&bed, "g", "t", 0), -1);
    bed_close(&bed);
}

MR_TEST(a_group_without_members_and_offsets_goes_at_the_next_check)
{
    open_two();
    one.version = 4;
    bed_join(&one); /* and never again */
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_EMPTY);
    bed_pass(&bed, HOUR_MS);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_DEAD);
    bed_close(&bed);
}

/* Also over a restart, which finds the offset and its tombstone. */
MR_TEST(a_simple_group_outlives_its_last_offset_until_the_next_check)
{
    int16_t error;

    for (int restart = 0; restart < 2; restart++) {
        open_two();
        MR_CHECK_EQ(bed_commit(&bed, "g", "t", 0, 1), MR_KAFKA_NONE);
        MR_CHECK_EQ(bed_offset_delete(&bed, "g", "t", 0, &error), MR_KAFKA_NONE);
        MR_CHECK_EQ(error, MR_KAFKA_NONE);
        if (restart) {
            bed_restart(&bed);
        }
        MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_EMPTY);
        bed_pass(&bed, HOUR_MS);
        MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_DEAD);
        bed_restart(&bed);
        MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_DEAD);
        bed_close(&bed);
    }
}

/* ---- bounds and memory -------------------------------------------------------------------------
 */

MR_TEST(at_a_bound_requests_are_refused_and_those_before_are_kept)
{
    struct mr_groups_config config;

    mr_groups_config_default(&config);
    config.groups_max = 1;
    config.members_max = 1;
    bed_open_with(&bed, &config);
    bed_member(&bed, &one);
    bed_member(&bed, &two);
    bed_stable(&one);
    bed_join(&two);
    MR_CHECK_EQ(two.error, MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_STABLE);
    two.group = "h";
    bed_join(&two);
    MR_CHECK_EQ(two.error, MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
    MR_CHECK_EQ(bed_commit(&bed, "h", "t", 0, 1), MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
    bed_leave(&one);
    two.group = "g";
    two.version = 4;
    bed_join_twice(&two); /* pending and then a member: the one place is enough */
    MR_CHECK(!two.joined);
    bed_close(&bed);
}

MR_TEST(bytes_are_bounded)
{
    struct mr_groups_config config;
    int committed = 0;

    mr_groups_config_default(&config);
    config.bytes_max = 64 * 1024;
    bed_open_with(&bed, &config);
    for (int i = 0; i < 2000; i++) {
        int16_t error = bed_commit(&bed, "g", "t", i, i);

        MR_CHECK(error == MR_KAFKA_NONE || error == MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
        committed += error == MR_KAFKA_NONE;
    }
    MR_CHECK(committed > 100 && committed < 1000);
    for (int i = 0; i < committed; i++) {
        MR_CHECK_EQ(bed_fetch(&bed, "g", "t", i), i);
    }
    bed_close(&bed);
}

/* One life of a group, which refusals may interrupt anywhere. */
static void
live(void)
{
    int16_t error;

    one.id[0] = '\0';
    bed_join(&one);
    bed_join(&two);
    bed_pass(&bed, 9000);
    if (one.joined && one.error == MR_KAFKA_NONE) {
        bed_sync(&one);
    }
    if (two.joined && two.error == MR_KAFKA_NONE) {
        bed_sync(&two);
    }
    bed_commit_init(&bed, &commit, "g", "t", 0, 1);
    bed_commit_as(&commit, &one);
    bed_commit_send(&bed, &commit);
    MR_CHECK(commit.done);
    bed_commit(&bed, "simple", "t", 0, 2);
    one.id[0] = '\0'; /* the static one comes back */
    bed_join(&one);
    bed_pass(&bed, 60000);
    bed_offset_delete(&bed, "simple", "t", 0, &error);
    bed_delete(&bed, "g");
    mr_groups_topic_deleted(bed.groups, bed_str("t"), bed.now);
    bed_settle(&bed);
    bed_pass(&bed, HOUR_MS);
}

MR_TEST(any_allocation_may_fail)
{
    uint64_t all = 1;

    for (uint64_t nth = 1; nth <= all; nth++) {
        for (int forever = 0; forever < 2; forever++) {
            uint64_t before;

            open_two();
            one.instance = "i";
            before = bed_allocations();
            bed_fail_allocation(forever ? 0 : nth);
            bed_fail_allocations(forever ? nth : 0);
            live();
            bed_fail_allocation(0);
            bed_fail_allocations(0);
            all = bed_allocations() - before > all ? bed_allocations() - before : all;
            bed_pass(&bed, HOUR_MS);
            live(); /* and it lives on */
            bed_restart(&bed);
            bed_close(&bed);
        }
    }
    printf("  %" PRIu64 " allocations\n", all);
    MR_CHECK(all > 50);
}

MR_TEST(any_allocation_may_fail_while_loading)
{
    uint64_t nth = 0;
    int error;

    do {
        error = 0;
        nth++;
        open_two();
        one.instance = "i";
        bed_stable_two(&one, &two);
        MR_CHECK_EQ(bed_commit(&bed, "simple", "t", 0, 2), MR_KAFKA_NONE);
        mr_groups_partition_failed(bed.groups, 0);
        mr_groups_load_begin(bed.groups, 0);
        bed_fail_allocation(nth);
        for (uint32_t i = 0; i < bed.record_count && !error; i++) {
            const struct bed_record *record = &bed.records[i];

            error = mr_groups_load_record(
                bed.groups, 0, (struct mr_bytes){record->bytes, record->key_size},
                (struct mr_bytes){record->bytes + record->key_size, record->value_size});
        }
        bed_fail_allocation(0);
        MR_CHECK(error == 0 || error == -ENOMEM);
        mr_groups_partition_failed(bed.groups, 0);
        bed_close(&bed);
    } while (error);
    printf("  %" PRIu64 " allocations\n", nth);
    MR_CHECK(nth > 20);
}

MR_TEST(ten_thousand_members_in_a_thousand_groups_are_easy)
{
    static struct bed_member members[10000];
    static char names[1000][8];
    uint64_t began;

    bed_open(&bed);
    bed.discard = true;
    began = mr_clock_now_ns(&mr_clock_system);
    for (int i = 0; i < 10000; i++) {
        bed_member(&bed, &members[i]);
        snprintf(names[i % 1000], sizeof(names[0]), "g%d", i % 1000);
        members[i].group = names[i % 1000];
        bed_join(&members[i]);
    }
    bed_pass(&bed, 6000);
    for (int i = 0; i < 10000; i++) {
        bed_sync(&members[i]);
    }
    for (int round = 0; round < 100; round++) {
        bed_pass(&bed, 3000);
        for (int i = 0; i < 10000; i++) {
            MR_CHECK_EQ(bed_heartbeat(&members[i]), MR_KAFKA_NONE);
        }
    }
    printf("  1,000,000 heartbeats: %" PRIu64 " ms in all\n",
           (mr_clock_now_ns(&mr_clock_system) - began) / (uint64_t)MR_NS_PER_MS);
    bed_close(&bed);
}

#define MANY_TOPICS  2000
#define MANY_OFFSETS 20000
#define MANY_MEMBERS 1000

/* A thousand members that consume the same two thousand topics: work that grew with members times
 * topics times offsets would not end within the test's limit. */
MR_TEST(offsets_of_a_large_group_are_easy_to_delete)
{
    static struct bed_member members[MANY_MEMBERS];
    static struct mr_group_offset offsets[MANY_OFFSETS];
    static uint8_t topics[6 + MANY_TOPICS * 7] = {0, 0, 0, 0, MANY_TOPICS >> 8, MANY_TOPICS & 255};
    struct mr_group_commit many = {
        .request = {.done = ignore},
        .api_version = 9,
        .group_id = bed_str("g"),
        .member_id = bed_str(""),
        .instance_id = bed_str(NULL),
        .generation = -1,
        .retention_ms = -1,
        .offsets = offsets,
        .offset_count = MANY_OFFSETS,
    };
    struct mr_group_offset_delete request = {
        .request = {.done = ignore},
        .group_id = bed_str("g"),
        .offsets = offsets,
        .offset_count = MANY_OFFSETS,
    };

    bed_open(&bed);
    bed.discard = true;
    for (int i = 0; i < MANY_TOPICS; i++) {
        uint8_t *at = topics + 6 + 7 * i;

        snprintf((char *)at, 7, "%c%c%04d", 0, 5, i);
        at[6] = 't'; /* the digits and this letter */
    }
    for (int i = 0; i < MANY_OFFSETS;
         i++) { /* of half of the topics that are consumed, and others */
        offsets[i] = (struct mr_group_offset){
            .topic = {(const char *)topics + 6 + 7 * (i % MANY_TOPICS) + 2, i % 2 ? 5 : 4},
            .partition = i / MANY_TOPICS,
        };
    }
    MR_CHECK(!mr_groups_commit(bed.groups, &many, bed.now));
    bed_settle(&bed);
    for (int i = 0; i < MANY_MEMBERS; i++) {
        bed_member(&bed, &members[i]);
        members[i].protocols[0].metadata = (struct mr_bytes){topics, sizeof(topics)};
        bed_join(&members[i]);
    }
    bed_pass(&bed, 6000);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_COMPLETING_REBALANCE);
    MR_CHECK(!mr_groups_offset_delete(bed.groups, &request, bed.now));
    bed_settle(&bed);
    for (int i = 0; i < MANY_OFFSETS; i++) {
        MR_CHECK_EQ(offsets[i].error, i % 2 ? MR_KAFKA_GROUP_SUBSCRIBED_TO_TOPIC : MR_KAFKA_NONE);
    }
    bed_close(&bed);
}

#define MANY_PROTOCOLS 100 /* of each member, one of which all have */

/* Likewise for joins whose protocols nearly all differ. */
MR_TEST(members_with_many_protocols_are_easy)
{
    static struct mr_group_join joins[2 * MANY_MEMBERS];
    struct mr_group_protocol protocols[MANY_PROTOCOLS];
    char names[MANY_PROTOCOLS][16];

    bed_open(&bed);
    bed.discard = true;
    for (int i = 0; i < 2 * MANY_MEMBERS; i++) {
        for (int p = 0; p < MANY_PROTOCOLS; p++) {
            snprintf(names[p], sizeof(names[p]), p > 0 ? "%d of %d" : "range", p, i);
            protocols[p] = (struct mr_group_protocol){.name = bed_str(names[p])};
        }
        joins[i] = (struct mr_group_join){
            .request = {.done = ignore},
            .group_id = bed_str("g"),
            .client_id = bed_str("c"),
            .client_host = bed_str("/1.2.3.4"),
            .member_id = bed_str(""),
            .instance_id = bed_str(NULL),
            .protocol_type = bed_str("consumer"),
            .session_timeout_ms = 10000,
            .protocols = protocols,
            .protocol_count = MANY_PROTOCOLS,
        };
        MR_CHECK(!mr_groups_join(bed.groups, &joins[i], bed.now));
    }
    bed_settle(&bed);
    bed_pass(&bed, 6000);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_COMPLETING_REBALANCE);
    bed_close(&bed);
}

/* Likewise for the deletion of topics that none of many groups has offsets of. */
MR_TEST(topics_are_easy_to_delete_beside_many_groups)
{
    char name[16];

    bed_open(&bed);
    bed.discard = true;
    for (int i = 0; i < 20 * MANY_MEMBERS; i++) {
        snprintf(name, sizeof(name), "g%d", i);
        MR_CHECK_EQ(bed_commit(&bed, name, "t", 0, 1), MR_KAFKA_NONE);
    }
    for (int i = 0; i < 50 * MANY_TOPICS; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        mr_groups_topic_deleted(bed.groups, bed_str(name), bed.now);
    }
    MR_CHECK_EQ(bed_fetch(&bed, "g7", "t", 0), 1);
    bed_close(&bed);
}

MR_TEST_MAIN(
    MR_TEST_CASE(an_offset_is_fetched_once_it_is_durable),
    MR_TEST_CASE(an_offset_that_is_not_durable_leaves_the_one_before),
    MR_TEST_CASE(a_deletion_covers_a_commit_that_failed_and_is_in_the_log_all_the_same),
    MR_TEST_CASE(a_fetched_offset_has_its_epoch_metadata_and_topic_id),
    MR_TEST_CASE(a_commit_of_a_member_is_checked_against_its_generation),
    MR_TEST_CASE(a_commit_for_a_group_that_does_not_exist_needs_no_generation),
    MR_TEST_CASE(commits_while_the_leader_assigns_are_sent_back_and_before_that_they_are_taken),
    MR_TEST_CASE(metadata_may_be_as_long_as_the_limit_in_characters),
    MR_TEST_CASE(partitions_that_the_caller_has_refused_are_left_alone),
    MR_TEST_CASE(a_cancelled_commit_is_made_all_the_same),
    MR_TEST_CASE(a_group_is_deleted_when_nobody_is_in_it),
    MR_TEST_CASE(a_group_that_is_being_deleted_takes_nothing_and_what_was_on_its_way_goes_too),
    MR_TEST_CASE(many_offsets_are_deleted_in_several_writes),
    MR_TEST_CASE(a_deletion_that_is_durable_in_part_says_so_and_can_be_repeated),
    MR_TEST_CASE(offsets_of_topics_that_members_consume_are_not_deleted),
    MR_TEST_CASE(subscriptions_that_cannot_be_read_protect_every_topic),
    MR_TEST_CASE(offsets_of_a_live_group_of_another_type_are_not_deleted),
    MR_TEST_CASE(a_deleted_topic_takes_its_offsets_along),
    MR_TEST_CASE(offsets_expire_a_retention_after_the_group_has_become_empty),
    MR_TEST_CASE(a_live_group_loses_old_offsets_of_topics_that_it_no_longer_consumes),
    MR_TEST_CASE(offsets_of_a_simple_consumer_expire_by_their_last_commit),
    MR_TEST_CASE(a_retention_below_zero_is_over),
    MR_TEST_CASE(a_commit_may_bring_its_own_retention),
    MR_TEST_CASE(a_group_without_members_and_offsets_goes_at_the_next_check),
    MR_TEST_CASE(a_simple_group_outlives_its_last_offset_until_the_next_check),
    MR_TEST_CASE(at_a_bound_requests_are_refused_and_those_before_are_kept),
    MR_TEST_CASE(bytes_are_bounded), MR_TEST_CASE(any_allocation_may_fail),
    MR_TEST_CASE(any_allocation_may_fail_while_loading),
    MR_TEST_CASE(ten_thousand_members_in_a_thousand_groups_are_easy),
    MR_TEST_CASE(offsets_of_a_large_group_are_easy_to_delete),
    MR_TEST_CASE(members_with_many_protocols_are_easy),
    MR_TEST_CASE(topics_are_easy_to_delete_beside_many_groups))
