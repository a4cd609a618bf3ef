/* control/cli/quota.c: `millrace quota`. */
#include <stdlib.h>
#include <string.h>

#include "control/cli/cli.h"
#include "control/cli/table.h"
#include "dataplane/kafka/wire/wire.h"

#define ENTITY_PARTS  3
#define MATCH_EXACT   0
#define MATCH_DEFAULT 1
#define DEFAULT_NAME  "<default>"
#define NAME_SIZE     512

#define ENTITY_OPTIONS                                                                             \
    {.name = "--client-id",                                                                        \
     .value = "NAME",                                                                              \
     .help = "a client id; " DEFAULT_NAME " for those without a quota of their own",               \
     .kind = CLI_TEXT,                                                                             \
     .offset = offsetof(struct cli_args, client_id)},                                              \
        {.name = "--user",                                                                         \
         .value = "NAME",                                                                          \
         .help = "a user, or " DEFAULT_NAME,                                                       \
         .kind = CLI_TEXT,                                                                         \
         .offset = offsetof(struct cli_args, user)},                                               \
    {                                                                                              \
        .name = "--ip", .value = "ADDRESS", .help = "an address, or " DEFAULT_NAME,                \
        .kind = CLI_TEXT, .offset = offsetof(struct cli_args, ip)                                  \
    }

/* One part of an entity, as the arguments name it. */
struct part {
    const char *type;
    const char *name; /* NULL: the default */
};

static size_t
take_parts(const struct cli_args *args, struct part parts[ENTITY_PARTS])
{
    const struct part given[ENTITY_PARTS] = {
        {"client-id", args->client_id}, {"user", args->user}, {"ip", args->ip}};
    size_t count = 0;

    for (size_t i = 0; i < ENTITY_PARTS; i++) {
        if (given[i].name) {
            parts[count] = given[i];
            if (strcmp(given[i].name, DEFAULT_NAME) == 0) {
                parts[count].name = NULL;
            }
            count++;
        }
    }
    return count;
}

/* ---- describe -------------------------------------------------------------------------------- */

static const struct cli_option describe_options[] = {ENTITY_OPTIONS};

static void
entity_text(const struct mr_describe_client_quotas_response_entry *entry, char *out, size_t size)
{
    size_t used = 0;

    out[0] = 0;
    for (int32_t i = 0; i < entry->entity_count && used + 1 < size; i++) {
        struct mr_str name = entry->entity[i].entity_name;

        used +=
            (size_t)snprintf(out + used, size - used, "%s%.*s=%.*s", i > 0 ? "," : "",
                             entry->entity[i].entity_type.size, entry->entity[i].entity_type.data,
                             name.size < 0 ? (int)strlen(DEFAULT_NAME) : name.size,
                             name.size < 0 ? DEFAULT_NAME : name.data);
    }
}

static void
print_table(const struct mr_describe_client_quotas_response *response)
{
    static const char *const columns[] = {"CLIENTS", "QUOTA", ">VALUE"};
    struct cli_table table;
    char name[NAME_SIZE];

    cli_table_init(&table, columns, 3);
    for (int32_t i = 0; i < response->entries_count; i++) {
        const struct mr_describe_client_quotas_response_entry *entry = &response->entries[i];

        entity_text(entry, name, sizeof(name));
        for (int32_t k = 0; k < entry->values_count; k++) {
            cli_table_cell(&table, "%s", name);
            cli_table_cell(&table, "%.*s", entry->values[k].key.size, entry->values[k].key.data);
            cli_table_cell(&table, "%.12g", entry->values[k].value);
        }
    }
    cli_table_print(&table, stdout);
    cli_table_free(&table);
}

static json_t *
entry_json(const struct mr_describe_client_quotas_response_entry *entry)
{
    json_t *object = json_object();
    json_t *entity = json_object();
    json_t *quotas = json_object();

    for (int32_t i = 0; i < entry->entity_count; i++) {
        json_object_setn_new(entity, entry->entity[i].entity_type.data,
                             (size_t)entry->entity[i].entity_type.size,
                             cli_json_str(entry->entity[i].entity_name));
    }
    for (int32_t i = 0; i < entry->values_count; i++) {
        json_object_setn_new(quotas, entry->values[i].key.data, (size_t)entry->values[i].key.size,
                             json_real(entry->values[i].value));
    }
    json_object_set_new(object, "entity", entity);
    json_object_set_new(object, "quotas", quotas);
    return object;
}

static int
describe(struct mr_client *client, const struct cli_args *args)
{
    struct mr_describe_client_quotas_request_component components[ENTITY_PARTS];
    struct mr_describe_client_quotas_request request;
    const struct mr_describe_client_quotas_response *response;
    struct part parts[ENTITY_PARTS];
    const void *answer;
    json_t *list;

    mr_wire_init(&mr_describe_client_quotas_request_message, &request);
    request.components = components;
    request.components_count = (int32_t)take_parts(args, parts);
    for (int32_t i = 0; i < request.components_count; i++) {
        components[i] = (struct mr_describe_client_quotas_request_component){
            mr_str_from_c(parts[i].type), parts[i].name ? MATCH_EXACT : MATCH_DEFAULT,
            parts[i].name ? mr_str_from_c(parts[i].name) : mr_str_null()};
    }
    if (mr_client_call(client, MR_API_DESCRIBE_CLIENT_QUOTAS, &request, &answer) != 0) {
        return cli_failed("%s", mr_client_error(client));
    }
    response = answer;
    if (response->error_code != 0) {
        return cli_refused("quotas", response->error_code, response->error_message);
    }
    if (!args->json) {
        print_table(response);
        return CLI_EXIT_OK;
    }
    list = json_array();
    for (int32_t i = 0; i < response->entries_count; i++) {
        json_array_append_new(list, entry_json(&response->entries[i]));
    }
    cli_json_print(list, false);
    return CLI_EXIT_OK;
}

static int
run_describe(const struct cli_args *args)
{
    struct mr_client *client = cli_connect(args);
    int status;

    if (!client) {
        return CLI_EXIT_FAILED;
    }
    status = describe(client, args);
    mr_client_close(client);
    return status;
}

const struct cli_command cli_quota_describe = {
    .family = "quota",
    .name = "describe",
    .summary = "Shows what clients may use in a second",
    .details = "Without an option all quotas, else those of the clients that are named.",
    .options = describe_options,
    .option_count = sizeof(describe_options) / sizeof(describe_options[0]),
    .run = run_describe,
};

/* ---- alter ----------------------------------------------------------------------------------- */

static const struct cli_option alter_options[] = {
    ENTITY_OPTIONS,
    {.name = "--config",
     .value = "QUOTA=NUMBER",
     .help = "sets a quota; may be given several times",
     .kind = CLI_CONFIG},
    {.name = "--delete-config",
     .value = "QUOTA",
     .help = "removes a quota; may be given several times",
     .kind = CLI_KEY},
};

/* An exit code. */
static int
take_ops(const struct cli_args *args, struct mr_alter_client_quotas_request_op *ops)
{
    for (size_t i = 0; i < args->config_count; i++) {
        const char *equals = strchr(args->configs[i], '=');
        char *end;

        ops[i] = (struct mr_alter_client_quotas_request_op){
            {args->configs[i], (int32_t)(equals - args->configs[i])},
            strtod(equals + 1, &end),
            false};
        if (end == equals + 1 || *end != 0) {
            return cli_misused("--config takes QUOTA=NUMBER, not \"%s\"", args->configs[i]);
        }
    }
    for (size_t i = 0; i < args->delete_config_count; i++) {
        ops[args->config_count + i] = (struct mr_alter_client_quotas_request_op){
            mr_str_from_c(args->delete_configs[i]), 0, true};
    }
    return CLI_EXIT_OK;
}

static int
alter(const struct cli_args *args, const struct part *parts, size_t part_count,
      struct mr_alter_client_quotas_request_op *ops)
{
    struct mr_alter_client_quotas_request_entity entity[ENTITY_PARTS];
    struct mr_alter_client_quotas_request_entry entry = {
        .entity = entity,
        .entity_count = (int32_t)part_count,
        .ops = ops,
        .ops_count = (int32_t)(args->config_count + args->delete_config_count),
    };
    struct mr_alter_client_quotas_request request = {.entries = &entry, .entries_count = 1};
    const struct mr_alter_client_quotas_response *response;
    struct mr_client *client = cli_connect(args);
    const void *answer;
    int status = CLI_EXIT_OK;

    if (!client) {
        return CLI_EXIT_FAILED;
    }
    for (size_t i = 0; i < part_count; i++) {
        entity[i] = (struct mr_alter_client_quotas_request_entity){
            mr_str_from_c(parts[i].type),
            parts[i].name ? mr_str_from_c(parts[i].name) : mr_str_null()};
    }
    if (mr_client_call(client, MR_API_ALTER_CLIENT_QUOTAS, &request, &answer) != 0) {
        status = cli_failed("%s", mr_client_error(client));
    } else {
        response = answer;
        if (response->entries_count == 1 && response->entries[0].error_code != 0) {
            status = cli_refused("quotas", response->entries[0].error_code,
                                 response->entries[0].error_message);
        }
    }
    mr_client_close(client);
    return status;
}

static int
run_alter(const struct cli_args *args)
{
    struct mr_alter_client_quotas_request_op ops[2 * CLI_CONFIGS_MAX];
    struct part parts[ENTITY_PARTS];
    size_t part_count = take_parts(args, parts);
    int status = take_ops(args, ops);

    if (status != CLI_EXIT_OK) {
        return status;
    }
    if (part_count == 0) {
        return cli_misused("whose quotas? --client-id, --user or --ip");
    }
    if (args->config_count + args->delete_config_count == 0) {
        return cli_misused("nothing to change: --config or --delete-config");
    }
    status = alter(args, parts, part_count, ops);
    if (status == CLI_EXIT_OK && !args->json) {
        printf("altered quotas\n");
    }
    return status;
}

const struct cli_command cli_quota_alter = {
    .family = "quota",
    .name = "alter",
    .summary = "Changes what clients may use in a second",
    .details = "The quotas are producer_byte_rate, consumer_byte_rate and request_percentage.\n"
               "\nFor example, 1 MiB/s for every client that has no other quota:\n"
               "  millrace quota alter --client-id '" DEFAULT_NAME "' "
               "--config producer_byte_rate=1048576",
    .options = alter_options,
    .option_count = sizeof(alter_options) / sizeof(alter_options[0]),
    .run = run_alter,
};
