/* control/group.h: the coordinator of consumer groups ("classic" protocol) and of their offsets,
 * with the rules of Apache Kafka 4.3.1.
 *
 * Pure: no I/O, no clock, no threads. Time, randomness and durable writes come from the caller:
 * every call that may depend on time takes `now`, and what must become durable leaves through
 * mr_groups_actions.write and comes back through mr_groups_written(). Durable state are records of
 * `__consumer_offsets` in Kafka's own formats; at start the caller feeds them back.
 *
 * A group is in one of five states (two of them are called PREPARING_REBALANCE and
 * COMPLETING_REBALANCE in full):
 *
 *      read from the log                                              read from the log
 *          ▼                                                                   ▼
 *      ┌───────┐ first join ┌───────────┐ all joined ┌────────────┐ assigned ┌────────┐
 *      │ EMPTY ├───────────►│ PREPARING ├───────────►│ COMPLETING ├─────────►│ STABLE │
 *      │       │◄───────────┤           │◄───────────┤            │          │        │
 *      └───┬───┘  all left  └───────────┘  reopened  └────────────┘          └───┬────┘
 *          │                      ▲                unsettled                     │
 *          │                      └──────────────────────────────────────────────┘
 *          ▼
 *      ┌──────┐
 *      │ DEAD │◄── from every state
 *      └──────┘
 *
 *   first join   a member joins; others have the initial delay to follow
 *   all joined   everyone has joined, or the rebalance timeout is over and some have
 *   all left     nobody is left
 *   assigned     the leader's assignment is durable
 *   reopened     a join, a leave, an expiry, or an assignment that could not be made durable
 *   unsettled    a member joins that is new, the leader, or changed; a leave, an expiry
 *   to DEAD      deleted or expired while EMPTY; or its partition of __consumer_offsets is gone
 *
 * A group exists from its first join or commit on, also where that join is refused; one without
 * members is EMPTY ("simple" while it never had a protocol type), and one without offsets too is
 * deleted at the next check of retention. DEAD lasts no longer than the call that frees it.
 *
 * Requests that may wait are structs of the caller (mr_group_join, ...), zeroed before use, whose
 * "in" fields it fills. Text and bytes they point to must live until the request is answered. The
 * call returns true when the request is answered at once; its "out" fields are then valid until the
 * next call. It returns false when the request is parked: it belongs to the coordinator until its
 * `done` has run, which happens exactly once, inside a later call (any of them that takes
 * struct mr_groups *, not const), or until mr_groups_cancel(). Out fields are valid only during
 * `done`. Neither `done` nor `write` may call back into this module (but for its const functions
 * that say so); freeing or reusing the request inside `done` is allowed.
 *
 * Memory: groups, members and bytes are bounded by mr_groups_config; at a bound, and where malloc
 * fails, requests are refused with COORDINATOR_NOT_AVAILABLE, which clients retry.
 *
 * Thread: control. Cost: a request is O(1) but for those that end a rebalance, which are linear in
 * the group's members; timers are a heap over groups and members. */
#ifndef MR_CONTROL_GROUP_H
#define MR_CONTROL_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/kafka_err.h"
#include "dataplane/base/uuid.h"
#include "dataplane/kafka/wire/types.h"

enum mr_group_state {
    MR_GROUP_EMPTY,
    MR_GROUP_PREPARING_REBALANCE,
    MR_GROUP_COMPLETING_REBALANCE,
    MR_GROUP_STABLE,
    MR_GROUP_DEAD,
    MR_GROUP_STATES,
};

/* Kafka's spelling: "PreparingRebalance". */
const char *mr_group_state_name(enum mr_group_state state);

struct mr_groups;

/* Both clocks, read together. */
struct mr_group_time {
    uint64_t ns; /* monotonic: timeouts */
    int64_t ms;  /* wall: what records and offset retention say */
};

struct mr_groups_config {
    int32_t session_timeout_min_ms;     /* group.min.session.timeout.ms */
    int32_t session_timeout_max_ms;     /* group.max.session.timeout.ms */
    int32_t initial_rebalance_delay_ms; /* group.initial.rebalance.delay.ms */
    int32_t new_member_timeout_ms;      /* a first join waits no longer; 5 minutes in Kafka */
    int32_t group_size_max;             /* group.max.size */
    int32_t offset_metadata_bytes_max;  /* offset.metadata.max.bytes */
    int64_t offsets_retention_ms;       /* offsets.retention.minutes */
    int64_t retention_check_ms;         /* offsets.retention.check.interval.ms */

    uint32_t groups_max;
    uint32_t members_max; /* over all groups, pending ones included */
    uint64_t bytes_max;   /* of ids, member metadata, assignments, offsets and unwritten records */
};

/* Kafka's defaults, and limits for 100,000 groups and members, 512 MiB. */
void mr_groups_config_default(struct mr_groups_config *config);

/* ---- durable writes ----------------------------------------------------------------------------
 */

struct mr_group_record {
    struct mr_bytes key;
    struct mr_bytes value; /* size -1: a tombstone */
};

/* One batch for one partition of __consumer_offsets; owned by the coordinator, unchanged and valid
 * until mr_groups_written() takes it back. */
struct mr_group_write {
    int32_t partition;
    const struct mr_group_record *records;
    uint32_t record_count;
    uint64_t record_bytes; /* of keys and values */
    int64_t timestamp_ms;  /* for every record */
    void *user;            /* the caller's; NULL at first */
};

struct mr_groups_actions {
    void *context;
    /* Appends the records as one batch, after those of earlier writes to the same partition, and
     * ends in mr_groups_written(), later, never inside this call, also for a batch that cannot be
     * written. Writes of one partition end in the order in which they were given. */
    void (*write)(void *context, struct mr_group_write *write);
    /* Fills `out` with bytes that nobody can guess, for member ids. */
    void (*random)(void *context, void *out, size_t size);
};

/* `config` and `actions` are copied. NULL without memory. */
struct mr_groups *mr_groups_create(const struct mr_groups_config *config,
                                   const struct mr_groups_actions *actions);

/* Parked requests are forgotten without `done`; outstanding writes are freed: the caller has no use
 * for either any more. NULL is allowed. */
void mr_groups_destroy(struct mr_groups *groups);

/* A write has ended: NONE when its records are durable, else why they are not (they may or may not
 * appear later; nothing of them is promised). Clients are told what Kafka tells them:
 * UNKNOWN_TOPIC_OR_PARTITION, NOT_ENOUGH_REPLICAS(_AFTER_APPEND) and REQUEST_TIMED_OUT become
 * COORDINATOR_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER and KAFKA_STORAGE_ERROR NOT_COORDINATOR,
 * MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE and INVALID_FETCH_SIZE UNKNOWN_SERVER_ERROR; others pass
 * through. Also called after the partition has failed. */
void mr_groups_written(struct mr_groups *groups, struct mr_group_write *write,
                       enum mr_kafka_err error, struct mr_group_time now);

/* ---- partitions and loading --------------------------------------------------------------------
 */

/* The partition of __consumer_offsets that a group belongs to: Java's hash of its id. Ids are read
 * as UTF-8; malformed bytes count as U+FFFD. */
int32_t mr_groups_partition(struct mr_str group_id, int32_t partition_count);

/* How many partitions __consumer_offsets has; until this has been called every request is answered
 * NOT_COORDINATOR. The count cannot change. 0 or -ENOMEM. */
int mr_groups_set_partition_count(struct mr_groups *groups, int32_t count);
int32_t mr_groups_partition_count(const struct mr_groups *groups);

/* A partition starts in NONE. Requests for its groups are answered NOT_COORDINATOR in NONE and
 * FAILED, COORDINATOR_LOAD_IN_PROGRESS in LOADING; a heartbeat during LOADING is answered NONE, as
 * Kafka does, because clients take any other answer as the end of their membership. */
enum mr_groups_partition_state {
    MR_GROUPS_PARTITION_NONE,
    MR_GROUPS_PARTITION_LOADING,
    MR_GROUPS_PARTITION_LOADED,
    MR_GROUPS_PARTITION_FAILED,
};

enum mr_groups_partition_state mr_groups_partition_state(const struct mr_groups *groups,
                                                         int32_t partition);

/* Begins with nothing: NONE or FAILED -> LOADING. */
void mr_groups_load_begin(struct mr_groups *groups, int32_t partition);

/* The partition's records in log order, before load_end. Returns 0; -EBADMSG for a record that is
 * none of Kafka's, or contradicts itself (skipped); -ENOMEM at a bound: loading must be given up
 * with mr_groups_partition_failed(). Keys of other kinds (consumer, share, streams groups) are
 * ignored. Bytes come from a disk: any are safe. */
int mr_groups_load_record(struct mr_groups *groups, int32_t partition, struct mr_bytes key,
                          struct mr_bytes value);

/* LOADING -> LOADED. Members get a fresh session. */
void mr_groups_load_end(struct mr_groups *groups, int32_t partition, struct mr_group_time now);

/* The partition's log is gone or failed: any state -> FAILED. Its groups become DEAD and are
 * forgotten; their parked requests, and those that wait for its writes, end with NOT_COORDINATOR.
 * Outstanding writes still come back through mr_groups_written(). */
void mr_groups_partition_failed(struct mr_groups *groups, int32_t partition);

/* ---- time --------------------------------------------------------------------------------------
 */

/* The monotonic time at which mr_groups_tick() has something to do; UINT64_MAX: never. */
uint64_t mr_groups_deadline(const struct mr_groups *groups);

/* Runs what is due: sessions, rebalances, offset retention. At most 1,000 timers, so that others
 * get their turn: the deadline may be over still. */
void mr_groups_tick(struct mr_groups *groups, struct mr_group_time now);

/* ---- requests that may wait --------------------------------------------------------------------
 */

struct mr_group_request {
    void (*done)(struct mr_group_request *request);
    int16_t error; /* out: of the whole request */
    uint8_t kind;  /* private */
    void *owner;   /* private */
};

/* The client is gone: forgets a parked request, without `done`. What it asked for stays asked: a
 * member stays until its session ends, a commit is still made. */
void mr_groups_cancel(struct mr_groups *groups, struct mr_group_request *request);

struct mr_group_protocol {
    struct mr_str name;
    struct mr_bytes metadata;
};

/* A member as its leader or an operator sees it. */
struct mr_group_member_view {
    struct mr_str member_id;
    struct mr_str instance_id; /* null: dynamic */
    struct mr_str client_id;
    struct mr_str client_host;
    struct mr_bytes metadata;   /* for the chosen protocol */
    struct mr_bytes assignment; /* mr_groups_describe() only */
};

struct mr_group_join {
    struct mr_group_request request;
    int16_t api_version;
    struct mr_str group_id;
    struct mr_str client_id;   /* null counts as "" */
    struct mr_str client_host; /* as Java prints an address: "/192.0.2.1" */
    struct mr_str member_id;
    struct mr_str instance_id; /* null: dynamic */
    struct mr_str protocol_type;
    int32_t session_timeout_ms;
    int32_t rebalance_timeout_ms; /* ignored in version 0, which has one timeout for both */
    const struct mr_group_protocol *protocols;
    int32_t protocol_count;
    /* out; generation is -1 and protocol_type and protocol_name null where there is no generation
     * to tell of (versions whose name cannot be null send ""), leader and member_id never null */
    int32_t generation;
    struct mr_str out_protocol_type;
    struct mr_str protocol_name;
    struct mr_str leader;
    struct mr_str out_member_id;
    bool skip_assignment;
    const struct mr_group_member_view *members; /* for the leader, else none */
    int32_t member_count;
};

bool mr_groups_join(struct mr_groups *groups, struct mr_group_join *join, struct mr_group_time now);

struct mr_group_assignment {
    struct mr_str member_id;
    struct mr_bytes assignment;
};

struct mr_group_sync {
    struct mr_group_request request;
    struct mr_str group_id;
    struct mr_str member_id;
    struct mr_str instance_id;
    struct mr_str protocol_type; /* null before version 5 */
    struct mr_str protocol_name; /* likewise */
    int32_t generation;
    const struct mr_group_assignment *assignments; /* of the leader */
    int32_t assignment_count;
    /* out */
    struct mr_str out_protocol_type;
    struct mr_str out_protocol_name;
    struct mr_bytes assignment; /* never null */
};

bool mr_groups_sync(struct mr_groups *groups, struct mr_group_sync *sync, struct mr_group_time now);

/* One (topic, partition) of a commit, a deletion or an answer. */
struct mr_group_offset {
    struct mr_str topic;
    struct mr_uuid topic_id; /* zero: not known */
    int32_t partition;
    int32_t leader_epoch; /* -1: none */
    int64_t offset;
    struct mr_str metadata; /* null counts as "" */
    /* In: other than NONE: already refused by the caller (an unknown topic); left alone.
     * Out: the partition's answer, also where the request failed as a whole. */
    int16_t error;
};

struct mr_group_commit {
    struct mr_group_request request;
    int16_t api_version;
    struct mr_str group_id;
    struct mr_str member_id;   /* "" : none */
    struct mr_str instance_id; /* null: none */
    int32_t generation;        /* -1: none */
    int64_t retention_ms;      /* versions 2 to 4; -1: the broker's */
    struct mr_group_offset *offsets;
    int32_t offset_count;
};

bool mr_groups_commit(struct mr_groups *groups, struct mr_group_commit *commit,
                      struct mr_group_time now);

struct mr_group_leaving {
    struct mr_str member_id;   /* "": found by its instance id */
    struct mr_str instance_id; /* null: none */
    int16_t error;             /* out */
};

/* Versions 0 to 2 name one member without instance id; their answer is members[0].error where
 * request.error is NONE. Always answered at once; durable writes that follow are nobody's to wait
 * for. */
struct mr_group_leave {
    struct mr_group_request request;
    struct mr_str group_id;
    struct mr_group_leaving *members;
    int32_t member_count;
};

bool mr_groups_leave(struct mr_groups *groups, struct mr_group_leave *leave,
                     struct mr_group_time now);

/* OffsetDelete: fills the error of each offset (GROUP_SUBSCRIBED_TO_TOPIC, NONE also where there
 * was no offset) and that of the request (GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP). */
struct mr_group_offset_delete {
    struct mr_group_request request;
    struct mr_str group_id;
    struct mr_group_offset *offsets;
    int32_t offset_count;
};

bool mr_groups_offset_delete(struct mr_groups *groups, struct mr_group_offset_delete *request,
                             struct mr_group_time now);

/* One group of DeleteGroups: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP. Until the deletion is durable,
 * joins and commits of the group are answered COORDINATOR_NOT_AVAILABLE. */
struct mr_group_delete {
    struct mr_group_request request;
    struct mr_str group_id;
};

bool mr_groups_delete(struct mr_groups *groups, struct mr_group_delete *request,
                      struct mr_group_time now);

/* ---- requests that never wait ------------------------------------------------------------------
 */

struct mr_group_heartbeat {
    struct mr_str group_id;
    struct mr_str member_id;
    struct mr_str instance_id;
    int32_t generation;
};

enum mr_kafka_err mr_groups_heartbeat(struct mr_groups *groups,
                                      const struct mr_group_heartbeat *heartbeat,
                                      struct mr_group_time now);

/* Whether a group's offsets may be read: NONE also where there is no such group (then it has no
 * offsets), or the partition's error. A group id may be "" but not null (INVALID_GROUP_ID). The
 * member id and epoch of OffsetFetch 9 and later are for another kind of group: not needed. */
enum mr_kafka_err mr_groups_fetch_check(const struct mr_groups *groups, struct mr_str group_id);

/* Reads one durable offset. In `offset` topic and partition are in, and topic_id where the client
 * named the topic by id (else zero): an offset of another topic with the same name is none. The
 * rest is out: offset -1, leader epoch -1 and metadata "" where there is none. Valid until the next
 * call. May be called from `done`. */
void mr_groups_fetch(const struct mr_groups *groups, struct mr_str group_id,
                     struct mr_group_offset *offset);

/* Visits all durable offsets of a group, those of one topic in a row. May be called from `done`. */
void mr_groups_fetch_all(const struct mr_groups *groups, struct mr_str group_id,
                         void (*visit)(void *context, const struct mr_group_offset *offset),
                         void *context);

struct mr_group_description {
    enum mr_group_state state;
    struct mr_str protocol_type; /* never null */
    struct mr_str protocol_data; /* never null; "" unless STABLE */
    int32_t generation;
    struct mr_str leader; /* null: none */
    const struct mr_group_member_view *members;
    int32_t member_count;
};

/* GROUP_ID_NOT_FOUND (the caller answers "Dead" up to version 5), the partition's error, or NONE.
 * Members have metadata only in STABLE, as in Kafka. Valid until the next call. */
enum mr_kafka_err mr_groups_describe(struct mr_groups *groups, struct mr_str group_id,
                                     struct mr_group_description *out);

struct mr_group_listing {
    struct mr_str group_id;
    struct mr_str protocol_type; /* "" for a group without one */
    enum mr_group_state state;
};

/* Visits every group whose state is one of `states` and whose type ("classic") is one of `types`,
 * compared without regard to case, states also to spaces around them; an empty list lets all pass.
 * COORDINATOR_LOAD_IN_PROGRESS while any partition loads, COORDINATOR_NOT_AVAILABLE before there
 * are partitions: then nothing is visited. `visit` may call the const functions. */
enum mr_kafka_err
mr_groups_list(const struct mr_groups *groups, const struct mr_str *states, int32_t state_count,
               const struct mr_str *types, int32_t type_count,
               void (*visit)(void *context, const struct mr_group_listing *listing), void *context);

/* Visits every group of one partition of __consumer_offsets, none while it loads; false: there is
 * no such partition. `visit` may call the const functions. */
bool mr_groups_visit(const struct mr_groups *groups, int32_t partition,
                     void (*visit)(void *context, struct mr_str group_id), void *context);

/* A topic is gone: its offsets go from every group (tombstones). */
void mr_groups_topic_deleted(struct mr_groups *groups, struct mr_str topic,
                             struct mr_group_time now);

/* ---- figures -----------------------------------------------------------------------------------
 */

struct mr_groups_stats {
    uint32_t groups[MR_GROUP_STATES];
    uint32_t members; /* pending ones included */
    uint32_t offsets; /* durable */
    uint64_t bytes;
    uint32_t writes; /* outstanding */
    /* since create: */
    uint64_t rebalances; /* completed: assignments made durable */
    uint64_t commits;    /* offsets made durable */
    uint64_t expired_members;
    uint64_t expired_offsets;
    uint64_t edges[MR_GROUP_STATES][MR_GROUP_STATES]; /* transitions, from and to */
};

void mr_groups_stats(const struct mr_groups *groups, struct mr_groups_stats *out);

#endif
