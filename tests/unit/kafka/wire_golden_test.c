/* tests/unit/kafka/wire_golden_test.c: Kafka's own bytes, and bytes nobody should send.
 *
 * golden.txt holds what Kafka's Java classes write; MR_GOLDEN is its path. */
#include <errno.h>

#include "dataplane/base/endian.h"
#include "dataplane/kafka/wire/wire.h"
#include "tests/mr_test.h"
#include "tests/unit/kafka/wire_random.h"

#define LINE_MAX_SIZE (1u << 20)
#define HEAP_MAX      (16u << 20)
#define FIRST_SIZE    65536u
#define EXPANSION_MAX                                                                              \
    256 /* bytes an honest or lying byte may cost; three nested arrays of ours                     \
         */

static _Alignas(16) uint8_t first_chunk[FIRST_SIZE];

struct golden {
    const struct mr_wire_message *message;
    int16_t version;
    uint8_t *bytes;
    size_t size;
};

static const struct mr_wire_message *
find_message(const char *name)
{
    uint32_t count;
    const struct mr_wire_message *const *messages = mr_wire_messages(&count);

    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(messages[i]->name, name) == 0) {
            return messages[i];
        }
    }
    fprintf(stderr, "no message %s\n", name);
    exit(1);
}

/* Calls `judge` for each line. */
static int
for_each_golden(void (*judge)(const struct golden *))
{
    static char line[LINE_MAX_SIZE];
    FILE *file = fopen(MR_GOLDEN, "r");
    int lines = 0;

    MR_CHECK(file != NULL);
    while (fgets(line, sizeof(line), file)) {
        struct golden golden = {0};
        char *name = line, *version, *hex;

        if (line[0] == '#') {
            continue;
        }
        line[strcspn(line, "\n")] = 0;
        version = strchr(name, ' ');
        MR_CHECK(version != NULL);
        *version++ = 0;
        hex = strchr(version, ' ');
        MR_CHECK(hex != NULL);
        *hex++ = 0;
        golden.message = find_message(name);
        golden.version = (int16_t)strtol(version, NULL, 10);
        golden.size = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
        golden.bytes = malloc(golden.size + 1);
        for (size_t i = 0; i < golden.size; i++) {
            char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};

            golden.bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
        }
        judge(&golden);
        free(golden.bytes);
        lines++;
    }
    fclose(file);
    return lines;
}

/* Decodes from a heap block of exactly `size` bytes; adds the trailing bytes to *left. */
static int
decode(const struct mr_wire_message *message, int16_t version, const uint8_t *bytes, size_t size,
       struct mr_bump *bump, void *value, uint64_t *left)
{
    struct iovec slice = {(void *)(uintptr_t)bytes, size};
    struct mr_wire_in in;
    int rc;

    mr_wire_in_init(&in, &slice, 1, size);
    rc = mr_wire_decode(message, version, &in, bump, value);
    *left = mr_wire_in_left(&in);
    return rc;
}

static void
judge_same_bytes(const struct golden *golden)
{
    struct mr_bump bump;
    struct mr_wire_out out;
    uint64_t left;
    void *value;

    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), HEAP_MAX);
    value = mr_bump_alloc(&bump, golden->message->root->size);
    MR_CHECK_EQ(
        decode(golden->message, golden->version, golden->bytes, golden->size, &bump, value, &left),
        0);
    MR_CHECK_EQ(left, 0);
    mr_wire_out_init(&out, &bump);
    MR_CHECK_EQ(mr_wire_encode(golden->message, golden->version, value, &out), 0);
    MR_CHECK_EQ(out.size, golden->size);
    MR_CHECK(memcmp(wire_flatten(&out, &bump), golden->bytes, golden->size) == 0);
    if (getenv("MR_PRINT")) {
        mr_wire_print(golden->message, golden->version, value, stdout);
        putchar('\n');
    }
    mr_bump_reset(&bump);
}

/* Goal: we read and write exactly what Kafka does. */
MR_TEST(golden_messages_decode_and_encode_to_the_same_bytes)
{
    uint32_t count;
    const struct mr_wire_message *const *messages = mr_wire_messages(&count);
    int versions = 0;

    for (uint32_t i = 0; i < count; i++) {
        versions += messages[i]->version_max - messages[i]->version_min + 1;
    }
    MR_CHECK_EQ(for_each_golden(judge_same_bytes), 2 * versions);
}

static void
judge_truncations(const struct golden *golden)
{
    for (size_t size = 0; size < golden->size; size++) {
        uint8_t *cut = malloc(size > 0 ? size : 1);
        struct mr_bump bump;
        uint64_t left;
        void *value;

        memcpy(cut, golden->bytes, size);
        mr_bump_init(&bump, first_chunk, sizeof(first_chunk), HEAP_MAX);
        value = mr_bump_alloc(&bump, golden->message->root->size);
        MR_CHECK_EQ(decode(golden->message, golden->version, cut, size, &bump, value, &left),
                    -EBADMSG);
        mr_bump_reset(&bump);
        free(cut);
    }
}

/* Goal: a message that ends early is refused, wherever it ends. */
MR_TEST(every_truncation_of_a_golden_message_is_refused)
{
    MR_CHECK(for_each_golden(judge_truncations) > 0);
}

static void
judge_corruptions(const struct golden *golden)
{
    static const uint8_t evil[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
    uint8_t *bytes = malloc(golden->size + 1);

    for (size_t at = 0; at < golden->size; at++) {
        for (size_t i = 0; i < 2 * sizeof(evil); i++) {
            size_t run = i < sizeof(evil) ? 1 : 4;
            struct mr_bump bump;
            uint64_t left;
            void *value;
            int rc;

            memcpy(bytes, golden->bytes, golden->size);
            memset(bytes + at, evil[i % sizeof(evil)],
                   run < golden->size - at ? run : golden->size - at);
            mr_bump_init(&bump, first_chunk, golden->message->root->size + 8,
                         (golden->size + 64) * EXPANSION_MAX);
            value = mr_bump_alloc(&bump, golden->message->root->size);
            rc = decode(golden->message, golden->version, bytes, golden->size, &bump, value, &left);
            MR_CHECK(rc == 0 || rc == -EBADMSG);
            mr_bump_reset(&bump);
        }
    }
    free(bytes);
}

/* Goal: lying lengths, counts and nulls at every place end in an error or another message, and
 * never cost more memory than a constant times the bytes: -ENOMEM would fail the test. */
MR_TEST(corrupt_golden_messages_fail_cleanly_in_bounded_memory)
{
    MR_CHECK(for_each_golden(judge_corruptions) > 0);
}

#define REFUSED(type, version, ...)                                                                \
    do {                                                                                           \
        static const uint8_t refused[] = {__VA_ARGS__};                                            \
        struct type value;                                                                         \
        struct mr_bump bump;                                                                       \
        uint64_t left;                                                                             \
                                                                                                   \
        mr_bump_init(&bump, first_chunk, sizeof(first_chunk), 0);                                  \
        MR_CHECK_EQ(                                                                               \
            decode(&type##_message, version, refused, sizeof(refused), &bump, &value, &left),      \
            -EBADMSG);                                                                             \
        MR_CHECK(bump.at == first_chunk);                                                          \
    } while (0)

/* Goal: each way to lie, by hand, is refused before anything is allocated. */
MR_TEST(lies_are_refused_before_they_cost_memory)
{
    /* Metadata v1: topics of 2^31-1; v0: null where only an array is allowed. */
    REFUSED(mr_metadata_request, 1, 0x7f, 0xff, 0xff, 0xff);
    REFUSED(mr_metadata_request, 0, 0xff, 0xff, 0xff, 0xfe);
    REFUSED(mr_metadata_request, 0, 0xff, 0xff, 0xff, 0xff);
    /* One more topic than there are bytes for. */
    REFUSED(mr_metadata_request, 1, 0, 0, 0, 2, 0, 0, 0);
    /* ApiVersions v3: null name; a varint of 6 bytes; one of 33 bits; a length beyond 32,767. */
    REFUSED(mr_api_versions_request, 3, 0x00, 0x02, 'x', 0x00);
    REFUSED(mr_api_versions_request, 3, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01);
    REFUSED(mr_api_versions_request, 3, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00);
    REFUSED(mr_api_versions_request, 3, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x00);
    /* Tags: more than bytes, a size beyond the end, twice the same, descending. */
    REFUSED(mr_api_versions_request, 3, 0x01, 0x01, 0x7f);
    REFUSED(mr_api_versions_request, 3, 0x01, 0x01, 0x01, 0x09, 0x03, 0);
    REFUSED(mr_api_versions_request, 3, 0x01, 0x01, 0x02, 0x09, 0x00, 0x09, 0x00);
    REFUSED(mr_api_versions_request, 3, 0x01, 0x01, 0x02, 0x09, 0x00, 0x08, 0x00);
    /* A known tag (finalized features epoch) that is a byte too long, then one too short. */
    REFUSED(mr_api_versions_response, 3, 0, 0, 1, 0, 0, 0, 0, 1, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    REFUSED(mr_api_versions_response, 3, 0, 0, 1, 0, 0, 0, 0, 1, 1, 7, 0, 0, 0, 0, 0, 0, 0, 0);
    /* Heartbeat v0: a group id of size -2. */
    REFUSED(mr_heartbeat_request, 0, 0xff, 0xfe, 0, 0, 0, 0, 0, 0);
}

/* Goal: fields of the future are skipped. Method: an unknown tag with three bytes. */
MR_TEST(unknown_tagged_fields_are_skipped)
{
    static const uint8_t bytes[] = {0x02, 'a', 0x02, 'b', 0x01, 0x09, 0x03, 1, 2, 3};
    struct mr_api_versions_request value;
    struct mr_bump bump;
    uint64_t left;

    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), 0);
    MR_CHECK_EQ(
        decode(&mr_api_versions_request_message, 3, bytes, sizeof(bytes), &bump, &value, &left), 0);
    MR_CHECK_EQ(left, 0);
    MR_CHECK(mr_str_equal_c(value.client_software_version, "b"));
}

MR_TEST_MAIN(MR_TEST_CASE(golden_messages_decode_and_encode_to_the_same_bytes),
             MR_TEST_CASE(every_truncation_of_a_golden_message_is_refused),
             MR_TEST_CASE(corrupt_golden_messages_fail_cleanly_in_bounded_memory),
             MR_TEST_CASE(lies_are_refused_before_they_cost_memory),
             MR_TEST_CASE(unknown_tagged_fields_are_skipped))
