/* bench/net/drive_net.c: the client over the transport contract: a bulk transfer in or out, or
 * round trips on one of many connections at a time, taken at random. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/net/bare.h"
#include "bench/net/drive.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/rng.h"

#define OPENING_MAX 128u /* at a time */
#define SENDS       4u   /* of a bulk transfer under way */
#define LAST_NS     (20 * MR_NS_PER_MS)

struct conn {
    struct mr_net_conn *net; /* NULL once closed */
    struct mr_net_send request;
    struct iovec request_iov;
    bool request_done;
};

struct item {
    struct mr_net_send send;
    struct iovec iov;
    bool busy;
};

static struct conn *conns;
static unsigned opening;
static unsigned ready;
static uint8_t request[NET_REQUEST_BYTES];
static struct item items[SENDS];
static uint64_t queued;   /* of a bulk transfer in */
static uint64_t received; /* since the beginning, or of this round trip */
static bool ending;       /* what is not sent yet is not wanted any more */
static uint64_t position; /* in the pattern of what is received next */

static void
on_request_done(struct mr_net_send *send, int result)
{
    struct conn *conn = MR_CONTAINER_OF(send, struct conn, request);

    if (result) {
        errno = -result;
        drive_die("request");
    }
    conn->request_done = true;
    ready++;
}

static void
on_connected(void *user, struct mr_net_conn *net)
{
    struct conn *conn = user;

    opening--;
    conn->request_iov = (struct iovec){request, sizeof(request)};
    conn->request =
        (struct mr_net_send){.done = on_request_done, .iov = &conn->request_iov, .iov_count = 1};
    mr_net_send(net, &conn->request);
}

static void
on_received(void *user, struct mr_net_buf *buf, const uint8_t *data, uint32_t size)
{
    (void)user;
    if (drive.mode == 'i') {
        if (*data != 'k') {
            errno = EBADMSG;
            drive_die("the server did not receive what was sent");
        }
    } else if (!drive.unchecked &&
               !net_pattern_same(&drive.pattern, position + received, data, size)) {
        errno = EBADMSG;
        drive_die("a byte is not what was sent");
    }
    received += size;
    mr_net_buf_release(buf);
}

static void
on_leaving(void *user)
{
    (void)user; /* nothing is ever paused */
}

static void
on_closed(void *user, int reason)
{
    struct conn *conn = user;

    if (reason) {
        errno = -reason;
        drive_die("connection");
    }
    conn->net = NULL;
}

static void *
on_accepted(void *context, struct mr_net_conn *net, const char *host)
{
    (void)context;
    (void)net;
    (void)host;
    return NULL; /* nobody is asked to come */
}

static const struct mr_net_events events = {
    .accepted = on_accepted,
    .connected = on_connected,
    .received = on_received,
    .leaving = on_leaving,
    .closed = on_closed,
};

static void
open_all(void)
{
    struct mr_net_target target = {
        .host = drive.host, .port = drive.port, .timeout_ns = drive.timeout_s * MR_NS_PER_S};
    unsigned opened = 0;

    conns = calloc(drive.connections, sizeof(*conns));
    MR_ASSERT(conns);
    net_request_put(request, drive.mode, drive.count);
    while (ready < drive.connections) {
        while (opened < drive.connections && opening < OPENING_MAX) {
            struct conn *conn = &conns[opened++];
            int error = mr_net_connect(drive.wire.net, &target, conn, &conn->net);

            if (error) {
                errno = -error;
                drive_die("connect");
            }
            opening++;
        }
        wire_turn(&drive.wire);
    }
}

static void
on_done(struct mr_net_send *send, int result)
{
    struct item *item = MR_CONTAINER_OF(send, struct item, send);

    if (result && !ending) {
        errno = -result;
        drive_die("send");
    }
    item->busy = false;
}

static void
submit(struct conn *conn, struct item *item, const uint8_t *data, size_t size)
{
    item->iov = (struct iovec){(void *)(uintptr_t)data, size};
    item->send = (struct mr_net_send){.done = on_done, .iov = &item->iov, .iov_count = 1};
    item->busy = true;
    mr_net_send(conn->net, &item->send);
}

static void
round_trips(void)
{
    struct mr_rng rng;

    mr_rng_init(&rng, 1);
    for (uint64_t i = 0; i < drive.count + DRIVE_WARM_UP && !drive_over(); i++) {
        struct conn *conn = &conns[mr_rng_below(&rng, drive.connections)];
        uint64_t begin = mr_clock_now_ns(&mr_clock_system);

        received = 0;
        position = i;
        submit(conn, &items[0], net_pattern_at(&drive.pattern, i), drive.size);
        while (received < drive.size || items[0].busy) {
            wire_turn(&drive.wire);
        }
        if (i >= DRIVE_WARM_UP) {
            mr_histo_record(&drive.histo, mr_clock_now_ns(&mr_clock_system) - begin);
        }
    }
}

static void
bulk_in(void)
{
    while (received == 0 && !drive_over()) {
        for (unsigned i = 0; i < SENDS && queued < drive.count; i++) {
            uint64_t left = drive.count - queued;
            size_t size = left < NET_PATTERN_PIECE ? (size_t)left : NET_PATTERN_PIECE;

            if (!items[i].busy) {
                submit(&conns[0], &items[i], net_pattern_at(&drive.pattern, queued), size);
                queued += size;
            }
        }
        wire_turn(&drive.wire);
    }
    if (received == 0) {
        drive.count = drive.wire.net->bytes_sent;
    }
}

static void
bulk_out(void)
{
    while (received < drive.count && !drive_over()) {
        wire_turn(&drive.wire);
    }
    drive.count = received;
}

static void
close_all(void)
{
    ending = true;
    for (unsigned i = 0; i < drive.connections; i++) {
        if (conns[i].net) {
            mr_net_close(conns[i].net);
        }
    }
    while (drive.wire.net->connections > 0) {
        wire_turn(&drive.wire);
    }
    /* What was said last has to leave before the device goes. */
    for (uint64_t end_ns = mr_clock_now_ns(&mr_clock_system) + LAST_NS;
         mr_clock_now_ns(&mr_clock_system) < end_ns;) {
        wire_turn(&drive.wire);
    }
}

static void
bare_trips(void)
{
    for (uint64_t i = 0; i < drive.count + DRIVE_WARM_UP && !drive_over(); i++) {
        uint64_t begin = mr_clock_now_ns(&mr_clock_system);

        bare_round_trip(&drive.wire.port, drive.size);
        if (i >= DRIVE_WARM_UP) {
            mr_histo_record(&drive.histo, mr_clock_now_ns(&mr_clock_system) - begin);
        }
    }
}

void
drive_by_net(void)
{
    int error;

    drive.wire.connections_max = drive.connections;
    drive.wire.sends_max = 2 * drive.connections + SENDS;
    error = wire_open(&drive.wire, &events);
    if (error) {
        errno = -error;
        drive_die("transport");
    }
    if (drive.mode != 'b') {
        open_all();
    }
    drive.begin_ns = mr_clock_now_ns(&mr_clock_system);
    drive.wire.work_cycles = 0;
    if (drive.mode == 'b') {
        bare_trips();
    } else if (drive.mode == 'e') {
        round_trips();
    } else if (drive.mode == 'i') {
        bulk_in();
    } else {
        bulk_out();
    }
}

void
drive_net_end(void)
{
    if (drive.mode != 'b') {
        close_all();
    }
    if (drive.stay) {
        pause();
    }
}
