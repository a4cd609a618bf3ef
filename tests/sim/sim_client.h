/* tests/sim/sim_client.h: Kafka clients of a simulated shard, byte by byte. */
#ifndef MR_TESTS_SIM_CLIENT_H
#define MR_TESTS_SIM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/sim_server.h"

struct sim_bytes {
    uint8_t *data;
    size_t size, max;
};

struct sim_client {
    struct sim_server *sim;
    struct mr_net_sim_peer *peer; /* NULL: closed */
    struct sim_bytes out;         /* to be sent, from out_at on */
    size_t out_at;
    struct sim_bytes in; /* received and not taken */
    bool deaf;           /* does not receive */
    bool ended;          /* the broker has closed */
    uint64_t answers;    /* whole ones taken */
};

void sim_client_open(struct sim_client *client, struct sim_server *sim);

/* Queues bytes to be sent as the window allows. */
void sim_client_put(struct sim_client *client, const void *data, size_t size);

/* Queues a frame: a request header of `api` in `version` (0 of the header itself: no tags), then
 * `body`, then `padding` zero bytes. */
void sim_client_request(struct sim_client *client, int16_t api, int16_t version,
                        int32_t correlation_id, const void *body, size_t body_size, size_t padding);

/* ApiVersions version 0, followed by `padding` bytes that belong to the frame. */
void sim_client_ask(struct sim_client *client, int32_t correlation_id, size_t padding);

/* Moves what can be moved now; true: something was. */
bool sim_client_pump(struct sim_client *client);

/* Takes one whole answer off what was received: its size, with the correlation id in
 * `correlation_id`; 0: there is none. */
size_t sim_client_answer(struct sim_client *client, int32_t *correlation_id);

/* Turns the shard and pumps the clients for `duration_ns`. */
void sim_clients_run(struct sim_client *const *clients, unsigned count, uint64_t duration_ns);

/* Closes where that has not happened, and frees. */
void sim_client_close(struct sim_client *client);

#endif
