/* bench/control/members.h: many members of consumer groups, each on a connection of its own.
 *
 * All are driven by one thread over epoll(7). What a member asks is encoded when it is asked; one
 * request is in flight on a connection. Any failure ends the program with a sentence: a benchmark
 * has nothing to go on with. */
#ifndef MR_BENCH_CONTROL_MEMBERS_H
#define MR_BENCH_CONTROL_MEMBERS_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/bump.h"
#include "dataplane/base/histo.h"

#define MEMBER_ID_MAX     128
#define MEMBERS_SCRATCH   65536
#define MEMBERS_HEAP_MAX  (64u << 20)
#define MEMBERS_TOPIC     "bench-topic"
#define MEMBERS_CLIENT_ID "bench"

struct member {
    int handle;
    uint32_t group;
    int32_t generation;
    char id[MEMBER_ID_MAX];
    int16_t asked; /* the API of the request in flight; -1: none */
    uint64_t sent_ns;
    uint8_t *in; /* what has come of its answer */
    uint32_t in_size;
    uint32_t in_room;
};

/* The last generations that had all members of a group: before the rebalance that is under way, and
 * now. */
struct member_group {
    int32_t whole_before;
    int32_t whole;
};

struct members {
    struct member *at;
    struct member_group *groups;
    uint32_t count;
    uint32_t group_count;
    int epoll;
    struct mr_bump bump; /* of the request or answer in hand */
    uint8_t scratch[MEMBERS_SCRATCH];
};

/* Connects them to "HOST:PORT"; they are spread over the groups evenly. */
void members_open(struct members *members, const char *server, uint32_t count, uint32_t groups);

/* They leave their groups, so that the next run need not wait for their sessions. */
void members_close(struct members *members);

/* All join and sync, each again until it has an assignment of a new generation that has all members
 * of its group. Returns the nanoseconds from the first request to the last answer. */
uint64_t members_rebalance(struct members *members);

enum members_load { MEMBERS_HEARTBEAT, MEMBERS_COMMIT };

/* The first `count` members ask again and again for `seconds`. Returns requests per second; their
 * latencies, in ns, go into `latency`. */
double members_ask(struct members *members, uint32_t count, enum members_load load, double seconds,
                   struct mr_histo *latency);

#endif
