/* dataplane/stores.h: the stores of a broker that starts for the first time.
 *
 * Main thread, before any other one starts. Stores and metadata are made together: one without the
 * other stops start-up. */
#ifndef MR_STORES_H
#define MR_STORES_H

#include "control/control.h"
#include "dataplane/plan.h"

/* Makes the stores if this run made the metadata, and otherwise only looks whether they are there.
 * A block device must be blank to become a store: nothing but zeros in its first and last MiB; or
 * it was prepared by `millrace log format`, as files may be.
 * Blocking. 0, or -errno with one sentence in `error` that says what to change. */
int mr_stores_make(struct mr_plan *plan, const struct mr_control *control, char *error,
                   size_t error_size);

#endif
