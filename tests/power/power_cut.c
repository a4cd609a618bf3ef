/* Goal: what a client was told is durable survives a power cut, once and in order.
 *
 * Method: the real broker runs with dev.volatile=true, so that kill -9 loses every write that was
 * not flushed. An idempotent producer (acks=all) and a plain one (acks=1, no retries) write
 * numbered records to four partitions; the broker is killed under that load again and again, each
 * time after at least ACKS_PER_CYCLE acknowledgements, and started again. The producers are never
 * told; they go on. At the end a consumer reads everything, and numbered_judge() says what must
 * hold.
 *
 * Usage: power_cut BROKER CYCLES SHARDS. Exit status: 0, or 1 with what is missing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/power/numbered.h"

#define PARTITIONS     4
#define PRODUCERS      2
#define ACKS_PER_CYCLE 1000u
#define NUMBERS_MAX    2000000u
#define IN_QUEUE_MAX   2000

static struct numbered topic;

static void
produce_some(unsigned producer)
{
    for (unsigned i = 0; i < 64; i++) {
        int32_t partition = (int32_t)(i % PARTITIONS);
        uint32_t sent = topic.streams[producer][partition].sent;

        if (rd_kafka_outq_len(topic.producers[producer].handle) >= IN_QUEUE_MAX ||
            !numbered_send(&topic, producer, partition,
                           sent % 512 == 0 ? 40000 : 64 + sent % 256)) {
            return;
        }
    }
}

static void
work(void *context)
{
    (void)context;
    for (unsigned p = 0; p < PRODUCERS; p++) {
        produce_some(p);
        rd_kafka_poll(topic.producers[p].handle, 1);
    }
}

static void
run_cycles(unsigned cycles)
{
    unsigned dirty = 0;

    for (unsigned cycle = 0; cycle < cycles; cycle++) {
        uint64_t target = topic.acks + ACKS_PER_CYCLE + (uint64_t)(rand() % 4000);
        time_t deadline = time(NULL) + POWER_DEADLINE_S;

        while (topic.acks < target) {
            work(NULL);
            if (time(NULL) > deadline) {
                power_die("the producers do not go on after a restart");
            }
        }
        power_wait_unflushed(work, NULL);
        dirty += power_kill() > 0;
        power_start();
    }
    for (unsigned p = 0; p < PRODUCERS; p++) {
        power_flush(topic.producers[p].handle);
    }
    printf("%u kills, %u with writes not flushed; %" PRIu64 " acknowledged, %" PRIu64 " failed\n",
           cycles, dirty, topic.acks,
           topic.producers[1].refused[0] + topic.producers[1].refused[1]);
    if (dirty * 2 <= cycles) {
        power_die("most kills must meet writes that are not flushed");
    }
}

int
main(int argc, char **argv)
{
    static const char *const plain[][2] = {
        {"enable.idempotence", "false"},  {"acks", "1"},      {"retries", "0"},
        {"message.timeout.ms", "120000"}, {"linger.ms", "1"}, {NULL, NULL},
    };
    static const char *const arguments[] = {
        "--set", "num.partitions=4",       "--set", "store.bytes=134217728",
        "--set", "journal.bytes=16777216", "--set", "log.level=warn",
        NULL};
    unsigned cycles = power_begin(argc, argv, arguments);

    numbered_init(&topic, "power", PARTITIONS, NUMBERS_MAX);
    numbered_producer(&topic, 0, NULL);
    numbered_producer(&topic, 1, plain);
    run_cycles(cycles);
    numbered_judge(&topic, topic.producers[0].handle);
    for (unsigned p = 0; p < PARTITIONS; p++) {
        if (topic.starts[p] != 0) {
            power_die("records are missing: nothing was to be trimmed");
        }
    }
    printf("%" PRIu64 " records found, every acknowledged one once and in order\n", topic.found);
    for (unsigned p = 0; p < PRODUCERS; p++) {
        rd_kafka_destroy(topic.producers[p].handle);
    }
    power_stop();
    power_clean_up();
    return 0;
}
