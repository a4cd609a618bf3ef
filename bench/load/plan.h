/* bench/load/plan.h: what is settled with the broker before a run: the topic, who leads its
 * partitions, protocol versions, producer ids and offsets. Blocking; one thread. */
#ifndef MR_BENCH_LOAD_PLAN_H
#define MR_BENCH_LOAD_PLAN_H

#include <stdint.h>

#include "bench/load/options.h"
#include "control/cli/client.h"
#include "dataplane/base/uuid.h"

#define LOAD_HOST_MAX 256

struct load_node {
    int32_t id;
    char host[LOAD_HOST_MAX];
    char port[8];
    int32_t *partitions; /* those it leads */
    int32_t partition_count;
};

struct load_offsets {
    int64_t begin;
    int64_t end;
};

struct load_producer {
    int64_t id;
    int16_t epoch;
};

struct load_plan {
    struct mr_uuid topic_id;
    int16_t produce_version;
    int16_t fetch_version;
    struct load_node *nodes; /* only those that lead a partition */
    int32_t node_count;
    int32_t partition_count;
    struct load_offsets *offsets;    /* by partition; NULL but for fetch */
    struct load_producer *producers; /* by connection; NULL but for idempotent */
};

/* Creates the topic where it is missing and learns all of the above. Returns 0, or -errno after a
 * line on stderr. */
int load_plan_make(struct load_plan *plan, const struct load_options *options,
                   const struct mr_client_io *io);

void load_plan_free(struct load_plan *plan);

#endif
