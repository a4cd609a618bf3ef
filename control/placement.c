/* control/placement.c: the least loaded store first. */
#include "control/placement.h"

#include "dataplane/base/assert.h"

void
mr_placement(uint32_t *load, uint32_t store_count, const uint16_t *places, uint32_t modulus,
             uint16_t *stores, uint32_t count)
{
    uint32_t step = places ? modulus : 1;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t best = places ? places[i] : 0;

        for (uint32_t s = best + step; s < store_count; s += step) {
            if (load[s] < load[best]) {
                best = s;
            }
        }
        stores[i] = (uint16_t)best;
        MR_ASSERT(best < store_count);
        load[best]++;
    }
}
