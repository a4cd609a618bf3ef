/* bench/net/wire.c: setting up a transport, and turning it. */
#include "bench/net/wire.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"

#define RING_ENTRIES    1024u
#define BUFFER_COUNT    1024u
#define BUFFER_SIZE     16384u
#define REAP_MAX        256u
#define QUIET_TURNS     200u /* without work, before it sleeps */
#define PACKETS_DEFAULT 8192u
#define ARGUMENTS_MAX   20u
#define LCORES_SIZE     (5 * CPU_SETSIZE)
#define MEGABYTE        (1024u * 1024)

void
wire_init(struct wire *wire)
{
    *wire = (struct wire){.connections_max = 1024, .packets = PACKETS_DEFAULT};
}

bool
wire_option(struct wire *wire, int which, const char *value)
{
    switch (which) {
    case 'T':
        wire->dpdk = strcmp(value, "dpdk") == 0;
        return wire->dpdk || strcmp(value, "kernel") == 0;
    case 'D':
        wire->device = value;
        return true;
    case 'B':
        wire->device_to = value;
        return true;
    case 'M':
        wire->mtu = (uint16_t)strtoul(value, NULL, 10);
        return true;
    case 'P':
        wire->packets = (uint32_t)strtoul(value, NULL, 10);
        return true;
    case 'U':
        wire->sleep_us = (unsigned)strtoul(value, NULL, 10);
        return true;
    case 'H':
        wire->huge = true;
        return true;
    case 'R':
        wire->trusted = true;
        return true;
    default:
        return false;
    }
}

static int
open_kernel(struct wire *wire, const struct mr_net_events *events)
{
    struct mr_net_uring_config config = {
        .uring = &wire->uring,
        .buffer_count = BUFFER_COUNT,
        .buffer_size = BUFFER_SIZE,
        .connections_max = wire->connections_max,
    };
    int error = mr_uring_init(&wire->uring, RING_ENTRIES);

    config.arena = mmap(NULL, (size_t)BUFFER_COUNT * BUFFER_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (error || config.arena == MAP_FAILED) {
        return error ? error : -ENOMEM;
    }
    return mr_net_uring_create(&config, events, &wire->net);
}

/* Lcore 0 on the CPUs that this process may use. */
static void
name_lcores(char *out, size_t out_size)
{
    size_t used = (size_t)snprintf(out, out_size, "0@(");
    const char *comma = "";
    cpu_set_t set;

    CPU_ZERO(&set);
    MR_ASSERT(sched_getaffinity(0, sizeof(set), &set) == 0);
    for (int cpu = 0; cpu < CPU_SETSIZE && used < out_size; cpu++) {
        if (CPU_ISSET(cpu, &set)) {
            used += (size_t)snprintf(out + used, out_size - used, "%s%d", comma, cpu);
            comma = ",";
        }
    }
    MR_ASSERT(used + 1 < out_size);
    snprintf(out + used, out_size - used, ")");
}

/* One process has the EAL once; two at a time must not find each other's. */
static int
start_eal(const struct wire *wire)
{
    const char *arguments[ARGUMENTS_MAX] = {"mr_net",      "--no-pci", "--no-telemetry",
                                            "--log-level", "error",    "--main-lcore",
                                            "0",           "--lcores"};
    size_t bytes = mr_dpdk_port_bytes(wire->device, 1, wire->packets, wire->mtu);
    char memory[16];
    char lcores[LCORES_SIZE];
    int count = 8;

    name_lcores(lcores, sizeof(lcores));
    snprintf(memory, sizeof(memory), "%zu", bytes / MEGABYTE + 32);
    arguments[count++] = lcores;
    if (wire->huge) {
        arguments[count++] = "--in-memory";
        arguments[count++] = "--iova-mode=va";
        arguments[count++] = "--single-file-segments";
    } else {
        arguments[count++] = "--no-huge";
        arguments[count++] = "--no-shconf";
        arguments[count++] = "-m";
        arguments[count++] = memory;
    }
    arguments[count++] = "--vdev";
    arguments[count++] = wire->device;
    if (wire->device_to) {
        arguments[count++] = "--vdev";
        arguments[count++] = wire->device_to;
    }
    return rte_eal_init(count, (char **)(uintptr_t)arguments) < 0 ? -EIO : 0;
}

static int
open_dpdk(struct wire *wire, const struct mr_net_events *events)
{
    struct mr_net_dpdk_config config = {
        .port = &wire->port,
        .clock = &mr_clock_system,
        .connections_max = wire->connections_max,
        .sends_max = wire->sends_max + wire->packets,
    };
    const struct mr_dpdk_port_config port = {
        .address = wire->address,
        .queue_count = 1,
        .mtu = wire->mtu,
        .packets = wire->packets,
        .trusted = wire->trusted,
    };
    char reason[256];
    int error = start_eal(wire);

    if (error) {
        return error;
    }
    error = mr_dpdk_port_open(&port, &wire->port, reason, sizeof(reason));
    if (error) {
        fprintf(stderr, "%s\n", reason);
        return error;
    }
    return mr_net_dpdk_create(&config, events, &wire->net);
}

int
wire_open(struct wire *wire, const struct mr_net_events *events)
{
    if (wire->dpdk && !wire->device) {
        fprintf(stderr, "--transport dpdk needs --device\n");
        return -EINVAL;
    }
    return wire->dpdk ? open_dpdk(wire, events) : open_kernel(wire, events);
}

static bool
work(struct wire *wire)
{
    uint64_t begin = rte_rdtsc();
    bool worked;

    if (wire->dpdk) {
        uint64_t now_ns = mr_clock_now_ns(&mr_clock_system);

        worked = mr_net_dpdk_poll(wire->net, now_ns);
        worked |= mr_net_dpdk_flush(wire->net, now_ns);
    } else {
        mr_uring_submit(&wire->uring);
        worked = mr_uring_reap(&wire->uring, REAP_MAX) > 0;
    }
    if (worked) {
        wire->work_cycles += rte_rdtsc() - begin;
    }
    return worked;
}

void
wire_turn(struct wire *wire)
{
    wire->quiet = work(wire) ? 0 : wire->quiet + 1;
    if (wire->quiet <= QUIET_TURNS || wire->sleep_us == 0) {
        return;
    }
    if (wire->dpdk) {
        usleep(wire->sleep_us);
    } else {
        mr_uring_wait(&wire->uring, MR_NS_PER_S / 10);
    }
}
