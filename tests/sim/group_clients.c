/* Clients of the simulated coordinator: consumers with an eager assignor, which come and go, lose
 * connections, fall silent, and use ids and generations that they should not use any more. */
#include "group_world.h"

#include "dataplane/base/clock.h"

#define HEARTBEAT_MS 400

static const int16_t versions[] = {0, 1, 3, 4, 5, 9};

static struct mr_str
str(const char *text)
{
    return (struct mr_str){text, (int32_t)strlen(text)};
}

static void
copy(char out[MODEL_ID_MAX], struct mr_str text)
{
    snprintf(out, MODEL_ID_MAX, "%.*s", text.size > 0 ? (int)text.size : 0,
             text.size > 0 ? text.data : "");
}

static struct mr_str
instance(const struct client *client)
{
    return client->is_static ? str(client->instance) : (struct mr_str){NULL, -1};
}

static void
subscribe(struct client *client, uint32_t flavour)
{
    client->metadata[0] = (uint8_t)flavour;
    client->protocols[0] = (struct mr_group_protocol){str("range"), {client->metadata, 1}};
    client->protocols[1] = (struct mr_group_protocol){str("sticky"), {client->metadata, 1}};
}

void
clients_init(struct world *world)
{
    for (int i = 0; i < WORLD_CLIENTS; i++) {
        struct client *client = &world->clients[i];

        memset(client, 0, sizeof(*client));
        client->world = world;
        client->index = i;
        client->group = (int)world_below(world, MODEL_GROUPS);
        client->is_static = world_chance(world, 30);
        client->version =
            client->is_static
                ? (world_chance(world, 50) ? 5 : 9)
                : versions[world_below(world, sizeof(versions) / sizeof(versions[0]))];
        client->session_ms = 1000 + (int32_t)world_below(world, 3000);
        client->rebalance_ms = 500 + (int32_t)world_below(world, 3000);
        snprintf(client->client_id, sizeof(client->client_id), "c%d", i);
        snprintf(client->instance, sizeof(client->instance), "i%d", i);
        subscribe(client, 0);
        client->state = world_chance(world, 50) ? CLIENT_OUT : CLIENT_DOWN;
    }
}

/* ---- JoinGroup ---------------------------------------------------------------------------------
 */

static void
lose_id(struct client *client)
{
    client->id[0] = '\0';
    client->owned = 0;
    client->state = CLIENT_OUT;
}

static void
join_good(struct client *client)
{
    const struct mr_group_join *join = &client->join;
    struct world *world = client->world;

    copy(client->id, join->out_member_id);
    client->generation = join->generation;
    client->skips = join->skip_assignment;
    client->member_count = join->member_count;
    client->leads = join->member_count > 0;
    client->owned = 0;
    if (join->member_count > WORLD_CLIENTS * 4) {
        model_fail(&world->model, "%d members", join->member_count);
    }
    for (int32_t i = 0; i < join->member_count; i++) {
        copy(client->members[i], join->members[i].member_id);
    }
    client->heartbeat_ns = world->now.ns;
    client->state = CLIENT_JOINED;
    model_told(&world->model, client->group, client->generation, client->id,
               client->leads && !client->skips);
}

static void
join_answered(struct client *client)
{
    const struct mr_group_join *join = &client->join;

    if (client->state != CLIENT_JOINING) {
        model_fail(&client->world->model, "client %d: a join is answered twice", client->index);
    }
    switch (join->request.error) {
    case MR_KAFKA_NONE:
        join_good(client);
        break;
    case MR_KAFKA_MEMBER_ID_REQUIRED:
        copy(client->id, join->out_member_id);
        client->state = CLIENT_OUT;
        break;
    case MR_KAFKA_FENCED_INSTANCE_ID:
    case MR_KAFKA_UNKNOWN_MEMBER_ID:
        lose_id(client);
        break;
    case MR_KAFKA_INVALID_GROUP_ID:
    case MR_KAFKA_INVALID_SESSION_TIMEOUT:
    case MR_KAFKA_UNKNOWN_SERVER_ERROR:
    case MR_KAFKA_INCONSISTENT_GROUP_PROTOCOL:
        model_fail(&client->world->model, "client %d: join answered %d", client->index,
                   join->request.error);
    default:
        client->state = CLIENT_OUT;
        break;
    }
}

static void
on_joined(struct mr_group_request *request)
{
    join_answered((struct client *)((char *)request - offsetof(struct client, join)));
}

static void
send_join(struct client *client)
{
    struct world *world = client->world;

    if (!world->calm && world_chance(world, 10)) {
        subscribe(client, world_below(world, 3));
    }
    client->join = (struct mr_group_join){
        .request = {.done = on_joined},
        .api_version = client->version,
        .group_id = world_group_id(client->group),
        .client_id = str(client->client_id),
        .client_host = str("/"),
        .member_id = str(client->id),
        .instance_id = instance(client),
        .protocol_type = str("consumer"),
        .session_timeout_ms = client->session_ms,
        .rebalance_timeout_ms = client->rebalance_ms,
        .protocols = client->protocols,
        .protocol_count = 2,
    };
    client->state = CLIENT_JOINING;
    if (mr_groups_join(world->groups, &client->join, world->now)) {
        join_answered(client);
    }
}

/* ---- SyncGroup ---------------------------------------------------------------------------------
 */

static void
sync_answered(struct client *client)
{
    const struct mr_group_sync *sync = &client->sync;
    struct world *world = client->world;

    if (client->state != CLIENT_SYNCING) {
        model_fail(&world->model, "client %d: a sync is answered twice", client->index);
    }
    switch (sync->request.error) {
    case MR_KAFKA_NONE:
        client->owned = sync->assignment.size > 0 ? sync->assignment.data[0] : 0;
        client->state = CLIENT_MEMBER;
        client->heartbeat_ns = world->now.ns;
        model_owns(&world->model, client->group, client->generation,
                   client->is_static ? client->instance : client->id, client->owned);
        break;
    case MR_KAFKA_UNKNOWN_MEMBER_ID:
    case MR_KAFKA_FENCED_INSTANCE_ID:
    case MR_KAFKA_ILLEGAL_GENERATION:
        lose_id(client);
        break;
    default:
        client->state = CLIENT_OUT;
        break;
    }
}

static void
on_synced(struct mr_group_request *request)
{
    sync_answered((struct client *)((char *)request - offsetof(struct client, sync)));
}

/* The leader deals the partitions out in turn, from a random start. */
static int32_t
assign(struct client *client)
{
    int32_t start;

    if (!client->leads || client->skips) {
        return 0;
    }
    start = (int32_t)world_below(client->world, (uint32_t)client->member_count);
    memset(client->shares, 0, sizeof(client->shares));
    for (int32_t p = 0; p < MODEL_PARTITIONS; p++) {
        client->shares[(start + p) % client->member_count] |= (uint8_t)(1u << p);
    }
    for (int32_t i = 0; i < client->member_count; i++) {
        client->assignments[i] = (struct mr_group_assignment){
            .member_id = str(client->members[i]),
            .assignment = {&client->shares[i], 1},
        };
    }
    return client->member_count;
}

static void
send_sync(struct client *client)
{
    struct world *world = client->world;
    bool answered;

    client->sync = (struct mr_group_sync){
        .request = {.done = on_synced},
        .group_id = world_group_id(client->group),
        .member_id = str(client->id),
        .instance_id = instance(client),
        .protocol_type = {NULL, -1},
        .protocol_name = {NULL, -1},
        .generation = client->generation,
        .assignments = client->assignments,
        .assignment_count = assign(client),
    };
    client->state = CLIENT_SYNCING;
    answered = mr_groups_sync(world->groups, &client->sync, world->now);
    if (!answered || client->sync.request.error == MR_KAFKA_NONE) {
        model_served(&world->model, client->group, client->generation, "SyncGroup");
    }
    if (answered) {
        sync_answered(client);
    }
}

/* ---- the life of a member ----------------------------------------------------------------------
 */

static int16_t
beat(struct client *client, const char *id, int32_t generation)
{
    struct mr_group_heartbeat heartbeat = {
        .group_id = world_group_id(client->group),
        .member_id = str(id),
        .instance_id = instance(client),
        .generation = generation,
    };
    int16_t error =
        (int16_t)mr_groups_heartbeat(client->world->groups, &heartbeat, client->world->now);

    if (error == MR_KAFKA_NONE || error == MR_KAFKA_REBALANCE_IN_PROGRESS) {
        model_served(&client->world->model, client->group, generation, "Heartbeat");
    }
    return error;
}

static void
send_heartbeat(struct client *client)
{
    client->heartbeat_ns = client->world->now.ns;
    switch (beat(client, client->id, client->generation)) {
    case MR_KAFKA_NONE:
        break;
    case MR_KAFKA_REBALANCE_IN_PROGRESS:
        client->owned = 0;
        client->state = CLIENT_OUT;
        break;
    case MR_KAFKA_ILLEGAL_GENERATION:
    case MR_KAFKA_UNKNOWN_MEMBER_ID:
    case MR_KAFKA_FENCED_INSTANCE_ID:
        lose_id(client);
        break;
    default:
        break; /* the coordinator is away for a while */
    }
}

static void
commit_answered(struct client_commit *at)
{
    struct world *world = at->client->world;

    if (!at->used) {
        model_fail(&world->model, "a commit is answered twice");
    }
    at->used = false;
    if (at->offset.error == MR_KAFKA_NONE) {
        model_commit_durable(&world->model, at->group, at->offset.partition, at->offset.offset);
    } else {
        model_commit_failed(&world->model, at->group, at->offset.partition, at->offset.offset,
                            world->write_kept);
    }
}

static void
on_committed(struct mr_group_request *request)
{
    commit_answered((struct client_commit *)request);
}

static void
send_commit(struct client *client, const char *id, int32_t generation)
{
    struct world *world = client->world;
    struct client_commit *at = &client->commits[world_below(world, WORLD_COMMITS)];
    bool kept = world->write_kept;

    if (at->used) {
        return;
    }
    at->client = client;
    at->group = client->group;
    at->used = true;
    at->offset = (struct mr_group_offset){
        .topic = str("t"),
        .partition = (int32_t)world_below(world, MODEL_PARTITIONS),
        .leader_epoch = -1,
        .offset = world->next_offset++,
        .metadata = str(""),
    };
    at->commit = (struct mr_group_commit){
        .request = {.done = on_committed},
        .api_version = 8,
        .group_id = world_group_id(client->group),
        .member_id = str(id),
        .instance_id = generation < 0 ? (struct mr_str){NULL, -1} : instance(client),
        .generation = generation,
        .retention_ms = -1,
        .offsets = &at->offset,
        .offset_count = 1,
    };
    model_commit_sent(&world->model, at->group, at->offset.partition, at->offset.offset);
    world->write_kept = false; /* what is refused at once is in no log */
    if (mr_groups_commit(world->groups, &at->commit, world->now)) {
        commit_answered(at);
    } else if (generation >= 0) {
        model_served(&world->model, client->group, generation, "OffsetCommit");
    }
    world->write_kept = kept;
}

static void
send_leave(struct client *client)
{
    struct world *world = client->world;
    struct mr_group_leaving leaving = {str(client->id), {NULL, -1}, 0};
    struct mr_group_leave leave = {
        .group_id = world_group_id(client->group),
        .members = &leaving,
        .member_count = 1,
    };
    int16_t error;

    mr_groups_leave(world->groups, &leave, world->now);
    if (leave.request.error == MR_KAFKA_NONE && leaving.error == MR_KAFKA_NONE) {
        error = beat(client, client->id, client->generation);
        if (error != MR_KAFKA_UNKNOWN_MEMBER_ID) {
            model_fail(&world->model, "client %d has left, and its heartbeat is answered %d",
                       client->index, error);
        }
    }
}

/* ---- misbehaviour ------------------------------------------------------------------------------
 */

static void
cancel_all(struct client *client)
{
    struct mr_groups *groups = client->world->groups;

    if (client->state == CLIENT_JOINING) {
        mr_groups_cancel(groups, &client->join.request);
    }
    if (client->state == CLIENT_SYNCING) {
        mr_groups_cancel(groups, &client->sync.request);
    }
    for (int i = 0; i < WORLD_COMMITS; i++) {
        if (client->commits[i].used) {
            mr_groups_cancel(groups, &client->commits[i].commit.request);
            client->commits[i].used = false;
        }
    }
}

void
client_forgets(struct client *client)
{
    if (client->state == CLIENT_JOINING || client->state == CLIENT_SYNCING) {
        client->state = CLIENT_OUT;
    }
    for (int i = 0; i < WORLD_COMMITS; i++) {
        client->commits[i].used = false;
    }
}

static void
die(struct client *client)
{
    cancel_all(client);
    client->owned = 0;
    client->state = CLIENT_DOWN;
}

/* The process begins anew; an older one with the same ids may still be there, out of its wits. */
static void
start(struct client *client)
{
    client->zombie[0] = '\0';
    if (client->is_static) {
        snprintf(client->zombie, sizeof(client->zombie), "%s", client->id);
        client->zombie_life = 0; /* not fenced before the new one is in */
    }
    lose_id(client);
}

static void
haunt(struct client *client)
{
    struct world *world = client->world;
    int16_t error;

    if (client->zombie[0] == '\0') {
        return;
    }
    if (client->state == CLIENT_JOINED && client->zombie_life == 0) {
        client->zombie_life = world->life;
    }
    error = beat(client, client->zombie, client->generation);
    if (client->zombie_life == world->life && client->state >= CLIENT_JOINED &&
        (error == MR_KAFKA_NONE || error == MR_KAFKA_REBALANCE_IN_PROGRESS)) {
        model_fail(&world->model, "client %d: the one before it is not fenced (%d)", client->index,
                   error);
    }
}

static void
misbehave(struct client *client)
{
    struct world *world = client->world;

    switch (world_below(world, 9)) {
    case 0:
        if (client->state == CLIENT_MEMBER || client->state == CLIENT_JOINED) {
            send_leave(client);
        }
        die(client);
        break;
    case 1:
        die(client);
        break;
    case 2: /* the connection goes; the client tries again */
        cancel_all(client);
        if (client->state == CLIENT_JOINING || client->state == CLIENT_SYNCING) {
            client->state = CLIENT_OUT;
        }
        break;
    case 3: /* an old generation */
        if (client->id[0] != '\0') {
            send_commit(client, client->id, client->generation - 1);
        }
        break;
    case 4:
        send_commit(client, "", -1);
        break;
    case 5: /* joins again without being asked */
        if (client->state == CLIENT_MEMBER) {
            client->state = CLIENT_OUT;
        }
        break;
    case 6: /* leaves and goes on as if it had not */
        if (client->state == CLIENT_MEMBER) {
            send_leave(client);
        }
        break;
    default:
        haunt(client);
        break;
    }
}

void
client_act(struct client *client)
{
    struct world *world = client->world;
    bool calm = world->calm;

    if (!calm && world_chance(world, 3)) {
        misbehave(client);
        return;
    }
    switch (client->state) {
    case CLIENT_DOWN:
        if (!calm && world_chance(world, 5)) {
            start(client);
        }
        break;
    case CLIENT_OUT:
        if (calm || world_chance(world, 40)) {
            send_join(client);
        }
        break;
    case CLIENT_JOINED:
        if (calm || world_chance(world, 40)) {
            send_sync(client);
        }
        break;
    case CLIENT_MEMBER:
        if (world->now.ns - client->heartbeat_ns > HEARTBEAT_MS * MR_NS_PER_MS) {
            send_heartbeat(client);
        } else if (world_chance(world, 20)) {
            send_commit(client, client->id, client->generation);
        }
        break;
    default:
        break;
    }
}

bool
client_settled(const struct client *client)
{
    return client->state == CLIENT_MEMBER;
}
