/* bench/load/options.h: what a run of mr_load shall do. */
#ifndef MR_BENCH_LOAD_OPTIONS_H
#define MR_BENCH_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_CONNECTIONS_MAX 4096
#define LOAD_THREADS_MAX     64
#define LOAD_IN_FLIGHT_MAX   65536

struct load_options {
    const char *servers;
    const char *topic;
    int32_t partitions;         /* of the topic where it must be created */
    int32_t replication_factor; /* -1: the broker's default */
    int32_t record_size;        /* bytes of a value */
    int32_t batch_bytes;        /* 0: records_per_batch holds */
    int32_t records_per_batch;
    int32_t connections;
    int32_t threads;
    double rate;       /* requests a second over all connections; 0: closed loop */
    double rate_mb;    /* the same in MB (10^6 bytes of batches) a second; 0: not given */
    int32_t in_flight; /* on each connection; in an open loop a bound that latency includes */
    int32_t acks;
    double seconds;
    double warmup; /* before them, not measured */
    bool fetch;
    bool tail;           /* fetch: begin at the end of the log and wait for records */
    bool loop;           /* fetch: begin again at the end of the log */
    int32_t fetch_bytes; /* per partition and request */
    bool check_crc;
    bool idempotent;
    bool spin; /* never sleep in the event loop */
    bool json;
    int32_t broker_pid; /* 0: not given */
    /* Instead of kernel sockets: our own TCP over a DPDK device (wire_io.h). */
    const char *device;  /* NULL: sockets */
    const char *address; /* ours there */
    int32_t mtu;         /* 0: the device's */
    bool trusted;        /* no TCP checksums */
};

/* Fills `options` from the command line. Returns 0; -EINVAL after a line on stderr; 1 after the
 * help was printed. */
int load_options_parse(struct load_options *options, int argc, char **argv);

#endif
