/* storage/runs.c: direct runs: the whole blocks of a log's part of a group, straight to their
 * place.
 *
 * A run's blocks are fresh: nothing that was acknowledged lies in them, and until the set that
 * names them is durable nobody looks for anything there. So a run need not wait for its set: once
 * it is clear that the filling group will have runs, blocks are written as they become full
 * ("early"), beside the set, the runs and the flush of the group before. The group counts these
 * writes as its own: its flush is submitted when they have all ended, and one that failed makes it
 * void.
 *
 * What of the filling group is dropped (a void of the group before, a deletion) leaves its blocks
 * only when the writes have ended: extents and memory are held by each. */
#include "storage/internal.h"

#include <stdlib.h>
#include <string.h>

#define EARLY_BLOCKS 16u   /* that a further early write of the same log has at least */
#define EARLY_MAX    1024u /* early writes in flight */
#define KICK_BYTES   262144u

static void
run_failed(struct mr_log *log, struct group *group)
{
    if (MUTANT(ACK_BESIDE_FAILED_WRITE)) {
        return;
    }
    if (group == &log->store->filling) {
        log->early_failed = log->early != 0 && !MUTANT(EARLY_FAILURE_FORGOTTEN);
    } else if (!mr_list_empty(&log->fly_node)) { /* else it was dropped meanwhile */
        log->run_failed = true;
        group->any_failed = true;
    }
}

static struct group *
run_group(struct mr_store *store, uint64_t number)
{
    return number == store->flying.number ? &store->flying : &store->filling;
}

static void
run_done(struct mr_dev_io *io, int result)
{
    struct run_io *run = MR_CONTAINER_OF(io, struct run_io, io);
    struct mr_store *store = run->store;
    struct mr_log *log = run->log;
    struct group *group = run_group(store, run->group);

    store->in_flight--;
    if (run->group != 0) {
        group->in_flight--;
    }
    if (result) {
        run_failed(log, group);
    }
    for (unsigned i = 0; i < run->count; i++) {
        cache_unpin(store, run->chunks[i]);
    }
    extent_unbusy(store, run->extent);
    log->busy--;
    log_maybe_free(log);
    mr_list_remove(&run->node);
    mr_list_push_front(&store->run_free, &run->node);
    if (group == &store->flying) {
        journal_written(store);
    }
}

static struct run_io *
run_take(struct mr_log *log, struct group *group)
{
    struct mr_store *store = log->store;
    struct mr_list *node = mr_list_pop_front(&store->run_free);
    struct run_io *run = node ? MR_CONTAINER_OF(node, struct run_io, node) : malloc(sizeof(*run));

    if (run) {
        memset(&run->io, 0, sizeof(run->io));
        mr_list_push_back(&store->run_busy, &run->node);
        run->io.done = run_done;
        run->store = store;
        run->log = log;
        run->group = group->number;
        run->count = 0;
        if (group == &store->filling && MUTANT(EARLY_NOT_AWAITED)) {
            run->group = 0;
        }
    }
    return run;
}

/* The blocks go to their place now; nothing of them will be in the journal. */
static void
note_run(struct mr_log *log, uint64_t block, uint64_t end)
{
    struct chunk *chunk = NULL;

    for (; block < end; block++) {
        struct cache_block *state;
        bool was;

        if (!chunk || block >= chunk->block + chunk->blocks) {
            chunk = cache_find(log, block);
        }
        state = chunk_state(chunk, block);
        was = block_is_dirty(state);
        state->placed = BLOCK;
        cache_update(chunk, (unsigned)(block - chunk->block), was);
    }
}

/* Writes whole blocks [block, end) of the log, which are the group's, from where they lie in
 * memory. */
static void
runs_submit(struct mr_log *log, struct group *group, uint64_t block, uint64_t end)
{
    struct mr_store *store = log->store;

    note_run(log, block, end);
    while (block < end) {
        struct extent *extent = extent_find(log, block);
        uint64_t stop = extent_end(extent) < end ? extent_end(extent) : end;
        struct run_io *run = run_take(log, group);
        uint64_t from = block;

        if (!run) { /* no memory for the request: as if the device had refused it */
            run_failed(log, group);
            return;
        }
        for (; block < stop && run->count < RUN_SLICES; run->count++) {
            struct chunk *chunk = cache_find(log, block);
            uint64_t chunk_stop = chunk->block + chunk->blocks;

            chunk_stop = chunk_stop < stop ? chunk_stop : stop;
            run->iov[run->count].iov_base = chunk->data + (block - chunk->block) * BLOCK;
            run->iov[run->count].iov_len = (chunk_stop - block) * BLOCK;
            run->chunks[run->count] = chunk;
            cache_pin(chunk);
            block = chunk_stop;
        }
        run->extent = extent;
        extent->busy++;
        log->busy++;
        store->in_flight++;
        if (run->group != 0) {
            group->in_flight++;
        }
        store->stats.direct_bytes += (block - from) * BLOCK;
        mr_dev_write(store->dev, &run->io, run->iov, run->count,
                     (extent->lba + (from - extent->first_block)) * BLOCK, false);
    }
}

/* The first block that a run of the log's part of the filling group may have. */
uint64_t
run_first(const struct mr_log *log)
{
    return MUTANT(RUN_STARTS_IN_TAIL) ? log->set_position / BLOCK
                                      : (log->set_position + BLOCK - 1) / BLOCK;
}

static bool
is_large(const struct mr_log *log)
{
    return log->end_position - log->set_position >= log->store->config.direct_run_bytes &&
           (log->set_position + BLOCK - 1) / BLOCK < log->end_position / BLOCK;
}

/* Whether the log goes direct in the set that is made of the filling group. Where all of it is
 * little, one write and its flush are done sooner than two beside each other and a flush behind
 * them. */
bool
run_is_due(const struct mr_log *log)
{
    return log->early != 0 || (is_large(log) && log->store->filling.bytes > log->store->lone_bytes);
}

static void
early_submit(struct mr_log *log)
{
    struct mr_store *store = log->store;
    uint64_t first = log->early ? log->early : run_first(log);
    uint64_t end = log->end_position / BLOCK;

    if (!is_large(log) || end < first + (log->early ? EARLY_BLOCKS : 1) ||
        store->filling.in_flight >= EARLY_MAX) {
        return;
    }
    log->early = end;
    store->stats.early_runs++;
    store->run_unkicked += (end - first) * BLOCK;
    runs_submit(log, &store->filling, first, end);
    if (store->run_unkicked >= KICK_BYTES) {
        store->run_unkicked = 0;
        mr_dev_kick(store->dev);
    }
}

/* The log has joined the filling group, or has more in it. */
void
runs_early(struct mr_log *log)
{
    struct group *group = &log->store->filling;

    if (group->early) {
        early_submit(log);
    } else if (group->bytes > log->store->lone_bytes) {
        group->early = true;
        MR_LIST_FOR_EACH(node, &group->logs)
        {
            early_submit(MR_CONTAINER_OF(node, struct mr_log, fill_node));
        }
    }
}

/* The log's part of the group is in the set: what of its run is not being written from block
 * `early` on is written now. `failed`: a write of it failed before. */
void
runs_fly(struct mr_log *log, uint64_t early, bool failed)
{
    if (failed) {
        run_failed(log, &log->store->flying);
    }
    runs_submit(log, &log->store->flying, early, log->set_position / BLOCK);
}
