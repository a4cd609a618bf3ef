/* control/cli/log_check.c: `millrace log check` and `log format`: is a store sound, and a store
 * made beforehand. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control/cli/cli.h"
#include "control/cli/store.h"
#include "storage/crc32c.h"

#define SIZE_MIN (8ll << 20)
/* Of a store that is made here; the broker that takes it chooses its own. */
#define JOURNAL_PART  8
#define JOURNAL_BYTES (64ull << 20)
#define CRC_FROM      21u /* a batch's checksum covers what lies behind it */

/* ---- check ----------------------------------------------------------------------------------- */

struct check {
    const struct cli_args *args;
    struct cli_stores stores;
    struct mr_store *store;
    uint64_t logs, batches, bytes, damaged; /* of one store */
    bool unsound;                           /* any of them */
};

/* Goes over the batches of an answer; the offset behind the last good one. */
static int64_t
check_answer(struct check *check, const struct mr_read *read)
{
    uint8_t *bytes = cli_store_bytes(read);
    int64_t next = read->offset;

    for (size_t at = 0; bytes && at < read->size;) {
        struct mr_batch_header batch;

        if (read->size - at < MR_BATCH_HEADER_SIZE ||
            mr_batch_header_get(bytes + at, &batch) != 0 || (size_t)batch.size > read->size - at ||
            batch.base_offset + batch.last_offset_delta < next ||
            mr_crc32c(0, bytes + at + CRC_FROM, (size_t)batch.size - CRC_FROM) != batch.crc) {
            break;
        }
        check->batches++;
        check->bytes += (uint64_t)batch.size;
        next = batch.base_offset + batch.last_offset_delta + 1;
        at += (size_t)batch.size;
    }
    free(bytes);
    return next;
}

static void
print_damage(const struct check *check, const struct mr_log *log, int64_t from, int64_t end)
{
    char topic[MR_UUID_TEXT_SIZE];

    mr_uuid_format(&mr_log_id(log)->topic_id, topic);
    printf(check->args->json ? "{\"type\":\"damage\",\"topic_id\":\"%s\",\"partition\":%" PRId32
                               ",\"from\":%" PRId64 ",\"to\":%" PRId64 "}\n"
                             : "  topic %s  partition %" PRId32
                               ": cannot be read from offset %" PRId64 " to before %" PRId64 "\n",
           topic, mr_log_id(log)->partition, from, end);
}

/* Reads the whole log. Behind an offset that cannot be read it tries others, further away each
 * time. */
static void
check_log(struct check *check, struct mr_log *log)
{
    struct mr_log_offsets offsets;
    int64_t next, bad = -1, step = 1;

    mr_log_offsets(log, &offsets);
    check->logs++;
    for (next = offsets.start; next < offsets.high_watermark;) {
        struct cli_reading reading;
        int error = cli_store_read(&check->stores, check->store, log, next, &reading);
        int64_t end = next;

        if (!error && !reading.read.error && reading.read.size == 0) {
            mr_log_read_release(check->store, &reading.read);
            break; /* offsets without batches: they were cleaned or cut away */
        }
        if (!error) {
            end = reading.read.error ? next : check_answer(check, &reading.read);
            mr_log_read_release(check->store, &reading.read);
        }
        if (end > next) {
            if (bad >= 0) {
                print_damage(check, log, bad, next);
            }
            bad = -1;
            step = 1;
            next = end;
        } else {
            check->damaged += bad < 0;
            bad = bad < 0 ? next : bad;
            next += step;
            step *= 2;
        }
    }
    if (bad >= 0) {
        print_damage(check, log, bad, offsets.high_watermark);
    }
}

static void
print_result(const struct check *check, const char *path, const char *reason)
{
    struct mr_store_stats stats = {0};
    bool clean = false;

    if (check->store) {
        mr_store_stats(check->store, &stats);
        clean = mr_store_was_clean(check->store);
    }
    if (check->args->json) {
        json_t *line = json_object();

        json_object_set_new(line, "type", json_string("check"));
        json_object_set_new(line, "path", json_string(path));
        json_object_set_new(line, "sound", json_boolean(check->store && check->damaged == 0));
        json_object_set_new(line, "reason", json_string(reason));
        json_object_set_new(line, "clean", json_boolean(clean));
        json_object_set_new(line, "superblocks", json_integer(stats.supers_whole));
        json_object_set_new(line, "roots", json_integer(stats.roots_whole));
        json_object_set_new(line, "partitions", json_integer((json_int_t)check->logs));
        json_object_set_new(line, "batches", json_integer((json_int_t)check->batches));
        json_object_set_new(line, "bytes", json_integer((json_int_t)check->bytes));
        json_object_set_new(line, "damaged", json_integer((json_int_t)check->damaged));
        cli_json_print(line, true);
        return;
    }
    printf("%s: ", path);
    if (!check->store) {
        printf("refused: %s\n", reason);
        return;
    }
    printf("%s; %u of 2 superblocks and %u of 2 roots are whole\n  %" PRIu64 " partitions, %" PRIu64
           " batches with %" PRIu64 " bytes are whole, %" PRIu64 " places are damaged\n",
           clean ? "closed cleanly" : "not closed cleanly", stats.supers_whole, stats.roots_whole,
           check->logs, check->batches, check->bytes, check->damaged);
}

/* Opens the store for writing, so that it cuts its journal, and closes it. */
static int
repair(struct check *check, const char *path, struct mr_dev *dev)
{
    char reason[256] = "";
    int error = cli_store_open(&check->stores, dev, CLI_STORE_REPAIR, &check->store, reason,
                               sizeof(reason));

    if (error) {
        return cli_failed("%s cannot be repaired: %s (%s)", path, reason, strerror(-error));
    }
    fprintf(stderr, "%s: %s\n", path, reason[0] ? reason : "nothing was to be repaired");
    error = mr_store_close(check->store);
    check->store = NULL;
    return error ? cli_failed("%s: %s", path, strerror(-error)) : CLI_EXIT_OK;
}

static int
check_file(void *context, const char *path)
{
    struct check *check = context;
    char reason[256] = "";
    struct mr_dev *dev;
    int error, status = CLI_EXIT_OK;

    if (cli_device_open(&check->stores, path, &dev)) {
        return CLI_EXIT_FAILED;
    }
    check->logs = check->batches = check->bytes = check->damaged = 0;
    if (check->args->repair) {
        status = repair(check, path, dev);
    }
    check->store = NULL;
    if (status == CLI_EXIT_OK) {
        error = cli_store_open(&check->stores, dev, CLI_STORE_LOOK, &check->store, reason,
                               sizeof(reason));
        for (struct mr_log *log = error ? NULL : mr_store_log_next(check->store, NULL); log;
             log = mr_store_log_next(check->store, log)) {
            check_log(check, log);
        }
        check->unsound = check->unsound || error || check->damaged > 0;
        print_result(check, path, reason[0] || !error ? reason : strerror(-error));
        if (!error) {
            mr_store_abandon(check->store);
        }
    }
    mr_dev_close(dev);
    return status;
}

static int
run_check(const struct cli_args *args)
{
    struct check check = {.args = args};
    int status = cli_stores_init(&check.stores);

    if (status == CLI_EXIT_OK) {
        status = cli_stores_each(args->operands[0], check_file, &check);
        cli_stores_close(&check.stores);
    }
    return status == CLI_EXIT_OK && check.unsound ? CLI_EXIT_FAILED : status;
}

static const struct cli_option check_options[] = {
    {.name = "--repair",
     .help = "cut a journal that is damaged in its middle; what follows is lost",
     .kind = CLI_FLAG,
     .offset = offsetof(struct cli_args, repair)},
};

const struct cli_command cli_log_check = {
    .family = "log",
    .name = "check",
    .operands = "DIR",
    .summary = "Tells whether the stores of a stopped broker are sound",
    .details =
        "Opens DIR/store-*.mr, or the file or device DIR, as a broker would, without writing, and\n"
        "reads every batch. Exits with 0 where all is whole, else with 1. --repair writes: a\n"
        "journal with a bad set before good ones, which a broker refuses, is cut at the bad one.",
    .options = check_options,
    .option_count = sizeof(check_options) / sizeof(check_options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_check,
};

/* ---- format ---------------------------------------------------------------------------------- */

/* What may be overwritten without --force: nothing but zeros, or a store that nobody has yet. */
static int
refuse_content(const char *path, struct mr_dev *dev)
{
    char cluster[MR_UUID_TEXT_SIZE];
    struct mr_store_format found;
    int error = mr_store_identify(dev, &found);

    if (error == 0 && mr_uuid_is_zero(&found.cluster_id)) {
        return CLI_EXIT_OK;
    }
    if (error == 0) {
        mr_uuid_format(&found.cluster_id, cluster);
        return cli_failed("%s holds a store of cluster %s, node %" PRId32
                          "; --force formats it all the same",
                          path, cluster, found.node_id);
    }
    error = mr_dev_check_blank(dev);
    if (error == -EEXIST) {
        return cli_failed("%s is not blank: something lies in its first or last MiB; --force "
                          "formats it all the same",
                          path);
    }
    return error ? cli_failed("%s: %s", path, strerror(-error)) : CLI_EXIT_OK;
}

static int
format_device(struct cli_stores *stores, const struct cli_args *args, const char *path)
{
    struct mr_store_format format = {.store_id = mr_uuid_random(), .node_id = -1};
    char id[MR_UUID_TEXT_SIZE];
    struct mr_dev *dev;
    int error, status;

    if (cli_device_open(stores, path, &dev)) {
        return CLI_EXIT_FAILED;
    }
    status = args->force ? CLI_EXIT_OK : refuse_content(path, dev);
    if (status == CLI_EXIT_OK) {
        format.journal_bytes = dev->size_bytes / JOURNAL_PART / MR_DEV_BLOCK * MR_DEV_BLOCK;
        if (format.journal_bytes > JOURNAL_BYTES) {
            format.journal_bytes = JOURNAL_BYTES;
        }
        error = mr_store_format(dev, &format);
        status = error ? cli_failed("%s: %s", path, strerror(-error)) : CLI_EXIT_OK;
    }
    if (status == CLI_EXIT_OK) {
        mr_uuid_format(&format.store_id, id);
        printf("%s: store %s, %" PRIu64 " bytes\n", path, id, dev->size_bytes);
    }
    mr_dev_close(dev);
    return status;
}

/* Zeros to the full size; what is there already must be ours to take. */
static int
prepare_file(struct cli_stores *stores, const struct cli_args *args, const char *path,
             uint64_t has_bytes)
{
    int64_t size = args->size_bytes / MR_DEV_BLOCK * MR_DEV_BLOCK;
    struct mr_dev *dev;
    int status = CLI_EXIT_OK, error;

    if (has_bytes > (uint64_t)size) {
        return cli_failed("%s has %" PRIu64 " bytes already; remove it first, or give a larger "
                          "--size",
                          path, has_bytes);
    }
    if (has_bytes > 0 && !args->force) {
        if (cli_device_open(stores, path, &dev)) {
            return CLI_EXIT_FAILED;
        }
        status = refuse_content(path, dev);
        mr_dev_close(dev);
    }
    error = status == CLI_EXIT_OK ? mr_dev_file_prepare(path, (uint64_t)size, 0) : 0;
    return error ? cli_failed("%s: %s", path, strerror(-error)) : status;
}

static int
run_format(const struct cli_args *args)
{
    const char *path = args->operands[0];
    struct cli_stores stores;
    struct stat found = {0};
    bool device = stat(path, &found) == 0 && S_ISBLK(found.st_mode);
    int status;

    if (device && args->size_bytes >= 0) {
        return cli_misused("a device is taken whole: no --size");
    }
    if (!device && args->size_bytes < 0) {
        return cli_misused("a file needs --size");
    }
    status = cli_stores_init(&stores);
    if (status == CLI_EXIT_OK) {
        status = device ? CLI_EXIT_OK : prepare_file(&stores, args, path, (uint64_t)found.st_size);
        if (status == CLI_EXIT_OK) {
            status = format_device(&stores, args, path);
        }
        cli_stores_close(&stores);
    }
    return status;
}

static const struct cli_option format_options[] = {
    {.name = "--size",
     .value = "BYTES",
     .help = "of a file; it is written whole",
     .kind = CLI_NUMBER,
     .offset = offsetof(struct cli_args, size_bytes),
     .min = SIZE_MIN,
     .max = INT64_MAX},
    {.name = "--force",
     .help = "whatever the file or device holds",
     .kind = CLI_FLAG,
     .offset = offsetof(struct cli_args, force)},
};

const struct cli_command cli_log_format = {
    .family = "log",
    .name = "format",
    .operands = "PATH",
    .summary = "Makes a store beforehand, so that it need not grow later",
    .details = "PATH is a block device, or a file DIR/store-000.mr (store-001.mr, ...) that is "
               "written to its full\n"
               "size. A broker whose data directory DIR is new takes it. What is not blank is "
               "refused without --force.",
    .options = format_options,
    .option_count = sizeof(format_options) / sizeof(format_options[0]),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_format,
};
