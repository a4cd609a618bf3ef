/* storage/segment.c: logical segments: the unit of retention and compaction.
 *
 * A segment is a line in memory and in checkpoints, not a file: batches that follow each other in
 * consecutive bytes. Which batch starts one is decided at its append and travels in its journal
 * record, so that replay comes to the same segments. */
#include "storage/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Room for `count` more. 0 or -ENOMEM. */
int
segment_reserve(struct mr_log *log, uint32_t count)
{
    uint32_t capacity = log->segment_capacity ? log->segment_capacity * 2 : 1;
    struct log_segment *segments;

    if (log->segment_count + count <= log->segment_capacity) {
        return 0;
    }
    if (capacity < log->segment_count + count) {
        capacity = log->segment_count + count;
    }
    segments = realloc(log->segments, capacity * sizeof(*segments));
    if (!segments) {
        return -ENOMEM;
    }
    log->segments = segments;
    log->segment_capacity = capacity;
    return 0;
}

/* Whether a batch of `size` bytes starts a segment. As in Kafka a segment's age is that of the
 * records in it, measured against the one that comes. */
bool
segment_rolls(const struct mr_log *log, uint32_t size, int64_t max_timestamp, uint32_t bytes_max,
              int64_t ms_max)
{
    const struct log_segment *last;

    if (log->segment_count == 0 || log->roll) {
        return true;
    }
    last = &log->segments[log->segment_count - 1];
    if (last->end != log->end_position) {
        return true; /* the log goes on elsewhere */
    }
    if (bytes_max > 0 && last->end - last->position + size > bytes_max) {
        return true;
    }
    return ms_max > 0 && last->first_timestamp >= 0 && max_timestamp >= last->first_timestamp &&
           max_timestamp - last->first_timestamp > ms_max;
}

/* A batch was appended; segment_reserve() has made room. */
void
segment_note(struct mr_log *log, int64_t offset, uint64_t position, uint32_t size,
             int64_t max_timestamp, bool starts)
{
    struct log_segment *last;

    if (starts || log->segment_count == 0) {
        MR_ASSERT(log->segment_count < log->segment_capacity);
        log->segments[log->segment_count++] = (struct log_segment){.first_offset = offset,
                                                                   .position = position,
                                                                   .end = position,
                                                                   .first_timestamp = max_timestamp,
                                                                   .max_timestamp = max_timestamp};
        log->roll = false;
        log->rolled_ms = mr_clock_wall_ms(log->store->config.clock);
        segment_trim(log);
        segment_recount(log);
    }
    last = &log->segments[log->segment_count - 1];
    last->end = position + size;
    if (last->max_timestamp < max_timestamp) {
        last->max_timestamp = max_timestamp;
    }
}

/* The last segment that starts at or before the position; the first where none does. */
static uint32_t
segment_at(const struct mr_log *log, uint64_t position)
{
    uint32_t low = 0, high = log->segment_count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (log->segments[middle].position <= position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low ? low - 1 : 0;
}

bool
segment_starts_at(const struct mr_log *log, uint64_t position)
{
    return log->segment_count > 0 && log->segments[segment_at(log, position)].position == position;
}

/* Sums over all segments, after a change of their number. */
void
segment_recount(struct mr_log *log)
{
    log->holes = 0;
    log->closed_bytes = 0;
    for (uint32_t i = 0; i + 1 < log->segment_count; i++) {
        log->holes += log->segments[i].end != log->segments[i + 1].position;
        log->closed_bytes += log->segments[i].end - log->segments[i].position;
    }
}

/* Bytes at and above the position never were, or are gone. */
void
segment_cut(struct mr_log *log, uint64_t position)
{
    while (log->segment_count > 0 && log->segments[log->segment_count - 1].position >= position) {
        log->segment_count--;
    }
    if (log->segment_count > 0 && log->segments[log->segment_count - 1].end > position) {
        log->segments[log->segment_count - 1].end = position;
    }
    segment_recount(log);
}

/* The log start has moved: whole segments below it go, but for the last one, which the next batch
 * closes where all of it is gone. */
void
segment_trim(struct mr_log *log)
{
    uint32_t n = 0;

    while (n + 1 < log->segment_count && log->segments[n + 1].first_offset <= log->start) {
        n++;
    }
    if (n > 0) {
        log->segment_count -= n;
        memmove(log->segments, log->segments + n, log->segment_count * sizeof(*log->segments));
        segment_recount(log);
    }
    log->roll = log->roll || (log->segment_count > 0 && log->start == log->end);
}

/* ---- where bytes go on ----------------------------------------------------------------------- */

/* Whether a batch with this base offset can start at `position`, which is durable. */
bool
segment_holds(const struct mr_log *log, uint64_t position, int64_t offset)
{
    const struct log_segment *segment;
    uint32_t i;

    if (log->segment_count == 0) {
        return false;
    }
    i = segment_at(log, position);
    segment = &log->segments[i];
    return position >= segment->position && position < segment->end &&
           offset >= segment->first_offset && offset < log->durable &&
           (i + 1 == log->segment_count || offset < log->segments[i + 1].first_offset);
}

/* The end of the consecutive bytes that hold `position`. */
uint64_t
log_span_end(const struct mr_log *log, uint64_t position)
{
    uint32_t i;

    if (log->holes == 0) {
        return log_bytes_end(log);
    }
    i = segment_at(log, position);
    while (i + 1 < log->segment_count && log->segments[i].end == log->segments[i + 1].position) {
        i++;
    }
    return log->segments[i].end;
}

/* Where the batch behind the one that ends at `position` starts. */
uint64_t
log_position_next(const struct mr_log *log, uint64_t position)
{
    uint32_t i;

    if (log->holes == 0) {
        return position;
    }
    i = segment_at(log, position);
    return log->segments[i].end == position && i + 1 < log->segment_count
               ? log->segments[i + 1].position
               : position;
}

/* Behind the last batch that lies in the log. */
uint64_t
log_bytes_end(const struct mr_log *log)
{
    return log->segment_count ? log->segments[log->segment_count - 1].end : log->end_position;
}

/* ---- retention ------------------------------------------------------------------------------- */

static uint64_t
segment_bytes(const struct log_segment *segment)
{
    return segment->end - segment->position;
}

int64_t
mr_log_retention_offset(const struct mr_log *log, int64_t retention_ms, int64_t retention_bytes,
                        int64_t now_ms)
{
    const struct log_segment *segments = log->segments;
    uint64_t size = 0;
    uint32_t n = 0, count = log->segment_count;

    if (count == 0 || log->start == log->durable) {
        return log->start;
    }
    /* Only what is durable: of the last segment all, else it stays. */
    count -= log->end != log->durable;
    while (count > 0 &&
           (count < log->segment_count ? segments[count].first_offset : log->end) > log->durable) {
        count--;
    }
    size = log->closed_bytes + segment_bytes(&segments[log->segment_count - 1]);
    while (retention_bytes >= 0 && n < count && size >= segment_bytes(&segments[n]) &&
           size - segment_bytes(&segments[n]) >= (uint64_t)retention_bytes) {
        size -= segment_bytes(&segments[n++]);
    }
    while (retention_ms >= 0 && n < count && segments[n].max_timestamp >= 0 &&
           segments[n].max_timestamp < now_ms &&
           now_ms - segments[n].max_timestamp > retention_ms) {
        n++;
    }
    if (n == 0) {
        return log->start;
    }
    return n < log->segment_count ? segments[n].first_offset : log->durable;
}

void
mr_log_roll_idle(struct mr_log *log, int64_t segment_ms, int64_t now_ms)
{
    if (segment_ms > 0 && log->segment_count > 0 && now_ms - log->rolled_ms > segment_ms) {
        log->roll = true;
    }
}
