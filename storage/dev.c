/* storage/dev.c: the disk contract's entry points: what every implementation may rely on. */
#include "storage/dev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "storage/dev_private.h"

#define BLANK_BYTES (1u << 20)

/* Fills in what the implementations read. A wrong range or alignment is a bug of the caller. */
static void
prepare(struct mr_dev *dev, struct mr_dev_io *io, enum dev_kind kind, const struct iovec *iov,
        unsigned iov_count, uint64_t offset)
{
    uint64_t size = 0;

    MR_ASSERT(io->done);
    MR_ASSERT(iov_count > 0);
    MR_ASSERT(iov_count <= MR_DEV_IOV_MAX);
    MR_ASSERT(offset % MR_DEV_BLOCK == 0);
    for (unsigned i = 0; i < iov_count; i++) {
        MR_ASSERT((uintptr_t)iov[i].iov_base % MR_DEV_BLOCK == 0);
        MR_ASSERT(iov[i].iov_len > 0);
        MR_ASSERT(iov[i].iov_len % (iov_count == 1 ? MR_DEV_SECTOR : MR_DEV_BLOCK) == 0);
        size += iov[i].iov_len;
    }
    MR_ASSERT(offset <= dev->size_bytes);
    MR_ASSERT(size <= dev->size_bytes - offset);
    io->dev = dev;
    io->kind = (uint8_t)kind;
    io->iov = iov;
    io->iov_count = iov_count;
    io->offset = offset;
    io->size = size;
    io->fua = false;
}

void
mr_dev_read(struct mr_dev *dev, struct mr_dev_io *io, const struct iovec *iov, unsigned iov_count,
            uint64_t offset)
{
    prepare(dev, io, DEV_READ, iov, iov_count, offset);
    dev->ops->read(dev, io);
}

void
mr_dev_write(struct mr_dev *dev, struct mr_dev_io *io, const struct iovec *iov, unsigned iov_count,
             uint64_t offset, bool fua)
{
    prepare(dev, io, DEV_WRITE, iov, iov_count, offset);
    io->fua = fua;
    dev->ops->write(dev, io);
}

/* The same for what moves no bytes. */
static void
prepare_plain(struct mr_dev *dev, struct mr_dev_io *io, enum dev_kind kind, uint64_t offset,
              uint64_t size)
{
    MR_ASSERT(io->done);
    io->dev = dev;
    io->kind = (uint8_t)kind;
    io->iov = NULL;
    io->iov_count = 0;
    io->offset = offset;
    io->size = size;
    io->fua = false;
}

void
mr_dev_flush(struct mr_dev *dev, struct mr_dev_io *io)
{
    prepare_plain(dev, io, DEV_FLUSH, 0, 0);
    dev->ops->flush(dev, io);
}

void
mr_dev_discard(struct mr_dev *dev, struct mr_dev_io *io, uint64_t offset, uint64_t size)
{
    MR_ASSERT(offset % MR_DEV_BLOCK == 0);
    MR_ASSERT(size > 0 && size % MR_DEV_BLOCK == 0);
    MR_ASSERT(offset <= dev->size_bytes);
    MR_ASSERT(size <= dev->size_bytes - offset);
    prepare_plain(dev, io, DEV_DISCARD, offset, size);
    dev->ops->discard(dev, io);
}

void
mr_dev_kick(struct mr_dev *dev)
{
    if (dev->ops->kick) {
        dev->ops->kick(dev);
    }
}

int
mr_dev_poll(struct mr_dev *dev)
{
    return dev->ops->poll(dev);
}

int
mr_dev_wait(struct mr_dev *dev)
{
    return dev->ops->wait(dev);
}

int
mr_dev_resize(struct mr_dev *dev)
{
    return dev->ops->resize(dev);
}

bool
mr_dev_busy(const struct mr_dev *dev)
{
    return dev->ops->busy && dev->ops->busy(dev);
}

int
mr_dev_lend(struct mr_dev *dev, void *base, size_t size)
{
    return dev->ops->lend ? dev->ops->lend(dev, base, size) : -ENOTSUP;
}

struct blank_read {
    struct mr_dev_io io;
    bool done;
    int error;
};

static void
blank_read_done(struct mr_dev_io *io, int result)
{
    struct blank_read *read = MR_CONTAINER_OF(io, struct blank_read, io);

    read->done = true;
    read->error = result;
}

static int
check_zeros(struct mr_dev *dev, uint64_t offset, uint64_t size, uint8_t *buffer)
{
    struct blank_read read = {.io = {.done = blank_read_done}};
    struct iovec iov = {buffer, size};

    mr_dev_read(dev, &read.io, &iov, 1, offset);
    while (!read.done) {
        int error = mr_dev_wait(dev);

        if (error) {
            return error;
        }
    }
    if (read.error) {
        return read.error;
    }
    return buffer[0] == 0 && memcmp(buffer, buffer + 1, size - 1) == 0 ? 0 : -EEXIST;
}

int
mr_dev_check_blank(struct mr_dev *dev)
{
    uint64_t size = dev->size_bytes < BLANK_BYTES ? dev->size_bytes : BLANK_BYTES;
    uint8_t *buffer = size ? aligned_alloc(MR_DEV_BLOCK, size) : NULL;
    int error = buffer ? check_zeros(dev, 0, size, buffer) : size ? -ENOMEM : 0;

    if (!error && size) {
        error = check_zeros(dev, dev->size_bytes - size, size, buffer);
    }
    free(buffer);
    return error;
}

/* ---- for the implementations ----------------------------------------------------------------- */

bool
dev_io_advance(struct mr_dev_io *io, uint64_t moved)
{
    if (moved == 0 || moved > io->size || moved % MR_DEV_SECTOR) {
        return false;
    }
    io->offset += moved;
    io->size -= moved;
    if (io->iov_left.iov_len) {
        if (moved > io->iov_left.iov_len) {
            return false;
        }
        io->iov_left.iov_base = (uint8_t *)io->iov_left.iov_base + moved;
        io->iov_left.iov_len -= moved;
        return true;
    }
    while (moved > 0 && moved >= io->iov->iov_len) {
        moved -= io->iov->iov_len;
        io->iov++;
        io->iov_count--;
    }
    if (moved > 0) {
        io->iov_left.iov_base = (uint8_t *)io->iov->iov_base + moved;
        io->iov_left.iov_len = io->iov->iov_len - moved;
        io->iov++;
        io->iov_count--;
    }
    return true;
}

void
mr_dev_close(struct mr_dev *dev)
{
    if (dev) {
        dev->ops->close(dev);
    }
}
