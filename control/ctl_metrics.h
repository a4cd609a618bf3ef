/* control/ctl_metrics.h: the figures of one shard, as it fills them in for the control thread.
 *
 * Lent from MR_MSG_METRICS to its reply, so that no counter is ever read by another thread. */
#ifndef MR_CONTROL_CTL_METRICS_H
#define MR_CONTROL_CTL_METRICS_H

#include "dataplane/base/buckets.h"
#include "dataplane/base/uuid.h"
#include "storage/store.h"

#define MR_CTL_METRICS_APIS   96  /* API keys below this */
#define MR_CTL_METRICS_STORES 64u /* of one shard; further ones are not shown */
#define MR_CTL_METRICS_TOPICS 4096u

/* Counts since the start; a topic's are spread over the shards of its clients. */
struct mr_ctl_metrics_topic {
    struct mr_uuid id; /* zero: all topics for which there was no room */
    uint64_t records_in;
    uint64_t bytes_in;
    uint64_t bytes_out;
};

struct mr_ctl_metrics_store {
    uint16_t index;
    struct mr_store_stats stats;
};

/* A partition whose end is wanted: a group has committed an offset there. */
struct mr_ctl_metrics_end {
    struct mr_uuid topic_id;
    int32_t partition;
    uint16_t store;
    int64_t end; /* out: high watermark; -1: the log is not there */

    int64_t committed; /* control's */
    uint32_t group;
};

struct mr_ctl_metrics {
    struct mr_ctl_metrics_end *ends; /* in: of this shard's stores */
    uint32_t end_count;
    bool ends_only; /* in: further ends are asked for later, and with the last of them what follows
                     */

    uint64_t requests[MR_CTL_METRICS_APIS];
    uint64_t request_bytes[MR_CTL_METRICS_APIS];
    uint64_t response_bytes[MR_CTL_METRICS_APIS];
    struct mr_buckets latency[MR_CTL_METRICS_APIS]; /* arrival of the frame to the answer */
    uint64_t produce_bytes;
    uint64_t fetch_bytes;
    uint64_t frames_bad;
    uint64_t connections; /* open now */
    uint64_t connections_reaped;
    uint64_t connections_refused; /* by the transport */
    uint64_t bytes_received, bytes_sent;
    uint64_t buffers_free, buffers_max; /* for what is received */
    uint64_t parts_local;
    uint64_t parts_remote;
    uint64_t requests_used, requests_max;
    uint64_t frame_heap_bytes, frame_heap_bytes_max;
    uint64_t fetches_parked, fetches_parked_max;
    uint64_t turns, sleeps;
    uint64_t messages_sent, messages_received;
    uint64_t credits_used, credits_max; /* over all peers and classes */
    unsigned store_count;
    struct mr_ctl_metrics_store stores[MR_CTL_METRICS_STORES];
    unsigned topic_count;
    struct mr_ctl_metrics_topic topics[MR_CTL_METRICS_TOPICS];
};

#endif
