/* control/machine_check.h: whether a configuration contradicts the machine it is to run on.
 *
 * Main thread, before anything is started. */
#ifndef MR_CONTROL_MACHINE_CHECK_H
#define MR_CONTROL_MACHINE_CHECK_H

#include "control/config.h"
#include "control/machine.h"

/* CPUs, the network device and the drives that the configuration names are there. 0, or -EINVAL
 * with one sentence: where the setting comes from, what is wrong, how to mend it. */
int mr_machine_check(const struct mr_config *config, const struct mr_machine *machine, char *error,
                     size_t error_size);

/* What the broker will take of memory is there: `pinned_bytes` for the EAL, which lie in huge pages
 * where the configuration asks for some. As above. */
int mr_machine_check_memory(const struct mr_config *config, const struct mr_machine *machine,
                            uint64_t pinned_bytes, char *error, size_t error_size);

/* The part of it that needs no machine: huge pages that the configuration asks for hold what is
 * pinned. */
int mr_machine_check_pages(const struct mr_config *config, uint64_t pinned_bytes, char *error,
                           size_t error_size);

#endif
