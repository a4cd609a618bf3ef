/* control/api_configs.c: DescribeConfigs (key 32) and ListConfigResources (key 74).
 *
 * A value comes from the first place that has one: a topic's override, a dynamic setting of this
 * broker, one of all brokers, the configuration, what is built in. All of them are the synonyms. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/api.h"

/* ---- synonyms -------------------------------------------------------------------------------- */

#define NAMES_MAX 3

/* Keys that say the same in other units; the smaller unit comes first and wins. */
static const char *const units[][NAMES_MAX] = {
    {"log.retention.ms", "log.retention.minutes", "log.retention.hours"},
    {"log.roll.ms", "log.roll.hours", NULL},
    {"log.roll.jitter.ms", "log.roll.jitter.hours", NULL},
    {"log.flush.interval.ms", "log.flush.scheduler.interval.ms", NULL},
};

static const char *const *
names_of(const char *name, const char *own[NAMES_MAX])
{
    for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        for (unsigned k = 0; k < NAMES_MAX && units[i][k]; k++) {
            if (strcmp(units[i][k], name) == 0) {
                return units[i];
            }
        }
    }
    own[0] = name;
    own[1] = NULL;
    return own;
}

/* The cluster's dynamic default. Apache Kafka keeps min.insync.replicas as one, and its tools print
 * it for every topic because of that. */
static const char *
cluster_setting(const struct mr_control *control, const char *name)
{
    const char *value = mr_metadata_setting(control->metadata, MR_METADATA_BROKER, "", name);

    return !value && strcmp(name, "min.insync.replicas") == 0
               ? mr_config_get(control->config.config, name)
               : value;
}

static const char *
value_at(const struct mr_control *control, const char *name, int8_t source)
{
    const struct mr_config_key *key = mr_config_key_find(name);
    char own[16];

    switch (source) {
    case MR_CONFIG_SOURCE_DYNAMIC_BROKER:
        snprintf(own, sizeof(own), "%d", control->config.node_id);
        return mr_metadata_setting(control->metadata, MR_METADATA_BROKER, own, name);
    case MR_CONFIG_SOURCE_DYNAMIC_DEFAULT:
        return cluster_setting(control, name);
    case MR_CONFIG_SOURCE_STATIC_BROKER:
        return key && mr_config_origin(control->config.config, name)
                   ? mr_config_get(control->config.config, name)
                   : NULL;
    default:
        return key ? key->initial : NULL;
    }
}

unsigned
mr_config_synonyms(const struct mr_control *control, const char *name,
                   struct mr_config_synonym out[MR_CONFIG_SYNONYMS_MAX])
{
    const char *own[NAMES_MAX];
    const char *const *names = names_of(name, own);
    unsigned count = 0;

    for (int8_t source = MR_CONFIG_SOURCE_DYNAMIC_BROKER; source <= MR_CONFIG_SOURCE_DEFAULT;
         source++) {
        for (unsigned i = 0; i < NAMES_MAX && names[i]; i++) {
            const char *value = value_at(control, names[i], source);

            /* As in Kafka, what stands before the key itself is left out. */
            if (value && (count > 0 || strcmp(names[i], name) == 0)) {
                out[count++] = (struct mr_config_synonym){names[i], value, source};
            }
        }
    }
    return count;
}

int8_t
mr_topic_default_source(const struct mr_control *control, const struct mr_topic_key *key)
{
    struct mr_config_synonym synonyms[MR_CONFIG_SYNONYMS_MAX];

    return key->synonym && mr_config_synonyms(control, key->synonym, synonyms) > 0
               ? synonyms[0].source
               : MR_CONFIG_SOURCE_DEFAULT;
}

/* ---- one key of an answer -------------------------------------------------------------------- */

static bool
wanted(const struct mr_describe_configs_request_resource *resource, const char *name)
{
    if (resource->configuration_keys_count < 0) {
        return true; /* null: all */
    }
    for (int32_t i = 0; i < resource->configuration_keys_count; i++) {
        if (mr_str_equal_c(resource->configuration_keys[i], name)) {
            return true;
        }
    }
    return false;
}

/* What one answer is made of. Texts are copied into the request: the state may change before the
 * answer is encoded. */
struct describe {
    struct mr_control *control;
    struct mr_ctl_request *request;
    const struct mr_describe_configs_request_resource *resource;
    struct mr_describe_configs_response_result *out;
    uint32_t capacity;
    bool good; /* false: no memory */
};

static struct mr_describe_configs_response_config *
add_config(struct describe *describe, const char *name, const char *value, enum mr_config_type type)
{
    struct mr_describe_configs_response_config *config =
        &describe->out->configs[describe->out->configs_count++];

    config->name = mr_ctl_copy(describe->request, name);
    config->is_sensitive = type == MR_CONFIG_PASSWORD;
    config->value = mr_str_null();
    if (value && !config->is_sensitive) {
        config->value = mr_ctl_copy(describe->request, value);
        describe->good &= config->value.size >= 0;
    }
    config->config_type = (int8_t)(type + 1); /* Kafka counts from BOOLEAN = 1 in this order */
    config->config_source = MR_CONFIG_SOURCE_DEFAULT;
    config->documentation = mr_str_null();
    describe->good &= config->name.size >= 0;
    return config;
}

static void
add_synonym(struct describe *describe, struct mr_describe_configs_response_config *config,
            const struct mr_config_synonym *synonym)
{
    struct mr_describe_configs_response_synonym *out;

    if (!config->synonyms) {
        config->synonyms =
            mr_ctl_array(describe->request, MR_CONFIG_SYNONYMS_MAX + 1, sizeof(*config->synonyms));
    }
    if (!config->synonyms) {
        describe->good = false;
        return;
    }
    out = &config->synonyms[config->synonyms_count++];
    out->name = mr_ctl_copy(describe->request, synonym->name);
    out->value =
        config->is_sensitive ? mr_str_null() : mr_ctl_copy(describe->request, synonym->value);
    out->source = synonym->source;
}

/* What the key is for, and whether setting it does anything here. */
static void
add_documentation(struct describe *describe, struct mr_describe_configs_response_config *config,
                  const char *documentation, bool acted)
{
    const struct mr_describe_configs_request *body = describe->request->request;

    if (body->include_documentation) {
        config->documentation = mr_ctl_text(describe->request, "%s%s", documentation,
                                            acted ? "" : " (kept, and not acted on)");
        describe->good &= config->documentation.size >= 0;
    }
}

/* Where the value comes from, and the synonyms where they are wanted; `override` may be NULL. */
static void
add_sources(struct describe *describe, struct mr_describe_configs_response_config *config,
            const char *override_name, const char *override, const char *broker_key)
{
    const struct mr_describe_configs_request *body = describe->request->request;
    struct mr_config_synonym synonyms[MR_CONFIG_SYNONYMS_MAX];
    unsigned count = broker_key ? mr_config_synonyms(describe->control, broker_key, synonyms) : 0;

    if (override) {
        config->config_source = MR_CONFIG_SOURCE_TOPIC;
    } else if (count > 0) {
        config->config_source = synonyms[0].source;
    }
    if (!body->include_synonyms) {
        return;
    }
    if (override) {
        add_synonym(describe, config,
                    &(struct mr_config_synonym){override_name, override, MR_CONFIG_SOURCE_TOPIC});
    }
    for (unsigned i = 0; i < count; i++) {
        add_synonym(describe, config, &synonyms[i]);
    }
}

static bool
make_configs(struct describe *describe, uint32_t capacity)
{
    describe->capacity = capacity;
    describe->out->configs =
        mr_ctl_array(describe->request, capacity, sizeof(*describe->out->configs));
    describe->good &= describe->out->configs != NULL;
    return describe->good;
}

static void
refuse(struct describe *describe, enum mr_kafka_err error, struct mr_str message)
{
    describe->out->error_code = (int16_t)error;
    describe->out->error_message = message;
}

/* ---- topics ---------------------------------------------------------------------------------- */

static void
describe_overrides(struct describe *describe, char *const *overrides)
{
    const struct mr_topic_defaults *defaults = mr_metadata_defaults(describe->control->metadata);

    if (!make_configs(describe, MR_TOPIC_KEYS)) {
        return;
    }
    for (unsigned i = 0; i < MR_TOPIC_KEYS; i++) {
        const struct mr_topic_key *key = mr_topic_key_at(i);

        if (wanted(describe->resource, key->name)) {
            const char *value = overrides[i] ? overrides[i] : defaults->values[i];
            struct mr_describe_configs_response_config *config =
                add_config(describe, key->name, value, key->type);

            add_sources(describe, config, key->name, overrides[i], key->synonym);
            add_documentation(describe, config, key->documentation, key->acted);
        }
    }
}

static void
describe_topic(struct describe *describe)
{
    struct mr_str name = describe->resource->resource_name;
    const char *fault = mr_topic_name_fault(name);
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(describe->control->metadata);
    const struct mr_snapshot_topic *topic;

    if (!snapshot) {
        describe->good = false;
        return;
    }
    topic = fault ? NULL : mr_snapshot_topic_by_name(snapshot, name.data, (uint32_t)name.size);
    if (fault) {
        refuse(describe, MR_KAFKA_INVALID_TOPIC_EXCEPTION, mr_str_from_c(fault));
    } else if (!topic) {
        refuse(describe, MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
               mr_str_from_c("this broker has no such topic"));
    } else {
        describe_overrides(describe,
                           mr_metadata_overrides(describe->control->metadata, &topic->id));
    }
    mr_metadata_snapshot_release(snapshot);
}

/* ---- this broker ----------------------------------------------------------------------------- */

/* All keys of Apache Kafka 4.3.1 and Millrace's own; those that only older versions knew where they
 * have been set. */
static bool
told(const struct mr_control *control, const struct mr_config_key *key)
{
    static const char *const old[] = {
        "inter.broker.protocol.version",
        "log.message.downconversion.enable",
        "log.message.format.version",
        "log.message.timestamp.difference.max.ms",
        "zookeeper.connect",
        "zookeeper.connection.timeout.ms",
    };

    for (unsigned i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
        if (strcmp(old[i], key->name) == 0) {
            return mr_config_origin(control->config.config, key->name) != NULL;
        }
    }
    return true;
}

struct setting_walk {
    struct describe *describe;
    const char *entity;
    unsigned found;
    bool count_only;
};

static void
describe_setting(void *context, const char *entity, const char *name, const char *value)
{
    struct setting_walk *walk = context;
    struct describe *describe = walk->describe;
    const struct mr_describe_configs_request *body = describe->request->request;
    const struct mr_config_key *key = mr_config_key_find(name);
    bool all = entity[0] == 0;
    struct mr_describe_configs_response_config *config;
    struct mr_config_synonym synonym = {
        name, value, all ? MR_CONFIG_SOURCE_DYNAMIC_DEFAULT : MR_CONFIG_SOURCE_DYNAMIC_BROKER};

    if (strcmp(entity, walk->entity) != 0 || !wanted(describe->resource, name) || (!all && key)) {
        return; /* a broker's known keys are described one by one */
    }
    walk->found++;
    if (walk->count_only || !describe->good) {
        return;
    }
    config = add_config(describe, name, value, key ? key->type : MR_CONFIG_PASSWORD);
    config->config_source = synonym.source;
    if (key) {
        add_documentation(describe, config, key->documentation, key->acted);
    }
    if (body->include_synonyms) {
        add_synonym(describe, config, &synonym);
    }
}

/* What has been set for all brokers. */
static void
describe_cluster_settings(struct describe *describe)
{
    struct setting_walk walk = {.describe = describe, .entity = "", .count_only = true};
    static const char *const kept = "min.insync.replicas";

    mr_metadata_settings(describe->control->metadata, MR_METADATA_BROKER, describe_setting, &walk);
    if (!make_configs(describe, walk.found + 1)) {
        return;
    }
    walk.count_only = false;
    mr_metadata_settings(describe->control->metadata, MR_METADATA_BROKER, describe_setting, &walk);
    if (!mr_metadata_setting(describe->control->metadata, MR_METADATA_BROKER, "", kept)) {
        describe_setting(&walk, "", kept, cluster_setting(describe->control, kept));
    }
}

static void
describe_key(struct describe *describe, const struct mr_config_key *key)
{
    const struct mr_control *control = describe->control;
    struct mr_config_synonym synonyms[MR_CONFIG_SYNONYMS_MAX];
    const char *value = mr_config_get(control->config.config, key->name);
    struct mr_describe_configs_response_config *config;

    if (mr_config_synonyms(control, key->name, synonyms) > 0 &&
        synonyms[0].source <= MR_CONFIG_SOURCE_DYNAMIC_DEFAULT) {
        value = synonyms[0].value;
    }
    config = add_config(describe, key->name, value, key->type);
    config->read_only = mr_config_mode(key->name) == MR_CONFIG_MODE_RESTART;
    add_sources(describe, config, NULL, NULL, key->name);
    add_documentation(describe, config, key->documentation, key->acted);
}

static void
describe_broker_keys(struct describe *describe, const char *own)
{
    struct setting_walk walk = {.describe = describe, .entity = own, .count_only = true};
    uint32_t count = 0;

    while (mr_config_key_at(count)) {
        count++;
    }
    mr_metadata_settings(describe->control->metadata, MR_METADATA_BROKER, describe_setting, &walk);
    if (!make_configs(describe, count + walk.found)) {
        return;
    }
    for (unsigned i = 0; i < count && describe->good; i++) {
        const struct mr_config_key *key = mr_config_key_at(i);

        if (told(describe->control, key) && wanted(describe->resource, key->name)) {
            describe_key(describe, key);
        }
    }
    walk.count_only = false;
    mr_metadata_settings(describe->control->metadata, MR_METADATA_BROKER, describe_setting, &walk);
}

/* With direct routing all the machine's brokers have one configuration. */
bool
mr_config_of_this_broker(const struct mr_control *control, struct mr_str name)
{
    const struct mr_nodes *nodes = &control->config.nodes;
    char id[16];

    for (uint32_t i = 0; i < nodes->count; i++) {
        snprintf(id, sizeof(id), "%d", mr_node_of(nodes, i));
        if (mr_str_equal_c(name, id)) {
            return true;
        }
    }
    return false;
}

static void
describe_broker(struct describe *describe)
{
    char own[16];

    snprintf(own, sizeof(own), "%d", describe->control->config.node_id);
    if (describe->resource->resource_name.size == 0) {
        describe_cluster_settings(describe);
    } else if (mr_config_of_this_broker(describe->control, describe->resource->resource_name)) {
        describe_broker_keys(describe, own);
    } else {
        refuse(describe, MR_KAFKA_INVALID_REQUEST,
               mr_ctl_text(describe->request, "this is broker %s", own));
    }
}

/* ---- DescribeConfigs ------------------------------------------------------------------------- */

static bool
type_known(int8_t type)
{
    return type == MR_RESOURCE_TOPIC || type == MR_RESOURCE_BROKER || type == MR_RESOURCE_LOGGER ||
           type == MR_RESOURCE_METRICS || type == MR_RESOURCE_GROUP;
}

static void
describe_resource(struct describe *describe, bool all_known)
{
    const struct mr_describe_configs_request_resource *resource = describe->resource;

    describe->out->resource_type = resource->resource_type;
    describe->out->resource_name = resource->resource_name;
    describe->out->error_message = mr_str_null();
    if (!all_known) {
        refuse(describe, MR_KAFKA_INVALID_REQUEST, mr_str_from_c("unknown resource type"));
        return;
    }
    switch (resource->resource_type) {
    case MR_RESOURCE_TOPIC:
        describe_topic(describe);
        break;
    case MR_RESOURCE_BROKER:
        describe_broker(describe);
        break;
    case MR_RESOURCE_LOGGER:
        if (!mr_config_of_this_broker(describe->control, resource->resource_name)) {
            refuse(describe, MR_KAFKA_INVALID_REQUEST, mr_str_from_c("another broker's loggers"));
        }
        break; /* there are no loggers with levels of their own */
    case MR_RESOURCE_GROUP:
        if (resource->resource_name.size <= 0) {
            refuse(describe, MR_KAFKA_INVALID_REQUEST, mr_str_from_c("a group has a name"));
        }
        break; /* groups of the classic protocol are configured by their members */
    default:
        refuse(describe, MR_KAFKA_INVALID_REQUEST,
               mr_str_from_c("only topics and brokers have configurations here"));
        break;
    }
}

void
mr_api_describe_configs(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_describe_configs_request *body = request->request;
    struct mr_describe_configs_response *response = request->response;
    bool all_known = true;
    bool good = true;

    response->results = mr_ctl_array(request, body->resources_count, sizeof(*response->results));
    response->results_count = body->resources_count > 0 ? body->resources_count : 0;
    for (int32_t i = 0; i < body->resources_count; i++) {
        all_known &= type_known(body->resources[i].resource_type);
    }
    for (int32_t i = 0; response->results && i < response->results_count && good; i++) {
        struct describe describe = {.control = control,
                                    .request = request,
                                    .resource = &body->resources[i],
                                    .out = &response->results[i],
                                    .good = true};

        describe_resource(&describe, all_known);
        good = describe.good;
    }
    if (good && response->results) {
        mr_ctl_reply(control, request, from);
    } else {
        mr_ctl_fail(control, request, from);
    }
}

/* ---- ListConfigResources --------------------------------------------------------------------- */

static bool
type_wanted(const struct mr_ctl_request *request, int8_t type)
{
    const struct mr_list_config_resources_request *body = request->request;
    bool found = body->resource_types_count <= 0 && request->api_version > 0;

    /* Version 0 asks for client metrics, and there are none. */
    for (int32_t i = 0; i < body->resource_types_count && request->api_version > 0; i++) {
        found |= body->resource_types[i] == type;
    }
    return found;
}

static void
list_resource(struct mr_list_config_resources_response *response, struct mr_str name, int8_t type)
{
    response->config_resources[response->config_resources_count++] =
        (struct mr_list_config_resources_response_resource){.resource_name = name,
                                                            .resource_type = type};
}

/* False: no memory. */
static bool
list_brokers(const struct mr_control *control, struct mr_ctl_request *request, int8_t type)
{
    const struct mr_nodes *nodes = &control->config.nodes;
    bool good = true;

    for (uint32_t i = 0; good && i < nodes->count && type_wanted(request, type); i++) {
        struct mr_str name = mr_ctl_text(request, "%d", mr_node_of(nodes, i));

        good = name.size >= 0;
        list_resource(request->response, name, type);
    }
    return good;
}

static bool
list_topics(struct mr_ctl_request *request, const struct mr_snapshot *snapshot)
{
    const struct mr_snapshot_topic *topic;
    struct mr_topic_walk walk;
    bool good = true;

    if (!type_wanted(request, MR_RESOURCE_TOPIC)) {
        return true;
    }
    mr_snapshot_walk(snapshot, &walk);
    while (good && (topic = mr_topic_walk_next(&walk))) {
        struct mr_str name = mr_ctl_copy(request, topic->name);

        good = name.size >= 0;
        list_resource(request->response, name, MR_RESOURCE_TOPIC);
    }
    return good;
}

void
mr_api_list_config_resources(struct mr_control *control, struct mr_ctl_request *request,
                             unsigned from)
{
    const struct mr_list_config_resources_request *body = request->request;
    struct mr_list_config_resources_response *response = request->response;
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    const struct mr_nodes *nodes = &control->config.nodes;
    bool good = snapshot != NULL;

    for (int32_t i = 0; i < body->resource_types_count; i++) {
        if (!type_known(body->resource_types[i])) {
            response->error_code = MR_KAFKA_UNSUPPORTED_VERSION;
        }
    }
    if (good && !response->error_code) {
        response->config_resources =
            mr_ctl_array(request, (int64_t)snapshot->topic_count + 2 * (int64_t)nodes->count,
                         sizeof(*response->config_resources));
        good = response->config_resources != NULL;
    }
    if (good && !response->error_code) {
        good = list_brokers(control, request, MR_RESOURCE_LOGGER) &&
               list_brokers(control, request, MR_RESOURCE_BROKER) && list_topics(request, snapshot);
    }
    if (snapshot) {
        mr_metadata_snapshot_release(snapshot);
    }
    if (good) {
        mr_ctl_reply(control, request, from);
    } else {
        mr_ctl_fail(control, request, from);
    }
}
