/* control/cli/consume.c: `millrace consume`: prints the records of a topic.
 *
 * Without --group it reads through librdkafka's queue interface, not its group consumer: that one
 * asks for a coordinator even where partitions are assigned by hand, which creates the offsets
 * topic on a fresh broker. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/cli/cli.h"
#include "control/cli/message.h"

#define POLL_MS        100
#define DEFAULT_FORMAT "%v\\n"

static const struct cli_option options[] = {
    {.name = "--from-beginning",
     .help = "start at the oldest record (default: only records that arrive from now on)",
     .kind = CLI_FLAG,
     .offset = offsetof(struct cli_args, from_beginning)},
    {.name = "--group",
     .value = "NAME",
     .help = "read as a member of this consumer group, and commit what was printed",
     .kind = CLI_TEXT,
     .offset = offsetof(struct cli_args, group)},
    {.name = "--partition",
     .value = "N",
     .help = "read this partition only (default: all)",
     .kind = CLI_NUMBER,
     .offset = offsetof(struct cli_args, partition),
     .min = 0,
     .max = INT32_MAX},
    {.name = "--offset",
     .value = "N|earliest|latest",
     .help = "where to start in each partition",
     .kind = CLI_TEXT,
     .offset = offsetof(struct cli_args, offset)},
    {.name = "--max-messages",
     .value = "N",
     .help = "stop after this many records",
     .kind = CLI_NUMBER,
     .offset = offsetof(struct cli_args, max_messages),
     .min = 1,
     .max = INT64_MAX},
    {.name = "--exit-at-end",
     .help = "stop when every partition is read to its end",
     .kind = CLI_FLAG,
     .offset = offsetof(struct cli_args, exit_at_end)},
    {.name = "--format",
     .value = "TEXT",
     .help = "how a record is printed (default '%v\\n'), see above",
     .kind = CLI_TEXT,
     .offset = offsetof(struct cli_args, format)},
};

struct consume {
    const struct cli_args *args;
    const char *format;
    rd_kafka_t *kafka;
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *queue;
    int32_t *partitions; /* those that are read */
    bool *at_end;        /* by index in `partitions` */
    int32_t count;
    int32_t open_count; /* not at their end */
    int64_t printed;
    bool failed;
};

static volatile sig_atomic_t interrupted;

static void
on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static void
set_headers(struct cli_message *out, const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const void *value;
    const char *name;
    size_t size;

    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return;
    }
    while (out->header_count < CLI_MESSAGE_HEADERS_MAX &&
           rd_kafka_header_get_all(headers, out->header_count, &name, &value, &size) ==
               RD_KAFKA_RESP_ERR_NO_ERROR) {
        out->headers[out->header_count++] =
            (struct cli_message_header){name, {.data = value, .size = size}};
    }
}

static void
print_record(struct consume *consume, const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t kind;
    struct cli_message out = {.topic = consume->args->operands[0],
                              .partition = message->partition,
                              .offset = message->offset,
                              .timestamp_ms = rd_kafka_message_timestamp(message, &kind),
                              .key = {message->key, message->key_len},
                              .value = {message->payload, message->len}};

    set_headers(&out, message);
    if (consume->args->json) {
        cli_json_print(cli_message_json(&out), true);
    } else {
        cli_message_print(&out, consume->format, stdout);
    }
    consume->printed++;
}

/* A partition that grows after its end counts as read: the end is where it was seen first. */
static void
on_end(struct consume *consume, int32_t partition)
{
    for (int32_t i = 0; i < consume->count; i++) {
        if (consume->partitions[i] == partition && !consume->at_end[i]) {
            consume->at_end[i] = true;
            consume->open_count--;
        }
    }
}

static void
on_message(struct consume *consume, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        on_end(consume, message->partition);
    } else if (message->err) {
        cli_failed("%s partition %d: %s", consume->args->operands[0], message->partition,
                   message->payload ? (const char *)message->payload
                                    : rd_kafka_err2str(message->err));
        consume->failed = true;
    } else {
        print_record(consume, message);
    }
}

static bool
finished(const struct consume *consume)
{
    const struct cli_args *args = consume->args;

    return interrupted || consume->failed || ferror(stdout) ||
           (args->exit_at_end && consume->open_count == 0) ||
           (args->max_messages > 0 && consume->printed == args->max_messages);
}

static rd_kafka_message_t *
next_message(struct consume *consume, int timeout_ms)
{
    if (consume->args->group) {
        return rd_kafka_consumer_poll(consume->kafka, timeout_ms);
    }
    rd_kafka_poll(consume->kafka, 0);
    return rd_kafka_consume_queue(consume->queue, timeout_ms);
}

/* Flushes when nothing is left to read, so that a pipe sees records as they come. */
static void
read_all(struct consume *consume)
{
    struct cli_progress progress;
    int64_t wanted = consume->args->max_messages;

    /* Records on a terminal show it themselves. */
    cli_progress_begin(&progress, "reading",
                       wanted > 0 && !isatty(STDOUT_FILENO) ? (uint64_t)wanted : 0);
    while (!finished(consume)) {
        rd_kafka_message_t *message = next_message(consume, 0);

        if (!message) {
            fflush(stdout);
            message = next_message(consume, POLL_MS);
        }
        if (message) {
            on_message(consume, message);
            rd_kafka_message_destroy(message);
            cli_progress_step(&progress, (uint64_t)consume->printed);
        }
    }
    cli_progress_end(&progress);
}

static int
start_offset(const struct cli_args *args, int64_t *out)
{
    *out = args->from_beginning ? RD_KAFKA_OFFSET_BEGINNING : RD_KAFKA_OFFSET_END;
    if (!args->offset) {
        return CLI_EXIT_OK;
    }
    if (args->from_beginning) {
        return cli_misused("--offset and --from-beginning exclude each other");
    }
    if (strcmp(args->offset, "earliest") == 0) {
        *out = RD_KAFKA_OFFSET_BEGINNING;
    } else if (strcmp(args->offset, "latest") != 0 &&
               cli_number(args->offset, 0, INT64_MAX, out) != 0) {
        return cli_misused("--offset takes a number, earliest or latest, not \"%s\"", args->offset);
    }
    return CLI_EXIT_OK;
}

/* librdkafka reports every broker connection it loses; only the loss of all of them matters. */
static void
on_error(rd_kafka_t *kafka, int error, const char *reason, void *context)
{
    struct consume *consume = context;

    (void)kafka;
    if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !consume->failed) {
        cli_failed("lost the broker: %s", reason);
        consume->failed = true;
    }
}

static int
consume_from(struct consume *consume, int64_t offset)
{
    const struct cli_args *args = consume->args;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_conf_t *topic_conf;
    char error[CLI_ERROR_SIZE];

    cli_rdkafka_set(conf, "enable.partition.eof", "true");
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_opaque(conf, consume);
    consume->kafka = cli_rdkafka(RD_KAFKA_CONSUMER, args, conf);
    if (!consume->kafka) {
        return CLI_EXIT_FAILED;
    }
    topic_conf = rd_kafka_topic_conf_new();
    rd_kafka_topic_conf_set(topic_conf, "auto.offset.reset", "error", error, sizeof(error));
    consume->topic = rd_kafka_topic_new(consume->kafka, args->operands[0], topic_conf);
    consume->queue = rd_kafka_queue_new(consume->kafka);
    for (int32_t i = 0; i < consume->count; i++) {
        rd_kafka_consume_start_queue(consume->topic, consume->partitions[i], offset,
                                     consume->queue);
    }
    read_all(consume);
    for (int32_t i = 0; i < consume->count; i++) {
        rd_kafka_consume_stop(consume->topic, consume->partitions[i]);
    }
    rd_kafka_queue_destroy(consume->queue);
    rd_kafka_topic_destroy(consume->topic);
    rd_kafka_destroy(consume->kafka);
    return consume->failed ? CLI_EXIT_FAILED : CLI_EXIT_OK;
}

/* ---- as a member of a group ---- */

/* Whatever is assigned is read to its end again. */
static void
on_rebalance(rd_kafka_t *kafka, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t *list,
             void *context)
{
    struct consume *consume = context;

    if (error != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        rd_kafka_commit(kafka, NULL, 0);
        rd_kafka_assign(kafka, NULL);
        return;
    }
    rd_kafka_assign(kafka, list);
    consume->open_count = list->cnt;
    for (int32_t i = 0; i < consume->count; i++) {
        consume->at_end[i] = !rd_kafka_topic_partition_list_find(list, consume->args->operands[0],
                                                                 consume->partitions[i]);
    }
}

static int
consume_in_group(struct consume *consume)
{
    const struct cli_args *args = consume->args;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);

    cli_rdkafka_set(conf, "enable.partition.eof", "true");
    cli_rdkafka_set(conf, "auto.offset.reset", args->from_beginning ? "earliest" : "latest");
    cli_rdkafka_set(conf, "group.id", args->group);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_opaque(conf, consume);
    rd_kafka_topic_partition_list_add(topics, args->operands[0], RD_KAFKA_PARTITION_UA);
    consume->open_count = 1; /* until something is assigned */
    consume->kafka = cli_rdkafka(RD_KAFKA_CONSUMER, args, conf);
    if (consume->kafka) {
        rd_kafka_poll_set_consumer(consume->kafka);
        rd_kafka_subscribe(consume->kafka, topics);
        read_all(consume);
        rd_kafka_consumer_close(consume->kafka); /* commits, and leaves the group */
        rd_kafka_destroy(consume->kafka);
    }
    rd_kafka_topic_partition_list_destroy(topics);
    return consume->failed || !consume->kafka ? CLI_EXIT_FAILED : CLI_EXIT_OK;
}

/* Fills which partitions are read. */
static int
choose_partitions(struct consume *consume)
{
    const struct cli_args *args = consume->args;
    struct mr_client *client = cli_connect(args);

    if (!client) {
        return CLI_EXIT_FAILED;
    }
    consume->partitions = cli_topic_partitions(client, args->operands[0], false, &consume->count);
    mr_client_close(client);
    if (!consume->partitions) {
        return CLI_EXIT_FAILED;
    }
    if (args->partition >= 0) {
        int32_t last = consume->count > 0 ? consume->partitions[consume->count - 1] : -1;

        if (args->partition > last) {
            return cli_failed("%s has partitions 0 to %d, not %" PRId64, args->operands[0], last,
                              args->partition);
        }
        consume->partitions[0] = (int32_t)args->partition;
        consume->count = 1;
    }
    consume->open_count = consume->count;
    consume->at_end = calloc((size_t)consume->count + 1, sizeof(*consume->at_end));
    return consume->at_end ? CLI_EXIT_OK : cli_failed("out of memory");
}

static int
run_consume(const struct cli_args *args)
{
    struct consume consume = {.args = args, .format = args->format ? args->format : DEFAULT_FORMAT};
    struct sigaction action = {.sa_handler = on_signal};
    const char *wrong = cli_format_check(consume.format);
    int64_t offset;
    int status;

    if (wrong) {
        return cli_misused("--format does not know \"%.2s\"; see millrace consume --help", wrong);
    }
    if (args->group && (args->partition >= 0 || args->offset)) {
        return cli_misused("--group excludes --partition and --offset: the group has its own");
    }
    status = start_offset(args, &offset);
    if (status != CLI_EXIT_OK) {
        return status;
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    status = choose_partitions(&consume);
    if (status == CLI_EXIT_OK) {
        status = args->group ? consume_in_group(&consume) : consume_from(&consume, offset);
    }
    free(consume.partitions);
    free(consume.at_end);
    return status;
}

const struct cli_command cli_consume = {
    .name = "consume",
    .operands = "TOPIC",
    .summary = "Prints the records of a topic",
    .details = "Without --max-messages or --exit-at-end it goes on until it is interrupted.\n"
               "Without --group no consumer group is joined and no offset is committed; with it,\n"
               "--from-beginning counts where the group has committed nothing yet.\n"
               "\nIn --format: %t topic, %p partition, %o offset, %k key, %v value, %T timestamp\n"
               "in milliseconds, %h headers, %% a percent sign, \\n and \\t. With --json each\n"
               "record is one line of JSON.\n"
               "\nFor example, all records with their place and key:\n"
               "  millrace consume ages --from-beginning --exit-at-end --format '%p/%o %k %v\\n'",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_consume,
};
