/* tests/unit/storage/dev_uring_test.c: the file device and the volatile overlay on a real file. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/dev.h"
#include "tests/mr_test.h"

#define BLOCKS 256u

struct probe {
    struct mr_dev_io io;
    int result;
    bool done;
};

static char path[64];
static struct mr_uring uring;
static uint8_t data[BLOCKS][MR_DEV_BLOCK] __attribute__((aligned(MR_DEV_BLOCK)));
static uint8_t back[BLOCKS][MR_DEV_BLOCK] __attribute__((aligned(MR_DEV_BLOCK)));
static struct iovec iov[BLOCKS];

static void
probe_done(struct mr_dev_io *io, int result)
{
    struct probe *probe = MR_CONTAINER_OF(io, struct probe, io);

    MR_CHECK(!probe->done);
    probe->done = true;
    probe->result = result;
}

static int
finish(struct mr_dev *dev, struct probe *probe)
{
    MR_CHECK(!probe->done);
    while (!probe->done) {
        MR_CHECK_EQ(mr_dev_wait(dev), 0);
    }
    return probe->result;
}

static int
transfer(struct mr_dev *dev, bool write, const struct iovec *slices, unsigned count, unsigned block,
         bool fua)
{
    struct probe probe = {.io.done = probe_done};

    if (write) {
        mr_dev_write(dev, &probe.io, slices, count, (uint64_t)block * MR_DEV_BLOCK, fua);
    } else {
        mr_dev_read(dev, &probe.io, slices, count, (uint64_t)block * MR_DEV_BLOCK);
    }
    return finish(dev, &probe);
}

static int
write_value(struct mr_dev *dev, unsigned block, uint8_t value, size_t size, bool fua)
{
    struct iovec slice = {data[block], size};

    memset(data[block], value, MR_DEV_BLOCK);
    return transfer(dev, true, &slice, 1, block, fua);
}

static const uint8_t *
read_value(struct mr_dev *dev, unsigned block)
{
    struct iovec slice = {back[block], MR_DEV_BLOCK};

    MR_CHECK_EQ(transfer(dev, false, &slice, 1, block, false), 0);
    return back[block];
}

static int
flush(struct mr_dev *dev)
{
    struct probe probe = {.io.done = probe_done};

    mr_dev_flush(dev, &probe.io);
    return finish(dev, &probe);
}

static void
remove_file(void)
{
    unlink(path);
}

/* Skips the executable where the file system or the kernel cannot do it. */
static struct mr_dev *
open_or_skip(void)
{
    struct mr_dev *dev;
    int error;

    snprintf(path, sizeof(path), "dev_uring_test.%d.tmp", (int)getpid());
    atexit(remove_file);
    unlink(path);
    MR_CHECK_EQ(mr_dev_file_prepare(path, BLOCKS * MR_DEV_BLOCK, 0), 0);
    if (!uring.ring.ring_fd && mr_uring_init(&uring, 64) != 0) {
        MR_SKIP("io_uring is not available here");
    }
    error = mr_dev_uring_open(path, &uring, &dev);
    if (error == -EINVAL) {
        MR_SKIP("the file system has no O_DIRECT");
    }
    MR_CHECK_EQ(error, 0);
    MR_CHECK_EQ(dev->size_bytes, BLOCKS * MR_DEV_BLOCK);
    return dev;
}

/* Goal: what is written, in one or many slices, FUA or flushed, is what is read. */
MR_TEST(slices_are_written_and_read_back)
{
    struct mr_dev *dev = open_or_skip();

    for (unsigned i = 0; i < BLOCKS; i++) {
        memset(data[i], (int)i, MR_DEV_BLOCK);
        iov[i] = (struct iovec){data[i], MR_DEV_BLOCK};
    }
    MR_CHECK_EQ(transfer(dev, true, iov, BLOCKS, 0, true), 0);
    MR_CHECK_EQ(write_value(dev, 7, 0xAA, MR_DEV_SECTOR, false), 0);
    MR_CHECK_EQ(flush(dev), 0);
    for (unsigned i = 0; i < BLOCKS; i++) {
        iov[i] = (struct iovec){back[i], MR_DEV_BLOCK};
    }
    MR_CHECK_EQ(transfer(dev, false, iov, BLOCKS, 0, false), 0);
    memset(data[7] + MR_DEV_SECTOR, 7, MR_DEV_BLOCK - MR_DEV_SECTOR);
    MR_CHECK(memcmp(data, back, sizeof(data)) == 0);
    mr_dev_close(dev);
}

/* Goal: a transfer that the medium cuts short ends with -EIO. Method: the file is truncated, in the
 * middle of the second slice, after it was opened. */
MR_TEST(a_short_read_is_an_error)
{
    struct mr_dev *dev = open_or_skip();
    struct iovec slices[2] = {{back[0], 4 * MR_DEV_BLOCK}, {back[4], 4 * MR_DEV_BLOCK}};

    MR_CHECK_EQ(truncate(path, 6 * MR_DEV_BLOCK), 0);
    MR_CHECK_EQ(transfer(dev, false, slices, 2, 0, false), -EIO);
    MR_CHECK_EQ(mr_dev_resize(dev), -EINVAL);
    mr_dev_close(dev);
}

/* Goal: a second user is refused, until the first has closed. */
MR_TEST(a_device_has_one_owner)
{
    struct mr_dev *dev = open_or_skip();
    struct mr_dev *other;

    MR_CHECK_EQ(mr_dev_uring_open(path, &uring, &other), -EWOULDBLOCK);
    MR_CHECK(!other);
    mr_dev_close(dev);
    MR_CHECK_EQ(mr_dev_uring_open(path, &uring, &other), 0);
    mr_dev_close(other);
    MR_CHECK_EQ(mr_dev_uring_open("/nonexistent/file", &uring, &other), -ENOENT);
    MR_CHECK_EQ(mr_dev_uring_open("/dev/null", &uring, &other) < 0, 1);
    mr_dev_close(NULL);
}

/* Goal: a file grows by zeros, keeps its content, and a wrong size is refused. */
MR_TEST(a_prepared_file_grows_by_zeros)
{
    struct mr_dev *dev = open_or_skip();
    struct stat st;

    MR_CHECK_EQ(write_value(dev, BLOCKS - 1, 9, MR_DEV_BLOCK, true), 0);
    MR_CHECK_EQ(mr_dev_file_prepare(path, (BLOCKS + 16) * MR_DEV_BLOCK, 64u << 20), 0);
    MR_CHECK_EQ(mr_dev_resize(dev), 0);
    MR_CHECK_EQ(dev->size_bytes, (BLOCKS + 16) * MR_DEV_BLOCK);
    MR_CHECK_EQ(read_value(dev, BLOCKS - 1)[5], 9);
    iov[0] = (struct iovec){back[0], MR_DEV_BLOCK};
    MR_CHECK_EQ(transfer(dev, false, iov, 1, BLOCKS + 15, false), 0);
    MR_CHECK_EQ(back[0][0], 0);
    MR_CHECK_EQ(mr_dev_file_prepare(path, 100, 0), -EINVAL);
    MR_CHECK_EQ(mr_dev_file_prepare(path, MR_DEV_BLOCK, 0), -EINVAL);
    MR_CHECK_EQ(mr_dev_file_prepare("/nonexistent/file", MR_DEV_BLOCK, 0), -ENOENT);
    MR_CHECK_EQ(stat(path, &st), 0);
    MR_CHECK_EQ(st.st_size, (BLOCKS + 16) * MR_DEV_BLOCK);
    mr_dev_close(dev);
}

static uint8_t
in_file(unsigned block, size_t at)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDONLY);

    MR_CHECK(fd >= 0);
    MR_CHECK_EQ(pread(fd, &byte, 1, (off_t)(block * MR_DEV_BLOCK + at)), 1);
    close(fd);
    return byte;
}

/* Goal: the overlay shows writes at once, brings them to the file at a flush and not before, and
 * loses them when it goes without one. FUA writes are in the file when they complete. */
MR_TEST(the_volatile_overlay_holds_writes_until_a_flush)
{
    struct mr_dev *inner = open_or_skip();
    struct mr_dev *dev;

    MR_CHECK_EQ(mr_dev_volatile_open(inner, &dev), 0);
    MR_CHECK_EQ(write_value(dev, 3, 3, MR_DEV_BLOCK, false), 0);
    MR_CHECK_EQ(write_value(dev, 4, 4, MR_DEV_BLOCK, true), 0);
    MR_CHECK_EQ(read_value(dev, 3)[0], 3);
    MR_CHECK_EQ(in_file(3, 0), 0);
    MR_CHECK_EQ(in_file(4, 0), 4);
    MR_CHECK_EQ(flush(dev), 0);
    MR_CHECK_EQ(in_file(3, 0), 3);
    MR_CHECK_EQ(write_value(dev, 3, 5, MR_DEV_BLOCK, false), 0);
    MR_CHECK_EQ(write_value(dev, 3, 6, MR_DEV_SECTOR, true), 0); /* covers a part of what is held */
    MR_CHECK_EQ(in_file(3, 0), 6);
    MR_CHECK_EQ(in_file(3, MR_DEV_SECTOR), 3);
    MR_CHECK_EQ(read_value(dev, 3)[0], 6);
    MR_CHECK_EQ(read_value(dev, 3)[MR_DEV_SECTOR], 5);
    MR_CHECK_EQ(write_value(dev, 9, 9, MR_DEV_BLOCK, false), 0);
    MR_CHECK_EQ(write_value(dev, 9, 8, MR_DEV_BLOCK, true), 0);
    MR_CHECK_EQ(flush(dev), 0);
    MR_CHECK_EQ(in_file(3, MR_DEV_SECTOR), 5);
    MR_CHECK_EQ(in_file(9, 0), 8);
    MR_CHECK_EQ(write_value(dev, 3, 7, MR_DEV_BLOCK, false), 0);
    mr_dev_close(dev);
    MR_CHECK_EQ(in_file(3, 0), 6);
}

/* Goal: a write, a FUA write and a second flush during a flush keep their order. Method: all are
 * submitted at once. */
MR_TEST(the_volatile_overlay_orders_what_meets_a_flush)
{
    struct mr_dev *inner = open_or_skip();
    struct probe probes[4] = {{.io.done = probe_done},
                              {.io.done = probe_done},
                              {.io.done = probe_done},
                              {.io.done = probe_done}};
    struct iovec slices[2] = {{back[0], MR_DEV_BLOCK}, {back[1], MR_DEV_BLOCK}};
    struct mr_dev *dev;

    MR_CHECK_EQ(mr_dev_volatile_open(inner, &dev), 0);
    for (unsigned i = 0; i < BLOCKS; i += 1 + i % 3) {
        MR_CHECK_EQ(write_value(dev, i, 1, i % 2 ? MR_DEV_BLOCK : 3 * MR_DEV_SECTOR, false), 0);
    }
    memset(back[0], 2, MR_DEV_BLOCK);
    memset(back[1], 3, MR_DEV_BLOCK);
    mr_dev_flush(dev, &probes[0].io);
    mr_dev_write(dev, &probes[1].io, &slices[0], 1, 0, false);
    mr_dev_write(dev, &probes[2].io, &slices[1], 1, MR_DEV_BLOCK, true);
    mr_dev_flush(dev, &probes[3].io);
    for (int i = 0; i < 4; i++) {
        while (!probes[i].done) {
            MR_CHECK_EQ(mr_dev_wait(dev), 0);
        }
        MR_CHECK_EQ(probes[i].result, 0);
    }
    MR_CHECK_EQ(in_file(1, 0), 3);
    MR_CHECK_EQ(read_value(dev, 0)[0], 2);
    MR_CHECK_EQ(read_value(dev, 1)[0], 3);
    MR_CHECK_EQ(flush(dev), 0);
    MR_CHECK_EQ(in_file(0, 0), 2);
    MR_CHECK_EQ(in_file(0, MR_DEV_BLOCK - 1), 2);
    MR_CHECK_EQ(in_file(1, 0), 3);
    mr_dev_close(dev);
}

/* Goal: every way to drive a file reads what it has written, whether the file system has polled I/O
 * or not; what it cannot do is left out. Method: all combinations; more operations at once than the
 * device is given. */
MR_TEST(options_change_nothing_but_the_way)
{
    for (unsigned way = 0; way < 16; way++) {
        struct mr_dev_options options = {.flush_writes = way & 1,
                                         .polled = way & 2,
                                         .passthrough = way & 4,
                                         .registered = way & 8,
                                         .depth = 3};
        struct probe probes[8];
        struct mr_dev *dev = open_or_skip();
        int lent;

        mr_dev_close(dev);
        MR_CHECK_EQ(mr_dev_open(path, &uring, &options, &dev), 0);
        lent = mr_dev_lend(dev, back, sizeof(back));
        MR_CHECK(lent == 0 || lent == -ENOMEM || (!options.registered && lent == -ENOTSUP));
        for (unsigned i = 0; i < 8; i++) {
            probes[i] = (struct probe){.io.done = probe_done};
            memset(back[i], (int)(way * 8 + i + 1), MR_DEV_BLOCK);
            iov[i] = (struct iovec){back[i], MR_DEV_BLOCK};
            mr_dev_write(dev, &probes[i].io, &iov[i], 1, i * MR_DEV_BLOCK, i % 2);
        }
        for (unsigned i = 0; i < 8; i++) {
            while (!probes[i].done) {
                MR_CHECK_EQ(mr_dev_wait(dev), 0);
            }
            MR_CHECK_EQ(probes[i].result, 0);
        }
        MR_CHECK(!mr_dev_busy(dev));
        for (unsigned i = 0; i < 8; i++) {
            MR_CHECK_EQ(read_value(dev, i)[17], way * 8 + i + 1);
            MR_CHECK_EQ(in_file(i, MR_DEV_BLOCK - 1), way * 8 + i + 1);
        }
        MR_CHECK_EQ(flush(dev), 0);
        mr_dev_close(dev);
    }
    MR_CHECK_EQ(uring.files, 0);
    MR_CHECK_EQ(uring.buffers, 0);
}

/* Goal: a file takes no discard and keeps its bytes, also below the volatile overlay. */
MR_TEST(a_file_is_not_discarded)
{
    struct mr_dev *dev = open_or_skip();

    for (unsigned way = 0; way < 2; way++) {
        struct probe probe = {.io.done = probe_done};

        MR_CHECK_EQ(write_value(dev, 3, 3, MR_DEV_BLOCK, true), 0);
        mr_dev_discard(dev, &probe.io, 0, BLOCKS * MR_DEV_BLOCK);
        MR_CHECK_EQ(finish(dev, &probe), -EOPNOTSUPP);
        MR_CHECK_EQ(in_file(3, 0), 3);
        if (way == 0) {
            MR_CHECK_EQ(mr_dev_volatile_open(dev, &dev), 0);
        }
    }
    mr_dev_close(dev);
}

MR_TEST_MAIN(MR_TEST_CASE(slices_are_written_and_read_back), MR_TEST_CASE(a_short_read_is_an_error),
             MR_TEST_CASE(a_device_has_one_owner), MR_TEST_CASE(a_prepared_file_grows_by_zeros),
             MR_TEST_CASE(the_volatile_overlay_holds_writes_until_a_flush),
             MR_TEST_CASE(the_volatile_overlay_orders_what_meets_a_flush),
             MR_TEST_CASE(options_change_nothing_but_the_way),
             MR_TEST_CASE(a_file_is_not_discarded))
