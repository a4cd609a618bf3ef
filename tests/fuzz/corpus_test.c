/* Goal: the committed corpora still reach every decoder.
 * Method: every message of the codec and every API that is served must have, for each version, a
 * file that decodes without a rest; the other targets must have files. Argument: the folder. After
 * a change of the wire schema run `ninja corpus` and commit what it writes. */
#include <dirent.h>

#include "dataplane/base/endian.h"
#include "dataplane/kafka/api.h"
#include "tests/mr_test.h"

#define FILE_MAX    65536u
#define MEMORY_MAX  (16u << 20)
#define STREAM_HEAD 2u

static const char *root;

/* Returns the file's size; 0: it is not there. */
static size_t
read_corpus(const char *target, const char *name, int version, uint8_t *bytes)
{
    char path[512];
    FILE *file;
    size_t size;

    MR_CHECK(snprintf(path, sizeof(path), "%s/%s/%s-%d", root, target, name, version) <
             (int)sizeof(path));
    file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s is missing\n", path);
        return 0;
    }
    size = fread(bytes, 1, FILE_MAX, file);
    fclose(file);
    if (size == 0) {
        fprintf(stderr, "%s is empty\n", path);
    }
    return size;
}

/* A whole message: nothing is left behind it. */
static bool
decodes(const struct mr_wire_message *message, int16_t version, struct mr_wire_in *in,
        struct mr_bump *bump)
{
    void *value = mr_bump_alloc(bump, message->root->size);

    MR_CHECK(value != NULL);
    return mr_wire_decode(message, version, in, bump, value) == 0 && mr_wire_in_left(in) == 0;
}

static bool
message_covered(uint32_t index, const struct mr_wire_message *message, int16_t version)
{
    static uint8_t bytes[FILE_MAX];
    static _Alignas(16) uint8_t first_chunk[65536];
    size_t size = read_corpus("wire_fuzz", message->name, version, bytes);
    struct iovec slice = {bytes + 3, size - 3};
    struct mr_wire_in in;
    struct mr_bump bump;
    bool good;

    if (size < 3) {
        return false;
    }
    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), MEMORY_MAX);
    mr_wire_in_init(&in, &slice, 1, slice.iov_len);
    good = bytes[0] == index && bytes[1] == version - message->version_min &&
           decodes(message, version, &in, &bump);
    mr_bump_reset(&bump);
    if (!good) {
        fprintf(stderr, "wire_fuzz/%s-%d does not decode\n", message->name, version);
    }
    return good;
}

static bool
request_covered(const struct mr_wire_api *wire, int16_t version)
{
    static uint8_t bytes[FILE_MAX];
    static _Alignas(16) uint8_t first_chunk[65536];
    size_t size = read_corpus("conn_fuzz", wire->name, version, bytes);
    size_t at = size > STREAM_HEAD ? STREAM_HEAD + bytes[1] : 0;
    struct mr_request_header header = {0};
    struct iovec slice;
    struct mr_wire_in in;
    struct mr_bump bump;
    bool good;

    if (size < at + 4 || mr_be32_get(bytes + at) != size - at - 4) {
        return false;
    }
    slice = (struct iovec){bytes + at + 4, size - at - 4};
    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), MEMORY_MAX);
    mr_wire_in_init(&in, &slice, 1, slice.iov_len);
    good = mr_wire_request_header_decode(&in, &bump, &header) == 0 &&
           header.request_api_key == wire->key && header.request_api_version == version &&
           decodes(wire->request, version, &in, &bump);
    mr_bump_reset(&bump);
    if (!good) {
        fprintf(stderr, "conn_fuzz/%s-%d is no such request\n", wire->name, version);
    }
    return good;
}

MR_TEST(every_message_and_version_has_a_file)
{
    uint32_t count;
    const struct mr_wire_message *const *messages = mr_wire_messages(&count);
    unsigned missing = 0;

    for (uint32_t i = 0; i < count; i++) {
        for (int16_t v = messages[i]->version_min; v <= messages[i]->version_max; v++) {
            missing += !message_covered(i, messages[i], v);
        }
    }
    MR_CHECK_EQ(missing, 0);
}

MR_TEST(every_served_api_and_version_has_a_stream)
{
    const struct mr_api *api;
    unsigned missing = 0;

    for (unsigned i = 0; (api = mr_api_at(i)); i++) {
        const struct mr_wire_api *wire = mr_wire_api_find(api->key);

        for (int16_t v = wire->version_min; v <= api->version_max; v++) {
            missing += !request_covered(wire, v);
        }
    }
    MR_CHECK_EQ(missing, 0);
}

MR_TEST(the_other_targets_have_files)
{
    static const char *const targets[] = {"batch_fuzz", "decompress_fuzz", "format_fuzz"};
    char path[512];

    for (unsigned i = 0; i < 3; i++) {
        unsigned files = 0;
        DIR *folder;

        snprintf(path, sizeof(path), "%s/%s", root, targets[i]);
        folder = opendir(path);
        MR_CHECK(folder != NULL);
        for (struct dirent *entry; (entry = readdir(folder));) {
            files += entry->d_name[0] != '.';
        }
        closedir(folder);
        MR_CHECK(files >= 9); /* as many as there are ways to compress */
    }
}

int
main(int argc, char **argv)
{
    static const struct mr_test_case cases[] = {
        MR_TEST_CASE(every_message_and_version_has_a_file),
        MR_TEST_CASE(every_served_api_and_version_has_a_stream),
        MR_TEST_CASE(the_other_targets_have_files),
    };

    MR_CHECK(argc >= 2);
    root = argv[1];
    return mr_test_run(cases, sizeof(cases) / sizeof(cases[0]), argc - 1, argv + 1);
}
