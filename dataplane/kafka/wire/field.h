/* kafka/wire/field.h: questions that both directions ask about a field. Private to mr_wire. */
#ifndef MR_KAFKA_WIRE_FIELD_H
#define MR_KAFKA_WIRE_FIELD_H

#include <stddef.h>

#include "dataplane/kafka/wire/types.h"

static inline bool
field_present(const struct mr_wire_field *field, int16_t version)
{
    return version >= field->version_min && version <= field->version_max;
}

static inline bool
field_nullable(const struct mr_wire_field *field, int16_t version)
{
    return version >= field->null_min && version <= field->null_max;
}

/* Bytes of one value in its C struct; a pointer's target for a struct. */
size_t field_size(const struct mr_wire_field *field);

/* Bytes on the wire of a kind whose size is fixed; 0 for the others. */
extern const uint8_t field_wire_size[];

static inline int32_t *
field_count(const struct mr_wire_field *field, void *value)
{
    return (int32_t *)(void *)((uint8_t *)value + field->count_offset);
}

#endif
