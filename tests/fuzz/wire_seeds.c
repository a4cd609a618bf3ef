/* tests/fuzz/wire_seeds.c: writes a random message of every kind and version as a seed for
 * wire_fuzz, one file each, into the folder given. */
#include <stdlib.h>

#include "dataplane/kafka/wire/wire.h"
#include "tests/mr_test.h"
#include "tests/unit/kafka/wire_random.h"

#define HEAP_MAX (16u << 20)

static void
write_seed(const char *folder, uint32_t index, int16_t version, struct mr_rng *rng)
{
    static _Alignas(16) uint8_t first_chunk[65536];
    uint32_t count;
    const struct mr_wire_message *message = mr_wire_messages(&count)[index];
    uint8_t head[3] = {(uint8_t)index, (uint8_t)(version - message->version_min), 16};
    struct mr_wire_out out;
    struct mr_bump bump;
    char path[512];
    void *value;
    FILE *file;

    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), HEAP_MAX);
    value = mr_bump_alloc(&bump, message->root->size);
    wire_random_fill(message, version, rng, 2, &bump, value);
    mr_wire_out_init(&out, &bump);
    MR_CHECK_EQ(mr_wire_encode(message, version, value, &out), 0);
    MR_CHECK(snprintf(path, sizeof(path), "%s/%s-%d", folder, message->name, version) <
             (int)sizeof(path));
    file = fopen(path, "wb");
    MR_CHECK(file != NULL);
    MR_CHECK_EQ(fwrite(head, 1, sizeof(head), file), sizeof(head));
    MR_CHECK_EQ(fwrite(wire_flatten(&out, &bump), 1, out.size, file), out.size);
    MR_CHECK_EQ(fclose(file), 0);
    mr_bump_reset(&bump);
}

int
main(int argc, char **argv)
{
    uint32_t count;
    const struct mr_wire_message *const *messages = mr_wire_messages(&count);
    struct mr_rng rng;

    MR_CHECK_EQ(argc, 2);
    MR_CHECK(count <= 256);
    mr_rng_init(&rng, 1);
    for (uint32_t i = 0; i < count; i++) {
        for (int16_t v = messages[i]->version_min; v <= messages[i]->version_max; v++) {
            write_seed(argv[1], i, v, &rng);
        }
    }
    return 0;
}
