/* bench/load/main.c: `mr_load`, an open-loop load generator for brokers that speak Kafka.
 *
 * main() settles the run with the broker, opens all connections, lets the workers run on one
 * schedule and samples CPU times at the edges of the measurement. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/options.h"
#include "bench/load/payload.h"
#include "bench/load/plan.h"
#include "bench/load/report.h"
#include "bench/load/wire_io.h"
#include "bench/load/worker.h"
#include "dataplane/base/clock.h"

#define START_DELAY_NS (10 * MR_NS_PER_MS) /* for the threads to be there */
#define DRAIN_NS       (10 * MR_NS_PER_S)

/* Tells main() that all workers ended before the time was over. */
struct finish {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int32_t running;
};

struct job {
    struct load_worker worker;
    struct finish *finish;
};

struct cpu {
    double own;
    double broker; /* negative: unknown */
};

static void *
run_job(void *argument)
{
    struct job *job = argument;

    load_worker_run(&job->worker);
    pthread_mutex_lock(&job->finish->lock);
    job->finish->running--;
    pthread_cond_signal(&job->finish->changed);
    pthread_mutex_unlock(&job->finish->lock);
    return NULL;
}

/* Returns at `time_ns`, or earlier when no worker is running. */
static void
sleep_until(struct finish *finish, uint64_t time_ns)
{
    struct timespec time = {.tv_sec = (time_t)(time_ns / MR_NS_PER_S),
                            .tv_nsec = (long)(time_ns % MR_NS_PER_S)};
    int rc = 0;

    pthread_mutex_lock(&finish->lock);
    while (finish->running > 0 && rc == 0) {
        rc = pthread_cond_timedwait(&finish->changed, &finish->lock, &time);
    }
    pthread_mutex_unlock(&finish->lock);
}

static double
own_cpu(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* User and system time of all threads of a process; -1 where it cannot be read. */
static double
process_cpu(int32_t pid)
{
    char path[64], line[1024];
    unsigned long user, system;
    const char *at;
    FILE *file;
    bool read;

    snprintf(path, sizeof(path), "/proc/%" PRId32 "/stat", pid);
    file = fopen(path, "r");
    if (!file) {
        return -1;
    }
    read = fgets(line, sizeof(line), file) != NULL;
    fclose(file);
    /* The process's name may hold anything, spaces and brackets included. */
    at = read ? strrchr(line, ')') : NULL;
    if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                      &system) != 2) {
        return -1;
    }
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static struct cpu
sample_cpu(const struct load_options *options)
{
    return (struct cpu){own_cpu(), options->broker_pid > 0 ? process_cpu(options->broker_pid) : -1};
}

static void
set_schedule(struct load_run *run)
{
    const struct load_options *options = run->options;
    double rate = options->rate;

    if (options->rate_mb > 0) {
        rate = options->rate_mb * 1e6 / (double)run->payload->size;
    }
    run->interval_ns = rate > 0 ? 1e9 / rate : 0;
    run->start_ns = mr_clock_now_ns(&mr_clock_system) + START_DELAY_NS;
    run->measure_ns = run->start_ns + (uint64_t)(options->warmup * 1e9);
    run->end_ns = run->measure_ns + (uint64_t)(options->seconds * 1e9);
    run->drain_ns = run->end_ns + DRAIN_NS;
}

static void
describe_run(const struct load_run *run)
{
    const struct load_options *options = run->options;

    if (options->json) {
        return;
    }
    if (options->fetch) {
        printf("fetching from %s (%d partitions) on %d connections, version %d\n", options->topic,
               run->plan->partition_count, options->connections, run->plan->fetch_version);
        return;
    }
    printf("producing to %s (%d partitions): batches of %zu bytes, %d records; %d connections, ",
           options->topic, run->plan->partition_count, run->payload->size,
           run->payload->header.record_count, options->connections);
    if (run->interval_ns > 0) {
        printf("%.1f requests/s\n", 1e9 / run->interval_ns);
    } else {
        printf("%d in flight on each\n", options->in_flight);
    }
}

/* Runs all jobs to their end and fills the result. */
static void
measure(struct job *jobs, const struct load_run *run, struct finish *finish,
        struct load_result *result)
{
    const struct load_options *options = run->options;
    struct cpu before, after;

    finish->running = options->threads;
    for (int32_t i = 0; i < options->threads; i++) {
        if (pthread_create(&jobs[i].worker.thread, NULL, run_job, &jobs[i]) != 0) {
            fputs("mr_load: cannot start a thread\n", stderr);
            exit(1);
        }
    }
    sleep_until(finish, run->measure_ns);
    before = sample_cpu(options);
    sleep_until(finish, run->end_ns);
    after = sample_cpu(options);
    for (int32_t i = 0; i < options->threads; i++) {
        pthread_join(jobs[i].worker.thread, NULL);
        load_stats_merge(&result->stats, &jobs[i].worker.stats);
    }
    result->options = options;
    result->seconds = options->seconds;
    if (options->fetch && !options->tail && !options->loop && result->stats.last_ns > 0 &&
        mr_clock_now_ns(&mr_clock_system) < run->end_ns) {
        result->seconds = (double)(result->stats.last_ns - run->measure_ns) / 1e9;
    }
    result->target_rate = run->interval_ns > 0 ? 1e9 / run->interval_ns : 0;
    result->own_cpu_seconds = after.own - before.own;
    result->broker_cpu_seconds =
        before.broker >= 0 && after.broker >= 0 ? after.broker - before.broker : -1;
}

/* Opens everything, measures and reports; returns the exit status. */
static int
run_all(struct load_run *run)
{
    const struct load_options *options = run->options;
    struct job *jobs = calloc((size_t)options->threads, sizeof(*jobs));
    struct load_result *result = calloc(1, sizeof(*result));
    struct finish finish = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_condattr_t attributes;
    int32_t opened = 0;
    int status = 1;
    int rc = jobs && result ? 0 : -ENOMEM;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&finish.changed, &attributes);
    while (rc == 0 && opened < options->threads) {
        jobs[opened].finish = &finish;
        rc = load_worker_open(&jobs[opened].worker, run, opened);
        opened++;
    }
    if (rc == 0) {
        set_schedule(run);
        describe_run(run);
        measure(jobs, run, &finish, result);
        load_report(result);
        status = load_result_good(result) ? 0 : 1;
    }
    for (int32_t i = 0; i < opened; i++) {
        load_worker_close(&jobs[i].worker);
    }
    free(jobs);
    free(result);
    return status;
}

int
main(int argc, char **argv)
{
    struct load_options options;
    struct load_payload payload;
    struct load_plan plan;
    struct load_run run = {.options = &options, .plan = &plan, .payload = &payload};
    int rc = load_options_parse(&options, argc, argv);
    int status;

    if (rc != 0) {
        return rc > 0 ? 0 : 2;
    }
    if (load_payload_build(&payload, &options) != 0) {
        fputs("mr_load: no batch of these sizes fits: at most 16 MiB, at least one record\n",
              stderr);
        return 2;
    }
    run.io = options.device ? load_wire_open(&options) : &mr_client_sockets;
    run.turn = options.device ? load_wire_turn : NULL;
    if (!run.io || load_plan_make(&plan, &options, run.io) != 0) {
        load_payload_free(&payload);
        return 1;
    }
    status = run_all(&run);
    load_plan_free(&plan);
    load_payload_free(&payload);
    return status;
}
