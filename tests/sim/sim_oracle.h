/* tests/sim/sim_oracle.h: what must be in the store, from what it answered alone.
 *
 * A log is a list of acknowledged batches and a list of appends in doubt: sent, and neither
 * acknowledged nor surely refused. After an open each log must hold what was acknowledged and a
 * beginning of what was in doubt. */
#ifndef MR_TESTS_SIM_SIM_ORACLE_H
#define MR_TESTS_SIM_SIM_ORACLE_H

#include "storage/log.h"
#include "tests/sim/sim_batch.h"

#define SIM_PRODUCERS 3 /* idempotent ones per log */
#define SIM_WINDOW    5 /* batches a producer has in flight, and the store remembers */
#define SIM_TRIMS_MAX 8

/* What an idempotent client holds. */
struct sim_producer {
    int64_t id;
    int16_t epoch;
    int32_t sequence_next;
    struct sim_batch *unacked[SIM_WINDOW]; /* to be sent, in order, until acknowledged */
    unsigned unacked_count;
    unsigned sent;                       /* of them, in this life of the store */
    struct sim_batch *acked[SIM_WINDOW]; /* the latest */
    unsigned acked_count;
};

struct sim_doubt {
    struct sim_batch *batch;
    int32_t leader_epoch;
    int64_t gap; /* of offsets in front of it */
};

struct sim_log {
    struct mr_log_id id;
    struct mr_log *log; /* NULL: not open */
    bool used;          /* something acknowledged depends on its existence */
    bool delete_sent;
    int64_t start, end; /* acknowledged */
    int64_t seen_end;   /* the largest high watermark ever shown */
    struct sim_batch **batches;
    size_t batch_count, batch_max;
    uint64_t live_bytes; /* from start to end, about */
    struct sim_doubt *doubts;
    size_t doubt_count, doubt_max;
    int64_t trims[SIM_TRIMS_MAX]; /* in doubt */
    unsigned trim_count;
    bool truncating;      /* a truncation is in doubt, */
    int64_t truncate_end; /* after which the log would end here */
    unsigned truncations;
    unsigned reads; /* in flight: nothing they may return is forgotten */
    struct sim_producer producers[SIM_PRODUCERS];
    uint64_t bytes_total; /* of all that was ever acknowledged */
    struct mr_log_watch watch;
    bool watched;
    uint64_t watched_bytes; /* what was asked for */
    unsigned watched_truncations;
    uint64_t watched_from;  /* bytes_total when the watch was added */
    int64_t clock_ms;       /* of the records' timestamps */
    uint32_t segment_bytes; /* of the topic's configuration */
    int64_t segment_ms;
};

/* Prints the seed and one sentence, and ends the process with status 1. */
__attribute__((noreturn, format(printf, 1, 2))) void sim_fail(const char *format, ...);

struct sim_log *sim_log_new(struct mr_rng *rng, uint32_t number);
void sim_log_free(struct sim_log *log);

/* Index of the batch that contains `offset`, or batch_count. */
size_t sim_log_index(const struct sim_log *log, int64_t offset);

void sim_log_doubt_add(struct sim_log *log, struct sim_batch *batch, int32_t leader_epoch,
                       int64_t gap);
void sim_log_doubt_remove(struct sim_log *log, const struct sim_batch *batch);

/* The batch is at the acknowledged end now. */
void sim_log_settle(struct sim_log *log, struct sim_batch *batch, int32_t leader_epoch,
                    int64_t gap);

/* A high watermark was shown: what lies below can be lost no more. Fails where no beginning of what
 * is in doubt ends there. */
void sim_log_show(struct sim_log *log, int64_t high_watermark);

/* The log ends at `end` now: batches, epochs and what its producers hold go back. */
void sim_log_truncated(struct sim_log *log, int64_t end);

void sim_log_trim_sent(struct sim_log *log, int64_t offset);
void sim_log_trimmed(struct sim_log *log, int64_t offset);

/* After an open: judges the offsets and, with `adopt`, takes over what has survived. Returns how
 * many doubtful batches have survived; *lost_out: how many have not. */
unsigned sim_log_judge(struct sim_log *log, const struct mr_log_offsets *offsets, bool adopt,
                       unsigned *lost_out);

/* Checks whole batches as a read gave them, from the one that contains `offset`. */
void sim_log_check_bytes(struct sim_log *log, int64_t offset, const uint8_t *bytes, size_t size);

/* The expected answer of a lookup below `end`; -1: none. */
void sim_log_find(const struct sim_log *log, enum mr_log_find_kind kind, int64_t timestamp,
                  int64_t end, int64_t *offset_out, int64_t *timestamp_out);

/* Judges what retention would take, in a log with nothing in doubt: `start` is where the log would
 * begin. */
void sim_log_check_retention(const struct sim_log *log, int64_t retention_ms,
                             int64_t retention_bytes, int64_t now_ms, int64_t start);

#endif
