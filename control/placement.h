/* control/placement.h: which store gets a new partition. Pure. */
#ifndef MR_CONTROL_PLACEMENT_H
#define MR_CONTROL_PLACEMENT_H

#include <stdint.h>

/* Gives each of `count` partitions a store: always one of those with the fewest partitions, lowest
 * index first. `load` has one entry for each of `store_count` (> 0) stores and is updated.
 * Partition i may lie on the stores that leave the remainder `places[i]` (below `modulus`, and
 * below `store_count`) divided by `modulus`; NULL: on any. */
void mr_placement(uint32_t *load, uint32_t store_count, const uint16_t *places, uint32_t modulus,
                  uint16_t *stores, uint32_t count);

#endif
