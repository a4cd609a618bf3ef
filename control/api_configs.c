/* control/api_configs.c: DescribeConfigs (key 32) for topics and this broker. */
#include <stdlib.h>
#include <string.h>

#include "control/loop.h"

/* DescribeConfigs' ConfigResource types. */
#define RESOURCE_TOPIC  2
#define RESOURCE_BROKER 4

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

static struct mr_describe_configs_response_config *
add_config(struct mr_describe_configs_response_result *out, const char *name, const char *value,
           enum mr_config_type type)
{
    struct mr_describe_configs_response_config *config = &out->configs[out->configs_count++];

    config->name = mr_str_from_c(name);
    config->value = mr_str_from_c(value);
    config->is_sensitive = type == MR_CONFIG_PASSWORD;
    if (config->is_sensitive) {
        config->value = mr_str_null();
    }
    config->config_type = (int8_t)(type + 1); /* Kafka counts from BOOLEAN = 1 in this order */
    config->documentation = mr_str_null();
    return config;
}

static bool
add_synonym(struct mr_ctl_request *request, struct mr_describe_configs_response_config *config,
            const char *name, const char *value, int8_t source)
{
    if (!config->synonyms) {
        config->synonyms = mr_ctl_array(request, 3, sizeof(*config->synonyms));
    }
    if (!config->synonyms) {
        return false;
    }
    config->synonyms[config->synonyms_count++] = (struct mr_describe_configs_response_synonym){
        mr_str_from_c(name), mr_str_from_c(value), source};
    return true;
}

/* ---- topics ---------------------------------------------------------------------------------- */

static bool
topic_config(struct mr_control *control, struct mr_ctl_request *request,
             struct mr_describe_configs_response_result *out, unsigned at, const char *override)
{
    const struct mr_describe_configs_request *body = request->request;
    const struct mr_topic_key *key = mr_topic_key_at(at);
    const char *by_broker = key->synonym && mr_config_origin(control->config.config, key->synonym)
                                ? mr_config_get(control->config.config, key->synonym)
                                : NULL;
    const char *value = override ? override : by_broker ? by_broker : key->initial;
    struct mr_str text = mr_ctl_text(request, "%s", value); /* the state may change before the
                                                               answer is encoded */
    struct mr_describe_configs_response_config *config =
        add_config(out, key->name, text.data, key->type);
    int8_t default_source = mr_topic_default_source(control->config.config, key->synonym);
    bool good = text.size >= 0;

    config->config_source = override ? MR_CONFIG_SOURCE_TOPIC : default_source;
    if (!body->include_synonyms) {
        return good;
    }
    if (override) {
        good &= add_synonym(request, config, key->name, text.data, MR_CONFIG_SOURCE_TOPIC);
    }
    if (default_source != MR_CONFIG_SOURCE_DEFAULT) {
        good &= add_synonym(request, config, key->synonym, by_broker ? by_broker : key->initial,
                            default_source);
    }
    if (key->synonym) {
        good &= add_synonym(request, config, key->synonym, key->initial, MR_CONFIG_SOURCE_DEFAULT);
    }
    return good;
}

static bool
describe_topic(struct mr_control *control, struct mr_ctl_request *request,
               const struct mr_describe_configs_request_resource *resource,
               struct mr_describe_configs_response_result *out)
{
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    const struct mr_snapshot_topic *topic = NULL;
    char *const *overrides;
    bool good = true;

    if (!snapshot) {
        return false;
    }
    if (resource->resource_name.size > 0) {
        topic = mr_snapshot_topic_by_name(snapshot, resource->resource_name.data,
                                          (uint32_t)resource->resource_name.size);
    }
    if (!topic) {
        out->error_code = MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        out->error_message = mr_str_from_c("this broker has no such topic");
        mr_metadata_snapshot_release(snapshot);
        return true;
    }
    overrides = mr_metadata_overrides(control->metadata, &topic->id);
    out->configs = mr_ctl_array(request, MR_TOPIC_KEYS, sizeof(*out->configs));
    for (unsigned i = 0; out->configs && i < MR_TOPIC_KEYS; i++) {
        if (wanted(resource, mr_topic_key_at(i)->name)) {
            good &= topic_config(control, request, out, i, overrides ? overrides[i] : NULL);
        }
    }
    mr_metadata_snapshot_release(snapshot);
    return good && out->configs;
}

/* ---- this broker ----------------------------------------------------------------------------- */

/* Keys that Millrace acts on, and those that were set. */
static bool
told(const struct mr_control *control, const struct mr_config_key *key)
{
    return key->acted || mr_config_origin(control->config.config, key->name);
}

static bool
describe_broker(struct mr_control *control, struct mr_ctl_request *request,
                const struct mr_describe_configs_request_resource *resource,
                struct mr_describe_configs_response_result *out)
{
    const struct mr_describe_configs_request *body = request->request;
    struct mr_str own = mr_ctl_text(request, "%d", control->config.node_id);
    unsigned count = 0;
    bool good = true;

    if (resource->resource_name.size == 0) {
        return true; /* cluster-wide dynamic defaults: there are none */
    }
    if (!mr_str_equal(resource->resource_name, own)) {
        out->error_code = MR_KAFKA_INVALID_REQUEST;
        out->error_message = mr_ctl_text(request, "this is broker %d", control->config.node_id);
        return true;
    }
    for (unsigned i = 0; mr_config_key_at(i); i++) {
        count++;
    }
    out->configs = mr_ctl_array(request, count, sizeof(*out->configs));
    for (unsigned i = 0; out->configs && i < count; i++) {
        const struct mr_config_key *key = mr_config_key_at(i);
        bool set = mr_config_origin(control->config.config, key->name) != NULL;
        struct mr_describe_configs_response_config *config;

        if (!told(control, key) || !wanted(resource, key->name)) {
            continue;
        }
        config =
            add_config(out, key->name, mr_config_get(control->config.config, key->name), key->type);
        config->read_only = true;
        config->config_source = set ? MR_CONFIG_SOURCE_STATIC_BROKER : MR_CONFIG_SOURCE_DEFAULT;
        if (body->include_synonyms && set) {
            good &= add_synonym(request, config, key->name,
                                mr_config_get(control->config.config, key->name),
                                MR_CONFIG_SOURCE_STATIC_BROKER);
        }
        if (body->include_synonyms && key->initial) {
            good &= add_synonym(request, config, key->name, key->initial, MR_CONFIG_SOURCE_DEFAULT);
        }
    }
    return good && out->configs;
}

void
mr_api_describe_configs(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_describe_configs_request *body = request->request;
    struct mr_describe_configs_response *response = request->response;
    bool good = true;

    response->results = mr_ctl_array(request, body->resources_count, sizeof(*response->results));
    response->results_count = body->resources_count > 0 ? body->resources_count : 0;
    for (int32_t i = 0; response->results && i < response->results_count && good; i++) {
        const struct mr_describe_configs_request_resource *resource = &body->resources[i];
        struct mr_describe_configs_response_result *out = &response->results[i];

        out->resource_type = resource->resource_type;
        out->resource_name = resource->resource_name;
        out->error_message = mr_str_null();
        if (resource->resource_type == RESOURCE_TOPIC) {
            good = describe_topic(control, request, resource, out);
        } else if (resource->resource_type == RESOURCE_BROKER) {
            good = describe_broker(control, request, resource, out);
        } else {
            out->error_code = MR_KAFKA_INVALID_REQUEST;
            out->error_message = mr_str_from_c("only topics and brokers have configurations here");
        }
    }
    if (good && response->results) {
        mr_ctl_reply(control, request, from);
    } else {
        mr_ctl_fail(control, request, from);
    }
}
