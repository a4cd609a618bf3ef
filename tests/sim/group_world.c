/* A world for the coordinator of consumer groups: time, the log, and the coordinator's lives. */
#include "group_world.h"

#include <errno.h>

#include "dataplane/base/clock.h"

#define STEP_MS_MAX   200
#define SETTLE_MS_MAX 120000
#define CALM_STEP_MS  50
#define CALM_MS       5000 /* longer than any session */

struct mr_str
world_group_id(int group)
{
    static const char *const ids[MODEL_GROUPS] = {"alpha", "beta", "gamma"};

    return (struct mr_str){ids[group], (int32_t)strlen(ids[group])};
}

uint32_t
world_below(struct world *world, uint32_t bound)
{
    return (uint32_t)mr_rng_below(&world->rng, bound);
}

bool
world_chance(struct world *world, unsigned percent)
{
    return mr_rng_below(&world->rng, 100) < percent;
}

/* ---- the log -----------------------------------------------------------------------------------
 */

/* A group's tombstone: its generations may begin anew. */
static void
see_tombstone(struct world *world, const struct mr_group_record *record)
{
    for (int g = 0; g < MODEL_GROUPS && record->value.size < 0; g++) {
        struct mr_str id = world_group_id(g);

        if (record->key.size == 4 + id.size && record->key.data[1] == 2 &&
            memcmp(record->key.data + 4, id.data, (size_t)id.size) == 0) {
            model_deletable(&world->model, g);
        }
    }
}

static void
on_write(void *context, struct mr_group_write *write)
{
    struct world *world = context;
    struct world_log *log = &world->logs[write->partition];

    if (log->write_count == WORLD_WRITES_MAX) {
        model_fail(&world->model, "too many writes");
    }
    for (uint32_t i = 0; i < write->record_count; i++) {
        see_tombstone(world, &write->records[i]);
    }
    log->writes[log->write_count++] = write;
}

static void
on_random(void *context, void *out, size_t size)
{
    struct world *world = context;

    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)out)[i] = (uint8_t)mr_rng_next(&world->rng);
    }
}

static void
keep(struct world *world, struct world_log *log, const struct mr_group_write *write)
{
    for (uint32_t i = 0; i < write->record_count; i++) {
        const struct mr_group_record *in = &write->records[i];
        struct world_record *out = &log->records[log->record_count++];
        size_t value_size = in->value.size > 0 ? (size_t)in->value.size : 0;

        if (log->record_count == WORLD_RECORDS_MAX) {
            model_fail(&world->model, "the log is full");
        }
        out->bytes = malloc((size_t)in->key.size + value_size);
        memcpy(out->bytes, in->key.data, (size_t)in->key.size);
        if (value_size > 0) {
            memcpy(out->bytes + in->key.size, in->value.data, value_size);
        }
        out->key_size = in->key.size;
        out->value_size = in->value.size;
    }
}

static void
end_write(struct world *world, struct world_log *log)
{
    static const enum mr_kafka_err errors[] = {
        MR_KAFKA_NOT_ENOUGH_REPLICAS,
        MR_KAFKA_KAFKA_STORAGE_ERROR,
        MR_KAFKA_REQUEST_TIMED_OUT,
    };
    struct mr_group_write *write = log->writes[0];
    enum mr_kafka_err error = MR_KAFKA_NONE;

    log->write_count--;
    memmove(log->writes, log->writes + 1, log->write_count * sizeof(log->writes[0]));
    if (!world->calm && world_chance(world, 8)) {
        error = errors[world_below(world, 3)];
    }
    world->write_kept = error == MR_KAFKA_NONE || world_chance(world, 50);
    if (world->write_kept) {
        keep(world, log, write);
    }
    mr_groups_written(world->groups, write, error, world->now);
    world->write_kept = false;
}

/* ---- offsets -----------------------------------------------------------------------------------
 */

static void
fetch(struct world *world, int group, int partition)
{
    struct mr_group_offset offset = {.topic = {"t", 1}, .partition = partition};

    if (mr_groups_fetch_check(world->groups, world_group_id(group)) == MR_KAFKA_NONE) {
        mr_groups_fetch(world->groups, world_group_id(group), &offset);
        model_fetched(&world->model, group, partition, offset.offset);
    }
}

static void
fetch_all(struct world *world)
{
    for (int g = 0; g < MODEL_GROUPS; g++) {
        for (int p = 0; p < MODEL_PARTITIONS; p++) {
            fetch(world, g, p);
        }
    }
}

/* ---- the coordinator's lives -------------------------------------------------------------------
 */

static void
load(struct world *world, int partition)
{
    struct world_log *log = &world->logs[partition];

    mr_groups_load_begin(world->groups, partition);
    for (uint32_t i = 0; i < log->record_count; i++) {
        struct world_record *record = &log->records[i];
        int error;

        if (world_chance(world, 1)) {
            fetch_all(world); /* nothing is served that is not whole yet */
        }
        error = mr_groups_load_record(
            world->groups, partition, (struct mr_bytes){record->bytes, record->key_size},
            (struct mr_bytes){record->bytes + record->key_size, record->value_size});

        if (error) {
            model_fail(&world->model, "a record of its own is refused: %s", strerror(-error));
        }
    }
    mr_groups_load_end(world->groups, partition, world->now);
}

void
world_reloaded(struct world *world, int log)
{
    world->life++;
    for (int g = 0; g < MODEL_GROUPS; g++) {
        if (log < 0 || mr_groups_partition(world_group_id(g), WORLD_LOGS) == log) {
            model_reloaded(&world->model, g);
        }
    }
}

static void
open_groups(struct world *world)
{
    struct mr_groups_actions actions = {world, on_write, on_random};
    struct mr_groups_config config;

    mr_groups_config_default(&config);
    config.session_timeout_min_ms = 100;
    config.initial_rebalance_delay_ms = (int32_t)world_below(world, 500);
    config.new_member_timeout_ms = 10000;
    config.retention_check_ms = 30000;
    world->groups = mr_groups_create(&config, &actions);
    mr_groups_set_partition_count(world->groups, WORLD_LOGS);
    world_reloaded(world, -1);
    for (int p = 0; p < WORLD_LOGS; p++) {
        load(world, p);
    }
}

static void
close_groups(struct world *world)
{
    struct mr_groups_stats stats;

    mr_groups_stats(world->groups, &stats);
    for (int from = 0; from < MR_GROUP_STATES; from++) {
        for (int to = 0; to < MR_GROUP_STATES; to++) {
            world->edges[from * MR_GROUP_STATES + to] += stats.edges[from][to];
        }
    }
    mr_groups_destroy(world->groups);
    world->groups = NULL;
}

/* Of the writes on their way the first few have reached the log. */
static void
keep_some(struct world *world, struct world_log *log)
{
    uint32_t kept = world_below(world, log->write_count + 1);

    for (uint32_t i = 0; i < kept; i++) {
        keep(world, log, log->writes[i]);
    }
}

static void
forget_deletes(struct world *world, int log)
{
    for (int g = 0; g < MODEL_GROUPS; g++) {
        if (log < 0 || mr_groups_partition(world_group_id(g), WORLD_LOGS) == log) {
            world->delete_number[g] = 0;
        }
    }
}

static void
restart(struct world *world)
{
    for (int p = 0; p < WORLD_LOGS; p++) {
        keep_some(world, &world->logs[p]);
        world->logs[p].write_count = 0;
    }
    close_groups(world);
    for (int i = 0; i < WORLD_CLIENTS; i++) {
        client_forgets(&world->clients[i]);
    }
    forget_deletes(world, -1);
    open_groups(world);
}

/* A partition's log fails and is read again; its writes come back only now. */
static void
fail_partition(struct world *world, int partition)
{
    struct world_log *log = &world->logs[partition];

    keep_some(world, log);
    world->write_kept = true; /* any of them may be */
    mr_groups_partition_failed(world->groups, partition);
    world->write_kept = false;
    while (log->write_count > 0) {
        log->write_count--;
        mr_groups_written(world->groups, log->writes[log->write_count],
                          MR_KAFKA_KAFKA_STORAGE_ERROR, world->now);
    }
    forget_deletes(world, partition);
    world_reloaded(world, partition);
    load(world, partition);
}

/* ---- operators ---------------------------------------------------------------------------------
 */

static void
deleted(struct world *world, int group)
{
    int64_t number = world->delete_number[group];
    int16_t error = world->deletes[group].request.error;

    if (number == 0) {
        model_fail(&world->model, "a deletion is answered twice");
    }
    world->delete_number[group] = 0;
    for (int p = 0; p < MODEL_PARTITIONS; p++) {
        if (error == MR_KAFKA_NONE) {
            model_commit_durable(&world->model, group, p, number);
        } else {
            model_commit_failed(&world->model, group, p, number, world->write_kept);
        }
    }
}

static struct world *current; /* whose deletions are answered */

static void
on_deleted(struct mr_group_request *request)
{
    struct mr_group_delete *at = (struct mr_group_delete *)request;

    deleted(current, (int)(at - current->deletes));
}

static void
delete_group(struct world *world, int group)
{
    bool kept = world->write_kept;

    if (world->delete_number[group] != 0) {
        return;
    }
    world->delete_number[group] = --world->next_deletion;
    for (int p = 0; p < MODEL_PARTITIONS; p++) {
        model_commit_sent(&world->model, group, p, world->delete_number[group]);
    }
    world->deletes[group] = (struct mr_group_delete){
        .request = {.done = on_deleted},
        .group_id = world_group_id(group),
    };
    current = world;
    world->write_kept = false;
    if (mr_groups_delete(world->groups, &world->deletes[group], world->now)) {
        deleted(world, group);
    }
    world->write_kept = kept;
}

/* ---- life --------------------------------------------------------------------------------------
 */

void
world_open(struct world *world, uint64_t seed, uint64_t *edges)
{
    memset(world, 0, sizeof(*world));
    mr_rng_init(&world->rng, seed);
    model_init(&world->model, seed);
    world->edges = edges;
    world->next_offset = 1;
    world->now = (struct mr_group_time){.ns = MR_NS_PER_S, .ms = 1700000000000};
    current = world;
    open_groups(world);
    clients_init(world);
}

void
world_close(struct world *world)
{
    close_groups(world);
    for (int p = 0; p < WORLD_LOGS; p++) {
        for (uint32_t i = 0; i < world->logs[p].record_count; i++) {
            free(world->logs[p].records[i].bytes);
        }
    }
}

static void
pass(struct world *world, uint32_t ms)
{
    world->now.ns += ms * MR_NS_PER_MS;
    world->now.ms += ms;
    if (mr_groups_deadline(world->groups) <= world->now.ns) {
        mr_groups_tick(world->groups, world->now);
    }
}

/* A group that never had an assignment may go without a trace, and begin anew. */
static void
see_gone(struct world *world)
{
    struct mr_group_description description;

    for (int g = 0; g < MODEL_GROUPS; g++) {
        if (mr_groups_describe(world->groups, world_group_id(g), &description) ==
            MR_KAFKA_GROUP_ID_NOT_FOUND) {
            model_reloaded(&world->model, g);
        }
    }
}

static void
disturb(struct world *world)
{
    switch (world_below(world, 150)) {
    case 0:
        restart(world);
        fetch_all(world);
        break;
    case 1:
        fail_partition(world, (int)world_below(world, WORLD_LOGS));
        fetch_all(world);
        break;
    case 2:
    case 3:
    case 4:
        delete_group(world, (int)world_below(world, MODEL_GROUPS));
        break;
    default:
        break;
    }
}

void
world_step(struct world *world)
{
    pass(world, world_below(world, STEP_MS_MAX));
    for (int p = 0; p < WORLD_LOGS; p++) {
        while (world->logs[p].write_count > 0 && world_chance(world, 50)) {
            end_write(world, &world->logs[p]);
        }
    }
    see_gone(world);
    for (int i = 0; i < WORLD_CLIENTS / 2; i++) {
        client_act(&world->clients[world_below(world, WORLD_CLIENTS)]);
    }
    fetch(world, (int)world_below(world, MODEL_GROUPS), (int)world_below(world, MODEL_PARTITIONS));
    disturb(world);
}

/* Whether every client that runs is a member of the current generation, and all partitions of its
 * group are owned by such members. */
static bool
settled(struct world *world)
{
    for (int g = 0; g < MODEL_GROUPS; g++) {
        struct mr_group_description description;
        uint32_t owned = 0;
        int live = 0;

        if (mr_groups_describe(world->groups, world_group_id(g), &description) != MR_KAFKA_NONE) {
            description = (struct mr_group_description){.state = MR_GROUP_DEAD};
        }
        for (int i = 0; i < WORLD_CLIENTS; i++) {
            const struct client *client = &world->clients[i];

            if (client->group != g || client->state == CLIENT_DOWN) {
                continue;
            }
            live++;
            if (!client_settled(client) || client->generation != description.generation) {
                return false;
            }
            if (owned & client->owned) {
                model_fail(&world->model, "group %d settles with two owners", g);
            }
            owned |= client->owned;
        }
        if (live > 0 && (description.state != MR_GROUP_STABLE || description.member_count != live ||
                         owned != (1u << MODEL_PARTITIONS) - 1)) {
            return false;
        }
        if (live == 0 && description.member_count > 0) {
            return false;
        }
    }
    return true;
}

void
world_settle(struct world *world)
{
    int calm_ms = 0;

    world->calm = true;
    for (int ms = 0; ms < SETTLE_MS_MAX; ms += CALM_STEP_MS) {
        pass(world, CALM_STEP_MS);
        for (int p = 0; p < WORLD_LOGS; p++) {
            while (world->logs[p].write_count > 0) {
                end_write(world, &world->logs[p]);
            }
        }
        see_gone(world);
        for (int i = 0; i < WORLD_CLIENTS; i++) {
            client_act(&world->clients[i]);
        }
        calm_ms = settled(world) ? calm_ms + CALM_STEP_MS : 0;
        if (calm_ms > CALM_MS) {
            fetch_all(world);
            restart(world);
            fetch_all(world);
            return;
        }
    }
    model_fail(&world->model, "the groups do not settle");
}
