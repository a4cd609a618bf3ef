/* tcp/tcp_conn.c: connections: states, pools, the hash table, and how they end. */
#include <errno.h>
#include <string.h>

#include "dataplane/tcp/tcp_priv.h"

#define EDGE(state) (1u << (state))

/* To which states each may go; the diagram is in tcp_priv.h. */
static const uint16_t state_edges[TCP_STATE_COUNT] = {
    [TCP_CLOSED] = EDGE(TCP_SYN_SENT) | EDGE(TCP_SYN_RECEIVED),
    [TCP_SYN_SENT] = EDGE(TCP_CLOSED) | EDGE(TCP_SYN_RECEIVED) | EDGE(TCP_ESTABLISHED),
    [TCP_SYN_RECEIVED] = EDGE(TCP_CLOSED) | EDGE(TCP_ESTABLISHED),
    [TCP_ESTABLISHED] = EDGE(TCP_CLOSED) | EDGE(TCP_FIN_WAIT_1) | EDGE(TCP_CLOSE_WAIT),
    [TCP_FIN_WAIT_1] = EDGE(TCP_CLOSED) | EDGE(TCP_FIN_WAIT_2) | EDGE(TCP_CLOSING),
    [TCP_FIN_WAIT_2] = EDGE(TCP_CLOSED) | EDGE(TCP_TIME_WAIT),
    [TCP_CLOSE_WAIT] = EDGE(TCP_CLOSED) | EDGE(TCP_LAST_ACK),
    [TCP_CLOSING] = EDGE(TCP_CLOSED) | EDGE(TCP_TIME_WAIT),
    [TCP_LAST_ACK] = EDGE(TCP_CLOSED),
    [TCP_TIME_WAIT] = EDGE(TCP_CLOSED),
};

static const uint8_t phase_edges[TCP_PHASE_COUNT] = {
    [TCP_OPEN] = EDGE(TCP_CWR_PHASE) | EDGE(TCP_RECOVERY) | EDGE(TCP_LOSS),
    [TCP_CWR_PHASE] = EDGE(TCP_OPEN) | EDGE(TCP_RECOVERY) | EDGE(TCP_LOSS),
    [TCP_RECOVERY] = EDGE(TCP_OPEN) | EDGE(TCP_LOSS),
    [TCP_LOSS] = EDGE(TCP_OPEN) | EDGE(TCP_LOSS),
};

void
tcp_state_set(struct mr_tcp_conn *conn, enum tcp_state state)
{
    struct mr_tcp_stats *stats = &conn->tcp->stats;

    MR_ASSERT(state_edges[conn->state] & EDGE(state));
    if (conn->state == TCP_TIME_WAIT) {
        stats->time_wait--;
        mr_list_remove(&conn->wait_node);
    }
    if (conn->flags & TCP_HALF_OPEN) {
        stats->half_open--;
        conn->flags &= ~(uint32_t)TCP_HALF_OPEN;
    }
    if (state == TCP_SYN_RECEIVED && !(conn->flags & TCP_ACTIVE)) {
        stats->half_open++;
        conn->flags |= TCP_HALF_OPEN;
    }
    if (state == TCP_TIME_WAIT) {
        stats->time_wait++;
        mr_list_remove(&conn->wait_node);
        conn->flags &= ~(uint32_t)TCP_STARVED;
        mr_list_push_back(&conn->tcp->time_waits, &conn->wait_node);
    }
    conn->state = state;
}

void
tcp_phase_set(struct mr_tcp_conn *conn, enum tcp_phase phase)
{
    MR_ASSERT(phase_edges[conn->phase] & EDGE(phase));
    conn->phase = phase;
}

/* ---- pools ----------------------------------------------------------------------------------- */

static bool
recycle_time_wait(struct mr_tcp *tcp)
{
    struct mr_tcp_conn *oldest;

    MR_LIST_FOR_EACH(node, &tcp->time_waits)
    {
        oldest = MR_CONTAINER_OF(node, struct mr_tcp_conn, wait_node);
        if (oldest->flags & (TCP_APP | TCP_DO_EVENTS)) {
            continue;
        }
        tcp->stats.time_wait_recycled++;
        tcp_conn_end(oldest, 0);
        tcp_conn_reap(oldest);
        return true;
    }
    return false;
}

struct mr_tcp_conn *
tcp_conn_new(struct mr_tcp *tcp, uint64_t now_ns)
{
    struct mr_list *node;
    struct mr_tcp_conn *conn;
    uint64_t id;

    if (mr_list_empty(&tcp->free_conns) && !recycle_time_wait(tcp)) {
        tcp->stats.conns_exhausted++;
        return NULL;
    }
    node = mr_list_pop_front(&tcp->free_conns);
    MR_ASSERT(node != NULL);
    conn = MR_CONTAINER_OF(node, struct mr_tcp_conn, hash_node);
    id = conn->id;
    memset(conn, 0, sizeof(*conn));
    conn->tcp = tcp;
    conn->id = id;
    mr_list_init(&conn->hash_node);
    mr_list_init(&conn->output_node);
    mr_list_init(&conn->event_node);
    mr_list_init(&conn->wait_node);
    mr_list_init(&conn->sends);
    mr_list_init(&conn->sends_done);
    mr_list_init(&conn->segs);
    mr_list_init(&conn->sent_order);
    mr_list_init(&conn->rx.queue);
    mr_list_init(&conn->rx.reorder);
    for (uint8_t kind = 0; kind < TCP_TIMER_COUNT; kind++) {
        tcp_timer_init(&conn->timers[kind], kind);
    }
    conn->rto_ns = tcp->config.rto_initial_ns;
    conn->mss_path = tcp->config.mtu - TCP_IP_SIZE - TCP_HEADER_SIZE;
    conn->mss_peer = TCP_MSS_DEFAULT;
    conn->reo_mult = 1;
    conn->rx.buffer = tcp->config.receive_buffer_min;
    conn->last_received_ns = now_ns;
    conn->last_sent_ns = now_ns;
    mr_list_push_back(&tcp->all_conns, &conn->all_node);
    tcp->stats.conns++;
    return conn;
}

struct tcp_seg *
tcp_seg_new(struct mr_tcp *tcp)
{
    struct mr_list *node = mr_list_pop_front(&tcp->free_segs);
    struct tcp_seg *seg;

    if (!node) {
        tcp->stats.segments_exhausted++;
        return NULL;
    }
    seg = MR_CONTAINER_OF(node, struct tcp_seg, node);
    memset(seg, 0, sizeof(*seg));
    mr_list_init(&seg->node);
    mr_list_init(&seg->time_node);
    tcp->stats.segments++;
    return seg;
}

void
tcp_seg_free(struct mr_tcp *tcp, struct tcp_seg *seg)
{
    mr_list_remove(&seg->node);
    mr_list_remove(&seg->time_node);
    mr_list_push_front(&tcp->free_segs, &seg->node);
    tcp->stats.segments--;
    if (!mr_list_empty(&tcp->starved)) {
        struct mr_tcp_conn *conn =
            MR_CONTAINER_OF(mr_list_pop_front(&tcp->starved), struct mr_tcp_conn, wait_node);

        conn->flags &= ~(uint32_t)TCP_STARVED;
        tcp_want_output(conn);
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

void
tcp_conn_insert(struct mr_tcp_conn *conn)
{
    uint32_t hash =
        tcp_hash(conn->tcp, conn->local, conn->local_port, conn->remote, conn->remote_port);

    mr_list_push_front(&conn->tcp->buckets[hash & conn->tcp->bucket_mask], &conn->hash_node);
}

struct mr_tcp_conn *
tcp_conn_find(struct mr_tcp *tcp, uint32_t local, uint16_t local_port, uint32_t remote,
              uint16_t remote_port)
{
    uint32_t hash = tcp_hash(tcp, local, local_port, remote, remote_port);

    MR_LIST_FOR_EACH(node, &tcp->buckets[hash & tcp->bucket_mask])
    {
        struct mr_tcp_conn *conn = MR_CONTAINER_OF(node, struct mr_tcp_conn, hash_node);

        tcp_conn_prefetch(conn);
        if (conn->remote_port == remote_port && conn->remote == remote &&
            conn->local_port == local_port && conn->local == local) {
            __builtin_prefetch(conn->user, 1);
            return conn;
        }
    }
    return NULL;
}

struct tcp_listener *
tcp_listener_find(struct mr_tcp *tcp, uint32_t local, uint16_t port)
{
    struct tcp_listener *any = NULL;

    for (uint32_t i = 0; i < tcp->config.listeners_max; i++) {
        struct tcp_listener *listener = &tcp->listeners[i];

        if (!listener->open || listener->port != port) {
            continue;
        }
        if (listener->local == local) {
            return listener;
        }
        if (listener->local == 0) {
            any = listener;
        }
    }
    return any;
}

/* ---- work lists ------------------------------------------------------------------------------ */

void
tcp_want_output(struct mr_tcp_conn *conn)
{
    if (!(conn->flags & TCP_DO_OUTPUT) && conn->state != TCP_CLOSED) {
        conn->flags |= TCP_DO_OUTPUT;
        mr_list_push_back(&conn->tcp->outputs, &conn->output_node);
    }
}

void
tcp_want_events(struct mr_tcp_conn *conn)
{
    if (!(conn->flags & TCP_DO_EVENTS)) {
        conn->flags |= TCP_DO_EVENTS;
        mr_list_push_back(&conn->tcp->events_ready, &conn->event_node);
    }
}

/* ---- negotiation ----------------------------------------------------------------------------- */

void
tcp_mss_update(struct mr_tcp_conn *conn)
{
    uint32_t mss = tcp_min(conn->mss_peer, conn->mss_path);

    /* RFC 6691: the option counts data and options, so that options come off it here. */
    conn->mss = mss - (conn->flags & TCP_TS_ON ? TCP_TS_SIZE : 0);
}

void
tcp_conn_start(struct mr_tcp_conn *conn, const struct tcp_options *options)
{
    const struct mr_tcp_config *config = &conn->tcp->config;
    uint32_t on = 0;

    on |= config->sack && options->sack_ok ? TCP_SACK_ON : 0;
    on |= config->timestamps && options->has_ts ? TCP_TS_ON : 0;
    on |= config->window_scale && options->has_wscale ? TCP_WSCALE_ON : 0;
    conn->flags = (conn->flags & ~(uint32_t)(TCP_SACK_ON | TCP_TS_ON | TCP_WSCALE_ON)) | on;
    conn->peer_wscale = on & TCP_WSCALE_ON ? options->wscale : 0;
    if (!(on & TCP_WSCALE_ON)) {
        conn->rx.wscale = 0;
    }
    if (on & TCP_TS_ON) {
        conn->ts_recent = options->ts_val;
        conn->ts_recent_ns = conn->tcp->now_ns;
    }
    conn->mss_peer = options->mss ? tcp_max(options->mss, TCP_MSS_MIN) : TCP_MSS_DEFAULT;
    tcp_mss_update(conn);
    conn->rx.mss = tcp_min(conn->mss, TCP_MSS_DEFAULT);
    tcp_cc_start(conn);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void
drop_segs(struct mr_tcp_conn *conn)
{
    MR_LIST_FOR_EACH(node, &conn->segs)
    {
        tcp_seg_free(conn->tcp, MR_CONTAINER_OF(node, struct tcp_seg, node));
    }
    conn->sack_hint = NULL;
    conn->retx_hint = NULL;
}

void
tcp_conn_end(struct mr_tcp_conn *conn, int reason)
{
    struct mr_tcp *tcp = conn->tcp;

    if (conn->state == TCP_CLOSED) {
        return;
    }
    tcp_state_set(conn, TCP_CLOSED);
    conn->reason = reason;
    mr_list_remove(&conn->hash_node);
    mr_list_remove(&conn->output_node);
    mr_list_remove(&conn->wait_node);
    conn->flags &= ~(uint32_t)(TCP_DO_OUTPUT | TCP_STARVED);
    for (unsigned kind = 0; kind < TCP_TIMER_COUNT; kind++) {
        tcp_wheel_remove(&tcp->wheel, &conn->timers[kind]);
    }
    drop_segs(conn);
    tcp_sends_fail(conn, reason ? reason : -ECANCELED);
    if (reason != 0 || (conn->flags & TCP_APP_CLOSED) || !(conn->flags & TCP_APP)) {
        tcp_receive_drop(conn);
    }
    if (conn->flags & TCP_APP) {
        tcp_want_events(conn);
    }
}

void
tcp_reset_later(struct mr_tcp_conn *conn, int reason)
{
    conn->flags |= TCP_SEND_RST;
    conn->reason = reason;
    tcp_want_output(conn);
}

void
tcp_conn_reap(struct mr_tcp_conn *conn)
{
    struct mr_tcp *tcp = conn->tcp;

    if (conn->state != TCP_CLOSED || (conn->flags & TCP_APP) || !mr_list_empty(&conn->sends_done)) {
        return;
    }
    mr_list_remove(&conn->event_node);
    mr_list_remove(&conn->all_node);
    conn->flags = 0;
    conn->id += 1ull << 32;
    tcp->stats.conns--;
    mr_list_push_back(&tcp->free_conns, &conn->hash_node);
}

void
tcp_time_wait(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    tcp_state_set(conn, TCP_TIME_WAIT);
    tcp_wheel_cancel(&conn->timers[TCP_TIMER_RTX]);
    conn->rtx = TCP_RTX_NONE;
    tcp_life_arm(conn, now_ns);
    tcp_want_events(conn);
}

/* ---- ICMP ------------------------------------------------------------------------------------ */

/* The connection that a quoted segment belongs to, if it can be one in flight: RFC 5927 4.1. */
static struct mr_tcp_conn *
quoted(struct mr_tcp *tcp, uint32_t local, uint16_t local_port, uint32_t remote,
       uint16_t remote_port, uint32_t seq)
{
    struct mr_tcp_conn *conn = tcp_conn_find(tcp, local, local_port, remote, remote_port);

    if (!conn || tcp_seq_lt(seq, conn->una) || !tcp_seq_lt(seq, conn->nxt)) {
        return NULL;
    }
    return conn;
}

void
mr_tcp_path_mtu(struct mr_tcp *tcp, uint32_t local, uint16_t local_port, uint32_t remote,
                uint16_t remote_port, uint32_t seq, uint32_t mtu, uint64_t now_ns)
{
    struct mr_tcp_conn *conn = quoted(tcp, local, local_port, remote, remote_port, seq);
    uint32_t most;

    tcp->now_ns = now_ns;
    if (!conn || conn->state == TCP_TIME_WAIT || (conn->flags & TCP_SEND_RST)) {
        return;
    }
    if (mtu == 0) {
        mtu = (conn->mss_path + TCP_IP_SIZE + TCP_HEADER_SIZE) / 2; /* an old router */
    }
    mtu = tcp_max(mtu, TCP_MSS_DEFAULT + TCP_IP_SIZE + TCP_HEADER_SIZE);
    most = mtu - TCP_IP_SIZE - TCP_HEADER_SIZE;
    if (most >= conn->mss_path) {
        return;
    }
    tcp_mtu_reduce(conn, most, now_ns);
    tcp->stats.mtu_reduced++;
    /* RFC 1191 6.5: what was too big goes again, at once and without slowing down. */
    MR_LIST_FOR_EACH(node, &conn->segs)
    {
        struct tcp_seg *seg = MR_CONTAINER_OF(node, struct tcp_seg, node);

        if (seg->size > conn->mss && tcp->config.tso_max == 0) {
            tcp_mark_lost(conn, seg);
        }
    }
    if (tcp->config.tso_max > 0 && !mr_list_empty(&conn->segs)) {
        tcp_mark_lost(conn, MR_CONTAINER_OF(conn->segs.next, struct tcp_seg, node));
    }
    conn->retx_first = true;
    tcp_want_output(conn);
}

void
mr_tcp_unreachable(struct mr_tcp *tcp, uint32_t local, uint16_t local_port, uint32_t remote,
                   uint16_t remote_port, uint32_t seq, uint64_t now_ns)
{
    struct mr_tcp_conn *conn = quoted(tcp, local, local_port, remote, remote_port, seq);

    tcp->now_ns = now_ns;
    /* RFC 5927 5.2: an established connection does not believe it. */
    if (conn && conn->state == TCP_SYN_SENT) {
        tcp_conn_end(conn, -EHOSTUNREACH);
        tcp_conn_reap(conn);
    }
}
