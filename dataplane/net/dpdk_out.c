/* net/dpdk_out.c: packets around frames. */
#include "dataplane/net/dpdk_out.h"

#include <string.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_memory.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"

#define ARP_GAP_NS   (100 * MR_NS_PER_MS)
#define EXTERNAL_MIN 512u /* bytes of a slice below which a copy is cheaper than another packet */
#define CHECKSUM_AT  16u  /* in the TCP header */

/* In the private area of a packet that points into a send. */
struct external {
    struct rte_mbuf_ext_shared_info shared;
    struct mr_dpdk_out *out;
    struct mr_tcp_send *send;
};

_Static_assert(sizeof(struct external) <= MR_DPDK_SEND_SIZE, "a sent packet's private area");

void
mr_dpdk_out_init(struct mr_dpdk_out *out, const struct mr_dpdk_port *port, uint16_t queue,
                 struct mr_ether *ether)
{
    *out = (struct mr_dpdk_out){
        .port = port, .ether = ether, .pool = port->transmit_pools[queue], .queue = queue};
}

void
mr_dpdk_out_free(struct mr_dpdk_out *out)
{
    rte_pktmbuf_free_bulk(out->burst, out->count);
    for (unsigned i = 0; i < MR_DPDK_UNRESOLVED_MAX; i++) {
        rte_pktmbuf_free(out->unresolved[i].mbuf);
    }
}

void
mr_dpdk_out_flush(struct mr_dpdk_out *out)
{
    uint16_t sent;

    if (out->count == 0) {
        if (out->held > 0) {
            /* Some devices let go of packets only when they get others. */
            rte_eth_tx_done_cleanup(out->port->id, out->queue, 0);
        }
        return;
    }
    sent = rte_eth_tx_burst(out->port->id, out->queue, out->burst, out->count);
    out->count = (uint16_t)(out->count - sent);
    if (out->count > 0) {
        memmove(out->burst, out->burst + sent, out->count * sizeof(out->burst[0]));
    }
}

/* Room for one frame in the burst. */
static bool
has_room(struct mr_dpdk_out *out)
{
    if (out->count == MR_DPDK_BURST) {
        mr_dpdk_out_flush(out);
    }
    return out->count < MR_DPDK_BURST;
}

/* ---- payload --------------------------------------------------------------------------------- */

/* The device has let go of a piece of a send. */
static void
on_sent(void *data, void *opaque)
{
    struct external *external = opaque;

    (void)data;
    external->out->held--;
    mr_tcp_send_unhold(external->send);
}

static struct rte_mbuf *
append_packet(struct mr_dpdk_out *out, struct rte_mbuf *head, struct rte_mbuf **tail)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(out->pool);

    if (mbuf) {
        (*tail)->next = mbuf;
        *tail = mbuf;
        head->nb_segs++;
    }
    return mbuf;
}

static bool
append_external(struct mr_dpdk_out *out, struct rte_mbuf *head, struct rte_mbuf **tail,
                const struct mr_tcp_slice *slice)
{
    struct rte_mbuf *mbuf = append_packet(out, head, tail);
    struct external *external;

    if (!mbuf) {
        return false;
    }
    external = rte_mbuf_to_priv(mbuf);
    *external = (struct external){
        .shared = {.free_cb = on_sent, .fcb_opaque = external}, .out = out, .send = slice->send};
    rte_mbuf_ext_refcnt_set(&external->shared, 1);
    out->held++;
    mr_tcp_send_hold(slice->send);
    /* The driver reads it with the processor: any address will do. */
    rte_pktmbuf_attach_extbuf(mbuf, (void *)(uintptr_t)slice->data, (uintptr_t)slice->data,
                              (uint16_t)slice->size, &external->shared);
    mbuf->data_len = (uint16_t)slice->size;
    return true;
}

static bool
append_copy(struct mr_dpdk_out *out, struct rte_mbuf *head, struct rte_mbuf **tail,
            const uint8_t *data, uint32_t size)
{
    while (size > 0) {
        uint32_t room = RTE_MBUF_HAS_EXTBUF(*tail) ? 0 : rte_pktmbuf_tailroom(*tail);
        uint32_t part = size < room ? size : room;

        if (part == 0) {
            if (!append_packet(out, head, tail)) {
                return false;
            }
            continue;
        }
        memcpy(rte_pktmbuf_mtod_offset(*tail, uint8_t *, (*tail)->data_len), data, part);
        (*tail)->data_len = (uint16_t)((*tail)->data_len + part);
        data += part;
        size -= part;
    }
    return true;
}

static bool
append_payload(struct mr_dpdk_out *out, struct rte_mbuf *head, const struct mr_tcp_frame *frame)
{
    struct rte_mbuf *tail = head;

    for (unsigned i = 0; i < frame->slice_count; i++) {
        const struct mr_tcp_slice *slice = &frame->slices[i];
        bool points = out->port->external && slice->size >= EXTERNAL_MIN;
        bool good = points ? append_external(out, head, &tail, slice)
                           : append_copy(out, head, &tail, slice->data, slice->size);

        if (!good) {
            return false;
        }
    }
    head->pkt_len += frame->payload_size;
    return true;
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* What the device does itself. Cutting needs a sum without the length. */
static void
ask_device(const struct mr_dpdk_out *out, struct rte_mbuf *head, const struct mr_tcp_frame *frame,
           uint8_t *ip)
{
    if (!out->port->checksums) {
        return;
    }
    head->l2_len = MR_ETHER_HEADER_SIZE;
    head->l3_len = sizeof(struct rte_ipv4_hdr);
    head->l4_len = frame->header_size - sizeof(struct rte_ipv4_hdr);
    head->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
    if (frame->payload_size > frame->segment_size) {
        struct rte_ipv4_hdr *header = (struct rte_ipv4_hdr *)(void *)ip;
        uint16_t sum;

        head->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IP_CKSUM;
        head->tso_segsz = (uint16_t)frame->segment_size;
        header->hdr_checksum = 0;
        sum = rte_ipv4_phdr_cksum(header, head->ol_flags);
        memcpy(ip + sizeof(*header) + CHECKSUM_AT, &sum, sizeof(sum));
    }
}

/* The frame just finished waits until its neighbour's address is known. Where too many wait the
 * oldest is lost; TCP sends it again. */
static void
wait_for_address(struct mr_dpdk_out *out, struct rte_mbuf *mbuf, uint32_t address, uint64_t now_ns)
{
    struct mr_dpdk_unresolved *slot =
        &out->unresolved[out->unresolved_next++ % MR_DPDK_UNRESOLVED_MAX];

    rte_pktmbuf_free(slot->mbuf);
    *slot = (struct mr_dpdk_unresolved){mbuf, address};
    mr_dpdk_out_arp(out, mr_ether_next_hop(out->ether, address), now_ns);
}

bool
mr_dpdk_out_tcp(struct mr_dpdk_out *out, const struct mr_tcp_frame *frame, uint64_t now_ns)
{
    struct rte_mbuf *head;
    uint8_t *at;

    if (!has_room(out) || !(head = rte_pktmbuf_alloc(out->pool))) {
        return false;
    }
    at = (uint8_t *)rte_pktmbuf_append(head, (uint16_t)(MR_ETHER_HEADER_SIZE + frame->header_size));
    memcpy(at + MR_ETHER_HEADER_SIZE, frame->header, frame->header_size);
    if (!append_payload(out, head, frame)) {
        rte_pktmbuf_free(head);
        return false;
    }
    ask_device(out, head, frame, at + MR_ETHER_HEADER_SIZE);
    if (mr_ether_header(out->ether, frame->destination, at)) {
        out->burst[out->count++] = head;
    } else {
        wait_for_address(out, head, frame->destination, now_ns);
    }
    return true;
}

/* A packet of `size` bytes at the end of the burst; NULL: the device is full. */
static uint8_t *
begin(struct mr_dpdk_out *out, uint32_t size)
{
    struct rte_mbuf *mbuf;
    uint8_t *frame;

    if (!has_room(out) || !(mbuf = rte_pktmbuf_alloc(out->pool))) {
        return NULL;
    }
    frame = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)size);
    MR_ASSERT(frame); /* the port's MTU fits a packet */
    out->burst[out->count++] = mbuf;
    return frame;
}

void
mr_dpdk_out_copy(struct mr_dpdk_out *out, const uint8_t *frame, uint32_t size)
{
    uint8_t *to = begin(out, size);

    if (to) {
        memcpy(to, frame, size); /* rare: ARP and echoes */
    }
}

void
mr_dpdk_out_arp(struct mr_dpdk_out *out, uint32_t address, uint64_t now_ns)
{
    uint8_t *frame;

    if (now_ns < out->arp_after_ns) {
        return;
    }
    out->arp_after_ns = now_ns + ARP_GAP_NS;
    frame = begin(out, MR_ETHER_ARP_SIZE);
    if (frame) {
        mr_ether_arp_request(out->ether, address, frame);
    }
}

void
mr_dpdk_out_resolved(struct mr_dpdk_out *out)
{
    for (unsigned i = 0; i < MR_DPDK_UNRESOLVED_MAX; i++) {
        struct mr_dpdk_unresolved *slot = &out->unresolved[i];

        if (slot->mbuf && has_room(out) &&
            mr_ether_header(out->ether, slot->address, rte_pktmbuf_mtod(slot->mbuf, uint8_t *))) {
            out->burst[out->count++] = slot->mbuf;
            slot->mbuf = NULL;
        }
    }
}
