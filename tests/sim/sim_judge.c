/* tests/sim/sim_judge.c: compares an open store with the oracle. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_run.h"

#define READ_BYTES (1u << 20)
#define TURNS_MAX  100000u
#define RETRIES    200u /* of a read that the device fails, at random */
#define ROT_DATA   16u  /* sectors */
/* The metadata: superblocks, roots and journal. */
#define FIRST_BLOCKS 4u

struct check {
    struct mr_read read;
    bool answered;
};

static void
check_answered(struct mr_read *read)
{
    MR_CONTAINER_OF(read, struct check, read)->answered = true;
}

/* ---- an answer in a running store ------------------------------------------------------------ */

static bool
may_be_trimmed(const struct sim_log *log, int64_t offset)
{
    bool may = offset < log->start;

    for (unsigned i = 0; i < log->trim_count; i++) {
        may = may || offset < log->trims[i];
    }
    return may;
}

void
sim_check_read(struct sim_run *run, struct sim_log *log, const struct mr_read *read)
{
    const struct sim_batch *first;
    size_t size = 0;

    if (log->truncating) {
        return; /* what it may show is not known until that is decided */
    }

    if (read->error == MR_KAFKA_OFFSET_OUT_OF_RANGE) {
        if (!may_be_trimmed(log, read->offset) && read->offset <= log->end) {
            sim_fail("partition %d: read at %lld is out of range, log is %lld to %lld",
                     log->id.partition, (long long)read->offset, (long long)log->start,
                     (long long)log->end);
        }
        return;
    }
    if (read->error != MR_KAFKA_NONE) {
        run->counters->read_errors++;
        if (!sim_is_dying(run, log) && !run->read_faults) {
            sim_fail("partition %d: read at %lld failed: %s", log->id.partition,
                     (long long)read->offset, mr_kafka_err_name(read->error));
        }
        return;
    }
    for (unsigned i = 0; i < read->iov_count; i++) {
        memcpy(run->buffer + size, read->iov[i].iov_base, read->iov[i].iov_len);
        size += read->iov[i].iov_len;
    }
    if (size != read->size) {
        sim_fail("partition %d: a read's slices hold %zu bytes, not %u", log->id.partition, size,
                 read->size);
    }
    if (!sim_is_dying(run, log)) {
        sim_log_show(log, read->offsets.high_watermark);
    }
    sim_log_check_bytes(log, read->offset, run->buffer, size);
    if (size > 0 && size > read->bytes_max) {
        first = log->batches[sim_log_index(log, read->offset)];
        if (!read->one_at_least || size != first->size) {
            sim_fail("partition %d: read gives %zu bytes, at most %u", log->id.partition, size,
                     read->bytes_max);
        }
    }
    if (size == 0 && read->one_at_least && read->offset < read->offsets.high_watermark &&
        sim_log_index(log, read->offset) < log->batch_count) {
        sim_fail("partition %d: read at %lld gives nothing below %lld", log->id.partition,
                 (long long)read->offset, (long long)read->offsets.high_watermark);
    }
}

/* ---- an open store --------------------------------------------------------------------------- */

/* One read of an open store that nothing else uses. The caller releases it. */
static void
read_once(struct sim_run *run, const struct sim_log *log, struct mr_log *opened, int64_t at,
          struct check *check)
{
    int got;

    *check = (struct check){
        .read = {
            .done = check_answered, .offset = at, .bytes_max = READ_BYTES, .one_at_least = true}};
    got = mr_log_read(opened, &check->read);
    for (unsigned turns = 0; got == 0 && !check->answered; turns++) {
        mr_store_tick(run->store);
        mr_dev_poll(run->dev);
        if (turns == TURNS_MAX) {
            sim_fail("partition %d: a read is never answered", log->id.partition);
        }
    }
    if (got < 0) {
        sim_fail("partition %d: no read at %lld after the open: %d", log->id.partition,
                 (long long)at, got);
    }
}

void
sim_check_log(struct sim_run *run, struct sim_log *log, struct mr_log *opened, bool errors_allowed)
{
    struct mr_log_offsets offsets;
    unsigned retries = 0;
    int64_t at;

    mr_log_offsets(opened, &offsets);
    at = offsets.start;
    while (at < offsets.high_watermark) {
        struct check check;
        size_t size = 0, index;

        read_once(run, log, opened, at, &check);
        if (check.read.error != MR_KAFKA_NONE) {
            enum mr_kafka_err error = check.read.error;

            mr_log_read_release(run->store, &check.read);
            if (run->read_faults && !errors_allowed && retries++ < RETRIES) {
                continue;
            }
            index = sim_log_index(log, at);
            if (!errors_allowed || error != MR_KAFKA_KAFKA_STORAGE_ERROR) {
                sim_fail("partition %d: cannot read at %lld after the open: %s", log->id.partition,
                         (long long)at, mr_kafka_err_name(error));
            }
            run->counters->rot_data_reads_refused++;
            if (index >= log->batch_count) {
                return;
            }
            at = log->batches[index]->base_offset + log->batches[index]->count;
            continue; /* what lies behind what is spoilt can be read */
        }
        for (unsigned i = 0; i < check.read.iov_count; i++) {
            memcpy(run->buffer + size, check.read.iov[i].iov_base, check.read.iov[i].iov_len);
            size += check.read.iov[i].iov_len;
        }
        mr_log_read_release(run->store, &check.read);
        if (size == 0 && sim_log_index(log, at) >= log->batch_count &&
            offsets.high_watermark == log->end) {
            return; /* offsets without batches, behind a truncation */
        }
        if (size < SIM_HEADER_SIZE) {
            sim_fail("partition %d: read at %lld gives %zu bytes", log->id.partition, (long long)at,
                     size);
        }
        sim_log_check_bytes(log, at, run->buffer, size);
        for (size_t byte = 0; byte < size; byte += sim_get32(run->buffer + byte + 8) + 12) {
            at = (int64_t)sim_get64(run->buffer + byte) +
                 (int32_t)sim_get32(run->buffer + byte + 23) + 1;
        }
    }
}

/* KIP-320 for the epoch of one batch, any of them. */
static void
check_epoch(struct sim_run *run, const struct sim_log *log, const struct mr_log *opened)
{
    size_t first = sim_log_index(log, log->start);
    int64_t end = log->end, got_end = -1;
    int32_t epoch, got_epoch = -1;
    size_t at;

    if (first >= log->batch_count) {
        return;
    }
    at = first + mr_rng_below(&run->rng, log->batch_count - first);
    epoch = log->batches[at]->leader_epoch;
    for (; at < log->batch_count; at++) {
        if (log->batches[at]->leader_epoch != epoch) {
            end = log->batches[at]->base_offset;
            break;
        }
    }
    if (mr_log_epoch_end(opened, epoch, &got_epoch, &got_end) != 0 || got_epoch != epoch ||
        got_end != end) {
        sim_fail("partition %d: epoch %d ends at %lld, but the answer is %d at %lld",
                 log->id.partition, epoch, (long long)end, got_epoch, (long long)got_end);
    }
}

/* Judges one log; returns it as it is open, or NULL. */
static struct mr_log *
judge_log(struct sim_run *run, struct sim_log *log, bool gone_allowed, bool adopt)
{
    struct mr_log *opened = mr_store_log_find(run->store, &log->id);
    struct mr_log_offsets offsets;
    unsigned lost = 0, survived;

    if (!opened) {
        if (log->used && !gone_allowed) {
            sim_fail("partition %d is gone, acknowledged up to %lld", log->id.partition,
                     (long long)log->end);
        }
        while (adopt && log->doubt_count > 0) {
            sim_log_doubt_remove(log, log->doubts[0].batch);
            run->counters->doubtful_lost++;
        }
        if (adopt) {
            log->trim_count = 0;
        }
        return NULL;
    }
    mr_log_offsets(opened, &offsets);
    sim_trace(run, "open p%d: %lld to %lld, acknowledged %lld, %zu in doubt", log->id.partition,
              (long long)offsets.start, (long long)offsets.high_watermark, (long long)log->end,
              log->doubt_count);
    /* A write-behind of this very open may fail where the device has faults. */
    if (offsets.failed && !run->write_faults && !run->failed) {
        sim_fail("partition %d: opens failed", log->id.partition);
    }
    survived = sim_log_judge(log, &offsets, adopt, &lost);
    if (adopt) {
        run->counters->doubtful_survived += survived;
        run->counters->doubtful_lost += lost;
        check_epoch(run, log, opened);
    }
    return opened;
}

static void
check_no_others(struct sim_run *run, unsigned found)
{
    unsigned count = 0;

    for (struct mr_log *log = mr_store_log_next(run->store, NULL); log;
         log = mr_store_log_next(run->store, log)) {
        count++;
    }
    if (count != found) {
        sim_fail("the store holds %u logs, %u are known", count, found);
    }
    for (uint64_t i = 0; i < run->dead_count && i < SIM_DEAD; i++) {
        if (mr_store_log_find(run->store, &run->dead[i])) {
            sim_fail("partition %d has risen again after its delete was acknowledged",
                     run->dead[i].partition);
        }
    }
}

void
sim_judge(struct sim_run *run, bool adopt)
{
    bool whole = !adopt || run->quiet || mr_rng_below(&run->rng, 3) == 0;
    unsigned found = 0;

    for (unsigned i = 0; i < SIM_LOGS; i++) {
        struct mr_log *opened = judge_log(run, run->logs[i], false, adopt);

        found += opened != NULL;
        if (opened && !run->logs[i]->truncating && (whole || mr_rng_below(&run->rng, 3) == 0)) {
            sim_check_log(run, run->logs[i], opened, !adopt);
        }
    }
    for (unsigned i = 0; i < run->dying_count; i++) {
        struct sim_log *log = run->dying[i];

        if (!log->delete_sent && mr_store_log_find(run->store, &log->id)) {
            sim_fail("partition %d has risen again after its delete was acknowledged",
                     log->id.partition);
        }
        found += judge_log(run, log, true, adopt) != NULL;
    }
    check_no_others(run, found);
}

/* Opens a copy. Returns whether it opened; fails on what it may not say. */
static bool
open_copy(struct sim_run *run, struct mr_dev_sim *copy, bool must)
{
    struct mr_store_config config = run->config;
    char reason[256] = "";
    int error;

    run->dev = mr_dev_sim_connect(copy);
    config.dev = run->dev;
    config.on_failed = NULL;
    config.on_low_space = NULL;
    config.on_room = NULL;
    error = mr_store_open(&config, &run->store, reason, sizeof(reason));
    if (error) {
        run->store = NULL;
        sim_trace(run, "rot: refused: %s (%d)", reason, error);
        if (must) {
            sim_fail("refuses to open after mere crashes: %s (%d)", reason, error);
        }
    }
    return error == 0;
}

static void
close_copy(struct sim_run *run, struct mr_dev_sim *copy)
{
    mr_dev_sim_kill(copy);
    if (run->store) {
        mr_store_abandon(run->store);
    }
    run->store = NULL;
    run->dev = NULL;
}

static void
spoil(struct sim_run *run, struct mr_dev_sim *copy, uint64_t begin, uint64_t end)
{
    uint64_t sectors = (end - begin) / MR_DEV_SECTOR;
    uint64_t offset = begin + mr_rng_below(&run->rng, sectors) * MR_DEV_SECTOR;

    mr_dev_sim_rot(copy, offset);
    sim_trace(run, "rot at byte %llu", (unsigned long long)offset);
}

void
sim_rot(struct sim_run *run)
{
    struct mr_dev_sim *copy = mr_dev_sim_copy(run->sim, mr_rng_next(&run->rng));
    uint64_t journal = FIRST_BLOCKS * MR_DEV_BLOCK, data = journal + run->journal_bytes;
    uint64_t kind = mr_rng_below(&run->rng, 8);

    /* An open writes a set that proves the one before it: nothing that was acknowledged is then
     * undecided between tear and rot. */
    open_copy(run, copy, true);
    close_copy(run, copy);
    if (kind < 2) {
        spoil(run, copy, 0, journal);
    } else if (kind < 5) {
        spoil(run, copy, journal, data);
    } else {
        run->counters->rot_data++;
        for (unsigned i = 0; i < ROT_DATA; i++) {
            spoil(run, copy, data, run->device_bytes);
        }
    }
    if (open_copy(run, copy, false)) {
        sim_judge(run, false);
        run->counters->rot_survived++;
    } else {
        run->counters->rot_refused++;
    }
    close_copy(run, copy);
    mr_dev_sim_destroy(copy);
}
