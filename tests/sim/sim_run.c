/* tests/sim/sim_run.c: a run is a row of lives, each from an open to a crash or a close. */
#include "tests/sim/sim_run.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB          (UINT64_C(1) << 20)
#define ARENA_BYTES  (12 * MIB)
#define ARENA_MIN    MR_STORE_ARENA_MIN
#define BUFFER_BYTES (8 * MIB)
#define IDLE_TURNS   400000u
#define OPENS_MAX    60u
#define FAILED_TURNS 400u /* how long a failed log is left alone before a restart */
#define GROWTH_BYTES MIB
#define GROWTH_MAX   (8 * MIB)
#define GROW_ONE_IN  2500u /* turns */
#define READ_FAIL_IN 40u   /* turns until the next read of a running store fails */
#define BLOCKS_TURNS 64u   /* between two looks at who owns each block */
#define STALL_ONE_IN 500u  /* turns between two stalls of the drive */
#define STALL_TURNS  100u
#define BURST_ONE_IN 12u
#define BURST_MAX    24u
#define REST_TURNS   20u
#define BAD_BLOCKS   4u

static uint64_t failing_seed;

void
sim_fail(const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "store_sim: seed %llu: ", (unsigned long long)failing_seed);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n  replay: store_sim --seed %llu --trace\n",
            (unsigned long long)failing_seed);
    exit(1);
}

static void
on_abort(int signal_number)
{
    (void)signal_number;
    dprintf(STDERR_FILENO, "store_sim: seed %llu: stopped by an assertion\n",
            (unsigned long long)failing_seed);
}

void
sim_trace(const struct sim_run *run, const char *format, ...)
{
    va_list args;

    if (!run->trace) {
        return;
    }
    printf("%9llu us: ", (unsigned long long)(run->clock.now_ns / 1000));
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
}

/* ---- the store's callbacks ------------------------------------------------------------------- */

static void
on_room(void *context)
{
    ((struct sim_run *)context)->room = true;
}

static void
on_failed(void *context)
{
    struct sim_run *run = context;

    sim_trace(run, "the store has failed");
    if (!run->write_faults && !run->flush_faults) {
        sim_fail("the store failed on a device that has no faults");
    }
    run->failed = true;
    run->counters->stores_failed++;
}

static void
on_low_space(void *context)
{
    ((struct sim_run *)context)->low_space = true;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void
look(struct sim_run *run)
{
    struct mr_store_stats stats;

    mr_store_stats(run->store, &stats);
    if (stats.checkpoints != run->before.checkpoints) {
        run->checkpoint_bytes_at = stats.checkpoint_bytes;
    }
    run->before = stats;
}

static bool
in_checkpoint(const struct sim_run *run)
{
    return run->before.checkpoint_bytes != run->checkpoint_bytes_at;
}

/* Grows at times, and where the store asks for it; some of the growths meet a crash. */
static void
grow(struct sim_run *run)
{
    if (run->grow_to && run->turned.size_bytes >= run->grow_to) {
        run->grow_to = 0;
        run->counters->grown++;
    }
    if (run->low_space && !run->grow_to && run->size_bytes >= run->device_bytes + GROWTH_MAX) {
        run->low_space = false;
        mr_store_grow_refused(run->store);
    }
    if (run->grow_to || run->quiet || run->failed ||
        run->size_bytes >= run->device_bytes + GROWTH_MAX ||
        mr_rng_below(&run->rng, run->low_space ? 20 : GROW_ONE_IN)) {
        return;
    }
    run->low_space = false;
    run->size_bytes += GROWTH_BYTES;
    mr_dev_sim_extend(run->sim, run->size_bytes);
    if (mr_dev_resize(run->dev) != 0 || mr_store_grow(run->store) != 0) {
        sim_fail("the store could not grow");
    }
    run->grow_to = run->size_bytes;
    if (mr_rng_below(&run->rng, 2)) {
        mr_dev_sim_cut_after(run->sim, 1 + mr_rng_below(&run->rng, 4), false);
    }
}

/* Moments that recovery has rules for are rare among all moments: here some of them end in a
 * crash, at once (true) or a little later. */
static bool
ambush(struct sim_run *run)
{
    struct mr_store_stats was = run->turned, *now = &run->turned;

    mr_store_stats(run->store, now);
    if (run->quiet) {
        return false;
    }
    if (now->groups != was.groups && now->written_behind_bytes != was.written_behind_bytes &&
        mr_rng_below(&run->rng, 6) == 0) {
        mr_dev_sim_power_cut(run->sim);
        return true;
    }
    if ((now->voids != was.voids && mr_rng_below(&run->rng, 4) == 0) ||
        (now->carried_blocks != was.carried_blocks && mr_rng_below(&run->rng, 16) == 0)) {
        mr_dev_sim_cut_after(run->sim, 1 + mr_rng_below(&run->rng, 20),
                             mr_rng_below(&run->rng, 4) == 0);
    }
    return false;
}

bool
sim_turn(struct sim_run *run)
{
    bool busy;

    run->clock.now_ns += mr_rng_below(&run->rng, 20000);
    busy = mr_store_tick(run->store);
    if (ambush(run) || mr_dev_poll(run->dev) < 0) {
        return false;
    }
    grow(run);
    if (!busy && mr_dev_sim_in_flight(run->sim) == 0) {
        uint64_t deadline = mr_store_deadline_ns(run->store);

        if (deadline != UINT64_MAX && deadline > run->clock.now_ns &&
            mr_rng_below(&run->rng, 4) == 0) {
            run->clock.now_ns = deadline;
        }
    }
    return true;
}

static bool
anything_failed(struct sim_run *run)
{
    for (unsigned i = 0; i < SIM_LOGS; i++) {
        struct mr_log_offsets offsets;

        mr_log_offsets(run->logs[i]->log, &offsets);
        if (offsets.failed) {
            return true;
        }
    }
    return run->failed;
}

/* ---- death ----------------------------------------------------------------------------------- */

static void
take_stats(struct sim_run *run)
{
    struct sim_counters *counters = run->counters;
    struct mr_store_stats stats;

    mr_store_stats(run->store, &stats);
    counters->journal_wraps += stats.group_bytes / run->journal_bytes;
    counters->checkpoints += stats.checkpoints;
    counters->voids += stats.voids;
    counters->early_runs += stats.early_runs;
    counters->early_runs_undone += stats.early_undone;
    counters->tail_images += stats.tail_images;
    counters->carried_blocks += stats.carried_blocks;
    counters->dropped_groups += stats.dropped_groups;
    counters->direct_mebibytes += stats.direct_bytes / MIB;
    counters->inline_mebibytes += stats.inline_bytes / MIB;
    counters->device_reuse +=
        (stats.direct_bytes + stats.written_behind_bytes) * 2 / run->device_bytes;
    counters->reads_hot += stats.reads_hot;
    counters->reads_cold += stats.reads_cold;
    counters->reads_ahead += stats.reads_ahead;
    counters->indexes_written += stats.indexes_written;
    counters->indexes_loaded += stats.indexes_loaded;
    counters->discards += stats.discards;
    counters->discards_skipped += stats.discards_skipped;
    counters->discard_errors += stats.discard_errors;
}

/* After a failed flush the drive is switched off: what that flush should have made durable may be
 * read from the drive's cache still, while no later flush is sure to make it so. */
static void
cut(struct sim_run *run, bool flush_failed)
{
    mr_dev_sim_cut_after(run->sim, 0, false);
    if (flush_failed || mr_rng_below(&run->rng, 4)) {
        mr_dev_sim_power_cut(run->sim);
        run->counters->power_cuts++;
    } else {
        mr_dev_sim_kill(run->sim);
        run->counters->kills++;
    }
}

static void
die(struct sim_run *run)
{
    look(run);
    sim_trace(run, "crash%s", in_checkpoint(run) ? " in a checkpoint" : "");
    run->counters->crashes_in_checkpoint += in_checkpoint(run);
    run->counters->crashes_in_write_behind += run->before.writes_in_flight > 0;
    run->counters->crashes_beside_early_runs += run->before.early_runs_flying > 0;
    run->counters->crashes_in_growth += run->grow_to > run->before.size_bytes;
    run->grow_to = 0;
    sim_blocks_check(run);
    for (unsigned i = 0; i < SIM_LOGS; i++) {
        run->counters->crashes_in_truncation += run->logs[i]->truncating;
    }
    take_stats(run);
    cut(run, run->flush_faults && run->failed);
    mr_store_abandon(run->store);
    run->store = NULL;
    sim_requests_drop(run);
}

/* ---- birth ----------------------------------------------------------------------------------- */

/* One attempt; true: the store is open and the power is on. */
static bool
open_once(struct sim_run *run)
{
    char reason[256] = "";
    int error;

    run->dev = mr_dev_sim_connect(run->sim);
    run->config.dev = run->dev;
    run->failed = false;
    run->low_space = false;
    run->room = true;
    if (!run->quiet && mr_rng_below(&run->rng, 3) == 0) {
        mr_dev_sim_cut_after(run->sim, 1 + mr_rng_below(&run->rng, 25),
                             mr_rng_below(&run->rng, 3) == 0);
    }
    mr_dev_sim_fail_nth(run->sim, 'r', 0);
    error = mr_store_open(&run->config, &run->store, reason, sizeof(reason));
    mr_dev_sim_cut_after(run->sim, 0, false);
    sim_trace(run, "open: %d %s", error, reason);
    if (error == 0 && mr_dev_poll(run->dev) >= 0) {
        return true;
    }
    if (error == 0) {
        mr_store_abandon(run->store);
    }
    run->store = NULL;
    if (error == 0 || error == -ECANCELED) {
        run->counters->crashes_in_open++;
    } else if (error == -EIO && (run->write_faults || run->read_faults || run->flush_faults)) {
        run->counters->opens_failed++;
    } else {
        sim_fail("refuses to open after mere crashes: %s (%d)", reason, error);
    }
    cut(run, run->flush_faults && error == -EIO);
    return false;
}

/* Dying logs that are gone are forgotten; the others are deleted once more. */
static void
settle_dying(struct sim_run *run)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < run->dying_count; i++) {
        struct sim_log *log = run->dying[i];

        if (mr_store_log_find(run->store, &log->id)) {
            run->dying[kept++] = log;
        } else {
            run->dead[run->dead_count++ % SIM_DEAD] = log->id;
            sim_log_free(log);
        }
    }
    run->dying_count = kept;
    for (unsigned i = 0; i < kept; i++) {
        sim_delete_send(run, run->dying[i], run->dying[i]->id);
    }
}

/* In some lives a few blocks behind the journal take no write. */
static void
bad_blocks_set(struct sim_run *run)
{
    uint64_t first = run->journal_bytes / MR_DEV_BLOCK + BAD_BLOCKS;
    uint64_t count = run->device_bytes / MR_DEV_BLOCK - first;

    for (unsigned i = 0; i < run->bad_count; i++) {
        mr_dev_sim_bad_block(run->sim, run->bad[i], false);
    }
    run->bad_count = 0;
    if (!run->write_faults || run->quiet || mr_rng_below(&run->rng, 2)) {
        return;
    }
    while (run->bad_count < BAD_BLOCKS) {
        uint64_t offset = (first + mr_rng_below(&run->rng, count)) * MR_DEV_BLOCK;

        mr_dev_sim_bad_block(run->sim, offset, true);
        run->bad[run->bad_count++] = offset;
    }
}

static void
open_store(struct sim_run *run, bool clean)
{
    unsigned attempts = 0;

    do {
        if (attempts++ == OPENS_MAX) {
            sim_fail("does not open in %u attempts", OPENS_MAX);
        }
        if (run->rot && mr_rng_below(&run->rng, 3) > 0) {
            sim_rot(run);
        }
    } while (!open_once(run));
    if (clean && attempts == 1 && !run->read_faults && !mr_store_was_clean(run->store)) {
        sim_fail("a clean close was not recognised");
    }
    run->epoch += mr_store_was_clean(run->store) ? 0 : 1;
    sim_judge(run, true);
    for (unsigned i = 0; i < SIM_LOGS; i++) {
        run->logs[i]->log = mr_store_log_make(run->store, &run->logs[i]->id);
        if (!run->logs[i]->log) {
            sim_fail("no log could be made");
        }
    }
    settle_dying(run);
    sim_blocks_check(run);
    memset(&run->before, 0, sizeof(run->before));
    mr_store_stats(run->store, &run->turned);
    run->checkpoint_bytes_at = 0;
    look(run);
    run->checkpoint_bytes_at = run->before.checkpoint_bytes;
    run->failed_since = 0;
    bad_blocks_set(run);
    run->life_operations = 0;
    /* Some die again before anything has flushed what the life before left in the drive's cache. */
    if (run->hasty) {
        run->life_length = mr_rng_below(&run->rng, 60);
    } else {
        run->life_length = mr_rng_below(&run->rng, 4) ? 150 + mr_rng_below(&run->rng, 700)
                                                      : mr_rng_below(&run->rng, 6);
    }
}

/* ---- a life ---------------------------------------------------------------------------------- */

static bool
all_acknowledged(const struct sim_run *run)
{
    for (unsigned i = 0; i < SIM_LOGS; i++) {
        for (unsigned k = 0; k < SIM_PRODUCERS; k++) {
            if (run->logs[i]->producers[k].unacked_count > 0) {
                return false;
            }
        }
    }
    return run->request_count == 0;
}

/* Until everything is answered. False: died, or something has failed. */
static bool
idle(struct sim_run *run)
{
    for (uint64_t turn = 0; !all_acknowledged(run); turn++) {
        if (turn == IDLE_TURNS) {
            sim_fail("stuck: %u requests are never answered", run->request_count);
        }
        sim_send_ready(run);
        if (!sim_turn(run)) {
            return false;
        }
        if (turn % 64 == 0 && anything_failed(run)) {
            return false;
        }
        if (turn % 256 == 255 && !run->failed) {
            sim_make_space(run,
                           run->device_bytes / 5 * 2); /* what waits may be waiting for space */
        }
    }
    return true;
}

/* Some turns more: what fires with an answer may fire in the next tick. */
static bool
rest(struct sim_run *run)
{
    for (unsigned turn = 0; turn < REST_TURNS; turn++) {
        if (!sim_turn(run)) {
            return false;
        }
    }
    return !anything_failed(run);
}

/* Mostly none or one request, at times many at once: those share groups. */
static void
burst(struct sim_run *run)
{
    uint64_t count = mr_rng_below(&run->rng, 2);

    if (mr_rng_below(&run->rng, BURST_ONE_IN) == 0) {
        count = mr_rng_below(&run->rng, BURST_MAX);
    }
    while (count-- > 0) {
        sim_request_random(run);
    }
}

/* Operations until the life's end. False: it has ended before. */
static bool
live(struct sim_run *run)
{
    uint64_t turn = 0, stalled_until = 0;

    while (run->life_operations < run->life_length || stalled_until) {
        if (!stalled_until && mr_rng_below(&run->rng, STALL_ONE_IN) == 0) {
            mr_dev_sim_stall(run->sim, true);
            stalled_until = turn + 1 + mr_rng_below(&run->rng, STALL_TURNS);
        }
        if (stalled_until && turn >= stalled_until) {
            mr_dev_sim_stall(run->sim, false);
            stalled_until = 0;
        }
        if (run->read_faults && mr_rng_below(&run->rng, READ_FAIL_IN) == 0) {
            mr_dev_sim_fail_nth(run->sim, 'r', 1);
        }
        burst(run);
        if (!sim_turn(run)) {
            return false;
        }
        if (++turn % BLOCKS_TURNS == 0) {
            sim_blocks_check(run);
        }
        if (turn % 16 == 0) {
            look(run);
            run->failed_since += anything_failed(run) ? 16 : 0;
            run->counters->logs_failed += run->failed_since == 16;
            if (run->failed_since > FAILED_TURNS) {
                return false;
            }
        }
    }
    return true;
}

/* Goes on until the cut that is set comes, or for some turns. */
static void
live_to_the_cut(struct sim_run *run, bool checkpoint)
{
    for (unsigned turn = 0; turn < 600; turn++) {
        burst(run);
        if (!sim_turn(run)) {
            return;
        }
        look(run);
        if (checkpoint && in_checkpoint(run)) {
            mr_dev_sim_cut_after(run->sim, 1 + mr_rng_below(&run->rng, 12), false);
            checkpoint = false;
        }
    }
}

/* Returns whether it was a clean close. */
static bool
end_life(struct sim_run *run)
{
    bool clean = false;

    switch (run->hasty ? 3 * mr_rng_below(&run->rng, 2) : mr_rng_below(&run->rng, 5)) {
    case 0: /* at once */
        die(run);
        return false;
    case 1:
        if (idle(run) && rest(run)) {
            sim_watches_check(run);
            for (unsigned i = 0; i < SIM_LOGS; i++) {
                mr_log_watch_remove(&run->logs[i]->watch);
                run->logs[i]->watched = false;
            }
            sim_trace(run, "close");
            take_stats(run);
            mr_dev_sim_cut_after(run->sim, 0, false);
            run->grow_to = 0;
            clean = mr_store_close(run->store) == 0;
            if (!clean && !run->write_faults && !run->flush_faults) {
                sim_fail("the store could not be closed");
            }
            run->store = NULL;
            run->counters->clean_closes += clean;
            sim_requests_drop(run);
            if (clean || !run->flush_faults) {
                mr_dev_sim_kill(run->sim);
            } else {
                cut(run, true);
            }
            return clean;
        }
        die(run);
        return false;
    case 2:
        live_to_the_cut(run, true);
        die(run);
        return false;
    default:
        mr_dev_sim_cut_after(run->sim, 1 + mr_rng_below(&run->rng, 60),
                             mr_rng_below(&run->rng, 4) == 0);
        live_to_the_cut(run, false);
        die(run);
        return false;
    }
}

/* Without new work, and with everything trimmed, produce must be accepted again, and a last open
 * finds all of it. */
static void
finish(struct sim_run *run)
{
    unsigned attempts = 0;

    run->quiet = true;
    for (;;) {
        bool well = idle(run);

        for (unsigned i = 0; well && i < SIM_LOGS; i++) {
            struct sim_log *log = run->logs[i];
            struct sim_producer *producer = &log->producers[0];

            sim_trim_send(run, log, log->end);
            producer->unacked[producer->unacked_count++] =
                sim_batch_make(&run->rng, 2000, log->clock_ms, false, producer->id, producer->epoch,
                               producer->sequence_next);
            producer->sequence_next =
                (int32_t)(((int64_t)producer->sequence_next + producer->unacked[0]->count) &
                          INT32_MAX);
        }
        if (well && idle(run)) {
            break;
        }
        if (attempts++ == 20) {
            sim_fail("does not come to rest");
        }
        die(run);
        open_store(run, false);
    }
    die(run);
    open_store(run, false);
    die(run);
}

static void
set_up(struct sim_run *run)
{
    struct mr_dev_sim_config dev = {.size_bytes = run->device_bytes,
                                    .seed = mr_rng_next(&run->rng),
                                    .garbage_on_cut = 0.4,
                                    .complete_max = (unsigned)mr_rng_below(&run->rng, 8)};
    struct mr_store_format format = {.node_id = 1, .journal_bytes = run->journal_bytes};

    if (run->write_faults) {
        run->counters->write_faults++;
        dev.write_fail = mr_rng_below(&run->rng, 2) ? 0.0002 : 0.002;
    }
    dev.read_fail = run->read_faults ? 0.0003 : 0; /* an open makes hundreds of them */
    dev.flush_fail = run->flush_faults ? 0.001 : 0;
    memset(format.store_id.bytes, 0x11, 16);
    memset(format.cluster_id.bytes, 0x22, 16);
    run->sim = mr_dev_sim_create(&dev);
    for (unsigned attempt = 0;; attempt++) {
        int error = mr_store_format(mr_dev_sim_connect(run->sim), &format);

        mr_dev_sim_power_cut(run->sim); /* a flush may have failed */
        if (error == 0) {
            break;
        }
        if ((!run->write_faults && !run->flush_faults) || attempt == 20) {
            sim_fail("the store cannot be formatted: %d", error);
        }
    }
    for (unsigned i = 0; i < SIM_LOGS; i++) {
        run->logs[i] = sim_log_new(&run->rng, run->logs_made++);
    }
}

static void
tear_down(struct sim_run *run)
{
    for (unsigned i = 0; i < SIM_LOGS; i++) {
        sim_log_free(run->logs[i]);
    }
    for (unsigned i = 0; i < run->dying_count; i++) {
        sim_log_free(run->dying[i]);
    }
    mr_dev_sim_destroy(run->sim);
    free(run->config.arena);
    free(run->buffer);
    free(run->owners);
}

void
sim_run(uint64_t seed, bool trace, uint64_t operations, struct sim_counters *counters)
{
    static const uint32_t direct[] = {8192, 16384, 32768, 65536};
    static const size_t dirty[] = {0, 65536, 262144, MIB};
    struct sim_run run = {.seed = seed, .trace = trace, .counters = counters};
    unsigned lives = 0;

    failing_seed = seed;
    signal(SIGABRT, on_abort);
    mr_rng_init(&run.rng, seed);
    mr_clock_sim_init(&run.clock, 1700000000000);
    mr_list_init(&run.requests);
    run.journal_bytes = (1 + mr_rng_below(&run.rng, 4)) * MIB;
    run.device_bytes = (24 + 8 * mr_rng_below(&run.rng, 5)) * MIB;
    run.write_faults = mr_rng_below(&run.rng, 4) == 0;
    run.rot = !run.write_faults && mr_rng_below(&run.rng, 2) == 0;
    run.read_faults = !run.rot && mr_rng_below(&run.rng, 3) == 0;
    run.flush_faults = !run.rot && mr_rng_below(&run.rng, 3) == 0;
    run.skewed = mr_rng_below(&run.rng, 3) == 0;
    run.greedy = mr_rng_below(&run.rng, 16) == 0;
    run.churn = mr_rng_below(&run.rng, 8) == 0;
    run.cutting = mr_rng_below(&run.rng, 8) == 0;
    run.hasty = mr_rng_below(&run.rng, 8) == 0;
    if (run.greedy) {
        run.device_bytes = 16 * MIB;
        run.journal_bytes = MIB;
    }
    run.size_bytes = run.device_bytes;
    run.small = mr_rng_below(&run.rng, 4) == 0;
    run.buffer = malloc(BUFFER_BYTES);
    run.config = (struct mr_store_config){.clock = &run.clock.clock,
                                          .arena = aligned_alloc(MR_DEV_BLOCK, ARENA_BYTES),
                                          .arena_bytes = seed % 2 ? ARENA_BYTES : ARENA_MIN,
                                          .logs_max = 64,
                                          .producers_max = 4096,
                                          .direct_run_bytes = direct[mr_rng_below(&run.rng, 4)],
                                          .index_bytes_max = MIB,
                                          .dirty_bytes = dirty[mr_rng_below(&run.rng, 4)],
                                          .discard = seed / 2 % 3 == 1, /* beside either arena */
                                          .on_room = on_room,
                                          .on_failed = on_failed,
                                          .on_low_space = on_low_space,
                                          .context = &run};
    sim_trace(&run, "journal %llu, device %llu, faults %d, rot %d, small %d",
              (unsigned long long)run.journal_bytes, (unsigned long long)run.device_bytes,
              run.write_faults, run.rot, run.small);
    set_up(&run);
    open_store(&run, false);
    while (run.operations < operations || lives < 4) {
        if (live(&run)) {
            open_store(&run, end_life(&run));
        } else {
            die(&run);
            open_store(&run, false);
        }
        lives++;
    }
    finish(&run);
    tear_down(&run);
}
