/* tests/unit/net/transport_sim.c: net_sim in the suite. The seed also chooses window and delays. */
#include <stdlib.h>

#include "dataplane/base/clock.h"
#include "dataplane/net/net_sim.h"
#include "tests/mr_test.h"
#include "tests/unit/net/transport.h"

struct sim_transport {
    struct transport base;
    struct mr_clock_sim clock;
};

static struct transport *
sim_create(const struct transport_limits *limits, const struct mr_net_events *events)
{
    static const uint32_t windows[] = {65536, 1024, 16384, 5000};
    struct sim_transport *sim = calloc(1, sizeof(*sim));
    struct mr_net_sim_config config = {
        .clock = &sim->clock,
        .seed = limits->seed,
        .delay_ns_max = limits->seed % 3 * MR_NS_PER_MS,
        .vanish_ns = 60 * MR_NS_PER_S,
        .window_bytes = windows[limits->seed % 4],
        .buffer_count = limits->buffer_count,
        .buffer_size = limits->buffer_size,
        .connections_max = limits->connections_max,
    };
    uint16_t port;

    MR_CHECK(sim != NULL);
    mr_clock_sim_init(&sim->clock, 0);
    sim->base.ops = &transport_sim;
    MR_CHECK_EQ(mr_net_sim_create(&config, events, &sim->base.net), 0);
    MR_CHECK_EQ(mr_net_listen(sim->base.net, "10.0.0.2", 0, &port), 0);
    return &sim->base;
}

static void
sim_destroy(struct transport *transport)
{
    mr_net_destroy(transport->net);
    free(MR_CONTAINER_OF(transport, struct sim_transport, base));
}

static bool
sim_turn(struct transport *transport, bool may_wait)
{
    (void)may_wait; /* time is virtual */
    return mr_net_sim_step(transport->net);
}

static struct transport_peer *
sim_connect(struct transport *transport)
{
    return (struct transport_peer *)mr_net_sim_connect(transport->net);
}

static void
sim_await(struct transport *transport, enum transport_answer answer, struct mr_net_target *out)
{
    static const enum mr_net_sim_answer answers[] = {
        [TRANSPORT_ACCEPTS] = MR_NET_SIM_ACCEPT,
        [TRANSPORT_REFUSES] = MR_NET_SIM_REFUSE,
        [TRANSPORT_SILENT] = MR_NET_SIM_SILENT,
    };

    mr_net_sim_answer(transport->net, answers[answer]);
    out->host = "10.0.0.1";
    out->port = 1;
}

static struct transport_peer *
sim_accept(struct transport *transport)
{
    return (struct transport_peer *)mr_net_sim_accept(transport->net);
}

static ssize_t
sim_send(struct transport_peer *peer, const void *data, size_t size)
{
    return mr_net_sim_peer_send((struct mr_net_sim_peer *)peer, data, size);
}

static ssize_t
sim_receive(struct transport_peer *peer, void *out, size_t size)
{
    return mr_net_sim_peer_receive((struct mr_net_sim_peer *)peer, out, size);
}

static void
sim_finish(struct transport_peer *peer)
{
    mr_net_sim_peer_finish((struct mr_net_sim_peer *)peer);
}

static void
sim_close(struct transport_peer *peer)
{
    mr_net_sim_peer_close((struct mr_net_sim_peer *)peer);
}

static void
sim_reset(struct transport_peer *peer)
{
    mr_net_sim_peer_reset((struct mr_net_sim_peer *)peer);
}

static void
sim_vanish(struct transport_peer *peer)
{
    mr_net_sim_peer_vanish((struct mr_net_sim_peer *)peer);
}

const struct transport_ops transport_sim = {
    .name = "sim",
    .bulk_bytes = 256u * 1024,
    .patience = 1,
    .create = sim_create,
    .destroy = sim_destroy,
    .turn = sim_turn,
    .connect = sim_connect,
    .await = sim_await,
    .accept = sim_accept,
    .send = sim_send,
    .receive = sim_receive,
    .finish = sim_finish,
    .close = sim_close,
    .reset = sim_reset,
    .vanish = sim_vanish,
};
