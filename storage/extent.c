/* storage/extent.c: buddy allocation over bitmaps with summaries. */
#include "storage/extent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"

/* ---- bits ------------------------------------------------------------------------------------ */

static int
bits_init(struct mr_buddy_bits *bits, uint64_t size)
{
    uint64_t n = size;

    memset(bits, 0, sizeof(*bits));
    bits->size = size;
    do {
        n = (n + 63) / 64;
        n = n ? n : 1;
        bits->level[bits->levels] = calloc(n, sizeof(uint64_t));
        if (!bits->level[bits->levels]) {
            return -ENOMEM;
        }
        bits->levels++;
    } while (n > 1 && bits->levels < MR_BUDDY_LEVELS);
    return 0;
}

static void
bits_deinit(struct mr_buddy_bits *bits)
{
    for (unsigned i = 0; i < bits->levels; i++) {
        free(bits->level[i]);
    }
    memset(bits, 0, sizeof(*bits));
}

static bool
bits_get(const struct mr_buddy_bits *bits, uint64_t i)
{
    return i < bits->size && (bits->level[0][i / 64] >> (i % 64) & 1);
}

static void
bits_set(struct mr_buddy_bits *bits, uint64_t i)
{
    bits->count++;
    for (unsigned l = 0; l < bits->levels; l++, i /= 64) {
        bits->level[l][i / 64] |= 1ull << (i % 64);
    }
}

static void
bits_clear(struct mr_buddy_bits *bits, uint64_t i)
{
    bits->count--;
    for (unsigned l = 0; l < bits->levels; l++, i /= 64) {
        bits->level[l][i / 64] &= ~(1ull << (i % 64));
        if (bits->level[l][i / 64] != 0) {
            break;
        }
    }
}

/* The lowest set bit; count is not 0. */
static uint64_t
bits_first(const struct mr_buddy_bits *bits)
{
    uint64_t word = 0;

    for (unsigned l = bits->levels; l-- > 0;) {
        word = word * 64 + (uint64_t)__builtin_ctzll(bits->level[l][word]);
    }
    return word;
}

/* ---- buddies --------------------------------------------------------------------------------- */

/* Marks the range free as the largest aligned extents that cover it. */
static void
mark_free(struct mr_buddy *buddy, uint64_t at, uint64_t end)
{
    while (at < end) {
        unsigned order = at ? (unsigned)__builtin_ctzll(at) : MR_BUDDY_ORDERS - 1;

        order = order < MR_BUDDY_ORDERS ? order : MR_BUDDY_ORDERS - 1;
        while ((1ull << order) > end - at) {
            order--;
        }
        mr_buddy_free(buddy, buddy->base + at, order);
        at += 1ull << order;
    }
}

int
mr_buddy_init(struct mr_buddy *buddy, uint64_t base, uint64_t blocks)
{
    memset(buddy, 0, sizeof(*buddy));
    for (unsigned i = 0; i < MR_BUDDY_ORDERS; i++) {
        if (bits_init(&buddy->free[i], blocks >> i)) {
            mr_buddy_deinit(buddy);
            return -ENOMEM;
        }
    }
    buddy->base = base;
    buddy->blocks = blocks;
    mark_free(buddy, 0, blocks);
    return 0;
}

void
mr_buddy_deinit(struct mr_buddy *buddy)
{
    for (unsigned i = 0; i < MR_BUDDY_ORDERS; i++) {
        bits_deinit(&buddy->free[i]);
    }
}

int
mr_buddy_grow(struct mr_buddy *buddy, uint64_t blocks)
{
    struct mr_buddy next;
    uint64_t end = buddy->blocks;

    MR_ASSERT(blocks > 0);
    memset(&next, 0, sizeof(next));
    next.base = buddy->base;
    next.blocks = end + blocks;
    for (unsigned i = 0; i < MR_BUDDY_ORDERS; i++) {
        if (bits_init(&next.free[i], next.blocks >> i)) {
            mr_buddy_deinit(&next);
            return -ENOMEM;
        }
    }
    for (unsigned i = 0; i < MR_BUDDY_ORDERS; i++) {
        struct mr_buddy_bits *old = &buddy->free[i];

        while (old->count > 0) {
            uint64_t at = bits_first(old);

            bits_clear(old, at);
            bits_set(&next.free[i], at);
            next.free_blocks += 1ull << i;
        }
    }
    mr_buddy_deinit(buddy);
    *buddy = next;
    mark_free(buddy, end, next.blocks);
    return 0;
}

bool
mr_buddy_alloc(struct mr_buddy *buddy, unsigned order, uint64_t *lba)
{
    for (unsigned have = order; have < MR_BUDDY_ORDERS; have++) {
        uint64_t at;

        if (buddy->free[have].count == 0) {
            continue;
        }
        at = bits_first(&buddy->free[have]);
        bits_clear(&buddy->free[have], at);
        while (have > order) {
            have--;
            at *= 2;
            bits_set(&buddy->free[have], at + 1);
        }
        buddy->free_blocks -= 1ull << order;
        *lba = buddy->base + (at << order);
        return true;
    }
    return false;
}

bool
mr_buddy_take(struct mr_buddy *buddy, uint64_t lba, unsigned order)
{
    uint64_t at = lba - buddy->base;
    unsigned have = order;

    if (order >= MR_BUDDY_ORDERS || lba < buddy->base || at % (1ull << order) != 0 ||
        at >= buddy->blocks || (1ull << order) > buddy->blocks - at) {
        return false;
    }
    while (have < MR_BUDDY_ORDERS && !bits_get(&buddy->free[have], at >> have)) {
        have++;
    }
    if (have == MR_BUDDY_ORDERS) {
        return false;
    }
    bits_clear(&buddy->free[have], at >> have);
    while (have > order) {
        have--;
        bits_set(&buddy->free[have], (at >> have) ^ 1); /* the half that is not taken */
    }
    buddy->free_blocks -= 1ull << order;
    return true;
}

void
mr_buddy_free(struct mr_buddy *buddy, uint64_t lba, unsigned order)
{
    uint64_t at = (lba - buddy->base) >> order;

    MR_ASSERT(lba >= buddy->base && lba - buddy->base + (1ull << order) <= buddy->blocks);
    buddy->free_blocks += 1ull << order;
    while (order + 1 < MR_BUDDY_ORDERS && bits_get(&buddy->free[order], at ^ 1)) {
        bits_clear(&buddy->free[order], at ^ 1);
        at /= 2;
        order++;
    }
    MR_ASSERT(!bits_get(&buddy->free[order], at));
    bits_set(&buddy->free[order], at);
}

int
mr_buddy_largest(const struct mr_buddy *buddy)
{
    for (int i = (int)MR_BUDDY_ORDERS - 1; i >= 0; i--) {
        if (buddy->free[i].count > 0) {
            return i;
        }
    }
    return -1;
}
