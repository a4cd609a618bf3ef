/* control/api_groups.c: the group APIs, which are advertised because older clients look for them,
 * and which say that there is no coordinator yet: a retriable error, never an empty success. */
#include "control/loop.h"

#define KEY_TYPE_TRANSACTION      1
#define VERSION_MANY_COORDINATORS 4

static const char no_groups[] = "consumer groups are not served yet";
static const char no_transactions[] = "transactions are not served yet";

/* A transaction's coordinator is refused for good, so that its client does not try for ever. */
static bool
find_coordinator(struct mr_ctl_request *request)
{
    const struct mr_find_coordinator_request *body = request->request;
    struct mr_find_coordinator_response *response = request->response;
    bool transaction = body->key_type == KEY_TYPE_TRANSACTION;
    int16_t error = transaction ? MR_KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED
                                : MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
    struct mr_str text = mr_str_from_c(transaction ? no_transactions : no_groups);

    response->node_id = -1;
    response->port = -1;
    response->error_code = error;
    response->error_message = text;
    if (request->api_version < VERSION_MANY_COORDINATORS) {
        return true;
    }
    response->coordinators =
        mr_ctl_array(request, body->coordinator_keys_count, sizeof(*response->coordinators));
    if (!response->coordinators) {
        return false;
    }
    response->coordinators_count =
        body->coordinator_keys_count > 0 ? body->coordinator_keys_count : 0;
    for (int32_t i = 0; i < response->coordinators_count; i++) {
        response->coordinators[i] = (struct mr_find_coordinator_response_coordinator){
            .key = body->coordinator_keys[i],
            .node_id = -1,
            .port = -1,
            .error_code = error,
            .error_message = text,
        };
    }
    return true;
}

static bool
offset_commit(struct mr_ctl_request *request)
{
    const struct mr_offset_commit_request *body = request->request;
    struct mr_offset_commit_response *response = request->response;

    response->topics = mr_ctl_array(request, body->topics_count, sizeof(*response->topics));
    response->topics_count = body->topics_count > 0 ? body->topics_count : 0;
    for (int32_t t = 0; response->topics && t < response->topics_count; t++) {
        struct mr_offset_commit_response_topic *topic = &response->topics[t];

        topic->name = body->topics[t].name;
        topic->topic_id = body->topics[t].topic_id;
        topic->partitions =
            mr_ctl_array(request, body->topics[t].partitions_count, sizeof(*topic->partitions));
        if (!topic->partitions) {
            return false;
        }
        topic->partitions_count =
            body->topics[t].partitions_count > 0 ? body->topics[t].partitions_count : 0;
        for (int32_t p = 0; p < topic->partitions_count; p++) {
            topic->partitions[p].partition_index = body->topics[t].partitions[p].partition_index;
            topic->partitions[p].error_code = MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
        }
    }
    return response->topics;
}

static bool
offset_fetch(struct mr_ctl_request *request)
{
    const struct mr_offset_fetch_request *body = request->request;
    struct mr_offset_fetch_response *response = request->response;

    response->error_code = MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
    response->groups = mr_ctl_array(request, body->groups_count, sizeof(*response->groups));
    response->groups_count = body->groups_count > 0 ? body->groups_count : 0;
    for (int32_t i = 0; response->groups && i < response->groups_count; i++) {
        response->groups[i].group_id = body->groups[i].group_id;
        response->groups[i].error_code = MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    return response->groups;
}

static bool
describe_groups(struct mr_ctl_request *request)
{
    const struct mr_describe_groups_request *body = request->request;
    struct mr_describe_groups_response *response = request->response;

    response->groups = mr_ctl_array(request, body->groups_count, sizeof(*response->groups));
    response->groups_count = body->groups_count > 0 ? body->groups_count : 0;
    for (int32_t i = 0; response->groups && i < response->groups_count; i++) {
        response->groups[i] = (struct mr_describe_groups_response_group){
            .error_code = MR_KAFKA_COORDINATOR_NOT_AVAILABLE,
            .error_message = mr_str_from_c(no_groups),
            .group_id = body->groups[i],
            .authorized_operations = INT32_MIN,
        };
    }
    return response->groups;
}

static bool
delete_groups(struct mr_ctl_request *request)
{
    const struct mr_delete_groups_request *body = request->request;
    struct mr_delete_groups_response *response = request->response;

    response->results = mr_ctl_array(request, body->groups_names_count, sizeof(*response->results));
    response->results_count = body->groups_names_count > 0 ? body->groups_names_count : 0;
    for (int32_t i = 0; response->results && i < response->results_count; i++) {
        response->results[i].group_id = body->groups_names[i];
        response->results[i].error_code = MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    return response->results;
}

/* The answers that have no more than one error code. */
static bool
plain_error(struct mr_ctl_request *request)
{
    switch (request->api_key) {
    case MR_API_JOIN_GROUP: {
        const struct mr_join_group_request *body = request->request;
        struct mr_join_group_response *response = request->response;

        response->error_code = MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
        response->protocol_name = mr_str_from_c("");
        response->member_id = body->member_id;
        return true;
    }
    case MR_API_HEARTBEAT:
        ((struct mr_heartbeat_response *)request->response)->error_code =
            MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
        return true;
    case MR_API_LEAVE_GROUP:
        ((struct mr_leave_group_response *)request->response)->error_code =
            MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
        return true;
    case MR_API_SYNC_GROUP:
        ((struct mr_sync_group_response *)request->response)->error_code =
            MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
        return true;
    case MR_API_LIST_GROUPS:
        ((struct mr_list_groups_response *)request->response)->error_code =
            MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
        return true;
    case MR_API_OFFSET_DELETE:
        ((struct mr_offset_delete_response *)request->response)->error_code =
            MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
        return true;
    default:
        return false;
    }
}

void
mr_api_groups(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    bool good;

    switch (request->api_key) {
    case MR_API_FIND_COORDINATOR:
        good = find_coordinator(request);
        break;
    case MR_API_OFFSET_COMMIT:
        good = offset_commit(request);
        break;
    case MR_API_OFFSET_FETCH:
        good = offset_fetch(request);
        break;
    case MR_API_DESCRIBE_GROUPS:
        good = describe_groups(request);
        break;
    case MR_API_DELETE_GROUPS:
        good = delete_groups(request);
        break;
    default:
        good = plain_error(request);
        break;
    }
    if (good) {
        mr_ctl_reply(control, request, from);
    } else {
        mr_ctl_fail(control, request, from);
    }
}
