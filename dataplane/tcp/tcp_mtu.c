/* tcp/tcp_mtu.c: what the path takes: made smaller by ICMP (RFC 1191) or where big segments vanish
 * (RFC 2923), and tried again later with one segment of twice the size (RFC 4821 7). */
#include "dataplane/tcp/tcp_priv.h"

#define SEGMENTS_BEHIND 3u /* of a probe: their ACKs show soon whether it was lost */

static uint32_t
top(const struct mr_tcp_conn *conn)
{
    return tcp_min(conn->tcp->config.mtu - TCP_IP_SIZE - TCP_HEADER_SIZE, conn->mss_peer);
}

void
tcp_mtu_reduce(struct mr_tcp_conn *conn, uint32_t most, uint64_t now_ns)
{
    conn->mss_path = most;
    conn->mtu_raise_ns = now_ns + conn->tcp->config.mtu_raise_ns;
    tcp_mss_update(conn);
}

uint32_t
tcp_mtu_probe(const struct mr_tcp_conn *conn, uint64_t now_ns)
{
    uint32_t size;
    uint32_t flight;

    if (conn->mtu_raise_ns == 0 || now_ns < conn->mtu_raise_ns || conn->phase != TCP_OPEN ||
        conn->lost > 0 || conn->mss_path >= top(conn)) {
        return 0;
    }
    size = tcp_min(2 * conn->mss_path, top(conn)) - (conn->mss_path - conn->mss);
    flight = size + SEGMENTS_BEHIND * conn->mss;
    if (conn->unsent < flight || conn->peer_window < conn->nxt - conn->una + flight ||
        conn->cc.cwnd < tcp_pipe(conn) + flight) {
        return 0;
    }
    return size;
}

/* Until it is answered nothing else is tried. */
void
tcp_mtu_probed(struct mr_tcp_conn *conn)
{
    conn->tcp->stats.mtu_probes++;
    conn->mtu_raise_ns = UINT64_MAX;
}

void
tcp_mtu_delivered(struct mr_tcp_conn *conn, const struct tcp_seg *seg)
{
    uint32_t most = seg->size + conn->mss_path - conn->mss;

    if (most <= conn->mss_path) {
        return;
    }
    conn->tcp->stats.mtu_raised++;
    conn->mss_path = most;
    conn->mtu_raise_ns = most < top(conn) ? conn->tcp->now_ns : 0;
    tcp_mss_update(conn);
}

/* RFC 4821 7.6.2: tried again much later. */
void
tcp_mtu_failed(struct mr_tcp_conn *conn)
{
    conn->mtu_raise_ns = conn->tcp->now_ns + conn->tcp->config.mtu_raise_ns;
}
