/* tcp/tcp_receive.c: payload: in order to the application, out of order into a queue; the window,
 * SACK blocks, and when to acknowledge. */
#include <errno.h>
#include <string.h>

#include "dataplane/tcp/tcp_priv.h"

/* ---- packets --------------------------------------------------------------------------------- */

void
tcp_packet_put(struct mr_tcp *tcp, struct mr_tcp_packet *packet)
{
    MR_ASSERT(packet->references > 0);
    if (--packet->references == 0) {
        tcp->stats.packets_held--;
        tcp->ops.packet_free(tcp->ops.context, packet);
    }
}

void
mr_tcp_packet_hold(struct mr_tcp_packet *packet)
{
    packet->references++;
}

void
mr_tcp_packet_release(struct mr_tcp_packet *packet)
{
    struct mr_tcp *tcp = packet->tcp;
    struct mr_tcp_conn *conn = &tcp->conns[(uint32_t)packet->conn_id];

    /* The connection may be gone, and another one in its place. */
    if (packet->references == 1 && packet->charged > 0 && conn->id == packet->conn_id) {
        conn->rx.lent -= packet->charged;
        if (conn->state != TCP_CLOSED && tcp_window_news(conn)) {
            conn->flags |= TCP_ACK_NOW;
            tcp_want_output(conn);
        }
    }
    tcp_packet_put(tcp, packet);
}

static void
drop_list(struct mr_tcp_conn *conn, struct mr_list *list)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(list)) != NULL) {
        tcp_packet_put(conn->tcp, MR_CONTAINER_OF(node, struct mr_tcp_packet, node));
    }
}

void
tcp_receive_drop(struct mr_tcp_conn *conn)
{
    drop_list(conn, &conn->rx.queue);
    drop_list(conn, &conn->rx.reorder);
    conn->tcp->stats.reordered -= conn->rx.reorder_count;
    conn->rx.queue_count = 0;
    conn->rx.reorder_count = 0;
    conn->rx.queued = 0;
    conn->rx.block_count = 0;
}

/* ---- the window ------------------------------------------------------------------------------ */

static uint32_t
window_free(const struct mr_tcp_conn *conn)
{
    const struct tcp_rx *rx = &conn->rx;
    uint32_t used = rx->queued + rx->lent;

    return used < rx->buffer ? rx->buffer - used : 0;
}

/* RFC 9293 3.8.6.2.2: the edge moves by a worthwhile step or not at all, and never back. */
uint32_t
tcp_window_take(struct mr_tcp_conn *conn)
{
    struct tcp_rx *rx = &conn->rx;
    uint32_t edge = rx->next + window_free(conn);
    uint32_t limit = 65535u << rx->wscale;

    if (tcp_seq_lt(rx->edge, rx->next)) {
        rx->edge = rx->next; /* behind a FIN at the edge */
    }
    if (tcp_seq_lt(rx->edge, edge) && edge - rx->edge >= tcp_min(rx->buffer / 2, rx->mss)) {
        rx->edge = edge;
    }
    if (rx->edge - rx->next > limit) {
        rx->edge = rx->next + limit;
    }
    return rx->edge - rx->next;
}

bool
tcp_window_news(const struct mr_tcp_conn *conn)
{
    const struct tcp_rx *rx = &conn->rx;
    uint32_t announced = tcp_seq_lt(rx->next, rx->edge) ? rx->edge - rx->next : 0;
    uint32_t free = window_free(conn);

    return !rx->fin_taken && free > announced && free >= 2 * announced &&
           free - announced >= tcp_min(rx->buffer / 2, rx->mss);
}

/* Dynamic right-sizing (Fisk and Feng, 2001): twice what the application takes in a round trip, so
 * that a sender in slow start is not held up. */
void
tcp_receive_taken(struct mr_tcp_conn *conn, uint32_t size, uint64_t now_ns)
{
    struct tcp_rx *rx = &conn->rx;
    uint64_t rtt_ns = rx->rtt_ns ? rx->rtt_ns : conn->srtt_ns;

    rx->size_taken += size;
    if (rtt_ns == 0 || now_ns - rx->size_round_ns < rtt_ns) {
        return;
    }
    if (now_ns - rx->size_round_ns < 4 * rtt_ns) {
        uint64_t want = 2 * rx->size_taken + 16 * (uint64_t)rx->mss;

        if (want > conn->tcp->config.receive_buffer_max) {
            want = conn->tcp->config.receive_buffer_max;
        }
        rx->buffer = tcp_max(rx->buffer, (uint32_t)want);
    }
    rx->size_taken = 0;
    rx->size_round_ns = now_ns;
}

/* A receiver sees a round trip as the time in which its window is filled once. */
static void
measure_rtt(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_rx *rx = &conn->rx;

    if (rx->rtt_from_ns != 0 && tcp_seq_lt(rx->next, rx->rtt_seq)) {
        return;
    }
    if (rx->rtt_from_ns != 0) {
        uint64_t rtt_ns = now_ns - rx->rtt_from_ns;

        rx->rtt_ns =
            rx->rtt_ns == 0 || rtt_ns < rx->rtt_ns ? rtt_ns : (7 * rx->rtt_ns + rtt_ns) / 8;
        if (conn->srtt_ns && rx->rtt_ns > conn->srtt_ns) {
            rx->rtt_ns = conn->srtt_ns;
        }
    }
    rx->rtt_seq = rx->next + tcp_max(rx->edge - rx->next, rx->mss);
    rx->rtt_from_ns = now_ns;
}

/* ---- acknowledging --------------------------------------------------------------------------- */

void
tcp_ack_sent(struct mr_tcp_conn *conn, bool alone)
{
    struct tcp_rx *rx = &conn->rx;

    if (alone) {
        conn->tcp->stats.acks_out++;
        rx->quick -= rx->quick > 0;
    } else if (rx->unacked > 0) {
        rx->conversation = true;
    }
    conn->flags &= ~(uint32_t)TCP_ACK_NOW;
    rx->unacked = 0;
    rx->last_ack = rx->next;
    rx->dsack_pending = false;
    if (rx->ack_delayed) {
        rx->ack_delayed = false;
        tcp_wheel_cancel(&conn->timers[TCP_TIMER_ACK]);
    }
}

static void
acknowledge_now(struct mr_tcp_conn *conn)
{
    conn->flags |= TCP_ACK_NOW;
    tcp_want_output(conn);
}

/* After bytes in order: with the next flush, or later? A lone segment waits only where the
 * application has shown that it answers; a stream gets an ACK for every other full segment. */
static void
acknowledge(struct mr_tcp_conn *conn, uint32_t size, uint64_t now_ns)
{
    struct tcp_rx *rx = &conn->rx;

    if (rx->last_data_ns == 0 || now_ns - rx->last_data_ns > conn->rto_ns) {
        rx->quick = TCP_QUICK_ACKS;
    }
    rx->last_data_ns = now_ns;
    rx->unacked += size;
    if (size > rx->mss) {
        rx->mss = tcp_min(size, conn->mss_path);
    }
    if (rx->unacked >= 2 * rx->mss || (rx->quick > 0 && !rx->conversation)) {
        acknowledge_now(conn);
    } else if (!rx->ack_delayed) {
        rx->ack_delayed = true;
        tcp_wheel_arm(&conn->tcp->wheel, &conn->timers[TCP_TIMER_ACK],
                      now_ns + conn->tcp->config.delayed_ack_ns);
    }
}

/* ---- SACK blocks ----------------------------------------------------------------------------- */

/* RFC 2018 4: the block with what just arrived comes first. */
static void
blocks_add(struct tcp_rx *rx, uint32_t begin, uint32_t end)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < rx->block_count; i++) {
        struct tcp_block block = rx->blocks[i];

        if (tcp_seq_le(block.begin, end) && tcp_seq_le(begin, block.end)) {
            begin = tcp_seq_lt(block.begin, begin) ? block.begin : begin;
            end = tcp_seq_max(block.end, end);
        } else {
            rx->blocks[kept++] = block;
        }
    }
    if (kept == TCP_RX_BLOCKS_MAX) {
        kept--;
    }
    memmove(&rx->blocks[1], &rx->blocks[0], kept * sizeof(rx->blocks[0]));
    rx->blocks[0] = (struct tcp_block){begin, end};
    rx->block_count = kept + 1;
}

static void
blocks_trim(struct tcp_rx *rx)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < rx->block_count; i++) {
        if (tcp_seq_lt(rx->next, rx->blocks[i].begin)) {
            rx->blocks[kept++] = rx->blocks[i];
        }
    }
    rx->block_count = kept;
}

/* ---- payload --------------------------------------------------------------------------------- */

static uint32_t
packet_end(const struct mr_tcp_packet *packet)
{
    return packet->seq + packet->data_size + packet->fin;
}

static void
fin_taken(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    conn->rx.fin_taken = true;
    conn->rx.next++;
    conn->flags |= TCP_TELL_ENDED;
    acknowledge_now(conn);
    tcp_want_events(conn);
    switch (conn->state) {
    case TCP_ESTABLISHED:
        tcp_state_set(conn, TCP_CLOSE_WAIT);
        break;
    case TCP_FIN_WAIT_1:
        tcp_state_set(conn, TCP_CLOSING);
        break;
    default:
        MR_ASSERT(conn->state == TCP_FIN_WAIT_2);
        tcp_time_wait(conn, now_ns);
        break;
    }
}

/* The packet begins at rx.next. Whoever calls has made sure of room. */
static void
take_in_order(struct mr_tcp_conn *conn, struct mr_tcp_packet *packet, uint64_t now_ns)
{
    struct tcp_rx *rx = &conn->rx;
    bool fin = packet->fin;

    rx->next += packet->data_size;
    if (packet->data_size > 0) {
        rx->queued += packet->data_size;
        rx->queue_count++;
        mr_list_push_back(&rx->queue, &packet->node);
        tcp_want_events(conn);
    } else {
        tcp_packet_put(conn->tcp, packet);
    }
    if (fin) {
        fin_taken(conn, now_ns);
    }
}

/* The gap before the queue may be closed now. */
static void
merge_reordered(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_rx *rx = &conn->rx;

    while (!mr_list_empty(&rx->reorder)) {
        struct mr_tcp_packet *packet =
            MR_CONTAINER_OF(rx->reorder.next, struct mr_tcp_packet, node);
        uint32_t old;

        if (tcp_seq_lt(rx->next, packet->seq)) {
            break;
        }
        mr_list_remove(&packet->node);
        rx->reorder_count--;
        conn->tcp->stats.reordered--;
        old = rx->next - packet->seq;
        if (rx->fin_taken || old > packet->data_size ||
            (old == packet->data_size && !packet->fin)) {
            tcp_packet_put(conn->tcp, packet);
            continue;
        }
        packet->data += old;
        packet->data_size -= old;
        packet->seq += old;
        take_in_order(conn, packet, now_ns);
    }
    blocks_trim(rx);
}

/* Into the queue, cut so that no two packets overlap. False: refused, or nothing new in it. */
static bool
insert_reordered(struct mr_tcp_conn *conn, struct mr_tcp_packet *packet)
{
    struct tcp_rx *rx = &conn->rx;
    struct mr_list *before = rx->reorder.prev;
    struct mr_tcp_packet *other;

    if (rx->reorder_count >= conn->tcp->config.conn_reorder_max ||
        conn->tcp->stats.reordered >= conn->tcp->config.reorder_max) {
        conn->tcp->stats.reorder_refused++;
        return false;
    }
    while (before != &rx->reorder &&
           tcp_seq_lt(packet->seq, MR_CONTAINER_OF(before, struct mr_tcp_packet, node)->seq)) {
        before = before->prev;
    }
    if (before != &rx->reorder) {
        uint32_t end;

        other = MR_CONTAINER_OF(before, struct mr_tcp_packet, node);
        end = packet_end(other);
        if (tcp_seq_le(packet_end(packet), end)) {
            rx->dsack = (struct tcp_block){packet->seq, packet_end(packet)};
            rx->dsack_pending = true;
            return false;
        }
        if (tcp_seq_lt(packet->seq, end)) {
            uint32_t old = end - packet->seq;

            if (old > packet->data_size) {
                return false; /* what is behind a FIN */
            }
            packet->data += old;
            packet->data_size -= old;
            packet->seq = end;
        }
    }
    while (before->next != &rx->reorder) {
        other = MR_CONTAINER_OF(before->next, struct mr_tcp_packet, node);
        if (tcp_seq_le(packet_end(packet), other->seq)) {
            break;
        }
        if (tcp_seq_lt(packet_end(packet), packet_end(other))) {
            packet->data_size = other->seq - packet->seq;
            packet->fin = false;
            if (packet->data_size == 0) {
                return false;
            }
            break;
        }
        mr_list_remove(&other->node);
        rx->reorder_count--;
        conn->tcp->stats.reordered--;
        tcp_packet_put(conn->tcp, other);
    }
    mr_list_push_front(before, &packet->node);
    rx->reorder_count++;
    conn->tcp->stats.reordered++;
    return true;
}

static bool
receive_out_of_order(struct mr_tcp_conn *conn, struct mr_tcp_packet *packet, uint64_t now_ns)
{
    bool kept = insert_reordered(conn, packet);

    if (kept && packet->data_size + packet->fin > 0) {
        blocks_add(&conn->rx, packet->seq, packet_end(packet));
    }
    /* RFC 5681 4.2: at once, one for each, so that the sender can count them. */
    conn->flags |= TCP_ACK_NOW;
    if (!tcp_output_ack(conn, now_ns)) {
        tcp_want_output(conn);
    }
    return kept;
}

/* Cuts off what is old or beyond the window. False: nothing is left. */
static bool
trim(struct mr_tcp_conn *conn, const struct tcp_segment *segment, struct mr_tcp_packet *packet)
{
    struct tcp_rx *rx = &conn->rx;
    uint32_t room;

    packet->seq = segment->seq;
    packet->data = segment->data;
    packet->data_size = segment->size;
    packet->fin = (segment->flags & TCP_FIN) != 0;
    packet->conn_id = conn->id;
    if (tcp_seq_lt(packet->seq, rx->next)) {
        uint32_t old = rx->next - packet->seq;

        rx->dsack = (struct tcp_block){packet->seq, rx->next};
        rx->dsack_pending = segment->size > 0;
        if (old > packet->data_size || (old == packet->data_size && !packet->fin)) {
            return false;
        }
        packet->data += old;
        packet->data_size -= old;
        packet->seq = rx->next;
    }
    room = rx->edge - packet->seq;
    if (packet->data_size > room) {
        packet->data_size = room;
        packet->fin = false;
        return room > 0;
    }
    return packet->data_size > 0 || packet->fin;
}

bool
tcp_receive(struct mr_tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_ns)
{
    struct tcp_rx *rx = &conn->rx;
    struct mr_tcp_packet *packet = segment->packet;
    bool gap = !mr_list_empty(&rx->reorder);
    uint32_t size;

    if (rx->fin_taken || !trim(conn, segment, packet)) {
        acknowledge_now(conn);
        return false;
    }
    if ((conn->flags & TCP_APP_CLOSED) && packet->data_size > 0) {
        /* RFC 9293 3.6.1: nobody will ever read it, and the peer must know. */
        tcp_reset_later(conn, conn->flags & TCP_APP ? -ECONNRESET : 0);
        return false;
    }
    if (packet->seq != rx->next) {
        return receive_out_of_order(conn, packet, now_ns);
    }
    if (rx->queue_count >= conn->tcp->config.conn_queued_max) {
        conn->tcp->stats.queue_refused++;
        acknowledge_now(conn);
        return false;
    }
    size = packet->data_size;
    take_in_order(conn, packet, now_ns);
    if (gap) {
        merge_reordered(conn, now_ns);
        acknowledge_now(conn);
    }
    measure_rtt(conn, now_ns);
    acknowledge(conn, size, now_ns);
    return true;
}
