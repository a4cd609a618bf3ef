/* tcp/tcp_input.c: a segment arrives: RFC 9293 3.10.7, with RFC 5961 and RFC 7323's PAWS. */
#include <errno.h>

#include "dataplane/base/endian.h"
#include "dataplane/tcp/tcp_priv.h"

#define PAWS_IDLE_NS (24ull * 86400 * MR_NS_PER_S) /* RFC 7323 5.5: then the clock has wrapped */

static bool
parse(struct mr_tcp *tcp, struct mr_tcp_packet *packet, struct tcp_segment *out)
{
    const uint8_t *at = packet->segment;
    uint32_t header;

    if (packet->size < TCP_HEADER_SIZE || packet->size > 65535) {
        tcp->stats.bad_header++;
        return false;
    }
    header = (uint32_t)(at[12] >> 4) * 4;
    if (header < TCP_HEADER_SIZE || header > packet->size ||
        tcp_options_parse(at + TCP_HEADER_SIZE, header - TCP_HEADER_SIZE, &out->options) != 0) {
        tcp->stats.bad_header++;
        return false;
    }
    if (!packet->checksum_good &&
        tcp_checksum(tcp_sum_pseudo(packet->source, packet->destination, packet->size), at,
                     packet->size) != 0) {
        tcp->stats.bad_checksum++;
        return false;
    }
    out->packet = packet;
    out->source_port = mr_be16_get(at);
    out->destination_port = mr_be16_get(at + 2);
    out->seq = mr_be32_get(at + 4);
    out->ack = mr_be32_get(at + 8);
    out->flags = at[13];
    out->window = mr_be16_get(at + 14);
    out->ecn = packet->ecn & 3;
    out->data = at + header;
    out->size = packet->size - header;
    return true;
}

void
tcp_challenge(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    if (conn->challenge_ns != 0 &&
        now_ns - conn->challenge_ns < conn->tcp->config.challenge_gap_ns) {
        conn->tcp->stats.challenges_withheld++;
        return;
    }
    conn->challenge_ns = now_ns;
    conn->tcp->stats.challenge_acks++;
    tcp_output_ack(conn, now_ns);
}

/* A segment outside the window is answered with what we expect. Without data it is answered seldom:
 * two confused peers could otherwise answer each other for ever. */
static void
answer_outside(struct mr_tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_ns)
{
    conn->tcp->stats.bad_sequence++;
    if (segment->flags & TCP_RST) {
        return;
    }
    if (segment->size == 0 && !(segment->flags & (TCP_SYN | TCP_FIN))) {
        if (conn->oow_ns != 0 && now_ns - conn->oow_ns < conn->tcp->config.challenge_gap_ns / 10) {
            return;
        }
        conn->oow_ns = now_ns;
    } else if (segment->size > 0 && tcp_seq_lt(segment->seq, conn->rx.next)) {
        conn->rx.dsack = (struct tcp_block){segment->seq, segment->seq + segment->size};
        conn->rx.dsack_pending = true;
    }
    if (segment->flags & TCP_SYN) {
        tcp_challenge(conn, now_ns);
        return;
    }
    tcp_output_ack(conn, now_ns);
}

/* RFC 7323 5.3. */
static bool
paws_refuses(struct mr_tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_ns)
{
    if (!(conn->flags & TCP_TS_ON) || (segment->flags & TCP_RST)) {
        return false;
    }
    if (!segment->options.has_ts) {
        /* 3.2: once negotiated, a segment without is dropped. SYNs are for RFC 5961 to judge. */
        return !(segment->flags & TCP_SYN);
    }
    if (!tcp_seq_lt(segment->options.ts_val, conn->ts_recent) ||
        now_ns - conn->ts_recent_ns > PAWS_IDLE_NS) {
        return false;
    }
    conn->tcp->stats.paws++;
    answer_outside(conn, segment, now_ns);
    return true;
}

static bool
in_window(const struct mr_tcp_conn *conn, const struct tcp_segment *segment)
{
    uint32_t end = segment->seq + segment->size + (segment->flags & TCP_SYN ? 1 : 0) +
                   (segment->flags & TCP_FIN ? 1 : 0);

    return tcp_seq_le(segment->seq, conn->rx.edge) && tcp_seq_le(conn->rx.next, end);
}

/* RFC 5961 3.2: only the exact sequence number resets; what else is in the window is asked. */
static void
reset_input(struct mr_tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_ns)
{
    conn->tcp->stats.resets_in++;
    if (conn->state == TCP_TIME_WAIT) {
        return; /* RFC 1337 */
    }
    if (segment->seq != conn->rx.next) {
        tcp_challenge(conn, now_ns);
        return;
    }
    tcp_conn_end(conn, conn->state == TCP_SYN_RECEIVED && (conn->flags & TCP_ACTIVE) ? -ECONNREFUSED
                                                                                     : -ECONNRESET);
}

static void
note_ecn(struct mr_tcp_conn *conn, const struct tcp_segment *segment)
{
    if (!(conn->flags & TCP_ECN_ON)) {
        return;
    }
    if (segment->flags & TCP_CWR) {
        conn->flags &= ~(uint32_t)TCP_ECE_DUE;
    }
    if (segment->ecn == 3) {
        conn->flags |= TCP_ECE_DUE | TCP_ACK_NOW;
        tcp_want_output(conn);
    }
}

/* A SYN of the same connection, again: the answer was lost. */
static bool
is_syn_again(const struct mr_tcp_conn *conn, const struct tcp_segment *segment)
{
    return conn->state == TCP_SYN_RECEIVED && segment->seq == conn->rx.irs &&
           (segment->flags & (TCP_SYN | TCP_RST | TCP_FIN)) == TCP_SYN;
}

/* True: the packet is kept. */
static bool
synchronised_input(struct mr_tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_ns)
{
    if (is_syn_again(conn, segment) && !(segment->flags & TCP_ACK)) {
        conn->flags |= TCP_SYN_DUE;
        tcp_want_output(conn);
        return false;
    }
    if (paws_refuses(conn, segment, now_ns)) {
        return false;
    }
    if (!in_window(conn, segment) && !is_syn_again(conn, segment)) {
        answer_outside(conn, segment, now_ns);
        return false;
    }
    if (segment->flags & TCP_RST) {
        reset_input(conn, segment, now_ns);
        return false;
    }
    if ((segment->flags & TCP_SYN) && !is_syn_again(conn, segment)) {
        tcp_challenge(conn, now_ns); /* RFC 5961 4.2 */
        return false;
    }
    if (!(segment->flags & TCP_ACK)) {
        return false;
    }
    if (conn->state == TCP_SYN_RECEIVED && !tcp_syn_received_ack(conn, segment, now_ns)) {
        return false;
    }
    if (segment->options.has_ts && tcp_seq_le(segment->seq, conn->rx.last_ack) &&
        tcp_seq_le(conn->ts_recent, segment->options.ts_val)) {
        conn->ts_recent = segment->options.ts_val;
        conn->ts_recent_ns = now_ns;
    }
    conn->last_received_ns = now_ns;
    conn->probes = 0;
    if (!tcp_ack_input(conn, segment, now_ns) || conn->state == TCP_CLOSED) {
        return false;
    }
    note_ecn(conn, segment);
    if ((segment->size > 0 || (segment->flags & TCP_FIN)) && !(segment->flags & TCP_SYN)) {
        if (conn->state == TCP_TIME_WAIT) {
            tcp_life_arm(conn, now_ns);
        }
        return tcp_receive(conn, segment, now_ns);
    }
    return false;
}

/* RFC 9293 3.6.1 and RFC 6191: a SYN that is surely new opens the connection again. */
static bool
reopens(const struct mr_tcp_conn *conn, const struct tcp_segment *segment)
{
    if (conn->state != TCP_TIME_WAIT || (conn->flags & TCP_APP) ||
        (segment->flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN) {
        return false;
    }
    if ((conn->flags & TCP_TS_ON) && segment->options.has_ts) {
        return tcp_seq_lt(conn->ts_recent, segment->options.ts_val) ||
               (conn->ts_recent == segment->options.ts_val &&
                tcp_seq_lt(conn->rx.next, segment->seq));
    }
    return tcp_seq_lt(conn->rx.next, segment->seq);
}

static bool
is_ours(const struct mr_tcp *tcp, uint32_t address)
{
    for (unsigned i = 0; i < tcp->config.address_count; i++) {
        if (tcp->config.addresses[i] == address) {
            return true;
        }
    }
    return false;
}

static bool
deliver(struct mr_tcp *tcp, const struct tcp_segment *segment, uint64_t now_ns)
{
    struct mr_tcp_packet *packet = segment->packet;
    struct mr_tcp_conn *conn = tcp_conn_find(tcp, packet->destination, segment->destination_port,
                                             packet->source, segment->source_port);
    bool kept = false;

    if (conn && reopens(conn, segment)) {
        tcp_conn_end(conn, 0);
        tcp_conn_reap(conn);
        conn = NULL;
    }
    if (!conn) {
        if (is_ours(tcp, packet->destination)) {
            tcp_listen_input(tcp, segment, now_ns);
        }
        return false;
    }
    if (conn->flags & TCP_SEND_RST) {
        return false; /* its end is on the way */
    }
    if (conn->state == TCP_SYN_SENT) {
        tcp_syn_sent_input(conn, segment, now_ns);
    } else {
        kept = synchronised_input(conn, segment, now_ns);
    }
    tcp_conn_reap(conn);
    return kept;
}

void
mr_tcp_input(struct mr_tcp *tcp, struct mr_tcp_packet *packet, uint64_t now_ns)
{
    struct tcp_segment segment;

    tcp->now_ns = now_ns;
    tcp->stats.packets_in++;
    tcp->stats.packets_held++;
    packet->references = 1;
    packet->tcp = tcp;
    packet->charged = 0;
    packet->conn_id = 0;
    mr_list_init(&packet->node);
    if (!parse(tcp, packet, &segment) || !deliver(tcp, &segment, now_ns)) {
        tcp_packet_put(tcp, packet);
    }
}
