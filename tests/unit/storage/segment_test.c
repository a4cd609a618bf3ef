/* tests/unit/storage/segment_test.c: logical segments and what retention takes, by Kafka's rules.
 */
#include "tests/unit/storage/store_fixture.h"

static bool trimmed;

static void
trim_done(struct mr_log_trim *trim, enum mr_kafka_err error)
{
    (void)trim;
    MR_CHECK_EQ(error, MR_KAFKA_NONE);
    trimmed = true;
}

static void
trim_to(struct fixture *f, int64_t offset)
{
    struct mr_log_trim trim = {.done = trim_done, .offset = offset};

    trimmed = false;
    mr_log_trim(log_of(f, 0), &trim);
    settle(f);
    MR_CHECK(trimmed);
}

static int64_t
by_size(struct fixture *f, int64_t bytes)
{
    return mr_log_retention_offset(log_of(f, 0), -1, bytes, 0);
}

static int64_t
by_time(struct fixture *f, int64_t ms, int64_t now)
{
    return mr_log_retention_offset(log_of(f, 0), ms, -1, now);
}

static void
reopen(struct fixture *f)
{
    MR_CHECK_EQ(mr_store_close(f->store), 0);
    mr_dev_sim_power_cut(f->sim);
    connect_and_open(f);
}

/* Ten batches of 1,000 bytes in segments of 2,500: two each. Size retention drops a segment while
 * what is left still has the limit, at, above and below it; also after replay and a checkpoint. */
MR_TEST(size_retention_drops_whole_segments_from_the_oldest)
{
    struct fixture f;

    set_up(&f, 16 * MIB, MIB);
    submit_options.segment_bytes = 2500;
    for (unsigned i = 0; i < 10; i++) {
        send_durable(&f, log_of(&f, 0), 1000, 1);
    }
    for (unsigned life = 0; life < 3; life++) {
        MR_CHECK_EQ(by_size(&f, -1), 0);
        MR_CHECK_EQ(by_size(&f, 20000), 0);
        MR_CHECK_EQ(by_size(&f, 8001), 0);
        MR_CHECK_EQ(by_size(&f, 8000), 2);
        MR_CHECK_EQ(by_size(&f, 7999), 2);
        MR_CHECK_EQ(by_size(&f, 6000), 4);
        MR_CHECK_EQ(by_size(&f, 1), 8);
        MR_CHECK_EQ(by_size(&f, 0), 10); /* the last one too: it is durable */
        if (life == 0) {
            crash(&f);
        } else {
            reopen(&f);
        }
    }
    trim_to(&f, by_size(&f, 6000));
    MR_CHECK_EQ(by_size(&f, 6000), 4);
    MR_CHECK_EQ(by_size(&f, 4000), 6);
    trim_to(&f, 5); /* DeleteRecords inside of a segment: it counts whole */
    MR_CHECK_EQ(by_size(&f, 6000), 5);
    MR_CHECK_EQ(by_size(&f, 4000), 6);
    tear_down(&f);
}

/* Time retention goes by a segment's largest timestamp, and stops at the first younger one. */
MR_TEST(time_retention_goes_by_the_largest_timestamp)
{
    static const int64_t timestamps[] = {100, 300, 200, 250, 900, 100, 150, 160};
    struct fixture f;

    set_up(&f, 16 * MIB, MIB);
    submit_options.segment_bytes = 2500;
    for (unsigned i = 0; i < 8; i++) {
        submit_options.timestamp = timestamps[i];
        send_durable(&f, log_of(&f, 0), 1000, 1);
    }
    for (unsigned life = 0; life < 3; life++) {
        MR_CHECK_EQ(by_time(&f, -1, 100000), 0);
        MR_CHECK_EQ(by_time(&f, 100, 400), 0); /* not older than 100 ms */
        MR_CHECK_EQ(by_time(&f, 100, 401), 4);
        MR_CHECK_EQ(by_time(&f, 100, 1000), 4); /* the third one is not, so the fourth stays */
        MR_CHECK_EQ(by_time(&f, 100, 1001), 8);
        if (life == 0) {
            crash(&f);
        } else {
            reopen(&f);
        }
    }
    tear_down(&f);
}

/* Where size has taken the segment that time stops at, time goes on behind it. */
MR_TEST(time_goes_on_behind_what_size_has_taken)
{
    static const int64_t timestamps[] = {900, 100, 950};
    struct fixture f;

    set_up(&f, 16 * MIB, MIB);
    submit_options.segment_bytes = 1500;
    for (unsigned i = 0; i < 3; i++) {
        submit_options.timestamp = timestamps[i];
        send_durable(&f, log_of(&f, 0), 1000, 1);
    }
    MR_CHECK_EQ(mr_log_retention_offset(log_of(&f, 0), 500, -1, 1000), 0);
    MR_CHECK_EQ(mr_log_retention_offset(log_of(&f, 0), 500, 2000, 1000), 2);
    tear_down(&f);
}

/* segment.ms by the records' timestamps, and an idle segment by the clock. */
MR_TEST(segments_roll_by_age)
{
    struct fixture f;
    struct mr_log *log;

    set_up(&f, 16 * MIB, MIB);
    log = log_of(&f, 0);
    submit_options.segment_ms = 1000;
    submit_options.timestamp = 5000;
    send_durable(&f, log, 1000, 1);
    submit_options.timestamp = 6000;
    send_durable(&f, log, 1000, 1); /* not more than a second */
    submit_options.timestamp = 6001;
    send_durable(&f, log, 1000, 1);
    MR_CHECK_EQ(by_size(&f, 1000), 2);
    mr_log_roll_idle(log, 1000, mr_clock_wall_ms(&f.clock.clock) + 900);
    submit_options.timestamp = 6002;
    send_durable(&f, log, 1000, 1);
    MR_CHECK_EQ(by_size(&f, 1000), 2);
    mr_log_roll_idle(log, 1000, mr_clock_wall_ms(&f.clock.clock) + 1100);
    send_durable(&f, log, 1000, 1);
    MR_CHECK_EQ(by_size(&f, 1000), 4);
    tear_down(&f);
}

/* A log that lost everything by retention begins a segment of its own, and counts from there. */
MR_TEST(a_log_emptied_by_retention_goes_on_with_a_fresh_segment)
{
    struct fixture f;

    set_up(&f, 16 * MIB, MIB);
    for (unsigned i = 0; i < 4; i++) {
        send_durable(&f, log_of(&f, 0), 1000, 1);
    }
    trim_to(&f, by_size(&f, 0));
    MR_CHECK_EQ(by_size(&f, 0), 4);
    send_durable(&f, log_of(&f, 0), 1000, 2);
    for (unsigned life = 0; life < 3; life++) {
        MR_CHECK_EQ(by_size(&f, 1), 4);
        MR_CHECK_EQ(by_size(&f, 0), 5);
        check_batch(&f, log_of(&f, 0), 4, 1000, 2);
        if (life == 0) {
            crash(&f);
        } else {
            reopen(&f);
        }
    }
    tear_down(&f);
}

/* A log that retention keeps at 16 batches of 4,000 bytes holds about that much of the store,
 * however much has gone through it: extents double with what the log has, not with what it has
 * seen. */
MR_TEST(a_log_that_is_kept_small_holds_little_space)
{
    struct mr_store_stats empty, full;
    struct fixture f;

    set_up(&f, 128 * MIB, MIB);
    submit_options.segment_bytes = 4000;
    mr_store_stats(f.store, &empty);
    for (unsigned i = 0; i < 2000; i++) {
        send_durable(&f, log_of(&f, 0), 4000, 1);
        if (i % 16 == 15) {
            trim_to(&f, by_size(&f, 16 * 4000));
        }
    }
    mr_store_stats(f.store, &full);
    MR_CHECK(empty.free_bytes - full.free_bytes < MIB / 2);
    tear_down(&f);
}

/* ---- a fragmented store ---------------------------------------------------------------------- */

#define FRAGMENTS 4600

static void
on_deleted(struct mr_log_delete *deletion, enum mr_kafka_err error)
{
    (void)deletion;
    MR_CHECK_EQ(error, 0);
}

static void
turns(struct fixture *f, unsigned count)
{
    while (count-- > 0) {
        turn(f);
    }
}

/* The extents of an append that is put off are written in the set that the append comes in, and
 * counted there: a set that named them earlier would be larger than was found room for. */
MR_TEST(appends_that_are_put_off_in_a_fragmented_store_keep_their_extents_to_themselves)
{
    static struct mr_log_delete deletions[FRAGMENTS];
    static struct sent sent[FRAGMENTS];
    struct sent first, fill[7], small[3], large;
    struct mr_store_stats stats;
    struct fixture f;

    set_up(&f, 24 * MIB, MIB);
    f.config.logs_max = 8192;
    f.config.on_low_space = NULL;
    crash(&f);
    for (int32_t i = 0; i < FRAGMENTS; i++) {
        submit_soon(&f, log_of(&f, i), &sent[i], 70, 'a', -1, -1, -1);
        turns(&f, i % 50 == 49 ? 20 : 0);
    }
    settle(&f);
    mr_store_stats(f.store, &stats);
    while (stats.free_bytes > 150 * (uint64_t)MR_DEV_BLOCK) { /* no large piece is left */
        send_durable(&f, log_of(&f, 8000), stats.free_bytes > MIB ? MIB / 2 : 200000, 'z');
        settle(&f);
        mr_store_stats(f.store, &stats);
    }
    for (int32_t i = 0; i < FRAGMENTS; i += 2) {
        struct mr_log_id id = {.topic_id = {{42}}, .partition = i};

        deletions[i].done = on_deleted;
        mr_store_log_delete(f.store, &id, &deletions[i]);
        turns(&f, i % 100 == 0 ? 20 : 0);
    }
    f.clock.now_ns += 2000000000ull;
    settle(&f);
    mr_dev_sim_stall(f.sim, true); /* a group is on its way, and the next one fills */
    MR_CHECK_EQ(submit(log_of(&f, 9000), &first, 100, 'x', -1, -1, -1), 0);
    turn(&f);
    for (int32_t i = 0; i < 7; i++) {
        MR_CHECK_EQ(submit(log_of(&f, 9001 + i), &fill[i], 29500, 'f', -1, -1, -1), 0);
    }
    for (int32_t i = 0; i < 3; i++) {
        MR_CHECK_EQ(submit(log_of(&f, 9100 + i), &small[i], 100, 's', -1, -1, -1), 0);
    }
    for (int32_t i = 0; i < 3; i++) {
        MR_CHECK_EQ(submit(log_of(&f, 9100 + i), &large, 2 * MIB - 4096, 'b', -1, -1, -1), -EAGAIN);
    }
    mr_dev_sim_stall(f.sim, false);
    settle(&f);
    MR_CHECK(first.answered && small[0].answered && small[1].answered && small[2].answered);
    tear_down(&f);
}

MR_TEST_MAIN(
    MR_TEST_CASE(size_retention_drops_whole_segments_from_the_oldest),
    MR_TEST_CASE(time_retention_goes_by_the_largest_timestamp),
    MR_TEST_CASE(time_goes_on_behind_what_size_has_taken), MR_TEST_CASE(segments_roll_by_age),
    MR_TEST_CASE(a_log_that_is_kept_small_holds_little_space),
    MR_TEST_CASE(a_log_emptied_by_retention_goes_on_with_a_fresh_segment),
    MR_TEST_CASE(appends_that_are_put_off_in_a_fragmented_store_keep_their_extents_to_themselves))
