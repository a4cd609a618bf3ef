/* bench/load/wire_io.c: sockets' manners over the transport contract. */
#include "bench/load/wire_io.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/net/wire.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"

#define PIECES      64u /* of a connection, on their way */
#define PIECE_BYTES (64u * 1024)
#define REST_NS     (100 * MR_NS_PER_US) /* what is due later than this lets the process rest */
#define REST_US     20

/* A copy of what is being sent. */
struct piece {
    struct mr_net_send send;
    struct iovec iov;
    bool busy;
    uint8_t bytes[PIECE_BYTES];
};

/* What has come and was not read yet. */
struct arrival {
    struct mr_net_buf *buf;
    const uint8_t *data;
    uint32_t size;
};

struct link {
    struct mr_net_conn *net; /* NULL: closed */
    bool used;
    bool connected;
    bool ended;
    int reason;
    struct piece *pieces;
    struct arrival *arrivals; /* a ring of as many as there are packets */
    uint32_t first;
    uint32_t count;
};

static struct wire wire;
static struct link links[LOAD_CONNECTIONS_MAX + 1];

/* ---- the transport's side -------------------------------------------------------------------- */

static void *
on_accepted(void *context, struct mr_net_conn *net, const char *host)
{
    (void)context;
    (void)net;
    (void)host;
    return NULL; /* nobody is asked to come */
}

static void
on_connected(void *user, struct mr_net_conn *net)
{
    struct link *link = user;

    (void)net;
    link->connected = true;
}

static void
on_received(void *user, struct mr_net_buf *buf, const uint8_t *data, uint32_t size)
{
    struct link *link = user;

    MR_ASSERT(link->count < wire.packets); /* each has a packet of its own */
    link->arrivals[(link->first + link->count++) % wire.packets] =
        (struct arrival){buf, data, size};
}

static void
on_leaving(void *user)
{
    (void)user; /* nothing is ever paused */
}

static void
on_closed(void *user, int reason)
{
    struct link *link = user;

    link->ended = true;
    link->reason = reason;
    link->net = NULL;
}

static void
on_sent(struct mr_net_send *send, int result)
{
    (void)result; /* `closed` says what has happened */
    MR_CONTAINER_OF(send, struct piece, send)->busy = false;
}

/* ---- sockets' manners ------------------------------------------------------------------------ */

static struct piece *
free_piece(struct link *link)
{
    for (unsigned i = 0; i < PIECES; i++) {
        if (!link->pieces[i].busy) {
            return &link->pieces[i];
        }
    }
    return NULL;
}

static bool
ready(struct link *link, short events)
{
    return link->ended || ((events & POLLIN) && link->count > 0) ||
           ((events & POLLOUT) && link->connected && free_piece(link));
}

static int
link_wait(int handle, short events, uint64_t deadline_ns)
{
    while (!ready(&links[handle], events)) {
        if (mr_clock_now_ns(&mr_clock_system) >= deadline_ns) {
            return -ETIMEDOUT;
        }
        wire_turn(&wire);
    }
    return 0;
}

static void
link_close(int handle)
{
    struct link *link = &links[handle];

    if (link->net) {
        mr_net_close(link->net);
    }
    while (!link->ended) {
        wire_turn(&wire);
    }
    while (link->count > 0) {
        mr_net_buf_release(link->arrivals[link->first].buf);
        link->first = (link->first + 1) % wire.packets;
        link->count--;
    }
    free(link->pieces);
    free(link->arrivals);
    link->used = false;
}

static int
link_dial(const char *host, const char *port, unsigned timeout_ms)
{
    struct mr_net_target target = {.host = host,
                                   .port = (uint16_t)strtoul(port, NULL, 10),
                                   .timeout_ns = timeout_ms * MR_NS_PER_MS};
    int handle = 0;
    struct link *link;
    int error;

    while (links[handle].used) {
        handle++;
        MR_ASSERT(handle <= LOAD_CONNECTIONS_MAX);
    }
    link = &links[handle];
    *link = (struct link){.used = true,
                          .pieces = calloc(PIECES, sizeof(*link->pieces)),
                          .arrivals = calloc(wire.packets, sizeof(*link->arrivals))};
    if (!link->pieces || !link->arrivals) {
        link->ended = true;
        link_close(handle);
        return -ENOMEM;
    }
    error = mr_net_connect(wire.net, &target, link, &link->net);
    link->ended = error != 0;
    if (!error) {
        error = link_wait(handle, POLLOUT, mr_clock_now_ns(&mr_clock_system) + target.timeout_ns);
        error = link->ended && !error ? link->reason : error;
    }
    if (error) {
        link_close(handle);
    }
    return error ? error : handle;
}

static ssize_t
link_send(int handle, const struct iovec *iov, unsigned count)
{
    struct link *link = &links[handle];
    struct piece *piece = free_piece(link);
    size_t size = 0;

    if (link->ended) {
        return -EPIPE;
    }
    if (!piece) {
        return -EAGAIN;
    }
    for (unsigned i = 0; i < count && size < PIECE_BYTES; i++) {
        size_t part = iov[i].iov_len;

        part = part < PIECE_BYTES - size ? part : PIECE_BYTES - size;
        memcpy(piece->bytes + size, iov[i].iov_base, part);
        size += part;
    }
    piece->busy = true;
    piece->iov = (struct iovec){piece->bytes, size};
    piece->send = (struct mr_net_send){.done = on_sent, .iov = &piece->iov, .iov_count = 1};
    mr_net_send(link->net, &piece->send);
    return (ssize_t)size;
}

static ssize_t
link_receive(int handle, void *to, size_t size)
{
    struct link *link = &links[handle];
    size_t got = 0;

    while (got < size && link->count > 0) {
        struct arrival *arrival = &link->arrivals[link->first];
        size_t part = arrival->size < size - got ? arrival->size : size - got;

        memcpy((uint8_t *)to + got, arrival->data, part);
        got += part;
        arrival->data += part;
        arrival->size -= (uint32_t)part;
        if (arrival->size == 0) {
            mr_net_buf_release(arrival->buf);
            link->first = (link->first + 1) % wire.packets;
            link->count--;
        }
    }
    if (got > 0) {
        return (ssize_t)got;
    }
    return link->ended ? link->reason : -EAGAIN;
}

static const struct mr_client_io io = {
    .dial = link_dial,
    .send = link_send,
    .receive = link_receive,
    .wait = link_wait,
    .close = link_close,
};

/* ---- life ------------------------------------------------------------------------------------ */

const struct mr_client_io *
load_wire_open(const struct load_options *options)
{
    static const struct mr_net_events events = {
        .accepted = on_accepted,
        .connected = on_connected,
        .received = on_received,
        .leaving = on_leaving,
        .closed = on_closed,
    };

    wire_init(&wire);
    wire.dpdk = true;
    wire.device = options->device;
    wire.address = options->address;
    wire.mtu = (uint16_t)options->mtu;
    wire.trusted = options->trusted;
    wire.connections_max = (uint32_t)options->connections + 1;
    wire.sends_max = wire.connections_max * PIECES;
    return wire_open(&wire, &events) == 0 ? &io : NULL;
}

void
load_wire_turn(uint64_t due_ns)
{
    uint64_t work_cycles = wire.work_cycles;

    wire_turn(&wire);
    if (wire.work_cycles != work_cycles) {
        return;
    }
    if (due_ns > mr_clock_now_ns(&mr_clock_system) + REST_NS) {
        usleep(REST_US);
    } else {
        sched_yield(); /* to the kernel's threads, which finish the broker's writes here too */
    }
}
