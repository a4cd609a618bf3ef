/* kafka/request.c: contexts, decoding, answering. */
#include "dataplane/kafka/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/endian.h"
#include "dataplane/base/log.h"
#include "dataplane/kafka/api.h"
#include "dataplane/kafka/conn.h"
#include "dataplane/kafka/throttle.h"

#define API_KEY_API_VERSIONS 18
#define HEAP_PER_FRAME_BYTE  8u /* decoded structs are larger than what they came from */

struct mr_request *
mr_request_take(struct mr_server *server)
{
    struct mr_list *node = mr_list_pop_front(&server->requests_free);
    struct mr_request *request;

    if (!node) {
        return NULL;
    }
    request = MR_CONTAINER_OF(node, struct mr_request, node);
    memset(request, 0, offsetof(struct mr_request, frame_inline));
    mr_list_init(&request->node);
    request->server = server;
    request->on_release = mr_request_free;
    mr_bump_init(&request->bump, request->memory, MR_REQUEST_SIZE - sizeof(*request),
                 server->config.response_heap_bytes_max);
    server->requests_used++;
    return request;
}

void
mr_request_free(struct mr_request *request)
{
    struct mr_server *server = request->server;

    MR_ASSERT(request->holds == 0);
    for (uint32_t i = 0; i < request->buffer_count; i++) {
        mr_net_buf_release(request->buffers[i]);
    }
    if (request->heap) {
        free(request->heap);
        server->frame_heap_bytes -= request->heap_size; /* all of it had been allocated */
    }
    if (request->conn) {
        mr_conn_request_freed(request->conn, request->frame_size);
    }
    mr_bump_reset(&request->bump);
    request->state = MR_REQUEST_FREE;
    server->requests_used--;
    server->retry_conns = true;
    mr_list_remove(&request->node);
    mr_list_push_front(&server->requests_free, &request->node);
}

void *
mr_request_alloc(struct mr_request *request, size_t count, size_t size)
{
    return mr_bump_array(&request->bump, count, size);
}

/* The two fields that every request starts with. Returns false where the frame is too short. */
static bool
peek_api(const struct mr_request *request, int16_t *key, int16_t *version, int32_t *correlation)
{
    uint8_t start[8] = {0};
    size_t got = 0;

    for (uint32_t i = 0; i < request->frame_count && got < sizeof(start); i++) {
        size_t part = request->frame[i].iov_len;

        part = part < sizeof(start) - got ? part : sizeof(start) - got;
        memcpy(start + got, request->frame[i].iov_base, part);
        got += part;
    }
    *key = (int16_t)mr_be16_get(start);
    *version = (int16_t)mr_be16_get(start + 2);
    *correlation = (int32_t)mr_be32_get(start + 4);
    return got == sizeof(start);
}

int
mr_request_identify(struct mr_request *request)
{
    int16_t key;

    if (!peek_api(request, &key, &request->version, &request->correlation_id)) {
        return -EBADMSG;
    }
    request->api = mr_api_find(key);
    if (!request->api || !mr_wire_api_find(key)) {
        return -EBADMSG;
    }
    if (key < MR_SERVER_APIS) {
        request->server->stats.requests[key]++;
        request->server->stats.request_bytes[key] += request->frame_size;
    }
    return 0;
}

bool
mr_request_is_patient(const struct mr_request *request)
{
    return request->api->start == mr_group_start;
}

int
mr_request_decode(struct mr_request *request)
{
    const struct mr_wire_api *wire = mr_wire_api_find(request->api->key);
    struct mr_request_header header;
    struct mr_wire_in in;
    int error;

    request->decoded = true;
    if (request->version < wire->version_min || request->version > request->api->version_max ||
        request->version < 0) {
        /* KIP-511: an ApiVersions of any version is answered; of another API none is. */
        return wire->key == API_KEY_API_VERSIONS ? 0 : -EBADMSG;
    }
    /* Decoded structs take memory in proportion to their frame. */
    request->bump.heap_bytes_max += HEAP_PER_FRAME_BYTE * request->frame_size;
    mr_wire_in_init(&in, request->frame, request->frame_count, request->frame_size - 4);
    error = mr_wire_request_header_decode(&in, &request->bump, &header);
    if (error) {
        return error;
    }
    request->client_id = header.client_id;
    request->body = mr_request_alloc(request, 1, wire->request->root->size);
    if (!request->body) {
        return -ENOMEM;
    }
    return mr_wire_decode(wire->request, request->version, &in, &request->bump, request->body);
}

static void
ready(struct mr_request *request)
{
    struct mr_server *server = request->server;

    request->state = MR_REQUEST_READY;
    if (request->api->key < MR_SERVER_APIS) {
        mr_buckets_record(&server->stats.latency[request->api->key],
                          server->shard->now_ns - request->arrived_ns);
    }
    if (request->conn && mr_request_is_patient(request)) {
        mr_conn_mark_patient(request->conn);
    } else if (request->conn) {
        mr_conn_mark(request->conn);
    } else {
        request->on_release(request);
    }
}

/* KIP-219: the client is told how long it is not served. */
static void
set_throttle_time(const struct mr_wire_struct *root, void *response, uint32_t throttle_ms)
{
    for (unsigned i = 0; i < root->field_count; i++) {
        const struct mr_wire_field *field = &root->fields[i];

        if (strcmp(field->name, "throttle_time_ms") == 0) {
            *(int32_t *)(void *)((uint8_t *)response + field->offset) = (int32_t)throttle_ms;
        }
    }
}

void
mr_request_answer(struct mr_request *request, void *response)
{
    const struct mr_wire_api *wire = mr_wire_api_find(request->api->key);
    uint8_t *length;
    int error;

    if (request->silent || !request->conn) {
        ready(request);
        return;
    }
    mr_throttle_answer(request);
    if (request->throttle_ms > 0) {
        set_throttle_time(wire->response->root, response, request->throttle_ms);
    }
    mr_wire_out_init(&request->out, &request->bump);
    length = mr_wire_out_reserve_4(&request->out);
    mr_wire_response_header_encode(wire, request->version, request->correlation_id, &request->out);
    error = mr_wire_encode(wire->response, request->version, response, &request->out);
    if (error) {
        MR_LOG_WARN("kafka", "no memory for an answer of %s to %s", wire->name,
                    request->conn->host);
        request->close_after = true;
    } else {
        mr_wire_out_patch_4(length, (uint32_t)request->out.size - 4);
        if (wire->key < MR_SERVER_APIS) {
            request->server->stats.response_bytes[wire->key] += request->out.size;
        }
    }
    ready(request);
}

void
mr_request_done_silent(struct mr_request *request)
{
    request->silent = true;
    ready(request);
}

void
mr_request_fail(struct mr_request *request)
{
    request->close_after = true;
    ready(request);
}
