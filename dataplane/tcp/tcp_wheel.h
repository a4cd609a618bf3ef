/* tcp/tcp_wheel.h: a hierarchical timer wheel.
 *
 * Five levels of 64 slots, a slot of the lowest being 2^16 ns (66 µs): arming, cancelling and
 * firing cost the same however many timers there are. A timer fires in the slot after its
 * deadline, so late by less than two slots. Moving a deadline later costs nothing: the timer stays
 * where it is and moves on when its old slot comes. Deadlines beyond the wheel's 19 hours wait in
 * its last slot and move on likewise. One thread. */
#ifndef MR_TCP_TCP_WHEEL_H
#define MR_TCP_TCP_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/list.h"

#define TCP_WHEEL_LEVELS    5
#define TCP_WHEEL_BITS      6
#define TCP_WHEEL_SLOTS     64
#define TCP_WHEEL_TICK_BITS 16
#define TCP_WHEEL_TICK_NS   (1ull << TCP_WHEEL_TICK_BITS)

struct tcp_timer {
    struct mr_list node;
    uint64_t deadline_ns;
    uint64_t tick; /* of the slot that it is in */
    uint8_t level;
    uint8_t slot;
    uint8_t kind; /* the user's */
    bool armed;
    bool queued; /* in a slot or in `due` */
};

struct tcp_wheel {
    uint64_t tick; /* every slot up to this one has been fired */
    uint64_t bitmap[TCP_WHEEL_LEVELS];
    struct mr_list slots[TCP_WHEEL_LEVELS][TCP_WHEEL_SLOTS];
    struct mr_list due;
};

void tcp_wheel_init(struct tcp_wheel *wheel, uint64_t now_ns);
void tcp_timer_init(struct tcp_timer *timer, uint8_t kind);

/* Arms it, or moves its deadline. */
void tcp_wheel_arm(struct tcp_wheel *wheel, struct tcp_timer *timer, uint64_t deadline_ns);

/* Forgets it; it must not be freed before tcp_wheel_remove(). */
void tcp_wheel_cancel(struct tcp_timer *timer);

/* Cancels it and takes it out of its slot. */
void tcp_wheel_remove(struct tcp_wheel *wheel, struct tcp_timer *timer);

/* The next timer that is due, disarmed, or NULL when there is none. */
struct tcp_timer *tcp_wheel_next(struct tcp_wheel *wheel, uint64_t now_ns);

/* When tcp_wheel_next() has something to do at the earliest, or UINT64_MAX. */
uint64_t tcp_wheel_deadline(const struct tcp_wheel *wheel);

#endif
