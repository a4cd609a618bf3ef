/* tests/sim/sim_oracle.c: the model of one log and its judgement. */
#include "tests/sim/sim_oracle.h"

#include <stdlib.h>
#include <string.h>

struct sim_log *
sim_log_new(struct mr_rng *rng, uint32_t number)
{
    struct sim_log *log = calloc(1, sizeof(*log));

    for (int i = 0; i < 16; i += 8) {
        uint64_t word = mr_rng_next(rng);

        memcpy(log->id.topic_id.bytes + i, &word, 8);
    }
    log->id.partition = (int32_t)number;
    mr_list_init(&log->watch.node);
    log->clock_ms = 1700000000000;
    log->segment_bytes = 4096u << mr_rng_below(rng, 10);
    log->segment_ms = mr_rng_below(rng, 2) ? 500 + (int64_t)mr_rng_below(rng, 4000) : 0;
    for (int i = 0; i < SIM_PRODUCERS; i++) {
        log->producers[i].id = (int64_t)number * SIM_PRODUCERS + i;
        /* Some wrap around early. */
        log->producers[i].sequence_next = mr_rng_below(rng, 4) ? 0 : INT32_MAX - 20;
    }
    return log;
}

void
sim_log_free(struct sim_log *log)
{
    for (size_t i = 0; i < log->batch_count; i++) {
        sim_batch_unref(log->batches[i]);
    }
    for (size_t i = 0; i < log->doubt_count; i++) {
        sim_batch_unref(log->doubts[i].batch);
    }
    for (int i = 0; i < SIM_PRODUCERS; i++) {
        for (unsigned k = 0; k < log->producers[i].unacked_count; k++) {
            sim_batch_unref(log->producers[i].unacked[k]);
        }
        for (unsigned k = 0; k < log->producers[i].acked_count; k++) {
            sim_batch_unref(log->producers[i].acked[k]);
        }
    }
    free(log->batches);
    free(log->doubts);
    free(log);
}

size_t
sim_log_index(const struct sim_log *log, int64_t offset)
{
    size_t low = 0, high = log->batch_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (log->batches[middle]->base_offset + log->batches[middle]->count <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == log->batch_count) { /* what was in doubt follows, in the order it was sent */
        int64_t end = log->end;

        for (size_t i = 0; i < log->doubt_count; i++) {
            end += log->doubts[i].gap + log->doubts[i].batch->count;
            if (end > offset) {
                break;
            }
            low++;
        }
    }
    return low;
}

void
sim_log_doubt_add(struct sim_log *log, struct sim_batch *batch, int32_t leader_epoch, int64_t gap)
{
    if (log->doubt_count == log->doubt_max) {
        log->doubt_max = log->doubt_max ? log->doubt_max * 2 : 16;
        log->doubts = realloc(log->doubts, log->doubt_max * sizeof(*log->doubts));
    }
    batch->refs++;
    log->doubts[log->doubt_count++] = (struct sim_doubt){batch, leader_epoch, gap};
}

void
sim_log_doubt_remove(struct sim_log *log, const struct sim_batch *batch)
{
    for (size_t i = 0; i < log->doubt_count; i++) {
        if (log->doubts[i].batch == batch) {
            sim_batch_unref(log->doubts[i].batch);
            memmove(&log->doubts[i], &log->doubts[i + 1],
                    (log->doubt_count - i - 1) * sizeof(*log->doubts));
            log->doubt_count--;
            return;
        }
    }
}

void
sim_log_settle(struct sim_log *log, struct sim_batch *batch, int32_t leader_epoch, int64_t gap)
{
    if (log->batch_count == log->batch_max) {
        log->batch_max = log->batch_max ? log->batch_max * 2 : 64;
        log->batches = realloc(log->batches, log->batch_max * sizeof(*log->batches));
    }
    batch->refs++;
    batch->base_offset = log->end + gap;
    batch->leader_epoch = leader_epoch;
    log->batches[log->batch_count++] = batch;
    log->end += gap + batch->count;
    log->live_bytes += batch->size;
    log->bytes_total += batch->size;
    log->used = true;
    sim_log_doubt_remove(log, batch);
}

void
sim_log_show(struct sim_log *log, int64_t high_watermark)
{
    if (high_watermark < log->end || high_watermark < log->seen_end) {
        sim_fail("partition %d: the high watermark fell to %lld below %lld", log->id.partition,
                 (long long)high_watermark, (long long)log->end);
    }
    while (log->end < high_watermark && log->doubt_count > 0) {
        sim_log_settle(log, log->doubts[0].batch, log->doubts[0].leader_epoch, log->doubts[0].gap);
    }
    if (log->end != high_watermark) {
        sim_fail("partition %d: the high watermark %lld is where no batch ends (%lld)",
                 log->id.partition, (long long)high_watermark, (long long)log->end);
    }
    log->seen_end = high_watermark;
}

/* Puts a batch in front of what is collected, if it is older and of the same epoch. */
static void
collect(struct sim_batch **kept, unsigned *count, struct sim_batch *batch)
{
    if (*count == SIM_WINDOW ||
        (*count > 0 && (batch->base_offset >= kept[0]->base_offset ||
                        batch->producer_epoch != kept[*count - 1]->producer_epoch))) {
        return;
    }
    memmove(&kept[1], &kept[0], *count * sizeof(kept[0]));
    kept[0] = batch;
    batch->refs++;
    (*count)++;
}

/* The last batches of a producer that are left, of the epoch of the last of them: those in the log,
 * and those that the store has known since they were trimmed, answered or not. */
static void
producer_truncated(const struct sim_log *log, struct sim_producer *producer)
{
    struct sim_batch *kept[SIM_WINDOW];
    unsigned count = 0;

    for (size_t i = log->batch_count, first = sim_log_index(log, log->start); i-- > first;) {
        if (log->batches[i]->producer_id == producer->id) {
            collect(kept, &count, log->batches[i]);
        }
    }
    for (; producer->unacked_count > 0; producer->unacked_count--) {
        struct sim_batch *batch = producer->unacked[producer->unacked_count - 1];

        /* Survived a crash without an answer, and was trimmed since. */
        if (batch->base_offset >= 0 && batch->base_offset < log->end) {
            collect(kept, &count, batch);
        }
        sim_batch_unref(batch);
    }
    producer->sent = 0;
    for (unsigned i = producer->acked_count; i-- > 0;) {
        if (producer->acked[i]->base_offset < log->end) {
            collect(kept, &count, producer->acked[i]);
        }
    }
    while (producer->acked_count > 0) {
        sim_batch_unref(producer->acked[--producer->acked_count]);
    }
    memcpy(producer->acked, kept, count * sizeof(kept[0]));
    producer->acked_count = count;
    if (count > 0) {
        const struct sim_batch *last = kept[count - 1];

        producer->epoch = last->producer_epoch;
        producer->sequence_next = (int32_t)(((int64_t)last->sequence + last->count) & INT32_MAX);
    } else { /* what is known of it here says nothing: a new epoch may always begin */
        producer->epoch++;
        producer->sequence_next = 0;
    }
}

void
sim_log_truncated(struct sim_log *log, int64_t end)
{
    while (log->batch_count > 0 && log->batches[log->batch_count - 1]->base_offset >= end) {
        struct sim_batch *batch = log->batches[--log->batch_count];

        log->live_bytes -= batch->size < log->live_bytes ? batch->size : log->live_bytes;
        sim_batch_unref(batch);
    }
    while (log->doubt_count > 0) {
        sim_log_doubt_remove(log, log->doubts[0].batch);
    }
    log->end = end;
    log->seen_end = end;
    log->used = true;
    log->truncating = false;
    log->truncations++;
    for (int i = 0; i < SIM_PRODUCERS; i++) {
        producer_truncated(log, &log->producers[i]);
    }
}

void
sim_log_trim_sent(struct sim_log *log, int64_t offset)
{
    log->trims[log->trim_count++] = offset;
}

static void
start_set(struct sim_log *log, int64_t start)
{
    size_t gone;

    if (start <= log->start) {
        return;
    }
    log->start = start;
    log->used = true;
    gone = sim_log_index(log, start);
    log->live_bytes = 0;
    for (size_t i = gone; i < log->batch_count; i++) {
        log->live_bytes += log->batches[i]->size;
    }
    if (log->reads > 0) {
        return;
    }
    for (size_t i = 0; i < gone; i++) {
        sim_batch_unref(log->batches[i]);
    }
    memmove(log->batches, log->batches + gone, (log->batch_count - gone) * sizeof(*log->batches));
    log->batch_count -= gone;
}

void
sim_log_trimmed(struct sim_log *log, int64_t offset)
{
    for (unsigned i = 0; i < log->trim_count; i++) {
        if (log->trims[i] == offset) {
            log->trims[i] = log->trims[--log->trim_count];
            break;
        }
    }
    start_set(log, offset);
}

static bool
start_possible(const struct sim_log *log, int64_t start)
{
    bool possible = start == log->start;

    for (unsigned i = 0; i < log->trim_count; i++) {
        possible = possible || (start == log->trims[i] && start > log->start);
    }
    return possible;
}

unsigned
sim_log_judge(struct sim_log *log, const struct mr_log_offsets *offsets, bool adopt,
              unsigned *lost_out)
{
    int64_t end = log->end;
    unsigned survived = 0;

    *lost_out = 0;
    if (log->truncating && offsets->high_watermark == log->truncate_end && adopt) {
        sim_log_truncated(log, log->truncate_end); /* it has happened */
        end = log->end;
    } else if (log->truncating && offsets->high_watermark == log->truncate_end) {
        return 0; /* a look at a copy: what it holds is not compared */
    }
    if (adopt) {
        log->truncating = false;
    }
    if (!start_possible(log, offsets->start)) {
        sim_fail("partition %d: opens with log start %lld, acknowledged %lld", log->id.partition,
                 (long long)offsets->start, (long long)log->start);
    }
    if (offsets->high_watermark < log->end || offsets->high_watermark < log->seen_end) {
        sim_fail("partition %d: lost what was acknowledged: opens with end %lld, acknowledged %lld",
                 log->id.partition, (long long)offsets->high_watermark, (long long)log->end);
    }
    if (offsets->end != offsets->high_watermark) {
        sim_fail("partition %d: opens with appends that are not durable", log->id.partition);
    }
    for (; survived < log->doubt_count && end < offsets->high_watermark; survived++) {
        end += log->doubts[survived].gap + log->doubts[survived].batch->count;
    }
    if (end != offsets->high_watermark) {
        sim_fail("partition %d: opens with end %lld, which is no batch that was sent (%lld)",
                 log->id.partition, (long long)offsets->high_watermark, (long long)end);
    }
    *lost_out = (unsigned)log->doubt_count - survived;
    if (adopt) {
        sim_log_show(log, end);
        while (log->doubt_count > 0) {
            sim_log_doubt_remove(log, log->doubts[0].batch);
        }
        start_set(log, offsets->start);
        log->trim_count = 0;
    }
    return survived;
}

/* The batch at index `at` of what is acknowledged, or in doubt behind that. */
static const struct sim_batch *
batch_at(const struct sim_log *log, size_t at, int64_t *base_out, int32_t *epoch_out)
{
    int64_t base = log->end;

    if (at < log->batch_count) {
        *base_out = log->batches[at]->base_offset;
        *epoch_out = log->batches[at]->leader_epoch;
        return log->batches[at];
    }
    at -= log->batch_count;
    if (at >= log->doubt_count) {
        return NULL;
    }
    for (size_t i = 0; i < at; i++) {
        base += log->doubts[i].gap + log->doubts[i].batch->count;
    }
    *base_out = base + log->doubts[at].gap;
    *epoch_out = log->doubts[at].leader_epoch;
    return log->doubts[at].batch;
}

void
sim_log_check_bytes(struct sim_log *log, int64_t offset, const uint8_t *bytes, size_t size)
{
    size_t index = sim_log_index(log, offset);

    while (size > 0) {
        int64_t base = 0;
        int32_t epoch = 0;
        const struct sim_batch *batch = batch_at(log, index, &base, &epoch);

        if (batch && base + batch->count <= offset) {
            index++; /* in doubt, and before what was asked for */
            continue;
        }

        if (!batch) {
            sim_fail("partition %d: read at %lld gives more than was ever sent", log->id.partition,
                     (long long)offset);
        }
        if (size < batch->size || !sim_batch_equal(batch, bytes, base, epoch)) {
            sim_fail("partition %d: read at %lld: the batch at %lld (%u bytes of %zu left) differs:"
                     " base offset %lld, length %u, epoch %d",
                     log->id.partition, (long long)offset, (long long)base, batch->size, size,
                     size >= 61 ? (long long)sim_get64(bytes) : -1,
                     size >= 61 ? sim_get32(bytes + 8) + 12 : 0,
                     size >= 61 ? (int)sim_get32(bytes + 12) : 0);
        }
        bytes += batch->size;
        size -= batch->size;
        index++;
    }
}

void
sim_log_find(const struct sim_log *log, enum mr_log_find_kind kind, int64_t timestamp, int64_t end,
             int64_t *offset_out, int64_t *timestamp_out)
{
    *offset_out = -1;
    *timestamp_out = -1;
    for (size_t i = sim_log_index(log, log->start); i < log->batch_count; i++) {
        const struct sim_batch *batch = log->batches[i];

        for (int32_t k = 0; k < batch->count; k++) {
            if (batch->base_offset + k < log->start || batch->base_offset + k >= end) {
                continue;
            }
            if (kind == MR_LOG_FIND_TIME ? batch->timestamps[k] >= timestamp
                                         : batch->timestamps[k] > *timestamp_out) {
                *offset_out = batch->base_offset + k;
                *timestamp_out = batch->timestamps[k];
                if (kind == MR_LOG_FIND_TIME) {
                    return;
                }
            }
        }
    }
}

/* By Kafka's rules, without knowing where the store's segments begin: no more may go than they
 * allow, and less only by one segment. */
void
sim_log_check_retention(const struct sim_log *log, int64_t retention_ms, int64_t retention_bytes,
                        int64_t now_ms, int64_t start)
{
    size_t at = sim_log_index(log, start), first = sim_log_index(log, log->start);
    uint64_t left = 0, first_size = 0;

    if (start < log->start || start > log->end ||
        (start > log->start && start < log->end && log->batches[at]->base_offset != start)) {
        sim_fail("partition %d: retention goes to %lld, log is %lld to %lld", log->id.partition,
                 (long long)start, (long long)log->start, (long long)log->end);
    }
    for (size_t i = at; i < log->batch_count; i++) {
        left += log->batches[i]->size;
    }
    if (retention_bytes >= 0) {
        first_size = at < log->batch_count ? log->batches[at]->size : 0;
        first_size = first_size > log->segment_bytes ? first_size : log->segment_bytes;
        if (start > log->start && left < (uint64_t)retention_bytes) {
            sim_fail("partition %d: retention of %lld bytes leaves %llu", log->id.partition,
                     (long long)retention_bytes, (unsigned long long)left);
        }
        if (left > first_size && left - first_size >= (uint64_t)retention_bytes) {
            sim_fail("partition %d: retention of %lld bytes leaves as much as %llu",
                     log->id.partition, (long long)retention_bytes, (unsigned long long)left);
        }
    }
    for (size_t i = first; retention_ms >= 0 && i < at; i++) {
        if (now_ms - log->batches[i]->max_timestamp <= retention_ms) {
            sim_fail("partition %d: retention of %lld ms at %lld takes a batch of %lld",
                     log->id.partition, (long long)retention_ms, (long long)now_ms,
                     (long long)log->batches[i]->max_timestamp);
        }
    }
}
