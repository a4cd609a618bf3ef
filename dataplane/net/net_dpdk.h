/* net/net_dpdk.h: the transport contract (net.h) over a queue of an ethdev port and our own TCP.
 *
 * The main thread opens the device (dpdk_port.h), with a receive and a transmit queue for each
 * shard; each shard then makes its transport, which owns its queues, its packet memory and its TCP.
 * Received packets are lent to the connections that read them, without a copy; what is sent stays
 * where it is, where the device takes that (dpdk_out.h).
 *
 * Nothing wakes a shard when a packet arrives: mr_net_dpdk_poll() is to be called in every turn,
 * and the shard must not sleep for longer than the profile wants packets to wait. Of what one shard
 * hands to another `handed` tells.
 *
 * Source: DPDK programmer's guide, ethdev and mbuf libraries. */
#ifndef MR_NET_NET_DPDK_H
#define MR_NET_NET_DPDK_H

#include "dataplane/base/clock.h"
#include "dataplane/net/dpdk_port.h"
#include "dataplane/net/net.h"

struct mr_net_dpdk_config {
    const struct mr_dpdk_port *port; /* borrowed */
    uint16_t queue;
    const struct mr_clock *clock; /* borrowed */
    uint32_t connections_max;
    uint32_t sends_max; /* under way at once; the users keep to it */
    /* A packet waits for the poll of another queue, which may have to be woken. May be NULL. */
    void (*handed)(void *context, uint16_t queue);
    void *handed_context;
};

/* The shard's thread. 0, -ENOMEM, or -errno of the device. */
int mr_net_dpdk_create(const struct mr_net_dpdk_config *config, const struct mr_net_events *events,
                       struct mr_net **out);

/* The receive step of a turn, bounded: receives, runs what is due, tells the user. True: there was
 * work. */
bool mr_net_dpdk_poll(struct mr_net *net, uint64_t now_ns);

/* The transmit step, after all that may have answered, so that acknowledgements travel with
 * answers: sends. True: there was work. */
bool mr_net_dpdk_flush(struct mr_net *net, uint64_t now_ns);

/* When the next poll is wanted although no packet arrives; UINT64_MAX: never. */
uint64_t mr_net_dpdk_deadline(const struct mr_net *net);

/* Since create. */
struct mr_net_dpdk_counters {
    uint64_t packets_in;
    uint64_t packets_out;
    uint64_t dropped;     /* received, for want of packets */
    uint64_t handed_over; /* received, and of another shard's connection */
};

void mr_net_dpdk_counters(const struct mr_net *net, struct mr_net_dpdk_counters *out);

#endif
