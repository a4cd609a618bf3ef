/* base/uring.h: one io_uring and the operations in flight on it.
 *
 * A shard has one; the kernel transport, the file device and the wake-ups share it. Whoever
 * submits embeds a struct mr_uring_op, whose address travels as user_data, so that a completion
 * finds its owner without a table.
 *
 * Thread: the one that called mr_uring_init(), for its whole life (IORING_SETUP_SINGLE_ISSUER);
 * only mr_uring_wake_peer() names another thread's ring. Callbacks run inside mr_uring_reap(), so
 * never inside the call that prepared the operation.
 *
 * Source: io_uring(7), io_uring_enter(2); liburing 2.3. */
#ifndef MR_BASE_URING_H
#define MR_BASE_URING_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

struct mr_uring_op {
    /* @result and @flags are the completion's res and flags. A multishot operation's callback
     * runs as long as flags has IORING_CQE_F_MORE. */
    void (*done)(struct mr_uring_op *op, int32_t result, uint32_t flags);
};

#define MR_URING_SLOTS        64u          /* of registered files, and of registered buffers */
#define MR_URING_BUFFER_BYTES (1ull << 30) /* of a registered buffer at most */

struct mr_uring {
    struct io_uring ring;
    unsigned in_flight; /* prepared operations that will still complete (multishot counts once) */
    uint64_t reaped;    /* completions taken so far, wake-ups included */
    uint64_t files;     /* slots of registered files that are taken, a bit each */
    uint64_t buffers;   /* likewise of buffers */
    bool has_files;     /* the tables of slots are made */
    bool has_buffers;
};

/* @entries is the submission queue's size; the completion queue is eight times that. Falls back to
 * a plain ring where the kernel lacks SINGLE_ISSUER or DEFER_TASKRUN (before 6.1). -errno. */
int mr_uring_init(struct mr_uring *uring, unsigned entries);

/* For a thread that sleeps elsewhere (the control thread's libuv loop): a plain ring that signals
 * `event_fd` (eventfd(2)) whenever a completion arrives. -errno. */
int mr_uring_init_eventfd(struct mr_uring *uring, unsigned entries, int event_fd);

/* A ring for a drive alone. `polled`: completions are looked for in the drive's queue
 * (IORING_SETUP_IOPOLL), so they appear in mr_uring_submit() and mr_uring_wait() only. `commands`:
 * entries have room for an NVMe command. -errno; -EINVAL where the kernel is too old. */
int mr_uring_init_drive(struct mr_uring *uring, unsigned entries, bool polled, bool commands);

/* What the kernel cannot do at once for this thread, such as the flush of a file, workers of its
 * own do: on any CPU, or on these from now on. With none, or before Linux 5.14, which the log says,
 * nothing changes. */
void mr_uring_place_workers(struct mr_uring *uring, const int *cpus, unsigned count);

/* Saves the kernel a look-up for each operation on the file, which stays open until it is let go.
 * The file's index for IOSQE_FIXED_FILE; -EMFILE, or -errno: the kernel is too old. */
int mr_uring_register_file(struct mr_uring *uring, int fd);
void mr_uring_unregister_file(struct mr_uring *uring, int index);

/* Pins memory of at most MR_URING_BUFFER_BYTES, and saves the kernel that for each operation. The
 * buffer's index for fixed reads and writes until it is let go; -EMFILE; -ENOMEM: the limit of
 * locked memory (RLIMIT_MEMLOCK); or another -errno. */
int mr_uring_register_buffer(struct mr_uring *uring, void *base, size_t size);
void mr_uring_unregister_buffer(struct mr_uring *uring, int index);

/* Closes the ring; operations in flight are cancelled by the kernel and never call back. */
void mr_uring_close(struct mr_uring *uring);

/* A cleared submission entry bound to `op`; submits what is queued when the ring is full, so it
 * never fails. `op` must stay valid until its last callback. */
struct io_uring_sqe *mr_uring_prepare(struct mr_uring *uring, struct mr_uring_op *op);

/* A cleared submission entry whose completion nobody waits for. */
struct io_uring_sqe *mr_uring_prepare_quiet(struct mr_uring *uring);

/* Submits all that is prepared and lets the kernel post what has completed, in one system call;
 * none where nothing is prepared and nothing in flight. */
void mr_uring_submit(struct mr_uring *uring);

/* Submits all that is prepared, and no more: no completion is taken. */
void mr_uring_push(struct mr_uring *uring);

/* Runs the callbacks of at most `count_max` completions; returns how many. */
unsigned mr_uring_reap(struct mr_uring *uring, unsigned count_max);

/* Submits, then sleeps until a completion arrives or `timeout_ns` has passed. */
void mr_uring_wait(struct mr_uring *uring, uint64_t timeout_ns);

/* Prepares a message (IORING_OP_MSG_RING) that ends the peer's mr_uring_wait(). The peer's ring
 * must outlive this one. */
void mr_uring_wake_peer(struct mr_uring *uring, struct mr_uring *peer);

#endif
