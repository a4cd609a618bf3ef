/* control/cli/log.c: `millrace log dump`: what lies in the stores of a stopped broker. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/cli.h"
#include "control/cli/store.h"

struct dump {
    const struct cli_args *args;
    struct mr_uuid topic_id; /* zero: every topic */
    struct cli_stores stores;
};

/* ---- batches --------------------------------------------------------------------------------- */

static void
print_batch(const struct dump *dump, const struct mr_batch_header *batch)
{
    static const char *const codecs[] = {"none", "gzip", "snappy", "lz4", "zstd", "?", "?", "?"};
    const char *codec = codecs[batch->attributes & MR_BATCH_ATTR_CODEC];

    printf(dump->args->json
               ? "{\"type\":\"batch\",\"offset\":%" PRId64 ",\"count\":%" PRId32
                 ",\"first_timestamp\":%" PRId64 ",\"max_timestamp\":%" PRId64
                 ",\"codec\":\"%s\",\"producer_id\":%" PRId64
                 ",\"producer_epoch\":%d,\"sequence\":%" PRId32 ",\"size\":%" PRId32 "}\n"
               : "    offset %" PRId64 "  count %" PRId32 "  timestamps %" PRId64 "..%" PRId64
                 "  codec %s  producer %" PRId64 " epoch %d sequence %" PRId32 "  size %" PRId32
                 "\n",
           batch->base_offset, batch->record_count, batch->base_timestamp, batch->max_timestamp,
           codec, batch->producer_id, batch->producer_epoch, batch->base_sequence, batch->size);
}

/* Prints the batches of an answer; the offset behind them, or -1 after the error was printed. */
static int64_t
print_answer(const struct dump *dump, const struct mr_read *read)
{
    int64_t next = read->offset;
    uint8_t *bytes = cli_store_bytes(read);

    if (!bytes) {
        cli_failed("no memory for %" PRIu32 " bytes", read->size);
        return -1;
    }
    for (size_t at = 0; at < read->size;) {
        struct mr_batch_header batch;

        if (read->size - at < MR_BATCH_HEADER_SIZE ||
            mr_batch_header_get(bytes + at, &batch) != 0 || (size_t)batch.size > read->size - at ||
            batch.base_offset + batch.last_offset_delta < next) {
            cli_failed("the batch at offset %" PRId64 " is malformed", next);
            next = -1;
            break;
        }
        print_batch(dump, &batch);
        next = batch.base_offset + batch.last_offset_delta + 1;
        at += (size_t)batch.size;
    }
    free(bytes);
    return next;
}

static int
print_batches(struct dump *dump, struct mr_store *store, struct mr_log *log)
{
    struct mr_log_offsets offsets;
    int64_t next;

    mr_log_offsets(log, &offsets);
    next = offsets.start;
    while (next >= 0 && next < offsets.high_watermark) {
        struct cli_reading reading;
        int error = cli_store_read(&dump->stores, store, log, next, &reading);

        if (error) {
            return cli_failed("offset %" PRId64 " cannot be read: %s", next, strerror(-error));
        }
        if (reading.read.error || reading.read.size == 0) {
            cli_failed("offset %" PRId64 ": %s", next, mr_kafka_err_text(reading.read.error));
            next = -1;
        } else {
            next = print_answer(dump, &reading.read);
        }
        mr_log_read_release(store, &reading.read);
    }
    return next < 0 ? CLI_EXIT_FAILED : CLI_EXIT_OK;
}

/* ---- logs and stores ------------------------------------------------------------------------- */

static int
print_log(struct dump *dump, struct mr_store *store, struct mr_log *log)
{
    const struct mr_log_id *id = mr_log_id(log);
    struct mr_log_offsets offsets;
    char topic[MR_UUID_TEXT_SIZE];

    if ((!mr_uuid_is_zero(&dump->topic_id) && !mr_uuid_equal(&dump->topic_id, &id->topic_id)) ||
        (dump->args->partition >= 0 && dump->args->partition != id->partition)) {
        return CLI_EXIT_OK;
    }
    mr_log_offsets(log, &offsets);
    mr_uuid_format(&id->topic_id, topic);
    printf(dump->args->json ? "{\"type\":\"log\",\"topic_id\":\"%s\",\"partition\":%" PRId32
                              ",\"start\":%" PRId64 ",\"high_watermark\":%" PRId64
                              ",\"bytes\":%" PRIu64 ",\"leader_epoch\":%" PRId32 "}\n"
                            : "  topic %s  partition %" PRId32 "  start %" PRId64
                              "  high watermark %" PRId64 "  bytes %" PRIu64 "  epoch %" PRId32
                              "\n",
           topic, id->partition, offsets.start, offsets.high_watermark, offsets.size_bytes,
           offsets.leader_epoch);
    return dump->args->partition >= 0 ? print_batches(dump, store, log) : CLI_EXIT_OK;
}

static int
print_store(struct dump *dump, const char *path, struct mr_store *store)
{
    const struct mr_store_format *identity = mr_store_identity(store);
    struct mr_store_stats stats;
    char store_id[MR_UUID_TEXT_SIZE];
    char cluster_id[MR_UUID_TEXT_SIZE];
    int status = CLI_EXIT_OK;

    mr_store_stats(store, &stats);
    mr_uuid_format(&identity->store_id, store_id);
    mr_uuid_format(&identity->cluster_id, cluster_id);
    if (dump->args->json) {
        json_t *line = json_object();

        json_object_set_new(line, "type", json_string("store"));
        json_object_set_new(line, "path", json_string(path));
        json_object_set_new(line, "store_id", json_string(store_id));
        json_object_set_new(line, "cluster_id", json_string(cluster_id));
        json_object_set_new(line, "node_id", json_integer(identity->node_id));
        json_object_set_new(line, "index", json_integer(identity->store_index));
        json_object_set_new(line, "bytes", json_integer((json_int_t)stats.size_bytes));
        json_object_set_new(line, "free_bytes", json_integer((json_int_t)stats.free_bytes));
        json_object_set_new(line, "journal_bytes", json_integer((json_int_t)stats.journal_bytes));
        json_object_set_new(line, "clean", json_boolean(mr_store_was_clean(store)));
        cli_json_print(line, true);
    } else {
        printf("%s\n  store %s  cluster %s  node %" PRId32 "  index %" PRIu32 "\n"
               "  bytes %" PRIu64 "  free %" PRIu64 "  journal %" PRIu64 "  %s\n",
               path, store_id, cluster_id, identity->node_id, identity->store_index,
               stats.size_bytes, stats.free_bytes, stats.journal_bytes,
               mr_store_was_clean(store) ? "closed cleanly" : "not closed cleanly");
    }
    for (struct mr_log *log = mr_store_log_next(store, NULL); log && status == CLI_EXIT_OK;
         log = mr_store_log_next(store, log)) {
        status = print_log(dump, store, log);
    }
    return status;
}

static int
dump_file(void *context, const char *path)
{
    struct dump *dump = context;
    struct mr_store *store;
    struct mr_dev *dev;
    char reason[256] = "";
    int error, status;

    if (cli_device_open(&dump->stores, path, &dev)) {
        return CLI_EXIT_FAILED;
    }
    error = cli_store_open(&dump->stores, dev, CLI_STORE_LOOK, &store, reason, sizeof(reason));
    if (error) {
        status = cli_failed("%s: %s (%s)", path, reason, strerror(-error));
    } else {
        status = print_store(dump, path, store);
        mr_store_abandon(store);
    }
    mr_dev_close(dev);
    return status;
}

static int
run_dump(const struct cli_args *args)
{
    struct dump dump = {.args = args};
    int status;

    if (args->topic_id && mr_uuid_parse(args->topic_id, &dump.topic_id) != 0) {
        return cli_misused("\"%s\" is no topic id: it has 22 characters", args->topic_id);
    }
    status = cli_stores_init(&dump.stores);
    if (status == CLI_EXIT_OK) {
        status = cli_stores_each(args->operands[0], dump_file, &dump);
        cli_stores_close(&dump.stores);
    }
    return status;
}

static const struct cli_option options[] = {
    {.name = "--topic-id",
     .value = "ID",
     .help = "only the logs of this topic",
     .kind = CLI_TEXT,
     .offset = offsetof(struct cli_args, topic_id)},
    {.name = "--partition",
     .value = "N",
     .help = "only this partition, with its batches",
     .kind = CLI_NUMBER,
     .offset = offsetof(struct cli_args, partition),
     .min = 0,
     .max = INT32_MAX},
};

const struct cli_command cli_log_dump = {
    .family = "log",
    .name = "dump",
    .operands = "DIR",
    .summary = "Shows what lies in the stores of a stopped broker's data directory",
    .details = "Reads DIR/store-*.mr, or the device DIR, and writes nothing. With --json every "
               "store, log and batch is\n"
               "one line.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_dump,
};
