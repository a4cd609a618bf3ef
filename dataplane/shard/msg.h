/* shard/msg.h: the messages that shards and the control thread exchange.
 *
 * Every message has the same size and no function pointer, so that it can be dumped and replayed.
 * A request lends `context`, which its origin allocated; exactly one reply gives it back, and only
 * then may the origin touch or free it. */
#ifndef MR_SHARD_MSG_H
#define MR_SHARD_MSG_H

#include <stdint.h>

enum mr_msg_type {
    MR_MSG_NONE,

    /* shard -> shard; context: struct mr_produce_part. Class REQUEST. */
    MR_MSG_PRODUCE,
    MR_MSG_PRODUCE_REPLY,
    /* shard -> shard; context: struct mr_fetch_part. Class REQUEST, and RELEASE for the slices. */
    MR_MSG_FETCH,
    MR_MSG_FETCH_REPLY,
    MR_MSG_FETCH_RELEASE, /* the slices of the reply are not used any more */
    MR_MSG_FETCH_RELEASED,
    /* shard -> shard; context: struct mr_fetch_part. Class WATCH. Fired comes at most once;
     * a cancel is always answered, after the fired message where both happen. */
    MR_MSG_WATCH,
    MR_MSG_WATCH_FIRED,
    MR_MSG_WATCH_CANCEL,
    MR_MSG_WATCH_CANCELLED,
    /* shard -> shard; context: struct mr_offsets_part. Class REQUEST. */
    MR_MSG_OFFSETS,
    MR_MSG_OFFSETS_REPLY,
    /* shard -> shard; context: struct mr_part. Class REQUEST. */
    MR_MSG_LOGS,
    MR_MSG_LOGS_REPLY,
    /* shard -> shard; arguments: a quota's key in two, and what was used (a double's bits). Class
     * REQUEST. */
    MR_MSG_QUOTA_USED,
    MR_MSG_QUOTA_NOTED,

    /* shard -> control; context: struct mr_ctl_request. Class REQUEST, or GROUP for a coordinator.
     * A cancel (GROUP only, at most one) is always answered, before or after the reply; it makes
     * a reply that waits for other clients come now. */
    MR_MSG_CTL_REQUEST,
    MR_MSG_CTL_REPLY,
    MR_MSG_CTL_CANCEL,
    MR_MSG_CTL_CANCELLED,
    /* control -> shard; context: const struct mr_snapshot. Class REQUEST. */
    MR_MSG_SNAPSHOT,
    MR_MSG_SNAPSHOT_ACK, /* the shard uses it from now on, and no older one */
    /* control -> shard; context: struct mr_ctl_log. Class REQUEST. */
    MR_MSG_LOG_DELETE,
    MR_MSG_LOG_DELETE_REPLY,
    /* control -> shard; context: struct mr_ctl_append, struct mr_ctl_read. Class REQUEST. */
    MR_MSG_LOG_APPEND,
    MR_MSG_LOG_APPEND_REPLY,
    MR_MSG_LOG_READ,
    MR_MSG_LOG_READ_REPLY,
    /* control -> shard; context: struct mr_ctl_metrics. Class REQUEST. */
    MR_MSG_METRICS,
    MR_MSG_METRICS_REPLY,
    /* shard -> control; argument: store index. Class REQUEST. Context: struct mr_ctl_grow. */
    MR_MSG_STORE_GROW,
    MR_MSG_STORE_GROW_REPLY,
    /* shard -> control, once, without a credit: its stores are open (value 0), or it cannot start
     * (value 1). Argument 0: a store was not closed cleanly. */
    MR_MSG_SHARD_READY,
    /* control -> shard, once; every shard has its first snapshot: clients may come. The reply's
     * value is 0, or 1: it cannot listen. Class REQUEST. */
    MR_MSG_SERVE,
    MR_MSG_SERVE_REPLY,
    /* control -> shard; stop serving, close the stores. Class REQUEST. */
    MR_MSG_STOP,
    MR_MSG_STOP_REPLY,
    /* shard -> control, once after STOP and without a credit: no request of its own is under way.
     * Other shards may still wait for its answers. */
    MR_MSG_QUIET,
    /* control -> shard, once and without a credit: every shard is quiet, the loop may end. */
    MR_MSG_END,
};

struct mr_msg {
    uint16_t type; /* enum mr_msg_type */
    uint16_t from; /* the sender's endpoint: a shard's index, or the number of shards for control */
    uint32_t value;
    void *context;
    uint64_t arguments[6];
};

_Static_assert(sizeof(struct mr_msg) == 64, "one cache line");

#endif
