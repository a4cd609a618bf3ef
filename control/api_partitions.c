/* control/api_partitions.c: CreatePartitions (key 37), and what is left of replica placement on one
 * broker: ElectLeaders (43), AlterPartitionReassignments (45), ListPartitionReassignments (46). */
#include <stdlib.h>
#include <string.h>

#include "control/api.h"
#include "control/placement.h"

/* ---- CreatePartitions ------------------------------------------------------------------------ */

static void
refuse(struct mr_create_partitions_response_topic *answer, enum mr_kafka_err error,
       struct mr_str message)
{
    answer->error_code = (int16_t)error;
    answer->error_message = message;
}

/* Each new partition goes to one broker of this machine; which, goes to `places`. */
static bool
judge_assignments(struct mr_control *control, struct mr_ctl_request *request,
                  const struct mr_create_partitions_request_topic *topic, int32_t added,
                  uint16_t **places, struct mr_create_partitions_response_topic *answer)
{
    const struct mr_nodes *nodes = &control->config.nodes;

    if (topic->assignments_count < 0) {
        return true; /* null: placed by the broker */
    }
    if (topic->assignments_count != added) {
        refuse(answer, MR_KAFKA_INVALID_REPLICA_ASSIGNMENT,
               mr_ctl_text(request, "%d partitions more, but %d assignments", added,
                           topic->assignments_count));
        return false;
    }
    *places = mr_ctl_array(request, added, sizeof(**places));
    for (int32_t i = 0; i < added; i++) {
        const struct mr_create_partitions_request_assignment *one = &topic->assignments[i];

        if (!*places || one->broker_ids_count != 1 ||
            !mr_node_can_hold(control, one->broker_ids[0])) {
            refuse(answer, MR_KAFKA_INVALID_REPLICA_ASSIGNMENT,
                   mr_ctl_text(request, "every partition must be assigned to broker %d alone",
                               nodes->id));
            return false;
        }
        (*places)[i] = (uint16_t)mr_node_slot(nodes, one->broker_ids[0]);
    }
    return true;
}

static bool
judge(struct mr_control *control, struct mr_ctl_request *request,
      const struct mr_create_partitions_request_topic *in, const struct mr_snapshot_topic *topic,
      uint16_t **places, struct mr_create_partitions_response_topic *answer)
{
    if (!topic) {
        refuse(answer, MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION, mr_str_null());
        return false;
    }
    if (in->count == topic->partition_count) {
        refuse(answer, MR_KAFKA_INVALID_PARTITIONS,
               mr_ctl_text(request, "Topic already has %d partition(s).", in->count));
        return false;
    }
    if (in->count < topic->partition_count) {
        refuse(answer, MR_KAFKA_INVALID_PARTITIONS,
               mr_ctl_text(request,
                           "The topic %s currently has %d partition(s); %d would not be an "
                           "increase.",
                           topic->name, topic->partition_count, in->count));
        return false;
    }
    if (topic->internal) { /* groups belong to partitions by their number */
        refuse(answer, MR_KAFKA_INVALID_PARTITIONS,
               mr_str_from_c("the number of partitions of an internal topic is fixed"));
        return false;
    }
    if (in->count > (int32_t)MR_METADATA_TOPIC_PARTITIONS_MAX) {
        refuse(answer, MR_KAFKA_INVALID_PARTITIONS,
               mr_ctl_text(request, "a topic has at most %u partitions",
                           MR_METADATA_TOPIC_PARTITIONS_MAX));
        return false;
    }
    if (!mr_partitions_fit(control, (uint32_t)(in->count - topic->partition_count))) {
        refuse(answer, MR_KAFKA_POLICY_VIOLATION, mr_str_from_c(MR_PARTITIONS_FULL));
        return false;
    }
    return judge_assignments(control, request, in, in->count - topic->partition_count, places,
                             answer);
}

static void
on_grown(struct mr_proposal *proposal, const struct mr_metadata_outcome *outcome)
{
    if (outcome->error) {
        refuse(proposal->slot, outcome->error, mr_str_from_c(mr_kafka_err_text(outcome->error)));
    }
}

static enum mr_kafka_err
propose_growth(struct mr_op *op, const struct mr_snapshot_topic *topic, uint32_t count,
               const uint16_t *places, struct mr_create_partitions_response_topic *answer)
{
    struct mr_control *control = op->control;
    uint32_t before = (uint32_t)topic->partition_count;
    size_t capacity = 64 + (size_t)2 * (count - before);
    uint16_t *stores = mr_partitions_place(control, places, count - before);
    uint8_t *bytes = malloc(capacity);
    enum mr_kafka_err error = MR_KAFKA_UNKNOWN_SERVER_ERROR;

    if (stores && bytes) {
        error = mr_propose(
            control, op, bytes,
            mr_metadata_encode_grow_topic(bytes, capacity, &topic->id, before, count, stores),
            on_grown, answer);
    }
    if (error == MR_KAFKA_NONE) {
        mr_partitions_proposed(control, count - before);
    }
    free(stores);
    free(bytes);
    return error;
}

static void
create_partitions(struct mr_op *op, const struct mr_snapshot *snapshot,
                  const struct mr_create_partitions_request_topic *in, bool named_twice,
                  struct mr_create_partitions_response_topic *answer)
{
    const struct mr_create_partitions_request *body = op->request->request;
    const struct mr_snapshot_topic *topic = mr_topic_find(snapshot, in->name);
    uint16_t *places = NULL;
    enum mr_kafka_err error;

    answer->name = in->name;
    answer->error_message = mr_str_null();
    if (named_twice) {
        refuse(answer, MR_KAFKA_INVALID_REQUEST, mr_str_from_c("the topic is named twice"));
        return;
    }
    if (!judge(op->control, op->request, in, topic, &places, answer) || body->validate_only) {
        return;
    }
    error = propose_growth(op, topic, (uint32_t)in->count, places, answer);
    if (error) {
        refuse(answer, error, mr_str_from_c(mr_kafka_err_text(error)));
    }
}

void
mr_api_create_partitions(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_create_partitions_request *body = request->request;
    struct mr_create_partitions_response *response = request->response;
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    struct mr_str *names = mr_ctl_array(request, body->topics_count, sizeof(*names));
    uint8_t *twice;
    struct mr_op *op = NULL;

    response->results = mr_ctl_array(request, body->topics_count, sizeof(*response->results));
    for (int32_t i = 0; names && i < body->topics_count; i++) {
        names[i] = body->topics[i].name;
    }
    twice = names ? mr_ctl_named_twice(request, names, body->topics_count) : NULL;
    if (!twice || !response->results || !snapshot) {
        mr_ctl_fail(control, request, from);
    } else {
        op = mr_op_begin(control, request, from);
    }
    for (int32_t i = 0; op && i < body->topics_count; i++) {
        if (twice[i] != MR_CTL_LATER) { /* Kafka answers once */
            create_partitions(op, snapshot, &body->topics[i], twice[i] != 0,
                              &response->results[response->results_count++]);
        }
    }
    if (op) {
        mr_op_go(op);
    }
    if (snapshot) {
        mr_metadata_snapshot_release(snapshot);
    }
}

/* ---- ElectLeaders ---------------------------------------------------------------------------- */

#define ELECTION_TYPE_LAST 1 /* 0: the preferred replica; 1: any */

static void
elect(const struct mr_elect_leaders_request *body, const struct mr_snapshot_topic *topic,
      int32_t partition, struct mr_elect_leaders_response_partition *out)
{
    enum mr_kafka_err error = MR_KAFKA_ELECTION_NOT_NEEDED;

    if (body->election_type < 0 || body->election_type > ELECTION_TYPE_LAST) {
        error = MR_KAFKA_INVALID_REQUEST;
    } else if (!topic || partition < 0 || partition >= topic->partition_count) {
        error = MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    *out = (struct mr_elect_leaders_response_partition){
        .partition_id = partition,
        .error_code = (int16_t)error,
        .error_message = mr_str_from_c(mr_kafka_err_text(error)),
    };
}

static bool
elect_named(struct mr_ctl_request *request, const struct mr_snapshot *snapshot)
{
    const struct mr_elect_leaders_request *body = request->request;
    struct mr_elect_leaders_response *response = request->response;

    for (int32_t t = 0; t < body->topic_partitions_count; t++) {
        const struct mr_elect_leaders_request_topic *in = &body->topic_partitions[t];
        struct mr_elect_leaders_response_topic *out = &response->replica_election_results[t];

        out->topic = in->topic;
        out->partition_result =
            mr_ctl_array(request, in->partitions_count, sizeof(*out->partition_result));
        if (!out->partition_result) {
            return false;
        }
        out->partition_result_count = in->partitions_count > 0 ? in->partitions_count : 0;
        for (int32_t p = 0; p < out->partition_result_count; p++) {
            elect(body, mr_topic_find(snapshot, in->topic), in->partitions[p],
                  &out->partition_result[p]);
        }
    }
    return true;
}

/* Of all partitions only those are told that took an election: none, but every topic is named. */
static bool
elect_all(struct mr_ctl_request *request, const struct mr_snapshot *snapshot)
{
    struct mr_elect_leaders_response *response = request->response;
    struct mr_elect_leaders_response_topic *out = response->replica_election_results;
    const struct mr_snapshot_topic *topic;
    struct mr_topic_walk walk;

    mr_snapshot_walk(snapshot, &walk);
    while ((topic = mr_topic_walk_next(&walk))) {
        out->topic = mr_ctl_copy(request, topic->name);
        if (out->topic.size < 0) {
            return false;
        }
        out++;
    }
    return true;
}

bool
mr_api_elect_leaders(struct mr_control *control, struct mr_ctl_request *request)
{
    const struct mr_elect_leaders_request *body = request->request;
    struct mr_elect_leaders_response *response = request->response;
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    bool all = body->topic_partitions_count < 0;
    bool good;

    if (!snapshot) {
        return false;
    }
    response->replica_election_results_count =
        all ? (int32_t)snapshot->topic_count : body->topic_partitions_count;
    response->replica_election_results =
        mr_ctl_array(request, response->replica_election_results_count,
                     sizeof(*response->replica_election_results));
    if (body->election_type < 0 || body->election_type > ELECTION_TYPE_LAST) {
        response->error_code = MR_KAFKA_INVALID_REQUEST;
    }
    good = response->replica_election_results &&
           (all ? elect_all(request, snapshot) : elect_named(request, snapshot));
    mr_metadata_snapshot_release(snapshot);
    return good;
}

/* ---- reassignments --------------------------------------------------------------------------- */

/* The only replica is on this broker: to move it there is nothing to do. */
static enum mr_kafka_err
reassign(const struct mr_control *control, const struct mr_snapshot_topic *topic,
         const struct mr_alter_partition_reassignments_request_partition *partition)
{
    if (!topic || partition->partition_index < 0 ||
        partition->partition_index >= topic->partition_count) {
        return MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    if (partition->replicas_count < 0) {
        return MR_KAFKA_NO_REASSIGNMENT_IN_PROGRESS; /* null: to be cancelled */
    }
    return partition->replicas_count == 1 &&
                   partition->replicas[0] ==
                       mr_node_of(&control->config.nodes,
                                  topic->partitions[partition->partition_index].store)
               ? MR_KAFKA_NONE
               : MR_KAFKA_INVALID_REPLICA_ASSIGNMENT;
}

static bool
reassign_topic(struct mr_control *control, struct mr_ctl_request *request,
               const struct mr_snapshot_topic *topic,
               const struct mr_alter_partition_reassignments_request_topic *in,
               struct mr_alter_partition_reassignments_response_topic *out)
{
    out->name = in->name;
    out->partitions_count = in->partitions_count > 0 ? in->partitions_count : 0;
    out->partitions = mr_ctl_array(request, in->partitions_count, sizeof(*out->partitions));
    for (int32_t p = 0; out->partitions && p < out->partitions_count; p++) {
        enum mr_kafka_err error = reassign(control, topic, &in->partitions[p]);

        out->partitions[p] = (struct mr_alter_partition_reassignments_response_partition){
            .partition_index = in->partitions[p].partition_index,
            .error_code = (int16_t)error,
            .error_message = error ? mr_str_from_c(mr_kafka_err_text(error)) : mr_str_null(),
        };
    }
    return out->partitions != NULL;
}

bool
mr_api_alter_reassignments(struct mr_control *control, struct mr_ctl_request *request)
{
    const struct mr_alter_partition_reassignments_request *body = request->request;
    struct mr_alter_partition_reassignments_response *response = request->response;
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    bool good = snapshot != NULL;

    response->error_message = mr_str_null();
    /* Kafka repeats the request's only where there was something to do. */
    response->allow_replication_factor_change =
        body->topics_count <= 0 || body->allow_replication_factor_change;
    response->responses_count = body->topics_count > 0 ? body->topics_count : 0;
    response->responses = mr_ctl_array(request, body->topics_count, sizeof(*response->responses));
    good &= response->responses != NULL;
    for (int32_t t = 0; good && t < response->responses_count; t++) {
        good = reassign_topic(control, request, mr_topic_find(snapshot, body->topics[t].name),
                              &body->topics[t], &response->responses[t]);
    }
    if (snapshot) {
        mr_metadata_snapshot_release(snapshot);
    }
    return good;
}

bool
mr_api_list_reassignments(struct mr_control *control, struct mr_ctl_request *request)
{
    struct mr_list_partition_reassignments_response *response = request->response;

    (void)control; /* nothing is ever under way */
    response->error_message = mr_str_null();
    return true;
}
