/* base/bump.h: memory for one request: allocated piece by piece, freed all at once.
 *
 * The owner lends a first chunk (usually part of a pooled request context), which the usual small
 * request never leaves; a larger one takes further chunks from the heap, up to a limit, and gives
 * them back in mr_bump_reset(). Single-threaded; its owner may lend the allocated memory to
 * another thread by message. */
#ifndef MR_BASE_BUMP_H
#define MR_BASE_BUMP_H

#include <stddef.h>
#include <stdint.h>

struct mr_bump_chunk;

struct mr_bump {
    uint8_t *first; /* lent by the owner until mr_bump_reset() and no further allocation */
    size_t first_size;
    uint8_t *at; /* next free byte of the current chunk */
    uint8_t *end;
    size_t heap_bytes; /* held in chunks from the heap */
    size_t heap_bytes_max;
    struct mr_bump_chunk *chunks;
};

/* @first is aligned to 16 bytes. @heap_bytes_max bounds what is taken beyond it. */
void mr_bump_init(struct mr_bump *bump, void *first, size_t first_size, size_t heap_bytes_max);

/* Returns `size` bytes aligned to 8 (`size` 0 gives a valid pointer), valid until the reset; not
 * zeroed. NULL when the limit would be passed: the request is then refused, not the process. */
void *mr_bump_alloc(struct mr_bump *bump, size_t size);

/* The same for an array, zeroed; NULL also where count * size overflows. */
void *mr_bump_array(struct mr_bump *bump, size_t count, size_t size);

/* Frees everything; the first chunk is used again. */
void mr_bump_reset(struct mr_bump *bump);

#endif
