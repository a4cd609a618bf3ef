/* control/coordinator.c: time, durable writes and replay for the state machine of group.h. */
#include "control/coordinator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/statelog.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/log.h"
#include "dataplane/base/rng.h"

#define RECORDS_AT_ONCE 64u

struct mr_coordinator {
    struct mr_control *control;
    struct mr_groups *groups;
    struct mr_statelog *log;
    uv_timer_t timer;
    bool broken; /* the topic came back with another number of partitions */
    /* Writes that the state log has not taken, oldest first, linked by their `user`. */
    struct mr_group_write *first;
    struct mr_group_write **end;
};

struct mr_groups *
mr_coordinator_groups(struct mr_coordinator *coordinator)
{
    return coordinator->groups;
}

struct mr_group_time
mr_coordinator_now(const struct mr_coordinator *coordinator)
{
    const struct mr_clock *clock = coordinator->control->config.clock;

    return (struct mr_group_time){.ns = mr_clock_now_ns(clock), .ms = mr_clock_wall_ms(clock)};
}

/* ---- writes ---------------------------------------------------------------------------------- */

/* The state machine's action: only noted, because it may not be called back from here. */
static void
on_write(void *context, struct mr_group_write *write)
{
    struct mr_coordinator *coordinator = context;

    write->user = NULL;
    *coordinator->end = write;
    coordinator->end = (struct mr_group_write **)&write->user;
}

static enum mr_kafka_err
append(struct mr_coordinator *coordinator, struct mr_group_write *write)
{
    struct mr_statelog_record few[RECORDS_AT_ONCE] = {{0}};
    struct mr_statelog_record *records = few;
    enum mr_kafka_err error;

    if (coordinator->control->stopping) {
        return MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    if (write->record_count > RECORDS_AT_ONCE) {
        records = calloc(write->record_count, sizeof(*records));
    }
    if (!records) {
        return MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    for (uint32_t i = 0; i < write->record_count; i++) {
        const struct mr_group_record *record = &write->records[i];

        records[i] = (struct mr_statelog_record){
            .key = record->key.data,
            .key_size = (uint32_t)record->key.size,
            .value = record->value.size < 0 ? NULL : record->value.data,
            .value_size = record->value.size < 0 ? 0 : (uint32_t)record->value.size,
        };
    }
    error = mr_statelog_append(coordinator->log, write->partition, records, write->record_count,
                               write->timestamp_ms, (uintptr_t)write);
    if (records != few) {
        free(records);
    }
    return error;
}

static void
drain_writes(struct mr_coordinator *coordinator)
{
    while (coordinator->first) {
        struct mr_group_write *write = coordinator->first;
        enum mr_kafka_err error;

        coordinator->first = write->user;
        if (!coordinator->first) {
            coordinator->end = &coordinator->first;
        }
        error = append(coordinator, write);
        if (error) {
            mr_groups_written(coordinator->groups, write, error, mr_coordinator_now(coordinator));
        }
    }
}

static void
on_appended(void *context, uint64_t token, enum mr_kafka_err error)
{
    struct mr_coordinator *coordinator = context;

    mr_groups_written(coordinator->groups, (struct mr_group_write *)(uintptr_t)token, error,
                      mr_coordinator_now(coordinator));
}

/* ---- replay ---------------------------------------------------------------------------------- */

static void
on_partitions(void *context, int32_t count)
{
    struct mr_coordinator *coordinator = context;
    int32_t known = mr_groups_partition_count(coordinator->groups);

    if (count == 0) {
        for (int32_t i = 0; i < known && !coordinator->broken; i++) {
            mr_groups_partition_failed(coordinator->groups, i);
        }
        return;
    }
    coordinator->broken = known > 0 && known != count;
    if (!coordinator->broken && known == 0) {
        coordinator->broken = mr_groups_set_partition_count(coordinator->groups, count) != 0;
    }
    if (coordinator->broken) {
        MR_LOG_ERROR("control",
                     "%s has another number of partitions than before; groups are "
                     "served again after a restart",
                     MR_OFFSETS_TOPIC);
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        mr_groups_load_begin(coordinator->groups, i);
    }
}

static bool
loading(const struct mr_coordinator *coordinator, int32_t partition)
{
    return !coordinator->broken &&
           mr_groups_partition_state(coordinator->groups, partition) == MR_GROUPS_PARTITION_LOADING;
}

static void
on_record(void *context, int32_t partition, const struct mr_record *record)
{
    struct mr_coordinator *coordinator = context;
    struct mr_bytes key = {record->key, record->key ? record->key_size : -1};
    struct mr_bytes value = {record->value, record->value ? record->value_size : -1};

    /* What is no record of Kafka's has been skipped; only the bound is an end. */
    if (loading(coordinator, partition) &&
        mr_groups_load_record(coordinator->groups, partition, key, value) == -ENOMEM) {
        MR_LOG_ERROR("control", "%s-%d holds more than the coordinator's memory allows",
                     MR_OFFSETS_TOPIC, partition);
        mr_groups_partition_failed(coordinator->groups, partition);
    }
}

static void
on_loaded(void *context, int32_t partition, enum mr_kafka_err error)
{
    struct mr_coordinator *coordinator = context;

    if (!loading(coordinator, partition)) {
        return;
    }
    if (error) {
        mr_groups_partition_failed(coordinator->groups, partition);
    } else {
        mr_groups_load_end(coordinator->groups, partition, mr_coordinator_now(coordinator));
    }
}

/* ---- the topic ------------------------------------------------------------------------------- */

bool
mr_coordinator_has_topic(const struct mr_coordinator *coordinator)
{
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(coordinator->control->metadata);
    bool has = snapshot && mr_snapshot_topic_by_name(snapshot, MR_OFFSETS_TOPIC,
                                                     (uint32_t)strlen(MR_OFFSETS_TOPIC));

    if (snapshot) {
        mr_metadata_snapshot_release(snapshot);
    }
    return has;
}

static void
override(struct mr_metadata_new_topic *topic, const char *key, const char *value)
{
    int at = mr_topic_key_find(key, strlen(key));

    MR_ASSERT(at >= 0);
    topic->overrides[at] = value;
}

enum mr_kafka_err
mr_coordinator_make_topic(struct mr_coordinator *coordinator, struct mr_op *op,
                          void (*decided)(struct mr_proposal *, const struct mr_metadata_outcome *),
                          void *slot)
{
    const struct mr_config *config = coordinator->control->config.config;
    struct mr_metadata_new_topic topic = {
        .name = MR_OFFSETS_TOPIC,
        .name_size = (uint32_t)strlen(MR_OFFSETS_TOPIC),
        .internal = true,
        .partition_count = (uint32_t)mr_config_long(config, "offsets.topic.num.partitions"),
    };

    override(&topic, "cleanup.policy", "compact");
    override(&topic, "compression.type", "producer");
    override(&topic, "segment.bytes", mr_config_get(config, "offsets.topic.segment.bytes"));
    return mr_topic_propose(coordinator->control, op, &topic, NULL, decided, slot);
}

void
mr_coordinator_topic_deleted(struct mr_coordinator *coordinator, struct mr_str topic)
{
    mr_groups_topic_deleted(coordinator->groups, topic, mr_coordinator_now(coordinator));
}

/* ---- time ------------------------------------------------------------------------------------ */

static void
on_timer(uv_timer_t *timer)
{
    (void)timer; /* the turn that it causes does the work */
}

static void
arm_timer(struct mr_coordinator *coordinator, uint64_t now_ns)
{
    uint64_t deadline = mr_groups_deadline(coordinator->groups);

    if (deadline == UINT64_MAX) {
        uv_timer_stop(&coordinator->timer);
        return;
    }
    uv_update_time(&coordinator->control->loop);
    uv_timer_start(&coordinator->timer, on_timer,
                   deadline > now_ns ? (deadline - now_ns) / MR_NS_PER_MS + 1 : 0, 0);
}

void
mr_coordinator_turn(struct mr_coordinator *coordinator, bool current)
{
    struct mr_control *control = coordinator->control;
    struct mr_group_time now = mr_coordinator_now(coordinator);

    if (control->stopping) {
        drain_writes(coordinator); /* they fail: their requests hold up the shards' end */
        return; /* what shards are told to stop for is not followed by more work */
    }
    if (current) {
        const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);

        if (snapshot) {
            mr_statelog_turn(coordinator->log, snapshot);
            mr_metadata_snapshot_release(snapshot);
        }
    }
    if (mr_groups_deadline(coordinator->groups) <= now.ns) {
        mr_groups_tick(coordinator->groups, now);
    }
    drain_writes(coordinator);
    arm_timer(coordinator, now.ns);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
random_bytes(void *context, void *out, size_t size)
{
    (void)context;
    mr_random_bytes(out, size);
}

static void
configure(const struct mr_config *config, struct mr_groups_config *out)
{
    mr_groups_config_default(out);
    out->bytes_max = (uint64_t)mr_config_long(config, "memory.bytes") / MR_CONTROL_GROUPS_PART;
    out->session_timeout_min_ms = (int32_t)mr_config_long(config, "group.min.session.timeout.ms");
    out->session_timeout_max_ms = (int32_t)mr_config_long(config, "group.max.session.timeout.ms");
    out->initial_rebalance_delay_ms =
        (int32_t)mr_config_long(config, "group.initial.rebalance.delay.ms");
    out->group_size_max = (int32_t)mr_config_long(config, "group.max.size");
    out->offset_metadata_bytes_max = (int32_t)mr_config_long(config, "offset.metadata.max.bytes");
    out->offsets_retention_ms = mr_config_long(config, "offsets.retention.minutes") * 60 * 1000;
    out->retention_check_ms = mr_config_long(config, "offsets.retention.check.interval.ms");
}

struct mr_coordinator *
mr_coordinator_create(struct mr_control *control)
{
    struct mr_coordinator *coordinator = calloc(1, sizeof(*coordinator));
    const struct mr_statelog_events events = {coordinator, on_partitions, on_record, on_loaded,
                                              on_appended};
    const struct mr_groups_actions actions = {coordinator, on_write, random_bytes};
    struct mr_groups_config config;

    if (!coordinator) {
        return NULL;
    }
    coordinator->control = control;
    coordinator->end = &coordinator->first;
    configure(control->config.config, &config);
    coordinator->groups = mr_groups_create(&config, &actions);
    coordinator->log = mr_statelog_create(control, MR_OFFSETS_TOPIC, &events);
    if (!coordinator->groups || !coordinator->log) {
        mr_coordinator_destroy(coordinator);
        return NULL;
    }
    return coordinator;
}

void
mr_coordinator_start(struct mr_coordinator *coordinator)
{
    uv_timer_init(&coordinator->control->loop, &coordinator->timer);
}

void
mr_coordinator_destroy(struct mr_coordinator *coordinator)
{
    if (!coordinator) {
        return;
    }
    mr_statelog_destroy(coordinator->log);
    mr_groups_destroy(coordinator->groups);
    free(coordinator);
}
