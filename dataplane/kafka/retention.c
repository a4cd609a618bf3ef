/* kafka/retention.c: the walk over the shard's partitions. */
#include "dataplane/kafka/retention.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/kafka/server.h"
#include "dataplane/kafka/topics.h"
#include "storage/log.h"

#define PARTITIONS_PER_STEP 64u
#define TRIMS_MAX           32u
#define CHECK_NS_MIN        (100 * MR_NS_PER_MS)
#define CLEANER_BYTES_PER_S (64u << 20) /* so that produce latency holds */

struct retention_trim {
    struct mr_log_trim trim;
    struct mr_list node; /* in `free` */
    struct mr_retention *retention;
};

struct mr_retention {
    struct mr_server *server;
    struct retention_trim trims[TRIMS_MAX];
    struct mr_list free;
    unsigned in_flight;
    bool walking;
    struct mr_uuid topic; /* where it stands; topics may come and go: it goes on from this id */
    int32_t partition;
    uint64_t next_ns;
    bool trims_due; /* this walk is one of retention, too */
    uint64_t trims_ns;
    struct mr_log_compact compact;
    bool compacting;
    bool found; /* the log that is worth it most, so far */
    double dirty;
    struct mr_log_id worth;
};

struct mr_retention *
mr_retention_create(struct mr_server *server)
{
    struct mr_retention *retention = calloc(1, sizeof(*retention));

    if (!retention) {
        return NULL;
    }
    retention->server = server;
    mr_list_init(&retention->free);
    for (unsigned i = 0; i < TRIMS_MAX; i++) {
        retention->trims[i].retention = retention;
        mr_list_push_back(&retention->free, &retention->trims[i].node);
    }
    return retention;
}

void
mr_retention_destroy(struct mr_retention *retention)
{
    free(retention);
}

bool
mr_retention_idle(const struct mr_retention *retention)
{
    return retention->in_flight == 0 && !retention->compacting;
}

static void
on_trimmed(struct mr_log_trim *trim, enum mr_kafka_err error)
{
    struct retention_trim *own = MR_CONTAINER_OF(trim, struct retention_trim, trim);

    (void)error; /* what failed is looked at again by the next walk */
    own->retention->in_flight--;
    mr_list_push_back(&own->retention->free, &own->node);
}

static void
on_compacted(struct mr_log_compact *compact, enum mr_kafka_err error)
{
    struct mr_retention *retention = MR_CONTAINER_OF(compact, struct mr_retention, compact);

    retention->compacting = false;
    if (error == MR_KAFKA_NONE && compact->changed) {
        retention->next_ns = 0; /* there may be another one */
    }
}

static void
compact_limits(const struct mr_topic_limits *limits, struct mr_compact_limits *out)
{
    *out = (struct mr_compact_limits){
        .lag_min_ms = limits->compaction_lag_min_ms,
        .lag_max_ms = limits->compaction_lag_max_ms,
        .delete_retention_ms = limits->delete_retention_ms,
        .ratio = limits->cleanable_ratio,
        .segment_bytes = (uint32_t)limits->segment_bytes,
    };
}

/* 0: there is no compaction. */
static uint64_t
backoff_ns(const struct mr_server *server)
{
    int64_t set_ms = server->snapshot ? server->snapshot->settings.cleaner_backoff_ms : -1;

    return server->config.cleaner_backoff_ns > 0 && set_ms >= 0
               ? (uint64_t)set_ms * MR_NS_PER_MS + 1
               : server->config.cleaner_backoff_ns;
}

static uint64_t
compaction_rate(const struct mr_server *server)
{
    int64_t set = server->snapshot->settings.cleaner_bytes_per_s;
    uint64_t rate = set >= 0 ? (uint64_t)set : server->config.cleaner_bytes_per_s;

    return rate > 0 && rate < CLEANER_BYTES_PER_S ? rate : CLEANER_BYTES_PER_S;
}

/* Notes the log if it is worth more than those before. */
static void
check_compaction(struct mr_retention *retention, const struct mr_topic_limits *limits,
                 struct mr_log *log, int64_t now_ms)
{
    struct mr_compact_limits rules;
    double dirty;

    if (!limits->compact || retention->compacting || backoff_ns(retention->server) == 0) {
        return;
    }
    compact_limits(limits, &rules);
    if (mr_log_compact_due(log, &rules, now_ms, &dirty) &&
        (!retention->found || dirty > retention->dirty)) {
        retention->found = true;
        retention->dirty = dirty;
        retention->worth = *mr_log_id(log);
    }
}

static void
compact_best(struct mr_retention *retention)
{
    const struct mr_server *server = retention->server;
    const struct mr_snapshot_topic *topic;
    struct mr_store *store =
        retention->found ? mr_topic_store(server, &retention->worth, &topic) : NULL;
    struct mr_log *log = store ? mr_store_log_find(store, &retention->worth) : NULL;

    retention->found = false;
    if (!log) {
        return;
    }
    retention->compact.done = on_compacted;
    retention->compact.bytes_per_s = compaction_rate(server);
    compact_limits(&topic->limits, &retention->compact.limits);
    retention->compacting = mr_log_compact(log, &retention->compact) == 0;
}

static void
check_partition(struct mr_retention *retention, const struct mr_snapshot_topic *topic,
                int32_t partition, int64_t now_ms)
{
    const struct mr_topic_limits *limits = &topic->limits;
    struct mr_store *store = mr_server_store(retention->server, topic->partitions[partition].store);
    struct mr_log_id id = {topic->id, partition};
    struct mr_log *log = store ? mr_store_log_find(store, &id) : NULL;
    struct mr_log_offsets offsets;
    struct retention_trim *trim;
    int64_t offset;

    if (!log) {
        return;
    }
    check_compaction(retention, limits, log, now_ms);
    if (!retention->trims_due) {
        return;
    }
    mr_log_roll_idle(log, limits->segment_ms, now_ms);
    if (!limits->delete_old) {
        return;
    }
    mr_log_offsets(log, &offsets);
    offset = mr_log_retention_offset(log, limits->retention_ms, limits->retention_bytes, now_ms);
    if (offset <= offsets.start) {
        return;
    }
    trim = MR_CONTAINER_OF(mr_list_pop_front(&retention->free), struct retention_trim, node);
    trim->trim.offset = offset;
    trim->trim.done = on_trimmed;
    retention->in_flight++;
    mr_log_trim(log, &trim->trim);
}

/* The partition to look at next. False: the walk is over. */
static bool
walk_next(struct mr_retention *retention, const struct mr_snapshot_topic **topic_out)
{
    const struct mr_snapshot_topic *topic;
    struct mr_topic_walk walk;

    mr_snapshot_walk_ids(retention->server->snapshot, &retention->topic, &walk);
    while ((topic = mr_topic_walk_next(&walk))) {
        if (!mr_uuid_equal(&topic->id, &retention->topic)) {
            retention->topic = topic->id;
            retention->partition = 0;
        }
        if (retention->partition < topic->partition_count) {
            *topic_out = topic;
            return true;
        }
    }
    return false;
}

static void
walk_ended(struct mr_retention *retention, uint64_t now_ns)
{
    const struct mr_server_config *config = &retention->server->config;
    uint64_t backoff = backoff_ns(retention->server);

    backoff = backoff ? backoff : UINT64_MAX / 2;

    if (retention->trims_due) {
        retention->trims_ns =
            now_ns +
            (config->retention_check_ns < CHECK_NS_MIN ? CHECK_NS_MIN : config->retention_check_ns);
    }
    retention->next_ns = now_ns + (backoff < CHECK_NS_MIN ? CHECK_NS_MIN : backoff);
    if (retention->trims_ns < retention->next_ns) {
        retention->next_ns = retention->trims_ns;
    }
    compact_best(retention);
}

bool
mr_retention_step(struct mr_retention *retention)
{
    struct mr_server *server = retention->server;
    uint64_t now_ns = server->shard->now_ns;
    const struct mr_snapshot_topic *topic;
    int64_t now_ms;

    if (!server->snapshot || server->stopping) {
        retention->walking = false;
        return false;
    }
    if (!retention->walking) {
        if (now_ns < retention->next_ns) {
            return false;
        }
        retention->walking = true;
        retention->topic = (struct mr_uuid){{0}}; /* no topic's: before all */
        retention->trims_due = now_ns >= retention->trims_ns;
    }
    now_ms = mr_clock_wall_ms(server->shard->clock);
    for (unsigned n = 0; n < PARTITIONS_PER_STEP; n++) {
        if (mr_list_empty(&retention->free)) {
            return false; /* goes on when a trim is durable */
        }
        if (!walk_next(retention, &topic)) {
            retention->walking = false;
            walk_ended(retention, now_ns);
            return false;
        }
        check_partition(retention, topic, retention->partition, now_ms);
        retention->partition++;
    }
    return true;
}

void
mr_retention_settings(struct mr_retention *retention)
{
    uint64_t next_ns = retention->server->shard->now_ns + backoff_ns(retention->server);

    if (backoff_ns(retention->server) > 0 && next_ns < retention->next_ns) {
        retention->next_ns = next_ns;
    }
}

uint64_t
mr_retention_deadline_ns(const struct mr_retention *retention)
{
    const struct mr_server *server = retention->server;

    return !server->snapshot || server->stopping || retention->walking ? UINT64_MAX
                                                                       : retention->next_ns;
}
