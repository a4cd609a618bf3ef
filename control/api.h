/* control/api.h: requests that the control thread answers, beyond topics, producer ids and groups
 * (loop.h, coordinator.h), and what their files share. Private to control/. */
#ifndef MR_CONTROL_API_H
#define MR_CONTROL_API_H

#include "control/loop.h"

/* Kafka's ConfigResource types. */
enum mr_resource {
    MR_RESOURCE_TOPIC = 2,
    MR_RESOURCE_BROKER = 4,
    MR_RESOURCE_LOGGER = 8,
    MR_RESOURCE_METRICS = 16, /* client telemetry */
    MR_RESOURCE_GROUP = 32,
};

/* Sends a shard's request to its handler; each handler answers in time. */
void mr_api_handle(struct mr_control *control, struct mr_ctl_request *request, unsigned from);

void mr_api_list_config_resources(struct mr_control *control, struct mr_ctl_request *request,
                                  unsigned from);
void mr_api_alter_configs(struct mr_control *control, struct mr_ctl_request *request,
                          unsigned from);
void mr_api_incremental_alter_configs(struct mr_control *control, struct mr_ctl_request *request,
                                      unsigned from);
void mr_api_create_partitions(struct mr_control *control, struct mr_ctl_request *request,
                              unsigned from);
void mr_api_alter_quotas(struct mr_control *control, struct mr_ctl_request *request, unsigned from);
void mr_api_log_dirs(struct mr_control *control, struct mr_ctl_request *request, unsigned from);

/* These fill the response; false: no memory. */
bool mr_api_elect_leaders(struct mr_control *control, struct mr_ctl_request *request);
bool mr_api_alter_reassignments(struct mr_control *control, struct mr_ctl_request *request);
bool mr_api_list_reassignments(struct mr_control *control, struct mr_ctl_request *request);
bool mr_api_describe_quorum(struct mr_control *control, struct mr_ctl_request *request);
bool mr_api_update_features(struct mr_control *control, struct mr_ctl_request *request);
bool mr_api_unregister_broker(struct mr_control *control, struct mr_ctl_request *request);
bool mr_api_describe_scram(struct mr_control *control, struct mr_ctl_request *request);
bool mr_api_describe_acls(struct mr_control *control, struct mr_ctl_request *request);
bool mr_api_create_acls(struct mr_control *control, struct mr_ctl_request *request);
bool mr_api_delete_acls(struct mr_control *control, struct mr_ctl_request *request);
bool mr_api_describe_quotas(struct mr_control *control, struct mr_ctl_request *request);
bool mr_api_list_transactions(struct mr_control *control, struct mr_ctl_request *request);
bool mr_api_describe_transactions(struct mr_control *control, struct mr_ctl_request *request);
bool mr_api_alter_log_dirs(struct mr_control *control, struct mr_ctl_request *request);

/* A terminated copy in the request's memory; NULL without memory, for null, and for a text with a
 * zero byte inside. */
char *mr_ctl_terminated(struct mr_ctl_request *request, struct mr_str text);

/* A copy in the request's memory; null without memory. */
struct mr_str mr_ctl_copy(struct mr_ctl_request *request, const char *text);

/* Which of the names are there more than once, by index: 0 or one of these. NULL without memory. */
enum {
    MR_CTL_FIRST = 1, /* of several */
    MR_CTL_LATER = 2,
};
uint8_t *mr_ctl_named_twice(struct mr_ctl_request *request, const struct mr_str *names,
                            int32_t count);

/* One place that a value of a broker's key comes from. Valid until the next command. */
struct mr_config_synonym {
    const char *name;
    const char *value;
    int8_t source;
};

#define MR_CONFIG_SYNONYMS_MAX 12

/* Where a broker's key has a value, the one that counts first; the number of places. */
bool mr_config_of_this_broker(const struct mr_control *control, struct mr_str name);
unsigned mr_config_synonyms(const struct mr_control *control, const char *name,
                            struct mr_config_synonym out[MR_CONFIG_SYNONYMS_MAX]);

/* Where the value of a topic comes from that does not override the key. */
int8_t mr_topic_default_source(const struct mr_control *control, const struct mr_topic_key *key);

/* Kafka's rules for a topic name, with the reason; NULL: valid. */
const char *mr_topic_name_fault(struct mr_str name);

/* The topic, or NULL. */
const struct mr_snapshot_topic *mr_topic_find(const struct mr_snapshot *snapshot,
                                              struct mr_str name);

#endif
