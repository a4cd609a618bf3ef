/* control/metadata.c: commands are applied: topics, tombstones, producer ids, the generation. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/metadata_internal.h"

#define STATE_FIXED_BYTES 64u /* at most, of a saved state's head and counts */
#define GRAVE_BYTES       20u

/* ---- what the parts share -------------------------------------------------------------------- */

void
metadata_changed(struct mr_metadata *metadata)
{
    metadata->epoch++;
    if (metadata->snapshot) {
        mr_metadata_snapshot_release(&metadata->snapshot->view);
        metadata->snapshot = NULL;
    }
}

int
metadata_topic_add(struct mr_metadata *metadata, struct metadata_topic *topic)
{
    const struct mr_snapshot_topic *view = &topic->view;
    int error = metadata_topics_insert(&metadata->topics, topic);

    if (error) {
        return error;
    }
    metadata->partition_count += (uint32_t)view->partition_count;
    for (int32_t p = 0; p < view->partition_count; p++) {
        metadata->store_load[view->partitions[p].store]++;
    }
    return 0;
}

bool
metadata_has_room(const struct mr_metadata *metadata, uint64_t bytes)
{
    return STATE_FIXED_BYTES + metadata->topics.bytes + metadata->setting_bytes +
               metadata->grave_count * GRAVE_BYTES + metadata->tombstone_count * 6ull + bytes <=
           MR_METADATA_STATE_MAX;
}

/* ---- applying -------------------------------------------------------------------------------- */

/* Puts the topic into the state, unless something speaks against it. */
static int
create_topic(struct mr_metadata *metadata, struct metadata_topic *topic,
             struct mr_metadata_outcome *outcome)
{
    struct topic_key key = topic_key_of(&topic->view);
    int error;

    if (topic_tree_find(&metadata->topics.by_name, &key)) {
        outcome->error = MR_KAFKA_TOPIC_ALREADY_EXISTS;
        return 0;
    }
    if ((uint32_t)topic->view.partition_count >
            MR_METADATA_PARTITIONS_MAX - metadata->partition_count ||
        !metadata_has_room(metadata, metadata_topic_bytes(topic))) {
        outcome->error = MR_KAFKA_POLICY_VIOLATION;
        return 0;
    }
    topic->view.generation_created = metadata->generation;
    error = metadata_topic_add(metadata, topic);
    if (error) {
        return error == -EEXIST ? -EBADMSG : error; /* two topics of one id */
    }
    metadata_changed(metadata);
    return 0;
}

static int
apply_create(struct mr_metadata *metadata, struct metadata_reader *reader,
             struct mr_metadata_outcome *outcome)
{
    struct metadata_topic *topic = metadata_get_topic(reader, &metadata->effective);
    int error;

    if (!topic) {
        return reader->bad ? -EBADMSG : -ENOMEM;
    }
    error = create_topic(metadata, topic, outcome);
    metadata_topic_release(topic);
    return error;
}

static int
apply_delete(struct mr_metadata *metadata, const struct mr_uuid *id,
             struct mr_metadata_outcome *outcome)
{
    struct metadata_topic *topic = metadata_topic_find(&metadata->topics, id);
    int error;

    if (!topic) {
        outcome->error = MR_KAFKA_UNKNOWN_TOPIC_ID;
        return 0;
    }
    error = metadata_topics_own(&metadata->topics, topic);
    error = error ? error : metadata_bury(metadata, &topic->view);
    if (error) {
        return error;
    }
    for (int32_t p = 0; p < topic->view.partition_count; p++) {
        metadata->store_load[topic->view.partitions[p].store]--;
    }
    metadata->partition_count -= (uint32_t)topic->view.partition_count;
    metadata_topics_remove(&metadata->topics, topic);
    metadata_changed(metadata);
    return 0;
}

/* The new partitions start at leader epoch 0 plus the generations since the topic's creation. */
static int
grow_topic(struct mr_metadata *metadata, struct metadata_topic *old, uint32_t count,
           const uint8_t *stores)
{
    uint32_t count_before = (uint32_t)old->view.partition_count;
    struct metadata_topic *topic = metadata_topic_clone(old, count);
    struct mr_snapshot_partition *partitions;

    if (!topic) {
        return -ENOMEM;
    }
    if (metadata_topics_own(&metadata->topics, old) != 0) {
        metadata_topic_release(topic);
        return -ENOMEM;
    }
    partitions = (struct mr_snapshot_partition *)(uintptr_t)topic->view.partitions;
    for (uint32_t p = count_before; p < count; p++) {
        partitions[p].store = mr_le16_get(stores + (size_t)2 * (p - count_before));
        metadata->store_load[partitions[p].store]++;
    }
    metadata->partition_count += count - count_before;
    metadata_topics_replace(&metadata->topics, old, topic);
    metadata_topic_release(topic);
    metadata_changed(metadata);
    return 0;
}

static int
apply_grow(struct mr_metadata *metadata, struct metadata_reader *reader,
           struct mr_metadata_outcome *outcome)
{
    struct mr_uuid id = get_uuid(reader);
    uint32_t count_before = get_u32(reader);
    uint32_t count = get_u32(reader);
    uint32_t added = count - count_before;
    struct metadata_topic *topic;
    const uint8_t *stores;

    if (reader->bad || count <= count_before || added > reader->left / 2) {
        return -EBADMSG;
    }
    stores = get_raw(reader, (size_t)2 * added);
    topic = metadata_topic_find(&metadata->topics, &id);
    if (!topic) {
        outcome->error = MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    } else if ((uint32_t)topic->view.partition_count != count_before) {
        outcome->error = MR_KAFKA_INVALID_PARTITIONS; /* another has been faster */
    } else if (added > MR_METADATA_PARTITIONS_MAX - metadata->partition_count ||
               !metadata_has_room(metadata, added * 6ull)) {
        outcome->error = MR_KAFKA_POLICY_VIOLATION;
    } else {
        return grow_topic(metadata, topic, count, stores);
    }
    return 0;
}

static int
apply_logs_deleted(struct mr_metadata *metadata, struct metadata_reader *reader)
{
    uint32_t count = get_u32(reader);

    if (reader->bad || count > reader->left / 20) {
        return -EBADMSG;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct mr_uuid id = get_uuid(reader);

        metadata_log_deleted(metadata, &id, (int32_t)get_u32(reader));
    }
    return 0;
}

int
mr_metadata_apply(struct mr_metadata *metadata, const uint8_t *command, size_t size,
                  struct mr_metadata_outcome *outcome)
{
    struct metadata_reader reader = {command, size, false};
    enum metadata_command kind = get_u8(&reader);
    struct mr_uuid id;
    uint32_t number;

    *outcome = (struct mr_metadata_outcome){.error = MR_KAFKA_NONE, .first_producer_id = -1};
    if (get_u8(&reader) != METADATA_VERSION) {
        return -EBADMSG;
    }
    switch (kind) {
    case COMMAND_CLUSTER:
        id = get_uuid(&reader);
        if (!reader.bad && mr_uuid_is_zero(&metadata->cluster_id)) {
            metadata->cluster_id = id;
            metadata_changed(metadata);
        }
        break;
    case COMMAND_UNCLEAN_START:
        if (metadata->generation == METADATA_EPOCH_MAX) {
            outcome->error = MR_KAFKA_POLICY_VIOLATION;
            break;
        }
        metadata->generation++;
        metadata_changed(metadata);
        break;
    case COMMAND_CREATE_TOPIC:
        return apply_create(metadata, &reader, outcome);
    case COMMAND_DELETE_TOPIC:
        id = get_uuid(&reader);
        return reader.bad ? -EBADMSG : apply_delete(metadata, &id, outcome);
    case COMMAND_LOG_DELETED:
        id = get_uuid(&reader);
        number = get_u32(&reader);
        if (!reader.bad) {
            metadata_log_deleted(metadata, &id, (int32_t)number);
        }
        break;
    case COMMAND_LOGS_DELETED:
        return apply_logs_deleted(metadata, &reader);
    case COMMAND_PRODUCER_IDS:
        number = get_u32(&reader);
        if (!reader.bad && number > INT64_MAX - metadata->next_producer_id) {
            outcome->error = MR_KAFKA_POLICY_VIOLATION;
        } else if (!reader.bad) {
            outcome->first_producer_id = metadata->next_producer_id;
            metadata->next_producer_id += number;
        }
        break;
    case COMMAND_GROW_TOPIC:
        return apply_grow(metadata, &reader, outcome);
    case COMMAND_TOPIC_CONFIG:
        return metadata_apply_topic_config(metadata, &reader, outcome);
    case COMMAND_SETTINGS:
        return metadata_apply_settings(metadata, &reader, outcome);
    case COMMAND_STATE:
    default:
        return -EBADMSG;
    }
    return reader.bad ? -EBADMSG : 0;
}
