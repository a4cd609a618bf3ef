/* control/metrics.h: figures as text in Prometheus' exposition format, version 0.0.4. The table of
 * names is in README.md of this folder. Thread: control. */
#ifndef MR_CONTROL_METRICS_H
#define MR_CONTROL_METRICS_H

#include "control/ctl_metrics.h"
#include "control/lag.h"
#include "control/loop.h"

/* The text of all figures, of `size` bytes; free() it. NULL without memory. */
char *mr_metrics_render(struct mr_control *control, struct mr_ctl_metrics *const *shards,
                        unsigned shard_count, const struct mr_lag *lag, size_t *size);

#endif
