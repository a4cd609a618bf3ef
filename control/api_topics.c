/* control/api_topics.c: CreateTopics (key 19) and DeleteTopics (key 20). */
#include <stdlib.h>
#include <string.h>

#include "control/api.h"
#include "control/coordinator.h"
#include "control/placement.h"

#define VERSION_CONFIGS_BACK 5 /* KIP-525: the answer has the topic's configuration */
#define VERSION_TOPICS       6 /* DeleteTopics by name or id (KIP-516) */

const struct mr_snapshot_topic *
mr_topic_find(const struct mr_snapshot *snapshot, struct mr_str name)
{
    return name.size > 0 ? mr_snapshot_topic_by_name(snapshot, name.data, (uint32_t)name.size)
                         : NULL;
}

const char *
mr_topic_name_fault(struct mr_str name)
{
    if (name.size < 1) {
        return "a topic name must not be empty";
    }
    if (name.size > (int32_t)MR_TOPIC_NAME_MAX) {
        return "a topic name has at most 249 characters";
    }
    if ((name.size == 1 && name.data[0] == '.') ||
        (name.size == 2 && memcmp(name.data, "..", 2) == 0)) {
        return "a topic name must be neither \".\" nor \"..\"";
    }
    for (int32_t i = 0; i < name.size; i++) {
        char c = name.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-')) {
            return "a topic name consists of letters, digits, '.', '_' and '-'";
        }
    }
    return NULL;
}

static void
refuse(struct mr_create_topics_response_topic *answer, enum mr_kafka_err error,
       struct mr_str message)
{
    answer->error_code = (int16_t)error;
    answer->error_message = message;
}

/* ---- judging a new topic --------------------------------------------------------------------- */

/* Which topics are named more than once, by index; NULL without memory. */
static uint8_t *
find_named_twice(struct mr_ctl_request *request)
{
    const struct mr_create_topics_request *body = request->request;
    struct mr_str *names = mr_ctl_array(request, body->topics_count, sizeof(*names));

    for (int32_t i = 0; names && i < body->topics_count; i++) {
        names[i] = body->topics[i].name;
    }
    return names ? mr_ctl_named_twice(request, names, body->topics_count) : NULL;
}

/* The number of partitions, or -1 with the answer refused. */
static int32_t
judge_assignments(struct mr_control *control, struct mr_ctl_request *request,
                  const struct mr_create_topics_request_topic *topic,
                  struct mr_create_topics_response_topic *answer)
{
    bool *found;

    if (topic->num_partitions != -1 || topic->replication_factor != -1) {
        refuse(answer, MR_KAFKA_INVALID_REQUEST,
               mr_str_from_c("a replica assignment excludes partition count and replication "
                             "factor, which must both be -1"));
        return -1;
    }
    found = mr_ctl_array(request, topic->assignments_count, sizeof(*found));
    for (int32_t i = 0; found && i < topic->assignments_count; i++) {
        const struct mr_create_topics_request_replica_assignment *one = &topic->assignments[i];

        if (one->partition_index >= 0 && one->partition_index < topic->assignments_count &&
            one->broker_ids_count == 1 && mr_node_can_hold(control, one->broker_ids[0])) {
            found[one->partition_index] = true;
        }
    }
    for (int32_t i = 0; i < topic->assignments_count; i++) {
        if (!found || !found[i]) {
            refuse(answer, MR_KAFKA_INVALID_REPLICA_ASSIGNMENT,
                   mr_ctl_text(request, "partition %d must be assigned to broker %d alone", i,
                               control->config.nodes.id));
            return -1;
        }
    }
    return topic->assignments_count;
}

static int32_t
judge_counts(struct mr_control *control, struct mr_ctl_request *request,
             const struct mr_create_topics_request_topic *topic,
             struct mr_create_topics_response_topic *answer)
{
    int32_t partitions = topic->num_partitions;
    int32_t factor = topic->replication_factor;

    if (topic->assignments_count > 0) {
        return judge_assignments(control, request, topic, answer);
    }
    if (partitions == -1) {
        partitions = (int32_t)mr_config_long(control->config.config, "num.partitions");
    }
    if (factor == -1) {
        factor = (int32_t)mr_config_long(control->config.config, "default.replication.factor");
    }
    if (partitions < 1 || partitions > (int32_t)MR_METADATA_TOPIC_PARTITIONS_MAX) {
        refuse(answer, MR_KAFKA_INVALID_PARTITIONS,
               mr_ctl_text(request, "the number of partitions must be between 1 and %u",
                           MR_METADATA_TOPIC_PARTITIONS_MAX));
        return -1;
    }
    if (factor < 1) {
        refuse(answer, MR_KAFKA_INVALID_REPLICATION_FACTOR,
               mr_str_from_c("the replication factor must be positive"));
        return -1;
    }
    if (factor > 1) {
        refuse(answer, MR_KAFKA_INVALID_REPLICATION_FACTOR,
               mr_ctl_text(request,
                           "replication factor %d needs %d brokers, but this cluster has 1 broker",
                           factor, factor));
        return -1;
    }
    return partitions;
}

/* Takes the overrides over; false: refused. The texts are in the request's memory. */
static bool
judge_configs(struct mr_ctl_request *request, const struct mr_create_topics_request_topic *topic,
              const char *overrides[MR_TOPIC_KEYS], struct mr_create_topics_response_topic *answer)
{
    for (int32_t i = 0; i < topic->configs_count; i++) {
        struct mr_str name = topic->configs[i].name;
        struct mr_str value = topic->configs[i].value;
        int key = name.size > 0 ? mr_topic_key_find(name.data, (size_t)name.size) : -1;
        char error[300];
        struct mr_str text;

        if (key < 0) {
            refuse(answer, MR_KAFKA_INVALID_CONFIG,
                   mr_ctl_text(request, "unknown topic configuration '%.*s'", (int)name.size,
                               name.data));
            return false;
        }
        if (value.size < 0) {
            refuse(answer, MR_KAFKA_INVALID_CONFIG,
                   mr_ctl_text(request, "no value for '%s'", mr_topic_key_at((unsigned)key)->name));
            return false;
        }
        text = mr_ctl_text(request, "%.*s", (int)value.size, value.data);
        if (text.size != value.size) {
            refuse(answer, MR_KAFKA_INVALID_CONFIG, mr_str_from_c("the value is too long"));
            return false;
        }
        if (mr_topic_config_check(key, text.data, error, sizeof(error)) != 0) {
            refuse(answer, MR_KAFKA_INVALID_CONFIG, mr_ctl_text(request, "%s", error));
            return false;
        }
        overrides[key] = text.data;
    }
    return true;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void
fill_configs(struct mr_control *control, struct mr_ctl_request *request,
             const char *const overrides[MR_TOPIC_KEYS],
             struct mr_create_topics_response_topic *answer)
{
    const struct mr_topic_defaults *defaults = mr_metadata_defaults(control->metadata);

    answer->configs = mr_ctl_array(request, MR_TOPIC_KEYS, sizeof(*answer->configs));
    if (!answer->configs) {
        answer->configs_count = -1; /* KIP-525 allows to leave them out */
        return;
    }
    answer->configs_count = MR_TOPIC_KEYS;
    for (unsigned i = 0; i < MR_TOPIC_KEYS; i++) {
        const struct mr_topic_key *key = mr_topic_key_at(i);

        answer->configs[i].name = mr_str_from_c(key->name);
        answer->configs[i].value =
            mr_ctl_copy(request, overrides[i] ? overrides[i] : defaults->values[i]);
        answer->configs[i].config_source =
            overrides[i] ? MR_CONFIG_SOURCE_TOPIC : mr_topic_default_source(control, key);
    }
}

static void
on_created(struct mr_proposal *proposal, const struct mr_metadata_outcome *outcome)
{
    struct mr_create_topics_response_topic *answer = proposal->slot;

    if (outcome->error) {
        refuse(answer, outcome->error, mr_str_from_c(mr_kafka_err_text(outcome->error)));
        answer->num_partitions = -1;
        answer->replication_factor = -1;
        answer->configs_count = 0;
        answer->topic_id = (struct mr_uuid){{0}};
    }
}

/* ---- CreateTopics ---------------------------------------------------------------------------- */

/* With fewer stores than shards some of this machine's brokers have none. */
bool
mr_node_can_hold(const struct mr_control *control, int32_t node_id)
{
    int32_t slot = mr_node_slot(&control->config.nodes, node_id);

    return slot >= 0 && (uint32_t)slot < control->store_count;
}

uint16_t *
mr_partitions_place(const struct mr_control *control, const uint16_t *places, uint32_t count)
{
    uint16_t *stores = calloc(count, sizeof(*stores));
    uint32_t *load = calloc(control->store_count, sizeof(*load));

    if (stores && load) {
        for (uint16_t s = 0; s < control->store_count; s++) {
            load[s] = mr_metadata_store_load(control->metadata, s);
        }
        mr_placement(load, control->store_count, places, control->config.nodes.count, stores,
                     count);
    } else {
        free(stores);
        stores = NULL;
    }
    free(load);
    return stores;
}

enum mr_kafka_err
mr_topic_propose(struct mr_control *control, struct mr_op *op, struct mr_metadata_new_topic *topic,
                 const uint16_t *places,
                 void (*decided)(struct mr_proposal *proposal,
                                 const struct mr_metadata_outcome *outcome),
                 void *slot)
{
    uint16_t *stores = mr_partitions_place(control, places, topic->partition_count);
    uint8_t *bytes = malloc(MR_METADATA_COMMAND_MAX);
    enum mr_kafka_err error = MR_KAFKA_UNKNOWN_SERVER_ERROR;

    topic->id = mr_uuid_random();
    if (op && op->log_full) {
        error = MR_KAFKA_REQUEST_TIMED_OUT; /* a request of many topics must not hold others up */
    } else if (!mr_partitions_fit(control, topic->partition_count)) {
        error = MR_KAFKA_POLICY_VIOLATION;
    } else if (stores && bytes) {
        topic->stores = stores;
        error = mr_propose(control, op, bytes,
                           mr_metadata_encode_create_topic(bytes, MR_METADATA_COMMAND_MAX, topic),
                           decided, slot);
    }
    if (error == MR_KAFKA_NONE) {
        mr_partitions_proposed(control, topic->partition_count);
    }
    free(stores);
    free(bytes);
    return error;
}

/* Where the request assigns the partitions, which has been judged; NULL: nowhere. */
static uint16_t *
places_of(struct mr_op *op, const struct mr_create_topics_request_topic *topic)
{
    uint16_t *places = topic->assignments_count > 0
                           ? mr_ctl_array(op->request, topic->assignments_count, sizeof(*places))
                           : NULL;

    for (int32_t i = 0; places && i < topic->assignments_count; i++) {
        const struct mr_create_topics_request_replica_assignment *one = &topic->assignments[i];

        places[one->partition_index] =
            (uint16_t)mr_node_slot(&op->control->config.nodes, one->broker_ids[0]);
    }
    return places;
}

static enum mr_kafka_err
propose_topic(struct mr_op *op, const struct mr_create_topics_request_topic *topic,
              int32_t partitions, const char *const overrides[MR_TOPIC_KEYS],
              struct mr_create_topics_response_topic *answer)
{
    struct mr_metadata_new_topic command = {
        .name = topic->name.data,
        .name_size = (uint32_t)topic->name.size,
        .internal = mr_str_equal_c(topic->name, MR_OFFSETS_TOPIC),
        .partition_count = (uint32_t)partitions,
    };
    enum mr_kafka_err error;

    memcpy(command.overrides, overrides, sizeof(command.overrides));
    error = mr_topic_propose(op->control, op, &command, places_of(op, topic), on_created, answer);
    answer->topic_id = error ? (struct mr_uuid){{0}} : command.id;
    return error;
}

/* Null: the name may be a new topic's. Else what is wrong with it, in Kafka's words where its tools
 * show them. */
static struct mr_str
judge_name(struct mr_op *op, const struct mr_snapshot *snapshot, struct mr_str name,
           bool named_twice, enum mr_kafka_err *error)
{
    const char *fault = mr_topic_name_fault(name);

    if (named_twice) {
        *error = MR_KAFKA_INVALID_REQUEST;
        return mr_str_from_c("the topic is named twice");
    }
    if (!fault && mr_topic_find(snapshot, name)) {
        *error = MR_KAFKA_TOPIC_ALREADY_EXISTS;
        return mr_ctl_text(op->request, "Topic '%.*s' already exists.", (int)name.size, name.data);
    }
    if (!fault && mr_metadata_collides(op->control->metadata, name.data, (uint32_t)name.size)) {
        fault = "another topic's name differs in '.' and '_' only";
    }
    *error = fault ? MR_KAFKA_INVALID_TOPIC_EXCEPTION : MR_KAFKA_NONE;
    return fault ? mr_str_from_c(fault) : mr_str_null();
}

static void
create_topic(struct mr_op *op, const struct mr_snapshot *snapshot, int32_t at, bool named_twice,
             struct mr_create_topics_response_topic *answer)
{
    struct mr_control *control = op->control;
    struct mr_ctl_request *request = op->request;
    const struct mr_create_topics_request *body = request->request;
    const struct mr_create_topics_request_topic *topic = &body->topics[at];
    const char *overrides[MR_TOPIC_KEYS] = {NULL};
    enum mr_kafka_err error;
    struct mr_str fault = judge_name(op, snapshot, topic->name, named_twice, &error);
    int32_t partitions;

    answer->name = topic->name;
    answer->error_message = mr_str_null();
    answer->num_partitions = -1;
    answer->replication_factor = -1;
    if (error) {
        refuse(answer, error, fault);
        return;
    }
    partitions = judge_counts(control, request, topic, answer);
    if (partitions < 0 || !judge_configs(request, topic, overrides, answer)) {
        return;
    }
    if (!mr_partitions_fit(control, (uint32_t)partitions)) {
        refuse(answer, MR_KAFKA_POLICY_VIOLATION, mr_str_from_c(MR_PARTITIONS_FULL));
        return;
    }
    if (body->validate_only) {
        answer->topic_id = mr_uuid_random(); /* as in Kafka: what it might have been */
    } else {
        error = propose_topic(op, topic, partitions, overrides, answer);
        if (error) {
            refuse(answer, error, mr_str_from_c(mr_kafka_err_text(error)));
            return;
        }
    }
    answer->num_partitions = partitions;
    answer->replication_factor = 1;
    if (request->api_version >= VERSION_CONFIGS_BACK) {
        fill_configs(control, request, overrides, answer);
    }
}

void
mr_api_create_topics(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_create_topics_request *body = request->request;
    struct mr_create_topics_response *response = request->response;
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    uint8_t *twice = find_named_twice(request);
    struct mr_op *op;

    response->topics = mr_ctl_array(request, body->topics_count, sizeof(*response->topics));
    if (!response->topics || !twice || !snapshot) {
        if (snapshot) {
            mr_metadata_snapshot_release(snapshot);
        }
        mr_ctl_fail(control, request, from);
        return;
    }
    op = mr_op_begin(control, request, from);
    if (op) {
        for (int32_t i = 0; i < body->topics_count; i++) {
            if (twice[i] != MR_CTL_LATER) { /* it has its answer */
                create_topic(op, snapshot, i, twice[i] != 0,
                             &response->topics[response->topics_count++]);
            }
        }
        mr_op_go(op);
    }
    mr_metadata_snapshot_release(snapshot);
}

/* ---- DeleteTopics ---------------------------------------------------------------------------- */

static void
on_deleted(struct mr_proposal *proposal, const struct mr_metadata_outcome *outcome)
{
    struct mr_delete_topics_response_topic *answer = proposal->slot;

    if (outcome->error) {
        answer->error_code = (int16_t)outcome->error;
        answer->error_message = mr_str_from_c(mr_kafka_err_text(outcome->error));
    } else {
        mr_coordinator_topic_deleted(proposal->op->control->coordinator, answer->name);
    }
}

static void
delete_topic(struct mr_op *op, const struct mr_snapshot *snapshot, struct mr_str name,
             const struct mr_uuid *id, struct mr_delete_topics_response_topic *answer)
{
    bool by_id = name.size < 0;
    const struct mr_snapshot_topic *topic =
        by_id ? mr_snapshot_topic_by_id(snapshot, id) : mr_topic_find(snapshot, name);
    uint8_t command[64];
    enum mr_kafka_err error = MR_KAFKA_NONE;

    answer->name = name;
    answer->topic_id = *id;
    answer->error_message = mr_str_null();
    if (!by_id && !mr_uuid_is_zero(id)) {
        error = MR_KAFKA_INVALID_REQUEST; /* one of the two has to do */
    } else if (!topic) {
        error = by_id ? MR_KAFKA_UNKNOWN_TOPIC_ID : MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    } else if (!mr_config_bool(op->control->config.config, "delete.topic.enable")) {
        error = MR_KAFKA_TOPIC_DELETION_DISABLED;
    } else {
        /* The snapshot's text may be gone when the answer is encoded. */
        answer->name = mr_ctl_text(op->request, "%s", topic->name);
        answer->topic_id = topic->id;
        error = mr_propose(op->control, op, command,
                           mr_metadata_encode_delete_topic(command, sizeof(command), &topic->id),
                           on_deleted, answer);
    }
    if (error) {
        answer->error_code = (int16_t)error;
        answer->error_message = mr_str_from_c(mr_kafka_err_text(error));
    }
}

void
mr_api_delete_topics(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_delete_topics_request *body = request->request;
    struct mr_delete_topics_response *response = request->response;
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    bool by_struct = request->api_version >= VERSION_TOPICS;
    int32_t count = by_struct ? body->topics_count : body->topic_names_count;
    static const struct mr_uuid no_id;
    struct mr_op *op;

    response->responses = mr_ctl_array(request, count, sizeof(*response->responses));
    if (!response->responses || !snapshot) {
        if (snapshot) {
            mr_metadata_snapshot_release(snapshot);
        }
        mr_ctl_fail(control, request, from);
        return;
    }
    response->responses_count = count > 0 ? count : 0;
    op = mr_op_begin(control, request, from);
    if (op) {
        for (int32_t i = 0; i < count; i++) {
            delete_topic(op, snapshot, by_struct ? body->topics[i].name : body->topic_names[i],
                         by_struct ? &body->topics[i].topic_id : &no_id, &response->responses[i]);
        }
        mr_op_go(op);
    }
    mr_metadata_snapshot_release(snapshot);
}
