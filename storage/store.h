/* storage/store.h: one store: a flat space of blocks with a journal, owned by one shard.
 *
 * README.md of this folder draws the format and states the rules that keep what was acknowledged.
 *
 * Thread: the owning shard only. Lifecycle: format once -> open -> (append, read, tick)* -> close.
 * Callbacks of the store run inside mr_store_tick() and inside the device's callbacks, never
 * inside the call that made the request.
 * Limits: all memory is carved at open from the arena that the configuration lends, or allocated
 * then with a written maximum; full means -EAGAIN or a Kafka error, never an abort. */
#ifndef MR_STORAGE_STORE_H
#define MR_STORAGE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/buckets.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/kafka_err.h"
#include "dataplane/base/list.h"
#include "dataplane/base/uuid.h"
#include "storage/dev.h"

struct mr_log;
struct mr_store;

/* ---- format ---------------------------------------------------------------------------------- */

struct mr_store_format {
    struct mr_uuid store_id;
    struct mr_uuid cluster_id; /* zero: prepared, no broker has it yet */
    int32_t node_id;
    uint32_t store_index; /* position among the data directories' stores */
    uint64_t
        journal_bytes; /* a multiple of MR_DEV_BLOCK, at least 1 MiB, at most half the device */
};

/* Writes superblocks, an empty checkpoint and its root; everything before is lost. Blocking
 * (mr_dev_wait). The journal's ring need not be zeroed: the salt is new. 0 or -errno (-EINVAL:
 * device too small for the journal). */
int mr_store_format(struct mr_dev *dev, const struct mr_store_format *format);

/* Reads the superblock alone. -ENODATA: no store of ours; -EPROTONOSUPPORT: a newer format. */
int mr_store_identify(struct mr_dev *dev, struct mr_store_format *out);

/* ---- open ------------------------------------------------------------------------------------ */

struct mr_store_config {
    struct mr_dev *dev;           /* borrowed until mr_store_close() */
    const struct mr_clock *clock; /* borrowed */
    uint8_t *arena;               /* aligned to MR_DEV_BLOCK, lent until close: all data buffers */
    size_t arena_bytes;           /* at least MR_STORE_ARENA_MIN */
    uint32_t logs_max;            /* partitions in this store */
    uint32_t producers_max;       /* producer entries over all logs (producer.entries.max) */
    uint32_t direct_run_bytes;    /* runs of at least this size go straight to their extent */
    size_t index_bytes_max;       /* memory for sparse indexes */
    size_t dirty_bytes; /* write-behind starts above this, and writes partial blocks above twice it;
                           0: a quarter of the arena */
    bool discard;       /* freed extents are discarded before they are taken again */
    bool read_only;     /* for `millrace log dump`: replays, writes nothing, serves reads */
    /* For `millrace log check --repair`: a journal with a bad set before good ones, or that ends
     * before what was durable, is cut there instead of refused; `reason` says what was given up. */
    bool repair;

    /* Room has come back after -EAGAIN, or never will: the store has failed. May be NULL. Called at
     * most once per tick. */
    void (*on_room)(void *context);
    /* The store has failed (a journal, root or flush error); sticky. May be NULL. */
    void (*on_failed)(void *context);
    /* Free space has fallen under the low-water mark (or under a quarter while it may still grow):
     * the owner prepares more and calls mr_store_grow(), or mr_store_grow_refused(). At most once
     * until one of them. NULL: it never grows, and appends that find it full are refused. */
    void (*on_low_space)(void *context);
    void *context;
};

#define MR_STORE_ARENA_MIN (8u * 1024 * 1024)

/* Recovers the store: newest checkpoint plus journal; reads no data but the last group's runs.
 * Blocking (mr_dev_wait). On error nothing is held and `reason` (may be NULL) says in one sentence
 * what is wrong: -ENODATA not formatted; -EUCLEAN corruption that recovery must not paper over;
 * -EIO; -ENOMEM the arena or a limit is too small for what the store holds; -ECANCELED. */
int mr_store_open(const struct mr_store_config *config, struct mr_store **out, char *reason,
                  size_t reason_size);

/* Whether the last close was clean (a checkpoint with nothing behind it). */
bool mr_store_was_clean(const struct mr_store *store);

/* Checkpoints, so that the next open has nothing to replay, and frees everything. Blocking. All
 * appends must have been answered and all reads released. 0, or -EIO (freed all the same). */
int mr_store_close(struct mr_store *store);

/* Frees everything and writes nothing: the simulator's crash, and a store that has failed. */
void mr_store_abandon(struct mr_store *store);

/* ---- running --------------------------------------------------------------------------------- */

/* One bounded step: submits the next group where none is in flight, write-behind, checkpoint
 * steps, delivers due callbacks. Called once per turn of the shard's loop. Returns true when there
 * was something to do, so that the shard does not sleep before the next turn. */
bool mr_store_tick(struct mr_store *store);

/* The clock value at which the store wants its next tick although nothing happens; UINT64_MAX:
 * never. */
uint64_t mr_store_deadline_ns(const struct mr_store *store);

/* Takes the device's new size in, by a journal record; growth counts once that is durable. The
 * new bytes must be zero on the medium. 0, or -EBUSY while an earlier growth is in flight. */
int mr_store_grow(struct mr_store *store);

/* The owner cannot prepare more space now. Between on_low_space() and this call, or the durable
 * growth, appends that find the store full wait (-EAGAIN); afterwards they are refused. The store
 * asks again some seconds later. */
void mr_store_grow_refused(struct mr_store *store);

struct mr_store_stats {
    uint64_t size_bytes, free_bytes, largest_free_bytes;
    uint64_t free_extents; /* pieces that the free space is in */
    uint64_t journal_bytes, journal_used_bytes;
    uint64_t groups, group_bytes, appends, append_bytes, flushes;
    uint64_t direct_bytes, inline_bytes, written_behind_bytes;
    uint64_t early_runs;        /* writes of runs while their group still filled */
    uint64_t early_undone;      /* logs whose group was dropped beside such writes */
    uint32_t early_runs_flying; /* of them, in flight beside another group */
    uint64_t checkpoints, checkpoint_bytes, voids, tail_images, carried_blocks;
    uint64_t dropped_groups;               /* by this open: their runs were not whole */
    uint64_t compactions, compacted_bytes; /* done; written by them */
    uint64_t reads_hot, reads_cold, reads_ahead, read_errors; /* cold, ahead: of the device */
    uint64_t indexes_written, indexes_loaded;
    uint64_t discards, discarded_bytes, discard_errors;
    uint64_t discards_skipped; /* times that space was short, and what waited was taken as it is */
    uint64_t cache_bytes, cache_bytes_max, pinned_bytes, dirty_bytes;
    uint32_t logs, producers;
    uint32_t writes_in_flight; /* of write-behind */
    uint8_t supers_whole; /* of the two superblocks and roots, how many this open found whole; */
    uint8_t roots_whole;  /* one may be torn after a crash, or not be there yet */
    bool failed, full;
    struct mr_buckets group_time; /* submitting a group to its being durable */
    struct mr_buckets flush_time; /* of that, the flush behind a group's writes */
};

void mr_store_stats(const struct mr_store *store, struct mr_store_stats *out);

const struct mr_store_format *mr_store_identity(const struct mr_store *store);

/* Memory by purpose, for the broker's budget: calls `line` for each ("tail cache", bytes). */
void mr_store_budget(const struct mr_store_config *config,
                     void (*line)(void *context, const char *what, size_t bytes), void *context);

/* ---- logs ------------------------------------------------------------------------------------ */

struct mr_log_id {
    struct mr_uuid topic_id;
    int32_t partition;
};

/* The log, or NULL where the store has none. Valid until it is deleted. */
struct mr_log *mr_store_log_find(struct mr_store *store, const struct mr_log_id *id);

/* The log, made if there is none; its create record travels with its first append, so an unused
 * one leaves no trace. NULL at logs_max. */
struct mr_log *mr_store_log_make(struct mr_store *store, const struct mr_log_id *id);

/* Deletes a log with all its data: `done` runs when that is durable. Appends that are not answered
 * yet are answered UNKNOWN_TOPIC_OR_PARTITION, watches fire, reads in progress finish. The
 * struct mr_log is gone when this returns. A log that is not there: success. */
struct mr_log_delete {
    void (*done)(struct mr_log_delete *request, enum mr_kafka_err error);

    /* Private. */
    struct mr_list node;
    struct mr_log *log;
    enum mr_kafka_err error;
};

void mr_store_log_delete(struct mr_store *store, const struct mr_log_id *id,
                         struct mr_log_delete *request);

/* Iterates over all logs in no particular order; `log` NULL starts, NULL ends. */
struct mr_log *mr_store_log_next(struct mr_store *store, struct mr_log *log);

#endif
