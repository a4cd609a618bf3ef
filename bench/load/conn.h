/* bench/load/conn.h: one connection: starts requests when they are due, sends them, reads answers.
 *
 * Non-blocking; belongs to one worker thread, which calls load_conn_pump() when time has passed and
 * load_conn_event() when its socket has news (edge-triggered). Answers come in the order of the
 * requests, as Kafka's protocol has it. */
#ifndef MR_BENCH_LOAD_CONN_H
#define MR_BENCH_LOAD_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "bench/load/request.h"
#include "bench/load/stats.h"

#define LOAD_GROUP_MAX 16 /* requests handed to the kernel by one call */

/* What all connections of a run share; constant while it goes on. Times are of the system clock. */
struct load_run {
    const struct load_options *options;
    const struct load_plan *plan;
    const struct load_payload *payload;
    const struct mr_client_io *io;
    void (*turn)(uint64_t due_ns); /* lets `io` work, at most until then; NULL: sockets */
    double interval_ns; /* between scheduled sends, over all connections; 0: closed loop */
    uint64_t start_ns;
    uint64_t measure_ns; /* the measurement is [measure_ns, end_ns) */
    uint64_t end_ns;
    uint64_t drain_ns; /* then answers are no longer waited for */
};

struct load_part {
    int32_t index;
    int32_t sequence;
    bool at_end;
    struct load_template template;
};

struct load_conn {
    const struct load_run *run;
    struct load_stats *stats;
    int fd;        /* io's handle */
    int32_t index; /* over all workers */
    struct load_part *parts;
    struct load_fetch_position *positions; /* fetch: by index in `parts` */
    int32_t part_count;
    int32_t part_next;
    struct load_producer producer;
    bool blocked;  /* the socket takes no more */
    bool finished; /* fetch: everything is read */
    bool dead;
    uint64_t started; /* requests so far, which are also the next correlation id */
    uint64_t answered;
    uint64_t free_ns;   /* when it last became able to send */
    uint64_t *intended; /* by request number modulo --in-flight */
    struct iovec iov[LOAD_GROUP_MAX * 3];
    unsigned iov_at;
    unsigned iov_count;
    uint8_t *slots; /* LOAD_GROUP_MAX heads with their batch header */
    size_t slot_size;
    uint8_t *in;
    size_t in_size;
    size_t in_room;
    struct mr_bump bump;
    void *bump_first;
};

/* Connects connection `index` to its node and takes its partitions. 0 or -errno after a line on
 * stderr; load_conn_close() in both cases. */
int load_conn_open(struct load_conn *conn, const struct load_run *run, int32_t index,
                   struct load_stats *stats);

void load_conn_close(struct load_conn *conn);

/* Starts what is due and sends what the socket takes. */
void load_conn_pump(struct load_conn *conn, uint64_t now_ns);

/* The socket became readable or writable. */
void load_conn_event(struct load_conn *conn);

/* When load_conn_pump() has something to do next; UINT64_MAX: not before an event. */
uint64_t load_conn_due(const struct load_conn *conn);

/* Whether nothing more is to come: all answered and nothing more to start. */
bool load_conn_idle(const struct load_conn *conn, uint64_t now_ns);

/* At the end: counts what was not sent or not answered. */
void load_conn_account(struct load_conn *conn);

#endif
