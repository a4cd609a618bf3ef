/* dataplane/launch.h: one shard's life from its thread's start to its end.
 *
 * main.c plans and allocates; each shard then builds what belongs to its thread (ring, transport,
 * devices, stores, server), tells the control thread how that went, listens when every shard has
 * its first metadata snapshot, and stops in the reverse order when the control thread says so. */
#ifndef MR_LAUNCH_H
#define MR_LAUNCH_H

#include "control/control.h"
#include "dataplane/kafka/server.h"
#include "dataplane/net/dpdk_port.h"

struct mr_launch_store {
    uint16_t index;
    char path[MR_CONTROL_PATH_SIZE];
    bool grows; /* a file, and store.growth.bytes is not 0 */
    uint8_t *arena;
    size_t arena_bytes;
};

/* Filled by main, lent to the shard's thread until it has ended. */
struct mr_launch {
    unsigned shard;
    unsigned shard_count;
    const struct mr_clock *clock;
    struct mr_mesh_port *port;
    uint64_t spin_ns;
    const int *worker_cpus;    /* for the kernel's workers */
    unsigned worker_cpu_count; /* 0: any */
    struct mr_server_config server;
    struct mr_store_config store; /* limits; device, arena and callbacks are the shard's */
    struct mr_launch_store *stores;
    unsigned store_count;
    uint8_t *receive_arena;
    uint32_t receive_buffers;
    uint32_t receive_buffer_size;
    const struct mr_dpdk_port *dpdk_port; /* NULL: kernel sockets */
    uint16_t dpdk_queue;                  /* of the port */
    uint64_t dpdk_poll_ns;
    bool nic_interrupts; /* a packet ends the sleep, else the shard looks every dpdk_poll_ns */
    char listen_host[MR_NODE_HOST_SIZE];
    uint16_t listen_port;
    struct mr_dev_options drive;
    bool dev_volatile;
    struct mr_uuid cluster_id; /* what the stores must belong to */
};

/* The function of the shard's lcore; `context` is its struct mr_launch. Returns 0. */
int mr_launch_shard(void *context);

#endif
