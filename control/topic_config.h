/* control/topic_config.h: a topic's configuration: Kafka's keys, their types and defaults.
 *
 * Pure; any thread. Keys that Kafka knows are accepted, kept and echoed; `acted` says which
 * Millrace acts on. compression.type other than "producer" would need recompression and is refused.
 */
#ifndef MR_CONTROL_TOPIC_CONFIG_H
#define MR_CONTROL_TOPIC_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/config.h"
#include "control/ctl_msg.h"

struct mr_topic_key {
    const char *name;
    enum mr_config_type type;
    const char *initial; /* Kafka's default; never NULL */
    const char *synonym; /* the broker's key that sets the default; NULL: none */
    bool acted;
    const char *documentation;
};

/* Iterates over the keys in the order of their names; NULL ends. */
const struct mr_topic_key *mr_topic_key_at(unsigned index);
#define MR_TOPIC_KEYS 33u

/* The key's index, or -1. */
int mr_topic_key_find(const char *name, size_t name_size);

/* What topics have that set nothing: from the broker's configuration, value by key index. */
struct mr_topic_defaults {
    const char *values[MR_TOPIC_KEYS]; /* live as long as the configuration and this struct */
    char derived[2][24];               /* from the keys that count in hours or minutes */
};

void mr_topic_defaults(const struct mr_config *config, struct mr_topic_defaults *out);

/* DescribeConfigs' ConfigSource codes. */
#define MR_CONFIG_SOURCE_TOPIC           1
#define MR_CONFIG_SOURCE_DYNAMIC_BROKER  2
#define MR_CONFIG_SOURCE_DYNAMIC_DEFAULT 3
#define MR_CONFIG_SOURCE_STATIC_BROKER   4
#define MR_CONFIG_SOURCE_DEFAULT         5

/* Judges one override. 0, or -EINVAL with one sentence in `error`. */
int mr_topic_config_check(int key, const char *value, char *error, size_t error_size);

/* Judges what the broker's configuration says for all topics. 0, or -EINVAL with one sentence. */
int mr_topic_defaults_check(const struct mr_config *config, char *error, size_t error_size);

/* The data path's view of a topic: overrides (NULL: not overridden) over the defaults. */
void mr_topic_limits_fill(const struct mr_topic_defaults *defaults,
                          char *const overrides[MR_TOPIC_KEYS], struct mr_topic_limits *out);

#endif
