/* bench/net/pattern.h: bytes that are a function of their position, so that each one can be checked
 * where it arrives, and what the two programs say to each other.
 *
 * A connection begins with one request: a mode byte and a count of bytes, little-endian.
 *
 *   'e'  echo    everything behind the request comes back, until the client closes
 *   'i'  in      the client sends `count` bytes of the pattern; one byte 'k' answers when all are
 *                there and right
 *   'o'  out     the server sends `count` bytes of the pattern */
#ifndef MR_BENCH_NET_PATTERN_H
#define MR_BENCH_NET_PATTERN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/base/endian.h"
#include "dataplane/base/rng.h"

#define NET_REQUEST_BYTES  9u
#define NET_PATTERN_PERIOD 65521u /* a prime: no packet size divides it */
#define NET_PATTERN_PIECE  65536u

struct net_pattern {
    uint8_t bytes[NET_PATTERN_PERIOD + NET_PATTERN_PIECE];
};

static inline void
net_pattern_init(struct net_pattern *pattern)
{
    struct mr_rng rng;

    mr_rng_init(&rng, 1);
    for (uint32_t i = 0; i < NET_PATTERN_PERIOD; i++) {
        pattern->bytes[i] = (uint8_t)mr_rng_next(&rng);
    }
    for (uint32_t i = NET_PATTERN_PERIOD; i < sizeof(pattern->bytes); i++) {
        pattern->bytes[i] = pattern->bytes[i - NET_PATTERN_PERIOD];
    }
}

/* NET_PATTERN_PIECE bytes of the pattern from `position`. */
static inline const uint8_t *
net_pattern_at(const struct net_pattern *pattern, uint64_t position)
{
    return pattern->bytes + position % NET_PATTERN_PERIOD;
}

static inline bool
net_pattern_same(const struct net_pattern *pattern, uint64_t position, const uint8_t *data,
                 size_t size)
{
    while (size > 0) {
        size_t part = size < NET_PATTERN_PIECE ? size : NET_PATTERN_PIECE;

        if (memcmp(data, net_pattern_at(pattern, position), part) != 0) {
            return false;
        }
        data += part;
        position += part;
        size -= part;
    }
    return true;
}

static inline void
net_request_put(uint8_t out[NET_REQUEST_BYTES], char mode, uint64_t count)
{
    out[0] = (uint8_t)mode;
    mr_le64_put(out + 1, count);
}

#endif
