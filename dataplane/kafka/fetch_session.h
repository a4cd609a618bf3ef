/* kafka/fetch_session.h: incremental fetch sessions (KIP-227): the partitions a client fetches,
 * kept so that its requests name only what changes and the answers only what is new.
 *
 *   full fetch (epoch 0) --answered--> session, epoch 1 --fetch with epoch n--> epoch n + 1 ...
 *
 * A session lives on the shard of the connection that made it: on another one it is not found, and
 * the client begins again, as after an eviction. Ids of different shards differ.
 *
 * Thread: the shard's. Limits: `slots` sessions with MR_FETCH_SESSION_PARTITIONS_MAX partitions in
 * all. Eviction is Kafka's: a full cache gives up the session that was not used for two minutes, or
 * one with fewer partitions than the new one that is older than two minutes; where there is none,
 * the new fetch gets no session. Their memory is the heap's. */
#ifndef MR_KAFKA_FETCH_SESSION_H
#define MR_KAFKA_FETCH_SESSION_H

#include "dataplane/kafka/request.h"

#define MR_FETCH_SESSION_PARTITIONS_MAX 16384u

struct mr_fetch_sessions;

/* NULL without memory. `first_id` decides the ids, which should differ from those of an earlier run
 * of the broker. */
struct mr_fetch_sessions *mr_fetch_sessions_create(uint32_t slots, uint32_t first_id,
                                                   uint32_t shard, uint32_t shard_count);
void mr_fetch_sessions_destroy(struct mr_fetch_sessions *sessions);

/* The most memory that the cache takes. */
size_t mr_fetch_sessions_bytes(uint32_t slots);

/* What one fetch has to do with sessions. */
struct mr_fetch_use {
    bool create;      /* a full fetch whose client would like a session */
    bool incremental; /* of session `id` */
    int32_t id;
};

/* Judges the request's session and takes over what it changes. `body_out` is what is to be fetched:
 * the request itself, or one in the request's memory with the session's partitions.
 * FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR: the answer
 * is that error and no partition. */
enum mr_kafka_err mr_fetch_session_begin(struct mr_fetch_sessions *sessions,
                                         struct mr_request *request,
                                         const struct mr_fetch_request **body_out,
                                         struct mr_fetch_use *use);

/* The response (whose topics and partitions lie as in `body`) is complete: makes the session, or
 * leaves out what is not new to its client. Sets response->session_id. */
void mr_fetch_session_end(struct mr_fetch_sessions *sessions, const struct mr_fetch_use *use,
                          struct mr_request *request, const struct mr_fetch_request *body,
                          struct mr_fetch_response *response);

/* Sessions and their partitions, for tests and metrics. */
uint32_t mr_fetch_sessions_count(const struct mr_fetch_sessions *sessions,
                                 uint32_t *partitions_out);

#endif
