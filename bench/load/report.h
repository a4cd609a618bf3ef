/* bench/load/report.h: the result of a run, for people and for programs. */
#ifndef MR_BENCH_LOAD_REPORT_H
#define MR_BENCH_LOAD_REPORT_H

#include <stdbool.h>

#include "bench/load/options.h"
#include "bench/load/stats.h"

struct load_result {
    const struct load_options *options;
    struct load_stats stats; /* of all workers */
    double seconds;          /* that were measured */
    double target_rate;      /* requests a second; 0: closed loop */
    double own_cpu_seconds;
    double broker_cpu_seconds; /* negative: unknown */
};

/* Prints to stdout: a table, or one line of JSON with --json; warnings to stderr in both cases. */
void load_report(const struct load_result *result);

/* Whether something was measured and nothing failed. */
bool load_result_good(const struct load_result *result);

#endif
