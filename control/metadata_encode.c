/* control/metadata_encode.c: commands as bytes. */
#include <stdlib.h>
#include <string.h>

#include "control/metadata_internal.h"

/* ---- a topic's bytes: in its creation command and in a saved state ----------------------------
 */

/* id, internal, generation created, name, partitions (store, leader epoch), overrides */
void
metadata_put_topic(struct metadata_writer *writer, const struct mr_snapshot_topic *topic,
                   const char *const overrides[MR_TOPIC_KEYS])
{
    uint16_t override_count = 0;

    put_bytes(writer, topic->id.bytes, sizeof(topic->id.bytes));
    put_u8(writer, topic->internal);
    put_u32(writer, (uint32_t)topic->generation_created);
    put_u16(writer, (uint16_t)topic->name_size);
    put_bytes(writer, topic->name, topic->name_size);
    put_u32(writer, (uint32_t)topic->partition_count);
    for (int32_t p = 0; p < topic->partition_count; p++) {
        put_u16(writer, topic->partitions[p].store);
        put_u32(writer, (uint32_t)topic->partitions[p].leader_epoch);
    }
    for (unsigned i = 0; i < MR_TOPIC_KEYS; i++) {
        override_count += overrides[i] != NULL;
    }
    put_u16(writer, override_count);
    for (unsigned i = 0; i < MR_TOPIC_KEYS; i++) {
        const char *name = mr_topic_key_at(i)->name;

        if (overrides[i]) {
            put_u16(writer, (uint16_t)strlen(name));
            put_bytes(writer, name, strlen(name));
            put_u16(writer, (uint16_t)strlen(overrides[i]));
            put_bytes(writer, overrides[i], strlen(overrides[i]));
        }
    }
}

uint64_t
metadata_topic_bytes(const struct metadata_topic *topic)
{
    const struct mr_snapshot_topic *view = &topic->view;
    uint64_t bytes = sizeof(view->id.bytes) + 1 + 4 + 2 + view->name_size + 4 +
                     (uint64_t)view->partition_count * 6 + 2;

    for (unsigned i = 0; i < MR_TOPIC_KEYS; i++) {
        if (topic->overrides[i]) {
            bytes += 4 + strlen(mr_topic_key_at(i)->name) + strlen(topic->overrides[i]);
        }
    }
    return bytes;
}

/* A terminated copy. A zero byte inside would make it shorter than `size` says. */
char *
metadata_get_text(struct metadata_reader *reader, size_t size)
{
    const uint8_t *at = get_raw(reader, size);

    if (at && size > 0 && memchr(at, 0, size)) {
        reader->bad = true;
        return NULL;
    }
    return at ? strndup((const char *)at, size) : NULL;
}

static void
get_overrides(struct metadata_reader *reader, struct metadata_topic *topic)
{
    uint16_t count = get_u16(reader);

    for (uint16_t i = 0; i < count && !reader->bad; i++) {
        uint16_t name_size = get_u16(reader);
        const char *name = (const char *)get_raw(reader, name_size);
        char *value = metadata_get_text(reader, get_u16(reader));
        int key = name ? mr_topic_key_find(name, name_size) : -1;

        if (!value || key < 0 || topic->overrides[key]) {
            free(value);
            reader->bad = true;
            return;
        }
        topic->overrides[key] = value;
    }
}

/* NULL for malformed bytes (reader->bad) or without memory. */
struct metadata_topic *
metadata_get_topic(struct metadata_reader *reader, const struct mr_topic_defaults *defaults)
{
    struct metadata_topic *topic = calloc(1, sizeof(*topic));
    struct mr_snapshot_partition *partitions;
    uint32_t count;

    if (!topic) {
        return NULL;
    }
    topic->references = 1;
    topic->view.id = get_uuid(reader);
    topic->view.internal = get_u8(reader) != 0;
    topic->view.generation_created = get_epoch(reader);
    topic->view.name_size = get_u16(reader);
    topic->view.name = metadata_get_text(reader, topic->view.name_size);
    count = get_u32(reader);
    if (topic->view.name_size > MR_TOPIC_NAME_MAX || count > reader->left / 6) {
        reader->bad = true;
    }
    partitions = reader->bad ? NULL : calloc(count ? count : 1, sizeof(*partitions));
    topic->view.partitions = partitions;
    for (uint32_t p = 0; partitions && p < count; p++) {
        partitions[p].store = get_u16(reader);
        partitions[p].leader_epoch = get_epoch(reader);
    }
    topic->view.partition_count = (int32_t)count;
    get_overrides(reader, topic);
    if (reader->bad || !topic->view.name || !partitions) {
        metadata_topic_release(topic);
        return NULL;
    }
    mr_topic_limits_fill(defaults, topic->overrides, &topic->view.limits);
    return topic;
}

/* ---- encoding commands ----------------------------------------------------------------------- */

size_t
mr_metadata_encode_cluster(uint8_t *out, size_t capacity, const struct mr_uuid *cluster_id)
{
    struct metadata_writer writer = {out, capacity, false};

    put_kind(&writer, COMMAND_CLUSTER);
    put_bytes(&writer, cluster_id->bytes, sizeof(cluster_id->bytes));
    return written(&writer, out);
}

size_t
mr_metadata_encode_unclean_start(uint8_t *out, size_t capacity)
{
    struct metadata_writer writer = {out, capacity, false};

    put_kind(&writer, COMMAND_UNCLEAN_START);
    return written(&writer, out);
}

size_t
mr_metadata_encode_create_topic(uint8_t *out, size_t capacity,
                                const struct mr_metadata_new_topic *topic)
{
    struct metadata_writer writer = {out, capacity, false};
    struct mr_snapshot_partition *partitions =
        calloc(topic->partition_count + 1, sizeof(*partitions));
    struct mr_snapshot_topic view = {
        .id = topic->id,
        .name = topic->name,
        .name_size = topic->name_size,
        .internal = topic->internal,
        .partition_count = (int32_t)topic->partition_count,
        .partitions = partitions,
    };

    if (!partitions) {
        return 0;
    }
    for (uint32_t p = 0; p < topic->partition_count; p++) {
        partitions[p].store = topic->stores[p];
    }
    put_kind(&writer, COMMAND_CREATE_TOPIC);
    metadata_put_topic(&writer, &view, topic->overrides);
    free(partitions);
    return written(&writer, out);
}

size_t
mr_metadata_encode_delete_topic(uint8_t *out, size_t capacity, const struct mr_uuid *id)
{
    struct metadata_writer writer = {out, capacity, false};

    put_kind(&writer, COMMAND_DELETE_TOPIC);
    put_bytes(&writer, id->bytes, sizeof(id->bytes));
    return written(&writer, out);
}

size_t
mr_metadata_encode_logs_deleted(uint8_t *out, size_t capacity, const struct mr_metadata_log *logs,
                                unsigned count)
{
    struct metadata_writer writer = {out, capacity, false};

    put_kind(&writer, COMMAND_LOGS_DELETED);
    put_u32(&writer, count);
    for (unsigned i = 0; i < count; i++) {
        put_bytes(&writer, logs[i].id.bytes, sizeof(logs[i].id.bytes));
        put_u32(&writer, (uint32_t)logs[i].partition);
    }
    return written(&writer, out);
}

size_t
mr_metadata_encode_producer_ids(uint8_t *out, size_t capacity, uint32_t count)
{
    struct metadata_writer writer = {out, capacity, false};

    put_kind(&writer, COMMAND_PRODUCER_IDS);
    put_u32(&writer, count);
    return written(&writer, out);
}

size_t
mr_metadata_encode_grow_topic(uint8_t *out, size_t capacity, const struct mr_uuid *id,
                              uint32_t count_before, uint32_t count, const uint16_t *stores)
{
    struct metadata_writer writer = {out, capacity, false};

    put_kind(&writer, COMMAND_GROW_TOPIC);
    put_bytes(&writer, id->bytes, sizeof(id->bytes));
    put_u32(&writer, count_before);
    put_u32(&writer, count);
    for (uint32_t p = 0; p + count_before < count; p++) {
        put_u16(&writer, stores[p]);
    }
    return written(&writer, out);
}

static void
put_text(struct metadata_writer *writer, const char *text)
{
    size_t size = text ? strlen(text) : 0;

    if (size > UINT16_MAX) {
        writer->full = true;
        return;
    }
    put_u16(writer, (uint16_t)size);
    put_bytes(writer, text, size);
}

/* replace, count, and of each change: operation, name, value, base */
static void
put_changes(struct metadata_writer *writer, bool replace, const struct mr_metadata_change *changes,
            unsigned count)
{
    if (count > UINT16_MAX) {
        writer->full = true;
        return;
    }
    put_u8(writer, replace);
    put_u16(writer, (uint16_t)count);
    for (unsigned i = 0; i < count; i++) {
        put_u8(writer, (uint8_t)changes[i].op);
        put_text(writer, changes[i].name);
        put_text(writer, changes[i].value);
        put_text(writer, changes[i].base);
    }
}

size_t
mr_metadata_encode_topic_config(uint8_t *out, size_t capacity, const struct mr_uuid *id,
                                bool replace, const struct mr_metadata_change *changes,
                                unsigned count)
{
    struct metadata_writer writer = {out, capacity, false};

    put_kind(&writer, COMMAND_TOPIC_CONFIG);
    put_bytes(&writer, id->bytes, sizeof(id->bytes));
    put_changes(&writer, replace, changes, count);
    return written(&writer, out);
}

size_t
mr_metadata_encode_settings(uint8_t *out, size_t capacity, enum mr_metadata_scope scope,
                            const char *entity, bool replace,
                            const struct mr_metadata_change *changes, unsigned count)
{
    struct metadata_writer writer = {out, capacity, false};

    put_kind(&writer, COMMAND_SETTINGS);
    put_u8(&writer, (uint8_t)scope);
    put_text(&writer, entity);
    put_changes(&writer, replace, changes, count);
    return written(&writer, out);
}
