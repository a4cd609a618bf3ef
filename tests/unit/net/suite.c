/* tests/unit/net/suite.c: the user's callbacks, which judge, and the clients. */
#include "tests/unit/net/suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIECE     65536u
#define SPOILT    0xee
#define SALT_UP   1u
#define SALT_DOWN 2u

/* ---- the pattern ----------------------------------------------------------------------------- */

/* Each row of the pattern is the same circle of bytes, from another of them on. */
#define ROW 256u

static const uint8_t *
pattern_row(unsigned salt, uint64_t row)
{
    static uint8_t circle[2 * ROW];

    if (circle[1] == 0) {
        for (unsigned i = 0; i < 2 * ROW; i++) {
            circle[i] = (uint8_t)(i * 31);
        }
    }
    return circle + (row * 7 + (row >> 8) * 13 + salt) % ROW;
}

/* The pattern from `position` to the end of its row; how much that is of `size` goes to `part`. */
static const uint8_t *
pattern_at(unsigned salt, uint64_t position, size_t size, size_t *part)
{
    *part = ROW - position % ROW < size ? ROW - position % ROW : size;
    return pattern_row(salt, position / ROW) + position % ROW;
}

static void
pattern_fill(unsigned salt, uint64_t position, uint8_t *out, size_t size)
{
    for (size_t at = 0, part; at < size; at += part) {
        const uint8_t *bytes = pattern_at(salt, position + at, size - at, &part);

        memcpy(out + at, bytes, part);
    }
}

static void
pattern_check(unsigned salt, uint64_t position, const uint8_t *data, size_t size)
{
    for (size_t at = 0, part; at < size; at += part) {
        const uint8_t *bytes = pattern_at(salt, position + at, size - at, &part);

        MR_CHECK(memcmp(data + at, bytes, part) == 0);
    }
}

/* ---- sends ----------------------------------------------------------------------------------- */

/* One send: of memory of its own, or of a received buffer. */
struct item {
    struct mr_net_send send;
    struct user *user;
    struct mr_net_buf *buf; /* NULL: `memory` is sent */
    uint8_t *memory;
    size_t size;
    struct iovec iov[];
};

static struct item *
item_new(struct user *user, unsigned slices)
{
    struct item *item = calloc(1, sizeof(*item) + slices * sizeof(item->iov[0]));

    MR_CHECK(item != NULL);
    item->user = user;
    item->send.iov = item->iov;
    item->send.iov_count = slices;
    return item;
}

static void
on_done(struct mr_net_send *send, int result)
{
    struct item *item = MR_CONTAINER_OF(send, struct item, send);
    struct user *user = item->user;
    struct suite *suite = user->suite;

    MR_CHECK(suite->in_turn && suite->in_call == 0);
    MR_CHECK(user->closed == 0 && user->sends_open > 0);
    MR_CHECK(result <= 0);
    /* Sends end in order: after one that failed none can succeed. */
    MR_CHECK(result < 0 || user->sends_failed == 0);
    user->sends_open--;
    user->sends_failed += result < 0;
    if (item->buf) {
        suite->in_call++;
        mr_net_buf_release(item->buf);
        suite->in_call--;
    } else {
        memset(item->memory, SPOILT, item->size);
        free(item->memory);
    }
    memset(item, SPOILT, sizeof(*item));
    free(item);
    if (result == 0 && user->sends_more > 0) {
        user->sends_more--;
        user_send(user, 1 + mr_rng_below(&suite->rng, PIECE), 1);
    }
}

static void
submit(struct user *user, struct item *item)
{
    item->send.done = on_done;
    user->sends_open++;
    user->suite->in_call++;
    mr_net_send(user->conn, &item->send);
    user->suite->in_call--;
}

void
user_send(struct user *user, size_t size, unsigned slices)
{
    struct item *item = item_new(user, slices);
    size_t at = 0;

    item->memory = malloc(size);
    item->size = size;
    MR_CHECK(item->memory != NULL && size >= slices);
    pattern_fill(SALT_DOWN, user->sent, item->memory, size);
    for (unsigned i = 0; i < slices; i++) {
        size_t part = i + 1 == slices ? size - at : size / slices;

        item->iov[i] = (struct iovec){item->memory + at, part};
        at += part;
    }
    user->sent += size;
    submit(user, item);
}

/* ---- the user's callbacks -------------------------------------------------------------------- */

static void *
on_accepted(void *context, struct mr_net_conn *conn, const char *host)
{
    struct suite *suite = context;
    struct user *user;

    MR_CHECK(suite->in_turn && suite->in_call == 0);
    MR_CHECK(strlen(host) > 0);
    MR_CHECK(suite->net->connections <= SUITE_CONNECTIONS);
    if (suite->refuse) {
        return NULL;
    }
    MR_CHECK(suite->user_count < SUITE_USERS);
    user = &suite->users[suite->user_count++];
    *user = (struct user){.suite = suite, .conn = conn, .mode = suite->mode};
    return user;
}

static void
on_connected(void *context, struct mr_net_conn *conn)
{
    struct user *user = context;

    MR_CHECK(user->suite->in_turn && user->suite->in_call == 0);
    MR_CHECK(user->opening && user->closed == 0 && !user->closing);
    MR_CHECK(user->conn == conn);
    user->opening = false;
}

static void
echo(struct user *user, struct mr_net_buf *buf, const uint8_t *data, uint32_t size)
{
    struct item *item = item_new(user, 1);

    item->buf = buf;
    item->iov[0] = (struct iovec){(void *)(uintptr_t)data, size};
    submit(user, item);
}

static void
on_received(void *context, struct mr_net_buf *buf, const uint8_t *data, uint32_t size)
{
    struct user *user = context;
    struct suite *suite = user->suite;

    MR_CHECK(suite->in_turn && suite->in_call == 0);
    MR_CHECK(user->closed == 0 && !user->closing && !user->opening);
    MR_CHECK(size > 0 && data >= buf->data && data + size <= buf->data + buf->size);
    MR_CHECK_EQ(buf->references, 1);
    pattern_check(SALT_UP, user->received, data, size);
    user->received += size;
    switch (user->mode) {
    case USER_TAKE:
        suite->in_call++;
        mr_net_buf_release(buf);
        suite->in_call--;
        break;
    case USER_HOLD:
        MR_CHECK(user->held_count < SUITE_BUFFERS);
        user->held[user->held_count++] = buf;
        break;
    case USER_ECHO:
        echo(user, buf, data, size);
        break;
    }
}

static void
on_leaving(void *context)
{
    struct user *user = context;

    MR_CHECK(user->suite->in_turn && user->suite->in_call == 0);
    MR_CHECK(user->closed == 0 && !user->closing && user->paused);
    MR_CHECK_EQ(user->leaving, 0);
    user->leaving++;
}

static void
on_closed(void *context, int reason)
{
    struct user *user = context;

    MR_CHECK(user->suite->in_turn && user->suite->in_call == 0);
    MR_CHECK_EQ(user->closed, 0);
    MR_CHECK_EQ(user->sends_open, 0);
    MR_CHECK(reason <= 0);
    user->closed++;
    user->reason = reason;
    user->conn = NULL;
}

/* ---- the user's calls ------------------------------------------------------------------------ */

void
user_close(struct user *user)
{
    if (user->conn) {
        user->closing = true;
        user->suite->in_call++;
        mr_net_close(user->conn);
        user->suite->in_call--;
    }
}

void
user_pause(struct user *user)
{
    if (user->conn) {
        user->leaving = user->paused ? user->leaving : 0;
        user->paused = true;
        user->suite->in_call++;
        mr_net_pause(user->conn);
        user->suite->in_call--;
    }
}

void
user_resume(struct user *user)
{
    if (user->conn) {
        user->paused = false;
        user->suite->in_call++;
        mr_net_resume(user->conn);
        user->suite->in_call--;
    }
}

void
user_release(struct user *user)
{
    while (user->held_count > 0) {
        struct mr_net_buf *buf = user->held[--user->held_count];

        user->suite->in_call++;
        mr_net_buf_release(buf);
        user->suite->in_call--;
    }
}

/* ---- clients --------------------------------------------------------------------------------- */

static void
client_told(struct client *client, ssize_t result)
{
    if (result != -EAGAIN && result <= 0) {
        client->end = (int)result;
    }
}

size_t
client_send(struct client *client, size_t size)
{
    uint8_t bytes[PIECE];
    size_t moved = 0;

    while (moved < size && client->end == 1) {
        size_t part = size - moved < PIECE ? size - moved : PIECE;
        ssize_t result;

        pattern_fill(SALT_UP, client->sent, bytes, part);
        result = client->suite->ops->send(client->peer, bytes, part);
        if (result <= 0) {
            break; /* its end is learnt by receiving, after what still comes */
        }
        client->sent += (uint64_t)result;
        moved += (size_t)result;
    }
    return moved;
}

size_t
client_receive(struct client *client, size_t size)
{
    uint8_t bytes[PIECE];
    size_t moved = 0;

    while (moved < size && client->end == 1) {
        size_t part = size - moved < PIECE ? size - moved : PIECE;
        ssize_t result = client->suite->ops->receive(client->peer, bytes, part);

        if (result <= 0) {
            client_told(client, result);
            break;
        }
        pattern_check(client->suite->mode == USER_ECHO ? SALT_UP : SALT_DOWN, client->received,
                      bytes, (size_t)result);
        client->received += (uint64_t)result;
        moved += (size_t)result;
    }
    return moved;
}

void
client_await_end(struct client *client)
{
    struct suite *suite = client->suite;
    unsigned idle = 0; /* turns; what has ended the client may need none of ours */

    for (unsigned i = 0; client->end == 1 && i < SUITE_TURNS_MAX; i++) {
        if (client_receive(client, SIZE_MAX) > 0) {
            continue;
        }
        idle = suite_turn(suite) ? 0 : idle + 1;
        if (idle > suite->ops->patience) {
            break;
        }
    }
    MR_CHECK(client->end <= 0);
}

void
client_finish(struct client *client)
{
    client->suite->ops->finish(client->peer);
}

void
client_close(struct client *client)
{
    client->suite->ops->close(client->peer);
    client->peer = NULL;
}

void
client_reset(struct client *client)
{
    client->suite->ops->reset(client->peer);
    client->peer = NULL;
}

void
client_vanish(struct client *client)
{
    client->suite->ops->vanish(client->peer);
}

/* ---- runs ------------------------------------------------------------------------------------ */

void
suite_begin(struct suite *suite, const struct transport_ops *ops, uint64_t seed, bool thorough)
{
    struct transport_limits limits = {
        .seed = seed,
        .buffer_count = SUITE_BUFFERS,
        .buffer_size = SUITE_BUFFER_SIZE,
        .connections_max = SUITE_CONNECTIONS,
    };
    struct mr_net_events events = {
        .context = suite,
        .accepted = on_accepted,
        .connected = on_connected,
        .received = on_received,
        .leaving = on_leaving,
        .closed = on_closed,
    };

    *suite = (struct suite){.ops = ops, .thorough = thorough};
    mr_rng_init(&suite->rng, seed);
    suite->transport = ops->create(&limits, &events);
    suite->net = suite->transport->net;
}

unsigned
suite_kept(const struct suite *suite)
{
    return suite->ops->kept_part ? SUITE_BUFFERS / suite->ops->kept_part : 0;
}

static bool
turn(struct suite *suite, bool may_wait)
{
    bool worked;

    suite->in_turn = true;
    worked = suite->ops->turn(suite->transport, may_wait);
    suite->in_turn = false;
    return worked;
}

bool
suite_turn(struct suite *suite)
{
    return turn(suite, true);
}

bool
suite_await(struct suite *suite)
{
    for (unsigned i = 0; i < suite->ops->patience; i++) {
        if (suite_turn(suite)) {
            return true;
        }
    }
    return false;
}

void
suite_poke(struct suite *suite)
{
    turn(suite, false);
}

void
suite_settle(struct suite *suite)
{
    unsigned turns = 0;

    while (suite_turn(suite)) {
        MR_CHECK(++turns < SUITE_TURNS_MAX);
    }
}

struct transport_peer *
suite_connect(struct suite *suite)
{
    struct transport_peer *peer;

    suite->in_turn = true; /* the other connections may go on */
    peer = suite->ops->connect(suite->transport);
    suite->in_turn = false;
    return peer;
}

struct user *
suite_pair(struct suite *suite, struct client *client)
{
    unsigned before = suite->user_count;

    *client = (struct client){.suite = suite, .peer = suite_connect(suite)};
    client->end = 1;
    MR_CHECK(client->peer != NULL);
    SUITE_UNTIL(suite, suite->user_count > before);
    return &suite->users[before];
}

struct user *
suite_open(struct suite *suite, enum transport_answer answer, uint64_t timeout_ns, int *error)
{
    struct mr_net_target target = {.timeout_ns = timeout_ns};
    struct user *user = &suite->users[suite->user_count];

    MR_CHECK(suite->user_count < SUITE_USERS);
    suite->ops->await(suite->transport, answer, &target);
    *user = (struct user){.suite = suite, .mode = suite->mode, .opening = true};
    suite->in_call++;
    *error = mr_net_connect(suite->net, &target, user, &user->conn);
    suite->in_call--;
    suite->user_count += *error == 0;
    return *error ? NULL : user;
}

void
suite_accept(struct suite *suite, struct client *client)
{
    *client = (struct client){.suite = suite, .end = 1};
    SUITE_UNTIL(suite,
                client->peer || (client->peer = suite->ops->accept(suite->transport)) != NULL);
}

void
suite_end(struct suite *suite)
{
    for (unsigned i = 0; i < suite->user_count; i++) {
        MR_CHECK_EQ(suite->users[i].closed, 1);
        MR_CHECK_EQ(suite->users[i].sends_open, 0);
        MR_CHECK_EQ(suite->users[i].held_count, 0);
    }
    MR_CHECK_EQ(suite->net->connections, 0);
    MR_CHECK_EQ(suite->net->buffers_free, suite->net->buffers_max);
    suite->ops->destroy(suite->transport);
}
