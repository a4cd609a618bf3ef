/* shard/mesh.h: rings between threads, with credits, so that a send cannot fail.
 *
 * There is one single-producer single-consumer ring (rte_ring) for each ordered pair of endpoints;
 * the shards are endpoints 0..N-1, the control thread is endpoint N. A message that asks for
 * something takes a credit of its class at the sender's side first; the reply, which needs none,
 * returns it. The ring has room for every message that the credits of both sides allow:
 *
 *   REQUEST: a request one way, its reply the other       1 slot each way
 *   RELEASE: "slices released" one way, "released" back   1 slot each way
 *   WATCH:   watch and cancel one way, fired and cancelled back   2 slots each way
 *   GROUP:   request and cancel one way, reply and cancelled back   2 slots each way; only between
 *            a shard and the control thread
 *
 * so no thread ever waits for another and no cycle of waits can exist. Requests to coordinators may
 * wait for other clients (JoinGroup): they have a class of their own, so that they never hold up
 * other requests to the control thread, nor these a heartbeat.
 *
 * Thread: a port belongs to the thread of its endpoint. Sleep and wake: the sleeper sets its flag,
 * full fence, looks at its rings once more, sleeps; the sender publishes, full fence, wakes if the
 * flag is set, once per flush.
 * Source: rte_ring(3) programmer's guide; Seastar's smp_message_queue for the shape. */
#ifndef MR_SHARD_MESH_H
#define MR_SHARD_MESH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/uring.h"
#include "dataplane/shard/msg.h"

#define MR_MESH_ENDPOINTS_MAX 129u

enum mr_mesh_class {
    MR_MESH_REQUEST,
    MR_MESH_RELEASE,
    MR_MESH_WATCH,
    MR_MESH_GROUP,
    MR_MESH_CLASSES,
};

struct rte_ring;
struct mr_mesh;

struct mr_mesh_port {
    struct mr_mesh *mesh;
    unsigned self;
    unsigned endpoint_count;
    struct mr_uring *uring; /* for wake-ups of peers */
    uint64_t unflushed[3];  /* bit set: peers sent to since the last flush */
    uint64_t messages_sent;
    uint64_t messages_received;
    struct rte_ring **out;                /* [peer] */
    struct rte_ring **in;                 /* [peer] */
    uint32_t (*credits)[MR_MESH_CLASSES]; /* [peer] */
    _Alignas(64) atomic_bool sleeping; /* written here, read by peers; see mr_mesh_port_sleep() */
};

/* Creates rings for `shard_count` shards and one control thread, with `credits` of each class per
 * ordered pair. -ENOMEM, -EINVAL. Main thread, after the EAL is up. */
int mr_mesh_create(unsigned shard_count, const uint32_t credits[MR_MESH_CLASSES],
                   struct mr_mesh **out);

/* All threads have ended. NULL is fine. */
void mr_mesh_destroy(struct mr_mesh *mesh);

/* Bytes that mr_mesh_create() would take. */
size_t mr_mesh_bytes(unsigned shard_count, const uint32_t credits[MR_MESH_CLASSES]);

/* The endpoint's port; its thread binds its ring before anybody sends to it. */
struct mr_mesh_port *mr_mesh_port(struct mr_mesh *mesh, unsigned endpoint);
void mr_mesh_port_bind(struct mr_mesh_port *port, struct mr_uring *uring);

/* Takes a credit for one message to `peer`; false: none left, try again after a reply. */
bool mr_mesh_take(struct mr_mesh_port *port, unsigned peer, enum mr_mesh_class class);

/* Gives it back, when the reply has come (or nothing was sent after all). */
void mr_mesh_give(struct mr_mesh_port *port, unsigned peer, enum mr_mesh_class class);

/* Sends; cannot fail, given the credit. `from` is filled in. The peer sees it now and is woken by
 * the next flush. */
void mr_mesh_send(struct mr_mesh_port *port, unsigned peer, struct mr_msg message);

/* The next flush wakes the peer, although no message was sent: something else waits for it, which
 * it looks at between mr_mesh_port_sleep() and its sleep. */
void mr_mesh_nudge(struct mr_mesh_port *port, unsigned peer);

/* Wakes sleeping peers that were sent to, or nudged, since the last flush. */
void mr_mesh_flush(struct mr_mesh_port *port);

/* Takes at most `count_max` messages from each peer and calls `handle`; returns how many. */
unsigned mr_mesh_poll(struct mr_mesh_port *port, unsigned count_max,
                      void (*handle)(void *context, const struct mr_msg *message), void *context);

/* Announces sleep; false: a message has arrived meanwhile, do not sleep. From here on until
 * mr_mesh_port_awake() every flush towards this endpoint ends the sleep. */
bool mr_mesh_port_sleep(struct mr_mesh_port *port);
void mr_mesh_port_awake(struct mr_mesh_port *port);

/* Credits of one class in use towards `peer`, for tests and metrics. */
uint32_t mr_mesh_in_use(const struct mr_mesh_port *port, unsigned peer, enum mr_mesh_class class);

#endif
