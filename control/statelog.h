/* control/statelog.h: the durable state of a coordinator: a compacted internal topic, such as
 * __consumer_offsets, whose partitions are logs in the shards' stores.
 *
 * Every partition is read from its start before its coordinator may answer, and is then appended
 * to. Both travel as messages to the shard that owns the log (ctl_msg.h), under the credits of the
 * mesh; nothing here waits.
 *
 *   LOADING -> LOADED       each partition, from when the topic is there until it goes
 *      |
 *      +----> FAILED        until the broker is started again
 *
 * Thread: control. Limits: MR_STATELOG_LOADS_MAX partitions are read at once; appends are bounded
 * by their callers' requests. */
#ifndef MR_CONTROL_STATELOG_H
#define MR_CONTROL_STATELOG_H

#include "control/loop.h"
#include "storage/batch.h"

#define MR_STATELOG_LOADS_MAX 8u

struct mr_statelog_record {
    const uint8_t *key;
    uint32_t key_size;
    const uint8_t *value; /* NULL: a tombstone */
    uint32_t value_size;
};

struct mr_statelog_events {
    void *context;
    /* The topic is there with so many partitions, which are LOADING now; or has gone (0). */
    void (*partitions)(void *context, int32_t count);
    void (*record)(void *context, int32_t partition, const struct mr_record *record);
    /* The partition has been read: error 0; or cannot be. */
    void (*loaded)(void *context, int32_t partition, enum mr_kafka_err error);
    /* An append is durable, or never will be. Appends to a partition end in their order. */
    void (*appended)(void *context, uint64_t token, enum mr_kafka_err error);
};

struct mr_statelog;

/* `topic` and `events` are borrowed. NULL without memory. */
struct mr_statelog *mr_statelog_create(struct mr_control *control, const char *topic,
                                       const struct mr_statelog_events *events);

/* The shards have ended: nothing under way is heard of any more. NULL is fine. */
void mr_statelog_destroy(struct mr_statelog *log);

/* Once a turn of the loop, when every shard uses `snapshot`: notices that the topic is there,
 * starts reads and sends what waits for credits. */
void mr_statelog_turn(struct mr_statelog *log, const struct mr_snapshot *snapshot);

/* Appends records as one batch with the timestamp `now_ms`; `appended` runs later with `token`.
 * The bytes are copied. 0, or an error at once: then `appended` never runs. */
enum mr_kafka_err mr_statelog_append(struct mr_statelog *log, int32_t partition,
                                     const struct mr_statelog_record *records, unsigned count,
                                     int64_t now_ms, uint64_t token);

/* Replies of the shards. */
void mr_statelog_append_replied(struct mr_ctl_append *append);
void mr_statelog_read_replied(struct mr_ctl_read *read);

#endif
