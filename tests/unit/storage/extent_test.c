/* tests/unit/storage/extent_test.c: the buddy allocator against a plain map of blocks. */
#include "storage/extent.h"

#include "dataplane/base/rng.h"
#include "tests/mr_test.h"

#define BLOCKS 5000u /* no power of two: the end is covered by smaller and smaller extents */

struct held {
    uint64_t lba;
    unsigned order;
};

static void
mark(uint8_t *map, uint64_t lba, unsigned order, uint8_t from, uint8_t to)
{
    for (uint64_t i = lba; i < lba + (1ull << order); i++) {
        MR_CHECK_EQ(map[i], from);
        map[i] = to;
    }
}

/* No block is given twice, extents are aligned, and all that was given back merges again; random
 * allocations and frees beside a map. */
MR_TEST(blocks_are_given_once_and_merge_when_given_back)
{
    static uint8_t map[10 + BLOCKS];
    static struct held held[BLOCKS];
    struct mr_buddy buddy;
    struct mr_rng rng;
    unsigned count = 0;
    uint64_t lba;

    mr_rng_init(&rng, 7);
    MR_CHECK_EQ(mr_buddy_init(&buddy, 10, BLOCKS), 0);
    for (unsigned i = 0; i < 100000; i++) {
        unsigned order = (unsigned)mr_rng_below(&rng, 8);

        if (mr_rng_below(&rng, 2) && mr_buddy_alloc(&buddy, order, &lba)) {
            MR_CHECK_EQ((lba - 10) % (1ull << order), 0);
            mark(map, lba, order, 0, 1);
            held[count++] = (struct held){lba, order};
        } else if (count > 0) {
            unsigned at = (unsigned)mr_rng_below(&rng, count);

            mark(map, held[at].lba, held[at].order, 1, 0);
            mr_buddy_free(&buddy, held[at].lba, held[at].order);
            held[at] = held[--count];
        }
    }
    while (count > 0) {
        count--;
        mr_buddy_free(&buddy, held[count].lba, held[count].order);
    }
    MR_CHECK_EQ(buddy.free_blocks, BLOCKS);
    MR_CHECK_EQ(mr_buddy_largest(&buddy), 12);
    MR_CHECK_EQ(buddy.free[12].count, 1);
    MR_CHECK_EQ(buddy.free[0].count, 0);
    mr_buddy_deinit(&buddy);
}

/* Recovery takes what logs own: an extent twice, a part of it, outside, or unaligned is refused. */
MR_TEST(what_is_taken_cannot_be_taken_again)
{
    struct mr_buddy buddy;

    MR_CHECK_EQ(mr_buddy_init(&buddy, 100, 64), 0);
    MR_CHECK(mr_buddy_take(&buddy, 100 + 8, 3));
    MR_CHECK(!mr_buddy_take(&buddy, 100 + 8, 3));
    MR_CHECK(!mr_buddy_take(&buddy, 100 + 12, 0));
    MR_CHECK(!mr_buddy_take(&buddy, 100, 4));
    MR_CHECK(!mr_buddy_take(&buddy, 100 + 2, 2));
    MR_CHECK(!mr_buddy_take(&buddy, 100 + 64, 0));
    MR_CHECK(!mr_buddy_take(&buddy, 99, 0));
    MR_CHECK(!mr_buddy_take(&buddy, 100, 13));
    MR_CHECK(mr_buddy_take(&buddy, 100 + 63, 0));
    MR_CHECK_EQ(buddy.free_blocks, 64 - 9);
    mr_buddy_deinit(&buddy);
}

/* Growth keeps what is taken and adds the rest free. */
MR_TEST(growth_adds_free_blocks_and_keeps_the_others)
{
    struct mr_buddy buddy;
    uint64_t lba;

    MR_CHECK_EQ(mr_buddy_init(&buddy, 0, 3), 0);
    for (unsigned i = 0; i < 3; i++) {
        MR_CHECK(mr_buddy_alloc(&buddy, 0, &lba));
        MR_CHECK_EQ(lba, i < 1 ? 2 : i - 1); /* the smallest extent that fits, then the lowest */
    }
    MR_CHECK(!mr_buddy_alloc(&buddy, 0, &lba));
    MR_CHECK_EQ(mr_buddy_grow(&buddy, 5), 0);
    MR_CHECK_EQ(buddy.free_blocks, 5);
    MR_CHECK_EQ(mr_buddy_largest(&buddy), 2);
    MR_CHECK(!mr_buddy_take(&buddy, 2, 0));
    mr_buddy_free(&buddy, 0, 0);
    mr_buddy_free(&buddy, 1, 0);
    mr_buddy_free(&buddy, 2, 0);
    MR_CHECK_EQ(mr_buddy_largest(&buddy), 3);
    mr_buddy_deinit(&buddy);
}

MR_TEST_MAIN(MR_TEST_CASE(blocks_are_given_once_and_merge_when_given_back),
             MR_TEST_CASE(what_is_taken_cannot_be_taken_again),
             MR_TEST_CASE(growth_adds_free_blocks_and_keeps_the_others))
