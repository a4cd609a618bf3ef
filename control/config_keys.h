/* control/config_keys.h: the tables of configuration keys and their bounds, for config*.c alone. */
#ifndef MR_CONTROL_CONFIG_KEYS_H
#define MR_CONTROL_CONFIG_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "control/config.h"

extern const struct mr_config_key mr_config_keys[];
extern const unsigned mr_config_key_count;

/* Levenshtein's distance of two names, of which the second is looked at up to 128 bytes. */
unsigned mr_config_distance(const char *a, const char *b);

/* The smallest and the largest value of a key; false: its type alone bounds it. */
bool mr_config_bounds(const char *name, int64_t *min, int64_t *max);

#endif
