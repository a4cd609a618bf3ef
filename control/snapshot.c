/* control/snapshot.c: lookups in an immutable snapshot. */
#include <string.h>

#include "control/ctl_msg.h"

static int
name_compare(const char *a, uint32_t a_size, const char *b, uint32_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

    if (order != 0) {
        return order;
    }
    return (a_size > b_size) - (a_size < b_size);
}

/* The index in topics_by_name of the first topic whose name is not before `name`. */
static uint32_t
topic_at_or_after(const struct mr_snapshot *snapshot, const char *name, uint32_t name_size)
{
    uint32_t low = 0;
    uint32_t high = snapshot->topic_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct mr_snapshot_topic *topic = snapshot->topics_by_name[middle];

        if (name_compare(topic->name, topic->name_size, name, name_size) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct mr_snapshot_topic *
mr_snapshot_topic_by_name(const struct mr_snapshot *snapshot, const char *name, uint32_t name_size)
{
    uint32_t at = topic_at_or_after(snapshot, name, name_size);
    const struct mr_snapshot_topic *topic;

    if (at == snapshot->topic_count) {
        return NULL;
    }
    topic = snapshot->topics_by_name[at];
    return name_compare(topic->name, topic->name_size, name, name_size) == 0 ? topic : NULL;
}

const struct mr_snapshot_topic *
mr_snapshot_topic_by_id(const struct mr_snapshot *snapshot, const struct mr_uuid *id)
{
    uint32_t low = 0;
    uint32_t high = snapshot->topic_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct mr_snapshot_topic *topic = snapshot->topics_by_id[middle];
        int order = memcmp(topic->id.bytes, id->bytes, sizeof(id->bytes));

        if (order == 0) {
            return topic;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* ---- quotas ---------------------------------------------------------------------------------- */

static bool
level_has_client(enum mr_quota_level level)
{
    return level == MR_QUOTA_USER_CLIENT || level == MR_QUOTA_ANY_USER_CLIENT ||
           level == MR_QUOTA_CLIENT;
}

static const struct mr_snapshot_quota *
quota_at(const struct mr_snapshot_quotas *quotas, enum mr_quota_level level, const char *client,
         uint32_t client_size)
{
    uint32_t low = 0;
    uint32_t high = quotas->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct mr_snapshot_quota *rule = &quotas->rules[middle];
        int order = (rule->level > level) - (rule->level < level);

        if (order == 0 && level_has_client(level)) {
            order = name_compare(rule->client, rule->client_size, client, client_size);
        }
        if (order == 0) {
            return rule;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

double
mr_snapshot_quota(const struct mr_snapshot_quotas *quotas, enum mr_quota_kind kind,
                  const char *client, uint32_t client_size, bool *shared)
{
    for (int level = 0; level < MR_QUOTA_LEVELS && quotas->any[kind]; level++) {
        const struct mr_snapshot_quota *rule =
            quota_at(quotas, (enum mr_quota_level)level, client, client_size);

        if (rule && rule->limits[kind] >= 0) {
            *shared = level == MR_QUOTA_USER || level == MR_QUOTA_ANY_USER;
            return rule->limits[kind];
        }
    }
    return -1;
}
