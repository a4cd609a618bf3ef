#include "bench/load/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "dataplane/base/clock.h"

#define EVENTS_MAX   256
#define SLEEP_MAX_NS (10 * MR_NS_PER_MS) /* so that the end of the run is noticed */

static int
watch(struct load_worker *worker, struct load_conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = conn};

    if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) != 0) {
        fprintf(stderr, "mr_load: epoll_ctl: %s\n", strerror(errno));
        return -errno;
    }
    return 0;
}

int
load_worker_open(struct load_worker *worker, const struct load_run *run, int32_t index)
{
    int32_t connections = run->options->connections;
    int32_t threads = run->options->threads;

    *worker = (struct load_worker){.run = run};
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    worker->conns = calloc((size_t)connections, sizeof(*worker->conns));
    if (worker->epoll_fd < 0 || !worker->conns) {
        fputs("mr_load: out of memory or file descriptors\n", stderr);
        return -ENOMEM;
    }
    for (int32_t i = index; i < connections; i += threads) {
        struct load_conn *conn = &worker->conns[worker->conn_count++];
        int rc = load_conn_open(conn, run, i, &worker->stats);

        if (rc == 0 && !run->turn) {
            rc = watch(worker, conn);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* Starts what is due and returns when the next thing will be. */
static uint64_t
pump_all(struct load_worker *worker, uint64_t now_ns)
{
    uint64_t due = now_ns + SLEEP_MAX_NS;

    for (int32_t i = 0; i < worker->conn_count; i++) {
        struct load_conn *conn = &worker->conns[i];
        uint64_t own;

        load_conn_pump(conn, now_ns);
        own = load_conn_due(conn);
        due = own < due ? own : due;
    }
    return due;
}

static bool
all_idle(const struct load_worker *worker, uint64_t now_ns)
{
    for (int32_t i = 0; i < worker->conn_count; i++) {
        if (!load_conn_idle(&worker->conns[i], now_ns)) {
            return false;
        }
    }
    return true;
}

/* Over our own TCP: one turn of it; every connection may have news. */
static void
turn(struct load_worker *worker, uint64_t due_ns)
{
    worker->run->turn(worker->run->options->spin ? 0 : due_ns);
    for (int32_t i = 0; i < worker->conn_count; i++) {
        if (!worker->conns[i].dead) {
            load_conn_event(&worker->conns[i]);
        }
    }
}

static int
wait_until(struct load_worker *worker, uint64_t due_ns, struct epoll_event *events)
{
    uint64_t now_ns = mr_clock_now_ns(&mr_clock_system);
    struct timespec timeout = {0};

    if (due_ns > now_ns && !worker->run->options->spin) {
        timeout.tv_sec = (time_t)((due_ns - now_ns) / MR_NS_PER_S);
        timeout.tv_nsec = (long)((due_ns - now_ns) % MR_NS_PER_S);
    }
    return epoll_pwait2(worker->epoll_fd, events, EVENTS_MAX, &timeout, NULL);
}

void
load_worker_run(struct load_worker *worker)
{
    struct epoll_event events[EVENTS_MAX];

    /* The default slack of 50 us would be the whole schedule lag. */
    prctl(PR_SET_TIMERSLACK, 1);
    for (;;) {
        uint64_t now_ns = mr_clock_now_ns(&mr_clock_system);
        uint64_t due_ns = pump_all(worker, now_ns);
        int count;

        if (all_idle(worker, now_ns) || now_ns >= worker->run->drain_ns) {
            break;
        }
        if (worker->run->turn) {
            turn(worker, due_ns);
            continue;
        }
        count = wait_until(worker, due_ns, events);
        for (int i = 0; i < count; i++) {
            load_conn_event(events[i].data.ptr);
        }
    }
    for (int32_t i = 0; i < worker->conn_count; i++) {
        load_conn_account(&worker->conns[i]);
    }
}

void
load_worker_close(struct load_worker *worker)
{
    for (int32_t i = 0; i < worker->conn_count; i++) {
        load_conn_close(&worker->conns[i]);
    }
    free(worker->conns);
    if (worker->epoll_fd >= 0) {
        close(worker->epoll_fd);
    }
}
