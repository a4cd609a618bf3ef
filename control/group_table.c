/* control/group_table.c: memory that is counted, hash tables that grow where they can, timers. */
#include "control/group_internal.h"

#include <stdlib.h>
#include <string.h>

#define TABLE_SIZE_MIN 64u
#define HEAP_SIZE_MIN  64u
#define LOAD_MAX       2u /* nodes for each bucket before a table grows */

/* In front of every piece of memory; keeps what follows aligned. */
struct block {
    _Alignas(16) size_t size;
};

void *
group_alloc(struct mr_groups *groups, size_t size)
{
    struct block *block;

    if (size > groups->config.bytes_max ||
        size + sizeof(*block) > groups->config.bytes_max - groups->bytes) {
        return NULL;
    }
    block = calloc(1, sizeof(*block) + size);
    if (!block) {
        return NULL;
    }
    block->size = sizeof(*block) + size;
    groups->bytes += block->size;
    return block + 1;
}

void
group_free(struct mr_groups *groups, void *memory)
{
    struct block *block = memory;

    if (!block) {
        return;
    }
    block--;
    MR_ASSERT(groups->bytes >= block->size);
    groups->bytes -= block->size;
    free(block);
}

bool
group_copy(struct mr_groups *groups, struct mr_str from, struct mr_str *to)
{
    char *data;

    if (from.size <= 0) {
        *to = from.size < 0 ? group_str_null : group_str_none;
        return true;
    }
    data = group_alloc(groups, (size_t)from.size);
    if (!data) {
        return false;
    }
    memcpy(data, from.data, (size_t)from.size);
    *to = (struct mr_str){data, from.size};
    return true;
}

bool
group_copy_bytes(struct mr_groups *groups, struct mr_bytes from, struct mr_bytes *to)
{
    struct mr_str copy;

    if (from.size <= 0) {
        *to = group_bytes_none;
        return true;
    }
    if (!group_copy(groups, (struct mr_str){(const char *)from.data, from.size}, &copy)) {
        return false;
    }
    *to = (struct mr_bytes){(const uint8_t *)copy.data, copy.size};
    return true;
}

void
group_free_str(struct mr_groups *groups, struct mr_str *text)
{
    if (text->size > 0) {
        group_free(groups, (char *)text->data);
    }
    *text = group_str_null;
}

void
group_free_bytes(struct mr_groups *groups, struct mr_bytes *bytes)
{
    if (bytes->size > 0) {
        group_free(groups, (uint8_t *)bytes->data);
    }
    *bytes = group_bytes_none;
}

bool
group_str_equal(struct mr_str a, struct mr_str b)
{
    return a.size == b.size && (a.size <= 0 || memcmp(a.data, b.data, (size_t)a.size) == 0);
}

/* ---- tables ------------------------------------------------------------------------------------
 */

uint64_t
group_hash(const struct mr_groups *groups, const void *scope, struct mr_str text)
{
    uint64_t hash = groups->hash_key ^ (uint64_t)(uintptr_t)scope * 0x9e3779b97f4a7c15ull;

    for (int32_t i = 0; i < text.size; i++) {
        hash = (hash ^ (uint8_t)text.data[i]) * 0x100000001b3ull;
        hash ^= hash >> 29;
    }
    hash *= 0xbf58476d1ce4e5b9ull;
    return hash ^ hash >> 32;
}

bool
group_table_init(struct mr_groups *groups, struct group_table *table)
{
    table->count = 0;
    table->size = TABLE_SIZE_MIN;
    table->buckets = group_alloc(groups, TABLE_SIZE_MIN * sizeof(*table->buckets));
    return table->buckets;
}

void
group_table_free(struct mr_groups *groups, struct group_table *table)
{
    group_free(groups, table->buckets);
    table->buckets = NULL;
}

/* Without memory for more buckets the chains grow longer: slower, not wrong. */
static void
table_grow(struct mr_groups *groups, struct group_table *table)
{
    uint32_t size = table->size * 2;
    struct group_node **buckets = group_alloc(groups, size * sizeof(*buckets));

    if (!buckets) {
        return;
    }
    for (uint32_t i = 0; i < table->size; i++) {
        struct group_node *node = table->buckets[i];

        while (node) {
            struct group_node *next = node->next;

            node->next = buckets[node->hash & (size - 1)];
            buckets[node->hash & (size - 1)] = node;
            node = next;
        }
    }
    group_free(groups, table->buckets);
    table->buckets = buckets;
    table->size = size;
}

void
group_table_add(struct mr_groups *groups, struct group_table *table, struct group_node *node,
                uint64_t hash)
{
    struct group_node **bucket;

    if (table->count >= table->size * LOAD_MAX && table->size < UINT32_MAX / 4) {
        table_grow(groups, table);
    }
    bucket = &table->buckets[hash & (table->size - 1)];
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    table->count++;
}

void
group_table_remove(struct group_table *table, struct group_node *node)
{
    struct group_node **at = &table->buckets[node->hash & (table->size - 1)];

    while (*at != node) {
        MR_ASSERT(*at);
        at = &(*at)->next;
    }
    *at = node->next;
    node->next = NULL;
    table->count--;
}

/* ---- timers ------------------------------------------------------------------------------------
 */

bool
group_timers_reserve(struct mr_groups *groups, uint32_t count)
{
    struct group_heap *heap = &groups->heap;
    struct group_timer **timers;
    uint32_t capacity = heap->capacity;

    if (heap->reserved + count > capacity) {
        capacity = capacity < HEAP_SIZE_MIN ? HEAP_SIZE_MIN : capacity * 2;
        timers = group_alloc(groups, capacity * sizeof(*timers));
        if (!timers) {
            return false;
        }
        if (heap->count > 0) {
            memcpy(timers, heap->timers, heap->count * sizeof(*timers));
        }
        group_free(groups, heap->timers);
        heap->timers = timers;
        heap->capacity = capacity;
    }
    heap->reserved += count;
    return true;
}

void
group_timers_release(struct mr_groups *groups, uint32_t count)
{
    MR_ASSERT(groups->heap.reserved >= count);
    groups->heap.reserved -= count;
}

void
group_timer_init(struct group_timer *timer, enum group_timer_kind kind)
{
    timer->index = GROUP_TIMER_OFF;
    timer->kind = (uint8_t)kind;
}

static void
heap_place(struct group_heap *heap, struct group_timer *timer, uint32_t index)
{
    heap->timers[index] = timer;
    timer->index = index;
}

static void
heap_settle(struct group_heap *heap, struct group_timer *timer)
{
    uint32_t index = timer->index;
    uint32_t child;

    while (index > 0 && heap->timers[(index - 1) / 2]->at_ns > timer->at_ns) {
        heap_place(heap, heap->timers[(index - 1) / 2], index);
        index = (index - 1) / 2;
    }
    while ((child = index * 2 + 1) < heap->count) {
        if (child + 1 < heap->count &&
            heap->timers[child + 1]->at_ns < heap->timers[child]->at_ns) {
            child++;
        }
        if (heap->timers[child]->at_ns >= timer->at_ns) {
            break;
        }
        heap_place(heap, heap->timers[child], index);
        index = child;
    }
    heap_place(heap, timer, index);
}

void
group_timer_set(struct mr_groups *groups, struct group_timer *timer, int64_t delay_ms)
{
    struct group_heap *heap = &groups->heap;

    if (timer->index == GROUP_TIMER_OFF) {
        MR_ASSERT(heap->count < heap->reserved);
        timer->index = heap->count++;
    }
    timer->at_ns = groups->now.ns + (delay_ms > 0 ? (uint64_t)delay_ms * MR_NS_PER_MS : 0);
    heap_settle(heap, timer);
}

void
group_timer_off(struct mr_groups *groups, struct group_timer *timer)
{
    struct group_heap *heap = &groups->heap;
    struct group_timer *last;

    if (timer->index == GROUP_TIMER_OFF) {
        return;
    }
    last = heap->timers[--heap->count];
    if (last != timer) {
        last->index = timer->index;
        heap_settle(heap, last);
    }
    timer->index = GROUP_TIMER_OFF;
}
