/* net/net_dpdk.c: packets of one queue through ether.h and tcp.h to the users of net.h. */
#include "dataplane/net/net_dpdk.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/endian.h"
#include "dataplane/base/rng.h"
#include "dataplane/net/dpdk_out.h"
#include "dataplane/net/ether.h"
#include "dataplane/tcp/tcp.h"

#define PREFETCH        4u /* packets ahead */
#define CONNS_PER_POLL  256u
#define SEGMENTS_FACTOR 4u /* segments in flight for each packet buffer */
#define RESERVE_PART    8u /* of the receive packets, for segments without payload */
#define TCP_HEADER_SIZE 20u
#define HOST_SIZE       INET_ADDRSTRLEN

/* In a received packet's private area. */
struct packet {
    struct mr_tcp_packet tcp;
    struct mr_net_buf buf;
    struct rte_mbuf *mbuf;
};

_Static_assert(sizeof(struct packet) <= MR_DPDK_PRIVATE_SIZE, "a packet's private area");

struct dpdk_conn {
    struct mr_net_conn conn;
    struct mr_list node; /* in conns_free; in connecting until it is there */
    struct mr_tcp_conn *tcp;
    uint64_t give_up_ns; /* of a connection in connecting */
    uint32_t sends;      /* under way */
    bool closing;
    bool timed_out;
};

/* A send under way: the contract's beside TCP's. */
struct dpdk_send {
    struct mr_tcp_send tcp;
    struct mr_list node; /* in sends_free */
    struct dpdk_conn *conn;
    struct mr_net_send *send;
    uint64_t bytes;
};

struct net_dpdk {
    struct mr_net net;
    struct mr_net_dpdk_config config;
    struct mr_dpdk_out out;
    struct mr_ether ether;
    struct mr_tcp *tcp;
    uint16_t listen_port;
    uint64_t now_ns;
    struct dpdk_conn *conns;
    struct mr_list conns_free;
    struct mr_list connecting;
    struct dpdk_send *sends;
    struct mr_list sends_free;
    bool several; /* the port has more queues */
    struct mr_net_dpdk_counters counters;
};

static struct net_dpdk *
net_dpdk(const struct mr_net *net)
{
    return MR_CONTAINER_OF((struct mr_net *)(uintptr_t)net, struct net_dpdk, net);
}

static bool
on_output(void *context, const struct mr_tcp_frame *frame)
{
    struct net_dpdk *net = context;

    return mr_dpdk_out_tcp(&net->out, frame, net->now_ns);
}

/* Only a local port that makes the connection this shard's. */
static bool
on_port_usable(void *context, uint32_t local, uint16_t local_port, uint32_t remote,
               uint16_t remote_port)
{
    const struct net_dpdk *net = context;

    return mr_dpdk_steer_owner(&net->config.port->steer, local, local_port, remote, remote_port) ==
           net->config.queue;
}

/* ---- frames in ------------------------------------------------------------------------------- */

static void
on_packet_free(void *context, struct mr_tcp_packet *tcp)
{
    struct net_dpdk *net = context;
    struct packet *packet = MR_CONTAINER_OF(tcp, struct packet, tcp);

    net->net.buffers_free++;
    rte_pktmbuf_free(packet->mbuf);
}

/* Connections that are not read must not hold all packets: the last ones are for segments without
 * payload, whose acknowledgements let others go on. What is dropped is sent again. */
static bool
may_hold(const struct net_dpdk *net, const struct mr_ether_packet *from)
{
    bool payload = from->size >= TCP_HEADER_SIZE && from->size > from->segment[12] / 16 * 4u;

    return !payload || net->net.buffers_free > net->net.buffers_max / RESERVE_PART;
}

/* NONE says that the sum is not in the packet, and that its bytes are those that were sent. */
static bool
checksum_good(const struct rte_mbuf *mbuf)
{
    uint64_t said = mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

    return said == RTE_MBUF_F_RX_L4_CKSUM_GOOD || said == RTE_MBUF_F_RX_L4_CKSUM_NONE;
}

static void
input_tcp(struct net_dpdk *net, struct rte_mbuf *mbuf, const struct mr_ether_packet *from)
{
    struct packet *packet = rte_mbuf_to_priv(mbuf);

    if (!may_hold(net, from)) {
        net->counters.dropped++;
        rte_pktmbuf_free(mbuf);
        return;
    }
    *packet = (struct packet){
        .tcp = {.segment = from->segment,
                .size = from->size,
                .source = from->source,
                .destination = from->destination,
                .ecn = from->ecn,
                .checksum_good = net->config.port->trusted || checksum_good(mbuf)},
        .mbuf = mbuf,
    };
    net->net.buffers_free--;
    mr_tcp_input(net->tcp, &packet->tcp, net->now_ns);
}

/* What the frame says is done; how it is told to the others was seen to before. */
static void
input_other(struct net_dpdk *net, const uint8_t *frame, enum mr_ether_kind kind,
            const struct mr_ether_packet *packet, bool handed)
{
    if (kind == MR_ETHER_ANSWER && !handed) {
        mr_dpdk_out_copy(&net->out, frame, packet->size);
    } else if (kind == MR_ETHER_PATH_MTU) {
        mr_tcp_path_mtu(net->tcp, packet->destination, packet->local_port, packet->source,
                        packet->remote_port, packet->seq, packet->mtu, net->now_ns);
    }
}

/* The shard whose connection a packet is about. */
static uint16_t
owner_of(const struct net_dpdk *net, enum mr_ether_kind kind, const struct mr_ether_packet *packet)
{
    uint16_t local_port = packet->local_port;
    uint16_t remote_port = packet->remote_port;

    if (kind == MR_ETHER_TCP && packet->size >= TCP_HEADER_SIZE) {
        remote_port = mr_be16_get(packet->segment);
        local_port = mr_be16_get(packet->segment + 2);
    } else if (kind != MR_ETHER_PATH_MTU) {
        return net->config.queue;
    }
    return mr_dpdk_steer_owner(&net->config.port->steer, packet->destination, local_port,
                               packet->source, remote_port);
}

/* False: the packet is still the caller's. */
static bool
hand(struct net_dpdk *net, uint16_t queue, struct rte_mbuf *mbuf)
{
    if (!mr_dpdk_steer_hand(&net->config.port->steer, queue, mbuf)) {
        return false;
    }
    if (net->config.handed) {
        net->config.handed(net->config.handed_context, queue);
    }
    return true;
}

/* Every shard has neighbours of its own, and learns from what one of them receives. */
static void
tell_all(struct net_dpdk *net, struct rte_mbuf *mbuf)
{
    const struct mr_dpdk_steer *steer = &net->config.port->steer;

    for (uint16_t i = 0; i < steer->queue_count; i++) {
        struct rte_mbuf *copy;

        if (i == net->config.queue) {
            continue;
        }
        copy = rte_pktmbuf_copy(mbuf, mbuf->pool, 0, UINT32_MAX);
        if (copy && !hand(net, i, copy)) {
            rte_pktmbuf_free(copy); /* it will be said again */
        }
    }
}

/* True: the packet has been passed on. */
static bool
input_frame(struct net_dpdk *net, struct rte_mbuf *mbuf, bool handed)
{
    uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
    uint16_t size = rte_pktmbuf_data_len(mbuf);
    bool arp = mr_ether_is_arp(frame, size);
    struct mr_ether_packet packet;
    enum mr_ether_kind kind;

    if (arp && !handed) {
        tell_all(net, mbuf);
    }
    kind = mr_ether_input(&net->ether, frame, size, &packet);
    if (arp) {
        mr_dpdk_out_resolved(&net->out);
    }
    if (net->several && !handed) {
        uint16_t owner = owner_of(net, kind, &packet);

        if (owner != net->config.queue) {
            net->counters.handed_over++;
            return hand(net, owner, mbuf);
        }
    }
    if (kind == MR_ETHER_TCP) {
        input_tcp(net, mbuf, &packet);
        return true;
    }
    input_other(net, frame, kind, &packet, handed);
    return false;
}

static void
input(struct net_dpdk *net, struct rte_mbuf *mbuf, bool handed)
{
    if (mbuf->nb_segs > 1 || !input_frame(net, mbuf, handed)) {
        rte_pktmbuf_free(mbuf);
    }
}

static void
input_burst(struct net_dpdk *net, struct rte_mbuf **burst, uint16_t count, bool handed)
{
    for (uint16_t i = 0; i < count; i++) {
        if (i + PREFETCH < count) {
            rte_prefetch0(rte_pktmbuf_mtod(burst[i + PREFETCH], void *));
            rte_prefetch0(rte_mbuf_to_priv(burst[i + PREFETCH]));
        }
        input(net, burst[i], handed);
    }
}

/* Few are opened at a time, so that all are looked at. */
static void
give_up(struct net_dpdk *net)
{
    MR_LIST_FOR_EACH(node, &net->connecting)
    {
        struct dpdk_conn *conn = MR_CONTAINER_OF(node, struct dpdk_conn, node);

        if (net->now_ns >= conn->give_up_ns && !conn->timed_out) {
            conn->timed_out = true;
            mr_tcp_abort(conn->tcp);
        }
    }
}

bool
mr_net_dpdk_poll(struct mr_net *base, uint64_t now_ns)
{
    struct net_dpdk *net = net_dpdk(base);
    struct rte_mbuf *burst[MR_DPDK_BURST];
    uint16_t count =
        rte_eth_rx_burst(net->config.port->id, net->config.queue, burst, MR_DPDK_BURST);

    net->now_ns = now_ns;
    input_burst(net, burst, count, false);
    if (net->several) {
        uint16_t handed =
            mr_dpdk_steer_take(&net->config.port->steer, net->config.queue, burst, MR_DPDK_BURST);

        input_burst(net, burst, handed, true);
        count = (uint16_t)(count + handed);
    }
    mr_tcp_tick(net->tcp, now_ns);
    give_up(net);
    return mr_tcp_dispatch(net->tcp, CONNS_PER_POLL, now_ns) > 0 || count > 0;
}

bool
mr_net_dpdk_flush(struct mr_net *base, uint64_t now_ns)
{
    struct net_dpdk *net = net_dpdk(base);
    unsigned served = mr_tcp_flush(net->tcp, CONNS_PER_POLL, now_ns);

    mr_dpdk_out_flush(&net->out);
    return served > 0 || net->out.count > 0;
}

uint64_t
mr_net_dpdk_deadline(const struct mr_net *base)
{
    const struct net_dpdk *net = net_dpdk(base);
    uint64_t deadline_ns = mr_tcp_deadline(net->tcp);

    MR_LIST_FOR_EACH(node, &net->connecting)
    {
        const struct dpdk_conn *conn = MR_CONTAINER_OF(node, struct dpdk_conn, node);

        deadline_ns = conn->give_up_ns < deadline_ns ? conn->give_up_ns : deadline_ns;
    }
    return deadline_ns;
}

void
mr_net_dpdk_counters(const struct mr_net *base, struct mr_net_dpdk_counters *out)
{
    const struct net_dpdk *net = net_dpdk(base);
    const struct mr_tcp_stats *stats = mr_tcp_stats(net->tcp);

    *out = net->counters;
    out->packets_in = stats->packets_in;
    out->packets_out = stats->packets_out;
}

/* ---- events of TCP --------------------------------------------------------------------------- */

static void *
on_accepted(void *context, struct mr_tcp_conn *tcp, uint32_t remote, uint16_t port)
{
    struct net_dpdk *net = context;
    struct mr_list *node = mr_list_pop_front(&net->conns_free);
    struct in_addr address = {htonl(remote)};
    char host[HOST_SIZE];
    struct dpdk_conn *conn;

    (void)port;
    if (!node) {
        net->net.refused++;
        return NULL;
    }
    conn = MR_CONTAINER_OF(node, struct dpdk_conn, node);
    *conn = (struct dpdk_conn){.conn = {.net = &net->net}, .tcp = tcp};
    mr_list_init(&conn->node);
    inet_ntop(AF_INET, &address, host, sizeof(host));
    conn->conn.user = net->net.events.accepted(net->net.events.context, &conn->conn, host);
    if (!conn->conn.user) {
        mr_list_push_back(&net->conns_free, &conn->node);
        net->net.refused++;
        return NULL;
    }
    net->net.connections++;
    return conn;
}

static void
on_connected(void *user, struct mr_tcp_conn *tcp)
{
    struct dpdk_conn *conn = user;

    (void)tcp;
    mr_list_remove(&conn->node);
    conn->conn.net->events.connected(conn->conn.user, &conn->conn);
}

static void
on_received(void *user, struct mr_tcp_packet *tcp, const uint8_t *data, uint32_t size)
{
    struct dpdk_conn *conn = user;
    struct packet *packet = MR_CONTAINER_OF(tcp, struct packet, tcp);

    MR_ASSERT(packet->buf.references == 0); /* a packet's bytes come at once */
    packet->buf = (struct mr_net_buf){
        .net = conn->conn.net,
        .data = packet->mbuf->buf_addr,
        .size = packet->mbuf->buf_len,
        .references = 1,
    };
    conn->conn.net->bytes_received += size;
    conn->conn.net->events.received(conn->conn.user, &packet->buf, data, size);
}

/* A peer that has half-closed is done with us, as with the kernel's transport: what it had asked
 * before has been read. */
static void
on_ended(void *user)
{
    struct dpdk_conn *conn = user;

    conn->closing = true;
    mr_tcp_close(conn->tcp, net_dpdk(conn->conn.net)->now_ns);
}

static void
on_leaving(void *user)
{
    struct dpdk_conn *conn = user;

    conn->conn.net->events.leaving(conn->conn.user);
}

static void
on_closed(void *user, int reason)
{
    struct dpdk_conn *conn = user;
    struct net_dpdk *net = net_dpdk(conn->conn.net);

    mr_list_remove(&conn->node);
    net->net.connections--;
    reason = conn->timed_out ? -ETIMEDOUT : reason;
    net->net.events.closed(conn->conn.user, conn->closing ? 0 : reason);
    mr_list_push_back(&net->conns_free, &conn->node);
}

/* ---- the contract ---------------------------------------------------------------------------- */

static int
dpdk_listen(struct mr_net *base, const char *host, uint16_t port, uint16_t *port_out)
{
    struct net_dpdk *net = net_dpdk(base);
    struct in_addr address;

    if (inet_pton(AF_INET, host, &address) != 1 ||
        (address.s_addr != 0 && ntohl(address.s_addr) != net->config.port->address)) {
        return -EADDRNOTAVAIL;
    }
    net->listen_port = port;
    *port_out = port;
    mr_dpdk_out_arp(&net->out, net->config.port->address,
                    net->now_ns); /* gratuitous: others forget who had the address */
    return mr_tcp_listen(net->tcp, 0, port);
}

static void
dpdk_listen_stop(struct mr_net *base)
{
    struct net_dpdk *net = net_dpdk(base);

    mr_tcp_listen_stop(net->tcp, 0, net->listen_port);
}

static int
dpdk_connect(struct mr_net *base, const struct mr_net_target *target, void *user,
             struct mr_net_conn **out)
{
    struct net_dpdk *net = net_dpdk(base);
    struct mr_list *node = mr_list_pop_front(&net->conns_free);
    struct in_addr address;
    struct dpdk_conn *conn;
    int error = 0;

    if (!node) {
        return -ENOBUFS;
    }
    conn = MR_CONTAINER_OF(node, struct dpdk_conn, node);
    *conn = (struct dpdk_conn){.conn = {.net = base, .user = user}};
    if (inet_pton(AF_INET, target->host, &address) != 1) {
        error = -EINVAL;
    }
    error = error ? error
                  : mr_tcp_connect(net->tcp, 0, 0, ntohl(address.s_addr), target->port, conn,
                                   net->now_ns, &conn->tcp);
    if (error) {
        mr_list_push_back(&net->conns_free, &conn->node);
        return error;
    }
    conn->give_up_ns = net->now_ns + target->timeout_ns;
    mr_list_init(&conn->node);
    mr_list_push_back(&net->connecting, &conn->node);
    base->connections++;
    *out = &conn->conn;
    return 0;
}

static void
on_sent(struct mr_tcp_send *tcp, int result)
{
    struct dpdk_send *under_way = MR_CONTAINER_OF(tcp, struct dpdk_send, tcp);
    struct mr_net_send *send = under_way->send;

    if (result == 0) {
        under_way->conn->conn.net->bytes_sent += under_way->bytes;
    }
    under_way->conn->sends--;
    mr_list_push_back(&net_dpdk(under_way->conn->conn.net)->sends_free, &under_way->node);
    send->done(send, result);
}

/* There is a dpdk_send for every request context that may be sending. */
static void
dpdk_send(struct mr_net_conn *base, struct mr_net_send *send)
{
    struct dpdk_conn *conn = MR_CONTAINER_OF(base, struct dpdk_conn, conn);
    struct net_dpdk *net = net_dpdk(base->net);
    struct mr_list *node = mr_list_pop_front(&net->sends_free);
    struct dpdk_send *under_way;

    MR_ASSERT(node);
    under_way = MR_CONTAINER_OF(node, struct dpdk_send, node);
    under_way->conn = conn;
    under_way->send = send;
    under_way->bytes = 0;
    conn->sends++;
    for (unsigned i = 0; i < send->iov_count; i++) {
        under_way->bytes += send->iov[i].iov_len;
    }
    under_way->tcp =
        (struct mr_tcp_send){.done = on_sent, .iov = send->iov, .iov_count = send->iov_count};
    mr_tcp_send(conn->tcp, &under_way->tcp);
}

static void
dpdk_pause(struct mr_net_conn *base)
{
    mr_tcp_pause(MR_CONTAINER_OF(base, struct dpdk_conn, conn)->tcp);
}

static void
dpdk_resume(struct mr_net_conn *base)
{
    mr_tcp_resume(MR_CONTAINER_OF(base, struct dpdk_conn, conn)->tcp);
}

static void
dpdk_close(struct mr_net_conn *base)
{
    struct dpdk_conn *conn = MR_CONTAINER_OF(base, struct dpdk_conn, conn);

    conn->closing = true;
    if (conn->sends > 0) {
        mr_tcp_abort(conn->tcp); /* what the peer does not have yet is not wanted any more */
    } else {
        mr_tcp_close(conn->tcp, net_dpdk(base->net)->now_ns);
    }
}

static uint64_t
dpdk_bytes_sent(const struct mr_net_conn *base)
{
    struct mr_tcp_info info;

    mr_tcp_info(MR_CONTAINER_OF((struct mr_net_conn *)(uintptr_t)base, struct dpdk_conn, conn)->tcp,
                &info);
    return info.acked;
}

static void
dpdk_buf_free(struct mr_net *base, struct mr_net_buf *buf)
{
    (void)base;
    mr_tcp_packet_release(&MR_CONTAINER_OF(buf, struct packet, buf)->tcp);
}

static void
dpdk_destroy(struct mr_net *base)
{
    struct net_dpdk *net = net_dpdk(base);

    mr_dpdk_out_free(&net->out); /* before the sends that its frames point into */
    mr_tcp_destroy(net->tcp);
    free(net->conns);
    free(net->sends);
    free(net);
}

static const struct mr_net_ops dpdk_ops = {
    .listen = dpdk_listen,
    .listen_stop = dpdk_listen_stop,
    .connect = dpdk_connect,
    .send = dpdk_send,
    .pause = dpdk_pause,
    .resume = dpdk_resume,
    .close = dpdk_close,
    .bytes_sent = dpdk_bytes_sent,
    .buf_free = dpdk_buf_free,
    .destroy = dpdk_destroy,
};

/* ---- creation -------------------------------------------------------------------------------- */

static int
create_tcp(struct net_dpdk *net)
{
    const struct mr_tcp_ops ops = {
        .context = net,
        .output = on_output,
        .packet_free = on_packet_free,
        .port_usable = on_port_usable,
    };
    const struct mr_tcp_events events = {
        .context = net,
        .accepted = on_accepted,
        .connected = on_connected,
        .received = on_received,
        .ended = on_ended,
        .leaving = on_leaving,
        .closed = on_closed,
    };
    struct mr_tcp_config config;

    mr_tcp_config_init(&config);
    config.addresses[0] = net->config.port->address;
    config.address_count = 1;
    config.mtu = net->config.port->mtu;
    config.checksum_offload = net->config.port->checksums;
    config.tso_max = net->config.port->tso_max;
    config.conns_max = net->config.connections_max + net->config.connections_max / 4;
    if (config.half_open_max > config.conns_max) {
        config.half_open_max = config.conns_max;
    }
    config.segments_max = SEGMENTS_FACTOR * net->config.port->packets;
    /* No connection holds a large part of the packets, nor do all that came out of order. */
    config.conn_queued_max = net->config.port->packets / RESERVE_PART;
    config.reorder_max = net->config.port->packets / 4;
    mr_random_bytes(config.secret, sizeof(config.secret));
    return mr_tcp_create(&config, &ops, &events, mr_clock_now_ns(net->config.clock), &net->tcp);
}

static void
fill_lists(struct net_dpdk *net)
{
    mr_list_init(&net->conns_free);
    mr_list_init(&net->connecting);
    mr_list_init(&net->sends_free);
    for (uint32_t i = 0; i < net->config.connections_max; i++) {
        mr_list_push_back(&net->conns_free, &net->conns[i].node);
    }
    for (uint32_t i = 0; i < net->config.sends_max; i++) {
        mr_list_push_back(&net->sends_free, &net->sends[i].node);
    }
}

int
mr_net_dpdk_create(const struct mr_net_dpdk_config *config, const struct mr_net_events *events,
                   struct mr_net **out)
{
    struct net_dpdk *net = calloc(1, sizeof(*net));
    int error = -ENOMEM;

    if (!net) {
        return error;
    }
    net->net.ops = &dpdk_ops;
    net->net.events = *events;
    net->net.connections_max = config->connections_max;
    net->net.buffers_max = config->port->packets;
    net->net.buffers_free = config->port->packets;
    net->config = *config;
    net->several = config->port->queue_count > 1;
    net->now_ns = mr_clock_now_ns(config->clock);
    mr_dpdk_out_init(&net->out, config->port, config->queue, &net->ether);
    net->conns = calloc(config->connections_max, sizeof(*net->conns));
    net->sends = calloc(config->sends_max, sizeof(*net->sends));
    mr_ether_init(&net->ether, config->port->mac, config->port->address, config->port->bits,
                  config->port->gateway);
    if (net->conns && net->sends) {
        fill_lists(net);
        error = create_tcp(net);
    }
    if (error) {
        dpdk_destroy(&net->net);
        return error;
    }
    *out = &net->net;
    return 0;
}
