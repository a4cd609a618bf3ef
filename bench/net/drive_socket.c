/* bench/net/drive_socket.c: kernel sockets: a bulk transfer in or out, round trips, connections
 * that come and go, and the other end of round trips. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "bench/net/drive.h"
#include "dataplane/base/clock.h"

static uint8_t bytes[DRIVE_SIZE_MAX];

static struct sockaddr_in
peer_address(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(drive.port)};

    if (inet_pton(AF_INET, drive.host, &address.sin_addr) != 1) {
        errno = EINVAL;
        drive_die(drive.host);
    }
    return address;
}

static int
connect_to(void)
{
    struct sockaddr_in address = peer_address();
    struct timeval patience = {.tv_sec = drive.timeout_s};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (drive.control && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, drive.control,
                                    (socklen_t)strlen(drive.control)) != 0) {
        drive_die(drive.control);
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        drive_die("connect");
    }
    return fd;
}

static void
send_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);

        if (sent <= 0) {
            drive_die("send");
        }
        data += sent;
        size -= (size_t)sent;
    }
}

/* 0: the end. */
static size_t
receive_or_end(int fd, uint8_t *out, size_t size)
{
    ssize_t got;

    do {
        got = recv(fd, out, size, drive.spin ? MSG_DONTWAIT : 0);
    } while (got < 0 && drive.spin && errno == EAGAIN);
    if (got < 0) {
        drive_die("receive");
    }
    return (size_t)got;
}

static size_t
receive_some(int fd, uint8_t *out, size_t size)
{
    size_t got = receive_or_end(fd, out, size);

    if (got == 0) {
        errno = ECONNRESET;
        drive_die("receive");
    }
    return got;
}

static void
check(uint64_t position, const uint8_t *data, size_t size)
{
    if (!drive.unchecked && !net_pattern_same(&drive.pattern, position, data, size)) {
        errno = EBADMSG;
        drive_die("a byte is not what was sent");
    }
}

static void
bulk_in(int fd)
{
    uint64_t at = 0;

    while (at < drive.count && !drive_over()) {
        uint64_t left = drive.count - at;
        size_t size = left < NET_PATTERN_PIECE ? (size_t)left : NET_PATTERN_PIECE;

        send_all(fd, net_pattern_at(&drive.pattern, at), size);
        at += size;
    }
    if (at < drive.count) {
        drive.count = at;
        return;
    }
    receive_some(fd, bytes, 1);
    if (bytes[0] != 'k') {
        errno = EBADMSG;
        drive_die("the server did not receive what was sent");
    }
}

static void
bulk_out(int fd)
{
    uint64_t at = 0;

    while (at < drive.count && !drive_over()) {
        size_t got = receive_some(fd, bytes, sizeof(bytes));

        check(at, bytes, got);
        at += got;
    }
    drive.count = at;
}

static void
round_trips(int fd)
{
    for (uint64_t i = 0; i < drive.count + DRIVE_WARM_UP && !drive_over(); i++) {
        uint64_t begin = mr_clock_now_ns(&mr_clock_system);
        size_t got = 0;

        send_all(fd, net_pattern_at(&drive.pattern, i), drive.size);
        while (got < drive.size) {
            got += receive_some(fd, bytes + got, drive.size - got);
        }
        check(i, bytes, drive.size);
        if (i >= DRIVE_WARM_UP) {
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
void
drive_churn(void)
{
    uint64_t begin = mr_clock_now_ns(&mr_clock_system);
    uint8_t request[NET_REQUEST_BYTES + 1] = {0};
    uint64_t connections = 0;

    net_request_put(request, 'e', 0);
    while (mr_clock_now_ns(&mr_clock_system) - begin < drive.count * MR_NS_PER_S) {
        int fd = connect_to();

        request[NET_REQUEST_BYTES] = (uint8_t)connections++;
        send_all(fd, request, sizeof(request));
        receive_some(fd, bytes, 1);
        if (bytes[0] != request[NET_REQUEST_BYTES]) {
            errno = EBADMSG;
            drive_die("a byte is not what was sent");
        }
        close(fd);
    }
    printf("{\"mode\": \"churn\", \"connections_s\": %.0f}\n",
           (double)connections * 1e9 / (double)(mr_clock_now_ns(&mr_clock_system) - begin));
}

void
drive_answer(void)
{
    struct sockaddr_in address = peer_address();
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    int fd;

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 1) != 0) {
        drive_die("listen");
    }
    printf("listening\n");
    fflush(stdout);
    fd = accept(listener, NULL, NULL);
    if (fd < 0) {
        drive_die("accept");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    for (size_t got = 0; got < NET_REQUEST_BYTES;) {
        got += receive_some(fd, bytes, NET_REQUEST_BYTES - got);
    }
    for (;;) {
        size_t got = receive_or_end(fd, bytes, sizeof(bytes));

        if (got == 0) {
            return;
        }
        send_all(fd, bytes, got);
    }
}

void
drive_by_socket(void)
{
    uint8_t request[NET_REQUEST_BYTES];
    int fd;

    hold_connections();
    fd = connect_to();
    drive.begin_ns = mr_clock_now_ns(&mr_clock_system);
    net_request_put(request, drive.mode, drive.count);
    send_all(fd, request, sizeof(request));
    if (drive.mode == 'e') {
        round_trips(fd);
    } else if (drive.mode == 'i') {
        bulk_in(fd);
    } else {
        bulk_out(fd);
    }
    close(fd);
}
