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

/* ---- list ------------------------------------------------------------------------------------ */

static void
list_table(const struct mr_describe_cluster_response *response)
{
    static const char *const columns[] = {">ID", "ADDRESS", "RACK", "CONTROLLER"};
    struct cli_table table;

    cli_table_init(&table, columns, 4);
    for (int32_t i = 0; i < response->brokers_count; i++) {
        const struct mr_describe_cluster_response_broker *broker = &response->brokers[i];

        cli_table_cell(&table, "%d", broker->broker_id);
        cli_table_cell(&table, "%.*s:%d", broker->host.size, broker->host.data, broker->port);
        cli_table_cell(&table, "%.*s", broker->rack.size > 0 ? broker->rack.size : 1,
                       broker->rack.size > 0 ? broker->rack.data : "-");
        cli_table_cell(&table, "%s", broker->broker_id == response->controller_id ? "yes" : "no");
    }
    cli_table_print(&table, stdout);
    cli_table_free(&table);
}

static void
list_json(const struct mr_describe_cluster_response *response)
{
    json_t *list = json_array();

    for (int32_t i = 0; i < response->brokers_count; i++) {
        const struct mr_describe_cluster_response_broker *broker = &response->brokers[i];
        json_t *object = json_object();

        json_object_set_new(object, "id", json_integer(broker->broker_id));
        json_object_set_new(object, "host", cli_json_str(broker->host));
        json_object_set_new(object, "port", json_integer(broker->port));
        json_object_set_new(object, "rack", cli_json_str(broker->rack));
        json_object_set_new(object, "controller",
                            json_boolean(broker->broker_id == response->controller_id));
        json_array_append_new(list, object);
    }
    cli_json_print(list, false);
}

static int
run_list(const struct cli_args *args)
{
    struct mr_client *client = cli_connect(args);
    struct mr_describe_cluster_request request;
    const struct mr_describe_cluster_response *response;
    const void *answer;
    int status = CLI_EXIT_OK;

    if (!client) {
        return CLI_EXIT_FAILED;
    }
    mr_wire_init(&mr_describe_cluster_request_message, &request);
    if (mr_client_call(client, MR_API_DESCRIBE_CLUSTER, &request, &answer) != 0) {
        status = cli_failed("%s", mr_client_error(client));
    } else {
        response = answer;
        if (response->error_code != 0) {
            status = cli_refused("brokers", response->error_code, response->error_message);
        } else if (args->json) {
            list_json(response);
        } else {
            list_table(response);
        }
    }
    mr_client_close(client);
    return status;
}

const struct cli_command cli_broker_list = {
    .family = "broker",
    .name = "list",
    .summary = "Lists the brokers of the cluster",
    .run = run_list,
};

const struct cli_command cli_broker_api_versions = {
    .family = "broker",
    .name = "api-versions",
    .summary = "Lists the APIs a broker speaks and their versions",
    .details = "USED is the version this tool chooses: the highest that both sides know.",
    .run = run_api_versions,
};
