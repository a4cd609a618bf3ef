/* storage/writeback.c: write-behind: inline bytes are written to their place, merged.
 *
 * A block may be written only while recovery could rebuild it without reading its place, from
 * every checkpoint that could still be used: a torn write then loses nothing. */
#include "storage/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SCAN_MAX 64 /* chunks looked at in one step */

int
writeback_init(struct mr_store *store)
{
    store->writes = calloc(WRITES_MAX, sizeof(*store->writes));
    if (!store->writes ||
        posix_memalign((void **)&store->bounces, BLOCK, (size_t)WRITES_MAX * BLOCK)) {
        store->bounces = NULL;
        return -ENOMEM;
    }
    for (unsigned i = 0; i < WRITES_MAX; i++) {
        store->writes[i].bounce = store->bounces + (size_t)i * BLOCK;
        store->writes[i].store = store;
        mr_list_push_back(&store->write_free, &store->writes[i].node);
    }
    return 0;
}

void
writeback_deinit(struct mr_store *store)
{
    free(store->writes);
    free(store->bounces);
}

bool
log_has_cut(const struct mr_log *log, uint64_t generation, uint64_t *cut)
{
    for (unsigned i = 0; i < 3; i++) {
        if (log->cut_generation[i] == generation) {
            *cut = log->cut[i];
            return true;
        }
    }
    *cut = 0;
    return false;
}

/* Takes the place of an entry whose checkpoint recovery cannot use. */
void
log_set_cut(struct mr_log *log, uint64_t generation, uint64_t cut)
{
    const struct mr_store *store = log->store;
    unsigned at = 0;

    for (unsigned i = 0; i < 3; i++) {
        bool used = false;

        for (unsigned u = 0; u < store->usable_count; u++) {
            used = used || store->usable[u].generation == log->cut_generation[i];
        }
        if (log->cut_generation[i] == generation || !used) {
            at = i;
            if (log->cut_generation[i] == generation) {
                break;
            }
        }
    }
    log->cut_generation[at] = generation;
    log->cut[at] = cut;
    log->cut_last = cut;
}

/* Whether recovery from that checkpoint can rebuild the block from the journal, or from what the
 * checkpoint carries. */
bool
block_held(const struct mr_log *log, const struct cache_block *state, uint64_t generation)
{
    uint64_t cut;

    log_has_cut(log, generation, &cut);
    return MUTANT(NO_TAIL_IMAGE) ||
           (state->image > cut &&
            (state->image <= log->store->durable_sequence || MUTANT(PLACE_BEFORE_SET_DURABLE))) ||
           (state->carry_from > 0 && state->carry_from <= generation &&
            generation <= state->carry_to);
}

static bool
can_place(const struct mr_log *log, const struct cache_block *state, uint64_t block)
{
    const struct mr_store *store = log->store;
    uint64_t generation = store->ck.root.generation, cut;

    if (state->fill <= state->placed || (state->writing && !MUTANT(TWO_WRITES_TO_ONE_BLOCK)) ||
        log->failed || block < log->first_block) {
        return false;
    }
    for (unsigned i = 0; i < store->usable_count; i++) {
        if (!block_held(log, state, store->usable[i].generation)) {
            return false;
        }
    }
    /* What the checkpoint in progress waits for is in its place before it counts. */
    return store->ck.phase == CK_NONE || state->need || !log_has_cut(log, generation, &cut) ||
           block_held(log, state, generation);
}

static void
write_done(struct mr_dev_io *io, int result)
{
    struct write_io *write = MR_CONTAINER_OF(io, struct write_io, io);
    struct mr_store *store = write->store;
    struct mr_log *log = write->log;

    store->in_flight--;
    store->stats.writes_in_flight--;
    store->behind_bytes -= write->count * BLOCK;
    log->busy--;
    for (uint32_t i = 0; i < write->count; i++) {
        struct chunk *chunk = log->buried ? NULL : cache_find(log, write->block + i);
        struct cache_block *state;
        uint16_t written = i + 1 == write->count ? write->last_fill : BLOCK;
        bool was;

        if (!chunk) {
            continue;
        }
        state = chunk_state(chunk, write->block + i);
        was = block_is_dirty(state);
        state->writing = 0;
        written = written < state->fill ? written : state->fill;
        if (result == 0 && state->placed < written) {
            state->placed = written;
        }
        if (write->block + i < log->first_block) {
            state->placed = state->fill; /* trimmed meanwhile */
        }
        if (state->need && state->placed >= state->need) {
            cache_need(chunk, (unsigned)(write->block + i - chunk->block), 0);
        }
        cache_update(chunk, (unsigned)(write->block + i - chunk->block), was);
    }
    if (result && !store->failed) {
        log_fail(log);
    }
    if (write->chunk) {
        cache_unpin(store, write->chunk);
    }
    extent_unbusy(store, write->extent);
    mr_list_push_back(&store->write_free, &write->node);
    log_maybe_free(log);
    store_room(store);
    store_drain(store);
}

/* Writes blocks [i, i + count) of the chunk, all in one extent. */
static void
write_submit(struct chunk *chunk, struct extent *extent, unsigned i, unsigned count)
{
    struct mr_log *log = chunk->log;
    struct mr_store *store = log->store;
    struct write_io *write =
        MR_CONTAINER_OF(mr_list_pop_front(&store->write_free), struct write_io, node);
    uint64_t block = chunk->block + i;
    uint16_t fill = chunk->state[i + count - 1].fill;
    unsigned whole = fill == BLOCK ? count : count - 1, slices = 0;

    memset(&write->io, 0, sizeof(write->io));
    write->io.done = write_done;
    write->log = log;
    write->extent = extent;
    write->block = block;
    write->count = count;
    write->last_fill = fill;
    write->chunk = whole ? chunk : NULL;
    if (whole) {
        write->iov[slices++] = (struct iovec){.iov_base = chunk->data + (size_t)i * BLOCK,
                                              .iov_len = (size_t)whole * BLOCK};
        cache_pin(chunk);
    }
    if (whole < count) { /* the log goes on appending to this block */
        memcpy(write->bounce, chunk->data + (size_t)(i + whole) * BLOCK, fill);
        memset(write->bounce + fill, 0, BLOCK - fill);
        write->iov[slices++] = (struct iovec){.iov_base = write->bounce, .iov_len = BLOCK};
    }
    for (unsigned k = i; k < i + count; k++) {
        bool was = block_is_dirty(&chunk->state[k]);

        chunk->state[k].writing = chunk->state[k].fill;
        cache_update(chunk, k, was);
    }
    log->busy++;
    extent->busy++;
    store->in_flight++;
    store->stats.writes_in_flight++;
    store->stats.written_behind_bytes += (uint64_t)count * BLOCK;
    store->behind_bytes += count * BLOCK;
    mr_dev_write(store->dev, &write->io, write->iov, slices,
                 (extent->lba + (block - extent->first_block)) * BLOCK, false);
}

/* One write of the first run of blocks in the chunk that may be written. */
static bool
chunk_write(struct chunk *chunk, bool partial)
{
    struct mr_log *log = chunk->log;
    unsigned i = 0, n = 0;
    struct extent *extent;

    while (i < chunk->blocks && !(can_place(log, &chunk->state[i], chunk->block + i) &&
                                  (partial || chunk->state[i].fill == BLOCK))) {
        i++;
    }
    if (i == chunk->blocks) {
        return false;
    }
    extent = extent_find(log, chunk->block + i);
    MR_ASSERT(extent);
    while (i + n < chunk->blocks && chunk->block + i + n < extent_end(extent) &&
           can_place(log, &chunk->state[i + n], chunk->block + i + n) &&
           (partial || chunk->state[i + n].fill == BLOCK)) {
        n++;
        if (chunk->state[i + n - 1].fill < BLOCK) {
            break; /* only the last block of a write may be partly filled */
        }
    }
    write_submit(chunk, extent, i, n);
    return true;
}

static bool
may_write(const struct mr_store *store)
{
    return store->behind_bytes < WRITES_BYTES && !mr_list_empty(&store->write_free);
}

/* Looks at the front of a list of dirty chunks; what cannot be written yet goes to its back. */
static bool
list_write(struct mr_store *store, struct mr_list *list, bool partial)
{
    bool did = false;

    for (unsigned n = 0; n < SCAN_MAX && !mr_list_empty(list); n++) {
        struct chunk *chunk = MR_CONTAINER_OF(list->next, struct chunk, dirty);

        if (!may_write(store)) {
            break;
        }
        mr_list_remove(&chunk->dirty);
        mr_list_push_back(list, &chunk->dirty);
        while (may_write(store) && chunk_write(chunk, partial)) {
            did = true;
        }
    }
    return did;
}

bool
writeback_step(struct mr_store *store)
{
    bool did = false;

    if (store->failed) {
        return false;
    }
    if (!mr_list_empty(&store->needs)) {
        did = list_write(store, &store->needs, true);
    }
    if (store->dirty_bytes > store->config.dirty_bytes || store->pressure) {
        bool partial = store->pressure || store->dirty_bytes > 2 * store->config.dirty_bytes;

        store->pressure = false;
        did |= list_write(store, &store->dirty, partial);
        if (mr_list_empty(&store->dirty) || partial) {
            did |= list_write(store, &store->needs, true);
        }
    }
    return did;
}
