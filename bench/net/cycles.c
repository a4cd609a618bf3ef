/* bench/net/cycles.c: `mr_tcp_cycles`, where the cycles of our TCP go, without a device: two stacks
 * in one thread, whose frames are copied from one to the other as a device would. For a transfer of
 * 64 KB sends, and for round trips of 64 B, it prints cycles of the time stamp counter for each
 * packet and step, the best of many batches, so that other work on the machine does not show.
 * Usage: mr_tcp_cycles [MTU [offload]]; with `offload` nobody computes TCP checksums. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"
#include "dataplane/tcp/tcp.h"

#define CLIENT       0x0a000002u
#define SERVER       0x0a000001u
#define PORT         7000u
#define PACKETS      4096u
#define PACKET_BYTES 9216u
#define IP_SIZE      20u
#define SENDS        4u
#define SEND_BYTES   65536u
#define BATCHES      400u
#define BATCH_SENDS  64u
#define BATCH_PINGS  500u
#define PING_BYTES   64u
#define TURN_NS      2000u /* virtual, of one turn of both */
#define INPUT_BURST  64u

enum step {
    STEP_INPUT,
    STEP_TICK,
    STEP_DISPATCH,
    STEP_FLUSH,
    STEP_COPY, /* the device's part of FLUSH */
    STEP_COUNT,
};

struct packet {
    struct mr_tcp_packet tcp;
    struct mr_list node;
    uint8_t bytes[PACKET_BYTES];
};

struct end {
    struct mr_tcp *tcp;
    struct end *other;
    struct mr_list arrived;
    struct mr_tcp_conn *conn;
    uint64_t received;
    uint64_t cycles[STEP_COUNT];
};

struct item {
    struct mr_tcp_send send;
    struct iovec iov;
    bool busy;
};

static struct end ends[2]; /* client, server */
static struct mr_list packets_free;
static struct item items[SENDS];
static uint8_t *payload;
static uint64_t now_ns = 1;
static bool echo;
static bool offload;

static bool
on_output(void *context, const struct mr_tcp_frame *frame)
{
    struct end *end = context;
    uint64_t begin = __rdtsc();
    struct mr_list *node = mr_list_pop_front(&packets_free);
    struct packet *packet;
    uint8_t *to;

    if (!node) {
        return false;
    }
    packet = MR_CONTAINER_OF(node, struct packet, node);
    to = packet->bytes;
    memcpy(to, frame->header, frame->header_size);
    to += frame->header_size;
    for (unsigned i = 0; i < frame->slice_count; i++) {
        memcpy(to, frame->slices[i].data, frame->slices[i].size); /* what a device does */
        to += frame->slices[i].size;
    }
    packet->tcp = (struct mr_tcp_packet){
        .segment = packet->bytes + IP_SIZE,
        .size = frame->header_size - IP_SIZE + frame->payload_size,
        .source = frame->source,
        .destination = frame->destination,
        .checksum_good = offload,
    };
    mr_list_push_back(&end->other->arrived, &packet->node);
    end->cycles[STEP_COPY] += __rdtsc() - begin;
    return true;
}

static void
on_packet_free(void *context, struct mr_tcp_packet *tcp)
{
    (void)context;
    mr_list_push_front(&packets_free, &MR_CONTAINER_OF(tcp, struct packet, tcp)->node);
}

static void
on_done(struct mr_tcp_send *send, int result)
{
    MR_ASSERT(result == 0);
    MR_CONTAINER_OF(send, struct item, send)->busy = false;
}

static void
submit(struct end *end, struct item *item, uint32_t size)
{
    item->iov = (struct iovec){payload, size};
    item->send = (struct mr_tcp_send){.done = on_done, .iov = &item->iov, .iov_count = 1};
    item->busy = true;
    mr_tcp_send(end->conn, &item->send);
}

static void *
on_accepted(void *context, struct mr_tcp_conn *conn, uint32_t remote, uint16_t port)
{
    struct end *end = context;

    (void)remote;
    (void)port;
    end->conn = conn;
    return end;
}

static void
on_connected(void *user, struct mr_tcp_conn *conn)
{
    ((struct end *)user)->conn = conn;
}

static void
on_received(void *user, struct mr_tcp_packet *packet, const uint8_t *data, uint32_t size)
{
    struct end *end = user;

    (void)data;
    end->received += size;
    mr_tcp_packet_release(packet);
    if (echo && end == &ends[1]) {
        submit(end, &items[1], PING_BYTES);
    }
}

static void
on_ended(void *user)
{
    (void)user;
}

static void
on_closed(void *user, int reason)
{
    (void)user;
    MR_ASSERT(reason == 0);
}

static void
create(struct end *end, struct end *other, uint32_t address, uint32_t mtu)
{
    const struct mr_tcp_ops ops = {
        .context = end, .output = on_output, .packet_free = on_packet_free};
    const struct mr_tcp_events events = {
        .context = end,
        .accepted = on_accepted,
        .connected = on_connected,
        .received = on_received,
        .ended = on_ended,
        .closed = on_closed,
    };
    struct mr_tcp_config config;

    mr_tcp_config_init(&config);
    config.addresses[0] = address;
    config.address_count = 1;
    config.mtu = mtu;
    config.checksum_offload = offload;
    config.receive_buffer_max = 1 << 20;
    end->other = other;
    mr_list_init(&end->arrived);
    MR_ASSERT(mr_tcp_create(&config, &ops, &events, now_ns, &end->tcp) == 0);
}

static void
turn(struct end *end)
{
    uint64_t from = __rdtsc();
    uint64_t until;
    struct mr_list *node;

    for (unsigned i = 0; i < INPUT_BURST && (node = mr_list_pop_front(&end->arrived)); i++) {
        mr_tcp_input(end->tcp, &MR_CONTAINER_OF(node, struct packet, node)->tcp, now_ns);
    }
    until = __rdtsc();
    end->cycles[STEP_INPUT] += until - from;
    mr_tcp_tick(end->tcp, now_ns);
    from = __rdtsc();
    end->cycles[STEP_TICK] += from - until;
    mr_tcp_dispatch(end->tcp, UINT32_MAX, now_ns);
    until = __rdtsc();
    end->cycles[STEP_DISPATCH] += until - from;
    mr_tcp_flush(end->tcp, UINT32_MAX, now_ns);
    end->cycles[STEP_FLUSH] += __rdtsc() - until;
}

static void
turn_both(void)
{
    now_ns += TURN_NS;
    turn(&ends[0]);
    turn(&ends[1]);
}

static void
transfer(void)
{
    uint64_t goal = ends[1].received + (uint64_t)BATCH_SENDS * SEND_BYTES;
    unsigned queued = 0;

    while (ends[1].received < goal || items[0].busy || items[1].busy || items[2].busy ||
           items[3].busy) {
        for (unsigned i = 0; i < SENDS && queued < BATCH_SENDS; i++) {
            if (!items[i].busy) {
                submit(&ends[0], &items[i], SEND_BYTES);
                queued++;
            }
        }
        turn_both();
    }
}

static void
pings(void)
{
    for (unsigned i = 0; i < BATCH_PINGS; i++) {
        uint64_t goal = ends[0].received + PING_BYTES;

        submit(&ends[0], &items[0], PING_BYTES);
        while (ends[0].received < goal || items[0].busy) {
            turn_both();
        }
    }
}

static void
measure(const char *what, void (*batch)(void))
{
    static const char *const names[STEP_COUNT] = {"input", "tick", "dispatch", "flush", "copy"};
    uint64_t best = UINT64_MAX;
    struct end kept[2] = {0};
    struct mr_tcp_stats before;
    struct mr_tcp_stats after = {0};

    for (unsigned i = 0; i < BATCHES; i++) {
        uint64_t begin;
        uint64_t cycles;

        memset(ends[0].cycles, 0, sizeof(ends[0].cycles));
        memset(ends[1].cycles, 0, sizeof(ends[1].cycles));
        before = *mr_tcp_stats(ends[0].tcp);
        begin = __rdtsc();
        batch();
        cycles = __rdtsc() - begin;
        if (cycles < best) {
            best = cycles;
            kept[0] = ends[0];
            kept[1] = ends[1];
            after = *mr_tcp_stats(ends[0].tcp);
            after.packets_out -= before.packets_out;
            after.packets_in -= before.packets_in;
        }
    }
    printf("%s: %.0f cycles, %lu packets from the client and %lu to it\n", what, (double)best,
           (unsigned long)after.packets_out, (unsigned long)after.packets_in);
    for (unsigned i = 0; i < 2; i++) {
        kept[i].cycles[STEP_FLUSH] -= kept[i].cycles[STEP_COPY];
        printf("  %-6s", i ? "server" : "client");
        for (unsigned step = 0; step < STEP_COUNT; step++) {
            printf("  %s %.0f", names[step],
                   (double)kept[i].cycles[step] / (double)after.packets_out);
        }
        printf("\n");
    }
}

int
main(int argc, char **argv)
{
    uint32_t mtu = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1500;
    struct packet *packets = calloc(PACKETS, sizeof(*packets));

    payload = calloc(1, SEND_BYTES);
    MR_ASSERT(packets && payload && mtu <= 9000);
    offload = argc > 2 && strcmp(argv[2], "offload") == 0;
    mr_list_init(&packets_free);
    for (unsigned i = 0; i < PACKETS; i++) {
        mr_list_push_back(&packets_free, &packets[i].node);
    }
    create(&ends[0], &ends[1], CLIENT, mtu);
    create(&ends[1], &ends[0], SERVER, mtu);
    MR_ASSERT(mr_tcp_listen(ends[1].tcp, 0, PORT) == 0);
    MR_ASSERT(mr_tcp_connect(ends[0].tcp, 0, 0, SERVER, PORT, &ends[0], now_ns, &ends[0].conn) ==
              0);
    while (!ends[1].conn) {
        turn_both();
    }
    printf("cycles for each packet that the client sends\n");
    measure("64 KB sends", transfer);
    echo = true;
    measure("64 B round trips", pings);
    return 0;
}
