/* dataplane/launch.c: builds a shard, runs it, takes it down. */
#include "dataplane/launch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/log.h"
#include "dataplane/net/net_dpdk.h"

#define STOP_PATIENCE_NS (5 * MR_NS_PER_S)
#define DRAIN_TURNS_MAX  10000u

/* One store and what it needs on this thread. */
struct unit {
    struct mr_launch_store *plan;
    struct running *running;
    struct mr_dev *dev;
    struct mr_store *store;
    struct mr_ctl_grow grow;
    bool growing;
    bool failed;
};

struct running {
    struct mr_launch *plan;
    struct mr_shard shard;
    struct mr_net *net;
    struct mr_server *server;
    struct mr_shard_steps server_steps;
    struct unit *units;
    unsigned unit_count;
    struct mr_uring_op interrupt;
    int interrupt_fd; /* of the card's queue; -1: it is looked at every dpdk_poll_ns */
    uint64_t interrupts;
    bool stopping;
    bool quiet; /* the control thread knows that no request of this shard is under way */
    bool end;   /* and has said that this holds for every shard */
    uint64_t stop_deadline_ns;
};

/* ---- stores ---------------------------------------------------------------------------------- */

static void
on_room(void *context)
{
    struct unit *unit = context;

    if (unit->running->server) {
        mr_server_room(unit->running->server);
    }
}

static void
on_failed(void *context)
{
    struct unit *unit = context;

    unit->failed = true;
    MR_LOG_ERROR("storage", "store %u has failed; its partitions answer KAFKA_STORAGE_ERROR",
                 unit->plan->index);
}

static void
on_low_space(void *context)
{
    struct unit *unit = context;
    struct running *running = unit->running;
    unsigned control = running->plan->shard_count;

    if (unit->growing || !mr_mesh_take(running->shard.port, control, MR_MESH_REQUEST)) {
        mr_store_grow_refused(unit->store);
        return;
    }
    unit->growing = true;
    unit->grow = (struct mr_ctl_grow){.store = unit->plan->index};
    mr_mesh_send(running->shard.port, control,
                 (struct mr_msg){.type = MR_MSG_STORE_GROW, .context = &unit->grow});
}

static void
on_grown(struct running *running, struct mr_ctl_grow *grow)
{
    struct unit *unit = MR_CONTAINER_OF(grow, struct unit, grow);
    int error = grow->error;

    unit->growing = false;
    mr_mesh_give(running->shard.port, running->plan->shard_count, MR_MESH_REQUEST);
    if (!error) {
        error = mr_dev_resize(unit->dev);
    }
    if (!error) {
        error = mr_store_grow(unit->store);
    }
    if (error) {
        MR_LOG_WARN("storage", "store %u stays as it is: %s", unit->plan->index, strerror(-error));
        mr_store_grow_refused(unit->store);
    }
}

static int
check_identity(const struct unit *unit)
{
    struct mr_store_format identity;
    int error = mr_store_identify(unit->dev, &identity);

    if (error == -EPROTONOSUPPORT) {
        return 0; /* mr_store_open() refuses it as well, and says which version it has */
    }
    if (error) {
        MR_LOG_ERROR("storage", "%s holds no store that this version reads: %s", unit->plan->path,
                     strerror(-error));
        return error;
    }
    if (!mr_uuid_equal(&identity.cluster_id, &unit->running->plan->cluster_id)) {
        MR_LOG_ERROR("storage",
                     "%s belongs to another cluster; give this broker a --data-dir of "
                     "its own",
                     unit->plan->path);
        return -EXDEV;
    }
    if (identity.store_index != unit->plan->index) {
        MR_LOG_ERROR("storage",
                     "%s is store %u and stands where %u belongs; name log.dirs in their "
                     "former order",
                     unit->plan->path, identity.store_index, unit->plan->index);
        return -EXDEV;
    }
    return 0;
}

/* What cannot be registered works as well, for a little more of the CPU. */
static void
lend(const struct unit *unit)
{
    int error = mr_dev_lend(unit->dev, unit->plan->arena, unit->plan->arena_bytes);

    if (error && error != -ENOTSUP) {
        MR_LOG_WARN("storage", "%s: the memory of the store is not registered (%s%s)",
                    unit->plan->path, strerror(-error),
                    error == -ENOMEM   ? "; raise the limit of locked memory, ulimit -l"
                    : error == -EMFILE ? "; it lies in too many huge pages, take those of 1 GiB"
                                       : "");
    }
}

static int
open_unit(struct unit *unit)
{
    struct running *running = unit->running;
    struct mr_store_config config = running->plan->store;
    char reason[256] = "";
    int error =
        mr_dev_open(unit->plan->path, &running->shard.uring, &running->plan->drive, &unit->dev);

    if (error) {
        MR_LOG_ERROR("storage", "%s: %s", unit->plan->path,
                     error == -EWOULDBLOCK ? "in use by another broker" : strerror(-error));
        return error;
    }
    if (running->plan->drive.registered) {
        lend(unit);
    }
    if (running->plan->dev_volatile) {
        error = mr_dev_volatile_open(unit->dev, &unit->dev);
    }
    error = error ? error : check_identity(unit);
    if (error) {
        return error;
    }
    config.dev = unit->dev;
    config.clock = running->plan->clock;
    config.arena = unit->plan->arena;
    config.arena_bytes = unit->plan->arena_bytes;
    config.on_room = on_room;
    config.on_failed = on_failed;
    config.on_low_space = unit->plan->grows ? on_low_space : NULL;
    config.context = unit;
    error = mr_store_open(&config, &unit->store, reason, sizeof(reason));
    if (error) {
        MR_LOG_ERROR("storage", "%s cannot be opened: %s (%s)", unit->plan->path,
                     reason[0] ? reason : "no reason given", strerror(-error));
    }
    return error;
}

static void
close_units(struct running *running)
{
    for (unsigned i = 0; i < running->unit_count; i++) {
        struct unit *unit = &running->units[i];

        if (unit->store && (unit->failed || !mr_server_idle(running->server))) {
            mr_store_abandon(unit->store); /* the next open replays */
        } else if (unit->store && mr_store_close(unit->store) != 0) {
            MR_LOG_WARN("storage", "store %u was not closed cleanly", unit->plan->index);
        }
        mr_dev_close(unit->dev);
    }
}

/* ---- messages of the control thread ---------------------------------------------------------- */

static void
on_control(void *context, const struct mr_msg *message)
{
    struct running *running = context;

    switch ((enum mr_msg_type)message->type) {
    case MR_MSG_STORE_GROW_REPLY:
        on_grown(running, message->context);
        break;
    case MR_MSG_STOP:
        running->stopping = true;
        running->stop_deadline_ns = running->shard.now_ns + STOP_PATIENCE_NS;
        mr_server_stop(running->server);
        break;
    case MR_MSG_END:
        running->end = true;
        break;
    default:
        MR_ASSERT(!"a message that no endpoint sends to a shard");
        break;
    }
}

static bool
growing(const struct running *running)
{
    for (unsigned i = 0; i < running->unit_count; i++) {
        if (running->units[i].growing) {
            return true; /* the control thread's worker has our memory */
        }
    }
    return false;
}

/* A drive that takes no interrupts is asked as long as it has something to do, which also keeps the
 * shard from sleeping. */
static bool
poll_drives(struct running *running)
{
    bool busy = false;

    for (unsigned i = 0; i < running->unit_count; i++) {
        if (mr_dev_busy(running->units[i].dev)) {
            mr_dev_poll(running->units[i].dev);
            busy = true;
        }
    }
    return busy;
}

static bool
on_commit(void *context)
{
    struct running *running = context;
    bool worked = running->plan->dpdk_port && mr_net_dpdk_poll(running->net, running->shard.now_ns);

    worked |= poll_drives(running);
    worked |= running->server_steps.commit(running->server_steps.context);

    if (running->stopping && !running->quiet && mr_server_idle(running->server)) {
        running->quiet = true;
        mr_mesh_send(running->shard.port, running->plan->shard_count,
                     (struct mr_msg){.type = MR_MSG_QUIET});
    }
    /* A quiet shard still answers the others: one that ended now would leave them waiting. */
    if (running->stopping && !growing(running) &&
        (running->end || running->shard.now_ns >= running->stop_deadline_ns)) {
        mr_shard_stop(&running->shard);
    }
    return worked;
}

static bool
on_transmit(void *context)
{
    struct running *running = context;

    bool worked = running->server_steps.transmit(running->server_steps.context);

    if (running->plan->dpdk_port) {
        worked |= mr_net_dpdk_flush(running->net, running->shard.now_ns);
    }
    return worked;
}

static void
on_message(void *context, const struct mr_msg *message)
{
    struct running *running = context;

    running->server_steps.message(running->server_steps.context, message);
}

/* When the card's queue has to be looked at again: its interrupt says so, or it is time. */
static uint64_t
next_look_ns(const struct running *running)
{
    const struct mr_launch *plan = running->plan;

    if (mr_dpdk_steer_waiting(&plan->dpdk_port->steer, plan->dpdk_queue)) {
        return running->shard.now_ns;
    }
    if (running->interrupt_fd < 0) {
        return running->shard.now_ns + plan->dpdk_poll_ns;
    }
    return mr_dpdk_port_arm(plan->dpdk_port, plan->dpdk_queue) ? UINT64_MAX : running->shard.now_ns;
}

static uint64_t
deadline_ns(void *context)
{
    struct running *running = context;
    uint64_t deadline = running->server_steps.deadline_ns(running->server_steps.context);

    if (running->plan->dpdk_port) { /* without interrupts nothing wakes it when a packet arrives */
        uint64_t of_net = mr_net_dpdk_deadline(running->net);
        uint64_t poll = next_look_ns(running);

        of_net = poll < of_net ? poll : of_net;
        deadline = of_net < deadline ? of_net : deadline;
    }
    for (unsigned i = 0; i < running->unit_count; i++) {
        if (running->units[i].dev && mr_dev_busy(running->units[i].dev)) {
            return running->shard.now_ns; /* a ring of the store's own is not slept on */
        }
    }
    if (running->stopping && running->stop_deadline_ns < deadline) {
        return running->stop_deadline_ns;
    }
    return deadline;
}

/* Clients may come, with direct routing to a port of this shard's own. */
static int
on_serve(void *context)
{
    struct running *running = context;
    const struct mr_launch *plan = running->plan;
    uint16_t place = (uint16_t)(plan->shard % plan->server.nodes.count);
    uint16_t wanted = (uint16_t)(plan->listen_port + place);
    uint16_t port;
    int error = mr_net_listen(running->net, plan->listen_host, wanted, &port);

    if (error) {
        MR_LOG_ERROR("net", "cannot listen on %s:%u: %s", plan->listen_host, wanted,
                     strerror(-error));
    }
    return error;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
await_interrupt(struct running *running)
{
    io_uring_prep_poll_add(mr_uring_prepare(&running->shard.uring, &running->interrupt),
                           running->interrupt_fd, POLLIN);
}

/* The shard is awake, which is all that was wanted; the next sleep arms the queue again. */
static void
on_interrupt(struct mr_uring_op *op, int32_t result, uint32_t flags)
{
    struct running *running = MR_CONTAINER_OF(op, struct running, interrupt);

    (void)result;
    (void)flags;
    io_uring_prep_read(mr_uring_prepare_quiet(&running->shard.uring), running->interrupt_fd,
                       &running->interrupts, sizeof(running->interrupts), 0);
    await_interrupt(running);
}

static void
use_interrupts(struct running *running)
{
    const struct mr_launch *plan = running->plan;

    running->interrupt_fd = mr_dpdk_port_interrupt(plan->dpdk_port, plan->dpdk_queue);
    if (running->interrupt_fd < 0) {
        MR_LOG_WARN("net",
                    "shard %u: the device has no interrupts for its queues; it is looked at "
                    "every dpdk.poll.us",
                    plan->shard);
        return;
    }
    running->interrupt.done = on_interrupt;
    await_interrupt(running);
}

/* The queues of one port belong to the shards in order. */
static void
on_handed(void *context, uint16_t queue)
{
    const struct running *running = context;

    mr_mesh_nudge(running->plan->port, queue);
}

static int
create_net(struct running *running)
{
    struct mr_launch *plan = running->plan;
    struct mr_net_events events = mr_server_net_events(running->server);
    struct mr_net_uring_config kernel = {
        .uring = &running->shard.uring,
        .arena = plan->receive_arena,
        .buffer_count = plan->receive_buffers,
        .buffer_size = plan->receive_buffer_size,
        .connections_max = plan->server.connections_max,
    };
    struct mr_net_dpdk_config dpdk = {
        .port = plan->dpdk_port,
        .queue = plan->dpdk_queue,
        .clock = plan->clock,
        .connections_max = plan->server.connections_max,
        .sends_max = plan->server.requests_max,
        .handed = on_handed,
        .handed_context = running,
    };

    return plan->dpdk_port ? mr_net_dpdk_create(&dpdk, &events, &running->net)
                           : mr_net_uring_create(&kernel, &events, &running->net);
}

static int
create_server(struct running *running)
{
    struct mr_launch *plan = running->plan;
    struct mr_server_store *stores = calloc(plan->store_count + 1, sizeof(*stores));
    int error = -ENOMEM;

    for (unsigned i = 0; stores && i < plan->store_count; i++) {
        stores[i] = (struct mr_server_store){plan->stores[i].index, running->units[i].store};
    }
    if (stores) {
        error = mr_server_create(&running->shard, &plan->server, stores, plan->store_count,
                                 &running->server);
    }
    free(stores);
    if (!error) {
        error = create_net(running);
    }
    if (!error) {
        mr_server_net_set(running->server, running->net);
    }
    return error;
}

static int
build(struct running *running)
{
    struct mr_launch *plan = running->plan;
    int error = mr_shard_init(&running->shard, plan->shard, plan->shard_count, plan->clock,
                              plan->port, plan->spin_ns);

    running->units = calloc(plan->store_count + 1, sizeof(*running->units));
    if (error || !running->units) {
        MR_LOG_ERROR("shard", "shard %u has no io_uring: %s", plan->shard,
                     strerror(error ? -error : ENOMEM));
        return -ENOMEM;
    }
    /* A shard that never sleeps leaves its CPU to nobody: workers would wait for the next tick. */
    mr_uring_place_workers(&running->shard.uring, plan->worker_cpus, plan->worker_cpu_count);
    for (unsigned i = 0; i < plan->store_count && !error; i++) {
        running->units[i].plan = &plan->stores[i];
        running->units[i].running = running;
        running->unit_count = i + 1;
        error = open_unit(&running->units[i]);
    }
    if (error) {
        return error;
    }
    error = create_server(running);
    if (error) {
        MR_LOG_ERROR("net", "shard %u has no transport: %s", plan->shard, strerror(-error));
        return error;
    }
    if (plan->dpdk_port && plan->nic_interrupts) {
        use_interrupts(running);
    }
    mr_server_on_serve(running->server, on_serve, running);
    running->server_steps = mr_server_steps(running->server, on_control, running);
    return 0;
}

static void
tell_ready(struct running *running, bool failed)
{
    bool unclean = false;

    for (unsigned i = 0; i < running->unit_count && !failed; i++) {
        unclean |= !mr_store_was_clean(running->units[i].store);
    }
    mr_mesh_send(
        running->plan->port, running->plan->shard_count,
        (struct mr_msg){.type = MR_MSG_SHARD_READY, .value = failed, .arguments = {unclean}});
    mr_mesh_flush(running->plan->port);
    mr_uring_submit(&running->shard.uring);
}

/* Lets the transport finish with connections whose end is still under way. */
static void
drain(struct running *running)
{
    for (unsigned i = 0; i < DRAIN_TURNS_MAX && running->net->connections > 0; i++) {
        mr_uring_wait(&running->shard.uring, MR_NS_PER_MS);
        mr_uring_reap(&running->shard.uring, UINT32_MAX);
        if (running->plan->dpdk_port) {
            mr_net_dpdk_poll(running->net, mr_clock_now_ns(running->plan->clock));
            mr_net_dpdk_flush(running->net, mr_clock_now_ns(running->plan->clock));
        }
    }
}

int
mr_launch_shard(void *context)
{
    struct running running = {.plan = context, .interrupt_fd = -1};
    struct mr_shard_steps steps = {
        .context = &running,
        .message = on_message,
        .commit = on_commit,
        .transmit = on_transmit,
        .deadline_ns = deadline_ns,
    };
    int error = build(&running);

    tell_ready(&running, error != 0);
    if (error == 0) {
        mr_shard_run(&running.shard, &steps);
        drain(&running);
        close_units(&running);
        mr_mesh_send(running.plan->port, running.plan->shard_count,
                     (struct mr_msg){.type = MR_MSG_STOP_REPLY});
        mr_mesh_flush(running.plan->port);
        mr_uring_submit(&running.shard.uring);
        mr_net_destroy(running.net);
        mr_server_destroy(running.server);
    } else {
        for (unsigned i = 0; i < running.unit_count; i++) {
            if (running.units[i].store) {
                mr_store_abandon(running.units[i].store);
            }
            mr_dev_close(running.units[i].dev);
        }
    }
    free(running.units);
    mr_shard_close(&running.shard);
    return 0;
}
