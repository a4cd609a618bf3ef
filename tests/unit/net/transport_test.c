/* Goal: every transport keeps the contract of dataplane/net/net.h.
 * Method: a table of cases, run over a transport: net_uring and net_dpdk, whose peers are kernel
 * sockets, or net_sim with many seeds. Arguments: the transport's name, the first seed, the number
 * of seeds. */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/base/clock.h"
#include "tests/unit/net/suite.h"

#define SIM_SEEDS   200u
#define URING_SEEDS 4u
#define DPDK_SEEDS  1u
#define PATIENCE_NS (60 * MR_NS_PER_S)

/* ---- receiving ------------------------------------------------------------------------------- */

static void
what_is_sent_comes_back(struct suite *suite)
{
    static const size_t sizes[] = {1,     2,     100,   4095,        4096,           4097,
                                   65536, 65537, 99999, 1024 * 1024, 5 * 1024 * 1024};
    unsigned count = suite->thorough ? sizeof(sizes) / sizeof(sizes[0]) : 9;

    suite->mode = USER_ECHO;
    for (unsigned i = 0; i < count; i++) {
        struct client client;
        struct user *user = suite_pair(suite, &client);
        uint64_t turns = 0;

        while (client.received < sizes[i]) {
            size_t moved = client_send(&client, sizes[i] - client.sent);

            moved += client_receive(&client, SIZE_MAX);
            MR_CHECK(suite_turn(suite) || moved > 0 || suite_await(suite));
            MR_CHECK(++turns < 10 * SUITE_TURNS_MAX);
        }
        MR_CHECK_EQ(user->received, sizes[i]);
        MR_CHECK_EQ(client.received, sizes[i]);
        client_close(&client);
        SUITE_UNTIL(suite, user->closed == 1);
        MR_CHECK_EQ(user->reason, 0);
    }
    MR_CHECK_EQ(suite->net->bytes_received, suite->net->bytes_sent);
}

static void
the_window_closes_while_buffers_are_held(struct suite *suite)
{
    struct client client;
    struct user *user;
    unsigned kept = suite_kept(suite);
    size_t queued = 0;
    size_t moved;

    suite->mode = USER_HOLD;
    user = suite_pair(suite, &client);
    do { /* until the peer cannot send any more */
        moved = client_send(&client, suite->ops->bulk_bytes - queued);
        queued += moved;
        suite_settle(suite);
    } while (moved > 0 && queued < suite->ops->bulk_bytes);
    MR_CHECK(queued < suite->ops->bulk_bytes);
    /* A TCP of ours has some itself: what came behind what was dropped. */
    MR_CHECK(kept ? user->held_count > 0 : user->held_count == SUITE_BUFFERS);
    MR_CHECK_EQ(suite->net->buffers_free, kept);
    MR_CHECK(user->received <= (uint64_t)SUITE_BUFFERS * SUITE_BUFFER_SIZE);

    user->mode = USER_TAKE;
    user_release(user);
    SUITE_UNTIL(suite, user->received == queued);
    MR_CHECK_EQ(client_send(&client, 1), 1);
    client_close(&client);
    SUITE_UNTIL(suite, user->closed == 1);
    MR_CHECK_EQ(user->received, queued + 1);
}

/* One connection's held buffers stop the others, and their return starts all of them. */
static void
all_that_starved_go_on(struct suite *suite)
{
    struct client clients[4];
    struct user *users[4];

    suite->mode = USER_HOLD;
    for (unsigned i = 0; i < 4; i++) {
        users[i] = suite_pair(suite, &clients[i]);
    }
    while (suite->net->buffers_free > suite_kept(suite)) {
        client_send(&clients[0], SUITE_BUFFER_SIZE);
        suite_settle(suite);
    }
    for (unsigned i = 1; i < 4; i++) {
        MR_CHECK(client_send(&clients[i], 1000) == 1000);
    }
    suite_settle(suite);
    for (unsigned i = 0; i < 4; i++) {
        users[i]->mode = USER_TAKE;
        MR_CHECK(i == 0 || users[i]->received == 0);
    }
    user_release(users[0]);
    for (unsigned i = 0; i < 4; i++) {
        SUITE_UNTIL(suite, users[i]->received == clients[i].sent);
        client_close(&clients[i]);
    }
    suite_settle(suite);
}

static void
a_paused_connection_is_not_read(struct suite *suite)
{
    struct client client;
    struct user *user = suite_pair(suite, &client);

    user_pause(user);
    user_pause(user);
    suite_settle(suite);
    MR_CHECK_EQ(client_send(&client, 1000), 1000);
    suite_settle(suite);
    MR_CHECK_EQ(user->received, 0);
    user_resume(user);
    SUITE_UNTIL(suite, user->received == 1000);

    user_pause(user); /* and at once on again */
    user_resume(user);
    MR_CHECK_EQ(client_send(&client, 1000), 1000);
    SUITE_UNTIL(suite, user->received == 2000);
    client_close(&client);
    suite_settle(suite);
}

/* ---- the peer leaves ------------------------------------------------------------------------- */

static void
a_half_close_comes_after_the_bytes_before_it(struct suite *suite)
{
    struct client client;
    struct user *user = suite_pair(suite, &client);

    while (client.sent < 50000) {
        client_send(&client, 50000 - client.sent);
        suite_turn(suite);
    }
    client_finish(&client);
    SUITE_UNTIL(suite, user->closed == 1);
    MR_CHECK_EQ(user->received, 50000);
    MR_CHECK_EQ(user->reason, 0);
    client_await_end(&client);
    client_close(&client);
}

static void
a_reset_ends_the_sends(struct suite *suite)
{
    struct client client;
    struct user *user = suite_pair(suite, &client);

    for (unsigned i = 0; i < 8; i++) {
        user_send(user, suite->ops->bulk_bytes / 4, 3);
    }
    for (unsigned i = 0; i < 3; i++) {
        suite_turn(suite);
    }
    client_receive(&client, 10000);
    MR_CHECK(user->sends_open > 0);
    client_reset(&client);
    SUITE_UNTIL(suite, user->closed == 1);
    MR_CHECK(user->reason < 0);
    MR_CHECK(user->sends_failed > 0);
}

static void
a_paused_connection_notices_that_its_peer_leaves(struct suite *suite)
{
    for (unsigned way = 0; way < 3; way++) {
        struct client client;
        struct user *user = suite_pair(suite, &client);

        MR_CHECK_EQ(client_send(&client, 10), 10);
        SUITE_UNTIL(suite, user->received == 10);
        user_pause(user);
        if (way > 0) {
            suite_settle(suite); /* else the receive is still being taken back */
        }
        if (way == 2) {
            client_reset(&client);
        } else {
            client_close(&client);
        }
        SUITE_UNTIL(suite, user->closed == 1);
        MR_CHECK_EQ(user->received, 10);
    }
}

/* The bytes before the end are not lost by a pause, however late they are read. */
static void
a_pause_keeps_the_bytes_before_the_end(struct suite *suite)
{
    struct client client;
    struct user *user = suite_pair(suite, &client);

    user_pause(user);
    suite_settle(suite);
    MR_CHECK_EQ(client_send(&client, 1000), 1000);
    client_close(&client);
    suite_settle(suite);
    MR_CHECK_EQ(user->closed, 0);
    MR_CHECK_EQ(user->received, 0);
    MR_CHECK_EQ(user->leaving, 1);
    user_resume(user);
    SUITE_UNTIL(suite, user->closed == 1);
    MR_CHECK_EQ(user->received, 1000);
    MR_CHECK_EQ(user->reason, 0);
}

static void
a_reset_behind_unread_bytes_ends_a_pause(struct suite *suite)
{
    struct client client;
    struct user *user = suite_pair(suite, &client);

    user_pause(user);
    suite_settle(suite);
    MR_CHECK_EQ(client_send(&client, 1000), 1000);
    client_finish(&client);
    suite_settle(suite);
    client_reset(&client);
    SUITE_UNTIL(suite, user->closed == 1);
}

static void
a_peer_that_vanishes_is_given_up(struct suite *suite)
{
    struct client client;
    struct user *user;

    if (!suite->ops->vanish) {
        return;
    }
    user = suite_pair(suite, &client);
    user_send(user, suite->ops->bulk_bytes, 1);
    client_vanish(&client);
    client_send(&client, 100);
    SUITE_UNTIL(suite, user->closed == 1);
    MR_CHECK_EQ(user->reason, -ETIMEDOUT);
    MR_CHECK_EQ(user->sends_failed, 1);
    client_close(&client);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void
sends_are_borrowed_until_done_and_arrive_in_order(struct suite *suite)
{
    static const unsigned slices[] = {1, 2, 64, 65, 300};
    struct client client;
    struct user *user = suite_pair(suite, &client);

    for (unsigned i = 0; i < 60; i++) {
        user_send(user, 300 + mr_rng_below(&suite->rng, 20000), slices[i % 5]);
        client_receive(&client, mr_rng_below(&suite->rng, 30000));
        suite_turn(suite);
    }
    while (client.received < user->sent) {
        size_t moved = client_receive(&client, SIZE_MAX);

        MR_CHECK(suite_turn(suite) || moved > 0 || suite_await(suite));
    }
    SUITE_UNTIL(suite, user->sends_open == 0);
    MR_CHECK_EQ(user->sends_failed, 0);
    MR_CHECK_EQ(mr_net_bytes_sent(user->conn), user->sent);
    MR_CHECK_EQ(suite->net->bytes_sent, user->sent);
    client_close(&client);
    suite_settle(suite);
}

/* What `done` sends comes behind all that was queued, however little of that the peer has taken. */
static void
sends_from_done_keep_the_order(struct suite *suite)
{
    struct client client;
    struct user *user = suite_pair(suite, &client);

    user->sends_more = 200;
    for (unsigned i = 0; i < 6; i++) {
        user_send(user, 40000, 1);
    }
    while (user->sends_open > 0 || client.received < user->sent) {
        size_t moved = client_receive(&client, 1 + mr_rng_below(&suite->rng, 200000));

        MR_CHECK(suite_turn(suite) || moved > 0 || suite_await(suite));
    }
    MR_CHECK_EQ(user->sends_more, 0);
    MR_CHECK_EQ(user->sends_failed, 0);
    client_close(&client);
    suite_settle(suite);
}

static void
sends_wait_for_a_peer_that_does_not_read(struct suite *suite)
{
    struct client client;
    struct user *user = suite_pair(suite, &client);
    uint64_t stalled_at;

    for (unsigned i = 0; i < 4; i++) {
        user_send(user, suite->ops->bulk_bytes / 2, 1);
    }
    suite_settle(suite);
    MR_CHECK(user->sends_open > 0);
    stalled_at = mr_net_bytes_sent(user->conn);
    suite_settle(suite);
    MR_CHECK_EQ(mr_net_bytes_sent(user->conn), stalled_at);
    while (client.received < user->sent) {
        size_t moved = client_receive(&client, SIZE_MAX);

        MR_CHECK(suite_turn(suite) || moved > 0 || suite_await(suite));
    }
    SUITE_UNTIL(suite, user->sends_open == 0);
    client_close(&client);
    suite_settle(suite);
}

/* ---- the user closes ------------------------------------------------------------------------- */

static void
a_close_ends_the_sends_and_tells_once(struct suite *suite)
{
    struct client client;
    struct user *user = suite_pair(suite, &client);

    MR_CHECK_EQ(client_send(&client, 1000), 1000);
    for (unsigned i = 0; i < 4; i++) {
        user_send(user, suite->ops->bulk_bytes / 2, 2);
    }
    suite_turn(suite);
    user_close(user);
    user_close(user);
    user_send(user, 10, 1); /* on a closing connection: fails, later */
    MR_CHECK_EQ(user->closed, 0);
    SUITE_UNTIL(suite, user->closed == 1);
    MR_CHECK_EQ(user->reason, 0);
    MR_CHECK(user->sends_failed > 0);
    client_await_end(&client);
    client_close(&client);
    suite_settle(suite);
}

static void
a_paused_connection_can_be_closed(struct suite *suite)
{
    struct client client;
    struct user *user = suite_pair(suite, &client);

    user_pause(user);
    user_close(user);
    user_resume(user);
    SUITE_UNTIL(suite, user->closed == 1);
    client_await_end(&client);
    client_close(&client);
}

static void
a_starved_connection_can_be_closed(struct suite *suite)
{
    struct client client;
    struct user *user;

    suite->mode = USER_HOLD;
    user = suite_pair(suite, &client);
    while (suite->net->buffers_free > suite_kept(suite)) {
        client_send(&client, SUITE_BUFFER_SIZE);
        suite_turn(suite);
    }
    client_send(&client, SUITE_BUFFER_SIZE);
    suite_settle(suite);
    user_close(user);
    SUITE_UNTIL(suite, user->closed == 1);
    user_release(user); /* buffers outlive their connection */
    client_await_end(&client);
    client_close(&client);
}

/* ---- accepting ------------------------------------------------------------------------------- */

static void
connections_beyond_the_limit_are_refused(struct suite *suite)
{
    struct client clients[SUITE_CONNECTIONS];
    struct client late = {.suite = suite, .end = 1};

    for (unsigned i = 0; i < SUITE_CONNECTIONS; i++) {
        suite_pair(suite, &clients[i]);
    }
    late.peer = suite_connect(suite);
    client_await_end(&late);
    client_close(&late);
    MR_CHECK_EQ(suite->net->refused, 1);
    MR_CHECK_EQ(suite->user_count, SUITE_CONNECTIONS);
    MR_CHECK_EQ(suite->net->connections, SUITE_CONNECTIONS);

    client_close(&clients[0]);
    SUITE_UNTIL(suite, suite->net->connections == SUITE_CONNECTIONS - 1);
    suite_pair(suite, &clients[0]);
    for (unsigned i = 0; i < SUITE_CONNECTIONS; i++) {
        client_close(&clients[i]);
    }
    suite_settle(suite);
}

static void
the_user_may_refuse(struct suite *suite)
{
    struct client client = {.suite = suite, .end = 1};

    suite->refuse = true;
    client.peer = suite_connect(suite);
    client_await_end(&client);
    client_close(&client);
    MR_CHECK_EQ(suite->net->refused, 1);
    MR_CHECK_EQ(suite->net->connections, 0);
    suite->refuse = false;
    suite_pair(suite, &client);
    client_close(&client);
    suite_settle(suite);
}

static void
without_a_listener_nobody_comes_and_the_others_go_on(struct suite *suite)
{
    struct client client;
    struct client late = {.suite = suite, .end = 1};
    struct user *user = suite_pair(suite, &client);

    mr_net_listen_stop(suite->net);
    suite_settle(suite);
    late.peer = suite_connect(suite);
    if (late.peer) {
        client_await_end(&late);
        client_close(&late);
    }
    MR_CHECK_EQ(suite->user_count, 1);
    MR_CHECK_EQ(client_send(&client, 10), 10);
    SUITE_UNTIL(suite, user->received == 10);
    client_close(&client);
    suite_settle(suite);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void
what_is_opened_carries_bytes_both_ways(struct suite *suite)
{
    for (unsigned way = 0; way < 3; way++) {
        struct client client;
        int error;
        struct user *user = suite_open(suite, TRANSPORT_ACCEPTS, PATIENCE_NS, &error);

        MR_CHECK(user != NULL);
        if (way > 0) { /* before it is there */
            user_send(user, 30000, 3);
            user_pause(user);
        }
        suite_accept(suite, &client);
        SUITE_UNTIL(suite, !user->opening);
        MR_CHECK_EQ(client_send(&client, 1000), 1000);
        if (way > 0) {
            suite_settle(suite);
            MR_CHECK_EQ(user->received, 0);
            user_resume(user);
        } else {
            user_send(user, 30000, 3);
        }
        while (client.received < user->sent) {
            size_t moved = client_receive(&client, SIZE_MAX);

            MR_CHECK(suite_turn(suite) || moved > 0 || suite_await(suite));
        }
        SUITE_UNTIL(suite, user->received == 1000 && user->sends_open == 0);
        if (way == 2) {
            user_close(user);
            client_await_end(&client);
        }
        client_close(&client);
        SUITE_UNTIL(suite, user->closed == 1);
        MR_CHECK_EQ(user->reason, 0);
        MR_CHECK_EQ(user->sends_failed, 0);
    }
}

static void
a_refusal_is_told(struct suite *suite)
{
    int error;
    struct user *user = suite_open(suite, TRANSPORT_REFUSES, PATIENCE_NS, &error);

    MR_CHECK(user != NULL);
    user_send(user, 100, 1);
    SUITE_UNTIL(suite, user->closed == 1);
    MR_CHECK(user->opening);
    MR_CHECK_EQ(user->reason, -ECONNREFUSED);
    MR_CHECK_EQ(user->sends_failed, 1);
}

static void
who_does_not_answer_is_given_up(struct suite *suite)
{
    int error;
    struct user *user = suite_open(suite, TRANSPORT_SILENT, 5 * MR_NS_PER_MS, &error);

    MR_CHECK(user != NULL);
    user_send(user, 100, 1);
    SUITE_UNTIL(suite, user->closed == 1);
    MR_CHECK(user->opening);
    MR_CHECK_EQ(user->reason, -ETIMEDOUT);
    MR_CHECK_EQ(user->sends_failed, 1);
}

/* Closed at once, when the connect is on its way, and after it has been answered. */
static void
what_is_being_opened_can_be_closed(struct suite *suite)
{
    for (unsigned way = 0; way < 8; way++) {
        int error;
        struct user *user =
            suite_open(suite, way % 2 ? TRANSPORT_ACCEPTS : TRANSPORT_SILENT, PATIENCE_NS, &error);
        struct transport_peer *peer;
        unsigned over;

        MR_CHECK(user != NULL);
        user_send(user, 100, 1);
        for (unsigned i = 0; i < way / 2; i++) {
            suite_poke(suite);
        }
        over = user->closed; /* in virtual time the patience is soon over */
        user_close(user);
        MR_CHECK_EQ(user->closed, over);
        SUITE_UNTIL(suite, user->closed == 1);
        MR_CHECK(user->reason == 0 || user->reason == -ETIMEDOUT);
        while ((peer = suite->ops->accept(suite->transport))) {
            suite->ops->close(peer);
        }
        suite_settle(suite);
    }
}

static void
no_more_are_opened_than_the_limit_says(struct suite *suite)
{
    struct user *users[SUITE_CONNECTIONS];
    int error;

    for (unsigned i = 0; i < SUITE_CONNECTIONS; i++) {
        users[i] = suite_open(suite, TRANSPORT_SILENT, PATIENCE_NS, &error);
        MR_CHECK(users[i] != NULL);
    }
    MR_CHECK(suite_open(suite, TRANSPORT_SILENT, PATIENCE_NS, &error) == NULL);
    MR_CHECK_EQ(error, -ENOBUFS);
    MR_CHECK_EQ(suite->net->connections, SUITE_CONNECTIONS);
    for (unsigned i = 0; i < SUITE_CONNECTIONS; i++) {
        user_close(users[i]);
        SUITE_UNTIL(suite, users[i]->closed == 1);
    }
}

/* ---- anything at any time -------------------------------------------------------------------- */

static void
random_client_step(struct suite *suite, struct client *client)
{
    struct mr_rng *rng = &suite->rng;

    if (!client->peer) {
        if (suite->connects < SUITE_USERS && mr_rng_below(rng, 4) == 0) {
            suite->connects++;
            *client = (struct client){.suite = suite, .end = 1};
            client->peer = suite_connect(suite);
        }
        return;
    }
    switch (mr_rng_below(rng, 40)) {
    case 0:
        client_close(client);
        break;
    case 1:
        client_reset(client);
        break;
    case 2:
        if (suite->ops->vanish) {
            client_vanish(client);
        }
        break;
    default:
        if (mr_rng_below(rng, 2)) {
            client_send(client, 1 + mr_rng_below(rng, 20000));
        } else {
            client_receive(client, 1 + mr_rng_below(rng, 20000));
        }
        break;
    }
}

static void
random_user_step(struct suite *suite, struct user *user)
{
    struct mr_rng *rng = &suite->rng;

    switch (mr_rng_below(rng, 24)) {
    case 0:
        user_close(user);
        break;
    case 1:
    case 2:
        user_pause(user);
        break;
    case 3:
    case 4:
    case 5:
        user_resume(user);
        break;
    case 6:
        user->mode = USER_HOLD;
        break;
    case 7:
    case 8:
        user->mode = USER_TAKE;
        user_release(user);
        break;
    default:
        if (user->conn && user->sends_open < 8) {
            user_send(user, 100 + mr_rng_below(rng, 30000), 1 + (unsigned)mr_rng_below(rng, 100));
        }
        break;
    }
}

static void
anything_at_any_time(struct suite *suite)
{
    struct client clients[SUITE_CONNECTIONS] = {{0}};

    for (unsigned i = 0; i < 3000; i++) {
        random_client_step(suite, &clients[mr_rng_below(&suite->rng, SUITE_CONNECTIONS)]);
        if (suite->user_count > 0) {
            random_user_step(suite, &suite->users[mr_rng_below(&suite->rng, suite->user_count)]);
        }
        if (mr_rng_below(&suite->rng, 2)) {
            suite_poke(suite);
        }
    }
    for (unsigned i = 0; i < SUITE_CONNECTIONS; i++) {
        if (clients[i].peer) {
            client_close(&clients[i]);
        }
    }
    for (unsigned round = 0; suite->net->connections > 0 && round < 10; round++) {
        for (unsigned i = 0; i < suite->user_count; i++) {
            suite->users[i].mode = USER_TAKE;
            user_release(&suite->users[i]);
            user_resume(&suite->users[i]);
        }
        suite_settle(suite);
    }
    for (unsigned i = 0; i < suite->user_count; i++) {
        user_release(&suite->users[i]);
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }

static const struct {
    const char *name;
    void (*run)(struct suite *suite);
} cases[] = {
    CASE(what_is_sent_comes_back),
    CASE(the_window_closes_while_buffers_are_held),
    CASE(all_that_starved_go_on),
    CASE(a_paused_connection_is_not_read),
    CASE(a_half_close_comes_after_the_bytes_before_it),
    CASE(a_reset_ends_the_sends),
    CASE(a_paused_connection_notices_that_its_peer_leaves),
    CASE(a_pause_keeps_the_bytes_before_the_end),
    CASE(a_reset_behind_unread_bytes_ends_a_pause),
    CASE(a_peer_that_vanishes_is_given_up),
    CASE(sends_are_borrowed_until_done_and_arrive_in_order),
    CASE(sends_from_done_keep_the_order),
    CASE(sends_wait_for_a_peer_that_does_not_read),
    CASE(a_close_ends_the_sends_and_tells_once),
    CASE(a_paused_connection_can_be_closed),
    CASE(a_starved_connection_can_be_closed),
    CASE(connections_beyond_the_limit_are_refused),
    CASE(the_user_may_refuse),
    CASE(without_a_listener_nobody_comes_and_the_others_go_on),
    CASE(what_is_opened_carries_bytes_both_ways),
    CASE(a_refusal_is_told),
    CASE(who_does_not_answer_is_given_up),
    CASE(what_is_being_opened_can_be_closed),
    CASE(no_more_are_opened_than_the_limit_says),
    CASE(anything_at_any_time),
};

static void
run_all(const struct transport_ops *ops, uint64_t seed, uint64_t count)
{
    static struct suite suite;

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (uint64_t at = seed; at < seed + count; at++) {
            printf("\r%s %s, seed %" PRIu64 "  ", ops->name, cases[i].name, at);
            fflush(stdout);
            suite_begin(&suite, ops, at, at < 3);
            cases[i].run(&suite);
            suite_end(&suite);
        }
        printf("\n");
    }
}

int
main(int argc, char **argv)
{
    static const struct {
        const struct transport_ops *ops;
        uint64_t seeds;
    } transports[] = {{&transport_uring, URING_SEEDS},
                      {&transport_dpdk, DPDK_SEEDS},
                      {&transport_sim, SIM_SEEDS}};
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    uint64_t count = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;

    for (unsigned i = 0; i < sizeof(transports) / sizeof(transports[0]); i++) {
        if (argc > 1 && strcmp(argv[1], transports[i].ops->name) == 0) {
            run_all(transports[i].ops, seed, count ? count : transports[i].seeds);
            return 0;
        }
    }
    fprintf(stderr, "usage: transport_test uring|dpdk|sim [FIRST-SEED [SEEDS]]\n");
    return 2;
}
