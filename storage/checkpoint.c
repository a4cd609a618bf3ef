/* storage/checkpoint.c: what lets the journal forget: chain, flush, root.
 *
 *   NONE -> CUT -> CHAIN -> FLUSH -> ROOT -> NONE
 *           CUT, CHAIN -> BROKEN -> NONE          a chain write failed or no space: tried again
 *
 * Logs are cut one by one, always between two groups; an entry holds its log up to the sequence
 * durable then. The root's first sequence is that of the checkpoint's beginning. */
#include "storage/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/crc32c.h"

#define SEGMENT_BYTES  262144u
#define SEGMENTS_AHEAD 4u  /* segments that wait or are in flight before cutting pauses */
#define CUTS_MIN       64u /* logs cut between two groups, */
#define CUTS_MAX       512u
#define CUTS_PART      16u /* so that all are while a part of the journal is filled */
#define RETRY_NS       (100 * MR_NS_PER_MS)
#define TAILS_MAX      (4u << 20) /* of a chain: what it carries only to spare small writes */

static void chain_pump(struct mr_store *store);

int
checkpoint_init(struct mr_store *store)
{
    struct checkpoint *ck = &store->ck;

    if (posix_memalign((void **)&ck->block, BLOCK, BLOCK)) {
        ck->block = NULL;
        return -ENOMEM;
    }
    return 0;
}

static void
segment_free(struct checkpoint *ck, struct ck_segment *segment)
{
    mr_list_remove(&segment->node);
    ck->segments_count--;
    if (ck->tail == segment) {
        ck->tail = NULL;
    }
    free(segment->data);
    free(segment);
}

void
checkpoint_deinit(struct mr_store *store)
{
    struct checkpoint *ck = &store->ck;

    while (!mr_list_empty(&ck->segments)) {
        segment_free(ck, MR_CONTAINER_OF(ck->segments.next, struct ck_segment, node));
    }
    while (!mr_list_empty(&ck->writes)) { /* the device is gone, they call back no more */
        struct ck_io *write = MR_CONTAINER_OF(mr_list_pop_front(&ck->writes), struct ck_io, node);

        free(write);
    }
    free(ck->block);
}

/* By level, not by edge: it may take two in a row. */
bool
checkpoint_due(const struct mr_store *store)
{
    return journal_used(store) * 2 >= store->ring_soft;
}

/* The journal is replayed from here on. */
static void
root_start(struct mr_store *store)
{
    struct mr_root *root = &store->ck.root;

    root->start_sequence = store->durable_sequence + 1;
    root->start_position = store->durable_position;
    root->previous_crc = store->durable_crc;
}

void
checkpoint_begin(struct mr_store *store)
{
    struct checkpoint *ck = &store->ck;
    uint64_t generation = ck->root.generation;

    MR_ASSERT(ck->phase == CK_NONE);
    memset(&ck->root, 0, sizeof(ck->root));
    ck->root.generation = generation + 1; /* a broken one's is not used again */
    root_start(store);
#ifdef MR_MUTANTS
    ck->begun = store->durable_sequence;
#endif
    ck->root.incarnation = store->super.incarnation;
    ck->root.chain_crc = mr_format_crc_seed(&store->super);
    ck->next =
        mr_list_empty(&store->logs) ? NULL : MR_CONTAINER_OF(store->logs.next, struct mr_log, node);
    ck->broken = false;
    ck->phase = CK_CUT;
}

static void
ck_advance_next(struct mr_store *store)
{
    struct mr_list *node = store->ck.next->node.next;

    store->ck.next = node == &store->logs ? NULL : MR_CONTAINER_OF(node, struct mr_log, node);
}

/* The log is about to leave the store's list. */
void
checkpoint_log_gone(struct mr_log *log)
{
    if (log->store->ck.next == log) {
        ck_advance_next(log->store);
    }
    mr_list_remove(&log->ck_node);
}

/* Its blocks will not be placed any more: an entry that waits for them is made again. */
void
checkpoint_log_failed(struct mr_log *log)
{
    struct mr_store *store = log->store;

    if (store->ck.phase == CK_CUT && log->need_blocks > 0) {
        for (uint32_t c = 0; c < log->chunk_count; c++) {
            for (unsigned i = 0; i < log->chunks[c]->blocks; i++) {
                cache_need(log->chunks[c], i, 0);
            }
        }
        if (mr_list_empty(&log->ck_node)) {
            mr_list_push_back(&store->ck.again, &log->ck_node);
        }
    }
}

/* ---- the chain ------------------------------------------------------------------------------- */

static void
chain_break(struct mr_store *store)
{
    store->ck.broken = true;
}

static void
chain_append(struct mr_store *store, const void *bytes, size_t size)
{
    struct checkpoint *ck = &store->ck;
    const uint8_t *from = bytes;

    if (ck->broken) {
        return;
    }
    ck->root.chain_crc = mr_crc32c(ck->root.chain_crc, bytes, size);
    ck->root.chain_bytes += size;
    while (size > 0) {
        struct ck_segment *segment = ck->tail;
        size_t n;

        if (!segment) {
            segment = calloc(1, sizeof(*segment));
            if (!segment || posix_memalign((void **)&segment->data, BLOCK, SEGMENT_BYTES)) {
                free(segment);
                chain_break(store);
                return;
            }
            mr_list_push_back(&ck->segments, &segment->node);
            ck->segments_count++;
            ck->tail = segment;
        }
        n = SEGMENT_BYTES - segment->size < size ? SEGMENT_BYTES - segment->size : size;
        memcpy(segment->data + segment->size, from, n);
        segment->size += (uint32_t)n;
        from += n;
        size -= n;
        if (segment->size == SEGMENT_BYTES) {
            ck->tail = NULL;
        }
    }
}

static void
chain_write_done(struct mr_dev_io *io, int result)
{
    struct ck_io *write = MR_CONTAINER_OF(io, struct ck_io, io);
    struct mr_store *store = write->store;
    struct ck_segment *segment = write->segment;

    store->in_flight--;
    store->ck.in_flight--;
    segment->in_flight--;
    if (result) {
        /* Given up until the next open; the next try takes other blocks. */
        for (uint32_t i = 0; i < store->ck.root.extent_count; i++) {
            struct mr_extent_ref *ref = &store->ck.root.extents[i];

            if (ref->lba == write->lba && store->shunned_count < SHUNNED_MAX) {
                store->shunned[store->shunned_count++] =
                    (struct shunned){.lba = ref->lba, .order = ref->order};
                *ref = store->ck.root.extents[--store->ck.root.extent_count];
                break;
            }
        }
        chain_break(store);
    }
    if (segment->in_flight == 0) {
        segment_free(&store->ck, segment);
    }
    mr_list_remove(&write->node);
    free(write);
    store_drain(store);
}

/* Writes one piece of a segment to an extent of its own. False: no space, no memory. */
static bool
piece_write(struct mr_store *store, struct ck_segment *segment, uint32_t from, uint32_t *blocks)
{
    struct checkpoint *ck = &store->ck;
    struct mr_root *root = &ck->root;
    unsigned order = 31u - (unsigned)__builtin_clz(*blocks);
    struct ck_io *write;
    uint64_t lba;

    if (!extent_alloc(store, &order, 0, 0, &lba)) {
        return false;
    }
    write = root->extent_count < MR_ROOT_EXTENTS_MAX ? calloc(1, sizeof(*write)) : NULL;
    if (!write) {
        mr_buddy_free(&store->buddy, lba, order);
        return false;
    }
    root->extents[root->extent_count++] =
        (struct mr_extent_ref){.lba = lba, .order = (uint8_t)order};
    *blocks = 1u << order;
    mr_list_push_back(&ck->writes, &write->node);
    write->store = store;
    write->segment = segment;
    write->lba = lba;
    write->order = (uint8_t)order;
    write->io.done = chain_write_done;
    write->iov.iov_base = segment->data + (size_t)from * BLOCK;
    write->iov.iov_len = (size_t)*blocks * BLOCK;
    segment->in_flight++;
    store->in_flight++;
    store->ck.in_flight++;
    store->stats.checkpoint_bytes += write->iov.iov_len;
    mr_dev_write(store->dev, &write->io, &write->iov, 1, lba * BLOCK, false);
    return true;
}

/* Submits every segment that is complete. */
static void
chain_pump(struct mr_store *store)
{
    struct checkpoint *ck = &store->ck;

    MR_LIST_FOR_EACH(node, &ck->segments)
    {
        struct ck_segment *segment = MR_CONTAINER_OF(node, struct ck_segment, node);
        uint32_t blocks = mr_set_blocks(segment->size), at = 0;

        if (segment == ck->tail || segment->in_flight > 0) {
            continue;
        }
        memset(segment->data + segment->size, 0, (size_t)blocks * BLOCK - segment->size);
        while (at < blocks && !ck->broken) {
            uint32_t n = blocks - at;

            if (!piece_write(store, segment, at, &n)) {
                chain_break(store);
                break;
            }
            at += n;
        }
        if (segment->in_flight == 0) {
            segment_free(ck, segment); /* broken before anything of it was written */
        }
    }
}

/* ---- cutting --------------------------------------------------------------------------------- */

static uint16_t
durable_fill(const struct mr_log *log, const struct cache_block *state, uint64_t block)
{
    uint64_t at = block * BLOCK;
    uint64_t durable = log->durable_position > at ? log->durable_position - at : 0;

    return durable < state->fill ? (uint16_t)durable : state->fill;
}

/* A block that the log still appends to is carried rather than placed: a write of it would be
 * small, and is needed once more when the block is full. One that was not appended to since the cut
 * before is placed: else an idle log's tail would be carried for ever. */
static bool
tail_stays(const struct mr_log *log, const struct cache_block *state, uint64_t block)
{
    return block == log->durable_position / BLOCK && state->image > log->cut_last &&
           log->store->ck.root.chain_bytes < TAILS_MAX;
}

/* Decides for every dirty block whether the checkpoint waits until it is in its place or carries
 * it. Returns how many it carries, and their size in the chain. */
static uint32_t
cut_blocks(struct mr_log *log, size_t *size)
{
    struct mr_store *store = log->store;
    uint64_t generation = store->ck.root.generation;
    uint32_t carried = 0;

    *size = 0;
    for (uint32_t c = 0; c < log->chunk_count; c++) {
        struct chunk *chunk = log->chunks[c];

        for (unsigned i = 0; i < chunk->blocks && chunk->dirty_blocks > 0; i++) {
            struct cache_block *state = &chunk->state[i];
            uint16_t fill = durable_fill(log, state, chunk->block + i);
            bool carry = log->failed || tail_stays(log, state, chunk->block + i);

            if (!block_is_dirty(state) || fill == 0 || chunk->block + i < log->first_block) {
                continue;
            }
            for (unsigned u = 0; u < store->usable_count; u++) {
                carry = carry || !block_held(log, state, store->usable[u].generation);
            }
            if (!carry) {
                if (fill > state->placed) {
                    cache_need(chunk, i, fill);
                }
                continue;
            }
            cache_need(chunk, i, 0);
            if (MUTANT(FORGOTTEN_CARRY)) {
                continue;
            }
            if (state->carry_to == 0 ||
                state->carry_to < store->usable[store->usable_count - 1].generation) {
                state->carry_from = generation;
            }
            state->carry_to = generation;
            carried++;
            *size += MR_ENTRY_CARRY_SIZE + ((fill + 7u) & ~7u);
        }
    }
    return carried;
}

static void
chain_carries(struct mr_log *log)
{
    struct mr_store *store = log->store;

    for (uint32_t c = 0; c < log->chunk_count; c++) {
        struct chunk *chunk = log->chunks[c];

        for (unsigned i = 0; i < chunk->blocks && chunk->dirty_blocks > 0; i++) {
            struct cache_block *state = &chunk->state[i];
            uint16_t fill = durable_fill(log, state, chunk->block + i);
            static const uint8_t zeros[8];
            uint8_t head[MR_ENTRY_CARRY_SIZE];

            if (!block_is_dirty(state) || fill == 0 || chunk->block + i < log->first_block ||
                state->carry_to != store->ck.root.generation) {
                continue;
            }
            mr_entry_carry_encode(chunk->block + i, fill, head);
            chain_append(store, head, sizeof(head));
            chain_append(store, chunk->data + (size_t)i * BLOCK, fill);
            chain_append(store, zeros, (8u - fill % 8u) % 8u);
            store->stats.carried_blocks++;
        }
    }
}

static void
chain_extents(struct mr_log *log, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct extent *extent = log->extents[i];
        bool known = extent->first_position < log->durable_position;
        struct mr_entry_extent out = {
            .ref = {.lba = extent->lba, .order = extent->order, .kind = extent->kind},
            .first_block = extent->first_block,
            .first_offset = known ? extent->first_offset : -1,
            .first_position = known ? extent->first_position : NO_POSITION,
            .max_timestamp = extent->max_timestamp,
        };
        uint8_t bytes[MR_ENTRY_EXTENT_SIZE];

        mr_entry_extent_encode(&out, bytes);
        chain_append(log->store, bytes, sizeof(bytes));
    }
}

static uint32_t
durable_segments(const struct mr_log *log)
{
    uint32_t n = log->segment_count;

    while (n > 0 && log->segments[n - 1].first_offset >= log->durable) {
        n--;
    }
    return n;
}

static void
chain_segments(struct mr_log *log, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct log_segment *segment = &log->segments[i];
        struct mr_entry_segment out = {
            .first_offset = segment->first_offset,
            .position = segment->position,
            .end = segment->end < log->durable_position ? segment->end : log->durable_position,
            .first_timestamp = segment->first_timestamp,
            .max_timestamp = segment->max_timestamp,
        };
        uint8_t bytes[MR_ENTRY_SEGMENT_SIZE];

        mr_entry_segment_encode(&out, bytes);
        chain_append(log->store, bytes, sizeof(bytes));
    }
}

static uint32_t
durable_epochs(const struct mr_log *log)
{
    uint32_t n = 0;

    while (n < log->epoch_count && log->epochs[n].start < log->durable) {
        n++;
    }
    return n;
}

/* The entry is the log as of the last durable set; later appends bring a tail image along. */
static void
cut_log(struct mr_log *log)
{
    struct mr_store *store = log->store;
    struct mr_entry entry = {
        .log = log->number,
        .topic_id = log->id.topic_id,
        .partition = log->id.partition,
        .cut = store->durable_sequence,
        .start = log->start,
        .end = log->durable,
        .end_position = log->durable_position,
        .epoch_count = durable_epochs(log),
        .segment_count = durable_segments(log),
        .clean = log->clean,
        .horizon = log->horizon,
    };
    uint8_t bytes[MR_ENTRY_HEADER_SIZE];
    size_t carry_size, windows_size = producer_size(log);
    uint8_t *windows = malloc(windows_size ? windows_size : 1);

    if (!windows) {
        chain_break(store);
        return;
    }
    while (entry.extent_count < log->extent_count &&
           log->extents[entry.extent_count]->sequence != 0) {
        entry.extent_count++;
    }
    entry.carry_count = cut_blocks(log, &carry_size);
    producer_encode(log, windows, &entry.producer_count);
    entry.size = (uint32_t)(MR_ENTRY_HEADER_SIZE + entry.extent_count * MR_ENTRY_EXTENT_SIZE +
                            entry.segment_count * MR_ENTRY_SEGMENT_SIZE +
                            entry.epoch_count * MR_ENTRY_EPOCH_SIZE + windows_size + carry_size);
    mr_entry_header_encode(&entry, bytes);
    chain_append(store, bytes, sizeof(bytes));
    chain_extents(log, entry.extent_count);
    chain_segments(log, entry.segment_count);
    for (uint32_t i = 0; i < entry.epoch_count; i++) {
        mr_entry_epoch_encode(log->epochs[i].epoch, log->epochs[i].start, bytes);
        chain_append(store, bytes, MR_ENTRY_EPOCH_SIZE);
    }
    chain_append(store, windows, windows_size);
    chain_carries(log);
    free(windows);
    log_set_cut(log, store->ck.root.generation, entry.cut);
    store->ck.root.entries++;
}

#ifdef MR_MUTANTS
/* The checkpoint holds what was durable when it began, and starts with the lowest cut: the first,
 * cuts ascend. */
static bool
lowest_cut_skips(struct mr_store *store, const struct mr_log *log)
{
    if (log->cut_last == 0 && log->extent_count > 0 &&
        log->extents[0]->sequence > store->ck.begun) {
        return true;
    }
    if (store->ck.root.entries == 0) {
        root_start(store);
    }
    return false;
}
#endif

/* What waits to be placed is known when all logs are cut: where groups are large, few of them fit
 * into the journal until then. */
static unsigned
cuts_per_step(const struct mr_store *store)
{
    uint64_t n = (uint64_t)store->log_count * store->flying.blocks * CUTS_PART / store->ring_soft;

    return n < CUTS_MIN ? CUTS_MIN : n > CUTS_MAX ? CUTS_MAX : (unsigned)n;
}

static bool
cut_step(struct mr_store *store)
{
    struct checkpoint *ck = &store->ck;
    unsigned n = 0, max = cuts_per_step(store);

    if (store->state != GROUP_NONE) {
        return false;
    }
    for (; n < max && !ck->broken && ck->segments_count < SEGMENTS_AHEAD; n++) {
        if (ck->next) {
            struct mr_log *log = ck->next;

            ck_advance_next(store);
#ifdef MR_MUTANTS
            if (MUTANT(ROOT_FROM_LOWEST_CUT) && log->created && lowest_cut_skips(store, log)) {
                continue;
            }
#endif
            if (log->created) {
                cut_log(log);
            }
        } else if (!mr_list_empty(&ck->again)) {
            cut_log(MR_CONTAINER_OF(mr_list_pop_front(&ck->again), struct mr_log, ck_node));
        } else {
            break;
        }
    }
    return n > 0;
}

/* ---- flush and root -------------------------------------------------------------------------- */

static void
extents_free(struct mr_store *store, const struct mr_extent_ref *extents, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        mr_buddy_free(&store->buddy, extents[i].lba, extents[i].order);
    }
}

static void
root_durable(struct mr_store *store)
{
    struct checkpoint *ck = &store->ck;
    struct usable *newest = &store->usable[1];

    if (store->usable_count == 2) {
        extents_free(store, store->usable[0].extents, store->usable[0].extent_count);
        store->usable[0] = store->usable[1];
    }
    store->usable_count = 2;
    newest->generation = ck->root.generation;
    newest->start_position = ck->root.start_position;
    newest->start_sequence = ck->root.start_sequence;
    newest->extent_count = ck->root.extent_count;
    memcpy(newest->extents, ck->root.extents, sizeof(newest->extents));
    store->root_slot = 1 - store->root_slot;
    store->stats.checkpoints++;
    ck->phase = CK_NONE;
    store_room(store);
}

static void
root_done(struct mr_dev_io *io, int result)
{
    struct mr_store *store = MR_CONTAINER_OF(io, struct mr_store, ck.io);

    store->in_flight--;
    if (result) {
        store_fail(store);
    } else if (!store->failed) {
        root_durable(store);
    }
    store_drain(store);
}

static void
root_write(struct mr_store *store)
{
    struct checkpoint *ck = &store->ck;

    ck->root.last_sequence = store->durable_sequence;
    ck->root.log_next = store->log_next;
    ck->root.size_blocks = store->size_blocks;
    mr_root_encode(&ck->root, &store->super, ck->block);
    ck->iov = (struct iovec){.iov_base = ck->block, .iov_len = BLOCK};
    ck->io.done = root_done;
    ck->phase = CK_ROOT;
    store->in_flight++;
    mr_dev_write(store->dev, &ck->io, &ck->iov, 1,
                 (MR_FORMAT_ROOT_LBA + 1u - store->root_slot) * (uint64_t)BLOCK, true);
}

static void
flush_done(struct mr_dev_io *io, int result)
{
    struct mr_store *store = MR_CONTAINER_OF(io, struct mr_store, ck.io);

    store->in_flight--;
    if (result) {
        store_fail(store);
    } else if (!store->failed) {
        root_write(store);
    }
    store_drain(store);
}

/* The chain could not be written: its blocks are free again, another one follows. */
static void
broken_step(struct mr_store *store)
{
    struct checkpoint *ck = &store->ck;

    while (!mr_list_empty(&ck->segments)) {
        segment_free(ck, MR_CONTAINER_OF(ck->segments.next, struct ck_segment, node));
    }
    while (!mr_list_empty(&ck->again)) {
        mr_list_pop_front(&ck->again);
    }
    extents_free(store, ck->root.extents, ck->root.extent_count);
    ck->root.extent_count = 0;
    if (store->shunned_count == SHUNNED_MAX || store->buddy.free_blocks < store->reserve_blocks) {
        /* Every kept block failed a write once: try them again. */
        while (store->shunned_count > 0) {
            const struct shunned *shunned = &store->shunned[--store->shunned_count];

            mr_buddy_free(&store->buddy, shunned->lba, shunned->order);
        }
    }
    ck->retry_ns = mr_clock_now_ns(store->config.clock) + RETRY_NS;
    ck->phase = CK_NONE;
}

bool
checkpoint_step(struct mr_store *store)
{
    struct checkpoint *ck = &store->ck;

    if (store->failed) {
        return false;
    }
    switch (ck->phase) {
    case CK_CUT: {
        bool did = !ck->broken && cut_step(store);

        chain_pump(store);
        if (ck->broken) {
            ck->phase = CK_BROKEN;
            return true;
        }
        if (ck->next || !mr_list_empty(&ck->again) || ck->needs > 0) {
            return did;
        }
        ck->tail = NULL; /* the last segment is complete, too */
        if (MUTANT(ROOT_STARTS_LATE)) {
            root_start(store);
        }
        ck->phase = CK_CHAIN;
        chain_pump(store);
        return true;
    }
    case CK_CHAIN:
        if (ck->broken) {
            ck->phase = CK_BROKEN;
            return true;
        }
        if (!mr_list_empty(&ck->segments)) {
            return false;
        }
        ck->phase = CK_FLUSH;
        ck->io.done = flush_done;
        store->in_flight++;
        store->stats.flushes++;
        mr_dev_flush(store->dev, &ck->io);
        return true;
    case CK_BROKEN:
        if (ck->in_flight > 0) {
            return false;
        }
        broken_step(store);
        return true;
    case CK_NONE:
    case CK_FLUSH:
    case CK_ROOT:
        break;
    }
    return false;
}

/* A whole checkpoint with nothing beside it: at open and close. Blocking. */
int
checkpoint_sync(struct mr_store *store)
{
    uint64_t before = store->stats.checkpoints;

    while (store->stats.checkpoints == before) {
        bool did;

        if (store->failed) {
            return -EIO;
        }
        if (store->ck.phase == CK_NONE) {
            checkpoint_begin(store);
        }
        did = checkpoint_step(store);
        did |= writeback_step(store);
        if (store->in_flight > 0) {
            int error = mr_dev_wait(store->dev);

            if (error) {
                return error;
            }
        } else if (!did && store->ck.phase != CK_NONE) {
            return -EIO; /* a block that may not be placed: never, by the rules */
        }
    }
    return 0;
}
