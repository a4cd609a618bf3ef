/* tests/sim/store_sim.c: the store under power cuts, kills, faults and rot, judged by an oracle
 * that shares no code with it.
 *
 *   store_sim                        the seeds that CTest runs
 *   store_sim --seed N [--trace]     exactly one run
 *   store_sim --seeds N --first M    explores
 *   store_sim --crashes N --first M  seeds until so many crashes have come
 *   --jobs N                         processes that share the seeds (2)
 *   --operations N                   per run, at least 2,000 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/sim_run.h"

#ifdef MR_MUTANTS
int mr_mutant; /* enum mr_mutant of storage/internal.h: the rule that is broken */
#endif

/* So often must each event have occurred, where so many seeds were run. */
#define COUNTER_MIN        100u
#define SEEDS_FOR_COUNTERS 2000u
#define JOBS_MAX           64u
#define PROGRESS_SEEDS     500u /* between two lines of progress */

struct options {
    uint64_t first, seeds, crashes, operations, jobs;
    bool trace;
};

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

static void
options_read(struct options *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0) {
            options->first = number(argc, argv, ++i);
            options->seeds = options->jobs = 1;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            options->seeds = number(argc, argv, ++i);
        } else if (strcmp(argv[i], "--crashes") == 0) {
            options->crashes = number(argc, argv, ++i);
            options->seeds = UINT64_MAX;
        } else if (strcmp(argv[i], "--first") == 0) {
            options->first = number(argc, argv, ++i);
        } else if (strcmp(argv[i], "--jobs") == 0) {
            options->jobs = number(argc, argv, ++i);
        } else if (strcmp(argv[i], "--operations") == 0) {
            options->operations = number(argc, argv, ++i);
#ifdef MR_MUTANTS
        } else if (strcmp(argv[i], "--mutant") == 0) {
            mr_mutant = (int)number(argc, argv, ++i);
#endif
        } else if (strcmp(argv[i], "--trace") == 0) {
            options->trace = true;
        } else {
            fprintf(stderr, "store_sim: unknown argument %s\n", argv[i]);
            exit(2);
        }
    }
    if (options->jobs < 1 || options->jobs > JOBS_MAX) {
        fprintf(stderr, "store_sim: --jobs is 1 to %u\n", JOBS_MAX);
        exit(2);
    }
}

static uint64_t
crashes_of(const struct sim_counters *counters)
{
    return counters->power_cuts + counters->kills;
}

static void
counters_add(struct sim_counters *sum, const struct sim_counters *part)
{
#define ADD(name) sum->name += part->name;
    SIM_COUNTERS(ADD)
#undef ADD
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
    SIM_COUNTERS(CHECK)
#undef PRINT
#undef CHECK
    printf("%-24s %llu\n", "crashes", (unsigned long long)crashes_of(counters));
    return missing;
}

/* Every jobs-th seed. The counters lie in memory that all workers and the parent see. */
static void
work(const struct options *options, uint64_t job, struct sim_counters *counters, uint64_t *done)
{
    /* Batches, arenas and media are freed and taken all the time; the kernel need not know. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    for (uint64_t i = job; i < options->seeds; i += options->jobs) {
        if (options->crashes && crashes_of(counters) >= options->crashes / options->jobs) {
            break;
        }
        sim_run(options->first + i, options->trace, options->operations, counters);
        ++*done;
        if (options->crashes && job == 0 && *done % PROGRESS_SEEDS == 0) {
            printf("%llu seeds, about %llu crashes\n", (unsigned long long)(*done * options->jobs),
                   (unsigned long long)(crashes_of(counters) * options->jobs));
            fflush(stdout);
        }
    }
}

/* Ends with the first worker that fails. */
static int
workers_wait(pid_t *workers, uint64_t count)
{
    int failed = 0;

    for (uint64_t left = count; left > 0; left--) {
        int status;
        pid_t pid = wait(&status);

        if (pid < 0) {
            return 1;
        }
        for (uint64_t i = 0; i < count; i++) {
            workers[i] = workers[i] == pid ? 0 : workers[i];
        }
        if (status != 0 && !failed) {
            failed = 1;
            if (WIFSIGNALED(status)) {
                fprintf(stderr, "store_sim: a worker ended by signal %d\n", WTERMSIG(status));
            }
            for (uint64_t i = 0; i < count; i++) {
                if (workers[i]) {
                    kill(workers[i], SIGTERM);
                }
            }
        }
    }
    return failed;
}

struct shared {
    struct sim_counters counters[JOBS_MAX];
    uint64_t done[JOBS_MAX];
};

int
main(int argc, char **argv)
{
    struct options options = {
        .first = 1, .seeds = SEEDS_FOR_COUNTERS, .operations = SIM_OPS_MIN, .jobs = 2};
    struct sim_counters sum = {0};
    pid_t workers[JOBS_MAX] = {0};
    struct shared *shared;
    uint64_t done = 0;
    int missing;

    options_read(&options, argc, argv);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("store_sim: mmap");
        return 1;
    }
    for (uint64_t i = 0; i < options.jobs && options.jobs > 1; i++) {
        workers[i] = fork();
        if (workers[i] < 0) {
            perror("store_sim: fork");
            return 1;
        }
        if (workers[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            work(&options, i, &shared->counters[i], &shared->done[i]);
            exit(0);
        }
    }
    if (options.jobs == 1) {
        work(&options, 0, &shared->counters[0], &shared->done[0]);
    } else if (workers_wait(workers, options.jobs)) {
        return 1;
    }
    for (uint64_t i = 0; i < options.jobs; i++) {
        counters_add(&sum, &shared->counters[i]);
        done += shared->done[i];
    }
    printf("%llu seeds from %llu on\n", (unsigned long long)done,
           (unsigned long long)options.first);
    missing = report(&sum);
    return missing && done >= SEEDS_FOR_COUNTERS ? 1 : 0;
}
