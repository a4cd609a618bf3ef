/* control/metalog.h: one ordered log of metadata commands, and who may append to it.
 *
 * The metadata state machine above (metadata.h) is fed by this log alone. Which engine keeps the
 * log is exchangeable (Balakrishnan et al., "Virtual Consensus in Delos", OSDI 2020):
 * metalog_local.c is a durable file on one machine; several brokers will put a consensus service
 * behind the same contract. Nothing above may assume that an append commits at once or that this
 * process leads.
 *
 * Thread: the control thread. Callbacks run from its loop, never inside the call that led to them.
 * Limits: a command is at most MR_METALOG_COMMAND_MAX bytes; at most MR_METALOG_PENDING_MAX
 * appends are pending. */
#ifndef MR_CONTROL_METALOG_H
#define MR_CONTROL_METALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_METALOG_COMMAND_MAX (1024u * 1024)
#define MR_METALOG_PENDING_MAX 4096u
#define MR_METALOG_ALIGN       4096u

struct mr_metalog;

struct mr_metalog_events {
    void *context;
    /* A command is committed: durable, and at this place in the order for good. Called in order of
     * `index`, once each, also for the commands of an earlier life after open. `token` is what the
     * append was given when this process appended it, else 0. The bytes are valid during the call.
     */
    void (*committed)(void *context, uint64_t index, const uint8_t *command, size_t size,
                      uint64_t token);
    /* A snapshot stands for all commands up to `index`: the state starts from it. Called before the
     * commands behind it, at open and whenever the engine had to skip ahead. */
    void (*restore)(void *context, uint64_t index, const uint8_t *snapshot, size_t size);
    /* This process may append (again), or may not. Appends that were pending when leadership went
     * may or may not commit; `dropped` tells of those that certainly never will. */
    void (*leading)(void *context, bool leads);
    void (*dropped)(void *context, uint64_t token);
    /* The engine has failed for good (its disk); nothing will be committed any more. */
    void (*failed)(void *context, int error);
};

struct mr_metalog_ops {
    int (*append)(struct mr_metalog *log, const uint8_t *command, size_t size, uint64_t token);
    int (*snapshot_begin)(struct mr_metalog *log, uint64_t index);
    int (*snapshot_end)(struct mr_metalog *log, uint8_t *state, size_t size);
    void (*fill)(const struct mr_metalog *log, uint64_t *used, uint64_t *size);
    void (*close)(struct mr_metalog *log);
};

struct mr_metalog {
    const struct mr_metalog_ops *ops;
    struct mr_metalog_events events;
};

/* Proposes a command; copied. `token` is not 0. 0: `committed` or `dropped` runs later, unless
 * leadership is lost in between (then perhaps neither). -EAGAIN: too many are pending, or the log
 * is full until the next snapshot. -EPERM: this process does not lead. -EIO: the engine has failed.
 * -EMSGSIZE. */
int mr_metalog_append(struct mr_metalog *log, const uint8_t *command, size_t size, uint64_t token);

/* The state after command `index`, the last one committed, is about to be saved, which may take a
 * while: commands go on. Not from a callback. 0; -EBUSY: another snapshot is in progress; -EIO. */
int mr_metalog_snapshot_begin(struct mr_metalog *log, uint64_t index);

/* The state is saved: the engine may forget the commands up to `index`, in its own time. `state`
 * is the engine's now and freed by it: from aligned_alloc(MR_METALOG_ALIGN), its memory a multiple
 * of that. NULL: the snapshot is given up. 0; -EMSGSIZE: larger than the engine's space; -EIO. */
int mr_metalog_snapshot_end(struct mr_metalog *log, uint8_t *state, size_t size);

/* Bytes of log space that are used, of how many: time for a snapshot at a half. */
void mr_metalog_fill(const struct mr_metalog *log, uint64_t *used, uint64_t *size);

/* Pending appends are not waited for. NULL is fine. */
void mr_metalog_close(struct mr_metalog *log);

#endif
