/* kafka/cluster.c: DescribeCluster (key 60) and DescribeTopicPartitions (key 75). */
#include <stdlib.h>
#include <string.h>

#include "dataplane/kafka/api.h"
#include "dataplane/kafka/topics.h"

#define ENDPOINT_BROKERS    1
#define ENDPOINT_CONTROLLER 2
#define PARTITIONS_MAX      2000 /* Kafka's max.request.partition.size.limit */

int
mr_describe_cluster_start(struct mr_request *request)
{
    const struct mr_describe_cluster_request *body = request->body;
    const struct mr_nodes *nodes = &request->server->config.nodes;
    struct mr_describe_cluster_response *out = mr_request_alloc(request, 1, sizeof(*out));
    struct mr_describe_cluster_response_broker *brokers =
        mr_request_alloc(request, nodes->count, sizeof(*brokers));

    if (!out || !brokers) {
        mr_request_fail(request);
        return 0;
    }
    out->error_message = mr_str_null();
    out->endpoint_type = body->endpoint_type;
    out->cluster_id = mr_str_from_c(request->server->snapshot->cluster_id_text);
    out->controller_id = nodes->id;
    out->cluster_authorized_operations =
        body->include_cluster_authorized_operations ? MR_CLUSTER_OPERATIONS : INT32_MIN;
    if (body->endpoint_type != ENDPOINT_BROKERS) {
        out->error_code = body->endpoint_type == ENDPOINT_CONTROLLER
                              ? MR_KAFKA_MISMATCHED_ENDPOINT_TYPE
                              : MR_KAFKA_UNSUPPORTED_ENDPOINT_TYPE;
        out->error_message = mr_str_from_c("this is a broker's listener");
        out->endpoint_type = ENDPOINT_BROKERS; /* the field's default: Kafka tells nothing then */
        out->controller_id = -1;
        out->cluster_id = mr_str_from_c("");
        out->cluster_authorized_operations = INT32_MIN;
        mr_request_answer(request, out);
        return 0;
    }
    out->brokers = brokers;
    out->brokers_count = (int32_t)nodes->count;
    for (int32_t i = 0; i < out->brokers_count; i++) {
        brokers[i].broker_id = mr_node_of(nodes, (uint32_t)i);
        brokers[i].host = mr_str_from_c(mr_node_host(nodes, (uint32_t)i));
        brokers[i].port = nodes->port + i;
        brokers[i].rack = nodes->rack[0] ? mr_str_from_c(nodes->rack) : mr_str_null();
    }
    mr_request_answer(request, out);
    return 0;
}

/* ---- DescribeTopicPartitions ----------------------------------------------------------------- */

struct describe {
    struct mr_request *request;
    struct mr_describe_topic_partitions_response *out;
    int32_t left; /* partitions that may still be told */
    int32_t *nodes;
};

static bool
describe_partitions(struct describe *describe, const struct mr_snapshot_topic *topic, int32_t first,
                    struct mr_describe_topic_partitions_response_topic *out)
{
    int32_t count = topic->partition_count - first;

    count = count < describe->left ? count : describe->left;
    out->partitions = mr_request_alloc(describe->request, (size_t)count, sizeof(*out->partitions));
    if (!out->partitions) {
        return false;
    }
    out->partitions_count = count;
    for (int32_t i = 0; i < count; i++) {
        uint16_t store = topic->partitions[first + i].store;
        int32_t *leader = &describe->nodes[store % describe->request->server->config.nodes.count];

        out->partitions[i] = (struct mr_describe_topic_partitions_response_partition){
            .partition_index = first + i,
            .leader_id = *leader,
            .leader_epoch =
                mr_snapshot_leader_epoch(describe->request->server->snapshot, topic, first + i),
            .replica_nodes = leader,
            .replica_nodes_count = 1,
            .isr_nodes = leader,
            .isr_nodes_count = 1,
        };
    }
    describe->left -= count;
    return true;
}

static bool
describe_topic(struct describe *describe, struct mr_str name, int32_t first)
{
    struct mr_request *request = describe->request;
    struct mr_topic_ref ref = mr_topic_resolve(request->server, name, NULL, false);
    struct mr_describe_topic_partitions_response_topic *out =
        &describe->out->topics[describe->out->topics_count++];

    out->name = name;
    out->topic_authorized_operations = MR_TOPIC_OPERATIONS;
    if (!ref.topic) {
        out->error_code = mr_topic_name_valid(name) ? MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                                                    : MR_KAFKA_INVALID_TOPIC_EXCEPTION;
        return true;
    }
    out->topic_id = ref.topic->id;
    out->is_internal = ref.topic->internal;
    if (first >= ref.topic->partition_count) {
        first = ref.topic->partition_count;
    }
    return describe_partitions(describe, ref.topic, first, out);
}

/* Where the next page begins, when this one is full. */
static bool
set_cursor(struct describe *describe, struct mr_str name, int32_t partition)
{
    struct mr_describe_topic_partitions_response_cursor *cursor =
        mr_request_alloc(describe->request, 1, sizeof(*cursor));

    if (!cursor) {
        return false;
    }
    cursor->topic_name = name;
    cursor->partition_index = partition;
    describe->out->next_cursor = cursor;
    return true;
}

static int
name_order(struct mr_str a, struct mr_str b)
{
    int32_t size = a.size < b.size ? a.size : b.size;
    int order = size > 0 ? memcmp(a.data, b.data, (size_t)size) : 0;

    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int
topic_order(const void *a, const void *b)
{
    return name_order(*(const struct mr_str *)a, *(const struct mr_str *)b);
}

/* All topics from the cursor on, as many as a page can have. NULL without memory. */
static struct mr_str *
names_all(const struct describe *describe, int32_t *count)
{
    struct mr_request *request = describe->request;
    const struct mr_describe_topic_partitions_request *body = request->body;
    const struct mr_snapshot *snapshot = request->server->snapshot;
    uint32_t most = (uint32_t)describe->left + 2; /* the cursor's may be at its end, one follows */
    const struct mr_snapshot_topic *topic;
    struct mr_topic_walk walk;
    struct mr_str *names;

    most = most < snapshot->topic_count ? most : snapshot->topic_count;
    names = mr_request_alloc(request, most, sizeof(*names));
    if (body->cursor && body->cursor->topic_name.size > 0) {
        mr_snapshot_walk_names(snapshot, body->cursor->topic_name.data,
                               (uint32_t)body->cursor->topic_name.size, &walk);
    } else {
        mr_snapshot_walk(snapshot, &walk);
    }
    *count = 0;
    while (names && *count < (int32_t)most && (topic = mr_topic_walk_next(&walk))) {
        names[(*count)++] = (struct mr_str){topic->name, (int32_t)topic->name_size};
    }
    return names;
}

/* The names asked for, sorted; all topics where none is named. NULL without memory. */
static struct mr_str *
names_asked(const struct describe *describe, int32_t *count)
{
    struct mr_request *request = describe->request;
    const struct mr_describe_topic_partitions_request *body = request->body;
    struct mr_str *names;

    if (body->topics_count <= 0) {
        return names_all(describe, count);
    }
    *count = body->topics_count;
    names = mr_request_alloc(request, (size_t)*count, sizeof(*names));
    for (int32_t i = 0; names && i < *count; i++) {
        names[i] = body->topics[i].name;
    }
    if (names) {
        qsort(names, (size_t)*count, sizeof(*names), topic_order);
    }
    return names;
}

static bool
describe_all(struct describe *describe, const struct mr_str *names, int32_t count)
{
    const struct mr_describe_topic_partitions_request *body = describe->request->body;

    for (int32_t i = 0; i < count; i++) {
        const struct mr_describe_topic_partitions_response_topic *told;
        int32_t first = 0;

        if (i > 0 && name_order(names[i], names[i - 1]) == 0) {
            continue; /* asked for twice */
        }
        if (body->cursor) {
            int order = name_order(names[i], body->cursor->topic_name);

            if (order < 0) {
                continue;
            }
            first =
                order == 0 && body->cursor->partition_index > 0 ? body->cursor->partition_index : 0;
        }
        if (describe->left == 0) {
            return set_cursor(describe, names[i], first);
        }
        if (!describe_topic(describe, names[i], first)) {
            return false;
        }
        told = &describe->out->topics[describe->out->topics_count - 1];
        if (describe->left == 0 && told->error_code == MR_KAFKA_NONE) {
            const struct mr_snapshot_topic *topic =
                mr_topic_resolve(describe->request->server, names[i], NULL, false).topic;

            if (first + told->partitions_count < topic->partition_count) {
                return set_cursor(describe, names[i], first + told->partitions_count);
            }
        }
    }
    return true;
}

/* A cursor is at a partition of a topic that is asked for. */
static bool
cursor_valid(const struct mr_describe_topic_partitions_request *body)
{
    bool found = body->topics_count <= 0;

    for (int32_t i = 0; body->cursor && i < body->topics_count; i++) {
        found |= name_order(body->topics[i].name, body->cursor->topic_name) == 0;
    }
    return !body->cursor || (found && body->cursor->partition_index >= 0);
}

static void
refuse_all(struct describe *describe)
{
    const struct mr_describe_topic_partitions_request *body = describe->request->body;

    for (int32_t i = 0; i < body->topics_count; i++) {
        describe->out->topics[describe->out->topics_count++] =
            (struct mr_describe_topic_partitions_response_topic){
                .error_code = MR_KAFKA_INVALID_REQUEST,
                .name = body->topics[i].name,
                .topic_authorized_operations = INT32_MIN,
            };
    }
    mr_request_answer(describe->request, describe->out);
}

int
mr_describe_topic_partitions_start(struct mr_request *request)
{
    const struct mr_describe_topic_partitions_request *body = request->body;
    struct describe describe = {.request = request};
    struct mr_str *names;
    int32_t count;

    describe.left = body->response_partition_limit < 1 ? 1 : body->response_partition_limit;
    describe.left = describe.left < PARTITIONS_MAX ? describe.left : PARTITIONS_MAX;
    describe.out = mr_request_alloc(request, 1, sizeof(*describe.out));
    describe.nodes = mr_topic_nodes(request);
    names = names_asked(&describe, &count);
    if (describe.out && names) {
        describe.out->topics =
            mr_request_alloc(request, (size_t)count, sizeof(*describe.out->topics));
    }
    if (!names || !describe.out || !describe.out->topics || !describe.nodes) {
        mr_request_fail(request);
        return 0;
    }
    if (!cursor_valid(body)) {
        refuse_all(&describe);
        return 0;
    }
    if (describe_all(&describe, names, count)) {
        mr_request_answer(request, describe.out);
    } else {
        mr_request_fail(request);
    }
    return 0;
}
