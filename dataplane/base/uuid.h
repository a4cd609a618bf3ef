/* base/uuid.h: 128-bit ids as Kafka uses them (topic ids, cluster id, log directory ids).
 *
 * Kafka prints an id as 22 characters of URL-safe base64 without padding (KIP-516). */
#ifndef MR_BASE_UUID_H
#define MR_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct mr_uuid {
    uint8_t bytes[16];
};

#define MR_UUID_TEXT_SIZE 23 /* 22 characters and the terminator */

/* A random (version 4) id whose text does not start with '-', like Kafka's. */
struct mr_uuid mr_uuid_random(void);

/* Writes the id's text, terminated, to `out`. */
void mr_uuid_format(const struct mr_uuid *id, char out[MR_UUID_TEXT_SIZE]);

/* Reads 22 characters; returns 0, or -EINVAL when they are no id. */
int mr_uuid_parse(const char *text, struct mr_uuid *out);

static inline bool
mr_uuid_equal(const struct mr_uuid *a, const struct mr_uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static inline bool
mr_uuid_is_zero(const struct mr_uuid *id)
{
    static const struct mr_uuid zero;

    return mr_uuid_equal(id, &zero);
}

#endif
