/* control/topic_config.c: the table of topic keys and what follows from their values. */
#include "control/topic_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "storage/batch.h"

/* Indexes of the keys that the data path needs; checked against the table below. */
enum {
    KEY_CLEANUP_POLICY = 0,
    KEY_COMPRESSION_TYPE = 3,
    KEY_DELETE_RETENTION_MS = 5,
    KEY_MAX_COMPACTION_LAG_MS = 14,
    KEY_MAX_MESSAGE_BYTES = 15,
    KEY_TIMESTAMP_AFTER = 16,
    KEY_TIMESTAMP_BEFORE = 17,
    KEY_TIMESTAMP_TYPE = 18,
    KEY_MIN_CLEANABLE_RATIO = 20,
    KEY_MIN_COMPACTION_LAG_MS = 21,
    KEY_RETENTION_BYTES = 26,
    KEY_RETENTION_MS = 27,
    KEY_SEGMENT_BYTES = 28,
    KEY_SEGMENT_MS = 31,
};

#define LONG_MAX_TEXT "9223372036854775807"

/* clang-format off */
static const struct mr_topic_key keys[MR_TOPIC_KEYS] = {
    {"cleanup.policy", MR_CONFIG_LIST, "delete", "log.cleanup.policy", true, "what happens to old records: delete, compact, or both"},
    {"compression.gzip.level", MR_CONFIG_INT, "-1", "compression.gzip.level", false, "effort of gzip where the broker compresses"},
    {"compression.lz4.level", MR_CONFIG_INT, "9", "compression.lz4.level", false, "effort of lz4 where the broker compresses"},
    {"compression.type", MR_CONFIG_STRING, "producer", "compression.type", true, "codec that batches are kept in; producer: as they came"},
    {"compression.zstd.level", MR_CONFIG_INT, "3", "compression.zstd.level", false, "effort of zstd where the broker compresses"},
    {"delete.retention.ms", MR_CONFIG_LONG, "86400000", "log.cleaner.delete.retention.ms", true, "how long compaction keeps the marks of deleted keys"},
    {"file.delete.delay.ms", MR_CONFIG_LONG, "60000", "log.segment.delete.delay.ms", false, "how long a deleted segment's file stays"},
    {"flush.messages", MR_CONFIG_LONG, LONG_MAX_TEXT, "log.flush.interval.messages", false, "records between flushes; here all is flushed before it is acknowledged"},
    {"flush.ms", MR_CONFIG_LONG, LONG_MAX_TEXT, "log.flush.interval.ms", false, "time between flushes; here all is flushed before it is acknowledged"},
    {"follower.replication.throttled.replicas", MR_CONFIG_LIST, "", NULL, false, "followers whose copying is slowed down"},
    {"index.interval.bytes", MR_CONFIG_INT, "4096", "log.index.interval.bytes", false, "bytes of a log between two entries of its index"},
    {"leader.replication.throttled.replicas", MR_CONFIG_LIST, "", NULL, false, "leaders whose copying is slowed down"},
    {"local.retention.bytes", MR_CONFIG_LONG, "-2", "log.local.retention.bytes", false, "bytes that stay on the broker beside remote storage; -2: as retention.bytes"},
    {"local.retention.ms", MR_CONFIG_LONG, "-2", "log.local.retention.ms", false, "time that records stay on the broker beside remote storage; -2: as retention.ms"},
    {"max.compaction.lag.ms", MR_CONFIG_LONG, LONG_MAX_TEXT, "log.cleaner.max.compaction.lag.ms", true, "after so long a record is compacted even where little is gained"},
    {"max.message.bytes", MR_CONFIG_INT, "1048588", "message.max.bytes", true, "largest batch"},
    {"message.timestamp.after.max.ms", MR_CONFIG_LONG, "3600000", "log.message.timestamp.after.max.ms", true, "how far ahead of the broker's clock a record's time may be"},
    {"message.timestamp.before.max.ms", MR_CONFIG_LONG, LONG_MAX_TEXT, "log.message.timestamp.before.max.ms", true, "how far behind the broker's clock a record's time may be"},
    {"message.timestamp.type", MR_CONFIG_STRING, "CreateTime", "log.message.timestamp.type", true, "whose time records carry: CreateTime the producer's, LogAppendTime the broker's"},
    {"min.cleanable.dirty.ratio", MR_CONFIG_DOUBLE, "0.5", "log.cleaner.min.cleanable.ratio", true, "part of a log that must be new before it is compacted"},
    {"min.compaction.lag.ms", MR_CONFIG_LONG, "0", "log.cleaner.min.compaction.lag.ms", true, "a record is left alone by compaction for so long"},
    {"min.insync.replicas", MR_CONFIG_INT, "1", "min.insync.replicas", false, "copies that must have a batch before acks=all is answered; there is one"},
    {"preallocate", MR_CONFIG_BOOLEAN, "false", "log.preallocate", false, "the file of a segment is made in its full size"},
    {"remote.log.copy.disable", MR_CONFIG_BOOLEAN, "false", NULL, false, "nothing more goes to remote storage"},
    {"remote.log.delete.on.disable", MR_CONFIG_BOOLEAN, "false", NULL, false, "what is in remote storage goes when it is switched off"},
    {"remote.storage.enable", MR_CONFIG_BOOLEAN, "false", NULL, false, "segments go to remote storage"},
    {"retention.bytes", MR_CONFIG_LONG, "-1", "log.retention.bytes", true, "size beyond which a partition loses its oldest segments; -1: none"},
    {"retention.ms", MR_CONFIG_LONG, "604800000", "log.retention.ms", true, "how long records are kept; -1: for ever"},
    {"segment.bytes", MR_CONFIG_INT, "1073741824", "log.segment.bytes", true, "size at which a segment ends"},
    {"segment.index.bytes", MR_CONFIG_INT, "10485760", "log.index.size.max.bytes", false, "largest index of a segment"},
    {"segment.jitter.ms", MR_CONFIG_LONG, "0", "log.roll.jitter.ms", false, "random time by which segments end sooner"},
    {"segment.ms", MR_CONFIG_LONG, "604800000", "log.roll.ms", true, "age at which a segment ends"},
    {"unclean.leader.election.enable", MR_CONFIG_BOOLEAN, "false", "unclean.leader.election.enable", false, "a copy that lacks records may become the leader"},
};
/* clang-format on */

const struct mr_topic_key *
mr_topic_key_at(unsigned index)
{
    return index < MR_TOPIC_KEYS ? &keys[index] : NULL;
}

int
mr_topic_key_find(const char *name, size_t name_size)
{
    for (unsigned i = 0; i < MR_TOPIC_KEYS; i++) {
        if (strlen(keys[i].name) == name_size && memcmp(keys[i].name, name, name_size) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* A default that may be set in milliseconds, else in minutes, else in hours; -1 stays -1. */
static void
derive(const struct mr_config *config, struct mr_topic_defaults *out, unsigned slot, int key,
       const char *ms, const char *minutes, const char *hours)
{
    const char *value = minutes ? mr_config_get(config, minutes) : NULL;
    long long unit = 60 * 1000;
    long long number;

    if (mr_config_get(config, ms)) {
        return;
    }
    if (!value) {
        value = mr_config_get(config, hours);
        unit *= 60;
    }
    if (!value) {
        return;
    }
    number = strtoll(value, NULL, 10);
    snprintf(out->derived[slot], sizeof(out->derived[slot]), "%lld",
             number < 0 ? -1 : number * unit);
    out->values[key] = out->derived[slot];
}

void
mr_topic_defaults(const struct mr_config *config, struct mr_topic_defaults *out)
{
    for (unsigned i = 0; i < MR_TOPIC_KEYS; i++) {
        const char *value = keys[i].synonym ? mr_config_get(config, keys[i].synonym) : NULL;

        out->values[i] = value ? value : keys[i].initial;
    }
    /* As in Kafka the smaller unit wins. */
    derive(config, out, 0, KEY_RETENTION_MS, "log.retention.ms", "log.retention.minutes",
           "log.retention.hours");
    derive(config, out, 1, KEY_SEGMENT_MS, "log.roll.ms", NULL, "log.roll.hours");
}

/* ---- checks ---------------------------------------------------------------------------------- */

static bool
list_of(const char *value, const char *const *allowed, unsigned count)
{
    while (*value) {
        size_t size = strcspn(value, ",");
        bool found = false;

        for (unsigned i = 0; i < count; i++) {
            found |= strlen(allowed[i]) == size && memcmp(allowed[i], value, size) == 0;
        }
        if (!found) {
            return false;
        }
        value += size;
        value += *value == ',';
    }
    return true;
}

/* The codec that batches are kept in; -1: the producer's; -2: there is no such. */
static int
codec_of(const char *type)
{
    static const char *const codecs[] = {"uncompressed", "gzip", "snappy", "lz4", "zstd"};

    for (int i = 0; i < (int)(sizeof(codecs) / sizeof(codecs[0])); i++) {
        if (strcmp(type, codecs[i]) == 0) {
            return i;
        }
    }
    return strcmp(type, "producer") == 0 ? -1 : -2;
}

static int
refuse(char *error, size_t error_size, int key, const char *value, const char *why)
{
    snprintf(error, error_size, "Invalid value %s for configuration %s: %s", value, keys[key].name,
             why);
    return -EINVAL;
}

int
mr_topic_config_check(int key, const char *value, char *error, size_t error_size)
{
    static const char *const policies[] = {"delete", "compact"};
    long long number;

    MR_ASSERT(key >= 0 && key < (int)MR_TOPIC_KEYS);
    if (!mr_config_value_valid(keys[key].type, value)) {
        return refuse(error, error_size, key, value, "Not a value of the key's type");
    }
    number = strtoll(value, NULL, 10);
    switch (key) {
    case KEY_CLEANUP_POLICY:
        return list_of(value, policies, 2)
                   ? 0
                   : refuse(error, error_size, key, value, "Only delete and compact are known");
    case KEY_COMPRESSION_TYPE:
        return codec_of(value) >= -1 ? 0
                                     : refuse(error, error_size, key, value,
                                              "String must be one of: uncompressed, zstd, lz4, "
                                              "snappy, gzip, producer");
    case KEY_TIMESTAMP_TYPE:
        return strcmp(value, "CreateTime") == 0 || strcmp(value, "LogAppendTime") == 0
                   ? 0
                   : refuse(error, error_size, key, value, "Only CreateTime and LogAppendTime");
    case KEY_MAX_MESSAGE_BYTES:
        return number >= 0 && number <= (long long)MR_BATCH_SIZE_MAX
                   ? 0
                   : refuse(error, error_size, key, value, "Must be between 0 and 16777216");
    case KEY_SEGMENT_BYTES:
        return number >= 1024 * 1024
                   ? 0
                   : refuse(error, error_size, key, value, "Value must be at least 1048576");
    case KEY_RETENTION_MS:
    case KEY_RETENTION_BYTES:
        return number >= -1 ? 0
                            : refuse(error, error_size, key, value, "Value must be at least -1");
    case KEY_SEGMENT_MS:
        return number >= 1 ? 0 : refuse(error, error_size, key, value, "Value must be at least 1");
    case KEY_DELETE_RETENTION_MS:
    case KEY_MIN_COMPACTION_LAG_MS:
    case KEY_TIMESTAMP_BEFORE:
    case KEY_TIMESTAMP_AFTER:
        return number >= 0 ? 0 : refuse(error, error_size, key, value, "Value must be at least 0");
    default:
        return 0;
    }
}

int
mr_topic_defaults_check(const struct mr_config *config, char *error, size_t error_size)
{
    for (int i = 0; i < (int)MR_TOPIC_KEYS; i++) {
        const char *name = keys[i].synonym;
        const char *value = name ? mr_config_get(config, name) : NULL;
        char why[256];

        if (value && mr_topic_config_check(i, value, why, sizeof(why)) != 0) {
            return mr_config_refuse(config, name, error, error_size, "%s", why);
        }
    }
    return 0;
}

/* ---- limits ---------------------------------------------------------------------------------- */

static const char *
value_of(const struct mr_topic_defaults *defaults, char *const overrides[MR_TOPIC_KEYS], int key)
{
    return overrides[key] ? overrides[key] : defaults->values[key];
}

static int64_t
number_of(const struct mr_topic_defaults *defaults, char *const overrides[MR_TOPIC_KEYS], int key)
{
    return strtoll(value_of(defaults, overrides, key), NULL, 10);
}

void
mr_topic_limits_fill(const struct mr_topic_defaults *defaults, char *const overrides[MR_TOPIC_KEYS],
                     struct mr_topic_limits *out)
{
    const char *policy = value_of(defaults, overrides, KEY_CLEANUP_POLICY);

    *out = (struct mr_topic_limits){
        .max_message_bytes = (int32_t)number_of(defaults, overrides, KEY_MAX_MESSAGE_BYTES),
        .segment_bytes = (int32_t)number_of(defaults, overrides, KEY_SEGMENT_BYTES),
        .timestamp_before_ms = number_of(defaults, overrides, KEY_TIMESTAMP_BEFORE),
        .timestamp_after_ms = number_of(defaults, overrides, KEY_TIMESTAMP_AFTER),
        .retention_ms = number_of(defaults, overrides, KEY_RETENTION_MS),
        .retention_bytes = number_of(defaults, overrides, KEY_RETENTION_BYTES),
        .segment_ms = number_of(defaults, overrides, KEY_SEGMENT_MS),
        .delete_retention_ms = number_of(defaults, overrides, KEY_DELETE_RETENTION_MS),
        .compaction_lag_min_ms = number_of(defaults, overrides, KEY_MIN_COMPACTION_LAG_MS),
        .compaction_lag_max_ms = number_of(defaults, overrides, KEY_MAX_COMPACTION_LAG_MS),
        .cleanable_ratio = strtod(value_of(defaults, overrides, KEY_MIN_CLEANABLE_RATIO), NULL),
        .codec = (int8_t)codec_of(value_of(defaults, overrides, KEY_COMPRESSION_TYPE)),
        .append_time =
            strcmp(value_of(defaults, overrides, KEY_TIMESTAMP_TYPE), "LogAppendTime") == 0,
        .compact = strstr(policy, "compact") != NULL,
        .delete_old = strstr(policy, "delete") != NULL,
    };
}
