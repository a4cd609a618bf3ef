/* kafka/offsets.c: ListOffsets (key 2) and OffsetForLeaderEpoch (key 23).
 *
 * Both ask a partition's owner for one position in its log. Lookups by time find the record, not
 * just its batch. Everything is bounded by the high watermark; there is no tiered storage. */
#include <errno.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/kafka/api.h"
#include "dataplane/kafka/part.h"
#include "dataplane/kafka/topics.h"
#include "storage/log.h"

/* Timestamps below zero that ListOffsets gives a meaning, and the version that brought it. */
#define TIMESTAMP_LATEST         (-1)
#define TIMESTAMP_EARLIEST       (-2)
#define TIMESTAMP_MAX            (-3) /* version 7, KIP-734 */
#define TIMESTAMP_EARLIEST_LOCAL (-4) /* version 8, KIP-405 */
#define TIMESTAMP_LATEST_TIERED  (-5) /* version 9, KIP-1005 */
#define TIMESTAMP_PENDING_UPLOAD (-6) /* version 11, KIP-1023 */

/* One partition of the request; lent to its owner with the part. */
struct offsets_item {
    struct mr_log_find find;
    struct mr_part *part;
    struct mr_log_id id;
    bool by_epoch; /* OffsetForLeaderEpoch */
    int64_t timestamp;
    int32_t epoch;
    int32_t epoch_current;
    enum mr_kafka_err error;
    int64_t offset_out;
    int64_t timestamp_out;
    int32_t epoch_out;
    void *response; /* of the API's partition struct */
};

struct offsets {
    struct mr_request *request;
    void *response;
    void (*fill)(struct offsets_item *item);
    struct offsets_item *items;
    uint16_t *shard_of;
    void **pointers;
    unsigned item_count;
    struct mr_part *parts;
    unsigned part_count;
    unsigned parts_left;
};

/* ---- on the owner ---------------------------------------------------------------------------- */

static void
part_check_done(struct mr_part *part)
{
    mr_part_check_done(part, MR_MSG_OFFSETS_REPLY, mr_offsets_replied);
}

static void
on_found(struct mr_log_find *find)
{
    struct offsets_item *item = MR_CONTAINER_OF(find, struct offsets_item, find);

    item->error = find->error;
    item->offset_out = find->offset;
    item->timestamp_out = find->timestamp;
    item->epoch_out = find->leader_epoch;
    item->part->pending--;
    part_check_done(item->part);
}

static void
answer_epoch(const struct mr_log *log, struct offsets_item *item,
             const struct mr_log_offsets *offsets)
{
    if (item->epoch > item->epoch_current) {
        return; /* the future: (-1, -1) */
    }
    if (item->epoch == item->epoch_current) {
        item->epoch_out = item->epoch;
        item->offset_out = offsets->high_watermark;
    } else if (!log ||
               mr_log_epoch_end(log, item->epoch, &item->epoch_out, &item->offset_out) != 0) {
        item->epoch_out = -1;
        item->offset_out = -1;
    }
}

/* The epoch of the first batch there is; of the leader now where there is none. */
static int32_t
first_epoch(const struct mr_log *log, int32_t epoch_current)
{
    int32_t first = epoch_current;
    int32_t epoch = epoch_current;
    int64_t end;

    while (log && epoch >= 0 && mr_log_epoch_end(log, epoch, &epoch, &end) == 0) {
        first = epoch;
        epoch--;
    }
    return first;
}

/* -EAGAIN: no read buffer is free. */
static int
answer_time(struct mr_log *log, struct offsets_item *item, const struct mr_log_offsets *offsets)
{
    int error;

    switch (item->timestamp) {
    case TIMESTAMP_LATEST:
        item->offset_out = offsets->high_watermark;
        item->epoch_out = item->epoch_current;
        return 0;
    case TIMESTAMP_EARLIEST:
    case TIMESTAMP_EARLIEST_LOCAL:
        item->offset_out = offsets->start;
        item->epoch_out = first_epoch(log, item->epoch_current);
        return 0;
    case TIMESTAMP_LATEST_TIERED:
    case TIMESTAMP_PENDING_UPLOAD:
        return 0; /* nothing is tiered */
    default:
        break;
    }
    if (!log) {
        return 0; /* no record at all */
    }
    item->find.kind =
        item->timestamp == TIMESTAMP_MAX ? MR_LOG_FIND_MAX_TIMESTAMP : MR_LOG_FIND_TIME;
    item->find.timestamp_ms = item->timestamp;
    item->find.done = on_found;
    error = mr_log_find(log, &item->find);
    if (error == 0) {
        item->part->pending++;
    }
    return error;
}

static int
run_item(struct mr_server *owner, struct offsets_item *item)
{
    struct mr_store *store = mr_topic_store(owner, &item->id, NULL);
    struct mr_log *log = store ? mr_store_log_find(store, &item->id) : NULL;
    struct mr_log_offsets offsets = {0};

    if (!store) {
        item->error = MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return 0;
    }
    if (log) {
        mr_log_offsets(log, &offsets);
    }
    if (item->by_epoch) {
        answer_epoch(log, item, &offsets);
        return 0;
    }
    return answer_time(log, item, &offsets);
}

void
mr_offsets_run(struct mr_server *owner, struct mr_part *part, unsigned from)
{
    part->owner = owner;
    part->from = (uint16_t)from;
    while (part->next < part->count) {
        if (run_item(owner, part->items[part->next]) == -EAGAIN) {
            mr_part_wait(part, &owner->reads_waiting);
            return;
        }
        part->next++;
    }
    part_check_done(part);
}

/* ---- on the connection's shard --------------------------------------------------------------- */

static void
finish(struct offsets *offsets)
{
    for (unsigned i = 0; i < offsets->item_count; i++) {
        offsets->fill(&offsets->items[i]);
    }
    mr_request_answer(offsets->request, offsets->response);
}

void
mr_offsets_replied(struct mr_part *part)
{
    struct offsets *offsets = part->request->state_of_handler;

    offsets->parts_left--;
    if (offsets->parts_left == 0) {
        finish(offsets);
    }
}

static struct offsets *
offsets_alloc(struct mr_request *request, unsigned item_count)
{
    struct offsets *offsets = mr_request_alloc(request, 1, sizeof(*offsets));

    if (!offsets) {
        return NULL;
    }
    offsets->request = request;
    offsets->item_count = item_count;
    offsets->items = mr_request_alloc(request, item_count, sizeof(*offsets->items));
    offsets->shard_of = mr_request_alloc(request, item_count, sizeof(*offsets->shard_of));
    offsets->pointers = mr_request_alloc(request, item_count, sizeof(*offsets->pointers));
    return offsets->items && offsets->shard_of && offsets->pointers ? offsets : NULL;
}

/* Resolves one item and checks the client's leader epoch. */
static void
resolve(struct offsets *offsets, unsigned at, struct mr_str name, int32_t partition,
        int32_t current_leader_epoch)
{
    const struct mr_server *server = offsets->request->server;
    struct offsets_item *item = &offsets->items[at];
    struct mr_topic_ref ref = mr_topic_resolve(server, name, NULL, false);
    uint16_t shard;

    offsets->pointers[at] = item;
    offsets->shard_of[at] = UINT16_MAX;
    item->offset_out = -1;
    item->timestamp_out = -1;
    item->epoch_out = -1;
    item->error = ref.error;
    if (!ref.topic) {
        return;
    }
    shard = mr_topic_shard(server, ref.topic, partition);
    if (shard == UINT16_MAX) {
        item->error = MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    item->error = mr_topic_check_epoch(server, ref.topic, partition, current_leader_epoch);
    item->id = (struct mr_log_id){ref.topic->id, partition};
    item->epoch_current = mr_snapshot_leader_epoch(server->snapshot, ref.topic, partition);
    offsets->shard_of[at] = item->error ? UINT16_MAX : shard;
}

static bool
make_parts(struct offsets *offsets)
{
    offsets->parts = mr_parts_make(offsets->request, MR_PART_OFFSETS, offsets->pointers,
                                   offsets->shard_of, offsets->item_count, &offsets->part_count);
    if (!offsets->parts) {
        return false;
    }
    for (unsigned i = 0; i < offsets->part_count; i++) {
        for (unsigned k = 0; k < offsets->parts[i].count; k++) {
            ((struct offsets_item *)offsets->parts[i].items[k])->part = &offsets->parts[i];
        }
    }
    return true;
}

static int
start(struct mr_request *request, struct offsets *(*begin)(struct mr_request *request))
{
    struct mr_server *server = request->server;
    struct offsets *offsets = request->state_of_handler;

    if (!offsets) { /* else it is started again, for credits */
        offsets = begin(request);
        request->state_of_handler = offsets;
    }
    if (!offsets) {
        mr_request_fail(request);
        return 0;
    }
    if (!mr_parts_take(request, offsets->parts, offsets->part_count, 1u << MR_MESH_REQUEST)) {
        return -EAGAIN;
    }
    offsets->parts_left = offsets->part_count + 1; /* one for this function */
    for (unsigned i = 0; i < offsets->part_count; i++) {
        struct mr_part *part = &offsets->parts[i];

        if (part->remote) {
            mr_part_send(server, part, MR_MSG_OFFSETS);
        } else {
            mr_offsets_run(server, part, server->shard->index);
        }
    }
    offsets->parts_left--;
    if (offsets->parts_left == 0) {
        finish(offsets);
    }
    return 0;
}

/* ---- ListOffsets ----------------------------------------------------------------------------- */

/* -6 came with version 11, -5 with 9, -4 with 8, -3 with 7. */
static bool
timestamp_known(int64_t timestamp, int16_t version)
{
    static const int16_t since[] = {0, 0, 0, 7, 8, 9, 11};

    return timestamp >= 0 ||
           (timestamp >= TIMESTAMP_PENDING_UPLOAD && version >= since[-timestamp]);
}

static void
fill_list(struct offsets_item *item)
{
    struct mr_list_offsets_response_partition *out = item->response;

    out->error_code = (int16_t)item->error;
    out->offset = item->error ? -1 : item->offset_out;
    out->timestamp = item->error ? -1 : item->timestamp_out;
    out->leader_epoch = item->error ? -1 : item->epoch_out;
}

static unsigned
list_count(const struct mr_list_offsets_request *body)
{
    unsigned count = 0;

    for (int32_t t = 0; t < body->topics_count; t++) {
        count +=
            (unsigned)(body->topics[t].partitions_count > 0 ? body->topics[t].partitions_count : 0);
    }
    return count;
}

static bool
list_topic(struct offsets *offsets, const struct mr_list_offsets_request_topic *topic,
           struct mr_list_offsets_response_topic *out, unsigned *at)
{
    struct mr_request *request = offsets->request;

    out->name = topic->name;
    out->partitions_count = topic->partitions_count;
    out->partitions = mr_request_alloc(
        request, (size_t)(topic->partitions_count > 0 ? topic->partitions_count : 0),
        sizeof(*out->partitions));
    if (!out->partitions) {
        return false;
    }
    for (int32_t p = 0; p < topic->partitions_count; p++, (*at)++) {
        const struct mr_list_offsets_request_partition *partition = &topic->partitions[p];
        struct offsets_item *item = &offsets->items[*at];

        resolve(offsets, *at, topic->name, partition->partition_index,
                partition->current_leader_epoch);
        item->timestamp = partition->timestamp;
        item->response = &out->partitions[p];
        out->partitions[p].partition_index = partition->partition_index;
        if (!item->error && !timestamp_known(partition->timestamp, request->version)) {
            item->error = MR_KAFKA_UNSUPPORTED_VERSION;
            offsets->shard_of[*at] = UINT16_MAX;
        }
    }
    return true;
}

static struct offsets *
list_begin(struct mr_request *request)
{
    const struct mr_list_offsets_request *body = request->body;
    size_t topics = (size_t)(body->topics_count > 0 ? body->topics_count : 0);
    struct mr_list_offsets_response *response = mr_request_alloc(request, 1, sizeof(*response));
    struct offsets *offsets = offsets_alloc(request, list_count(body));
    unsigned at = 0;

    if (!response || !offsets) {
        return NULL;
    }
    offsets->response = response;
    offsets->fill = fill_list;
    response->topics_count = body->topics_count;
    response->topics = mr_request_alloc(request, topics, sizeof(*response->topics));
    if (!response->topics) {
        return NULL;
    }
    for (int32_t t = 0; t < body->topics_count; t++) {
        if (!list_topic(offsets, &body->topics[t], &response->topics[t], &at)) {
            return NULL;
        }
    }
    return make_parts(offsets) ? offsets : NULL;
}

int
mr_list_offsets_start(struct mr_request *request)
{
    return start(request, list_begin);
}

/* ---- OffsetForLeaderEpoch -------------------------------------------------------------------- */

static void
fill_epoch(struct offsets_item *item)
{
    struct mr_offset_for_leader_epoch_response_partition *out = item->response;

    out->error_code = (int16_t)item->error;
    out->leader_epoch = item->error ? -1 : item->epoch_out;
    out->end_offset = item->error ? -1 : item->offset_out;
}

static unsigned
epoch_count(const struct mr_offset_for_leader_epoch_request *body)
{
    unsigned count = 0;

    for (int32_t t = 0; t < body->topics_count; t++) {
        count +=
            (unsigned)(body->topics[t].partitions_count > 0 ? body->topics[t].partitions_count : 0);
    }
    return count;
}

static bool
epoch_topic(struct offsets *offsets, const struct mr_offset_for_leader_epoch_request_topic *topic,
            struct mr_offset_for_leader_epoch_response_topic *out, unsigned *at)
{
    out->topic = topic->topic;
    out->partitions_count = topic->partitions_count;
    out->partitions = mr_request_alloc(
        offsets->request, (size_t)(topic->partitions_count > 0 ? topic->partitions_count : 0),
        sizeof(*out->partitions));
    if (!out->partitions) {
        return false;
    }
    for (int32_t p = 0; p < topic->partitions_count; p++, (*at)++) {
        const struct mr_offset_for_leader_epoch_request_partition *partition =
            &topic->partitions[p];
        struct offsets_item *item = &offsets->items[*at];

        resolve(offsets, *at, topic->topic, partition->partition, partition->current_leader_epoch);
        item->by_epoch = true;
        item->epoch = partition->leader_epoch;
        item->response = &out->partitions[p];
        out->partitions[p].partition = partition->partition;
    }
    return true;
}

static struct offsets *
epoch_begin(struct mr_request *request)
{
    const struct mr_offset_for_leader_epoch_request *body = request->body;
    size_t topics = (size_t)(body->topics_count > 0 ? body->topics_count : 0);
    struct mr_offset_for_leader_epoch_response *response =
        mr_request_alloc(request, 1, sizeof(*response));
    struct offsets *offsets = offsets_alloc(request, epoch_count(body));
    unsigned at = 0;

    if (!response || !offsets) {
        return NULL;
    }
    offsets->response = response;
    offsets->fill = fill_epoch;
    response->topics_count = body->topics_count;
    response->topics = mr_request_alloc(request, topics, sizeof(*response->topics));
    if (!response->topics) {
        return NULL;
    }
    for (int32_t t = 0; t < body->topics_count; t++) {
        if (!epoch_topic(offsets, &body->topics[t], &response->topics[t], &at)) {
            return NULL;
        }
    }
    return make_parts(offsets) ? offsets : NULL;
}

int
mr_offset_for_leader_epoch_start(struct mr_request *request)
{
    return start(request, epoch_begin);
}
