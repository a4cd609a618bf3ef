/* kafka/control.c: requests that the control thread answers.
 *
 * A coordinator may keep a request for minutes (JoinGroup). When its connection goes meanwhile, a
 * cancel follows it; the context is free when both the reply and the answer to that are there. */
#include <errno.h>
#include <stdio.h>

#include "dataplane/kafka/api.h"
#include "dataplane/kafka/conn.h"

static bool
take_credit(struct mr_request *request, enum mr_mesh_class class)
{
    struct mr_shard *shard = request->server->shard;

    return mr_mesh_take(shard->port, shard->shard_count,
                        class); /* the endpoint behind the shards */
}

/* The credit has been taken. */
static void
send_question(struct mr_request *request, int16_t api_key, int16_t api_version, const void *body,
              void *response, void (*on_control)(struct mr_request *request),
              enum mr_mesh_class class)
{
    struct mr_shard *shard = request->server->shard;

    request->ctl = (struct mr_ctl_request){
        .api_key = api_key,
        .api_version = api_version,
        .request = body,
        .response = response,
        .bump = &request->bump,
        .client_id = request->client_id.data,
        .client_id_size = request->client_id.size > 0 ? request->client_id.size : 0,
        .ring_class = (uint8_t) class,
        .awaited = 1,
    };
    if (request->conn) { /* else it has gone meanwhile */
        snprintf(request->ctl.client_host, sizeof(request->ctl.client_host), "/%.46s",
                 request->conn->host);
    }
    request->on_control = on_control;
    mr_mesh_send(shard->port, shard->shard_count,
                 (struct mr_msg){.type = MR_MSG_CTL_REQUEST, .context = &request->ctl});
}

static int
ask(struct mr_request *request, int16_t api_key, int16_t api_version, const void *body,
    void *response, void (*on_control)(struct mr_request *request), enum mr_mesh_class class)
{
    if (!take_credit(request, class)) {
        return -EAGAIN;
    }
    send_question(request, api_key, api_version, body, response, on_control, class);
    return 0;
}

bool
mr_request_take_control(struct mr_request *request)
{
    return take_credit(request, MR_MESH_REQUEST);
}

void
mr_request_give_control(struct mr_request *request)
{
    struct mr_shard *shard = request->server->shard;

    mr_mesh_give(shard->port, shard->shard_count, MR_MESH_REQUEST);
}

void
mr_request_ask_control_taken(struct mr_request *request, const void *body, void *response,
                             void (*on_control)(struct mr_request *request))
{
    send_question(request, request->api->key, request->version, body, response, on_control,
                  MR_MESH_REQUEST);
}

int
mr_request_ask_control(struct mr_request *request, int16_t api_key, int16_t api_version,
                       const void *body, void *response,
                       void (*on_control)(struct mr_request *request))
{
    return ask(request, api_key, api_version, body, response, on_control, MR_MESH_REQUEST);
}

/* The last message returns the credit, which has ring slots for a cancel as well, and frees the
 * context of a cancelled request. */
static void
message_came(struct mr_server *server, struct mr_ctl_request *ctl, unsigned from)
{
    struct mr_request *request = MR_CONTAINER_OF(ctl, struct mr_request, ctl);

    ctl->awaited--;
    if (ctl->awaited == 0) {
        mr_mesh_give(server->shard->port, from, ctl->ring_class);
        server->retry_conns = true;
    }
    if (ctl->awaited == 0 && ctl->cancelled) {
        mr_request_fail(request);
    } else if (ctl->awaited == 0) {
        request->on_control(request);
    }
}

void
mr_control_replied(struct mr_server *server, struct mr_ctl_request *ctl, unsigned from)
{
    message_came(server, ctl, from);
}

void
mr_control_cancelled(struct mr_server *server, struct mr_ctl_request *ctl, unsigned from)
{
    message_came(server, ctl, from);
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

static int
start(struct mr_request *request, enum mr_mesh_class class)
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
    return ask(request, request->api->key, request->version, request->body,
               request->state_of_handler, on_replied, class);
}

int
mr_control_start(struct mr_request *request)
{
    return start(request, MR_MESH_REQUEST);
}

int
mr_group_start(struct mr_request *request)
{
    return start(request, MR_MESH_GROUP);
}

void
mr_group_abort(struct mr_request *request)
{
    struct mr_shard *shard = request->server->shard;

    request->ctl.cancelled = true;
    request->ctl.awaited++;
    mr_mesh_send(shard->port, shard->shard_count,
                 (struct mr_msg){.type = MR_MSG_CTL_CANCEL, .context = &request->ctl});
}
