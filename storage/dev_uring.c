/* storage/dev_uring.c: a file or a block device, O_DIRECT, through a shared io_uring.
 *
 * Source: io_uring_enter(2), open(2) on O_DIRECT, pwritev2(2) on RWF_DSYNC, flock(2). */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/base/assert.h"
#include "storage/dev.h"
#include "storage/dev_private.h"

#define LOCK_PAUSE_NS (50L * 1000 * 1000)
#define LOCK_PAUSES   60u

#define REAP_MAX      256u /* completions taken in one poll; they may be other users' of the ring */
#define WAIT_NS       MR_NS_PER_S

struct dev_uring {
    struct mr_dev dev;
    struct mr_uring *uring;
    int fd;
    unsigned in_flight;
    uint64_t completed;
};

static struct dev_uring *
dev_uring(struct mr_dev *dev)
{
    return MR_CONTAINER_OF(dev, struct dev_uring, dev);
}

/* The next system call's worth of what is left: the rest of a slice that was cut, else all whole
 * slices that follow. */
static void
submit_rest(struct dev_uring *uring_dev, struct mr_dev_io *io)
{
    struct io_uring_sqe *sqe = mr_uring_prepare(uring_dev->uring, &io->op);
    const struct iovec *iov = io->iov_left.iov_len ? &io->iov_left : io->iov;
    unsigned count = io->iov_left.iov_len ? 1 : io->iov_count;

    if (io->kind == DEV_FLUSH) {
        io_uring_prep_fsync(sqe, uring_dev->fd, IORING_FSYNC_DATASYNC);
    } else if (io->kind == DEV_READ && count == 1) {
        io_uring_prep_read(sqe, uring_dev->fd, iov->iov_base, (unsigned)iov->iov_len, io->offset);
    } else if (io->kind == DEV_READ) {
        io_uring_prep_readv(sqe, uring_dev->fd, iov, count, io->offset);
    } else if (count == 1) {
        io_uring_prep_write(sqe, uring_dev->fd, iov->iov_base, (unsigned)iov->iov_len, io->offset);
        sqe->rw_flags = io->fua ? RWF_DSYNC : 0;
    } else {
        io_uring_prep_writev2(sqe, uring_dev->fd, iov, count, io->offset, io->fua ? RWF_DSYNC : 0);
    }
}

/* Moves the operation past what was transferred. Returns false where that is impossible to go on
 * from: nothing moved, more than was asked, or a part of a sector. */
static bool
advance(struct mr_dev_io *io, uint64_t moved)
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

static void
op_done(struct mr_uring_op *op, int32_t result, uint32_t flags)
{
    struct mr_dev_io *io = MR_CONTAINER_OF(op, struct mr_dev_io, op);
    struct dev_uring *uring_dev = dev_uring(io->dev);
    int error = result < 0 ? result : 0;

    (void)flags;
    if (!error && io->kind != DEV_FLUSH) {
        if (!advance(io, (uint64_t)result)) {
            error = -EIO;
        } else if (io->size > 0) {
            submit_rest(uring_dev, io);
            return;
        }
    }
    uring_dev->in_flight--;
    uring_dev->completed++;
    io->done(io, error);
}

static void
submit(struct mr_dev *dev, struct mr_dev_io *io)
{
    struct dev_uring *uring_dev = dev_uring(dev);

    io->op.done = op_done;
    io->iov_left = (struct iovec){NULL, 0};
    uring_dev->in_flight++;
    submit_rest(uring_dev, io);
}

static void
uring_kick(struct mr_dev *dev)
{
    mr_uring_push(dev_uring(dev)->uring);
}

static int
uring_poll(struct mr_dev *dev)
{
    struct dev_uring *uring_dev = dev_uring(dev);
    uint64_t before = uring_dev->completed;

    mr_uring_submit(uring_dev->uring);
    mr_uring_reap(uring_dev->uring, REAP_MAX);
    return (int)(uring_dev->completed - before);
}

static int
uring_wait(struct mr_dev *dev)
{
    struct dev_uring *uring_dev = dev_uring(dev);
    uint64_t before = uring_dev->completed;

    MR_ASSERT(uring_dev->in_flight > 0);
    while (uring_dev->completed == before) {
        mr_uring_wait(uring_dev->uring, WAIT_NS);
        mr_uring_reap(uring_dev->uring, REAP_MAX);
    }
    return 0;
}

static int
medium_size(int fd, uint64_t *size_out)
{
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return -errno;
    }
    if (S_ISREG(st.st_mode)) {
        *size_out = (uint64_t)st.st_size;
    } else if (!S_ISBLK(st.st_mode)) {
        return -ENOTBLK;
    } else if (ioctl(fd, BLKGETSIZE64, size_out) != 0) {
        return -errno;
    }
    *size_out -= *size_out % MR_DEV_BLOCK;
    return 0;
}

/* Opens and locks. The kernel takes the io_uring of a killed process apart behind it, and only then
 * lets go of the files that it had registered, a device's exclusive use included: whoever starts
 * again at once waits for that. The descriptor, or -errno. */
static int
open_locked(const char *path, int flags)
{
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
    int error = 0;

    for (unsigned i = 0; i < LOCK_PAUSES; i++) {
        int fd = open(path, flags);

        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
            return fd;
        }
        error = -errno;
        if (fd >= 0) {
            close(fd);
        }
        if (error != -EWOULDBLOCK && error != -EBUSY) {
            break;
        }
        nanosleep(&pause, NULL);
    }
    return error;
}

static int
uring_resize(struct mr_dev *dev)
{
    uint64_t size;
    int error = medium_size(dev_uring(dev)->fd, &size);

    if (!error && size < dev->size_bytes) {
        error = -EINVAL;
    }
    if (!error) {
        dev->size_bytes = size;
    }
    return error;
}

static void
uring_close(struct mr_dev *dev)
{
    struct dev_uring *uring_dev = dev_uring(dev);

    MR_ASSERT(uring_dev->in_flight == 0);
    close(uring_dev->fd); /* releases the lock, too */
    free(uring_dev);
}

static const struct mr_dev_ops uring_ops = {
    .read = submit,
    .write = submit,
    .flush = submit,
    .kick = uring_kick,
    .poll = uring_poll,
    .wait = uring_wait,
    .resize = uring_resize,
    .close = uring_close,
};

int
mr_dev_uring_open(const char *path, struct mr_uring *uring, struct mr_dev **out)
{
    struct dev_uring *uring_dev;
    struct stat st;
    int flags = O_RDWR | O_DIRECT | O_CLOEXEC;
    int error;

    *out = NULL;
    if (stat(path, &st) != 0) {
        return -errno;
    }
    if (S_ISBLK(st.st_mode)) {
        flags |= O_EXCL; /* refuses a device that is mounted or part of another */
    }
    uring_dev = calloc(1, sizeof(*uring_dev));
    if (!uring_dev) {
        return -ENOMEM;
    }
    uring_dev->fd = open_locked(path, flags);
    if (uring_dev->fd < 0) {
        error = uring_dev->fd;
        goto free_dev;
    }
    error = medium_size(uring_dev->fd, &uring_dev->dev.size_bytes);
    if (error) {
        goto close_fd;
    }
    uring_dev->dev.ops = &uring_ops;
    uring_dev->uring = uring;
    *out = &uring_dev->dev;
    return 0;

close_fd:
    close(uring_dev->fd);
free_dev:
    free(uring_dev);
    return error;
}
