/* control/group.c: the coordinator as a whole: partitions, the ends of writes, time, and what
 * operators ask. */
#include "control/group_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dataplane/base/utf8.h"

#define TICK_TIMERS_MAX 1000 /* of one tick: the caller's loop has more to do */
#define MS_PER_MINUTE   60000

void
mr_groups_config_default(struct mr_groups_config *config)
{
    *config = (struct mr_groups_config){
        .session_timeout_min_ms = 6000,
        .session_timeout_max_ms = 30 * MS_PER_MINUTE,
        .initial_rebalance_delay_ms = 3000,
        .new_member_timeout_ms = 5 * MS_PER_MINUTE,
        .group_size_max = INT32_MAX,
        .offset_metadata_bytes_max = 4096,
        .offsets_retention_ms = (int64_t)7 * 24 * 60 * MS_PER_MINUTE,
        .retention_check_ms = 10 * MS_PER_MINUTE,
        .groups_max = 100000,
        .members_max = 100000,
        .bytes_max = (uint64_t)512 << 20,
    };
}

/* ---- requests ----------------------------------------------------------------------------------
 */

void
group_park(struct mr_group_request *request, enum group_parked kind, void *owner)
{
    request->kind = (uint8_t)kind;
    request->owner = owner;
}

void
group_answer(struct mr_groups *groups, struct mr_group_request *request, int16_t error)
{
    request->error = error;
    group_park(request, GROUP_PARKED_NOT, NULL);
    if (groups->current == request) {
        groups->current = NULL;
    } else {
        request->done(request);
    }
}

void
group_request_begin(struct mr_groups *groups, struct mr_group_request *request,
                    struct mr_group_time now)
{
    groups->now = now;
    groups->current = request;
    request->error = MR_KAFKA_NONE;
    group_park(request, GROUP_PARKED_NOT, NULL);
}

bool
group_request_end(struct mr_groups *groups, struct mr_group_request *request)
{
    bool answered = groups->current != request;

    MR_ASSERT(answered == (request->kind == GROUP_PARKED_NOT));
    groups->current = NULL;
    return answered;
}

void
mr_groups_cancel(struct mr_groups *groups, struct mr_group_request *request)
{
    (void)groups;
    switch (request->kind) {
    case GROUP_PARKED_JOIN:
        ((struct group_member *)request->owner)->join = NULL;
        break;
    case GROUP_PARKED_SYNC:
        ((struct group_member *)request->owner)->sync = NULL;
        break;
    case GROUP_PARKED_COMMIT:
    case GROUP_PARKED_WRITE:
        ((struct group_write *)request->owner)->request = NULL;
        break;
    default:
        break;
    }
    group_park(request, GROUP_PARKED_NOT, NULL);
}

int16_t
group_available(const struct mr_groups *groups, struct mr_str group_id)
{
    if (group_id.size < 0 || group_id.size > GROUP_TEXT_MAX) {
        return MR_KAFKA_INVALID_GROUP_ID;
    }
    if (groups->partition_count == 0) {
        return MR_KAFKA_NOT_COORDINATOR;
    }
    switch (groups->partitions[mr_groups_partition(group_id, groups->partition_count)].state) {
    case MR_GROUPS_PARTITION_LOADED:
        return MR_KAFKA_NONE;
    case MR_GROUPS_PARTITION_LOADING:
        return MUTANT(EMPTY_WHILE_LOADING) ? MR_KAFKA_NONE : MR_KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    default:
        return MR_KAFKA_NOT_COORDINATOR;
    }
}

/* ---- partitions --------------------------------------------------------------------------------
 */

int32_t
mr_groups_partition(struct mr_str group_id, int32_t partition_count)
{
    uint32_t hash = 0;
    int32_t size;

    for (int32_t i = 0; i < group_id.size; i += size) {
        uint32_t code = mr_utf8_next((const uint8_t *)group_id.data + i, group_id.size - i, &size);

        if (code >= 0x10000) {
            hash = hash * 31 + 0xd800 + ((code - 0x10000) >> 10);
            code = 0xdc00 + ((code - 0x10000) & 0x3ff);
        }
        hash = hash * 31 + code;
    }
    if (hash == 0x80000000u) {
        hash = 0; /* the one value without a magnitude in 32 bits */
    } else if (hash > 0x80000000u) {
        hash = 0u - hash;
    }
    return (int32_t)(hash % (uint32_t)partition_count);
}

int
mr_groups_set_partition_count(struct mr_groups *groups, int32_t count)
{
    struct group_partition *partitions;

    MR_ASSERT(groups->partition_count == 0 && count > 0);
    partitions = group_alloc(groups, (size_t)count * sizeof(*partitions));
    if (!partitions) {
        return -ENOMEM;
    }
    for (int32_t i = 0; i < count; i++) {
        mr_list_init(&partitions[i].groups);
        mr_list_init(&partitions[i].writes);
    }
    groups->partitions = partitions;
    groups->partition_count = count;
    return 0;
}

int32_t
mr_groups_partition_count(const struct mr_groups *groups)
{
    return groups->partition_count;
}

static struct group_partition *
partition_at(const struct mr_groups *groups, int32_t partition)
{
    MR_ASSERT(partition >= 0 && partition < groups->partition_count);
    return &groups->partitions[partition];
}

enum mr_groups_partition_state
mr_groups_partition_state(const struct mr_groups *groups, int32_t partition)
{
    return partition_at(groups, partition)->state;
}

void
mr_groups_load_begin(struct mr_groups *groups, int32_t partition)
{
    struct group_partition *at = partition_at(groups, partition);

    MR_ASSERT(at->state == MR_GROUPS_PARTITION_NONE || at->state == MR_GROUPS_PARTITION_FAILED);
    MR_ASSERT(mr_list_empty(&at->groups) && mr_list_empty(&at->writes));
    at->state = MR_GROUPS_PARTITION_LOADING;
    groups->partitions_loading++;
}

void
mr_groups_load_end(struct mr_groups *groups, int32_t partition, struct mr_group_time now)
{
    struct group_partition *at = partition_at(groups, partition);

    MR_ASSERT(at->state == MR_GROUPS_PARTITION_LOADING);
    groups->now = now;
    at->state = MR_GROUPS_PARTITION_LOADED;
    groups->partitions_loading--;
    if (groups->retention.index == GROUP_TIMER_OFF) {
        group_timer_set(groups, &groups->retention, groups->config.retention_check_ms);
    }
    MR_LIST_FOR_EACH(node, &at->groups)
    {
        struct group *group = MR_CONTAINER_OF(node, struct group, link);

        MR_LIST_FOR_EACH(member, &group->members)
        {
            group_session_renew(groups, GROUP_MEMBER(member));
        }
        if (group->member_count > groups->config.group_size_max) {
            group_prepare(groups, group);
        }
        group_release_unused(groups, group);
    }
}

void
mr_groups_partition_failed(struct mr_groups *groups, int32_t partition)
{
    struct group_partition *at = partition_at(groups, partition);

    if (at->state == MR_GROUPS_PARTITION_LOADING) {
        groups->partitions_loading--;
    }
    at->state = MR_GROUPS_PARTITION_FAILED;
    MR_LIST_FOR_EACH(node, &at->groups)
    {
        group_edge_dead(groups, MR_CONTAINER_OF(node, struct group, link),
                        MR_KAFKA_NOT_COORDINATOR);
    }
    MR_LIST_FOR_EACH(write, &at->writes)
    {
        struct group_write *orphan = MR_CONTAINER_OF(write, struct group_write, link);

        MR_ASSERT(!orphan->group);
        mr_list_remove(write);
        mr_list_push_back(&groups->orphans, write);
        if (orphan->has_ended) { /* nobody will speak of it again */
            group_write_drop(groups, orphan);
        }
    }
}

/* ---- life --------------------------------------------------------------------------------------
 */

static bool
init_tables(struct mr_groups *groups)
{
    return group_table_init(groups, &groups->groups) &&
           group_table_init(groups, &groups->members) &&
           group_table_init(groups, &groups->instances) &&
           group_table_init(groups, &groups->protocols) &&
           group_table_init(groups, &groups->topics) &&
           group_table_init(groups, &groups->topic_names) &&
           group_table_init(groups, &groups->offsets) && group_timers_reserve(groups, 1);
}

struct mr_groups *
mr_groups_create(const struct mr_groups_config *config, const struct mr_groups_actions *actions)
{
    struct mr_groups *groups = calloc(1, sizeof(*groups));

    if (!groups) {
        return NULL;
    }
    groups->config = *config;
    groups->actions = *actions;
    mr_list_init(&groups->orphans);
    group_timer_init(&groups->retention, GROUP_TIMER_RETENTION);
    actions->random(actions->context, &groups->hash_key, sizeof(groups->hash_key));
    if (!init_tables(groups)) {
        mr_groups_destroy(groups);
        return NULL;
    }
    return groups;
}

/* So that nothing parked is answered any more. */
static void
forget_requests(struct group_partition *partition)
{
    MR_LIST_FOR_EACH(write, &partition->writes)
    {
        MR_CONTAINER_OF(write, struct group_write, link)->request = NULL;
    }
    MR_LIST_FOR_EACH(node, &partition->groups)
    {
        struct group *group = MR_CONTAINER_OF(node, struct group, link);

        MR_LIST_FOR_EACH(member, &group->members)
        {
            GROUP_MEMBER(member)->join = NULL;
            GROUP_MEMBER(member)->sync = NULL;
        }
    }
}

void
mr_groups_destroy(struct mr_groups *groups)
{
    if (!groups) {
        return;
    }
    for (int32_t i = 0; i < groups->partition_count; i++) {
        forget_requests(&groups->partitions[i]);
        mr_groups_partition_failed(groups, i);
    }
    MR_LIST_FOR_EACH(node, &groups->orphans)
    {
        group_write_drop(groups, MR_CONTAINER_OF(node, struct group_write, link));
    }
    group_timer_off(groups, &groups->retention);
    group_free(groups, groups->heap.timers);
    group_free(groups, groups->partitions);
    group_table_free(groups, &groups->groups);
    group_table_free(groups, &groups->members);
    group_table_free(groups, &groups->instances);
    group_table_free(groups, &groups->protocols);
    group_table_free(groups, &groups->topics);
    group_table_free(groups, &groups->topic_names);
    group_table_free(groups, &groups->offsets);
    MR_ASSERT(groups->bytes == 0);
    free(groups);
}

/* ---- the ends of writes ------------------------------------------------------------------------
 */

/* A new group's first record did not become durable: whoever waits tries elsewhere. */
static void
created(struct mr_groups *groups, struct group *group, int16_t error)
{
    if (error == MR_KAFKA_NONE || group->generation > 0) {
        return; /* in the second case later records are on their way */
    }
    group->recorded = false;
    if (group->state != MR_GROUP_PREPARING_REBALANCE) {
        return;
    }
    MR_LIST_FOR_EACH(node, &group->members)
    {
        group_member_remove(groups, GROUP_MEMBER(node), error);
    }
    group_member_gone(groups, group, false);
}

static void
ended(struct mr_groups *groups, struct group_write *write, int16_t error)
{
    struct group *group = write->group;

    switch (write->kind) {
    case GROUP_WRITE_CREATED:
        created(groups, group, error);
        break;
    case GROUP_WRITE_ASSIGNMENT:
        group_assigned(groups, write, error);
        break;
    case GROUP_WRITE_REPLACED:
        group_replaced(groups, write, error);
        break;
    case GROUP_WRITE_OFFSETS:
        group_offsets_written(groups, write, error);
        if (write->deletes_group && error == MR_KAFKA_NONE) {
            group->recorded = false; /* and so it is released below */
        }
        break;
    case GROUP_WRITE_EMPTY:
        break;
    }
}

/* The write is its partition's first, or its group is no more. */
static void
write_end(struct mr_groups *groups, struct group_write *write)
{
    struct group *group = write->group;

    if (group) {
        mr_list_remove(&write->link);
        group->writes--;
        ended(groups, write, group_write_error(write->error));
    }
    group_write_drop(groups, write);
    if (group) {
        group_release_unused(groups, group);
    }
}

/* Writes that succeed end in their order; one that is refused (its topic was deleted, its batch is
 * too large) may end before an earlier one that is still on its way, and then waits for it. */
void
mr_groups_written(struct mr_groups *groups, struct mr_group_write *ended_write,
                  enum mr_kafka_err error, struct mr_group_time now)
{
    struct group_write *write = MR_CONTAINER_OF(ended_write, struct group_write, write);
    struct mr_list *writes = &groups->partitions[write->write.partition].writes;

    groups->now = now;
    groups->stats.writes--;
    write->has_ended = true;
    write->error = error;
    if (!write->group) {
        write_end(groups, write);
    }
    while (!mr_list_empty(writes)) {
        write = MR_CONTAINER_OF(writes->next, struct group_write, link);
        if (!write->has_ended) {
            break;
        }
        write_end(groups, write);
    }
}

/* ---- time --------------------------------------------------------------------------------------
 */

uint64_t
mr_groups_deadline(const struct mr_groups *groups)
{
    return groups->heap.count > 0 ? groups->heap.timers[0]->at_ns : UINT64_MAX;
}

static void
expire(struct mr_groups *groups, struct group_timer *timer)
{
    group_timer_off(groups, timer);
    switch ((enum group_timer_kind)timer->kind) {
    case GROUP_TIMER_SESSION:
        group_session_expired(groups, MR_CONTAINER_OF(timer, struct group_member, session));
        break;
    case GROUP_TIMER_JOIN:
        group_join_expired(groups, MR_CONTAINER_OF(timer, struct group, join_timer));
        break;
    case GROUP_TIMER_SYNC:
        group_sync_expired(groups, MR_CONTAINER_OF(timer, struct group, sync_timer));
        break;
    case GROUP_TIMER_RETENTION:
        group_retention(groups);
        break;
    }
}

void
mr_groups_tick(struct mr_groups *groups, struct mr_group_time now)
{
    groups->now = now;
    for (int i = 0; i < TICK_TIMERS_MAX && mr_groups_deadline(groups) <= now.ns; i++) {
        expire(groups, groups->heap.timers[0]);
    }
}

/* ---- what operators ask ------------------------------------------------------------------------
 */

enum mr_kafka_err
mr_groups_describe(struct mr_groups *groups, struct mr_str group_id,
                   struct mr_group_description *out)
{
    int16_t error = group_available(groups, group_id);
    struct group *group = error == MR_KAFKA_NONE ? group_find(groups, group_id) : NULL;
    bool stable;

    if (error != MR_KAFKA_NONE) {
        return error;
    }
    if (!group) {
        return MR_KAFKA_GROUP_ID_NOT_FOUND;
    }
    stable = group->state == MR_GROUP_STABLE;
    *out = (struct mr_group_description){
        .state = group->state,
        .protocol_type = group->protocol_type.size < 0 ? group_str_none : group->protocol_type,
        .protocol_data = stable ? group->protocol->name : group_str_none,
        .generation = group->generation,
        .leader = group->leader ? group->leader->id : group_str_null,
        .member_count = group_views(group, stable, true),
        .members = group->views,
    };
    return MR_KAFKA_NONE;
}

/* An empty list lets everything pass. */
static bool
listed(const struct mr_str *names, int32_t count, const char *name)
{
    size_t size = strlen(name);

    for (int32_t i = 0; i < count; i++) {
        if (names[i].size == (int32_t)size && strncasecmp(names[i].data, name, size) == 0) {
            return true;
        }
    }
    return count <= 0;
}

/* Without the spaces around it: Kafka overlooks them in the names of states, though not of types.
 */
static struct mr_str
trimmed(struct mr_str name)
{
    while (name.size > 0 && (uint8_t)name.data[name.size - 1] <= ' ') {
        name.size--;
    }
    while (name.size > 0 && (uint8_t)name.data[0] <= ' ') {
        name.data++;
        name.size--;
    }
    return name;
}

/* A bit for each state that is listed. */
static uint32_t
states_listed(const struct mr_str *names, int32_t count)
{
    uint32_t states = 0;

    for (uint32_t state = 0; state < MR_GROUP_STATES; state++) {
        states |= (uint32_t)(count <= 0) << state;
    }
    for (int32_t i = 0; i < count; i++) {
        struct mr_str name = trimmed(names[i]);

        for (uint32_t state = 0; state < MR_GROUP_STATES; state++) {
            states |= (uint32_t)listed(&name, 1, mr_group_state_name(state)) << state;
        }
    }
    return states;
}

enum mr_kafka_err
mr_groups_list(const struct mr_groups *groups, const struct mr_str *states, int32_t state_count,
               const struct mr_str *types, int32_t type_count,
               void (*visit)(void *context, const struct mr_group_listing *listing), void *context)
{
    uint32_t wanted;

    if (groups->partition_count == 0) {
        return MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    if (groups->partitions_loading > 0) {
        return MR_KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    }
    wanted = states_listed(states, state_count);
    for (int32_t i = 0; i < groups->partition_count && listed(types, type_count, "classic"); i++) {
        MR_LIST_FOR_EACH(node, &groups->partitions[i].groups)
        {
            const struct group *group = MR_CONTAINER_OF(node, struct group, link);

            if (wanted >> group->state & 1) {
                visit(context,
                      &(struct mr_group_listing){
                          .group_id = group->id,
                          .protocol_type =
                              group->protocol_type.size < 0 ? group_str_none : group->protocol_type,
                          .state = group->state,
                      });
            }
        }
    }
    return MR_KAFKA_NONE;
}

bool
mr_groups_visit(const struct mr_groups *groups, int32_t partition,
                void (*visit)(void *context, struct mr_str group_id), void *context)
{
    if (partition >= groups->partition_count) {
        return false;
    }
    if (groups->partitions[partition].state == MR_GROUPS_PARTITION_LOADED) {
        MR_LIST_FOR_EACH(node, &groups->partitions[partition].groups)
        {
            visit(context, MR_CONTAINER_OF(node, struct group, link)->id);
        }
    }
    return true;
}

void
mr_groups_stats(const struct mr_groups *groups, struct mr_groups_stats *out)
{
    *out = groups->stats;
    out->bytes = groups->bytes;
}
