/* control/quota.c: entities as texts, and what quotas may be of. */
#include "control/quota.h"

#include <stdio.h>
#include <string.h>

static const char *const types[MR_QUOTA_ENTITY_TYPES] = {"client-id", "ip", "user"};

const char *
mr_quota_entity_name(enum mr_quota_entity type)
{
    return types[type];
}

enum mr_quota_entity
mr_quota_entity_find(const char *name, size_t size)
{
    unsigned type = 0;

    while (type < MR_QUOTA_ENTITY_TYPES &&
           (strlen(types[type]) != size || memcmp(types[type], name, size) != 0)) {
        type++;
    }
    return (enum mr_quota_entity)type;
}

/* ---- parts ----------------------------------------------------------------------------------- */

size_t
mr_quota_part_max(size_t size)
{
    return sizeof(",client-id=" MR_QUOTA_ENTITY_DEFAULT) + 3 * size;
}

static bool
plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

void
mr_quota_part_put(char *text, enum mr_quota_entity type, const char *name, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    char *at = text + strlen(text);

    at += snprintf(at, mr_quota_part_max(0), "%s%s=%s", at > text ? "," : "", types[type],
                   name ? "" : MR_QUOTA_ENTITY_DEFAULT);
    for (size_t i = 0; name && i < size; i++) {
        if (plain(name[i])) {
            *at++ = name[i];
        } else {
            *at++ = '%';
            *at++ = digits[(unsigned char)name[i] >> 4];
            *at++ = digits[(unsigned char)name[i] & 15];
        }
    }
    *at = 0;
}

const char *
mr_quota_part_find(const char *text, enum mr_quota_entity type, size_t *size)
{
    size_t type_size = strlen(types[type]);

    while (*text) {
        size_t length = strcspn(text, ",");

        if (length > type_size && memcmp(text, types[type], type_size) == 0 &&
            text[type_size] == '=') {
            *size = length - type_size - 1;
            return text + type_size + 1;
        }
        text += length;
        text += *text == ',';
    }
    return NULL;
}

bool
mr_quota_part_is_default(const char *part, size_t size)
{
    return size == strlen(MR_QUOTA_ENTITY_DEFAULT) &&
           memcmp(part, MR_QUOTA_ENTITY_DEFAULT, size) == 0;
}

static unsigned
digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10);
}

size_t
mr_quota_part_name(const char *part, size_t size, char *out)
{
    size_t count = 0;

    for (size_t i = 0; i < size; i++) {
        if (part[i] == '%' && size - i > 2) {
            out[count++] = (char)(digit(part[i + 1]) << 4 | digit(part[i + 2]));
            i += 2;
        } else {
            out[count++] = part[i];
        }
    }
    return count;
}

/* ---- what quotas are of ---------------------------------------------------------------------- */

static const struct mr_quota_key_info keys[] = {
    {"producer_byte_rate", false, true, MR_QUOTA_PRODUCE},
    {"consumer_byte_rate", false, true, MR_QUOTA_FETCH},
    {"request_percentage", false, false, MR_QUOTA_REQUEST},
    {"controller_mutation_rate", false, false, -1},
    {"connection_creation_rate", true, true, -1},
};

const struct mr_quota_key_info *
mr_quota_key_find(const char *name)
{
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcmp(keys[i].name, name) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}
