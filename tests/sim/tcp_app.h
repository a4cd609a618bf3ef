/* tests/sim/tcp_app.h: applications for the simulated wire: each end of a connection sends a known
 * pattern, checks the other's, and may be slow, rude or in a hurry. */
#ifndef MR_TESTS_TCP_APP_H
#define MR_TESTS_TCP_APP_H

#include "tests/sim/tcp_world.h"

/* One end of one connection. */
struct app_end {
    struct app *app;
    struct app_end *peer; /* NULL: the other end is none of ours */
    struct world_host *host;
    struct mr_tcp_conn *conn;
    uint32_t salt;
    uint64_t send_total;
    uint64_t sent;   /* queued with mr_tcp_send() */
    uint64_t done;   /* of these, done with 0 */
    uint64_t failed; /* done with an error */
    uint64_t received;
    struct mr_list sends; /* not done */
    unsigned pending;     /* how many */
    unsigned chunk;       /* bytes of a send at most */
    unsigned pending_max;
    uint64_t hold_ns; /* how long received packets are kept */
    bool lockstep;    /* sends only what it has received: request and response */
    bool shut;        /* mr_tcp_shutdown() called */
    bool ended;
    unsigned leaving; /* how often it was told */
    bool closed;
    bool open;
    bool close_early; /* close as soon as all is queued */
    bool paused;
    int reason;
};

#define APP_ENDS_MAX 64
#define APP_HELD_MAX 65536

struct app_held {
    struct mr_tcp_packet *packet;
    uint64_t until_ns;
};

struct app {
    struct world world;
    struct app_end ends[APP_ENDS_MAX];
    unsigned end_count;
    struct app_held *held; /* a ring */
    size_t held_at;
    size_t held_count;
    uint64_t corrupt; /* bytes received that were not sent */
    bool lost_ok;     /* an end may fail: its peer lies or has died */
};

void app_init(struct app *app, uint64_t seed);
/* The host has a stack of its own with this configuration. */
void app_host(struct app *app, unsigned index, struct mr_tcp_config *config);
/* Client on host 0 and server on host 1, or the other way round. */
struct app_end *app_connect(struct app *app, unsigned client, uint64_t to_server,
                            uint64_t to_client);
/* Both ends open at the same time. */
struct app_end *app_connect_both(struct app *app, uint64_t to_b, uint64_t to_a);
/* Runs until every end is closed, or `limit_ns` of virtual time have gone by. True: all closed. */
bool app_run(struct app *app, uint64_t limit_ns);
/* Runs until the hosts have nothing more to do: TIME_WAIT too. */
void app_settle(struct app *app);
/* Every pool is full again; prints what is not. */
bool app_clean(const struct app *app);
/* Its host is gone, and nobody will tell it. */
void app_forget(struct app_end *end);
void app_destroy(struct app *app);
void app_release_held(struct app *app, bool all);

#endif
