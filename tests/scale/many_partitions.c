/* Goal: 100,000 partitions in one store cost what they must and no more, lap after lap of the
 * journal: memory stays flat, and a start does not read data.
 *
 * Method: the store itself on a file of 6 GiB. Of its partitions 1,000 get a batch of 1 KiB every
 * second, 9,000 one a minute, and the others had one and are idle; the seconds are simulated, the
 * device is not. Old segments go by retention, as they do in a broker, so that from some lap on
 * nothing should grow. Each lap of the journal prints a line; memory and checkpoints from the
 * fourth to the last lap are held against the third's. Then the store is closed and opened, killed
 * in the middle of the load and opened again: every acknowledged batch must be there. Times are
 * printed and not judged.
 *
 * Usage: many_partitions FILE [LAPS]; the file is written over. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/crc32c.h"
#include "storage/log.h"
#include "tests/mr_test.h"

#define MIB             (UINT64_C(1) << 20)
#define STORE_BYTES     (6144 * MIB)
#define JOURNAL_BYTES   (128 * MIB)
#define ARENA_BYTES     (384 * MIB)
#define BUSY            1000u
#define SLOW            9000u
#define LOGS            100000u
#define SLOW_S          60u /* between two batches of a slow partition */
#define BATCH_BYTES     1024u
#define CRC_FROM        21u
#define RETENTION_S     10u /* between two looks at a partition */
#define BUSY_SEGMENT    65536u
#define BUSY_RETENTION  262144
#define SLOW_SEGMENT    2048u
#define SLOW_RETENTION  4096
#define APPENDS_MAX     2000u
#define REAP_MAX        256u
#define LAPS_MAX        100u
#define FLAT_FROM       3u
#define SAMPLES         2000u /* partitions that are read after the kill */
#define KILL_AFTER      100u  /* rounds */
#define MEMORY_SLACK    1.02
#define CHECKPOINT_MORE 1.1

struct sending {
    struct mr_append append;
    unsigned partition;
};

struct scale {
    const char *path;
    struct mr_clock_sim clock;
    struct mr_uring uring;
    struct mr_dev *dev;
    uint8_t *arena;
    struct mr_store *store;
    struct mr_log *logs[LOGS];
    struct sending sendings[APPENDS_MAX];
    struct mr_log_trim trims[APPENDS_MAX];
    unsigned used, trims_used; /* since wait_for_all() */
    unsigned waiting;          /* of them not answered */
    uint64_t seconds;
};

static struct scale scale;
static int64_t *acknowledged; /* by partition; shared with the process that is killed */

static size_t
heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static double
seconds_now(void)
{
    return (double)mr_clock_now_ns(&mr_clock_system) / 1e9;
}

/* ---- the store ------------------------------------------------------------------------------- */

static void
turn(void)
{
    bool worked = mr_store_tick(scale.store);

    mr_uring_submit(&scale.uring);
    worked |= mr_uring_reap(&scale.uring, REAP_MAX) > 0;
    if (!worked) {
        mr_uring_wait(&scale.uring, MR_NS_PER_MS);
    }
}

/* Returns the seconds that the store took to open. */
static double
open_store(bool format)
{
    struct mr_store_format how = {.store_id = {{1}}, .journal_bytes = JOURNAL_BYTES};
    struct mr_store_config config = {
        .clock = &scale.clock.clock,
        .arena_bytes = ARENA_BYTES,
        .logs_max = LOGS,
        .producers_max = 2 * BUSY,
        .direct_run_bytes = 32768,
        .index_bytes_max = 16 * MIB,
    };
    char reason[256] = "";
    double begin;

    mr_clock_sim_init(&scale.clock, 1700000000000);
    MR_CHECK_EQ(mr_uring_init(&scale.uring, 512), 0);
    MR_CHECK_EQ(mr_dev_uring_open(scale.path, &scale.uring, &scale.dev), 0);
    scale.arena =
        mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MR_CHECK(scale.arena != MAP_FAILED);
    config.arena = scale.arena;
    config.dev = scale.dev;
    if (format) {
        MR_CHECK_EQ(mr_store_format(scale.dev, &how), 0);
    }
    begin = seconds_now();
    if (mr_store_open(&config, &scale.store, reason, sizeof(reason)) != 0) {
        fprintf(stderr, "many_partitions: the store does not open: %s\n", reason);
        exit(1);
    }
    return seconds_now() - begin;
}

static void
make_logs(void)
{
    for (unsigned i = 0; i < LOGS; i++) {
        struct mr_log_id id = {.topic_id = {{42}}, .partition = (int32_t)i};

        scale.logs[i] = mr_store_log_make(scale.store, &id);
        MR_CHECK(scale.logs[i] != NULL);
    }
}

static void
close_store(void)
{
    MR_CHECK_EQ(mr_store_close(scale.store), 0);
    mr_dev_close(scale.dev);
    mr_uring_close(&scale.uring);
}

/* ---- load ------------------------------------------------------------------------------------ */

static void
on_appended(struct mr_append *append)
{
    struct sending *sending = MR_CONTAINER_OF(append, struct sending, append);

    MR_CHECK_EQ(append->error, MR_KAFKA_NONE);
    MR_CHECK_EQ(append->base_offset, acknowledged[sending->partition]);
    acknowledged[sending->partition]++;
    scale.waiting--;
}

/* One batch; none of the partition may be in flight. The store copies it during the call. */
static void
append(unsigned partition)
{
    static uint8_t bytes[BATCH_BYTES];
    struct sending *sending = &scale.sendings[scale.used++];
    bool idempotent = partition < BUSY;
    int64_t now = mr_clock_wall_ms(&scale.clock.clock);
    struct mr_batch_header header = {
        .size = BATCH_BYTES,
        .magic = 2,
        .base_timestamp = now,
        .max_timestamp = now,
        .producer_id = idempotent ? (int64_t)partition : MR_BATCH_NO_PRODUCER,
        .producer_epoch = idempotent ? 0 : -1,
        .base_sequence = idempotent ? (int32_t)acknowledged[partition] : -1,
        .record_count = 1,
    };
    struct iovec iov = {bytes, sizeof(bytes)};
    int error;

    mr_batch_header_put(bytes, &header);
    header.crc = mr_crc32c(0, bytes + CRC_FROM, sizeof(bytes) - CRC_FROM);
    mr_batch_header_put(bytes, &header);
    *sending = (struct sending){
        .append = {.done = on_appended,
                   .batch = {.header = header, .iov = &iov, .iov_count = 1},
                   .segment_bytes = partition < BUSY ? BUSY_SEGMENT : SLOW_SEGMENT},
        .partition = partition,
    };
    scale.waiting++;
    while ((error = mr_log_append(scale.logs[partition], &sending->append)) == -EAGAIN) {
        turn();
    }
    MR_CHECK_EQ(error, 0);
}

static void
on_trimmed(struct mr_log_trim *trim, enum mr_kafka_err error)
{
    (void)trim;
    MR_CHECK_EQ(error, MR_KAFKA_NONE);
    scale.waiting--;
}

static void
keep_retention(unsigned partition)
{
    struct mr_log *log = scale.logs[partition];
    struct mr_log_trim *trim = &scale.trims[scale.trims_used];
    struct mr_log_offsets offsets;
    int64_t offset;

    mr_log_offsets(log, &offsets);
    offset = mr_log_retention_offset(log, -1, partition < BUSY ? BUSY_RETENTION : SLOW_RETENTION,
                                     mr_clock_wall_ms(&scale.clock.clock));
    if (offset > offsets.start) {
        *trim = (struct mr_log_trim){.done = on_trimmed, .offset = offset};
        scale.trims_used++;
        scale.waiting++;
        mr_log_trim(log, trim);
    }
}

static void
wait_for_all(void)
{
    while (scale.waiting > 0) {
        turn();
    }
    scale.used = 0;
    scale.trims_used = 0;
}

/* One second. */
static void
run_round(void)
{
    for (unsigned i = 0; i < BUSY; i++) {
        append(i);
    }
    for (unsigned i = BUSY + (unsigned)(scale.seconds % SLOW_S); i < BUSY + SLOW; i += SLOW_S) {
        append(i);
    }
    wait_for_all();
    for (unsigned i = (unsigned)(scale.seconds % RETENTION_S); i < BUSY + SLOW; i += RETENTION_S) {
        keep_retention(i);
    }
    wait_for_all();
    scale.seconds++;
    scale.clock.now_ns += MR_NS_PER_S;
}

/* Every partition gets its first batch. */
static void
fill(void)
{
    for (unsigned i = 0; i < LOGS; i++) {
        append(i);
        if (i % APPENDS_MAX == APPENDS_MAX - 1) {
            wait_for_all();
        }
    }
    wait_for_all();
}

/* ---- laps ------------------------------------------------------------------------------------ */

struct lap {
    size_t heap;
    double checkpoint; /* bytes of one */
};

static void
end_lap(unsigned lap, const struct mr_store_stats *from, double begin, struct lap *out)
{
    struct mr_store_stats to;
    uint64_t checkpoints;

    mr_store_stats(scale.store, &to);
    checkpoints = to.checkpoints - from->checkpoints;
    out->heap = heap_bytes();
    out->checkpoint =
        checkpoints ? (double)(to.checkpoint_bytes - from->checkpoint_bytes) / (double)checkpoints
                    : 0;
    printf("%3u %8.1f %9.1f %8.1f %5llu %9.2f %9llu %9.1f %9.1f %8.1f\n", lap,
           (double)out->heap / (double)MIB, (double)to.cache_bytes / (double)MIB,
           (double)to.dirty_bytes / (double)MIB, (unsigned long long)checkpoints,
           out->checkpoint / (double)MIB, (unsigned long long)to.free_extents,
           (double)to.largest_free_bytes / (double)MIB, (double)to.free_bytes / (double)MIB,
           seconds_now() - begin);
    fflush(stdout);
}

static void
run_laps(unsigned laps)
{
    static struct lap seen[LAPS_MAX + 1];

    printf("lap heap MiB cache MiB dirty MiB  ckp. MiB each fragments largest MiB  free MiB "
           "seconds\n");
    for (unsigned lap = 1; lap <= laps; lap++) {
        struct mr_store_stats from, now;
        double begin = seconds_now();

        mr_store_stats(scale.store, &from);
        do {
            run_round();
            mr_store_stats(scale.store, &now);
        } while (now.group_bytes - from.group_bytes < JOURNAL_BYTES);
        end_lap(lap, &from, begin, &seen[lap]);
        if (lap <= FLAT_FROM) {
            continue;
        }
        if ((double)seen[lap].heap > (double)seen[FLAT_FROM].heap * MEMORY_SLACK) {
            fprintf(stderr, "many_partitions: memory grows\n");
            exit(1);
        }
        if (seen[lap].checkpoint > seen[FLAT_FROM].checkpoint * CHECKPOINT_MORE) {
            fprintf(stderr, "many_partitions: checkpoints grow\n");
            exit(1);
        }
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

struct reading {
    struct mr_read read;
    bool done;
};

static void
on_read(struct mr_read *read)
{
    MR_CONTAINER_OF(read, struct reading, read)->done = true;
}

/* Looks at the batches of an answer; returns the offset behind them. */
static int64_t
judge_batches(const struct mr_read *read)
{
    static uint8_t bytes[1u << 20];
    int64_t next = read->offset;
    size_t size = 0;

    for (unsigned i = 0; i < read->iov_count; i++) {
        memcpy(bytes + size, read->iov[i].iov_base, read->iov[i].iov_len);
        size += read->iov[i].iov_len;
    }
    MR_CHECK(size > 0);
    for (size_t at = 0; at < size; at += BATCH_BYTES) {
        struct mr_batch_header header;

        MR_CHECK(size - at >= BATCH_BYTES);
        MR_CHECK_EQ(mr_batch_header_get(bytes + at, &header), 0);
        MR_CHECK_EQ(header.base_offset, next);
        MR_CHECK_EQ(mr_crc32c(0, bytes + at + CRC_FROM, BATCH_BYTES - CRC_FROM), header.crc);
        next++;
    }
    return next;
}

static void
read_log(unsigned partition)
{
    struct mr_log_offsets offsets;
    int64_t at;

    mr_log_offsets(scale.logs[partition], &offsets);
    for (at = offsets.start; at < offsets.high_watermark;) {
        struct reading reading = {
            .read = {.done = on_read, .offset = at, .bytes_max = 65536, .one_at_least = true}};
        int result = mr_log_read(scale.logs[partition], &reading.read);

        while (result == 0 && !reading.done) {
            turn();
        }
        MR_CHECK(result >= 0);
        MR_CHECK_EQ(reading.read.error, MR_KAFKA_NONE);
        at = judge_batches(&reading.read);
        mr_log_read_release(scale.store, &reading.read);
    }
}

/* ---- lives ----------------------------------------------------------------------------------- */

/* What partitions cost without a byte of theirs in memory, as after a start. */
static void
print_memory(size_t before, const char *when)
{
    size_t now = heap_bytes();

    printf("%s: heap %.1f MiB with %u partitions, %.0f bytes each beyond an empty store's %.1f "
           "MiB\n",
           when, (double)now / (double)MIB, LOGS, (double)(now - before) / LOGS,
           (double)before / (double)MIB);
}

static void
first_life(unsigned laps, size_t *empty)
{
    double begin = seconds_now();

    open_store(true);
    *empty = heap_bytes();
    make_logs();
    fill();
    printf("%u partitions made in %.1f s\n", LOGS, seconds_now() - begin);
    run_laps(laps);
    begin = seconds_now();
    close_store();
    printf("closed in %.2f s\n", seconds_now() - begin);
}

/* Goes on until it is killed; a byte says when that may be. */
static void
second_life(size_t empty, int ready)
{
    double took = open_store(false);

    print_memory(empty, "after a clean stop");
    printf("start after a clean stop: %.3f s\n", took);
    fflush(stdout);
    MR_CHECK(mr_store_was_clean(scale.store));
    make_logs();
    for (unsigned round = 0;; round++) {
        run_round();
        if (round == KILL_AFTER) {
            MR_CHECK_EQ(write(ready, "r", 1), 1);
        }
    }
}

static void
third_life(size_t empty)
{
    double took = open_store(false);
    unsigned more = 0;

    print_memory(empty, "after kill -9");
    printf("start after kill -9: %.3f s\n", took);
    MR_CHECK(!mr_store_was_clean(scale.store));
    make_logs();
    for (unsigned i = 0; i < LOGS; i++) {
        struct mr_log_offsets offsets;

        mr_log_offsets(scale.logs[i], &offsets);
        MR_CHECK(offsets.end == acknowledged[i] || offsets.end == acknowledged[i] + 1);
        more += offsets.end != acknowledged[i];
    }
    for (unsigned i = 0; i < LOGS; i += LOGS / SAMPLES) {
        read_log(i);
    }
    printf("every acknowledged batch is there, and %u that were not acknowledged\n", more);
    close_store();
}

/* Waits for a life; it must have ended well, or been killed. */
static void
wait_for(pid_t pid, bool killed)
{
    int status;

    MR_CHECK_EQ(waitpid(pid, &status, 0), pid);
    MR_CHECK(killed ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
                    : WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static pid_t
begin_life(void)
{
    pid_t pid;

    fflush(stdout);
    pid = fork();
    MR_CHECK(pid >= 0);
    return pid;
}

/* A file without holes costs minutes of zeros and shows nothing more here: times are not judged. */
static void
make_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0640);

    MR_CHECK(fd >= 0);
    if (posix_fallocate(fd, 0, (off_t)STORE_BYTES) != 0) {
        MR_SKIP("there is no room for a file of 6 GiB");
    }
    close(fd);
}

int
main(int argc, char **argv)
{
    unsigned laps = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 10;
    size_t *empty;
    int ready[2];
    char byte;
    pid_t pid;

    if (argc < 2 || laps < 1 || laps > LAPS_MAX) {
        fprintf(stderr, "usage: many_partitions FILE [LAPS]\n");
        return 1;
    }
    scale.path = argv[1];
    make_file(scale.path);
    acknowledged = mmap(NULL, LOGS * sizeof(*acknowledged) + sizeof(*empty), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MR_CHECK(acknowledged != MAP_FAILED);
    empty = (size_t *)(acknowledged + LOGS);
    pid = begin_life();
    if (pid == 0) {
        first_life(laps, empty);
        return 0;
    }
    wait_for(pid, false);
    MR_CHECK_EQ(pipe(ready), 0);
    pid = begin_life();
    if (pid == 0) {
        second_life(*empty, ready[1]);
    }
    close(ready[1]);
    MR_CHECK_EQ(read(ready[0], &byte, 1), 1);
    kill(pid, SIGKILL);
    wait_for(pid, true);
    pid = begin_life();
    if (pid == 0) {
        third_life(*empty);
        return 0;
    }
    wait_for(pid, false);
    unlink(scale.path);
    return 0;
}
