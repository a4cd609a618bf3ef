/* control/config_keys.h: the table of configuration keys, for config.c alone. */
#ifndef MR_CONTROL_CONFIG_KEYS_H
#define MR_CONTROL_CONFIG_KEYS_H

#include "control/config.h"

extern const struct mr_config_key mr_config_keys[];
extern const unsigned mr_config_key_count;

#endif
