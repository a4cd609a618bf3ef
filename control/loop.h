/* control/loop.h: what the files of the control thread share. Private to control/. */
#ifndef MR_CONTROL_LOOP_H
#define MR_CONTROL_LOOP_H

#include <uv.h>

#include "control/control.h"
#include "control/metadata.h"
#include "control/metalog.h"
#include "dataplane/base/list.h"
#include "dataplane/base/uring.h"
#include "dataplane/kafka/wire/messages.h"
#include "dataplane/kafka/wire/wire.h"

/* A request being worked on. It is answered when its commands are committed and every shard uses a
 * snapshot that has them. */
struct mr_op {
    struct mr_list node;
    struct mr_control *control;
    struct mr_ctl_request *request;
    unsigned from;
    unsigned commands_left;
    bool log_full;  /* a command found no room: those behind it are not tried */
    uint64_t epoch; /* that every shard must have acknowledged */
};

/* One proposed command. The log knows it by a number, not by its address: after leadership was lost
 * the log may still tell of commands whose proposals are gone. */
struct mr_proposal {
    struct mr_list node;
    uint64_t token;
    struct mr_op *op; /* NULL: proposed by the control thread itself */
    void (*decided)(struct mr_proposal *proposal, const struct mr_metadata_outcome *outcome);
    void *slot;          /* the proposer's */
    uint32_t partitions; /* that it adds */
};

struct mr_control_shard {
    bool ready;
    bool quiet; /* stops, and has no request under way */
    bool told;  /* has been sent MR_MSG_STOP */
    bool stopped;
    bool told_serve;
    bool serves;                    /* listens */
    const struct mr_snapshot *used; /* acknowledged; a reference is held */
    const struct mr_snapshot *sent; /* not acknowledged yet; NULL: none under way */
};

struct mr_admin;
struct mr_coordinator;

#define MR_CONTROL_LOGS_DELETING_MAX 512u

struct mr_control {
    struct mr_control_config config;
    struct mr_topic_defaults defaults;
    struct mr_metadata *metadata;
    struct mr_metalog *metalog;
    uint64_t applied_index;
    bool leads;
    bool metalog_failed;
    bool is_new;
    struct mr_uring uring;
    int event_fd;
    struct mr_mesh_port *port;
    struct mr_control_store *stores;
    unsigned store_count;
    struct mr_control_shard *shards;

    uv_loop_t loop;
    uv_poll_t poll;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
    uv_timer_t timer;
    uv_signal_t signals[2];
    bool stopping;
    bool serving;
    bool unclean; /* a store was not closed cleanly */
    int status;
    void (*ready)(void *context);
    void *ready_context;

    uint64_t last_token;
    struct mr_list proposals;     /* not decided yet, in the order of their tokens */
    uint32_t partitions_proposed; /* by these */
    struct mr_list waiting_ops;   /* decided; wait for the shards' acknowledgements */
    struct mr_list producer_ops;  /* wait for a block of producer ids */
    int64_t producer_next;
    int64_t producer_end;
    bool producer_asked;
    unsigned logs_deleting;                                            /* messages under way */
    struct mr_metadata_log logs_deleted[MR_CONTROL_LOGS_DELETING_MAX]; /* not noted yet */
    unsigned logs_deleted_count;
    bool logs_noting;          /* a command about the last batch is under way */
    unsigned logs_not_deleted; /* tombstones that are passed over until the next housekeeping */
    struct mr_coordinator *coordinator;
    struct mr_admin *admin; /* NULL: not wanted */
};

/* ---- loop.c ---- */

/* Begins work on a request; NULL without memory (then it has been answered). */
struct mr_op *mr_op_begin(struct mr_control *control, struct mr_ctl_request *request,
                          unsigned from);

/* Proposes a command on behalf of `op` (or of nobody: NULL). `decided` runs when it is committed,
 * or with REQUEST_TIMED_OUT when it never will be. 0, or a Kafka error: then nothing was proposed.
 */
enum mr_kafka_err
mr_propose(struct mr_control *control, struct mr_op *op, const uint8_t *command, size_t size,
           void (*decided)(struct mr_proposal *proposal, const struct mr_metadata_outcome *outcome),
           void *slot);

#define MR_PARTITIONS_FULL "the broker would have more partitions than partitions.max"

/* Whether so many more partitions fit, beside those that are proposed (partitions.max). */
bool mr_partitions_fit(const struct mr_control *control, uint32_t count);

/* The last proposal adds so many partitions. */
void mr_partitions_proposed(struct mr_control *control, uint32_t count);

/* All commands of `op` have been proposed: it is answered now or when they are done. */
void mr_op_go(struct mr_op *op);

/* Answers at once. */
void mr_ctl_reply(struct mr_control *control, struct mr_ctl_request *request, unsigned from);

/* ---- publish.c ---- */

/* Sends newer snapshots to shards that have none under way, and answers what waited for them. When
 * every shard has its first one they listen, and when all do, the broker is ready. */
void mr_publish(struct mr_control *control);
void mr_publish_acknowledged(struct mr_control *control, unsigned shard, uint64_t epoch);
void mr_publish_served(struct mr_control *control, unsigned shard);

/* Whether every shard uses the newest snapshot. */
bool mr_publish_current(const struct mr_control *control);

/* Sends tombstones to their stores, a few at a time. */
void mr_tombstones_go(struct mr_control *control);
void mr_tombstone_done(struct mr_control *control, struct mr_ctl_log *log);

/* ---- api_topics.c ---- */

#define MR_OFFSETS_TOPIC "__consumer_offsets"

/* Whether a partition can be assigned to the broker. */
bool mr_node_can_hold(const struct mr_control *control, int32_t node_id);

/* Stores for new partitions, by placement.h; partition i on those of broker `places[i]` of this
 * machine, NULL: anywhere. The caller's to free; NULL without memory. */
uint16_t *mr_partitions_place(const struct mr_control *control, const uint16_t *places,
                              uint32_t count);

/* Gives the topic an id and stores (`places` as above), and proposes it; the other fields are the
 * caller's. */
enum mr_kafka_err mr_topic_propose(struct mr_control *control, struct mr_op *op,
                                   struct mr_metadata_new_topic *topic, const uint16_t *places,
                                   void (*decided)(struct mr_proposal *proposal,
                                                   const struct mr_metadata_outcome *outcome),
                                   void *slot);

/* ---- api_*.c: handlers, each answers `request` in time ---- */

void mr_api_create_topics(struct mr_control *control, struct mr_ctl_request *request,
                          unsigned from);
void mr_api_delete_topics(struct mr_control *control, struct mr_ctl_request *request,
                          unsigned from);
void mr_api_describe_configs(struct mr_control *control, struct mr_ctl_request *request,
                             unsigned from);
void mr_api_init_producer_id(struct mr_control *control, struct mr_ctl_request *request,
                             unsigned from);
void mr_api_groups(struct mr_control *control, struct mr_ctl_request *request, unsigned from);
/* The client has gone: what waits for other clients is answered now. */
void mr_api_groups_cancel(struct mr_control *control, struct mr_ctl_request *request,
                          unsigned from);

/* A zeroed array in the request's memory; NULL at its limit. */
void *mr_ctl_array(struct mr_ctl_request *request, int64_t count, size_t size);

/* The request has no memory for its answer. */
void mr_ctl_fail(struct mr_control *control, struct mr_ctl_request *request, unsigned from);

/* A formatted text in the request's memory; null where there is none. */
__attribute__((format(printf, 2, 3))) struct mr_str mr_ctl_text(struct mr_ctl_request *request,
                                                                const char *format, ...);

#endif
