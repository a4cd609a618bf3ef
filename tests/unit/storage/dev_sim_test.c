/* tests/unit/storage/dev_sim_test.c: the simulated disk keeps what it must and loses what it may.
 */
#include <errno.h>

#include "storage/dev.h"
#include "tests/mr_test.h"

#define BLOCKS 64

struct probe {
    struct mr_dev_io io;
    struct iovec iov;
    int result;
    bool done;
};

static uint8_t buffers[BLOCKS][MR_DEV_BLOCK] __attribute__((aligned(MR_DEV_BLOCK)));
static uint8_t seen[MR_DEV_BLOCK] __attribute__((aligned(MR_DEV_BLOCK)));

static void
probe_done(struct mr_dev_io *io, int result)
{
    struct probe *probe = MR_CONTAINER_OF(io, struct probe, io);

    MR_CHECK(!probe->done);
    probe->done = true;
    probe->result = result;
}

static struct mr_dev_sim *
make(uint64_t seed)
{
    struct mr_dev_sim_config config = {.size_bytes = BLOCKS * MR_DEV_BLOCK, .seed = seed};

    return mr_dev_sim_create(&config);
}

static void
start_write(struct mr_dev *dev, struct probe *probe, unsigned block, uint8_t value, bool fua)
{
    memset(buffers[block], value, MR_DEV_BLOCK);
    *probe = (struct probe){.io.done = probe_done, .iov = {buffers[block], MR_DEV_BLOCK}};
    mr_dev_write(dev, &probe->io, &probe->iov, 1, (uint64_t)block * MR_DEV_BLOCK, fua);
}

static int
finish(struct mr_dev *dev, struct probe *probe)
{
    while (!probe->done) {
        MR_CHECK_EQ(mr_dev_wait(dev), 0);
    }
    return probe->result;
}

static int
write_block(struct mr_dev *dev, unsigned block, uint8_t value, bool fua)
{
    struct probe probe;

    start_write(dev, &probe, block, value, fua);
    return finish(dev, &probe);
}

static int
flush(struct mr_dev *dev)
{
    struct probe probe = {.io.done = probe_done};

    mr_dev_flush(dev, &probe.io);
    MR_CHECK(!probe.done);
    return finish(dev, &probe);
}

static const uint8_t *
read_block(struct mr_dev *dev, unsigned block)
{
    struct probe probe = {.io.done = probe_done, .iov = {seen, MR_DEV_BLOCK}};

    mr_dev_read(dev, &probe.io, &probe.iov, 1, (uint64_t)block * MR_DEV_BLOCK);
    MR_CHECK_EQ(finish(dev, &probe), 0);
    return seen;
}

/* Goal: flushed and FUA writes survive any crash; unflushed ones at times live and at times not.
 * Method: many seeds, both kinds counted. */
MR_TEST(only_what_was_flushed_is_sure_to_survive)
{
    unsigned kept = 0, lost = 0, torn = 0;

    for (uint64_t seed = 0; seed < 400; seed++) {
        struct mr_dev_sim *sim = make(seed);
        struct mr_dev *dev = mr_dev_sim_connect(sim);
        bool first, last;

        MR_CHECK_EQ(write_block(dev, 1, 1, false), 0);
        MR_CHECK_EQ(flush(dev), 0);
        MR_CHECK_EQ(write_block(dev, 2, 2, true), 0);
        MR_CHECK_EQ(write_block(dev, 3, 3, false), 0);
        mr_dev_sim_power_cut(sim);
        dev = mr_dev_sim_connect(sim);
        MR_CHECK_EQ(read_block(dev, 1)[700], 1);
        MR_CHECK_EQ(read_block(dev, 2)[700], 2);
        read_block(dev, 3);
        first = true;
        last = true;
        for (unsigned i = 0; i < MR_DEV_BLOCK; i++) {
            MR_CHECK(seen[i] == 0 || seen[i] == 3);
            MR_CHECK(seen[i] == seen[i - i % MR_DEV_SECTOR]);
            first = first && seen[i] == 0;
            last = last && seen[i] == 3;
        }
        lost += first;
        kept += last;
        torn += !first && !last;
        mr_dev_sim_destroy(sim);
    }
    MR_CHECK(kept > 40 && lost > 40 && torn > 20);
}

/* Goal: a flush covers the writes whose callbacks ran before it was submitted, no others. Method: a
 * write that completes while the flush is in flight must be lost in some seeds. */
MR_TEST(a_flush_covers_no_later_write)
{
    unsigned lost = 0;

    for (uint64_t seed = 0; seed < 400; seed++) {
        struct mr_dev_sim *sim = make(seed);
        struct mr_dev *dev = mr_dev_sim_connect(sim);
        struct probe write, flushing = {.io.done = probe_done};

        start_write(dev, &write, 5, 5, false);
        mr_dev_flush(dev, &flushing.io);
        finish(dev, &write);
        finish(dev, &flushing);
        mr_dev_sim_power_cut(sim);
        lost += read_block(mr_dev_sim_connect(sim), 5)[0] == 0;
        mr_dev_sim_destroy(sim);
    }
    MR_CHECK(lost > 40);
}

/* Goal: kill -9 keeps what had completed; it is still unflushed, so a power cut may take it. */
MR_TEST(a_kill_keeps_the_cache_unflushed)
{
    unsigned lost = 0;

    for (uint64_t seed = 0; seed < 200; seed++) {
        struct mr_dev_sim *sim = make(seed);
        struct mr_dev *dev = mr_dev_sim_connect(sim);

        MR_CHECK_EQ(write_block(dev, 5, 5, false), 0);
        mr_dev_sim_kill(sim);
        MR_CHECK_EQ(mr_dev_poll(dev), -ECANCELED);
        dev = mr_dev_sim_connect(sim);
        MR_CHECK_EQ(read_block(dev, 5)[0], 5);
        mr_dev_sim_power_cut(sim);
        lost += read_block(mr_dev_sim_connect(sim), 5)[0] == 0;
        mr_dev_sim_destroy(sim);
    }
    MR_CHECK(lost > 20);
}

/* Goal: sectors in flight may hold old, new or garbage, and nothing next to them changes. */
MR_TEST(sectors_in_flight_may_become_garbage)
{
    unsigned old = 0, new = 0, garbage = 0;

    for (uint64_t seed = 0; seed < 400; seed++) {
        struct mr_dev_sim_config config = {
            .size_bytes = BLOCKS * MR_DEV_BLOCK, .seed = seed, .garbage_on_cut = 0.5};
        struct mr_dev_sim *sim = mr_dev_sim_create(&config);
        struct mr_dev *dev = mr_dev_sim_connect(sim);
        struct probe write;

        MR_CHECK_EQ(write_block(dev, 4, 4, true), 0);
        start_write(dev, &write, 5, 5, true);
        mr_dev_sim_power_cut(sim);
        MR_CHECK(!write.done);
        dev = mr_dev_sim_connect(sim);
        MR_CHECK_EQ(read_block(dev, 4)[0], 4);
        read_block(dev, 5);
        old += seen[0] == 0 && seen[1] == 0 && seen[2] == 0;
        new += seen[0] == 5 && seen[1] == 5 && seen[2] == 5;
        garbage += seen[0] != seen[1] || seen[1] != seen[2];
        mr_dev_sim_destroy(sim);
    }
    MR_CHECK(old > 20 && new > 20 && garbage > 20);
    MR_CHECK(old + new + garbage > 390);
}

/* Goal: completions come in any order, also against a flush, and never inside the submission. */
MR_TEST(operations_complete_out_of_order)
{
    unsigned reordered = 0;

    for (uint64_t seed = 0; seed < 100; seed++) {
        struct mr_dev_sim *sim = make(seed);
        struct mr_dev *dev = mr_dev_sim_connect(sim);
        struct probe probes[2];

        start_write(dev, &probes[0], 0, 1, false);
        start_write(dev, &probes[1], 1, 1, false);
        MR_CHECK(!probes[0].done && !probes[1].done);
        MR_CHECK_EQ(mr_dev_sim_in_flight(sim), 2);
        MR_CHECK_EQ(mr_dev_wait(dev), 0);
        MR_CHECK(probes[0].done != probes[1].done);
        reordered += probes[1].done;
        finish(dev, &probes[0]);
        finish(dev, &probes[1]);
        mr_dev_sim_destroy(sim);
    }
    MR_CHECK(reordered > 20 && reordered < 80);
}

/* Goal: the cut happens inside exactly the Nth submission. */
MR_TEST(cut_after_fires_at_the_nth_operation)
{
    struct mr_dev_sim *sim = make(1);
    struct mr_dev *dev = mr_dev_sim_connect(sim);
    struct probe probe;

    mr_dev_sim_cut_after(sim, 3, false);
    MR_CHECK_EQ(write_block(dev, 1, 1, true), 0);
    MR_CHECK_EQ(write_block(dev, 2, 1, true), 0);
    start_write(dev, &probe, 3, 1, true);
    MR_CHECK_EQ(mr_dev_wait(dev), -ECANCELED);
    start_write(dev, &probe, 4, 1, true);
    MR_CHECK_EQ(mr_dev_poll(dev), -ECANCELED);
    MR_CHECK(!probe.done);
    dev = mr_dev_sim_connect(sim);
    MR_CHECK_EQ(read_block(dev, 2)[0], 1);
    MR_CHECK_EQ(read_block(dev, 4)[0], 0);
    mr_dev_sim_destroy(sim);
}

/* Goal: a bad block fails every write that touches it until it is healed, its neighbours do not. */
MR_TEST(bad_blocks_fail_writes_that_touch_them)
{
    struct mr_dev_sim *sim = make(1);
    struct mr_dev *dev = mr_dev_sim_connect(sim);

    mr_dev_sim_bad_block(sim, 5 * MR_DEV_BLOCK, true);
    MR_CHECK_EQ(write_block(dev, 4, 1, false), 0);
    MR_CHECK_EQ(write_block(dev, 5, 1, false), -EIO);
    MR_CHECK_EQ(write_block(dev, 6, 1, false), 0);
    mr_dev_sim_bad_block(sim, 5 * MR_DEV_BLOCK, false);
    MR_CHECK_EQ(write_block(dev, 5, 1, false), 0);
    MR_CHECK_EQ(read_block(dev, 5)[9], 1);
    mr_dev_sim_destroy(sim);
}

/* Goal: after a failed flush nothing it covered becomes durable by another flush. */
MR_TEST(a_failed_flush_is_not_repaired_by_the_next)
{
    unsigned lost = 0;

    for (uint64_t seed = 0; seed < 200; seed++) {
        struct mr_dev_sim_config config = {
            .size_bytes = BLOCKS * MR_DEV_BLOCK, .seed = seed, .flush_fail = 0.5};
        struct mr_dev_sim *sim = mr_dev_sim_create(&config);
        struct mr_dev *dev = mr_dev_sim_connect(sim);
        int first;

        MR_CHECK_EQ(write_block(dev, 5, 5, false), 0);
        first = flush(dev);
        while (flush(dev) != 0) {
        }
        mr_dev_sim_power_cut(sim);
        read_block(mr_dev_sim_connect(sim), 5);
        MR_CHECK(first != 0 || seen[0] == 5);
        lost += seen[0] == 0;
        mr_dev_sim_destroy(sim);
    }
    MR_CHECK(lost > 20);
}

/* Goal: a copy shares nothing that shows; rot spoils one sector for good; a stall holds all. */
MR_TEST(copies_rot_and_stalls_work)
{
    struct mr_dev_sim *sim = make(1);
    struct mr_dev_sim *copy;
    struct mr_dev *dev = mr_dev_sim_connect(sim);
    struct probe probe;
    uint8_t sector[MR_DEV_SECTOR];

    MR_CHECK_EQ(write_block(dev, 5, 5, false), 0);
    copy = mr_dev_sim_copy(sim, 2);
    mr_dev_sim_rot(copy, 5 * MR_DEV_BLOCK + MR_DEV_SECTOR);
    mr_dev_sim_peek(copy, 5 * MR_DEV_BLOCK + MR_DEV_SECTOR, sector, sizeof(sector));
    MR_CHECK(sector[0] != 5 || sector[1] != 5);
    mr_dev_sim_peek(copy, 5 * MR_DEV_BLOCK, sector, sizeof(sector));
    MR_CHECK_EQ(sector[0], 5);
    mr_dev_sim_peek(sim, 5 * MR_DEV_BLOCK + MR_DEV_SECTOR, sector, sizeof(sector));
    MR_CHECK_EQ(sector[0], 5);
    mr_dev_sim_destroy(copy);

    mr_dev_sim_stall(sim, true);
    start_write(dev, &probe, 6, 6, false);
    for (int i = 0; i < 50; i++) {
        MR_CHECK_EQ(mr_dev_poll(dev), 0);
    }
    mr_dev_sim_stall(sim, false);
    MR_CHECK_EQ(finish(dev, &probe), 0);
    mr_dev_sim_destroy(sim);
}

/* Goal: growth shows after mr_dev_resize() and keeps the old blocks. */
MR_TEST(an_extended_medium_is_taken_over_by_resize)
{
    struct mr_dev_sim *sim = make(1);
    struct mr_dev *dev = mr_dev_sim_connect(sim);

    MR_CHECK_EQ(write_block(dev, 5, 5, true), 0);
    mr_dev_sim_extend(sim, 2 * BLOCKS * MR_DEV_BLOCK);
    MR_CHECK_EQ(dev->size_bytes, BLOCKS * MR_DEV_BLOCK);
    MR_CHECK_EQ(mr_dev_resize(dev), 0);
    MR_CHECK_EQ(dev->size_bytes, 2 * BLOCKS * MR_DEV_BLOCK);
    MR_CHECK_EQ(read_block(dev, 5)[0], 5);
    MR_CHECK_EQ(read_block(dev, BLOCKS + 5)[0], 0);
    mr_dev_sim_destroy(sim);
}

/* Goal: what is discarded is garbage at once, and after a power cut either that or what was there.
 * Method: a block is discarded under many seeds, in flight and completed. */
MR_TEST(discarded_blocks_hold_anything)
{
    unsigned old = 0, garbage = 0;

    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct mr_dev_sim *sim = make(seed);
        struct mr_dev *dev = mr_dev_sim_connect(sim);
        struct probe probe = {.io.done = probe_done};
        uint8_t block[MR_DEV_BLOCK];

        for (unsigned i = 3; i < 7; i++) {
            MR_CHECK_EQ(write_block(dev, i, 9, true), 0);
        }
        mr_dev_discard(dev, &probe.io, 4 * MR_DEV_BLOCK, 2 * MR_DEV_BLOCK);
        MR_CHECK(!probe.done);
        mr_dev_sim_peek(sim, 5 * MR_DEV_BLOCK, block, sizeof(block));
        MR_CHECK(memcmp(block, buffers[3], sizeof(block)) != 0);
        if (seed % 2) {
            MR_CHECK_EQ(finish(dev, &probe), 0);
        }
        mr_dev_sim_power_cut(sim);
        dev = mr_dev_sim_connect(sim);
        MR_CHECK_EQ(read_block(dev, 3)[0], 9);
        MR_CHECK_EQ(read_block(dev, 6)[0], 9);
        for (unsigned s = 0; s < MR_DEV_BLOCK; s += MR_DEV_SECTOR) {
            bool kept = memcmp(read_block(dev, 5) + s, buffers[3], MR_DEV_SECTOR) == 0;

            old += kept;
            garbage += !kept;
        }
        mr_dev_sim_destroy(sim);
    }
    MR_CHECK(old > 100);
    MR_CHECK(garbage > 100);
}

MR_TEST_MAIN(MR_TEST_CASE(only_what_was_flushed_is_sure_to_survive),
             MR_TEST_CASE(a_flush_covers_no_later_write),
             MR_TEST_CASE(a_kill_keeps_the_cache_unflushed),
             MR_TEST_CASE(sectors_in_flight_may_become_garbage),
             MR_TEST_CASE(operations_complete_out_of_order),
             MR_TEST_CASE(cut_after_fires_at_the_nth_operation),
             MR_TEST_CASE(bad_blocks_fail_writes_that_touch_them),
             MR_TEST_CASE(a_failed_flush_is_not_repaired_by_the_next),
             MR_TEST_CASE(copies_rot_and_stalls_work),
             MR_TEST_CASE(an_extended_medium_is_taken_over_by_resize),
             MR_TEST_CASE(discarded_blocks_hold_anything))
