/* tests/sim/sim_timer.h: the simulated twin of dataplane/shard/timer.h.
 *
 * An executable that links sim_timer.c has its timers run by a simulated clock instead of the
 * processor's: the calls of timer.h are defined there. */
#ifndef MR_TESTS_SIM_TIMER_H
#define MR_TESTS_SIM_TIMER_H

#include "dataplane/base/clock.h"

/* Timers are due by this clock from now on; it is borrowed. None may be running. */
void sim_timers_clock(const struct mr_clock_sim *clock);

#endif
