/* storage/format_record.c: records of a journal set and entries of a checkpoint's chain. */
#include "storage/format.h"

#include <errno.h>
#include <string.h>

#include "dataplane/base/endian.h"

/* Logical blocks and positions stay below this, so that sums cannot overflow. */
#define LOGICAL_MAX  (1ull << 50)
#define POSITION_MAX (LOGICAL_MAX * MR_FORMAT_BLOCK)

static size_t
pad8(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

size_t
mr_rec_size(const struct mr_rec *rec)
{
    switch (rec->type) {
    case MR_REC_APPEND:
        return pad8(MR_REC_APPEND_SIZE + (size_t)rec->u.append.meta_count * MR_REC_META_SIZE +
                    rec->u.append.head_size + rec->u.append.tail_size);
    case MR_REC_IMAGE:
        return pad8(MR_REC_IMAGE_SIZE + (size_t)rec->u.image.size);
    case MR_REC_ALLOCATE:
        return MR_REC_ALLOCATE_SIZE;
    case MR_REC_CREATE:
        return MR_REC_CREATE_SIZE;
    case MR_REC_DELETE:
        return MR_REC_HEADER_SIZE;
    case MR_REC_SWAP:
        return MR_REC_SWAP_SIZE + (size_t)rec->u.swap.extent_count * MR_ENTRY_EXTENT_SIZE +
               (size_t)rec->u.swap.segment_count * MR_ENTRY_SEGMENT_SIZE;
    case MR_REC_TRUNCATE:
        return MR_REC_TRUNCATE_SIZE + (size_t)rec->u.truncate.producers_size;
    case MR_REC_TRIM:
    case MR_REC_EPOCH:
    case MR_REC_VOID:
    case MR_REC_GROWTH:
        break;
    }
    return MR_REC_SMALL_SIZE;
}

void
mr_rec_meta_encode(const struct mr_rec_meta *meta, uint8_t out[MR_REC_META_SIZE])
{
    mr_le64_put(out, (uint64_t)meta->base_offset);
    mr_le64_put(out + 8, (uint64_t)meta->base_timestamp);
    mr_le64_put(out + 16, (uint64_t)meta->max_timestamp);
    mr_le64_put(out + 24, (uint64_t)meta->producer_id);
    mr_le32_put(out + 32, meta->size);
    mr_le32_put(out + 36, (uint32_t)meta->last_offset_delta);
    mr_le32_put(out + 40, meta->flags);
    mr_le32_put(out + 44, (uint32_t)meta->record_count);
    mr_le32_put(out + 48, (uint32_t)meta->base_sequence);
    mr_le32_put(out + 52, (uint32_t)meta->leader_epoch);
    mr_le16_put(out + 56, (uint16_t)meta->producer_epoch);
    mr_le16_put(out + 58, (uint16_t)meta->attributes);
    mr_le32_put(out + 60, 0);
}

void
mr_rec_meta_decode(const uint8_t in[MR_REC_META_SIZE], struct mr_rec_meta *out)
{
    out->base_offset = (int64_t)mr_le64_get(in);
    out->base_timestamp = (int64_t)mr_le64_get(in + 8);
    out->max_timestamp = (int64_t)mr_le64_get(in + 16);
    out->producer_id = (int64_t)mr_le64_get(in + 24);
    out->size = mr_le32_get(in + 32);
    out->last_offset_delta = (int32_t)mr_le32_get(in + 36);
    out->flags = mr_le32_get(in + 40);
    out->record_count = (int32_t)mr_le32_get(in + 44);
    out->base_sequence = (int32_t)mr_le32_get(in + 48);
    out->leader_epoch = (int32_t)mr_le32_get(in + 52);
    out->producer_epoch = (int16_t)mr_le16_get(in + 56);
    out->attributes = (int16_t)mr_le16_get(in + 58);
}

static void
append_encode(const struct mr_rec_append *append, uint8_t *out)
{
    uint8_t *bytes = mr_rec_append_bytes(out, append->meta_count);

    mr_le64_put(out + 16, append->position);
    mr_le32_put(out + 24, append->meta_count);
    mr_le32_put(out + 28, append->head_size);
    mr_le32_put(out + 32, append->run_blocks);
    mr_le32_put(out + 36, append->tail_size);
    mr_le32_put(out + 40, append->crc);
    if (append->head) {
        memcpy(bytes, append->head, append->head_size);
    }
    if (append->tail) {
        memcpy(bytes + append->head_size, append->tail, append->tail_size);
    }
}

static void
truncate_encode(const struct mr_rec_truncate *truncate, uint8_t *out)
{
    mr_le64_put(out + 16, (uint64_t)truncate->end);
    mr_le64_put(out + 24, (uint64_t)truncate->start);
    mr_le64_put(out + 32, truncate->position);
    mr_le64_put(out + 40, truncate->next_block);
    mr_le32_put(out + 48, truncate->producer_count);
    mr_le32_put(out + 52, 0);
    mr_le64_put(out + 56, 0);
    if (truncate->producers_size > 0) {
        memcpy(out + MR_REC_TRUNCATE_SIZE, truncate->producers, truncate->producers_size);
    }
}

static void
swap_encode(const struct mr_rec_swap *swap, uint8_t *out, size_t size)
{
    mr_le64_put(out + 16, (uint64_t)swap->offset);
    mr_le64_put(out + 24, swap->position);
    mr_le64_put(out + 32, (uint64_t)swap->horizon);
    mr_le32_put(out + 40, swap->extent_count);
    mr_le32_put(out + 44, swap->segment_count);
    if (size > MR_REC_SWAP_SIZE) {
        memcpy(out + MR_REC_SWAP_SIZE, swap->extents, size - MR_REC_SWAP_SIZE);
    }
}

size_t
mr_rec_encode(const struct mr_rec *rec, uint8_t *out)
{
    size_t size = mr_rec_size(rec);
    size_t fixed = size < MR_REC_APPEND_SIZE ? size : MR_REC_APPEND_SIZE;

    memset(out, 0, fixed);
    memset(out + size - 8, 0, 8); /* the padding behind bytes of odd size */
    out[0] = (uint8_t)rec->type;
    mr_le32_put(out + 4, (uint32_t)size);
    mr_le64_put(out + 8, rec->log);
    switch (rec->type) {
    case MR_REC_APPEND:
        append_encode(&rec->u.append, out);
        break;
    case MR_REC_IMAGE:
        mr_le64_put(out + 16, rec->u.image.block);
        mr_le32_put(out + 24, rec->u.image.size);
        mr_le32_put(out + 28, 0);
        memcpy(out + MR_REC_IMAGE_SIZE, rec->u.image.bytes, rec->u.image.size);
        break;
    case MR_REC_ALLOCATE:
        mr_le64_put(out + 16, rec->u.allocate.first_block);
        mr_extent_ref_encode(&rec->u.allocate.ref, out + 24);
        break;
    case MR_REC_TRIM:
        mr_le64_put(out + 16, (uint64_t)rec->u.trim.offset);
        mr_le64_put(out + 24, rec->u.trim.first_block);
        break;
    case MR_REC_TRUNCATE:
        truncate_encode(&rec->u.truncate, out);
        break;
    case MR_REC_CREATE:
        memcpy(out + 16, rec->u.create.topic_id.bytes, 16);
        mr_le32_put(out + 32, (uint32_t)rec->u.create.partition);
        break;
    case MR_REC_EPOCH:
        mr_le64_put(out + 16, rec->u.epoch.incarnation);
        break;
    case MR_REC_VOID:
        mr_le64_put(out + 16, rec->u.voided.sequence);
        break;
    case MR_REC_GROWTH:
        mr_le64_put(out + 16, rec->u.growth.size_blocks);
        break;
    case MR_REC_SWAP:
        swap_encode(&rec->u.swap, out, size);
        break;
    case MR_REC_DELETE:
        break;
    }
    return size;
}

/* Sums in 64 bits of values below 2^32 cannot overflow. */
static int
append_decode(const uint8_t *at, size_t size, struct mr_rec_append *out)
{
    uint64_t total, metas_size, bytes = 0;

    if (size < MR_REC_APPEND_SIZE) {
        return -EBADMSG;
    }
    out->position = mr_le64_get(at + 16);
    out->meta_count = mr_le32_get(at + 24);
    out->head_size = mr_le32_get(at + 28);
    out->run_blocks = mr_le32_get(at + 32);
    out->tail_size = mr_le32_get(at + 36);
    out->crc = mr_le32_get(at + 40);
    metas_size = (uint64_t)out->meta_count * MR_REC_META_SIZE;
    total = MR_REC_APPEND_SIZE + metas_size + out->head_size + out->tail_size;
    if (out->meta_count == 0 || out->position > POSITION_MAX || pad8(total) != size) {
        return -EBADMSG;
    }
    if (out->run_blocks ? out->head_size >= MR_FORMAT_BLOCK || out->tail_size >= MR_FORMAT_BLOCK ||
                              (out->position + out->head_size) % MR_FORMAT_BLOCK != 0
                        : out->tail_size != 0) {
        return -EBADMSG;
    }
    out->metas = at + MR_REC_APPEND_SIZE;
    for (uint32_t i = 0; i < out->meta_count; i++) {
        struct mr_rec_meta meta;

        mr_rec_meta_decode(out->metas + (size_t)i * MR_REC_META_SIZE, &meta);
        if (meta.size == 0 || meta.base_offset < 0 || meta.last_offset_delta < 0 ||
            meta.base_offset > INT64_MAX - INT32_MAX - 1) {
            return -EBADMSG;
        }
        bytes += meta.size;
    }
    if (bytes !=
        (uint64_t)out->head_size + out->tail_size + (uint64_t)out->run_blocks * MR_FORMAT_BLOCK) {
        return -EBADMSG;
    }
    out->head = out->metas + metas_size;
    out->tail = out->head + out->head_size;
    return 0;
}

static int
truncate_decode(const uint8_t *at, size_t size, struct mr_rec_truncate *out)
{
    struct mr_entry_window windows[MR_PRODUCER_WINDOW];
    struct mr_entry_cursor cursor;
    uint32_t count;
    int64_t id, first;

    if (size < MR_REC_TRUNCATE_SIZE) {
        return -EBADMSG;
    }
    out->end = (int64_t)mr_le64_get(at + 16);
    out->start = (int64_t)mr_le64_get(at + 24);
    out->position = mr_le64_get(at + 32);
    out->next_block = mr_le64_get(at + 40);
    out->producer_count = mr_le32_get(at + 48);
    out->producers = at + MR_REC_TRUNCATE_SIZE;
    out->producers_size = (uint32_t)(size - MR_REC_TRUNCATE_SIZE);
    if (out->start < 0 || out->end < out->start || out->next_block > LOGICAL_MAX ||
        out->position > out->next_block * MR_FORMAT_BLOCK) {
        return -EBADMSG;
    }
    cursor = (struct mr_entry_cursor){out->producers, out->producers + out->producers_size};
    for (uint32_t i = 0; i < out->producer_count; i++) {
        if (mr_entry_producer_next(&cursor, &id, &first, &count, windows)) {
            return -EBADMSG;
        }
    }
    return cursor.at == cursor.end ? 0 : -EBADMSG;
}

/* Extents and segments follow each other upwards. */
static int
map_check(struct mr_entry_cursor *cursor, uint32_t extent_count, uint32_t segment_count)
{
    uint64_t have = 0, end = 0;
    int64_t offset = -1;

    for (uint32_t i = 0; i < extent_count; i++) {
        struct mr_entry_extent extent;

        if (mr_entry_extent_next(cursor, &extent) || extent.first_block < have) {
            return -EBADMSG;
        }
        have = extent.first_block + mr_extent_ref_blocks(&extent.ref);
    }
    for (uint32_t i = 0; i < segment_count; i++) {
        struct mr_entry_segment segment;

        if (mr_entry_segment_next(cursor, &segment) || segment.first_offset <= offset ||
            segment.position < end) {
            return -EBADMSG;
        }
        offset = segment.first_offset;
        end = segment.end;
    }
    return 0;
}

static int
swap_decode(const uint8_t *at, size_t size, struct mr_rec_swap *out)
{
    struct mr_entry_cursor cursor;

    if (size < MR_REC_SWAP_SIZE) {
        return -EBADMSG;
    }
    out->offset = (int64_t)mr_le64_get(at + 16);
    out->position = mr_le64_get(at + 24);
    out->horizon = (int64_t)mr_le64_get(at + 32);
    out->extent_count = mr_le32_get(at + 40);
    out->segment_count = mr_le32_get(at + 44);
    out->extents = at + MR_REC_SWAP_SIZE;
    out->extents_size = size - MR_REC_SWAP_SIZE;
    if (out->offset < 0 || out->position > POSITION_MAX ||
        out->extents_size != (uint64_t)out->extent_count * MR_ENTRY_EXTENT_SIZE +
                                 (uint64_t)out->segment_count * MR_ENTRY_SEGMENT_SIZE) {
        return -EBADMSG;
    }
    cursor = (struct mr_entry_cursor){out->extents, out->extents + out->extents_size};
    return map_check(&cursor, out->extent_count, out->segment_count);
}

static int
small_decode(const uint8_t *at, size_t size, struct mr_rec *out)
{
    if (size != MR_REC_SMALL_SIZE) {
        return -EBADMSG;
    }
    switch (out->type) {
    case MR_REC_TRIM:
        out->u.trim.offset = (int64_t)mr_le64_get(at + 16);
        out->u.trim.first_block = mr_le64_get(at + 24);
        return out->u.trim.offset < 0 || out->u.trim.first_block > LOGICAL_MAX ? -EBADMSG : 0;
    case MR_REC_EPOCH:
        out->u.epoch.incarnation = mr_le64_get(at + 16);
        return 0;
    case MR_REC_VOID:
        out->u.voided.sequence = mr_le64_get(at + 16);
        return 0;
    default:
        out->u.growth.size_blocks = mr_le64_get(at + 16);
        return out->u.growth.size_blocks > LOGICAL_MAX ? -EBADMSG : 0;
    }
}

int
mr_rec_decode(const uint8_t *records, size_t size, size_t *at, struct mr_rec *out)
{
    const uint8_t *rec = records + *at;
    size_t left = size - *at;
    size_t rec_size;

    if (left == 0) {
        return 0;
    }
    if (left < MR_REC_HEADER_SIZE) {
        return -EBADMSG;
    }
    rec_size = mr_le32_get(rec + 4);
    if (rec_size < MR_REC_HEADER_SIZE || rec_size > left || rec_size % 8 != 0) {
        return -EBADMSG;
    }
    out->type = (enum mr_rec_type)rec[0];
    out->log = mr_le64_get(rec + 8);
    *at += rec_size;
    switch (out->type) {
    case MR_REC_APPEND:
        return append_decode(rec, rec_size, &out->u.append) ? -EBADMSG : 1;
    case MR_REC_IMAGE:
        if (rec_size < MR_REC_IMAGE_SIZE) {
            return -EBADMSG;
        }
        out->u.image.block = mr_le64_get(rec + 16);
        out->u.image.size = mr_le32_get(rec + 24);
        out->u.image.bytes = rec + MR_REC_IMAGE_SIZE;
        if (out->u.image.size == 0 || out->u.image.size >= MR_FORMAT_BLOCK ||
            out->u.image.block > LOGICAL_MAX ||
            pad8(MR_REC_IMAGE_SIZE + (size_t)out->u.image.size) != rec_size) {
            return -EBADMSG;
        }
        return 1;
    case MR_REC_ALLOCATE:
        if (rec_size != MR_REC_ALLOCATE_SIZE) {
            return -EBADMSG;
        }
        out->u.allocate.first_block = mr_le64_get(rec + 16);
        if (out->u.allocate.first_block > LOGICAL_MAX) {
            return -EBADMSG;
        }
        return mr_extent_ref_decode(rec + 24, &out->u.allocate.ref) ? -EBADMSG : 1;
    case MR_REC_CREATE:
        if (rec_size != MR_REC_CREATE_SIZE || out->log == 0) {
            return -EBADMSG;
        }
        memcpy(out->u.create.topic_id.bytes, rec + 16, 16);
        out->u.create.partition = (int32_t)mr_le32_get(rec + 32);
        return 1;
    case MR_REC_DELETE:
        return rec_size == MR_REC_HEADER_SIZE ? 1 : -EBADMSG;
    case MR_REC_SWAP:
        return swap_decode(rec, rec_size, &out->u.swap) ? -EBADMSG : 1;
    case MR_REC_TRUNCATE:
        return truncate_decode(rec, rec_size, &out->u.truncate) ? -EBADMSG : 1;
    case MR_REC_TRIM:
    case MR_REC_EPOCH:
    case MR_REC_VOID:
    case MR_REC_GROWTH:
        return small_decode(rec, rec_size, out) ? -EBADMSG : 1;
    }
    return -EBADMSG;
}

/* ---- checkpoint entries ---------------------------------------------------------------------- */

void
mr_entry_header_encode(const struct mr_entry *entry, uint8_t out[MR_ENTRY_HEADER_SIZE])
{
    memset(out, 0, MR_ENTRY_HEADER_SIZE);
    mr_le32_put(out, entry->size);
    mr_le64_put(out + 8, entry->log);
    memcpy(out + 16, entry->topic_id.bytes, 16);
    mr_le32_put(out + 32, (uint32_t)entry->partition);
    mr_le64_put(out + 40, entry->cut);
    mr_le64_put(out + 48, (uint64_t)entry->start);
    mr_le64_put(out + 56, (uint64_t)entry->end);
    mr_le64_put(out + 64, entry->end_position);
    mr_le32_put(out + 72, entry->extent_count);
    mr_le32_put(out + 76, entry->epoch_count);
    mr_le32_put(out + 80, entry->producer_count);
    mr_le32_put(out + 84, entry->carry_count);
    mr_le32_put(out + 88, entry->segment_count);
    mr_le64_put(out + 96, (uint64_t)entry->clean);
    mr_le64_put(out + 104, (uint64_t)entry->horizon);
}

void
mr_entry_extent_encode(const struct mr_entry_extent *extent, uint8_t out[MR_ENTRY_EXTENT_SIZE])
{
    mr_extent_ref_encode(&extent->ref, out);
    mr_le64_put(out + 16, extent->first_block);
    mr_le64_put(out + 24, (uint64_t)extent->first_offset);
    mr_le64_put(out + 32, extent->first_position);
    mr_le64_put(out + 40, (uint64_t)extent->max_timestamp);
}

void
mr_entry_epoch_encode(int32_t epoch, int64_t start, uint8_t out[MR_ENTRY_EPOCH_SIZE])
{
    mr_le32_put(out, (uint32_t)epoch);
    mr_le32_put(out + 4, 0);
    mr_le64_put(out + 8, (uint64_t)start);
}

void
mr_entry_segment_encode(const struct mr_entry_segment *segment, uint8_t out[MR_ENTRY_SEGMENT_SIZE])
{
    mr_le64_put(out, (uint64_t)segment->first_offset);
    mr_le64_put(out + 8, segment->position);
    mr_le64_put(out + 16, segment->end);
    mr_le64_put(out + 24, (uint64_t)segment->first_timestamp);
    mr_le64_put(out + 32, (uint64_t)segment->max_timestamp);
}

void
mr_entry_producer_encode(int64_t id, uint32_t windows, int64_t first_offset,
                         uint8_t out[MR_ENTRY_PRODUCER_SIZE])
{
    mr_le64_put(out, (uint64_t)id);
    mr_le32_put(out + 8, windows);
    mr_le32_put(out + 12, 0);
    mr_le64_put(out + 16, (uint64_t)first_offset);
}

void
mr_entry_window_encode(const struct mr_entry_window *window, uint8_t out[MR_ENTRY_WINDOW_SIZE])
{
    memset(out, 0, MR_ENTRY_WINDOW_SIZE);
    mr_le64_put(out, (uint64_t)window->offset);
    mr_le32_put(out + 8, (uint32_t)window->first_sequence);
    mr_le32_put(out + 12, (uint32_t)window->last_sequence);
    mr_le16_put(out + 16, (uint16_t)window->epoch);
}

void
mr_entry_carry_encode(uint64_t block, uint32_t size, uint8_t out[MR_ENTRY_CARRY_SIZE])
{
    mr_le64_put(out, block);
    mr_le32_put(out + 8, size);
    mr_le32_put(out + 12, 0);
}

void
mr_entry_cursor_init(struct mr_entry_cursor *cursor, const struct mr_entry *entry)
{
    cursor->at = entry->body;
    cursor->end = entry->body + entry->body_size;
}

static const uint8_t *
cursor_take(struct mr_entry_cursor *cursor, size_t size)
{
    const uint8_t *at = cursor->at;

    if ((size_t)(cursor->end - at) < size) {
        return NULL;
    }
    cursor->at += size;
    return at;
}

int
mr_entry_extent_next(struct mr_entry_cursor *cursor, struct mr_entry_extent *out)
{
    const uint8_t *at = cursor_take(cursor, MR_ENTRY_EXTENT_SIZE);

    if (!at || mr_extent_ref_decode(at, &out->ref)) {
        return -EBADMSG;
    }
    out->first_block = mr_le64_get(at + 16);
    out->first_offset = (int64_t)mr_le64_get(at + 24);
    out->first_position = mr_le64_get(at + 32);
    out->max_timestamp = (int64_t)mr_le64_get(at + 40);
    return out->first_block > LOGICAL_MAX ? -EBADMSG : 0;
}

int
mr_entry_epoch_next(struct mr_entry_cursor *cursor, int32_t *epoch, int64_t *start)
{
    const uint8_t *at = cursor_take(cursor, MR_ENTRY_EPOCH_SIZE);

    if (!at) {
        return -EBADMSG;
    }
    *epoch = (int32_t)mr_le32_get(at);
    *start = (int64_t)mr_le64_get(at + 8);
    return 0;
}

int
mr_entry_segment_next(struct mr_entry_cursor *cursor, struct mr_entry_segment *out)
{
    const uint8_t *at = cursor_take(cursor, MR_ENTRY_SEGMENT_SIZE);

    if (!at) {
        return -EBADMSG;
    }
    out->first_offset = (int64_t)mr_le64_get(at);
    out->position = mr_le64_get(at + 8);
    out->end = mr_le64_get(at + 16);
    out->first_timestamp = (int64_t)mr_le64_get(at + 24);
    out->max_timestamp = (int64_t)mr_le64_get(at + 32);
    return out->position > out->end || out->end > POSITION_MAX ? -EBADMSG : 0;
}

int
mr_entry_producer_next(struct mr_entry_cursor *cursor, int64_t *id, int64_t *first_offset,
                       uint32_t *count, struct mr_entry_window windows[MR_PRODUCER_WINDOW])
{
    const uint8_t *at = cursor_take(cursor, MR_ENTRY_PRODUCER_SIZE);

    if (!at) {
        return -EBADMSG;
    }
    *id = (int64_t)mr_le64_get(at);
    *count = mr_le32_get(at + 8);
    *first_offset = (int64_t)mr_le64_get(at + 16);
    if (*count > MR_PRODUCER_WINDOW) {
        return -EBADMSG;
    }
    for (uint32_t i = 0; i < *count; i++) {
        at = cursor_take(cursor, MR_ENTRY_WINDOW_SIZE);
        if (!at) {
            return -EBADMSG;
        }
        windows[i].offset = (int64_t)mr_le64_get(at);
        windows[i].first_sequence = (int32_t)mr_le32_get(at + 8);
        windows[i].last_sequence = (int32_t)mr_le32_get(at + 12);
        windows[i].epoch = (int16_t)mr_le16_get(at + 16);
    }
    return 0;
}

int
mr_entry_carry_next(struct mr_entry_cursor *cursor, uint64_t *block, uint32_t *size,
                    const uint8_t **bytes)
{
    const uint8_t *at = cursor_take(cursor, MR_ENTRY_CARRY_SIZE);

    if (!at) {
        return -EBADMSG;
    }
    *block = mr_le64_get(at);
    *size = mr_le32_get(at + 8);
    if (*size == 0 || *size > MR_FORMAT_BLOCK || *block > LOGICAL_MAX) {
        return -EBADMSG;
    }
    *bytes = cursor_take(cursor, pad8(*size));
    return *bytes ? 0 : -EBADMSG;
}

static int
entry_body_check(const struct mr_entry *entry)
{
    struct mr_entry_cursor cursor;
    struct mr_entry_window windows[MR_PRODUCER_WINDOW];
    const uint8_t *bytes;
    uint64_t block;
    uint32_t count, size;
    int32_t epoch;
    int64_t value, first;
    int error;

    mr_entry_cursor_init(&cursor, entry);
    error = map_check(&cursor, entry->extent_count, entry->segment_count);
    for (uint32_t i = 0; i < entry->epoch_count && !error; i++) {
        error = mr_entry_epoch_next(&cursor, &epoch, &value);
    }
    for (uint32_t i = 0; i < entry->producer_count && !error; i++) {
        error = mr_entry_producer_next(&cursor, &value, &first, &count, windows);
    }
    for (uint32_t i = 0; i < entry->carry_count && !error; i++) {
        error = mr_entry_carry_next(&cursor, &block, &size, &bytes);
    }
    if (!error && cursor.at != cursor.end) {
        error = -EBADMSG;
    }
    return error;
}

int
mr_entry_decode(const uint8_t *chain, size_t size, size_t *at, struct mr_entry *out)
{
    const uint8_t *in = chain + *at;
    size_t left = size - *at;

    if (left == 0) {
        return 0;
    }
    if (left < MR_ENTRY_HEADER_SIZE) {
        return -EBADMSG;
    }
    out->size = mr_le32_get(in);
    if (out->size < MR_ENTRY_HEADER_SIZE || out->size > left || out->size % 8 != 0) {
        return -EBADMSG;
    }
    out->log = mr_le64_get(in + 8);
    memcpy(out->topic_id.bytes, in + 16, 16);
    out->partition = (int32_t)mr_le32_get(in + 32);
    out->cut = mr_le64_get(in + 40);
    out->start = (int64_t)mr_le64_get(in + 48);
    out->end = (int64_t)mr_le64_get(in + 56);
    out->end_position = mr_le64_get(in + 64);
    out->extent_count = mr_le32_get(in + 72);
    out->epoch_count = mr_le32_get(in + 76);
    out->producer_count = mr_le32_get(in + 80);
    out->carry_count = mr_le32_get(in + 84);
    out->segment_count = mr_le32_get(in + 88);
    out->clean = (int64_t)mr_le64_get(in + 96);
    out->horizon = (int64_t)mr_le64_get(in + 104);
    out->body = in + MR_ENTRY_HEADER_SIZE;
    out->body_size = out->size - MR_ENTRY_HEADER_SIZE;
    *at += out->size;
    if (out->log == 0 || out->start < 0 || out->end < out->start ||
        out->end_position > POSITION_MAX || entry_body_check(out)) {
        return -EBADMSG;
    }
    return 1;
}
