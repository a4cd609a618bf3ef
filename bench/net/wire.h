/* bench/net/wire.h: the transport that mr_net_serve and mr_net_drive run over, by kernel sockets or
 * by a DPDK device and our own TCP, and the loop that turns it.
 *
 * Thread: one, which polls. Lifecycle: fill in the options -> open -> turn* -> close, or the end of
 * the process. */
#ifndef MR_BENCH_NET_WIRE_H
#define MR_BENCH_NET_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/uring.h"
#include "dataplane/net/net.h"
#include "dataplane/net/net_dpdk.h"

struct wire {
    /* Options. */
    bool dpdk;
    bool huge;             /* memory of huge pages, which have to be there */
    unsigned sleep_us;     /* when nothing is to do; 0: spins */
    const char *address;   /* ours; with dpdk only */
    const char *device;    /* arguments of a DPDK device */
    const char *device_to; /* of the device that it needs beside it; NULL: none */
    uint16_t mtu;          /* 0: the device's */
    bool trusted;          /* no TCP checksums */
    uint32_t connections_max;
    uint32_t packets;
    uint32_t sends_max;

    struct mr_net *net;
    struct mr_uring uring;
    struct mr_dpdk_port port;
    unsigned quiet;       /* turns without work */
    uint64_t work_cycles; /* of turns with work, of the time stamp counter */
};

/* The defaults. */
void wire_init(struct wire *wire);

/* Takes an option that both programs have; false: not one of them. */
bool wire_option(struct wire *wire, int which, const char *value);

/* clang-format off */
#define WIRE_OPTIONS                                                                               \
    {"transport", required_argument, NULL, 'T'}, {"device", required_argument, NULL, 'D'},         \
    {"beside", required_argument, NULL, 'B'}, {"mtu", required_argument, NULL, 'M'},               \
    {"packets", required_argument, NULL, 'P'}, {"sleep-us", required_argument, NULL, 'U'},         \
    {"huge", no_argument, NULL, 'H'}, {"trusted", no_argument, NULL, 'R'}
/* clang-format on */

#define WIRE_USAGE                                                                                 \
    "--device names a DPDK device, such as net_af_packet0,iface=eth1, and --beside one that it "   \
    "needs;\n--packets is how many it gets for each direction, --huge puts them on huge pages. "   \
    "Without\n--sleep-us it spins. --trusted: no TCP checksums, at both ends.\n"

/* 0 or -errno; says on stderr what is wrong. */
int wire_open(struct wire *wire, const struct mr_net_events *events);

/* One turn, and a rest where that was asked for and there is nothing to do. */
void wire_turn(struct wire *wire);

#endif
