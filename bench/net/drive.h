/* bench/net/drive.h: what mr_net_drive was asked for, and its two ways: kernel sockets without
 * io_uring, as most clients have them, and the transport contract. */
#ifndef MR_BENCH_NET_DRIVE_H
#define MR_BENCH_NET_DRIVE_H

#include "bench/net/pattern.h"
#include "bench/net/wire.h"
#include "dataplane/base/histo.h"

#define DRIVE_WARM_UP  100u
#define DRIVE_SIZE_MAX 65536u

struct drive {
    struct wire wire; /* of the transport contract */
    bool socket;      /* not over it, but by sockets */
    bool spin;        /* sockets that do not block */
    bool unchecked;
    bool stay; /* does not take the device down, until it is killed */
    const char *host;
    uint16_t port;
    char mode;
    uint64_t count;       /* bytes, round trips, or seconds of churn */
    unsigned seconds;     /* after which it stops; 0: when all is done */
    unsigned hold;        /* connections that are open beside and say nothing */
    unsigned connections; /* that round trips take at random */
    uint32_t size;        /* of a round trip */
    const char *control;  /* congestion control; NULL: the system's */
    unsigned timeout_s;
    uint64_t begin_ns;
    struct net_pattern pattern;
    struct mr_histo histo;
};

extern struct drive drive;

/* Whether it has had its seconds. */
bool drive_over(void);

__attribute__((noreturn)) void drive_die(const char *what);

/* Both prepare, set begin_ns, and return when everything has been moved. */
void drive_by_socket(void);
void drive_by_net(void);
void drive_net_end(void); /* closes what drive_by_net() has opened */

/* By sockets alone: connections that come and go; prints their rate. And the other end of round
 * trips between sockets that spin, for one client. */
void drive_churn(void);
void drive_answer(void);

#endif
