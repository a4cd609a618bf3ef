/* tcp/tcp_output.c: sending: what is lost again, then what is new, then a lone ACK if one is still
 * owed. A segment's state changes only after the device has taken its frame. */
#include <errno.h>

#include "dataplane/tcp/tcp_priv.h"

uint32_t
tcp_timestamp(const struct mr_tcp_conn *conn, uint64_t now_ns)
{
    return (uint32_t)(now_ns / MR_NS_PER_MS) + conn->ts_offset;
}

/* ---- one frame --------------------------------------------------------------------------------
 */

/* As many blocks as fit beside `payload`. */
static void
add_blocks(const struct mr_tcp_conn *conn, struct tcp_options *options, uint32_t payload)
{
    const struct tcp_rx *rx = &conn->rx;
    unsigned room = options->has_ts ? 3 : 4;

    if (!(conn->flags & TCP_SACK_ON) || (rx->block_count == 0 && !rx->dsack_pending)) {
        return;
    }
    if (payload > 0) {
        uint32_t left = payload < conn->mss ? conn->mss - payload : 0;

        room = left < 12 ? 0 : (unsigned)tcp_min(room, (left - 4) / 8);
    }
    if (rx->dsack_pending && options->block_count < room) {
        options->blocks[options->block_count++] = rx->dsack;
    }
    for (unsigned i = 0; i < rx->block_count && options->block_count < room; i++) {
        options->blocks[options->block_count++] = rx->blocks[i];
    }
}

/* What every segment of an established connection has. */
static struct tcp_frame_spec
spec_base(struct mr_tcp_conn *conn, uint32_t seq, uint8_t flags, uint64_t now_ns)
{
    struct tcp_frame_spec spec = {
        .local = conn->local,
        .remote = conn->remote,
        .local_port = conn->local_port,
        .remote_port = conn->remote_port,
        .seq = seq,
        .ack = conn->rx.next,
        .window = (uint16_t)tcp_min(tcp_window_take(conn) >> conn->rx.wscale, 65535),
        .flags = flags | TCP_ACK,
    };

    if (conn->flags & TCP_TS_ON) {
        spec.options.has_ts = true;
        spec.options.ts_val = tcp_timestamp(conn, now_ns);
        spec.options.ts_ecr = conn->ts_recent;
    }
    if (conn->flags & TCP_ECE_DUE) {
        spec.flags |= TCP_ECE;
    }
    return spec;
}

bool
tcp_output_ack(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    uint32_t edge = conn->una + conn->peer_window;
    uint32_t seq = conn->nxt;
    struct tcp_frame_spec spec;

    if (tcp_seq_lt(edge, seq) && !(conn->flags & TCP_FIN_SENT)) {
        seq = edge; /* the peer has shrunk its window: beyond it nothing is listened to */
    }
    spec = spec_base(conn, seq, 0, now_ns);
    add_blocks(conn, &spec.options, 0);
    if (!tcp_frame_send(conn->tcp, &spec)) {
        return false;
    }
    tcp_ack_sent(conn, true);
    return true;
}

bool
tcp_output_window_probe(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_frame_spec spec = spec_base(conn, conn->una - 1, 0, now_ns);

    if (!tcp_frame_send(conn->tcp, &spec)) {
        return false;
    }
    tcp_ack_sent(conn, true);
    return true;
}

/* ---- SYN and RST ------------------------------------------------------------------------------
 */

static void
syn_options(const struct mr_tcp_conn *conn, struct tcp_options *options, uint64_t now_ns)
{
    const struct mr_tcp_config *config = &conn->tcp->config;
    bool first = conn->state == TCP_SYN_SENT;

    options->mss = (uint16_t)(config->mtu - TCP_IP_SIZE - TCP_HEADER_SIZE);
    options->sack_ok = first ? config->sack : (conn->flags & TCP_SACK_ON) != 0;
    options->has_ts = first ? config->timestamps : (conn->flags & TCP_TS_ON) != 0;
    options->has_wscale = first ? config->window_scale : (conn->flags & TCP_WSCALE_ON) != 0;
    options->wscale = conn->rx.wscale;
    options->ts_val = tcp_timestamp(conn, now_ns);
    options->ts_ecr = first ? 0 : conn->ts_recent;
}

bool
tcp_output_syn(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    bool first = conn->state == TCP_SYN_SENT;
    struct tcp_frame_spec spec = {
        .local = conn->local,
        .remote = conn->remote,
        .local_port = conn->local_port,
        .remote_port = conn->remote_port,
        .seq = conn->iss,
        .ack = first ? 0 : conn->rx.next,
        .window = (uint16_t)tcp_min(conn->rx.buffer, 65535),
        .flags = first ? TCP_SYN : TCP_SYN | TCP_ACK,
    };

    if (first && conn->tcp->config.ecn && conn->retries < 2) {
        spec.flags |= TCP_ECE | TCP_CWR;
    } else if (!first && (conn->flags & TCP_ECN_ON)) {
        spec.flags |= TCP_ECE;
    }
    syn_options(conn, &spec.options, now_ns);
    if (!tcp_frame_send(conn->tcp, &spec)) {
        return false;
    }
    conn->flags &= ~(uint32_t)(TCP_SYN_DUE | TCP_ACK_NOW);
    conn->last_sent_ns = now_ns;
    if (conn->nxt == conn->iss) {
        conn->nxt = conn->iss + 1;
        tcp_rtx_restart(conn, now_ns);
    }
    return true;
}

void
tcp_output_cookie(struct mr_tcp *tcp, const struct tcp_segment *segment, uint64_t now_ns)
{
    const struct tcp_options *theirs = &segment->options;
    struct tcp_frame_spec spec = {
        .local = segment->packet->destination,
        .remote = segment->packet->source,
        .local_port = segment->destination_port,
        .remote_port = segment->source_port,
        .ack = segment->seq + 1,
        .window = (uint16_t)tcp_min(tcp->config.receive_buffer_min, 65535),
        .flags = TCP_SYN | TCP_ACK,
    };

    spec.seq = tcp_cookie_make(tcp, segment, &spec.options.ts_val, now_ns);
    spec.options.mss = (uint16_t)(tcp->config.mtu - TCP_IP_SIZE - TCP_HEADER_SIZE);
    spec.options.has_ts = tcp->config.timestamps && theirs->has_ts;
    /* Without timestamps there is nowhere to keep the others. */
    spec.options.sack_ok = spec.options.has_ts && tcp->config.sack && theirs->sack_ok;
    spec.options.has_wscale = spec.options.has_ts && tcp->config.window_scale && theirs->has_wscale;
    spec.options.wscale = tcp_wscale_own(tcp);
    spec.options.ts_ecr = theirs->ts_val;
    if (tcp_frame_send(tcp, &spec)) {
        tcp->stats.cookies_out++;
    }
}

/* RFC 9293 3.10.7.1. */
void
tcp_output_reset(struct mr_tcp *tcp, const struct tcp_segment *segment)
{
    struct tcp_frame_spec spec = {
        .local = segment->packet->destination,
        .remote = segment->packet->source,
        .local_port = segment->destination_port,
        .remote_port = segment->source_port,
        .flags = TCP_RST,
    };

    if (segment->flags & TCP_RST) {
        return;
    }
    if (segment->flags & TCP_ACK) {
        spec.seq = segment->ack;
    } else {
        spec.flags |= TCP_ACK;
        spec.ack = segment->seq + segment->size + (segment->flags & TCP_SYN ? 1 : 0) +
                   (segment->flags & TCP_FIN ? 1 : 0);
    }
    if (tcp_frame_send(tcp, &spec)) {
        tcp->stats.resets_out++;
    }
}

static bool
output_reset_conn(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_frame_spec spec = spec_base(conn, conn->nxt, TCP_RST, now_ns);

    if (tcp_seq_lt(conn->una + conn->peer_window, conn->nxt)) {
        spec.seq = tcp_seq_max(conn->una, conn->una + conn->peer_window);
    }
    if (!tcp_frame_send(conn->tcp, &spec)) {
        return false;
    }
    conn->tcp->stats.resets_out++;
    return true;
}

/* ---- segments ---------------------------------------------------------------------------------
 */

bool
tcp_seg_split(struct mr_tcp_conn *conn, struct tcp_seg *seg, uint32_t size)
{
    struct tcp_seg *tail = tcp_seg_new(conn->tcp);

    if (!tail) {
        return false;
    }
    MR_ASSERT(size > 0 && size < seg->size);
    tail->at = seg->at;
    tcp_cursor_skip(conn, &tail->at, size);
    tail->sent_ns = seg->sent_ns;
    tail->ts_val = seg->ts_val;
    tail->flags = seg->flags;
    tail->seq = seg->seq + size;
    tail->size = seg->size - size;
    tail->end_seq = seg->end_seq;
    seg->size = size;
    seg->end_seq = tail->seq;
    seg->flags &= (uint8_t) ~(TCP_SEG_FIN | TCP_SEG_PSH);
    mr_list_push_front(&seg->node, &tail->node);
    if (!mr_list_empty(&seg->time_node)) {
        mr_list_push_front(&seg->time_node, &tail->time_node);
    }
    if (seg->flags & TCP_SEG_SACKED) {
        conn->sacked_segs++;
    }
    return true;
}

/* The bytes of a segment, or of its beginning. */
struct body {
    struct mr_tcp_slice slices[MR_TCP_SLICES_MAX];
    unsigned slice_count;
    uint32_t size;
};

/* Puts one segment on the wire. */
static bool
transmit(struct mr_tcp_conn *conn, struct tcp_seg *seg, const struct body *body, bool fresh,
         uint64_t now_ns)
{
    uint32_t size = body->size;
    bool whole = size == seg->size;
    uint8_t flags = 0;
    struct tcp_frame_spec spec;

    if (whole) {
        flags |= seg->flags & TCP_SEG_FIN ? TCP_FIN : 0;
        flags |= seg->flags & TCP_SEG_PSH ? TCP_PSH : 0;
    }
    spec = spec_base(conn, seg->seq, flags, now_ns);
    if (size > 0) {
        spec.slices = body->slices;
        spec.slice_count = body->slice_count;
        spec.payload_size = size;
        spec.segment_size = seg->flags & TCP_SEG_MTU ? size : tcp_min(size, conn->mss);
    }
    add_blocks(conn, &spec.options, size);
    if (fresh && size > 0 && (conn->flags & TCP_ECN_ON)) {
        spec.ecn = 2;
        spec.flags |= conn->flags & TCP_CWR_DUE ? TCP_CWR : 0;
    }
    if (!tcp_frame_send(conn->tcp, &spec)) {
        tcp_want_output(conn);
        return false;
    }
    if (spec.flags & TCP_CWR) {
        conn->flags &= ~(uint32_t)TCP_CWR_DUE;
    }
    seg->sent_ns = now_ns;
    seg->ts_val = spec.options.ts_val;
    mr_list_remove(&seg->time_node);
    mr_list_push_back(&conn->sent_order, &seg->time_node);
    conn->last_sent_ns = now_ns;
    tcp_ack_sent(conn, false);
    return true;
}

/* The payload of one frame at most. */
static uint32_t
frame_max(const struct mr_tcp_conn *conn)
{
    uint32_t tso_max = conn->tcp->config.tso_max;

    return tso_max > conn->mss ? tso_max / conn->mss * conn->mss : conn->mss;
}

bool
tcp_output_retransmit(struct mr_tcp_conn *conn, struct tcp_seg *seg, uint64_t now_ns)
{
    uint32_t most = frame_max(conn);
    uint32_t size = seg->size;
    struct tcp_cursor cursor;
    struct body body;

    if (seg->flags & TCP_SEG_MTU) {
        seg->flags &= (uint8_t)~TCP_SEG_MTU;
        tcp_mtu_failed(conn);
    }
    if (size > most) {
        /* The path takes less than when it was sent. Without a record to spare only the head goes;
         * its ACK will leave the rest. */
        size = most;
        tcp_seg_split(conn, seg, most);
    }
    cursor = seg->at;
    body.size = tcp_gather(conn, &cursor, size, body.slices, &body.slice_count);
    MR_ASSERT(body.size == size);
    if (!transmit(conn, seg, &body, false, now_ns)) {
        return false;
    }
    if (seg->flags & TCP_SEG_LOST) {
        conn->lost -= seg->end_seq - seg->seq;
    }
    seg->flags = (uint8_t)((seg->flags & ~TCP_SEG_LOST) | TCP_SEG_RETRAN | TCP_SEG_EVER);
    if (!conn->retx_stamped) {
        conn->retx_stamped = true;
        conn->retx_ts = seg->ts_val;
    }
    conn->undo_segs++;
    conn->prr_out += size;
    conn->tcp->stats.bytes_retransmitted += size;
    return true;
}

static struct tcp_seg *
next_lost(struct mr_tcp_conn *conn)
{
    struct mr_list *node = conn->retx_hint ? &conn->retx_hint->node : conn->segs.next;

    for (; node != &conn->segs; node = node->next) {
        struct tcp_seg *seg = MR_CONTAINER_OF(node, struct tcp_seg, node);

        if (seg->flags & TCP_SEG_LOST) {
            conn->retx_hint = seg;
            return seg;
        }
    }
    MR_ASSERT(conn->retx_hint == NULL && conn->lost == 0);
    return NULL;
}

/* False: the device is full. */
static bool
send_lost(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    bool sent = false;
    bool head = false;

    while (conn->lost > 0) {
        struct tcp_seg *seg = next_lost(conn);
        uint32_t pipe = tcp_pipe(conn);
        uint32_t size = tcp_min(seg->end_seq - seg->seq, conn->mss);

        if (!conn->retx_first && pipe > 0 && pipe + size > conn->cc.cwnd) {
            break;
        }
        if (!tcp_output_retransmit(conn, seg, now_ns)) {
            return false;
        }
        if (&seg->node == conn->segs.next) {
            head = true; /* RFC 6298 5.4: it has a whole timeout before it */
        }
        conn->retx_first = false;
        sent = true;
    }
    if (head) {
        tcp_rtx_restart(conn, now_ns);
    } else if (sent) {
        tcp_rtx_arm(conn, now_ns);
    }
    return true;
}

/* ---- new data ---------------------------------------------------------------------------------
 */

static void
fin_sent(struct mr_tcp_conn *conn)
{
    conn->flags |= TCP_FIN_SENT;
    tcp_state_set(conn, conn->state == TCP_CLOSE_WAIT ? TCP_LAST_ACK : TCP_FIN_WAIT_1);
}

/* Sends `size` new bytes, and the FIN if it comes next. `probe`: they are one segment, larger than
 * the path is known to take. */
static bool
send_new(struct mr_tcp_conn *conn, uint32_t size, bool probe, uint64_t now_ns)
{
    struct tcp_seg *seg = tcp_seg_new(conn->tcp);
    struct tcp_cursor cursor = conn->cursor;
    struct body body;
    bool first = mr_list_empty(&conn->segs);

    if (!seg) {
        if (!(conn->flags & TCP_STARVED)) {
            conn->flags |= TCP_STARVED;
            mr_list_push_back(&conn->tcp->starved, &conn->wait_node);
        }
        return false;
    }
    size = tcp_gather(conn, &cursor, size, body.slices, &body.slice_count);
    body.size = size;
    seg->at = conn->cursor;
    seg->seq = conn->nxt;
    seg->size = size;
    seg->end_seq = seg->seq + size;
    probe = probe && size > conn->mss; /* with many small slices it is not */
    seg->flags |= probe ? TCP_SEG_MTU : 0;
    if (cursor.iov_at == 0 && cursor.iov_skip == 0) {
        seg->flags |= size > 0 ? TCP_SEG_PSH : 0; /* the end of a send */
    }
    if ((conn->flags & TCP_FIN_WANTED) && size == conn->unsent) {
        seg->flags |= TCP_SEG_FIN;
        seg->end_seq++;
    }
    if (!transmit(conn, seg, &body, true, now_ns)) {
        tcp_seg_free(conn->tcp, seg);
        return false;
    }
    if (probe) {
        tcp_mtu_probed(conn);
    }
    mr_list_push_back(&conn->segs, &seg->node);
    conn->cursor = cursor;
    conn->unsent -= size;
    conn->nxt = seg->end_seq;
    conn->prr_out += size;
    if (tcp_seq_le(conn->cc.flight_end, conn->una)) {
        conn->cc.flight_end = conn->nxt;
        conn->cc.flight_max = 0;
    }
    conn->cc.flight_max = tcp_max(conn->cc.flight_max, tcp_pipe(conn));
    if (seg->flags & TCP_SEG_FIN) {
        fin_sent(conn);
    }
    if (first) {
        tcp_rtx_restart(conn, now_ns);
    }
    return true;
}

static uint32_t
window_left(const struct mr_tcp_conn *conn)
{
    uint32_t edge = conn->una + conn->peer_window;

    return tcp_seq_lt(conn->nxt, edge) ? edge - conn->nxt : 0;
}

/* How many new bytes may go now; 0: none. Silly windows are not filled (RFC 9293 3.8.6.2.1). */
static uint32_t
may_send(struct mr_tcp_conn *conn)
{
    uint32_t most = frame_max(conn);
    uint32_t window = window_left(conn);
    uint32_t pipe = tcp_pipe(conn);
    uint32_t size = conn->unsent < most ? (uint32_t)conn->unsent : most;
    uint32_t room;

    if (size > window) {
        size = window >= conn->mss ? window / conn->mss * conn->mss : window;
        if (size < conn->mss && size < conn->peer_window_max / 2) {
            return 0;
        }
    }
    room = conn->cc.cwnd > pipe ? conn->cc.cwnd - pipe : 0;
    if (size > room) {
        conn->cc.limited = true;
        size = room / conn->mss * conn->mss;
        if (size == 0 && pipe == 0) {
            size = conn->unsent < conn->mss ? (uint32_t)conn->unsent : conn->mss;
            size = tcp_min(size, window);
        }
    }
    return size;
}

static void
send_all_new(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    bool sent = false;

    if (mr_list_empty(&conn->segs)) {
        tcp_cc_idle(conn, now_ns);
    }
    while (conn->unsent > 0) {
        uint32_t probe = tcp_mtu_probe(conn, now_ns);
        uint32_t size = probe ? probe : may_send(conn);

        if (size == 0 || !send_new(conn, size, probe > 0, now_ns)) {
            break;
        }
        sent = true;
    }
    if (conn->unsent == 0) {
        /* The application has no more: the window was enough. */
        conn->cc.limited = tcp_pipe(conn) + conn->mss > conn->cc.cwnd;
        if ((conn->flags & TCP_FIN_WANTED) && !(conn->flags & TCP_FIN_SENT)) {
            sent = send_new(conn, 0, false, now_ns) || sent;
        }
    }
    if (sent || conn->unsent > 0) {
        tcp_rtx_arm(conn, now_ns);
    }
}

bool
tcp_output_probe(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    uint32_t size = tcp_min(window_left(conn), conn->mss);

    if (conn->unsent < size) {
        size = (uint32_t)conn->unsent;
    }
    return size > 0 && send_new(conn, size, false, now_ns);
}

/* ---- a connection's turn ----------------------------------------------------------------------
 */

static bool
may_send_data(const struct mr_tcp_conn *conn)
{
    return conn->state != TCP_TIME_WAIT && conn->state != TCP_FIN_WAIT_2;
}

void
tcp_output(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    if (conn->state == TCP_CLOSED) {
        return;
    }
    if (conn->flags & TCP_SEND_RST) {
        if (output_reset_conn(conn, now_ns)) {
            tcp_conn_end(conn, conn->reason);
        } else {
            tcp_want_output(conn);
        }
        return;
    }
    if (conn->state == TCP_SYN_SENT || conn->state == TCP_SYN_RECEIVED) {
        if ((conn->flags & TCP_SYN_DUE) && !tcp_output_syn(conn, now_ns)) {
            tcp_want_output(conn);
        }
        return;
    }
    if (may_send_data(conn)) {
        if (!send_lost(conn, now_ns)) {
            return;
        }
        if (conn->lost == 0 && !(conn->flags & TCP_FIN_SENT)) {
            send_all_new(conn, now_ns);
        }
    }
    if ((conn->flags & TCP_ACK_NOW) && !tcp_output_ack(conn, now_ns)) {
        tcp_want_output(conn);
    }
}
