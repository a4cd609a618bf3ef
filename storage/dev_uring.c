/* storage/dev_uring.c: a file or a block device, O_DIRECT, through a shared io_uring.
 *
 * Source: io_uring_enter(2), open(2) on O_DIRECT, pwritev2(2) on RWF_DSYNC, flock(2), fallocate(2);
 * linux/blkdev.h and block/ioctl.c, blkdev_uring_cmd(), of Linux 6.12; block/fops.c,
 * blkdev_fallocate(), of Linux 6.1. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/log.h"
#include "storage/dev.h"
#include "storage/dev_private.h"

#define LOCK_PAUSE_NS   (50L * 1000 * 1000)
#define LOCK_PAUSES     60u

#define OWN_ENTRIES     256u
#define HUGE_PAGE_BYTES (2ull << 20)
#define REAP_MAX        256u /* completions of one poll, other users' of the ring among them */
#define WAIT_NS         MR_NS_PER_S
#define PATH_SIZE       256

/* From Linux 6.12 on; older headers lack it. */
#ifndef BLOCK_URING_CMD_DISCARD
#define BLOCK_URING_CMD_DISCARD _IO(0x12, 0)
#endif

/* How freed blocks are given to the drive. */
enum discard_way {
    DISCARD_NOT, /* a file, or a drive that has no use for it */
    DISCARD_COMMAND,
    DISCARD_HOLE, /* Linux before 6.12: zeros that the drive may make by forgetting */
};

/* Memory that is registered in pieces: Linux 6.1 takes none that lies in two huge pages which were
 * mapped one by one, as the EAL's are. */
struct lent {
    uint8_t *base; /* of the first piece, a multiple of their size */
    uint8_t *begin;
    uint8_t *end;
    uint64_t piece_bytes;
    unsigned count;
    int buffers[MR_URING_SLOTS]; /* of the ring, a piece each */
};

struct dev_uring {
    struct mr_dev dev;
    struct mr_uring *uring; /* shared: flushes, and all without a ring of its own */
    struct mr_uring own;    /* reads and writes of a polled device, or one that gets commands */
    bool has_own;
    bool commands; /* reads and writes are NVMe commands to `nvme` */
    bool flush_writes;
    bool registers;
    enum discard_way discards;
    struct dev_nvme nvme;
    int fd;
    int fixed_file; /* in the ring of reads and writes; -1: not registered */
    struct lent lent;
    unsigned depth;
    struct mr_list waiting; /* operations beyond `depth` */
    unsigned in_flight;
    uint64_t completed;
};

static struct dev_uring *
dev_uring(const struct mr_dev *dev)
{
    return MR_CONTAINER_OF((struct mr_dev *)(uintptr_t)dev, struct dev_uring, dev);
}

/* ---- operations ------------------------------------------------------------------------------ */

/* The registered buffer in which the slice lies whole, or -1. */
static int
fixed_buffer(const struct dev_uring *uring_dev, const struct iovec *iov)
{
    const struct lent *lent = &uring_dev->lent;
    const uint8_t *begin = iov->iov_base;
    const uint8_t *end = begin + iov->iov_len;
    uint64_t piece;

    if (lent->count == 0 || begin < lent->begin || end > lent->end) {
        return -1;
    }
    piece = (uint64_t)(begin - lent->base) / lent->piece_bytes;
    return (uint64_t)(end - 1 - lent->base) / lent->piece_bytes == piece ? lent->buffers[piece]
                                                                         : -1;
}

static void
prepare_one(const struct dev_uring *uring_dev, const struct mr_dev_io *io, const struct iovec *iov,
            struct io_uring_sqe *sqe)
{
    int buffer = fixed_buffer(uring_dev, iov);
    unsigned size = (unsigned)iov->iov_len;

    if (io->kind == DEV_READ && buffer >= 0) {
        io_uring_prep_read_fixed(sqe, uring_dev->fd, iov->iov_base, size, io->offset, buffer);
    } else if (io->kind == DEV_READ) {
        io_uring_prep_read(sqe, uring_dev->fd, iov->iov_base, size, io->offset);
    } else if (buffer >= 0) {
        io_uring_prep_write_fixed(sqe, uring_dev->fd, iov->iov_base, size, io->offset, buffer);
    } else {
        io_uring_prep_write(sqe, uring_dev->fd, iov->iov_base, size, io->offset);
    }
}

static bool
moves_bytes(const struct mr_dev_io *io)
{
    return io->kind == DEV_READ || io->kind == DEV_WRITE;
}

static void
prepare_discard(const struct dev_uring *uring_dev, struct mr_dev_io *io, struct io_uring_sqe *sqe)
{
    io->moving = 0;
    if (uring_dev->discards == DISCARD_COMMAND) {
        io->moving = io->size;
        sqe->opcode = IORING_OP_URING_CMD;
        sqe->fd = uring_dev->fd;
        sqe->cmd_op = BLOCK_URING_CMD_DISCARD;
        sqe->addr = io->offset;
        sqe->addr3 = io->size;
    } else if (uring_dev->discards == DISCARD_HOLE) {
        io_uring_prep_fallocate(sqe, uring_dev->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                (off_t)io->offset, (off_t)io->size);
    } else {
        io_uring_prep_nop(sqe);
    }
}

/* The next system call's worth of what is left: the rest of a slice that was cut, else all whole
 * slices that follow. */
static void
prepare_call(const struct dev_uring *uring_dev, const struct mr_dev_io *io,
             struct io_uring_sqe *sqe)
{
    const struct iovec *iov = io->iov_left.iov_len ? &io->iov_left : io->iov;
    unsigned count = io->iov_left.iov_len ? 1 : io->iov_count;

    if (io->kind == DEV_FLUSH) {
        io_uring_prep_fsync(sqe, uring_dev->fd, IORING_FSYNC_DATASYNC);
        return; /* maybe in another ring than the one that knows the file */
    }
    if (count == 1) {
        prepare_one(uring_dev, io, iov, sqe);
    } else if (io->kind == DEV_READ) {
        io_uring_prep_readv(sqe, uring_dev->fd, iov, count, io->offset);
    } else {
        io_uring_prep_writev(sqe, uring_dev->fd, iov, count, io->offset);
    }
    if (io->kind == DEV_WRITE && io->fua && !uring_dev->flush_writes) {
        sqe->rw_flags = RWF_DSYNC;
    }
    if (uring_dev->fixed_file >= 0) {
        sqe->fd = uring_dev->fixed_file;
        sqe->flags |= IOSQE_FIXED_FILE;
    }
}

static void
submit_rest(struct dev_uring *uring_dev, struct mr_dev_io *io)
{
    bool own = uring_dev->has_own && moves_bytes(io);
    struct io_uring_sqe *sqe = mr_uring_prepare(own ? &uring_dev->own : uring_dev->uring, &io->op);

    if (io->kind == DEV_DISCARD) {
        prepare_discard(uring_dev, io, sqe);
    } else if (own && uring_dev->commands) {
        dev_nvme_prepare(&uring_dev->nvme, io, sqe, uring_dev->flush_writes);
    } else {
        prepare_call(uring_dev, io, sqe);
    }
}

/* An NVMe command moves all that it named, or fails with a status of the drive's. A flush or a
 * discard moves nothing, by either way. */
static int
result_of(const struct dev_uring *uring_dev, const struct mr_dev_io *io, int32_t result,
          uint64_t *moved)
{
    if (result < 0) {
        return result;
    }
    *moved = uring_dev->commands ? io->moving : (uint64_t)result;
    return uring_dev->commands && result > 0 ? -EIO : 0;
}

static void
op_done(struct mr_uring_op *op, int32_t result, uint32_t flags)
{
    struct mr_dev_io *io = MR_CONTAINER_OF(op, struct mr_dev_io, op);
    struct dev_uring *uring_dev = dev_uring(io->dev);
    uint64_t moved = 0;
    int error = result_of(uring_dev, io, result, &moved);

    (void)flags;
    if (io->kind == DEV_DISCARD && uring_dev->discards == DISCARD_NOT) {
        error = -EOPNOTSUPP;
    } else if (io->kind == DEV_DISCARD && io->moving &&
               (error == -EOPNOTSUPP || error == -EINVAL)) {
        uring_dev->discards = DISCARD_HOLE; /* the kernel does not know the command */
        submit_rest(uring_dev, io);
        return;
    } else if (!error && moves_bytes(io)) {
        if (!dev_io_advance(io, moved)) {
            error = -EIO;
        } else if (io->size > 0) {
            submit_rest(uring_dev, io);
            return;
        } else if (io->fua && uring_dev->flush_writes) {
            io->kind = DEV_FLUSH; /* what makes it durable */
            submit_rest(uring_dev, io);
            return;
        }
    }
    uring_dev->in_flight--;
    uring_dev->completed++;
    if (!mr_list_empty(&uring_dev->waiting)) {
        struct mr_list *next = mr_list_pop_front(&uring_dev->waiting);

        uring_dev->in_flight++;
        submit_rest(uring_dev, MR_CONTAINER_OF(next, struct mr_dev_io, node));
    }
    io->done(io, error);
}

static void
submit(struct mr_dev *dev, struct mr_dev_io *io)
{
    struct dev_uring *uring_dev = dev_uring(dev);

    io->op.done = op_done;
    io->iov_left = (struct iovec){NULL, 0};
    if (uring_dev->in_flight >= uring_dev->depth) {
        mr_list_push_back(&uring_dev->waiting, &io->node);
        return;
    }
    uring_dev->in_flight++;
    submit_rest(uring_dev, io);
}

static void
uring_kick(struct mr_dev *dev)
{
    struct dev_uring *uring_dev = dev_uring(dev);

    mr_uring_push(uring_dev->has_own ? &uring_dev->own : uring_dev->uring);
}

static bool
uring_busy(const struct mr_dev *dev)
{
    return dev_uring(dev)->has_own && dev_uring(dev)->own.in_flight > 0;
}

static int
uring_poll(struct mr_dev *dev)
{
    struct dev_uring *uring_dev = dev_uring(dev);
    uint64_t before = uring_dev->completed;

    if (uring_dev->has_own) {
        mr_uring_submit(&uring_dev->own);
        mr_uring_reap(&uring_dev->own, REAP_MAX);
    }
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
        if (uring_busy(dev)) {
            uring_poll(dev);
            continue;
        }
        mr_uring_wait(uring_dev->uring, WAIT_NS);
        mr_uring_reap(uring_dev->uring, REAP_MAX);
    }
    return 0;
}

static struct mr_uring *
transfer_ring(struct dev_uring *uring_dev)
{
    return uring_dev->has_own ? &uring_dev->own : uring_dev->uring;
}

static void
take_back(struct dev_uring *uring_dev)
{
    struct lent *lent = &uring_dev->lent;

    while (lent->count > 0) {
        mr_uring_unregister_buffer(transfer_ring(uring_dev), lent->buffers[--lent->count]);
    }
}

static int
lend_pieces(struct dev_uring *uring_dev, uint8_t *begin, uint8_t *end, uint64_t piece_bytes)
{
    struct lent *lent = &uring_dev->lent;

    *lent = (struct lent){.begin = begin, .end = end, .piece_bytes = piece_bytes};
    lent->base = begin - (uintptr_t)begin % piece_bytes;
    for (uint8_t *at = lent->base; at < end; at += piece_bytes) {
        uint8_t *from = at > begin ? at : begin;
        uint8_t *to = at + piece_bytes < end ? at + piece_bytes : end;
        int buffer = mr_uring_register_buffer(transfer_ring(uring_dev), from, (size_t)(to - from));

        if (buffer < 0) {
            take_back(uring_dev);
            return buffer;
        }
        lent->buffers[lent->count++] = buffer;
    }
    return 0;
}

static int
uring_lend(struct mr_dev *dev, void *base, size_t size)
{
    struct dev_uring *uring_dev = dev_uring(dev);
    uint8_t *begin = base;
    int error;

    if (!uring_dev->registers || uring_dev->commands || uring_dev->lent.count > 0) {
        return -ENOTSUP;
    }
    error = lend_pieces(uring_dev, begin, begin + size, MR_URING_BUFFER_BYTES);
    if (error == -EINVAL) {
        error = lend_pieces(uring_dev, begin, begin + size, HUGE_PAGE_BYTES);
    }
    return error;
}

/* ---- open and close -------------------------------------------------------------------------- */

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

uint64_t
dev_queue_limit(int block_fd, const char *name)
{
    unsigned long long value = 0;
    char path[PATH_SIZE];
    FILE *file = NULL;
    struct stat st;

    if (fstat(block_fd, &st) != 0) {
        return 0;
    }
    for (unsigned partition = 0; partition < 2 && !file; partition++) {
        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/%s", major(st.st_rdev),
                 minor(st.st_rdev), partition ? "../" : "", name);
        file = fopen(path, "r");
    }
    if (file) {
        if (fscanf(file, "%llu", &value) != 1) {
            value = 0;
        }
        fclose(file);
    }
    return value;
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

/* What is registered would stay open, locks and all, as long as the ring. */
static void
unregister(struct dev_uring *uring_dev)
{
    take_back(uring_dev);
    if (uring_dev->fixed_file >= 0) {
        mr_uring_unregister_file(transfer_ring(uring_dev), uring_dev->fixed_file);
    }
    uring_dev->fixed_file = -1;
}

static void
close_own(struct dev_uring *uring_dev)
{
    if (uring_dev->has_own) {
        mr_uring_close(&uring_dev->own);
        uring_dev->has_own = false;
    }
    if (uring_dev->commands) {
        close(uring_dev->nvme.fd);
        uring_dev->commands = false;
    }
}

static void
uring_close(struct mr_dev *dev)
{
    struct dev_uring *uring_dev = dev_uring(dev);

    MR_ASSERT(uring_dev->in_flight == 0);
    unregister(uring_dev);
    close_own(uring_dev);
    close(uring_dev->fd); /* releases the lock, too */
    free(uring_dev);
}

static const struct mr_dev_ops uring_ops = {
    .read = submit,
    .write = submit,
    .flush = submit,
    .discard = submit,
    .kick = uring_kick,
    .poll = uring_poll,
    .wait = uring_wait,
    .resize = uring_resize,
    .busy = uring_busy,
    .lend = uring_lend,
    .close = uring_close,
};

struct trial {
    struct mr_dev_io io;
    bool done;
    int result;
};

static void
trial_done(struct mr_dev_io *io, int result)
{
    struct trial *trial = MR_CONTAINER_OF(io, struct trial, io);

    trial->done = true;
    trial->result = result;
}

/* Whether the ring of its own works: the first block is read through it. 0 or -errno. */
static int
try_own(struct dev_uring *uring_dev)
{
    struct trial trial = {.io = {.done = trial_done}};
    struct iovec iov = {aligned_alloc(MR_DEV_BLOCK, MR_DEV_BLOCK), MR_DEV_BLOCK};

    if (!iov.iov_base || uring_dev->dev.size_bytes < MR_DEV_BLOCK) {
        free(iov.iov_base);
        return -ENOMEM;
    }
    mr_dev_read(&uring_dev->dev, &trial.io, &iov, 1, 0);
    while (!trial.done) {
        uring_wait(&uring_dev->dev);
    }
    free(iov.iov_base);
    return trial.result;
}

/* Makes the ring of its own, with commands or without. 0, or -errno with all as before. */
static int
open_own(struct dev_uring *uring_dev, const char *path, bool polled, bool commands)
{
    unsigned entries = uring_dev->depth < OWN_ENTRIES ? uring_dev->depth : OWN_ENTRIES;
    int error = commands ? dev_nvme_open(path, uring_dev->fd, &uring_dev->nvme) : 0;

    if (error) {
        return error;
    }
    uring_dev->commands = commands;
    error = mr_uring_init_drive(&uring_dev->own, entries, polled, commands);
    uring_dev->has_own = error == 0;
    error = error ? error : try_own(uring_dev);
    if (error) {
        close_own(uring_dev);
    }
    return error;
}

/* Each wish that cannot be had is left out, with a warning. */
static void
apply_options(struct dev_uring *uring_dev, const char *path, const struct mr_dev_options *options)
{
    bool polled = options->polled;
    bool commands = options->passthrough;
    int error = polled || commands ? open_own(uring_dev, path, polled, commands) : 0;

    if (error && commands) {
        MR_LOG_WARN("storage", "%s takes no NVMe commands%s (%s): it goes through the block layer",
                    path, polled ? " in polled queues" : "", strerror(-error));
        error = polled ? open_own(uring_dev, path, true, false) : 0;
    }
    if (error) {
        MR_LOG_WARN("storage", "%s has no polled queues (%s): it takes interrupts", path,
                    strerror(-error));
    }
    uring_dev->registers = options->registered;
    if (options->registered && !uring_dev->commands) {
        uring_dev->fixed_file = mr_uring_register_file(transfer_ring(uring_dev), uring_dev->fd);
        if (uring_dev->fixed_file < 0) {
            MR_LOG_WARN("storage", "%s is not registered with the kernel: %s", path,
                        strerror(-uring_dev->fixed_file));
        }
    }
    MR_LOG_DEBUG("storage", "%s: %s%s, durable by %s", path,
                 uring_dev->commands ? "NVMe commands" : "block device or file",
                 uring_dev->has_own && polled ? ", polled" : "",
                 options->flush_writes ? "flushes" : "FUA and flushes");
}

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
    if (S_ISBLK(st.st_mode) && dev_queue_limit(uring_dev->fd, "discard_max_bytes") > 0) {
        uring_dev->discards = DISCARD_COMMAND;
    }
    uring_dev->dev.ops = &uring_ops;
    uring_dev->uring = uring;
    uring_dev->fixed_file = -1;
    uring_dev->depth = UINT_MAX;
    mr_list_init(&uring_dev->waiting);
    *out = &uring_dev->dev;
    return 0;

close_fd:
    close(uring_dev->fd);
free_dev:
    free(uring_dev);
    return error;
}

int
mr_dev_open(const char *path, struct mr_uring *uring, const struct mr_dev_options *options,
            struct mr_dev **out)
{
    int error = mr_dev_uring_open(path, uring, out);

    if (!error) {
        struct dev_uring *uring_dev = dev_uring(*out);

        uring_dev->flush_writes = options->flush_writes;
        uring_dev->depth = options->depth ? options->depth : UINT_MAX;
        apply_options(uring_dev, path, options);
    }
    return error;
}
