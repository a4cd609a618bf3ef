/* tcp/tcp_timer.c: what happens when nothing happens: timeouts, probes, delayed ACKs, and the ends
 * of FIN_WAIT_2, TIME_WAIT and lingering connections. */
#include <errno.h>

#include "dataplane/tcp/tcp_priv.h"

/* ---- the retransmission timer -----------------------------------------------------------------
 */

static uint64_t
backed_off(const struct mr_tcp_conn *conn)
{
    uint64_t rto_ns = conn->rto_ns;
    uint64_t max_ns = conn->tcp->config.rto_max_ns;

    for (unsigned i = 0; i < conn->backoff && rto_ns < max_ns; i++) {
        rto_ns *= 2;
    }
    return rto_ns < max_ns ? rto_ns : max_ns;
}

static void
arm(struct mr_tcp_conn *conn, enum tcp_rtx meaning, uint64_t deadline_ns)
{
    conn->rtx = meaning;
    tcp_wheel_arm(&conn->tcp->wheel, &conn->timers[TCP_TIMER_RTX], deadline_ns);
}

static void
disarm(struct mr_tcp_conn *conn)
{
    conn->rtx = TCP_RTX_NONE;
    tcp_wheel_cancel(&conn->timers[TCP_TIMER_RTX]);
}

static bool
wants_to_send(const struct mr_tcp_conn *conn)
{
    return conn->unsent > 0 || ((conn->flags & TCP_FIN_WANTED) && !(conn->flags & TCP_FIN_SENT));
}

void
tcp_rtx_restart(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    conn->rto_deadline_ns = now_ns + backed_off(conn);
    tcp_rtx_arm(conn, now_ns);
}

void
tcp_rtx_arm(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    uint64_t probe_ns;

    if (conn->state == TCP_CLOSED || conn->state == TCP_TIME_WAIT) {
        return;
    }
    if (conn->state == TCP_SYN_SENT || conn->state == TCP_SYN_RECEIVED) {
        arm(conn, TCP_RTX_TIMEOUT, conn->rto_deadline_ns);
        return;
    }
    if (mr_list_empty(&conn->segs)) {
        if (!wants_to_send(conn) || conn->unsent == 0 || conn->peer_window >= conn->mss) {
            disarm(conn);
        } else if (conn->rtx != TCP_RTX_WINDOW) {
            arm(conn, TCP_RTX_WINDOW, now_ns + backed_off(conn));
        }
        return;
    }
    probe_ns = tcp_probe_timeout(conn);
    if (probe_ns != 0 && now_ns + probe_ns < conn->rto_deadline_ns) {
        arm(conn, TCP_RTX_PROBE, now_ns + probe_ns);
    } else {
        arm(conn, TCP_RTX_TIMEOUT, conn->rto_deadline_ns);
    }
}

void
tcp_rtx_reorder(struct mr_tcp_conn *conn, uint64_t deadline_ns)
{
    if (deadline_ns < conn->rto_deadline_ns) {
        arm(conn, TCP_RTX_REORDER, deadline_ns);
    } else {
        arm(conn, TCP_RTX_TIMEOUT, conn->rto_deadline_ns);
    }
}

static void
syn_timeout(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    const struct mr_tcp_config *config = &conn->tcp->config;
    unsigned max = conn->flags & TCP_ACTIVE ? config->syn_retries_max : config->synack_retries_max;

    if (conn->retries >= max) {
        tcp_conn_end(conn, -ETIMEDOUT);
        return;
    }
    conn->retries++;
    conn->backoff++;
    conn->flags |= TCP_SYN_DUE | TCP_SYN_RETX;
    tcp_want_output(conn);
    tcp_rtx_restart(conn, now_ns);
}

/* The peer's window is closed, or too small to be worth a segment. RFC 9293 3.8.6.1. */
static void
window_timeout(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    if (conn->retries >= conn->tcp->config.retries_max) {
        tcp_reset_later(conn, -ETIMEDOUT);
        return;
    }
    conn->retries++;
    conn->backoff++;
    conn->tcp->stats.window_probes++;
    /* What fits into a small window goes now: RFC 9293 3.8.6.2.1 case 4. */
    if (conn->peer_window == 0 || !tcp_output_probe(conn, now_ns)) {
        tcp_output_window_probe(conn, now_ns);
    }
    conn->rtx = TCP_RTX_NONE;
    tcp_rtx_restart(conn, now_ns);
}

static void
data_timeout(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    if (mr_list_empty(&conn->segs)) {
        return;
    }
    if (conn->retries >= conn->tcp->config.retries_max) {
        tcp_reset_later(conn, -ETIMEDOUT);
        return;
    }
    tcp_recovery_timeout(conn, now_ns);
    conn->retries++;
    conn->backoff++;
    tcp_rtx_restart(conn, now_ns);
}

static void
rtx_fire(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    enum tcp_rtx meaning = conn->rtx;

    conn->rtx = TCP_RTX_NONE;
    switch (meaning) {
    case TCP_RTX_TIMEOUT:
        if (conn->state == TCP_SYN_SENT || conn->state == TCP_SYN_RECEIVED) {
            syn_timeout(conn, now_ns);
        } else {
            data_timeout(conn, now_ns);
        }
        break;
    case TCP_RTX_PROBE:
        tcp_probe_send(conn, now_ns);
        break;
    case TCP_RTX_REORDER:
        tcp_rack_timeout(conn, now_ns);
        break;
    case TCP_RTX_WINDOW:
        window_timeout(conn, now_ns);
        break;
    case TCP_RTX_NONE:
        break;
    }
}

/* ---- the slow timer ---------------------------------------------------------------------------
 */

void
tcp_life_arm(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    const struct mr_tcp_config *config = &conn->tcp->config;
    uint64_t wait_ns;

    if (conn->state == TCP_TIME_WAIT) {
        wait_ns = config->time_wait_ns;
    } else if (conn->state == TCP_FIN_WAIT_2 && (conn->flags & TCP_APP_CLOSED)) {
        wait_ns = config->fin_wait_2_ns;
    } else if (conn->flags & TCP_APP_CLOSED) {
        wait_ns = config->linger_ns;
    } else if (config->keepalive_probes > 0 && conn->state != TCP_CLOSED) {
        wait_ns = conn->probes ? config->keepalive_interval_ns : config->keepalive_idle_ns;
    } else {
        return;
    }
    tcp_wheel_arm(&conn->tcp->wheel, &conn->timers[TCP_TIMER_LIFE], now_ns + wait_ns);
}

static void
keepalive_fire(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    const struct mr_tcp_config *config = &conn->tcp->config;
    uint64_t idle_ns = now_ns - conn->last_received_ns;

    if (conn->probes == 0 && idle_ns < config->keepalive_idle_ns) {
        tcp_wheel_arm(&conn->tcp->wheel, &conn->timers[TCP_TIMER_LIFE],
                      conn->last_received_ns + config->keepalive_idle_ns);
        return;
    }
    if (conn->probes >= config->keepalive_probes) {
        tcp_reset_later(conn, -ETIMEDOUT);
        return;
    }
    /* With something in flight or a closed window other timers ask. */
    if (mr_list_empty(&conn->segs) && conn->rtx == TCP_RTX_NONE) {
        conn->probes++;
        conn->tcp->stats.keepalives++;
        tcp_output_window_probe(conn, now_ns);
    }
    tcp_life_arm(conn, now_ns);
}

static void
life_fire(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    if (conn->state == TCP_TIME_WAIT ||
        (conn->state == TCP_FIN_WAIT_2 && (conn->flags & TCP_APP_CLOSED))) {
        tcp_conn_end(conn, 0);
    } else if (conn->flags & TCP_APP_CLOSED) {
        tcp_reset_later(conn, -ETIMEDOUT);
    } else if (conn->state != TCP_SYN_SENT && conn->state != TCP_SYN_RECEIVED) {
        keepalive_fire(conn, now_ns);
    }
}

void
tcp_timer_fire(struct mr_tcp_conn *conn, struct tcp_timer *timer, uint64_t now_ns)
{
    if (conn->state == TCP_CLOSED || (conn->flags & TCP_SEND_RST)) {
        return;
    }
    switch (timer->kind) {
    case TCP_TIMER_RTX:
        rtx_fire(conn, now_ns);
        break;
    case TCP_TIMER_ACK:
        /* The application had its time to answer. Whoever waits for this ACK before it sends on
         * shall not wait for the next ones too. */
        conn->rx.ack_delayed = false;
        conn->rx.conversation = false;
        conn->rx.quick = TCP_QUICK_ACKS;
        conn->flags |= TCP_ACK_NOW;
        tcp_want_output(conn);
        break;
    default:
        life_fire(conn, now_ns);
        break;
    }
}
