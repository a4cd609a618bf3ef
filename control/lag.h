/* control/lag.h: how far each consumer group is behind the ends of its partitions.
 *
 * Committed offsets are the coordinator's, ends the shards': collected before a round of figures
 * (admin.h), filled in by it, printed after it. Thread: control. */
#ifndef MR_CONTROL_LAG_H
#define MR_CONTROL_LAG_H

#include <stdio.h>

#include "control/ctl_metrics.h"
#include "control/loop.h"

#define MR_LAG_ENTRIES_MAX 20000u /* of all groups; further ones are not shown */

struct mr_lag {
    struct mr_ctl_metrics_end *entries; /* by shard */
    uint32_t count;
    char **groups; /* names, by the entries' `group` */
    uint32_t group_count;
    bool truncated;
};

/* Collects what is committed, and gives each shard its part of the entries. Without memory it
 * collects nothing. */
void mr_lag_collect(struct mr_control *control, struct mr_lag *lag,
                    struct mr_ctl_metrics *const *shards);

/* Prints the family millrace_group_lag. */
void mr_lag_write(const struct mr_lag *lag, const struct mr_snapshot *snapshot, FILE *file);

void mr_lag_free(struct mr_lag *lag);

#endif
