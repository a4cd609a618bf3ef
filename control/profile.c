/* control/profile.c: reads profiles and checks what they say against itself. */
#include "control/profile.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config_keys.h"

#define NAME_SIZE_MAX   128
#define ORIGIN_SIZE_MAX 512
#define LIST_SIZE_MAX   4096
#define SHARDS_MAX      127
#define DEVICE_SIZE_MAX 512
#define DEVICES_MAX     16u
#define DPDK_MTU_MIN    576
#define DPDK_MTU_MAX    9000

/* What a profile may say, and the key it stands for. */
static const struct {
    const char *section;
    const char *name;
    const char *key;
} rows[] = {
    {"cores", "shards", "shards"},
    {"cores", "cpus", "cores.cpus"},
    {"cores", "control", "cores.control"},
    {"idle", "policy", "cores.idle"},
    {"idle", "spin_us", "cores.spin.us"},
    {"hugepages", "pages_2m", "hugepages.2m"},
    {"hugepages", "pages_1g", "hugepages.1g"},
    {"nic", "transport", "transport"},
    {"nic", "driver", "dpdk.driver"},
    {"nic", "device", "dpdk.device"},
    {"nic", "queues", "dpdk.queues"},
    {"nic", "address", "dpdk.address"},
    {"nic", "gateway", "dpdk.gateway"},
    {"nic", "mtu", "dpdk.mtu"},
    {"nic", "checksums", "dpdk.checksums"},
    {"nic", "packets", "dpdk.packets"},
    {"nic", "poll_us", "dpdk.poll.us"},
    {"drives", "paths", "log.dirs"},
    {"drives", "metadata", "metadata.log.dir"},
    {"drives", "block_bytes", "drives.block.bytes"},
    {"drives", "flush", "drives.flush"},
    {"drives", "queue_depth", "drives.depth"},
    {"drives", "polled", "drives.polled"},
    {"drives", "passthrough", "drives.passthrough"},
    {"drives", "registered", "drives.registered"},
    {"drives", "discard", "drives.discard"},
    {"memory", "bytes", "memory.bytes"},
    {"stores", "per_dir", "stores.per.dir"},
    {"stores", "bytes", "store.bytes"},
    {"stores", "growth_bytes", "store.growth.bytes"},
    {"stores", "journal_bytes", "journal.bytes"},
    {"stores", "direct_run_bytes", "store.direct.run.bytes"},
    {"pools", "connections", "max.connections"},
    {"pools", "partitions", "partitions.max"},
    {"pools", "producers", "producer.entries.max"},
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

/* DPDK drivers and what their devices look like: the prefix of a virtual device's arguments, or a
 * PCI address. */
static const struct {
    const char *driver;
    bool pci;
} drivers[] = {
    {"mlx5_pci", true},      {"net_af_packet", false},   {"net_af_xdp", false},
    {"net_e1000_igb", true}, {"net_ena", true},          {"net_gve", true},
    {"net_i40e", true},      {"net_iavf", true},         {"net_ice", true},
    {"net_ixgbe", true},     {"net_memif", false},       {"net_tap", false},
    {"net_virtio", true},    {"net_virtio_user", false},
};

#define DRIVER_COUNT (sizeof(drivers) / sizeof(drivers[0]))

/* ---- reading --------------------------------------------------------------------------------- */

struct profile {
    struct mr_config *config;
    const char *path;
    FILE *file;
    unsigned line;         /* the one that was read last */
    unsigned refused_line; /* the one that `error` is about */
    bool has_paths;        /* [drives] paths came already */
    char *error;
    size_t error_size;
};

bool
mr_profile_row(unsigned index, const char **section, const char **name, const char **key)
{
    if (index >= ROW_COUNT) {
        return false;
    }
    *section = rows[index].section;
    *name = rows[index].name;
    *key = rows[index].key;
    return true;
}

static int
unknown_row(const struct profile *profile, const char *section, const char *name)
{
    char whole[NAME_SIZE_MAX];
    char row[NAME_SIZE_MAX];
    unsigned best = 0;
    unsigned best_distance = UINT32_MAX;

    snprintf(whole, sizeof(whole), "[%s] %s", section, name);
    for (unsigned i = 0; i < ROW_COUNT; i++) {
        unsigned d;

        snprintf(row, sizeof(row), "[%s] %s", rows[i].section, rows[i].name);
        d = mr_config_distance(whole, row);
        if (d < best_distance) {
            best_distance = d;
            best = i;
        }
    }
    snprintf(profile->error, profile->error_size,
             "%s:%u: unknown setting '%s'; did you mean '[%s] %s'?", profile->path, profile->line,
             whole, rows[best].section, rows[best].name);
    return 0;
}

/* Sets a key. Lines of inih are short: several with paths make one list. */
static int
set_row(struct profile *profile, const char *key, const char *value)
{
    bool more = strcmp(key, "log.dirs") == 0 && profile->has_paths;
    char origin[ORIGIN_SIZE_MAX];
    char list[LIST_SIZE_MAX];

    snprintf(origin, sizeof(origin), "%s:%u", profile->path, profile->line);
    snprintf(list, sizeof(list), "%s%s%s", more ? mr_config_get(profile->config, key) : "",
             more ? "," : "", value);
    profile->has_paths |= strcmp(key, "log.dirs") == 0;
    return mr_config_set(profile->config, key, list, origin, profile->error, profile->error_size);
}

/* inih's convention: nonzero is success. */
static int
on_row(void *context, const char *section, const char *name, const char *value)
{
    struct profile *profile = context;

    if (profile->refused_line) {
        return 0; /* the first fault is the one to report */
    }
    profile->refused_line = profile->line; /* unless it is taken */
    for (unsigned i = 0; i < ROW_COUNT; i++) {
        if (strcmp(rows[i].section, section) == 0 && strcmp(rows[i].name, name) == 0) {
            if (set_row(profile, rows[i].key, value) != 0) {
                return 0;
            }
            profile->refused_line = 0;
            return 1;
        }
    }
    return unknown_row(profile, section, name);
}

/* inih's reader of lines; it calls on_row() for each before it wants the next. */
static char *
next_line(char *line, int size, void *context)
{
    struct profile *profile = context;

    profile->line++;
    return fgets(line, size, profile->file);
}

int
mr_profile_load(struct mr_config *config, const char *path, char *error, size_t error_size)
{
    struct profile profile = {config, path, fopen(path, "r"), 0, 0, false, error, error_size};
    int line;

    if (!profile.file) {
        snprintf(error, error_size, "%s: cannot be read: %s", path, strerror(errno));
        return -EINVAL;
    }
    line = ini_parse_stream(next_line, &profile, on_row, &profile);
    fclose(profile.file);
    if (line == 0) {
        return 0;
    }
    if (line != (int)profile.refused_line) { /* inih could make nothing of an earlier one */
        snprintf(error, error_size, "%s:%d: neither [section] nor name = value", path, line);
    }
    return -EINVAL;
}

/* ---- checking -------------------------------------------------------------------------------- */

static bool
add_cpu(long cpu, int *cpus, unsigned *count, unsigned count_max)
{
    for (unsigned i = 0; i < *count; i++) {
        if (cpus[i] == cpu) {
            return false;
        }
    }
    if (*count == count_max || cpu < 0 || cpu > INT16_MAX) {
        return false;
    }
    cpus[(*count)++] = (int)cpu;
    return true;
}

int
mr_profile_cpus(const char *list, int *cpus, unsigned count_max)
{
    unsigned count = 0;

    while (*list) {
        char *end;
        long first = strtol(list, &end, 10);
        long last = first;

        if (end == list) {
            return -EINVAL;
        }
        if (*end == '-') {
            list = end + 1;
            last = strtol(list, &end, 10);
        }
        if (end == list || last < first || (*end && *end != ',')) {
            return -EINVAL;
        }
        for (long cpu = first; cpu <= last; cpu++) {
            if (!add_cpu(cpu, cpus, &count, count_max)) {
                return -EINVAL;
            }
        }
        list = *end ? end + 1 : end;
    }
    return (int)count;
}

static int
check_cores(const struct mr_config *config, char *error, size_t size)
{
    int64_t shards = mr_config_long(config, "shards");
    const char *idle = mr_config_get(config, "cores.idle");
    int cpus[MR_PROFILE_CPUS_MAX];
    int count = mr_profile_cpus(mr_config_get(config, "cores.cpus"), cpus, MR_PROFILE_CPUS_MAX);

    if (shards < 0 || shards > SHARDS_MAX) {
        return mr_config_refuse(config, "shards", error, size,
                                "between 1 and %d, or 0 to let the broker choose", SHARDS_MAX);
    }
    if (count < 0) {
        return mr_config_refuse(config, "cores.cpus", error, size,
                                "give each shard's CPU once, such as 1-7,9");
    }
    if (count > 0 && count != shards) {
        return mr_config_refuse(config, "cores.cpus", error, size,
                                "%d CPU%s for %lld shards; name one for each shard, and set shards",
                                count, count == 1 ? "" : "s", (long long)shards);
    }
    if (mr_profile_cpus(mr_config_get(config, "cores.control"), cpus, MR_PROFILE_CPUS_MAX) < 0) {
        return mr_config_refuse(config, "cores.control", error, size,
                                "give CPUs once each, such as 0,8");
    }
    if (strcmp(idle, "spin") != 0 && strcmp(idle, "spin-then-sleep") != 0 &&
        strcmp(idle, "interrupts") != 0) {
        return mr_config_refuse(config, "cores.idle", error, size,
                                "spin, spin-then-sleep or interrupts");
    }
    if (strcmp(idle, "spin-then-sleep") != 0 && mr_config_long(config, "cores.spin.us") > 0) {
        return mr_config_refuse(config, "cores.spin.us", error, size,
                                "only spin-then-sleep has a time to spin; leave it out, or change "
                                "the idle policy");
    }
    return 0;
}

/* 0000:3b:00.0, in hexadecimal. */
static bool
is_pci_address(const char *text)
{
    static const char form[] = "hhhh:hh:hh.h";
    size_t i = 0;

    for (; form[i] && text[i]; i++) {
        bool hex = strchr("0123456789abcdef", text[i]) != NULL;

        if (form[i] == 'h' ? !hex : text[i] != form[i]) {
            return false;
        }
    }
    return !form[i] && (!text[i] || text[i] == ',');
}

static int
check_driver(const struct mr_config *config, char *error, size_t size)
{
    const char *driver = mr_config_get(config, "dpdk.driver");
    const char *device = mr_config_get(config, "dpdk.device");
    size_t driver_size = strlen(driver);

    for (unsigned i = 0; i < DRIVER_COUNT && driver[0]; i++) {
        if (strcmp(drivers[i].driver, driver) != 0) {
            continue;
        }
        if (drivers[i].pci && !is_pci_address(device)) {
            return mr_config_refuse(config, "dpdk.device", error, size,
                                    "%s drives a PCI device; give its address, such as "
                                    "0000:3b:00.0",
                                    driver);
        }
        if (!drivers[i].pci && strncmp(device, driver, driver_size) != 0) {
            return mr_config_refuse(config, "dpdk.device", error, size,
                                    "the device of %s begins with %s0", driver, driver);
        }
        return 0;
    }
    return driver[0] ? mr_config_refuse(config, "dpdk.driver", error, size,
                                        "no driver that is known here; leave it out to take any")
                     : 0;
}

/* "A.B.C.D", or "A.B.C.D/BITS" where a subnet may be there. */
static bool
is_ipv4(const char *text, bool subnet)
{
    const char *slash = subnet ? strchr(text, '/') : NULL;
    size_t size = slash ? (size_t)(slash - text) : strlen(text);
    char plain[INET_ADDRSTRLEN];
    struct in_addr address;
    char *end = "";
    unsigned long bits = 0;

    if (size >= sizeof(plain)) {
        return false;
    }
    memcpy(plain, text, size);
    plain[size] = '\0';
    if (slash) {
        bits = strtoul(slash + 1, &end, 10);
    }
    return inet_pton(AF_INET, plain, &address) == 1 && address.s_addr != 0 && *end == '\0' &&
           bits <= 32 && (!slash || end > slash + 1);
}

/* Several devices are one for each shard, which clients reach by direct routing only. */
static int
check_several(const struct mr_config *config, unsigned count, char *error, size_t size)
{
    int64_t shards = mr_config_long(config, "shards");

    if (count > DEVICES_MAX) {
        return mr_config_refuse(config, "dpdk.device", error, size, "at most %u devices",
                                DEVICES_MAX);
    }
    if (shards != count) {
        return mr_config_refuse(config, "dpdk.device", error, size,
                                "%u devices are one for each shard; set shards to as many", count);
    }
    if (!mr_config_bool(config, "direct.routing")) {
        return mr_config_refuse(config, "dpdk.device", error, size,
                                "several devices need direct.routing=true, or clients would know "
                                "of the first alone");
    }
    return 0;
}

static int
check_devices(const struct mr_config *config, char *error, size_t size)
{
    const char *devices = mr_config_get(config, "dpdk.device");
    const char *addresses = mr_config_get(config, "dpdk.address");
    char device[DEVICE_SIZE_MAX];
    char address[DEVICE_SIZE_MAX];
    unsigned count = 0;

    if (!devices[0]) {
        return mr_config_refuse(config, "transport", error, size,
                                "dpdk.device is missing, such as net_af_packet0,iface=eth1 or "
                                "0000:3b:00.0");
    }
    for (; mr_config_item(devices, ';', count, device, sizeof(device)); count++) {
        bool alone = count == 0 && !strchr(devices, ';');

        if (strncmp(device, "net_", 4) != 0 && !(alone && is_pci_address(device))) {
            return mr_config_refuse(config, "dpdk.device", error, size,
                                    "neither a virtual device (net_...) nor one PCI address "
                                    "(0000:3b:00.0, in small letters)");
        }
        if (!mr_config_bool(config, "dpdk.checksums") &&
            strncmp(device, "net_memif", strlen("net_memif")) != 0) {
            return mr_config_refuse(config, "dpdk.checksums", error, size,
                                    "only memory (net_memif) corrupts nothing; leave it out");
        }
        if (!mr_config_item(addresses, ',', count, address, sizeof(address)) ||
            !is_ipv4(address, true)) {
            return mr_config_refuse(config, "dpdk.address", error, size,
                                    "give the IPv4 address of the port, such as 10.0.0.1/24");
        }
    }
    if (mr_config_item(addresses, ',', count, address, sizeof(address))) {
        return mr_config_refuse(config, "dpdk.address", error, size,
                                "there are more addresses than devices");
    }
    return count > 1 ? check_several(config, count, error, size) : 0;
}

static int
check_nic(const struct mr_config *config, char *error, size_t size)
{
    const char *transport = mr_config_get(config, "transport");
    int64_t packets = mr_config_long(config, "dpdk.packets");
    int64_t queues = mr_config_long(config, "dpdk.queues");
    int64_t shards = mr_config_long(config, "shards");
    int64_t mtu = mr_config_long(config, "dpdk.mtu");
    const char *gateway = mr_config_get(config, "dpdk.gateway");
    int result;

    if (strcmp(transport, "kernel") == 0) {
        return 0;
    }
    if (strcmp(transport, "dpdk") != 0) {
        return mr_config_refuse(config, "transport", error, size, "kernel or dpdk");
    }
    result = check_devices(config, error, size);
    if (result) {
        return result;
    }
    if (gateway[0] &&
        (!is_ipv4(gateway, false) || !strchr(mr_config_get(config, "dpdk.address"), '/'))) {
        return mr_config_refuse(config, "dpdk.gateway", error, size,
                                "give an IPv4 address, and dpdk.address with its subnet");
    }
    if (packets < 1024 || packets > 1000000) {
        return mr_config_refuse(config, "dpdk.packets", error, size, "between 1024 and 1000000");
    }
    if (mtu != 0 && (mtu < DPDK_MTU_MIN || mtu > DPDK_MTU_MAX)) {
        return mr_config_refuse(config, "dpdk.mtu", error, size, "0 for the device's, or %d to %d",
                                DPDK_MTU_MIN, DPDK_MTU_MAX);
    }
    if (queues > 0 && queues < shards) {
        return mr_config_refuse(config, "dpdk.queues", error, size,
                                "%lld shards need as many pairs of queues", (long long)shards);
    }
    return check_driver(config, error, size);
}

static int
check_drive_path(const struct mr_config *config, const char *path, size_t path_size, char *error,
                 size_t size)
{
    bool device = strncmp(path, "/dev/", 5) == 0;

    if (device && !mr_config_get(config, "metadata.log.dir")) {
        return mr_config_refuse(config, "log.dirs", error, size,
                                "devices hold no metadata: set metadata.log.dir to a directory");
    }
    if (mr_config_bool(config, "drives.passthrough") && strncmp(path, "/dev/nvme", 9) != 0) {
        return mr_config_refuse(config, "drives.passthrough", error, size,
                                "%.*s is no NVMe namespace (/dev/nvme0n1); leave it out, or name "
                                "namespaces",
                                (int)path_size, path);
    }
    return 0;
}

static int
check_drives(const struct mr_config *config, char *error, size_t size)
{
    const char *flush = mr_config_get(config, "drives.flush");
    const char *path = mr_config_get(config, "log.dirs");
    int64_t block = mr_config_long(config, "drives.block.bytes");

    if (strcmp(flush, "fua") != 0 && strcmp(flush, "flush") != 0) {
        return mr_config_refuse(config, "drives.flush", error, size, "fua or flush");
    }
    if (block != 0 && block != 512 && block != 4096) {
        return mr_config_refuse(config, "drives.block.bytes", error, size, "512 or 4096");
    }
    while (*path) {
        size_t path_size = strcspn(path, ",");
        int result = check_drive_path(config, path, path_size, error, size);

        if (result) {
            return result;
        }
        path += path_size;
        path += *path == ',';
    }
    return 0;
}

int
mr_profile_check(const struct mr_config *config, char *error, size_t error_size)
{
    int result = check_cores(config, error, error_size);

    result = result ? result : check_nic(config, error, error_size);
    return result ? result : check_drives(config, error, error_size);
}
