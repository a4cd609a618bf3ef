/* kafka/request.h: one request from its frame to its answer.
 *
 *   QUEUED -> RUNNING -> READY -> SENDING -> free
 *
 * QUEUED: cut, waits for its turn (conn.h); decoded by then. RUNNING: its handler works, perhaps
 * through other threads. READY: answered, or nothing is to be answered. SENDING: the transport has
 * it. A request whose connection has gone ends without being sent.
 *
 * Thread: the shard of the connection. Other threads see parts of it (part.h) that are lent to them
 * until they reply. Contexts come from a pool; each brings memory for the usual small request. */
#ifndef MR_KAFKA_REQUEST_H
#define MR_KAFKA_REQUEST_H

#include "dataplane/base/bump.h"
#include "dataplane/kafka/server.h"
#include "dataplane/kafka/wire/messages.h"
#include "dataplane/kafka/wire/wire.h"

#define MR_REQUEST_SIZE        16384u /* a context with its memory */
#define MR_REQUEST_INLINE_SIZE 4096u  /* frames up to this are copied into the context */

enum mr_request_state {
    MR_REQUEST_FREE,
    MR_REQUEST_QUEUED,
    MR_REQUEST_RUNNING,
    MR_REQUEST_READY,
    MR_REQUEST_SENDING,
};

struct mr_api;

struct mr_request {
    struct mr_server *server;
    struct mr_conn *conn; /* NULL: the connection has gone, or has sent the answer */
    struct mr_list node;  /* in conn->requests, or the pool's free list */
    enum mr_request_state state;
    const struct mr_api *api;
    int16_t version;
    int32_t correlation_id;
    struct mr_str client_id;
    bool silent;      /* no answer is sent (acks=0) */
    bool close_after; /* close the connection instead of going on (acks=0 failed) */
    uint32_t holds;   /* threads and transports that still use the context */
    size_t frame_size;
    uint64_t arrived_ns;
    uint32_t throttle_ms;    /* a quota was exceeded: the connection waits so long (throttle.h) */
    bool decoded;            /* header and body */
    bool charged;            /* to the request quota */
    uint64_t works_since_ns; /* the thread works on it; 0: it does not, or nobody counts */
    uint64_t worked_ns;

    /* The frame: slices over receive buffers, the heap, or frame_inline. */
    struct iovec *frame;
    uint32_t frame_count;
    struct mr_net_buf **buffers;
    uint32_t buffer_count;
    uint8_t *heap;
    size_t heap_size;

    void *body; /* decoded request struct, in the bump */
    void *state_of_handler;
    struct mr_bump bump;
    struct mr_wire_out out;
    struct mr_net_send send;
    void (*on_release)(struct mr_request *request); /* the answer's bytes are not used any more */
    struct mr_ctl_request ctl;
    void (*on_control)(struct mr_request *request); /* the control thread has replied */
    uint8_t frame_inline[MR_REQUEST_INLINE_SIZE];
    _Alignas(16) uint8_t memory[];
};

/* Takes a context from the pool; NULL: none is free. */
struct mr_request *mr_request_take(struct mr_server *server);

/* Gives frame memory and context back. */
void mr_request_free(struct mr_request *request);

/* Finds API, version and correlation id in request->frame. 0; -EBADMSG: malformed, or an API that
 * is not served: close the connection. */
int mr_request_identify(struct mr_request *request);

/* Decodes header and body of an identified request. 0; -EBADMSG: malformed, or a version that is
 * not served: close the connection; -ENOMEM. An unknown version of ApiVersions is no error. */
int mr_request_decode(struct mr_request *request);

/* Whether it is the coordinator's: such a request can wait for a later turn (server.h). */
bool mr_request_is_patient(const struct mr_request *request);

/* Encodes `response` (a struct of the wire codec for the request's API and version) as the answer
 * and makes the request READY; its throttle time is filled in. What `response` points to must live
 * until on_release. */
void mr_request_answer(struct mr_request *request, void *response);

/* READY without an answer. */
void mr_request_done_silent(struct mr_request *request);

/* The answer cannot be given: closes the connection. */
void mr_request_fail(struct mr_request *request);

/* Asks the control thread to fill `response` for `body` (both of API `api_key`); `on_control` runs
 * when it has. -EAGAIN: no credit is free; nothing has happened. */
int mr_request_ask_control(struct mr_request *request, int16_t api_key, int16_t api_version,
                           const void *body, void *response,
                           void (*on_control)(struct mr_request *request));

/* The same in two steps, for who asks later: takes the credit (false: none is free), and asks with
 * it or gives it back. The question is of the request's own API. */
bool mr_request_take_control(struct mr_request *request);
void mr_request_give_control(struct mr_request *request);
void mr_request_ask_control_taken(struct mr_request *request, const void *body, void *response,
                                  void (*on_control)(struct mr_request *request));

/* A zeroed piece of the request's memory; NULL at its limit. */
void *mr_request_alloc(struct mr_request *request, size_t count, size_t size);

/* Of an array in a request: null counts as empty. */
static inline size_t
mr_array_count(int32_t count)
{
    return count > 0 ? (size_t)count : 0;
}

#endif
