/* kafka/throttle.c: between the connections and the meters of quota.h. */
#include "dataplane/kafka/throttle.h"

#include <string.h>

#include "dataplane/kafka/conn.h"

#define NS_PER_PERCENT (MR_NS_PER_S / 100.0)

/* ---- what other shards know ------------------------------------------------------------------ */

/* Tells all others, or nobody as long as one of them has no credit left: then with what comes. */
static void
tell_others(struct mr_server *server, struct mr_quota_key key, double limit)
{
    struct mr_shard *shard = server->shard;
    double amount = mr_quotas_untold(server->quotas, key, limit);
    struct mr_msg message = {.type = MR_MSG_QUOTA_USED, .arguments = {key.bits[0], key.bits[1]}};
    unsigned taken = 0;

    if (amount == 0) {
        return;
    }
    while (taken < shard->shard_count &&
           (taken == shard->index || mr_mesh_take(shard->port, taken, MR_MESH_REQUEST))) {
        taken++;
    }
    memcpy(&message.arguments[2], &amount, sizeof(amount));
    for (unsigned i = 0; i < taken; i++) {
        if (i != shard->index && taken == shard->shard_count) {
            mr_mesh_send(shard->port, i, message);
        } else if (i != shard->index) {
            mr_mesh_give(shard->port, i, MR_MESH_REQUEST);
        }
    }
    if (taken == shard->shard_count) {
        mr_quotas_told(server->quotas, key);
    }
}

void
mr_throttle_used(struct mr_server *server, const struct mr_msg *message)
{
    struct mr_quota_key key = {{message->arguments[0], message->arguments[1]}};
    double amount;

    memcpy(&amount, &message->arguments[2], sizeof(amount));
    mr_quotas_learn(server->quotas, key, amount, server->shard->now_ns / MR_NS_PER_MS);
    mr_mesh_send(server->shard->port, message->from, (struct mr_msg){.type = MR_MSG_QUOTA_NOTED});
}

/* ---- charging -------------------------------------------------------------------------------- */

/* A client's quota of one kind. */
struct quota {
    double limit; /* below 0: none */
    struct mr_quota_key key;
};

static bool
any_quota(const struct mr_server *server, enum mr_quota_kind kind)
{
    const struct mr_snapshot *snapshot = server->snapshot;

    return snapshot && snapshot->quotas && snapshot->quotas->any[kind];
}

static struct quota
quota_of(const struct mr_request *request, enum mr_quota_kind kind)
{
    struct quota quota = {.limit = -1};
    struct mr_str client = request->client_id;
    uint32_t size = client.size > 0 ? (uint32_t)client.size : 0;
    bool shared = false;

    if (any_quota(request->server, kind)) {
        quota.limit =
            mr_snapshot_quota(request->server->snapshot->quotas, kind, client.data, size, &shared);
        quota.key = mr_quota_key((uint8_t)kind, shared, client.data, size);
    }
    return quota;
}

static void
throttle(struct mr_request *request, uint64_t wait_ms)
{
    if (wait_ms > request->throttle_ms) {
        request->throttle_ms = (uint32_t)wait_ms;
    }
    if (wait_ms > 0 && request->conn) {
        request->conn->throttled = true;
    }
}

static void
charge(struct mr_request *request, const struct quota *quota, double amount, uint64_t wait_max_ms)
{
    struct mr_server *server = request->server;
    uint64_t wait_ms = mr_quotas_charge(server->quotas, quota->key, quota->limit, amount,
                                        server->shard->now_ns / MR_NS_PER_MS);

    throttle(request, wait_ms < wait_max_ms ? wait_ms : wait_max_ms);
    tell_others(server, quota->key, quota->limit);
}

void
mr_throttle_produce(struct mr_request *request)
{
    struct quota quota = quota_of(request, MR_QUOTA_PRODUCE);

    if (quota.limit >= 0) {
        charge(request, &quota, (double)request->frame_size, UINT64_MAX);
    }
}

uint32_t
mr_throttle_fetch_max(const struct mr_request *request, uint32_t bytes_max)
{
    struct quota quota = quota_of(request, MR_QUOTA_FETCH);
    double window = mr_quotas_window_max(request->server->quotas, quota.limit);

    return quota.limit >= 0 && window < bytes_max ? (uint32_t)window : bytes_max;
}

bool
mr_throttle_fetch(struct mr_request *request, uint64_t bytes)
{
    struct mr_server *server = request->server;
    struct quota quota = quota_of(request, MR_QUOTA_FETCH);

    mr_throttle_answer(request);
    if (quota.limit >= 0 && request->throttle_ms == 0) {
        throttle(request, mr_quotas_try(server->quotas, quota.key, quota.limit, (double)bytes,
                                        server->shard->now_ns / MR_NS_PER_MS));
        tell_others(server, quota.key, quota.limit);
    }
    return request->throttle_ms > 0;
}

void
mr_throttle_answer(struct mr_request *request)
{
    struct quota quota = quota_of(request, MR_QUOTA_REQUEST);
    const struct mr_quota_config *config = &request->server->config.quota;

    if (quota.limit >= 0 && !request->charged && !request->silent) {
        mr_throttle_work_end(request);
        request->charged = true;
        charge(request, &quota, (double)request->worked_ns / NS_PER_PERCENT, config->sample_ms);
    }
}

void
mr_throttle_work_begin(struct mr_request *request)
{
    if (any_quota(request->server, MR_QUOTA_REQUEST)) {
        request->works_since_ns = mr_clock_now_ns(request->server->shard->clock);
    }
}

void
mr_throttle_work_end(struct mr_request *request)
{
    if (request->works_since_ns > 0) {
        request->worked_ns +=
            mr_clock_now_ns(request->server->shard->clock) - request->works_since_ns;
        request->works_since_ns = 0;
    }
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void
on_timer(struct mr_timer *timer)
{
    struct mr_conn *conn = MR_CONTAINER_OF(timer, struct mr_conn, throttle_timer);

    conn->throttled = false;
    mr_conn_mark(conn);
}

void
mr_throttle_mute(struct mr_request *request)
{
    struct mr_conn *conn = request->conn;
    uint64_t now_ns = conn->server->shard->now_ns;
    uint64_t end_ns = now_ns + request->throttle_ms * MR_NS_PER_MS;

    if (request->throttle_ms > 0 && end_ns > conn->throttle_end_ns) {
        conn->throttle_end_ns = end_ns;
        mr_timer_start(&conn->throttle_timer, end_ns - now_ns);
    }
}

void
mr_throttle_conn_init(struct mr_conn *conn)
{
    mr_timer_init(&conn->throttle_timer, on_timer);
}

void
mr_throttle_conn_end(struct mr_conn *conn)
{
    mr_timer_stop(&conn->throttle_timer);
}
