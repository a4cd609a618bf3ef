/* control/api_offsets.c: OffsetCommit (8), OffsetFetch (9) and OffsetDelete (47): wire structs to
 * flat lists of offsets (group.h) and back. */
#include <string.h>

#include "control/coordinator.h"

#define COMMIT_VERSION_TOPIC_ID 10
#define FETCH_VERSION_GROUPS    8
#define FETCH_VERSION_TOPIC_ID  10
#define FETCH_VERSION_ERROR     2 /* before it a group's error is told by every partition */

static const struct mr_uuid no_id;

/* A topic as a request names it: by name, or `by_id`; what the request left out is filled in. NONE,
 * or what its partitions are answered. */
static enum mr_kafka_err
resolve(const struct mr_snapshot *snapshot, bool by_id, struct mr_str *name, struct mr_uuid *id,
        int32_t *partition_count)
{
    const struct mr_snapshot_topic *topic;

    *partition_count = 0;
    if (by_id) {
        topic = mr_snapshot_topic_by_id(snapshot, id);
    } else {
        topic = name->size > 0
                    ? mr_snapshot_topic_by_name(snapshot, name->data, (uint32_t)name->size)
                    : NULL;
    }
    if (!topic) {
        return by_id ? MR_KAFKA_UNKNOWN_TOPIC_ID : MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    *id = topic->id;
    if (by_id) {
        *name = (struct mr_str){topic->name, (int32_t)topic->name_size};
    }
    *partition_count = topic->partition_count;
    return MR_KAFKA_NONE;
}

static enum mr_kafka_err
judge(enum mr_kafka_err of_topic, int32_t partition, int32_t partition_count)
{
    if (of_topic) {
        return of_topic;
    }
    return partition < 0 || partition >= partition_count ? MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                                                         : MR_KAFKA_NONE;
}

/* ---- OffsetCommit ---------------------------------------------------------------------------- */

struct commit {
    struct mr_group_ask ask;
    struct mr_group_commit commit;
};

static void
on_commit(struct mr_group_request *request)
{
    struct commit *state = MR_CONTAINER_OF(request, struct commit, commit.request);
    struct mr_offset_commit_response *response = state->ask.request->response;
    int32_t at = 0;

    for (int32_t t = 0; t < response->topics_count; t++) {
        for (int32_t p = 0; p < response->topics[t].partitions_count; p++) {
            response->topics[t].partitions[p].error_code = state->commit.offsets[at++].error;
        }
    }
    mr_group_ask_end(&state->ask);
}

static int64_t
count_commits(const struct mr_offset_commit_request *body)
{
    int64_t count = 0;

    for (int32_t t = 0; t < body->topics_count; t++) {
        count += body->topics[t].partitions_count > 0 ? body->topics[t].partitions_count : 0;
    }
    return count;
}

static bool
fill_commit_topic(struct mr_ctl_request *request, const struct mr_snapshot *snapshot, int32_t t,
                  struct mr_group_offset *offsets, int32_t *at)
{
    const struct mr_offset_commit_request *body = request->request;
    struct mr_offset_commit_response *response = request->response;
    const struct mr_offset_commit_request_topic *in = &body->topics[t];
    struct mr_offset_commit_response_topic *out = &response->topics[t];
    bool by_id = request->api_version >= COMMIT_VERSION_TOPIC_ID;
    struct mr_str name = in->name;
    struct mr_uuid id = by_id ? in->topic_id : no_id;
    int32_t partition_count;
    enum mr_kafka_err error = resolve(snapshot, by_id, &name, &id, &partition_count);

    if (by_id) {
        name = mr_group_text(request, name); /* the snapshot's text may be gone before the answer */
    }
    out->name = in->name;
    out->topic_id = in->topic_id;
    out->partitions = mr_ctl_array(request, in->partitions_count, sizeof(*out->partitions));
    if (!out->partitions || request->failed) {
        return false;
    }
    out->partitions_count = in->partitions_count > 0 ? in->partitions_count : 0;
    for (int32_t p = 0; p < out->partitions_count; p++) {
        const struct mr_offset_commit_request_partition *one = &in->partitions[p];

        out->partitions[p].partition_index = one->partition_index;
        offsets[(*at)++] = (struct mr_group_offset){
            .topic = name,
            .topic_id = id,
            .partition = one->partition_index,
            .leader_epoch = one->committed_leader_epoch,
            .offset = one->committed_offset,
            .metadata = one->committed_metadata,
            .error = (int16_t)judge(error, one->partition_index, partition_count),
        };
    }
    return true;
}

/* The flat list; NULL without memory. */
static struct mr_group_offset *
fill_commits(struct mr_control *control, struct mr_ctl_request *request, int32_t *count)
{
    const struct mr_offset_commit_request *body = request->request;
    struct mr_offset_commit_response *response = request->response;
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    struct mr_group_offset *offsets = mr_ctl_array(request, count_commits(body), sizeof(*offsets));
    bool good = snapshot && offsets;

    response->topics = mr_ctl_array(request, body->topics_count, sizeof(*response->topics));
    good = good && response->topics;
    response->topics_count = good && body->topics_count > 0 ? body->topics_count : 0;
    *count = 0;
    for (int32_t t = 0; good && t < response->topics_count; t++) {
        good = fill_commit_topic(request, snapshot, t, offsets, count);
    }
    if (snapshot) {
        mr_metadata_snapshot_release(snapshot);
    }
    return good ? offsets : NULL;
}

void
mr_api_offset_commit(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_offset_commit_request *body = request->request;
    struct commit *state = mr_group_ask_begin(control, request, from, sizeof(*state));
    struct mr_group_offset *offsets;
    int32_t count;

    if (!state) {
        return;
    }
    offsets = fill_commits(control, request, &count);
    if (!offsets) {
        mr_ctl_fail(control, request, from);
        return;
    }
    state->commit = (struct mr_group_commit){
        .request.done = on_commit,
        .api_version = request->api_version,
        .group_id = body->group_id,
        .member_id = body->member_id,
        .instance_id = body->group_instance_id,
        .generation = body->generation_id_or_member_epoch,
        .retention_ms = body->retention_time_ms,
        .offsets = offsets,
        .offset_count = count,
    };
    mr_group_ask_run(&state->ask, &state->commit.request,
                     mr_groups_commit(mr_coordinator_groups(control->coordinator), &state->commit,
                                      mr_coordinator_now(control->coordinator)));
}

/* ---- OffsetFetch ----------------------------------------------------------------------------- */

/* One group of a request, and its answer in the form of version 8 and above; older versions have
 * the same fields under other names. */
struct fetch {
    struct mr_control *control;
    struct mr_ctl_request *request;
    const struct mr_snapshot *snapshot;
    struct mr_str group_id;
    struct mr_offset_fetch_response_group *out;
    int32_t topic_capacity;
};

static void
put_offset(struct fetch *fetch, struct mr_offset_fetch_response_group_partition *out,
           const struct mr_group_offset *offset)
{
    *out = (struct mr_offset_fetch_response_group_partition){
        .partition_index = offset->partition,
        .committed_offset = offset->offset,
        .committed_leader_epoch = offset->leader_epoch,
        .metadata = mr_group_text(fetch->request, offset->metadata),
        .error_code = offset->error,
    };
}

static void
fetch_partition(struct fetch *fetch, struct mr_group_offset *offset, enum mr_kafka_err error,
                struct mr_offset_fetch_response_group_partition *out)
{
    offset->offset = -1;
    offset->leader_epoch = -1;
    offset->metadata = mr_str_from_c("");
    offset->error = (int16_t)error;
    if (!error) {
        mr_groups_fetch(mr_coordinator_groups(fetch->control->coordinator), fetch->group_id,
                        offset);
        offset->error = MR_KAFKA_NONE;
    }
    put_offset(fetch, out, offset);
}

static bool
fetch_topic(struct fetch *fetch, struct mr_str name, const struct mr_uuid *id,
            const int32_t *partitions, int32_t count, enum mr_kafka_err group_error)
{
    bool by_id = fetch->request->api_version >= FETCH_VERSION_TOPIC_ID;
    struct mr_offset_fetch_response_group_topic *out =
        &fetch->out->topics[fetch->out->topics_count++];
    struct mr_str found_name = name;
    struct mr_uuid found_id = *id;
    int32_t partition_count;
    enum mr_kafka_err error = group_error;

    if (!error && by_id) {
        error = resolve(fetch->snapshot, true, &found_name, &found_id, &partition_count);
    }
    out->name = name;
    out->topic_id = *id;
    out->partitions = mr_ctl_array(fetch->request, count, sizeof(*out->partitions));
    if (!out->partitions) {
        return false;
    }
    out->partitions_count = count > 0 ? count : 0;
    for (int32_t p = 0; p < out->partitions_count; p++) {
        struct mr_group_offset offset = {
            .topic = found_name, .topic_id = *id, .partition = partitions[p]};

        fetch_partition(fetch, &offset, error, &out->partitions[p]);
    }
    return true;
}

static bool
same_topic(const struct mr_offset_fetch_response_group_topic *topic, bool by_id,
           const struct mr_group_offset *offset, const struct mr_uuid *id)
{
    return by_id ? mr_uuid_equal(&topic->topic_id, id) : mr_str_equal(topic->name, offset->topic);
}

/* The topic's id for an answer that has ids; false: it is not there any more. */
static bool
id_of(const struct fetch *fetch, const struct mr_group_offset *offset, struct mr_uuid *id)
{
    const struct mr_snapshot_topic *topic = mr_snapshot_topic_by_name(
        fetch->snapshot, offset->topic.data, (uint32_t)offset->topic.size);

    if (topic) {
        *id = topic->id;
    }
    return topic;
}

static void
count_offset(void *context, const struct mr_group_offset *offset)
{
    struct fetch *fetch = context;

    (void)offset;
    fetch->topic_capacity++;
}

/* Offsets of one topic come in a row; the partitions of all topics lie in one array. */
static void
take_offset(void *context, const struct mr_group_offset *offset)
{
    struct fetch *fetch = context;
    struct mr_offset_fetch_response_group *out = fetch->out;
    bool by_id = fetch->request->api_version >= FETCH_VERSION_TOPIC_ID;
    struct mr_offset_fetch_response_group_topic *topic =
        out->topics_count > 0 ? &out->topics[out->topics_count - 1] : NULL;
    struct mr_offset_fetch_response_group_partition *next =
        topic ? topic->partitions + topic->partitions_count : out->topics[0].partitions;
    struct mr_uuid id = no_id;

    if (by_id && !id_of(fetch, offset, &id)) {
        return;
    }
    if (!topic || !same_topic(topic, by_id, offset, &id)) {
        topic = &out->topics[out->topics_count++];
        topic->name = mr_group_text(fetch->request, offset->topic);
        topic->topic_id = id;
        topic->partitions = next;
    }
    put_offset(fetch, &topic->partitions[topic->partitions_count++], offset);
}

static bool
fetch_all(struct fetch *fetch)
{
    struct mr_groups *groups = mr_coordinator_groups(fetch->control->coordinator);
    struct mr_offset_fetch_response_group *out = fetch->out;

    mr_groups_fetch_all(groups, fetch->group_id, count_offset, fetch);
    out->topics = mr_ctl_array(fetch->request, fetch->topic_capacity + 1, sizeof(*out->topics));
    if (!out->topics) {
        return false;
    }
    out->topics[0].partitions =
        mr_ctl_array(fetch->request, fetch->topic_capacity, sizeof(*out->topics[0].partitions));
    if (!out->topics[0].partitions) {
        return false;
    }
    mr_groups_fetch_all(groups, fetch->group_id, take_offset, fetch);
    return true;
}

/* From version 8 on: one group of the request. */
static bool
fetch_group(struct fetch *fetch, const struct mr_offset_fetch_request_group *in)
{
    enum mr_kafka_err error =
        mr_groups_fetch_check(mr_coordinator_groups(fetch->control->coordinator), in->group_id);

    fetch->group_id = in->group_id;
    fetch->out->group_id = in->group_id;
    fetch->out->error_code = (int16_t)error;
    if (error) {
        return true;
    }
    if (in->topics_count < 0) {
        return fetch_all(fetch);
    }
    fetch->out->topics =
        mr_ctl_array(fetch->request, in->topics_count, sizeof(*fetch->out->topics));
    for (int32_t t = 0; fetch->out->topics && t < in->topics_count; t++) {
        const struct mr_offset_fetch_request_group_topic *topic = &in->topics[t];

        if (!fetch_topic(fetch, topic->name, &topic->topic_id, topic->partition_indexes,
                         topic->partition_indexes_count, MR_KAFKA_NONE)) {
            return false;
        }
    }
    return fetch->out->topics;
}

/* Versions 1 to 7 have one group. */
static bool
fetch_single(struct fetch *fetch)
{
    const struct mr_offset_fetch_request *body = fetch->request->request;
    enum mr_kafka_err error =
        mr_groups_fetch_check(mr_coordinator_groups(fetch->control->coordinator), body->group_id);

    fetch->group_id = body->group_id;
    fetch->out->error_code = (int16_t)error;
    if (error && fetch->request->api_version >= FETCH_VERSION_ERROR) {
        return true;
    }
    if (body->topics_count < 0) {
        return fetch_all(fetch);
    }
    fetch->out->topics =
        mr_ctl_array(fetch->request, body->topics_count, sizeof(*fetch->out->topics));
    for (int32_t t = 0; fetch->out->topics && t < body->topics_count; t++) {
        const struct mr_offset_fetch_request_topic *topic = &body->topics[t];

        if (!fetch_topic(fetch, topic->name, &no_id, topic->partition_indexes,
                         topic->partition_indexes_count, error)) {
            return false;
        }
    }
    return fetch->out->topics;
}

/* The answer of versions 1 to 7 from that of a group. */
static bool
answer_single(struct mr_ctl_request *request, const struct mr_offset_fetch_response_group *group)
{
    struct mr_offset_fetch_response *response = request->response;

    response->error_code = group->error_code;
    response->topics = mr_ctl_array(request, group->topics_count, sizeof(*response->topics));
    if (!response->topics) {
        return false;
    }
    response->topics_count = group->topics_count;
    for (int32_t t = 0; t < group->topics_count; t++) {
        struct mr_offset_fetch_response_topic *topic = &response->topics[t];
        int32_t count = group->topics[t].partitions_count;

        topic->name = group->topics[t].name;
        topic->partitions = mr_ctl_array(request, count, sizeof(*topic->partitions));
        if (!topic->partitions) {
            return false;
        }
        topic->partitions_count = count;
        for (int32_t p = 0; p < count; p++) {
            const struct mr_offset_fetch_response_group_partition *in =
                &group->topics[t].partitions[p];

            topic->partitions[p] = (struct mr_offset_fetch_response_partition){
                .partition_index = in->partition_index,
                .committed_offset = in->committed_offset,
                .committed_leader_epoch = in->committed_leader_epoch,
                .metadata = in->metadata,
                .error_code = in->error_code,
            };
        }
    }
    return true;
}

static bool
offset_fetch(struct mr_control *control, struct mr_ctl_request *request,
             const struct mr_snapshot *snapshot)
{
    const struct mr_offset_fetch_request *body = request->request;
    struct mr_offset_fetch_response *response = request->response;
    bool single = request->api_version < FETCH_VERSION_GROUPS;
    int32_t count = single ? 1 : body->groups_count;
    struct mr_offset_fetch_response_group *groups = mr_ctl_array(request, count, sizeof(*groups));

    for (int32_t i = 0; groups && i < count; i++) {
        struct fetch fetch = {
            .control = control, .request = request, .snapshot = snapshot, .out = &groups[i]};

        if (!(single ? fetch_single(&fetch) : fetch_group(&fetch, &body->groups[i]))) {
            return false;
        }
    }
    if (!groups || single) {
        return groups && answer_single(request, groups);
    }
    response->groups = groups;
    response->groups_count = count > 0 ? count : 0;
    return true;
}

void
mr_api_offset_fetch(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    bool good = snapshot && offset_fetch(control, request, snapshot);

    if (snapshot) {
        mr_metadata_snapshot_release(snapshot);
    }
    if (good) {
        mr_ctl_reply(control, request, from);
    } else {
        mr_ctl_fail(control, request, from);
    }
}

/* ---- OffsetDelete ---------------------------------------------------------------------------- */

struct offset_delete {
    struct mr_group_ask ask;
    struct mr_group_offset_delete delete;
};

static void
on_offset_delete(struct mr_group_request *request)
{
    struct offset_delete *state = MR_CONTAINER_OF(request, struct offset_delete, delete.request);
    struct mr_offset_delete_response *response = state->ask.request->response;
    int32_t at = 0;

    response->error_code = request->error;
    for (int32_t t = 0; t < response->topics_count; t++) {
        for (int32_t p = 0; p < response->topics[t].partitions_count; p++) {
            response->topics[t].partitions[p].error_code = state->delete.offsets[at++].error;
        }
    }
    if (request->error) {
        response->topics_count = 0;
    }
    mr_group_ask_end(&state->ask);
}

static bool
fill_deletes(struct mr_ctl_request *request, const struct mr_snapshot *snapshot,
             struct mr_group_offset_delete *delete)
{
    const struct mr_offset_delete_request *body = request->request;
    struct mr_offset_delete_response *response = request->response;
    int64_t count = 0;

    for (int32_t t = 0; t < body->topics_count; t++) {
        count += body->topics[t].partitions_count > 0 ? body->topics[t].partitions_count : 0;
    }
    delete->offsets = mr_ctl_array(request, count, sizeof(*delete->offsets));
    response->topics = mr_ctl_array(request, body->topics_count, sizeof(*response->topics));
    if (!delete->offsets || !response->topics) {
        return false;
    }
    response->topics_count = body->topics_count > 0 ? body->topics_count : 0;
    for (int32_t t = 0; t < response->topics_count; t++) {
        const struct mr_offset_delete_request_topic *in = &body->topics[t];
        struct mr_offset_delete_response_topic *out = &response->topics[t];
        struct mr_str name = in->name;
        struct mr_uuid id = no_id;
        int32_t partition_count;
        enum mr_kafka_err error = resolve(snapshot, false, &name, &id, &partition_count);

        out->name = in->name;
        out->partitions = mr_ctl_array(request, in->partitions_count, sizeof(*out->partitions));
        if (!out->partitions) {
            return false;
        }
        out->partitions_count = in->partitions_count > 0 ? in->partitions_count : 0;
        for (int32_t p = 0; p < out->partitions_count; p++) {
            int32_t index = in->partitions[p].partition_index;

            out->partitions[p].partition_index = index;
            delete->offsets[delete->offset_count++] = (struct mr_group_offset){
                .topic = name,
                .partition = index,
                .error = (int16_t)judge(error, index, partition_count),
            };
        }
    }
    return true;
}

void
mr_api_offset_delete(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_offset_delete_request *body = request->request;
    struct offset_delete *state = mr_group_ask_begin(control, request, from, sizeof(*state));
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    bool good = state && snapshot && fill_deletes(request, snapshot, &state->delete);

    if (snapshot) {
        mr_metadata_snapshot_release(snapshot);
    }
    if (!state) {
        return;
    }
    if (!good) {
        mr_ctl_fail(control, request, from);
        return;
    }
    state->delete.request.done = on_offset_delete;
    state->delete.group_id = body->group_id;
    mr_group_ask_run(&state->ask, &state->delete.request,
                     mr_groups_offset_delete(mr_coordinator_groups(control->coordinator),
                                             &state->delete,
                                             mr_coordinator_now(control->coordinator)));
}
