/* net/net.h: the transport contract: byte streams between a shard and its peers.
 *
 * Implementations: net_uring.c (kernel sockets); net_dpdk.c (net_dpdk.h: a DPDK device and our own
 * TCP); net_sim.c (net_sim.h: in memory, for tests). tests/unit/net runs one suite over all three,
 * tests/compat/dpdk.sh stock clients over DPDK.
 *
 * Thread: one shard. Callbacks run inside the shard's completions step, never inside a call of this
 * header, except that `closed` is what mr_net_close() leads to, later.
 * Memory: receive buffers belong to the transport and are lent with a count of references; what is
 * sent is borrowed until its `done`. All of both is bounded by the configuration; without a free
 * receive buffer every connection waits, and the peer's window closes. */
#ifndef MR_NET_NET_H
#define MR_NET_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "dataplane/base/list.h"

struct mr_net;
struct mr_net_conn;

/* One receive buffer, lent; give each reference back with mr_net_buf_release(). */
struct mr_net_buf {
    struct mr_net *net;
    uint8_t *data;
    uint32_t size; /* its whole size, not what was received */
    uint32_t references;
    uint32_t index;
};

/* The caller's; lent from mr_net_send() to `done`. */
struct mr_net_send {
    /* @result: 0 when the transport does not need the bytes any more (the kernel or the peer's TCP
     * has them), or -errno when the connection ended first. Exactly once. */
    void (*done)(struct mr_net_send *send, int result);
    const struct iovec *iov; /* borrowed, like what it names */
    unsigned iov_count;
    struct mr_list node; /* private */
    unsigned iov_at;     /* private: slices already sent */
    size_t iov_skip;     /* private: bytes of the next slice already sent */
};

struct mr_net_events {
    void *context;
    /* A peer has connected. `host` is its address as text, valid during the call. Returns what the
     * later callbacks get as `user`; NULL refuses, and the connection is closed. */
    void *(*accepted)(void *context, struct mr_net_conn *conn, const char *host);
    /* What mr_net_connect() asked for is there; failure is `closed`. Whoever never connects need
     * not have it. */
    void (*connected)(void *user, struct mr_net_conn *conn);
    /* `size` bytes at `data` inside `buf` have arrived; one reference to `buf` is the user's now.
     */
    void (*received)(void *user, struct mr_net_buf *buf, const uint8_t *data, uint32_t size);
    /* Reading is paused, the peer has closed or half-closed, and bytes before that end are unread:
     * it can only be told to leave. At most once a pause. */
    void (*leaving)(void *user);
    /* The last callback of a connection, after every send's `done`. `reason`: 0 where the peer
     * closed or mr_net_close() was called, else -errno. */
    void (*closed)(void *user, int reason);
};

/* Where mr_net_connect() goes. */
struct mr_net_target {
    const char *host; /* an address as text, not a name; borrowed during the call */
    uint16_t port;
    uint64_t timeout_ns; /* for the peer to answer */
};

struct mr_net_ops {
    int (*listen)(struct mr_net *net, const char *host, uint16_t port, uint16_t *port_out);
    void (*listen_stop)(struct mr_net *net);
    int (*connect)(struct mr_net *net, const struct mr_net_target *target, void *user,
                   struct mr_net_conn **out);
    void (*send)(struct mr_net_conn *conn, struct mr_net_send *send);
    void (*pause)(struct mr_net_conn *conn);
    void (*resume)(struct mr_net_conn *conn);
    void (*close)(struct mr_net_conn *conn);
    uint64_t (*bytes_sent)(const struct mr_net_conn *conn); /* NULL: the base's field */
    void (*buf_free)(struct mr_net *net, struct mr_net_buf *buf);
    void (*destroy)(struct mr_net *net);
};

struct mr_net {
    const struct mr_net_ops *ops;
    struct mr_net_events events;
    uint32_t connections;     /* open now, or being opened by us */
    uint32_t connections_max; /* further ones are accepted and closed at once */
    uint32_t buffers_free;
    uint32_t buffers_max;
    uint64_t bytes_received;
    uint64_t bytes_sent;
    uint64_t refused;
};

/* Base of every transport's connection. */
struct mr_net_conn {
    struct mr_net *net;
    void *user;
    uint64_t bytes_sent; /* the transport's: see mr_net_bytes_sent() */
};

/* Accepts connections on `host`:`port` (port 0: the system chooses; `port_out` tells). Several
 * shards may listen on the same port. 0 or -errno. */
int mr_net_listen(struct mr_net *net, const char *host, uint16_t port, uint16_t *port_out);

/* No further connection is accepted. */
void mr_net_listen_stop(struct mr_net *net);

/* Opens a connection. `connected` follows, or `closed` with -ECONNREFUSED, -ETIMEDOUT,
 * -EHOSTUNREACH or what else has failed; or with 0 after mr_net_close(), and then `connected` need
 * not have run. `user` is for these and the later callbacks. All calls are allowed at once: what is
 * sent waits until the connection is there.
 * 0, -EINVAL (no address), -ENOBUFS (connections_max are open), -EADDRNOTAVAIL (no local port). */
int mr_net_connect(struct mr_net *net, const struct mr_net_target *target, void *user,
                   struct mr_net_conn **out);

/* Queues bytes behind those already queued. On a connection that is closing `done` runs with
 * -ECANCELED. */
void mr_net_send(struct mr_net_conn *conn, struct mr_net_send *send);

/* Stops and restarts reading; bytes already on their way may still arrive after a pause. A paused
 * connection still ends when its peer resets it, and when the peer has closed or half-closed it
 * and nothing unread lies before that end; else `leaving` is called. */
void mr_net_pause(struct mr_net_conn *conn);
void mr_net_resume(struct mr_net_conn *conn);

/* Bytes that the peer's TCP or the kernel has taken so far, of unfinished sends too: shows that
 * they move on. */
uint64_t mr_net_bytes_sent(const struct mr_net_conn *conn);

/* Closes in both directions; sends not done end with -ECANCELED; then `closed` runs. Idempotent. */
void mr_net_close(struct mr_net_conn *conn);

static inline void
mr_net_buf_hold(struct mr_net_buf *buf)
{
    buf->references++;
}

void mr_net_buf_release(struct mr_net_buf *buf);

/* No connection may be open any more; NULL is fine. */
void mr_net_destroy(struct mr_net *net);

/* ---- net_uring ------------------------------------------------------------------------------- */

struct mr_uring;

struct mr_net_uring_config {
    struct mr_uring *uring; /* borrowed; outlives the transport */
    uint8_t *arena;         /* page-aligned, buffer_count x buffer_size, lent until destroy */
    uint32_t buffer_count;  /* a power of two, at most 32768 */
    uint32_t buffer_size;
    uint32_t connections_max;
};

/* Kernel sockets: a listener per shard (SO_REUSEPORT), multishot accept and receive into provided
 * buffers, one sendmsg in flight per connection. Needs Linux 6.0. 0 or -errno. */
int mr_net_uring_create(const struct mr_net_uring_config *config,
                        const struct mr_net_events *events, struct mr_net **out);

#endif
