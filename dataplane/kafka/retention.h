/* kafka/retention.h: what topics' limits do to the logs of one shard over time.
 *
 * Where cleanup.policy has `compact`, a walk every log.cleaner.backoff.ms finds the log that is
 * worth it most; one log of the shard is compacted at a time, throttled.
 *
 * A walk over the shard's partitions, begun every log.retention.check.interval.ms: it moves the
 * start of logs whose cleanup.policy has `delete` (retention.ms, retention.bytes) and starts new
 * segments in idle logs (segment.ms). A turn of the shard looks at a bounded number of partitions,
 * and a bounded number of trims is in flight.
 *
 * Thread: the shard's. Lifecycle: create -> steps -> destroy, once idle or when the stores are
 * gone.
 */
#ifndef MR_KAFKA_RETENTION_H
#define MR_KAFKA_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

struct mr_retention;
struct mr_server;

/* NULL without memory. */
struct mr_retention *mr_retention_create(struct mr_server *server);

/* One bounded step. Returns true when there is more to do at once. */
bool mr_retention_step(struct mr_retention *retention);

/* When the next walk begins, by the shard's clock. */
uint64_t mr_retention_deadline_ns(const struct mr_retention *retention);

/* Whether nothing is in flight; no walk begins once the server stops. */
bool mr_retention_idle(const struct mr_retention *retention);

void mr_retention_destroy(struct mr_retention *retention);

/* The snapshot is another: its settings act now. */
void mr_retention_settings(struct mr_retention *retention);

#endif
