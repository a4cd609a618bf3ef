/* net/ether.h: Ethernet, ARP, IPv4 and ICMP around our TCP (RFC 894, 826, 791, 792).
 *
 * Pure: a frame goes in, and the caller is told what it is: a TCP segment, a frame that has become
 * its own answer and is to be sent back, or nothing. Whoever sends us an IPv4 packet is remembered
 * with its hardware address, so that a stack that answers needs no resolution of its own; for whom
 * nobody is remembered a request is to be sent. What lies outside the subnet is the gateway's,
 * where there is one; without, everybody is taken for a neighbour.
 *
 * Thread: one shard. Bytes come from the wire: nothing here asserts on them. Missing: IPv6, VLAN
 * tags, fragments (counted and dropped), IP options (accepted and skipped). */
#ifndef MR_NET_ETHER_H
#define MR_NET_ETHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_ETHER_HEADER_SIZE 14u
#define MR_ETHER_ARP_SIZE    42u
#define MR_ETHER_SETS        256u /* of the table of neighbours */
#define MR_ETHER_WAYS        8u   /* of a set: the one used longest ago is overwritten */

struct mr_ether_neighbour {
    uint32_t address; /* 0: empty */
    uint8_t mac[6];
};

struct mr_ether {
    uint8_t mac[6];
    uint32_t address; /* ours, host byte order */
    uint32_t mask;    /* of the subnet; 0: everybody is in it */
    uint32_t gateway; /* 0: none */
    struct mr_ether_neighbour neighbours[MR_ETHER_SETS][MR_ETHER_WAYS]; /* used last: first */

    uint64_t arp_in;
    uint64_t echoes;
    uint64_t fragments; /* refused */
    uint64_t bad;       /* malformed */
    uint64_t foreign;   /* not for us, or no protocol of ours */
    uint64_t conflicts; /* another host claims our address */
};

enum mr_ether_kind {
    MR_ETHER_NOTHING,
    MR_ETHER_TCP,     /* segment and addresses are filled in */
    MR_ETHER_ANSWER,  /* send the frame, which is `size` long now */
    MR_ETHER_PATH_MTU /* ICMP «fragmentation needed» about a segment of ours */
};

struct mr_ether_packet {
    uint32_t source;
    uint32_t destination;
    const uint8_t *segment;
    uint32_t size; /* of the segment, or of the answer's frame */
    uint8_t ecn;
    /* MR_ETHER_PATH_MTU: the connection that it names, as we see it. */
    uint16_t local_port;
    uint16_t remote_port;
    uint32_t seq;
    uint32_t mtu; /* 0: unknown */
};

/* `bits`: of the subnet, 0 to 32. */
void mr_ether_init(struct mr_ether *ether, const uint8_t mac[6], uint32_t address, unsigned bits,
                   uint32_t gateway);

/* Who gets packets to `address`: itself, or the gateway. */
uint32_t mr_ether_next_hop(const struct mr_ether *ether, uint32_t address);

/* Judges one received frame, which may be changed. */
enum mr_ether_kind mr_ether_input(struct mr_ether *ether, uint8_t *frame, size_t size,
                                  struct mr_ether_packet *packet);

/* Whether a frame is ARP: what it tells concerns every shard. */
bool mr_ether_is_arp(const uint8_t *frame, size_t size);

/* Writes the Ethernet header of a packet to `address`. False: the hardware address of its next hop
 * is not known; an ARP request for that may be sent. */
bool mr_ether_header(struct mr_ether *ether, uint32_t address, uint8_t *header);

/* Writes a whole ARP request, MR_ETHER_ARP_SIZE bytes; for our own address it is gratuitous. */
void mr_ether_arp_request(const struct mr_ether *ether, uint32_t address, uint8_t *frame);

#endif
