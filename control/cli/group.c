/* control/cli/group.c: `millrace group`. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/cli.h"
#include "control/cli/group_rows.h"
#include "control/cli/table.h"
#include "dataplane/base/assert.h"
#include "dataplane/kafka/wire/wire.h"

#define TIMESTAMP_END   (-1)
#define TIMESTAMP_START (-2)

/* ---- running a command ------------------------------------------------------------------------
 */

static int
with_client(const struct cli_args *args,
            int (*run)(struct mr_client *client, const struct cli_args *args))
{
    struct mr_client *client = cli_connect(args);
    int status;

    if (!client) {
        return CLI_EXIT_FAILED;
    }
    status = cli_group_find(client, args->operand_count > 0 ? args->operands[0] : "millrace",
                            (unsigned)args->timeout_ms);
    if (status == CLI_EXIT_OK) {
        status = run(client, args);
    }
    mr_client_close(client);
    return status;
}

/* ---- list ------------------------------------------------------------------------------------ */

static int
compare_groups(const void *a, const void *b)
{
    const char *left = json_string_value(json_object_get(*(json_t *const *)a, "group"));
    const char *right = json_string_value(json_object_get(*(json_t *const *)b, "group"));

    return strcmp(left ? left : "", right ? right : "");
}

static json_t *
sorted(json_t *groups)
{
    size_t count = json_array_size(groups);
    json_t **order = calloc(count + 1, sizeof(json_t *));
    json_t *result = json_array();

    MR_ASSERT(order);
    for (size_t i = 0; i < count; i++) {
        order[i] = json_array_get(groups, i);
    }
    qsort(order, count, sizeof(json_t *), compare_groups);
    for (size_t i = 0; i < count; i++) {
        json_array_append(result, order[i]);
    }
    free(order);
    json_decref(groups);
    return result;
}

static void
print_groups(json_t *groups)
{
    static const char *const columns[] = {"GROUP", "STATE", "PROTOCOL TYPE"};
    static const char *const names[] = {"group", "state", "protocol_type"};
    struct cli_table table;

    cli_table_init(&table, columns, 3);
    for (size_t i = 0; i < json_array_size(groups); i++) {
        for (unsigned column = 0; column < 3; column++) {
            const json_t *cell = json_object_get(json_array_get(groups, i), names[column]);

            cli_table_cell(&table, "%s", json_is_string(cell) ? json_string_value(cell) : "");
        }
    }
    cli_table_print(&table, stdout);
    cli_table_free(&table);
}

/* Adds the groups whose coordinator the client is connected to. */
static int
collect_groups(struct mr_client *client, json_t *groups)
{
    struct mr_list_groups_request request;
    const struct mr_list_groups_response *response;
    const void *answer;

    mr_wire_init(&mr_list_groups_request_message, &request);
    if (mr_client_call(client, MR_API_LIST_GROUPS, &request, &answer) != 0) {
        return cli_failed("%s", mr_client_error(client));
    }
    response = answer;
    if (response->error_code) {
        return cli_refused("list", response->error_code, mr_str_null());
    }
    for (int32_t i = 0; i < response->groups_count; i++) {
        const struct mr_list_groups_response_group *group = &response->groups[i];
        json_t *object = json_object();

        json_object_set_new(object, "group", cli_json_str(group->group_id));
        json_object_set_new(object, "state", cli_json_str(group->group_state));
        json_object_set_new(object, "protocol_type", cli_json_str(group->protocol_type));
        json_array_append_new(groups, object);
    }
    return CLI_EXIT_OK;
}

/* Each broker lists its own groups. */
static int
collect_from_all(struct mr_client *client, const struct cli_args *args, json_t *groups)
{
    struct mr_metadata_request request;
    const struct mr_metadata_response *response;
    const void *answer;
    int status = CLI_EXIT_OK;

    mr_wire_init(&mr_metadata_request_message, &request);
    request.topics_count = 0;
    if (mr_client_call(client, MR_API_METADATA, &request, &answer) != 0) {
        return cli_failed("%s", mr_client_error(client));
    }
    response = answer;
    if (response->brokers_count == 1) {
        return collect_groups(client, groups);
    }
    for (int32_t i = 0; i < response->brokers_count && status == CLI_EXIT_OK; i++) {
        struct cli_args one = *args;
        char host[256];
        char address[512];
        struct mr_client *broker;

        snprintf(host, sizeof(host), "%.*s", response->brokers[i].host.size,
                 response->brokers[i].host.data);
        snprintf(address, sizeof(address), strchr(host, ':') ? "[%s]:%d" : "%s:%d", host,
                 response->brokers[i].port);
        one.bootstrap_server = address;
        broker = cli_connect(&one);
        status = broker ? collect_groups(broker, groups) : CLI_EXIT_FAILED;
        mr_client_close(broker);
    }
    return status;
}

static int
list(struct mr_client *client, const struct cli_args *args)
{
    json_t *groups = json_array();
    int status = collect_from_all(client, args, groups);

    groups = sorted(groups);
    if (status == CLI_EXIT_OK && args->json) {
        cli_json_print(json_incref(groups), false);
    } else if (status == CLI_EXIT_OK) {
        print_groups(groups);
    }
    json_decref(groups);
    return status;
}

static int
run_list(const struct cli_args *args)
{
    return with_client(args, list);
}

const struct cli_command cli_group_list = {
    .family = "group",
    .name = "list",
    .summary = "Lists the consumer groups",
    .run = run_list,
};

/* ---- describe -------------------------------------------------------------------------------- */

#define UNKNOWN INT64_MIN

static int64_t
known(int64_t offset)
{
    return offset < 0 ? UNKNOWN : offset;
}

/* Below 0 where the log ends before what was committed, as in Kafka's tool. */
static int64_t
lag(const struct cli_group_row *row)
{
    return row->committed >= 0 && row->end >= 0 ? row->end - row->committed : UNKNOWN;
}

/* What is not known is a dash, as in Kafka's tool. */
static void
number_cell(struct cli_table *table, int64_t value)
{
    if (value == UNKNOWN) {
        cli_table_cell(table, "-");
    } else {
        cli_table_cell(table, "%" PRId64, value);
    }
}

static void
print_rows(const struct cli_group *group)
{
    static const char *const columns[] = {
        "TOPIC",       ">PARTITION", ">CURRENT-OFFSET", ">LOG-END-OFFSET", ">LAG",
        "CONSUMER-ID", "HOST",       "CLIENT-ID"};
    struct cli_table table;

    cli_table_init(&table, columns, 8);
    for (size_t i = 0; i < group->row_count; i++) {
        const struct cli_group_row *row = &group->rows[i];

        cli_table_cell(&table, "%s", row->topic);
        cli_table_cell(&table, "%d", row->partition);
        number_cell(&table, known(row->committed));
        number_cell(&table, known(row->end));
        number_cell(&table, lag(row));
        cli_table_cell(&table, "%s", row->member[0] ? row->member : "-");
        cli_table_cell(&table, "%s", row->host[0] ? row->host : "-");
        cli_table_cell(&table, "%s", row->client[0] ? row->client : "-");
    }
    cli_table_print(&table, stdout);
    cli_table_free(&table);
}

static json_t *
number_json(int64_t value)
{
    return value == UNKNOWN ? json_null() : json_integer(value);
}

static void
print_json(const char *name, const struct cli_group *group)
{
    json_t *object = json_object();
    json_t *rows = json_array();

    for (size_t i = 0; i < group->row_count; i++) {
        const struct cli_group_row *row = &group->rows[i];
        json_t *one = json_object();

        json_object_set_new(one, "topic", json_string(row->topic));
        json_object_set_new(one, "partition", json_integer(row->partition));
        json_object_set_new(one, "current_offset", number_json(known(row->committed)));
        json_object_set_new(one, "log_end_offset", number_json(known(row->end)));
        json_object_set_new(one, "lag", number_json(lag(row)));
        json_object_set_new(one, "member_id", json_string(row->member));
        json_object_set_new(one, "host", json_string(row->host));
        json_object_set_new(one, "client_id", json_string(row->client));
        json_array_append_new(rows, one);
    }
    json_object_set_new(object, "group", json_string(name));
    json_object_set_new(object, "state", json_string(group->state));
    json_object_set_new(object, "assignor", json_string(group->protocol));
    json_object_set_new(object, "members", json_integer(group->member_count));
    json_object_set_new(object, "partitions", rows);
    cli_json_print(object, false);
}

static int
describe(struct mr_client *client, const struct cli_args *args)
{
    struct cli_group group;
    int status = cli_group_read(client, args->operands[0], false, &group);

    if (status == CLI_EXIT_OK && args->json) {
        print_json(args->operands[0], &group);
    } else if (status == CLI_EXIT_OK) {
        printf("group %s: %s, %d member%s%s%s\n\n", args->operands[0], group.state,
               group.member_count, group.member_count == 1 ? "" : "s",
               group.protocol[0] ? ", assignor " : "", group.protocol);
        print_rows(&group);
    }
    cli_group_free(&group);
    return status;
}

static int
run_describe(const struct cli_args *args)
{
    return with_client(args, describe);
}

const struct cli_command cli_group_describe = {
    .family = "group",
    .name = "describe",
    .operands = "GROUP",
    .summary = "Shows a group's members, committed offsets and lag",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_describe,
};

/* ---- delete ---------------------------------------------------------------------------------- */

static int
delete_groups(struct mr_client *client, const struct cli_args *args)
{
    struct mr_str names[CLI_OPERANDS_MAX];
    struct mr_delete_groups_request request;
    const struct mr_delete_groups_response *response;
    const void *answer;
    int status = CLI_EXIT_OK;

    mr_wire_init(&mr_delete_groups_request_message, &request);
    for (size_t i = 0; i < args->operand_count; i++) {
        names[i] = mr_str_from_c(args->operands[i]);
    }
    request.groups_names = names;
    request.groups_names_count = (int32_t)args->operand_count;
    if (mr_client_call(client, MR_API_DELETE_GROUPS, &request, &answer) != 0) {
        return cli_failed("%s", mr_client_error(client));
    }
    response = answer;
    for (int32_t i = 0; i < response->results_count; i++) {
        char name[CLI_GROUP_TEXT_SIZE];

        snprintf(name, sizeof(name), "%.*s", response->results[i].group_id.size,
                 response->results[i].group_id.data);
        if (response->results[i].error_code) {
            status = cli_refused(name, response->results[i].error_code, mr_str_null());
        } else {
            printf("deleted group %s\n", name);
        }
    }
    return status;
}

static int
run_delete(const struct cli_args *args)
{
    return with_client(args, delete_groups);
}

const struct cli_command cli_group_delete = {
    .family = "group",
    .name = "delete",
    .operands = "GROUP...",
    .summary = "Deletes groups that have no members, with their offsets",
    .operands_min = 1,
    .operands_max = CLI_OPERANDS_MAX,
    .run = run_delete,
};

/* ---- reset-offsets --------------------------------------------------------------------------- */

static const struct cli_option reset_options[] = {
    {.name = "--topic",
     .value = "NAME",
     .help = "reset this topic only (default: every topic with a committed offset)",
     .kind = CLI_TEXT,
     .offset = offsetof(struct cli_args, topic)},
    {.name = "--partition",
     .value = "N",
     .help = "reset this partition only (default: all)",
     .kind = CLI_NUMBER,
     .offset = offsetof(struct cli_args, partition),
     .min = 0,
     .max = INT32_MAX},
    {.name = "--offset",
     .value = "N|earliest|latest",
     .help = "where the group goes on",
     .kind = CLI_TEXT,
     .offset = offsetof(struct cli_args, offset)},
    {.name = "--time",
     .value = "MS",
     .help = "go on at the first record with this timestamp (ms since 1970) or a later one",
     .kind = CLI_NUMBER,
     .offset = offsetof(struct cli_args, time_ms),
     .min = 0,
     .max = INT64_MAX},
    {.name = "--shift",
     .value = "N",
     .help = "go N records on, or back where N is below 0",
     .kind = CLI_NUMBER,
     .offset = offsetof(struct cli_args, shift),
     .min = INT32_MIN,
     .max = INT32_MAX},
    {.name = "--execute",
     .help = "commit the new offsets (default: only show them)",
     .kind = CLI_FLAG,
     .offset = offsetof(struct cli_args, execute)},
};

static bool
chosen(const struct cli_args *args, const struct cli_group_row *row)
{
    return (!args->topic || strcmp(args->topic, row->topic) == 0) &&
           (args->partition < 0 || args->partition == row->partition);
}

/* The rows that are reset; `count_out` of them come first. */
static int
choose_rows(struct mr_client *client, const struct cli_args *args, struct cli_group *group,
            size_t *count_out)
{
    size_t kept = 0;

    if (args->topic) {
        int32_t count;
        int32_t *partitions = cli_topic_partitions(client, args->topic, false, &count);

        if (!partitions) {
            return CLI_EXIT_FAILED;
        }
        for (int32_t i = 0; i < count; i++) {
            cli_group_row(group, mr_str_from_c(args->topic), partitions[i]);
        }
        free(partitions);
    }
    for (size_t i = 0; i < group->row_count; i++) {
        if (chosen(args, &group->rows[i])) {
            group->rows[kept++] = group->rows[i];
        }
    }
    *count_out = kept;
    return kept > 0 ? CLI_EXIT_OK : cli_failed("the group has no such partition; name a --topic");
}

/* Within the log, as Kafka's tool does. */
static int64_t
clamp(int64_t offset, int64_t start, int64_t end)
{
    offset = offset > end ? end : offset;
    return offset < start ? start : offset;
}

/* The offset that one of --offset and --shift asks for. */
static int64_t
wanted_offset(const struct cli_args *args, int64_t number, const struct cli_group_row *row,
              int64_t start, int64_t end)
{
    if (args->shift != 0) {
        return clamp(row->committed + args->shift, start, end);
    }
    return strcmp(args->offset, "earliest") == 0 ? start
           : strcmp(args->offset, "latest") == 0 ? end
                                                 : clamp(number, start, end);
}

/* Whether the arguments make sense for these rows; `number` gets that of --offset. */
static int
check_wanted(const struct cli_args *args, const struct cli_group_row *rows, size_t count,
             int64_t *number)
{
    if (args->offset && strcmp(args->offset, "earliest") != 0 &&
        strcmp(args->offset, "latest") != 0 && cli_number(args->offset, 0, INT64_MAX, number)) {
        return cli_misused("--offset takes a number, earliest or latest, not \"%s\"", args->offset);
    }
    for (size_t i = 0; i < count; i++) {
        if (args->shift != 0 && rows[i].committed < 0) {
            return cli_failed("nothing to shift: no offset is committed in %s partition %d",
                              rows[i].topic, rows[i].partition);
        }
    }
    return CLI_EXIT_OK;
}

static int
new_offsets(struct mr_client *client, const struct cli_args *args, const struct cli_group_row *rows,
            size_t count, int64_t *offsets)
{
    int64_t *starts = calloc(count, sizeof(*starts));
    int64_t *ends = calloc(count, sizeof(*ends));
    int64_t number = -1;
    int status = check_wanted(args, rows, count, &number);

    MR_ASSERT(starts && ends);
    if (status == CLI_EXIT_OK) {
        status = cli_group_list_offsets(client, rows, count, TIMESTAMP_START, starts);
    }
    if (status == CLI_EXIT_OK) {
        status = cli_group_list_offsets(client, rows, count, TIMESTAMP_END, ends);
    }
    if (status == CLI_EXIT_OK && args->time_ms >= 0) {
        status = cli_group_list_offsets(client, rows, count, args->time_ms, offsets);
    }
    for (size_t i = 0; i < count && status == CLI_EXIT_OK; i++) {
        if (args->time_ms < 0) {
            offsets[i] = wanted_offset(args, number, &rows[i], starts[i], ends[i]);
        } else if (offsets[i] < 0) {
            offsets[i] = ends[i]; /* no such record */
        }
    }
    free(starts);
    free(ends);
    return status;
}

static bool
all_committed(const struct mr_offset_commit_response *response, const char *group)
{
    for (int32_t t = 0; t < response->topics_count; t++) {
        for (int32_t p = 0; p < response->topics[t].partitions_count; p++) {
            if (response->topics[t].partitions[p].error_code) {
                cli_refused(group, response->topics[t].partitions[p].error_code, mr_str_null());
                return false;
            }
        }
    }
    return true;
}

/* One request: all or, where the group has members, none. */
static int
commit_rows(struct mr_client *client, const struct cli_args *args, struct cli_group_row *rows,
            size_t count, const int64_t *offsets)
{
    struct mr_offset_commit_request_topic *topics = calloc(count, sizeof(*topics));
    struct mr_offset_commit_request_partition *partitions = calloc(count, sizeof(*partitions));
    struct mr_offset_commit_request request;
    const void *answer;
    int status = cli_group_topic_ids(client, rows, count);

    MR_ASSERT(topics && partitions);
    for (size_t i = 0; i < count; i++) {
        partitions[i] = (struct mr_offset_commit_request_partition){
            .partition_index = rows[i].partition,
            .committed_offset = offsets[i],
            .committed_leader_epoch = -1,
            .committed_metadata = mr_str_from_c(""),
        };
        topics[i] = (struct mr_offset_commit_request_topic){
            .name = mr_str_from_c(rows[i].topic),
            .topic_id = rows[i].topic_id,
            .partitions = &partitions[i],
            .partitions_count = 1,
        };
    }
    mr_wire_init(&mr_offset_commit_request_message, &request);
    request.group_id = mr_str_from_c(args->operands[0]);
    request.generation_id_or_member_epoch = -1;
    request.member_id = mr_str_from_c("");
    request.topics = topics;
    request.topics_count = (int32_t)count;
    if (status == CLI_EXIT_OK &&
        mr_client_call(client, MR_API_OFFSET_COMMIT, &request, &answer) != 0) {
        status = cli_failed("%s", mr_client_error(client));
    } else if (status == CLI_EXIT_OK && !all_committed(answer, args->operands[0])) {
        status = CLI_EXIT_FAILED;
    }
    free(topics);
    free(partitions);
    return status;
}

static void
print_reset(const struct cli_group_row *rows, size_t count, const int64_t *offsets, bool json)
{
    static const char *const columns[] = {"TOPIC", ">PARTITION", ">NEW-OFFSET"};
    json_t *array = json_array();
    struct cli_table table;

    cli_table_init(&table, columns, 3);
    for (size_t i = 0; i < count; i++) {
        json_t *object = json_object();

        json_object_set_new(object, "topic", json_string(rows[i].topic));
        json_object_set_new(object, "partition", json_integer(rows[i].partition));
        json_object_set_new(object, "new_offset", json_integer(offsets[i]));
        json_array_append_new(array, object);
        cli_table_cell(&table, "%s", rows[i].topic);
        cli_table_cell(&table, "%d", rows[i].partition);
        cli_table_cell(&table, "%" PRId64, offsets[i]);
    }
    if (json) {
        cli_json_print(json_incref(array), false);
    } else {
        cli_table_print(&table, stdout);
    }
    json_decref(array);
    cli_table_free(&table);
}

static int
reset(struct mr_client *client, const struct cli_args *args)
{
    struct cli_group group;
    int64_t *offsets = NULL;
    size_t count = 0;
    int status = cli_group_read(client, args->operands[0], args->topic, &group);

    if (status == CLI_EXIT_OK && group.member_count > 0) {
        status = cli_failed(
            "group %s is %s with %d member%s; only one without members can be reset",
            args->operands[0], group.state, group.member_count, group.member_count == 1 ? "" : "s");
    }
    if (status == CLI_EXIT_OK) {
        status = choose_rows(client, args, &group, &count);
    }
    if (status == CLI_EXIT_OK) {
        offsets = calloc(count, sizeof(*offsets));
        MR_ASSERT(offsets);
        status = new_offsets(client, args, group.rows, count, offsets);
    }
    if (status == CLI_EXIT_OK && args->execute) {
        status = commit_rows(client, args, group.rows, count, offsets);
    }
    if (status == CLI_EXIT_OK) {
        print_reset(group.rows, count, offsets, args->json);
        if (!args->execute) {
            fputs("nothing was changed; --execute commits these offsets\n", stderr);
        }
    }
    free(offsets);
    cli_group_free(&group);
    return status;
}

static int
run_reset(const struct cli_args *args)
{
    if ((args->offset != NULL) + (args->time_ms >= 0) + (args->shift != 0) != 1) {
        return cli_misused("give one of --offset, --time and --shift");
    }
    return with_client(args, reset);
}

const struct cli_command cli_group_reset_offsets = {
    .family = "group",
    .name = "reset-offsets",
    .operands = "GROUP",
    .summary = "Moves a group's committed offsets",
    .details = "The group must have no members; with --topic it need not be there yet. Without\n"
               "--execute the new offsets are only shown.\n"
               "\nFor example, to read a topic once more:\n"
               "  millrace group reset-offsets billing --topic orders --offset earliest --execute",
    .options = reset_options,
    .option_count = sizeof(reset_options) / sizeof(reset_options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_reset,
};
