/* storage/read.c: reads: from memory at once, else after loading what is missing into the cache. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/endian.h"
#include "storage/crc32c.h"
#include "storage/internal.h"

#define LOAD_BYTES_MAX (1024u * 1024)
#define TRIES_MAX      256u
#define AHEAD_MIN      (512u * 1024)
#define AHEAD_MAX      (2u * 1024 * 1024)
#define LOADS_MAX      (8u * 1024 * 1024) /* in flight before another read's are begun, */
#define LOADS_BESIDE   (1024u * 1024)     /* and while there are appends */
#define AHEAD_BESIDE   (1024u * 1024)     /* in flight beside a group: a reader must not delay it */

static int read_step(struct read_state *state);

/* ---- loading --------------------------------------------------------------------------------- */

/* The reads that wait for this range are looked at again. */
void
reads_wake(struct mr_log *log, uint64_t position, uint64_t end, bool failed)
{
    MR_LIST_FOR_EACH(node, &log->reads)
    {
        struct read_state *state = MR_CONTAINER_OF(node, struct read_state, node);

        if (state->wanted >= end || position >= state->wanted_end) {
            continue;
        }
        state->failed = failed;
        mr_list_remove(node);
        mr_list_push_back(&log->store->reads_ready, node);
    }
}

static void
load_done(struct mr_dev_io *io, int result)
{
    struct load_io *load = MR_CONTAINER_OF(io, struct load_io, io);
    struct mr_log *log = load->log;
    struct mr_store *store = log->store;
    uint64_t from = load->chunks[0]->block * BLOCK, end = from;

    store->in_flight--;
    log->tail_loading = false;
    for (unsigned c = 0; c < load->count; c++) {
        struct chunk *chunk = load->chunks[c];

        end = (chunk->block + chunk->blocks) * BLOCK;
        chunk->loading = false;
        chunk->loaded = true;
        if (result || log->buried) {
            cache_detach(chunk);
            continue;
        }
        for (unsigned i = 0; i < chunk->blocks; i++) {
            uint64_t at = (chunk->block + i) * BLOCK;
            uint64_t fill = log->end_position > at ? log->end_position - at : 0;

            chunk->state[i].fill = (uint16_t)(fill < BLOCK ? fill : BLOCK);
            chunk->state[i].placed = chunk->state[i].fill;
        }
        chunk->end = end < log->end_position ? end : log->end_position;
        cache_settle(chunk);
    }
    if (result) {
        store->stats.read_errors++;
    }
    store->load_bytes -= load->bytes;
    store->ahead_bytes -= load->ahead;
    extent_unbusy(store, load->extent);
    mr_list_remove(&load->node);
    free(load);
    reads_wake(log, from, end, result != 0);
    log->busy--;
    log_maybe_free(log);
    store_room(store);
    read_run_ready(store);
    store_drain(store);
}

/* One read of consecutive blocks of one extent into fresh chunks. */
static int
load_submit(struct mr_log *log, struct extent *extent, uint64_t block, uint64_t end, bool ahead,
            uint64_t *loaded_to)
{
    struct mr_store *store = log->store;
    struct load_io *load = calloc(1, sizeof(*load));
    uint64_t from = block;

    if (!load) {
        return -EAGAIN;
    }
    while (block < end && load->count < WRITE_SLICES) {
        bool wide = end - block > 1;
        struct chunk *chunk = cache_new(log, block, wide ? CHUNK_BYTES : BLOCK, wide);

        if (!chunk) {
            break;
        }
        if (chunk->blocks > end - block) {
            chunk->blocks = (uint8_t)(end - block);
        }
        chunk->loading = true;
        load->chunks[load->count] = chunk;
        load->iov[load->count++] =
            (struct iovec){.iov_base = chunk->data, .iov_len = (size_t)chunk->blocks * BLOCK};
        block += chunk->blocks;
    }
    if (load->count == 0) {
        free(load);
        return -EAGAIN;
    }
    mr_list_push_back(&store->loads, &load->node);
    load->io.done = load_done;
    load->log = log;
    load->extent = extent;
    load->bytes = (uint32_t)((block - from) * BLOCK);
    store->load_bytes += load->bytes;
    log->busy++;
    extent->busy++;
    store->in_flight++;
    if (ahead) {
        load->ahead = load->bytes;
        store->ahead_bytes += load->ahead;
        store->stats.reads_ahead++;
    } else {
        store->stats.reads_cold++;
    }
    *loaded_to = block;
    mr_dev_read(store->dev, &load->io, load->iov, load->count,
                (extent->lba + (from - extent->first_block)) * BLOCK);
    return 0;
}

/* Loads what is not in memory of [position, position + size), as far as it is appended. 0, or
 * -EAGAIN where nothing could be started. */
static int
range_load(struct mr_log *log, uint64_t position, uint64_t size, bool ahead)
{
    uint64_t block = position / BLOCK;
    uint64_t span = log_span_end(log, position);
    uint64_t stop = position + size < span ? position + size : span;
    uint64_t end = (stop + BLOCK - 1) / BLOCK;
    bool started = false;

    while (block < end) {
        uint32_t i = cache_index_after(log, block);
        struct chunk *next = i < log->chunk_count ? log->chunks[i] : NULL;
        struct extent *extent = extent_find(log, block);
        uint64_t to = end;

        if (next && next->block <= block) {
            started = started || next->loading;
            block = next->block + next->blocks;
            continue;
        }
        if (!extent) {
            return -EAGAIN;
        }
        to = extent_end(extent) < to ? extent_end(extent) : to;
        to = next && next->block < to ? next->block : to;
        if (load_submit(log, extent, block, to, ahead, &block)) {
            return started ? 0 : -EAGAIN;
        }
        started = true;
    }
    return 0;
}

int
read_load(struct mr_log *log, uint64_t position, uint64_t size)
{
    return range_load(log, position, size, false);
}

/* The reader that was answered up to `end` is expected to go on there: what follows is loaded,
 * where it comes from the medium. Only memory that nothing else wants is taken, and little is in
 * flight beside a group. */
static void
read_ahead(struct mr_log *log, uint64_t end, uint64_t size)
{
    struct mr_store *store = log->store;
    uint64_t budget = store->config.arena_bytes / 16, stop = log_span_end(log, end), at = end;
    const struct chunk *last = cache_find(log, (end - 1) / BLOCK);
    uint64_t window = 2 * size > AHEAD_MIN ? 2 * size : AHEAD_MIN;

    if (store->state != GROUP_NONE && budget > AHEAD_BESIDE) {
        budget = AHEAD_BESIDE;
    }
    window = window < AHEAD_MAX ? window : AHEAD_MAX;
    if (!last || !last->loaded || store->failed || store->closing || store->pressure ||
        (store->pages_free <= store->page_count / 16 && mr_list_empty(&store->lru)) ||
        store->ahead_bytes >= budget) {
        return;
    }
    stop = stop < log->durable_position ? stop : log->durable_position;
    stop = stop < end + window ? stop : end + window;
    for (uint32_t i = cache_index_after(log, at / BLOCK); i < log->chunk_count && at < stop; i++) {
        const struct chunk *chunk = log->chunks[i];

        if (chunk->block * BLOCK > at) {
            break;
        }
        at = (chunk->block + chunk->blocks) * BLOCK;
    }
    /* Not for every small answer a small read. */
    if (at < stop && at - end <= window / 2) {
        uint64_t room = budget - store->ahead_bytes;

        range_load(log, at, stop - at < room ? stop - at : room, true);
    }
}

/* ---- one read -------------------------------------------------------------------------------- */

/* A batch that starts at or before the one with `offset`, as near as is known. False: the log has
 * offsets, but no batches: they were truncated or cleaned away. */
static bool
locate(struct mr_log *log, int64_t offset, int64_t *found, uint64_t *position)
{
    uint32_t low = 0, high = log->extent_count;
    struct extent *extent;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (log->extents[middle]->first_position < log->durable_position &&
            log->extents[middle]->first_offset <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) { /* what held it was cleaned away: the first batch there is */
        while (low < log->extent_count && log->extents[low]->first_position == NO_POSITION) {
            low++;
        }
        if (low == log->extent_count ||
            log->extents[low]->first_position >= log->durable_position) {
            return false;
        }
        low++;
    }
    extent = log->extents[low - 1];
    *found = extent->first_offset;
    *position = extent->first_position;
    if (extent->first_position < extent_end(extent) * BLOCK) {
        index_seek(log, extent, offset, found, position);
    }
    /* Below the first segment nothing is wanted, and holes there are known no more. */
    if (log->segment_count > 0 && *position < log->segments[0].position) {
        *found = log->segments[0].first_offset;
        *position = log->segments[0].position;
    }
    for (unsigned i = 0; i < HINTS; i++) {
        const struct log_hint *hint = &log->hints[i];

        if (hint->position > *position && hint->offset <= offset && hint->offset >= log->start &&
            hint->position < log->durable_position) {
            *found = hint->offset;
            *position = log_position_next(log, hint->position);
        }
    }
    return true;
}

/* The header of the batch at `position`. 0; -ENODATA: not in memory; -EBADMSG: no batch. */
static int
batch_header(const struct mr_log *log, uint64_t position, int64_t offset,
             struct mr_batch_header *header)
{
    uint8_t bytes[MR_BATCH_HEADER_SIZE];

    if (position + MR_BATCH_HEADER_SIZE > log->durable_position) {
        return -EBADMSG;
    }
    if (!cache_get(log, position, bytes, sizeof(bytes))) {
        return -ENODATA;
    }
    if (mr_batch_header_get(bytes, header) || header->magic != 2 || header->base_offset < offset ||
        header->last_offset_delta < 0 ||
        header->base_offset + header->last_offset_delta >= log->durable ||
        position + (uint64_t)header->size > log->durable_position) {
        return -EBADMSG;
    }
    return 0;
}

/* Gives slices over [from, end) to `state` with pins. The first position that is not in memory;
 * `end` where all is, or where the slices do not suffice. */
static uint64_t
slices_take(struct read_state *state, uint64_t from, uint64_t end)
{
    struct mr_log *log = state->read->log;
    uint32_t i = cache_index_after(log, from / BLOCK), first = i;
    uint64_t at = from;

    for (; at < end; i++) { /* first look, then pin */
        struct chunk *chunk = i < log->chunk_count ? log->chunks[i] : NULL;

        if (!chunk || chunk->loading || chunk->block * BLOCK > at || chunk->end <= at) {
            return at;
        }
        at = chunk->end;
    }
    if (i - first > READ_SLICES) {
        state->pins = malloc((i - first) * sizeof(*state->pins));
        state->iov = malloc((i - first) * sizeof(*state->iov));
        if (!state->pins || !state->iov) {
            free(state->pins);
            free(state->iov);
            state->pins = state->small_pins;
            state->iov = state->small_iov;
            return end; /* with no slices: the read fails */
        }
    }
    for (at = from, i = first; at < end; i++) {
        struct chunk *chunk = log->chunks[i];
        uint64_t stop = chunk->end < end ? chunk->end : end;

        state->pins[state->pin_count] = chunk;
        state->iov[state->pin_count++] = (struct iovec){
            .iov_base = chunk->data + (at - chunk->block * BLOCK), .iov_len = stop - at};
        cache_touch(chunk);
        cache_pin(chunk);
        log->store->stats.pinned_bytes += chunk->capacity;
        at = stop;
    }
    return end;
}

static void
slices_drop(struct mr_store *store, struct read_state *state)
{
    for (unsigned i = 0; i < state->pin_count; i++) {
        store->stats.pinned_bytes -= state->pins[i]->capacity;
        cache_unpin(store, state->pins[i]);
    }
    state->pin_count = 0;
    if (state->pins != state->small_pins) {
        free(state->pins);
        free(state->iov);
        state->pins = state->small_pins;
        state->iov = state->small_iov;
    }
}

static int
read_answer(struct read_state *state, enum mr_kafka_err error, uint32_t size)
{
    struct mr_read *read = state->read;

    if (error) {
        slices_drop(read->log->store, state);
        size = 0;
    }
    read->error = error;
    read->iov = state->iov;
    read->iov_count = state->pin_count;
    read->size = size;
    mr_log_offsets(read->log, &read->offsets);
    return 1;
}

/* Looks for the batch again, from the extent's index, once that is here. */
static bool
index_wait(struct read_state *state, struct extent *extent)
{
    struct mr_log *log = state->read->log;

    if (state->offset >= state->read->offset || !index_load(log, extent)) {
        return false;
    }
    state->wanted = extent->first_block * BLOCK;
    state->wanted_end = state->wanted + 1;
    state->generation = log->generation - 1;
    mr_list_push_back(&log->reads, &state->node);
    return true;
}

/* Sets and runs wait in the drive behind what is read there: while there are appends (one within
 * the last second) little is, however many read. */
static bool
loads_are_enough(const struct mr_store *store)
{
    return store->load_bytes >= (store->confirmed ? LOADS_MAX : LOADS_BESIDE);
}

/* Waits until the bytes are loaded. 0, or -EAGAIN where no memory is free or enough is being read.
 */
static int
read_wait(struct read_state *state, uint64_t position, uint64_t size)
{
    struct mr_log *log = state->read->log;
    struct chunk *chunk = cache_find(log, position / BLOCK);
    bool fresh = !chunk || !chunk->loading;
    int error;

    if (fresh && loads_are_enough(log->store)) {
        return -EAGAIN;
    }
    /* Each time it is loaded it may be evicted before the rest has come; not without end. */
    if (fresh && state->tries >= TRIES_MAX) {
        return read_answer(state, MR_KAFKA_KAFKA_STORAGE_ERROR, 0);
    }
    if (size < CHUNK_BYTES) {
        size = CHUNK_BYTES;
    }
    state->cold = true;
    state->wanted = position;
    state->wanted_end = position + size;
    error = read_load(log, position, size);
    if (error) {
        return error;
    }
    state->tries += fresh;
    mr_list_push_back(&log->reads, &state->node);
    return 0;
}

/* Whether bytes [at, end), as far as they are in memory, never were on the medium or have met their
 * CRCs since they were read from it. */
static bool
bytes_are_proved(const struct mr_log *log, uint64_t at, uint64_t end)
{
    for (uint32_t i = cache_index_after(log, at / BLOCK); at < end && i < log->chunk_count; i++) {
        const struct chunk *chunk = log->chunks[i];
        uint64_t begin = chunk->block * BLOCK, stop = chunk->end < end ? chunk->end : end;

        if (chunk->loaded && stop > begin && stop > at &&
            ((at > begin ? at : begin) - begin < chunk->proved ||
             stop - begin > chunk->proved_end)) {
            return false;
        }
        at = stop > at ? stop : at;
    }
    return true;
}

/* Bytes [from, end) of the chunk are proved. Reads go forward, so one range is enough. */
static void
chunk_prove(struct chunk *chunk, uint32_t from, uint32_t end)
{
    if (from > chunk->proved_end || end < chunk->proved || chunk->proved == chunk->proved_end) {
        chunk->proved = from;
        chunk->proved_end = end;
    } else {
        chunk->proved = from < chunk->proved ? from : chunk->proved;
        chunk->proved_end = end > chunk->proved_end ? end : chunk->proved_end;
    }
}

/* Whether the batch that lies in memory at `position` has the CRC that its header names. */
static bool
batch_prove(struct mr_log *log, uint64_t position, const struct mr_batch_header *header)
{
    uint64_t at = position + 21, end = position + (uint32_t)header->size;
    uint32_t crc = 0;

    for (uint32_t i = cache_index_after(log, at / BLOCK); at < end; i++) {
        struct chunk *chunk = log->chunks[i];
        uint64_t stop = chunk->end < end ? chunk->end : end;

        crc = mr_crc32c(crc, chunk->data + (at - chunk->block * BLOCK), stop - at);
        at = stop;
    }
    if (crc != header->crc) {
        return false;
    }
    at = position;
    for (uint32_t i = cache_index_after(log, at / BLOCK); at < end; i++) {
        struct chunk *chunk = log->chunks[i];
        uint64_t begin = chunk->block * BLOCK, stop = chunk->end < end ? chunk->end : end;

        chunk_prove(chunk, (uint32_t)(at - begin), (uint32_t)(stop - begin));
        at = stop;
    }
    return true;
}

/* The consecutive bytes from `position` on that consumers may see end here. */
static uint64_t
span_durable(const struct mr_log *log, uint64_t position)
{
    uint64_t end = log_span_end(log, position);

    return end < log->durable_position ? end : log->durable_position;
}

/* How far the batches from state->position on are in memory, bounded by what was asked for:
 * `end` behind the last whole one. */
static int
read_extent_of(struct read_state *state, uint64_t *end, int64_t *offset)
{
    struct mr_read *read = state->read;
    struct mr_log *log = read->log;
    uint64_t position = state->position;
    uint32_t first = cache_index_after(log, position / BLOCK);
    uint64_t span = span_durable(log, position);
    struct mr_batch_header header;

    *end = position;
    *offset = state->offset;
    while (position < span) {
        uint32_t last;
        int error = batch_header(log, position, *offset, &header);

        if (error) {
            return *end > state->position ? 0 : error;
        }
        if (position + (uint32_t)header.size - state->position > read->bytes_max &&
            (*end > state->position || !read->one_at_least)) {
            return 0;
        }
        last = cache_index_after(log, (position + (uint32_t)header.size - 1) / BLOCK);
        for (uint32_t i = cache_index_after(log, position / BLOCK); i <= last; i++) {
            const struct chunk *chunk = i < log->chunk_count ? log->chunks[i] : NULL;
            uint64_t at =
                i == first || position > chunk->block * BLOCK ? position : chunk->block * BLOCK;

            if (!chunk || chunk->loading || chunk->block * BLOCK > at ||
                (i < last &&
                 (i + 1 == log->chunk_count || log->chunks[i + 1]->block * BLOCK != chunk->end)) ||
                (i == last && chunk->end < position + (uint32_t)header.size)) {
                return *end > state->position ? 0 : -ENODATA;
            }
        }
        if (last - first + 1 > READ_SLICES && *end > state->position) {
            return 0;
        }
        if (!bytes_are_proved(log, position, position + (uint32_t)header.size) &&
            !batch_prove(log, position, &header)) {
            return *end > state->position ? 0 : -EBADMSG;
        }
        position += (uint32_t)header.size;
        *offset = header.base_offset + header.last_offset_delta + 1;
        *end = position;
    }
    return 0;
}

/* The batch with the wanted offset is found: collects it and those behind it. */
static int
read_collect(struct read_state *state)
{
    struct mr_read *read = state->read;
    struct mr_log *log = read->log;
    uint64_t span = span_durable(log, state->position), left = span - state->position, end;
    struct mr_batch_header header;
    struct log_hint *hint;
    int64_t offset;
    int error;

    if (!state->cold && left <= read->bytes_max && span == log->durable_position &&
        cache_index_after(log, (span - 1) / BLOCK) -
                cache_index_after(log, state->position / BLOCK) <
            READ_SLICES &&
        bytes_are_proved(log, state->position, span) &&
        slices_take(state, state->position, span) == span) {
        end = span;
        offset = log->durable;
    } else {
        error = read_extent_of(state, &end, &offset);
        if (error == -ENODATA) {
            uint64_t want = read->bytes_max < LOAD_BYTES_MAX ? read->bytes_max : LOAD_BYTES_MAX;

            if (batch_header(log, state->position, state->offset, &header) == 0 &&
                want < (uint32_t)header.size) {
                want = (uint32_t)header.size;
            }
            return read_wait(state, state->position, want);
        }
        if (error) {
            log->store->stats.read_errors++;
            return read_answer(state, MR_KAFKA_KAFKA_STORAGE_ERROR, 0);
        }
        if (end == state->position) {
            return read_answer(state, MR_KAFKA_NONE, 0); /* the first one is too large */
        }
        slices_take(state, state->position, end);
        if (state->pin_count == 0) {
            return read_answer(state, MR_KAFKA_KAFKA_STORAGE_ERROR, 0);
        }
    }
    hint = &log->hints[log->hint_next++ % HINTS];
    *hint = (struct log_hint){.offset = offset, .position = log_position_next(log, end)};
    log->store->stats.reads_hot += !state->cold;
    if (state->follows) {
        read_ahead(log, hint->position, end - state->position);
    }
    return read_answer(state, MR_KAFKA_NONE, (uint32_t)(end - state->position));
}

/* 1: answered; 0: waits for a load; -EAGAIN: no memory. */
static int
read_step(struct read_state *state)
{
    struct mr_read *read = state->read;
    struct mr_log *log = read->log;
    struct mr_batch_header header;

    if (log->buried || state->failed) {
        return read_answer(state, MR_KAFKA_KAFKA_STORAGE_ERROR, 0);
    }
    if (read->offset < log->start || read->offset > log->durable) {
        return read_answer(state, MR_KAFKA_OFFSET_OUT_OF_RANGE, 0);
    }
    if (read->offset == log->durable) {
        return read_answer(state, MR_KAFKA_NONE, 0);
    }
    /* What lay there lies elsewhere now, or is trimmed and its holes are known no more. */
    if (state->generation != log->generation ||
        (log->segment_count > 0 && state->position < log->segments[0].position)) {
        if (!locate(log, read->offset, &state->offset, &state->position)) {
            return read_answer(state, MR_KAFKA_NONE, 0);
        }
        state->generation = log->generation;
    }
    for (;;) {
        struct extent *extent = extent_find(log, state->position / BLOCK);
        int error;

        if (state->position >= log_bytes_end(log) ||
            state->position >= log->durable_position) { /* nothing but a gap of offsets is left */
            return read_answer(state, MR_KAFKA_NONE, 0);
        }
        error = batch_header(log, state->position, state->offset, &header);
        if (error == -ENODATA) {
            uint64_t want = read->bytes_max < LOAD_BYTES_MAX ? read->bytes_max : LOAD_BYTES_MAX;

            if (extent && index_wait(state, extent)) {
                return 0;
            }
            return read_wait(state, state->position, want);
        }
        if (error || !extent) {
            log->store->stats.read_errors++;
            return read_answer(state, MR_KAFKA_KAFKA_STORAGE_ERROR, 0);
        }
        if (state->cold) {
            index_note(log, extent, header.base_offset, state->position, header.max_timestamp);
        }
        if (header.base_offset + header.last_offset_delta >= read->offset) {
            break;
        }
        state->position = log_position_next(log, state->position + (uint32_t)header.size);
        state->offset = header.base_offset + header.last_offset_delta + 1;
        state->tries = 0;
    }
    return read_collect(state);
}

static struct read_state *
state_take(struct mr_store *store)
{
    struct mr_list *node = mr_list_pop_front(&store->reads_free);
    struct read_state *state;

    if (node) {
        state = MR_CONTAINER_OF(node, struct read_state, node);
    } else {
        if (store->read_count == READS_MAX) {
            return NULL;
        }
        state = malloc(sizeof(*state));
        if (!state) {
            return NULL;
        }
        store->read_count++;
        mr_list_init(&state->node);
        mr_list_init(&state->all);
        mr_list_push_back(&store->reads_all, &state->all);
    }
    state->pin_count = 0;
    state->pins = state->small_pins;
    state->iov = state->small_iov;
    state->cold = false;
    state->follows = false;
    state->failed = false;
    state->tries = 0;
    return state;
}

static void
state_give(struct mr_store *store, struct read_state *state)
{
    slices_drop(store, state);
    mr_list_remove(&state->node);
    mr_list_push_front(&store->reads_free, &state->node);
}

int
mr_log_read(struct mr_log *log, struct mr_read *read)
{
    struct mr_store *store = log->store;
    struct read_state *state = state_take(store);
    int result;

    read->log = log;
    read->state = state;
    mr_list_init(&read->node);
    if (!state) {
        store->room_wanted = true;
        return -EAGAIN;
    }
    state->read = read;
    if (read->offset < log->start || read->offset >= log->durable) {
        read_answer(state,
                    read->offset == log->durable ? MR_KAFKA_NONE : MR_KAFKA_OFFSET_OUT_OF_RANGE, 0);
        return 1;
    }
    if (!locate(log, read->offset, &state->offset, &state->position)) {
        read_answer(state, MR_KAFKA_NONE, 0);
        return 1;
    }
    state->generation = log->generation;
    for (unsigned i = 0; i < HINTS; i++) {
        state->follows = state->follows || log->hints[i].offset == read->offset;
    }
    result = read_step(state);
    if (result < 0) {
        state_give(store, state);
        read->state = NULL;
        store->room_wanted = true;
    } else if (result == 0) {
        log->busy++;
    }
    return result;
}

/* Looks again at the reads whose loads have come. */
void
read_run_ready(struct mr_store *store)
{
    struct mr_list later;
    struct mr_list *node;

    mr_list_init(&later);
    while (!store->closing && (node = mr_list_pop_front(&store->reads_ready))) {
        struct read_state *state = MR_CONTAINER_OF(node, struct read_state, node);
        struct mr_log *log = state->read->log;
        int result = read_step(state);

        if (result < 0) {
            mr_list_push_back(&later, node);
        } else if (result > 0) {
            state->read->done(state->read);
            log->busy--; /* only now may the log go */
            log_maybe_free(log);
        }
    }
    while ((node = mr_list_pop_front(&later))) {
        mr_list_push_back(&store->reads_ready, node);
    }
}

void
mr_log_read_release(struct mr_store *store, struct mr_read *read)
{
    if (read->state) {
        state_give(store, read->state);
        read->state = NULL;
        store_room(store);
    }
}

/* The device is gone: loads in flight call back no more. */
void
read_forget_loads(struct mr_store *store)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(&store->loads))) {
        struct load_io *load = MR_CONTAINER_OF(node, struct load_io, node);

        for (unsigned c = 0; c < load->count; c++) {
            load->chunks[c]->loading = false;
        }
        free(load);
    }
}

void
read_deinit(struct mr_store *store)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(&store->reads_all))) {
        struct read_state *state = MR_CONTAINER_OF(node, struct read_state, all);

        if (state->pins != state->small_pins) {
            free(state->pins);
            free(state->iov);
        }
        free(state);
    }
}
