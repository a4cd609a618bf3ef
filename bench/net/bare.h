/* bench/net/bare.h: frames over a DPDK device with no protocol above: the least that a round trip
 * over it can take. One thread, which polls. */
#ifndef MR_BENCH_NET_BARE_H
#define MR_BENCH_NET_BARE_H

#include <signal.h>

#include "dataplane/net/dpdk_port.h"

/* Sends each frame back as it came, until `*stop`. */
void bare_return(const struct mr_dpdk_port *port, const volatile sig_atomic_t *stop);

/* Sends a frame of `size` bytes behind the headers of a TCP segment, which are left blank, and
 * waits until one comes back. */
void bare_round_trip(const struct mr_dpdk_port *port, uint32_t size);

#endif
