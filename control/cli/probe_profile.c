/* control/cli/probe_profile.c: a profile of what fits a machine without a change. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/probe.h"

#define MIB         (1024ull * 1024)
#define GIB         (1024 * MIB)
#define SHARDS_MAX  64u
#define PACKETS     8192u
#define PINNED_EACH (2 * (PACKETS + 512ull) * 4096 + 2 * MIB) /* of packets, for each shard */
#define MEMORY_MAX  (256 * GIB)
#define VENDOR_MLX  0x15b3u

/* A DPDK driver for each card that one is known for: vendor and device, 0 for every device. */
static const struct {
    unsigned vendor;
    unsigned device;
    const char *driver;
} cards[] = {
    {VENDOR_MLX, 0, "mlx5_pci"},
    {0x8086, 0x1591, "net_ice"},
    {0x8086, 0x1592, "net_ice"},
    {0x8086, 0x1593, "net_ice"},
    {0x8086, 0x159b, "net_ice"},
    {0x8086, 0x1572, "net_i40e"},
    {0x8086, 0x1583, "net_i40e"},
    {0x8086, 0x158b, "net_i40e"},
    {0x8086, 0x10fb, "net_ixgbe"},
    {0x8086, 0x10c9, "net_e1000_igb"},
    {0x8086, 0x1521, "net_e1000_igb"},
    {0x1af4, 0, "net_virtio"},
    {0x1d0f, 0, "net_ena"},
    {0x1ae0, 0, "net_gve"},
};

static const char *
driver_of(const struct mr_machine_nic *nic)
{
    for (unsigned i = 0; i < sizeof(cards) / sizeof(cards[0]); i++) {
        if (cards[i].vendor == nic->vendor &&
            (cards[i].device == 0 || cards[i].device == nic->device)) {
            return cards[i].driver;
        }
    }
    return NULL;
}

/* The card that DPDK could take as it is: without routes of the kernel's, the fastest. */
static const struct mr_machine_nic *
choose_card(const struct mr_machine *machine)
{
    const struct mr_machine_nic *best = NULL;

    for (unsigned i = 0; i < machine->nic_count; i++) {
        const struct mr_machine_nic *nic = &machine->nics[i];
        bool ready = strcmp(nic->driver, "vfio-pci") == 0 ||
                     (nic->vendor == VENDOR_MLX && !nic->has_address);

        if (nic->pci[0] && ready && (!best || nic->speed_mbits > best->speed_mbits)) {
            best = nic;
        }
    }
    return best;
}

static uint64_t
free_pages(const struct mr_machine *machine)
{
    return machine->pages_2m.free * 2 * MIB + machine->pages_1g.free * GIB;
}

/* The CPUs of the shards: first threads of cores, on the card's node, but for the first core, which
 * is the control thread's. */
static unsigned
choose_cpus(const struct mr_machine *machine, int node, int *cpus)
{
    unsigned count = 0;
    bool first = true;

    for (unsigned i = 0; i < machine->cpu_count && count < SHARDS_MAX; i++) {
        if (machine->siblings[i] != machine->cpus[i] ||
            (node >= 0 && machine->node_count > 1 && machine->cpu_nodes[i] != node)) {
            continue;
        }
        if (first) {
            first = false;
            continue;
        }
        cpus[count++] = machine->cpus[i];
    }
    if (count == 0) {
        cpus[count++] = machine->cpus[machine->cpu_count - 1];
    }
    return count;
}

/* Drives that nothing is on; raw stores want one of their own. */
static bool
takes_stores(const struct mr_machine_drive *drive)
{
    return drive->nvme && !drive->in_use;
}

static void
put_cores(FILE *out, const int *cpus, unsigned count, bool spins)
{
    fprintf(out, "[cores]\nshards = %u\n", count);
    for (unsigned i = 0; i < count; i++) {
        fprintf(out, "%s%d", i ? "," : "cpus = ", cpus[i]);
    }
    fprintf(out, "\n\n[idle]\npolicy = %s\n", spins ? "spin" : "spin-then-sleep");
}

static void
put_card(FILE *out, const struct mr_machine_nic *card, unsigned shards)
{
    const char *driver = driver_of(card);

    fprintf(out, "\n[nic]\ntransport = dpdk\n");
    if (driver) {
        fprintf(out, "driver = %s\n", driver);
    }
    fprintf(out,
            "device = %s\nqueues = %u\npackets = %u\n"
            "; the address of the port: change it to one of your network\naddress = 10.0.0.1\n",
            card->pci, shards, PACKETS);
}

static void
put_drives(FILE *out, const struct mr_machine *machine)
{
    const struct mr_machine_drive *first = NULL;

    for (unsigned i = 0; i < machine->drive_count; i++) {
        const struct mr_machine_drive *drive = &machine->drives[i];

        if (takes_stores(drive) && (!first || drive->block_bytes == first->block_bytes)) {
            first = first ? first : drive;
        }
    }
    if (!first) {
        fprintf(out, "\n[drives]\n; no NVMe drive is free: stores are files (--data-dir DIR)\n");
        return;
    }
    fprintf(out, "\n[drives]\n; each is taken whole; one that holds anything is refused\n");
    for (unsigned i = 0; i < machine->drive_count; i++) {
        if (takes_stores(&machine->drives[i]) &&
            machine->drives[i].block_bytes == first->block_bytes) {
            fprintf(out, "paths = /dev/%s\n", machine->drives[i].name);
        }
    }
    fprintf(out, "metadata = /var/lib/millrace\nblock_bytes = %u\nflush = %s\n", first->block_bytes,
            first->fua || !first->write_cache ? "fua" : "flush");
    fprintf(out, "polled = %s\npassthrough = %s\n", first->poll_queues ? "true" : "false",
            first->poll_queues && first->character ? "true" : "false");
}

static void
put_memory(FILE *out, const struct mr_machine *machine, bool pages, uint64_t bytes)
{
    if (pages) {
        fprintf(out, "\n[hugepages]\n");
        if (machine->pages_2m.free > 0) {
            fprintf(out, "pages_2m = %llu\n", (unsigned long long)machine->pages_2m.free);
        }
        if (machine->pages_1g.free > 0) {
            fprintf(out, "pages_1g = %llu\n", (unsigned long long)machine->pages_1g.free);
        }
    }
    fprintf(out, "\n[memory]\nbytes = %llu\n", (unsigned long long)bytes);
}

/* Of huge pages all that packets leave, else a quarter of what is available, in whole 64 MiB. */
static uint64_t
choose_memory(const struct mr_machine *machine, bool pages, uint64_t packets)
{
    uint64_t slack = 64 * MIB;
    uint64_t bytes = machine->memory_free_bytes / 4;

    if (pages) {
        bytes = free_pages(machine) - packets - slack;
    }
    bytes = bytes < MEMORY_MAX ? bytes : MEMORY_MAX;
    return bytes / slack * slack;
}

char *
cli_probe_profile(const struct mr_machine *machine)
{
    const struct mr_machine_nic *card = choose_card(machine);
    uint64_t room = free_pages(machine);
    int cpus[SHARDS_MAX];
    unsigned shards;
    uint64_t packets;
    bool pages;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out) {
        return NULL;
    }
    shards = choose_cpus(machine, card ? card->node : -1, cpus);
    packets = card ? shards * PINNED_EACH : 0;
    pages = room > 2 * (packets + 512 * MIB); /* else too little for the broker's memory */
    card = pages ? card : NULL;               /* a card reads and writes huge pages only */
    fprintf(out, "; Written by `millrace probe --write` for a machine with %u CPUs, Linux %s.\n\n",
            machine->cpu_count, machine->kernel);
    put_cores(out, cpus, shards, card && shards + 1 < machine->cpu_count);
    if (card) {
        put_card(out, card, shards);
    }
    put_drives(out, machine);
    put_memory(out, machine, pages, choose_memory(machine, pages, card ? packets : 0));
    fclose(out);
    return text;
}
