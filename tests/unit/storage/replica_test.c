/* tests/unit/storage/replica_test.c: a replica's append and truncation. */
#include "tests/unit/storage/store_fixture.h"

struct cut {
    struct mr_log_truncate truncate;
    bool decided;
    enum mr_kafka_err error;
};

static void
cut_done(struct mr_log_truncate *truncate, enum mr_kafka_err error)
{
    struct cut *cut = MR_CONTAINER_OF(truncate, struct cut, truncate);

    MR_CHECK(!cut->decided);
    cut->decided = true;
    cut->error = error;
}

static void
cut_submit(struct fixture *f, struct cut *cut, int64_t offset, bool all)
{
    memset(cut, 0, sizeof(*cut));
    cut->truncate.done = cut_done;
    cut->truncate.offset = offset;
    cut->truncate.all = all;
    MR_CHECK_EQ(mr_log_truncate(log_of(f, 0), &cut->truncate), 0);
}

/* Truncates and returns where the log ends. */
static int64_t
cut_to(struct fixture *f, int64_t offset, bool all)
{
    struct cut cut;

    cut_submit(f, &cut, offset, all);
    for (unsigned i = 0; i < 5000 && !cut.decided; i++) {
        turn(f);
    }
    MR_CHECK(cut.decided);
    MR_CHECK_EQ(cut.error, MR_KAFKA_NONE);
    return cut.truncate.offset;
}

static size_t
put_batch(uint8_t *bytes, uint32_t size, int64_t base, int32_t records, int32_t epoch,
          int64_t producer, int32_t sequence, uint8_t fill)
{
    struct mr_batch_header header = {.size = (int32_t)size,
                                     .magic = 2,
                                     .base_offset = base,
                                     .leader_epoch = epoch,
                                     .last_offset_delta = records - 1,
                                     .producer_id = producer,
                                     .base_sequence = sequence,
                                     .record_count = records};

    memset(bytes, fill, size);
    mr_batch_header_put(bytes, &header);
    header.crc = mr_crc32c(0, bytes + 21, size - 21);
    mr_batch_header_put(bytes, &header);
    return size;
}

static enum mr_kafka_err
replicate(struct fixture *f, struct sent *sent, const uint8_t *bytes, uint32_t size)
{
    /* In three slices that cut headers in two. */
    uint32_t first = size < 30 ? size : 30, second = size < 100 ? size : 100;
    struct iovec iov[3] = {{(void *)(uintptr_t)bytes, first},
                           {(void *)(uintptr_t)(bytes + first), second - first},
                           {(void *)(uintptr_t)(bytes + second), size - second}};

    memset(sent, 0, sizeof(*sent));
    sent->append.done = append_done;
    sent->append.batch.iov = iov;
    sent->append.batch.iov_count = 3;
    while (mr_log_append_replica(log_of(f, 0), &sent->append, size) == -EAGAIN) {
        turn(f);
    }
    for (unsigned i = 0; i < 5000 && !sent->answered; i++) {
        turn(f);
    }
    MR_CHECK(sent->answered);
    return sent->append.error;
}

static struct mr_log_offsets
offsets_of(struct fixture *f)
{
    struct mr_log_offsets offsets;

    mr_log_offsets(log_of(f, 0), &offsets);
    return offsets;
}

static void
reopen(struct fixture *f)
{
    MR_CHECK_EQ(mr_store_close(f->store), 0);
    mr_dev_sim_power_cut(f->sim);
    connect_and_open(f);
}

/* Three batches in one append, with a gap of offsets and a lower epoch among them, come back byte
 * for byte, hot, after a crash and cold. */
MR_TEST(a_replica_takes_several_batches_with_gaps_unchanged)
{
    static uint8_t bytes[100000];
    struct fixture f;
    struct sent sent;
    int32_t epoch;
    int64_t end;
    size_t size;

    set_up(&f, 32 * MIB, 2 * MIB);
    size = put_batch(bytes, 1000, 5, 3, 4, -1, -1, 1);
    size += put_batch(bytes + size, 61, 8, 1, 9, -1, -1, 2);
    size += put_batch(bytes + size, 70000, 1000, 10, 7, -1, -1, 3);
    MR_CHECK_EQ(replicate(&f, &sent, bytes, (uint32_t)size), MR_KAFKA_NONE);
    MR_CHECK_EQ(sent.append.base_offset, 5);
    for (unsigned life = 0; life < 3; life++) {
        MR_CHECK_EQ(offsets_of(&f).high_watermark, 1010);
        check_batch(&f, log_of(&f, 0), 0, 1000, 1); /* what comes next from offset 0 on */
        check_batch(&f, log_of(&f, 0), 7, 1000, 1);
        check_batch(&f, log_of(&f, 0), 8, 61, 2);
        check_batch(&f, log_of(&f, 0), 9, 70000, 3);
        check_batch(&f, log_of(&f, 0), 1009, 70000, 3);
        MR_CHECK_EQ(mr_log_epoch_end(log_of(&f, 0), 4, &epoch, &end), 0);
        MR_CHECK_EQ(end, 8);
        MR_CHECK_EQ(mr_log_epoch_end(log_of(&f, 0), 9, &epoch, &end), 0);
        MR_CHECK_EQ(end, 1010);
        if (life == 0) {
            crash(&f);
        } else {
            reopen(&f);
        }
    }
    tear_down(&f);
}

/* A wrong CRC, a torn batch, a step back: nothing of the append is taken. */
MR_TEST(a_replica_refuses_what_is_damaged_or_out_of_order)
{
    static uint8_t bytes[4000];
    struct fixture f;
    struct sent sent;

    set_up(&f, 32 * MIB, 2 * MIB);
    put_batch(bytes, 500, 10, 2, 1, -1, -1, 1);
    put_batch(bytes + 500, 500, 12, 2, 1, -1, -1, 2);
    MR_CHECK_EQ(replicate(&f, &sent, bytes, 1000), MR_KAFKA_NONE);
    put_batch(bytes, 500, 14, 2, 1, -1, -1, 1);
    put_batch(bytes + 500, 500, 16, 2, 1, -1, -1, 2);
    bytes[900] ^= 1;
    MR_CHECK_EQ(replicate(&f, &sent, bytes, 1000), MR_KAFKA_CORRUPT_MESSAGE);
    bytes[900] ^= 1;
    MR_CHECK_EQ(replicate(&f, &sent, bytes, 999), MR_KAFKA_CORRUPT_MESSAGE);
    MR_CHECK_EQ(replicate(&f, &sent, bytes, 530), MR_KAFKA_CORRUPT_MESSAGE);
    put_batch(bytes + 500, 500, 15, 2, 1, -1, -1, 2);
    MR_CHECK_EQ(replicate(&f, &sent, bytes, 1000), MR_KAFKA_OFFSET_OUT_OF_RANGE);
    put_batch(bytes, 500, 13, 2, 1, -1, -1, 1);
    MR_CHECK_EQ(replicate(&f, &sent, bytes, 500), MR_KAFKA_OFFSET_OUT_OF_RANGE);
    MR_CHECK_EQ(offsets_of(&f).end, 14);
    tear_down(&f);
}

/* A cut inside of a batch takes it whole; what follows goes to fresh blocks; all of it survives
 * replay and a checkpoint, also over cuts at every place of small and large batches. */
MR_TEST(a_truncated_log_goes_on_behind_the_cut)
{
    static const uint32_t sizes[] = {100, 4096, 70000, 61, 33000, 5000};
    struct fixture f;

    set_up(&f, 64 * MIB, 4 * MIB);
    for (unsigned round = 0; round < 12; round++) {
        int64_t end = offsets_of(&f).end;
        int64_t keep = end > 4 ? end - 3 : end;

        MR_CHECK_EQ(cut_to(&f, keep, false), keep);
        MR_CHECK_EQ(offsets_of(&f).end, keep);
        for (int64_t i = keep; i < keep + 6; i++) {
            send_durable(&f, log_of(&f, 0), sizes[(i * 7 + round) % 6], (uint8_t)i);
        }
        if (round % 3 == 1) {
            crash(&f);
        } else if (round % 3 == 2) {
            reopen(&f);
        }
        MR_CHECK_EQ(offsets_of(&f).end, keep + 6);
        for (int64_t i = keep; i < keep + 6; i++) {
            check_batch(&f, log_of(&f, 0), i, sizes[(i * 7 + round) % 6], (uint8_t)i);
        }
    }
    tear_down(&f);
}

/* Offsets at the end, above it, below the start, and `all`. */
MR_TEST(truncations_at_the_limits)
{
    struct fixture f;

    set_up(&f, 32 * MIB, 2 * MIB);
    MR_CHECK_EQ(cut_to(&f, 0, false), 0); /* an unused log */
    for (unsigned i = 0; i < 5; i++) {
        send_durable(&f, log_of(&f, 0), 3000, (uint8_t)i);
    }
    MR_CHECK_EQ(cut_to(&f, 5, false), 5);
    MR_CHECK_EQ(cut_to(&f, 99, false), 5);
    MR_CHECK_EQ(cut_to(&f, 100, true), 100); /* a follower that the leader has outrun */
    for (unsigned life = 0; life < 2; life++) {
        MR_CHECK_EQ(offsets_of(&f).start, 100);
        MR_CHECK_EQ(offsets_of(&f).end, 100);
        MR_CHECK_EQ(offsets_of(&f).size_bytes, 0);
        crash(&f);
    }
    send_durable(&f, log_of(&f, 0), 3000, 7);
    check_batch(&f, log_of(&f, 0), 100, 3000, 7);
    MR_CHECK_EQ(cut_to(&f, 40, false), 40); /* below the start: all goes */
    MR_CHECK_EQ(offsets_of(&f).start, 40);
    reopen(&f);
    MR_CHECK_EQ(offsets_of(&f).start, 40);
    MR_CHECK_EQ(offsets_of(&f).end, 40);
    send_durable(&f, log_of(&f, 0), 3000, 8);
    check_batch(&f, log_of(&f, 0), 40, 3000, 8);
    tear_down(&f);
}

static enum mr_kafka_err
produce(struct fixture *f, int64_t id, int16_t epoch, int32_t sequence)
{
    struct sent sent;

    submit_soon(f, log_of(f, 0), &sent, 2000, 1, id, epoch, sequence);
    for (unsigned i = 0; i < 500 && !sent.answered; i++) {
        turn(f);
    }
    MR_CHECK(sent.answered);
    return sent.append.duplicate ? MR_KAFKA_DUPLICATE_SEQUENCE_NUMBER : sent.append.error;
}

/* Windows of batches long forgotten come back: five below the cut are known, a gap is a gap, the
 * epoch of the last one counts, and a producer that began above the cut is unknown. */
MR_TEST(a_truncation_restores_producer_windows)
{
    struct fixture f;

    for (unsigned life = 0; life < 3; life++) {
        set_up(&f, 32 * MIB, 2 * MIB);
        for (int32_t i = 0; i < 20; i++) {
            MR_CHECK_EQ(produce(&f, 7, 0, i), MR_KAFKA_NONE);
            MR_CHECK_EQ(produce(&f, 8, (int16_t)(i / 12), i % 12), MR_KAFKA_NONE);
        }
        MR_CHECK_EQ(produce(&f, 9, 0, 0), MR_KAFKA_NONE);
        /* Offsets 0, 2, ... are producer 7's, 1, 3, ... producer 8's. */
        MR_CHECK_EQ(cut_to(&f, 20, false), 20);
        if (life == 1) {
            crash(&f);
        } else if (life == 2) {
            reopen(&f);
        }
        MR_CHECK_EQ(produce(&f, 7, 0, 5), MR_KAFKA_DUPLICATE_SEQUENCE_NUMBER);
        MR_CHECK_EQ(produce(&f, 7, 0, 9), MR_KAFKA_DUPLICATE_SEQUENCE_NUMBER);
        MR_CHECK_EQ(produce(&f, 7, 0, 4), MR_KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
        MR_CHECK_EQ(produce(&f, 7, 0, 11), MR_KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
        MR_CHECK_EQ(produce(&f, 7, 0, 10), MR_KAFKA_NONE);
        MR_CHECK_EQ(produce(&f, 8, 0, 9), MR_KAFKA_DUPLICATE_SEQUENCE_NUMBER);
        MR_CHECK_EQ(produce(&f, 8, 0, 10), MR_KAFKA_NONE);
        MR_CHECK_EQ(produce(&f, 9, 0, 77), MR_KAFKA_NONE);
        tear_down(&f);
    }
}

/* A replica's windows follow its appends: more than five batches of one producer at once. */
MR_TEST(a_replica_keeps_producer_windows)
{
    static uint8_t bytes[20000];
    struct fixture f;
    struct sent sent;
    size_t size = 0;

    set_up(&f, 32 * MIB, 2 * MIB);
    for (int32_t i = 0; i < 12; i++) {
        size += put_batch(bytes + size, 200, i, 1, 1, 7, i, 1);
    }
    MR_CHECK_EQ(replicate(&f, &sent, bytes, (uint32_t)size), MR_KAFKA_NONE);
    for (unsigned life = 0; life < 3; life++) {
        MR_CHECK_EQ(produce(&f, 7, 0, 7), MR_KAFKA_DUPLICATE_SEQUENCE_NUMBER);
        MR_CHECK_EQ(produce(&f, 7, 0, 6), MR_KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
        if (life == 0) {
            crash(&f);
        } else {
            reopen(&f);
        }
    }
    tear_down(&f);
}

static void
deleted(struct mr_log_delete *request, enum mr_kafka_err error)
{
    (void)request;
    MR_CHECK_EQ(error, MR_KAFKA_NONE);
}

/* Appends wait while a truncation is under way, readers in the middle of the log find their place
 * again, and a delete ends it. */
MR_TEST(appends_wait_for_a_truncation_and_a_delete_ends_it)
{
    struct mr_log_delete request = {.done = deleted};
    struct mr_log_id id = {.topic_id = {{42}}, .partition = 0};
    struct fixture f;
    struct sent sent;
    struct cut cut, second;

    set_up(&f, 32 * MIB, 2 * MIB);
    for (unsigned i = 0; i < 50; i++) {
        send_durable(&f, log_of(&f, 0), 3000, (uint8_t)i);
    }
    MR_CHECK_EQ(submit(log_of(&f, 0), &sent, 3000, 50, -1, -1, -1), 0); /* not durable yet */
    cut_submit(&f, &cut, 30, false);
    second = (struct cut){.truncate = {.done = cut_done, .offset = 3}};
    MR_CHECK_EQ(mr_log_truncate(log_of(&f, 0), &second.truncate), -EAGAIN);
    {
        struct sent refused;

        MR_CHECK_EQ(submit(log_of(&f, 0), &refused, 3000, 51, -1, -1, -1), -EAGAIN);
    }
    settle(&f);
    MR_CHECK(sent.answered && sent.append.error == MR_KAFKA_NONE);
    MR_CHECK(cut.decided && cut.error == MR_KAFKA_NONE);
    MR_CHECK_EQ(offsets_of(&f).end, 30);
    MR_CHECK(f.rooms > 0);
    cut_submit(&f, &cut, 10, false);
    mr_store_log_delete(f.store, &id, &request);
    settle(&f);
    MR_CHECK(cut.decided);
    MR_CHECK_EQ(cut.error, MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    tear_down(&f);
}

MR_TEST_MAIN(MR_TEST_CASE(a_replica_takes_several_batches_with_gaps_unchanged),
             MR_TEST_CASE(a_replica_refuses_what_is_damaged_or_out_of_order),
             MR_TEST_CASE(a_truncated_log_goes_on_behind_the_cut),
             MR_TEST_CASE(truncations_at_the_limits),
             MR_TEST_CASE(a_truncation_restores_producer_windows),
             MR_TEST_CASE(a_replica_keeps_producer_windows),
             MR_TEST_CASE(appends_wait_for_a_truncation_and_a_delete_ends_it))
