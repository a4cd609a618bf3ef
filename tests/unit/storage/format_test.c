/* tests/unit/storage/format_test.c: the format's round trips, and hostile bytes. */
#include "storage/format.h"

#include <errno.h>

#include "dataplane/base/rng.h"
#include "storage/crc32c.h"
#include "tests/mr_test.h"

static const struct mr_super super = {
    .version = MR_FORMAT_VERSION,
    .store_id = {{1, 2, 3}},
    .cluster_id = {{4, 5, 6}},
    .node_id = 7,
    .store_index = 8,
    .size_blocks = 10000,
    .journal_blocks = 256,
    .data_lba = 260,
    .incarnation = 9,
    .salt = 0x123456789abcdef0ull,
};

static size_t
put(uint8_t *at, const struct mr_rec *rec)
{
    size_t size = mr_rec_encode(rec, at);

    MR_CHECK_EQ(size, mr_rec_size(rec));
    MR_CHECK_EQ(size % 8, 0);
    return size;
}

/* One record of every kind. */
static size_t
records_build(uint8_t *at)
{
    static const uint8_t bytes[4096] = "bytes";
    struct mr_rec rec = {.type = MR_REC_CREATE, .log = 5, .u.create = {{{9}}, 3}};
    struct mr_rec_meta meta = {.base_offset = 100,
                               .size = 4096 + 30,
                               .last_offset_delta = 4,
                               .producer_id = -1,
                               .leader_epoch = 2};
    struct mr_entry_extent extent = {.ref = {.lba = 300, .order = 2}, .first_block = 4};
    struct mr_entry_segment segment = {.first_offset = 3, .position = 16384, .end = 16500};
    struct mr_entry_window window = {.offset = 6, .first_sequence = 1, .last_sequence = 2};
    uint8_t map[MR_ENTRY_EXTENT_SIZE + MR_ENTRY_SEGMENT_SIZE];
    uint8_t producer[MR_ENTRY_PRODUCER_SIZE + MR_ENTRY_WINDOW_SIZE];
    const uint8_t *begin = at;
    uint8_t *append;

    at += put(at, &rec);
    rec = (struct mr_rec){.type = MR_REC_ALLOCATE,
                          .log = 5,
                          .u.allocate = {.first_block = 4, .ref = {.lba = 300, .order = 2}}};
    at += put(at, &rec);
    mr_entry_extent_encode(&extent, map);
    mr_entry_segment_encode(&segment, map + MR_ENTRY_EXTENT_SIZE);
    mr_entry_producer_encode(1000, 1, 6, producer);
    mr_entry_window_encode(&window, producer + MR_ENTRY_PRODUCER_SIZE);
    rec = (struct mr_rec){
        .type = MR_REC_IMAGE, .log = 5, .u.image = {.block = 4, .size = 4086, .bytes = bytes}};
    at += put(at, &rec);
    rec = (struct mr_rec){.type = MR_REC_APPEND,
                          .log = 5,
                          .u.append = {.position = 4 * 4096 + 4086,
                                       .meta_count = 1,
                                       .head_size = 10,
                                       .run_blocks = 1,
                                       .tail_size = 20,
                                       .crc = 77,
                                       .head = bytes,
                                       .tail = bytes}};
    append = at;
    at += put(at, &rec);
    mr_rec_meta_encode(&meta, mr_rec_append_metas(append));
    rec = (struct mr_rec){.type = MR_REC_TRIM, .log = 5, .u.trim = {.offset = 7, .first_block = 1}};
    at += put(at, &rec);
    rec = (struct mr_rec){.type = MR_REC_TRUNCATE,
                          .log = 5,
                          .u.truncate = {.end = 7,
                                         .start = 2,
                                         .position = 4097,
                                         .next_block = 9,
                                         .producer_count = 1,
                                         .producers_size = sizeof(producer),
                                         .producers = producer}};
    at += put(at, &rec);
    rec = (struct mr_rec){.type = MR_REC_EPOCH, .u.epoch = {.incarnation = 4}};
    at += put(at, &rec);
    rec = (struct mr_rec){
        .type = MR_REC_SWAP,
        .log = 5,
        .u.swap = {.offset = 1, .extent_count = 1, .segment_count = 1, .extents = map}};
    at += put(at, &rec);
    rec = (struct mr_rec){.type = MR_REC_VOID, .log = 5, .u.voided = {.sequence = 6}};
    at += put(at, &rec);
    rec = (struct mr_rec){.type = MR_REC_GROWTH, .u.growth = {.size_blocks = 20000}};
    at += put(at, &rec);
    rec = (struct mr_rec){.type = MR_REC_DELETE, .log = 5};
    at += put(at, &rec);
    return (size_t)(at - begin);
}

static int
records_walk(const uint8_t *records, size_t size, unsigned *count)
{
    struct mr_rec rec;
    size_t at = 0;
    int got;

    *count = 0;
    while ((got = mr_rec_decode(records, size, &at, &rec)) > 0) {
        (*count)++;
    }
    return got;
}

static size_t
set_build(uint8_t *set)
{
    struct mr_set_header header = {.incarnation = 9,
                                   .sequence = 12,
                                   .position = 400,
                                   .durable_sequence = 11,
                                   .previous_crc = 55,
                                   .record_count = 11};

    header.size = (uint32_t)(MR_SET_HEADER_SIZE + records_build(set + MR_SET_HEADER_SIZE));
    mr_set_seal(set, &header, &super);
    return header.size;
}

/* Every kind of record comes back as it was written. */
MR_TEST(records_come_back_as_written)
{
    static uint8_t records[16384];
    size_t size = records_build(records), at = 0;
    struct mr_rec rec;
    struct mr_rec_meta meta;
    unsigned count;

    MR_CHECK_EQ(records_walk(records, size, &count), 0);
    MR_CHECK_EQ(count, 11);
    while (mr_rec_decode(records, size, &at, &rec) > 0) {
        if (rec.type == MR_REC_APPEND) {
            MR_CHECK_EQ(rec.u.append.position, 4 * 4096 + 4086);
            MR_CHECK_EQ(rec.u.append.run_blocks, 1);
            MR_CHECK_EQ(rec.u.append.crc, 77);
            MR_CHECK(memcmp(rec.u.append.tail, "bytes", 6) == 0);
            mr_rec_meta_decode(rec.u.append.metas, &meta);
            MR_CHECK_EQ(meta.base_offset, 100);
            MR_CHECK_EQ(meta.leader_epoch, 2);
        } else if (rec.type == MR_REC_IMAGE) {
            MR_CHECK_EQ(rec.u.image.size, 4086);
        } else if (rec.type == MR_REC_TRIM) {
            MR_CHECK_EQ(rec.u.trim.offset, 7);
        } else if (rec.type == MR_REC_TRUNCATE) {
            MR_CHECK_EQ(rec.u.truncate.end, 7);
            MR_CHECK_EQ(rec.u.truncate.start, 2);
            MR_CHECK_EQ(rec.u.truncate.position, 4097);
            MR_CHECK_EQ(rec.u.truncate.next_block, 9);
            MR_CHECK_EQ(rec.u.truncate.producer_count, 1);
        } else if (rec.type == MR_REC_SWAP) {
            MR_CHECK_EQ(rec.u.swap.extent_count, 1);
            MR_CHECK_EQ(rec.u.swap.segment_count, 1);
        }
    }
}

/* Every bit flip of a set is refused: by the header's checks or by the CRC. */
MR_TEST(every_bit_flip_of_a_set_is_refused)
{
    static uint8_t set[16384];
    size_t size = set_build(set);
    struct mr_set_header header;

    MR_CHECK_EQ(mr_set_header_decode(set, &super, sizeof(set), &header), 0);
    MR_CHECK(mr_set_is_whole(set, &header, &super));
    MR_CHECK_EQ(header.sequence, 12);
    MR_CHECK_EQ(header.position, 400);
    for (size_t bit = 0; bit < size * 8; bit++) {
        set[bit / 8] ^= (uint8_t)(1u << bit % 8);
        MR_CHECK(mr_set_header_decode(set, &super, sizeof(set), &header) != 0 ||
                 !mr_set_is_whole(set, &header, &super));
        set[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* Another store's salt, and a size beyond the limit, are refused. */
MR_TEST(a_set_of_another_salt_is_refused)
{
    static uint8_t set[16384];
    size_t size = set_build(set);
    struct mr_super other = super;
    struct mr_set_header header;

    other.salt++;
    MR_CHECK_EQ(mr_set_header_decode(set, &super, size, &header), 0);
    MR_CHECK(!mr_set_is_whole(set, &header, &other));
    MR_CHECK_EQ(mr_set_header_decode(set, &super, size - 1, &header), -EBADMSG);
}

/* Every bit flip of a root or superblock is refused, wherever its CRC covers. */
MR_TEST(every_bit_flip_of_a_root_or_superblock_is_refused)
{
    static uint8_t block[MR_FORMAT_BLOCK];
    static struct mr_root root = {.generation = 3,
                                  .start_sequence = 9,
                                  .size_blocks = 10000,
                                  .extent_count = 2,
                                  .chain_bytes = 5000,
                                  .extents = {{.lba = 260, .order = 0}, {.lba = 262, .order = 1}}};
    static struct mr_root out;
    struct mr_super copy;

    mr_root_encode(&root, &super, block);
    MR_CHECK_EQ(mr_root_decode(block, &super, &out), 0);
    MR_CHECK_EQ(out.extents[1].lba, 262);
    for (size_t bit = 0; bit < sizeof(block) * 8; bit++) {
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
        MR_CHECK_EQ(mr_root_decode(block, &super, &out), -EBADMSG);
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    mr_super_encode(&super, block);
    MR_CHECK_EQ(mr_super_decode(block, &copy), 0);
    MR_CHECK_EQ(copy.salt, super.salt);
    for (size_t bit = 0; bit < 512 * 8; bit++) {
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
        MR_CHECK(mr_super_decode(block, &copy) != 0);
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static size_t
entry_build(uint8_t *chain)
{
    struct mr_entry entry = {.log = 3,
                             .partition = 1,
                             .cut = 9,
                             .start = 5,
                             .end = 50,
                             .end_position = 9000,
                             .extent_count = 2,
                             .segment_count = 1,
                             .epoch_count = 1,
                             .producer_count = 1,
                             .carry_count = 1};
    struct mr_entry_extent extent = {.ref = {.lba = 300, .order = 0},
                                     .first_block = 1,
                                     .first_offset = 5,
                                     .first_position = 4096};
    struct mr_entry_segment segment = {.first_offset = 5, .position = 4096, .end = 9000};
    struct mr_entry_window window = {.offset = 6, .first_sequence = 1, .last_sequence = 2};
    uint8_t *at = chain + MR_ENTRY_HEADER_SIZE;

    mr_entry_extent_encode(&extent, at);
    at += MR_ENTRY_EXTENT_SIZE;
    extent.first_block = 2;
    extent.ref = (struct mr_extent_ref){.lba = 302, .order = 1};
    mr_entry_extent_encode(&extent, at);
    at += MR_ENTRY_EXTENT_SIZE;
    mr_entry_segment_encode(&segment, at);
    at += MR_ENTRY_SEGMENT_SIZE;
    mr_entry_epoch_encode(4, 5, at);
    at += MR_ENTRY_EPOCH_SIZE;
    mr_entry_producer_encode(1000, 1, 6, at);
    at += MR_ENTRY_PRODUCER_SIZE;
    mr_entry_window_encode(&window, at);
    at += MR_ENTRY_WINDOW_SIZE;
    mr_entry_carry_encode(2, 808, at);
    at += MR_ENTRY_CARRY_SIZE;
    memset(at, 0xee, 808);
    at += 808;
    entry.size = (uint32_t)(at - chain);
    mr_entry_header_encode(&entry, chain);
    return entry.size;
}

/* Hostile records and chains behind a right CRC: decoders end, stay inside (the sanitizers watch a
 * heap block of the exact size) and accept the original. */
MR_TEST(decoders_are_total_on_hostile_bytes)
{
    static uint8_t records[16384], chain[4096];
    size_t sizes[2] = {records_build(records), entry_build(chain)};
    struct mr_entry entry;
    struct mr_rng rng;
    size_t at = 0;

    MR_CHECK_EQ(mr_entry_decode(chain, sizes[1], &at, &entry), 1);
    MR_CHECK_EQ(mr_entry_decode(chain, sizes[1], &at, &entry), 0);
    mr_rng_init(&rng, 11);
    for (unsigned i = 0; i < 40000; i++) {
        bool is_chain = i % 2;
        size_t size = sizes[is_chain] - mr_rng_below(&rng, i % 3 ? 1 : sizes[is_chain]);
        uint8_t *copy = malloc(size);
        unsigned count;

        memcpy(copy, is_chain ? chain : records, size);
        for (uint64_t n = mr_rng_below(&rng, 6); n > 0; n--) {
            copy[mr_rng_below(&rng, size)] = (uint8_t)mr_rng_next(&rng);
        }
        if (is_chain) {
            at = 0;
            while (mr_entry_decode(copy, size, &at, &entry) > 0) {
            }
        } else {
            records_walk(copy, size, &count);
        }
        free(copy);
    }
}

MR_TEST_MAIN(MR_TEST_CASE(records_come_back_as_written),
             MR_TEST_CASE(every_bit_flip_of_a_set_is_refused),
             MR_TEST_CASE(a_set_of_another_salt_is_refused),
             MR_TEST_CASE(every_bit_flip_of_a_root_or_superblock_is_refused),
             MR_TEST_CASE(decoders_are_total_on_hostile_bytes))
