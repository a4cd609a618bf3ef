/* tests/sim/sim_run.h: one seeded run of the store over the simulated disk. */
#ifndef MR_TESTS_SIM_SIM_RUN_H
#define MR_TESTS_SIM_SIM_RUN_H

#include "tests/sim/sim_oracle.h"

#define SIM_LOGS        8
#define SIM_DYING       16
#define SIM_DEAD        16
#define SIM_ERRORS      140
#define SIM_REPLICA_MAX 8 /* batches in one append of a replica */
#define SIM_OPS_MIN     2000
#define SIM_BATCH_MAX   (1u << 20)

/* Counted over all seeds. Each event must occur in a run of many seeds. */
#define SIM_COUNTERS(X)                                                                            \
    X(operations)                                                                                  \
    X(acknowledged)                                                                                \
    X(power_cuts)                                                                                  \
    X(kills)                                                                                       \
    X(crashes_in_open)                                                                             \
    X(crashes_in_checkpoint)                                                                       \
    X(crashes_in_write_behind)                                                                     \
    X(crashes_in_growth)                                                                           \
    X(crashes_beside_early_runs)                                                                   \
    X(clean_closes)                                                                                \
    X(journal_wraps)                                                                               \
    X(checkpoints)                                                                                 \
    X(voids)                                                                                       \
    X(early_runs)                                                                                  \
    X(early_runs_undone)                                                                           \
    X(dropped_groups)                                                                              \
    X(tail_images)                                                                                 \
    X(carried_blocks)                                                                              \
    X(extents_reused)                                                                              \
    X(direct_mebibytes)                                                                            \
    X(inline_mebibytes)                                                                            \
    X(device_reuse)                                                                                \
    X(doubtful_survived)                                                                           \
    X(doubtful_lost)                                                                               \
    X(duplicates)                                                                                  \
    X(duplicates_in_doubt)                                                                         \
    X(gaps_refused)                                                                                \
    X(old_epochs_refused)                                                                          \
    X(reads_hot)                                                                                   \
    X(reads_cold)                                                                                  \
    X(reads_ahead)                                                                                 \
    X(indexes_written)                                                                             \
    X(indexes_loaded)                                                                              \
    X(discards)                                                                                    \
    X(discards_skipped)                                                                            \
    X(discard_errors)                                                                              \
    X(watches_fired)                                                                               \
    X(finds)                                                                                       \
    X(replica_appends)                                                                             \
    X(truncations)                                                                                 \
    X(crashes_in_truncation)                                                                       \
    X(retention_by_size)                                                                           \
    X(retention_by_time)                                                                           \
    X(trims)                                                                                       \
    X(deletes)                                                                                     \
    X(write_faults)                                                                                \
    X(logs_failed)                                                                                 \
    X(rot_refused)                                                                                 \
    X(rot_survived)                                                                                \
    X(rot_data)                                                                                    \
    X(rot_data_reads_refused)                                                                      \
    X(read_errors)                                                                                 \
    X(stores_failed)                                                                               \
    X(opens_failed)                                                                                \
    X(grown)                                                                                       \
    X(refused_when_full)                                                                           \
    X(again)

struct sim_counters {
#define SIM_COUNTER_FIELD(name) uint64_t name;
    SIM_COUNTERS(SIM_COUNTER_FIELD)
#undef SIM_COUNTER_FIELD
};

enum sim_expect {
    SIM_EXPECT_APPEND,
    SIM_EXPECT_DUPLICATE,
    SIM_EXPECT_GAP,
    SIM_EXPECT_OLD_EPOCH,
};

/* Anything the store was asked and has not answered. */
struct sim_request {
    struct mr_list node;
    struct sim_log *log;
    enum { SIM_APPEND, SIM_REPLICA, SIM_READ, SIM_FIND, SIM_TRIM, SIM_TRUNCATE, SIM_DELETE } kind;
    union {
        struct mr_append append;
        struct mr_read read;
        struct mr_log_find find;
        struct mr_log_trim trim;
        struct mr_log_truncate truncate;
        struct mr_log_delete delete;
    };
    struct sim_batch *batch;
    struct sim_batch *batches[SIM_REPLICA_MAX];
    int64_t gaps[SIM_REPLICA_MAX];
    unsigned batch_count;
    unsigned truncations; /* of the log when it was asked */
    struct sim_producer *producer;
    enum sim_expect expect;
    int64_t start, end; /* of the log when it was asked */
};

struct sim_run {
    uint64_t seed;
    bool trace;
    struct sim_counters *counters;
    struct mr_rng rng;
    struct mr_clock_sim clock;
    struct mr_dev_sim *sim;
    struct mr_dev *dev;
    struct mr_store_config config;
    struct mr_store *store; /* NULL: not open */
    struct sim_log *logs[SIM_LOGS];
    struct sim_log *dying[SIM_DYING]; /* a delete was sent */
    unsigned dying_count;
    struct mr_log_id dead[SIM_DEAD]; /* the latest whose delete was acknowledged */
    uint64_t dead_count;
    struct mr_list requests;
    unsigned request_count;
    uint64_t journal_bytes, device_bytes;
    uint64_t bad[4]; /* bad blocks of this life */
    unsigned bad_count;
    int32_t epoch;
    uint32_t logs_made;
    uint64_t operations, life_operations, life_length;
    bool write_faults, read_faults, flush_faults, rot;
    bool skewed;  /* most requests go to two of the logs, the others are idle for long */
    bool greedy;  /* nothing is trimmed to make space: the store refuses to produce */
    bool churn;   /* logs come and go */
    bool cutting; /* many truncations */
    bool hasty;   /* short lives: many crashes */
    bool small;   /* only small batches: many in a set, no direct run but of many */
    bool room, failed, low_space;
    uint64_t size_bytes;          /* of the device, growth included */
    uint64_t grow_to;             /* a growth is not durable yet; 0: none */
    uint32_t *owners;             /* the log that a block was last seen in; 0: none */
    uint64_t owner_count;         /* blocks */
    bool quiet;                   /* nothing new is asked */
    uint64_t failed_since;        /* steps with a failed log */
    struct mr_store_stats before; /* at the last look */
    struct mr_store_stats turned; /* after the last turn */
    uint64_t checkpoint_bytes_at; /* when the last checkpoint ended */
    uint8_t *buffer;              /* what reads are joined in */
};

void sim_trace(const struct sim_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- requests (sim_request.c) ---------------------------------------------------------------- */

/* Sends what producers have ready. */
void sim_send_ready(struct sim_run *run);
/* Makes one random request. */
void sim_request_random(struct sim_run *run);
/* Trims the largest log where more than `limit` bytes are live. */
void sim_make_space(struct sim_run *run, uint64_t limit);
/* Fails where a watch should have fired; call when all is at rest. */
void sim_watches_check(struct sim_run *run);
/* Its deletion was asked for. */
bool sim_is_dying(const struct sim_run *run, const struct sim_log *log);
/* Frees what will never be answered. */
void sim_requests_drop(struct sim_run *run);
/* Asks to delete a log that is in `dying` already. */
void sim_delete_send(struct sim_run *run, struct sim_log *log, struct mr_log_id id);
void sim_trim_send(struct sim_run *run, struct sim_log *log, int64_t offset);

/* ---- life and death (sim_run.c) -------------------------------------------------------------- */

/* One whole run. Fails by sim_fail(). */
void sim_run(uint64_t seed, bool trace, uint64_t operations, struct sim_counters *counters);

/* One turn of the store's loop. False: the store has died. */
bool sim_turn(struct sim_run *run);

/* ---- who owns a block (sim_blocks.c) --------------------------------------------------------- */

/* Fails where a block of the store has two owners, or none while it is not free; counts extents
 * that were another log's. */
void sim_blocks_check(struct sim_run *run);

/* ---- judgement (sim_judge.c) ----------------------------------------------------------------- */

/* What a read of a running store was answered. */
void sim_check_read(struct sim_run *run, struct sim_log *log, const struct mr_read *read);

/* Judges all logs of an open store; `adopt` takes over what has survived. */
void sim_judge(struct sim_run *run, bool adopt);
/* Reads a whole log of a store that nothing else uses and checks each byte. */
void sim_check_log(struct sim_run *run, struct sim_log *log, struct mr_log *opened,
                   bool errors_allowed);
/* Spoils a sector of the metadata, or some of the data, in a copy, which must refuse to open, or
 * lose nothing and answer each read with what was written or an error. */
void sim_rot(struct sim_run *run);

#endif
