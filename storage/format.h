/* storage/format.h: every byte of the store's own format, encoded and decoded.
 *
 * README.md draws the layouts. All integers are little-endian. Pure functions over memory: the
 * decoders are total, they judge any bytes without reading outside of them and never assert on
 * them. Any thread. */
#ifndef MR_STORAGE_FORMAT_H
#define MR_STORAGE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/uuid.h"

#define MR_FORMAT_BLOCK     4096u
#define MR_FORMAT_VERSION   2u
#define MR_FORMAT_ORDER_MAX 12u /* the largest extent: 2^12 blocks = 16 MiB */

/* Fixed places, in blocks. */
#define MR_FORMAT_SUPER_LBA   0u /* and 1 */
#define MR_FORMAT_ROOT_LBA    2u /* and 3 */
#define MR_FORMAT_JOURNAL_LBA 4u

/* ---- superblock ------------------------------------------------------------------------------ */

struct mr_super {
    uint32_t version;
    struct mr_uuid store_id;
    struct mr_uuid cluster_id;
    int32_t node_id;
    uint32_t store_index;
    uint64_t size_blocks; /* when it was formatted; growth is in roots and in the journal */
    uint64_t journal_blocks;
    uint64_t data_lba; /* first block that extents may take */
    uint64_t incarnation;
    uint64_t salt; /* secret: the CRC of sets, roots and chains starts from it */
};

void mr_super_encode(const struct mr_super *super, uint8_t block[MR_FORMAT_BLOCK]);

/* 0; -EBADMSG: none of ours or damaged; -EPROTONOSUPPORT: another version, out->version says which.
 */
int mr_super_decode(const uint8_t block[MR_FORMAT_BLOCK], struct mr_super *out);

/* ---- extent reference ------------------------------------------------------------------------ */

enum mr_extent_kind {
    MR_EXTENT_PLAIN = 0,   /* erasure-coded and remote ones get values of their own */
    MR_EXTENT_INDEXED = 1, /* its last blocks are its index's: no data lies there */
};

#define MR_EXTENT_REF_SIZE 16u

struct mr_extent_ref {
    uint64_t lba;
    uint8_t order; /* 2^order blocks */
    uint8_t kind;
};

/* ---- index of an extent ---------------------------------------------------------------------- */

/* In the extent's last blocks, written once the extent is full. It is a help and no more: what is
 * not whole there, or names no batch of the log as it is now, is as if it were missing. */
#define MR_INDEX_STEP        32768u /* bytes between two entries, at least */
#define MR_INDEX_HEADER_SIZE 64u
#define MR_INDEX_ENTRY_SIZE  12u
#define MR_INDEX_ORDER_MIN   6u /* smaller extents are searched as fast without */

struct mr_index_header {
    uint64_t log;
    uint64_t first_block; /* logical */
    uint64_t lba;
    uint32_t count; /* of entries */
};

/* How many entries an extent of this order can have, and blocks that takes. */
static inline uint32_t
mr_index_entries_max(unsigned order)
{
    return (uint32_t)((1ull << order) * MR_FORMAT_BLOCK / MR_INDEX_STEP);
}

static inline uint32_t
mr_index_blocks(unsigned order)
{
    return (MR_INDEX_HEADER_SIZE + mr_index_entries_max(order) * MR_INDEX_ENTRY_SIZE +
            MR_FORMAT_BLOCK - 1) /
           MR_FORMAT_BLOCK;
}

/* Blocks of data in the extent. */
static inline uint64_t
mr_extent_ref_blocks(const struct mr_extent_ref *ref)
{
    return (1ull << ref->order) -
           (ref->kind == MR_EXTENT_INDEXED ? mr_index_blocks(ref->order) : 0);
}

struct mr_super;

/* `out` has mr_index_blocks() blocks. Entries are put behind the header before it is sealed. */
void mr_index_entry_put(uint8_t *out, uint32_t at, int64_t offset, uint32_t distance);
void mr_index_seal(uint8_t *out, const struct mr_index_header *header, unsigned order,
                   const struct mr_super *super);

/* 0, or -EBADMSG where it is not this extent's whole index. `header` says what is expected, and
 * gets `count`. */
int mr_index_check(const uint8_t *in, struct mr_index_header *header, unsigned order,
                   const struct mr_super *super);
void mr_index_entry_get(const uint8_t *in, uint32_t at, int64_t *offset, uint32_t *distance);

/* ---- root ------------------------------------------------------------------------------------ */

#define MR_ROOT_EXTENTS_MAX 248u

struct mr_root {
    uint64_t generation;
    uint64_t start_position; /* journal position, in blocks since format, of set start_sequence */
    uint64_t start_sequence;
    uint64_t last_sequence; /* known durable when the root was written */
    uint32_t previous_crc;  /* of set start_sequence - 1 */
    uint32_t chain_crc;
    uint64_t chain_bytes;
    uint64_t entries;
    uint64_t log_next; /* numbers of logs from here on were never used */
    uint64_t size_blocks;
    uint64_t incarnation;
    uint32_t extent_count;
    struct mr_extent_ref extents[MR_ROOT_EXTENTS_MAX];
};

void mr_root_encode(const struct mr_root *root, const struct mr_super *super,
                    uint8_t block[MR_FORMAT_BLOCK]);

/* -EBADMSG where the block is no whole root of this store. */
int mr_root_decode(const uint8_t block[MR_FORMAT_BLOCK], const struct mr_super *super,
                   struct mr_root *out);

/* The CRC that salted CRCs start from. */
uint32_t mr_format_crc_seed(const struct mr_super *super);

/* ---- journal set ----------------------------------------------------------------------------- */

#define MR_SET_HEADER_SIZE 80u

struct mr_set_header {
    uint64_t incarnation;
    uint64_t sequence;
    uint64_t position;
    uint64_t durable_sequence; /* the last durable one when it was submitted */
    uint32_t size;             /* header and records, without the padding to whole blocks */
    uint32_t previous_crc;
    uint32_t record_count;
    uint32_t crc;
};

/* Fills the header in front of `header->size - MR_SET_HEADER_SIZE` bytes of records, computes the
 * CRC over both and stores it in `header->crc` as well. */
void mr_set_seal(uint8_t *set, struct mr_set_header *header, const struct mr_super *super);

/* Judges a block that may start a set: magic, store, size at most `size_max`. The CRC is not
 * looked at: the rest may not have been read yet. -EBADMSG. */
int mr_set_header_decode(const uint8_t block[MR_FORMAT_BLOCK], const struct mr_super *super,
                         size_t size_max, struct mr_set_header *out);

/* Whether the whole set of `header->size` bytes has the CRC that its header names. */
bool mr_set_is_whole(const uint8_t *set, const struct mr_set_header *header,
                     const struct mr_super *super);

static inline uint32_t
mr_set_blocks(size_t size)
{
    return (uint32_t)((size + MR_FORMAT_BLOCK - 1) / MR_FORMAT_BLOCK);
}

/* ---- records --------------------------------------------------------------------------------- */

enum mr_rec_type {
    MR_REC_APPEND = 1,
    MR_REC_IMAGE = 2,
    MR_REC_ALLOCATE = 3,
    MR_REC_TRIM = 4,
    MR_REC_TRUNCATE = 5,
    MR_REC_CREATE = 6,
    MR_REC_DELETE = 7,
    MR_REC_EPOCH = 8,
    MR_REC_SWAP = 9,
    MR_REC_VOID = 10,
    MR_REC_GROWTH = 11,
};

#define MR_REC_HEADER_SIZE   16u
#define MR_REC_APPEND_SIZE   64u /* the record header included */
#define MR_REC_META_SIZE     64u
#define MR_REC_IMAGE_SIZE    32u
#define MR_REC_ALLOCATE_SIZE 40u
#define MR_REC_CREATE_SIZE   40u
#define MR_REC_SMALL_SIZE    32u /* trim, epoch, void, growth */
#define MR_REC_TRUNCATE_SIZE 64u /* then producers, as in an entry */
#define MR_REC_SWAP_SIZE     64u /* then extents and segments, as in an entry */

/* A log's bytes begin here. Cleaned bytes get places below what they replace, so that no logical
 * block is ever used twice; there is room for 2^60 bytes of them. */
#define MR_FORMAT_LOG_BLOCK (1ull << 48)

#define MR_REC_META_ROLLS   1u /* this batch starts a segment */

/* One batch of an append record. */
struct mr_rec_meta {
    int64_t base_offset;
    int64_t base_timestamp;
    int64_t max_timestamp;
    int64_t producer_id;
    uint32_t size;
    int32_t last_offset_delta;
    uint32_t flags; /* MR_REC_META_ */
    int32_t record_count;
    int32_t base_sequence;
    int32_t leader_epoch;
    int16_t producer_epoch;
    int16_t attributes;
};

/* Bytes [position, + head + run + tail) of a log: `head_size` of them lie here, then `run_blocks`
 * whole blocks in their place, then `tail_size` here. */
struct mr_rec_append {
    uint64_t position;
    uint32_t meta_count;
    uint32_t head_size;
    uint32_t run_blocks;
    uint32_t tail_size;
    uint32_t crc;         /* over head, run and tail; 0 where there is no run */
    const uint8_t *metas; /* decode with mr_rec_meta_decode() */
    const uint8_t *head;
    const uint8_t *tail;
};

/* Everything at and above `position` is gone; the log goes on at a block that was never written. */
struct mr_rec_truncate {
    int64_t end;       /* next offset */
    int64_t start;     /* log start */
    uint64_t position; /* the first byte that is gone */
    uint64_t next_block;
    uint32_t producer_count; /* these have other windows now, those with 0 windows none */
    uint32_t producers_size;
    const uint8_t *producers; /* walk with a cursor */
};

/* Everything below `position` is replaced by what the extents hold; `offset` starts there. */
struct mr_rec_swap {
    int64_t offset; /* clean up to here: of the first batch that stays where it is */
    uint64_t position;
    int64_t horizon; /* when tombstones that were kept may go; INT64_MAX: none were */
    uint32_t extent_count;
    uint32_t segment_count;
    const uint8_t *extents; /* walk with a cursor */
    size_t extents_size;    /* of both */
};

struct mr_rec {
    enum mr_rec_type type;
    uint64_t log; /* its number; 0: the store */
    union {
        struct mr_rec_append append;
        struct {
            uint64_t block; /* logical */
            uint32_t size;
            const uint8_t *bytes;
        } image;
        struct {
            uint64_t first_block; /* logical */
            struct mr_extent_ref ref;
        } allocate;
        struct {
            int64_t offset;
            uint64_t first_block; /* extents wholly below this logical block leave the log */
        } trim;
        struct mr_rec_truncate truncate;
        struct {
            struct mr_uuid topic_id;
            int32_t partition;
        } create;
        struct {
            uint64_t incarnation;
        } epoch;
        struct mr_rec_swap swap;
        struct {
            uint64_t sequence;
        } voided;
        struct {
            uint64_t size_blocks;
        } growth;
    } u;
};

/* Writes one record; the caller has made sure of mr_rec_size() bytes. Bytes that the record names
 * are copied; those of an append whose `head` or `tail` is NULL, and its metas, are written by the
 * caller afterwards into the places that the two functions below name. Returns the size. */
size_t mr_rec_encode(const struct mr_rec *rec, uint8_t *out);
size_t mr_rec_size(const struct mr_rec *rec);

static inline uint8_t *
mr_rec_append_metas(uint8_t *record)
{
    return record + MR_REC_APPEND_SIZE;
}

/* Where the inline bytes of an append record with so many metas start. */
static inline uint8_t *
mr_rec_append_bytes(uint8_t *record, uint32_t meta_count)
{
    return record + MR_REC_APPEND_SIZE + (size_t)meta_count * MR_REC_META_SIZE;
}

void mr_rec_meta_encode(const struct mr_rec_meta *meta, uint8_t out[MR_REC_META_SIZE]);
void mr_rec_meta_decode(const uint8_t in[MR_REC_META_SIZE], struct mr_rec_meta *out);

/* The record at `*at`, which moves behind it. Returns 1, 0 at the end, -EBADMSG. What it names is
 * borrowed from `records`. */
int mr_rec_decode(const uint8_t *records, size_t size, size_t *at, struct mr_rec *out);

void mr_extent_ref_encode(const struct mr_extent_ref *ref, uint8_t out[MR_EXTENT_REF_SIZE]);

/* -EBADMSG: an order or kind that is not known. The caller checks that it lies in the store. */
int mr_extent_ref_decode(const uint8_t in[MR_EXTENT_REF_SIZE], struct mr_extent_ref *out);

/* ---- checkpoint entry: one log --------------------------------------------------------------- */

#define MR_ENTRY_HEADER_SIZE   112u
#define MR_ENTRY_EXTENT_SIZE   48u
#define MR_ENTRY_SEGMENT_SIZE  40u
#define MR_ENTRY_EPOCH_SIZE    16u
#define MR_ENTRY_PRODUCER_SIZE 24u
#define MR_ENTRY_WINDOW_SIZE   24u
#define MR_ENTRY_CARRY_SIZE    16u
#define MR_PRODUCER_WINDOW     5u

struct mr_entry_extent {
    struct mr_extent_ref ref;
    uint64_t first_block; /* logical */
    int64_t first_offset; /* of the first batch that starts at or behind it; -1: none yet */
    uint64_t first_position;
    int64_t max_timestamp; /* at least that of every batch that starts in it */
};

/* A segment: consecutive batches, in consecutive bytes. */
struct mr_entry_segment {
    int64_t first_offset;
    uint64_t position, end;  /* bytes [position, end) */
    int64_t first_timestamp; /* maximum of its first batch */
    int64_t max_timestamp;   /* at least that of every batch */
};

struct mr_entry_window {
    int64_t offset;
    int32_t first_sequence;
    int32_t last_sequence;
    int16_t epoch;
};

struct mr_entry {
    uint64_t log;
    struct mr_uuid topic_id;
    int32_t partition;
    uint64_t cut; /* the entry holds everything up to this sequence */
    int64_t start;
    int64_t end;
    uint64_t end_position;
    uint32_t extent_count;
    uint32_t epoch_count;
    uint32_t producer_count;
    uint32_t carry_count;
    uint32_t segment_count;
    int64_t clean;   /* compacted below this offset */
    int64_t horizon; /* as in a swap */
    uint32_t size;   /* of the whole entry */
    const uint8_t *body;
    size_t body_size;
};

/* A place in an entry's body; extents, segments, epochs, producers and carried blocks follow each
 * other in this order. */
struct mr_entry_cursor {
    const uint8_t *at;
    const uint8_t *end;
};

void mr_entry_header_encode(const struct mr_entry *entry, uint8_t out[MR_ENTRY_HEADER_SIZE]);
void mr_entry_extent_encode(const struct mr_entry_extent *extent,
                            uint8_t out[MR_ENTRY_EXTENT_SIZE]);
void mr_entry_epoch_encode(int32_t epoch, int64_t start, uint8_t out[MR_ENTRY_EPOCH_SIZE]);
void mr_entry_segment_encode(const struct mr_entry_segment *segment,
                             uint8_t out[MR_ENTRY_SEGMENT_SIZE]);
/* `first_offset`: of the first batch of this producer that the entry ever knew. */
void mr_entry_producer_encode(int64_t id, uint32_t windows, int64_t first_offset,
                              uint8_t out[MR_ENTRY_PRODUCER_SIZE]);
void mr_entry_window_encode(const struct mr_entry_window *window,
                            uint8_t out[MR_ENTRY_WINDOW_SIZE]);
void mr_entry_carry_encode(uint64_t block, uint32_t size, uint8_t out[MR_ENTRY_CARRY_SIZE]);

/* The entry at `*at` of a chain, checked throughout (every item is walked once), so that the item
 * functions below cannot fail on it. Returns 1, 0 at the end, -EBADMSG. */
int mr_entry_decode(const uint8_t *chain, size_t size, size_t *at, struct mr_entry *out);

void mr_entry_cursor_init(struct mr_entry_cursor *cursor, const struct mr_entry *entry);

/* Each moves behind one item. -EBADMSG where the body ends before it. */
int mr_entry_extent_next(struct mr_entry_cursor *cursor, struct mr_entry_extent *out);
int mr_entry_epoch_next(struct mr_entry_cursor *cursor, int32_t *epoch, int64_t *start);
int mr_entry_segment_next(struct mr_entry_cursor *cursor, struct mr_entry_segment *out);
int mr_entry_producer_next(struct mr_entry_cursor *cursor, int64_t *id, int64_t *first_offset,
                           uint32_t *count, struct mr_entry_window windows[MR_PRODUCER_WINDOW]);
int mr_entry_carry_next(struct mr_entry_cursor *cursor, uint64_t *block, uint32_t *size,
                        const uint8_t **bytes);

#endif
