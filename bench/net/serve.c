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

#include "bench/net/bare.h"
#include "bench/net/pattern.h"
#include "bench/net/wire.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"

#define SENDS_PER_CONN 4u /* of the bulk mode */
#define LINGER_NS      (20 * MR_NS_PER_S)

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
    struct wire wire;
    const char *host;
    uint16_t port;
    bool unchecked;
    bool bare;
    struct net_pattern pattern;
    struct mr_list items;
    uint64_t accepted;
    uint64_t wrong;
};

static struct server server;
static volatile sig_atomic_t stop;

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
    conn->wrong |= !server.unchecked && !net_pattern_same(&server.pattern, conn->done, data, size);
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

static void
print_counters(void)
{
    struct mr_net *net = server.wire.net;
    struct mr_net_dpdk_counters counters = {0};
    uint64_t cycles = 0;

    if (server.wire.dpdk) {
        mr_net_dpdk_counters(net, &counters);
        cycles = server.wire.work_cycles;
    }
    printf("cycles %llu, packets in %llu, out %llu, bytes in %llu, out %llu\n",
           (unsigned long long)cycles, (unsigned long long)counters.packets_in,
           (unsigned long long)counters.packets_out, (unsigned long long)net->bytes_received,
           (unsigned long long)net->bytes_sent);
    printf(
        "accepted %llu, wrong %llu, received %llu, sent %llu, connections %u, buffers %u of %u\n",
        (unsigned long long)server.accepted, (unsigned long long)server.wrong,
        (unsigned long long)net->bytes_received, (unsigned long long)net->bytes_sent,
        net->connections, net->buffers_free, net->buffers_max);
}

static void
serve(void)
{
    struct mr_net *net = server.wire.net;
    uint64_t end_ns = UINT64_MAX;

    while (!stop || (net->connections > 0 && mr_clock_now_ns(&mr_clock_system) < end_ns)) {
        if (stop && end_ns == UINT64_MAX) {
            end_ns = mr_clock_now_ns(&mr_clock_system) + LINGER_NS;
            mr_net_listen_stop(net);
        }
        wire_turn(&server.wire);
    }
    print_counters();
}

/* ---- arguments ------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: mr_net_serve --transport kernel|dpdk --listen HOST:PORT [--device VDEV [--beside "
    "VDEV]]\n"
    "                    [--connections N] [--packets N] [--mtu BYTES] [--huge] [--sleep-us US]\n"
    "                    [--unchecked] [--bare]\n" WIRE_USAGE
    "--unchecked does not look at the bytes that it receives. --bare: every frame of the device "
    "is\n"
    "sent back as it came.\n";

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
    static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
                                            {"connections", required_argument, NULL, 'c'},
                                            {"unchecked", no_argument, NULL, 'u'},
                                            {"bare", no_argument, NULL, 'b'},
                                            WIRE_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    int which;

    wire_init(&server.wire);
    while ((which = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (which) {
        case 'l':
            if (!parse_listen(optarg)) {
                return false;
            }
            break;
        case 'c':
            server.wire.connections_max = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'u':
            server.unchecked = true;
            break;
        case 'b':
            server.bare = true;
            break;
        default:
            if (!wire_option(&server.wire, which, optarg)) {
                return false;
            }
        }
    }
    server.wire.address = server.host;
    server.wire.sends_max = server.wire.connections_max * SENDS_PER_CONN;
    return server.host && server.wire.connections_max > 0 && (!server.bare || server.wire.dpdk);
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
    error = wire_open(&server.wire, &events);
    error = error ? error : mr_net_listen(server.wire.net, server.host, server.port, &port);
    if (error) {
        fprintf(stderr, "mr_net_serve: %s\n", strerror(-error));
        return 1;
    }
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    printf("listening\n");
    fflush(stdout);
    if (server.bare) {
        bare_return(&server.wire.port, &stop);
    } else {
        serve();
    }
    return server.wrong > 0;
}
