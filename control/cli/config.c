/* control/cli/config.c: `millrace config`. */
#include <stdlib.h>
#include <string.h>

#include "control/cli/cli.h"
#include "control/cli/table.h"
#include "dataplane/kafka/wire/wire.h"

#define SOURCE_DEFAULT 5
#define OP_SET         0
#define OP_DELETE      1

static const char *
source_name(int8_t source)
{
    static const char *const names[] = {"unknown", "topic",  "broker",
                                        "cluster", "static", "default"};

    return source > 0 && source <= SOURCE_DEFAULT ? names[source] : names[0];
}

/* -1 after the error was printed. */
static int8_t
resource_type(const char *name)
{
    if (strcmp(name, "topic") == 0) {
        return CLI_RESOURCE_TOPIC;
    }
    if (strcmp(name, "broker") == 0) {
        return CLI_RESOURCE_BROKER;
    }
    cli_misused("\"%s\" has no configuration: topic NAME, broker ID, or broker for all", name);
    return -1;
}

/* The name of what is meant: "" is every broker. */
static const char *
resource_name(const struct cli_args *args)
{
    return args->operand_count > 1 ? args->operands[1] : "";
}

/* ---- describe -------------------------------------------------------------------------------- */

static const struct cli_option describe_options[] = {
    {.name = "--all",
     .help = "also what has its built-in value",
     .kind = CLI_FLAG,
     .offset = offsetof(struct cli_args, all)},
};

static bool
shown(const struct mr_describe_configs_response_config *config, const struct cli_args *args)
{
    return args->all || config->config_source != SOURCE_DEFAULT;
}

static void
print_table(const struct mr_describe_configs_response_result *result, const struct cli_args *args)
{
    static const char *const columns[] = {"KEY", "VALUE", "FROM", "CHANGES"};
    struct cli_table table;

    cli_table_init(&table, columns, 4);
    for (int32_t i = 0; i < result->configs_count; i++) {
        const struct mr_describe_configs_response_config *config = &result->configs[i];

        if (shown(config, args)) {
            cli_table_cell(&table, "%.*s", config->name.size, config->name.data);
            cli_table_cell(&table, "%.*s", config->value.size > 0 ? config->value.size : 1,
                           config->value.size > 0 ? config->value.data : "-");
            cli_table_cell(&table, "%s", source_name(config->config_source));
            cli_table_cell(&table, "%s", config->read_only ? "at restart" : "at once");
        }
    }
    cli_table_print(&table, stdout);
    cli_table_free(&table);
}

static void
print_json(const struct mr_describe_configs_response_result *result, const struct cli_args *args)
{
    json_t *list = json_array();

    for (int32_t i = 0; i < result->configs_count; i++) {
        const struct mr_describe_configs_response_config *config = &result->configs[i];
        json_t *object;

        if (!shown(config, args)) {
            continue;
        }
        object = json_object();
        json_object_set_new(object, "key", cli_json_str(config->name));
        json_object_set_new(object, "value", cli_json_str(config->value));
        json_object_set_new(object, "source", json_string(source_name(config->config_source)));
        json_object_set_new(object, "read_only", json_boolean(config->read_only));
        json_object_set_new(object, "documentation", cli_json_str(config->documentation));
        json_array_append_new(list, object);
    }
    cli_json_print(list, false);
}

static int
describe(struct mr_client *client, int8_t type, const struct cli_args *args)
{
    struct mr_describe_configs_request_resource resource = {
        .resource_type = type,
        .resource_name = mr_str_from_c(resource_name(args)),
        .configuration_keys_count = -1,
    };
    struct mr_describe_configs_request request;
    const struct mr_describe_configs_response *response;
    const void *answer;

    mr_wire_init(&mr_describe_configs_request_message, &request);
    request.resources = &resource;
    request.resources_count = 1;
    request.include_documentation = args->json;
    if (mr_client_call(client, MR_API_DESCRIBE_CONFIGS, &request, &answer) != 0) {
        return cli_failed("%s", mr_client_error(client));
    }
    response = answer;
    if (response->results_count != 1) {
        return cli_failed("the broker did not answer about %s", resource_name(args));
    }
    if (response->results[0].error_code != 0) {
        return cli_refused(resource_name(args), response->results[0].error_code,
                           response->results[0].error_message);
    }
    if (args->json) {
        print_json(&response->results[0], args);
    } else {
        print_table(&response->results[0], args);
    }
    return CLI_EXIT_OK;
}

static int
run_describe(const struct cli_args *args)
{
    int8_t type = resource_type(args->operands[0]);
    struct mr_client *client = type > 0 ? cli_connect(args) : NULL;
    int status;

    if (!client) {
        return type > 0 ? CLI_EXIT_FAILED : CLI_EXIT_USAGE;
    }
    status = describe(client, type, args);
    mr_client_close(client);
    return status;
}

const struct cli_command cli_config_describe = {
    .family = "config",
    .name = "describe",
    .operands = "topic|broker [NAME]",
    .summary = "Shows the settings of a topic, of a broker, or of all brokers",
    .details =
        "FROM tells where a value comes from: the topic itself, this broker or all brokers\n"
        "(\"cluster\") while they run, the broker's files (\"static\"), or what is built in.\n"
        "\nFor example:\n  millrace config describe topic orders --all\n"
        "  millrace config describe broker 1",
    .options = describe_options,
    .option_count = sizeof(describe_options) / sizeof(describe_options[0]),
    .operands_min = 1,
    .operands_max = 2,
    .run = run_describe,
};

/* ---- alter ----------------------------------------------------------------------------------- */

static const struct cli_option alter_options[] = {
    {.name = "--config",
     .value = "KEY=VALUE",
     .help = "sets a setting; may be given several times",
     .kind = CLI_CONFIG},
    {.name = "--delete-config",
     .value = "KEY",
     .help = "back to what is below it; may be given several times",
     .kind = CLI_KEY},
};

int
cli_configs_alter(struct mr_client *client, int8_t type, const char *name,
                  const struct cli_args *args)
{
    struct mr_incremental_alter_configs_request_config configs[2 * CLI_CONFIGS_MAX];
    struct mr_incremental_alter_configs_request_resource resource = {
        .resource_type = type, .resource_name = mr_str_from_c(name), .configs = configs};
    struct mr_incremental_alter_configs_request request;
    const struct mr_incremental_alter_configs_response *response;
    const void *answer;

    for (size_t i = 0; i < args->config_count; i++) {
        const char *equals = strchr(args->configs[i], '=');

        configs[resource.configs_count++] = (struct mr_incremental_alter_configs_request_config){
            {args->configs[i], (int32_t)(equals - args->configs[i])},
            OP_SET,
            mr_str_from_c(equals + 1)};
    }
    for (size_t i = 0; i < args->delete_config_count; i++) {
        configs[resource.configs_count++] = (struct mr_incremental_alter_configs_request_config){
            mr_str_from_c(args->delete_configs[i]), OP_DELETE, mr_str_null()};
    }
    mr_wire_init(&mr_incremental_alter_configs_request_message, &request);
    request.resources = &resource;
    request.resources_count = 1;
    if (mr_client_call(client, MR_API_INCREMENTAL_ALTER_CONFIGS, &request, &answer) != 0) {
        return cli_failed("%s", mr_client_error(client));
    }
    response = answer;
    if (response->responses_count == 1 && response->responses[0].error_code != 0) {
        return cli_refused(name[0] ? name : "all brokers", response->responses[0].error_code,
                           response->responses[0].error_message);
    }
    return CLI_EXIT_OK;
}

static int
run_alter(const struct cli_args *args)
{
    int8_t type = resource_type(args->operands[0]);
    struct mr_client *client;
    int status;

    if (type < 0) {
        return CLI_EXIT_USAGE;
    }
    if (args->config_count + args->delete_config_count == 0) {
        return cli_misused("nothing to change: --config or --delete-config");
    }
    client = cli_connect(args);
    if (!client) {
        return CLI_EXIT_FAILED;
    }
    status = cli_configs_alter(client, type, resource_name(args), args);
    mr_client_close(client);
    if (status == CLI_EXIT_OK && !args->json) {
        printf("altered %s %s\n", args->operands[0],
               args->operand_count > 1 ? args->operands[1] : "defaults");
    }
    return status;
}

const struct cli_command cli_config_alter = {
    .family = "config",
    .name = "alter",
    .operands = "topic|broker [NAME]",
    .summary = "Changes the settings of a topic, of a broker, or of all brokers",
    .details = "What changes acts at once, all of it or nothing.\n\nFor example:\n"
               "  millrace config alter broker --config log.retention.ms=86400000\n"
               "  millrace config alter topic orders --delete-config retention.ms",
    .options = alter_options,
    .option_count = sizeof(alter_options) / sizeof(alter_options[0]),
    .operands_min = 1,
    .operands_max = 2,
    .run = run_alter,
};
