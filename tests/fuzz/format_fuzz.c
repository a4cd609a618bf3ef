/* Goal: what lies on a damaged disk never crashes recovery's decoders, and never makes them read
 * outside the bytes they were given.
 * Method: the first byte chooses the decoder; checksums are bypassed, since the bytes go straight
 * to what stands behind them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/metadata.h"
#include "storage/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_block(const uint8_t *data, size_t size)
{
    uint8_t block[MR_FORMAT_BLOCK] = {0};
    struct mr_super super = {0};
    struct mr_super decoded;
    struct mr_root root;
    struct mr_set_header header;

    memcpy(block, data, size < sizeof(block) ? size : sizeof(block));
    mr_super_decode(block, &decoded);
    mr_root_decode(block, &super, &root);
    mr_set_header_decode(block, &super, 1 << 20, &header);
}

static void
fuzz_records(const uint8_t *data, size_t size)
{
    struct mr_rec rec;
    size_t at = 0;

    while (mr_rec_decode(data, size, &at, &rec) == 1) {
        if (rec.type == MR_REC_APPEND) {
            /* What it names must lie inside the bytes. */
            volatile uint8_t sum = 0;

            for (size_t i = 0; i < rec.u.append.head_size; i++) {
                sum += rec.u.append.head[i];
            }
            for (size_t i = 0; i < rec.u.append.tail_size; i++) {
                sum += rec.u.append.tail[i];
            }
            (void)sum;
        }
    }
}

static void
fuzz_chain(const uint8_t *data, size_t size)
{
    struct mr_entry entry;
    size_t at = 0;

    while (mr_entry_decode(data, size, &at, &entry) == 1) {
        struct mr_entry_cursor cursor;

        mr_entry_cursor_init(&cursor, &entry);
    }
}

static void
fuzz_metadata(const uint8_t *data, size_t size)
{
    static const struct mr_topic_defaults none;
    struct mr_topic_defaults defaults = none;
    struct mr_metadata_outcome outcome;
    struct mr_metadata *metadata;

    for (unsigned i = 0; i < MR_TOPIC_KEYS; i++) {
        defaults.values[i] = mr_topic_key_at(i)->initial;
    }
    metadata = mr_metadata_create(1, &defaults);
    if (metadata) {
        mr_metadata_apply(metadata, data, size, &outcome);
        mr_metadata_load(metadata, data, size);
    }
    mr_metadata_destroy(metadata);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;

    if (size < 1) {
        return 0;
    }
    copy = malloc(size); /* of exactly this size, so that ASan sees a step too far */
    if (!copy) {
        return 0;
    }
    memcpy(copy, data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        fuzz_block(copy, size - 1);
        break;
    case 1:
        fuzz_records(copy, size - 1);
        break;
    case 2:
        fuzz_chain(copy, size - 1);
        break;
    default:
        fuzz_metadata(copy, size - 1);
        break;
    }
    free(copy);
    return 0;
}
