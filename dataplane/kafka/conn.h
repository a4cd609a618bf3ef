/* kafka/conn.h: one client's connection: frames in, answers out in the order of the requests.
 *
 * Pipelining: requests start in order. Produce requests overlap: each starts as soon as the ones
 * before it have been given to their partitions. Every other request starts when all before it on
 * its connection have taken effect, that is, are answered or ready to be. Answers leave in order.
 *
 * A frame's bytes stay in the receive buffers they arrived in (a small frame is copied into its
 * request's context; a large or a stalled one is gathered on the heap under a budget, so that it
 * pins no receive buffers). That memory grows with the bytes that arrive: an announced length takes
 * none. Where it runs short, frames that hardly move are closed, and of frames that all wait for
 * each other's memory the youngest.
 *
 * A client that takes none of its answers' bytes for a minute is closed as well.
 *
 *   READING -> WAITING (for a context, memory or a credit: reading is paused) -> READING
 *   READING -> THROTTLED (a quota was exceeded) -> READING
 *   any -> ENDING (a frame is bad, or an answer closes: what came before is answered) -> CLOSING
 *   any -> CLOSING -> gone, when the transport says closed and no request is left
 */
#ifndef MR_KAFKA_CONN_H
#define MR_KAFKA_CONN_H

#include "dataplane/kafka/request.h"
#include "dataplane/kafka/server.h"

#define MR_CONN_SLICES_MAX 4096u /* receive buffers that one unfinished frame may name */

struct mr_conn_slice {
    struct mr_net_buf *buf;
    const uint8_t *data;
    uint32_t size;
};

struct mr_conn {
    struct mr_server *server;
    struct mr_net_conn *net; /* NULL once the transport has closed */
    struct mr_list node;     /* in conns_free or conns_open */
    struct mr_list waiting_node;
    struct mr_list dirty_node; /* in conns_dirty or conns_patient */
    bool patient;              /* in the latter */
    struct mr_list requests;   /* in order; the front is answered next */
    uint32_t request_count;
    size_t request_bytes;
    bool closing;
    bool ending; /* nothing more is read; closes when what came before is answered */
    bool paused;
    bool leaving; /* the client has gone, or sends no more: nothing is worth waiting for */
    bool held;    /* no further frame is cut: too much in progress */

    /* What has arrived and is not a frame yet. */
    struct mr_conn_slice *slices;
    uint32_t slice_count;
    uint32_t slice_capacity;
    size_t pending; /* bytes in slices */

    /* A frame gathered on the heap; NULL when there is none. */
    uint8_t *heap;
    size_t heap_size;       /* of the whole frame */
    size_t heap_capacity;   /* allocated, and counted in the server's frame_heap_bytes */
    size_t heap_filled;     /* arrived */
    bool heap_short;        /* waits for frame memory */
    bool slow;              /* the frame hardly moved in its last window */
    uint64_t heap_begun_ns; /* when the frame came to the heap */
    uint64_t heap_short_ns; /* since when it waits */
    uint64_t window_ns;     /* when the window began in which its speed is measured */
    size_t window_filled;   /* and what had arrived then */

    /* A quota was exceeded: nothing is read, cut or started until the timer has fired, which starts
     * when the answer that says so leaves. */
    bool throttled;
    uint64_t throttle_end_ns;
    struct mr_timer throttle_timer;

    uint32_t sending;     /* answers that the transport has */
    uint64_t sent_bytes;  /* the transport's count when it last moved */
    uint64_t sent_ns;     /* and when that was */
    uint64_t active_ns;   /* last byte received or sent */
    uint64_t progress_ns; /* last byte of the unfinished frame */
    char host[48];
};

/* Tries again what waiting connections waited for. */
void mr_conn_retry_all(struct mr_server *server);

/* Starts what may start and sends what is ready. */
void mr_conn_advance(struct mr_conn *conn);

/* mr_conn_advance(), and then reads on where the connection was held. */
void mr_conn_go_on(struct mr_conn *conn);

/* mr_conn_go_on() will be called in this turn's transmit step. */
void mr_conn_mark(struct mr_conn *conn);

/* The same in this turn or a later one: each turn takes only a few of those, so that a thousand
 * groups which rebalance at once do not make producers wait. For requests and answers of a
 * coordinator. */
void mr_conn_mark_patient(struct mr_conn *conn);

/* A request of this connection has been answered or freed: there may be room for the next frame. */
void mr_conn_request_freed(struct mr_conn *conn, size_t frame_size);

/* A protocol error, or the server stops. */
void mr_conn_close(struct mr_conn *conn);

/* Periodic: reaps idle connections, copies stalled frames out of their receive buffers. */
void mr_conn_sweep(struct mr_server *server);

/* The transport's callbacks. */
void *mr_conn_accepted(void *context, struct mr_net_conn *net, const char *host);
void mr_conn_received(void *user, struct mr_net_buf *buf, const uint8_t *data, uint32_t size);
void mr_conn_leaving(void *user);
void mr_conn_closed(void *user, int reason);

#endif
