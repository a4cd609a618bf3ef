/* tcp/tcp_handshake.c: how connections come to be: LISTEN, SYN_SENT, SYN_RECEIVED, SYN cookies. */
#include <errno.h>

#include "dataplane/tcp/tcp_priv.h"

#define COOKIES_REMEMBERED_NS (256 * MR_NS_PER_S)
#define RTO_AFTER_LOSS_NS     (3 * MR_NS_PER_S)

/* The peer's initial sequence number is known: so is the window that was announced from it. */
static void
learn_irs(struct mr_tcp_conn *conn, uint32_t irs)
{
    conn->rx.irs = irs;
    conn->rx.next = irs + 1;
    conn->rx.edge = conn->rx.next + tcp_min(conn->rx.buffer, 65535);
    conn->rx.last_ack = conn->rx.next;
}

static void
learn_window(struct mr_tcp_conn *conn, const struct tcp_segment *segment, uint32_t window)
{
    conn->peer_window = window;
    conn->peer_window_max = tcp_max(conn->peer_window_max, window);
    conn->wl1 = segment->seq;
    conn->wl2 = segment->ack;
}

static void
established(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    tcp_state_set(conn, TCP_ESTABLISHED);
    if (conn->flags & TCP_SYN_RETX) {
        /* RFC 6928 2 and RFC 6298 5.7: a lost SYN says that the path is not at ease. */
        conn->cc.cwnd = conn->mss;
        if (conn->srtt_ns == 0 && conn->rto_ns < RTO_AFTER_LOSS_NS) {
            conn->rto_ns = RTO_AFTER_LOSS_NS;
        }
    }
    conn->backoff = 0;
    conn->retries = 0;
    conn->recovery_point = conn->iss;
    conn->rack_fack = conn->una;
    conn->sack_high = conn->una;
    conn->ecn_point = conn->una;
    conn->cc.flight_end = conn->una;
    conn->flags |= TCP_TELL_OPEN;
    conn->flags &= ~(uint32_t)TCP_SYN_DUE;
    tcp_rtx_arm(conn, now_ns);
    tcp_life_arm(conn, now_ns);
    tcp_want_events(conn);
    tcp_want_output(conn);
}

static void
sample_handshake(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    if (!(conn->flags & TCP_SYN_RETX) && now_ns > conn->last_sent_ns) {
        tcp_rtt_sample(conn, now_ns - conn->last_sent_ns);
    }
}

/* What both ways to a passive connection have in common. */
static struct mr_tcp_conn *
passive_new(struct mr_tcp *tcp, const struct tcp_segment *segment, uint32_t irs, uint32_t iss,
            const struct tcp_options *options, uint64_t now_ns)
{
    struct mr_tcp_conn *conn = tcp_conn_new(tcp, now_ns);

    if (!conn) {
        return NULL;
    }
    conn->local = segment->packet->destination;
    conn->local_port = segment->destination_port;
    conn->remote = segment->packet->source;
    conn->remote_port = segment->source_port;
    conn->iss = iss;
    conn->una = iss;
    conn->nxt = iss;
    conn->ts_offset = tcp_ts_offset(tcp, conn->local, conn->remote);
    conn->rx.wscale = tcp_wscale_own(tcp);
    learn_irs(conn, irs);
    tcp_conn_start(conn, options);
    tcp_state_set(conn, TCP_SYN_RECEIVED);
    tcp_conn_insert(conn);
    return conn;
}

static void
syn_input(struct mr_tcp *tcp, const struct tcp_segment *segment, uint64_t now_ns)
{
    const struct mr_tcp_packet *packet = segment->packet;
    struct mr_tcp_conn *conn;
    uint32_t iss;

    if (tcp->stats.half_open >= tcp->config.half_open_max) {
        tcp->cookies_ns = now_ns;
        tcp->cookies_recent = 1;
        tcp_output_cookie(tcp, segment, now_ns);
        return;
    }
    iss = tcp_isn(tcp, packet->destination, segment->destination_port, packet->source,
                  segment->source_port, now_ns);
    conn = passive_new(tcp, segment, segment->seq, iss, &segment->options, now_ns);
    if (!conn) {
        return;
    }
    learn_window(conn, segment, segment->window);
    if (tcp->config.ecn && (segment->flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR)) {
        conn->flags |= TCP_ECN_ON;
    }
    conn->flags |= TCP_SYN_DUE;
    tcp_want_output(conn);
}

/* An ACK that may bring back what a SYN cookie has remembered. */
static void
cookie_input(struct mr_tcp *tcp, const struct tcp_segment *segment, uint64_t now_ns)
{
    struct tcp_options options;
    struct mr_tcp_conn *conn;

    if (tcp->cookies_recent && now_ns - tcp->cookies_ns > COOKIES_REMEMBERED_NS) {
        tcp->cookies_recent = 0;
    }
    if (!tcp->cookies_recent || !tcp_cookie_check(tcp, segment, &options, now_ns)) {
        /* While cookies are out a stranger's ACK may be one whose handshake was overtaken or lost:
         * what it sent first will come again and be recognised, unless it is reset. */
        if (tcp->cookies_recent) {
            tcp->stats.cookies_bad++;
        } else {
            tcp_output_reset(tcp, segment);
        }
        return;
    }
    tcp->stats.cookies_good++;
    conn = passive_new(tcp, segment, segment->seq - 1, segment->ack - 1, &options, now_ns);
    if (!conn) {
        return;
    }
    conn->una = segment->ack;
    conn->nxt = segment->ack;
    learn_window(conn, segment, segment->window << conn->peer_wscale);
    established(conn, now_ns);
}

void
tcp_listen_input(struct mr_tcp *tcp, const struct tcp_segment *segment, uint64_t now_ns)
{
    const struct mr_tcp_packet *packet = segment->packet;

    if (segment->flags & TCP_RST) {
        return;
    }
    if (!tcp_listener_find(tcp, packet->destination, segment->destination_port)) {
        tcp->stats.no_listener++;
        tcp_output_reset(tcp, segment);
        return;
    }
    if (segment->flags & TCP_ACK) {
        if (segment->flags & TCP_SYN) {
            /* A RST would end a connection that so far only its cookie knows. */
            if (!tcp->cookies_recent) {
                tcp_output_reset(tcp, segment);
            }
        } else {
            cookie_input(tcp, segment, now_ns);
        }
        return;
    }
    if ((segment->flags & (TCP_SYN | TCP_FIN)) == TCP_SYN) {
        syn_input(tcp, segment, now_ns);
    }
}

/* RFC 9293 3.10.7.3. Data on a SYN is left for the peer to send again. */
void
tcp_syn_sent_input(struct mr_tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_ns)
{
    bool acks = (segment->flags & TCP_ACK) != 0;

    if (acks && (segment->ack != conn->nxt || conn->nxt == conn->iss)) {
        conn->tcp->stats.bad_ack++;
        tcp_output_reset(conn->tcp, segment);
        return;
    }
    if (segment->flags & TCP_RST) {
        if (acks) {
            conn->tcp->stats.resets_in++;
            tcp_conn_end(conn, -ECONNREFUSED);
        }
        return;
    }
    if (!(segment->flags & TCP_SYN)) {
        return;
    }
    learn_irs(conn, segment->seq);
    tcp_conn_start(conn, &segment->options);
    learn_window(conn, segment, segment->window);
    if (!acks) {
        /* Simultaneous open. */
        conn->flags |= TCP_SYN_DUE;
        tcp_state_set(conn, TCP_SYN_RECEIVED);
        tcp_want_output(conn);
        return;
    }
    conn->una = segment->ack;
    if (conn->tcp->config.ecn && (segment->flags & (TCP_ECE | TCP_CWR)) == TCP_ECE) {
        conn->flags |= TCP_ECN_ON;
    }
    sample_handshake(conn, now_ns);
    conn->last_received_ns = now_ns;
    conn->flags |= TCP_ACK_NOW;
    established(conn, now_ns);
}

bool
tcp_syn_received_ack(struct mr_tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_ns)
{
    if (segment->ack != conn->nxt || conn->nxt == conn->iss) {
        conn->tcp->stats.bad_ack++;
        tcp_output_reset(conn->tcp, segment);
        return false;
    }
    conn->una = segment->ack;
    sample_handshake(conn, now_ns);
    if (segment->flags & TCP_SYN) {
        /* Simultaneous open: windows of SYNs are not scaled. */
        learn_window(conn, segment, segment->window);
        conn->flags |= TCP_ACK_NOW;
    } else {
        learn_window(conn, segment, segment->window << conn->peer_wscale);
    }
    established(conn, now_ns);
    return true;
}
