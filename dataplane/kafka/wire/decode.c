/* kafka/wire/decode.c: fills a message struct from bytes by walking its descriptor.
 *
 * Structs nest, so the walk keeps a stack of frames, one for each struct that is being filled; an
 * array of structs stays in one frame, which moves from element to element. After the fields of a
 * flexible struct come its tagged fields; while one is read, the input is narrowed to its size:
 *
 *   fields --> tags? --no--> next element, or pop
 *                \--yes--> tag by tag; a tagged struct pushes a frame and comes back here */
#include "dataplane/kafka/wire/wire.h"

#include "dataplane/base/assert.h"
#include "dataplane/base/endian.h"
#include "dataplane/kafka/wire/field.h"
#include "dataplane/kafka/wire/reader.h"

#define OUTSIDE_TAGS UINT32_MAX

struct frame {
    const struct mr_wire_struct *type;
    uint8_t *at;            /* the struct being filled */
    uint32_t elements_left; /* of the array, after this one */
    uint32_t field;         /* the next plain field */
    uint32_t tags_left;     /* OUTSIDE_TAGS until the plain fields are done */
    int64_t tag_last;
    bool in_tag;         /* the input is narrowed to one tagged field */
    uint64_t after_left; /* bytes behind that field */
};

struct decoder {
    struct mr_wire_in *in;
    struct mr_bump *bump;
    int16_t version;
    bool flexible;
    int depth;
    struct frame frames[MR_WIRE_DEPTH_MAX];
};

const uint8_t field_wire_size[] = {
    [MR_WIRE_BOOL] = 1,   [MR_WIRE_INT8] = 1,   [MR_WIRE_INT16] = 2,  [MR_WIRE_INT32] = 4,
    [MR_WIRE_INT64] = 8,  [MR_WIRE_UINT16] = 2, [MR_WIRE_UINT32] = 4, [MR_WIRE_FLOAT64] = 8,
    [MR_WIRE_UUID] = 16,  [MR_WIRE_STRING] = 0, [MR_WIRE_BYTES] = 0,  [MR_WIRE_RECORDS] = 0,
    [MR_WIRE_STRUCT] = 0,
};

size_t
field_size(const struct mr_wire_field *field)
{
    switch (field->kind) {
    case MR_WIRE_STRING:
        return sizeof(struct mr_str);
    case MR_WIRE_BYTES:
        return sizeof(struct mr_bytes);
    case MR_WIRE_RECORDS:
        return sizeof(struct mr_wire_records);
    case MR_WIRE_STRUCT:
        return field->type->size;
    default:
        return field_wire_size[field->kind];
    }
}

static void
push(struct decoder *d, const struct mr_wire_struct *type, void *first, uint32_t count)
{
    MR_ASSERT(d->depth < MR_WIRE_DEPTH_MAX);
    d->frames[d->depth++] = (struct frame){
        .type = type,
        .at = first,
        .elements_left = count - 1,
        .tags_left = OUTSIDE_TAGS,
    };
    memcpy(first, type->defaults, type->size);
}

/* Reads a length or count: -1 for null, which the caller judges; in its fixed size, which is 2 or
 * 4, any negative number says null, as to Kafka. */
static int
read_length(struct decoder *d, const struct mr_wire_field *field, size_t fixed_size, int32_t *out)
{
    uint32_t compact;
    uint8_t raw[4];
    int rc;

    if (d->flexible && !field->inflexible) {
        rc = reader_uvarint(d->in, &compact);
        if (rc) {
            return rc;
        }
        if (compact > (uint32_t)INT32_MAX + 1) {
            return -EBADMSG;
        }
        *out = (int32_t)(compact - 1);
    } else {
        rc = reader_copy(d->in, raw, fixed_size);
        if (rc) {
            return rc;
        }
        *out = fixed_size == 2 ? (int16_t)mr_be16_get(raw) : (int32_t)mr_be32_get(raw);
    }
    *out = *out < 0 ? -1 : *out;
    return 0;
}

/* Reads text, bytes or records. */
static int
decode_lengthy(struct decoder *d, const struct mr_wire_field *field, void *value)
{
    const uint8_t *data = NULL;
    int32_t size;
    int rc = read_length(d, field, field->kind == MR_WIRE_STRING ? 2 : 4, &size);

    if (rc) {
        return rc;
    }
    if (size < 0 && (field->array || !field_nullable(field, d->version))) {
        return -EBADMSG;
    }
    if (field->kind == MR_WIRE_RECORDS) {
        *(struct mr_wire_records *)value = (struct mr_wire_records){.size = size};
        return size < 0 ? 0 : reader_records(d->in, d->bump, (size_t)size, value);
    }
    if (size >= 0) {
        rc = reader_view(d->in, d->bump, (size_t)size, &data);
    }
    if (field->kind == MR_WIRE_STRING) {
        if (size > INT16_MAX) {
            return -EBADMSG;
        }
        *(struct mr_str *)value = (struct mr_str){(const char *)data, size};
    } else {
        *(struct mr_bytes *)value = (struct mr_bytes){data, size};
    }
    return rc;
}

/* Reads one value that is no struct. */
static int
decode_plain(struct decoder *d, const struct mr_wire_field *field, void *value)
{
    uint8_t raw[8];
    int rc;

    switch (field->kind) {
    case MR_WIRE_STRING:
    case MR_WIRE_BYTES:
    case MR_WIRE_RECORDS:
        return decode_lengthy(d, field, value);
    case MR_WIRE_UUID:
        return reader_copy(d->in, value, sizeof(struct mr_uuid));
    case MR_WIRE_BOOL:
        rc = reader_copy(d->in, raw, 1);
        *(bool *)value = !rc && raw[0] != 0;
        return rc;
    case MR_WIRE_INT8:
        return reader_copy(d->in, value, 1);
    case MR_WIRE_INT16:
    case MR_WIRE_UINT16:
        rc = reader_copy(d->in, raw, 2);
        *(uint16_t *)value = rc ? 0 : mr_be16_get(raw);
        return rc;
    case MR_WIRE_INT32:
    case MR_WIRE_UINT32:
        rc = reader_copy(d->in, raw, 4);
        *(uint32_t *)value = rc ? 0 : mr_be32_get(raw);
        return rc;
    default: {
        uint64_t bits = 0;

        /* INT64 and FLOAT64 are the same eight bytes. */
        rc = reader_copy(d->in, raw, 8);
        if (!rc) {
            bits = mr_be64_get(raw);
        }
        memcpy(value, &bits, sizeof(bits));
        return rc;
    }
    }
}

/* The fewest bytes an element takes, so that a count can be checked before its array exists. */
static size_t
element_size_min(const struct decoder *d, const struct mr_wire_field *field)
{
    if (field->kind == MR_WIRE_STRUCT) {
        return field->type->size_min[d->version - field->type->version_min];
    }
    if (field_wire_size[field->kind] > 0) {
        return field_wire_size[field->kind];
    }
    if (d->flexible) {
        return 1;
    }
    return field->kind == MR_WIRE_STRING ? 2 : 4;
}

/* Reads an array, or pushes a frame for its structs. */
static int
decode_array(struct decoder *d, const struct mr_wire_field *field, uint8_t *value)
{
    size_t size = field_size(field);
    uint8_t *elements;
    int32_t count;
    int rc = read_length(d, field, 4, &count);

    if (rc) {
        return rc;
    }
    if (count < 0 ? !field_nullable(field, d->version)
                  : (uint64_t)count * element_size_min(d, field) > d->in->left) {
        return -EBADMSG;
    }
    *field_count(field, value) = count;
    if (count <= 0) {
        *(void **)(void *)(value + field->offset) = NULL;
        return 0;
    }
    elements = mr_bump_alloc(d->bump, (size_t)count * size);
    if (!elements) {
        return -ENOMEM;
    }
    *(void **)(void *)(value + field->offset) = elements;
    if (field->kind == MR_WIRE_STRUCT) {
        push(d, field->type, elements, (uint32_t)count);
        return 0;
    }
    for (int32_t i = 0; i < count && !rc; i++) {
        rc = decode_plain(d, field, elements + (size_t)i * size);
    }
    return rc;
}

/* Pushes a frame for a struct that stands in `value` or is pointed to. */
static int
decode_struct(struct decoder *d, const struct mr_wire_field *field, uint8_t *value)
{
    void *target = value + field->offset;

    if (field->pointer) {
        int8_t marker = 0;
        int rc = 0;

        if (field_nullable(field, d->version)) {
            rc = reader_copy(d->in, &marker, 1);
        }
        *(void **)target = NULL;
        if (rc || marker < 0) {
            return rc;
        }
        target = mr_bump_alloc(d->bump, field->type->size);
        if (!target) {
            return -ENOMEM;
        }
        *(void **)(void *)(value + field->offset) = target;
    }
    push(d, field->type, target, 1);
    return 0;
}

static int
decode_field(struct decoder *d, const struct mr_wire_field *field, uint8_t *value)
{
    if (field->array) {
        return decode_array(d, field, value);
    }
    if (field->kind == MR_WIRE_STRUCT) {
        return decode_struct(d, field, value);
    }
    return decode_plain(d, field, value + field->offset);
}

/* Ends the tagged field whose value was just read: all of its bytes must be used. */
static int
leave_tag(struct decoder *d, struct frame *frame)
{
    if (d->in->left != 0) {
        return -EBADMSG;
    }
    d->in->left = frame->after_left;
    frame->in_tag = false;
    return 0;
}

/* Reads the next tagged field, or pushes a frame for it; one we do not know is skipped. Tags
 * ascend, so that none comes twice. */
static int
decode_tag(struct decoder *d, struct frame *frame)
{
    const struct mr_wire_field *field = frame->type->fields + frame->type->field_count;
    const struct mr_wire_field *end = field + frame->type->tag_count;
    int depth = d->depth;
    uint32_t tag, size;
    int rc = reader_uvarint(d->in, &tag);

    rc = rc ? rc : reader_uvarint(d->in, &size);
    if (rc) {
        return rc;
    }
    if ((int64_t)tag <= frame->tag_last || size > d->in->left) {
        return -EBADMSG;
    }
    frame->tag_last = tag;
    frame->tags_left--;
    while (field < end && !(field->tag == (int64_t)tag && field_present(field, d->version))) {
        field++;
    }
    if (field == end) {
        return reader_skip(d->in, size);
    }
    frame->in_tag = true;
    frame->after_left = d->in->left - size;
    d->in->left = size;
    rc = decode_field(d, field, frame->at);
    if (rc || d->depth > depth) {
        return rc;
    }
    return leave_tag(d, frame);
}

/* Goes on with the top frame until it is done, or until a frame was pushed. Sets *done. */
static int
decode_frame(struct decoder *d, struct frame *frame, bool *done)
{
    const struct mr_wire_struct *type = frame->type;
    int depth = d->depth;
    int rc;

    for (;;) {
        while (frame->field < type->field_count) {
            const struct mr_wire_field *field = &type->fields[frame->field++];

            if (field_present(field, d->version)) {
                rc = decode_field(d, field, frame->at);
                if (rc || d->depth > depth) {
                    return rc;
                }
            }
        }
        if (d->flexible && frame->tags_left == OUTSIDE_TAGS) {
            rc = reader_uvarint(d->in, &frame->tags_left);
            if (rc || frame->tags_left > d->in->left) {
                return rc ? rc : -EBADMSG;
            }
            frame->tag_last = -1;
        }
        while (d->flexible && (frame->in_tag || frame->tags_left > 0)) {
            rc = frame->in_tag ? leave_tag(d, frame) : decode_tag(d, frame);
            if (rc || d->depth > depth) {
                return rc;
            }
        }
        if (frame->elements_left == 0) {
            *done = true;
            return 0;
        }
        frame->elements_left--;
        frame->at += type->size;
        frame->field = 0;
        frame->tags_left = OUTSIDE_TAGS;
        memcpy(frame->at, type->defaults, type->size);
    }
}

int
mr_wire_decode(const struct mr_wire_message *message, int16_t version, struct mr_wire_in *in,
               struct mr_bump *bump, void *out)
{
    struct decoder d;

    MR_ASSERT(version >= message->version_min && version <= message->version_max);
    d.in = in;
    d.bump = bump;
    d.version = version;
    d.flexible = version >= message->flexible_min;
    d.depth = 0;
    push(&d, message->root, out, 1);
    while (d.depth > 0) {
        bool done = false;
        int rc = decode_frame(&d, &d.frames[d.depth - 1], &done);

        if (rc) {
            return rc;
        }
        d.depth -= done;
    }
    return 0;
}

void
mr_wire_init(const struct mr_wire_message *message, void *value)
{
    memcpy(value, message->root->defaults, message->root->size);
}
