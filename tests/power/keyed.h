/* tests/power/keyed.h: a compacted topic, and the map that a reader of it must end with.
 *
 * Producers with different codecs write random keys, values and tombstones. What the topic means is
 * said by the offsets that were acknowledged: of every key the record with the largest one. */
#ifndef TESTS_POWER_KEYED_H
#define TESTS_POWER_KEYED_H

#include "tests/power/power.h"

#define KEYED_PARTITIONS_MAX 4
#define KEYED_PRODUCERS_MAX  5

struct keyed_record {
    uint32_t key;
    uint16_t size; /* of the value */
    uint8_t producer;
    bool tombstone;
};

struct keyed_partition {
    struct keyed_record *records; /* by number */
    uint32_t sent;
    int64_t *at; /* by offset: the number that was acknowledged there; -1: none */
    int64_t offsets;
    int64_t last_read; /* offset */
    int64_t *newest;   /* by key, of the reading in progress: offset, -1: none */
};

struct keyed {
    const char *name;
    unsigned partitions, producers;
    uint32_t keys, numbers_max;
    rd_kafka_t *handles[KEYED_PRODUCERS_MAX];
    struct keyed_partition parts[KEYED_PARTITIONS_MAX];
    uint64_t acks;
    uint64_t found;
    uint64_t tombstones_gone; /* keys of the last judgement whose tombstone was removed */
};

/* Makes the topic and its producers, which never give up: each compresses with a codec of its own.
 */
void keyed_init(struct keyed *topic, const char *name, unsigned partitions, unsigned producers,
                uint32_t keys, uint32_t numbers_max, const char *const *config);

/* Sends up to `count` records, as far as the queues have room for, and takes reports. */
void keyed_work(struct keyed *topic, unsigned count);

/* Waits until everything is acknowledged, reads from the beginning, and ends the test unless every
 * record read is one that was acknowledged there, with the right key and value, in order, and of
 * every key the newest one is the model's; a tombstone may be gone when nothing older is left. */
void keyed_judge(struct keyed *topic);

void keyed_destroy(struct keyed *topic);

#endif
