/* control/cli/probe_findings.c: what is fit, and what to change. */
#include <liburing.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "control/cli/probe.h"

#define MIB          (1024ull * 1024)
#define PAGES_MIN    (512 * MIB) /* of the smallest broker that is of use over DPDK */
#define MEMLOCK_MIN  (1024 * MIB)
#define VENDOR_MLX   0x15b3u
#define SERVER_MBITS 10000

struct list {
    struct cli_finding *at;
    unsigned count;
};

__attribute__((format(printf, 5, 6))) static void
add(struct list *list, const char *what, enum cli_fitness fitness, const char *change,
    const char *format, ...)
{
    struct cli_finding *finding = &list->at[list->count];
    va_list args;

    if (list->count == CLI_FINDINGS_MAX) {
        return;
    }
    list->count++;
    snprintf(finding->what, sizeof(finding->what), "%s", what);
    snprintf(finding->change, sizeof(finding->change), "%s", change);
    finding->fitness = fitness;
    va_start(args, format);
    vsnprintf(finding->found, sizeof(finding->found), format, args);
    va_end(args);
}

/* ---- CPUs and memory ------------------------------------------------------------------------- */

static unsigned
core_count(const struct mr_machine *machine)
{
    unsigned count = 0;

    for (unsigned i = 0; i < machine->cpu_count; i++) {
        count += machine->siblings[i] == machine->cpus[i];
    }
    return count;
}

static void
find_cpus(const struct mr_machine *machine, struct list *list)
{
    unsigned cores = core_count(machine);

    add(list, "CPUs", machine->cpu_count > 2 ? CLI_FIT : CLI_BETTER,
        machine->cpu_count > 2 ? "" : "more CPUs: each shard that spins wants one for itself",
        "%u CPUs, %u cores, %u NUMA node%s", machine->cpu_count, cores, machine->node_count,
        machine->node_count == 1 ? "" : "s");
}

static void
find_pages(const struct mr_machine *machine, struct list *list)
{
    uint64_t free = machine->pages_2m.free * 2 * MIB + machine->pages_1g.free * 1024 * MIB;
    bool enough = free >= PAGES_MIN;

    add(list, "huge pages", enough ? CLI_FIT : CLI_BETTER,
        enough ? ""
               : "echo 512 >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages (a PCI card "
                 "needs them; servers: hugepagesz=1G hugepages=N at boot)",
        "%llu free of %llu of 2 MiB, %llu of %llu of 1 GiB",
        (unsigned long long)machine->pages_2m.free, (unsigned long long)machine->pages_2m.total,
        (unsigned long long)machine->pages_1g.free, (unsigned long long)machine->pages_1g.total);
}

static void
find_memory(const struct mr_machine *machine, struct list *list)
{
    bool locks = machine->memlock_bytes >= MEMLOCK_MIN;

    add(list, "memory", CLI_FIT, "", "%llu MiB, %llu available",
        (unsigned long long)(machine->memory_bytes / MIB),
        (unsigned long long)(machine->memory_free_bytes / MIB));
    if (machine->memlock_bytes == UINT64_MAX) {
        add(list, "locked memory", CLI_FIT, "", "no limit");
    } else {
        add(list, "locked memory", locks ? CLI_FIT : CLI_BETTER,
            locks ? "" : "ulimit -l unlimited (LimitMEMLOCK=infinity in a systemd unit)",
            "%llu MiB at most: [drives] registered",
            (unsigned long long)(machine->memlock_bytes / MIB));
    }
}

/* ---- the kernel ------------------------------------------------------------------------------ */

void
cli_kernel_try(struct cli_kernel *kernel)
{
    struct io_uring_probe *probe = io_uring_get_probe();
    struct io_uring_params params = {.flags =
                                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    struct io_uring ring;

    *kernel = (struct cli_kernel){.tried = true};
    if (probe) {
        kernel->send_zc = io_uring_opcode_supported(probe, IORING_OP_SEND_ZC);
        kernel->uring_cmd = io_uring_opcode_supported(probe, IORING_OP_URING_CMD);
        io_uring_free_probe(probe);
    }
    kernel->ring = io_uring_queue_init(8, &ring, 0) == 0;
    if (kernel->ring) {
        io_uring_queue_exit(&ring);
    }
    kernel->single_issuer = io_uring_queue_init_params(8, &ring, &params) == 0;
    if (kernel->single_issuer) {
        io_uring_queue_exit(&ring);
    }
    kernel->poll_ring = io_uring_queue_init(8, &ring, IORING_SETUP_IOPOLL) == 0;
    if (kernel->poll_ring) {
        io_uring_queue_exit(&ring);
    }
}

static void
find_kernel(const struct mr_machine *machine, const struct cli_kernel *kernel, struct list *list)
{
    add(list, "kernel", CLI_FIT, "", "Linux %s", machine->kernel);
    if (!kernel->tried) {
        add(list, "io_uring", machine->io_uring ? CLI_FIT : CLI_MISSING,
            machine->io_uring ? "" : "sysctl kernel.io_uring_disabled=0",
            "not tried: another root");
    } else if (!kernel->ring) {
        add(list, "io_uring", CLI_MISSING,
            "sysctl kernel.io_uring_disabled=0; in a container, allow io_uring in its seccomp "
            "profile",
            "cannot be had");
    } else {
        add(list, "io_uring", kernel->single_issuer ? CLI_FIT : CLI_BETTER,
            kernel->single_issuer ? "" : "Linux 6.1 or newer",
            "deferred completions %s, polled rings %s, NVMe commands %s, zero-copy sending %s",
            kernel->single_issuer ? "yes" : "no", kernel->poll_ring ? "yes" : "no",
            kernel->uring_cmd ? "yes" : "no", kernel->send_zc ? "yes" : "no");
    }
}

static void
find_vfio(const struct mr_machine *machine, struct list *list)
{
    bool iommu = machine->iommu_groups > 0;
    bool ready = machine->vfio && machine->vfio_pci;

    add(list, "IOMMU", iommu ? CLI_FIT : CLI_BETTER,
        iommu ? "" : "intel_iommu=on iommu=pt at boot (AMD: iommu=pt); in a VM, a virtual IOMMU",
        iommu ? "%u groups" : "none%.0u", machine->iommu_groups);
    add(list, "VFIO", ready ? CLI_FIT : CLI_BETTER, ready ? "" : "modprobe vfio-pci", "%s, %s",
        machine->vfio ? "/dev/vfio" : "no /dev/vfio",
        machine->vfio_pci ? "vfio-pci is loaded" : "vfio-pci is not loaded");
}

/* ---- network cards --------------------------------------------------------------------------- */

/* Cards whose DPDK driver shares them with the kernel's, and those that vfio-pci has. */
static bool
ready_for_dpdk(const struct mr_machine_nic *nic)
{
    return nic->pci[0] && (nic->vendor == VENDOR_MLX || strcmp(nic->driver, "vfio-pci") == 0);
}

static void
find_nic(const struct mr_machine *machine, const struct mr_machine_nic *nic, struct list *list)
{
    char what[64];
    char change[512] = "";
    enum cli_fitness fitness = CLI_FIT;

    snprintf(what, sizeof(what), "card %.48s", nic->pci[0] ? nic->pci : nic->name);
    if (nic->has_address && !ready_for_dpdk(nic)) {
        snprintf(change, sizeof(change), "leave it to the kernel: it has routes");
    } else if (nic->pci[0] && !ready_for_dpdk(nic)) {
        fitness = CLI_BETTER;
        snprintf(change, sizeof(change),
                 "for DPDK: modprobe vfio-pci; cd /sys/bus/pci/devices/%s; echo vfio-pci "
                 ">driver_override; echo %s >driver/unbind; echo %s >/sys/bus/pci/drivers_probe",
                 nic->pci, nic->pci, nic->pci);
    }
    if (nic->pci[0]) {
        add(list, what, fitness, change, "%04x:%04x, %s%s%s, %d Mbit/s, %u queues, node %d%s",
            nic->vendor, nic->device, nic->driver[0] ? nic->driver : "no driver",
            nic->name[0] ? ", " : "", nic->name, nic->speed_mbits, nic->queues, nic->node,
            machine->iommu_groups > 0 && nic->iommu_group < 0 ? ", no IOMMU group" : "");
    } else {
        add(list, what, fitness, change,
            "no PCI device; AF_PACKET or AF_XDP, %s, MTU %u, %u queues", nic->up ? "up" : "down",
            nic->mtu, nic->queues);
    }
}

/* ---- drives ---------------------------------------------------------------------------------- */

static void
find_drive(const struct mr_machine *machine, const struct mr_machine_drive *drive,
           struct list *list)
{
    char what[64];
    char atomic[48] = "";
    char polled[32] = "interrupts";
    char change[512] = "";
    enum cli_fitness fitness = CLI_FIT;

    snprintf(what, sizeof(what), "drive %.48s", drive->name);
    if (drive->atomic_bytes) {
        snprintf(atomic, sizeof(atomic), ", atomic %llu bytes",
                 (unsigned long long)drive->atomic_bytes);
    }
    if (drive->poll_queues) {
        snprintf(polled, sizeof(polled), "%u polled queues", machine->nvme_poll_queues);
    }
    if (drive->in_use) {
        snprintf(change, sizeof(change), "in use: its file system can hold stores in files");
    } else if (drive->nvme && !drive->poll_queues) {
        fitness = CLI_BETTER;
        snprintf(change, sizeof(change),
                 "polled queues: nvme.poll_queues=%u at boot (options nvme poll_queues=%u in "
                 "/etc/modprobe.d)",
                 machine->cpu_count, machine->cpu_count);
    } else if (drive->nvme && drive->block_bytes != 4096) {
        fitness = CLI_BETTER;
        snprintf(change, sizeof(change),
                 "blocks of 4096 bytes, where the drive has them: nvme format --block-size=4096 "
                 "/dev/%s (destroys what it holds)",
                 drive->name);
    }
    add(list, what, fitness, change, "%llu GB, blocks %u, %s, %s, %s%s%s",
        (unsigned long long)(drive->size_bytes / 1000000000), drive->block_bytes,
        drive->write_cache ? "volatile cache" : "no volatile cache",
        drive->fua ? "FUA" : "no FUA (flush)", polled, drive->character ? ", NVMe commands" : "",
        atomic);
}

unsigned
cli_findings(const struct mr_machine *machine, const struct cli_kernel *kernel,
             struct cli_finding *out)
{
    struct list list = {out, 0};

    find_kernel(machine, kernel, &list);
    find_cpus(machine, &list);
    find_memory(machine, &list);
    find_pages(machine, &list);
    find_vfio(machine, &list);
    for (unsigned i = 0; i < machine->nic_count; i++) {
        find_nic(machine, &machine->nics[i], &list);
    }
    for (unsigned i = 0; i < machine->drive_count; i++) {
        find_drive(machine, &machine->drives[i], &list);
    }
    return list.count;
}
