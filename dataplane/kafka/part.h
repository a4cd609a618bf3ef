/* kafka/part.h: the share of a request that one shard has to do.
 *
 * A request over many partitions is split into parts, one for each shard that owns some of them.
 * Parts of this shard run as plain calls; the others travel as one message each, with the part's
 * memory lent to the owner until its reply. */
#ifndef MR_KAFKA_PART_H
#define MR_KAFKA_PART_H

#include "dataplane/kafka/request.h"

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

/* Splits `item_count` items by `shard_of[i]` (UINT16_MAX: none) into parts. Returns the parts, all
 * in the request's memory, and their count; NULL without memory or without any part (count 0). */
struct mr_part *mr_parts_make(struct mr_request *request, enum mr_part_kind kind, void **items,
                              const uint16_t *shard_of, unsigned item_count,
                              unsigned *part_count_out);

/* Takes a credit of each given class (a bit set of 1 << class) for every remote part, or none. */
bool mr_parts_take(struct mr_request *request, const struct mr_part *parts, unsigned part_count,
                   unsigned classes);

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
void mr_produce_replied(struct mr_part *part);
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
void mr_offsets_replied(struct mr_part *part);
void mr_logs_run(struct mr_server *owner, struct mr_part *part, unsigned from);
void mr_logs_replied(struct mr_part *part);

/* A parked fetch's connection has gone: it need not wait any longer. */
void mr_fetch_abort(struct mr_request *request);
void mr_fetch_hurry(struct mr_request *request);

#endif
