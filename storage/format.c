/* storage/format.c: superblock, root and journal set; format_record.c has what they carry. */
#include "storage/format.h"

#include <errno.h>
#include <string.h>

#include "dataplane/base/endian.h"
#include "storage/crc32c.h"

/* The eight characters of a magic, read as a little-endian number. */
#define SUPER_MAGIC     0x315245505553524dull /* MRSUPER1 */
#define ROOT_MAGIC      0x3130544f4f52524dull /* MRROOT01 */
#define SET_MAGIC       0x313030544553524dull /* MRSET001 */

#define SUPER_CRC_AT    508u /* all of it lies in one sector */
#define ROOT_EXTENTS_AT 112u
#define ROOT_CRC_AT     4092u
#define SET_CRC_AT      76u

/* Bounds that keep sums of blocks and bytes from overflowing. */
#define BLOCKS_MAX (1ull << 48)

_Static_assert(ROOT_EXTENTS_AT + MR_ROOT_EXTENTS_MAX * MR_EXTENT_REF_SIZE <= ROOT_CRC_AT,
               "a root's extents fit into its block");
_Static_assert(SET_CRC_AT + 4 == MR_SET_HEADER_SIZE, "the CRC ends a set's header");

uint32_t
mr_format_crc_seed(const struct mr_super *super)
{
    uint8_t salt[8];

    mr_le64_put(salt, super->salt);
    return mr_crc32c(0, salt, sizeof(salt));
}

void
mr_super_encode(const struct mr_super *super, uint8_t block[MR_FORMAT_BLOCK])
{
    memset(block, 0, MR_FORMAT_BLOCK);
    mr_le64_put(block, SUPER_MAGIC);
    mr_le32_put(block + 8, super->version);
    mr_le32_put(block + 12, MR_FORMAT_BLOCK);
    memcpy(block + 16, super->store_id.bytes, 16);
    memcpy(block + 32, super->cluster_id.bytes, 16);
    mr_le32_put(block + 48, (uint32_t)super->node_id);
    mr_le32_put(block + 52, super->store_index);
    mr_le64_put(block + 56, super->size_blocks);
    mr_le64_put(block + 64, MR_FORMAT_JOURNAL_LBA);
    mr_le64_put(block + 72, super->journal_blocks);
    mr_le64_put(block + 80, super->data_lba);
    mr_le64_put(block + 88, super->incarnation);
    mr_le64_put(block + 96, super->salt);
    mr_le32_put(block + SUPER_CRC_AT, mr_crc32c(0, block, SUPER_CRC_AT));
}

int
mr_super_decode(const uint8_t block[MR_FORMAT_BLOCK], struct mr_super *out)
{
    if (mr_le64_get(block) != SUPER_MAGIC ||
        mr_le32_get(block + SUPER_CRC_AT) != mr_crc32c(0, block, SUPER_CRC_AT)) {
        return -EBADMSG;
    }
    out->version = mr_le32_get(block + 8);
    if (out->version != MR_FORMAT_VERSION || mr_le32_get(block + 12) != MR_FORMAT_BLOCK) {
        return -EPROTONOSUPPORT;
    }
    memcpy(out->store_id.bytes, block + 16, 16);
    memcpy(out->cluster_id.bytes, block + 32, 16);
    out->node_id = (int32_t)mr_le32_get(block + 48);
    out->store_index = mr_le32_get(block + 52);
    out->size_blocks = mr_le64_get(block + 56);
    out->journal_blocks = mr_le64_get(block + 72);
    out->data_lba = mr_le64_get(block + 80);
    out->incarnation = mr_le64_get(block + 88);
    out->salt = mr_le64_get(block + 96);
    if (mr_le64_get(block + 64) != MR_FORMAT_JOURNAL_LBA || out->size_blocks > BLOCKS_MAX ||
        out->journal_blocks < 16 || out->journal_blocks > out->size_blocks ||
        out->data_lba != MR_FORMAT_JOURNAL_LBA + out->journal_blocks ||
        out->data_lba >= out->size_blocks) {
        return -EBADMSG;
    }
    return 0;
}

void
mr_extent_ref_encode(const struct mr_extent_ref *ref, uint8_t out[MR_EXTENT_REF_SIZE])
{
    memset(out, 0, MR_EXTENT_REF_SIZE);
    mr_le64_put(out, ref->lba);
    out[8] = ref->order;
    out[9] = ref->kind;
}

int
mr_extent_ref_decode(const uint8_t in[MR_EXTENT_REF_SIZE], struct mr_extent_ref *out)
{
    out->lba = mr_le64_get(in);
    out->order = in[8];
    out->kind = in[9];
    if (out->order > MR_FORMAT_ORDER_MAX || out->kind > MR_EXTENT_INDEXED ||
        (out->kind == MR_EXTENT_INDEXED && out->order < MR_INDEX_ORDER_MIN) ||
        out->lba > BLOCKS_MAX) {
        return -EBADMSG;
    }
    return 0;
}

void
mr_root_encode(const struct mr_root *root, const struct mr_super *super,
               uint8_t block[MR_FORMAT_BLOCK])
{
    memset(block, 0, MR_FORMAT_BLOCK);
    mr_le64_put(block, ROOT_MAGIC);
    memcpy(block + 8, super->store_id.bytes, 16);
    mr_le64_put(block + 24, root->generation);
    mr_le64_put(block + 32, root->start_position);
    mr_le64_put(block + 40, root->start_sequence);
    mr_le64_put(block + 48, root->last_sequence);
    mr_le32_put(block + 56, root->previous_crc);
    mr_le32_put(block + 60, root->chain_crc);
    mr_le64_put(block + 64, root->chain_bytes);
    mr_le64_put(block + 72, root->entries);
    mr_le64_put(block + 80, root->log_next);
    mr_le64_put(block + 88, root->size_blocks);
    mr_le64_put(block + 96, root->incarnation);
    mr_le32_put(block + 104, root->extent_count);
    for (uint32_t i = 0; i < root->extent_count; i++) {
        mr_extent_ref_encode(&root->extents[i], block + ROOT_EXTENTS_AT + i * MR_EXTENT_REF_SIZE);
    }
    mr_le32_put(block + ROOT_CRC_AT, mr_crc32c(mr_format_crc_seed(super), block, ROOT_CRC_AT));
}

int
mr_root_decode(const uint8_t block[MR_FORMAT_BLOCK], const struct mr_super *super,
               struct mr_root *out)
{
    uint64_t blocks = 0;

    if (mr_le64_get(block) != ROOT_MAGIC || memcmp(block + 8, super->store_id.bytes, 16) != 0 ||
        mr_le32_get(block + ROOT_CRC_AT) !=
            mr_crc32c(mr_format_crc_seed(super), block, ROOT_CRC_AT)) {
        return -EBADMSG;
    }
    out->generation = mr_le64_get(block + 24);
    out->start_position = mr_le64_get(block + 32);
    out->start_sequence = mr_le64_get(block + 40);
    out->last_sequence = mr_le64_get(block + 48);
    out->previous_crc = mr_le32_get(block + 56);
    out->chain_crc = mr_le32_get(block + 60);
    out->chain_bytes = mr_le64_get(block + 64);
    out->entries = mr_le64_get(block + 72);
    out->log_next = mr_le64_get(block + 80);
    out->size_blocks = mr_le64_get(block + 88);
    out->incarnation = mr_le64_get(block + 96);
    out->extent_count = mr_le32_get(block + 104);
    if (out->generation == 0 || out->start_sequence == 0 ||
        out->extent_count > MR_ROOT_EXTENTS_MAX || out->size_blocks > BLOCKS_MAX ||
        out->size_blocks < super->data_lba) {
        return -EBADMSG;
    }
    for (uint32_t i = 0; i < out->extent_count; i++) {
        struct mr_extent_ref *ref = &out->extents[i];

        if (mr_extent_ref_decode(block + ROOT_EXTENTS_AT + i * MR_EXTENT_REF_SIZE, ref) ||
            ref->lba < super->data_lba || ref->lba + (1ull << ref->order) > out->size_blocks) {
            return -EBADMSG;
        }
        blocks += 1ull << ref->order;
    }
    if (out->chain_bytes > blocks * MR_FORMAT_BLOCK) {
        return -EBADMSG;
    }
    return 0;
}

static uint32_t
set_crc(const uint8_t *set, size_t size, const struct mr_super *super)
{
    uint32_t crc = mr_crc32c(mr_format_crc_seed(super), set, SET_CRC_AT);

    return mr_crc32c(crc, set + MR_SET_HEADER_SIZE, size - MR_SET_HEADER_SIZE);
}

void
mr_set_seal(uint8_t *set, struct mr_set_header *header, const struct mr_super *super)
{
    memset(set, 0, MR_SET_HEADER_SIZE);
    mr_le64_put(set, SET_MAGIC);
    memcpy(set + 8, super->store_id.bytes, 16);
    mr_le64_put(set + 24, header->incarnation);
    mr_le64_put(set + 32, header->sequence);
    mr_le64_put(set + 40, header->position);
    mr_le64_put(set + 48, header->durable_sequence);
    mr_le32_put(set + 56, header->size);
    mr_le32_put(set + 60, header->previous_crc);
    mr_le32_put(set + 64, header->record_count);
    header->crc = set_crc(set, header->size, super);
    mr_le32_put(set + SET_CRC_AT, header->crc);
}

int
mr_set_header_decode(const uint8_t block[MR_FORMAT_BLOCK], const struct mr_super *super,
                     size_t size_max, struct mr_set_header *out)
{
    if (mr_le64_get(block) != SET_MAGIC || memcmp(block + 8, super->store_id.bytes, 16) != 0) {
        return -EBADMSG;
    }
    out->incarnation = mr_le64_get(block + 24);
    out->sequence = mr_le64_get(block + 32);
    out->position = mr_le64_get(block + 40);
    out->durable_sequence = mr_le64_get(block + 48);
    out->size = mr_le32_get(block + 56);
    out->previous_crc = mr_le32_get(block + 60);
    out->record_count = mr_le32_get(block + 64);
    out->crc = mr_le32_get(block + SET_CRC_AT);
    if (out->size < MR_SET_HEADER_SIZE || out->size > size_max || out->sequence == 0) {
        return -EBADMSG;
    }
    return 0;
}

bool
mr_set_is_whole(const uint8_t *set, const struct mr_set_header *header,
                const struct mr_super *super)
{
    return set_crc(set, header->size, super) == header->crc;
}

/* ---- index of an extent ---------------------------------------------------------------------- */

#define INDEX_MAGIC  UINT64_C(0x315845444E49524D) /* "MRINDEX1" */
#define INDEX_CRC_AT 60u

void
mr_index_entry_put(uint8_t *out, uint32_t at, int64_t offset, uint32_t distance)
{
    out += MR_INDEX_HEADER_SIZE + (size_t)at * MR_INDEX_ENTRY_SIZE;
    mr_le64_put(out, (uint64_t)offset);
    mr_le32_put(out + 8, distance);
}

void
mr_index_entry_get(const uint8_t *in, uint32_t at, int64_t *offset, uint32_t *distance)
{
    in += MR_INDEX_HEADER_SIZE + (size_t)at * MR_INDEX_ENTRY_SIZE;
    *offset = (int64_t)mr_le64_get(in);
    *distance = mr_le32_get(in + 8);
}

static uint32_t
index_crc(const uint8_t *index, uint32_t count, const struct mr_super *super)
{
    uint32_t crc = mr_crc32c(mr_format_crc_seed(super), index, INDEX_CRC_AT);

    return mr_crc32c(crc, index + MR_INDEX_HEADER_SIZE, (size_t)count * MR_INDEX_ENTRY_SIZE);
}

void
mr_index_seal(uint8_t *out, const struct mr_index_header *header, unsigned order,
              const struct mr_super *super)
{
    size_t end = MR_INDEX_HEADER_SIZE + (size_t)header->count * MR_INDEX_ENTRY_SIZE;

    memset(out, 0, MR_INDEX_HEADER_SIZE);
    memset(out + end, 0, (size_t)mr_index_blocks(order) * MR_FORMAT_BLOCK - end);
    mr_le64_put(out, INDEX_MAGIC);
    mr_le64_put(out + 8, header->log);
    mr_le64_put(out + 16, header->first_block);
    mr_le64_put(out + 24, header->lba);
    mr_le32_put(out + 32, header->count);
    mr_le32_put(out + INDEX_CRC_AT, index_crc(out, header->count, super));
}

int
mr_index_check(const uint8_t *in, struct mr_index_header *header, unsigned order,
               const struct mr_super *super)
{
    header->count = mr_le32_get(in + 32);
    if (mr_le64_get(in) != INDEX_MAGIC || mr_le64_get(in + 8) != header->log ||
        mr_le64_get(in + 16) != header->first_block || mr_le64_get(in + 24) != header->lba ||
        header->count > mr_index_entries_max(order) ||
        mr_le32_get(in + INDEX_CRC_AT) != index_crc(in, header->count, super)) {
        return -EBADMSG;
    }
    return 0;
}
