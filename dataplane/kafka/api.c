/* kafka/api.c: which APIs are served, in which versions, by whom; ApiVersions (key 18); and
 * ConsumerGroupHeartbeat (key 68), which is refused.
 *
 * The ranges are the stable ones of Apache Kafka 4.3.1. Produce is advertised from version 0, as
 * Kafka does, because older librdkafka judges compression by it (KAFKA-18659); versions 0 to 2
 * close the connection. */
#include "dataplane/kafka/api.h"

#include <errno.h>
#include <string.h>

#include "dataplane/kafka/conn.h"
#include "dataplane/kafka/part.h"

static const struct mr_api apis[] = {
    /* key, versions, overlaps, start, abort, hurry */
    {0, 0, 13, true, mr_produce_start, NULL, NULL},
    {1, 4, 18, false, mr_fetch_start, mr_fetch_abort, mr_fetch_hurry},
    {2, 1, 11, false, mr_list_offsets_start, NULL, NULL},
    {3, 0, 13, false, mr_metadata_start, NULL, NULL},
    {8, 2, 10, true, mr_group_start, mr_group_abort, NULL},
    {9, 1, 10, false, mr_group_start, mr_group_abort, NULL},
    {10, 0, 6, false, mr_group_start, mr_group_abort, NULL},
    {11, 0, 9, false, mr_group_start, mr_group_abort, NULL},
    {12, 0, 4, false, mr_group_start, mr_group_abort, NULL},
    {13, 0, 5, false, mr_group_start, mr_group_abort, NULL},
    {14, 0, 5, false, mr_group_start, mr_group_abort, NULL},
    {15, 0, 6, false, mr_group_start, mr_group_abort, NULL},
    {16, 0, 5, false, mr_group_start, mr_group_abort, NULL},
    {18, 0, 4, false, mr_api_versions_start, NULL, NULL},
    {19, 2, 7, false, mr_control_start, NULL, NULL},
    {20, 1, 6, false, mr_control_start, NULL, NULL},
    {21, 0, 2, false, mr_delete_records_start, NULL, NULL},
    {22, 0, 5, false, mr_control_start, NULL, NULL},
    {23, 2, 4, false, mr_offset_for_leader_epoch_start, NULL, NULL},
    {29, 1, 3, false, mr_control_start, NULL, NULL},
    {30, 1, 3, false, mr_control_start, NULL, NULL},
    {31, 1, 3, false, mr_control_start, NULL, NULL},
    {32, 1, 4, false, mr_control_start, NULL, NULL},
    {33, 0, 2, false, mr_control_start, NULL, NULL},
    {34, 1, 2, false, mr_control_start, NULL, NULL},
    {35, 1, 5, false, mr_describe_log_dirs_start, NULL, NULL},
    {37, 0, 3, false, mr_control_start, NULL, NULL},
    {42, 0, 2, false, mr_group_start, mr_group_abort, NULL},
    {43, 0, 2, false, mr_control_start, NULL, NULL},
    {44, 0, 1, false, mr_control_start, NULL, NULL},
    {45, 0, 1, false, mr_control_start, NULL, NULL},
    {46, 0, 0, false, mr_control_start, NULL, NULL},
    {47, 0, 0, false, mr_group_start, mr_group_abort, NULL},
    {48, 0, 1, false, mr_control_start, NULL, NULL},
    {49, 0, 1, false, mr_control_start, NULL, NULL},
    {50, 0, 0, false, mr_control_start, NULL, NULL},
    {55, 0, 2, false, mr_control_start, NULL, NULL},
    {57, 0, 2, false, mr_control_start, NULL, NULL},
    {60, 0, 2, false, mr_describe_cluster_start, NULL, NULL},
    {61, 0, 0, false, mr_describe_producers_start, NULL, NULL},
    {64, 0, 0, false, mr_control_start, NULL, NULL},
    {65, 0, 0, false, mr_control_start, NULL, NULL},
    {66, 0, 2, false, mr_control_start, NULL, NULL},
    {68, 0, 1, false, mr_consumer_group_heartbeat_start, NULL, NULL},
    {74, 0, 1, false, mr_control_start, NULL, NULL},
    {75, 0, 0, false, mr_describe_topic_partitions_start, NULL, NULL},
};

#define API_COUNT (sizeof(apis) / sizeof(apis[0]))

const struct mr_api *
mr_api_find(int16_t key)
{
    for (unsigned i = 0; i < API_COUNT; i++) {
        if (apis[i].key == key) {
            return &apis[i];
        }
    }
    return NULL;
}

const struct mr_api *
mr_api_at(unsigned index)
{
    return index < API_COUNT ? &apis[index] : NULL;
}

/* ---- ApiVersions ----------------------------------------------------------------------------- */

#define VERSION_SOFTWARE_NAME 3 /* KIP-511 */

static bool
alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* KIP-511: letters and digits, with '-' and '.' inside. */
static bool
software_text_valid(struct mr_str text)
{
    if (text.size < 1 || !alphanumeric(text.data[0]) || !alphanumeric(text.data[text.size - 1])) {
        return false;
    }
    for (int32_t i = 0; i < text.size; i++) {
        if (!alphanumeric(text.data[i]) && text.data[i] != '-' && text.data[i] != '.') {
            return false;
        }
    }
    return true;
}

static int
list_apis(struct mr_request *request, struct mr_api_versions_response *out)
{
    out->api_keys = mr_request_alloc(request, API_COUNT, sizeof(*out->api_keys));
    if (!out->api_keys) {
        return -ENOMEM;
    }
    out->api_keys_count = API_COUNT;
    for (unsigned i = 0; i < API_COUNT; i++) {
        out->api_keys[i].api_key = apis[i].key;
        out->api_keys[i].min_version = apis[i].version_min;
        out->api_keys[i].max_version = apis[i].version_max;
    }
    return 0;
}

/* KIP-511: the answer to a version this broker does not know has version 0's layout and names the
 * versions of ApiVersions that it does know. */
static int
answer_unknown_version(struct mr_request *request, struct mr_api_versions_response *out)
{
    out->api_keys = mr_request_alloc(request, 1, sizeof(*out->api_keys));
    if (!out->api_keys) {
        return -ENOMEM;
    }
    out->api_keys_count = 1;
    out->api_keys[0].api_key = request->api->key;
    out->api_keys[0].min_version = request->api->version_min;
    out->api_keys[0].max_version = request->api->version_max;
    out->error_code = MR_KAFKA_UNSUPPORTED_VERSION;
    request->version = 0;
    return 0;
}

int
mr_api_versions_start(struct mr_request *request)
{
    const struct mr_api_versions_request *body = request->body;
    struct mr_api_versions_response *out = mr_request_alloc(request, 1, sizeof(*out));
    int error = -ENOMEM;

    if (out) {
        out->finalized_features_epoch = -1;
        error = body ? list_apis(request, out) : answer_unknown_version(request, out);
    }
    if (error) {
        mr_request_fail(request);
        return 0;
    }
    if (body && request->version >= VERSION_SOFTWARE_NAME) {
        if (!software_text_valid(body->client_software_name) ||
            !software_text_valid(body->client_software_version)) {
            out->error_code = MR_KAFKA_INVALID_REQUEST;
            out->api_keys_count = 0;
        }
    }
    mr_request_answer(request, out);
    return 0;
}

/* ---- ConsumerGroupHeartbeat ------------------------------------------------------------------ */

/* There is no group protocol of KIP-848. That is said as Apache Kafka says it where it is turned
 * off: were the key not advertised, librdkafka would look for another coordinator for ever, and its
 * consumer would never learn why it gets nothing. */
int
mr_consumer_group_heartbeat_start(struct mr_request *request)
{
    struct mr_consumer_group_heartbeat_response *out = mr_request_alloc(request, 1, sizeof(*out));

    if (!out) {
        mr_request_fail(request);
        return 0;
    }
    out->error_code = MR_KAFKA_UNSUPPORTED_VERSION;
    out->error_message = mr_str_null();
    out->member_id = mr_str_null();
    mr_request_answer(request, out);
    return 0;
}
