/* tcp/tcp_secret.c: what a stranger must not foresee: initial sequence numbers (RFC 6528),
 * timestamp offsets (RFC 7323 5.4), SYN cookies (RFC 4987 3.6), and where the hash table puts a
 * connection. All of it hangs on config.secret.
 *
 * A SYN cookie is the initial sequence number of a SYN-ACK for which nothing is kept:
 *
 *     bits 31..27   minutes, modulo 32
 *     bits 26..24   which of eight maximum segment sizes
 *     bits 23..0    keyed hash of addresses, ports, the peer's sequence number, and the above
 *
 * The other options are in the low six bits of the timestamp that the peer echoes:
 * window scale (4 bits, 15: none), SACK, and one spare. */
#include "dataplane/base/endian.h"
#include "dataplane/tcp/tcp_priv.h"

#define COOKIE_PERIOD_NS (64 * MR_NS_PER_S)
#define COOKIE_PERIODS   2u /* a cookie lives for so many further ones */
#define COOKIE_TS_BITS   6
#define COOKIE_TS_MASK   0x3fu
#define COOKIE_NO_WSCALE 15u
#define TS_NS            MR_NS_PER_MS

static const uint16_t cookie_mss[8] = {216, 536, 1024, 1220, 1360, 1440, 1460, 8960};

static inline uint64_t
rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

#define SIP_ROUND                                                                                  \
    do {                                                                                           \
        v0 += v1;                                                                                  \
        v1 = rotate(v1, 13) ^ v0;                                                                  \
        v0 = rotate(v0, 32);                                                                       \
        v2 += v3;                                                                                  \
        v3 = rotate(v3, 16) ^ v2;                                                                  \
        v0 += v3;                                                                                  \
        v3 = rotate(v3, 21) ^ v0;                                                                  \
        v2 += v1;                                                                                  \
        v1 = rotate(v1, 17) ^ v2;                                                                  \
        v2 = rotate(v2, 32);                                                                       \
    } while (0)

/* SipHash-2-4 (Aumasson and Bernstein, 2012). */
uint64_t
tcp_siphash(const uint8_t key[16], const void *data, size_t size)
{
    uint64_t k0 = mr_le64_get(key);
    uint64_t k1 = mr_le64_get(key + 8);
    uint64_t v0 = 0x736f6d6570736575ull ^ k0;
    uint64_t v1 = 0x646f72616e646f6dull ^ k1;
    uint64_t v2 = 0x6c7967656e657261ull ^ k0;
    uint64_t v3 = 0x7465646279746573ull ^ k1;
    const uint8_t *at = data;
    uint64_t last = (uint64_t)size << 56;

    for (; size >= 8; size -= 8, at += 8) {
        uint64_t m = mr_le64_get(at);

        v3 ^= m;
        SIP_ROUND;
        SIP_ROUND;
        v0 ^= m;
    }
    for (size_t i = 0; i < size; i++) {
        last |= (uint64_t)at[i] << (8 * i);
    }
    v3 ^= last;
    SIP_ROUND;
    SIP_ROUND;
    v0 ^= last;
    v2 ^= 0xff;
    SIP_ROUND;
    SIP_ROUND;
    SIP_ROUND;
    SIP_ROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}

static uint64_t
hash_tuple(const struct mr_tcp *tcp, uint32_t local, uint16_t local_port, uint32_t remote,
           uint16_t remote_port, uint32_t more, uint32_t purpose)
{
    uint8_t bytes[20];

    mr_be32_put(bytes, local);
    mr_be32_put(bytes + 4, remote);
    mr_be16_put(bytes + 8, local_port);
    mr_be16_put(bytes + 10, remote_port);
    mr_be32_put(bytes + 12, more);
    mr_be32_put(bytes + 16, purpose);
    return tcp_siphash(tcp->config.secret, bytes, sizeof(bytes));
}

uint32_t
tcp_isn(const struct mr_tcp *tcp, uint32_t local, uint16_t local_port, uint32_t remote,
        uint16_t remote_port, uint64_t now_ns)
{
    /* RFC 6528 3: a clock of 4 µs plus a keyed hash. */
    return (uint32_t)(now_ns / 4000) +
           (uint32_t)hash_tuple(tcp, local, local_port, remote, remote_port, 0, 1);
}

uint32_t
tcp_ts_offset(const struct mr_tcp *tcp, uint32_t local, uint32_t remote)
{
    /* By host, not by connection: a connection that follows another on the same ports must have
     * later timestamps for the TIME_WAIT of the first to make room (RFC 6191). */
    return (uint32_t)hash_tuple(tcp, local, 0, remote, 0, 0, 2);
}

/* The table's hash: one folded multiplication for each half of the tuple. It needs to be quick, and
 * not to be foreseen by who chooses addresses and ports. */
uint32_t
tcp_hash(const struct mr_tcp *tcp, uint32_t local, uint16_t local_port, uint32_t remote,
         uint16_t remote_port)
{
    uint64_t a = ((uint64_t)local << 32 | remote) ^ mr_le64_get(tcp->config.secret + 16);
    uint64_t b = ((uint64_t)local_port << 16 | remote_port) ^ mr_le64_get(tcp->config.secret + 24);
    unsigned __int128 product = (unsigned __int128)a * (b | 1);

    a = (uint64_t)product ^ (uint64_t)(product >> 64);
    product = (unsigned __int128)a * 0x9e3779b97f4a7c15ull;
    return (uint32_t)((uint64_t)product ^ (uint64_t)(product >> 64));
}

static uint32_t
cookie_hash(const struct mr_tcp *tcp, const struct tcp_segment *segment, uint32_t seq, uint32_t top)
{
    const struct mr_tcp_packet *packet = segment->packet;

    return (uint32_t)hash_tuple(tcp, packet->destination, segment->destination_port, packet->source,
                                segment->source_port, seq, top << 8 | 3) &
           0xffffff;
}

uint32_t
tcp_cookie_make(const struct mr_tcp *tcp, const struct tcp_segment *segment, uint32_t *ts,
                uint64_t now_ns)
{
    const struct tcp_options *options = &segment->options;
    uint32_t period = (uint32_t)(now_ns / COOKIE_PERIOD_NS) & 31;
    uint32_t mss = options->mss ? options->mss : TCP_MSS_DEFAULT;
    uint32_t at = 0;
    uint32_t top;

    while (at + 1 < 8 && cookie_mss[at + 1] <= mss) {
        at++;
    }
    *ts = (uint32_t)(now_ns / TS_NS) +
          tcp_ts_offset(tcp, segment->packet->destination, segment->packet->source);
    if (options->has_ts) {
        uint32_t low = options->has_wscale ? options->wscale : COOKIE_NO_WSCALE;
        uint32_t value;

        low |= options->sack_ok ? 0x10 : 0;
        value = (*ts & ~COOKIE_TS_MASK) | low;
        /* Never ahead of the clock: later segments must not look older. */
        *ts = tcp_seq_lt(*ts, value) ? value - (1u << COOKIE_TS_BITS) : value;
    }
    top = period << 3 | at;
    return top << 24 | cookie_hash(tcp, segment, segment->seq, top);
}

bool
tcp_cookie_check(const struct mr_tcp *tcp, const struct tcp_segment *segment,
                 struct tcp_options *options, uint64_t now_ns)
{
    uint32_t cookie = segment->ack - 1;
    uint32_t top = cookie >> 24;
    uint32_t age = ((uint32_t)(now_ns / COOKIE_PERIOD_NS) - (top >> 3)) & 31;

    if (age > COOKIE_PERIODS ||
        (cookie & 0xffffff) != cookie_hash(tcp, segment, segment->seq - 1, top)) {
        return false;
    }
    *options = (struct tcp_options){.mss = cookie_mss[top & 7]};
    if (segment->options.has_ts) {
        uint32_t low = segment->options.ts_ecr & COOKIE_TS_MASK;

        options->has_ts = true;
        options->ts_val = segment->options.ts_val;
        options->sack_ok = (low & 0x10) != 0;
        options->has_wscale = (low & 15) != COOKIE_NO_WSCALE;
        options->wscale = options->has_wscale ? (uint8_t)(low & 15) : 0;
    }
    return true;
}
