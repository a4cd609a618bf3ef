/* control/group_sync.c: what members of a generation ask: SyncGroup, Heartbeat, LeaveGroup. */
#include "control/group_internal.h"

/* ---- SyncGroup ---------------------------------------------------------------------------------
 */

static void
sync_refuse(struct mr_groups *groups, struct mr_group_sync *sync, int16_t error)
{
    sync->assignment = group_bytes_none;
    sync->out_protocol_type = group_str_null;
    sync->out_protocol_name = group_str_null;
    group_answer(groups, &sync->request, error);
}

/* Whoever waited begins a fresh session. */
static void
sync_answer(struct mr_groups *groups, struct group_member *member, int16_t error)
{
    if (member->syncing) {
        group_member_end_sync(groups, member, error);
        group_session_renew(groups, member);
    }
}

void
group_sync_answer_all(struct mr_groups *groups, struct group *group, int16_t error)
{
    MR_LIST_FOR_EACH(node, &group->members)
    {
        sync_answer(groups, GROUP_MEMBER(node), error);
    }
}

/* Parks a SyncGroup; one that the member has parked before is sent back to try again. */
static void
await_sync(struct mr_groups *groups, struct group_member *member, struct mr_group_sync *sync)
{
    struct mr_group_sync *before = member->sync;

    if (before) {
        sync_refuse(groups, before, MR_KAFKA_REBALANCE_IN_PROGRESS);
    }
    member->sync = sync;
    member->syncing = true;
    group_park(&sync->request, GROUP_PARKED_SYNC, member);
}

/* The assignment could not be made durable: the generation is given up. */
static void
assignment_failed(struct mr_groups *groups, struct group *group, int16_t error)
{
    MR_LIST_FOR_EACH(node, &group->members)
    {
        group_free_bytes(groups, &GROUP_MEMBER(node)->assignment_next);
    }
    group_sync_answer_all(groups, group, error);
    group_prepare(groups, group);
}

void
group_assigned(struct mr_groups *groups, struct group_write *write, int16_t error)
{
    struct group *group = write->group;

    if (group->state != MR_GROUP_COMPLETING_REBALANCE || group->generation != write->generation) {
        return;
    }
    if (error != MR_KAFKA_NONE && !MUTANT(ASSIGNED_BESIDE_FAILED_WRITE)) {
        assignment_failed(groups, group, error);
        return;
    }
    group_edge_assigned(groups, group);
    MR_LIST_FOR_EACH(node, &group->members)
    {
        struct group_member *member = GROUP_MEMBER(node);

        if (MUTANT(LAST_ASSIGNMENT_STAYS) && member->assignment.size > 0) {
            group_free_bytes(groups, &member->assignment_next);
            sync_answer(groups, member, MR_KAFKA_NONE);
            continue;
        }
        group_free_bytes(groups, &member->assignment);
        member->assignment = member->assignment_next;
        member->assignment_next = group_bytes_none;
        sync_answer(groups, member, MR_KAFKA_NONE);
    }
}

/* Takes the leader's word for every member; who is not named gets nothing. */
static bool
take_assignments(struct mr_groups *groups, struct group *group, const struct mr_group_sync *sync)
{
    MR_LIST_FOR_EACH(node, &group->members)
    {
        group_free_bytes(groups, &GROUP_MEMBER(node)->assignment_next);
    }
    for (int32_t i = 0; i < sync->assignment_count; i++) {
        struct group_member *member =
            group_member_find(groups, group, sync->assignments[i].member_id);

        if (!member || member->pending) {
            continue;
        }
        group_free_bytes(groups, &member->assignment_next);
        if (!group_copy_bytes(groups, sync->assignments[i].assignment, &member->assignment_next)) {
            return false;
        }
    }
    return true;
}

static void
assign(struct mr_groups *groups, struct group *group, const struct mr_group_sync *sync)
{
    struct group_write *write;

    if (group->assigning) {
        return;
    }
    write = group_write_begin(groups, group, GROUP_WRITE_ASSIGNMENT, 1);
    if (write && take_assignments(groups, group, sync) && group_write_group(groups, write)) {
        write->generation = group->generation;
        group->assigning = true;
        group->recorded = true;
        group_write_submit(groups, write);
        return;
    }
    if (write) {
        group_write_drop(groups, write);
    }
    assignment_failed(groups, group, MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
}

static bool
differs(struct mr_str claimed, struct mr_str actual)
{
    return claimed.size >= 0 && actual.size >= 0 && !group_str_equal(claimed, actual);
}

static int16_t
sync_judge(const struct mr_groups *groups, const struct group *group,
           const struct mr_group_sync *sync)
{
    int16_t error = group_member_check(groups, group, sync->member_id, sync->instance_id);

    if (error != MR_KAFKA_NONE) {
        return error;
    }
    if (sync->generation != group->generation && !MUTANT(SYNC_OF_OLD_GENERATION)) {
        return MR_KAFKA_ILLEGAL_GENERATION;
    }
    if (differs(sync->protocol_type, group->protocol_type) ||
        differs(sync->protocol_name, group->protocol ? group->protocol->name : group_str_null)) {
        return MR_KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    }
    if (group->state == MR_GROUP_PREPARING_REBALANCE) {
        return MR_KAFKA_REBALANCE_IN_PROGRESS;
    }
    return MR_KAFKA_NONE;
}

static void
sync_group(struct mr_groups *groups, struct group *group, struct mr_group_sync *sync)
{
    int16_t error = sync_judge(groups, group, sync);
    struct group_member *member;

    if (error != MR_KAFKA_NONE) {
        sync_refuse(groups, sync, error);
        return;
    }
    member = group_member_find(groups, group, sync->member_id);
    member->sync_missing = false;
    await_sync(groups, member, sync);
    if (group->state == MR_GROUP_STABLE) {
        group_member_end_sync(groups, member, MR_KAFKA_NONE);
    } else if (group->leader == member) {
        assign(groups, group, sync);
    }
}

bool
mr_groups_sync(struct mr_groups *groups, struct mr_group_sync *sync, struct mr_group_time now)
{
    int16_t error = group_available(groups, sync->group_id);
    struct group *group = error == MR_KAFKA_NONE ? group_find(groups, sync->group_id) : NULL;

    group_request_begin(groups, &sync->request, now);
    if (group_str_empty(sync->group_id)) {
        sync_refuse(groups, sync, MR_KAFKA_INVALID_GROUP_ID);
    } else if (error != MR_KAFKA_NONE) {
        sync_refuse(groups, sync, error);
    } else if (!group || group->state == MR_GROUP_EMPTY) {
        sync_refuse(groups, sync, MR_KAFKA_UNKNOWN_MEMBER_ID);
    } else {
        sync_group(groups, group, sync);
    }
    return group_request_end(groups, &sync->request);
}

/* ---- Heartbeat ---------------------------------------------------------------------------------
 */

enum mr_kafka_err
mr_groups_heartbeat(struct mr_groups *groups, const struct mr_group_heartbeat *heartbeat,
                    struct mr_group_time now)
{
    int16_t error = group_available(groups, heartbeat->group_id);
    struct group *group;

    groups->now = now;
    if (group_str_empty(heartbeat->group_id)) {
        return MR_KAFKA_INVALID_GROUP_ID;
    }
    if (error == MR_KAFKA_COORDINATOR_LOAD_IN_PROGRESS) {
        return MR_KAFKA_NONE;
    }
    if (error != MR_KAFKA_NONE) {
        return error;
    }
    group = group_find(groups, heartbeat->group_id);
    if (!group) {
        return MR_KAFKA_UNKNOWN_MEMBER_ID;
    }
    error = group_member_check(groups, group, heartbeat->member_id, heartbeat->instance_id);
    if (error != MR_KAFKA_NONE) {
        return error == MR_KAFKA_FENCED_INSTANCE_ID && MUTANT(FENCED_MEMBER_SERVED) ? MR_KAFKA_NONE
                                                                                    : error;
    }
    if (heartbeat->generation != group->generation && !MUTANT(HEARTBEAT_OF_OLD_GENERATION)) {
        return MR_KAFKA_ILLEGAL_GENERATION;
    }
    group_session_renew(groups, group_member_find(groups, group, heartbeat->member_id));
    return group->state == MR_GROUP_PREPARING_REBALANCE ? MR_KAFKA_REBALANCE_IN_PROGRESS
                                                        : MR_KAFKA_NONE;
}

/* ---- LeaveGroup --------------------------------------------------------------------------------
 */

/* Whether a member has left; a pending one leaves no gap. */
static bool
leave_one(struct mr_groups *groups, struct group *group, struct mr_group_leaving *leaving)
{
    struct group_member *member = NULL;

    leaving->error = MR_KAFKA_NONE;
    if (!group_str_empty(leaving->member_id)) {
        member = group_member_find(groups, group, leaving->member_id);
        if (!member || !member->pending) {
            leaving->error =
                group_member_check(groups, group, leaving->member_id, leaving->instance_id);
        }
    } else if (leaving->instance_id.size >= 0) {
        member = group_member_find_static(groups, group, leaving->instance_id);
    }
    if (leaving->error == MR_KAFKA_NONE && !member) {
        leaving->error = MR_KAFKA_UNKNOWN_MEMBER_ID;
    }
    if (leaving->error != MR_KAFKA_NONE) {
        return false;
    }
    group_member_remove(groups, member, MR_KAFKA_UNKNOWN_MEMBER_ID);
    return true;
}

static void
leave_group(struct mr_groups *groups, struct group *group, struct mr_group_leave *leave)
{
    bool left = false;

    for (int32_t i = 0; i < leave->member_count; i++) {
        left = leave_one(groups, group, &leave->members[i]) || left;
    }
    if (left && group->state != MR_GROUP_EMPTY) {
        group_rebalance(groups, group);
    }
}

bool
mr_groups_leave(struct mr_groups *groups, struct mr_group_leave *leave, struct mr_group_time now)
{
    int16_t error = group_available(groups, leave->group_id);
    struct group *group = error == MR_KAFKA_NONE ? group_find(groups, leave->group_id) : NULL;

    group_request_begin(groups, &leave->request, now);
    if (group_str_empty(leave->group_id)) {
        error = MR_KAFKA_INVALID_GROUP_ID;
    }
    for (int32_t i = 0; i < leave->member_count; i++) {
        leave->members[i].error = error != MR_KAFKA_NONE ? error : MR_KAFKA_UNKNOWN_MEMBER_ID;
    }
    if (error == MR_KAFKA_NONE && group) {
        leave_group(groups, group, leave);
    }
    group_answer(groups, &leave->request, error);
    return group_request_end(groups, &leave->request);
}
