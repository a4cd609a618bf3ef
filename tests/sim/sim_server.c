/* tests/sim/sim_server.c: builds and turns one simulated shard. */
#include "tests/sim/sim_server.h"

#include <stdlib.h>

#include <rte_eal.h>

#include "control/metadata.h"
#include "dataplane/base/assert.h"
#include "storage/dev.h"
#include "tests/mr_test.h"
#include "tests/sim/sim_timer.h"

#define STORE_BYTES   (16u * 1024 * 1024)
#define JOURNAL_BYTES (2u * 1024 * 1024)
#define WALL_MS       1700000000000
#define TURNS_MAX     10000000u
#define EVENTS_MAX    256u /* of the network, in one turn */

/* Made once, the same for every run: the topic's metadata; the mesh, whose credits are all back
 * when a run ends; the store's memory, whose former contents do not matter. */
static const struct mr_snapshot *snapshot;
static struct mr_mesh *mesh;
static uint8_t *arena;
static const struct mr_uuid cluster_id = {{7}};

static void
make_snapshot(void)
{
    struct mr_config *config = mr_config_create();
    struct mr_topic_defaults defaults;
    static uint16_t stores[SIM_SERVER_PARTITIONS];
    struct mr_metadata_new_topic topic = {.id = {{9}},
                                          .name = "t",
                                          .name_size = 1,
                                          .partition_count = SIM_SERVER_PARTITIONS,
                                          .stores = stores};
    struct mr_metadata_outcome outcome;
    static struct mr_metadata *metadata; /* kept, as its snapshot is */
    uint8_t command[4096];
    size_t size;

    mr_topic_defaults(config, &defaults);
    metadata = mr_metadata_create(1, &defaults);
    size = mr_metadata_encode_cluster(command, sizeof(command), &cluster_id);
    MR_CHECK_EQ(mr_metadata_apply(metadata, command, size, &outcome), 0);
    size = mr_metadata_encode_create_topic(command, sizeof(command), &topic);
    MR_CHECK_EQ(mr_metadata_apply(metadata, command, size, &outcome), 0);
    snapshot = mr_metadata_snapshot(metadata);
    mr_config_destroy(config);
}

void
sim_server_runtime(void)
{
    const uint32_t credits[] = {8, 8, 8, 8};
    _Static_assert(sizeof(credits) / sizeof(credits[0]) == MR_MESH_CLASSES, "one for each class");
    const char *arguments[] = {"sim",
                               "--no-pci",
                               "--no-huge",
                               "-m",
                               "16",
                               "--no-shconf",
                               "--no-telemetry",
                               "--log-level",
                               "lib.eal:error",
                               "--lcores",
                               "0@(0-1)"};

    MR_CHECK(
        rte_eal_init(sizeof(arguments) / sizeof(arguments[0]), (char **)(uintptr_t)arguments) >= 0);
    MR_CHECK_EQ(mr_mesh_create(1, credits, &mesh), 0);
    arena = aligned_alloc(MR_DEV_BLOCK, MR_STORE_ARENA_MIN);
    MR_CHECK(arena != NULL);
    make_snapshot();
}

struct sim_server_config
sim_server_defaults(uint64_t seed)
{
    return (struct sim_server_config){
        .seed = seed,
        .delay_ns_max = 100 * MR_NS_PER_US,
        .window_bytes = 65536,
        .buffer_size = 16384,
        .frame_bytes_max = 1024 * 1024,
        .frame_heap_bytes_max = 1024 * 1024 + 4,
    };
}

/* ---- building -------------------------------------------------------------------------------- */

static void
on_room(void *context)
{
    struct sim_server *sim = context;

    if (sim->server) {
        mr_server_room(sim->server);
    }
}

static void
on_low_space(void *context)
{
    struct sim_server *sim = context;

    mr_store_grow_refused(sim->store);
}

static void
open_store(struct sim_server *sim, uint64_t seed)
{
    struct mr_dev_sim_config dev = {.size_bytes = STORE_BYTES, .seed = seed};
    struct mr_store_format format = {
        .store_id = {{1}}, .cluster_id = cluster_id, .node_id = 1, .journal_bytes = JOURNAL_BYTES};
    struct mr_store_config config = {.clock = &sim->clock.clock,
                                     .arena = arena,
                                     .arena_bytes = MR_STORE_ARENA_MIN,
                                     .logs_max = 16,
                                     .producers_max = 64,
                                     .direct_run_bytes = 32768,
                                     .index_bytes_max = 1024 * 1024,
                                     .on_room = on_room,
                                     .on_low_space = on_low_space,
                                     .context = sim};

    sim->medium = mr_dev_sim_create(&dev);
    MR_CHECK(sim->medium != NULL);
    sim->dev = mr_dev_sim_connect(sim->medium);
    config.dev = sim->dev;
    MR_CHECK_EQ(mr_store_format(sim->dev, &format), 0);
    MR_CHECK_EQ(mr_store_open(&config, &sim->store, NULL, 0), 0);
}

static int
on_serve(void *context)
{
    struct sim_server *sim = context;
    uint16_t port;

    return mr_net_listen(sim->net, "10.0.0.2", 9092, &port);
}

static void
on_control(void *context, const struct mr_msg *message)
{
    (void)context;
    (void)message;
    MR_CHECK(!"no message but snapshots and replies comes from control");
}

static void
create_server(struct sim_server *sim, const struct sim_server_config *config)
{
    struct mr_server_config server = {
        .nodes = {.id = 1, .count = 1, .host = "10.0.0.2", .port = 9092},
        .store_count = 1,
        .requests_max = 64,
        .connections_max = SIM_SERVER_CONNECTIONS,
        .frame_bytes_max = config->frame_bytes_max,
        .frame_heap_bytes_max = config->frame_heap_bytes_max,
        .connection_bytes_max = 1024 * 1024,
        .response_heap_bytes_max = 8u * 1024 * 1024,
        .fetch_bytes_max = 1024 * 1024,
        .fetches_parked_max = 16,
        .fetch_sessions_max = 8,
        .quota = {.meters_max = 16, .samples = 11, .sample_ms = 1000, .shard_count = 1},
        .idle_ns = 600 * MR_NS_PER_S,
    };
    struct mr_net_sim_config net = {
        .clock = &sim->clock,
        .seed = config->seed,
        .delay_ns_max = config->delay_ns_max,
        .vanish_ns = 60 * MR_NS_PER_S,
        .window_bytes = config->window_bytes,
        .buffer_count = SIM_SERVER_BUFFERS,
        .buffer_size = config->buffer_size,
        .connections_max = SIM_SERVER_CONNECTIONS,
    };
    struct mr_server_store store = {.store = sim->store};
    struct mr_net_events events;

    MR_CHECK_EQ(mr_server_create(&sim->shard, &server, &store, 1, &sim->server), 0);
    events = mr_server_net_events(sim->server);
    MR_CHECK_EQ(mr_net_sim_create(&net, &events, &sim->net), 0);
    mr_server_net_set(sim->server, sim->net);
    mr_server_on_serve(sim->server, on_serve, sim);
    sim->steps = mr_server_steps(sim->server, on_control, sim);
}

void
sim_server_start(struct sim_server *sim, const struct sim_server_config *config)
{
    memset(sim, 0, sizeof(*sim));
    mr_clock_sim_init(&sim->clock, WALL_MS);
    sim->clock.now_ns = MR_NS_PER_S;
    sim_timers_clock(&sim->clock);
    sim->control = mr_mesh_port(mesh, 1);
    sim->shard = (struct mr_shard){.shard_count = 1,
                                   .clock = &sim->clock.clock,
                                   .now_ns = sim->clock.now_ns,
                                   .port = mr_mesh_port(mesh, 0)};
    open_store(sim, config->seed);
    create_server(sim, config);
    MR_CHECK(mr_mesh_take(sim->control, 0, MR_MESH_REQUEST));
    mr_mesh_send(sim->control, 0,
                 (struct mr_msg){.type = MR_MSG_SNAPSHOT, .context = (void *)(uintptr_t)snapshot});
    MR_CHECK(mr_mesh_take(sim->control, 0, MR_MESH_REQUEST));
    mr_mesh_send(sim->control, 0, (struct mr_msg){.type = MR_MSG_SERVE});
    sim_server_run(sim, 0);
}

/* ---- turning --------------------------------------------------------------------------------- */

static void
answer_control(void *context, const struct mr_msg *message)
{
    struct sim_server *sim = context;
    enum mr_msg_type answer = MR_MSG_CTL_REPLY;

    if (message->type == MR_MSG_SNAPSHOT_ACK || message->type == MR_MSG_SERVE_REPLY) {
        mr_mesh_give(sim->control, 0, MR_MESH_REQUEST);
        return;
    }
    if (message->type == MR_MSG_CTL_CANCEL) { /* it crossed the reply */
        answer = MR_MSG_CTL_CANCELLED;
    } else {
        MR_CHECK_EQ(message->type, MR_MSG_CTL_REQUEST);
    }
    mr_mesh_send(sim->control, 0, (struct mr_msg){.type = answer, .context = message->context});
}

static bool
turn(struct sim_server *sim)
{
    unsigned work;

    sim->shard.now_ns = sim->clock.now_ns;
    work = mr_mesh_poll(sim->shard.port, 64, sim->steps.message, sim->steps.context);
    for (unsigned i = 0; i < EVENTS_MAX && mr_net_sim_due_ns(sim->net) <= sim->clock.now_ns; i++) {
        work += mr_net_sim_step(sim->net);
    }
    work += (unsigned)mr_dev_poll(sim->dev);
    mr_timers_run();
    work += sim->steps.commit(sim->steps.context);
    work += sim->steps.transmit(sim->steps.context);
    return work + mr_mesh_poll(sim->control, 64, answer_control, sim) > 0;
}

static uint64_t
next_event_ns(const struct sim_server *sim)
{
    uint64_t next_ns = mr_net_sim_due_ns(sim->net);
    uint64_t timer_ns = mr_timers_next_ns();
    uint64_t store_ns = sim->steps.deadline_ns(sim->steps.context);

    if (timer_ns != UINT64_MAX && sim->clock.now_ns + timer_ns < next_ns) {
        next_ns = sim->clock.now_ns + timer_ns;
    }
    return store_ns < next_ns ? store_ns : next_ns;
}

bool
sim_server_turn(struct sim_server *sim, uint64_t until_ns)
{
    uint64_t next_ns;

    if (turn(sim)) {
        return true;
    }
    next_ns = next_event_ns(sim);
    if (next_ns > until_ns) {
        return false;
    }
    sim->clock.now_ns = next_ns > sim->clock.now_ns ? next_ns : sim->clock.now_ns;
    return true;
}

void
sim_server_run(struct sim_server *sim, uint64_t duration_ns)
{
    uint64_t until_ns = sim->clock.now_ns + duration_ns;
    unsigned turns = 0;

    while (sim_server_turn(sim, until_ns)) {
        MR_CHECK(++turns < TURNS_MAX);
    }
    sim->clock.now_ns = until_ns;
}

/* ---- the end --------------------------------------------------------------------------------- */

void
sim_server_check_returned(struct sim_server *sim)
{
    struct mr_store_stats stats;

    MR_CHECK_EQ(sim->server->requests_used, 0);
    MR_CHECK_EQ(sim->server->frame_heap_bytes, 0);
    MR_CHECK_EQ(sim->server->fetches_parked, 0);
    MR_CHECK_EQ(sim->net->buffers_free, SIM_SERVER_BUFFERS);
    for (unsigned class = 0; class < MR_MESH_CLASSES; class ++) {
        MR_CHECK_EQ(mr_mesh_in_use(sim->shard.port, 1, class), 0);
    }
    mr_store_stats(sim->store, &stats);
    MR_CHECK_EQ(stats.pinned_bytes, 0);
}

void
sim_server_stop(struct sim_server *sim)
{
    mr_server_stop(sim->server);
    sim_server_run(sim, MR_NS_PER_S); /* the sweep's timer fires for the last time */
    MR_CHECK(mr_server_idle(sim->server));
    MR_CHECK_EQ(sim->net->connections, 0);
    sim_server_check_returned(sim);
    mr_store_abandon(sim->store);
    mr_dev_sim_destroy(sim->medium);
    mr_net_destroy(sim->net);
    mr_server_destroy(sim->server);
}
