/* tcp/tcp_queue.c: the application's sends of one connection, as a stream. */
#include "dataplane/tcp/tcp_priv.h"

/* No cursor rests at the end of a send: that one could be acknowledged and gone. Puts a cursor that
 * has reached the end of a slice on the next byte there is. */
static void
cursor_settle(const struct mr_tcp_conn *conn, struct tcp_cursor *cursor)
{
    while (cursor->send) {
        struct mr_list *next;

        while (cursor->iov_at < cursor->send->iov_count &&
               cursor->iov_skip == cursor->send->iov[cursor->iov_at].iov_len) {
            cursor->iov_at++;
            cursor->iov_skip = 0;
        }
        if (cursor->iov_at < cursor->send->iov_count) {
            return;
        }
        next = cursor->send->node.next;
        cursor->send =
            next == &conn->sends ? NULL : MR_CONTAINER_OF(next, struct mr_tcp_send, node);
        cursor->iov_at = 0;
        cursor->iov_skip = 0;
    }
}

uint32_t
tcp_gather(const struct mr_tcp_conn *conn, struct tcp_cursor *cursor, uint32_t size,
           struct mr_tcp_slice *slices, unsigned *slice_count)
{
    uint32_t gathered = 0;
    unsigned count = 0;

    cursor_settle(conn, cursor);
    while (gathered < size && cursor->send && count < MR_TCP_SLICES_MAX) {
        const struct iovec *iov = &cursor->send->iov[cursor->iov_at];
        size_t left = iov->iov_len - cursor->iov_skip;
        uint32_t take = left < size - gathered ? (uint32_t)left : size - gathered;

        slices[count++] = (struct mr_tcp_slice){(const uint8_t *)iov->iov_base + cursor->iov_skip,
                                                take, cursor->send};
        gathered += take;
        cursor->iov_skip += take;
        cursor_settle(conn, cursor);
    }
    *slice_count = count;
    return gathered;
}

void
tcp_cursor_skip(const struct mr_tcp_conn *conn, struct tcp_cursor *cursor, uint32_t size)
{
    cursor_settle(conn, cursor);
    while (size > 0) {
        size_t left = cursor->send->iov[cursor->iov_at].iov_len - cursor->iov_skip;
        uint32_t take = left < size ? (uint32_t)left : size;

        cursor->iov_skip += take;
        size -= take;
        cursor_settle(conn, cursor);
    }
}

static void
send_finish(struct mr_tcp_conn *conn, struct mr_tcp_send *send, int result)
{
    mr_list_remove(&send->node);
    mr_list_push_back(&conn->sends_done, &send->node);
    send->result = result;
    tcp_want_events(conn);
}

void
tcp_sends_acked(struct mr_tcp_conn *conn, uint32_t size)
{
    conn->acked_total += size;
    while (!mr_list_empty(&conn->sends)) {
        struct mr_tcp_send *send = MR_CONTAINER_OF(conn->sends.next, struct mr_tcp_send, node);

        if (send->end > conn->acked_total) {
            return;
        }
        send_finish(conn, send, 0);
    }
}

void
tcp_sends_fail(struct mr_tcp_conn *conn, int result)
{
    conn->cursor = (struct tcp_cursor){0};
    conn->unsent = 0;
    while (!mr_list_empty(&conn->sends)) {
        send_finish(conn, MR_CONTAINER_OF(conn->sends.next, struct mr_tcp_send, node), result);
    }
}
