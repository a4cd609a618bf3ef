/* control/loop.c: the control thread's loop, messages, proposals.
 *
 * Before libuv sleeps the thread announces it to the mesh; a peer's wake-up arrives as a completion
 * on the thread's io_uring, whose eventfd libuv watches. */
#include "control/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/admin.h"
#include "control/api.h"
#include "control/coordinator.h"
#include "control/metalog_local.h"
#include "control/statelog.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/log.h"
#include "dataplane/shard/msg.h"

#define RING_ENTRIES         64u
#define MESSAGES_PER_TURN    256u
#define COMPLETIONS_PER_TURN 256u
#define HOUSEKEEPING_MS      1000u
#define GROWTH_BYTES_PER_S   (512ull << 20) /* of zeros, so that appends have the device, too */

/* ---- requests and proposals ------------------------------------------------------------------ */

void
mr_ctl_reply(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    mr_mesh_send(control->port, from,
                 (struct mr_msg){.type = MR_MSG_CTL_REPLY, .context = request});
}

void
mr_ctl_fail(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    request->failed = true;
    mr_ctl_reply(control, request, from);
}

void *
mr_ctl_array(struct mr_ctl_request *request, int64_t count, size_t size)
{
    return mr_bump_array(request->bump, count > 0 ? (size_t)count : 0, size);
}

struct mr_str
mr_ctl_text(struct mr_ctl_request *request, const char *format, ...)
{
    char text[512];
    char *copy;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    copy = mr_bump_alloc(request->bump, strlen(text) + 1);
    if (!copy) {
        return mr_str_null();
    }
    memcpy(copy, text, strlen(text) + 1);
    return mr_str_from_c(copy);
}

struct mr_op *
mr_op_begin(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    struct mr_op *op = calloc(1, sizeof(*op));

    if (!op) {
        mr_ctl_fail(control, request, from);
        return NULL;
    }
    op->control = control;
    op->request = request;
    op->from = from;
    op->commands_left = 1; /* until mr_op_go() */
    mr_list_init(&op->node);
    return op;
}

static void
op_command_done(struct mr_op *op)
{
    struct mr_control *control = op->control;

    op->commands_left--;
    if (op->commands_left > 0) {
        return;
    }
    op->epoch = mr_metadata_epoch(control->metadata);
    mr_list_push_back(&control->waiting_ops, &op->node);
}

void
mr_op_go(struct mr_op *op)
{
    op_command_done(op);
}

enum mr_kafka_err
mr_propose(struct mr_control *control, struct mr_op *op, const uint8_t *command, size_t size,
           void (*decided)(struct mr_proposal *proposal, const struct mr_metadata_outcome *outcome),
           void *slot)
{
    struct mr_proposal *proposal;
    int error;

    if (size == 0) {
        return MR_KAFKA_INVALID_REQUEST; /* larger than a command may be */
    }
    if (!control->leads) {
        return MR_KAFKA_NOT_CONTROLLER;
    }
    proposal = calloc(1, sizeof(*proposal));
    if (!proposal) {
        return MR_KAFKA_UNKNOWN_SERVER_ERROR;
    }
    proposal->op = op;
    proposal->decided = decided;
    proposal->slot = slot;
    proposal->token = ++control->last_token;
    error = mr_metalog_append(control->metalog, command, size, proposal->token);
    if (error) {
        free(proposal);
        if (op) {
            op->log_full = error == -EAGAIN;
        }
        return mr_kafka_err_from_errno(error);
    }
    mr_list_push_back(&control->proposals, &proposal->node);
    if (op) {
        op->commands_left++;
    }
    return MR_KAFKA_NONE;
}

bool
mr_partitions_fit(const struct mr_control *control, uint32_t count)
{
    int64_t max = mr_config_long(control->config.config, "partitions.max");

    return (int64_t)mr_metadata_partitions(control->metadata) + control->partitions_proposed +
               count <=
           max;
}

void
mr_partitions_proposed(struct mr_control *control, uint32_t count)
{
    MR_CONTAINER_OF(control->proposals.prev, struct mr_proposal, node)->partitions = count;
    control->partitions_proposed += count;
}

static void
proposal_decided(struct mr_control *control, struct mr_proposal *proposal,
                 const struct mr_metadata_outcome *outcome)
{
    mr_list_remove(&proposal->node);
    control->partitions_proposed -= proposal->partitions;
    proposal->decided(proposal, outcome);
    if (proposal->op) {
        op_command_done(proposal->op);
    }
    free(proposal);
}

/* NULL: it has been given up. Commands are decided nearly in the order of their proposals. */
static struct mr_proposal *
find_proposal(struct mr_control *control, uint64_t token)
{
    MR_LIST_FOR_EACH(node, &control->proposals)
    {
        struct mr_proposal *proposal = MR_CONTAINER_OF(node, struct mr_proposal, node);

        if (proposal->token == token) {
            return proposal;
        }
    }
    return NULL;
}

/* Whatever was proposed and is not decided will not be heard of again. */
static void
drop_proposals(struct mr_control *control)
{
    static const struct mr_metadata_outcome lost = {.error = MR_KAFKA_REQUEST_TIMED_OUT,
                                                    .first_producer_id = -1};

    while (!mr_list_empty(&control->proposals)) {
        proposal_decided(control,
                         MR_CONTAINER_OF(control->proposals.next, struct mr_proposal, node), &lost);
    }
}

/* ---- the metadata log ------------------------------------------------------------------------ */

static void
on_committed(void *context, uint64_t index, const uint8_t *command, size_t size, uint64_t token)
{
    struct mr_control *control = context;
    struct mr_metadata_outcome outcome;
    int error = mr_metadata_apply(control->metadata, command, size, &outcome);
    struct mr_proposal *proposal = token ? find_proposal(control, token) : NULL;

    control->applied_index = index;
    if (error) {
        MR_LOG_ERROR("control", "metadata command %llu cannot be applied: %s",
                     (unsigned long long)index, strerror(-error));
        outcome.error = MR_KAFKA_UNKNOWN_SERVER_ERROR;
    }
    if (proposal) {
        proposal_decided(control, proposal, &outcome);
    }
}

static void
on_restore(void *context, uint64_t index, const uint8_t *snapshot, size_t size)
{
    struct mr_control *control = context;
    int error = mr_metadata_load(control->metadata, snapshot, size);

    control->applied_index = index;
    if (error) {
        MR_LOG_ERROR("control", "the metadata snapshot cannot be read: %s", strerror(-error));
        control->metalog_failed = true;
    }
}

static void
on_leading(void *context, bool leads)
{
    struct mr_control *control = context;

    control->leads = leads;
    if (!leads) {
        drop_proposals(control);
    }
}

static void
on_dropped(void *context, uint64_t token)
{
    static const struct mr_metadata_outcome dropped = {.error = MR_KAFKA_REQUEST_TIMED_OUT,
                                                       .first_producer_id = -1};
    struct mr_proposal *proposal = find_proposal(context, token);

    if (proposal) {
        proposal_decided(context, proposal, &dropped);
    }
}

static void
on_metalog_failed(void *context, int error)
{
    struct mr_control *control = context;

    MR_LOG_ERROR("control", "the metadata log has failed: %s; topics cannot change any more",
                 strerror(-error));
    control->metalog_failed = true;
    control->leads = false;
    drop_proposals(control);
}

static const struct mr_metalog_events metalog_events = {
    .committed = on_committed,
    .restore = on_restore,
    .leading = on_leading,
    .dropped = on_dropped,
    .failed = on_metalog_failed,
};

/* ---- saving the state ------------------------------------------------------------------------ */

/* A worker makes bytes of the state while commands go on. */
struct save_work {
    uv_work_t work;
    struct mr_control *control;
    struct mr_metadata_image *image;
    uint8_t *state;
    size_t size;
};

static void
save_on_worker(uv_work_t *work)
{
    struct save_work *save = MR_CONTAINER_OF(work, struct save_work, work);

    save->state = mr_metadata_image_save(save->image, &save->size);
}

static void
save_done(uv_work_t *work, int status)
{
    struct save_work *save = MR_CONTAINER_OF(work, struct save_work, work);
    int error = mr_metalog_snapshot_end(save->control->metalog, save->state, save->size);

    (void)status; /* nothing cancels it */
    if (error) {
        MR_LOG_ERROR("control", "the metadata cannot be saved: %s", strerror(-error));
    }
    mr_metadata_image_release(save->image);
    free(save);
}

/* At half full the log is replaced by a snapshot of the state. */
static void
trim_metalog(struct mr_control *control)
{
    struct save_work *save;
    uint64_t used;
    uint64_t size;

    mr_metalog_fill(control->metalog, &used, &size);
    if (used * 2 < size || mr_metalog_snapshot_begin(control->metalog, control->applied_index)) {
        return;
    }
    save = calloc(1, sizeof(*save));
    if (save) {
        save->control = control;
        save->image = mr_metadata_image_take(control->metadata);
    }
    if (!save || !save->image) {
        mr_metalog_snapshot_end(control->metalog, NULL, 0);
        free(save);
        return;
    }
    uv_queue_work(&control->loop, &save->work, save_on_worker, save_done);
}

/* ---- growth of store files ------------------------------------------------------------------- */

struct grow_work {
    uv_work_t work;
    struct mr_control *control;
    struct mr_ctl_grow *grow;
    unsigned from;
    uint64_t size_bytes;
};

static void
grow_on_worker(uv_work_t *work)
{
    struct grow_work *grow = MR_CONTAINER_OF(work, struct grow_work, work);
    const struct mr_control_store *store = &grow->control->stores[grow->grow->store];

    grow->grow->error = mr_dev_file_prepare(store->path, grow->size_bytes, GROWTH_BYTES_PER_S);
}

static void
grow_done(uv_work_t *work, int status)
{
    struct grow_work *grow = MR_CONTAINER_OF(work, struct grow_work, work);
    struct mr_control_store *store = &grow->control->stores[grow->grow->store];

    store->growing = false;
    if (status) {
        grow->grow->error = -ECANCELED;
    }
    if (grow->grow->error == 0) {
        store->size_bytes = grow->size_bytes;
        MR_LOG_INFO("control", "store %u is now %llu MiB", grow->grow->store,
                    (unsigned long long)(grow->size_bytes >> 20));
    } else {
        MR_LOG_WARN("control", "store %u cannot grow: %s", grow->grow->store,
                    strerror(-grow->grow->error));
    }
    grow->grow->size_bytes = store->size_bytes;
    mr_mesh_send(grow->control->port, grow->from,
                 (struct mr_msg){.type = MR_MSG_STORE_GROW_REPLY, .context = grow->grow});
    free(grow);
}

static void
grow_store(struct mr_control *control, struct mr_ctl_grow *request, unsigned from)
{
    struct mr_control_store *store = &control->stores[request->store];
    struct grow_work *grow = calloc(1, sizeof(*grow));
    bool fixed = control->config.growth_bytes == 0 || store->device;

    if (!grow || fixed || store->growing) {
        request->error = fixed ? -ENOSPC : -ENOMEM;
        free(grow);
        mr_mesh_send(control->port, from,
                     (struct mr_msg){.type = MR_MSG_STORE_GROW_REPLY, .context = request});
        return;
    }
    store->growing = true;
    grow->control = control;
    grow->grow = request;
    grow->from = from;
    grow->size_bytes = store->size_bytes + control->config.growth_bytes;
    uv_queue_work(&control->loop, &grow->work, grow_on_worker, grow_done);
}

/* ---- starting and stopping ------------------------------------------------------------------- */

/* Coordinators' appends may have every credit of a shard: it is told in a later turn, when one has
 * come back. */
static void
tell_shards(struct mr_control *control)
{
    for (unsigned i = 0; i < control->config.shard_count; i++) {
        if (!control->shards[i].told && mr_mesh_take(control->port, i, MR_MESH_REQUEST)) {
            control->shards[i].told = true;
            mr_mesh_send(control->port, i, (struct mr_msg){.type = MR_MSG_STOP});
        }
    }
}

static void
stop_shards(struct mr_control *control)
{
    control->stopping = true;
    tell_shards(control);
}

static void
shard_stopped(struct mr_control *control, unsigned shard)
{
    bool all = true;

    control->shards[shard].stopped = true;
    for (unsigned i = 0; i < control->config.shard_count; i++) {
        all &= control->shards[i].stopped;
    }
    if (all) {
        uv_stop(&control->loop);
    }
}

static void
shard_quiet(struct mr_control *control, unsigned shard)
{
    control->shards[shard].quiet = true;
    for (unsigned i = 0; i < control->config.shard_count; i++) {
        if (!control->shards[i].quiet && !control->shards[i].stopped) {
            return;
        }
    }
    for (unsigned i = 0; i < control->config.shard_count; i++) {
        if (!control->shards[i].stopped) {
            mr_mesh_send(control->port, i, (struct mr_msg){.type = MR_MSG_END});
        }
    }
}

static void
unclean_decided(struct mr_proposal *proposal, const struct mr_metadata_outcome *outcome)
{
    struct mr_control *control = proposal->slot;

    if (outcome->error) {
        MR_LOG_ERROR("control", "the leader epochs cannot be raised: %s",
                     mr_kafka_err_text(outcome->error));
        control->status = 1;
        stop_shards(control);
        return;
    }
    control->serving = true;
}

/* Every shard has opened its stores: leader epochs rise if one was not closed cleanly, and then the
 * shards get their first snapshot; when all have it, they listen. */
static void
shards_ready(struct mr_control *control)
{
    uint8_t command[16];
    size_t size = mr_metadata_encode_unclean_start(command, sizeof(command));

    if (!control->unclean) {
        control->serving = true;
    } else if (mr_propose(control, NULL, command, size, unclean_decided, control) != 0) {
        control->status = 1;
        stop_shards(control);
    }
}

static void
shard_ready(struct mr_control *control, const struct mr_msg *message)
{
    bool all = true;

    control->shards[message->from].ready = true;
    control->unclean |= message->arguments[0] != 0;
    if (message->value != 0) {
        control->status = 1; /* it has said why */
        control->shards[message->from].stopped = true;
    }
    for (unsigned i = 0; i < control->config.shard_count; i++) {
        all &= control->shards[i].ready;
    }
    if (!all) {
        return;
    }
    if (control->status == 0) {
        shards_ready(control);
        return;
    }
    for (unsigned i = 0; i < control->config.shard_count; i++) {
        if (!control->shards[i].stopped) {
            stop_shards(control);
            return;
        }
    }
    uv_stop(&control->loop);
}

static void
on_signal(uv_signal_t *signal, int number)
{
    struct mr_control *control = signal->data;

    MR_LOG_INFO("control", "stopping on signal %d", number);
    stop_shards(control);
}

/* ---- messages -------------------------------------------------------------------------------- */

static void
on_message(void *context, const struct mr_msg *message)
{
    struct mr_control *control = context;

    switch ((enum mr_msg_type)message->type) {
    case MR_MSG_CTL_REQUEST:
        mr_api_handle(control, message->context, message->from);
        break;
    case MR_MSG_CTL_CANCEL:
        mr_api_groups_cancel(control, message->context, message->from);
        mr_mesh_send(control->port, message->from,
                     (struct mr_msg){.type = MR_MSG_CTL_CANCELLED, .context = message->context});
        break;
    case MR_MSG_LOG_APPEND_REPLY:
        mr_mesh_give(control->port, message->from, MR_MESH_REQUEST);
        mr_statelog_append_replied(message->context);
        break;
    case MR_MSG_LOG_READ_REPLY:
        mr_mesh_give(control->port, message->from, MR_MESH_REQUEST);
        mr_statelog_read_replied(message->context);
        break;
    case MR_MSG_METRICS_REPLY:
        mr_mesh_give(control->port, message->from, MR_MESH_REQUEST);
        mr_admin_replied(control->admin, message->from);
        break;
    case MR_MSG_SNAPSHOT_ACK:
        mr_mesh_give(control->port, message->from, MR_MESH_REQUEST);
        mr_publish_acknowledged(control, message->from, message->arguments[0]);
        break;
    case MR_MSG_LOG_DELETE_REPLY:
        mr_mesh_give(control->port, message->from, MR_MESH_REQUEST);
        mr_tombstone_done(control, message->context);
        break;
    case MR_MSG_STORE_GROW:
        grow_store(control, message->context, message->from);
        break;
    case MR_MSG_SHARD_READY:
        shard_ready(control, message);
        break;
    case MR_MSG_SERVE_REPLY:
        mr_mesh_give(control->port, message->from, MR_MESH_REQUEST);
        if (message->value == 0) {
            mr_publish_served(control, message->from);
        } else {
            control->status = 1; /* the shard has said why */
            stop_shards(control);
        }
        break;
    case MR_MSG_QUIET:
        shard_quiet(control, message->from);
        break;
    case MR_MSG_STOP_REPLY:
        mr_mesh_give(control->port, message->from, MR_MESH_REQUEST);
        shard_stopped(control, message->from);
        break;
    default:
        MR_ASSERT(!"a message that no shard sends to the control thread");
        break;
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void
on_event_fd(uv_poll_t *poll, int status, int events)
{
    struct mr_control *control = poll->data;
    uint64_t count;

    (void)status;
    (void)events;
    if (read(control->event_fd, &count, sizeof(count)) < 0) {
        return; /* nothing to take: woken for nothing */
    }
}

static void
on_idle(uv_idle_t *idle)
{
    (void)idle; /* its being active keeps libuv from sleeping */
}

static void
on_check(uv_check_t *check)
{
    struct mr_control *control = check->data;

    mr_mesh_port_awake(control->port);
    mr_uring_reap(&control->uring, COMPLETIONS_PER_TURN);
    mr_mesh_poll(control->port, MESSAGES_PER_TURN, on_message, control);
    trim_metalog(control);
}

static void
on_prepare(uv_prepare_t *prepare)
{
    struct mr_control *control = prepare->data;

    if (control->stopping) {
        tell_shards(control);
    }
    if (control->serving) {
        mr_publish(control);
        if (!control->stopping) {
            mr_tombstones_go(control);
        }
        mr_coordinator_turn(control->coordinator, mr_publish_current(control));
        if (control->admin) {
            mr_admin_turn(control->admin);
        }
    }
    mr_mesh_flush(control->port);
    mr_uring_submit(&control->uring);
    if (mr_mesh_port_sleep(control->port)) {
        uv_idle_stop(&control->idle);
    } else {
        uv_idle_start(&control->idle, on_idle);
    }
}

static void
on_housekeeping(uv_timer_t *timer)
{
    struct mr_control *control = timer->data;

    control->logs_not_deleted = 0;
    if (control->admin) {
        mr_admin_tick(control->admin);
    }
}

static void
start_handles(struct mr_control *control)
{
    static const int numbers[] = {SIGTERM, SIGINT};

    control->poll.data = control;
    control->prepare.data = control;
    control->check.data = control;
    control->idle.data = control;
    control->timer.data = control;
    uv_loop_init(&control->loop);
    uv_poll_init(&control->loop, &control->poll, control->event_fd);
    uv_prepare_init(&control->loop, &control->prepare);
    uv_check_init(&control->loop, &control->check);
    uv_idle_init(&control->loop, &control->idle);
    uv_timer_init(&control->loop, &control->timer);
    uv_poll_start(&control->poll, UV_READABLE, on_event_fd);
    uv_prepare_start(&control->prepare, on_prepare);
    uv_check_start(&control->check, on_check);
    uv_timer_start(&control->timer, on_housekeeping, HOUSEKEEPING_MS, HOUSEKEEPING_MS);
    mr_coordinator_start(control->coordinator);
    if (control->admin) {
        mr_admin_start(control->admin);
    }
    for (unsigned i = 0; i < 2; i++) {
        control->signals[i].data = control;
        uv_signal_init(&control->loop, &control->signals[i]);
        uv_signal_start(&control->signals[i], on_signal, numbers[i]);
    }
}

static void
close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

int
mr_control_run(struct mr_control *control, void (*ready)(void *context), void *context)
{
    control->ready = ready;
    control->ready_context = context;
    start_handles(control);
    uv_run(&control->loop, UV_RUN_DEFAULT);
    uv_walk(&control->loop, close_handle, NULL);
    uv_run(&control->loop, UV_RUN_DEFAULT);
    uv_loop_close(&control->loop);
    return control->status;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
new_cluster_decided(struct mr_proposal *proposal, const struct mr_metadata_outcome *outcome)
{
    (void)proposal;
    (void)outcome; /* mr_metadata_has_cluster() tells */
}

/* A new metadata log begins with a cluster id. */
static int
make_cluster(struct mr_control *control)
{
    struct mr_uuid id = mr_uuid_random();
    uint8_t command[32];
    size_t size = mr_metadata_encode_cluster(command, sizeof(command), &id);

    if (mr_propose(control, NULL, command, size, new_cluster_decided, NULL) != 0) {
        return -EIO;
    }
    while (!mr_metadata_has_cluster(control->metadata) && !control->metalog_failed) {
        mr_uring_wait(&control->uring, MR_NS_PER_S);
        mr_uring_reap(&control->uring, COMPLETIONS_PER_TURN);
    }
    return control->metalog_failed ? -EIO : 0;
}

static int
open_device(struct mr_control *control, struct mr_dev **out)
{
    const char *path = control->config.metadata_path;
    struct mr_dev *dev;
    int error;

    if (access(path, F_OK) != 0) {
        control->is_new = true;
        error = mr_dev_file_prepare(path, MR_METALOG_DEVICE_BYTES, 0);
        if (error) {
            return error;
        }
    }
    error = mr_dev_uring_open(path, &control->uring, &dev);
    if (!error && control->config.dev_volatile) {
        error = mr_dev_volatile_open(dev, &dev);
    }
    if (!error && control->is_new) {
        error = mr_metalog_local_format(dev);
    }
    *out = dev;
    return error;
}

static int
open_local_metalog(struct mr_control *control, const struct mr_metalog_events *events,
                   char *error_text, size_t error_size)
{
    char reason[256] = "";
    struct mr_dev *dev;
    int error = open_device(control, &dev);

    if (error == -EWOULDBLOCK) {
        snprintf(error_text, error_size, "%s is in use by another broker; stop it first",
                 control->config.metadata_path);
        return error;
    }
    if (!error) {
        error = mr_metalog_local_open(dev, events, &control->metalog, reason, sizeof(reason));
    }
    if (error == -ENODATA) { /* a crash between making the file and formatting it */
        control->is_new = true;
        error = mr_dev_uring_open(control->config.metadata_path, &control->uring, &dev);
        if (!error && control->config.dev_volatile) {
            error = mr_dev_volatile_open(dev, &dev);
        }
        error = error ? error : mr_metalog_local_format(dev);
        error = error
                    ? error
                    : mr_metalog_local_open(dev, events, &control->metalog, reason, sizeof(reason));
    }
    if (!error && control->metalog_failed) {
        error = -EUCLEAN;
    }
    if (error) {
        snprintf(error_text, error_size, "%s: %s (%s)", control->config.metadata_path,
                 reason[0] ? reason : "cannot be opened", strerror(-error));
    }
    return error;
}

static int
open_metalog(struct mr_control *control, char *error_text, size_t error_size)
{
    const struct mr_control_config *config = &control->config;
    struct mr_metalog_events events = metalog_events;

    events.context = control;
    if (config->open_metalog) {
        return config->open_metalog(config->open_context, &control->uring, &events,
                                    &control->metalog);
    }
    return open_local_metalog(control, &events, error_text, error_size);
}

/* Several brokers of one machine may be started with the default address: only the first has it. An
 * address that was asked for must be had. */
static int
open_admin(struct mr_control *control, char *error_text, size_t error_size)
{
    const char *listen = mr_config_get(control->config.config, "admin.listen");
    int error;

    if (!listen || !listen[0]) {
        return 0;
    }
    error = mr_admin_create(control, listen, &control->admin, error_text, error_size);
    if (error == -EADDRINUSE && !mr_config_origin(control->config.config, "admin.listen")) {
        MR_LOG_WARN("control", "no admin server: %s", error_text);
        return 0;
    }
    return error;
}

int
mr_control_create(const struct mr_control_config *config, struct mr_control **out, char *error_text,
                  size_t error_size)
{
    struct mr_control *control = calloc(1, sizeof(*control));
    int error = -ENOMEM;

    snprintf(error_text, error_size, "no memory for the control thread");
    if (!control) {
        return error;
    }
    control->config = *config;
    control->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    mr_list_init(&control->proposals);
    mr_list_init(&control->waiting_ops);
    mr_list_init(&control->producer_ops);
    mr_topic_defaults(config->config, &control->defaults);
    control->metadata = mr_metadata_create(config->node_id, &control->defaults);
    control->shards = calloc(config->shard_count, sizeof(*control->shards));
    control->coordinator = mr_coordinator_create(control);
    if (control->metadata && control->shards && control->coordinator && control->event_fd >= 0) {
        error = mr_uring_init_eventfd(&control->uring, RING_ENTRIES, control->event_fd);
    }
    if (!error) {
        mr_uring_place_workers(&control->uring, config->worker_cpus, config->worker_cpu_count);
        error = open_metalog(control, error_text, error_size);
    }
    if (!error && !mr_metadata_has_cluster(control->metadata)) {
        control->is_new = true;
        error = make_cluster(control);
    }
    if (!error) {
        error = open_admin(control, error_text, error_size);
    }
    if (error) {
        mr_control_destroy(control);
        return error;
    }
    *out = control;
    return 0;
}

bool
mr_control_is_new(const struct mr_control *control)
{
    return control->is_new;
}

bool
mr_control_is_unused(const struct mr_control *control)
{
    return mr_metadata_is_unused(control->metadata);
}

struct mr_uuid
mr_control_cluster_id(const struct mr_control *control)
{
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    struct mr_uuid id = {{0}};

    if (snapshot) {
        id = snapshot->cluster_id;
        mr_metadata_snapshot_release(snapshot);
    }
    return id;
}

void
mr_control_attach(struct mr_control *control, struct mr_mesh_port *port,
                  struct mr_control_store *stores, unsigned store_count)
{
    control->port = port;
    control->stores = stores;
    control->store_count = store_count;
    mr_mesh_port_bind(port, &control->uring);
}

static void
release_snapshots(struct mr_control *control)
{
    for (unsigned i = 0; control->shards && i < control->config.shard_count; i++) {
        if (control->shards[i].used) {
            mr_metadata_snapshot_release(control->shards[i].used);
        }
        if (control->shards[i].sent) {
            mr_metadata_snapshot_release(control->shards[i].sent);
        }
    }
}

static void
free_list(struct mr_list *list)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(list))) {
        free(MR_CONTAINER_OF(node, struct mr_op, node));
    }
}

void
mr_control_destroy(struct mr_control *control)
{
    struct mr_list *node;

    if (!control) {
        return;
    }
    mr_metalog_close(control->metalog);
    while ((node = mr_list_pop_front(&control->proposals))) {
        free(MR_CONTAINER_OF(node, struct mr_proposal, node));
    }
    free_list(&control->waiting_ops);
    free_list(&control->producer_ops);
    mr_admin_destroy(control->admin);
    mr_coordinator_destroy(control->coordinator);
    release_snapshots(control);
    mr_metadata_destroy(control->metadata);
    if (control->uring.ring.ring_fd > 0) {
        mr_uring_close(&control->uring);
    }
    if (control->event_fd >= 0) {
        close(control->event_fd);
    }
    free(control->shards);
    free(control);
}
