/* tcp/tcp.c: the stack as a whole, and what its owner and the application call. */
#include "dataplane/tcp/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/tcp/tcp_priv.h"

#define PORT_FIRST 32768u
#define PORT_COUNT 28232u /* up to 60999, as Linux has it */

void
mr_tcp_config_init(struct mr_tcp_config *config)
{
    *config = (struct mr_tcp_config){
        .mtu = 1500,
        .conns_max = 1024,
        .half_open_max = 256,
        .listeners_max = 8,
        .segments_max = 65536,
        .reorder_max = 16384,
        .conn_reorder_max = 4096,
        .conn_queued_max = 4096,
        .receive_buffer_min = 64u << 10,
        .receive_buffer_max = 4u << 20,
        .cc = MR_TCP_CC_CUBIC,
        .timestamps = true,
        .sack = true,
        .window_scale = true,
        .rack = true,
        .hystart = true,
        .rto_initial_ns = MR_NS_PER_S,
        .rto_min_ns = 200 * MR_NS_PER_MS,
        .rto_max_ns = 120 * MR_NS_PER_S,
        .delayed_ack_ns = 40 * MR_NS_PER_MS,
        .probe_min_ns = 2 * MR_NS_PER_MS,
        .time_wait_ns = 60 * MR_NS_PER_S,
        .fin_wait_2_ns = 60 * MR_NS_PER_S,
        .linger_ns = 60 * MR_NS_PER_S,
        .keepalive_idle_ns = 7200 * MR_NS_PER_S,
        .keepalive_interval_ns = 75 * MR_NS_PER_S,
        .keepalive_probes = 9,
        .retries_max = 15,
        .syn_retries_max = 6,
        .synack_retries_max = 5,
        .mtu_raise_ns = 600 * MR_NS_PER_S,
        .challenge_gap_ns = 500 * MR_NS_PER_MS,
    };
}

static bool
config_valid(const struct mr_tcp_config *config)
{
    return config->address_count > 0 && config->address_count <= MR_TCP_ADDRESSES_MAX &&
           config->mtu >= 576 && config->mtu <= 65535 && config->tso_max <= 65495 &&
           config->conns_max > 0 && config->conns_max <= 1u << 24 && config->segments_max > 0 &&
           config->half_open_max <= config->conns_max && config->listeners_max <= 1024 &&
           config->receive_buffer_min >= 2048 &&
           config->receive_buffer_min <= config->receive_buffer_max &&
           config->receive_buffer_max <= 1u << 30 && config->rto_min_ns > 0 &&
           config->rto_min_ns <= config->rto_initial_ns &&
           config->rto_initial_ns <= config->rto_max_ns &&
           config->delayed_ack_ns <= 500 * MR_NS_PER_MS;
}

static int
allocate(struct mr_tcp *tcp)
{
    const struct mr_tcp_config *config = &tcp->config;
    uint32_t buckets = 64;

    while (buckets < config->conns_max) {
        buckets *= 2;
    }
    tcp->bucket_mask = buckets - 1;
    tcp->conns = calloc(config->conns_max, sizeof(*tcp->conns));
    tcp->segs = calloc(config->segments_max, sizeof(*tcp->segs));
    tcp->buckets = calloc(buckets, sizeof(*tcp->buckets));
    tcp->listeners = calloc(config->listeners_max + 1u, sizeof(*tcp->listeners));
    if (!tcp->conns || !tcp->segs || !tcp->buckets || !tcp->listeners) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < buckets; i++) {
        mr_list_init(&tcp->buckets[i]);
    }
    for (uint32_t i = 0; i < config->conns_max; i++) {
        tcp->conns[i].id = i | 1ull << 32;
        mr_list_push_back(&tcp->free_conns, &tcp->conns[i].hash_node);
    }
    for (uint32_t i = 0; i < config->segments_max; i++) {
        mr_list_push_back(&tcp->free_segs, &tcp->segs[i].node);
    }
    return 0;
}

int
mr_tcp_create(const struct mr_tcp_config *config, const struct mr_tcp_ops *ops,
              const struct mr_tcp_events *events, uint64_t now_ns, struct mr_tcp **out)
{
    struct mr_tcp *tcp;
    int error;

    if (!config_valid(config)) {
        return -EINVAL;
    }
    tcp = calloc(1, sizeof(*tcp));
    if (!tcp) {
        return -ENOMEM;
    }
    tcp->config = *config;
    tcp->ops = *ops;
    tcp->events = *events;
    tcp->now_ns = now_ns;
    tcp->port_next = (uint16_t)(tcp_siphash(config->secret, "port", 4) % PORT_COUNT);
    tcp_wheel_init(&tcp->wheel, now_ns);
    mr_list_init(&tcp->free_conns);
    mr_list_init(&tcp->all_conns);
    mr_list_init(&tcp->free_segs);
    mr_list_init(&tcp->outputs);
    mr_list_init(&tcp->events_ready);
    mr_list_init(&tcp->time_waits);
    mr_list_init(&tcp->starved);
    error = allocate(tcp);
    if (error) {
        mr_tcp_destroy(tcp);
        return error;
    }
    *out = tcp;
    return 0;
}

void
mr_tcp_destroy(struct mr_tcp *tcp)
{
    if (!tcp) {
        return;
    }
    MR_LIST_FOR_EACH(node, &tcp->all_conns)
    {
        tcp_receive_drop(MR_CONTAINER_OF(node, struct mr_tcp_conn, all_node));
    }
    free(tcp->listeners);
    free(tcp->buckets);
    free(tcp->segs);
    free(tcp->conns);
    free(tcp);
}

/* ---- the owner's loop ------------------------------------------------------------------------ */

void
mr_tcp_tick(struct mr_tcp *tcp, uint64_t now_ns)
{
    struct tcp_timer *timer;

    tcp->now_ns = now_ns;
    while ((timer = tcp_wheel_next(&tcp->wheel, now_ns)) != NULL) {
        struct tcp_timer *first = timer - timer->kind;
        struct mr_tcp_conn *conn = MR_CONTAINER_OF(first, struct mr_tcp_conn, timers);

        tcp_timer_fire(conn, timer, now_ns);
        tcp_conn_reap(conn);
    }
}

unsigned
mr_tcp_flush(struct mr_tcp *tcp, unsigned conns, uint64_t now_ns)
{
    unsigned served = 0;

    tcp->now_ns = now_ns;
    tcp->output_full = false;
    while (served < conns && !mr_list_empty(&tcp->outputs) && !tcp->output_full) {
        struct mr_tcp_conn *conn =
            MR_CONTAINER_OF(mr_list_pop_front(&tcp->outputs), struct mr_tcp_conn, output_node);

        conn->flags &= ~(uint32_t)TCP_DO_OUTPUT;
        tcp_output(conn, now_ns);
        tcp_conn_reap(conn);
        served++;
    }
    return served;
}

uint64_t
mr_tcp_deadline(const struct mr_tcp *tcp)
{
    if (!mr_list_empty(&tcp->outputs) || !mr_list_empty(&tcp->events_ready)) {
        return 0;
    }
    return tcp_wheel_deadline(&tcp->wheel);
}

const struct mr_tcp_stats *
mr_tcp_stats(const struct mr_tcp *tcp)
{
    return &tcp->stats;
}

/* ---- the application ------------------------------------------------------------------------- */

static bool
is_local(const struct mr_tcp *tcp, uint32_t address)
{
    for (unsigned i = 0; i < tcp->config.address_count; i++) {
        if (tcp->config.addresses[i] == address) {
            return true;
        }
    }
    return false;
}

int
mr_tcp_listen(struct mr_tcp *tcp, uint32_t local, uint16_t port)
{
    struct tcp_listener *open = NULL;

    if (local != 0 && !is_local(tcp, local)) {
        return -EADDRNOTAVAIL;
    }
    for (uint32_t i = 0; i < tcp->config.listeners_max; i++) {
        struct tcp_listener *listener = &tcp->listeners[i];

        if (listener->open && listener->port == port && listener->local == local) {
            return -EADDRINUSE;
        }
        open = listener->open ? open : listener;
    }
    if (!open) {
        return -ENOSPC;
    }
    *open = (struct tcp_listener){.local = local, .port = port, .open = true};
    return 0;
}

void
mr_tcp_listen_stop(struct mr_tcp *tcp, uint32_t local, uint16_t port)
{
    struct tcp_listener *listener = tcp_listener_find(tcp, local, port);

    if (!listener || listener->local != local) {
        return;
    }
    listener->open = false;
    MR_LIST_FOR_EACH(node, &tcp->all_conns)
    {
        struct mr_tcp_conn *conn = MR_CONTAINER_OF(node, struct mr_tcp_conn, all_node);

        if (conn->state == TCP_SYN_RECEIVED && !(conn->flags & TCP_ACTIVE) &&
            conn->local_port == port && (local == 0 || conn->local == local)) {
            tcp_conn_end(conn, -ECANCELED);
            tcp_conn_reap(conn);
        }
    }
}

static int
choose_port(struct mr_tcp *tcp, uint32_t local, uint32_t remote, uint16_t remote_port,
            uint16_t *out)
{
    for (uint32_t i = 0; i < PORT_COUNT; i++) {
        uint16_t port = (uint16_t)(PORT_FIRST + (tcp->port_next + i) % PORT_COUNT);

        if (tcp->ops.port_usable &&
            !tcp->ops.port_usable(tcp->ops.context, local, port, remote, remote_port)) {
            continue;
        }
        if (tcp_listener_find(tcp, local, port) ||
            tcp_conn_find(tcp, local, port, remote, remote_port)) {
            continue;
        }
        tcp->port_next = (uint16_t)((tcp->port_next + i + 1) % PORT_COUNT);
        *out = port;
        return 0;
    }
    return -EADDRNOTAVAIL;
}

uint8_t
tcp_wscale_own(const struct mr_tcp *tcp)
{
    uint8_t wscale = 0;

    while (wscale < TCP_WSCALE_MAX && tcp->config.receive_buffer_max >> wscale > 65535) {
        wscale++;
    }
    return wscale;
}

int
mr_tcp_connect(struct mr_tcp *tcp, uint32_t local, uint16_t local_port, uint32_t remote,
               uint16_t remote_port, void *user, uint64_t now_ns, struct mr_tcp_conn **out)
{
    struct mr_tcp_conn *conn;

    tcp->now_ns = now_ns;
    local = local ? local : tcp->config.addresses[0];
    if (!is_local(tcp, local)) {
        return -EADDRNOTAVAIL;
    }
    if (local_port == 0) {
        int error = choose_port(tcp, local, remote, remote_port, &local_port);

        if (error) {
            return error;
        }
    } else if (tcp_conn_find(tcp, local, local_port, remote, remote_port)) {
        return -EADDRINUSE;
    }
    conn = tcp_conn_new(tcp, now_ns);
    if (!conn) {
        return -ENOBUFS;
    }
    conn->local = local;
    conn->remote = remote;
    conn->local_port = local_port;
    conn->remote_port = remote_port;
    conn->user = user;
    conn->iss = tcp_isn(tcp, local, local_port, remote, remote_port, now_ns);
    conn->ts_offset = tcp_ts_offset(tcp, local, remote);
    conn->una = conn->iss;
    conn->nxt = conn->iss;
    conn->rx.wscale = tcp->config.window_scale ? tcp_wscale_own(tcp) : 0;
    conn->flags |= TCP_ACTIVE | TCP_APP | TCP_SYN_DUE;
    tcp_mss_update(conn);
    tcp_state_set(conn, TCP_SYN_SENT);
    tcp_conn_insert(conn);
    tcp_want_output(conn);
    *out = conn;
    return 0;
}

void
mr_tcp_send(struct mr_tcp_conn *conn, struct mr_tcp_send *send)
{
    uint64_t size = 0;

    tcp_conn_prefetch(conn);
    MR_ASSERT(conn->flags & TCP_APP);
    for (unsigned i = 0; i < send->iov_count; i++) {
        size += send->iov[i].iov_len;
    }
    send->conn = conn;
    send->holds = 0;
    conn->tcp->stats.sends_pending++;
    if (conn->state == TCP_CLOSED || conn->state == TCP_TIME_WAIT ||
        (conn->flags & (TCP_FIN_WANTED | TCP_SEND_RST))) {
        send->result = conn->state == TCP_CLOSED && conn->reason ? conn->reason : -EPIPE;
        mr_list_push_back(&conn->sends_done, &send->node);
        tcp_want_events(conn);
        return;
    }
    conn->queued_total += size;
    conn->unsent += size;
    send->end = conn->queued_total;
    mr_list_push_back(&conn->sends, &send->node);
    if (!conn->cursor.send) {
        conn->cursor = (struct tcp_cursor){.send = send};
        tcp_cursor_skip(conn, &conn->cursor, 0);
    }
    tcp_sends_acked(conn, 0); /* an empty one behind nothing is done already */
    tcp_want_output(conn);
}

void
mr_tcp_send_hold(struct mr_tcp_send *send)
{
    send->holds++;
}

void
mr_tcp_send_unhold(struct mr_tcp_send *send)
{
    MR_ASSERT(send->holds > 0);
    /* Otherwise its acknowledgement will make it done. */
    if (--send->holds == 0 && !mr_list_empty(&send->conn->sends_done)) {
        tcp_want_events(send->conn);
    }
}

void
mr_tcp_pause(struct mr_tcp_conn *conn)
{
    conn->flags |= TCP_PAUSED;
    conn->flags &= ~(uint32_t)TCP_TOLD_LEAVING;
    tcp_want_events(conn); /* the peer may have left already */
}

void
mr_tcp_resume(struct mr_tcp_conn *conn)
{
    conn->flags &= ~(uint32_t)TCP_PAUSED;
    tcp_want_events(conn);
}

void
mr_tcp_shutdown(struct mr_tcp_conn *conn)
{
    if (!(conn->flags & TCP_FIN_WANTED) && conn->state != TCP_CLOSED) {
        conn->flags |= TCP_FIN_WANTED;
        tcp_want_output(conn);
    }
}

void
mr_tcp_close(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    if (conn->flags & TCP_APP_CLOSED) {
        return;
    }
    conn->tcp->now_ns = now_ns;
    conn->flags |= TCP_APP_CLOSED;
    tcp_want_events(conn);
    if (conn->state == TCP_CLOSED || (conn->flags & TCP_SEND_RST)) {
        tcp_receive_drop(conn);
        return;
    }
    if (conn->state == TCP_SYN_SENT) {
        tcp_conn_end(conn, 0);
        return;
    }
    if (conn->rx.queued > 0 && conn->state != TCP_TIME_WAIT) {
        tcp_reset_later(conn, 0);
        return;
    }
    tcp_receive_drop(conn);
    mr_tcp_shutdown(conn);
    tcp_life_arm(conn, now_ns);
}

void
mr_tcp_abort(struct mr_tcp_conn *conn)
{
    conn->flags |= TCP_APP_CLOSED;
    tcp_want_events(conn);
    if (conn->state == TCP_CLOSED || (conn->flags & TCP_SEND_RST)) {
        return;
    }
    if (conn->state == TCP_SYN_SENT || conn->state == TCP_TIME_WAIT) {
        tcp_conn_end(conn, 0);
        return;
    }
    tcp_reset_later(conn, 0);
}

static const char *const state_names[TCP_STATE_COUNT] = {
    "CLOSED",     "SYN_SENT",   "SYN_RECEIVED", "ESTABLISHED", "FIN_WAIT_1",
    "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING",      "LAST_ACK",    "TIME_WAIT",
};

void
mr_tcp_info(const struct mr_tcp_conn *conn, struct mr_tcp_info *out)
{
    *out = (struct mr_tcp_info){
        .state = state_names[conn->state],
        .local = conn->local,
        .remote = conn->remote,
        .local_port = conn->local_port,
        .remote_port = conn->remote_port,
        .mss = conn->mss,
        .cwnd = conn->cc.cwnd,
        .ssthresh = conn->cc.ssthresh,
        .in_flight = tcp_pipe(conn),
        .peer_window = conn->peer_window,
        .window = conn->rx.edge - conn->rx.next,
        .srtt_ns = conn->srtt_ns,
        .rttvar_ns = conn->rttvar_ns,
        .rto_ns = conn->rto_ns,
        .unsent = conn->unsent,
        .acked = conn->acked_total,
        .iss = conn->iss,
        .sack = (conn->flags & TCP_SACK_ON) != 0,
        .timestamps = (conn->flags & TCP_TS_ON) != 0,
    };
}
