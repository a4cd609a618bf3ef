/* bench/append.c: `mr_append`, durable appends to the store itself, without a network.
 *
 * One group after the other: one batch to each partition, then the wait until all are durable, as
 * the drive's own figures by fio with one write and one flush at a time. With a depth of 2 the next
 * group is appended while one is on its way, as happens under load; its runs are written meanwhile,
 * its set is not.
 * Prints one line of JSON.
 *
 * Amplification is what was written per byte of batches, over whole laps of the journal where there
 * was one: what lies in memory, to be written behind, is then as much at the end as at the
 * beginning. It is counted by the store ("amplification") and by the kernel for the whole device
 * that the file lies on ("device_amplification"), other programs' writes included. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/histo.h"
#include "dataplane/base/rng.h"
#include "storage/crc32c.h"
#include "storage/log.h"

#define PARTITIONS_MAX 4096u
#define ARENA_BYTES    (512ull << 20)
#define JOURNAL_MIB    64u /* as the broker makes it by default */
#define RING_ENTRIES   512u
#define REAP_MAX       256u
#define FILL_PERCENT   60u /* of the store: growth and retention are not measured here */
#define WARM_UP_GROUPS 20u
#define WARM_UP_BYTES  (256ull << 20) /* or fewer groups */
#define DEPTH_MAX      2u
#define CRC_FROM       21u
#define BATCHES        512u              /* different ones, where sizes are random */
#define OVERTIME_NS    (3 * MR_NS_PER_S) /* at most, for laps of the journal */
#define SECTOR         512u

struct bench {
    const char *path;
    unsigned partitions;
    uint32_t bytes_min, bytes_max; /* of a batch, log-uniform between them */
    uint64_t run_ns;
    uint64_t journal_bytes;
    unsigned laps; /* of the journal that are awaited */
    struct mr_uring uring;
    struct mr_dev *dev;
    struct mr_store *store;
    struct mr_log *logs[PARTITIONS_MAX];
    struct group {
        struct mr_append appends[PARTITIONS_MAX];
        unsigned pending;
        uint64_t begin_ns;
        uint64_t took_ns; /* until all were durable */
    } groups[DEPTH_MAX];
    unsigned depth;
    uint64_t group_next;
    struct batch {
        struct iovec iov;
        struct mr_batch_header header;
    } batches[BATCHES];
    unsigned batch_count;
    uint64_t batch_next;
    uint64_t bytes;          /* of batches appended */
    struct mr_histo latency; /* ns, of a group */
};

static struct bench bench;

static void
die(const char *what, int error)
{
    fprintf(stderr, "mr_append: %s: %s\n", what, strerror(-error));
    exit(1);
}

static void
on_appended(struct mr_append *append)
{
    if (append->error) {
        fprintf(stderr, "mr_append: %s\n", mr_kafka_err_text(append->error));
        exit(1);
    }
    for (unsigned i = 0; i < DEPTH_MAX; i++) {
        struct group *group = &bench.groups[i];

        if (append >= group->appends && append < group->appends + PARTITIONS_MAX) {
            group->pending--;
            group->took_ns = mr_clock_now_ns(&mr_clock_system) - group->begin_ns;
        }
    }
}

/* As a shard that has nothing to do sleeps until its ring has something. */
static void
turn(void)
{
    bool worked = mr_store_tick(bench.store);

    mr_uring_submit(&bench.uring);
    worked |= mr_uring_reap(&bench.uring, REAP_MAX) > 0;
    if (!worked) {
        mr_uring_wait(&bench.uring, MR_NS_PER_MS);
    }
}

static void
make_batch(struct batch *batch, uint32_t size)
{
    uint8_t *bytes = malloc(size);

    MR_ASSERT(bytes);
    memset(bytes, 'x', size);
    batch->header = (struct mr_batch_header){
        .size = (int32_t)size,
        .magic = 2,
        .base_timestamp = 1,
        .max_timestamp = 1,
        .producer_id = MR_BATCH_NO_PRODUCER,
        .producer_epoch = -1,
        .base_sequence = -1,
        .record_count = 1,
    };
    mr_batch_header_put(bytes, &batch->header);
    batch->header.crc = mr_crc32c(0, bytes + CRC_FROM, size - CRC_FROM);
    mr_batch_header_put(bytes, &batch->header);
    batch->iov = (struct iovec){bytes, size};
}

/* The sizes are spread evenly over the logarithm and then shuffled: every run has the same. */
static void
make_batches(void)
{
    struct mr_rng rng;

    mr_rng_init(&rng, 1);
    bench.batch_count = bench.bytes_min == bench.bytes_max ? 1 : BATCHES;
    for (unsigned i = 0; i < bench.batch_count; i++) {
        double part = ((double)i + 0.5) / bench.batch_count;
        unsigned other = (unsigned)mr_rng_below(&rng, i + 1);

        bench.batches[i] = bench.batches[other];
        make_batch(
            &bench.batches[other],
            (uint32_t)(bench.bytes_min * pow((double)bench.bytes_max / bench.bytes_min, part)));
    }
}

static uint8_t *
make_arena(void)
{
    uint8_t *arena =
        mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    MR_ASSERT(arena != MAP_FAILED);
    madvise(arena, ARENA_BYTES, MADV_HUGEPAGE);
    memset(arena, 1, ARENA_BYTES); /* no page fault is measured */
    return arena;
}

static void
open_store(void)
{
    struct mr_store_format format = {.store_id = {{1}}, .journal_bytes = bench.journal_bytes};
    struct mr_store_config config = {
        .clock = &mr_clock_system,
        .arena = make_arena(),
        .arena_bytes = ARENA_BYTES,
        .logs_max = PARTITIONS_MAX,
        .producers_max = 16,
        .direct_run_bytes = 12288,
        .index_bytes_max = 32u << 20,
    };
    char reason[256] = "";
    int error = mr_uring_init(&bench.uring, RING_ENTRIES);

    error = error ? error : mr_dev_uring_open(bench.path, &bench.uring, &bench.dev);
    if (error) {
        die(bench.path, error);
    }
    error = mr_store_format(bench.dev, &format);
    config.dev = bench.dev;
    error = error ? error : mr_store_open(&config, &bench.store, reason, sizeof(reason));
    if (error) {
        die(reason[0] ? reason : "the store cannot be opened", error);
    }
    for (unsigned i = 0; i < bench.partitions; i++) {
        struct mr_log_id id = {.topic_id = {{42}}, .partition = (int32_t)i};

        bench.logs[i] = mr_store_log_make(bench.store, &id);
        MR_ASSERT(bench.logs[i]);
    }
}

static void
settle(const struct group *group)
{
    while (group->pending > 0) {
        turn();
    }
}

/* Returns the nanoseconds until a group was durable: this one, or, with a depth of 2, the one whose
 * place it takes. */
static uint64_t
run_group(void)
{
    struct group *group = &bench.groups[bench.group_next++ % bench.depth];
    uint64_t took;

    settle(group);
    took = group->took_ns;
    group->begin_ns = mr_clock_now_ns(&mr_clock_system);
    for (unsigned i = 0; i < bench.partitions; i++) {
        struct mr_append *append = &group->appends[i];
        struct batch *batch = &bench.batches[bench.batch_next++ % bench.batch_count];

        *append = (struct mr_append){.done = on_appended};
        append->batch.header = batch->header;
        append->batch.iov = &batch->iov;
        append->batch.iov_count = 1;
        bench.bytes += batch->iov.iov_len;
        group->pending++;
        while (mr_log_append(bench.logs[i], append) == -EAGAIN) {
            turn();
        }
    }
    if (bench.depth == 1) {
        settle(group);
        took = group->took_ns;
    }
    return took;
}

/* ---- amplification --------------------------------------------------------------------------- */

/* What was written since the device or the store was made. */
struct written {
    uint64_t bytes; /* of batches appended */
    uint64_t store, device;
    uint64_t laps_bytes; /* of journal sets */
};

/* The bytes ever written to the device that the file lies on, from sysfs; 0: not known. */
static uint64_t
device_bytes(void)
{
    unsigned long long sectors = 0;
    char path[64];
    struct stat status;
    FILE *file;

    if (stat(bench.path, &status) != 0) {
        return 0;
    }
    if (S_ISBLK(status.st_mode)) {
        status.st_dev = status.st_rdev;
    }
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/stat", major(status.st_dev),
             minor(status.st_dev));
    file = fopen(path, "r");
    if (!file) {
        return 0;
    }
    if (fscanf(file, "%*u %*u %*u %*u %*u %*u %llu", &sectors) != 1) {
        sectors = 0;
    }
    fclose(file);
    return sectors * SECTOR;
}

static void
measure(struct written *out)
{
    struct mr_store_stats stats;

    mr_store_stats(bench.store, &stats);
    *out = (struct written){
        .bytes = bench.bytes,
        .store = stats.group_bytes + stats.direct_bytes + stats.written_behind_bytes +
                 stats.checkpoint_bytes,
        .device = device_bytes(),
        .laps_bytes = stats.group_bytes,
    };
}

static bool
is_full(void)
{
    struct mr_store_stats stats;

    mr_store_stats(bench.store, &stats);
    return stats.free_bytes * 100 <= stats.size_bytes * (100 - FILL_PERCENT);
}

/* ---- run ------------------------------------------------------------------------------------- */

static void
report(uint64_t groups, uint64_t bytes, uint64_t elapsed_ns, uint64_t laps,
       const struct written *from, const struct written *to)
{
    double appended = (double)(to->bytes - from->bytes);

    printf("{\"partitions\": %u, \"batch_bytes\": \"%u-%u\", \"groups\": %llu, "
           "\"group_bytes\": %.0f, \"mb_s\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"p999_us\": %.1f, \"laps\": %llu, \"amplification\": %.3f, "
           "\"device_amplification\": %.3f}\n",
           bench.partitions, bench.bytes_min, bench.bytes_max, (unsigned long long)groups,
           (double)bytes / (double)groups, (double)bytes * 1e3 / (double)elapsed_ns,
           (double)mr_histo_quantile(&bench.latency, 500) / 1e3,
           (double)mr_histo_quantile(&bench.latency, 990) / 1e3,
           (double)mr_histo_quantile(&bench.latency, 999) / 1e3, (unsigned long long)laps,
           (double)(to->store - from->store) / appended,
           (double)(to->device - from->device) / appended);
}

/* Latency and rate count for the time asked for; laps of the journal may take longer. */
static void
run(void)
{
    struct written from, to, now;
    uint64_t begin, elapsed, run_elapsed = 0, bytes = 0, groups = 0, laps = 0;

    for (unsigned i = 0; i < WARM_UP_GROUPS && bench.bytes < WARM_UP_BYTES; i++) {
        run_group();
    }
    measure(&from);
    now = from;
    to = from;
    begin = mr_clock_now_ns(&mr_clock_system);
    do {
        uint64_t took = run_group();

        elapsed = mr_clock_now_ns(&mr_clock_system) - begin;
        if (run_elapsed < bench.run_ns) {
            mr_histo_record(&bench.latency, took);
            groups++;
            run_elapsed = elapsed;
            bytes = bench.bytes - from.bytes;
        }
        measure(&now);
        if (now.laps_bytes - from.laps_bytes >= (laps + 1) * bench.journal_bytes) {
            laps++;
            to = now;
        }
    } while ((elapsed < bench.run_ns || (laps < bench.laps && elapsed < OVERTIME_NS)) &&
             !is_full());
    for (unsigned i = 0; i < bench.depth; i++) {
        settle(&bench.groups[i]);
    }
    report(groups, bytes, run_elapsed, laps, &from, laps > 0 ? &to : &now);
}

/* "BYTES" or "MIN-MAX". */
static bool
parse_bytes(const char *text)
{
    char *end;

    bench.bytes_min = (uint32_t)strtoul(text, &end, 10);
    bench.bytes_max = *end == '-' ? (uint32_t)strtoul(end + 1, &end, 10) : bench.bytes_min;
    return *end == '\0' && bench.bytes_min >= MR_BATCH_HEADER_SIZE &&
           bench.bytes_min <= bench.bytes_max && bench.bytes_max <= MR_BATCH_SIZE_MAX;
}

int
main(int argc, char **argv)
{
    if (argc < 5 || argc > 8) {
        fprintf(stderr, "usage: mr_append FILE PARTITIONS BYTES|MIN-MAX SECONDS [DEPTH [LAPS "
                        "[JOURNAL_MIB]]]\n"
                        "FILE is written over. It is as large as the store shall be.\n");
        return 2;
    }
    bench.path = argv[1];
    bench.partitions = (unsigned)strtoul(argv[2], NULL, 10);
    bench.run_ns = (uint64_t)(strtod(argv[4], NULL) * 1e9);
    bench.depth = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 1;
    bench.laps = argc > 6 ? (unsigned)strtoul(argv[6], NULL, 10) : 0;
    bench.journal_bytes = argc > 7 ? strtoull(argv[7], NULL, 10) << 20 : JOURNAL_MIB << 20;
    if (bench.partitions < 1 || bench.partitions > PARTITIONS_MAX || !parse_bytes(argv[3]) ||
        bench.depth < 1 || bench.depth > DEPTH_MAX) {
        fprintf(stderr, "mr_append: 1 to %u partitions, batches of %u to %u bytes, depth 1 to %u\n",
                PARTITIONS_MAX, MR_BATCH_HEADER_SIZE, MR_BATCH_SIZE_MAX, DEPTH_MAX);
        return 2;
    }
    make_batches();
    open_store();
    run();
    return 0; /* the file is scratch: nothing is closed */
}
