/* A device over another one that can stop completing: a stalled drive. Test use.
 *
 * Thread: the shard's, but for `stalled`, which any thread may set. While it is set, completions
 * are kept; stall_dev_release() lets them out afterwards. */
#ifndef MR_TESTS_STALL_DEV_H
#define MR_TESTS_STALL_DEV_H

#include <stdatomic.h>

#include "storage/dev.h"

struct stall_dev {
    struct mr_dev dev;
    struct mr_dev *inner;
    atomic_bool stalled;
    struct mr_list kept; /* struct stall_op */
};

void stall_dev_init(struct stall_dev *stall, struct mr_dev *inner);

/* Runs what was kept, unless still stalled; returns whether there was something. */
bool stall_dev_release(struct stall_dev *stall);

#endif
