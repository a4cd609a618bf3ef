/* control/metadata_state.c: the state machine's life, its saved states and its snapshots. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/metadata_internal.h"
#include "control/metalog.h"
#include "dataplane/base/assert.h"

/* ---- saved state ----------------------------------------------------------------------------- */

/* The state at one moment: the topics are shared with it, what is small is bytes already. */
struct mr_metadata_image {
    struct mr_topic_tree topics; /* by name */
    uint8_t *head;               /* from the kind to the topics' count */
    size_t head_size;
    uint8_t *rest; /* graves and settings */
    size_t rest_size;
};

static void
put_head(struct metadata_writer *writer, const void *context)
{
    const struct mr_metadata *metadata = context;

    put_u8(writer, COMMAND_STATE);
    put_u8(writer, METADATA_STATE_VERSION);
    put_bytes(writer, metadata->cluster_id.bytes, sizeof(metadata->cluster_id.bytes));
    put_u32(writer, (uint32_t)metadata->generation);
    put_u64(writer, (uint64_t)metadata->next_producer_id);
    put_u64(writer, metadata->epoch);
    put_u32(writer, metadata->topics.count);
}

static void
put_rest(struct metadata_writer *writer, const void *context)
{
    metadata_put_graves(writer, context);
    metadata_put_settings(writer, context);
}

static void
put_image(struct metadata_writer *writer, const void *context)
{
    const struct mr_metadata_image *image = context;
    const struct metadata_topic *topic;
    struct mr_topic_walk walk;

    put_bytes(writer, image->head, image->head_size);
    topic_tree_walk(&image->topics, NULL, &walk);
    while ((topic = metadata_topic_next(&walk))) {
        metadata_put_topic(writer, &topic->view, (const char *const *)topic->overrides);
    }
    put_bytes(writer, image->rest, image->rest_size);
}

/* What `put` writes, in memory that the metadata log can take over. NULL without memory. */
static uint8_t *
bytes_of(void (*put)(struct metadata_writer *writer, const void *context), const void *context,
         size_t *size_out)
{
    for (size_t capacity = 16 * MR_METALOG_ALIGN;; capacity *= 2) {
        uint8_t *bytes = aligned_alloc(MR_METALOG_ALIGN, capacity);
        struct metadata_writer writer = {bytes, capacity, false};

        if (!bytes) {
            return NULL;
        }
        put(&writer, context);
        if (!writer.full) {
            *size_out = written(&writer, bytes);
            return bytes;
        }
        free(bytes);
    }
}

struct mr_metadata_image *
mr_metadata_image_take(const struct mr_metadata *metadata)
{
    struct mr_metadata_image *image = calloc(1, sizeof(*image));

    if (!image) {
        return NULL;
    }
    image->head = bytes_of(put_head, metadata, &image->head_size);
    image->rest = bytes_of(put_rest, metadata, &image->rest_size);
    image->topics = topic_tree_copy(&metadata->topics.by_name);
    if (!image->head || !image->rest) {
        mr_metadata_image_release(image);
        return NULL;
    }
    return image;
}

uint8_t *
mr_metadata_image_save(const struct mr_metadata_image *image, size_t *size_out)
{
    return bytes_of(put_image, image, size_out);
}

void
mr_metadata_image_release(struct mr_metadata_image *image)
{
    topic_tree_release(&image->topics);
    free(image->head);
    free(image->rest);
    free(image);
}

/* As created, but for the epoch, which only rises. */
static void
clear(struct mr_metadata *metadata)
{
    metadata_topics_release(&metadata->topics);
    metadata_graves_clear(metadata);
    metadata_settings_clear(&metadata->settings);
    metadata->setting_count = 0;
    metadata->setting_bytes = 0;
    metadata_fill_effective(metadata);
    metadata_quotas_release(metadata->quotas);
    metadata->quotas = NULL;
    metadata->partition_count = 0;
    memset(metadata->store_load, 0, METADATA_STORES_MAX * sizeof(*metadata->store_load));
    metadata->cluster_id = (struct mr_uuid){{0}};
    metadata->generation = 0;
    metadata->next_producer_id = 0;
}

static int
load_topic(struct mr_metadata *metadata, struct metadata_reader *reader)
{
    struct metadata_topic *topic = metadata_get_topic(reader, &metadata->effective);
    int error;

    if (!topic) {
        return reader->bad ? -EBADMSG : -ENOMEM;
    }
    error = metadata_topic_add(metadata, topic);
    metadata_topic_release(topic);
    return error == -EEXIST ? -EBADMSG : error;
}

static int
load_state(struct mr_metadata *metadata, struct metadata_reader *reader)
{
    uint8_t kind = get_u8(reader);
    uint8_t version = get_u8(reader);
    uint64_t epoch;
    uint32_t count;
    int error = 0;

    if (kind != COMMAND_STATE || version < 1 || version > METADATA_STATE_VERSION) {
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
    if (!error) {
        error = version > 2 ? metadata_get_graves(metadata, reader)
                            : metadata_get_tombstones(metadata, reader);
    }
    if (!error && version > 1) {
        error = metadata_get_settings(metadata, reader);
    }
    if (!error && reader->bad) {
        error = -EBADMSG;
    }
    if (!error) {
        metadata_fill_topics(metadata);
    }
    return error;
}

int
mr_metadata_load(struct mr_metadata *metadata, const uint8_t *bytes, size_t size)
{
    struct metadata_reader reader = {bytes, size, false};
    int error;

    clear(metadata);
    error = load_state(metadata, &reader);
    if (error) {
        clear(metadata);
    }
    metadata_changed(metadata);
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
    metadata_topics_init(&metadata->topics);
    mr_list_init(&metadata->graves);
    mr_list_init(&metadata->settings);
    metadata_fill_effective(metadata);
    metadata->store_load = calloc(METADATA_STORES_MAX, sizeof(*metadata->store_load));
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
    MR_ASSERT(metadata->snapshot_count == 0);
    free(metadata->store_load);
    free(metadata);
}

static struct metadata_snapshot *
build_snapshot(struct mr_metadata *metadata)
{
    struct metadata_snapshot *snapshot = calloc(1, sizeof(*snapshot));

    if (!snapshot) {
        return NULL;
    }
    snapshot->references = 1;
    snapshot->metadata = metadata;
    metadata->snapshot_count++;
    snapshot->quotas = metadata_quotas_take(metadata);
    if (!snapshot->quotas) {
        mr_metadata_snapshot_release(&snapshot->view);
        return NULL;
    }
    snapshot->view = (struct mr_snapshot){
        .epoch = metadata->epoch,
        .cluster_id = metadata->cluster_id,
        .node_id = metadata->node_id,
        .generation = metadata->generation,
        .topic_count = metadata->topics.count,
        .topics_by_name = topic_tree_copy(&metadata->topics.by_name),
        .topics_by_id = topic_tree_copy(&metadata->topics.by_id),
        .quotas = &snapshot->quotas->view,
    };
    metadata_fill_settings(metadata, &snapshot->view.settings);
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
    struct metadata_snapshot *snapshot =
        MR_CONTAINER_OF((struct mr_snapshot *)(uintptr_t)view, struct metadata_snapshot, view);

    if (--snapshot->references > 0) {
        return;
    }
    topic_tree_release(&snapshot->view.topics_by_name);
    topic_tree_release(&snapshot->view.topics_by_id);
    metadata_quotas_release(snapshot->quotas);
    snapshot->metadata->snapshot_count--;
    free(snapshot);
}

uint32_t
mr_metadata_snapshots(const struct mr_metadata *metadata)
{
    return metadata->snapshot_count;
}

uint64_t
mr_metadata_epoch(const struct mr_metadata *metadata)
{
    return metadata->epoch;
}

bool
mr_metadata_has_cluster(const struct mr_metadata *metadata)
{
    return !mr_uuid_is_zero(&metadata->cluster_id);
}

bool
mr_metadata_is_unused(const struct mr_metadata *metadata)
{
    return metadata->topics.count == 0 && metadata->grave_count == 0 &&
           metadata->next_producer_id == 0;
}

char *const *
mr_metadata_overrides(const struct mr_metadata *metadata, const struct mr_uuid *id)
{
    struct metadata_topic *topic = metadata_topic_find(&metadata->topics, id);

    return topic ? topic->overrides : NULL;
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
