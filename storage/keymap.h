/* storage/keymap.h: for each key the last offset it was seen at, in bounded memory.
 *
 * Keys are kept as 128-bit hashes under a random secret (SipHash-2-4, twice), as Apache Kafka's
 * cleaner keeps MD5s: two keys with one hash do not occur. 24 bytes a key. Thread: one. */
#ifndef MR_STORAGE_KEYMAP_H
#define MR_STORAGE_KEYMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mr_keymap;

/* With at most `bytes` of memory. NULL without it. */
struct mr_keymap *mr_keymap_create(size_t bytes);
void mr_keymap_destroy(struct mr_keymap *map);

/* Whether so many keys more surely fit. */
bool mr_keymap_fits(const struct mr_keymap *map, uint32_t keys);

bool mr_keymap_is_empty(const struct mr_keymap *map);

/* The key was seen at `offset`, which is above all before. There must be room. */
void mr_keymap_put(struct mr_keymap *map, const uint8_t *key, size_t size, int64_t offset);

/* The last offset of the key; -1: not seen. */
int64_t mr_keymap_get(const struct mr_keymap *map, const uint8_t *key, size_t size);

#endif
