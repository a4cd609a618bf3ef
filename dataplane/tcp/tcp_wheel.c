/* tcp/tcp_wheel.c: see tcp_wheel.h. */
#include "dataplane/tcp/tcp_wheel.h"

#include "dataplane/base/assert.h"

#define SLOT_MASK (TCP_WHEEL_SLOTS - 1u)
#define TICKS_MAX ((1ull << (TCP_WHEEL_LEVELS * TCP_WHEEL_BITS)) - 1)

void
tcp_wheel_init(struct tcp_wheel *wheel, uint64_t now_ns)
{
    wheel->tick = now_ns >> TCP_WHEEL_TICK_BITS;
    mr_list_init(&wheel->due);
    for (unsigned level = 0; level < TCP_WHEEL_LEVELS; level++) {
        wheel->bitmap[level] = 0;
        for (unsigned slot = 0; slot < TCP_WHEEL_SLOTS; slot++) {
            mr_list_init(&wheel->slots[level][slot]);
        }
    }
}

void
tcp_timer_init(struct tcp_timer *timer, uint8_t kind)
{
    *timer = (struct tcp_timer){.kind = kind};
    mr_list_init(&timer->node);
}

/* Puts it where its deadline belongs, at `tick_min` at the earliest. */
static void
place(struct tcp_wheel *wheel, struct tcp_timer *timer, uint64_t tick_min)
{
    uint64_t tick = (timer->deadline_ns >> TCP_WHEEL_TICK_BITS) + 1;
    unsigned level = 0;

    if (tick < tick_min) {
        tick = tick_min;
    }
    if (tick - wheel->tick > TICKS_MAX) {
        tick = wheel->tick + TICKS_MAX;
    }
    while ((tick - wheel->tick) >> (TCP_WHEEL_BITS * (level + 1)) != 0) {
        level++;
    }
    timer->tick = tick;
    timer->level = (uint8_t)level;
    timer->slot = (uint8_t)((tick >> (TCP_WHEEL_BITS * level)) & SLOT_MASK);
    timer->queued = true;
    mr_list_push_back(&wheel->slots[level][timer->slot], &timer->node);
    wheel->bitmap[level] |= 1ull << timer->slot;
}

static void
unlink_timer(struct tcp_wheel *wheel, struct tcp_timer *timer)
{
    mr_list_remove(&timer->node);
    timer->queued = false;
    if (mr_list_empty(&wheel->slots[timer->level][timer->slot])) {
        wheel->bitmap[timer->level] &= ~(1ull << timer->slot);
    }
}

void
tcp_wheel_arm(struct tcp_wheel *wheel, struct tcp_timer *timer, uint64_t deadline_ns)
{
    timer->deadline_ns = deadline_ns;
    timer->armed = true;
    if (timer->queued) {
        if ((deadline_ns >> TCP_WHEEL_TICK_BITS) + 1 >= timer->tick) {
            return;
        }
        unlink_timer(wheel, timer);
    }
    place(wheel, timer, wheel->tick + 1);
}

void
tcp_wheel_cancel(struct tcp_timer *timer)
{
    timer->armed = false;
}

void
tcp_wheel_remove(struct tcp_wheel *wheel, struct tcp_timer *timer)
{
    timer->armed = false;
    if (timer->queued) {
        unlink_timer(wheel, timer);
    }
}

/* The next tick at which a slot has to be fired or spread over the level below. */
static uint64_t
tick_next(const struct tcp_wheel *wheel)
{
    uint64_t best = UINT64_MAX;

    for (unsigned level = 0; level < TCP_WHEEL_LEVELS; level++) {
        uint64_t at = wheel->tick >> (TCP_WHEEL_BITS * level);
        unsigned turn = (unsigned)(at + 1) & SLOT_MASK;
        uint64_t bits = wheel->bitmap[level];
        uint64_t tick;

        if (bits == 0) {
            continue;
        }
        bits = turn == 0 ? bits : (bits >> turn) | (bits << (TCP_WHEEL_SLOTS - turn));
        tick = (at + 1 + (unsigned)__builtin_ctzll(bits)) << (TCP_WHEEL_BITS * level);
        best = tick < best ? tick : best;
    }
    return best;
}

/* Moves what is in the slot to `due`, or to where it belongs now. */
static void
empty_slot(struct tcp_wheel *wheel, unsigned level, unsigned slot)
{
    struct mr_list *list = &wheel->slots[level][slot];

    wheel->bitmap[level] &= ~(1ull << slot);
    while (!mr_list_empty(list)) {
        struct tcp_timer *timer = MR_CONTAINER_OF(list->next, struct tcp_timer, node);

        mr_list_remove(&timer->node);
        timer->queued = false;
        if (!timer->armed) {
            continue;
        }
        if (level == 0 && (timer->deadline_ns >> TCP_WHEEL_TICK_BITS) < wheel->tick) {
            timer->queued = true;
            mr_list_push_back(&wheel->due, &timer->node);
        } else {
            place(wheel, timer, wheel->tick + (level == 0 ? 1 : 0));
        }
    }
}

static void
advance(struct tcp_wheel *wheel, uint64_t target)
{
    while (wheel->tick < target) {
        uint64_t next = tick_next(wheel);

        if (next > target) {
            wheel->tick = target;
            return;
        }
        wheel->tick = next;
        for (unsigned level = TCP_WHEEL_LEVELS - 1; level > 0; level--) {
            unsigned shift = TCP_WHEEL_BITS * level;
            unsigned slot = (unsigned)(next >> shift) & SLOT_MASK;

            if ((next & ((1ull << shift) - 1)) == 0 && (wheel->bitmap[level] >> slot & 1)) {
                empty_slot(wheel, level, slot);
            }
        }
        if (wheel->bitmap[0] >> (next & SLOT_MASK) & 1) {
            empty_slot(wheel, 0, (unsigned)next & SLOT_MASK);
        }
    }
}

struct tcp_timer *
tcp_wheel_next(struct tcp_wheel *wheel, uint64_t now_ns)
{
    advance(wheel, now_ns >> TCP_WHEEL_TICK_BITS);
    while (!mr_list_empty(&wheel->due)) {
        struct mr_list *node = mr_list_pop_front(&wheel->due);
        struct tcp_timer *timer = MR_CONTAINER_OF(node, struct tcp_timer, node);

        timer->queued = false;
        if (!timer->armed) {
            continue;
        }
        if ((timer->deadline_ns >> TCP_WHEEL_TICK_BITS) >= wheel->tick) {
            place(wheel, timer, wheel->tick + 1);
            continue;
        }
        timer->armed = false;
        return timer;
    }
    return NULL;
}

uint64_t
tcp_wheel_deadline(const struct tcp_wheel *wheel)
{
    uint64_t tick;

    if (!mr_list_empty(&wheel->due)) {
        return 0;
    }
    tick = tick_next(wheel);
    return tick == UINT64_MAX ? UINT64_MAX : tick << TCP_WHEEL_TICK_BITS;
}
