/* kafka/quota.c: meters in a hash table, least recently used first in a list. */
#include "dataplane/kafka/quota.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/list.h"

#define MS_PER_S       1000.0
#define UNTOLD_PART    100.0 /* of the window, over all shards, may be unknown to the others */
#define HASH_SEED_LOW  0xcbf29ce484222325u
#define HASH_SEED_HIGH 0x84222325cbf29ce4u
#define HASH_PRIME     0x100000001b3u

struct sample {
    uint64_t begin_ms;
    uint64_t last_ms; /* when something was counted last */
    double amount;
};

struct meter {
    struct mr_list node;   /* in `used`, or in `unused` */
    struct mr_list bucket; /* in its chain */
    struct mr_quota_key key;
    double untold; /* counted here, and not known to the other shards */
    struct sample *samples;
    uint32_t current;
    uint32_t count; /* of samples in use */
};

struct mr_quotas {
    struct mr_quota_config config;
    uint32_t ring; /* samples of a meter: one more than the window, the one that begins */
    struct mr_list used;
    struct mr_list unused;
    struct mr_list *buckets; /* as many as meters */
    struct meter *meters;
    struct sample *samples;
};

/* ---- keys ------------------------------------------------------------------------------------ */

static uint64_t
hash(uint64_t seed, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < size; i++) {
        seed = (seed ^ at[i]) * HASH_PRIME;
    }
    return seed ^ (seed >> 29);
}

struct mr_quota_key
mr_quota_key(uint8_t kind, bool shared, const char *client, size_t client_size)
{
    uint8_t head[2] = {kind, shared};
    struct mr_quota_key key = {
        {hash(HASH_SEED_LOW, head, sizeof(head)), hash(HASH_SEED_HIGH, head, sizeof(head))}};

    if (!shared) {
        key.bits[0] = hash(key.bits[0], client, client_size);
        key.bits[1] = hash(key.bits[1], client, client_size);
    }
    return key;
}

/* ---- one meter ------------------------------------------------------------------------------- */

static void
sample_begin(struct sample *sample, uint64_t now_ms)
{
    *sample = (struct sample){now_ms, now_ms, 0};
}

static void
meter_count(const struct mr_quotas *quotas, struct meter *meter, double amount, uint64_t now_ms)
{
    struct sample *sample = &meter->samples[meter->current];

    if (meter->count == 0) {
        meter->count = 1;
        sample_begin(sample, now_ms);
    } else if (now_ms - sample->begin_ms >= quotas->config.sample_ms) {
        meter->current = (meter->current + 1) % quotas->ring;
        meter->count += meter->count < quotas->ring;
        sample = &meter->samples[meter->current];
        sample_begin(sample, now_ms);
    }
    sample->amount += amount;
    sample->last_ms = now_ms;
}

/* The sum of the window, and since when it is. Samples of before are empty from now on. */
static double
meter_sum(const struct mr_quotas *quotas, struct meter *meter, uint64_t now_ms,
          uint64_t *elapsed_ms)
{
    uint64_t window_ms = quotas->config.samples * quotas->config.sample_ms;
    uint64_t oldest_ms = now_ms;
    double sum = 0;

    for (uint32_t i = 0; i < meter->count; i++) {
        struct sample *sample = &meter->samples[i];

        if (now_ms - sample->last_ms >= window_ms) {
            sample_begin(sample, now_ms);
        }
        oldest_ms = sample->begin_ms < oldest_ms ? sample->begin_ms : oldest_ms;
        sum += sample->amount;
    }
    *elapsed_ms = now_ms - oldest_ms;
    return sum;
}

/* The time for which a client may use its limit at once. */
static uint64_t
burst_ms(const struct mr_quotas *quotas)
{
    uint32_t whole = quotas->config.samples > 1 ? quotas->config.samples - 1 : 1;

    return whole * quotas->config.sample_ms;
}

/* How long nothing may be counted: 0 within the limit; else until the sum would have taken so long
 * at the limit. */
static uint64_t
wait_ms(const struct mr_quotas *quotas, double sum, uint64_t elapsed_ms, double limit)
{
    double needed_ms = sum / limit * MS_PER_S;
    double wait = needed_ms - (double)elapsed_ms;

    if (wait <= 0 || needed_ms <= (double)burst_ms(quotas)) {
        return 0;
    }
    return wait < (double)INT32_MAX ? (uint64_t)(wait + 0.5) : INT32_MAX;
}

/* ---- the table ------------------------------------------------------------------------------- */

static struct mr_list *
bucket_of(const struct mr_quotas *quotas, struct mr_quota_key key)
{
    return &quotas->buckets[key.bits[0] % quotas->config.meters_max];
}

static struct meter *
meter_find(const struct mr_quotas *quotas, struct mr_quota_key key)
{
    MR_LIST_FOR_EACH(node, bucket_of(quotas, key))
    {
        struct meter *meter = MR_CONTAINER_OF(node, struct meter, bucket);

        if (memcmp(&meter->key, &key, sizeof(key)) == 0) {
            return meter;
        }
    }
    return NULL;
}

static struct meter *
meter_make(struct mr_quotas *quotas, struct mr_quota_key key)
{
    struct meter *meter = meter_find(quotas, key);

    if (meter) {
        mr_list_remove(&meter->node);
    } else {
        struct mr_list *node = mr_list_pop_front(&quotas->unused);

        node = node ? node : mr_list_pop_front(&quotas->used);
        meter = MR_CONTAINER_OF(node, struct meter, node);
        mr_list_remove(&meter->bucket);
        mr_list_push_back(bucket_of(quotas, key), &meter->bucket);
        meter->key = key;
        meter->untold = 0;
        meter->current = 0;
        meter->count = 0;
    }
    mr_list_push_back(&quotas->used, &meter->node);
    return meter;
}

uint64_t
mr_quotas_charge(struct mr_quotas *quotas, struct mr_quota_key key, double limit, double amount,
                 uint64_t now_ms)
{
    struct meter *meter = meter_make(quotas, key);
    uint64_t elapsed_ms;
    double sum;

    meter_count(quotas, meter, amount, now_ms);
    meter->untold += amount;
    sum = meter_sum(quotas, meter, now_ms, &elapsed_ms);
    return wait_ms(quotas, sum, elapsed_ms, limit);
}

uint64_t
mr_quotas_try(struct mr_quotas *quotas, struct mr_quota_key key, double limit, double amount,
              uint64_t now_ms)
{
    struct meter *meter = meter_make(quotas, key);
    uint64_t elapsed_ms;
    double before = meter_sum(quotas, meter, now_ms, &elapsed_ms);
    uint64_t wait = before > 0 ? wait_ms(quotas, before + amount, elapsed_ms, limit) : 0;

    if (wait == 0) {
        meter_count(quotas, meter, amount, now_ms);
        meter->untold += amount;
    }
    return wait;
}

/* ---- the other shards ------------------------------------------------------------------------ */

double
mr_quotas_window_max(const struct mr_quotas *quotas, double limit)
{
    return limit * (double)burst_ms(quotas) / MS_PER_S;
}

double
mr_quotas_untold(const struct mr_quotas *quotas, struct mr_quota_key key, double limit)
{
    const struct meter *meter = meter_find(quotas, key);
    double bearable =
        mr_quotas_window_max(quotas, limit) / UNTOLD_PART / quotas->config.shard_count;

    return meter && quotas->config.shard_count > 1 && meter->untold >= bearable ? meter->untold : 0;
}

void
mr_quotas_told(struct mr_quotas *quotas, struct mr_quota_key key)
{
    struct meter *meter = meter_find(quotas, key);

    if (meter) {
        meter->untold = 0;
    }
}

void
mr_quotas_learn(struct mr_quotas *quotas, struct mr_quota_key key, double amount, uint64_t now_ms)
{
    meter_count(quotas, meter_make(quotas, key), amount, now_ms);
}

/* ---- life ------------------------------------------------------------------------------------ */

size_t
mr_quotas_bytes(const struct mr_quota_config *config)
{
    return sizeof(struct mr_quotas) +
           config->meters_max * (sizeof(struct meter) + sizeof(struct mr_list) +
                                 (config->samples + 1) * sizeof(struct sample));
}

struct mr_quotas *
mr_quotas_create(const struct mr_quota_config *config)
{
    struct mr_quotas *quotas = calloc(1, sizeof(*quotas));

    if (!quotas) {
        return NULL;
    }
    quotas->config = *config;
    quotas->ring = config->samples + 1;
    quotas->buckets = calloc(config->meters_max, sizeof(*quotas->buckets));
    quotas->meters = calloc(config->meters_max, sizeof(*quotas->meters));
    quotas->samples = calloc((size_t)config->meters_max * quotas->ring, sizeof(*quotas->samples));
    if (!quotas->buckets || !quotas->meters || !quotas->samples) {
        mr_quotas_destroy(quotas);
        return NULL;
    }
    mr_list_init(&quotas->used);
    mr_list_init(&quotas->unused);
    for (uint32_t i = 0; i < config->meters_max; i++) {
        struct meter *meter = &quotas->meters[i];

        mr_list_init(&quotas->buckets[i]);
        mr_list_init(&meter->bucket);
        meter->samples = &quotas->samples[(size_t)i * quotas->ring];
        mr_list_push_back(&quotas->unused, &meter->node);
    }
    return quotas;
}

void
mr_quotas_destroy(struct mr_quotas *quotas)
{
    if (!quotas) {
        return;
    }
    free(quotas->buckets);
    free(quotas->meters);
    free(quotas->samples);
    free(quotas);
}
