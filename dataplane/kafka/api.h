/* kafka/api.h: the table of served APIs. */
#ifndef MR_KAFKA_API_H
#define MR_KAFKA_API_H

#include "dataplane/kafka/request.h"

struct mr_api {
    int16_t key;
    int16_t version_min; /* advertised; for Produce below what is served, see api.c */
    int16_t version_max;
    bool overlaps; /* may start while earlier requests that overlap are still running */
    /* Starts the request. Returns 0: it will be answered (perhaps already is). -EAGAIN: it needs a
     * credit that is not free; nothing has happened, it is started again later. */
    int (*start)(struct mr_request *request);
    /* The connection of a RUNNING request has gone; it still has to end. May be NULL. */
    void (*abort)(struct mr_request *request);
    /* A RUNNING request is to wait no longer for what it waits for. May be NULL. */
    void (*hurry)(struct mr_request *request);
};

/* NULL: not served. */
const struct mr_api *mr_api_find(int16_t key);

/* Iterates in the order of keys; NULL ends. */
const struct mr_api *mr_api_at(unsigned index);

/* Handlers, one file per family. */
int mr_produce_start(struct mr_request *request);
int mr_fetch_start(struct mr_request *request);
int mr_list_offsets_start(struct mr_request *request);
int mr_offset_for_leader_epoch_start(struct mr_request *request);
int mr_delete_records_start(struct mr_request *request);
int mr_describe_log_dirs_start(struct mr_request *request);
int mr_describe_producers_start(struct mr_request *request);
int mr_metadata_start(struct mr_request *request);
int mr_api_versions_start(struct mr_request *request);
int mr_consumer_group_heartbeat_start(struct mr_request *request);
int mr_describe_cluster_start(struct mr_request *request);
int mr_describe_topic_partitions_start(struct mr_request *request);

/* APIs that the control thread answers: control.c. */
int mr_control_start(struct mr_request *request);

/* Those of a group's coordinator; they may wait there for other clients. */
int mr_group_start(struct mr_request *request);
void mr_group_abort(struct mr_request *request);

/* Messages of the control thread about a request. */
void mr_control_replied(struct mr_server *server, struct mr_ctl_request *ctl, unsigned from);
void mr_control_cancelled(struct mr_server *server, struct mr_ctl_request *ctl, unsigned from);

#endif
