/* kafka/wire/api.c: which APIs there are, and the headers before their messages. */
#include <errno.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/kafka/wire/tables.h"
#include "dataplane/kafka/wire/wire.h"

struct mr_str
mr_str_from_c(const char *text)
{
    return text ? (struct mr_str){text, (int32_t)strlen(text)} : mr_str_null();
}

bool
mr_str_equal(struct mr_str a, struct mr_str b)
{
    return a.size == b.size && (a.size <= 0 || memcmp(a.data, b.data, (size_t)a.size) == 0);
}

bool
mr_str_equal_c(struct mr_str a, const char *b)
{
    return mr_str_equal(a, mr_str_from_c(b));
}

const struct mr_wire_api *
mr_wire_api_find(int16_t key)
{
    uint32_t low = 0;
    uint32_t high = MR_WIRE_API_COUNT;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (mr_wire_api_table[middle].key == key) {
            return &mr_wire_api_table[middle];
        }
        if (mr_wire_api_table[middle].key < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

const struct mr_wire_api *
mr_wire_apis(uint32_t *count)
{
    *count = MR_WIRE_API_COUNT;
    return mr_wire_api_table;
}

const struct mr_wire_message *const *
mr_wire_messages(uint32_t *count)
{
    *count = MR_WIRE_MESSAGE_COUNT;
    return mr_wire_message_table;
}

int16_t
mr_wire_request_header_version(const struct mr_wire_api *api, int16_t version)
{
    return version >= api->flexible_min ? 2 : 1;
}

int16_t
mr_wire_response_header_version(const struct mr_wire_api *api, int16_t version)
{
    return api->key != MR_API_API_VERSIONS && version >= api->flexible_min ? 1 : 0;
}

int
mr_wire_request_header_decode(struct mr_wire_in *in, struct mr_bump *bump,
                              struct mr_request_header *header)
{
    /* The version of the header follows from what it says, so that its start is read twice. The
     * first three fields are the same bytes in every version. */
    struct mr_wire_in ahead = *in;
    const struct mr_wire_api *api;
    int rc = mr_wire_decode(&mr_request_header_message, 1, &ahead, bump, header);

    if (rc) {
        return rc;
    }
    api = mr_wire_api_find(header->request_api_key);
    if (!api) {
        header->client_id = mr_str_null();
        return -ENOTSUP;
    }
    if (mr_wire_request_header_version(api, header->request_api_version) == 1) {
        *in = ahead;
        return 0;
    }
    return mr_wire_decode(&mr_request_header_message, 2, in, bump, header);
}

int
mr_wire_request_header_encode(struct mr_wire_out *out, const struct mr_request_header *header)
{
    const struct mr_wire_api *api = mr_wire_api_find(header->request_api_key);

    MR_ASSERT(api != NULL);
    return mr_wire_encode(&mr_request_header_message,
                          mr_wire_request_header_version(api, header->request_api_version), header,
                          out);
}

int
mr_wire_response_header_decode(const struct mr_wire_api *api, int16_t version,
                               struct mr_wire_in *in, struct mr_bump *bump,
                               struct mr_response_header *header)
{
    return mr_wire_decode(&mr_response_header_message,
                          mr_wire_response_header_version(api, version), in, bump, header);
}

int
mr_wire_response_header_encode(const struct mr_wire_api *api, int16_t version,
                               int32_t correlation_id, struct mr_wire_out *out)
{
    struct mr_response_header header = {.correlation_id = correlation_id};

    return mr_wire_encode(&mr_response_header_message,
                          mr_wire_response_header_version(api, version), &header, out);
}
