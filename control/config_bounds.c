/* control/config_bounds.c: between which values the numbers lie that Millrace acts on.
 *
 * Kafka's bounds where it has some; where it has none, or the key is ours, those beyond which the
 * value would mean nothing. What depends on other keys, plan.c checks. */
#include <stdlib.h>
#include <string.h>

#include "control/config_keys.h"

#define PARTITIONS_MAX 10000 /* of one topic */

struct bounds {
    const char *name;
    int64_t min;
    int64_t max;
};

/* clang-format off */
static const struct bounds bounds[] = {
    {"cores.spin.us", 0, INT32_MAX},
    {"default.replication.factor", 1, INT16_MAX},
    {"dpdk.poll.us", 0, INT32_MAX},
    {"dpdk.queues", 0, 128},
    {"drives.depth", 0, 65536},
    {"fetch.max.bytes", 1024, INT32_MAX},
    {"fetch.response.bytes", 1024, INT32_MAX},
    {"group.max.size", 1, INT32_MAX},
    {"hugepages.1g", 0, INT32_MAX},
    {"hugepages.2m", 0, INT32_MAX},
    {"log.cleaner.backoff.ms", 0, INT64_MAX / 1000000 - 1},
    {"log.retention.check.interval.ms", 1, INT64_MAX / 1000000},
    {"max.incremental.fetch.session.cache.slots", 0, INT32_MAX},
    {"memory.bytes", 1, (int64_t)1 << 50},
    {"message.max.bytes", 0, INT32_MAX},
    {"node.id", 0, INT32_MAX},
    {"num.partitions", 1, PARTITIONS_MAX},
    {"offset.metadata.max.bytes", 0, INT32_MAX},
    {"offsets.retention.check.interval.ms", 1, INT64_MAX / 1000000},
    {"offsets.retention.minutes", 1, INT32_MAX},
    {"offsets.topic.num.partitions", 1, PARTITIONS_MAX},
    {"offsets.topic.segment.bytes", 1, INT32_MAX},
    {"partitions.max", 1, 1000000},
    {"producer.entries.max", 1, INT32_MAX},
    {"socket.request.max.bytes", 1, INT32_MAX},
    {"store.bytes", 1, INT64_MAX},
    {"store.direct.run.bytes", 0, INT32_MAX},
    {"store.growth.bytes", 0, INT64_MAX},
    {"stores.per.dir", 0, INT16_MAX},
};
/* clang-format on */

static int
compare_bounds(const void *name, const void *entry)
{
    return strcmp(name, ((const struct bounds *)entry)->name);
}

bool
mr_config_bounds(const char *name, int64_t *min, int64_t *max)
{
    const struct bounds *found = bsearch(name, bounds, sizeof(bounds) / sizeof(bounds[0]),
                                         sizeof(bounds[0]), compare_bounds);

    if (found) {
        *min = found->min;
        *max = found->max;
    }
    return found != NULL;
}
