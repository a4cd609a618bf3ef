/* storage/replay.c: records of the journal applied to the logs in memory; nothing is written. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/internal.h"
#include "storage/open.h"

/* Takes a log out as if it had never been: during recovery nothing is in flight or owned. */
void
log_drop_unserved(struct mr_log *log)
{
    struct mr_store *store = log->store;

    log_unhash(log);
    log_unnumber(log);
    mr_list_remove(&log->node);
    producer_drop_log(log);
    store->log_count--;
    log_free(log);
}

bool
open_place_find(struct mr_store *store, const uint8_t *set, const struct mr_set_header *header,
                uint64_t number, uint64_t block, struct open_place *out)
{
    struct mr_log *log = log_by_number(store, number);
    struct extent *extent = log ? extent_find(log, block) : NULL;
    uint64_t end = store->size_blocks;
    struct mr_rec rec;
    size_t at = 0;

    if (extent) {
        *out = (struct open_place){
            .first = extent->first_block, .end = extent_end(extent), .lba = extent->lba};
        return out->lba >= store->super.data_lba && out->lba + (out->end - out->first) <= end;
    }
    while (mr_rec_decode(set + MR_SET_HEADER_SIZE, header->size - MR_SET_HEADER_SIZE, &at, &rec) >
           0) {
        uint64_t n = rec.type == MR_REC_ALLOCATE ? mr_extent_ref_blocks(&rec.u.allocate.ref) : 0;

        if (n > 0 && rec.log == number && rec.u.allocate.first_block <= block &&
            block < rec.u.allocate.first_block + n) {
            *out = (struct open_place){.first = rec.u.allocate.first_block,
                                       .end = rec.u.allocate.first_block + n,
                                       .lba = rec.u.allocate.ref.lba};
            return out->lba >= store->super.data_lba && out->lba + n <= end;
        }
    }
    return false;
}

#ifdef MR_MUTANTS
/* What recovery without tail images would have to do: it takes the block from its place. */
static struct chunk *
tail_from_place(struct mr_log *log, uint64_t block, uint32_t size)
{
    struct extent *extent = extent_find(log, block);
    struct chunk *chunk = extent ? cache_new(log, block, BLOCK, false) : NULL;

    if (!chunk || store_sync(log->store->dev, 'r', chunk->data, BLOCK,
                             (extent->lba + (block - extent->first_block)) * BLOCK)) {
        return NULL;
    }
    chunk->state[0].fill = chunk->state[0].placed = (uint16_t)size;
    chunk->end = block * BLOCK + size;
    return chunk;
}
#endif

/* Puts inline bytes into memory as dirty blocks. A block that does not begin here is in memory
 * already: its image, its first bytes or what the checkpoint carries came before. */
static int
put_inline(struct mr_log *log, uint64_t position, const uint8_t *bytes, uint32_t size,
           uint64_t sequence)
{
    while (size > 0) {
        uint64_t block = position / BLOCK;
        uint32_t o = position % BLOCK;
        uint32_t n = BLOCK - o < size ? BLOCK - o : size;
        struct chunk *chunk = cache_find(log, block);

        if (o == 0 && chunk) { /* what was rolled back or dropped began here */
            cache_detach(chunk);
            chunk = NULL;
        }
#ifdef MR_MUTANTS
        if (!chunk && o != 0 && MUTANT(NO_TAIL_IMAGE)) {
            chunk = tail_from_place(log, block, o);
        }
#endif
        if (!chunk) {
            if (o != 0) {
                return -EUCLEAN;
            }
            chunk = cache_new(log, block, n, false);
        } else if (chunk->capacity < o + n) {
            if (chunk->state[0].fill != o) {
                return -EUCLEAN;
            }
            chunk = cache_grow(chunk, o + n, false);
        }
        if (!chunk) {
            return -ENOMEM;
        }
        if (chunk->state[0].fill != o) {
            return -EUCLEAN;
        }
        if (o == 0) {
            chunk->state[0].image = sequence;
        }
        cache_put(log, position, bytes, n);
        position += n;
        bytes += n;
        size -= n;
    }
    return 0;
}

static int
apply_image(struct mr_log *log, const struct mr_rec *rec, uint64_t sequence)
{
    uint64_t block = rec->u.image.block;
    struct chunk *chunk = cache_find(log, block);

    if (block != log->end_position / BLOCK || rec->u.image.size != log->end_position % BLOCK ||
        !extent_find(log, block)) {
        return -EUCLEAN;
    }
    if (chunk) {
        cache_detach(chunk);
    }
    chunk = cache_new(log, block, rec->u.image.size, false);
    if (!chunk) {
        return -ENOMEM;
    }
    cache_put(log, block * BLOCK, rec->u.image.bytes, rec->u.image.size);
    chunk->state[0].image = sequence;
    return 0;
}

static int
apply_append(struct mr_log *log, const struct mr_rec_append *append, uint64_t sequence)
{
    uint64_t size =
        (uint64_t)append->head_size + append->tail_size + (uint64_t)append->run_blocks * BLOCK;
    uint64_t position = append->position;
    int error;

    if (position != log->end_position || log->extent_count == 0 ||
        log->extents[0]->first_block > position / BLOCK ||
        extent_end(log->extents[log->extent_count - 1]) * BLOCK < position + size) {
        return -EUCLEAN;
    }
    error = put_inline(log, position, append->head, append->head_size, sequence);
    if (!error) {
        error = put_inline(log, position + size - append->tail_size, append->tail,
                           append->tail_size, sequence);
    }
    for (uint32_t i = 0; i < append->meta_count && !error; i++) {
        struct mr_batch_header header = {.magic = 2};
        struct mr_rec_meta meta;

        mr_rec_meta_decode(append->metas + (size_t)i * MR_REC_META_SIZE, &meta);
        if (meta.base_offset < log->end || meta.size > INT32_MAX) {
            return -EUCLEAN;
        }
        header.size = (int32_t)meta.size;
        header.last_offset_delta = meta.last_offset_delta;
        header.max_timestamp = meta.max_timestamp;
        header.producer_id = meta.producer_id;
        header.producer_epoch = meta.producer_epoch;
        header.base_sequence = meta.base_sequence;
        if (log_epoch_note(log, meta.leader_epoch, meta.base_offset)) {
            return -ENOMEM;
        }
        if (segment_reserve(log, 1)) {
            return -ENOMEM;
        }
        log_applied(log, &header, meta.base_offset, position, meta.flags & MR_REC_META_ROLLS);
        position += meta.size;
        log->durable = log->end; /* replay knows no other end */
        log->durable_position = log->end_position;
        if (meta.producer_id != MR_BATCH_NO_PRODUCER &&
            producer_note(log, &header, meta.base_offset)) {
            producer_durable(log, meta.producer_id);
        }
    }
    return error;
}

static int
apply_create(struct mr_store *store, const struct mr_rec *rec)
{
    struct mr_log_id id = {.topic_id = rec->u.create.topic_id,
                           .partition = rec->u.create.partition};
    /* The id may be taken by a later log that the checkpoint has; then this one's delete follows.
     */
    struct mr_log *log = log_new(store, &id, rec->log);

    if (!log) {
        return -ENOMEM;
    }
    log->created = true;
    if (store->log_next <= rec->log) {
        store->log_next = rec->log + 1;
    }
    return 0;
}

int
open_apply(struct mr_store *store, const struct mr_rec *rec, uint64_t sequence, bool is_void)
{
    struct mr_log *log =
        rec->log && rec->type != MR_REC_CREATE ? log_by_number(store, rec->log) : NULL;
    struct extent *extent;
    uint64_t have;

    if (rec->type == MR_REC_GROWTH) {
        if (rec->u.growth.size_blocks > store->size_blocks) {
            store->size_blocks = rec->u.growth.size_blocks;
        }
        return 0;
    }
    if (rec->type == MR_REC_EPOCH || rec->type == MR_REC_VOID) {
        return 0;
    }
    if (rec->type == MR_REC_CREATE) {
        /* Where the checkpoint has it, it was cut after this record. */
        return log_by_number(store, rec->log) ? 0 : apply_create(store, rec);
    }
    if (!log || sequence <= log->cut_last) {
        return 0; /* deleted later, or the checkpoint holds it already */
    }
    switch (rec->type) {
    case MR_REC_ALLOCATE:
        have = extent_next_block(log);
        if (rec->u.allocate.first_block != have ||
            rec->u.allocate.ref.lba < store->super.data_lba) {
            return -EUCLEAN;
        }
        extent = extent_add(log, have, &rec->u.allocate.ref);
        if (!extent) {
            return -ENOMEM;
        }
        extent->sequence = sequence;
        return 0;
    case MR_REC_IMAGE:
        return apply_image(log, rec, sequence);
    case MR_REC_APPEND:
        return is_void ? 0 : apply_append(log, &rec->u.append, sequence);
    case MR_REC_TRIM:
        if (rec->u.trim.offset > log->end) {
            return -EUCLEAN;
        }
        if (log->start < rec->u.trim.offset) {
            log->start = rec->u.trim.offset;
            segment_trim(log);
            extent_release_below(log, rec->u.trim.first_block);
        }
        return 0;
    case MR_REC_TRUNCATE:
        if (rec->u.truncate.position > log->end_position ||
            (rec->u.truncate.next_block * BLOCK < log->end_position &&
             !MUTANT(TRUNCATE_REUSES_BLOCK))) {
            return -EUCLEAN;
        }
        truncate_apply(log, &rec->u.truncate);
        return 0;
    case MR_REC_DELETE:
        log_drop_unserved(log);
        return 0;
    case MR_REC_SWAP:
        return swap_apply(log, &rec->u.swap);
    default:
        return -EUCLEAN;
    }
}
