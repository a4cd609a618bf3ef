/* control/group_join.c: JoinGroup, and the rebalance from its first join to the next generation. */
#include "control/group_internal.h"

#define VERSION_OWN_REBALANCE_TIMEOUT 1
#define VERSION_KNOWN_MEMBER_ID       4
#define VERSION_SKIP_ASSIGNMENT       9
#define PROTOCOLS_MAX                 100
#define INSTANCE_ID_MAX               (GROUP_TEXT_MAX - 37) /* so that a member id of it fits */

/* ---- answers -----------------------------------------------------------------------------------
 */

static void
no_generation(struct mr_group_join *join)
{
    join->generation = -1;
    join->out_protocol_type = group_str_null;
    join->protocol_name = group_str_null;
    join->leader = group_str_none;
    join->skip_assignment = false;
    join->members = NULL;
    join->member_count = 0;
}

void
group_join_refuse(struct mr_groups *groups, struct mr_group_join *join, int16_t error,
                  struct mr_str member_id)
{
    no_generation(join);
    join->out_member_id = member_id;
    group_answer(groups, &join->request, error);
}

/* Fills in the group's generation; the leader alone learns who the members are. */
static void
tell_generation(struct mr_group_join *join, struct group_member *member, bool leader)
{
    struct group *group = member->group;

    no_generation(join);
    join->generation = group->generation;
    join->out_protocol_type = group->protocol_type;
    join->protocol_name = group->protocol ? group->protocol->name : group_str_null;
    join->leader = group->leader ? group->leader->id : group_str_none;
    join->out_member_id = member->id;
    if (leader) {
        join->member_count = group_views(group, true, false);
        join->members = group->views;
    }
}

static void
answer_generation(struct mr_groups *groups, struct mr_group_join *join, struct group_member *member)
{
    tell_generation(join, member, member->group->leader == member || MUTANT(EVERYBODY_LEADS));
    group_answer(groups, &join->request, MR_KAFKA_NONE);
}

/* Parks a join; one that the member has parked before, from a connection that it has given up, is
 * sent back to try again. */
static void
await_join(struct mr_groups *groups, struct group_member *member, struct mr_group_join *join)
{
    if (member->join) {
        group_join_refuse(groups, member->join, MR_KAFKA_REBALANCE_IN_PROGRESS, member->id);
    }
    if (!member->joining) {
        member->joining = true;
        member->group->joining_count++;
    }
    member->join = join;
    group_park(&join->request, GROUP_PARKED_JOIN, member);
}

/* ---- the rebalance -----------------------------------------------------------------------------
 */

static bool
all_joined(const struct group *group)
{
    return group->member_count == group->joining_count && group->pending_count == 0;
}

static int32_t
rebalance_timeout_ms(const struct group *group)
{
    int32_t timeout_ms = 1; /* so that a timer never comes due where it is set */

    MR_LIST_FOR_EACH(node, (struct mr_list *)&group->members)
    {
        const struct group_member *member = GROUP_MEMBER(node);

        if (member->rebalance_timeout_ms > timeout_ms) {
            timeout_ms = member->rebalance_timeout_ms;
        }
    }
    return timeout_ms;
}

/* A leader that did not join gives way to a member that did. False: nobody has joined. */
static bool
elect_leader(struct group *group)
{
    if (group->leader && group->leader->joining) {
        return true;
    }
    MR_LIST_FOR_EACH(node, &group->members)
    {
        struct group_member *member = GROUP_MEMBER(node);

        if (member->joining) {
            group->leader = member;
            return true;
        }
    }
    return false;
}

static void
begin_generation(struct mr_groups *groups, struct group *group)
{
    group_edge_all_joined(groups, group);
    MR_LIST_FOR_EACH(node, &group->members)
    {
        struct group_member *member = GROUP_MEMBER(node);
        struct mr_group_join *join = member->join;

        if (member->joining) {
            member->joining = false;
            group->joining_count--;
        }
        member->join = NULL;
        member->is_new = false;
        member->sync_missing = true;
        group_session_renew(groups, member);
        if (join) {
            answer_generation(groups, join, member);
        }
    }
    group_timer_set(groups, &group->sync_timer, rebalance_timeout_ms(group));
}

/* The group as it is, which nobody waits for: an empty one, without whose record a restart only
 * finds members that then expire; or a new one, whose record says early whether its partition takes
 * writes at all. */
static void
write_alone(struct mr_groups *groups, struct group *group, enum group_write_kind kind)
{
    struct group_write *write = group_write_begin(groups, group, kind, 1);

    if (write && group_write_group(groups, write)) {
        group->recorded = true;
        group_write_submit(groups, write);
    } else if (write) {
        group_write_drop(groups, write);
    }
}

/* Ends the join phase. Dynamic members that did not join are out; static ones stay, for they may
 * come back until their session ends. */
static void
complete_join(struct mr_groups *groups, struct group *group)
{
    group_timer_off(groups, &group->join_timer);
    MR_LIST_FOR_EACH(node, &group->members)
    {
        struct group_member *member = GROUP_MEMBER(node);

        if (!member->joining && member->instance_id.size < 0) {
            group_member_remove(groups, member, MR_KAFKA_UNKNOWN_MEMBER_ID);
        }
    }
    if (group->member_count == 0) {
        group_edge_all_left(groups, group);
        write_alone(groups, group, GROUP_WRITE_EMPTY);
    } else if (elect_leader(group)) {
        begin_generation(groups, group);
    } else {
        group->initial = false;
        group_timer_set(groups, &group->join_timer, rebalance_timeout_ms(group));
    }
}

void
group_join_maybe_complete(struct mr_groups *groups, struct group *group)
{
    if (group->state == MR_GROUP_PREPARING_REBALANCE && group->previous != MR_GROUP_EMPTY &&
        all_joined(group)) {
        complete_join(groups, group);
    }
}

static void
forget_syncs(struct mr_groups *groups, struct group *group)
{
    MR_LIST_FOR_EACH(node, &group->members)
    {
        GROUP_MEMBER(node)->sync_missing = false;
    }
    group_timer_off(groups, &group->sync_timer);
}

/* Others get the initial delay to join the first generation, again and again while they come. */
static void
prepare_first(struct mr_groups *groups, struct group *group)
{
    int64_t remaining_ms =
        (int64_t)rebalance_timeout_ms(group) - groups->config.initial_rebalance_delay_ms;

    group->delay_ms = groups->config.initial_rebalance_delay_ms;
    group->remaining_ms = remaining_ms > 0 ? remaining_ms : 0;
    group->member_added = false;
    group_edge_first_join(groups, group);
    group_timer_set(groups, &group->join_timer, group->delay_ms);
}

void
group_prepare(struct mr_groups *groups, struct group *group)
{
    if (group->state == MR_GROUP_COMPLETING_REBALANCE) {
        MR_LIST_FOR_EACH(node, &group->members)
        {
            group_free_bytes(groups, &GROUP_MEMBER(node)->assignment);
        }
        group_sync_answer_all(groups, group, MR_KAFKA_REBALANCE_IN_PROGRESS);
        group_edge_reopened(groups, group);
    } else {
        group_edge_unsettled(groups, group);
    }
    forget_syncs(groups, group);
    group->initial = false;
    if (all_joined(group)) {
        complete_join(groups, group);
    } else {
        group_timer_set(groups, &group->join_timer, rebalance_timeout_ms(group));
    }
}

void
group_rebalance(struct mr_groups *groups, struct group *group)
{
    switch (group->state) {
    case MR_GROUP_EMPTY:
        forget_syncs(groups, group);
        prepare_first(groups, group);
        break;
    case MR_GROUP_COMPLETING_REBALANCE:
    case MR_GROUP_STABLE:
        group_prepare(groups, group);
        break;
    default:
        group_join_maybe_complete(groups, group);
        break;
    }
}

void
group_join_expired(struct mr_groups *groups, struct group *group)
{
    int64_t delay_ms = groups->config.initial_rebalance_delay_ms;

    MR_ASSERT(group->state == MR_GROUP_PREPARING_REBALANCE);
    if (MUTANT(JOIN_NEVER_ENDS)) {
        return;
    }
    if (group->initial && group->member_added && group->remaining_ms > 0) {
        group->member_added = false;
        if (delay_ms > group->remaining_ms) {
            delay_ms = group->remaining_ms;
        }
        group->remaining_ms -= group->delay_ms;
        if (group->remaining_ms < 0) {
            group->remaining_ms = 0;
        }
        group->delay_ms = delay_ms;
        group_timer_set(groups, &group->join_timer, delay_ms);
        return;
    }
    complete_join(groups, group);
}

void
group_sync_expired(struct mr_groups *groups, struct group *group)
{
    bool removed = false;

    if (group->state != MR_GROUP_COMPLETING_REBALANCE && group->state != MR_GROUP_STABLE) {
        return;
    }
    MR_LIST_FOR_EACH(node, &group->members)
    {
        struct group_member *member = GROUP_MEMBER(node);

        if (member->sync_missing) {
            group_member_remove(groups, member, MR_KAFKA_UNKNOWN_MEMBER_ID);
            groups->stats.expired_members++;
            removed = true;
        }
    }
    if (removed) {
        group_prepare(groups, group);
    }
}

void
group_session_expired(struct mr_groups *groups, struct group_member *member)
{
    struct group *group = member->group;
    bool pending = member->pending;

    if (MUTANT(DEAD_MEMBER_STAYS)) {
        return;
    }
    /* A member that waits is alive as far as anyone knows; a new one has a limit all the same. */
    if (!pending && !member->is_new && (member->joining || member->syncing)) {
        return;
    }
    groups->stats.expired_members++;
    group_member_remove(groups, member, MR_KAFKA_UNKNOWN_MEMBER_ID);
    group_member_gone(groups, group, pending);
}

void
group_member_gone(struct mr_groups *groups, struct group *group, bool pending)
{
    if (group->state == MR_GROUP_PREPARING_REBALANCE) {
        if (all_joined(group)) {
            complete_join(groups, group);
        }
    } else if (!pending && group->state != MR_GROUP_EMPTY) {
        group_prepare(groups, group);
    }
}

/* ---- JoinGroup ---------------------------------------------------------------------------------
 */

static struct group_member_spec
spec_of(const struct mr_group_join *join, struct mr_str id)
{
    int32_t rebalance_ms = join->api_version >= VERSION_OWN_REBALANCE_TIMEOUT
                               ? join->rebalance_timeout_ms
                               : join->session_timeout_ms;

    return (struct group_member_spec){
        .id = id,
        .instance_id = join->instance_id,
        .client_id = join->client_id.size < 0 ? group_str_none : join->client_id,
        .client_host = join->client_host.size < 0 ? group_str_none : join->client_host,
        .session_timeout_ms = join->session_timeout_ms,
        .rebalance_timeout_ms = rebalance_ms > 0 ? rebalance_ms : 0,
        .protocols = join->protocols,
        .protocol_count = join->protocol_count,
    };
}

static void
refuse_memory(struct mr_groups *groups, struct mr_group_join *join)
{
    group_join_refuse(groups, join, MR_KAFKA_COORDINATOR_NOT_AVAILABLE, join->member_id);
}

static bool
set_protocol_type(struct mr_groups *groups, struct group *group, struct mr_str type)
{
    struct mr_str copy;

    if (group->member_count > 0 || group_str_equal(group->protocol_type, type)) {
        return true;
    }
    if (!group_copy(groups, type, &copy)) {
        return false;
    }
    group_free_str(groups, &group->protocol_type);
    group->protocol_type = copy;
    return true;
}

static void
join_add(struct mr_groups *groups, struct group *group, struct mr_group_join *join,
         struct mr_str id)
{
    struct group_member_spec spec = spec_of(join, id);
    struct group_member *member;

    if (!set_protocol_type(groups, group, join->protocol_type)) {
        refuse_memory(groups, join);
        return;
    }
    member = group_member_add(groups, group, &spec);
    if (!member) {
        refuse_memory(groups, join);
        return;
    }
    member->is_new = true;
    if (group->state == MR_GROUP_PREPARING_REBALANCE && group->previous == MR_GROUP_EMPTY) {
        group->member_added = true;
    }
    await_join(groups, member, join);
    group_timer_set(groups, &member->session, groups->config.new_member_timeout_ms);
    group_rebalance(groups, group);
}

/* Gives a member new protocols and timeouts and parks its join. False: refused for want of memory.
 * The old protocols go to `old`, or are freed where it is NULL. */
static bool
update(struct mr_groups *groups, struct group_member *member, struct mr_group_join *join,
       struct group_choices **old)
{
    struct group *group = member->group;
    struct group_member_spec spec = spec_of(join, member->id);
    struct group_choices *choices =
        group_choices_make(groups, group, spec.protocols, spec.protocol_count);

    if (!choices) {
        refuse_memory(groups, join);
        return false;
    }
    group_choices_count(choices, 1);
    group_choices_count(member->choices, -1);
    if (old) {
        *old = member->choices;
    } else {
        group_choices_free(groups, member->choices);
    }
    member->choices = choices;
    member->session_timeout_ms = spec.session_timeout_ms;
    member->rebalance_timeout_ms = spec.rebalance_timeout_ms;
    await_join(groups, member, join);
    return true;
}

static void
join_again(struct mr_groups *groups, struct group_member *member, struct mr_group_join *join)
{
    struct group *group = member->group;
    bool changed = !group_choices_equal(member->choices, join->protocols, join->protocol_count);
    bool same = false; /* the generation is told again */

    switch (group->state) {
    case MR_GROUP_COMPLETING_REBALANCE:
        same = !changed;
        break;
    case MR_GROUP_STABLE:
        same = !changed && group->leader != member;
        break;
    case MR_GROUP_PREPARING_REBALANCE:
        break;
    default:
        group_join_refuse(groups, join, MR_KAFKA_UNKNOWN_MEMBER_ID, join->member_id);
        return;
    }
    if (same) {
        answer_generation(groups, join, member);
    } else if (update(groups, member, join, NULL)) {
        group_rebalance(groups, group);
    }
}

/* ---- static members ----------------------------------------------------------------------------
 */

static void
undo_free(struct mr_groups *groups, struct group_undo *undo)
{
    group_free_str(groups, &undo->member_id);
    group_choices_free(groups, undo->choices);
    undo->choices = NULL;
}

/* The member takes its old id and protocols back: the log may not know the new ones. */
static void
undo_replace(struct mr_groups *groups, struct group_member *member, struct group_undo *undo)
{
    struct mr_str id = group_member_rename(groups, member, undo->member_id);

    undo->member_id = id;
    group_choices_count(undo->choices, 1);
    group_choices_count(member->choices, -1);
    group_choices_free(groups, member->choices);
    member->choices = undo->choices;
    undo->choices = NULL;
    member->session_timeout_ms = undo->session_timeout_ms;
    member->rebalance_timeout_ms = undo->rebalance_timeout_ms;
}

/* Before version 9 a leader that came back is told its old id as the leader's, so that it does not
 * take itself for one and assign again; from 9 on it learns the members and is told to skip that.
 */
static void
answer_replaced(struct mr_groups *groups, struct group_write *write, struct mr_group_join *join,
                struct group_member *member)
{
    bool leader = member->group->leader == member;
    bool skips = join->api_version >= VERSION_SKIP_ASSIGNMENT;

    tell_generation(join, member, leader && skips);
    join->skip_assignment = leader && skips;
    if (write->undo.was_leader && !skips) {
        join->leader = write->undo.member_id;
    }
    group_answer(groups, &join->request, MR_KAFKA_NONE);
}

void
group_replaced(struct mr_groups *groups, struct group_write *write, int16_t error)
{
    struct group_member *member = write->member;
    struct group *group = write->group;
    struct mr_group_join *join;

    if (member) {
        member->replacing = NULL;
        write->member = NULL;
    }
    /* Where a rebalance has begun since, the member has joined it, and the log will hear of it. */
    if (member && group->state == MR_GROUP_STABLE && member->joining) {
        join = member->join;
        member->join = NULL;
        member->joining = false;
        group->joining_count--;
        if (error != MR_KAFKA_NONE) {
            undo_replace(groups, member, &write->undo);
        }
        group_session_renew(groups, member);
        if (join && error != MR_KAFKA_NONE) {
            tell_generation(join, member, false);
            join->out_member_id = group_str_none;
            group_answer(groups, &join->request, error);
        } else if (join) {
            answer_replaced(groups, write, join, member);
        }
    }
    undo_free(groups, &write->undo);
}

/* STABLE, and the same protocol would be chosen: the others need not notice, once it is durable. */
static void
replace_quietly(struct mr_groups *groups, struct group_member *member, struct group_write *write,
                const struct group_undo *undo)
{
    if (!group_write_group(groups, write)) {
        struct mr_group_join *join = member->join;
        struct group_undo back = *undo;

        member->join = NULL;
        member->joining = false;
        member->group->joining_count--;
        undo_replace(groups, member, &back);
        group_session_renew(groups, member);
        refuse_memory(groups, join);
        undo_free(groups, &back);
        group_write_drop(groups, write);
        return;
    }
    write->undo = *undo;
    write->member = member;
    member->replacing = write;
    group_write_submit(groups, write);
}

/* A static member comes back without its id: it gets a new one, and whoever still has the old one
 * is fenced. */
static void
replace(struct mr_groups *groups, struct group_member *member, struct mr_group_join *join,
        struct mr_str id)
{
    struct group *group = member->group;
    struct group_write *write = group_write_begin(groups, group, GROUP_WRITE_REPLACED, 1);
    struct group_undo undo = {
        .session_timeout_ms = member->session_timeout_ms,
        .rebalance_timeout_ms = member->rebalance_timeout_ms,
        .was_leader = group->leader == member,
    };
    struct group_choices *choices =
        group_choices_make(groups, group, join->protocols, join->protocol_count);

    if (!write || !choices) {
        group_choices_free(groups, choices);
        if (write) {
            group_write_drop(groups, write);
        }
        group_free_str(groups, &id);
        refuse_memory(groups, join);
        return;
    }
    if (member->replacing) {
        member->replacing->member = NULL;
        member->replacing = NULL;
    }
    group_member_end_join(groups, member, MR_KAFKA_FENCED_INSTANCE_ID);
    group_member_end_sync(groups, member, MR_KAFKA_FENCED_INSTANCE_ID);
    undo.member_id = group_member_rename(groups, member, id);
    group_choices_count(choices, 1);
    group_choices_count(member->choices, -1);
    undo.choices = member->choices;
    member->choices = choices;
    member->session_timeout_ms = join->session_timeout_ms;
    member->rebalance_timeout_ms = spec_of(join, id).rebalance_timeout_ms;
    group_session_renew(groups, member);
    await_join(groups, member, join);
    if (group->state == MR_GROUP_STABLE && group_select_protocol(group) == group->protocol) {
        replace_quietly(groups, member, write, &undo);
        return;
    }
    group_write_drop(groups, write);
    undo_free(groups, &undo);
    group_rebalance(groups, group);
}

/* ---- who joins ---------------------------------------------------------------------------------
 */

static void
join_new_static(struct mr_groups *groups, struct group *group, struct mr_group_join *join)
{
    struct group_member *member = group_member_find_static(groups, group, join->instance_id);
    struct mr_str id;

    if (!group_member_make_id(groups, join->instance_id, &id)) {
        refuse_memory(groups, join);
    } else if (member) {
        replace(groups, member, join, id);
    } else {
        join_add(groups, group, join, id);
        group_free_str(groups, &id);
    }
}

static void
join_new_dynamic(struct mr_groups *groups, struct group *group, struct mr_group_join *join)
{
    struct group_member *pending;
    struct mr_str id;

    if (!group_member_make_id(groups, join->client_id, &id)) {
        refuse_memory(groups, join);
        return;
    }
    if (join->api_version < VERSION_KNOWN_MEMBER_ID) {
        join_add(groups, group, join, id);
        group_free_str(groups, &id);
        return;
    }
    pending = group_member_pend(groups, group, id);
    group_free_str(groups, &id);
    if (!pending) {
        refuse_memory(groups, join);
        return;
    }
    group_timer_set(groups, &pending->session, join->session_timeout_ms);
    group_join_refuse(groups, join, MR_KAFKA_MEMBER_ID_REQUIRED, pending->id);
}

static void
join_known(struct mr_groups *groups, struct group *group, struct mr_group_join *join)
{
    struct group_member *member = group_member_find(groups, group, join->member_id);
    int16_t error;

    if (member && member->pending) {
        if (join->instance_id.size >= 0) {
            group_join_refuse(groups, join, MR_KAFKA_UNKNOWN_SERVER_ERROR, group_str_none);
        } else {
            join_add(groups, group, join, join->member_id);
        }
        return;
    }
    error = group_member_check(groups, group, join->member_id, join->instance_id);
    if (error != MR_KAFKA_NONE) {
        group_join_refuse(groups, join, error, join->member_id);
        return;
    }
    join_again(groups, member, join);
}

/* Whether group.max.size leaves room for this member. */
static bool
has_room(const struct mr_groups *groups, const struct group *group,
         const struct group_member *member)
{
    switch (group->state) {
    case MR_GROUP_PREPARING_REBALANCE:
        return (member && member->joining) || group->joining_count < groups->config.group_size_max;
    case MR_GROUP_COMPLETING_REBALANCE:
    case MR_GROUP_STABLE:
        return (member && !member->pending) || group->member_count < groups->config.group_size_max;
    default:
        return true;
    }
}

static void
join_group(struct mr_groups *groups, struct group *group, struct mr_group_join *join)
{
    struct group_member *member = group_member_find(groups, group, join->member_id);

    if (group->deleting) {
        refuse_memory(groups, join);
    } else if (!has_room(groups, group, member)) {
        if (member) {
            group_member_remove(groups, member, MR_KAFKA_UNKNOWN_MEMBER_ID);
            group_join_maybe_complete(groups, group);
        }
        group_join_refuse(groups, join, MR_KAFKA_GROUP_MAX_SIZE_REACHED, group_str_none);
    } else if (!group_supports(groups, group, join->protocol_type, join->protocols,
                               join->protocol_count)) {
        group_join_refuse(groups, join, MR_KAFKA_INCONSISTENT_GROUP_PROTOCOL,
                          group_str_empty(join->member_id) ? group_str_none : join->member_id);
    } else if (!group_str_empty(join->member_id)) {
        join_known(groups, group, join);
    } else if (join->instance_id.size >= 0) {
        join_new_static(groups, group, join);
    } else {
        join_new_dynamic(groups, group, join);
    }
}

static void
join_new_group(struct mr_groups *groups, struct mr_group_join *join)
{
    struct group *group;

    if (!group_str_empty(join->member_id)) {
        group_join_refuse(groups, join, MR_KAFKA_UNKNOWN_MEMBER_ID, join->member_id);
        return;
    }
    group = group_create(groups, join->group_id);
    if (!group) {
        refuse_memory(groups, join);
        return;
    }
    write_alone(groups, group, GROUP_WRITE_CREATED);
    join_group(groups, group, join);
    group_release_unused(groups, group);
}

static int16_t
judge(const struct mr_groups *groups, const struct mr_group_join *join)
{
    if (group_str_empty(join->group_id)) {
        return MR_KAFKA_INVALID_GROUP_ID;
    }
    if (join->session_timeout_ms < groups->config.session_timeout_min_ms ||
        join->session_timeout_ms > groups->config.session_timeout_max_ms) {
        return MR_KAFKA_INVALID_SESSION_TIMEOUT;
    }
    if (join->protocol_count > PROTOCOLS_MAX || join->protocol_type.size > GROUP_TEXT_MAX) {
        return MR_KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    }
    for (int32_t i = 0; i < join->protocol_count; i++) {
        if (join->protocols[i].name.size > GROUP_TEXT_MAX) {
            return MR_KAFKA_INCONSISTENT_GROUP_PROTOCOL;
        }
    }
    if (join->instance_id.size > INSTANCE_ID_MAX) {
        return MR_KAFKA_INVALID_REQUEST;
    }
    return MR_KAFKA_NONE;
}

bool
mr_groups_join(struct mr_groups *groups, struct mr_group_join *join, struct mr_group_time now)
{
    int16_t error = judge(groups, join);
    struct group *group;

    group_request_begin(groups, &join->request, now);
    if (join->member_id.size < 0) {
        join->member_id = group_str_none;
    }
    if (error != MR_KAFKA_NONE) {
        group_join_refuse(groups, join, error, join->member_id);
    } else if ((error = group_available(groups, join->group_id)) != MR_KAFKA_NONE) {
        group_join_refuse(groups, join, error, group_str_none);
    } else if ((group = group_find(groups, join->group_id)) != NULL) {
        join_group(groups, group, join);
    } else {
        join_new_group(groups, join);
    }
    return group_request_end(groups, &join->request);
}
