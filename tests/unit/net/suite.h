/* tests/unit/net/suite.h: the user of the transport under test, and the clients it talks to.
 *
 * Both directions of every connection carry a pattern that is a function of the position, so that
 * each byte is checked where it arrives. The user judges the contract as it goes: no callback
 * inside a call, no byte after a close, one `done` for each send, one `closed` and nothing after.
 */
#ifndef MR_TESTS_NET_SUITE_H
#define MR_TESTS_NET_SUITE_H

#include "dataplane/base/rng.h"
#include "tests/mr_test.h"
#include "tests/unit/net/transport.h"

#define SUITE_BUFFERS     16u
#define SUITE_BUFFER_SIZE 4096u
#define SUITE_CONNECTIONS 8u
#define SUITE_USERS       64u /* over one run of a case */
#define SUITE_TURNS_MAX   200000u

enum user_mode {
    USER_TAKE, /* checks what arrives and gives the buffer back at once */
    USER_HOLD, /* keeps the buffers */
    USER_ECHO, /* sends the received buffers themselves */
};

/* The transport's user of one connection. */
struct user {
    struct suite *suite;
    struct mr_net_conn *conn; /* NULL once it is closed */
    enum user_mode mode;
    bool opening; /* suite_open() made it, and it is not connected yet */
    bool closing; /* user_close() was called */
    uint64_t received;
    uint64_t sent; /* queued bytes */
    struct mr_net_buf *held[SUITE_BUFFERS];
    unsigned held_count;
    unsigned sends_open;
    unsigned sends_failed;
    unsigned sends_more; /* to be made by `done`, one by each */
    bool paused;
    unsigned leaving; /* times, since the last pause */
    unsigned closed;  /* times */
    int reason;
};

/* The client's end, with its own count of the pattern. */
struct client {
    struct transport_peer *peer; /* NULL once it has gone */
    struct suite *suite;
    uint64_t sent;
    uint64_t received;
    int end; /* 1: none yet; 0 or -errno as the peer was told */
};

struct suite {
    const struct transport_ops *ops;
    struct transport *transport;
    struct mr_net *net;
    struct mr_rng rng;
    bool thorough; /* this run may take its time */
    bool refuse;   /* accepted() refuses */
    unsigned in_call;
    bool in_turn;
    enum user_mode mode; /* of users to come */
    struct user users[SUITE_USERS];
    unsigned user_count;
    unsigned connects; /* of random clients; each may become a user */
};

void suite_begin(struct suite *suite, const struct transport_ops *ops, uint64_t seed,
                 bool thorough);

/* Every pool is back to zero; then the transport goes. */
void suite_end(struct suite *suite);

/* Buffers that no user ever gets. */
unsigned suite_kept(const struct suite *suite);

/* Runs what is due, or waits for it; false: nothing is to come. */
bool suite_turn(struct suite *suite);

/* The same for what must come: on a loaded machine a lost packet is sent again late. */
bool suite_await(struct suite *suite);

/* Runs what is due now. */
void suite_poke(struct suite *suite);

/* Turns until nothing is to come. */
void suite_settle(struct suite *suite);

/* Turns until the condition holds. */
#define SUITE_UNTIL(suite, condition)                                                              \
    do {                                                                                           \
        for (unsigned suite_i = 0; !(condition) && suite_i < SUITE_TURNS_MAX; suite_i++) {         \
            if (!suite_await(suite)) {                                                             \
                break;                                                                             \
            }                                                                                      \
        }                                                                                          \
        MR_CHECK(condition);                                                                       \
    } while (0)

/* A peer that has connected; NULL: nobody listens. */
struct transport_peer *suite_connect(struct suite *suite);

/* Connects, and turns until the user is there. */
struct user *suite_pair(struct suite *suite, struct client *client);

/* A user of a connection that the transport opens; NULL: `error` says why not. */
struct user *suite_open(struct suite *suite, enum transport_answer answer, uint64_t timeout_ns,
                        int *error);

/* The client at the other end of what suite_open() opens. */
void suite_accept(struct suite *suite, struct client *client);

/* The contract's calls. A send is cut into `slices` and borrows memory that is spoilt as soon as
 * the transport says that it is done with it. */
void user_send(struct user *user, size_t size, unsigned slices);
void user_close(struct user *user);
void user_pause(struct user *user);
void user_resume(struct user *user);
void user_release(struct user *user); /* all held buffers */

/* Both move what can be moved now, up to `size`, and return how much. */
size_t client_send(struct client *client, size_t size);
size_t client_receive(struct client *client, size_t size);

/* Receives, turning, until the client has been told that the connection has ended. */
void client_await_end(struct client *client);

void client_finish(struct client *client);
void client_close(struct client *client);
void client_reset(struct client *client);
void client_vanish(struct client *client);

#endif
