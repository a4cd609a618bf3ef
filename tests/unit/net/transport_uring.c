/* tests/unit/net/transport_uring.c: net_uring in the suite; its peers are kernel sockets on
 * loopback. */
#include <stdlib.h>

#include "dataplane/base/clock.h"
#include "dataplane/base/uring.h"
#include "tests/mr_test.h"
#include "tests/unit/net/transport_socket.h"

#define QUIET_NS    (2 * MR_NS_PER_MS)
#define QUIET_TURNS 3u
#define LAST_TURNS  10u
#define PAGE        4096u

struct uring_transport {
    struct transport base;
    struct mr_uring uring;
    uint8_t *arena;
    uint16_t port;
    struct socket_listener listener;
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
    self->listener.fd = -1;
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
    socket_listener_close(&self->listener);
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
    struct transport_peer *peer = socket_peer_begin("127.0.0.1", uring_of(transport)->port);

    while (peer && !socket_peer_connected(&peer)) {
    }
    return peer;
}

static void
uring_await(struct transport *transport, enum transport_answer answer, struct mr_net_target *out)
{
    struct uring_transport *self = uring_of(transport);

    socket_listener_open(&self->listener, "127.0.0.1", answer);
    out->host = "127.0.0.1";
    out->port = self->listener.port;
}

static struct transport_peer *
uring_accept(struct transport *transport)
{
    return socket_listener_accept(&uring_of(transport)->listener);
}

const struct transport_ops transport_uring = {
    .name = "uring",
    .bulk_bytes = 32u * 1024 * 1024,
    .patience = 5,
    .create = uring_create,
    .destroy = uring_destroy,
    .turn = uring_turn,
    .connect = uring_connect,
    .await = uring_await,
    .accept = uring_accept,
    .send = socket_peer_send,
    .receive = socket_peer_receive,
    .finish = socket_peer_finish,
    .close = socket_peer_close,
    .reset = socket_peer_reset,
};
