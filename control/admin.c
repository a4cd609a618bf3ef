/* control/admin.c: HTTP by libmicrohttpd under libuv. */
#include "control/admin.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <microhttpd.h>

#include "control/scrape.h"
#include "dataplane/base/assert.h"

#define CONNECTIONS_MAX 32u
#define TIMEOUT_S       10u
#define STEPS_MAX       8u

/* The page of a round, for all connections that have waited for it. */
struct page {
    struct MHD_Response *response;
    unsigned users;
};

/* A connection that waits for a page. */
struct waiter {
    struct mr_list node; /* in waiting or late */
    struct MHD_Connection *connection;
    struct page *page; /* NULL: there was no memory */
};

struct mr_admin {
    struct mr_control *control;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    struct mr_scrape *scrape;
    struct mr_list waiting; /* for the round that is under way */
    struct mr_list late;    /* came while it was: for the next one */
};

/* ---- rounds of figures ----------------------------------------------------------------------- */

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
page_release(struct page *page)
{
    if (page && --page->users == 0) {
        MHD_destroy_response(page->response);
        free(page);
    }
}

/* One use is the caller's. Takes `text`; NULL without memory. */
static struct page *
page_create(char *text, size_t size)
{
    struct page *page = text ? calloc(1, sizeof(*page)) : NULL;

    if (page) {
        page->users = 1;
        page->response = MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
    }
    if (!page || !page->response) {
        free(text);
        free(page);
        return NULL;
    }
    MHD_add_response_header(page->response, "Content-Type",
                            "text/plain; version=0.0.4; charset=utf-8");
    return page;
}

/* The figures of a round that is under way may be older than a connection's request: that waits for
 * the next one. */
static void
rounds_go(struct mr_admin *admin)
{
    struct mr_list *node;

    if (mr_list_empty(&admin->late) || !mr_scrape_begin(admin->scrape)) {
        return;
    }
    while ((node = mr_list_pop_front(&admin->late))) {
        mr_list_push_back(&admin->waiting, node);
    }
}

static void
on_page(void *context, char *text, size_t size)
{
    struct mr_admin *admin = context;
    struct page *page = page_create(text, size);
    struct mr_list *node;

    while ((node = mr_list_pop_front(&admin->waiting))) {
        struct waiter *waiter = MR_CONTAINER_OF(node, struct waiter, node);

        waiter->page = page;
        if (page) {
            page->users++;
        }
        MHD_resume_connection(waiter->connection);
    }
    page_release(page);
    if (!admin->control->stopping) {
        rounds_go(admin);
    }
    run_daemon(admin);
}

void
mr_admin_replied(struct mr_admin *admin, unsigned shard)
{
    mr_scrape_replied(admin->scrape, shard);
}

void
mr_admin_turn(struct mr_admin *admin)
{
    mr_scrape_turn(admin->scrape);
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
answer(struct MHD_Connection *connection, unsigned status, const char *text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(text), (char *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT); /* not written to */
    enum MHD_Result result;

    if (!response) {
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    }
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result
wait_begin(struct mr_admin *admin, struct MHD_Connection *connection, void **state)
{
    struct waiter *waiter = calloc(1, sizeof(*waiter));

    if (!waiter) {
        return MHD_NO;
    }
    waiter->connection = connection;
    *state = waiter;
    mr_list_push_back(&admin->late, &waiter->node);
    MHD_suspend_connection(connection);
    rounds_go(admin);
    return MHD_YES;
}

static enum MHD_Result
wait_end(struct MHD_Connection *connection, const struct waiter *waiter)
{
    if (!waiter->page) {
        return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory\n");
    }
    return MHD_queue_response(connection, MHD_HTTP_OK, waiter->page->response);
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
        return wait_end(connection, *state);
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET only\n");
    }
    if (strcmp(url, "/healthz") == 0) {
        return answer(connection, MHD_HTTP_OK, "ok\n");
    }
    if (strcmp(url, "/readyz") == 0) {
        return ready ? answer(connection, MHD_HTTP_OK, "ready\n")
                     : answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "not ready\n");
    }
    if (strcmp(url, "/metrics") == 0 && ready) {
        return wait_begin(admin, connection, state);
    }
    if (strcmp(url, "/metrics") == 0) {
        return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "not ready\n");
    }
    return answer(connection, MHD_HTTP_NOT_FOUND, "/healthz, /readyz, /metrics\n");
}

static void
on_completed(void *context, struct MHD_Connection *connection, void **state,
             enum MHD_RequestTerminationCode code)
{
    struct waiter *waiter = *state;

    (void)context;
    (void)connection;
    (void)code;
    if (waiter) {
        mr_list_remove(&waiter->node);
        page_release(waiter->page);
        free(waiter);
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
    int result = -ENOMEM;

    snprintf(error, error_size, "no memory for the admin server");
    if (!admin) {
        return result;
    }
    admin->control = control;
    mr_list_init(&admin->waiting);
    mr_list_init(&admin->late);
    result = mr_scrape_create(control, on_page, admin, &admin->scrape);
    if (!result) {
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
    mr_scrape_start(admin->scrape);
}

static void
resume_all(struct mr_list *waiters)
{
    MR_LIST_FOR_EACH(node, waiters)
    {
        MHD_resume_connection(MR_CONTAINER_OF(node, struct waiter, node)->connection);
    }
}

void
mr_admin_destroy(struct mr_admin *admin)
{
    if (!admin) {
        return;
    }
    resume_all(&admin->waiting);
    resume_all(&admin->late);
    if (admin->daemon) {
        MHD_stop_daemon(admin->daemon);
    }
    mr_scrape_destroy(admin->scrape);
    free(admin);
}
