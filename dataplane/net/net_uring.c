/* net/net_uring.c: kernel sockets over io_uring.
 *
 * A connection's life:
 *
 *   CONNECTING ---- the peer has accepted ----> OPEN
 *   CONNECTING, OPEN ---- mr_net_close(), end of stream, or an error ----> CLOSING
 *   CLOSING ---- no operation in flight ----> (descriptor closed, `closed` called, gone)
 *
 * In CLOSING the socket is shut down, which ends the receive and the send in flight, and the poll
 * and the connect are cancelled; their last completions are awaited because they name memory of the
 * connection.
 *
 * Source: io_uring_prep_recv_multishot(3), io_uring_register_buf_ring(3); Linux 6.0. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/base/uring.h"
#include "dataplane/net/net.h"

#define BUFFER_GROUP    1
#define SEND_IOV_MAX    64u
#define LISTEN_BACKLOG  1024
#define ACCEPT_AGAIN_NS 100000000 /* after a failed accept */
#define HOST_TEXT_SIZE  INET6_ADDRSTRLEN

enum conn_state {
    CONN_FREE,
    CONN_CONNECTING,
    CONN_OPEN,
    CONN_CLOSING,
};

struct uring_conn {
    struct mr_net_conn base;
    enum conn_state state;
    int fd;
    int reason; /* what `closed` will be told */
    bool paused;
    bool receiving; /* the multishot receive is armed */
    bool starved;   /* in net->starved: waits for a free buffer */
    bool sending;
    bool connecting; /* the connect is in flight */
    bool timing;     /* and so is its timeout */
    bool watching;   /* for the peer's end while reading is paused */
    bool leaving;    /* has been told in this pause */
    bool end_seen;   /* the peer's end is there, behind unread bytes */
    bool ending;     /* in net->endings */
    struct mr_uring_op connect_op;
    struct mr_uring_op timeout_op;
    struct __kernel_timespec timeout;
    struct sockaddr_storage address;
    struct mr_uring_op receive_op;
    struct mr_uring_op watch_op;
    struct mr_uring_op send_op;
    struct mr_list sends;
    struct mr_list starved_node; /* also the free list's node */
    struct mr_list ending_node;
    struct msghdr message;
    struct iovec iov[SEND_IOV_MAX];
};

struct net_uring {
    struct mr_net base;
    struct mr_uring *uring;
    int listen_fd;
    bool accepting;
    struct mr_uring_op accept_op;
    struct mr_uring_op accept_again_op;
    bool accept_failing; /* has been logged */
    struct mr_uring_op end_op;
    bool end_armed;
    struct io_uring_buf_ring *ring;
    size_t ring_bytes;
    uint32_t buffer_count;
    struct mr_net_buf *buffers;
    struct uring_conn *conns;
    struct mr_list conns_free;
    struct mr_list starved;
    struct mr_list endings; /* connections whose end is to be told outside the caller's stack */
};

static void conn_receive(struct uring_conn *conn);
static void judge_end(struct uring_conn *conn);

static struct net_uring *
net_of(struct uring_conn *conn)
{
    return MR_CONTAINER_OF(conn->base.net, struct net_uring, base);
}

/* ---- closing --------------------------------------------------------------------------------- */

static void
conn_finish(struct uring_conn *conn)
{
    struct net_uring *net = net_of(conn);
    struct mr_list *node;

    while ((node = mr_list_pop_front(&conn->sends))) {
        struct mr_net_send *send = MR_CONTAINER_OF(node, struct mr_net_send, node);

        send->done(send, -ECANCELED);
    }
    close(conn->fd); /* once in a connection's life; does not block without SO_LINGER */
    conn->fd = -1;
    conn->state = CONN_FREE;
    net->base.connections--;
    net->base.events.closed(conn->base.user, conn->reason);
    mr_list_push_back(&net->conns_free, &conn->starved_node);
}

/* A timeout of zero brings the end of a connection out of the stack of whoever closed it. */
static void
arm_endings(struct net_uring *net)
{
    struct io_uring_sqe *sqe;

    if (net->end_armed) {
        return;
    }
    net->end_armed = true;
    sqe = mr_uring_prepare(net->uring, &net->end_op);
    io_uring_prep_nop(sqe);
}

static void
on_endings(struct mr_uring_op *op, int32_t result, uint32_t flags)
{
    struct net_uring *net = MR_CONTAINER_OF(op, struct net_uring, end_op);
    struct mr_list *node;

    (void)result; /* a no-op cannot fail */
    (void)flags;
    net->end_armed = false;
    while ((node = mr_list_pop_front(&net->endings))) {
        struct uring_conn *conn = MR_CONTAINER_OF(node, struct uring_conn, ending_node);

        conn->ending = false;
        conn_finish(conn);
    }
}

static void
conn_try_finish(struct uring_conn *conn)
{
    struct net_uring *net = net_of(conn);

    if (conn->state == CONN_CLOSING && !conn->receiving && !conn->sending && !conn->watching &&
        !conn->connecting && !conn->timing && !conn->ending) {
        conn->ending = true;
        mr_list_push_back(&net->endings, &conn->ending_node);
        arm_endings(net);
    }
}

/* The poll's last completion comes later. */
static void
conn_unwatch(struct uring_conn *conn)
{
    if (conn->watching) {
        io_uring_prep_cancel(mr_uring_prepare_quiet(net_of(conn)->uring), &conn->watch_op, 0);
    }
}

static void
conn_close(struct uring_conn *conn, int reason)
{
    if (conn->state != CONN_OPEN && conn->state != CONN_CONNECTING) {
        return;
    }
    if (conn->connecting) {
        io_uring_prep_cancel(mr_uring_prepare_quiet(net_of(conn)->uring), &conn->connect_op, 0);
    }
    conn->state = CONN_CLOSING;
    conn->reason = reason;
    if (conn->starved) {
        mr_list_remove(&conn->starved_node);
        conn->starved = false;
    }
    conn_unwatch(conn);
    shutdown(conn->fd, SHUT_RDWR); /* ends what is in flight; once in a connection's life */
    conn_try_finish(conn);
}

static void
uring_close(struct mr_net_conn *base)
{
    conn_close(MR_CONTAINER_OF(base, struct uring_conn, base), 0);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Gathers as many queued slices as fit into one message. */
static unsigned
gather(struct uring_conn *conn)
{
    unsigned count = 0;

    MR_LIST_FOR_EACH(node, &conn->sends)
    {
        struct mr_net_send *send = MR_CONTAINER_OF(node, struct mr_net_send, node);

        for (unsigned i = send->iov_at; i < send->iov_count && count < SEND_IOV_MAX; i++) {
            size_t skip = i == send->iov_at ? send->iov_skip : 0;

            conn->iov[count].iov_base = (uint8_t *)send->iov[i].iov_base + skip;
            conn->iov[count].iov_len = send->iov[i].iov_len - skip;
            count++;
        }
        if (count == SEND_IOV_MAX) {
            break;
        }
    }
    return count;
}

static void
conn_transmit(struct uring_conn *conn)
{
    struct io_uring_sqe *sqe;

    if (conn->sending || mr_list_empty(&conn->sends) || conn->state != CONN_OPEN) {
        return;
    }
    conn->message.msg_iov = conn->iov;
    conn->message.msg_iovlen = gather(conn);
    conn->sending = true;
    sqe = mr_uring_prepare(net_of(conn)->uring, &conn->send_op);
    io_uring_prep_sendmsg(sqe, conn->fd, &conn->message, MSG_NOSIGNAL);
}

/* Takes `size` sent bytes off the queue's front, ending the sends they complete. */
static void
consume(struct uring_conn *conn, size_t size)
{
    while (!mr_list_empty(&conn->sends)) {
        struct mr_net_send *send = MR_CONTAINER_OF(conn->sends.next, struct mr_net_send, node);

        while (send->iov_at < send->iov_count) {
            size_t left = send->iov[send->iov_at].iov_len - send->iov_skip;

            if (size < left) {
                send->iov_skip += size;
                return;
            }
            size -= left;
            send->iov_at++;
            send->iov_skip = 0;
        }
        mr_list_remove(&send->node);
        send->done(send, 0);
        if (conn->state != CONN_OPEN || size == 0) {
            return;
        }
    }
}

static void
on_sent(struct mr_uring_op *op, int32_t result, uint32_t flags)
{
    struct uring_conn *conn = MR_CONTAINER_OF(op, struct uring_conn, send_op);

    (void)flags; /* a single-shot operation */
    if (conn->state == CONN_OPEN && result < 0 && result != -EINTR && result != -EAGAIN) {
        conn_close(conn, result);
    } else if (conn->state == CONN_OPEN && result > 0) {
        conn->base.net->bytes_sent += (uint64_t)result;
        conn->base.bytes_sent += (uint64_t)result;
        consume(conn,
                (size_t)result); /* a send from inside a `done` must not start before its end */
    }
    conn->sending = false;
    conn_transmit(conn);
    conn_try_finish(conn);
}

static void
uring_send(struct mr_net_conn *base, struct mr_net_send *send)
{
    struct uring_conn *conn = MR_CONTAINER_OF(base, struct uring_conn, base);

    mr_list_push_back(&conn->sends, &send->node);
    conn_transmit(conn);
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void
give_buffer(struct net_uring *net, struct mr_net_buf *buf)
{
    io_uring_buf_ring_add(net->ring, buf->data, buf->size, (unsigned short)buf->index,
                          io_uring_buf_ring_mask(net->buffer_count), 0);
    io_uring_buf_ring_advance(net->ring, 1);
    net->base.buffers_free++;
}

/* A quarter of the buffers must be free before the starved go on, or each would starve again after
 * one packet. */
static bool
enough_buffers(const struct net_uring *net)
{
    return net->base.buffers_free * 4 >= net->buffer_count;
}

static void
uring_buf_free(struct mr_net *base, struct mr_net_buf *buf)
{
    struct net_uring *net = MR_CONTAINER_OF(base, struct net_uring, base);
    struct mr_list *node;

    give_buffer(net, buf);
    if (!enough_buffers(net)) {
        return;
    }
    while ((node = mr_list_pop_front(&net->starved))) {
        struct uring_conn *conn = MR_CONTAINER_OF(node, struct uring_conn, starved_node);

        conn->starved = false;
        conn_receive(conn);
    }
}

static void
conn_receive(struct uring_conn *conn)
{
    struct io_uring_sqe *sqe;

    if (conn->receiving || conn->paused || conn->state != CONN_OPEN) {
        return;
    }
    conn->receiving = true;
    sqe = mr_uring_prepare(net_of(conn)->uring, &conn->receive_op);
    io_uring_prep_recv_multishot(sqe, conn->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
}

static void
deliver(struct uring_conn *conn, int32_t size, uint32_t flags)
{
    struct net_uring *net = net_of(conn);
    struct mr_net_buf *buf = &net->buffers[flags >> IORING_CQE_BUFFER_SHIFT];

    MR_ASSERT(buf->references == 0);
    net->base.buffers_free--;
    if (size <= 0 || conn->state != CONN_OPEN) {
        give_buffer(net, buf);
        return;
    }
    buf->references = 1;
    net->base.bytes_received += (uint64_t)size;
    net->base.events.received(conn->base.user, buf, buf->data, (uint32_t)size);
}

static void
on_received(struct mr_uring_op *op, int32_t result, uint32_t flags)
{
    struct uring_conn *conn = MR_CONTAINER_OF(op, struct uring_conn, receive_op);
    struct net_uring *net = net_of(conn);

    if (!(flags & IORING_CQE_F_MORE)) {
        conn->receiving = false;
    }
    if (flags & IORING_CQE_F_BUFFER) {
        deliver(conn, result, flags);
    }
    if (result == 0) {
        conn_close(conn, 0);
    } else if (result == -ENOBUFS && conn->state == CONN_OPEN) {
        /* The buffers may have come back since the kernel looked; then nobody would wake us. */
        if (!conn->starved && !conn->paused && !enough_buffers(net)) {
            conn->starved = true;
            mr_list_push_back(&net->starved, &conn->starved_node);
        }
    } else if (result < 0 && result != -ECANCELED && result != -EINTR) {
        conn_close(conn, result);
    }
    if (!conn->starved) {
        conn_receive(conn);
    }
    judge_end(conn);
    conn_try_finish(conn);
}

/* A paused connection has no receive that would tell of the peer's end: a poll does. */
static void
conn_watch(struct uring_conn *conn)
{
    struct io_uring_sqe *sqe;

    if (conn->watching || !conn->paused || conn->state != CONN_OPEN) {
        return;
    }
    conn->watching = true;
    conn->end_seen = false;
    sqe = mr_uring_prepare(net_of(conn)->uring, &conn->watch_op);
    /* Multishot, because a single shot would complete over and over once the peer has closed. */
    io_uring_prep_poll_multishot(sqe, conn->fd, POLLRDHUP);
}

/* The peer has closed its side: that is the end when nothing unread lies before it. */
static void
judge_end(struct uring_conn *conn)
{
    int unread = 0;

    if (conn->state != CONN_OPEN || !conn->paused || !conn->end_seen || conn->receiving) {
        return;
    }
    if (ioctl(conn->fd, FIONREAD, &unread) != 0 || unread == 0) {
        conn_close(conn, 0);
    } else if (!conn->leaving) {
        conn->leaving = true;
        conn->base.net->events.leaving(conn->base.user);
    }
}

static void
on_watched(struct mr_uring_op *op, int32_t result, uint32_t flags)
{
    struct uring_conn *conn = MR_CONTAINER_OF(op, struct uring_conn, watch_op);

    if (!(flags & IORING_CQE_F_MORE)) {
        conn->watching = false;
    }
    if (result > 0) {
        conn->end_seen = true;
        if (conn->paused && (result & (POLLERR | POLLHUP))) {
            conn_close(conn, -ECONNRESET);
        }
        judge_end(conn);
    }
    if (result > 0 || result == -ECANCELED) {
        conn_watch(conn);
    }
    conn_try_finish(conn);
}

static void
uring_pause(struct mr_net_conn *base)
{
    struct uring_conn *conn = MR_CONTAINER_OF(base, struct uring_conn, base);
    struct io_uring_sqe *sqe;

    if (conn->paused || (conn->state != CONN_OPEN && conn->state != CONN_CONNECTING)) {
        return;
    }
    conn->paused = true;
    conn->leaving = false;
    if (conn->starved) {
        mr_list_remove(&conn->starved_node);
        conn->starved = false;
    }
    if (conn->receiving) {
        sqe = mr_uring_prepare_quiet(net_of(conn)->uring);
        io_uring_prep_cancel(sqe, &conn->receive_op, 0);
    }
    conn_watch(conn);
}

static void
uring_resume(struct mr_net_conn *base)
{
    struct uring_conn *conn = MR_CONTAINER_OF(base, struct uring_conn, base);

    conn->paused = false;
    conn_unwatch(conn);
    conn_receive(conn);
}

/* ---- accepting ------------------------------------------------------------------------------- */

static void
host_text(int fd, char *out, size_t size)
{
    struct sockaddr_storage address;
    socklen_t address_size = sizeof(address);

    snprintf(out, size, "unknown");
    if (getpeername(fd, (struct sockaddr *)&address, &address_size) == 0) {
        getnameinfo((struct sockaddr *)&address, address_size, out, (socklen_t)size, NULL, 0,
                    NI_NUMERICHOST);
    }
}

/* NULL: connections_max are there. */
static struct uring_conn *
conn_new(struct net_uring *net, enum conn_state state, int fd)
{
    struct mr_list *node = mr_list_pop_front(&net->conns_free);
    struct uring_conn *conn;

    if (!node) {
        return NULL;
    }
    conn = MR_CONTAINER_OF(node, struct uring_conn, starved_node);
    conn->state = state;
    conn->fd = fd;
    conn->reason = 0;
    conn->paused = false;
    conn->starved = false;
    conn->end_seen = false;
    conn->base.bytes_sent = 0;
    mr_list_init(&conn->sends);
    net->base.connections++;
    return conn;
}

static void
admit(struct net_uring *net, int fd)
{
    struct uring_conn *conn = conn_new(net, CONN_OPEN, fd);
    char host[HOST_TEXT_SIZE];

    if (!conn) {
        net->base.refused++;
        close(fd);
        return;
    }
    host_text(fd, host, sizeof(host));
    conn->base.user = net->base.events.accepted(net->base.events.context, &conn->base, host);
    if (!conn->base.user) {
        net->base.refused++;
        net->base.connections--;
        conn->state = CONN_FREE;
        close(fd);
        mr_list_push_back(&net->conns_free, &conn->starved_node);
        return;
    }
    conn_receive(conn);
}

static void
arm_accept(struct net_uring *net)
{
    struct io_uring_sqe *sqe = mr_uring_prepare(net->uring, &net->accept_op);

    io_uring_prep_multishot_accept(sqe, net->listen_fd, NULL, NULL, SOCK_CLOEXEC);
}

static void
on_accept_again(struct mr_uring_op *op, int32_t result, uint32_t flags)
{
    struct net_uring *net = MR_CONTAINER_OF(op, struct net_uring, accept_again_op);

    (void)result; /* -ETIME: as asked */
    (void)flags;
    if (net->accepting) {
        arm_accept(net);
    }
}

/* Without a descriptor to spare the next accept fails at once: it has to wait a little. */
static void
accept_failed(struct net_uring *net, int error)
{
    static struct __kernel_timespec delay = {.tv_nsec = ACCEPT_AGAIN_NS};
    struct io_uring_sqe *sqe;

    if (!net->accept_failing) {
        net->accept_failing = true;
        MR_LOG_WARN("net", "accept: %s; trying again until it works", strerror(-error));
    }
    sqe = mr_uring_prepare(net->uring, &net->accept_again_op);
    io_uring_prep_timeout(sqe, &delay, 0, 0);
}

static void
on_accepted(struct mr_uring_op *op, int32_t result, uint32_t flags)
{
    struct net_uring *net = MR_CONTAINER_OF(op, struct net_uring, accept_op);

    if (result >= 0 && !net->accepting) {
        close(result);
    } else if (result >= 0) {
        net->accept_failing = false;
        admit(net, result);
    } else if (net->accepting && result != -EINTR && !(flags & IORING_CQE_F_MORE)) {
        accept_failed(net, result);
        return;
    }
    if (!(flags & IORING_CQE_F_MORE) && net->accepting) {
        arm_accept(net);
    }
}

static int
open_listener(const char *host, uint16_t port, uint16_t *port_out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    struct sockaddr_storage bound;
    socklen_t bound_size = sizeof(bound);
    char port_text[8];
    int one = 1;
    int error = 0;
    int fd;

    snprintf(port_text, sizeof(port_text), "%u", port);
    if (getaddrinfo(host, port_text, &hints, &found) != 0) {
        return -EADDRNOTAVAIL;
    }
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* Accepted sockets inherit TCP_NODELAY; the rest concerns the listener alone. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) != 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, LISTEN_BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &bound_size) != 0) {
        error = -errno;
    }
    freeaddrinfo(found);
    if (error) {
        if (fd >= 0) {
            close(fd);
        }
        return error;
    }
    *port_out = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                  : ((struct sockaddr_in *)&bound)->sin_port);
    return fd;
}

static int
uring_listen(struct mr_net *base, const char *host, uint16_t port, uint16_t *port_out)
{
    struct net_uring *net = MR_CONTAINER_OF(base, struct net_uring, base);
    int fd = open_listener(host, port, port_out);

    if (fd < 0) {
        return fd;
    }
    net->listen_fd = fd;
    net->accepting = true;
    arm_accept(net);
    return 0;
}

static void
uring_listen_stop(struct mr_net *base)
{
    struct net_uring *net = MR_CONTAINER_OF(base, struct net_uring, base);

    if (!net->accepting) {
        return;
    }
    net->accepting = false;
    shutdown(net->listen_fd, SHUT_RDWR); /* ends the multishot accept */
    close(net->listen_fd);
    net->listen_fd = -1;
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void
on_connected(struct mr_uring_op *op, int32_t result, uint32_t flags)
{
    struct uring_conn *conn = MR_CONTAINER_OF(op, struct uring_conn, connect_op);

    (void)flags; /* a single-shot operation */
    conn->connecting = false;
    if (conn->timing) {
        io_uring_prep_timeout_remove(mr_uring_prepare_quiet(net_of(conn)->uring),
                                     (uint64_t)(uintptr_t)&conn->timeout_op, 0);
    }
    if (conn->state == CONN_CONNECTING && result == 0) {
        conn->state = CONN_OPEN;
        conn->base.net->events.connected(conn->base.user, &conn->base);
        conn_receive(conn);
        conn_watch(conn);
        conn_transmit(conn);
    } else if (conn->state == CONN_CONNECTING) {
        conn_close(conn, result);
    }
    conn_try_finish(conn);
}

static void
on_connect_timeout(struct mr_uring_op *op, int32_t result, uint32_t flags)
{
    struct uring_conn *conn = MR_CONTAINER_OF(op, struct uring_conn, timeout_op);

    (void)result; /* -ETIME, or cancelled because the connect has ended */
    (void)flags;
    conn->timing = false;
    if (conn->state == CONN_CONNECTING) {
        conn_close(conn, -ETIMEDOUT);
    }
    conn_try_finish(conn);
}

/* The socket of a connection to be; -errno. */
static int
open_socket(const struct mr_net_target *target, struct sockaddr_storage *address,
            socklen_t *address_size)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found;
    char port_text[8];
    int one = 1;
    int fd;

    snprintf(port_text, sizeof(port_text), "%u", target->port);
    if (getaddrinfo(target->host, port_text, &hints, &found) != 0) {
        return -EINVAL;
    }
    memcpy(address, found->ai_addr, found->ai_addrlen); /* once in a connection's life */
    *address_size = found->ai_addrlen;
    freeaddrinfo(found);
    fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    return fd;
}

static int
uring_connect(struct mr_net *base, const struct mr_net_target *target, void *user,
              struct mr_net_conn **out)
{
    struct net_uring *net = MR_CONTAINER_OF(base, struct net_uring, base);
    struct sockaddr_storage address = {0};
    socklen_t address_size = 0;
    int fd = open_socket(target, &address, &address_size);
    struct io_uring_sqe *sqe;
    struct uring_conn *conn;

    if (fd < 0) {
        return fd;
    }
    conn = conn_new(net, CONN_CONNECTING, fd);
    if (!conn) {
        close(fd);
        return -ENOBUFS;
    }
    conn->base.user = user;
    conn->address = address;
    conn->timeout.tv_sec = (long long)(target->timeout_ns / MR_NS_PER_S);
    conn->timeout.tv_nsec = (long long)(target->timeout_ns % MR_NS_PER_S);
    conn->connecting = true;
    conn->timing = true;
    sqe = mr_uring_prepare(net->uring, &conn->connect_op);
    io_uring_prep_connect(sqe, fd, (struct sockaddr *)&conn->address, address_size);
    sqe = mr_uring_prepare(net->uring, &conn->timeout_op);
    io_uring_prep_timeout(sqe, &conn->timeout, 0, 0);
    *out = &conn->base;
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
uring_destroy(struct mr_net *base)
{
    struct net_uring *net = MR_CONTAINER_OF(base, struct net_uring, base);

    uring_listen_stop(base);
    if (net->ring) {
        io_uring_unregister_buf_ring(&net->uring->ring, BUFFER_GROUP);
        free(net->ring);
    }
    free(net->buffers);
    free(net->conns);
    free(net);
}

static const struct mr_net_ops uring_ops = {
    .listen = uring_listen,
    .listen_stop = uring_listen_stop,
    .connect = uring_connect,
    .send = uring_send,
    .pause = uring_pause,
    .resume = uring_resume,
    .close = uring_close,
    .buf_free = uring_buf_free,
    .destroy = uring_destroy,
};

static int
create_buffers(struct net_uring *net, const struct mr_net_uring_config *config)
{
    struct io_uring_buf_reg registration = {.bgid = BUFFER_GROUP};
    size_t bytes = config->buffer_count * sizeof(struct io_uring_buf);
    int error;

    bytes = (bytes + 4095) & ~(size_t)4095;
    net->ring = aligned_alloc(4096, bytes);
    net->buffers = calloc(config->buffer_count, sizeof(*net->buffers));
    if (!net->ring || !net->buffers) {
        return -ENOMEM;
    }
    memset(net->ring, 0, bytes);
    registration.ring_addr = (uint64_t)(uintptr_t)net->ring;
    registration.ring_entries = config->buffer_count;
    error = io_uring_register_buf_ring(&net->uring->ring, &registration, 0);
    if (error) {
        return error;
    }
    io_uring_buf_ring_init(net->ring);
    for (uint32_t i = 0; i < config->buffer_count; i++) {
        net->buffers[i] = (struct mr_net_buf){
            .net = &net->base,
            .data = config->arena + (size_t)i * config->buffer_size,
            .size = config->buffer_size,
            .index = i,
        };
        give_buffer(net, &net->buffers[i]);
    }
    return 0;
}

int
mr_net_uring_create(const struct mr_net_uring_config *config, const struct mr_net_events *events,
                    struct mr_net **out)
{
    struct net_uring *net = calloc(1, sizeof(*net));
    int error;

    if (!net) {
        return -ENOMEM;
    }
    net->base.ops = &uring_ops;
    net->base.events = *events;
    net->base.connections_max = config->connections_max;
    net->base.buffers_max = config->buffer_count;
    net->uring = config->uring;
    net->listen_fd = -1;
    net->accept_op.done = on_accepted;
    net->accept_again_op.done = on_accept_again;
    net->end_op.done = on_endings;
    net->buffer_count = config->buffer_count;
    mr_list_init(&net->conns_free);
    mr_list_init(&net->starved);
    mr_list_init(&net->endings);
    net->conns = calloc(config->connections_max, sizeof(*net->conns));
    error = net->conns ? create_buffers(net, config) : -ENOMEM;
    if (error) {
        uring_destroy(&net->base);
        return error;
    }
    for (uint32_t i = 0; i < config->connections_max; i++) {
        struct uring_conn *conn = &net->conns[i];

        conn->base.net = &net->base;
        conn->connect_op.done = on_connected;
        conn->timeout_op.done = on_connect_timeout;
        conn->receive_op.done = on_received;
        conn->watch_op.done = on_watched;
        conn->send_op.done = on_sent;
        mr_list_push_back(&net->conns_free, &conn->starved_node);
    }
    *out = &net->base;
    return 0;
}
