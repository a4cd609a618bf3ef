/* base/uring.c: set-up, submission and reaping of one io_uring. */
#include "dataplane/base/uring.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

/* user_data of completions that no operation waits for. */
#define USER_DATA_WAKE   UINT64_C(1) /* arrives from a peer */
#define USER_DATA_IGNORE UINT64_C(2) /* our own message left */

static int
setup(struct mr_uring *uring, unsigned entries, unsigned flags)
{
    struct io_uring_params params = {0};

    memset(uring, 0, sizeof(*uring));
    params.flags = IORING_SETUP_CQSIZE | flags;
    params.cq_entries = entries * 8;
    return io_uring_queue_init_params(entries, &uring->ring, &params);
}

int
mr_uring_init(struct mr_uring *uring, unsigned entries)
{
    int error = setup(uring, entries, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);

    if (error == -EINVAL) {
        error = setup(uring, entries, 0);
    }
    if (error) {
        return error;
    }
    io_uring_register_ring_fd(&uring->ring); /* saves a descriptor lookup; works without it */
    return 0;
}

int
mr_uring_init_drive(struct mr_uring *uring, unsigned entries, bool polled, bool commands)
{
    return setup(uring, entries,
                 IORING_SETUP_SINGLE_ISSUER | (polled ? IORING_SETUP_IOPOLL : 0u) |
                     (commands ? IORING_SETUP_SQE128 | IORING_SETUP_CQE32 : 0u));
}

void
mr_uring_place_workers(struct mr_uring *uring, const int *cpus, unsigned count)
{
    cpu_set_t set;
    int error;

    if (count == 0) {
        return;
    }
    CPU_ZERO(&set);
    for (unsigned i = 0; i < count; i++) {
        CPU_SET(cpus[i], &set);
    }
    error = io_uring_register_iowq_aff(&uring->ring, sizeof(set), &set);
    if (error) {
        MR_LOG_WARN("base", "the kernel's workers share the CPUs of shards: %s", strerror(-error));
    }
}

/* A free slot of a table, or -EMFILE. */
static int
free_slot(uint64_t taken)
{
    return taken == UINT64_MAX ? -EMFILE : __builtin_ctzll(~taken);
}

int
mr_uring_register_file(struct mr_uring *uring, int fd)
{
    int slot = free_slot(uring->files);
    int result = slot < 0 ? slot : 0;

    if (result == 0 && !uring->has_files) {
        result = io_uring_register_files_sparse(&uring->ring, MR_URING_SLOTS);
        uring->has_files = result == 0;
    }
    if (result == 0) {
        result = io_uring_register_files_update(&uring->ring, (unsigned)slot, &fd, 1);
    }
    if (result < 0) {
        return result;
    }
    uring->files |= 1ull << slot;
    return slot;
}

void
mr_uring_unregister_file(struct mr_uring *uring, int index)
{
    int none = -1;

    io_uring_register_files_update(&uring->ring, (unsigned)index, &none, 1);
    uring->files &= ~(1ull << index);
}

static int
update_buffer(struct mr_uring *uring, int slot, void *base, size_t size)
{
    const struct iovec buffer = {base, size};
    const __u64 tag = 0;

    return io_uring_register_buffers_update_tag(&uring->ring, (unsigned)slot, &buffer, &tag, 1);
}

int
mr_uring_register_buffer(struct mr_uring *uring, void *base, size_t size)
{
    int slot = free_slot(uring->buffers);
    int result = slot < 0 ? slot : 0;

    MR_ASSERT(size <= MR_URING_BUFFER_BYTES);
    if (result == 0 && !uring->has_buffers) {
        result = io_uring_register_buffers_sparse(&uring->ring, MR_URING_SLOTS);
        uring->has_buffers = result == 0;
    }
    result = result == 0 ? update_buffer(uring, slot, base, size) : result;
    if (result < 0) {
        return result;
    }
    uring->buffers |= 1ull << slot;
    return slot;
}

void
mr_uring_unregister_buffer(struct mr_uring *uring, int index)
{
    update_buffer(uring, index, NULL, 0);
    uring->buffers &= ~(1ull << index);
}

int
mr_uring_init_eventfd(struct mr_uring *uring, unsigned entries, int event_fd)
{
    int error = setup(uring, entries, 0);

    if (error) {
        return error;
    }
    error = io_uring_register_eventfd(&uring->ring, event_fd);
    if (error) {
        io_uring_queue_exit(&uring->ring);
    }
    return error;
}

void
mr_uring_close(struct mr_uring *uring)
{
    io_uring_queue_exit(&uring->ring);
}

static struct io_uring_sqe *
next_sqe(struct mr_uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

    while (!sqe) {
        mr_uring_submit(uring);
        sqe = io_uring_get_sqe(&uring->ring);
    }
    memset(sqe, 0, sizeof(*sqe));
    return sqe;
}

struct io_uring_sqe *
mr_uring_prepare(struct mr_uring *uring, struct mr_uring_op *op)
{
    struct io_uring_sqe *sqe = next_sqe(uring);

    MR_ASSERT((uintptr_t)op > USER_DATA_IGNORE);
    io_uring_sqe_set_data(sqe, op);
    uring->in_flight++;
    return sqe;
}

struct io_uring_sqe *
mr_uring_prepare_quiet(struct mr_uring *uring)
{
    struct io_uring_sqe *sqe = next_sqe(uring);

    sqe->user_data = USER_DATA_IGNORE;
    return sqe;
}

void
mr_uring_submit(struct mr_uring *uring)
{
    if (io_uring_sq_ready(&uring->ring) == 0 && uring->in_flight == 0) {
        return;
    }
    /* On EBUSY, EAGAIN and EINTR the entries stay queued for the next call. With DEFER_TASKRUN
     * completions appear only when the kernel is entered for them: this call does both. */
    io_uring_submit_and_get_events(&uring->ring);
}

void
mr_uring_push(struct mr_uring *uring)
{
    if (io_uring_sq_ready(&uring->ring) > 0) {
        io_uring_submit(&uring->ring); /* what is left over stays queued for the next call */
    }
}

unsigned
mr_uring_reap(struct mr_uring *uring, unsigned count_max)
{
    unsigned count = 0;

    while (count < count_max) {
        struct io_uring_cqe *cqe;
        struct mr_uring_op *op;
        uint64_t user_data;
        int32_t result;
        uint32_t flags;

        if (io_uring_peek_cqe(&uring->ring, &cqe) != 0) {
            break;
        }
        user_data = cqe->user_data;
        result = cqe->res;
        flags = cqe->flags;
        io_uring_cqe_seen(&uring->ring, cqe);
        count++;
        if (user_data == USER_DATA_WAKE || user_data == USER_DATA_IGNORE) {
            continue; /* being awake is all there is to a wake-up */
        }
        op = (struct mr_uring_op *)(uintptr_t)user_data;
        if (!(flags & IORING_CQE_F_MORE)) {
            uring->in_flight--;
        }
        op->done(op, result, flags);
    }
    uring->reaped += count;
    return count;
}

void
mr_uring_wait(struct mr_uring *uring, uint64_t timeout_ns)
{
    struct __kernel_timespec ts = {
        .tv_sec = (long long)(timeout_ns / MR_NS_PER_S),
        .tv_nsec = (long long)(timeout_ns % MR_NS_PER_S),
    };
    struct io_uring_cqe *cqe;

    /* The result does not matter: a timeout, a signal and a completion all end the sleep. */
    io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1, &ts, NULL);
}

void
mr_uring_wake_peer(struct mr_uring *uring, struct mr_uring *peer)
{
    struct io_uring_sqe *sqe = mr_uring_prepare_quiet(uring);

    io_uring_prep_msg_ring(sqe, peer->ring.ring_fd, 0, USER_DATA_WAKE, 0);
}
