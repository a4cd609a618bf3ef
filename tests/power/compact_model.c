/* Goal: a compacted topic means what was written to it, however often the power goes: a consumer
 * that reads it from the beginning ends with the map that the acknowledged records make.
 *
 * Method: producers with five codecs write random keys, values and tombstones into small segments
 * of a topic with cleanup.policy=compact, while the real broker (dev.volatile=true) compacts all
 * the time and is killed again and again. After every third kill, after a clean restart and at the
 * end librdkafka reads the topic from the beginning and keyed_judge() says what must hold. The
 * broker's own counter says how many compactions there were: without them the test fails.
 *
 * Usage: compact_model BROKER CYCLES SHARDS */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/power/keyed.h"

#define PARTITIONS     3
#define PRODUCERS      5
#define KEYS           800
#define NUMBERS_MAX    400000
#define ACKS_PER_CYCLE 3000
#define JUDGE_EVERY    3

static struct keyed topic;
static uint64_t sent, found, gone; /* over all judgements */

static void
work(void *context)
{
    (void)context;
    keyed_work(&topic, 64);
}

static void
judge(void)
{
    keyed_judge(&topic);
    sent += topic.acks;
    found += topic.found;
    gone += topic.tombstones_gone;
}

static void
run_cycles(unsigned cycles)
{
    uint64_t compactions = 0, bytes = 0;
    unsigned dirty = 0;

    for (unsigned cycle = 0; cycle < cycles; cycle++) {
        uint64_t target = topic.acks + ACKS_PER_CYCLE + (uint64_t)(rand() % 3000);
        time_t deadline = time(NULL) + POWER_DEADLINE_S;

        while (topic.acks < target || power_metric("millrace_store_compactions_total") == 0) {
            work(NULL);
            if (time(NULL) > deadline) {
                power_die("producers or compaction do not go on after a restart");
            }
        }
        compactions += power_metric("millrace_store_compactions_total");
        bytes += power_metric("millrace_store_compacted_bytes_total");
        power_wait_unflushed(work, NULL);
        dirty += power_kill() > 0;
        power_start();
        if (cycle % JUDGE_EVERY == 0) {
            judge();
        }
    }
    printf("%u kills, %u with writes not flushed; %" PRIu64 " compactions wrote %" PRIu64 " KiB\n",
           cycles, dirty, compactions, bytes >> 10);
    if (dirty * 2 <= cycles) {
        power_die("most kills must meet writes that are not flushed");
    }
}

int
main(int argc, char **argv)
{
    static const char *const config[] = {"cleanup.policy",
                                         "compact",
                                         "segment.bytes",
                                         "1048576",
                                         "min.cleanable.dirty.ratio",
                                         "0.05",
                                         "delete.retention.ms",
                                         "700",
                                         NULL};
    static const char *const arguments[] = {
        "--set", "log.cleaner.backoff.ms=100", "--set", "store.bytes=134217728",
        "--set", "journal.bytes=16777216",     "--set", "log.level=warn",
        NULL};
    unsigned cycles = power_begin(argc, argv, arguments);

    keyed_init(&topic, "compacted", PARTITIONS, PRODUCERS, KEYS, NUMBERS_MAX, config);
    run_cycles(cycles);
    judge();
    power_stop();
    power_start();
    judge();
    printf("the map was right after every kill; of %" PRIu64 " records %" PRIu64
           " were still there, %" PRIu64 " keys had lost their tombstone\n",
           sent, found, gone);
    if (found * 2 > sent || gone == 0) {
        power_die("compaction must have removed records, and tombstones after their time");
    }
    keyed_destroy(&topic);
    power_stop();
    power_clean_up();
    return 0;
}
