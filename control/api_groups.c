/* control/api_groups.c: the group APIs: wire structs to requests of the state machine (group.h) and
 * back. A request that the state machine parks waits in the memory of its own request. */
#include <string.h>

#include "control/api.h"
#include "control/coordinator.h"

#define VERSION_LEAVE_MANY        3
#define VERSION_PROTOCOL_NULLABLE 7    /* JoinGroup */
#define VERSION_SYNC_PROTOCOL     5    /* SyncGroup: it must say which */
#define VERSION_GROUP_NOT_FOUND   6    /* DescribeGroups */
#define GROUP_OPERATIONS          3400 /* READ, DELETE, DESCRIBE, both configs (KIP-430) */

/* ---- shared with api_offsets.c --------------------------------------------------------------- */

struct mr_str
mr_group_text(struct mr_ctl_request *request, struct mr_str text)
{
    char *copy;

    if (text.size < 0) {
        return mr_str_null();
    }
    copy = mr_bump_alloc(request->bump, (size_t)text.size + 1);
    if (!copy) {
        request->failed = true;
        return mr_str_from_c("");
    }
    if (text.size > 0) { /* else there may be no data at all */
        memcpy(copy, text.data, (size_t)text.size);
    }
    return (struct mr_str){copy, text.size};
}

static struct mr_bytes
copy_bytes(struct mr_ctl_request *request, struct mr_bytes bytes)
{
    struct mr_str copy = mr_group_text(
        request, (struct mr_str){(const char *)bytes.data, bytes.size < 0 ? 0 : bytes.size});

    return (struct mr_bytes){(const uint8_t *)copy.data, copy.size};
}

void
mr_group_ask_end(struct mr_group_ask *ask)
{
    ask->request->parked = NULL;
    mr_ctl_reply(ask->control, ask->request, ask->from);
}

void *
mr_group_ask_begin(struct mr_control *control, struct mr_ctl_request *request, unsigned from,
                   size_t size)
{
    struct mr_group_ask *ask = mr_ctl_array(request, 1, size);

    if (!ask) {
        mr_ctl_fail(control, request, from);
        return NULL;
    }
    ask->control = control;
    ask->request = request;
    ask->from = from;
    return ask;
}

/* ---- JoinGroup ------------------------------------------------------------------------------- */

struct join {
    struct mr_group_ask ask;
    struct mr_group_join join;
};

static void
join_members(struct join *state, struct mr_join_group_response *response)
{
    const struct mr_group_join *join = &state->join;

    response->members =
        mr_ctl_array(state->ask.request, join->member_count, sizeof(*response->members));
    if (!response->members) {
        state->ask.request->failed = true;
        return;
    }
    response->members_count = join->member_count;
    for (int32_t i = 0; i < join->member_count; i++) {
        struct mr_join_group_response_member *out = &response->members[i];

        out->member_id = mr_group_text(state->ask.request, join->members[i].member_id);
        out->group_instance_id = mr_group_text(state->ask.request, join->members[i].instance_id);
        out->metadata = copy_bytes(state->ask.request, join->members[i].metadata);
    }
}

static void
on_join(struct mr_group_request *request)
{
    struct join *state = MR_CONTAINER_OF(request, struct join, join.request);
    struct mr_join_group_response *response = state->ask.request->response;
    struct mr_group_join *join = &state->join;

    response->error_code = request->error;
    response->generation_id = join->generation;
    response->protocol_type = mr_group_text(state->ask.request, join->out_protocol_type);
    response->protocol_name = mr_group_text(state->ask.request, join->protocol_name);
    if (response->protocol_name.size <= 0) {
        response->protocol_name = state->ask.request->api_version < VERSION_PROTOCOL_NULLABLE
                                      ? mr_str_from_c("")
                                      : mr_str_null();
    }
    response->leader = mr_group_text(state->ask.request, join->leader);
    response->member_id = mr_group_text(state->ask.request, join->out_member_id);
    response->skip_assignment = join->skip_assignment;
    join_members(state, response);
    mr_group_ask_end(&state->ask);
}

static bool
fill_protocols(struct mr_ctl_request *request, struct mr_group_join *join)
{
    const struct mr_join_group_request *body = request->request;
    struct mr_group_protocol *protocols =
        mr_ctl_array(request, body->protocols_count, sizeof(*protocols));

    for (int32_t i = 0; protocols && i < body->protocols_count; i++) {
        protocols[i].name = body->protocols[i].name;
        protocols[i].metadata = body->protocols[i].metadata;
    }
    join->protocols = protocols;
    join->protocol_count = body->protocols_count > 0 ? body->protocols_count : 0;
    return protocols;
}

static void
join_group(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_join_group_request *body = request->request;
    struct join *state = mr_group_ask_begin(control, request, from, sizeof(*state));

    if (!state) {
        return;
    }
    state->join = (struct mr_group_join){
        .request.done = on_join,
        .api_version = request->api_version,
        .group_id = body->group_id,
        .client_id = {request->client_id, request->client_id ? request->client_id_size : -1},
        .client_host = mr_str_from_c(request->client_host),
        .member_id = body->member_id,
        .instance_id = body->group_instance_id,
        .protocol_type = body->protocol_type,
        .session_timeout_ms = body->session_timeout_ms,
        .rebalance_timeout_ms = body->rebalance_timeout_ms,
    };
    if (!fill_protocols(request, &state->join)) {
        mr_ctl_fail(control, request, from);
        return;
    }
    mr_group_ask_run(&state->ask, &state->join.request,
                     mr_groups_join(mr_coordinator_groups(control->coordinator), &state->join,
                                    mr_coordinator_now(control->coordinator)));
}

/* ---- SyncGroup ------------------------------------------------------------------------------- */

struct sync {
    struct mr_group_ask ask;
    struct mr_group_sync sync;
};

static void
on_sync(struct mr_group_request *request)
{
    struct sync *state = MR_CONTAINER_OF(request, struct sync, sync.request);
    struct mr_sync_group_response *response = state->ask.request->response;

    response->error_code = request->error;
    response->protocol_type = mr_group_text(state->ask.request, state->sync.out_protocol_type);
    response->protocol_name = mr_group_text(state->ask.request, state->sync.out_protocol_name);
    response->assignment = copy_bytes(state->ask.request, state->sync.assignment);
    mr_group_ask_end(&state->ask);
}

static void
sync_group(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_sync_group_request *body = request->request;
    struct sync *state = mr_group_ask_begin(control, request, from, sizeof(*state));
    struct mr_group_assignment *assignments;

    if (!state) {
        return;
    }
    if (request->api_version >= VERSION_SYNC_PROTOCOL &&
        (body->protocol_type.size < 0 || body->protocol_name.size < 0)) {
        ((struct mr_sync_group_response *)request->response)->error_code =
            MR_KAFKA_INCONSISTENT_GROUP_PROTOCOL;
        mr_ctl_reply(control, request, from);
        return;
    }
    assignments = mr_ctl_array(request, body->assignments_count, sizeof(*assignments));
    if (!assignments) {
        mr_ctl_fail(control, request, from);
        return;
    }
    for (int32_t i = 0; i < body->assignments_count; i++) {
        assignments[i].member_id = body->assignments[i].member_id;
        assignments[i].assignment = body->assignments[i].assignment;
    }
    state->sync = (struct mr_group_sync){
        .request.done = on_sync,
        .group_id = body->group_id,
        .member_id = body->member_id,
        .instance_id = body->group_instance_id,
        .protocol_type = body->protocol_type,
        .protocol_name = body->protocol_name,
        .generation = body->generation_id,
        .assignments = assignments,
        .assignment_count = body->assignments_count > 0 ? body->assignments_count : 0,
    };
    mr_group_ask_run(&state->ask, &state->sync.request,
                     mr_groups_sync(mr_coordinator_groups(control->coordinator), &state->sync,
                                    mr_coordinator_now(control->coordinator)));
}

/* ---- Heartbeat ------------------------------------------------------------------------------- */

static void
heartbeat(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_heartbeat_request *body = request->request;
    struct mr_heartbeat_response *response = request->response;
    struct mr_group_heartbeat beat = {
        .group_id = body->group_id,
        .member_id = body->member_id,
        .instance_id = body->group_instance_id,
        .generation = body->generation_id,
    };

    response->error_code =
        (int16_t)mr_groups_heartbeat(mr_coordinator_groups(control->coordinator), &beat,
                                     mr_coordinator_now(control->coordinator));
    mr_ctl_reply(control, request, from);
}

/* ---- LeaveGroup ------------------------------------------------------------------------------ */

struct leave {
    struct mr_group_ask ask;
    struct mr_group_leave leave;
};

static void
on_leave(struct mr_group_request *request)
{
    struct leave *state = MR_CONTAINER_OF(request, struct leave, leave.request);
    struct mr_ctl_request *ctl = state->ask.request;
    const struct mr_leave_group_request *body = ctl->request;
    struct mr_leave_group_response *response = ctl->response;

    response->error_code = request->error;
    if (ctl->api_version < VERSION_LEAVE_MANY) {
        if (!request->error) {
            response->error_code = state->leave.members[0].error;
        }
        mr_group_ask_end(&state->ask);
        return;
    }
    if (!request->error) {
        response->members =
            mr_ctl_array(ctl, state->leave.member_count, sizeof(*response->members));
        response->members_count = response->members ? state->leave.member_count : 0;
        ctl->failed |= !response->members;
    }
    for (int32_t i = 0; i < response->members_count; i++) {
        response->members[i].member_id = body->members[i].member_id;
        response->members[i].group_instance_id = body->members[i].group_instance_id;
        response->members[i].error_code = state->leave.members[i].error;
    }
    mr_group_ask_end(&state->ask);
}

static void
leave_group(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_leave_group_request *body = request->request;
    bool many = request->api_version >= VERSION_LEAVE_MANY;
    int32_t count = many ? body->members_count : 1;
    struct leave *state = mr_group_ask_begin(control, request, from, sizeof(*state));
    struct mr_group_leaving *members;

    if (!state) {
        return;
    }
    members = mr_ctl_array(request, count, sizeof(*members));
    if (!members) {
        mr_ctl_fail(control, request, from);
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        members[i].member_id = many ? body->members[i].member_id : body->member_id;
        members[i].instance_id = many ? body->members[i].group_instance_id : mr_str_null();
    }
    state->leave = (struct mr_group_leave){
        .request.done = on_leave,
        .group_id = body->group_id,
        .members = members,
        .member_count = count > 0 ? count : 0,
    };
    mr_group_ask_run(&state->ask, &state->leave.request,
                     mr_groups_leave(mr_coordinator_groups(control->coordinator), &state->leave,
                                     mr_coordinator_now(control->coordinator)));
}

/* ---- DescribeGroups -------------------------------------------------------------------------- */

static void
describe_members(struct mr_ctl_request *request, const struct mr_group_description *description,
                 struct mr_describe_groups_response_group *out)
{
    out->members = mr_ctl_array(request, description->member_count, sizeof(*out->members));
    if (!out->members) {
        request->failed = true;
        return;
    }
    out->members_count = description->member_count;
    for (int32_t i = 0; i < description->member_count; i++) {
        const struct mr_group_member_view *member = &description->members[i];

        out->members[i] = (struct mr_describe_groups_response_member){
            .member_id = mr_group_text(request, member->member_id),
            .group_instance_id = mr_group_text(request, member->instance_id),
            .client_id = mr_group_text(request, member->client_id),
            .client_host = mr_group_text(request, member->client_host),
            .member_metadata = copy_bytes(request, member->metadata),
            .member_assignment = copy_bytes(request, member->assignment),
        };
    }
}

static void
describe_one(struct mr_control *control, struct mr_ctl_request *request, struct mr_str group_id,
             struct mr_describe_groups_response_group *out)
{
    const struct mr_describe_groups_request *body = request->request;
    struct mr_group_description description;
    enum mr_kafka_err error =
        mr_groups_describe(mr_coordinator_groups(control->coordinator), group_id, &description);

    *out = (struct mr_describe_groups_response_group){
        .error_code = (int16_t)error,
        .error_message = mr_str_null(),
        .group_id = group_id,
        .group_state = mr_str_from_c(""),
        .protocol_type = mr_str_from_c(""),
        .protocol_data = mr_str_from_c(""),
        .authorized_operations = INT32_MIN,
    };
    if (error == MR_KAFKA_GROUP_ID_NOT_FOUND) {
        out->group_state = mr_str_from_c(mr_group_state_name(MR_GROUP_DEAD));
        if (request->api_version < VERSION_GROUP_NOT_FOUND) {
            out->error_code = MR_KAFKA_NONE;
        }
        out->error_message = mr_ctl_text(request, "Group %.*s not found.",
                                         group_id.size > 0 ? (int)group_id.size : 0, group_id.data);
    }
    if (body->include_authorized_operations && !out->error_code) {
        out->authorized_operations = GROUP_OPERATIONS;
    }
    if (error) {
        return;
    }
    out->group_state = mr_str_from_c(mr_group_state_name(description.state));
    out->protocol_type = mr_group_text(request, description.protocol_type);
    out->protocol_data = mr_group_text(request, description.protocol_data);
    describe_members(request, &description, out);
}

static void
describe_groups(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_describe_groups_request *body = request->request;
    struct mr_describe_groups_response *response = request->response;

    response->groups = mr_ctl_array(request, body->groups_count, sizeof(*response->groups));
    if (!response->groups) {
        mr_ctl_fail(control, request, from);
        return;
    }
    response->groups_count = body->groups_count > 0 ? body->groups_count : 0;
    /* A large group may be named very often: no more of it than an answer has room for. */
    for (int32_t i = 0; i < response->groups_count && !request->failed; i++) {
        describe_one(control, request, body->groups[i], &response->groups[i]);
    }
    mr_ctl_reply(control, request, from);
}

/* ---- ListGroups ------------------------------------------------------------------------------ */

/* With direct routing every broker lists the groups whose coordinator it is. */
struct list {
    struct mr_control *control;
    struct mr_ctl_request *request;
    struct mr_list_groups_response *response;
    uint32_t place;
    int32_t capacity;
};

static void
count_group(void *context, const struct mr_group_listing *listing)
{
    struct list *list = context;

    list->capacity += mr_group_place(list->control, listing->group_id) == list->place;
}

static void
list_group(void *context, const struct mr_group_listing *listing)
{
    struct list *list = context;

    if (mr_group_place(list->control, listing->group_id) != list->place) {
        return;
    }
    list->response->groups[list->response->groups_count++] = (struct mr_list_groups_response_group){
        .group_id = mr_group_text(list->request, listing->group_id),
        .protocol_type = mr_group_text(list->request, listing->protocol_type),
        .group_state = mr_str_from_c(mr_group_state_name(listing->state)),
        .group_type = mr_str_from_c("classic"),
    };
}

static void
list_groups(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_list_groups_request *body = request->request;
    struct mr_groups *groups = mr_coordinator_groups(control->coordinator);
    struct list list = {.control = control,
                        .request = request,
                        .response = request->response,
                        .place = from % control->config.nodes.count};
    enum mr_kafka_err error;

    if (!mr_coordinator_has_topic(control->coordinator)) {
        mr_ctl_reply(control, request, from); /* there has been no group */
        return;
    }
    error = mr_groups_list(groups, body->states_filter, body->states_filter_count,
                           body->types_filter, body->types_filter_count, count_group, &list);
    list.response->error_code = (int16_t)error;
    list.response->groups = mr_ctl_array(request, list.capacity, sizeof(*list.response->groups));
    if (!list.response->groups) {
        mr_ctl_fail(control, request, from);
        return;
    }
    mr_groups_list(groups, body->states_filter, body->states_filter_count, body->types_filter,
                   body->types_filter_count, list_group, &list);
    mr_ctl_reply(control, request, from);
}

/* ---- DeleteGroups ---------------------------------------------------------------------------- */

struct delete_one {
    struct mr_group_delete delete;
    struct delete_groups *all;
    struct mr_delete_groups_response_group *out;
};

struct delete_groups {
    struct mr_group_ask ask;
    int32_t left; /* groups not answered, and one for the handler */
};

static void
delete_left(struct delete_groups *all)
{
    all->left--;
    if (all->left == 0) {
        mr_group_ask_end(&all->ask);
    }
}

static void
on_delete(struct mr_group_request *request)
{
    struct delete_one *one = MR_CONTAINER_OF(request, struct delete_one, delete.request);

    one->out->error_code = request->error;
    delete_left(one->all);
}

static void
delete_groups(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_delete_groups_request *body = request->request;
    struct mr_delete_groups_response *response = request->response;
    struct delete_groups *all = mr_group_ask_begin(control, request, from, sizeof(*all));
    struct delete_one *ones;
    int32_t count = body->groups_names_count > 0 ? body->groups_names_count : 0;
    uint8_t *twice;

    if (!all) {
        return;
    }
    twice = mr_ctl_named_twice(request, body->groups_names, count);
    ones = mr_ctl_array(request, count, sizeof(*ones));
    response->results = mr_ctl_array(request, count, sizeof(*response->results));
    if (!ones || !response->results || !twice) {
        mr_ctl_fail(control, request, from);
        return;
    }
    all->left = 1;
    for (int32_t i = 0; i < count; i++) {
        if (twice[i] == MR_CTL_LATER) {
            continue; /* one answer for each group */
        }
        ones[i] = (struct delete_one){
            .delete = {.request.done = on_delete, .group_id = body->groups_names[i]},
            .all = all,
            .out = &response->results[response->results_count++],
        };
        ones[i].out->group_id = body->groups_names[i];
        all->left++;
        if (mr_groups_delete(mr_coordinator_groups(control->coordinator), &ones[i].delete,
                             mr_coordinator_now(control->coordinator))) {
            on_delete(&ones[i].delete.request);
        }
    }
    delete_left(all);
}

/* ---- entry points ---------------------------------------------------------------------------- */

void
mr_group_ask_run(struct mr_group_ask *ask, struct mr_group_request *request, bool answered)
{
    if (answered) {
        request->done(request);
    } else {
        ask->request->parked = request;
    }
}

void
mr_api_groups(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    switch (request->api_key) {
    case MR_API_FIND_COORDINATOR:
        mr_api_find_coordinator(control, request, from);
        break;
    case MR_API_OFFSET_COMMIT:
        mr_api_offset_commit(control, request, from);
        break;
    case MR_API_OFFSET_FETCH:
        mr_api_offset_fetch(control, request, from);
        break;
    case MR_API_OFFSET_DELETE:
        mr_api_offset_delete(control, request, from);
        break;
    case MR_API_JOIN_GROUP:
        join_group(control, request, from);
        break;
    case MR_API_SYNC_GROUP:
        sync_group(control, request, from);
        break;
    case MR_API_HEARTBEAT:
        heartbeat(control, request, from);
        break;
    case MR_API_LEAVE_GROUP:
        leave_group(control, request, from);
        break;
    case MR_API_DESCRIBE_GROUPS:
        describe_groups(control, request, from);
        break;
    case MR_API_LIST_GROUPS:
        list_groups(control, request, from);
        break;
    default:
        delete_groups(control, request, from);
        break;
    }
}

/* A client that has gone waits for nothing: what can be forgotten is answered now. */
void
mr_api_groups_cancel(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    struct mr_group_request *parked = request->parked;

    if (parked) {
        request->parked = NULL;
        mr_groups_cancel(mr_coordinator_groups(control->coordinator), parked);
        mr_ctl_fail(control, request, from);
    }
}
