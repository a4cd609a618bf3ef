/* tcp/tcp_events.c: telling the application. Events run here and nowhere else, one connection after
 * the other, so that the application may call back as it likes. */
#include <errno.h>

#include "dataplane/tcp/tcp_priv.h"

static void
tell_open(struct mr_tcp_conn *conn)
{
    struct mr_tcp *tcp = conn->tcp;

    conn->flags &= ~(uint32_t)TCP_TELL_OPEN;
    if (conn->flags & TCP_ACTIVE) {
        tcp->stats.connected++;
        if (!(conn->flags & TCP_APP_CLOSED)) {
            tcp->events.connected(conn->user, conn);
        }
        return;
    }
    if (conn->state == TCP_CLOSED) {
        return; /* it ended before anybody knew of it */
    }
    tcp->stats.accepted++;
    conn->flags |= TCP_APP;
    conn->user = tcp->events.accepted(tcp->events.context, conn, conn->remote, conn->remote_port);
    if (!conn->user) {
        mr_tcp_abort(conn);
        conn->flags &= ~(uint32_t)TCP_APP;
    }
}

static void
tell_sends(struct mr_tcp_conn *conn)
{
    struct mr_list held;

    mr_list_init(&held);
    while (!mr_list_empty(&conn->sends_done)) {
        struct mr_list *node = mr_list_pop_front(&conn->sends_done);
        struct mr_tcp_send *send = MR_CONTAINER_OF(node, struct mr_tcp_send, node);

        if (send->holds > 0) {
            mr_list_push_back(&held, node);
            continue;
        }
        conn->tcp->stats.sends_pending--;
        send->done(send, send->result);
    }
    while (!mr_list_empty(&held)) {
        mr_list_push_back(&conn->sends_done, mr_list_pop_front(&held));
    }
}

static void
tell_received(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    while (!mr_list_empty(&conn->rx.queue) && (conn->flags & TCP_APP) &&
           !(conn->flags & (TCP_PAUSED | TCP_APP_CLOSED))) {
        struct mr_list *node = mr_list_pop_front(&conn->rx.queue);
        struct mr_tcp_packet *packet = MR_CONTAINER_OF(node, struct mr_tcp_packet, node);

        conn->rx.queue_count--;
        conn->rx.queued -= packet->data_size;
        conn->rx.lent += packet->data_size;
        packet->charged = packet->data_size;
        conn->tcp->stats.bytes_in += packet->data_size;
        tcp_receive_taken(conn, packet->data_size, now_ns);
        conn->tcp->events.received(conn->user, packet, packet->data, packet->data_size);
    }
    if ((conn->flags & TCP_TELL_ENDED) && mr_list_empty(&conn->rx.queue) &&
        (conn->flags & TCP_APP) && !(conn->flags & TCP_APP_CLOSED)) {
        conn->flags &= ~(uint32_t)TCP_TELL_ENDED;
        conn->flags |= TCP_TOLD_ENDED;
        conn->tcp->events.ended(conn->user);
    }
}

static void
tell_leaving(struct mr_tcp_conn *conn)
{
    const uint32_t wanted = TCP_TELL_ENDED | TCP_APP | TCP_PAUSED;

    if ((conn->flags & (wanted | TCP_APP_CLOSED | TCP_TOLD_LEAVING)) == wanted &&
        conn->tcp->events.leaving) {
        conn->flags |= TCP_TOLD_LEAVING;
        conn->tcp->events.leaving(conn->user);
    }
}

/* Whether nothing can happen any more that the application would want to know. */
static bool
is_over(const struct mr_tcp_conn *conn)
{
    if (!mr_list_empty(&conn->sends) || !mr_list_empty(&conn->sends_done)) {
        return false;
    }
    if (conn->flags & TCP_APP_CLOSED) {
        return conn->state == TCP_CLOSED || conn->state == TCP_TIME_WAIT ||
               conn->state == TCP_FIN_WAIT_2;
    }
    if (conn->state == TCP_CLOSED && conn->reason != 0) {
        return true;
    }
    return (conn->state == TCP_CLOSED || conn->state == TCP_TIME_WAIT) &&
           mr_list_empty(&conn->rx.queue) && !(conn->flags & TCP_TELL_ENDED);
}

static void
dispatch_conn(struct mr_tcp_conn *conn, uint64_t now_ns)
{
    if (conn->flags & TCP_TELL_OPEN) {
        tell_open(conn);
    }
    tell_sends(conn);
    tell_received(conn, now_ns);
    tell_leaving(conn);
    if ((conn->flags & TCP_APP) && is_over(conn)) {
        void *user = conn->user;
        int reason = conn->state == TCP_CLOSED ? conn->reason : 0;

        conn->flags &= ~(uint32_t)TCP_APP;
        conn->flags |= TCP_APP_CLOSED;
        conn->user = NULL;
        tcp_receive_drop(conn);
        if (conn->state == TCP_FIN_WAIT_2) {
            tcp_life_arm(conn, now_ns);
        }
        conn->tcp->events.closed(user, reason);
    }
    tcp_conn_reap(conn);
}

unsigned
mr_tcp_dispatch(struct mr_tcp *tcp, unsigned conns, uint64_t now_ns)
{
    unsigned served = 0;

    tcp->now_ns = now_ns;
    while (served < conns && !mr_list_empty(&tcp->events_ready)) {
        struct mr_tcp_conn *conn =
            MR_CONTAINER_OF(mr_list_pop_front(&tcp->events_ready), struct mr_tcp_conn, event_node);

        conn->flags &= ~(uint32_t)TCP_DO_EVENTS;
        dispatch_conn(conn, now_ns);
        served++;
    }
    return served;
}
