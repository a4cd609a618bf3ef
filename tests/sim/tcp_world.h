/* tests/sim/tcp_world.h: hosts with a TCP stack each, and a wire between them, in virtual time.
 *
 * The wire loses, delays, duplicates, corrupts and reorders as told; it has a rate, a queue and an
 * MTU. Every packet is a heap block of its own size, so that a sanitizer sees each byte read beyond
 * it. One seed gives one run. */
#ifndef MR_TESTS_TCP_WORLD_H
#define MR_TESTS_TCP_WORLD_H

#include "dataplane/base/rng.h"
#include "dataplane/tcp/tcp.h"

#define WORLD_HOSTS 2

struct world;

struct world_link {
    uint32_t loss_ppm;
    uint32_t duplicate_ppm;
    uint32_t corrupt_ppm;
    uint32_t reorder_ppm;
    uint64_t reorder_ns; /* up to so much later */
    uint64_t delay_ns;
    uint64_t ns_per_kib; /* of the slowest hop; 0: none */
    uint64_t queue_ns;   /* what would wait longer is dropped; 0: no limit */
    uint32_t mtu;        /* 0: no limit */
    bool icmp;           /* tell the sender what does not fit */
    bool down;
    bool ce; /* marks congestion instead of losing, where the sender allows it */
};

struct world_host {
    struct world *world;
    struct mr_tcp *tcp;
    unsigned index;
    uint32_t address;
    struct world_link link; /* of what it sends */
    uint64_t busy_ns;       /* until then the hop is taken */
    uint32_t refuse_ppm;    /* of the device: «full» */
    uint64_t packets_live;  /* lent to the stack */
};

struct world_frame {
    uint64_t at_ns;
    uint64_t order;
    unsigned to;
    uint32_t size;
    bool icmp; /* bytes are what could not be forwarded; mtu is the next hop's */
    uint32_t mtu;
    uint8_t ecn;
    uint8_t bytes[]; /* IPv4 packet */
};

struct world {
    uint64_t now_ns;
    uint64_t order;
    struct mr_rng rng;
    struct world_host hosts[WORLD_HOSTS];
    struct world_frame **heap;
    size_t heap_count;
    size_t heap_size;
    uint64_t frames;
    uint64_t corrupted;
    uint64_t dropped;
    /* Optional: sees each frame that a host has sent, and may change it or send others. */
    void (*mutate)(struct world *world, struct world_host *from, struct world_frame *frame);
    void (*trace)(struct world *world, const struct world_frame *frame, const char *what);
};

void world_init(struct world *world, uint64_t seed);
/* Gives the host a stack; its addresses and secret are filled in. */
void world_host_start(struct world *world, unsigned index, struct mr_tcp_config *config,
                      const struct mr_tcp_events *events);
/* The host forgets everything, as after a power cut. */
void world_host_stop(struct world *world, unsigned index);
void world_destroy(struct world *world);

/* Puts a frame on the wire as it is. */
void world_send(struct world *world, struct world_frame *frame, uint64_t delay_ns);
struct world_frame *world_frame_copy(const struct world_frame *frame);
/* Corrects the TCP checksum after a change. */
void world_frame_seal(struct world_frame *frame);

/* Runs until `until_ns`, or until nothing is due before. Each step goes through every host's loop.
 */
void world_step(struct world *world);
/* When the next thing happens; UINT64_MAX: never. */
uint64_t world_next(const struct world *world);

bool world_chance(struct world *world, uint32_t ppm);

#endif
