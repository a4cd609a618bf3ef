/* storage/compact.c: of every key the last record stays.
 *
 *   MAP -> CLEAN -> DRAIN -> FLUSH -> READY -> QUEUED -> done
 *
 * MAP reads the dirty part and notes each key's last offset, until its memory is full; CLEAN reads
 * from the log start to there and writes what stays into extents that no log has; DRAIN waits for
 * the writes, FLUSH makes them durable, and one swap record puts them into the log. Until that
 * record is durable a crash leaves the log as it was, and the extents free. A trim or truncation on
 * the way makes all of it worthless: the extents are given back.
 *
 * The output's logical blocks lie below every block that the log ever used, so that nothing in
 * flight or in memory for an old block can be taken for a new one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/compress.h"
#include "storage/internal.h"
#include "storage/keymap.h"

#define READ_BYTES    262144u
#define BUFFER_ORDER  4u /* blocks of a write: 2^4 */
#define BUFFERS       2u
#define MAP_PART      64u /* of the arena, for the key map */
#define MAP_BYTES_MIN (64u * 1024)
#define MAP_BYTES_MAX (64u * 1024 * 1024)

enum compact_phase {
    PHASE_MAP,
    PHASE_CLEAN,
    PHASE_DRAIN,
    PHASE_FLUSH,
    PHASE_READY,
    PHASE_QUEUED,
    PHASE_ABORT, /* until nothing is in flight */
};

/* Positions of the output count from its first byte until the record is made. */
struct out_extent {
    uint64_t lba;
    uint64_t first; /* byte */
    uint64_t first_position;
    int64_t first_offset;
    int64_t max_timestamp;
    uint8_t order;
};

struct out_write {
    struct mr_dev_io io;
    struct compact *compact;
    struct iovec iov;
    uint64_t lba;
    uint8_t *data;
    bool busy;
};

struct compact {
    struct mr_store *store;
    struct mr_log *log;
    struct mr_log_compact *request;
    enum compact_phase phase;
    enum mr_kafka_err error;
    uint32_t moves;
    int64_t now_ms;
    int64_t next; /* to be read next */
    int64_t upto; /* the first offset that stays where it is */
    uint64_t upto_position;
    uint64_t next_ns; /* throttled until then */
    struct mr_read read;
    bool reading, answered;

    struct mr_keymap *map;
    struct mr_batch_scratch *scratch;
    struct mr_batch_filter filter;
    struct mr_batch_header batch; /* that is filtered */
    uint8_t *copy;
    size_t copy_max;
    size_t at;          /* in the answer: the next batch */
    const uint8_t *out; /* of the current batch, not in the buffers yet */
    size_t out_left;

    struct out_extent *extents;
    uint32_t extent_count, extent_capacity;
    struct mr_entry_segment *segments;
    uint32_t segment_count, segment_capacity;
    uint64_t reserved, size; /* bytes of extents, bytes of output */
    struct out_write writes[BUFFERS];
    unsigned filling;
    uint32_t fill, buffer_bytes;
    unsigned in_flight;
    struct mr_dev_io flush;
    int64_t horizon;
    uint8_t *record;
    struct log_move move;
};

static size_t
map_bytes(const struct mr_store_config *config)
{
    size_t bytes = config->arena_bytes / MAP_PART;

    bytes = bytes > MAP_BYTES_MIN ? bytes : MAP_BYTES_MIN;
    return bytes < MAP_BYTES_MAX ? bytes : MAP_BYTES_MAX;
}

size_t
compact_bytes(const struct mr_store_config *config)
{
    return map_bytes(config) + BUFFERS * ((size_t)BLOCK << BUFFER_ORDER);
}

/* ---- what is worth it ------------------------------------------------------------------------ */

/* Segments [0, n) may be compacted: closed, durable, and old enough. */
static uint32_t
segments_cleanable(const struct mr_log *log, const struct mr_compact_limits *limits, int64_t now_ms)
{
    uint32_t n = 0;

    while (n + 1 < log->segment_count && log->segments[n + 1].first_offset <= log->durable &&
           log->segments[n + 1].position <= log->durable_position &&
           (limits->lag_min_ms <= 0 ||
            log->segments[n].max_timestamp <= now_ms - limits->lag_min_ms)) {
        n++;
    }
    return n;
}

bool
mr_log_compact_due(const struct mr_log *log, const struct mr_compact_limits *limits, int64_t now_ms,
                   double *dirty_out)
{
    uint32_t n = segments_cleanable(log, limits, now_ms);
    uint64_t dirty = 0, total = 0;
    bool late = false;

    for (uint32_t i = 0; i < n; i++) {
        const struct log_segment *segment = &log->segments[i];

        total += segment->end - segment->position;
        if (segment->first_offset >= log->clean) {
            dirty += segment->end - segment->position;
            late = late || (limits->lag_max_ms > 0 && segment->first_timestamp < now_ms &&
                            now_ms - segment->first_timestamp > limits->lag_max_ms);
        }
    }
    *dirty_out = total > 0 ? (double)dirty / (double)total : 0;
    if (log->failed || log->deleted || log->truncating || total == 0) {
        return false;
    }
    return (dirty > 0 && (late || *dirty_out >= limits->ratio)) || log->horizon <= now_ms;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
compact_free(struct compact *compact)
{
    mr_keymap_destroy(compact->map);
    mr_batch_scratch_destroy(compact->scratch);
    mr_batch_filter_deinit(&compact->filter);
    for (unsigned i = 0; i < BUFFERS; i++) {
        free(compact->writes[i].data);
    }
    free(compact->extents);
    free(compact->segments);
    free(compact->record);
    free(compact->copy);
    free(compact);
}

void
compact_deinit(struct mr_store *store)
{
    if (store->compact) {
        compact_free(store->compact);
        store->compact = NULL;
    }
}

static void
compact_finish(struct compact *compact)
{
    struct mr_store *store = compact->store;
    struct mr_log *log = compact->log;

    compact->request->error = compact->error;
    mr_list_push_back(&store->compacts_done, &compact->request->node);
    store->compact = NULL;
    compact_free(compact);
    log->busy--;
    log_maybe_free(log);
}

/* Nothing of it is needed: the extents are free again, once nothing writes to them. */
static void
compact_abort(struct compact *compact, enum mr_kafka_err error)
{
    compact->error = error;
    compact->phase = PHASE_ABORT;
}

static void
extents_give_back(struct compact *compact)
{
    for (uint32_t i = 0; i < compact->extent_count; i++) {
        mr_buddy_free(&compact->store->buddy, compact->extents[i].lba, compact->extents[i].order);
    }
    compact->extent_count = 0;
    store_room(compact->store);
}

static bool keep_record(void *context, const struct mr_record *record);

int
mr_log_compact(struct mr_log *log, struct mr_log_compact *request)
{
    struct mr_store *store = log->store;
    struct compact *compact = store->compact ? NULL : calloc(1, sizeof(*compact));
    unsigned order = store->order_max < BUFFER_ORDER ? store->order_max : BUFFER_ORDER;

    if (!compact) {
        return log_append_again(log);
    }
    compact->store = store;
    compact->log = log;
    compact->request = request;
    compact->buffer_bytes = BLOCK << order;
    compact->horizon = INT64_MAX;
    compact->map = mr_keymap_create(map_bytes(&store->config));
    compact->scratch = mr_batch_scratch_create();
    compact->filter = (struct mr_batch_filter){.keep = keep_record, .context = compact};
    for (unsigned i = 0; i < BUFFERS; i++) {
        compact->writes[i].compact = compact;
        if (posix_memalign((void **)&compact->writes[i].data, BLOCK, compact->buffer_bytes)) {
            compact->writes[i].data = NULL;
        }
    }
    if (!compact->map || !compact->scratch || !compact->writes[0].data ||
        !compact->writes[1].data) {
        compact_free(compact);
        return log_append_again(log);
    }
    request->changed = false;
    request->bytes_before = request->bytes_after = 0;
    mr_list_init(&request->node);
    request->log = log;
    compact->now_ms = mr_clock_wall_ms(store->config.clock);
    compact->moves = log->moves;
    compact->next = log->clean > log->start ? log->clean : log->start;
    log->busy++;
    store->compact = compact;
    {
        uint32_t n = segments_cleanable(log, &request->limits, compact->now_ms);

        if (n == 0 || log->failed || store->failed || store->config.read_only) {
            compact_abort(compact, n == 0 ? MR_KAFKA_NONE : MR_KAFKA_KAFKA_STORAGE_ERROR);
            return 0;
        }
        compact->upto = log->segments[n].first_offset;
        compact->upto_position = log->segments[n].position;
    }
    return 0;
}

/* ---- output ---------------------------------------------------------------------------------- */

static void
write_done(struct mr_dev_io *io, int result)
{
    struct out_write *write = MR_CONTAINER_OF(io, struct out_write, io);
    struct compact *compact = write->compact;
    struct mr_store *store = compact->store;

    store->in_flight--;
    compact->in_flight--;
    write->busy = false;
    if (result && compact->phase != PHASE_ABORT) {
        /* As for a checkpoint's chain: these blocks are not used again before the next open. */
        for (uint32_t i = 0; i < compact->extent_count; i++) {
            struct out_extent *extent = &compact->extents[i];

            if (extent->lba <= write->lba && write->lba < extent->lba + (1ull << extent->order) &&
                store->shunned_count < SHUNNED_MAX) {
                store->shunned[store->shunned_count++] =
                    (struct shunned){.lba = extent->lba, .order = extent->order};
                *extent = compact->extents[--compact->extent_count];
                break;
            }
        }
        compact_abort(compact, MR_KAFKA_KAFKA_STORAGE_ERROR);
    }
    store_drain(store);
}

/* Writes the filling buffer to its place: a buffer never crosses the end of an extent. */
static void
buffer_write(struct compact *compact)
{
    struct mr_store *store = compact->store;
    struct out_write *write = &compact->writes[compact->filling];
    uint64_t from = (compact->size - 1) / compact->buffer_bytes * compact->buffer_bytes;
    uint32_t blocks = mr_set_blocks(compact->fill);
    const struct out_extent *extent = &compact->extents[compact->extent_count - 1];

    while (extent->first > from) {
        extent--;
    }
    memset(write->data + compact->fill, 0, (size_t)blocks * BLOCK - compact->fill);
    memset(&write->io, 0, sizeof(write->io));
    write->io.done = write_done;
    write->busy = true;
    write->lba = extent->lba + (from - extent->first) / BLOCK;
    write->iov = (struct iovec){.iov_base = write->data, .iov_len = (size_t)blocks * BLOCK};
    compact->filling = (compact->filling + 1) % BUFFERS;
    compact->fill = 0;
    compact->in_flight++;
    store->in_flight++;
    store->stats.compacted_bytes += write->iov.iov_len;
    mr_dev_write(store->dev, &write->io, &write->iov, 1, write->lba * BLOCK, false);
}

/* Extents up to `end` bytes of output. False: no space or no memory. */
static bool
out_reserve(struct compact *compact, uint64_t end)
{
    struct mr_store *store = compact->store;

    while (compact->reserved < end) {
        unsigned least = store->order_max < BUFFER_ORDER ? store->order_max : BUFFER_ORDER;
        unsigned order =
            compact->extent_count ? compact->extents[compact->extent_count - 1].order + 1u : least;
        uint64_t lba;

        order = order < store->order_max ? order : store->order_max;
        if (compact->extent_count == compact->extent_capacity) {
            uint32_t capacity = compact->extent_capacity ? compact->extent_capacity * 2 : 8;
            struct out_extent *extents =
                realloc(compact->extents, capacity * sizeof(*compact->extents));

            if (!extents) {
                return false;
            }
            compact->extents = extents;
            compact->extent_capacity = capacity;
        }
        if (!extent_alloc(store, &order, least, store->reserve_blocks, &lba)) {
            return false;
        }
        compact->extents[compact->extent_count++] =
            (struct out_extent){.lba = lba,
                                .first = compact->reserved,
                                .order = (uint8_t)order,
                                .first_position = NO_POSITION,
                                .first_offset = -1,
                                .max_timestamp = INT64_MIN};
        compact->reserved += (uint64_t)BLOCK << order;
    }
    return true;
}

/* A batch starts at the output's end. */
static bool
out_note(struct compact *compact, const struct mr_batch_header *header)
{
    struct mr_entry_segment *segment =
        compact->segment_count ? &compact->segments[compact->segment_count - 1] : NULL;
    uint32_t max = compact->request->limits.segment_bytes;

    for (uint32_t i = compact->extent_count; i-- > 0;) {
        struct out_extent *extent = &compact->extents[i];
        uint64_t end = extent->first + ((uint64_t)BLOCK << extent->order);

        if (extent->first > compact->size) {
            continue;
        }
        if (extent->first_position == NO_POSITION) {
            extent->first_position = compact->size;
            extent->first_offset = header->base_offset;
        }
        if (end <= compact->size) {
            break;
        }
        if (extent->max_timestamp < header->max_timestamp) {
            extent->max_timestamp = header->max_timestamp;
        }
    }
    if (!segment || (max > 0 && segment->end - segment->position + (uint32_t)header->size > max)) {
        if (compact->segment_count == compact->segment_capacity) {
            uint32_t capacity = compact->segment_capacity ? compact->segment_capacity * 2 : 8;

            segment = realloc(compact->segments, capacity * sizeof(*segment));
            if (!segment) {
                return false;
            }
            compact->segments = segment;
            compact->segment_capacity = capacity;
        }
        segment = &compact->segments[compact->segment_count++];
        *segment = (struct mr_entry_segment){.first_offset = header->base_offset,
                                             .position = compact->size,
                                             .first_timestamp = header->max_timestamp,
                                             .max_timestamp = header->max_timestamp};
    }
    segment->end = compact->size + (uint32_t)header->size;
    if (segment->max_timestamp < header->max_timestamp) {
        segment->max_timestamp = header->max_timestamp;
    }
    return true;
}

/* One batch comes into the output: its bytes, which stay, are copied by out_pump(). */
static void
out_put(struct compact *compact, const uint8_t *bytes, size_t size)
{
    struct mr_batch_header header;

    mr_batch_header_get(bytes, &header);
    if (!out_reserve(compact, compact->size + size) || !out_note(compact, &header)) {
        compact_abort(compact, MR_KAFKA_KAFKA_STORAGE_ERROR);
        return;
    }
    compact->out = bytes;
    compact->out_left = size;
}

/* Copies what waits into the buffers. True: all of it, the next batch may come. */
static bool
out_pump(struct compact *compact)
{
    while (compact->out_left > 0) {
        struct out_write *write = &compact->writes[compact->filling];
        uint32_t n = compact->buffer_bytes - compact->fill;

        if (write->busy) {
            return false;
        }
        n = n < compact->out_left ? n : (uint32_t)compact->out_left;
        memcpy(write->data + compact->fill, compact->out, n);
        compact->fill += n;
        compact->size += n;
        compact->out += n;
        compact->out_left -= n;
        if (compact->fill == compact->buffer_bytes) {
            buffer_write(compact);
        }
    }
    return true;
}

/* The last extent may be larger than what is in it: halves of it are given back. */
static void
out_shrink(struct compact *compact)
{
    struct out_extent *last;
    uint64_t used;

    if (compact->extent_count == 0) {
        return;
    }
    last = &compact->extents[compact->extent_count - 1];
    used = mr_set_blocks(compact->size - last->first);
    while (last->order > 0 && used <= (1ull << last->order) / 2) {
        last->order--;
        mr_buddy_free(&compact->store->buddy, last->lba + (1ull << last->order), last->order);
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

static void
on_read(struct mr_read *read)
{
    MR_CONTAINER_OF(read, struct compact, read)->answered = true;
}

static bool
read_start(struct compact *compact)
{
    int got;

    memset(&compact->read, 0, sizeof(compact->read));
    compact->read.done = on_read;
    compact->read.offset = compact->next;
    compact->read.bytes_max = READ_BYTES;
    compact->read.one_at_least = true;
    compact->at = 0;
    got = mr_log_read(compact->log, &compact->read);
    compact->reading = got >= 0;
    compact->answered = got == 1;
    return got >= 0;
}

static void
read_end(struct compact *compact)
{
    uint64_t rate = compact->request->bytes_per_s;

    if (rate > 0) {
        compact->next_ns =
            mr_clock_now_ns(compact->store->config.clock) + compact->read.size * MR_NS_PER_S / rate;
    }
    mr_log_read_release(compact->store, &compact->read);
    compact->reading = false;
}

static void
read_copy(const struct mr_read *read, size_t at, uint8_t *out, size_t size)
{
    for (unsigned i = 0; i < read->iov_count && size > 0; i++) {
        size_t n;

        if (at >= read->iov[i].iov_len) {
            at -= read->iov[i].iov_len;
            continue;
        }
        n = read->iov[i].iov_len - at < size ? read->iov[i].iov_len - at : size;
        memcpy(out, (const uint8_t *)read->iov[i].iov_base + at, n);
        out += n;
        size -= n;
        at = 0;
    }
}

/* The next batch of the answer, in one piece in compact->copy. False: there is none, or no memory,
 * which aborts. */
static bool
batch_next(struct compact *compact, uint64_t *position)
{
    uint8_t bytes[MR_BATCH_HEADER_SIZE];
    size_t size;

    if (compact->at + sizeof(bytes) > compact->read.size) {
        return false;
    }
    read_copy(&compact->read, compact->at, bytes, sizeof(bytes));
    if (mr_batch_header_get(bytes, &compact->batch)) {
        compact_abort(compact, MR_KAFKA_KAFKA_STORAGE_ERROR);
        return false;
    }
    size = (size_t)compact->batch.size;
    if (size > compact->copy_max) {
        free(compact->copy);
        compact->copy = malloc(size);
        compact->copy_max = compact->copy ? size : 0;
        if (!compact->copy) {
            compact_abort(compact, MR_KAFKA_KAFKA_STORAGE_ERROR);
            return false;
        }
    }
    read_copy(&compact->read, compact->at, compact->copy, size);
    *position = ((const struct read_state *)compact->read.state)->position + compact->at;
    return true;
}

static void
batch_passed(struct compact *compact)
{
    compact->at += (size_t)compact->batch.size;
    compact->next = compact->batch.base_offset + compact->batch.last_offset_delta + 1;
}

/* Not looked into: transactions' markers, and records that a marker may take back. */
static bool
batch_is_kept_whole(const struct mr_batch_header *header)
{
    return header->attributes & (MR_BATCH_ATTR_CONTROL | MR_BATCH_ATTR_TRANSACTIONAL);
}

/* ---- the map --------------------------------------------------------------------------------- */

static int
note_key(void *context, const struct mr_record *record)
{
    struct compact *compact = context;

    if (record->key) {
        mr_keymap_put(compact->map, record->key, (size_t)record->key_size, record->offset);
    }
    return 0;
}

static void
begin_clean(struct compact *compact)
{
    compact->phase = PHASE_CLEAN;
    compact->next = compact->log->start;
}

/* Notes the keys of the batches at hand. */
static void
step_map(struct compact *compact)
{
    uint64_t position;

    while (compact->phase == PHASE_MAP && batch_next(compact, &position)) {
        const struct mr_batch_header *header = &compact->batch;

        if (header->base_offset >= compact->upto) {
            begin_clean(compact);
            break;
        }
        if (!batch_is_kept_whole(header)) {
            if (!mr_keymap_fits(compact->map, (uint32_t)header->record_count)) {
                if (mr_keymap_is_empty(compact->map)) { /* never: its keys count as not seen */
                    batch_passed(compact);
                    continue;
                }
                compact->upto = header->base_offset; /* as far as the memory goes */
                compact->upto_position = position;
                begin_clean(compact);
                break;
            }
            if (mr_batch_each(compact->copy, (size_t)header->size, compact->scratch, note_key,
                              compact) != 0) {
                compact_abort(compact, MR_KAFKA_KAFKA_STORAGE_ERROR);
                break;
            }
        }
        batch_passed(compact);
    }
    if (compact->phase == PHASE_MAP && compact->next >= compact->upto) {
        begin_clean(compact);
    }
    read_end(compact);
}

/* ---- cleaning -------------------------------------------------------------------------------- */

static bool
keep_record(void *context, const struct mr_record *record)
{
    const struct compact *compact = context;

    if (!record->key ||
        mr_keymap_get(compact->map, record->key, (size_t)record->key_size) > record->offset) {
        return false;
    }
    return record->value || !(compact->batch.attributes & MR_BATCH_ATTR_HORIZON) ||
           compact->batch.base_timestamp > compact->now_ms;
}

static void
clean_batch(struct compact *compact)
{
    const struct mr_batch_header *header = &compact->batch;
    struct mr_batch_filter *filter = &compact->filter;
    int result;

    compact->request->bytes_before += (uint32_t)header->size;
    if (batch_is_kept_whole(header)) {
        out_put(compact, compact->copy, (size_t)header->size);
        return;
    }
    filter->horizon = compact->now_ms + compact->request->limits.delete_retention_ms;
    result = mr_batch_filter(filter, compact->copy, (size_t)header->size, compact->scratch);
    if (result < 0) {
        compact_abort(compact, MR_KAFKA_KAFKA_STORAGE_ERROR);
    } else if (result == MR_BATCH_SAME) {
        out_put(compact, compact->copy, (size_t)header->size);
    } else if (result == MR_BATCH_CHANGED ||
               (header->producer_id != MR_BATCH_NO_PRODUCER &&
                producer_is_last(compact->log, header->producer_id, header->base_offset))) {
        out_put(compact, filter->bytes, filter->size);
    }
    if (filter->horizon_now < compact->horizon && result >= 0) {
        compact->horizon = filter->horizon_now;
    }
}

static void
step_clean(struct compact *compact)
{
    uint64_t position;
    bool end = compact->next >= compact->upto;

    while (compact->phase == PHASE_CLEAN && !end && batch_next(compact, &position)) {
        end = compact->batch.base_offset >= compact->upto;
        if (!end) {
            clean_batch(compact);
            batch_passed(compact);
            if (!out_pump(compact)) {
                return; /* a buffer is still being written: goes on with the same answer */
            }
        }
    }
    end = end || compact->next >= compact->upto || compact->read.size == 0;
    read_end(compact);
    if (end && compact->phase == PHASE_CLEAN) {
        compact->phase = PHASE_DRAIN;
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static void
flush_done(struct mr_dev_io *io, int result)
{
    struct compact *compact = MR_CONTAINER_OF(io, struct compact, flush);
    struct mr_store *store = compact->store;

    store->in_flight--;
    compact->in_flight--;
    if (result) {
        store_fail(store);
    } else if (compact->phase == PHASE_FLUSH) {
        compact->phase = PHASE_READY;
    }
    store_drain(store);
}

static bool
step_drain(struct compact *compact)
{
    struct mr_store *store = compact->store;

    if (compact->fill > 0 && compact->writes[compact->filling].busy) {
        return false;
    }
    if (compact->fill > 0) {
        buffer_write(compact);
    }
    if (compact->in_flight > 0) {
        return false;
    }
    out_shrink(compact);
    if (MUTANT(SWAP_BEFORE_FLUSH)) {
        compact->phase = PHASE_READY;
        return true;
    }
    compact->phase = PHASE_FLUSH;
    compact->flush.done = flush_done;
    compact->in_flight++;
    store->in_flight++;
    store->stats.flushes++;
    mr_dev_flush(store->dev, &compact->flush);
    return true;
}

static void
move_decided(struct log_move *move, int error)
{
    struct compact *compact = MR_CONTAINER_OF(move, struct compact, move);

    if (error == 0) {
        compact->request->changed = true;
        compact->request->bytes_after = compact->size;
        compact->request->clean_offset = compact->upto;
        compact->extent_count = 0; /* they are the log's */
        if (swap_apply(compact->log, &move->rec.u.swap)) {
            store_fail(compact->store); /* no memory, and what is durable says otherwise */
        }
        compact->store->stats.compactions++;
        log_moved(compact->log);
    }
    compact_abort(compact, error == 0 || error == -ESTALE ? MR_KAFKA_NONE
                           : error == -ENOENT             ? MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                                                          : MR_KAFKA_KAFKA_STORAGE_ERROR);
}

static uint8_t *
record_extents(const struct compact *compact, uint8_t *at, uint64_t first_block)
{
    for (uint32_t i = 0; i < compact->extent_count; i++) {
        const struct out_extent *extent = &compact->extents[i];
        bool known = extent->first_position != NO_POSITION;
        struct mr_entry_extent out = {
            .ref = {.lba = extent->lba, .order = extent->order},
            .first_block = first_block + extent->first / BLOCK,
            /* Where no batch starts behind it, the first one does that stays. */
            .first_offset = known ? extent->first_offset : compact->upto,
            .first_position =
                known ? first_block * BLOCK + extent->first_position : compact->upto_position,
            .max_timestamp = extent->max_timestamp,
        };

        mr_entry_extent_encode(&out, at);
        at += MR_ENTRY_EXTENT_SIZE;
    }
    return at;
}

/* False: the output has too many extents for a record, or no memory. */
static bool
record_make(struct compact *compact)
{
    struct mr_log *log = compact->log;
    size_t size = (size_t)compact->extent_count * MR_ENTRY_EXTENT_SIZE +
                  (size_t)compact->segment_count * MR_ENTRY_SEGMENT_SIZE;
    uint64_t blocks = 0, first_block;
    uint8_t *at;

    free(compact->record);
    compact->record = malloc(size + 1);
    if (!compact->record || MR_REC_SWAP_SIZE + size > log->store->set_bytes_max / 2) {
        return false;
    }
    for (uint32_t i = 0; i < compact->extent_count; i++) {
        blocks += 1ull << compact->extents[i].order;
    }
    first_block = log->floor_block - blocks;
    at = record_extents(compact, compact->record, first_block);
    for (uint32_t i = 0; i < compact->segment_count; i++) {
        struct mr_entry_segment segment = compact->segments[i];

        segment.position += first_block * BLOCK;
        segment.end += first_block * BLOCK;
        mr_entry_segment_encode(&segment, at);
        at += MR_ENTRY_SEGMENT_SIZE;
    }
    compact->move = (struct log_move){
        .log = log,
        .moves = compact->moves,
        .decided = move_decided,
        .rec = {.type = MR_REC_SWAP,
                .log = log->number,
                .u.swap = {.offset = compact->upto,
                           .position = compact->upto_position,
                           .horizon = compact->horizon,
                           .extent_count = compact->extent_count,
                           .segment_count = compact->segment_count,
                           .extents = compact->record,
                           .extents_size = size}},
    };
    mr_list_init(&compact->move.node);
    return true;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static bool
step_read(struct compact *compact)
{
    if (!compact->reading) {
        if (mr_clock_now_ns(compact->store->config.clock) < compact->next_ns) {
            return false;
        }
        if (!read_start(compact)) {
            return false;
        }
    }
    if (!compact->answered) {
        return false;
    }
    if (compact->read.error) {
        read_end(compact);
        compact_abort(compact, MR_KAFKA_KAFKA_STORAGE_ERROR);
    } else if (compact->phase == PHASE_MAP) {
        step_map(compact);
    } else {
        step_clean(compact);
    }
    return true;
}

static bool
step_abort(struct compact *compact)
{
    if (compact->reading && compact->answered) {
        read_end(compact);
    }
    if (compact->reading || compact->in_flight > 0) {
        return false;
    }
    extents_give_back(compact);
    compact_finish(compact);
    return true;
}

bool
compact_step(struct mr_store *store)
{
    struct compact *compact = store->compact;

    if (!compact || store->closing) {
        return false;
    }
    if (compact->phase < PHASE_QUEUED &&
        (store->failed || compact->log->failed || compact->log->deleted ||
         (compact->log->moves != compact->moves && !MUTANT(SWAP_AFTER_TRIM)))) {
        compact_abort(compact, compact->log->deleted ? MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                               : store->failed || compact->log->failed
                                   ? MR_KAFKA_KAFKA_STORAGE_ERROR
                                   : MR_KAFKA_NONE);
    }
    switch (compact->phase) {
    case PHASE_MAP:
        return step_read(compact);
    case PHASE_CLEAN:
        return out_pump(compact) && step_read(compact);
    case PHASE_DRAIN:
        return step_drain(compact);
    case PHASE_READY:
        if (!record_make(compact)) {
            compact_abort(compact, MR_KAFKA_KAFKA_STORAGE_ERROR);
        } else if (move_queue(&compact->move)) {
            compact->phase = PHASE_QUEUED;
        } else {
            return false;
        }
        return true;
    case PHASE_ABORT:
        return step_abort(compact);
    case PHASE_FLUSH:
    case PHASE_QUEUED:
        break;
    }
    return false;
}

uint64_t
compact_deadline_ns(const struct mr_store *store)
{
    const struct compact *compact = store->compact;

    return compact && compact->phase <= PHASE_CLEAN && !compact->reading && compact->next_ns > 0
               ? compact->next_ns
               : UINT64_MAX;
}
