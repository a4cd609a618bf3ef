/* kafka/server.c: the shard's steps: messages by type, stores' ticks, answers. */
#include "dataplane/kafka/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/kafka/api.h"
#include "dataplane/kafka/conn.h"
#include "dataplane/kafka/ctl_log.h"
#include "dataplane/kafka/fetch_session.h"
#include "dataplane/kafka/metrics.h"
#include "dataplane/kafka/part.h"
#include "dataplane/kafka/retention.h"
#include "dataplane/kafka/throttle.h"
#include "dataplane/kafka/topic_stats.h"

#define SWEEP_NS         (250 * MR_NS_PER_MS)
#define PATIENT_PER_TURN 16u /* a send costs about 10 us; a turn stays below a millisecond */

void
mr_server_budget(const struct mr_server_config *config,
                 void (*line)(void *context, const char *what, size_t bytes), void *context)
{
    line(context, "request contexts", (size_t)config->requests_max * MR_REQUEST_SIZE);
    line(context, "frames over 4 MiB, and stalled ones", config->frame_heap_bytes_max);
    line(context, "counters of topics", mr_topic_stats_bytes());
    line(context, "fetch sessions", mr_fetch_sessions_bytes(config->fetch_sessions_max));
    line(context, "meters of quotas", mr_quotas_bytes(&config->quota));
    line(context, "connections", config->connections_max * sizeof(struct mr_conn));
}

/* ---- messages -------------------------------------------------------------------------------- */

static void
take_snapshot(struct mr_server *server, const struct mr_msg *message)
{
    const struct mr_snapshot *snapshot = message->context;

    MR_ASSERT(!server->snapshot || snapshot->epoch > server->snapshot->epoch);
    server->snapshot = snapshot;
    mr_retention_settings(server->retention);
    mr_mesh_send(server->shard->port, message->from,
                 (struct mr_msg){.type = MR_MSG_SNAPSHOT_ACK, .arguments = {snapshot->epoch}});
}

static void
serve(struct mr_server *server, const struct mr_msg *message)
{
    int error = server->on_serve(server->on_serve_context);

    mr_mesh_send(server->shard->port, message->from,
                 (struct mr_msg){.type = MR_MSG_SERVE_REPLY, .value = error != 0});
}

/* A reply returns the credit that its request took. */
static void
on_reply(struct mr_server *server, const struct mr_msg *message, enum mr_mesh_class class)
{
    mr_mesh_give(server->shard->port, message->from, class);
    server->retry_conns = true;
}

static void
on_message(void *context, const struct mr_msg *message)
{
    struct mr_server *server = context;

    switch ((enum mr_msg_type)message->type) {
    case MR_MSG_PRODUCE:
        mr_produce_run(server, message->context, message->from);
        break;
    case MR_MSG_PRODUCE_REPLY:
        on_reply(server, message, MR_MESH_REQUEST);
        mr_part_replied(message->context);
        break;
    case MR_MSG_FETCH:
        mr_fetch_run(server, message->context, message->from);
        break;
    case MR_MSG_FETCH_REPLY:
        on_reply(server, message, MR_MESH_REQUEST);
        mr_fetch_replied(message->context);
        break;
    case MR_MSG_FETCH_RELEASE:
        mr_fetch_release_run(server, message->context, message->from);
        break;
    case MR_MSG_FETCH_RELEASED:
        on_reply(server, message, MR_MESH_RELEASE);
        mr_fetch_released(message->context);
        break;
    case MR_MSG_WATCH:
        mr_fetch_watch_run(server, message->context, message->from);
        break;
    case MR_MSG_WATCH_FIRED:
        mr_fetch_watch_fired(message->context);
        break;
    case MR_MSG_WATCH_CANCEL:
        mr_fetch_watch_cancel_run(server, message->context, message->from);
        break;
    case MR_MSG_WATCH_CANCELLED:
        on_reply(server, message, MR_MESH_WATCH);
        mr_fetch_watch_cancelled(message->context);
        break;
    case MR_MSG_OFFSETS:
        mr_offsets_run(server, message->context, message->from);
        break;
    case MR_MSG_OFFSETS_REPLY:
        on_reply(server, message, MR_MESH_REQUEST);
        mr_part_replied(message->context);
        break;
    case MR_MSG_LOGS:
        mr_logs_run(server, message->context, message->from);
        break;
    case MR_MSG_LOGS_REPLY:
        on_reply(server, message, MR_MESH_REQUEST);
        mr_part_replied(message->context);
        break;
    case MR_MSG_QUOTA_USED:
        mr_throttle_used(server, message);
        break;
    case MR_MSG_QUOTA_NOTED:
        on_reply(server, message, MR_MESH_REQUEST);
        break;
    case MR_MSG_CTL_REPLY:
        mr_control_replied(server, message->context, message->from);
        break;
    case MR_MSG_CTL_CANCELLED:
        mr_control_cancelled(server, message->context, message->from);
        break;
    case MR_MSG_SNAPSHOT:
        take_snapshot(server, message);
        break;
    case MR_MSG_SERVE:
        serve(server, message);
        break;
    case MR_MSG_LOG_DELETE:
        mr_ctl_log_delete(server, message->context, message->from);
        break;
    case MR_MSG_LOG_APPEND:
        mr_ctl_log_append(server, message->context, message->from);
        break;
    case MR_MSG_LOG_READ:
        mr_ctl_log_read(server, message->context, message->from);
        break;
    case MR_MSG_METRICS:
        mr_server_metrics(server, message->context);
        mr_mesh_send(server->shard->port, message->from,
                     (struct mr_msg){.type = MR_MSG_METRICS_REPLY, .context = message->context});
        break;
    default:
        server->on_control(server->on_control_context, message);
        break;
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* Gives parts that met a full store or no read buffer another try, oldest first. */
static void
retry_parts(struct mr_server *server, struct mr_list *waiting,
            void (*run)(struct mr_server *owner, struct mr_part *part, unsigned from))
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(waiting))) {
        struct mr_part *part = MR_CONTAINER_OF(node, struct mr_part, node);

        part->waiting = false;
        run(server, part, part->from);
        if (part->waiting) {
            return; /* it is at the front again: still no room */
        }
    }
}

static bool
on_commit(void *context)
{
    struct mr_server *server = context;
    bool worked = false;

    if (server->room) {
        server->room = false;
        worked = true;
        mr_ctl_log_retry(server);
        retry_parts(server, &server->appends_waiting, mr_produce_run);
        retry_parts(server, &server->reads_waiting, mr_reads_run);
    }
    worked |= mr_retention_step(server->retention);
    for (unsigned i = 0; i < server->store_count; i++) {
        worked |= mr_store_tick(server->stores[i].store);
    }
    return worked;
}

static bool
on_transmit(void *context)
{
    struct mr_server *server = context;
    bool worked = false;
    struct mr_list dirty;
    struct mr_list *node;

    mr_list_init(&dirty);
    while ((node = mr_list_pop_front(&server->conns_dirty))) {
        mr_list_push_back(&dirty, node);
    }
    for (unsigned i = 0; i < PATIENT_PER_TURN; i++) {
        if (!(node = mr_list_pop_front(&server->conns_patient))) {
            break;
        }
        MR_CONTAINER_OF(node, struct mr_conn, dirty_node)->patient = false;
        mr_list_push_back(&dirty, node);
    }
    while ((node = mr_list_pop_front(&dirty))) {
        struct mr_conn *conn = MR_CONTAINER_OF(node, struct mr_conn, dirty_node);

        mr_conn_go_on(conn);
        worked = true;
    }
    if (server->retry_conns) {
        server->retry_conns = false;
        mr_conn_retry_all(server);
    }
    return worked || !mr_list_empty(&server->conns_dirty) || !mr_list_empty(&server->conns_patient);
}

static uint64_t
deadline_ns(void *context)
{
    struct mr_server *server = context;
    uint64_t deadline = mr_retention_deadline_ns(server->retention);

    for (unsigned i = 0; i < server->store_count; i++) {
        uint64_t of_store = mr_store_deadline_ns(server->stores[i].store);

        deadline = of_store < deadline ? of_store : deadline;
    }
    return deadline;
}

struct mr_shard_steps
mr_server_steps(struct mr_server *server,
                void (*on_control)(void *context, const struct mr_msg *message), void *context)
{
    server->on_control = on_control;
    server->on_control_context = context;
    return (struct mr_shard_steps){
        .context = server,
        .message = on_message,
        .commit = on_commit,
        .transmit = on_transmit,
        .deadline_ns = deadline_ns,
    };
}

void
mr_server_on_serve(struct mr_server *server, int (*on_serve)(void *context), void *context)
{
    server->on_serve = on_serve;
    server->on_serve_context = context;
}

void
mr_server_room(struct mr_server *server)
{
    server->room = true;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
on_sweep(struct mr_timer *timer)
{
    struct mr_server *server = MR_CONTAINER_OF(timer, struct mr_server, sweep_timer);

    mr_conn_sweep(server);
    if (!mr_list_empty(&server->conns_open)) {
        mr_timer_start(timer, SWEEP_NS);
    }
}

void
mr_server_wake_sweep(struct mr_server *server)
{
    if (!mr_timer_running(&server->sweep_timer)) {
        mr_timer_start(&server->sweep_timer, SWEEP_NS);
    }
}

int
mr_server_create(struct mr_shard *shard, const struct mr_server_config *config,
                 const struct mr_server_store *stores, unsigned store_count, struct mr_server **out)
{
    struct mr_server *server = calloc(1, sizeof(*server));

    if (!server) {
        return -ENOMEM;
    }
    server->shard = shard;
    server->config = *config;
    /* A parked fetch keeps its context: some are left for what ends it, such as a Produce. */
    if (server->config.fetches_parked_max > config->requests_max - config->requests_max / 4) {
        server->config.fetches_parked_max = config->requests_max - config->requests_max / 4;
    }
    server->store_count = store_count;
    mr_list_init(&server->conns_free);
    mr_list_init(&server->conns_open);
    mr_list_init(&server->conns_waiting);
    mr_list_init(&server->conns_dirty);
    mr_list_init(&server->conns_patient);
    mr_list_init(&server->requests_free);
    mr_list_init(&server->appends_waiting);
    mr_list_init(&server->reads_waiting);
    mr_list_init(&server->control_waiting);
    mr_timer_init(&server->sweep_timer, on_sweep);
    server->stores = calloc(store_count + 1, sizeof(*stores));
    server->conns = calloc(config->connections_max, sizeof(*server->conns));
    server->requests = aligned_alloc(64, (size_t)config->requests_max * MR_REQUEST_SIZE);
    server->scratch = mr_batch_scratch_create();
    server->topic_stats = mr_topic_stats_create();
    server->retention = mr_retention_create(server);
    server->fetch_sessions = mr_fetch_sessions_create(
        config->fetch_sessions_max, (uint32_t)(mr_clock_wall_ms(shard->clock) / 1000), shard->index,
        shard->shard_count);
    server->quotas = mr_quotas_create(&config->quota);
    if (!server->quotas || !server->fetch_sessions || !server->topic_stats || !server->retention ||
        !server->stores || !server->conns || !server->requests || !server->scratch) {
        mr_server_destroy(server);
        return -ENOMEM;
    }
    memcpy(server->stores, stores, store_count * sizeof(*stores));
    for (uint32_t i = 0; i < config->connections_max; i++) {
        mr_list_push_back(&server->conns_free, &server->conns[i].node);
    }
    for (uint32_t i = 0; i < config->requests_max; i++) {
        struct mr_request *request =
            (struct mr_request *)(server->requests + (size_t)i * MR_REQUEST_SIZE);

        mr_list_push_back(&server->requests_free, &request->node);
    }
    *out = server;
    return 0;
}

struct mr_net_events
mr_server_net_events(struct mr_server *server)
{
    return (struct mr_net_events){
        .context = server,
        .accepted = mr_conn_accepted,
        .received = mr_conn_received,
        .leaving = mr_conn_leaving,
        .closed = mr_conn_closed,
    };
}

void
mr_server_net_set(struct mr_server *server, struct mr_net *net)
{
    server->net = net;
}

void
mr_server_stop(struct mr_server *server)
{
    server->stopping = true;
    mr_net_listen_stop(server->net);
    MR_LIST_FOR_EACH(node, &server->conns_open)
    {
        mr_conn_close(MR_CONTAINER_OF(node, struct mr_conn, node));
    }
}

bool
mr_server_idle(const struct mr_server *server)
{
    return server->requests_used == 0 && mr_list_empty(&server->conns_open) &&
           mr_retention_idle(server->retention);
}

void
mr_server_destroy(struct mr_server *server)
{
    if (!server) {
        return;
    }
    mr_retention_destroy(server->retention);
    mr_fetch_sessions_destroy(server->fetch_sessions);
    mr_quotas_destroy(server->quotas);
    mr_batch_scratch_destroy(server->scratch);
    mr_topic_stats_destroy(server->topic_stats);
    free(server->requests);
    free(server->conns);
    free(server->stores);
    free(server);
}

struct mr_store *
mr_server_store(const struct mr_server *server, uint16_t index)
{
    for (unsigned i = 0; i < server->store_count; i++) {
        if (server->stores[i].index == index) {
            return server->stores[i].store;
        }
    }
    return NULL;
}
