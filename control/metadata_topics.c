/* control/metadata_topics.c: topics, and the trees that have them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/metadata_internal.h"
#include "dataplane/base/assert.h"

/* ---- one topic ------------------------------------------------------------------------------- */

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

/* ---- all topics ------------------------------------------------------------------------------ */

void
metadata_topics_init(struct metadata_topics *topics)
{
    *topics = (struct metadata_topics){
        .by_name.order = MR_TOPIC_BY_NAME,
        .by_id.order = MR_TOPIC_BY_ID,
        .by_metric.order = MR_TOPIC_BY_METRIC,
    };
}

void
metadata_topics_release(struct metadata_topics *topics)
{
    topic_tree_release(&topics->by_name);
    topic_tree_release(&topics->by_id);
    topic_tree_release(&topics->by_metric);
    topics->count = 0;
    topics->bytes = 0;
}

struct metadata_topic *
metadata_topic_find(const struct metadata_topics *topics, const struct mr_uuid *id)
{
    return metadata_topic_of(topic_tree_find(&topics->by_id, &(struct topic_key){.id = id}));
}

/* The trees that have the topic, or are to have it; their number. */
static unsigned
trees_of(struct metadata_topics *topics, const struct mr_snapshot_topic *view,
         struct mr_topic_tree *trees[3])
{
    unsigned count = 0;

    trees[count++] = &topics->by_name;
    trees[count++] = &topics->by_id;
    if (memchr(view->name, '.', view->name_size) || memchr(view->name, '_', view->name_size)) {
        trees[count++] = &topics->by_metric;
    }
    return count;
}

int
metadata_topics_insert(struct metadata_topics *topics, struct metadata_topic *topic)
{
    struct topic_key key = topic_key_of(&topic->view);
    struct mr_topic_tree *trees[3];
    unsigned count = trees_of(topics, &topic->view, trees);

    for (unsigned i = 0; i < count; i++) {
        int error = topic_tree_insert(trees[i], &topic->view);

        if (error) {
            while (i > 0) {
                topic_tree_remove(trees[--i], &key);
            }
            return error;
        }
    }
    topics->count++;
    topics->bytes += metadata_topic_bytes(topic);
    return 0;
}

int
metadata_topics_own(struct metadata_topics *topics, const struct metadata_topic *topic)
{
    struct topic_key key = topic_key_of(&topic->view);
    struct mr_topic_tree *trees[3];
    unsigned count = trees_of(topics, &topic->view, trees);
    int error = 0;

    for (unsigned i = 0; i < count && !error; i++) {
        error = topic_tree_own(trees[i], &key);
    }
    return error;
}

void
metadata_topics_remove(struct metadata_topics *topics, struct metadata_topic *topic)
{
    struct topic_key key = topic_key_of(&topic->view);
    struct mr_topic_tree *trees[3];
    unsigned count = trees_of(topics, &topic->view, trees);

    topics->count--;
    topics->bytes -= metadata_topic_bytes(topic);
    topic->references++; /* while it is removed */
    for (unsigned i = 0; i < count; i++) {
        topic_tree_remove(trees[i], &key);
    }
    metadata_topic_release(topic);
}

void
metadata_topics_replace(struct metadata_topics *topics, struct metadata_topic *old,
                        struct metadata_topic *topic)
{
    struct mr_topic_tree *trees[3];
    unsigned count = trees_of(topics, &topic->view, trees);

    topics->bytes += metadata_topic_bytes(topic);
    topics->bytes -= metadata_topic_bytes(old);
    for (unsigned i = 0; i < count; i++) {
        topic_tree_replace(trees[i], &topic->view);
    }
}

/* The topics whose names are alike lie together, the first of them being written with dots. */
bool
mr_metadata_collides(const struct mr_metadata *metadata, const char *name, uint32_t name_size)
{
    char dotted[MR_TOPIC_NAME_MAX];
    const struct mr_snapshot_topic *found;
    struct mr_topic_walk walk;

    MR_ASSERT(name_size <= sizeof(dotted));
    for (uint32_t i = 0; i < name_size; i++) {
        dotted[i] = name[i] == '_' ? '.' : name[i];
    }
    topic_tree_walk(&metadata->topics.by_metric,
                    &(struct topic_key){.name = dotted, .name_size = name_size}, &walk);
    found = mr_topic_walk_next(&walk);
    if (!found || found->name_size != name_size) {
        return false;
    }
    for (uint32_t i = 0; i < name_size; i++) {
        if (dotted[i] != (found->name[i] == '_' ? '.' : found->name[i])) {
            return false;
        }
    }
    return true;
}
