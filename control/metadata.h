/* control/metadata.h: the metadata state machine: (state, committed command) -> state.
 *
 * Pure: no I/O, no clock, no randomness; the same commands give the same state everywhere. Commands
 * are made by the mr_metadata_encode_*() functions, travel through the log (metalog.h), and come
 * back to mr_metadata_apply() when they are committed. Between the two others may have been
 * committed, so a command's outcome is known only then.
 *
 * Readers get immutable snapshots (ctl_msg.h), which share what did not change between them
 * (topic_tree.h): a snapshot costs a few hundred bytes, and what is applied O(log topics).
 *
 * Commands and saved states are little-endian; each begins with a kind byte and a version byte.
 * Bytes come from a disk: decoding never asserts.
 *
 * Thread: control. Limits: MR_METADATA_PARTITIONS_MAX over all topics. */
#ifndef MR_CONTROL_METADATA_H
#define MR_CONTROL_METADATA_H

#include "control/ctl_msg.h"
#include "control/topic_config.h"

#define MR_METADATA_PARTITIONS_MAX       1000000u
#define MR_METADATA_TOPIC_PARTITIONS_MAX 10000u
#define MR_METADATA_COMMAND_MAX          (512u * 1024)

/* Of a saved state; what would make it larger is refused with POLICY_VIOLATION. The metadata log
 * must have room for it, or it could never be trimmed. */
#define MR_METADATA_STATE_MAX (7u * 1024 * 1024)

struct mr_metadata;
struct mr_metadata_image;

/* `defaults` and what it points to outlive the state. NULL without memory. */
struct mr_metadata *mr_metadata_create(int32_t node_id, const struct mr_topic_defaults *defaults);

/* All snapshots have been released. NULL is fine. */
void mr_metadata_destroy(struct mr_metadata *metadata);

/* ---- commands -------------------------------------------------------------------------------- */

/* Encoders return the command's size, or 0 where `capacity` is too small. */

/* The first command of a cluster. */
size_t mr_metadata_encode_cluster(uint8_t *out, size_t capacity, const struct mr_uuid *cluster_id);

/* The broker has started after an unclean stop: leader epochs rise (STORE rule 14). */
size_t mr_metadata_encode_unclean_start(uint8_t *out, size_t capacity);

struct mr_metadata_new_topic {
    struct mr_uuid id;
    const char *name;
    uint32_t name_size;
    bool internal;
    uint32_t partition_count;
    const uint16_t *stores;               /* one for each partition */
    const char *overrides[MR_TOPIC_KEYS]; /* NULL: not overridden */
};

size_t mr_metadata_encode_create_topic(uint8_t *out, size_t capacity,
                                       const struct mr_metadata_new_topic *topic);

/* The topic goes at once; its logs stay as tombstones until their stores have deleted them. */
size_t mr_metadata_encode_delete_topic(uint8_t *out, size_t capacity, const struct mr_uuid *id);

struct mr_metadata_log {
    struct mr_uuid id;
    int32_t partition;
};

/* Logs of deleted topics are gone from their stores. */
size_t mr_metadata_encode_logs_deleted(uint8_t *out, size_t capacity,
                                       const struct mr_metadata_log *logs, unsigned count);

/* Reserves producer ids. */
size_t mr_metadata_encode_producer_ids(uint8_t *out, size_t capacity, uint32_t count);

/* Gives a topic more partitions: from `count_before`, which it must still have, to `count`;
 * `stores` are those of the new ones. */
size_t mr_metadata_encode_grow_topic(uint8_t *out, size_t capacity, const struct mr_uuid *id,
                                     uint32_t count_before, uint32_t count, const uint16_t *stores);

/* IncrementalAlterConfigs' operations, by its codes. */
enum mr_config_op {
    MR_CONFIG_SET = 0,
    MR_CONFIG_DELETE = 1,
    MR_CONFIG_APPEND = 2, /* to a list, what it does not have yet */
    MR_CONFIG_SUBTRACT = 3,
};

struct mr_metadata_change {
    enum mr_config_op op;
    const char *name;
    const char *value; /* NULL is as good as "" */
    const char *base;  /* settings: where a list starts that has no value yet; may be NULL */
};

/* Changes a topic's overrides, all or none; `replace`: the others go. Refused with INVALID_CONFIG
 * where a value would not be valid. */
size_t mr_metadata_encode_topic_config(uint8_t *out, size_t capacity, const struct mr_uuid *id,
                                       bool replace, const struct mr_metadata_change *changes,
                                       unsigned count);

/* What a dynamic setting is about. */
enum mr_metadata_scope {
    MR_METADATA_BROKER = 4, /* entity: the node's id as a decimal number; "": all brokers */
    MR_METADATA_QUOTA = 5,  /* entity: quota.h */
};

/* Changes dynamic settings of one entity, all or none. Names and values are the proposer's to
 * judge. Settings of brokers that are synonyms of topic keys act on every topic at once. */
size_t mr_metadata_encode_settings(uint8_t *out, size_t capacity, enum mr_metadata_scope scope,
                                   const char *entity, bool replace,
                                   const struct mr_metadata_change *changes, unsigned count);

/* What an operation makes of a value; free() it. NULL without memory. */
char *mr_config_op_apply(uint8_t op, const char *current, const char *value);

struct mr_metadata_outcome {
    enum mr_kafka_err error;   /* TOPIC_ALREADY_EXISTS, UNKNOWN_TOPIC_ID, ... */
    int64_t first_producer_id; /* of a reservation */
};

/* Applies a committed command. 0, or -EBADMSG for bytes that are no command (then nothing has
 * changed), or -ENOMEM. */
int mr_metadata_apply(struct mr_metadata *metadata, const uint8_t *command, size_t size,
                      struct mr_metadata_outcome *outcome);

/* ---- saved state ----------------------------------------------------------------------------- */

/* The state as it is now, to be made bytes of while commands go on. It shares the topics, so it
 * costs a copy of the tombstones and settings. NULL without memory. */
struct mr_metadata_image *mr_metadata_image_take(const struct mr_metadata *metadata);

/* The image as bytes, in memory that mr_metalog_snapshot_end() takes over (or free() does). NULL
 * without memory. Any thread: nothing that an image holds changes. */
uint8_t *mr_metadata_image_save(const struct mr_metadata_image *image, size_t *size_out);

/* Before mr_metadata_destroy(). */
void mr_metadata_image_release(struct mr_metadata_image *image);

/* Replaces the state. 0, -EBADMSG or -ENOMEM (then the state is empty). */
int mr_metadata_load(struct mr_metadata *metadata, const uint8_t *bytes, size_t size);

/* ---- reading --------------------------------------------------------------------------------- */

/* The current snapshot; built when something has changed. NULL without memory. Held by the caller
 * until mr_metadata_snapshot_release(). */
const struct mr_snapshot *mr_metadata_snapshot(struct mr_metadata *metadata);
void mr_metadata_snapshot_release(const struct mr_snapshot *snapshot);

/* Snapshots in memory: the current one, and older ones that somebody holds. */
uint32_t mr_metadata_snapshots(const struct mr_metadata *metadata);

/* The epoch that the current snapshot has, or will have. */
uint64_t mr_metadata_epoch(const struct mr_metadata *metadata);

bool mr_metadata_has_cluster(const struct mr_metadata *metadata);

/* Whether there is no topic, nothing left of a deleted one, and no producer has had an id. */
bool mr_metadata_is_unused(const struct mr_metadata *metadata);

/* Whether there is a topic whose name differs from this one at most in '.' and '_', which Kafka's
 * metrics write alike. `name_size` is at most MR_TOPIC_NAME_MAX. */
bool mr_metadata_collides(const struct mr_metadata *metadata, const char *name, uint32_t name_size);

/* The topic's overrides, by key index; NULL: not overridden. Valid until the next apply. */
char *const *mr_metadata_overrides(const struct mr_metadata *metadata, const struct mr_uuid *id);

/* A dynamic setting's value; NULL: not set. Valid until the next apply, as what `each` is given. */
const char *mr_metadata_setting(const struct mr_metadata *metadata, enum mr_metadata_scope scope,
                                const char *entity, const char *name);
void mr_metadata_settings(const struct mr_metadata *metadata, enum mr_metadata_scope scope,
                          void (*each)(void *context, const char *entity, const char *name,
                                       const char *value),
                          void *context);

/* What topics have that set nothing: the configuration and the dynamic settings over it. */
const struct mr_topic_defaults *mr_metadata_defaults(const struct mr_metadata *metadata);

uint32_t mr_metadata_partitions(const struct mr_metadata *metadata);

/* Partitions placed on a store, for placement.h. */
uint32_t mr_metadata_store_load(const struct mr_metadata *metadata, uint16_t store);

/* Calls `each` for every tombstone of a topic that snapshots of `epoch` do not have, until it
 * returns false. */
void mr_metadata_tombstones(const struct mr_metadata *metadata, uint64_t epoch,
                            bool (*each)(void *context, const struct mr_uuid *id, int32_t partition,
                                         uint16_t store),
                            void *context);

#endif
