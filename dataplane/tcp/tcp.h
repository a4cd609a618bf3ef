/* tcp/tcp.h: our TCP for one shard, as a pure core.
 *
 * A stack takes segments, time and application calls, and gives segments and events. It does no
 * I/O, reads no clock, has no global state, and allocates nothing after mr_tcp_create(). Several
 * stacks live in one process without knowing of each other.
 *
 * The owner's loop, each step bounded:
 *
 *     mr_tcp_input()     once per packet received
 *     mr_tcp_tick()      fires the timers that are due
 *     mr_tcp_dispatch()  tells the application what has happened
 *     mr_tcp_flush()     sends what all of the above and the application queued
 *
 * and sleeps no longer than until mr_tcp_deadline(). Answering in dispatch puts the acknowledgement
 * of a request on its response.
 *
 * Thread: one shard. The packet callbacks (`output`, `packet_free`) run inside any call of this
 * header that is marked (output); they must not call back. Events run inside mr_tcp_dispatch() and
 * nowhere else; there the application may call everything but mr_tcp_dispatch() and
 * mr_tcp_destroy().
 *
 * Memory: packets are lent to the stack, and by it to the application; what is sent is borrowed
 * from mr_tcp_send() to `done`. Every table and pool has the size that the configuration says, and
 * mr_tcp_stats counts what was refused when one was full.
 *
 * Addresses and ports are in host byte order. Times are nanoseconds of one monotonic clock of the
 * caller's, which never runs backwards. IPv4 only. */
#ifndef MR_TCP_TCP_H
#define MR_TCP_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "dataplane/base/list.h"

#define MR_TCP_ADDRESSES_MAX 4
#define MR_TCP_SLICES_MAX    16 /* of one segment's payload */
#define MR_TCP_SECRET_SIZE   32

struct mr_tcp;
struct mr_tcp_conn;

/* One received TCP segment. The owner has one beside each receive buffer; it and the buffer are
 * the stack's from mr_tcp_input() to `packet_free`. */
struct mr_tcp_packet {
    const uint8_t *segment; /* TCP header, then payload */
    uint32_t size;          /* of both; what Ethernet padded is cut off */
    uint32_t source;
    uint32_t destination;
    uint8_t ecn;        /* the low two bits of IPv4's type of service */
    bool checksum_good; /* the device has verified the TCP checksum */
    uint32_t references;
    struct mr_list node; /* private from here on */
    struct mr_tcp *tcp;
    const uint8_t *data;
    uint32_t data_size;
    uint32_t seq;
    uint64_t conn_id;
    uint32_t charged; /* bytes of the connection's window that come back with the packet */
    bool fin;
};

/* The caller's; lent from mr_tcp_send() until `done`. */
struct mr_tcp_send {
    /* @result: 0 when the peer has acknowledged every byte and no frame still holds them, or
     * -errno when the connection ended first. Exactly once, in mr_tcp_dispatch(). */
    void (*done)(struct mr_tcp_send *send, int result);
    const struct iovec *iov; /* borrowed, like what it names */
    unsigned iov_count;
    unsigned holds;      /* private: frames at the device that point into it */
    struct mr_list node; /* private from here on */
    struct mr_tcp_conn *conn;
    uint64_t end; /* offset in the stream of the byte after its last */
    int result;
};

struct mr_tcp_slice {
    const uint8_t *data;
    uint32_t size;
    struct mr_tcp_send *send; /* see mr_tcp_send_hold() */
};

/* One segment on its way out. Everything is valid during `output` only, but for the payload: see
 * mr_tcp_send_hold(). */
struct mr_tcp_frame {
    const uint8_t *header; /* IPv4 header of 20 bytes, then the TCP header with its options */
    uint32_t header_size;
    uint32_t payload_size;
    /* A payload beyond this is to be cut by the device (TSO); only with config.tso_max. */
    uint32_t segment_size;
    const struct mr_tcp_slice *slices;
    unsigned slice_count;
    uint32_t source;
    uint32_t destination;
};

struct mr_tcp_ops {
    void *context;
    /* Takes one frame. False: the device is full; the stack sends it again with a later flush. */
    bool (*output)(void *context, const struct mr_tcp_frame *frame);
    /* The last reference to a packet is gone. */
    void (*packet_free)(void *context, struct mr_tcp_packet *packet);
    /* Optional: whether an active open may use this local port, so that RSS brings the answers to
     * the shard that asked. */
    bool (*port_usable)(void *context, uint32_t local, uint16_t local_port, uint32_t remote,
                        uint16_t remote_port);
};

struct mr_tcp_events {
    void *context;
    /* A peer has connected. Returns what later events get as `user`; NULL refuses, and the peer
     * is reset. */
    void *(*accepted)(void *context, struct mr_tcp_conn *conn, uint32_t remote, uint16_t port);
    /* mr_tcp_connect() has succeeded. Failure is `closed`. */
    void (*connected)(void *user, struct mr_tcp_conn *conn);
    /* `size` bytes at `data` inside the packet have arrived; one reference is the user's. */
    void (*received)(void *user, struct mr_tcp_packet *packet, const uint8_t *data, uint32_t size);
    /* The peer sends no more, and everything before that has been received. */
    void (*ended)(void *user);
    /* Optional: the peer sends no more, but what it sent before is unread, because the connection
     * is paused. At most once a pause. */
    void (*leaving)(void *user);
    /* The last event of a connection, after every send's `done`; the pointer is dead after it.
     * `reason`: 0 after an orderly end or mr_tcp_abort(), else -ECONNREFUSED, -ECONNRESET,
     * -ETIMEDOUT, -EHOSTUNREACH. */
    void (*closed)(void *user, int reason);
};

enum mr_tcp_cc {
    MR_TCP_CC_CUBIC,
    MR_TCP_CC_NEWRENO,
};

/* Limits, and behaviour. mr_tcp_config_init() fills in the defaults. */
struct mr_tcp_config {
    uint32_t addresses[MR_TCP_ADDRESSES_MAX];
    unsigned address_count;
    uint32_t mtu;          /* of IPv4, 576 to 65535 */
    uint32_t tso_max;      /* payload of one frame at most; 0: no TSO */
    bool checksum_offload; /* the TCP checksum field carries the pseudo header's sum only */

    uint32_t conns_max;     /* connections in any state, TIME_WAIT too */
    uint32_t half_open_max; /* of these in SYN_RECEIVED; further SYNs get cookies */
    uint32_t listeners_max;
    uint32_t segments_max;       /* sent and not acknowledged, over all connections */
    uint32_t reorder_max;        /* packets held out of order, over all connections */
    uint32_t conn_reorder_max;   /* and of one connection */
    uint32_t conn_queued_max;    /* packets in order that a paused connection holds */
    uint32_t receive_buffer_min; /* bytes: the window at first */
    uint32_t receive_buffer_max; /* bytes: to what it grows */
    uint8_t secret[MR_TCP_SECRET_SIZE];

    enum mr_tcp_cc cc;
    bool timestamps;
    bool sack;
    bool window_scale;
    bool rack;    /* RACK-TLP finds losses; else RFC 6675 alone */
    bool hystart; /* HyStart++ */
    bool ecn;     /* RFC 3168 */

    uint64_t rto_initial_ns;
    uint64_t rto_min_ns;
    uint64_t rto_max_ns;
    uint64_t delayed_ack_ns;
    uint64_t probe_min_ns; /* a tail loss probe waits at least so long */
    uint64_t time_wait_ns;
    uint64_t fin_wait_2_ns; /* for an application that has closed */
    uint64_t linger_ns;     /* how long closed connections may take to send what is queued */
    uint64_t keepalive_idle_ns;
    uint64_t keepalive_interval_ns;
    unsigned keepalive_probes;   /* unanswered ones that end a connection; 0: no keepalive */
    unsigned retries_max;        /* timeouts in a row that end a connection */
    unsigned syn_retries_max;    /* of an active open */
    unsigned synack_retries_max; /* of a passive one */
    uint64_t mtu_raise_ns;       /* after which a path that took less is tried again */
    uint64_t challenge_gap_ns;   /* between two challenge ACKs of a connection */
};

struct mr_tcp_stats {
    /* State; each is 0 again when nothing goes on. */
    uint64_t conns;
    uint64_t half_open;
    uint64_t time_wait;
    uint64_t segments;      /* in use */
    uint64_t reordered;     /* packets held out of order */
    uint64_t packets_held;  /* by the stack or lent to the application */
    uint64_t sends_pending; /* not yet done */

    /* Traffic. */
    uint64_t packets_in;
    uint64_t packets_out;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t bytes_retransmitted;
    uint64_t acks_out; /* packets without data, SYN, FIN or RST */
    uint64_t resets_in;
    uint64_t resets_out;
    uint64_t accepted;
    uint64_t connected;

    /* Loss recovery: episodes. */
    uint64_t fast_recoveries;   /* entered by duplicate ACKs or RFC 6675 */
    uint64_t rack_recoveries;   /* entered by RACK */
    uint64_t probes_out;        /* tail loss probes */
    uint64_t probe_repairs;     /* losses that a probe repaired alone */
    uint64_t timeouts;          /* RTO */
    uint64_t undone_recoveries; /* fast or RACK, found spurious */
    uint64_t undone_timeouts;   /* RTO, found spurious */
    uint64_t reneged;           /* a peer dropped what it had SACKed */
    uint64_t window_probes;     /* of a closed window */
    uint64_t keepalives;        /* probes */
    uint64_t mtu_reduced;       /* by ICMP */
    uint64_t black_holes;       /* path-MTU black holes assumed */
    uint64_t mtu_probes;        /* larger segments tried */
    uint64_t mtu_raised;        /* and found to arrive */
    uint64_t hystart_exits;     /* slow starts that HyStart++ ended */
    uint64_t ecn_reductions;    /* of the congestion window */
    uint64_t dsacks_in;

    /* Refusals. */
    uint64_t bad_header;
    uint64_t bad_checksum;
    uint64_t bad_sequence; /* outside the window */
    uint64_t bad_ack;
    uint64_t bad_sack; /* blocks that lie */
    uint64_t paws;     /* old timestamps */
    uint64_t no_listener;
    uint64_t challenge_acks;
    uint64_t challenges_withheld;
    uint64_t cookies_out;
    uint64_t cookies_good;
    uint64_t cookies_bad;
    uint64_t conns_exhausted;
    uint64_t time_wait_recycled;
    uint64_t segments_exhausted;
    uint64_t reorder_refused;
    uint64_t queue_refused;
    uint64_t output_refused;
};

/* The defaults, without addresses and secret; limits for a few hundred connections. */
void mr_tcp_config_init(struct mr_tcp_config *config);

/* 0, -EINVAL for limits that make no sense, -ENOMEM. `now_ns`: the clock's time. */
int mr_tcp_create(const struct mr_tcp_config *config, const struct mr_tcp_ops *ops,
                  const struct mr_tcp_events *events, uint64_t now_ns, struct mr_tcp **out);

/* No reference to a packet may be out with the application; connections are dropped without a
 * word, and neither `done` nor `closed` runs for them. NULL is fine. */
void mr_tcp_destroy(struct mr_tcp *tcp);

/* ---- the owner's loop ------------------------------------------------------------------------ */

/* (output) Takes the packet: sets its references to 1, frees it when nobody needs it any more. */
void mr_tcp_input(struct mr_tcp *tcp, struct mr_tcp_packet *packet, uint64_t now_ns);

/* (output) Fires what is due. */
void mr_tcp_tick(struct mr_tcp *tcp, uint64_t now_ns);

/* Runs events of at most `conns` connections. Returns how many were served. */
unsigned mr_tcp_dispatch(struct mr_tcp *tcp, unsigned conns, uint64_t now_ns);

/* (output) Sends for at most `conns` connections. Returns how many were served. */
unsigned mr_tcp_flush(struct mr_tcp *tcp, unsigned conns, uint64_t now_ns);

/* When mr_tcp_tick() is wanted next: never later than needed, sometimes earlier; 0 when dispatch or
 * flush have work now, UINT64_MAX when nothing is due. */
uint64_t mr_tcp_deadline(const struct mr_tcp *tcp);

const struct mr_tcp_stats *mr_tcp_stats(const struct mr_tcp *tcp);

/* An ICMP «fragmentation needed» that names a segment of ours: the ports and sequence number it
 * quotes, and the next hop's MTU (0: unknown). Nonsense is ignored. */
void mr_tcp_path_mtu(struct mr_tcp *tcp, uint32_t local, uint16_t local_port, uint32_t remote,
                     uint16_t remote_port, uint32_t seq, uint32_t mtu, uint64_t now_ns);

/* An ICMP «unreachable»: ends a connection that is still being opened. */
void mr_tcp_unreachable(struct mr_tcp *tcp, uint32_t local, uint16_t local_port, uint32_t remote,
                        uint16_t remote_port, uint32_t seq, uint64_t now_ns);

/* ---- the application ------------------------------------------------------------------------- */

/* Accepts connections to `local` (0: any of ours) and `port`. 0, -EADDRINUSE, -ENOSPC. */
int mr_tcp_listen(struct mr_tcp *tcp, uint32_t local, uint16_t port);

/* No further connection is accepted; those in SYN_RECEIVED are dropped. */
void mr_tcp_listen_stop(struct mr_tcp *tcp, uint32_t local, uint16_t port);

/* Opens a connection from `local` (0: the first of ours); `local_port` 0 chooses one. The SYN goes
 * out with the next flush. `user` is for the events. 0, -EADDRNOTAVAIL, -EADDRINUSE, -ENOBUFS. */
int mr_tcp_connect(struct mr_tcp *tcp, uint32_t local, uint16_t local_port, uint32_t remote,
                   uint16_t remote_port, void *user, uint64_t now_ns, struct mr_tcp_conn **out);

/* Queues bytes behind those already queued; they leave with the next flush. Before the connection
 * is established they wait. After mr_tcp_shutdown() or the end `done` runs with an error. */
void mr_tcp_send(struct mr_tcp_conn *conn, struct mr_tcp_send *send);

/* A device that sends external memory holds the sends of a frame's slices, from inside `output`
 * until it is done with the frame, so that `done` does not run before. */
void mr_tcp_send_hold(struct mr_tcp_send *send);
void mr_tcp_send_unhold(struct mr_tcp_send *send);

void mr_tcp_packet_hold(struct mr_tcp_packet *packet);
/* The window reopens by the packet's bytes when the last reference goes. */
void mr_tcp_packet_release(struct mr_tcp_packet *packet);

/* Stops and restarts `received`; the window closes when the stack's share is full. */
void mr_tcp_pause(struct mr_tcp_conn *conn);
void mr_tcp_resume(struct mr_tcp_conn *conn);

/* FIN after everything queued; receiving goes on. */
void mr_tcp_shutdown(struct mr_tcp_conn *conn);

/* No event but sends' `done` and `closed` any more. What is queued is still sent, then FIN; with
 * received bytes unread, or when further ones arrive, the peer is reset, as it could not know that
 * they are lost. `closed` runs when the peer has all, or after config.linger_ns. Idempotent. */
void mr_tcp_close(struct mr_tcp_conn *conn, uint64_t now_ns);

/* RST with the next flush; sends end with -ECANCELED, then `closed` runs with 0. */
void mr_tcp_abort(struct mr_tcp_conn *conn);

/* What a test or an operator wants to see. */
struct mr_tcp_info {
    const char *state;
    uint32_t local;
    uint32_t remote;
    uint16_t local_port;
    uint16_t remote_port;
    uint32_t mss;
    uint32_t cwnd;     /* bytes */
    uint32_t ssthresh; /* bytes */
    uint32_t in_flight;
    uint32_t peer_window;
    uint32_t window;
    uint64_t srtt_ns;
    uint64_t rttvar_ns;
    uint64_t rto_ns;
    uint64_t unsent; /* bytes queued and never sent */
    uint64_t acked;  /* bytes that the peer has */
    uint32_t iss;
    bool sack;
    bool timestamps;
};

void mr_tcp_info(const struct mr_tcp_conn *conn, struct mr_tcp_info *out);

#endif
