/* base/rng.h: seeded pseudo-random numbers (xoshiro256**, Blackman and Vigna, 2018).
 *
 * Not for secrets: ids and salts come from mr_random_bytes(). One state belongs to one thread. */
#ifndef MR_BASE_RNG_H
#define MR_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct mr_rng {
    uint64_t state[4];
};

void mr_rng_init(struct mr_rng *rng, uint64_t seed);

uint64_t mr_rng_next(struct mr_rng *rng);

/* A number in [0, bound); bound must not be 0. */
uint64_t mr_rng_below(struct mr_rng *rng, uint64_t bound);

/* A number in [0, 1). */
double mr_rng_unit(struct mr_rng *rng);

/* Fills `out` from the kernel's generator (getrandom(2)). Any thread. */
void mr_random_bytes(void *out, size_t size);

#endif
