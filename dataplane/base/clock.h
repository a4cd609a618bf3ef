/* base/clock.h: the only source of time for dataplane and storage.
 *
 * A clock is a contract with two implementations: the system's and one that a simulation advances
 * by hand. Any thread may read the system clock; a simulated one belongs to its simulation. */
#ifndef MR_BASE_CLOCK_H
#define MR_BASE_CLOCK_H

#include <stdint.h>

#define MR_NS_PER_US 1000ull
#define MR_NS_PER_MS 1000000ull
#define MR_NS_PER_S  1000000000ull

struct mr_clock {
    uint64_t (*now_ns)(const struct mr_clock *clock); /* monotonic, from an arbitrary start */
    int64_t (*wall_ms)(const struct mr_clock *clock); /* milliseconds since 1970-01-01 UTC */
};

/* CLOCK_MONOTONIC and CLOCK_REALTIME. */
extern const struct mr_clock mr_clock_system;

/* A clock that stands still until it is told to move. */
struct mr_clock_sim {
    struct mr_clock clock; /* pass &sim.clock */
    uint64_t now_ns;
    int64_t wall_base_ms;
};

void mr_clock_sim_init(struct mr_clock_sim *sim, int64_t wall_base_ms);

static inline uint64_t
mr_clock_now_ns(const struct mr_clock *clock)
{
    return clock->now_ns(clock);
}

static inline int64_t
mr_clock_wall_ms(const struct mr_clock *clock)
{
    return clock->wall_ms(clock);
}

#endif
