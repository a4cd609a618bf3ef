/* control/config.h: the broker's configuration: Kafka's property names wherever there is one.
 *
 * Precedence: built-in < profile < --config < --set < flags (which are aliases of keys). A key that
 * Kafka knows and Millrace does not act on is kept, echoed and named in one warning; a key that
 * nobody knows stops start-up with where it stands and the nearest known key.
 *
 * Thread: main, before the threads start; read-only afterwards. */
#ifndef MR_CONTROL_CONFIG_H
#define MR_CONTROL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mr_config_type {
    MR_CONFIG_BOOLEAN,
    MR_CONFIG_STRING,
    MR_CONFIG_INT,
    MR_CONFIG_SHORT,
    MR_CONFIG_LONG,
    MR_CONFIG_DOUBLE,
    MR_CONFIG_LIST,
    MR_CONFIG_CLASS,
    MR_CONFIG_PASSWORD,
};

struct mr_config_key {
    const char *name;
    enum mr_config_type type;
    const char *initial; /* the built-in value; NULL: none */
    bool acted;          /* Millrace acts on it */
    bool ours;           /* Kafka does not know it */
    const char *documentation;
};

struct mr_config;

/* NULL without memory. */
struct mr_config *mr_config_create(void);
void mr_config_destroy(struct mr_config *config);

/* Sets a key. `origin` ("server.properties:12", "--set") goes into messages and is copied. 0, or
 * -EINVAL with one sentence in `error` that says what is wrong and how to mend it. */
int mr_config_set(struct mr_config *config, const char *name, const char *value, const char *origin,
                  char *error, size_t error_size);

/* "key=value", as --set takes it. */
int mr_config_set_pair(struct mr_config *config, const char *pair, const char *origin, char *error,
                       size_t error_size);

/* Reads a server.properties (java.util.Properties: '#' and '!' comments, '=' or ':', a '\' at the
 * end of a line continues it). */
int mr_config_load(struct mr_config *config, const char *path, char *error, size_t error_size);

/* The value, or NULL where there is none. The key must exist. */
const char *mr_config_get(const struct mr_config *config, const char *name);
bool mr_config_bool(const struct mr_config *config, const char *name);
int64_t mr_config_long(const struct mr_config *config, const char *name);

/* Where the value comes from; NULL: built in. */
const char *mr_config_origin(const struct mr_config *config, const char *name);

/* Refuses a value that was taken: says where it comes from, the key, the value and the rest, which
 * tells what is wrong and how to mend it. Returns -EINVAL. */
__attribute__((format(printf, 5, 6))) int mr_config_refuse(const struct mr_config *config,
                                                           const char *name, char *error,
                                                           size_t error_size, const char *format,
                                                           ...);

/* One warning line for all keys that were set and are not acted on. */
void mr_config_warn(const struct mr_config *config);

/* Iterates over the keys in the order of their names; NULL ends. */
const struct mr_config_key *mr_config_key_at(unsigned index);

/* The key, or NULL. */
const struct mr_config_key *mr_config_key_find(const char *name);

/* Kafka's update modes: when a change of a broker's key acts. */
enum mr_config_mode {
    MR_CONFIG_MODE_RESTART,  /* read-only for a running broker */
    MR_CONFIG_MODE_CLUSTER,  /* for one broker or for all */
    MR_CONFIG_MODE_BROKER,   /* for one broker only */
    MR_CONFIG_MODE_LISTENER, /* for one listener of one broker */
};

enum mr_config_mode mr_config_mode(const char *name);

/* Whether a text is a value of the type. Sizes such as "256m" are not: Kafka takes plain numbers.
 */
bool mr_config_value_valid(enum mr_config_type type, const char *value);

/* Copies item `index` of a list to `out`; false: it has no such item, or no room. */
bool mr_config_item(const char *list, char separator, unsigned index, char *out, size_t size);

#endif
