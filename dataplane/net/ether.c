/* net/ether.c: what is around TCP on the wire. */
#include "dataplane/net/ether.h"

#include <string.h>

#include "dataplane/base/endian.h"

#define TYPE_IPV4       0x0800
#define TYPE_ARP        0x0806
#define ARP_REQUEST     1
#define ARP_REPLY       2
#define IP_SIZE_MIN     20u
#define IP_ICMP         1
#define IP_TCP          6
#define IP_FRAGMENT     0x3fff /* more fragments, and the offset */
#define ICMP_SIZE       8u
#define ICMP_ECHO_REPLY 0
#define ICMP_UNREACH    3
#define ICMP_NEED_FRAG  4
#define ICMP_ECHO       8

static uint16_t
checksum(const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0;

    for (size_t i = 0; i + 1 < size; i += 2) {
        sum += mr_be16_get(bytes + i);
    }
    if (size % 2) {
        sum += (uint32_t)bytes[size - 1] << 8;
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

/* ---- neighbours ------------------------------------------------------------------------------ */

_Static_assert(MR_ETHER_SETS == 256, "set_of() gives as many");

static struct mr_ether_neighbour *
set_of(struct mr_ether *ether, uint32_t address)
{
    return ether->neighbours[(address * 2654435761u) >> 24]; /* the high bits are well mixed */
}

/* The neighbour at the front of its set, or NULL. */
static struct mr_ether_neighbour *
look_up(struct mr_ether *ether, uint32_t address)
{
    struct mr_ether_neighbour *set = set_of(ether, address);
    struct mr_ether_neighbour found;
    unsigned way = 0;

    while (way < MR_ETHER_WAYS && set[way].address != address) {
        way++;
    }
    if (way == MR_ETHER_WAYS) {
        return NULL;
    }
    if (way > 0) {
        found = set[way];
        memmove(&set[1], &set[0], way * sizeof(set[0]));
        set[0] = found;
    }
    return &set[0];
}

static void
learn(struct mr_ether *ether, uint32_t address, const uint8_t mac[6])
{
    struct mr_ether_neighbour *set = set_of(ether, address);

    if (address == 0 || address == ether->address) {
        return;
    }
    if (!look_up(ether, address)) {
        memmove(&set[1], &set[0], (MR_ETHER_WAYS - 1) * sizeof(set[0]));
        set[0].address = address;
    }
    memcpy(set[0].mac, mac, 6);
}

void
mr_ether_init(struct mr_ether *ether, const uint8_t mac[6], uint32_t address, unsigned bits,
              uint32_t gateway)
{
    memset(ether, 0, sizeof(*ether));
    memcpy(ether->mac, mac, 6);
    ether->address = address;
    ether->mask = bits ? UINT32_MAX << (32 - bits) : 0;
    ether->gateway = gateway;
}

uint32_t
mr_ether_next_hop(const struct mr_ether *ether, uint32_t address)
{
    bool outside = ((address ^ ether->address) & ether->mask) != 0;

    return outside && ether->gateway ? ether->gateway : address;
}

/* ---- ARP ------------------------------------------------------------------------------------- */

static void
put_arp(const struct mr_ether *ether, uint8_t *frame, uint16_t operation, const uint8_t to[6],
        uint32_t address)
{
    static const uint8_t head[6] = {0, 1, 8, 0, 6, 4}; /* Ethernet, IPv4, their sizes */

    memcpy(frame, to, 6);
    memcpy(frame + 6, ether->mac, 6);
    mr_be16_put(frame + 12, TYPE_ARP);
    memcpy(frame + 14, head, sizeof(head));
    mr_be16_put(frame + 20, operation);
    memcpy(frame + 22, ether->mac, 6);
    mr_be32_put(frame + 28, ether->address);
    memcpy(frame + 32, to, 6);
    mr_be32_put(frame + 38, address);
}

void
mr_ether_arp_request(const struct mr_ether *ether, uint32_t address, uint8_t *frame)
{
    static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    put_arp(ether, frame, ARP_REQUEST, everybody, address);
    memset(frame + 32, 0, 6);
}

static enum mr_ether_kind
arp_input(struct mr_ether *ether, uint8_t *frame, size_t size, struct mr_ether_packet *packet)
{
    static const uint8_t head[6] = {0, 1, 8, 0, 6, 4};
    uint8_t sender_mac[6];
    uint32_t sender;

    if (size < MR_ETHER_ARP_SIZE || memcmp(frame + 14, head, sizeof(head)) != 0) {
        ether->bad++;
        return MR_ETHER_NOTHING;
    }
    ether->arp_in++;
    sender = mr_be32_get(frame + 28);
    memcpy(sender_mac, frame + 22, 6);
    if (sender == ether->address && memcmp(sender_mac, ether->mac, 6) != 0) {
        ether->conflicts++;
    }
    learn(ether, sender, sender_mac);
    if (mr_be16_get(frame + 20) != ARP_REQUEST || mr_be32_get(frame + 38) != ether->address) {
        return MR_ETHER_NOTHING;
    }
    put_arp(ether, frame, ARP_REPLY, sender_mac, sender);
    packet->size = MR_ETHER_ARP_SIZE;
    return MR_ETHER_ANSWER;
}

/* ---- ICMP ------------------------------------------------------------------------------------ */

static enum mr_ether_kind
echo_answer(struct mr_ether *ether, uint8_t *frame, uint8_t *ip, uint8_t *icmp, uint32_t icmp_size,
            struct mr_ether_packet *packet)
{
    memcpy(frame, frame + 6, 6);
    memcpy(frame + 6, ether->mac, 6);
    mr_be32_put(ip + 12, packet->destination);
    mr_be32_put(ip + 16, packet->source);
    icmp[0] = ICMP_ECHO_REPLY;
    mr_be16_put(icmp + 2, 0);
    mr_be16_put(icmp + 2, checksum(icmp, icmp_size));
    ether->echoes++;
    packet->size = (uint32_t)(icmp - frame) + icmp_size; /* the IP checksum is what it was */
    return MR_ETHER_ANSWER;
}

static enum mr_ether_kind
icmp_input(struct mr_ether *ether, uint8_t *frame, uint8_t *ip, uint8_t *icmp, uint32_t size,
           struct mr_ether_packet *packet)
{
    const uint8_t *inner = icmp + ICMP_SIZE;
    uint32_t inner_ip_size;

    if (size < ICMP_SIZE || checksum(icmp, size) != 0) {
        ether->bad++;
        return MR_ETHER_NOTHING;
    }
    if (icmp[0] == ICMP_ECHO) {
        return echo_answer(ether, frame, ip, icmp, size, packet);
    }
    if (icmp[0] != ICMP_UNREACH || icmp[1] != ICMP_NEED_FRAG || size < ICMP_SIZE + IP_SIZE_MIN) {
        return MR_ETHER_NOTHING;
    }
    inner_ip_size = (uint32_t)(inner[0] & 0x0f) * 4;
    if (inner_ip_size < IP_SIZE_MIN || inner[9] != IP_TCP || size < ICMP_SIZE + inner_ip_size + 8 ||
        mr_be32_get(inner + 12) != ether->address) {
        return MR_ETHER_NOTHING;
    }
    packet->destination = ether->address;
    packet->source = mr_be32_get(inner + 16);
    packet->local_port = mr_be16_get(inner + inner_ip_size);
    packet->remote_port = mr_be16_get(inner + inner_ip_size + 2);
    packet->seq = mr_be32_get(inner + inner_ip_size + 4);
    packet->mtu = mr_be16_get(icmp + 6);
    return MR_ETHER_PATH_MTU;
}

/* ---- IPv4 ------------------------------------------------------------------------------------ */

static enum mr_ether_kind
ip_input(struct mr_ether *ether, uint8_t *frame, size_t size, struct mr_ether_packet *packet)
{
    uint8_t *ip = frame + MR_ETHER_HEADER_SIZE;
    size_t left = size - MR_ETHER_HEADER_SIZE;
    uint32_t header_size;
    uint32_t total;

    if (left < IP_SIZE_MIN || ip[0] >> 4 != 4) {
        ether->bad++;
        return MR_ETHER_NOTHING;
    }
    header_size = (uint32_t)(ip[0] & 0x0f) * 4;
    total = mr_be16_get(ip + 2);
    if (header_size < IP_SIZE_MIN || total < header_size || total > left ||
        checksum(ip, header_size) != 0) {
        ether->bad++;
        return MR_ETHER_NOTHING;
    }
    packet->source = mr_be32_get(ip + 12);
    packet->destination = mr_be32_get(ip + 16);
    packet->ecn = ip[1] & 3;
    if (packet->destination != ether->address) {
        ether->foreign++;
        return MR_ETHER_NOTHING;
    }
    if (mr_be16_get(ip + 6) & IP_FRAGMENT) {
        ether->fragments++;
        return MR_ETHER_NOTHING;
    }
    if (mr_ether_next_hop(ether, packet->source) == packet->source) {
        learn(ether, packet->source, frame + 6);
    }
    if (ip[9] == IP_ICMP) {
        return icmp_input(ether, frame, ip, ip + header_size, total - header_size, packet);
    }
    if (ip[9] != IP_TCP) {
        ether->foreign++;
        return MR_ETHER_NOTHING;
    }
    packet->segment = ip + header_size;
    packet->size = total - header_size; /* what Ethernet padded is cut off */
    return MR_ETHER_TCP;
}

enum mr_ether_kind
mr_ether_input(struct mr_ether *ether, uint8_t *frame, size_t size, struct mr_ether_packet *packet)
{
    memset(packet, 0, sizeof(*packet));
    if (size < MR_ETHER_HEADER_SIZE) {
        ether->bad++;
        return MR_ETHER_NOTHING;
    }
    switch (mr_be16_get(frame + 12)) {
    case TYPE_ARP:
        return arp_input(ether, frame, size, packet);
    case TYPE_IPV4:
        return ip_input(ether, frame, size, packet);
    default:
        ether->foreign++;
        return MR_ETHER_NOTHING;
    }
}

bool
mr_ether_is_arp(const uint8_t *frame, size_t size)
{
    return size >= MR_ETHER_HEADER_SIZE && mr_be16_get(frame + 12) == TYPE_ARP;
}

bool
mr_ether_header(struct mr_ether *ether, uint32_t address, uint8_t *header)
{
    const struct mr_ether_neighbour *neighbour = look_up(ether, mr_ether_next_hop(ether, address));

    if (!neighbour) {
        return false;
    }
    memcpy(header, neighbour->mac, 6);
    memcpy(header + 6, ether->mac, 6);
    mr_be16_put(header + 12, TYPE_IPV4);
    return true;
}
