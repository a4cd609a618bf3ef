/* kafka/throttle.h: clients' quotas enforced (KIP-219): a request over a quota is answered at once,
 * says how long its client has to wait, and its connection is neither read nor worked on so long.
 *
 * A Produce is measured by the bytes of its request when it starts, so that those behind it wait
 * for its throttling; a Fetch by the bytes of its records, and one over the quota is answered empty
 * and not counted, as in Kafka. The request quota counts the time that the thread of the connection
 * spends on a request, in percent.
 *
 * Thread: the shard's. What other shards must know of travels as MR_MSG_QUOTA_USED. */
#ifndef MR_KAFKA_THROTTLE_H
#define MR_KAFKA_THROTTLE_H

#include "dataplane/kafka/request.h"

struct mr_conn;

/* A Produce starts. */
void mr_throttle_produce(struct mr_request *request);

/* The most bytes that an answer may have. */
uint32_t mr_throttle_fetch_max(const struct mr_request *request, uint32_t bytes_max);

/* A Fetch is about to be answered with so many bytes of records; true: it has to be empty. */
bool mr_throttle_fetch(struct mr_request *request, uint64_t bytes);

/* A request is about to be answered. */
void mr_throttle_answer(struct mr_request *request);

/* The thread begins to work on the request, or stops. */
void mr_throttle_work_begin(struct mr_request *request);
void mr_throttle_work_end(struct mr_request *request);

/* The answer of a throttled request leaves: its connection waits from now on. */
void mr_throttle_mute(struct mr_request *request);

/* The connection's life. */
void mr_throttle_conn_init(struct mr_conn *conn);
void mr_throttle_conn_end(struct mr_conn *conn);

/* Another shard's client used something. */
void mr_throttle_used(struct mr_server *server, const struct mr_msg *message);

#endif
