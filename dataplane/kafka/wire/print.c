/* kafka/wire/print.c: a message as one line of JSON, for people and for tests. */
#include "dataplane/kafka/wire/wire.h"

#include <inttypes.h>

#include "dataplane/base/assert.h"
#include "dataplane/kafka/wire/field.h"

struct frame {
    const struct mr_wire_struct *type;
    const uint8_t *at;
    uint32_t elements_left;
    uint32_t field;
    bool array;
    bool comma; /* a field of this struct was printed */
};

static void
print_text(struct mr_str text, FILE *file)
{
    if (text.size < 0) {
        fputs("null", file);
        return;
    }
    fputc('"', file);
    for (int32_t i = 0; i < text.size; i++) {
        uint8_t c = (uint8_t)text.data[i];

        if (c == '"' || c == '\\') {
            fprintf(file, "\\%c", c);
        } else if (c < 0x20 || c > 0x7e) {
            fprintf(file, "\\u%04x", c);
        } else {
            fputc(c, file);
        }
    }
    fputc('"', file);
}

static void
print_hex(const uint8_t *bytes, size_t size, FILE *file)
{
    for (size_t i = 0; i < size; i++) {
        fprintf(file, "%02x", bytes[i]);
    }
}

static void
print_lengthy(const struct mr_wire_field *field, const void *value, FILE *file)
{
    struct mr_wire_records records;
    struct mr_bytes bytes;

    if (field->kind == MR_WIRE_BYTES) {
        bytes = *(const struct mr_bytes *)value;
        if (bytes.size < 0) {
            fputs("null", file);
            return;
        }
        fputc('"', file);
        print_hex(bytes.data, (size_t)bytes.size, file);
        fputc('"', file);
        return;
    }
    records = *(const struct mr_wire_records *)value;
    if (records.size < 0) {
        fputs("null", file);
        return;
    }
    fputc('"', file);
    for (uint32_t i = 0; i < records.iov_count; i++) {
        print_hex(records.iov[i].iov_base, records.iov[i].iov_len, file);
    }
    fputc('"', file);
}

static void
print_plain(const struct mr_wire_field *field, const void *value, FILE *file)
{
    char id[MR_UUID_TEXT_SIZE];

    switch (field->kind) {
    case MR_WIRE_BOOL:
        fputs(*(const bool *)value ? "true" : "false", file);
        break;
    case MR_WIRE_INT8:
        fprintf(file, "%d", *(const int8_t *)value);
        break;
    case MR_WIRE_INT16:
        fprintf(file, "%d", *(const int16_t *)value);
        break;
    case MR_WIRE_INT32:
        fprintf(file, "%" PRId32, *(const int32_t *)value);
        break;
    case MR_WIRE_INT64:
        fprintf(file, "%" PRId64, *(const int64_t *)value);
        break;
    case MR_WIRE_UINT16:
        fprintf(file, "%u", *(const uint16_t *)value);
        break;
    case MR_WIRE_UINT32:
        fprintf(file, "%" PRIu32, *(const uint32_t *)value);
        break;
    case MR_WIRE_FLOAT64:
        fprintf(file, "%.17g", *(const double *)value);
        break;
    case MR_WIRE_UUID:
        mr_uuid_format(value, id);
        fprintf(file, "\"%s\"", id);
        break;
    case MR_WIRE_STRING:
        print_text(*(const struct mr_str *)value, file);
        break;
    default:
        print_lengthy(field, value, file);
        break;
    }
}

static void
print_plain_array(const struct mr_wire_field *field, const uint8_t *elements, int32_t count,
                  FILE *file)
{
    fputc('[', file);
    for (int32_t i = 0; i < count; i++) {
        fputs(i > 0 ? "," : "", file);
        print_plain(field, elements + (size_t)i * field_size(field), file);
    }
    fputc(']', file);
}

/* Prints a field's value; for structs returns the first and sets *count, for the caller to go
 * on with. */
static const uint8_t *
print_field(const struct mr_wire_field *field, const uint8_t *value, uint32_t *count, FILE *file)
{
    const uint8_t *target = value + field->offset;
    int32_t elements = 1;

    if (field->array || field->pointer) {
        target = *(const uint8_t *const *)(const void *)target;
    }
    if (field->array) {
        elements = *(const int32_t *)(const void *)(value + field->count_offset);
    } else if (field->pointer && !target) {
        elements = -1;
    }
    if (elements < 0) {
        fputs("null", file);
    } else if (field->kind == MR_WIRE_STRUCT && elements > 0) {
        *count = (uint32_t)elements;
        fputs(field->array ? "[{" : "{", file);
        return target;
    } else if (field->array) {
        print_plain_array(field, target, elements, file);
    } else {
        print_plain(field, target, file);
    }
    return NULL;
}

void
mr_wire_print(const struct mr_wire_message *message, int16_t version, const void *value, FILE *file)
{
    struct frame frames[MR_WIRE_DEPTH_MAX];
    struct frame *top = frames;

    *top = (struct frame){.type = message->root, .at = value};
    fputc('{', file);
    for (;;) {
        if (top->field < (uint32_t)top->type->field_count + top->type->tag_count) {
            const struct mr_wire_field *field = &top->type->fields[top->field++];
            const uint8_t *first;
            uint32_t count;

            if (!field_present(field, version)) {
                continue;
            }
            fprintf(file, "%s\"%s\":", top->comma ? "," : "", field->name);
            top->comma = true;
            first = print_field(field, top->at, &count, file);
            if (first) {
                MR_ASSERT(top < &frames[MR_WIRE_DEPTH_MAX - 1]);
                *++top = (struct frame){field->type, first, count - 1, 0, field->array, false};
            }
        } else if (top->elements_left > 0) {
            fputs("},{", file);
            top->elements_left--;
            top->at += top->type->size;
            top->field = 0;
            top->comma = false;
        } else {
            fputs(top->array ? "}]" : "}", file);
            if (top == frames) {
                return;
            }
            top--;
        }
    }
}
