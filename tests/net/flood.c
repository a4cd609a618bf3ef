/* tests/net/flood.c: `flood`, SYNs from addresses that nobody has, as fast as the interface takes
 * them. Source: packet(7), RFC 9293. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/base/endian.h"
#include "dataplane/base/rng.h"

#define IP_AT      14u
#define TCP_AT     34u
#define FRAME_SIZE 58u /* with an MSS option */
#define TCP_SYN    2u

static uint32_t
sum_words(const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < size; i += 2) {
        sum += mr_be16_get(bytes + i);
    }
    return sum;
}

static uint16_t
fold(uint32_t sum)
{
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

static void
make_frame(uint8_t frame[FRAME_SIZE], const uint8_t to[6], const uint8_t from[6],
           uint32_t destination, uint16_t port)
{
    static const uint8_t mss[4] = {2, 4, 5, 180};

    memset(frame, 0, FRAME_SIZE);
    memcpy(frame, to, 6);
    memcpy(frame + 6, from, 6);
    mr_be16_put(frame + 12, ETHERTYPE_IP);
    frame[IP_AT] = 0x45;
    mr_be16_put(frame + IP_AT + 2, FRAME_SIZE - IP_AT);
    frame[IP_AT + 8] = 64;
    frame[IP_AT + 9] = 6;
    mr_be32_put(frame + IP_AT + 16, destination);
    mr_be16_put(frame + TCP_AT + 2, port);
    frame[TCP_AT + 12] = 6 << 4;
    frame[TCP_AT + 13] = TCP_SYN;
    mr_be16_put(frame + TCP_AT + 14, 64000);
    memcpy(frame + TCP_AT + 20, mss, sizeof(mss));
}

/* Another source and sequence number; both checksums. */
static void
vary(uint8_t frame[FRAME_SIZE], struct mr_rng *rng)
{
    size_t tcp_size = FRAME_SIZE - TCP_AT;

    mr_be32_put(frame + IP_AT + 12, (10u << 24) | (uint32_t)mr_rng_below(rng, 1 << 24));
    mr_be16_put(frame + TCP_AT, (uint16_t)(1024 + mr_rng_below(rng, 60000)));
    mr_be32_put(frame + TCP_AT + 4, (uint32_t)mr_rng_next(rng));
    mr_be16_put(frame + IP_AT + 10, 0);
    mr_be16_put(frame + IP_AT + 10, fold(sum_words(frame + IP_AT, 20)));
    mr_be16_put(frame + TCP_AT + 16, 0);
    mr_be16_put(frame + TCP_AT + 16,
                fold(sum_words(frame + IP_AT + 12, 8) + 6 + (uint32_t)tcp_size +
                     sum_words(frame + TCP_AT, tcp_size)));
}

static int
open_interface(const char *name, uint8_t mac[6])
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET};
    struct ifreq request = {0};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    address.sll_ifindex = (int)if_nametoindex(name);
    if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        fprintf(stderr, "flood: %s: %s\n", name, strerror(errno));
        exit(1);
    }
    memcpy(mac, request.ifr_hwaddr.sa_data, 6);
    return fd;
}

int
main(int argc, char **argv)
{
    uint8_t frame[FRAME_SIZE];
    uint8_t from[6];
    uint8_t to[6];
    struct in_addr destination;
    struct mr_rng rng;
    int fd;

    if (argc != 6 ||
        sscanf(argv[2], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &to[0], &to[1], &to[2], &to[3], &to[4],
               &to[5]) != 6 ||
        inet_pton(AF_INET, argv[3], &destination) != 1) {
        fprintf(stderr, "usage: flood INTERFACE TO-MAC TO-ADDRESS PORT COUNT\n");
        return 2;
    }
    fd = open_interface(argv[1], from);
    make_frame(frame, to, from, ntohl(destination.s_addr), (uint16_t)strtoul(argv[4], NULL, 10));
    mr_rng_init(&rng, 1);
    for (uint64_t left = strtoull(argv[5], NULL, 10); left > 0;) {
        vary(frame, &rng);
        if (send(fd, frame, sizeof(frame), 0) == (ssize_t)sizeof(frame)) {
            left--;
        } else if (errno == ENOBUFS || errno == EAGAIN) {
            struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

            poll(&poll_fd, 1, 1);
        } else {
            fprintf(stderr, "flood: %s\n", strerror(errno));
            return 1;
        }
    }
    return 0;
}
