/* net/net.c: the contract's calls, passed to the transport. */
#include "dataplane/net/net.h"

#include "dataplane/base/assert.h"

int
mr_net_listen(struct mr_net *net, const char *host, uint16_t port, uint16_t *port_out)
{
    return net->ops->listen(net, host, port, port_out);
}

void
mr_net_listen_stop(struct mr_net *net)
{
    net->ops->listen_stop(net);
}

int
mr_net_connect(struct mr_net *net, const struct mr_net_target *target, void *user,
               struct mr_net_conn **out)
{
    MR_ASSERT(net->events.connected);
    return net->ops->connect(net, target, user, out);
}

void
mr_net_send(struct mr_net_conn *conn, struct mr_net_send *send)
{
    MR_ASSERT(send->iov_count > 0);
    send->iov_at = 0;
    send->iov_skip = 0;
    conn->net->ops->send(conn, send);
}

void
mr_net_pause(struct mr_net_conn *conn)
{
    conn->net->ops->pause(conn);
}

void
mr_net_resume(struct mr_net_conn *conn)
{
    conn->net->ops->resume(conn);
}

uint64_t
mr_net_bytes_sent(const struct mr_net_conn *conn)
{
    return conn->net->ops->bytes_sent ? conn->net->ops->bytes_sent(conn) : conn->bytes_sent;
}

void
mr_net_close(struct mr_net_conn *conn)
{
    conn->net->ops->close(conn);
}

void
mr_net_buf_release(struct mr_net_buf *buf)
{
    MR_ASSERT(buf->references > 0);
    buf->references--;
    if (buf->references == 0) {
        buf->net->ops->buf_free(buf->net, buf);
    }
}

void
mr_net_destroy(struct mr_net *net)
{
    if (net) {
        net->ops->destroy(net);
    }
}
