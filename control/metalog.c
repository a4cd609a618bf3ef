/* control/metalog.c: the contract's calls, passed to the engine. */
#include "control/metalog.h"

#include <errno.h>

#include "dataplane/base/assert.h"

int
mr_metalog_append(struct mr_metalog *log, const uint8_t *command, size_t size, uint64_t token)
{
    MR_ASSERT(token != 0);
    if (size > MR_METALOG_COMMAND_MAX) {
        return -EMSGSIZE;
    }
    return log->ops->append(log, command, size, token);
}

int
mr_metalog_snapshot_begin(struct mr_metalog *log, uint64_t index)
{
    return log->ops->snapshot_begin(log, index);
}

int
mr_metalog_snapshot_end(struct mr_metalog *log, uint8_t *state, size_t size)
{
    return log->ops->snapshot_end(log, state, size);
}

void
mr_metalog_fill(const struct mr_metalog *log, uint64_t *used, uint64_t *size)
{
    log->ops->fill(log, used, size);
}

void
mr_metalog_close(struct mr_metalog *log)
{
    if (log) {
        log->ops->close(log);
    }
}
