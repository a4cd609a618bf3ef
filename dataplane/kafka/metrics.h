/* kafka/metrics.h: the shard's figures for the control thread. */
#ifndef MR_KAFKA_METRICS_H
#define MR_KAFKA_METRICS_H

#include "control/ctl_metrics.h"
#include "dataplane/kafka/server.h"

/* Fills `out`. Thread: the shard's. */
void mr_server_metrics(struct mr_server *server, struct mr_ctl_metrics *out);

#endif
