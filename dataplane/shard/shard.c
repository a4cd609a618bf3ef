/* shard/shard.c: the turn, and when to sleep. */
#include "dataplane/shard/shard.h"

#include <sched.h>

#include "dataplane/base/assert.h"
#include "dataplane/shard/timer.h"

#define MESSAGES_PER_PEER    64u
#define COMPLETIONS_PER_TURN 1024u
#define SLEEP_NS_MAX         MR_NS_PER_S

int
mr_shard_init(struct mr_shard *shard, unsigned index, unsigned shard_count,
              const struct mr_clock *clock, struct mr_mesh_port *port, uint64_t spin_ns)
{
    int error;

    *shard = (struct mr_shard){
        .index = index,
        .shard_count = shard_count,
        .clock = clock,
        .now_ns = mr_clock_now_ns(clock),
        .spin_ns = spin_ns,
        .port = port,
    };
    error = mr_uring_init(&shard->uring, MR_SHARD_RING_ENTRIES);
    if (error) {
        return error;
    }
    mr_mesh_port_bind(port, &shard->uring);
    return 0;
}

static uint64_t
sleep_limit_ns(const struct mr_shard *shard)
{
    uint64_t limit = mr_timers_next_ns();
    uint64_t deadline = shard->steps.deadline_ns(shard->steps.context);

    if (deadline != UINT64_MAX) {
        uint64_t left = deadline > shard->now_ns ? deadline - shard->now_ns : 0;

        limit = left < limit ? left : limit;
    }
    return limit < SLEEP_NS_MAX ? limit : SLEEP_NS_MAX;
}

static void
sleep_now(struct mr_shard *shard)
{
    uint64_t limit;

    if (!mr_mesh_port_sleep(shard->port)) {
        mr_uring_submit(&shard->uring);
        return;
    }
    limit = sleep_limit_ns(shard); /* only now: what others leave from here on wakes this shard */
    if (limit > 0) {
        shard->sleeps++;
        mr_uring_wait(&shard->uring, limit);
    } else {
        mr_uring_submit(&shard->uring);
    }
    mr_mesh_port_awake(shard->port);
}

void
mr_shard_turn(struct mr_shard *shard, bool may_sleep)
{
    void *context = shard->steps.context;
    unsigned work;

    shard->turns++;
    shard->now_ns = mr_clock_now_ns(shard->clock);
    work = mr_mesh_poll(shard->port, MESSAGES_PER_PEER, shard->steps.message, context);
    work += mr_uring_reap(&shard->uring, COMPLETIONS_PER_TURN);
    mr_timers_run();
    work += shard->steps.commit(context);
    work += shard->steps.transmit(context);
    mr_mesh_flush(shard->port);
    if (work > 0 || !may_sleep) {
        mr_uring_submit(&shard->uring);
        if (work == 0 && shard->uring.in_flight > 0) {
            sched_yield(); /* to a worker of the kernel that has this core too, e.g. for a flush */
        }
    } else {
        sleep_now(shard);
    }
}

void
mr_shard_run(struct mr_shard *shard, const struct mr_shard_steps *steps)
{
    uint64_t worked_ns = 0;
    uint64_t completions = 0;

    shard->steps = *steps;
    while (!shard->stopping) {
        bool may_sleep = true;

        if (shard->spin_ns > 0) {
            may_sleep = shard->now_ns - worked_ns >= shard->spin_ns && shard->spin_ns != UINT64_MAX;
            if (completions != shard->port->messages_received + shard->uring.reaped) {
                completions = shard->port->messages_received + shard->uring.reaped;
                worked_ns = shard->now_ns;
            }
        }
        mr_shard_turn(shard, may_sleep);
    }
    mr_uring_submit(&shard->uring); /* the last wake-ups leave */
}

void
mr_shard_stop(struct mr_shard *shard)
{
    shard->stopping = true;
}

void
mr_shard_close(struct mr_shard *shard)
{
    mr_uring_close(&shard->uring);
}
