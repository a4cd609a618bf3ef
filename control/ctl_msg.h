/* control/ctl_msg.h: all that shards and the control thread know of each other.
 *
 * Shards ask the control thread by struct mr_ctl_request; the control thread gives the shards
 * immutable snapshots of the metadata. Both travel as messages of shard/msg.h.
 *
 * Thread: a snapshot is built by the control thread and is read-only from the moment it is sent;
 * the control thread frees it when every shard has acknowledged a later one. The lookup functions
 * are pure. */
#ifndef MR_CONTROL_CTL_MSG_H
#define MR_CONTROL_CTL_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/bump.h"
#include "dataplane/base/kafka_err.h"
#include "dataplane/base/uuid.h"

#define MR_TOPIC_NAME_MAX 249u

/* ---- brokers: what clients are told of ------------------------------------------------------- */

#define MR_NODE_HOST_SIZE 256
#define MR_NODE_ID_FACTOR 256 /* ids that a machine has with direct routing */

/* The one broker of this machine; or, with direct routing, one for each shard, so that a client's
 * connection ends at the shard that owns what it asks for. These differ in id and port alone, which
 * both count up by shard. Immutable. */
struct mr_nodes {
    int32_t id;                   /* of the first: node.id, or node.id x MR_NODE_ID_FACTOR */
    uint32_t count;               /* 1, or the shards */
    char host[MR_NODE_HOST_SIZE]; /* advertised */
    const char (*hosts)[16];      /* each broker's own, where they differ; else NULL */
    int32_t port;                 /* of the first */
    char rack[64];                /* empty: none */
};

/* The broker that stands for a shard; or for the shard of a store, given its index. */
static inline int32_t
mr_node_of(const struct mr_nodes *nodes, uint32_t shard_or_store)
{
    return nodes->id + (int32_t)(shard_or_store % nodes->count);
}

static inline const char *
mr_node_host(const struct mr_nodes *nodes, uint32_t place)
{
    return nodes->hosts ? nodes->hosts[place] : nodes->host;
}

/* The place of a broker among them, or -1: there is no such broker. */
static inline int32_t
mr_node_slot(const struct mr_nodes *nodes, int32_t id)
{
    return id >= nodes->id && id - nodes->id < (int32_t)nodes->count ? id - nodes->id : -1;
}

/* ---- requests: shard -> control -------------------------------------------------------------- */

/* A Kafka request that the control thread answers: CreateTopics, DeleteTopics, DescribeConfigs,
 * InitProducerId, ... Lent from MR_MSG_CTL_REQUEST to MR_MSG_CTL_REPLY. */
struct mr_ctl_request {
    int16_t api_key;
    int16_t api_version;
    const void *request;   /* the decoded struct of the wire codec; its strings may lie in receive
                              buffers that stay lent for as long as the request */
    void *response;        /* zeroed struct of the wire codec, to be filled */
    struct mr_bump *bump;  /* for what the response points to; control's until the reply */
    const char *client_id; /* not terminated; NULL: none */
    int32_t client_id_size;
    char client_host[48];
    bool failed; /* out: close the connection, no answer can be given (memory) */

    uint8_t ring_class; /* the shard's: enum mr_mesh_class */
    bool cancelled;     /* the shard's: a cancel was sent */
    uint8_t awaited;    /* the shard's: messages to come: the reply, the answer to a cancel */
    void *parked;       /* control's: what waits on the request's behalf */
};

/* What DescribeLogDirs asks the control thread, as mr_ctl_request.request: the shard has found the
 * sizes, the control thread knows the folders. Partitions of one topic lie together. */
struct mr_ctl_log_size {
    const char *topic; /* not terminated */
    int32_t topic_size;
    int32_t partition;
    uint16_t store;
    int64_t size_bytes;
};

struct mr_ctl_log_sizes {
    const struct mr_ctl_log_size *logs;
    uint32_t count;
};

/* ---- snapshots: control -> shards ------------------------------------------------------------ */

/* What the data path needs of a topic's configuration, defaults applied. */
struct mr_topic_limits {
    int32_t max_message_bytes;
    int32_t segment_bytes;
    int64_t timestamp_before_ms; /* INT64_MAX: any */
    int64_t timestamp_after_ms;
    int64_t retention_ms;    /* -1: for ever */
    int64_t retention_bytes; /* -1: any number */
    int64_t segment_ms;
    int64_t delete_retention_ms; /* compaction: how long tombstones stay */
    int64_t compaction_lag_min_ms, compaction_lag_max_ms;
    double cleanable_ratio; /* compaction: part of the log that is worth it */
    int8_t codec;           /* enum mr_batch_codec that batches are kept in; -1: the producer's */
    bool append_time;
    bool compact;
    bool delete_old; /* cleanup.policy has delete */
};

struct mr_snapshot_partition {
    uint16_t store;       /* index of the store that holds it */
    int32_t leader_epoch; /* without the broker's restarts: see mr_snapshot_leader_epoch() */
};

struct mr_snapshot_topic {
    struct mr_uuid id;
    const char *name; /* terminated */
    uint32_t name_size;
    bool internal;
    int32_t partition_count;
    const struct mr_snapshot_partition *partitions;
    struct mr_topic_limits limits;
    int32_t generation_created; /* broker generation when it was created */
};

/* What clients have quotas of. */
enum mr_quota_kind {
    MR_QUOTA_PRODUCE, /* bytes of requests, a second */
    MR_QUOTA_FETCH,   /* bytes of answers */
    MR_QUOTA_REQUEST, /* percent of a thread's time */
    MR_QUOTA_KINDS,
};

/* The quotas of one entity that a client here can be of. Without authentication every client is the
 * user ANONYMOUS. Lower levels are more specific and win, as in Kafka. */
enum mr_quota_level {
    MR_QUOTA_USER_CLIENT,
    MR_QUOTA_USER_ANY_CLIENT,
    MR_QUOTA_USER, /* one quota that all clients share */
    MR_QUOTA_ANY_USER_CLIENT,
    MR_QUOTA_ANY_USER_ANY_CLIENT,
    MR_QUOTA_ANY_USER, /* shared as well: there is one user */
    MR_QUOTA_CLIENT,
    MR_QUOTA_ANY_CLIENT,
    MR_QUOTA_LEVELS,
};

struct mr_snapshot_quota {
    enum mr_quota_level level;
    const char *client; /* where the level has one */
    uint32_t client_size;
    double limits[MR_QUOTA_KINDS]; /* below 0: none */
};

struct mr_snapshot_quotas {
    uint32_t count;
    bool any[MR_QUOTA_KINDS];
    const struct mr_snapshot_quota *rules; /* sorted by level, then client */
};

/* Settings of this broker that act while it runs, beside defaults of topics; -1: as at the start.
 */
struct mr_snapshot_settings {
    int64_t cleaner_backoff_ms;
    int64_t cleaner_bytes_per_s; /* 0: any */
    int64_t connections_max;     /* of a shard; not more than at the start */
};

/* Topics in one order; snapshots share what did not change between them. Opaque to readers. */
enum mr_topic_order {
    MR_TOPIC_BY_NAME, /* memcmp, then length */
    MR_TOPIC_BY_ID,
    MR_TOPIC_BY_METRIC, /* by name, '.' and '_' being alike; then by name */
};

struct mr_topic_tree {
    enum mr_topic_order order;
    struct mr_topic_node *root; /* NULL: no topic */
};

struct mr_snapshot {
    uint64_t epoch; /* rises with every change */
    struct mr_uuid cluster_id;
    char cluster_id_text[MR_UUID_TEXT_SIZE];
    int32_t node_id;
    int32_t generation; /* rises with every start after an unclean stop */
    uint32_t topic_count;
    struct mr_topic_tree topics_by_name;
    struct mr_topic_tree topics_by_id;
    const struct mr_snapshot_quotas *quotas;
    struct mr_snapshot_settings settings;
};

/* The topic, or NULL. */
const struct mr_snapshot_topic *mr_snapshot_topic_by_name(const struct mr_snapshot *snapshot,
                                                          const char *name, uint32_t name_size);
const struct mr_snapshot_topic *mr_snapshot_topic_by_id(const struct mr_snapshot *snapshot,
                                                        const struct mr_uuid *id);

/* A walk over the topics of a snapshot, which stays held meanwhile:
 *
 *     mr_snapshot_walk(snapshot, &walk);
 *     while ((topic = mr_topic_walk_next(&walk))) { ... }
 */
#define MR_TOPIC_TREE_HEIGHT_MAX 8

struct mr_topic_walk {
    unsigned depth; /* nodes on the path; 0: over */
    const struct mr_topic_node *path[MR_TOPIC_TREE_HEIGHT_MAX];
    uint8_t places[MR_TOPIC_TREE_HEIGHT_MAX];
};

/* All topics, by name. */
void mr_snapshot_walk(const struct mr_snapshot *snapshot, struct mr_topic_walk *walk);

/* Those that are not before a name, by name; not before an id, by id. */
void mr_snapshot_walk_names(const struct mr_snapshot *snapshot, const char *name,
                            uint32_t name_size, struct mr_topic_walk *walk);
void mr_snapshot_walk_ids(const struct mr_snapshot *snapshot, const struct mr_uuid *id,
                          struct mr_topic_walk *walk);

/* The next topic; NULL: there is none left. */
const struct mr_snapshot_topic *mr_topic_walk_next(struct mr_topic_walk *walk);

/* What the client may use in a second, below 0: any amount; `shared`: together with all others. */
double mr_snapshot_quota(const struct mr_snapshot_quotas *quotas, enum mr_quota_kind kind,
                         const char *client, uint32_t client_size, bool *shared);

/* The leader epoch of a partition now: it rises with every start after an unclean stop. */
static inline int32_t
mr_snapshot_leader_epoch(const struct mr_snapshot *snapshot, const struct mr_snapshot_topic *topic,
                         int32_t partition)
{
    return topic->partitions[partition].leader_epoch + snapshot->generation -
           topic->generation_created;
}

/* ---- logs and stores: control -> shard ------------------------------------------------------- */

/* The tombstone of one partition; lent from MR_MSG_LOG_DELETE to its reply. */
struct mr_ctl_log {
    struct mr_uuid topic_id;
    int32_t partition;
    uint16_t store;
    enum mr_kafka_err error; /* out */
};

/* One batch to be appended to a partition's log: the durable state of the control thread's
 * coordinators. Lent from MR_MSG_LOG_APPEND to its reply, which comes when the batch is durable.
 * Appends to one partition keep their order. */
struct mr_ctl_append {
    struct mr_uuid topic_id;
    int32_t partition;
    uint16_t store;
    const uint8_t *batch; /* RecordBatch v2 as a producer sends it */
    uint32_t size;
    enum mr_kafka_err error; /* out */
    int64_t base_offset;     /* out */
};

/* Whole batches from a partition's log, from the one that holds `offset` on. Lent from
 * MR_MSG_LOG_READ to its reply. */
struct mr_ctl_read {
    struct mr_uuid topic_id;
    int32_t partition;
    uint16_t store;
    int64_t offset;
    uint8_t *data; /* to be filled */
    uint32_t capacity;
    uint32_t size;           /* out; above `capacity`: nothing was copied, so much is needed */
    enum mr_kafka_err error; /* out */
    int64_t start;           /* out: log start and high watermark */
    int64_t end;
};

/* Please extend store `store`'s file by its growth step; lent from MR_MSG_STORE_GROW to its reply.
 * The control plane's worker zero-writes and flushes the new part; the shard then admits it. */
struct mr_ctl_grow {
    uint16_t store;
    uint64_t size_bytes; /* out: the file's size now */
    int error;           /* out: 0 or -errno */
};

#endif
