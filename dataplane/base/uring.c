/* base/uring.c: set-up, submission and reaping of one io_uring. */
#include "dataplane/base/uring.h"

#include <errno.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"

/* user_data of completions that no operation waits for. */
#define USER_DATA_WAKE   UINT64_C(1) /* arrives from a peer */
#define USER_DATA_IGNORE UINT64_C(2) /* our own message left */

int
mr_uring_init(struct mr_uring *uring, unsigned entries)
{
    struct io_uring_params params = {0};
    int error;

    memset(uring, 0, sizeof(*uring));
    params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    params.cq_entries = entries * 8;
    error = io_uring_queue_init_params(entries, &uring->ring, &params);
    if (error == -EINVAL) {
        memset(&params, 0, sizeof(params));
        params.flags = IORING_SETUP_CQSIZE;
        params.cq_entries = entries * 8;
        error = io_uring_queue_init_params(entries, &uring->ring, &params);
    }
    if (error) {
        return error;
    }
    io_uring_register_ring_fd(&uring->ring); /* saves a descriptor lookup; works without it */
    return 0;
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

    if (!sqe) {
        mr_uring_submit(uring);
        sqe = io_uring_get_sqe(&uring->ring);
        MR_ASSERT(sqe);
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

void
mr_uring_submit(struct mr_uring *uring)
{
    while (io_uring_sq_ready(&uring->ring) > 0) {
        int got = io_uring_submit(&uring->ring);

        /* EBUSY and EAGAIN: the kernel wants completions taken first; the caller's next reap does
         * that, and the entries stay queued. */
        if (got < 0 && got != -EINTR) {
            return;
        }
    }
}

unsigned
mr_uring_reap(struct mr_uring *uring, unsigned count_max)
{
    unsigned count = 0;

    uring->wake_seen = false;
    /* With DEFER_TASKRUN completions appear only when the kernel is entered for them. */
    if (io_uring_cq_ready(&uring->ring) == 0) {
        io_uring_get_events(&uring->ring);
    }
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
        if (user_data == USER_DATA_WAKE) {
            uring->wake_seen = true;
            continue;
        }
        if (user_data == USER_DATA_IGNORE) {
            continue;
        }
        op = (struct mr_uring_op *)(uintptr_t)user_data;
        if (!(flags & IORING_CQE_F_MORE)) {
            uring->in_flight--;
        }
        op->done(op, result, flags);
    }
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
    struct io_uring_sqe *sqe = next_sqe(uring);

    io_uring_prep_msg_ring(sqe, peer->ring.ring_fd, 0, USER_DATA_WAKE, 0);
    sqe->user_data = USER_DATA_IGNORE;
}
