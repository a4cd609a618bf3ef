/* net/dpdk_steer.c: owners by hash, and a ring to each. */
#include "dataplane/net/dpdk_steer.h"

#include <errno.h>
#include <stdio.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#define KEY_WORD   0x6d5au
#define RING_SIZE  1024u
#define RETA_ALONE 128u /* of the table where the device has none */

/* Repeating two bytes makes both directions of a connection hash alike (Woo and Park, 2012). */
void
mr_dpdk_steer_key(uint8_t key[MR_DPDK_KEY_BYTES])
{
    for (unsigned i = 0; i < MR_DPDK_KEY_BYTES; i += 2) {
        key[i] = KEY_WORD >> 8;
        key[i + 1] = KEY_WORD & 0xff;
    }
}

/* The device's own table, or where it cannot be read the one that drivers begin with. */
static void
read_reta(struct mr_dpdk_steer *steer, uint16_t port_id, uint16_t reta_size)
{
    struct rte_eth_rss_reta_entry64 entries[MR_DPDK_RETA_SIZE_MAX / RTE_ETH_RETA_GROUP_SIZE];
    bool known = reta_size >= RTE_ETH_RETA_GROUP_SIZE && reta_size <= MR_DPDK_RETA_SIZE_MAX;

    for (unsigned i = 0; i < RTE_DIM(entries); i++) {
        entries[i].mask = UINT64_MAX;
    }
    known = known && rte_eth_dev_rss_reta_query(port_id, entries, reta_size) == 0;
    steer->reta_size = known ? reta_size : RETA_ALONE;
    for (uint16_t i = 0; i < steer->reta_size; i++) {
        steer->reta[i] =
            known ? entries[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE]
                  : i % steer->queue_count;
    }
}

int
mr_dpdk_steer_open(struct mr_dpdk_steer *steer, uint16_t port_id, uint16_t queue_count,
                   uint16_t reta_size)
{
    char name[RTE_RING_NAMESIZE];

    steer->queue_count = queue_count;
    read_reta(steer, port_id, reta_size);
    for (uint16_t i = 0; i < queue_count && queue_count > 1; i++) {
        snprintf(name, sizeof(name), "hand%u.%u", port_id, i);
        steer->rings[i] = rte_ring_create(name, RING_SIZE, SOCKET_ID_ANY, RING_F_SC_DEQ);
        if (!steer->rings[i]) {
            return -ENOMEM;
        }
    }
    return 0;
}

void
mr_dpdk_steer_close(struct mr_dpdk_steer *steer)
{
    for (uint16_t i = 0; i < steer->queue_count; i++) {
        struct rte_mbuf *mbuf;

        while (mr_dpdk_steer_take(steer, i, &mbuf, 1) > 0) {
            rte_pktmbuf_free(mbuf);
        }
        rte_ring_free(steer->rings[i]);
        steer->rings[i] = NULL;
    }
}

/* As the key repeats after 16 bits, so does what each bit of the input does: the input may be
 * folded to 16 bits first. */
uint32_t
mr_dpdk_steer_hash(uint32_t local, uint16_t local_port, uint32_t remote, uint16_t remote_port)
{
    uint32_t addresses = local ^ remote;
    uint32_t folded = (addresses >> 16 ^ addresses ^ local_port ^ remote_port) & 0xffff;
    uint32_t window = KEY_WORD << 16 | KEY_WORD;
    uint32_t hash = 0;

    for (uint32_t bit = 0x8000; bit != 0; bit >>= 1) {
        hash ^= folded & bit ? window : 0;
        window = window << 1 | window >> 31;
    }
    return hash;
}

uint16_t
mr_dpdk_steer_owner(const struct mr_dpdk_steer *steer, uint32_t local, uint16_t local_port,
                    uint32_t remote, uint16_t remote_port)
{
    if (steer->queue_count == 1) {
        return 0;
    }
    if (steer->direct_port && local_port >= steer->direct_port &&
        local_port - steer->direct_port < steer->queue_count) {
        return (uint16_t)(local_port - steer->direct_port);
    }
    return steer->reta[mr_dpdk_steer_hash(local, local_port, remote, remote_port) &
                       (steer->reta_size - 1u)];
}

bool
mr_dpdk_steer_hand(const struct mr_dpdk_steer *steer, uint16_t owner, struct rte_mbuf *mbuf)
{
    return rte_ring_enqueue(steer->rings[owner], mbuf) == 0;
}

uint16_t
mr_dpdk_steer_take(const struct mr_dpdk_steer *steer, uint16_t queue, struct rte_mbuf **mbufs,
                   uint16_t count_max)
{
    if (steer->queue_count == 1) {
        return 0;
    }
    return (uint16_t)rte_ring_dequeue_burst(steer->rings[queue], (void **)mbufs, count_max, NULL);
}

bool
mr_dpdk_steer_waiting(const struct mr_dpdk_steer *steer, uint16_t queue)
{
    return steer->queue_count > 1 && !rte_ring_empty(steer->rings[queue]);
}
