/* storage/open.c: recovery: newest checkpoint, then the journal, in memory; no data is read.
 *
 * Order: flush (what a killed process left in the drive's cache), superblocks, roots, replay,
 * ownership, and a first set of this incarnation before anything is served. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/crc32c.h"
#include "storage/internal.h"
#include "storage/open.h"

#define SCAN_BYTES (256u * 1024)

struct open_run {
    struct mr_store *store;
    struct mr_root roots[2];
    bool root_valid[2];
    bool read_failed; /* a root or a chain: what looks damaged may be whole */
    uint8_t *chain;
    uint8_t *last_set; /* a copy of the last whole set */
    struct mr_set_header last;
    struct open_void *voids;
    size_t void_count, void_capacity;
    uint64_t given_up;                   /* the last set that a repair gives up; 0: none */
    uint64_t end_position, end_sequence; /* where replay stopped */
    uint32_t end_crc;
    char *reason;
    size_t reason_size;
};

struct open_void {
    uint64_t log;
    uint64_t sequence;
};

__attribute__((format(printf, 3, 4))) static int
refuse(struct open_run *run, int error, const char *format, ...)
{
    va_list args;

    if (run->reason && run->reason_size > 0) {
        va_start(args, format);
        vsnprintf(run->reason, run->reason_size, format, args);
        va_end(args);
    }
    return error;
}

/* ---- superblocks ----------------------------------------------------------------------------- */

int
open_super(struct mr_dev *dev, struct mr_super *out, unsigned *newest, unsigned *whole)
{
    struct mr_super copy;
    uint8_t *block;
    int found = -ENODATA;

    *whole = 0;
    if (posix_memalign((void **)&block, BLOCK, BLOCK)) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < 2; i++) {
        int error = store_sync(dev, 'r', block, BLOCK, (MR_FORMAT_SUPER_LBA + i) * BLOCK);

        if (error == -ECANCELED) {
            found = error;
            break;
        }
        if (error) {
            found = found == 0 ? 0 : error;
            continue;
        }
        error = mr_super_decode(block, &copy);
        *whole += error == 0;
        if (error == 0 && (found != 0 || copy.incarnation > out->incarnation)) {
            *out = copy;
            *newest = i;
            found = 0;
        } else if (error == -EPROTONOSUPPORT && found != 0) {
            found = error;
            out->version = copy.version;
        }
    }
    free(block);
    return found;
}

/* First the copy that is not the newest whole one: one is whole at every moment. */
static int
supers_raise(struct mr_store *store, unsigned newest)
{
    uint8_t *block;
    int error = 0;

    if (posix_memalign((void **)&block, BLOCK, BLOCK)) {
        return -ENOMEM;
    }
    store->super.incarnation++;
    mr_super_encode(&store->super, block);
    for (unsigned i = 0; i < 2 && !error; i++) {
        unsigned at = i == 0 ? 1 - newest : newest;

        error = store_sync(store->dev, 'W', block, BLOCK, (MR_FORMAT_SUPER_LBA + at) * BLOCK);
    }
    free(block);
    return error;
}

/* ---- checkpoint ------------------------------------------------------------------------------ */

static int
chain_read(struct open_run *run, const struct mr_root *root)
{
    struct mr_store *store = run->store;
    uint64_t at = 0;
    size_t size = (size_t)(root->chain_bytes + BLOCK - 1) / BLOCK * BLOCK;

    free(run->chain);
    run->chain = NULL;
    if (posix_memalign((void **)&run->chain, BLOCK, size ? size : BLOCK)) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < root->extent_count && at < size; i++) {
        uint64_t n = (uint64_t)BLOCK << root->extents[i].order;
        int error;

        n = n < size - at ? n : size - at;
        error = store_sync(store->dev, 'r', run->chain + at, n, root->extents[i].lba * BLOCK);
        if (error) {
            return error;
        }
        at += n;
    }
    if (mr_crc32c(mr_format_crc_seed(&store->super), run->chain, root->chain_bytes) !=
        root->chain_crc) {
        return -EBADMSG;
    }
    return 0;
}

static int
entry_carries(struct mr_log *log, const struct mr_entry *entry, struct mr_entry_cursor *cursor,
              uint64_t generation)
{
    for (uint32_t i = 0; i < entry->carry_count; i++) {
        const uint8_t *bytes;
        struct chunk *chunk;
        uint64_t block;
        uint32_t size;

        mr_entry_carry_next(cursor, &block, &size, &bytes);
        if (!extent_find(log, block) || cache_find(log, block)) {
            return -EUCLEAN;
        }
        chunk = cache_new(log, block, size, false);
        if (!chunk) {
            return -ENOMEM;
        }
        cache_put(log, block * BLOCK, bytes, size);
        chunk->state[0].carry_from = chunk->state[0].carry_to = generation;
    }
    return 0;
}

static int
entry_load(struct open_run *run, const struct mr_entry *entry, uint64_t generation)
{
    struct mr_store *store = run->store;
    struct mr_log_id id = {.topic_id = entry->topic_id, .partition = entry->partition};
    struct mr_entry_window windows[MR_PRODUCER_WINDOW];
    struct mr_entry_cursor cursor;
    struct mr_log *log = log_by_number(store, entry->log);
    uint32_t count;
    int64_t value, first;
    int32_t epoch;

    if (log) { /* cut again after it failed: the later entry counts */
        log_drop_unserved(log);
    }
    log = log_new(store, &id, entry->log);
    if (!log) {
        return -ENOMEM;
    }
    log->created = true;
    log->start = entry->start;
    log->clean = entry->clean;
    log->horizon = entry->horizon;
    log->durable = log->set_end = log->end = entry->end;
    log->durable_position = log->set_position = log->end_position = entry->end_position;
    for (unsigned u = 0; u < store->usable_count; u++) {
        log_set_cut(log, store->usable[u].generation, entry->cut);
    }
    mr_entry_cursor_init(&cursor, entry);
    for (uint32_t i = 0; i < entry->extent_count; i++) {
        struct mr_entry_extent in;
        struct extent *extent;

        mr_entry_extent_next(&cursor, &in);
        extent = extent_add(log, in.first_block, &in.ref);
        if (!extent) {
            return -ENOMEM;
        }
        extent->sequence = entry->cut ? entry->cut : 1;
        extent->first_offset = in.first_offset;
        extent->first_position = in.first_position;
        extent->max_timestamp = in.max_timestamp;
    }
    log->first_block =
        log->extent_count ? log->extents[0]->first_block : entry->end_position / BLOCK;
    log->floor_block = log->first_block;
    for (uint32_t i = 0; i < entry->segment_count; i++) {
        struct mr_entry_segment in;

        if (segment_reserve(log, 1)) {
            return -ENOMEM;
        }
        mr_entry_segment_next(&cursor, &in);
        log->segments[log->segment_count++] =
            (struct log_segment){.first_offset = in.first_offset,
                                 .position = in.position,
                                 .end = in.end,
                                 .first_timestamp = in.first_timestamp,
                                 .max_timestamp = in.max_timestamp};
    }
    segment_recount(log);
    for (uint32_t i = 0; i < entry->epoch_count; i++) {
        mr_entry_epoch_next(&cursor, &epoch, &value);
        if (log_epoch_note(log, epoch, value)) {
            return -ENOMEM;
        }
    }
    for (uint32_t i = 0; i < entry->producer_count; i++) {
        mr_entry_producer_next(&cursor, &value, &first, &count, windows);
        producer_restore(log, value, first, windows,
                         count); /* beyond the limit the oldest is forgotten */
    }
    return entry_carries(log, entry, &cursor, generation);
}

static int
checkpoint_load(struct open_run *run)
{
    struct mr_store *store = run->store;
    unsigned newest, other;
    const struct mr_root *root;
    struct mr_entry entry;
    size_t at = 0;
    int error = 0, got;

    if (!run->root_valid[0] && !run->root_valid[1]) {
        return refuse(run, run->read_failed ? -EIO : -EUCLEAN, "neither checkpoint root is whole");
    }
    newest = !run->root_valid[0] ||
             (run->root_valid[1] && run->roots[1].generation > run->roots[0].generation);
    other = 1 - newest;
    if (store->config.read_only && run->root_valid[other] && chain_read(run, &run->roots[other])) {
        run->root_valid[other] = false; /* who only looks wants to know that, too */
    }
    error = chain_read(run, &run->roots[newest]);
    if (error == -EBADMSG || error == -EIO) { /* the older one loses nothing */
        run->read_failed = run->read_failed || error == -EIO;
        run->root_valid[newest] = false;
        newest = other;
        other = 1 - newest;
        if (!run->root_valid[newest]) {
            return refuse(run, run->read_failed ? -EIO : -EUCLEAN,
                          "the only checkpoint is damaged");
        }
        error = chain_read(run, &run->roots[newest]);
    }
    if (error) {
        return error == -EBADMSG
                   ? refuse(run, run->read_failed ? -EIO : -EUCLEAN, "both checkpoints are damaged")
                   : error;
    }
    root = &run->roots[newest];
    store->root_slot = newest;
    for (unsigned i = 0; i < 2; i++) { /* the older one first */
        const struct mr_root *from = &run->roots[i == 0 ? other : newest];

        if (run->root_valid[i == 0 ? other : newest]) {
            struct usable *usable = &store->usable[store->usable_count++];

            usable->generation = from->generation;
            usable->start_position = from->start_position;
            usable->start_sequence = from->start_sequence;
            usable->extent_count = from->extent_count;
            memcpy(usable->extents, from->extents, sizeof(usable->extents));
        }
    }
    store->ck.root.generation = root->generation;
    if (run->root_valid[other] && run->roots[other].generation > root->generation) {
        store->ck.root.generation = run->roots[other].generation;
    }
    store->log_next = root->log_next;
    store->size_blocks = root->size_blocks;
    while ((got = mr_entry_decode(run->chain, root->chain_bytes, &at, &entry)) > 0) {
        error = entry_load(run, &entry, root->generation);
        if (error) {
            return error == -ENOMEM
                       ? refuse(run, error, "a limit is too small for what the store holds")
                       : refuse(run, error, "an entry of the checkpoint contradicts itself");
        }
    }
    return got < 0 ? refuse(run, -EUCLEAN, "an entry of the checkpoint is malformed") : 0;
}

/* ---- journal --------------------------------------------------------------------------------- */

/* Reads the set at a journal position into store->set. 0; -EBADMSG: there is no whole one. */
static int
set_read(struct mr_store *store, uint64_t position, struct mr_set_header *header)
{
    uint64_t at = position % store->ring_blocks;
    size_t max = (size_t)store->ring_blocks / 4 * BLOCK;
    uint64_t blocks, first;
    int error;

    max = max < store->set_capacity ? max : store->set_capacity;
    error = store_sync(store->dev, 'r', store->set, BLOCK, (MR_FORMAT_JOURNAL_LBA + at) * BLOCK);
    if (error) {
        return error;
    }
    error = mr_set_header_decode(store->set, &store->super, max, header);
    if (error) {
        return error;
    }
    blocks = mr_set_blocks(header->size);
    first = store->ring_blocks - at < blocks ? store->ring_blocks - at : blocks;
    if (first > 1) {
        error = store_sync(store->dev, 'r', store->set + BLOCK, (first - 1) * BLOCK,
                           (MR_FORMAT_JOURNAL_LBA + at + 1) * BLOCK);
    }
    if (!error && blocks > first) {
        error = store_sync(store->dev, 'r', store->set + first * BLOCK, (blocks - first) * BLOCK,
                           MR_FORMAT_JOURNAL_LBA * (uint64_t)BLOCK);
    }
    if (error) {
        return error;
    }
    return mr_set_is_whole(store->set, header, &store->super) ? 0 : -EBADMSG;
}

static int
void_note(struct open_run *run, uint64_t log, uint64_t sequence)
{
    if (run->void_count == run->void_capacity) {
        size_t capacity = run->void_capacity ? run->void_capacity * 2 : 16;
        struct open_void *voids = realloc(run->voids, capacity * sizeof(*voids));

        if (!voids) {
            return -ENOMEM;
        }
        run->voids = voids;
        run->void_capacity = capacity;
    }
    run->voids[run->void_count++] = (struct open_void){.log = log, .sequence = sequence};
    return 0;
}

static bool
is_void(const struct open_run *run, uint64_t log, uint64_t sequence)
{
    for (size_t i = 0; i < run->void_count; i++) {
        if (run->voids[i].log == log && run->voids[i].sequence == sequence) {
            return true;
        }
    }
    return false;
}

/* Collects a set's voids; also checks that every record of it can be read. */
static int
set_voids(struct open_run *run, const struct mr_set_header *header)
{
    struct mr_rec rec;
    size_t at = 0;
    int got, error = 0;

    while (!error && (got = mr_rec_decode(run->store->set + MR_SET_HEADER_SIZE,
                                          header->size - MR_SET_HEADER_SIZE, &at, &rec)) != 0) {
        if (got < 0) {
            return refuse(run, -EUCLEAN, "a record of set %llu is malformed",
                          (unsigned long long)header->sequence);
        }
        if (rec.type == MR_REC_VOID) {
            error = void_note(run, rec.log, rec.u.voided.sequence);
        }
    }
    return error;
}

/* First pass: where does the journal end, and what is void? */
static int
journal_walk(struct open_run *run, const struct mr_root *root)
{
    struct mr_store *store = run->store;
    uint64_t position = root->start_position, sequence = root->start_sequence;
    uint32_t crc = root->previous_crc;
    int error;

    for (;;) {
        struct mr_set_header header;

        error = set_read(store, position, &header);
        if (error == -EBADMSG) {
            break;
        }
        if (error) {
            return error == -EIO ? refuse(run, -EIO, "the journal cannot be read") : error;
        }
        if (header.sequence != sequence || header.previous_crc != crc ||
            header.position != position || header.incarnation > store->super.incarnation ||
            position + mr_set_blocks(header.size) - root->start_position > store->ring_blocks) {
            break;
        }
        error = set_voids(run, &header);
        if (error) {
            return error;
        }
        run->last = header;
        crc = header.crc;
        position += mr_set_blocks(header.size);
        sequence++;
    }
    if (sequence <= root->last_sequence && store->config.repair) {
        run->given_up = root->last_sequence;
    } else if (sequence <= root->last_sequence) {
        return refuse(run, -EUCLEAN, "the journal ends at set %llu, but %llu was durable",
                      (unsigned long long)sequence - 1, (unsigned long long)root->last_sequence);
    }
    run->end_position = position;
    run->end_sequence = sequence - 1;
    run->end_crc = crc;
    return 0;
}

/* A later set that a repair gives up must not be found again. */
static int
set_erase(struct open_run *run, uint64_t at, uint64_t sequence)
{
    struct mr_store *store = run->store;
    uint8_t *block;
    int error;

    if (posix_memalign((void **)&block, BLOCK, BLOCK)) {
        return -ENOMEM;
    }
    memset(block, 0, BLOCK);
    error = store_sync(store->dev, 'W', block, BLOCK, (MR_FORMAT_JOURNAL_LBA + at) * BLOCK);
    run->given_up = run->given_up > sequence ? run->given_up : sequence;
    free(block);
    return error;
}

/* A whole set above the first bad one means rot, not a tear. */
static int
ring_scan(struct open_run *run)
{
    struct mr_store *store = run->store;
    uint8_t *piece;
    int error = 0;

    if (posix_memalign((void **)&piece, BLOCK, SCAN_BYTES)) {
        return -ENOMEM;
    }
    for (uint64_t at = 0; at < store->ring_blocks && !error; at += SCAN_BYTES / BLOCK) {
        uint64_t n = store->ring_blocks - at < SCAN_BYTES / BLOCK ? store->ring_blocks - at
                                                                  : SCAN_BYTES / BLOCK;

        error = store_sync(store->dev, 'r', piece, n * BLOCK, (MR_FORMAT_JOURNAL_LBA + at) * BLOCK);
        for (uint64_t i = 0; i < n && !error; i++) {
            struct mr_set_header header;

            if (mr_set_header_decode(piece + i * BLOCK, &store->super, SIZE_MAX >> 1, &header) ||
                header.sequence <= run->end_sequence + 1) {
                continue;
            }
            error = set_read(store, at + i, &header);
            if (error) {
                error = error == -EBADMSG ? 0 : error;
                continue;
            }
            if (store->config.repair) {
                error = set_erase(run, at + i, header.sequence);
                continue;
            }
            error = refuse(run, -EUCLEAN, "set %llu is bad but set %llu is there",
                           (unsigned long long)run->end_sequence + 1,
                           (unsigned long long)header.sequence);
        }
    }
    free(piece);
    return error;
}

/* Reads the blocks of a run and compares; the extents come from the log's map and from the set
 * itself, which may allocate them. */
static int
run_verify(struct open_run *run, const struct mr_rec_append *append, const struct mr_rec *rec,
           bool *good)
{
    struct mr_store *store = run->store;
    uint64_t block = (append->position + append->head_size) / BLOCK;
    uint64_t end = block + append->run_blocks;
    uint32_t crc = mr_crc32c(0, append->head, append->head_size);
    uint8_t *piece;
    int error = 0;

    if (posix_memalign((void **)&piece, BLOCK, SCAN_BYTES)) {
        return -ENOMEM;
    }
    while (block < end && !error && *good) {
        struct open_place place;

        if (!open_place_find(store, run->last_set, &run->last, rec->log, block, &place)) {
            *good = false;
            break;
        }
        for (; block < end && block < place.end && !error;) {
            uint64_t n = place.end < end ? place.end - block : end - block;

            n = n < SCAN_BYTES / BLOCK ? n : SCAN_BYTES / BLOCK;
            error = store_sync(store->dev, 'r', piece, n * BLOCK,
                               (place.lba + (block - place.first)) * BLOCK);
            crc = mr_crc32c(crc, piece, n * BLOCK);
            block += n;
        }
    }
    free(piece);
    if (!error) {
        crc = mr_crc32c(crc, append->tail, append->tail_size);
        *good = *good && crc == append->crc;
    }
    return error;
}

/* The last group is not known durable: its runs must all be whole, else it is dropped. */
static int
last_verify(struct open_run *run, bool *good)
{
    struct mr_rec rec;
    size_t at = 0;
    int error = 0;

    *good = true;
    while (!error && *good &&
           mr_rec_decode(run->last_set + MR_SET_HEADER_SIZE, run->last.size - MR_SET_HEADER_SIZE,
                         &at, &rec) > 0) {
        if (rec.type == MR_REC_APPEND && rec.u.append.run_blocks > 0) {
            error = run_verify(run, &rec.u.append, &rec, good);
        }
    }
    return error;
}

static int
journal_replay(struct open_run *run, const struct mr_root *root)
{
    struct mr_store *store = run->store;
    uint64_t position = root->start_position;
    int error;

    for (uint64_t sequence = root->start_sequence; sequence <= run->end_sequence; sequence++) {
        struct mr_set_header header;
        struct mr_rec rec;
        size_t at = 0;

        error = set_read(store, position, &header);
        if (error) {
            return refuse(run, error == -EBADMSG ? -EUCLEAN : error,
                          "a set changed while it was read");
        }
        if (sequence == run->end_sequence && sequence > root->last_sequence) {
            bool good;

            run->last_set = malloc(header.size);
            if (!run->last_set) {
                return -ENOMEM;
            }
            memcpy(run->last_set, store->set, header.size);
            error = last_verify(run, &good);
            if (error) {
                return error;
            }
            if (!good) {
                store->stats.dropped_groups++;
                run->end_sequence--;
                run->end_position = position;
                run->end_crc = header.previous_crc;
                return 0;
            }
            memcpy(store->set, run->last_set, header.size);
        }
        while (mr_rec_decode(store->set + MR_SET_HEADER_SIZE, header.size - MR_SET_HEADER_SIZE, &at,
                             &rec) > 0) {
            error = open_apply(store, &rec, sequence,
                               is_void(run, rec.log, sequence) && rec.type == MR_REC_APPEND);
            if (error == -ENOMEM) {
                return refuse(run, error, "the arena or a limit is too small for the journal");
            }
            if (error) {
                return refuse(run, error, "set %llu contradicts what is before it",
                              (unsigned long long)sequence);
            }
        }
        position += mr_set_blocks(header.size);
    }
    return 0;
}

/* ---- ownership ------------------------------------------------------------------------------- */

static int
ownership_judge(struct open_run *run)
{
    struct mr_store *store = run->store;

    for (unsigned u = 0; u < store->usable_count; u++) {
        for (uint32_t i = 0; i < store->usable[u].extent_count; i++) {
            const struct mr_extent_ref *ref = &store->usable[u].extents[i];

            if (!mr_buddy_take(&store->buddy, ref->lba, ref->order)) {
                return refuse(run, -EUCLEAN, "block %llu of a checkpoint has two owners",
                              (unsigned long long)ref->lba);
            }
        }
    }
    MR_LIST_FOR_EACH(node, &store->logs)
    {
        struct mr_log *log = MR_CONTAINER_OF(node, struct mr_log, node);

        log->durable = log->set_end = log->end;
        log->durable_position = log->set_position = log->end_position;
        for (uint32_t i = 0; i < log->extent_count; i++) {
            if (!mr_buddy_take(&store->buddy, log->extents[i]->lba, log->extents[i]->order)) {
                return refuse(run, -EUCLEAN, "block %llu of a log has two owners",
                              (unsigned long long)log->extents[i]->lba);
            }
        }
        for (uint32_t c = 0; c < log->chunk_count; c++) {
            cache_settle(log->chunks[c]);
        }
    }
    return 0;
}

static void
reserve_size(struct mr_store *store)
{
    uint64_t data = store->size_blocks - store->super.data_lba;

    store->order_max = 0;
    while (store->order_max < MR_FORMAT_ORDER_MAX && (1ull << (store->order_max + 7)) <= data) {
        store->order_max++;
    }
    store->reserve_blocks = 2ull << store->order_max;
}

static int
roots_read(struct open_run *run)
{
    struct mr_store *store = run->store;
    uint8_t *block;
    int error = 0;

    if (posix_memalign((void **)&block, BLOCK, BLOCK)) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < 2 && error != -ECANCELED; i++) {
        error = store_sync(store->dev, 'r', block, BLOCK, (MR_FORMAT_ROOT_LBA + i) * BLOCK);
        run->read_failed = run->read_failed || error == -EIO;
        run->root_valid[i] =
            error == 0 && mr_root_decode(block, &store->super, &run->roots[i]) == 0;
    }
    free(block);
    return error == -ECANCELED ? error : 0;
}

/* A root that this open does not use must not come back: it may be whole, and only its read have
 * failed. What is written from here on is held by the other one alone. */
static int
roots_erase(struct open_run *run)
{
    uint8_t *block;
    int error = 0;

    if (run->root_valid[0] && run->root_valid[1]) {
        return 0;
    }
    if (posix_memalign((void **)&block, BLOCK, BLOCK)) {
        return -ENOMEM;
    }
    memset(block, 0, BLOCK);
    error = store_sync(run->store->dev, 'W', block, BLOCK,
                       (MR_FORMAT_ROOT_LBA + (run->root_valid[0] ? 1u : 0u)) * (uint64_t)BLOCK);
    free(block);
    return error;
}

/* Everything from the replay on, with the run's buffers in place. */
static int
recover(struct open_run *run)
{
    struct mr_store *store = run->store;
    const struct mr_root *root;
    int error = roots_read(run);

    if (!error) {
        error = checkpoint_load(run);
    }
    if (error) {
        return error;
    }
    root = &run->roots[store->root_slot];
    error = journal_walk(run, root);
    if (!error) {
        error = ring_scan(run);
    }
    store->clean =
        run->end_sequence == root->last_sequence && run->end_sequence + 1 == root->start_sequence;
    if (!error) {
        error = journal_replay(run, root);
    }
    if (error) {
        return error;
    }
    store->sequence = store->durable_sequence = run->end_sequence;
    store->position = store->durable_position = run->end_position;
    store->previous_crc = store->durable_crc = run->end_crc;
    if (store->size_blocks * BLOCK > store->dev->size_bytes) {
        return refuse(run, -EUCLEAN, "the device is smaller than the store");
    }
    if (mr_buddy_init(&store->buddy, store->super.data_lba,
                      store->size_blocks - store->super.data_lba)) {
        return -ENOMEM;
    }
    reserve_size(store);
    if (store->log_count > store->config.logs_max) {
        return refuse(run, -ENOMEM, "the store holds %u logs, the limit is %u", store->log_count,
                      store->config.logs_max);
    }
    return ownership_judge(run);
}

/* Both roots still name sets that are given up: two checkpoints take their places. */
static int
repair_finish(struct open_run *run)
{
    int error = checkpoint_sync(run->store);

    error = error ? error : checkpoint_sync(run->store);
    if (!error) {
        refuse(run, 0, "sets %llu to %llu of the journal were given up",
               (unsigned long long)run->end_sequence + 1, (unsigned long long)run->given_up);
    }
    return error;
}

/* Fills the store from its device. Blocking. */
int
open_recover(struct mr_store *store, char *reason, size_t reason_size)
{
    struct open_run run = {.store = store, .reason = reason, .reason_size = reason_size};
    bool read_only = store->config.read_only;
    unsigned newest = 0, supers = 0;
    int error = read_only || MUTANT(NO_OPEN_FLUSH) ? 0 : store_sync(store->dev, 'f', NULL, 0, 0);

    if (!error) {
        error = open_super(store->dev, &store->super, &newest, &supers);
        store->stats.supers_whole = (uint8_t)supers;
    }
    if (error == -EPROTONOSUPPORT) {
        return refuse(&run, error,
                      store->super.version < MR_FORMAT_VERSION
                          ? "it has format version %u, which this version does not read any more: "
                            "format it anew (this one writes %u)"
                          : "it has format version %u, which is newer than this program (%u)",
                      store->super.version, MR_FORMAT_VERSION);
    }
    if (error) {
        return refuse(&run, error, "no superblock can be read (%d)", error);
    }
    store->ring_blocks = store->super.journal_blocks;
    store->ring_soft = store->config.arena_bytes / 2 / BLOCK;
    store->ring_soft =
        store->ring_soft < store->ring_blocks ? store->ring_soft : store->ring_blocks;
    error = read_only ? 0 : supers_raise(store, newest);
    if (!error) {
        error = journal_init(store);
    }
    if (!error) {
        store->replaying = true;
        error = recover(&run);
        store->replaying = false;
    }
    if (!error && !read_only) {
        error = roots_erase(&run);
    }
    for (unsigned i = 0; i < 4 && !error && !read_only; i++) {
        error = journal_open_set(store);
        if (error != -ENOSPC) {
            break;
        }
        error = checkpoint_sync(store); /* two of them free the ring */
        if (error == -EIO) {
            refuse(&run, error, "no journal space for the first set, and no checkpoint");
        }
    }
    store->stats.roots_whole = (uint8_t)(run.root_valid[0] + run.root_valid[1]);
    if (!error && run.given_up) {
        error = repair_finish(&run);
    }
    free(run.chain);
    free(run.last_set);
    free(run.voids);
    return error;
}
