/* control/profile.h: hardware profiles: one file for a kind of machine (hw-profiles/README.md).
 *
 * A profile's lines stand for configuration keys. What a profile says must make sense in itself
 * (mr_profile_check(), on any machine) and on the machine that it is used on
 * (machine_check.h). Thread: main, before the threads start. */
#ifndef MR_CONTROL_PROFILE_H
#define MR_CONTROL_PROFILE_H

#include "control/config.h"

#define MR_PROFILE_CPUS_MAX 256u

/* Reads a profile into the configuration; each key's origin is FILE:LINE. 0, or -EINVAL with one
 * sentence in `error`. */
int mr_profile_load(struct mr_config *config, const char *path, char *error, size_t error_size);

/* Whether the settings that describe hardware fit together. 0, or -EINVAL with one sentence that
 * says where the fault is and how to mend it. */
int mr_profile_check(const struct mr_config *config, char *error, size_t error_size);

/* "0,2-4" into numbers in that order; the count, or -EINVAL: not of that form, a number twice, or
 * more than `count_max`. */
int mr_profile_cpus(const char *list, int *cpus, unsigned count_max);

/* Names every line that a profile may have, in their order: its section, name and key. False behind
 * the last. */
bool mr_profile_row(unsigned index, const char **section, const char **name, const char **key);

#endif
