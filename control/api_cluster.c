/* control/api_cluster.c: what Kafka's administration may ask of a broker that is a cluster of its
 * own, without an authorizer and without transactions: DescribeAcls, CreateAcls and DeleteAcls
 * (keys 29 to 31), DescribeUserScramCredentials (50), DescribeQuorum (55), UpdateFeatures (57),
 * UnregisterBroker (64), DescribeTransactions (65), ListTransactions (66). */
#include "control/api.h"

/* ---- ACLs ------------------------------------------------------------------------------------ */

static const char no_authorizer[] = "No Authorizer is configured on the broker";

bool
mr_api_describe_acls(struct mr_control *control, struct mr_ctl_request *request)
{
    struct mr_describe_acls_response *response = request->response;

    (void)control;
    response->error_code = MR_KAFKA_SECURITY_DISABLED;
    response->error_message = mr_str_from_c(no_authorizer);
    return true;
}

bool
mr_api_create_acls(struct mr_control *control, struct mr_ctl_request *request)
{
    const struct mr_create_acls_request *body = request->request;
    struct mr_create_acls_response *response = request->response;

    (void)control;
    response->results_count = body->creations_count > 0 ? body->creations_count : 0;
    response->results = mr_ctl_array(request, body->creations_count, sizeof(*response->results));
    for (int32_t i = 0; response->results && i < response->results_count; i++) {
        response->results[i].error_code = MR_KAFKA_SECURITY_DISABLED;
        response->results[i].error_message = mr_str_from_c(no_authorizer);
    }
    return response->results != NULL;
}

bool
mr_api_delete_acls(struct mr_control *control, struct mr_ctl_request *request)
{
    const struct mr_delete_acls_request *body = request->request;
    struct mr_delete_acls_response *response = request->response;

    (void)control;
    response->filter_results_count = body->filters_count > 0 ? body->filters_count : 0;
    response->filter_results =
        mr_ctl_array(request, body->filters_count, sizeof(*response->filter_results));
    for (int32_t i = 0; response->filter_results && i < response->filter_results_count; i++) {
        response->filter_results[i].error_code = MR_KAFKA_SECURITY_DISABLED;
        response->filter_results[i].error_message = mr_str_from_c(no_authorizer);
    }
    return response->filter_results != NULL;
}

/* ---- SCRAM ----------------------------------------------------------------------------------- */

/* Nobody has credentials. */
bool
mr_api_describe_scram(struct mr_control *control, struct mr_ctl_request *request)
{
    const struct mr_describe_user_scram_credentials_request *body = request->request;
    struct mr_describe_user_scram_credentials_response *response = request->response;
    struct mr_str *names = mr_ctl_array(request, body->users_count, sizeof(*names));
    uint8_t *twice;

    (void)control;
    response->error_message = mr_str_null();
    response->results = mr_ctl_array(request, body->users_count, sizeof(*response->results));
    for (int32_t i = 0; names && i < body->users_count; i++) {
        names[i] = body->users[i].name;
    }
    twice = names ? mr_ctl_named_twice(request, names, body->users_count) : NULL;
    if (!twice || !response->results) {
        return false;
    }
    for (int32_t i = 0; i < body->users_count; i++) {
        enum mr_kafka_err error =
            twice[i] ? MR_KAFKA_DUPLICATE_RESOURCE : MR_KAFKA_RESOURCE_NOT_FOUND;

        if (twice[i] != MR_CTL_LATER) {
            response->results[response->results_count++] =
                (struct mr_describe_user_scram_credentials_response_result){
                    .user = names[i],
                    .error_code = (int16_t)error,
                    .error_message = mr_str_from_c(mr_kafka_err_text(error)),
                };
        }
    }
    return true;
}

/* ---- the quorum ------------------------------------------------------------------------------ */

#define METADATA_TOPIC "__cluster_metadata"

/* The only voter is this broker, and what it has applied is committed. */
static bool
describe_quorum_partition(struct mr_control *control, struct mr_ctl_request *request, bool known,
                          int32_t index, struct mr_describe_quorum_response_partition *out)
{
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    int64_t now_ms = mr_clock_wall_ms(control->config.clock);

    out->partition_index = index;
    out->error_message = mr_str_null();
    if (!snapshot) {
        return false;
    }
    if (!known || index != 0) {
        out->error_code = MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        out->error_message = mr_str_from_c("this server does not host this topic-partition");
        mr_metadata_snapshot_release(snapshot);
        return true;
    }
    out->leader_id = control->config.nodes.id;
    out->leader_epoch = snapshot->generation + 1;
    out->high_watermark = (int64_t)control->applied_index;
    out->current_voters = mr_ctl_array(request, 1, sizeof(*out->current_voters));
    if (out->current_voters) {
        out->current_voters_count = 1;
        out->current_voters[0] = (struct mr_describe_quorum_response_replica_state){
            .replica_id = control->config.nodes.id,
            .replica_directory_id = snapshot->cluster_id,
            .log_end_offset = (int64_t)control->applied_index,
            .last_fetch_timestamp = now_ms,
            .last_caught_up_timestamp = now_ms,
        };
    }
    mr_metadata_snapshot_release(snapshot);
    return out->current_voters != NULL;
}

static bool
describe_quorum_topic(struct mr_control *control, struct mr_ctl_request *request,
                      const struct mr_describe_quorum_request_topic *in,
                      struct mr_describe_quorum_response_topic *out, bool *any)
{
    bool known = mr_str_equal_c(in->topic_name, METADATA_TOPIC);
    bool good;

    out->topic_name = in->topic_name;
    out->partitions_count = in->partitions_count > 0 ? in->partitions_count : 0;
    out->partitions = mr_ctl_array(request, in->partitions_count, sizeof(*out->partitions));
    good = out->partitions != NULL;
    for (int32_t p = 0; good && p < out->partitions_count; p++) {
        good = describe_quorum_partition(control, request, known, in->partitions[p].partition_index,
                                         &out->partitions[p]);
        *any |= out->partitions[p].error_code == MR_KAFKA_NONE;
    }
    return good;
}

/* The voter answers at the broker's own address: there is no other listener. */
static bool
describe_quorum_node(struct mr_control *control, struct mr_ctl_request *request)
{
    struct mr_describe_quorum_response *response = request->response;
    struct mr_describe_quorum_response_node *node =
        mr_ctl_array(request, 1, sizeof(*response->nodes));
    struct mr_describe_quorum_response_listener *listener =
        mr_ctl_array(request, 1, sizeof(*listener));

    if (!node || !listener) {
        return false;
    }
    *listener = (struct mr_describe_quorum_response_listener){
        .name = mr_str_from_c("CONTROLLER"),
        .host = mr_str_from_c(mr_node_host(&control->config.nodes, 0)),
        .port = (uint16_t)control->config.nodes.port,
    };
    node->node_id = control->config.nodes.id;
    node->listeners = listener;
    node->listeners_count = 1;
    response->nodes = node;
    response->nodes_count = 1;
    return true;
}

bool
mr_api_describe_quorum(struct mr_control *control, struct mr_ctl_request *request)
{
    const struct mr_describe_quorum_request *body = request->request;
    struct mr_describe_quorum_response *response = request->response;
    bool any = false;
    bool good;

    response->error_message = mr_str_null();
    response->topics_count = body->topics_count > 0 ? body->topics_count : 0;
    response->topics = mr_ctl_array(request, body->topics_count, sizeof(*response->topics));
    good = response->topics != NULL;
    for (int32_t t = 0; good && t < response->topics_count; t++) {
        good =
            describe_quorum_topic(control, request, &body->topics[t], &response->topics[t], &any);
    }
    return good && (!any || describe_quorum_node(control, request));
}

/* ---- features and brokers -------------------------------------------------------------------- */

/* There is none to be updated: each asks for what Millrace does not have. */
bool
mr_api_update_features(struct mr_control *control, struct mr_ctl_request *request)
{
    const struct mr_update_features_request *body = request->request;
    struct mr_update_features_response *response = request->response;

    (void)control;
    response->error_message = mr_str_null();
    if (body->feature_updates_count > 0) {
        response->error_code = MR_KAFKA_INVALID_UPDATE_VERSION;
        response->error_message = mr_ctl_text(request, "this broker does not have the feature %.*s",
                                              body->feature_updates[0].feature.size > 0
                                                  ? (int)body->feature_updates[0].feature.size
                                                  : 0,
                                              body->feature_updates[0].feature.data);
    }
    return true;
}

bool
mr_api_unregister_broker(struct mr_control *control, struct mr_ctl_request *request)
{
    const struct mr_unregister_broker_request *body = request->request;
    struct mr_unregister_broker_response *response = request->response;

    if (mr_node_slot(&control->config.nodes, body->broker_id) >= 0) {
        response->error_code = MR_KAFKA_INVALID_REQUEST;
        response->error_message =
            mr_str_from_c("the last broker of a cluster cannot be unregistered");
    } else {
        response->error_code = MR_KAFKA_BROKER_ID_NOT_REGISTERED;
        response->error_message =
            mr_ctl_text(request, "Broker ID %d is not currently registered", body->broker_id);
    }
    return true;
}

/* ---- transactions ---------------------------------------------------------------------------- */

bool
mr_api_describe_transactions(struct mr_control *control, struct mr_ctl_request *request)
{
    const struct mr_describe_transactions_request *body = request->request;
    struct mr_describe_transactions_response *response = request->response;
    int32_t count = body->transactional_ids_count > 0 ? body->transactional_ids_count : 0;

    (void)control;
    response->transaction_states =
        mr_ctl_array(request, count, sizeof(*response->transaction_states));
    response->transaction_states_count = count;
    for (int32_t i = 0; response->transaction_states && i < count; i++) {
        response->transaction_states[i].transactional_id = body->transactional_ids[i];
        response->transaction_states[i].transaction_state = mr_str_from_c("");
        response->transaction_states[i].error_code =
            (int16_t)(body->transactional_ids[i].size > 0 ? MR_KAFKA_TRANSACTIONAL_ID_NOT_FOUND
                                                          : MR_KAFKA_INVALID_REQUEST);
    }
    return response->transaction_states != NULL;
}

static bool
state_known(struct mr_str state)
{
    static const char *const states[] = {
        "Empty",          "Ongoing",       "PrepareCommit", "PrepareAbort",
        "CompleteCommit", "CompleteAbort", "Dead",          "PrepareEpochFence",
    };

    for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (mr_str_equal_c(state, states[i])) {
            return true;
        }
    }
    return false;
}

/* There is no transaction; what the request names wrongly is told. */
bool
mr_api_list_transactions(struct mr_control *control, struct mr_ctl_request *request)
{
    const struct mr_list_transactions_request *body = request->request;
    struct mr_list_transactions_response *response = request->response;

    (void)control;
    response->unknown_state_filters =
        mr_ctl_array(request, body->state_filters_count, sizeof(*response->unknown_state_filters));
    for (int32_t i = 0; response->unknown_state_filters && i < body->state_filters_count; i++) {
        if (!state_known(body->state_filters[i])) {
            response->unknown_state_filters[response->unknown_state_filters_count++] =
                body->state_filters[i];
        }
    }
    return response->unknown_state_filters != NULL;
}
