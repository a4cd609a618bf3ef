/* control/api_log_dirs.c: DescribeLogDirs (key 35) and AlterReplicaLogDirs (key 34).
 *
 * A folder with store files, or a device, is what Kafka calls a log directory. The shards know the
 * sizes of logs (kafka/logs.c), this thread knows where the stores lie. */
#include <string.h>
#include <sys/statvfs.h>

#include "control/api.h"

/* The folder of a store's file, without a '/' at the end, or the store's device. */
static struct mr_str
dir_of(const struct mr_control *control, unsigned store)
{
    const char *path = control->stores[store].path;
    const char *slash = strrchr(path, '/');

    if (control->stores[store].device) {
        return mr_str_from_c(path);
    }
    if (!slash) {
        return mr_str_from_c(".");
    }
    return (struct mr_str){path, slash == path ? 1 : (int32_t)(slash - path)};
}

/* Whether an earlier store lies in the same folder. */
static bool
dir_known(const struct mr_control *control, unsigned store)
{
    for (unsigned i = 0; i < store; i++) {
        if (mr_str_equal(dir_of(control, i), dir_of(control, store))) {
            return true;
        }
    }
    return false;
}

/* ---- DescribeLogDirs ------------------------------------------------------------------------- */

static bool
same_topic(const struct mr_ctl_log_size *a, const struct mr_ctl_log_size *b)
{
    return a->topic_size == b->topic_size && memcmp(a->topic, b->topic, (size_t)a->topic_size) == 0;
}

static bool
in_dir(const struct mr_control *control, const struct mr_ctl_log_size *log, struct mr_str dir)
{
    return log->store < control->store_count && mr_str_equal(dir_of(control, log->store), dir);
}

/* Counts what lies in the folder, and fills it in where there are arrays. */
static void
walk_dir(struct mr_control *control, const struct mr_ctl_log_sizes *sizes,
         struct mr_describe_log_dirs_response_dir *out,
         struct mr_describe_log_dirs_response_partition *partitions, int32_t *partition_count)
{
    const struct mr_ctl_log_size *last = NULL;
    struct mr_describe_log_dirs_response_topic *topic = NULL;

    out->topics_count = 0;
    *partition_count = 0;
    for (uint32_t i = 0; i < sizes->count; i++) {
        const struct mr_ctl_log_size *log = &sizes->logs[i];

        if (!in_dir(control, log, out->log_dir)) {
            continue;
        }
        if (!last || !same_topic(last, log)) {
            if (out->topics) {
                topic = &out->topics[out->topics_count];
                topic->name = (struct mr_str){log->topic, log->topic_size};
                topic->partitions = &partitions[*partition_count];
            }
            out->topics_count++;
        }
        last = log;
        if (topic) {
            topic->partitions_count++;
            partitions[*partition_count] = (struct mr_describe_log_dirs_response_partition){
                .partition_index = log->partition, .partition_size = log->size_bytes};
        }
        (*partition_count)++;
    }
}

static bool
describe_dir(struct mr_control *control, struct mr_ctl_request *request, unsigned store,
             struct mr_describe_log_dirs_response_dir *out)
{
    const struct mr_ctl_log_sizes *sizes = request->request;
    struct mr_describe_log_dirs_response_partition *partitions;
    int32_t partition_count;
    struct statvfs space;
    char path[MR_CONTROL_PATH_SIZE];

    out->log_dir = dir_of(control, store);
    out->total_bytes = -1;
    out->usable_bytes = -1;
    memcpy(path, out->log_dir.data, (size_t)out->log_dir.size);
    path[out->log_dir.size] = 0;
    if (control->stores[store].device) {
        out->total_bytes = (int64_t)control->stores[store].size_bytes;
    } else if (statvfs(path, &space) == 0) {
        out->total_bytes = (int64_t)(space.f_blocks * space.f_frsize);
        out->usable_bytes = (int64_t)(space.f_bavail * space.f_frsize);
    }
    walk_dir(control, sizes, out, NULL, &partition_count);
    partitions = mr_ctl_array(request, partition_count, sizeof(*partitions));
    out->topics = mr_ctl_array(request, out->topics_count, sizeof(*out->topics));
    if (!partitions || !out->topics) {
        return false;
    }
    walk_dir(control, sizes, out, partitions, &partition_count);
    return true;
}

void
mr_api_log_dirs(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    struct mr_describe_log_dirs_response *response = request->response;
    bool good;

    response->results = mr_ctl_array(request, control->store_count, sizeof(*response->results));
    good = response->results != NULL;
    for (unsigned s = 0; good && s < control->store_count; s++) {
        if (!dir_known(control, s)) {
            good = describe_dir(control, request, s, &response->results[response->results_count++]);
        }
    }
    if (good) {
        mr_ctl_reply(control, request, from);
    } else {
        mr_ctl_fail(control, request, from);
    }
}

/* ---- AlterReplicaLogDirs --------------------------------------------------------------------- */

/* A partition stays in its store: moving it where it is needs nothing. */
static enum mr_kafka_err
judge_move(const struct mr_control *control, const struct mr_snapshot_topic *topic,
           int32_t partition, struct mr_str path)
{
    bool found = false;

    for (unsigned s = 0; s < control->store_count; s++) {
        found |= mr_str_equal(dir_of(control, s), path);
    }
    if (!found) {
        return MR_KAFKA_LOG_DIR_NOT_FOUND;
    }
    if (!topic || partition < 0 || partition >= topic->partition_count) {
        return MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    return mr_str_equal(dir_of(control, topic->partitions[partition].store), path)
               ? MR_KAFKA_NONE
               : MR_KAFKA_INVALID_REQUEST;
}

static bool
alter_topic(struct mr_control *control, struct mr_ctl_request *request,
            const struct mr_snapshot *snapshot,
            const struct mr_alter_replica_log_dirs_request_topic *in, struct mr_str path,
            struct mr_alter_replica_log_dirs_response_topic *out)
{
    const struct mr_snapshot_topic *topic = mr_topic_find(snapshot, in->name);

    out->topic_name = in->name;
    out->partitions_count = in->partitions_count > 0 ? in->partitions_count : 0;
    out->partitions = mr_ctl_array(request, in->partitions_count, sizeof(*out->partitions));
    for (int32_t p = 0; out->partitions && p < out->partitions_count; p++) {
        out->partitions[p].partition_index = in->partitions[p];
        out->partitions[p].error_code =
            (int16_t)judge_move(control, topic, in->partitions[p], path);
    }
    return out->partitions != NULL;
}

bool
mr_api_alter_log_dirs(struct mr_control *control, struct mr_ctl_request *request)
{
    const struct mr_alter_replica_log_dirs_request *body = request->request;
    struct mr_alter_replica_log_dirs_response *response = request->response;
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    int64_t count = 0;
    bool good;

    for (int32_t d = 0; d < body->dirs_count; d++) {
        count += body->dirs[d].topics_count > 0 ? body->dirs[d].topics_count : 0;
    }
    response->results = mr_ctl_array(request, count, sizeof(*response->results));
    good = response->results && snapshot;
    for (int32_t d = 0; good && d < body->dirs_count; d++) {
        for (int32_t t = 0; good && t < body->dirs[d].topics_count; t++) {
            good = alter_topic(control, request, snapshot, &body->dirs[d].topics[t],
                               body->dirs[d].path, &response->results[response->results_count++]);
        }
    }
    if (snapshot) {
        mr_metadata_snapshot_release(snapshot);
    }
    return good;
}
