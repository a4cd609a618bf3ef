/* tests/unit/net/transport_dpdk.c: net_dpdk in the suite, over an AF_PACKET device; its peers are
 * kernel sockets at the other end of a veth pair (transport_dpdk.sh makes it). */
#include <stdlib.h>
#include <unistd.h>

#include <rte_eal.h>

#include "dataplane/base/clock.h"
#include "dataplane/net/net_dpdk.h"
#include "tests/mr_test.h"
#include "tests/unit/net/transport_socket.h"

#define ADDRESS      "10.98.0.1"
#define PEER         "10.98.0.2"
#define SENDS_MAX    4096u
#define QUIET_NS     (300 * MR_NS_PER_MS) /* longer than a peer may delay what it has to say */
#define PAUSE_US     20u
#define PORT_FIRST   20000u
#define RESERVE_PART 8u /* of the packets, which connections cannot hold */

static const char device[] =
    "net_af_packet0,iface=mrt0,blocksz=16384,framesz=2048,framecnt=4096,qdisc_bypass=1";

struct dpdk_transport {
    struct transport base;
    uint16_t port;
    struct socket_listener listener;
};

/* The device starts once in a process. */
static const struct mr_dpdk_port *
port_of(uint32_t packets)
{
    const char *arguments[] = {"transport_test",
                               "--no-huge",
                               "--no-pci",
                               "--no-telemetry",
                               "--no-shconf",
                               "--log-level",
                               "error",
                               "--lcores",
                               "0",
                               "--main-lcore",
                               "0",
                               "-m",
                               "64",
                               "--vdev",
                               device};
    const struct mr_dpdk_port_config config = {
        .address = ADDRESS, .queue_count = 1, .packets = packets};
    static struct mr_dpdk_port port;
    static bool open;
    char error[256] = "";

    if (!open) {
        MR_CHECK(rte_eal_init(sizeof(arguments) / sizeof(arguments[0]),
                              (char **)(uintptr_t)arguments) >= 0);
        if (mr_dpdk_port_open(&config, &port, error, sizeof(error)) != 0) {
            fprintf(stderr, "%s\n", error);
            exit(1);
        }
        open = true;
    }
    MR_CHECK_EQ(port.packets, packets);
    return &port;
}

/* What was still on its way to the connections of the case before must not meet those of this one:
 * each has a port of its own. */
static uint16_t
next_port(void)
{
    static uint16_t count;

    return (uint16_t)(PORT_FIRST + count++);
}

static struct transport *
dpdk_create(const struct transport_limits *limits, const struct mr_net_events *events)
{
    struct dpdk_transport *self = calloc(1, sizeof(*self));
    struct mr_net_dpdk_config config = {
        .port = port_of(limits->buffer_count),
        .clock = &mr_clock_system,
        .connections_max = limits->connections_max,
        .sends_max = SENDS_MAX,
    };

    MR_CHECK(self != NULL);
    self->base.ops = &transport_dpdk;
    self->listener.fd = -1;
    MR_CHECK_EQ(mr_net_dpdk_create(&config, events, &self->base.net), 0);
    MR_CHECK_EQ(mr_net_listen(self->base.net, ADDRESS, next_port(), &self->port), 0);
    return &self->base;
}

static void
dpdk_destroy(struct transport *transport)
{
    struct dpdk_transport *self = MR_CONTAINER_OF(transport, struct dpdk_transport, base);

    mr_net_listen_stop(transport->net);
    mr_net_destroy(transport->net);
    socket_listener_close(&self->listener);
    free(self);
}

static bool
dpdk_turn(struct transport *transport, bool may_wait)
{
    uint64_t begin = mr_clock_now_ns(&mr_clock_system);
    uint64_t now = begin;

    do {
        bool worked = mr_net_dpdk_poll(transport->net, now);

        worked |= mr_net_dpdk_flush(transport->net, now);
        if (worked) {
            return true;
        }
        if (may_wait) {
            usleep(PAUSE_US);
        }
        now = mr_clock_now_ns(&mr_clock_system);
    } while (may_wait && now - begin < QUIET_NS);
    return false;
}

static struct transport_peer *
dpdk_connect(struct transport *transport)
{
    struct dpdk_transport *self = MR_CONTAINER_OF(transport, struct dpdk_transport, base);
    struct transport_peer *peer = socket_peer_begin(ADDRESS, self->port);

    while (peer && !socket_peer_connected(&peer)) {
        dpdk_turn(transport, false);
    }
    return peer;
}

static void
dpdk_await(struct transport *transport, enum transport_answer answer, struct mr_net_target *out)
{
    struct dpdk_transport *self = MR_CONTAINER_OF(transport, struct dpdk_transport, base);

    socket_listener_open(&self->listener, PEER, answer);
    out->host = PEER;
    out->port = self->listener.port;
}

static struct transport_peer *
dpdk_accept(struct transport *transport)
{
    return socket_listener_accept(
        &MR_CONTAINER_OF(transport, struct dpdk_transport, base)->listener);
}

const struct transport_ops transport_dpdk = {
    .name = "dpdk",
    .bulk_bytes = 32u * 1024 * 1024,
    .kept_part = RESERVE_PART,
    .patience = 20,
    .create = dpdk_create,
    .destroy = dpdk_destroy,
    .turn = dpdk_turn,
    .connect = dpdk_connect,
    .await = dpdk_await,
    .accept = dpdk_accept,
    .send = socket_peer_send,
    .receive = socket_peer_receive,
    .finish = socket_peer_finish,
    .close = socket_peer_close,
    .reset = socket_peer_reset,
};
