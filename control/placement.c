/* control/placement.c: the least loaded store first. */
#include "control/placement.h"

void
mr_placement(uint32_t *load, uint32_t store_count, uint16_t *stores, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t best = 0;

        for (uint32_t s = 1; s < store_count; s++) {
            if (load[s] < load[best]) {
                best = s;
            }
        }
        stores[i] = (uint16_t)best;
        load[best]++;
    }
}
