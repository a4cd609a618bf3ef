/* bench/append.c: `mr_append`, durable appends to the store itself, without a network.
 *
 * One group after the other: one batch to each partition, then the wait until all are durable, as
 * the drive's own figures by fio with one write and one flush at a time. Prints one line of JSON.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/histo.h"
#include "storage/crc32c.h"
#include "storage/log.h"

#define PARTITIONS_MAX 4096u
#define ARENA_BYTES    (512ull << 20)
#define JOURNAL_BYTES  (64ull << 20)
#define RING_ENTRIES   512u
#define REAP_MAX       256u
#define FILL_PERCENT   60u /* of the store: growth and retention are not measured here */
#define WARM_UP_GROUPS 20u
#define CRC_FROM       21u

struct bench {
    const char *path;
    unsigned partitions;
    uint32_t batch_bytes;
    uint64_t run_ns;
    struct mr_uring uring;
    struct mr_dev *dev;
    struct mr_store *store;
    struct mr_log *logs[PARTITIONS_MAX];
    struct mr_append appends[PARTITIONS_MAX];
    unsigned pending;
    uint8_t *batch;
    struct iovec iov;
    struct mr_batch_header header;
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
    bench.pending--;
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
make_batch(void)
{
    bench.batch = malloc(bench.batch_bytes);
    MR_ASSERT(bench.batch);
    memset(bench.batch, 'x', bench.batch_bytes);
    bench.header = (struct mr_batch_header){
        .size = (int32_t)bench.batch_bytes,
        .magic = 2,
        .base_timestamp = 1,
        .max_timestamp = 1,
        .producer_id = MR_BATCH_NO_PRODUCER,
        .producer_epoch = -1,
        .base_sequence = -1,
        .record_count = 1,
    };
    mr_batch_header_put(bench.batch, &bench.header);
    bench.header.crc = mr_crc32c(0, bench.batch + CRC_FROM, bench.batch_bytes - CRC_FROM);
    mr_batch_header_put(bench.batch, &bench.header);
    bench.iov = (struct iovec){bench.batch, bench.batch_bytes};
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
    struct mr_store_format format = {.store_id = {{1}}, .journal_bytes = JOURNAL_BYTES};
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
group(void)
{
    uint64_t begin = mr_clock_now_ns(&mr_clock_system);

    for (unsigned i = 0; i < bench.partitions; i++) {
        struct mr_append *append = &bench.appends[i];

        *append = (struct mr_append){.done = on_appended};
        append->batch.header = bench.header;
        append->batch.iov = &bench.iov;
        append->batch.iov_count = 1;
        while (mr_log_append(bench.logs[i], append) == -EAGAIN) {
            turn();
        }
        bench.pending++;
    }
    while (bench.pending > 0) {
        turn();
    }
    mr_histo_record(&bench.latency, mr_clock_now_ns(&mr_clock_system) - begin);
}

static void
report(uint64_t groups, uint64_t elapsed_ns, const struct mr_store_stats *from,
       const struct mr_store_stats *to)
{
    double bytes = (double)groups * bench.partitions * bench.batch_bytes;
    uint64_t written = to->group_bytes - from->group_bytes + to->direct_bytes - from->direct_bytes +
                       to->written_behind_bytes - from->written_behind_bytes +
                       to->checkpoint_bytes - from->checkpoint_bytes;

    printf("{\"partitions\": %u, \"batch_bytes\": %u, \"groups\": %llu, \"mb_s\": %.1f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"amplification\": %.2f}\n",
           bench.partitions, bench.batch_bytes, (unsigned long long)groups,
           bytes * 1e3 / (double)elapsed_ns, (double)mr_histo_quantile(&bench.latency, 500) / 1e3,
           (double)mr_histo_quantile(&bench.latency, 990) / 1e3,
           (double)mr_histo_quantile(&bench.latency, 999) / 1e3, (double)written / bytes);
}

static void
run(void)
{
    struct mr_store_stats from;
    struct mr_store_stats to;
    uint64_t begin;
    uint64_t groups = 0;
    uint64_t now;

    for (unsigned i = 0; i < WARM_UP_GROUPS; i++) {
        group();
    }
    memset(&bench.latency, 0, sizeof(bench.latency));
    mr_store_stats(bench.store, &from);
    begin = mr_clock_now_ns(&mr_clock_system);
    do {
        group();
        groups++;
        now = mr_clock_now_ns(&mr_clock_system);
        mr_store_stats(bench.store, &to);
    } while (now - begin < bench.run_ns &&
             to.free_bytes * 100 > to.size_bytes * (100 - FILL_PERCENT));
    report(groups, now - begin, &from, &to);
}

int
main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: mr_append FILE PARTITIONS BATCH-BYTES SECONDS\n"
                        "FILE is written over. It is as large as the store shall be.\n");
        return 2;
    }
    bench.path = argv[1];
    bench.partitions = (unsigned)strtoul(argv[2], NULL, 10);
    bench.batch_bytes = (uint32_t)strtoul(argv[3], NULL, 10);
    bench.run_ns = (uint64_t)(strtod(argv[4], NULL) * 1e9);
    if (bench.partitions < 1 || bench.partitions > PARTITIONS_MAX ||
        bench.batch_bytes < MR_BATCH_HEADER_SIZE || bench.batch_bytes > MR_BATCH_SIZE_MAX) {
        fprintf(stderr, "mr_append: 1 to %u partitions, batches of %u to %u bytes\n",
                PARTITIONS_MAX, MR_BATCH_HEADER_SIZE, MR_BATCH_SIZE_MAX);
        return 2;
    }
    make_batch();
    open_store();
    run();
    return 0; /* the file is scratch: nothing is closed */
}
