/* bench/cycles.c: `mr_cycles`, what a batch costs the store in CPU cycles, without a drive.
 *
 * A device that does nothing completes every operation at once, so that only the store's own work
 * counts: validating a batch as Produce does, mr_log_append() with its one copy, and the group
 * commit with its records, checksum, write-behind and checkpoints, per batch. The first two are the
 * best of several rounds, because what disturbs a round only makes it slower; the commit is the
 * mean, because checkpoints come rarely. Cycles are those of the time-stamp counter.
 *
 * Usage: mr_cycles */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <x86intrin.h>

#include "bench/load/payload.h"
#include "dataplane/base/assert.h"
#include "storage/dev_private.h"
#include "storage/log.h"

#define STORE_BYTES   (8192ull << 20)
#define ARENA_BYTES   (512ull << 20)
#define JOURNAL_BYTES (64ull << 20)
#define HEADER_BLOCKS 4u /* of the store that are kept: superblocks and roots */
#define PARTITIONS    64u
#define ROUNDS        15u
#define ROUND_BYTES   (64u << 20)
#define GROUPS_MAX    256u
#define RECORD_BYTES  1000u

/* Keeps the first blocks, so that the store can be opened, and forgets the rest. */
struct null_dev {
    struct mr_dev dev;
    struct mr_list done;
    uint8_t kept[HEADER_BLOCKS * MR_DEV_BLOCK];
};

struct cycles {
    struct null_dev dev;
    struct mr_store *store;
    struct mr_log *logs[PARTITIONS];
    struct mr_append appends[PARTITIONS];
    unsigned waiting;
};

static struct cycles bench;

/* ---- the device ------------------------------------------------------------------------------ */

static void
null_submit(struct mr_dev *dev, struct mr_dev_io *io)
{
    struct null_dev *null = MR_CONTAINER_OF(dev, struct null_dev, dev);
    uint64_t at = io->offset;

    for (unsigned i = 0; i < io->iov_count && io->kind != DEV_FLUSH; i++) {
        bool kept = at + io->iov[i].iov_len <= sizeof(null->kept);

        if (io->kind == DEV_READ && kept) {
            memcpy(io->iov[i].iov_base, null->kept + at, io->iov[i].iov_len);
        } else if (io->kind == DEV_READ) {
            memset(io->iov[i].iov_base, 0, io->iov[i].iov_len);
        } else if (kept) {
            memcpy(null->kept + at, io->iov[i].iov_base, io->iov[i].iov_len);
        }
        at += io->iov[i].iov_len;
    }
    mr_list_init(&io->node);
    mr_list_push_back(&null->done, &io->node);
}

static int
null_poll(struct mr_dev *dev)
{
    struct null_dev *null = MR_CONTAINER_OF(dev, struct null_dev, dev);
    struct mr_list *node;
    int count = 0;

    while ((node = mr_list_pop_front(&null->done))) {
        struct mr_dev_io *io = MR_CONTAINER_OF(node, struct mr_dev_io, node);

        io->done(io, 0);
        count++;
    }
    return count;
}

static int
null_wait(struct mr_dev *dev)
{
    null_poll(dev);
    return 0;
}

static const struct mr_dev_ops null_ops = {
    .read = null_submit,
    .write = null_submit,
    .flush = null_submit,
    .poll = null_poll,
    .wait = null_wait,
};

static uint8_t *
open_store(void)
{
    struct mr_store_format format = {.store_id = {{1}}, .journal_bytes = JOURNAL_BYTES};
    struct mr_store_config config = {
        .dev = &bench.dev.dev,
        .clock = &mr_clock_system,
        .arena_bytes = ARENA_BYTES,
        .logs_max = PARTITIONS,
        .producers_max = 16,
        .direct_run_bytes = 12288,
        .index_bytes_max = 32u << 20,
    };
    char reason[256] = "";

    memset(&bench, 0, sizeof(bench));
    mr_list_init(&bench.dev.done);
    bench.dev.dev.ops = &null_ops;
    bench.dev.dev.size_bytes = STORE_BYTES;
    config.arena =
        mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MR_ASSERT(config.arena != MAP_FAILED);
    madvise(config.arena, ARENA_BYTES, MADV_HUGEPAGE);
    memset(config.arena, 1, ARENA_BYTES);
    if (mr_store_format(config.dev, &format) != 0 ||
        mr_store_open(&config, &bench.store, reason, sizeof(reason)) != 0) {
        fprintf(stderr, "mr_cycles: %s\n", reason);
        exit(1);
    }
    for (unsigned i = 0; i < PARTITIONS; i++) {
        struct mr_log_id id = {.topic_id = {{42}}, .partition = (int32_t)i};

        bench.logs[i] = mr_store_log_make(bench.store, &id);
        MR_ASSERT(bench.logs[i]);
    }
    return config.arena;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void
on_appended(struct mr_append *append)
{
    MR_ASSERT(!append->error);
    bench.waiting--;
}

static void
turn(void)
{
    mr_store_tick(bench.store);
    null_poll(&bench.dev.dev);
}

struct result {
    double validate, append, commit; /* cycles a batch */
};

static struct mr_batch
validate(const struct iovec *iov, struct mr_batch_scratch *scratch)
{
    struct mr_batch_rules rules = {.size_max = MR_BATCH_SIZE_MAX,
                                   .segment_size_max = INT32_MAX,
                                   .now_ms = 1,
                                   .timestamp_before_ms = INT64_MAX,
                                   .timestamp_after_ms = INT64_MAX,
                                   .zstd_allowed = true};
    struct mr_batch_refusal refusal;
    struct mr_batch batch;

    if (mr_batch_validate(iov, 1, iov->iov_len, &rules, scratch, &batch, &refusal) !=
        MR_KAFKA_NONE) {
        fprintf(stderr, "mr_cycles: %s\n", refusal.message);
        exit(1);
    }
    return batch;
}

/* One batch to each partition, and their commit; adds what it took. */
static void
measure_group(const struct iovec *iov, struct mr_batch_scratch *scratch, struct result *sum)
{
    uint64_t begin = __rdtsc(), now;
    struct mr_batch batch;

    for (unsigned i = 0; i < PARTITIONS; i++) {
        batch = validate(iov, scratch);
    }
    now = __rdtsc();
    sum->validate += (double)(now - begin);
    for (unsigned i = 0; i < PARTITIONS; i++) {
        struct mr_append *append = &bench.appends[i];

        *append = (struct mr_append){.done = on_appended, .batch = batch};
        begin = __rdtsc();
        while (mr_log_append(bench.logs[i], append) != 0) {
            sum->append += (double)(__rdtsc() - begin);
            begin = __rdtsc();
            turn();
            sum->commit += (double)(__rdtsc() - begin);
            begin = __rdtsc();
        }
        sum->append += (double)(__rdtsc() - begin);
        bench.waiting++;
    }
    begin = __rdtsc();
    while (bench.waiting > 0) {
        turn();
    }
    sum->commit += (double)(__rdtsc() - begin);
}

static void
measure(uint32_t bytes)
{
    struct load_options options = {.record_size = RECORD_BYTES, .batch_bytes = (int32_t)bytes};
    struct mr_batch_scratch *scratch = mr_batch_scratch_create();
    uint8_t *arena = open_store();
    struct result best = {0}, total = {0};
    struct load_payload payload;
    struct iovec iov;
    unsigned groups;

    MR_ASSERT(scratch && load_payload_build(&payload, &options) == 0);
    load_payload_header(&payload, 1, MR_BATCH_NO_PRODUCER, -1, -1, payload.batch);
    iov = (struct iovec){payload.batch, payload.size};
    groups = (unsigned)(ROUND_BYTES / (PARTITIONS * payload.size));
    groups = groups < 1 ? 1 : groups > GROUPS_MAX ? GROUPS_MAX : groups;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct result sum = {0};

        for (unsigned i = 0; i < groups; i++) {
            measure_group(&iov, scratch, &sum);
        }
        best.validate = round == 0 || sum.validate < best.validate ? sum.validate : best.validate;
        best.append = round == 0 || sum.append < best.append ? sum.append : best.append;
        total.commit += sum.commit;
    }
    printf("| %zu | %d | %.0f | %.0f | %.0f |\n", payload.size, payload.header.record_count,
           best.validate / (groups * PARTITIONS), best.append / (groups * PARTITIONS),
           total.commit / (groups * PARTITIONS * ROUNDS));
    mr_store_abandon(bench.store);
    munmap(arena, ARENA_BYTES);
    load_payload_free(&payload);
    mr_batch_scratch_destroy(scratch);
}

int
main(void)
{
    static const uint32_t sizes[] = {1100, 16384, 65536, 1048576};

    printf("cycles a batch, groups of %u\n", PARTITIONS);
    printf("| bytes | records | validation | append with its copy | commit |\n"
           "|---|---|---|---|---|\n");
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        measure(sizes[i]);
    }
    return 0;
}
