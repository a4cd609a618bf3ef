/* control/lag.c: committed offsets beside the ends of logs. */
#include "control/lag.h"

#include <stdlib.h>
#include <string.h>

#include "control/coordinator.h"

struct collect {
    struct mr_control *control;
    const struct mr_snapshot *snapshot;
    struct mr_lag *lag;
    uint32_t capacity;       /* of entries */
    uint32_t group_capacity; /* of groups: as many as there are */
};

/* ---- collecting ------------------------------------------------------------------------------ */

static void
take_offset(void *context, const struct mr_group_offset *offset)
{
    struct collect *collect = context;
    struct mr_lag *lag = collect->lag;
    const struct mr_snapshot_topic *topic = mr_snapshot_topic_by_name(
        collect->snapshot, offset->topic.data, (uint32_t)offset->topic.size);

    if (!topic || offset->partition >= topic->partition_count) {
        return;
    }
    if (lag->count == collect->capacity) {
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
take_group(void *context, const struct mr_group_listing *listing)
{
    struct collect *collect = context;
    struct mr_lag *lag = collect->lag;
    char *name = lag->group_count < collect->group_capacity && !lag->truncated
                     ? strndup(listing->group_id.data, (size_t)listing->group_id.size)
                     : NULL;

    if (!name) {
        lag->truncated = true;
        return;
    }
    lag->groups[lag->group_count++] = name;
    mr_groups_fetch_all(mr_coordinator_groups(collect->control->coordinator), listing->group_id,
                        take_offset, collect);
}

/* Each shard's entries lie together. */
static void
share_out(const struct mr_control *control, struct mr_lag *lag,
          struct mr_ctl_metrics *const *shards)
{
    uint32_t begin = 0;

    for (unsigned shard = 0; shard < control->config.shard_count; shard++) {
        uint32_t end = begin;

        for (uint32_t i = begin; i < lag->count; i++) {
            if (lag->entries[i].store % control->config.shard_count == shard) {
                struct mr_ctl_metrics_end moved = lag->entries[i];

                lag->entries[i] = lag->entries[end];
                lag->entries[end++] = moved;
            }
        }
        shards[shard]->ends = lag->entries + begin;
        shards[shard]->end_count = end - begin;
        begin = end;
    }
}

/* Room for what the coordinator says it holds, within the limit. */
static void
reserve(struct collect *collect)
{
    struct mr_groups_stats stats;

    mr_groups_stats(mr_coordinator_groups(collect->control->coordinator), &stats);
    for (unsigned i = 0; i < MR_GROUP_STATES; i++) {
        collect->group_capacity += stats.groups[i];
    }
    collect->capacity = stats.offsets < MR_LAG_ENTRIES_MAX ? stats.offsets : MR_LAG_ENTRIES_MAX;
    collect->lag->entries = calloc(collect->capacity + 1, sizeof(*collect->lag->entries));
    collect->lag->groups = calloc(collect->group_capacity + 1, sizeof(char *));
    if (!collect->lag->entries || !collect->lag->groups) {
        collect->lag->truncated = true;
    }
}

void
mr_lag_collect(struct mr_control *control, struct mr_lag *lag, struct mr_ctl_metrics *const *shards)
{
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    struct collect collect = {.control = control, .snapshot = snapshot, .lag = lag};

    memset(lag, 0, sizeof(*lag));
    reserve(&collect);
    if (snapshot && !lag->truncated) {
        mr_groups_list(mr_coordinator_groups(control->coordinator), NULL, 0, NULL, 0, take_group,
                       &collect);
    }
    if (snapshot) {
        mr_metadata_snapshot_release(snapshot);
    }
    share_out(control, lag, shards);
}

/* ---- printing -------------------------------------------------------------------------------- */

/* A label's value: a group's id may hold anything. */
static void
write_escaped(FILE *file, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n') {
            fputs("\\n", file);
        } else {
            if (*text == '"' || *text == '\\') {
                fputc('\\', file);
            }
            fputc(*text, file);
        }
    }
}

void
mr_lag_write(const struct mr_lag *lag, const struct mr_snapshot *snapshot, FILE *file)
{
    fputs("# HELP millrace_group_lag Records between a committed offset and the partition's end.\n"
          "# TYPE millrace_group_lag gauge\n",
          file);
    for (uint32_t i = 0; i < lag->count; i++) {
        const struct mr_ctl_metrics_end *entry = &lag->entries[i];
        const struct mr_snapshot_topic *topic = mr_snapshot_topic_by_id(snapshot, &entry->topic_id);

        if (!topic || entry->end < 0) {
            continue;
        }
        fputs("millrace_group_lag{group=\"", file);
        write_escaped(file, lag->groups[entry->group]);
        fprintf(file, "\",topic=\"%s\",partition=\"%d\"} %lld\n", topic->name, entry->partition,
                entry->end > entry->committed ? (long long)(entry->end - entry->committed) : 0);
    }
    fprintf(file,
            "# HELP millrace_group_lag_truncated 1: not every group's lag is shown.\n"
            "# TYPE millrace_group_lag_truncated gauge\n"
            "millrace_group_lag_truncated %d\n",
            lag->truncated);
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
