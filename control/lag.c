/* control/lag.c: committed offsets beside the ends of logs. */
#include "control/lag.h"

#include <stdlib.h>
#include <string.h>

#include "control/coordinator.h"
#include "dataplane/base/utf8.h"

#define CAPACITY_MIN      64u
#define ESCAPED_BYTES_MAX 5 /* that a byte of a name becomes: \\xff */

struct collect {
    struct mr_groups *coordinator;
    const struct mr_snapshot *snapshot;
    struct mr_lag *lag;
    struct mr_str group; /* being visited */
    bool named;          /* the last of lag->groups is its name */
};

/* ---- names as values of labels --------------------------------------------------------------- */

/* One character, `size` bytes; returns where the next one goes. */
static char *
escape_one(char *to, const uint8_t *at, int32_t size, uint32_t code)
{
    if (code == '\n') {
        return stpcpy(to, "\\n");
    }
    if (code < ' ' || (code == MR_UTF8_BAD && size == 1)) {
        return to + snprintf(to, ESCAPED_BYTES_MAX + 1, "\\\\x%02x", at[0]);
    }
    if (code == '"' || code == '\\') {
        *to++ = '\\';
    }
    return (char *)memcpy(to, at, (size_t)size) + size;
}

/* A group's id may hold any bytes, and one that is not UTF-8 would spoil the whole page: those and
 * control characters are shown as \x and their number. NULL without memory. */
static char *
escape(struct mr_str name)
{
    int32_t left = name.size > 0 ? name.size : 0;
    const uint8_t *at = (const uint8_t *)name.data;
    char *text = malloc((size_t)left * ESCAPED_BYTES_MAX + 1);
    char *to = text;
    int32_t size;

    for (; text && left > 0; left -= size, at += size) {
        uint32_t code = mr_utf8_next(at, left, &size);

        to = escape_one(to, at, size, code);
    }
    if (text) {
        *to = 0;
        to = realloc(text, strlen(text) + 1);
    }
    return to ? to : text;
}

/* ---- collecting ------------------------------------------------------------------------------ */

/* Room for one more of what `count` there are, as often as not by twice as much. */
static bool
reserve(void **array, uint32_t count, uint32_t *capacity, size_t size)
{
    uint32_t wanted = *capacity ? *capacity * 2 : CAPACITY_MIN;
    void *grown;

    if (count < *capacity) {
        return true;
    }
    grown = realloc(*array, wanted * size);
    if (!grown) {
        return false;
    }
    *array = grown;
    *capacity = wanted;
    return true;
}

/* A group that has committed nothing needs no name. */
static bool
name_group(struct collect *collect)
{
    struct mr_lag *lag = collect->lag;
    char *name;

    if (collect->named) {
        return true;
    }
    name =
        reserve((void **)&lag->groups, lag->group_count, &lag->group_capacity, sizeof(*lag->groups))
            ? escape(collect->group)
            : NULL;
    if (name) {
        lag->groups[lag->group_count++] = name;
        collect->named = true;
    }
    return name;
}

static void
take_offset(void *context, const struct mr_group_offset *offset)
{
    struct collect *collect = context;
    struct mr_lag *lag = collect->lag;
    const struct mr_snapshot_topic *topic = mr_snapshot_topic_by_name(
        collect->snapshot, offset->topic.data, (uint32_t)offset->topic.size);

    if (lag->truncated || !topic || offset->partition >= topic->partition_count) {
        return;
    }
    if (lag->count == MR_LAG_ENTRIES_MAX || !name_group(collect) ||
        !reserve((void **)&lag->entries, lag->count, &lag->capacity, sizeof(*lag->entries))) {
        lag->truncated = true;
        return;
    }
    lag->entries[lag->count++] = (struct mr_ctl_metrics_end){
        .topic_id = topic->id,
        .partition = offset->partition,
        .store = topic->partitions[offset->partition].store,
        .end = -1,
        .committed = offset->offset,
        .group = lag->group_count - 1,
    };
}

static void
take_group(void *context, struct mr_str group_id)
{
    struct collect *collect = context;

    if (!collect->lag->truncated) {
        collect->group = group_id;
        collect->named = false;
        mr_groups_fetch_all(collect->coordinator, group_id, take_offset, collect);
    }
}

bool
mr_lag_collect(struct mr_control *control, const struct mr_snapshot *snapshot, int32_t partition,
               struct mr_lag *lag)
{
    struct collect collect = {.coordinator = mr_coordinator_groups(control->coordinator),
                              .snapshot = snapshot,
                              .lag = lag};

    return mr_groups_visit(collect.coordinator, partition, take_group, &collect);
}

void
mr_lag_share(struct mr_lag *lag, struct mr_lag_ends *ends, unsigned shard_count)
{
    for (uint32_t i = 0; i < lag->count; i++) {
        ends[lag->entries[i].store % shard_count].count++;
    }
    for (unsigned s = 0; s < shard_count; s++) {
        ends[s].entries = calloc(ends[s].count + 1, sizeof(*ends[s].entries));
        lag->truncated |= !ends[s].entries;
        ends[s].count = 0;
    }
    for (uint32_t i = 0; i < lag->count; i++) {
        struct mr_lag_ends *its = &ends[lag->entries[i].store % shard_count];

        if (its->entries) {
            its->entries[its->count++] = lag->entries[i];
        }
    }
}

/* ---- printing -------------------------------------------------------------------------------- */

void
mr_lag_write(const struct mr_lag *lag, const struct mr_lag_ends *ends,
             const struct mr_snapshot *snapshot, FILE *file)
{
    for (uint32_t i = 0; i < ends->count; i++) {
        const struct mr_ctl_metrics_end *entry = &ends->entries[i];
        const struct mr_snapshot_topic *topic = mr_snapshot_topic_by_id(snapshot, &entry->topic_id);

        if (topic && entry->end >= 0) {
            fprintf(file, "millrace_group_lag{group=\"%s\",topic=\"%s\",partition=\"%d\"} %lld\n",
                    lag->groups[entry->group], topic->name, entry->partition,
                    entry->end > entry->committed ? (long long)(entry->end - entry->committed) : 0);
        }
    }
}

void
mr_lag_free(struct mr_lag *lag)
{
    for (uint32_t i = 0; i < lag->group_count; i++) {
        free(lag->groups[i]);
    }
    free(lag->groups);
    free(lag->entries);
    memset(lag, 0, sizeof(*lag));
}
