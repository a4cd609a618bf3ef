#include "bench/load/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/cli/client.h"
#include "dataplane/base/kafka_err.h"
#include "dataplane/kafka/wire/wire.h"

#define TIMEOUT_MS     30000
#define ATTEMPTS       100
#define PAUSE_NS       100000000
#define TIMESTAMP_NEW  (-1) /* ListOffsets: the log's end */
#define TIMESTAMP_OLD  (-2) /* ListOffsets: its beginning */
#define PARTITIONS_MAX 100000

static int
complain(const char *what, const char *why)
{
    fprintf(stderr, "mr_load: %s: %s\n", what, why);
    return -EPROTO;
}

static int
create_topic(struct mr_client *client, const struct load_options *options)
{
    struct mr_create_topics_request_topic topic = {.name = mr_str_from_c(options->topic),
                                                   .num_partitions = options->partitions,
                                                   .replication_factor =
                                                       (int16_t)options->replication_factor};
    struct mr_create_topics_request request;
    const struct mr_create_topics_response *response;
    const void *answer;
    int rc;

    mr_wire_init(&mr_create_topics_request_message, &request);
    request.topics = &topic;
    request.topics_count = 1;
    rc = mr_client_call(client, MR_API_CREATE_TOPICS, &request, &answer);
    if (rc != 0) {
        complain("CreateTopics", mr_client_error(client));
        return rc;
    }
    response = answer;
    if (response->topics_count != 1 || response->topics[0].error_code != 0) {
        return complain("CreateTopics", response->topics_count != 1
                                            ? "no answer"
                                            : mr_kafka_err_name(response->topics[0].error_code));
    }
    return 0;
}

static bool
all_led(const struct mr_metadata_response_topic *topic)
{
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        if (topic->partitions[i].leader_id < 0) {
            return false;
        }
    }
    return topic->partitions_count > 0 && topic->partitions_count <= PARTITIONS_MAX;
}

/* Creates the topic when it is found missing and waits until each partition has a leader. */
static int
find_topic(struct mr_client *client, const struct load_options *options,
           const struct mr_metadata_response **out)
{
    struct mr_metadata_request_topic wanted = {.name = mr_str_from_c(options->topic)};
    struct mr_metadata_request request;
    bool created = false;

    mr_wire_init(&mr_metadata_request_message, &request);
    request.topics = &wanted;
    request.topics_count = 1;
    request.allow_auto_topic_creation = false;
    for (int i = 0; i < ATTEMPTS; i++) {
        struct timespec pause = {.tv_nsec = PAUSE_NS};
        const struct mr_metadata_response *response;
        const void *answer;
        int rc = mr_client_call(client, MR_API_METADATA, &request, &answer);

        if (rc != 0) {
            complain("Metadata", mr_client_error(client));
            return rc;
        }
        response = answer;
        if (response->topics_count == 1 && response->topics[0].error_code == 0 &&
            all_led(&response->topics[0])) {
            *out = response;
            return 0;
        }
        if (!created && response->topics_count == 1 &&
            response->topics[0].error_code == MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION) {
            rc = create_topic(client, options);
            if (rc != 0) {
                return rc;
            }
            created = true;
        }
        nanosleep(&pause, NULL);
    }
    return complain(options->topic, "the topic's partitions have no leaders");
}

static struct load_node *
node_of(struct load_plan *plan, const struct mr_metadata_response *response, int32_t id)
{
    for (int32_t i = 0; i < plan->node_count; i++) {
        if (plan->nodes[i].id == id) {
            return &plan->nodes[i];
        }
    }
    for (int32_t i = 0; i < response->brokers_count; i++) {
        const struct mr_metadata_response_broker *broker = &response->brokers[i];
        struct load_node *node = &plan->nodes[plan->node_count];

        if (broker->node_id == id) {
            node->id = id;
            snprintf(node->host, sizeof(node->host), "%.*s", broker->host.size, broker->host.data);
            snprintf(node->port, sizeof(node->port), "%u", (unsigned)(uint16_t)broker->port);
            plan->node_count++;
            return node;
        }
    }
    return NULL;
}

static int
learn_topic(struct load_plan *plan, const struct mr_metadata_response *response)
{
    const struct mr_metadata_response_topic *topic = &response->topics[0];
    size_t count = (size_t)topic->partitions_count;

    plan->topic_id = topic->topic_id;
    plan->partition_count = topic->partitions_count;
    plan->nodes = calloc((size_t)response->brokers_count + 1, sizeof(*plan->nodes));
    if (!plan->nodes) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        struct load_node *node = node_of(plan, response, topic->partitions[i].leader_id);

        if (!node) {
            return complain("Metadata", "a partition's leader is not among the brokers");
        }
        if (!node->partitions) {
            node->partitions = calloc(count, sizeof(*node->partitions));
        }
        if (!node->partitions) {
            return -ENOMEM;
        }
        node->partitions[node->partition_count++] = topic->partitions[i].partition_index;
    }
    return 0;
}

static int
learn_versions(struct load_plan *plan, const struct mr_client *client)
{
    plan->produce_version = mr_client_version(client, MR_API_PRODUCE);
    plan->fetch_version = mr_client_version(client, MR_API_FETCH);
    return plan->produce_version < 0 ? complain("ApiVersions", "no common version of Produce") : 0;
}

/* A broker may need a moment for the first id. */
static int
learn_producer(struct mr_client *client, const struct mr_init_producer_id_request *request,
               struct load_producer *out)
{
    int16_t code = 0;

    for (int i = 0; i < ATTEMPTS; i++) {
        struct timespec pause = {.tv_nsec = PAUSE_NS};
        const struct mr_init_producer_id_response *response;
        const void *answer;
        int rc = mr_client_call(client, MR_API_INIT_PRODUCER_ID, request, &answer);

        if (rc != 0) {
            complain("InitProducerId", mr_client_error(client));
            return rc;
        }
        response = answer;
        code = response->error_code;
        if (code == 0) {
            *out = (struct load_producer){response->producer_id, response->producer_epoch};
            return 0;
        }
        if (code != MR_KAFKA_COORDINATOR_LOAD_IN_PROGRESS &&
            code != MR_KAFKA_COORDINATOR_NOT_AVAILABLE) {
            break;
        }
        nanosleep(&pause, NULL);
    }
    return complain("InitProducerId", mr_kafka_err_name(code));
}

static int
learn_producers(struct load_plan *plan, struct mr_client *client, int32_t connections)
{
    struct mr_init_producer_id_request request;

    plan->producers = calloc((size_t)connections, sizeof(*plan->producers));
    if (!plan->producers) {
        return -ENOMEM;
    }
    mr_wire_init(&mr_init_producer_id_request_message, &request);
    request.transactional_id = mr_str_null();
    request.transaction_timeout_ms = TIMEOUT_MS;
    for (int32_t i = 0; i < connections; i++) {
        int rc = learn_producer(client, &request, &plan->producers[i]);

        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* Asks one leader for one end of all its partitions. */
static int
list_offsets(struct load_plan *plan, struct mr_client *client, const struct load_node *node,
             const char *topic_name, int64_t timestamp)
{
    struct mr_list_offsets_request_partition *partitions =
        calloc((size_t)node->partition_count, sizeof(*partitions));
    struct mr_list_offsets_request_topic topic = {.name = mr_str_from_c(topic_name),
                                                  .partitions = partitions,
                                                  .partitions_count = node->partition_count};
    struct mr_list_offsets_request request;
    const struct mr_list_offsets_response *response;
    const void *answer;
    int rc;

    if (!partitions) {
        return -ENOMEM;
    }
    for (int32_t i = 0; i < node->partition_count; i++) {
        partitions[i].partition_index = node->partitions[i];
        partitions[i].current_leader_epoch = -1;
        partitions[i].timestamp = timestamp;
    }
    mr_wire_init(&mr_list_offsets_request_message, &request);
    request.replica_id = -1;
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = TIMEOUT_MS;
    rc = mr_client_call(client, MR_API_LIST_OFFSETS, &request, &answer);
    free(partitions);
    if (rc != 0) {
        complain("ListOffsets", mr_client_error(client));
        return rc;
    }
    response = answer;
    for (int32_t i = 0; response->topics_count == 1 && i < response->topics[0].partitions_count;
         i++) {
        const struct mr_list_offsets_response_partition *part = &response->topics[0].partitions[i];

        if (part->error_code != 0) {
            return complain("ListOffsets", mr_kafka_err_name(part->error_code));
        }
        if (part->partition_index < 0 || part->partition_index >= plan->partition_count) {
            return complain("ListOffsets", "an answer about an unknown partition");
        }
        if (timestamp == TIMESTAMP_OLD) {
            plan->offsets[part->partition_index].begin = part->offset;
        } else {
            plan->offsets[part->partition_index].end = part->offset;
        }
    }
    return 0;
}

static int
learn_offsets(struct load_plan *plan, const char *topic, const struct mr_client_io *io)
{
    plan->offsets = calloc((size_t)plan->partition_count, sizeof(*plan->offsets));
    if (!plan->offsets) {
        return -ENOMEM;
    }
    for (int32_t i = 0; i < plan->node_count; i++) {
        char address[LOAD_HOST_MAX + 16], error[MR_CLIENT_ERROR_SIZE];
        struct mr_client *client;
        int rc;

        snprintf(address, sizeof(address), strchr(plan->nodes[i].host, ':') ? "[%s]:%s" : "%s:%s",
                 plan->nodes[i].host, plan->nodes[i].port);
        rc = mr_client_open_over(&client, io, address, "mr_load", TIMEOUT_MS, error);
        if (rc != 0) {
            complain("ListOffsets", error);
            return rc;
        }
        rc = list_offsets(plan, client, &plan->nodes[i], topic, TIMESTAMP_OLD);
        if (rc == 0) {
            rc = list_offsets(plan, client, &plan->nodes[i], topic, TIMESTAMP_NEW);
        }
        mr_client_close(client);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int
load_plan_make(struct load_plan *plan, const struct load_options *options,
               const struct mr_client_io *io)
{
    const struct mr_metadata_response *response;
    char error[MR_CLIENT_ERROR_SIZE];
    struct mr_client *client;
    int rc;

    *plan = (struct load_plan){0};
    rc = mr_client_open_over(&client, io, options->servers, "mr_load", TIMEOUT_MS, error);
    if (rc != 0) {
        fprintf(stderr, "mr_load: %s\n", error);
        return rc;
    }
    rc = learn_versions(plan, client);
    if (rc == 0) {
        rc = find_topic(client, options, &response);
    }
    if (rc == 0) {
        rc = learn_topic(plan, response);
    }
    if (rc == 0 && options->idempotent) {
        rc = learn_producers(plan, client, options->connections);
    }
    mr_client_close(client);
    if (rc == 0 && options->fetch) {
        rc = plan->fetch_version < 0 ? complain("ApiVersions", "no common version of Fetch")
                                     : learn_offsets(plan, options->topic, io);
    }
    if (rc == 0 && plan->node_count > options->connections) {
        rc = complain("--connections", "fewer than there are brokers that lead partitions");
    }
    if (rc != 0) {
        load_plan_free(plan);
    }
    return rc;
}

void
load_plan_free(struct load_plan *plan)
{
    for (int32_t i = 0; i < plan->node_count; i++) {
        free(plan->nodes[i].partitions);
    }
    free(plan->nodes);
    free(plan->offsets);
    free(plan->producers);
    *plan = (struct load_plan){0};
}
