/* base/rng.c: xoshiro256** seeded by splitmix64. */
#include "dataplane/base/rng.h"

#include <sys/random.h>

#include "dataplane/base/assert.h"

static uint64_t
rotate_left(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

void
mr_rng_init(struct mr_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15ull);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        rng->state[i] = z ^ (z >> 31);
    }
}

uint64_t
mr_rng_next(struct mr_rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t
mr_rng_below(struct mr_rng *rng, uint64_t bound)
{
    MR_ASSERT(bound > 0);
    return (uint64_t)(((unsigned __int128)mr_rng_next(rng) * bound) >> 64);
}

double
mr_rng_unit(struct mr_rng *rng)
{
    return (double)(mr_rng_next(rng) >> 11) * 0x1.0p-53;
}

void
mr_random_bytes(void *out, size_t size)
{
    uint8_t *at = out;

    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);

        if (got > 0) {
            at += got;
            size -= (size_t)got;
        }
    }
}
