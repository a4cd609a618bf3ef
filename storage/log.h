/* storage/log.h: one partition's log inside a store: append, read, look up, trim.
 *
 * Thread: the store's. A log has three ends: appended (in memory), written, and durable; the high
 * watermark is the durable end, and nothing above it is ever shown.
 *
 *   log start <= ... <= high watermark = durable end <= appended end
 *
 * States: RUNNING -> FAILED, sticky until the next open: a data write failed. Appends are then
 * answered KAFKA_STORAGE_ERROR; reads, trim and delete still work. */
#ifndef MR_STORAGE_LOG_H
#define MR_STORAGE_LOG_H

#include "storage/batch.h"
#include "storage/store.h"

struct mr_log_offsets {
    int64_t start;          /* first offset that can be read */
    int64_t high_watermark; /* one past the last that can be read */
    int64_t end;            /* one past the last appended */
    uint64_t size_bytes;    /* of the batches from start to high watermark, about */
    int32_t leader_epoch;   /* of the last batch; -1: none */
    bool failed;
};

void mr_log_offsets(const struct mr_log *log, struct mr_log_offsets *out);

const struct mr_log_id *mr_log_id(const struct mr_log *log);

/* ---- append ---------------------------------------------------------------------------------- */

/* The caller's; lent from mr_log_append() until `done`. */
struct mr_append {
    void (*done)(struct mr_append *append);

    /* In. The batch's bytes are copied during the call: they are the caller's again afterwards. */
    struct mr_batch batch;
    int32_t leader_epoch;
    uint32_t
        segment_bytes;  /* the batch starts a segment where it would make one larger; 0: never */
    int64_t segment_ms; /* ... or where it is so much younger than its first batch; 0: never */

    /* Out, valid in `done`. */
    enum mr_kafka_err error;
    int64_t base_offset;    /* of a duplicate: the original's */
    int64_t append_time_ms; /* LogAppendTime, else -1 */
    int64_t log_start_offset;
    bool duplicate;

    /* Private. */
    struct mr_list node;
    struct mr_log *log;
    uint64_t position; /* of a replica's bytes */
    uint32_t size;
    bool replica;
};

/* Assigns offsets to one validated batch and appends it.
 * Idempotent producers (KIP-98): per producer id the epoch and the last five batches are known. A
 * batch that equals one of them is answered with the original's offset once that one is durable; a
 * gap gives OUT_OF_ORDER_SEQUENCE_NUMBER, a lower epoch INVALID_PRODUCER_EPOCH, a new epoch must
 * start at sequence 0, an unknown producer id may start anywhere; sequences wrap from 2^31 - 1 to
 * 0. Returns 0: `done` runs exactly once, later, with success when the batch is durable, or an
 * error. -EAGAIN: memory or journal is full for the moment; nothing was taken, `done` never runs,
 * and on_room() will be called. */
int mr_log_append(struct mr_log *log, struct mr_append *append);

/* What is known of a producer whose batches are durable. */
struct mr_log_producer {
    int64_t id;
    int64_t last_timestamp_ms; /* -1: before the last checkpoint */
    int32_t last_sequence;
    int16_t epoch;
};

/* The log's producers: how many there are; at most `max` of them go to `out`. */
uint32_t mr_log_producers(const struct mr_log *log, struct mr_log_producer *out, uint32_t max);

/* Appends what a leader has: `size` bytes in append->batch.iov, one or more whole batches,
 * unchanged. Their offsets may leave gaps and their leader epochs be any; checked are the CRCs and
 * that each batch starts at or behind the end of what is before it. All of them are taken, or none.
 * Producer windows follow without being judged: the leader has. Errors by `done`: CORRUPT_MESSAGE,
 * OFFSET_OUT_OF_RANGE (order), MESSAGE_TOO_LARGE (more than a quarter of the arena); the rest as
 * mr_log_append(). */
int mr_log_append_replica(struct mr_log *log, struct mr_append *append, uint32_t size);

/* ---- read ------------------------------------------------------------------------------------ */

/* The caller's; lent from mr_log_read() until mr_log_read_release(). */
struct mr_read {
    void (*done)(struct mr_read *read);

    /* In. */
    int64_t offset;     /* the batch that contains it comes first */
    uint32_t bytes_max; /* whole batches up to this, but one at least where `one_at_least` */
    bool one_at_least;

    /* Out, once answered. */
    enum mr_kafka_err error; /* OFFSET_OUT_OF_RANGE, KAFKA_STORAGE_ERROR */
    const struct iovec *iov; /* whole batches, in order; lent until mr_log_read_release() */
    unsigned iov_count;
    uint32_t size;
    struct mr_log_offsets offsets; /* of the log, at the moment of the answer */

    /* Private. */
    struct mr_list node;
    struct mr_log *log;
    void *state;
};

/* Reads whole batches below the high watermark. At the high watermark itself the answer is empty.
 * Returns 1: answered at once, `done` will not run (recent bytes: no copy, no disk read).
 * 0: `done` runs later, exactly once.
 * -EAGAIN: no read buffer is free; nothing was taken; try again after on_room(). */
int mr_log_read(struct mr_log *log, struct mr_read *read);

/* Gives the slices back; needed after every answered read, also a failed one. Works after the log
 * was deleted. */
void mr_log_read_release(struct mr_store *store, struct mr_read *read);

/* A one-shot watch: `fired` runs once when at least `bytes` more have become durable, or when the
 * log fails or is deleted. Bounded by its owner, who embeds it. */
struct mr_log_watch {
    void (*fired)(struct mr_log_watch *watch);
    struct mr_list node; /* private; initialise with mr_list_init() */
    uint64_t bytes;
    uint64_t position; /* private */
};

void mr_log_watch_add(struct mr_log *log, struct mr_log_watch *watch, uint64_t bytes);

/* Safe on a watch that has fired or was never added. */
void mr_log_watch_remove(struct mr_log_watch *watch);

/* ---- look up --------------------------------------------------------------------------------- */

enum mr_log_find_kind {
    MR_LOG_FIND_TIME,          /* the first record with at least this timestamp */
    MR_LOG_FIND_MAX_TIMESTAMP, /* the first record with the largest timestamp (KIP-734) */
};

struct mr_log_find {
    void (*done)(struct mr_log_find *find);
    enum mr_log_find_kind kind;
    int64_t timestamp_ms;

    /* Out. */
    enum mr_kafka_err error;
    int64_t offset;    /* -1: no such record */
    int64_t timestamp; /* -1 then */
    int32_t leader_epoch;

    struct mr_read read; /* private */
    struct mr_list node;
    struct mr_log *log;
    void *state;
};

/* Completion rule of store.h: 0, and `done` runs exactly once, later; -EAGAIN at a limit. */
int mr_log_find(struct mr_log *log, struct mr_log_find *find);

/* KIP-320: the largest epoch <= `epoch` that has batches, and where it ends (the start of the next
 * one, or the high watermark). -ENOENT: none. */
int mr_log_epoch_end(const struct mr_log *log, int32_t epoch, int32_t *epoch_out,
                     int64_t *offset_out);

/* ---- trim ------------------------------------------------------------------------------------ */

struct mr_log_trim {
    void (*done)(struct mr_log_trim *trim, enum mr_kafka_err error);
    int64_t offset;

    /* Private. */
    struct mr_list node;
    struct mr_log *log;
    uint64_t first_block;
    enum mr_kafka_err error;
};

/* Moves the log start up to `offset` (DeleteRecords, retention); `done` runs when that is durable.
 * OFFSET_OUT_OF_RANGE above the high watermark; below the log start: success, nothing happens. */
void mr_log_trim(struct mr_log *log, struct mr_log_trim *trim);

/* ---- truncate -------------------------------------------------------------------------------- */

/* The caller's; lent from mr_log_truncate() until `done`. */
struct mr_log_truncate {
    void (*done)(struct mr_log_truncate *truncate, enum mr_kafka_err error);
    int64_t offset; /* in: see below; out: where the log ends now */
    bool all;       /* everything goes, and the log goes on at `offset`, whatever was before */

    /* Private. */
    struct mr_list node;
    struct mr_log *log;
    void *state;
    enum mr_kafka_err error;
};

/* A replica drops what its leader does not have: every batch with an offset at or above `offset`
 * goes, leader epochs and producer windows become what they were before (for the windows some data
 * may be read). Where `offset` lies inside of a batch the log ends at that batch's base offset; at
 * or above the end nothing happens; below the log start all goes and the log goes on at `offset`.
 * Appends get -EAGAIN from the call until `done`; those before it become durable first. `done` runs
 * when the cut is durable. 0, or -EAGAIN: one is in progress, or no memory; `done` never runs. */
int mr_log_truncate(struct mr_log *log, struct mr_log_truncate *truncate);

/* ---- compaction ------------------------------------------------------------------------------ */

/* What a topic's configuration says. */
struct mr_compact_limits {
    int64_t lag_min_ms;          /* min.compaction.lag.ms */
    int64_t lag_max_ms;          /* max.compaction.lag.ms */
    int64_t delete_retention_ms; /* delete.retention.ms */
    double ratio;                /* min.cleanable.dirty.ratio */
    uint32_t segment_bytes;      /* of the segments that are made */
};

/* Whether compaction is worth it now, and the part of the bytes that is dirty: at least `ratio`,
 * or a dirty segment that began longer than lag_max_ms ago, or tombstones whose time has come. The
 * last segment, and segments with records younger than lag_min_ms, are not looked at. */
bool mr_log_compact_due(const struct mr_log *log, const struct mr_compact_limits *limits,
                        int64_t now_ms, double *dirty_out);

/* The caller's; lent from mr_log_compact() until `done`. */
struct mr_log_compact {
    void (*done)(struct mr_log_compact *compact, enum mr_kafka_err error);
    struct mr_compact_limits limits;
    uint64_t bytes_per_s; /* of reads; 0: as fast as turns allow */

    /* Out. */
    bool changed; /* false: nothing could be done, or the log was trimmed or cut meanwhile */
    uint64_t bytes_before, bytes_after;
    int64_t clean_offset; /* below it every key occurs once */

    /* Private. */
    struct mr_list node;
    struct mr_log *log;
    enum mr_kafka_err error;
};

/* Rewrites the log below its last segments so that of every key the last record stays, with its
 * offset; records without key go, tombstones after their time, control and transactional batches
 * stay as they are, and so does the last batch of every producer, if need be without records. One
 * at a time in a store. 0: `done` runs once, later; -EAGAIN: another one is in progress, or no
 * memory. On an error or a crash the log is as it was. */
int mr_log_compact(struct mr_log *log, struct mr_log_compact *compact);

/* ---- retention ------------------------------------------------------------------------------- */

/* How far retention moves the log start, by Kafka's rules: whole segments from the oldest on, while
 * what is left without the next one still has `retention_bytes`, then while a segment's largest
 * timestamp is older than `retention_ms`; -1 switches either off. The last segment goes only where
 * all of it is durable. Returns the log start where nothing is to be done; else it is for
 * mr_log_trim(). */
int64_t mr_log_retention_offset(const struct mr_log *log, int64_t retention_ms,
                                int64_t retention_bytes, int64_t now_ms);

/* Where the last segment began more than `segment_ms` ago by the clock, the next batch starts
 * another. */
void mr_log_roll_idle(struct mr_log *log, int64_t segment_ms, int64_t now_ms);

#endif
