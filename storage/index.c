/* storage/index.c: sparse indexes: for every 32 KiB of an extent a batch and where it starts.
 *
 * They live in memory under a budget; the least recently used goes first. That of a full extent is
 * written behind its data, and read from there before a cold read walks over the extent; what is
 * missing there is learned again by the walk. No flush waits for it, and nothing depends on it. */
#include "storage/internal.h"

#include <stdlib.h>
#include <string.h>

#define INDEX_STEP MR_INDEX_STEP
#define IOS_MAX    16u /* beyond, an index is not written, and a read walks */

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
    return mr_index_entries_max(extent->order);
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
        extent->index_tried = false;
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

/* ---- on the medium --------------------------------------------------------------------------- */

struct index_io {
    struct mr_dev_io io;
    struct mr_list node; /* store->index_ios */
    struct mr_log *log;
    struct extent *extent;
    struct iovec iov;
};

static struct index_io *
io_make(struct mr_log *log, struct extent *extent)
{
    struct mr_store *store = log->store;
    struct index_io *io = calloc(1, sizeof(*io));
    void *bytes = NULL;

    if (!io || posix_memalign(&bytes, BLOCK, (size_t)mr_index_blocks(extent->order) * BLOCK)) {
        free(io);
        return NULL;
    }
    io->log = log;
    io->extent = extent;
    io->iov = (struct iovec){.iov_base = bytes,
                             .iov_len = (size_t)mr_index_blocks(extent->order) * BLOCK};
    mr_list_push_back(&store->index_ios, &io->node);
    store->index_io_count++;
    store->in_flight++;
    log->busy++;
    extent->busy++;
    return io;
}

static void
io_end(struct index_io *io)
{
    struct mr_log *log = io->log;
    struct mr_store *store = log->store;

    mr_list_remove(&io->node);
    store->index_io_count--;
    extent_unbusy(store, io->extent);
    free(io->iov.iov_base);
    free(io);
    log->busy--;
    log_maybe_free(log);
    store_drain(store);
}

static uint64_t
io_offset(const struct extent *extent)
{
    return (extent->lba + (1ull << extent->order) - mr_index_blocks(extent->order)) * BLOCK;
}

static struct mr_index_header
header_of(const struct mr_log *log, const struct extent *extent)
{
    return (struct mr_index_header){
        .log = log->number, .first_block = extent->first_block, .lba = extent->lba};
}

static void
write_done(struct mr_dev_io *dev_io, int result)
{
    struct index_io *io = MR_CONTAINER_OF(dev_io, struct index_io, io);

    (void)result; /* what is not whole is not used */
    io->log->store->in_flight--;
    io_end(io);
}

/* The extent is full, and durable. */
void
index_write(struct mr_log *log, struct extent *extent)
{
    struct mr_store *store = log->store;
    struct extent_index *index = extent->index;
    struct mr_index_header header = header_of(log, extent);
    struct index_io *io;

    if (extent->kind != MR_EXTENT_INDEXED || !index || index->count == 0 || store->failed ||
        log->failed || store->index_io_count >= IOS_MAX || !(io = io_make(log, extent))) {
        return;
    }
    header.count = index->count;
    for (uint32_t i = 0; i < index->count; i++) {
        mr_index_entry_put(io->iov.iov_base, i, index->entries[i].offset,
                           index->entries[i].distance);
    }
    mr_index_seal(io->iov.iov_base, &header, extent->order, &store->super);
    extent->index_tried = true;
    store->stats.indexes_written++;
    io->io.done = write_done;
    mr_dev_write(store->dev, &io->io, &io->iov, 1, io_offset(extent), false);
}

/* Takes the entries that name batches of the log as it is: it may have been truncated since. */
static void
entries_take(struct mr_log *log, struct extent *extent, const uint8_t *bytes)
{
    struct mr_index_header header = header_of(log, extent);
    struct extent_index *index;

    if (mr_index_check(bytes, &header, extent->order, &log->store->super)) {
        return;
    }
    index = index_make(log->store, extent);
    for (uint32_t i = 0; index && i < header.count; i++) {
        struct index_entry entry;
        uint64_t position;

        mr_index_entry_get(bytes, i, &entry.offset, &entry.distance);
        position = extent->first_block * BLOCK + entry.distance;
        if (position >= extent->first_position && position < extent_end(extent) * BLOCK &&
            position < log->durable_position &&
            (segment_holds(log, position, entry.offset) || MUTANT(STALE_INDEX))) {
            index->entries[index->count++] = entry;
        }
    }
    log->store->stats.indexes_loaded++;
}

static void
load_done(struct mr_dev_io *dev_io, int result)
{
    struct index_io *io = MR_CONTAINER_OF(dev_io, struct index_io, io);
    struct mr_log *log = io->log;
    struct extent *extent = io->extent;
    struct mr_store *store = log->store;
    uint64_t at = extent->first_block * BLOCK;

    store->in_flight--;
    if (result) {
        store->stats.read_errors++;
    } else if (!log->buried && extent->sequence != UINT64_MAX && !extent->index) {
        entries_take(log, extent, io->iov.iov_base);
    }
    reads_wake(log, at, at + 1, false);
    io_end(io);
    if (!store->failed) {
        read_run_ready(store);
    }
}

/* Starts to read the index of a full extent that has none in memory. False: it is of no use. Who
 * waits is woken as if the extent's first byte had been loaded. */
bool
index_load(struct mr_log *log, struct extent *extent)
{
    struct mr_store *store = log->store;
    struct index_io *io;

    if (extent->kind != MR_EXTENT_INDEXED || extent->index || extent->index_tried ||
        extent_end(extent) * BLOCK > log->durable_position || store->failed ||
        store->index_io_count >= IOS_MAX || !(io = io_make(log, extent))) {
        return false;
    }
    extent->index_tried = true; /* also where there is none: the walk learns it */
    io->io.done = load_done;
    mr_dev_read(store->dev, &io->io, &io->iov, 1, io_offset(extent));
    return true;
}

/* The device is gone: what is in flight calls back no more. */
void
index_deinit(struct mr_store *store)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(&store->index_ios))) {
        struct index_io *io = MR_CONTAINER_OF(node, struct index_io, node);

        free(io->iov.iov_base);
        free(io);
    }
}
