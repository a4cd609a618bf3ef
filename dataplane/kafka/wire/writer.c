/* kafka/wire/writer.c: a growing list of slices over chunks from an arena.
 *
 * The last slice grows while its chunk has room. An external slice closes it; the rest of the
 * chunk then begins a slice of its own. After an error the chunk is empty, so that every write
 * ends in writer_room_slow(), which refuses. */
#include "dataplane/kafka/wire/writer.h"

#include <errno.h>
#include <string.h>

#include "dataplane/base/endian.h"

#define CHUNK_SIZE_FIRST 512u
#define CHUNK_SIZE_MAX   16384u
#define IOV_FIRST        8u

void
mr_wire_out_init(struct mr_wire_out *out, struct mr_bump *bump)
{
    *out = (struct mr_wire_out){.bump = bump, .chunk_size = CHUNK_SIZE_FIRST};
}

void
writer_fail(struct mr_wire_out *out, int error)
{
    if (!out->error) {
        out->error = error;
    }
    out->at = NULL;
    out->end = NULL;
}

/* Adds a slice; false after an error. */
static bool
add_slice(struct mr_wire_out *out, void *base, size_t size)
{
    if (out->iov_count == out->iov_max) {
        uint32_t max = out->iov_max ? out->iov_max * 2 : IOV_FIRST;
        struct iovec *iov = mr_bump_alloc(out->bump, max * sizeof(*iov));

        if (!iov) {
            writer_fail(out, -ENOMEM);
            return false;
        }
        if (out->iov_count > 0) {
            memcpy(iov, out->iov, out->iov_count * sizeof(*iov));
        }
        out->iov = iov;
        out->iov_max = max;
    }
    out->iov[out->iov_count++] = (struct iovec){base, size};
    out->size += size;
    return true;
}

uint8_t *
writer_room_slow(struct mr_wire_out *out, size_t size)
{
    size_t chunk_size = size > out->chunk_size ? size : out->chunk_size;
    uint8_t *chunk;

    if (out->error) {
        return NULL;
    }
    chunk = mr_bump_alloc(out->bump, chunk_size);
    if (!chunk) {
        writer_fail(out, -ENOMEM);
        return NULL;
    }
    if (!add_slice(out, chunk, size)) {
        return NULL;
    }
    if (out->chunk_size < CHUNK_SIZE_MAX) {
        out->chunk_size *= 2;
    }
    out->at = chunk + size;
    out->end = chunk + chunk_size;
    return chunk;
}

void
mr_wire_out_slices(struct mr_wire_out *out, const struct iovec *slices, uint32_t count)
{
    bool added = false;

    for (uint32_t i = 0; i < count && !out->error; i++) {
        if (slices[i].iov_len > 0) {
            added = add_slice(out, slices[i].iov_base, slices[i].iov_len);
        }
    }
    /* What is left of the chunk goes on behind the external slices, as a slice of its own. */
    if (added && out->at < out->end) {
        add_slice(out, out->at, 0);
    }
}

uint8_t *
mr_wire_out_reserve_4(struct mr_wire_out *out)
{
    return writer_room(out, 4);
}

void
mr_wire_out_patch_4(uint8_t *room, uint32_t value)
{
    if (room) {
        mr_be32_put(room, value);
    }
}

void
mr_wire_out_bytes(struct mr_wire_out *out, const void *bytes, size_t size)
{
    uint8_t *room;

    if (size == 0) {
        return;
    }
    room = writer_room(out, size);
    if (room) {
        memcpy(room, bytes, size);
    }
}

uint32_t
writer_uvarint_size(uint32_t value)
{
    return 1 + (31 - (uint32_t)__builtin_clz(value | 1)) / 7;
}

void
writer_uvarint(struct mr_wire_out *out, uint32_t value)
{
    uint8_t *room = writer_room(out, writer_uvarint_size(value));

    if (!room) {
        return;
    }
    while (value >= 0x80) {
        *room++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *room = (uint8_t)value;
}
