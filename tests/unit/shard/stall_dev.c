/* Forwards operations and keeps their completions while the drive is stalled. */
#include "tests/unit/shard/stall_dev.h"

#include <stdlib.h>

#include "dataplane/base/assert.h"

struct stall_op {
    struct mr_dev_io inner;
    struct stall_dev *owner;
    struct mr_dev_io *outer;
    struct mr_list node;
    int result;
};

static void
finish(struct stall_op *op)
{
    struct mr_dev_io *outer = op->outer;
    int result = op->result;

    free(op);
    outer->done(outer, result);
}

static void
on_inner(struct mr_dev_io *inner, int result)
{
    struct stall_op *op = MR_CONTAINER_OF(inner, struct stall_op, inner);

    op->result = result;
    if (atomic_load(&op->owner->stalled) || !mr_list_empty(&op->owner->kept)) {
        mr_list_push_back(&op->owner->kept, &op->node);
    } else {
        finish(op);
    }
}

static struct stall_op *
new_op(struct mr_dev *dev, struct mr_dev_io *io)
{
    struct stall_op *op = calloc(1, sizeof(*op));

    MR_ASSERT(op);
    op->inner.done = on_inner;
    op->owner = MR_CONTAINER_OF(dev, struct stall_dev, dev);
    op->outer = io;
    return op;
}

static void
stall_read(struct mr_dev *dev, struct mr_dev_io *io)
{
    struct stall_op *op = new_op(dev, io);

    mr_dev_read(op->owner->inner, &op->inner, io->iov, io->iov_count, io->offset);
}

static void
stall_write(struct mr_dev *dev, struct mr_dev_io *io)
{
    struct stall_op *op = new_op(dev, io);

    mr_dev_write(op->owner->inner, &op->inner, io->iov, io->iov_count, io->offset, io->fua);
}

static void
stall_flush(struct mr_dev *dev, struct mr_dev_io *io)
{
    struct stall_op *op = new_op(dev, io);

    mr_dev_flush(op->owner->inner, &op->inner);
}

static int
stall_poll(struct mr_dev *dev)
{
    return mr_dev_poll(MR_CONTAINER_OF(dev, struct stall_dev, dev)->inner);
}

static int
stall_wait(struct mr_dev *dev)
{
    return mr_dev_wait(MR_CONTAINER_OF(dev, struct stall_dev, dev)->inner);
}

static int
stall_resize(struct mr_dev *dev)
{
    struct stall_dev *stall = MR_CONTAINER_OF(dev, struct stall_dev, dev);
    int error = mr_dev_resize(stall->inner);

    dev->size_bytes = stall->inner->size_bytes;
    return error;
}

static void
stall_close(struct mr_dev *dev)
{
    mr_dev_close(MR_CONTAINER_OF(dev, struct stall_dev, dev)->inner);
}

static const struct mr_dev_ops stall_ops = {
    .read = stall_read,
    .write = stall_write,
    .flush = stall_flush,
    .poll = stall_poll,
    .wait = stall_wait,
    .resize = stall_resize,
    .close = stall_close,
};

void
stall_dev_init(struct stall_dev *stall, struct mr_dev *inner)
{
    stall->dev = (struct mr_dev){.ops = &stall_ops, .size_bytes = inner->size_bytes};
    stall->inner = inner;
    atomic_init(&stall->stalled, false);
    mr_list_init(&stall->kept);
}

bool
stall_dev_release(struct stall_dev *stall)
{
    struct mr_list now;
    struct mr_list *node;

    if (atomic_load(&stall->stalled) || mr_list_empty(&stall->kept)) {
        return false;
    }
    mr_list_init(&now);
    while ((node = mr_list_pop_front(&stall->kept))) {
        mr_list_push_back(&now, node);
    }
    while ((node = mr_list_pop_front(&now))) {
        finish(MR_CONTAINER_OF(node, struct stall_op, node));
    }
    return true;
}
