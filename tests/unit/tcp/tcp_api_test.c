/* tests/unit/tcp/tcp_api_test.c: what the contract of tcp.h promises at its limits. Method: two
 * stacks over a perfect wire (tests/sim/tcp_world.h), or one and forged segments. */
#include <errno.h>

#include "dataplane/base/endian.h"
#include "dataplane/tcp/tcp_priv.h"
#include "tests/mr_test.h"
#include "tests/sim/tcp_app.h"

static struct app app;

static void
hosts_start(struct mr_tcp_config *config)
{
    app_init(&app, 1);
    app_host(&app, 0, config);
    app_host(&app, 1, config);
}

static void
hosts_stop(void)
{
    app_settle(&app);
    MR_CHECK(app_clean(&app));
    app_destroy(&app);
}

/* Goal: configurations that make no sense are refused. */
MR_TEST(a_config_without_sense_is_refused)
{
    struct mr_tcp_config config;
    struct mr_tcp_ops ops = {0};
    struct mr_tcp_events events = {0};
    struct mr_tcp *tcp;

    mr_tcp_config_init(&config);
    MR_CHECK_EQ(mr_tcp_create(&config, &ops, &events, 0, &tcp), -EINVAL); /* no address */
    config.address_count = 1;
    config.mtu = 575;
    MR_CHECK_EQ(mr_tcp_create(&config, &ops, &events, 0, &tcp), -EINVAL);
    config.mtu = 576;
    MR_CHECK_EQ(mr_tcp_create(&config, &ops, &events, 0, &tcp), 0);
    MR_CHECK_EQ(mr_tcp_deadline(tcp), UINT64_MAX);
    mr_tcp_destroy(tcp);
    mr_tcp_destroy(NULL);
}

/* Goal: listeners and ports are refused with the errors that the header names. */
MR_TEST(listeners_have_a_limit)
{
    struct mr_tcp_config config;
    struct mr_tcp *tcp;

    mr_tcp_config_init(&config);
    config.listeners_max = 2; /* the application's is the first */
    hosts_start(&config);
    tcp = app.world.hosts[0].tcp;
    MR_CHECK_EQ(mr_tcp_listen(tcp, 0, 9092), -EADDRINUSE);
    MR_CHECK_EQ(mr_tcp_listen(tcp, 12345, 1), -EADDRNOTAVAIL);
    MR_CHECK_EQ(mr_tcp_listen(tcp, 0, 1), 0);
    MR_CHECK_EQ(mr_tcp_listen(tcp, 0, 2), -ENOSPC);
    mr_tcp_listen_stop(tcp, 0, 1);
    MR_CHECK_EQ(mr_tcp_listen(tcp, 0, 2), 0);
    hosts_stop();
}

/* Goal: with every connection in use, one more is refused, and works again when one has ended. */
MR_TEST(connections_have_a_limit)
{
    struct mr_tcp_config config;
    struct mr_tcp_conn *conn;
    struct app_end *end;

    mr_tcp_config_init(&config);
    config.conns_max = config.half_open_max = 2;
    hosts_start(&config);
    end = app_connect(&app, 0, 10, 10);
    app_connect(&app, 0, 10, 10);
    MR_CHECK_EQ(mr_tcp_connect(end->host->tcp, 0, 0, end->peer->host->address, 9092, end,
                               app.world.now_ns, &conn),
                -ENOBUFS);
    MR_CHECK(app_run(&app, 10 * MR_NS_PER_S));
    /* They are in TIME_WAIT: the oldest makes room. */
    app_connect(&app, 0, 10, 10);
    MR_CHECK(app_run(&app, 10 * MR_NS_PER_S));
    MR_CHECK(mr_tcp_stats(app.world.hosts[0].tcp)->time_wait_recycled > 0);
    hosts_stop();
}

static int held_result;

static void
held_done(struct mr_tcp_send *send, int result)
{
    (void)send;
    held_result = result;
}

/* Goal: `done` waits for the last frame that holds the bytes. */
MR_TEST(a_held_send_is_not_done)
{
    static uint8_t bytes[100];
    struct iovec iov = {bytes, sizeof(bytes)};
    struct mr_tcp_send send = {.done = held_done, .iov = &iov, .iov_count = 1};
    struct mr_tcp_config config;
    struct app_end *end;

    mr_tcp_config_init(&config);
    hosts_start(&config);
    end = app_connect(&app, 0, 1, 1);
    end->send_total = 1000; /* and it does not end by itself */
    end->pending_max = 0;
    MR_CHECK(!app_run(&app, MR_NS_PER_S));
    held_result = 1;
    mr_tcp_send(end->conn, &send);
    mr_tcp_send_hold(&send);
    MR_CHECK(!app_run(&app, MR_NS_PER_S));
    MR_CHECK_EQ(held_result, 1);
    mr_tcp_send_unhold(&send);
    MR_CHECK(!app_run(&app, MR_NS_PER_S));
    MR_CHECK_EQ(held_result, 0);
    mr_tcp_abort(end->conn);
    app_run(&app, MR_NS_PER_S);
    hosts_stop();
}

/* Goal: a paused connection is told once a pause that its peer has left, and reads the rest when it
 * goes on. */
MR_TEST(a_paused_connection_learns_that_its_peer_leaves)
{
    static uint8_t bytes[100];
    struct iovec iov = {bytes, sizeof(bytes)};
    struct mr_tcp_send send = {.done = held_done, .iov = &iov, .iov_count = 1};
    struct mr_tcp_config config;
    struct app_end *end;

    mr_tcp_config_init(&config);
    hosts_start(&config);
    end = app_connect(&app, 0, 1, 1);
    end->send_total = end->peer->send_total = 1000; /* neither ends by itself */
    end->pending_max = end->peer->pending_max = 0;
    MR_CHECK(!app_run(&app, MR_NS_PER_S));
    mr_tcp_pause(end->peer->conn);
    mr_tcp_send(end->conn, &send);
    mr_tcp_shutdown(end->conn);
    MR_CHECK(!app_run(&app, MR_NS_PER_S));
    MR_CHECK_EQ(end->peer->leaving, 1);
    MR_CHECK(!end->peer->ended);
    mr_tcp_pause(end->peer->conn);
    MR_CHECK(!app_run(&app, MR_NS_PER_S));
    MR_CHECK_EQ(end->peer->leaving, 2);
    mr_tcp_resume(end->peer->conn);
    MR_CHECK(!app_run(&app, MR_NS_PER_S));
    MR_CHECK(end->peer->ended);
    MR_CHECK_EQ(end->peer->received, 100);
    mr_tcp_abort(end->conn);
    app_run(&app, MR_NS_PER_S);
    hosts_stop();
}

/* Goal: a flood of SYNs takes no memory and disturbs no connection. */
MR_TEST(a_flood_of_syns_is_answered_with_cookies)
{
    struct mr_tcp_config config;
    const struct mr_tcp_stats *stats;
    struct app_end *end;

    mr_tcp_config_init(&config);
    config.conns_max = 64;
    config.half_open_max = 16;
    hosts_start(&config);
    stats = mr_tcp_stats(app.world.hosts[1].tcp);
    end = app_connect(&app, 0, 4000000, 4000000);
    for (uint32_t i = 0; i < 100000; i++) {
        struct world_frame *frame = calloc(1, sizeof(*frame) + 40);

        frame->size = 40;
        frame->to = 1;
        mr_be32_put(frame->bytes + 12, 0x0b000000 + i);
        mr_be32_put(frame->bytes + 16, app.world.hosts[1].address);
        mr_be16_put(frame->bytes + 20, (uint16_t)i);
        mr_be16_put(frame->bytes + 22, 9092);
        frame->bytes[32] = 5 << 4;
        frame->bytes[33] = TCP_SYN;
        world_frame_seal(frame);
        world_send(&app.world, frame, MR_NS_PER_MS + i * 1000ull);
    }
    MR_CHECK(app_run(&app, 100 * MR_NS_PER_S));
    MR_CHECK(end->reason == 0 && end->received == 4000000 && end->peer->received == 4000000);
    MR_CHECK(stats->half_open <= 16);
    app_settle(&app);
    MR_CHECK(stats->cookies_out > 90000);
    MR_CHECK_EQ(stats->conns_exhausted, 0);
    hosts_stop();
}

MR_TEST_MAIN(MR_TEST_CASE(a_config_without_sense_is_refused), MR_TEST_CASE(listeners_have_a_limit),
             MR_TEST_CASE(connections_have_a_limit), MR_TEST_CASE(a_held_send_is_not_done),
             MR_TEST_CASE(a_paused_connection_learns_that_its_peer_leaves),
             MR_TEST_CASE(a_flood_of_syns_is_answered_with_cookies))
