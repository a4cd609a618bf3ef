/* base/clock.c: the system clock and the simulated one. */
#include "dataplane/base/clock.h"

#include <time.h>

#include "dataplane/base/list.h"

static uint64_t
system_now_ns(const struct mr_clock *clock)
{
    struct timespec ts;

    (void)clock; /* there is only one system clock */
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * MR_NS_PER_S + (uint64_t)ts.tv_nsec;
}

static int64_t
system_wall_ms(const struct mr_clock *clock)
{
    struct timespec ts;

    (void)clock; /* there is only one system clock */
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

const struct mr_clock mr_clock_system = {
    .now_ns = system_now_ns,
    .wall_ms = system_wall_ms,
};

static uint64_t
sim_now_ns(const struct mr_clock *clock)
{
    return MR_CONTAINER_OF(clock, struct mr_clock_sim, clock)->now_ns;
}

static int64_t
sim_wall_ms(const struct mr_clock *clock)
{
    const struct mr_clock_sim *sim = MR_CONTAINER_OF(clock, struct mr_clock_sim, clock);

    return sim->wall_base_ms + (int64_t)(sim->now_ns / MR_NS_PER_MS);
}

void
mr_clock_sim_init(struct mr_clock_sim *sim, int64_t wall_base_ms)
{
    sim->clock.now_ns = sim_now_ns;
    sim->clock.wall_ms = sim_wall_ms;
    sim->now_ns = 0;
    sim->wall_base_ms = wall_base_ms;
}
