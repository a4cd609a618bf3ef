/* kafka/topics.c: lookups in the snapshot, as requests need them. */
#include "dataplane/kafka/topics.h"

#include <string.h>

#include "storage/log.h"

struct mr_topic_ref
mr_topic_resolve(const struct mr_server *server, struct mr_str name, const struct mr_uuid *id,
                 bool by_id)
{
    struct mr_topic_ref ref = {NULL, MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION};

    if (by_id) {
        ref.error = MR_KAFKA_UNKNOWN_TOPIC_ID;
        ref.topic = mr_snapshot_topic_by_id(server->snapshot, id);
    } else if (name.size > 0) {
        ref.topic = mr_snapshot_topic_by_name(server->snapshot, name.data, (uint32_t)name.size);
    }
    if (ref.topic) {
        ref.error = MR_KAFKA_NONE;
    }
    return ref;
}

uint16_t
mr_topic_shard(const struct mr_server *server, const struct mr_snapshot_topic *topic,
               int32_t partition)
{
    if (partition < 0 || partition >= topic->partition_count) {
        return UINT16_MAX;
    }
    return (uint16_t)(topic->partitions[partition].store % server->shard->shard_count);
}

enum mr_kafka_err
mr_topic_check_epoch(const struct mr_server *server, const struct mr_snapshot_topic *topic,
                     int32_t partition, int32_t epoch)
{
    int32_t current = mr_snapshot_leader_epoch(server->snapshot, topic, partition);

    if (epoch < 0 || epoch == current) {
        return MR_KAFKA_NONE;
    }
    return epoch < current ? MR_KAFKA_FENCED_LEADER_EPOCH : MR_KAFKA_UNKNOWN_LEADER_EPOCH;
}

struct mr_store *
mr_topic_store(const struct mr_server *owner, const struct mr_log_id *id,
               const struct mr_snapshot_topic **topic_out)
{
    const struct mr_snapshot_topic *topic = mr_snapshot_topic_by_id(owner->snapshot, &id->topic_id);

    if (!topic || id->partition < 0 || id->partition >= topic->partition_count) {
        return NULL;
    }
    if (topic_out) {
        *topic_out = topic;
    }
    return mr_server_store(owner, topic->partitions[id->partition].store);
}

int32_t *
mr_topic_nodes(struct mr_request *request)
{
    const struct mr_nodes *nodes = &request->server->config.nodes;
    int32_t *ids = mr_request_alloc(request, nodes->count, sizeof(*ids));

    for (uint32_t i = 0; ids && i < nodes->count; i++) {
        ids[i] = mr_node_of(nodes, i);
    }
    return ids;
}

bool
mr_topic_name_valid(struct mr_str name)
{
    if (name.size < 1 || name.size > (int32_t)MR_TOPIC_NAME_MAX) {
        return false;
    }
    for (int32_t i = 0; i < name.size; i++) {
        char c = name.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-')) {
            return false;
        }
    }
    return !(name.size == 1 && name.data[0] == '.') &&
           !(name.size == 2 && memcmp(name.data, "..", 2) == 0);
}
