/* kafka/produce.c: Produce (key 0).
 *
 * The connection's shard resolves topics and splits the request by owner; each owner validates and
 * appends its batches in order (mr_produce_run) and replies when all of them are durable; then the
 * answer is put together here. Acks -1 and 1 are answered then, acks 0 never. */
#include <errno.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/kafka/api.h"
#include "dataplane/kafka/part.h"
#include "dataplane/kafka/throttle.h"
#include "dataplane/kafka/topic_stats.h"
#include "dataplane/kafka/topics.h"
#include "storage/log.h"
#include "storage/recompress.h"

#define ADMIN_CLIENT_ID   "__admin_client"
#define VERSION_TOPIC_ID  13 /* topics are named by id from here on */
#define VERSION_ZSTD      7  /* KIP-110 */

#define RECORD_ERRORS_MAX 10000 /* in one answer; beyond it each partition names one */

/* One partition of the request. Lent to its owner with the part. */
struct produce_item {
    struct mr_part_item base;
    struct mr_append append;
    struct mr_wire_records records;
    bool zstd_allowed;
    bool transactional_allowed;
    bool topic_by_id;
    bool start_told;             /* although it failed */
    struct mr_batch_rules rules; /* that it was judged by */
    struct mr_batch_refusal refusal;
    struct mr_produce_response_partition *response;
};

struct produce {
    struct mr_split split;
    struct mr_produce_response response;
    int32_t record_errors_left; /* how many more the answer may name */
    bool acks_zero;
};

/* ---- the answer ------------------------------------------------------------------------------ */

/* Names every record at fault. The first tells the reason, the others leave it to the partition's.
 */
static void
fill_record_errors(struct mr_request *request, struct produce_item *item)
{
    struct produce *produce = request->state_of_handler;
    int32_t count = item->refusal.record_count;
    struct mr_produce_response_record_error *records;
    int32_t *indexes;

    count = count < produce->record_errors_left ? count : produce->record_errors_left;
    count = count > 1 ? count : 1;
    records = mr_request_alloc(request, (size_t)count, sizeof(*records));
    indexes = mr_request_alloc(request, (size_t)count, sizeof(*indexes));
    if (!records || !indexes) {
        return;
    }
    indexes[0] = item->refusal.record_index;
    if (count > 1) {
        count =
            mr_batch_refused(item->records.iov, item->records.iov_count, (size_t)item->records.size,
                             &item->rules, request->server->scratch, indexes, count);
        produce->record_errors_left -= count;
    }
    for (int32_t i = 0; i < count; i++) {
        records[i].batch_index = indexes[i];
        records[i].batch_index_error_message =
            i == 0 ? mr_str_from_c(item->refusal.message) : mr_str_null();
    }
    item->response->record_errors = records;
    item->response->record_errors_count = count;
}

static void
fill_refusal(struct mr_request *request, struct produce_item *item)
{
    item->response->error_message =
        mr_str_from_c(item->refusal.message ? item->refusal.message
                                            : mr_kafka_err_text(item->response->error_code));
    if (item->refusal.record_index >= 0) {
        fill_record_errors(request, item);
    }
}

static void
count_item(struct mr_server *server, const struct produce_item *item)
{
    struct mr_ctl_metrics_topic *topic =
        mr_topic_stats_at(server->topic_stats, &item->base.id.topic_id, server->snapshot);

    server->stats.produce_bytes += (uint64_t)item->append.batch.header.size;
    topic->bytes_in += (uint64_t)item->append.batch.header.size;
    topic->records_in += (uint64_t)item->append.batch.header.record_count;
}

static bool
fill_item(struct mr_request *request, struct produce_item *item)
{
    struct mr_produce_response_partition *out = item->response;

    out->error_code = (int16_t)item->append.error;
    out->base_offset = -1;
    out->log_append_time_ms = -1;
    out->log_start_offset = item->start_told ? item->append.log_start_offset : -1;
    if (item->append.error == MR_KAFKA_NONE) {
        out->base_offset = item->append.base_offset;
        out->log_append_time_ms = item->append.append_time_ms;
        out->log_start_offset = item->append.log_start_offset;
        count_item(request->server, item);
        return true;
    }
    fill_refusal(request, item);
    return false;
}

static void
finish(struct mr_split *split)
{
    struct produce *produce = MR_CONTAINER_OF(split, struct produce, split);
    struct produce_item *items = split->items;
    bool all_good = true;

    for (unsigned i = 0; i < split->item_count; i++) {
        all_good &= fill_item(split->request, &items[i]);
    }
    if (!produce->acks_zero) {
        mr_request_answer(split->request, &produce->response);
    } else if (all_good) {
        mr_request_done_silent(split->request);
    } else {
        mr_request_fail(split->request); /* the one way to tell a client that wants no answers */
    }
}

/* ---- on the owner ---------------------------------------------------------------------------- */

static void
part_check_done(struct mr_part *part)
{
    mr_part_check_done(part, MR_MSG_PRODUCE_REPLY, mr_part_replied);
}

/* Kafka tells the log's start with most errors, but not with those of the partition or of the bytes
 * as a whole. */
static void
tell_start(const struct mr_log *log, struct produce_item *item)
{
    struct mr_log_offsets offsets = {0};

    if (item->refusal.of_request || item->append.error == MR_KAFKA_KAFKA_STORAGE_ERROR ||
        item->append.error == MR_KAFKA_CORRUPT_MESSAGE ||
        item->append.error == MR_KAFKA_MESSAGE_TOO_LARGE ||
        item->append.error == MR_KAFKA_RECORD_LIST_TOO_LARGE) {
        return;
    }
    if (log) {
        mr_log_offsets(log, &offsets);
    }
    item->start_told = true;
    item->append.log_start_offset = offsets.start;
}

static void
on_appended(struct mr_append *append)
{
    struct produce_item *item = MR_CONTAINER_OF(append, struct produce_item, append);

    if (append->error != MR_KAFKA_NONE) {
        struct mr_store *store = mr_topic_store(item->base.part->owner, &item->base.id, NULL);

        tell_start(store ? mr_store_log_find(store, &item->base.id) : NULL, item);
    }
    item->base.part->pending--;
    part_check_done(item->base.part);
}

static void
set_rules(const struct mr_server *owner, struct produce_item *item,
          const struct mr_snapshot_topic *topic)
{
    item->rules = (struct mr_batch_rules){
        .size_max = topic->limits.max_message_bytes,
        .segment_size_max = topic->limits.segment_bytes,
        .append_time = topic->limits.append_time,
        .now_ms = mr_clock_wall_ms(owner->shard->clock),
        .timestamp_before_ms = topic->limits.timestamp_before_ms,
        .timestamp_after_ms = topic->limits.timestamp_after_ms,
        .keys_required = topic->limits.compact,
        .zstd_allowed = item->zstd_allowed,
        .transactional_allowed = item->transactional_allowed,
    };
}

/* Validates the batch, and brings it into the topic's codec. */
static enum mr_kafka_err
judge_item(struct mr_server *owner, struct produce_item *item,
           const struct mr_snapshot_topic *topic, struct mr_batch_recompressed *recompressed)
{
    int codec = topic->limits.codec;
    enum mr_kafka_err error;

    set_rules(owner, item, topic);
    error =
        mr_batch_validate(item->records.iov, item->records.iov_count, (size_t)item->records.size,
                          &item->rules, owner->scratch, &item->append.batch, &item->refusal);
    if (error == MR_KAFKA_NONE && codec >= 0 &&
        codec != (item->append.batch.header.attributes & MR_BATCH_ATTR_CODEC)) {
        error = mr_batch_recompress(&item->append.batch, (enum mr_batch_codec)codec, &item->rules,
                                    owner->scratch, recompressed);
        if (error != MR_KAFKA_NONE) {
            item->refusal.message = "the batch does not fit in the topic's codec";
        }
    }
    return error;
}

/* Appends a judged batch; as run_item(). */
static int
append_item(struct mr_server *owner, struct mr_part *part, struct produce_item *item,
            struct mr_store *store, const struct mr_snapshot_topic *topic)
{
    struct mr_log *log = mr_store_log_make(store, &item->base.id);
    int error;

    if (!log) {
        item->append.error = MR_KAFKA_KAFKA_STORAGE_ERROR;
        item->refusal.message = "the store holds as many partitions as its profile allows";
        return 0;
    }
    item->append.leader_epoch =
        mr_snapshot_leader_epoch(owner->snapshot, topic, item->base.id.partition);
    item->append.segment_bytes = (uint32_t)topic->limits.segment_bytes;
    item->append.segment_ms = topic->limits.segment_ms;
    item->append.done = on_appended;
    error = mr_log_append(log, &item->append);
    if (error == 0) {
        part->pending++;
    }
    return error;
}

/* Validates and appends one batch. -EAGAIN: the store has no room yet. Otherwise the item is
 * answered, now or by on_appended(). */
static int
run_item(struct mr_server *owner, struct mr_part *part, struct produce_item *item)
{
    const struct mr_snapshot_topic *topic;
    struct mr_store *store = mr_topic_store(owner, &item->base.id, &topic);
    struct mr_batch_recompressed recompressed = {0};
    int error = 0;

    if (!store) {
        item->append.error =
            item->topic_by_id ? MR_KAFKA_UNKNOWN_TOPIC_ID : MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return 0;
    }
    item->append.error = judge_item(owner, item, topic, &recompressed);
    if (item->append.error == MR_KAFKA_NONE) {
        error = append_item(owner, part, item, store, topic);
    } else {
        tell_start(mr_store_log_find(store, &item->base.id), item);
    }
    mr_batch_recompressed_free(&recompressed); /* the log has copied it */
    return error;
}

void
mr_produce_run(struct mr_server *owner, struct mr_part *part, unsigned from)
{
    part->owner = owner;
    part->from = (uint16_t)from;
    /* What waits already goes first, or a connection's order would be lost. */
    if (!part->waited && !mr_list_empty(&owner->appends_waiting)) {
        mr_part_wait(part, &owner->appends_waiting);
        return;
    }
    while (part->next < part->count) {
        struct produce_item *item = part->items[part->next];

        if (run_item(owner, part, item) == -EAGAIN) {
            mr_part_wait(part, &owner->appends_waiting);
            return;
        }
        part->next++;
    }
    part_check_done(part);
}

/* ---- on the connection's shard --------------------------------------------------------------- */

/* What speaks against a partition of the request before its owner is asked. */
static enum mr_kafka_err
judge_partition(const struct mr_request *request, const struct mr_topic_ref *ref,
                const struct mr_produce_request_partition *partition, struct produce_item *item)
{
    if (!ref->topic) {
        return ref->error;
    }
    /* As in Kafka: tools that know what they do say so by their client id. */
    if (ref->topic->internal && !mr_str_equal_c(request->client_id, ADMIN_CLIENT_ID)) {
        return MR_KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    if (item->base.shard == MR_PART_NONE) {
        return MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    if (partition->records.size <= 0) {
        item->refusal.message = "the partition has no batch";
        return MR_KAFKA_INVALID_RECORD;
    }
    return MR_KAFKA_NONE;
}

static void
add_item(struct produce *produce, const struct mr_topic_ref *ref,
         const struct mr_produce_request_partition *partition,
         struct mr_produce_response_partition *out)
{
    const struct mr_request *request = produce->split.request;
    struct produce_item *item = mr_split_add(&produce->split, ref->topic, partition->index);

    item->response = out;
    item->refusal.record_index = -1;
    item->records = partition->records;
    item->topic_by_id = request->version >= VERSION_TOPIC_ID;
    item->zstd_allowed = request->version >= VERSION_ZSTD;
    item->transactional_allowed = false;
    item->append.error = judge_partition(request, ref, partition, item);
    if (item->append.error) {
        item->base.shard = MR_PART_NONE;
    }
}

static bool
add_topic(struct produce *produce, const struct mr_produce_request_topic *topic,
          struct mr_produce_response_topic *out)
{
    struct mr_request *request = produce->split.request;
    struct mr_topic_ref ref = mr_topic_resolve(request->server, topic->name, &topic->topic_id,
                                               request->version >= VERSION_TOPIC_ID);

    out->name = topic->name;
    out->topic_id = topic->topic_id;
    out->partition_responses_count = topic->partition_data_count;
    out->partition_responses = mr_request_alloc(
        request, mr_array_count(topic->partition_data_count), sizeof(*out->partition_responses));
    for (int32_t p = 0; out->partition_responses && p < topic->partition_data_count; p++) {
        struct mr_produce_response_partition *response = &out->partition_responses[p];

        response->index = topic->partition_data[p].index;
        response->error_message = mr_str_null();
        response->current_leader = (struct mr_produce_response_leader){-1, -1};
        add_item(produce, &ref, &topic->partition_data[p], response);
    }
    return out->partition_responses != NULL;
}

static size_t
count_partitions(const struct mr_produce_request *body)
{
    size_t count = 0;

    for (int32_t t = 0; t < body->topic_data_count; t++) {
        count += mr_array_count(body->topic_data[t].partition_data_count);
    }
    return count;
}

/* Builds items and the response's skeleton. False without memory. */
static bool
prepare(struct mr_request *request, struct produce *produce)
{
    const struct mr_produce_request *body = request->body;
    struct mr_produce_response *response = &produce->response;

    response->responses = mr_request_alloc(request, mr_array_count(body->topic_data_count),
                                           sizeof(*response->responses));
    response->responses_count = body->topic_data_count;
    if (!response->responses ||
        !mr_split_init(&produce->split, request, sizeof(struct produce_item),
                       count_partitions(body), finish)) {
        return false;
    }
    for (int32_t t = 0; t < body->topic_data_count; t++) {
        if (!add_topic(produce, &body->topic_data[t], &response->responses[t])) {
            return false;
        }
    }
    return true;
}

/* A fault of the whole request: every partition is answered with it. */
static enum mr_kafka_err
request_error(const struct mr_produce_request *body)
{
    if (body->acks < -1 || body->acks > 1) {
        return MR_KAFKA_INVALID_REQUIRED_ACKS;
    }
    if (body->transactional_id.size >= 0) {
        return MR_KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED; /* not served yet */
    }
    return MR_KAFKA_NONE;
}

static void
refuse_all(struct produce *produce, enum mr_kafka_err error)
{
    struct produce_item *items = produce->split.items;

    for (unsigned i = 0; i < produce->split.item_count; i++) {
        items[i].base.shard = MR_PART_NONE;
        items[i].append.error = error;
        items[i].refusal = (struct mr_batch_refusal){.record_index = -1};
    }
}

/* Everything up to the point where credits are needed. NULL without memory. */
static struct produce *
begin(struct mr_request *request)
{
    const struct mr_produce_request *body = request->body;
    struct produce *produce = mr_request_alloc(request, 1, sizeof(*produce));
    enum mr_kafka_err error;

    if (!produce || !prepare(request, produce)) {
        return NULL;
    }
    produce->acks_zero = body->acks == 0;
    produce->record_errors_left = RECORD_ERRORS_MAX;
    error = request_error(body);
    if (error) {
        refuse_all(produce, error);
    }
    return mr_split_make(&produce->split, MR_PART_PRODUCE) ? produce : NULL;
}

int
mr_produce_start(struct mr_request *request)
{
    struct produce *produce = request->state_of_handler;

    if (!produce) { /* else it is started again, for credits */
        produce = begin(request);
        request->state_of_handler = produce;
    }
    if (!produce) {
        mr_request_fail(request);
        return 0;
    }
    if (!mr_split_take(&produce->split, 1u << MR_MESH_REQUEST)) {
        return -EAGAIN;
    }
    mr_throttle_produce(request);
    mr_split_send(&produce->split, MR_MSG_PRODUCE, mr_produce_run);
    return 0;
}
