/* shard/shard.h: the poll loop of one core.
 *
 * A shard is a thread on an lcore of its own. It owns its io_uring, its port to the mesh and its
 * timers; what else it owns (connections, partitions, stores) belongs to the steps it is given.
 * Nothing of a shard is touched by another thread, except its mesh port's rings and sleep flag.
 *
 * One turn, in this order, each step bounded:
 *
 *   1 inboxes            messages of the other endpoints        steps.message
 *   2 completions        disk and network                       callbacks of their operations
 *   3 timers             what is due
 *   4 group commit       one step of every store                steps.commit
 *   5 transmit           answers that became ready              steps.transmit
 *   6 outboxes           wake the peers that were sent to
 *   7 submit, or sleep   one io_uring_enter(2) for all of it
 *
 * It sleeps only when nothing was done in the turn, until a completion, a message, the next timer
 * or steps.deadline_ns. */
#ifndef MR_SHARD_SHARD_H
#define MR_SHARD_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/clock.h"
#include "dataplane/base/uring.h"
#include "dataplane/shard/mesh.h"

struct mr_shard_steps {
    void *context;
    void (*message)(void *context, const struct mr_msg *message);
    bool (*commit)(void *context);          /* true: work was done */
    bool (*transmit)(void *context);        /* true: work was done */
    uint64_t (*deadline_ns)(void *context); /* clock value; UINT64_MAX: none */
};

struct mr_shard {
    unsigned index;
    unsigned shard_count;
    const struct mr_clock *clock;
    uint64_t now_ns;  /* read once a turn */
    uint64_t spin_ns; /* how long an idle shard polls before it sleeps; UINT64_MAX: for ever */
    struct mr_uring uring;
    struct mr_mesh_port *port;
    struct mr_shard_steps steps;
    bool stopping;
    uint64_t turns;
    uint64_t sleeps;
};

#define MR_SHARD_RING_ENTRIES 512u

/* Sets up the ring and binds the port. On the shard's own thread, since the ring belongs to it.
 * 0 or -errno. */
int mr_shard_init(struct mr_shard *shard, unsigned index, unsigned shard_count,
                  const struct mr_clock *clock, struct mr_mesh_port *port, uint64_t spin_ns);

/* Turns until mr_shard_stop(). */
void mr_shard_run(struct mr_shard *shard, const struct mr_shard_steps *steps);

/* One turn; `may_sleep` false: never sleeps. For tests and for start-up. */
void mr_shard_turn(struct mr_shard *shard, bool may_sleep);

/* From inside a step: the loop ends after this turn. */
void mr_shard_stop(struct mr_shard *shard);

void mr_shard_close(struct mr_shard *shard);

#endif
