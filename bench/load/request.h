/* bench/load/request.h: the bytes of requests. Pure but for memory; any thread. */
#ifndef MR_BENCH_LOAD_REQUEST_H
#define MR_BENCH_LOAD_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "bench/load/options.h"
#include "bench/load/payload.h"
#include "bench/load/plan.h"
#include "dataplane/base/bump.h"

#define LOAD_CORRELATION_AT 8 /* in a frame: after its size, the API's key and version */

/* A Produce frame for one partition without its batch: what stands before the batch, then what
 * stands after it. Only the correlation id differs between requests. */
struct load_template {
    uint8_t *bytes;
    size_t head_size;
    size_t tail_size;
};

/* -ENOMEM or 0. */
int load_template_make(struct load_template *out, const struct load_options *options,
                       const struct load_plan *plan, const struct load_payload *payload,
                       int32_t partition);

/* Where a connection reads in one partition. */
struct load_fetch_position {
    int32_t partition;
    int64_t offset;
};

/* Encodes a Fetch frame into memory of `bump`; NULL without memory. */
uint8_t *load_fetch_encode(const struct load_options *options, const struct load_plan *plan,
                           const struct load_fetch_position *positions, int32_t count,
                           int32_t correlation_id, struct mr_bump *bump, size_t *size_out);

#endif
