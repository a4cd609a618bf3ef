/* control/api_coordinator.c: FindCoordinator (key 10): who serves a group. Every shard can;
 * with direct routing each is told as the coordinator of some. The first question for a group makes
 * __consumer_offsets, and is answered when it is there. */
#include "control/coordinator.h"

#define KEY_TYPE_GROUP            0
#define KEY_TYPE_TRANSACTION      1
#define VERSION_MANY_COORDINATORS 4

static const char no_transactions[] = "transactions are not served yet";
static const char no_such_type[] = "only the coordinators of groups are served";

uint32_t
mr_group_place(const struct mr_control *control, struct mr_str group)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (int32_t i = 0; i < group.size; i++) {
        hash = (hash ^ (uint8_t)group.data[i]) * 16777619u;
    }
    return hash % control->config.nodes.count;
}

static struct mr_str
host_of(const struct mr_nodes *nodes, int32_t place, enum mr_kafka_err error)
{
    return mr_str_from_c(error ? "" : mr_node_host(nodes, (uint32_t)place));
}

/* What every key of the request is answered. */
static void
fill(struct mr_control *control, struct mr_ctl_request *request, enum mr_kafka_err error,
     struct mr_str message)
{
    const struct mr_find_coordinator_request *body = request->request;
    struct mr_find_coordinator_response *response = request->response;
    const struct mr_nodes *nodes = &control->config.nodes;
    int32_t place = (int32_t)mr_group_place(control, body->key);

    response->error_code = (int16_t)error;
    response->error_message = message;
    response->node_id = error ? -1 : nodes->id + place;
    response->host = host_of(nodes, place, error);
    response->port = error ? -1 : nodes->port + place;
    for (int32_t i = 0; i < response->coordinators_count; i++) {
        struct mr_find_coordinator_response_coordinator *one = &response->coordinators[i];

        place = (int32_t)mr_group_place(control, one->key);
        one->node_id = error ? -1 : nodes->id + place;
        one->host = host_of(nodes, place, error);
        one->port = error ? -1 : nodes->port + place;
        one->error_code = (int16_t)error;
        one->error_message = message;
    }
}

static bool
prepare(struct mr_ctl_request *request)
{
    const struct mr_find_coordinator_request *body = request->request;
    struct mr_find_coordinator_response *response = request->response;

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
        response->coordinators[i].key = body->coordinator_keys[i];
    }
    return true;
}

static void
on_topic_made(struct mr_proposal *proposal, const struct mr_metadata_outcome *outcome)
{
    struct mr_ctl_request *request = proposal->slot;

    /* Several clients may have asked at once: only the first makes it. */
    if (outcome->error && outcome->error != MR_KAFKA_TOPIC_ALREADY_EXISTS) {
        fill(proposal->op->control, request, MR_KAFKA_COORDINATOR_NOT_AVAILABLE,
             mr_str_from_c("the topic " MR_OFFSETS_TOPIC " cannot be made now"));
    }
}

void
mr_api_find_coordinator(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_find_coordinator_request *body = request->request;
    struct mr_op *op;

    if (!prepare(request)) {
        mr_ctl_fail(control, request, from);
        return;
    }
    if (body->key_type != KEY_TYPE_GROUP) {
        bool transaction = body->key_type == KEY_TYPE_TRANSACTION;

        /* A transaction's coordinator is refused for good, so that its client does not try for
         * ever. */
        fill(control, request,
             transaction ? MR_KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED
                         : MR_KAFKA_INVALID_REQUEST,
             mr_str_from_c(transaction ? no_transactions : no_such_type));
        mr_ctl_reply(control, request, from);
        return;
    }
    fill(control, request, MR_KAFKA_NONE, mr_str_null());
    if (mr_coordinator_has_topic(control->coordinator)) {
        mr_ctl_reply(control, request, from);
        return;
    }
    op = mr_op_begin(control, request, from);
    if (!op) {
        return;
    }
    if (mr_coordinator_make_topic(control->coordinator, op, on_topic_made, request) !=
        MR_KAFKA_NONE) {
        fill(control, request, MR_KAFKA_COORDINATOR_NOT_AVAILABLE,
             mr_str_from_c("the topic " MR_OFFSETS_TOPIC " cannot be made now"));
    }
    mr_op_go(op);
}
