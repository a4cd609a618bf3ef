/* control/cli/broker.c: `millrace broker`. */
#include "control/cli/cli.h"
#include "control/cli/table.h"
#include "dataplane/kafka/wire/wire.h"

#define KEY_MAX 128

/* NULL for an API that this tool does not know either. */
static const char *
api_name(int16_t key)
{
    const struct mr_wire_api *api = mr_wire_api_find(key);

    return api ? api->name : NULL;
}

static void
print_table(const struct mr_client *client)
{
    static const char *const columns[] = {">KEY", "API", ">MIN", ">MAX", ">USED"};
    struct cli_table table;
    int16_t min, max;

    cli_table_init(&table, columns, 5);
    for (int16_t key = 0; key < KEY_MAX; key++) {
        int16_t used = mr_client_version(client, key);

        if (mr_client_broker_versions(client, key, &min, &max) != 0) {
            continue;
        }
        cli_table_cell(&table, "%d", key);
        cli_table_cell(&table, "%s", api_name(key) ? api_name(key) : "-");
        cli_table_cell(&table, "%d", min);
        cli_table_cell(&table, "%d", max);
        if (used >= 0) {
            cli_table_cell(&table, "%d", used);
        } else {
            cli_table_cell(&table, "-");
        }
    }
    cli_table_print(&table, stdout);
    cli_table_free(&table);
}

static void
print_json(const struct mr_client *client)
{
    json_t *list = json_array();
    int16_t min, max;

    for (int16_t key = 0; key < KEY_MAX; key++) {
        const char *name = api_name(key);
        json_t *api;

        if (mr_client_broker_versions(client, key, &min, &max) != 0) {
            continue;
        }
        api = json_object();
        json_object_set_new(api, "key", json_integer(key));
        json_object_set_new(api, "name", name ? json_string(name) : json_null());
        json_object_set_new(api, "min_version", json_integer(min));
        json_object_set_new(api, "max_version", json_integer(max));
        json_object_set_new(api, "used_version", json_integer(mr_client_version(client, key)));
        json_array_append_new(list, api);
    }
    cli_json_print(list, false);
}

static int
run_api_versions(const struct cli_args *args)
{
    struct mr_client *client = cli_connect(args);

    if (!client) {
        return CLI_EXIT_FAILED;
    }
    if (args->json) {
        print_json(client);
    } else {
        print_table(client);
    }
    mr_client_close(client);
    return CLI_EXIT_OK;
}

const struct cli_command cli_broker_api_versions = {
    .family = "broker",
    .name = "api-versions",
    .summary = "Lists the APIs a broker speaks and their versions",
    .details = "USED is the version this tool chooses: the highest that both sides know.",
    .run = run_api_versions,
};
