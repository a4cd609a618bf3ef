/* A world for the coordinator of consumer groups: clients that behave and misbehave, a log that is
 * slow and fails, a coordinator that dies and comes back. */
#ifndef GROUP_WORLD_H
#define GROUP_WORLD_H

#include "control/group.h"
#include "dataplane/base/rng.h"
#include "group_model.h"

#define WORLD_CLIENTS      10
#define WORLD_LOGS         2 /* partitions of __consumer_offsets */
#define WORLD_RECORDS_MAX  8192
#define WORLD_WRITES_MAX   512
#define WORLD_COMMITS      4 /* outstanding ones of a client */
#define WORLD_METADATA_MAX 16

struct world;

enum client_state {
    CLIENT_DOWN,    /* its process does not run */
    CLIENT_OUT,     /* shall join */
    CLIENT_JOINING, /* has sent JoinGroup */
    CLIENT_JOINED,  /* shall sync */
    CLIENT_SYNCING, /* has sent SyncGroup */
    CLIENT_MEMBER,
};

struct client_commit {
    struct mr_group_commit commit;
    struct mr_group_offset offset;
    struct client *client;
    int group;
    bool used;
};

struct client {
    struct world *world;
    int index;
    int group;
    bool is_static;
    int16_t version;
    int32_t session_ms;
    int32_t rebalance_ms;
    char client_id[16];
    char instance[16];
    uint8_t metadata[WORLD_METADATA_MAX];
    struct mr_group_protocol protocols[2];

    enum client_state state;
    uint64_t heartbeat_ns; /* the last one */
    char id[MODEL_ID_MAX];
    char zombie[MODEL_ID_MAX]; /* the id before the last restart, fenced since; "": none */
    uint32_t zombie_life;
    int32_t generation;
    bool leads;
    bool skips;
    int32_t member_count;
    char members[WORLD_CLIENTS * 4][MODEL_ID_MAX];
    uint8_t shares[WORLD_CLIENTS * 4];
    struct mr_group_assignment assignments[WORLD_CLIENTS * 4];
    uint32_t owned;

    struct mr_group_join join;
    struct mr_group_sync sync;
    struct client_commit commits[WORLD_COMMITS];
};

struct world_record {
    uint8_t *bytes;
    int32_t key_size;
    int32_t value_size;
};

struct world_log {
    struct world_record records[WORLD_RECORDS_MAX];
    uint32_t record_count;
    struct mr_group_write *writes[WORLD_WRITES_MAX];
    uint32_t write_count;
};

struct world {
    struct model model;
    struct mr_rng rng;
    struct mr_groups *groups;
    struct mr_group_time now;
    bool calm;       /* nothing is disturbed any more */
    bool write_kept; /* the write that fails now is in the log all the same */
    uint32_t life;   /* counts the lives of the coordinator, and of its partitions */
    int64_t next_offset;
    int64_t next_deletion;
    struct world_log logs[WORLD_LOGS];
    struct client clients[WORLD_CLIENTS];
    struct mr_group_delete deletes[MODEL_GROUPS];
    int64_t delete_number[MODEL_GROUPS]; /* 0: none on its way */
    uint64_t *edges;                     /* MR_GROUP_STATES squared, summed over the lives */
};

void world_open(struct world *world, uint64_t seed, uint64_t *edges);
void world_close(struct world *world);

/* Time passes, and everyone does something. */
void world_step(struct world *world);

/* The disturbances stop; ends the test where the groups do not settle. */
void world_settle(struct world *world);

/* ---- group_clients.c ---------------------------------------------------------------------------
 */

void clients_init(struct world *world);

/* One client does something. */
void client_act(struct client *client);

/* The coordinator is gone: nothing that was sent will be answered. */
void client_forgets(struct client *client);

/* Sends what a client asks again and again when nothing disturbs it; true: it is a member. */
bool client_settled(const struct client *client);

struct mr_str world_group_id(int group);
bool world_chance(struct world *world, unsigned percent);
uint32_t world_below(struct world *world, uint32_t bound);

/* Another life of the log's partition (-1: of all). */
void world_reloaded(struct world *world, int log);

#endif
