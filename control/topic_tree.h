/* control/topic_tree.h: topics in one order, as a persistent B-tree.
 *
 *             topics: a   m   t        the first topic of each child
 *     node  children: │   │   └──► leaf  t u x
 *                     │   └──────► leaf  m n p q
 *                     └──────────► leaf  a b f
 *
 * A tree is a reference to its root. A copy of it is one more reference, so two trees share nodes:
 * a change first copies those between the root and its place that others have too, and leaves the
 * rest to both. So a snapshot costs nothing, and a change of one topic O(log topics).
 *
 * Leaves hold references of their topics (metadata_internal.h); nodes are as high as their children
 * plus one. A node that has become small takes in a neighbour where both fit into one, so nodes are
 * about half full on average and the height stays below MR_TOPIC_TREE_HEIGHT_MAX.
 *
 * Thread: the control thread changes trees and counts references; any thread reads a tree that is
 * held for it. Private to the metadata and to the lookups of ctl_msg.h. */
#ifndef MR_CONTROL_TOPIC_TREE_H
#define MR_CONTROL_TOPIC_TREE_H

#include "control/ctl_msg.h"

#define TOPIC_NODE_SLOTS 32u

struct mr_topic_node {
    uint32_t references;
    uint16_t height; /* 0: a leaf */
    uint16_t count;
    const struct mr_snapshot_topic *topics[TOPIC_NODE_SLOTS];
    struct mr_topic_node *children[]; /* TOPIC_NODE_SLOTS; a leaf has none */
};

/* What the order of a tree looks at. */
struct topic_key {
    const char *name;
    uint32_t name_size;
    const struct mr_uuid *id;
};

static inline struct topic_key
topic_key_of(const struct mr_snapshot_topic *topic)
{
    return (struct topic_key){topic->name, topic->name_size, &topic->id};
}

/* ---- reading: snapshot.c --------------------------------------------------------------------- */

int topic_name_order(const char *a, uint32_t a_size, const char *b, uint32_t b_size);

/* The topic with this key, or NULL. */
const struct mr_snapshot_topic *topic_tree_find(const struct mr_topic_tree *tree,
                                                const struct topic_key *key);

/* Begins a walk at the first topic that is not before the key; NULL: at the first. */
void topic_tree_walk(const struct mr_topic_tree *tree, const struct topic_key *key,
                     struct mr_topic_walk *walk);

/* The place in a node of the first topic that is not before the key. */
unsigned topic_node_place(const struct mr_topic_node *node, enum mr_topic_order order,
                          const struct topic_key *key);

/* The child that the key belongs to. */
unsigned topic_node_child(const struct mr_topic_node *node, enum mr_topic_order order,
                          const struct topic_key *key);

/* ---- changing: topic_tree.c ------------------------------------------------------------------ */

/* Takes a reference of its own. 0; -EEXIST: there is one with this key; -ENOMEM: as before. */
int topic_tree_insert(struct mr_topic_tree *tree, const struct mr_snapshot_topic *topic);

/* Copies what others share of the nodes that lead to a topic which the tree has: until the tree is
 * copied or changed elsewhere, removing and replacing it cannot fail. 0 or -ENOMEM. */
int topic_tree_own(struct mr_topic_tree *tree, const struct topic_key *key);

/* After topic_tree_own(), or after topic_tree_insert() of the same topic. */
void topic_tree_remove(struct mr_topic_tree *tree, const struct topic_key *key);

/* After topic_tree_own(): another topic with the same key; a reference is taken of it. */
void topic_tree_replace(struct mr_topic_tree *tree, const struct mr_snapshot_topic *topic);

struct mr_topic_tree topic_tree_copy(const struct mr_topic_tree *tree);

/* The tree is empty then. */
void topic_tree_release(struct mr_topic_tree *tree);

#endif
