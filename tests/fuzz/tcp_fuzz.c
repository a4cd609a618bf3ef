/* tests/fuzz/tcp_fuzz.c: any bytes as TCP segments, as options, and as what a peer does.
 *
 * The first byte chooses:
 *   0  the rest is one option list: parsing must stay inside it.
 *   1  the rest is segments, each a byte of length and so many bytes, raw: to a listener and to an
 *      established connection, with checksums bypassed.
 *   2  the rest is a peer's program of five bytes a step: flags, sequence number, ACK and window
 *      near what the stack expects, with SACK blocks and timestamps, and time that passes.
 * However bad: nothing is read beyond its end, no assertion fails, and after the connections are
 * aborted every pool is full again. */
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/endian.h"
#include "dataplane/tcp/tcp_priv.h"

#define LOCAL       0x0a000001u
#define REMOTE      0x0a000002u
#define LOCAL_PORT  9092
#define REMOTE_PORT 40000
#define SENDS       8
#define SEND_SIZE   5000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_packet {
    struct mr_tcp_packet packet;
    uint8_t bytes[];
};

struct fuzz {
    struct mr_tcp *tcp;
    struct mr_tcp_conn *conn;
    uint64_t now_ns;
    uint32_t seq; /* what the peer would send next */
    uint32_t ack; /* what it has of ours */
    uint64_t live;
    unsigned held_count;
    struct mr_tcp_packet *held[16];
    struct mr_tcp_send sends[SENDS];
    bool queued[SENDS];
    struct iovec iov;
};

static uint8_t payload[SEND_SIZE];

static bool
output(void *context, const struct mr_tcp_frame *frame)
{
    struct fuzz *fuzz = context;
    const uint8_t *tcp = frame->header + TCP_IP_SIZE;

    if (tcp[13] & TCP_SYN) {
        fuzz->ack = mr_be32_get(tcp + 4) + 1;
    }
    return true;
}

static void
packet_free(void *context, struct mr_tcp_packet *packet)
{
    struct fuzz *fuzz = context;

    fuzz->live--;
    free(MR_CONTAINER_OF(packet, struct fuzz_packet, packet));
}

static void *
accepted(void *context, struct mr_tcp_conn *conn, uint32_t remote, uint16_t port)
{
    struct fuzz *fuzz = context;

    (void)remote;
    (void)port;
    if (fuzz->conn) {
        return NULL;
    }
    fuzz->conn = conn;
    return fuzz;
}

static void
connected(void *user, struct mr_tcp_conn *conn)
{
    (void)user;
    (void)conn;
}

static void
received(void *user, struct mr_tcp_packet *packet, const uint8_t *data, uint32_t size)
{
    struct fuzz *fuzz = user;
    uint32_t sum = 0;

    for (uint32_t i = 0; i < size; i++) {
        sum += data[i];
    }
    if (fuzz->held_count < 16 && (sum & 1)) {
        fuzz->held[fuzz->held_count++] = packet;
    } else {
        mr_tcp_packet_release(packet);
    }
}

static void
ended(void *user)
{
    (void)user;
}

static void
closed(void *user, int reason)
{
    struct fuzz *fuzz = user;

    (void)reason;
    fuzz->conn = NULL;
}

static void
done(struct mr_tcp_send *send, int result)
{
    (void)result;
    send->done = NULL;
}

static void
turn(struct fuzz *fuzz)
{
    mr_tcp_tick(fuzz->tcp, fuzz->now_ns);
    mr_tcp_dispatch(fuzz->tcp, UINT32_MAX, fuzz->now_ns);
    mr_tcp_flush(fuzz->tcp, UINT32_MAX, fuzz->now_ns);
}

static void
start(struct fuzz *fuzz, uint8_t how)
{
    struct mr_tcp_config config;
    struct mr_tcp_ops ops = {.context = fuzz, .output = output, .packet_free = packet_free};
    struct mr_tcp_events events = {.context = fuzz,
                                   .accepted = accepted,
                                   .connected = connected,
                                   .received = received,
                                   .ended = ended,
                                   .closed = closed};

    memset(fuzz, 0, sizeof(*fuzz));
    fuzz->now_ns = MR_NS_PER_S;
    fuzz->iov = (struct iovec){payload, SEND_SIZE};
    mr_tcp_config_init(&config);
    config.addresses[0] = LOCAL;
    config.address_count = 1;
    config.conns_max = 8;
    config.half_open_max = how & 1 ? 0 : 4;
    config.segments_max = 32;
    config.reorder_max = config.conn_reorder_max = 8;
    config.receive_buffer_min = config.receive_buffer_max = 16384;
    config.rack = (how & 2) != 0;
    config.tso_max = how & 4 ? 16000 : 0;
    config.cc = how & 8 ? MR_TCP_CC_NEWRENO : MR_TCP_CC_CUBIC;
    config.sack = !(how & 16);
    config.timestamps = !(how & 32);
    config.ecn = (how & 64) != 0;
    MR_ASSERT(mr_tcp_create(&config, &ops, &events, fuzz->now_ns, &fuzz->tcp) == 0);
    MR_ASSERT(mr_tcp_listen(fuzz->tcp, 0, LOCAL_PORT) == 0);
}

static void
input(struct fuzz *fuzz, const uint8_t *bytes, size_t size)
{
    struct fuzz_packet *own = calloc(1, sizeof(*own) + size);

    MR_ASSERT(own != NULL);
    memcpy(own->bytes, bytes, size);
    own->packet.segment = own->bytes;
    own->packet.size = (uint32_t)size;
    own->packet.source = REMOTE;
    own->packet.destination = LOCAL;
    own->packet.ecn = size > 4 ? bytes[4] & 3 : 0;
    own->packet.checksum_good = true;
    fuzz->live++;
    mr_tcp_input(fuzz->tcp, &own->packet, fuzz->now_ns);
    turn(fuzz);
}

static void
segment(struct fuzz *fuzz, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t window,
        const uint8_t *options, uint32_t option_size, uint32_t size)
{
    uint8_t bytes[TCP_HEADER_MAX + 2048] = {0};

    mr_be16_put(bytes, REMOTE_PORT);
    mr_be16_put(bytes + 2, LOCAL_PORT);
    mr_be32_put(bytes + 4, seq);
    mr_be32_put(bytes + 8, ack);
    bytes[12] = (uint8_t)((TCP_HEADER_SIZE + option_size) / 4 << 4);
    bytes[13] = flags;
    mr_be16_put(bytes + 14, window);
    if (option_size > 0) {
        memcpy(bytes + TCP_HEADER_SIZE, options, option_size);
    }
    input(fuzz, bytes, TCP_HEADER_SIZE + option_size + size);
}

static void
establish(struct fuzz *fuzz)
{
    static const uint8_t syn_options[] = {2, 4, 5, 180, 4, 2, 1, 1, 1, 3, 3, 2};

    fuzz->seq = 1000;
    segment(fuzz, TCP_SYN, fuzz->seq++, 0, 65535, syn_options, sizeof(syn_options), 0);
    segment(fuzz, TCP_ACK, fuzz->seq, fuzz->ack, 65535, NULL, 0, 0);
}

/* The application does something too. */
static void
act(struct fuzz *fuzz, uint8_t what)
{
    struct mr_tcp_send *send = &fuzz->sends[what % SENDS];

    if (!fuzz->conn) {
        return;
    }
    switch (what / SENDS % 8) {
    case 0:
    case 1:
    case 2:
        if (!send->done) {
            *send = (struct mr_tcp_send){.done = done, .iov = &fuzz->iov, .iov_count = 1};
            mr_tcp_send(fuzz->conn, send);
        }
        break;
    case 3:
        mr_tcp_pause(fuzz->conn);
        break;
    case 4:
        mr_tcp_resume(fuzz->conn);
        break;
    case 5:
        while (fuzz->held_count > 0) {
            mr_tcp_packet_release(fuzz->held[--fuzz->held_count]);
        }
        break;
    case 6:
        mr_tcp_shutdown(fuzz->conn);
        break;
    default:
        if (what >= 0xf8) {
            mr_tcp_close(fuzz->conn, fuzz->now_ns);
        }
        break;
    }
    turn(fuzz);
}

/* One step of the peer's program. */
static void
step(struct fuzz *fuzz, const uint8_t *at)
{
    uint8_t options[12] = {1, 1, 5, 10};
    uint32_t una = fuzz->conn ? fuzz->conn->una : fuzz->ack;
    uint32_t nxt = fuzz->conn ? fuzz->conn->nxt : fuzz->ack;
    uint32_t next = fuzz->conn ? fuzz->conn->rx.next : fuzz->seq;
    uint32_t option_size = 0;
    uint32_t size = at[4] & 0x0f ? (at[4] & 0x0fu) * 100 : 0;

    if (at[0] >= 0xc0) {
        act(fuzz, at[1]);
        fuzz->now_ns += (uint64_t)at[2] * at[3] * MR_NS_PER_MS;
        turn(fuzz);
        return;
    }
    if (at[4] & 0x10) {
        uint32_t begin = una + at[1] * 53u;

        mr_be32_put(options + 4, begin);
        mr_be32_put(options + 8, begin + at[2] * 31u);
        option_size = 12;
    }
    if (at[4] & 0x80) {
        una = nxt;
    }
    segment(fuzz, (at[0] & 0x3f) | (at[4] & 0x40 ? 0 : TCP_ACK),
            next + (uint32_t)((int8_t)at[1] * 50) * ((at[4] & 0x20) != 0),
            una + (at[4] & 0x80 ? 0 : at[2] * 77u), (uint16_t)(at[3] * 40), options, option_size,
            size);
    fuzz->now_ns += at[3] * 100000ull;
}

static void
finish(struct fuzz *fuzz)
{
    const struct mr_tcp_stats *stats = mr_tcp_stats(fuzz->tcp);

    while (fuzz->held_count > 0) {
        mr_tcp_packet_release(fuzz->held[--fuzz->held_count]);
    }
    if (fuzz->conn) {
        mr_tcp_abort(fuzz->conn);
    }
    turn(fuzz);
    mr_tcp_listen_stop(fuzz->tcp, 0, LOCAL_PORT);
    fuzz->now_ns += 20000 * MR_NS_PER_S;
    for (int i = 0; i < 100 && stats->conns > 0; i++) {
        turn(fuzz);
        fuzz->now_ns += 1000 * MR_NS_PER_S;
    }
    MR_ASSERT(stats->conns == 0);
    MR_ASSERT(stats->segments == 0);
    MR_ASSERT(stats->reordered == 0);
    MR_ASSERT(stats->packets_held == 0);
    MR_ASSERT(stats->sends_pending == 0);
    MR_ASSERT(fuzz->live == 0);
    mr_tcp_destroy(fuzz->tcp);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz fuzz;
    struct tcp_options options;

    if (size < 2) {
        return 0;
    }
    if (data[0] % 3 == 0) {
        uint8_t *copy = malloc(size - 1);

        MR_ASSERT(copy != NULL);
        memcpy(copy, data + 1, size - 1);
        (void)tcp_options_parse(copy, (uint32_t)(size - 1), &options);
        MR_ASSERT(options.block_count <= TCP_SACK_BLOCKS_MAX);
        free(copy);
        return 0;
    }
    start(&fuzz, data[1]);
    establish(&fuzz);
    if (data[0] % 3 == 1) {
        for (size_t i = 2; i < size;) {
            size_t take = data[i] < size - i - 1 ? data[i] : size - i - 1;

            input(&fuzz, data + i + 1, take);
            i += 1 + take;
        }
    } else {
        for (size_t i = 2; i + 5 <= size; i += 5) {
            step(&fuzz, data + i);
        }
    }
    finish(&fuzz);
    return 0;
}
