/* control/metrics.c: one writer for each family of figures. */
#include "control/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/kafka/wire/messages.h"
#include "dataplane/kafka/wire/wire.h"

#define NS_PER_S 1e9

/* No topic is called so. */
#define OTHER_TOPICS "<other>"

/* What the writers share. */
struct page {
    FILE *file;
    const struct mr_figures *figures;
};

static void
head(const struct page *page, const char *name, const char *type, const char *help)
{
    fprintf(page->file, "# HELP millrace_%s %s\n# TYPE millrace_%s %s\n", name, help, name, type);
}

/* ---- shards ---------------------------------------------------------------------------------- */

/* The next shard behind `shard` (-1: the first) that has answered, or -1. */
static int
next_shard(const struct page *page, int shard)
{
    for (shard++; shard < (int)page->figures->shard_count; shard++) {
        if (page->figures->shards[shard]) {
            return shard;
        }
    }
    return -1;
}

#define FOR_EACH_SHARD(s, page) for (int s = next_shard(page, -1); s >= 0; s = next_shard(page, s))

static void
write_answered(const struct page *page)
{
    head(page, "shard_up", "gauge", "0: the shard has not given its figures in time.");
    for (unsigned s = 0; s < page->figures->shard_count; s++) {
        fprintf(page->file, "millrace_shard_up{shard=\"%u\"} %d\n", s,
                page->figures->shards[s] != NULL);
    }
}

struct shard_figure {
    const char *name;
    const char *type;
    const char *help;
    size_t at; /* of a uint64_t in struct mr_ctl_metrics */
};

#define AT(field) offsetof(struct mr_ctl_metrics, field)

static const struct shard_figure shard_figures[] = {
    {"produce_bytes_total", "counter", "Bytes of batches appended.", AT(produce_bytes)},
    {"fetch_bytes_total", "counter", "Bytes of batches sent to consumers.", AT(fetch_bytes)},
    {"connections", "gauge", "Open client connections.", AT(connections)},
    {"connections_reaped_total", "counter", "Connections closed for being idle or stalled.",
     AT(connections_reaped)},
    {"connections_refused_total", "counter", "Connections closed at once for want of room.",
     AT(connections_refused)},
    {"network_received_bytes_total", "counter", "Bytes from clients.", AT(bytes_received)},
    {"network_sent_bytes_total", "counter", "Bytes to clients.", AT(bytes_sent)},
    {"receive_buffers_free", "gauge", "Free buffers for what clients send.", AT(buffers_free)},
    {"receive_buffers_max", "gauge", "All of them.", AT(buffers_max)},
    {"frames_bad_total", "counter", "Malformed requests, each of which closed a connection.",
     AT(frames_bad)},
    {"parts_local_total", "counter", "Shares of requests for partitions of the same core.",
     AT(parts_local)},
    {"parts_remote_total", "counter", "Shares of requests that crossed to another core.",
     AT(parts_remote)},
    {"request_contexts", "gauge", "Requests in progress.", AT(requests_used)},
    {"request_contexts_max", "gauge", "Requests that may be in progress.", AT(requests_max)},
    {"frame_memory_bytes", "gauge", "Memory of large or stalled request frames.",
     AT(frame_heap_bytes)},
    {"frame_memory_max_bytes", "gauge", "Limit of that memory.", AT(frame_heap_bytes_max)},
    {"fetches_parked", "gauge", "Fetch requests that wait for data.", AT(fetches_parked)},
    {"fetches_parked_max", "gauge", "Fetch requests that may wait.", AT(fetches_parked_max)},
    {"loop_turns_total", "counter", "Turns of the poll loop.", AT(turns)},
    {"loop_sleeps_total", "counter", "Turns that ended in sleep.", AT(sleeps)},
    {"messages_sent_total", "counter", "Messages to other cores.", AT(messages_sent)},
    {"messages_received_total", "counter", "Messages from other cores.", AT(messages_received)},
    {"credits_used", "gauge", "Message credits in use.", AT(credits_used)},
    {"credits_max", "gauge", "All of them.", AT(credits_max)},
};

static void
write_shards(const struct page *page)
{
    for (unsigned i = 0; i < sizeof(shard_figures) / sizeof(shard_figures[0]); i++) {
        const struct shard_figure *figure = &shard_figures[i];

        head(page, figure->name, figure->type, figure->help);
        FOR_EACH_SHARD(s, page)
        {
            uint64_t value;

            memcpy(&value, (const uint8_t *)page->figures->shards[s] + figure->at, sizeof(value));
            fprintf(page->file, "millrace_%s{shard=\"%d\"} %llu\n", figure->name, s,
                    (unsigned long long)value);
        }
    }
}

/* ---- requests by API ------------------------------------------------------------------------- */

/* `at`: of an array by API key in struct mr_ctl_metrics. APIs that nobody has used are left out. */
static void
write_by_api(const struct page *page, const char *name, const char *help, size_t at)
{
    uint32_t api_count;
    const struct mr_wire_api *apis = mr_wire_apis(&api_count);

    head(page, name, "counter", help);
    FOR_EACH_SHARD(s, page)
    {
        const struct mr_ctl_metrics *shard = page->figures->shards[s];
        const uint64_t *values = (const uint64_t *)(const void *)((const uint8_t *)shard + at);

        for (uint32_t i = 0; i < api_count; i++) {
            int16_t key = apis[i].key;

            if (key < MR_CTL_METRICS_APIS && shard->requests[key] > 0) {
                fprintf(page->file, "millrace_%s{shard=\"%d\",api=\"%s\"} %llu\n", name, s,
                        apis[i].name, (unsigned long long)values[key]);
            }
        }
    }
}

static void
write_requests(const struct page *page)
{
    write_by_api(page, "requests_total", "Requests received.", AT(requests));
    write_by_api(page, "request_bytes_total", "Bytes of requests.", AT(request_bytes));
    write_by_api(page, "response_bytes_total", "Bytes of answers.", AT(response_bytes));
}

static void
write_histogram(const struct page *page, const char *name, const char *labels,
                const struct mr_buckets *buckets)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < MR_BUCKETS_COUNT; i++) {
        sum += buckets->buckets[i];
        fprintf(page->file, "millrace_%s_bucket{%s,le=\"%g\"} %llu\n", name, labels,
                (double)mr_buckets_bounds_ns[i] / NS_PER_S, (unsigned long long)sum);
    }
    fprintf(page->file, "millrace_%s_bucket{%s,le=\"+Inf\"} %llu\n", name, labels,
            (unsigned long long)buckets->count);
    fprintf(page->file, "millrace_%s_sum{%s} %.9g\n", name, labels,
            (double)buckets->sum_ns / NS_PER_S);
    fprintf(page->file, "millrace_%s_count{%s} %llu\n", name, labels,
            (unsigned long long)buckets->count);
}

static void
write_latencies(const struct page *page)
{
    uint32_t api_count;
    const struct mr_wire_api *apis = mr_wire_apis(&api_count);
    char labels[96];

    head(page, "request_duration_seconds", "histogram",
         "From the arrival of a request to its answer, waiting included.");
    FOR_EACH_SHARD(s, page)
    {
        for (uint32_t i = 0; i < api_count; i++) {
            int16_t key = apis[i].key;

            if (key < MR_CTL_METRICS_APIS && page->figures->shards[s]->latency[key].count > 0) {
                snprintf(labels, sizeof(labels), "shard=\"%d\",api=\"%s\"", s, apis[i].name);
                write_histogram(page, "request_duration_seconds", labels,
                                &page->figures->shards[s]->latency[key]);
            }
        }
    }
}

/* ---- stores ---------------------------------------------------------------------------------- */

struct store_figure {
    const char *name;
    const char *type;
    const char *help;
    size_t at;   /* in struct mr_store_stats */
    size_t size; /* of the field there */
};

#define IN(field)                                                                                  \
    offsetof(struct mr_store_stats, field), sizeof(((struct mr_store_stats *)0)->field)

static const struct store_figure store_figures[] = {
    {"store_size_bytes", "gauge", "Size of the store.", IN(size_bytes)},
    {"store_free_bytes", "gauge", "Space that no partition owns.", IN(free_bytes)},
    {"store_largest_free_bytes", "gauge", "Largest free extent.", IN(largest_free_bytes)},
    {"store_free_extents", "gauge", "Pieces that the free space is in.", IN(free_extents)},
    {"store_journal_bytes", "gauge", "Size of the journal.", IN(journal_bytes)},
    {"store_journal_used_bytes", "gauge", "Journal that no checkpoint has freed yet.",
     IN(journal_used_bytes)},
    {"store_groups_total", "counter", "Group commits.", IN(groups)},
    {"store_group_bytes_total", "counter", "Bytes of journal sets written.", IN(group_bytes)},
    {"store_appends_total", "counter", "Batches appended.", IN(appends)},
    {"store_append_bytes_total", "counter", "Bytes of batches appended.", IN(append_bytes)},
    {"store_flushes_total", "counter", "Flushes of the device.", IN(flushes)},
    {"store_direct_bytes_total", "counter", "Bytes written straight to their place.",
     IN(direct_bytes)},
    {"store_inline_bytes_total", "counter", "Bytes that travelled inside journal sets.",
     IN(inline_bytes)},
    {"store_written_behind_bytes_total", "counter", "Bytes written to their place later.",
     IN(written_behind_bytes)},
    {"store_writes_behind", "gauge", "Such writes under way.", IN(writes_in_flight)},
    {"store_checkpoints_total", "counter", "Checkpoints.", IN(checkpoints)},
    {"store_checkpoint_bytes_total", "counter", "Bytes of checkpoint chains written.",
     IN(checkpoint_bytes)},
    {"store_compactions_total", "counter", "Compactions that changed a log.", IN(compactions)},
    {"store_compacted_bytes_total", "counter", "Bytes of batches written by compactions.",
     IN(compacted_bytes)},
    {"store_discarded_bytes_total", "counter", "Freed bytes that drives were told of.",
     IN(discarded_bytes)},
    {"store_discard_errors_total", "counter", "Discards that failed.", IN(discard_errors)},
    {"store_voids_total", "counter", "Groups with a failed data write.", IN(voids)},
    {"store_reads_hot_total", "counter", "Reads answered from memory.", IN(reads_hot)},
    {"store_reads_cold_total", "counter", "Reads that went to the device.", IN(reads_cold)},
    {"store_reads_ahead_total", "counter", "Reads of the device before anyone asked.",
     IN(reads_ahead)},
    {"store_read_errors_total", "counter", "Reads that failed.", IN(read_errors)},
    {"store_cache_bytes", "gauge", "Memory that holds batches.", IN(cache_bytes)},
    {"store_cache_max_bytes", "gauge", "Limit of that memory.", IN(cache_bytes_max)},
    {"store_pinned_bytes", "gauge", "Cache that answers are being sent from.", IN(pinned_bytes)},
    {"store_dirty_bytes", "gauge", "Cache that has to be written behind.", IN(dirty_bytes)},
    {"store_partitions", "gauge", "Logs in the store.", IN(logs)},
    {"store_producers", "gauge", "Producer entries.", IN(producers)},
    {"store_failed", "gauge", "1: the store has failed.", IN(failed)},
    {"store_full", "gauge", "1: appends are refused for want of space.", IN(full)},
};

static unsigned long long
store_value(const struct mr_store_stats *stats, const struct store_figure *figure)
{
    const uint8_t *at = (const uint8_t *)stats + figure->at;
    uint64_t wide = 0;

    memcpy(&wide, at, figure->size); /* little-endian, as the machine is */
    return wide;
}

static void
write_stores(const struct page *page)
{
    for (unsigned i = 0; i < sizeof(store_figures) / sizeof(store_figures[0]); i++) {
        const struct store_figure *figure = &store_figures[i];

        head(page, figure->name, figure->type, figure->help);
        FOR_EACH_SHARD(s, page)
        {
            for (unsigned k = 0; k < page->figures->shards[s]->store_count; k++) {
                const struct mr_ctl_metrics_store *store = &page->figures->shards[s]->stores[k];

                fprintf(page->file, "millrace_%s{shard=\"%d\",store=\"%u\"} %llu\n", figure->name,
                        s, store->index, store_value(&store->stats, figure));
            }
        }
    }
}

static void
write_store_times(const struct page *page, const char *name, const char *help, size_t at)
{
    char labels[64];

    head(page, name, "histogram", help);
    FOR_EACH_SHARD(s, page)
    {
        for (unsigned k = 0; k < page->figures->shards[s]->store_count; k++) {
            const struct mr_ctl_metrics_store *store = &page->figures->shards[s]->stores[k];
            const uint8_t *stats = (const uint8_t *)&store->stats;

            snprintf(labels, sizeof(labels), "shard=\"%d\",store=\"%u\"", s, store->index);
            write_histogram(page, name, labels, (const struct mr_buckets *)(stats + at));
        }
    }
}

/* ---- topics ---------------------------------------------------------------------------------- */

static int
compare_topics(const void *a, const void *b)
{
    return memcmp(&((const struct mr_ctl_metrics_topic *)a)->id,
                  &((const struct mr_ctl_metrics_topic *)b)->id, sizeof(struct mr_uuid));
}

/* All shards' counters, one entry for each topic; free() it. */
static struct mr_ctl_metrics_topic *
sum_topics(const struct page *page, unsigned *count_out)
{
    struct mr_ctl_metrics_topic *all;
    unsigned count = 0;
    unsigned kept = 0;

    FOR_EACH_SHARD(s, page)
    {
        count += page->figures->shards[s]->topic_count;
    }
    *count_out = 0;
    all = calloc(count + 1, sizeof(*all));
    if (!all) {
        return NULL;
    }
    count = 0;
    FOR_EACH_SHARD(s, page)
    {
        const struct mr_ctl_metrics *shard = page->figures->shards[s];

        memcpy(all + count, shard->topics, shard->topic_count * sizeof(*all));
        count += shard->topic_count;
    }
    qsort(all, count, sizeof(*all), compare_topics);
    for (unsigned i = 0; i < count; i++) {
        if (kept > 0 && compare_topics(&all[kept - 1], &all[i]) == 0) {
            all[kept - 1].records_in += all[i].records_in;
            all[kept - 1].bytes_in += all[i].bytes_in;
            all[kept - 1].bytes_out += all[i].bytes_out;
        } else {
            all[kept++] = all[i];
        }
    }
    *count_out = kept;
    return all;
}

/* The topic's name, which has only characters that need no escape; NULL: it has been deleted. */
static const char *
topic_label(const struct page *page, const struct mr_uuid *id)
{
    static const struct mr_uuid none;
    const struct mr_snapshot_topic *topic = mr_snapshot_topic_by_id(page->figures->snapshot, id);

    return mr_uuid_equal(id, &none) ? OTHER_TOPICS : topic ? topic->name : NULL;
}

static void
write_topic_family(const struct page *page, const struct mr_ctl_metrics_topic *topics,
                   unsigned count, const char *name, const char *help, size_t at)
{
    head(page, name, "counter", help);
    for (unsigned i = 0; i < count; i++) {
        const char *label = topic_label(page, &topics[i].id);
        uint64_t value;

        memcpy(&value, (const uint8_t *)&topics[i] + at, sizeof(value));
        if (label) {
            fprintf(page->file, "millrace_%s{topic=\"%s\"} %llu\n", name, label,
                    (unsigned long long)value);
        }
    }
}

static void
write_topics(const struct page *page)
{
    unsigned count;
    struct mr_ctl_metrics_topic *topics = sum_topics(page, &count);

    write_topic_family(page, topics, count, "topic_records_in_total",
                       "Records produced to the topic.",
                       offsetof(struct mr_ctl_metrics_topic, records_in));
    write_topic_family(page, topics, count, "topic_bytes_in_total",
                       "Bytes of batches produced to the topic.",
                       offsetof(struct mr_ctl_metrics_topic, bytes_in));
    write_topic_family(page, topics, count, "topic_bytes_out_total",
                       "Bytes of batches fetched from the topic.",
                       offsetof(struct mr_ctl_metrics_topic, bytes_out));
    free(topics);
}

/* ---- the control plane ----------------------------------------------------------------------- */

static void
write_one(const struct page *page, const char *name, const char *type, const char *help,
          uint64_t value)
{
    head(page, name, type, help);
    fprintf(page->file, "millrace_%s %llu\n", name, (unsigned long long)value);
}

static void
write_groups(const struct page *page)
{
    const struct mr_groups_stats *stats = &page->figures->groups;

    head(page, "groups", "gauge", "Consumer groups by state.");
    for (int i = 0; i < MR_GROUP_DEAD; i++) {
        fprintf(page->file, "millrace_groups{state=\"%s\"} %u\n",
                mr_group_state_name((enum mr_group_state)i), stats->groups[i]);
    }
    write_one(page, "group_members", "gauge", "Members of all groups.", stats->members);
    write_one(page, "group_offsets", "gauge", "Committed offsets that are kept.", stats->offsets);
    write_one(page, "group_memory_bytes", "gauge", "Memory of groups and offsets.", stats->bytes);
    write_one(page, "group_writes", "gauge", "Writes to __consumer_offsets under way.",
              stats->writes);
    write_one(page, "group_rebalances_total", "counter", "Rebalances completed.",
              stats->rebalances);
    write_one(page, "group_commits_total", "counter", "Offsets committed.", stats->commits);
    write_one(page, "group_members_expired_total", "counter", "Members whose session has ended.",
              stats->expired_members);
    write_one(page, "group_offsets_expired_total", "counter", "Offsets dropped by their age.",
              stats->expired_offsets);
}

static void
write_lag(const struct page *page)
{
    const struct mr_figures *figures = page->figures;

    head(page, "group_lag", "gauge", "Records between a committed offset and the partition's end.");
    for (unsigned s = 0; s < figures->shard_count; s++) {
        mr_lag_write(figures->lag, &figures->ends[s], figures->snapshot, page->file);
    }
    write_one(page, "group_lag_truncated", "gauge", "1: not every group's lag is shown.",
              figures->lag->truncated);
}

static void
write_metadata(const struct page *page)
{
    const struct mr_figures *figures = page->figures;

    write_one(page, "topics", "gauge", "Topics.", figures->snapshot->topic_count);
    write_one(page, "partitions", "gauge", "Partitions of all topics.", figures->partitions);
    write_one(page, "metadata_epoch", "gauge", "Changes of the metadata.",
              figures->snapshot->epoch);
    write_one(page, "metadata_snapshots", "gauge",
              "States of the metadata in memory: the current one, and what shards still use.",
              figures->snapshots);
    write_one(page, "metadata_log_used_bytes", "gauge", "Metadata log behind its snapshot.",
              figures->metalog_used_bytes);
    write_one(page, "metadata_log_size_bytes", "gauge", "Room of the metadata log.",
              figures->metalog_size_bytes);
}

char *
mr_metrics_render(const struct mr_figures *figures, size_t *size)
{
    char *text = NULL;
    struct page page = {open_memstream(&text, size), figures};
    bool good;

    if (!page.file) {
        return NULL;
    }
    write_answered(&page);
    write_shards(&page);
    write_requests(&page);
    write_latencies(&page);
    write_stores(&page);
    write_store_times(&page, "store_group_duration_seconds",
                      "From the writing of a group commit to its being durable.",
                      offsetof(struct mr_store_stats, group_time));
    write_store_times(&page, "store_flush_duration_seconds",
                      "Flushes of the device behind a group's writes.",
                      offsetof(struct mr_store_stats, flush_time));
    write_topics(&page);
    write_groups(&page);
    write_lag(&page);
    write_metadata(&page);
    good = !ferror(page.file);
    if (fclose(page.file) != 0 || !good) {
        free(text);
        return NULL;
    }
    return text;
}
