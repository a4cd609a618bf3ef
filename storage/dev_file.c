/* storage/dev_file.c: prepares a file as a store's medium: every byte written once, and durable. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "storage/dev.h"

#define STEP_BYTES   (1u * 1024 * 1024)
#define SYNC_BYTES   (64u * 1024 * 1024) /* bounds what lies dirty in the page cache */
#define MODE_PRIVATE 0640

/* Sleeps until `bytes` may have been written since `start`. */
static void
pace(const struct timespec *start, uint64_t bytes, uint64_t bytes_per_s)
{
    struct timespec until = *start;
    uint64_t ns;

    if (bytes_per_s == 0) {
        return;
    }
    ns = (uint64_t)((double)bytes / (double)bytes_per_s * (double)MR_NS_PER_S);
    until.tv_sec += (time_t)(ns / MR_NS_PER_S);
    until.tv_nsec += (long)(ns % MR_NS_PER_S);
    if (until.tv_nsec >= (long)MR_NS_PER_S) {
        until.tv_nsec -= (long)MR_NS_PER_S;
        until.tv_sec++;
    }
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
}

static int
write_zeros(int fd, uint64_t begin, uint64_t end, uint64_t bytes_per_s)
{
    struct timespec start;
    uint8_t *zeros = calloc(1, STEP_BYTES);
    uint64_t at = begin, synced = begin;
    int error = 0;

    if (!zeros) {
        return -ENOMEM;
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (at < end && !error) {
        size_t step = end - at < STEP_BYTES ? (size_t)(end - at) : STEP_BYTES;
        ssize_t got = pwrite(fd, zeros, step, (off_t)at);

        if (got < 0) {
            error = errno == EINTR ? 0 : -errno;
            continue;
        }
        at += (uint64_t)got;
        if (at - synced >= SYNC_BYTES) {
            synced = at;
            error = fdatasync(fd) != 0 ? -errno : 0;
        }
        pace(&start, at - begin, bytes_per_s);
    }
    free(zeros);
    return error;
}

/* A new file's name is durable only when its directory is. */
static int
sync_directory(const char *path)
{
    char *copy = strdup(path);
    int error = 0;
    int fd;

    if (!copy) {
        return -ENOMEM;
    }
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        error = -errno;
    } else {
        if (fsync(fd) != 0) {
            error = -errno;
        }
        close(fd);
    }
    free(copy);
    return error;
}

int
mr_dev_file_prepare(const char *path, uint64_t size_bytes, uint64_t bytes_per_s)
{
    struct stat st;
    int error = 0;
    int fd;

    if (size_bytes % MR_DEV_BLOCK) {
        return -EINVAL;
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, MODE_PRIVATE);
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &st) != 0) {
        error = -errno;
        goto close_fd;
    }
    if (!S_ISREG(st.st_mode) || size_bytes < (uint64_t)st.st_size) {
        error = -EINVAL;
        goto close_fd;
    }
    if (size_bytes > (uint64_t)st.st_size) {
        /* Reserves the space in few pieces and finds a full file system before any work is done. */
        if (fallocate(fd, FALLOC_FL_KEEP_SIZE, st.st_size, (off_t)size_bytes - st.st_size) != 0 &&
            errno != EOPNOTSUPP) {
            error = -errno;
        }
        if (!error) {
            error = write_zeros(fd, (uint64_t)st.st_size, size_bytes, bytes_per_s);
        }
    }
    if (!error && fsync(fd) != 0) {
        error = -errno;
    }
    /* The zeros are not left in the page cache: each O_DIRECT write would first have to throw its
     * pages out, for which io_uring needs a worker thread. */
    if (!error) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        error = sync_directory(path);
    }
    /* Also gives back what was reserved beyond the end. */
    if (error && ftruncate(fd, st.st_size) != 0) {
        error = -errno;
    }
close_fd:
    close(fd);
    return error;
}
