/* kafka/wire/encode.c: writes a message struct by walking its descriptor, with a stack of frames
 * as in decode.c.
 *
 * A tagged field states its size before its bytes, so that it is measured first. What is measured
 * holds no tagged fields of its own (generate.py checks that), only their count, which is 0. */
#include "dataplane/kafka/wire/wire.h"

#include <errno.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/endian.h"
#include "dataplane/kafka/wire/field.h"
#include "dataplane/kafka/wire/writer.h"

struct frame {
    const struct mr_wire_struct *type;
    const uint8_t *at;      /* the struct being written */
    uint32_t elements_left; /* of the array, after this one */
    uint32_t field;         /* the next one; the tagged ones come last */
    bool tags_counted;
};

struct encoder {
    struct mr_wire_out *out;
    int16_t version;
    bool flexible;
    int depth;
    struct frame frames[MR_WIRE_DEPTH_MAX];
};

static void
push(struct encoder *e, const struct mr_wire_struct *type, const void *first, uint32_t count)
{
    MR_ASSERT(e->depth < MR_WIRE_DEPTH_MAX);
    e->frames[e->depth++] = (struct frame){
        .type = type,
        .at = first,
        .elements_left = count - 1,
    };
}

static int32_t
count_of(const struct mr_wire_field *field, const uint8_t *value)
{
    return *(const int32_t *)(const void *)(value + field->count_offset);
}

static const void *
pointer_of(const struct mr_wire_field *field, const uint8_t *value)
{
    return *(const void *const *)(const void *)(value + field->offset);
}

/* The size of text, bytes or records; -1 for null. */
static int32_t
lengthy_size(const struct mr_wire_field *field, const void *value)
{
    switch (field->kind) {
    case MR_WIRE_STRING:
        return ((const struct mr_str *)value)->size;
    case MR_WIRE_BYTES:
        return ((const struct mr_bytes *)value)->size;
    default:
        return ((const struct mr_wire_records *)value)->size;
    }
}

/* Writes a length or count, -1 for null. `fixed_size` is 2 or 4. */
static void
write_length(struct encoder *e, const struct mr_wire_field *field, size_t fixed_size, int32_t size)
{
    uint8_t *room;

    if (size < 0 && !field_nullable(field, e->version)) {
        writer_fail(e->out, -EINVAL);
        return;
    }
    if (e->flexible && !field->inflexible) {
        writer_uvarint(e->out, size < 0 ? 0 : (uint32_t)size + 1);
        return;
    }
    room = writer_room(e->out, fixed_size);
    if (!room) {
        return;
    }
    if (fixed_size == 2) {
        mr_be16_put(room, (uint16_t)size);
    } else {
        mr_be32_put(room, (uint32_t)size);
    }
}

static void
encode_lengthy(struct encoder *e, const struct mr_wire_field *field, const void *value)
{
    int32_t size = lengthy_size(field, value);

    if (field->kind == MR_WIRE_STRING && size > INT16_MAX) {
        writer_fail(e->out, -EINVAL);
        return;
    }
    if (size < 0 && field->array) {
        writer_fail(e->out, -EINVAL);
        return;
    }
    write_length(e, field, field->kind == MR_WIRE_STRING ? 2 : 4, size);
    if (size <= 0) {
        return;
    }
    if (field->kind == MR_WIRE_RECORDS) {
        const struct mr_wire_records *records = value;

        mr_wire_out_slices(e->out, records->iov, records->iov_count);
    } else if (field->kind == MR_WIRE_STRING) {
        mr_wire_out_bytes(e->out, ((const struct mr_str *)value)->data, (size_t)size);
    } else {
        mr_wire_out_bytes(e->out, ((const struct mr_bytes *)value)->data, (size_t)size);
    }
}

/* Writes one value that is no struct. */
static void
encode_plain(struct encoder *e, const struct mr_wire_field *field, const void *value)
{
    size_t size = field_wire_size[field->kind];
    uint64_t bits;
    uint8_t *room;

    if (size == 0) {
        encode_lengthy(e, field, value);
        return;
    }
    room = writer_room(e->out, size);
    if (!room) {
        return;
    }
    switch (size) {
    case 1:
        *room = *(const uint8_t *)value;
        break;
    case 2:
        mr_be16_put(room, *(const uint16_t *)value);
        break;
    case 4:
        mr_be32_put(room, *(const uint32_t *)value);
        break;
    case 8:
        memcpy(&bits, value, sizeof(bits));
        mr_be64_put(room, bits);
        break;
    default:
        memcpy(room, value, size);
        break;
    }
}

/* Writes a field of `value`, or pushes a frame for its structs. */
static void
encode_field(struct encoder *e, const struct mr_wire_field *field, const uint8_t *value)
{
    if (field->array) {
        const uint8_t *elements = pointer_of(field, value);
        int32_t count = count_of(field, value);
        size_t size = field_size(field);

        write_length(e, field, 4, count);
        if (field->kind != MR_WIRE_STRUCT) {
            for (int32_t i = 0; i < count; i++) {
                encode_plain(e, field, elements + (size_t)i * size);
            }
        } else if (count > 0) {
            push(e, field->type, elements, (uint32_t)count);
        }
    } else if (field->kind != MR_WIRE_STRUCT) {
        encode_plain(e, field, value + field->offset);
    } else if (field->pointer) {
        const void *target = pointer_of(field, value);
        uint8_t *marker = writer_room(e->out, 1);

        if (marker) {
            *marker = target ? 1 : 0xff;
        }
        if (target) {
            push(e, field->type, target, 1);
        }
    } else {
        push(e, field->type, value + field->offset, 1);
    }
}

/* Whether one field, which is no struct, has its default. */
static bool
plain_is_default(const struct mr_wire_field *field, const uint8_t *value, const uint8_t *defaults)
{
    if (field->array) {
        return count_of(field, value) == count_of(field, defaults);
    }
    if (field_wire_size[field->kind] == 0) {
        return lengthy_size(field, value + field->offset) ==
               lengthy_size(field, defaults + field->offset);
    }
    return memcmp(value + field->offset, defaults + field->offset, field_wire_size[field->kind]) ==
           0;
}

/* Whether a tagged field is to be left out. Default arrays and texts are empty or null, so that
 * their sizes tell; structs hold only plain fields. */
static bool
tagged_is_default(const struct mr_wire_struct *type, const struct mr_wire_field *field,
                  const uint8_t *value)
{
    const uint8_t *defaults = type->defaults;

    if (field->kind != MR_WIRE_STRUCT || field->array) {
        return plain_is_default(field, value, defaults);
    }
    for (uint32_t i = 0; i < field->type->field_count; i++) {
        if (!plain_is_default(&field->type->fields[i], value + field->offset,
                              field->type->defaults)) {
            return false;
        }
    }
    return true;
}

/* Bytes of one value, which is no struct, in a flexible version. */
static uint32_t
measure_plain(const struct mr_wire_field *field, const void *value)
{
    uint32_t size = field_wire_size[field->kind];
    int32_t length;

    if (size > 0) {
        return size;
    }
    length = lengthy_size(field, value);
    return length < 0 ? 1 : writer_uvarint_size((uint32_t)length + 1) + (uint32_t)length;
}

static uint32_t
measure_struct(const struct encoder *e, const struct mr_wire_struct *type, const uint8_t *value)
{
    uint32_t size = 1; /* the count of its tagged fields */

    for (uint32_t i = 0; i < type->field_count; i++) {
        if (field_present(&type->fields[i], e->version)) {
            size += measure_plain(&type->fields[i], value + type->fields[i].offset);
        }
    }
    return size;
}

/* Bytes of a tagged field's value. */
static uint32_t
measure_tagged(const struct encoder *e, const struct mr_wire_field *field, const uint8_t *value)
{
    const uint8_t *elements;
    uint32_t size;
    int32_t count;

    if (!field->array) {
        return field->kind == MR_WIRE_STRUCT ? measure_struct(e, field->type, value + field->offset)
                                             : measure_plain(field, value + field->offset);
    }
    elements = pointer_of(field, value);
    count = count_of(field, value);
    size = writer_uvarint_size((uint32_t)(count + 1));
    for (int32_t i = 0; i < count; i++) {
        const uint8_t *element = elements + (size_t)i * field_size(field);

        size += field->kind == MR_WIRE_STRUCT ? measure_struct(e, field->type, element)
                                              : measure_plain(field, element);
    }
    return size;
}

static bool
tagged_is_written(const struct encoder *e, const struct frame *frame,
                  const struct mr_wire_field *field)
{
    return field_present(field, e->version) && !tagged_is_default(frame->type, field, frame->at);
}

static void
encode_tag_count(struct encoder *e, struct frame *frame)
{
    const struct mr_wire_struct *type = frame->type;
    uint32_t count = 0;

    for (uint32_t i = 0; i < type->tag_count; i++) {
        count += tagged_is_written(e, frame, &type->fields[type->field_count + i]);
    }
    writer_uvarint(e->out, count);
    frame->tags_counted = true;
}

/* Goes on with the top frame until it is done, or until a frame was pushed. True when done. */
static bool
encode_frame(struct encoder *e, struct frame *frame)
{
    const struct mr_wire_struct *type = frame->type;
    int depth = e->depth;

    for (;;) {
        while (frame->field < type->field_count) {
            const struct mr_wire_field *field = &type->fields[frame->field++];

            if (field_present(field, e->version)) {
                encode_field(e, field, frame->at);
                if (e->depth > depth) {
                    return false;
                }
            }
        }
        if (e->flexible && !frame->tags_counted) {
            encode_tag_count(e, frame);
        }
        while (e->flexible && frame->field < (uint32_t)type->field_count + type->tag_count) {
            const struct mr_wire_field *field = &type->fields[frame->field++];

            if (tagged_is_written(e, frame, field)) {
                writer_uvarint(e->out, (uint32_t)field->tag);
                writer_uvarint(e->out, measure_tagged(e, field, frame->at));
                encode_field(e, field, frame->at);
                if (e->depth > depth) {
                    return false;
                }
            }
        }
        if (frame->elements_left == 0) {
            return true;
        }
        frame->elements_left--;
        frame->at += type->size;
        frame->field = 0;
        frame->tags_counted = false;
    }
}

int
mr_wire_encode(const struct mr_wire_message *message, int16_t version, const void *value,
               struct mr_wire_out *out)
{
    struct encoder e;

    MR_ASSERT(version >= message->version_min && version <= message->version_max);
    e.out = out;
    e.version = version;
    e.flexible = version >= message->flexible_min;
    e.depth = 0;
    push(&e, message->root, value, 1);
    while (e.depth > 0 && !out->error) {
        if (encode_frame(&e, &e.frames[e.depth - 1])) {
            e.depth--;
        }
    }
    return out->error;
}
