/* net/dpdk_port.h: one ethdev port with a pair of queues for each shard.
 *
 * Thread: main, after the EAL is up and before the shards start; afterwards each queue and its
 * pools belong to one shard. Lifecycle: open -> (shards run) -> close. Source: DPDK programmer's
 * guide, ethdev. */
#ifndef MR_NET_DPDK_PORT_H
#define MR_NET_DPDK_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/net/dpdk_steer.h"

#define MR_DPDK_MTU_MAX      9000u
#define MR_DPDK_PRIVATE_SIZE 192u /* of a received packet, for the transport */
#define MR_DPDK_SEND_SIZE    64u  /* of one that is sent */

struct rte_mempool;

struct mr_dpdk_port_config {
    uint16_t index;       /* of the device among those that the EAL has found */
    const char *address;  /* IPv4, as text, and /BITS of its subnet; without: everybody is in it */
    const char *gateway;  /* likewise, for what is outside; NULL or empty: none */
    uint16_t queue_count; /* pairs */
    uint16_t mtu;         /* 0: what the device has, at most 1,500 */
    uint32_t packets;     /* for each queue and direction */
    uint16_t direct_port; /* TCP to this port + i belongs to queue i; 0: queues share all ports */
    bool interrupts;      /* the queues shall be able to wake their shards */
    bool trusted; /* nothing is corrupted on the way: nobody computes or looks at TCP checksums */
};

struct mr_dpdk_port {
    uint16_t id;
    uint16_t queue_count;
    uint16_t mtu;
    uint8_t mac[6];
    uint32_t address; /* IPv4, host byte order */
    unsigned bits;    /* of its subnet */
    uint32_t gateway; /* 0: none */
    bool trusted;
    bool software;    /* no card, but a driver such as AF_XDP's */
    uint32_t packets; /* in each pool */
    bool checksums;   /* the device computes TCP checksums of what is sent */
    bool external;    /* a frame may point to payload: a device in software, which copies it */
    uint32_t tso_max; /* payload that the device cuts itself; 0: it does not */
    bool interrupts;  /* mr_dpdk_port_interrupt() may work */
    char driver[32];  /* DPDK's name of it */
    bool rss;         /* the device brings packets to their shards; else those hand them over */
    struct mr_dpdk_steer steer;
    struct rte_mempool *receive_pools[MR_DPDK_QUEUES_MAX];
    struct rte_mempool *transmit_pools[MR_DPDK_QUEUES_MAX];
};

/* Configures and starts the first device that the EAL has found. -ENODEV, -ENOTSUP (too few
 * queues), -EINVAL (no IPv4 address, or an MTU that the device does not take), -ENOMEM, or what
 * the device says, with one sentence in `error`. */
int mr_dpdk_port_open(const struct mr_dpdk_port_config *config, struct mr_dpdk_port *port,
                      char *error, size_t error_size);

/* A descriptor that becomes readable when a packet arrives in the queue after
 * mr_dpdk_port_arm(); the queue's shard reads 8 bytes off it then. -1: the device cannot. */
int mr_dpdk_port_interrupt(const struct mr_dpdk_port *port, uint16_t queue);

/* Asks for the next interrupt of the queue, before its shard sleeps. False: there is a packet
 * already. */
bool mr_dpdk_port_arm(const struct mr_dpdk_port *port, uint16_t queue);

void mr_dpdk_port_close(struct mr_dpdk_port *port);

/* Bytes of EAL memory that mr_dpdk_port_open() takes for `device`, as dpdk.device names it. */
size_t mr_dpdk_port_bytes(const char *device, uint16_t queue_count, uint32_t packets, uint16_t mtu);

#endif
