/* tests/sim/sim_blocks.c: every block of the store has one owner, or is free.
 *
 * Looks into the running store, and counts on its own: neither the buddy allocator nor the check
 * at open is asked but for the sum of what is free. */
#include <stdlib.h>
#include <string.h>

#include "storage/internal.h"
#include "tests/sim/sim_run.h"

struct tally {
    struct sim_run *run;
    uint8_t *seen; /* a bit per block */
    uint64_t owned;
};

static void
own(struct tally *tally, uint64_t lba, unsigned order, uint64_t log)
{
    struct sim_run *run = tally->run;
    bool reused = false;

    for (uint64_t block = lba; block < lba + (1ull << order); block++) {
        if (block < run->store->super.data_lba || block >= run->owner_count) {
            sim_fail("block %llu of log %llu does not exist", (unsigned long long)block,
                     (unsigned long long)log);
        }
        if (tally->seen[block / 8] & 1u << block % 8) {
            sim_fail("block %llu has two owners, one is log %llu", (unsigned long long)block,
                     (unsigned long long)log);
        }
        tally->seen[block / 8] |= (uint8_t)(1u << block % 8);
        if (log) {
            reused = reused || (run->owners[block] && run->owners[block] != (uint32_t)log);
            run->owners[block] = (uint32_t)log;
        }
    }
    tally->owned += 1ull << order;
    run->counters->extents_reused += reused;
}

static void
own_extents(struct tally *tally, const struct mr_list *extents)
{
    MR_LIST_FOR_EACH(node, extents)
    {
        const struct extent *extent = MR_CONTAINER_OF(node, struct extent, node);

        own(tally, extent->lba, extent->order, 0);
    }
}

static void
own_chain(struct tally *tally, const struct mr_extent_ref *refs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        own(tally, refs[i].lba, refs[i].order, 0);
    }
}

/* The device may have grown. */
static void
owners_fit(struct sim_run *run)
{
    uint64_t count = run->size_bytes / MR_DEV_BLOCK;

    if (count > run->owner_count) {
        run->owners = realloc(run->owners, count * sizeof(*run->owners));
        memset(run->owners + run->owner_count, 0,
               (count - run->owner_count) * sizeof(*run->owners));
        run->owner_count = count;
    }
}

void
sim_blocks_check(struct sim_run *run)
{
    const struct mr_store *store = run->store;
    struct tally tally = {.run = run};
    uint64_t free_blocks = store->buddy.free_blocks;

    owners_fit(run);
    tally.seen = calloc(run->owner_count / 8 + 1, 1);
    MR_LIST_FOR_EACH(node, &store->logs)
    {
        const struct mr_log *log = MR_CONTAINER_OF(node, struct mr_log, node);

        for (uint32_t i = 0; i < log->extent_count; i++) {
            own(&tally, log->extents[i]->lba, log->extents[i]->order, log->number);
        }
    }
    own_extents(&tally, &store->leaving);
    own_extents(&tally, &store->discards);
    for (unsigned i = 0; i < DISCARDS_MAX; i++) {
        own_extents(&tally, &store->discarding[i].extents);
    }
    for (unsigned u = 0; u < store->usable_count; u++) {
        own_chain(&tally, store->usable[u].extents, store->usable[u].extent_count);
    }
    if (store->ck.phase != CK_NONE) {
        own_chain(&tally, store->ck.root.extents, store->ck.root.extent_count);
    }
    for (unsigned i = 0; i < store->shunned_count; i++) {
        own(&tally, store->shunned[i].lba, store->shunned[i].order, 0);
    }
    if (tally.owned + free_blocks != store->size_blocks - store->super.data_lba) {
        sim_fail("%llu blocks are owned and %llu are free of %llu", (unsigned long long)tally.owned,
                 (unsigned long long)free_blocks,
                 (unsigned long long)(store->size_blocks - store->super.data_lba));
    }
    free(tally.seen);
}
