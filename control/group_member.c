/* control/group_member.c: the members of a group: how they are made and found, what protocols they
 * support, how they go. */
#include "control/group_internal.h"

#include <stdio.h>
#include <string.h>

#define UUID_TEXT_SIZE 36
#define VIEWS_MIN      4

/* ---- finding -----------------------------------------------------------------------------------
 */

struct group_member *
group_member_find(const struct mr_groups *groups, const struct group *group, struct mr_str id)
{
    uint64_t hash;

    if (id.size <= 0) {
        return NULL;
    }
    hash = group_hash(groups, group, id);
    for (struct group_node *node = group_table_chain(&groups->members, hash); node;
         node = node->next) {
        struct group_member *member = MR_CONTAINER_OF(node, struct group_member, by_id);

        if (node->hash == hash && member->group == group && group_str_equal(member->id, id)) {
            return member;
        }
    }
    return NULL;
}

struct group_member *
group_member_find_static(const struct mr_groups *groups, const struct group *group,
                         struct mr_str instance_id)
{
    uint64_t hash = group_hash(groups, group, instance_id);

    for (struct group_node *node = group_table_chain(&groups->instances, hash); node;
         node = node->next) {
        struct group_member *member = MR_CONTAINER_OF(node, struct group_member, by_instance);

        if (node->hash == hash && member->group == group &&
            group_str_equal(member->instance_id, instance_id)) {
            return member;
        }
    }
    return NULL;
}

int16_t
group_member_check(const struct mr_groups *groups, const struct group *group,
                   struct mr_str member_id, struct mr_str instance_id)
{
    struct group_member *member;

    if (instance_id.size >= 0) {
        member = group_member_find_static(groups, group, instance_id);
        if (!member) {
            return MR_KAFKA_UNKNOWN_MEMBER_ID;
        }
        return group_str_equal(member->id, member_id) ? MR_KAFKA_NONE : MR_KAFKA_FENCED_INSTANCE_ID;
    }
    member = group_member_find(groups, group, member_id);
    return member && !member->pending ? MR_KAFKA_NONE : MR_KAFKA_UNKNOWN_MEMBER_ID;
}

/* ---- protocols ---------------------------------------------------------------------------------
 */

static void
protocol_release(struct mr_groups *groups, struct group_protocol *protocol)
{
    if (--protocol->refs > 0) {
        return;
    }
    MR_ASSERT(protocol->supporters == 0);
    mr_list_remove(&protocol->link);
    group_table_remove(&groups->protocols, &protocol->by_name);
    group_free_str(groups, &protocol->name);
    group_free(groups, protocol);
}

static struct group_protocol *
protocol_find(const struct mr_groups *groups, const struct group *group, struct mr_str name)
{
    uint64_t hash = group_hash(groups, group, name);

    for (struct group_node *node = group_table_chain(&groups->protocols, hash); node;
         node = node->next) {
        struct group_protocol *protocol = MR_CONTAINER_OF(node, struct group_protocol, by_name);

        if (node->hash == hash && protocol->group == group &&
            group_str_equal(protocol->name, name)) {
            return protocol;
        }
    }
    return NULL;
}

static struct group_protocol *
protocol_get(struct mr_groups *groups, struct group *group, struct mr_str name)
{
    struct group_protocol *protocol = protocol_find(groups, group, name);

    if (!protocol) {
        protocol = group_alloc(groups, sizeof(*protocol));
        if (!protocol || !group_copy(groups, name, &protocol->name)) {
            group_free(groups, protocol);
            return NULL;
        }
        protocol->group = group;
        mr_list_push_back(&group->protocols, &protocol->link);
        group_table_add(groups, &groups->protocols, &protocol->by_name,
                        group_hash(groups, group, name));
    }
    protocol->refs++;
    return protocol;
}

/* Whether an earlier one of the list has the same name: only the first of a name counts. */
static bool
protocol_repeated(const struct mr_group_protocol *protocols, int32_t index)
{
    for (int32_t i = 0; i < index; i++) {
        if (group_str_equal(protocols[i].name, protocols[index].name)) {
            return true;
        }
    }
    return false;
}

struct group_choices *
group_choices_make(struct mr_groups *groups, struct group *group,
                   const struct mr_group_protocol *protocols, int32_t count)
{
    struct group_choices *choices =
        group_alloc(groups, sizeof(*choices) + (size_t)count * sizeof(choices->at[0]));

    if (!choices) {
        return NULL;
    }
    for (int32_t i = 0; i < count; i++) {
        struct group_choice *choice = &choices->at[choices->count];

        if (protocol_repeated(protocols, i)) {
            continue;
        }
        if (!group_copy_bytes(groups, protocols[i].metadata, &choice->metadata)) {
            group_choices_free(groups, choices);
            return NULL;
        }
        choice->protocol = protocol_get(groups, group, protocols[i].name);
        choices->count++;
        if (!choice->protocol) {
            group_choices_free(groups, choices);
            return NULL;
        }
    }
    return choices;
}

void
group_choices_free(struct mr_groups *groups, struct group_choices *choices)
{
    if (!choices) {
        return;
    }
    for (int32_t i = 0; i < choices->count; i++) {
        group_free_bytes(groups, &choices->at[i].metadata);
        if (choices->at[i].protocol) {
            protocol_release(groups, choices->at[i].protocol);
        }
    }
    group_free(groups, choices);
}

void
group_choices_count(struct group_choices *choices, int32_t by)
{
    for (int32_t i = 0; i < choices->count; i++) {
        choices->at[i].protocol->supporters += by;
    }
}

bool
group_choices_equal(const struct group_choices *choices, const struct mr_group_protocol *protocols,
                    int32_t count)
{
    int32_t at = 0;

    for (int32_t i = 0; i < count; i++) {
        const struct group_choice *choice = &choices->at[at];
        int32_t size = protocols[i].metadata.size > 0 ? protocols[i].metadata.size : 0;

        if (protocol_repeated(protocols, i)) {
            continue;
        }
        if (at == choices->count || !group_str_equal(choice->protocol->name, protocols[i].name) ||
            choice->metadata.size != size ||
            (size > 0 &&
             memcmp(choice->metadata.data, protocols[i].metadata.data, (size_t)size) != 0)) {
            return false;
        }
        at++;
    }
    return at == choices->count;
}

bool
group_supports(const struct mr_groups *groups, const struct group *group,
               struct mr_str protocol_type, const struct mr_group_protocol *protocols,
               int32_t count)
{
    if (group->state == MR_GROUP_EMPTY) {
        return protocol_type.size > 0 && count > 0;
    }
    if (protocol_type.size < 0 || !group_str_equal(group->protocol_type, protocol_type)) {
        return false;
    }
    for (int32_t i = 0; i < count; i++) {
        const struct group_protocol *protocol = protocol_find(groups, group, protocols[i].name);

        if ((protocol ? protocol->supporters : 0) == group->member_count) {
            return true;
        }
    }
    return false;
}

/* Members vote for the first of their protocols that all support. */
struct group_protocol *
group_select_protocol(struct group *group)
{
    struct group_protocol *best = NULL;

    MR_LIST_FOR_EACH(reset, &group->protocols)
    {
        MR_CONTAINER_OF(reset, struct group_protocol, link)->votes = 0;
    }
    MR_LIST_FOR_EACH(node, &group->members)
    {
        struct group_choices *choices = GROUP_MEMBER(node)->choices;

        for (int32_t i = 0; i < choices->count; i++) {
            if (choices->at[i].protocol->supporters == group->member_count) {
                choices->at[i].protocol->votes++;
                break;
            }
        }
    }
    MR_LIST_FOR_EACH(link, &group->protocols)
    {
        struct group_protocol *protocol = MR_CONTAINER_OF(link, struct group_protocol, link);

        if (protocol->votes > 0 && (!best || protocol->votes > best->votes)) {
            best = protocol;
        }
    }
    return best;
}

void
group_set_protocol(struct mr_groups *groups, struct group *group, struct group_protocol *protocol)
{
    struct group_protocol *old = group->protocol;

    if (protocol) {
        protocol->refs++;
    }
    group->protocol = protocol;
    if (old) {
        protocol_release(groups, old);
    }
}

struct mr_bytes
group_member_metadata(const struct group_member *member)
{
    const struct group *group = member->group;

    for (int32_t i = 0; member->choices && i < member->choices->count; i++) {
        if (member->choices->at[i].protocol == group->protocol) {
            return member->choices->at[i].metadata;
        }
    }
    return group_bytes_none;
}

/* ---- life --------------------------------------------------------------------------------------
 */

bool
group_member_make_id(struct mr_groups *groups, struct mr_str prefix, struct mr_str *out)
{
    size_t prefix_size = prefix.size > 0 ? (size_t)prefix.size : 0;
    size_t size = prefix_size + 1 + UUID_TEXT_SIZE;
    char *text = group_alloc(groups, size + 1);
    uint8_t random[16];

    if (!text) {
        return false;
    }
    groups->actions.random(groups->actions.context, random, sizeof(random));
    random[6] = (random[6] & 0x0f) | 0x40; /* version 4, variant 1: RFC 9562 */
    random[8] = (random[8] & 0x3f) | 0x80;
    if (prefix_size > 0) {
        memcpy(text, prefix.data, prefix_size);
    }
    text[prefix_size] = '-';
    for (unsigned i = 0, at = 0; i < sizeof(random); i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;

        snprintf(text + prefix_size + 1 + at, 4, dash ? "-%02x" : "%02x", random[i]);
        at += dash ? 3 : 2;
    }
    *out = (struct mr_str){text, (int32_t)size};
    return true;
}

static void
member_enter(struct mr_groups *groups, struct group *group, struct group_member *member)
{
    member->group = group;
    group_timer_init(&member->session, GROUP_TIMER_SESSION);
    group_table_add(groups, &groups->members, &member->by_id,
                    group_hash(groups, group, member->id));
    groups->stats.members++;
}

static struct group_member *
member_alloc(struct mr_groups *groups, struct mr_str id)
{
    struct group_member *member;

    if (groups->stats.members >= groups->config.members_max) {
        return NULL;
    }
    member = group_alloc(groups, sizeof(*member));
    if (!member) {
        return NULL;
    }
    member->instance_id = group_str_null;
    member->client_id = group_str_null;
    member->client_host = group_str_null;
    member->assignment = group_bytes_none;
    member->assignment_next = group_bytes_none;
    if (!group_copy(groups, id, &member->id)) {
        group_free(groups, member);
        return NULL;
    }
    if (!group_timers_reserve(groups, GROUP_TIMERS_MEMBER)) {
        group_free_str(groups, &member->id);
        group_free(groups, member);
        return NULL;
    }
    return member;
}

/* Of a member that is in no list and no table. */
static void
member_free(struct mr_groups *groups, struct group_member *member)
{
    group_choices_free(groups, member->choices);
    group_free_bytes(groups, &member->assignment);
    group_free_bytes(groups, &member->assignment_next);
    group_free_str(groups, &member->id);
    group_free_str(groups, &member->instance_id);
    group_free_str(groups, &member->client_id);
    group_free_str(groups, &member->client_host);
    group_timers_release(groups, GROUP_TIMERS_MEMBER);
    group_free(groups, member);
}

struct group_member *
group_member_pend(struct mr_groups *groups, struct group *group, struct mr_str id)
{
    struct group_member *member = member_alloc(groups, id);

    if (!member) {
        return NULL;
    }
    member->pending = true;
    mr_list_push_back(&group->pending, &member->link);
    group->pending_count++;
    member_enter(groups, group, member);
    return member;
}

static bool
views_reserve(struct mr_groups *groups, struct group *group)
{
    struct mr_group_member_view *views;
    int32_t capacity = group->view_capacity;

    if (group->member_count < capacity) {
        return true;
    }
    capacity = capacity < VIEWS_MIN ? VIEWS_MIN : capacity * 2;
    views = group_alloc(groups, (size_t)capacity * sizeof(*views));
    if (!views) {
        return false;
    }
    group_free(groups, group->views);
    group->views = views;
    group->view_capacity = capacity;
    return true;
}

struct group_member *
group_member_add(struct mr_groups *groups, struct group *group,
                 const struct group_member_spec *spec)
{
    struct group_member *pending = group_member_find(groups, group, spec->id);
    struct group_member *member;

    MR_ASSERT(!pending || pending->pending);
    if (!views_reserve(groups, group)) {
        return NULL;
    }
    /* The pending member's place is counted again below, so that there is room for it. */
    groups->stats.members -= pending ? 1 : 0;
    member = member_alloc(groups, spec->id);
    groups->stats.members += pending ? 1 : 0;
    if (!member) {
        return NULL;
    }
    if (!group_copy(groups, spec->instance_id, &member->instance_id) ||
        !group_copy(groups, spec->client_id, &member->client_id) ||
        !group_copy(groups, spec->client_host, &member->client_host)) {
        goto no_memory;
    }
    member->choices = group_choices_make(groups, group, spec->protocols, spec->protocol_count);
    if (!member->choices) {
        goto no_memory;
    }
    if (pending) {
        group_member_remove(groups, pending, MR_KAFKA_UNKNOWN_MEMBER_ID);
    }
    member->session_timeout_ms = spec->session_timeout_ms;
    member->rebalance_timeout_ms = spec->rebalance_timeout_ms;
    group_choices_count(member->choices, 1);
    mr_list_push_back(&group->members, &member->link);
    group->member_count++;
    member_enter(groups, group, member);
    if (member->instance_id.size >= 0) {
        group_table_add(groups, &groups->instances, &member->by_instance,
                        group_hash(groups, group, member->instance_id));
    }
    if (!group->leader) {
        group->leader = member;
    }
    return member;

no_memory:
    member_free(groups, member);
    return NULL;
}

struct mr_str
group_member_rename(struct mr_groups *groups, struct group_member *member, struct mr_str id)
{
    struct mr_str old = member->id;

    group_table_remove(&groups->members, &member->by_id);
    member->id = id;
    group_table_add(groups, &groups->members, &member->by_id,
                    group_hash(groups, member->group, id));
    return old;
}

void
group_member_remove(struct mr_groups *groups, struct group_member *member, int16_t error)
{
    struct group *group = member->group;

    group_member_end_join(groups, member, error);
    group_member_end_sync(groups, member, error);
    if (member->replacing) {
        member->replacing->member = NULL;
        member->replacing = NULL;
    }
    group_timer_off(groups, &member->session);
    group_table_remove(&groups->members, &member->by_id);
    mr_list_remove(&member->link);
    groups->stats.members--;
    if (member->pending) {
        group->pending_count--;
    } else {
        group->member_count--;
        group_choices_count(member->choices, -1);
        if (member->instance_id.size >= 0) {
            group_table_remove(&groups->instances, &member->by_instance);
        }
    }
    if (group->leader == member) {
        group->leader = mr_list_empty(&group->members) ? NULL : GROUP_MEMBER(group->members.next);
    }
    member_free(groups, member);
}

/* ---- what members wait for ---------------------------------------------------------------------
 */

void
group_member_end_join(struct mr_groups *groups, struct group_member *member, int16_t error)
{
    struct mr_group_join *join = member->join;

    if (member->joining) {
        member->joining = false;
        member->group->joining_count--;
    }
    member->join = NULL;
    if (join) {
        group_join_refuse(groups, join, error,
                          error == MR_KAFKA_UNKNOWN_MEMBER_ID ? group_str_none : member->id);
    }
}

void
group_member_end_sync(struct mr_groups *groups, struct group_member *member, int16_t error)
{
    struct mr_group_sync *sync = member->sync;
    bool good = error == MR_KAFKA_NONE;

    member->syncing = false;
    member->sync = NULL;
    if (sync) {
        sync->assignment = good ? member->assignment : group_bytes_none;
        sync->out_protocol_type = good ? member->group->protocol_type : group_str_null;
        sync->out_protocol_name = good ? member->group->protocol->name : group_str_null;
        group_answer(groups, &sync->request, error);
    }
}

void
group_session_renew(struct mr_groups *groups, struct group_member *member)
{
    group_timer_set(groups, &member->session, member->session_timeout_ms);
}

int32_t
group_views(struct group *group, bool with_metadata, bool with_assignment)
{
    int32_t count = 0;

    MR_LIST_FOR_EACH(node, &group->members)
    {
        const struct group_member *member = GROUP_MEMBER(node);

        MR_ASSERT(count < group->view_capacity);
        group->views[count++] = (struct mr_group_member_view){
            .member_id = member->id,
            .instance_id = member->instance_id,
            .client_id = member->client_id,
            .client_host = member->client_host,
            .metadata = with_metadata ? group_member_metadata(member) : group_bytes_none,
            .assignment = with_assignment ? member->assignment : group_bytes_none,
        };
    }
    return count;
}
