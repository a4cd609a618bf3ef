/* storage/extents.c: a log's map from logical blocks to the store's, and what leaves it. */
#include "storage/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct extent *
extent_find(const struct mr_log *log, uint64_t block)
{
    uint32_t low = 0, high = log->extent_count;

    if (high > 0 && log->extents[high - 1]->first_block <= block) {
        low = high - 1; /* most often */
    }
    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (extent_end(log->extents[middle]) <= block) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < log->extent_count && log->extents[low]->first_block <= block ? log->extents[low]
                                                                              : NULL;
}

/* Takes an extent of 2^order blocks, or the largest below that there is, down to 2^least, and
 * leaves `reserve` blocks. */
bool
extent_alloc(struct mr_store *store, unsigned *order, unsigned least, uint64_t reserve,
             uint64_t *lba)
{
    unsigned most = *order;

    do {
        for (unsigned at = most + 1; at-- > least;) {
            if (store->buddy.free_blocks >= (1ull << at) + reserve &&
                mr_buddy_alloc(&store->buddy, at, lba)) {
                *order = at;
                return true;
            }
        }
    } while (discard_skip(store));
    return false;
}

struct extent *
extent_add(struct mr_log *log, uint64_t first_block, const struct mr_extent_ref *ref)
{
    struct extent *extent = calloc(1, sizeof(*extent));

    if (!extent) {
        return NULL;
    }
    if (log->extent_count == log->extent_capacity) {
        uint32_t capacity = log->extent_capacity ? log->extent_capacity * 2 : 1;
        struct extent **extents = realloc(log->extents, capacity * sizeof(*extents));

        if (!extents) {
            free(extent);
            return NULL;
        }
        log->extents = extents;
        log->extent_capacity = capacity;
    }
    mr_list_init(&extent->node);
    extent->first_block = first_block;
    extent->lba = ref->lba;
    extent->order = ref->order;
    extent->kind = ref->kind;
    extent->first_offset = -1;
    extent->first_position = NO_POSITION;
    extent->max_timestamp = INT64_MIN;
    log->extents[log->extent_count++] = extent;
    return extent;
}

/* Its blocks are free. */
static void
extent_dispose(struct mr_store *store, struct extent *extent)
{
    if (!MUTANT(UNDO_BESIDE_EARLY) || extent->lba != 0) {
        mr_buddy_free(&store->buddy, extent->lba, extent->order);
    }
    mr_list_remove(&extent->node);
    index_drop(store, extent);
    free(extent);
    store_room(store);
}

/* Nothing reads or writes what has left its log. */
static void
extent_unused(struct mr_store *store, struct extent *extent)
{
    store->stats.full = false;
    if (!store->config.discard || MUTANT(UNDO_BESIDE_EARLY)) {
        extent_dispose(store, extent);
        return;
    }
    mr_list_remove(&extent->node);
    index_drop(store, extent);
    discard_queue(store, extent);
}

/* The extent has left its log, and that is durable: its blocks are free when nothing reads or
 * writes them any more. */
void
extent_leave(struct mr_store *store, struct extent *extent)
{
    if (store->replaying) { /* nothing is owned yet */
        index_drop(store, extent);
        free(extent);
        return;
    }
    if (extent->busy == 0) {
        extent_unused(store, extent);
        return;
    }
    index_drop(store, extent);
    mr_list_remove(&extent->node);
    mr_list_push_back(&store->leaving, &extent->node);
    extent->sequence = UINT64_MAX; /* marks it as left */
}

void
extent_unbusy(struct mr_store *store, struct extent *extent)
{
    MR_ASSERT(extent->busy > 0);
    extent->busy--;
    if (extent->busy == 0 && extent->sequence == UINT64_MAX) {
        extent_unused(store, extent);
    }
}

/* Where the next extent begins: behind the last one, or where the log goes on after a truncation.
 */
uint64_t
extent_next_block(const struct mr_log *log)
{
    uint64_t have = log->extent_count ? extent_end(log->extents[log->extent_count - 1]) : 0;

    return have > log->end_position / BLOCK ? have : log->end_position / BLOCK;
}

/* How large the log's next extent should be: twice the last one, but no larger than all that the
 * log has. So a log that grows doubles, and one that retention keeps small does not come to hold
 * extents far larger than itself. */
static unsigned
extent_next_order(const struct mr_log *log)
{
    unsigned order = log->extent_count ? log->extents[log->extent_count - 1]->order + 1u : 0;
    uint64_t blocks = 1;

    order = order < log->store->order_max ? order : log->store->order_max;
    for (uint32_t i = log->extent_count; i > 0 && blocks < 1ull << order; i--) {
        blocks += 1ull << log->extents[i - 1]->order;
    }
    while (blocks < 1ull << order) {
        order--;
    }
    return order;
}

/* Makes sure that extents reach to `end_position`; `added` says how many are new, for the set.
 * 0, -ENOSPC or -ENOMEM, nothing is changed then. */
int
extent_reserve(struct mr_log *log, uint64_t end_position, unsigned *added)
{
    struct mr_store *store = log->store;
    uint64_t last = (end_position + BLOCK - 1) / BLOCK;
    uint64_t have = extent_next_block(log);

    *added = 0;
    while (have < last) {
        unsigned order = extent_next_order(log);
        struct mr_extent_ref ref = {0};
        uint64_t lba = 0;
        bool got;

        while (order < store->order_max && (2ull << order) <= last - have) {
            order++;
        }
        got = extent_alloc(store, &order, 0, store->reserve_blocks, &lba);
        ref.lba = lba;
        ref.order = (uint8_t)order;
        ref.kind = order >= MR_INDEX_ORDER_MIN ? MR_EXTENT_INDEXED : MR_EXTENT_PLAIN;
        if (!got || !extent_add(log, have, &ref)) {
            int error = got ? -ENOMEM : -ENOSPC;

            if (got) {
                mr_buddy_free(&store->buddy, lba, order);
            }
            for (; *added > 0; (*added)--) {
                extent_dispose(store, log->extents[--log->extent_count]);
            }
            store_low_space(store);
            return error;
        }
        have += mr_extent_ref_blocks(&ref);
        (*added)++;
    }
    if (*added > 0) {
        store_low_space(store);
    }
    return 0;
}

/* Extents that are in no set yet go back, those that a run is being written to when that has ended:
 * their appends were dropped. */
void
extent_undo(struct mr_log *log)
{
    while (log->extent_count > 0 && log->extents[log->extent_count - 1]->sequence == 0) {
        struct extent *extent = log->extents[--log->extent_count];

        if (MUTANT(UNDO_BESIDE_EARLY)) {
            mr_buddy_free(&log->store->buddy, extent->lba, extent->order);
            extent->lba = 0; /* marks it as free already */
        }
        extent_leave(log->store, extent);
    }
}

void
extent_release_below(struct mr_log *log, uint64_t block)
{
    uint32_t n = 0;

    while (n < log->extent_count && extent_end(log->extents[n]) <= block) {
        n++;
    }
    if (n == 0) {
        return;
    }
    block = extent_end(log->extents[n - 1]);
    cache_drop_below(log, block);
    log->first_block = block;
    for (uint32_t i = 0; i < n; i++) {
        extent_leave(log->store, log->extents[i]);
    }
    memmove(log->extents, log->extents + n, (log->extent_count - n) * sizeof(*log->extents));
    log->extent_count -= n;
}

void
extent_release_all(struct mr_log *log)
{
    for (uint32_t i = 0; i < log->extent_count; i++) {
        extent_leave(log->store, log->extents[i]);
    }
    free(log->extents);
    log->extents = NULL;
    log->extent_count = 0;
    log->extent_capacity = 0;
}

/* A batch was appended: the extents from its start on learn their first batch. */
void
extent_note_batch(struct mr_log *log, int64_t offset, uint64_t position, uint32_t size,
                  int64_t max_timestamp)
{
    for (uint32_t i = log->extent_count; i-- > 0;) {
        struct extent *extent = log->extents[i];

        if (extent->first_block * BLOCK > position) {
            continue; /* it may hold the batch's end, but no batch starts there */
        }
        if (extent->first_position == NO_POSITION) {
            extent->first_position = position;
            extent->first_offset = offset;
            if (extent_end(extent) * BLOCK <= position) {
                continue; /* a batch before went through all of it */
            }
        }
        if (extent_end(extent) * BLOCK <= position) {
            break;
        }
        if (extent->max_timestamp < max_timestamp) {
            extent->max_timestamp = max_timestamp;
        }
        index_note(log, extent, offset, position, max_timestamp);
    }
    (void)size; /* only where a batch starts matters here */
}

/* Extents that end at or below this logical block hold nothing from `offset` on. Only durable
 * batches decide, so that replay comes to the same extents. */
uint64_t
extent_trim_block(const struct mr_log *log, int64_t offset)
{
    uint64_t block = log->first_block;

    if (offset >= log->durable) {
        return log->durable_position / BLOCK;
    }
    for (uint32_t i = 0; i < log->extent_count; i++) {
        const struct extent *extent = log->extents[i];

        if (extent->first_position >= log->durable_position || extent->first_offset > offset) {
            break;
        }
        block = extent->first_block;
    }
    return block;
}

/* Batches at or above the position never were. */
void
extent_forget_above(struct mr_log *log, uint64_t position)
{
    for (uint32_t i = log->extent_count; i-- > 0;) {
        struct extent *extent = log->extents[i];

        index_cut(extent, position);
        if (extent->first_position < position) {
            break; /* that of the extents before it is smaller still */
        }
        extent->first_position = NO_POSITION;
        extent->first_offset = -1;
    }
}
