/* Goal: trees of topics are sorted arrays that can be kept: each copy stays what it was.
 * Method: random insertions, removals and replacements beside an array of flags, in every order,
 * with copies held for a while and allocations that fail; whole trees are compared, their shape
 * looked at, and all references counted at the end. */
#include "control/topic_tree.h"

#include <errno.h>

#include "control/metadata_internal.h"
#include "dataplane/base/rng.h"
#include "tests/mr_test.h"

#define TOPICS 3000u
#define HELD   4u
#define STEPS  30000u

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static unsigned fails_in; /* the how many-th allocation fails; 0: none */

void *
__wrap_malloc(size_t size)
{
    return fails_in > 0 && --fails_in == 0 ? NULL : __real_malloc(size);
}

/* A tree, and the topics that it should have; NULL: not this one. */
struct version {
    struct mr_topic_tree tree;
    const struct metadata_topic *topics[TOPICS]; /* in the tree's order */
};

struct world {
    struct mr_rng rng;
    struct metadata_topic *originals[TOPICS]; /* in the tree's order */
    struct version now;
    struct version held[HELD];
    unsigned failed;
    unsigned height_max;
};

static struct metadata_topic *
topic_make(struct mr_rng *rng, unsigned number)
{
    static const char *const patterns[] = {"t.%u", "t_%u", "t%u", "t.%u_x"};
    struct metadata_topic *topic = calloc(1, sizeof(*topic));
    char name[32];

    topic->references = 1;
    topic->view.name_size =
        (uint32_t)snprintf(name, sizeof(name), patterns[number % 4], number / 4);
    topic->view.name = strdup(name);
    topic->view.partition_count = 1;
    topic->view.partitions = calloc(1, sizeof(*topic->view.partitions));
    for (unsigned i = 0; i < sizeof(topic->view.id.bytes); i++) {
        topic->view.id.bytes[i] = (uint8_t)mr_rng_below(rng, 256);
    }
    return topic;
}

static enum mr_topic_order sorting; /* qsort() has no context */

static int
topic_compare(const void *a, const void *b)
{
    const struct mr_snapshot_topic *left = &(*(struct metadata_topic *const *)a)->view;
    const struct mr_snapshot_topic *right = &(*(struct metadata_topic *const *)b)->view;
    char names[2][32];

    if (sorting == MR_TOPIC_BY_ID) {
        return memcmp(left->id.bytes, right->id.bytes, sizeof(left->id.bytes));
    }
    snprintf(names[0], sizeof(names[0]), "%s", left->name);
    snprintf(names[1], sizeof(names[1]), "%s", right->name);
    for (unsigned n = 0; n < 2 && sorting == MR_TOPIC_BY_METRIC; n++) {
        for (char *at = strchr(names[n], '.'); at; at = strchr(at, '.')) {
            *at = '_';
        }
    }
    return strcmp(names[0], names[1]) ? strcmp(names[0], names[1])
                                      : strcmp(left->name, right->name);
}

static void
world_make(struct world *world, enum mr_topic_order order, uint64_t seed)
{
    memset(world, 0, sizeof(*world));
    mr_rng_init(&world->rng, seed);
    for (unsigned i = 0; i < TOPICS; i++) {
        world->originals[i] = topic_make(&world->rng, i);
    }
    sorting = order;
    qsort(world->originals, TOPICS, sizeof(world->originals[0]), topic_compare);
    world->now.tree.order = order;
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* The first topic under a node, which every node above names. */
static const struct mr_snapshot_topic *
node_check(struct world *world, const struct mr_topic_node *node)
{
    MR_CHECK(node->references > 0);
    MR_CHECK(node->count > 0 && node->count <= TOPIC_NODE_SLOTS);
    if (node->height > world->height_max) {
        world->height_max = node->height;
    }
    for (unsigned i = 0; node->height > 0 && i < node->count; i++) {
        MR_CHECK_EQ(node->children[i]->height, node->height - 1);
        MR_CHECK(node_check(world, node->children[i]) == node->topics[i]);
    }
    return node->topics[0];
}

static void
version_check(struct world *world, const struct version *version)
{
    unsigned from = (unsigned)mr_rng_below(&world->rng, TOPICS);
    struct topic_key key = topic_key_of(&world->originals[from]->view);
    struct mr_topic_walk walk;

    if (version->tree.root) {
        node_check(world, version->tree.root);
    }
    topic_tree_walk(&version->tree, NULL, &walk);
    for (unsigned i = 0; i < TOPICS; i++) {
        struct topic_key own = topic_key_of(&world->originals[i]->view);

        if (version->topics[i]) {
            MR_CHECK(mr_topic_walk_next(&walk) == &version->topics[i]->view);
        }
        MR_CHECK(topic_tree_find(&version->tree, &own) ==
                 (version->topics[i] ? &version->topics[i]->view : NULL));
    }
    MR_CHECK(!mr_topic_walk_next(&walk));
    topic_tree_walk(&version->tree, &key, &walk);
    while (from < TOPICS && !version->topics[from]) {
        from++;
    }
    MR_CHECK(mr_topic_walk_next(&walk) == (from < TOPICS ? &version->topics[from]->view : NULL));
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void
insert(struct world *world, unsigned at)
{
    int error = topic_tree_insert(&world->now.tree, &world->originals[at]->view);

    if (world->now.topics[at]) {
        MR_CHECK_EQ(error, -EEXIST);
    } else if (error) {
        MR_CHECK_EQ(error, -ENOMEM);
        world->failed++;
    } else {
        world->now.topics[at] = world->originals[at];
    }
}

static void
remove_or_replace(struct world *world, unsigned at, bool removes)
{
    struct topic_key key = topic_key_of(&world->originals[at]->view);
    struct metadata_topic *clone;

    if (!world->now.topics[at]) {
        return;
    }
    if (topic_tree_own(&world->now.tree, &key) != 0) {
        world->failed++;
        return;
    }
    fails_in = 0;
    if (removes) {
        topic_tree_remove(&world->now.tree, &key);
        world->now.topics[at] = NULL;
        return;
    }
    clone = metadata_topic_clone(world->originals[at], 1);
    topic_tree_replace(&world->now.tree, &clone->view);
    world->now.topics[at] = clone;
    metadata_topic_release(clone);
}

static void
hold(struct world *world)
{
    struct version *held = &world->held[mr_rng_below(&world->rng, HELD)];

    version_check(world, held);
    topic_tree_release(&held->tree);
    *held = world->now;
    held->tree = topic_tree_copy(&world->now.tree);
}

/* Grows towards all topics, then shrinks towards none, and again. */
static void
step(struct world *world, unsigned number)
{
    bool grows = number % 8000 < 4000;
    unsigned at = (unsigned)mr_rng_below(&world->rng, TOPICS);
    unsigned kind = (unsigned)mr_rng_below(&world->rng, 100);

    fails_in = mr_rng_below(&world->rng, 4) ? 0 : 1 + (unsigned)mr_rng_below(&world->rng, 4);
    if (kind < 1) {
        hold(world);
    } else if (kind < 15) {
        remove_or_replace(world, at, false);
    } else if (kind < (grows ? 20 : 90)) {
        remove_or_replace(world, at, true);
    } else {
        insert(world, at);
    }
    fails_in = 0;
    if (number % 500 == 0) {
        version_check(world, &world->now);
    }
}

static void
play(enum mr_topic_order order, uint64_t seed)
{
    static struct world world;

    world_make(&world, order, seed);
    for (unsigned i = 0; i < HELD; i++) {
        world.held[i].tree.order = order;
    }
    for (unsigned i = 0; i < STEPS; i++) {
        step(&world, i);
    }
    for (unsigned i = 0; i < HELD; i++) {
        version_check(&world, &world.held[i]);
        topic_tree_release(&world.held[i].tree);
    }
    version_check(&world, &world.now);
    topic_tree_release(&world.now.tree);
    MR_CHECK(world.failed > 100);
    MR_CHECK_EQ(world.height_max, 2);
    for (unsigned i = 0; i < TOPICS; i++) {
        MR_CHECK_EQ(world.originals[i]->references, 1);
        metadata_topic_release(world.originals[i]);
    }
}

MR_TEST(a_tree_by_name_is_a_sorted_array_whose_copies_stay)
{
    play(MR_TOPIC_BY_NAME, 1);
}

MR_TEST(a_tree_by_id_is_a_sorted_array_whose_copies_stay)
{
    play(MR_TOPIC_BY_ID, 2);
}

MR_TEST(a_tree_by_metric_is_a_sorted_array_whose_copies_stay)
{
    play(MR_TOPIC_BY_METRIC, 3);
}

/* One after the other, up and down, as names with numbers come and go. */
MR_TEST(a_tree_of_topics_in_order_stays_low)
{
    static struct world world;

    world_make(&world, MR_TOPIC_BY_NAME, 4);
    for (unsigned i = 0; i < TOPICS; i++) {
        insert(&world, i);
    }
    version_check(&world, &world.now);
    MR_CHECK_EQ(world.height_max, 2);
    for (unsigned i = 0; i < TOPICS; i++) {
        remove_or_replace(&world, i, true);
        if (i % 100 == 0) {
            version_check(&world, &world.now);
        }
    }
    MR_CHECK(!world.now.tree.root);
    for (unsigned i = 0; i < TOPICS; i++) {
        metadata_topic_release(world.originals[i]);
    }
}

/* ---- all trees of topics --------------------------------------------------------------------- */

#define FEW 200u

static struct mr_topic_tree *
trees(struct metadata_topics *topics, unsigned number)
{
    struct mr_topic_tree *all[] = {&topics->by_name, &topics->by_id, &topics->by_metric};

    return all[number];
}

/* Whether every tree that should has the topic; the name of each fourth has no '.' and no '_'. */
static void
check_in_all(struct metadata_topics *topics, const struct metadata_topic *topic, unsigned number,
             bool wanted)
{
    struct topic_key key = topic_key_of(&topic->view);

    for (unsigned t = 0; t < 3; t++) {
        bool found = topic_tree_find(trees(topics, t), &key) == &topic->view;

        MR_CHECK_EQ(found, wanted && (t < 2 || number % 4 != 2));
    }
}

/* Now all nodes are shared with `held`, and have to be copied before they are changed. */
static void
hold_all(struct metadata_topics *topics, struct metadata_topics *held)
{
    metadata_topics_release(held);
    for (unsigned t = 0; t < 3; t++) {
        *trees(held, t) = topic_tree_copy(trees(topics, t));
    }
}

/* Each step fails at every one of its allocations, and changes nothing, before it succeeds. */
MR_TEST(a_topic_is_in_all_trees_or_in_none)
{
    struct metadata_topic *made[FEW];
    struct metadata_topics topics, held;
    struct mr_rng rng;
    uint64_t bytes = 0;
    unsigned failed = 0;

    mr_rng_init(&rng, 5);
    metadata_topics_init(&topics);
    metadata_topics_init(&held);
    for (unsigned i = 0; i < FEW; i++) {
        int error = -ENOMEM;

        made[i] = topic_make(&rng, i);
        for (unsigned nth = 1; error; nth++) {
            hold_all(&topics, &held);
            fails_in = nth;
            error = metadata_topics_insert(&topics, made[i]);
            failed += error != 0;
            fails_in = 0;
            MR_CHECK(!error || error == -ENOMEM);
            check_in_all(&topics, made[i], i, !error);
            MR_CHECK(topics.count == i + !error && (error == 0 || topics.bytes == bytes));
        }
        bytes = topics.bytes;
        check_in_all(&topics, made[i / 2], i / 2, true);
    }
    for (unsigned i = 0; i < FEW; i++) {
        int error = -ENOMEM;

        for (unsigned nth = 1; error; nth++) {
            hold_all(&topics, &held);
            fails_in = nth;
            error = metadata_topics_own(&topics, made[i]);
            failed += error != 0;
            fails_in = 0;
            check_in_all(&topics, made[i], i, true);
        }
        metadata_topics_remove(&topics, made[i]);
        check_in_all(&topics, made[i], i, false);
        check_in_all(&held, made[i], i, true);
    }
    MR_CHECK(topics.count == 0 && topics.bytes == 0 && failed > FEW * 4);
    metadata_topics_release(&held);
    for (unsigned i = 0; i < FEW; i++) {
        MR_CHECK_EQ(made[i]->references, 1);
        metadata_topic_release(made[i]);
    }
}

MR_TEST_MAIN(MR_TEST_CASE(a_tree_by_name_is_a_sorted_array_whose_copies_stay),
             MR_TEST_CASE(a_tree_by_id_is_a_sorted_array_whose_copies_stay),
             MR_TEST_CASE(a_tree_by_metric_is_a_sorted_array_whose_copies_stay),
             MR_TEST_CASE(a_tree_of_topics_in_order_stays_low),
             MR_TEST_CASE(a_topic_is_in_all_trees_or_in_none))
