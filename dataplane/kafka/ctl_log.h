/* kafka/ctl_log.h: what the control thread asks of logs, by message (control/ctl_msg.h).
 *
 * Thread: the shard that owns the store. Each call replies exactly once, now or later. */
#ifndef MR_KAFKA_CTL_LOG_H
#define MR_KAFKA_CTL_LOG_H

#include "dataplane/kafka/server.h"

/* The tombstone of a partition: its log goes. */
void mr_ctl_log_delete(struct mr_server *server, struct mr_ctl_log *log, unsigned from);

/* Waits in server->control_waiting while the store has no room. */
void mr_ctl_log_append(struct mr_server *server, struct mr_ctl_append *append, unsigned from);

/* A store has room again. */
void mr_ctl_log_retry(struct mr_server *server);

/* REQUEST_TIMED_OUT: no read buffer is free, ask again. */
void mr_ctl_log_read(struct mr_server *server, struct mr_ctl_read *read, unsigned from);

#endif
