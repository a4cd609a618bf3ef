/* Goal: the metadata state machine over its local log keeps every change that was acknowledged,
 * whatever the process and the drive go through. Method: seeded schedules of commands, saves in the
 * background, kills and power cuts, torn, failed and lost writes, delayed commits, over the
 * simulated disk; after each restart the state is that of the acknowledged commands applied to an
 * empty one, and perhaps of some more that were under way, in order. Within a life no snapshot's
 * epoch falls. */
#include <errno.h>
#include <stdlib.h>

#include "control/metadata.h"
#include "control/metalog_local.h"
#include "tests/mr_test.h"
#include "tests/unit/control/saved_state.h"

#define SCHEDULES    500u
#define LIVES        8u
#define DEVICE_BYTES (1024u * 1024)
#define COMMANDS_MAX 2048u
#define COMMAND_SIZE 4096u
#define NAMES        24u

struct command {
    size_t size;
    uint8_t bytes[];
};

struct world {
    struct mr_rng rng;
    struct mr_config *config;
    struct mr_topic_defaults defaults;
    struct mr_dev_sim *sim;
    struct mr_dev *dev;
    struct mr_metalog *log;
    struct mr_metadata *metadata;
    struct command *commands[COMMANDS_MAX]; /* proposed, in order; those that were lost are gone */
    uint64_t proposed;                      /* how many of them */
    uint64_t acknowledged;
    uint64_t applied;                /* index of the last command in the state */
    uint64_t epoch;                  /* that a shard has seen in this life */
    struct mr_metadata_image *image; /* of a save that has begun */
    bool opening;
    bool failed;
};

/* ---- the log's events ------------------------------------------------------------------------ */

static void
on_committed(void *context, uint64_t index, const uint8_t *bytes, size_t size, uint64_t token)
{
    struct world *world = context;
    struct mr_metadata_outcome outcome;

    MR_CHECK_EQ(index, world->applied + 1);
    MR_CHECK_EQ(mr_metadata_apply(world->metadata, bytes, size, &outcome), 0);
    world->applied = index;
    if (!world->opening) {
        MR_CHECK_EQ(token, index);
        world->acknowledged = index;
    }
}

static void
on_restore(void *context, uint64_t index, const uint8_t *state, size_t size)
{
    struct world *world = context;

    MR_CHECK(world->opening && world->applied == 0);
    MR_CHECK_EQ(mr_metadata_load(world->metadata, state, size), 0);
    world->applied = index;
}

static void
on_leading(void *context, bool leads)
{
    (void)context;
    MR_CHECK(leads);
}

static void
on_dropped(void *context, uint64_t token)
{
    (void)context;
    (void)token;
    MR_CHECK(!"the local log drops nothing");
}

static void
on_failed(void *context, int error)
{
    MR_CHECK(error < 0);
    ((struct world *)context)->failed = true;
}

/* ---- commands -------------------------------------------------------------------------------- */

static struct mr_uuid
id_of(uint64_t number)
{
    struct mr_uuid id = {{0}};

    memcpy(id.bytes, &number, sizeof(number));
    id.bytes[15] = 1;
    return id;
}

static size_t
create(struct world *world, uint8_t *out)
{
    static const uint16_t stores[16] = {0, 1, 2, 3};
    char name[16];
    struct mr_metadata_new_topic topic = {
        .id = id_of(world->proposed + 1),
        .name = name,
        .partition_count = 1 + (uint32_t)mr_rng_below(&world->rng, 16),
        .stores = stores,
    };

    topic.name_size = (uint32_t)snprintf(name, sizeof(name), "topic-%u",
                                         (unsigned)mr_rng_below(&world->rng, NAMES));
    return mr_metadata_encode_create_topic(out, COMMAND_SIZE, &topic);
}

/* A topic of the state, or an id that no topic has. */
static struct mr_uuid
any_topic(struct world *world)
{
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(world->metadata);
    struct mr_uuid id = id_of(0);

    MR_CHECK(snapshot != NULL);
    if (snapshot->topic_count > 0) {
        uint64_t number = mr_rng_below(&world->rng, snapshot->topic_count);
        struct mr_topic_walk walk;

        mr_snapshot_walk_ids(snapshot, &id, &walk); /* id_of(0) is before all */
        for (uint64_t i = 0; i < number; i++) {
            mr_topic_walk_next(&walk);
        }
        id = mr_topic_walk_next(&walk)->id;
    }
    mr_metadata_snapshot_release(snapshot);
    return id;
}

static bool
take_tombstone(void *context, const struct mr_uuid *id, int32_t partition, uint16_t store)
{
    (void)store;
    *(struct mr_metadata_log *)context = (struct mr_metadata_log){*id, partition};
    return false;
}

static size_t
logs_deleted(struct world *world, uint8_t *out)
{
    struct mr_metadata_log log = {id_of(0), 0};

    mr_metadata_tombstones(world->metadata, UINT64_MAX, take_tombstone, &log);
    return mr_metadata_encode_logs_deleted(out, COMMAND_SIZE, &log, 1);
}

static size_t
change_config(struct world *world, uint8_t *out)
{
    struct mr_metadata_change change = {.op = (enum mr_config_op)mr_rng_below(&world->rng, 2),
                                        .name = "retention.ms",
                                        .value = "12345"};
    struct mr_uuid id = any_topic(world);

    if (mr_rng_below(&world->rng, 2)) {
        return mr_metadata_encode_topic_config(out, COMMAND_SIZE, &id, false, &change, 1);
    }
    change.name = "log.retention.ms";
    return mr_metadata_encode_settings(out, COMMAND_SIZE, MR_METADATA_BROKER, "", false, &change,
                                       1);
}

static size_t
make_command(struct world *world, uint8_t *out)
{
    struct mr_uuid id;

    switch (mr_rng_below(&world->rng, 8)) {
    case 0:
        id = any_topic(world);
        return mr_metadata_encode_delete_topic(out, COMMAND_SIZE, &id);
    case 1:
        return logs_deleted(world, out);
    case 2:
        return change_config(world, out);
    case 3:
        return mr_metadata_encode_producer_ids(out, COMMAND_SIZE,
                                               1 + (uint32_t)mr_rng_below(&world->rng, 1000));
    case 4:
        return mr_metadata_encode_unclean_start(out, COMMAND_SIZE);
    default:
        return create(world, out);
    }
}

static void
propose(struct world *world)
{
    static uint8_t bytes[COMMAND_SIZE];
    size_t size = make_command(world, bytes);
    struct command *command = malloc(sizeof(*command) + size);
    int error;

    MR_CHECK(command != NULL && size > 0 && world->proposed + 1 < COMMANDS_MAX);
    command->size = size;
    memcpy(command->bytes, bytes, size);
    error = mr_metalog_append(world->log, bytes, size, world->proposed + 1);
    if (error) { /* full until the next save, or failed */
        MR_CHECK_EQ(error, world->failed ? -EIO : -EAGAIN);
        free(command);
        return;
    }
    world->commands[++world->proposed] = command;
}

/* ---- saves ----------------------------------------------------------------------------------- */

static void
drop_image(struct world *world)
{
    if (world->image) {
        mr_metadata_image_release(world->image);
        world->image = NULL;
    }
}

/* Begins a save, or brings the one that has begun to its end, many commands later perhaps. */
static void
save_step(struct world *world)
{
    uint8_t *state;
    size_t size;

    if (!world->image) {
        if (mr_metalog_snapshot_begin(world->log, world->applied) == 0) {
            world->image = mr_metadata_image_take(world->metadata);
            MR_CHECK(world->image != NULL);
        }
        return;
    }
    state = mr_metadata_image_save(world->image, &size);
    MR_CHECK(state != NULL);
    mr_metalog_snapshot_end(world->log, state, size);
    drop_image(world);
}

/* ---- lives ----------------------------------------------------------------------------------- */

/* The state is that of its commands, and none that was acknowledged lacks. */
static void
judge(struct world *world)
{
    struct mr_metadata *expected = mr_metadata_create(1, &world->defaults);
    struct mr_metadata_outcome outcome;

    MR_CHECK(expected != NULL);
    MR_CHECK(world->applied >= world->acknowledged && world->applied <= world->proposed);
    for (uint64_t i = 1; i <= world->applied; i++) {
        MR_CHECK_EQ(mr_metadata_apply(expected, world->commands[i]->bytes, world->commands[i]->size,
                                      &outcome),
                    0);
    }
    MR_CHECK(same_state(expected, world->metadata));
    mr_metadata_destroy(expected);
}

static void
see_snapshot(struct world *world)
{
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(world->metadata);

    MR_CHECK(snapshot && snapshot->epoch >= world->epoch);
    world->epoch = snapshot->epoch;
    mr_metadata_snapshot_release(snapshot);
}

static void
live(struct world *world)
{
    unsigned steps = 20 + (unsigned)mr_rng_below(&world->rng, 200);

    if (mr_rng_below(&world->rng, 2)) {
        mr_dev_sim_cut_after(world->sim, 1 + mr_rng_below(&world->rng, 60),
                             mr_rng_below(&world->rng, 2));
    }
    for (unsigned i = 0; i < steps && !world->failed; i++) {
        switch (mr_rng_below(&world->rng, 8)) {
        case 0:
        case 1:
        case 2:
            propose(world);
            break;
        case 3:
            save_step(world);
            break;
        default:
            if (mr_dev_poll(world->dev) < 0) {
                return;
            }
            see_snapshot(world);
        }
    }
}

static void
die(struct world *world)
{
    mr_dev_sim_cut_after(world->sim, 0, false);
    if (mr_rng_below(&world->rng, 2)) {
        mr_dev_sim_kill(world->sim);
    } else {
        mr_dev_sim_power_cut(world->sim);
    }
    mr_metalog_close(world->log);
    drop_image(world);
    mr_metadata_destroy(world->metadata);
    world->dev = mr_dev_sim_connect(world->sim);
}

/* What was proposed and did not come back has never happened. */
static void
forget_lost(struct world *world)
{
    while (world->proposed > world->applied) {
        free(world->commands[world->proposed--]);
    }
    world->acknowledged = world->applied;
}

static int
try_open(struct world *world, char *reason, size_t reason_size)
{
    struct mr_metalog_events events = {
        .context = world,
        .committed = on_committed,
        .restore = on_restore,
        .leading = on_leading,
        .dropped = on_dropped,
        .failed = on_failed,
    };
    int error;

    world->metadata = mr_metadata_create(1, &world->defaults);
    MR_CHECK(world->metadata != NULL);
    world->applied = 0;
    world->epoch = 0;
    world->failed = false;
    world->opening = true;
    error = mr_metalog_local_open(world->dev, &events, &world->log, reason, reason_size);
    world->opening = false;
    return error;
}

static void
open_again(struct world *world, uint64_t seed)
{
    char reason[256] = "";
    int error;

    while ((error = try_open(world, reason, sizeof(reason))) == -EIO) { /* a read failed */
        mr_metadata_destroy(world->metadata);
        mr_dev_sim_power_cut(world->sim);
        world->dev = mr_dev_sim_connect(world->sim);
    }
    if (error) {
        fprintf(stderr, "seed %llu: open: %d (%s)\n", (unsigned long long)seed, error, reason);
        exit(1);
    }
    judge(world);
    forget_lost(world);
}

static void
run_schedule(uint64_t seed)
{
    static struct world world;
    struct mr_dev_sim_config config = {
        .size_bytes = DEVICE_BYTES,
        .seed = seed,
        .write_fail = seed % 3 == 0 ? 0.01 : 0,
        .read_fail = seed % 5 == 0 ? 0.1 : 0,
        .garbage_on_cut = seed % 2 == 0 ? 0.5 : 0,
        .complete_max = 1,
    };

    memset(&world, 0, sizeof(world));
    mr_rng_init(&world.rng, seed);
    world.config = mr_config_create();
    MR_CHECK(world.config != NULL);
    mr_topic_defaults(world.config, &world.defaults);
    world.sim = mr_dev_sim_create(&config);
    world.dev = mr_dev_sim_connect(world.sim);
    while (mr_metalog_local_format(world.dev) != 0) {
    }
    open_again(&world, seed);
    for (unsigned life = 0; life < LIVES; life++) {
        live(&world);
        die(&world);
        open_again(&world, seed);
    }
    mr_metalog_close(world.log);
    mr_metadata_destroy(world.metadata);
    mr_dev_sim_destroy(world.sim);
    mr_config_destroy(world.config);
    while (world.proposed > 0) {
        free(world.commands[world.proposed--]);
    }
}

MR_TEST(acknowledged_changes_survive_every_schedule)
{
    for (uint64_t seed = 1; seed <= SCHEDULES; seed++) {
        run_schedule(seed);
    }
}

MR_TEST_MAIN(MR_TEST_CASE(acknowledged_changes_survive_every_schedule))
