/* kafka/conn.c: framing, order, and the limits of one connection. */
#include "dataplane/kafka/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/endian.h"
#include "dataplane/base/log.h"
#include "dataplane/kafka/api.h"
#include "dataplane/kafka/throttle.h"

#define LENGTH_SIZE      4u
#define REQUESTS_MAX     128u  /* of one connection, in progress */
#define COALESCE_MAX     4096u /* arrivals up to this are moved up to the bytes before them */
#define SLICE_FRAME_MAX  (4u * 1024 * 1024) /* larger frames are gathered on the heap */
#define STALLED_CHECK_NS (250 * MR_NS_PER_MS)
#define FRAME_TIMEOUT_NS (30 * MR_NS_PER_S) /* without a byte of a frame that has begun */
#define HEAP_PIECE       (256u * 1024)      /* the least that a heap frame takes, or all of it */
#define WINDOW_NS        (5 * MR_NS_PER_S)  /* a frame is slow with fewer than */
#define WINDOW_BYTES     (512u * 1024)      /* these in this time */
#define HEAP_AGE_NS      (60 * MR_NS_PER_S) /* an unfinished frame may be closed for others' sake */
#define HEAP_STUCK_NS    MR_NS_PER_S        /* all frames have waited for each other's memory */
#define SEND_TIMEOUT_NS  (60 * MR_NS_PER_S) /* without a byte taken of what is being sent */

static void conn_cut(struct mr_conn *conn);

/* ---- waiting --------------------------------------------------------------------------------- */

static void
conn_pause(struct mr_conn *conn)
{
    if (!conn->paused && conn->net) {
        conn->paused = true;
        mr_net_pause(conn->net);
    }
}

static void
conn_resume(struct mr_conn *conn)
{
    if (conn->paused && conn->net && !conn->held && !conn->throttled && !conn->ending &&
        mr_list_empty(&conn->waiting_node)) {
        conn->paused = false;
        mr_net_resume(conn->net);
    }
}

static void
conn_wait(struct mr_conn *conn)
{
    if (mr_list_empty(&conn->waiting_node)) {
        mr_list_push_back(&conn->server->conns_waiting, &conn->waiting_node);
    }
    conn_pause(conn);
}

void
mr_conn_retry_all(struct mr_server *server)
{
    struct mr_list waiting;
    struct mr_list *node;

    /* Those that have to wait again go to the end of the server's list, not of this one. */
    mr_list_init(&waiting);
    while ((node = mr_list_pop_front(&server->conns_waiting))) {
        mr_list_push_back(&waiting, node);
    }
    while ((node = mr_list_pop_front(&waiting))) {
        struct mr_conn *conn = MR_CONTAINER_OF(node, struct mr_conn, waiting_node);

        mr_conn_go_on(conn);
    }
}

void
mr_conn_go_on(struct mr_conn *conn)
{
    mr_conn_advance(conn);
    conn_cut(conn);
    conn_resume(conn);
}

void
mr_conn_mark(struct mr_conn *conn)
{
    if (conn->patient) {
        conn->patient = false;
        mr_list_remove(&conn->dirty_node);
    }
    if (mr_list_empty(&conn->dirty_node)) {
        mr_list_push_back(&conn->server->conns_dirty, &conn->dirty_node);
    }
}

void
mr_conn_mark_patient(struct mr_conn *conn)
{
    if (mr_list_empty(&conn->dirty_node)) {
        conn->patient = true;
        mr_list_push_back(&conn->server->conns_patient, &conn->dirty_node);
    }
}

void
mr_conn_request_freed(struct mr_conn *conn, size_t frame_size)
{
    conn->request_count--;
    conn->request_bytes -= frame_size;
    if (conn->held && conn->request_count <= REQUESTS_MAX / 2 &&
        conn->request_bytes <= conn->server->config.connection_bytes_max / 2) {
        conn->held = false;
        mr_conn_mark(conn);
    }
}

/* ---- slices ---------------------------------------------------------------------------------- */

/* Moves a small arrival up to the end of the bytes before it, so that a frame that comes in crumbs
 * does not pin a receive buffer for each. */
static bool
coalesce(struct mr_conn *conn, const uint8_t *data, uint32_t size)
{
    struct mr_conn_slice *last;
    uint8_t *end;

    if (conn->slice_count == 0 || size > COALESCE_MAX) {
        return false;
    }
    last = &conn->slices[conn->slice_count - 1];
    end = last->buf->data + (last->data - last->buf->data) + last->size;
    if (last->buf->references != 1 || size > (size_t)(last->buf->data + last->buf->size - end)) {
        return false;
    }
    memcpy(end, data, size); /* at most COALESCE_MAX */
    last->size += size;
    return true;
}

static int
push_slice(struct mr_conn *conn, struct mr_net_buf *buf, const uint8_t *data, uint32_t size)
{
    if (coalesce(conn, data, size)) {
        mr_net_buf_release(buf);
        conn->pending += size;
        return 0;
    }
    if (conn->slice_count == conn->slice_capacity) {
        uint32_t capacity = conn->slice_capacity ? conn->slice_capacity * 2 : 16;
        struct mr_conn_slice *grown;

        if (capacity > MR_CONN_SLICES_MAX) {
            return -ENOMEM;
        }
        grown = realloc(conn->slices, capacity * sizeof(*grown));
        if (!grown) {
            return -ENOMEM;
        }
        conn->slices = grown;
        conn->slice_capacity = capacity;
    }
    conn->slices[conn->slice_count++] = (struct mr_conn_slice){buf, data, size};
    conn->pending += size;
    return 0;
}

/* Copies the first `size` pending bytes to `to` without consuming them. */
static void
peek(const struct mr_conn *conn, uint8_t *to, size_t size)
{
    for (uint32_t i = 0; size > 0; i++) {
        size_t part = conn->slices[i].size < size ? conn->slices[i].size : size;

        memcpy(to, conn->slices[i].data, part);
        to += part;
        size -= part;
    }
}

static void
drop_front(struct mr_conn *conn, uint32_t slices, uint32_t bytes_of_next)
{
    memmove(conn->slices, conn->slices + slices,
            (conn->slice_count - slices) * sizeof(conn->slices[0]));
    conn->slice_count -= slices;
    if (bytes_of_next > 0) {
        conn->slices[0].data += bytes_of_next;
        conn->slices[0].size -= bytes_of_next;
    }
}

/* Consumes `size` pending bytes, releasing the buffers that are used up. */
static void
consume(struct mr_conn *conn, size_t size)
{
    uint32_t whole = 0;

    conn->pending -= size;
    while (whole < conn->slice_count && conn->slices[whole].size <= size) {
        size -= conn->slices[whole].size;
        mr_net_buf_release(conn->slices[whole].buf);
        whole++;
    }
    drop_front(conn, whole, (uint32_t)size);
}

/* ---- frames on the heap ---------------------------------------------------------------------- */

static void
heap_short(struct mr_conn *conn)
{
    if (!conn->heap_short) {
        conn->heap_short = true;
        conn->heap_short_ns = conn->server->shard->now_ns;
    }
}

/* Makes room for the frame's first `want` bytes, in doubling steps while the budget lasts. -EAGAIN
 * where there is none. The announced length is the ceiling, never the price. */
static int
heap_reserve(struct mr_conn *conn, size_t want)
{
    struct mr_server *server = conn->server;
    size_t left = server->config.frame_heap_bytes_max - server->frame_heap_bytes;
    size_t capacity = conn->heap ? conn->heap_capacity * 2 : HEAP_PIECE;
    uint8_t *grown;

    if (want <= conn->heap_capacity) {
        return 0;
    }
    capacity = capacity < want ? want : capacity;
    capacity = capacity < conn->heap_size ? capacity : conn->heap_size;
    if (capacity - conn->heap_capacity > left) {
        capacity = want;
    }
    if (capacity - conn->heap_capacity > left) {
        heap_short(conn);
        return -EAGAIN;
    }
    grown = realloc(conn->heap, capacity);
    if (!grown) {
        heap_short(conn);
        return -EAGAIN;
    }
    server->frame_heap_bytes += capacity - conn->heap_capacity;
    conn->heap = grown;
    conn->heap_capacity = capacity;
    conn->heap_short = false;
    return 0;
}

/* Moves what is pending of the frame to the heap. */
static int
heap_take(struct mr_conn *conn)
{
    size_t left = conn->heap_size - conn->heap_filled;
    size_t size = conn->pending < left ? conn->pending : left;
    int error = heap_reserve(conn, conn->heap_filled + size);

    if (error) {
        return error;
    }
    peek(conn, conn->heap + conn->heap_filled, size);
    consume(conn, size);
    conn->heap_filled += size;
    return 0;
}

/* At least the length has arrived, so that the heap is not empty afterwards. */
static int
heap_begin(struct mr_conn *conn, size_t frame_size)
{
    conn->heap_size = frame_size;
    conn->heap_capacity = 0;
    conn->heap_filled = 0;
    conn->heap_begun_ns = conn->server->shard->now_ns;
    conn->window_ns = conn->heap_begun_ns;
    conn->window_filled = 0;
    conn->slow = false;
    return heap_take(conn);
}

static void
heap_drop(struct mr_conn *conn)
{
    conn->heap_short = false;
    if (conn->heap) {
        free(conn->heap);
        conn->server->frame_heap_bytes -= conn->heap_capacity;
        conn->server->retry_conns = true;
        conn->heap = NULL;
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static void
drop_input(struct mr_conn *conn)
{
    for (uint32_t i = 0; i < conn->slice_count; i++) {
        mr_net_buf_release(conn->slices[i].buf);
    }
    free(conn->slices);
    conn->slices = NULL;
    conn->slice_count = 0;
    conn->slice_capacity = 0;
    conn->pending = 0;
    heap_drop(conn);
}

/* Requests that other threads work on end later, without a connection. */
static void
orphan(struct mr_request *request)
{
    mr_list_remove(&request->node);
    request->conn = NULL;
    switch (request->state) {
    case MR_REQUEST_QUEUED:
        mr_request_free(request);
        break;
    case MR_REQUEST_RUNNING:
        if (request->api->abort) {
            request->api->abort(request);
        }
        break;
    case MR_REQUEST_READY:
        request->on_release(request);
        break;
    case MR_REQUEST_SENDING:
    case MR_REQUEST_FREE:
        MR_ASSERT(!"a listed request is neither being sent nor free");
        break;
    }
}

static void
drop_requests(struct mr_conn *conn)
{
    MR_LIST_FOR_EACH(node, &conn->requests)
    {
        orphan(MR_CONTAINER_OF(node, struct mr_request, node));
    }
}

/* Those that wait for data answer with what there is. */
static void
hurry_requests(struct mr_conn *conn)
{
    MR_LIST_FOR_EACH(node, &conn->requests)
    {
        struct mr_request *request = MR_CONTAINER_OF(node, struct mr_request, node);

        if (request->state == MR_REQUEST_RUNNING && request->api->hurry) {
            request->api->hurry(request);
        }
    }
}

void
mr_conn_close(struct mr_conn *conn)
{
    if (!conn->closing) {
        conn->closing = true;
        drop_input(conn);
        mr_net_close(conn->net);
    }
}

static void
conn_try_close(struct mr_conn *conn)
{
    if (conn->ending && !conn->closing && mr_list_empty(&conn->requests) && conn->sending == 0) {
        mr_conn_close(conn);
    }
}

/* Nothing more is read. What came before is answered first, and then the connection is closed. */
static void
conn_end(struct mr_conn *conn)
{
    conn->ending = true;
    drop_input(conn);
    conn_pause(conn);
    hurry_requests(conn);
    mr_conn_mark(conn);
}

/* ---- cutting frames into requests ------------------------------------------------------------ */

static void
bad_frame(struct mr_conn *conn, const char *why)
{
    conn->server->stats.frames_bad++;
    MR_LOG_WARN("kafka", "closing connection from %s: %s", conn->host, why);
    conn_end(conn);
}

/* Gives the slices of a whole frame to the request. */
static int
frame_from_slices(struct mr_conn *conn, struct mr_request *request, size_t frame_size)
{
    size_t left = frame_size;
    uint32_t count = 0;

    if (frame_size <= MR_REQUEST_INLINE_SIZE) {
        peek(conn, request->frame_inline, frame_size); /* small: pins no buffer */
        consume(conn, frame_size);
        request->frame = mr_request_alloc(request, 1, sizeof(*request->frame));
        if (!request->frame) {
            return -ENOMEM;
        }
        request->frame[0] =
            (struct iovec){request->frame_inline + LENGTH_SIZE, frame_size - LENGTH_SIZE};
        request->frame_count = 1;
        return 0;
    }
    request->frame = mr_request_alloc(request, conn->slice_count, sizeof(*request->frame));
    request->buffers = mr_request_alloc(request, conn->slice_count, sizeof(*request->buffers));
    if (!request->frame || !request->buffers) {
        return -ENOMEM;
    }
    while (left > 0) {
        struct mr_conn_slice *slice = &conn->slices[count];
        size_t size = slice->size < left ? slice->size : left;

        mr_net_buf_hold(slice->buf);
        request->buffers[request->buffer_count++] = slice->buf;
        request->frame[count] = (struct iovec){(void *)(uintptr_t)slice->data, size};
        count++;
        left -= size;
    }
    request->frame_count = count;
    consume(conn, frame_size);
    /* The length has been read; it may have straddled the first slices. */
    for (size_t skip = LENGTH_SIZE; skip > 0;) {
        size_t part = request->frame[0].iov_len < skip ? request->frame[0].iov_len : skip;

        request->frame[0].iov_base = (uint8_t *)request->frame[0].iov_base + part;
        request->frame[0].iov_len -= part;
        skip -= part;
        if (request->frame[0].iov_len == 0 && request->frame_count > 1) {
            request->frame++;
            request->frame_count--;
        }
    }
    return 0;
}

static int
frame_from_heap(struct mr_conn *conn, struct mr_request *request)
{
    request->frame = mr_request_alloc(request, 1, sizeof(*request->frame));
    if (!request->frame) {
        return -ENOMEM;
    }
    request->heap = conn->heap;
    request->heap_size = conn->heap_size;
    request->frame[0] = (struct iovec){conn->heap + LENGTH_SIZE, conn->heap_size - LENGTH_SIZE};
    request->frame_count = 1;
    conn->heap = NULL;
    return 0;
}

/* Those of a coordinator are decoded when it is their turn. */
static int
conn_decode(struct mr_request *request)
{
    int error = 0;

    if (!request->decoded) {
        mr_throttle_work_begin(request);
        error = mr_request_decode(request);
        mr_throttle_work_end(request);
    }
    return error;
}

static void
bad_request(struct mr_conn *conn, struct mr_request *request, int error)
{
    mr_request_free(request);
    bad_frame(conn, error == -ENOMEM ? "the request needs too much memory"
                                     : "malformed request, or an API or version not served");
}

/* Half of the contexts are for connections that have no request in progress: a few clients with
 * hundreds of requests behind a waiting one cannot shut all others out. */
static void
conn_request(struct mr_conn *conn, size_t frame_size)
{
    const struct mr_server *server = conn->server;
    struct mr_request *request = NULL;
    int error;

    if (conn->request_count == 0 || server->requests_used < server->config.requests_max / 2) {
        request = mr_request_take(conn->server);
    }
    if (!request) {
        conn_wait(conn);
        return;
    }
    request->conn = conn;
    request->frame_size = frame_size;
    request->arrived_ns = conn->server->shard->now_ns;
    conn->request_count++;
    conn->request_bytes += frame_size;
    error =
        conn->heap ? frame_from_heap(conn, request) : frame_from_slices(conn, request, frame_size);
    error = error ? error : mr_request_identify(request);
    if (!error && !mr_request_is_patient(request)) {
        error = conn_decode(request);
    }
    if (error) {
        bad_request(conn, request, error);
        return;
    }
    request->state = MR_REQUEST_QUEUED;
    mr_list_push_back(&conn->requests, &request->node);
    if (conn->request_count >= REQUESTS_MAX ||
        conn->request_bytes >= conn->server->config.connection_bytes_max) {
        conn->held = true;
        conn_pause(conn);
    }
    if (mr_request_is_patient(request)) {
        mr_conn_mark_patient(conn);
    } else {
        mr_conn_advance(conn);
    }
}

/* True when a whole frame is there; its size goes to `frame_size`. */
static bool
frame_ready(struct mr_conn *conn, size_t *frame_size)
{
    uint8_t length_bytes[LENGTH_SIZE];
    uint32_t length;

    if (conn->heap) {
        *frame_size = conn->heap_size;
        if (heap_take(conn) != 0) {
            conn_wait(conn);
        }
        return conn->heap_filled == conn->heap_size;
    }
    if (conn->pending < LENGTH_SIZE) {
        return false;
    }
    peek(conn, length_bytes, LENGTH_SIZE);
    length = mr_be32_get(length_bytes);
    if (length == 0 || length > conn->server->config.frame_bytes_max) {
        bad_frame(conn, "frame length out of range (socket.request.max.bytes)");
        return false;
    }
    *frame_size = (size_t)length + LENGTH_SIZE;
    if (conn->pending >= *frame_size) {
        conn->heap_short = false;
        return true;
    }
    if (*frame_size > SLICE_FRAME_MAX && heap_begin(conn, *frame_size) != 0) {
        conn_wait(conn);
    }
    return false;
}

static void
conn_cut(struct mr_conn *conn)
{
    size_t frame_size;

    while (!conn->closing && !conn->ending && !conn->held && !conn->throttled &&
           mr_list_empty(&conn->waiting_node) && frame_ready(conn, &frame_size)) {
        conn_request(conn, frame_size);
    }
}

/* ---- order ----------------------------------------------------------------------------------- */

/* What was cut behind a bad request is not carried out. */
static void
drop_queued_behind(struct mr_conn *conn, struct mr_request *request)
{
    while (request->node.next != &conn->requests) {
        struct mr_request *behind = MR_CONTAINER_OF(request->node.next, struct mr_request, node);

        MR_ASSERT(behind->state == MR_REQUEST_QUEUED);
        mr_request_free(behind);
    }
}

static void
start_queued(struct mr_conn *conn)
{
    bool unfinished = false; /* something earlier still runs */
    bool blocking = false;   /* and nothing may overlap with it */

    MR_LIST_FOR_EACH(node, &conn->requests)
    {
        struct mr_request *request = MR_CONTAINER_OF(node, struct mr_request, node);

        if (request->state == MR_REQUEST_QUEUED) {
            int error;

            if (blocking || conn->throttled || (unfinished && !request->api->overlaps)) {
                return;
            }
            error = conn_decode(request);
            if (error) {
                drop_queued_behind(conn, request);
                bad_request(conn, request, error);
                return;
            }
            request->state = MR_REQUEST_RUNNING;
            mr_throttle_work_begin(request);
            error = request->api->start(request);
            mr_throttle_work_end(request);
            if (error) {
                MR_ASSERT(error == -EAGAIN);
                request->state = MR_REQUEST_QUEUED;
                conn_wait(conn);
                return;
            }
        }
        if (request->state == MR_REQUEST_RUNNING) {
            unfinished = true;
            blocking = blocking || !request->api->overlaps;
        }
    }
}

static void
on_answer_sent(struct mr_net_send *send, int result)
{
    struct mr_request *request = MR_CONTAINER_OF(send, struct mr_request, send);
    struct mr_conn *conn = request->conn;

    conn->sending--;
    if (result == 0) {
        conn->active_ns = request->server->shard->now_ns;
    }
    /* The context may wait for other threads to release what was sent, and is in no list of the
     * connection, which may end, and be another client's, before they have. */
    request->conn = NULL;
    mr_conn_request_freed(conn, request->frame_size);
    request->on_release(request);
    conn_try_close(conn);
}

static void
send_ready(struct mr_conn *conn)
{
    while (!mr_list_empty(&conn->requests) && !conn->closing) {
        struct mr_request *request = MR_CONTAINER_OF(conn->requests.next, struct mr_request, node);

        if (request->state != MR_REQUEST_READY) {
            return;
        }
        if (request->close_after) {
            drop_requests(conn);
            conn_end(conn);
            return;
        }
        mr_list_remove(&request->node);
        mr_throttle_mute(request);
        if (request->silent) {
            request->on_release(request);
            continue;
        }
        request->state = MR_REQUEST_SENDING;
        if (conn->sending++ == 0) {
            conn->sent_bytes = mr_net_bytes_sent(conn->net);
            conn->sent_ns = conn->server->shard->now_ns;
        }
        request->send.done = on_answer_sent;
        request->send.iov = request->out.iov;
        request->send.iov_count = request->out.iov_count;
        mr_net_send(conn->net, &request->send);
    }
}

void
mr_conn_advance(struct mr_conn *conn)
{
    if (conn->closing) {
        return;
    }
    start_queued(conn);
    send_ready(conn);
    if (conn->throttled) {
        conn_pause(conn);
    }
    conn_try_close(conn);
}

/* ---- the transport's side -------------------------------------------------------------------- */

/* max.connections may be lowered while the broker runs; what is open stays. */
static bool
too_many(const struct mr_server *server)
{
    int64_t limit = server->snapshot ? server->snapshot->settings.connections_max : -1;

    return limit > 0 && server->conns_used >= (uint64_t)limit;
}

void *
mr_conn_accepted(void *context, struct mr_net_conn *net, const char *host)
{
    struct mr_server *server = context;
    struct mr_list *node;
    struct mr_conn *conn;

    if (server->stopping || too_many(server) || !(node = mr_list_pop_front(&server->conns_free))) {
        return NULL;
    }
    server->conns_used++;
    conn = MR_CONTAINER_OF(node, struct mr_conn, node);
    memset(conn, 0, sizeof(*conn));
    conn->server = server;
    conn->net = net;
    conn->active_ns = server->shard->now_ns;
    snprintf(conn->host, sizeof(conn->host), "%s", host);
    mr_list_init(&conn->waiting_node);
    mr_list_init(&conn->dirty_node);
    mr_list_init(&conn->requests);
    mr_throttle_conn_init(conn);
    mr_list_push_back(&server->conns_open, &conn->node);
    mr_server_wake_sweep(server);
    return conn;
}

/* Fills the heap frame first; what is left over, or finds no memory, becomes a slice. */
static uint32_t
fill_heap(struct mr_conn *conn, const uint8_t *data, uint32_t size)
{
    size_t want = conn->heap_size - conn->heap_filled;
    uint32_t part = size < want ? size : (uint32_t)want;

    if (conn->pending > 0 || heap_reserve(conn, conn->heap_filled + part) != 0) {
        return 0;
    }
    memcpy(conn->heap + conn->heap_filled, data, part); /* the price of a frame this large */
    conn->heap_filled += part;
    return part;
}

void
mr_conn_received(void *user, struct mr_net_buf *buf, const uint8_t *data, uint32_t size)
{
    struct mr_conn *conn = user;
    struct mr_server *server = conn->server;
    uint32_t used = 0;

    if (conn->closing || conn->ending) {
        mr_net_buf_release(buf);
        return;
    }
    conn->active_ns = server->shard->now_ns;
    conn->progress_ns = conn->active_ns;
    mr_list_remove(&conn->node);
    mr_list_push_back(&server->conns_open, &conn->node);
    if (conn->heap && conn->heap_filled < conn->heap_size) {
        used = fill_heap(conn, data, size);
    }
    if (used == size) {
        mr_net_buf_release(buf);
    } else if (push_slice(conn, buf, data + used, size - used) != 0) {
        mr_net_buf_release(buf);
        bad_frame(conn, "too many pieces");
        return;
    }
    conn_cut(conn);
}

/* The client has closed or half-closed the connection, with requests unread. They are still
 * carried out, but none of them waits for data: a client that has gone frees what it holds. */
void
mr_conn_leaving(void *user)
{
    struct mr_conn *conn = user;

    conn->leaving = true;
    hurry_requests(conn);
}

void
mr_conn_closed(void *user, int reason)
{
    struct mr_conn *conn = user;
    struct mr_server *server = conn->server;

    if (reason) {
        MR_LOG_DEBUG("kafka", "connection from %s ended: %s", conn->host, strerror(-reason));
    }
    conn->closing = true;
    conn->net = NULL;
    drop_input(conn);
    drop_requests(conn);
    mr_throttle_conn_end(conn);
    mr_list_remove(&conn->waiting_node);
    mr_list_remove(&conn->dirty_node);
    mr_list_remove(&conn->node);
    mr_list_push_back(&server->conns_free, &conn->node);
    server->conns_used--;
}

/* ---- sweep ----------------------------------------------------------------------------------- */

/* A frame that has not moved for a while gives its receive buffers back. */
static void
unpin_stalled(struct mr_conn *conn, uint64_t now_ns)
{
    size_t frame_size = LENGTH_SIZE;
    uint8_t length_bytes[LENGTH_SIZE];

    if (conn->pending == 0 || conn->heap || conn->held || !mr_list_empty(&conn->waiting_node) ||
        now_ns - conn->progress_ns < STALLED_CHECK_NS) {
        return;
    }
    if (conn->pending < LENGTH_SIZE) {
        return; /* one slice; bounded by the number of connections */
    }
    peek(conn, length_bytes, LENGTH_SIZE);
    frame_size += mr_be32_get(length_bytes);
    if (frame_size > conn->pending && heap_begin(conn, frame_size) != 0) {
        bad_frame(conn, "a stalled request, and no memory to put it aside");
    }
}

static bool
mid_frame(const struct mr_conn *conn)
{
    return (conn->pending > 0 || conn->heap) && !conn->held && !conn->throttled &&
           mr_list_empty(&conn->waiting_node);
}

/* True while answers are being sent and the client takes nothing of them. */
static bool
send_stalled(struct mr_conn *conn, uint64_t now_ns)
{
    uint64_t sent_bytes;

    if (conn->sending == 0) {
        return false;
    }
    sent_bytes = mr_net_bytes_sent(conn->net);
    if (sent_bytes != conn->sent_bytes) {
        conn->sent_bytes = sent_bytes;
        conn->sent_ns = now_ns;
    }
    return now_ns - conn->sent_ns > SEND_TIMEOUT_NS;
}

static bool
expired(struct mr_conn *conn, uint64_t now_ns)
{
    if (mid_frame(conn) && now_ns - conn->progress_ns > FRAME_TIMEOUT_NS) {
        return true;
    }
    if (send_stalled(conn, now_ns)) {
        return true;
    }
    return mr_list_empty(&conn->requests) && !conn->throttled &&
           now_ns - conn->active_ns > conn->server->config.idle_ns;
}

/* Judges how fast a frame on the heap moves; while the server lets it wait, nothing is judged. */
static void
measure(struct mr_conn *conn, uint64_t now_ns)
{
    if (!conn->heap || !mid_frame(conn)) {
        conn->window_ns = now_ns;
        conn->window_filled = conn->heap_filled;
        conn->slow = false;
    } else if (now_ns - conn->window_ns >= WINDOW_NS) {
        conn->slow = conn->heap_filled - conn->window_filled < WINDOW_BYTES;
        conn->window_ns = now_ns;
        conn->window_filled = conn->heap_filled;
    }
}

/* Somebody waits for frame memory. Frames that hardly move, or take very long, are closed; where
 * every byte belongs to frames that wait themselves, the youngest is, which has cost its client
 * least. */
static void
make_heap_room(struct mr_server *server, uint64_t now_ns)
{
    struct mr_conn *youngest = NULL;
    size_t waiting_bytes = 0;

    MR_LIST_FOR_EACH(node, &server->conns_open)
    {
        struct mr_conn *conn = MR_CONTAINER_OF(node, struct mr_conn, node);

        if (conn->closing || !conn->heap) {
            continue;
        }
        if (conn->slow || (mid_frame(conn) && now_ns - conn->heap_begun_ns > HEAP_AGE_NS)) {
            server->stats.connections_reaped++;
            bad_frame(conn, "a slow request, while others wait for its memory");
        } else if (conn->heap_short) {
            waiting_bytes += conn->heap_capacity;
            if (!youngest || conn->heap_begun_ns >= youngest->heap_begun_ns) {
                youngest = conn;
            }
        }
    }
    if (youngest && waiting_bytes == server->frame_heap_bytes &&
        now_ns - youngest->heap_short_ns >= HEAP_STUCK_NS) {
        server->stats.connections_reaped++;
        bad_frame(youngest, "large requests wait for each other's memory");
    }
}

void
mr_conn_sweep(struct mr_server *server)
{
    uint64_t now_ns = server->shard->now_ns;
    bool heap_is_short = false;

    MR_LIST_FOR_EACH(node, &server->conns_open)
    {
        struct mr_conn *conn = MR_CONTAINER_OF(node, struct mr_conn, node);

        if (conn->closing) {
            continue;
        }
        if (expired(conn, now_ns)) {
            server->stats.connections_reaped++;
            mr_conn_close(conn);
        } else {
            unpin_stalled(conn, now_ns);
            measure(conn, now_ns);
            heap_is_short |= conn->heap_short;
        }
    }
    if (heap_is_short) {
        make_heap_room(server, now_ns);
    }
}
