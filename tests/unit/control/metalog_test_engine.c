/* tests/unit/control/metalog_test_engine.c: ticks on the ring's timer decide what happens next. */
#include "tests/unit/control/metalog_test_engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/list.h"
#include "dataplane/base/rng.h"

#define TICK_NS_MAX 1000000u
#define LOG_SIZE    100u /* what `fill` reports: any number */

struct entry {
    struct mr_list node;
    uint64_t token;
    size_t size;
    uint8_t bytes[];
};

struct engine {
    struct mr_metalog base;
    struct mr_test_engine_config config;
    struct mr_rng rng;
    struct mr_uring *uring;
    struct mr_uring_op tick;
    struct __kernel_timespec tick_time;
    struct mr_list pending;
    unsigned pending_count;
    uint64_t index;
    struct mr_metadata *state; /* of all that is committed */
    bool leads;
    bool silent; /* what commits will be told of by a snapshot */
};

static void
commit(struct engine *engine, const uint8_t *command, size_t size, uint64_t token)
{
    struct mr_metadata_outcome outcome;

    if (engine->config.observe) {
        engine->config.observe(engine->config.context, command, size, token);
    }
    engine->index++;
    MR_ASSERT(mr_metadata_apply(engine->state, command, size, &outcome) == 0);
    if (!engine->silent) {
        engine->base.events.committed(engine->base.events.context, engine->index, command, size,
                                      token);
    }
}

static struct entry *
take_first(struct engine *engine)
{
    struct mr_list *node = mr_list_pop_front(&engine->pending);

    engine->pending_count -= node != NULL;
    return node ? MR_CONTAINER_OF(node, struct entry, node) : NULL;
}

static void
commit_some(struct engine *engine)
{
    uint64_t count = mr_rng_below(&engine->rng, 4);

    for (uint64_t i = 0; i < count; i++) {
        struct entry *entry = take_first(engine);

        if (!entry) {
            return;
        }
        commit(engine, entry->bytes, entry->size, entry->token);
        free(entry);
    }
}

static void
commit_of_another_broker(struct engine *engine)
{
    uint8_t command[128];
    size_t size;

    if (mr_rng_below(&engine->rng, 2)) {
        size = mr_metadata_encode_producer_ids(command, sizeof(command), 50);
    } else { /* changes every topic */
        struct mr_metadata_change change = {.op = (enum mr_config_op)mr_rng_below(&engine->rng, 2),
                                            .name = "log.retention.ms",
                                            .value = "12345"};

        size = mr_metadata_encode_settings(command, sizeof(command), MR_METADATA_BROKER, "", false,
                                           &change, 1);
    }
    commit(engine, command, size, 0);
}

static void
drop_first(struct engine *engine, bool tell)
{
    struct entry *entry = take_first(engine);

    if (entry && tell) {
        engine->base.events.dropped(engine->base.events.context, entry->token);
    }
    free(entry);
}

/* The process has fallen behind: a snapshot stands for what it has not been told of. */
static void
skip_ahead(struct engine *engine)
{
    struct mr_metadata_image *image;
    uint8_t *bytes;
    size_t size;

    engine->silent = true;
    commit_some(engine);
    commit_of_another_broker(engine);
    engine->silent = false;
    image = mr_metadata_image_take(engine->state);
    MR_ASSERT(image);
    bytes = mr_metadata_image_save(image, &size);
    MR_ASSERT(bytes);
    engine->base.events.restore(engine->base.events.context, engine->index, bytes, size);
    free(bytes);
    mr_metadata_image_release(image);
}

/* What was pending when leadership went: the fates the contract allows. */
static void
decide_one_of_the_past(struct engine *engine)
{
    switch (mr_rng_below(&engine->rng, 5)) {
    case 0:
        commit_some(engine);
        break;
    case 1:
        drop_first(engine, true);
        break;
    case 2:
        drop_first(engine, false);
        break;
    case 3:
        skip_ahead(engine);
        break;
    default:
        commit_of_another_broker(engine);
        break;
    }
}

static void
set_leads(struct engine *engine, bool leads)
{
    engine->leads = leads;
    if (!leads && engine->config.observe_loss) {
        engine->config.observe_loss(engine->config.context);
    }
    engine->base.events.leading(engine->base.events.context, leads);
}

static void
turn(struct engine *engine)
{
    if (!engine->leads) {
        if (engine->pending_count > 0) {
            decide_one_of_the_past(engine);
        } else if (mr_rng_below(&engine->rng, 4) == 0) {
            set_leads(engine, true);
        }
        return;
    }
    if (engine->index >= engine->config.calm_commits &&
        mr_rng_unit(&engine->rng) < engine->config.lose_chance) {
        if (mr_rng_below(&engine->rng, 2)) {
            drop_first(engine, true); /* some hear of it before, some after */
        }
        set_leads(engine, false);
        return;
    }
    if (engine->index >= engine->config.calm_commits &&
        mr_rng_unit(&engine->rng) < engine->config.drop_chance) {
        drop_first(engine, true);
    }
    commit_some(engine);
}

static void
arm(struct engine *engine)
{
    struct io_uring_sqe *sqe = mr_uring_prepare(engine->uring, &engine->tick);

    engine->tick_time.tv_nsec = (long long)mr_rng_below(&engine->rng, TICK_NS_MAX);
    io_uring_prep_timeout(sqe, &engine->tick_time, 0, 0);
    io_uring_sqe_set_data(sqe, &engine->tick);
}

static void
on_tick(struct mr_uring_op *op, int32_t result, uint32_t flags)
{
    struct engine *engine = MR_CONTAINER_OF(op, struct engine, tick);

    (void)result;
    (void)flags;
    turn(engine);
    arm(engine);
}

static int
engine_append(struct mr_metalog *base, const uint8_t *command, size_t size, uint64_t token)
{
    struct engine *engine = MR_CONTAINER_OF(base, struct engine, base);
    struct entry *entry;

    if (!engine->leads) {
        return -EPERM;
    }
    entry = malloc(sizeof(*entry) + size);
    if (!entry || engine->pending_count == MR_METALOG_PENDING_MAX) {
        free(entry);
        return -EAGAIN;
    }
    entry->token = token;
    entry->size = size;
    memcpy(entry->bytes, command, size);
    mr_list_push_back(&engine->pending, &entry->node);
    engine->pending_count++;
    return 0;
}

static int
engine_snapshot_begin(struct mr_metalog *base, uint64_t index)
{
    const struct engine *engine = MR_CONTAINER_OF(base, struct engine, base);

    return index == engine->index ? 0 : -EINVAL;
}

static int
engine_snapshot_end(struct mr_metalog *base, uint8_t *state, size_t size)
{
    (void)base;
    free(state);
    return size > 0 ? 0 : -EINVAL;
}

static void
engine_fill(const struct mr_metalog *base, uint64_t *used, uint64_t *size)
{
    (void)base;
    *used = LOG_SIZE; /* full: every look leads to a snapshot */
    *size = LOG_SIZE;
}

static void
engine_close(struct mr_metalog *base)
{
    struct engine *engine = MR_CONTAINER_OF(base, struct engine, base);

    while (engine->pending_count > 0) {
        drop_first(engine, false);
    }
    mr_metadata_destroy(engine->state);
    free(engine); /* the ring, which still has the tick, is closed next and reaped no more */
}

static const struct mr_metalog_ops engine_ops = {
    .append = engine_append,
    .snapshot_begin = engine_snapshot_begin,
    .snapshot_end = engine_snapshot_end,
    .fill = engine_fill,
    .close = engine_close,
};

int
mr_test_engine_open(const struct mr_test_engine_config *config, struct mr_uring *uring,
                    const struct mr_metalog_events *events, struct mr_metalog **out)
{
    struct engine *engine = calloc(1, sizeof(*engine));

    if (!engine) {
        return -ENOMEM;
    }
    engine->state = mr_metadata_create(1, config->defaults);
    if (!engine->state) {
        free(engine);
        return -ENOMEM;
    }
    engine->base.ops = &engine_ops;
    engine->base.events = *events;
    engine->config = *config;
    engine->uring = uring;
    engine->tick.done = on_tick;
    mr_rng_init(&engine->rng, config->seed);
    mr_list_init(&engine->pending);
    arm(engine);
    *out = &engine->base;
    set_leads(engine, true);
    return 0;
}
