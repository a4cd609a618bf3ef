/* tcp/tcp_recovery.c: loss recovery: RFC 6675 and NewReno (RFC 6582) beside RACK, proportional rate
 * reduction (RFC 6937), timeouts, and undoing what was spurious. The phases are drawn in
 * tcp_priv.h. */
#include "dataplane/tcp/tcp_priv.h"

#define DUP_THRESHOLD  3
#define BLACK_HOLE_RTO 2 /* timeouts in a row after which the path MTU is suspected */

void
tcp_mark_lost(struct mr_tcp_conn *conn, struct tcp_seg *seg)
{
    if (seg->flags & (TCP_SEG_LOST | TCP_SEG_SACKED)) {
        return;
    }
    seg->flags = (uint8_t)((seg->flags & ~TCP_SEG_RETRAN) | TCP_SEG_LOST);
    conn->lost += seg->end_seq - seg->seq;
    mr_list_remove(&seg->time_node);
    /* Without a hint other lost ones may lie anywhere: then the search begins at the front. */
    if (conn->lost == seg->end_seq - seg->seq ||
        (conn->retx_hint && tcp_seq_lt(seg->seq, conn->retx_hint->seq))) {
        conn->retx_hint = seg;
    }
}

/* Nothing is lost after all. */
static void
unmark_lost(struct mr_tcp_conn *conn)
{
    /* They left before all that is still in the order of sending. */
    for (struct mr_list *node = conn->segs.prev; node != &conn->segs; node = node->prev) {
        struct tcp_seg *seg = MR_CONTAINER_OF(node, struct tcp_seg, node);

        if (seg->flags & TCP_SEG_LOST) {
            seg->flags &= (uint8_t)~TCP_SEG_LOST;
            mr_list_push_front(&conn->sent_order, &seg->time_node);
        }
    }
    conn->lost = 0;
    conn->retx_hint = NULL;
}

/* ---- finding losses -------------------------------------------------------------------------- */

/* RFC 6675 4, IsLost: three segments, or more bytes than two of full size, are SACKed above it. */
static void
sack_mark(struct mr_tcp_conn *conn)
{
    uint32_t bytes = 0;
    unsigned segs = 0;

    for (struct mr_list *node = conn->segs.prev; node != &conn->segs; node = node->prev) {
        struct tcp_seg *seg = MR_CONTAINER_OF(node, struct tcp_seg, node);

        if (seg->flags & TCP_SEG_SACKED) {
            bytes += seg->size;
            segs++;
        } else if (!(seg->flags & TCP_SEG_RETRAN) &&
                   (segs >= DUP_THRESHOLD || bytes > (DUP_THRESHOLD - 1) * conn->mss)) {
            tcp_mark_lost(conn, seg);
        }
    }
}

/* Without SACK each duplicate ACK says that one more segment has arrived, and `sacked` counts them.
 * A partial ACK of RFC 6582 says that the next one is lost. */
static void
reno_mark(struct mr_tcp_conn *conn, struct tcp_acked *acked)
{
    uint32_t flight = conn->nxt - conn->una;
    struct tcp_seg *head;

    if (acked->acked > 0) {
        uint32_t counted = tcp_min(conn->sacked, acked->acked);

        acked->delivered -= tcp_min(acked->delivered, counted);
        if (acked->delivered < tcp_min(conn->mss, acked->acked)) {
            acked->delivered = tcp_min(conn->mss, acked->acked);
        }
        conn->sacked -= counted;
        conn->dupacks = 0;
        if (conn->phase == TCP_OPEN) {
            conn->sacked = 0;
        }
    } else if (acked->duplicate && conn->phase != TCP_LOSS) {
        conn->dupacks++;
        acked->delivered = conn->mss;
        conn->sacked += conn->mss;
    }
    if (mr_list_empty(&conn->segs)) {
        conn->sacked = 0;
        return;
    }
    head = MR_CONTAINER_OF(conn->segs.next, struct tcp_seg, node);
    if ((conn->phase == TCP_RECOVERY && acked->acked > 0 && !(head->flags & TCP_SEG_RETRAN)) ||
        (conn->phase <= TCP_CWR_PHASE && conn->dupacks >= DUP_THRESHOLD &&
         conn->una != conn->recovery_point)) {
        tcp_mark_lost(conn, head);
    }
    if (conn->sacked + conn->lost + (head->end_seq - head->seq) > flight) {
        uint32_t most = conn->lost + (head->end_seq - head->seq);

        conn->sacked = flight > most ? flight - most : 0;
    }
}

/* ---- phases ---------------------------------------------------------------------------------- */

static void
remember_for_undo(struct mr_tcp_conn *conn)
{
    conn->undo_possible = true;
    conn->undo_segs = 0;
    conn->retx_stamped = false;
    conn->undo_cwnd = conn->cc.cwnd;
    conn->undo_ssthresh = conn->cc.ssthresh;
    conn->undo_cubic = conn->cc.cubic;
}

void
tcp_enter_recovery(struct mr_tcp_conn *conn, bool by_rack)
{
    remember_for_undo(conn);
    conn->cc.ssthresh = tcp_cc_reduce(conn);
    conn->recovery_point = conn->nxt;
    conn->recover_flight = conn->nxt - conn->una;
    conn->prr_delivered = 0;
    conn->prr_out = 0;
    conn->retx_first = true;
    conn->flags &= ~(uint32_t)(TCP_PROBE_OUT | TCP_PROBE_RETX);
    tcp_phase_set(conn, TCP_RECOVERY);
    if (by_rack) {
        conn->tcp->stats.rack_recoveries++;
    } else {
        conn->tcp->stats.fast_recoveries++;
    }
}

/* The episode was for nothing: the rate of before comes back. */
static void
undo(struct mr_tcp_conn *conn)
{
    struct mr_tcp_stats *stats = &conn->tcp->stats;

    if (conn->phase == TCP_LOSS) {
        stats->undone_timeouts++;
    } else {
        stats->undone_recoveries++;
    }
    unmark_lost(conn);
    conn->cc.cwnd = tcp_max(conn->cc.cwnd, conn->undo_cwnd);
    conn->cc.ssthresh = tcp_max(conn->cc.ssthresh, conn->undo_ssthresh);
    conn->cc.cubic = conn->undo_cubic;
    conn->undo_possible = false;
    conn->retx_first = false;
    conn->dupacks = 0;
    if (!(conn->flags & TCP_SACK_ON)) {
        conn->sacked = 0;
    }
    tcp_phase_set(conn, TCP_OPEN);
}

/* Eifel (RFC 3522): the ACK answers to a segment sent before the first retransmission. DSACK (RFC
 * 3708): each retransmission came twice. F-RTO (RFC 5682), simple form: after a timeout something
 * arrives that was never sent again, while other things are still missing. */
static bool
is_spurious(const struct mr_tcp_conn *conn, const struct tcp_acked *acked)
{
    if (!conn->undo_possible || !conn->retx_stamped) {
        return false;
    }
    if (acked->has_ts && acked->acked > 0 && acked->ts_ecr != 0 &&
        tcp_seq_lt(acked->ts_ecr, conn->retx_ts)) {
        return true;
    }
    if (acked->dsack && conn->undo_segs == 0) {
        return true;
    }
    return conn->phase == TCP_LOSS && conn->frto && acked->acked > 0 && acked->original &&
           !acked->retran && tcp_seq_lt(conn->una, conn->recovery_point);
}

static void
leave(struct mr_tcp_conn *conn)
{
    if (conn->phase == TCP_RECOVERY) {
        conn->cc.cwnd = tcp_max(conn->cc.ssthresh, conn->mss);
        if (!(conn->flags & TCP_SACK_ON)) {
            /* RFC 6582 3.2 step 3: no burst. */
            conn->cc.cwnd =
                tcp_min(conn->cc.cwnd, tcp_max(conn->nxt - conn->una, conn->mss) + conn->mss);
        }
    }
    if (conn->phase == TCP_RECOVERY && conn->reo_persist > 0 && --conn->reo_persist == 0) {
        conn->reo_mult = 1;
    }
    conn->dupacks = 0;
    conn->retx_first = false;
    if (!(conn->flags & TCP_SACK_ON)) {
        conn->sacked = 0;
    }
    tcp_phase_set(conn, TCP_OPEN);
}

/* RFC 6937: one segment out for each that arrives, in the proportion of the reduction; below the
 * target slow start, and only while the ACKs move on. */
static void
prr(struct mr_tcp_conn *conn, const struct tcp_acked *acked, uint32_t lost_before)
{
    uint32_t pipe = tcp_pipe(conn);
    int64_t send;

    conn->prr_delivered += acked->delivered;
    if (pipe > conn->cc.ssthresh) {
        uint64_t share = (uint64_t)conn->prr_delivered * conn->cc.ssthresh;

        send = (int64_t)((share + conn->recover_flight - 1) / conn->recover_flight) -
               (int64_t)conn->prr_out;
    } else {
        int64_t limit = (int64_t)conn->prr_delivered - (int64_t)conn->prr_out;

        if (limit < (int64_t)acked->delivered) {
            limit = acked->delivered;
        }
        if (acked->acked > 0 && conn->lost <= lost_before) {
            limit += conn->mss;
        }
        send = (int64_t)conn->cc.ssthresh - pipe;
        send = send < limit ? send : limit;
    }
    if (send < 0) {
        send = 0;
    }
    if (conn->prr_out == 0 && send < (int64_t)conn->mss) {
        send = conn->mss; /* the fast retransmission itself */
    }
    conn->cc.cwnd = pipe + (uint32_t)send;
}

void
tcp_recovery_ecn(struct mr_tcp_conn *conn)
{
    if (conn->phase != TCP_OPEN || tcp_seq_le(conn->una, conn->ecn_point)) {
        return;
    }
    conn->tcp->stats.ecn_reductions++;
    conn->undo_possible = false;
    conn->cc.ssthresh = tcp_cc_reduce(conn);
    conn->cc.cwnd = tcp_min(conn->cc.cwnd, conn->cc.ssthresh);
    conn->ecn_point = conn->nxt;
    conn->recovery_point = conn->nxt;
    conn->flags |= TCP_CWR_DUE;
    tcp_phase_set(conn, TCP_CWR_PHASE);
}

void
tcp_recovery_ack(struct mr_tcp_conn *conn, struct tcp_acked *acked, uint64_t now_ns)
{
    uint32_t lost_before = conn->lost;

    if (!(conn->flags & TCP_SACK_ON)) {
        reno_mark(conn, acked);
    }
    if (acked->dsack && conn->undo_segs > 0) {
        conn->undo_segs--;
    }
    tcp_rack_reordering(conn, acked);
    tcp_probe_ack(conn, acked, now_ns);
    if (conn->phase != TCP_OPEN && is_spurious(conn, acked)) {
        undo(conn);
    } else if (conn->phase != TCP_OPEN && tcp_seq_le(conn->recovery_point, conn->una)) {
        leave(conn);
    }
    if (acked->ece) {
        tcp_recovery_ecn(conn);
    }
    if (conn->flags & TCP_SACK_ON) {
        if (conn->tcp->config.rack) {
            acked->reorder_ns = tcp_rack_mark(conn, now_ns);
        } else if (conn->sacked > 0) {
            sack_mark(conn);
        }
    }
    if (conn->lost > 0 && conn->phase <= TCP_CWR_PHASE) {
        tcp_enter_recovery(conn, conn->tcp->config.rack && (conn->flags & TCP_SACK_ON) &&
                                     conn->sacked_segs < DUP_THRESHOLD);
    }
    if (conn->phase == TCP_RECOVERY) {
        prr(conn, acked, lost_before);
    } else if (conn->phase != TCP_CWR_PHASE) {
        tcp_cc_acked(conn, acked, now_ns);
    }
}

/* ---- the timeout ----------------------------------------------------------------------------- */

/* RFC 2018 8: the first segment SACKed and yet not acknowledged: the peer has thrown it away. */
static void
forget_sacks(struct mr_tcp_conn *conn)
{
    conn->tcp->stats.reneged++;
    MR_LIST_FOR_EACH(node, &conn->segs)
    {
        MR_CONTAINER_OF(node, struct tcp_seg, node)->flags &= (uint8_t)~TCP_SEG_SACKED;
    }
    conn->sacked = 0;
    conn->sacked_segs = 0;
    conn->seen_count = 0;
    conn->sack_hint = NULL;
    conn->sack_high = conn->una;
}

/* RFC 8985 6.3: with RACK what was sent lately is given its time. */
static void
mark_after_timeout(struct mr_tcp_conn *conn, bool all, uint64_t now_ns)
{
    MR_LIST_FOR_EACH(node, &conn->segs)
    {
        struct tcp_seg *seg = MR_CONTAINER_OF(node, struct tcp_seg, node);

        if (all || node == conn->segs.next ||
            seg->sent_ns + conn->rack_rtt_ns + conn->srtt_ns / 4 <= now_ns) {
            tcp_mark_lost(conn, seg);
        }
    }
}

/* RFC 2923 2.1: big segments vanish and nobody says why. */
static void
suspect_path_mtu(struct mr_tcp_conn *conn, const struct tcp_seg *head, uint64_t now_ns)
{
    uint32_t floor = TCP_MSS_DEFAULT - (conn->flags & TCP_TS_ON ? TCP_TS_SIZE : 0);

    if (conn->retries < BLACK_HOLE_RTO || head->size <= floor || conn->mss <= floor ||
        conn->peer_window == 0) {
        return;
    }
    conn->tcp->stats.black_holes++;
    tcp_mtu_reduce(conn, tcp_max(conn->mss_path / 2, TCP_MSS_DEFAULT), now_ns);
}

void
tcp_recovery_timeout(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_seg *head = MR_CONTAINER_OF(conn->segs.next, struct tcp_seg, node);
    bool sack = (conn->flags & TCP_SACK_ON) != 0;
    bool reneged = sack && (head->flags & TCP_SEG_SACKED);

    conn->tcp->stats.timeouts++;
    suspect_path_mtu(conn, head, now_ns);
    if (reneged) {
        forget_sacks(conn);
    } else if (!sack) {
        conn->sacked = 0;
    }
    if (conn->phase != TCP_LOSS || conn->retries == 0) {
        uint32_t ssthresh = conn->cc.ssthresh;

        remember_for_undo(conn);
        if (conn->phase == TCP_RECOVERY) {
            conn->undo_possible = false; /* there was a loss, and ssthresh knows of it */
        } else {
            ssthresh = tcp_cc_reduce(conn);
        }
        conn->cc.ssthresh = ssthresh;
        conn->frto = sack && !reneged;
    } else {
        conn->frto = false;
    }
    mark_after_timeout(conn, reneged || !sack || !conn->tcp->config.rack, now_ns);
    conn->recovery_point = conn->nxt;
    conn->dupacks = 0;
    conn->retx_first = true;
    conn->flags &= ~(uint32_t)(TCP_PROBE_OUT | TCP_PROBE_RETX);
    conn->cc.cwnd = tcp_pipe(conn) + conn->mss;
    conn->cc.hystart.done = true;
    tcp_phase_set(conn, TCP_LOSS);
    tcp_want_output(conn);
}
