#include "control/cli/message.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"

const char *
cli_format_check(const char *format)
{
    for (const char *at = format; *at; at++) {
        const char *known = *at == '%' ? "tpokvTh%" : *at == '\\' ? "ntr\\" : NULL;

        if (!known) {
            continue;
        }
        if (at[1] == '\0' || strchr(known, at[1]) == NULL) {
            return at;
        }
        at++;
    }
    return NULL;
}

static void
print_bytes(struct cli_bytes bytes, FILE *file)
{
    if (bytes.data && bytes.size > 0) {
        fwrite(bytes.data, 1, bytes.size, file);
    }
}

static void
print_headers(const struct cli_message *message, FILE *file)
{
    for (size_t i = 0; i < message->header_count; i++) {
        fprintf(file, "%s%s=", i > 0 ? "," : "", message->headers[i].name);
        print_bytes(message->headers[i].value, file);
    }
}

static void
print_field(const struct cli_message *message, char field, FILE *file)
{
    switch (field) {
    case 't':
        fputs(message->topic, file);
        break;
    case 'p':
        fprintf(file, "%" PRId32, message->partition);
        break;
    case 'o':
        fprintf(file, "%" PRId64, message->offset);
        break;
    case 'T':
        fprintf(file, "%" PRId64, message->timestamp_ms);
        break;
    case 'k':
        print_bytes(message->key, file);
        break;
    case 'v':
        print_bytes(message->value, file);
        break;
    case 'h':
        print_headers(message, file);
        break;
    default:
        fputc(field, file);
        break;
    }
}

void
cli_message_print(const struct cli_message *message, const char *format, FILE *file)
{
    for (const char *at = format; *at; at++) {
        if (*at == '%') {
            print_field(message, *++at, file);
        } else if (*at == '\\') {
            at++;
            fputc(*at == 'n' ? '\n' : *at == 't' ? '\t' : *at == 'r' ? '\r' : '\\', file);
        } else {
            fputc(*at, file);
        }
    }
}

static json_t *
base64(struct cli_bytes bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t size = (bytes.size + 2) / 3 * 4;
    char *text = malloc(size + 1);
    const uint8_t *in = bytes.data;
    json_t *json;

    MR_ASSERT(text != NULL);
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t three = (uint32_t)in[i] << 16 | (uint32_t)(left > 1 ? in[i + 1] : 0) << 8 |
                         (left > 2 ? in[i + 2] : 0);
        char *out = text + i / 3 * 4;

        out[0] = digits[three >> 18];
        out[1] = digits[three >> 12 & 63];
        out[2] = left > 1 ? digits[three >> 6 & 63] : '=';
        out[3] = left > 2 ? digits[three & 63] : '=';
    }
    json = json_stringn(text, size);
    free(text);
    return json;
}

static void
set_bytes(json_t *object, const char *name, struct cli_bytes bytes)
{
    char encoded_name[32];
    json_t *text;

    if (!bytes.data) {
        json_object_set_new(object, name, json_null());
        return;
    }
    text = json_stringn(bytes.data, bytes.size);
    if (text) {
        json_object_set_new(object, name, text);
        return;
    }
    snprintf(encoded_name, sizeof(encoded_name), "%s_base64", name);
    json_object_set_new(object, encoded_name, base64(bytes));
}

json_t *
cli_message_json(const struct cli_message *message)
{
    json_t *object = json_object();
    json_t *headers = json_array();

    json_object_set_new(object, "topic", json_string(message->topic));
    json_object_set_new(object, "partition", json_integer(message->partition));
    json_object_set_new(object, "offset", json_integer(message->offset));
    json_object_set_new(object, "timestamp", json_integer(message->timestamp_ms));
    set_bytes(object, "key", message->key);
    set_bytes(object, "value", message->value);
    for (size_t i = 0; i < message->header_count; i++) {
        json_t *header = json_object();

        json_object_set_new(header, "name", json_string(message->headers[i].name));
        set_bytes(header, "value", message->headers[i].value);
        json_array_append_new(headers, header);
    }
    json_object_set_new(object, "headers", headers);
    return object;
}
