/* net/dpdk_steer.h: which shard a connection belongs to, and the way there for what arrived
 * elsewhere.
 *
 * The owner follows from both addresses and ports alone, by the hash that RSS has (Toeplitz, with a
 * key that makes both directions alike), so that a device with RSS brings every packet to its
 * owner. With direct routing each shard owns one of our ports instead. Where there is none, or it
 * hashes otherwise, the shard that received the packet hands it over: one ring for each receiving
 * shard, into which all others put.
 *
 * Thread: open and close on main, while no shard runs; the rest on any shard.
 * Source: DPDK programmer's guide, ring library. */
#ifndef MR_NET_DPDK_STEER_H
#define MR_NET_DPDK_STEER_H

#include <stdbool.h>
#include <stdint.h>

#define MR_DPDK_QUEUES_MAX    128u
#define MR_DPDK_KEY_BYTES     64u /* at most; devices have 40 or 52 */
#define MR_DPDK_RETA_SIZE_MAX 512u

struct rte_mbuf;
struct rte_ring;

struct mr_dpdk_steer {
    uint16_t queue_count;
    uint16_t direct_port; /* what comes to this port + i belongs to queue i; 0: by the hash */
    uint16_t reta_size;
    uint16_t reta[MR_DPDK_RETA_SIZE_MAX]; /* the low bits of the hash to a queue */
    struct rte_ring *rings[MR_DPDK_QUEUES_MAX];
};

/* The key that the device is to have, or its beginning. */
void mr_dpdk_steer_key(uint8_t key[MR_DPDK_KEY_BYTES]);

/* Of a started port. `reta_size`: of the device's table, 0 without RSS. 0 or -ENOMEM. */
int mr_dpdk_steer_open(struct mr_dpdk_steer *steer, uint16_t port_id, uint16_t queue_count,
                       uint16_t reta_size);

/* What is left in the rings is freed. */
void mr_dpdk_steer_close(struct mr_dpdk_steer *steer);

uint32_t mr_dpdk_steer_hash(uint32_t local, uint16_t local_port, uint32_t remote,
                            uint16_t remote_port);

/* The queue, and so the shard, of a connection. */
uint16_t mr_dpdk_steer_owner(const struct mr_dpdk_steer *steer, uint32_t local, uint16_t local_port,
                             uint32_t remote, uint16_t remote_port);

/* False: the owner's ring is full, and the packet still the caller's. */
bool mr_dpdk_steer_hand(const struct mr_dpdk_steer *steer, uint16_t owner, struct rte_mbuf *mbuf);

/* Packets that others have handed to this queue; returns how many. */
uint16_t mr_dpdk_steer_take(const struct mr_dpdk_steer *steer, uint16_t queue,
                            struct rte_mbuf **mbufs, uint16_t count_max);

/* Whether there are any. */
bool mr_dpdk_steer_waiting(const struct mr_dpdk_steer *steer, uint16_t queue);

#endif
