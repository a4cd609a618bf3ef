/* storage/keymap.c: open addressing over 24-byte entries, at most three quarters full. */
#include "storage/keymap.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/endian.h"
#include "dataplane/base/rng.h"

struct entry {
    uint64_t hash[2];
    int64_t offset; /* plus one; 0: free */
};

struct mr_keymap {
    uint64_t secret[4];
    uint32_t capacity, count;
    struct entry entries[];
};

struct mr_keymap *
mr_keymap_create(size_t bytes)
{
    size_t capacity = (bytes - sizeof(struct mr_keymap)) / sizeof(struct entry);
    struct mr_keymap *map;

    if (bytes < sizeof(struct mr_keymap) + 16 * sizeof(struct entry)) {
        return NULL;
    }
    capacity = capacity < UINT32_MAX / 2 ? capacity : UINT32_MAX / 2;
    map = calloc(1, sizeof(*map) + capacity * sizeof(struct entry));
    if (map) {
        map->capacity = (uint32_t)capacity;
        mr_random_bytes(map->secret, sizeof(map->secret));
    }
    return map;
}

void
mr_keymap_destroy(struct mr_keymap *map)
{
    free(map);
}

static inline uint64_t
rotate(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline void
sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* Aumasson, Bernstein: SipHash, 2012. */
static uint64_t
siphash(const uint64_t secret[2], const uint8_t *bytes, size_t size)
{
    uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575ull, secret[1] ^ 0x646f72616e646f6dull,
                     secret[0] ^ 0x6c7967656e657261ull, secret[1] ^ 0x7465646279746573ull};
    uint64_t last = (uint64_t)size << 56;

    for (; size >= 8; size -= 8, bytes += 8) {
        uint64_t word = mr_le64_get(bytes);

        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < size; i++) {
        last |= (uint64_t)bytes[i] << (8 * i);
    }
    v[3] ^= last;
    sip_round(v);
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (unsigned i = 0; i < 4; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The key's entry, or the free one where it belongs. */
static const struct entry *
entry_of(const struct mr_keymap *map, const uint8_t *key, size_t size, uint64_t hash[2])
{
    uint32_t at;

    hash[0] = siphash(map->secret, key, size);
    hash[1] = siphash(map->secret + 2, key, size);
    at = (uint32_t)(hash[0] % map->capacity);
    while (map->entries[at].offset != 0 &&
           (map->entries[at].hash[0] != hash[0] || map->entries[at].hash[1] != hash[1])) {
        at = at + 1 < map->capacity ? at + 1 : 0;
    }
    return &map->entries[at];
}

bool
mr_keymap_fits(const struct mr_keymap *map, uint32_t keys)
{
    return (uint64_t)map->count + keys <= (uint64_t)map->capacity / 4 * 3;
}

bool
mr_keymap_is_empty(const struct mr_keymap *map)
{
    return map->count == 0;
}

void
mr_keymap_put(struct mr_keymap *map, const uint8_t *key, size_t size, int64_t offset)
{
    uint64_t hash[2];
    struct entry *entry = &map->entries[entry_of(map, key, size, hash) - map->entries];

    if (entry->offset == 0) {
        map->count++;
        MR_ASSERT(map->count < map->capacity);
        entry->hash[0] = hash[0];
        entry->hash[1] = hash[1];
    }
    entry->offset = offset + 1;
}

int64_t
mr_keymap_get(const struct mr_keymap *map, const uint8_t *key, size_t size)
{
    uint64_t hash[2];

    return entry_of(map, key, size, hash)->offset - 1;
}
