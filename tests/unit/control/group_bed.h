/* A bed for tests of the group coordinator: a clock that is moved by hand, a log that keeps what is
 * durable, requests that remember their answers, and malloc that can fail (link with
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc). */
#ifndef GROUP_BED_H
#define GROUP_BED_H

#include "control/group.h"
#include "dataplane/base/rng.h"
#include "tests/mr_test.h"

#define BED_TEXT_MAX    256
#define BED_MEMBERS_MAX 16
#define BED_RECORDS_MAX 4096
#define BED_WRITES_MAX  256

struct bed_record {
    uint8_t *bytes;
    int32_t key_size;
    int32_t value_size; /* -1: a tombstone */
};

struct bed {
    struct mr_groups *groups;
    struct mr_groups_config config;
    struct mr_group_time now;
    struct mr_rng rng;
    bool discard;            /* what is durable is not kept */
    bool hold;               /* writes wait for bed_flush() */
    enum mr_kafka_err error; /* of the writes that end next */
    struct mr_group_write *writes[BED_WRITES_MAX];
    uint32_t write_count;
    struct bed_record records[BED_RECORDS_MAX];
    uint32_t record_count;
};

/* One partition, loaded and empty; writes end when bed_settle() runs, that is after each helper
 * below, unless `hold` is set. */
void bed_open(struct bed *bed);
void bed_open_with(struct bed *bed, const struct mr_groups_config *config);

struct mr_groups_actions bed_actions(struct bed *bed);

/* Checks that nothing is left of memory. */
void bed_close(struct bed *bed);

/* Forgets all that is not durable, and loads what is. */
void bed_restart(struct bed *bed);

/* A write's records reach the log. */
void bed_keep(struct bed *bed, const struct mr_group_write *write);

/* Ends all outstanding writes with bed->error. */
void bed_flush(struct bed *bed);

/* Ends the first one. */
void bed_flush_one(struct bed *bed);

void bed_settle(struct bed *bed);

/* Time passes, timer by timer. */
void bed_pass(struct bed *bed, int64_t ms);

/* The Nth allocation from now fails, and every later one until 0 is given. */
void bed_fail_allocations(uint64_t nth);

/* Only the Nth. */
void bed_fail_allocation(uint64_t nth);
uint64_t bed_allocations(void);

struct mr_str bed_str(const char *text);

/* ---- requests ----------------------------------------------------------------------------------
 */

/* A client: what it sends, and what it was told last. */
struct bed_member {
    struct bed *bed;
    const char *group;
    const char *client;
    const char *instance; /* NULL: dynamic */
    int16_t version;
    char id[BED_TEXT_MAX];
    char type[32];
    int32_t session_ms;
    int32_t rebalance_ms;
    struct mr_group_protocol protocols[4];
    int32_t protocol_count;

    struct mr_group_join join;
    bool parked;
    bool joined; /* the join is answered */
    int16_t error;
    int32_t generation;
    char protocol[BED_TEXT_MAX];
    bool has_protocol;
    char leader[BED_TEXT_MAX];
    bool skip;
    int32_t member_count;
    char members[BED_MEMBERS_MAX][BED_TEXT_MAX];
    char metadata[BED_MEMBERS_MAX][BED_TEXT_MAX];

    struct mr_group_sync sync;
    struct mr_group_assignment assignments[BED_MEMBERS_MAX];
    bool synced;
    int16_t sync_error;
    char assignment[BED_TEXT_MAX];
};

/* A member of "g" with protocol "range", metadata "m", client "c", version 3, 10 s and 20 s. */
void bed_member(struct bed *bed, struct bed_member *member);

/* Sends JoinGroup. */
void bed_join(struct bed_member *member);

/* From version 4 on a new member joins twice. */
void bed_join_twice(struct bed_member *member);

/* Sends SyncGroup; the leader assigns to each member its id's last character. */
void bed_sync(struct bed_member *member);

/* One member becomes a stable group, after the initial delay. */
void bed_stable(struct bed_member *member);

/* Two do. The first is the leader. */
void bed_stable_two(struct bed_member *first, struct bed_member *second);

int16_t bed_heartbeat(struct bed_member *member);
int16_t bed_leave(struct bed_member *member);
enum mr_group_state bed_state(struct bed *bed, const char *group);

struct bed_commit {
    struct mr_group_commit commit;
    struct mr_group_offset offset;
    bool done;
};

/* Prepares the commit of one offset by a client that is no member. */
void bed_commit_init(struct bed *bed, struct bed_commit *commit, const char *group,
                     const char *topic, int32_t partition, int64_t offset);
void bed_commit_as(struct bed_commit *commit, const struct bed_member *member);
void bed_commit_send(struct bed *bed, struct bed_commit *commit);

/* All of it; returns the partition's error. */
int16_t bed_commit(struct bed *bed, const char *group, const char *topic, int32_t partition,
                   int64_t offset);

/* The durable offset, -1 for none. */
int64_t bed_fetch(struct bed *bed, const char *group, const char *topic, int32_t partition);

int16_t bed_delete(struct bed *bed, const char *group);
int16_t bed_offset_delete(struct bed *bed, const char *group, const char *topic, int32_t partition,
                          int16_t *offset_error);

#endif
