/* tests/unit/storage/discard_test.c: a deleted log's blocks are given back to the drive, here a
 * loop device, whose file then has holes; a store that is a file keeps all its blocks. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/storage/store_fixture.h"

#define MEDIUM_BYTES  (64u * MIB)
#define BATCH_BYTES   (512u * 1024)
#define BATCHES       24u
#define DELETED_BYTES (BATCHES / 2 * BATCH_BYTES)
#define INLINE_BYTES  (256 * 1024) /* of them, at most: they were never in their place */
#define TURNS_MAX     200000u
#define LOOP_TRIES    20

static char path[64];
static struct mr_uring uring;

static void
remove_file(void)
{
    unlink(path);
}

static void
turn_slowly(struct fixture *f)
{
    const struct timespec pause = {.tv_nsec = 100000};

    turn(f);
    nanosleep(&pause, NULL);
}

/* Bytes that the file has on its file system. */
static uint64_t
file_bytes(void)
{
    int fd = open(path, O_RDONLY);
    struct stat st;

    MR_CHECK(fd >= 0);
    MR_CHECK_EQ(fsync(fd), 0);
    MR_CHECK_EQ(fstat(fd, &st), 0);
    close(fd);
    return (uint64_t)st.st_blocks * 512;
}

/* An empty file of the medium's size; a descriptor. */
static int
make_file(void)
{
    int fd;

    snprintf(path, sizeof(path), "discard_test.%d.tmp", (int)getpid());
    atexit(remove_file);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MR_CHECK(fd >= 0);
    MR_CHECK_EQ(ftruncate(fd, MEDIUM_BYTES), 0);
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) != 0) {
        MR_SKIP("the file system has no holes");
    }
    return fd;
}

static void
open_medium(struct fixture *f, const char *medium, bool held)
{
    struct mr_store_format format = {.store_id = {{1}}, .journal_bytes = MIB};
    char reason[200] = "";
    int error;

    memset(f, 0, sizeof(*f));
    memset(&submit_options, 0, sizeof(submit_options));
    if (!uring.ring.ring_fd && mr_uring_init(&uring, 64) != 0) {
        MR_SKIP("io_uring is not available here");
    }
    error = mr_dev_uring_open(medium, &uring, &f->dev);
    if (error == -EINVAL) {
        MR_SKIP("the file system has no O_DIRECT");
    }
    MR_CHECK_EQ(error, 0);
    if (held) {
        MR_CHECK_EQ(mr_dev_volatile_open(f->dev, &f->dev), 0);
    }
    mr_clock_sim_init(&f->clock, 1700000000000);
    f->config = (struct mr_store_config){.dev = f->dev,
                                         .clock = &f->clock.clock,
                                         .arena = aligned_alloc(4096, MR_STORE_ARENA_MIN),
                                         .arena_bytes = MR_STORE_ARENA_MIN,
                                         .logs_max = 16,
                                         .producers_max = 16,
                                         .direct_run_bytes = 32768,
                                         .index_bytes_max = MIB,
                                         .discard = true};
    MR_CHECK_EQ(mr_store_format(f->dev, &format), 0);
    MR_CHECK_EQ(mr_store_open(&f->config, &f->store, reason, sizeof(reason)), 0);
}

static void
append(struct fixture *f, int32_t partition, uint8_t fill)
{
    struct sent sent;
    int error = -EAGAIN;

    for (unsigned i = 0; i < TURNS_MAX && error == -EAGAIN; i++) {
        error = submit(log_of(f, partition), &sent, BATCH_BYTES, fill, -1, -1, -1);
        turn_slowly(f);
    }
    MR_CHECK_EQ(error, 0);
    for (unsigned i = 0; i < TURNS_MAX && !sent.answered; i++) {
        turn_slowly(f);
    }
    MR_CHECK(sent.answered);
    MR_CHECK_EQ(sent.append.error, MR_KAFKA_NONE);
}

/* Fills two logs in turn, deletes one and waits until all of its space is discarded; returns how
 * many bytes of the file that has freed. */
static int64_t
fill_and_delete(struct fixture *f, struct mr_store_stats *stats)
{
    struct mr_log_id id = {.topic_id = {{42}}, .partition = 0};
    struct mr_log_delete request = {.done = delete_done};
    uint64_t before, free_bytes;

    for (unsigned i = 0; i < BATCHES; i++) {
        append(f, (int32_t)(i % 2), (uint8_t)i);
    }
    before = file_bytes();
    mr_store_stats(f->store, stats);
    free_bytes = stats->free_bytes;
    deletes = 0;
    mr_store_log_delete(f->store, &id, &request);
    for (unsigned i = 0; i < TURNS_MAX && deletes == 0; i++) {
        turn_slowly(f);
    }
    MR_CHECK_EQ(deletes, 1);
    for (unsigned i = 0; i < TURNS_MAX; i++) {
        mr_store_stats(f->store, stats);
        if (stats->discard_errors > 0 || stats->discarded_bytes == stats->free_bytes - free_bytes) {
            break;
        }
        turn_slowly(f);
    }
    MR_CHECK(stats->free_bytes >= free_bytes + DELETED_BYTES);
    return (int64_t)before - (int64_t)file_bytes();
}

/* What is left is whole, also after a restart. */
static void
check_and_close(struct fixture *f)
{
    char reason[200];

    MR_CHECK_EQ(mr_store_close(f->store), 0);
    MR_CHECK_EQ(mr_store_open(&f->config, &f->store, reason, sizeof(reason)), 0);
    for (unsigned i = 1; i < BATCHES; i += 2) {
        struct mr_read read = {
            .done = read_done, .offset = i / 2, .bytes_max = 1, .one_at_least = true};
        int result;

        read_is_done = false;
        result = mr_log_read(log_of(f, 1), &read);
        for (unsigned k = 0; result == 0 && k < TURNS_MAX && !read_is_done; k++) {
            turn_slowly(f);
        }
        MR_CHECK_EQ(read.error, MR_KAFKA_NONE);
        MR_CHECK_EQ(read.size, BATCH_BYTES);
        MR_CHECK_EQ(((uint8_t *)read.iov[read.iov_count - 1].iov_base)[0], i);
        mr_log_read_release(f->store, &read);
    }
    MR_CHECK_EQ(mr_store_close(f->store), 0);
    mr_dev_close(f->dev);
    free(f->config.arena);
}

/* Goal: a file is never discarded, which is counted once, and its space is free all the same. */
MR_TEST(a_file_keeps_its_blocks)
{
    struct mr_store_stats stats;
    struct fixture f;

    close(make_file());
    open_medium(&f, path, false);
    MR_CHECK(fill_and_delete(&f, &stats) <= 0);
    MR_CHECK_EQ(stats.discards, 0);
    MR_CHECK(stats.discard_errors >= 1 && stats.discard_errors <= 2); /* two are sent at once */
    check_and_close(&f);
}

/* A loop device over the file, which goes when it is closed; its descriptor. */
static int
attach_or_skip(int file, char *device, size_t size)
{
    struct loop_config config = {.fd = (uint32_t)file, .info.lo_flags = LO_FLAGS_AUTOCLEAR};
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

    for (int i = 0; control >= 0 && i < LOOP_TRIES; i++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        int fd;

        snprintf(device, size, "/dev/loop%d", number);
        fd = number < 0 ? -1 : open(device, O_RDWR | O_CLOEXEC);
        if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
            close(control);
            return fd;
        }
        if (fd >= 0) {
            close(fd); /* somebody else was faster */
        }
    }
    MR_SKIP("this machine gives out no loop device");
}

/* Goal: the file behind the loop device loses what was deleted, and nothing else; also where writes
 * are held in memory until a flush. */
MR_TEST(a_deleted_log_leaves_holes_in_the_drive)
{
    for (unsigned held = 0; held < 2; held++) {
        int file = make_file();
        struct mr_store_stats stats;
        struct fixture f;
        int64_t freed;
        char device[32];
        int loop = attach_or_skip(file, device, sizeof(device));

        open_medium(&f, device, held);
        close(loop);
        close(file);
        freed = fill_and_delete(&f, &stats);
        MR_CHECK(stats.discarded_bytes >= DELETED_BYTES);
        MR_CHECK(freed > DELETED_BYTES - INLINE_BYTES);
        MR_CHECK_EQ(stats.discard_errors, 0);
        check_and_close(&f);
    }
}

MR_TEST_MAIN(MR_TEST_CASE(a_file_keeps_its_blocks),
             MR_TEST_CASE(a_deleted_log_leaves_holes_in_the_drive))
