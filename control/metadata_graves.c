/* control/metadata_graves.c: deleted topics, until their stores have deleted all their logs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/metadata_internal.h"

static struct metadata_grave *
grave_make(struct mr_metadata *metadata, const struct mr_uuid *id, uint32_t count)
{
    struct metadata_grave *grave = calloc(1, sizeof(*grave) + count * sizeof(grave->logs[0]));

    if (grave) {
        grave->id = *id;
        grave->epoch = metadata->epoch + 1; /* of the change that is about to be told */
        grave->count = count;
        grave->left = count;
        mr_list_push_back(&metadata->graves, &grave->node);
        metadata->grave_count++;
        metadata->tombstone_count += count;
    }
    return grave;
}

static void
grave_free(struct mr_metadata *metadata, struct metadata_grave *grave)
{
    metadata->grave_count--;
    metadata->tombstone_count -= grave->left;
    mr_list_remove(&grave->node);
    free(grave);
}

/* A tombstone for each partition. */
int
metadata_bury(struct mr_metadata *metadata, const struct mr_snapshot_topic *topic)
{
    struct metadata_grave *grave =
        grave_make(metadata, &topic->id, (uint32_t)topic->partition_count);

    if (!grave) {
        return -ENOMEM;
    }
    for (uint32_t p = 0; p < grave->count; p++) {
        grave->logs[p].partition = (int32_t)p;
        grave->logs[p].store = topic->partitions[p].store;
    }
    if (grave->count == 0) {
        grave_free(metadata, grave);
    }
    return 0;
}

/* The log's index, or the number of logs; they are sorted by partition. */
static uint32_t
grave_log(const struct metadata_grave *grave, int32_t partition)
{
    uint32_t low = 0;
    uint32_t high = grave->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (grave->logs[middle].partition < partition) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < grave->count && grave->logs[low].partition == partition ? low : grave->count;
}

/* One that has no tombstone (any more): nothing happens. Old saved states have made several graves
 * of one topic. */
void
metadata_log_deleted(struct mr_metadata *metadata, const struct mr_uuid *id, int32_t partition)
{
    MR_LIST_FOR_EACH(node, &metadata->graves)
    {
        struct metadata_grave *grave = MR_CONTAINER_OF(node, struct metadata_grave, node);
        uint32_t at = mr_uuid_equal(&grave->id, id) ? grave_log(grave, partition) : grave->count;

        if (at == grave->count || grave->logs[at].gone) {
            continue;
        }
        grave->logs[at].gone = true;
        grave->left--;
        metadata->tombstone_count--;
        if (grave->left == 0) {
            grave_free(metadata, grave);
        }
        return;
    }
}

void
metadata_graves_clear(struct mr_metadata *metadata)
{
    while (!mr_list_empty(&metadata->graves)) {
        grave_free(metadata, MR_CONTAINER_OF(metadata->graves.next, struct metadata_grave, node));
    }
}

void
mr_metadata_tombstones(const struct mr_metadata *metadata, uint64_t epoch,
                       bool (*each)(void *context, const struct mr_uuid *id, int32_t partition,
                                    uint16_t store),
                       void *context)
{
    MR_LIST_FOR_EACH(node, &metadata->graves)
    {
        const struct metadata_grave *grave = MR_CONTAINER_OF(node, struct metadata_grave, node);

        for (uint32_t i = 0; i < grave->count && grave->epoch <= epoch; i++) {
            if (!grave->logs[i].gone &&
                !each(context, &grave->id, grave->logs[i].partition, grave->logs[i].store)) {
                return;
            }
        }
    }
}

/* ---- in a saved state ------------------------------------------------------------------------ */

/* count of graves, and of each: id, count of logs, their partition and store */
void
metadata_put_graves(struct metadata_writer *writer, const struct mr_metadata *metadata)
{
    put_u32(writer, metadata->grave_count);
    MR_LIST_FOR_EACH(node, &metadata->graves)
    {
        const struct metadata_grave *grave = MR_CONTAINER_OF(node, struct metadata_grave, node);

        put_bytes(writer, grave->id.bytes, sizeof(grave->id.bytes));
        put_u32(writer, grave->left);
        for (uint32_t i = 0; i < grave->count; i++) {
            if (!grave->logs[i].gone) {
                put_u32(writer, (uint32_t)grave->logs[i].partition);
                put_u16(writer, grave->logs[i].store);
            }
        }
    }
}

static int
get_grave(struct mr_metadata *metadata, struct metadata_reader *reader)
{
    struct mr_uuid id = get_uuid(reader);
    uint32_t count = get_u32(reader);
    struct metadata_grave *grave;
    int32_t previous = -1;

    if (reader->bad || count == 0 || count > reader->left / 6) {
        return -EBADMSG;
    }
    grave = grave_make(metadata, &id, count);
    if (!grave) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        grave->logs[i].partition = (int32_t)get_u32(reader);
        grave->logs[i].store = get_u16(reader);
        if (grave->logs[i].partition <= previous) {
            return -EBADMSG;
        }
        previous = grave->logs[i].partition;
    }
    return 0;
}

int
metadata_get_graves(struct mr_metadata *metadata, struct metadata_reader *reader)
{
    uint32_t count = get_u32(reader);
    int error = reader->bad ? -EBADMSG : 0;

    for (uint32_t i = 0; i < count && !error; i++) {
        error = get_grave(metadata, reader);
    }
    return error;
}

/* Saved states before version 3: count, and of each tombstone id, partition and store. */
int
metadata_get_tombstones(struct mr_metadata *metadata, struct metadata_reader *reader)
{
    uint32_t count = get_u32(reader);

    for (uint32_t i = 0; i < count && !reader->bad; i++) {
        struct mr_uuid id = get_uuid(reader);
        uint32_t partition = get_u32(reader);
        uint16_t store = get_u16(reader);
        struct metadata_grave *grave = reader->bad ? NULL : grave_make(metadata, &id, 1);

        if (!reader->bad && !grave) {
            return -ENOMEM;
        }
        if (grave) {
            grave->logs[0].partition = (int32_t)partition;
            grave->logs[0].store = store;
        }
    }
    return reader->bad ? -EBADMSG : 0;
}
