/* tests/sim/store_sim.c: the store under power cuts, kills, faults and rot, judged by an oracle
 * that shares no code with it.
 *
 *   store_sim                        the seeds that CTest runs
 *   store_sim --seed N [--trace]     exactly one run
 *   store_sim --seeds N --first M    explores
 *   --operations N                   per run, at least 2,000 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_run.h"

#ifdef MR_MUTANTS
int mr_mutant; /* enum mr_mutant of storage/internal.h: the rule that is broken */
#endif

/* So often must each event have occurred, where so many seeds were run. */
#define COUNTER_MIN        100u
#define SEEDS_FOR_COUNTERS 1200u

static uint64_t
number(int argc, char **argv, int at)
{
    char *end = NULL;
    uint64_t value = 0;

    if (at < argc) {
        value = strtoull(argv[at], &end, 10);
    }
    if (!end || *end) {
        fprintf(stderr, "store_sim: %s needs a number\n", argv[at - 1]);
        exit(2);
    }
    return value;
}

/* Prints all counters; returns how many of those that must occur have not often enough. */
static int
report(const struct sim_counters *counters)
{
    int missing = 0;

#define PRINT(name) printf("%-24s %llu\n", #name, (unsigned long long)counters->name);
#define CHECK(name)                                                                                \
    if (counters->name < COUNTER_MIN) {                                                            \
        printf("too seldom: %s\n", #name);                                                         \
        missing++;                                                                                 \
    }
    SIM_COUNTERS(PRINT)
    SIM_COUNTERS_RARE(PRINT)
    SIM_COUNTERS(CHECK)
#undef PRINT
#undef CHECK
    return missing;
}

int
main(int argc, char **argv)
{
    uint64_t first = 1, seeds = 1200, operations = SIM_OPS_MIN;
    struct sim_counters counters = {0};
    bool trace = false;
    int missing;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0) {
            first = number(argc, argv, ++i);
            seeds = 1;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            seeds = number(argc, argv, ++i);
        } else if (strcmp(argv[i], "--first") == 0) {
            first = number(argc, argv, ++i);
        } else if (strcmp(argv[i], "--operations") == 0) {
            operations = number(argc, argv, ++i);
#ifdef MR_MUTANTS
        } else if (strcmp(argv[i], "--mutant") == 0) {
            mr_mutant = (int)number(argc, argv, ++i);
#endif
        } else if (strcmp(argv[i], "--trace") == 0) {
            trace = true;
        } else {
            fprintf(stderr, "store_sim: unknown argument %s\n", argv[i]);
            return 2;
        }
    }
    /* Batches, arenas and media are freed and taken all the time; the kernel need not know. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    printf("seeds %llu to %llu\n", (unsigned long long)first,
           (unsigned long long)(first + seeds - 1));
    fflush(stdout);
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        sim_run(seed, trace, operations, &counters);
    }
    missing = report(&counters);
    return missing && seeds >= SEEDS_FOR_COUNTERS ? 1 : 0;
}
