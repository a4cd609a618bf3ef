/* kafka/server.h: the Kafka server of one shard: its connections, its partitions' stores, and what
 * it asks of other shards.
 *
 * Thread: the shard's. Lifecycle: create -> set snapshot -> listen -> (shard turns) -> stop ->
 * destroy. The server provides the shard's steps (shard/shard.h).
 *
 * The life of a request: conn.c cuts a frame out of what arrives, request.c decodes it, api.c finds
 * its handler, the handler (produce.c, fetch.c, ...) asks the partitions' owners by parts (part.h),
 * and conn.c sends the answers in the order of the requests. */
#ifndef MR_KAFKA_SERVER_H
#define MR_KAFKA_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/ctl_metrics.h"
#include "control/ctl_msg.h"
#include "dataplane/base/list.h"
#include "dataplane/kafka/quota.h"
#include "dataplane/net/net.h"
#include "dataplane/shard/shard.h"
#include "dataplane/shard/timer.h"
#include "storage/batch.h"
#include "storage/store.h"

#define MR_SERVER_APIS MR_CTL_METRICS_APIS /* API keys below this are counted */

struct mr_server_config {
    struct mr_nodes nodes;
    uint32_t store_count;  /* of the broker; store i belongs to shard i mod shards */
    uint32_t requests_max; /* request contexts */
    uint32_t connections_max;
    size_t frame_bytes_max; /* socket.request.max.bytes */
    size_t
        frame_heap_bytes_max; /* for frames that do not fit receive buffers; >= frame_bytes_max */
    size_t connection_bytes_max;    /* requests of one connection that are in progress */
    size_t response_heap_bytes_max; /* for what one response needs beyond its context */
    uint32_t fetch_bytes_max;       /* records in one Fetch answer */
    uint32_t fetches_parked_max;
    uint32_t fetch_sessions_max;  /* this shard's of max.incremental.fetch.session.cache.slots */
    uint64_t idle_ns;             /* connections.max.idle.ms */
    uint64_t retention_check_ns;  /* log.retention.check.interval.ms */
    uint64_t cleaner_backoff_ns;  /* log.cleaner.backoff.ms; 0: no compaction */
    uint64_t cleaner_bytes_per_s; /* log.cleaner.io.max.bytes.per.second; 0: any */
    struct mr_quota_config quota; /* of the shard's meters */
    bool auto_create_topics;      /* auto.create.topics.enable */
};

struct mr_server_store {
    uint16_t index;
    struct mr_store *store;
};

struct mr_server_stats {
    uint64_t requests[MR_SERVER_APIS];
    uint64_t request_bytes[MR_SERVER_APIS]; /* of these, with their lengths */
    uint64_t response_bytes[MR_SERVER_APIS];
    struct mr_buckets latency[MR_SERVER_APIS]; /* arrival of the frame to the answer */
    uint64_t produce_bytes;
    uint64_t fetch_bytes;
    uint64_t frames_bad;
    uint64_t connections_reaped;
    uint64_t parts_local;
    uint64_t parts_remote;
};

struct mr_conn;
struct mr_fetch_sessions;
struct mr_request;
struct mr_retention;
struct mr_topic_stats;

struct mr_server {
    struct mr_shard *shard;
    struct mr_net *net;
    struct mr_server_config config;
    const struct mr_snapshot *snapshot; /* NULL until control has sent the first */
    struct mr_server_store *stores;     /* of this shard */
    unsigned store_count;
    struct mr_batch_scratch *scratch;
    struct mr_retention *retention;
    struct mr_fetch_sessions *fetch_sessions;
    struct mr_quotas *quotas;

    struct mr_conn *conns;
    struct mr_list conns_free;
    struct mr_list conns_open;    /* least recently active first */
    struct mr_list conns_waiting; /* for a request context, frame memory or a credit */
    struct mr_list conns_dirty;   /* with answers that became ready in this turn */
    struct mr_list
        conns_patient; /* with answers of a coordinator, a few of which leave each turn */
    struct mr_list requests_free;
    uint8_t *requests;
    uint32_t conns_used;
    uint32_t requests_used;
    size_t frame_heap_bytes;
    struct mr_list appends_waiting; /* produce parts that met a full store, in order */
    struct mr_list reads_waiting;   /* fetch and offsets parts that met no free read buffer */
    struct mr_list control_waiting; /* the control thread's appends, likewise (ctl_log.c) */
    uint32_t control_works;         /* the control thread's messages not replied to (ctl_log.c) */
    bool room;                      /* a store has said that there is room again */
    uint32_t fetches_parked;
    bool retry_conns; /* something was freed that a waiting connection may use */
    struct mr_timer sweep_timer;
    bool stopping;
    void (*on_control)(void *context, const struct mr_msg *message);
    void *on_control_context;
    int (*on_serve)(void *context);
    void *on_serve_context;
    struct mr_server_stats stats;
    struct mr_topic_stats *topic_stats;
};

/* Memory by purpose, for the broker's budget. */
void mr_server_budget(const struct mr_server_config *config,
                      void (*line)(void *context, const char *what, size_t bytes), void *context);

/* Allocates everything; `stores` (may be empty) is copied, the stores stay the caller's. The
 * stores' on_room() must lead to mr_server_room(). Create `net` with mr_server_net_events().
 * -ENOMEM. */
int mr_server_create(struct mr_shard *shard, const struct mr_server_config *config,
                     const struct mr_server_store *stores, unsigned store_count,
                     struct mr_server **out);

struct mr_net_events mr_server_net_events(struct mr_server *server);
void mr_server_net_set(struct mr_server *server, struct mr_net *net);

/* The shard's steps. Messages of the control thread that are not the server's (store growth, stop)
 * go to `on_control`. */
struct mr_shard_steps
mr_server_steps(struct mr_server *server,
                void (*on_control)(void *context, const struct mr_msg *message), void *context);

/* Called once, when every shard has its first snapshot, so that none gets a request of another's
 * before: the place to listen. A nonzero result is told to the control thread, which then stops the
 * broker. */
void mr_server_on_serve(struct mr_server *server, int (*on_serve)(void *context), void *context);

/* A store has room again (mr_store_config.on_room). */
void mr_server_room(struct mr_server *server);

/* A connection has been opened: the sweep is needed. */
void mr_server_wake_sweep(struct mr_server *server);

/* Closes all connections; requests in progress still end. mr_server_idle() tells when they have. */
void mr_server_stop(struct mr_server *server);
bool mr_server_idle(const struct mr_server *server);

void mr_server_destroy(struct mr_server *server);

/* The store with this index if it is this shard's, else NULL. */
struct mr_store *mr_server_store(const struct mr_server *server, uint16_t index);

#endif
