/* kafka/wire/reader.h: primitives on struct mr_wire_in. Private to mr_wire.
 *
 * Each checks what it needs against the bytes left before it moves; -EBADMSG when they do not
 * suffice, -ENOMEM at the arena's limit. */
#ifndef MR_KAFKA_WIRE_READER_H
#define MR_KAFKA_WIRE_READER_H

#include <errno.h>
#include <string.h>

#include "dataplane/kafka/wire/wire.h"

/* The case of bytes that straddle slices. */
int reader_copy_slow(struct mr_wire_in *in, void *out, size_t size);

/* Reads at most 5 bytes of varint, 7 bits a byte, least significant first; more than 32 bits are
 * -EBADMSG. */
int reader_uvarint_slow(struct mr_wire_in *in, uint32_t *out);

/* Points *out at `size` bytes, in place where they are contiguous, else copied to `bump`. */
int reader_view(struct mr_wire_in *in, struct mr_bump *bump, size_t size, const uint8_t **out);

/* Describes the next `size` bytes by slices allocated in `bump`. */
int reader_records(struct mr_wire_in *in, struct mr_bump *bump, size_t size,
                   struct mr_wire_records *out);

int reader_skip(struct mr_wire_in *in, uint64_t size);

/* Whether `size` bytes can be taken from the current slice. */
static inline bool
reader_has(const struct mr_wire_in *in, size_t size)
{
    return size <= (size_t)(in->end - in->at) && size <= in->left;
}

static inline int
reader_copy(struct mr_wire_in *in, void *out, size_t size)
{
    if (!reader_has(in, size)) {
        return reader_copy_slow(in, out, size);
    }
    memcpy(out, in->at, size);
    in->at += size;
    in->left -= size;
    return 0;
}

static inline int
reader_uvarint(struct mr_wire_in *in, uint32_t *out)
{
    if (reader_has(in, 1) && *in->at < 0x80) {
        *out = *in->at++;
        in->left--;
        return 0;
    }
    return reader_uvarint_slow(in, out);
}

#endif
