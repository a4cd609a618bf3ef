/* tcp/tcp_frame.c: IPv4 and TCP headers around one segment, and its checksums.
 *
 *   0      version 4, header of 5 words     20      source port, destination port
 *   1      type of service: ECN only        24      sequence number
 *   2      total length                     28      acknowledgement number
 *   4      identification                   32      data offset, flags, window
 *   6      don't fragment                   36      checksum, urgent pointer (0)
 *   8      time to live, protocol 6         40      options
 *   10     header checksum
 *   12     source, destination */
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "dataplane/base/endian.h"
#include "dataplane/tcp/tcp_priv.h"

#define IP_TTL       64
#define IP_PROTOCOL  6
#define IP_DONT_FRAG 0x4000
#define WIDE_BYTES   128u /* that sum_wide() takes at a time */

#if defined(__x86_64__)
/* The same as below, 128 bytes at a time: the low and the high halves of 64-bit lanes are added up
 * apart, so that nothing is carried out of one. */
__attribute__((target("avx2"))) static uint64_t
sum_wide(const uint8_t *at, size_t size)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i low[4] = {zero, zero, zero, zero};
    __m256i high[4] = {zero, zero, zero, zero};
    uint64_t lanes[4];

    for (size_t i = 0; i < size; i += WIDE_BYTES) {
        for (unsigned j = 0; j < 4; j++) {
            __m256i words = _mm256_loadu_si256((const __m256i *)(const void *)(at + i + 32 * j));

            low[j] = _mm256_add_epi64(low[j], _mm256_blend_epi32(words, zero, 0xaa));
            high[j] = _mm256_add_epi64(high[j], _mm256_srli_epi64(words, 32));
        }
    }
    low[0] = _mm256_add_epi64(_mm256_add_epi64(low[0], low[1]), _mm256_add_epi64(low[2], low[3]));
    high[0] =
        _mm256_add_epi64(_mm256_add_epi64(high[0], high[1]), _mm256_add_epi64(high[2], high[3]));
    _mm256_storeu_si256((__m256i *)(void *)lanes, _mm256_add_epi64(low[0], high[0]));
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}
#endif

/* The ones' complement sum of RFC 1071, over 32-bit words as they lie in memory: byte order does
 * not matter until the sum is folded. An odd last byte counts as the first of its word, so only the
 * last piece of a sum may be odd; tcp_frame_send() takes care of slices. */
uint32_t
tcp_sum(uint32_t sum, const void *data, size_t size)
{
    const uint8_t *at = data;
    uint64_t wide = sum;

#if defined(__x86_64__)
    if (size >= WIDE_BYTES && __builtin_cpu_supports("avx2")) {
        wide += sum_wide(at, size / WIDE_BYTES * WIDE_BYTES);
        at += size / WIDE_BYTES * WIDE_BYTES;
        size %= WIDE_BYTES;
    }
#endif
    for (; size >= 16; size -= 16, at += 16) {
        uint32_t words[4];

        memcpy(words, at, sizeof(words));
        wide += (uint64_t)words[0] + words[1] + words[2] + words[3];
    }
    for (; size >= 2; size -= 2, at += 2) {
        uint16_t word;

        memcpy(&word, at, sizeof(word));
        wide += word;
    }
    if (size) {
        uint8_t last[2] = {*at, 0};
        uint16_t word;

        memcpy(&word, last, sizeof(word));
        wide += word;
    }
    wide = (wide & 0xffffffff) + (wide >> 32);
    wide = (wide & 0xffffffff) + (wide >> 32);
    return (uint32_t)wide;
}

uint16_t
tcp_sum_fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

uint16_t
tcp_checksum(uint32_t sum, const void *data, size_t size)
{
    return (uint16_t)~tcp_sum_fold(tcp_sum(sum, data, size));
}

uint32_t
tcp_sum_pseudo(uint32_t source, uint32_t destination, uint32_t size)
{
    uint8_t pseudo[12];

    mr_be32_put(pseudo, source);
    mr_be32_put(pseudo + 4, destination);
    pseudo[8] = 0;
    pseudo[9] = IP_PROTOCOL;
    mr_be16_put(pseudo + 10, (uint16_t)size);
    return tcp_sum(0, pseudo, sizeof(pseudo));
}

/* What follows an odd number of bytes is summed with its bytes swapped. */
static uint32_t
sum_slices(uint32_t sum, const struct mr_tcp_slice *slices, unsigned count)
{
    bool odd = false;

    for (unsigned i = 0; i < count; i++) {
        uint16_t part = tcp_sum_fold(tcp_sum(0, slices[i].data, slices[i].size));
        uint64_t wide;

        part = odd ? (uint16_t)(part << 8 | part >> 8) : part;
        odd ^= (slices[i].size & 1) != 0;
        wide = (uint64_t)sum + part;
        sum = (uint32_t)((wide & 0xffffffff) + (wide >> 32));
    }
    return sum;
}

static void
put_ip(struct mr_tcp *tcp, const struct tcp_frame_spec *spec, uint32_t size, uint8_t *ip)
{
    uint16_t sum;

    ip[0] = 0x45;
    ip[1] = spec->ecn;
    mr_be16_put(ip + 2, (uint16_t)size);
    mr_be16_put(ip + 4, tcp->ip_id++);
    mr_be16_put(ip + 6, IP_DONT_FRAG);
    ip[8] = IP_TTL;
    ip[9] = IP_PROTOCOL;
    ip[10] = 0;
    ip[11] = 0;
    mr_be32_put(ip + 12, spec->local);
    mr_be32_put(ip + 16, spec->remote);
    sum = tcp_checksum(0, ip, TCP_IP_SIZE);
    memcpy(ip + 10, &sum, sizeof(sum));
}

bool
tcp_frame_send(struct mr_tcp *tcp, const struct tcp_frame_spec *spec)
{
    uint8_t header[TCP_IP_SIZE + TCP_HEADER_MAX];
    uint8_t *at = header + TCP_IP_SIZE;
    uint32_t size = TCP_HEADER_SIZE + tcp_options_build(at + TCP_HEADER_SIZE, &spec->options);
    struct mr_tcp_frame frame = {
        .header = header,
        .header_size = TCP_IP_SIZE + size,
        .payload_size = spec->payload_size,
        .segment_size = spec->segment_size ? spec->segment_size : spec->payload_size,
        .slices = spec->slices,
        .slice_count = spec->slice_count,
        .source = spec->local,
        .destination = spec->remote,
    };
    uint32_t sum = tcp_sum_pseudo(spec->local, spec->remote, size + spec->payload_size);
    uint16_t check;

    put_ip(tcp, spec, TCP_IP_SIZE + size + spec->payload_size, header);
    mr_be16_put(at, spec->local_port);
    mr_be16_put(at + 2, spec->remote_port);
    mr_be32_put(at + 4, spec->seq);
    mr_be32_put(at + 8, spec->ack);
    at[12] = (uint8_t)(size / 4 << 4);
    at[13] = spec->flags;
    mr_be16_put(at + 14, spec->window);
    mr_be32_put(at + 16, 0);
    if (tcp->config.checksum_offload) {
        check = tcp_sum_fold(sum);
    } else {
        sum = sum_slices(sum, spec->slices, spec->slice_count);
        check = tcp_checksum(sum, at, size);
    }
    memcpy(at + 16, &check, sizeof(check));
    if (!tcp->ops.output(tcp->ops.context, &frame)) {
        tcp->stats.output_refused++;
        tcp->output_full = true;
        return false;
    }
    tcp->stats.packets_out++;
    tcp->stats.bytes_out += spec->payload_size;
    return true;
}
