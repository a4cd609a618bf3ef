/* storage/cache.c: memory for recent bytes: arena pages, chunks, eviction.
 *
 * A chunk holds consecutive logical blocks of one log. Recently appended bytes, bytes that are not
 * in their place yet and bytes read from the disk all lie in chunks, so that reading is one path.
 * A chunk is evicted, least recently used first, when nothing needs it: it is clean, not pinned,
 * and holds nothing above its log's durable end. */
#include "storage/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t class_bytes[CLASSES] = {256, 512, 1024, 2048, 4096, CHUNK_BYTES};

/* ---- arena ----------------------------------------------------------------------------------- */

int
cache_init(struct mr_store *store)
{
    store->page_count = (uint32_t)(store->config.arena_bytes / CHUNK_BYTES);
    store->pages = calloc(store->page_count, sizeof(*store->pages));
    if (!store->pages) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < store->page_count; i++) {
        mr_list_push_back(&store->page_free, &store->pages[i].node);
    }
    store->pages_free = store->page_count;
    return 0;
}

void
cache_deinit(struct mr_store *store)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(&store->chunks_all))) {
        free(MR_CONTAINER_OF(node, struct chunk, all));
    }
    free(store->pages);
}

static uint8_t *
page_data(const struct mr_store *store, const struct arena_page *page)
{
    return store->config.arena + (size_t)(page - store->pages) * CHUNK_BYTES;
}

static uint8_t *
arena_take(struct mr_store *store, unsigned size_class)
{
    struct mr_list *from = size_class < CLASS_SMALL ? &store->page_part[size_class] : NULL;
    struct arena_page *page;
    unsigned pieces = CHUNK_BYTES / class_bytes[size_class];

    if (!from || mr_list_empty(from)) {
        struct mr_list *node = mr_list_pop_front(&store->page_free);

        if (!node) {
            return NULL;
        }
        page = MR_CONTAINER_OF(node, struct arena_page, node);
        store->pages_free--;
        page->size_class = (uint8_t)size_class;
        page->used_count = 0;
        memset(page->used, 0, sizeof(page->used));
        if (from) {
            mr_list_push_back(from, &page->node);
        }
    } else {
        page = MR_CONTAINER_OF(from->next, struct arena_page, node);
    }
    for (unsigned i = 0; i < pieces; i++) {
        if (i % 64 == 0 && page->used[i / 64] == UINT64_MAX) {
            i += 63;
            continue;
        }
        if (!(page->used[i / 64] >> (i % 64) & 1)) {
            page->used[i / 64] |= 1ull << (i % 64);
            page->used_count++;
            if (page->used_count == pieces) {
                mr_list_remove(&page->node);
            }
            return page_data(store, page) + (size_t)i * class_bytes[size_class];
        }
    }
    MR_ASSERT(!"a partly used page has a free piece");
    return NULL;
}

static void
arena_give(struct mr_store *store, uint8_t *data, unsigned size_class)
{
    size_t at = (size_t)(data - store->config.arena);
    struct arena_page *page = &store->pages[at / CHUNK_BYTES];
    unsigned i = (unsigned)(at % CHUNK_BYTES) / class_bytes[size_class];

    MR_ASSERT(page->size_class == size_class && page->used[i / 64] >> (i % 64) & 1);
    page->used[i / 64] &= ~(1ull << (i % 64));
    page->used_count--;
    mr_list_remove(&page->node);
    if (page->used_count == 0) {
        mr_list_push_back(&store->page_free, &page->node);
        store->pages_free++;
    } else {
        mr_list_push_front(&store->page_part[size_class], &page->node);
    }
    store_room(store);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static uint32_t
block_bytes(const struct chunk *chunk)
{
    return chunk->capacity < BLOCK ? chunk->capacity : BLOCK;
}

static void
chunk_free(struct mr_store *store, struct chunk *chunk)
{
    mr_list_remove(&chunk->lru);
    mr_list_remove(&chunk->dirty);
    store->stats.cache_bytes -= chunk->capacity;
    arena_give(store, chunk->data, chunk->size_class);
    mr_list_push_front(&store->chunk_free[chunk->wide], &chunk->lru);
}

/* Evicts what was used longest ago. False: nothing may go. */
static bool
evict_one(struct mr_store *store)
{
    struct chunk *chunk;

    if (mr_list_empty(&store->lru)) {
        return false;
    }
    chunk = MR_CONTAINER_OF(store->lru.next, struct chunk, lru);
    cache_detach(chunk);
    return true;
}

static struct chunk *
chunk_header(struct mr_store *store, bool wide)
{
    struct mr_list *node = mr_list_pop_front(&store->chunk_free[wide]);
    size_t size = sizeof(struct chunk) + sizeof(struct cache_block) * (wide ? CHUNK_BLOCKS : 1);
    struct chunk *chunk = node ? MR_CONTAINER_OF(node, struct chunk, lru) : malloc(size);

    if (chunk) {
        if (node) {
            mr_list_remove(&chunk->all);
        }
        memset(chunk, 0, size);
        mr_list_push_back(&store->chunks_all, &chunk->all);
        mr_list_init(&chunk->lru);
        mr_list_init(&chunk->dirty);
        chunk->wide = wide;
        chunk->first_position = NO_POSITION;
    }
    return chunk;
}

/* The chunk's memory without a place in a log. */
static struct chunk *
chunk_alloc(struct mr_store *store, uint32_t bytes, bool wide)
{
    struct chunk *chunk = chunk_header(store, wide);
    unsigned size_class = CLASS_CHUNK;

    if (!chunk) {
        return NULL;
    }
    if (!wide) {
        size_class = 0;
        while (class_bytes[size_class] < bytes) {
            size_class++;
        }
        MR_ASSERT(size_class < CLASS_CHUNK);
    }
    while (!(chunk->data = arena_take(store, size_class))) {
        if (!evict_one(store)) {
            store->pressure = true;
            mr_list_push_front(&store->chunk_free[wide], &chunk->lru);
            return NULL;
        }
    }
    chunk->size_class = (uint8_t)size_class;
    chunk->capacity = class_bytes[size_class];
    store->stats.cache_bytes += chunk->capacity;
    return chunk;
}

/* The index of the first chunk of the log that ends behind `block`. Most often that is the last
 * one, and the others' headers are not in the processor's cache. */
uint32_t
cache_index_after(const struct mr_log *log, uint64_t block)
{
    uint32_t low = 0, high = log->chunk_count;

    if (high > 0 && log->chunks[high - 1]->block <= block) {
        low = high - 1;
    }
    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (log->chunks[middle]->block + log->chunks[middle]->blocks <= block) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct chunk *
cache_find(const struct mr_log *log, uint64_t block)
{
    uint32_t i = cache_index_after(log, block);

    return i < log->chunk_count && log->chunks[i]->block <= block ? log->chunks[i] : NULL;
}

struct chunk *
cache_new(struct mr_log *log, uint64_t block, uint32_t bytes, bool wide)
{
    struct chunk *chunk = chunk_alloc(log->store, bytes, wide);
    uint32_t i;

    if (!chunk) {
        return NULL;
    }
    if (log->chunk_count == log->chunk_capacity) {
        uint32_t capacity = log->chunk_capacity ? log->chunk_capacity * 2 : 1;
        struct chunk **chunks = realloc(log->chunks, capacity * sizeof(*chunks));

        if (!chunks) {
            chunk_free(log->store, chunk);
            return NULL;
        }
        log->chunks = chunks;
        log->chunk_capacity = capacity;
    }
    i = cache_index_after(log, block);
    chunk->log = log;
    chunk->block = block;
    chunk->end = block * BLOCK;
    chunk->blocks = wide ? CHUNK_BLOCKS : 1;
    if (i < log->chunk_count) {
        MR_ASSERT(log->chunks[i]->block > block);
        if (log->chunks[i]->block - block < chunk->blocks) {
            chunk->blocks = (uint8_t)(log->chunks[i]->block - block);
        }
    }
    memmove(&log->chunks[i + 1], &log->chunks[i], (log->chunk_count - i) * sizeof(*log->chunks));
    log->chunks[i] = chunk;
    log->chunk_count++;
    return chunk;
}

static void
need_clear(struct chunk *chunk, unsigned i)
{
    if (chunk->state[i].need) {
        chunk->state[i].need = 0;
        chunk->need_blocks--;
        chunk->log->need_blocks--;
        chunk->log->store->ck.needs--;
    }
}

void
cache_need(struct chunk *chunk, unsigned i, uint16_t need)
{
    need_clear(chunk, i);
    if (need) {
        chunk->state[i].need = need;
        chunk->need_blocks++;
        chunk->log->need_blocks++;
        chunk->log->store->ck.needs++;
    }
    cache_settle(chunk);
}

void
cache_settle(struct chunk *chunk)
{
    struct mr_store *store;
    enum chunk_list want = LISTED_NOWHERE;
    bool evictable;

    if (!chunk->log) {
        return;
    }
    store = chunk->log->store;
    if (chunk->need_blocks) {
        want = LISTED_NEEDS;
    } else if (chunk->dirty_blocks) {
        want = LISTED_DIRTY;
    }
    if (want != chunk->listed) {
        mr_list_remove(&chunk->dirty);
        chunk->listed = (uint8_t)want;
        if (want != LISTED_NOWHERE) {
            mr_list_push_back(want == LISTED_NEEDS ? &store->needs : &store->dirty, &chunk->dirty);
        }
    }
    evictable = chunk->pins == 0 && !chunk->loading && chunk->dirty_blocks == 0 &&
                chunk->need_blocks == 0 && chunk->end <= chunk->log->durable_position;
    if (evictable == mr_list_empty(&chunk->lru)) {
        if (evictable) {
            mr_list_push_back(&store->lru, &chunk->lru);
            store_room(store);
        } else {
            mr_list_remove(&chunk->lru);
        }
    }
}

void
cache_touch(struct chunk *chunk)
{
    if (!mr_list_empty(&chunk->lru)) {
        mr_list_remove(&chunk->lru);
        mr_list_push_back(&chunk->log->store->lru, &chunk->lru);
    }
}

void
cache_update(struct chunk *chunk, unsigned i, bool was_dirty)
{
    bool dirty = block_is_dirty(&chunk->state[i]);

    if (dirty != was_dirty) {
        struct mr_store *store = chunk->log->store;

        if (dirty) {
            chunk->dirty_blocks++;
            store->dirty_bytes += block_bytes(chunk);
        } else {
            chunk->dirty_blocks--;
            store->dirty_bytes -= block_bytes(chunk);
        }
    }
    cache_settle(chunk);
}

void
cache_pin(struct chunk *chunk)
{
    chunk->pins++;
    if (chunk->log) {
        cache_settle(chunk);
    }
}

void
cache_unpin(struct mr_store *store, struct chunk *chunk)
{
    MR_ASSERT(chunk->pins > 0);
    chunk->pins--;
    if (chunk->log) {
        cache_settle(chunk);
    } else if (chunk->pins == 0) {
        chunk_free(store, chunk);
    }
}

/* Takes the chunk's blocks out of all accounts. */
static void
chunk_forget(struct chunk *chunk)
{
    for (unsigned i = 0; i < chunk->blocks; i++) {
        bool was = block_is_dirty(&chunk->state[i]);

        need_clear(chunk, i);
        chunk->state[i].placed = chunk->state[i].fill;
        chunk->state[i].writing = 0;
        cache_update(chunk, i, was);
    }
}

void
cache_detach(struct chunk *chunk)
{
    struct mr_log *log = chunk->log;
    struct mr_store *store = log->store;
    uint32_t i = cache_index_after(log, chunk->block);

    MR_ASSERT(log->chunks[i] == chunk && !chunk->loading);
    chunk_forget(chunk);
    mr_list_remove(&chunk->lru);
    memmove(&log->chunks[i], &log->chunks[i + 1],
            (log->chunk_count - i - 1) * sizeof(*log->chunks));
    log->chunk_count--;
    if (log->chunk_count == 0) { /* an idle log keeps no array */
        free(log->chunks);
        log->chunks = NULL;
        log->chunk_capacity = 0;
    }
    chunk->log = NULL;
    if (chunk->pins == 0) {
        chunk_free(store, chunk);
    }
}

/* A larger chunk in the place of one of a single block; readers keep the old one until they let
 * go. NULL: no memory, nothing is changed. */
struct chunk *
cache_grow(struct chunk *chunk, uint32_t bytes, bool wide)
{
    struct mr_log *log = chunk->log;
    struct mr_store *store = log->store;
    struct chunk *next;
    uint32_t i;
    bool was;

    cache_pin(chunk); /* the allocation must not evict it */
    next = chunk_alloc(store, bytes, wide);
    if (!next) {
        cache_unpin(store, chunk);
        return NULL;
    }
    i = cache_index_after(log, chunk->block);
    MR_ASSERT(log->chunks[i] == chunk && chunk->blocks == 1);
    MR_ASSERT(!wide || i + 1 == log->chunk_count); /* only a log's last one grows wide */
    next->log = log;
    next->block = chunk->block;
    next->end = chunk->end;
    next->first_offset = chunk->first_offset;
    next->first_position = chunk->first_position;
    next->loaded = chunk->loaded;
    next->proved = chunk->proved;
    next->proved_end = chunk->proved_end;
    next->blocks = wide ? CHUNK_BLOCKS : 1;
    memcpy(next->data, chunk->data, chunk->state[0].fill);
    next->state[0] = chunk->state[0];
    was = block_is_dirty(&chunk->state[0]);
    next->need_blocks = chunk->need_blocks; /* the sums of log and checkpoint stay */
    chunk->need_blocks = 0;
    chunk->state[0] = (struct cache_block){0};
    cache_update(chunk, 0, was);
    log->chunks[i] = next;
    cache_update(next, 0, false);
    mr_list_remove(&chunk->lru);
    chunk->log = NULL;
    cache_unpin(store, chunk);
    return next;
}

/* ---- a log's bytes --------------------------------------------------------------------------- */

/* What is at or above `position` is forgotten: it was never appended. */
void
cache_cut_above(struct mr_log *log, uint64_t position)
{
    for (uint32_t c = log->chunk_count; c-- > 0;) {
        struct chunk *chunk = log->chunks[c];

        if (chunk->end <= position) {
            break;
        }
        if (chunk->block * BLOCK >= position) {
            if (!chunk->loading) { /* else nobody will look at it where it ends up */
                cache_detach(chunk);
            }
            continue;
        }
        for (unsigned i = 0; i < chunk->blocks; i++) {
            struct cache_block *state = &chunk->state[i];
            uint64_t at = (chunk->block + i) * BLOCK;
            uint64_t keep = position > at ? position - at : 0;
            bool was = block_is_dirty(state);

            if (state->fill <= keep) {
                continue;
            }
            if (keep == 0) {
                need_clear(chunk, i);
                *state = (struct cache_block){.writing = state->writing};
            } else {
                state->fill = (uint16_t)keep;
                state->placed = state->placed < keep ? state->placed : (uint16_t)keep;
                if (state->need > keep) {
                    cache_need(chunk, i, state->placed < keep ? (uint16_t)keep : 0);
                }
            }
            cache_update(chunk, i, was);
        }
        chunk->end = position;
        if (chunk->first_position >= position) {
            chunk->first_position = NO_POSITION;
        }
        cache_settle(chunk);
    }
}

void
cache_drop_below(struct mr_log *log, uint64_t block)
{
    for (uint32_t c = 0; c < log->chunk_count && log->chunks[c]->block < block;) {
        struct chunk *chunk = log->chunks[c];

        if (chunk->block + chunk->blocks <= block && !chunk->loading) {
            cache_detach(chunk);
            continue;
        }
        for (unsigned i = 0; i < chunk->blocks && chunk->block + i < block; i++) {
            bool was = block_is_dirty(&chunk->state[i]);

            need_clear(chunk, i);
            chunk->state[i].placed = chunk->state[i].fill;
            cache_update(chunk, i, was);
        }
        c++;
    }
}

void
cache_drop_all(struct mr_log *log)
{
    for (uint32_t c = log->chunk_count; c-- > 0;) {
        if (!log->chunks[c]->loading) { /* a load lets go of its chunks when it ends */
            cache_detach(log->chunks[c]);
        }
    }
}

/* Undoes cache_reserve() or ends its protection: pins go, chunks that stayed empty too. */
void
cache_release(struct mr_log *log, uint64_t position, uint32_t size)
{
    uint64_t last = (position + size - 1) / BLOCK;
    uint32_t i = cache_index_after(log, position / BLOCK);

    while (i < log->chunk_count && log->chunks[i]->block <= last) {
        struct chunk *chunk = log->chunks[i];

        cache_unpin(log->store, chunk);
        if (chunk->end == chunk->block * BLOCK && chunk->pins == 0) {
            cache_detach(chunk);
        } else {
            i++;
        }
    }
}

/* The chunk for the block at the log's end, whose first `o` bytes are there already. */
static int
reserve_tail(struct mr_log *log, uint64_t block, uint32_t o, uint32_t size)
{
    struct chunk *chunk = cache_find(log, block);

    if (!chunk || chunk->loading || chunk_state(chunk, block)->fill != o) {
        return -ENODATA;
    }
    if (chunk->capacity < BLOCK && o + size > chunk->capacity) {
        uint32_t bytes = o + size < BLOCK ? o + size : BLOCK;

        chunk = cache_grow(chunk, bytes, false);
        if (!chunk) {
            return -EAGAIN;
        }
    }
    cache_pin(chunk);
    return 0;
}

/* Makes room for `size` bytes at the log's end and pins it. 0; -ENODATA: its last block must be
 * loaded first; -EAGAIN: no memory. */
int
cache_reserve(struct mr_log *log, uint32_t size)
{
    struct mr_store *store = log->store;
    uint64_t position = log->end_position;
    uint64_t block = position / BLOCK, last = (position + size - 1) / BLOCK;
    uint32_t o = position % BLOCK;
    uint64_t from = block;

    if (o != 0) {
        int error = reserve_tail(log, block, o, size);

        if (error) {
            return error;
        }
        from = cache_find(log, block)->block + cache_find(log, block)->blocks;
    }
    while (from <= last) {
        struct chunk *chunk = cache_find(log, from);
        uint64_t left = position + size - from * BLOCK;
        bool wide =
            (left > BLOCK || (from > 0 && cache_find(log, from - 1) != NULL)) && !store->replaying;

        if (!chunk) {
            if (wide && (left >= CHUNK_BYTES / 2 || store->pages_free > store->page_count / 8)) {
                chunk = cache_new(log, from, CHUNK_BYTES, true);
            }
            if (!chunk) {
                chunk = cache_new(log, from, left < BLOCK ? (uint32_t)left : BLOCK, false);
            }
        }
        if (!chunk) {
            if (from > block) {
                cache_release(log, position, (uint32_t)(from * BLOCK - position));
            }
            return -EAGAIN;
        }
        cache_pin(chunk);
        from = chunk->block + chunk->blocks;
    }
    return 0;
}

/* Copies into reserved memory. The one copy of a payload: from the request into the cache. */
void
cache_put(struct mr_log *log, uint64_t position, const void *bytes, uint32_t size)
{
    const uint8_t *from = bytes;
    struct chunk *chunk = NULL;

    while (size > 0) {
        uint64_t block = position / BLOCK;
        uint32_t o = position % BLOCK;
        uint32_t n = BLOCK - o < size ? BLOCK - o : size;
        struct cache_block *state;
        bool was;

        if (!chunk || block >= chunk->block + chunk->blocks) {
            chunk = cache_find(log, block);
        }
        state = chunk_state(chunk, block);
        was = block_is_dirty(state);
        memcpy(chunk->data + (position - chunk->block * BLOCK), from, n);
        if (state->fill < o + n) {
            state->fill = (uint16_t)(o + n);
        }
        position += n;
        if (chunk->end < position) {
            chunk->end = position;
        }
        if (!was) {
            cache_update(chunk, (unsigned)(block - chunk->block), was);
        }
        from += n;
        size -= n;
    }
}

/* Copies out; false where some of it is not in memory. */
bool
cache_get(const struct mr_log *log, uint64_t position, void *out, uint32_t size)
{
    struct chunk *chunk = NULL;
    uint8_t *to = out;

    while (size > 0) {
        uint64_t block = position / BLOCK;
        uint32_t o = position % BLOCK;
        uint32_t n = BLOCK - o < size ? BLOCK - o : size;

        if (!chunk || block >= chunk->block + chunk->blocks) {
            chunk = cache_find(log, block);
        }
        if (!chunk || chunk->loading || chunk_state(chunk, block)->fill < o + n) {
            return false;
        }
        memcpy(to, chunk->data + (position - chunk->block * BLOCK), n);
        to += n;
        position += n;
        size -= n;
    }
    return true;
}
