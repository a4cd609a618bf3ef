/* control/topic_tree.c: changes of persistent trees of topics. */
#include "control/topic_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/metadata_internal.h"
#include "dataplane/base/assert.h"

#define SLOTS     TOPIC_NODE_SLOTS
#define SLOTS_LOW (SLOTS / 4) /* a node with fewer looks for a neighbour to take in */

/* ---- nodes ----------------------------------------------------------------------------------- */

static struct mr_topic_node *
node_create(unsigned height)
{
    size_t children = height > 0 ? SLOTS * sizeof(struct mr_topic_node *) : 0;
    struct mr_topic_node *node = malloc(sizeof(*node) + children);

    if (node) {
        node->references = 1;
        node->height = (uint16_t)height;
        node->count = 0;
    }
    return node;
}

/* Copies entries between nodes of one height; the caller sees to their references. */
static void
entries_copy(struct mr_topic_node *to, unsigned to_place, const struct mr_topic_node *from,
             unsigned from_place, unsigned count)
{
    memmove(&to->topics[to_place], &from->topics[from_place], count * sizeof(to->topics[0]));
    if (to->height > 0) {
        memmove(&to->children[to_place], &from->children[from_place],
                count * sizeof(to->children[0]));
    }
}

/* The entries have one more node that refers to them. */
static void
entries_hold(const struct mr_topic_node *node, unsigned place, unsigned count)
{
    for (unsigned i = place; i < place + count; i++) {
        if (node->height > 0) {
            node->children[i]->references++;
        } else {
            metadata_topic_of(node->topics[i])->references++;
        }
    }
}

/* Makes room for an entry, or takes one out. */
static void
entry_open(struct mr_topic_node *node, unsigned place)
{
    entries_copy(node, place + 1, node, place, node->count - place);
    node->count++;
}

static void
entry_close(struct mr_topic_node *node, unsigned place)
{
    node->count--;
    entries_copy(node, place, node, place + 1, node->count - place);
}

/* Drops a reference; what nobody refers to any more is freed, its entries from the last on. */
static void
node_release(struct mr_topic_node *root)
{
    struct mr_topic_node *path[MR_TOPIC_TREE_HEIGHT_MAX];
    unsigned depth = 0;

    if (--root->references == 0) {
        path[depth++] = root;
    }
    while (depth > 0) {
        struct mr_topic_node *node = path[depth - 1];

        if (node->count == 0) {
            free(node);
            depth--;
        } else if (node->height == 0) {
            metadata_topic_release(metadata_topic_of(node->topics[--node->count]));
        } else if (--node->children[--node->count]->references == 0) {
            path[depth++] = node->children[node->count];
        }
    }
}

/* Makes the node at `link` one that only `link` refers to. 0 or -ENOMEM. */
static int
node_own(struct mr_topic_node **link)
{
    struct mr_topic_node *old = *link;
    struct mr_topic_node *node;

    if (old->references == 1) {
        return 0;
    }
    node = node_create(old->height);
    if (!node) {
        return -ENOMEM;
    }
    node->count = old->count;
    entries_copy(node, 0, old, 0, old->count);
    entries_hold(node, 0, node->count);
    old->references--;
    *link = node;
    return 0;
}

/* ---- inserting ------------------------------------------------------------------------------- */

/* Moves the upper half of a full child to a new one beside it; both nodes are the tree's own.
 * 0 or -ENOMEM. */
static int
child_split(struct mr_topic_node *parent, unsigned place)
{
    struct mr_topic_node *child = parent->children[place];
    struct mr_topic_node *upper = node_create(child->height);

    if (!upper) {
        return -ENOMEM;
    }
    upper->count = SLOTS / 2;
    entries_copy(upper, 0, child, SLOTS - SLOTS / 2, SLOTS / 2);
    child->count = SLOTS - SLOTS / 2;
    entry_open(parent, place + 1);
    parent->children[place + 1] = upper;
    parent->topics[place + 1] = upper->topics[0];
    return 0;
}

/* There is a root, of the tree's own, that is not full. 0 or -ENOMEM. */
static int
root_prepare(struct mr_topic_tree *tree)
{
    struct mr_topic_node *root;
    int error;

    if (!tree->root) {
        tree->root = node_create(0);
        return tree->root ? 0 : -ENOMEM;
    }
    error = node_own(&tree->root);
    if (error || tree->root->count < SLOTS) {
        return error;
    }
    MR_ASSERT(tree->root->height + 1 < MR_TOPIC_TREE_HEIGHT_MAX);
    root = node_create(tree->root->height + 1u);
    if (!root) {
        return -ENOMEM;
    }
    root->count = 1;
    root->children[0] = tree->root;
    root->topics[0] = tree->root->topics[0];
    error = child_split(root, 0);
    if (error) {
        free(root);
        return error;
    }
    tree->root = root;
    return 0;
}

/* The child that the key belongs to, of the tree's own, and not full. NULL without memory. */
static struct mr_topic_node *
child_prepare(struct mr_topic_node *node, enum mr_topic_order order, const struct topic_key *key)
{
    unsigned place = topic_node_child(node, order, key);

    if (node_own(&node->children[place]) != 0) {
        return NULL;
    }
    if (node->children[place]->count == SLOTS) {
        if (child_split(node, place) != 0) {
            return NULL;
        }
        place = topic_node_child(node, order, key);
    }
    return node->children[place];
}

/* There is room on the whole path, and nobody else reads it. */
static void
put(struct mr_topic_tree *tree, const struct topic_key *key, const struct mr_snapshot_topic *topic)
{
    struct mr_topic_node *node = tree->root;
    unsigned place;

    while (node->height > 0) {
        if (topic_node_place(node, tree->order, key) == 0) {
            node->topics[0] = topic;
        }
        node = node->children[topic_node_child(node, tree->order, key)];
    }
    place = topic_node_place(node, tree->order, key);
    entry_open(node, place);
    node->topics[place] = topic;
    metadata_topic_of(topic)->references++;
}

int
topic_tree_insert(struct mr_topic_tree *tree, const struct mr_snapshot_topic *topic)
{
    struct topic_key key = topic_key_of(topic);
    struct mr_topic_node *node;
    int error;

    if (topic_tree_find(tree, &key)) {
        return -EEXIST;
    }
    error = root_prepare(tree);
    if (error) {
        return error;
    }
    for (node = tree->root; node->height > 0;) {
        node = child_prepare(node, tree->order, &key);
        if (!node) {
            return -ENOMEM;
        }
    }
    put(tree, &key, topic);
    return 0;
}

/* ---- removing and replacing ------------------------------------------------------------------ */

int
topic_tree_own(struct mr_topic_tree *tree, const struct topic_key *key)
{
    struct mr_topic_node **link = &tree->root;

    for (;;) {
        int error = node_own(link);

        if (error || (*link)->height == 0) {
            return error;
        }
        link = &(*link)->children[topic_node_child(*link, tree->order, key)];
    }
}

/* The child at `place`, which is the tree's own, takes in the one at `other`, beside it. */
static void
child_join(struct mr_topic_node *parent, unsigned place, unsigned other)
{
    struct mr_topic_node *child = parent->children[place];
    struct mr_topic_node *neighbour = parent->children[other];
    unsigned at = other > place ? child->count : 0;

    if (other < place) {
        entries_copy(child, neighbour->count, child, 0, child->count);
    }
    entries_copy(child, at, neighbour, 0, neighbour->count);
    child->count = (uint16_t)(child->count + neighbour->count);
    if (neighbour->references == 1) {
        free(neighbour);
    } else {
        entries_hold(child, at, neighbour->count);
        neighbour->references--;
    }
    parent->topics[place] = child->topics[0];
    entry_close(parent, other);
}

/* After something has gone from the child at `place`. */
static void
child_shrunk(struct mr_topic_node *parent, unsigned place)
{
    struct mr_topic_node *child = parent->children[place];

    if (child->count == 0) {
        free(child);
        entry_close(parent, place);
        return;
    }
    parent->topics[place] = child->topics[0];
    if (child->count >= SLOTS_LOW) {
        return;
    }
    if (place + 1 < parent->count &&
        child->count + parent->children[place + 1]->count <= (int)SLOTS) {
        child_join(parent, place, place + 1);
    } else if (place > 0 && child->count + parent->children[place - 1]->count <= (int)SLOTS) {
        child_join(parent, place, place - 1);
    }
}

/* A root that has nothing goes, or that has one child only. */
static void
root_shrunk(struct mr_topic_tree *tree)
{
    struct mr_topic_node *root = tree->root;

    if (root->count == 0) {
        free(root);
        tree->root = NULL;
        return;
    }
    while (root->height > 0 && root->count == 1) {
        MR_ASSERT(root->references == 1);
        tree->root = root->children[0];
        free(root);
        root = tree->root;
    }
}

void
topic_tree_remove(struct mr_topic_tree *tree, const struct topic_key *key)
{
    struct mr_topic_walk walk;
    struct mr_topic_node *node;
    struct metadata_topic *topic;
    unsigned depth;

    topic_tree_walk(tree, key, &walk);
    depth = walk.depth - 1;
    node = (struct mr_topic_node *)(uintptr_t)walk.path[depth]; /* the tree's own */
    topic = metadata_topic_of(node->topics[walk.places[depth]]);
    entry_close(node, walk.places[depth]);
    while (depth > 0) {
        depth--;
        node = (struct mr_topic_node *)(uintptr_t)walk.path[depth];
        child_shrunk(node, walk.places[depth]);
    }
    root_shrunk(tree);
    metadata_topic_release(topic); /* last: the key may be the topic's own */
}

void
topic_tree_replace(struct mr_topic_tree *tree, const struct mr_snapshot_topic *topic)
{
    struct topic_key key = topic_key_of(topic);
    struct mr_topic_walk walk;
    const struct mr_snapshot_topic *old;

    topic_tree_walk(tree, &key, &walk);
    old = walk.path[walk.depth - 1]->topics[walk.places[walk.depth - 1]];
    metadata_topic_of(topic)->references++;
    for (unsigned d = 0; d < walk.depth; d++) {
        struct mr_topic_node *node =
            (struct mr_topic_node *)(uintptr_t)walk.path[d]; /* the tree's own */

        if (node->topics[walk.places[d]] == old) {
            node->topics[walk.places[d]] = topic;
        }
    }
    metadata_topic_release(metadata_topic_of(old));
}

/* ---- whole trees ----------------------------------------------------------------------------- */

struct mr_topic_tree
topic_tree_copy(const struct mr_topic_tree *tree)
{
    if (tree->root) {
        tree->root->references++;
    }
    return *tree;
}

void
topic_tree_release(struct mr_topic_tree *tree)
{
    if (tree->root) {
        node_release(tree->root);
        tree->root = NULL;
    }
}
