/* net/net_sim.h: the transport contract over a simulated network, with the peers' side of it.
 *
 * Time is virtual and everything random comes from a seed: a run is replayed by its seed. Bytes
 * arrive cut anywhere and late, windows are small, sends go out in parts, peers reset or vanish. A
 * buffer that was given back is overwritten, and bytes to be sent are read as late as the contract
 * allows, so that a user who breaks the contract corrupts what the peer sees.
 *
 * Thread: one. The transport's callbacks run inside mr_net_sim_step() alone; nothing happens
 * between two steps.
 * Limits: each direction of a connection holds `window_bytes`; any number of peers. */
#ifndef MR_NET_NET_SIM_H
#define MR_NET_NET_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dataplane/base/clock.h"
#include "dataplane/net/net.h"

struct mr_net_sim_config {
    struct mr_clock_sim *clock; /* borrowed until destroy; steps move it on */
    uint64_t seed;
    uint64_t delay_ns_max; /* of one event; some take sixteen times as long */
    uint64_t vanish_ns;    /* a peer that has vanished is given up after this */
    uint32_t window_bytes; /* at least 1 */
    uint32_t buffer_count;
    uint32_t buffer_size;
    uint32_t connections_max;
};

/* The peer's end of one connection. It ends with mr_net_sim_peer_close() or _reset(). */
struct mr_net_sim_peer;

/* 0 or -ENOMEM. mr_net_destroy() also takes the peers that are left. */
int mr_net_sim_create(const struct mr_net_sim_config *config, const struct mr_net_events *events,
                      struct mr_net **out);

/* Moves the clock to the next event and runs it; false: nothing is scheduled. */
bool mr_net_sim_step(struct mr_net *net);

/* The clock value of the next event; UINT64_MAX: none. */
uint64_t mr_net_sim_due_ns(const struct mr_net *net);

/* A new peer that knocks at the listener; NULL: no memory. */
struct mr_net_sim_peer *mr_net_sim_connect(struct mr_net *net);

/* What mr_net_connect() meets, wherever it goes. */
enum mr_net_sim_answer {
    MR_NET_SIM_REFUSE, /* until it is said otherwise */
    MR_NET_SIM_ACCEPT,
    MR_NET_SIM_SILENT, /* nothing answers */
};

void mr_net_sim_answer(struct mr_net *net, enum mr_net_sim_answer answer);

/* The peer's end of the oldest connection that mr_net_connect() has opened; NULL: no further. */
struct mr_net_sim_peer *mr_net_sim_accept(struct mr_net *net);

/* Takes up to `size` bytes, copied. Returns how many; -EAGAIN: the window is closed; -EPIPE: the
 * connection has ended. */
ssize_t mr_net_sim_peer_send(struct mr_net_sim_peer *peer, const void *data, size_t size);

/* Copies up to `size` bytes that have arrived. 0: end of stream; -EAGAIN: nothing yet;
 * -ECONNRESET. Whoever does not call this closes the transport's window. */
ssize_t mr_net_sim_peer_receive(struct mr_net_sim_peer *peer, void *out, size_t size);

/* The peer sends no more, but still receives (a half-close). */
void mr_net_sim_peer_finish(struct mr_net_sim_peer *peer);

/* Closes: what was sent still arrives, unless the peer left something unread, which resets. The
 * peer is not to be named any more. */
void mr_net_sim_peer_close(struct mr_net_sim_peer *peer);

/* Resets: what was sent and has not arrived is lost. The peer is not to be named any more. */
void mr_net_sim_peer_reset(struct mr_net_sim_peer *peer);

/* The peer's machine is gone: nothing arrives, nothing is taken. It may still be closed. */
void mr_net_sim_peer_vanish(struct mr_net_sim_peer *peer);

#endif
