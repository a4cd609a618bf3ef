/* kafka/part.c: splitting a request by owner. */
#include "dataplane/kafka/part.h"

#include "dataplane/base/assert.h"

/* ---- a request's items and parts ------------------------------------------------------------- */

bool
mr_split_init(struct mr_split *split, struct mr_request *request, size_t item_size, size_t item_max,
              void (*done)(struct mr_split *split))
{
    split->request = request;
    split->done = done;
    split->item_size = item_size;
    split->items = mr_request_alloc(request, item_max, item_size);
    return split->items != NULL;
}

static struct mr_part_item *
item_at(const struct mr_split *split, unsigned at)
{
    return (struct mr_part_item *)((char *)split->items + at * split->item_size);
}

void *
mr_split_add(struct mr_split *split, const struct mr_snapshot_topic *topic, int32_t partition)
{
    struct mr_part_item *item = item_at(split, split->item_count++);

    item->shard = MR_PART_NONE;
    if (topic) {
        item->shard = mr_topic_shard(split->request->server, topic, partition);
        item->id = (struct mr_log_id){topic->id, partition};
    }
    return item;
}

enum mr_kafka_err
mr_split_judge(const struct mr_split *split, struct mr_part_item *item,
               const struct mr_topic_ref *ref, int32_t epoch)
{
    enum mr_kafka_err error = ref->error;

    if (item->shard != MR_PART_NONE) {
        error = mr_topic_check_epoch(split->request->server, ref->topic, item->id.partition, epoch);
    } else if (ref->topic) {
        error = MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    if (error) {
        item->shard = MR_PART_NONE;
    }
    return error;
}

/* Fills the parts that have been counted. */
static void
fill_parts(struct mr_split *split, const unsigned part_of[MR_MESH_ENDPOINTS_MAX])
{
    for (unsigned i = 0; i < split->item_count; i++) {
        struct mr_part_item *item = item_at(split, i);

        if (item->shard != MR_PART_NONE) {
            item->part = &split->parts[part_of[item->shard]];
            item->part->items[item->part->count++] = item;
        }
    }
}

bool
mr_split_make(struct mr_split *split, enum mr_part_kind kind)
{
    struct mr_request *request = split->request;
    unsigned counts[MR_MESH_ENDPOINTS_MAX] = {0};
    unsigned part_of[MR_MESH_ENDPOINTS_MAX];
    unsigned shard_count = request->server->shard->shard_count;
    unsigned part_count = 0;

    for (unsigned i = 0; i < split->item_count; i++) {
        uint16_t shard = item_at(split, i)->shard;

        if (shard != MR_PART_NONE) {
            part_count += counts[shard]++ == 0;
        }
    }
    split->parts = mr_request_alloc(request, part_count, sizeof(*split->parts));
    for (unsigned shard = 0; split->parts && shard < shard_count; shard++) {
        struct mr_part *part = &split->parts[split->part_count];

        if (counts[shard] == 0) {
            continue;
        }
        part_of[shard] = split->part_count++;
        part->request = request;
        part->kind = kind;
        part->shard = (uint16_t)shard;
        part->remote = shard != request->server->shard->index;
        part->items = mr_request_alloc(request, counts[shard], sizeof(void *));
        mr_list_init(&part->node);
        if (!part->items) {
            return false;
        }
    }
    if (split->parts) {
        fill_parts(split, part_of);
    }
    return split->parts != NULL;
}

static bool
take_all(struct mr_mesh_port *port, unsigned peer, unsigned classes)
{
    for (unsigned class = 0; class < MR_MESH_CLASSES; class ++) {
        if (!(classes & (1u << class)) || mr_mesh_take(port, peer, class)) {
            continue;
        }
        while (class -- > 0) {
            if (classes & (1u << class)) {
                mr_mesh_give(port, peer, class);
            }
        }
        return false;
    }
    return true;
}

bool
mr_split_take(const struct mr_split *split, unsigned classes)
{
    struct mr_mesh_port *port = split->request->server->shard->port;
    const struct mr_part *parts = split->parts;

    for (unsigned i = 0; i < split->part_count; i++) {
        if (!parts[i].remote || take_all(port, parts[i].shard, classes)) {
            continue;
        }
        while (i-- > 0) {
            for (unsigned class = 0; class < MR_MESH_CLASSES; class ++) {
                if (parts[i].remote && (classes & (1u << class))) {
                    mr_mesh_give(port, parts[i].shard, class);
                }
            }
        }
        return false;
    }
    return true;
}

static void
part_done(struct mr_split *split)
{
    split->parts_left--;
    if (split->parts_left == 0) {
        split->done(split);
    }
}

void
mr_split_send(struct mr_split *split, enum mr_msg_type type,
              void (*run)(struct mr_server *owner, struct mr_part *part, unsigned from))
{
    struct mr_server *server = split->request->server;

    split->parts_left = split->part_count + 1; /* one for this function */
    for (unsigned i = 0; i < split->part_count; i++) {
        struct mr_part *part = &split->parts[i];

        if (part->remote) {
            server->stats.parts_remote++;
            mr_part_send(server, part, type);
        } else {
            server->stats.parts_local++;
            run(server, part, server->shard->index);
        }
    }
    part_done(split);
}

void
mr_part_replied(struct mr_part *part)
{
    part_done(part->request->state_of_handler);
}

/* ---- one part -------------------------------------------------------------------------------- */

void
mr_part_send(struct mr_server *server, struct mr_part *part, enum mr_msg_type type)
{
    MR_ASSERT(part->remote);
    mr_mesh_send(server->shard->port, part->shard,
                 (struct mr_msg){.type = (uint16_t)type, .context = part});
}

void
mr_part_wait(struct mr_part *part, struct mr_list *list)
{
    if (part->waited) {
        mr_list_push_front(list, &part->node);
    } else {
        mr_list_push_back(list, &part->node);
    }
    part->waiting = true;
    part->waited = true;
}

void
mr_reads_run(struct mr_server *owner, struct mr_part *part, unsigned from)
{
    if (part->kind == MR_PART_FETCH) {
        mr_fetch_run(owner, part, from);
    } else {
        mr_offsets_run(owner, part, from);
    }
}

void
mr_part_check_done(struct mr_part *part, enum mr_msg_type reply,
                   void (*replied)(struct mr_part *part))
{
    if (part->next < part->count || part->pending > 0) {
        return;
    }
    if (part->remote) {
        mr_part_reply(part->owner, part, part->from, reply);
    } else {
        replied(part);
    }
}

void
mr_part_reply(struct mr_server *owner, struct mr_part *part, unsigned to, enum mr_msg_type type)
{
    mr_mesh_send(owner->shard->port, to, (struct mr_msg){.type = (uint16_t)type, .context = part});
}
