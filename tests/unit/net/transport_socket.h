/* tests/unit/net/transport_socket.h: peers that are kernel sockets, for the transports that kernel
 * sockets can reach. The operations are those of struct transport_ops. */
#ifndef MR_TESTS_NET_TRANSPORT_SOCKET_H
#define MR_TESTS_NET_TRANSPORT_SOCKET_H

#include "tests/unit/net/transport.h"

/* Begins to connect; the transport has to be turned until the peer is connected. */
struct transport_peer *socket_peer_begin(const char *host, uint16_t port);

/* True once it is decided; refused: the peer is freed and NULL. */
bool socket_peer_connected(struct transport_peer **peer);

/* The peers' listener, on any port of `host`; another call ends the one before. */
struct socket_listener {
    int fd; /* -1: none */
    int filler;
    uint16_t port;
};

void socket_listener_open(struct socket_listener *listener, const char *host,
                          enum transport_answer answer);
void socket_listener_close(struct socket_listener *listener);
struct transport_peer *socket_listener_accept(struct socket_listener *listener);

ssize_t socket_peer_send(struct transport_peer *peer, const void *data, size_t size);
ssize_t socket_peer_receive(struct transport_peer *peer, void *out, size_t size);
void socket_peer_finish(struct transport_peer *peer);
void socket_peer_close(struct transport_peer *peer);
void socket_peer_reset(struct transport_peer *peer);

#endif
