/* dataplane/plan.c: shards, stores and the memory budget. */
#include "dataplane/plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/profile.h"
#include "dataplane/base/log.h"
#include "dataplane/kafka/fetch_session.h"
#include "dataplane/net/dpdk_port.h"

#define MIB                 (1024ull * 1024)

#define RECEIVE_BUFFER_SIZE 65536u
#define RECEIVE_BUFFERS     256u
#define REQUESTS_MIN        1024u
#define CONTROL_BYTES       (24 * MIB) /* metadata, libuv, the EAL itself */
#define EAL_SLACK_BYTES     (16 * MIB) /* rte_timer, ring headers, alignment */
#define CONNECTION_BYTES    (8 * MIB)
#define RESPONSE_HEAP_BYTES (32 * MIB)
#define QUOTA_METERS        2048u
#define INDEX_PERCENT       6u
#define FRAME_PERCENT       20u
#define FRAME_BYTES_MIN     (4 * MIB)

/* ---- the machine ----------------------------------------------------------------------------- */

static void
find_cpus(struct mr_plan *plan)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        CPU_SET(0, &set);
    }
    for (int cpu = 0; cpu < CPU_SETSIZE && plan->cpu_count < 256; cpu++) {
        if (CPU_ISSET(cpu, &set)) {
            plan->cpus[plan->cpu_count++] = cpu;
        }
    }
}

static bool
has_shard(const struct mr_plan *plan, int cpu)
{
    for (unsigned i = 0; i < plan->shard_count; i++) {
        if (plan->shard_cpus[i] == cpu) {
            return true;
        }
    }
    return false;
}

/* Those of the configuration; else a CPU for each shard as long as there are enough, the first
 * being the last to be taken, and any for the control thread. */
static void
plan_cpus(const struct mr_config *config, struct mr_plan *plan)
{
    int count = mr_profile_cpus(mr_config_get(config, "cores.control"), plan->control_cpus, 256);

    plan->control_cpu_count = count > 0 ? (unsigned)count : 0;
    if (plan->control_cpu_count == 0) {
        plan->control_cpu_count = plan->cpu_count;
        memcpy(plan->control_cpus, plan->cpus, sizeof(plan->cpus));
    }
    for (unsigned i = 0; i < plan->shard_count; i++) {
        plan->shard_cpus[i] = plan->cpus[(i + 1) % plan->cpu_count];
    }
    mr_profile_cpus(mr_config_get(config, "cores.cpus"), plan->shard_cpus, plan->shard_count);
    for (unsigned i = 0; i < plan->control_cpu_count && plan->spin_ns == UINT64_MAX; i++) {
        if (!has_shard(plan, plan->control_cpus[i])) {
            plan->worker_cpus[plan->worker_cpu_count++] = plan->control_cpus[i];
        }
    }
}

static void
plan_shards(const struct mr_config *config, struct mr_plan *plan)
{
    const char *idle = mr_config_get(config, "cores.idle");
    int64_t wanted = mr_config_long(config, "shards");

    plan->shard_count = (unsigned)wanted;
    if (wanted == 0) {
        plan->shard_count = plan->cpu_count > 1 ? plan->cpu_count - 1 : 1;
        plan->shard_count = plan->shard_count < MR_MESH_ENDPOINTS_MAX - 1
                                ? plan->shard_count
                                : MR_MESH_ENDPOINTS_MAX - 1;
    }
    plan->nic_interrupts = strcmp(idle, "interrupts") == 0;
    plan->spin_ns = (uint64_t)mr_config_long(config, "cores.spin.us") * MR_NS_PER_US;
    if (strcmp(idle, "spin") == 0) {
        plan->spin_ns = UINT64_MAX;
    }
    plan_cpus(config, plan);
}

/* ---- data directories and stores ------------------------------------------------------------- */

static int
make_dir(const char *path, char *error, size_t error_size)
{
    char partial[MR_CONTROL_PATH_SIZE];
    struct stat status;
    int result = 0;

    snprintf(partial, sizeof(partial), "%s", path);
    for (char *at = partial + 1;; at++) {
        char was = *at;

        if (was != '/' && was != '\0') {
            continue;
        }
        *at = '\0';
        if (mkdir(partial, 0755) != 0 && errno != EEXIST) {
            snprintf(error, error_size, "data directory %s: %s; choose another with --data-dir",
                     path, strerror(errno));
            return -errno;
        }
        *at = was;
        if (was == '\0') {
            break;
        }
    }
    if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode)) {
        result = -ENOTDIR;
    } else if (access(path, R_OK | W_OK | X_OK) != 0) {
        result = -errno;
    }
    if (result) {
        snprintf(error, error_size, "data directory %s: %s; choose another with --data-dir", path,
                 strerror(-result));
    }
    return result;
}

/* Sees whether log.dirs names block devices. */
static int
plan_devices(const struct mr_config *config, const char *metadata, struct mr_plan *plan,
             char *error, size_t error_size)
{
    unsigned count = 0;
    struct stat status;

    for (unsigned i = 0; i < plan->dir_count; i++) {
        count += stat(plan->dirs[i], &status) == 0 && S_ISBLK(status.st_mode);
    }
    if (count > 0 && count < plan->dir_count) {
        return mr_config_refuse(config, "log.dirs", error, error_size,
                                "names directories and devices: either may be, not both");
    }
    plan->devices = count > 0;
    if (plan->devices && (!metadata || strlen(metadata) >= sizeof(plan->lock_dirs[0]))) {
        return mr_config_refuse(config, "log.dirs", error, error_size,
                                "names devices: set metadata.log.dir to a directory for the "
                                "metadata");
    }
    if (plan->devices) {
        snprintf(plan->lock_dirs[plan->lock_count++], sizeof(plan->lock_dirs[0]), "%s", metadata);
    }
    return 0;
}

static int
plan_dirs(const struct mr_config *config, struct mr_plan *plan, char *error, size_t error_size)
{
    const char *dirs = mr_config_get(config, "log.dirs");
    const char *metadata = mr_config_get(config, "metadata.log.dir");
    const char *single = mr_config_get(config, "log.dir");

    if (!mr_config_origin(config, "log.dirs") && mr_config_origin(config, "log.dir")) {
        dirs = single; /* Kafka's older name for one directory */
    }
    while (*dirs) {
        size_t size = strcspn(dirs, ",");

        if (plan->dir_count == MR_PLAN_DIRS_MAX || size >= sizeof(plan->dirs[0])) {
            snprintf(error, error_size, "log.dirs: at most %u directories, with paths up to %zu",
                     MR_PLAN_DIRS_MAX, sizeof(plan->dirs[0]) - 1);
            return -EINVAL;
        }
        if (size > 0) {
            memcpy(plan->dirs[plan->dir_count], dirs, size);
            plan->dirs[plan->dir_count++][size] = '\0';
        }
        dirs += size;
        dirs += *dirs == ',';
    }
    if (plan->dir_count == 0) {
        snprintf(error, error_size, "log.dirs names no directory");
        return -EINVAL;
    }
    if (metadata && make_dir(metadata, error, error_size) != 0) {
        return -EINVAL;
    }
    if (plan_devices(config, metadata, plan, error, error_size) != 0) {
        return -EINVAL;
    }
    for (unsigned i = 0; i < plan->dir_count && !plan->devices; i++) {
        int result = make_dir(plan->dirs[i], error, error_size);

        if (result) {
            return result;
        }
        memcpy(plan->lock_dirs[plan->lock_count++], plan->dirs[i], sizeof(plan->dirs[i]));
    }
    snprintf(plan->metadata_path, sizeof(plan->metadata_path), "%s/metadata.log",
             metadata ? metadata : plan->dirs[0]);
    return 0;
}

static void
store_path(const struct mr_plan *plan, unsigned dir, unsigned at, char *out, size_t out_size)
{
    if (plan->devices) {
        snprintf(out, out_size, "%s", plan->dirs[dir]);
        return;
    }
    snprintf(out, out_size, "%s/store-%03u.mr", plan->dirs[dir], at);
}

/* The stores a directory has already. */
static unsigned
count_stores(const struct mr_plan *plan, unsigned dir)
{
    char path[MR_CONTROL_PATH_SIZE];
    unsigned count = 0;

    for (;; count++) {
        store_path(plan, dir, count, path, sizeof(path));
        if (access(path, F_OK) != 0) {
            return count;
        }
    }
}

static int
plan_device_sizes(const struct mr_config *config, struct mr_plan *plan, char *error,
                  size_t error_size)
{
    for (unsigned i = 0; i < plan->store_count; i++) {
        struct mr_control_store *store = &plan->stores[i];
        int fd = open(store->path, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || ioctl(fd, BLKGETSIZE64, &store->size_bytes) != 0) {
            snprintf(error, error_size, "%s: %s", store->path, strerror(errno));
            return -EINVAL;
        }
        close(fd);
        if (plan->journal_bytes > store->size_bytes / 2) {
            return mr_config_refuse(config, "journal.bytes", error, error_size,
                                    "more than half of %s", store->path);
        }
    }
    return 0;
}

static int
plan_stores(const struct mr_config *config, struct mr_plan *plan, char *error, size_t error_size)
{
    unsigned found = plan->devices ? 0 : count_stores(plan, 0);
    int64_t per_dir = plan->devices ? 1 : mr_config_long(config, "stores.per.dir");

    for (unsigned dir = 1; dir < plan->dir_count && !plan->devices; dir++) {
        if (count_stores(plan, dir) != found) {
            snprintf(error, error_size,
                     "%s has %u stores and %s has %u: a directory is missing, or one too many is "
                     "named in log.dirs",
                     plan->dirs[0], found, plan->dirs[dir], count_stores(plan, dir));
            return -EINVAL;
        }
    }
    plan->stores_exist = found > 0;
    plan->stores_per_dir = found > 0 ? found : per_dir > 0 ? (unsigned)per_dir : plan->shard_count;
    plan->store_count = plan->stores_per_dir * plan->dir_count;
    if (plan->store_count > MR_PLAN_STORES_MAX) {
        snprintf(error, error_size, "%u stores; at most %u: lower stores.per.dir",
                 plan->store_count, MR_PLAN_STORES_MAX);
        return -EINVAL;
    }
    plan->store_bytes =
        (uint64_t)mr_config_long(config, "store.bytes") / MR_DEV_BLOCK * MR_DEV_BLOCK;
    plan->journal_bytes =
        (uint64_t)mr_config_long(config, "journal.bytes") / MR_DEV_BLOCK * MR_DEV_BLOCK;
    plan->growth_bytes =
        (uint64_t)mr_config_long(config, "store.growth.bytes") / MR_DEV_BLOCK * MR_DEV_BLOCK;
    if (plan->journal_bytes < MIB ||
        (!plan->devices && plan->journal_bytes > plan->store_bytes / 2)) {
        return mr_config_refuse(config, "journal.bytes", error, error_size,
                                "between 1 MiB and half of store.bytes=%llu",
                                (unsigned long long)plan->store_bytes);
    }
    for (unsigned i = 0; i < plan->store_count; i++) {
        struct mr_control_store *store = &plan->stores[i];
        char path[MR_CONTROL_PATH_SIZE];
        struct stat status;

        store_path(plan, i / plan->stores_per_dir, i % plan->stores_per_dir, path, sizeof(path));
        memcpy(store->path, path, sizeof(path));
        store->size_bytes = plan->store_bytes;
        store->device = plan->devices;
        if (plan->stores_exist && stat(store->path, &status) == 0 && S_ISREG(status.st_mode)) {
            store->size_bytes = (uint64_t)status.st_size;
        }
    }
    return plan->devices ? plan_device_sizes(config, plan, error, error_size) : 0;
}

/* How the stores' drives are driven. */
static void
plan_drives(const struct mr_config *config, struct mr_plan *plan)
{
    plan->drive = (struct mr_dev_options){
        .flush_writes = strcmp(mr_config_get(config, "drives.flush"), "flush") == 0,
        .polled = mr_config_bool(config, "drives.polled"),
        .passthrough = mr_config_bool(config, "drives.passthrough"),
        .registered = mr_config_bool(config, "drives.registered"),
        .depth = (unsigned)mr_config_long(config, "drives.depth"),
    };
}

/* ---- addresses ------------------------------------------------------------------------------- */

/* "PLAINTEXT://host:port" or "host:port"; an empty host means all addresses. */
static int
parse_endpoint(const char *text, const char *key, char *host, size_t host_size, int32_t *port,
               char *error, size_t error_size)
{
    const char *scheme = strstr(text, "://");
    const char *start = scheme ? scheme + 3 : text;
    const char *colon = strrchr(start, ':');
    const char *comma = strchr(text, ',');
    char *end;
    long number;

    if (comma || !colon || (scheme && strncmp(text, "PLAINTEXT://", 12) != 0)) {
        snprintf(error, error_size, "%s=%s: one PLAINTEXT://HOST:PORT is served", key, text);
        return -EINVAL;
    }
    number = strtol(colon + 1, &end, 10);
    if (end == colon + 1 || *end || number < 1 || number > 65535) {
        snprintf(error, error_size, "%s=%s: no port between 1 and 65535", key, text);
        return -EINVAL;
    }
    if (*start == '[' && colon > start + 1 && colon[-1] == ']') {
        snprintf(host, host_size, "%.*s", (int)(colon - start - 2), start + 1);
    } else {
        snprintf(host, host_size, "%.*s", (int)(colon - start), start);
    }
    if (!host[0]) {
        snprintf(host, host_size, "0.0.0.0");
    }
    *port = (int32_t)number;
    return 0;
}

/* With direct routing every shard is a broker, with an id and a port of its own. */
static int
plan_nodes(const struct mr_config *config, struct mr_plan *plan, char *error, size_t error_size)
{
    struct mr_nodes *nodes = &plan->server.nodes;
    int32_t last = (int32_t)plan->shard_count - 1;
    int32_t port = nodes->port > plan->listen_port ? nodes->port : plan->listen_port;

    nodes->id = plan->node_id;
    nodes->count = 1;
    nodes->hosts = plan->nic_count > 1 ? (const char(*)[16])plan->nic_hosts : NULL;
    if (!mr_config_bool(config, "direct.routing")) {
        return 0;
    }
    if (plan->node_id > INT32_MAX / MR_NODE_ID_FACTOR) {
        snprintf(error, error_size, "node.id=%d: at most %d with direct.routing", plan->node_id,
                 INT32_MAX / MR_NODE_ID_FACTOR);
        return -EINVAL;
    }
    if (port + last > UINT16_MAX) {
        snprintf(error, error_size,
                 "direct.routing takes %u ports from %d on; name one of at most %d",
                 plan->shard_count, port, UINT16_MAX - last);
        return -EINVAL;
    }
    nodes->id *= MR_NODE_ID_FACTOR;
    nodes->count = plan->shard_count;
    return 0;
}

static int
plan_addresses(const struct mr_config *config, struct mr_plan *plan, char *error, size_t error_size)
{
    const char *advertised = mr_config_get(config, "advertised.listeners");
    const char *rack = mr_config_get(config, "broker.rack");
    struct mr_nodes *nodes = &plan->server.nodes;
    int32_t port;
    int result = parse_endpoint(mr_config_get(config, "listeners"), "listeners", plan->listen_host,
                                sizeof(plan->listen_host), &port, error, error_size);

    if (result) {
        return result;
    }
    plan->listen_port = (uint16_t)port;
    plan->node_id = (int32_t)mr_config_long(config, "node.id");
    if (mr_config_origin(config, "broker.id") && !mr_config_origin(config, "node.id")) {
        plan->node_id = (int32_t)mr_config_long(config, "broker.id");
    }
    snprintf(nodes->host, sizeof(nodes->host), "%s", plan->listen_host);
    nodes->port = port;
    snprintf(nodes->rack, sizeof(nodes->rack), "%s", rack ? rack : "");
    if (advertised) {
        result = parse_endpoint(advertised, "advertised.listeners", nodes->host,
                                sizeof(nodes->host), &nodes->port, error, error_size);
    } else if (strcmp(nodes->host, "0.0.0.0") == 0 || strcmp(nodes->host, "::") == 0) {
        gethostname(nodes->host, sizeof(nodes->host)); /* as Kafka does */
    }
    return result ? result : plan_nodes(config, plan, error, error_size);
}

/* Which transport carries the connections. */
static void
plan_transport(const struct mr_config *config, struct mr_plan *plan)
{
    char address[32];

    plan->dpdk = strcmp(mr_config_get(config, "transport"), "dpdk") == 0;
    plan->dpdk_packets = (uint32_t)mr_config_long(config, "dpdk.packets");
    while (plan->dpdk && plan->nic_count < MR_PLAN_NICS_MAX &&
           mr_config_item(mr_config_get(config, "dpdk.address"), ',', plan->nic_count, address,
                          sizeof(address))) {
        char *host = plan->nic_hosts[plan->nic_count++];

        snprintf(host, sizeof(plan->nic_hosts[0]), "%.*s", (int)strcspn(address, "/"), address);
    }
    plan->dpdk_mtu = (uint16_t)mr_config_long(config, "dpdk.mtu");
    plan->dpdk_poll_ns = (uint64_t)mr_config_long(config, "dpdk.poll.us") * MR_NS_PER_US;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static uint64_t
per_shard_bytes(const struct mr_plan *plan)
{
    return (uint64_t)plan->receive_buffers * plan->receive_buffer_size +
           (uint64_t)plan->server.requests_max * 16384 + plan->server.frame_heap_bytes_max +
           plan->server.connections_max * 1024ull + mr_quotas_bytes(&plan->server.quota) +
           mr_fetch_sessions_bytes(plan->server.fetch_sessions_max);
}

static void
add_line(void *context, const char *what, size_t bytes)
{
    uint64_t *sum = context;

    (void)what;
    *sum += bytes;
}

/* What a store takes beside its arena, given that its arena is about `arena`. */
static uint64_t
store_overhead(struct mr_plan *plan, uint64_t arena)
{
    uint64_t sum = 0;

    plan->store.arena_bytes = arena;
    plan->store.index_bytes_max = arena * INDEX_PERCENT / 100;
    mr_store_budget(&plan->store, add_line, &sum);
    return sum > arena ? sum - arena : 0;
}

static int
plan_memory(const struct mr_config *config, struct mr_plan *plan, char *error, size_t error_size)
{
    uint64_t frames = plan->memory_bytes * FRAME_PERCENT / 100 / plan->shard_count;
    uint64_t wanted = (uint64_t)mr_config_long(config, "socket.request.max.bytes");
    uint64_t fixed;
    uint64_t arena;
    uint64_t overhead;

    plan->receive_buffer_size = RECEIVE_BUFFER_SIZE;
    plan->receive_buffers = RECEIVE_BUFFERS;
    /* Each connection's may wait: a fetch for data, a JoinGroup for other members. */
    plan->server.requests_max = plan->server.connections_max + plan->server.connections_max / 4;
    if (plan->server.requests_max < REQUESTS_MIN) {
        plan->server.requests_max = REQUESTS_MIN;
    }
    while (plan->shard_count * per_shard_bytes(plan) > plan->memory_bytes / 4 &&
           plan->receive_buffers > 64) {
        plan->receive_buffers /= 2;
        plan->server.requests_max /= 2;
    }
    plan->credits[MR_MESH_GROUP] = plan->server.requests_max; /* each may wait for others */
    frames = frames > FRAME_BYTES_MIN ? frames : FRAME_BYTES_MIN;
    frames = frames < wanted + 4 ? frames : wanted + 4;
    plan->server.frame_heap_bytes_max = frames;
    plan->server.frame_bytes_max = frames - 4 < wanted ? frames - 4 : wanted;
    fixed = CONTROL_BYTES + mr_mesh_bytes(plan->shard_count, plan->credits) +
            plan->shard_count * per_shard_bytes(plan);
    arena = plan->memory_bytes > fixed ? (plan->memory_bytes - fixed) / plan->store_count : 0;
    overhead = store_overhead(plan, arena);
    arena = arena > overhead ? (arena - overhead) / (2 * MIB) * (2 * MIB) : 0;
    plan->store.index_bytes_max = arena * INDEX_PERCENT / 100;
    if (arena < MR_STORE_ARENA_MIN) {
        return mr_config_refuse(
            config, "memory.bytes", error, error_size,
            "too small for %u shards and %u stores: %llu MiB are needed", plan->shard_count,
            plan->store_count,
            (unsigned long long)((fixed + plan->store_count * (MR_STORE_ARENA_MIN + overhead)) /
                                     MIB +
                                 1));
    }
    plan->store.arena_bytes = arena;
    plan->eal_bytes =
        EAL_SLACK_BYTES + mr_mesh_bytes(plan->shard_count, plan->credits) +
        plan->store_count * arena +
        (plan->dpdk
             ? mr_dpdk_port_bytes(mr_config_get(plan->config, "dpdk.device"),
                                  (uint16_t)plan->shard_count, plan->dpdk_packets, plan->dpdk_mtu)
             : 0) +
        (uint64_t)plan->shard_count * plan->receive_buffers * plan->receive_buffer_size;
    return 0;
}

uint64_t
mr_plan_pinned_bytes(const struct mr_config *config)
{
    int64_t shards = mr_config_long(config, "shards");
    bool dpdk = strcmp(mr_config_get(config, "transport"), "dpdk") == 0;
    uint64_t packets = (uint64_t)mr_config_long(config, "dpdk.packets");
    int64_t mtu = mr_config_long(config, "dpdk.mtu");

    shards = shards > 0 ? shards : 1;
    return (uint64_t)mr_config_long(config, "memory.bytes") + EAL_SLACK_BYTES +
           (dpdk ? mr_dpdk_port_bytes(mr_config_get(config, "dpdk.device"), (uint16_t)shards,
                                      (uint32_t)packets, (uint16_t)mtu)
                 : 0);
}

/* One store's share of a limit of the whole broker: partitions are placed evenly, but what is in
 * use need not be, hence twice the even share. */
static uint32_t
share(int64_t limit, unsigned store_count)
{
    int64_t even = limit / store_count + 1;

    even = even * 2 < limit ? even * 2 : limit;
    return even > 0 ? (uint32_t)even : 1;
}

/* A partition is placed on the store that has fewest: none gets more than the even share, but for
 * what is being deleted. */
static uint32_t
logs_share(int64_t limit, unsigned store_count)
{
    int64_t even = limit / store_count + 1;

    even += even / 8 + 64;
    return (uint32_t)(even < limit ? even : limit > 0 ? limit : 1);
}

/* As a whole number; a default beyond what any device gives means no limit. */
static uint64_t
cleaner_rate(const struct mr_config *config)
{
    double rate = strtod(mr_config_get(config, "log.cleaner.io.max.bytes.per.second"), NULL);

    return rate > 0 && rate < 1e15 ? (uint64_t)rate + 1 : 0;
}

/* The share of one shard, rounded up. */
static uint32_t
fetch_sessions(const struct mr_config *config, unsigned shard_count)
{
    int64_t slots = mr_config_long(config, "max.incremental.fetch.session.cache.slots");

    return slots > 0 ? (uint32_t)((slots + shard_count - 1) / shard_count) : 0;
}

static void
plan_limits(const struct mr_config *config, struct mr_plan *plan)
{
    struct mr_server_config *server = &plan->server;
    unsigned endpoints = plan->shard_count + 1;

    plan->memory_bytes = (uint64_t)mr_config_long(config, "memory.bytes");
    plan->credits[MR_MESH_REQUEST] = 128;
    plan->credits[MR_MESH_RELEASE] = 128;
    plan->credits[MR_MESH_WATCH] = endpoints > 16 ? 64 : 1024 / endpoints;
    server->store_count = plan->store_count;
    server->connections_max = (uint32_t)mr_config_long(config, "max.connections");
    server->connection_bytes_max = CONNECTION_BYTES;
    server->response_heap_bytes_max = RESPONSE_HEAP_BYTES;
    server->fetch_bytes_max = (uint32_t)mr_config_long(config, "fetch.response.bytes");
    if (mr_config_long(config, "fetch.max.bytes") < server->fetch_bytes_max) {
        server->fetch_bytes_max = (uint32_t)mr_config_long(config, "fetch.max.bytes");
    }
    server->fetches_parked_max = server->connections_max;
    server->fetch_sessions_max = fetch_sessions(config, plan->shard_count);
    server->idle_ns = (uint64_t)mr_config_long(config, "connections.max.idle.ms") * MR_NS_PER_MS;
    server->retention_check_ns =
        (uint64_t)mr_config_long(config, "log.retention.check.interval.ms") * MR_NS_PER_MS;
    server->cleaner_backoff_ns =
        mr_config_bool(config, "log.cleaner.enable")
            ? (uint64_t)mr_config_long(config, "log.cleaner.backoff.ms") * MR_NS_PER_MS + 1
            : 0;
    server->cleaner_bytes_per_s = cleaner_rate(config);
    server->quota = (struct mr_quota_config){
        .meters_max = QUOTA_METERS,
        .samples = (uint32_t)mr_config_long(config, "quota.window.num"),
        .sample_ms = (uint64_t)mr_config_long(config, "quota.window.size.seconds") * 1000,
        .shard_count = plan->shard_count,
    };
    server->auto_create_topics = mr_config_bool(config, "auto.create.topics.enable");
    plan->store.logs_max = logs_share(mr_config_long(config, "partitions.max"), plan->store_count);
    plan->store.producers_max =
        share(mr_config_long(config, "producer.entries.max"), plan->store_count);
    plan->store.direct_run_bytes = (uint32_t)mr_config_long(config, "store.direct.run.bytes");
    plan->store.discard = plan->devices && mr_config_bool(config, "drives.discard");
}

int
mr_plan_make(const struct mr_config *config, struct mr_plan *plan, char *error, size_t error_size)
{
    int result;

    memset(plan, 0, sizeof(*plan));
    plan->config = config;
    find_cpus(plan);
    plan_shards(config, plan);
    plan_drives(config, plan);
    plan_transport(config, plan);
    result = plan_dirs(config, plan, error, error_size);
    result = result ? result : plan_stores(config, plan, error, error_size);
    result = result ? result : plan_addresses(config, plan, error, error_size);
    if (result) {
        return result;
    }
    if (mr_config_long(config, "max.connections") < 1 ||
        mr_config_long(config, "max.connections") > 100000) {
        snprintf(error, error_size, "max.connections must lie between 1 and 100000");
        return -EINVAL;
    }
    if (mr_config_long(config, "quota.window.num") < 1 ||
        mr_config_long(config, "quota.window.num") > 60 ||
        mr_config_long(config, "quota.window.size.seconds") < 1 ||
        mr_config_long(config, "quota.window.size.seconds") > 3600) {
        snprintf(error, error_size,
                 "quota.window.num must lie between 1 and 60, quota.window.size.seconds between 1 "
                 "and 3600");
        return -EINVAL;
    }
    plan_limits(config, plan);
    return plan_memory(config, plan, error, error_size);
}

/* ---- the budget ------------------------------------------------------------------------------ */

static void
print_line(void *context, const char *what, size_t bytes)
{
    const char *whose = context;

    MR_LOG_INFO("budget", "%-9s %8.1f MiB  %s", whose, (double)bytes / (double)MIB, what);
}

void
mr_plan_print(const struct mr_plan *plan)
{
    char shard[] = "a shard";
    char store[] = "a store";
    char broker[] = "broker";

    MR_LOG_INFO("budget", "%u shard%s, %u store%s, %llu MiB of memory", plan->shard_count,
                plan->shard_count == 1 ? "" : "s", plan->store_count,
                plan->store_count == 1 ? "" : "s", (unsigned long long)(plan->memory_bytes / MIB));
    print_line(broker, "metadata, libuv, EAL", CONTROL_BYTES);
    print_line(broker, "consumer groups at most, beside memory.bytes",
               plan->memory_bytes / MR_CONTROL_GROUPS_PART);
    print_line(broker, "rings between threads", mr_mesh_bytes(plan->shard_count, plan->credits));
    print_line(shard, "receive buffers", (size_t)plan->receive_buffers * plan->receive_buffer_size);
    mr_server_budget(&plan->server, print_line, shard);
    mr_store_budget(&plan->store, print_line, store);
    MR_LOG_INFO("budget", "largest request %.1f MiB, largest fetch answer %.1f MiB",
                (double)plan->server.frame_bytes_max / (double)MIB,
                (double)plan->server.fetch_bytes_max / (double)MIB);
}
