/* tcp/tcp_priv.h: what the files of this folder share. README.md says in which order to read them.
 *
 * Rules: a function that may end a connection says so, and its caller looks at the state after it.
 * A connection is freed in one place, tcp_conn_reap(), never while somebody up the stack uses it.
 */
#ifndef MR_TCP_TCP_PRIV_H
#define MR_TCP_TCP_PRIV_H

#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/tcp/tcp_wheel.h"

/* ---- the wire -------------------------------------------------------------------------------- */

#define TCP_FIN             0x01
#define TCP_SYN             0x02
#define TCP_RST             0x04
#define TCP_PSH             0x08
#define TCP_ACK             0x10
#define TCP_URG             0x20
#define TCP_ECE             0x40
#define TCP_CWR             0x80

#define TCP_HEADER_SIZE     20u
#define TCP_OPTIONS_MAX     40u
#define TCP_HEADER_MAX      (TCP_HEADER_SIZE + TCP_OPTIONS_MAX)
#define TCP_IP_SIZE         20u
#define TCP_MSS_DEFAULT     536u /* RFC 9293 3.7.1: of a peer that names none */
#define TCP_MSS_MIN         88u  /* below this a peer only wants to hurt */
#define TCP_WSCALE_MAX      14
#define TCP_SACK_BLOCKS_MAX 4
#define TCP_RX_BLOCKS_MAX   16  /* kept; the first of them are told */
#define TCP_TS_SIZE         12u /* with its two NOPs */
#define TCP_QUICK_ACKS      16u /* in a row that are not delayed */

struct tcp_block {
    uint32_t begin;
    uint32_t end;
};

struct tcp_options {
    uint16_t mss; /* 0: none */
    uint8_t wscale;
    bool has_wscale;
    bool sack_ok;
    bool has_ts;
    uint32_t ts_val;
    uint32_t ts_ecr;
    unsigned block_count;
    struct tcp_block blocks[TCP_SACK_BLOCKS_MAX];
};

/* A segment, parsed and checked. */
struct tcp_segment {
    struct mr_tcp_packet *packet;
    const uint8_t *data;
    uint32_t size; /* of the payload */
    uint32_t seq;
    uint32_t ack;
    uint32_t window; /* not scaled */
    uint16_t source_port;
    uint16_t destination_port;
    uint8_t flags;
    uint8_t ecn;
    struct tcp_options options;
};

static inline bool
tcp_seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static inline bool
tcp_seq_le(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}

static inline uint32_t
tcp_seq_max(uint32_t a, uint32_t b)
{
    return tcp_seq_lt(a, b) ? b : a;
}

static inline uint32_t
tcp_min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint32_t
tcp_max(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* ---- states ---------------------------------------------------------------------------------- */

/* RFC 9293 3.3.2. LISTEN is a struct tcp_listener, not a connection.
 *
 *   CLOSED ──connect──► SYN_SENT ──SYN,ACK──────────────► ESTABLISHED
 *      │                   └──────SYN──► SYN_RECEIVED ──ACK──┘ │  │
 *      ├──SYN to a listener──────────────►    │                │  │
 *      └──a good cookie───────────────────────┼──► ESTABLISHED │  │
 *                                        FIN wanted            │  │
 *                                             ▼                │  │
 *             ┌──────────────── FIN_WAIT_1 ◄──────FIN wanted───┘  └──FIN──► CLOSE_WAIT
 *             │ FIN           │ ACK of FIN │ FIN and ACK of FIN                  │ FIN wanted
 *             ▼               ▼            ▼                                     ▼
 *          CLOSING ──ACK──► FIN_WAIT_2 ──► TIME_WAIT                          LAST_ACK
 *             └──────ACK of FIN──────────► TIME_WAIT ──time──► CLOSED ◄──ACK of FIN──┘
 *
 * Every state goes to CLOSED by RST, abort, or too many timeouts. */
enum tcp_state {
    TCP_CLOSED,
    TCP_SYN_SENT,
    TCP_SYN_RECEIVED,
    TCP_ESTABLISHED,
    TCP_FIN_WAIT_1,
    TCP_FIN_WAIT_2,
    TCP_CLOSE_WAIT,
    TCP_CLOSING,
    TCP_LAST_ACK,
    TCP_TIME_WAIT,
    TCP_STATE_COUNT,
};

/* Loss recovery of what is sent.
 *
 *            loss found by SACK, RACK, or 3 duplicate ACKs
 *   OPEN ────────────────────────────────────────────► RECOVERY ──┐
 *    ▲ ▲──────── everything sent before is acknowledged ────┘ │   │ RTO
 *    │ │         (or the loss is found spurious: undo)        │   │
 *    │ └──── likewise ──────────────────────────────── LOSS ◄─────┘
 *    └───── ECE: CWR, until what was in flight is acknowledged */
enum tcp_phase {
    TCP_OPEN,
    TCP_CWR_PHASE,
    TCP_RECOVERY,
    TCP_LOSS,
    TCP_PHASE_COUNT,
};

/* What the retransmission timer means. */
enum tcp_rtx {
    TCP_RTX_NONE,
    TCP_RTX_TIMEOUT, /* RTO; of the SYN too */
    TCP_RTX_PROBE,   /* tail loss probe */
    TCP_RTX_REORDER, /* RACK waits for reordered segments */
    TCP_RTX_WINDOW,  /* the peer's window is closed */
};

enum tcp_timer_kind {
    TCP_TIMER_RTX,
    TCP_TIMER_ACK,
    TCP_TIMER_LIFE, /* keepalive, FIN_WAIT_2, TIME_WAIT, linger */
    TCP_TIMER_COUNT,
};

/* ---- what is sent ---------------------------------------------------------------------------- */

/* A place in the queue of sends. `send` NULL: behind the last byte. */
struct tcp_cursor {
    struct mr_tcp_send *send;
    unsigned iov_at;
    size_t iov_skip;
};

#define TCP_SEG_SACKED 0x01
#define TCP_SEG_LOST   0x02 /* and not sent again yet */
#define TCP_SEG_RETRAN 0x04 /* sent again, and that one is on its way */
#define TCP_SEG_EVER   0x08 /* has been sent again, whenever */
#define TCP_SEG_FIN    0x10 /* its last sequence number is the FIN */
#define TCP_SEG_PSH    0x20
#define TCP_SEG_MTU    0x40 /* larger than the path is known to take, to find out */

/* One segment sent and not acknowledged. */
struct tcp_seg {
    struct mr_list node;      /* of conn->segs, by sequence; free: of the pool */
    struct mr_list time_node; /* of conn->sent_order, by last transmission; not if SACKED or LOST */
    uint64_t sent_ns;
    struct tcp_cursor at;
    uint32_t seq;
    uint32_t size;    /* of data */
    uint32_t end_seq; /* seq + size, and 1 for FIN */
    uint32_t ts_val;  /* of the last transmission */
    uint8_t flags;
};

/* ---- congestion control ---------------------------------------------------------------------- */

struct tcp_cubic {
    double w_max; /* segments */
    double k_s;   /* seconds until w_max is reached again */
    double w_est; /* what NewReno would have, segments */
    double cwnd_prior;
    uint64_t epoch_ns; /* 0: no congestion avoidance yet */
};

struct tcp_hystart {
    uint32_t round_end; /* sequence number that ends the round */
    unsigned samples;
    unsigned css_rounds; /* conservative slow start: 0 when not in it */
    uint64_t rtt_last_ns;
    uint64_t rtt_now_ns;
    uint64_t rtt_base_ns;
    bool done;
};

struct tcp_cc {
    uint32_t cwnd;
    uint32_t ssthresh;
    uint32_t acked;      /* NewReno: bytes counted towards the next increase */
    uint32_t flight_max; /* bytes in flight, most in this round */
    uint32_t flight_end; /* sequence number that ends the round */
    bool limited;        /* the window, not the application, held sending back */
    struct tcp_cubic cubic;
    struct tcp_hystart hystart;
};

/* ---- what is received ------------------------------------------------------------------------ */

struct tcp_rx {
    uint32_t irs;
    uint32_t next;
    uint32_t edge;     /* of the window announced */
    uint32_t last_ack; /* sent */
    uint32_t buffer;   /* bytes that may be queued or lent */
    uint32_t queued;   /* bytes in `queue` */
    uint32_t lent;     /* bytes with the application */
    uint32_t fin_seq;  /* of the peer's FIN, if fin_seen */
    uint8_t wscale;    /* ours */
    bool fin_seen;     /* also out of order */
    bool fin_taken;    /* in order: `next` is behind it */
    uint32_t mss;      /* greatest segment seen: what delayed ACKs count */
    unsigned queue_count;
    unsigned reorder_count;
    struct mr_list queue;   /* packets in order, for the application */
    struct mr_list reorder; /* packets behind a gap, by sequence */
    /* SACK blocks to tell, the latest first; dsack goes before them once. */
    struct tcp_block blocks[TCP_RX_BLOCKS_MAX];
    unsigned block_count;
    struct tcp_block dsack;
    bool dsack_pending;
    /* Delayed ACKs. */
    uint32_t unacked;  /* bytes in order since the last ACK sent */
    bool ack_delayed;  /* a timer runs for it */
    unsigned quick;    /* ACKs still to be sent at once */
    bool conversation; /* the application answers what it gets: wait for it */
    uint64_t last_data_ns;
    /* Auto-sizing: bytes the application took in one round trip. */
    uint64_t size_round_ns;
    uint64_t size_taken;
    uint64_t rtt_ns;
    uint32_t rtt_seq;
    uint64_t rtt_from_ns;
};

#define TCP_DO_OUTPUT    0x01 /* in tcp->outputs */
#define TCP_DO_EVENTS    0x02 /* in tcp->events_ready */
#define TCP_ACK_NOW      0x04
#define TCP_APP          0x08 /* the application has the pointer */
#define TCP_APP_CLOSED   0x10 /* it wants no events but the last */
#define TCP_ACTIVE       0x20 /* opened by us */
#define TCP_FIN_WANTED   0x40
#define TCP_FIN_SENT     0x80
#define TCP_PAUSED       0x100
#define TCP_STARVED      0x200 /* in tcp->starved */
#define TCP_TELL_OPEN    0x400 /* accepted or connected is due */
#define TCP_TELL_ENDED   0x800
#define TCP_TOLD_ENDED   0x1000
#define TCP_HALF_OPEN    0x2000 /* counted in tcp->stats.half_open */
#define TCP_SEND_RST     0x4000
#define TCP_SYN_DUE      0x8000
#define TCP_SACK_ON      0x10000
#define TCP_TS_ON        0x20000
#define TCP_WSCALE_ON    0x40000
#define TCP_ECN_ON       0x80000
#define TCP_ECE_DUE      0x100000  /* tell the peer of congestion until it says CWR */
#define TCP_CWR_DUE      0x200000  /* tell the peer that we have slowed down */
#define TCP_PROBE_OUT    0x400000  /* a tail loss probe is not resolved */
#define TCP_PROBE_RETX   0x800000  /* and was a retransmission */
#define TCP_REORDERED    0x1000000 /* the path reorders */
#define TCP_TOLD_LEAVING 0x2000000 /* in this pause */
#define TCP_SYN_RETX     0x4000000 /* the SYN was sent again: no RTT from it */

struct mr_tcp_conn {
    struct mr_tcp *tcp;
    struct mr_list hash_node; /* free: of the pool */
    struct mr_list all_node;
    struct mr_list output_node;
    struct mr_list event_node;
    struct mr_list wait_node; /* TIME_WAIT: by age; STARVED: of tcp->starved */
    struct tcp_timer timers[TCP_TIMER_COUNT];
    void *user;
    uint64_t id; /* generation and index */
    uint32_t local;
    uint32_t remote;
    uint16_t local_port;
    uint16_t remote_port;
    enum tcp_state state;
    enum tcp_phase phase;
    enum tcp_rtx rtx;
    uint32_t flags;
    int reason; /* of the end */

    /* Sending. */
    uint32_t iss;
    uint32_t una;
    uint32_t nxt;
    uint32_t peer_window; /* bytes from una */
    uint32_t peer_window_max;
    uint32_t wl1;
    uint32_t wl2;
    uint8_t peer_wscale;
    uint32_t mss_peer; /* what the peer takes, without options */
    uint32_t mss_path; /* what the path takes, likewise */
    uint32_t mss;      /* payload of a segment now */
    uint64_t unsent;   /* bytes queued and never sent */
    uint64_t queued_total;
    uint64_t acked_total;
    struct tcp_cursor cursor; /* of the first byte never sent */
    struct mr_list sends;     /* not acknowledged, in order */
    struct mr_list sends_done;
    struct mr_list segs;
    struct mr_list sent_order;
    uint64_t last_sent_ns;
    uint64_t last_received_ns;

    /* Round-trip time, RFC 6298. */
    uint64_t srtt_ns;
    uint64_t rttvar_ns;
    uint64_t rto_ns;
    uint64_t rtt_min_ns;
    uint64_t rto_deadline_ns;
    unsigned backoff;
    unsigned retries;
    unsigned probes; /* of keepalive, unanswered */

    /* Timestamps. */
    uint32_t ts_offset;
    uint32_t ts_recent;
    uint64_t ts_recent_ns;

    /* Scoreboard, in bytes of sequence space. A lost segment that was sent again is in flight. */
    uint32_t sacked;
    uint32_t lost;
    uint32_t sacked_segs;
    struct tcp_seg *sack_hint;                  /* where the last SACK block ended */
    struct tcp_seg *retx_hint;                  /* no LOST segment lies before it */
    struct tcp_block seen[TCP_SACK_BLOCKS_MAX]; /* blocks of the last ACK */
    unsigned seen_count;
    uint32_t sack_high; /* end of the highest SACKed segment */
    unsigned dupacks;

    /* Recovery. */
    uint32_t recovery_point;
    uint32_t prr_delivered;
    uint32_t prr_out;
    uint32_t recover_flight;
    bool retx_first; /* the first retransmission goes out whatever the window */
    /* Undo. */
    bool undo_possible;
    uint32_t undo_segs; /* retransmissions of the episode not shown needless by DSACK */
    uint32_t undo_cwnd;
    uint32_t undo_ssthresh;
    struct tcp_cubic undo_cubic;
    uint32_t retx_ts; /* timestamp of the episode's first retransmission; with retx_stamped */
    bool retx_stamped;
    bool frto; /* LOSS: an ACK of what was never sent again shows it spurious */

    /* RACK-TLP, RFC 8985. */
    uint64_t rack_sent_ns;
    uint64_t rack_rtt_ns;
    uint32_t rack_end_seq;
    uint32_t rack_fack;
    unsigned reo_mult;
    unsigned reo_persist;
    uint32_t reo_round; /* DSACK counts once a round trip */
    uint32_t probe_end_seq;

    uint64_t mtu_raise_ns; /* when a larger segment is tried; 0: the path takes all we have */
    uint32_t ecn_point;    /* nxt at the last reduction */
    uint64_t challenge_ns;
    uint64_t oow_ns;

    struct tcp_cc cc;
    struct tcp_rx rx;
};

#define TCP_CACHE_LINE 64

/* Fetches all of it at once: one that has not spoken for long has left the caches, and would come
 * back line by line, each when it is wanted. */
static inline void
tcp_conn_prefetch(const struct mr_tcp_conn *conn)
{
    for (size_t at = 0; at < sizeof(*conn); at += TCP_CACHE_LINE) {
        __builtin_prefetch((const char *)conn + at, 1);
    }
}

struct tcp_listener {
    uint32_t local;
    uint16_t port;
    bool open;
};

struct mr_tcp {
    struct mr_tcp_config config;
    struct mr_tcp_ops ops;
    struct mr_tcp_events events;
    struct mr_tcp_stats stats;
    struct tcp_wheel wheel;
    struct mr_tcp_conn *conns;
    struct mr_list free_conns;
    struct mr_list all_conns;
    struct tcp_seg *segs;
    struct mr_list free_segs;
    struct mr_list *buckets;
    uint32_t bucket_mask;
    struct tcp_listener *listeners;
    struct mr_list outputs;
    struct mr_list events_ready;
    struct mr_list time_waits; /* oldest first */
    struct mr_list starved;
    uint16_t port_next;
    uint16_t ip_id;
    unsigned cookies_recent; /* whether cookies were sent lately: else none is looked for */
    uint64_t cookies_ns;
    uint64_t now_ns;
    bool output_full; /* the device refused during this flush */
};

/* ---- tcp_conn.c: states, pool, table --------------------------------------------------------- */

void tcp_state_set(struct mr_tcp_conn *conn, enum tcp_state state);
void tcp_phase_set(struct mr_tcp_conn *conn, enum tcp_phase phase);
/* NULL: none free, counted. Recycles the oldest TIME_WAIT. */
struct mr_tcp_conn *tcp_conn_new(struct mr_tcp *tcp, uint64_t now_ns);
void tcp_conn_insert(struct mr_tcp_conn *conn);
struct mr_tcp_conn *tcp_conn_find(struct mr_tcp *tcp, uint32_t local, uint16_t local_port,
                                  uint32_t remote, uint16_t remote_port);
struct tcp_listener *tcp_listener_find(struct mr_tcp *tcp, uint32_t local, uint16_t port);
/* To CLOSED; everything but what the application must still hear is given back. `reason` is what
 * `closed` says. */
void tcp_conn_end(struct mr_tcp_conn *conn, int reason);
/* Frees it if nobody needs it any more. */
void tcp_conn_reap(struct mr_tcp_conn *conn);
/* RST with the next flush; only then it ends. */
void tcp_reset_later(struct mr_tcp_conn *conn, int reason);
void tcp_want_output(struct mr_tcp_conn *conn);
void tcp_want_events(struct mr_tcp_conn *conn);
struct tcp_seg *tcp_seg_new(struct mr_tcp *tcp);
void tcp_seg_free(struct mr_tcp *tcp, struct tcp_seg *seg);
/* The connection may send: windows, MSS and buffers as negotiated. */
void tcp_conn_start(struct mr_tcp_conn *conn, const struct tcp_options *options);
void tcp_mss_update(struct mr_tcp_conn *conn);
uint8_t tcp_wscale_own(const struct mr_tcp *tcp);
void tcp_time_wait(struct mr_tcp_conn *conn, uint64_t now_ns);

/* ---- tcp_options.c --------------------------------------------------------------------------- */

/* 0 or -EBADMSG. What is well-formed and unknown is skipped. */
int tcp_options_parse(const uint8_t *at, uint32_t size, struct tcp_options *out);
/* Writes them padded to words, with `size_max` at most; as many blocks as fit. Returns the size. */
uint32_t tcp_options_build(uint8_t *at, const struct tcp_options *options);

/* ---- tcp_secret.c: what depends on the secret ------------------------------------------------ */

uint64_t tcp_siphash(const uint8_t key[16], const void *data, size_t size);
uint32_t tcp_isn(const struct mr_tcp *tcp, uint32_t local, uint16_t local_port, uint32_t remote,
                 uint16_t remote_port, uint64_t now_ns);
uint32_t tcp_ts_offset(const struct mr_tcp *tcp, uint32_t local, uint32_t remote);
uint32_t tcp_hash(const struct mr_tcp *tcp, uint32_t local, uint16_t local_port, uint32_t remote,
                  uint16_t remote_port);
/* The sequence number that remembers the SYN, and in *ts the timestamp that remembers its options.
 */
uint32_t tcp_cookie_make(const struct mr_tcp *tcp, const struct tcp_segment *segment, uint32_t *ts,
                         uint64_t now_ns);
/* Whether the ACK brings a cookie of ours; fills in the options that it remembers. */
bool tcp_cookie_check(const struct mr_tcp *tcp, const struct tcp_segment *segment,
                      struct tcp_options *options, uint64_t now_ns);

/* ---- tcp_input.c, tcp_handshake.c, tcp_receive.c, tcp_ack.c -----------------------------------
 */

/* A SYN or a cookie's ACK for a listener. */
void tcp_listen_input(struct mr_tcp *tcp, const struct tcp_segment *segment, uint64_t now_ns);
void tcp_syn_sent_input(struct mr_tcp_conn *conn, const struct tcp_segment *segment,
                        uint64_t now_ns);
/* The ACK that ends SYN_RECEIVED. False: it was none, and has been answered. */
bool tcp_syn_received_ack(struct mr_tcp_conn *conn, const struct tcp_segment *segment,
                          uint64_t now_ns);
void tcp_challenge(struct mr_tcp_conn *conn, uint64_t now_ns);

/* Payload and FIN of a segment that is in the window. True: the packet is kept. */
bool tcp_receive(struct mr_tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_ns);
/* The window that can be announced now; moves rx.edge. */
uint32_t tcp_window_take(struct mr_tcp_conn *conn);
/* Whether the window has opened so much that the peer should know. */
bool tcp_window_news(const struct mr_tcp_conn *conn);
void tcp_receive_drop(struct mr_tcp_conn *conn);
/* An ACK has gone out, alone or on data. */
void tcp_ack_sent(struct mr_tcp_conn *conn, bool alone);
void tcp_packet_put(struct mr_tcp *tcp, struct mr_tcp_packet *packet);
/* The application has taken bytes: the buffer may grow. */
void tcp_receive_taken(struct mr_tcp_conn *conn, uint32_t size, uint64_t now_ns);

/* False: the ACK is not acceptable, and has been answered. May end the connection. */
bool tcp_ack_input(struct mr_tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_ns);
void tcp_rtt_sample(struct mr_tcp_conn *conn, uint64_t rtt_ns);
void tcp_rto_update(struct mr_tcp_conn *conn);

/* ---- tcp_recovery.c, tcp_rack.c ---------------------------------------------------------------
 */

/* What one ACK did. */
struct tcp_acked {
    uint32_t una_before;
    uint32_t acked;     /* bytes: una moved on by so much */
    uint32_t delivered; /* bytes newly acknowledged or SACKed */
    uint64_t rtt_ns;    /* 0: no sample */
    bool original;      /* among them a segment never sent again */
    bool retran;        /* among them one sent again */
    bool dsack;
    struct tcp_block dsack_block;
    bool ece;
    bool duplicate;      /* RFC 5681's duplicate ACK */
    uint64_t reorder_ns; /* RACK wants to look again in so long; 0: no */
    uint32_t ts_ecr;
    bool has_ts;
    uint64_t sent_ns; /* of the latest that counts for the sample */
};

/* Bytes that should be in the network. */
static inline uint32_t
tcp_pipe(const struct mr_tcp_conn *conn)
{
    return conn->nxt - conn->una - conn->sacked - conn->lost;
}

void tcp_recovery_ack(struct mr_tcp_conn *conn, struct tcp_acked *acked, uint64_t now_ns);
void tcp_recovery_timeout(struct mr_tcp_conn *conn, uint64_t now_ns);
void tcp_recovery_ecn(struct mr_tcp_conn *conn);
void tcp_mark_lost(struct mr_tcp_conn *conn, struct tcp_seg *seg);
void tcp_rack_delivered(struct mr_tcp_conn *conn, const struct tcp_seg *seg, uint64_t now_ns,
                        const struct tcp_acked *acked);
void tcp_rack_reordering(struct mr_tcp_conn *conn, const struct tcp_acked *acked);
/* Marks what RACK holds for lost; returns in how many ns it would mark more, 0 for never. */
uint64_t tcp_rack_mark(struct mr_tcp_conn *conn, uint64_t now_ns);
void tcp_probe_ack(struct mr_tcp_conn *conn, const struct tcp_acked *acked, uint64_t now_ns);
void tcp_probe_send(struct mr_tcp_conn *conn, uint64_t now_ns);
uint64_t tcp_probe_timeout(const struct mr_tcp_conn *conn);
/* The reordering timer has fired. */
void tcp_rack_timeout(struct mr_tcp_conn *conn, uint64_t now_ns);
void tcp_enter_recovery(struct mr_tcp_conn *conn, bool by_rack);

/* ---- tcp_cc.c ---------------------------------------------------------------------------------
 */

void tcp_cc_start(struct mr_tcp_conn *conn);
void tcp_cc_acked(struct mr_tcp_conn *conn, const struct tcp_acked *acked, uint64_t now_ns);
/* The new ssthresh after a loss; remembers what undo needs. */
uint32_t tcp_cc_reduce(struct mr_tcp_conn *conn);
void tcp_cc_idle(struct mr_tcp_conn *conn, uint64_t now_ns);
uint32_t tcp_cc_initial(uint32_t mss);

/* ---- tcp_timer.c ------------------------------------------------------------------------------
 */

void tcp_timer_fire(struct mr_tcp_conn *conn, struct tcp_timer *timer, uint64_t now_ns);
/* The retransmission timer starts anew: on ACKs that move on, and when something goes out after
 * nothing was in flight. */
void tcp_rtx_restart(struct mr_tcp_conn *conn, uint64_t now_ns);
/* It keeps its RTO, but probe or window may have to come first. */
void tcp_rtx_arm(struct mr_tcp_conn *conn, uint64_t now_ns);
void tcp_rtx_reorder(struct mr_tcp_conn *conn, uint64_t deadline_ns);
void tcp_life_arm(struct mr_tcp_conn *conn, uint64_t now_ns);

/* ---- tcp_output.c, tcp_frame.c ----------------------------------------------------------------
 */

/* Sends what may be sent. */
void tcp_output(struct mr_tcp_conn *conn, uint64_t now_ns);
/* One new segment beyond the congestion window. False: nothing to send, or no room. */
bool tcp_output_probe(struct mr_tcp_conn *conn, uint64_t now_ns);
bool tcp_output_retransmit(struct mr_tcp_conn *conn, struct tcp_seg *seg, uint64_t now_ns);
/* Cuts a segment in two; the first keeps `size` bytes. False: none free. */
bool tcp_seg_split(struct mr_tcp_conn *conn, struct tcp_seg *seg, uint32_t size);
/* A lone ACK, at once. */
bool tcp_output_ack(struct mr_tcp_conn *conn, uint64_t now_ns);
/* An ACK with a sequence number that the peer must answer. */
bool tcp_output_window_probe(struct mr_tcp_conn *conn, uint64_t now_ns);
bool tcp_output_syn(struct mr_tcp_conn *conn, uint64_t now_ns);
/* SYN and ACK of a cookie: no connection exists. */
void tcp_output_cookie(struct mr_tcp *tcp, const struct tcp_segment *segment, uint64_t now_ns);
/* RST for a segment that belongs to nothing. */
void tcp_output_reset(struct mr_tcp *tcp, const struct tcp_segment *segment);
uint32_t tcp_timestamp(const struct mr_tcp_conn *conn, uint64_t now_ns);

/* What tcp_frame_send() needs to know of one segment. */
struct tcp_frame_spec {
    uint32_t local;
    uint32_t remote;
    uint16_t local_port;
    uint16_t remote_port;
    uint32_t seq;
    uint32_t ack;
    uint16_t window;
    uint8_t flags;
    uint8_t ecn;
    struct tcp_options options;
    const struct mr_tcp_slice *slices;
    unsigned slice_count;
    uint32_t payload_size;
    uint32_t segment_size;
};

bool tcp_frame_send(struct mr_tcp *tcp, const struct tcp_frame_spec *spec);
uint16_t tcp_checksum(uint32_t sum, const void *data, size_t size);
uint32_t tcp_sum(uint32_t sum, const void *data, size_t size);
uint16_t tcp_sum_fold(uint32_t sum);
uint32_t tcp_sum_pseudo(uint32_t source, uint32_t destination, uint32_t size);

/* ---- tcp_mtu.c: what the path takes ------------------------------------------------------------
 */

/* `most` is the payload without options, as conn->mss_path. */
void tcp_mtu_reduce(struct mr_tcp_conn *conn, uint32_t most, uint64_t now_ns);
/* The payload of a larger segment that is to be tried now; 0: none. */
uint32_t tcp_mtu_probe(const struct mr_tcp_conn *conn, uint64_t now_ns);
void tcp_mtu_probed(struct mr_tcp_conn *conn);
void tcp_mtu_delivered(struct mr_tcp_conn *conn, const struct tcp_seg *seg);
void tcp_mtu_failed(struct mr_tcp_conn *conn);

/* ---- tcp_queue.c: the queue of sends -----------------------------------------------------------
 */

/* Names up to `size` bytes from the cursor on, in at most MR_TCP_SLICES_MAX slices, and moves it
 * behind them. Returns how many bytes. */
uint32_t tcp_gather(const struct mr_tcp_conn *conn, struct tcp_cursor *cursor, uint32_t size,
                    struct mr_tcp_slice *slices, unsigned *slice_count);
/* Moves the cursor by `size` bytes. */
void tcp_cursor_skip(const struct mr_tcp_conn *conn, struct tcp_cursor *cursor, uint32_t size);
void tcp_sends_acked(struct mr_tcp_conn *conn, uint32_t size);
void tcp_sends_fail(struct mr_tcp_conn *conn, int result);

#endif
