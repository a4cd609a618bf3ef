/* kafka/part.h: the share of a request that one shard has to do.
 *
 * A request over many partitions is split into parts, one for each shard that owns some of them.
 * Parts of this shard run as plain calls; the others travel as one message each, with the part's
 * memory lent to the owner until its reply.
 *
 *     items of the request ──mr_split_make──► parts ──mr_split_send──► their owners
 *                                                                          │ all items done
 *     split->done() ◄── the last one of a round ◄── mr_part_replied ◄──────┘ */
#ifndef MR_KAFKA_PART_H
#define MR_KAFKA_PART_H

#include "dataplane/kafka/request.h"
#include "dataplane/kafka/topics.h"

enum mr_part_kind {
    MR_PART_PRODUCE,
    MR_PART_FETCH,
    MR_PART_OFFSETS,
    MR_PART_LOGS,
};

struct mr_part {
    /* The request's shard writes these before it lends the part. */
    struct mr_request *request; /* touched by that shard only */
    enum mr_part_kind kind;
    uint16_t shard;
    bool remote;
    uint32_t count;       /* of items */
    void **items;         /* of the handler's type, in request order */
    uint32_t bytes_max;   /* fetch: of the whole part */
    uint64_t watch_bytes; /* fetch: what a watch waits for */
    bool pinned;          /* fetch: the reply's slices are not released yet */
    bool watched;         /* fetch: a cancel is owed */

    /* The owner's, while it is lent. */
    struct mr_server *owner;
    uint16_t from;    /* the endpoint that asked */
    uint32_t next;    /* item to start next */
    uint32_t pending; /* items started and not done */
    bool waiting;     /* in one of the owner's lists */
    bool waited;      /* has been in it: keeps its place when it has to wait again */
    bool any;         /* fetch: an item has brought records */
    bool fired;       /* fetch: the watch has */
    uint32_t bytes_left;
    uint32_t size; /* fetch: bytes of records in the reply */
    struct mr_list node;
};

#define MR_PART_NONE UINT16_MAX

/* What a handler's item, one partition of the request, begins with. */
struct mr_part_item {
    struct mr_part *part; /* that it is in */
    struct mr_log_id id;
    uint16_t shard; /* the owner; MR_PART_NONE: the item needs none, its answer is known */
};

/* What the state of a handler begins with; of the connection's shard. */
struct mr_split {
    struct mr_request *request;
    void (*done)(struct mr_split *split); /* every part of a round has replied */
    void *items;                          /* of the handler's type, in request order */
    size_t item_size;
    unsigned item_count;
    struct mr_part *parts;
    unsigned part_count;
    unsigned parts_left; /* of this round */
};

/* Memory for up to `item_max` items, none of them in use yet. False without memory. */
bool mr_split_init(struct mr_split *split, struct mr_request *request, size_t item_size,
                   size_t item_max, void (*done)(struct mr_split *split));

/* The next item, zeroed but for what it begins with: the partition's owner, or none. */
void *mr_split_add(struct mr_split *split, const struct mr_snapshot_topic *topic,
                   int32_t partition);

/* What speaks against an item before its owner is asked: there is no such partition, or the
 * request's view of the leader epoch (KIP-320); then it needs no owner. */
enum mr_kafka_err mr_split_judge(const struct mr_split *split, struct mr_part_item *item,
                                 const struct mr_topic_ref *ref, int32_t epoch);

/* Makes the parts of the items that have an owner, all in the request's memory. False without
 * memory. */
bool mr_split_make(struct mr_split *split, enum mr_part_kind kind);

/* Takes a credit of each given class (a bit set of 1 << class) for every remote part, or none. */
bool mr_split_take(const struct mr_split *split, unsigned classes);

/* A round: a message for each remote part, `run` for the one of this shard. */
void mr_split_send(struct mr_split *split, enum mr_msg_type type,
                   void (*run)(struct mr_server *owner, struct mr_part *part, unsigned from));

/* One part of the round has been done. */
void mr_part_replied(struct mr_part *part);

/* Sends a message about a remote part to its shard. */
void mr_part_send(struct mr_server *server, struct mr_part *part, enum mr_msg_type type);

/* The owner keeps the part until there is room: in front of `list` if it has waited before. */
void mr_part_wait(struct mr_part *part, struct mr_list *list);

/* The owner has finished: a message for a remote part. */
void mr_part_reply(struct mr_server *owner, struct mr_part *part, unsigned to,
                   enum mr_msg_type type);

/* The owner has finished if every item has: then `reply` goes to a remote part's shard, and a local
 * one's `replied` runs. */
void mr_part_check_done(struct mr_part *part, enum mr_msg_type reply,
                        void (*replied)(struct mr_part *part));

/* Entry points by message, called by server.c on the receiving shard. `from` is the sender. */
void mr_produce_run(struct mr_server *owner, struct mr_part *part, unsigned from);
void mr_fetch_run(struct mr_server *owner, struct mr_part *part, unsigned from);
void mr_fetch_replied(struct mr_part *part);
void mr_fetch_release_run(struct mr_server *owner, struct mr_part *part, unsigned from);
void mr_fetch_released(struct mr_part *part);
void mr_fetch_watch_run(struct mr_server *owner, struct mr_part *part, unsigned from);
void mr_fetch_watch_fired(struct mr_part *part);
void mr_fetch_watch_cancel_run(struct mr_server *owner, struct mr_part *part, unsigned from);
void mr_fetch_watch_cancelled(struct mr_part *part);
/* A fetch or offsets part that waited for a read buffer goes on. */
void mr_reads_run(struct mr_server *owner, struct mr_part *part, unsigned from);
void mr_offsets_run(struct mr_server *owner, struct mr_part *part, unsigned from);
void mr_logs_run(struct mr_server *owner, struct mr_part *part, unsigned from);

/* A parked fetch's connection has gone: it need not wait any longer. */
void mr_fetch_abort(struct mr_request *request);
void mr_fetch_hurry(struct mr_request *request);

#endif
