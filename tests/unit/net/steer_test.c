/* Goal: a packet reaches the shard of its connection, whichever queue it arrives at, and a
 * connection that a shard opens is its own. Method: the hash beside DPDK's; then two transports on
 * two queues of an AF_PACKET device, whose hash is not ours, with kernel sockets at the other end
 * of a veth pair (transport_dpdk.sh). First both open connections, so that what one queue hears of
 * ARP has to reach the other, too. Nothing ever waits for a queue whose shard was not told. */
#include <stdlib.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_thash.h>

#include "dataplane/base/clock.h"
#include "dataplane/base/rng.h"
#include "dataplane/net/net_dpdk.h"
#include "tests/mr_test.h"
#include "tests/unit/net/transport_socket.h"

#define ADDRESS     "10.98.0.1"
#define PEER        "10.98.0.2"
#define PORT        7000
#define SHARDS      2u
#define OPENED      8u /* of each shard */
#define CLIENTS     32u
#define BYTES       1000u
#define PATIENCE_NS (20 * MR_NS_PER_S)

static const char device[] =
    "net_af_packet0,iface=mrt0,qpairs=2,blocksz=16384,framesz=2048,framecnt=512,qdisc_bypass=1";

struct shard {
    struct mr_net *net;
    unsigned connected;
    unsigned accepted;
    unsigned received;
};

static struct shard shards[SHARDS];
static struct mr_dpdk_port port;
static bool told[SHARDS]; /* of packets that others have handed to it */

/* ---- the hash -------------------------------------------------------------------------------- */

static void
the_hash_is_that_of_rss_and_symmetric(void)
{
    uint8_t key[MR_DPDK_KEY_BYTES];
    struct mr_rng rng;

    mr_dpdk_steer_key(key);
    mr_rng_init(&rng, 1);
    for (unsigned i = 0; i < 10000; i++) {
        uint32_t a = (uint32_t)mr_rng_next(&rng);
        uint32_t b = (uint32_t)mr_rng_next(&rng);
        uint16_t a_port = (uint16_t)mr_rng_next(&rng);
        uint16_t b_port = (uint16_t)mr_rng_next(&rng);
        uint32_t tuple[3] = {a, b, (uint32_t)a_port << 16 | b_port};
        uint32_t hash = mr_dpdk_steer_hash(a, a_port, b, b_port);

        MR_CHECK_EQ(hash, rte_softrss(tuple, 3, key));
        MR_CHECK_EQ(hash, mr_dpdk_steer_hash(b, b_port, a, a_port));
    }
}

/* ---- two shards ------------------------------------------------------------------------------ */

static void *
on_accepted(void *context, struct mr_net_conn *conn, const char *host)
{
    struct shard *shard = context;

    (void)conn;
    (void)host;
    shard->accepted++;
    return shard;
}

static void
on_connected(void *user, struct mr_net_conn *conn)
{
    struct shard *shard = user;

    shard->connected++;
    mr_net_close(conn);
}

static void
on_received(void *user, struct mr_net_buf *buf, const uint8_t *data, uint32_t size)
{
    struct shard *shard = user;

    (void)data;
    shard->received += size;
    mr_net_buf_release(buf);
}

static void
on_leaving(void *user)
{
    (void)user; /* nothing is ever paused */
}

static void
on_closed(void *user, int reason)
{
    (void)user;
    MR_CHECK_EQ(reason, 0);
}

static void
on_handed(void *context, uint16_t queue)
{
    MR_CHECK(context == &port);
    MR_CHECK(mr_dpdk_steer_waiting(&port.steer, queue));
    told[queue] = true;
}

static void
open_shards(void)
{
    const char *arguments[] = {"steer_test",  "--no-huge",    "--no-pci", "--no-telemetry",
                               "--no-shconf", "--log-level",  "error",    "--lcores",
                               "0",           "--main-lcore", "0",        "-m",
                               "64",          "--vdev",       device};
    const struct mr_dpdk_port_config config = {
        .address = ADDRESS, .queue_count = SHARDS, .packets = 1024};
    char error[256] = "";

    MR_CHECK(
        rte_eal_init(sizeof(arguments) / sizeof(arguments[0]), (char **)(uintptr_t)arguments) >= 0);
    if (mr_dpdk_port_open(&config, &port, error, sizeof(error)) != 0) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    for (uint16_t i = 0; i < SHARDS; i++) {
        struct mr_net_dpdk_config net = {
            .port = &port,
            .queue = i,
            .clock = &mr_clock_system,
            .connections_max = CLIENTS,
            .sends_max = 1,
            .handed = on_handed,
            .handed_context = &port,
        };
        struct mr_net_events events = {
            .context = &shards[i],
            .accepted = on_accepted,
            .connected = on_connected,
            .received = on_received,
            .leaving = on_leaving,
            .closed = on_closed,
        };
        uint16_t bound;

        MR_CHECK_EQ(mr_net_dpdk_create(&net, &events, &shards[i].net), 0);
        MR_CHECK_EQ(mr_net_listen(shards[i].net, ADDRESS, PORT, &bound), 0);
    }
}

static void
turn(void)
{
    uint64_t now_ns = mr_clock_now_ns(&mr_clock_system);

    for (uint16_t i = 0; i < SHARDS; i++) {
        MR_CHECK(told[i] || !mr_dpdk_steer_waiting(&port.steer, i));
        mr_net_dpdk_poll(shards[i].net, now_ns);
        told[i] = mr_dpdk_steer_waiting(&port.steer, i);
        mr_net_dpdk_flush(shards[i].net, now_ns);
    }
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        uint64_t until_end_ns = mr_clock_now_ns(&mr_clock_system) + PATIENCE_NS;                   \
        while (!(condition) && mr_clock_now_ns(&mr_clock_system) < until_end_ns) {                 \
            turn();                                                                                \
        }                                                                                          \
        MR_CHECK(condition);                                                                       \
    } while (0)

static void
each_shard_opens_connections_of_its_own(void)
{
    struct socket_listener listener = {.fd = -1};
    struct mr_net_target target = {.host = PEER, .timeout_ns = PATIENCE_NS};

    socket_listener_open(&listener, PEER, TRANSPORT_ACCEPTS);
    target.port = listener.port;
    for (unsigned i = 0; i < SHARDS * OPENED; i++) {
        struct shard *shard = &shards[i % SHARDS];
        struct mr_net_conn *conn;

        MR_CHECK_EQ(mr_net_connect(shard->net, &target, shard, &conn), 0);
    }
    UNTIL(shards[0].connected == OPENED && shards[1].connected == OPENED);
    UNTIL(shards[0].net->connections == 0 && shards[1].net->connections == 0);
    socket_listener_close(&listener);
}

static void
clients_reach_one_shard_each(void)
{
    static const uint8_t bytes[BYTES];
    struct transport_peer *peers[CLIENTS];
    struct mr_net_dpdk_counters counters;
    uint64_t handed = 0;

    for (unsigned i = 0; i < CLIENTS; i++) {
        peers[i] = socket_peer_begin(ADDRESS, PORT);
        MR_CHECK(peers[i] != NULL);
        UNTIL(socket_peer_connected(&peers[i]));
        MR_CHECK(peers[i] != NULL);
        MR_CHECK_EQ(socket_peer_send(peers[i], bytes, BYTES), BYTES);
    }
    UNTIL(shards[0].received + shards[1].received == CLIENTS * BYTES);
    MR_CHECK_EQ(shards[0].accepted + shards[1].accepted, CLIENTS);
    MR_CHECK(shards[0].accepted > 0 && shards[1].accepted > 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        socket_peer_close(peers[i]);
    }
    UNTIL(shards[0].net->connections == 0 && shards[1].net->connections == 0);
    for (unsigned i = 0; i < SHARDS; i++) {
        mr_net_dpdk_counters(shards[i].net, &counters);
        handed += counters.handed_over;
        MR_CHECK_EQ(shards[i].net->buffers_free, shards[i].net->buffers_max);
        MR_CHECK_EQ(counters.dropped, 0);
    }
    MR_CHECK(handed > 0);
}

int
main(void)
{
    the_hash_is_that_of_rss_and_symmetric();
    open_shards();
    each_shard_opens_connections_of_its_own();
    clients_reach_one_shard_each();
    for (unsigned i = 0; i < SHARDS; i++) {
        mr_net_listen_stop(shards[i].net);
        mr_net_destroy(shards[i].net);
    }
    mr_dpdk_port_close(&port);
    printf("passed\n");
    return 0;
}
