/* kafka/ctl_log.c: logs on behalf of the control thread: its deletions, appends and reads. */
#include "dataplane/kafka/ctl_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/kafka/topics.h"
#include "storage/log.h"

/* One message that has not been replied to; from the heap: the control thread has few under way. */
struct work {
    struct mr_server *server;
    unsigned from;
    struct mr_list node; /* in control_waiting */
    union {
        struct mr_ctl_log *log;
        struct mr_ctl_append *append;
        struct mr_ctl_read *read;
    } ask;
    union {
        struct mr_log_delete delete;
        struct mr_append append;
        struct mr_read read;
    } request;
    struct iovec iov;
};

static struct work *
work_begin(struct mr_server *server, unsigned from)
{
    struct work *work = calloc(1, sizeof(*work));

    if (work) {
        work->server = server;
        work->from = from;
        mr_list_init(&work->node);
        server->control_works++;
    }
    return work;
}

static void
work_end(struct work *work)
{
    if (work) {
        work->server->control_works--;
        free(work);
    }
}

static void
reply(struct mr_server *server, unsigned to, enum mr_msg_type type, void *context)
{
    mr_mesh_send(server->shard->port, to,
                 (struct mr_msg){.type = (uint16_t)type, .context = context});
}

/* ---- delete ---------------------------------------------------------------------------------- */

static void
on_deleted(struct mr_log_delete *request, enum mr_kafka_err error)
{
    struct work *work = MR_CONTAINER_OF(request, struct work, request.delete);

    work->ask.log->error = error;
    reply(work->server, work->from, MR_MSG_LOG_DELETE_REPLY, work->ask.log);
    work_end(work);
}

void
mr_ctl_log_delete(struct mr_server *server, struct mr_ctl_log *log, unsigned from)
{
    struct mr_store *store = mr_server_store(server, log->store);
    struct mr_log_id id = {log->topic_id, log->partition};
    struct work *work = work_begin(server, from);

    if (!store || !work) {
        log->error = MR_KAFKA_KAFKA_STORAGE_ERROR; /* the tombstone stays and is tried again */
        reply(server, from, MR_MSG_LOG_DELETE_REPLY, log);
        work_end(work);
        return;
    }
    work->ask.log = log;
    work->request.delete.done = on_deleted;
    mr_store_log_delete(store, &id, &work->request.delete);
}

/* ---- append ---------------------------------------------------------------------------------- */

static void
append_end(struct work *work, enum mr_kafka_err error)
{
    work->ask.append->error = error;
    work->ask.append->base_offset = work->request.append.base_offset;
    reply(work->server, work->from, MR_MSG_LOG_APPEND_REPLY, work->ask.append);
    work_end(work);
}

static void
on_appended(struct mr_append *append)
{
    struct work *work = MR_CONTAINER_OF(append, struct work, request.append);

    append_end(work, append->error);
}

static enum mr_kafka_err
validate(struct work *work)
{
    struct mr_batch_rules rules = {
        .size_max = MR_BATCH_SIZE_MAX,
        .segment_size_max = MR_BATCH_SIZE_MAX,
        .now_ms = mr_clock_wall_ms(work->server->shard->clock),
        .timestamp_before_ms = INT64_MAX,
        .timestamp_after_ms = INT64_MAX,
        .zstd_allowed = true,
    };
    struct mr_batch_refusal refusal;

    work->iov = (struct iovec){(void *)(uintptr_t)work->ask.append->batch, work->ask.append->size};
    return mr_batch_validate(&work->iov, 1, work->ask.append->size, &rules, work->server->scratch,
                             &work->request.append.batch, &refusal);
}

/* False: there is no room now. */
static bool
append_try(struct work *work)
{
    struct mr_server *server = work->server;
    struct mr_log_id id = {work->ask.append->topic_id, work->ask.append->partition};
    const struct mr_snapshot_topic *topic;
    struct mr_store *store = mr_topic_store(server, &id, &topic);
    struct mr_log *log = store ? mr_store_log_make(store, &id) : NULL;
    enum mr_kafka_err error;

    if (!log) {
        append_end(work,
                   store ? MR_KAFKA_KAFKA_STORAGE_ERROR : MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
        return true;
    }
    error = validate(work);
    if (error) {
        append_end(work, error);
        return true;
    }
    work->request.append.leader_epoch =
        mr_snapshot_leader_epoch(server->snapshot, topic, id.partition);
    work->request.append.done = on_appended;
    return mr_log_append(log, &work->request.append) != -EAGAIN;
}

void
mr_ctl_log_append(struct mr_server *server, struct mr_ctl_append *append, unsigned from)
{
    struct work *work = work_begin(server, from);

    append->base_offset = -1;
    if (!work) {
        append->error = MR_KAFKA_KAFKA_STORAGE_ERROR;
        reply(server, from, MR_MSG_LOG_APPEND_REPLY, append);
        return;
    }
    work->ask.append = append;
    work->request.append.base_offset = -1;
    if (!mr_list_empty(&server->control_waiting) || !append_try(work)) {
        mr_list_push_back(&server->control_waiting, &work->node);
    }
}

void
mr_ctl_log_retry(struct mr_server *server)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(&server->control_waiting))) {
        struct work *work = MR_CONTAINER_OF(node, struct work, node);

        if (!append_try(work)) {
            mr_list_push_front(&server->control_waiting, node);
            return;
        }
    }
}

/* ---- read ------------------------------------------------------------------------------------ */

static void
read_end(struct work *work)
{
    struct mr_ctl_read *ask = work->ask.read;
    const struct mr_read *read = &work->request.read;
    uint8_t *to = ask->data;

    ask->error = read->error;
    ask->size = read->size;
    ask->start = read->offsets.start;
    ask->end = read->offsets.high_watermark;
    for (unsigned i = 0; read->size <= ask->capacity && i < read->iov_count; i++) {
        memcpy(to, read->iov[i].iov_base, read->iov[i].iov_len); /* the slices are the store's */
        to += read->iov[i].iov_len;
    }
}

static void
on_read(struct mr_read *read)
{
    struct work *work = MR_CONTAINER_OF(read, struct work, request.read);
    struct mr_store *store = mr_server_store(work->server, work->ask.read->store);

    read_end(work);
    mr_log_read_release(store, read);
    reply(work->server, work->from, MR_MSG_LOG_READ_REPLY, work->ask.read);
    work_end(work);
}

void
mr_ctl_log_read(struct mr_server *server, struct mr_ctl_read *ask, unsigned from)
{
    struct mr_store *store = mr_server_store(server, ask->store);
    struct mr_log_id id = {ask->topic_id, ask->partition};
    struct mr_log *log = store ? mr_store_log_find(store, &id) : NULL;
    struct work *work = log ? work_begin(server, from) : NULL;
    int result;

    ask->size = 0;
    ask->start = 0;
    ask->end = 0;
    ask->error = store ? MR_KAFKA_NONE : MR_KAFKA_KAFKA_STORAGE_ERROR;
    if (!log) { /* a log without a record has not been made */
        reply(server, from, MR_MSG_LOG_READ_REPLY, ask);
        return;
    }
    if (!work) {
        ask->error = MR_KAFKA_REQUEST_TIMED_OUT;
        reply(server, from, MR_MSG_LOG_READ_REPLY, ask);
        return;
    }
    work->ask.read = ask;
    work->request.read.done = on_read;
    work->request.read.offset = ask->offset;
    work->request.read.bytes_max = ask->capacity;
    work->request.read.one_at_least = true;
    result = mr_log_read(log, &work->request.read);
    if (result == -EAGAIN) {
        ask->error = MR_KAFKA_REQUEST_TIMED_OUT;
        reply(server, from, MR_MSG_LOG_READ_REPLY, ask);
        work_end(work);
    } else if (result == 1) {
        on_read(&work->request.read);
    }
}
