/* control/snapshot.c: lookups in an immutable snapshot. */
#include <string.h>

#include "control/ctl_msg.h"
#include "control/topic_tree.h"

/* ---- orders ---------------------------------------------------------------------------------- */

int
topic_name_order(const char *a, uint32_t a_size, const char *b, uint32_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static unsigned char
metric_character(char character)
{
    return (unsigned char)(character == '.' ? '_' : character);
}

static int
metric_order(const struct topic_key *a, const struct topic_key *b)
{
    uint32_t size = a->name_size < b->name_size ? a->name_size : b->name_size;

    for (uint32_t i = 0; i < size; i++) {
        int order = metric_character(a->name[i]) - metric_character(b->name[i]);

        if (order != 0) {
            return order;
        }
    }
    return a->name_size != b->name_size
               ? (a->name_size > b->name_size) - (a->name_size < b->name_size)
               : topic_name_order(a->name, a->name_size, b->name, b->name_size);
}

static int
key_order(enum mr_topic_order order, const struct topic_key *a, const struct topic_key *b)
{
    switch (order) {
    case MR_TOPIC_BY_ID:
        return memcmp(a->id->bytes, b->id->bytes, sizeof(a->id->bytes));
    case MR_TOPIC_BY_METRIC:
        return metric_order(a, b);
    case MR_TOPIC_BY_NAME:
    default:
        return topic_name_order(a->name, a->name_size, b->name, b->name_size);
    }
}

/* ---- trees ----------------------------------------------------------------------------------- */

unsigned
topic_node_place(const struct mr_topic_node *node, enum mr_topic_order order,
                 const struct topic_key *key)
{
    unsigned low = 0;
    unsigned high = node->count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        struct topic_key there = topic_key_of(node->topics[middle]);

        if (key_order(order, &there, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

unsigned
topic_node_child(const struct mr_topic_node *node, enum mr_topic_order order,
                 const struct topic_key *key)
{
    unsigned place = topic_node_place(node, order, key);

    if (place < node->count) {
        struct topic_key there = topic_key_of(node->topics[place]);

        if (key_order(order, &there, key) == 0) {
            return place;
        }
    }
    return place > 0 ? place - 1 : 0;
}

const struct mr_snapshot_topic *
topic_tree_find(const struct mr_topic_tree *tree, const struct topic_key *key)
{
    const struct mr_topic_node *node = tree->root;
    struct topic_key there;
    unsigned place;

    if (!node) {
        return NULL;
    }
    while (node->height > 0) {
        node = node->children[topic_node_child(node, tree->order, key)];
    }
    place = topic_node_place(node, tree->order, key);
    if (place == node->count) {
        return NULL;
    }
    there = topic_key_of(node->topics[place]);
    return key_order(tree->order, &there, key) == 0 ? node->topics[place] : NULL;
}

void
topic_tree_walk(const struct mr_topic_tree *tree, const struct topic_key *key,
                struct mr_topic_walk *walk)
{
    const struct mr_topic_node *node = tree->root;

    walk->depth = 0;
    while (node) {
        unsigned place = !key               ? 0
                         : node->height > 0 ? topic_node_child(node, tree->order, key)
                                            : topic_node_place(node, tree->order, key);

        walk->path[walk->depth] = node;
        walk->places[walk->depth++] = (uint8_t)place;
        node = node->height > 0 ? node->children[place] : NULL;
    }
}

/* A leaf may be used up, or have no topic from the key on: the walk goes up to a node that has
 * another child, and down to that one's first topic. */
const struct mr_snapshot_topic *
mr_topic_walk_next(struct mr_topic_walk *walk)
{
    while (walk->depth > 0) {
        const struct mr_topic_node *node = walk->path[walk->depth - 1];
        unsigned place = walk->places[walk->depth - 1];

        if (place == node->count) {
            walk->depth--;
            if (walk->depth > 0) {
                walk->places[walk->depth - 1]++;
            }
        } else if (node->height == 0) {
            walk->places[walk->depth - 1]++;
            return node->topics[place];
        } else {
            walk->path[walk->depth] = node->children[place];
            walk->places[walk->depth++] = 0;
        }
    }
    return NULL;
}

/* ---- topics ---------------------------------------------------------------------------------- */

const struct mr_snapshot_topic *
mr_snapshot_topic_by_name(const struct mr_snapshot *snapshot, const char *name, uint32_t name_size)
{
    return topic_tree_find(&snapshot->topics_by_name,
                           &(struct topic_key){.name = name, .name_size = name_size});
}

const struct mr_snapshot_topic *
mr_snapshot_topic_by_id(const struct mr_snapshot *snapshot, const struct mr_uuid *id)
{
    return topic_tree_find(&snapshot->topics_by_id, &(struct topic_key){.id = id});
}

void
mr_snapshot_walk(const struct mr_snapshot *snapshot, struct mr_topic_walk *walk)
{
    topic_tree_walk(&snapshot->topics_by_name, NULL, walk);
}

void
mr_snapshot_walk_names(const struct mr_snapshot *snapshot, const char *name, uint32_t name_size,
                       struct mr_topic_walk *walk)
{
    topic_tree_walk(&snapshot->topics_by_name,
                    &(struct topic_key){.name = name, .name_size = name_size}, walk);
}

void
mr_snapshot_walk_ids(const struct mr_snapshot *snapshot, const struct mr_uuid *id,
                     struct mr_topic_walk *walk)
{
    topic_tree_walk(&snapshot->topics_by_id, &(struct topic_key){.id = id}, walk);
}

/* ---- quotas ---------------------------------------------------------------------------------- */

static bool
level_has_client(enum mr_quota_level level)
{
    return level == MR_QUOTA_USER_CLIENT || level == MR_QUOTA_ANY_USER_CLIENT ||
           level == MR_QUOTA_CLIENT;
}

static const struct mr_snapshot_quota *
quota_at(const struct mr_snapshot_quotas *quotas, enum mr_quota_level level, const char *client,
         uint32_t client_size)
{
    uint32_t low = 0;
    uint32_t high = quotas->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct mr_snapshot_quota *rule = &quotas->rules[middle];
        int order = (rule->level > level) - (rule->level < level);

        if (order == 0 && level_has_client(level)) {
            order = topic_name_order(rule->client, rule->client_size, client, client_size);
        }
        if (order == 0) {
            return rule;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

double
mr_snapshot_quota(const struct mr_snapshot_quotas *quotas, enum mr_quota_kind kind,
                  const char *client, uint32_t client_size, bool *shared)
{
    for (int level = 0; level < MR_QUOTA_LEVELS && quotas->any[kind]; level++) {
        const struct mr_snapshot_quota *rule =
            quota_at(quotas, (enum mr_quota_level)level, client, client_size);

        if (rule && rule->limits[kind] >= 0) {
            *shared = level == MR_QUOTA_USER || level == MR_QUOTA_ANY_USER;
            return rule->limits[kind];
        }
    }
    return -1;
}
