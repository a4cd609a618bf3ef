/* Goal: the mesh delivers in order, its credits bound what is under way, and a sleeper wakes.
 * Method: two endpoints in one thread for the rules; two threads for wake-ups. */
#include <pthread.h>
#include <unistd.h>

#include <rte_eal.h>

#include "dataplane/base/clock.h"
#include "dataplane/shard/mesh.h"
#include "dataplane/shard/shard.h"
#include "dataplane/shard/timer.h"
#include "tests/mr_test.h"

#define CREDITS 4u

static const uint32_t credits[MR_MESH_CLASSES] = {CREDITS, CREDITS, CREDITS, CREDITS};

struct seen {
    uint64_t values[64];
    unsigned count;
};

static void
note(void *context, const struct mr_msg *message)
{
    struct seen *seen = context;

    MR_CHECK(seen->count < 64);
    seen->values[seen->count++] = message->arguments[0];
}

MR_TEST(messages_arrive_once_and_in_order)
{
    struct mr_mesh *mesh;
    struct mr_mesh_port *a;
    struct seen seen = {.count = 0};

    MR_CHECK_EQ(mr_mesh_create(1, credits, &mesh), 0);
    a = mr_mesh_port(mesh, 0);
    for (uint64_t i = 0; i < CREDITS; i++) {
        MR_CHECK(mr_mesh_take(a, 1, MR_MESH_REQUEST));
        mr_mesh_send(a, 1, (struct mr_msg){.type = MR_MSG_PRODUCE, .arguments = {i}});
    }
    MR_CHECK_EQ(mr_mesh_poll(mr_mesh_port(mesh, 1), 64, note, &seen), CREDITS);
    for (uint64_t i = 0; i < CREDITS; i++) {
        MR_CHECK_EQ(seen.values[i], i);
    }
    MR_CHECK_EQ(mr_mesh_poll(mr_mesh_port(mesh, 1), 64, note, &seen), 0);
    mr_mesh_destroy(mesh);
}

MR_TEST(a_class_without_credits_takes_none_of_another)
{
    struct mr_mesh *mesh;
    struct mr_mesh_port *a;

    MR_CHECK_EQ(mr_mesh_create(1, credits, &mesh), 0);
    a = mr_mesh_port(mesh, 0);
    for (unsigned i = 0; i < CREDITS; i++) {
        MR_CHECK(mr_mesh_take(a, 1, MR_MESH_REQUEST));
    }
    MR_CHECK(!mr_mesh_take(a, 1, MR_MESH_REQUEST));
    MR_CHECK(mr_mesh_take(a, 1, MR_MESH_WATCH));
    MR_CHECK_EQ(mr_mesh_in_use(a, 1, MR_MESH_REQUEST), CREDITS);
    mr_mesh_give(a, 1, MR_MESH_REQUEST);
    MR_CHECK(mr_mesh_take(a, 1, MR_MESH_REQUEST));
    mr_mesh_destroy(mesh);
}

/* Every credit of every class used at once in both directions, with all answers: the rings hold. */
MR_TEST(rings_have_room_for_all_that_credits_allow)
{
    struct mr_mesh *mesh;
    struct seen seen = {.count = 0};

    MR_CHECK_EQ(mr_mesh_create(1, credits, &mesh), 0);
    for (unsigned side = 0; side < 2; side++) {
        struct mr_mesh_port *port = mr_mesh_port(mesh, side);
        unsigned slots = 2 * (CREDITS + CREDITS + 2 * CREDITS + 2 * CREDITS);

        for (unsigned i = 0; i < slots; i++) {
            mr_mesh_send(port, 1 - side, (struct mr_msg){.arguments = {i}});
        }
    }
    MR_CHECK_EQ(mr_mesh_poll(mr_mesh_port(mesh, 0), 64, note, &seen), 12 * CREDITS);
    mr_mesh_destroy(mesh);
}

struct sleeper {
    struct mr_mesh *mesh;
    struct mr_uring uring;
    pthread_barrier_t ready;
    struct seen seen;
};

static void *
sleep_until_messages(void *context)
{
    struct sleeper *sleeper = context;
    struct mr_mesh_port *port = mr_mesh_port(sleeper->mesh, 1);

    MR_CHECK_EQ(mr_uring_init(&sleeper->uring, 16), 0);
    mr_mesh_port_bind(port, &sleeper->uring);
    pthread_barrier_wait(&sleeper->ready);
    while (sleeper->seen.count < 32) {
        mr_uring_reap(&sleeper->uring, 16);
        mr_mesh_poll(port, 64, note, &sleeper->seen);
        if (sleeper->seen.count < 32 && mr_mesh_port_sleep(port)) {
            mr_uring_wait(&sleeper->uring, 600 * MR_NS_PER_S); /* only a wake-up ends it */
            mr_mesh_port_awake(port);
        }
    }
    mr_uring_close(&sleeper->uring);
    return NULL;
}

static atomic_uint left_outside; /* what nudges tell of */

static void *
sleep_until_nudged(void *context)
{
    struct sleeper *sleeper = context;
    struct mr_mesh_port *port = mr_mesh_port(sleeper->mesh, 1);
    unsigned taken = 0;

    MR_CHECK_EQ(mr_uring_init(&sleeper->uring, 16), 0);
    mr_mesh_port_bind(port, &sleeper->uring);
    pthread_barrier_wait(&sleeper->ready);
    while (taken < 32) {
        mr_uring_reap(&sleeper->uring, 16);
        if (mr_mesh_port_sleep(port) && atomic_load(&left_outside) == taken) {
            mr_uring_wait(&sleeper->uring, 600 * MR_NS_PER_S); /* only a nudge ends it */
        }
        mr_mesh_port_awake(port);
        taken = atomic_load(&left_outside);
    }
    mr_uring_close(&sleeper->uring);
    return NULL;
}

/* Endpoint 0 leaves 32 things for endpoint 1, whose thread ends when it has had them all. */
static void
leave_for(struct sleeper *sleeper, void *(*run)(void *context),
          void (*leave)(struct mr_mesh_port *port, unsigned number))
{
    const uint32_t many[MR_MESH_CLASSES] = {64, 4, 4};
    struct mr_mesh_port *port;
    struct mr_uring uring;
    pthread_t thread;

    MR_CHECK_EQ(mr_mesh_create(1, many, &sleeper->mesh), 0);
    MR_CHECK_EQ(mr_uring_init(&uring, 16), 0);
    pthread_barrier_init(&sleeper->ready, NULL, 2);
    MR_CHECK_EQ(pthread_create(&thread, NULL, run, sleeper), 0);
    pthread_barrier_wait(&sleeper->ready);
    port = mr_mesh_port(sleeper->mesh, 0);
    mr_mesh_port_bind(port, &uring);
    for (unsigned i = 0; i < 32; i++) {
        leave(port, i);
        mr_mesh_flush(port);
        mr_uring_submit(&uring);
        usleep(i % 4 *
               500); /* lets it fall asleep in some rounds; the outcome does not depend on it */
    }
    pthread_join(thread, NULL);
    mr_uring_close(&uring);
    mr_mesh_destroy(sleeper->mesh);
}

static void
leave_message(struct mr_mesh_port *port, unsigned number)
{
    MR_CHECK(mr_mesh_take(port, 1, MR_MESH_REQUEST));
    mr_mesh_send(port, 1, (struct mr_msg){.arguments = {number}});
}

MR_TEST(a_sleeper_is_woken_by_every_burst)
{
    struct sleeper sleeper = {.seen.count = 0};

    leave_for(&sleeper, sleep_until_messages, leave_message);
    MR_CHECK_EQ(sleeper.seen.count, 32);
}

static void
leave_outside(struct mr_mesh_port *port, unsigned number)
{
    (void)number;
    atomic_fetch_add(&left_outside, 1);
    mr_mesh_nudge(port, 1);
}

/* What is not sent through the mesh is looked at after the sleep was announced. */
MR_TEST(a_sleeper_is_woken_by_nudges)
{
    struct sleeper sleeper = {.seen.count = 0};

    leave_for(&sleeper, sleep_until_nudged, leave_outside);
    MR_CHECK_EQ(atomic_load(&left_outside), 32);
}

static bool
no_work(void *context)
{
    (void)context;
    return false;
}

static uint64_t
asked_while_woken(void *context)
{
    struct mr_shard *shard = context;

    MR_CHECK(atomic_load(&shard->port->sleeping)); /* what is left from here on wakes it */
    mr_shard_stop(shard);
    return shard->now_ns;
}

/* A shard looks at what may keep it awake only when a nudge would already wake it: what another
 * leaves after that look is not slept over. */
MR_TEST(a_shard_announces_its_sleep_before_it_looks_for_reasons_against_it)
{
    struct mr_shard shard;
    const struct mr_shard_steps steps = {.context = &shard,
                                         .commit = no_work,
                                         .transmit = no_work,
                                         .deadline_ns = asked_while_woken};
    struct mr_mesh *mesh;

    MR_CHECK_EQ(mr_timers_init(), 0);
    MR_CHECK_EQ(mr_mesh_create(1, credits, &mesh), 0);
    MR_CHECK_EQ(mr_shard_init(&shard, 0, 1, &mr_clock_system, mr_mesh_port(mesh, 0), 0), 0);
    mr_shard_run(&shard, &steps);
    MR_CHECK_EQ(shard.sleeps, 0); /* there was a reason */
    MR_CHECK(!atomic_load(&shard.port->sleeping));
    mr_shard_close(&shard);
    mr_mesh_destroy(mesh);
}

static int
start_eal(void)
{
    const char *arguments[] = {"mesh_test",   "--no-pci",       "--no-huge",   "-m",    "64",
                               "--no-shconf", "--no-telemetry", "--log-level", "error", "--lcores",
                               "0@0"};

    return rte_eal_init(11, (char **)(uintptr_t)arguments);
}

int
main(int argc, char **argv)
{
    static const struct mr_test_case cases[] = {
        MR_TEST_CASE(messages_arrive_once_and_in_order),
        MR_TEST_CASE(a_class_without_credits_takes_none_of_another),
        MR_TEST_CASE(rings_have_room_for_all_that_credits_allow),
        MR_TEST_CASE(a_shard_announces_its_sleep_before_it_looks_for_reasons_against_it),
        MR_TEST_CASE(a_sleeper_is_woken_by_nudges),
        MR_TEST_CASE(a_sleeper_is_woken_by_every_burst),
    };

    if (start_eal() < 0) {
        return 1;
    }
    return mr_test_run(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
