/* tests/unit/control/metalog_test_engine.h: a metadata log in memory that behaves like the worst
 * consensus service: commits come late and in bursts, leadership goes and comes back, and commands
 * that were pending then commit all the same, are dropped, or are never heard of again; other
 * brokers' commands come in between; and what was committed meanwhile comes as a snapshot, or one
 * by one.
 *
 * Thread: the one that reaps `uring`; callbacks run from there. Everything follows from the seed
 * and the order of the calls. */
#ifndef MR_TESTS_METALOG_TEST_ENGINE_H
#define MR_TESTS_METALOG_TEST_ENGINE_H

#include "control/metadata.h"
#include "control/metalog.h"
#include "dataplane/base/uring.h"

struct mr_test_engine_config {
    uint64_t seed;
    unsigned calm_commits; /* so many commits come before leadership is lost for the first time */
    double lose_chance;    /* per tick */
    double drop_chance;    /* per tick, without leadership being lost */
    const struct mr_topic_defaults *defaults; /* of the state that it keeps, for snapshots */
    /* Runs before each `committed`, on the engine's thread. */
    void (*observe)(void *context, const uint8_t *command, size_t size, uint64_t token);
    void (*observe_loss)(void *context);
    void *context;
};

/* Leads from the start. `config` is copied. 0 or -ENOMEM. */
int mr_test_engine_open(const struct mr_test_engine_config *config, struct mr_uring *uring,
                        const struct mr_metalog_events *events, struct mr_metalog **out);

#endif
