/* tests/unit/kafka/wire_random.c: fills structs from a work list, breadth first. */
#include "tests/unit/kafka/wire_random.h"

#include <string.h>

#include "tests/mr_test.h"

#define WORK_MAX 4096

struct work {
    const struct mr_wire_struct *type;
    uint8_t *at;
};

struct filler {
    struct mr_rng *rng;
    struct mr_bump *bump;
    int16_t version;
    int count_max;
    struct work work[WORK_MAX];
    uint32_t work_begin;
    uint32_t work_end;
};

static void *
allocate(struct filler *f, size_t size)
{
    void *result = mr_bump_alloc(f->bump, size);

    MR_CHECK(result != NULL);
    return result;
}

static void
add_struct(struct filler *f, const struct mr_wire_struct *type, uint8_t *at)
{
    MR_CHECK(f->work_end < WORK_MAX);
    memcpy(at, type->defaults, type->size);
    f->work[f->work_end++] = (struct work){type, at};
}

static uint8_t *
random_bytes(struct filler *f, size_t size)
{
    uint8_t *bytes = allocate(f, size);

    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)mr_rng_next(f->rng);
    }
    return bytes;
}

/* Sizes near the steps of a varint are as likely as the others. */
static int32_t
random_size(struct filler *f)
{
    static const int32_t steps[] = {0, 1, 126, 127, 128, 129, 300};

    if (mr_rng_below(f->rng, 8) == 0) {
        return steps[mr_rng_below(f->rng, sizeof(steps) / sizeof(steps[0]))];
    }
    return (int32_t)mr_rng_below(f->rng, 24);
}

static void
fill_records(struct filler *f, struct mr_wire_records *records)
{
    uint32_t count = (uint32_t)mr_rng_below(f->rng, 4);
    struct iovec *iov = allocate(f, count * sizeof(*iov));

    *records = (struct mr_wire_records){.iov = iov, .iov_count = count};
    for (uint32_t i = 0; i < count; i++) {
        int32_t size = random_size(f);

        iov[i] = (struct iovec){random_bytes(f, (size_t)size), (size_t)size};
        records->size += size;
    }
}

static void
fill_plain(struct filler *f, const struct mr_wire_field *field, bool null, void *value)
{
    uint64_t bits = mr_rng_next(f->rng) >> mr_rng_below(f->rng, 64);
    int32_t size = null ? -1 : random_size(f);
    void *bytes = null ? NULL : random_bytes(f, (size_t)size);

    switch (field->kind) {
    case MR_WIRE_STRING:
        *(struct mr_str *)value = (struct mr_str){bytes, size};
        break;
    case MR_WIRE_BYTES:
        *(struct mr_bytes *)value = (struct mr_bytes){bytes, size};
        break;
    case MR_WIRE_RECORDS:
        if (null) {
            ((struct mr_wire_records *)value)->size = -1;
        } else {
            fill_records(f, value);
        }
        break;
    case MR_WIRE_UUID:
        memcpy(value, random_bytes(f, 16), 16);
        break;
    case MR_WIRE_BOOL:
        *(bool *)value = bits & 1;
        break;
    case MR_WIRE_INT8:
        memcpy(value, &bits, 1);
        break;
    case MR_WIRE_INT16:
    case MR_WIRE_UINT16:
        memcpy(value, &bits, 2);
        break;
    case MR_WIRE_INT32:
    case MR_WIRE_UINT32:
        memcpy(value, &bits, 4);
        break;
    default:
        memcpy(value, &bits, 8);
        break;
    }
}

static size_t
element_size(const struct mr_wire_field *field)
{
    static const size_t sizes[] = {1,
                                   1,
                                   2,
                                   4,
                                   8,
                                   2,
                                   4,
                                   8,
                                   16,
                                   sizeof(struct mr_str),
                                   sizeof(struct mr_bytes),
                                   sizeof(struct mr_wire_records)};

    return field->kind == MR_WIRE_STRUCT ? field->type->size : sizes[field->kind];
}

static void
fill_array(struct filler *f, const struct mr_wire_field *field, bool null, uint8_t *value)
{
    int32_t count = null ? -1 : (int32_t)mr_rng_below(f->rng, (uint64_t)f->count_max + 1);
    size_t size = element_size(field);
    uint8_t *elements = null ? NULL : allocate(f, (size_t)count * size);

    memcpy(value + field->offset, &elements, sizeof(elements));
    memcpy(value + field->count_offset, &count, sizeof(count));
    for (int32_t i = 0; i < count; i++) {
        if (field->kind == MR_WIRE_STRUCT) {
            add_struct(f, field->type, elements + (size_t)i * size);
        } else {
            fill_plain(f, field, false, elements + (size_t)i * size);
        }
    }
}

static void
fill_field(struct filler *f, const struct mr_wire_field *field, uint8_t *value)
{
    bool null = f->version >= field->null_min && f->version <= field->null_max &&
                mr_rng_below(f->rng, 4) == 0;
    uint8_t *target = value + field->offset;

    if (field->array) {
        fill_array(f, field, null, value);
    } else if (field->kind != MR_WIRE_STRUCT) {
        fill_plain(f, field, null, target);
    } else if (!field->pointer) {
        add_struct(f, field->type, target);
    } else if (!null) {
        uint8_t *inner = allocate(f, field->type->size);

        memcpy(target, &inner, sizeof(inner));
        add_struct(f, field->type, inner);
    }
}

void
wire_random_fill(const struct mr_wire_message *message, int16_t version, struct mr_rng *rng,
                 int count_max, struct mr_bump *bump, void *value)
{
    static struct filler f;

    f = (struct filler){.rng = rng, .bump = bump, .version = version, .count_max = count_max};
    add_struct(&f, message->root, value);
    while (f.work_begin < f.work_end) {
        struct work *work = &f.work[f.work_begin++];

        for (int i = 0; i < work->type->field_count + work->type->tag_count; i++) {
            const struct mr_wire_field *field = &work->type->fields[i];
            bool tagged = i >= work->type->field_count;

            if (version < field->version_min || version > field->version_max ||
                (tagged && mr_rng_below(rng, 2) == 0)) {
                continue;
            }
            fill_field(&f, field, work->at);
        }
    }
}

uint8_t *
wire_flatten(const struct mr_wire_out *out, struct mr_bump *bump)
{
    uint8_t *flat = mr_bump_alloc(bump, out->size);
    size_t at = 0;

    MR_CHECK(flat != NULL);
    for (uint32_t i = 0; i < out->iov_count; i++) {
        memcpy(flat + at, out->iov[i].iov_base, out->iov[i].iov_len);
        at += out->iov[i].iov_len;
    }
    MR_CHECK_EQ(at, out->size);
    return flat;
}

char *
wire_text(const struct mr_wire_message *message, int16_t version, const void *value)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    MR_CHECK(file != NULL);
    mr_wire_print(message, version, value, file);
    MR_CHECK_EQ(fclose(file), 0);
    return text;
}
