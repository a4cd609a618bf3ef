/* shard/timer.c: nanoseconds over rte_timer's ticks. */
#include "dataplane/shard/timer.h"

#include <rte_cycles.h>
#include <rte_lcore.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/list.h"

static uint64_t
ticks_of(uint64_t ns)
{
    return (uint64_t)((unsigned __int128)ns * rte_get_timer_hz() / MR_NS_PER_S);
}

static void
on_expiry(struct rte_timer *timer, void *context)
{
    struct mr_timer *self = context;

    (void)timer; /* the same object, seen from below */
    self->fired(self);
}

int
mr_timers_init(void)
{
    return rte_timer_subsystem_init();
}

void
mr_timer_init(struct mr_timer *timer, void (*fired)(struct mr_timer *timer))
{
    rte_timer_init(&timer->timer);
    timer->fired = fired;
}

void
mr_timer_start(struct mr_timer *timer, uint64_t delay_ns)
{
    int error = rte_timer_reset(&timer->timer, ticks_of(delay_ns), SINGLE, rte_lcore_id(),
                                on_expiry, timer);

    MR_ASSERT(error == 0); /* only its own lcore touches it */
}

void
mr_timer_stop(struct mr_timer *timer)
{
    int error = rte_timer_stop(&timer->timer);

    MR_ASSERT(error == 0);
}

bool
mr_timer_running(struct mr_timer *timer)
{
    return rte_timer_pending(&timer->timer) != 0;
}

void
mr_timers_run(void)
{
    rte_timer_manage();
}

uint64_t
mr_timers_next_ns(void)
{
    int64_t ticks = rte_timer_next_ticks();

    if (ticks < 0) {
        return UINT64_MAX;
    }
    return (uint64_t)((unsigned __int128)ticks * MR_NS_PER_S / rte_get_timer_hz());
}
