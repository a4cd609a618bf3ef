/* tcp/tcp_ack.c: an acknowledgement: what it acknowledges, cumulatively and by SACK; the round-trip
 * time; the peer's window; what our FIN waited for. What it means for the rate is for
 * tcp_recovery.c and tcp_cc.c. */
#include <string.h>

#include "dataplane/tcp/tcp_priv.h"

/* ---- round-trip time, RFC 6298 --------------------------------------------------------------- */

void
tcp_rto_update(struct mr_tcp_conn *conn)
{
    const struct mr_tcp_config *config = &conn->tcp->config;
    uint64_t spread_ns = 4 * conn->rttvar_ns;

    /* The lower limit goes on the spread, not on the sum: a timeout is never nearer to the
     * round-trip time than the peer may delay an ACK. */
    conn->rto_ns =
        conn->srtt_ns + (spread_ns > config->rto_min_ns ? spread_ns : config->rto_min_ns);
    if (conn->rto_ns > config->rto_max_ns) {
        conn->rto_ns = config->rto_max_ns;
    }
}

void
tcp_rtt_sample(struct mr_tcp_conn *conn, uint64_t rtt_ns)
{
    if (conn->srtt_ns == 0) {
        conn->srtt_ns = rtt_ns;
        conn->rttvar_ns = rtt_ns / 2;
        conn->rtt_min_ns = rtt_ns;
    } else {
        uint64_t error = conn->srtt_ns > rtt_ns ? conn->srtt_ns - rtt_ns : rtt_ns - conn->srtt_ns;

        conn->rttvar_ns = (3 * conn->rttvar_ns + error) / 4;
        conn->srtt_ns = (7 * conn->srtt_ns + rtt_ns) / 8;
        if (rtt_ns < conn->rtt_min_ns) {
            conn->rtt_min_ns = rtt_ns;
        }
    }
    if (conn->srtt_ns == 0) {
        conn->srtt_ns = 1; /* 0 says that there is none */
    }
    conn->backoff = 0;
    tcp_rto_update(conn);
}

/* ---- segments leave the scoreboard ----------------------------------------------------------- */

static void
note_delivered(struct mr_tcp_conn *conn, struct tcp_seg *seg, struct tcp_acked *acked,
               uint64_t now_ns)
{
    acked->delivered += seg->end_seq - seg->seq;
    if ((seg->flags & (TCP_SEG_MTU | TCP_SEG_EVER)) == TCP_SEG_MTU) {
        tcp_mtu_delivered(conn, seg);
    }
    if (seg->flags & TCP_SEG_EVER) {
        acked->retran = true;
    } else {
        acked->original = true;
        if (seg->sent_ns >= acked->sent_ns) {
            acked->sent_ns = seg->sent_ns;
            acked->rtt_ns = now_ns > seg->sent_ns ? now_ns - seg->sent_ns : 1;
        }
        /* RFC 8985 6.2 step 3: it left before one that has already arrived. */
        if (tcp_seq_lt(seg->end_seq, conn->rack_fack)) {
            conn->flags |= TCP_REORDERED;
        }
    }
    conn->rack_fack = tcp_seq_max(conn->rack_fack, seg->end_seq);
    tcp_rack_delivered(conn, seg, now_ns, acked);
}

/* Takes it out of what it was counted in, before it is freed or SACKed. */
static void
uncount(struct mr_tcp_conn *conn, struct tcp_seg *seg)
{
    uint32_t size = seg->end_seq - seg->seq;

    if (seg->flags & TCP_SEG_SACKED) {
        conn->sacked -= size;
        conn->sacked_segs--;
    }
    if (seg->flags & TCP_SEG_LOST) {
        conn->lost -= size;
    }
    seg->flags &= (uint8_t) ~(TCP_SEG_SACKED | TCP_SEG_LOST | TCP_SEG_RETRAN);
}

/* The part of a segment before `ack` is gone. */
static void
trim_seg(struct mr_tcp_conn *conn, struct tcp_seg *seg, uint32_t ack, struct tcp_acked *acked)
{
    uint32_t size = ack - seg->seq;

    if (seg->flags & TCP_SEG_SACKED) {
        conn->sacked -= size;
    } else {
        acked->delivered += size;
    }
    if (seg->flags & TCP_SEG_LOST) {
        conn->lost -= size;
    }
    tcp_cursor_skip(conn, &seg->at, size);
    seg->seq = ack;
    seg->size -= size;
}

/* Everything before `ack`. Returns how many bytes of payload that was. */
static uint32_t
clean_segs(struct mr_tcp_conn *conn, uint32_t ack, struct tcp_acked *acked, uint64_t now_ns)
{
    uint32_t bytes = 0;

    while (!mr_list_empty(&conn->segs)) {
        struct tcp_seg *seg = MR_CONTAINER_OF(conn->segs.next, struct tcp_seg, node);

        if (tcp_seq_lt(ack, seg->end_seq)) {
            if (tcp_seq_lt(seg->seq, ack)) {
                bytes += ack - seg->seq;
                trim_seg(conn, seg, ack, acked);
            }
            break;
        }
        if (!(seg->flags & TCP_SEG_SACKED)) {
            note_delivered(conn, seg, acked, now_ns);
        }
        uncount(conn, seg);
        bytes += seg->size;
        if (conn->sack_hint == seg) {
            conn->sack_hint = NULL;
        }
        if (conn->retx_hint == seg) {
            conn->retx_hint = NULL;
        }
        tcp_seg_free(conn->tcp, seg);
    }
    return bytes;
}

/* ---- SACK ------------------------------------------------------------------------------------ */

static void
sack_seg(struct mr_tcp_conn *conn, struct tcp_seg *seg, struct tcp_acked *acked, uint64_t now_ns)
{
    note_delivered(conn, seg, acked, now_ns);
    uncount(conn, seg);
    seg->flags |= TCP_SEG_SACKED;
    conn->sacked += seg->end_seq - seg->seq;
    conn->sacked_segs++;
    conn->sack_high = tcp_seq_max(conn->sack_high, seg->end_seq);
    mr_list_remove(&seg->time_node);
}

/* The segment that contains `seq`, or the first behind it; from the hint in either direction, since
 * a block mostly lies where the last one ended. */
static struct tcp_seg *
seg_at(struct mr_tcp_conn *conn, uint32_t seq)
{
    struct mr_list *node = conn->sack_hint ? &conn->sack_hint->node : conn->segs.next;

    if (!conn->sack_hint && conn->nxt - seq < seq - conn->una) {
        node = conn->segs.prev;
    }
    while (node->prev != &conn->segs &&
           tcp_seq_lt(seq, MR_CONTAINER_OF(node, struct tcp_seg, node)->seq)) {
        node = node->prev;
    }
    while (node != &conn->segs &&
           tcp_seq_le(MR_CONTAINER_OF(node, struct tcp_seg, node)->end_seq, seq)) {
        node = node->next;
    }
    return node == &conn->segs ? NULL : MR_CONTAINER_OF(node, struct tcp_seg, node);
}

/* Where a segment that went out as several (TSO) may be cut at `seq`: between those several, and
 * nowhere else, so that a peer cannot make us cut it to pieces. */
static bool
cut_at(struct mr_tcp_conn *conn, struct tcp_seg *seg, uint32_t seq)
{
    uint32_t size = (seq - seg->seq) / conn->mss * conn->mss;

    return size > 0 && size < seg->size && tcp_seg_split(conn, seg, size);
}

static void
sack_range(struct mr_tcp_conn *conn, uint32_t begin, uint32_t end, struct tcp_acked *acked,
           uint64_t now_ns)
{
    struct tcp_seg *seg;

    if (!tcp_seq_lt(begin, end) || mr_list_empty(&conn->segs)) {
        return;
    }
    seg = seg_at(conn, begin);
    if (seg && tcp_seq_lt(seg->seq, begin)) {
        uint32_t up = begin + conn->mss - 1;

        if (tcp_seq_lt(up, seg->end_seq)) {
            cut_at(conn, seg, up);
        }
        seg = seg->node.next == &conn->segs ? NULL
                                            : MR_CONTAINER_OF(seg->node.next, struct tcp_seg, node);
    }
    while (seg && tcp_seq_lt(seg->seq, end)) {
        if (tcp_seq_lt(end, seg->end_seq) && !cut_at(conn, seg, end)) {
            break;
        }
        if (!(seg->flags & TCP_SEG_SACKED)) {
            sack_seg(conn, seg, acked, now_ns);
        }
        conn->sack_hint = seg;
        seg = seg->node.next == &conn->segs ? NULL
                                            : MR_CONTAINER_OF(seg->node.next, struct tcp_seg, node);
    }
}

/* RFC 2883: the first block tells of a duplicate when it lies before the ACK, or in the second. */
static bool
is_dsack(const struct mr_tcp_conn *conn, const struct tcp_segment *segment)
{
    const struct tcp_block *first = &segment->options.blocks[0];
    const struct tcp_block *second = &segment->options.blocks[1];

    if (tcp_seq_le(first->end, segment->ack)) {
        return tcp_seq_lt(first->begin, first->end) &&
               tcp_seq_le(conn->una - conn->peer_window_max, first->begin);
    }
    return segment->options.block_count > 1 && tcp_seq_le(second->begin, first->begin) &&
           tcp_seq_le(first->end, second->end) && tcp_seq_lt(first->begin, first->end);
}

/* What of a block the last ACK did not name already. */
static void
sack_block(struct mr_tcp_conn *conn, struct tcp_block block, struct tcp_acked *acked,
           uint64_t now_ns)
{
    for (unsigned i = 0; i < conn->seen_count; i++) {
        struct tcp_block seen = conn->seen[i];

        if (tcp_seq_le(block.begin, seen.begin) && tcp_seq_le(seen.end, block.end)) {
            sack_range(conn, block.begin, seen.begin, acked, now_ns);
            sack_range(conn, seen.end, block.end, acked, now_ns);
            return;
        }
    }
    sack_range(conn, block.begin, block.end, acked, now_ns);
}

static void
sack_input(struct mr_tcp_conn *conn, const struct tcp_segment *segment, struct tcp_acked *acked,
           uint64_t now_ns)
{
    const struct tcp_options *options = &segment->options;
    struct tcp_block good[TCP_SACK_BLOCKS_MAX];
    unsigned count = 0;

    if (!(conn->flags & TCP_SACK_ON) || options->block_count == 0) {
        return;
    }
    if (is_dsack(conn, segment)) {
        acked->dsack = true;
        acked->dsack_block = options->blocks[0];
        conn->tcp->stats.dsacks_in++;
    }
    for (unsigned i = acked->dsack ? 1 : 0; i < options->block_count; i++) {
        struct tcp_block block = options->blocks[i];

        if (tcp_seq_le(block.end, conn->una)) {
            continue; /* an old ACK */
        }
        if (!tcp_seq_lt(block.begin, block.end) || tcp_seq_lt(conn->nxt, block.end) ||
            tcp_seq_lt(block.begin, conn->una)) {
            conn->tcp->stats.bad_sack++;
            continue;
        }
        sack_block(conn, block, acked, now_ns);
        good[count++] = block;
    }
    memcpy(conn->seen, good, count * sizeof(good[0]));
    conn->seen_count = count;
}

/* ---- the ACK --------------------------------------------------------------------------------- */

/* RFC 9293 3.10.7.4. True: the window changed. */
static bool
window_input(struct mr_tcp_conn *conn, const struct tcp_segment *segment)
{
    uint32_t window = segment->window << conn->peer_wscale;
    bool changed;

    if (segment->flags & TCP_SYN) {
        return false;
    }
    if (!tcp_seq_lt(conn->wl1, segment->seq) &&
        !(conn->wl1 == segment->seq && tcp_seq_le(conn->wl2, segment->ack))) {
        return false;
    }
    changed = window != conn->peer_window;
    conn->peer_window = window;
    conn->peer_window_max = tcp_max(conn->peer_window_max, window);
    conn->wl1 = segment->seq;
    conn->wl2 = segment->ack;
    return changed;
}

static void
una_advance(struct mr_tcp_conn *conn, uint32_t ack, struct tcp_acked *acked, uint64_t now_ns)
{
    uint32_t bytes = clean_segs(conn, ack, acked, now_ns);

    acked->acked = ack - conn->una;
    conn->una = ack;
    conn->retries = 0;
    conn->backoff = 0;
    conn->sack_high = tcp_seq_max(conn->sack_high, ack);
    tcp_sends_acked(conn, bytes);
}

static void
sample_rtt(struct mr_tcp_conn *conn, struct tcp_acked *acked, uint64_t now_ns)
{
    if (acked->rtt_ns == 0 && acked->acked > 0 && acked->has_ts && acked->ts_ecr != 0) {
        /* Only retransmissions were acknowledged; the echo tells which of their transmissions. */
        uint32_t age_ms = tcp_timestamp(conn, now_ns) - acked->ts_ecr;

        if (age_ms < 1u << 30) {
            tcp_rtt_sample(conn, (age_ms ? age_ms : 1) * MR_NS_PER_MS);
        }
    } else if (acked->rtt_ns != 0) {
        tcp_rtt_sample(conn, acked->rtt_ns);
    }
}

/* All that we sent is acknowledged, our FIN too. May end the connection. */
static void
fin_acked(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    switch (conn->state) {
    case TCP_FIN_WAIT_1:
        tcp_state_set(conn, TCP_FIN_WAIT_2);
        tcp_life_arm(conn, now_ns);
        tcp_want_events(conn);
        break;
    case TCP_CLOSING:
        tcp_time_wait(conn, now_ns);
        break;
    case TCP_LAST_ACK:
        tcp_conn_end(conn, 0);
        break;
    default:
        break;
    }
}

static void
process_ack(struct mr_tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_ns)
{
    struct tcp_acked acked = {
        .una_before = conn->una,
        .ts_ecr = segment->options.ts_ecr,
        .has_ts = (conn->flags & TCP_TS_ON) != 0 && segment->options.has_ts,
        .ece = (conn->flags & TCP_ECN_ON) != 0 && (segment->flags & TCP_ECE) != 0,
    };
    bool outstanding = !mr_list_empty(&conn->segs);
    bool old = tcp_seq_lt(segment->ack, conn->una);
    bool moved = !old && window_input(conn, segment);

    acked.duplicate = segment->ack == conn->una && outstanding && !moved && segment->size == 0 &&
                      !(segment->flags & (TCP_SYN | TCP_FIN));
    if (tcp_seq_lt(conn->una, segment->ack)) {
        una_advance(conn, segment->ack, &acked, now_ns);
    }
    sack_input(conn, segment, &acked, now_ns);
    sample_rtt(conn, &acked, now_ns);
    if (conn->peer_window == 0 && !old) {
        conn->retries = 0; /* a peer that answers, if only that it has no room, is alive */
    }
    if (outstanding) {
        tcp_recovery_ack(conn, &acked, now_ns);
    }
    if (acked.acked > 0) {
        conn->rto_deadline_ns = now_ns + conn->rto_ns;
    }
    if (acked.reorder_ns > 0) {
        tcp_rtx_reorder(conn, now_ns + acked.reorder_ns);
    } else if (acked.acked > 0 || acked.delivered > 0 || moved) {
        tcp_rtx_arm(conn, now_ns);
    }
    if ((conn->flags & TCP_FIN_SENT) && conn->una == conn->nxt) {
        fin_acked(conn, now_ns);
    }
    if (acked.delivered > 0 || acked.duplicate || moved || conn->lost > 0) {
        tcp_want_output(conn);
    }
}

bool
tcp_ack_input(struct mr_tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_ns)
{
    /* RFC 5961 5.2: what acknowledges bytes never sent, or so old that they cannot come from this
     * connection, is answered and dropped. */
    if (tcp_seq_lt(conn->nxt, segment->ack) ||
        tcp_seq_lt(segment->ack, conn->una - tcp_max(conn->peer_window_max, 65535))) {
        conn->tcp->stats.bad_ack++;
        tcp_challenge(conn, now_ns);
        return false;
    }
    process_ack(conn, segment, now_ns);
    return true;
}
