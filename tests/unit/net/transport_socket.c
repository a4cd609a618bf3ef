/* tests/unit/net/transport_socket.c: non-blocking kernel sockets. */
#include "tests/unit/net/transport_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/mr_test.h"

struct transport_peer {
    int fd;
};

struct transport_peer *
socket_peer_begin(const char *host, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct transport_peer *peer = calloc(1, sizeof(*peer));

    MR_CHECK(peer != NULL);
    MR_CHECK_EQ(inet_pton(AF_INET, host, &address.sin_addr), 1);
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    MR_CHECK(peer->fd >= 0);
    if (connect(peer->fd, (struct sockaddr *)&address, sizeof(address)) != 0 &&
        errno != EINPROGRESS) {
        MR_CHECK_EQ(errno, ECONNREFUSED);
        socket_peer_close(peer);
        return NULL;
    }
    return peer;
}

void
socket_listener_close(struct socket_listener *listener)
{
    if (listener->fd >= 0) {
        close(listener->fd);
        close(listener->filler);
        listener->fd = -1;
    }
}

/* A port that is bound and does not listen refuses; one whose queue is full does not answer. */
void
socket_listener_open(struct socket_listener *listener, const char *host,
                     enum transport_answer answer)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);

    socket_listener_close(listener);
    MR_CHECK_EQ(inet_pton(AF_INET, host, &address.sin_addr), 1);
    listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    listener->filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MR_CHECK(listener->fd >= 0 && listener->filler >= 0);
    MR_CHECK_EQ(bind(listener->fd, (struct sockaddr *)&address, size), 0);
    MR_CHECK_EQ(getsockname(listener->fd, (struct sockaddr *)&address, &size), 0);
    listener->port = ntohs(address.sin_port);
    if (answer != TRANSPORT_REFUSES) {
        MR_CHECK_EQ(listen(listener->fd, answer == TRANSPORT_SILENT ? 0 : 16), 0);
    }
    if (answer == TRANSPORT_SILENT) {
        MR_CHECK_EQ(connect(listener->filler, (struct sockaddr *)&address, size), 0);
    }
}

struct transport_peer *
socket_listener_accept(struct socket_listener *listener)
{
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct transport_peer *peer;

    if (fd < 0) {
        return NULL;
    }
    peer = calloc(1, sizeof(*peer));
    MR_CHECK(peer != NULL);
    peer->fd = fd;
    return peer;
}

bool
socket_peer_connected(struct transport_peer **peer)
{
    struct pollfd poll_fd = {.fd = (*peer)->fd, .events = POLLOUT};
    socklen_t size = sizeof(int);
    int error = 0;

    if (poll(&poll_fd, 1, 0) == 0) {
        return false;
    }
    MR_CHECK_EQ(getsockopt((*peer)->fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    if (error) {
        MR_CHECK_EQ(error, ECONNREFUSED);
        socket_peer_close(*peer);
        *peer = NULL;
    }
    return true;
}

ssize_t
socket_peer_send(struct transport_peer *peer, const void *data, size_t size)
{
    ssize_t sent = send(peer->fd, data, size, MSG_NOSIGNAL);

    return sent < 0 ? -errno : sent;
}

ssize_t
socket_peer_receive(struct transport_peer *peer, void *out, size_t size)
{
    ssize_t got = recv(peer->fd, out, size, 0);

    return got < 0 ? -errno : got;
}

void
socket_peer_finish(struct transport_peer *peer)
{
    shutdown(peer->fd, SHUT_WR); /* fails where the connection has been reset, which is as good */
}

void
socket_peer_close(struct transport_peer *peer)
{
    close(peer->fd);
    free(peer);
}

void
socket_peer_reset(struct transport_peer *peer)
{
    struct linger linger = {.l_onoff = 1};

    setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    socket_peer_close(peer);
}
