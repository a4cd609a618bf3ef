/* bench/net/drive.c: `mr_net_drive`, the client of mr_net_serve by blocking kernel sockets: a bulk
 * transfer in or out with every byte checked, round trips, or connections that come and go. Prints
 * one line of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "bench/net/pattern.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/histo.h"

#define WARM_UP    100u
#define SIZE_MAX_B 65536u

struct drive {
    const char *host;
    uint16_t port;
    char mode;
    uint64_t count;      /* bytes, round trips, or seconds of churn */
    unsigned hold;       /* connections that are open beside and say nothing */
    uint32_t size;       /* of a round trip */
    const char *control; /* congestion control; NULL: the system's */
    unsigned timeout_s;
    struct net_pattern pattern;
    uint8_t bytes[SIZE_MAX_B];
    struct mr_histo histo;
};

static struct drive drive;

__attribute__((noreturn)) static void
die(const char *what)
{
    fprintf(stderr, "mr_net_drive: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int
connect_to(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(drive.port)};
    struct timeval patience = {.tv_sec = drive.timeout_s};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    if (inet_pton(AF_INET, drive.host, &address.sin_addr) != 1) {
        errno = EINVAL;
        die(drive.host);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (drive.control && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, drive.control,
                                    (socklen_t)strlen(drive.control)) != 0) {
        die(drive.control);
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        die("connect");
    }
    return fd;
}

static void
send_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);

        if (sent <= 0) {
            die("send");
        }
        data += sent;
        size -= (size_t)sent;
    }
}

static size_t
receive_some(int fd, uint8_t *out, size_t size)
{
    ssize_t got = recv(fd, out, size, 0);

    if (got <= 0) {
        errno = got == 0 ? ECONNRESET : errno;
        die("receive");
    }
    return (size_t)got;
}

static void
bulk_in(int fd)
{
    for (uint64_t at = 0; at < drive.count;) {
        uint64_t left = drive.count - at;
        size_t size = left < NET_PATTERN_PIECE ? (size_t)left : NET_PATTERN_PIECE;

        send_all(fd, net_pattern_at(&drive.pattern, at), size);
        at += size;
    }
    receive_some(fd, drive.bytes, 1);
    if (drive.bytes[0] != 'k') {
        errno = EBADMSG;
        die("the server did not receive what was sent");
    }
}

static void
bulk_out(int fd)
{
    for (uint64_t at = 0; at < drive.count;) {
        size_t got = receive_some(fd, drive.bytes, sizeof(drive.bytes));

        if (!net_pattern_same(&drive.pattern, at, drive.bytes, got)) {
            errno = EBADMSG;
            die("a byte is not what was sent");
        }
        at += got;
    }
}

static void
round_trips(int fd)
{
    for (uint64_t i = 0; i < drive.count + WARM_UP; i++) {
        uint64_t begin = mr_clock_now_ns(&mr_clock_system);
        size_t got = 0;

        send_all(fd, net_pattern_at(&drive.pattern, i), drive.size);
        while (got < drive.size) {
            got += receive_some(fd, drive.bytes + got, drive.size - got);
        }
        if (!net_pattern_same(&drive.pattern, i, drive.bytes, drive.size)) {
            errno = EBADMSG;
            die("a byte is not what was sent");
        }
        if (i >= WARM_UP) {
            mr_histo_record(&drive.histo, mr_clock_now_ns(&mr_clock_system) - begin);
        }
    }
}

static void
hold_connections(void)
{
    uint8_t request[NET_REQUEST_BYTES];

    net_request_put(request, 'e', 0);
    for (unsigned i = 0; i < drive.hold; i++) {
        send_all(connect_to(), request, sizeof(request));
    }
}

/* Each connection has one round trip and is closed. */
static void
churn(void)
{
    uint64_t begin = mr_clock_now_ns(&mr_clock_system);
    uint8_t request[NET_REQUEST_BYTES + 1] = {0};
    uint64_t connections = 0;

    net_request_put(request, 'e', 0);
    while (mr_clock_now_ns(&mr_clock_system) - begin < drive.count * MR_NS_PER_S) {
        int fd = connect_to();

        request[NET_REQUEST_BYTES] = (uint8_t)connections++;
        send_all(fd, request, sizeof(request));
        receive_some(fd, drive.bytes, 1);
        if (drive.bytes[0] != request[NET_REQUEST_BYTES]) {
            errno = EBADMSG;
            die("a byte is not what was sent");
        }
        close(fd);
    }
    printf("{\"mode\": \"churn\", \"connections_s\": %.0f}\n",
           (double)connections * 1e9 / (double)(mr_clock_now_ns(&mr_clock_system) - begin));
}

static void
run(void)
{
    uint8_t request[NET_REQUEST_BYTES];
    int fd = connect_to();
    uint64_t begin = mr_clock_now_ns(&mr_clock_system);
    double seconds;

    net_request_put(request, drive.mode, drive.count);
    send_all(fd, request, sizeof(request));
    if (drive.mode == 'e') {
        round_trips(fd);
    } else if (drive.mode == 'i') {
        bulk_in(fd);
    } else {
        bulk_out(fd);
    }
    seconds = (double)(mr_clock_now_ns(&mr_clock_system) - begin) / 1e9;
    close(fd);
    if (drive.mode == 'e') {
        printf("{\"mode\": \"echo\", \"bytes\": %u, \"p50_us\": %.2f, \"p99_us\": %.2f}\n",
               drive.size, (double)mr_histo_quantile(&drive.histo, 500) / 1e3,
               (double)mr_histo_quantile(&drive.histo, 990) / 1e3);
    } else {
        printf("{\"mode\": \"%s\", \"bytes\": %llu, \"mbit_s\": %.1f}\n",
               drive.mode == 'i' ? "in" : "out", (unsigned long long)drive.count,
               (double)drive.count * 8 / 1e6 / seconds);
    }
}

static const char usage[] =
    "usage: mr_net_drive --connect HOST:PORT --mode echo|in|out|churn [--count N] [--size BYTES]\n"
    "                    [--congestion NAME] [--timeout SECONDS] [--hold CONNECTIONS]\n"
    "--count: bytes of a bulk transfer, round trips of --size bytes each, or seconds of churn.\n";

static bool
parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"connect", required_argument, NULL, 'c'},    {"mode", required_argument, NULL, 'm'},
        {"count", required_argument, NULL, 'n'},      {"size", required_argument, NULL, 's'},
        {"congestion", required_argument, NULL, 'g'}, {"timeout", required_argument, NULL, 't'},
        {"hold", required_argument, NULL, 'h'},       {NULL, 0, NULL, 0}};
    char *colon;
    int which;

    drive.count = 1 << 20;
    drive.size = 64;
    drive.timeout_s = 30;
    while ((which = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (which) {
        case 'c':
            colon = strrchr(optarg, ':');
            if (!colon) {
                return false;
            }
            *colon = 0;
            drive.host = optarg;
            drive.port = (uint16_t)strtoul(colon + 1, NULL, 10);
            break;
        case 'm':
            drive.mode = optarg[0];
            break;
        case 'n':
            drive.count = strtoull(optarg, NULL, 10);
            break;
        case 's':
            drive.size = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'g':
            drive.control = optarg;
            break;
        case 't':
            drive.timeout_s = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'h':
            drive.hold = (unsigned)strtoul(optarg, NULL, 10);
            break;
        default:
            return false;
        }
    }
    return drive.host && strchr("eioc", drive.mode) && drive.mode && drive.size > 0 &&
           drive.size <= SIZE_MAX_B;
}

int
main(int argc, char **argv)
{
    if (!parse(argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    net_pattern_init(&drive.pattern);
    if (drive.mode == 'c') {
        churn();
        return 0;
    }
    hold_connections();
    run();
    return 0;
}
