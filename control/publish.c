/* control/publish.c: snapshots to the shards, tombstones to their stores. */
#include <stdlib.h>

#include "control/loop.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/log.h"
#include "dataplane/shard/msg.h"

#define LOGS_DELETING_MAX 64u

/* ---- snapshots ------------------------------------------------------------------------------- */

static uint64_t
epoch_of(const struct mr_snapshot *snapshot)
{
    return snapshot ? snapshot->epoch : 0;
}

static void
send_snapshot(struct mr_control *control, unsigned shard, const struct mr_snapshot *snapshot)
{
    struct mr_control_shard *state = &control->shards[shard];

    if (state->sent || state->stopped || epoch_of(state->used) >= snapshot->epoch ||
        !mr_mesh_take(control->port, shard, MR_MESH_REQUEST)) {
        return;
    }
    state->sent = mr_metadata_snapshot(control->metadata);
    MR_ASSERT(state->sent == snapshot);
    mr_mesh_send(control->port, shard,
                 (struct mr_msg){.type = MR_MSG_SNAPSHOT,
                                 .context = (void *)(uintptr_t)snapshot}); /* read-only there */
}

/* The oldest epoch that a shard still uses. */
static uint64_t
oldest_epoch(const struct mr_control *control)
{
    uint64_t oldest = UINT64_MAX;

    for (unsigned i = 0; i < control->config.shard_count; i++) {
        uint64_t epoch = epoch_of(control->shards[i].used);

        if (control->shards[i].stopped) {
            continue; /* what waits for the others' is answered while they stop */
        }
        oldest = epoch < oldest ? epoch : oldest;
    }
    return oldest;
}

static void
answer_ops(struct mr_control *control)
{
    uint64_t oldest = oldest_epoch(control);

    MR_LIST_FOR_EACH(node, &control->waiting_ops)
    {
        struct mr_op *op = MR_CONTAINER_OF(node, struct mr_op, node);

        if (op->epoch <= oldest) {
            mr_list_remove(node);
            mr_ctl_reply(control, op->request, op->from);
            free(op);
        }
    }
}

/* When all have a snapshot they listen: one that listened earlier would send the others parts of
 * requests before they know any topic. */
static void
tell_serve(struct mr_control *control)
{
    for (unsigned i = 0; i < control->config.shard_count; i++) {
        struct mr_control_shard *state = &control->shards[i];

        if (!state->told_serve && mr_mesh_take(control->port, i, MR_MESH_REQUEST)) {
            state->told_serve = true;
            mr_mesh_send(control->port, i, (struct mr_msg){.type = MR_MSG_SERVE});
        }
    }
}

void
mr_publish(struct mr_control *control)
{
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);

    if (!snapshot) {
        return; /* no memory now; tried again in the next turn */
    }
    for (unsigned i = 0; i < control->config.shard_count; i++) {
        send_snapshot(control, i, snapshot);
    }
    mr_metadata_snapshot_release(snapshot);
    answer_ops(control);
    if (oldest_epoch(control) > 0 && !control->stopping) {
        tell_serve(control);
    }
}

void
mr_publish_acknowledged(struct mr_control *control, unsigned shard, uint64_t epoch)
{
    struct mr_control_shard *state = &control->shards[shard];

    MR_ASSERT(state->sent && state->sent->epoch == epoch);
    if (state->used) {
        mr_metadata_snapshot_release(state->used);
    }
    state->used = state->sent;
    state->sent = NULL;
}

void
mr_publish_served(struct mr_control *control, unsigned shard)
{
    bool all = true;

    control->shards[shard].serves = true;
    for (unsigned i = 0; i < control->config.shard_count; i++) {
        all &= control->shards[i].serves;
    }
    if (all) {
        control->ready(control->ready_context);
    }
}

/* ---- tombstones ------------------------------------------------------------------------------ */

bool
mr_publish_current(struct mr_control *control)
{
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(control->metadata);
    bool current = snapshot && oldest_epoch(control) >= snapshot->epoch;

    if (snapshot) {
        mr_metadata_snapshot_release(snapshot);
    }
    return current;
}

static void
delete_log(void *context, const struct mr_uuid *id, int32_t partition, uint16_t store)
{
    struct mr_control *control = context;
    unsigned shard = store % control->config.shard_count;
    struct mr_ctl_log *log;

    if (control->logs_deleting == LOGS_DELETING_MAX ||
        !mr_mesh_take(control->port, shard, MR_MESH_REQUEST)) {
        return;
    }
    log = calloc(1, sizeof(*log));
    if (!log) {
        mr_mesh_give(control->port, shard, MR_MESH_REQUEST);
        return;
    }
    *log = (struct mr_ctl_log){.topic_id = *id, .partition = partition, .store = store};
    control->logs_deleting++;
    mr_mesh_send(control->port, shard, (struct mr_msg){.type = MR_MSG_LOG_DELETE, .context = log});
}

/* One batch at a time, and only when no shard can still append to a deleted topic. Without
 * leadership the deletion could not be noted, and the same tombstones would be sent again without
 * end. */
void
mr_tombstones_go(struct mr_control *control)
{
    if (control->leads && control->logs_deleting == 0 && mr_list_empty(&control->proposals) &&
        mr_publish_current(control)) {
        mr_metadata_tombstones(control->metadata, delete_log, control);
    }
}

static void
tombstone_decided(struct mr_proposal *proposal, const struct mr_metadata_outcome *outcome)
{
    (void)proposal;
    (void)outcome; /* if it was lost, the tombstone is there and is sent again */
}

void
mr_tombstone_done(struct mr_control *control, struct mr_ctl_log *log)
{
    uint8_t command[64];

    control->logs_deleting--;
    if (log->error) {
        MR_LOG_WARN("control", "a deleted partition's data stays in store %u for now: %s",
                    log->store, mr_kafka_err_text(log->error));
    } else {
        size_t size = mr_metadata_encode_log_deleted(command, sizeof(command), &log->topic_id,
                                                     log->partition);

        if (mr_propose(control, NULL, command, size, tombstone_decided, NULL) != 0) {
            MR_LOG_WARN("control", "a tombstone stays until the metadata log works again");
        }
    }
    free(log);
}
