/* dataplane/plan.h: from the configuration to numbers: shards, stores, memory.
 *
 * Pure but for looking at the machine's CPUs and the data directories. Everything that takes memory
 * has a line; a plan that does not fit is refused with the key to change. Main thread. */
#ifndef MR_PLAN_H
#define MR_PLAN_H

#include "control/config.h"
#include "control/control.h"
#include "dataplane/kafka/server.h"
#include "storage/store.h"

#define MR_PLAN_DIRS_MAX   16u
#define MR_PLAN_STORES_MAX 256u
#define MR_PLAN_NICS_MAX   16u

struct mr_plan {
    const struct mr_config *config; /* borrowed: whose values refused ones are */
    unsigned cpu_count;
    int cpus[256];
    unsigned shard_count;
    int shard_cpus[MR_MESH_ENDPOINTS_MAX]; /* of each shard */
    unsigned control_cpu_count;
    int control_cpus[256];
    unsigned worker_cpu_count; /* 0: shards sleep, or have every CPU */
    int worker_cpus[256];      /* for the kernel's workers: control_cpus without those of shards */
    uint64_t spin_ns;    /* an idle shard polls so long before it sleeps; UINT64_MAX: for ever */
    bool nic_interrupts; /* a sleeping shard over DPDK is woken by its queue */
    char dirs[MR_PLAN_DIRS_MAX][MR_CONTROL_PATH_SIZE - 64];
    unsigned dir_count;
    bool devices; /* `dirs` are block devices, each a store */
    char lock_dirs[MR_PLAN_DIRS_MAX][MR_CONTROL_PATH_SIZE - 64]; /* that no other broker may use */
    unsigned lock_count;
    unsigned stores_per_dir;
    unsigned store_count;
    struct mr_control_store stores[MR_PLAN_STORES_MAX];
    bool stores_exist;
    char metadata_path[MR_CONTROL_PATH_SIZE];
    char listen_host[MR_NODE_HOST_SIZE];
    uint16_t listen_port;
    uint32_t credits[MR_MESH_CLASSES];
    int32_t node_id; /* node.id; what clients are told is in server.nodes */
    struct mr_server_config server;
    struct mr_store_config store;         /* limits, and arena_bytes of one store */
    bool dpdk;                            /* transport=dpdk: a DPDK device and our own TCP */
    unsigned nic_count;                   /* DPDK devices: one, or one for each shard */
    char nic_hosts[MR_PLAN_NICS_MAX][16]; /* their addresses, where there are several */
    uint32_t dpdk_packets;
    uint16_t dpdk_mtu;     /* 0: the device's */
    uint64_t dpdk_poll_ns; /* how long a packet may wait for an idle shard */
    uint32_t receive_buffers;
    uint32_t receive_buffer_size;
    struct mr_dev_options drive;
    uint64_t store_bytes;
    uint64_t journal_bytes;
    uint64_t growth_bytes;
    uint64_t memory_bytes;
    uint64_t eal_bytes; /* what the EAL must provide: arenas, rings, timers */
};

/* The configuration has passed mr_profile_check(). 0, or -errno with one sentence in `error` that
 * says what to change. */
int mr_plan_make(const struct mr_config *config, struct mr_plan *plan, char *error,
                 size_t error_size);

/* What the EAL will have to provide at most for a configuration, whatever stores there are. */
uint64_t mr_plan_pinned_bytes(const struct mr_config *config);

/* Logs the memory budget, a line for each purpose. */
void mr_plan_print(const struct mr_plan *plan);

#endif
