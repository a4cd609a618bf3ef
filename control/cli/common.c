#include "control/cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/kafka_err.h"
#include "dataplane/kafka/wire/wire.h"

#define METADATA_RETRIES  50
#define METADATA_PAUSE_NS 100000000 /* a topic that was just created needs a moment */

static void
print_error(const char *format, va_list list)
{
    fputs("millrace: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
}

int
cli_failed(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    print_error(format, list);
    va_end(list);
    return CLI_EXIT_FAILED;
}

int
cli_misused(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    print_error(format, list);
    va_end(list);
    return CLI_EXIT_USAGE;
}

struct mr_client *
cli_connect(const struct cli_args *args)
{
    char error[MR_CLIENT_ERROR_SIZE];
    struct mr_client *client;

    if (mr_client_open(&client, args->bootstrap_server, "millrace-cli", (unsigned)args->timeout_ms,
                       error) != 0) {
        cli_failed("%s", error);
    }
    return client;
}

int
cli_refused(const char *what, int16_t code, struct mr_str message)
{
    if (message.size > 0) {
        return cli_failed("%s: %s: %.*s", what, mr_kafka_err_name(code), message.size,
                          message.data);
    }
    return cli_failed("%s: %s: %s", what, mr_kafka_err_name(code), mr_kafka_err_text(code));
}

json_t *
cli_json_str(struct mr_str text)
{
    json_t *json;
    char *copy;

    if (text.size < 0) {
        return json_null();
    }
    json = json_stringn(text.data, (size_t)text.size);
    if (json) {
        return json;
    }
    copy = malloc((size_t)text.size + 1);
    MR_ASSERT(copy != NULL);
    for (int32_t i = 0; i < text.size; i++) {
        copy[i] = (unsigned char)text.data[i] < 0x80 ? text.data[i] : '?';
    }
    json = json_stringn(copy, (size_t)text.size);
    free(copy);
    return json;
}

void
cli_json_print(json_t *value, bool compact)
{
    json_dumpf(value, stdout, JSON_ENCODE_ANY | (compact ? JSON_COMPACT : JSON_INDENT(2)));
    putchar('\n');
    json_decref(value);
}

static int
compare_int32(const void *a, const void *b)
{
    int32_t left = *(const int32_t *)a;
    int32_t right = *(const int32_t *)b;

    return (left > right) - (left < right);
}

static int32_t *
copy_partitions(const struct mr_metadata_response_topic *topic)
{
    int32_t *partitions = malloc(((size_t)topic->partitions_count + 1) * sizeof(*partitions));

    MR_ASSERT(partitions != NULL);
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        partitions[i] = topic->partitions[i].partition_index;
    }
    qsort(partitions, (size_t)topic->partitions_count, sizeof(*partitions), compare_int32);
    return partitions;
}

static bool
may_appear(int16_t code, bool create)
{
    return code == MR_KAFKA_LEADER_NOT_AVAILABLE ||
           (create && code == MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
}

int32_t *
cli_topic_partitions(struct mr_client *client, const char *topic, bool create, int32_t *count_out)
{
    struct mr_metadata_request_topic wanted = {.name = mr_str_from_c(topic)};
    struct mr_metadata_request request;

    mr_wire_init(&mr_metadata_request_message, &request);
    request.topics = &wanted;
    request.topics_count = 1;
    request.allow_auto_topic_creation = create;
    for (int attempt = 0;; attempt++) {
        struct timespec pause = {.tv_nsec = METADATA_PAUSE_NS};
        const struct mr_metadata_response *response;
        const void *answer;

        if (mr_client_call(client, MR_API_METADATA, &request, &answer) != 0) {
            cli_failed("%s", mr_client_error(client));
            return NULL;
        }
        response = answer;
        if (response->topics_count != 1) {
            cli_failed("the broker did not answer about topic %s", topic);
            return NULL;
        }
        if (response->topics[0].error_code == 0) {
            *count_out = response->topics[0].partitions_count;
            return copy_partitions(&response->topics[0]);
        }
        if (!may_appear(response->topics[0].error_code, create) || attempt == METADATA_RETRIES) {
            cli_refused(topic, response->topics[0].error_code, mr_str_null());
            return NULL;
        }
        nanosleep(&pause, NULL);
    }
}

/* librdkafka's own log lines would interleave with ours; what matters arrives as an error. */
static void
drop_log(const rd_kafka_t *kafka, int level, const char *facility, const char *text)
{
    (void)kafka;
    (void)level;
    (void)facility;
    (void)text;
}

void
cli_rdkafka_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char error[CLI_ERROR_SIZE];
    rd_kafka_conf_res_t rc = rd_kafka_conf_set(conf, name, value, error, sizeof(error));

    MR_ASSERT(rc == RD_KAFKA_CONF_OK);
}

rd_kafka_t *
cli_rdkafka(rd_kafka_type_t kind, const struct cli_args *args, rd_kafka_conf_t *conf)
{
    char error[CLI_ERROR_SIZE];
    rd_kafka_t *kafka;

    rd_kafka_conf_set_log_cb(conf, drop_log);
    cli_rdkafka_set(conf, "client.id", "millrace-cli");
    if (rd_kafka_conf_set(conf, "bootstrap.servers", args->bootstrap_server, error,
                          sizeof(error)) != RD_KAFKA_CONF_OK) {
        rd_kafka_conf_destroy(conf);
        cli_failed("%s", error);
        return NULL;
    }
    kafka = rd_kafka_new(kind, conf, error, sizeof(error));
    if (!kafka) {
        rd_kafka_conf_destroy(conf);
        cli_failed("%s", error);
    }
    return kafka;
}
