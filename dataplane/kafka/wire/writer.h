/* kafka/wire/writer.h: primitives on struct mr_wire_out. Private to mr_wire. */
#ifndef MR_KAFKA_WIRE_WRITER_H
#define MR_KAFKA_WIRE_WRITER_H

#include "dataplane/kafka/wire/wire.h"

/* The case of a full chunk. */
uint8_t *writer_room_slow(struct mr_wire_out *out, size_t size);

void writer_fail(struct mr_wire_out *out, int error);

void writer_uvarint(struct mr_wire_out *out, uint32_t value);

uint32_t writer_uvarint_size(uint32_t value);

/* `size` contiguous bytes to be filled by the caller now; NULL after an error. */
static inline uint8_t *
writer_room(struct mr_wire_out *out, size_t size)
{
    uint8_t *room = out->at;

    if (size > (size_t)(out->end - out->at)) {
        return writer_room_slow(out, size);
    }
    out->at += size;
    out->size += size;
    out->iov[out->iov_count - 1].iov_len += size;
    return room;
}

#endif
