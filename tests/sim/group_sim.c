/* Goal: whatever clients, the log and the coordinator's host do, a partition has one owner in a
 * generation, no answered commit is lost, and every group settles when the disturbances stop.
 * Method: random worlds (group_world.h), judged by a model of the rules (group_model.h); every edge
 * of the coordinator's state diagram must have been taken often.
 *
 *     group_sim [--seeds COUNT] [--first SEED] [--seed SEED] */
#include "group_world.h"

#define SEEDS     5000
#define STEPS     300
#define EDGES_MIN 100

static struct world world;
static uint64_t edges[MR_GROUP_STATES * MR_GROUP_STATES];
#ifdef MR_MUTANTS
int mr_mutant; /* enum group_mutant of control/group_internal.h: the rule that is broken */
#endif

static uint64_t owners_checked;
static uint64_t offsets_checked;

static void
run(uint64_t seed)
{
    world_open(&world, seed, edges);
    for (int i = 0; i < STEPS; i++) {
        world_step(&world);
    }
    world_settle(&world);
    owners_checked += world.model.owners_checked;
    offsets_checked += world.model.offsets_checked;
    world_close(&world);
}

/* The edges of control/group.h. */
static bool
is_edge(int from, int to)
{
    switch (to) {
    case MR_GROUP_EMPTY:
        return from == MR_GROUP_PREPARING_REBALANCE;
    case MR_GROUP_PREPARING_REBALANCE:
        return from == MR_GROUP_EMPTY || from == MR_GROUP_COMPLETING_REBALANCE ||
               from == MR_GROUP_STABLE;
    case MR_GROUP_COMPLETING_REBALANCE:
        return from == MR_GROUP_PREPARING_REBALANCE;
    case MR_GROUP_STABLE:
        return from == MR_GROUP_COMPLETING_REBALANCE;
    default:
        return from != MR_GROUP_DEAD;
    }
}

static bool
judge_edges(bool enough)
{
    bool good = true;

    for (int from = 0; from < MR_GROUP_STATES; from++) {
        for (int to = 0; to < MR_GROUP_STATES; to++) {
            uint64_t count = edges[from * MR_GROUP_STATES + to];

            if (!is_edge(from, to)) {
                good = good && count == 0;
                continue;
            }
            printf("%-19s -> %-19s %10" PRIu64 "\n", mr_group_state_name(from),
                   mr_group_state_name(to), count);
            good = good && (!enough || count >= EDGES_MIN);
        }
    }
    return good;
}

int
main(int argc, char **argv)
{
    uint64_t first = 1;
    uint64_t count = SEEDS;

    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t value = strtoull(argv[i + 1], NULL, 10);

#ifdef MR_MUTANTS
        if (strcmp(argv[i], "--mutant") == 0) {
            mr_mutant = (int)value;
            continue;
        }
#endif
        if (strcmp(argv[i], "--seed") == 0) {
            first = value;
            count = 1;
        } else if (strcmp(argv[i], "--first") == 0) {
            first = value;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            count = value;
        }
    }
    printf("seeds %" PRIu64 " to %" PRIu64 "\n", first, first + count - 1);
    fflush(stdout);
    for (uint64_t seed = first; seed < first + count; seed++) {
        run(seed);
    }
    printf("checked: %" PRIu64 " owners, %" PRIu64 " fetched offsets\n", owners_checked,
           offsets_checked);
    return judge_edges(count >= SEEDS) ? 0 : 1;
}
