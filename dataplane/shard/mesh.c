/* shard/mesh.c: the rings, their credits, and who sleeps. */
#include "dataplane/shard/mesh.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <rte_lcore.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "dataplane/base/assert.h"

#define POLL_BURST 32u

struct mr_mesh {
    unsigned endpoint_count;
    uint32_t credits[MR_MESH_CLASSES];
    struct mr_mesh_port *ports;
    struct rte_ring **rings; /* [from * endpoint_count + to] */
};

/* Slots a ring needs: what this side may ask for, and its answers to what the peer may ask for. */
static uint32_t
ring_slots(const uint32_t credits[MR_MESH_CLASSES], bool with_control)
{
    uint32_t one_way =
        credits[MR_MESH_REQUEST] + credits[MR_MESH_RELEASE] + 2 * credits[MR_MESH_WATCH];

    if (with_control) {
        one_way += 2 * credits[MR_MESH_GROUP];
    }
    return 2 * one_way;
}

static uint32_t
ring_size(const uint32_t credits[MR_MESH_CLASSES], bool with_control)
{
    uint32_t size = 1;

    while (size <= ring_slots(credits, with_control)) { /* rte_ring keeps one slot empty */
        size *= 2;
    }
    return size;
}

size_t
mr_mesh_bytes(unsigned shard_count, const uint32_t credits[MR_MESH_CLASSES])
{
    size_t between_shards = (size_t)shard_count * (shard_count - 1);

    return (between_shards * ring_size(credits, false) +
            2 * (size_t)shard_count * ring_size(credits, true)) *
           sizeof(struct mr_msg);
}

static int
create_rings(struct mr_mesh *mesh)
{
    static unsigned generation; /* ring names are global in the EAL; main thread only */
    unsigned count = mesh->endpoint_count;
    unsigned control = count - 1;
    char name[RTE_RING_NAMESIZE];

    generation++;
    for (unsigned from = 0; from < count; from++) {
        for (unsigned to = 0; to < count; to++) {
            bool with_control = from == control || to == control;
            struct rte_ring *ring;

            if (from == to) {
                continue;
            }
            snprintf(name, sizeof(name), "mesh%u_%u_%u", generation, from, to);
            ring = rte_ring_create_elem(name, sizeof(struct mr_msg),
                                        ring_size(mesh->credits, with_control), SOCKET_ID_ANY,
                                        RING_F_SP_ENQ | RING_F_SC_DEQ);
            if (!ring) {
                return -ENOMEM;
            }
            mesh->rings[from * count + to] = ring;
        }
    }
    return 0;
}

/* Coordinators are the control thread's alone. */
static uint32_t
credits_of(const struct mr_mesh *mesh, unsigned self, unsigned peer, unsigned class)
{
    unsigned control = mesh->endpoint_count - 1;

    return class == MR_MESH_GROUP && self != control && peer != control ? 0 : mesh->credits[class];
}

static int
create_port(struct mr_mesh *mesh, unsigned self)
{
    unsigned count = mesh->endpoint_count;
    struct mr_mesh_port *port = &mesh->ports[self];

    port->mesh = mesh;
    port->self = self;
    port->endpoint_count = count;
    port->out = calloc(count, sizeof(*port->out));
    port->in = calloc(count, sizeof(*port->in));
    port->credits = calloc(count, sizeof(*port->credits));
    if (!port->out || !port->in || !port->credits) {
        return -ENOMEM;
    }
    for (unsigned peer = 0; peer < count; peer++) {
        port->out[peer] = mesh->rings[self * count + peer];
        port->in[peer] = mesh->rings[peer * count + self];
        for (unsigned class = 0; class < MR_MESH_CLASSES; class ++) {
            port->credits[peer][class] = credits_of(mesh, self, peer, class);
        }
    }
    return 0;
}

int
mr_mesh_create(unsigned shard_count, const uint32_t credits[MR_MESH_CLASSES], struct mr_mesh **out)
{
    struct mr_mesh *mesh;
    unsigned count = shard_count + 1;
    int error = -ENOMEM;

    if (shard_count == 0 || count > MR_MESH_ENDPOINTS_MAX) {
        return -EINVAL;
    }
    mesh = calloc(1, sizeof(*mesh));
    if (!mesh) {
        return -ENOMEM;
    }
    mesh->endpoint_count = count;
    memcpy(mesh->credits, credits, sizeof(mesh->credits));
    mesh->rings = calloc((size_t)count * count, sizeof(struct rte_ring *));
    mesh->ports = aligned_alloc(64, count * sizeof(*mesh->ports));
    if (!mesh->rings || !mesh->ports) {
        goto fail;
    }
    memset(mesh->ports, 0, count * sizeof(*mesh->ports));
    error = create_rings(mesh);
    for (unsigned i = 0; i < count && !error; i++) {
        error = create_port(mesh, i);
    }
    if (error) {
        goto fail;
    }
    *out = mesh;
    return 0;
fail:
    mr_mesh_destroy(mesh);
    return error;
}

void
mr_mesh_destroy(struct mr_mesh *mesh)
{
    if (!mesh) {
        return;
    }
    for (unsigned i = 0; mesh->ports && i < mesh->endpoint_count; i++) {
        free(mesh->ports[i].out);
        free(mesh->ports[i].in);
        free(mesh->ports[i].credits);
    }
    for (unsigned i = 0; mesh->rings && i < mesh->endpoint_count * mesh->endpoint_count; i++) {
        rte_ring_free(mesh->rings[i]);
    }
    free(mesh->ports);
    free(mesh->rings);
    free(mesh);
}

struct mr_mesh_port *
mr_mesh_port(struct mr_mesh *mesh, unsigned endpoint)
{
    MR_ASSERT(endpoint < mesh->endpoint_count);
    return &mesh->ports[endpoint];
}

void
mr_mesh_port_bind(struct mr_mesh_port *port, struct mr_uring *uring)
{
    port->uring = uring;
}

bool
mr_mesh_take(struct mr_mesh_port *port, unsigned peer, enum mr_mesh_class class)
{
    if (port->credits[peer][class] == 0) {
        return false;
    }
    port->credits[peer][class]--;
    return true;
}

void
mr_mesh_give(struct mr_mesh_port *port, unsigned peer, enum mr_mesh_class class)
{
    MR_ASSERT(port->credits[peer][class] < port->mesh->credits[class]);
    port->credits[peer][class]++;
}

void
mr_mesh_send(struct mr_mesh_port *port, unsigned peer, struct mr_msg message)
{
    int error;

    message.from = (uint16_t)port->self;
    error = rte_ring_sp_enqueue_elem(port->out[peer], &message, sizeof(message));
    MR_ASSERT(error == 0);
    mr_mesh_nudge(port, peer);
    port->messages_sent++;
}

void
mr_mesh_nudge(struct mr_mesh_port *port, unsigned peer)
{
    port->unflushed[peer / 64] |= 1ull << (peer % 64);
}

void
mr_mesh_flush(struct mr_mesh_port *port)
{
    for (unsigned word = 0; word < 3; word++) {
        uint64_t bits = port->unflushed[word];

        if (bits == 0) {
            continue;
        }
        port->unflushed[word] = 0;
        /* Full fence: pairs with the one in mr_mesh_port_sleep(). Either the peer sees our message
         * when it looks again, or we see its flag. */
        atomic_thread_fence(memory_order_seq_cst);
        while (bits) {
            unsigned peer = word * 64 + (unsigned)__builtin_ctzll(bits);
            struct mr_mesh_port *other = &port->mesh->ports[peer];

            bits &= bits - 1;
            if (atomic_exchange_explicit(&other->sleeping, false, memory_order_relaxed)) {
                mr_uring_wake_peer(port->uring, other->uring);
            }
        }
    }
}

unsigned
mr_mesh_poll(struct mr_mesh_port *port, unsigned count_max,
             void (*handle)(void *context, const struct mr_msg *message), void *context)
{
    struct mr_msg burst[POLL_BURST];
    unsigned total = 0;

    for (unsigned peer = 0; peer < port->endpoint_count; peer++) {
        unsigned left = count_max;

        while (peer != port->self && left > 0) {
            unsigned want = left < POLL_BURST ? left : POLL_BURST;
            unsigned got =
                rte_ring_sc_dequeue_burst_elem(port->in[peer], burst, sizeof(burst[0]), want, NULL);

            for (unsigned i = 0; i < got; i++) {
                handle(context, &burst[i]);
            }
            total += got;
            left -= got;
            if (got < want) {
                break;
            }
        }
    }
    port->messages_received += total;
    return total;
}

/* rte_ring_empty() reads the same words, but not as atomics. Relaxed: the fences of the sleep and
 * wake protocol order them. */
static bool
ring_empty(const struct rte_ring *ring)
{
    return __atomic_load_n(&ring->prod.tail, __ATOMIC_RELAXED) ==
           __atomic_load_n(&ring->cons.tail, __ATOMIC_RELAXED);
}

bool
mr_mesh_port_sleep(struct mr_mesh_port *port)
{
    atomic_store_explicit(&port->sleeping, true, memory_order_relaxed);
    /* Full fence: pairs with the one in mr_mesh_flush(). */
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned peer = 0; peer < port->endpoint_count; peer++) {
        if (peer != port->self && !ring_empty(port->in[peer])) {
            mr_mesh_port_awake(port);
            return false;
        }
    }
    return true;
}

void
mr_mesh_port_awake(struct mr_mesh_port *port)
{
    /* Relaxed: a peer that still sees the old value sends one needless wake-up. */
    atomic_store_explicit(&port->sleeping, false, memory_order_relaxed);
}

uint32_t
mr_mesh_in_use(const struct mr_mesh_port *port, unsigned peer, enum mr_mesh_class class)
{
    return credits_of(port->mesh, port->self, peer, class) - port->credits[peer][class];
}
