/* kafka/metadata.c: Metadata (key 3), with automatic creation of topics.
 *
 * Answered from the shard's snapshot. Topics that are missing and may be created are created first
 * by the control thread; the answer then shows them, so that the client can produce at once. */
#include <errno.h>
#include <string.h>

#include "dataplane/kafka/api.h"
#include "dataplane/kafka/topics.h"

#define VERSION_ALLOW_AUTO_CREATE 4
#define VERSION_NULL_MEANS_ALL    1
#define VERSION_BY_ID             12
#define API_KEY_CREATE_TOPICS     19
#define CREATE_TOPICS_VERSION     5

/* What answers one run: from the snapshot, plus what auto-creation said. */
struct metadata {
    struct mr_metadata_response response;
    struct mr_create_topics_request create;
    struct mr_create_topics_response created;
};

static void *
array(struct mr_request *request, int32_t count, size_t size)
{
    return mr_request_alloc(request, (size_t)(count > 0 ? count : 0), size);
}

static bool
fill_topic(struct mr_request *request, const struct mr_snapshot_topic *topic, int32_t *nodes,
           struct mr_metadata_response_topic *out)
{
    const struct mr_metadata_request *body = request->body;

    out->error_code = MR_KAFKA_NONE;
    out->name = (struct mr_str){topic->name, (int32_t)topic->name_size};
    out->topic_id = topic->id;
    out->is_internal = topic->internal;
    out->topic_authorized_operations =
        body->include_topic_authorized_operations ? MR_TOPIC_OPERATIONS : INT32_MIN;
    out->partitions_count = topic->partition_count;
    out->partitions = array(request, topic->partition_count, sizeof(*out->partitions));
    if (!out->partitions) {
        return false;
    }
    for (int32_t p = 0; p < topic->partition_count; p++) {
        int32_t *leader = &nodes[topic->partitions[p].store % request->server->config.nodes.count];

        out->partitions[p] = (struct mr_metadata_response_partition){
            .partition_index = p,
            .leader_id = *leader,
            .leader_epoch = mr_snapshot_leader_epoch(request->server->snapshot, topic, p),
            .replica_nodes = leader,
            .replica_nodes_count = 1,
            .isr_nodes = leader,
            .isr_nodes_count = 1,
        };
    }
    return true;
}

/* What is said of a topic that does not exist. */
static void
fill_missing(const struct mr_metadata_request_topic *asked, bool by_id,
             const struct mr_create_topics_response_topic *result,
             struct mr_metadata_response_topic *out)
{
    out->name = asked->name;
    out->topic_id = asked->topic_id;
    out->topic_authorized_operations = INT32_MIN;
    if (by_id) {
        out->error_code = MR_KAFKA_UNKNOWN_TOPIC_ID;
        return;
    }
    if (!mr_topic_name_valid(asked->name)) {
        out->error_code = MR_KAFKA_INVALID_TOPIC_EXCEPTION;
        return;
    }
    out->error_code =
        result && result->error_code ? result->error_code : MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

/* Remembers names: a table of places in the request, twice as large as it has topics. */
struct name_set {
    const struct mr_metadata_request_topic *topics;
    int32_t *places; /* -1: free */
    uint32_t mask;
};

static bool
name_set_make(struct name_set *set, struct mr_request *request)
{
    const struct mr_metadata_request *body = request->body;
    uint32_t size = 2;

    while (size < 2 * (uint32_t)body->topics_count) {
        size *= 2;
    }
    set->topics = body->topics;
    set->mask = size - 1;
    set->places = mr_request_alloc(request, size, sizeof(*set->places));
    for (uint32_t i = 0; set->places && i < size; i++) {
        set->places[i] = -1;
    }
    return set->places != NULL;
}

/* False where the name is there already. */
static bool
name_set_add(struct name_set *set, int32_t place)
{
    struct mr_str name = set->topics[place].name;
    uint32_t hash = 2166136261u;

    for (int32_t i = 0; i < name.size; i++) {
        hash = (hash ^ (uint8_t)name.data[i]) * 16777619u;
    }
    for (hash &= set->mask; set->places[hash] >= 0; hash = (hash + 1) & set->mask) {
        if (mr_str_equal(set->topics[set->places[hash]].name, name)) {
            return false;
        }
    }
    set->places[hash] = place;
    return true;
}

static bool
fill_asked(struct mr_request *request, struct metadata *metadata, int32_t *nodes)
{
    const struct mr_metadata_request *body = request->body;
    const struct mr_create_topics_response *created = &metadata->created;
    struct name_set names = {0};
    int32_t next_created = 0;

    metadata->response.topics =
        array(request, body->topics_count, sizeof(*metadata->response.topics));
    if (!metadata->response.topics || !name_set_make(&names, request)) {
        return false;
    }
    for (int32_t i = 0; i < body->topics_count; i++) {
        const struct mr_metadata_request_topic *asked = &body->topics[i];
        struct mr_metadata_response_topic *out =
            &metadata->response.topics[metadata->response.topics_count];
        bool by_id = asked->name.size < 0;
        struct mr_topic_ref ref =
            mr_topic_resolve(request->server, asked->name, &asked->topic_id, by_id);
        const struct mr_create_topics_response_topic *result = NULL;

        if (!by_id && !name_set_add(&names, i)) {
            continue; /* told already */
        }
        metadata->response.topics_count++;

        /* The results come in the order of the request and share its texts. */
        if (!by_id && next_created < created->topics_count &&
            created->topics[next_created].name.data == asked->name.data) {
            result = &created->topics[next_created++];
        }
        if (!ref.topic) {
            fill_missing(asked, by_id, result, out);
        } else if (!fill_topic(request, ref.topic, nodes, out)) {
            return false;
        }
    }
    return true;
}

/* Kafka takes ids from version 12 on only, though versions 10 and 11 have the field. */
static bool
names_by_id_too_early(const struct mr_request *request)
{
    const struct mr_metadata_request *body = request->body;

    for (int32_t i = 0; request->version < VERSION_BY_ID && i < body->topics_count; i++) {
        if (body->topics[i].name.size < 0 || !mr_uuid_is_zero(&body->topics[i].topic_id)) {
            return true;
        }
    }
    return false;
}

/* The whole request is refused; the answer tells nothing of the cluster. */
static void
refuse_ids(struct mr_request *request, struct mr_metadata_response *out)
{
    const struct mr_metadata_request *body = request->body;

    out->topics = array(request, body->topics_count, sizeof(*out->topics));
    out->topics_count = body->topics_count;
    out->cluster_id = mr_str_null();
    out->controller_id = -1;
    out->cluster_authorized_operations = INT32_MIN;
    for (int32_t i = 0; out->topics && i < body->topics_count; i++) {
        struct mr_str name = body->topics[i].name;

        out->topics[i] = (struct mr_metadata_response_topic){
            .error_code = MR_KAFKA_INVALID_REQUEST,
            .name = name.size < 0 ? mr_str_from_c("") : name,
            .topic_id = body->topics[i].topic_id,
            .topic_authorized_operations = INT32_MIN,
        };
    }
    if (out->topics) {
        mr_request_answer(request, out);
    } else {
        mr_request_fail(request);
    }
}

static bool
fill_all(struct mr_request *request, struct metadata *metadata, int32_t *nodes)
{
    const struct mr_snapshot *snapshot = request->server->snapshot;
    const struct mr_snapshot_topic *topic;
    struct mr_topic_walk walk;
    int32_t count = 0;

    metadata->response.topics_count = (int32_t)snapshot->topic_count;
    metadata->response.topics =
        array(request, metadata->response.topics_count, sizeof(*metadata->response.topics));
    mr_snapshot_walk(snapshot, &walk);
    while (metadata->response.topics && (topic = mr_topic_walk_next(&walk))) {
        if (!fill_topic(request, topic, nodes, &metadata->response.topics[count++])) {
            return false;
        }
    }
    return metadata->response.topics;
}

static bool
wants_all(const struct mr_request *request)
{
    const struct mr_metadata_request *body = request->body;

    return request->version >= VERSION_NULL_MEANS_ALL ? body->topics_count < 0
                                                      : body->topics_count <= 0;
}

static void
answer(struct mr_request *request)
{
    const struct mr_nodes *nodes = &request->server->config.nodes;
    const struct mr_metadata_request *body = request->body;
    struct metadata *metadata = request->state_of_handler;
    struct mr_metadata_response *out = &metadata->response;
    int32_t *ids = mr_topic_nodes(request);
    bool filled;

    if (names_by_id_too_early(request)) {
        refuse_ids(request, out);
        return;
    }
    out->brokers_count = (int32_t)nodes->count;
    out->brokers = array(request, out->brokers_count, sizeof(*out->brokers));
    if (!out->brokers || !ids) {
        mr_request_fail(request);
        return;
    }
    for (int32_t i = 0; i < out->brokers_count; i++) {
        out->brokers[i] = (struct mr_metadata_response_broker){
            .node_id = ids[i],
            .host = mr_str_from_c(mr_node_host(nodes, (uint32_t)i)),
            .port = nodes->port + i,
            .rack = nodes->rack[0] ? mr_str_from_c(nodes->rack) : mr_str_null(),
        };
    }
    out->cluster_id = mr_str_from_c(request->server->snapshot->cluster_id_text);
    out->controller_id = nodes->id; /* any reaches the control thread */
    out->cluster_authorized_operations =
        body->include_cluster_authorized_operations ? MR_CLUSTER_OPERATIONS : INT32_MIN;
    filled =
        wants_all(request) ? fill_all(request, metadata, ids) : fill_asked(request, metadata, ids);
    if (filled) {
        mr_request_answer(request, out);
    } else {
        mr_request_fail(request);
    }
}

/* Puts the topics that are missing and may be created into metadata->create, each once; -ENOMEM. */
static int
collect_missing(struct mr_request *request, struct metadata *metadata)
{
    const struct mr_metadata_request *body = request->body;
    bool allowed = request->version < VERSION_ALLOW_AUTO_CREATE || body->allow_auto_topic_creation;
    struct name_set names = {0};

    if (!allowed || !request->server->config.auto_create_topics || wants_all(request)) {
        return 0;
    }
    for (int32_t i = 0; i < body->topics_count; i++) {
        struct mr_str name = body->topics[i].name;
        struct mr_create_topics_request_topic *topic;

        if (!mr_topic_name_valid(name) ||
            mr_topic_resolve(request->server, name, NULL, false).topic) {
            continue;
        }
        if (!metadata->create.topics) {
            metadata->create.topics =
                array(request, body->topics_count, sizeof(*metadata->create.topics));
            if (!metadata->create.topics || !name_set_make(&names, request)) {
                return -ENOMEM;
            }
        }
        if (!name_set_add(&names, i)) {
            continue;
        }
        topic = &metadata->create.topics[metadata->create.topics_count++];
        topic->name = name;
        topic->num_partitions = -1;
        topic->replication_factor = -1;
    }
    return 0;
}

int
mr_metadata_start(struct mr_request *request)
{
    struct metadata *metadata = request->state_of_handler;

    if (!metadata) { /* else it is started again, for a credit */
        metadata = mr_request_alloc(request, 1, sizeof(*metadata));
        if (!metadata || collect_missing(request, metadata) != 0) {
            mr_request_fail(request);
            return 0;
        }
        request->state_of_handler = metadata;
    }
    if (metadata->create.topics_count == 0) {
        answer(request);
        return 0;
    }
    return mr_request_ask_control(request, API_KEY_CREATE_TOPICS, CREATE_TOPICS_VERSION,
                                  &metadata->create, &metadata->created, answer);
}
