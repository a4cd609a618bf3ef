#include "bench/load/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { FLAG, TEXT, INT, SIZE, REAL };

struct entry {
    const char *name;
    const char *value; /* how the help names it */
    const char *help;
    enum kind kind;
    size_t offset;
    double min;
    double max;
};

#define AT(member) offsetof(struct load_options, member)
#define BATCH_MAX  (16.0 * 1024 * 1024)

static const struct entry entries[] = {
    {"bootstrap-server", "HOST:PORT", "a broker (default 127.0.0.1:9092)", TEXT, AT(servers), 0, 0},
    {"topic", "NAME", "the topic, created where it is missing (default load)", TEXT, AT(topic), 0,
     0},
    {"partitions", "N", "of a topic that is created (default 1)", INT, AT(partitions), 1, 100000},
    {"replication-factor", "N", "of a topic that is created (default: the broker's)", INT,
     AT(replication_factor), 1, 100},
    {"record-size", "BYTES", "of each value (default 1024; K and M multiply)", SIZE,
     AT(record_size), 0, BATCH_MAX},
    {"records-per-batch", "N", "records in a request (default 16)", INT, AT(records_per_batch), 1,
     1e6},
    {"batch-bytes", "BYTES", "instead: as many records as fit", SIZE, AT(batch_bytes), 62,
     BATCH_MAX},
    {"connections", "N", "TCP connections (default 1)", INT, AT(connections), 1,
     LOAD_CONNECTIONS_MAX},
    {"threads", "N", "threads that share the connections (default 1)", INT, AT(threads), 1,
     LOAD_THREADS_MAX},
    {"rate", "N", "open loop: requests a second over all connections", REAL, AT(rate), 0.001, 1e8},
    {"rate-mb", "N", "open loop: MB of batches a second instead", REAL, AT(rate_mb), 1e-6, 1e6},
    {"in-flight", "N", "requests in flight per connection (closed loop: 5; open: 1024)", INT,
     AT(in_flight), 1, LOAD_IN_FLIGHT_MAX},
    {"acks", "-1|0|1", "who has the record when it counts (default -1, all)", INT, AT(acks), -1, 1},
    {"seconds", "S", "length of the measurement (default 10)", REAL, AT(seconds), 0.1, 86400},
    {"warmup", "S", "before it, not measured (default 2, for --fetch 0)", REAL, AT(warmup), 0,
     86400},
    {"idempotent", NULL, "a producer id and sequence numbers per connection", FLAG, AT(idempotent),
     0, 0},
    {"fetch", NULL, "consume from the beginning to the end, as fast as possible", FLAG, AT(fetch),
     0, 0},
    {"tail", NULL, "with --fetch: wait at the end for new records", FLAG, AT(tail), 0, 0},
    {"loop", NULL, "with --fetch: begin again at the end", FLAG, AT(loop), 0, 0},
    {"fetch-bytes", "BYTES", "with --fetch: per partition and request (default 1M)", SIZE,
     AT(fetch_bytes), 1, 1 << 30},
    {"check-crc", NULL, "with --fetch: check each batch's checksum", FLAG, AT(check_crc), 0, 0},
    {"spin", NULL, "never sleep: exact send times for a whole core", FLAG, AT(spin), 0, 0},
    {"broker-pid", "PID", "report the CPU seconds of this process", INT, AT(broker_pid), 1,
     1 << 30},
    {"device", "VDEV", "our own TCP over this DPDK device instead of sockets, one thread", TEXT,
     AT(device), 0, 0},
    {"address", "A.B.C.D", "with --device: our IPv4 address there", TEXT, AT(address), 0, 0},
    {"mtu", "BYTES", "with --device: its MTU (default: its own)", INT, AT(mtu), 576, 9000},
    {"trusted", NULL, "with --device: no TCP checksums, at both ends (dpdk.checksums=false)", FLAG,
     AT(trusted), 0, 0},
    {"json", NULL, "print one line of JSON", FLAG, AT(json), 0, 0},
};

#define ENTRY_COUNT (sizeof(entries) / sizeof(entries[0]))
#define HELP        ((int)ENTRY_COUNT + 256)
#define FIRST       256 /* above every character getopt could return */

static void
print_help(void)
{
    puts(
        "mr_load: puts a Kafka-protocol broker under load and measures it.\n\n"
        "With --rate requests start on a fixed schedule, whatever the broker does, and latency\n"
        "counts from the scheduled time (open loop). Without it each connection keeps --in-flight\n"
        "requests under way (closed loop).\n\nOptions:");
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        char left[40];

        snprintf(left, sizeof(left), "--%s %s", entries[i].name,
                 entries[i].value ? entries[i].value : "");
        printf("  %-28s %s\n", left, entries[i].help);
    }
    puts("\nExit status: 0 measured without errors; 1 errors, or nothing measured; 2 wrong usage.");
}

static int
set_number(const struct entry *entry, const char *text, void *at)
{
    char *end;
    double value;

    errno = 0;
    value = strtod(text, &end);
    if (entry->kind == SIZE && (*end == 'K' || *end == 'k')) {
        value *= 1024;
        end++;
    } else if (entry->kind == SIZE && (*end == 'M' || *end == 'm')) {
        value *= 1024 * 1024;
        end++;
    }
    if (errno != 0 || end == text || *end != '\0' || !(value >= entry->min) ||
        !(value <= entry->max) || (entry->kind != REAL && value != (double)(int32_t)value)) {
        fprintf(stderr, "mr_load: --%s takes %s from %.15g to %.15g, not \"%s\"\n", entry->name,
                entry->value, entry->min, entry->max, text);
        return -EINVAL;
    }
    if (entry->kind == REAL) {
        *(double *)at = value;
    } else {
        *(int32_t *)at = (int32_t)value;
    }
    return 0;
}

static int
set(const struct entry *entry, const char *text, struct load_options *options)
{
    void *at = (char *)options + entry->offset;

    switch (entry->kind) {
    case FLAG:
        *(bool *)at = true;
        return 0;
    case TEXT:
        *(const char **)at = text;
        return 0;
    default:
        return set_number(entry, text, at);
    }
}

/* What depends on several options. */
static int
complete(struct load_options *options)
{
    bool open = options->rate > 0 || options->rate_mb > 0;

    if (options->rate > 0 && options->rate_mb > 0) {
        fputs("mr_load: --rate and --rate-mb exclude each other\n", stderr);
        return -EINVAL;
    }
    if (options->fetch && (open || options->idempotent)) {
        fputs("mr_load: --fetch goes without --rate, --rate-mb and --idempotent\n", stderr);
        return -EINVAL;
    }
    if (!options->fetch && (options->tail || options->loop || options->check_crc)) {
        fputs("mr_load: --tail, --loop and --check-crc need --fetch\n", stderr);
        return -EINVAL;
    }
    if (options->idempotent && options->acks != -1) {
        fputs("mr_load: --idempotent needs --acks -1\n", stderr);
        return -EINVAL;
    }
    if ((options->device != NULL) != (options->address != NULL)) {
        fputs("mr_load: --device and --address go together\n", stderr);
        return -EINVAL;
    }
    if (options->device && options->threads > 1) {
        fputs("mr_load: --device goes with one thread\n", stderr);
        return -EINVAL;
    }
    if (options->in_flight == 0) {
        options->in_flight = options->fetch ? 1 : open ? 1024 : 5;
    }
    if (options->fetch && options->in_flight != 1) {
        fputs("mr_load: --fetch has one request in flight per connection\n", stderr);
        return -EINVAL;
    }
    if (options->warmup < 0) {
        options->warmup = options->fetch ? 0 : 2;
    }
    if (options->threads > options->connections) {
        options->threads = options->connections;
    }
    return 0;
}

int
load_options_parse(struct load_options *options, int argc, char **argv)
{
    struct option list[ENTRY_COUNT + 2] = {{0}};
    int which;

    *options = (struct load_options){.servers = "127.0.0.1:9092",
                                     .topic = "load",
                                     .partitions = 1,
                                     .replication_factor = -1,
                                     .record_size = 1024,
                                     .records_per_batch = 16,
                                     .connections = 1,
                                     .threads = 1,
                                     .acks = -1,
                                     .seconds = 10,
                                     .warmup = -1,
                                     .fetch_bytes = 1 << 20};
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        list[i] =
            (struct option){entries[i].name, entries[i].kind == FLAG ? 0 : 1, NULL, FIRST + (int)i};
    }
    list[ENTRY_COUNT] = (struct option){"help", 0, NULL, HELP};
    while ((which = getopt_long(argc, argv, "h", list, NULL)) != -1) {
        if (which == HELP || which == 'h') {
            print_help();
            return 1;
        }
        if (which < FIRST || set(&entries[which - FIRST], optarg, options) != 0) {
            return -EINVAL;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "mr_load: \"%s\" is no option; see --help\n", argv[optind]);
        return -EINVAL;
    }
    return complete(options);
}
