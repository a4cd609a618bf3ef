/* kafka/topic_stats.h: what was produced to and fetched from each topic over this shard's
 * connections.
 *
 * Thread: the shard's. A fixed table: when it is full, entries of deleted topics are dropped, at
 * most once for each epoch, and what then has no room is counted together under the zero id. */
#ifndef MR_KAFKA_TOPIC_STATS_H
#define MR_KAFKA_TOPIC_STATS_H

#include "control/ctl_metrics.h"
#include "control/ctl_msg.h"

struct mr_topic_stats;

/* NULL without memory. */
struct mr_topic_stats *mr_topic_stats_create(void);
void mr_topic_stats_destroy(struct mr_topic_stats *stats);
size_t mr_topic_stats_bytes(void);

/* The topic's counters, valid until the next call. `snapshot` tells which topics still exist. */
struct mr_ctl_metrics_topic *mr_topic_stats_at(struct mr_topic_stats *stats,
                                               const struct mr_uuid *id,
                                               const struct mr_snapshot *snapshot);

/* Copies all into `out`, MR_CTL_METRICS_TOPICS long; returns their count. */
unsigned mr_topic_stats_copy(const struct mr_topic_stats *stats, struct mr_ctl_metrics_topic *out);

#endif
