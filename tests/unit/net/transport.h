/* tests/unit/net/transport.h: what a transport brings to be run through the suite: itself, and the
 * peers' side of its connections. One file each: transport_uring.c, transport_dpdk.c,
 * transport_sim.c.
 *
 * Thread: one. Lifecycle: create (listening) -> (connect, turn)* -> destroy. */
#ifndef MR_TESTS_NET_TRANSPORT_H
#define MR_TESTS_NET_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dataplane/net/net.h"

struct transport_limits {
    uint64_t seed;         /* of whatever the transport leaves to chance */
    uint32_t buffer_count; /* a power of two */
    uint32_t buffer_size;
    uint32_t connections_max;
};

struct transport_ops;

/* Base of every transport under test. */
struct transport {
    const struct transport_ops *ops;
    struct mr_net *net;
};

struct transport_peer;

/* What a connection that the transport opens meets. */
enum transport_answer {
    TRANSPORT_ACCEPTS,
    TRANSPORT_REFUSES,
    TRANSPORT_SILENT,
};

struct transport_ops {
    const char *name;
    size_t bulk_bytes;  /* more than all windows of one direction hold */
    unsigned kept_part; /* one in so many buffers is never lent to users; 0: none */
    unsigned patience;  /* turns without anything to do before what is awaited counts as lost */

    struct transport *(*create)(const struct transport_limits *limits,
                                const struct mr_net_events *events);
    void (*destroy)(struct transport *transport);
    /* Runs what is due. With `may_wait` it waits a little for it, and false then means that
     * nothing is to come. */
    bool (*turn)(struct transport *transport, bool may_wait);

    /* NULL: nobody listens. */
    struct transport_peer *(*connect)(struct transport *transport);
    /* Lets the peers' side answer so, and fills in where mr_net_connect() has to go for it. */
    void (*await)(struct transport *transport, enum transport_answer answer,
                  struct mr_net_target *out);
    /* The peer that the transport has connected to; NULL: not yet. */
    struct transport_peer *(*accept)(struct transport *transport);
    /* Both return bytes moved, or -EAGAIN; sending -EPIPE or -ECONNRESET when the connection has
     * ended; receiving 0 or -ECONNRESET then. */
    ssize_t (*send)(struct transport_peer *peer, const void *data, size_t size);
    ssize_t (*receive)(struct transport_peer *peer, void *out, size_t size);
    void (*finish)(struct transport_peer *peer); /* half-close: sends no more */
    void (*close)(struct transport_peer *peer);  /* frees the peer, like reset */
    void (*reset)(struct transport_peer *peer);
    void (*vanish)(struct transport_peer *peer); /* NULL: cannot be done */
};

extern const struct transport_ops transport_uring;
extern const struct transport_ops transport_dpdk;
extern const struct transport_ops transport_sim;

#endif
