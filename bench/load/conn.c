#include "bench/load/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/answer.h"
#include "control/cli/client.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/endian.h"

#define CONNECT_MS      10000
#define IN_ROOM         (256u << 10)
#define ANSWER_MAX      (1u << 30)
#define BUMP_FIRST      16384
#define BUMP_HEAP_MAX   (256u << 20)
#define FETCH_PART_SIZE 64 /* an upper bound for one partition in a Fetch request */

/* ---- Open and close ---- */

/* Connections go to the nodes in turn; those of one node share its partitions, so that each
 * partition has at least one, and none but its own where there are more connections. */
static int
take_partitions(struct load_conn *conn, const struct load_node *node)
{
    const struct load_plan *plan = conn->run->plan;
    int32_t rank = conn->index / plan->node_count;
    int32_t first = conn->index % plan->node_count;
    int32_t peers =
        (conn->run->options->connections - first + plan->node_count - 1) / plan->node_count;
    int32_t step = peers;

    if (peers >= node->partition_count) {
        rank %= node->partition_count;
        step = node->partition_count;
    }
    conn->parts = calloc((size_t)node->partition_count, sizeof(*conn->parts));
    conn->positions = calloc((size_t)node->partition_count, sizeof(*conn->positions));
    if (!conn->parts || !conn->positions) {
        return -ENOMEM;
    }
    for (int32_t i = rank; i < node->partition_count; i += step) {
        struct load_fetch_position *position = &conn->positions[conn->part_count];

        conn->parts[conn->part_count].index = node->partitions[i];
        position->partition = node->partitions[i];
        if (plan->offsets) {
            const struct load_offsets *offsets = &plan->offsets[node->partitions[i]];

            position->offset = conn->run->options->tail ? offsets->end : offsets->begin;
        }
        conn->part_count++;
    }
    return 0;
}

static int
make_templates(struct load_conn *conn)
{
    const struct load_run *run = conn->run;
    size_t head_max = 0;

    for (int32_t i = 0; i < conn->part_count; i++) {
        struct load_part *part = &conn->parts[i];
        int rc =
            load_template_make(&part->template, run->options, run->plan, run->payload, part->index);

        if (rc != 0) {
            return rc;
        }
        head_max = part->template.head_size > head_max ? part->template.head_size : head_max;
    }
    conn->slot_size = head_max + MR_BATCH_HEADER_SIZE;
    return 0;
}

int
load_conn_open(struct load_conn *conn, const struct load_run *run, int32_t index,
               struct load_stats *stats)
{
    const struct load_node *node = &run->plan->nodes[index % run->plan->node_count];
    int rc;

    *conn = (struct load_conn){.run = run, .stats = stats, .fd = -1, .index = index};
    conn->producer.id = MR_BATCH_NO_PRODUCER;
    if (run->plan->producers) {
        conn->producer = run->plan->producers[index];
    }
    rc = take_partitions(conn, node);
    if (rc == 0 && !run->options->fetch) {
        rc = make_templates(conn);
    }
    if (run->options->fetch) {
        conn->slot_size = 1024 + (size_t)conn->part_count * FETCH_PART_SIZE;
    }
    conn->slots = malloc(conn->slot_size * LOAD_GROUP_MAX);
    conn->intended = calloc((size_t)run->options->in_flight, sizeof(*conn->intended));
    conn->in_room = IN_ROOM;
    conn->in = malloc(conn->in_room);
    conn->bump_first = aligned_alloc(16, BUMP_FIRST);
    if (rc != 0 || !conn->slots || !conn->intended || !conn->in || !conn->bump_first) {
        fputs("mr_load: out of memory\n", stderr);
        return -ENOMEM;
    }
    mr_bump_init(&conn->bump, conn->bump_first, BUMP_FIRST, BUMP_HEAP_MAX);
    conn->fd = run->io->dial(node->host, node->port, CONNECT_MS);
    if (conn->fd < 0) {
        fprintf(stderr, "mr_load: cannot connect to %s port %s: %s\n", node->host, node->port,
                strerror(-conn->fd));
        return conn->fd;
    }
    return 0;
}

void
load_conn_close(struct load_conn *conn)
{
    if (conn->fd >= 0) {
        conn->run->io->close(conn->fd);
    }
    for (int32_t i = 0; i < conn->part_count; i++) {
        free(conn->parts[i].template.bytes);
    }
    if (conn->bump_first) {
        mr_bump_reset(&conn->bump);
    }
    free(conn->parts);
    free(conn->positions);
    free(conn->slots);
    free(conn->intended);
    free(conn->in);
    free(conn->bump_first);
}

static void
lose(struct load_conn *conn)
{
    if (!conn->dead) {
        conn->dead = true;
        conn->stats->connections_lost++;
    }
}

/* ---- Sending ---- */

/* When the next request shall start; a closed loop's is due at once. */
static uint64_t
next_intended(const struct load_conn *conn, uint64_t now_ns)
{
    const struct load_run *run = conn->run;
    double place;

    if (run->interval_ns == 0) {
        return now_ns;
    }
    place = (double)conn->started * run->options->connections + conn->index;
    return run->start_ns + (uint64_t)(place * run->interval_ns);
}

static bool
is_full(const struct load_conn *conn)
{
    return conn->started - conn->answered == (uint64_t)conn->run->options->in_flight;
}

static void
add_slice(struct load_conn *conn, void *bytes, size_t size)
{
    if (size > 0) {
        conn->iov[conn->iov_count++] = (struct iovec){bytes, size};
    }
}

/* The head with its correlation id and the batch header lie in the slot; records are shared. */
static void
build_produce(struct load_conn *conn, uint8_t *slot, int64_t wall_ms)
{
    const struct load_payload *payload = conn->run->payload;
    struct load_part *part = &conn->parts[conn->part_next];
    const struct load_template *template = &part->template;
    bool numbered = conn->producer.id != MR_BATCH_NO_PRODUCER;

    conn->part_next = (conn->part_next + 1) % conn->part_count;
    memcpy(slot, template->bytes, template->head_size);
    mr_be32_put(slot + LOAD_CORRELATION_AT, (uint32_t)conn->started);
    load_payload_header(payload, wall_ms, conn->producer.id, conn->producer.epoch, part->sequence,
                        slot + template->head_size);
    if (numbered) {
        /* Sequence numbers wrap to 0 after the largest int32. */
        part->sequence =
            (int32_t)(((uint32_t)part->sequence + (uint32_t)payload->header.record_count) &
                      INT32_MAX);
    }
    add_slice(conn, slot, template->head_size + MR_BATCH_HEADER_SIZE);
    add_slice(conn, payload->batch + MR_BATCH_HEADER_SIZE, payload->size - MR_BATCH_HEADER_SIZE);
    add_slice(conn, template->bytes + template->head_size, template->tail_size);
}

static void
build_fetch(struct load_conn *conn, uint8_t *slot)
{
    size_t size;
    uint8_t *frame =
        load_fetch_encode(conn->run->options, conn->run->plan, conn->positions, conn->part_count,
                          (int32_t)conn->started, &conn->bump, &size);

    MR_ASSERT(frame != NULL);
    MR_ASSERT(size <= conn->slot_size);
    memcpy(slot, frame, size);
    mr_bump_reset(&conn->bump);
    add_slice(conn, slot, size);
}

/* Time that the connection could not send is the broker's; only the rest is our own lag. */
static void
note_start(struct load_conn *conn, uint64_t intended, uint64_t now_ns)
{
    uint64_t from = intended > conn->free_ns ? intended : conn->free_ns;

    conn->intended[conn->started % (uint64_t)conn->run->options->in_flight] = intended;
    if (conn->run->interval_ns == 0 || intended < conn->run->measure_ns) {
        return;
    }
    mr_histo_record(&conn->stats->lag_ns, now_ns > from ? now_ns - from : 0);
    conn->stats->held_back += intended < conn->free_ns;
}

/* Builds the requests that are due, up to a group; returns how many. */
static unsigned
build_group(struct load_conn *conn, uint64_t now_ns)
{
    int64_t wall_ms = 0;
    unsigned count = 0;

    conn->iov_at = 0;
    conn->iov_count = 0;
    while (count < LOAD_GROUP_MAX && !is_full(conn)) {
        uint64_t intended = next_intended(conn, now_ns);
        uint8_t *slot = conn->slots + count * conn->slot_size;

        if (intended > now_ns || intended >= conn->run->end_ns) {
            break;
        }
        if (count == 0) {
            wall_ms = mr_clock_wall_ms(&mr_clock_system);
        }
        if (conn->run->options->fetch) {
            build_fetch(conn, slot);
        } else {
            build_produce(conn, slot, wall_ms);
        }
        note_start(conn, intended, now_ns);
        conn->started++;
        count++;
    }
    return count;
}

/* Without acknowledgement a request is done when the kernel has all of it. */
static void
complete_unacknowledged(struct load_conn *conn)
{
    const struct load_payload *payload = conn->run->payload;
    uint64_t now_ns = mr_clock_now_ns(&mr_clock_system);

    while (conn->answered < conn->started) {
        load_answer_count(conn, conn->answered, true, (uint64_t)payload->header.record_count,
                          payload->size, now_ns);
        conn->answered++;
    }
}

static void
consume_slices(struct load_conn *conn, size_t size)
{
    while (conn->iov_at < conn->iov_count && size >= conn->iov[conn->iov_at].iov_len) {
        size -= conn->iov[conn->iov_at++].iov_len;
    }
    if (conn->iov_at < conn->iov_count) {
        struct iovec *slice = &conn->iov[conn->iov_at];

        slice->iov_base = (uint8_t *)slice->iov_base + size;
        slice->iov_len -= size;
    }
}

/* Sends the current group; false while the socket is full or after a failure. */
static bool
flush(struct load_conn *conn)
{
    while (conn->iov_at < conn->iov_count) {
        ssize_t n =
            conn->run->io->send(conn->fd, &conn->iov[conn->iov_at], conn->iov_count - conn->iov_at);

        if (n < 0 && n != -EAGAIN) {
            lose(conn);
            return false;
        }
        if (n < 0) {
            conn->blocked = true;
            return false;
        }
        consume_slices(conn, (size_t)n);
    }
    if (conn->blocked) {
        conn->blocked = false;
        conn->free_ns = mr_clock_now_ns(&mr_clock_system);
    }
    if (conn->run->options->acks == 0 && !conn->run->options->fetch) {
        complete_unacknowledged(conn);
    }
    return true;
}

/* Without acknowledgement a closed loop would never return from here: one group a call. */
void
load_conn_pump(struct load_conn *conn, uint64_t now_ns)
{
    if (conn->dead || conn->finished || conn->blocked) {
        return;
    }
    while (build_group(conn, now_ns) > 0) {
        if (!flush(conn) || conn->run->options->acks == 0) {
            return;
        }
    }
}

/* ---- Receiving ---- */

/* Handles the whole answers in the buffer and moves the rest to its beginning. */
static void
take_answers(struct load_conn *conn, uint64_t now_ns)
{
    bool was_full = is_full(conn);
    size_t at = 0;

    while (conn->in_size - at >= 4) {
        size_t size = mr_be32_get(conn->in + at);

        if (size > ANSWER_MAX) {
            conn->stats->malformed++;
            lose(conn);
            return;
        }
        if (conn->in_size - at < 4 + size) {
            break;
        }
        if (load_answer(conn, conn->in + at + 4, size, now_ns) != 0) {
            conn->stats->malformed++;
            lose(conn);
            return;
        }
        at += 4 + size;
    }
    if (at > 0) {
        memmove(conn->in, conn->in + at, conn->in_size - at);
        conn->in_size -= at;
    }
    if (was_full && !is_full(conn)) {
        conn->free_ns = now_ns;
    }
}

/* Makes room for the answer that begins the buffer, at least; false without memory. */
static bool
make_room(struct load_conn *conn)
{
    size_t need = conn->in_size >= 4 ? 4 + (size_t)mr_be32_get(conn->in) : 0;
    uint8_t *grown;

    if (need <= conn->in_room) {
        return true;
    }
    grown = realloc(conn->in, need + IN_ROOM);
    if (!grown) {
        return false;
    }
    conn->in = grown;
    conn->in_room = need + IN_ROOM;
    return true;
}

static void
receive(struct load_conn *conn)
{
    while (!conn->dead) {
        size_t room;
        ssize_t n;

        if (!make_room(conn)) {
            lose(conn);
            return;
        }
        room = conn->in_room - conn->in_size;
        n = conn->run->io->receive(conn->fd, conn->in + conn->in_size, room);
        if (n > 0) {
            conn->in_size += (size_t)n;
            take_answers(conn, mr_clock_now_ns(&mr_clock_system));
            if ((size_t)n < room) {
                return;
            }
        } else if (n == -EAGAIN) {
            return;
        } else {
            lose(conn);
        }
    }
}

void
load_conn_event(struct load_conn *conn)
{
    receive(conn);
    if (conn->blocked && !conn->dead) {
        flush(conn);
    }
    /* Reading took a while: what starts now starts now. */
    load_conn_pump(conn, mr_clock_now_ns(&mr_clock_system));
}

/* ---- For the worker ---- */

uint64_t
load_conn_due(const struct load_conn *conn)
{
    uint64_t intended;

    if (conn->dead || conn->finished || conn->blocked || is_full(conn)) {
        return UINT64_MAX;
    }
    intended = next_intended(conn, 0);
    return intended < conn->run->end_ns ? intended : UINT64_MAX;
}

bool
load_conn_idle(const struct load_conn *conn, uint64_t now_ns)
{
    uint64_t intended = next_intended(conn, now_ns);

    return conn->dead ||
           (conn->answered == conn->started && (conn->finished || intended >= conn->run->end_ns) &&
            conn->iov_at == conn->iov_count);
}

void
load_conn_account(struct load_conn *conn)
{
    conn->stats->unanswered += conn->started - conn->answered;
    if (conn->run->interval_ns == 0) {
        return;
    }
    while (next_intended(conn, 0) < conn->run->end_ns) {
        conn->stats->unsent++;
        conn->started++;
    }
}
