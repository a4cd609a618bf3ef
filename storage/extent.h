/* storage/extent.h: which blocks of a store are free: a buddy allocator in memory.
 *
 * Free space is not stored on the medium: it is what nothing owns. At open everything is free and
 * mr_buddy_take() removes what logs and checkpoints own.
 * Pure, single-threaded. Limits: about 2.1 bits of memory per block. */
#ifndef MR_STORAGE_EXTENT_H
#define MR_STORAGE_EXTENT_H

#include <stdbool.h>
#include <stdint.h>

#define MR_BUDDY_ORDERS 13u /* 4 KiB to 16 MiB */
#define MR_BUDDY_LEVELS 7u  /* of summary words: 64^7 bits */

/* One bit per extent of one order, with summaries so that the first set bit is found at once. */
struct mr_buddy_bits {
    uint64_t *level[MR_BUDDY_LEVELS]; /* [0]: a bit per extent; [n]: a bit per word of [n-1] */
    unsigned levels;
    uint64_t size;
    uint64_t count; /* set bits */
};

struct mr_buddy {
    struct mr_buddy_bits free[MR_BUDDY_ORDERS];
    uint64_t base; /* lba of the first block */
    uint64_t blocks;
    uint64_t free_blocks;
};

/* Everything in [base, base + blocks) is free. 0 or -ENOMEM. */
int mr_buddy_init(struct mr_buddy *buddy, uint64_t base, uint64_t blocks);
void mr_buddy_deinit(struct mr_buddy *buddy);

/* Adds blocks at the end, free. 0 or -ENOMEM, nothing is changed then. */
int mr_buddy_grow(struct mr_buddy *buddy, uint64_t blocks);

/* The free extent of 2^order blocks at the lowest place among the smallest that fit; false: there
 * is none. */
bool mr_buddy_alloc(struct mr_buddy *buddy, unsigned order, uint64_t *lba);

/* Takes this very extent. false: outside, not aligned, or not wholly free. */
bool mr_buddy_take(struct mr_buddy *buddy, uint64_t lba, unsigned order);

/* Gives back an extent that alloc or take gave. */
void mr_buddy_free(struct mr_buddy *buddy, uint64_t lba, unsigned order);

/* The largest order of which an extent is free; -1: none. */
int mr_buddy_largest(const struct mr_buddy *buddy);

#endif
