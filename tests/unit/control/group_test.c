/* Goal: joining, syncing, leaving and expiring follow Kafka's rules. Method: clients on a bed with
 * a clock that is moved by hand. */
#include "group_bed.h"

static struct bed bed;
static struct bed_member one, two, three;

static void
open_three(void)
{
    bed_open(&bed);
    bed_member(&bed, &one);
    bed_member(&bed, &two);
    bed_member(&bed, &three);
}

/* Two protocols, the first preferred. */
static void
two_protocols(struct bed_member *member, const char *first, const char *second)
{
    member->protocols[0].name = bed_str(first);
    member->protocols[1] = (struct mr_group_protocol){
        .name = bed_str(second),
        .metadata = {(const uint8_t *)"n", 1},
    };
    member->protocol_count = 2;
}

MR_TEST(the_partition_of_a_group_is_javas_hash_of_its_id)
{
    /* "hello".hashCode() is 99162322, "polygenelubricants" hashes to the least int, "ä€😀" to
     * ((0xe4 * 31 + 0x20ac) * 31 + 0xd83d) * 31 + 0xde00, and "groups" is negative. */
    MR_CHECK_EQ(mr_groups_partition(bed_str("hello"), 50), 99162322 % 50);
    MR_CHECK_EQ(mr_groups_partition(bed_str("polygenelubricants"), 50), 0);
    MR_CHECK_EQ(mr_groups_partition(bed_str("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), 1000003),
                (((0xe4 * 31 + 0x20ac) * 31 + 0xd83d) * 31 + 0xde00) % 1000003);
    MR_CHECK_EQ(mr_groups_partition(bed_str("groups"), 50), 1237460524 % 50);
    MR_CHECK_EQ(mr_groups_partition(bed_str("\xff\xc3"), 50), (0xfffd * 31 + 0xfffd) % 50);
    MR_CHECK_EQ(mr_groups_partition(bed_str(""), 50), 0);
}

MR_TEST(a_request_without_a_group_id_is_refused)
{
    open_three();
    one.group = "";
    bed_join(&one);
    MR_CHECK_EQ(one.error, MR_KAFKA_INVALID_GROUP_ID);
    MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_INVALID_GROUP_ID);
    bed_sync(&one);
    MR_CHECK_EQ(one.sync_error, MR_KAFKA_INVALID_GROUP_ID);
    MR_CHECK_EQ(bed_leave(&one), MR_KAFKA_INVALID_GROUP_ID);
    MR_CHECK_EQ(bed_commit(&bed, "", "t", 0, 1), MR_KAFKA_NONE); /* as Kafka does */
    MR_CHECK_EQ(bed_commit(&bed, NULL, "t", 0, 1), MR_KAFKA_INVALID_GROUP_ID);
    MR_CHECK_EQ(bed_delete(&bed, NULL), MR_KAFKA_INVALID_GROUP_ID);
    bed_close(&bed);
}

MR_TEST(a_session_timeout_outside_the_bounds_is_refused)
{
    static const int32_t timeouts[] = {5999, 6000, 1800000, 1800001};

    for (int i = 0; i < 4; i++) {
        open_three();
        one.session_ms = timeouts[i];
        bed_join(&one);
        MR_CHECK_EQ(one.joined ? one.error : 0,
                    i == 0 || i == 3 ? MR_KAFKA_INVALID_SESSION_TIMEOUT : 0);
        bed_close(&bed);
    }
}

MR_TEST(a_new_dynamic_member_of_version_4_must_join_again_with_its_id)
{
    open_three();
    one.version = 4;
    bed_join(&one);
    MR_CHECK(one.joined);
    MR_CHECK_EQ(one.error, MR_KAFKA_MEMBER_ID_REQUIRED);
    MR_CHECK_EQ(strlen(one.id), 2 + 36);
    MR_CHECK(strncmp(one.id, "c-", 2) == 0);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_EMPTY);
    bed_join(&one);
    MR_CHECK(!one.joined);
    bed_pass(&bed, 3000);
    MR_CHECK_EQ(one.error, MR_KAFKA_NONE);
    MR_CHECK_EQ(one.generation, 1);
    bed_close(&bed);
}

MR_TEST(a_pending_member_is_forgotten_after_its_session)
{
    struct mr_groups_stats stats;

    open_three();
    one.version = 9;
    bed_join(&one);
    bed_pass(&bed, 9999);
    mr_groups_stats(bed.groups, &stats);
    MR_CHECK_EQ(stats.members, 1);
    bed_pass(&bed, 1);
    mr_groups_stats(bed.groups, &stats);
    MR_CHECK_EQ(stats.members, 0);
    bed_join(&one);
    MR_CHECK_EQ(one.error, MR_KAFKA_UNKNOWN_MEMBER_ID);
    bed_close(&bed);
}

MR_TEST(a_pending_member_holds_a_rebalance_up_until_its_session_ends)
{
    open_three();
    bed_stable(&one);
    two.version = 4;
    bed_join(&two);
    bed_join(&three);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_PREPARING_REBALANCE);
    bed_join(&one);
    MR_CHECK(!one.joined && !three.joined);
    bed_pass(&bed, 10000);
    MR_CHECK(one.joined && three.joined);
    MR_CHECK_EQ(one.generation, 2);
    bed_close(&bed);
}

MR_TEST(a_member_id_that_nobody_gave_out_is_unknown)
{
    open_three();
    snprintf(one.id, sizeof(one.id), "made-up");
    bed_join(&one);
    MR_CHECK_EQ(one.error, MR_KAFKA_UNKNOWN_MEMBER_ID);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_DEAD);
    bed_stable(&two);
    bed_join(&one);
    MR_CHECK_EQ(one.error, MR_KAFKA_UNKNOWN_MEMBER_ID);
    MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_UNKNOWN_MEMBER_ID);
    MR_CHECK_EQ(bed_leave(&one), MR_KAFKA_UNKNOWN_MEMBER_ID);
    bed_sync(&one);
    MR_CHECK_EQ(one.sync_error, MR_KAFKA_UNKNOWN_MEMBER_ID);
    bed_close(&bed);
}

MR_TEST(the_first_rebalance_waits_and_is_extended_by_joins_up_to_the_rebalance_timeout)
{
    open_three();
    one.rebalance_ms = 7000;
    two.rebalance_ms = 7000;
    three.rebalance_ms = 7000;
    bed_join(&one);
    bed_pass(&bed, 2999);
    MR_CHECK(!one.joined);
    bed_join(&two);
    bed_pass(&bed, 1); /* 3000: extended to 6000 */
    bed_pass(&bed, 2999);
    MR_CHECK(!one.joined);
    bed_join(&three); /* extended by what is left of 7000 */
    bed_pass(&bed, 1);
    bed_pass(&bed, 999);
    MR_CHECK(!one.joined);
    bed_pass(&bed, 1);
    MR_CHECK(one.joined && two.joined && three.joined);
    MR_CHECK_EQ(one.generation, 1);
    MR_CHECK_EQ(one.member_count, 3);
    bed_close(&bed);
}

MR_TEST(only_the_leader_learns_who_the_members_are)
{
    open_three();
    two.protocols[0].metadata = (struct mr_bytes){(const uint8_t *)"two's", 5};
    bed_stable_two(&one, &two);
    MR_CHECK_EQ(one.member_count, 2);
    MR_CHECK_STR(one.members[0], one.id);
    MR_CHECK_STR(one.members[1], two.id);
    MR_CHECK_STR(one.metadata[1], "two's");
    MR_CHECK_EQ(two.member_count, 0);
    MR_CHECK_STR(two.leader, one.id);
    MR_CHECK_STR(two.protocol, "range");
    bed_close(&bed);
}

MR_TEST(the_protocol_with_most_votes_among_those_that_all_support_is_chosen)
{
    open_three();
    two_protocols(&one, "a", "b");
    two_protocols(&two, "b", "a");
    two_protocols(&three, "c", "b");
    three.protocols[2] = (struct mr_group_protocol){.name = bed_str("a")};
    three.protocol_count = 3;
    bed_join(&one);
    bed_join(&two);
    bed_join(&three);
    bed_pass(&bed, 6000);
    MR_CHECK_STR(one.protocol, "b");
    MR_CHECK_STR(one.metadata[0], "n");
    MR_CHECK_STR(one.metadata[1], "m");
    bed_close(&bed);
}

MR_TEST(a_member_whose_protocols_do_not_fit_is_refused)
{
    open_three();
    bed_stable(&one);
    two.protocols[0].name = bed_str("sticky");
    bed_join(&two);
    MR_CHECK_EQ(two.error, MR_KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    snprintf(three.type, sizeof(three.type), "connect");
    bed_join(&three);
    MR_CHECK_EQ(three.error, MR_KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_STABLE);
    bed_close(&bed);
}

/* As in Kafka: it goes when retention is checked. */
MR_TEST(a_refused_first_join_leaves_an_empty_group)
{
    open_three();
    one.protocol_count = 0;
    bed_join(&one);
    MR_CHECK_EQ(one.error, MR_KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_EMPTY);
    snprintf(one.id, sizeof(one.id), "somebody");
    bed_join(&one);
    MR_CHECK_EQ(one.error, MR_KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    bed_stable(&two);
    MR_CHECK_EQ(two.generation, 1);
    bed_close(&bed);
}

MR_TEST(an_empty_group_takes_members_of_another_protocol_type)
{
    open_three();
    bed_stable(&one);
    MR_CHECK_EQ(bed_leave(&one), MR_KAFKA_NONE);
    snprintf(two.type, sizeof(two.type), "connect");
    bed_stable(&two);
    MR_CHECK_EQ(two.generation, 3);
    bed_close(&bed);
}

MR_TEST(the_assignment_is_told_when_it_is_durable)
{
    open_three();
    bed_join(&one);
    bed_join(&two);
    bed_pass(&bed, 6000);
    bed.hold = true;
    bed_sync(&two);
    bed_sync(&one);
    MR_CHECK(!one.synced && !two.synced);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_COMPLETING_REBALANCE);
    MR_CHECK_EQ(bed.write_count, 1);
    bed_flush(&bed);
    MR_CHECK(one.synced && two.synced);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_STABLE);
    bed_sync(&two); /* asked again: told again */
    MR_CHECK(two.synced);
    MR_CHECK_STR(two.assignment, two.id + strlen(two.id) - 1);
    bed_close(&bed);
}

MR_TEST(an_assignment_that_cannot_be_made_durable_ends_the_generation)
{
    static const int16_t errors[][2] = {
        {MR_KAFKA_NOT_ENOUGH_REPLICAS, MR_KAFKA_COORDINATOR_NOT_AVAILABLE},
        {MR_KAFKA_KAFKA_STORAGE_ERROR, MR_KAFKA_NOT_COORDINATOR},
        {MR_KAFKA_MESSAGE_TOO_LARGE, MR_KAFKA_UNKNOWN_SERVER_ERROR},
        {MR_KAFKA_INVALID_REQUIRED_ACKS, MR_KAFKA_INVALID_REQUIRED_ACKS},
    };

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        open_three();
        bed_join(&one);
        bed_join(&two);
        bed_pass(&bed, 6000);
        bed_sync(&two);
        bed.error = (enum mr_kafka_err)errors[i][0];
        bed_sync(&one);
        MR_CHECK_EQ(one.sync_error, errors[i][1]);
        MR_CHECK_EQ(two.sync_error, errors[i][1]);
        MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_PREPARING_REBALANCE);
        bed.error = MR_KAFKA_NONE;
        bed_join(&one);
        bed_join(&two);
        MR_CHECK_EQ(two.generation, 2);
        bed_close(&bed);
    }
}

MR_TEST(an_assignment_of_an_older_generation_changes_nothing)
{
    open_three();
    bed_join(&one);
    bed_pass(&bed, 3000);
    bed.hold = true;
    bed_sync(&one);
    bed_join(&two);
    MR_CHECK_EQ(one.sync_error, MR_KAFKA_REBALANCE_IN_PROGRESS);
    bed_join(&one);
    MR_CHECK_EQ(one.generation, 2);
    bed_flush(&bed);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_COMPLETING_REBALANCE);
    bed_sync(&one);
    bed_sync(&two);
    bed_flush(&bed);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_STABLE);
    MR_CHECK_STR(two.assignment, two.id + strlen(two.id) - 1);
    bed_close(&bed);
}

MR_TEST(a_new_groups_joins_fail_where_its_first_record_does)
{
    open_three();
    bed.error = MR_KAFKA_NOT_LEADER_OR_FOLLOWER;
    bed_join(&one);
    MR_CHECK(one.joined);
    MR_CHECK_EQ(one.error, MR_KAFKA_NOT_COORDINATOR);
    bed_close(&bed);
}

MR_TEST(a_group_whose_first_record_failed_and_whose_later_ones_did_not_goes_on)
{
    struct mr_groups_stats stats;

    open_three();
    bed.hold = true;
    bed_join(&one);
    bed_pass(&bed, 3000);
    bed_sync(&one);
    MR_CHECK_EQ(bed.write_count, 2);
    bed.error = MR_KAFKA_REQUEST_TIMED_OUT;
    bed_flush_one(&bed);
    bed.error = MR_KAFKA_NONE;
    bed_flush_one(&bed);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_STABLE);
    bed.hold = false;
    bed.error = MR_KAFKA_REQUEST_TIMED_OUT;
    bed_leave(&one);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_EMPTY);
    bed.error = MR_KAFKA_NONE;
    bed_stable(&two);
    MR_CHECK_EQ(two.generation, 3); /* not 1 again: that one was assigned */
    mr_groups_stats(bed.groups, &stats);
    MR_CHECK_EQ(stats.rebalances, 2);
    bed_close(&bed);
}

MR_TEST(texts_that_no_record_can_hold_are_refused)
{
    static char text[32800];

    open_three();
    memset(text, 'x', 32768);
    one.group = text;
    bed_join(&one);
    MR_CHECK_EQ(one.error, MR_KAFKA_INVALID_GROUP_ID);
    two.protocols[0].name = bed_str(text);
    bed_join(&two);
    MR_CHECK_EQ(two.error, MR_KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    text[32731] = '\0';
    three.instance = text;
    bed_join(&three);
    MR_CHECK_EQ(three.error, MR_KAFKA_INVALID_REQUEST);
    bed_close(&bed);
}

MR_TEST(sync_checks_generation_and_protocol)
{
    open_three();
    bed_stable(&one);
    one.generation++;
    bed_sync(&one);
    MR_CHECK_EQ(one.sync_error, MR_KAFKA_ILLEGAL_GENERATION);
    MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_ILLEGAL_GENERATION);
    one.generation--;
    MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_NONE);
    one.sync.generation = one.generation;
    one.sync.protocol_type = bed_str("consumer");
    one.sync.protocol_name = bed_str("other");
    MR_CHECK(mr_groups_sync(bed.groups, &one.sync, bed.now));
    MR_CHECK_EQ(one.sync.request.error, MR_KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    one.sync.protocol_name = bed_str("range");
    MR_CHECK(mr_groups_sync(bed.groups, &one.sync, bed.now));
    MR_CHECK_EQ(one.sync.request.error, MR_KAFKA_NONE);
    bed_close(&bed);
}

MR_TEST(heartbeats_say_in_each_state_what_kafka_says)
{
    open_three();
    bed_stable(&one);
    MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_NONE);
    bed_join(&two);
    MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_REBALANCE_IN_PROGRESS);
    bed_sync(&one);
    MR_CHECK_EQ(one.sync_error, MR_KAFKA_REBALANCE_IN_PROGRESS);
    bed_join(&one);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_COMPLETING_REBALANCE);
    MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_NONE);
    bed_close(&bed);
}

MR_TEST(a_follower_that_joins_again_unchanged_is_told_the_generation)
{
    open_three();
    bed_stable_two(&one, &two);
    bed_join(&two);
    MR_CHECK(two.joined);
    MR_CHECK_EQ(two.generation, 1);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_STABLE);
    bed_join(&one); /* the leader means it */
    MR_CHECK(!one.joined);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_PREPARING_REBALANCE);
    bed_join(&two);
    MR_CHECK(one.joined && two.joined);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_COMPLETING_REBALANCE);
    bed_join(&one); /* unchanged: told again, with the members */
    MR_CHECK(one.joined);
    MR_CHECK_EQ(one.member_count, 2);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_COMPLETING_REBALANCE);
    two.protocols[0].metadata = (struct mr_bytes){(const uint8_t *)"changed", 7};
    bed_join(&two);
    MR_CHECK(!two.joined);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_PREPARING_REBALANCE);
    bed_close(&bed);
}

MR_TEST(a_follower_with_new_metadata_unsettles_the_group)
{
    open_three();
    bed_stable_two(&one, &two);
    two.protocols[0].metadata = (struct mr_bytes){(const uint8_t *)"changed", 7};
    bed_join(&two);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_PREPARING_REBALANCE);
    bed_join(&one);
    MR_CHECK_STR(one.metadata[1], "changed");
    bed_close(&bed);
}

MR_TEST(a_member_that_does_not_join_in_time_is_out_and_the_leader_moves)
{
    open_three();
    bed_stable_two(&one, &two);
    bed_join(&three);
    bed_join(&two);
    for (int i = 0; i < 4; i++) { /* alive, but it does not join */
        bed_pass(&bed, 5000 - (i == 3));
        MR_CHECK(!two.joined);
        MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_REBALANCE_IN_PROGRESS);
    }
    bed_pass(&bed, 1);
    MR_CHECK(two.joined && three.joined);
    MR_CHECK_STR(two.leader, two.id);
    MR_CHECK_EQ(two.member_count, 2);
    MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_UNKNOWN_MEMBER_ID);
    bed_close(&bed);
}

MR_TEST(version_0_has_one_timeout_for_session_and_rebalance)
{
    open_three();
    one.version = 0;
    bed_stable(&one);
    bed_join(&two);
    two.rebalance_ms = 1;
    bed_pass(&bed, 5000);
    bed_heartbeat(&one);
    bed_pass(&bed, 5000);
    bed_heartbeat(&one);
    MR_CHECK(!two.joined); /* the other's 20 s count */
    bed_pass(&bed, 9000);
    bed_heartbeat(&one);
    bed_pass(&bed, 1000);
    MR_CHECK(two.joined);
    bed_close(&bed);
}

MR_TEST(a_silent_member_is_out_after_its_session)
{
    open_three();
    bed_stable_two(&one, &two);
    bed_pass(&bed, 9000);
    MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_NONE);
    bed_pass(&bed, 999);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_STABLE);
    bed_pass(&bed, 1);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_PREPARING_REBALANCE);
    bed_join(&one);
    MR_CHECK(one.joined);
    MR_CHECK_EQ(one.member_count, 1);
    bed_close(&bed);
}

MR_TEST(a_member_that_waits_is_alive_but_a_first_join_waits_five_minutes_at_most)
{
    open_three();
    one.rebalance_ms = 1000000;
    bed_stable(&one);
    bed_join(&two);
    for (int i = 0; i < 59; i++) {
        bed_pass(&bed, 5000);
        bed_heartbeat(&one);
        MR_CHECK(!two.joined);
    }
    bed_pass(&bed, 5000);
    MR_CHECK(two.joined);
    MR_CHECK_EQ(two.error, MR_KAFKA_UNKNOWN_MEMBER_ID);
    bed_close(&bed);
}

MR_TEST(members_that_never_sync_are_out_after_the_rebalance_timeout)
{
    open_three();
    bed_join(&one);
    bed_join(&two);
    bed_pass(&bed, 6000);
    bed_sync(&one);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_STABLE);
    for (int i = 0; i < 3; i++) {
        bed_pass(&bed, 6000);
        bed_heartbeat(&one);
        MR_CHECK_EQ(bed_heartbeat(&two), MR_KAFKA_NONE);
    }
    bed_pass(&bed, 2000);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_PREPARING_REBALANCE);
    MR_CHECK_EQ(bed_heartbeat(&two), MR_KAFKA_UNKNOWN_MEMBER_ID);
    bed_close(&bed);
}

MR_TEST(followers_that_wait_for_a_leader_that_never_syncs_are_sent_back)
{
    open_three();
    bed_join(&one);
    bed_join(&two);
    bed_pass(&bed, 6000);
    bed_sync(&two);
    for (int i = 0; i < 4; i++) {
        MR_CHECK(!two.synced);
        bed_heartbeat(&one);
        bed_pass(&bed, 5000);
    }
    MR_CHECK(two.synced);
    MR_CHECK_EQ(two.sync_error, MR_KAFKA_REBALANCE_IN_PROGRESS);
    bed_join(&two);
    MR_CHECK_STR(two.leader, two.id);
    bed_close(&bed);
}

MR_TEST(the_last_member_that_leaves_empties_the_group)
{
    open_three();
    bed_stable_two(&one, &two);
    MR_CHECK_EQ(bed_leave(&one), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_PREPARING_REBALANCE);
    MR_CHECK_EQ(bed_leave(&two), MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_EMPTY);
    MR_CHECK_EQ(bed_heartbeat(&two), MR_KAFKA_UNKNOWN_MEMBER_ID);
    bed_sync(&two);
    MR_CHECK_EQ(two.sync_error, MR_KAFKA_UNKNOWN_MEMBER_ID);
    bed_close(&bed);
}

MR_TEST(a_member_that_leaves_has_its_parked_requests_answered)
{
    struct mr_group_description description;

    open_three();
    bed_stable(&one);
    bed_join(&two);
    MR_CHECK_EQ(mr_groups_describe(bed.groups, bed_str("g"), &description), MR_KAFKA_NONE);
    MR_CHECK_EQ(description.member_count, 2);
    snprintf(two.id, sizeof(two.id), "%.*s", (int)description.members[1].member_id.size,
             description.members[1].member_id.data);
    MR_CHECK_EQ(bed_leave(&two), MR_KAFKA_NONE);
    MR_CHECK(two.joined);
    MR_CHECK_EQ(two.error, MR_KAFKA_UNKNOWN_MEMBER_ID);
    bed_close(&bed);
}

MR_TEST(several_members_leave_by_id_and_by_instance)
{
    struct mr_group_leaving leaving[5];
    struct mr_group_leave leave = {.group_id = bed_str("g"), .members = leaving};

    open_three();
    one.instance = "i1";
    two.instance = "i2";
    bed_join(&one);
    bed_join(&two);
    bed_join(&three);
    bed_pass(&bed, 6000);
    leaving[0] = (struct mr_group_leaving){bed_str(""), bed_str("i1"), 0};
    leaving[1] = (struct mr_group_leaving){bed_str("wrong"), bed_str("i2"), 0};
    leaving[2] = (struct mr_group_leaving){bed_str(three.id), {NULL, -1}, 0};
    leaving[3] = (struct mr_group_leaving){bed_str(""), bed_str("i9"), 0};
    leaving[4] = (struct mr_group_leaving){bed_str(""), {NULL, -1}, 0};
    leave.member_count = 5;
    MR_CHECK(mr_groups_leave(bed.groups, &leave, bed.now));
    MR_CHECK_EQ(leave.request.error, MR_KAFKA_NONE);
    MR_CHECK_EQ(leaving[0].error, MR_KAFKA_NONE);
    MR_CHECK_EQ(leaving[1].error, MR_KAFKA_FENCED_INSTANCE_ID);
    MR_CHECK_EQ(leaving[2].error, MR_KAFKA_NONE);
    MR_CHECK_EQ(leaving[3].error, MR_KAFKA_UNKNOWN_MEMBER_ID);
    MR_CHECK_EQ(leaving[4].error, MR_KAFKA_UNKNOWN_MEMBER_ID);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_PREPARING_REBALANCE);
    leave.group_id = bed_str("no such group");
    MR_CHECK(mr_groups_leave(bed.groups, &leave, bed.now));
    MR_CHECK_EQ(leave.request.error, MR_KAFKA_NONE);
    MR_CHECK_EQ(leaving[0].error, MR_KAFKA_UNKNOWN_MEMBER_ID);
    bed_close(&bed);
}

MR_TEST(a_full_group_takes_nobody_new)
{
    struct mr_groups_config config;

    mr_groups_config_default(&config);
    config.group_size_max = 2;
    bed_open_with(&bed, &config);
    bed_member(&bed, &one);
    bed_member(&bed, &two);
    bed_member(&bed, &three);
    bed_stable_two(&one, &two);
    bed_join(&three);
    MR_CHECK_EQ(three.error, MR_KAFKA_GROUP_MAX_SIZE_REACHED);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_STABLE);
    bed_join(&one);
    bed_join(&two);
    MR_CHECK(one.joined && two.joined);
    MR_CHECK_EQ(two.error, MR_KAFKA_NONE);
    bed_close(&bed);
}

MR_TEST(a_static_member_that_comes_back_takes_its_place_quietly)
{
    char old[BED_TEXT_MAX];
    int16_t versions[] = {5, 9};

    for (int i = 0; i < 2; i++) {
        open_three();
        one.instance = "i";
        one.version = versions[i];
        MR_CHECK(one.version > 4);
        bed_stable_two(&one, &two);
        MR_CHECK(strncmp(one.id, "i-", 2) == 0);
        memcpy(old, one.id, sizeof(old));
        one.id[0] = '\0';
        bed.hold = true;
        bed_join(&one);
        MR_CHECK(!one.joined); /* not before it is durable */
        bed.hold = false;
        bed_flush(&bed);
        MR_CHECK(one.joined);
        MR_CHECK_EQ(one.error, MR_KAFKA_NONE);
        MR_CHECK(strcmp(old, one.id) != 0);
        MR_CHECK_EQ(one.generation, 1);
        MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_STABLE);
        /* Before version 9 it must not think that it leads; from 9 on it learns what to skip. */
        MR_CHECK_STR(one.leader, i == 0 ? old : one.id);
        MR_CHECK_EQ(one.skip, i == 1);
        MR_CHECK_EQ(one.member_count, i == 0 ? 0 : 2);
        bed_sync(&one);
        MR_CHECK_STR(one.assignment, old + strlen(old) - 1);
        memcpy(one.id, old, sizeof(old));
        MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_FENCED_INSTANCE_ID);
        bed_sync(&one);
        MR_CHECK_EQ(one.sync_error, MR_KAFKA_FENCED_INSTANCE_ID);
        bed_join(&one);
        MR_CHECK_EQ(one.error, MR_KAFKA_FENCED_INSTANCE_ID);
        bed_close(&bed);
    }
}

MR_TEST(a_static_member_gets_its_old_id_back_where_the_new_one_is_not_durable)
{
    char old[BED_TEXT_MAX];

    open_three();
    one.instance = "i";
    bed_stable_two(&one, &two);
    memcpy(old, one.id, sizeof(old));
    one.id[0] = '\0';
    bed.error = MR_KAFKA_REQUEST_TIMED_OUT;
    bed_join(&one);
    MR_CHECK_EQ(one.error, MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
    memcpy(one.id, old, sizeof(old));
    MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_NONE);
    bed.error = MR_KAFKA_NONE;
    bed_pass(&bed, 9000);
    bed_heartbeat(&two);
    bed_pass(&bed, 1000);
    MR_CHECK_EQ(bed_heartbeat(&one), MR_KAFKA_UNKNOWN_MEMBER_ID);
    bed_close(&bed);
}

MR_TEST(a_leader_that_assigns_twice_is_taken_at_its_first_word)
{
    struct bed_member again;

    open_three();
    bed_join(&one);
    bed_join(&two);
    bed_pass(&bed, 6000);
    bed.hold = true;
    bed_sync(&two);
    bed_sync(&one);
    again = one;
    again.member_count = 0; /* nothing for anybody */
    bed_sync(&again);
    MR_CHECK_EQ(bed.write_count, 1);
    MR_CHECK_EQ(one.sync_error, MR_KAFKA_REBALANCE_IN_PROGRESS);
    bed_flush(&bed);
    MR_CHECK(again.synced && two.synced);
    MR_CHECK_STR(two.assignment, two.id + strlen(two.id) - 1);
    bed_close(&bed);
}

MR_TEST(a_static_member_that_comes_back_twice_waits_for_the_second_write)
{
    struct bed_member again;

    open_three();
    one.instance = "i";
    bed_stable_two(&one, &two);
    bed.hold = true;
    one.id[0] = '\0';
    bed_join(&one);
    again = one;
    again.parked = false;
    bed_join(&again);
    MR_CHECK(one.joined);
    MR_CHECK_EQ(one.error, MR_KAFKA_FENCED_INSTANCE_ID);
    bed_flush_one(&bed);
    MR_CHECK(!again.joined);
    bed_flush_one(&bed);
    MR_CHECK(again.joined);
    MR_CHECK_EQ(again.error, MR_KAFKA_NONE);
    MR_CHECK_EQ(bed_heartbeat(&again), MR_KAFKA_NONE);
    bed_close(&bed);
}

MR_TEST(a_static_member_that_comes_back_before_a_rebalance_has_joined_it)
{
    open_three();
    one.instance = "i";
    bed_stable_two(&one, &two);
    bed.hold = true;
    one.id[0] = '\0';
    bed_join(&one);
    bed_join(&three);
    bed_flush(&bed);
    MR_CHECK(!one.joined);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_PREPARING_REBALANCE);
    bed_join(&two);
    MR_CHECK(one.joined && two.joined && three.joined);
    MR_CHECK_EQ(one.generation, 2);
    MR_CHECK_EQ(one.member_count, 3);
    bed_close(&bed);
}

MR_TEST(a_static_member_that_comes_back_with_another_protocol_unsettles_the_group)
{
    open_three();
    one.instance = "i";
    two_protocols(&one, "a", "b");
    two_protocols(&two, "a", "b");
    bed_stable_two(&one, &two);
    MR_CHECK_STR(one.protocol, "a");
    one.id[0] = '\0';
    one.protocols[0].name = bed_str("b");
    one.protocol_count = 1;
    bed_join(&one);
    MR_CHECK(!one.joined);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_PREPARING_REBALANCE);
    bed_join(&two);
    MR_CHECK_STR(two.protocol, "b");
    bed_close(&bed);
}

MR_TEST(a_static_member_that_comes_back_during_a_rebalance_fences_the_join_that_waits)
{
    struct bed_member again;

    open_three();
    one.instance = "i";
    bed_join(&one);
    again = one;
    again.parked = false;
    again.id[0] = '\0';
    bed_join(&again);
    MR_CHECK(one.joined);
    MR_CHECK_EQ(one.error, MR_KAFKA_FENCED_INSTANCE_ID);
    bed_pass(&bed, 3000);
    MR_CHECK(again.joined);
    MR_CHECK_EQ(again.member_count, 1);
    again.id[0] = '\0'; /* and once more, while the leader's assignment is awaited */
    bed_join(&again);
    MR_CHECK(again.joined);
    MR_CHECK_EQ(again.generation, 2);
    bed_close(&bed);
}

MR_TEST(a_static_member_that_does_not_join_keeps_its_place_for_its_session)
{
    open_three();
    one.instance = "i";
    one.rebalance_ms = 8000;
    two.rebalance_ms = 8000;
    three.rebalance_ms = 8000;
    bed_stable_two(&one, &two);
    bed_join(&three);
    bed_join(&two);
    bed_pass(&bed, 8000);
    MR_CHECK(two.joined);
    MR_CHECK_STR(two.leader, two.id);
    MR_CHECK_EQ(two.member_count, 3);
    bed_close(&bed);
}

MR_TEST(a_parked_join_that_is_sent_again_is_answered_once)
{
    struct bed_member again;

    open_three();
    bed_stable_two(&one, &two);
    two.protocols[0].metadata = (struct mr_bytes){(const uint8_t *)"x", 1};
    bed_join(&two);
    again = two;
    again.parked = false;
    bed_join(&again);
    MR_CHECK(two.joined);
    MR_CHECK_EQ(two.error, MR_KAFKA_REBALANCE_IN_PROGRESS);
    bed_join(&one);
    MR_CHECK(again.joined);
    MR_CHECK_EQ(again.generation, 2);
    bed_close(&bed);
}

MR_TEST(a_cancelled_request_is_never_answered_and_its_member_stays)
{
    open_three();
    bed_join(&one);
    bed_join(&two);
    mr_groups_cancel(bed.groups, &two.join.request);
    bed_pass(&bed, 6000);
    MR_CHECK(one.joined && !two.joined);
    MR_CHECK_EQ(one.member_count, 2);
    bed_sync(&one);
    MR_CHECK(one.synced);
    bed_pass(&bed, 9999);
    bed_heartbeat(&one);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_STABLE);
    bed_pass(&bed, 1);
    MR_CHECK_EQ(bed_state(&bed, "g"), MR_GROUP_PREPARING_REBALANCE);
    bed_join(&one);
    MR_CHECK(one.joined);
    bed_join(&three);
    bed_join(&one);
    MR_CHECK_EQ(one.generation, 3);
    bed_sync(&three);
    mr_groups_cancel(bed.groups, &three.sync.request);
    bed_sync(&one);
    MR_CHECK(one.synced && !three.synced);
    bed_close(&bed);
}

MR_TEST(describe_and_list_tell_what_kafka_tells)
{
    struct mr_group_description description;

    open_three();
    MR_CHECK_EQ(mr_groups_describe(bed.groups, bed_str("g"), &description),
                MR_KAFKA_GROUP_ID_NOT_FOUND);
    bed_stable(&one);
    MR_CHECK_EQ(mr_groups_describe(bed.groups, bed_str("g"), &description), MR_KAFKA_NONE);
    MR_CHECK_STR(mr_group_state_name(description.state), "Stable");
    MR_CHECK_EQ(description.member_count, 1);
    MR_CHECK_EQ(description.members[0].metadata.size, 1);
    MR_CHECK_EQ(description.members[0].assignment.size, 1);
    MR_CHECK_EQ(description.members[0].client_host.size, 8);
    MR_CHECK_EQ(description.protocol_data.size, 5);
    bed_join(&two);
    MR_CHECK_EQ(mr_groups_describe(bed.groups, bed_str("g"), &description), MR_KAFKA_NONE);
    MR_CHECK_STR(mr_group_state_name(description.state), "PreparingRebalance");
    MR_CHECK_EQ(description.protocol_data.size, 0);
    MR_CHECK_EQ(description.members[0].metadata.size, 0);
    bed_close(&bed);
}

static int visited;

static void
visit(void *context, const struct mr_group_listing *listing)
{
    (void)context;
    MR_CHECK(listing->protocol_type.size >= 0);
    visited++;
}

static int
list(const char *state, const char *type)
{
    struct mr_str states = bed_str(state);
    struct mr_str types = bed_str(type);

    visited = 0;
    MR_CHECK_EQ(
        mr_groups_list(bed.groups, &states, state ? 1 : 0, &types, type ? 1 : 0, visit, NULL),
        MR_KAFKA_NONE);
    return visited;
}

MR_TEST(groups_are_listed_by_state_and_type_whatever_the_case)
{
    open_three();
    bed_stable(&one);
    two.group = "other";
    bed_join(&two);
    MR_CHECK_EQ(bed_commit(&bed, "simple", "t", 0, 1), MR_KAFKA_NONE);
    MR_CHECK_EQ(list(NULL, NULL), 3);
    MR_CHECK_EQ(list("stable", NULL), 1);
    MR_CHECK_EQ(list("PreparingRebalance", "CLASSIC"), 1);
    MR_CHECK_EQ(list("Empty", "classic"), 1);
    MR_CHECK_EQ(list(NULL, "consumer"), 0);
    MR_CHECK_EQ(list("nonsense", NULL), 0);
    MR_CHECK_EQ(list(" \tStable\n ", NULL), 1);
    MR_CHECK_EQ(list("Sta ble", NULL), 0);
    MR_CHECK_EQ(list(" ", NULL), 0);
    MR_CHECK_EQ(list(NULL, " classic"), 0);
    bed_close(&bed);
}

MR_TEST_MAIN(
    MR_TEST_CASE(the_partition_of_a_group_is_javas_hash_of_its_id),
    MR_TEST_CASE(a_request_without_a_group_id_is_refused),
    MR_TEST_CASE(a_session_timeout_outside_the_bounds_is_refused),
    MR_TEST_CASE(a_new_dynamic_member_of_version_4_must_join_again_with_its_id),
    MR_TEST_CASE(a_pending_member_is_forgotten_after_its_session),
    MR_TEST_CASE(a_pending_member_holds_a_rebalance_up_until_its_session_ends),
    MR_TEST_CASE(a_member_id_that_nobody_gave_out_is_unknown),
    MR_TEST_CASE(the_first_rebalance_waits_and_is_extended_by_joins_up_to_the_rebalance_timeout),
    MR_TEST_CASE(only_the_leader_learns_who_the_members_are),
    MR_TEST_CASE(the_protocol_with_most_votes_among_those_that_all_support_is_chosen),
    MR_TEST_CASE(a_member_whose_protocols_do_not_fit_is_refused),
    MR_TEST_CASE(a_refused_first_join_leaves_an_empty_group),
    MR_TEST_CASE(an_empty_group_takes_members_of_another_protocol_type),
    MR_TEST_CASE(the_assignment_is_told_when_it_is_durable),
    MR_TEST_CASE(an_assignment_that_cannot_be_made_durable_ends_the_generation),
    MR_TEST_CASE(an_assignment_of_an_older_generation_changes_nothing),
    MR_TEST_CASE(a_new_groups_joins_fail_where_its_first_record_does),
    MR_TEST_CASE(a_group_whose_first_record_failed_and_whose_later_ones_did_not_goes_on),
    MR_TEST_CASE(texts_that_no_record_can_hold_are_refused),
    MR_TEST_CASE(sync_checks_generation_and_protocol),
    MR_TEST_CASE(heartbeats_say_in_each_state_what_kafka_says),
    MR_TEST_CASE(a_follower_that_joins_again_unchanged_is_told_the_generation),
    MR_TEST_CASE(a_follower_with_new_metadata_unsettles_the_group),
    MR_TEST_CASE(a_member_that_does_not_join_in_time_is_out_and_the_leader_moves),
    MR_TEST_CASE(version_0_has_one_timeout_for_session_and_rebalance),
    MR_TEST_CASE(a_silent_member_is_out_after_its_session),
    MR_TEST_CASE(a_member_that_waits_is_alive_but_a_first_join_waits_five_minutes_at_most),
    MR_TEST_CASE(members_that_never_sync_are_out_after_the_rebalance_timeout),
    MR_TEST_CASE(followers_that_wait_for_a_leader_that_never_syncs_are_sent_back),
    MR_TEST_CASE(the_last_member_that_leaves_empties_the_group),
    MR_TEST_CASE(a_member_that_leaves_has_its_parked_requests_answered),
    MR_TEST_CASE(several_members_leave_by_id_and_by_instance),
    MR_TEST_CASE(a_full_group_takes_nobody_new),
    MR_TEST_CASE(a_static_member_that_comes_back_takes_its_place_quietly),
    MR_TEST_CASE(a_static_member_gets_its_old_id_back_where_the_new_one_is_not_durable),
    MR_TEST_CASE(a_leader_that_assigns_twice_is_taken_at_its_first_word),
    MR_TEST_CASE(a_static_member_that_comes_back_twice_waits_for_the_second_write),
    MR_TEST_CASE(a_static_member_that_comes_back_before_a_rebalance_has_joined_it),
    MR_TEST_CASE(a_static_member_that_comes_back_with_another_protocol_unsettles_the_group),
    MR_TEST_CASE(a_static_member_that_comes_back_during_a_rebalance_fences_the_join_that_waits),
    MR_TEST_CASE(a_static_member_that_does_not_join_keeps_its_place_for_its_session),
    MR_TEST_CASE(a_parked_join_that_is_sent_again_is_answered_once),
    MR_TEST_CASE(a_cancelled_request_is_never_answered_and_its_member_stays),
    MR_TEST_CASE(describe_and_list_tell_what_kafka_tells),
    MR_TEST_CASE(groups_are_listed_by_state_and_type_whatever_the_case))
