/* bench/load/stats.h: what a worker counts; merged after all of them ended. */
#ifndef MR_BENCH_LOAD_STATS_H
#define MR_BENCH_LOAD_STATS_H

#include <stdint.h>

#include "dataplane/base/histo.h"

#define LOAD_CODES 256 /* error codes -1 to 254 */

struct load_stats {
    struct mr_histo latency_ns;    /* open loop: from the scheduled time; closed: from the send */
    struct mr_histo lag_ns;        /* how late the generator itself started a send */
    struct mr_histo record_age_ms; /* tail: answer's arrival minus the newest timestamp in it */
    uint64_t requests;             /* answered without error within the measurement */
    uint64_t records;
    uint64_t bytes;              /* of batches */
    uint64_t errors[LOAD_CODES]; /* over the whole run, by code + 1 */
    uint64_t held_back;          /* sends that waited for the socket or for --in-flight */
    uint64_t unsent;             /* scheduled within the measurement, not sent when it was over */
    uint64_t unanswered;
    uint64_t connections_lost;
    uint64_t malformed; /* answers that could not be read */
    uint64_t corrupt;   /* fetched batches with a wrong checksum */
    uint64_t last_ns;   /* when the last answer with data arrived */
};

void load_stats_merge(struct load_stats *into, const struct load_stats *from);

/* All that makes a run invalid: error answers, losses, malformed and corrupt data. */
uint64_t load_stats_failures(const struct load_stats *stats);

#endif
