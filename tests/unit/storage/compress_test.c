/* tests/unit/storage/compress_test.c: filtered batches, and the key map. */
#include "storage/compress.h"

#include <errno.h>

#include "dataplane/base/rng.h"
#include "storage/crc32c.h"
#include "storage/keymap.h"
#include "tests/mr_test.h"

#define RECORDS 500

static struct mr_record seen[RECORDS];
static uint8_t seen_keys[RECORDS][8];
static unsigned seen_count;

static uint8_t *
put_varint(uint8_t *at, int64_t value)
{
    uint64_t zigzag = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);

    for (; zigzag >= 128; zigzag >>= 7) {
        *at++ = (uint8_t)(zigzag | 128);
    }
    *at++ = (uint8_t)zigzag;
    return at;
}

/* RECORDS records with keys "k000" ..., of which each seventh is a tombstone. */
static size_t
batch_make(uint8_t *batch, size_t max, enum mr_batch_codec codec)
{
    static uint8_t plain[RECORDS * 64];
    uint8_t *at = plain;
    struct mr_batch_header header = {.base_offset = 1000,
                                     .leader_epoch = 3,
                                     .magic = 2,
                                     .attributes = (int16_t)codec,
                                     .last_offset_delta = RECORDS - 1,
                                     .base_timestamp = 5000,
                                     .max_timestamp = 5000 + RECORDS - 1,
                                     .producer_id = 9,
                                     .producer_epoch = 1,
                                     .base_sequence = 77,
                                     .record_count = RECORDS};
    size_t made;

    for (int i = 0; i < RECORDS; i++) {
        uint8_t body[64], *end = body;
        char key[8];

        snprintf(key, sizeof(key), "k%03d", i);
        *end++ = 0;
        end = put_varint(end, i);
        end = put_varint(end, i);
        end = put_varint(end, 4);
        memcpy(end, key, 4);
        end += 4;
        if (i % 7 == 0) {
            end = put_varint(end, -1);
        } else {
            end = put_varint(end, 5);
            memcpy(end, "value", 5);
            end += 5;
        }
        end = put_varint(end, 0);
        at = put_varint(at, end - body);
        memcpy(at, body, (size_t)(end - body));
        at += end - body;
    }
    made = mr_compress(codec, plain, (size_t)(at - plain), batch + 61, max - 61);
    MR_CHECK(made > 0);
    header.size = (int32_t)(61 + made);
    mr_batch_header_put(batch, &header);
    header.crc = mr_crc32c(0, batch + 21, 61 + made - 21);
    mr_batch_header_put(batch, &header);
    return 61 + made;
}

static int
look(void *context, const struct mr_record *record)
{
    (void)context;
    MR_CHECK(record->key && record->key_size == 4);
    seen[seen_count] = *record;
    memcpy(seen_keys[seen_count++], record->key, 4);
    return 0;
}

static bool
keep_third(void *context, const struct mr_record *record)
{
    (void)context;
    return record->offset % 3 == 0;
}

static bool
keep_value(void *context, const struct mr_record *record)
{
    return *(bool *)context || record->value != NULL;
}

/* For every codec: a third of the records stays, with offsets, timestamps, keys and values; header
 * fields stay; the batch with tombstones gets its horizon and keeps it when filtered again. */
MR_TEST(a_filtered_batch_has_what_was_kept)
{
    static uint8_t batch[RECORDS * 64 + 131072], copy[RECORDS * 64];
    struct mr_batch_scratch *scratch = mr_batch_scratch_create();

    for (int codec = 0; codec <= MR_BATCH_CODEC_ZSTD; codec++) {
        size_t size = batch_make(batch, sizeof(batch), (enum mr_batch_codec)codec);
        struct mr_batch_filter filter = {.keep = keep_third, .horizon = 99000};
        struct mr_batch_header header;

        MR_CHECK_EQ(mr_batch_filter(&filter, batch, size, scratch), MR_BATCH_CHANGED);
        MR_CHECK_EQ(mr_batch_header_get(filter.bytes, &header), 0);
        MR_CHECK_EQ(header.base_offset, 1000);
        MR_CHECK_EQ(header.last_offset_delta, RECORDS - 1);
        MR_CHECK_EQ(header.base_sequence, 77);
        MR_CHECK_EQ(header.producer_id, 9);
        MR_CHECK_EQ(header.leader_epoch, 3);
        MR_CHECK_EQ(header.attributes, codec | MR_BATCH_ATTR_HORIZON);
        MR_CHECK_EQ(header.base_timestamp, 99000);
        MR_CHECK_EQ(filter.horizon_now, 99000);
        MR_CHECK_EQ(header.crc, mr_crc32c(0, filter.bytes + 21, filter.size - 21));
        seen_count = 0;
        MR_CHECK_EQ(mr_batch_each(filter.bytes, filter.size, scratch, look, NULL), 0);
        MR_CHECK_EQ(seen_count, header.record_count);
        for (unsigned i = 0; i < seen_count; i++) {
            char key[8];

            MR_CHECK_EQ(seen[i].offset, 1002 + 3 * i);
            MR_CHECK_EQ(seen[i].timestamp, 5002 + 3 * i);
            snprintf(key, sizeof(key), "k%03u", 2 + 3 * i);
            MR_CHECK(memcmp(seen_keys[i], key, 4) == 0);
            MR_CHECK_EQ(seen[i].value_size, (2 + 3 * i) % 7 ? 5 : -1);
        }
        memcpy(copy, filter.bytes, filter.size);
        filter.horizon = 123456;
        MR_CHECK_EQ(mr_batch_filter(&filter, copy, (size_t)header.size, scratch), MR_BATCH_SAME);
        MR_CHECK_EQ(filter.horizon_now, 99000);
        mr_batch_filter_deinit(&filter);
    }
    mr_batch_scratch_destroy(scratch);
}

/* Nothing to drop: the same; everything to drop: an empty batch that can be read. */
MR_TEST(a_batch_may_stay_or_lose_everything)
{
    static uint8_t batch[RECORDS * 64 + 131072];
    struct mr_batch_scratch *scratch = mr_batch_scratch_create();
    size_t size = batch_make(batch, sizeof(batch), MR_BATCH_CODEC_LZ4);
    bool all = true;
    struct mr_batch_filter filter = {.keep = keep_value, .context = &all, .horizon = INT64_MIN};

    MR_CHECK_EQ(mr_batch_filter(&filter, batch, size, scratch), MR_BATCH_SAME);
    MR_CHECK_EQ(filter.horizon_now, INT64_MAX);
    all = false;
    MR_CHECK_EQ(mr_batch_filter(&filter, batch, size, scratch), MR_BATCH_CHANGED);
    MR_CHECK_EQ(filter.tombstones, 0);
    size = filter.size;
    memcpy(batch, filter.bytes, size);
    filter.keep = keep_third;
    MR_CHECK_EQ(mr_batch_filter(&filter, batch, size, scratch), MR_BATCH_CHANGED);
    MR_CHECK_EQ(mr_batch_filter(&filter, batch, 30, scratch), -EBADMSG);
    mr_batch_filter_deinit(&filter);
    mr_batch_scratch_destroy(scratch);
}

/* The last offset of each key wins, up to the limit of the memory and not beyond. */
MR_TEST(the_key_map_knows_last_offsets_within_its_memory)
{
    struct mr_keymap *map = mr_keymap_create(65536);
    uint32_t keys = 0;

    MR_CHECK(map != NULL);
    MR_CHECK(mr_keymap_create(100) == NULL);
    for (; mr_keymap_fits(map, 1); keys++) {
        mr_keymap_put(map, (const uint8_t *)&keys, sizeof(keys), keys);
    }
    MR_CHECK(keys > 65536 / 24 / 4 * 3 - 10 && keys <= 65536 / 24 / 4 * 3);
    for (uint32_t i = 0; i < keys; i += 2) {
        mr_keymap_put(map, (const uint8_t *)&i, sizeof(i), 100000 + i);
    }
    for (uint32_t i = 0; i < keys; i++) {
        MR_CHECK_EQ(mr_keymap_get(map, (const uint8_t *)&i, sizeof(i)), i % 2 ? i : 100000 + i);
    }
    MR_CHECK_EQ(mr_keymap_get(map, (const uint8_t *)"never", 5), -1);
    MR_CHECK_EQ(mr_keymap_get(map, NULL, 0), -1);
    mr_keymap_destroy(map);
}

MR_TEST_MAIN(MR_TEST_CASE(a_filtered_batch_has_what_was_kept),
             MR_TEST_CASE(a_batch_may_stay_or_lose_everything),
             MR_TEST_CASE(the_key_map_knows_last_offsets_within_its_memory))
