/* storage/swap.c: a compacted beginning of a log takes the place of what it was made from. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/internal.h"

struct swap_map {
    struct extent **extents;
    uint32_t extent_count;
    struct log_segment *segments;
    uint32_t segment_count;
};

static void
map_free(struct swap_map *map, uint32_t own)
{
    for (uint32_t i = 0; i < own; i++) {
        free(map->extents[i]);
    }
    free(map->extents);
    free(map->segments);
}

/* What the record brings; room for what stays is behind it. */
static int
map_read(const struct mr_log *log, const struct mr_rec_swap *rec, struct swap_map *map)
{
    struct mr_entry_cursor cursor = {rec->extents, rec->extents + rec->extents_size};
    uint32_t extents = rec->extent_count + log->extent_count;
    uint32_t segments = rec->segment_count + log->segment_count;

    map->extent_count = map->segment_count = 0;
    map->extents = malloc((extents + 1) * sizeof(*map->extents));
    map->segments = malloc((segments + 1) * sizeof(*map->segments));
    if (!map->extents || !map->segments) {
        map_free(map, 0);
        return -ENOMEM;
    }
    while (map->extent_count < rec->extent_count) {
        struct extent *extent = calloc(1, sizeof(*extent));
        struct mr_entry_extent in;

        if (!extent) {
            map_free(map, map->extent_count);
            return -ENOMEM;
        }
        mr_entry_extent_next(&cursor, &in);
        mr_list_init(&extent->node);
        extent->first_block = in.first_block;
        extent->lba = in.ref.lba;
        extent->order = in.ref.order;
        extent->kind = in.ref.kind;
        extent->sequence = 1;
        extent->first_offset = in.first_offset;
        extent->first_position = in.first_position;
        extent->max_timestamp = in.max_timestamp;
        map->extents[map->extent_count++] = extent;
    }
    while (map->segment_count < rec->segment_count) {
        struct mr_entry_segment in;

        mr_entry_segment_next(&cursor, &in);
        map->segments[map->segment_count++] =
            (struct log_segment){.first_offset = in.first_offset,
                                 .position = in.position,
                                 .end = in.end,
                                 .first_timestamp = in.first_timestamp,
                                 .max_timestamp = in.max_timestamp};
    }
    return 0;
}

/* What is below the record's position goes; a batch that stays starts there. */
static void
extents_take(struct mr_log *log, const struct mr_rec_swap *rec, struct swap_map *map)
{
    for (uint32_t i = 0; i < log->extent_count; i++) {
        struct extent *extent = log->extents[i];

        if (extent_end(extent) <= rec->position / BLOCK) {
            extent_leave(log->store, extent);
            continue;
        }
        if (extent->first_position < rec->position) {
            extent->first_position = rec->position;
            extent->first_offset = rec->offset;
            index_drop(log->store, extent);
        }
        map->extents[map->extent_count++] = extent;
    }
    free(log->extents);
    log->extents = map->extents;
    log->extent_count = map->extent_count;
    log->extent_capacity = map->extent_count;
}

static void
segments_take(struct mr_log *log, const struct mr_rec_swap *rec, struct swap_map *map)
{
    for (uint32_t i = 0; i < log->segment_count; i++) {
        struct log_segment segment = log->segments[i];

        if (segment.end <= rec->position) {
            continue;
        }
        if (segment.position < rec->position) {
            segment.position = rec->position;
            segment.first_offset = rec->offset;
        }
        map->segments[map->segment_count++] = segment;
    }
    free(log->segments);
    log->segments = map->segments;
    log->segment_count = map->segment_count;
    log->segment_capacity = map->segment_count;
}

/* In the running store and in replay. -EUCLEAN: the record contradicts the log. */
int
swap_apply(struct mr_log *log, const struct mr_rec_swap *rec)
{
    struct swap_map map;
    uint64_t last = 0;
    int error;

    if (log->extent_count == 0 || rec->position < log->extents[0]->first_block * BLOCK ||
        rec->position > log->end_position || rec->offset > log->end) {
        return -EUCLEAN;
    }
    error = map_read(log, rec, &map);
    if (error) {
        return error;
    }
    last = map.extent_count ? extent_end(map.extents[map.extent_count - 1]) : 0;
    if (last > log->extents[0]->first_block) {
        map_free(&map, map.extent_count);
        return -EUCLEAN;
    }
    cache_drop_below(log, rec->position / BLOCK);
    extents_take(log, rec, &map);
    segments_take(log, rec, &map);
    segment_recount(log);
    segment_trim(log);
    log->clean = rec->offset;
    log->horizon = rec->horizon;
    log->first_block = log->extents[0]->first_block;
    if (log->floor_block > log->first_block) {
        log->floor_block = log->first_block;
    }
    return 0;
}
