/* storage/store.c: a store's life: format, open, tick, close, and what is owed to callers. */
#include "storage/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/internal.h"
#include "storage/open.h"

/* ---- blocking operations, for format, open and close ----------------------------------------- */

struct sync_io {
    struct mr_dev_io io;
    bool done;
    int result;
};

static void
sync_done(struct mr_dev_io *io, int result)
{
    struct sync_io *sync = MR_CONTAINER_OF(io, struct sync_io, io);

    sync->done = true;
    sync->result = result;
}

/* @kind is 'r', 'w', 'W' (a write with FUA) or 'f'. 0 or -errno. */
int
store_sync(struct mr_dev *dev, char kind, void *data, size_t size, uint64_t offset)
{
    struct sync_io sync;
    struct iovec iov = {.iov_base = data, .iov_len = size};

    memset(&sync, 0, sizeof(sync));
    sync.io.done = sync_done;
    if (kind == 'r') {
        mr_dev_read(dev, &sync.io, &iov, 1, offset);
    } else if (kind == 'f') {
        mr_dev_flush(dev, &sync.io);
    } else {
        mr_dev_write(dev, &sync.io, &iov, 1, offset, kind == 'W');
    }
    while (!sync.done) {
        int error = mr_dev_wait(dev);

        if (error) {
            return error;
        }
    }
    return sync.result;
}

/* ---- format ---------------------------------------------------------------------------------- */

static int
format_write(struct mr_dev *dev, const struct mr_super *super, uint8_t *block)
{
    struct mr_root root = {
        .generation = 1,
        .start_sequence = 1,
        .log_next = 1,
        .size_blocks = super->size_blocks,
        .chain_crc = mr_format_crc_seed(super),
    };
    int error = 0;

    /* What was there before must not be found in part: nothing is ours until the end. */
    memset(block, 0, BLOCK);
    for (unsigned i = 0; i < MR_FORMAT_JOURNAL_LBA && !error; i++) {
        error = store_sync(dev, 'W', block, BLOCK, (uint64_t)i * BLOCK);
    }
    if (!error) {
        mr_root_encode(&root, super, block);
        error = store_sync(dev, 'W', block, BLOCK, MR_FORMAT_ROOT_LBA * (uint64_t)BLOCK);
    }
    mr_super_encode(super, block);
    for (unsigned i = 0; i < 2 && !error; i++) {
        error = store_sync(dev, 'W', block, BLOCK, (MR_FORMAT_SUPER_LBA + i) * (uint64_t)BLOCK);
    }
    return error;
}

int
mr_store_format(struct mr_dev *dev, const struct mr_store_format *format)
{
    struct mr_super super = {
        .version = MR_FORMAT_VERSION,
        .store_id = format->store_id,
        .cluster_id = format->cluster_id,
        .node_id = format->node_id,
        .store_index = format->store_index,
        .size_blocks = dev->size_bytes / BLOCK,
        .journal_blocks = format->journal_bytes / BLOCK,
        .data_lba = MR_FORMAT_JOURNAL_LBA + format->journal_bytes / BLOCK,
    };
    uint8_t *block;
    int error;

    if (format->journal_bytes % BLOCK != 0 || format->journal_bytes < 1024 * 1024 ||
        format->journal_bytes > dev->size_bytes / 2) {
        return -EINVAL;
    }
    mr_random_bytes(&super.salt, sizeof(super.salt));
    if (posix_memalign((void **)&block, BLOCK, BLOCK)) {
        return -ENOMEM;
    }
    error = format_write(dev, &super, block);
    free(block);
    return error;
}

static void
identity_of(const struct mr_super *super, struct mr_store_format *out)
{
    out->store_id = super->store_id;
    out->cluster_id = super->cluster_id;
    out->node_id = super->node_id;
    out->store_index = super->store_index;
    out->journal_bytes = super->journal_blocks * BLOCK;
}

int
mr_store_identify(struct mr_dev *dev, struct mr_store_format *out)
{
    struct mr_super super;
    unsigned newest, whole;
    int error = open_super(dev, &super, &newest, &whole);

    if (!error) {
        identity_of(&super, out);
    }
    return error;
}

/* ---- open, close ----------------------------------------------------------------------------- */

static void
lists_init(struct mr_store *store)
{
    struct mr_list *lists[] = {
        &store->leaving,        &store->logs,
        &store->page_free,      &store->lru,
        &store->dirty,          &store->needs,
        &store->chunk_free[0],  &store->chunk_free[1],
        &store->run_free,       &store->write_free,
        &store->reads_free,     &store->reads_ready,
        &store->reads_all,      &store->finds_ready,
        &store->producer_lru,   &store->indexes,
        &store->finds_waiting,  &store->finds_all,
        &store->run_busy,       &store->loads,
        &store->ck.again,       &store->ck.segments,
        &store->ck.writes,      &store->buried,
        &store->chunks_all,     &store->answers,
        &store->trims_done,     &store->deletes_done,
        &store->fired,          &store->filling.logs,
        &store->flying.logs,    &store->filling.trims,
        &store->flying.trims,   &store->filling.deletes,
        &store->flying.deletes, &store->filling.moves,
        &store->flying.moves,   &store->truncates,
        &store->truncates_done, &store->compacts_done,
        &store->index_ios,
    };

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        mr_list_init(lists[i]);
    }
    for (unsigned i = 0; i < CLASS_SMALL; i++) {
        mr_list_init(&store->page_part[i]);
    }
    discard_init(store);
}

static int
store_init(struct mr_store *store)
{
    uint32_t buckets = 16;
    int error;

    while (buckets < store->config.logs_max && buckets < (1u << 30)) {
        buckets *= 2;
    }
    store->hash_mask = buckets - 1;
    store->hash = calloc(buckets, sizeof(*store->hash));
    store->numbers = calloc(buckets, sizeof(*store->numbers));
    if (!store->hash || !store->numbers) {
        return -ENOMEM;
    }
    error = cache_init(store);
    error = error ? error : producer_init(store);
    error = error ? error : writeback_init(store);
    return error ? error : checkpoint_init(store);
}

static void
store_free(struct mr_store *store)
{
    struct mr_list *node;

    truncate_deinit(store);
    compact_deinit(store);
    read_forget_loads(store);
    index_deinit(store);
    while ((node = mr_list_pop_front(&store->run_busy))) {
        free(MR_CONTAINER_OF(node, struct run_io, node));
    }
    while ((node = mr_list_pop_front(&store->logs))) {
        log_free(MR_CONTAINER_OF(node, struct mr_log, node));
    }
    while ((node = mr_list_pop_front(&store->buried))) {
        log_free(MR_CONTAINER_OF(node, struct mr_log, node));
    }
    while ((node = mr_list_pop_front(&store->leaving))) {
        free(MR_CONTAINER_OF(node, struct extent, node));
    }
    while ((node = mr_list_pop_front(&store->run_free))) {
        free(MR_CONTAINER_OF(node, struct run_io, node));
    }
    discard_deinit(store);
    read_deinit(store);
    find_deinit(store);
    checkpoint_deinit(store);
    writeback_deinit(store);
    producer_deinit(store);
    cache_deinit(store);
    mr_buddy_deinit(&store->buddy);
    mr_batch_scratch_destroy(store->scratch);
    free(store->set);
    free(store->hash);
    free(store->numbers);
    free(store);
}

int
mr_store_open(const struct mr_store_config *config, struct mr_store **out, char *reason,
              size_t reason_size)
{
    struct mr_store *store;
    int error;

    MR_ASSERT((uintptr_t)config->arena % BLOCK == 0);
    if (reason && reason_size > 0) {
        reason[0] = '\0';
    }
    if (config->arena_bytes < MR_STORE_ARENA_MIN) {
        if (reason && reason_size > 0) {
            snprintf(reason, reason_size, "the arena has %zu bytes, it needs %u",
                     config->arena_bytes, MR_STORE_ARENA_MIN);
        }
        return -ENOMEM;
    }
    store = calloc(1, sizeof(*store));
    if (!store) {
        return -ENOMEM;
    }
    store->config = *config;
    if (store->config.dirty_bytes == 0) {
        store->config.dirty_bytes = config->arena_bytes / 4;
    }
    store->dev = config->dev;
    lists_init(store);
    error = store_init(store);
    if (!error) {
        error = open_recover(store, reason, reason_size);
    }
    if (error) {
        mr_store_abandon(store);
        return error;
    }
    identity_of(&store->super, &store->identity);
    store->confirmed = true;
    store->serving = true;
    *out = store;
    return 0;
}

bool
mr_store_was_clean(const struct mr_store *store)
{
    return store->clean;
}

const struct mr_store_format *
mr_store_identity(const struct mr_store *store)
{
    return &store->identity;
}

/* Waits for what is in flight; a device that is gone calls back no more. */
static int
store_quiesce(struct mr_store *store)
{
    while (store->in_flight > 0) {
        int error = mr_dev_wait(store->dev);

        if (error) {
            return error;
        }
    }
    return 0;
}

int
mr_store_close(struct mr_store *store)
{
    int error = 0;

    store->closing = true;
    if (!store->config.read_only) {
        while (!store->failed && !error &&
               (store->state != GROUP_NONE || store->ck.phase != CK_NONE ||
                !mr_list_empty(&store->filling.logs) || !mr_list_empty(&store->filling.trims) ||
                !mr_list_empty(&store->filling.deletes) || !mr_list_empty(&store->filling.moves))) {
            bool did = mr_store_tick(store);

            if (store->in_flight > 0) {
                error = mr_dev_wait(store->dev);
            } else if (!did && store->state == GROUP_NONE && store->ck.phase == CK_NONE) {
                break;
            }
        }
        if (!error && !store->failed &&
            store->usable[store->usable_count - 1].start_sequence != store->sequence + 1) {
            error = checkpoint_sync(store);
        }
        error = error || store->failed ? -EIO : 0;
    }
    mr_store_abandon(store);
    return error;
}

void
mr_store_abandon(struct mr_store *store)
{
    store->closing = true;
    store->failed = true; /* completions change nothing any more */
    store_quiesce(store);
    store_free(store);
}

/* ---- what is owed ---------------------------------------------------------------------------- */

void
store_answer(struct mr_append *append, enum mr_kafka_err error)
{
    struct mr_store *store = append->log->store;

    append->error = error;
    append->log_start_offset = append->log->start;
    mr_list_push_back(&store->answers, &append->node);
}

/* Something that an -EAGAIN may have waited for has changed. */
void
store_room(struct mr_store *store)
{
    store->room_event = true;
}

/* Runs the callbacks that are due. Never from within a call of the owner's. */
void
store_drain(struct mr_store *store)
{
    struct mr_list *node;

    if (store->draining) {
        return;
    }
    store->draining = true;
    for (;;) {
        if ((node = mr_list_pop_front(&store->answers))) {
            struct mr_append *append = MR_CONTAINER_OF(node, struct mr_append, node);

            append->done(append);
        } else if ((node = mr_list_pop_front(&store->trims_done))) {
            struct mr_log_trim *trim = MR_CONTAINER_OF(node, struct mr_log_trim, node);

            trim->done(trim, trim->error);
        } else if ((node = mr_list_pop_front(&store->deletes_done))) {
            struct mr_log_delete *request = MR_CONTAINER_OF(node, struct mr_log_delete, node);

            request->done(request, request->error);
        } else if ((node = mr_list_pop_front(&store->truncates_done))) {
            struct mr_log_truncate *truncate = MR_CONTAINER_OF(node, struct mr_log_truncate, node);

            truncate->done(truncate, truncate->error);
        } else if ((node = mr_list_pop_front(&store->compacts_done))) {
            struct mr_log_compact *compact = MR_CONTAINER_OF(node, struct mr_log_compact, node);

            compact->done(compact, compact->error);
        } else if ((node = mr_list_pop_front(&store->fired))) {
            struct mr_log_watch *watch = MR_CONTAINER_OF(node, struct mr_log_watch, node);

            watch->fired(watch);
        } else {
            break;
        }
    }
    if (store->failed && !store->failed_told && !store->closing) {
        store->failed_told = true;
        if (store->config.on_failed) {
            store->config.on_failed(store->config.context);
        }
    }
    store->draining = false;
}

static void
fail_group(struct mr_store *store, struct group *group)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(&group->trims))) {
        MR_CONTAINER_OF(node, struct mr_log_trim, node)->error = MR_KAFKA_KAFKA_STORAGE_ERROR;
        mr_list_push_back(&store->trims_done, node);
    }
    while ((node = mr_list_pop_front(&group->deletes))) {
        MR_CONTAINER_OF(node, struct mr_log_delete, node)->error = MR_KAFKA_KAFKA_STORAGE_ERROR;
        mr_list_push_back(&store->deletes_done, node);
    }
    moves_drop(store, &group->moves, NULL, -EIO);
}

/* Sticky. What was outstanding is never acknowledged as durable, and nothing is flushed again in
 * hope. */
void
store_fail(struct mr_store *store)
{
    struct mr_list *node;

    if (store->failed) {
        return;
    }
    store->failed = true;
    MR_LIST_FOR_EACH(at, &store->logs)
    {
        struct mr_log *log = MR_CONTAINER_OF(at, struct mr_log, node);

        while ((node = mr_list_pop_front(&log->fly_appends)) ||
               (node = mr_list_pop_front(&log->fill_appends))) {
            store_answer(MR_CONTAINER_OF(node, struct mr_append, node),
                         MR_KAFKA_KAFKA_STORAGE_ERROR);
        }
        while ((node = mr_list_pop_front(&log->watches))) {
            mr_list_push_back(&store->fired, node);
        }
    }
    fail_group(store, &store->filling);
    fail_group(store, &store->flying);
    store_room(store); /* what waited is answered that the store has failed */
}

#define GROW_RETRY_NS (5 * MR_NS_PER_S)

/* ---- tick ------------------------------------------------------------------------------------ */

void
mr_store_grow_refused(struct mr_store *store)
{
    store->low_told = false;
    store->low_retry_ns = mr_clock_now_ns(store->config.clock) + GROW_RETRY_NS;
    store->room_event = true; /* what waited is answered that the store is full */
}

void
store_low_space(struct mr_store *store)
{
    uint64_t data = store->size_blocks - store->super.data_lba;
    uint64_t low = data / 4 > store->reserve_blocks * 2 ? data / 4 : store->reserve_blocks * 2;

    if (store->buddy.free_blocks + store->discard_blocks < low && !store->low_told &&
        store->config.on_low_space && mr_clock_now_ns(store->config.clock) >= store->low_retry_ns) {
        store->low_told = true;
        store->low_due = true;
    }
}

static void
tick_callbacks(struct mr_store *store)
{
    if (store->room_wanted && store->room_event) {
        store->room_wanted = false;
        store->room_event = false;
        find_wake(store); /* here, where the event ends: it may have come after find_step() */
        if (store->config.on_room && !store->closing) {
            store->config.on_room(store->config.context);
        }
    }
    if (store->low_due && !store->closing) {
        store->low_due = false;
        store->config.on_low_space(store->config.context);
    }
}

bool
mr_store_tick(struct mr_store *store)
{
    bool did = false;

    if (!store->config.read_only && !store->failed) {
        if (store->ck.phase == CK_NONE && checkpoint_due(store) &&
            (store->ck.retry_ns == 0 ||
             mr_clock_now_ns(store->config.clock) >= store->ck.retry_ns)) {
            checkpoint_begin(store);
        }
        if (store->ck.phase != CK_NONE) {
            did |= checkpoint_step(store); /* cuts lie between two groups */
        }
        did |= journal_submit(store);
        did |= writeback_step(store);
        did |= discard_step(store);
    }
    if (!mr_list_empty(&store->reads_ready)) {
        read_run_ready(store);
    }
    did |= find_step(store);
    did |= truncate_step(store);
    did |= compact_step(store);
    tick_callbacks(store);
    store_drain(store);
    return did || !mr_list_empty(&store->finds_ready);
}

uint64_t
mr_store_deadline_ns(const struct mr_store *store)
{
    uint64_t deadline = UINT64_MAX;

    if (store->failed || store->config.read_only) {
        return deadline;
    }
    deadline = compact_deadline_ns(store);
    if (!store->confirmed && store->state == GROUP_NONE &&
        journal_used(store) < store->ring_blocks / 8 * 7) {
        deadline = store->idle_since_ns + MR_NS_PER_S;
    }
    if (store->ck.phase == CK_NONE && checkpoint_due(store) && store->ck.retry_ns < deadline) {
        deadline = store->ck.retry_ns;
    }
    return deadline;
}

int
mr_store_grow(struct mr_store *store)
{
    int error;

    if (store->failed || store->config.read_only) {
        return -EIO;
    }
    if (store->filling.growth || store->flying.growth) {
        return -EBUSY;
    }
    error = mr_dev_resize(store->dev);
    if (error) {
        return error;
    }
    if (store->dev->size_bytes / BLOCK > store->size_blocks) {
        store->filling.growth = true;
        store->filling.growth_blocks = store->dev->size_bytes / BLOCK;
    }
    return 0;
}

void
mr_store_stats(const struct mr_store *store, struct mr_store_stats *out)
{
    uint64_t free_blocks = store->buddy.free_blocks + store->discard_blocks;
    int largest = mr_buddy_largest(&store->buddy);

    *out = store->stats;
    out->size_bytes = store->size_blocks * BLOCK;
    out->free_bytes = free_blocks * BLOCK;
    for (unsigned order = 0; order < MR_BUDDY_ORDERS; order++) {
        out->free_extents += store->buddy.free[order].count;
    }
    out->largest_free_bytes = largest < 0 ? 0 : (uint64_t)BLOCK << largest;
    out->journal_bytes = store->ring_blocks * BLOCK;
    out->journal_used_bytes = journal_used(store) * BLOCK;
    out->cache_bytes_max = (uint64_t)store->page_count * CHUNK_BYTES;
    out->dirty_bytes = store->dirty_bytes;
    out->early_runs_flying = store->state == GROUP_NONE ? 0 : store->filling.in_flight;
    out->logs = store->log_count;
    out->failed = store->failed;
    out->full |= free_blocks <= store->reserve_blocks;
}

void
mr_store_budget(const struct mr_store_config *config,
                void (*line)(void *context, const char *what, size_t bytes), void *context)
{
    line(context, "tail cache and write-behind", config->arena_bytes);
    line(context, "chunk headers",
         config->arena_bytes / BLOCK * (sizeof(struct chunk) + sizeof(struct cache_block)));
    line(context, "logs", (size_t)config->logs_max * (sizeof(struct mr_log) + 256));
    line(context, "producer entries", producer_bytes(config->producers_max));
    line(context, "sparse indexes", config->index_bytes_max);
    line(context, "journal set", SET_BYTES_MAX);
    line(context, "compaction: key map and buffers", compact_bytes(config));
    line(context, "read states", READS_MAX * sizeof(struct read_state));
}
