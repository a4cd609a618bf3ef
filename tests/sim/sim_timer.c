/* tests/sim/sim_timer.c: a table of running timers, under a simulated clock. */
#include "tests/sim/sim_timer.h"

#include <stddef.h>

#include "dataplane/base/assert.h"
#include "dataplane/shard/timer.h"

#define TIMERS_MAX 1024u

static const struct mr_clock_sim *sim_clock;
static struct running {
    struct mr_timer *timer;
    uint64_t due_ns;
} running[TIMERS_MAX];
static unsigned running_count;

void
sim_timers_clock(const struct mr_clock_sim *clock)
{
    MR_ASSERT(running_count == 0);
    sim_clock = clock;
}

int
mr_timers_init(void)
{
    return 0;
}

void
mr_timer_init(struct mr_timer *timer, void (*fired)(struct mr_timer *timer))
{
    timer->fired = fired;
}

static unsigned
find(const struct mr_timer *timer)
{
    unsigned at = 0;

    while (at < running_count && running[at].timer != timer) {
        at++;
    }
    return at;
}

void
mr_timer_stop(struct mr_timer *timer)
{
    unsigned at = find(timer);

    if (at < running_count) {
        running[at] = running[--running_count];
    }
}

void
mr_timer_start(struct mr_timer *timer, uint64_t delay_ns)
{
    mr_timer_stop(timer);
    MR_ASSERT(running_count < TIMERS_MAX);
    running[running_count++] = (struct running){timer, sim_clock->now_ns + delay_ns};
}

bool
mr_timer_running(struct mr_timer *timer)
{
    return find(timer) < running_count;
}

/* The timer that is due first, or NULL. */
static struct running *
first(void)
{
    struct running *found = NULL;

    for (unsigned i = 0; i < running_count; i++) {
        if (!found || running[i].due_ns < found->due_ns) {
            found = &running[i];
        }
    }
    return found;
}

void
mr_timers_run(void)
{
    struct running *next;

    while ((next = first()) && next->due_ns <= sim_clock->now_ns) {
        struct mr_timer *timer = next->timer;

        mr_timer_stop(timer);
        timer->fired(timer);
    }
}

uint64_t
mr_timers_next_ns(void)
{
    const struct running *next = first();

    if (!next) {
        return UINT64_MAX;
    }
    return next->due_ns > sim_clock->now_ns ? next->due_ns - sim_clock->now_ns : 0;
}
