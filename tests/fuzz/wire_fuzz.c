/* tests/fuzz/wire_fuzz.c: any bytes as any message.
 *
 * Input: a byte that picks the message (modulo their number), one that picks the version, one that
 * cuts the rest into two slices, then the message. What decodes must encode, decode again and
 * print alike; nothing may cost more than a constant times the bytes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/kafka/wire/wire.h"

#define HEAD_SIZE     3
#define EXPANSION_MAX 256
#define HEAP_MAX      (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *
text_of(const struct mr_wire_message *message, int16_t version, const void *value)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    MR_ASSERT(file != NULL);
    mr_wire_print(message, version, value, file);
    fclose(file);
    return text;
}

/* Encodes `value`, decodes that and compares the prints. */
static void
check_again(const struct mr_wire_message *message, int16_t version, const void *value)
{
    static _Alignas(16) uint8_t first_chunk[16];
    struct mr_wire_out out;
    struct mr_wire_in in;
    struct mr_bump bump;
    char *want, *got;
    void *copy;

    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), HEAP_MAX);
    copy = mr_bump_alloc(&bump, message->root->size);
    MR_ASSERT(copy != NULL);
    mr_wire_out_init(&out, &bump);
    MR_ASSERT(mr_wire_encode(message, version, value, &out) == 0);
    mr_wire_in_init(&in, out.iov, out.iov_count, out.size);
    MR_ASSERT(mr_wire_decode(message, version, &in, &bump, copy) == 0);
    MR_ASSERT(mr_wire_in_left(&in) == 0);
    want = text_of(message, version, value);
    got = text_of(message, version, copy);
    MR_ASSERT(strcmp(want, got) == 0);
    free(want);
    free(got);
    mr_bump_reset(&bump);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(16) uint8_t first_chunk[32768];
    const struct mr_wire_message *message;
    struct iovec slices[2];
    struct mr_wire_in in;
    struct mr_bump bump;
    uint32_t count;
    int16_t version;
    uint8_t *body;
    size_t cut;
    void *value;

    if (size < HEAD_SIZE) {
        return 0;
    }
    message = mr_wire_messages(&count)[data[0] % MR_WIRE_MESSAGE_COUNT];
    version = (int16_t)(message->version_min +
                        data[1] % (message->version_max - message->version_min + 1));
    size -= HEAD_SIZE;
    cut = data[2] % (size + 1);
    body = malloc(size + 1);
    MR_ASSERT(body != NULL);
    memcpy(body, data + HEAD_SIZE, size);
    slices[0] = (struct iovec){body, cut};
    slices[1] = (struct iovec){body + cut, size - cut};
    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), size * EXPANSION_MAX);
    value = mr_bump_alloc(&bump, message->root->size);
    MR_ASSERT(value != NULL);
    mr_wire_in_init(&in, slices, 2, size);
    switch (mr_wire_decode(message, version, &in, &bump, value)) {
    case 0:
        check_again(message, version, value);
        break;
    case -EBADMSG:
        break;
    default:
        MR_ASSERT(!"an error that decoding does not have");
    }
    mr_bump_reset(&bump);
    free(body);
    return 0;
}
