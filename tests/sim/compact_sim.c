/* tests/sim/compact_sim.c: compaction under power cuts, against a model of keys.
 *
 * Random batches of keyed records and tombstones, plain and zstd, go to a few logs; compaction,
 * trims, power cuts and kills come at random. After each open, and after each compaction, a log is
 * read whole and every record judged by what was sent: none may be changed, the last one of each
 * key must be there (a tombstone until its time), and what was compacted has each key once.
 *
 *   compact_sim [--seeds N] [--first M] [--seed N] */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "dataplane/base/clock.h"
#include "storage/internal.h" /* to see a swap in flight */
#include "storage/log.h"
#include "tests/sim/sim_batch.h"

#define MIB           (UINT64_C(1) << 20)
#define LOGS          3
#define SWAP_CUT_IN   4 /* turns of a swap's set, until one of them ends in a power cut */
#define KEYS          300
#define RECORDS_MAX   8
#define OFFSETS       60000
#define STEPS         1200
#define RETENTION_MS  150
#define SEGMENT_BYTES 20000u
#define PRODUCERS     2

#ifdef MR_MUTANTS
int mr_mutant; /* enum mr_mutant of storage/internal.h: the rule that is broken */
#endif

enum certainty { UNSENT, MAYBE, SURE };

struct sent_record {
    enum certainty certainty;
    uint16_t key;
    bool tombstone;
    uint32_t value;
    int64_t timestamp, sent_ms;
};

struct log_model {
    struct mr_log_id id;
    struct sent_record *records; /* by offset */
    int64_t start, end;          /* acknowledged */
    int64_t start_maybe;
    int64_t clean;
    int64_t producer_base;
    int32_t sequences[PRODUCERS];
};

struct sending {
    struct mr_append append;
    struct log_model *log;
    bool used, answered;
    int64_t base;
    int32_t count;
};

struct counters {
    uint64_t appends, compactions, unchanged, cuts, cuts_in_compaction, cuts_in_swap, trims, judged,
        tombstones_gone, bytes_before, bytes_after, failed, discards;
};

struct run {
    uint64_t seed;
    struct mr_rng rng;
    struct mr_clock_sim clock;
    struct mr_dev_sim *sim;
    struct mr_dev *dev;
    struct mr_store_config config;
    struct mr_store *store;
    struct log_model logs[LOGS];
    struct sending sending;
    struct mr_log_compact compact;
    struct log_model *compacting;
    struct mr_log_trim trim;
    struct log_model *trimming;
    struct counters *counters;
};

static struct run *running;
static uint8_t scratch[1u << 20], body[1u << 20];

__attribute__((noreturn, format(printf, 1, 2))) static void
fail(const char *format, ...)
{
    __builtin_va_list args;

    __builtin_va_start(args, format);
    fprintf(stderr, "compact_sim: seed %llu: ", (unsigned long long)running->seed);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    exit(1);
}

/* ---- batches of the simulator's own ---------------------------------------------------------- */

static void
put_be(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    }
}

static uint8_t *
put_varint(uint8_t *at, int64_t value)
{
    uint64_t zigzag = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);

    for (; zigzag >= 128; zigzag >>= 7) {
        *at++ = (uint8_t)(zigzag | 128);
    }
    *at++ = (uint8_t)zigzag;
    return at;
}

static int64_t
get_varint(const uint8_t **at)
{
    uint64_t value = 0;

    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = *(*at)++;

        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
        }
    }
}

/* The value is four bytes, and repeats of them so that batches have different sizes. */
static uint8_t *
put_record(uint8_t *at, const struct sent_record *record, int64_t base_timestamp, int32_t delta)
{
    uint8_t bytes[2000], *end = bytes;
    uint32_t repeat = 1 + record->value % 200;

    *end++ = 0;
    end = put_varint(end, record->timestamp - base_timestamp);
    end = put_varint(end, delta);
    end = put_varint(end, 2);
    put_be(end, record->key, 2);
    end += 2;
    end = put_varint(end, record->tombstone ? -1 : (int64_t)repeat * 4);
    for (uint32_t i = 0; i < repeat && !record->tombstone; i++, end += 4) {
        put_be(end, record->value, 4);
    }
    end = put_varint(end, 0);
    at = put_varint(at, end - bytes);
    memcpy(at, bytes, (size_t)(end - bytes));
    return at + (end - bytes);
}

static void
append_done(struct mr_append *append)
{
    running->sending.answered = true;
    (void)append;
}

static void
send_batch(struct run *run, struct log_model *log, struct mr_log *handle)
{
    struct sending *sending = &run->sending;
    int32_t count = 1 + (int32_t)mr_rng_below(&run->rng, RECORDS_MAX);
    bool zstd = mr_rng_below(&run->rng, 3) == 0;
    int producer = (int)mr_rng_below(&run->rng, PRODUCERS + 1) - 1;
    int64_t id = producer < 0 ? -1 : log->producer_base + producer;
    int64_t now = mr_clock_wall_ms(&run->clock.clock), max = INT64_MIN;
    uint8_t *at = body;
    struct iovec iov;
    size_t size;
    uint32_t crc;
    int error;

    if (log->end + count >= OFFSETS) {
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        struct sent_record *record = &log->records[log->end + i];

        *record = (struct sent_record){.certainty = MAYBE,
                                       .key = (uint16_t)mr_rng_below(&run->rng, KEYS),
                                       .tombstone = mr_rng_below(&run->rng, 6) == 0,
                                       .value = (uint32_t)mr_rng_next(&run->rng),
                                       .timestamp = now - (int64_t)mr_rng_below(&run->rng, 50),
                                       .sent_ms = now};
        max = record->timestamp > max ? record->timestamp : max;
        at = put_record(at, record, now, i);
    }
    size = (size_t)(at - body);
    if (zstd) {
        size = ZSTD_compress(scratch + 61, sizeof(scratch) - 61, body, size, 1);
    } else {
        memcpy(scratch + 61, body, size);
    }
    memset(scratch, 0, 61);
    put_be(scratch + 8, size + 49, 4);
    put_be(scratch + 12, UINT32_MAX, 4);
    scratch[16] = 2;
    put_be(scratch + 21, zstd ? 4 : 0, 2);
    put_be(scratch + 23, (uint64_t)count - 1, 4);
    put_be(scratch + 27, (uint64_t)now, 8);
    put_be(scratch + 35, (uint64_t)max, 8);
    put_be(scratch + 43, (uint64_t)id, 8);
    put_be(scratch + 51, producer < 0 ? UINT64_MAX : 0, 2);
    put_be(scratch + 53, producer < 0 ? UINT64_MAX : (uint64_t)log->sequences[producer], 4);
    put_be(scratch + 57, (uint64_t)count, 4);
    crc = sim_crc32c(scratch + 21, size + 40);
    put_be(scratch + 17, crc, 4);
    iov = (struct iovec){scratch, size + 61};
    memset(sending, 0, sizeof(*sending));
    sending->log = log;
    sending->base = log->end;
    sending->count = count;
    sending->append.done = append_done;
    sending->append.segment_bytes = SEGMENT_BYTES;
    sending->append.leader_epoch = 1;
    sending->append.batch =
        (struct mr_batch){.header = {.size = (int32_t)(size + 61),
                                     .magic = 2,
                                     .crc = crc,
                                     .attributes = zstd ? 4 : 0,
                                     .last_offset_delta = count - 1,
                                     .base_timestamp = now,
                                     .max_timestamp = max,
                                     .producer_id = id,
                                     .producer_epoch = producer < 0 ? -1 : 0,
                                     .base_sequence = producer < 0 ? -1 : log->sequences[producer],
                                     .record_count = count},
                          .iov = &iov,
                          .iov_count = 1};
    error = mr_log_append(handle, &sending->append);
    if (error == 0) {
        sending->used = true;
        if (producer >= 0) {
            log->sequences[producer] += count;
        }
    } else {
        for (int32_t i = 0; i < count; i++) {
            log->records[log->end + i].certainty = UNSENT;
        }
    }
}

/* ---- judging --------------------------------------------------------------------------------- */

struct view {
    int64_t last[KEYS]; /* offset of the key's last record that was read */
    bool seen[OFFSETS];
};

static struct view view;

static void
judge_record(struct log_model *log, int64_t offset, int64_t timestamp, const uint8_t *at)
{
    struct sent_record *sent = &log->records[offset];
    int64_t key_size, value_size;
    const uint8_t *key;

    key_size = get_varint(&at);
    key = at;
    at += key_size > 0 ? key_size : 0;
    value_size = get_varint(&at);
    if (offset >= OFFSETS || sent->certainty == UNSENT || key_size != 2 ||
        (uint16_t)(key[0] << 8 | key[1]) != sent->key || timestamp != sent->timestamp ||
        (sent->tombstone
             ? value_size != -1
             : value_size != 4 * (1 + sent->value % 200) || sim_get32(at) != sent->value)) {
        fail("partition %d: the record at %lld is not what was sent", log->id.partition,
             (long long)offset);
    }
    view.seen[offset] = true;
    view.last[sent->key] = offset;
}

/* Returns the offset behind the batch. */
static int64_t
judge_batch(struct log_model *log, const uint8_t *batch)
{
    size_t size = sim_get32(batch + 8) + 12;
    int64_t base = (int64_t)sim_get64(batch), base_timestamp = (int64_t)sim_get64(batch + 27);
    uint32_t count = sim_get32(batch + 57);
    const uint8_t *at = batch + 61;

    if (sim_crc32c(batch + 21, size - 21) != sim_get32(batch + 17)) {
        fail("partition %d: the batch at %lld has a wrong CRC", log->id.partition, (long long)base);
    }
    if ((batch[22] & 7) == 4 && count > 0) {
        size_t got = ZSTD_decompress(body, sizeof(body), at, size - 61);

        if (ZSTD_isError(got)) {
            fail("partition %d: the batch at %lld cannot be decompressed", log->id.partition,
                 (long long)base);
        }
        at = body;
    }
    for (uint32_t i = 0; i < count; i++) {
        int64_t record_size = get_varint(&at);
        const uint8_t *end = at + record_size;
        int64_t timestamp, delta;

        at++;
        timestamp = base_timestamp + get_varint(&at);
        delta = get_varint(&at);
        judge_record(log, base + delta, timestamp, at);
        at = end;
    }
    return base + (int32_t)sim_get32(batch + 23) + 1;
}

static bool read_answered;

static void
read_done(struct mr_read *read)
{
    (void)read;
    read_answered = true;
}

static void
judge_log(struct run *run, struct log_model *log, struct mr_log *handle)
{
    static uint8_t buffer[4u << 20];
    struct mr_log_offsets offsets;
    int64_t at, now = mr_clock_wall_ms(&run->clock.clock);
    bool newest[KEYS] = {false};

    mr_log_offsets(handle, &offsets);
    memset(&view, 0, sizeof(view));
    memset(view.last, 0xff, sizeof(view.last));
    for (at = offsets.start; at < offsets.high_watermark;) {
        struct mr_read read = {
            .done = read_done, .offset = at, .bytes_max = 100000, .one_at_least = true};
        size_t size = 0;
        int got;

        read_answered = false;
        got = mr_log_read(handle, &read);
        for (unsigned i = 0; got == 0 && !read_answered && i < 100000; i++) {
            mr_store_tick(run->store);
            if (mr_dev_poll(run->dev) < 0) {
                return; /* the power is gone */
            }
        }
        if (read.error == MR_KAFKA_OFFSET_OUT_OF_RANGE && read.offsets.start > at) {
            mr_log_read_release(run->store, &read); /* trimmed meanwhile */
            at = read.offsets.start;
            continue;
        }
        if (got < 0 || read.error) {
            fail("partition %d: cannot read at %lld", log->id.partition, (long long)at);
        }
        for (unsigned i = 0; i < read.iov_count; i++) {
            memcpy(buffer + size, read.iov[i].iov_base, read.iov[i].iov_len);
            size += read.iov[i].iov_len;
        }
        mr_log_read_release(run->store, &read);
        if (size == 0) {
            fail("partition %d: nothing at %lld", log->id.partition, (long long)at);
        }
        for (size_t byte = 0; byte < size; byte += sim_get32(buffer + byte + 8) + 12) {
            at = judge_batch(log, buffer + byte);
        }
    }
    for (int64_t offset = log->end; offset-- > log->start_maybe;) { /* the newest of each key */
        const struct sent_record *sent = &log->records[offset];

        if (newest[sent->key]) {
            continue;
        }
        newest[sent->key] = true;
        if (view.seen[offset]) {
            continue;
        }
        if (view.last[sent->key] < offset &&
            !(sent->tombstone && now - sent->sent_ms > RETENTION_MS)) {
            fail("partition %d: the last record of key %u, at %lld, is gone (log %lld to %lld)",
                 log->id.partition, sent->key, (long long)offset, (long long)offsets.start,
                 (long long)offsets.high_watermark);
        }
        if (view.last[sent->key] >= 0 && view.last[sent->key] < offset) {
            fail("partition %d: key %u has risen again at %lld, its tombstone at %lld is gone",
                 log->id.partition, sent->key, (long long)view.last[sent->key], (long long)offset);
        }
        run->counters->tombstones_gone += view.last[sent->key] < offset;
    }
    run->counters->judged++;
}

/* Below `clean` each key is there once. */
static void
judge_clean(struct log_model *log)
{
    int64_t last[KEYS];

    memset(last, 0xff, sizeof(last));
    for (int64_t offset = log->start; offset < log->clean; offset++) {
        uint16_t key = log->records[offset].key;

        if (!view.seen[offset]) {
            continue;
        }
        if (last[key] >= log->start) {
            fail("partition %d: key %u is at %lld and at %lld, compacted up to %lld",
                 log->id.partition, key, (long long)last[key], (long long)offset,
                 (long long)log->clean);
        }
        last[key] = offset;
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
compact_done(struct mr_log_compact *compact, enum mr_kafka_err error)
{
    struct run *run = running;

    run->counters->failed += error != MR_KAFKA_NONE;
    if (compact->changed) {
        run->counters->compactions++;
        run->counters->bytes_before += compact->bytes_before;
        run->counters->bytes_after += compact->bytes_after;
        run->compacting->clean = compact->clean_offset;
    } else {
        run->counters->unchanged++;
    }
}

static void
trim_done(struct mr_log_trim *trim, enum mr_kafka_err error)
{
    if (error == MR_KAFKA_NONE) {
        running->trimming->start = trim->offset;
        running->trimming->start_maybe = trim->offset;
        running->counters->trims++;
    }
    running->trimming = NULL;
}

static struct mr_log *
handle_of(struct run *run, struct log_model *log)
{
    struct mr_log *handle = mr_store_log_make(run->store, &log->id);

    if (!handle) {
        fail("no log");
    }
    return handle;
}

static void
open_store(struct run *run)
{
    char reason[256] = "";

    for (;;) {
        int error;

        run->dev = mr_dev_sim_connect(run->sim);
        run->config.dev = run->dev;
        if (mr_rng_below(&run->rng, 4) == 0) {
            mr_dev_sim_cut_after(run->sim, 1 + mr_rng_below(&run->rng, 20), false);
        }
        error = mr_store_open(&run->config, &run->store, reason, sizeof(reason));
        mr_dev_sim_cut_after(run->sim, 0, false);
        if (error == 0 && mr_dev_poll(run->dev) >= 0) {
            break;
        }
        if (error == 0) {
            mr_store_abandon(run->store);
        } else if (error != -ECANCELED) {
            fail("refuses to open: %s (%d)", reason, error);
        }
        mr_dev_sim_power_cut(run->sim);
    }
    for (unsigned i = 0; i < LOGS; i++) {
        struct log_model *log = &run->logs[i];
        struct mr_log_offsets offsets;
        struct mr_log *handle = handle_of(run, log);

        mr_log_offsets(handle, &offsets);
        if (offsets.high_watermark < log->end || offsets.start < log->start ||
            offsets.start > log->start_maybe || offsets.high_watermark > OFFSETS ||
            (offsets.high_watermark > log->end &&
             log->records[offsets.high_watermark - 1].certainty == UNSENT)) {
            fail("partition %d: opens from %lld to %lld, acknowledged %lld to %lld",
                 log->id.partition, (long long)offsets.start, (long long)offsets.high_watermark,
                 (long long)log->start, (long long)log->end);
        }
        log->start = log->start_maybe = offsets.start;
        for (; log->end < offsets.high_watermark; log->end++) {
            log->records[log->end].certainty = SURE;
        }
        for (int64_t at = log->end; at < OFFSETS && log->records[at].certainty == MAYBE; at++) {
            log->records[at].certainty = UNSENT;
        }
        judge_log(run, log, handle);
        log->producer_base += PRODUCERS; /* what a lost batch took is not known any more */
        memset(log->sequences, 0, sizeof(log->sequences));
    }
}

static void
crash(struct run *run)
{
    run->counters->cuts++;
    run->counters->cuts_in_compaction += run->compacting != NULL;
    run->counters->cuts_in_swap += !mr_list_empty(&run->store->flying.moves);
    run->counters->discards += run->store->stats.discards;
    mr_dev_sim_cut_after(run->sim, 0, false);
    if (mr_rng_below(&run->rng, 3)) {
        mr_dev_sim_power_cut(run->sim);
    } else {
        mr_dev_sim_kill(run->sim);
    }
    mr_store_abandon(run->store);
    run->compacting = NULL;
    run->trimming = NULL;
    run->sending.used = false;
    open_store(run);
}

/* False: the power has gone. */
static bool
turn(struct run *run)
{
    run->clock.now_ns += mr_rng_below(&run->rng, 3 * MR_NS_PER_MS);
    mr_store_tick(run->store);
    if (!mr_list_empty(&run->store->flying.moves) && mr_rng_below(&run->rng, SWAP_CUT_IN) == 0) {
        mr_dev_sim_power_cut(run->sim);
        return false;
    }
    if (mr_dev_poll(run->dev) < 0) {
        return false;
    }
    if (run->sending.used && run->sending.answered) {
        struct sending *sending = &run->sending;

        sending->used = false;
        if (sending->append.error) {
            fail("an append was refused: %s", mr_kafka_err_name(sending->append.error));
        }
        for (int32_t i = 0; i < sending->count; i++) {
            sending->log->records[sending->base + i].certainty = SURE;
        }
        sending->log->end = sending->base + sending->count;
        run->counters->appends++;
    }
    return true;
}

static void
compact_begin(struct run *run, struct log_model *log, struct mr_log *handle)
{
    struct mr_log_compact *compact = &run->compact;
    double dirty;

    *compact =
        (struct mr_log_compact){.done = compact_done,
                                .limits = {.lag_min_ms = mr_rng_below(&run->rng, 3) ? 0 : 300,
                                           .lag_max_ms = INT64_MAX,
                                           .delete_retention_ms = RETENTION_MS,
                                           .ratio = 0.3,
                                           .segment_bytes = SEGMENT_BYTES},
                                .bytes_per_s = mr_rng_below(&run->rng, 2) ? 0 : 2000000};
    if (!mr_log_compact_due(handle, &compact->limits, mr_clock_wall_ms(&run->clock.clock),
                            &dirty)) {
        return;
    }
    if (mr_log_compact(handle, compact) == 0) {
        run->compacting = log;
    }
}

static void
act(struct run *run)
{
    struct log_model *log = &run->logs[mr_rng_below(&run->rng, LOGS)];
    struct mr_log *handle = handle_of(run, log);
    uint64_t choice = mr_rng_below(&run->rng, 100);

    if (choice < 70) {
        send_batch(run, log, handle);
    } else if (choice < 80 && !run->compacting) {
        compact_begin(run, log, handle);
    } else if (choice < 81 && !run->trimming && log->end > log->start + 50) {
        run->trimming = log;
        run->trim = (struct mr_log_trim){
            .done = trim_done,
            .offset = log->start +
                      (int64_t)mr_rng_below(&run->rng, (uint64_t)(log->end - log->start) / 2)};
        log->start_maybe = run->trim.offset;
        mr_log_trim(handle, &run->trim);
    }
}

/* One step; a compaction that has ended is judged at once. */
static void
step(struct run *run)
{
    uint64_t before = run->counters->compactions + run->counters->unchanged;

    if (!run->sending.used && mr_rng_below(&run->rng, 2)) {
        act(run);
    }
    if (!turn(run)) {
        crash(run);
        return;
    }
    if (run->counters->compactions + run->counters->unchanged != before) {
        struct log_model *log = run->compacting;

        run->compacting = NULL;
        judge_log(run, log, handle_of(run, log));
        if (run->compact.changed) {
            judge_clean(log);
        }
    }
}

static void
run_seed(uint64_t seed, struct counters *counters)
{
    struct run run = {.seed = seed, .counters = counters};
    struct mr_store_format format = {.store_id = {{1}}, .journal_bytes = MIB};
    struct mr_dev_sim_config dev = {.size_bytes = 24 * MIB, .seed = seed, .garbage_on_cut = 0.5};

    running = &run;
    mr_rng_init(&run.rng, seed);
    mr_clock_sim_init(&run.clock, 1700000000000);
    dev.complete_max = (unsigned)mr_rng_below(&run.rng, 4);
    run.sim = mr_dev_sim_create(&dev);
    run.config = (struct mr_store_config){.clock = &run.clock.clock,
                                          .arena = aligned_alloc(4096, 8 * MIB),
                                          .arena_bytes = 8 * MIB,
                                          .logs_max = 8,
                                          .producers_max = 64,
                                          .direct_run_bytes = 8192,
                                          .discard = seed % 3 == 0,
                                          .index_bytes_max = MIB};
    if (mr_store_format(mr_dev_sim_connect(run.sim), &format) != 0) {
        fail("cannot be formatted");
    }
    mr_dev_sim_kill(run.sim);
    for (unsigned i = 0; i < LOGS; i++) {
        run.logs[i].id = (struct mr_log_id){.topic_id = {{7}}, .partition = (int32_t)i};
        run.logs[i].records = calloc(OFFSETS, sizeof(*run.logs[i].records));
    }
    open_store(&run);
    for (unsigned life = 0; life < 4; life++) {
        for (unsigned i = 0; i < STEPS; i++) {
            step(&run);
            if (run.compacting && mr_rng_below(&run.rng, 60) == 0) {
                mr_dev_sim_cut_after(run.sim, 1 + mr_rng_below(&run.rng, 10), false);
            }
        }
        if (mr_rng_below(&run.rng, 2)) {
            crash(&run);
        } else {
            mr_dev_sim_cut_after(run.sim, 0, false);
            for (unsigned i = 0; i < 500 && turn(&run); i++) {
            }
            crash(&run);
        }
    }
    mr_dev_sim_power_cut(run.sim);
    mr_store_abandon(run.store);
    mr_dev_sim_destroy(run.sim);
    for (unsigned i = 0; i < LOGS; i++) {
        free(run.logs[i].records);
    }
    free(run.config.arena);
}

int
main(int argc, char **argv)
{
    uint64_t first = 1, seeds = 60;
    struct counters counters = {0};

    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t value = strtoull(argv[i + 1], NULL, 10);

#ifdef MR_MUTANTS
        if (strcmp(argv[i], "--mutant") == 0) {
            mr_mutant = (int)value;
            continue;
        }
#endif
        if (strcmp(argv[i], "--seeds") == 0) {
            seeds = value;
        } else {
            first = value;
            seeds = strcmp(argv[i], "--seed") == 0 ? 1 : seeds;
        }
    }
    printf("seeds %llu to %llu\n", (unsigned long long)first,
           (unsigned long long)(first + seeds - 1));
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        run_seed(seed, &counters);
    }
    printf(
        "appends %llu, compactions %llu (%llu KiB to %llu KiB), without effect %llu, failed %llu, "
        "cuts %llu, in a compaction %llu, in a swap %llu, trims %llu, logs judged %llu, tombstones "
        "gone %llu, discards %llu\n",
        (unsigned long long)counters.appends, (unsigned long long)counters.compactions,
        (unsigned long long)counters.bytes_before >> 10,
        (unsigned long long)counters.bytes_after >> 10, (unsigned long long)counters.unchanged,
        (unsigned long long)counters.failed, (unsigned long long)counters.cuts,
        (unsigned long long)counters.cuts_in_compaction, (unsigned long long)counters.cuts_in_swap,
        (unsigned long long)counters.trims, (unsigned long long)counters.judged,
        (unsigned long long)counters.tombstones_gone, (unsigned long long)counters.discards);
    if (seeds >= 60 && (counters.compactions < 100 || counters.cuts_in_compaction < 100 ||
                        counters.cuts_in_swap < 100 || counters.tombstones_gone < 100 ||
                        counters.discards < 100)) {
        printf("too few of what this test is for\n");
        return 1;
    }
    return 0;
}
