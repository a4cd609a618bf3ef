/* control/api_alter_configs.c: AlterConfigs (key 33) and IncrementalAlterConfigs (key 44).
 *
 * Both are judged against the state now and proposed as one command for each resource, which all
 * its keys change with or none. AlterConfigs replaces what was set before. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/api.h"

#define NODE_SIZE 16

/* One resource of either API. */
struct alter {
    struct mr_op *op;
    struct mr_ctl_request *request;
    bool incremental;
    bool validate_only;
    int8_t type;
    struct mr_str name;
    unsigned count;
    struct mr_metadata_change *changes;
    const struct mr_snapshot *snapshot;
    int16_t *error_code;
    struct mr_str *error_message;
};

__attribute__((format(printf, 3, 4))) static bool
refuse(struct alter *alter, enum mr_kafka_err error, const char *format, ...)
{
    char text[400];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    *alter->error_code = (int16_t)error;
    *alter->error_message = mr_ctl_copy(alter->request, text);
    return false;
}

/* ---- what both APIs ask ---------------------------------------------------------------------- */

/* Takes one change over; false: refused. */
static bool
take_change(struct alter *alter, struct mr_str name, int8_t op, struct mr_str value)
{
    struct mr_metadata_change *change = &alter->changes[alter->count];
    const char *key = mr_ctl_terminated(alter->request, name);

    if (!key) {
        return refuse(alter, MR_KAFKA_INVALID_REQUEST, "a key must be a text");
    }
    if (op < MR_CONFIG_SET || op > MR_CONFIG_SUBTRACT) {
        return refuse(alter, MR_KAFKA_UNKNOWN_SERVER_ERROR, "unknown operation %d", op);
    }
    if (op != MR_CONFIG_DELETE && value.size < 0) {
        return refuse(alter, MR_KAFKA_INVALID_REQUEST, "no value for %s", key);
    }
    change->op = (enum mr_config_op)op;
    change->name = key;
    change->value = op == MR_CONFIG_DELETE ? "" : mr_ctl_terminated(alter->request, value);
    if (!change->value || strlen(change->value) > UINT16_MAX || strlen(key) > UINT16_MAX) {
        return refuse(alter, MR_KAFKA_INVALID_CONFIG, "the value of %s cannot be kept", key);
    }
    alter->count++;
    return true;
}

static void
on_altered(struct mr_proposal *proposal, const struct mr_metadata_outcome *outcome)
{
    struct alter *alter = proposal->slot;

    if (outcome->error) {
        refuse(alter, outcome->error, "%s", mr_kafka_err_text(outcome->error));
    }
}

static void
propose(struct alter *alter, const uint8_t *bytes, size_t size)
{
    enum mr_kafka_err error =
        mr_propose(alter->op->control, alter->op, bytes, size, on_altered, alter);

    if (error) {
        refuse(alter, error, "%s", mr_kafka_err_text(error));
    }
}

/* Lists only grow and shrink. */
static bool
check_list(struct alter *alter, const struct mr_metadata_change *change, enum mr_config_type type)
{
    if ((change->op == MR_CONFIG_APPEND || change->op == MR_CONFIG_SUBTRACT) &&
        type != MR_CONFIG_LIST) {
        return refuse(alter, MR_KAFKA_INVALID_CONFIG, "%s is no list", change->name);
    }
    return true;
}

/* Judges what the change would make of a topic key's value. */
static bool
check_topic_value(struct alter *alter, const struct mr_metadata_change *change, int key,
                  const char *current, enum mr_kafka_err error)
{
    char text[300];
    char *value;
    bool good;

    if (change->op == MR_CONFIG_DELETE) {
        return true;
    }
    value = mr_config_op_apply((uint8_t)change->op, current, change->value);
    good = value && mr_topic_config_check(key, value, text, sizeof(text)) == 0;
    free(value);
    if (!value) {
        return refuse(alter, MR_KAFKA_UNKNOWN_SERVER_ERROR, "no memory");
    }
    return good || refuse(alter, error, "%s", text);
}

/* ---- topics ---------------------------------------------------------------------------------- */

static bool
check_topic(struct alter *alter, const struct mr_snapshot_topic *topic)
{
    const struct mr_metadata *metadata = alter->op->control->metadata;
    const struct mr_topic_defaults *defaults = mr_metadata_defaults(metadata);
    char *const *overrides = mr_metadata_overrides(metadata, &topic->id);

    for (unsigned i = 0; i < alter->count; i++) {
        const struct mr_metadata_change *change = &alter->changes[i];
        int key = mr_topic_key_find(change->name, strlen(change->name));

        if (key < 0 && change->op == MR_CONFIG_DELETE) {
            continue;
        }
        if (key < 0) {
            return refuse(alter, MR_KAFKA_INVALID_CONFIG, "unknown topic configuration %s",
                          change->name);
        }
        if (!check_list(alter, change, mr_topic_key_at((unsigned)key)->type) ||
            !check_topic_value(alter, change, key,
                               overrides[key] ? overrides[key] : defaults->values[key],
                               MR_KAFKA_INVALID_CONFIG)) {
            return false;
        }
    }
    return true;
}

static void
alter_topic(struct alter *alter)
{
    const struct mr_snapshot_topic *topic = mr_topic_find(alter->snapshot, alter->name);
    uint8_t *bytes;

    if (alter->name.size <= 0) {
        refuse(alter, MR_KAFKA_INVALID_REQUEST, "there is no default topic");
        return;
    }
    if (!topic) {
        refuse(alter, MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "The topic '%.*s' does not exist.",
               (int)alter->name.size, alter->name.data);
        return;
    }
    if (!check_topic(alter, topic) || alter->validate_only) {
        return;
    }
    bytes = malloc(MR_METADATA_COMMAND_MAX);
    if (!bytes) {
        refuse(alter, MR_KAFKA_UNKNOWN_SERVER_ERROR, "no memory");
        return;
    }
    propose(alter, bytes,
            mr_metadata_encode_topic_config(bytes, MR_METADATA_COMMAND_MAX, &topic->id,
                                            !alter->incremental, alter->changes, alter->count));
    free(bytes);
}

/* ---- brokers --------------------------------------------------------------------------------- */

/* The topic key whose default the broker's key sets, or -1. */
static int
topic_key_of(const char *name)
{
    for (unsigned i = 0; i < MR_TOPIC_KEYS; i++) {
        const char *synonym = mr_topic_key_at(i)->synonym;

        if (synonym && strcmp(synonym, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool
check_mode(struct alter *alter, const char *name, bool all)
{
    switch (mr_config_mode(name)) {
    case MR_CONFIG_MODE_RESTART:
        return refuse(alter, MR_KAFKA_INVALID_REQUEST, "%s takes a restart of the broker", name);
    case MR_CONFIG_MODE_LISTENER:
        return refuse(alter, MR_KAFKA_INVALID_REQUEST, "%s is a listener's: use its prefix", name);
    case MR_CONFIG_MODE_BROKER:
        return !all || refuse(alter, MR_KAFKA_INVALID_REQUEST, "%s is one broker's", name);
    case MR_CONFIG_MODE_CLUSTER:
        break;
    }
    return true;
}

/* As in Kafka, the cluster has a value of min.insync.replicas, and brokers have none. */
static bool
check_min_insync(struct alter *alter, const struct mr_metadata_change *change, bool all)
{
    if (strcmp(change->name, "min.insync.replicas") != 0) {
        return true;
    }
    if (!all) {
        return refuse(alter, MR_KAFKA_INVALID_CONFIG, "%s cannot be one broker's", change->name);
    }
    return change->op != MR_CONFIG_DELETE ||
           refuse(alter, MR_KAFKA_INVALID_CONFIG, "%s cannot be removed", change->name);
}

/* Keys that nobody knows are kept, as Kafka keeps them. */
static bool
check_broker_change(struct alter *alter, struct mr_metadata_change *change, bool all)
{
    const struct mr_control *control = alter->op->control;
    const struct mr_config_key *key = mr_config_key_find(change->name);
    struct mr_config_synonym synonyms[MR_CONFIG_SYNONYMS_MAX];
    int topic_key = topic_key_of(change->name);

    if (!check_min_insync(alter, change, all)) {
        return false;
    }
    if (!key || change->op == MR_CONFIG_DELETE) {
        return true;
    }
    if (!check_mode(alter, change->name, all) || !check_list(alter, change, key->type)) {
        return false;
    }
    change->base = mr_config_synonyms(control, change->name, synonyms) > 0 ? synonyms[0].value : "";
    if (topic_key >= 0) {
        return check_topic_value(alter, change, topic_key, change->base, MR_KAFKA_INVALID_REQUEST);
    }
    return mr_config_value_valid(key->type, change->value) ||
           refuse(alter, MR_KAFKA_INVALID_REQUEST, "%s is no value of %s", change->value,
                  change->name);
}

static void
alter_broker(struct alter *alter)
{
    char own[NODE_SIZE];
    uint8_t *bytes;

    snprintf(own, sizeof(own), "%d", alter->op->control->config.node_id);
    if (alter->name.size == 0) {
        own[0] = 0;
    } else if (!mr_config_of_this_broker(alter->op->control, alter->name)) {
        refuse(alter, MR_KAFKA_INVALID_REQUEST, "this is broker %s", own);
        return;
    }
    for (unsigned i = 0; i < alter->count; i++) {
        if (!check_broker_change(alter, &alter->changes[i], own[0] == 0)) {
            return;
        }
    }
    if (alter->validate_only) {
        return;
    }
    bytes = malloc(MR_METADATA_COMMAND_MAX);
    if (!bytes) {
        refuse(alter, MR_KAFKA_UNKNOWN_SERVER_ERROR, "no memory");
        return;
    }
    propose(alter, bytes,
            mr_metadata_encode_settings(bytes, MR_METADATA_COMMAND_MAX, MR_METADATA_BROKER, own,
                                        !alter->incremental, alter->changes, alter->count));
    free(bytes);
}

static void
alter_resource(struct alter *alter)
{
    if (alter->type == MR_RESOURCE_TOPIC) {
        alter_topic(alter);
    } else if (alter->type == MR_RESOURCE_BROKER) {
        alter_broker(alter);
    } else {
        refuse(alter, MR_KAFKA_INVALID_REQUEST, "resources of type %d cannot be configured here",
               alter->type);
    }
}

/* ---- the two APIs ---------------------------------------------------------------------------- */

static struct alter *
alter_begin(struct mr_ctl_request *request, int32_t configs, int8_t type, struct mr_str name)
{
    struct alter *alter = mr_ctl_array(request, 1, sizeof(*alter));

    if (!alter) {
        return NULL;
    }
    alter->request = request;
    alter->type = type;
    alter->name = name;
    alter->changes = mr_ctl_array(request, configs, sizeof(*alter->changes));
    return alter->changes ? alter : NULL;
}

/* A resource that is named twice is refused both times. false: no memory. */
static bool
check_resources(struct mr_ctl_request *request, struct alter **alters, int32_t count)
{
    struct mr_str *names = mr_ctl_array(request, count, sizeof(*names));
    uint8_t *twice;

    for (int32_t i = 0; names && i < count; i++) {
        names[i] = mr_ctl_text(request, "%d %.*s", alters[i]->type,
                               alters[i]->name.size > 0 ? (int)alters[i]->name.size : 0,
                               alters[i]->name.size > 0 ? alters[i]->name.data : "");
    }
    twice = names ? mr_ctl_named_twice(request, names, count) : NULL;
    for (int32_t i = 0; twice && i < count; i++) {
        if (twice[i]) {
            refuse(alters[i], MR_KAFKA_INVALID_REQUEST, "the resource is named twice");
        }
    }
    return twice != NULL;
}

static bool
check_keys(struct alter *alter)
{
    struct mr_str *names = mr_ctl_array(alter->request, alter->count, sizeof(*names));
    uint8_t *twice;

    for (unsigned i = 0; names && i < alter->count; i++) {
        names[i] = mr_str_from_c(alter->changes[i].name);
    }
    twice = names ? mr_ctl_named_twice(alter->request, names, (int32_t)alter->count) : NULL;
    for (unsigned i = 0; twice && i < alter->count; i++) {
        if (twice[i]) {
            refuse(alter, MR_KAFKA_INVALID_REQUEST, "%s is named twice", alter->changes[i].name);
            break;
        }
    }
    return twice != NULL;
}

static void
run(struct mr_control *control, struct mr_ctl_request *request, unsigned from,
    struct alter **alters, int32_t count)
{
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    bool good = snapshot && check_resources(request, alters, count);
    struct mr_op *op;

    for (int32_t i = 0; i < count && good; i++) {
        good = check_keys(alters[i]);
    }
    op = good ? mr_op_begin(control, request, from) : NULL;
    if (!good) {
        mr_ctl_fail(control, request, from);
    }
    for (int32_t i = 0; op && i < count; i++) {
        alters[i]->op = op;
        alters[i]->snapshot = snapshot;
        if (!*alters[i]->error_code) {
            alter_resource(alters[i]);
        }
    }
    if (op) {
        mr_op_go(op);
    }
    if (snapshot) {
        mr_metadata_snapshot_release(snapshot);
    }
}

static struct alter *
take_resource(struct mr_ctl_request *request, const struct mr_alter_configs_request_resource *in,
              struct mr_alter_configs_response_resource *out)
{
    struct alter *alter =
        alter_begin(request, in->configs_count, in->resource_type, in->resource_name);
    bool good = alter != NULL;

    *out = (struct mr_alter_configs_response_resource){0, mr_str_null(), in->resource_type,
                                                       in->resource_name};
    if (good) {
        alter->error_code = &out->error_code;
        alter->error_message = &out->error_message;
    }
    for (int32_t i = 0; i < in->configs_count && good; i++) {
        good = take_change(alter, in->configs[i].name, MR_CONFIG_SET, in->configs[i].value);
    }
    return alter;
}

void
mr_api_alter_configs(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_alter_configs_request *body = request->request;
    struct mr_alter_configs_response *response = request->response;
    int32_t count = body->resources_count > 0 ? body->resources_count : 0;
    struct alter **alters = mr_ctl_array(request, count, sizeof(struct alter *));
    bool good;

    response->responses = mr_ctl_array(request, count, sizeof(*response->responses));
    response->responses_count = count;
    good = alters && response->responses;
    for (int32_t i = 0; i < count && good; i++) {
        alters[i] = take_resource(request, &body->resources[i], &response->responses[i]);
        good = alters[i] != NULL;
        if (good) {
            alters[i]->validate_only = body->validate_only;
        }
    }
    if (good) {
        run(control, request, from, alters, count);
    } else {
        mr_ctl_fail(control, request, from);
    }
}

static struct alter *
take_incremental(struct mr_ctl_request *request,
                 const struct mr_incremental_alter_configs_request_resource *in,
                 struct mr_incremental_alter_configs_response_resource *out)
{
    struct alter *alter =
        alter_begin(request, in->configs_count, in->resource_type, in->resource_name);
    bool good = alter != NULL;

    *out = (struct mr_incremental_alter_configs_response_resource){
        0, mr_str_null(), in->resource_type, in->resource_name};
    if (good) {
        alter->incremental = true;
        alter->error_code = &out->error_code;
        alter->error_message = &out->error_message;
    }
    for (int32_t i = 0; i < in->configs_count && good; i++) {
        good = take_change(alter, in->configs[i].name, in->configs[i].config_operation,
                           in->configs[i].value);
    }
    return alter;
}

void
mr_api_incremental_alter_configs(struct mr_control *control, struct mr_ctl_request *request,
                                 unsigned from)
{
    const struct mr_incremental_alter_configs_request *body = request->request;
    struct mr_incremental_alter_configs_response *response = request->response;
    int32_t count = body->resources_count > 0 ? body->resources_count : 0;
    struct alter **alters = mr_ctl_array(request, count, sizeof(struct alter *));
    bool good;

    response->responses = mr_ctl_array(request, count, sizeof(*response->responses));
    response->responses_count = count;
    good = alters && response->responses;
    for (int32_t i = 0; i < count && good; i++) {
        alters[i] = take_incremental(request, &body->resources[i], &response->responses[i]);
        good = alters[i] != NULL;
        if (good) {
            alters[i]->validate_only = body->validate_only;
        }
    }
    if (good) {
        run(control, request, from, alters, count);
    } else {
        mr_ctl_fail(control, request, from);
    }
}
