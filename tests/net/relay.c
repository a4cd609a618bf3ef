/* tests/net/relay.c: `relay`, a wire between two interfaces that loses, delays, reorders and
 * duplicates frames, with counters. The kernel here has no netem.
 *
 * Frames of either interface leave by the other, each after the delay of the wire, in order but for
 * those that are held longer on purpose. A frame that finds the queue of its direction full is
 * lost, as in a switch; --rate-mbit limits what leaves. Losses come alone or in bursts: a burst
 * begins so often that the same share is lost, and has the given mean length. ARP always passes.
 * Prints its counters at SIGTERM. Source: packet(7). */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/base/clock.h"
#include "dataplane/base/rng.h"

#define FRAME_MAX     9216u
#define QUEUE_DEFAULT 1024u
#define QUEUE_MAX     65536u
#define BURST         64u
#define SOCKET_BYTES  (16 << 20)
#define BURST_NS      (5 * MR_NS_PER_MS) /* of losses, at most */
#define REORDER_NS    (2 * MR_NS_PER_MS) /* beyond the wire's delay */
#define SPIN_BELOW_NS 200000u            /* a poll() is not that exact */

struct frame {
    uint64_t due_ns;
    uint64_t order; /* of arrival, among frames due at one time */
    uint32_t size;
    uint8_t bytes[];
};

/* One direction: a heap of frames by the time they are due. */
struct direction {
    int from;
    int to;
    struct frame *heap[QUEUE_MAX];
    uint32_t count;
    uint64_t free_ns;      /* when the last byte has left, at the given rate */
    uint64_t burst_end_ns; /* 0: none */
    uint64_t passed, lost, reordered, duplicated, overflowed;
};

struct relay {
    struct direction directions[2];
    struct mr_rng rng;
    uint64_t order;
    double loss, reorder, duplicate;
    double burst; /* mean length of one; 1: losses are alone */
    uint64_t delay_ns;
    double rate_mbit; /* 0: as fast as it goes */
    uint32_t queue;
};

static struct relay relay;
static sig_atomic_t stop;

static void
on_signal(int number)
{
    (void)number;
    stop = 1;
}

/* ---- the queue ------------------------------------------------------------------------------- */

static bool
before(const struct frame *a, const struct frame *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void
swap(struct direction *direction, uint32_t a, uint32_t b)
{
    struct frame *frame = direction->heap[a];

    direction->heap[a] = direction->heap[b];
    direction->heap[b] = frame;
}

static void
push(struct direction *direction, struct frame *frame)
{
    uint32_t at = direction->count++;

    direction->heap[at] = frame;
    while (at > 0 && before(direction->heap[at], direction->heap[(at - 1) / 2])) {
        swap(direction, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static struct frame *
pop(struct direction *direction)
{
    struct frame *first = direction->heap[0];
    uint32_t at = 0;

    direction->heap[0] = direction->heap[--direction->count];
    for (;;) {
        uint32_t least = at;

        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2; child++) {
            if (child < direction->count &&
                before(direction->heap[child], direction->heap[least])) {
                least = child;
            }
        }
        if (least == at) {
            return first;
        }
        swap(direction, at, least);
        at = least;
    }
}

/* ---- the wire -------------------------------------------------------------------------------- */

/* In a burst a frame is lost, and the burst goes on with a chance that gives its mean length. It is
 * an event of the wire: one retransmission after the other must not meet the same burst. */
static bool
is_lost(struct direction *direction, uint64_t now)
{
    double unit = mr_rng_unit(&relay.rng);

    if (now < direction->burst_end_ns) {
        if (unit < 1 - 1 / relay.burst) {
            return true;
        }
        direction->burst_end_ns = 0;
        return false;
    }
    if (unit < relay.loss / relay.burst) {
        direction->burst_end_ns = relay.burst > 1 ? now + BURST_NS : 0;
        return true;
    }
    return false;
}

static uint64_t
due(struct direction *direction, uint32_t size, uint64_t now)
{
    if (relay.rate_mbit > 0) {
        direction->free_ns = direction->free_ns > now ? direction->free_ns : now;
        direction->free_ns += (uint64_t)(size * 8 * 1e3 / relay.rate_mbit);
        now = direction->free_ns;
    }
    return now + relay.delay_ns;
}

static void
enqueue(struct direction *direction, const uint8_t *bytes, uint32_t size, uint64_t due_ns)
{
    struct frame *frame;

    if (direction->count >= relay.queue) {
        direction->overflowed++;
        return;
    }
    frame = malloc(sizeof(*frame) + size);
    if (!frame) {
        direction->overflowed++;
        return;
    }
    frame->due_ns = due_ns;
    frame->order = relay.order++;
    frame->size = size;
    memcpy(frame->bytes, bytes, size);
    push(direction, frame);
}

static void
take_in(struct direction *direction, const uint8_t *bytes, uint32_t size, uint64_t now)
{
    uint16_t type;
    uint64_t due_ns;

    memcpy(&type, bytes + 12, sizeof(type));
    if (ntohs(type) == ETHERTYPE_ARP) {
        enqueue(direction, bytes, size, now);
        return;
    }
    if (is_lost(direction, now)) {
        direction->lost++;
        return;
    }
    if (direction->count >= relay.queue) { /* takes none of the rate either */
        direction->overflowed++;
        return;
    }
    due_ns = due(direction, size, now);
    if (mr_rng_unit(&relay.rng) < relay.reorder) {
        direction->reordered++;
        due_ns += REORDER_NS;
    }
    enqueue(direction, bytes, size, due_ns);
    if (mr_rng_unit(&relay.rng) < relay.duplicate) {
        direction->duplicated++;
        enqueue(direction, bytes, size, due_ns);
    }
}

static bool
receive(struct direction *direction)
{
    uint8_t bytes[FRAME_MAX];
    unsigned count = 0;

    for (; count < BURST; count++) {
        ssize_t size = recv(direction->from, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (size < (ssize_t)sizeof(struct ether_header)) {
            break;
        }
        take_in(direction, bytes, (uint32_t)size, mr_clock_now_ns(&mr_clock_system));
    }
    return count > 0;
}

static bool
deliver(struct direction *direction)
{
    bool any = false;

    while (direction->count > 0 &&
           direction->heap[0]->due_ns <= mr_clock_now_ns(&mr_clock_system)) {
        struct frame *frame = direction->heap[0];

        if (send(direction->to, frame->bytes, frame->size, MSG_DONTWAIT) < 0 &&
            (errno == EAGAIN || errno == ENOBUFS)) {
            return any; /* the interface is full; the frame stays */
        }
        direction->passed++;
        free(pop(direction));
        any = true;
    }
    return any;
}

static void
wait_for_work(void)
{
    struct pollfd fds[2];
    uint64_t now = mr_clock_now_ns(&mr_clock_system);
    uint64_t next = now + MR_NS_PER_S / 10;
    struct timespec time = {0};

    for (unsigned i = 0; i < 2; i++) {
        const struct direction *direction = &relay.directions[i];

        fds[i] = (struct pollfd){.fd = direction->from, .events = POLLIN};
        if (direction->count > 0 && direction->heap[0]->due_ns < next) {
            next = direction->heap[0]->due_ns;
        }
    }
    if (next < now + SPIN_BELOW_NS) {
        return;
    }
    time.tv_nsec = (long)(next - now - SPIN_BELOW_NS / 2);
    ppoll(fds, 2, &time, NULL);
}

static int
open_interface(const char *name)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    int bytes = SOCKET_BYTES;
    int on = 1;

    address.sll_ifindex = (int)if_nametoindex(name);
    if (fd < 0 || address.sll_ifindex == 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        fprintf(stderr, "relay: %s: %s\n", name, strerror(errno));
        exit(1);
    }
    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
    return fd;
}

/* ---- arguments ------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: relay [--loss P] [--burst LENGTH] [--reorder P] [--duplicate P] [--delay-us US]\n"
    "             [--rate-mbit R] [--queue FRAMES] [--seed N] INTERFACE INTERFACE\n"
    "P is a share between 0 and 1, of either direction.\n";

static bool
parse(int argc, char **argv)
{
    static const struct option options[] = {{"loss", required_argument, NULL, 'l'},
                                            {"burst", required_argument, NULL, 'b'},
                                            {"reorder", required_argument, NULL, 'r'},
                                            {"duplicate", required_argument, NULL, 'd'},
                                            {"delay-us", required_argument, NULL, 'w'},
                                            {"rate-mbit", required_argument, NULL, 'm'},
                                            {"queue", required_argument, NULL, 'q'},
                                            {"seed", required_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    uint64_t seed = 1;
    int which;

    relay.burst = 1;
    relay.queue = QUEUE_DEFAULT;
    while ((which = getopt_long(argc, argv, "", options, NULL)) != -1) {
        double value = optarg ? strtod(optarg, NULL) : 0;

        switch (which) {
        case 'l':
            relay.loss = value;
            break;
        case 'b':
            relay.burst = value;
            break;
        case 'r':
            relay.reorder = value;
            break;
        case 'd':
            relay.duplicate = value;
            break;
        case 'w':
            relay.delay_ns = (uint64_t)(value * 1e3);
            break;
        case 'm':
            relay.rate_mbit = value;
            break;
        case 'q':
            relay.queue = (uint32_t)value;
            break;
        case 's':
            seed = (uint64_t)value;
            break;
        default:
            return false;
        }
    }
    mr_rng_init(&relay.rng, seed);
    return optind + 2 == argc && relay.burst >= 1 && relay.queue > 0 && relay.queue <= QUEUE_MAX;
}

int
main(int argc, char **argv)
{
    struct direction *there = &relay.directions[0];
    struct direction *back = &relay.directions[1];

    if (!parse(argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    there->from = back->to = open_interface(argv[optind]);
    there->to = back->from = open_interface(argv[optind + 1]);
    signal(SIGTERM, on_signal);
    while (!stop) {
        bool worked = false;

        for (unsigned i = 0; i < 2; i++) {
            worked |= receive(&relay.directions[i]);
            worked |= deliver(&relay.directions[i]);
        }
        if (!worked) {
            wait_for_work();
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        const struct direction *direction = &relay.directions[i];

        printf("%s: passed %llu, lost %llu, reordered %llu, duplicated %llu, overflowed %llu\n",
               i ? "back" : "there", (unsigned long long)direction->passed,
               (unsigned long long)direction->lost, (unsigned long long)direction->reordered,
               (unsigned long long)direction->duplicated,
               (unsigned long long)direction->overflowed);
    }
    return 0;
}
