/* net/net_sim.c: a network in memory, driven by a seed.
 *
 * A link joins one peer and, while there is one, a connection. Its events are armed when they
 * become possible and run after a random delay:
 *
 *   ACCEPT     the listener takes the link, or refuses it
 *   CONNECT    a connection of ours reaches the peers' listener, which takes or refuses it
 *   RECEIVE    a piece of `up` is given to the user, or the end of the stream, or a reset
 *   TRANSMIT   a piece of the queued sends is copied to `down`, and what it completes is done
 *   END        the connection's last callbacks
 *   GIVE_UP    a peer that has vanished, or does not answer a connect, is taken for dead
 *
 *   peer --- up (a window of bytes) ---> connection
 *   peer <-- down (a window of bytes) -- connection
 *
 * A link is freed when both its ends have let go of it. */
#include "dataplane/net/net_sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/rng.h"

#define GARBAGE     0xdd
#define CRUMB_MAX   16u
#define SLOW_FACTOR 16u
#define NEVER       UINT64_MAX

enum event {
    EVENT_ACCEPT,
    EVENT_CONNECT,
    EVENT_RECEIVE,
    EVENT_TRANSMIT,
    EVENT_END,
    EVENT_GIVE_UP,
    EVENT_COUNT,
};

enum conn_state {
    CONN_FREE,
    CONN_CONNECTING,
    CONN_OPEN,
    CONN_CLOSING,
};

/* One direction: a ring of window_bytes. */
struct pipe {
    uint8_t *data;
    size_t at; /* the oldest byte */
    size_t size;
};

struct sim_conn {
    struct mr_net_conn base;
    enum conn_state state;
    int reason;
    bool paused;
    bool leaving; /* has been told in this pause */
    bool late;    /* paused, but one more piece was under way */
    bool starved; /* waits for a free buffer */
    struct mr_list sends;
    struct mr_list node; /* in conns_free */
    struct mr_net_sim_peer *link;
};

struct mr_net_sim_peer {
    struct net_sim *net;
    struct sim_conn *conn; /* NULL before it is accepted and after its end */
    struct mr_list node;   /* in net->links */
    struct pipe up;
    struct pipe down;
    uint64_t due_ns[EVENT_COUNT];
    bool waiting;  /* for the listener */
    bool arrived;  /* by a connect of ours, and mr_net_sim_accept() has not returned it yet */
    bool finished; /* the peer sends no more */
    bool reset;    /* by the peer */
    bool vanished;
    bool released; /* the test does not name it any more */
    bool ended;    /* by the transport: after `down` comes the end of the stream */
    bool ended_by_reset;
};

struct net_sim {
    struct mr_net base;
    struct mr_net_sim_config config;
    struct mr_rng rng;
    bool listening;
    enum mr_net_sim_answer answer;
    struct mr_list links;
    struct sim_conn *conns;
    struct mr_list conns_free;
    struct mr_net_buf *buffers;
    uint32_t *buffers_free; /* a stack of indexes; base.buffers_free counts them */
};

static struct net_sim *
sim_of(const struct mr_net *base)
{
    return MR_CONTAINER_OF(base, struct net_sim, base);
}

/* ---- schedule -------------------------------------------------------------------------------- */

static void
arm_in(struct mr_net_sim_peer *link, enum event event, uint64_t delay_ns)
{
    if (link->due_ns[event] == NEVER) {
        link->due_ns[event] = link->net->config.clock->now_ns + delay_ns;
    }
}

static void
arm(struct mr_net_sim_peer *link, enum event event)
{
    struct mr_rng *rng = &link->net->rng;
    uint64_t delay_ns = mr_rng_below(rng, link->net->config.delay_ns_max + 1);

    if (mr_rng_below(rng, SLOW_FACTOR) == 0) {
        delay_ns *= SLOW_FACTOR;
    }
    arm_in(link, event, delay_ns);
}

/* How much of `max` moves now: crumbs, anything, or all. */
static size_t
piece(struct mr_rng *rng, size_t max)
{
    switch (mr_rng_below(rng, 4)) {
    case 0:
        return 1 + mr_rng_below(rng, max < CRUMB_MAX ? max : CRUMB_MAX);
    case 1:
        return 1 + mr_rng_below(rng, max);
    default:
        return max;
    }
}

/* ---- pipes ----------------------------------------------------------------------------------- */

static void
pipe_put(struct pipe *pipe, size_t capacity, const uint8_t *data, size_t size)
{
    size_t end = (pipe->at + pipe->size) % capacity;
    size_t first = size < capacity - end ? size : capacity - end;

    MR_ASSERT(size <= capacity - pipe->size);
    memcpy(pipe->data + end, data, first);
    memcpy(pipe->data, data + first, size - first);
    pipe->size += size;
}

static void
pipe_take(struct pipe *pipe, size_t capacity, uint8_t *out, size_t size)
{
    size_t first = size < capacity - pipe->at ? size : capacity - pipe->at;

    MR_ASSERT(size <= pipe->size);
    memcpy(out, pipe->data + pipe->at, first);
    memcpy(out + first, pipe->data, size - first);
    pipe->at = (pipe->at + size) % capacity;
    pipe->size -= size;
}

/* ---- links ----------------------------------------------------------------------------------- */

static void
link_free(struct mr_net_sim_peer *link)
{
    mr_list_remove(&link->node);
    free(link->up.data);
    free(link->down.data);
    free(link);
}

static void
link_try_free(struct mr_net_sim_peer *link)
{
    if (link->released && !link->conn && !link->waiting) {
        link_free(link);
    }
}

/* ---- closing --------------------------------------------------------------------------------- */

static void
conn_close(struct sim_conn *conn, int reason)
{
    struct mr_net_sim_peer *link = conn->link;

    if (conn->state != CONN_OPEN && conn->state != CONN_CONNECTING) {
        return;
    }
    conn->state = CONN_CLOSING;
    conn->reason = reason;
    conn->starved = false;
    link->ended = true;
    /* As a kernel does: bytes that nobody will read are answered with a reset. */
    link->ended_by_reset = reason != 0 || link->up.size > 0;
    arm(link, EVENT_END);
}

static void
run_end(struct mr_net_sim_peer *link)
{
    struct sim_conn *conn = link->conn;
    struct net_sim *net = link->net;
    struct mr_list *node;

    while ((node = mr_list_pop_front(&conn->sends))) {
        struct mr_net_send *send = MR_CONTAINER_OF(node, struct mr_net_send, node);

        send->done(send, -ECANCELED);
    }
    conn->state = CONN_FREE;
    net->base.connections--;
    net->base.events.closed(conn->base.user, conn->reason);
    conn->link = NULL;
    link->conn = NULL;
    mr_list_push_back(&net->conns_free, &conn->node);
    for (unsigned i = 0; i < EVENT_COUNT; i++) {
        link->due_ns[i] = NEVER;
    }
    link_try_free(link);
}

static void
sim_close(struct mr_net_conn *base)
{
    conn_close(MR_CONTAINER_OF(base, struct sim_conn, base), 0);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Takes up to `size` bytes off the front send; returns how many. A completed send is done. */
static size_t
transmit_front(struct sim_conn *conn, size_t size)
{
    struct mr_net_send *send = MR_CONTAINER_OF(conn->sends.next, struct mr_net_send, node);
    size_t moved = 0;

    while (send->iov_at < send->iov_count) {
        const struct iovec *slice = &send->iov[send->iov_at];
        size_t left = slice->iov_len - send->iov_skip;
        size_t part = left < size - moved ? left : size - moved;

        pipe_put(&conn->link->down, conn->link->net->config.window_bytes,
                 (const uint8_t *)slice->iov_base + send->iov_skip, part);
        moved += part;
        conn->base.bytes_sent += part;
        conn->base.net->bytes_sent += part;
        send->iov_skip += part;
        if (send->iov_skip < slice->iov_len) {
            return moved;
        }
        send->iov_at++;
        send->iov_skip = 0;
    }
    mr_list_remove(&send->node);
    send->done(send, 0);
    return moved;
}

static void
run_transmit(struct mr_net_sim_peer *link)
{
    struct sim_conn *conn = link->conn;
    struct net_sim *net = link->net;
    size_t room = net->config.window_bytes - link->down.size;

    if (conn->state != CONN_OPEN || mr_list_empty(&conn->sends) || link->vanished || room == 0) {
        return; /* armed again when that changes */
    }
    if (link->released || link->reset) {
        conn_close(conn, -ECONNRESET);
        return;
    }
    room = piece(&net->rng, room);
    while (room > 0 && conn->state == CONN_OPEN && !mr_list_empty(&conn->sends)) {
        room -= transmit_front(conn, room);
    }
    if (conn->state == CONN_OPEN && !mr_list_empty(&conn->sends)) {
        arm(link, EVENT_TRANSMIT);
    }
}

static void
sim_send(struct mr_net_conn *base, struct mr_net_send *send)
{
    struct sim_conn *conn = MR_CONTAINER_OF(base, struct sim_conn, base);

    MR_ASSERT(conn->state != CONN_FREE);
    mr_list_push_back(&conn->sends, &send->node);
    if (conn->state == CONN_OPEN) {
        arm(conn->link, EVENT_TRANSMIT);
    }
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void
deliver(struct sim_conn *conn)
{
    struct mr_net_sim_peer *link = conn->link;
    struct net_sim *net = link->net;
    uint32_t window = net->config.window_bytes;
    struct mr_net_buf *buf;
    size_t size;

    if (net->base.buffers_free == 0) {
        conn->starved = true;
        return;
    }
    buf = &net->buffers[net->buffers_free[--net->base.buffers_free]];
    MR_ASSERT(buf->references == 0);
    size = link->up.size < buf->size ? link->up.size : buf->size;
    size = piece(&net->rng, size);
    pipe_take(&link->up, window, buf->data, size);
    buf->references = 1;
    net->base.bytes_received += size;
    arm(link, EVENT_RECEIVE); /* the rest, or the end of the stream */
    net->base.events.received(conn->base.user, buf, buf->data, (uint32_t)size);
}

/* A pause holds bytes back, and the end of the stream behind them, but nothing else. */
static void
run_receive(struct mr_net_sim_peer *link)
{
    struct sim_conn *conn = link->conn;
    bool may_read = !conn->paused || conn->late;

    conn->late = false;
    if (conn->state != CONN_OPEN || link->vanished) {
        return;
    }
    if (link->reset) {
        conn_close(conn, -ECONNRESET);
    } else if (link->up.size > 0 && may_read) {
        deliver(conn);
    } else if (link->up.size == 0 && link->finished) {
        conn_close(conn, 0);
    } else if (link->finished && !conn->leaving) {
        conn->leaving = true;
        link->net->base.events.leaving(conn->base.user);
    }
}

static void
sim_pause(struct mr_net_conn *base)
{
    struct sim_conn *conn = MR_CONTAINER_OF(base, struct sim_conn, base);

    if (conn->paused || (conn->state != CONN_OPEN && conn->state != CONN_CONNECTING)) {
        return;
    }
    conn->paused = true;
    conn->leaving = false;
    conn->starved = false;
    conn->late =
        conn->link->due_ns[EVENT_RECEIVE] != NEVER && mr_rng_below(&conn->link->net->rng, 2);
    arm(conn->link, EVENT_RECEIVE); /* for the end that may be there already */
}

static void
sim_resume(struct mr_net_conn *base)
{
    struct sim_conn *conn = MR_CONTAINER_OF(base, struct sim_conn, base);

    conn->paused = false;
    if (conn->state == CONN_OPEN) {
        arm(conn->link, EVENT_RECEIVE);
    }
}

static void
sim_buf_free(struct mr_net *base, struct mr_net_buf *buf)
{
    struct net_sim *net = sim_of(base);

    memset(buf->data, GARBAGE, buf->size);
    net->buffers_free[net->base.buffers_free++] = buf->index;
    for (uint32_t i = 0; i < net->config.connections_max; i++) {
        struct sim_conn *conn = &net->conns[i];

        if (conn->starved) {
            conn->starved = false;
            arm(conn->link, EVENT_RECEIVE);
        }
    }
}

/* ---- accepting ------------------------------------------------------------------------------- */

/* NULL: connections_max are there. */
static struct sim_conn *
conn_new(struct mr_net_sim_peer *link, enum conn_state state)
{
    struct net_sim *net = link->net;
    struct mr_list *node = mr_list_pop_front(&net->conns_free);
    struct sim_conn *conn;

    if (!node) {
        return NULL;
    }
    conn = MR_CONTAINER_OF(node, struct sim_conn, node);
    conn->state = state;
    conn->reason = 0;
    conn->paused = false;
    conn->late = false;
    conn->starved = false;
    conn->link = link;
    link->conn = conn;
    conn->base.bytes_sent = 0;
    mr_list_init(&conn->sends);
    net->base.connections++;
    return conn;
}

static void
refuse(struct mr_net_sim_peer *link)
{
    link->conn = NULL;
    link->ended = true;
    link->ended_by_reset = link->up.size > 0;
    link_try_free(link);
}

static void
run_accept(struct mr_net_sim_peer *link)
{
    struct net_sim *net = link->net;
    struct sim_conn *conn;

    link->waiting = false;
    if (!net->listening) {
        refuse(link);
        return;
    }
    conn = conn_new(link, CONN_OPEN);
    if (!conn) {
        net->base.refused++;
        refuse(link);
        return;
    }
    conn->base.user = net->base.events.accepted(net->base.events.context, &conn->base, "10.0.0.1");
    if (!conn->base.user) {
        net->base.refused++;
        net->base.connections--;
        conn->state = CONN_FREE;
        conn->link = NULL;
        mr_list_push_back(&net->conns_free, &conn->node);
        refuse(link);
        return;
    }
    arm(link, EVENT_RECEIVE);
    if (link->vanished) {
        arm_in(link, EVENT_GIVE_UP, net->config.vanish_ns);
    }
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void
run_connect(struct mr_net_sim_peer *link)
{
    struct sim_conn *conn = link->conn;
    struct net_sim *net = link->net;

    if (conn->state != CONN_CONNECTING || net->answer == MR_NET_SIM_SILENT) {
        return;
    }
    link->due_ns[EVENT_GIVE_UP] = NEVER;
    if (net->answer == MR_NET_SIM_REFUSE) {
        conn_close(conn, -ECONNREFUSED);
        return;
    }
    link->released = false;
    link->arrived = true;
    conn->state = CONN_OPEN;
    arm(link, EVENT_RECEIVE);
    if (!mr_list_empty(&conn->sends)) {
        arm(link, EVENT_TRANSMIT);
    }
    net->base.events.connected(conn->base.user, &conn->base);
}

static struct mr_net_sim_peer *
link_new(struct net_sim *net)
{
    struct mr_net_sim_peer *link = calloc(1, sizeof(*link));

    if (!link) {
        return NULL;
    }
    link->net = net;
    link->up.data = malloc(net->config.window_bytes);
    link->down.data = malloc(net->config.window_bytes);
    mr_list_push_back(&net->links, &link->node);
    if (!link->up.data || !link->down.data) {
        link_free(link);
        return NULL;
    }
    for (unsigned i = 0; i < EVENT_COUNT; i++) {
        link->due_ns[i] = NEVER;
    }
    return link;
}

static int
sim_connect(struct mr_net *base, const struct mr_net_target *target, void *user,
            struct mr_net_conn **out)
{
    struct net_sim *net = sim_of(base);
    struct mr_net_sim_peer *link = link_new(net);
    struct sim_conn *conn = link ? conn_new(link, CONN_CONNECTING) : NULL;

    if (!conn) {
        if (link) {
            link_free(link);
        }
        return -ENOBUFS;
    }
    link->released = true; /* nobody has the peer's end yet */
    conn->base.user = user;
    arm(link, EVENT_CONNECT);
    arm_in(link, EVENT_GIVE_UP, target->timeout_ns);
    *out = &conn->base;
    return 0;
}

/* ---- listening ------------------------------------------------------------------------------- */

static int
sim_listen(struct mr_net *base, const char *host, uint16_t port, uint16_t *port_out)
{
    (void)host; /* there is one listener, and every peer knocks at it */
    sim_of(base)->listening = true;
    *port_out = port ? port : 1;
    return 0;
}

static void
sim_listen_stop(struct mr_net *base)
{
    sim_of(base)->listening = false;
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* The link whose event is due first; those due at once go in the order of the links. */
static struct mr_net_sim_peer *
find_next(const struct net_sim *net, enum event *event)
{
    struct mr_net_sim_peer *found = NULL;
    uint64_t due_ns = NEVER;

    MR_LIST_FOR_EACH(node, &net->links)
    {
        struct mr_net_sim_peer *link = MR_CONTAINER_OF(node, struct mr_net_sim_peer, node);

        for (unsigned i = 0; i < EVENT_COUNT; i++) {
            if (link->due_ns[i] < due_ns) {
                due_ns = link->due_ns[i];
                found = link;
                *event = (enum event)i;
            }
        }
    }
    return found;
}

uint64_t
mr_net_sim_due_ns(const struct mr_net *base)
{
    enum event event = EVENT_COUNT;
    struct mr_net_sim_peer *link = find_next(sim_of(base), &event);

    return link ? link->due_ns[event] : NEVER;
}

bool
mr_net_sim_step(struct mr_net *base)
{
    struct net_sim *net = sim_of(base);
    enum event event = EVENT_COUNT;
    struct mr_net_sim_peer *link = find_next(net, &event);

    if (!link) {
        return false;
    }
    if (link->due_ns[event] > net->config.clock->now_ns) {
        net->config.clock->now_ns = link->due_ns[event];
    }
    link->due_ns[event] = NEVER;
    if (event == EVENT_ACCEPT) {
        run_accept(link);
    } else if (link->conn && event == EVENT_CONNECT) {
        run_connect(link);
    } else if (link->conn && event == EVENT_RECEIVE) {
        run_receive(link);
    } else if (link->conn && event == EVENT_TRANSMIT) {
        run_transmit(link);
    } else if (link->conn && event == EVENT_END) {
        run_end(link);
    } else if (link->conn && event == EVENT_GIVE_UP) {
        conn_close(link->conn, -ETIMEDOUT);
    }
    return true;
}

/* ---- peers ----------------------------------------------------------------------------------- */

struct mr_net_sim_peer *
mr_net_sim_connect(struct mr_net *base)
{
    struct mr_net_sim_peer *link = link_new(sim_of(base));

    if (!link) {
        return NULL;
    }
    link->waiting = true;
    arm(link, EVENT_ACCEPT);
    return link;
}

void
mr_net_sim_answer(struct mr_net *base, enum mr_net_sim_answer answer)
{
    sim_of(base)->answer = answer;
}

struct mr_net_sim_peer *
mr_net_sim_accept(struct mr_net *base)
{
    MR_LIST_FOR_EACH(node, &sim_of(base)->links)
    {
        struct mr_net_sim_peer *link = MR_CONTAINER_OF(node, struct mr_net_sim_peer, node);

        if (link->arrived) {
            link->arrived = false;
            return link;
        }
    }
    return NULL;
}

/* Something the connection, if there is one yet, has to notice. */
static void
notify(struct mr_net_sim_peer *link)
{
    if (link->conn) {
        arm(link, EVENT_RECEIVE);
    }
}

ssize_t
mr_net_sim_peer_send(struct mr_net_sim_peer *peer, const void *data, size_t size)
{
    size_t room = peer->net->config.window_bytes - peer->up.size;

    MR_ASSERT(!peer->finished);
    if (peer->ended && !peer->vanished) {
        return -EPIPE;
    }
    if (room == 0) {
        return -EAGAIN;
    }
    size = size < room ? size : room;
    pipe_put(&peer->up, peer->net->config.window_bytes, data, size);
    notify(peer);
    return (ssize_t)size;
}

ssize_t
mr_net_sim_peer_receive(struct mr_net_sim_peer *peer, void *out, size_t size)
{
    if (peer->down.size > 0) {
        size = size < peer->down.size ? size : peer->down.size;
        pipe_take(&peer->down, peer->net->config.window_bytes, out, size);
        if (peer->conn && peer->conn->state == CONN_OPEN) {
            arm(peer, EVENT_TRANSMIT);
        }
        return (ssize_t)size;
    }
    if (!peer->ended || peer->vanished) {
        return -EAGAIN;
    }
    return peer->ended_by_reset ? -ECONNRESET : 0;
}

void
mr_net_sim_peer_finish(struct mr_net_sim_peer *peer)
{
    peer->finished = true;
    notify(peer);
}

void
mr_net_sim_peer_close(struct mr_net_sim_peer *peer)
{
    peer->released = true;
    peer->finished = true;
    peer->reset |= peer->down.size > 0;
    notify(peer);
    link_try_free(peer);
}

void
mr_net_sim_peer_reset(struct mr_net_sim_peer *peer)
{
    peer->released = true;
    peer->reset = true;
    notify(peer);
    link_try_free(peer);
}

void
mr_net_sim_peer_vanish(struct mr_net_sim_peer *peer)
{
    peer->vanished = true;
    arm_in(peer, EVENT_GIVE_UP, peer->net->config.vanish_ns);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
sim_destroy(struct mr_net *base)
{
    struct net_sim *net = sim_of(base);

    MR_ASSERT(net->base.connections == 0);
    MR_LIST_FOR_EACH(node, &net->links)
    {
        link_free(MR_CONTAINER_OF(node, struct mr_net_sim_peer, node));
    }
    for (uint32_t i = 0; net->buffers && i < net->config.buffer_count; i++) {
        free(net->buffers[i].data);
    }
    free(net->buffers);
    free(net->buffers_free);
    free(net->conns);
    free(net);
}

static const struct mr_net_ops sim_ops = {
    .listen = sim_listen,
    .listen_stop = sim_listen_stop,
    .connect = sim_connect,
    .send = sim_send,
    .pause = sim_pause,
    .resume = sim_resume,
    .close = sim_close,
    .buf_free = sim_buf_free,
    .destroy = sim_destroy,
};

/* Each buffer is an allocation of its own, so that a sanitizer sees a step over its end. */
static int
create_buffers(struct net_sim *net)
{
    uint32_t count = net->config.buffer_count;

    net->buffers = calloc(count, sizeof(*net->buffers));
    net->buffers_free = calloc(count, sizeof(*net->buffers_free));
    if (!net->buffers || !net->buffers_free) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        net->buffers[i] = (struct mr_net_buf){
            .net = &net->base,
            .data = malloc(net->config.buffer_size),
            .size = net->config.buffer_size,
            .index = i,
        };
        if (!net->buffers[i].data) {
            return -ENOMEM;
        }
        net->buffers_free[net->base.buffers_free++] = i;
    }
    return 0;
}

int
mr_net_sim_create(const struct mr_net_sim_config *config, const struct mr_net_events *events,
                  struct mr_net **out)
{
    struct net_sim *net = calloc(1, sizeof(*net));
    int error;

    if (!net) {
        return -ENOMEM;
    }
    net->base.ops = &sim_ops;
    net->base.events = *events;
    net->base.connections_max = config->connections_max;
    net->base.buffers_max = config->buffer_count;
    net->config = *config;
    mr_rng_init(&net->rng, config->seed);
    mr_list_init(&net->links);
    mr_list_init(&net->conns_free);
    net->conns = calloc(config->connections_max, sizeof(*net->conns));
    error = net->conns ? create_buffers(net) : -ENOMEM;
    if (error) {
        sim_destroy(&net->base);
        return error;
    }
    for (uint32_t i = 0; i < config->connections_max; i++) {
        net->conns[i].base.net = &net->base;
        mr_list_push_back(&net->conns_free, &net->conns[i].node);
    }
    *out = &net->base;
    return 0;
}
