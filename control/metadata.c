/* control/metadata.c: commands are applied: topics, tombstones, producer ids, the generation. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/metadata_internal.h"

#define STATE_FIXED_BYTES 64u /* at most, of a saved state's head and counts */
#define GRAVE_BYTES       20u

/* ---- topics ---------------------------------------------------------------------------------- */

void
metadata_topic_release(struct metadata_topic *topic)
{
    if (!topic || --topic->references > 0) {
        return;
    }
    for (unsigned i = 0; i < MR_TOPIC_KEYS; i++) {
        free(topic->overrides[i]);
    }
    free((void *)(uintptr_t)topic->view.name);
    free((void *)(uintptr_t)topic->view.partitions);
    free(topic);
}

int
metadata_name_order(const char *a, uint32_t a_size, const char *b, uint32_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

/* The index of the first topic whose name is not before `name`. */
uint32_t
metadata_topic_position(const struct mr_metadata *metadata, const char *name, uint32_t name_size)
{
    uint32_t low = 0;
    uint32_t high = metadata->topic_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct mr_snapshot_topic *topic = &metadata->topics[middle]->view;

        if (metadata_name_order(topic->name, topic->name_size, name, name_size) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The index in by_id of the first topic whose id is not before `id`. */
static uint32_t
id_position(const struct mr_metadata *metadata, const struct mr_uuid *id)
{
    uint32_t low = 0;
    uint32_t high = metadata->topic_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (memcmp(metadata->by_id[middle]->view.id.bytes, id->bytes, sizeof(id->bytes)) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t
metadata_topic_by_id(const struct mr_metadata *metadata, const struct mr_uuid *id)
{
    uint32_t at = id_position(metadata, id);
    const struct mr_snapshot_topic *topic;

    if (at == metadata->topic_count || !mr_uuid_equal(&metadata->by_id[at]->view.id, id)) {
        return metadata->topic_count;
    }
    topic = &metadata->by_id[at]->view;
    return metadata_topic_position(metadata, topic->name, topic->name_size);
}

void
metadata_changed(struct mr_metadata *metadata)
{
    metadata->epoch++;
    if (metadata->snapshot) {
        mr_metadata_snapshot_release(&metadata->snapshot->view);
        metadata->snapshot = NULL;
    }
}

static int
reserve_topics(struct mr_metadata *metadata)
{
    uint32_t capacity = metadata->topic_capacity ? metadata->topic_capacity * 2 : 64;
    struct metadata_topic **topics;
    struct metadata_topic **by_id;

    if (metadata->topic_count < metadata->topic_capacity) {
        return 0;
    }
    topics = realloc(metadata->topics, capacity * sizeof(*topics));
    metadata->topics = topics ? topics : metadata->topics;
    by_id = realloc(metadata->by_id, capacity * sizeof(*by_id));
    metadata->by_id = by_id ? by_id : metadata->by_id;
    if (!topics || !by_id) {
        return -ENOMEM;
    }
    metadata->topic_capacity = capacity;
    return 0;
}

static void
insert_at(struct metadata_topic **topics, uint32_t count, uint32_t at, struct metadata_topic *topic)
{
    memmove(&topics[at + 1], &topics[at], (count - at) * sizeof(struct metadata_topic *));
    topics[at] = topic;
}

static void
remove_at(struct metadata_topic **topics, uint32_t count, uint32_t at)
{
    memmove(&topics[at], &topics[at + 1], (count - at - 1) * sizeof(struct metadata_topic *));
}

/* Puts a topic in its place; takes the reference over. */
int
metadata_topic_insert(struct mr_metadata *metadata, struct metadata_topic *topic)
{
    const struct mr_snapshot_topic *view = &topic->view;
    int error = reserve_topics(metadata);

    if (error) {
        return error;
    }
    insert_at(metadata->topics, metadata->topic_count,
              metadata_topic_position(metadata, view->name, view->name_size), topic);
    insert_at(metadata->by_id, metadata->topic_count, id_position(metadata, &view->id), topic);
    metadata->topic_count++;
    metadata->topic_bytes += metadata_topic_bytes(topic);
    metadata->partition_count += (uint32_t)view->partition_count;
    for (int32_t p = 0; p < view->partition_count; p++) {
        metadata->store_load[view->partitions[p].store]++;
    }
    return 0;
}

struct metadata_topic *
metadata_topic_clone(const struct metadata_topic *topic, uint32_t partition_count)
{
    struct metadata_topic *clone = calloc(1, sizeof(*clone));
    struct mr_snapshot_partition *partitions =
        calloc(partition_count ? partition_count : 1, sizeof(*partitions));
    bool good = clone && partitions;

    if (!good) {
        free(clone);
        free(partitions);
        return NULL;
    }
    clone->references = 1;
    clone->view = topic->view;
    memcpy(partitions, topic->view.partitions,
           (size_t)topic->view.partition_count * sizeof(*partitions));
    clone->view.partitions = partitions;
    clone->view.partition_count = (int32_t)partition_count;
    clone->view.name = strndup(topic->view.name, topic->view.name_size);
    good = clone->view.name != NULL;
    for (unsigned i = 0; i < MR_TOPIC_KEYS; i++) {
        if (topic->overrides[i]) {
            clone->overrides[i] = strdup(topic->overrides[i]);
            good &= clone->overrides[i] != NULL;
        }
    }
    if (!good) {
        metadata_topic_release(clone);
        return NULL;
    }
    return clone;
}

void
metadata_topic_replace(struct mr_metadata *metadata, uint32_t at, struct metadata_topic *topic)
{
    metadata->topic_bytes += metadata_topic_bytes(topic);
    metadata->topic_bytes -= metadata_topic_bytes(metadata->topics[at]);
    metadata->by_id[id_position(metadata, &topic->view.id)] = topic;
    metadata_topic_release(metadata->topics[at]);
    metadata->topics[at] = topic;
    metadata_changed(metadata);
}

bool
metadata_has_room(const struct mr_metadata *metadata, uint64_t bytes)
{
    return STATE_FIXED_BYTES + metadata->topic_bytes + metadata->setting_bytes +
               metadata->grave_count * GRAVE_BYTES + metadata->tombstone_count * 6ull + bytes <=
           MR_METADATA_STATE_MAX;
}

/* ---- applying -------------------------------------------------------------------------------- */

static int
apply_create(struct mr_metadata *metadata, struct metadata_reader *reader,
             struct mr_metadata_outcome *outcome)
{
    struct metadata_topic *topic = metadata_get_topic(reader, &metadata->effective);
    uint32_t at;
    int error;

    if (!topic) {
        return reader->bad ? -EBADMSG : -ENOMEM;
    }
    at = metadata_topic_position(metadata, topic->view.name, topic->view.name_size);
    if (at < metadata->topic_count &&
        metadata_name_order(metadata->topics[at]->view.name, metadata->topics[at]->view.name_size,
                            topic->view.name, topic->view.name_size) == 0) {
        outcome->error = MR_KAFKA_TOPIC_ALREADY_EXISTS;
        metadata_topic_release(topic);
        return 0;
    }
    if ((uint32_t)topic->view.partition_count >
            MR_METADATA_PARTITIONS_MAX - metadata->partition_count ||
        !metadata_has_room(metadata, metadata_topic_bytes(topic))) {
        outcome->error = MR_KAFKA_POLICY_VIOLATION;
        metadata_topic_release(topic);
        return 0;
    }
    topic->view.generation_created = metadata->generation;
    error = metadata_topic_insert(metadata, topic);
    if (error) {
        metadata_topic_release(topic);
        return error;
    }
    metadata_changed(metadata);
    return 0;
}

static int
apply_delete(struct mr_metadata *metadata, const struct mr_uuid *id,
             struct mr_metadata_outcome *outcome)
{
    uint32_t at = metadata_topic_by_id(metadata, id);
    struct metadata_topic *topic;

    if (at == metadata->topic_count) {
        outcome->error = MR_KAFKA_UNKNOWN_TOPIC_ID;
        return 0;
    }
    topic = metadata->topics[at];
    if (metadata_bury(metadata, &topic->view) != 0) {
        return -ENOMEM;
    }
    for (int32_t p = 0; p < topic->view.partition_count; p++) {
        metadata->store_load[topic->view.partitions[p].store]--;
    }
    metadata->partition_count -= (uint32_t)topic->view.partition_count;
    metadata->topic_bytes -= metadata_topic_bytes(topic);
    remove_at(metadata->topics, metadata->topic_count, at);
    remove_at(metadata->by_id, metadata->topic_count, id_position(metadata, id));
    metadata->topic_count--;
    metadata_topic_release(topic);
    metadata_changed(metadata);
    return 0;
}

/* The new partitions start at leader epoch 0 plus the generations since the topic's creation. */
static int
grow_topic(struct mr_metadata *metadata, uint32_t at, uint32_t count, const uint8_t *stores)
{
    const struct mr_snapshot_topic *old = &metadata->topics[at]->view;
    uint32_t count_before = (uint32_t)old->partition_count;
    struct metadata_topic *topic = metadata_topic_clone(metadata->topics[at], count);
    struct mr_snapshot_partition *partitions;

    if (!topic) {
        return -ENOMEM;
    }
    partitions = (struct mr_snapshot_partition *)(uintptr_t)topic->view.partitions;
    for (uint32_t p = count_before; p < count; p++) {
        partitions[p].store = mr_le16_get(stores + (size_t)2 * (p - count_before));
        metadata->store_load[partitions[p].store]++;
    }
    metadata->partition_count += count - count_before;
    metadata_topic_replace(metadata, at, topic);
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
    const uint8_t *stores;
    uint32_t at;

    if (reader->bad || count <= count_before || added > reader->left / 2) {
        return -EBADMSG;
    }
    stores = get_raw(reader, (size_t)2 * added);
    at = metadata_topic_by_id(metadata, &id);
    if (at == metadata->topic_count) {
        outcome->error = MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    } else if ((uint32_t)metadata->topics[at]->view.partition_count != count_before) {
        outcome->error = MR_KAFKA_INVALID_PARTITIONS; /* another has been faster */
    } else if (added > MR_METADATA_PARTITIONS_MAX - metadata->partition_count ||
               !metadata_has_room(metadata, added * 6ull)) {
        outcome->error = MR_KAFKA_POLICY_VIOLATION;
    } else {
        return grow_topic(metadata, at, count, stores);
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
