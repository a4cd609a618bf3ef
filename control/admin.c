/* control/admin.c: HTTP by libmicrohttpd under libuv. */
#include "control/admin.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <microhttpd.h>

#include "control/metrics.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/log.h"
#include "dataplane/shard/msg.h"

#define CONNECTIONS_MAX 32u
#define TIMEOUT_S       10u
#define STEPS_MAX       8u

/* A connection that waits for figures. */
struct scrape {
    struct mr_list node; /* in waiting */
    struct MHD_Connection *connection;
    char *text;
    size_t size;
};

struct mr_admin {
    struct mr_control *control;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    struct mr_list waiting;
    struct mr_ctl_metrics **shards; /* [shard_count] */
    unsigned asked;                 /* shards asked in this round */
    unsigned left;                  /* of them not replied; 0: no round is under way */
    struct mr_lag lag;              /* of the round */
};

/* ---- a round of figures ---------------------------------------------------------------------- */

static void
ask_shards(struct mr_admin *admin)
{
    struct mr_control *control = admin->control;

    while (admin->asked < control->config.shard_count &&
           mr_mesh_take(control->port, admin->asked, MR_MESH_REQUEST)) {
        mr_mesh_send(
            control->port, admin->asked,
            (struct mr_msg){.type = MR_MSG_METRICS, .context = admin->shards[admin->asked]});
        admin->asked++;
    }
}

static void
round_begin(struct mr_admin *admin)
{
    if (admin->left == 0) {
        mr_lag_collect(admin->control, &admin->lag, admin->shards);
        admin->asked = 0;
        admin->left = admin->control->config.shard_count;
        ask_shards(admin);
    }
}

/* As often as it has something to do at once: what follows an answer, the end of a connection of
 * HTTP/1.0, say, comes a step later, and nothing of the socket says so. */
static void
run_daemon(struct mr_admin *admin)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;
    unsigned steps = 0;

    do {
        MHD_run(admin->daemon);
        steps++;
    } while (steps < STEPS_MAX && MHD_get_timeout(admin->daemon, &wait_ms) == MHD_YES &&
             wait_ms == 0);
}

static void
round_end(struct mr_admin *admin)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(&admin->waiting))) {
        struct scrape *scrape = MR_CONTAINER_OF(node, struct scrape, node);

        scrape->text =
            mr_metrics_render(admin->control, admin->shards, admin->control->config.shard_count,
                              &admin->lag, &scrape->size);
        MHD_resume_connection(scrape->connection);
    }
    mr_lag_free(&admin->lag);
    run_daemon(admin);
}

void
mr_admin_replied(struct mr_admin *admin)
{
    admin->left--;
    if (admin->left == 0) {
        round_end(admin);
    }
}

void
mr_admin_turn(struct mr_admin *admin)
{
    if (admin->left > 0) {
        ask_shards(admin);
    }
}

/* Connections whose time is over are closed by a run, and when all that there may be are silent
 * nothing else causes one. */
void
mr_admin_tick(struct mr_admin *admin)
{
    run_daemon(admin);
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

static enum MHD_Result
answer(struct MHD_Connection *connection, unsigned status, const char *type, char *text,
       size_t size, enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(size, text, mode);
    enum MHD_Result result;

    if (!response) {
        if (mode == MHD_RESPMEM_MUST_FREE) {
            free(text);
        }
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", type);
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result
answer_text(struct MHD_Connection *connection, unsigned status, const char *text)
{
    return answer(connection, status, "text/plain; charset=utf-8", (char *)(uintptr_t)text,
                  strlen(text), MHD_RESPMEM_PERSISTENT); /* not written to */
}

static enum MHD_Result
scrape_begin(struct mr_admin *admin, struct MHD_Connection *connection, void **state)
{
    struct scrape *scrape = calloc(1, sizeof(*scrape));

    if (!scrape) {
        return MHD_NO;
    }
    scrape->connection = connection;
    *state = scrape;
    mr_list_push_back(&admin->waiting, &scrape->node);
    MHD_suspend_connection(connection);
    round_begin(admin);
    return MHD_YES;
}

static enum MHD_Result
scrape_end(struct MHD_Connection *connection, struct scrape *scrape)
{
    char *text = scrape->text;

    scrape->text = NULL;
    if (!text) {
        return answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory\n");
    }
    return answer(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text,
                  scrape->size, MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result
on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
           const char *version, const char *upload, size_t *upload_size, void **state)
{
    struct mr_admin *admin = context;
    bool ready = admin->control->serving && !admin->control->stopping;

    (void)version;
    (void)upload;
    if (*upload_size > 0) {
        *upload_size = 0; /* nothing here takes a body */
        return MHD_YES;
    }
    if (*state) {
        return scrape_end(connection, *state);
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET only\n");
    }
    if (strcmp(url, "/healthz") == 0) {
        return answer_text(connection, MHD_HTTP_OK, "ok\n");
    }
    if (strcmp(url, "/readyz") == 0) {
        return ready ? answer_text(connection, MHD_HTTP_OK, "ready\n")
                     : answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "not ready\n");
    }
    if (strcmp(url, "/metrics") == 0 && ready) {
        return scrape_begin(admin, connection, state);
    }
    if (strcmp(url, "/metrics") == 0) {
        return answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "not ready\n");
    }
    return answer_text(connection, MHD_HTTP_NOT_FOUND, "/healthz, /readyz, /metrics\n");
}

static void
on_completed(void *context, struct MHD_Connection *connection, void **state,
             enum MHD_RequestTerminationCode code)
{
    struct scrape *scrape = *state;

    (void)context;
    (void)connection;
    (void)code;
    if (scrape) {
        mr_list_remove(&scrape->node);
        free(scrape->text);
        free(scrape);
        *state = NULL;
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static int
resolve(const char *listen, struct addrinfo **out, char *error, size_t error_size)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    const char *colon = strrchr(listen, ':');
    char host[256];

    if (!colon || (size_t)(colon - listen) >= sizeof(host)) {
        snprintf(error, error_size, "admin.listen=%s: give HOST:PORT", listen);
        return -EINVAL;
    }
    snprintf(host, sizeof(host), "%.*s", (int)(colon - listen), listen);
    if (getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, out) != 0) {
        snprintf(error, error_size, "admin.listen=%s: no such address", listen);
        return -EINVAL;
    }
    return 0;
}

static int
listen_on(struct mr_admin *admin, const char *listen, char *error, size_t error_size)
{
    struct addrinfo *address;
    int result = resolve(listen, &address, error, error_size);

    if (result) {
        return result;
    }
    admin->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME |
            (address->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0),
        0, NULL, NULL, on_request, admin, MHD_OPTION_SOCK_ADDR, address->ai_addr,
        MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, admin, MHD_OPTION_END);
    freeaddrinfo(address);
    if (!admin->daemon) {
        snprintf(error, error_size, "admin.listen=%s: %s", listen, strerror(errno));
        return -EADDRINUSE;
    }
    return 0;
}

int
mr_admin_create(struct mr_control *control, const char *listen, struct mr_admin **out, char *error,
                size_t error_size)
{
    struct mr_admin *admin = calloc(1, sizeof(*admin));
    unsigned shard_count = control->config.shard_count;
    int result = -ENOMEM;

    snprintf(error, error_size, "no memory for the admin server");
    if (!admin) {
        return result;
    }
    admin->control = control;
    mr_list_init(&admin->waiting);
    admin->shards = calloc(shard_count, sizeof(struct mr_ctl_metrics *));
    for (unsigned i = 0; admin->shards && i < shard_count; i++) {
        admin->shards[i] = calloc(1, sizeof(struct mr_ctl_metrics));
        if (!admin->shards[i]) {
            mr_admin_destroy(admin);
            return result;
        }
    }
    if (admin->shards) {
        result = listen_on(admin, listen, error, error_size);
    }
    if (result) {
        mr_admin_destroy(admin);
        return result;
    }
    *out = admin;
    return 0;
}

static void
on_readable(uv_poll_t *poll, int status, int events)
{
    struct mr_admin *admin = poll->data;

    (void)status;
    (void)events;
    run_daemon(admin);
}

void
mr_admin_start(struct mr_admin *admin)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_EPOLL_FD);

    MR_ASSERT(info);
    admin->poll.data = admin;
    uv_poll_init(&admin->control->loop, &admin->poll, info->epoll_fd);
    uv_poll_start(&admin->poll, UV_READABLE, on_readable);
}

void
mr_admin_destroy(struct mr_admin *admin)
{
    if (!admin) {
        return;
    }
    MR_LIST_FOR_EACH(node, &admin->waiting)
    {
        MHD_resume_connection(MR_CONTAINER_OF(node, struct scrape, node)->connection);
    }
    if (admin->daemon) {
        MHD_stop_daemon(admin->daemon);
    }
    for (unsigned i = 0; admin->shards && i < admin->control->config.shard_count; i++) {
        free(admin->shards[i]);
    }
    mr_lag_free(&admin->lag);
    free(admin->shards);
    free(admin);
}
