/* storage/internal.h: what the files of the store share, and nobody else includes.
 *
 * Who does what: store.c life, answers, ticks; open.c recovery; journal.c groups and sets;
 * runs.c direct runs; checkpoint.c; writeback.c; cache.c memory of recent bytes; log.c append,
 * trim, watches; extents.c a log's map; discard.c what left it; segment.c what retention and
 * compaction count in, and where a log's bytes jump; producer.c idempotence; read.c, find.c reads.
 * Thread: the store's. */
#ifndef MR_STORAGE_INTERNAL_H
#define MR_STORAGE_INTERNAL_H

#include "dataplane/base/assert.h"
#include "dataplane/base/list.h"
#include "dataplane/base/mutant.h"
#include "storage/batch.h"
#include "storage/dev.h"
#include "storage/extent.h"
#include "storage/format.h"
#include "storage/log.h"
#include "storage/store.h"

/* Rules that may be broken, which store_sim and compact_sim must notice (base/mutant.h). */
enum mr_mutant {
    MUTANT_NONE,
    MUTANT_ACK_BEFORE_FLUSH,
    MUTANT_ACK_BESIDE_FAILED_WRITE,
    MUTANT_RUN_STARTS_IN_TAIL,
    MUTANT_NO_TAIL_IMAGE, /* and no check before a block is overwritten */
    MUTANT_PLACE_BEFORE_SET_DURABLE,
    MUTANT_TWO_WRITES_TO_ONE_BLOCK,
    MUTANT_REUSE_BEFORE_TRIM_DURABLE,
    MUTANT_NO_OPEN_SET,
    MUTANT_NO_OPEN_FLUSH,
    MUTANT_VOID_WITH_DATA,
    MUTANT_ROOT_FROM_LOWEST_CUT, /* with entries of what was durable when it began */
    MUTANT_SWAP_BEFORE_FLUSH,
    MUTANT_FORGOTTEN_CARRY,
    MUTANT_NO_VOID,
    MUTANT_ROOT_STARTS_LATE,
    MUTANT_TRUNCATE_REUSES_BLOCK,
    MUTANT_SWAP_AFTER_TRIM,
    MUTANT_STALE_INDEX,
    MUTANT_EARLY_NOT_AWAITED,
    MUTANT_EARLY_FAILURE_FORGOTTEN,
    MUTANT_UNDO_BESIDE_EARLY,
    MUTANT_DISCARD_BEFORE_TRIM,
    MUTANTS,
};

#define BLOCK         MR_DEV_BLOCK
#define NO_POSITION   UINT64_MAX
#define CHUNK_BYTES   65536u
#define CHUNK_BLOCKS  16u
#define SET_BYTES_MAX (8u * 1024 * 1024)
#define WRITES_MAX    128u               /* write-behind operations in flight */
#define WRITES_BYTES  (2u * 1024 * 1024) /* and their bytes */
#define WRITE_SLICES  16u                /* chunks of one write or load */
#define RUN_SLICES    64u                /* slices of one direct write */
#define READS_MAX     3072u
#define READ_SLICES   24u
#define HINTS         2u
#define SHUNNED_MAX   64u
#define DISCARDS_MAX  2u /* in flight */
/* And the blocks of one that takes several extents. */
#define DISCARD_BLOCKS_MAX (1u << (MR_BUDDY_ORDERS - 1))

/* ---- cache ----------------------------------------------------------------------------------- */

/* One block of a chunk. Its version is how far it is filled: bytes are only ever added. */
struct cache_block {
    uint64_t image;      /* the journal holds all of it from this set on; 0: it does not */
    uint64_t carry_from; /* checkpoints of these generations carry it; 0: none */
    uint64_t carry_to;
    uint16_t fill;    /* bytes in memory, from the block's start */
    uint16_t placed;  /* bytes written to its place */
    uint16_t writing; /* bytes of the write in flight; 0: none */
    uint16_t need;    /* bytes whose placing the checkpoint in progress waits for; 0: none */
};

struct chunk {
    struct mr_list lru;   /* in store->lru while it may be evicted */
    struct mr_list all;   /* store->chunks_all, for the end */
    struct mr_list dirty; /* in store->dirty or store->needs while blocks are dirty */
    struct mr_log *log;   /* NULL: detached, freed with the last pin */
    uint8_t *data;
    uint64_t block;          /* the first one, logical */
    uint64_t end;            /* position behind the last byte in it */
    int64_t first_offset;    /* of the first batch that starts in it, where it is known */
    uint64_t first_position; /* NO_POSITION: not known */
    uint32_t capacity;       /* bytes of `data` */
    uint32_t proved;     /* bytes [proved, proved_end) of it have met a batch's CRC; only where */
    uint32_t proved_end; /* it was loaded: what was appended is true */
    uint32_t pins;
    uint16_t dirty_blocks;
    uint16_t need_blocks;
    uint8_t blocks; /* that it may cover */
    uint8_t size_class;
    bool loading;
    bool loaded;    /* from the medium, which may have rotted */
    bool wide;      /* has room for CHUNK_BLOCKS block states */
    uint8_t listed; /* enum chunk_list: where `dirty` is linked */
    struct cache_block state[];
};

enum chunk_list { LISTED_NOWHERE, LISTED_DIRTY, LISTED_NEEDS };

enum { CLASS_SMALL = 5, CLASS_CHUNK = 5, CLASSES = 6 };

struct arena_page {
    struct mr_list node; /* in the store's list of free pages, or of its class's partly used ones */
    uint64_t used[4];    /* a bit per piece */
    uint16_t used_count;
    uint8_t size_class;
};

/* ---- log ------------------------------------------------------------------------------------- */

struct extent {
    struct mr_list node; /* once it left its log: in store->leaving, then with what is discarded */
    uint64_t first_block;
    uint64_t lba;
    uint64_t sequence; /* of the set that allocates it; 0: not in a set yet */
    int64_t first_offset;
    uint64_t first_position; /* NO_POSITION: no batch starts at or behind it yet */
    int64_t max_timestamp;
    struct extent_index *index;
    uint32_t busy; /* reads and writes in flight */
    uint8_t order;
    uint8_t kind;
    bool index_tried; /* what lies on the medium is in memory, or is not worth another look */
};

static inline uint64_t
extent_end(const struct extent *extent)
{
    struct mr_extent_ref ref = {.order = extent->order, .kind = extent->kind};

    return extent->first_block + mr_extent_ref_blocks(&ref);
}

struct log_epoch {
    int32_t epoch;
    int64_t start;
};

/* Batches that follow each other in consecutive bytes. The next segment's bytes may lie elsewhere:
 * behind a truncation or a compaction there is a hole between two of them. */
struct log_segment {
    int64_t first_offset;
    uint64_t position, end;  /* the last one's end moves with the log's */
    int64_t first_timestamp; /* maximum of its first batch */
    int64_t max_timestamp;   /* at least that of every batch */
};

struct log_hint {
    int64_t offset;
    uint64_t position;
};

struct producer;

struct mr_log {
    struct mr_store *store;
    struct mr_log_id id;
    uint64_t number;
    struct mr_log *hash_next;
    struct mr_log *number_next;
    struct mr_list node;      /* store->logs, by number */
    struct mr_list fill_node; /* store->filling.logs */
    struct mr_list fly_node;  /* store->flying.logs */
    struct mr_list fill_appends;
    struct mr_list fly_appends;
    struct mr_list producers;
    struct mr_list watches;
    struct mr_list reads;   /* waiting for a load */
    struct mr_list ck_node; /* store->ck.again: it failed after it was cut */

    int64_t start, durable, set_end, end;
    uint64_t durable_position, set_position, end_position; /* set: behind what is in a set */
    uint64_t first_block; /* below it everything is trimmed or was never used */
    uint64_t floor_block; /* no block from here on up was unused so far: cleaned ones go below */

    struct extent **extents;
    uint32_t extent_count, extent_capacity;
    struct log_segment *segments;
    uint32_t segment_count, segment_capacity;
    uint32_t holes;        /* between segments */
    uint64_t closed_bytes; /* in all but the last one */
    bool roll;             /* the next batch starts a segment */
    int64_t rolled_ms;     /* wall clock when the last one began, as far as this process knows */
    uint32_t generation;   /* of positions: a truncation or a swap moves them */
    uint32_t moves;        /* trims, truncations and swaps that went into a set */
    int64_t clean;         /* compacted below this offset */
    int64_t horizon;       /* when tombstones that were kept may go; INT64_MAX: none were */
    struct log_epoch *epochs;
    uint32_t epoch_count, epoch_capacity;
    struct chunk **chunks;
    uint32_t chunk_count, chunk_capacity;

    uint64_t cut[3]; /* of the entries in the checkpoints of these generations */
    uint64_t cut_generation[3];
    uint64_t cut_last;

    struct log_hint hints[HINTS];
    uint32_t hint_next;
    uint32_t fill_estimate; /* bytes that it will take in the filling set, at most */
    uint32_t fill_batches;
    uint32_t busy; /* loads, writes, reads that name this log */
    uint32_t need_blocks;
    uint64_t early;    /* it goes direct in the filling group: the run is written up to this block;
                          0: it does not, so far */
    bool early_failed; /* a write of that run failed */
    bool created;      /* its create record is in a set */
    bool deleted;      /* gone for the caller */
    bool buried;       /* its delete is durable; freed when nothing is busy */
    bool failed;
    bool run_failed; /* in the group in flight */
    bool tail_loading;
    bool truncating; /* appends wait */
};

/* ---- moves ----------------------------------------------------------------------------------- */

/* A record that moves where a log's bytes lie. Its size is part of the group's estimate from
 * move_queue() on. */
struct log_move {
    struct mr_list node;
    struct mr_log *log;
    struct mr_rec rec;
    uint32_t moves; /* of the log, when it was made: it is dropped where they have changed */
    /* The record is durable (error 0), was dropped (-ESTALE), or the store or log is gone. */
    void (*decided)(struct log_move *move, int error);
};

/* ---- group ----------------------------------------------------------------------------------- */

struct group {
    uint64_t number; /* groups are counted, voids not */
    uint64_t sequence;
    uint64_t bytes; /* that the logs have in it, where it fills */
    bool early;     /* and so many that runs are written while it fills */
    uint32_t blocks;
    uint32_t estimate; /* bytes of the set, at most */
    unsigned in_flight;
    bool any_failed;
    bool journal_failed;
    bool has_runs;
    bool growth;
    uint64_t growth_blocks;
    uint64_t began_ns; /* submitted */
    uint64_t flush_began_ns;
    struct mr_list logs;
    struct mr_list trims;   /* struct mr_log_trim */
    struct mr_list deletes; /* struct mr_log_delete */
    struct mr_list moves;   /* struct log_move: truncations and swaps */
};

enum group_state {
    GROUP_NONE,
    GROUP_WRITING,
    GROUP_FLUSHING,
    GROUP_VOIDING,
};

struct run_io {
    struct mr_dev_io io;
    struct mr_list node;
    struct mr_store *store;
    struct mr_log *log;
    struct extent *extent;
    uint64_t group; /* its number */
    unsigned count;
    struct chunk *chunks[RUN_SLICES]; /* pinned */
    struct iovec iov[RUN_SLICES];
};

/* ---- write-behind, loads, reads -------------------------------------------------------------- */

struct write_io {
    struct mr_dev_io io;
    struct mr_list node;
    struct mr_store *store;
    struct mr_log *log;
    struct extent *extent;
    struct chunk *chunk; /* pinned where the write reads its memory */
    uint64_t block;
    uint32_t count;
    uint16_t last_fill; /* of the last block */
    uint8_t *bounce;
    struct iovec iov[2];
};

struct load_io {
    struct mr_dev_io io;
    struct mr_list node; /* store->loads */
    struct mr_log *log;
    struct extent *extent;
    struct chunk *chunks[WRITE_SLICES];
    struct iovec iov[WRITE_SLICES];
    unsigned count;
    uint32_t bytes;
    uint32_t ahead; /* bytes, where nobody has asked for them yet */
};

struct read_state {
    struct mr_list node; /* store->reads_free, log->reads or store->reads_ready */
    struct mr_list all;  /* store->reads_all */
    struct mr_read *read;
    uint64_t position;   /* of the batch looked at */
    int64_t offset;      /* at least this must it start with */
    uint32_t generation; /* of the log, when the position was found */
    uint64_t wanted;     /* the load that it waits for: [wanted, wanted_end) */
    uint64_t wanted_end;
    unsigned tries; /* loads since it last came forward */
    bool cold;      /* something was loaded for it */
    bool follows;   /* it began where one before it ended */
    bool failed;
    unsigned pin_count;
    struct chunk **pins; /* small_pins or from the heap */
    struct iovec *iov;
    struct chunk *small_pins[READ_SLICES];
    struct iovec small_iov[READ_SLICES];
};

/* ---- discards -------------------------------------------------------------------------------- */

struct discard {
    struct mr_dev_io io;
    struct mr_store *store;
    struct mr_list extents; /* that lie one behind the other; none: it is not in flight */
    uint64_t blocks;        /* of them */
};

/* ---- checkpoint ------------------------------------------------------------------------------ */

enum ck_phase { CK_NONE, CK_CUT, CK_CHAIN, CK_FLUSH, CK_ROOT, CK_BROKEN };

struct ck_segment {
    struct mr_list node; /* waiting, or in flight */
    uint8_t *data;
    uint32_t size;
    unsigned in_flight;
};

struct ck_io {
    struct mr_dev_io io;
    struct mr_list node; /* store->ck.writes */
    struct iovec iov;
    struct ck_segment *segment;
    struct mr_store *store;
    uint64_t lba;
    uint8_t order;
};

/* What recovery could start from. */
struct usable {
    uint64_t generation;
    uint64_t start_position;
    uint64_t start_sequence;
    uint32_t extent_count;
    struct mr_extent_ref extents[MR_ROOT_EXTENTS_MAX];
};

struct checkpoint {
    enum ck_phase phase;
    struct mr_root root;
    struct mr_log *next;  /* the log to be cut next; NULL: all are */
    struct mr_list again; /* logs that failed since their cut */
    struct mr_list segments;
    struct mr_list writes; /* in flight */
    struct ck_segment *tail;
    unsigned segments_count;
    unsigned in_flight;
    uint64_t needs; /* blocks */
    bool broken;
#ifdef MR_MUTANTS
    uint64_t begun; /* durable sequence when it began */
#endif
    struct mr_dev_io io;
    struct iovec iov;
    uint8_t *block; /* for the root */
    uint64_t retry_ns;
};

/* ---- store ----------------------------------------------------------------------------------- */

struct shunned {
    uint64_t lba;
    uint8_t order;
};

struct mr_store {
    struct mr_store_config config;
    struct mr_store_format identity;
    struct mr_super super;
    struct mr_dev *dev;
    struct mr_store_stats stats;
    bool clean, failed, failed_told, closing, serving, draining;
    bool room_wanted, room_event, low_told, low_due;
    uint64_t low_retry_ns; /* growth was refused: ask again from here on */
    bool confirmed;        /* the last set needs no other to prove it */
    uint64_t idle_since_ns;
    unsigned in_flight; /* device operations */
    uint64_t size_blocks;

    struct mr_buddy buddy;
    unsigned order_max;
    uint64_t reserve_blocks;
    struct mr_list leaving;  /* extents whose last read or write is awaited */
    struct mr_list discards; /* extents that wait to be discarded */
    struct discard discarding[DISCARDS_MAX];
    uint64_t discard_blocks; /* of both: they are free, but not yet to be taken */
    struct shunned shunned[SHUNNED_MAX];
    unsigned shunned_count;

    struct mr_log **hash;    /* by id */
    struct mr_log **numbers; /* by number */
    uint32_t hash_mask;
    uint32_t log_count;
    struct mr_list logs;
    struct mr_list buried; /* logs that are gone but for what is in flight */
    uint64_t log_next;

    /* cache */
    struct arena_page *pages;
    uint32_t page_count, pages_free;
    struct mr_list page_free;
    struct mr_list page_part[CLASS_SMALL];
    struct mr_list lru, dirty, needs;
    struct mr_list chunks_all;
    struct mr_list chunk_free[2]; /* chunk headers: narrow, wide */
    uint64_t dirty_bytes;
    bool pressure; /* memory was refused: write partial blocks behind as well */
    bool replaying;

    /* journal */
    uint8_t *set;
    uint32_t set_bytes_max;
    size_t set_capacity;
    uint32_t record_count;
    uint64_t ring_blocks, ring_soft;
    uint64_t position; /* where the next set goes */
    uint64_t durable_position;
    uint64_t sequence; /* of the last set submitted */
    uint64_t durable_sequence;
    uint32_t previous_crc, durable_crc;
    enum group_state state;
    struct group filling, flying;
    struct mr_dev_io set_io[2], flush_io;
    struct iovec set_iov[2];
    uint64_t void_sequence;
    struct mr_list run_free, run_busy;
    uint32_t lone_bytes;   /* a group of no more is a set alone */
    uint64_t run_unkicked; /* bytes of runs since the device was last told to begin */

    /* checkpoints */
    struct checkpoint ck;
    struct usable usable[2];
    unsigned usable_count;
    unsigned root_slot; /* of the newest */

    /* write-behind, reads */
    struct write_io *writes;
    uint8_t *bounces;
    struct mr_list write_free;
    uint32_t behind_bytes; /* in flight */
    struct mr_list loads;  /* in flight */
    uint64_t load_bytes;   /* of them */
    uint64_t ahead_bytes;  /* of them, for reads that are expected */
    struct mr_list reads_free, reads_ready, reads_all;
    struct mr_list finds_ready, finds_waiting, finds_all; /* waiting: for room */
    uint32_t read_count;
    struct mr_batch_scratch *scratch;

    /* producers */
    struct producer *producers;
    uint32_t *producer_hash;
    uint32_t producer_mask, producer_count;
    uint32_t producer_free;
    struct mr_list producer_lru;

    struct mr_list indexes;   /* extents with an index, least recently used first */
    struct mr_list index_ios; /* in flight */
    unsigned index_io_count;
    size_t index_bytes;

    /* what is owed to callers */
    struct mr_list answers, trims_done, deletes_done, fired, truncates_done;
    struct mr_list truncates; /* in progress */
    struct mr_list compacts_done;
    struct compact *compact; /* in progress */
};

/* store.c */
void store_fail(struct mr_store *store);
void store_answer(struct mr_append *append, enum mr_kafka_err error);
void store_drain(struct mr_store *store);
void store_room(struct mr_store *store);
int store_sync(struct mr_dev *dev, char kind, void *data, size_t size, uint64_t offset);
void store_low_space(struct mr_store *store);

/* cache.c */
int cache_init(struct mr_store *store);
void cache_deinit(struct mr_store *store);
struct chunk *cache_new(struct mr_log *log, uint64_t block, uint32_t bytes, bool wide);
struct chunk *cache_find(const struct mr_log *log, uint64_t block);
uint32_t cache_index_after(const struct mr_log *log, uint64_t block);
struct chunk *cache_grow(struct chunk *chunk, uint32_t bytes, bool wide);
void cache_detach(struct chunk *chunk);
void cache_settle(struct chunk *chunk);
void cache_touch(struct chunk *chunk);
void cache_pin(struct chunk *chunk);
void cache_unpin(struct mr_store *store, struct chunk *chunk);
void cache_cut_above(struct mr_log *log, uint64_t position);
void cache_drop_below(struct mr_log *log, uint64_t block);
void cache_drop_all(struct mr_log *log);
int cache_reserve(struct mr_log *log, uint32_t size);
void cache_release(struct mr_log *log, uint64_t position, uint32_t size);
void cache_put(struct mr_log *log, uint64_t position, const void *bytes, uint32_t size);
bool cache_get(const struct mr_log *log, uint64_t position, void *out, uint32_t size);

/* After a change of state[i]; `was_dirty` is block_is_dirty() from before it. */
void cache_update(struct chunk *chunk, unsigned i, bool was_dirty);
void cache_need(struct chunk *chunk, unsigned i, uint16_t need);

static inline struct cache_block *
chunk_state(struct chunk *chunk, uint64_t block)
{
    return &chunk->state[block - chunk->block];
}

static inline bool
block_is_dirty(const struct cache_block *block)
{
    return block->fill > block->placed || block->writing != 0;
}

/* extents.c */
struct extent *extent_find(const struct mr_log *log, uint64_t block);
int extent_reserve(struct mr_log *log, uint64_t end_position, unsigned *added);
struct extent *extent_add(struct mr_log *log, uint64_t first_block,
                          const struct mr_extent_ref *ref);
void extent_undo(struct mr_log *log);
void extent_release_below(struct mr_log *log, uint64_t block);
void extent_release_all(struct mr_log *log);
void extent_leave(struct mr_store *store, struct extent *extent);
void extent_unbusy(struct mr_store *store, struct extent *extent);
void extent_note_batch(struct mr_log *log, int64_t offset, uint64_t position, uint32_t size,
                       int64_t max_timestamp);
uint64_t extent_trim_block(const struct mr_log *log, int64_t offset);
uint64_t extent_next_block(const struct mr_log *log);
bool extent_alloc(struct mr_store *store, unsigned *order, unsigned least, uint64_t reserve,
                  uint64_t *lba);
void extent_forget_above(struct mr_log *log, uint64_t position);

/* discard.c */
void discard_init(struct mr_store *store);
void discard_deinit(struct mr_store *store);
void discard_queue(struct mr_store *store, struct extent *extent);
bool discard_skip(struct mr_store *store);
bool discard_step(struct mr_store *store);
void discard_early(struct mr_log *log, uint64_t block);

/* replica.c */
void replica_durable(struct mr_append *append);

/* truncate.c */
bool truncate_step(struct mr_store *store);
void truncate_deinit(struct mr_store *store);
void truncate_apply(struct mr_log *log, const struct mr_rec_truncate *rec);

/* compact.c, swap.c */
bool compact_step(struct mr_store *store);
uint64_t compact_deadline_ns(const struct mr_store *store);
size_t compact_bytes(const struct mr_store_config *config);
void compact_deinit(struct mr_store *store);
int swap_apply(struct mr_log *log, const struct mr_rec_swap *rec);

/* segment.c */
int segment_reserve(struct mr_log *log, uint32_t count);
bool segment_rolls(const struct mr_log *log, uint32_t size, int64_t max_timestamp,
                   uint32_t bytes_max, int64_t ms_max);
void segment_note(struct mr_log *log, int64_t offset, uint64_t position, uint32_t size,
                  int64_t max_timestamp, bool starts);
bool segment_starts_at(const struct mr_log *log, uint64_t position);
void segment_cut(struct mr_log *log, uint64_t position);
void segment_trim(struct mr_log *log);
void segment_recount(struct mr_log *log);
bool segment_holds(const struct mr_log *log, uint64_t position, int64_t offset);
uint64_t log_span_end(const struct mr_log *log, uint64_t position);
uint64_t log_position_next(const struct mr_log *log, uint64_t position);
uint64_t log_bytes_end(const struct mr_log *log);

/* index.c */
void index_note(struct mr_log *log, struct extent *extent, int64_t offset, uint64_t position,
                int64_t max_timestamp);
bool index_seek(struct mr_log *log, struct extent *extent, int64_t offset, int64_t *found,
                uint64_t *position);
void index_drop(struct mr_store *store, struct extent *extent);
void index_cut(struct extent *extent, uint64_t position);
void index_write(struct mr_log *log, struct extent *extent);
bool index_load(struct mr_log *log, struct extent *extent);
void index_deinit(struct mr_store *store);

/* log.c */
struct mr_log *log_new(struct mr_store *store, const struct mr_log_id *id, uint64_t number);
struct mr_log *log_by_number(struct mr_store *store, uint64_t number);
void log_unnumber(struct mr_log *log);
void log_unhash(struct mr_log *log);
void log_drop_unserved(struct mr_log *log);
void log_free(struct mr_log *log);
void log_bury(struct mr_log *log);
void log_maybe_free(struct mr_log *log);
void log_applied(struct mr_log *log, const struct mr_batch_header *header, int64_t base_offset,
                 uint64_t position, bool starts);
void log_fail(struct mr_log *log);
int log_reserve(struct mr_log *log, uint32_t batches, uint32_t size);
bool log_refuses(struct mr_log *log, struct mr_append *append, size_t size);
int log_not_reserved(struct mr_log *log, struct mr_append *append, int error);
void log_taken(struct mr_log *log, struct mr_append *append, uint32_t batches, uint32_t size);
void log_moved(struct mr_log *log);
int log_append_again(struct mr_log *log);
void log_void(struct mr_log *log);
void log_durable(struct mr_log *log);
int log_epoch_reserve(struct mr_log *log, uint32_t count);
int log_epoch_note(struct mr_log *log, int32_t epoch, int64_t start);

/* producer.c */
/* A producer that a truncation takes batches from. */
struct producer_cut {
    int64_t id;
    int64_t first_offset;
    struct mr_entry_window windows[MR_PRODUCER_WINDOW]; /* that stay, oldest first */
    uint32_t count;
    bool wanted;                                      /* older ones may be in the log */
    struct mr_entry_window found[MR_PRODUCER_WINDOW]; /* in the piece that is read */
    uint32_t found_count;
};
enum producer_verdict { PRODUCER_NEW, PRODUCER_DUPLICATE, PRODUCER_REFUSED, PRODUCER_FULL };
int producer_init(struct mr_store *store);
void producer_deinit(struct mr_store *store);
enum producer_verdict producer_check(struct mr_log *log, const struct mr_batch_header *header,
                                     int64_t *original, enum mr_kafka_err *error);
bool producer_note(struct mr_log *log, const struct mr_batch_header *header, int64_t offset);
void producer_durable(struct mr_log *log, int64_t id);
bool producer_is_last(struct mr_log *log, int64_t id, int64_t offset);
void producer_rollback(struct mr_log *log);
void producer_cut(struct mr_log *log, int64_t end);
void producer_replace(struct mr_log *log, int64_t id, int64_t first_offset,
                      const struct mr_entry_window *windows, uint32_t count);
uint32_t producer_cuts(struct mr_log *log, int64_t end, struct producer_cut *out, uint32_t max);
void producer_drop_log(struct mr_log *log);
bool producer_restore(struct mr_log *log, int64_t id, int64_t first_offset,
                      const struct mr_entry_window *windows, uint32_t count);
size_t producer_encode(struct mr_log *log, uint8_t *out, uint32_t *count);
size_t producer_size(const struct mr_log *log);
size_t producer_bytes(uint32_t producers_max);

/* journal.c */
int journal_init(struct mr_store *store);
bool journal_admits(struct mr_log *log, uint32_t batches, uint32_t size);
void journal_join(struct mr_log *log, uint32_t size);
void journal_leave(struct mr_log *log);
bool journal_submit(struct mr_store *store);
bool move_queue(struct log_move *move);
void moves_drop(struct mr_store *store, struct mr_list *moves, const struct mr_log *log, int error);
int journal_open_set(struct mr_store *store);
void journal_written(struct mr_store *store);
uint64_t journal_used(const struct mr_store *store);

/* runs.c */
uint64_t run_first(const struct mr_log *log);
bool run_is_due(const struct mr_log *log);
void runs_early(struct mr_log *log);
void runs_fly(struct mr_log *log, uint64_t early, bool failed);

/* writeback.c */
int writeback_init(struct mr_store *store);
void writeback_deinit(struct mr_store *store);
bool writeback_step(struct mr_store *store);
bool block_held(const struct mr_log *log, const struct cache_block *state, uint64_t generation);
bool log_has_cut(const struct mr_log *log, uint64_t generation, uint64_t *cut);
void log_set_cut(struct mr_log *log, uint64_t generation, uint64_t cut);

/* checkpoint.c */
int checkpoint_init(struct mr_store *store);
void checkpoint_deinit(struct mr_store *store);
bool checkpoint_due(const struct mr_store *store);
void checkpoint_begin(struct mr_store *store);
bool checkpoint_step(struct mr_store *store);
int checkpoint_sync(struct mr_store *store);
void checkpoint_log_gone(struct mr_log *log);
void checkpoint_log_failed(struct mr_log *log);

/* read.c, find.c */
/* Copies bytes [at, at + size) of a slice list. */
void iov_copy(const struct iovec *iov, unsigned count, size_t at, uint8_t *out, size_t size);

void read_run_ready(struct mr_store *store);
void reads_wake(struct mr_log *log, uint64_t position, uint64_t end, bool failed);
int read_load(struct mr_log *log, uint64_t position, uint64_t size);
void read_deinit(struct mr_store *store);
void read_forget_loads(struct mr_store *store);
bool find_step(struct mr_store *store);
void find_wake(struct mr_store *store); /* there is room */
void find_deinit(struct mr_store *store);

#endif
