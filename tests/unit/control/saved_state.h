/* tests/unit/control/saved_state.h: the state of the metadata as its log gets it. */
#ifndef MR_TESTS_CONTROL_SAVED_STATE_H
#define MR_TESTS_CONTROL_SAVED_STATE_H

#include "control/metadata.h"
#include "tests/mr_test.h"

#define SAVED_EPOCH_AT 30u /* behind kind, version, cluster, generation, ids */

/* free() it. */
static inline uint8_t *
saved_state(const struct mr_metadata *metadata, size_t *size)
{
    struct mr_metadata_image *image = mr_metadata_image_take(metadata);
    uint8_t *state;

    MR_CHECK(image != NULL);
    state = mr_metadata_image_save(image, size);
    MR_CHECK(state != NULL);
    mr_metadata_image_release(image);
    return state;
}

/* The saved states are equal but for the epoch, which a load raises. */
static inline bool
same_state(const struct mr_metadata *a, const struct mr_metadata *b)
{
    size_t a_size;
    size_t b_size;
    uint8_t *left = saved_state(a, &a_size);
    uint8_t *right = saved_state(b, &b_size);
    bool same;

    memset(left + SAVED_EPOCH_AT, 0, 8);
    memset(right + SAVED_EPOCH_AT, 0, 8);
    same = a_size == b_size && memcmp(left, right, a_size) == 0;
    free(left);
    free(right);
    return same;
}

#endif
