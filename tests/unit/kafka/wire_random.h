/* tests/unit/kafka/wire_random.h: random messages of every kind, for tests and fuzz seeds. */
#ifndef MR_TESTS_WIRE_RANDOM_H
#define MR_TESTS_WIRE_RANDOM_H

#include "dataplane/base/bump.h"
#include "dataplane/base/rng.h"
#include "dataplane/kafka/wire/wire.h"

/* Fills `value`, a struct of `message`, with random fields that `version` can express; fields it
 * lacks have their defaults. Arrays have up to `count_max` elements. Memory comes from `bump`. */
void wire_random_fill(const struct mr_wire_message *message, int16_t version, struct mr_rng *rng,
                      int count_max, struct mr_bump *bump, void *value);

/* The encoded bytes in one piece, allocated in `bump`. */
uint8_t *wire_flatten(const struct mr_wire_out *out, struct mr_bump *bump);

/* The value's print as a string, which the caller frees. */
char *wire_text(const struct mr_wire_message *message, int16_t version, const void *value);

#endif
