/* storage/dev_volatile.c: holds every write in process memory until a flush, so that kill -9 of a
 * real broker is a power cut.
 *
 * Two overlays of blocks lie over the inner device: `live` takes the writes that complete, and a
 * flush in progress owns `flushing`, which it writes to the inner device before it flushes that.
 * Every operation costs at least one inner operation, also a write that needs none: so its callback
 * comes from where the inner device's ring is reaped, and a shard that sleeps there is woken.
 *
 * For tests: memory is taken as needed, and running out of it ends the process. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "storage/dev.h"
#include "storage/dev_private.h"

#define BUCKETS         16384u
#define SLICES_MAX      64u /* blocks joined in one inner write */
#define FLUSH_DEPTH_MAX 32u /* inner writes of one flush in flight */

/* The power-cut test is built once more with flushes that do nothing, and must then fail. */
#ifdef MR_MUTANT_NO_FLUSH
#define FLUSH_WORKS false
#else
#define FLUSH_WORKS true
#endif

/* Since offsets are whole blocks, what is held of a block is always its first sectors. */
struct held {
    struct held *next;
    uint64_t number;
    size_t size;
    uint8_t *bytes; /* a whole aligned block */
};

struct overlay {
    struct held *buckets[BUCKETS];
    size_t count;
};

struct dev_volatile {
    struct mr_dev dev;
    struct mr_dev *inner;
    struct overlay *live;
    struct overlay *flushing;
    struct held **order; /* of the flush in progress: its blocks by number */
    size_t order_count, order_at;
    struct mr_dev_io *flush; /* in progress */
    struct mr_dev_io flush_inner;
    unsigned flush_writes;
    int flush_result;
    struct mr_list waiting; /* flushes and FUA writes, until the flush in progress has ended */
    uint8_t *scratch;       /* what pacing reads read into */
    uint64_t completed;
};

/* One inner operation. */
struct step {
    struct mr_dev_io inner;
    struct dev_volatile *owner;
    struct mr_dev_io *outer; /* NULL: a write of a flush */
    struct iovec iov[SLICES_MAX];
};

static _Atomic uint64_t *gauge; /* what all devices of the process hold; may be NULL */

void
mr_dev_volatile_gauge(_Atomic uint64_t *blocks)
{
    gauge = blocks;
}

static void
gauge_add(uint64_t blocks)
{
    if (gauge) {
        atomic_fetch_add_explicit(gauge, blocks, memory_order_relaxed);
    }
}

static void *
must(void *allocated)
{
    MR_ASSERT(allocated);
    return allocated;
}

static struct dev_volatile *
dev_volatile(struct mr_dev *dev)
{
    return MR_CONTAINER_OF(dev, struct dev_volatile, dev);
}

/* ---- overlay --------------------------------------------------------------------------------- */

static struct held **
held_slot(struct overlay *overlay, uint64_t number)
{
    struct held **slot = &overlay->buckets[number * UINT64_C(0x9E3779B97F4A7C15) >> 50];

    while (*slot && (*slot)->number != number) {
        slot = &(*slot)->next;
    }
    return slot;
}

static void
held_free(struct held *held)
{
    free(held->bytes);
    free(held);
}

static void
overlay_clear(struct overlay *overlay)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        while (overlay->buckets[i]) {
            struct held *held = overlay->buckets[i];

            overlay->buckets[i] = held->next;
            held_free(held);
        }
    }
    gauge_add(-(uint64_t)overlay->count);
    overlay->count = 0;
}

static void
overlay_put(struct overlay *overlay, uint64_t number, const uint8_t *bytes, size_t size)
{
    struct held **slot = held_slot(overlay, number);

    if (!*slot) {
        *slot = must(calloc(1, sizeof(**slot)));
        (*slot)->number = number;
        (*slot)->bytes = must(aligned_alloc(MR_DEV_BLOCK, MR_DEV_BLOCK));
        overlay->count++;
        gauge_add(1);
    }
    memcpy((*slot)->bytes, bytes, size);
    if (size > (*slot)->size) {
        (*slot)->size = size;
    }
}

static void
overlay_read(struct overlay *overlay, uint64_t number, uint8_t *bytes, size_t size)
{
    const struct held *held = *held_slot(overlay, number);

    if (held) {
        memcpy(bytes, held->bytes, size < held->size ? size : held->size);
    }
}

/* A FUA write makes what is held of its blocks old. What it does not cover of a block stays. */
static void
overlay_supersede(struct overlay *overlay, uint64_t number, const uint8_t *bytes, size_t size)
{
    struct held **slot = held_slot(overlay, number);
    struct held *held = *slot;

    if (held && held->size > size) {
        memcpy(held->bytes, bytes, size);
    } else if (held) {
        *slot = held->next;
        held_free(held);
        overlay->count--;
        gauge_add(-UINT64_C(1));
    }
}

/* Calls one of the above for every block of a transfer. */
static void
each_block(struct overlay *overlay, const struct mr_dev_io *io,
           void (*call)(struct overlay *, uint64_t, uint8_t *, size_t))
{
    uint64_t number = io->offset / MR_DEV_BLOCK;

    for (unsigned i = 0; i < io->iov_count; i++) {
        uint8_t *bytes = io->iov[i].iov_base;
        size_t left = io->iov[i].iov_len;

        while (left > 0) {
            size_t size = left < MR_DEV_BLOCK ? left : MR_DEV_BLOCK;

            call(overlay, number++, bytes, size);
            bytes += size;
            left -= size;
        }
    }
}

static void
put_block(struct overlay *overlay, uint64_t number, uint8_t *bytes, size_t size)
{
    overlay_put(overlay, number, bytes, size);
}

static void
supersede_block(struct overlay *overlay, uint64_t number, uint8_t *bytes, size_t size)
{
    overlay_supersede(overlay, number, bytes, size);
}

/* ---- reads and writes ------------------------------------------------------------------------ */

static struct step *
step_new(struct dev_volatile *vol, struct mr_dev_io *outer, void (*done)(struct mr_dev_io *, int))
{
    struct step *step = must(calloc(1, sizeof(*step)));

    step->inner.done = done;
    step->owner = vol;
    step->outer = outer;
    return step;
}

static void
outer_done(struct dev_volatile *vol, struct mr_dev_io *io, int result)
{
    vol->completed++;
    io->done(io, result);
}

static void
read_done(struct mr_dev_io *inner, int result)
{
    struct step *step = MR_CONTAINER_OF(inner, struct step, inner);
    struct dev_volatile *vol = step->owner;
    struct mr_dev_io *io = step->outer;

    free(step);
    if (result == 0) {
        each_block(vol->flushing, io, overlay_read);
        each_block(vol->live, io, overlay_read);
    }
    outer_done(vol, io, result);
}

static void
volatile_read(struct mr_dev *dev, struct mr_dev_io *io)
{
    struct dev_volatile *vol = dev_volatile(dev);
    struct step *step = step_new(vol, io, read_done);

    mr_dev_read(vol->inner, &step->inner, io->iov, io->iov_count, io->offset);
}

static void
write_done(struct mr_dev_io *inner, int result)
{
    struct step *step = MR_CONTAINER_OF(inner, struct step, inner);
    struct dev_volatile *vol = step->owner;
    struct mr_dev_io *io = step->outer;

    (void)result; /* of the pacing read: nothing was asked of the medium */
    free(step);
    each_block(vol->live, io, put_block);
    outer_done(vol, io, 0);
}

static void
fua_done(struct mr_dev_io *inner, int result)
{
    struct step *step = MR_CONTAINER_OF(inner, struct step, inner);
    struct dev_volatile *vol = step->owner;
    struct mr_dev_io *io = step->outer;

    free(step);
    gauge_add(-UINT64_C(1));
    outer_done(vol, io, result);
}

static void
fua_start(struct dev_volatile *vol, struct mr_dev_io *io)
{
    struct step *step = step_new(vol, io, fua_done);

    each_block(vol->live, io, supersede_block);
    gauge_add(1);
    mr_dev_write(vol->inner, &step->inner, io->iov, io->iov_count, io->offset, true);
}

static void
volatile_write(struct mr_dev *dev, struct mr_dev_io *io)
{
    struct dev_volatile *vol = dev_volatile(dev);
    bool fua = io->fua && FLUSH_WORKS;
    struct step *step;

    if (fua && vol->flush) {
        mr_list_push_back(&vol->waiting,
                          &io->node); /* else the flush could write old bytes later */
        return;
    }
    if (fua) {
        fua_start(vol, io);
        return;
    }
    step = step_new(vol, io, write_done);
    step->iov[0] = (struct iovec){vol->scratch, MR_DEV_BLOCK};
    mr_dev_read(vol->inner, &step->inner, step->iov, 1, io->offset);
}

static void
discard_done(struct mr_dev_io *inner, int result)
{
    struct step *step = MR_CONTAINER_OF(inner, struct step, inner);
    struct dev_volatile *vol = step->owner;
    struct mr_dev_io *io = step->outer;

    free(step);
    outer_done(vol, io, result);
}

/* At once, as the worst of drives does it. What is held of the blocks may still be written: they
 * hold anything. */
static void
volatile_discard(struct mr_dev *dev, struct mr_dev_io *io)
{
    struct dev_volatile *vol = dev_volatile(dev);
    struct step *step = step_new(vol, io, discard_done);

    mr_dev_discard(vol->inner, &step->inner, io->offset, io->size);
}

/* ---- flush ----------------------------------------------------------------------------------- */

static int
held_compare(const void *a, const void *b)
{
    const struct held *const *left = a;
    const struct held *const *right = b;

    return (*left)->number < (*right)->number ? -1 : (*left)->number > (*right)->number;
}

static void flush_start(struct dev_volatile *vol, struct mr_dev_io *io);
static void flush_write_done(struct mr_dev_io *inner, int result);

static void
flush_end(struct dev_volatile *vol)
{
    struct mr_dev_io *io = vol->flush;

    /* After a failed flush what it covered is left as it lies on the medium, like the pages of a
     * failed fsync(2). */
    overlay_clear(vol->flushing);
    free(vol->order);
    vol->order = NULL;
    vol->flush = NULL;
    outer_done(vol, io, vol->flush_result);
    while (!vol->flush) {
        struct mr_list *node = mr_list_pop_front(&vol->waiting);

        if (!node) {
            break;
        }
        io = MR_CONTAINER_OF(node, struct mr_dev_io, node);
        if (io->kind == DEV_FLUSH) {
            flush_start(vol, io);
        } else {
            fua_start(vol, io);
        }
    }
}

static void
flush_inner_done(struct mr_dev_io *inner, int result)
{
    struct dev_volatile *vol = MR_CONTAINER_OF(inner, struct dev_volatile, flush_inner);

    if (result) {
        vol->flush_result = result;
    }
    flush_end(vol);
}

/* Writes the next blocks in a row, or flushes the inner device when all are written. */
static void
flush_go_on(struct dev_volatile *vol)
{
    while (vol->order_at < vol->order_count && vol->flush_writes < FLUSH_DEPTH_MAX) {
        struct step *step = step_new(vol, NULL, flush_write_done);
        struct held *first = vol->order[vol->order_at];
        unsigned count = 0;

        do {
            const struct held *held = vol->order[vol->order_at];

            if (count && (held->number != first->number + count || held->size != MR_DEV_BLOCK ||
                          first->size != MR_DEV_BLOCK)) {
                break;
            }
            step->iov[count++] = (struct iovec){held->bytes, held->size};
            vol->order_at++;
        } while (vol->order_at < vol->order_count && count < SLICES_MAX);
        vol->flush_writes++;
        mr_dev_write(vol->inner, &step->inner, step->iov, count, first->number * MR_DEV_BLOCK,
                     false);
    }
    if (vol->flush_writes == 0) {
        vol->flush_inner.done = flush_inner_done;
        mr_dev_flush(vol->inner, &vol->flush_inner);
    }
}

static void
flush_write_done(struct mr_dev_io *inner, int result)
{
    struct step *step = MR_CONTAINER_OF(inner, struct step, inner);
    struct dev_volatile *vol = step->owner;

    free(step);
    if (result) {
        vol->flush_result = result;
    }
    vol->flush_writes--;
    flush_go_on(vol);
}

static void
flush_start(struct dev_volatile *vol, struct mr_dev_io *io)
{
    struct overlay *empty = vol->flushing;
    size_t count = 0;

    if (FLUSH_WORKS) {
        vol->flushing = vol->live;
        vol->live = empty;
    }
    vol->flush = io;
    vol->flush_result = 0;
    vol->order_at = 0;
    vol->order_count = vol->flushing->count;
    vol->order = must(malloc((vol->order_count + 1) * sizeof(*vol->order)));
    for (size_t i = 0; vol->order_count && i < BUCKETS; i++) {
        for (struct held *held = vol->flushing->buckets[i]; held; held = held->next) {
            vol->order[count++] = held;
        }
    }
    MR_ASSERT(count == vol->order_count);
    qsort(vol->order, count, sizeof(*vol->order), held_compare);
    flush_go_on(vol);
}

static void
volatile_flush(struct mr_dev *dev, struct mr_dev_io *io)
{
    struct dev_volatile *vol = dev_volatile(dev);

    if (vol->flush) {
        mr_list_push_back(&vol->waiting, &io->node);
    } else {
        flush_start(vol, io);
    }
}

/* ---- the rest -------------------------------------------------------------------------------- */

static int
volatile_poll(struct mr_dev *dev)
{
    struct dev_volatile *vol = dev_volatile(dev);
    uint64_t before = vol->completed;
    int got = mr_dev_poll(vol->inner);

    return got < 0 ? got : (int)(vol->completed - before);
}

static int
volatile_wait(struct mr_dev *dev)
{
    struct dev_volatile *vol = dev_volatile(dev);
    uint64_t before = vol->completed;

    while (vol->completed == before) {
        int error = mr_dev_wait(vol->inner);

        if (error) {
            return error;
        }
    }
    return 0;
}

static int
volatile_resize(struct mr_dev *dev)
{
    struct dev_volatile *vol = dev_volatile(dev);
    int error = mr_dev_resize(vol->inner);

    dev->size_bytes = vol->inner->size_bytes;
    return error;
}

static void
volatile_free(struct dev_volatile *vol)
{
    free(vol->live);
    free(vol->flushing);
    free(vol->scratch);
    free(vol);
}

static void
volatile_close(struct mr_dev *dev)
{
    struct dev_volatile *vol = dev_volatile(dev);

    MR_ASSERT(!vol->flush);
    mr_dev_close(vol->inner);
    overlay_clear(vol->live);
    volatile_free(vol);
}

static bool
volatile_busy(const struct mr_dev *dev)
{
    return mr_dev_busy(
        MR_CONTAINER_OF((struct mr_dev *)(uintptr_t)dev, struct dev_volatile, dev)->inner);
}

static const struct mr_dev_ops volatile_ops = {
    .read = volatile_read,
    .write = volatile_write,
    .flush = volatile_flush,
    .discard = volatile_discard,
    .poll = volatile_poll,
    .wait = volatile_wait,
    .busy = volatile_busy,
    .resize = volatile_resize,
    .close = volatile_close,
};

int
mr_dev_volatile_open(struct mr_dev *inner, struct mr_dev **out)
{
    struct dev_volatile *vol = calloc(1, sizeof(*vol));

    *out = NULL;
    if (!vol) {
        return -ENOMEM;
    }
    vol->live = calloc(1, sizeof(*vol->live));
    vol->flushing = calloc(1, sizeof(*vol->flushing));
    vol->scratch = aligned_alloc(MR_DEV_BLOCK, MR_DEV_BLOCK);
    if (!vol->live || !vol->flushing || !vol->scratch) {
        volatile_free(vol);
        return -ENOMEM;
    }
    mr_list_init(&vol->waiting);
    vol->inner = inner;
    vol->dev.ops = &volatile_ops;
    vol->dev.size_bytes = inner->size_bytes;
    *out = &vol->dev;
    return 0;
}
