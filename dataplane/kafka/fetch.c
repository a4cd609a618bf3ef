/* kafka/fetch.c: Fetch (key 1); its sessions are fetch_session.c's.
 *
 *            credits                all parts replied, enough bytes or a reason to answer
 *   START ----------> READING ----------------------------------------------------> ANSWERING
 *                      ^   |  too few bytes                                            | sent
 *          unparked    |   v                                                           v
 *        WAKING <------ PARKED                                                     RELEASING
 *               data, max_wait, or the connection has gone
 *
 * READING: every owner reads its items; recent records come as slices of the owner's memory, which
 * stay pinned there until this side releases them. PARKED: every owner watches its items for new
 * durable bytes; nobody holds a credit but the watch's. WAKING: the watches are being cancelled;
 * a part is read again only when its owner has let go of it. */
#include <errno.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/kafka/api.h"
#include "dataplane/kafka/conn.h"
#include "dataplane/kafka/fetch_session.h"
#include "dataplane/kafka/part.h"
#include "dataplane/kafka/throttle.h"
#include "dataplane/kafka/topic_stats.h"
#include "dataplane/kafka/topics.h"
#include "dataplane/shard/timer.h"
#include "storage/log.h"

#define VERSION_TOPIC_ID 13
#define READ_COMMITTED   1
#define STARVED_RETRY_NS MR_NS_PER_MS

#define FETCH_CREDITS    ((1u << MR_MESH_REQUEST) | (1u << MR_MESH_RELEASE))

enum fetch_state {
    FETCH_START,
    FETCH_READING,
    FETCH_PARKED,
    FETCH_WAKING,
    FETCH_ANSWERING,
    FETCH_RELEASING,
};

/* One partition of the request; lent to its owner with the part. */
struct fetch_item {
    struct mr_part_item base;
    struct mr_read read;
    struct mr_log_watch watch;
    struct mr_store *store; /* the owner's; set while the read is unreleased */
    int64_t offset;
    int32_t bytes_max;
    int32_t last_fetched_epoch;
    int32_t leader_epoch;
    bool topic_by_id;
    bool diverged;
    int32_t diverging_epoch;
    int64_t diverging_offset;
    enum mr_kafka_err error;
    bool with_records; /* they are in the answer */
    struct mr_fetch_response_partition *response;
};

struct fetch {
    struct mr_split split;
    const struct mr_fetch_request *body; /* what is fetched: a session's, or the request's own */
    struct mr_fetch_use session;
    enum fetch_state state;
    struct mr_fetch_response response;
    uint64_t deadline_ns;
    uint32_t min_bytes;
    uint32_t max_bytes;
    bool last_round; /* max_wait has passed: answer with what there is */
    bool answer_now; /* an error, or nothing to wait for */
    bool aborted;
    uint32_t parks; /* how often it has been parked */
    struct mr_timer timer;
};

static void read_round(struct fetch *fetch);

static void
set_state(struct fetch *fetch, enum fetch_state state)
{
    static const uint8_t allowed[] = {
        [FETCH_START] = 1u << FETCH_READING | 1u << FETCH_ANSWERING,
        [FETCH_READING] = 1u << FETCH_PARKED | 1u << FETCH_ANSWERING,
        [FETCH_PARKED] = 1u << FETCH_WAKING,
        [FETCH_WAKING] = 1u << FETCH_READING | 1u << FETCH_ANSWERING,
        [FETCH_ANSWERING] = 1u << FETCH_RELEASING,
    };

    MR_ASSERT(allowed[fetch->state] & (1u << state));
    fetch->state = state;
}

/* ---- on the owner: reading ------------------------------------------------------------------- */

static void
release_items(struct mr_part *part)
{
    for (unsigned i = 0; i < part->count; i++) {
        struct fetch_item *item = part->items[i];

        if (item->store) {
            mr_log_read_release(item->store, &item->read);
            item->store = NULL;
        }
    }
}

static void
part_check_done(struct mr_part *part)
{
    if (part->next < part->count || part->pending > 0) {
        return;
    }
    if (part->size == 0) {
        release_items(part); /* nothing is pinned: no release message is needed */
    }
    mr_part_check_done(part, MR_MSG_FETCH_REPLY, mr_fetch_replied);
}

static void
item_answered(struct fetch_item *item)
{
    item->error = item->read.error;
    item->base.part->size += item->read.size;
    item->base.part->any |= item->read.size > 0;
}

static void
on_read(struct mr_read *read)
{
    struct fetch_item *item = MR_CONTAINER_OF(read, struct fetch_item, read);

    item_answered(item);
    item->base.part->pending--;
    part_check_done(item->base.part);
}

static void
refuse_item(struct fetch_item *item, enum mr_kafka_err error)
{
    item->read.size = 0;
    item->read.iov_count = 0;
    item->read.offsets = (struct mr_log_offsets){-1, -1, -1, 0, -1, false};
    item->error = error;
}

/* KIP-320: a reader whose last batch has an epoch that ended earlier has diverged; one that knows a
 * later epoch than the leader's is out of range. The leader's epoch counts before it has a batch,
 * and before there is a log. True: the item is answered. */
static bool
judge_epoch(const struct mr_log *log, struct fetch_item *item)
{
    struct mr_log_offsets offsets = {.leader_epoch = -1};

    item->diverged = false;
    if (item->last_fetched_epoch < 0) {
        return false;
    }
    if (item->last_fetched_epoch > item->leader_epoch) {
        refuse_item(item, MR_KAFKA_OFFSET_OUT_OF_RANGE);
        return true;
    }
    if (log) {
        mr_log_offsets(log, &offsets);
    }
    if (item->last_fetched_epoch == item->leader_epoch) {
        item->diverging_epoch = item->leader_epoch;
        item->diverging_offset = offsets.high_watermark;
    } else if (!log || mr_log_epoch_end(log, item->last_fetched_epoch, &item->diverging_epoch,
                                        &item->diverging_offset) != 0) {
        return false;
    }
    item->diverged =
        !offsets.failed && item->offset >= offsets.start &&
        (item->diverging_epoch < item->last_fetched_epoch || item->diverging_offset < item->offset);
    if (item->diverged) {
        refuse_item(item, MR_KAFKA_NONE);
        item->read.offsets = offsets;
    }
    return item->diverged;
}

/* A partition that nobody has produced to has no log yet. */
static void
answer_empty(struct fetch_item *item)
{
    item->read.size = 0;
    item->read.iov_count = 0;
    item->read.offsets = (struct mr_log_offsets){.leader_epoch = -1};
    item->read.error = item->offset == 0 ? MR_KAFKA_NONE : MR_KAFKA_OFFSET_OUT_OF_RANGE;
    item_answered(item);
}

/* -EAGAIN: no read buffer is free. */
static int
run_item(struct mr_server *owner, struct mr_part *part, struct fetch_item *item)
{
    struct mr_store *store = mr_topic_store(owner, &item->base.id, NULL);
    struct mr_log *log = store ? mr_store_log_find(store, &item->base.id) : NULL;
    int result;

    if (!store) {
        refuse_item(item, item->topic_by_id ? MR_KAFKA_UNKNOWN_TOPIC_ID
                                            : MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
        return 0;
    }
    if (judge_epoch(log, item)) {
        return 0;
    }
    if (!log) {
        answer_empty(item);
        return 0;
    }
    item->read.offset = item->offset;
    item->read.bytes_max =
        (uint32_t)item->bytes_max < part->bytes_left ? (uint32_t)item->bytes_max : part->bytes_left;
    item->read.one_at_least = !part->any;
    item->read.done = on_read;
    result = mr_log_read(log, &item->read);
    if (result == -EAGAIN) {
        return result;
    }
    item->store = store;
    if (result == 1) {
        item_answered(item);
        part->bytes_left -= item->read.size < part->bytes_left ? item->read.size : part->bytes_left;
    } else {
        part->pending++;
        part->any = true; /* a read from the medium brings records */
        part->bytes_left -= item->read.bytes_max;
    }
    return 0;
}

void
mr_fetch_run(struct mr_server *owner, struct mr_part *part, unsigned from)
{
    if (!part->waited) {
        part->owner = owner;
        part->from = (uint16_t)from;
        part->next = 0;
        part->pending = 0;
        part->size = 0;
        part->any = false;
        part->bytes_left = part->bytes_max;
    }
    while (part->next < part->count) {
        if (run_item(owner, part, part->items[part->next]) == -EAGAIN) {
            mr_part_wait(part, &owner->reads_waiting);
            return;
        }
        part->next++;
    }
    part->waited = false;
    part_check_done(part);
}

void
mr_fetch_release_run(struct mr_server *owner, struct mr_part *part, unsigned from)
{
    release_items(part);
    mr_part_reply(owner, part, from, MR_MSG_FETCH_RELEASED);
}

/* ---- on the owner: watching ------------------------------------------------------------------ */

static void
stop_watching(struct mr_part *part)
{
    for (unsigned i = 0; i < part->count; i++) {
        mr_log_watch_remove(&((struct fetch_item *)part->items[i])->watch);
    }
}

static void
fire(struct mr_part *part)
{
    if (part->fired) {
        return;
    }
    part->fired = true;
    stop_watching(part);
    if (part->remote) {
        mr_part_reply(part->owner, part, part->from, MR_MSG_WATCH_FIRED);
    } else {
        mr_fetch_watch_fired(part);
    }
}

static void
on_watch(struct mr_log_watch *watch)
{
    fire(MR_CONTAINER_OF(watch, struct fetch_item, watch)->base.part);
}

/* Returns false where there is something to see already. */
static bool
watch_item(struct mr_server *owner, struct mr_part *part, struct fetch_item *item)
{
    struct mr_store *store = mr_topic_store(owner, &item->base.id, NULL);
    struct mr_log *log = store ? mr_store_log_make(store, &item->base.id) : NULL;
    struct mr_log_offsets offsets;

    if (!log) {
        return !store; /* no memory for a log: max_wait ends the wait; a deleted topic shows now */
    }
    mr_log_offsets(log, &offsets);
    if (offsets.high_watermark != item->read.offsets.high_watermark) {
        return false;
    }
    item->watch.fired = on_watch;
    mr_log_watch_add(log, &item->watch, part->watch_bytes);
    return true;
}

void
mr_fetch_watch_run(struct mr_server *owner, struct mr_part *part, unsigned from)
{
    bool quiet = true;

    part->owner = owner;
    part->from = (uint16_t)from;
    part->fired = false;
    for (unsigned i = 0; i < part->count && quiet; i++) {
        quiet = watch_item(owner, part, part->items[i]);
    }
    if (!quiet) {
        fire(part);
    }
}

void
mr_fetch_watch_cancel_run(struct mr_server *owner, struct mr_part *part, unsigned from)
{
    part->fired = true;
    stop_watching(part);
    mr_part_reply(owner, part, from, MR_MSG_WATCH_CANCELLED);
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void
fill_partition(const struct mr_request *request, struct fetch_item *item, bool with_records)
{
    const struct mr_fetch_request *body = request->body;
    struct mr_fetch_response_partition *out = item->response;
    bool failed = item->error != MR_KAFKA_NONE; /* Kafka tells no offsets then */

    out->error_code = (int16_t)item->error;
    out->high_watermark = failed ? -1 : item->read.offsets.high_watermark;
    out->last_stable_offset = out->high_watermark; /* no transactions yet */
    out->log_start_offset = failed ? -1 : item->read.offsets.start;
    out->aborted_transactions_count = body->isolation_level == READ_COMMITTED ? 0 : -1;
    if (item->error == MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION ||
        item->error == MR_KAFKA_UNKNOWN_TOPIC_ID) {
        out->aborted_transactions_count = 0;
    }
    if (item->diverged && item->error == MR_KAFKA_NONE) {
        out->diverging_epoch.epoch = item->diverging_epoch;
        out->diverging_epoch.end_offset = item->diverging_offset;
    }
    if (with_records) {
        out->records.iov = item->read.iov;
        out->records.iov_count = item->read.iov_count;
        out->records.size = (int32_t)item->read.size;
    }
}

static void
release_parts(struct fetch *fetch)
{
    struct mr_request *request = fetch->split.request;

    for (unsigned i = 0; i < fetch->split.part_count; i++) {
        struct mr_part *part = &fetch->split.parts[i];

        if (!part->pinned) {
            continue;
        }
        part->pinned = false;
        if (part->remote) {
            request->holds++;
            mr_part_send(request->server, part, MR_MSG_FETCH_RELEASE);
        } else {
            release_items(part);
        }
    }
}

static void
on_release(struct mr_request *request)
{
    struct fetch *fetch = request->state_of_handler;

    set_state(fetch, FETCH_RELEASING);
    release_parts(fetch);
    if (request->holds == 0) {
        mr_request_free(request);
    }
}

void
mr_fetch_released(struct mr_part *part)
{
    struct mr_request *request = part->request;
    struct fetch *fetch = request->state_of_handler;

    request->holds--;
    if (fetch->state == FETCH_RELEASING && request->holds == 0) {
        mr_request_free(request);
    }
}

static void
count_item(struct mr_server *server, const struct fetch_item *item)
{
    server->stats.fetch_bytes += item->read.size;
    mr_topic_stats_at(server->topic_stats, &item->base.id.topic_id, server->snapshot)->bytes_out +=
        item->read.size;
}

/* Limits bind over all partitions in the order of the request; the first records go whole. Returns
 * how many bytes of records the answer has. */
static uint64_t
fill_partitions(struct fetch *fetch)
{
    struct fetch_item *items = fetch->split.items;
    uint32_t left = fetch->max_bytes;
    uint64_t bytes = 0;

    for (unsigned i = 0; i < fetch->split.item_count; i++) {
        struct fetch_item *item = &items[i];

        item->with_records = item->read.size > 0 && !fetch->aborted &&
                             item->error == MR_KAFKA_NONE &&
                             (bytes == 0 || item->read.size <= left);
        fill_partition(fetch->split.request, item, item->with_records);
        if (item->with_records) {
            bytes += item->read.size;
            left -= item->read.size < left ? item->read.size : left;
        }
    }
    return bytes;
}

/* As in Kafka, a client over its quota is told of no partition, and gets no session. */
static void
answer_throttled(struct fetch *fetch)
{
    fetch->response.responses_count = 0;
    fetch->response.session_id = fetch->session.incremental ? fetch->session.id : 0;
    mr_request_answer(fetch->split.request, &fetch->response);
}

static void
answer(struct fetch *fetch)
{
    struct mr_request *request = fetch->split.request;
    const struct fetch_item *items = fetch->split.items;
    uint64_t bytes;

    set_state(fetch, FETCH_ANSWERING);
    request->on_release = on_release;
    bytes = fill_partitions(fetch);
    if (mr_throttle_fetch(request, bytes) && !fetch->response.error_code) {
        answer_throttled(fetch);
        return;
    }
    for (unsigned i = 0; i < fetch->split.item_count; i++) {
        if (items[i].with_records) {
            count_item(request->server, &items[i]);
        }
    }
    if (!fetch->response.error_code) {
        mr_fetch_session_end(request->server->fetch_sessions, &fetch->session, request, fetch->body,
                             &fetch->response);
    }
    mr_request_answer(request, &fetch->response);
}

/* ---- waiting for data ------------------------------------------------------------------------ */

static void
wake_if_quiet(struct fetch *fetch)
{
    if (fetch->split.parts_left > 0) {
        return;
    }
    if (fetch->aborted) {
        answer(fetch);
    } else {
        set_state(fetch, FETCH_READING);
        read_round(fetch);
    }
}

/* Ends the wait: every owner lets go of its part first. */
static void
wake(struct fetch *fetch)
{
    struct mr_server *server = fetch->split.request->server;

    if (fetch->state != FETCH_PARKED) {
        return;
    }
    set_state(fetch, FETCH_WAKING);
    mr_timer_stop(&fetch->timer);
    server->fetches_parked--;
    fetch->split.parts_left = 1;
    for (unsigned i = 0; i < fetch->split.part_count; i++) {
        struct mr_part *part = &fetch->split.parts[i];

        if (!part->watched) {
            continue;
        }
        part->watched = false;
        if (part->remote) {
            fetch->split.parts_left++;
            mr_part_send(server, part, MR_MSG_WATCH_CANCEL);
        } else {
            stop_watching(part);
        }
    }
    fetch->split.parts_left--;
    wake_if_quiet(fetch);
}

void
mr_fetch_watch_fired(struct mr_part *part)
{
    wake(part->request->state_of_handler);
}

void
mr_fetch_watch_cancelled(struct mr_part *part)
{
    struct fetch *fetch = part->request->state_of_handler;

    fetch->split.parts_left--;
    wake_if_quiet(fetch);
}

static void
on_timer(struct mr_timer *timer)
{
    struct fetch *fetch = MR_CONTAINER_OF(timer, struct fetch, timer);

    if (fetch->state == FETCH_READING) {
        read_round(fetch); /* it had no credits */
        return;
    }
    fetch->last_round = true;
    wake(fetch);
}

static void
park(struct fetch *fetch, uint32_t missing)
{
    struct mr_server *server = fetch->split.request->server;
    uint64_t now_ns = server->shard->now_ns;
    uint32_t parks = ++fetch->parks;

    set_state(fetch, FETCH_PARKED);
    release_parts(fetch);
    server->fetches_parked++;
    mr_timer_start(&fetch->timer, fetch->deadline_ns - now_ns);
    /* A watch may fire at once and lead here again, or to the answer. */
    for (unsigned i = 0;
         i < fetch->split.part_count && fetch->state == FETCH_PARKED && fetch->parks == parks;
         i++) {
        struct mr_part *part = &fetch->split.parts[i];

        /* One partition: wait for all that is missing; several: any news may complete it. */
        part->watch_bytes = fetch->split.item_count == 1 ? missing : 1;
        if (!part->remote) {
            part->watched = true;
            mr_fetch_watch_run(server, part, server->shard->index);
        } else if (mr_mesh_take(server->shard->port, part->shard, MR_MESH_WATCH)) {
            part->watched = true;
            mr_part_send(server, part, MR_MSG_WATCH);
        } /* else max_wait ends the wait */
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

static void
round_done(struct mr_split *split)
{
    struct fetch *fetch = MR_CONTAINER_OF(split, struct fetch, split);
    const struct fetch_item *items = split->items;
    const struct mr_server *server = split->request->server;
    uint64_t bytes = 0;

    fetch->answer_now |= split->request->conn && split->request->conn->leaving;
    for (unsigned i = 0; i < split->item_count; i++) {
        fetch->answer_now |= items[i].error != MR_KAFKA_NONE || items[i].diverged;
        bytes += items[i].read.size;
    }
    if (fetch->answer_now || fetch->last_round || fetch->aborted || bytes >= fetch->min_bytes ||
        server->shard->now_ns >= fetch->deadline_ns ||
        server->fetches_parked >= server->config.fetches_parked_max) {
        answer(fetch);
    } else {
        park(fetch, fetch->min_bytes - (uint32_t)bytes);
    }
}

void
mr_fetch_replied(struct mr_part *part)
{
    part->pinned = part->size > 0;
    if (part->remote && !part->pinned) {
        mr_mesh_give(part->request->server->shard->port, part->shard, MR_MESH_RELEASE);
    }
    mr_part_replied(part);
}

/* A later round; without credits it tries again a moment later. */
static void
read_round(struct fetch *fetch)
{
    if (mr_split_take(&fetch->split, FETCH_CREDITS)) {
        mr_split_send(&fetch->split, MR_MSG_FETCH, mr_fetch_run);
    } else {
        mr_timer_start(&fetch->timer, STARVED_RETRY_NS);
    }
}

/* ---- start ----------------------------------------------------------------------------------- */

static void
add_item(struct fetch *fetch, const struct mr_topic_ref *ref,
         const struct mr_fetch_request_partition *partition,
         struct mr_fetch_response_partition *out)
{
    struct mr_request *request = fetch->split.request;
    struct fetch_item *item = mr_split_add(&fetch->split, ref->topic, partition->partition);
    enum mr_kafka_err error =
        mr_split_judge(&fetch->split, &item->base, ref, partition->current_leader_epoch);

    if (!error) {
        item->leader_epoch =
            mr_snapshot_leader_epoch(request->server->snapshot, ref->topic, partition->partition);
    }
    refuse_item(item, error);
    mr_list_init(&item->watch.node);
    item->response = out;
    item->offset = partition->fetch_offset;
    item->bytes_max = partition->partition_max_bytes > 0 ? partition->partition_max_bytes : 0;
    item->last_fetched_epoch = partition->last_fetched_epoch;
    item->topic_by_id = request->version >= VERSION_TOPIC_ID;
    fetch->answer_now |= error != MR_KAFKA_NONE;
}

static void
init_partition(struct mr_fetch_response_partition *out, int32_t index)
{
    out->partition_index = index;
    out->diverging_epoch = (struct mr_fetch_response_epoch_end_offset){-1, -1};
    out->current_leader = (struct mr_fetch_response_leader){-1, -1};
    out->snapshot_id = (struct mr_fetch_response_snapshot_id){-1, -1};
    out->preferred_read_replica = -1;
    out->records = (struct mr_wire_records){NULL, 0, 0}; /* empty, never null (KAFKA-18646) */
}

static bool
add_topic(struct fetch *fetch, const struct mr_fetch_request_topic *topic,
          struct mr_fetch_response_topic *out)
{
    struct mr_request *request = fetch->split.request;
    struct mr_topic_ref ref = mr_topic_resolve(request->server, topic->topic, &topic->topic_id,
                                               request->version >= VERSION_TOPIC_ID);

    out->topic = topic->topic;
    out->topic_id = topic->topic_id;
    out->partitions_count = topic->partitions_count;
    out->partitions = mr_request_alloc(request, mr_array_count(topic->partitions_count),
                                       sizeof(*out->partitions));
    for (int32_t p = 0; out->partitions && p < topic->partitions_count; p++) {
        init_partition(&out->partitions[p], topic->partitions[p].partition);
        add_item(fetch, &ref, &topic->partitions[p], &out->partitions[p]);
    }
    return out->partitions != NULL;
}

static size_t
count_partitions(const struct mr_fetch_request *body)
{
    size_t count = 0;

    for (int32_t t = 0; t < body->topics_count; t++) {
        count += mr_array_count(body->topics[t].partitions_count);
    }
    return count;
}

/* Builds items and the response's skeleton. False without memory. */
static bool
prepare(struct mr_request *request, struct fetch *fetch)
{
    const struct mr_fetch_request *body = fetch->body;
    struct mr_fetch_response *response = &fetch->response;

    response->responses =
        mr_request_alloc(request, mr_array_count(body->topics_count), sizeof(*response->responses));
    response->responses_count = body->topics_count;
    if (!response->responses || !mr_split_init(&fetch->split, request, sizeof(struct fetch_item),
                                               count_partitions(body), round_done)) {
        return false;
    }
    for (int32_t t = 0; t < body->topics_count; t++) {
        if (!add_topic(fetch, &body->topics[t], &response->responses[t])) {
            return false;
        }
    }
    return true;
}

static void
set_limits(struct fetch *fetch, const struct mr_fetch_request *body)
{
    const struct mr_server *server = fetch->split.request->server;
    uint32_t max_bytes = body->max_bytes > 0 ? (uint32_t)body->max_bytes : 0;
    uint32_t min_bytes = body->min_bytes > 0 ? (uint32_t)body->min_bytes : 0;
    uint64_t wait_ms = body->max_wait_ms > 0 ? (uint64_t)body->max_wait_ms : 0;

    fetch->max_bytes =
        max_bytes < server->config.fetch_bytes_max ? max_bytes : server->config.fetch_bytes_max;
    fetch->max_bytes = mr_throttle_fetch_max(fetch->split.request, fetch->max_bytes);
    fetch->min_bytes = min_bytes < fetch->max_bytes ? min_bytes : fetch->max_bytes;
    fetch->deadline_ns = server->shard->now_ns + wait_ms * MR_NS_PER_MS;
    fetch->last_round = wait_ms == 0;
}

static struct fetch *
begin(struct mr_request *request)
{
    struct fetch *fetch = mr_request_alloc(request, 1, sizeof(*fetch));

    if (!fetch) {
        return NULL;
    }
    fetch->split.request = request;
    mr_timer_init(&fetch->timer, on_timer);
    set_limits(fetch, request->body);
    fetch->response.error_code = (int16_t)mr_fetch_session_begin(
        request->server->fetch_sessions, request, &fetch->body, &fetch->session);
    if (fetch->response.error_code) {
        return fetch; /* no partition is answered */
    }
    if (!prepare(request, fetch)) {
        return NULL;
    }
    fetch->answer_now |= fetch->split.item_count == 0;
    if (!mr_split_make(&fetch->split, MR_PART_FETCH)) {
        return NULL;
    }
    for (unsigned i = 0; i < fetch->split.part_count; i++) {
        fetch->split.parts[i].bytes_max = fetch->max_bytes;
    }
    return fetch;
}

int
mr_fetch_start(struct mr_request *request)
{
    struct fetch *fetch = request->state_of_handler;

    if (!fetch) { /* else it is started again, for credits */
        fetch = begin(request);
        request->state_of_handler = fetch;
    }
    if (!fetch) {
        mr_request_fail(request);
        return 0;
    }
    if (fetch->response.error_code) {
        answer(fetch);
        return 0;
    }
    if (!mr_split_take(&fetch->split, FETCH_CREDITS)) {
        return -EAGAIN;
    }
    set_state(fetch, FETCH_READING);
    mr_split_send(&fetch->split, MR_MSG_FETCH, mr_fetch_run);
    return 0;
}

void
mr_fetch_hurry(struct mr_request *request)
{
    struct fetch *fetch = request->state_of_handler;

    fetch->answer_now = true;
    wake(fetch);
}

void
mr_fetch_abort(struct mr_request *request)
{
    struct fetch *fetch = request->state_of_handler;

    fetch->aborted = true;
    wake(fetch);
}
