/* base/histo.h: latency histograms with a bounded relative error.
 *
 * Log-linear: 32 linear steps per power of two, so a reported value is at most 3.2% above the
 * recorded one. Fixed size, no allocation. One writer; merge copies after the writer stopped or
 * published. Values are in whatever unit the owner names, usually ns. */
#ifndef MR_BASE_HISTO_H
#define MR_BASE_HISTO_H

#include <stdint.h>

#define MR_HISTO_STEPS   32
#define MR_HISTO_BUCKETS (60 * MR_HISTO_STEPS)

struct mr_histo {
    uint64_t count;
    uint64_t sum;
    uint64_t max;
    uint64_t buckets[MR_HISTO_BUCKETS];
};

void mr_histo_record(struct mr_histo *histo, uint64_t value);

/* Adds all of `from` to `into`. */
void mr_histo_merge(struct mr_histo *into, const struct mr_histo *from);

/* The smallest bucket bound that at least `permille` thousandths of the values do not exceed
 * (500 = median, 999 = p99.9); 0 when nothing was recorded. */
uint64_t mr_histo_quantile(const struct mr_histo *histo, unsigned permille);

#endif
