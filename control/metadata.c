/* control/metadata.c: topics, tombstones, producer ids and the broker's generation. */
#include "control/metadata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/endian.h"
#include "dataplane/base/list.h"

#define VERSION    1
#define STORES_MAX 65536u
#define EPOCH_MAX  (1 << 29) /* of generations and stored leader epochs: sums stay in an int32_t */

enum command {
    COMMAND_CLUSTER = 1,
    COMMAND_UNCLEAN_START = 2,
    COMMAND_CREATE_TOPIC = 3,
    COMMAND_DELETE_TOPIC = 4,
    COMMAND_LOG_DELETED = 5,
    COMMAND_PRODUCER_IDS = 6,
    COMMAND_STATE = 7, /* a whole saved state; never in the log */
};

/* A topic as the state and its snapshots share it; immutable once built. */
struct topic {
    struct mr_snapshot_topic view; /* name, partitions lie behind */
    uint32_t references;
    char *overrides[MR_TOPIC_KEYS];
};

struct tombstone {
    struct mr_list node;
    struct mr_uuid id;
    int32_t partition;
    uint16_t store;
};

struct snapshot {
    struct mr_snapshot view;
    uint32_t references;
    struct topic **by_name;
    struct topic **by_id;
};

struct mr_metadata {
    int32_t node_id;
    const struct mr_topic_defaults *defaults;
    struct mr_uuid cluster_id; /* zero: no cluster yet */
    int32_t generation;
    int64_t next_producer_id;
    struct topic **topics; /* sorted by name */
    uint32_t topic_count;
    uint32_t topic_capacity;
    uint32_t partition_count;
    uint32_t *store_load;
    struct mr_list tombstones;
    uint64_t epoch;
    struct snapshot *snapshot; /* of `epoch`; NULL: to be built */
};

/* ---- bytes ----------------------------------------------------------------------------------- */

struct writer {
    uint8_t *at;
    size_t left;
    bool full;
};

static uint8_t *
put(struct writer *writer, size_t size)
{
    uint8_t *at = writer->at;

    if (writer->full || size > writer->left) {
        writer->full = true;
        return NULL;
    }
    writer->at += size;
    writer->left -= size;
    return at;
}

static void
put_bytes(struct writer *writer, const void *bytes, size_t size)
{
    uint8_t *at = put(writer, size);

    if (at && size > 0) {
        memcpy(at, bytes, size);
    }
}

static void
put_u8(struct writer *writer, uint8_t value)
{
    put_bytes(writer, &value, 1);
}

static void
put_u16(struct writer *writer, uint16_t value)
{
    uint8_t bytes[2];

    mr_le16_put(bytes, value);
    put_bytes(writer, bytes, sizeof(bytes));
}

static void
put_u32(struct writer *writer, uint32_t value)
{
    uint8_t bytes[4];

    mr_le32_put(bytes, value);
    put_bytes(writer, bytes, sizeof(bytes));
}

static void
put_u64(struct writer *writer, uint64_t value)
{
    uint8_t bytes[8];

    mr_le64_put(bytes, value);
    put_bytes(writer, bytes, sizeof(bytes));
}

static void
put_kind(struct writer *writer, enum command kind)
{
    put_u8(writer, (uint8_t)kind);
    put_u8(writer, VERSION);
}

static size_t
written(const struct writer *writer, const uint8_t *start)
{
    return writer->full ? 0 : (size_t)(writer->at - start);
}

struct reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};

static const uint8_t *
get(struct reader *reader, size_t size)
{
    const uint8_t *at = reader->at;

    if (reader->bad || size > reader->left) {
        reader->bad = true;
        return NULL;
    }
    reader->at += size;
    reader->left -= size;
    return at;
}

static uint8_t
get_u8(struct reader *reader)
{
    const uint8_t *at = get(reader, 1);

    return at ? *at : 0;
}

static uint16_t
get_u16(struct reader *reader)
{
    const uint8_t *at = get(reader, 2);

    return at ? mr_le16_get(at) : 0;
}

static uint32_t
get_u32(struct reader *reader)
{
    const uint8_t *at = get(reader, 4);

    return at ? mr_le32_get(at) : 0;
}

static uint64_t
get_u64(struct reader *reader)
{
    const uint8_t *at = get(reader, 8);

    return at ? mr_le64_get(at) : 0;
}

static int32_t
get_epoch(struct reader *reader)
{
    uint32_t epoch = get_u32(reader);

    if (epoch > EPOCH_MAX) {
        reader->bad = true;
        return 0;
    }
    return (int32_t)epoch;
}

static struct mr_uuid
get_uuid(struct reader *reader)
{
    const uint8_t *at = get(reader, sizeof(struct mr_uuid));
    struct mr_uuid id = {{0}};

    if (at) {
        memcpy(id.bytes, at, sizeof(id.bytes));
    }
    return id;
}

/* ---- topics ---------------------------------------------------------------------------------- */

static void
topic_release(struct topic *topic)
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

static int
name_order(const char *a, uint32_t a_size, const char *b, uint32_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

/* The index of the first topic whose name is not before `name`. */
static uint32_t
topic_position(const struct mr_metadata *metadata, const char *name, uint32_t name_size)
{
    uint32_t low = 0;
    uint32_t high = metadata->topic_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct mr_snapshot_topic *topic = &metadata->topics[middle]->view;

        if (name_order(topic->name, topic->name_size, name, name_size) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint32_t
topic_by_id(const struct mr_metadata *metadata, const struct mr_uuid *id)
{
    uint32_t at = 0;

    while (at < metadata->topic_count && !mr_uuid_equal(&metadata->topics[at]->view.id, id)) {
        at++;
    }
    return at;
}

static void
changed(struct mr_metadata *metadata)
{
    metadata->epoch++;
    if (metadata->snapshot) {
        mr_metadata_snapshot_release(&metadata->snapshot->view);
        metadata->snapshot = NULL;
    }
}

/* Puts a topic in its place; takes the reference over. */
static int
topic_insert(struct mr_metadata *metadata, struct topic *topic)
{
    uint32_t at = topic_position(metadata, topic->view.name, topic->view.name_size);

    if (metadata->topic_count == metadata->topic_capacity) {
        uint32_t capacity = metadata->topic_capacity ? metadata->topic_capacity * 2 : 64;
        struct topic **grown = realloc(metadata->topics, capacity * sizeof(*grown));

        if (!grown) {
            return -ENOMEM;
        }
        metadata->topics = grown;
        metadata->topic_capacity = capacity;
    }
    memmove(&metadata->topics[at + 1], &metadata->topics[at],
            (metadata->topic_count - at) * sizeof(*metadata->topics));
    metadata->topics[at] = topic;
    metadata->topic_count++;
    metadata->partition_count += (uint32_t)topic->view.partition_count;
    for (int32_t p = 0; p < topic->view.partition_count; p++) {
        metadata->store_load[topic->view.partitions[p].store]++;
    }
    return 0;
}

/* ---- a topic's bytes: in its creation command and in a saved state ----------------------------
 */

/* id, internal, generation created, name, partitions (store, leader epoch), overrides */
static void
put_topic(struct writer *writer, const struct mr_snapshot_topic *topic,
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

/* A terminated copy. A zero byte inside would make it shorter than `size` says. */
static char *
get_text(struct reader *reader, size_t size)
{
    const uint8_t *at = get(reader, size);

    if (at && size > 0 && memchr(at, 0, size)) {
        reader->bad = true;
        return NULL;
    }
    return at ? strndup((const char *)at, size) : NULL;
}

static void
get_overrides(struct reader *reader, struct topic *topic)
{
    uint16_t count = get_u16(reader);

    for (uint16_t i = 0; i < count && !reader->bad; i++) {
        uint16_t name_size = get_u16(reader);
        const char *name = (const char *)get(reader, name_size);
        char *value = get_text(reader, get_u16(reader));
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
static struct topic *
get_topic(struct reader *reader, const struct mr_topic_defaults *defaults)
{
    struct topic *topic = calloc(1, sizeof(*topic));
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
    topic->view.name = get_text(reader, topic->view.name_size);
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
        topic_release(topic);
        return NULL;
    }
    mr_topic_limits_fill(defaults, topic->overrides, &topic->view.limits);
    return topic;
}

/* ---- encoding commands ----------------------------------------------------------------------- */

size_t
mr_metadata_encode_cluster(uint8_t *out, size_t capacity, const struct mr_uuid *cluster_id)
{
    struct writer writer = {out, capacity, false};

    put_kind(&writer, COMMAND_CLUSTER);
    put_bytes(&writer, cluster_id->bytes, sizeof(cluster_id->bytes));
    return written(&writer, out);
}

size_t
mr_metadata_encode_unclean_start(uint8_t *out, size_t capacity)
{
    struct writer writer = {out, capacity, false};

    put_kind(&writer, COMMAND_UNCLEAN_START);
    return written(&writer, out);
}

size_t
mr_metadata_encode_create_topic(uint8_t *out, size_t capacity,
                                const struct mr_metadata_new_topic *topic)
{
    struct writer writer = {out, capacity, false};
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
    put_topic(&writer, &view, topic->overrides);
    free(partitions);
    return written(&writer, out);
}

size_t
mr_metadata_encode_delete_topic(uint8_t *out, size_t capacity, const struct mr_uuid *id)
{
    struct writer writer = {out, capacity, false};

    put_kind(&writer, COMMAND_DELETE_TOPIC);
    put_bytes(&writer, id->bytes, sizeof(id->bytes));
    return written(&writer, out);
}

size_t
mr_metadata_encode_log_deleted(uint8_t *out, size_t capacity, const struct mr_uuid *id,
                               int32_t partition)
{
    struct writer writer = {out, capacity, false};

    put_kind(&writer, COMMAND_LOG_DELETED);
    put_bytes(&writer, id->bytes, sizeof(id->bytes));
    put_u32(&writer, (uint32_t)partition);
    return written(&writer, out);
}

size_t
mr_metadata_encode_producer_ids(uint8_t *out, size_t capacity, uint32_t count)
{
    struct writer writer = {out, capacity, false};

    put_kind(&writer, COMMAND_PRODUCER_IDS);
    put_u32(&writer, count);
    return written(&writer, out);
}

/* ---- applying -------------------------------------------------------------------------------- */

static int
apply_create(struct mr_metadata *metadata, struct reader *reader,
             struct mr_metadata_outcome *outcome)
{
    struct topic *topic = get_topic(reader, metadata->defaults);
    uint32_t at;
    int error;

    if (!topic) {
        return reader->bad ? -EBADMSG : -ENOMEM;
    }
    at = topic_position(metadata, topic->view.name, topic->view.name_size);
    if (at < metadata->topic_count &&
        name_order(metadata->topics[at]->view.name, metadata->topics[at]->view.name_size,
                   topic->view.name, topic->view.name_size) == 0) {
        outcome->error = MR_KAFKA_TOPIC_ALREADY_EXISTS;
        topic_release(topic);
        return 0;
    }
    if ((uint32_t)topic->view.partition_count >
        MR_METADATA_PARTITIONS_MAX - metadata->partition_count) {
        outcome->error = MR_KAFKA_POLICY_VIOLATION;
        topic_release(topic);
        return 0;
    }
    topic->view.generation_created = metadata->generation;
    error = topic_insert(metadata, topic);
    if (error) {
        topic_release(topic);
        return error;
    }
    changed(metadata);
    return 0;
}

static int
tombstone_add(struct mr_metadata *metadata, const struct mr_uuid *id, int32_t partition,
              uint16_t store)
{
    struct tombstone *tombstone = calloc(1, sizeof(*tombstone));

    if (!tombstone) {
        return -ENOMEM;
    }
    tombstone->id = *id;
    tombstone->partition = partition;
    tombstone->store = store;
    mr_list_push_back(&metadata->tombstones, &tombstone->node);
    return 0;
}

static int
apply_delete(struct mr_metadata *metadata, const struct mr_uuid *id,
             struct mr_metadata_outcome *outcome)
{
    uint32_t at = topic_by_id(metadata, id);
    struct topic *topic;

    if (at == metadata->topic_count) {
        outcome->error = MR_KAFKA_UNKNOWN_TOPIC_ID;
        return 0;
    }
    topic = metadata->topics[at];
    for (int32_t p = 0; p < topic->view.partition_count; p++) {
        int error = tombstone_add(metadata, id, p, topic->view.partitions[p].store);

        if (error) {
            return error;
        }
        metadata->store_load[topic->view.partitions[p].store]--;
    }
    metadata->partition_count -= (uint32_t)topic->view.partition_count;
    memmove(&metadata->topics[at], &metadata->topics[at + 1],
            (metadata->topic_count - at - 1) * sizeof(*metadata->topics));
    metadata->topic_count--;
    topic_release(topic);
    changed(metadata);
    return 0;
}

static void
apply_log_deleted(struct mr_metadata *metadata, const struct mr_uuid *id, int32_t partition)
{
    MR_LIST_FOR_EACH(node, &metadata->tombstones)
    {
        struct tombstone *tombstone = MR_CONTAINER_OF(node, struct tombstone, node);

        if (tombstone->partition == partition && mr_uuid_equal(&tombstone->id, id)) {
            mr_list_remove(node);
            free(tombstone);
            return;
        }
    }
}

int
mr_metadata_apply(struct mr_metadata *metadata, const uint8_t *command, size_t size,
                  struct mr_metadata_outcome *outcome)
{
    struct reader reader = {command, size, false};
    enum command kind = get_u8(&reader);
    struct mr_uuid id;
    uint32_t number;

    *outcome = (struct mr_metadata_outcome){.error = MR_KAFKA_NONE, .first_producer_id = -1};
    if (get_u8(&reader) != VERSION) {
        return -EBADMSG;
    }
    switch (kind) {
    case COMMAND_CLUSTER:
        id = get_uuid(&reader);
        if (!reader.bad && mr_uuid_is_zero(&metadata->cluster_id)) {
            metadata->cluster_id = id;
            changed(metadata);
        }
        break;
    case COMMAND_UNCLEAN_START:
        if (metadata->generation == EPOCH_MAX) {
            outcome->error = MR_KAFKA_POLICY_VIOLATION;
            break;
        }
        metadata->generation++;
        changed(metadata);
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
            apply_log_deleted(metadata, &id, (int32_t)number);
        }
        break;
    case COMMAND_PRODUCER_IDS:
        number = get_u32(&reader);
        if (!reader.bad && number > INT64_MAX - metadata->next_producer_id) {
            outcome->error = MR_KAFKA_POLICY_VIOLATION;
        } else if (!reader.bad) {
            outcome->first_producer_id = metadata->next_producer_id;
            metadata->next_producer_id += number;
        }
        break;
    case COMMAND_STATE:
    default:
        return -EBADMSG;
    }
    return reader.bad ? -EBADMSG : 0;
}

/* ---- saved state ----------------------------------------------------------------------------- */

static void
put_state(struct writer *writer, const struct mr_metadata *metadata)
{
    uint32_t tombstones = 0;

    put_kind(writer, COMMAND_STATE);
    put_bytes(writer, metadata->cluster_id.bytes, sizeof(metadata->cluster_id.bytes));
    put_u32(writer, (uint32_t)metadata->generation);
    put_u64(writer, (uint64_t)metadata->next_producer_id);
    put_u64(writer, metadata->epoch);
    put_u32(writer, metadata->topic_count);
    for (uint32_t i = 0; i < metadata->topic_count; i++) {
        put_topic(writer, &metadata->topics[i]->view,
                  (const char *const *)metadata->topics[i]->overrides);
    }
    MR_LIST_FOR_EACH(node, &metadata->tombstones)
    {
        tombstones++;
    }
    put_u32(writer, tombstones);
    MR_LIST_FOR_EACH(node, &metadata->tombstones)
    {
        const struct tombstone *tombstone = MR_CONTAINER_OF(node, struct tombstone, node);

        put_bytes(writer, tombstone->id.bytes, sizeof(tombstone->id.bytes));
        put_u32(writer, (uint32_t)tombstone->partition);
        put_u16(writer, tombstone->store);
    }
}

uint8_t *
mr_metadata_save(const struct mr_metadata *metadata, size_t *size_out)
{
    for (size_t capacity = 64 * 1024;; capacity *= 2) {
        uint8_t *bytes = malloc(capacity);
        struct writer writer = {bytes, capacity, false};

        if (!bytes) {
            return NULL;
        }
        put_state(&writer, metadata);
        if (!writer.full) {
            *size_out = written(&writer, bytes);
            return bytes;
        }
        free(bytes);
    }
}

/* As created, but for the epoch, which only rises. */
static void
clear(struct mr_metadata *metadata)
{
    struct mr_list *node;

    for (uint32_t i = 0; i < metadata->topic_count; i++) {
        topic_release(metadata->topics[i]);
    }
    while ((node = mr_list_pop_front(&metadata->tombstones))) {
        free(MR_CONTAINER_OF(node, struct tombstone, node));
    }
    metadata->topic_count = 0;
    metadata->partition_count = 0;
    memset(metadata->store_load, 0, STORES_MAX * sizeof(*metadata->store_load));
    metadata->cluster_id = (struct mr_uuid){{0}};
    metadata->generation = 0;
    metadata->next_producer_id = 0;
}

static int
load_topic(struct mr_metadata *metadata, struct reader *reader)
{
    struct topic *topic = get_topic(reader, metadata->defaults);
    int error;

    if (!topic) {
        return reader->bad ? -EBADMSG : -ENOMEM;
    }
    error = topic_insert(metadata, topic);
    if (error) {
        topic_release(topic);
    }
    return error;
}

static int
load_state(struct mr_metadata *metadata, struct reader *reader)
{
    uint64_t epoch;
    uint32_t count;
    int error = 0;

    if (get_u8(reader) != COMMAND_STATE || get_u8(reader) != VERSION) {
        return -EBADMSG;
    }
    metadata->cluster_id = get_uuid(reader);
    metadata->generation = get_epoch(reader);
    metadata->next_producer_id = (int64_t)get_u64(reader);
    epoch = get_u64(reader);
    if (metadata->next_producer_id < 0 || epoch > UINT64_MAX / 2) {
        return -EBADMSG;
    }
    /* Shards may have seen the epoch from before; to them it never falls. */
    metadata->epoch = epoch > metadata->epoch ? epoch : metadata->epoch;
    count = get_u32(reader);
    for (uint32_t i = 0; i < count && !error; i++) {
        error = load_topic(metadata, reader);
    }
    count = error ? 0 : get_u32(reader);
    for (uint32_t i = 0; i < count && !error && !reader->bad; i++) {
        struct mr_uuid id = get_uuid(reader);
        uint32_t partition = get_u32(reader);
        uint16_t store = get_u16(reader);

        error = reader->bad ? -EBADMSG : tombstone_add(metadata, &id, (int32_t)partition, store);
    }
    return !error && reader->bad ? -EBADMSG : error;
}

int
mr_metadata_load(struct mr_metadata *metadata, const uint8_t *bytes, size_t size)
{
    struct reader reader = {bytes, size, false};
    int error;

    clear(metadata);
    error = load_state(metadata, &reader);
    if (error) {
        clear(metadata);
    }
    changed(metadata);
    return error;
}

/* ---- life and reading ------------------------------------------------------------------------ */

struct mr_metadata *
mr_metadata_create(int32_t node_id, const struct mr_topic_defaults *defaults)
{
    struct mr_metadata *metadata = calloc(1, sizeof(*metadata));

    if (!metadata) {
        return NULL;
    }
    metadata->node_id = node_id;
    metadata->defaults = defaults;
    metadata->epoch = 1;
    mr_list_init(&metadata->tombstones);
    metadata->store_load = calloc(STORES_MAX, sizeof(*metadata->store_load));
    if (!metadata->store_load) {
        free(metadata);
        return NULL;
    }
    return metadata;
}

void
mr_metadata_destroy(struct mr_metadata *metadata)
{
    if (!metadata) {
        return;
    }
    clear(metadata);
    if (metadata->snapshot) {
        mr_metadata_snapshot_release(&metadata->snapshot->view);
    }
    free(metadata->topics);
    free(metadata->store_load);
    free(metadata);
}

static int
id_order(const void *a, const void *b)
{
    const struct topic *const *left = a;
    const struct topic *const *right = b;

    return memcmp((*left)->view.id.bytes, (*right)->view.id.bytes, sizeof((*left)->view.id.bytes));
}

static struct snapshot *
build_snapshot(const struct mr_metadata *metadata)
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    size_t slots = metadata->topic_count + 1;

    if (!snapshot) {
        return NULL;
    }
    snapshot->references = 1;
    snapshot->by_name = calloc(slots, sizeof(*snapshot->by_name));
    snapshot->by_id = calloc(slots, sizeof(*snapshot->by_id));
    if (!snapshot->by_name || !snapshot->by_id) {
        mr_metadata_snapshot_release(&snapshot->view);
        return NULL;
    }
    for (uint32_t i = 0; i < metadata->topic_count; i++) {
        metadata->topics[i]->references++;
        snapshot->by_name[i] = metadata->topics[i];
        snapshot->by_id[i] = metadata->topics[i];
    }
    qsort(snapshot->by_id, metadata->topic_count, sizeof(*snapshot->by_id), id_order);
    snapshot->view = (struct mr_snapshot){
        .epoch = metadata->epoch,
        .cluster_id = metadata->cluster_id,
        .node_id = metadata->node_id,
        .generation = metadata->generation,
        .topic_count = metadata->topic_count,
        /* `view` is a topic's first member, so a pointer to one is a pointer to the other. */
        .topics_by_name = (const struct mr_snapshot_topic *const *)snapshot->by_name,
        .topics_by_id = (const struct mr_snapshot_topic *const *)snapshot->by_id,
    };
    mr_uuid_format(&metadata->cluster_id, snapshot->view.cluster_id_text);
    return snapshot;
}

const struct mr_snapshot *
mr_metadata_snapshot(struct mr_metadata *metadata)
{
    if (!metadata->snapshot) {
        metadata->snapshot = build_snapshot(metadata);
    }
    if (!metadata->snapshot) {
        return NULL;
    }
    metadata->snapshot->references++;
    return &metadata->snapshot->view;
}

void
mr_metadata_snapshot_release(const struct mr_snapshot *view)
{
    struct snapshot *snapshot =
        MR_CONTAINER_OF((struct mr_snapshot *)(uintptr_t)view, struct snapshot, view);

    if (--snapshot->references > 0) {
        return;
    }
    for (uint32_t i = 0; i < snapshot->view.topic_count; i++) {
        topic_release(snapshot->by_name[i]);
    }
    free(snapshot->by_name);
    free(snapshot->by_id);
    free(snapshot);
}

bool
mr_metadata_has_cluster(const struct mr_metadata *metadata)
{
    return !mr_uuid_is_zero(&metadata->cluster_id);
}

char *const *
mr_metadata_overrides(const struct mr_metadata *metadata, const struct mr_uuid *id)
{
    uint32_t at = topic_by_id(metadata, id);

    return at < metadata->topic_count ? metadata->topics[at]->overrides : NULL;
}

uint32_t
mr_metadata_partitions(const struct mr_metadata *metadata)
{
    return metadata->partition_count;
}

uint32_t
mr_metadata_store_load(const struct mr_metadata *metadata, uint16_t store)
{
    return metadata->store_load[store];
}

void
mr_metadata_tombstones(const struct mr_metadata *metadata,
                       void (*each)(void *context, const struct mr_uuid *id, int32_t partition,
                                    uint16_t store),
                       void *context)
{
    MR_LIST_FOR_EACH(node, &metadata->tombstones)
    {
        const struct tombstone *tombstone = MR_CONTAINER_OF(node, struct tombstone, node);

        each(context, &tombstone->id, tombstone->partition, tombstone->store);
    }
}

_Static_assert(offsetof(struct topic, view) == 0, "snapshots cast between topic and view");
