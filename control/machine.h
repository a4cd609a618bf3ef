/* control/machine.h: what this machine has: CPUs, huge pages, network cards, drives, limits.
 *
 * Read from procfs and sysfs below a root, which tests fake. Nothing is changed. What a kernel or a
 * container does not show stays zero. Any thread; each call reads anew.
 * Source: Linux's Documentation/ABI (sysfs-class-net, sysfs-block, sysfs-bus-pci,
 * sysfs-kernel-mm-hugepages, sysfs-devices-system-cpu), proc(5). */
#ifndef MR_CONTROL_MACHINE_H
#define MR_CONTROL_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_MACHINE_CPUS_MAX   1024u
#define MR_MACHINE_NICS_MAX   64u
#define MR_MACHINE_DRIVES_MAX 64u
#define MR_MACHINE_NAME_SIZE  64u

struct mr_machine_pages {
    uint64_t total;
    uint64_t free;
};

struct mr_machine_nic {
    char name[MR_MACHINE_NAME_SIZE]; /* of its network interface; empty: no kernel driver has it */
    char pci[MR_MACHINE_NAME_SIZE];  /* empty: none, as veth */
    char driver[MR_MACHINE_NAME_SIZE]; /* the kernel's; empty: none */
    unsigned vendor;
    unsigned device;
    int node;         /* -1: unknown */
    unsigned queues;  /* for receiving; 0: unknown */
    unsigned mtu;     /* 0: unknown */
    int speed_mbits;  /* 0: unknown */
    bool up;          /* the link is */
    bool has_address; /* it is a path of the kernel's default route, or has routes */
    int iommu_group;  /* -1: none */
};

struct mr_machine_drive {
    char name[MR_MACHINE_NAME_SIZE]; /* nvme0n1 */
    char model[MR_MACHINE_NAME_SIZE];
    bool nvme;
    uint64_t size_bytes;
    unsigned block_bytes;
    bool write_cache; /* volatile: only a flush or a forced write makes durable */
    bool fua;
    bool poll_queues;
    bool character;        /* the namespace's character device for NVMe commands is there */
    uint64_t atomic_bytes; /* written whole or not at all; 0: unknown */
    int node;              /* -1: unknown */
    bool in_use;           /* mounted, partitioned, or part of another device */
};

struct mr_machine {
    char kernel[MR_MACHINE_NAME_SIZE];
    unsigned cpu_count;
    int cpus[MR_MACHINE_CPUS_MAX];         /* online, ascending */
    int8_t cpu_nodes[MR_MACHINE_CPUS_MAX]; /* by index in cpus */
    int siblings[MR_MACHINE_CPUS_MAX];     /* the first CPU of the same core, by index in cpus */
    unsigned node_count;
    uint64_t memory_bytes;
    uint64_t memory_free_bytes; /* available */
    struct mr_machine_pages pages_2m;
    struct mr_machine_pages pages_1g;
    uint64_t memlock_bytes;    /* UINT64_MAX: no limit */
    bool io_uring;             /* not disabled for this user by the system */
    unsigned nvme_poll_queues; /* what the driver was told */
    unsigned iommu_groups;
    bool vfio;     /* its device is there */
    bool vfio_pci; /* its driver for PCI devices is there */
    unsigned nic_count;
    struct mr_machine_nic nics[MR_MACHINE_NICS_MAX];
    unsigned drive_count;
    struct mr_machine_drive drives[MR_MACHINE_DRIVES_MAX];
};

/* `root` is "" for this machine, else the folder that stands for "/". 0, or -errno where there is
 * no sysfs. */
int mr_machine_read(const char *root, struct mr_machine *machine);

bool mr_machine_has_cpu(const struct mr_machine *machine, int cpu);

/* NULL where there is none. */
const struct mr_machine_nic *mr_machine_nic_by_pci(const struct mr_machine *machine,
                                                   const char *pci);
const struct mr_machine_nic *mr_machine_nic_by_name(const struct mr_machine *machine,
                                                    const char *name);
const struct mr_machine_drive *mr_machine_drive_by_path(const struct mr_machine *machine,
                                                        const char *path);

#endif
