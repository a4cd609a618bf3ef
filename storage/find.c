/* storage/find.c: look-ups by timestamp, built on reads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/internal.h"

#define FIND_BYTES 65536u

/* How far a search has come; owned by the find until it is answered. */
struct find_state {
    struct mr_list all; /* store->finds_all */
    struct mr_log_find *find;
    int64_t next;          /* offset to read on at */
    int64_t stop;          /* of the extent that is searched for its maximum */
    uint64_t extent_block; /* its first block */
    int64_t claimed;       /* largest maximum not searched yet */
    int64_t best_timestamp;
    int64_t best_offset;
    int32_t best_epoch;
};

void
find_deinit(struct mr_store *store)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(&store->finds_all))) {
        free(MR_CONTAINER_OF(node, struct find_state, all));
    }
}

static void
find_finish(struct find_state *state, enum mr_kafka_err error)
{
    struct mr_log_find *find = state->find;
    struct mr_log *log = find->log;

    find->error = error;
    find->offset = error ? -1 : state->best_offset;
    find->timestamp = find->offset < 0 ? -1 : state->best_timestamp;
    find->leader_epoch = find->offset < 0 ? -1 : state->best_epoch;
    mr_list_remove(&state->all);
    free(state);
    find->done(find);
    log->busy--; /* only now may the log go */
    log_maybe_free(log);
}

/* Looks at one record; those below the log's start are not shown. */
static int
record_look(void *context, const struct mr_record *record)
{
    struct find_state *state = context;
    const struct mr_log_find *find = state->find;
    bool time = find->kind == MR_LOG_FIND_TIME;

    if (record->offset < find->log->start ||
        (time ? record->timestamp < find->timestamp_ms
              : record->timestamp < state->best_timestamp ||
                    (record->timestamp == state->best_timestamp && state->best_offset >= 0 &&
                     record->offset > state->best_offset))) {
        return 0;
    }
    state->best_offset = record->offset;
    state->best_timestamp = record->timestamp;
    return time ? 1 : 0;
}

/* Looks into one whole batch. 0, -EBADMSG, -ENOMEM. */
static int
batch_search(struct find_state *state, const uint8_t *batch, const struct mr_batch_header *header)
{
    struct mr_store *store = state->find->log->store;
    int64_t before = state->best_offset;
    int error;

    if (!store->scratch) {
        store->scratch = mr_batch_scratch_create();
        if (!store->scratch) {
            return -ENOMEM;
        }
    }
    error = mr_batch_each(batch, (size_t)header->size, store->scratch, record_look, state);
    if (state->best_offset != before) {
        state->best_epoch = header->leader_epoch;
    }
    return error < 0 ? error : 0;
}

void
iov_copy(const struct iovec *iov, unsigned count, size_t at, uint8_t *out, size_t size)
{
    for (unsigned i = 0; i < count && size > 0; i++) {
        size_t n;

        if (at >= iov[i].iov_len) {
            at -= iov[i].iov_len;
            continue;
        }
        n = iov[i].iov_len - at < size ? iov[i].iov_len - at : size;
        memcpy(out, (const uint8_t *)iov[i].iov_base + at, n);
        out += n;
        size -= n;
        at = 0;
    }
}

/* Goes over the batches of one answer. 1: found; 0: go on behind them; -errno. */
static int
answer_search(struct find_state *state)
{
    struct mr_log_find *find = state->find;
    const struct mr_read *read = &find->read;
    size_t at = 0;

    while (at + MR_BATCH_HEADER_SIZE <= read->size) {
        uint8_t bytes[MR_BATCH_HEADER_SIZE];
        struct mr_batch_header header;
        bool time = find->kind == MR_LOG_FIND_TIME;
        int64_t wanted = time ? find->timestamp_ms : state->best_timestamp;
        uint8_t *batch;
        int error;

        iov_copy(read->iov, read->iov_count, at, bytes, sizeof(bytes));
        error = mr_batch_header_get(bytes, &header);
        if (error) {
            return error;
        }
        state->next = header.base_offset + header.last_offset_delta + 1;
        if (header.max_timestamp >= wanted) {
            batch = malloc((size_t)header.size);
            if (!batch) {
                return -ENOMEM;
            }
            iov_copy(read->iov, read->iov_count, at, batch, (size_t)header.size);
            error = batch_search(state, batch, &header);
            free(batch);
            if (error) {
                return error;
            }
            if (time && state->best_offset >= 0) {
                return 1;
            }
        }
        at += (size_t)header.size;
    }
    return 0;
}

/* The next extent whose claimed maximum reaches what was found. The claim may be too high, where
 * the batch was dropped or trimmed, so every such one is looked at, largest first. */
static bool
extent_choose(struct find_state *state)
{
    const struct mr_log *log = state->find->log;
    const struct extent *best = NULL;
    uint32_t at = 0;

    for (uint32_t i = 0; i < log->extent_count; i++) {
        const struct extent *extent = log->extents[i];

        if (extent->first_position >= log->durable_position ||
            extent->max_timestamp < state->best_timestamp ||
            extent->max_timestamp > state->claimed ||
            (extent->max_timestamp == state->claimed &&
             extent->first_block <= state->extent_block)) {
            continue;
        }
        if (!best || extent->max_timestamp > best->max_timestamp) {
            best = extent;
            at = i;
        }
    }
    if (!best) {
        return false;
    }
    state->claimed = best->max_timestamp;
    state->extent_block = best->first_block;
    state->next = best->first_offset < log->start ? log->start : best->first_offset;
    state->stop = log->durable;
    if (at + 1 < log->extent_count &&
        log->extents[at + 1]->first_position < log->durable_position) {
        state->stop = log->extents[at + 1]->first_offset;
    }
    return true;
}

static void find_run(struct find_state *state);

/* One answer is here. True: read on. */
static bool
find_take(struct find_state *state)
{
    struct mr_log_find *find = state->find;
    struct mr_log *log = find->log;
    enum mr_kafka_err error = find->read.error;
    int got = error ? 0 : answer_search(state);
    bool empty = find->read.size == 0;

    mr_log_read_release(log->store, &find->read);
    if (error || got < 0) {
        find_finish(state, error ? error : MR_KAFKA_KAFKA_STORAGE_ERROR);
        return false;
    }
    if (got > 0) {
        find_finish(state, MR_KAFKA_NONE);
        return false;
    }
    if (find->kind == MR_LOG_FIND_MAX_TIMESTAMP && (state->next >= state->stop || empty)) {
        if (!extent_choose(state)) {
            find_finish(state, MR_KAFKA_NONE);
            return false;
        }
        return true;
    }
    if (empty || state->next >= log->durable) {
        find_finish(state, MR_KAFKA_NONE);
        return false;
    }
    return true;
}

static void
find_read_done(struct mr_read *read)
{
    struct mr_log_find *find = MR_CONTAINER_OF(read, struct mr_log_find, read);

    if (find_take(find->state)) {
        find_run(find->state);
    }
}

/* Reads on until a read has to wait; without memory until there may be some. */
static void
find_run(struct find_state *state)
{
    struct mr_log_find *find = state->find;
    struct mr_log *log = find->log;
    int result;

    do {
        memset(&find->read, 0, sizeof(find->read));
        find->read.done = find_read_done;
        find->read.offset = state->next < log->start ? log->start : state->next;
        find->read.bytes_max = FIND_BYTES;
        find->read.one_at_least = true;
        result = mr_log_read(log, &find->read);
        if (result < 0) {
            mr_list_push_back(&log->store->finds_waiting, &find->node);
            return;
        }
    } while (result > 0 && find_take(state));
}

int
mr_log_find(struct mr_log *log, struct mr_log_find *find)
{
    struct find_state *state = calloc(1, sizeof(*state));
    struct mr_store *store = log->store;

    if (!state) {
        store->room_wanted = true;
        return -EAGAIN;
    }
    find->log = log;
    find->state = state;
    mr_list_init(&find->node);
    mr_list_push_back(&store->finds_all, &state->all);
    state->find = find;
    state->best_offset = -1;
    state->best_timestamp = INT64_MIN;
    state->next = -1;
    log->busy++;
    mr_list_push_back(&store->finds_ready, &find->node);
    return 0;
}

/* Where a search begins. False: there is nothing to search. */
static bool
find_begin(struct find_state *state)
{
    const struct mr_log_find *find = state->find;
    const struct mr_log *log = find->log;

    if (log->start == log->durable || log->buried) {
        return false;
    }
    if (find->kind == MR_LOG_FIND_MAX_TIMESTAMP) {
        state->claimed = INT64_MAX;
        return extent_choose(state);
    }
    for (uint32_t i = 0; i < log->extent_count; i++) {
        const struct extent *extent = log->extents[i];

        if (extent->first_position < log->durable_position &&
            extent->max_timestamp >= find->timestamp_ms) {
            state->next = extent->first_offset < log->start ? log->start : extent->first_offset;
            return true;
        }
    }
    return false;
}

void
find_wake(struct mr_store *store)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(&store->finds_waiting))) {
        mr_list_push_back(&store->finds_ready, node);
    }
}

bool
find_step(struct mr_store *store)
{
    struct mr_list ready;
    struct mr_list *node;
    bool did = false;

    mr_list_init(&ready);
    while ((node = mr_list_pop_front(&store->finds_ready))) {
        mr_list_push_back(&ready, node);
    }
    while ((node = mr_list_pop_front(&ready))) {
        struct find_state *state = MR_CONTAINER_OF(node, struct mr_log_find, node)->state;

        did = true;
        if (state->next < 0 && !find_begin(state)) {
            find_finish(state, MR_KAFKA_NONE);
        } else {
            find_run(state);
        }
    }
    return did;
}
