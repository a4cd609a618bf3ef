/* control/publish.c: snapshots to the shards, tombstones to their stores. */
#include <stdlib.h>

#include "control/loop.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/log.h"
#include "dataplane/shard/msg.h"

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
mr_publish_current(const struct mr_control *control)
{
    return oldest_epoch(control) >= mr_metadata_epoch(control->metadata);
}

struct deletion {
    struct mr_control *control;
    unsigned skip;
};

/* Sends one tombstone to its store; false: no more of them now. Those that could not be deleted
 * lately stand first and are passed over. */
static bool
delete_log(void *context, const struct mr_uuid *id, int32_t partition, uint16_t store)
{
    struct deletion *deletion = context;
    struct mr_control *control = deletion->control;
    unsigned shard = store % control->config.shard_count;
    struct mr_ctl_log *log;

    if (deletion->skip > 0) {
        deletion->skip--;
        return true;
    }
    if (control->logs_deleting == MR_CONTROL_LOGS_DELETING_MAX ||
        !mr_mesh_take(control->port, shard, MR_MESH_REQUEST)) {
        return false;
    }
    log = calloc(1, sizeof(*log));
    if (!log) {
        mr_mesh_give(control->port, shard, MR_MESH_REQUEST);
        return false;
    }
    *log = (struct mr_ctl_log){.topic_id = *id, .partition = partition, .store = store};
    control->logs_deleting++;
    mr_mesh_send(control->port, shard, (struct mr_msg){.type = MR_MSG_LOG_DELETE, .context = log});
    return true;
}

/* One batch at a time, and only topics that no shard can append to any more. Without leadership the
 * deletion could not be noted, and the same tombstones would be sent again without end. */
void
mr_tombstones_go(struct mr_control *control)
{
    struct deletion deletion = {control, control->logs_not_deleted};

    if (control->leads && control->logs_deleting == 0 && !control->logs_noting) {
        mr_metadata_tombstones(control->metadata, oldest_epoch(control), delete_log, &deletion);
    }
}

static void
tombstones_decided(struct mr_proposal *proposal, const struct mr_metadata_outcome *outcome)
{
    struct mr_control *control = proposal->slot;

    (void)outcome; /* if it was lost, the tombstones are there and are sent again */
    control->logs_noting = false;
}

/* The whole batch in one command. */
static void
note_deleted(struct mr_control *control)
{
    uint8_t command[16 + MR_CONTROL_LOGS_DELETING_MAX * 20];
    size_t size = mr_metadata_encode_logs_deleted(command, sizeof(command), control->logs_deleted,
                                                  control->logs_deleted_count);

    if (control->logs_deleted_count == 0) {
        return;
    }
    if (mr_propose(control, NULL, command, size, tombstones_decided, control) == 0) {
        control->logs_noting = true;
    } else {
        MR_LOG_WARN("control", "%u tombstones stay until the metadata log works again",
                    control->logs_deleted_count);
        control->logs_not_deleted += control->logs_deleted_count;
    }
    control->logs_deleted_count = 0;
}

void
mr_tombstone_done(struct mr_control *control, struct mr_ctl_log *log)
{
    control->logs_deleting--;
    if (log->error) {
        if (control->logs_not_deleted == 0) { /* one line speaks for all until the next second */
            MR_LOG_WARN("control", "a deleted partition's data stays in store %u for now: %s",
                        log->store, mr_kafka_err_text(log->error));
        }
        control->logs_not_deleted++;
    } else {
        control->logs_deleted[control->logs_deleted_count++] =
            (struct mr_metadata_log){log->topic_id, log->partition};
    }
    free(log);
    if (control->logs_deleting == 0) {
        note_deleted(control);
    }
}
