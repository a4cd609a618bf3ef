/* control/machine.c: reads procfs and sysfs. */
#include "control/machine.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_SIZE 4096
#define PCI_NIC   0x0200 /* class and subclass of an Ethernet controller */
#define SECTOR    512
#define MBIT_MAX  10000000

/* ---- files ----------------------------------------------------------------------------------- */

/* The first line of a file without its line break; empty where there is none. */
static void
read_text(const char *root, char *out, size_t out_size, const char *path)
{
    char whole[PATH_MAX];
    FILE *file;

    out[0] = '\0';
    snprintf(whole, sizeof(whole), "%s%s", root, path);
    file = fopen(whole, "r");
    if (!file) {
        return;
    }
    if (!fgets(out, (int)out_size, file)) {
        out[0] = '\0';
    }
    fclose(file);
    out[strcspn(out, "\n")] = '\0';
}

static int64_t
read_number(const char *root, const char *folder, const char *name, int64_t otherwise)
{
    char path[PATH_MAX];
    char text[64];
    char *end;
    long long number;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    read_text(root, text, sizeof(text), path);
    number = strtoll(text, &end, 0);
    return end == text ? otherwise : number;
}

static bool
exists(const char *root, const char *folder, const char *name)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s%s/%s", root, folder, name);
    return access(path, F_OK) == 0;
}

/* The last part of where a link leads; empty where there is none. */
static void
read_link(const char *root, const char *folder, const char *name, char *out, size_t out_size)
{
    char path[PATH_MAX];
    char target[PATH_MAX];
    const char *last;
    ssize_t size;

    snprintf(path, sizeof(path), "%s%s/%s", root, folder, name);
    size = readlink(path, target, sizeof(target) - 1);
    target[size > 0 ? size : 0] = '\0';
    last = strrchr(target, '/');
    snprintf(out, out_size, "%s", last ? last + 1 : target);
}

/* Calls `each` for the entries of a folder in the order of their names; how many. */
static unsigned
for_each(const char *root, const char *folder, void (*each)(void *context, const char *name),
         void *context)
{
    char path[PATH_MAX];
    struct dirent **entries;
    unsigned found = 0;
    int count;

    snprintf(path, sizeof(path), "%s%s", root, folder);
    count = scandir(path, &entries, NULL, versionsort);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            found++;
            if (each) {
                each(context, entries[i]->d_name);
            }
        }
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
    return found;
}

struct reading {
    const char *root;
    struct mr_machine *machine;
    const char *folder; /* of the current device */
    void *device;
};

/* ---- CPUs and memory ------------------------------------------------------------------------- */

/* Calls `each` for the numbers of a list such as "0-3,8". */
static void
for_each_in(const char *list, void (*each)(struct reading *reading, int number, int node),
            struct reading *reading, int node)
{
    while (*list) {
        char *end;
        long first = strtol(list, &end, 10);
        long last = first;

        if (end == list) {
            return;
        }
        if (*end == '-') {
            last = strtol(end + 1, &end, 10);
        }
        for (long number = first; number <= last && number < INT16_MAX; number++) {
            each(reading, (int)number, node);
        }
        list = *end == ',' ? end + 1 : end + strlen(end);
    }
}

static void
add_cpu(struct reading *reading, int cpu, int node)
{
    struct mr_machine *machine = reading->machine;
    char path[PATH_MAX];
    char siblings[64];

    (void)node;
    if (machine->cpu_count == MR_MACHINE_CPUS_MAX) {
        return;
    }
    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
             cpu);
    read_text(reading->root, siblings, sizeof(siblings), path);
    machine->siblings[machine->cpu_count] = siblings[0] ? (int)strtol(siblings, NULL, 10) : cpu;
    machine->cpus[machine->cpu_count++] = cpu;
}

static void
set_node(struct reading *reading, int cpu, int node)
{
    for (unsigned i = 0; i < reading->machine->cpu_count; i++) {
        if (reading->machine->cpus[i] == cpu) {
            reading->machine->cpu_nodes[i] = (int8_t)node;
        }
    }
}

static void
add_node(void *context, const char *name)
{
    struct reading *reading = context;
    char path[PATH_MAX];
    char list[TEXT_SIZE];

    if (strncmp(name, "node", 4) != 0 || name[4] < '0' || name[4] > '9') {
        return;
    }
    reading->machine->node_count++;
    snprintf(path, sizeof(path), "/sys/devices/system/node/%s/cpulist", name);
    read_text(reading->root, list, sizeof(list), path);
    for_each_in(list, set_node, reading, (int)strtol(name + 4, NULL, 10));
}

static void
read_pages(const char *root, const char *folder, struct mr_machine_pages *pages)
{
    pages->total = (uint64_t)read_number(root, folder, "nr_hugepages", 0);
    pages->free = (uint64_t)read_number(root, folder, "free_hugepages", 0);
}

/* A line "NAME: NUMBER ..." of a file in procfs, 0 without it. */
static uint64_t
read_line(const char *root, const char *path, const char *name)
{
    char whole[PATH_MAX];
    char line[256];
    uint64_t number = 0;
    FILE *file;

    snprintf(whole, sizeof(whole), "%s%s", root, path);
    file = fopen(whole, "r");
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, name, strlen(name)) == 0) {
            const char *at = line + strlen(name);

            at += strspn(at, ": ");
            number = strncmp(at, "unlimited", 9) == 0 ? UINT64_MAX : strtoull(at, NULL, 10);
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    return number;
}

static void
read_memory(struct reading *reading)
{
    struct mr_machine *machine = reading->machine;
    const char *root = reading->root;

    machine->memory_bytes = read_line(root, "/proc/meminfo", "MemTotal") * 1024;
    machine->memory_free_bytes = read_line(root, "/proc/meminfo", "MemAvailable") * 1024;
    machine->memlock_bytes = read_line(root, "/proc/self/limits", "Max locked memory");
    read_pages(root, "/sys/kernel/mm/hugepages/hugepages-2048kB", &machine->pages_2m);
    read_pages(root, "/sys/kernel/mm/hugepages/hugepages-1048576kB", &machine->pages_1g);
}

/* ---- network cards --------------------------------------------------------------------------- */

static void
count_receive_queue(void *context, const char *name)
{
    unsigned *count = context;

    *count += strncmp(name, "rx-", 3) == 0;
}

static bool
has_route(const char *root, const char *interface)
{
    char path[PATH_MAX];
    char line[256];
    size_t size = strlen(interface);
    bool found = false;
    FILE *file;

    snprintf(path, sizeof(path), "%s/proc/net/route", root);
    file = fopen(path, "r");
    while (file && !found && fgets(line, sizeof(line), file)) {
        found = strncmp(line, interface, size) == 0 && line[size] == '\t';
    }
    if (file) {
        fclose(file);
    }
    return found;
}

static void
read_interface(const char *root, const char *name, struct mr_machine_nic *nic)
{
    char folder[PATH_MAX];
    char queues[PATH_MAX];
    char state[32];
    int64_t speed;

    snprintf(folder, sizeof(folder), "/sys/class/net/%s", name);
    snprintf(nic->name, sizeof(nic->name), "%s", name);
    nic->mtu = (unsigned)read_number(root, folder, "mtu", 0);
    speed = read_number(root, folder, "speed", 0);
    nic->speed_mbits = speed > 0 && speed < MBIT_MAX ? (int)speed : 0;
    snprintf(queues, sizeof(queues), "%s/operstate", folder);
    read_text(root, state, sizeof(state), queues);
    nic->up = strcmp(state, "up") == 0;
    nic->has_address = has_route(root, name);
    snprintf(queues, sizeof(queues), "%s/queues", folder);
    nic->queues = 0;
    for_each(root, queues, count_receive_queue, &nic->queues);
}

static void
on_pci_interface(void *context, const char *name)
{
    struct reading *reading = context;

    read_interface(reading->root, name, reading->device);
}

/* A virtio device lies below its PCI device, and the interface below that. */
static void
on_pci_child(void *context, const char *name)
{
    struct reading *reading = context;
    char path[PATH_MAX];

    if (strncmp(name, "virtio", 6) == 0) {
        snprintf(path, sizeof(path), "%s/%s/net", reading->folder, name);
        for_each(reading->root, path, on_pci_interface, reading);
    }
}

static void
on_pci(void *context, const char *name)
{
    struct reading *reading = context;
    struct mr_machine *machine = reading->machine;
    struct mr_machine_nic *nic = &machine->nics[machine->nic_count];
    char folder[PATH_MAX];
    char path[PATH_MAX];
    char group[MR_MACHINE_NAME_SIZE];

    snprintf(folder, sizeof(folder), "/sys/bus/pci/devices/%s", name);
    if (machine->nic_count == MR_MACHINE_NICS_MAX ||
        read_number(reading->root, folder, "class", 0) >> 8 != PCI_NIC) {
        return;
    }
    machine->nic_count++;
    snprintf(nic->pci, sizeof(nic->pci), "%s", name);
    nic->vendor = (unsigned)read_number(reading->root, folder, "vendor", 0);
    nic->device = (unsigned)read_number(reading->root, folder, "device", 0);
    nic->node = (int)read_number(reading->root, folder, "numa_node", -1);
    read_link(reading->root, folder, "driver", nic->driver, sizeof(nic->driver));
    read_link(reading->root, folder, "iommu_group", group, sizeof(group));
    nic->iommu_group = group[0] ? (int)strtol(group, NULL, 10) : -1;
    reading->folder = folder;
    reading->device = nic;
    snprintf(path, sizeof(path), "%s/net", folder);
    for_each(reading->root, path, on_pci_interface, reading);
    for_each(reading->root, folder, on_pci_child, reading);
}

/* Interfaces without a PCI device: veth, tap, bridges. */
static void
on_interface(void *context, const char *name)
{
    struct reading *reading = context;
    struct mr_machine *machine = reading->machine;
    struct mr_machine_nic *nic = &machine->nics[machine->nic_count];

    if (machine->nic_count == MR_MACHINE_NICS_MAX || strcmp(name, "lo") == 0 ||
        mr_machine_nic_by_name(machine, name)) {
        return;
    }
    machine->nic_count++;
    nic->node = -1;
    nic->iommu_group = -1;
    read_interface(reading->root, name, nic);
}

/* ---- drives ---------------------------------------------------------------------------------- */

static bool
mounted(const char *root, const char *name)
{
    char path[PATH_MAX];
    char line[TEXT_SIZE];
    char device[128];
    size_t size = (size_t)snprintf(device, sizeof(device), "/dev/%s", name);
    bool found = false;
    FILE *file;

    snprintf(path, sizeof(path), "%s/proc/self/mounts", root);
    file = fopen(path, "r");
    while (file && !found && fgets(line, sizeof(line), file)) {
        found = strncmp(line, device, size) == 0 && strchr(" p0123456789", line[size]) != NULL;
    }
    if (file) {
        fclose(file);
    }
    return found;
}

static void
on_partition(void *context, const char *name)
{
    struct mr_machine_drive *drive = context;

    if (strncmp(name, drive->name, strlen(drive->name)) == 0) {
        drive->in_use = true;
    }
}

static void
read_queue(const char *root, const char *folder, struct mr_machine_drive *drive)
{
    char queue[PATH_MAX];
    char path[PATH_MAX];
    char text[64];

    snprintf(queue, sizeof(queue), "%s/queue", folder);
    drive->block_bytes = (unsigned)read_number(root, queue, "logical_block_size", 0);
    drive->fua = read_number(root, queue, "fua", 0) == 1;
    drive->poll_queues = read_number(root, queue, "io_poll", 0) == 1;
    drive->atomic_bytes = (uint64_t)read_number(root, queue, "atomic_write_max_bytes", 0);
    snprintf(path, sizeof(path), "%s/write_cache", queue);
    read_text(root, text, sizeof(text), path);
    drive->write_cache = strcmp(text, "write back") == 0;
}

static void
on_drive(void *context, const char *name)
{
    struct reading *reading = context;
    struct mr_machine *machine = reading->machine;
    const char *root = reading->root;
    struct mr_machine_drive *drive = &machine->drives[machine->drive_count];
    char folder[PATH_MAX];
    char path[PATH_MAX];

    snprintf(folder, sizeof(folder), "/sys/block/%s", name);
    if (machine->drive_count == MR_MACHINE_DRIVES_MAX || !exists(root, folder, "device") ||
        read_number(root, folder, "size", 0) <= 0) {
        return; /* loop devices and the like have no device below them */
    }
    machine->drive_count++;
    snprintf(drive->name, sizeof(drive->name), "%s", name);
    snprintf(path, sizeof(path), "%s/device/model", folder);
    read_text(root, drive->model, sizeof(drive->model), path);
    for (size_t size = strlen(drive->model); size > 0 && drive->model[size - 1] == ' '; size--) {
        drive->model[size - 1] = '\0';
    }
    drive->nvme = strncmp(name, "nvme", 4) == 0;
    drive->size_bytes = (uint64_t)read_number(root, folder, "size", 0) * SECTOR;
    drive->node = (int)read_number(root, folder, "device/numa_node", -1);
    read_queue(root, folder, drive);
    snprintf(path, sizeof(path), "ng%s", drive->nvme ? name + 4 : "");
    drive->character = drive->nvme && exists(root, "/sys/class/nvme-generic", path);
    for_each(root, folder, on_partition, drive);
    snprintf(path, sizeof(path), "%s/holders", folder);
    drive->in_use |= for_each(root, path, NULL, NULL) > 0 || mounted(root, name);
}

/* ---- all ------------------------------------------------------------------------------------- */

int
mr_machine_read(const char *root, struct mr_machine *machine)
{
    struct reading reading = {.root = root, .machine = machine};
    char text[TEXT_SIZE];

    memset(machine, 0, sizeof(*machine));
    if (!exists(root, "/sys", "devices")) {
        return -ENOENT;
    }
    read_text(root, machine->kernel, sizeof(machine->kernel), "/proc/sys/kernel/osrelease");
    read_text(root, text, sizeof(text), "/sys/devices/system/cpu/online");
    for_each_in(text, add_cpu, &reading, 0);
    for_each(root, "/sys/devices/system/node", add_node, &reading);
    read_memory(&reading);
    machine->io_uring = read_number(root, "/proc/sys/kernel", "io_uring_disabled", 0) == 0;
    machine->nvme_poll_queues =
        (unsigned)read_number(root, "/sys/module/nvme/parameters", "poll_queues", 0);
    machine->iommu_groups = for_each(root, "/sys/kernel/iommu_groups", NULL, NULL);
    machine->vfio = exists(root, "/dev/vfio", "vfio");
    machine->vfio_pci = exists(root, "/sys/bus/pci/drivers", "vfio-pci");
    for_each(root, "/sys/bus/pci/devices", on_pci, &reading);
    for_each(root, "/sys/class/net", on_interface, &reading);
    for_each(root, "/sys/block", on_drive, &reading);
    return 0;
}

bool
mr_machine_has_cpu(const struct mr_machine *machine, int cpu)
{
    for (unsigned i = 0; i < machine->cpu_count; i++) {
        if (machine->cpus[i] == cpu) {
            return true;
        }
    }
    return false;
}

const struct mr_machine_nic *
mr_machine_nic_by_pci(const struct mr_machine *machine, const char *pci)
{
    for (unsigned i = 0; i < machine->nic_count; i++) {
        if (machine->nics[i].pci[0] && strcmp(machine->nics[i].pci, pci) == 0) {
            return &machine->nics[i];
        }
    }
    return NULL;
}

const struct mr_machine_nic *
mr_machine_nic_by_name(const struct mr_machine *machine, const char *name)
{
    for (unsigned i = 0; i < machine->nic_count; i++) {
        if (strcmp(machine->nics[i].name, name) == 0) {
            return &machine->nics[i];
        }
    }
    return NULL;
}

const struct mr_machine_drive *
mr_machine_drive_by_path(const struct mr_machine *machine, const char *path)
{
    for (unsigned i = 0; i < machine->drive_count; i++) {
        if (strncmp(path, "/dev/", 5) == 0 && strcmp(machine->drives[i].name, path + 5) == 0) {
            return &machine->drives[i];
        }
    }
    return NULL;
}
