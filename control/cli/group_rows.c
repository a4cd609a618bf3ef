/* control/cli/group_rows.c: DescribeGroups, OffsetFetch and ListOffsets put together. */
#include "control/cli/group_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/endian.h"
#include "dataplane/base/kafka_err.h"
#include "dataplane/kafka/wire/wire.h"

#define PAUSE_NS           (100L * 1000 * 1000)
#define PAUSES_PER_S       10u
#define DECODE_BYTES_MAX   (16u * 1024 * 1024)
#define ASSIGNMENT_VERSION 2 /* bytes of the version before ConsumerProtocolAssignment */

static void
copy(char *out, struct mr_str text)
{
    int size = text.size > 0 ? text.size : 0;

    snprintf(out, CLI_GROUP_TEXT_SIZE, "%.*s", size, size > 0 ? text.data : "");
}

struct cli_group_row *
cli_group_row(struct cli_group *group, struct mr_str topic, int32_t partition)
{
    struct cli_group_row *row;
    char name[CLI_GROUP_TEXT_SIZE];

    copy(name, topic);
    for (size_t i = 0; i < group->row_count; i++) {
        row = &group->rows[i];
        if (row->partition == partition && strcmp(row->topic, name) == 0) {
            return row;
        }
    }
    if (group->row_count == group->row_max) {
        group->row_max = group->row_max ? 2 * group->row_max : 16;
        group->rows = realloc(group->rows, group->row_max * sizeof(*group->rows));
        MR_ASSERT(group->rows);
    }
    row = &group->rows[group->row_count++];
    memset(row, 0, sizeof(*row));
    memcpy(row->topic, name, sizeof(row->topic));
    row->partition = partition;
    row->committed = -1;
    row->end = -1;
    return row;
}

void
cli_group_free(struct cli_group *group)
{
    free(group->rows);
    group->rows = NULL;
}

/* ---- the coordinator ------------------------------------------------------------------------- */

static int16_t
find_once(struct mr_client *client, const char *name)
{
    struct mr_str key = mr_str_from_c(name);
    struct mr_find_coordinator_request request;
    const struct mr_find_coordinator_response *response;
    const void *answer;

    mr_wire_init(&mr_find_coordinator_request_message, &request);
    request.key = key;
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    if (mr_client_call(client, MR_API_FIND_COORDINATOR, &request, &answer) != 0) {
        cli_failed("%s", mr_client_error(client));
        return MR_KAFKA_UNKNOWN_SERVER_ERROR;
    }
    response = answer;
    return response->coordinators_count > 0 ? response->coordinators[0].error_code
                                            : response->error_code;
}

int
cli_group_find(struct mr_client *client, const char *name, unsigned timeout_ms)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    int16_t error = MR_KAFKA_NONE;

    for (unsigned i = 0; i <= timeout_ms * PAUSES_PER_S / 1000; i++) {
        error = find_once(client, name);
        if (error != MR_KAFKA_COORDINATOR_NOT_AVAILABLE) {
            break;
        }
        nanosleep(&pause, NULL);
    }
    if (error == MR_KAFKA_UNKNOWN_SERVER_ERROR) {
        return CLI_EXIT_FAILED; /* said already */
    }
    return error ? cli_refused(name, error, mr_str_null()) : CLI_EXIT_OK;
}

/* ---- members --------------------------------------------------------------------------------- */

static void
take_assignment(struct cli_group *group, const struct mr_describe_groups_response_member *member)
{
    struct mr_consumer_protocol_assignment assignment;
    struct mr_bump bump;
    struct iovec slice;
    struct mr_wire_in in;
    int16_t version;

    if (member->member_assignment.size < ASSIGNMENT_VERSION) {
        return;
    }
    version = (int16_t)mr_be16_get(member->member_assignment.data);
    slice.iov_base = (void *)(uintptr_t)(member->member_assignment.data + ASSIGNMENT_VERSION);
    slice.iov_len = (size_t)(member->member_assignment.size - ASSIGNMENT_VERSION);
    mr_bump_init(&bump, NULL, 0, DECODE_BYTES_MAX);
    mr_wire_in_init(&in, &slice, 1, slice.iov_len);
    version = version < 0 ? 0 : version > 3 ? 3 : version;
    if (mr_wire_decode(&mr_consumer_protocol_assignment_message, version, &in, &bump,
                       &assignment) == 0) {
        for (int32_t t = 0; t < assignment.assigned_partitions_count; t++) {
            for (int32_t p = 0; p < assignment.assigned_partitions[t].partitions_count; p++) {
                struct cli_group_row *row =
                    cli_group_row(group, assignment.assigned_partitions[t].topic,
                                  assignment.assigned_partitions[t].partitions[p]);

                copy(row->member, member->member_id);
                copy(row->host, member->client_host);
                copy(row->client, member->client_id);
            }
        }
    }
    mr_bump_reset(&bump);
}

static int
read_members(struct mr_client *client, const char *name, bool is_new, struct cli_group *group)
{
    struct mr_str id = mr_str_from_c(name);
    struct mr_describe_groups_request request;
    const struct mr_describe_groups_response *response;
    const void *answer;

    mr_wire_init(&mr_describe_groups_request_message, &request);
    request.groups = &id;
    request.groups_count = 1;
    if (mr_client_call(client, MR_API_DESCRIBE_GROUPS, &request, &answer) != 0) {
        return cli_failed("%s", mr_client_error(client));
    }
    response = answer;
    if (response->groups_count != 1) {
        return cli_failed("the broker did not answer about group %s", name);
    }
    if (response->groups[0].error_code &&
        !(is_new && response->groups[0].error_code == MR_KAFKA_GROUP_ID_NOT_FOUND)) {
        return cli_refused(name, response->groups[0].error_code, response->groups[0].error_message);
    }
    snprintf(group->state, sizeof(group->state), "%.*s", response->groups[0].group_state.size,
             response->groups[0].group_state.data);
    copy(group->protocol, response->groups[0].protocol_data);
    group->member_count = response->groups[0].members_count;
    for (int32_t i = 0; i < group->member_count; i++) {
        take_assignment(group, &response->groups[0].members[i]);
    }
    return CLI_EXIT_OK;
}

/* ---- committed offsets ----------------------------------------------------------------------- */

/* Names of topics by id, for versions whose answers have ids. */
struct names {
    struct mr_uuid *ids;
    char (*names)[CLI_GROUP_TEXT_SIZE];
    int32_t count;
};

static int
read_names(struct mr_client *client, struct names *names)
{
    struct mr_metadata_request request;
    const struct mr_metadata_response *response;
    const void *answer;

    mr_wire_init(&mr_metadata_request_message, &request);
    request.topics_count = -1;
    request.allow_auto_topic_creation = false;
    if (mr_client_call(client, MR_API_METADATA, &request, &answer) != 0) {
        return cli_failed("%s", mr_client_error(client));
    }
    response = answer;
    names->count = response->topics_count;
    names->ids = calloc((size_t)names->count + 1, sizeof(*names->ids));
    names->names = calloc((size_t)names->count + 1, sizeof(*names->names));
    MR_ASSERT(names->ids && names->names);
    for (int32_t i = 0; i < names->count; i++) {
        names->ids[i] = response->topics[i].topic_id;
        copy(names->names[i], response->topics[i].name);
    }
    return CLI_EXIT_OK;
}

static struct mr_str
name_of(const struct names *names, struct mr_str name, const struct mr_uuid *id)
{
    for (int32_t i = 0; name.size <= 0 && i < names->count; i++) {
        if (mr_uuid_equal(&names->ids[i], id)) {
            return mr_str_from_c(names->names[i]);
        }
    }
    return name;
}

static int
read_offsets(struct mr_client *client, const char *name, const struct names *names,
             struct cli_group *group)
{
    struct mr_offset_fetch_request_group wanted = {
        .group_id = mr_str_from_c(name),
        .member_id = mr_str_null(),
        .member_epoch = -1,
        .topics_count = -1,
    };
    struct mr_offset_fetch_request request;
    const struct mr_offset_fetch_response *response;
    const void *answer;

    mr_wire_init(&mr_offset_fetch_request_message, &request);
    request.group_id = wanted.group_id;
    request.topics_count = -1;
    request.groups = &wanted;
    request.groups_count = 1;
    if (mr_client_version(client, MR_API_OFFSET_FETCH) < 8) {
        return cli_failed("the broker is too old to tell a group's offsets");
    }
    if (mr_client_call(client, MR_API_OFFSET_FETCH, &request, &answer) != 0) {
        return cli_failed("%s", mr_client_error(client));
    }
    response = answer;
    if (response->groups_count != 1 || response->groups[0].error_code) {
        return cli_refused(name,
                           response->groups_count == 1 ? response->groups[0].error_code
                                                       : MR_KAFKA_UNKNOWN_SERVER_ERROR,
                           mr_str_null());
    }
    for (int32_t t = 0; t < response->groups[0].topics_count; t++) {
        const struct mr_offset_fetch_response_group_topic *topic = &response->groups[0].topics[t];

        for (int32_t p = 0; p < topic->partitions_count; p++) {
            cli_group_row(group, name_of(names, topic->name, &topic->topic_id),
                          topic->partitions[p].partition_index)
                ->committed = topic->partitions[p].committed_offset;
        }
    }
    return CLI_EXIT_OK;
}

static void
names_free(struct names *names)
{
    free(names->ids);
    free(names->names);
}

int
cli_group_topic_ids(struct mr_client *client, struct cli_group_row *rows, size_t row_count)
{
    struct names names = {0};
    int status = read_names(client, &names);

    for (size_t i = 0; i < row_count; i++) {
        for (int32_t n = 0; n < names.count; n++) {
            if (strcmp(rows[i].topic, names.names[n]) == 0) {
                rows[i].topic_id = names.ids[n];
            }
        }
    }
    names_free(&names);
    return status;
}

/* ---- positions in the logs ------------------------------------------------------------------- */

static void
fill_topics(const struct cli_group_row *rows, size_t row_count, int64_t timestamp,
            struct mr_list_offsets_request_topic *topics,
            struct mr_list_offsets_request_partition *partitions)
{
    for (size_t i = 0; i < row_count; i++) {
        partitions[i] = (struct mr_list_offsets_request_partition){
            .partition_index = rows[i].partition,
            .current_leader_epoch = -1,
            .timestamp = timestamp,
        };
        topics[i] = (struct mr_list_offsets_request_topic){
            .name = mr_str_from_c(rows[i].topic),
            .partitions = &partitions[i],
            .partitions_count = 1,
        };
    }
}

int
cli_group_list_offsets(struct mr_client *client, const struct cli_group_row *rows, size_t row_count,
                       int64_t timestamp, int64_t *offsets)
{
    struct mr_list_offsets_request_topic *topics = calloc(row_count + 1, sizeof(*topics));
    struct mr_list_offsets_request_partition *partitions =
        calloc(row_count + 1, sizeof(*partitions));
    struct mr_list_offsets_request request;
    const struct mr_list_offsets_response *response;
    const void *answer;
    int status = CLI_EXIT_OK;

    MR_ASSERT(topics && partitions);
    fill_topics(rows, row_count, timestamp, topics, partitions);
    mr_wire_init(&mr_list_offsets_request_message, &request);
    request.replica_id = -1;
    request.topics = topics;
    request.topics_count = (int32_t)row_count;
    if (mr_client_call(client, MR_API_LIST_OFFSETS, &request, &answer) != 0) {
        status = cli_failed("%s", mr_client_error(client));
    } else {
        response = answer;
        for (size_t i = 0; i < row_count; i++) {
            bool there = i < (size_t)response->topics_count &&
                         response->topics[i].partitions_count == 1 &&
                         response->topics[i].partitions[0].error_code == 0;

            offsets[i] = there ? response->topics[i].partitions[0].offset : -1;
        }
    }
    free(topics);
    free(partitions);
    return status;
}

static int
read_ends(struct mr_client *client, struct cli_group *group)
{
    int64_t *ends = calloc(group->row_count + 1, sizeof(*ends));
    int status;

    MR_ASSERT(ends);
    status = cli_group_list_offsets(client, group->rows, group->row_count, -1, ends);
    for (size_t i = 0; i < group->row_count && status == CLI_EXIT_OK; i++) {
        group->rows[i].end = ends[i];
    }
    free(ends);
    return status;
}

static int
compare_rows(const void *a, const void *b)
{
    const struct cli_group_row *left = a;
    const struct cli_group_row *right = b;
    int order = strcmp(left->topic, right->topic);

    return order ? order
                 : (left->partition > right->partition) - (left->partition < right->partition);
}

int
cli_group_read(struct mr_client *client, const char *name, bool is_new, struct cli_group *group)
{
    struct names names = {0};
    int status;

    memset(group, 0, sizeof(*group));
    status = read_members(client, name, is_new, group);
    if (status == CLI_EXIT_OK) {
        status = read_names(client, &names);
    }
    if (status == CLI_EXIT_OK) {
        status = read_offsets(client, name, &names, group);
    }
    if (status == CLI_EXIT_OK && group->row_count > 0) {
        qsort(group->rows, group->row_count, sizeof(*group->rows), compare_rows);
        status = read_ends(client, group);
    }
    names_free(&names);
    return status;
}
