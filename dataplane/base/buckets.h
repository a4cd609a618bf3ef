/* base/buckets.h: durations counted in a few fixed buckets, as Prometheus shows a histogram.
 *
 * Where quantiles are wanted to a percent, histo.h is the one; this is small enough for one per API
 * and shard, copied as a whole for a scrape. One writer. Times in ns. */
#ifndef MR_BASE_BUCKETS_H
#define MR_BASE_BUCKETS_H

#include <stdint.h>

#define MR_BUCKETS_COUNT 18u

/* Upper bounds, ascending; what is above the last is only in `count`. */
static const uint64_t mr_buckets_bounds_ns[MR_BUCKETS_COUNT] = {
    10000,     25000,     50000,     100000,     250000,     500000,
    1000000,   2500000,   5000000,   10000000,   25000000,   50000000,
    100000000, 250000000, 500000000, 1000000000, 5000000000, 10000000000,
};

struct mr_buckets {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t buckets[MR_BUCKETS_COUNT]; /* each value in one, not cumulated */
};

static inline void
mr_buckets_record(struct mr_buckets *buckets, uint64_t value_ns)
{
    buckets->count++;
    buckets->sum_ns += value_ns;
    for (unsigned i = 0; i < MR_BUCKETS_COUNT; i++) {
        if (value_ns <= mr_buckets_bounds_ns[i]) {
            buckets->buckets[i]++;
            return;
        }
    }
}

static inline void
mr_buckets_add(struct mr_buckets *into, const struct mr_buckets *from)
{
    into->count += from->count;
    into->sum_ns += from->sum_ns;
    for (unsigned i = 0; i < MR_BUCKETS_COUNT; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

#endif
