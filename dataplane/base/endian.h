/* base/endian.h: integers at unaligned addresses in a stated byte order.
 *
 * The Kafka protocol is big-endian; the store's own format is little-endian. */
#ifndef MR_BASE_ENDIAN_H
#define MR_BASE_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define MR_ENDIAN_PAIR(bits)                                                                       \
    static inline uint##bits##_t mr_be##bits##_get(const void *at)                                 \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, at, sizeof(v));                                                                 \
        return be##bits##toh(v);                                                                   \
    }                                                                                              \
    static inline void mr_be##bits##_put(void *at, uint##bits##_t value)                           \
    {                                                                                              \
        value = htobe##bits(value);                                                                \
        memcpy(at, &value, sizeof(value));                                                         \
    }                                                                                              \
    static inline uint##bits##_t mr_le##bits##_get(const void *at)                                 \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, at, sizeof(v));                                                                 \
        return le##bits##toh(v);                                                                   \
    }                                                                                              \
    static inline void mr_le##bits##_put(void *at, uint##bits##_t value)                           \
    {                                                                                              \
        value = htole##bits(value);                                                                \
        memcpy(at, &value, sizeof(value));                                                         \
    }

/* clang-format off */
MR_ENDIAN_PAIR(16)
MR_ENDIAN_PAIR(32)
MR_ENDIAN_PAIR(64)
/* clang-format on */

#undef MR_ENDIAN_PAIR

#endif
