/* tests/fuzz/ether_fuzz.c: any bytes as Ethernet frames.
 *
 * The input is frames, each a kind, a length of two bytes and so many bytes:
 *   0  raw
 *   1  an ARP packet: type and fixed fields are put right
 *   2  an IPv4 packet: version, length, checksum and our address are put right
 *   3  the same, as an ICMP message with its checksum
 * However bad: nothing outside of the frame is read or written, what is handed on lies inside it,
 * and an answer is no longer than what it answers. */
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/endian.h"
#include "dataplane/net/ether.h"

#define OURS      0x0a000001u
#define KINDS     4u
#define IP_AT     MR_ETHER_HEADER_SIZE
#define ICMP_AT   (IP_AT + 20u)
#define FRAME_MAX 2048u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};

static uint16_t
checksum(const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < size; i++) {
        sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

static void
make_arp(uint8_t *frame, size_t size)
{
    static const uint8_t head[8] = {8, 6, 0, 1, 8, 0, 6, 4};

    if (size >= MR_ETHER_ARP_SIZE) {
        memcpy(frame + 12, head, sizeof(head));
    }
}

static void
make_ip(uint8_t *frame, size_t size, bool icmp)
{
    if (size < ICMP_AT + 8) {
        return;
    }
    memcpy(frame, mac, sizeof(mac));
    mr_be16_put(frame + 12, 0x0800);
    frame[IP_AT] = 0x45;
    mr_be16_put(frame + IP_AT + 2, (uint16_t)(size - IP_AT));
    mr_be16_put(frame + IP_AT + 6, 0);
    mr_be32_put(frame + IP_AT + 16, OURS);
    if (icmp) {
        frame[IP_AT + 9] = 1;
        mr_be16_put(frame + ICMP_AT + 2, 0);
        mr_be16_put(frame + ICMP_AT + 2, checksum(frame + ICMP_AT, size - ICMP_AT));
    }
    mr_be16_put(frame + IP_AT + 10, 0);
    mr_be16_put(frame + IP_AT + 10, checksum(frame + IP_AT, 20));
}

static void
judge(struct mr_ether *ether, uint8_t *frame, size_t size)
{
    struct mr_ether_packet packet;
    uint8_t header[MR_ETHER_HEADER_SIZE];

    memset(&packet, 0, sizeof(packet));
    switch (mr_ether_input(ether, frame, size, &packet)) {
    case MR_ETHER_TCP:
        MR_ASSERT(packet.segment >= frame && packet.segment + packet.size <= frame + size);
        MR_ASSERT(packet.destination == OURS);
        mr_ether_header(ether, packet.source, header);
        break;
    case MR_ETHER_ANSWER:
        MR_ASSERT(packet.size <= size);
        break;
    case MR_ETHER_PATH_MTU:
    case MR_ETHER_NOTHING:
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mr_ether *ether = malloc(sizeof(*ether));

    mr_ether_init(ether, mac, OURS, 0, 0);
    while (size >= 3) {
        size_t frame_size = mr_be16_get(data + 1) % FRAME_MAX;
        unsigned kind = data[0] % KINDS;
        uint8_t *frame;

        data += 3;
        size -= 3;
        frame_size = frame_size < size ? frame_size : size;
        frame = malloc(frame_size ? frame_size : 1); /* of its own: a byte beyond it is noticed */
        memcpy(frame, data, frame_size);
        if (kind == 1) {
            make_arp(frame, frame_size);
        } else if (kind >= 2) {
            make_ip(frame, frame_size, kind == 3);
        }
        judge(ether, frame, frame_size);
        free(frame);
        data += frame_size;
        size -= frame_size;
    }
    free(ether);
    return 0;
}
