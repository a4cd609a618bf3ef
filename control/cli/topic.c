/* control/cli/topic.c: `millrace topic`. */
#include <stdlib.h>
#include <string.h>

#include "control/cli/cli.h"
#include "control/cli/table.h"
#include "dataplane/base/uuid.h"
#include "dataplane/kafka/wire/wire.h"

#define RESOURCE_TOPIC       2 /* DescribeConfigs: the kind of resource */
#define SOURCE_DYNAMIC_TOPIC 1 /* DescribeConfigs: a value set for this topic */
#define NAME_SIZE            256
#define CONFIGS_SIZE         4096

/* ---- create ---- */

static const struct cli_option create_options[] = {
    {.name = "--partitions",
     .value = "N",
     .help = "how many partitions (default: the broker's num.partitions)",
     .kind = CLI_NUMBER,
     .offset = offsetof(struct cli_args, partitions),
     .min = 1,
     .max = 1000000},
    {.name = "--replication-factor",
     .value = "N",
     .help = "how many copies of each partition (default: the broker's)",
     .kind = CLI_NUMBER,
     .offset = offsetof(struct cli_args, replication_factor),
     .min = 1,
     .max = 32767},
    {.name = "--config",
     .value = "KEY=VALUE",
     .help = "a setting of the topic; may be given several times",
     .kind = CLI_CONFIG},
};

static void
print_created(const struct mr_create_topics_response_topic *topic, bool json)
{
    char id[MR_UUID_TEXT_SIZE];

    mr_uuid_format(&topic->topic_id, id);
    if (json) {
        json_t *object = json_object();

        json_object_set_new(object, "name", cli_json_str(topic->name));
        json_object_set_new(object, "topic_id", json_string(id));
        json_object_set_new(object, "partitions", json_integer(topic->num_partitions));
        json_object_set_new(object, "replication_factor", json_integer(topic->replication_factor));
        cli_json_print(object, false);
    } else if (topic->num_partitions > 0) {
        printf("created topic %.*s with %d partition%s\n", topic->name.size, topic->name.data,
               topic->num_partitions, topic->num_partitions == 1 ? "" : "s");
    } else {
        printf("created topic %.*s\n", topic->name.size, topic->name.data);
    }
}

static int
create(struct mr_client *client, const struct cli_args *args)
{
    struct mr_create_topics_request_config configs[CLI_CONFIGS_MAX];
    struct mr_create_topics_request_topic topic = {0};
    struct mr_create_topics_request request;
    const struct mr_create_topics_response *response;
    const void *answer;

    for (size_t i = 0; i < args->config_count; i++) {
        const char *text = args->configs[i];
        const char *equals = strchr(text, '=');

        configs[i].name = (struct mr_str){text, (int32_t)(equals - text)};
        configs[i].value = mr_str_from_c(equals + 1);
    }
    topic.name = mr_str_from_c(args->operands[0]);
    topic.num_partitions = (int32_t)args->partitions;
    topic.replication_factor = (int16_t)args->replication_factor;
    topic.configs = configs;
    topic.configs_count = (int32_t)args->config_count;
    mr_wire_init(&mr_create_topics_request_message, &request);
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = (int32_t)args->timeout_ms;
    if (mr_client_call(client, MR_API_CREATE_TOPICS, &request, &answer) != 0) {
        return cli_failed("%s", mr_client_error(client));
    }
    response = answer;
    if (response->topics_count != 1) {
        return cli_failed("the broker did not answer about topic %s", args->operands[0]);
    }
    if (response->topics[0].error_code != 0) {
        return cli_refused(args->operands[0], response->topics[0].error_code,
                           response->topics[0].error_message);
    }
    print_created(&response->topics[0], args->json);
    return CLI_EXIT_OK;
}

/* ---- delete ---- */

/* Fills both ways in which the versions name topics. */
static int
delete_topics(struct mr_client *client, const struct cli_args *args)
{
    struct mr_delete_topics_request_topic topics[CLI_OPERANDS_MAX];
    struct mr_str names[CLI_OPERANDS_MAX];
    struct mr_delete_topics_request request;
    const struct mr_delete_topics_response *response;
    const void *answer;
    int status = CLI_EXIT_OK;
    json_t *deleted;

    mr_wire_init(&mr_delete_topics_request_message, &request);
    for (size_t i = 0; i < args->operand_count; i++) {
        names[i] = mr_str_from_c(args->operands[i]);
        topics[i] = (struct mr_delete_topics_request_topic){.name = names[i]};
    }
    request.topics = topics;
    request.topics_count = (int32_t)args->operand_count;
    request.topic_names = names;
    request.topic_names_count = (int32_t)args->operand_count;
    request.timeout_ms = (int32_t)args->timeout_ms;
    if (mr_client_call(client, MR_API_DELETE_TOPICS, &request, &answer) != 0) {
        return cli_failed("%s", mr_client_error(client));
    }
    response = answer;
    deleted = json_array();
    for (int32_t i = 0; i < response->responses_count; i++) {
        const struct mr_delete_topics_response_topic *topic = &response->responses[i];
        char name[NAME_SIZE];

        snprintf(name, sizeof(name), "%.*s", topic->name.size > 0 ? topic->name.size : 0,
                 topic->name.data ? topic->name.data : "");
        if (topic->error_code != 0) {
            status = cli_refused(name, topic->error_code, topic->error_message);
        } else if (args->json) {
            json_array_append_new(deleted, cli_json_str(topic->name));
        } else {
            printf("deleted topic %s\n", name);
        }
    }
    if (args->json) {
        cli_json_print(deleted, false);
    } else {
        json_decref(deleted);
    }
    return status;
}

/* ---- list and describe ---- */

/* Asks about one topic, or about all where `name` is NULL. NULL after the error was printed. */
static const struct mr_metadata_response *
metadata(struct mr_client *client, const char *name)
{
    struct mr_metadata_request_topic topic = {.name = mr_str_from_c(name)};
    struct mr_metadata_request request;
    const void *answer;

    mr_wire_init(&mr_metadata_request_message, &request);
    request.topics = name ? &topic : NULL;
    request.topics_count = name ? 1 : -1;
    request.allow_auto_topic_creation = false;
    if (mr_client_call(client, MR_API_METADATA, &request, &answer) != 0) {
        cli_failed("%s", mr_client_error(client));
        return NULL;
    }
    return answer;
}

static int32_t
replication_factor(const struct mr_metadata_response_topic *topic)
{
    return topic->partitions_count > 0 ? topic->partitions[0].replica_nodes_count : 0;
}

static int
compare_topics(const void *a, const void *b)
{
    const struct mr_metadata_response_topic *left = a;
    const struct mr_metadata_response_topic *right = b;
    int32_t common = left->name.size < right->name.size ? left->name.size : right->name.size;
    int order = common > 0 ? memcmp(left->name.data, right->name.data, (size_t)common) : 0;

    return order != 0 ? order
                      : (left->name.size > right->name.size) - (left->name.size < right->name.size);
}

static void
list_table(const struct mr_metadata_response *response)
{
    static const char *const columns[] = {"TOPIC", ">PARTITIONS", ">REPLICATION", "ID"};
    struct cli_table table;

    cli_table_init(&table, columns, 4);
    for (int32_t i = 0; i < response->topics_count; i++) {
        const struct mr_metadata_response_topic *topic = &response->topics[i];
        char id[MR_UUID_TEXT_SIZE];

        mr_uuid_format(&topic->topic_id, id);
        cli_table_cell(&table, "%.*s", topic->name.size, topic->name.data);
        cli_table_cell(&table, "%d", topic->partitions_count);
        cli_table_cell(&table, "%d", replication_factor(topic));
        cli_table_cell(&table, "%s", id);
    }
    cli_table_print(&table, stdout);
    cli_table_free(&table);
}

static json_t *
topic_json(const struct mr_metadata_response_topic *topic)
{
    json_t *object = json_object();
    char id[MR_UUID_TEXT_SIZE];

    mr_uuid_format(&topic->topic_id, id);
    json_object_set_new(object, "name", cli_json_str(topic->name));
    json_object_set_new(object, "topic_id", json_string(id));
    json_object_set_new(object, "internal", json_boolean(topic->is_internal));
    json_object_set_new(object, "partition_count", json_integer(topic->partitions_count));
    json_object_set_new(object, "replication_factor", json_integer(replication_factor(topic)));
    return object;
}

static int
list(struct mr_client *client, const struct cli_args *args)
{
    const struct mr_metadata_response *response = metadata(client, NULL);
    json_t *array;

    if (!response) {
        return CLI_EXIT_FAILED;
    }
    if (response->topics_count > 1) {
        qsort(response->topics, (size_t)response->topics_count, sizeof(response->topics[0]),
              compare_topics);
    }
    if (!args->json) {
        list_table(response);
        return CLI_EXIT_OK;
    }
    array = json_array();
    for (int32_t i = 0; i < response->topics_count; i++) {
        json_array_append_new(array, topic_json(&response->topics[i]));
    }
    cli_json_print(array, false);
    return CLI_EXIT_OK;
}

static json_t *
ints_json(const int32_t *numbers, int32_t count)
{
    json_t *array = json_array();

    for (int32_t i = 0; i < count; i++) {
        json_array_append_new(array, json_integer(numbers[i]));
    }
    return array;
}

static json_t *
partitions_json(const struct mr_metadata_response_topic *topic)
{
    json_t *array = json_array();

    for (int32_t i = 0; i < topic->partitions_count; i++) {
        const struct mr_metadata_response_partition *part = &topic->partitions[i];
        json_t *object = json_object();

        json_object_set_new(object, "partition", json_integer(part->partition_index));
        json_object_set_new(object, "leader", json_integer(part->leader_id));
        json_object_set_new(object, "leader_epoch", json_integer(part->leader_epoch));
        json_object_set_new(object, "replicas",
                            ints_json(part->replica_nodes, part->replica_nodes_count));
        json_object_set_new(object, "isr", ints_json(part->isr_nodes, part->isr_nodes_count));
        json_object_set_new(object, "offline",
                            ints_json(part->offline_replicas, part->offline_replicas_count));
        json_array_append_new(array, object);
    }
    return array;
}

static void
ints_text(const int32_t *numbers, int32_t count, char *out, size_t size)
{
    size_t used = 0;

    snprintf(out, size, "-");
    for (int32_t i = 0; i < count && used + 1 < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s%d", i > 0 ? "," : "", numbers[i]);
    }
}

static int
compare_partitions(const void *a, const void *b)
{
    const struct mr_metadata_response_partition *left = a;
    const struct mr_metadata_response_partition *right = b;

    return (left->partition_index > right->partition_index) -
           (left->partition_index < right->partition_index);
}

static void
partitions_table(const struct mr_metadata_response_topic *topic)
{
    static const char *const columns[] = {">PARTITION", ">LEADER", "REPLICAS", "IN SYNC",
                                          "OFFLINE"};
    struct cli_table table;

    cli_table_init(&table, columns, 5);
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        const struct mr_metadata_response_partition *part = &topic->partitions[i];
        char text[NAME_SIZE];

        cli_table_cell(&table, "%d", part->partition_index);
        if (part->leader_id >= 0) {
            cli_table_cell(&table, "%d", part->leader_id);
        } else {
            cli_table_cell(&table, "none");
        }
        ints_text(part->replica_nodes, part->replica_nodes_count, text, sizeof(text));
        cli_table_cell(&table, "%s", text);
        ints_text(part->isr_nodes, part->isr_nodes_count, text, sizeof(text));
        cli_table_cell(&table, "%s", text);
        ints_text(part->offline_replicas, part->offline_replicas_count, text, sizeof(text));
        cli_table_cell(&table, "%s", text);
    }
    cli_table_print(&table, stdout);
    cli_table_free(&table);
}

/* The settings that were made for this topic; an empty object where the broker cannot say. The
 * answer of the client's call before is gone afterwards. */
static json_t *
topic_configs(struct mr_client *client, const char *name)
{
    struct mr_describe_configs_request_resource resource = {.resource_type = RESOURCE_TOPIC,
                                                            .resource_name = mr_str_from_c(name),
                                                            .configuration_keys_count = -1};
    struct mr_describe_configs_request request;
    const struct mr_describe_configs_response *response;
    json_t *object = json_object();
    const void *answer;

    mr_wire_init(&mr_describe_configs_request_message, &request);
    request.resources = &resource;
    request.resources_count = 1;
    if (mr_client_call(client, MR_API_DESCRIBE_CONFIGS, &request, &answer) != 0) {
        return object;
    }
    response = answer;
    for (int32_t i = 0; response->results_count == 1 && i < response->results[0].configs_count;
         i++) {
        const struct mr_describe_configs_response_config *config = &response->results[0].configs[i];
        char key[NAME_SIZE];

        if (config->config_source == SOURCE_DYNAMIC_TOPIC) {
            snprintf(key, sizeof(key), "%.*s", config->name.size, config->name.data);
            json_object_set_new(object, key, cli_json_str(config->value));
        }
    }
    return object;
}

/* Prints what stands in `topic`, a description as describe_one() makes it. */
static void
print_heading(const json_t *topic, json_t *configs)
{
    const char *key;
    json_t *value;

    printf("Topic %s\n", json_string_value(json_object_get(topic, "name")));
    printf("  id                  %s\n", json_string_value(json_object_get(topic, "topic_id")));
    printf("  replication factor  %d\n",
           (int)json_integer_value(json_object_get(topic, "replication_factor")));
    json_object_foreach(configs, key, value)
    {
        printf("  %-18s  %s\n", key, json_is_string(value) ? json_string_value(value) : "null");
    }
}

static int
describe_one(struct mr_client *client, const char *name, const struct cli_args *args,
             json_t *described)
{
    json_t *configs = topic_configs(client, name);
    const struct mr_metadata_response *response = metadata(client, name);
    const struct mr_metadata_response_topic *topic;
    int status = CLI_EXIT_FAILED;
    json_t *object;

    if (!response) {
        goto out;
    }
    if (response->topics_count != 1) {
        cli_failed("the broker did not answer about topic %s", name);
        goto out;
    }
    topic = &response->topics[0];
    if (topic->error_code != 0) {
        cli_refused(name, topic->error_code, mr_str_null());
        goto out;
    }
    if (topic->partitions_count > 1) {
        qsort(topic->partitions, (size_t)topic->partitions_count, sizeof(topic->partitions[0]),
              compare_partitions);
    }
    object = topic_json(topic);
    if (args->json) {
        json_object_set(object, "configs", configs);
        json_object_set_new(object, "partitions", partitions_json(topic));
        json_array_append(described, object);
    } else {
        print_heading(object, configs);
        partitions_table(topic);
    }
    json_decref(object);
    status = CLI_EXIT_OK;
out:
    json_decref(configs);
    return status;
}

/* Copies all names first: each topic's own calls replace the answer that holds them. */
static int
describe(struct mr_client *client, const struct cli_args *args)
{
    const struct mr_metadata_response *response;
    json_t *names = json_array();
    json_t *described = json_array();
    int status = CLI_EXIT_OK;

    if (args->operand_count > 0) {
        json_array_append_new(names, json_string(args->operands[0]));
    } else {
        response = metadata(client, NULL);
        if (!response) {
            status = CLI_EXIT_FAILED;
        }
        for (int32_t i = 0; response && i < response->topics_count; i++) {
            json_array_append_new(names, cli_json_str(response->topics[i].name));
        }
    }
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));

        if (i > 0 && !args->json) {
            putchar('\n');
        }
        if (describe_one(client, name, args, described) != CLI_EXIT_OK) {
            status = CLI_EXIT_FAILED;
        }
    }
    if (args->json && status == CLI_EXIT_OK) {
        cli_json_print(json_incref(described), false);
    }
    json_decref(names);
    json_decref(described);
    return status;
}

/* ---- The commands ---- */

static int
with_client(const struct cli_args *args,
            int (*verb)(struct mr_client *client, const struct cli_args *args))
{
    struct mr_client *client = cli_connect(args);
    int status;

    if (!client) {
        return CLI_EXIT_FAILED;
    }
    status = verb(client, args);
    mr_client_close(client);
    return status;
}

static int
run_create(const struct cli_args *args)
{
    return with_client(args, create);
}

static int
run_list(const struct cli_args *args)
{
    return with_client(args, list);
}

static int
run_describe(const struct cli_args *args)
{
    return with_client(args, describe);
}

static int
run_delete(const struct cli_args *args)
{
    return with_client(args, delete_topics);
}

/* ---- alter ---- */

static const struct cli_option alter_options[] = {
    {.name = "--partitions",
     .value = "N",
     .help = "so many partitions from now on; never fewer than before",
     .kind = CLI_NUMBER,
     .offset = offsetof(struct cli_args, partitions),
     .min = 1,
     .max = 1000000},
    {.name = "--config",
     .value = "KEY=VALUE",
     .help = "sets a setting of the topic; may be given several times",
     .kind = CLI_CONFIG},
    {.name = "--delete-config",
     .value = "KEY",
     .help = "back to the broker's default; may be given several times",
     .kind = CLI_KEY},
};

static int
grow(struct mr_client *client, const struct cli_args *args)
{
    struct mr_create_partitions_request_topic topic = {
        .name = mr_str_from_c(args->operands[0]),
        .count = (int32_t)args->partitions,
        .assignments_count = -1,
    };
    struct mr_create_partitions_request request;
    const struct mr_create_partitions_response *response;
    const void *answer;

    mr_wire_init(&mr_create_partitions_request_message, &request);
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = (int32_t)args->timeout_ms;
    if (mr_client_call(client, MR_API_CREATE_PARTITIONS, &request, &answer) != 0) {
        return cli_failed("%s", mr_client_error(client));
    }
    response = answer;
    if (response->results_count == 1 && response->results[0].error_code != 0) {
        return cli_refused(args->operands[0], response->results[0].error_code,
                           response->results[0].error_message);
    }
    return CLI_EXIT_OK;
}

static int
run_alter(const struct cli_args *args)
{
    bool configs = args->config_count + args->delete_config_count > 0;
    struct mr_client *client;
    int status = CLI_EXIT_OK;

    if (args->partitions < 0 && !configs) {
        return cli_misused("nothing to change: --partitions, --config or --delete-config");
    }
    client = cli_connect(args);
    if (!client) {
        return CLI_EXIT_FAILED;
    }
    if (configs) {
        status = cli_configs_alter(client, CLI_RESOURCE_TOPIC, args->operands[0], args);
    }
    if (status == CLI_EXIT_OK && args->partitions >= 0) {
        status = grow(client, args);
    }
    mr_client_close(client);
    if (status == CLI_EXIT_OK && !args->json) {
        printf("altered topic %s\n", args->operands[0]);
    }
    return status;
}

const struct cli_command cli_topic_alter = {
    .family = "topic",
    .name = "alter",
    .operands = "NAME",
    .summary = "Gives a topic more partitions or other settings",
    .details = "The settings change first, all of them or none.\n\nFor example:\n"
               "  millrace topic alter orders --partitions 12 --config retention.ms=86400000",
    .options = alter_options,
    .option_count = sizeof(alter_options) / sizeof(alter_options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_alter,
};

const struct cli_command cli_topic_create = {
    .family = "topic",
    .name = "create",
    .operands = "NAME",
    .summary = "Creates a topic",
    .details = "For example, six partitions whose records are kept for a day:\n"
               "  millrace topic create orders --partitions 6 --config retention.ms=86400000",
    .options = create_options,
    .option_count = sizeof(create_options) / sizeof(create_options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_create,
};

const struct cli_command cli_topic_list = {
    .family = "topic",
    .name = "list",
    .summary = "Lists all topics",
    .run = run_list,
};

const struct cli_command cli_topic_describe = {
    .family = "topic",
    .name = "describe",
    .operands = "[NAME]",
    .summary = "Shows a topic's partitions and settings, or those of all topics",
    .details = "Settings are shown where they were made for the topic; the broker's defaults hold\n"
               "for the rest.",
    .operands_max = 1,
    .run = run_describe,
};

const struct cli_command cli_topic_delete = {
    .family = "topic",
    .name = "delete",
    .operands = "NAME...",
    .summary = "Deletes topics and all their records",
    .operands_min = 1,
    .operands_max = CLI_OPERANDS_MAX,
    .run = run_delete,
};
