/* kafka/topic_stats.c: an open-addressed table of entries by topic id. */
#include "dataplane/kafka/topic_stats.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS       (2u * MR_CTL_METRICS_TOPICS) /* a power of two */
#define ENTRIES_MAX MR_CTL_METRICS_TOPICS
#define NO_ENTRY    UINT16_MAX

struct mr_topic_stats {
    unsigned count;         /* entry 0 is that of the zero id */
    uint64_t epoch_dropped; /* whose deleted topics have no entry any more */
    uint16_t slots[SLOTS];
    struct mr_ctl_metrics_topic entries[ENTRIES_MAX];
};

struct mr_topic_stats *
mr_topic_stats_create(void)
{
    struct mr_topic_stats *stats = calloc(1, sizeof(*stats));

    if (stats) {
        memset(stats->slots, 0xff, sizeof(stats->slots));
        stats->count = 1;
    }
    return stats;
}

void
mr_topic_stats_destroy(struct mr_topic_stats *stats)
{
    free(stats);
}

size_t
mr_topic_stats_bytes(void)
{
    return sizeof(struct mr_topic_stats);
}

/* The slot that has the id, or the empty one where it belongs. Ids are random. */
static unsigned
slot_of(const struct mr_topic_stats *stats, const struct mr_uuid *id)
{
    uint32_t hash;
    unsigned slot;

    memcpy(&hash, id, sizeof(hash));
    slot = hash % SLOTS;
    while (stats->slots[slot] != NO_ENTRY &&
           !mr_uuid_equal(&stats->entries[stats->slots[slot]].id, id)) {
        slot = (slot + 1) % SLOTS;
    }
    return slot;
}

static void
drop_deleted(struct mr_topic_stats *stats, const struct mr_snapshot *snapshot)
{
    unsigned kept = 1;

    stats->epoch_dropped = snapshot->epoch;
    memset(stats->slots, 0xff, sizeof(stats->slots));
    for (unsigned i = 1; i < stats->count; i++) {
        if (mr_snapshot_topic_by_id(snapshot, &stats->entries[i].id)) {
            stats->entries[kept] = stats->entries[i];
            stats->slots[slot_of(stats, &stats->entries[kept].id)] = (uint16_t)kept;
            kept++;
        }
    }
    stats->count = kept;
}

struct mr_ctl_metrics_topic *
mr_topic_stats_at(struct mr_topic_stats *stats, const struct mr_uuid *id,
                  const struct mr_snapshot *snapshot)
{
    unsigned slot = slot_of(stats, id);

    if (stats->slots[slot] != NO_ENTRY) {
        return &stats->entries[stats->slots[slot]];
    }
    if (stats->count == ENTRIES_MAX && stats->epoch_dropped != snapshot->epoch) {
        drop_deleted(stats, snapshot);
        slot = slot_of(stats, id);
    }
    if (stats->count == ENTRIES_MAX) {
        return &stats->entries[0];
    }
    stats->slots[slot] = (uint16_t)stats->count;
    stats->entries[stats->count] = (struct mr_ctl_metrics_topic){.id = *id};
    return &stats->entries[stats->count++];
}

unsigned
mr_topic_stats_copy(const struct mr_topic_stats *stats, struct mr_ctl_metrics_topic *out)
{
    memcpy(out, stats->entries, stats->count * sizeof(*out));
    return stats->count;
}
