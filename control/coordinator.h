/* control/coordinator.h: the group coordinator of this broker: group.h's state machine, with its
 * durable state in the internal topic __consumer_offsets.
 *
 *   api_groups.c, api_offsets.c        wire structs <-> requests of the state machine
 *        v          ^ done
 *   group.h  -- write -->  coordinator.c  -->  statelog.h  -->  the shard that owns the partition
 *
 * Thread: control. */
#ifndef MR_CONTROL_COORDINATOR_H
#define MR_CONTROL_COORDINATOR_H

#include "control/group.h"
#include "control/loop.h"

struct mr_coordinator;

/* NULL without memory. */
struct mr_coordinator *mr_coordinator_create(struct mr_control *control);

/* Once the loop runs: its timer. */
void mr_coordinator_start(struct mr_coordinator *coordinator);

/* Before the loop sleeps. `current`: every shard uses the newest snapshot. */
void mr_coordinator_turn(struct mr_coordinator *coordinator, bool current);

/* NULL is fine. */
void mr_coordinator_destroy(struct mr_coordinator *coordinator);

/* For the API handlers. */
struct mr_groups *mr_coordinator_groups(struct mr_coordinator *coordinator);
struct mr_group_time mr_coordinator_now(const struct mr_coordinator *coordinator);

/* Whether __consumer_offsets is there. If not, the first call proposes it on behalf of `op`; an
 * error means that it cannot be made now. */
bool mr_coordinator_has_topic(const struct mr_coordinator *coordinator);
enum mr_kafka_err mr_coordinator_make_topic(struct mr_coordinator *coordinator, struct mr_op *op,
                                            void (*decided)(struct mr_proposal *,
                                                            const struct mr_metadata_outcome *),
                                            void *slot);

/* A topic has been deleted: its committed offsets go. */
void mr_coordinator_topic_deleted(struct mr_coordinator *coordinator, struct mr_str topic);

/* ---- between api_groups.c, api_coordinator.c and api_offsets.c ------------------------------- */

/* The beginning of every handler's state; in the request's memory. */
struct mr_group_ask {
    struct mr_control *control;
    struct mr_ctl_request *request;
    unsigned from;
};

/* A zeroed state of `size` bytes that begins with a struct mr_group_ask; NULL: answered. */
void *mr_group_ask_begin(struct mr_control *control, struct mr_ctl_request *request, unsigned from,
                         size_t size);

/* The state machine has been asked: done() runs now if it `answered`, else later. */
void mr_group_ask_run(struct mr_group_ask *ask, struct mr_group_request *request, bool answered);

/* The response is filled. */
void mr_group_ask_end(struct mr_group_ask *ask);

/* A copy in the request's memory, which marks the request as failed where there is none. */
struct mr_str mr_group_text(struct mr_ctl_request *request, struct mr_str text);

/* Which of this machine's brokers is told as the group's coordinator: its place among them. */
uint32_t mr_group_place(const struct mr_control *control, struct mr_str group);

void mr_api_find_coordinator(struct mr_control *control, struct mr_ctl_request *request,
                             unsigned from);
void mr_api_offset_commit(struct mr_control *control, struct mr_ctl_request *request,
                          unsigned from);
void mr_api_offset_fetch(struct mr_control *control, struct mr_ctl_request *request, unsigned from);
void mr_api_offset_delete(struct mr_control *control, struct mr_ctl_request *request,
                          unsigned from);

#endif
