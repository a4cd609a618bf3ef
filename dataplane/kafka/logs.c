/* kafka/logs.c: DeleteRecords (key 21), DescribeLogDirs (key 35) and DescribeProducers (key 61):
 * what asks the owners of logs about their starts, sizes and producers.
 *
 * DescribeLogDirs goes on to the control thread, which knows the folders that the stores lie in. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/kafka/api.h"
#include "dataplane/kafka/part.h"
#include "dataplane/kafka/topics.h"
#include "storage/log.h"

#define OFFSET_HIGH_WATERMARK (-1)

/* One partition of the request; lent to its owner with the part. */
struct logs_item {
    struct mr_part_item base;
    struct mr_log_trim trim;
    uint16_t store;
    bool remove; /* DeleteRecords */
    bool tell;   /* DescribeProducers */
    struct mr_log_producer
        *producers; /* the owner allocates them, the request's shard frees them */
    uint32_t producer_count;
    struct mr_describe_producers_response_partition *told;
    int64_t offset;
    enum mr_kafka_err error;
    int64_t start_out;
    int64_t size_out;
    struct mr_str name; /* DescribeLogDirs */
    struct mr_delete_records_response_partition *response;
};

struct logs {
    struct mr_split split;
    void *response;
    struct mr_ctl_log_sizes sizes; /* DescribeLogDirs */
    bool asks_control;             /* in the end, with a credit that is taken at the start */
};

/* ---- on the owner ---------------------------------------------------------------------------- */

static void
part_check_done(struct mr_part *part)
{
    mr_part_check_done(part, MR_MSG_LOGS_REPLY, mr_part_replied);
}

static void
on_trimmed(struct mr_log_trim *trim, enum mr_kafka_err error)
{
    struct logs_item *item = MR_CONTAINER_OF(trim, struct logs_item, trim);
    struct mr_store *store = mr_topic_store(item->base.part->owner, &item->base.id, NULL);
    struct mr_log *log = store ? mr_store_log_find(store, &item->base.id) : NULL;
    struct mr_log_offsets offsets;

    item->error = error;
    item->start_out = item->offset;
    if (log) { /* retention may have gone further meanwhile */
        mr_log_offsets(log, &offsets);
        item->start_out = offsets.start;
    }
    item->base.part->pending--;
    part_check_done(item->base.part);
}

static void
remove_records(struct mr_log *log, const struct mr_snapshot_topic *topic,
               const struct mr_log_offsets *offsets, struct logs_item *item)
{
    if (topic->limits.compact && !topic->limits.delete_old) {
        item->error = MR_KAFKA_POLICY_VIOLATION;
        return;
    }
    if (item->offset == OFFSET_HIGH_WATERMARK) {
        item->offset = offsets->high_watermark;
    }
    if (item->offset < 0 || item->offset > offsets->high_watermark) {
        item->error = MR_KAFKA_OFFSET_OUT_OF_RANGE;
        return;
    }
    item->start_out = offsets->start;
    if (item->offset <= offsets->start) {
        return;
    }
    item->trim.offset = item->offset;
    item->trim.done = on_trimmed;
    item->base.part->pending++;
    mr_log_trim(log, &item->trim);
}

/* Between the two calls nothing is appended. */
static void
tell_producers(const struct mr_log *log, struct logs_item *item)
{
    uint32_t count = mr_log_producers(log, NULL, 0);

    item->producers = calloc(count + 1, sizeof(*item->producers));
    if (item->producers) {
        item->producer_count = mr_log_producers(log, item->producers, count);
    } else {
        item->error = MR_KAFKA_UNKNOWN_SERVER_ERROR;
    }
}

static void
run_item(struct mr_server *owner, struct logs_item *item)
{
    const struct mr_snapshot_topic *topic = NULL;
    struct mr_store *store = mr_topic_store(owner, &item->base.id, &topic);
    struct mr_log *log = store ? mr_store_log_find(store, &item->base.id) : NULL;
    struct mr_log_offsets offsets = {0};

    if (!store) {
        item->error = MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    if (log) { /* nobody has produced to it otherwise */
        mr_log_offsets(log, &offsets);
    }
    item->size_out = (int64_t)offsets.size_bytes;
    if (item->remove) {
        remove_records(log, topic, &offsets, item);
    }
    if (item->tell && log) {
        tell_producers(log, item);
    }
}

void
mr_logs_run(struct mr_server *owner, struct mr_part *part, unsigned from)
{
    part->owner = owner;
    part->from = (uint16_t)from;
    part->pending = 1; /* for this loop: a trim may end at once */
    while (part->next < part->count) {
        run_item(owner, part->items[part->next]);
        part->next++;
    }
    part->pending--;
    part_check_done(part);
}

/* ---- on the connection's shard --------------------------------------------------------------- */

static struct logs *
logs_alloc(struct mr_request *request, size_t item_max, void (*finish)(struct mr_split *split))
{
    struct logs *logs = mr_request_alloc(request, 1, sizeof(*logs));

    return logs && mr_split_init(&logs->split, request, sizeof(struct logs_item), item_max, finish)
               ? logs
               : NULL;
}

/* The next item, which has an error where there is no such partition. */
static struct logs_item *
add_item(struct logs *logs, const struct mr_snapshot_topic *topic, int32_t partition)
{
    struct logs_item *item = mr_split_add(&logs->split, topic, partition);

    item->start_out = -1;
    item->error = MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (item->base.shard != MR_PART_NONE) {
        item->error = MR_KAFKA_NONE;
        item->store = topic->partitions[partition].store;
    }
    return item;
}

static int
start(struct mr_request *request, struct logs *(*begin)(struct mr_request *request))
{
    struct logs *logs = request->state_of_handler;

    if (!logs) { /* else it is started again, for credits */
        logs = begin(request);
        request->state_of_handler = logs;
    }
    if (!logs) {
        mr_request_fail(request);
        return 0;
    }
    if (logs->asks_control && !mr_request_take_control(request)) {
        return -EAGAIN;
    }
    if (!mr_split_take(&logs->split, 1u << MR_MESH_REQUEST)) {
        if (logs->asks_control) {
            mr_request_give_control(request);
        }
        return -EAGAIN;
    }
    mr_split_send(&logs->split, MR_MSG_LOGS, mr_logs_run);
    return 0;
}

/* ---- DeleteRecords --------------------------------------------------------------------------- */

static void
delete_finish(struct mr_split *split)
{
    struct logs *logs = MR_CONTAINER_OF(split, struct logs, split);
    const struct logs_item *items = split->items;

    for (unsigned i = 0; i < split->item_count; i++) {
        const struct logs_item *item = &items[i];

        item->response->error_code = (int16_t)item->error;
        item->response->low_watermark = item->error ? -1 : item->start_out;
    }
    mr_request_answer(split->request, logs->response);
}

static size_t
delete_count(const struct mr_delete_records_request *body)
{
    size_t count = 0;

    for (int32_t t = 0; t < body->topics_count; t++) {
        count += mr_array_count(body->topics[t].partitions_count);
    }
    return count;
}

static bool
delete_topic(struct logs *logs, const struct mr_delete_records_request_topic *topic,
             struct mr_delete_records_response_topic *out)
{
    struct mr_topic_ref ref =
        mr_topic_resolve(logs->split.request->server, topic->name, NULL, false);

    out->name = topic->name;
    out->partitions_count = topic->partitions_count;
    out->partitions = mr_request_alloc(logs->split.request, mr_array_count(topic->partitions_count),
                                       sizeof(*out->partitions));
    for (int32_t p = 0; out->partitions && p < topic->partitions_count; p++) {
        const struct mr_delete_records_request_partition *partition = &topic->partitions[p];
        struct logs_item *item = add_item(logs, ref.topic, partition->partition_index);

        out->partitions[p].partition_index = partition->partition_index;
        item->remove = true;
        item->offset = partition->offset;
        item->response = &out->partitions[p];
        if (!item->error && ref.topic->internal) {
            item->error = MR_KAFKA_INVALID_TOPIC_EXCEPTION;
            item->base.shard = MR_PART_NONE;
        }
    }
    return out->partitions != NULL;
}

static struct logs *
delete_begin(struct mr_request *request)
{
    const struct mr_delete_records_request *body = request->body;
    struct mr_delete_records_response *response = mr_request_alloc(request, 1, sizeof(*response));
    struct logs *logs = logs_alloc(request, delete_count(body), delete_finish);

    if (!response || !logs) {
        return NULL;
    }
    logs->response = response;
    response->topics_count = body->topics_count;
    response->topics =
        mr_request_alloc(request, mr_array_count(body->topics_count), sizeof(*response->topics));
    if (!response->topics) {
        return NULL;
    }
    for (int32_t t = 0; t < body->topics_count; t++) {
        if (!delete_topic(logs, &body->topics[t], &response->topics[t])) {
            return NULL;
        }
    }
    return mr_split_make(&logs->split, MR_PART_LOGS) ? logs : NULL;
}

int
mr_delete_records_start(struct mr_request *request)
{
    return start(request, delete_begin);
}

/* ---- DescribeLogDirs ------------------------------------------------------------------------- */

static void
on_described(struct mr_request *request)
{
    struct logs *logs = request->state_of_handler;

    if (request->ctl.failed) {
        mr_request_fail(request);
    } else {
        mr_request_answer(request, logs->response);
    }
}

static void
describe_finish(struct mr_split *split)
{
    struct logs *logs = MR_CONTAINER_OF(split, struct logs, split);
    const struct logs_item *items = split->items;
    struct mr_ctl_log_size *sizes =
        mr_request_alloc(split->request, split->item_count, sizeof(*sizes));

    if (!sizes) {
        mr_request_give_control(split->request);
        mr_request_fail(split->request);
        return;
    }
    for (unsigned i = 0; i < split->item_count; i++) {
        const struct logs_item *item = &items[i];

        if (!item->error) {
            sizes[logs->sizes.count++] =
                (struct mr_ctl_log_size){item->name.data, item->name.size, item->base.id.partition,
                                         item->store, item->size_out};
        }
    }
    logs->sizes.logs = sizes;
    mr_request_ask_control_taken(split->request, &logs->sizes, logs->response, on_described);
}

/* With direct routing every broker tells of its own logs. */
static bool
is_own(const struct mr_request *request, const struct mr_snapshot_topic *topic, int32_t partition)
{
    const struct mr_server *server = request->server;

    return server->config.nodes.count == 1 ||
           mr_topic_shard(server, topic, partition) == server->shard->index;
}

/* The snapshot's text may be gone when the answer is encoded. */
static struct mr_str
keep_name(struct mr_request *request, const struct mr_snapshot_topic *topic)
{
    char *name = mr_request_alloc(request, topic->name_size + 1, 1);

    if (!name) {
        return mr_str_null();
    }
    memcpy(name, topic->name, topic->name_size);
    return (struct mr_str){name, (int32_t)topic->name_size};
}

static bool
describe_all(struct logs *logs)
{
    const struct mr_snapshot_topic *topic;
    struct mr_topic_walk walk;

    mr_snapshot_walk(logs->split.request->server->snapshot, &walk);
    while ((topic = mr_topic_walk_next(&walk))) {
        struct mr_str name = keep_name(logs->split.request, topic);

        if (name.size < 0) {
            return false;
        }
        for (int32_t p = 0; p < topic->partition_count; p++) {
            if (is_own(logs->split.request, topic, p)) {
                add_item(logs, topic, p)->name = name;
            }
        }
    }
    return true;
}

static void
describe_named(struct logs *logs)
{
    const struct mr_describe_log_dirs_request *body = logs->split.request->body;

    for (int32_t t = 0; t < body->topics_count; t++) {
        const struct mr_describe_log_dirs_request_topic *in = &body->topics[t];
        struct mr_topic_ref ref =
            mr_topic_resolve(logs->split.request->server, in->topic, NULL, false);

        for (int32_t p = 0; p < in->partitions_count; p++) {
            if (!ref.topic || is_own(logs->split.request, ref.topic, in->partitions[p])) {
                add_item(logs, ref.topic, in->partitions[p])->name = in->topic;
            }
        }
    }
}

static size_t
describe_count(const struct mr_request *request)
{
    const struct mr_describe_log_dirs_request *body = request->body;
    const struct mr_snapshot_topic *topic;
    struct mr_topic_walk walk;
    size_t count = 0;

    mr_snapshot_walk(request->server->snapshot, &walk);
    while (body->topics_count < 0 && (topic = mr_topic_walk_next(&walk))) {
        count += (size_t)topic->partition_count;
    }
    for (int32_t t = 0; t < body->topics_count; t++) {
        count += mr_array_count(body->topics[t].partitions_count);
    }
    return count;
}

static struct logs *
describe_begin(struct mr_request *request)
{
    const struct mr_describe_log_dirs_request *body = request->body;
    struct logs *logs = logs_alloc(request, describe_count(request), describe_finish);
    struct mr_describe_log_dirs_response *response =
        mr_request_alloc(request, 1, sizeof(*response));

    if (!logs || !response) {
        return NULL;
    }
    logs->response = response;
    logs->asks_control = true;
    if (body->topics_count >= 0) {
        describe_named(logs);
    } else if (!describe_all(logs)) {
        return NULL;
    }
    return mr_split_make(&logs->split, MR_PART_LOGS) ? logs : NULL;
}

int
mr_describe_log_dirs_start(struct mr_request *request)
{
    return start(request, describe_begin);
}

/* ---- DescribeProducers ----------------------------------------------------------------------- */

/* False: no memory. */
static bool
fill_producers(struct mr_request *request, const struct logs_item *item)
{
    struct mr_describe_producers_response_partition *out = item->told;

    out->error_code = (int16_t)item->error;
    out->error_message =
        item->error ? mr_str_from_c(mr_kafka_err_text(out->error_code)) : mr_str_null();
    out->active_producers =
        mr_request_alloc(request, item->producer_count, sizeof(*out->active_producers));
    for (uint32_t i = 0; out->active_producers && i < item->producer_count; i++) {
        const struct mr_log_producer *producer = &item->producers[i];

        out->active_producers[i] = (struct mr_describe_producers_response_producer_state){
            .producer_id = producer->id,
            .producer_epoch = producer->epoch,
            .last_sequence = producer->last_sequence,
            .last_timestamp = producer->last_timestamp_ms,
            .coordinator_epoch = -1,
            .current_txn_start_offset = -1,
        };
    }
    out->active_producers_count = (int32_t)item->producer_count;
    return out->active_producers != NULL;
}

static void
producers_finish(struct mr_split *split)
{
    struct logs *logs = MR_CONTAINER_OF(split, struct logs, split);
    const struct logs_item *items = split->items;
    bool good = true;

    for (unsigned i = 0; i < split->item_count; i++) {
        good = good && fill_producers(split->request, &items[i]);
        free(items[i].producers);
    }
    if (good) {
        mr_request_answer(split->request, logs->response);
    } else {
        mr_request_fail(split->request);
    }
}

static bool
producers_of_topic(struct logs *logs, const struct mr_describe_producers_request_topic *topic,
                   struct mr_describe_producers_response_topic *out)
{
    struct mr_topic_ref ref =
        mr_topic_resolve(logs->split.request->server, topic->name, NULL, false);
    size_t count = mr_array_count(topic->partition_indexes_count);

    out->name = topic->name;
    out->partitions_count = (int32_t)count;
    out->partitions = mr_request_alloc(logs->split.request, count, sizeof(*out->partitions));
    for (size_t p = 0; out->partitions && p < count; p++) {
        struct logs_item *item = add_item(logs, ref.topic, topic->partition_indexes[p]);

        out->partitions[p].partition_index = topic->partition_indexes[p];
        item->tell = true;
        item->told = &out->partitions[p];
        if (!mr_topic_name_valid(topic->name)) {
            item->error = MR_KAFKA_INVALID_TOPIC_EXCEPTION;
        }
    }
    return out->partitions != NULL;
}

static struct logs *
producers_begin(struct mr_request *request)
{
    const struct mr_describe_producers_request *body = request->body;
    size_t topics = mr_array_count(body->topics_count);
    struct mr_describe_producers_response *response =
        mr_request_alloc(request, 1, sizeof(*response));
    size_t count = 0;
    struct logs *logs;

    for (size_t t = 0; t < topics; t++) {
        count += mr_array_count(body->topics[t].partition_indexes_count);
    }
    logs = logs_alloc(request, count, producers_finish);
    if (!response || !logs) {
        return NULL;
    }
    logs->response = response;
    response->topics_count = (int32_t)topics;
    response->topics = mr_request_alloc(request, topics, sizeof(*response->topics));
    for (size_t t = 0; response->topics && t < topics; t++) {
        if (!producers_of_topic(logs, &body->topics[t], &response->topics[t])) {
            return NULL;
        }
    }
    return response->topics && mr_split_make(&logs->split, MR_PART_LOGS) ? logs : NULL;
}

int
mr_describe_producers_start(struct mr_request *request)
{
    return start(request, producers_begin);
}
