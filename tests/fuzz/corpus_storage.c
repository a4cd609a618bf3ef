/* tests/fuzz/corpus_storage.c: batches, compressed payloads, and what lies on a disk. */
#include "control/metadata.h"
#include "storage/format.h"
#include "tests/fuzz/corpus.h"
#include "tests/mr_test.h"
#include "tests/unit/control/saved_state.h"
#include "tests/unit/storage/batch_build.h"

#define COMMAND_MAX 4096

/* What the first byte of a format_fuzz input chooses. */
enum decoder {
    DECODER_BLOCK,
    DECODER_RECORDS,
    DECODER_CHAIN,
    DECODER_METADATA,
};

/* ---- batches --------------------------------------------------------------------------------- */

static void
write_batches(void)
{
    static const char *const names[] = {"none",       "gzip",          "gzip-members",
                                        "snappy",     "snappy-xerial", "lz4",
                                        "lz4-frames", "zstd",          "zstd-frames"};

    _Static_assert(sizeof(names) / sizeof(names[0]) == BUILD_HOW_COUNT, "one name each");
    for (unsigned how = 0; how < BUILD_HOW_COUNT; how++) {
        uint8_t batch_head = 0xff; /* every rule */
        uint8_t codec = (uint8_t)build_codec(how);
        struct build build;

        build_init(&build);
        for (int32_t i = 0; i < 5; i++) {
            build_record(&build, i, i, i == 0 ? -1 : 10 * i, i == 1 ? -1 : 40, (uint8_t)('a' + i));
        }
        build.header.record_count = 5;
        build_finish(&build, how);
        corpus_write("batch_fuzz", names[how], &batch_head, 1, build.bytes, build.size);
        corpus_write("decompress_fuzz", names[how], &codec, 1, build.bytes + MR_BATCH_HEADER_SIZE,
                     build.size - MR_BATCH_HEADER_SIZE);
        build_free(&build);
    }
}

/* ---- a store's formats ----------------------------------------------------------------------- */

static void
write_format(const char *name, enum decoder decoder, const void *bytes, size_t size)
{
    uint8_t head = (uint8_t)decoder;

    corpus_write("format_fuzz", name, &head, 1, bytes, size);
}

static void
write_blocks(void)
{
    static uint8_t block[MR_FORMAT_BLOCK];
    struct mr_super super = {.node_id = 1, .size_blocks = 4096, .journal_blocks = 256};
    struct mr_super none = {0}; /* the fuzz target judges roots and sets by this one */
    struct mr_root root = {.generation = 2, .log_next = 3, .size_blocks = 4096, .extent_count = 1};
    struct mr_set_header set = {.sequence = 9, .size = MR_SET_HEADER_SIZE + 64, .record_count = 1};

    mr_super_encode(&super, block);
    write_format("super", DECODER_BLOCK, block, sizeof(block));
    root.extents[0] = (struct mr_extent_ref){.lba = 300, .order = 2};
    mr_root_encode(&root, &none, block);
    write_format("root", DECODER_BLOCK, block, sizeof(block));
    memset(block, 0, sizeof(block));
    mr_set_seal(block, &set, &none);
    write_format("set", DECODER_BLOCK, block, sizeof(block));
}

static void
write_records(void)
{
    static uint8_t bytes[8192];
    static const uint8_t data[64] = {1, 2, 3};
    struct mr_extent_ref extent = {.lba = 300, .order = 2};
    struct mr_rec_meta meta = {.size = 32, .record_count = 1, .producer_id = 5};
    struct mr_rec records[] = {
        {.type = MR_REC_CREATE, .log = 1, .u.create = {.topic_id = {{1}}, .partition = 2}},
        {.type = MR_REC_ALLOCATE, .log = 1, .u.allocate = {.ref = extent}},
        {.type = MR_REC_IMAGE, .log = 1, .u.image = {.size = sizeof(data), .bytes = data}},
        {.type = MR_REC_TRIM, .log = 1, .u.trim = {.offset = 4}},
        {.type = MR_REC_TRUNCATE,
         .log = 1,
         .u.truncate = {.end = 4, .position = 100, .next_block = 1}},
        {.type = MR_REC_EPOCH, .u.epoch = {.incarnation = 2}},
        {.type = MR_REC_SWAP, .log = 1, .u.swap = {.offset = 4}},
        {.type = MR_REC_VOID, .u.voided = {.sequence = 3}},
        {.type = MR_REC_GROWTH, .u.growth = {.size_blocks = 8192}},
        {.type = MR_REC_DELETE, .log = 1},
    };
    struct mr_rec append = {
        .type = MR_REC_APPEND,
        .log = 1,
        .u.append = {.meta_count = 1, .head_size = 32, .tail_size = 8, .head = data, .tail = data}};
    size_t size = 0;

    for (unsigned i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        size += mr_rec_encode(&records[i], bytes + size);
    }
    write_format("records", DECODER_RECORDS, bytes, size);
    size = mr_rec_encode(&append, bytes);
    mr_rec_meta_encode(&meta, mr_rec_append_metas(bytes));
    write_format("record-append", DECODER_RECORDS, bytes, size);
}

static void
write_chain(void)
{
    uint8_t bytes[1024] = {0};
    struct mr_entry_extent extent = {.ref = {.lba = 300, .order = 2}};
    struct mr_entry_window window = {.offset = 3, .last_sequence = 2};
    struct mr_entry entry = {.log = 1,
                             .end = 10,
                             .end_position = 1000,
                             .extent_count = 1,
                             .epoch_count = 1,
                             .producer_count = 1,
                             .carry_count = 1};
    size_t size = MR_ENTRY_HEADER_SIZE;

    mr_entry_extent_encode(&extent, bytes + size);
    size += MR_ENTRY_EXTENT_SIZE;
    mr_entry_epoch_encode(1, 0, bytes + size);
    size += MR_ENTRY_EPOCH_SIZE;
    mr_entry_producer_encode(7, 1, 0, bytes + size);
    size += MR_ENTRY_PRODUCER_SIZE;
    mr_entry_window_encode(&window, bytes + size);
    size += MR_ENTRY_WINDOW_SIZE;
    mr_entry_carry_encode(1, 8, bytes + size);
    size += MR_ENTRY_CARRY_SIZE + 8;
    entry.size = (uint32_t)size;
    mr_entry_header_encode(&entry, bytes);
    write_format("chain", DECODER_CHAIN, bytes, size);
}

/* ---- metadata -------------------------------------------------------------------------------- */

static void
command(struct mr_metadata *metadata, const char *name, const uint8_t *bytes, size_t size)
{
    struct mr_metadata_outcome outcome;

    MR_CHECK(size > 0);
    MR_CHECK_EQ(mr_metadata_apply(metadata, bytes, size, &outcome), 0);
    write_format(name, DECODER_METADATA, bytes, size);
}

static void
write_state(const struct mr_metadata *metadata, const char *name)
{
    size_t size;
    uint8_t *state = saved_state(metadata, &size);

    write_format(name, DECODER_METADATA, state, size);
    free(state);
}

static void
write_metadata(void)
{
    static const uint16_t stores[2] = {0, 1};
    struct mr_topic_defaults defaults = {.values = {0}};
    struct mr_metadata_new_topic topic = {
        .id = {{3}}, .name = "topic", .name_size = 5, .partition_count = 2, .stores = stores};
    struct mr_uuid cluster = {{4}};
    struct mr_metadata_log deleted = {topic.id, 0};
    uint8_t bytes[COMMAND_MAX];
    struct mr_metadata *metadata;
    size_t size;

    for (unsigned i = 0; i < MR_TOPIC_KEYS; i++) {
        defaults.values[i] = mr_topic_key_at(i)->initial;
    }
    metadata = mr_metadata_create(1, &defaults);
    MR_CHECK(metadata != NULL);
    size = mr_metadata_encode_cluster(bytes, sizeof(bytes), &cluster);
    command(metadata, "metadata-cluster", bytes, size);
    size = mr_metadata_encode_unclean_start(bytes, sizeof(bytes));
    command(metadata, "metadata-unclean-start", bytes, size);
    size = mr_metadata_encode_create_topic(bytes, sizeof(bytes), &topic);
    command(metadata, "metadata-create-topic", bytes, size);
    size = mr_metadata_encode_producer_ids(bytes, sizeof(bytes), 1000);
    command(metadata, "metadata-producer-ids", bytes, size);
    write_state(metadata, "metadata-saved");
    size = mr_metadata_encode_delete_topic(bytes, sizeof(bytes), &topic.id);
    command(metadata, "metadata-delete-topic", bytes, size);
    write_state(metadata, "metadata-saved-tombstones");
    size = mr_metadata_encode_logs_deleted(bytes, sizeof(bytes), &deleted, 1);
    command(metadata, "metadata-logs-deleted", bytes, size);
    mr_metadata_destroy(metadata);
}

void
corpus_storage(void)
{
    write_batches();
    write_blocks();
    write_records();
    write_chain();
    write_metadata();
}
