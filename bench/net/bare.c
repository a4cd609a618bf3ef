/* bench/net/bare.c: one frame out, one frame back. */
#include "bench/net/bare.h"

#include <string.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/base/assert.h"

#define BURST   32u
#define HEADERS 66u /* Ethernet, IPv4, TCP with timestamps */

void
bare_return(const struct mr_dpdk_port *port, const volatile sig_atomic_t *stop)
{
    struct rte_mbuf *frames[BURST];

    while (!*stop) {
        uint16_t count = rte_eth_rx_burst(port->id, 0, frames, BURST);
        uint16_t sent = count > 0 ? rte_eth_tx_burst(port->id, 0, frames, count) : 0;

        if (sent < count) {
            rte_pktmbuf_free_bulk(frames + sent, count - sent);
        }
    }
}

void
bare_round_trip(const struct mr_dpdk_port *port, uint32_t size)
{
    struct rte_mbuf *frame = rte_pktmbuf_alloc(port->transmit_pools[0]);
    char *bytes;

    MR_ASSERT(frame != NULL);
    bytes = rte_pktmbuf_append(frame, (uint16_t)(HEADERS + size));
    MR_ASSERT(bytes != NULL);
    memset(bytes, 0, HEADERS + size);
    while (rte_eth_tx_burst(port->id, 0, &frame, 1) == 0) { /* the peer is not there yet */
    }
    while (rte_eth_rx_burst(port->id, 0, &frame, 1) == 0) {
    }
    rte_pktmbuf_free(frame);
}
