/* control/statelog.c: reading and appending the partitions of an internal topic. */
#include "control/statelog.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/log.h"
#include "dataplane/shard/msg.h"
#include "storage/crc32c.h"

#define READ_BYTES      (256u * 1024)
#define CRC_COVERS_FROM 21u /* attributes to the end */
#define CRC_AT          17u
#define VARINT_MAX      10u

enum partition_state {
    LOADING,
    LOADED,
    FAILED,
};

struct partition {
    enum partition_state state;
    uint16_t store;
};

/* A partition that is being read. */
struct loader {
    struct mr_ctl_read read;
    struct mr_statelog *log;
    int32_t partition;
    uint32_t instance; /* of the topic: an older one's reads end unheard */
    bool under_way;
};

/* An append that has not been replied to. */
struct append {
    struct mr_ctl_append ask;
    struct mr_list node; /* in waiting, or in sent */
    struct mr_statelog *log;
    uint64_t token;
    uint8_t batch[];
};

struct mr_statelog {
    struct mr_control *control;
    const char *topic;
    struct mr_statelog_events events;
    struct mr_batch_scratch *scratch;
    struct mr_uuid topic_id;
    uint32_t instance;
    uint64_t epoch; /* of the snapshot looked at last */
    int32_t partition_count;
    struct partition *partitions;
    int32_t load_next; /* partitions before this have been given to a loader */
    struct loader *loaders[MR_STATELOG_LOADS_MAX];
    struct mr_list *waiting; /* for a credit, in order, of each shard */
    struct mr_list sent;     /* to their shards */
};

struct mr_statelog *
mr_statelog_create(struct mr_control *control, const char *topic,
                   const struct mr_statelog_events *events)
{
    struct mr_statelog *log = calloc(1, sizeof(*log));
    unsigned shard_count = control->config.shard_count;

    if (!log) {
        return NULL;
    }
    log->control = control;
    log->topic = topic;
    log->events = *events;
    log->scratch = mr_batch_scratch_create();
    log->waiting = calloc(shard_count, sizeof(*log->waiting));
    mr_list_init(&log->sent);
    for (unsigned i = 0; log->waiting && i < shard_count; i++) {
        mr_list_init(&log->waiting[i]);
    }
    if (!log->scratch || !log->waiting) {
        mr_batch_scratch_destroy(log->scratch);
        free(log->waiting);
        free(log);
        return NULL;
    }
    return log;
}

static void
free_appends(struct mr_list *list)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(list))) {
        free(MR_CONTAINER_OF(node, struct append, node));
    }
}

void
mr_statelog_destroy(struct mr_statelog *log)
{
    if (!log) {
        return;
    }
    for (unsigned i = 0; i < log->control->config.shard_count; i++) {
        free_appends(&log->waiting[i]);
    }
    free_appends(&log->sent);
    free(log->waiting);
    for (unsigned i = 0; i < MR_STATELOG_LOADS_MAX; i++) {
        if (log->loaders[i]) {
            free(log->loaders[i]->read.data);
            free(log->loaders[i]);
        }
    }
    mr_batch_scratch_destroy(log->scratch);
    free(log->partitions);
    free(log);
}

static unsigned
shard_of(const struct mr_statelog *log, int32_t partition)
{
    return log->partitions[partition].store % log->control->config.shard_count;
}

/* ---- the topic comes and goes ---------------------------------------------------------------- */

static void
topic_gone(struct mr_statelog *log)
{
    log->instance++;
    free(log->partitions);
    log->partitions = NULL;
    log->partition_count = 0;
    log->load_next = 0;
    log->events.partitions(log->events.context, 0);
}

static void
topic_came(struct mr_statelog *log, const struct mr_snapshot_topic *topic)
{
    struct partition *partitions = calloc((size_t)topic->partition_count, sizeof(*partitions));

    if (!partitions) {
        log->epoch = 0; /* looked at again in the next turn */
        return;
    }
    log->instance++;
    log->topic_id = topic->id;
    log->partitions = partitions;
    log->partition_count = topic->partition_count;
    log->load_next = 0;
    for (int32_t i = 0; i < topic->partition_count; i++) {
        partitions[i].state = LOADING;
        partitions[i].store = topic->partitions[i].store;
    }
    log->events.partitions(log->events.context, topic->partition_count);
}

static void
look_at(struct mr_statelog *log, const struct mr_snapshot *snapshot)
{
    const struct mr_snapshot_topic *topic;

    if (log->epoch == snapshot->epoch) {
        return;
    }
    log->epoch = snapshot->epoch;
    topic = mr_snapshot_topic_by_name(snapshot, log->topic, (uint32_t)strlen(log->topic));
    if (log->partitions && (!topic || !mr_uuid_equal(&topic->id, &log->topic_id))) {
        topic_gone(log);
    }
    if (topic && !log->partitions) {
        topic_came(log, topic);
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

static void
loader_free(struct loader *loader)
{
    for (unsigned i = 0; i < MR_STATELOG_LOADS_MAX; i++) {
        if (loader->log->loaders[i] == loader) {
            loader->log->loaders[i] = NULL;
        }
    }
    free(loader->read.data);
    free(loader);
}

static void
load_end(struct loader *loader, enum mr_kafka_err error)
{
    struct mr_statelog *log = loader->log;
    int32_t partition = loader->partition;

    loader_free(loader);
    log->partitions[partition].state = error ? FAILED : LOADED;
    if (error) {
        MR_LOG_ERROR("control", "%s-%d cannot be read: %s", log->topic, partition,
                     mr_kafka_err_text(error));
    }
    log->events.loaded(log->events.context, partition, error);
}

/* Without a credit it stays, and is sent in a later turn. */
static void
load_send(struct loader *loader)
{
    struct mr_statelog *log = loader->log;
    struct mr_mesh_port *port = log->control->port;
    unsigned shard = shard_of(log, loader->partition);

    if (!mr_mesh_take(port, shard, MR_MESH_REQUEST)) {
        return;
    }
    loader->under_way = true;
    mr_mesh_send(port, shard, (struct mr_msg){.type = MR_MSG_LOG_READ, .context = &loader->read});
}

static struct loader *
loader_begin(struct mr_statelog *log, int32_t partition)
{
    struct loader *loader = calloc(1, sizeof(*loader));
    uint8_t *data = malloc(READ_BYTES);

    if (!loader || !data) {
        free(loader);
        free(data);
        return NULL;
    }
    loader->log = log;
    loader->partition = partition;
    loader->instance = log->instance;
    loader->read = (struct mr_ctl_read){
        .topic_id = log->topic_id,
        .partition = partition,
        .store = log->partitions[partition].store,
        .data = data,
        .capacity = READ_BYTES,
    };
    return loader;
}

static void
load_more(struct mr_statelog *log)
{
    for (unsigned i = 0; i < MR_STATELOG_LOADS_MAX; i++) {
        if (log->loaders[i] && !log->loaders[i]->under_way &&
            log->loaders[i]->instance != log->instance) {
            loader_free(log->loaders[i]); /* the topic went between two of its reads */
        }
        if (!log->loaders[i] && log->load_next < log->partition_count) {
            log->loaders[i] = loader_begin(log, log->load_next);
            log->load_next += log->loaders[i] != NULL;
        }
        if (log->loaders[i] && !log->loaders[i]->under_way) {
            load_send(log->loaders[i]);
        }
    }
}

static int
each_record(void *context, const struct mr_record *record)
{
    struct loader *loader = context;

    if (record->offset >= loader->read.offset) {
        loader->log->events.record(loader->log->events.context, loader->partition, record);
    }
    return 0;
}

/* Hands the records of all whole batches on; false: a batch is malformed. */
static bool
take_batches(struct loader *loader)
{
    struct mr_ctl_read *read = &loader->read;
    uint32_t at = 0;

    while (read->size - at >= MR_BATCH_HEADER_SIZE) {
        struct mr_batch_header header;

        if (mr_batch_header_get(read->data + at, &header) != 0 ||
            (uint32_t)header.size > read->size - at) {
            return false;
        }
        if (!(header.attributes & MR_BATCH_ATTR_CONTROL) &&
            mr_batch_each(read->data + at, (size_t)header.size, loader->log->scratch, each_record,
                          loader) != 0) {
            return false;
        }
        at += (uint32_t)header.size;
        read->offset = header.base_offset + header.last_offset_delta + 1;
    }
    return at == read->size;
}

static bool
grow_buffer(struct mr_ctl_read *read)
{
    uint8_t *grown = realloc(read->data, read->size);

    if (grown) {
        read->data = grown;
        read->capacity = read->size;
    }
    return grown != NULL;
}

void
mr_statelog_read_replied(struct mr_ctl_read *read)
{
    struct loader *loader = MR_CONTAINER_OF(read, struct loader, read);

    loader->under_way = false;
    if (loader->instance != loader->log->instance) {
        loader_free(loader); /* the topic has gone meanwhile */
    } else if (read->error == MR_KAFKA_REQUEST_TIMED_OUT) {
        return; /* asked again in the next turn */
    } else if (read->error == MR_KAFKA_OFFSET_OUT_OF_RANGE && read->offset < read->start) {
        read->offset = read->start;
    } else if (read->error) {
        load_end(loader, read->error);
    } else if (read->size > read->capacity) {
        if (!grow_buffer(read)) {
            load_end(loader, MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
        }
    } else if (!take_batches(loader)) {
        load_end(loader, MR_KAFKA_CORRUPT_MESSAGE);
    } else if (read->offset >= read->end) {
        load_end(loader, MR_KAFKA_NONE);
    }
}

/* ---- appending ------------------------------------------------------------------------------- */

static uint8_t *
put_varint(uint8_t *to, int64_t value)
{
    uint64_t zigzag = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);

    while (zigzag >= 0x80) {
        *to++ = (uint8_t)(zigzag | 0x80);
        zigzag >>= 7;
    }
    *to++ = (uint8_t)zigzag;
    return to;
}

static uint8_t *
put_bytes(uint8_t *to, const uint8_t *bytes, uint32_t size)
{
    to = put_varint(to, bytes ? (int64_t)size : -1);
    if (bytes) {
        memcpy(to, bytes, size);
        to += size;
    }
    return to;
}

static uint32_t
varint_size(int64_t value)
{
    uint8_t bytes[VARINT_MAX];

    return (uint32_t)(put_varint(bytes, value) - bytes);
}

static uint32_t
bytes_size(const uint8_t *bytes, uint32_t size)
{
    return varint_size(bytes ? (int64_t)size : -1) + (bytes ? size : 0);
}

/* Of what follows the record's length: attributes, timestamp delta, offset delta, key, value, no
 * headers. */
static uint32_t
record_size(const struct mr_statelog_record *record, unsigned index)
{
    return 1 + 1 + varint_size(index) + bytes_size(record->key, record->key_size) +
           bytes_size(record->value, record->value_size) + 1;
}

static size_t
batch_size(const struct mr_statelog_record *records, unsigned count)
{
    size_t size = MR_BATCH_HEADER_SIZE;

    for (unsigned i = 0; i < count; i++) {
        uint32_t inner = record_size(&records[i], i);

        size += varint_size(inner) + inner;
    }
    return size;
}

static void
put_batch(uint8_t *batch, size_t size, const struct mr_statelog_record *records, unsigned count,
          int64_t now_ms)
{
    struct mr_batch_header header = {
        .size = (int32_t)size,
        .leader_epoch = -1,
        .magic = 2,
        .last_offset_delta = (int32_t)count - 1,
        .base_timestamp = now_ms,
        .max_timestamp = now_ms,
        .producer_id = MR_BATCH_NO_PRODUCER,
        .producer_epoch = -1,
        .base_sequence = -1,
        .record_count = (int32_t)count,
    };
    uint8_t *to = batch + MR_BATCH_HEADER_SIZE;

    for (unsigned i = 0; i < count; i++) {
        to = put_varint(to, record_size(&records[i], i));
        *to++ = 0; /* attributes */
        *to++ = 0; /* timestamp delta */
        to = put_varint(to, i);
        to = put_bytes(to, records[i].key, records[i].key_size);
        to = put_bytes(to, records[i].value, records[i].value_size);
        *to++ = 0; /* headers */
    }
    MR_ASSERT(to == batch + size);
    mr_batch_header_put(batch, &header);
    header.crc = mr_crc32c(0, batch + CRC_COVERS_FROM, size - CRC_COVERS_FROM);
    mr_batch_header_put(batch, &header);
}

/* As many as there are credits: a stalled shard holds up no other. */
static void
send_waiting(struct mr_statelog *log, unsigned shard)
{
    struct mr_list *waiting = &log->waiting[shard];

    while (!mr_list_empty(waiting) && mr_mesh_take(log->control->port, shard, MR_MESH_REQUEST)) {
        struct mr_list *node = mr_list_pop_front(waiting);
        struct append *append = MR_CONTAINER_OF(node, struct append, node);

        mr_list_push_back(&log->sent, node);
        mr_mesh_send(log->control->port, shard,
                     (struct mr_msg){.type = MR_MSG_LOG_APPEND, .context = &append->ask});
    }
}

enum mr_kafka_err
mr_statelog_append(struct mr_statelog *log, int32_t partition,
                   const struct mr_statelog_record *records, unsigned count, int64_t now_ms,
                   uint64_t token)
{
    size_t size = batch_size(records, count);
    struct append *append;
    unsigned shard;

    if (partition >= log->partition_count || log->partitions[partition].state != LOADED) {
        return MR_KAFKA_NOT_COORDINATOR;
    }
    if (size > MR_BATCH_SIZE_MAX) {
        return MR_KAFKA_MESSAGE_TOO_LARGE;
    }
    append = malloc(sizeof(*append) + size);
    if (!append) {
        return MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    *append = (struct append){.log = log, .token = token};
    append->ask = (struct mr_ctl_append){
        .topic_id = log->topic_id,
        .partition = partition,
        .store = log->partitions[partition].store,
        .batch = append->batch,
        .size = (uint32_t)size,
    };
    put_batch(append->batch, size, records, count, now_ms);
    shard = shard_of(log, partition);
    mr_list_push_back(&log->waiting[shard], &append->node);
    send_waiting(log, shard);
    return MR_KAFKA_NONE;
}

void
mr_statelog_append_replied(struct mr_ctl_append *ask)
{
    struct append *append = MR_CONTAINER_OF(ask, struct append, ask);
    struct mr_statelog *log = append->log;

    if (ask->error) {
        MR_LOG_WARN("control", "%s-%d: a write has failed: %s", log->topic, ask->partition,
                    mr_kafka_err_text(ask->error));
    }
    mr_list_remove(&append->node);
    log->events.appended(log->events.context, append->token, ask->error);
    free(append);
}

/* ---- the loop -------------------------------------------------------------------------------- */

void
mr_statelog_turn(struct mr_statelog *log, const struct mr_snapshot *snapshot)
{
    look_at(log, snapshot);
    load_more(log);
    for (unsigned shard = 0; shard < log->control->config.shard_count; shard++) {
        send_waiting(log, shard);
    }
}
