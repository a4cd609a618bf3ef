/* Goal: framing works however the bytes are cut, and no client takes from the others what it does
 * not use: frame memory, request contexts, the memory of answers it does not read.
 * Method: the real server over simulated twins (tests/sim/sim_server.h), with virtual time. */
#include "dataplane/base/endian.h"
#include "dataplane/kafka/conn.h"
#include "tests/mr_test.h"
#include "tests/sim/sim_client.h"

#define MIB          (1024u * 1024)
#define FETCH        1
#define FETCH_LATEST 11
#define HEARTBEAT    12
#define SEEDS        50u

/* Frames up to 8 MiB, and memory for one of them. */
static struct sim_server_config
large_frames(uint64_t seed)
{
    struct sim_server_config config = sim_server_defaults(seed);

    config.frame_bytes_max = 8 * MIB;
    config.frame_heap_bytes_max = 8 * MIB + 4;
    return config;
}

/* The length of a frame, and `size` bytes of it. */
static void
begin_frame(struct sim_client *client, uint32_t frame_size, size_t size)
{
    static uint8_t bytes[8 * MIB];

    mr_be32_put(bytes, frame_size);
    sim_client_put(client, bytes, 4);
    mr_be32_put(bytes, 18u << 16); /* ApiVersions version 0, with what follows to be ignored */
    mr_be16_put(bytes + 8, UINT16_MAX);
    sim_client_put(client, bytes, size);
    memset(bytes, 0, 10);
}

static void
fetch_for_ever(struct sim_client *client, int32_t correlation_id)
{
    uint8_t body[64] = {0};
    uint8_t *at = body;

    mr_be32_put(at, UINT32_MAX);      /* replica */
    mr_be32_put(at + 4, 600000);      /* max_wait_ms */
    mr_be32_put(at + 8, 1);           /* min_bytes */
    mr_be32_put(at + 12, MIB);        /* max_bytes */
    mr_be32_put(at + 21, UINT32_MAX); /* session epoch, behind isolation level and session id */
    mr_be32_put(at + 25, 1);
    mr_be16_put(at + 29, 1);
    at[31] = 't';
    mr_be32_put(at + 32, 1);
    mr_be32_put(at + 40, UINT32_MAX); /* leader epoch, behind the partition */
    mr_be32_put(at + 60, MIB);        /* bytes, behind two offsets */
    sim_client_request(client, FETCH, FETCH_LATEST, correlation_id, body, sizeof(body), 10);
}

MR_TEST(requests_are_answered_in_order_however_their_bytes_are_cut)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_server_config config = sim_server_defaults(seed);
        struct sim_client client;
        struct sim_client *clients[] = {&client};
        struct sim_server sim;
        int32_t id;

        config.buffer_size = seed % 2 ? 1024 : 16384;
        sim_server_start(&sim, &config);
        sim_client_open(&client, &sim);
        for (int32_t i = 0; i < 300; i++) {
            sim_client_ask(&client, i, (size_t)(i * 37 % 20000));
        }
        sim_clients_run(clients, 1, 20 * MR_NS_PER_S);
        for (int32_t i = 0; i < 300; i++) {
            MR_CHECK(sim_client_answer(&client, &id) > 0);
            MR_CHECK_EQ(id, i);
        }
        MR_CHECK(!client.ended);
        sim_client_close(&client);
        sim_server_stop(&sim);
    }
}

MR_TEST(a_frame_of_no_or_of_too_great_length_closes_its_connection)
{
    static const uint32_t lengths[] = {0, MIB + 1, INT32_MAX, UINT32_MAX};

    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct sim_server_config config = sim_server_defaults(i);
        struct sim_client client;
        struct sim_client *clients[] = {&client};
        struct sim_server sim;

        sim_server_start(&sim, &config);
        sim_client_open(&client, &sim);
        begin_frame(&client, lengths[i], 0);
        sim_clients_run(clients, 1, MR_NS_PER_S);
        MR_CHECK(client.ended);
        MR_CHECK_EQ(sim.server->stats.frames_bad, 1);
        sim_client_close(&client);
        sim_server_stop(&sim);
    }
}

/* Coordinators' requests are decoded in a later turn, when others have been cut behind them. */
MR_TEST(a_malformed_request_ends_its_connection_between_those_before_and_behind_it)
{
    static const uint8_t body[2] = {0x7f, 0xff}; /* a group's name of 32,767 bytes */
    struct sim_server_config config = sim_server_defaults(1);
    struct sim_client client;
    struct sim_client *clients[] = {&client};
    struct sim_server sim;
    int32_t id;

    sim_server_start(&sim, &config);
    sim_client_open(&client, &sim);
    for (int32_t i = 0; i < 5; i++) {
        sim_client_ask(&client, i, 100);
    }
    sim_client_request(&client, HEARTBEAT, 0, 5, body, sizeof(body), 0);
    for (int32_t i = 6; i < 10; i++) {
        sim_client_ask(&client, i, 100);
    }
    sim_clients_run(clients, 1, MR_NS_PER_S);
    for (int32_t i = 0; i < 5; i++) {
        MR_CHECK(sim_client_answer(&client, &id) > 0);
        MR_CHECK_EQ(id, i);
    }
    MR_CHECK(sim_client_answer(&client, &id) <= 0);
    MR_CHECK(client.ended);
    MR_CHECK_EQ(sim.server->stats.frames_bad, 1);
    MR_CHECK_EQ(sim.server->requests_used, 0);
    sim_client_close(&client);
    sim_server_stop(&sim);
}

MR_TEST(an_announced_length_takes_no_memory)
{
    struct sim_server_config config = large_frames(1);
    struct sim_client hostile[8];
    struct sim_client good;
    struct sim_client *clients[] = {&good,       &hostile[0], &hostile[1], &hostile[2], &hostile[3],
                                    &hostile[4], &hostile[5], &hostile[6], &hostile[7]};
    struct sim_server sim;
    int32_t id;

    sim_server_start(&sim, &config);
    for (unsigned i = 0; i < 8; i++) {
        sim_client_open(&hostile[i], &sim);
        begin_frame(&hostile[i], 8 * MIB, 100);
    }
    sim_client_open(&good, &sim);
    sim_clients_run(clients, 9, MR_NS_PER_S);
    MR_CHECK(sim.server->frame_heap_bytes <= 8 * 256u * 1024);
    sim_client_ask(&good, 5, 5 * MIB);
    sim_clients_run(clients, 9, 2 * MR_NS_PER_S);
    MR_CHECK(sim_client_answer(&good, &id) > 0);
    for (unsigned i = 0; i < 9; i++) {
        sim_client_close(clients[i]);
    }
    sim_server_stop(&sim);
}

MR_TEST(frames_that_do_not_move_give_way_to_those_that_wait)
{
    struct sim_server_config config = large_frames(2);
    struct sim_client hostile[2];
    struct sim_client good;
    struct sim_client *clients[] = {&good, &hostile[0], &hostile[1]};
    struct sim_server sim;
    int32_t id;

    sim_server_start(&sim, &config);
    for (unsigned i = 0; i < 2; i++) {
        sim_client_open(&hostile[i], &sim);
        begin_frame(&hostile[i], 8 * MIB, 3 * MIB + 500000);
    }
    sim_clients_run(clients + 1, 2, MR_NS_PER_S);
    MR_CHECK(sim.server->frame_heap_bytes > 6 * MIB);
    sim_client_open(&good, &sim);
    sim_client_ask(&good, 5, 6 * MIB);
    sim_clients_run(clients, 3, 12 * MR_NS_PER_S);
    MR_CHECK(sim_client_answer(&good, &id) > 0);
    MR_CHECK(hostile[0].ended && hostile[1].ended);
    for (unsigned i = 0; i < 3; i++) {
        sim_client_close(clients[i]);
    }
    sim_server_stop(&sim);
}

MR_TEST(a_slow_frame_goes_on_while_nobody_needs_its_memory)
{
    struct sim_server_config config = large_frames(3);
    struct sim_client slow;
    struct sim_client *clients[] = {&slow};
    struct sim_server sim;
    int32_t id;

    sim_server_start(&sim, &config);
    sim_client_open(&slow, &sim);
    begin_frame(&slow, 5 * MIB, 0);
    for (unsigned i = 0; i < 20; i++) {
        begin_frame(&slow, 18u << 16, i == 0 ? 6 : 0); /* four bytes every ten seconds */
        sim_clients_run(clients, 1, 10 * MR_NS_PER_S);
    }
    MR_CHECK(!slow.ended);
    sim_clients_run(clients, 1, 40 * MR_NS_PER_S); /* and then none at all */
    MR_CHECK(slow.ended);
    MR_CHECK_EQ(sim_client_answer(&slow, &id), 0);
    sim_client_close(&slow);
    sim_server_stop(&sim);
}

MR_TEST(of_frames_that_wait_for_each_other_one_is_closed_and_the_others_are_answered)
{
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct sim_server_config config = large_frames(seed);
        struct sim_client client[3];
        struct sim_client *clients[] = {&client[0], &client[1], &client[2]};
        unsigned answered = 0;
        struct sim_server sim;
        int32_t id;

        sim_server_start(&sim, &config);
        for (unsigned i = 0; i < 3; i++) {
            sim_client_open(&client[i], &sim);
            sim_client_ask(&client[i], 1, 7 * MIB);
        }
        sim_clients_run(clients, 3, 30 * MR_NS_PER_S);
        for (unsigned i = 0; i < 3; i++) {
            bool got = sim_client_answer(&client[i], &id) > 0;

            MR_CHECK(got != client[i].ended);
            answered += got;
        }
        MR_CHECK(answered >= 1);
        for (unsigned i = 0; i < 3; i++) {
            sim_client_close(&client[i]);
        }
        sim_server_stop(&sim);
    }
}

MR_TEST(a_client_that_does_not_read_its_answers_is_closed)
{
    struct sim_server_config config = sim_server_defaults(4);
    struct sim_client deaf, slow;
    struct sim_client *clients[] = {&deaf, &slow};
    struct sim_server sim;

    config.window_bytes = 256; /* less than two answers */
    sim_server_start(&sim, &config);
    sim_client_open(&deaf, &sim);
    sim_client_open(&slow, &sim);
    deaf.deaf = true;
    slow.deaf = true;
    for (int32_t i = 0; i < 10; i++) {
        sim_client_ask(&deaf, i, 0);
        sim_client_ask(&slow, i, 0);
    }
    for (unsigned i = 0; i < 5; i++) {
        uint8_t byte;

        sim_clients_run(clients, 2, 20 * MR_NS_PER_S);
        mr_net_sim_peer_receive(slow.peer, &byte, 1); /* a little every 20 s is enough */
        MR_CHECK_EQ(sim.net->connections, i < 3 ? 2 : 1);
    }
    MR_CHECK_EQ(sim.server->stats.connections_reaped, 1);
    slow.deaf = false;
    sim_client_close(&deaf);
    sim_client_close(&slow);
    sim_server_stop(&sim);
}

MR_TEST(parked_fetches_of_a_client_that_leaves_are_cancelled)
{
    /* Few: still being read; many: reading is paused, for want of contexts or by the limit. */
    static const unsigned counts[] = {1, 20, 100, 400};

    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct sim_server_config config = sim_server_defaults(i);
        struct sim_client client;
        struct sim_client *clients[] = {&client};
        struct sim_server sim;

        sim_server_start(&sim, &config);
        sim_client_open(&client, &sim);
        for (unsigned at = 0; at < counts[i]; at++) {
            fetch_for_ever(&client, (int32_t)at);
        }
        sim_clients_run(clients, 1, MR_NS_PER_S);
        MR_CHECK(sim.server->fetches_parked > 0);
        sim_client_close(&client);
        sim_server_run(&sim, MR_NS_PER_S);
        MR_CHECK_EQ(sim.net->connections, 0);
        sim_server_check_returned(&sim);
        sim_server_stop(&sim);
    }
}

int
main(int argc, char **argv)
{
    static const struct mr_test_case cases[] = {
        MR_TEST_CASE(requests_are_answered_in_order_however_their_bytes_are_cut),
        MR_TEST_CASE(a_frame_of_no_or_of_too_great_length_closes_its_connection),
        MR_TEST_CASE(a_malformed_request_ends_its_connection_between_those_before_and_behind_it),
        MR_TEST_CASE(an_announced_length_takes_no_memory),
        MR_TEST_CASE(frames_that_do_not_move_give_way_to_those_that_wait),
        MR_TEST_CASE(a_slow_frame_goes_on_while_nobody_needs_its_memory),
        MR_TEST_CASE(of_frames_that_wait_for_each_other_one_is_closed_and_the_others_are_answered),
        MR_TEST_CASE(a_client_that_does_not_read_its_answers_is_closed),
        MR_TEST_CASE(parked_fetches_of_a_client_that_leaves_are_cancelled),
    };

    sim_server_runtime();
    return mr_test_run(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
