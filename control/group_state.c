/* control/group_state.c: a group's life and its states, one function per edge (group.h draws them).
 */
#include "control/group_internal.h"

static const char *const state_names[MR_GROUP_STATES] = {
    [MR_GROUP_EMPTY] = "Empty",
    [MR_GROUP_PREPARING_REBALANCE] = "PreparingRebalance",
    [MR_GROUP_COMPLETING_REBALANCE] = "CompletingRebalance",
    [MR_GROUP_STABLE] = "Stable",
    [MR_GROUP_DEAD] = "Dead",
};

/* The states that each state may follow. */
#define BIT(state) (1u << (state))
static const uint8_t edges[MR_GROUP_STATES] = {
    [MR_GROUP_EMPTY] = BIT(MR_GROUP_PREPARING_REBALANCE),
    [MR_GROUP_PREPARING_REBALANCE] =
        BIT(MR_GROUP_EMPTY) | BIT(MR_GROUP_COMPLETING_REBALANCE) | BIT(MR_GROUP_STABLE),
    [MR_GROUP_COMPLETING_REBALANCE] = BIT(MR_GROUP_PREPARING_REBALANCE),
    [MR_GROUP_STABLE] = BIT(MR_GROUP_COMPLETING_REBALANCE),
    [MR_GROUP_DEAD] = BIT(MR_GROUP_EMPTY) | BIT(MR_GROUP_PREPARING_REBALANCE) |
                      BIT(MR_GROUP_COMPLETING_REBALANCE) | BIT(MR_GROUP_STABLE),
};

const char *
mr_group_state_name(enum mr_group_state state)
{
    return state < MR_GROUP_STATES ? state_names[state] : "Unknown";
}

/* ---- life --------------------------------------------------------------------------------------
 */

struct group *
group_find(const struct mr_groups *groups, struct mr_str id)
{
    uint64_t hash = group_hash(groups, NULL, id);

    for (struct group_node *node = group_table_chain(&groups->groups, hash); node;
         node = node->next) {
        struct group *group = MR_CONTAINER_OF(node, struct group, by_id);

        if (node->hash == hash && group_str_equal(group->id, id)) {
            return group;
        }
    }
    return NULL;
}

struct group *
group_create(struct mr_groups *groups, struct mr_str id)
{
    struct group *group;

    if (groups->groups.count >= groups->config.groups_max) {
        return NULL;
    }
    group = group_alloc(groups, sizeof(*group));
    if (!group) {
        return NULL;
    }
    if (!group_copy(groups, id, &group->id)) {
        goto no_id;
    }
    if (!group_timers_reserve(groups, GROUP_TIMERS_GROUP)) {
        goto no_timers;
    }
    group->partition = mr_groups_partition(id, groups->partition_count);
    group->state = MR_GROUP_EMPTY;
    group->previous = MR_GROUP_DEAD;
    group->state_ms = groups->now.ms;
    group->protocol_type = group_str_null;
    group_timer_init(&group->join_timer, GROUP_TIMER_JOIN);
    group_timer_init(&group->sync_timer, GROUP_TIMER_SYNC);
    mr_list_init(&group->protocols);
    mr_list_init(&group->members);
    mr_list_init(&group->pending);
    mr_list_init(&group->topics);
    mr_list_push_back(&groups->partitions[group->partition].groups, &group->link);
    group_table_add(groups, &groups->groups, &group->by_id, group_hash(groups, NULL, id));
    groups->stats.groups[MR_GROUP_EMPTY]++;
    return group;

no_timers:
    group_free_str(groups, &group->id);
no_id:
    group_free(groups, group);
    return NULL;
}

/* Everything that refers to the group is gone already. */
static void
destroy(struct mr_groups *groups, struct group *group)
{
    MR_ASSERT(group->state == MR_GROUP_DEAD);
    MR_ASSERT(mr_list_empty(&group->members) && mr_list_empty(&group->pending));
    MR_ASSERT(mr_list_empty(&group->protocols) && mr_list_empty(&group->topics));
    group_timer_off(groups, &group->join_timer);
    group_timer_off(groups, &group->sync_timer);
    group_timers_release(groups, GROUP_TIMERS_GROUP);
    group_table_remove(&groups->groups, &group->by_id);
    mr_list_remove(&group->link);
    groups->stats.groups[MR_GROUP_DEAD]--;
    group_free_str(groups, &group->id);
    group_free_str(groups, &group->protocol_type);
    group_free(groups, group->views);
    group_free(groups, group);
}

/* ---- states ------------------------------------------------------------------------------------
 */

static void
set_state(struct mr_groups *groups, struct group *group, enum mr_group_state state)
{
    MR_ASSERT(edges[state] & BIT(group->state));
    groups->stats.edges[group->state][state]++;
    groups->stats.groups[group->state]--;
    groups->stats.groups[state]++;
    group->previous = group->state;
    group->state = state;
    group->state_ms = groups->now.ms;
}

void
group_restore(struct mr_groups *groups, struct group *group, enum mr_group_state state,
              int64_t state_ms)
{
    MR_ASSERT(state == MR_GROUP_EMPTY || state == MR_GROUP_STABLE);
    groups->stats.groups[group->state]--;
    groups->stats.groups[state]++;
    group->previous = MR_GROUP_DEAD;
    group->state = state;
    group->state_ms = state_ms;
}

/* Generations stay positive, because a negative one means none in every request. */
static void
generation_next(struct group *group)
{
    group->generation = group->generation == INT32_MAX ? 1 : group->generation + 1;
}

/* EMPTY -> PREPARING_REBALANCE: a member has joined; others are given the initial delay. */
void
group_edge_first_join(struct mr_groups *groups, struct group *group)
{
    MR_ASSERT(group->state == MR_GROUP_EMPTY);
    set_state(groups, group, MR_GROUP_PREPARING_REBALANCE);
    group->initial = true;
}

/* PREPARING_REBALANCE -> EMPTY: nobody is left to begin a generation with. */
void
group_edge_all_left(struct mr_groups *groups, struct group *group)
{
    MR_ASSERT(group->state == MR_GROUP_PREPARING_REBALANCE && group->member_count == 0);
    generation_next(group);
    group_set_protocol(groups, group, NULL);
    set_state(groups, group, MR_GROUP_EMPTY);
}

/* PREPARING_REBALANCE -> COMPLETING_REBALANCE: a generation begins; its leader must assign. */
void
group_edge_all_joined(struct mr_groups *groups, struct group *group)
{
    MR_ASSERT(group->state == MR_GROUP_PREPARING_REBALANCE && group->member_count > 0);
    generation_next(group);
    group_set_protocol(groups, group, group_select_protocol(group));
    group->assigning = false;
    set_state(groups, group, MR_GROUP_COMPLETING_REBALANCE);
}

/* COMPLETING_REBALANCE -> PREPARING_REBALANCE: the generation ends before it is assigned. */
void
group_edge_reopened(struct mr_groups *groups, struct group *group)
{
    MR_ASSERT(group->state == MR_GROUP_COMPLETING_REBALANCE);
    group->assigning = false;
    set_state(groups, group, MR_GROUP_PREPARING_REBALANCE);
}

/* COMPLETING_REBALANCE -> STABLE: the assignment is durable. */
void
group_edge_assigned(struct mr_groups *groups, struct group *group)
{
    MR_ASSERT(group->state == MR_GROUP_COMPLETING_REBALANCE);
    group->assigning = false;
    set_state(groups, group, MR_GROUP_STABLE);
    groups->stats.rebalances++;
}

/* STABLE -> PREPARING_REBALANCE: the assignment no longer fits the members. */
void
group_edge_unsettled(struct mr_groups *groups, struct group *group)
{
    MR_ASSERT(group->state == MR_GROUP_STABLE);
    set_state(groups, group, MR_GROUP_PREPARING_REBALANCE);
}

static void
forget_writes(struct mr_groups *groups, struct group *group, int16_t error)
{
    struct mr_list *writes = &groups->partitions[group->partition].writes;

    MR_LIST_FOR_EACH(node, writes)
    {
        struct group_write *write = MR_CONTAINER_OF(node, struct group_write, link);

        if (write->group != group) {
            continue;
        }
        if (write->kind == GROUP_WRITE_REPLACED) {
            group_replaced(groups, write, error);
        } else if (write->kind == GROUP_WRITE_OFFSETS) {
            group_offsets_written(groups, write, error);
        }
        write->group = NULL;
        group->writes--;
    }
}

void
group_edge_dead(struct mr_groups *groups, struct group *group, int16_t error)
{
    set_state(groups, group, MR_GROUP_DEAD);
    forget_writes(groups, group, error);
    MR_LIST_FOR_EACH(node, &group->members)
    {
        group_member_remove(groups, GROUP_MEMBER(node), error);
    }
    MR_LIST_FOR_EACH(pending, &group->pending)
    {
        group_member_remove(groups, GROUP_MEMBER(pending), error);
    }
    group_set_protocol(groups, group, NULL);
    group_offsets_free(groups, group);
    destroy(groups, group);
}
