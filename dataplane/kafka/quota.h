/* kafka/quota.h: how fast clients go, and how long one that is too fast has to wait: the pure core
 * of quotas.
 *
 * A meter sums what one client used of one thing in a sliding window of `samples` pieces of
 * `sample_ms`, as Kafka measures: a client may use at once what all but one of the pieces allow.
 * Who goes beyond waits until the sum would have taken so long at the limit. (Kafka counts the
 * first window as a whole one here too, and lets a client with many connections go above its quota
 * in it.)
 *
 * Every shard has its own meters. A client with connections on several shards is measured as one:
 * what a shard has counted and not told yet is told to the others as soon as it is a hundredth of
 * what the window allows, divided by the shards (throttle.c sends it); so the sums of two shards
 * differ by at most a hundredth of the window and what is under way.
 *
 * Thread: the shard's. Limits: `meters_max` meters; the one that was used least recently makes
 * room.
 */
#ifndef MR_KAFKA_QUOTA_H
#define MR_KAFKA_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mr_quotas;

struct mr_quota_config {
    uint32_t meters_max;
    uint32_t samples;   /* quota.window.num */
    uint64_t sample_ms; /* quota.window.size.seconds */
    uint32_t shard_count;
};

/* Who is measured, and of what: a hash, for which two clients that differ differ. */
struct mr_quota_key {
    uint64_t bits[2];
};

struct mr_quota_key mr_quota_key(uint8_t kind, bool shared, const char *client, size_t client_size);

/* NULL without memory. */
struct mr_quotas *mr_quotas_create(const struct mr_quota_config *config);
void mr_quotas_destroy(struct mr_quotas *quotas);
size_t mr_quotas_bytes(const struct mr_quota_config *config);

/* Counts `amount` and returns how many milliseconds its client has to wait; 0: it is within
 * `limit`, which is above 0 and for one second. */
uint64_t mr_quotas_charge(struct mr_quotas *quotas, struct mr_quota_key key, double limit,
                          double amount, uint64_t now_ms);

/* The same, but what would take the client over its limit is not counted. A client that used
 * nothing in the whole window gets through what one answer cannot be without. */
uint64_t mr_quotas_try(struct mr_quotas *quotas, struct mr_quota_key key, double limit,
                       double amount, uint64_t now_ms);

/* What the other shards are to be told now; 0: nothing. mr_quotas_told(): they have been. */
double mr_quotas_untold(const struct mr_quotas *quotas, struct mr_quota_key key, double limit);
void mr_quotas_told(struct mr_quotas *quotas, struct mr_quota_key key);

/* Another shard has counted this. */
void mr_quotas_learn(struct mr_quotas *quotas, struct mr_quota_key key, double amount,
                     uint64_t now_ms);

/* The most that a client can use in a window. */
double mr_quotas_window_max(const struct mr_quotas *quotas, double limit);

#endif
