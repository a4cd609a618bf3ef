/* base/bump.c: a chain of chunks behind the one the owner lent. */
#include "dataplane/base/bump.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"

#define CHUNK_SIZE_MIN 8192u

struct mr_bump_chunk {
    struct mr_bump_chunk *next;
    size_t size;
    uint8_t bytes[];
};

void
mr_bump_init(struct mr_bump *bump, void *first, size_t first_size, size_t heap_bytes_max)
{
    MR_ASSERT((uintptr_t)first % 8 == 0);
    bump->first = first;
    bump->first_size = first_size;
    bump->at = first;
    bump->end = bump->at + first_size;
    bump->heap_bytes = 0;
    bump->heap_bytes_max = heap_bytes_max;
    bump->chunks = NULL;
}

void *
mr_bump_alloc(struct mr_bump *bump, size_t size)
{
    struct mr_bump_chunk *chunk;
    size_t chunk_size;
    void *result;

    if (size > bump->heap_bytes_max && size > bump->first_size) {
        return NULL;
    }
    size = (size + 7) & ~(size_t)7;
    if (size > (size_t)(bump->end - bump->at)) {
        chunk_size = size > CHUNK_SIZE_MIN ? size : CHUNK_SIZE_MIN;
        if (chunk_size > bump->heap_bytes_max - bump->heap_bytes) {
            return NULL;
        }
        chunk = malloc(sizeof(*chunk) + chunk_size);
        if (!chunk) {
            return NULL;
        }
        chunk->next = bump->chunks;
        chunk->size = chunk_size;
        bump->chunks = chunk;
        bump->heap_bytes += chunk_size;
        bump->at = chunk->bytes;
        bump->end = chunk->bytes + chunk_size;
    }
    result = bump->at;
    bump->at += size;
    return result;
}

void *
mr_bump_array(struct mr_bump *bump, size_t count, size_t size)
{
    size_t total;
    void *result;

    if (__builtin_mul_overflow(count, size, &total)) {
        return NULL;
    }
    result = mr_bump_alloc(bump, total);
    if (result) {
        memset(result, 0, total);
    }
    return result;
}

void
mr_bump_reset(struct mr_bump *bump)
{
    while (bump->chunks) {
        struct mr_bump_chunk *chunk = bump->chunks;

        bump->chunks = chunk->next;
        free(chunk);
    }
    bump->heap_bytes = 0;
    bump->at = bump->first;
    bump->end = bump->first + bump->first_size;
}
