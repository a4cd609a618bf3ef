/* kafka/control.c: requests that the control thread answers. */
#include <errno.h>
#include <stdio.h>

#include "dataplane/kafka/api.h"
#include "dataplane/kafka/conn.h"

int
mr_request_ask_control(struct mr_request *request, int16_t api_key, int16_t api_version,
                       const void *body, void *response,
                       void (*on_control)(struct mr_request *request))
{
    struct mr_shard *shard = request->server->shard;
    unsigned control = shard->shard_count; /* the endpoint behind the shards */

    if (!mr_mesh_take(shard->port, control, MR_MESH_REQUEST)) {
        return -EAGAIN;
    }
    request->ctl = (struct mr_ctl_request){
        .api_key = api_key,
        .api_version = api_version,
        .request = body,
        .response = response,
        .bump = &request->bump,
        .client_id = request->client_id.data,
        .client_id_size = request->client_id.size > 0 ? request->client_id.size : 0,
    };
    snprintf(request->ctl.client_host, sizeof(request->ctl.client_host), "/%.46s",
             request->conn->host);
    request->on_control = on_control;
    mr_mesh_send(shard->port, control,
                 (struct mr_msg){.type = MR_MSG_CTL_REQUEST, .context = &request->ctl});
    return 0;
}

static void
on_replied(struct mr_request *request)
{
    if (request->ctl.failed) {
        mr_request_fail(request);
    } else {
        mr_request_answer(request, request->ctl.response);
    }
}

int
mr_control_start(struct mr_request *request)
{
    const struct mr_wire_api *wire = mr_wire_api_find(request->api->key);

    if (!request->state_of_handler) { /* else it is started again, for a credit */
        request->state_of_handler = mr_request_alloc(request, 1, wire->response->root->size);
    }
    if (!request->state_of_handler) {
        mr_request_fail(request);
        return 0;
    }
    mr_wire_init(wire->response, request->state_of_handler);
    return mr_request_ask_control(request, request->api->key, request->version, request->body,
                                  request->state_of_handler, on_replied);
}
