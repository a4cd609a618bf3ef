/* tests/power/power.h: what these tests share: one broker that is killed and started again, and
 * librdkafka as its clients.
 *
 * One thread, one broker. Whatever goes wrong ends the test by power_die(); the broker dies with
 * it. */
#ifndef TESTS_POWER_POWER_H
#define TESTS_POWER_POWER_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define POWER_DEADLINE_S 120 /* of everything that is waited for */

/* Says why, kills the broker, and exits with 1. */
__attribute__((noreturn, format(printf, 1, 2))) void power_die(const char *format, ...);

/* Makes an empty folder and finds a free port; `arguments` (NULL at the end, borrowed) follow
 * `program --listen HOST:PORT` in every start, where "@" stands for the folder. */
void power_prepare(const char *program, const char *const *arguments);

/* The broker is told to listen there (borrowed) instead; before power_start(). */
void power_listen(const char *address);

/* What the tests with the arguments BROKER CYCLES SHARDS begin with: a seed, and the broker,
 * started with so many shards and a volatile device. Returns the cycles. */
unsigned power_begin(int argc, char **argv, const char *const *arguments);

void power_start(void);

/* With dev.volatile=true: goes on with `work` until the broker holds something that is not flushed,
 * for a while. */
void power_wait_unflushed(void (*work)(void *context), void *context);

/* kill -9, and the blocks that were not flushed then (with dev.volatile=true, else 0). */
uint64_t power_kill(void);

/* SIGTERM; the broker has to end by itself with status 0. */
void power_stop(void);

/* Removes the folder. */
void power_clean_up(void);

const char *power_folder(void);
const char *power_address(void);

/* One figure of the broker's metrics (it must run with admin.listen=power_admin()), summed over its
 * label values. */
uint64_t power_metric(const char *name);
const char *power_admin(void);

/* A client of the broker with these settings beside the usual ones. `settings` ends with NULL,
 * `on_report` may be NULL. */
rd_kafka_t *power_client(rd_kafka_type_t type, const char *const (*settings)[2],
                         void (*on_report)(rd_kafka_t *handle, const rd_kafka_message_t *message,
                                           void *context),
                         void *context);

/* A producer that never gives up, idempotent, with acks=all. `settings` may be NULL. */
rd_kafka_t *power_producer(const char *const (*settings)[2],
                           void (*on_report)(rd_kafka_t *handle, const rd_kafka_message_t *message,
                                             void *context),
                           void *context);

/* All that was produced is answered, or the test ends. */
void power_flush(rd_kafka_t *producer);

/* Makes a topic; `config` is pairs of names and values and ends with NULL. */
void power_create_topic(rd_kafka_t *client, const char *topic, int partitions,
                        const char *const *config);

/* 0: deleted; else the error (unknown topic among them). */
rd_kafka_resp_err_t power_delete_topic(rd_kafka_t *client, const char *topic);

/* Sets one key of a topic, and all others to their defaults. */
void power_alter_topic(rd_kafka_t *client, const char *topic, const char *key, const char *value);

/* Reads partition 0 to `partitions` - 1 of the topic from their log starts to their ends. */
void power_read_all(const char *topic, int partitions,
                    void (*on_record)(const rd_kafka_message_t *message, void *context),
                    void *context);

/* Log start and high watermark. */
void power_offsets(rd_kafka_t *client, const char *topic, int32_t partition, int64_t *start,
                   int64_t *end);

#endif
