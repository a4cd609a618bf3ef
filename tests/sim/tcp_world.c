/* tests/sim/tcp_world.c: see tcp_world.h. */
#include "tests/sim/tcp_world.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/endian.h"
#include "dataplane/tcp/tcp_priv.h"

/* A packet in a stack's hands: the record, and the segment in a block of its own. */
struct world_packet {
    struct mr_tcp_packet packet;
    uint8_t *bytes;
};

/* ---- the queue of frames, a binary heap -------------------------------------------------------
 */

static bool
sooner(const struct world_frame *a, const struct world_frame *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

static void
heap_push(struct world *world, struct world_frame *frame)
{
    size_t at = world->heap_count++;

    if (world->heap_count > world->heap_size) {
        world->heap_size = world->heap_size ? 2 * world->heap_size : 256;
        world->heap = realloc(world->heap, world->heap_size * sizeof(*world->heap));
        MR_ASSERT(world->heap != NULL);
    }
    while (at > 0 && sooner(frame, world->heap[(at - 1) / 2])) {
        world->heap[at] = world->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->heap[at] = frame;
}

static struct world_frame *
heap_pop(struct world *world)
{
    struct world_frame *top = world->heap[0];
    struct world_frame *last = world->heap[--world->heap_count];
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= world->heap_count) {
            break;
        }
        if (child + 1 < world->heap_count && sooner(world->heap[child + 1], world->heap[child])) {
            child++;
        }
        if (!sooner(world->heap[child], last)) {
            break;
        }
        world->heap[at] = world->heap[child];
        at = child;
    }
    if (world->heap_count > 0) {
        world->heap[at] = last;
    }
    return top;
}

/* ---- the wire ---------------------------------------------------------------------------------
 */

bool
world_chance(struct world *world, uint32_t ppm)
{
    return ppm > 0 && mr_rng_below(&world->rng, 1000000) < ppm;
}

static void
trace(struct world *world, const struct world_frame *frame, const char *what)
{
    if (world->trace) {
        world->trace(world, frame, what);
    }
}

void
world_send(struct world *world, struct world_frame *frame, uint64_t delay_ns)
{
    frame->at_ns = world->now_ns + delay_ns;
    frame->order = world->order++;
    heap_push(world, frame);
}

struct world_frame *
world_frame_copy(const struct world_frame *frame)
{
    struct world_frame *copy = malloc(sizeof(*copy) + frame->size);

    MR_ASSERT(copy != NULL);
    memcpy(copy, frame, sizeof(*copy) + frame->size);
    return copy;
}

void
world_frame_seal(struct world_frame *frame)
{
    uint8_t *tcp = frame->bytes + TCP_IP_SIZE;
    uint32_t size = frame->size - TCP_IP_SIZE;
    uint16_t sum;

    mr_be16_put(tcp + 16, 0);
    sum = tcp_checksum(
        tcp_sum_pseudo(mr_be32_get(frame->bytes + 12), mr_be32_get(frame->bytes + 16), size), tcp,
        size);
    memcpy(tcp + 16, &sum, sizeof(sum));
}

/* The slow hop: when the frame is through it, or false when its queue is full. */
static bool
pass_hop(struct world *world, struct world_host *from, const struct world_frame *frame,
         uint64_t *delay_ns)
{
    const struct world_link *link = &from->link;
    uint64_t start_ns = from->busy_ns > world->now_ns ? from->busy_ns : world->now_ns;

    *delay_ns = link->delay_ns;
    if (link->ns_per_kib == 0) {
        return true;
    }
    if (link->queue_ns && start_ns - world->now_ns > link->queue_ns) {
        return false;
    }
    from->busy_ns = start_ns + frame->size * link->ns_per_kib / 1024;
    *delay_ns += from->busy_ns - world->now_ns;
    return true;
}

static void
refuse_size(struct world *world, struct world_host *from, struct world_frame *frame)
{
    trace(world, frame, "too big");
    world->dropped++;
    if (!from->link.icmp) {
        free(frame);
        return;
    }
    frame->icmp = true;
    frame->mtu = from->link.mtu;
    frame->to = from->index;
    world_send(world, frame, from->link.delay_ns);
}

static void
forward(struct world *world, struct world_host *from, struct world_frame *frame)
{
    const struct world_link *link = &from->link;
    uint64_t delay_ns;

    if (link->mtu && frame->size > link->mtu) {
        refuse_size(world, from, frame);
        return;
    }
    if (link->down || world_chance(world, link->loss_ppm) ||
        !pass_hop(world, from, frame, &delay_ns)) {
        trace(world, frame, "lost");
        world->dropped++;
        free(frame);
        return;
    }
    if (link->ce && frame->ecn && delay_ns > link->delay_ns + link->queue_ns / 4) {
        frame->ecn = 3;
    }
    if (world_chance(world, link->corrupt_ppm)) {
        uint64_t bit = mr_rng_below(&world->rng, (frame->size - TCP_IP_SIZE) * 8ull);

        frame->bytes[TCP_IP_SIZE + bit / 8] ^= (uint8_t)(1 << (bit % 8));
        world->corrupted++;
        trace(world, frame, "corrupt");
    }
    if (world_chance(world, link->reorder_ppm)) {
        delay_ns += mr_rng_below(&world->rng, link->reorder_ns + 1);
    }
    if (world_chance(world, link->duplicate_ppm)) {
        world_send(world, world_frame_copy(frame),
                   delay_ns + mr_rng_below(&world->rng, link->delay_ns + 1));
    }
    trace(world, frame, "sent");
    world_send(world, frame, delay_ns);
}

/* ---- the device -------------------------------------------------------------------------------
 */

/* One piece of what the stack sent: all of it, or with TSO what a device would cut. */
static void
send_piece(struct world_host *host, const struct mr_tcp_frame *frame, const uint8_t *payload,
           uint32_t offset, uint32_t size, bool last)
{
    struct world *world = host->world;
    struct world_frame *piece = calloc(1, sizeof(*piece) + frame->header_size + size);
    uint8_t *tcp = piece->bytes + TCP_IP_SIZE;

    piece->size = frame->header_size + size;
    piece->to = 1 - host->index;
    memcpy(piece->bytes, frame->header, frame->header_size);
    if (size > 0) {
        memcpy(piece->bytes + frame->header_size, payload + offset, size);
    }
    piece->ecn = piece->bytes[1] & 3;
    mr_be16_put(piece->bytes + 2, (uint16_t)piece->size);
    mr_be32_put(tcp + 4, mr_be32_get(tcp + 4) + offset);
    if (!last) {
        tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    }
    if (offset > 0) {
        tcp[13] &= (uint8_t)~TCP_CWR;
    }
    if (frame->payload_size > frame->segment_size) {
        world_frame_seal(piece);
    }
    world->frames++;
    if (world->mutate) {
        world->mutate(world, host, piece);
    }
    forward(world, host, piece);
}

static bool
output(void *context, const struct mr_tcp_frame *frame)
{
    struct world_host *host = context;
    uint8_t *payload = NULL;
    uint32_t at = 0;

    if (world_chance(host->world, host->refuse_ppm)) {
        return false;
    }
    if (frame->payload_size > 0) {
        payload = malloc(frame->payload_size);
        MR_ASSERT(payload != NULL);
    }
    for (unsigned i = 0; i < frame->slice_count; i++) {
        memcpy(payload + at, frame->slices[i].data, frame->slices[i].size);
        at += frame->slices[i].size;
    }
    MR_ASSERT(at == frame->payload_size);
    at = 0;
    do {
        uint32_t size = frame->payload_size - at;

        size = size > frame->segment_size ? frame->segment_size : size;
        send_piece(host, frame, payload, at, size, at + size == frame->payload_size);
        at += size;
    } while (at < frame->payload_size);
    free(payload);
    return true;
}

static void
packet_free(void *context, struct mr_tcp_packet *packet)
{
    struct world_host *host = context;
    struct world_packet *owner = MR_CONTAINER_OF(packet, struct world_packet, packet);

    host->packets_live--;
    free(owner->bytes);
    free(owner);
}

static void
deliver(struct world *world, struct world_frame *frame)
{
    struct world_host *host = &world->hosts[frame->to];
    const uint8_t *ip = frame->bytes;
    const uint8_t *tcp = ip + TCP_IP_SIZE;
    struct world_packet *owner;

    if (!host->tcp) {
        return;
    }
    if (frame->icmp) {
        mr_tcp_path_mtu(host->tcp, mr_be32_get(ip + 12), mr_be16_get(tcp), mr_be32_get(ip + 16),
                        mr_be16_get(tcp + 2), mr_be32_get(tcp + 4), frame->mtu, world->now_ns);
        return;
    }
    owner = calloc(1, sizeof(*owner));
    MR_ASSERT(owner != NULL);
    owner->packet.size = frame->size - TCP_IP_SIZE;
    owner->bytes = malloc(owner->packet.size);
    MR_ASSERT(owner->bytes != NULL);
    memcpy(owner->bytes, tcp, owner->packet.size);
    owner->packet.segment = owner->bytes;
    owner->packet.source = mr_be32_get(ip + 12);
    owner->packet.destination = mr_be32_get(ip + 16);
    owner->packet.ecn = frame->ecn;
    host->packets_live++;
    trace(world, frame, "arrived");
    mr_tcp_input(host->tcp, &owner->packet, world->now_ns);
}

/* ---- the world --------------------------------------------------------------------------------
 */

void
world_init(struct world *world, uint64_t seed)
{
    *world = (struct world){.now_ns = MR_NS_PER_S};
    mr_rng_init(&world->rng, seed);
    for (unsigned i = 0; i < WORLD_HOSTS; i++) {
        world->hosts[i] = (struct world_host){
            .world = world, .index = i, .address = 0x0a000001 + i, .link.delay_ns = MR_NS_PER_MS};
    }
}

void
world_host_start(struct world *world, unsigned index, struct mr_tcp_config *config,
                 const struct mr_tcp_events *events)
{
    struct world_host *host = &world->hosts[index];
    struct mr_tcp_ops ops = {.context = host, .output = output, .packet_free = packet_free};

    config->addresses[0] = host->address;
    config->address_count = 1;
    for (unsigned i = 0; i < MR_TCP_SECRET_SIZE; i++) {
        config->secret[i] = (uint8_t)mr_rng_next(&world->rng);
    }
    MR_ASSERT(mr_tcp_create(config, &ops, events, world->now_ns, &host->tcp) == 0);
}

void
world_host_stop(struct world *world, unsigned index)
{
    mr_tcp_destroy(world->hosts[index].tcp);
    world->hosts[index].tcp = NULL;
}

void
world_destroy(struct world *world)
{
    for (unsigned i = 0; i < WORLD_HOSTS; i++) {
        world_host_stop(world, i);
    }
    while (world->heap_count > 0) {
        free(heap_pop(world));
    }
    free(world->heap);
}

uint64_t
world_next(const struct world *world)
{
    uint64_t next = world->heap_count > 0 ? world->heap[0]->at_ns : UINT64_MAX;

    for (unsigned i = 0; i < WORLD_HOSTS; i++) {
        uint64_t deadline_ns =
            world->hosts[i].tcp ? mr_tcp_deadline(world->hosts[i].tcp) : UINT64_MAX;

        next = deadline_ns < next ? deadline_ns : next;
    }
    return next;
}

void
world_step(struct world *world)
{
    while (world->heap_count > 0 && world->heap[0]->at_ns <= world->now_ns) {
        struct world_frame *frame = heap_pop(world);

        deliver(world, frame);
        free(frame);
    }
    for (unsigned i = 0; i < WORLD_HOSTS; i++) {
        struct mr_tcp *tcp = world->hosts[i].tcp;

        if (!tcp) {
            continue;
        }
        mr_tcp_tick(tcp, world->now_ns);
        mr_tcp_dispatch(tcp, UINT32_MAX, world->now_ns);
        mr_tcp_flush(tcp, UINT32_MAX, world->now_ns);
    }
}
