/* bench/net/serve.c: `mr_net_serve`, a server over the transport contract (net.h): echo and bulk,
 * by kernel sockets or by a DPDK device and our own TCP. pattern.h says what clients ask for.
 *
 * One thread that polls; with --sleep-us it sleeps when nothing is to do, as a shard does. Prints a
 * line when it listens; at SIGTERM it lets its connections end, and prints its counters. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_eal.h>

#include "bench/net/pattern.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/uring.h"
#include "dataplane/net/net.h"
#include "dataplane/net/net_dpdk.h"

#define RING_ENTRIES    1024u
#define BUFFER_COUNT    1024u
#define BUFFER_SIZE     16384u
#define SENDS_PER_CONN  4u /* of the bulk mode */
#define REAP_MAX        256u
#define QUIET_TURNS     200u /* without work, before it sleeps */
#define EAL_MEGABYTES   "256"
#define PACKETS_DEFAULT 8192u
#define LINGER_NS       (20 * MR_NS_PER_S)

struct server;

struct conn {
    struct server *server;
    struct mr_net_conn *net; /* NULL once closed */
    uint8_t request[NET_REQUEST_BYTES];
    uint32_t request_size;
    uint64_t count; /* asked for */
    uint64_t done;  /* received, or queued to be sent */
    uint32_t sends; /* under way */
    bool wrong;     /* a byte was not the pattern's */
};

/* One send: of the pattern, or of a received buffer. */
struct item {
    struct mr_net_send send;
    struct mr_list node;
    struct iovec iov;
    struct conn *conn;
    struct mr_net_buf *buf; /* NULL: of the pattern */
};

struct server {
    struct mr_net *net;
    struct mr_uring uring;
    bool dpdk;
    const char *host;
    const char *device;
    uint16_t port;
    uint32_t connections_max;
    uint32_t packets;
    unsigned sleep_us;
    struct mr_dpdk_port dpdk_port;
    struct net_pattern pattern;
    struct mr_list items;
    uint64_t accepted;
    uint64_t wrong;
};

static struct server server;
static sig_atomic_t stop;

static void
on_signal(int number)
{
    (void)number;
    stop = 1;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void pump(struct conn *conn);

static void
conn_release(struct conn *conn)
{
    if (!conn->net && conn->sends == 0) {
        free(conn);
    }
}

static void
on_done(struct mr_net_send *send, int result)
{
    struct item *item = MR_CONTAINER_OF(send, struct item, send);
    struct conn *conn = item->conn;

    if (item->buf) {
        mr_net_buf_release(item->buf);
    }
    mr_list_push_front(&server.items, &item->node);
    conn->sends--;
    if (result == 0 && conn->net && conn->request[0] == 'o') {
        pump(conn);
    }
    conn_release(conn);
}

static void
submit(struct conn *conn, const uint8_t *data, size_t size, struct mr_net_buf *buf)
{
    struct mr_list *node = mr_list_pop_front(&server.items);
    struct item *item = node ? MR_CONTAINER_OF(node, struct item, node) : malloc(sizeof(*item));

    MR_ASSERT(item);
    *item = (struct item){.conn = conn, .buf = buf};
    item->iov = (struct iovec){(void *)(uintptr_t)data, size};
    item->send = (struct mr_net_send){.done = on_done, .iov = &item->iov, .iov_count = 1};
    conn->sends++;
    mr_net_send(conn->net, &item->send);
}

static void
pump(struct conn *conn)
{
    while (conn->sends < SENDS_PER_CONN && conn->done < conn->count) {
        uint64_t left = conn->count - conn->done;
        size_t size = left < NET_PATTERN_PIECE ? (size_t)left : NET_PATTERN_PIECE;

        submit(conn, net_pattern_at(&server.pattern, conn->done), size, NULL);
        conn->done += size;
    }
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void *
on_accepted(void *context, struct mr_net_conn *net, const char *host)
{
    struct conn *conn = calloc(1, sizeof(*conn));

    (void)context;
    (void)host;
    if (conn) {
        conn->net = net;
        server.accepted++;
    }
    return conn;
}

static void
take_bulk(struct conn *conn, const uint8_t *data, uint32_t size)
{
    conn->wrong |= !net_pattern_same(&server.pattern, conn->done, data, size);
    conn->done += size;
    if (conn->wrong || conn->done > conn->count) {
        server.wrong++;
        mr_net_close(conn->net);
    } else if (conn->done == conn->count) {
        submit(conn, (const uint8_t *)"k", 1, NULL);
    }
}

static void
on_received(void *user, struct mr_net_buf *buf, const uint8_t *data, uint32_t size)
{
    struct conn *conn = user;

    while (size > 0 && conn->request_size < NET_REQUEST_BYTES) {
        conn->request[conn->request_size++] = *data++;
        size--;
        if (conn->request_size == NET_REQUEST_BYTES) {
            conn->count = mr_le64_get(conn->request + 1);
            if (conn->request[0] == 'o') {
                pump(conn);
            }
        }
    }
    if (size > 0 && conn->request[0] == 'e') {
        submit(conn, data, size, buf);
        return;
    }
    if (size > 0 && conn->request[0] == 'i') {
        take_bulk(conn, data, size);
    }
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
    struct conn *conn = user;

    (void)reason;
    conn->net = NULL;
    conn_release(conn);
}

static const struct mr_net_events events = {
    .accepted = on_accepted,
    .received = on_received,
    .leaving = on_leaving,
    .closed = on_closed,
};

/* ---- the transports -------------------------------------------------------------------------- */

static int
create_kernel(void)
{
    struct mr_net_uring_config config = {
        .uring = &server.uring,
        .buffer_count = BUFFER_COUNT,
        .buffer_size = BUFFER_SIZE,
        .connections_max = server.connections_max,
    };
    int error = mr_uring_init(&server.uring, RING_ENTRIES);

    config.arena = mmap(NULL, (size_t)BUFFER_COUNT * BUFFER_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (error || config.arena == MAP_FAILED) {
        return error ? error : -ENOMEM;
    }
    return mr_net_uring_create(&config, &events, &server.net);
}

static int
create_dpdk(void)
{
    const char *arguments[] = {
        "mr_net_serve", "--no-huge", "--no-pci",   "--no-telemetry", "--no-shconf", "--log-level",
        "error",        "--lcores",  "",           "--main-lcore",   "0",           "-m",
        EAL_MEGABYTES,  "--vdev",    server.device};
    struct mr_net_dpdk_config config = {
        .port = &server.dpdk_port,
        .clock = &mr_clock_system,
        .connections_max = server.connections_max,
        .sends_max = server.connections_max * SENDS_PER_CONN + server.packets,
    };
    char reason[256];
    char lcores[32];
    int error;

    snprintf(lcores, sizeof(lcores), "0@(0-%ld)", sysconf(_SC_NPROCESSORS_ONLN) - 1);
    arguments[8] = lcores;
    if (rte_eal_init(sizeof(arguments) / sizeof(arguments[0]), (char **)(uintptr_t)arguments) < 0) {
        return -EIO;
    }
    error = mr_dpdk_port_open(server.host, 1, server.packets, false, &server.dpdk_port, reason,
                              sizeof(reason));
    if (error) {
        fprintf(stderr, "mr_net_serve: %s\n", reason);
        return error;
    }
    return mr_net_dpdk_create(&config, &events, &server.net);
}

/* One turn; true: there was work. */
static bool
turn(void)
{
    uint64_t now;
    bool worked;

    if (!server.dpdk) {
        mr_uring_submit(&server.uring);
        return mr_uring_reap(&server.uring, REAP_MAX) > 0;
    }
    now = mr_clock_now_ns(&mr_clock_system);
    worked = mr_net_dpdk_poll(server.net, now);
    worked |= mr_net_dpdk_flush(server.net, now);
    return worked;
}

static void
rest(void)
{
    if (server.sleep_us == 0) {
        return;
    }
    if (server.dpdk) {
        usleep(server.sleep_us);
    } else {
        mr_uring_wait(&server.uring, MR_NS_PER_S / 10);
    }
}

static void
serve(void)
{
    unsigned quiet = 0;
    uint64_t end_ns = UINT64_MAX;

    while (!stop || (server.net->connections > 0 && mr_clock_now_ns(&mr_clock_system) < end_ns)) {
        if (stop && end_ns == UINT64_MAX) {
            end_ns = mr_clock_now_ns(&mr_clock_system) + LINGER_NS;
            mr_net_listen_stop(server.net);
        }
        quiet = turn() ? 0 : quiet + 1;
        if (quiet > QUIET_TURNS) {
            rest();
        }
    }
    printf(
        "accepted %llu, wrong %llu, received %llu, sent %llu, connections %u, buffers %u of %u\n",
        (unsigned long long)server.accepted, (unsigned long long)server.wrong,
        (unsigned long long)server.net->bytes_received, (unsigned long long)server.net->bytes_sent,
        server.net->connections, server.net->buffers_free, server.net->buffers_max);
}

/* ---- arguments ------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: mr_net_serve --transport kernel|dpdk --listen HOST:PORT [--device VDEV]\n"
    "                    [--connections N] [--packets N] [--sleep-us US]\n"
    "--device names a DPDK device, such as net_af_packet0,iface=eth1. Without --sleep-us it "
    "spins.\n";

static bool
parse_listen(char *text)
{
    char *colon = strrchr(text, ':');

    if (!colon) {
        return false;
    }
    *colon = 0;
    server.host = text;
    server.port = (uint16_t)strtoul(colon + 1, NULL, 10);
    return server.port > 0;
}

static bool
parse(int argc, char **argv)
{
    static const struct option options[] = {{"transport", required_argument, NULL, 't'},
                                            {"listen", required_argument, NULL, 'l'},
                                            {"device", required_argument, NULL, 'd'},
                                            {"connections", required_argument, NULL, 'c'},
                                            {"packets", required_argument, NULL, 'p'},
                                            {"sleep-us", required_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    int which;

    server.connections_max = 1024;
    server.packets = PACKETS_DEFAULT;
    while ((which = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (which) {
        case 't':
            server.dpdk = strcmp(optarg, "dpdk") == 0;
            break;
        case 'l':
            if (!parse_listen(optarg)) {
                return false;
            }
            break;
        case 'd':
            server.device = optarg;
            break;
        case 'c':
            server.connections_max = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'p':
            server.packets = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 's':
            server.sleep_us = (unsigned)strtoul(optarg, NULL, 10);
            break;
        default:
            return false;
        }
    }
    return server.host && server.connections_max > 0 && (!server.dpdk || server.device);
}

int
main(int argc, char **argv)
{
    uint16_t port;
    int error;

    if (!parse(argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    net_pattern_init(&server.pattern);
    mr_list_init(&server.items);
    error = server.dpdk ? create_dpdk() : create_kernel();
    error = error ? error : mr_net_listen(server.net, server.host, server.port, &port);
    if (error) {
        fprintf(stderr, "mr_net_serve: %s\n", strerror(-error));
        return 1;
    }
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    printf("listening\n");
    fflush(stdout);
    serve();
    return server.wrong > 0;
}
