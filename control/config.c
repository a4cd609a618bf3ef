/* control/config.c: values by key, and the readers of properties and profiles. */
#include "control/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config_keys.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/log.h"

#define LINE_SIZE_MAX 8192
#define NAME_SIZE_MAX 128

struct entry {
    char *value; /* NULL: the built-in one */
    char *origin;
};

struct mr_config {
    struct entry *entries; /* one for each key */
};

struct mr_config *
mr_config_create(void)
{
    struct mr_config *config = calloc(1, sizeof(*config));

    if (config) {
        config->entries = calloc(mr_config_key_count, sizeof(*config->entries));
    }
    if (!config || !config->entries) {
        free(config);
        return NULL;
    }
    return config;
}

void
mr_config_destroy(struct mr_config *config)
{
    for (unsigned i = 0; config && i < mr_config_key_count; i++) {
        free(config->entries[i].value);
        free(config->entries[i].origin);
    }
    if (config) {
        free(config->entries);
    }
    free(config);
}

const struct mr_config_key *
mr_config_key_at(unsigned index)
{
    return index < mr_config_key_count ? &mr_config_keys[index] : NULL;
}

static int
compare_key(const void *name, const void *key)
{
    return strcmp(name, ((const struct mr_config_key *)key)->name);
}

/* The key's index, or -1. */
static int
find(const char *name)
{
    const struct mr_config_key *key =
        bsearch(name, mr_config_keys, mr_config_key_count, sizeof(mr_config_keys[0]), compare_key);

    return key ? (int)(key - mr_config_keys) : -1;
}

const struct mr_config_key *
mr_config_key_find(const char *name)
{
    int index = find(name);

    return index < 0 ? NULL : &mr_config_keys[index];
}

/* ---- values ---------------------------------------------------------------------------------- */

bool
mr_config_value_valid(enum mr_config_type type, const char *value)
{
    char *end;
    long long number;

    switch (type) {
    case MR_CONFIG_BOOLEAN:
        return strcasecmp(value, "true") == 0 || strcasecmp(value, "false") == 0;
    case MR_CONFIG_INT:
    case MR_CONFIG_SHORT:
    case MR_CONFIG_LONG:
        errno = 0;
        number = strtoll(value, &end, 10);
        if (end == value || *end || errno) {
            return false;
        }
        return type == MR_CONFIG_LONG ||
               (type == MR_CONFIG_INT ? number >= INT32_MIN && number <= INT32_MAX
                                      : number >= INT16_MIN && number <= INT16_MAX);
    case MR_CONFIG_DOUBLE:
        strtod(value, &end);
        return end != value && !*end;
    case MR_CONFIG_STRING:
    case MR_CONFIG_LIST:
    case MR_CONFIG_CLASS:
    case MR_CONFIG_PASSWORD:
        return true;
    }
    return false;
}

static const char *
type_name(enum mr_config_type type)
{
    static const char *const names[] = {"true or false",  "a text",         "a whole number",
                                        "a whole number", "a whole number", "a number",
                                        "a list",         "a class",        "a password"};

    return names[type];
}

unsigned
mr_config_distance(const char *a, const char *b)
{
    unsigned row[NAME_SIZE_MAX + 1];
    size_t b_size = strnlen(b, NAME_SIZE_MAX);

    for (unsigned j = 0; j <= b_size; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; *a; i++, a++) {
        unsigned corner = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= b_size; j++) {
            unsigned above = row[j];
            unsigned best = corner + (*a != b[j - 1]);

            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            corner = above;
            row[j] = best;
        }
    }
    return row[b_size];
}

static int
unknown_key(const char *name, const char *origin, char *error, size_t error_size)
{
    const char *best = NULL;
    unsigned best_distance = UINT32_MAX;

    for (unsigned i = 0; i < mr_config_key_count; i++) {
        unsigned d = mr_config_distance(name, mr_config_keys[i].name);

        if (d < best_distance) {
            best_distance = d;
            best = mr_config_keys[i].name;
        }
    }
    snprintf(error, error_size, "%s: unknown key '%s'; did you mean '%s'?", origin, name, best);
    return -EINVAL;
}

/* Of a key's type; whether it lies within the key's bounds. */
static bool
within_bounds(const char *name, const char *value, int64_t *min, int64_t *max)
{
    int64_t number;

    if (!mr_config_bounds(name, min, max)) {
        return true;
    }
    number = strtoll(value, NULL, 10);
    return number >= *min && number <= *max;
}

int
mr_config_set(struct mr_config *config, const char *name, const char *value, const char *origin,
              char *error, size_t error_size)
{
    int index = find(name);
    struct entry *entry;
    int64_t min;
    int64_t max;

    if (index < 0) {
        return unknown_key(name, origin, error, error_size);
    }
    if (!mr_config_value_valid(mr_config_keys[index].type, value)) {
        snprintf(error, error_size, "%s: '%s' is no value for '%s', which takes %s", origin, value,
                 name, type_name(mr_config_keys[index].type));
        return -EINVAL;
    }
    if (!within_bounds(name, value, &min, &max)) {
        snprintf(error, error_size,
                 "%s: '%s' is no value for '%s', which lies between %lld and %lld", origin, value,
                 name, (long long)min, (long long)max);
        return -EINVAL;
    }
    entry = &config->entries[index];
    free(entry->value);
    free(entry->origin);
    entry->value = strdup(value);
    entry->origin = strdup(origin);
    if (!entry->value || !entry->origin) {
        snprintf(error, error_size, "no memory");
        return -ENOMEM;
    }
    return 0;
}

int
mr_config_set_pair(struct mr_config *config, const char *pair, const char *origin, char *error,
                   size_t error_size)
{
    const char *equals = strchr(pair, '=');
    char name[NAME_SIZE_MAX];

    if (!equals || equals == pair || (size_t)(equals - pair) >= sizeof(name)) {
        snprintf(error, error_size, "%s: '%s' is not of the form key=value", origin, pair);
        return -EINVAL;
    }
    memcpy(name, pair, (size_t)(equals - pair));
    name[equals - pair] = '\0';
    return mr_config_set(config, name, equals + 1, origin, error, error_size);
}

const char *
mr_config_get(const struct mr_config *config, const char *name)
{
    int index = find(name);

    MR_ASSERT(index >= 0);
    return config->entries[index].value ? config->entries[index].value
                                        : mr_config_keys[index].initial;
}

const char *
mr_config_origin(const struct mr_config *config, const char *name)
{
    int index = find(name);

    MR_ASSERT(index >= 0);
    return config->entries[index].origin;
}

bool
mr_config_bool(const struct mr_config *config, const char *name)
{
    const char *value = mr_config_get(config, name);

    return value && strcasecmp(value, "true") == 0;
}

int64_t
mr_config_long(const struct mr_config *config, const char *name)
{
    const char *value = mr_config_get(config, name);

    return value ? strtoll(value, NULL, 10) : 0;
}

int
mr_config_refuse(const struct mr_config *config, const char *name, char *error, size_t error_size,
                 const char *format, ...)
{
    const char *origin = mr_config_origin(config, name);
    const char *value = mr_config_get(config, name);
    va_list args;
    int used = snprintf(error, error_size, "%s%s%s=%s: ", origin ? origin : "", origin ? ": " : "",
                        name, value ? value : "");

    va_start(args, format);
    if (used > 0 && (size_t)used < error_size) {
        vsnprintf(error + used, error_size - (size_t)used, format, args);
    }
    va_end(args);
    return -EINVAL;
}

void
mr_config_warn(const struct mr_config *config)
{
    char line[900];
    size_t used = 0;

    for (unsigned i = 0; i < mr_config_key_count; i++) {
        if (config->entries[i].value && !mr_config_keys[i].acted) {
            int wrote = snprintf(line + used, sizeof(line) - used, "%s%s", used ? ", " : "",
                                 mr_config_keys[i].name);

            used += wrote > 0 ? (size_t)wrote : 0;
            used = used < sizeof(line) ? used : sizeof(line) - 1;
        }
    }
    if (used > 0) {
        MR_LOG_WARN("config", "set, kept, but not acted on: %s", line);
    }
}

/* ---- server.properties ----------------------------------------------------------------------- */

static char *
trim(char *text)
{
    size_t size;

    while (isspace((unsigned char)*text)) {
        text++;
    }
    size = strlen(text);
    while (size > 0 && isspace((unsigned char)text[size - 1])) {
        text[--size] = '\0';
    }
    return text;
}

/* Reads one logical line; lines that end in '\' are joined. False at the end of the file. */
static bool
read_logical_line(FILE *file, char *line, unsigned *number)
{
    size_t used = 0;

    while (fgets(line + used, (int)(LINE_SIZE_MAX - used), file)) {
        char *start = line + used;
        char *text;

        (*number)++;
        text = trim(start);
        memmove(start, text, strlen(text) + 1);
        used += strlen(start);
        if (used == 0 || line[used - 1] != '\\' || line[0] == '#' || line[0] == '!') {
            return true;
        }
        line[--used] = '\0';
    }
    return used > 0;
}

static int
load_line(struct mr_config *config, const char *path, unsigned number, char *line, char *error,
          size_t error_size)
{
    char origin[512];
    size_t name_size = strcspn(line, "=: \t");
    char *value = line + name_size;

    snprintf(origin, sizeof(origin), "%s:%u", path, number);
    value += strspn(value, " \t");
    value += *value == '=' || *value == ':';
    value = trim(value);
    line[name_size] = '\0';
    return mr_config_set(config, line, value, origin, error, error_size);
}

int
mr_config_load(struct mr_config *config, const char *path, char *error, size_t error_size)
{
    FILE *file = fopen(path, "r");
    char line[LINE_SIZE_MAX];
    unsigned number = 0;
    int result = 0;

    if (!file) {
        snprintf(error, error_size, "%s: %s", path, strerror(errno));
        return -errno;
    }
    while (!result && read_logical_line(file, line, &number)) {
        if (line[0] && line[0] != '#' && line[0] != '!') {
            result = load_line(config, path, number, line, error, error_size);
        }
    }
    fclose(file);
    return result;
}

/* ---- lists ----------------------------------------------------------------------------------- */

bool
mr_config_item(const char *list, char separator, unsigned index, char *out, size_t size)
{
    const char *end;
    size_t length;

    for (; index > 0; index--) {
        list = strchr(list, separator);
        if (!list) {
            return false;
        }
        list++;
    }
    end = strchr(list, separator);
    length = end ? (size_t)(end - list) : strlen(list);
    if (length >= size) {
        return false;
    }
    memcpy(out, list, length);
    out[length] = '\0';
    return true;
}
