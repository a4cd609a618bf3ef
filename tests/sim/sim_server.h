/* tests/sim/sim_server.h: one shard of the broker over simulated twins: the real Kafka server, mesh
 * and store, with net_sim, dev_sim, a simulated clock and timers, and a control thread that answers
 * every request with its response's defaults.
 *
 * There is the topic "t" with SIM_SERVER_PARTITIONS partitions. Nothing happens between two turns;
 * a seed replays a run.
 * Thread: the one that called sim_server_runtime(). */
#ifndef MR_TESTS_SIM_SERVER_H
#define MR_TESTS_SIM_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/kafka/server.h"
#include "dataplane/net/net_sim.h"

#define SIM_SERVER_PARTITIONS  2u
#define SIM_SERVER_BUFFERS     32u
#define SIM_SERVER_CONNECTIONS 16u

struct sim_server_config {
    uint64_t seed;
    uint64_t delay_ns_max;
    uint32_t window_bytes;
    uint32_t buffer_size;
    size_t frame_bytes_max;
    size_t frame_heap_bytes_max;
};

struct sim_server {
    struct mr_clock_sim clock;
    struct mr_shard shard;
    struct mr_mesh_port *control;
    struct mr_dev_sim *medium;
    struct mr_dev *dev;
    struct mr_store *store;
    struct mr_server *server;
    struct mr_net *net;
    struct mr_shard_steps steps;
};

/* Starts the EAL, whose rings the mesh is made of. Once in a process; one server runs at a time. */
void sim_server_runtime(void);

/* Usual sizes, to be changed. */
struct sim_server_config sim_server_defaults(uint64_t seed);

void sim_server_start(struct sim_server *sim, const struct sim_server_config *config);

/* One turn of the shard, and the control thread's answers. Where nothing is to be done the clock
 * moves on to the next event up to `until_ns`; false: there is none. */
bool sim_server_turn(struct sim_server *sim, uint64_t until_ns);

/* Turns until nothing happens before `duration_ns` from now. */
void sim_server_run(struct sim_server *sim, uint64_t duration_ns);

/* No request context, no frame memory, no buffer, no credit and no pinned byte is out. */
void sim_server_check_returned(struct sim_server *sim);

/* Closes all connections, checks that everything has come back, and frees. */
void sim_server_stop(struct sim_server *sim);

#endif
