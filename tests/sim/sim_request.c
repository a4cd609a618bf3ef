/* tests/sim/sim_request.c: what clients ask, and the check of each answer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_run.h"

#define MAX_RETENTION 200000u

static struct sim_run *running; /* callbacks have no context of their own */

static struct sim_request *
request_new(struct sim_run *run, struct sim_log *log, int kind)
{
    struct sim_request *request = calloc(1, sizeof(*request));

    running = run;
    request->log = log;
    request->kind = kind;
    request->start = log->start;
    request->end = log->end;
    request->truncations = log->truncations;
    mr_list_push_back(&run->requests, &request->node);
    run->request_count++;
    return request;
}

static void
request_free(struct sim_run *run, struct sim_request *request)
{
    mr_list_remove(&request->node);
    run->request_count--;
    if (request->kind == SIM_READ) {
        request->log->reads--;
    }
    sim_batch_unref(request->batch);
    for (unsigned i = 0; i < request->batch_count; i++) {
        sim_batch_unref(request->batches[i]);
    }
    free(request);
}

bool
sim_is_dying(const struct sim_run *run, const struct sim_log *log)
{
    for (unsigned i = 0; i < run->dying_count; i++) {
        if (run->dying[i] == log) {
            return true;
        }
    }
    return false;
}

static bool
log_failed(const struct sim_log *log)
{
    struct mr_log_offsets offsets;

    if (!log->log) {
        return true;
    }
    mr_log_offsets(log->log, &offsets);
    return offsets.failed;
}

/* ---- append ---------------------------------------------------------------------------------- */

static void
producer_acked(struct sim_producer *producer, struct sim_batch *batch)
{
    if (producer->unacked_count == 0 || producer->unacked[0] != batch) {
        sim_fail("producer %lld: sequence %d was acknowledged out of order",
                 (long long)producer->id, batch->sequence);
    }
    producer->unacked_count--;
    producer->sent--;
    memmove(producer->unacked, producer->unacked + 1,
            producer->unacked_count * sizeof(producer->unacked[0]));
    if (producer->acked_count == SIM_WINDOW) {
        sim_batch_unref(producer->acked[0]);
        memmove(producer->acked, producer->acked + 1,
                (SIM_WINDOW - 1) * sizeof(producer->acked[0]));
        producer->acked_count--;
    }
    producer->acked[producer->acked_count++] = batch; /* takes the reference over */
}

/* Where a batch was refused, those behind it are, too: all go out again, once all are answered. */
static void
producer_again(struct sim_run *run, struct sim_producer *producer)
{
    MR_LIST_FOR_EACH(node, &run->requests)
    {
        struct sim_request *request = MR_CONTAINER_OF(node, struct sim_request, node);

        if ((request->kind == SIM_APPEND || request->kind == SIM_REPLICA) &&
            request->producer == producer) {
            return;
        }
    }
    producer->sent = 0;
}

static void
check_success(struct sim_run *run, struct sim_request *request)
{
    struct sim_batch *batch = request->batch;
    struct sim_log *log = request->log;

    if (batch->base_offset < 0) {
        if (log->doubt_count == 0 || log->doubts[0].batch != batch) {
            sim_fail("partition %d: acknowledged in another order than sent", log->id.partition);
        }
        sim_log_settle(log, batch, request->append.leader_epoch, 0);
        run->counters->acknowledged++;
    } else {
        run->counters->duplicates += request->append.duplicate;
    }
    if (request->append.base_offset != batch->base_offset) {
        sim_fail("partition %d: %s acknowledged at %lld, must be %lld", log->id.partition,
                 request->append.duplicate ? "a duplicate" : "a batch",
                 (long long)request->append.base_offset, (long long)batch->base_offset);
    }
}

static void
check_error(struct sim_run *run, struct sim_request *request)
{
    enum mr_kafka_err error = request->append.error;
    struct sim_log *log = request->log;
    bool behind = request->producer && request->producer->unacked_count > 1;
    struct mr_store_stats stats;

    mr_store_stats(run->store, &stats);
    if (error == MR_KAFKA_KAFKA_STORAGE_ERROR && (log_failed(log) || stats.failed)) {
        return; /* whether it is in the log is known after the next open */
    }
    if (error == MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION && sim_is_dying(run, log)) {
        return;
    }
    if (error == MR_KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER && behind) {
        sim_log_doubt_remove(log, request->batch);
        return; /* the one before it was refused */
    }
    if (error == MR_KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER ||
        error == MR_KAFKA_INVALID_PRODUCER_EPOCH || error == MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION) {
        sim_fail("partition %d: sequence %d of producer %lld was refused: %s", log->id.partition,
                 request->batch->sequence, (long long)request->batch->producer_id,
                 mr_kafka_err_name(error));
    }
    run->counters->refused_when_full++;
    sim_log_doubt_remove(log, request->batch);
}

static void
append_done(struct mr_append *append)
{
    struct sim_request *request = MR_CONTAINER_OF(append, struct sim_request, append);
    struct sim_run *run = running;
    struct sim_producer *producer = request->producer;
    enum mr_kafka_err error = append->error;
    bool excused = error == MR_KAFKA_KAFKA_STORAGE_ERROR || sim_is_dying(run, request->log);

    sim_trace(run, "append p%d seq %d: %s at %lld%s", request->log->id.partition,
              request->batch->sequence, mr_kafka_err_name(error), (long long)append->base_offset,
              append->duplicate ? " (duplicate)" : "");
    switch (request->expect) {
    case SIM_EXPECT_GAP:
        if (error != MR_KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER && !excused) {
            sim_fail("a sequence gap was answered %s", mr_kafka_err_name(error));
        }
        run->counters->gaps_refused++;
        break;
    case SIM_EXPECT_OLD_EPOCH:
        if (error != MR_KAFKA_INVALID_PRODUCER_EPOCH && !excused) {
            sim_fail("an old epoch was answered %s", mr_kafka_err_name(error));
        }
        run->counters->old_epochs_refused++;
        break;
    case SIM_EXPECT_DUPLICATE:
        if (error == MR_KAFKA_NONE && !append->duplicate) {
            sim_fail("producer %lld: sequence %d was appended twice", (long long)producer->id,
                     request->batch->sequence);
        }
        if (error != MR_KAFKA_NONE && !excused) {
            sim_fail("a duplicate was answered %s", mr_kafka_err_name(error));
        }
        if (error == MR_KAFKA_NONE) {
            check_success(run, request);
        }
        break;
    case SIM_EXPECT_APPEND:
        if (error == MR_KAFKA_NONE) {
            bool again = request->batch->base_offset >= 0;

            if (append->duplicate && !again) {
                sim_fail("a batch that is not in the log was taken for a duplicate");
            }
            run->counters->duplicates_in_doubt += append->duplicate;
            check_success(run, request);
            if (producer) {
                producer_acked(producer, request->batch);
            }
        } else {
            check_error(run, request);
        }
        break;
    }
    if (request->expect != SIM_EXPECT_APPEND) {
        producer = NULL;
    }
    request_free(run, request);
    if (producer) { /* after a success, too: the ones behind it may have been refused before */
        producer_again(run, producer);
    }
}

/* Returns false on -EAGAIN. The bytes go in two or three slices; at times with a header that lies
 * about what validation has found out and stored in `header`. */
static bool
append_send(struct sim_run *run, struct sim_log *log, struct sim_producer *producer,
            struct sim_batch *batch, enum sim_expect expect)
{
    struct sim_request *request = request_new(run, log, SIM_APPEND);
    uint8_t header[SIM_HEADER_SIZE];
    uint32_t cut = (uint32_t)mr_rng_below(&run->rng, batch->size - SIM_HEADER_SIZE + 1);
    struct iovec iov[3] = {
        {header, SIM_HEADER_SIZE},
        {batch->bytes + SIM_HEADER_SIZE, cut},
        {batch->bytes + SIM_HEADER_SIZE + cut, batch->size - SIM_HEADER_SIZE - cut}};
    int error;

    memcpy(header, batch->bytes, sizeof(header));
    if (mr_rng_below(&run->rng, 8) == 0 && batch->producer_id < 0) {
        memset(header + 35, 0x5A, 8);
        memset(header + 17, 0xA5, 4);
    }
    request->batch = batch;
    batch->refs++;
    request->producer = producer;
    request->expect = expect;
    request->append.done = append_done;
    request->append.leader_epoch = run->epoch;
    request->append.segment_bytes = log->segment_bytes;
    request->append.segment_ms = log->segment_ms;
    request->append.batch =
        (struct mr_batch){.header = {.base_offset = 0,
                                     .size = (int32_t)batch->size,
                                     .leader_epoch = -1,
                                     .magic = 2,
                                     .crc = batch->crc,
                                     .attributes = batch->attributes,
                                     .last_offset_delta = batch->count - 1,
                                     .base_timestamp = batch->base_timestamp,
                                     .max_timestamp = batch->max_timestamp,
                                     .producer_id = batch->producer_id,
                                     .producer_epoch = batch->producer_epoch,
                                     .base_sequence = batch->sequence,
                                     .record_count = batch->count},
                          .iov = iov,
                          .iov_count = cut == batch->size - SIM_HEADER_SIZE ? 2 : 3};
    for (int32_t i = 0; i < batch->count; i++) {
        if (batch->timestamps[i] == batch->max_timestamp) {
            request->append.batch.max_timestamp_delta = i;
            break;
        }
    }
    error = mr_log_append(log->log, &request->append);
    if (error == -EAGAIN) {
        run->counters->again++;
        request_free(run, request);
        return false;
    }
    if (error) {
        sim_fail("mr_log_append() returned %d", error);
    }
    sim_trace(run, "send p%d producer %lld seq %d epoch %d, %u bytes", log->id.partition,
              (long long)batch->producer_id, batch->sequence, batch->producer_epoch, batch->size);
    if (expect == SIM_EXPECT_APPEND && batch->base_offset < 0) {
        sim_log_doubt_add(log, batch, run->epoch, 0);
    }
    return true;
}

void
sim_send_ready(struct sim_run *run)
{
    if (run->failed) {
        return;
    }
    for (unsigned i = 0; i < SIM_LOGS; i++) {
        struct sim_log *log = run->logs[i];

        for (unsigned k = 0; k < SIM_PRODUCERS; k++) {
            struct sim_producer *producer = &log->producers[k];
            /* Until the store knows a producer, a later batch could pass a refused first one. */
            unsigned max = producer->acked_count ? SIM_WINDOW : 1;

            if (producer->unacked_count == producer->sent || log_failed(log)) {
                continue;
            }
            while (producer->sent < producer->unacked_count && producer->sent < max) {
                if (!append_send(run, log, producer, producer->unacked[producer->sent],
                                 SIM_EXPECT_APPEND)) {
                    run->room = false;
                    return;
                }
                producer->sent++;
            }
        }
    }
}

/* Log-uniform from 70 bytes to 512 KiB, one in a hundred above. */
static uint32_t
random_size(struct mr_rng *rng, bool small)
{
    unsigned octave;
    uint32_t size;

    if (!small && mr_rng_below(rng, 100) == 0) {
        return (512u << 10) + (uint32_t)mr_rng_below(rng, SIM_BATCH_MAX - (512u << 10) - 256);
    }
    octave = 6 + (unsigned)mr_rng_below(rng, small ? 8 : 13);
    size = (1u << octave) + (uint32_t)mr_rng_below(rng, 1u << octave);
    return size < 70 ? 70 : size;
}

static struct sim_batch *
random_batch(struct sim_run *run, struct sim_log *log, int64_t producer_id, int16_t epoch,
             int32_t sequence)
{
    log->clock_ms += (int64_t)mr_rng_below(&run->rng, 100) - 10;
    return sim_batch_make(&run->rng, random_size(&run->rng, run->small), log->clock_ms,
                          mr_rng_below(&run->rng, 6) == 0, producer_id, epoch, sequence);
}

static int32_t
sequence_add(int32_t sequence, int32_t count)
{
    return (int32_t)(((int64_t)sequence + count) & INT32_MAX);
}

/* One odd request of an idempotent producer that has nothing in flight. */
static void
producer_probe(struct sim_run *run, struct sim_log *log, struct sim_producer *producer)
{
    struct sim_batch *batch;

    switch (mr_rng_below(&run->rng, 4)) {
    case 0:
        batch = random_batch(run, log, producer->id, producer->epoch,
                             sequence_add(producer->sequence_next, 1));
        append_send(run, log, producer, batch, SIM_EXPECT_GAP);
        sim_batch_unref(batch);
        break;
    case 1:
        if (producer->epoch > 0) {
            batch = random_batch(run, log, producer->id, producer->epoch - 1, 0);
            append_send(run, log, producer, batch, SIM_EXPECT_OLD_EPOCH);
            sim_batch_unref(batch);
        }
        break;
    case 2:
        producer->epoch++;
        producer->sequence_next = 0;
        while (producer->acked_count > 0) {
            sim_batch_unref(producer->acked[--producer->acked_count]);
        }
        break;
    default:
        append_send(run, log, producer,
                    producer->acked[mr_rng_below(&run->rng, producer->acked_count)],
                    SIM_EXPECT_DUPLICATE);
        break;
    }
}

static void
request_append(struct sim_run *run, struct sim_log *log)
{
    struct sim_producer *producer = &log->producers[mr_rng_below(&run->rng, SIM_PRODUCERS)];
    struct sim_batch *batch;

    if (log_failed(log) && mr_rng_below(&run->rng, 10)) {
        return;
    }
    if (mr_rng_below(&run->rng, 4) == 0) {
        batch = random_batch(run, log, -1, -1, -1);
        append_send(run, log, NULL, batch, SIM_EXPECT_APPEND);
        sim_batch_unref(batch);
        return;
    }
    if (producer->unacked_count == 0 && producer->acked_count > 0 && !log_failed(log) &&
        mr_rng_below(&run->rng, 8) == 0) {
        producer_probe(run, log, producer);
        return;
    }
    if (producer->unacked_count < SIM_WINDOW) {
        batch = random_batch(run, log, producer->id, producer->epoch, producer->sequence_next);
        producer->sequence_next = sequence_add(producer->sequence_next, batch->count);
        producer->unacked[producer->unacked_count++] = batch;
    }
}

/* ---- replica --------------------------------------------------------------------------------- */

static void
replica_done(struct mr_append *append)
{
    struct sim_request *request = MR_CONTAINER_OF(append, struct sim_request, append);
    struct sim_producer *producer = request->producer, *refused = NULL;
    struct sim_run *run = running;
    struct sim_log *log = request->log;

    sim_trace(run, "replica p%d, %u batches: %s", log->id.partition, request->batch_count,
              mr_kafka_err_name(append->error));
    for (unsigned i = 0; i < request->batch_count && append->error == MR_KAFKA_NONE; i++) {
        struct sim_batch *batch = request->batches[i];

        if (batch->base_offset < 0) { /* else a high watermark has shown it already */
            sim_log_settle(log, batch, append->leader_epoch, request->gaps[i]);
            run->counters->acknowledged++;
        }
        if (producer) {
            producer_acked(producer, batch);
        }
    }
    if (append->error == MR_KAFKA_NONE) {
        run->counters->replica_appends++;
        if (append->base_offset != request->batches[0]->base_offset) {
            sim_fail("partition %d: a replica's append at %lld was answered with %lld",
                     log->id.partition, (long long)request->batches[0]->base_offset,
                     (long long)append->base_offset);
        }
    } else if (append->error != MR_KAFKA_KAFKA_STORAGE_ERROR && !sim_is_dying(run, log)) {
        sim_fail("partition %d: a replica's append was refused: %s", log->id.partition,
                 mr_kafka_err_name(append->error));
    } else if (!log_failed(log)) {
        run->counters->refused_when_full++;
        for (unsigned i = 0; i < request->batch_count; i++) {
            sim_log_doubt_remove(log, request->batches[i]);
        }
        refused = producer;
    }
    request_free(run, request);
    if (refused) {
        producer_again(run, refused);
    }
}

static void
put64(uint8_t *at, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        at[i] = (uint8_t)(value >> (56 - 8 * i));
    }
}

/* A follower's fetch: batches with offsets and epochs of their own, at times with gaps. Only where
 * nothing else is in flight: what comes first decides the offsets. */
static void
request_replica(struct sim_run *run, struct sim_log *log)
{
    unsigned count = 1 + (unsigned)mr_rng_below(&run->rng, SIM_REPLICA_MAX);
    struct sim_producer *producer = &log->producers[mr_rng_below(&run->rng, SIM_PRODUCERS)];
    struct sim_request *request;
    int64_t at = log->end;
    struct iovec iov[SIM_REPLICA_MAX];
    uint32_t size = 0;
    int error;

    if (log->doubt_count > 0 || log->truncating || log_failed(log)) {
        return;
    }
    if (producer->unacked_count > 0 || mr_rng_below(&run->rng, 2)) {
        producer = NULL;
    }
    count = producer && count > SIM_WINDOW ? SIM_WINDOW : count;
    run->epoch += mr_rng_below(&run->rng, 4) == 0;
    request = request_new(run, log, SIM_REPLICA);
    request->append.done = replica_done;
    request->append.leader_epoch = run->epoch;
    request->append.segment_bytes = log->segment_bytes;
    request->producer = producer;
    for (unsigned i = 0; i < count && size + SIM_BATCH_MAX <= run->config.arena_bytes / 4; i++) {
        struct sim_batch *batch =
            random_batch(run, log, producer ? producer->id : -1, producer ? producer->epoch : -1,
                         producer ? producer->sequence_next : -1);

        if (producer) {
            producer->sequence_next = sequence_add(producer->sequence_next, batch->count);
            producer->unacked[producer->unacked_count++] = batch;
            producer->sent++;
            batch->refs++;
        }
        request->gaps[i] = mr_rng_below(&run->rng, 4) ? 0 : (int64_t)mr_rng_below(&run->rng, 100);
        request->batches[request->batch_count++] = batch;
        put64(batch->bytes, (uint64_t)(at + request->gaps[i]));
        batch->bytes[12] = (uint8_t)(run->epoch >> 24);
        batch->bytes[13] = (uint8_t)(run->epoch >> 16);
        batch->bytes[14] = (uint8_t)(run->epoch >> 8);
        batch->bytes[15] = (uint8_t)run->epoch;
        iov[i] = (struct iovec){batch->bytes, batch->size};
        size += batch->size;
        at += request->gaps[i] + batch->count;
    }
    request->append.batch.iov = iov;
    count = request->batch_count;
    request->append.batch.iov_count = count;
    error = mr_log_append_replica(log->log, &request->append, size);
    if (error) {
        run->counters->again++;
        for (unsigned i = 0; producer && i < count; i++) {
            producer->sent--;
        }
        if (producer) { /* they go out again as a client's */
            producer->sent = 0;
        }
        request_free(run, request);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        sim_log_doubt_add(log, request->batches[i], run->epoch, request->gaps[i]);
    }
}

/* ---- truncate -------------------------------------------------------------------------------- */

static void
truncate_done(struct mr_log_truncate *truncate, enum mr_kafka_err error)
{
    struct sim_request *request = MR_CONTAINER_OF(truncate, struct sim_request, truncate);
    struct sim_run *run = running;
    struct sim_log *log = request->log;

    sim_trace(run, "truncate p%d to %lld: %s", log->id.partition, (long long)truncate->offset,
              mr_kafka_err_name(error));
    if (error == MR_KAFKA_NONE && !sim_is_dying(run, log)) {
        if (truncate->offset != log->truncate_end) {
            sim_fail("partition %d: truncated to %lld, must be %lld", log->id.partition,
                     (long long)truncate->offset, (long long)log->truncate_end);
        }
        run->counters->truncations++;
        sim_log_truncated(log, truncate->offset);
    } else if (error != MR_KAFKA_KAFKA_STORAGE_ERROR && !sim_is_dying(run, log)) {
        sim_fail("partition %d: a truncation was refused: %s", log->id.partition,
                 mr_kafka_err_name(error));
    }
    request_free(run, request);
}

static void
request_truncate(struct sim_run *run, struct sim_log *log)
{
    struct sim_request *request;
    uint64_t span = (uint64_t)(log->end - log->start);
    int64_t offset;
    size_t at;

    if (log->truncating || log->trim_count > 0 || span < 2 || log_failed(log)) {
        return;
    }
    span = mr_rng_below(&run->rng, 3) ? span / 8 + 1 : span - 1;
    offset = log->end - 1 - (int64_t)mr_rng_below(&run->rng, span);
    at = sim_log_index(log, offset);
    if (at >= log->batch_count || offset <= log->start ||
        log->batches[at]->base_offset <= log->start) {
        return;
    }
    request = request_new(run, log, SIM_TRUNCATE);
    request->truncate.done = truncate_done;
    request->truncate.offset = offset;
    log->truncate_end =
        log->batches[at]->base_offset < offset ? log->batches[at]->base_offset : offset;
    log->truncating = true;
    if (mr_log_truncate(log->log, &request->truncate) != 0) {
        log->truncating = false;
        request_free(run, request);
    }
}

/* ---- read ------------------------------------------------------------------------------------ */

static void
read_answered(struct sim_run *run, struct sim_request *request)
{
    sim_check_read(run, request->log, &request->read);
    mr_log_read_release(run->store, &request->read);
    request_free(run, request);
}

static void
read_done(struct mr_read *read)
{
    read_answered(running, MR_CONTAINER_OF(read, struct sim_request, read));
}

static void
request_read(struct sim_run *run, struct sim_log *log)
{
    struct sim_request *request = request_new(run, log, SIM_READ);
    int64_t span = log->end - log->start;
    int got;

    log->reads++;
    request->read.done = read_done;
    request->read.offset = log->start + (int64_t)mr_rng_below(&run->rng, (uint64_t)span + 1);
    if (mr_rng_below(&run->rng, 3) == 0) { /* what has just come is hot */
        request->read.offset = log->end - (int64_t)mr_rng_below(&run->rng, 8);
    }
    if (request->read.offset < log->start) {
        request->read.offset = log->start;
    }
    if (mr_rng_below(&run->rng, 50) == 0) {
        request->read.offset = log->end + 1000;
    }
    request->read.bytes_max = 1u << mr_rng_below(&run->rng, 19);
    request->read.one_at_least = mr_rng_below(&run->rng, 4) != 0;
    got = mr_log_read(log->log, &request->read);
    if (got == 1) {
        read_answered(run, request);
    } else if (got == -EAGAIN) {
        run->counters->again++;
        request_free(run, request);
    } else if (got) {
        sim_fail("mr_log_read() returned %d", got);
    }
}

/* ---- watch ----------------------------------------------------------------------------------- */

static void
watch_fired(struct mr_log_watch *watch)
{
    struct sim_log *log = MR_CONTAINER_OF(watch, struct sim_log, watch);

    if (!log->watched) {
        sim_fail("partition %d: a watch fired twice, or after its removal", log->id.partition);
    }
    log->watched = false;
    running->counters->watches_fired++;
    if (!sim_is_dying(running, log) && !log_failed(log) && !log->truncating &&
        log->watched_truncations == log->truncations) {
        struct mr_log_offsets offsets;

        mr_log_offsets(log->log, &offsets);
        sim_log_show(log, offsets.high_watermark);
        if (log->bytes_total - log->watched_from < log->watched_bytes) {
            sim_fail("partition %d: a watch of %llu bytes fired after %llu", log->id.partition,
                     (unsigned long long)log->watched_bytes,
                     (unsigned long long)(log->bytes_total - log->watched_from));
        }
    }
}

static void
request_watch(struct sim_log *log)
{
    struct mr_log_offsets offsets;

    if (log->watched) {
        mr_log_watch_remove(&log->watch);
        log->watched = false;
    }
    if (log_failed(log) || log->truncating) {
        return;
    }
    mr_log_offsets(log->log, &offsets);
    sim_log_show(log, offsets.high_watermark);
    log->watched_truncations = log->truncations;
    log->watch.fired = watch_fired;
    log->watched_bytes = 1 + (log->bytes_total * 7919) % 200000;
    log->watched = true;
    log->watched_from = log->bytes_total;
    mr_log_watch_add(log->log, &log->watch, log->watched_bytes);
}

void
sim_watches_check(struct sim_run *run)
{
    for (unsigned i = 0; i < SIM_LOGS; i++) {
        const struct sim_log *log = run->logs[i];

        if (log->watched && log->bytes_total - log->watched_from >= log->watched_bytes) {
            sim_fail("partition %d: a watch has not fired", log->id.partition);
        }
    }
    for (unsigned i = 0; i < run->dying_count; i++) {
        if (run->dying[i]->watched && !run->dying[i]->delete_sent) {
            sim_fail("partition %d: a watch did not fire at the delete",
                     run->dying[i]->id.partition);
        }
    }
}

/* ---- find, trim, delete ---------------------------------------------------------------------- */

static void
find_done(struct mr_log_find *find)
{
    struct sim_request *request = MR_CONTAINER_OF(find, struct sim_request, find);
    struct sim_run *run = running;
    struct sim_log *log = request->log;
    struct mr_log_offsets offsets;
    int64_t offset, timestamp, offset_before, timestamp_before;

    run->counters->finds++;
    if (sim_is_dying(run, log) || log->start != request->start || log->trim_count > 0 ||
        log->truncating || log->truncations != request->truncations) {
        request_free(run, request);
        return; /* what was asked about has gone meanwhile */
    }
    if (find->error == MR_KAFKA_KAFKA_STORAGE_ERROR && run->read_faults) {
        request_free(run, request);
        return;
    }
    if (find->error != MR_KAFKA_NONE) {
        sim_fail("partition %d: a lookup failed: %s", log->id.partition,
                 mr_kafka_err_name(find->error));
    }
    mr_log_offsets(log->log, &offsets);
    sim_log_show(log, offsets.high_watermark);
    sim_log_find(log, find->kind, find->timestamp_ms, log->end, &offset, &timestamp);
    sim_log_find(log, find->kind, find->timestamp_ms, request->end, &offset_before,
                 &timestamp_before);
    if (!(find->offset == offset && find->timestamp == timestamp) &&
        !(find->offset == offset_before && find->timestamp == timestamp_before) &&
        !(log->end != request->end && find->offset >= request->end)) {
        sim_fail("partition %d: lookup %d of %lld gives %lld (%lld), must be %lld (%lld)",
                 log->id.partition, (int)find->kind, (long long)find->timestamp_ms,
                 (long long)find->offset, (long long)find->timestamp, (long long)offset,
                 (long long)timestamp);
    }
    request_free(run, request);
}

static void
request_find(struct sim_run *run, struct sim_log *log)
{
    struct sim_request *request = request_new(run, log, SIM_FIND);

    request->find.done = find_done;
    request->find.kind = mr_rng_below(&run->rng, 5) ? MR_LOG_FIND_TIME : MR_LOG_FIND_MAX_TIMESTAMP;
    request->find.timestamp_ms = log->clock_ms + 200 - (int64_t)mr_rng_below(&run->rng, 4000);
    if (mr_log_find(log->log, &request->find) != 0) {
        run->counters->again++;
        request_free(run, request);
    }
}

static void
trim_done(struct mr_log_trim *trim, enum mr_kafka_err error)
{
    struct sim_request *request = MR_CONTAINER_OF(trim, struct sim_request, trim);
    struct sim_run *run = running;

    sim_trace(run, "trim p%d to %lld: %s", request->log->id.partition, (long long)trim->offset,
              mr_kafka_err_name(error));
    if (error == MR_KAFKA_NONE) {
        run->counters->trims++;
        sim_log_trimmed(request->log, trim->offset);
    } else if (error != MR_KAFKA_KAFKA_STORAGE_ERROR && !sim_is_dying(run, request->log)) {
        sim_fail("partition %d: trim to %lld was refused: %s", request->log->id.partition,
                 (long long)trim->offset, mr_kafka_err_name(error));
    }
    request_free(run, request);
}

void
sim_trim_send(struct sim_run *run, struct sim_log *log, int64_t offset)
{
    struct sim_request *request;

    if (log->trim_count == SIM_TRIMS_MAX || log->truncating) {
        return;
    }
    request = request_new(run, log, SIM_TRIM);
    request->trim.done = trim_done;
    request->trim.offset = offset;
    sim_log_trim_sent(log, offset);
    sim_trace(run, "send trim p%d to %lld", log->id.partition, (long long)offset);
    mr_log_trim(log->log, &request->trim);
}

/* What the shard does every few minutes: asks, and trims. */
static void
request_retention(struct sim_run *run, struct sim_log *log)
{
    bool by_time = mr_rng_below(&run->rng, 2);
    int64_t ms = by_time ? (int64_t)mr_rng_below(&run->rng, 3000) : -1;
    int64_t bytes =
        by_time ? -1 : (int64_t)(log->live_bytes / 2 + mr_rng_below(&run->rng, MAX_RETENTION));
    struct mr_log_offsets offsets;
    int64_t start;

    mr_log_offsets(log->log, &offsets);
    if (log->doubt_count > 0 || log->trim_count > 0 || log->truncating || offsets.end != log->end) {
        return;
    }
    mr_log_roll_idle(log->log, log->segment_ms, mr_clock_wall_ms(&run->clock.clock));
    start = mr_log_retention_offset(log->log, ms, bytes, log->clock_ms);
    sim_log_check_retention(log, ms, bytes, log->clock_ms, start);
    if (start > log->start) {
        if (by_time) {
            run->counters->retention_by_time++;
        } else {
            run->counters->retention_by_size++;
        }
        sim_trim_send(run, log, start);
    }
}

static void
delete_done(struct mr_log_delete *delete, enum mr_kafka_err error)
{
    struct sim_request *request = MR_CONTAINER_OF(delete, struct sim_request, delete);
    struct sim_run *run = running;

    if (error != MR_KAFKA_NONE && error != MR_KAFKA_KAFKA_STORAGE_ERROR) {
        sim_fail("a delete was answered %s", mr_kafka_err_name(error));
    }
    for (unsigned i = 0; error == MR_KAFKA_NONE && i < run->dying_count; i++) {
        if (run->dying[i] == request->log) {
            run->dead[run->dead_count++ % SIM_DEAD] = request->log->id;
            request->log->delete_sent = false; /* done; freed when nothing names it any more */
        }
    }
    run->counters->deletes++;
    request_free(run, request);
}

void
sim_delete_send(struct sim_run *run, struct sim_log *log, struct mr_log_id id)
{
    struct sim_request *request = request_new(run, log, SIM_DELETE);

    log->log = NULL;
    log->delete_sent = true;
    request->delete.done = delete_done;
    sim_trace(run, "send delete p%d", id.partition);
    mr_store_log_delete(run->store, &id, &request->delete);
}

static void
request_delete(struct sim_run *run, unsigned slot)
{
    struct sim_log *log = run->logs[slot];

    if (run->dying_count == SIM_DYING) {
        return;
    }
    run->dying[run->dying_count++] = log;
    run->logs[slot] = sim_log_new(&run->rng, run->logs_made++);
    sim_delete_send(run, log, log->id);
    run->logs[slot]->log = mr_store_log_make(run->store, &run->logs[slot]->id);
    if (!run->logs[slot]->log) {
        sim_fail("no log could be made");
    }
}

void
sim_make_space(struct sim_run *run, uint64_t limit)
{
    struct sim_log *largest = NULL; /* but for one whose truncation a full store has refused */
    uint64_t live = 0;

    for (unsigned i = 0; i < SIM_LOGS; i++) {
        struct sim_log *log = run->logs[i];

        live += log->live_bytes;
        if (!log->truncating && (!largest || log->live_bytes > largest->live_bytes)) {
            largest = log;
        }
    }
    if (largest && live > limit && largest->trim_count == 0) {
        int64_t span = largest->end - largest->start;

        sim_trim_send(run, largest,
                      largest->end - (int64_t)mr_rng_below(&run->rng, (uint64_t)span / 2 + 1));
    }
}

void
sim_request_random(struct sim_run *run)
{
    bool few = run->skewed && mr_rng_below(&run->rng, 16);
    unsigned slot = (unsigned)mr_rng_below(&run->rng, few ? 2 : SIM_LOGS);
    struct sim_log *log = run->logs[slot];
    uint64_t choice = mr_rng_below(&run->rng, 1034);

    if (run->churn && mr_rng_below(&run->rng, 40) == 0) {
        choice = 1024; /* a delete */
    }
    if (run->greedy && choice >= 920 && choice < 1028 && mr_rng_below(&run->rng, 64)) {
        choice = 0; /* an append, where something would have gone */
    }
    if (run->cutting && mr_rng_below(&run->rng, 10) == 0) {
        choice = 990; /* a truncation */
    }

    running = run;
    if (run->failed) {
        return;
    }
    run->operations++;
    run->life_operations++;
    run->counters->operations++;
    sim_make_space(run, run->greedy ? run->device_bytes : run->device_bytes / 5 * 2);
    if (choice < 650) {
        request_append(run, log);
    } else if (choice < 850) {
        request_read(run, log);
    } else if (choice < 860) {
        request_watch(log);
    } else if (choice < 920) {
        request_find(run, log);
    } else if (choice < 990) {
        int64_t span = log->end - log->start;

        /* Usually a little, so that batches are cut in the middle and extents are freed singly. */
        span = mr_rng_below(&run->rng, 6) ? span / 4 : span;
        sim_trim_send(run, log, log->start + (int64_t)mr_rng_below(&run->rng, (uint64_t)span + 1));
    } else if (choice < 994) {
        request_truncate(run, log);
    } else if (choice < 1014) {
        request_replica(run, log);
    } else if (choice < 1024) {
        request_retention(run, log);
    } else if (choice < 1028) {
        request_delete(run, slot);
    } else {
        request_watch(log);
    }
    if (run->room || mr_rng_below(&run->rng, 20) == 0) {
        run->room = true;
        sim_send_ready(run);
    }
}

void
sim_requests_drop(struct sim_run *run)
{
    while (!mr_list_empty(&run->requests)) {
        request_free(run, MR_CONTAINER_OF(run->requests.next, struct sim_request, node));
    }
    for (unsigned i = 0; i < run->dying_count; i++) {
        mr_list_init(&run->dying[i]->watch.node);
        run->dying[i]->watched = false;
    }
    for (unsigned i = 0; i < SIM_LOGS; i++) {
        mr_list_init(&run->logs[i]->watch.node); /* what it was in has gone */
        run->logs[i]->watched = false;
        for (unsigned k = 0; k < SIM_PRODUCERS; k++) {
            run->logs[i]->producers[k].sent = 0;
        }
    }
}
