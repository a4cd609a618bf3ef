/* control/metrics.h: figures as text in Prometheus' exposition format, version 0.0.4. The table of
 * names is in README.md of this folder. Thread: any; it uses nothing but what it is given. */
#ifndef MR_CONTROL_METRICS_H
#define MR_CONTROL_METRICS_H

#include "control/ctl_metrics.h"
#include "control/ctl_msg.h"
#include "control/group.h"
#include "control/lag.h"

/* All that a page is made of. */
struct mr_figures {
    unsigned shard_count;
    const struct mr_ctl_metrics **shards; /* [shard_count]; NULL: it has not answered in time */
    const struct mr_lag_ends *ends;       /* [shard_count] */
    const struct mr_lag *lag;
    const struct mr_snapshot *snapshot;
    struct mr_groups_stats groups;
    uint64_t partitions;
    uint64_t snapshots; /* in memory */
    uint64_t metalog_used_bytes, metalog_size_bytes;
};

/* The page, of `size` bytes; free() it. NULL without memory. */
char *mr_metrics_render(const struct mr_figures *figures, size_t *size);

#endif
