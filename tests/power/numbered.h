/* tests/power/numbered.h: a topic of numbered records, and what is known of each.
 *
 * Every producer numbers its records in every partition; the bytes of a record follow from who sent
 * it where with which number, so a reader can tell that they are right. */
#ifndef TESTS_POWER_NUMBERED_H
#define TESTS_POWER_NUMBERED_H

#include "tests/power/power.h"

#define NUMBERED_PARTITIONS_MAX 4
#define NUMBERED_PRODUCERS_MAX  2
#define NUMBERED_SIZE_MIN       32
#define NUMBERED_SIZE_MAX       (256 * 1024)

/* One producer's records in one partition, by number. */
struct numbered_stream {
    int64_t *acked; /* the offset told; -1: not acknowledged */
    bool *found;
    uint32_t *size;
    uint32_t sent;
    int64_t last_found;
};

struct numbered;

struct numbered_producer {
    struct numbered *topic;
    unsigned index;
    rd_kafka_t *handle;
    bool never_gives_up; /* every record has to be acknowledged in the end */
    uint64_t refused[2]; /* KAFKA_STORAGE_ERROR; any other error */
};

struct numbered {
    const char *name;
    unsigned partitions;
    uint32_t numbers_max; /* of a stream */
    struct numbered_producer producers[NUMBERED_PRODUCERS_MAX];
    struct numbered_stream streams[NUMBERED_PRODUCERS_MAX][NUMBERED_PARTITIONS_MAX];
    uint64_t acks, acked_bytes;
    int64_t starts[NUMBERED_PARTITIONS_MAX]; /* the largest log start seen */
    int64_t ends[NUMBERED_PARTITIONS_MAX];   /* one past the last acknowledged offset */
    uint64_t found;
    uint64_t found_bytes[NUMBERED_PARTITIONS_MAX]; /* of values */
};

void numbered_init(struct numbered *topic, const char *name, unsigned partitions,
                   uint32_t numbers_max);

/* The producer with that index: one that never gives up, or (settings not NULL) another. */
void numbered_producer(struct numbered *topic, unsigned index, const char *const (*settings)[2]);

/* Sends the next record, of `size` bytes. False: the client's queue is full. */
bool numbered_send(struct numbered *topic, unsigned producer, int32_t partition, uint32_t size);

/* No log start falls back and nothing acknowledged is beyond an end. */
void numbered_check_offsets(struct numbered *topic, rd_kafka_t *client);

/* Reads the topic and ends the test unless: every acknowledged record at or above the log start is
 * at the offset that was told, once, with the right bytes; records of a producer in a partition lie
 * in the order of their numbers; one that never gives up and has nothing waiting has all of its
 * records acknowledged. */
void numbered_judge(struct numbered *topic, rd_kafka_t *client);

#endif
