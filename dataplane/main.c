/* dataplane/main.c: the composition root: arguments -> configuration -> plan -> budget -> memory ->
 * stores -> threads -> join. Everything that is wrong is said here, in one line, before a thread
 * starts. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include "control/control.h"
#include "control/machine_check.h"
#include "control/profile.h"
#include "control/topic_config.h"
#include "dataplane/base/log.h"
#include "dataplane/launch.h"
#include "dataplane/net/dpdk_socket.h"
#include "dataplane/plan.h"
#include "dataplane/shard/timer.h"
#include "dataplane/stores.h"

#define PORT_PAUSE_NS   (50L * 1000 * 1000)
#define PORT_PAUSES     60u
#define MESSAGE_SIZE    4096
#define DEVICE_SIZE     512
#define HUGE_PAGE_BYTES (2ull << 20)

/* The broken build of the power-cut test loses the stores' writes; with its metadata it would not
 * even start. */
#ifdef MR_MUTANT_NO_FLUSH
#define METADATA_MAY_BE_VOLATILE false
#else
#define METADATA_MAY_BE_VOLATILE true
#endif

struct broker {
    struct mr_config *config;
    struct mr_plan plan;
    struct mr_dpdk_port dpdk_ports[MR_PLAN_NICS_MAX];
    struct mr_control *control;
    struct mr_mesh *mesh;
    struct mr_launch *launches;
    struct mr_launch_store *launch_stores;
    uint64_t free_page_bytes; /* in reserved huge pages */
    bool huge_pages;          /* the EAL's memory is reserved huge pages */
    int locks[MR_PLAN_DIRS_MAX];
};

static const char usage[] =
    "Usage: millraced [options]\n"
    "A broker that speaks the Apache Kafka protocol.\n\n"
    "  --config FILE          a Kafka server.properties\n"
    "  --profile FILE         a hardware profile (hw-profiles/README.md)\n"
    "  --data-dir DIR         where stores lie; may be given several times (log.dirs; ./data).\n"
    "                         Block devices, one store each, need metadata.log.dir as well\n"
    "  --listen HOST:PORT     (listeners; 127.0.0.1:9092)\n"
    "  --advertise HOST:PORT  what clients are told (advertised.listeners; as --listen)\n"
    "  --shards N             (shards; CPUs minus one)\n"
    "  --set KEY=VALUE        any key; may be given several times\n"
    "  --check-profile FILE   says whether a profile is in order, and ends; it may be another\n"
    "                         machine's\n"
    "  --help\n\n"
    "Later ones win: built-in, --profile, --config, --set, the other flags.\n";

/* ---- arguments ------------------------------------------------------------------------------- */

struct arguments {
    const char *config;
    const char *profile;
    const char *sets[128];
    unsigned set_count;
    char dirs[4096];
    const char *listen;
    const char *advertise;
    const char *shards;
    bool check; /* the profile, and nothing else */
};

static int
add_dir(struct arguments *arguments, const char *dir)
{
    size_t used = strlen(arguments->dirs);
    int wrote = snprintf(arguments->dirs + used, sizeof(arguments->dirs) - used, "%s%s",
                         used ? "," : "", dir);

    return wrote > 0 && (size_t)wrote < sizeof(arguments->dirs) - used ? 0 : -EINVAL;
}

static int
refuse_argument(const char *argument)
{
    fprintf(stderr, "millraced: '%s' is not an option; see --help\n", argument);
    return -EINVAL;
}

/* 0: go on; 1: help was asked for; -EINVAL. */
static int
parse_arguments(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"profile", required_argument, NULL, 'p'},
        {"data-dir", required_argument, NULL, 'd'},
        {"listen", required_argument, NULL, 'l'},
        {"advertise", required_argument, NULL, 'a'},
        {"shards", required_argument, NULL, 'n'},
        {"set", required_argument, NULL, 's'},
        {"check-profile", required_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int at = optind; /* of the argument that is looked at */
    int option;

    while ((option = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            out->config = optarg;
            break;
        case 'p':
            out->profile = optarg;
            break;
        case 'd':
            if (add_dir(out, optarg) != 0) {
                return -EINVAL;
            }
            break;
        case 'l':
            out->listen = optarg;
            break;
        case 'a':
            out->advertise = optarg;
            break;
        case 'n':
            out->shards = optarg;
            break;
        case 's':
            if (out->set_count == sizeof(out->sets) / sizeof(out->sets[0])) {
                fprintf(stderr, "millraced: too many --set; put them into a --config file\n");
                return -EINVAL;
            }
            out->sets[out->set_count++] = optarg;
            break;
        case 'k':
            out->profile = optarg;
            out->check = true;
            break;
        case 'h':
            return 1;
        case ':':
            fprintf(stderr, "millraced: %s needs a value; see --help\n", argv[at]);
            return -EINVAL;
        default:
            return refuse_argument(argv[at]);
        }
        at = optind;
    }
    return optind < argc ? refuse_argument(argv[optind]) : 0;
}

static int
set_flag(struct mr_config *config, const char *key, const char *prefix, const char *value,
         const char *flag, char *error, size_t error_size)
{
    char text[4200];

    if (!value || !value[0]) {
        return 0;
    }
    snprintf(text, sizeof(text), "%s%s", prefix, value);
    return mr_config_set(config, key, text, flag, error, error_size);
}

static int
load(struct mr_config *config, const struct arguments *arguments, char *error, size_t error_size)
{
    int result = 0;

    if (arguments->profile) {
        result = mr_profile_load(config, arguments->profile, error, error_size);
    }
    if (!result && arguments->config) {
        result = mr_config_load(config, arguments->config, error, error_size);
    }
    for (unsigned i = 0; i < arguments->set_count && !result; i++) {
        result = mr_config_set_pair(config, arguments->sets[i], "--set", error, error_size);
    }
    if (!result) {
        result = set_flag(config, "log.dirs", "", arguments->dirs, "--data-dir", error, error_size);
    }
    if (!result) {
        result = set_flag(config, "listeners", "PLAINTEXT://", arguments->listen, "--listen", error,
                          error_size);
    }
    if (!result) {
        result = set_flag(config, "advertised.listeners", "PLAINTEXT://", arguments->advertise,
                          "--advertise", error, error_size);
    }
    if (!result) {
        result = set_flag(config, "shards", "", arguments->shards, "--shards", error, error_size);
    }
    return result;
}

static void
set_log_level(const struct mr_config *config)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    const char *wanted = mr_config_get(config, "log.level");

    for (unsigned i = 0; i < 4; i++) {
        if (strcasecmp(wanted, names[i]) == 0) {
            mr_log_level_set((enum mr_log_level)i);
        }
    }
}

/* ---- directories and addresses --------------------------------------------------------------- */

static int
lock_dirs(struct broker *broker, char *error, size_t error_size)
{
    char path[MR_CONTROL_PATH_SIZE];

    for (unsigned i = 0; i < broker->plan.lock_count; i++) {
        snprintf(path, sizeof(path), "%s/.lock", broker->plan.lock_dirs[i]);
        broker->locks[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (broker->locks[i] < 0) {
            snprintf(error, error_size, "%s: %s", path, strerror(errno));
            return -errno;
        }
        if (flock(broker->locks[i], LOCK_EX | LOCK_NB) != 0) {
            snprintf(error, error_size,
                     "data directory %s is in use by another broker; stop it or choose another "
                     "with --data-dir",
                     broker->plan.lock_dirs[i]);
            return -EWOULDBLOCK;
        }
    }
    return 0;
}

/* Whether the address can be had; 0 or -errno. */
static int
try_port(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    int result = 0;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) != 0) {
        result = -errno;
    }
    if (fd >= 0) {
        close(fd);
    }
    return result;
}

/* SO_REUSEPORT lets a second broker of the same user share a port without a word: look first. A
 * broker that was killed a moment ago keeps its port until the kernel has taken its io_uring down,
 * which happens behind its end: that is waited for. */
static int
check_port(const struct mr_plan *plan, unsigned number, char *error, size_t error_size)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    const struct timespec pause = {.tv_nsec = PORT_PAUSE_NS};
    struct addrinfo *found;
    char port[8];
    int result;

    snprintf(port, sizeof(port), "%u", number);
    if (getaddrinfo(plan->listen_host, port, &hints, &found) != 0) {
        snprintf(error, error_size, "cannot resolve '%s'; give an address with --listen",
                 plan->listen_host);
        return -EADDRNOTAVAIL;
    }
    result = try_port(found);
    for (unsigned i = 0; i < PORT_PAUSES && result == -EADDRINUSE; i++) {
        nanosleep(&pause, NULL);
        result = try_port(found);
    }
    if (result) {
        snprintf(error, error_size, "cannot listen on %s:%u: %s; choose another with --listen",
                 plan->listen_host, number, strerror(-result));
    }
    freeaddrinfo(found);
    return result;
}

static int
check_ports(const struct mr_plan *plan, char *error, size_t error_size)
{
    int result = 0;

    for (unsigned i = 0; i < plan->server.nodes.count && !result; i++) {
        result = check_port(plan, plan->listen_port + i, error, error_size);
    }
    return result;
}

/* With dev.volatile a test can see in dev.volatile of the first directory how much a kill takes. */
static void
map_gauge(const struct broker *broker)
{
    char path[MR_CONTROL_PATH_SIZE];
    void *gauge;
    int fd;

    if (!mr_config_bool(broker->config, "dev.volatile")) {
        return;
    }
    snprintf(path, sizeof(path), "%s/dev.volatile", broker->plan.lock_dirs[0]);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, MR_DEV_BLOCK) != 0) {
        return; /* the broker does not need it */
    }
    gauge = mmap(NULL, MR_DEV_BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (gauge != MAP_FAILED) {
        mr_dev_volatile_gauge(gauge);
    }
}

/* ---- the EAL and memory ---------------------------------------------------------------------- */

/* Lcore 0 is the control thread; lcore 1 + i is shard i. */
static void
lcore_map(const struct mr_plan *plan, char *out, size_t out_size)
{
    size_t used = (size_t)snprintf(out, out_size, "0@(");

    for (unsigned i = 0; i < plan->control_cpu_count; i++) {
        used += (size_t)snprintf(out + used, out_size - used, "%s%d", i ? "," : "",
                                 plan->control_cpus[i]);
    }
    used += (size_t)snprintf(out + used, out_size - used, ")");
    for (unsigned i = 0; i < plan->shard_count; i++) {
        used += (size_t)snprintf(out + used, out_size - used, ",%u@%d", i + 1, plan->shard_cpus[i]);
    }
}

/* Memory for a store's cache. Without reserved huge pages the EAL would give it in pages of 4 KiB,
 * each with a fault of microseconds at its first use; transparent huge pages are as good as the
 * reserved ones, but for a NIC that needs their physical addresses. It lives as long as the
 * process. NULL without memory. */
static uint8_t *
arena_map(const struct broker *broker, size_t bytes)
{
    uintptr_t at;
    void *mapped;

    if (broker->huge_pages) {
        return rte_malloc("store", bytes, MR_DEV_BLOCK);
    }
    mapped = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return NULL;
    }
    at = ((uintptr_t)mapped + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    madvise((void *)at, bytes, MADV_HUGEPAGE); /* where it is switched off: ordinary pages */
    return (uint8_t *)at;
}

static int
start_eal(struct broker *broker, const char *device, char *error, size_t error_size)
{
    const struct mr_plan *plan = &broker->plan;
    char lcores[4096];
    char megabytes[16];
    bool huge = broker->free_page_bytes >= plan->eal_bytes;
    uint64_t bytes = plan->eal_bytes - (huge ? 0 : plan->store_count * plan->store.arena_bytes);
    char devices[MR_PLAN_NICS_MAX][DEVICE_SIZE];
    const char *arguments[24 + 2 * MR_PLAN_NICS_MAX];
    int count = 0;

    lcore_map(plan, lcores, sizeof(lcores));
    snprintf(megabytes, sizeof(megabytes), "%llu", (unsigned long long)((bytes >> 20) + 1));
    broker->huge_pages = huge;
    arguments[count++] = "millraced";
    if (plan->dpdk && strncmp(device, "net_", 4) != 0) {
        arguments[count++] = "-a"; /* a PCI address */
        arguments[count++] = device;
    } else {
        arguments[count++] = "--no-pci";
        for (unsigned i = 0; i < plan->nic_count; i++) {
            mr_config_item(device, ';', i, devices[i], sizeof(devices[i]));
            if (mr_dpdk_socket_clear(devices[i], error, error_size) != 0) {
                return -EADDRINUSE;
            }
            arguments[count++] = "--vdev";
            arguments[count++] = devices[i];
        }
    }
    arguments[count++] = "--no-telemetry";
    arguments[count++] = "--log-level";
    arguments[count++] = "error";
    arguments[count++] = "--lcores";
    arguments[count++] = lcores;
    arguments[count++] = "--main-lcore";
    arguments[count++] = "0";
    arguments[count++] = "-m";
    arguments[count++] = megabytes;
    if (huge) {
        arguments[count++] = "--in-memory";
        arguments[count++] = "--iova-mode=va";
    } else {
        arguments[count++] = "--no-huge";
        arguments[count++] = "--no-shconf";
    }
    if (rte_eal_init(count, (char **)(uintptr_t)arguments) < 0 || mr_timers_init() != 0) {
        snprintf(error, error_size, "DPDK's EAL does not start with %s MiB (memory.bytes)",
                 megabytes);
        return -ENOMEM;
    }
    MR_LOG_INFO("main", "EAL is up with %s MiB of %s", megabytes,
                huge ? "huge pages" : "ordinary pages");
    return 0;
}

/* One device with a pair of queues for each shard, or a device for each. */
static int
open_port(struct broker *broker, unsigned index, char *error, size_t error_size)
{
    const struct mr_plan *plan = &broker->plan;
    struct mr_dpdk_port *port = &broker->dpdk_ports[index];
    const char *driver = mr_config_get(broker->config, "dpdk.driver");
    char address[DEVICE_SIZE] = "";
    const struct mr_dpdk_port_config config = {
        .index = (uint16_t)index,
        .address = address,
        .gateway = mr_config_get(broker->config, "dpdk.gateway"),
        .queue_count = (uint16_t)(plan->nic_count > 1 ? 1 : plan->shard_count),
        .direct_port = plan->server.nodes.count > 1 ? plan->listen_port : 0,
        .mtu = plan->dpdk_mtu,
        .trusted = !mr_config_bool(broker->config, "dpdk.checksums"),
        .packets = plan->dpdk_packets,
        .interrupts = plan->nic_interrupts,
    };
    int result;

    mr_config_item(mr_config_get(broker->config, "dpdk.address"), ',', index, address,
                   sizeof(address));
    result = mr_dpdk_port_open(&config, port, error, error_size);
    if (!result && driver[0] && strcmp(driver, port->driver) != 0) {
        result =
            mr_config_refuse(broker->config, "dpdk.driver", error, error_size,
                             "%s has taken the device; name that, or another device", port->driver);
    }
    return result;
}

/* What one shard needs, from the plan. */
static int
plan_launch(struct broker *broker, unsigned shard, struct mr_launch_store *stores)
{
    const struct mr_plan *plan = &broker->plan;
    struct mr_launch *launch = &broker->launches[shard];
    bool several = plan->nic_count > 1;

    *launch = (struct mr_launch){
        .shard = shard,
        .shard_count = plan->shard_count,
        .clock = &mr_clock_system,
        .port = mr_mesh_port(broker->mesh, shard),
        .spin_ns = plan->spin_ns,
        .worker_cpus = plan->worker_cpus,
        .worker_cpu_count = plan->worker_cpu_count,
        .server = plan->server,
        .store = plan->store,
        .stores = stores,
        .receive_buffers = plan->receive_buffers,
        .receive_buffer_size = plan->receive_buffer_size,
        .dpdk_port = plan->dpdk ? &broker->dpdk_ports[several ? shard : 0] : NULL,
        .dpdk_queue = (uint16_t)(several ? 0 : shard),
        .dpdk_poll_ns = plan->dpdk_poll_ns,
        .nic_interrupts = plan->nic_interrupts,
        .listen_port = plan->listen_port,
        .drive = plan->drive,
        .dev_volatile = mr_config_bool(broker->config, "dev.volatile"),
        .cluster_id = mr_control_cluster_id(broker->control),
    };
    snprintf(launch->listen_host, sizeof(launch->listen_host), "%s",
             several ? plan->nic_hosts[shard] : plan->listen_host);
    launch->receive_arena = rte_malloc(
        "receive", (size_t)plan->receive_buffers * plan->receive_buffer_size, MR_DEV_BLOCK);
    for (unsigned i = shard; i < plan->store_count; i += plan->shard_count) {
        struct mr_launch_store *store = &stores[launch->store_count++];

        store->index = (uint16_t)i;
        snprintf(store->path, sizeof(store->path), "%s", plan->stores[i].path);
        store->grows = plan->growth_bytes > 0 && !plan->stores[i].device;
        store->arena_bytes = plan->store.arena_bytes;
        store->arena = arena_map(broker, store->arena_bytes);
        if (!store->arena) {
            return -ENOMEM;
        }
    }
    return launch->receive_arena ? 0 : -ENOMEM;
}

static int
plan_launches(struct broker *broker, char *error, size_t error_size)
{
    const struct mr_plan *plan = &broker->plan;
    unsigned at = 0;
    int result = mr_mesh_create(plan->shard_count, plan->credits, &broker->mesh);

    broker->launches = calloc(plan->shard_count, sizeof(*broker->launches));
    broker->launch_stores = calloc(plan->store_count, sizeof(*broker->launch_stores));
    if (!broker->launches || !broker->launch_stores) {
        result = -ENOMEM;
    }
    for (unsigned shard = 0; shard < plan->shard_count && !result; shard++) {
        result = plan_launch(broker, shard, &broker->launch_stores[at]);
        at += broker->launches[shard].store_count;
    }
    if (result) {
        snprintf(error, error_size, "no memory for the arenas; lower memory.bytes");
    }
    return result;
}

/* ---- run ------------------------------------------------------------------------------------- */

static void
on_ready(void *context)
{
    const struct broker *broker = context;

    printf("millraced ready on %s:%u\n", broker->plan.listen_host, broker->plan.listen_port);
    fflush(stdout);
}

/* The configuration against the machine, before anything is made, and after the plan. */
static int
check_machine(struct broker *broker, bool planned, char *error, size_t error_size)
{
    struct mr_machine *machine = calloc(1, sizeof(*machine));
    int result = machine ? mr_machine_read("", machine) : -ENOMEM;

    if (result) {
        MR_LOG_WARN("main", "the machine is not looked at: %s", strerror(-result));
        result = 0; /* a container may hide it */
    } else if (planned) {
        broker->free_page_bytes =
            machine->pages_2m.free * HUGE_PAGE_BYTES + machine->pages_1g.free * (1ull << 30);
        result = mr_machine_check_memory(broker->config, machine, broker->plan.eal_bytes, error,
                                         error_size);
    } else {
        result = mr_machine_check(broker->config, machine, error, error_size);
    }
    free(machine);
    return result;
}

static int
check_config(const struct mr_config *config, char *error, size_t error_size)
{
    int result = mr_profile_check(config, error, error_size);

    return result ? result : mr_topic_defaults_check(config, error, error_size);
}

/* --check-profile: what can be said of a profile on any machine. */
static int
check_profile(struct broker *broker, const struct arguments *arguments, char *error,
              size_t error_size)
{
    int result = load(broker->config, arguments, error, error_size);

    result = result ? result : check_config(broker->config, error, error_size);
    return result ? result
                  : mr_machine_check_pages(broker->config, mr_plan_pinned_bytes(broker->config),
                                           error, error_size);
}

static int
prepare(struct broker *broker, char *error, size_t error_size)
{
    struct mr_plan *plan = &broker->plan;
    struct mr_control_config control = {
        .config = broker->config,
        .clock = &mr_clock_system,
        .dev_volatile = METADATA_MAY_BE_VOLATILE && mr_config_bool(broker->config, "dev.volatile"),
    };
    int result = check_config(broker->config, error, error_size);

    result = result ? result : check_machine(broker, false, error, error_size);
    result = result ? result : mr_plan_make(broker->config, plan, error, error_size);
    result = result ? result : check_machine(broker, true, error, error_size);
    result = result ? result : lock_dirs(broker, error, error_size);
    result = result || plan->dpdk ? result : check_ports(plan, error, error_size);
    if (result) {
        return result;
    }
    mr_config_warn(broker->config);
    mr_plan_print(plan);
    map_gauge(broker);
    snprintf(control.metadata_path, sizeof(control.metadata_path), "%s", plan->metadata_path);
    control.node_id = plan->node_id;
    control.nodes = plan->server.nodes;
    control.shard_count = plan->shard_count;
    control.worker_cpus = plan->worker_cpus;
    control.worker_cpu_count = plan->worker_cpu_count;
    control.growth_bytes = plan->growth_bytes;
    result = mr_control_create(&control, &broker->control, error, error_size);
    result = result ? result : mr_stores_make(plan, broker->control, error, error_size);
    result =
        result ? result
               : start_eal(broker, mr_config_get(broker->config, "dpdk.device"), error, error_size);
    for (unsigned i = 0; i < plan->nic_count && !result; i++) {
        result = open_port(broker, i, error, error_size);
    }
    return result ? result : plan_launches(broker, error, error_size);
}

static int
run(struct broker *broker)
{
    const struct mr_plan *plan = &broker->plan;
    int status;

    mr_control_attach(broker->control, mr_mesh_port(broker->mesh, plan->shard_count),
                      broker->plan.stores, plan->store_count);
    for (unsigned i = 0; i < plan->shard_count; i++) {
        rte_eal_remote_launch(mr_launch_shard, &broker->launches[i], i + 1);
    }
    status = mr_control_run(broker->control, on_ready, broker);
    rte_eal_mp_wait_lcore();
    for (unsigned i = 0; i < plan->nic_count; i++) {
        if (strcmp(broker->dpdk_ports[i].driver, "net_memif") != 0) { /* its thread may be in it */
            mr_dpdk_port_close(&broker->dpdk_ports[i]);
        }
    }
    return status;
}

int
main(int argc, char **argv)
{
    struct broker *broker = calloc(1, sizeof(*broker));
    struct arguments *arguments = calloc(1, sizeof(*arguments));
    char error[MESSAGE_SIZE] = "no memory";
    int result;

    if (!broker || !arguments || !(broker->config = mr_config_create())) {
        fprintf(stderr, "millraced: %s\n", error);
        return 1;
    }
    result = parse_arguments(argc, argv, arguments);
    if (result) {
        fputs(result > 0 ? usage : "", stdout);
        return result > 0 ? 0 : 2;
    }
    if (arguments->check) {
        result = check_profile(broker, arguments, error, sizeof(error));
        fprintf(result ? stderr : stdout, "millraced: %s\n",
                result ? error : "the profile is in order");
        return result ? 1 : 0;
    }
    signal(SIGPIPE, SIG_IGN);
    result = load(broker->config, arguments, error, sizeof(error));
    set_log_level(broker->config);
    result = result ? result : prepare(broker, error, sizeof(error));
    if (result) {
        fprintf(stderr, "millraced: %s\n", error);
        return 1;
    }
    result = run(broker);
    mr_control_destroy(broker->control);
    mr_mesh_destroy(broker->mesh);
    rte_eal_cleanup();
    free(broker->launches);
    free(broker->launch_stores);
    mr_config_destroy(broker->config);
    free(broker);
    free(arguments);
    return result;
}
