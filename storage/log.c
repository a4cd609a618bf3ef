/* storage/log.c: one partition's log: append, ends, trim, delete, watches. */
#include "storage/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/internal.h"

#define SEGMENTS_AT_ONCE 16u /* that one append may start */

/* ---- finding and making ---------------------------------------------------------------------- */

static uint32_t
hash_of(const struct mr_log_id *id)
{
    uint64_t a, b;

    memcpy(&a, id->topic_id.bytes, 8);
    memcpy(&b, id->topic_id.bytes + 8, 8);
    a = (a ^ b * 3) * 0x9e3779b97f4a7c15ull + (uint64_t)(uint32_t)id->partition * 0x85ebca6bull;
    return (uint32_t)(a >> 32 ^ a);
}

static struct mr_log **
hash_link(struct mr_store *store, const struct mr_log_id *id)
{
    struct mr_log **link = &store->hash[hash_of(id) & store->hash_mask];

    while (*link && ((*link)->id.partition != id->partition ||
                     !mr_uuid_equal(&(*link)->id.topic_id, &id->topic_id))) {
        link = &(*link)->hash_next;
    }
    return link;
}

struct mr_log *
mr_store_log_find(struct mr_store *store, const struct mr_log_id *id)
{
    return *hash_link(store, id);
}

struct mr_log *
log_by_number(struct mr_store *store, uint64_t number)
{
    struct mr_log *log = store->numbers[number & store->hash_mask];

    while (log && log->number != number) {
        log = log->number_next;
    }
    return log;
}

void
log_unnumber(struct mr_log *log)
{
    struct mr_log **link = &log->store->numbers[log->number & log->store->hash_mask];

    while (*link != log) {
        link = &(*link)->number_next;
    }
    *link = log->number_next;
}

/* The caller finds the log by its id no more. */
void
log_unhash(struct mr_log *log)
{
    struct mr_log **link = &log->store->hash[hash_of(&log->id) & log->store->hash_mask];

    while (*link != log) {
        link = &(*link)->hash_next;
    }
    *link = log->hash_next;
}

struct mr_log *
log_new(struct mr_store *store, const struct mr_log_id *id, uint64_t number)
{
    struct mr_log **link = hash_link(store, id);
    struct mr_log **number_link = &store->numbers[number & store->hash_mask];
    struct mr_log *log = calloc(1, sizeof(*log));

    if (!log) {
        return NULL;
    }
    log->store = store;
    log->id = *id;
    log->number = number;
    log->first_block = log->floor_block = MR_FORMAT_LOG_BLOCK;
    log->durable_position = log->set_position = log->end_position = log->first_block * BLOCK;
    log->horizon = INT64_MAX;
    log->rolled_ms = mr_clock_wall_ms(store->config.clock);
    mr_list_init(&log->node);
    mr_list_init(&log->fill_node);
    mr_list_init(&log->fly_node);
    mr_list_init(&log->fill_appends);
    mr_list_init(&log->fly_appends);
    mr_list_init(&log->producers);
    mr_list_init(&log->watches);
    mr_list_init(&log->reads);
    mr_list_init(&log->ck_node);
    mr_list_push_back(&store->logs, &log->node);
    log->hash_next = *link;
    *link = log;
    log->number_next = *number_link;
    *number_link = log;
    store->log_count++;
    return log;
}

struct mr_log *
mr_store_log_make(struct mr_store *store, const struct mr_log_id *id)
{
    struct mr_log *log = mr_store_log_find(store, id);

    if (!log && store->log_count < store->config.logs_max) {
        log = log_new(store, id, store->log_next);
        if (log) {
            store->log_next++;
        }
    }
    return log;
}

struct mr_log *
mr_store_log_next(struct mr_store *store, struct mr_log *log)
{
    struct mr_list *node = log ? log->node.next : store->logs.next;

    while (node != &store->logs) {
        log = MR_CONTAINER_OF(node, struct mr_log, node);
        if (!log->deleted) {
            return log;
        }
        node = node->next;
    }
    return NULL;
}

void
log_free(struct mr_log *log)
{
    mr_list_remove(&log->node);
    cache_drop_all(log);
    for (uint32_t i = 0; i < log->extent_count; i++) {
        index_drop(log->store, log->extents[i]);
        free(log->extents[i]);
    }
    free(log->extents);
    free(log->chunks);
    free(log->epochs);
    free(log->segments);
    free(log);
}

/* ---- what was appended ----------------------------------------------------------------------- */

/* Room for `count` more. */
int
log_epoch_reserve(struct mr_log *log, uint32_t count)
{
    uint32_t capacity = log->epoch_capacity ? log->epoch_capacity * 2 : 1;
    struct log_epoch *epochs;

    if (log->epoch_count + count <= log->epoch_capacity) {
        return 0;
    }
    capacity = capacity > log->epoch_count + count ? capacity : log->epoch_count + count;
    epochs = realloc(log->epochs, capacity * sizeof(*epochs));
    if (!epochs) {
        return -ENOMEM;
    }
    log->epochs = epochs;
    log->epoch_capacity = capacity;
    return 0;
}

int
log_epoch_note(struct mr_log *log, int32_t epoch, int64_t start)
{
    if (log->epoch_count > 0 && log->epochs[log->epoch_count - 1].epoch >= epoch) {
        return 0;
    }
    if (log_epoch_reserve(log, 1)) {
        return -ENOMEM;
    }
    log->epochs[log->epoch_count++] = (struct log_epoch){.epoch = epoch, .start = start};
    return 0;
}

/* Moves the appended end over one batch, in the running store and in replay. */
void
log_applied(struct mr_log *log, const struct mr_batch_header *header, int64_t base_offset,
            uint64_t position, bool starts)
{
    extent_note_batch(log, base_offset, position, (uint32_t)header->size, header->max_timestamp);
    log->end = base_offset + header->last_offset_delta + 1;
    log->end_position = position + (uint32_t)header->size;
    segment_note(log, base_offset, position, (uint32_t)header->size, header->max_timestamp, starts);
}

/* Writes the batch's bytes into reserved memory, with the header as it shall be stored. */
static void
append_copy(struct mr_log *log, const struct mr_append *append)
{
    uint8_t bytes[MR_BATCH_HEADER_SIZE];
    struct mr_batch_header header = append->batch.header;
    uint64_t position = log->end_position;
    size_t skip = MR_BATCH_HEADER_SIZE;
    uint32_t left = (uint32_t)header.size - MR_BATCH_HEADER_SIZE;
    struct chunk *chunk;

    header.base_offset = log->end;
    header.leader_epoch = append->leader_epoch;
    mr_batch_header_put(bytes, &header);
    cache_put(log, position, bytes, sizeof(bytes));
    chunk = cache_find(log, position / BLOCK);
    if (chunk->first_position == NO_POSITION) {
        chunk->first_position = position;
        chunk->first_offset = log->end;
    }
    position += sizeof(bytes);
    for (unsigned i = 0; i < append->batch.iov_count && left > 0; i++) {
        const uint8_t *from = append->batch.iov[i].iov_base;
        size_t n = append->batch.iov[i].iov_len;
        size_t less = n < skip ? n : skip;

        skip -= less;
        n = n - less < left ? n - less : left;
        cache_put(log, position, from + less, (uint32_t)n);
        position += n;
        left -= (uint32_t)n;
    }
    MR_ASSERT(left == 0);
}

int
log_append_again(struct mr_log *log)
{
    log->store->room_wanted = true;
    return -EAGAIN;
}

static int
append_refuse(struct mr_append *append, enum mr_kafka_err error)
{
    store_answer(append, error);
    return 0;
}

/* A batch that is known: answered when its original is durable. */
static int
append_duplicate(struct mr_append *append, int64_t original)
{
    struct mr_log *log = append->log;

    append->duplicate = true;
    append->base_offset = original;
    if (original < log->durable) {
        store_answer(append, MR_KAFKA_NONE);
    } else if (original < log->set_end) {
        mr_list_push_back(&log->fly_appends, &append->node);
    } else {
        mr_list_push_back(&log->fill_appends, &append->node);
    }
    return 0;
}

/* Loads the log's last block, which was evicted, so that it can be appended to. */
static void
append_load_tail(struct mr_log *log)
{
    uint64_t block = log->end_position / BLOCK;

    if (!log->tail_loading && read_load(log, block * BLOCK, BLOCK) == 0) {
        log->tail_loading = true;
    }
}

/* Takes memory, extents and segments for so many batches. 0, -EAGAIN, -ENOSPC; nothing visible is
 * changed then. cache_release() is owed after 0. */
int
log_reserve(struct mr_log *log, uint32_t batches, uint32_t size)
{
    unsigned added;
    int error;

    if (!journal_admits(log, batches, size)) {
        return -EAGAIN;
    }
    error = cache_reserve(log, size);
    if (error) {
        if (error == -ENODATA) {
            append_load_tail(log);
        }
        return -EAGAIN;
    }
    error = extent_reserve(log, log->end_position + size, &added);
    if (!error && added > 0 && !journal_admits(log, batches, size)) {
        error = -EAGAIN; /* the extents stay with the log; their records fit into the next set */
    }
    if (!error && segment_reserve(log, batches < SEGMENTS_AT_ONCE ? batches : SEGMENTS_AT_ONCE)) {
        error = -EAGAIN;
    }
    if (error) {
        cache_release(log, log->end_position, size);
    }
    return error == -ENOMEM ? -EAGAIN : error;
}

/* What log_reserve() takes, and what one batch of a client needs beside. */
static int
append_reserve(struct mr_log *log, const struct mr_batch_header *header)
{
    int error = log_reserve(log, 1, (uint32_t)header->size);

    if (!error &&
        (log_epoch_note(log, header->leader_epoch, log->end) ||
         (header->producer_id != MR_BATCH_NO_PRODUCER && !producer_note(log, header, log->end)))) {
        cache_release(log, log->end_position, (uint32_t)header->size);
        error = -EAGAIN;
    }
    return error;
}

/* Clears the answer; answers at once what can never be taken. */
bool
log_refuses(struct mr_log *log, struct mr_append *append, size_t size)
{
    struct mr_store *store = log->store;

    append->log = log;
    append->duplicate = false;
    append->base_offset = -1;
    append->append_time_ms = -1;
    append->log_start_offset = log->start;
    mr_list_init(&append->node);
    if (store->failed || log->failed || store->config.read_only) {
        store_answer(append, MR_KAFKA_KAFKA_STORAGE_ERROR);
        return true;
    }
    if (size > store->config.arena_bytes / 4) {
        store_answer(append, MR_KAFKA_MESSAGE_TOO_LARGE);
        return true;
    }
    return false;
}

/* There is no space. 0: answered; -EAGAIN: more is being prepared, or discarded. */
static int
append_full(struct mr_log *log, struct mr_append *append)
{
    struct mr_store *store = log->store;

    store->stats.full = true;
    return store->low_told || store->discard_blocks > 0
               ? log_append_again(log)
               : append_refuse(append, MR_KAFKA_KAFKA_STORAGE_ERROR);
}

/* What log_reserve() has said, as the caller of an append is told. */
int
log_not_reserved(struct mr_log *log, struct mr_append *append, int error)
{
    return error == -ENOSPC ? append_full(log, append) : log_append_again(log);
}

/* Its batches are in memory and applied: the next set takes them. */
void
log_taken(struct mr_log *log, struct mr_append *append, uint32_t batches, uint32_t size)
{
    mr_list_push_back(&log->fill_appends, &append->node);
    log->fill_batches += batches;
    journal_join(log, size);
    runs_early(log);
    log->store->stats.appends += batches;
    log->store->stats.append_bytes += size;
}

int
mr_log_append(struct mr_log *log, struct mr_append *append)
{
    struct mr_batch_header header = append->batch.header;
    enum mr_kafka_err refusal = MR_KAFKA_NONE;
    int64_t original = -1;
    uint64_t position = log->end_position;
    int error;

    header.leader_epoch = append->leader_epoch;
    append->replica = false;
    if (log_refuses(log, append, (size_t)header.size)) {
        return 0;
    }
    if (log->truncating) {
        return log_append_again(log);
    }
    if (header.producer_id != MR_BATCH_NO_PRODUCER) {
        switch (producer_check(log, &header, &original, &refusal)) {
        case PRODUCER_DUPLICATE:
            return append_duplicate(append, original);
        case PRODUCER_REFUSED:
            return append_refuse(append, refusal);
        case PRODUCER_FULL:
            return log_append_again(log);
        case PRODUCER_NEW:
            break;
        }
    }
    error = append_reserve(log, &header);
    if (error) {
        return log_not_reserved(log, append, error);
    }
    append->base_offset = log->end;
    if (header.attributes & MR_BATCH_ATTR_APPEND_TIME) {
        append->append_time_ms = header.max_timestamp;
    }
    append_copy(log, append);
    cache_release(log, position, (uint32_t)header.size);
    log_applied(log, &header, log->end, position,
                segment_rolls(log, (uint32_t)header.size, header.max_timestamp,
                              append->segment_bytes, append->segment_ms));
    log_taken(log, append, 1, (uint32_t)header.size);
    return 0;
}

/* ---- ends ------------------------------------------------------------------------------------ */

/* Bytes that consumers can read, about: the first segment counts from the extent of the log start.
 */
static uint64_t
log_size(const struct mr_log *log)
{
    uint64_t size = 0, start = 0;

    for (uint32_t i = 0; i < log->extent_count && log->extents[i]->first_offset <= log->start &&
                         log->extents[i]->first_position < log->durable_position;
         i++) {
        start = log->extents[i]->first_position;
    }
    if (log->segment_count > 0) {
        const struct log_segment *first = &log->segments[0];
        const struct log_segment *last = &log->segments[log->segment_count - 1];
        uint64_t end = last->end < log->durable_position ? last->end : log->durable_position;

        size = log->closed_bytes + (end > last->position ? end - last->position : 0);
        if (first->position < start && start < first->end) {
            size -= start - first->position < size ? start - first->position : size;
        }
    }
    return size;
}

void
mr_log_offsets(const struct mr_log *log, struct mr_log_offsets *out)
{
    out->start = log->start;
    out->high_watermark = log->durable;
    out->end = log->end;
    out->size_bytes = log->start < log->durable ? log_size(log) : 0;
    out->leader_epoch = log->epoch_count ? log->epochs[log->epoch_count - 1].epoch : -1;
    out->failed = log->failed || log->store->failed;
}

const struct mr_log_id *
mr_log_id(const struct mr_log *log)
{
    return &log->id;
}

int
mr_log_epoch_end(const struct mr_log *log, int32_t epoch, int32_t *epoch_out, int64_t *offset_out)
{
    for (uint32_t i = log->epoch_count; i-- > 0;) {
        if (log->epochs[i].epoch <= epoch && log->epochs[i].start < log->durable) {
            *epoch_out = log->epochs[i].epoch;
            *offset_out = i + 1 < log->epoch_count && log->epochs[i + 1].start < log->durable
                              ? log->epochs[i + 1].start
                              : log->durable;
            return 0;
        }
    }
    return -ENOENT;
}

/* ---- durable, failed ------------------------------------------------------------------------- */

static void
watches_fire(struct mr_log *log, bool all)
{
    MR_LIST_FOR_EACH(node, &log->watches)
    {
        struct mr_log_watch *watch = MR_CONTAINER_OF(node, struct mr_log_watch, node);

        if (all || watch->position <= log->durable_position) {
            mr_list_remove(node);
            mr_list_push_back(&log->store->fired, node);
        }
    }
}

/* Everything that is in a set is durable. */
void
log_durable(struct mr_log *log)
{
    uint64_t from = log->durable_position;

    log->durable = log->set_end;
    log->durable_position = log->set_position;
    MR_LIST_FOR_EACH(node, &log->fly_appends)
    {
        struct mr_append *append = MR_CONTAINER_OF(node, struct mr_append, node);

        if (append->replica) {
            replica_durable(append);
        } else if (!append->duplicate && append->batch.header.producer_id != MR_BATCH_NO_PRODUCER) {
            producer_durable(log, append->batch.header.producer_id);
        }
    }
    for (uint32_t i = cache_index_after(log, from / BLOCK);
         i < log->chunk_count && log->chunks[i]->block * BLOCK < log->durable_position; i++) {
        cache_settle(log->chunks[i]);
    }
    for (uint32_t i = log->extent_count; i-- > 0 && extent_end(log->extents[i]) * BLOCK > from;) {
        if (extent_end(log->extents[i]) * BLOCK <= log->durable_position) {
            index_write(log, log->extents[i]); /* it is full */
        }
    }
    if (log->durable_position > from) {
        watches_fire(log, false);
    }
}

/* The group's runs of this log failed: nothing behind the durable end ever was. */
static void
log_rollback(struct mr_log *log)
{
    while (!mr_list_empty(&log->fill_appends)) {
        struct mr_list *node = mr_list_pop_front(&log->fill_appends);

        store_answer(MR_CONTAINER_OF(node, struct mr_append, node), MR_KAFKA_KAFKA_STORAGE_ERROR);
    }
    log->store->stats.early_undone += log->early != 0;
    journal_leave(log);
    log->end = log->set_end = log->durable;
    log->end_position = log->set_position = log->durable_position;
    cache_cut_above(log, log->durable_position);
    extent_forget_above(log, log->durable_position);
    segment_cut(log, log->durable_position);
    extent_undo(log);
    producer_rollback(log);
    while (log->epoch_count > 0 && log->epochs[log->epoch_count - 1].start >= log->durable) {
        log->epoch_count--;
    }
    memset(log->hints, 0, sizeof(log->hints));
}

/* Bytes lie elsewhere than they did: who reads finds his place again. */
void
log_moved(struct mr_log *log)
{
    log->generation++;
    memset(log->hints, 0, sizeof(log->hints));
    watches_fire(log, true);
    store_room(log->store);
}

/* Sticky until the next open. What was accepted before goes on where it can. */
void
log_fail(struct mr_log *log)
{
    if (!log->failed) {
        log->failed = true;
        checkpoint_log_failed(log);
        watches_fire(log, true);
    }
}

/* The group's runs of this log failed, and all writes of the group have ended. */
void
log_void(struct mr_log *log)
{
    log_rollback(log);
    log_fail(log);
}

/* ---- watches --------------------------------------------------------------------------------- */

void
mr_log_watch_add(struct mr_log *log, struct mr_log_watch *watch, uint64_t bytes)
{
    watch->bytes = bytes;
    watch->position = log->durable_position + bytes;
    mr_list_push_back(bytes == 0 || log->failed || log->store->failed ? &log->store->fired
                                                                      : &log->watches,
                      &watch->node);
}

void
mr_log_watch_remove(struct mr_log_watch *watch)
{
    mr_list_remove(&watch->node);
}

/* ---- trim, delete ---------------------------------------------------------------------------- */

void
mr_log_trim(struct mr_log *log, struct mr_log_trim *trim)
{
    struct mr_store *store = log->store;

    trim->log = log;
    trim->error = MR_KAFKA_NONE;
    mr_list_init(&trim->node);
    if (trim->offset > log->durable) {
        trim->error = MR_KAFKA_OFFSET_OUT_OF_RANGE;
    } else if (store->failed || store->config.read_only) {
        trim->error = MR_KAFKA_KAFKA_STORAGE_ERROR;
    } else if (trim->offset > log->start) {
        mr_list_push_back(&store->filling.trims, &trim->node);
        return;
    }
    mr_list_push_back(&store->trims_done, &trim->node);
}

void
log_maybe_free(struct mr_log *log)
{
    if (log->buried && log->busy == 0) {
        log_free(log);
    }
}

/* The log's end is durable, or it never began: nothing of it is left but what is still busy. */
void
log_bury(struct mr_log *log)
{
    struct mr_store *store = log->store;

    MR_ASSERT(mr_list_empty(&log->fly_node) && mr_list_empty(&log->fill_node));
    checkpoint_log_gone(log);
    log_unnumber(log);
    mr_list_remove(&log->node);
    cache_drop_all(log);
    extent_release_all(log);
    producer_drop_log(log);
    log->buried = true;
    mr_list_push_back(&store->buried, &log->node);
    store->log_count--;
    store_room(store);
    log_maybe_free(log);
}

void
mr_store_log_delete(struct mr_store *store, const struct mr_log_id *id,
                    struct mr_log_delete *request)
{
    struct mr_log *log = mr_store_log_find(store, id);

    request->error = MR_KAFKA_NONE;
    request->log = log;
    mr_list_init(&request->node);
    if (!log || store->failed || store->config.read_only) {
        request->error = log ? MR_KAFKA_KAFKA_STORAGE_ERROR : MR_KAFKA_NONE;
        mr_list_push_back(&store->deletes_done, &request->node);
        return;
    }
    log_unhash(log);
    log->deleted = true;
    watches_fire(log, true);
    while (!mr_list_empty(&log->fill_appends)) {
        struct mr_list *node = mr_list_pop_front(&log->fill_appends);

        store_answer(MR_CONTAINER_OF(node, struct mr_append, node),
                     MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    }
    journal_leave(log);
    MR_LIST_FOR_EACH(node, &store->filling.trims)
    {
        struct mr_log_trim *trim = MR_CONTAINER_OF(node, struct mr_log_trim, node);

        if (trim->log == log) {
            trim->error = MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
            mr_list_remove(node);
            mr_list_push_back(&store->trims_done, node);
        }
    }
    moves_drop(store, &store->filling.moves, log, -ENOENT);
    if (log->created) {
        mr_list_push_back(&store->filling.deletes, &request->node);
    } else {
        extent_undo(log);
        log_bury(log);
        mr_list_push_back(&store->deletes_done, &request->node);
    }
}
