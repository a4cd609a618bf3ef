/* Goal: nothing acknowledged is lost by a power cut while everything moves: retention, compaction,
 * topics that are deleted and made again under the same names, and a store that grows.
 *
 * Method: as power_cut.c: the real broker with dev.volatile=true under load of producers that never
 * give up, killed and started again. At once
 *   - "kept" takes records of up to 64 KiB and keeps them: the store, small at first, has to grow
 *     again and again, and every third kill waits for a growth in progress;
 *   - "trimmed" has retention.bytes: its log start moves, and never back;
 *   - "compacted" is compacted all the time; its map must be the model's (keyed.h);
 *   - the passing topics live for one kill: deleted before it, in the middle of it, or after it,
 *     and a topic that was deleted never comes back, nor does a record of an earlier life.
 *
 * Usage: power_churn BROKER CYCLES SHARDS */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "tests/power/keyed.h"
#include "tests/power/numbered.h"

#define MIB             (1024 * 1024)
#define GROWTH_BYTES    (8 * MIB)
#define RETENTION_BYTES (3 * MIB)
#define RECORD_BYTES    220 /* more than a record takes beside its value, its batch's header too */
#define CYCLE_BYTES     (4 * MIB) /* acknowledged in "kept" between two kills, and more */
#define KEYS            300
#define PARTITIONS      2
#define NUMBERS_MAX     1000000
#define IN_QUEUE_MAX    200
#define PASSING_NAMES   3
#define PASSING_RECORDS 200

static struct numbered kept, trimmed;
static struct keyed compacted;
static rd_kafka_t *client;
static unsigned cuts_in_growth;

/* ---- load ------------------------------------------------------------------------------------ */

static void
produce_some(struct numbered *topic, unsigned count, uint32_t size_max)
{
    rd_kafka_t *handle = topic->producers[0].handle;

    for (unsigned i = 0; i < count && rd_kafka_outq_len(handle) < IN_QUEUE_MAX; i++) {
        uint32_t size = size_max >> rand() % 8;

        if (!numbered_send(topic, 0, (int32_t)(i % PARTITIONS),
                           size / 2 + (uint32_t)rand() % (size / 2))) {
            break;
        }
    }
    rd_kafka_poll(handle, 1);
}

static void
work(void *context)
{
    (void)context;
    produce_some(&kept, 8, 65536);
    produce_some(&trimmed, 8, 8192);
    keyed_work(&compacted, 12);
}

static uint64_t
acks(void)
{
    return kept.acks + trimmed.acks + compacted.acks;
}

/* Of all stores. */
static uint64_t
stores_size(void)
{
    uint64_t size = 0;
    struct stat status;
    char path[128];

    for (unsigned i = 0;; i++) {
        snprintf(path, sizeof(path), "%s/store-%03u.mr", power_folder(), i);
        if (stat(path, &status) != 0) {
            return size;
        }
        size += (uint64_t)status.st_size;
    }
}

/* Goes on producing until a file is being extended; gives up where that was too short to be seen.
 */
static void
wait_for_growth(void)
{
    uint64_t enough = kept.acked_bytes + 2 * GROWTH_BYTES;

    while (kept.acked_bytes < enough) {
        work(NULL);
        for (unsigned i = 0; i < 50; i++) {
            if (stores_size() % GROWTH_BYTES != 0) {
                cuts_in_growth++;
                return;
            }
        }
    }
}

/* ---- topics that pass ------------------------------------------------------------------------ */

enum fate { DELETED_BEFORE, DELETED_DURING, DELETED_AFTER, MADE_AGAIN, FATES };

struct passing {
    char name[32];
    unsigned life;    /* what its records say */
    unsigned records; /* acknowledged */
    unsigned found;
    enum fate fate;
    rd_kafka_t *asker; /* whose request to delete it nobody waits for */
};

static const char *const no_config[] = {NULL};

static void
passing_report(rd_kafka_t *handle, const rd_kafka_message_t *message, void *context)
{
    struct passing *passing = context;

    (void)handle;
    if (message->err || message->offset != passing->records) {
        power_die("%s: record %u: %s, offset %" PRId64, passing->name, passing->records,
                  rd_kafka_err2str(message->err), message->offset);
    }
    passing->records++;
}

/* A new life of the topic, with all its records acknowledged. */
static void
passing_fill(struct passing *passing)
{
    static unsigned lives;
    rd_kafka_t *producer;

    power_create_topic(client, passing->name, 1, no_config);
    passing->life = ++lives;
    passing->records = 0;
    producer = power_producer(NULL, passing_report, passing);
    for (unsigned i = 0; i < PASSING_RECORDS; i++) {
        char value[64];
        int size = snprintf(value, sizeof(value), "%u %u ", passing->life, i);

        rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(passing->name), RD_KAFKA_V_PARTITION(0),
                          RD_KAFKA_V_VALUE(value, (size_t)size),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    }
    power_flush(producer);
    rd_kafka_destroy(producer);
}

static void
passing_delete(const struct passing *passing)
{
    rd_kafka_resp_err_t error = power_delete_topic(client, passing->name);

    if (error) {
        power_die("%s is not deleted: %s", passing->name, rd_kafka_err2str(error));
    }
}

static void
passing_before_kill(struct passing *passing, unsigned cycle)
{
    snprintf(passing->name, sizeof(passing->name), "passing-%u", cycle % PASSING_NAMES);
    passing->fate = (enum fate)(cycle % FATES);
    passing->asker = NULL;
    passing_fill(passing);
    if (passing->fate == DELETED_BEFORE || passing->fate == MADE_AGAIN) {
        passing_delete(passing);
    }
    if (passing->fate == MADE_AGAIN) {
        passing_fill(passing);
    }
}

static void
passing_at_kill(struct passing *passing)
{
    static const char *const none[][2] = {{NULL, NULL}};
    rd_kafka_DeleteTopic_t *wanted;
    rd_kafka_queue_t *queue;

    if (passing->fate == DELETED_DURING) {
        passing->asker = power_client(RD_KAFKA_PRODUCER, none, NULL, NULL);
        queue = rd_kafka_queue_new(passing->asker);
        wanted = rd_kafka_DeleteTopic_new(passing->name);
        rd_kafka_DeleteTopics(passing->asker, &wanted, 1, NULL, queue);
        rd_kafka_DeleteTopic_destroy(wanted);
        rd_kafka_queue_destroy(queue);
    }
}

static bool
passing_exists(const struct passing *passing)
{
    const struct rd_kafka_metadata *metadata;
    bool exists = false;

    if (rd_kafka_metadata(client, 1, NULL, &metadata, POWER_DEADLINE_S * 1000) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        power_die("no metadata");
    }
    for (int i = 0; i < metadata->topic_cnt; i++) {
        exists |= strcmp(metadata->topics[i].topic, passing->name) == 0;
    }
    rd_kafka_metadata_destroy(metadata);
    return exists;
}

static void
passing_record(const rd_kafka_message_t *message, void *context)
{
    struct passing *passing = context;
    unsigned life, number;
    char text[64] = "";

    memcpy(text, message->payload, message->len < 63 ? message->len : 63);
    if (sscanf(text, "%u %u", &life, &number) != 2 || life != passing->life ||
        number != passing->found || message->offset != passing->found) {
        power_die("%s, life %u: \"%s\" at %" PRId64 ", expected record %u", passing->name,
                  passing->life, text, message->offset, passing->found);
    }
    passing->found++;
}

static void
passing_after_kill(struct passing *passing)
{
    bool exists;

    if (passing->asker) {
        rd_kafka_destroy(passing->asker);
    }
    exists = passing_exists(passing);
    if (exists == (passing->fate == DELETED_BEFORE) && passing->fate != DELETED_DURING) {
        power_die("%s is %s after the kill", passing->name, exists ? "there again" : "gone");
    }
    if (!exists) {
        return;
    }
    passing->found = 0;
    power_read_all(passing->name, 1, passing_record, passing);
    if (passing->found != passing->records) {
        power_die("%s: %u records of %u are left", passing->name, passing->found, passing->records);
    }
    passing_delete(passing);
}

/* ---- cycles ---------------------------------------------------------------------------------- */

static void
run_cycles(unsigned cycles)
{
    uint64_t compactions = 0, size = stores_size();
    struct passing passing;
    unsigned dirty = 0;

    for (unsigned cycle = 0; cycle < cycles; cycle++) {
        uint64_t target = kept.acked_bytes + CYCLE_BYTES + (uint64_t)(rand() % CYCLE_BYTES);
        time_t deadline = time(NULL) + POWER_DEADLINE_S;

        passing_before_kill(&passing, cycle);
        while (kept.acked_bytes < target) {
            work(NULL);
            if (time(NULL) > deadline) {
                power_die("the producers do not go on after a restart");
            }
        }
        numbered_check_offsets(&kept, client);
        numbered_check_offsets(&trimmed, client);
        compactions += power_metric("millrace_store_compactions_total");
        if (cycle % 3 == 0) {
            wait_for_growth();
        }
        passing_at_kill(&passing);
        power_wait_unflushed(work, NULL);
        dirty += power_kill() > 0;
        power_start();
        numbered_check_offsets(&kept, client);
        numbered_check_offsets(&trimmed, client);
        passing_after_kill(&passing);
    }
    printf("%u kills, %u with writes not flushed, %u while a store grew; %" PRIu64
           " acknowledged; %" PRIu64 " compactions; stores grew from %" PRIu64 " to %" PRIu64
           " MiB\n",
           cycles, dirty, cuts_in_growth, acks(), compactions, size / MIB, stores_size() / MIB);
    if (dirty * 2 <= cycles || compactions < cycles / 2 || stores_size() == size) {
        power_die("too little of what this test is for happened");
    }
}

/* Retention took something, and not more than it may. */
static void
judge_retention(void)
{
    for (unsigned p = 0; p < PARTITIONS; p++) {
        uint64_t records = (uint64_t)(trimmed.ends[p] - trimmed.starts[p]);

        if (trimmed.starts[p] == 0 ||
            trimmed.found_bytes[p] + records * RECORD_BYTES < RETENTION_BYTES) {
            power_die("trimmed-%u: the log starts at %" PRId64 ", %" PRIu64 " bytes are left", p,
                      trimmed.starts[p], trimmed.found_bytes[p]);
        }
        if (kept.starts[p] != 0) {
            power_die("kept-%u: the log starts at %" PRId64, p, kept.starts[p]);
        }
    }
}

static void
make_topics(void)
{
    static const char *const retention[] = {"segment.bytes", "1048576", "retention.bytes",
                                            "3145728", NULL};
    static const char *const compaction[] = {"cleanup.policy",
                                             "compact",
                                             "segment.bytes",
                                             "1048576",
                                             "min.cleanable.dirty.ratio",
                                             "0.05",
                                             "delete.retention.ms",
                                             "700",
                                             NULL};

    keyed_init(&compacted, "compacted", PARTITIONS, 2, KEYS, NUMBERS_MAX, compaction);
    client = compacted.handles[0];
    power_create_topic(client, "kept", PARTITIONS, no_config);
    power_create_topic(client, "trimmed", PARTITIONS, retention);
    numbered_init(&kept, "kept", PARTITIONS, NUMBERS_MAX);
    numbered_init(&trimmed, "trimmed", PARTITIONS, NUMBERS_MAX);
    numbered_producer(&kept, 0, NULL);
    numbered_producer(&trimmed, 0, NULL);
}

/* How much the cycles have brought depends on the machine: retention gets enough to trim. */
static void
feed_retention(void)
{
    time_t deadline = time(NULL) + POWER_DEADLINE_S;
    bool untouched = true;

    while (untouched && time(NULL) <= deadline) {
        for (unsigned i = 0; i < 20; i++) {
            produce_some(&trimmed, 8, 8192);
        }
        numbered_check_offsets(&trimmed, client);
        untouched = false;
        for (unsigned p = 0; p < PARTITIONS; p++) {
            untouched |= trimmed.starts[p] == 0;
        }
    }
}

static void
judge(void)
{
    feed_retention();
    power_flush(kept.producers[0].handle);
    power_flush(trimmed.producers[0].handle);
    keyed_judge(&compacted);
    numbered_judge(&kept, client);
    numbered_judge(&trimmed, client);
    judge_retention();
}

int
main(int argc, char **argv)
{
    static const char *const arguments[] = {"--set", "auto.create.topics.enable=false",
                                            "--set", "log.cleaner.backoff.ms=100",
                                            "--set", "log.retention.check.interval.ms=100",
                                            "--set", "store.bytes=50331648",
                                            "--set", "store.growth.bytes=8388608",
                                            "--set", "journal.bytes=8388608",
                                            "--set", "log.level=error",
                                            NULL};
    unsigned cycles = power_begin(argc, argv, arguments);

    make_topics();
    run_cycles(cycles);
    judge();
    printf("kept %" PRIu64 ", trimmed %" PRIu64 ", compacted %" PRIu64
           " records found, and they are what they must be\n",
           kept.found, trimmed.found, compacted.found);
    rd_kafka_destroy(kept.producers[0].handle);
    rd_kafka_destroy(trimmed.producers[0].handle);
    keyed_destroy(&compacted);
    power_stop();
    power_clean_up();
    return 0;
}
