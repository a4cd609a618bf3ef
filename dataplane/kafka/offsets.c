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
    struct mr_part_item base;
    struct mr_log_find find;
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
    struct mr_split split;
    void *response;
    void (*fill)(struct offsets_item *item);
};

/* ---- on the owner ---------------------------------------------------------------------------- */

static void
part_check_done(struct mr_part *part)
{
    mr_part_check_done(part, MR_MSG_OFFSETS_REPLY, mr_part_replied);
}

static void
on_found(struct mr_log_find *find)
{
    struct offsets_item *item = MR_CONTAINER_OF(find, struct offsets_item, find);

    item->error = find->error;
    item->offset_out = find->offset;
    item->timestamp_out = find->timestamp;
    item->epoch_out = find->leader_epoch;
    item->base.part->pending--;
    part_check_done(item->base.part);
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
        item->base.part->pending++;
    }
    return error;
}

static int
run_item(struct mr_server *owner, struct offsets_item *item)
{
    struct mr_store *store = mr_topic_store(owner, &item->base.id, NULL);
    struct mr_log *log = store ? mr_store_log_find(store, &item->base.id) : NULL;
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
finish(struct mr_split *split)
{
    struct offsets *offsets = MR_CONTAINER_OF(split, struct offsets, split);
    struct offsets_item *items = split->items;

    for (unsigned i = 0; i < split->item_count; i++) {
        offsets->fill(&items[i]);
    }
    mr_request_answer(split->request, offsets->response);
}

static struct offsets *
offsets_alloc(struct mr_request *request, size_t item_count)
{
    struct offsets *offsets = mr_request_alloc(request, 1, sizeof(*offsets));

    return offsets && mr_split_init(&offsets->split, request, sizeof(struct offsets_item),
                                    item_count, finish)
               ? offsets
               : NULL;
}

/* The next item, once the client's leader epoch has been checked. */
static struct offsets_item *
add_item(struct offsets *offsets, const struct mr_topic_ref *ref, int32_t partition,
         int32_t current_leader_epoch)
{
    const struct mr_snapshot *snapshot = offsets->split.request->server->snapshot;
    struct offsets_item *item = mr_split_add(&offsets->split, ref->topic, partition);

    item->offset_out = -1;
    item->timestamp_out = -1;
    item->epoch_out = -1;
    item->error = mr_split_judge(&offsets->split, &item->base, ref, current_leader_epoch);
    if (!item->error) {
        item->epoch_current = mr_snapshot_leader_epoch(snapshot, ref->topic, partition);
    }
    return item;
}

static int
start(struct mr_request *request, struct offsets *(*begin)(struct mr_request *request))
{
    struct offsets *offsets = request->state_of_handler;

    if (!offsets) { /* else it is started again, for credits */
        offsets = begin(request);
        request->state_of_handler = offsets;
    }
    if (!offsets) {
        mr_request_fail(request);
        return 0;
    }
    if (!mr_split_take(&offsets->split, 1u << MR_MESH_REQUEST)) {
        return -EAGAIN;
    }
    mr_split_send(&offsets->split, MR_MSG_OFFSETS, mr_offsets_run);
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

static size_t
list_count(const struct mr_list_offsets_request *body)
{
    size_t count = 0;

    for (int32_t t = 0; t < body->topics_count; t++) {
        count += mr_array_count(body->topics[t].partitions_count);
    }
    return count;
}

static bool
list_topic(struct offsets *offsets, const struct mr_list_offsets_request_topic *topic,
           struct mr_list_offsets_response_topic *out)
{
    struct mr_request *request = offsets->split.request;
    struct mr_topic_ref ref = mr_topic_resolve(request->server, topic->name, NULL, false);

    out->name = topic->name;
    out->partitions_count = topic->partitions_count;
    out->partitions = mr_request_alloc(request, mr_array_count(topic->partitions_count),
                                       sizeof(*out->partitions));
    for (int32_t p = 0; out->partitions && p < topic->partitions_count; p++) {
        const struct mr_list_offsets_request_partition *partition = &topic->partitions[p];
        struct offsets_item *item =
            add_item(offsets, &ref, partition->partition_index, partition->current_leader_epoch);

        item->timestamp = partition->timestamp;
        item->response = &out->partitions[p];
        out->partitions[p].partition_index = partition->partition_index;
        if (!item->error && !timestamp_known(partition->timestamp, request->version)) {
            item->error = MR_KAFKA_UNSUPPORTED_VERSION;
            item->base.shard = MR_PART_NONE;
        }
    }
    return out->partitions != NULL;
}

static struct offsets *
list_begin(struct mr_request *request)
{
    const struct mr_list_offsets_request *body = request->body;
    struct mr_list_offsets_response *response = mr_request_alloc(request, 1, sizeof(*response));
    struct offsets *offsets = offsets_alloc(request, list_count(body));

    if (!response || !offsets) {
        return NULL;
    }
    offsets->response = response;
    offsets->fill = fill_list;
    response->topics_count = body->topics_count;
    response->topics =
        mr_request_alloc(request, mr_array_count(body->topics_count), sizeof(*response->topics));
    if (!response->topics) {
        return NULL;
    }
    for (int32_t t = 0; t < body->topics_count; t++) {
        if (!list_topic(offsets, &body->topics[t], &response->topics[t])) {
            return NULL;
        }
    }
    return mr_split_make(&offsets->split, MR_PART_OFFSETS) ? offsets : NULL;
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

static size_t
epoch_count(const struct mr_offset_for_leader_epoch_request *body)
{
    size_t count = 0;

    for (int32_t t = 0; t < body->topics_count; t++) {
        count += mr_array_count(body->topics[t].partitions_count);
    }
    return count;
}

static bool
epoch_topic(struct offsets *offsets, const struct mr_offset_for_leader_epoch_request_topic *topic,
            struct mr_offset_for_leader_epoch_response_topic *out)
{
    struct mr_request *request = offsets->split.request;
    struct mr_topic_ref ref = mr_topic_resolve(request->server, topic->topic, NULL, false);

    out->topic = topic->topic;
    out->partitions_count = topic->partitions_count;
    out->partitions = mr_request_alloc(request, mr_array_count(topic->partitions_count),
                                       sizeof(*out->partitions));
    for (int32_t p = 0; out->partitions && p < topic->partitions_count; p++) {
        const struct mr_offset_for_leader_epoch_request_partition *partition =
            &topic->partitions[p];
        struct offsets_item *item =
            add_item(offsets, &ref, partition->partition, partition->current_leader_epoch);

        item->by_epoch = true;
        item->epoch = partition->leader_epoch;
        item->response = &out->partitions[p];
        out->partitions[p].partition = partition->partition;
    }
    return out->partitions != NULL;
}

static struct offsets *
epoch_begin(struct mr_request *request)
{
    const struct mr_offset_for_leader_epoch_request *body = request->body;
    struct mr_offset_for_leader_epoch_response *response =
        mr_request_alloc(request, 1, sizeof(*response));
    struct offsets *offsets = offsets_alloc(request, epoch_count(body));

    if (!response || !offsets) {
        return NULL;
    }
    offsets->response = response;
    offsets->fill = fill_epoch;
    response->topics_count = body->topics_count;
    response->topics =
        mr_request_alloc(request, mr_array_count(body->topics_count), sizeof(*response->topics));
    if (!response->topics) {
        return NULL;
    }
    for (int32_t t = 0; t < body->topics_count; t++) {
        if (!epoch_topic(offsets, &body->topics[t], &response->topics[t])) {
            return NULL;
        }
    }
    return mr_split_make(&offsets->split, MR_PART_OFFSETS) ? offsets : NULL;
}

int
mr_offset_for_leader_epoch_start(struct mr_request *request)
{
    return start(request, epoch_begin);
}
