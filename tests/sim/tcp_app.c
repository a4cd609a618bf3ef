/* tests/sim/tcp_app.c: see tcp_app.h. */
#include "tests/sim/tcp_app.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"

#define PORT 9092

struct app_send {
    struct mr_tcp_send send;
    struct iovec iov[8];
    struct mr_list node; /* of end->sends */
    struct app_end *end;
    uint32_t size;
    uint8_t bytes[];
};

static uint8_t
pattern(uint32_t salt, uint64_t at)
{
    uint64_t x = (at + salt) * 0x9e3779b97f4a7c15ull;

    return (uint8_t)(x >> 56 ^ x >> 24);
}

/* ---- sending ----------------------------------------------------------------------------------
 */

static void
send_done(struct mr_tcp_send *send, int result)
{
    struct app_send *own = MR_CONTAINER_OF(send, struct app_send, send);

    if (result == 0) {
        own->end->done += own->size;
    } else {
        own->end->failed += own->size;
    }
    own->end->pending--;
    mr_list_remove(&own->node);
    memset(own->bytes, 0xee, own->size); /* whoever still sends from it sends rubbish */
    free(own);
}

static void
send_one(struct app_end *end, uint64_t most)
{
    struct mr_rng *rng = &end->app->world.rng;
    uint32_t size = 1 + (uint32_t)mr_rng_below(rng, end->chunk);
    struct app_send *own;
    uint32_t at = 0;
    unsigned count = 0;

    size = size > most ? (uint32_t)most : size;
    own = malloc(sizeof(*own) + size);
    MR_ASSERT(own != NULL);
    *own = (struct app_send){.end = end, .size = size};
    for (uint32_t i = 0; i < size; i++) {
        own->bytes[i] = pattern(end->salt, end->sent + i);
    }
    while (at < size) {
        uint32_t part = count == 7 ? size - at : (uint32_t)mr_rng_below(rng, size - at + 1);

        own->iov[count++] = (struct iovec){own->bytes + at, part};
        at += part;
    }
    own->send.iov = own->iov;
    own->send.iov_count = count;
    own->send.done = send_done;
    mr_list_push_back(&end->sends, &own->node);
    end->sent += size;
    end->pending++;
    mr_tcp_send(end->conn, &own->send);
}

static void
pump(struct app_end *end)
{
    if (!end->conn || end->closed || end->shut) {
        return;
    }
    while (end->sent < end->send_total && end->pending < end->pending_max) {
        uint64_t most = end->send_total - end->sent;

        if (end->lockstep) {
            uint64_t may = end->received + (end->salt & 1 ? end->chunk : 0);

            if (end->sent >= may) {
                break;
            }
            most = may - end->sent < most ? may - end->sent : most;
        }
        send_one(end, most);
    }
    if (end->sent == end->send_total && end->open) {
        end->shut = true;
        if (end->close_early) {
            mr_tcp_close(end->conn, end->app->world.now_ns);
        } else {
            mr_tcp_shutdown(end->conn);
        }
    }
}

/* ---- events -----------------------------------------------------------------------------------
 */

static void *
accepted(void *context, struct mr_tcp_conn *conn, uint32_t remote, uint16_t port)
{
    struct world_host *host = context;
    struct app *app = MR_CONTAINER_OF(host->world, struct app, world);
    struct mr_tcp_info info;

    (void)remote;
    for (unsigned i = 0; i < app->end_count; i++) {
        struct app_end *end = &app->ends[i];

        if (end->peer && end->host == host && !end->open && !end->closed && end->peer->conn) {
            mr_tcp_info(end->peer->conn, &info);
            if (info.local_port == port) {
                end->conn = conn;
                end->open = true;
                return end;
            }
        }
    }
    return NULL;
}

static void
connected(void *user, struct mr_tcp_conn *conn)
{
    struct app_end *end = user;

    MR_ASSERT(end->conn == conn);
    end->open = true;
}

static void
received(void *user, struct mr_tcp_packet *packet, const uint8_t *data, uint32_t size)
{
    struct app_end *end = user;
    struct app *app = end->app;

    if (end->peer) {
        for (uint32_t i = 0; i < size; i++) {
            app->corrupt += data[i] != pattern(end->peer->salt, end->received + i);
        }
    }
    end->received += size;
    if (end->hold_ns == 0 || app->held_count == APP_HELD_MAX) {
        mr_tcp_packet_release(packet);
        return;
    }
    app->held[(app->held_at + app->held_count++) % APP_HELD_MAX] =
        (struct app_held){packet, app->world.now_ns + mr_rng_below(&app->world.rng, end->hold_ns)};
}

static void
ended(void *user)
{
    struct app_end *end = user;

    end->ended = true;
}

static void
leaving(void *user)
{
    struct app_end *end = user;

    MR_ASSERT(!end->ended);
    end->leaving++;
}

static void
closed(void *user, int reason)
{
    struct app_end *end = user;

    MR_ASSERT(!end->closed && end->pending == 0);
    end->closed = true;
    end->conn = NULL;
    end->reason = reason;
}

void
app_release_held(struct app *app, bool all)
{
    while (app->held_count > 0 && (all || app->held[app->held_at].until_ns <= app->world.now_ns)) {
        mr_tcp_packet_release(app->held[app->held_at].packet);
        app->held_at = (app->held_at + 1) % APP_HELD_MAX;
        app->held_count--;
    }
}

/* ---- set-up -----------------------------------------------------------------------------------
 */

void
app_init(struct app *app, uint64_t seed)
{
    memset(app, 0, sizeof(*app));
    world_init(&app->world, seed);
    app->held = calloc(APP_HELD_MAX, sizeof(*app->held));
    MR_ASSERT(app->held != NULL);
}

void
app_host(struct app *app, unsigned index, struct mr_tcp_config *config)
{
    struct mr_tcp_events events = {
        .context = &app->world.hosts[index],
        .accepted = accepted,
        .connected = connected,
        .received = received,
        .ended = ended,
        .leaving = leaving,
        .closed = closed,
    };

    world_host_start(&app->world, index, config, &events);
    MR_ASSERT(mr_tcp_listen(app->world.hosts[index].tcp, 0, PORT) == 0);
}

static struct app_end *
end_new(struct app *app, unsigned host, uint64_t send_total)
{
    struct app_end *end = &app->ends[app->end_count++];

    MR_ASSERT(app->end_count <= APP_ENDS_MAX);
    *end = (struct app_end){
        .app = app,
        .host = &app->world.hosts[host],
        .salt = (uint32_t)mr_rng_next(&app->world.rng) & ~1u,
        .send_total = send_total,
        .chunk = 65536,
        .pending_max = 8,
    };
    mr_list_init(&end->sends);
    return end;
}

struct app_end *
app_connect(struct app *app, unsigned client, uint64_t to_server, uint64_t to_client)
{
    struct app_end *end = end_new(app, client, to_server);
    struct app_end *peer = end_new(app, 1 - client, to_client);

    end->salt |= 1;
    end->peer = peer;
    peer->peer = end;
    MR_ASSERT(mr_tcp_connect(end->host->tcp, 0, 0, peer->host->address, PORT, end,
                             app->world.now_ns, &end->conn) == 0);
    return end;
}

struct app_end *
app_connect_both(struct app *app, uint64_t to_b, uint64_t to_a)
{
    struct app_end *a = end_new(app, 0, to_b);
    struct app_end *b = end_new(app, 1, to_a);

    a->peer = b;
    b->peer = a;
    MR_ASSERT(mr_tcp_connect(a->host->tcp, 0, 5000, b->host->address, 5001, a, app->world.now_ns,
                             &a->conn) == 0);
    MR_ASSERT(mr_tcp_connect(b->host->tcp, 0, 5001, a->host->address, 5000, b, app->world.now_ns,
                             &b->conn) == 0);
    return a;
}

void
app_forget(struct app_end *end)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(&end->sends)) != NULL) {
        free(MR_CONTAINER_OF(node, struct app_send, node));
    }
    end->pending = 0;
    end->closed = true;
    end->conn = NULL;
}

/* ---- running ----------------------------------------------------------------------------------
 */

static bool
pump_all(struct app *app)
{
    bool busy = false;

    for (unsigned i = 0; i < app->end_count; i++) {
        struct app_end *end = &app->ends[i];

        pump(end);
        busy |= !end->closed && (end->conn || end->peer);
    }
    return busy;
}

static void
advance(struct app *app, uint64_t limit_ns)
{
    uint64_t next_ns = world_next(&app->world);

    if (app->held_count > 0 && app->held[app->held_at].until_ns < next_ns) {
        next_ns = app->held[app->held_at].until_ns;
    }
    next_ns = next_ns > limit_ns ? limit_ns : next_ns;
    if (next_ns > app->world.now_ns) {
        app->world.now_ns = next_ns;
    } else {
        app->world.now_ns += 1000; /* a turn of the loop takes its time */
    }
}

bool
app_run(struct app *app, uint64_t limit_ns)
{
    uint64_t end_ns = app->world.now_ns + limit_ns;

    while (app->world.now_ns < end_ns) {
        world_step(&app->world);
        app_release_held(app, false);
        if (!pump_all(app)) {
            return true;
        }
        advance(app, end_ns);
    }
    return false;
}

void
app_settle(struct app *app)
{
    app_release_held(app, true);
    while (world_next(&app->world) != UINT64_MAX) {
        world_step(&app->world);
        app_release_held(app, true);
        advance(app, UINT64_MAX);
    }
}

static bool
zero(unsigned host, const char *name, uint64_t value)
{
    if (value != 0) {
        printf("host %u: %s is %" PRIu64 ", not 0\n", host, name, value);
    }
    return value == 0;
}

bool
app_clean(const struct app *app)
{
    bool clean = true;

    for (unsigned i = 0; i < WORLD_HOSTS; i++) {
        const struct world_host *host = &app->world.hosts[i];
        const struct mr_tcp_stats *stats;

        if (!host->tcp) {
            continue;
        }
        stats = mr_tcp_stats(host->tcp);
        clean &= zero(i, "conns", stats->conns);
        clean &= zero(i, "half_open", stats->half_open);
        clean &= zero(i, "time_wait", stats->time_wait);
        clean &= zero(i, "segments", stats->segments);
        clean &= zero(i, "reordered", stats->reordered);
        clean &= zero(i, "packets_held", stats->packets_held);
        clean &= zero(i, "sends_pending", stats->sends_pending);
        clean &= zero(i, "packets_live", host->packets_live);
    }
    return clean;
}

void
app_destroy(struct app *app)
{
    app_release_held(app, true);
    world_destroy(&app->world);
    free(app->held);
}
