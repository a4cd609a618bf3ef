/* tests/unit/net/transport_uring.c: net_uring in the suite; its peers are kernel sockets on
 * loopback. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/base/clock.h"
#include "dataplane/base/uring.h"
#include "tests/mr_test.h"
#include "tests/unit/net/transport.h"

#define QUIET_NS    (2 * MR_NS_PER_MS)
#define QUIET_TURNS 3u
#define LAST_TURNS  10u
#define PAGE        4096u

struct uring_transport {
    struct transport base;
    struct mr_uring uring;
    uint8_t *arena;
    uint16_t port;
};

struct transport_peer {
    int fd;
};

static struct uring_transport *
uring_of(struct transport *transport)
{
    return MR_CONTAINER_OF(transport, struct uring_transport, base);
}

static struct transport *
uring_create(const struct transport_limits *limits, const struct mr_net_events *events)
{
    struct uring_transport *self = calloc(1, sizeof(*self));
    struct mr_net_uring_config config = {
        .buffer_count = limits->buffer_count,
        .buffer_size = limits->buffer_size,
        .connections_max = limits->connections_max,
    };

    MR_CHECK(self != NULL);
    self->base.ops = &transport_uring;
    self->arena = aligned_alloc(PAGE, (size_t)limits->buffer_count * limits->buffer_size);
    MR_CHECK(self->arena != NULL);
    MR_CHECK_EQ(mr_uring_init(&self->uring, 64), 0);
    config.uring = &self->uring;
    config.arena = self->arena;
    MR_CHECK_EQ(mr_net_uring_create(&config, events, &self->base.net), 0);
    MR_CHECK_EQ(mr_net_listen(self->base.net, "127.0.0.1", 0, &self->port), 0);
    mr_uring_submit(&self->uring);
    return &self->base;
}

static void
uring_destroy(struct transport *transport)
{
    struct uring_transport *self = uring_of(transport);

    mr_net_listen_stop(transport->net);
    for (unsigned i = 0; i < LAST_TURNS; i++) { /* the accept ends, which names the transport */
        mr_uring_wait(&self->uring, MR_NS_PER_MS);
        mr_uring_reap(&self->uring, UINT32_MAX);
    }
    mr_net_destroy(transport->net);
    mr_uring_close(&self->uring);
    free(self->arena);
    free(self);
}

/* What peers have done takes a while to get through the kernel. */
static bool
uring_turn(struct transport *transport, bool may_wait)
{
    struct uring_transport *self = uring_of(transport);

    mr_uring_submit(&self->uring);
    for (unsigned i = 0; i < QUIET_TURNS; i++) {
        if (mr_uring_reap(&self->uring, 64) > 0) {
            mr_uring_submit(&self->uring);
            return true;
        }
        if (!may_wait) {
            return false;
        }
        mr_uring_wait(&self->uring, QUIET_NS);
    }
    return mr_uring_reap(&self->uring, 64) > 0;
}

static struct transport_peer *
uring_connect(struct transport *transport)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(uring_of(transport)->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct transport_peer *peer = calloc(1, sizeof(*peer));
    int flags;

    MR_CHECK(peer != NULL);
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MR_CHECK(peer->fd >= 0);
    if (connect(peer->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        MR_CHECK_EQ(errno, ECONNREFUSED);
        close(peer->fd);
        free(peer);
        return NULL;
    }
    flags = fcntl(peer->fd, F_GETFL);
    MR_CHECK_EQ(fcntl(peer->fd, F_SETFL, flags | O_NONBLOCK), 0);
    return peer;
}

static ssize_t
uring_send(struct transport_peer *peer, const void *data, size_t size)
{
    ssize_t sent = send(peer->fd, data, size, MSG_NOSIGNAL);

    return sent < 0 ? -errno : sent;
}

static ssize_t
uring_receive(struct transport_peer *peer, void *out, size_t size)
{
    ssize_t got = recv(peer->fd, out, size, 0);

    return got < 0 ? -errno : got;
}

static void
uring_finish(struct transport_peer *peer)
{
    shutdown(peer->fd, SHUT_WR); /* fails where the connection has been reset, which is as good */
}

static void
uring_close(struct transport_peer *peer)
{
    close(peer->fd);
    free(peer);
}

static void
uring_reset(struct transport_peer *peer)
{
    struct linger linger = {.l_onoff = 1};

    setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    uring_close(peer);
}

const struct transport_ops transport_uring = {
    .name = "uring",
    .bulk_bytes = 32u * 1024 * 1024,
    .create = uring_create,
    .destroy = uring_destroy,
    .turn = uring_turn,
    .connect = uring_connect,
    .send = uring_send,
    .receive = uring_receive,
    .finish = uring_finish,
    .close = uring_close,
    .reset = uring_reset,
};
