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
extern const struct cli_command cli_topic_alter;
extern const struct cli_command cli_config_describe;
extern const struct cli_command cli_config_alter;
extern const struct cli_command cli_quota_describe;
extern const struct cli_command cli_quota_alter;
extern const struct cli_command cli_broker_list;
extern const struct cli_command cli_completion;
extern const struct cli_command cli_man;
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
extern const struct cli_command cli_probe;

/* Prints "millrace: " and the message to stderr; returns CLI_EXIT_FAILED or CLI_EXIT_USAGE. */
__attribute__((format(printf, 1, 2))) int cli_failed(const char *format, ...);
__attribute__((format(printf, 1, 2))) int cli_misused(const char *format, ...);

/* Connects as the arguments say; NULL after the error was printed. */
struct mr_client *cli_connect(const struct cli_args *args);

/* Prints an error a broker gave about `what`; `message` is the broker's own text or null. */
int cli_refused(const char *what, int16_t code, struct mr_str message);

/* All commands, for what is written about them; main.c sets it. */
extern const struct cli_command *const *cli_commands;
extern size_t cli_command_count;

/* ConfigResource types. */
#define CLI_RESOURCE_TOPIC  2
#define CLI_RESOURCE_BROKER 4

/* Sets and deletes what --config and --delete-config name; an exit code. */
int cli_configs_alter(struct mr_client *client, int8_t type, const char *name,
                      const struct cli_args *args);

/* A line on stderr that says how far long work is; nothing where stderr is no terminal. */
struct cli_progress {
    const char *label;
    uint64_t total; /* 0: unknown, then nothing is shown */
    int64_t next_ms;
    bool shown;
};

void cli_progress_begin(struct cli_progress *progress, const char *label, uint64_t total);
void cli_progress_step(struct cli_progress *progress, uint64_t done); /* cheap: may come often */
void cli_progress_end(struct cli_progress *progress);

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
