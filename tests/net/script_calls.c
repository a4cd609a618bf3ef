/* tests/net/script_calls.c: system calls of a script, on the stack's own calls. Received bytes stay
 * lent until the script reads them, so that windows are what a kernel's would be. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/net/script_run.h"

struct run_send {
    struct mr_tcp_send send;
    struct iovec iov;
    uint8_t bytes[];
};

struct outcome {
    int64_t value;
    int error; /* of a value of -1 */
    bool any;  /* nothing of ours: what the script says is right */
    bool unknown;
};

/* ---- events -----------------------------------------------------------------------------------
 */

static struct run_fd *
fd_new(struct run *run, enum run_fd_kind kind, int number)
{
    for (unsigned i = 0; i < RUN_FDS_MAX; i++) {
        struct run_fd *fd = &run->fds[i];

        if (fd->kind == RUN_FD_FREE) {
            *fd =
                (struct run_fd){.run = run, .kind = kind, .number = number, .order = run->order++};
            mr_list_init(&fd->chunks);
            return fd;
        }
    }
    return NULL;
}

static void *
accepted(void *context, struct mr_tcp_conn *conn, uint32_t remote, uint16_t port)
{
    struct run_fd *fd = fd_new(context, RUN_FD_CONN, -1);

    (void)remote;
    (void)port;
    if (fd) {
        fd->conn = conn;
        fd->connected = true;
    }
    return fd;
}

static void
connected(void *user, struct mr_tcp_conn *conn)
{
    struct run_fd *fd = user;

    (void)conn;
    fd->connected = true;
}

static void
received(void *user, struct mr_tcp_packet *packet, const uint8_t *data, uint32_t size)
{
    struct run_fd *fd = user;
    struct run_chunk *chunk = calloc(1, sizeof(*chunk));

    (void)data;
    MR_ASSERT(chunk != NULL);
    chunk->packet = packet;
    chunk->size = size;
    mr_list_push_back(&fd->chunks, &chunk->node);
}

static void
ended(void *user)
{
    struct run_fd *fd = user;

    fd->ended = true;
}

static void
fd_drop_chunks(struct run_fd *fd)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(&fd->chunks)) != NULL) {
        struct run_chunk *chunk = MR_CONTAINER_OF(node, struct run_chunk, node);

        mr_tcp_packet_release(chunk->packet);
        free(chunk);
    }
}

static void
closed(void *user, int reason)
{
    struct run_fd *fd = user;

    fd->closed = true;
    fd->conn = NULL;
    fd->reason = reason;
    if (fd->number == -2) {
        fd->kind = RUN_FD_FREE; /* the script has closed it long ago */
    } else if (reason) {
        fd_drop_chunks(fd); /* a reset takes with it what was not read */
    }
}

void
run_events(struct mr_tcp_events *events, struct run *run)
{
    *events = (struct mr_tcp_events){
        .context = run,
        .accepted = accepted,
        .connected = connected,
        .received = received,
        .ended = ended,
        .closed = closed,
    };
}

void
run_fds_close(struct run *run)
{
    for (unsigned i = 0; i < RUN_FDS_MAX; i++) {
        if (run->fds[i].kind != RUN_FD_FREE) {
            fd_drop_chunks(&run->fds[i]);
            if (run->fds[i].conn) {
                mr_tcp_abort(run->fds[i].conn);
            }
        }
    }
    run_turn(run);
}

/* ---- arguments --------------------------------------------------------------------------------
 */

static struct run_fd *
fd_find(struct run *run, const struct script_call *call)
{
    int number = call->arg_count > 0 ? (int)strtol(call->args[0], NULL, 0) : -1;

    for (unsigned i = 0; i < RUN_FDS_MAX; i++) {
        if (run->fds[i].kind != RUN_FD_FREE && run->fds[i].number == number && number >= 0) {
            return &run->fds[i];
        }
    }
    return NULL;
}

/* How many bytes a read or write is about: its third argument, or the sum of an iovec's. */
static int64_t
byte_count(const struct script_call *call)
{
    const char *at;
    int64_t sum = 0;

    if (strcmp(call->name, "writev") != 0 && strcmp(call->name, "readv") != 0 &&
        strcmp(call->name, "sendmsg") != 0 && strcmp(call->name, "recvmsg") != 0) {
        return call->arg_count > 2 ? strtoll(call->args[2], NULL, 0) : -1;
    }
    if (call->arg_count < 2) {
        return -1;
    }
    for (at = call->args[1]; (at = strstr(at, "{...,")) != NULL; at += 5) {
        sum += strtoll(at + 5, NULL, 0);
    }
    return sum;
}

/* ---- calls ------------------------------------------------------------------------------------
 */

static struct outcome
failed(int error)
{
    return (struct outcome){.value = -1, .error = error};
}

static struct outcome
returned(int64_t value)
{
    return (struct outcome){.value = value};
}

static struct outcome
call_socket(struct run *run, const struct script_call *call)
{
    int number = (int)strtol(call->result, NULL, 0);

    if (number >= 0) {
        fd_new(run, RUN_FD_SOCKET, number);
    }
    return returned(number);
}

static struct outcome
call_listen(struct run *run, struct run_fd *fd)
{
    int error;

    run_start(run);
    error = fd->kind == RUN_FD_LISTENER ? 0 : mr_tcp_listen(run->tcp, 0, RUN_LOCAL_PORT);
    fd->kind = RUN_FD_LISTENER;
    return error ? failed(-error) : returned(0);
}

static struct outcome
call_accept(struct run *run, const struct script_call *call)
{
    struct run_fd *first = NULL;

    for (unsigned i = 0; i < RUN_FDS_MAX; i++) {
        struct run_fd *fd = &run->fds[i];

        if (fd->kind == RUN_FD_CONN && fd->number == -1 && (!first || fd->order < first->order)) {
            first = fd;
        }
    }
    if (!first) {
        return failed(EAGAIN);
    }
    first->number = (int)strtol(call->result, NULL, 0);
    return returned(first->number);
}

static struct outcome
call_connect(struct run *run, const struct script_event *event, struct run_fd *fd)
{
    int error;

    if (fd->kind == RUN_FD_SOCKET) {
        run_start(run);
        error =
            mr_tcp_connect(run->tcp, 0, 0, RUN_REMOTE, RUN_LOCAL_PORT, fd, run->now_ns, &fd->conn);
        if (error) {
            return failed(-error);
        }
        fd->kind = RUN_FD_CONN;
        run_turn(run);
        return failed(EINPROGRESS);
    }
    if (fd->closed) {
        error = -fd->reason;
        fd->reason = 0;
        return error ? failed(error) : failed(ECONNABORTED);
    }
    if (fd->connected) {
        return event->call.blocking || strcmp(event->call.result, "0") == 0 ? returned(0)
                                                                            : failed(EISCONN);
    }
    return failed(EALREADY);
}

static struct outcome
call_read(struct run_fd *fd, int64_t count)
{
    int64_t taken = 0;
    int error;

    while (taken < count && !mr_list_empty(&fd->chunks)) {
        struct run_chunk *chunk = MR_CONTAINER_OF(fd->chunks.next, struct run_chunk, node);
        uint32_t left = chunk->size - chunk->taken;

        if (taken + left > count) {
            chunk->taken += (uint32_t)(count - taken);
            taken = count;
            break;
        }
        taken += left;
        mr_list_remove(&chunk->node);
        mr_tcp_packet_release(chunk->packet);
        free(chunk);
    }
    if (taken > 0 || (count == 0 && !fd->closed)) {
        run_turn(fd->run);
        return returned(taken);
    }
    if (fd->closed && fd->reason) {
        error = -fd->reason;
        fd->reason = 0;
        return failed(error);
    }
    if (!fd->connected) {
        return failed(ENOTCONN);
    }
    return fd->ended || fd->closed ? returned(0) : failed(EAGAIN);
}

static void
send_done(struct mr_tcp_send *send, int result)
{
    (void)result;
    free(MR_CONTAINER_OF(send, struct run_send, send));
}

static struct outcome
call_write(struct run_fd *fd, int64_t count)
{
    struct run_send *own;
    int error;

    if (fd->closed || !fd->conn) {
        error = fd->reason ? -fd->reason : EPIPE;
        fd->reason = 0;
        return failed(error);
    }
    if (fd->shut) {
        return failed(EPIPE);
    }
    if (!fd->connected) {
        return failed(EAGAIN);
    }
    own = calloc(1, sizeof(*own) + (size_t)count);
    MR_ASSERT(own != NULL);
    own->iov = (struct iovec){own->bytes, (size_t)count};
    own->send.iov = &own->iov;
    own->send.iov_count = 1;
    own->send.done = send_done;
    mr_tcp_send(fd->conn, &own->send);
    run_turn(fd->run);
    return returned(count);
}

static struct outcome
call_shutdown(struct run_fd *fd, const char *how)
{
    if (!fd->connected || fd->closed || !fd->conn) {
        return failed(ENOTCONN);
    }
    if (strcmp(how, "SHUT_RD") != 0) {
        fd->shut = true;
        mr_tcp_shutdown(fd->conn);
        run_turn(fd->run);
    }
    if (strcmp(how, "SHUT_WR") != 0) {
        fd->ended = true;
    }
    return returned(0);
}

static struct outcome
call_close(struct run_fd *fd)
{
    struct run *run = fd->run;

    if (fd->kind == RUN_FD_LISTENER) {
        mr_tcp_listen_stop(run->tcp, 0, RUN_LOCAL_PORT);
    }
    if (fd->kind != RUN_FD_CONN || !fd->conn) {
        fd_drop_chunks(fd);
        fd->kind = RUN_FD_FREE;
        return returned(0);
    }
    fd->number = -2;
    if (fd->reset_on_close || !mr_list_empty(&fd->chunks)) {
        mr_tcp_abort(fd->conn);
    } else {
        mr_tcp_close(fd->conn, run->now_ns);
    }
    fd_drop_chunks(fd);
    run_turn(run);
    return returned(0);
}

static struct outcome
call_setsockopt(struct run *run, struct run_fd *fd, const struct script_call *call)
{
    const char *name = call->arg_count > 2 ? call->args[2] : "";
    const char *value = call->arg_count > 3 ? call->args[3] : "";

    if (strcmp(name, "SO_LINGER") == 0) {
        fd->reset_on_close = strstr(value, "onoff=1") && strstr(value, "linger=0");
    } else if (strcmp(name, "TCP_CONGESTION") == 0 && !run->tcp) {
        run->config.cc = strstr(value, "reno") ? MR_TCP_CC_NEWRENO : MR_TCP_CC_CUBIC;
    }
    return (struct outcome){.any = true};
}

static bool
is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++) {
        if (strcmp(name, *names) == 0) {
            return true;
        }
    }
    return false;
}

static struct outcome
perform(struct run *run, const struct script_event *event)
{
    static const char *const reads[] = {"read", "recv", "recvfrom", "readv", "recvmsg", NULL};
    static const char *const writes[] = {"write", "send", "sendto", "writev", "sendmsg", NULL};
    static const char *const others[] = {
        "fcntl", "getsockopt", "ioctl", "poll", "epoll_create", "epoll_ctl", "epoll_wait", "splice",
        "pipe",  "sendfile",   "open",  "bind", "getsockname",  "print",     NULL};
    const struct script_call *call = &event->call;
    struct run_fd *fd = fd_find(run, call);

    if (strcmp(call->name, "socket") == 0) {
        return call_socket(run, call);
    }
    if (is_one_of(call->name, others)) {
        return (struct outcome){.any = true};
    }
    if (strcmp(call->name, "accept") == 0) {
        return call_accept(run, call);
    }
    if (!fd) {
        return failed(EBADF);
    }
    if (strcmp(call->name, "listen") == 0) {
        return call_listen(run, fd);
    }
    if (strcmp(call->name, "connect") == 0) {
        return call_connect(run, event, fd);
    }
    if (is_one_of(call->name, reads)) {
        return call_read(fd, byte_count(call));
    }
    if (is_one_of(call->name, writes)) {
        return call_write(fd, byte_count(call));
    }
    if (strcmp(call->name, "shutdown") == 0) {
        return call_shutdown(fd, call->arg_count > 1 ? call->args[1] : "");
    }
    if (strcmp(call->name, "close") == 0) {
        return call_close(fd);
    }
    if (strcmp(call->name, "setsockopt") == 0) {
        return call_setsockopt(run, fd, call);
    }
    return (struct outcome){.unknown = true};
}

enum run_call
run_call(struct run *run, const struct script_event *event, bool final)
{
    const struct script_call *call = &event->call;
    struct outcome outcome = perform(run, event);
    const char *error = outcome.value < 0 ? strerrorname_np(outcome.error) : "";

    if (outcome.unknown) {
        printf("%s:%u: %s() is not known here\n", run->path, event->line, call->name);
        run->unsupported = true;
        return RUN_CALL_SAME;
    }
    if (outcome.any || !call->has_result ||
        (outcome.value == strtoll(call->result, NULL, 0) &&
         (call->error[0] == 0 || strcmp(call->error, error) == 0))) {
        return RUN_CALL_SAME;
    }
    if (final) {
        run_differs(run, event, "%s() gave %lld %s, expected %s %s", call->name,
                    (long long)outcome.value, error, call->result, call->error);
    }
    return RUN_CALL_DIFFERS;
}
