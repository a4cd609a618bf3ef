/* tcp/tcp_rack.c: losses by time: RACK, and tail loss probes (RFC 8985). */
#include "dataplane/tcp/tcp_priv.h"

#define DUP_THRESHOLD 3
#define REO_MULT_MAX  4u /* a quarter of the round-trip time each */
#define REO_PERSIST   16

/* Whether segment one was sent after segment two. */
static bool
sent_after(uint64_t sent1_ns, uint32_t end1, uint64_t sent2_ns, uint32_t end2)
{
    return sent1_ns > sent2_ns || (sent1_ns == sent2_ns && tcp_seq_lt(end2, end1));
}

/* RFC 8985 6.2 step 2. */
void
tcp_rack_delivered(struct mr_tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns,
                   const struct tcp_acked *acked)
{
    uint64_t rtt_ns = now_ns - seg->sent_ns;

    if (seg->flags & TCP_SEG_EVER) {
        if (acked->has_ts && acked->ts_ecr != 0 && tcp_seq_lt(acked->ts_ecr, seg->ts_val)) {
            return; /* the original arrived, not this transmission */
        }
        if (rtt_ns < conn->rtt_min_ns) {
            return;
        }
    }
    if (conn->rack_sent_ns == 0 ||
        sent_after(seg->sent_ns, seg->end_seq, conn->rack_sent_ns, conn->rack_end_seq)) {
        conn->rack_sent_ns = seg->sent_ns;
        conn->rack_end_seq = seg->end_seq;
        conn->rack_rtt_ns = rtt_ns;
    }
}

/* Step 4: a retransmission that was needless widens the tolerance, 16 quiet recoveries reset it. */
void
tcp_rack_reordering(struct mr_tcp_conn *conn, const struct tcp_acked *acked)
{
    if (acked->dsack && tcp_seq_le(conn->reo_round, conn->una)) {
        conn->reo_round = conn->nxt;
        conn->reo_mult += conn->reo_mult < REO_MULT_MAX;
        conn->reo_persist = REO_PERSIST;
    }
}

static uint64_t
reorder_window(const struct mr_tcp_conn *conn)
{
    uint64_t window_ns;

    if (!(conn->flags & TCP_REORDERED) && (conn->phase == TCP_RECOVERY || conn->phase == TCP_LOSS ||
                                           conn->sacked_segs >= DUP_THRESHOLD)) {
        return 0;
    }
    window_ns = conn->reo_mult * conn->rtt_min_ns / 4;
    return window_ns < conn->srtt_ns ? window_ns : conn->srtt_ns;
}

/* Step 5. */
uint64_t
tcp_rack_mark(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    uint64_t window_ns = conn->rack_rtt_ns + reorder_window(conn);

    if (conn->rack_sent_ns == 0) {
        return 0;
    }
    /* In the order of their sending: the first that is not overdue tells when to look again. */
    MR_LIST_FOR_EACH(node, &conn->sent_order)
    {
        struct tcp_seg *seg = MR_CONTAINER_OF(node, struct tcp_seg, time_node);

        if (!sent_after(conn->rack_sent_ns, conn->rack_end_seq, seg->sent_ns, seg->end_seq)) {
            return 0;
        }
        if (seg->sent_ns + window_ns > now_ns) {
            return seg->sent_ns + window_ns - now_ns;
        }
        tcp_mark_lost(conn, seg);
    }
    return 0;
}

void
tcp_rack_timeout(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    uint64_t again_ns = tcp_rack_mark(conn, now_ns);

    if (conn->lost > 0) {
        if (conn->phase == TCP_OPEN || conn->phase == TCP_CWR_PHASE) {
            tcp_enter_recovery(conn, true);
        }
        tcp_want_output(conn);
    }
    if (again_ns > 0) {
        tcp_rtx_reorder(conn, now_ns + again_ns);
    } else {
        tcp_rtx_arm(conn, now_ns);
    }
}

/* ---- tail loss probes, RFC 8985 7 -------------------------------------------------------------
 */

/* 0: no probe is due. */
uint64_t
tcp_probe_timeout(const struct mr_tcp_conn *conn)
{
    const struct mr_tcp_config *config = &conn->tcp->config;
    uint64_t timeout_ns;

    if (!config->rack || !(conn->flags & TCP_SACK_ON) || conn->phase != TCP_OPEN ||
        conn->sacked > 0 || conn->lost > 0 || (conn->flags & TCP_PROBE_OUT) || conn->srtt_ns == 0 ||
        conn->backoff > 0) {
        return 0;
    }
    timeout_ns = 2 * conn->srtt_ns;
    /* A lone segment's ACK may be delayed by the peer. */
    timeout_ns += conn->segs.next == conn->segs.prev ? config->rto_min_ns : config->probe_min_ns;
    return timeout_ns;
}

void
tcp_probe_send(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    bool again = false;
    bool sent = tcp_output_probe(conn, now_ns);

    if (!sent && !mr_list_empty(&conn->segs)) {
        struct tcp_seg *last = MR_CONTAINER_OF(conn->segs.prev, struct tcp_seg, node);

        if (last->size > conn->mss) {
            uint32_t head = (last->size - 1) / conn->mss * conn->mss;

            if (tcp_seg_split(conn, last, head)) {
                last = MR_CONTAINER_OF(conn->segs.prev, struct tcp_seg, node);
            }
        }
        again = true;
        sent = tcp_output_retransmit(conn, last, now_ns);
    }
    if (sent) {
        conn->tcp->stats.probes_out++;
        conn->flags |= TCP_PROBE_OUT | (again ? TCP_PROBE_RETX : 0u);
        conn->probe_end_seq = conn->nxt;
    }
    tcp_rtx_restart(conn, now_ns);
}

/* Whether the probe has repaired a loss that nobody would have noticed otherwise: then the rate
 * goes down as for any loss. */
void
tcp_probe_ack(struct mr_tcp_conn *conn, const struct tcp_acked *acked, uint64_t now_ns)
{
    (void)now_ns;
    if (!(conn->flags & TCP_PROBE_OUT) || tcp_seq_lt(conn->una, conn->probe_end_seq)) {
        return;
    }
    if (!(conn->flags & TCP_PROBE_RETX) ||
        (acked->dsack && acked->dsack_block.end == conn->probe_end_seq)) {
        conn->flags &= ~(uint32_t)(TCP_PROBE_OUT | TCP_PROBE_RETX);
        return;
    }
    if (tcp_seq_lt(conn->probe_end_seq, conn->una)) {
        conn->flags &= ~(uint32_t)(TCP_PROBE_OUT | TCP_PROBE_RETX);
        conn->tcp->stats.probe_repairs++;
        conn->cc.ssthresh = tcp_cc_reduce(conn);
        conn->cc.cwnd = tcp_min(conn->cc.cwnd, conn->cc.ssthresh);
    } else if (acked->duplicate && !acked->sent_ns && acked->delivered == 0) {
        conn->flags &= ~(uint32_t)(TCP_PROBE_OUT | TCP_PROBE_RETX);
    }
}
