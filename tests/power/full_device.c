/* Goal: a store that is full refuses and goes on: on a block device, filled until produce is
 * refused, given room by retention, filled again, three laps, every answer is right and producers
 * need no help.
 *
 * Method: the device is the only store of a broker. A filler without retries writes until it is
 * refused, which has to be KAFKA_STORAGE_ERROR, which clients retry; a patient producer goes on all
 * the while and may give nothing up. While the store is full everything is read and judged by
 * numbered_judge(); then retention.bytes is set, the log starts move, and what the patient producer
 * had waiting must go through. At the end the broker is killed, and judged once more.
 *
 * Usage: full_device BROKER DEVICE; what the device holds is lost. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/power/numbered.h"

#define LAPS         3
#define PARTITIONS   4
#define NUMBERS_MAX  200000
#define REFUSALS     200 /* until the store counts as full */
#define IN_QUEUE_MAX 500
#define PATIENT_MAX  20 /* records of the patient producer that are not acknowledged */
#define KEPT_BYTES   "16777216"

enum { PATIENT, FILLER };

static struct numbered topic;

/* From 100 bytes to 64 KiB, small ones and large ones alike. */
static uint32_t
random_size(void)
{
    uint32_t size = 65536u >> rand() % 9;

    return size / 2 + (uint32_t)rand() % (size / 2);
}

static void
produce_patiently(void)
{
    if (rd_kafka_outq_len(topic.producers[PATIENT].handle) < PATIENT_MAX) {
        numbered_send(&topic, PATIENT, rand() % PARTITIONS, random_size());
    }
    rd_kafka_poll(topic.producers[PATIENT].handle, 0);
}

static void
fill(void)
{
    struct numbered_producer *filler = &topic.producers[FILLER];
    uint64_t enough = filler->refused[0] + REFUSALS;
    uint64_t acks = topic.acks;
    time_t deadline = time(NULL) + POWER_DEADLINE_S;

    while (filler->refused[0] < enough) {
        produce_patiently();
        if (rd_kafka_outq_len(filler->handle) < IN_QUEUE_MAX) {
            for (unsigned i = 0; i < 16; i++) {
                numbered_send(&topic, FILLER, rand() % PARTITIONS, random_size());
            }
        }
        rd_kafka_poll(filler->handle, 1);
        if (topic.acks > acks + 1000) {
            acks = topic.acks;
            deadline = time(NULL) + POWER_DEADLINE_S;
        }
        if (time(NULL) > deadline) {
            power_die("produce is neither acknowledged nor refused");
        }
    }
    power_flush(filler->handle);
    if (filler->refused[1] > 0) {
        power_die("%" PRIu64 " records failed with another error than KAFKA_STORAGE_ERROR",
                  filler->refused[1]);
    }
    if (power_metric("millrace_store_full") != 1) {
        power_die("a store that refuses does not say that it is full");
    }
}

/* Retention takes what is old, and what waited goes through without help. */
static void
trim(void)
{
    int64_t before[PARTITIONS];
    rd_kafka_t *client = topic.producers[FILLER].handle;

    for (unsigned p = 0; p < PARTITIONS; p++) {
        before[p] = topic.starts[p];
    }
    power_alter_topic(client, "full", "retention.bytes", KEPT_BYTES);
    power_flush(topic.producers[PATIENT].handle);
    for (unsigned p = 0; p < PARTITIONS; p++) {
        time_t deadline = time(NULL) + POWER_DEADLINE_S;

        while (topic.starts[p] <= before[p]) {
            numbered_check_offsets(&topic, client);
            if (time(NULL) > deadline) {
                power_die("retention does not trim a full store");
            }
        }
    }
    if (power_metric("millrace_store_full") != 0) {
        power_die("a store that has room again says that it is full");
    }
    power_alter_topic(client, "full", "retention.bytes", "-1");
}

static void
make_topic(void)
{
    static const char *const impatient[][2] = {
        {"enable.idempotence", "false"},  {"acks", "all"},    {"retries", "0"},
        {"message.timeout.ms", "120000"}, {"linger.ms", "1"}, {NULL, NULL},
    };
    static const char *const none[] = {NULL};

    numbered_init(&topic, "full", PARTITIONS, NUMBERS_MAX);
    numbered_producer(&topic, PATIENT, NULL);
    numbered_producer(&topic, FILLER, impatient);
    power_create_topic(topic.producers[FILLER].handle, "full", PARTITIONS, none);
}

int
main(int argc, char **argv)
{
    const char *arguments[] = {"--data-dir", argc == 3 ? argv[2] : "",
                               "--shards",   "1",
                               "--set",      "metadata.log.dir=@",
                               "--set",      "drives.discard=true",
                               "--set",      "journal.bytes=33554432",
                               "--set",      "log.segment.bytes=4194304",
                               "--set",      "log.retention.check.interval.ms=200",
                               "--set",      "auto.create.topics.enable=false",
                               "--set",      "log.level=error",
                               NULL};
    unsigned seed = (unsigned)time(NULL);

    if (argc != 3) {
        fprintf(stderr, "usage: full_device BROKER DEVICE\n");
        return 1;
    }
    printf("seed %u\n", seed);
    srand(seed);
    power_prepare(argv[1], arguments);
    power_start();
    make_topic();
    for (unsigned lap = 1; lap <= LAPS; lap++) {
        uint64_t refused = topic.producers[FILLER].refused[0];

        fill();
        numbered_judge(&topic, topic.producers[FILLER].handle);
        printf("lap %u: full with %" PRIu64 " records of %" PRIu64 " acknowledged so far, %" PRIu64
               " refused\n",
               lap, topic.found, topic.acks, topic.producers[FILLER].refused[0] - refused);
        trim();
    }
    if (power_metric("millrace_store_discarded_bytes_total") == 0) {
        power_die("nothing of what retention took was discarded");
    }
    power_kill();
    power_start();
    numbered_judge(&topic, topic.producers[FILLER].handle);
    printf("after a kill %" PRIu64 " records, and every answer was right\n", topic.found);
    rd_kafka_destroy(topic.producers[PATIENT].handle);
    rd_kafka_destroy(topic.producers[FILLER].handle);
    power_stop();
    power_clean_up();
    return 0;
}
