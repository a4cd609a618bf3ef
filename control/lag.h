/* control/lag.h: how far each consumer group is behind the ends of its partitions.
 *
 * Committed offsets are the coordinator's, ends the shards': collected at the begin of a round of
 * figures (scrape.h), a partition of __consumer_offsets at a time so that the loop is never held
 * for long; filled in by the shards; printed by a worker. Thread: control, but for mr_lag_write().
 */
#ifndef MR_CONTROL_LAG_H
#define MR_CONTROL_LAG_H

#include <stdio.h>

#include "control/ctl_metrics.h"
#include "control/loop.h"

#define MR_LAG_ENTRIES_MAX 20000u /* of all groups; further ones are not shown */

struct mr_lag {
    struct mr_ctl_metrics_end *entries;
    uint32_t count, capacity;
    char **groups; /* names as values of labels, by the entries' `group` */
    uint32_t group_count, group_capacity;
    bool truncated;
};

/* The entries of one shard. */
struct mr_lag_ends {
    struct mr_ctl_metrics_end *entries; /* the owner's to free */
    uint32_t count;
};

/* Collects what is committed in one partition of __consumer_offsets to topics of the snapshot;
 * false: there is no such partition. Without memory it collects less and says so (`truncated`). */
bool mr_lag_collect(struct mr_control *control, const struct mr_snapshot *snapshot,
                    int32_t partition, struct mr_lag *lag);

/* Gives each of the shards, whose `ends` are empty, its own entries. */
void mr_lag_share(struct mr_lag *lag, struct mr_lag_ends *ends, unsigned shard_count);

/* Prints lines of the family millrace_group_lag. Any thread. */
void mr_lag_write(const struct mr_lag *lag, const struct mr_lag_ends *ends,
                  const struct mr_snapshot *snapshot, FILE *file);

void mr_lag_free(struct mr_lag *lag);

#endif
