/* net/dpdk_port.c: queues, RSS and packet pools of one device. */
#include "dataplane/net/dpdk_port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_mbuf.h>

#include "dataplane/base/log.h"

#define DESCRIPTORS  512u
#define POOL_CACHE   512u /* DPDK's most: a burst comes back, and goes out again while it is warm */
#define CARD_KEEPS   1280u /* of the packets to receive into; see keeps() */
#define DRIVER_KEEPS 5632u /* likewise */
#define MTU_DEFAULT  1500u
#define FRAME_EXTRA  64u   /* of a frame beyond its MTU: Ethernet, and what devices add */
#define ROOM_DEFAULT 2048u /* of a packet, beyond DPDK's headroom */
#define PACKET_BYTES 4096u /* with its headers: pools lay none across two pages */
#define TSO_MAX      65000u
#define QUEUE_BYTES  (2u * 1024 * 1024) /* descriptors, pools' own memory */
#define RSS_KEY_MIN  40u

/* A segment fits one packet. */
static uint16_t
data_room(uint16_t mtu)
{
    return (uint16_t)(mtu <= MTU_DEFAULT ? ROOM_DEFAULT : mtu + FRAME_EXTRA);
}

/* Only a card needs each packet in one page of memory. For devices in software they lie one after
 * the other: AF_XDP's driver shows the kernel no more than their sizes come to, and packets beyond
 * that would be lost to it one by one. */
static struct rte_mempool *
create_pool(const char *what, unsigned queue, unsigned packets, const struct mr_dpdk_port *port,
            uint16_t private_size)
{
    const struct rte_pktmbuf_pool_private room = {
        .mbuf_data_room_size = (uint16_t)(data_room(port->mtu) + RTE_PKTMBUF_HEADROOM),
        .mbuf_priv_size = private_size,
    };
    unsigned size = (unsigned)sizeof(struct rte_mbuf) + private_size + room.mbuf_data_room_size;
    char name[RTE_MEMPOOL_NAMESIZE];
    struct rte_mempool *pool;

    snprintf(name, sizeof(name), "%s%u-%u", what, port->id, queue);
    pool = rte_mempool_create_empty(name, packets, size, RTE_MIN(POOL_CACHE, packets / 2),
                                    sizeof(room), SOCKET_ID_ANY,
                                    port->software ? RTE_MEMPOOL_F_NO_IOVA_CONTIG : 0);
    if (!pool) {
        return NULL;
    }
    rte_pktmbuf_pool_init(pool, (void *)(uintptr_t)&room);
    if (rte_mempool_populate_default(pool) < 0) {
        rte_mempool_free(pool);
        return NULL;
    }
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
    return pool;
}

/* Connections may hold port->packets of each queue; what the driver has comes on top, without which
 * it could neither receive nor send what would free the others: its ring and the pool's cache. Of
 * those in software AF_XDP's has most: 2,048 for the kernel to fill, 512 to send, which it copies
 * into packets of this pool, and 2,048 that were sent. */
static unsigned
keeps(bool software)
{
    return software ? DRIVER_KEEPS : CARD_KEEPS;
}

static struct rte_mempool *
create_receive(unsigned queue, unsigned queues, const struct mr_dpdk_port *port)
{
    return create_pool("receive", queue, queues * (port->packets + keeps(port->software)), port,
                       MR_DPDK_PRIVATE_SIZE);
}

size_t
mr_dpdk_port_bytes(const char *device, uint16_t queue_count, uint32_t packets, uint16_t mtu)
{
    unsigned extra = keeps(strncmp(device, "net_", 4) == 0) + DESCRIPTORS;
    size_t packet = PACKET_BYTES;

    if (mtu > MTU_DEFAULT) {
        packet += data_room(mtu);
    }
    return queue_count * ((2 * packets + extra) * packet + QUEUE_BYTES);
}

/* Payload that is pointed to must be let go of soon after it was sent. These drivers copy it at
 * once. Those of cards do not: they look at what was sent when their ring is nearly full, or in
 * steps of 32 descriptors; and igb's clean-up waits for descriptors in the middle of a frame, which
 * no card ever marks as done. Over them payload is copied until one has been tried. */
static bool
copies_frames(const struct rte_eth_dev_info *info)
{
    static const char *const drivers[] = {"net_af_packet", "net_memif", "net_vhost"};

    for (unsigned i = 0; i < RTE_DIM(drivers); i++) {
        if (strcmp(info->driver_name, drivers[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* What the device does itself of what is sent: TCP checksums, cutting, gathering from elsewhere. */
static uint64_t
choose_transmit(struct mr_dpdk_port *port, const struct rte_eth_dev_info *info)
{
    const uint64_t cutting =
        RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
    uint64_t has = info->tx_offload_capa;
    uint64_t wanted = 0;

    port->checksums = port->trusted;
    if (has & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) {
        port->checksums = true;
        wanted |= RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
    }
    if ((has & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) && copies_frames(info)) {
        port->external = true;
        wanted |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    }
    if ((has & cutting) == cutting && port->external) {
        port->tso_max = TSO_MAX;
        wanted |= cutting;
    }
    return wanted;
}

static int
configure(struct mr_dpdk_port *port, const struct rte_eth_dev_info *info, uint16_t mtu)
{
    uint8_t key[MR_DPDK_KEY_BYTES];
    struct rte_eth_conf conf = {0};
    uint64_t wanted = RTE_ETH_RSS_NONFRAG_IPV4_TCP;
    int error;

    port->mtu = mtu;
    mr_dpdk_steer_key(key);
    port->rss = port->queue_count > 1 && (info->flow_type_rss_offloads & wanted) == wanted &&
                info->hash_key_size >= RSS_KEY_MIN && info->hash_key_size <= sizeof(key);
    if (port->rss) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = wanted;
        conf.rx_adv_conf.rss_conf.rss_key = key;
        conf.rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size;
    }
    conf.intr_conf.rxq = port->interrupts;
    conf.rxmode.offloads = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
    conf.txmode.offloads = choose_transmit(port, info);
    conf.rxmode.mtu = mtu;
    error = rte_eth_dev_configure(port->id, port->queue_count, port->queue_count, &conf);
    if (error && mtu > MTU_DEFAULT && port->software) { /* it cannot be told of one, and takes it */
        conf.rxmode.mtu = 0;
        error = rte_eth_dev_configure(port->id, port->queue_count, port->queue_count, &conf);
    }
    if (!error && mtu == 0) {
        error = rte_eth_dev_get_mtu(port->id, &port->mtu);
        port->mtu = (uint16_t)RTE_MIN(port->mtu, MTU_DEFAULT);
    }
    return error;
}

static int
set_up_queue(struct mr_dpdk_port *port, uint16_t queue)
{
    int error;

    if (queue > 0 && !port->rss) {
        port->receive_pools[queue] = port->receive_pools[0];
    } else {
        /* Where packets are handed over, shards hold each other's: from one pool for all, so that
         * what each may hold is never all that another has to receive with. */
        port->receive_pools[queue] = create_receive(queue, port->rss ? 1 : port->queue_count, port);
    }
    port->transmit_pools[queue] =
        create_pool("transmit", queue, port->packets + DESCRIPTORS, port, MR_DPDK_SEND_SIZE);
    if (!port->receive_pools[queue] || !port->transmit_pools[queue]) {
        return -ENOMEM;
    }
    error = rte_eth_rx_queue_setup(port->id, queue, DESCRIPTORS, SOCKET_ID_ANY, NULL,
                                   port->receive_pools[queue]);
    return error ? error
                 : rte_eth_tx_queue_setup(port->id, queue, DESCRIPTORS, SOCKET_ID_ANY, NULL);
}

static int
start(struct mr_dpdk_port *port, const struct rte_eth_dev_info *info, uint16_t mtu)
{
    struct rte_ether_addr mac;
    int error = configure(port, info, mtu);

    for (uint16_t i = 0; i < port->queue_count && !error; i++) {
        error = set_up_queue(port, i);
    }
    if (!error) {
        error = rte_eth_dev_start(port->id);
    }
    if (!error) {
        error = rte_eth_macaddr_get(port->id, &mac);
    }
    if (!error) {
        error = mr_dpdk_steer_open(&port->steer, port->id, port->queue_count,
                                   port->rss ? info->reta_size : 0);
    }
    if (!error) {
        memcpy(port->mac, mac.addr_bytes, sizeof(port->mac));
        rte_eth_promiscuous_disable(port->id); /* not every device can be told */
    }
    return error;
}

/* ---- steering -------------------------------------------------------------------------------- */

static struct rte_flow *
steer_one(const struct mr_dpdk_port *port, uint16_t tcp_port, uint16_t queue)
{
    const struct rte_flow_attr attributes = {.ingress = 1};
    const struct rte_flow_item_ipv4 ip = {.hdr.next_proto_id = IPPROTO_TCP};
    const struct rte_flow_item_ipv4 ip_mask = {.hdr.next_proto_id = UINT8_MAX};
    const struct rte_flow_item_tcp tcp = {.hdr.dst_port = htons(tcp_port)};
    const struct rte_flow_item_tcp tcp_mask = {.hdr.dst_port = UINT16_MAX};
    const struct rte_flow_item pattern[] = {
        {.type = RTE_FLOW_ITEM_TYPE_ETH},
        {.type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &ip, .mask = &ip_mask},
        {.type = RTE_FLOW_ITEM_TYPE_TCP, .spec = &tcp, .mask = &tcp_mask},
        {.type = RTE_FLOW_ITEM_TYPE_END},
    };
    const struct rte_flow_action_queue to = {.index = queue};
    const struct rte_flow_action actions[] = {
        {.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &to},
        {.type = RTE_FLOW_ACTION_TYPE_END},
    };
    struct rte_flow_error error;

    return rte_flow_create(port->id, &attributes, pattern, actions, &error);
}

/* Lets the card take each of our ports into its queue, where it can; else shards hand packets over,
 * which costs a hop. */
static void
steer(struct mr_dpdk_port *port, uint16_t first)
{
    struct rte_flow_error error;

    port->steer.direct_port = first;
    for (uint16_t i = 0; first > 0 && i < port->queue_count; i++) {
        if (!steer_one(port, (uint16_t)(first + i), i)) {
            rte_flow_flush(port->id, &error); /* there are no other rules */
            MR_LOG_INFO("net", "the device cannot steer by port: shards hand packets over");
            return;
        }
    }
}

/* ---- open and close ----------------------------------------------------------------------------
 */

/* ADDRESS[/BITS], and the gateway. */
static int
parse_addresses(const struct mr_dpdk_port_config *config, struct mr_dpdk_port *port, char *error,
                size_t error_size)
{
    char text[INET_ADDRSTRLEN + sizeof("/32")];
    struct in_addr parsed;
    char *slash;
    char *end = "";

    snprintf(text, sizeof(text), "%s", config->address);
    slash = strchr(text, '/');
    if (slash) {
        *slash = '\0';
        port->bits = (unsigned)strtoul(slash + 1, &end, 10);
    }
    if (inet_pton(AF_INET, text, &parsed) != 1 || parsed.s_addr == 0 || *end != '\0' ||
        port->bits > 32) {
        snprintf(error, error_size,
                 "dpdk.address=%s: give the IPv4 address of the port, such as 10.0.0.1/24",
                 config->address);
        return -EINVAL;
    }
    port->address = ntohl(parsed.s_addr);
    if (!config->gateway || config->gateway[0] == '\0') {
        return 0;
    }
    if (inet_pton(AF_INET, config->gateway, &parsed) != 1 || port->bits == 0) {
        snprintf(error, error_size,
                 "dpdk.gateway=%s: give an IPv4 address, and dpdk.address with its subnet",
                 config->gateway);
        return -EINVAL;
    }
    port->gateway = ntohl(parsed.s_addr);
    return 0;
}

int
mr_dpdk_port_open(const struct mr_dpdk_port_config *config, struct mr_dpdk_port *port, char *error,
                  size_t error_size)
{
    uint16_t queue_count = config->queue_count;
    struct rte_eth_dev_info info;
    int result;

    memset(port, 0, sizeof(*port));
    port->queue_count = queue_count;
    port->packets = config->packets;
    port->interrupts = config->interrupts;
    port->trusted = config->trusted;
    result = parse_addresses(config, port, error, error_size);
    if (result) {
        return result;
    }
    if (rte_eth_dev_count_avail() <= config->index) {
        snprintf(error, error_size,
                 "no DPDK device; name one with dpdk.device, such as "
                 "net_af_packet0,iface=eth1");
        return -ENODEV;
    }
    port->id = (uint16_t)rte_eth_find_next(0);
    for (uint16_t i = 0; i < config->index; i++) {
        port->id = (uint16_t)rte_eth_find_next(port->id + 1u);
    }
    result = rte_eth_dev_info_get(port->id, &info);
    snprintf(port->driver, sizeof(port->driver), "%s", result ? "" : info.driver_name);
    if (!result && (info.max_rx_queues < queue_count || info.max_tx_queues < queue_count)) {
        snprintf(error, error_size,
                 "%u shards need as many queues, but the device has %u; set "
                 "shards, or give the device more",
                 queue_count, info.max_rx_queues);
        return -ENOTSUP;
    }
    if (!result) {
        port->software = strcmp(rte_bus_name(rte_dev_bus(info.device)), "vdev") == 0;
        result = start(port, &info, config->mtu);
    }
    if (result) {
        snprintf(error, error_size, "the DPDK device does not start: %s", strerror(-result));
        return result;
    }
    MR_LOG_INFO("net", "DPDK port %u (%s), %u queue%s, MTU %u, %02x:%02x:%02x:%02x:%02x:%02x",
                port->id, port->driver, queue_count, queue_count == 1 ? "" : "s", port->mtu,
                port->mac[0], port->mac[1], port->mac[2], port->mac[3], port->mac[4], port->mac[5]);
    steer(port, config->direct_port);
    return 0;
}

int
mr_dpdk_port_interrupt(const struct mr_dpdk_port *port, uint16_t queue)
{
    /* Devices without them say so when one is asked for. */
    if (!port->interrupts || rte_eth_dev_rx_intr_enable(port->id, queue) != 0) {
        return -1;
    }
    return rte_eth_dev_rx_intr_ctl_q_get_fd(port->id, queue);
}

bool
mr_dpdk_port_arm(const struct mr_dpdk_port *port, uint16_t queue)
{
    rte_eth_dev_rx_intr_enable(port->id, queue);
    return rte_eth_rx_queue_count(port->id, queue) <= 0;
}

void
mr_dpdk_port_close(struct mr_dpdk_port *port)
{
    rte_eth_dev_stop(port->id);
    mr_dpdk_steer_close(&port->steer);
    rte_eth_dev_close(port->id);
}
