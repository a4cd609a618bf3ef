/* control/api_producers.c: InitProducerId (key 22) for idempotent producers.
 *
 * Ids are handed out from blocks that the metadata log has reserved, so that none is given twice,
 * whatever happens. Transactions are not served yet. */
#include "control/loop.h"

#define PRODUCER_BLOCK 1000u

static void serve(struct mr_control *control);

static void
answer(struct mr_control *control, struct mr_op *op)
{
    struct mr_init_producer_id_response *response = op->request->response;

    response->producer_id = control->producer_next++;
    response->producer_epoch = 0;
    mr_op_go(op);
}

static void
on_block(struct mr_proposal *proposal, const struct mr_metadata_outcome *outcome)
{
    struct mr_control *control = proposal->slot;
    struct mr_list *node;

    control->producer_asked = false;
    if (outcome->error == MR_KAFKA_NONE) {
        control->producer_next = outcome->first_producer_id;
        control->producer_end = outcome->first_producer_id + PRODUCER_BLOCK;
        serve(control);
        return;
    }
    while ((node = mr_list_pop_front(&control->producer_ops))) {
        struct mr_op *op = MR_CONTAINER_OF(node, struct mr_op, node);
        struct mr_init_producer_id_response *response = op->request->response;

        response->error_code = MR_KAFKA_COORDINATOR_NOT_AVAILABLE; /* retriable */
        mr_op_go(op);
    }
}

static void
serve(struct mr_control *control)
{
    uint8_t command[32];
    struct mr_list *node;

    while (control->producer_next < control->producer_end &&
           (node = mr_list_pop_front(&control->producer_ops))) {
        answer(control, MR_CONTAINER_OF(node, struct mr_op, node));
    }
    if (mr_list_empty(&control->producer_ops) || control->producer_asked) {
        return;
    }
    control->producer_asked = true;
    if (mr_propose(control, NULL, command,
                   mr_metadata_encode_producer_ids(command, sizeof(command), PRODUCER_BLOCK),
                   on_block, control) != 0) {
        struct mr_proposal lost = {.slot = control};
        struct mr_metadata_outcome outcome = {.error = MR_KAFKA_NOT_CONTROLLER};

        on_block(&lost, &outcome);
    }
}

void
mr_api_init_producer_id(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_init_producer_id_request *body = request->request;
    struct mr_init_producer_id_response *response = request->response;
    struct mr_op *op;

    response->producer_id = -1;
    response->producer_epoch = -1;
    if (body->transactional_id.size == 0 ||
        (body->producer_id >= 0) != (body->producer_epoch >= 0)) {
        response->error_code = MR_KAFKA_INVALID_REQUEST;
        mr_ctl_reply(control, request, from);
        return;
    }
    if (body->transactional_id.size > 0) {
        response->error_code = MR_KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        mr_ctl_reply(control, request, from);
        return;
    }
    op = mr_op_begin(control, request, from);
    if (op) {
        mr_list_push_back(&control->producer_ops, &op->node);
        serve(control);
    }
}
