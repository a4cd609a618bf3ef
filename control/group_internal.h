/* control/group_internal.h: what the files of the group coordinator share (group.h is the
 * contract).
 *
 * group.c         the coordinator: partitions, writes' ends, time, what operators ask
 * group_state.c   a group's states, one function per edge, and its life
 * group_member.c  members: their making, ids, protocols, going
 * group_join.c    JoinGroup and the rebalance
 * group_sync.c    SyncGroup, Heartbeat, LeaveGroup
 * group_offsets.c offsets: commit, fetch, deletion, retention
 * group_write.c   what becomes durable
 * group_load.c    what was durable
 * group_table.c   memory, hash tables, timers
 *
 * Whatever may fail (memory, bounds) is done before a group changes; edges cannot fail. */
#ifndef MR_CONTROL_GROUP_INTERNAL_H
#define MR_CONTROL_GROUP_INTERNAL_H

#include "control/group.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/bump.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/list.h"
#include "dataplane/base/mutant.h"

/* Rules that may be broken, which group_sim must notice (base/mutant.h). */
enum group_mutant {
    MUTANT_NONE,
    MUTANT_COMMIT_OF_OLD_GENERATION,
    MUTANT_SYNC_OF_OLD_GENERATION,
    MUTANT_HEARTBEAT_OF_OLD_GENERATION,
    MUTANT_FENCED_MEMBER_SERVED,
    MUTANT_EVERYBODY_LEADS,
    MUTANT_LAST_ASSIGNMENT_STAYS,
    MUTANT_DEAD_MEMBER_STAYS,
    MUTANT_JOIN_NEVER_ENDS,
    MUTANT_COMMIT_ANSWERED_EARLY,
    MUTANT_FAILED_COMMIT_ANSWERED,
    MUTANT_ASSIGNED_BESIDE_FAILED_WRITE,
    MUTANT_TOMBSTONE_NOT_LOADED,
    MUTANT_FIRST_OFFSET_LOADED,
    MUTANT_GENERATION_NOT_LOADED,
    MUTANT_EMPTY_WHILE_LOADING,
    MUTANTS,
};

/* ---- memory, tables, timers (group_table.c) ----------------------------------------------------
 */

/* All of the coordinator's memory is counted against config.bytes_max. Zeroed; NULL at the bound.
 */
void *group_alloc(struct mr_groups *groups, size_t size);
void group_free(struct mr_groups *groups, void *memory);

/* A copy of text or bytes; a null one and an empty one need no memory. False without memory. */
bool group_copy(struct mr_groups *groups, struct mr_str from, struct mr_str *to);
bool group_copy_bytes(struct mr_groups *groups, struct mr_bytes from, struct mr_bytes *to);
void group_free_str(struct mr_groups *groups, struct mr_str *text);
void group_free_bytes(struct mr_groups *groups, struct mr_bytes *bytes);

struct group_node {
    struct group_node *next;
    uint64_t hash;
};

/* A chained hash table over nodes inside other structs; it grows where memory allows. */
struct group_table {
    struct group_node **buckets;
    uint32_t size; /* a power of two */
    uint32_t count;
};

bool group_table_init(struct mr_groups *groups, struct group_table *table);
void group_table_free(struct mr_groups *groups, struct group_table *table);
void group_table_add(struct mr_groups *groups, struct group_table *table, struct group_node *node,
                     uint64_t hash);
void group_table_remove(struct group_table *table, struct group_node *node);

/* The first node of the chain that a hash belongs to. */
static inline struct group_node *
group_table_chain(const struct group_table *table, uint64_t hash)
{
    return table->buckets[hash & (table->size - 1)];
}

/* A keyed hash of a scope (an address, or NULL) and text. */
uint64_t group_hash(const struct mr_groups *groups, const void *scope, struct mr_str text);

enum group_timer_kind {
    GROUP_TIMER_SESSION,
    GROUP_TIMER_JOIN,
    GROUP_TIMER_SYNC,
    GROUP_TIMER_RETENTION,
};

#define GROUP_TIMER_OFF UINT32_MAX

struct group_timer {
    uint64_t at_ns;
    uint32_t index; /* in the heap, or GROUP_TIMER_OFF */
    uint8_t kind;
};

/* A binary heap, the earliest timer first. Room is reserved when a timer's owner is made. */
struct group_heap {
    struct group_timer **timers;
    uint32_t count;
    uint32_t capacity;
    uint32_t reserved;
};

bool group_timers_reserve(struct mr_groups *groups, uint32_t count);
void group_timers_release(struct mr_groups *groups, uint32_t count);
void group_timer_init(struct group_timer *timer, enum group_timer_kind kind);
void group_timer_set(struct mr_groups *groups, struct group_timer *timer, int64_t delay_ms);
void group_timer_off(struct mr_groups *groups, struct group_timer *timer);

/* ---- the structs -------------------------------------------------------------------------------
 */

/* A protocol that members of a group support, counted. */
struct group_protocol {
    struct group_node by_name; /* scope: the group */
    struct mr_list link;
    const struct group *group;
    struct mr_str name;
    int32_t refs; /* choices, and the group that has chosen it */
    int32_t supporters;
    int32_t votes;
};

struct group_choice {
    struct group_protocol *protocol;
    struct mr_bytes metadata;
};

/* What a member subscribes to and for how long; replaced as a whole. */
struct group_choices {
    int32_t count;
    struct group_choice at[];
};

struct group;

struct group_member {
    struct group_node by_id;
    struct group_node by_instance;
    struct mr_list link; /* group->members or group->pending */
    struct group *group;
    struct mr_str id;
    struct mr_str instance_id; /* null: dynamic */
    struct mr_str client_id;
    struct mr_str client_host;
    struct group_choices *choices; /* NULL while pending */
    int32_t session_timeout_ms;
    int32_t rebalance_timeout_ms;
    struct mr_bytes assignment;
    struct mr_bytes assignment_next; /* the leader's, not durable yet */
    struct mr_group_join *join;      /* parked; NULL also when its client has gone */
    struct mr_group_sync *sync;
    struct group_write *replacing; /* not durable yet: a static member came back */
    bool pending;                  /* has an id, has not joined with it */
    bool joining;                  /* waits for the rebalance */
    bool syncing;                  /* waits for its assignment */
    bool is_new;                   /* its first join is not answered yet */
    bool sync_missing;             /* this generation has not seen its SyncGroup */
    struct group_timer session;
};

/* The name of a topic, shared by all groups with offsets of it, so that a topic that is deleted
 * need not be looked for in every group. */
struct group_topic_name {
    struct group_node by_name;
    struct mr_list topics;
    struct mr_str name;
};

struct group_topic {
    struct group_node by_name; /* scope: the group */
    struct mr_list link;
    struct mr_list namesake; /* in shared->topics */
    struct mr_list offsets;
    struct group *group;
    struct group_topic_name *shared;
    struct mr_str name; /* shared->name */
    bool subscribed;    /* as marked last */
};

/* A committed offset, immutable. */
struct group_value {
    int64_t offset;
    int64_t commit_ms;
    int64_t expire_ms; /* -1: the group's retention */
    int32_t leader_epoch;
    struct mr_uuid topic_id;
    struct mr_str metadata;
};

struct group_offset {
    struct group_node by_partition; /* scope: the topic */
    struct mr_list link;
    struct group_topic *topic;
    int32_t partition;
    uint32_t writes;           /* outstanding ones that change it */
    struct group_value *value; /* the durable one; NULL: none */
    bool doubtful;             /* a write failed: the log may have what is not here */
};

struct group {
    struct group_node by_id;
    struct mr_list link; /* its partition's groups */
    struct mr_str id;
    int32_t partition;
    enum mr_group_state state;
    enum mr_group_state previous;
    int64_t state_ms; /* when the state began; -1: not known */
    int32_t generation;
    struct mr_str protocol_type; /* null: none yet */
    struct group_protocol *protocol;
    struct mr_list protocols;
    struct group_member *leader;
    struct mr_list members; /* in the order of joining */
    struct mr_list pending;
    int32_t member_count;
    int32_t pending_count;
    int32_t joining_count;
    struct mr_group_member_view *views; /* room for every member */
    int32_t view_capacity;
    struct mr_list topics;
    uint32_t offset_count; /* entries, durable or not */
    uint32_t writes;       /* outstanding */
    bool recorded;         /* has, or soon has, a durable record: it goes by a tombstone */
    bool deleting;         /* its tombstone is on the way */
    bool assigning;        /* this generation's assignment is on the way */
    bool initial;          /* the join timer is that of an initial rebalance */
    bool member_added;     /* since the timer was last set */
    int64_t delay_ms;
    int64_t remaining_ms;
    int16_t delete_error;
    struct group_timer join_timer;
    struct group_timer sync_timer;
};

enum group_write_kind {
    GROUP_WRITE_CREATED,    /* an empty group's first record */
    GROUP_WRITE_EMPTY,      /* the group has no members any more */
    GROUP_WRITE_ASSIGNMENT, /* of a generation */
    GROUP_WRITE_REPLACED,   /* a static member's new id */
    GROUP_WRITE_OFFSETS,    /* commits and tombstones */
};

/* What a static member was before it came back. */
struct group_undo {
    struct mr_str member_id;
    struct group_choices *choices;
    int32_t session_timeout_ms;
    int32_t rebalance_timeout_ms;
    bool was_leader;
};

struct group_change {
    struct group_offset *offset; /* NULL: the record is not about an offset */
    struct group_value *value;   /* NULL: a tombstone */
};

struct group_write {
    struct mr_group_write write;
    struct mr_list link;
    enum group_write_kind kind;
    struct group *group;         /* NULL: nobody cares any more */
    struct group_member *member; /* REPLACED; NULL: it has changed again */
    struct group_undo undo;
    struct mr_group_request *request; /* waits for it */
    struct mr_group_record *records;
    struct group_change *changes; /* one for each record; NULL: none at all */
    uint32_t capacity;
    int32_t generation;
    bool deletes_group;
    bool has_ended; /* with `error`, before one that was submitted earlier: it waits for that */
    enum mr_kafka_err error;
};

struct group_partition {
    enum mr_groups_partition_state state;
    struct mr_list groups;
    struct mr_list writes; /* outstanding, in order */
};

#define GROUP_SCRATCH_SIZE 4096
#define GROUP_TEXT_MAX     32767 /* what a record can hold */

struct mr_groups {
    struct mr_groups_config config;
    struct mr_groups_actions actions;
    struct mr_group_time now; /* of the current call */
    struct mr_group_request *current;
    struct group_partition *partitions;
    int32_t partition_count;
    int32_t partitions_loading;
    struct group_table groups;
    struct group_table members;
    struct group_table instances;
    struct group_table protocols;
    struct group_table topics;
    struct group_table topic_names;
    struct group_table offsets;
    struct mr_list orphans; /* outstanding writes that nobody cares for */
    struct group_heap heap;
    struct group_timer retention;
    int32_t retention_at; /* the next partition to look through */
    uint64_t hash_key;
    uint64_t bytes;
    struct mr_groups_stats stats;
    struct mr_bump bump;
    _Alignas(16) uint8_t scratch[GROUP_SCRATCH_SIZE];
};

#define GROUP_MEMBER(node)  MR_CONTAINER_OF(node, struct group_member, link)
#define GROUP_TIMERS_GROUP  2
#define GROUP_TIMERS_MEMBER 1

static inline bool
group_str_empty(struct mr_str text)
{
    return text.size <= 0;
}

bool group_str_equal(struct mr_str a, struct mr_str b);

static const struct mr_str group_str_none = {"", 0};
static const struct mr_str group_str_null = {NULL, -1};
static const struct mr_bytes group_bytes_none = {(const uint8_t *)"", 0};

/* Who has a parked request: mr_group_request.kind. */
enum group_parked {
    GROUP_PARKED_NOT,
    GROUP_PARKED_JOIN,   /* owner: a member */
    GROUP_PARKED_SYNC,   /* owner: a member */
    GROUP_PARKED_COMMIT, /* owner: a write */
    GROUP_PARKED_WRITE,  /* owner: a write */
};

void group_park(struct mr_group_request *request, enum group_parked kind, void *owner);

/* ---- group.c -----------------------------------------------------------------------------------
 */

/* Ends a request: at once if it is the current one, else by its `done`. Its out fields are filled.
 */
void group_answer(struct mr_groups *groups, struct mr_group_request *request, int16_t error);

/* Around the handling of a request that may be answered inside it. */
void group_request_begin(struct mr_groups *groups, struct mr_group_request *request,
                         struct mr_group_time now);
bool group_request_end(struct mr_groups *groups, struct mr_group_request *request);

/* NONE, or why requests for this group cannot be served now. */
int16_t group_available(const struct mr_groups *groups, struct mr_str group_id);

/* ---- group_state.c -----------------------------------------------------------------------------
 */

struct group *group_find(const struct mr_groups *groups, struct mr_str id);

/* In EMPTY, of generation 0. NULL at a bound. */
struct group *group_create(struct mr_groups *groups, struct mr_str id);

/* The state of a group that was read from the log. */
void group_restore(struct mr_groups *groups, struct group *group, enum mr_group_state state,
                   int64_t state_ms);

/* The edges: what they are is told in group_state.c. */
void group_edge_first_join(struct mr_groups *groups, struct group *group);
void group_edge_all_left(struct mr_groups *groups, struct group *group);
void group_edge_all_joined(struct mr_groups *groups, struct group *group);
void group_edge_reopened(struct mr_groups *groups, struct group *group);
void group_edge_assigned(struct mr_groups *groups, struct group *group);
void group_edge_unsettled(struct mr_groups *groups, struct group *group);

/* Any state -> DEAD: ends what is parked with `error`, forgets outstanding writes, frees it. */
void group_edge_dead(struct mr_groups *groups, struct group *group, int16_t error);

/* ---- group_member.c ----------------------------------------------------------------------------
 */

/* What a join or a record says of a member. */
struct group_member_spec {
    struct mr_str id;
    struct mr_str instance_id;
    struct mr_str client_id;
    struct mr_str client_host;
    int32_t session_timeout_ms;
    int32_t rebalance_timeout_ms;
    const struct mr_group_protocol *protocols;
    int32_t protocol_count;
};

struct group_member *group_member_find(const struct mr_groups *groups, const struct group *group,
                                       struct mr_str id);
struct group_member *group_member_find_static(const struct mr_groups *groups,
                                              const struct group *group, struct mr_str instance_id);

/* Writes "prefix-uuid" into new memory. False without memory. */
bool group_member_make_id(struct mr_groups *groups, struct mr_str prefix, struct mr_str *out);

/* A pending member with an id and no more. NULL at a bound. */
struct group_member *group_member_pend(struct mr_groups *groups, struct group *group,
                                       struct mr_str id);

/* A member, which takes the place of a pending one of the same id; not joining yet. NULL at a
 * bound: then nothing has changed. */
struct group_member *group_member_add(struct mr_groups *groups, struct group *group,
                                      const struct group_member_spec *spec);

/* Protocols as the group counts them; NULL at a bound. Freed by the next function. */
struct group_choices *group_choices_make(struct mr_groups *groups, struct group *group,
                                         const struct mr_group_protocol *protocols, int32_t count);
void group_choices_free(struct mr_groups *groups, struct group_choices *choices);

/* Counts a member's choices among what all support, or no longer. */
void group_choices_count(struct group_choices *choices, int32_t by);

/* Whether choices are exactly these protocols, in this order. */
bool group_choices_equal(const struct group_choices *choices,
                         const struct mr_group_protocol *protocols, int32_t count);

/* Whether a member of this type with these protocols fits the group. */
bool group_supports(const struct mr_groups *groups, const struct group *group,
                    struct mr_str protocol_type, const struct mr_group_protocol *protocols,
                    int32_t count);

/* The protocol with most votes among those that all members support. */
struct group_protocol *group_select_protocol(struct group *group);

/* Sets the protocol of a generation; NULL: none. */
void group_set_protocol(struct mr_groups *groups, struct group *group,
                        struct group_protocol *protocol);

/* Its metadata for the group's protocol; empty where it has none. */
struct mr_bytes group_member_metadata(const struct group_member *member);

/* Gives a member a new id, which must be memory of group_alloc(); returns the old one. */
struct mr_str group_member_rename(struct mr_groups *groups, struct group_member *member,
                                  struct mr_str id);

/* The member, pending or not, is no more. What it has parked ends with `error`. */
void group_member_remove(struct mr_groups *groups, struct group_member *member, int16_t error);

/* Ends what is parked; the session begins anew where Kafka says so (not here). */
void group_member_end_join(struct mr_groups *groups, struct group_member *member, int16_t error);
void group_member_end_sync(struct mr_groups *groups, struct group_member *member, int16_t error);

void group_session_renew(struct mr_groups *groups, struct group_member *member);

/* NONE, UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID. */
int16_t group_member_check(const struct mr_groups *groups, const struct group *group,
                           struct mr_str member_id, struct mr_str instance_id);

/* Fills group->views with all members; returns how many. */
int32_t group_views(struct group *group, bool with_metadata, bool with_assignment);

/* ---- group_join.c ------------------------------------------------------------------------------
 */

/* Answers a join with an error; `member_id` as the client shall hear it. */
void group_join_refuse(struct mr_groups *groups, struct mr_group_join *join, int16_t error,
                       struct mr_str member_id);

/* Begins a rebalance where the state allows one, else ends it if all have joined. */
void group_rebalance(struct mr_groups *groups, struct group *group);

/* Ends the join phase if nobody is missing and no initial delay runs. */
void group_join_maybe_complete(struct mr_groups *groups, struct group *group);

/* A member's session has ended. */
void group_session_expired(struct mr_groups *groups, struct group_member *member);

/* A member, or a pending one, has been removed outside of a request. */
void group_member_gone(struct mr_groups *groups, struct group *group, bool pending);

/* The join timer: an initial delay or the rebalance timeout. */
void group_join_expired(struct mr_groups *groups, struct group *group);

/* The sync timer: members that did not send SyncGroup go. */
void group_sync_expired(struct mr_groups *groups, struct group *group);

/* Begins a rebalance of a STABLE or COMPLETING_REBALANCE group. */
void group_prepare(struct mr_groups *groups, struct group *group);

/* A static member's new id is durable, or is not. */
void group_replaced(struct mr_groups *groups, struct group_write *write, int16_t error);

/* ---- group_sync.c ------------------------------------------------------------------------------
 */

/* A generation's assignment is durable, or is not. */
void group_assigned(struct mr_groups *groups, struct group_write *write, int16_t error);

/* Ends every parked SyncGroup of the group. */
void group_sync_answer_all(struct mr_groups *groups, struct group *group, int16_t error);

/* ---- group_offsets.c ---------------------------------------------------------------------------
 */

struct group_offset *group_offset_find(const struct mr_groups *groups, const struct group *group,
                                       struct mr_str topic, int32_t partition);

/* Finds or makes; NULL at a bound. One without value and writes must be dropped again. */
struct group_offset *group_offset_make(struct mr_groups *groups, struct group *group,
                                       struct mr_str topic, int32_t partition);

/* Frees it if it has no value, no writes, and the log cannot have one either. */
void group_offset_drop(struct mr_groups *groups, struct group_offset *offset);

struct group_value *group_value_make(struct mr_groups *groups, const struct mr_group_offset *offset,
                                     int64_t commit_ms, int64_t expire_ms);

/* Replaces the durable value; NULL takes it away. */
void group_offset_set(struct mr_groups *groups, struct group_offset *offset,
                      struct group_value *value);

void group_offsets_free(struct mr_groups *groups, struct group *group);

/* A write of offsets has ended. */
void group_offsets_written(struct mr_groups *groups, struct group_write *write, int16_t error);

/* Sets the error of every offset that the caller has not refused, and answers. */
void group_commit_answer(struct mr_groups *groups, struct mr_group_commit *commit, int16_t error);

/* The retention timer. */
void group_retention(struct mr_groups *groups);

/* Frees a group that nothing keeps: not recorded, without members, offsets and writes. */
void group_release_unused(struct mr_groups *groups, struct group *group);

/* ---- group_write.c -----------------------------------------------------------------------------
 */

/* A write of at most `records`; NULL at a bound. Either submitted or dropped. */
struct group_write *group_write_begin(struct mr_groups *groups, struct group *group,
                                      enum group_write_kind kind, uint32_t records);
void group_write_submit(struct mr_groups *groups, struct group_write *write);

/* Frees a write that was not submitted, or that has ended, with what it has not given up. */
void group_write_drop(struct mr_groups *groups, struct group_write *write);

/* Adds a record; false at a bound. With an offset the write holds the entry and takes the value. */
bool group_write_offset(struct mr_groups *groups, struct group_write *write,
                        struct group_offset *offset, struct group_value *value);
bool group_write_group(struct mr_groups *groups, struct group_write *write);
bool group_write_group_tombstone(struct mr_groups *groups, struct group_write *write);

/* What clients are told of an append error. */
int16_t group_write_error(enum mr_kafka_err error);

#endif
