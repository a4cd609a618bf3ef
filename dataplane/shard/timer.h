/* shard/timer.h: timers of one shard, over rte_timer.
 *
 * Thread: a shard's own lcore; a timer fires there, inside mr_timers_run(). Resolution: a turn of
 * the loop. */
#ifndef MR_SHARD_TIMER_H
#define MR_SHARD_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_timer.h>

struct mr_timer {
    struct rte_timer timer;
    void (*fired)(struct mr_timer *timer);
};

/* Once for each process, after the EAL is up. 0 or -errno. */
int mr_timers_init(void);

void mr_timer_init(struct mr_timer *timer, void (*fired)(struct mr_timer *timer));

/* (Re)starts: `fired` runs once, `delay_ns` from now. */
void mr_timer_start(struct mr_timer *timer, uint64_t delay_ns);

/* `fired` does not run any more; safe on one that is not running. */
void mr_timer_stop(struct mr_timer *timer);

bool mr_timer_running(struct mr_timer *timer);

/* Fires what is due. */
void mr_timers_run(void);

/* Time until the next one is due; UINT64_MAX: none is running. */
uint64_t mr_timers_next_ns(void);

#endif
