/* tests/unit/storage/store_test.c: a store over a simulated device, one behaviour at a time. The
 * crash simulator in tests/sim covers their combinations. */
#include "dataplane/base/endian.h"
#include "tests/unit/storage/store_fixture.h"

#define COLD_READERS 8

/* Sizes around every limit come back, hot, after a crash, and cold after a clean close. */
MR_TEST(batches_of_every_size_survive_a_crash_and_a_close)
{
    static const uint32_t sizes[] = {61,    255,   256,   257,   4095,   4096, 4097, 8192,
                                     32767, 32768, 32769, 65536, 100000, MIB,  70,   1234};
    unsigned count = sizeof(sizes) / sizeof(sizes[0]);
    struct fixture f;

    set_up(&f, 64 * MIB, 4 * MIB);
    for (unsigned i = 0; i < count; i++) {
        send_durable(&f, log_of(&f, 0), sizes[i], (uint8_t)i);
        check_batch(&f, log_of(&f, 0), i, sizes[i], (uint8_t)i);
    }
    crash(&f);
    MR_CHECK(!mr_store_was_clean(f.store));
    for (unsigned i = 0; i < count; i++) {
        check_batch(&f, log_of(&f, 0), i, sizes[i], (uint8_t)i);
    }
    MR_CHECK_EQ(mr_store_close(f.store), 0);
    mr_dev_sim_power_cut(f.sim);
    connect_and_open(&f);
    MR_CHECK(mr_store_was_clean(f.store));
    for (unsigned i = count; i-- > 0;) {
        check_batch(&f, log_of(&f, 0), i, sizes[i], (uint8_t)i);
    }
    send_durable(&f, log_of(&f, 0), 1000, 99); /* its last block has to be loaded first */
    tear_down(&f);
}

/* Offsets outside of the log are refused, the high watermark gives an empty answer. */
MR_TEST(reads_outside_of_the_log_are_answered_at_once)
{
    struct mr_read read = {.done = read_done, .offset = 1, .bytes_max = 100};
    struct fixture f;

    set_up(&f, 16 * MIB, MIB);
    send_durable(&f, log_of(&f, 0), 100, 1);
    MR_CHECK_EQ(mr_log_read(log_of(&f, 0), &read), 1);
    MR_CHECK_EQ(read.error, MR_KAFKA_NONE);
    MR_CHECK_EQ(read.size, 0);
    mr_log_read_release(f.store, &read);
    read.offset = 2;
    MR_CHECK_EQ(mr_log_read(log_of(&f, 0), &read), 1);
    MR_CHECK_EQ(read.error, MR_KAFKA_OFFSET_OUT_OF_RANGE);
    mr_log_read_release(f.store, &read);
    read.offset = 0;
    read.bytes_max = 99; /* the batch is larger */
    MR_CHECK_EQ(mr_log_read(log_of(&f, 0), &read), 1);
    MR_CHECK_EQ(read.size, 0);
    mr_log_read_release(f.store, &read);
    tear_down(&f);
}

static enum mr_kafka_err
produce(struct fixture *f, int64_t id, int16_t epoch, int32_t sequence, int64_t *offset)
{
    struct sent sent;

    submit_soon(f, log_of(f, 0), &sent, 100, 1, id, epoch, sequence);
    for (unsigned i = 0; i < 500 && !sent.answered; i++) {
        turn(f);
    }
    MR_CHECK(sent.answered);
    *offset = sent.append.base_offset;
    return sent.append.error;
}

/* KIP-98: duplicates within five, gaps, epochs, the wrap of sequences; also after recovery from
 * the journal and from a checkpoint. */
MR_TEST(producer_windows_follow_kip_98_and_survive)
{
    struct fixture f;
    int64_t offset;

    set_up(&f, 16 * MIB, MIB);
    for (int32_t i = 0; i < 7; i++) {
        MR_CHECK_EQ(produce(&f, 1, 0, i < 4 ? INT32_MAX - 3 + i : i - 4, &offset), MR_KAFKA_NONE);
        MR_CHECK_EQ(offset, i);
    }
    for (unsigned round = 0; round < 3; round++) {
        MR_CHECK_EQ(produce(&f, 1, 0, 2, &offset), MR_KAFKA_NONE); /* the last one again */
        MR_CHECK_EQ(offset, 6);
        MR_CHECK_EQ(produce(&f, 1, 0, INT32_MAX - 1, &offset), MR_KAFKA_NONE); /* the fifth last */
        MR_CHECK_EQ(offset, 2);
        MR_CHECK_EQ(produce(&f, 1, 0, INT32_MAX - 2, &offset),
                    MR_KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
        MR_CHECK_EQ(produce(&f, 1, 0, 4, &offset), MR_KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
        MR_CHECK_EQ(produce(&f, 1, 1, 1, &offset), MR_KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
        if (round == 0) {
            crash(&f);
        } else if (round == 1) {
            MR_CHECK_EQ(mr_store_close(f.store), 0);
            mr_dev_sim_power_cut(f.sim);
            connect_and_open(&f);
        }
    }
    MR_CHECK_EQ(produce(&f, 1, 1, 0, &offset), MR_KAFKA_NONE);
    MR_CHECK_EQ(produce(&f, 1, 0, 3, &offset), MR_KAFKA_INVALID_PRODUCER_EPOCH);
    MR_CHECK_EQ(produce(&f, 2, 5, 77, &offset), MR_KAFKA_NONE); /* unknown: anywhere */
    tear_down(&f);
}

/* A duplicate of a batch in flight waits for the original. */
MR_TEST(a_duplicate_in_flight_is_answered_with_the_original)
{
    struct sent first, second;
    struct fixture f;

    set_up(&f, 16 * MIB, MIB);
    MR_CHECK_EQ(submit(log_of(&f, 0), &first, 100, 1, 9, 0, 0), 0);
    MR_CHECK_EQ(submit(log_of(&f, 0), &second, 100, 1, 9, 0, 0), 0);
    MR_CHECK(!second.answered);
    mr_dev_sim_stall(f.sim, true);
    settle(&f);
    MR_CHECK(!first.answered && !second.answered);
    mr_dev_sim_stall(f.sim, false);
    settle(&f);
    MR_CHECK(first.answered && second.answered);
    MR_CHECK(second.append.duplicate);
    MR_CHECK_EQ(second.append.base_offset, first.append.base_offset);
    tear_down(&f);
}

/* Three times the ring in small batches: checkpoints free it, and every batch is there at the
 * end, after a crash. */
MR_TEST(the_journal_wraps_and_checkpoints_free_it)
{
    struct mr_store_stats stats;
    struct fixture f;

    set_up(&f, 32 * MIB, MIB);
    for (unsigned i = 0; i < 600; i++) {
        send_durable(&f, log_of(&f, (int32_t)(i % 3)), 5000, (uint8_t)i);
    }
    mr_store_stats(f.store, &stats);
    MR_CHECK(stats.group_bytes > 3 * MIB);
    MR_CHECK(stats.checkpoints >= 3);
    MR_CHECK(stats.tail_images > 0 && stats.carried_blocks > 0);
    crash(&f);
    for (unsigned i = 0; i < 600; i++) {
        check_batch(&f, log_of(&f, (int32_t)(i % 3)), i / 3, 5000, (uint8_t)i);
    }
    tear_down(&f);
}

/* Stalls the drive and appends until there is no room; returns how many were taken. */
static unsigned
fill_stalled(struct fixture *f, struct sent *sent, unsigned count_max)
{
    unsigned taken = 0;

    mr_dev_sim_stall(f->sim, true);
    while (taken < count_max &&
           submit(log_of(f, (int32_t)(taken % 16)), &sent[taken], 2000, 1, -1, -1, -1) == 0) {
        if (taken++ == 0) {
            turn(f); /* one in flight */
        }
    }
    return taken;
}

/* With a stalled drive the filling group takes no more than a set; then -EAGAIN, and on_room when
 * there is room again. */
MR_TEST(a_full_group_says_again_and_then_room)
{
    static struct sent sent[600];
    struct fixture f;
    unsigned taken;

    set_up(&f, 32 * MIB, MIB);
    taken = fill_stalled(&f, sent, 600);
    MR_CHECK(taken > 10 && taken < 600);
    settle(&f);
    mr_dev_sim_stall(f.sim, false);
    f.rooms = 0;
    settle(&f);
    for (unsigned i = 0; i < taken; i++) {
        MR_CHECK(sent[i].answered);
        MR_CHECK_EQ(sent[i].append.error, MR_KAFKA_NONE);
    }
    MR_CHECK_EQ(submit(log_of(&f, 0), &sent[0], 2000, 1, -1, -1, -1), 0);
    settle(&f);
    MR_CHECK(sent[0].answered);
    tear_down(&f);
}

static bool found;

static void
on_found(struct mr_log_find *find)
{
    (void)find; /* the fixture's batches hold no records that could be found */
    found = true;
}

/* A lookup that finds no memory waits, and the store may sleep meanwhile; when a reader has let go
 * of some it goes on. */
MR_TEST(a_lookup_without_memory_waits_for_room)
{
    static struct mr_read reads[8192];
    unsigned count = 0;
    struct mr_log_find find = {.kind = MR_LOG_FIND_MAX_TIMESTAMP, .done = on_found};
    struct fixture f;
    unsigned idle = 0;

    set_up(&f, 32 * MIB, MIB);
    send_durable(&f, log_of(&f, 0), 2000, 1);
    for (int result = 1; result > 0; count++) {
        MR_CHECK(count < 8192);
        reads[count] = (struct mr_read){.done = read_done, .bytes_max = 1, .one_at_least = true};
        result = mr_log_read(log_of(&f, 0), &reads[count]);
    }
    found = false;
    MR_CHECK_EQ(mr_log_find(log_of(&f, 0), &find), 0);
    for (unsigned i = 0; i < 100; i++) {
        idle += !mr_store_tick(f.store);
    }
    MR_CHECK(!found && idle > 90);
    for (unsigned i = 0; i + 1 < count; i++) {
        mr_log_read_release(f.store, &reads[i]);
    }
    settle(&f);
    MR_CHECK(found);
    tear_down(&f);
}

static enum mr_kafka_err cut_error;

static void
cut_done(struct mr_log_truncate *truncate, enum mr_kafka_err error)
{
    (void)truncate;
    cut_error = error;
}

/* Room that is made late in a tick, here by a truncation whose read has failed, is not lost for a
 * lookup, although the owner is told of it in the same tick. */
MR_TEST(a_lookup_hears_of_room_made_late_in_a_tick)
{
    static struct mr_read reads[8192];
    struct mr_log_find find = {.kind = MR_LOG_FIND_MAX_TIMESTAMP, .done = on_found};
    struct mr_log_truncate cut = {.done = cut_done, .offset = 1};
    struct fixture f;
    unsigned count = 0;

    set_up(&f, 32 * MIB, MIB);
    for (unsigned i = 0; i < 3; i++) {
        send_durable(&f, log_of(&f, 0), 40000, 1);
    }
    MR_CHECK_EQ(mr_store_close(f.store), 0);
    mr_dev_sim_power_cut(f.sim);
    connect_and_open(&f);
    send_durable(&f, log_of(&f, 1), 2000, 1);
    mr_dev_sim_fail_nth(f.sim, 'r', 1);
    MR_CHECK_EQ(mr_log_truncate(log_of(&f, 0), &cut), 0);
    mr_store_tick(f.store); /* it has begun to read */
    for (int result = 1; result > 0; count++) {
        MR_CHECK(count < 8192);
        reads[count] = (struct mr_read){.done = read_done, .bytes_max = 1, .one_at_least = true};
        result = mr_log_read(log_of(&f, 1), &reads[count]);
    }
    found = false;
    cut_error = MR_KAFKA_NONE;
    MR_CHECK_EQ(mr_log_find(log_of(&f, 1), &find), 0);
    mr_store_tick(f.store);
    MR_CHECK_EQ(cut_error, MR_KAFKA_NONE);
    settle(&f);
    MR_CHECK_EQ(cut_error, MR_KAFKA_KAFKA_STORAGE_ERROR);
    MR_CHECK(found);
    for (unsigned i = 0; i + 1 < count; i++) {
        mr_log_read_release(f.store, &reads[i]);
    }
    tear_down(&f);
}

/* A direct run that fails is not answered until its void is durable; the partition is failed, the
 * other goes on, and after a crash the batch is not there. */
MR_TEST(a_failed_run_is_voided_and_fails_its_partition_alone)
{
    struct mr_log_offsets offsets;
    struct mr_store_stats stats;
    struct sent big, small;
    struct fixture f;

    set_up(&f, 32 * MIB, MIB);
    send_durable(&f, log_of(&f, 0), 100, 1);
    send_durable(&f, log_of(&f, 1), 100, 2);
    for (uint64_t at = 5 * MIB / 4; at < 32 * MIB; at += 4096) {
        mr_dev_sim_bad_block(f.sim, at, true);
    }
    MR_CHECK_EQ(submit(log_of(&f, 0), &big, 200000, 3, -1, -1, -1), 0);
    MR_CHECK_EQ(submit(log_of(&f, 1), &small, 100, 4, -1, -1, -1), 0);
    settle(&f);
    MR_CHECK(big.answered && small.answered);
    MR_CHECK_EQ(big.append.error, MR_KAFKA_KAFKA_STORAGE_ERROR);
    MR_CHECK_EQ(small.append.error, MR_KAFKA_NONE);
    mr_store_stats(f.store, &stats);
    MR_CHECK_EQ(stats.voids, 1);
    mr_log_offsets(log_of(&f, 0), &offsets);
    MR_CHECK(offsets.failed);
    MR_CHECK_EQ(offsets.end, 1);
    check_batch(&f, log_of(&f, 0), 0, 100, 1);
    MR_CHECK_EQ(submit(log_of(&f, 0), &big, 100, 3, -1, -1, -1), 0);
    settle(&f);
    MR_CHECK_EQ(big.append.error, MR_KAFKA_KAFKA_STORAGE_ERROR);
    for (uint64_t at = 5 * MIB / 4; at < 32 * MIB; at += 4096) {
        mr_dev_sim_bad_block(f.sim, at, false);
    }
    crash(&f);
    mr_log_offsets(log_of(&f, 0), &offsets);
    MR_CHECK(!offsets.failed);
    MR_CHECK_EQ(offsets.high_watermark, 1);
    check_batch(&f, log_of(&f, 1), 1, 100, 4);
    send_durable(&f, log_of(&f, 0), 300, 5);
    check_batch(&f, log_of(&f, 0), 1, 300, 5);
    tear_down(&f);
}

/* A failed journal write fails the store, once, and nothing is acknowledged. */
MR_TEST(a_failed_journal_write_fails_the_store)
{
    struct sent sent;
    struct fixture f;

    set_up(&f, 32 * MIB, MIB);
    send_durable(&f, log_of(&f, 0), 100, 1);
    for (uint64_t at = 4; at < 4 + 256; at++) {
        mr_dev_sim_bad_block(f.sim, at * 4096, true);
    }
    MR_CHECK_EQ(submit(log_of(&f, 0), &sent, 100, 3, -1, -1, -1), 0);
    settle(&f);
    MR_CHECK_EQ(sent.append.error, MR_KAFKA_KAFKA_STORAGE_ERROR);
    MR_CHECK_EQ(f.failures, 1);
    check_batch(&f, log_of(&f, 0), 0, 100, 1); /* reads go on */
    MR_CHECK_EQ(mr_store_close(f.store), -EIO);
    mr_dev_sim_destroy(f.sim);
    free(f.config.arena);
}

/* An append that was to be tried again when there is room is refused then: what waits in front of a
 * store that has failed must not wait for ever. */
MR_TEST(who_waits_for_room_hears_that_the_store_has_failed)
{
    static struct sent sent[600];
    struct fixture f;
    unsigned taken;

    set_up(&f, 32 * MIB, MIB);
    taken = fill_stalled(&f, sent, 600);
    settle(&f);
    MR_CHECK_EQ(submit(log_of(&f, 0), &sent[taken], 2000, 1, -1, -1, -1), -EAGAIN);
    f.rooms = 0;
    for (uint64_t at = 4; at < 4 + 256; at++) {
        mr_dev_sim_bad_block(f.sim, at * 4096, true);
    }
    mr_dev_sim_stall(f.sim, false);
    settle(&f);
    MR_CHECK_EQ(f.failures, 1);
    MR_CHECK_EQ(f.rooms, 1);
    MR_CHECK_EQ(submit(log_of(&f, 0), &sent[taken], 2000, 1, -1, -1, -1), 0);
    settle(&f);
    MR_CHECK_EQ(sent[taken].append.error, MR_KAFKA_KAFKA_STORAGE_ERROR);
    MR_CHECK_EQ(mr_store_close(f.store), -EIO);
    mr_dev_sim_destroy(f.sim);
    free(f.config.arena);
}

static unsigned trims;

static void
trim_done(struct mr_log_trim *trim, enum mr_kafka_err error)
{
    (void)trim;
    MR_CHECK_EQ(error, MR_KAFKA_NONE);
    trims++;
}

/* A full store makes produce wait while more space is prepared, and refuses it when none can be;
 * deleting frees its blocks, which are used again; a deleted log is
 * gone after a crash, and its name can be used anew. */
MR_TEST(a_deleted_log_gives_its_space_back)
{
    struct mr_log_id id = {.topic_id = {{42}}, .partition = 0};
    struct mr_log_delete request = {.done = delete_done};
    struct mr_log_offsets offsets;
    struct mr_store_stats stats;
    struct fixture f;
    struct sent sent;
    unsigned count = 0;

    set_up(&f, 8 * MIB, MIB);
    while (submit(log_of(&f, 0), &sent, 300000, 1, -1, -1, -1) == 0) {
        settle(&f);
        MR_CHECK(sent.answered);
        MR_CHECK_EQ(sent.append.error, MR_KAFKA_NONE);
        count++;
    }
    f.rooms = 0;
    mr_store_grow_refused(f.store);
    settle(&f);
    MR_CHECK_EQ(f.rooms, 1);
    MR_CHECK_EQ(submit(log_of(&f, 0), &sent, 300000, 1, -1, -1, -1), 0);
    settle(&f);
    MR_CHECK_EQ(sent.append.error, MR_KAFKA_KAFKA_STORAGE_ERROR);
    MR_CHECK(count > 10);
    MR_CHECK(f.low_spaces >= 1);
    deletes = 0;
    mr_store_log_delete(f.store, &id, &request);
    MR_CHECK(mr_store_log_find(f.store, &id) == NULL);
    settle(&f);
    MR_CHECK_EQ(deletes, 1);
    mr_store_stats(f.store, &stats);
    MR_CHECK(stats.free_bytes > 6 * MIB);
    for (unsigned i = 0; i < count; i++) {
        send_durable(&f, log_of(&f, 0), 300000, (uint8_t)(7 + i));
    }
    crash(&f);
    mr_log_offsets(log_of(&f, 0), &offsets);
    MR_CHECK_EQ(offsets.high_watermark, count);
    check_batch(&f, log_of(&f, 0), 3, 300000, 10);
    tear_down(&f);
}

/* A trim moves the start, frees whole extents, survives; everything trimmed leaves an empty log
 * that goes on at its end. */
MR_TEST(a_trim_frees_extents_and_survives)
{
    struct mr_log_trim trim = {.done = trim_done, .offset = 30};
    struct mr_log_offsets offsets;
    struct mr_store_stats before, after;
    struct fixture f;

    set_up(&f, 32 * MIB, MIB);
    for (unsigned i = 0; i < 40; i++) {
        send_durable(&f, log_of(&f, 0), 50000, (uint8_t)i);
    }
    mr_store_stats(f.store, &before);
    trims = 0;
    mr_log_trim(log_of(&f, 0), &trim);
    settle(&f);
    MR_CHECK_EQ(trims, 1);
    mr_store_stats(f.store, &after);
    MR_CHECK(after.free_bytes > before.free_bytes + MIB);
    crash(&f);
    mr_log_offsets(log_of(&f, 0), &offsets);
    MR_CHECK_EQ(offsets.start, 30);
    check_batch(&f, log_of(&f, 0), 30, 50000, 30);
    trim.offset = 40;
    mr_log_trim(log_of(&f, 0), &trim);
    settle(&f);
    crash(&f);
    mr_log_offsets(log_of(&f, 0), &offsets);
    MR_CHECK_EQ(offsets.start, 40);
    MR_CHECK_EQ(offsets.size_bytes, 0);
    send_durable(&f, log_of(&f, 0), 500, 3);
    check_batch(&f, log_of(&f, 0), 40, 500, 3);
    tear_down(&f);
}

/* Grown space counts once its record is durable, and after a crash. */
MR_TEST(a_store_grows)
{
    struct mr_store_stats before, after;
    struct fixture f;

    set_up(&f, 8 * MIB, MIB);
    send_durable(&f, log_of(&f, 0), 1000, 1);
    mr_store_stats(f.store, &before);
    mr_dev_sim_extend(f.sim, 24 * MIB);
    MR_CHECK_EQ(mr_store_grow(f.store), 0);
    settle(&f);
    mr_store_stats(f.store, &after);
    MR_CHECK_EQ(after.size_bytes, 24 * MIB);
    MR_CHECK_EQ(after.free_bytes, before.free_bytes + 16 * MIB);
    for (unsigned i = 0; i < 12; i++) {
        send_durable(&f, log_of(&f, 1), MIB, (uint8_t)i);
    }
    crash(&f);
    mr_store_stats(f.store, &after);
    MR_CHECK_EQ(after.size_bytes, 24 * MIB);
    check_batch(&f, log_of(&f, 1), 11, MIB, 11);
    tear_down(&f);
}

/* After a second without a group one empty set confirms the last one; then the store sleeps. */
MR_TEST(an_idle_second_confirms_the_last_set)
{
    struct mr_store_stats before, after;
    struct fixture f;

    set_up(&f, 8 * MIB, MIB);
    MR_CHECK(mr_store_deadline_ns(f.store) == UINT64_MAX);
    send_durable(&f, log_of(&f, 0), 1000, 1);
    mr_store_stats(f.store, &before);
    MR_CHECK(mr_store_deadline_ns(f.store) != UINT64_MAX);
    f.clock.now_ns = mr_store_deadline_ns(f.store) - 1;
    mr_store_tick(f.store);
    mr_store_stats(f.store, &after);
    MR_CHECK_EQ(after.groups, before.groups);
    f.clock.now_ns += 1;
    settle(&f);
    mr_store_stats(f.store, &after);
    MR_CHECK_EQ(after.groups, before.groups + 1);
    MR_CHECK(mr_store_deadline_ns(f.store) == UINT64_MAX);
    tear_down(&f);
}

/* A read-only open serves reads and writes nothing. */
MR_TEST(a_read_only_open_writes_nothing)
{
    static uint8_t before[8 * MIB], after[8 * MIB];
    struct sent sent;
    struct fixture f;

    set_up(&f, 8 * MIB, MIB);
    send_durable(&f, log_of(&f, 0), 1000, 1);
    mr_dev_sim_power_cut(f.sim);
    mr_store_abandon(f.store);
    mr_dev_sim_peek(f.sim, 0, before, sizeof(before));
    f.config.read_only = true;
    connect_and_open(&f);
    check_batch(&f, log_of(&f, 0), 0, 1000, 1);
    MR_CHECK_EQ(submit(log_of(&f, 0), &sent, 100, 1, -1, -1, -1), 0);
    settle(&f);
    MR_CHECK_EQ(sent.append.error, MR_KAFKA_KAFKA_STORAGE_ERROR);
    mr_dev_sim_peek(f.sim, 0, after, sizeof(after));
    MR_CHECK(memcmp(before, after, sizeof(before)) == 0);
    tear_down(&f);
}

/* The first sector behind the journal that holds nothing but `fill`. */
static uint64_t
sector_of(struct fixture *f, uint64_t from, uint64_t end, uint8_t fill)
{
    uint8_t sector[MR_DEV_SECTOR], wanted[MR_DEV_SECTOR];

    memset(wanted, fill, sizeof(wanted));
    for (; from < end; from += MR_DEV_SECTOR) {
        mr_dev_sim_peek(f->sim, from, sector, sizeof(sector));
        if (memcmp(sector, wanted, sizeof(sector)) == 0) {
            return from;
        }
    }
    MR_CHECK(!"the bytes are on the medium");
    return 0;
}

static enum mr_kafka_err
read_error(struct fixture *f, int64_t offset, uint32_t bytes_max)
{
    struct mr_read read = {
        .done = read_done, .offset = offset, .bytes_max = bytes_max, .one_at_least = true};
    enum mr_kafka_err error;

    read_is_done = false;
    if (mr_log_read(log_of(f, 0), &read) == 0) {
        for (unsigned i = 0; i < 500 && !read_is_done; i++) {
            turn(f);
        }
        MR_CHECK(read_is_done);
    }
    error = read.error;
    mr_log_read_release(f->store, &read);
    return error;
}

/* Bytes that a cold read has loaded beside its own are checked before another read gets them. */
MR_TEST(a_read_from_memory_is_not_answered_with_rot)
{
    struct fixture f;

    set_up(&f, 16 * MIB, MIB);
    for (unsigned i = 0; i < 3; i++) {
        send_durable(&f, log_of(&f, 0), 20000, (uint8_t)(0xA0 + i));
    }
    MR_CHECK_EQ(mr_store_close(f.store), 0);
    mr_dev_sim_power_cut(f.sim);
    mr_dev_sim_rot(f.sim, sector_of(&f, MIB + 4 * MR_DEV_BLOCK, 16 * MIB, 0xA1));
    connect_and_open(&f);
    MR_CHECK_EQ(read_error(&f, 0, 60000), MR_KAFKA_NONE); /* has loaded all three */
    MR_CHECK_EQ(read_error(&f, 1, 60000), MR_KAFKA_KAFKA_STORAGE_ERROR);
    MR_CHECK_EQ(read_error(&f, 1, 60000), MR_KAFKA_KAFKA_STORAGE_ERROR);
    check_batch(&f, log_of(&f, 0), 2, 20000, 0xA2);
    check_batch(&f, log_of(&f, 0), 0, 20000, 0xA0);
    tear_down(&f);
}

/* A reader that goes on where it ended finds the next batches in memory, one that jumps about loads
 * nothing but what it asks for. What is in flight ahead is bounded. */
MR_TEST(a_sequential_cold_reader_is_read_ahead_for)
{
    struct mr_read read = {.done = read_done, .offset = 2, .bytes_max = 100000};
    struct mr_store_stats stats;
    struct fixture f;

    set_up(&f, 64 * MIB, 4 * MIB);
    for (unsigned i = 0; i < 60; i++) {
        send_durable(&f, log_of(&f, 0), 100000, (uint8_t)i);
    }
    MR_CHECK_EQ(mr_store_close(f.store), 0);
    mr_dev_sim_power_cut(f.sim);
    connect_and_open(&f);
    for (int64_t at = 50; at > 20; at -= 9) {
        check_batch(&f, log_of(&f, 0), at, 100000, (uint8_t)at);
    }
    mr_store_stats(f.store, &stats);
    MR_CHECK_EQ(stats.reads_ahead, 0);
    check_batch(&f, log_of(&f, 0), 0, 100000, 0);
    check_batch(&f, log_of(&f, 0), 1, 100000, 1);
    mr_store_stats(f.store, &stats);
    MR_CHECK(stats.reads_ahead > 0);
    settle(&f);
    MR_CHECK_EQ(mr_log_read(log_of(&f, 0), &read), 1); /* at once */
    MR_CHECK_EQ(read.size, 100000);
    mr_log_read_release(f.store, &read);
    tear_down(&f);
}

/* The blocks of a large append are on their way before the group before it is durable; its set, and
 * so its answer, are not. */
MR_TEST(a_large_append_is_written_beside_the_group_before)
{
    struct mr_store_stats stats;
    struct sent small, large;
    struct fixture f;
    unsigned in_flight;

    set_up(&f, 64 * MIB, 4 * MIB);
    send_durable(&f, log_of(&f, 0), 100, 'a');
    mr_dev_sim_stall(f.sim, true);
    MR_CHECK_EQ(submit(log_of(&f, 0), &small, 100, 'b', -1, -1, -1), 0);
    turn(&f);
    in_flight = mr_dev_sim_in_flight(f.sim);
    MR_CHECK_EQ(submit(log_of(&f, 1), &large, 300000, 'c', -1, -1, -1), 0);
    MR_CHECK(mr_dev_sim_in_flight(f.sim) > in_flight);
    mr_store_stats(f.store, &stats);
    MR_CHECK(stats.early_runs_flying > 0);
    mr_dev_sim_stall(f.sim, false);
    settle(&f);
    MR_CHECK(small.answered && large.answered);
    crash(&f);
    check_batch(&f, log_of(&f, 0), 1, 100, 'b');
    check_batch(&f, log_of(&f, 1), 0, 300000, 'c');
    tear_down(&f);
}

/* Where a group is small in all, nothing of it goes direct; in a larger one the same append does.
 */
MR_TEST(a_lone_append_of_moderate_size_stays_in_the_journal)
{
    struct mr_store_stats stats;
    struct sent sent[2];
    struct fixture f;

    set_up(&f, 64 * MIB, 4 * MIB);
    f.config.direct_run_bytes = 12288;
    crash(&f);
    send_durable(&f, log_of(&f, 0), 32768, 'a');
    mr_store_stats(f.store, &stats);
    MR_CHECK_EQ(stats.direct_bytes, 0);
    for (int32_t i = 0; i < 2; i++) {
        MR_CHECK_EQ(submit(log_of(&f, i), &sent[i], 16385, 'b', -1, -1, -1), 0);
    }
    settle(&f);
    MR_CHECK(sent[0].answered && sent[1].answered);
    mr_store_stats(f.store, &stats);
    MR_CHECK(stats.direct_bytes > 0);
    crash(&f);
    check_batch(&f, log_of(&f, 0), 1, 16385, 'b');
    check_batch(&f, log_of(&f, 1), 0, 16385, 'b');
    tear_down(&f);
}

/* However many logs are read from the drive, little of it is under way at a time while there are
 * appends; who had to wait is told. */
MR_TEST(cold_reads_beside_appends_are_few_at_a_time)
{
    struct fixture f;
    struct mr_read reads[COLD_READERS] = {0};

    set_up(&f, 64 * MIB, 4 * MIB);
    for (int32_t i = 0; i < COLD_READERS; i++) {
        send_durable(&f, log_of(&f, i), MIB / 2, 'a');
    }
    for (unsigned appends = 0; appends < 2; appends++) {
        unsigned began = 0;

        mr_store_close(f.store);
        mr_dev_sim_power_cut(f.sim);
        connect_and_open(&f);
        if (appends) {
            send_durable(&f, log_of(&f, COLD_READERS), 100, 'b');
        }
        mr_dev_sim_stall(f.sim, true);
        for (int32_t i = 0; i < COLD_READERS; i++) {
            reads[i] = (struct mr_read){.done = read_done, .bytes_max = MIB, .one_at_least = true};
            began += mr_log_read(log_of(&f, i), &reads[i]) == 0;
        }
        MR_CHECK_EQ(began, appends ? 2 : COLD_READERS);
        mr_dev_sim_stall(f.sim, false);
        f.rooms = 0;
        settle(&f);
        MR_CHECK(!appends || f.rooms > 0);
        for (int32_t i = 0; i < COLD_READERS; i++) {
            mr_log_read_release(f.store, &reads[i]);
        }
    }
    tear_down(&f);
}

/* The index of a full extent is read from behind its data, so that a cold read in its middle loads
 * little; where it has rotted the walk over the extent finds the batch as well. */
MR_TEST(a_cold_read_finds_its_place_by_the_index_on_the_medium)
{
    struct mr_store_stats stats;
    uint8_t block[MR_DEV_BLOCK];
    struct fixture f;

    set_up(&f, 256 * MIB, 4 * MIB);
    for (unsigned i = 0; i < 400; i++) {
        send_durable(&f, log_of(&f, 0), 20000, (uint8_t)i);
    }
    mr_store_stats(f.store, &stats);
    MR_CHECK(stats.indexes_written > 2);
    for (unsigned round = 0; round < 2; round++) {
        MR_CHECK_EQ(mr_store_close(f.store), 0);
        mr_dev_sim_power_cut(f.sim);
        for (uint64_t at = 0; round == 1 && at < 256 * MIB; at += MR_DEV_BLOCK) {
            mr_dev_sim_peek(f.sim, at, block, sizeof(block));
            if (memcmp(block, "MRINDEX1", 8) == 0) {
                mr_dev_sim_rot(f.sim, at);
            }
        }
        connect_and_open(&f);
        check_batch(&f, log_of(&f, 0), 290, 20000, (uint8_t)290);
        mr_store_stats(f.store, &stats);
        MR_CHECK_EQ(stats.indexes_loaded, round == 0 ? 1 : 0);
        MR_CHECK(round == 1 || stats.reads_cold <= 2);
    }
    tear_down(&f);
}

static void
write_done(struct mr_dev_io *io, int result)
{
    MR_CHECK_EQ(result, 0);
    io->done = NULL;
}

/* Both superblocks say so. */
static void
set_version(struct fixture *f, uint32_t version)
{
    static uint8_t block[MR_DEV_BLOCK] __attribute__((aligned(MR_DEV_BLOCK)));
    struct mr_dev *dev = mr_dev_sim_connect(f->sim);
    struct iovec iov = {block, sizeof(block)};

    mr_dev_sim_peek(f->sim, 0, block, sizeof(block));
    mr_le32_put(block + 8, version);
    mr_le32_put(block + 508, mr_crc32c(0, block, 508));
    for (unsigned i = 0; i < 2; i++) {
        struct mr_dev_io io = {.done = write_done};

        mr_dev_write(dev, &io, &iov, 1, i * (uint64_t)MR_DEV_BLOCK, true);
        while (io.done) {
            mr_dev_wait(dev);
        }
    }
    mr_dev_sim_power_cut(f->sim);
}

/* A store of another format is refused before anything is written, and the reason says what to do.
 */
MR_TEST(another_version_of_the_format_is_refused_with_a_reason)
{
    char reason[200];
    struct fixture f;

    set_up(&f, 16 * MIB, MIB);
    send_durable(&f, log_of(&f, 0), 100, 1);
    MR_CHECK_EQ(mr_store_close(f.store), 0);
    mr_dev_sim_power_cut(f.sim);
    for (uint32_t version = 1; version <= 3; version += 2) {
        set_version(&f, version);
        f.config.dev = f.dev = mr_dev_sim_connect(f.sim);
        MR_CHECK_EQ(mr_store_open(&f.config, &f.store, reason, sizeof(reason)), -EPROTONOSUPPORT);
        MR_CHECK(strstr(reason, version == 1 ? "format it anew" : "newer than this program"));
        mr_dev_sim_power_cut(f.sim);
    }
    set_version(&f, 2);
    connect_and_open(&f);
    check_batch(&f, log_of(&f, 0), 0, 100, 1);
    tear_down(&f);
}

/* An open whose read of one root fails goes on from the other one, and what it writes can be
 * recovered by an open that can read both. */
MR_TEST(a_root_that_could_not_be_read_does_not_come_back)
{
    for (uint64_t nth = 3; nth <= 4; nth++) { /* behind the two superblocks */
        struct fixture f;

        set_up(&f, 16 * MIB, MIB);
        for (unsigned i = 0; i < 3; i++) {
            send_durable(&f, log_of(&f, 0), 700, (uint8_t)i);
            MR_CHECK_EQ(mr_store_close(f.store), 0);
            mr_dev_sim_power_cut(f.sim);
            mr_dev_sim_fail_nth(f.sim, 'r', i == 2 ? nth : 0);
            connect_and_open(&f);
        }
        for (unsigned i = 3; i < 6; i++) {
            send_durable(&f, log_of(&f, 0), 700, (uint8_t)i);
        }
        crash(&f);
        for (unsigned i = 0; i < 6; i++) {
            check_batch(&f, log_of(&f, 0), i, 700, (uint8_t)i);
        }
        tear_down(&f);
    }
}

static void
set_up_discarding(struct fixture *f, bool discard)
{
    set_up(f, 8 * MIB, MIB);
    MR_CHECK_EQ(mr_store_close(f->store), 0);
    mr_dev_sim_kill(f->sim);
    f->config.discard = discard;
    connect_and_open(f);
}

/* Appends to log 0 until the store is full; returns how many have gone in. */
static unsigned
fill_up(struct fixture *f, uint32_t size)
{
    struct sent sent;

    for (unsigned count = 0;; count++) {
        int error = submit(log_of(f, 0), &sent, size, 0x5A, -1, -1, -1);

        settle(f);
        MR_CHECK(error == -EAGAIN || sent.answered);
        if (error || sent.append.error) {
            mr_store_grow_refused(f->store);
            return count;
        }
    }
}

/* Turns until the deletion is durable: the log's extents wait to be discarded. */
static void
delete_durably(struct fixture *f, int32_t partition)
{
    struct mr_log_id id = {.topic_id = {{42}}, .partition = partition};
    struct mr_log_delete request = {.done = delete_done};

    deletes = 0;
    mr_store_log_delete(f->store, &id, &request);
    for (unsigned i = 0; i < 1000 && deletes == 0; i++) {
        turn(f);
    }
    MR_CHECK_EQ(deletes, 1);
}

/* Blocks of the medium that hold nothing but what fill_up() wrote. */
static unsigned
blocks_filled(const struct fixture *f)
{
    uint8_t filled[MR_DEV_BLOCK], block[MR_DEV_BLOCK];
    unsigned count = 0;

    memset(filled, 0x5A, sizeof(filled));
    for (uint64_t at = 0; at < 8 * MIB; at += MR_DEV_BLOCK) {
        mr_dev_sim_peek(f->sim, at, block, sizeof(block));
        count += memcmp(block, filled, sizeof(block)) == 0;
    }
    return count;
}

/* Goal: with `discard` the medium keeps nothing of a deleted log, without it all. */
MR_TEST(a_deleted_log_is_discarded)
{
    for (unsigned discard = 0; discard < 2; discard++) {
        struct mr_store_stats stats;
        struct fixture f;
        unsigned count, filled;

        set_up_discarding(&f, discard);
        count = fill_up(&f, 300000);
        filled = blocks_filled(&f);
        MR_CHECK(filled >= count * (300000 / MR_DEV_BLOCK - 3));
        delete_durably(&f, 0);
        settle(&f);
        mr_store_stats(f.store, &stats);
        MR_CHECK(stats.free_bytes > 6 * MIB);
        MR_CHECK_EQ(blocks_filled(&f), discard ? 0 : filled);
        MR_CHECK_EQ(stats.discards > 0, discard);
        MR_CHECK_EQ(fill_up(&f, 300000), count);
        tear_down(&f);
    }
}

/* Goal: where space is short an append takes what waits for its discard. */
MR_TEST(short_space_skips_discards)
{
    struct mr_store_stats stats;
    struct fixture f;
    struct sent sent;

    set_up_discarding(&f, true);
    fill_up(&f, 300000);
    delete_durably(&f, 0);
    MR_CHECK_EQ(submit(log_of(&f, 0), &sent, 300000, 1, -1, -1, -1), 0);
    mr_store_stats(f.store, &stats);
    MR_CHECK_EQ(stats.discards, 0);
    MR_CHECK_EQ(stats.discards_skipped, 1);
    settle(&f);
    MR_CHECK(sent.answered);
    MR_CHECK_EQ(sent.append.error, MR_KAFKA_NONE);
    tear_down(&f);
}

/* Goal: where all space that is left is being discarded an append waits for it, and is not refused.
 * Method: the deleted log had one extent, and the drive stalls. */
MR_TEST(a_full_store_waits_for_discards_in_flight)
{
    uint32_t size = 32 * MR_DEV_BLOCK;
    struct mr_store_stats stats;
    struct fixture f;

    set_up_discarding(&f, true);
    send_durable(&f, log_of(&f, 1), size, 1);
    fill_up(&f, size);
    delete_durably(&f, 1);
    mr_dev_sim_stall(f.sim, true);
    turn(&f);
    MR_CHECK_EQ(submit(log_of(&f, 0), &(struct sent){0}, size, 2, -1, -1, -1), -EAGAIN);
    mr_store_stats(f.store, &stats);
    MR_CHECK_EQ(stats.discards, 0);
    MR_CHECK_EQ(stats.discards_skipped, 0);
    mr_dev_sim_stall(f.sim, false);
    f.rooms = 0;
    settle(&f);
    MR_CHECK(f.rooms > 0);
    send_durable(&f, log_of(&f, 0), size, 3);
    tear_down(&f);
}

MR_TEST_MAIN(MR_TEST_CASE(batches_of_every_size_survive_a_crash_and_a_close),
             MR_TEST_CASE(reads_outside_of_the_log_are_answered_at_once),
             MR_TEST_CASE(producer_windows_follow_kip_98_and_survive),
             MR_TEST_CASE(a_duplicate_in_flight_is_answered_with_the_original),
             MR_TEST_CASE(the_journal_wraps_and_checkpoints_free_it),
             MR_TEST_CASE(a_full_group_says_again_and_then_room),
             MR_TEST_CASE(a_lookup_without_memory_waits_for_room),
             MR_TEST_CASE(a_lookup_hears_of_room_made_late_in_a_tick),
             MR_TEST_CASE(a_failed_run_is_voided_and_fails_its_partition_alone),
             MR_TEST_CASE(a_failed_journal_write_fails_the_store),
             MR_TEST_CASE(who_waits_for_room_hears_that_the_store_has_failed),
             MR_TEST_CASE(a_deleted_log_gives_its_space_back),
             MR_TEST_CASE(a_trim_frees_extents_and_survives), MR_TEST_CASE(a_store_grows),
             MR_TEST_CASE(an_idle_second_confirms_the_last_set),
             MR_TEST_CASE(a_read_only_open_writes_nothing),
             MR_TEST_CASE(a_read_from_memory_is_not_answered_with_rot),
             MR_TEST_CASE(a_sequential_cold_reader_is_read_ahead_for),
             MR_TEST_CASE(a_large_append_is_written_beside_the_group_before),
             MR_TEST_CASE(a_lone_append_of_moderate_size_stays_in_the_journal),
             MR_TEST_CASE(cold_reads_beside_appends_are_few_at_a_time),
             MR_TEST_CASE(a_cold_read_finds_its_place_by_the_index_on_the_medium),
             MR_TEST_CASE(another_version_of_the_format_is_refused_with_a_reason),
             MR_TEST_CASE(a_root_that_could_not_be_read_does_not_come_back),
             MR_TEST_CASE(a_deleted_log_is_discarded), MR_TEST_CASE(short_space_skips_discards),
             MR_TEST_CASE(a_full_store_waits_for_discards_in_flight))
