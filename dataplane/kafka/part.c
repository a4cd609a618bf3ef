/* kafka/part.c: splitting a request by owner. */
#include "dataplane/kafka/part.h"

#include <string.h>

#include "dataplane/base/assert.h"

struct mr_part *
mr_parts_make(struct mr_request *request, enum mr_part_kind kind, void **items,
              const uint16_t *shard_of, unsigned item_count, unsigned *part_count_out)
{
    unsigned counts[MR_MESH_ENDPOINTS_MAX] = {0};
    unsigned part_of[MR_MESH_ENDPOINTS_MAX];
    unsigned shard_count = request->server->shard->shard_count;
    unsigned part_count = 0;
    struct mr_part *parts;

    *part_count_out = 0;
    for (unsigned i = 0; i < item_count; i++) {
        if (shard_of[i] != UINT16_MAX) {
            counts[shard_of[i]]++;
        }
    }
    for (unsigned shard = 0; shard < shard_count; shard++) {
        part_count += counts[shard] > 0;
    }
    parts = mr_request_alloc(request, part_count, sizeof(*parts));
    if (!parts) {
        return NULL;
    }
    for (unsigned shard = 0, at = 0; shard < shard_count; shard++) {
        if (counts[shard] == 0) {
            continue;
        }
        part_of[shard] = at;
        parts[at].request = request;
        parts[at].kind = kind;
        parts[at].shard = (uint16_t)shard;
        parts[at].remote = shard != request->server->shard->index;
        parts[at].items = mr_request_alloc(request, counts[shard], sizeof(void *));
        mr_list_init(&parts[at].node);
        if (!parts[at].items) {
            return NULL;
        }
        at++;
    }
    for (unsigned i = 0; i < item_count; i++) {
        if (shard_of[i] != UINT16_MAX) {
            struct mr_part *part = &parts[part_of[shard_of[i]]];

            part->items[part->count++] = items[i];
        }
    }
    *part_count_out = part_count;
    return parts;
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
mr_parts_take(struct mr_request *request, const struct mr_part *parts, unsigned part_count,
              unsigned classes)
{
    struct mr_mesh_port *port = request->server->shard->port;

    for (unsigned i = 0; i < part_count; i++) {
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
