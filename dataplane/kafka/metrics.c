/* kafka/metrics.c: collects what the shard's parts have counted. */
#include "dataplane/kafka/metrics.h"

#include <string.h>

#include "dataplane/kafka/topic_stats.h"
#include "storage/log.h"

static void
sum_credits(const struct mr_mesh_port *port, struct mr_ctl_metrics *out)
{
    out->credits_used = 0;
    out->credits_max = 0;
    for (unsigned peer = 0; peer < port->endpoint_count; peer++) {
        for (unsigned class = 0; peer != port->self && class < MR_MESH_CLASSES; class ++) {
            uint32_t used = mr_mesh_in_use(port, peer, class);

            out->credits_used += used;
            out->credits_max += used + port->credits[peer][class];
        }
    }
}

static void
find_ends(const struct mr_server *server, struct mr_ctl_metrics *out)
{
    for (uint32_t i = 0; i < out->end_count; i++) {
        struct mr_ctl_metrics_end *end = &out->ends[i];
        struct mr_log_id id = {end->topic_id, end->partition};
        struct mr_store *store = mr_server_store(server, end->store);
        struct mr_log *log = store ? mr_store_log_find(store, &id) : NULL;
        struct mr_log_offsets offsets = {.high_watermark = store ? 0 : -1};

        if (log) {
            mr_log_offsets(log, &offsets);
        }
        end->end = offsets.high_watermark;
    }
}

void
mr_server_metrics(struct mr_server *server, struct mr_ctl_metrics *out)
{
    const struct mr_server_stats *stats = &server->stats;
    const struct mr_shard *shard = server->shard;

    find_ends(server, out);
    if (out->ends_only) {
        return;
    }
    memcpy(out->requests, stats->requests, sizeof(out->requests));
    memcpy(out->request_bytes, stats->request_bytes, sizeof(out->request_bytes));
    memcpy(out->response_bytes, stats->response_bytes, sizeof(out->response_bytes));
    memcpy(out->latency, stats->latency, sizeof(out->latency));
    out->produce_bytes = stats->produce_bytes;
    out->fetch_bytes = stats->fetch_bytes;
    out->frames_bad = stats->frames_bad;
    out->connections = server->conns_used;
    out->connections_reaped = stats->connections_reaped;
    if (server->net) {
        out->connections_refused = server->net->refused;
        out->bytes_received = server->net->bytes_received;
        out->bytes_sent = server->net->bytes_sent;
        out->buffers_free = server->net->buffers_free;
        out->buffers_max = server->net->buffers_max;
    }
    out->parts_local = stats->parts_local;
    out->parts_remote = stats->parts_remote;
    out->requests_used = server->requests_used;
    out->requests_max = server->config.requests_max;
    out->frame_heap_bytes = server->frame_heap_bytes;
    out->frame_heap_bytes_max = server->config.frame_heap_bytes_max;
    out->fetches_parked = server->fetches_parked;
    out->fetches_parked_max = server->config.fetches_parked_max;
    out->turns = shard->turns;
    out->sleeps = shard->sleeps;
    out->messages_sent = shard->port->messages_sent;
    out->messages_received = shard->port->messages_received;
    sum_credits(shard->port, out);
    out->store_count = 0;
    for (unsigned i = 0; i < server->store_count && i < MR_CTL_METRICS_STORES; i++) {
        out->stores[i].index = server->stores[i].index;
        mr_store_stats(server->stores[i].store, &out->stores[i].stats);
        out->store_count++;
    }
    out->topic_count = mr_topic_stats_copy(server->topic_stats, out->topics);
}
