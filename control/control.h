/* control/control.h: the control thread: a libuv loop that owns metadata and everything slow.
 *
 * It answers struct mr_ctl_request messages of the shards, feeds the metadata state machine from
 * its log, publishes snapshots, and lets workers (libuv's thread pool) extend store files. It never
 * sees a connection, and nothing in the data path waits for it.
 *
 * Thread: the main lcore. Lifecycle: create (opens the metadata log) -> run -> destroy. */
#ifndef MR_CONTROL_CONTROL_H
#define MR_CONTROL_CONTROL_H

#include "control/config.h"
#include "control/ctl_msg.h"
#include "control/metalog.h"
#include "control/topic_config.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/uring.h"
#include "dataplane/shard/mesh.h"

#define MR_CONTROL_PATH_SIZE 1024

/* Consumer groups and their offsets take at most this part of memory.bytes, beside it. */
#define MR_CONTROL_GROUPS_PART 8u

/* What the control thread must know of a store. */
struct mr_control_store {
    char path[MR_CONTROL_PATH_SIZE];
    uint64_t size_bytes;
    bool device;  /* a block device: it does not grow */
    bool growing; /* private */
};

struct mr_control_config {
    const struct mr_config *config;
    const struct mr_clock *clock;
    char metadata_path[MR_CONTROL_PATH_SIZE];
    bool dev_volatile;
    int32_t node_id; /* node.id */
    struct mr_nodes nodes;
    unsigned shard_count;
    const int *worker_cpus; /* for the kernel's workers; none: any */
    unsigned worker_cpu_count;
    uint64_t growth_bytes; /* 0: stores do not grow */
    /* Opens another engine for the metadata log, whose callbacks run where `uring` is reaped; it
     * may lead from the start. NULL: metalog_local.h on `metadata_path`. */
    int (*open_metalog)(void *context, struct mr_uring *uring,
                        const struct mr_metalog_events *events, struct mr_metalog **out);
    void *open_context;
};

struct mr_control;

/* Opens the metadata log, or makes it (and a new cluster id) where there is none. -errno, with one
 * sentence in `error`. */
int mr_control_create(const struct mr_control_config *config, struct mr_control **out, char *error,
                      size_t error_size);

/* Whether this run made the metadata log. */
bool mr_control_is_new(const struct mr_control *control);

/* Whether nothing was ever kept: no store can be missing. */
bool mr_control_is_unused(const struct mr_control *control);
struct mr_uuid mr_control_cluster_id(const struct mr_control *control);

/* Hands over what is known only after the stores' files are there. `stores` is borrowed. */
void mr_control_attach(struct mr_control *control, struct mr_mesh_port *port,
                       struct mr_control_store *stores, unsigned store_count);

/* Runs until SIGTERM or SIGINT, or until a shard fails to start. `ready` runs when every shard
 * serves. Returns the process's exit status. */
int mr_control_run(struct mr_control *control, void (*ready)(void *context), void *context);

void mr_control_destroy(struct mr_control *control);

#endif
