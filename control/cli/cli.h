/* control/cli/cli.h: what the command families share.
 *
 * Each family is one file that defines its commands; main.c lists them. Results go to stdout,
 * everything else to stderr. */
#ifndef MR_CONTROL_CLI_CLI_H
#define MR_CONTROL_CLI_CLI_H

#include <jansson.h>
#include <librdkafka/rdkafka.h>

#include "control/cli/args.h"
#include "control/cli/client.h"
#include "dataplane/kafka/wire/types.h"

extern const struct cli_command cli_topic_create;
extern const struct cli_command cli_topic_list;
extern const struct cli_command cli_topic_describe;
extern const struct cli_command cli_topic_delete;
extern const struct cli_command cli_produce;
extern const struct cli_command cli_consume;
extern const struct cli_command cli_group_list;
extern const struct cli_command cli_group_describe;
extern const struct cli_command cli_group_reset_offsets;
extern const struct cli_command cli_group_delete;
extern const struct cli_command cli_broker_api_versions;
extern const struct cli_command cli_log_dump;
extern const struct cli_command cli_log_check;
extern const struct cli_command cli_log_format;

/* Prints "millrace: " and the message to stderr; returns CLI_EXIT_FAILED or CLI_EXIT_USAGE. */
__attribute__((format(printf, 1, 2))) int cli_failed(const char *format, ...);
__attribute__((format(printf, 1, 2))) int cli_misused(const char *format, ...);

/* Connects as the arguments say; NULL after the error was printed. */
struct mr_client *cli_connect(const struct cli_args *args);

/* Prints an error a broker gave about `what`; `message` is the broker's own text or null. */
int cli_refused(const char *what, int16_t code, struct mr_str message);

/* A JSON string, or JSON null; bytes that are no UTF-8 become '?'. */
json_t *cli_json_str(struct mr_str text);

/* Prints one value and a line break, and drops the caller's reference. */
void cli_json_print(json_t *value, bool compact);

/* The partitions of `topic` by ascending number, in memory the caller frees; NULL after the error
 * was printed. With `create` the broker may create the topic, as its configuration says. */
int32_t *cli_topic_partitions(struct mr_client *client, const char *topic, bool create,
                              int32_t *count_out);

/* A librdkafka client of `kind` with the common settings, that takes ownership of `conf`; NULL
 * after the error was printed. */
rd_kafka_t *cli_rdkafka(rd_kafka_type_t kind, const struct cli_args *args, rd_kafka_conf_t *conf);

/* Sets one librdkafka property that is known to be valid. */
void cli_rdkafka_set(rd_kafka_conf_t *conf, const char *name, const char *value);

#endif
