/* bench/net/drive.c: `mr_net_drive`, the client of mr_net_serve: a bulk transfer in or out with
 * every byte checked, round trips, or connections that come and go. By kernel sockets, or over the
 * transport contract like the server. Prints one line of JSON. */
#include "bench/net/drive.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/clock.h"

struct drive drive;

void
drive_die(const char *what)
{
    fprintf(stderr, "mr_net_drive: %s: %s\n", what, strerror(errno));
    exit(1);
}

bool
drive_over(void)
{
    return drive.seconds > 0 &&
           mr_clock_now_ns(&mr_clock_system) - drive.begin_ns >= drive.seconds * MR_NS_PER_S;
}

static void
report(double seconds)
{
    struct mr_net_dpdk_counters counters = {0};

    if (drive.mode == 'e' || drive.mode == 'b') {
        printf("{\"mode\": \"%s\", \"bytes\": %u, \"p50_us\": %.2f, \"p99_us\": %.2f",
               drive.mode == 'e' ? "echo" : "bare", drive.size,
               (double)mr_histo_quantile(&drive.histo, 500) / 1e3,
               (double)mr_histo_quantile(&drive.histo, 990) / 1e3);
    } else {
        printf("{\"mode\": \"%s\", \"bytes\": %llu, \"mbit_s\": %.1f",
               drive.mode == 'i' ? "in" : "out", (unsigned long long)drive.count,
               (double)drive.count * 8 / 1e6 / seconds);
    }
    if (!drive.socket && drive.wire.dpdk) {
        mr_net_dpdk_counters(drive.wire.net, &counters);
        printf(", \"cycles\": %llu, \"packets_in\": %llu, \"packets_out\": %llu",
               (unsigned long long)drive.wire.work_cycles, (unsigned long long)counters.packets_in,
               (unsigned long long)counters.packets_out);
    }
    printf("}\n");
    fflush(stdout);
}

static void
run(void)
{
    uint64_t end_ns;

    if (drive.socket) {
        drive_by_socket();
    } else {
        drive_by_net();
    }
    end_ns = mr_clock_now_ns(&mr_clock_system);
    report((double)(end_ns - drive.begin_ns) / 1e9);
    if (!drive.socket) {
        drive_net_end();
    }
}

static const char usage[] =
    "usage: mr_net_drive --connect HOST:PORT --mode echo|bare|in|out|churn [--count N] [--size "
    "BYTES]\n"
    "                    [--timeout SECONDS] [--seconds N] [--unchecked]\n"
    "  by sockets:       [--congestion NAME] [--hold CONNECTIONS] [--spin]\n"
    "  by the contract:  --transport kernel|dpdk [--connections N] [--address OURS]\n"
    "                    [--device VDEV [--beside VDEV]] [--packets N] [--mtu BYTES] [--huge]\n"
    "                    [--sleep-us US]\n"
    "--count: bytes of a bulk transfer, which --seconds may end before, round trips of --size "
    "bytes\n"
    "each, or seconds of churn.\n"
    "--stay keeps the device until it is killed: a peer that polls a memif may not survive its "
    "end.\n"
    "--mode bare is a round trip of frames over the device, without TCP, to mr_net_serve --bare.\n"
    "--mode answer is the other end of round trips between spinning sockets, for one "
    "client.\n" WIRE_USAGE;

static bool
parse_peer(char *text)
{
    char *colon = strrchr(text, ':');

    if (!colon) {
        return false;
    }
    *colon = 0;
    drive.host = text;
    drive.port = (uint16_t)strtoul(colon + 1, NULL, 10);
    return true;
}

static bool
option(int which, char *value)
{
    switch (which) {
    case 'c':
        return parse_peer(value);
    case 'm':
        drive.mode = value[0];
        return true;
    case 'n':
        drive.count = strtoull(value, NULL, 10);
        return true;
    case 's':
        drive.size = (uint32_t)strtoul(value, NULL, 10);
        return true;
    case 'g':
        drive.control = value;
        return true;
    case 't':
        drive.timeout_s = (unsigned)strtoul(value, NULL, 10);
        return true;
    case 'h':
        drive.hold = (unsigned)strtoul(value, NULL, 10);
        return true;
    case 'x':
        drive.connections = (unsigned)strtoul(value, NULL, 10);
        return true;
    case 'a':
        drive.wire.address = value;
        return true;
    case 'S':
        drive.seconds = (unsigned)strtoul(value, NULL, 10);
        return true;
    case 'u':
        drive.unchecked = true;
        return true;
    case 'y':
        drive.stay = true;
        return true;
    case 'p':
        drive.spin = true;
        return true;
    default:
        drive.socket &= which != 'T';
        return wire_option(&drive.wire, which, value);
    }
}

static bool
parse(int argc, char **argv)
{
    static const struct option options[] = {{"connect", required_argument, NULL, 'c'},
                                            {"mode", required_argument, NULL, 'm'},
                                            {"count", required_argument, NULL, 'n'},
                                            {"size", required_argument, NULL, 's'},
                                            {"congestion", required_argument, NULL, 'g'},
                                            {"timeout", required_argument, NULL, 't'},
                                            {"hold", required_argument, NULL, 'h'},
                                            {"connections", required_argument, NULL, 'x'},
                                            {"address", required_argument, NULL, 'a'},
                                            {"seconds", required_argument, NULL, 'S'},
                                            {"unchecked", no_argument, NULL, 'u'},
                                            {"spin", no_argument, NULL, 'p'},
                                            {"stay", no_argument, NULL, 'y'},
                                            WIRE_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    int which;

    wire_init(&drive.wire);
    drive.socket = true;
    drive.count = 1 << 20;
    drive.size = 64;
    drive.timeout_s = 30;
    drive.connections = 1;
    while ((which = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (!option(which, optarg)) {
            return false;
        }
    }
    return drive.host && drive.mode && strchr("ebioca", drive.mode) && drive.size > 0 &&
           drive.size <= DRIVE_SIZE_MAX && drive.connections > 0 &&
           (drive.mode != 'b' || drive.wire.dpdk);
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
        drive_churn();
    } else if (drive.mode == 'a') {
        drive_answer();
    } else {
        run();
    }
    return 0;
}
