/* tcp/tcp_cc.c: how much may be in flight: slow start with HyStart++ (RFC 9406), CUBIC (RFC 9438)
 * or NewReno (RFC 5681), IW10 (RFC 6928), restart after idling (RFC 2861).
 *
 * CUBIC's arithmetic is in segments and seconds, as in the RFC. */
#include <math.h>

#include "dataplane/tcp/tcp_priv.h"

#define CUBIC_C          0.4
#define CUBIC_BETA       0.7
#define CWND_MAX         (1u << 30)
#define HYSTART_SAMPLES  8
#define HYSTART_MIN_NS   (4 * MR_NS_PER_MS)
#define HYSTART_MAX_NS   (16 * MR_NS_PER_MS)
#define HYSTART_DIVISOR  4
#define HYSTART_ROUNDS   5
#define SLOW_START_LIMIT 8 /* segments of growth for one ACK, RFC 9406 4.2 */

uint32_t
tcp_cc_initial(uint32_t mss)
{
    return tcp_min(10 * mss, tcp_max(2 * mss, 14600));
}

static void
hystart_reset(struct mr_tcp_conn *conn)
{
    conn->cc.hystart = (struct tcp_hystart){
        .round_end = conn->nxt,
        .rtt_last_ns = UINT64_MAX,
        .rtt_now_ns = UINT64_MAX,
        .done = !conn->tcp->config.hystart,
    };
}

void
tcp_cc_start(struct mr_tcp_conn *conn)
{
    conn->cc = (struct tcp_cc){
        .cwnd = tcp_cc_initial(conn->mss),
        .ssthresh = CWND_MAX,
    };
    hystart_reset(conn);
}

/* ---- CUBIC ----------------------------------------------------------------------------------- */

static void
cubic_epoch(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_cubic *cubic = &conn->cc.cubic;
    double cwnd = (double)conn->cc.cwnd / conn->mss;

    cubic->epoch_ns = now_ns;
    if (cubic->w_max < cwnd) {
        cubic->w_max = cwnd;
    }
    cubic->k_s = cbrt((cubic->w_max - cwnd) / CUBIC_C);
    cubic->w_est = cwnd;
}

static void
cubic_acked(struct mr_tcp_conn *conn, uint32_t acked, uint64_t now_ns)
{
    struct tcp_cubic *cubic = &conn->cc.cubic;
    double cwnd = (double)conn->cc.cwnd / conn->mss;
    double segs = (double)acked / conn->mss;
    double rtt_s = (double)conn->srtt_ns * 1e-9;
    double alpha = 3 * (1 - CUBIC_BETA) / (1 + CUBIC_BETA);
    double at_s, target;

    if (cubic->epoch_ns == 0) {
        cubic_epoch(conn, now_ns);
    }
    /* 4.3: once it has caught up with where the reduction began, grow like NewReno. */
    if (cubic->w_est >= cubic->cwnd_prior) {
        alpha = 1;
    }
    cubic->w_est += alpha * segs / cwnd;
    at_s = (double)(now_ns - cubic->epoch_ns) * 1e-9 - cubic->k_s;
    if (CUBIC_C * at_s * at_s * at_s + cubic->w_max < cubic->w_est) {
        cwnd = cubic->w_est > cwnd ? cubic->w_est : cwnd;
    } else {
        at_s += rtt_s;
        target = CUBIC_C * at_s * at_s * at_s + cubic->w_max;
        target = target < cwnd ? cwnd : target > 1.5 * cwnd ? 1.5 * cwnd : target;
        cwnd += (target - cwnd) / cwnd * segs;
    }
    cwnd *= conn->mss;
    conn->cc.cwnd = cwnd < CWND_MAX ? (uint32_t)cwnd : CWND_MAX;
}

/* ---- NewReno --------------------------------------------------------------------------------- */

static void
newreno_acked(struct mr_tcp_conn *conn, uint32_t acked)
{
    struct tcp_cc *cc = &conn->cc;

    cc->acked += acked;
    if (cc->acked >= cc->cwnd) {
        cc->acked -= cc->cwnd;
        cc->cwnd = tcp_min(cc->cwnd + conn->mss, CWND_MAX);
    }
}

/* ---- slow start ------------------------------------------------------------------------------ */

static void
hystart_exit(struct mr_tcp_conn *conn)
{
    conn->cc.hystart.done = true;
    conn->cc.ssthresh = conn->cc.cwnd;
    conn->tcp->stats.hystart_exits++;
}

static void
hystart_round(struct mr_tcp_conn *conn)
{
    struct tcp_hystart *hystart = &conn->cc.hystart;

    hystart->round_end = conn->nxt;
    hystart->rtt_last_ns = hystart->rtt_now_ns;
    hystart->rtt_now_ns = UINT64_MAX;
    hystart->samples = 0;
    if (hystart->css_rounds > 0 && ++hystart->css_rounds > HYSTART_ROUNDS) {
        hystart_exit(conn);
    }
}

/* RFC 9406 4.2: leave slow start when the round-trip time rises, but believe it only after some
 * rounds of slower growth. */
static void
hystart_acked(struct mr_tcp_conn *conn, uint64_t rtt_ns)
{
    struct tcp_hystart *hystart = &conn->cc.hystart;
    uint64_t rise_ns;

    if (hystart->done) {
        return;
    }
    if (rtt_ns > 0) {
        hystart->samples++;
        hystart->rtt_now_ns = rtt_ns < hystart->rtt_now_ns ? rtt_ns : hystart->rtt_now_ns;
    }
    if (hystart->samples >= HYSTART_SAMPLES && hystart->rtt_last_ns != UINT64_MAX &&
        hystart->rtt_now_ns != UINT64_MAX) {
        rise_ns = hystart->rtt_last_ns / 8;
        rise_ns = rise_ns < HYSTART_MIN_NS ? HYSTART_MIN_NS : rise_ns;
        rise_ns = rise_ns > HYSTART_MAX_NS ? HYSTART_MAX_NS : rise_ns;
        if (hystart->css_rounds == 0) {
            if (hystart->rtt_now_ns >= hystart->rtt_last_ns + rise_ns) {
                hystart->rtt_base_ns = hystart->rtt_now_ns;
                hystart->css_rounds = 1;
            }
        } else if (hystart->rtt_now_ns < hystart->rtt_base_ns) {
            hystart->rtt_base_ns = UINT64_MAX;
            hystart->css_rounds = 0;
        }
    }
    if (tcp_seq_le(hystart->round_end, conn->una)) {
        hystart_round(conn);
    }
}

static uint32_t
slow_start(struct mr_tcp_conn *conn, uint32_t acked)
{
    struct tcp_cc *cc = &conn->cc;
    uint32_t grow = tcp_min(acked, SLOW_START_LIMIT * conn->mss);
    uint32_t room = cc->ssthresh - cc->cwnd;

    if (cc->hystart.css_rounds > 0 && !cc->hystart.done) {
        grow /= HYSTART_DIVISOR;
    }
    grow = tcp_min(grow, room);
    cc->cwnd += grow;
    return acked > grow && cc->cwnd >= cc->ssthresh ? acked - grow : 0;
}

/* RFC 7661: a window that was not used says nothing about the path. */
static bool
is_limited(struct mr_tcp_conn *conn)
{
    struct tcp_cc *cc = &conn->cc;

    if (cc->cwnd < cc->ssthresh) {
        return cc->limited || cc->cwnd < 2 * cc->flight_max;
    }
    return cc->limited;
}

void
tcp_cc_acked(struct mr_tcp_conn *conn, const struct tcp_acked *acked, uint64_t now_ns)
{
    struct tcp_cc *cc = &conn->cc;
    uint32_t bytes = acked->acked;

    hystart_acked(conn, acked->rtt_ns);
    if (bytes == 0 || !is_limited(conn)) {
        return;
    }
    if (cc->cwnd < cc->ssthresh) {
        bytes = slow_start(conn, bytes);
        if (bytes == 0) {
            return;
        }
    }
    if (conn->tcp->config.cc == MR_TCP_CC_CUBIC) {
        cubic_acked(conn, bytes, now_ns);
    } else {
        newreno_acked(conn, bytes);
    }
}

/* ---- reductions ------------------------------------------------------------------------------ */

uint32_t
tcp_cc_reduce(struct mr_tcp_conn *conn)
{
    struct tcp_cc *cc = &conn->cc;
    struct tcp_cubic *cubic = &cc->cubic;
    uint32_t floor = 2 * conn->mss;
    double cwnd = (double)cc->cwnd / conn->mss;

    cc->hystart.done = true;
    cc->acked = 0;
    if (conn->tcp->config.cc == MR_TCP_CC_NEWRENO) {
        return tcp_max(tcp_min(conn->nxt - conn->una, cc->cwnd) / 2, floor);
    }
    cubic->cwnd_prior = cwnd;
    /* 4.7 fast convergence: below the last peak others want their share. */
    cubic->w_max = cwnd < cubic->w_max ? cwnd * (1 + CUBIC_BETA) / 2 : cwnd;
    cubic->epoch_ns = 0;
    return tcp_max((uint32_t)(cc->cwnd * CUBIC_BETA), floor);
}

/* RFC 2861: half for each timeout's time without sending, down to the initial window. */
void
tcp_cc_idle(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    struct tcp_cc *cc = &conn->cc;
    uint64_t idle_ns = now_ns - conn->last_sent_ns;
    uint32_t floor = tcp_min(tcp_cc_initial(conn->mss), cc->cwnd);

    if (idle_ns <= conn->rto_ns) {
        return;
    }
    cc->ssthresh = tcp_max(cc->ssthresh, cc->cwnd / 4 * 3);
    for (; idle_ns > conn->rto_ns && cc->cwnd > floor; idle_ns -= conn->rto_ns) {
        cc->cwnd = tcp_max(cc->cwnd / 2, floor);
    }
    cc->limited = false;
    cc->flight_max = 0;
    cc->cubic.epoch_ns = 0;
}
