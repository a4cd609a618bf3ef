/* base/histo.c: log-linear buckets. */
#include "dataplane/base/histo.h"

static unsigned
bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < MR_HISTO_STEPS) {
        return (unsigned)value;
    }
    shift = 63u - (unsigned)__builtin_clzll(value) - 5u; /* 2^5 = MR_HISTO_STEPS */
    return (shift + 1) * MR_HISTO_STEPS + (unsigned)((value >> shift) & (MR_HISTO_STEPS - 1));
}

static uint64_t
bucket_top(unsigned bucket)
{
    unsigned shift = bucket / MR_HISTO_STEPS;
    uint64_t step = bucket % MR_HISTO_STEPS;

    if (shift == 0) {
        return step;
    }
    shift--;
    return ((MR_HISTO_STEPS + step + 1) << shift) - 1;
}

void
mr_histo_record(struct mr_histo *histo, uint64_t value)
{
    histo->count++;
    histo->sum += value;
    histo->max = value > histo->max ? value : histo->max;
    histo->buckets[bucket_of(value)]++;
}

void
mr_histo_merge(struct mr_histo *into, const struct mr_histo *from)
{
    into->count += from->count;
    into->sum += from->sum;
    into->max = from->max > into->max ? from->max : into->max;
    for (unsigned i = 0; i < MR_HISTO_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

uint64_t
mr_histo_quantile(const struct mr_histo *histo, unsigned permille)
{
    uint64_t target = (histo->count * permille + 999) / 1000;
    uint64_t seen = 0;

    for (unsigned i = 0; i < MR_HISTO_BUCKETS; i++) {
        seen += histo->buckets[i];
        if (seen >= target && seen > 0) {
            uint64_t top = bucket_top(i);

            return top < histo->max ? top : histo->max;
        }
    }
    return 0;
}
_Static_assert(MR_HISTO_BUCKETS == (63 - 5 + 2) * MR_HISTO_STEPS,
               "one bucket row per power of two");
