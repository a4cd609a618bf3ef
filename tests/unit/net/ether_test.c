/* Goal: neighbours that are used are not forgotten for those that are not, and what lies outside
 * the subnet goes to the gateway. Method: packets from many addresses, and headers asked for. */
#include "dataplane/net/ether.h"

#include <string.h>

#include "dataplane/base/endian.h"
#include "tests/mr_test.h"

#define OURS    0x0a000001u /* 10.0.0.1 */
#define GATEWAY 0x0a0000feu
#define FIRST   0x0a000100u
#define SLOTS   (MR_ETHER_SETS * MR_ETHER_WAYS)

static struct mr_ether ether;

static void
mac_of(uint32_t address, uint8_t mac[6])
{
    mac[0] = 2;
    mac[1] = 0;
    mr_be32_put(mac + 2, address);
}

/* An ARP reply of `address` to us. */
static void
hear(uint32_t address)
{
    static const uint8_t head[8] = {0, 1, 8, 0, 6, 4, 0, 2};
    uint8_t frame[MR_ETHER_ARP_SIZE] = {0};
    struct mr_ether_packet packet;

    mr_be16_put(frame + 12, 0x0806);
    memcpy(frame + 14, head, sizeof(head));
    mac_of(address, frame + 22);
    mr_be32_put(frame + 28, address);
    mr_be32_put(frame + 38, OURS);
    MR_CHECK_EQ(mr_ether_input(&ether, frame, sizeof(frame), &packet), MR_ETHER_NOTHING);
}

/* Whether packets to `address` would go to the hardware address of `hop`. */
static bool
goes_to(uint32_t address, uint32_t hop)
{
    uint8_t header[MR_ETHER_HEADER_SIZE];
    uint8_t mac[6];

    mac_of(hop, mac);
    return mr_ether_header(&ether, address, header) && memcmp(header, mac, sizeof(mac)) == 0;
}

static void
begin(unsigned bits, uint32_t gateway)
{
    uint8_t mac[6];

    mac_of(OURS, mac);
    mr_ether_init(&ether, mac, OURS, bits, gateway);
}

static void
a_quarter_of_the_table_fits_however_it_falls(void)
{
    begin(0, 0);
    for (uint32_t i = 0; i < SLOTS / 4; i++) {
        hear(FIRST + i);
    }
    for (uint32_t i = 0; i < SLOTS / 4; i++) {
        MR_CHECK(goes_to(FIRST + i, FIRST + i));
    }
}

static void
who_is_sent_to_stays(void)
{
    uint32_t known = 0;

    begin(0, 0);
    hear(FIRST);
    for (uint32_t i = 1; i < 4 * SLOTS; i++) {
        hear(FIRST + i);
        MR_CHECK(goes_to(FIRST, FIRST));
    }
    for (uint32_t i = 0; i < 4 * SLOTS; i++) {
        known += goes_to(FIRST + i, FIRST + i);
    }
    MR_CHECK(known <= SLOTS && known > SLOTS / 2);
}

static void
a_neighbour_may_move(void)
{
    uint8_t header[MR_ETHER_HEADER_SIZE];
    uint8_t frame[MR_ETHER_ARP_SIZE];
    struct mr_ether_packet packet;

    begin(0, 0);
    hear(FIRST);
    mr_ether_arp_request(&ether, FIRST, frame);
    memset(frame + 22, 7, 6); /* the same address asks from another card */
    mr_be32_put(frame + 28, FIRST);
    mr_be32_put(frame + 38, OURS);
    MR_CHECK_EQ(mr_ether_input(&ether, frame, sizeof(frame), &packet), MR_ETHER_ANSWER);
    MR_CHECK(mr_ether_header(&ether, FIRST, header));
    MR_CHECK_EQ(header[0], 7);
}

static void
what_is_outside_goes_to_the_gateway(void)
{
    begin(24, GATEWAY);
    MR_CHECK_EQ(mr_ether_next_hop(&ether, 0x0a000002u), 0x0a000002u);
    MR_CHECK_EQ(mr_ether_next_hop(&ether, 0x0a0000ffu), 0x0a0000ffu);
    MR_CHECK_EQ(mr_ether_next_hop(&ether, 0x0a000100u), GATEWAY);
    MR_CHECK_EQ(mr_ether_next_hop(&ether, 0x09ffffffu), GATEWAY);
    MR_CHECK(!goes_to(0x08080808u, GATEWAY));
    hear(GATEWAY);
    MR_CHECK(goes_to(0x08080808u, GATEWAY));
    hear(0x0a000002u);
    MR_CHECK(goes_to(0x0a000002u, 0x0a000002u));

    begin(32, GATEWAY);
    MR_CHECK_EQ(mr_ether_next_hop(&ether, 0x0a000002u), GATEWAY);
    begin(24, 0);
    MR_CHECK_EQ(mr_ether_next_hop(&ether, 0x08080808u), 0x08080808u);
}

int
main(void)
{
    a_quarter_of_the_table_fits_however_it_falls();
    who_is_sent_to_stays();
    a_neighbour_may_move();
    what_is_outside_goes_to_the_gateway();
    return 0;
}
