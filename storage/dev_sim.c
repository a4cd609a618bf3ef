/* storage/dev_sim.c: a disk in memory that keeps exactly what the contract promises, and no more.
 *
 * Each block has what a read returns (`cur`), what is on the medium for certain (`dur`), and the
 * completed writes in between (`versions`): any of those may or may not have reached the medium.
 * A flush moves `dur` forward; a crash picks, sector by sector or write by write.
 *
 * Pages are immutable once shared and counted, so that a whole write costs one copy, a flush costs
 * none, and a copy of a device shares everything with its original. Memory: 24 bytes a block, and
 * what was written. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "storage/dev.h"
#include "storage/dev_private.h"

#define SECTORS  (MR_DEV_BLOCK / MR_DEV_SECTOR)
#define MASK_ALL ((uint8_t)((1u << SECTORS) - 1))
_Static_assert(SECTORS == 8, "a block's sectors are the bits of one byte");

/* How likely an undecided sector or write has reached the medium, as in the store's model. */
#define KEEP 0.6
/* Of so many writes one is looked at for whether its lent bytes stay as they are: finding a bug of
 * that kind takes one of many, and the sums cost as much as the writes. */
#define SUM_ONE_IN 4
/* How likely one poll does nothing, so that submissions pile up. */
#define POLL_IDLE 0.25

struct page {
    uint8_t bytes[MR_DEV_BLOCK]; /* first, and so aligned */
    uint32_t refs;
};

/* A completed write's part in one block, not known to be on the medium. */
struct version {
    struct version *older;
    struct page *page;
    uint64_t seq; /* of the write, in order of completion */
    uint8_t mask; /* sectors it wrote that no later flush has settled */
    bool doomed;  /* a flush failed on it: no later flush makes it durable */
};

struct block {
    struct page *cur; /* NULL: zeros */
    struct page *dur;
    struct version *versions; /* newest first; NULL: cur is dur */
};

struct in_flight {
    struct mr_dev_io *io;
    uint64_t sum;       /* of a write's bytes at submission: they are lent, not to be changed; 0:
                           not looked at */
    uint64_t flush_seq; /* of a flush: the writes it covers are those up to this one */
};

struct mr_dev_sim {
    struct mr_dev dev;
    struct mr_dev_sim_config config;
    struct mr_rng rng;
    struct block *blocks;
    uint64_t block_count;
    uint64_t *dirty; /* numbers of the blocks that have versions */
    size_t dirty_count, dirty_max;
    struct in_flight *in_flight;
    unsigned in_flight_count, in_flight_max;
    uint64_t *bad;
    size_t bad_count;
    uint64_t seq;
    char fail_kind; /* the operation of this kind that brings fail_left to 0 fails */
    uint64_t fail_left;
    uint64_t cut_after;
    bool cut_is_kill;
    bool connected;
    bool stalled;
};

/* Visits the blocks of a transfer: `bytes` is where the block's first sector lies in memory. */
struct walk {
    const struct mr_dev_io *io;
    unsigned slice;
    size_t slice_at;
    uint64_t block;
    uint8_t *bytes;
    uint8_t mask;
};

static void *
must(void *allocated)
{
    /* A simulation that runs out of memory has nothing sensible to go on with. */
    MR_ASSERT(allocated);
    return allocated;
}

static bool
chance(struct mr_dev_sim *sim, double probability)
{
    return probability > 0 && mr_rng_unit(&sim->rng) < probability;
}

static bool
is_the_nth(struct mr_dev_sim *sim, char kind)
{
    return sim->fail_left > 0 && sim->fail_kind == kind && --sim->fail_left == 0;
}

bool
mr_dev_sim_failed_nth(const struct mr_dev_sim *sim)
{
    return sim->fail_left == 0;
}

void
mr_dev_sim_fail_nth(struct mr_dev_sim *sim, char kind, uint64_t n)
{
    sim->fail_kind = kind;
    sim->fail_left = n;
}

/* ---- pages ----------------------------------------------------------------------------------- */

static struct page *
page_copy(const struct page *from)
{
    struct page *page = must(malloc(sizeof(*page)));

    page->refs = 1;
    if (from) {
        memcpy(page->bytes, from->bytes, sizeof(page->bytes));
    } else {
        memset(page->bytes, 0, sizeof(page->bytes));
    }
    return page;
}

static struct page *
page_ref(struct page *page)
{
    if (page) {
        page->refs++;
    }
    return page;
}

static void
page_unref(struct page *page)
{
    if (page && --page->refs == 0) {
        free(page);
    }
}

static void
page_set(struct page **slot, struct page *page)
{
    page_ref(page);
    page_unref(*slot);
    *slot = page;
}

static const uint8_t *
page_bytes(const struct page *page)
{
    static const uint8_t zeros[MR_DEV_BLOCK];

    return page ? page->bytes : zeros;
}

/* Copies the sectors of `mask`. */
static void
sectors_copy(uint8_t *to, const uint8_t *from, uint8_t mask)
{
    if (mask == MASK_ALL) {
        memcpy(to, from, MR_DEV_BLOCK);
        return;
    }
    for (unsigned s = 0; s < SECTORS; s++) {
        if (mask & (1u << s)) {
            memcpy(to + s * MR_DEV_SECTOR, from + s * MR_DEV_SECTOR, MR_DEV_SECTOR);
        }
    }
}

static void
sector_garbage(struct mr_dev_sim *sim, uint8_t *bytes)
{
    for (unsigned i = 0; i < MR_DEV_SECTOR; i += 8) {
        uint64_t word = mr_rng_next(&sim->rng);

        memcpy(bytes + i, &word, 8);
    }
}

/* Replaces the sectors of `mask` in a slot by those of `from`. */
static void
slot_merge(struct page **slot, struct page *from, uint8_t mask)
{
    if (mask == MASK_ALL) {
        page_set(slot, from);
    } else {
        struct page *merged = page_copy(*slot);

        sectors_copy(merged->bytes, page_bytes(from), mask);
        page_unref(*slot);
        *slot = merged;
    }
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void
version_free(struct version *version)
{
    page_unref(version->page);
    free(version);
}

static void
version_push(struct mr_dev_sim *sim, uint64_t number, struct page *page, uint8_t mask)
{
    struct block *block = &sim->blocks[number];
    struct version *version = must(malloc(sizeof(*version)));

    if (!block->versions) {
        if (sim->dirty_count == sim->dirty_max) {
            sim->dirty_max = sim->dirty_max ? sim->dirty_max * 2 : 64;
            sim->dirty = must(realloc(sim->dirty, sim->dirty_max * sizeof(*sim->dirty)));
        }
        sim->dirty[sim->dirty_count++] = number;
    }
    *version = (struct version){
        .older = block->versions, .page = page_ref(page), .seq = sim->seq, .mask = mask};
    block->versions = version;
}

/* What a write that carried `bytes` makes of a block. `fua`: it is on the medium now. */
static void
block_write(struct mr_dev_sim *sim, uint64_t number, const uint8_t *bytes, uint8_t mask, bool fua)
{
    struct block *block = &sim->blocks[number];
    struct page *page;

    if (mask == 0) {
        return;
    }
    page = must(malloc(sizeof(*page)));
    page->refs = 1;
    if (mask != MASK_ALL) {
        memcpy(page->bytes, page_bytes(block->cur), MR_DEV_BLOCK);
    }
    sectors_copy(page->bytes, bytes, mask);
    if (!fua) {
        version_push(sim, number, page, mask);
        page_unref(block->cur);
        block->cur = page;
        return;
    }
    slot_merge(&block->dur, page, mask);
    for (struct version *v = block->versions; v; v = v->older) {
        v->mask &= (uint8_t)~mask; /* older than what the medium now has for certain */
    }
    page_unref(block->cur);
    block->cur = page;
}

/* What a discard makes of a block, at once: a crash brings back any of what was there. */
static void
block_discard(struct mr_dev_sim *sim, uint64_t number, struct page *garbage)
{
    version_push(sim, number, garbage, MASK_ALL);
    page_set(&sim->blocks[number].cur, garbage);
}

/* Settles what a flush has made durable: the completed writes up to `seq`. */
static void
block_flush(struct block *block, uint64_t seq)
{
    struct version **link = &block->versions;
    uint8_t settled = 0;

    while (*link) {
        struct version *version = *link;

        if (version->seq > seq) {
            link = &version->older;
            continue;
        }
        version->mask &= (uint8_t)~settled;
        if (!version->doomed && version->mask) {
            slot_merge(&block->dur, version->page, version->mask);
            settled |= version->mask;
            version->mask = 0;
        }
        if (version->mask == 0) {
            *link = version->older;
            version_free(version);
        } else {
            link = &version->older;
        }
    }
    if (!block->versions) {
        page_set(&block->dur, block->cur);
    }
}

static void
sim_flush(struct mr_dev_sim *sim, uint64_t seq)
{
    size_t kept = 0;

    for (size_t i = 0; i < sim->dirty_count; i++) {
        block_flush(&sim->blocks[sim->dirty[i]], seq);
        if (sim->blocks[sim->dirty[i]].versions) {
            sim->dirty[kept++] = sim->dirty[i];
        }
    }
    sim->dirty_count = kept;
}

/* A failed flush leaves open what has reached the medium, and no later flush tries again: what
 * Linux and drives do with the pages of a failed fsync(2). */
static void
sim_flush_failed(struct mr_dev_sim *sim, uint64_t seq)
{
    for (size_t i = 0; i < sim->dirty_count; i++) {
        for (struct version *v = sim->blocks[sim->dirty[i]].versions; v; v = v->older) {
            if (v->seq <= seq) {
                v->doomed = true;
            }
        }
    }
}

/* ---- transfers ------------------------------------------------------------------------------- */

static bool
walk_next(struct walk *walk)
{
    const struct iovec *slice;
    size_t left;

    if (!walk->bytes) {
        walk->block = walk->io->offset / MR_DEV_BLOCK;
    } else {
        walk->block++;
        walk->slice_at += MR_DEV_BLOCK;
        if (walk->slice_at >= walk->io->iov[walk->slice].iov_len) {
            walk->slice++;
            walk->slice_at = 0;
        }
    }
    if (walk->slice == walk->io->iov_count) {
        return false;
    }
    slice = &walk->io->iov[walk->slice];
    left = slice->iov_len - walk->slice_at;
    walk->bytes = (uint8_t *)slice->iov_base + walk->slice_at;
    walk->mask = left >= MR_DEV_BLOCK ? MASK_ALL : (uint8_t)((1u << (left / MR_DEV_SECTOR)) - 1);
    return true;
}

/* A quick sum that finds a buffer that was changed while it was lent. */
static uint64_t
lent_sum(const struct mr_dev_io *io)
{
    uint64_t lanes[4] = {1, 2, 3, 4};

    for (unsigned i = 0; i < io->iov_count; i++) {
        const uint8_t *at = io->iov[i].iov_base;

        for (size_t n = 0; n < io->iov[i].iov_len; n += 32) {
            for (unsigned lane = 0; lane < 4; lane++) {
                uint64_t word;

                memcpy(&word, at + n + lane * 8, 8);
                lanes[lane] = (lanes[lane] ^ word) * UINT64_C(0x9E3779B97F4A7C15);
            }
        }
    }
    return lanes[0] ^ lanes[1] << 1 ^ lanes[2] << 2 ^ lanes[3] << 3;
}

static bool
is_bad(const struct mr_dev_sim *sim, const struct mr_dev_io *io)
{
    for (size_t i = 0; i < sim->bad_count; i++) {
        if (sim->bad[i] + MR_DEV_BLOCK > io->offset && sim->bad[i] < io->offset + io->size) {
            return true;
        }
    }
    return false;
}

static int
read_complete(struct mr_dev_sim *sim, struct mr_dev_io *io)
{
    struct walk walk = {.io = io};

    if (is_the_nth(sim, 'r') || chance(sim, sim->config.read_fail)) {
        return -EIO;
    }
    while (walk_next(&walk)) {
        sectors_copy(walk.bytes, page_bytes(sim->blocks[walk.block].cur), walk.mask);
    }
    return 0;
}

/* The blocks hold garbage from the submission on. */
static void
discard(struct mr_dev_sim *sim, const struct mr_dev_io *io)
{
    struct page *garbage = page_copy(NULL);

    for (unsigned s = 0; s < SECTORS; s++) {
        sector_garbage(sim, garbage->bytes + s * MR_DEV_SECTOR);
    }
    sim->seq++;
    for (uint64_t at = 0; at < io->size; at += MR_DEV_BLOCK) {
        block_discard(sim, (io->offset + at) / MR_DEV_BLOCK, garbage);
    }
    page_unref(garbage);
}

/* Old, new or garbage, each sector for itself. */
static void
write_failed(struct mr_dev_sim *sim, struct mr_dev_io *io)
{
    struct walk walk = {.io = io};
    uint8_t bytes[MR_DEV_BLOCK];

    while (walk_next(&walk)) {
        uint8_t mask = 0;

        sectors_copy(bytes, walk.bytes, walk.mask);
        for (unsigned s = 0; s < SECTORS; s++) {
            uint64_t fate = mr_rng_below(&sim->rng, 3);

            if (fate > 0 && walk.mask & (1u << s)) {
                mask |= (uint8_t)(1u << s);
                if (fate == 2) {
                    sector_garbage(sim, bytes + s * MR_DEV_SECTOR);
                }
            }
        }
        block_write(sim, walk.block, bytes, mask, false);
    }
}

static int
write_complete(struct mr_dev_sim *sim, struct mr_dev_io *io)
{
    struct walk walk = {.io = io};

    sim->seq++;
    if (is_the_nth(sim, 'w') || is_bad(sim, io) || chance(sim, sim->config.write_fail)) {
        write_failed(sim, io);
        return -EIO;
    }
    while (walk_next(&walk)) {
        block_write(sim, walk.block, walk.bytes, walk.mask, io->fua);
    }
    return 0;
}

static int
flush_complete(struct mr_dev_sim *sim, uint64_t seq)
{
    if (is_the_nth(sim, 'f') || chance(sim, sim->config.flush_fail)) {
        sim_flush_failed(sim, seq);
        return -EIO;
    }
    sim_flush(sim, seq);
    return 0;
}

/* ---- crashes --------------------------------------------------------------------------------- */

/* How much of what was undecided survives. */
enum fate {
    FATE_NOTHING,
    FATE_EVERYTHING,
    FATE_WRITES, /* whole writes, in any subset */
    FATE_SECTORS,
    FATE_COUNT,
};

static bool
write_survives(uint64_t seq, uint64_t salt)
{
    uint64_t mixed = (seq ^ salt) * UINT64_C(0x9E3779B97F4A7C15);

    return (double)(mixed >> 11) / (double)(UINT64_C(1) << 53) < KEEP;
}

/* Adds what of the operations in flight has reached the drive, as if it had completed. */
static void
in_flight_settle(struct mr_dev_sim *sim, enum fate fate)
{
    for (unsigned i = 0; i < sim->in_flight_count; i++) {
        struct mr_dev_io *io = sim->in_flight[i].io;
        struct walk walk = {.io = io};

        if (io->kind != DEV_WRITE || fate == FATE_NOTHING ||
            (fate != FATE_EVERYTHING && !chance(sim, KEEP))) {
            continue;
        }
        sim->seq++;
        while (walk_next(&walk)) {
            uint8_t mask = walk.mask;

            if (fate == FATE_SECTORS) {
                mask &= (uint8_t)(mr_rng_next(&sim->rng) | mr_rng_next(&sim->rng));
            }
            block_write(sim, walk.block, walk.bytes, mask, false);
        }
    }
    sim->in_flight_count = 0;
}

/* One sector's content after a power cut: the newest version that survives, or at times an older
 * one, since writes reach the medium in any order. NULL: what was durable. */
static const struct version *
sector_pick(struct mr_dev_sim *sim, const struct block *block, unsigned sector, enum fate fate,
            uint64_t salt)
{
    const struct version *pick = NULL;
    unsigned seen = 0;

    for (const struct version *v = block->versions; v; v = v->older) {
        if (!(v->mask & (1u << sector))) {
            continue;
        }
        if (fate == FATE_EVERYTHING) {
            return v;
        }
        if (fate == FATE_WRITES ? write_survives(v->seq, salt) : chance(sim, KEEP)) {
            seen++;
            if (mr_rng_below(&sim->rng, seen) == 0) {
                pick = v;
            }
        }
    }
    return pick;
}

static void
block_power_cut(struct mr_dev_sim *sim, struct block *block, enum fate fate, uint64_t salt)
{
    struct page *page;

    if (fate != FATE_NOTHING) {
        page = page_copy(block->dur);
        for (unsigned s = 0; s < SECTORS; s++) {
            const struct version *v = sector_pick(sim, block, s, fate, salt);

            if (v && fate == FATE_SECTORS && chance(sim, sim->config.garbage_on_cut)) {
                sector_garbage(sim, page->bytes + s * MR_DEV_SECTOR);
            } else if (v) {
                sectors_copy(page->bytes, v->page->bytes, (uint8_t)(1u << s));
            }
        }
        page_unref(block->dur);
        block->dur = page;
    }
    page_set(&block->cur, block->dur);
    while (block->versions) {
        struct version *version = block->versions;

        block->versions = version->older;
        version_free(version);
    }
}

void
mr_dev_sim_power_cut(struct mr_dev_sim *sim)
{
    enum fate fate = (enum fate)mr_rng_below(&sim->rng, FATE_COUNT);
    uint64_t salt = mr_rng_next(&sim->rng);

    /* What was in flight is as undecided as what lay in the cache; the pick below decides both. */
    in_flight_settle(sim, fate == FATE_NOTHING ? FATE_NOTHING : FATE_EVERYTHING);
    for (size_t i = 0; i < sim->dirty_count; i++) {
        block_power_cut(sim, &sim->blocks[sim->dirty[i]], fate, salt);
    }
    sim->dirty_count = 0;
    sim->connected = false;
}

void
mr_dev_sim_kill(struct mr_dev_sim *sim)
{
    in_flight_settle(sim, (enum fate)mr_rng_below(&sim->rng, FATE_COUNT));
    sim->connected = false;
}

void
mr_dev_sim_cut_after(struct mr_dev_sim *sim, uint64_t operations, bool kill)
{
    sim->cut_after = operations;
    sim->cut_is_kill = kill;
}

/* ---- the connection -------------------------------------------------------------------------- */

/* Nothing may be in flight where something is discarded. */
static void
check_alone(const struct mr_dev_sim *sim, const struct mr_dev_io *io)
{
    for (unsigned i = 0; i < sim->in_flight_count; i++) {
        const struct mr_dev_io *other = sim->in_flight[i].io;

        if (io->kind == DEV_DISCARD || other->kind == DEV_DISCARD) {
            MR_ASSERT(io->offset + io->size <= other->offset ||
                      other->offset + other->size <= io->offset);
        }
    }
}

static void
submit(struct mr_dev *dev, struct mr_dev_io *io)
{
    struct mr_dev_sim *sim = MR_CONTAINER_OF(dev, struct mr_dev_sim, dev);
    struct in_flight *entry;

    if (!sim->connected) {
        return; /* the process that submits is dead and does not know it */
    }
    if (sim->in_flight_count == sim->in_flight_max) {
        sim->in_flight_max = sim->in_flight_max ? sim->in_flight_max * 2 : 64;
        sim->in_flight =
            must(realloc(sim->in_flight, sim->in_flight_max * sizeof(*sim->in_flight)));
    }
    check_alone(sim, io);
    if (io->kind == DEV_DISCARD) {
        discard(sim, io);
    }
    entry = &sim->in_flight[sim->in_flight_count++];
    entry->io = io;
    entry->sum =
        io->kind == DEV_WRITE && mr_rng_below(&sim->rng, SUM_ONE_IN) == 0 ? lent_sum(io) : 0;
    entry->flush_seq = sim->seq;
    if (sim->cut_after && --sim->cut_after == 0) {
        if (sim->cut_is_kill) {
            mr_dev_sim_kill(sim);
        } else {
            mr_dev_sim_power_cut(sim);
        }
    }
}

/* Completes one operation in flight, any of them. */
static void
complete_one(struct mr_dev_sim *sim)
{
    unsigned pick = (unsigned)mr_rng_below(&sim->rng, sim->in_flight_count);
    struct in_flight entry = sim->in_flight[pick];
    int result;

    sim->in_flight[pick] = sim->in_flight[--sim->in_flight_count];
    switch (entry.io->kind) {
    case DEV_READ:
        result = read_complete(sim, entry.io);
        break;
    case DEV_WRITE:
        MR_ASSERT(entry.sum == 0 || lent_sum(entry.io) == entry.sum);
        result = write_complete(sim, entry.io);
        break;
    case DEV_DISCARD:
        result = is_bad(sim, entry.io) || chance(sim, sim->config.write_fail) ? -EIO : 0;
        break;
    default:
        result = flush_complete(sim, entry.flush_seq);
        break;
    }
    entry.io->done(entry.io, result);
}

/* Completes `count` of what is in flight now or is submitted meanwhile. */
static int
complete(struct mr_dev_sim *sim, unsigned count)
{
    unsigned done = 0;

    while (done < count && sim->connected && sim->in_flight_count > 0 && !sim->stalled) {
        complete_one(sim);
        done++;
    }
    return sim->connected ? (int)done : -ECANCELED;
}

static int
sim_poll(struct mr_dev *dev)
{
    struct mr_dev_sim *sim = MR_CONTAINER_OF(dev, struct mr_dev_sim, dev);
    unsigned count = sim->in_flight_count;

    if (count && (sim->config.complete_max || chance(sim, 0.5))) {
        if (sim->config.complete_max && count > sim->config.complete_max) {
            count = sim->config.complete_max;
        }
        count = chance(sim, POLL_IDLE) ? 0 : 1 + (unsigned)mr_rng_below(&sim->rng, count);
    }
    return complete(sim, count);
}

static int
sim_wait(struct mr_dev *dev)
{
    struct mr_dev_sim *sim = MR_CONTAINER_OF(dev, struct mr_dev_sim, dev);
    int got;

    if (!sim->connected) {
        return -ECANCELED;
    }
    /* Waiting for nothing, or for a stalled drive, would sleep for ever. */
    MR_ASSERT(sim->in_flight_count > 0);
    MR_ASSERT(!sim->stalled);
    got = complete(sim, 1);
    return got < 0 ? got : 0;
}

static int
sim_resize(struct mr_dev *dev)
{
    struct mr_dev_sim *sim = MR_CONTAINER_OF(dev, struct mr_dev_sim, dev);

    dev->size_bytes = sim->block_count * MR_DEV_BLOCK;
    return 0;
}

static void
sim_close(struct mr_dev *dev)
{
    (void)dev; /* the medium lives on */
}

static const struct mr_dev_ops sim_ops = {
    .read = submit,
    .write = submit,
    .flush = submit,
    .discard = submit,
    .poll = sim_poll,
    .wait = sim_wait,
    .resize = sim_resize,
    .close = sim_close,
};

/* ---- the medium ------------------------------------------------------------------------------ */

struct mr_dev_sim *
mr_dev_sim_create(const struct mr_dev_sim_config *config)
{
    struct mr_dev_sim *sim = must(calloc(1, sizeof(*sim)));

    MR_ASSERT(config->size_bytes % MR_DEV_BLOCK == 0);
    sim->config = *config;
    sim->block_count = config->size_bytes / MR_DEV_BLOCK;
    sim->blocks = must(calloc(sim->block_count, sizeof(*sim->blocks)));
    mr_rng_init(&sim->rng, config->seed);
    sim->dev.ops = &sim_ops;
    return sim;
}

void
mr_dev_sim_destroy(struct mr_dev_sim *sim)
{
    if (!sim) {
        return;
    }
    for (uint64_t i = 0; i < sim->block_count; i++) {
        struct block *block = &sim->blocks[i];

        page_unref(block->cur);
        page_unref(block->dur);
        while (block->versions) {
            struct version *version = block->versions;

            block->versions = version->older;
            version_free(version);
        }
    }
    free(sim->blocks);
    free(sim->dirty);
    free(sim->in_flight);
    free(sim->bad);
    free(sim);
}

struct mr_dev *
mr_dev_sim_connect(struct mr_dev_sim *sim)
{
    MR_ASSERT(!sim->connected);
    sim->connected = true;
    sim->stalled = false;
    sim->dev.size_bytes = sim->block_count * MR_DEV_BLOCK;
    return &sim->dev;
}

void
mr_dev_sim_extend(struct mr_dev_sim *sim, uint64_t size_bytes)
{
    uint64_t count = size_bytes / MR_DEV_BLOCK;

    MR_ASSERT(size_bytes % MR_DEV_BLOCK == 0);
    MR_ASSERT(count >= sim->block_count);
    sim->blocks = must(realloc(sim->blocks, count * sizeof(*sim->blocks)));
    memset(sim->blocks + sim->block_count, 0, (count - sim->block_count) * sizeof(*sim->blocks));
    sim->block_count = count;
}

void
mr_dev_sim_rot(struct mr_dev_sim *sim, uint64_t offset)
{
    struct block *block = &sim->blocks[offset / MR_DEV_BLOCK];
    unsigned sector = (unsigned)(offset % MR_DEV_BLOCK / MR_DEV_SECTOR);
    struct page *garbage = page_copy(NULL);

    sector_garbage(sim, garbage->bytes + sector * MR_DEV_SECTOR);
    slot_merge(&block->cur, garbage, (uint8_t)(1u << sector));
    slot_merge(&block->dur, garbage, (uint8_t)(1u << sector));
    for (struct version *v = block->versions; v; v = v->older) {
        v->mask &= (uint8_t) ~(1u << sector);
    }
    page_unref(garbage);
}

void
mr_dev_sim_bad_block(struct mr_dev_sim *sim, uint64_t offset, bool bad)
{
    offset -= offset % MR_DEV_BLOCK;
    for (size_t i = 0; i < sim->bad_count; i++) {
        if (sim->bad[i] == offset) {
            if (!bad) {
                sim->bad[i] = sim->bad[--sim->bad_count];
            }
            return;
        }
    }
    if (bad) {
        sim->bad = must(realloc(sim->bad, (sim->bad_count + 1) * sizeof(*sim->bad)));
        sim->bad[sim->bad_count++] = offset;
    }
}

void
mr_dev_sim_stall(struct mr_dev_sim *sim, bool stalled)
{
    sim->stalled = stalled;
}

unsigned
mr_dev_sim_in_flight(const struct mr_dev_sim *sim)
{
    return sim->in_flight_count;
}

void
mr_dev_sim_peek(const struct mr_dev_sim *sim, uint64_t offset, void *out, size_t size)
{
    uint8_t *to = out;

    while (size > 0) {
        size_t within = offset % MR_DEV_BLOCK;
        size_t piece = MR_DEV_BLOCK - within < size ? MR_DEV_BLOCK - within : size;

        memcpy(to, page_bytes(sim->blocks[offset / MR_DEV_BLOCK].cur) + within, piece);
        to += piece;
        offset += piece;
        size -= piece;
    }
}

struct mr_dev_sim *
mr_dev_sim_copy(const struct mr_dev_sim *sim, uint64_t seed)
{
    struct mr_dev_sim_config config = sim->config;
    struct mr_dev_sim *copy;

    config.seed = seed;
    config.size_bytes = sim->block_count * MR_DEV_BLOCK;
    copy = mr_dev_sim_create(&config);
    copy->seq = sim->seq;
    for (uint64_t i = 0; i < sim->block_count; i++) {
        copy->blocks[i].cur = page_ref(sim->blocks[i].cur);
        copy->blocks[i].dur = page_ref(sim->blocks[i].dur);
    }
    for (size_t i = 0; i < sim->dirty_count; i++) {
        struct version **link = &copy->blocks[sim->dirty[i]].versions;

        for (const struct version *v = sim->blocks[sim->dirty[i]].versions; v; v = v->older) {
            *link = must(malloc(sizeof(**link)));
            **link = *v;
            (*link)->older = NULL;
            page_ref((*link)->page);
            link = &(*link)->older;
        }
    }
    copy->dirty_count = copy->dirty_max = sim->dirty_count;
    if (copy->dirty_count) {
        copy->dirty = must(malloc(copy->dirty_count * sizeof(*copy->dirty)));
        memcpy(copy->dirty, sim->dirty, copy->dirty_count * sizeof(*copy->dirty));
    }
    for (size_t i = 0; i < sim->bad_count; i++) {
        mr_dev_sim_bad_block(copy, sim->bad[i], true);
    }
    return copy;
}
