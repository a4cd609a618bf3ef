/* kafka/topics.h: what handlers need of the metadata snapshot.
 *
 * A snapshot's pointers are valid within one turn of the shard's loop: whoever continues later
 * looks the topic up again. */
#ifndef MR_KAFKA_TOPICS_H
#define MR_KAFKA_TOPICS_H

#include "dataplane/kafka/request.h"
#include "dataplane/kafka/server.h"
#include "dataplane/kafka/wire/types.h"

/* Without an authorizer everything is allowed (KIP-430): bits by AclOperation's code. */
#define MR_TOPIC_OPERATIONS   0x0df8 /* read write create delete alter describe, both configs */
#define MR_CLUSTER_OPERATIONS 0x1fa0 /* create alter describe cluster, both configs, idempotent */

/* A partition as a request names it: by name, or, from the version on that has ids, by id. */
struct mr_topic_ref {
    const struct mr_snapshot_topic *topic; /* NULL: unknown */
    enum mr_kafka_err error;               /* what an unknown one is answered with */
};

struct mr_topic_ref mr_topic_resolve(const struct mr_server *server, struct mr_str name,
                                     const struct mr_uuid *id, bool by_id);

/* The shard that owns a partition; UINT16_MAX where the topic has no such partition. */
uint16_t mr_topic_shard(const struct mr_server *server, const struct mr_snapshot_topic *topic,
                        int32_t partition);

/* KIP-320: whether a request's view of the leader epoch is the broker's; -1 is not checked. */
enum mr_kafka_err mr_topic_check_epoch(const struct mr_server *server,
                                       const struct mr_snapshot_topic *topic, int32_t partition,
                                       int32_t epoch);

/* On the owner: the partition's store if the topic still exists and the store is this shard's.
 * `topic_out` may be NULL. */
struct mr_store *mr_topic_store(const struct mr_server *owner, const struct mr_log_id *id,
                                const struct mr_snapshot_topic **topic_out);

/* The ids of all brokers, in the request's memory: a partition's only replica and its leader is the
 * one that mr_node_of() says of its store. NULL without memory. */
int32_t *mr_topic_nodes(struct mr_request *request);

/* Kafka's rules for a topic name: 1 to 249 of [a-zA-Z0-9._-], and neither "." nor "..". */
bool mr_topic_name_valid(struct mr_str name);

#endif
