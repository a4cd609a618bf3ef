/* storage/truncate.c: a replica cuts off what its leader does not have.
 *
 *   WAIT -> LOCATE -> (SCAN ->) READY -> decided
 *
 * WAIT until nothing of the log is in flight (appends get -EAGAIN meanwhile); LOCATE reads the
 * batch at the offset; SCAN reads backwards, an extent at a time, until the windows of every
 * producer that loses batches are known again; READY waits for the set that takes the record. The
 * record carries the windows, so that recovery reads no data. A trim on the way starts it over.
 *
 * The log goes on at a block that was never written: nothing in flight for what is cut off can meet
 * what comes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/internal.h"

#define SCAN_BYTES    262144u
#define PRODUCERS_MAX 4096u /* whose windows one truncation restores */

enum truncate_phase { PHASE_WAIT, PHASE_LOCATE, PHASE_SCAN, PHASE_READY, PHASE_QUEUED };

struct truncate_state {
    struct mr_list all; /* store->truncates */
    struct mr_log_truncate *request;
    struct mr_log *log;
    enum truncate_phase phase;
    uint32_t moves; /* of the log, when it was located */
    struct mr_read read;
    bool reading, answered;
    bool whole;
    int64_t end;       /* where the log will end */
    uint64_t position; /* and the bytes that it keeps */
    struct producer_cut *cuts;
    uint32_t cut_count, cut_wanted;
    uint32_t extent;     /* the piece that is read */
    int64_t next, limit; /* of it: what to read next, and its end */
    uint8_t *record;     /* the producers */
    struct log_move move;
};

static void
state_free(struct truncate_state *state)
{
    free(state->cuts);
    free(state->record);
    free(state);
}

void
truncate_deinit(struct mr_store *store)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(&store->truncates))) {
        state_free(MR_CONTAINER_OF(node, struct truncate_state, all));
    }
}

static void
state_finish(struct truncate_state *state, enum mr_kafka_err error)
{
    struct mr_log_truncate *request = state->request;
    struct mr_log *log = state->log;

    request->error = error;
    request->state = NULL;
    mr_list_remove(&state->all);
    mr_list_push_back(&log->store->truncates_done, &request->node);
    log->truncating = false;
    store_room(log->store);
    state_free(state);
    log->busy--;
    log_maybe_free(log);
}

int
mr_log_truncate(struct mr_log *log, struct mr_log_truncate *truncate)
{
    struct truncate_state *state = log->truncating ? NULL : calloc(1, sizeof(*state));

    if (!state) {
        return log_append_again(log);
    }
    truncate->log = log;
    truncate->state = state;
    mr_list_init(&truncate->node);
    state->request = truncate;
    state->log = log;
    log->truncating = true;
    log->busy++;
    mr_list_push_back(&log->store->truncates, &state->all);
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void
on_read(struct mr_read *read)
{
    MR_CONTAINER_OF(read, struct truncate_state, read)->answered = true;
}

/* Asks for batches from `offset` on. False: no read buffer is free. */
static bool
read_start(struct truncate_state *state, int64_t offset, uint32_t bytes)
{
    int got;

    memset(&state->read, 0, sizeof(state->read));
    state->read.done = on_read;
    state->read.offset = offset;
    state->read.bytes_max = bytes;
    state->read.one_at_least = true;
    state->answered = false;
    got = mr_log_read(state->log, &state->read);
    state->reading = got >= 0;
    state->answered = got == 1;
    return got >= 0;
}

static void
read_end(struct truncate_state *state)
{
    mr_log_read_release(state->log->store, &state->read);
    state->reading = false;
}

/* The headers of what was read, one after the other. False: the end. */
static bool
read_header(const struct mr_read *read, size_t at, struct mr_batch_header *header)
{
    uint8_t bytes[MR_BATCH_HEADER_SIZE];
    size_t have = 0;

    if (at + sizeof(bytes) > read->size) {
        return false;
    }
    for (unsigned i = 0; i < read->iov_count && have < sizeof(bytes); i++) {
        size_t size = read->iov[i].iov_len, n;

        if (at >= size) {
            at -= size;
            continue;
        }
        n = size - at < sizeof(bytes) - have ? size - at : sizeof(bytes) - have;
        memcpy(bytes + have, (const uint8_t *)read->iov[i].iov_base + at, n);
        have += n;
        at = 0;
    }
    return have == sizeof(bytes) && mr_batch_header_get(bytes, header) == 0;
}

/* ---- producers ------------------------------------------------------------------------------- */

/* Where the piece in front of `limit` begins: the extent before. False: nothing is in front. */
static bool
scan_piece(struct truncate_state *state)
{
    struct mr_log *log = state->log;

    while (state->extent > 0) {
        const struct extent *extent = log->extents[--state->extent];

        if (extent->first_position < state->position && extent->first_offset < state->limit) {
            state->next = extent->first_offset > log->start ? extent->first_offset : log->start;
            return state->next < state->limit;
        }
    }
    return false;
}

static void
cut_found(struct producer_cut *cut, const struct mr_batch_header *header)
{
    if (cut->found_count == MR_PRODUCER_WINDOW) {
        memmove(cut->found, cut->found + 1, (MR_PRODUCER_WINDOW - 1) * sizeof(cut->found[0]));
        cut->found_count--;
    }
    cut->found[cut->found_count++] = (struct mr_entry_window){
        .offset = header->base_offset,
        .first_sequence = header->base_sequence,
        .last_sequence =
            (int32_t)(((uint32_t)header->base_sequence + (uint32_t)header->last_offset_delta) &
                      0x7fffffffu),
        .epoch = header->producer_epoch,
    };
}

static void
scan_batches(struct truncate_state *state)
{
    struct mr_batch_header header;

    for (size_t at = 0; read_header(&state->read, at, &header); at += (uint32_t)header.size) {
        if (header.base_offset >= state->limit) {
            state->next = state->limit;
            return;
        }
        state->next = header.base_offset + header.last_offset_delta + 1;
        if (header.producer_id == MR_BATCH_NO_PRODUCER) {
            continue;
        }
        for (uint32_t i = 0; i < state->cut_count; i++) {
            struct producer_cut *cut = &state->cuts[i];

            if (cut->wanted && cut->id == header.producer_id &&
                (cut->count == 0 || header.base_offset < cut->windows[0].offset)) {
                cut_found(cut, &header);
                break;
            }
        }
    }
}

/* A piece was read to its end: what it had comes before what is known. */
static void
scan_merge(struct truncate_state *state, int64_t piece_begin)
{
    state->cut_wanted = 0;
    for (uint32_t i = 0; i < state->cut_count; i++) {
        struct producer_cut *cut = &state->cuts[i];
        uint32_t n = MR_PRODUCER_WINDOW - cut->count;

        n = n < cut->found_count ? n : cut->found_count;
        memmove(cut->windows + n, cut->windows, cut->count * sizeof(cut->windows[0]));
        memcpy(cut->windows, cut->found + (cut->found_count - n), n * sizeof(cut->windows[0]));
        cut->count += n;
        cut->found_count = 0;
        cut->wanted =
            cut->wanted && cut->count < MR_PRODUCER_WINDOW && cut->first_offset < piece_begin;
        state->cut_wanted += cut->wanted;
    }
}

/* A new epoch forgets the windows of the one before. */
static void
cut_one_epoch(struct producer_cut *cut)
{
    uint32_t drop = 0;

    while (drop < cut->count && cut->windows[drop].epoch != cut->windows[cut->count - 1].epoch) {
        drop++;
    }
    memmove(cut->windows, cut->windows + drop, (cut->count - drop) * sizeof(cut->windows[0]));
    cut->count -= drop;
}

/* ---- the record ------------------------------------------------------------------------------ */

static void
move_decided(struct log_move *move, int error)
{
    struct truncate_state *state = MR_CONTAINER_OF(move, struct truncate_state, move);

    if (error == -ESTALE) {
        state->phase = PHASE_WAIT;
        return;
    }
    if (error == 0) {
        state->request->offset = state->end;
        truncate_apply(state->log, &move->rec.u.truncate);
        log_moved(state->log);
    }
    state_finish(state, error == 0         ? MR_KAFKA_NONE
                        : error == -ENOENT ? MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                                           : MR_KAFKA_KAFKA_STORAGE_ERROR);
}

/* As many producers as fit into a quarter of a set; the others only keep what stays of theirs. */
static int
record_make(struct truncate_state *state)
{
    struct mr_log *log = state->log;
    struct mr_rec_truncate *rec = &state->move.rec.u.truncate;
    size_t max = log->store->set_bytes_max / 4;
    uint8_t *at;

    free(state->record);
    state->record = malloc(max);
    if (!state->record) {
        return -ENOMEM;
    }
    at = state->record;
    state->move = (struct log_move){
        .log = log,
        .moves = state->moves,
        .decided = move_decided,
        .rec = {.type = MR_REC_TRUNCATE, .log = log->number},
    };
    mr_list_init(&state->move.node);
    rec->end = state->end;
    rec->start = state->whole ? state->end : log->start;
    rec->position = state->position;
    rec->next_block = (log->end_position + BLOCK - 1) / BLOCK;
    if (MUTANT(TRUNCATE_REUSES_BLOCK)) {
        rec->next_block = (rec->position + BLOCK - 1) / BLOCK;
    }
    rec->producers = state->record;
    for (uint32_t i = 0; i < state->cut_count; i++) {
        struct producer_cut *cut = &state->cuts[i];
        uint32_t size;

        cut_one_epoch(cut);
        size = MR_ENTRY_PRODUCER_SIZE + cut->count * MR_ENTRY_WINDOW_SIZE;
        if ((size_t)(at - state->record) + size > max) {
            break;
        }
        mr_entry_producer_encode(cut->id, cut->count, cut->first_offset, at);
        at += MR_ENTRY_PRODUCER_SIZE;
        for (uint32_t w = 0; w < cut->count; w++) {
            mr_entry_window_encode(&cut->windows[w], at);
            at += MR_ENTRY_WINDOW_SIZE;
        }
        rec->producer_count++;
    }
    rec->producers_size = (uint32_t)(at - state->record);
    return 0;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static bool
log_is_quiet(const struct mr_log *log)
{
    const struct mr_store *store = log->store;

    if (!mr_list_empty(&log->fill_node) || !mr_list_empty(&log->fly_node)) {
        return false;
    }
    MR_LIST_FOR_EACH(node, &store->filling.trims)
    {
        if (MR_CONTAINER_OF(node, struct mr_log_trim, node)->log == log) {
            return false;
        }
    }
    MR_LIST_FOR_EACH(node, &store->flying.trims)
    {
        if (MR_CONTAINER_OF(node, struct mr_log_trim, node)->log == log) {
            return false;
        }
    }
    return true;
}

/* True: something was done, and there may be more. */
static bool
step_wait(struct truncate_state *state)
{
    struct mr_log_truncate *request = state->request;
    struct mr_log *log = state->log;

    if (!log_is_quiet(log)) {
        return false;
    }
    state->moves = log->moves;
    state->whole = request->all || request->offset <= log->start;
    state->cut_count = state->cut_wanted = 0;
    if (!state->whole && request->offset >= log->end) {
        request->offset = log->end;
        state_finish(state, MR_KAFKA_NONE);
    } else if (!log->created && request->offset == 0) {
        state_finish(state, MR_KAFKA_NONE);
    } else if (state->whole) {
        state->end = request->offset;
        state->position = log->first_block * BLOCK;
        state->phase = PHASE_READY;
    } else if (read_start(state, request->offset, 1)) {
        state->phase = PHASE_LOCATE;
    } else {
        return false;
    }
    return true;
}

static bool
step_locate(struct truncate_state *state)
{
    struct mr_log *log = state->log;
    struct mr_batch_header header;

    state->end = state->request->offset;
    state->position = log_bytes_end(log); /* behind the last batch there may be a gap of offsets */
    if (read_header(&state->read, 0, &header)) {
        state->position = ((struct read_state *)state->read.state)->position;
        state->end = header.base_offset < state->end ? header.base_offset : state->end;
    }
    read_end(state);
    free(state->cuts);
    state->cuts = malloc(PRODUCERS_MAX * sizeof(*state->cuts));
    if (!state->cuts) {
        state_finish(state, MR_KAFKA_KAFKA_STORAGE_ERROR);
        return true;
    }
    state->cut_count = producer_cuts(log, state->end, state->cuts, PRODUCERS_MAX);
    for (uint32_t i = 0; i < state->cut_count; i++) {
        state->cut_wanted += state->cuts[i].wanted;
    }
    state->extent = log->extent_count;
    state->limit = state->end;
    state->phase = state->cut_wanted > 0 && scan_piece(state) ? PHASE_SCAN : PHASE_READY;
    return true;
}

/* The piece [next, limit) is read on. */
static bool
step_scan(struct truncate_state *state)
{
    bool nothing = false;
    int64_t begin;

    if (state->reading) {
        nothing = state->read.size == 0;
        scan_batches(state);
        read_end(state);
    }
    if (!nothing && state->next < state->limit) {
        return read_start(state, state->next, SCAN_BYTES);
    }
    begin = state->log->extents[state->extent]->first_offset;
    scan_merge(state, begin);
    state->limit = begin;
    if (state->cut_wanted == 0 || !scan_piece(state)) {
        state->phase = PHASE_READY;
    }
    return true;
}

static bool
state_step(struct truncate_state *state)
{
    struct mr_log *log = state->log;
    bool failed = log->store->failed || log->failed || log->deleted;

    if (state->phase == PHASE_QUEUED || (state->reading && !state->answered)) {
        return false;
    }
    if (failed || (state->reading && state->read.error && state->moves == log->moves)) {
        if (state->reading) {
            read_end(state);
        }
        state_finish(state, log->deleted ? MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                                         : MR_KAFKA_KAFKA_STORAGE_ERROR);
        return false;
    }
    if (state->phase != PHASE_WAIT && state->moves != log->moves) {
        if (state->reading) {
            read_end(state);
        }
        state->phase = PHASE_WAIT;
    }
    switch (state->phase) {
    case PHASE_WAIT:
        return step_wait(state);
    case PHASE_LOCATE:
        return step_locate(state);
    case PHASE_SCAN:
        return step_scan(state);
    case PHASE_READY:
        if (!log_is_quiet(log) || record_make(state) || !move_queue(&state->move)) {
            return false;
        }
        state->phase = PHASE_QUEUED;
        return true;
    case PHASE_QUEUED:
        break;
    }
    return false;
}

/* One step of each truncation. */
bool
truncate_step(struct mr_store *store)
{
    bool did = false;

    MR_LIST_FOR_EACH(node, &store->truncates)
    {
        did |= state_step(MR_CONTAINER_OF(node, struct truncate_state, all));
    }
    return did;
}

/* ---- applying, in the running store and in replay -------------------------------------------- */

static void
extents_apply(struct mr_log *log, const struct mr_rec_truncate *rec)
{
    uint64_t from = (rec->position + BLOCK - 1) / BLOCK;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < log->extent_count; i++) {
        struct extent *extent = log->extents[i];

        if (extent->first_block >= from && extent_end(extent) <= rec->next_block) {
            extent_leave(log->store, extent);
        } else {
            log->extents[kept++] = extent;
        }
    }
    log->extent_count = kept;
    extent_forget_above(log, rec->position);
}

static void
producers_apply(struct mr_log *log, const struct mr_rec_truncate *rec)
{
    struct mr_entry_cursor cursor = {rec->producers, rec->producers + rec->producers_size};
    struct mr_entry_window windows[MR_PRODUCER_WINDOW];

    if (rec->start == rec->end) {
        producer_drop_log(log);
        return;
    }
    producer_cut(log, rec->end);
    for (uint32_t i = 0; i < rec->producer_count; i++) {
        int64_t id, first;
        uint32_t count;

        mr_entry_producer_next(&cursor, &id, &first, &count, windows);
        producer_replace(log, id, first, windows, count);
    }
}

void
truncate_apply(struct mr_log *log, const struct mr_rec_truncate *rec)
{
    cache_cut_above(log, rec->position);
    segment_cut(log, rec->position);
    extents_apply(log, rec);
    producers_apply(log, rec);
    while (log->epoch_count > 0 && log->epochs[log->epoch_count - 1].start >= rec->end) {
        log->epoch_count--;
    }
    log->start = rec->start;
    log->clean = log->clean < rec->end ? log->clean : rec->end;
    log->end = log->set_end = log->durable = rec->end;
    log->end_position = log->set_position = log->durable_position = rec->next_block * BLOCK;
    log->first_block = log->extent_count ? log->extents[0]->first_block : rec->next_block;
}
