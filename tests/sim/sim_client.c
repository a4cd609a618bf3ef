/* tests/sim/sim_client.c: queues of bytes over a simulated peer. */
#include "tests/sim/sim_client.h"

#include <errno.h>
#include <stdlib.h>

#include "dataplane/base/endian.h"
#include "tests/mr_test.h"

#define RECEIVE_SIZE 65536u
#define HEADER_SIZE  14u /* length, key, version, correlation id, a null client id */
#define API_VERSIONS 18

void
sim_client_open(struct sim_client *client, struct sim_server *sim)
{
    *client = (struct sim_client){.sim = sim, .peer = mr_net_sim_connect(sim->net)};
    MR_CHECK(client->peer != NULL);
}

static uint8_t *
extend(struct sim_bytes *bytes, size_t more)
{
    if (bytes->size + more > bytes->max) {
        bytes->max = 2 * (bytes->size + more); /* a copy for each would be most of a test's time */
        bytes->data = realloc(bytes->data, bytes->max);
        MR_CHECK(bytes->data != NULL);
    }
    bytes->size += more;
    return bytes->data + bytes->size - more;
}

void
sim_client_put(struct sim_client *client, const void *data, size_t size)
{
    if (size > 0) {
        memcpy(extend(&client->out, size), data, size);
    }
}

void
sim_client_request(struct sim_client *client, int16_t api, int16_t version, int32_t correlation_id,
                   const void *body, size_t body_size, size_t padding)
{
    uint8_t header[HEADER_SIZE];

    mr_be32_put(header, (uint32_t)(HEADER_SIZE - 4 + body_size + padding));
    mr_be16_put(header + 4, (uint16_t)api);
    mr_be16_put(header + 6, (uint16_t)version);
    mr_be32_put(header + 8, (uint32_t)correlation_id);
    mr_be16_put(header + 12, UINT16_MAX);
    sim_client_put(client, header, sizeof(header));
    sim_client_put(client, body, body_size);
    if (padding > 0) {
        memset(extend(&client->out, padding), 0, padding);
    }
}

void
sim_client_ask(struct sim_client *client, int32_t correlation_id, size_t padding)
{
    sim_client_request(client, API_VERSIONS, 0, correlation_id, "", 0, padding);
}

static bool
pump_in(struct sim_client *client)
{
    uint8_t bytes[RECEIVE_SIZE];
    ssize_t got = mr_net_sim_peer_receive(client->peer, bytes, sizeof(bytes));

    if (got > 0) {
        memcpy(extend(&client->in, (size_t)got), bytes, (size_t)got);
        return true;
    }
    client->ended |= got != -EAGAIN;
    return false;
}

bool
sim_client_pump(struct sim_client *client)
{
    bool moved = false;

    if (!client->peer) {
        return false;
    }
    if (client->out_at < client->out.size) {
        ssize_t sent = mr_net_sim_peer_send(client->peer, client->out.data + client->out_at,
                                            client->out.size - client->out_at);

        if (sent > 0) {
            client->out_at += (size_t)sent;
            moved = true;
        }
    }
    return (!client->deaf && pump_in(client)) || moved;
}

size_t
sim_client_answer(struct sim_client *client, int32_t *correlation_id)
{
    size_t size;

    if (client->in.size < 8) {
        return 0;
    }
    size = 4 + (size_t)mr_be32_get(client->in.data);
    if (client->in.size < size) {
        return 0;
    }
    *correlation_id = (int32_t)mr_be32_get(client->in.data + 4);
    client->in.size -= size;
    memmove(client->in.data, client->in.data + size, client->in.size);
    client->answers++;
    return size;
}

void
sim_clients_run(struct sim_client *const *clients, unsigned count, uint64_t duration_ns)
{
    struct sim_server *sim = clients[0]->sim;
    uint64_t until_ns = sim->clock.now_ns + duration_ns;
    bool going = true;

    while (going) {
        going = false;
        for (unsigned i = 0; i < count; i++) {
            going |= sim_client_pump(clients[i]);
        }
        going |= sim_server_turn(sim, until_ns);
    }
    sim->clock.now_ns = until_ns;
}

void
sim_client_close(struct sim_client *client)
{
    if (client->peer) {
        mr_net_sim_peer_close(client->peer);
        client->peer = NULL;
    }
    free(client->out.data);
    free(client->in.data);
    client->out = client->in = (struct sim_bytes){0};
}
