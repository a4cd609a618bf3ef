/* net/dpdk_out.h: frames of one shard on their way to a queue of the port.
 *
 * Frames gather in a burst. Over a device that copies frames itself (port->external) the payload of
 * a send stays where it is: a frame is a packet with the headers, followed by packets that point
 * into the send, which is held until the device has let go of it. Small pieces, and all payload
 * over other devices, are copied. Where the device sums up and cuts, it is told so.
 *
 * A frame whose neighbour is not known yet waits for the answer to ARP.
 *
 * Thread: the shard's. Lifecycle: init -> ... -> free. Source: DPDK programmer's guide, mbuf
 * library. */
#ifndef MR_NET_DPDK_OUT_H
#define MR_NET_DPDK_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/net/dpdk_port.h"
#include "dataplane/net/ether.h"
#include "dataplane/tcp/tcp.h"

#define MR_DPDK_BURST          64u
#define MR_DPDK_UNRESOLVED_MAX 8u

struct rte_mbuf;

/* A frame without its Ethernet header; mbuf NULL: none. */
struct mr_dpdk_unresolved {
    struct rte_mbuf *mbuf;
    uint32_t address;
};

struct mr_dpdk_out {
    const struct mr_dpdk_port *port; /* borrowed */
    struct mr_ether *ether;          /* borrowed */
    struct rte_mempool *pool;
    uint16_t queue;
    uint16_t count;
    struct rte_mbuf *burst[MR_DPDK_BURST];
    struct mr_dpdk_unresolved unresolved[MR_DPDK_UNRESOLVED_MAX];
    unsigned unresolved_next; /* the oldest */
    uint64_t arp_after_ns;
    uint64_t held; /* packets that point into sends */
};

void mr_dpdk_out_init(struct mr_dpdk_out *out, const struct mr_dpdk_port *port, uint16_t queue,
                      struct mr_ether *ether);

/* A frame of TCP. False: the device is full. */
bool mr_dpdk_out_tcp(struct mr_dpdk_out *out, const struct mr_tcp_frame *frame, uint64_t now_ns);

/* A copy of any frame; lost when the device is full. */
void mr_dpdk_out_copy(struct mr_dpdk_out *out, const uint8_t *frame, uint32_t size);

/* Asks who has the address, a few times a second at most; for our own it says that we have it. */
void mr_dpdk_out_arp(struct mr_dpdk_out *out, uint32_t address, uint64_t now_ns);

/* Somebody's address may have been learnt. */
void mr_dpdk_out_resolved(struct mr_dpdk_out *out);

/* Gives the burst to the device; what it does not take stays in order for the next time. */
void mr_dpdk_out_flush(struct mr_dpdk_out *out);

void mr_dpdk_out_free(struct mr_dpdk_out *out);

#endif
