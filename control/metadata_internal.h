/* control/metadata_internal.h: what the files of the metadata state machine share.
 *
 * metadata.c applies commands; metadata_topics.c keeps the topics, in the trees of topic_tree.h;
 * metadata_encode.c makes them; metadata_config.c changes configurations and settings;
 * metadata_graves.c keeps what deleted topics leave behind; metadata_state.c saves, loads and
 * builds snapshots. Private. */
#ifndef MR_CONTROL_METADATA_INTERNAL_H
#define MR_CONTROL_METADATA_INTERNAL_H

#include <string.h>

#include "control/metadata.h"
#include "control/topic_tree.h"
#include "dataplane/base/endian.h"
#include "dataplane/base/list.h"

#define METADATA_VERSION       1
#define METADATA_STATE_VERSION 3 /* 1 had no settings, 2 no graves but tombstones */
#define METADATA_STORES_MAX    65536u
#define METADATA_EPOCH_MAX                                                                         \
    (1 << 29) /* of generations and stored leader epochs: sums stay in an int32_t */

enum metadata_command {
    COMMAND_CLUSTER = 1,
    COMMAND_UNCLEAN_START = 2,
    COMMAND_CREATE_TOPIC = 3,
    COMMAND_DELETE_TOPIC = 4,
    COMMAND_LOG_DELETED = 5, /* of older brokers */
    COMMAND_PRODUCER_IDS = 6,
    COMMAND_STATE = 7, /* a whole saved state; never in the log */
    COMMAND_GROW_TOPIC = 8,
    COMMAND_TOPIC_CONFIG = 9,
    COMMAND_SETTINGS = 10,
    COMMAND_LOGS_DELETED = 11,
};

/* A topic as the state and its snapshots share it; immutable once built. */
struct metadata_topic {
    struct mr_snapshot_topic view; /* name, partitions lie behind */
    uint32_t references;
    char *overrides[MR_TOPIC_KEYS];
};

/* A deleted topic whose logs are not all gone. */
struct metadata_grave {
    struct mr_list node;
    struct mr_uuid id;
    uint64_t epoch; /* the first without the topic, as this process tells it */
    uint32_t count;
    uint32_t left;
    struct {
        int32_t partition;
        uint16_t store;
        bool gone;
    } logs[];
};

/* One dynamic setting: a key of a broker's configuration, of a client's quota, ... */
struct metadata_setting {
    struct mr_list node; /* sorted by scope, entity and name */
    uint8_t scope;       /* enum mr_metadata_scope */
    char *entity;
    char *name;
    char *value;
};

/* Shared by snapshots until a quota changes. */
struct metadata_quotas {
    struct mr_snapshot_quotas view;
    uint32_t references;
    struct mr_snapshot_quota *rules;
};

struct metadata_snapshot {
    struct mr_snapshot view;
    struct mr_metadata *metadata;
    uint32_t references;
    struct metadata_quotas *quotas;
};

/* All topics, in every order that is asked for. */
struct metadata_topics {
    struct mr_topic_tree by_name;
    struct mr_topic_tree by_id;
    struct mr_topic_tree by_metric; /* those whose names have a '.' or '_' */
    uint32_t count;
    uint64_t bytes; /* in a saved state */
};

struct mr_metadata {
    int32_t node_id;
    const struct mr_topic_defaults *defaults; /* without the dynamic settings */
    struct mr_topic_defaults effective;       /* with them */
    struct mr_uuid cluster_id;                /* zero: no cluster yet */
    int32_t generation;
    int64_t next_producer_id;
    struct metadata_topics topics;
    uint32_t partition_count;
    uint32_t *store_load;
    struct mr_list graves;
    uint32_t grave_count;
    uint32_t tombstone_count; /* logs that are left in all graves */
    struct mr_list settings;
    uint32_t setting_count;
    uint64_t setting_bytes;         /* in a saved state */
    struct metadata_quotas *quotas; /* made of the settings; NULL: to be made */
    uint64_t epoch;
    struct metadata_snapshot *snapshot; /* of `epoch`; NULL: to be built */
    uint32_t snapshot_count;            /* with those that somebody holds */
};

/* ---- bytes ----------------------------------------------------------------------------------- */

struct metadata_writer {
    uint8_t *at;
    size_t left;
    bool full;
};

static inline uint8_t *
put_raw(struct metadata_writer *writer, size_t size)
{
    uint8_t *at = writer->at;

    if (writer->full || size > writer->left) {
        writer->full = true;
        return NULL;
    }
    writer->at += size;
    writer->left -= size;
    return at;
}

static inline void
put_bytes(struct metadata_writer *writer, const void *bytes, size_t size)
{
    uint8_t *at = put_raw(writer, size);

    if (at && size > 0) {
        memcpy(at, bytes, size);
    }
}

static inline void
put_u8(struct metadata_writer *writer, uint8_t value)
{
    put_bytes(writer, &value, 1);
}

static inline void
put_u16(struct metadata_writer *writer, uint16_t value)
{
    uint8_t bytes[2];

    mr_le16_put(bytes, value);
    put_bytes(writer, bytes, sizeof(bytes));
}

static inline void
put_u32(struct metadata_writer *writer, uint32_t value)
{
    uint8_t bytes[4];

    mr_le32_put(bytes, value);
    put_bytes(writer, bytes, sizeof(bytes));
}

static inline void
put_u64(struct metadata_writer *writer, uint64_t value)
{
    uint8_t bytes[8];

    mr_le64_put(bytes, value);
    put_bytes(writer, bytes, sizeof(bytes));
}

static inline void
put_kind(struct metadata_writer *writer, enum metadata_command kind)
{
    put_u8(writer, (uint8_t)kind);
    put_u8(writer, METADATA_VERSION);
}

static inline size_t
written(const struct metadata_writer *writer, const uint8_t *start)
{
    return writer->full ? 0 : (size_t)(writer->at - start);
}

struct metadata_reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};

static inline const uint8_t *
get_raw(struct metadata_reader *reader, size_t size)
{
    const uint8_t *at = reader->at;

    if (reader->bad || size > reader->left) {
        reader->bad = true;
        return NULL;
    }
    reader->at += size;
    reader->left -= size;
    return at;
}

static inline uint8_t
get_u8(struct metadata_reader *reader)
{
    const uint8_t *at = get_raw(reader, 1);

    return at ? *at : 0;
}

static inline uint16_t
get_u16(struct metadata_reader *reader)
{
    const uint8_t *at = get_raw(reader, 2);

    return at ? mr_le16_get(at) : 0;
}

static inline uint32_t
get_u32(struct metadata_reader *reader)
{
    const uint8_t *at = get_raw(reader, 4);

    return at ? mr_le32_get(at) : 0;
}

static inline uint64_t
get_u64(struct metadata_reader *reader)
{
    const uint8_t *at = get_raw(reader, 8);

    return at ? mr_le64_get(at) : 0;
}

static inline int32_t
get_epoch(struct metadata_reader *reader)
{
    uint32_t epoch = get_u32(reader);

    if (epoch > METADATA_EPOCH_MAX) {
        reader->bad = true;
        return 0;
    }
    return (int32_t)epoch;
}

static inline struct mr_uuid
get_uuid(struct metadata_reader *reader)
{
    const uint8_t *at = get_raw(reader, sizeof(struct mr_uuid));
    struct mr_uuid id = {{0}};

    if (at) {
        memcpy(id.bytes, at, sizeof(id.bytes));
    }
    return id;
}

/* A terminated copy from the heap. NULL without memory, or for bad bytes: a zero byte inside would
 * make it shorter than `size` says. */
char *metadata_get_text(struct metadata_reader *reader, size_t size);

/* ---- topics: metadata_topics.c --------------------------------------------------------------- */

void metadata_topic_release(struct metadata_topic *topic);

/* A copy with room for `partition_count` partitions (not fewer than it has); NULL without memory.
 */
struct metadata_topic *metadata_topic_clone(const struct metadata_topic *topic,
                                            uint32_t partition_count);

/* The topic that a tree has as `view`; NULL: none. */
static inline struct metadata_topic *
metadata_topic_of(const struct mr_snapshot_topic *view)
{
    return view ? MR_CONTAINER_OF((struct mr_snapshot_topic *)(uintptr_t)view,
                                  struct metadata_topic, view)
                : NULL;
}

static inline struct metadata_topic *
metadata_topic_next(struct mr_topic_walk *walk)
{
    return metadata_topic_of(mr_topic_walk_next(walk));
}

void metadata_topics_init(struct metadata_topics *topics);
void metadata_topics_release(struct metadata_topics *topics);

/* The topic, or NULL. */
struct metadata_topic *metadata_topic_find(const struct metadata_topics *topics,
                                           const struct mr_uuid *id);

/* The trees take references of their own. 0, -EEXIST where the name or the id is taken, or -ENOMEM;
 * then nothing has changed. */
int metadata_topics_insert(struct metadata_topics *topics, struct metadata_topic *topic);

/* Whatever is needed to remove or replace a topic that is there. 0 or -ENOMEM. */
int metadata_topics_own(struct metadata_topics *topics, const struct metadata_topic *topic);

/* Both after metadata_topics_own(): the topic goes; another one of its name and id takes its place,
 * of which references are taken. */
void metadata_topics_remove(struct metadata_topics *topics, struct metadata_topic *topic);
void metadata_topics_replace(struct metadata_topics *topics, struct metadata_topic *old,
                             struct metadata_topic *topic);

/* ---- the state: metadata.c ------------------------------------------------------------------- */

/* Takes a new topic in, and counts it. As metadata_topics_insert(). */
int metadata_topic_add(struct mr_metadata *metadata, struct metadata_topic *topic);

/* Whether a saved state may become larger by so much. */
bool metadata_has_room(const struct mr_metadata *metadata, uint64_t bytes);

/* The state has changed: the next snapshot is a new one. */
void metadata_changed(struct mr_metadata *metadata);

/* ---- deleted topics: metadata_graves.c ------------------------------------------------------- */

int metadata_bury(struct mr_metadata *metadata, const struct mr_snapshot_topic *topic);
void metadata_log_deleted(struct mr_metadata *metadata, const struct mr_uuid *id,
                          int32_t partition);
void metadata_graves_clear(struct mr_metadata *metadata);
void metadata_put_graves(struct metadata_writer *writer, const struct mr_metadata *metadata);
int metadata_get_graves(struct mr_metadata *metadata, struct metadata_reader *reader);
int metadata_get_tombstones(struct mr_metadata *metadata, struct metadata_reader *reader);

/* ---- a topic's bytes: metadata_encode.c ------------------------------------------------------ */

void metadata_put_topic(struct metadata_writer *writer, const struct mr_snapshot_topic *topic,
                        const char *const overrides[MR_TOPIC_KEYS]);

/* How many they are. */
uint64_t metadata_topic_bytes(const struct metadata_topic *topic);

/* NULL for malformed bytes (reader->bad) or without memory. */
struct metadata_topic *metadata_get_topic(struct metadata_reader *reader,
                                          const struct mr_topic_defaults *defaults);

/* ---- configurations: metadata_config.c ------------------------------------------------------- */

int metadata_apply_topic_config(struct mr_metadata *metadata, struct metadata_reader *reader,
                                struct mr_metadata_outcome *outcome);
int metadata_apply_settings(struct mr_metadata *metadata, struct metadata_reader *reader,
                            struct mr_metadata_outcome *outcome);
void metadata_settings_clear(struct mr_list *settings);
void metadata_put_settings(struct metadata_writer *writer, const struct mr_metadata *metadata);
int metadata_get_settings(struct mr_metadata *metadata, struct metadata_reader *reader);

/* Computes metadata->effective from the settings. */
void metadata_fill_effective(struct mr_metadata *metadata);

/* Computes it, and the limits of all topics by it; nobody has seen these topics yet. */
void metadata_fill_topics(struct mr_metadata *metadata);

void metadata_fill_settings(const struct mr_metadata *metadata, struct mr_snapshot_settings *out);

/* ---- quotas: metadata_quota.c ---------------------------------------------------------------- */

/* What the settings say of quotas; a reference is the caller's. NULL without memory. */
struct metadata_quotas *metadata_quotas_take(struct mr_metadata *metadata);
void metadata_quotas_release(struct metadata_quotas *quotas); /* NULL is fine */

#endif
