/* control/machine_check.c: refuses what this machine does not have. */
#include "control/machine_check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/profile.h"

#define MIB         (1024ull * 1024)
#define DEVICE_SIZE 512
#define NAME_SIZE   256

/* ---- CPUs ------------------------------------------------------------------------------------ */

static int
check_list(const struct mr_config *config, const struct mr_machine *machine, const char *key,
           char *error, size_t size)
{
    int cpus[MR_PROFILE_CPUS_MAX];
    int count = mr_profile_cpus(mr_config_get(config, key), cpus, MR_PROFILE_CPUS_MAX);

    for (int i = 0; i < count; i++) {
        if (!mr_machine_has_cpu(machine, cpus[i])) {
            return mr_config_refuse(config, key, error, size,
                                    "there is no CPU %d: this machine has %u, up to %d; name "
                                    "some of those",
                                    cpus[i], machine->cpu_count,
                                    machine->cpus[machine->cpu_count - 1]);
        }
    }
    return 0;
}

static int
check_cpus(const struct mr_config *config, const struct mr_machine *machine, char *error,
           size_t size)
{
    int64_t shards = mr_config_long(config, "shards");
    int result = check_list(config, machine, "cores.cpus", error, size);

    result = result ? result : check_list(config, machine, "cores.control", error, size);
    if (!result && strcmp(mr_config_get(config, "cores.idle"), "spin") == 0 &&
        (shards >= machine->cpu_count || machine->cpu_count < 2)) {
        return mr_config_refuse(config, "cores.idle", error, size,
                                "shards that never sleep leave no CPU to the rest: there are %u; "
                                "lower shards, or let them sleep (spin-then-sleep)",
                                machine->cpu_count);
    }
    return result;
}

/* ---- the network ----------------------------------------------------------------------------- */

/* Devices whose kernel driver stays beside DPDK's. */
static bool
keeps_kernel_driver(const struct mr_machine_nic *nic)
{
    return strncmp(nic->driver, "mlx", 3) == 0;
}

static int
check_pci(const struct mr_config *config, const struct mr_machine *machine, const char *device,
          char *error, size_t size)
{
    char address[NAME_SIZE];
    const struct mr_machine_nic *nic;

    snprintf(address, sizeof(address), "%.*s", (int)strcspn(device, ","), device);
    nic = mr_machine_nic_by_pci(machine, address);
    if (!nic) {
        return mr_config_refuse(config, "dpdk.device", error, size,
                                "this machine has no network card there; `millrace probe` lists "
                                "those it has");
    }
    if (keeps_kernel_driver(nic) || strcmp(nic->driver, "vfio-pci") == 0 ||
        strncmp(nic->driver, "uio_", 4) == 0 || strncmp(nic->driver, "igb_uio", 7) == 0) {
        return 0;
    }
    return mr_config_refuse(
        config, "dpdk.device", error, size,
        "%s has the card; give it to vfio-pci: modprobe vfio-pci; echo vfio-pci "
        ">/sys/bus/pci/devices/%s/driver_override; echo %s "
        ">/sys/bus/pci/devices/%s/driver/unbind; echo %s "
        ">/sys/bus/pci/drivers_probe",
        nic->driver[0] ? nic->driver : "no driver", address, address, address, address);
}

static int
check_virtual(const struct mr_config *config, const struct mr_machine *machine, const char *device,
              char *error, size_t size)
{
    const char *interface = strstr(device, "iface=");
    char name[NAME_SIZE];

    if (!interface || strncmp(device, "net_tap", 7) == 0) {
        return 0; /* it makes what it needs */
    }
    interface += strlen("iface=");
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(interface, ","), interface);
    if (!mr_machine_nic_by_name(machine, name)) {
        return mr_config_refuse(config, "dpdk.device", error, size,
                                "there is no network interface %s; `ip link` lists those there are",
                                name);
    }
    return 0;
}

static int
check_network(const struct mr_config *config, const struct mr_machine *machine, char *error,
              size_t size)
{
    const char *devices = mr_config_get(config, "dpdk.device");
    bool dpdk = strcmp(mr_config_get(config, "transport"), "dpdk") == 0;
    char device[DEVICE_SIZE];
    int result = 0;

    for (unsigned i = 0; dpdk && !result && mr_config_item(devices, ';', i, device, sizeof(device));
         i++) {
        result = strncmp(device, "net_", 4) == 0
                     ? check_virtual(config, machine, device, error, size)
                     : check_pci(config, machine, device, error, size);
    }
    return result;
}

/* ---- drives ---------------------------------------------------------------------------------- */

static int
check_drive(const struct mr_config *config, const struct mr_machine *machine, const char *path,
            char *error, size_t size)
{
    const struct mr_machine_drive *drive = mr_machine_drive_by_path(machine, path);
    unsigned block = (unsigned)mr_config_long(config, "drives.block.bytes");

    if (strncmp(path, "/dev/", 5) != 0) {
        return 0;
    }
    if (!drive && access(path, F_OK) != 0) {
        return mr_config_refuse(config, "log.dirs", error, size,
                                "there is no %s; `millrace probe` lists the drives", path);
    }
    if (drive && block && drive->block_bytes != block) {
        return mr_config_refuse(config, "drives.block.bytes", error, size,
                                "%s has blocks of %u bytes; change the setting, or the drive's "
                                "format (nvme format --block-size=%u %s destroys what it holds)",
                                path, drive->block_bytes, block, path);
    }
    return 0;
}

static int
check_drives(const struct mr_config *config, const struct mr_machine *machine, char *error,
             size_t size)
{
    const char *paths = mr_config_get(config, "log.dirs");

    while (*paths) {
        char path[NAME_SIZE];
        size_t path_size = strcspn(paths, ",");
        int result;

        snprintf(path, sizeof(path), "%.*s", (int)path_size, paths);
        result = check_drive(config, machine, path, error, size);
        if (result) {
            return result;
        }
        paths += path_size;
        paths += *paths == ',';
    }
    return 0;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int
check_pages(const struct mr_config *config, const char *key, const struct mr_machine_pages *pages,
            const char *folder, char *error, size_t size)
{
    int64_t wanted = mr_config_long(config, key);

    if (wanted <= (int64_t)pages->free) {
        return 0;
    }
    return mr_config_refuse(
        config, key, error, size,
        "%llu are free; reserve them: echo %lld >/sys/kernel/mm/hugepages/%s/nr_hugepages",
        (unsigned long long)pages->free,
        (long long)(wanted + (int64_t)(pages->total - pages->free)), folder);
}

int
mr_machine_check_pages(const struct mr_config *config, uint64_t pinned_bytes, char *error,
                       size_t error_size)
{
    uint64_t small = (uint64_t)mr_config_long(config, "hugepages.2m");
    uint64_t large = (uint64_t)mr_config_long(config, "hugepages.1g");
    uint64_t bytes = small * 2 * MIB + large * 1024 * MIB;

    if (bytes == 0 || bytes >= pinned_bytes) {
        return 0;
    }
    return mr_config_refuse(config, large > 0 ? "hugepages.1g" : "hugepages.2m", error, error_size,
                            "%llu MiB in all, and %llu MiB are needed: ask for more, or lower "
                            "memory.bytes or dpdk.packets",
                            (unsigned long long)(bytes / MIB),
                            (unsigned long long)((pinned_bytes + MIB - 1) / MIB));
}

int
mr_machine_check_memory(const struct mr_config *config, const struct mr_machine *machine,
                        uint64_t pinned_bytes, char *error, size_t error_size)
{
    uint64_t wanted = (uint64_t)mr_config_long(config, "memory.bytes");
    uint64_t reserved = machine->pages_2m.total * 2 * MIB + machine->pages_1g.total * 1024 * MIB;
    int result = mr_machine_check_pages(config, pinned_bytes, error, error_size);

    if (!result) {
        result = check_pages(config, "hugepages.2m", &machine->pages_2m, "hugepages-2048kB", error,
                             error_size);
    }
    if (!result) {
        result = check_pages(config, "hugepages.1g", &machine->pages_1g, "hugepages-1048576kB",
                             error, error_size);
    }
    if (!result && machine->memory_bytes > 0 && wanted > machine->memory_bytes) {
        result = mr_config_refuse(config, "memory.bytes", error, error_size,
                                  "this machine has %llu MiB, %llu of them in huge pages; give the "
                                  "broker less",
                                  (unsigned long long)(machine->memory_bytes / MIB),
                                  (unsigned long long)(reserved / MIB));
    }
    return result;
}

/* ---- all ------------------------------------------------------------------------------------- */

int
mr_machine_check(const struct mr_config *config, const struct mr_machine *machine, char *error,
                 size_t error_size)
{
    int result = check_cpus(config, machine, error, error_size);

    result = result ? result : check_network(config, machine, error, error_size);
    return result ? result : check_drives(config, machine, error, error_size);
}
