/* storage/discard.c: freed extents are given back to the drive before they are taken again.
 *
 * An extent gets here when nothing reads or writes it any more and its leaving is durable. It
 * waits, is discarded with those that lie right behind it, and is free. Nobody waits for that:
 * where space is short, what waits is free at once. What waits at the end of the process is never
 * discarded. */
#include "storage/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/log.h"

/* What waited, or was discarded, may be taken. */
static void
extents_free(struct mr_store *store, struct mr_list *extents)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(extents))) {
        struct extent *extent = MR_CONTAINER_OF(node, struct extent, node);

        mr_buddy_free(&store->buddy, extent->lba, extent->order);
        store->discard_blocks -= 1ull << extent->order;
        free(extent);
    }
    store_room(store);
}

void
discard_queue(struct mr_store *store, struct extent *extent)
{
    mr_list_push_back(&store->discards, &extent->node);
    store->discard_blocks += 1ull << extent->order;
    store_room(store);
}

/* Returns whether that has freed something. */
bool
discard_skip(struct mr_store *store)
{
    if (mr_list_empty(&store->discards)) {
        return false;
    }
    store->stats.discards_skipped++;
    extents_free(store, &store->discards);
    return true;
}

/* An error costs no more than the drive's knowledge. */
static void
discard_failed(struct mr_store *store, int error)
{
    if (store->stats.discard_errors++ == 0) {
        MR_LOG_WARN("storage", "store %u: a discard failed (%s)%s", store->identity.store_index,
                    strerror(-error), error == -EOPNOTSUPP ? ": nothing is discarded" : "");
    }
    if (error == -EOPNOTSUPP) {
        store->config.discard = false;
        extents_free(store, &store->discards);
    }
}

static void
discard_done(struct mr_dev_io *io, int result)
{
    struct discard *discard = MR_CONTAINER_OF(io, struct discard, io);
    struct mr_store *store = discard->store;

    store->in_flight--;
    if (result) {
        discard_failed(store, result);
    } else {
        store->stats.discards++;
        store->stats.discarded_bytes += discard->blocks * BLOCK;
    }
    extents_free(store, &discard->extents);
}

/* Takes the first that waits and those that lie right behind it, and wait behind it too. */
static void
discard_start(struct mr_store *store, struct discard *discard)
{
    uint64_t lba = MR_CONTAINER_OF(store->discards.next, struct extent, node)->lba;

    discard->blocks = 0;
    while (!mr_list_empty(&store->discards)) {
        struct extent *extent = MR_CONTAINER_OF(store->discards.next, struct extent, node);
        uint64_t blocks = discard->blocks + (1ull << extent->order);

        if (discard->blocks > 0 &&
            (extent->lba != lba + discard->blocks || blocks > DISCARD_BLOCKS_MAX)) {
            break;
        }
        mr_list_remove(&extent->node);
        mr_list_push_back(&discard->extents, &extent->node);
        discard->blocks = blocks;
    }
    discard->store = store;
    discard->io.done = discard_done;
    store->in_flight++;
    mr_dev_discard(store->dev, &discard->io, lba * BLOCK, discard->blocks * BLOCK);
}

bool
discard_step(struct mr_store *store)
{
    bool did = false;

    for (unsigned i = 0; i < DISCARDS_MAX; i++) {
        if (mr_list_empty(&store->discarding[i].extents) && !mr_list_empty(&store->discards)) {
            discard_start(store, &store->discarding[i]);
            did = true;
        }
    }
    return did;
}

#ifdef MR_MUTANTS
struct early {
    struct mr_dev_io io;
    struct mr_store *store;
    struct extent *extent;
};

static void
early_done(struct mr_dev_io *io, int result)
{
    struct early *early = MR_CONTAINER_OF(io, struct early, io);

    (void)result;
    early->store->in_flight--;
    extent_unbusy(early->store, early->extent);
    free(early);
}

/* The log's extents below the block are discarded while they are its own. */
void
discard_early(struct mr_log *log, uint64_t block)
{
    for (uint32_t i = 0; i < log->extent_count && extent_end(log->extents[i]) <= block; i++) {
        struct extent *extent = log->extents[i];
        struct early *early;

        if (extent->busy > 0) {
            continue;
        }
        early = malloc(sizeof(*early));
        *early = (struct early){.io.done = early_done, .store = log->store, .extent = extent};
        extent->busy++;
        log->store->in_flight++;
        mr_dev_discard(log->store->dev, &early->io, extent->lba * BLOCK,
                       (uint64_t)BLOCK << extent->order);
    }
}
#endif

void
discard_init(struct mr_store *store)
{
    mr_list_init(&store->discards);
    for (unsigned i = 0; i < DISCARDS_MAX; i++) {
        mr_list_init(&store->discarding[i].extents);
    }
}

void
discard_deinit(struct mr_store *store)
{
    extents_free(store, &store->discards);
    for (unsigned i = 0; i < DISCARDS_MAX; i++) {
        extents_free(store, &store->discarding[i].extents);
    }
}
