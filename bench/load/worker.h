/* bench/load/worker.h: one thread with its share of the connections and its event loop. */
#ifndef MR_BENCH_LOAD_WORKER_H
#define MR_BENCH_LOAD_WORKER_H

#include <pthread.h>

#include "bench/load/conn.h"

struct load_worker {
    const struct load_run *run;
    int epoll_fd;
    struct load_conn *conns;
    int32_t conn_count;
    struct load_stats stats;
    pthread_t thread;
};

/* Opens the connections whose index modulo the number of threads is `index`. 0 or -errno after a
 * line on stderr; load_worker_close() in both cases. */
int load_worker_open(struct load_worker *worker, const struct load_run *run, int32_t index);

/* Runs until everything is answered, the drain time is over or all connections are lost. */
void load_worker_run(struct load_worker *worker);

void load_worker_close(struct load_worker *worker);

#endif
