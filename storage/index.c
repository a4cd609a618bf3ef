/* storage/index.c: sparse indexes: for every 32 KiB of an extent a batch and where it starts.
 *
 * They live in memory only, under a budget; the least recently used goes first. What is missing is
 * learned again while a cold read walks over the extent. */
#include "storage/internal.h"

#include <stdlib.h>

#define INDEX_STEP 32768u

struct index_entry {
    int64_t offset;
    uint32_t distance; /* from the extent's first byte; an extent has at most 16 MiB */
};

struct extent_index {
    struct mr_list lru;
    struct extent *extent;
    uint32_t count, capacity;
    struct index_entry entries[];
};

static uint32_t
index_capacity(const struct extent *extent)
{
    return (uint32_t)((1ull << extent->order) * BLOCK / INDEX_STEP);
}

static size_t
index_size(uint32_t capacity)
{
    return sizeof(struct extent_index) + capacity * sizeof(struct index_entry);
}

void
index_drop(struct mr_store *store, struct extent *extent)
{
    struct extent_index *index = extent->index;

    if (index) {
        mr_list_remove(&index->lru);
        store->index_bytes -= index_size(index->capacity);
        extent->index = NULL;
        free(index);
    }
}

static struct extent_index *
index_make(struct mr_store *store, struct extent *extent)
{
    uint32_t capacity = index_capacity(extent);
    size_t size = index_size(capacity);
    struct extent_index *index;

    if (size > store->config.index_bytes_max) {
        return NULL;
    }
    while (store->index_bytes + size > store->config.index_bytes_max) {
        struct extent_index *oldest =
            MR_CONTAINER_OF(store->indexes.next, struct extent_index, lru);

        index_drop(store, oldest->extent);
    }
    index = malloc(size);
    if (index) {
        store->index_bytes += size;
        mr_list_push_back(&store->indexes, &index->lru);
        index->extent = extent;
        index->count = 0;
        index->capacity = capacity;
        extent->index = index;
    }
    return index;
}

/* A batch starts at `position`; walks come in ascending order, from the extent's first batch on or
 * from an entry. */
void
index_note(struct mr_log *log, struct extent *extent, int64_t offset, uint64_t position,
           int64_t max_timestamp)
{
    struct extent_index *index = extent->index;
    uint32_t distance = (uint32_t)(position - extent->first_block * BLOCK);
    uint32_t last;

    (void)max_timestamp; /* the extent's own maximum is enough for a search by time */
    if (index_capacity(extent) < 2) {
        return;
    }
    last = index && index->count ? index->entries[index->count - 1].distance
                                 : (uint32_t)(extent->first_position - extent->first_block * BLOCK);
    if (distance < last || distance - last < INDEX_STEP) {
        return;
    }
    if (!index) {
        index = index_make(log->store, extent);
    }
    if (index && index->count < index->capacity) {
        index->entries[index->count++] =
            (struct index_entry){.offset = offset, .distance = distance};
    }
}

/* The last entry at or before `offset`. */
bool
index_seek(struct mr_log *log, struct extent *extent, int64_t offset, int64_t *found,
           uint64_t *position)
{
    struct extent_index *index = extent->index;
    uint32_t low = 0, high = index ? index->count : 0;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (index->entries[middle].offset <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) {
        return false;
    }
    mr_list_remove(&index->lru);
    mr_list_push_back(&log->store->indexes, &index->lru);
    *found = index->entries[low - 1].offset;
    *position = extent->first_block * BLOCK + index->entries[low - 1].distance;
    return true;
}

void
index_cut(struct extent *extent, uint64_t position)
{
    struct extent_index *index = extent->index;

    while (index && index->count > 0 &&
           extent->first_block * BLOCK + index->entries[index->count - 1].distance >= position) {
        index->count--;
    }
}
