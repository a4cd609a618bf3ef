/* base/uuid.c: ids to and from URL-safe base64. */
#include "dataplane/base/uuid.h"

#include <errno.h>

#include "dataplane/base/rng.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct mr_uuid
mr_uuid_random(void)
{
    struct mr_uuid id;
    char text[MR_UUID_TEXT_SIZE];

    do {
        mr_random_bytes(id.bytes, sizeof(id.bytes));
        id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
        id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80); /* RFC 9562: variant */
        mr_uuid_format(&id, text);
    } while (text[0] == '-'); /* a command line would take it for an option */
    return id;
}

void
mr_uuid_format(const struct mr_uuid *id, char out[MR_UUID_TEXT_SIZE])
{
    uint32_t bits = 0;
    unsigned bit_count = 0;
    unsigned used = 0;

    for (unsigned i = 0; i < sizeof(id->bytes); i++) {
        bits = (bits << 8) | id->bytes[i];
        bit_count += 8;
        while (bit_count >= 6) {
            bit_count -= 6;
            out[used++] = alphabet[(bits >> bit_count) & 63];
        }
    }
    out[used++] = alphabet[(bits << (6 - bit_count)) & 63];
    out[used] = '\0';
}

int
mr_uuid_parse(const char *text, struct mr_uuid *out)
{
    uint32_t bits = 0;
    unsigned bit_count = 0;
    unsigned used = 0;

    if (strlen(text) != MR_UUID_TEXT_SIZE - 1) {
        return -EINVAL;
    }
    for (; *text; text++) {
        const char *at = strchr(alphabet, *text);

        if (!at) {
            return -EINVAL;
        }
        bits = (bits << 6) | (uint32_t)(at - alphabet);
        bit_count += 6;
        if (bit_count >= 8 && used < sizeof(out->bytes)) {
            bit_count -= 8;
            out->bytes[used++] = (uint8_t)(bits >> bit_count);
        }
    }
    return 0;
}
