/* control/cli/produce.c: `millrace produce`: lines from stdin become records. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/cli/cli.h"

#define FLUSH_SLICE_MS 100

static const struct cli_option options[] = {
    {.name = "--key-separator",
     .value = "TEXT",
     .help = "what stands between key and value of a line (default: no keys)",
     .kind = CLI_TEXT,
     .offset = offsetof(struct cli_args, key_separator)},
    {.name = "--partition",
     .value = "N",
     .help = "the partition (default: by the key's hash, without a key any)",
     .kind = CLI_NUMBER,
     .offset = offsetof(struct cli_args, partition),
     .min = 0,
     .max = INT32_MAX},
    {.name = "--compression",
     .value = "none|gzip|snappy|lz4|zstd",
     .help = "how batches are compressed (default none)",
     .kind = CLI_CHOICE,
     .offset = offsetof(struct cli_args, compression)},
    {.name = "--acks",
     .value = "0|1|all",
     .help = "who has the record when it counts as sent (default all)",
     .kind = CLI_CHOICE,
     .offset = offsetof(struct cli_args, acks)},
};

struct produce {
    rd_kafka_t *kafka;
    rd_kafka_topic_t *topic;
    int32_t partition;
    const char *separator;
    uint64_t sent;
    uint64_t acknowledged;
    uint64_t failed;
    struct cli_progress progress; /* in bytes of a file */
    uint64_t read_bytes;
    rd_kafka_resp_err_t first_error;
};

static void
count_failure(struct produce *produce, rd_kafka_resp_err_t error)
{
    if (produce->failed++ == 0) {
        produce->first_error = error;
    }
}

static void
on_delivery(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *context)
{
    struct produce *produce = context;

    (void)kafka;
    if (message->err) {
        count_failure(produce, message->err);
    } else {
        produce->acknowledged++;
    }
}

/* Hands one line over, waiting while librdkafka's queue is full. */
static void
send_line(struct produce *produce, char *line, size_t size)
{
    const char *separator = produce->separator;
    char *split = separator ? memmem(line, size, separator, strlen(separator)) : NULL;
    char *value = split ? split + strlen(separator) : line;
    size_t value_size = size - (size_t)(value - line);

    produce->sent++;
    for (;;) {
        if (rd_kafka_produce(produce->topic, produce->partition, RD_KAFKA_MSG_F_COPY, value,
                             value_size, split ? line : NULL, split ? (size_t)(split - line) : 0,
                             NULL) == 0) {
            break;
        }
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            count_failure(produce, rd_kafka_last_error());
            break;
        }
        rd_kafka_poll(produce->kafka, FLUSH_SLICE_MS);
    }
    rd_kafka_poll(produce->kafka, 0);
}

/* 0 where stdin is no file. */
static uint64_t
stdin_size(void)
{
    struct stat status;

    return fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0
               ? (uint64_t)status.st_size
               : 0;
}

/* Returns 0, or -errno where stdin cannot be read. */
static int
send_stdin(struct produce *produce)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    int rc;

    cli_progress_begin(&produce->progress, "sending", stdin_size());
    while ((size = getline(&line, &room, stdin)) >= 0) {
        produce->read_bytes += (uint64_t)size;
        cli_progress_step(&produce->progress, produce->read_bytes);
        if (size > 0 && line[size - 1] == '\n') {
            size--;
        }
        send_line(produce, line, (size_t)size);
    }
    rc = ferror(stdin) ? -errno : 0;
    free(line);
    return rc;
}

static int
report(const struct produce *produce, const struct cli_args *args)
{
    if (args->json) {
        json_t *object = json_object();

        json_object_set_new(object, "topic", json_string(args->operands[0]));
        json_object_set_new(object, "sent", json_integer((json_int_t)produce->sent));
        json_object_set_new(object, "acknowledged",
                            json_integer((json_int_t)produce->acknowledged));
        json_object_set_new(object, "failed", json_integer((json_int_t)produce->failed));
        if (produce->failed > 0) {
            json_object_set_new(object, "error",
                                json_string(rd_kafka_err2name(produce->first_error)));
        }
        cli_json_print(object, true);
    } else {
        printf("%" PRIu64 " of %" PRIu64 " records %s\n", produce->acknowledged, produce->sent,
               strcmp(args->acks, "0") == 0 ? "sent" : "acknowledged");
    }
    if (produce->failed > 0) {
        return cli_failed("%" PRIu64 " records failed; the first: %s", produce->failed,
                          rd_kafka_err2str(produce->first_error));
    }
    return CLI_EXIT_OK;
}

/* Librdkafka gives each record up after `--timeout`, so that the flush ends. */
static int
produce_all(const struct cli_args *args)
{
    struct produce produce = {.partition = args->partition >= 0 ? (int32_t)args->partition
                                                                : RD_KAFKA_PARTITION_UA,
                              .separator = args->key_separator};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char timeout[32];
    int status, rc;

    snprintf(timeout, sizeof(timeout), "%" PRId64, args->timeout_ms);
    cli_rdkafka_set(conf, "message.timeout.ms", timeout);
    cli_rdkafka_set(conf, "compression.codec", args->compression);
    cli_rdkafka_set(conf, "acks", args->acks);
    cli_rdkafka_set(conf, "partitioner", "murmur2_random");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, &produce);
    produce.kafka = cli_rdkafka(RD_KAFKA_PRODUCER, args, conf);
    if (!produce.kafka) {
        return CLI_EXIT_FAILED;
    }
    produce.topic = rd_kafka_topic_new(produce.kafka, args->operands[0], NULL);
    if (!produce.topic) {
        rd_kafka_destroy(produce.kafka);
        return cli_failed("%s: %s", args->operands[0], rd_kafka_err2str(rd_kafka_last_error()));
    }
    rc = send_stdin(&produce);
    while (rd_kafka_outq_len(produce.kafka) > 0) {
        rd_kafka_flush(produce.kafka, FLUSH_SLICE_MS);
    }
    cli_progress_end(&produce.progress);
    status = report(&produce, args);
    if (rc != 0) {
        status = cli_failed("cannot read stdin: %s", strerror(-rc));
    }
    rd_kafka_topic_destroy(produce.topic);
    rd_kafka_destroy(produce.kafka);
    return status;
}

/* A broker that is away or a topic that does not exist is reported before stdin is read. */
static int
run_produce(const struct cli_args *args)
{
    struct mr_client *client;
    int32_t *partitions;
    int32_t count;
    int32_t last;

    if (args->key_separator && args->key_separator[0] == '\0') {
        return cli_misused("--key-separator takes at least one character");
    }
    client = cli_connect(args);
    if (!client) {
        return CLI_EXIT_FAILED;
    }
    partitions = cli_topic_partitions(client, args->operands[0], true, &count);
    mr_client_close(client);
    if (!partitions) {
        return CLI_EXIT_FAILED;
    }
    last = count > 0 ? partitions[count - 1] : -1;
    free(partitions);
    if (args->partition > last) {
        return cli_failed("%s has partitions 0 to %d, not %" PRId64, args->operands[0], last,
                          args->partition);
    }
    return produce_all(args);
}

const struct cli_command cli_produce = {
    .name = "produce",
    .operands = "TOPIC",
    .summary = "Sends each line of stdin as a record",
    .details = "Prints how many records the broker acknowledged, and fails if one was not.\n"
               "With --acks 0 nobody acknowledges: the count is what was handed to the network.\n"
               "\nFor example, a record with key \"ann\" and value \"42\":\n"
               "  echo ann:42 | millrace produce ages --key-separator :",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_produce,
};
