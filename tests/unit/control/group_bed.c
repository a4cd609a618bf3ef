/* A bed for tests of the group coordinator. */
#include "group_bed.h"

#include "dataplane/base/clock.h"

static uint64_t allocations;
static uint64_t fail_from;
static uint64_t fail_at;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool
fails(void)
{
    allocations++;
    return (fail_from > 0 && allocations >= fail_from) || allocations == fail_at;
}

void *
__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

void
bed_fail_allocations(uint64_t nth)
{
    fail_from = nth > 0 ? allocations + nth : 0;
}

void
bed_fail_allocation(uint64_t nth)
{
    fail_at = nth > 0 ? allocations + nth : 0;
}

uint64_t
bed_allocations(void)
{
    return allocations;
}

struct mr_str
bed_str(const char *text)
{
    return text ? (struct mr_str){text, (int32_t)strlen(text)} : (struct mr_str){NULL, -1};
}

static void
copy(struct mr_str from, char *to)
{
    int32_t size = from.size > 0 ? from.size : 0;

    MR_CHECK(size < BED_TEXT_MAX);
    if (size > 0) {
        memcpy(to, from.data, (size_t)size);
    }
    to[size] = '\0';
}

static void
copy_bytes(struct mr_bytes from, char *to)
{
    MR_CHECK(from.size >= 0);
    copy((struct mr_str){(const char *)from.data, from.size}, to);
}

/* ---- the log -----------------------------------------------------------------------------------
 */

static void
on_write(void *context, struct mr_group_write *write)
{
    struct bed *bed = context;

    MR_CHECK(write->record_count > 0 && bed->write_count < BED_WRITES_MAX);
    bed->writes[bed->write_count++] = write;
}

static void
on_random(void *context, void *out, size_t size)
{
    struct bed *bed = context;

    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)out)[i] = (uint8_t)mr_rng_next(&bed->rng);
    }
}

void
bed_keep(struct bed *bed, const struct mr_group_write *write)
{
    for (uint32_t i = 0; i < write->record_count; i++) {
        const struct mr_group_record *in = &write->records[i];
        struct bed_record *out = &bed->records[bed->record_count++];
        size_t value_size = in->value.size > 0 ? (size_t)in->value.size : 0;

        MR_CHECK(bed->record_count < BED_RECORDS_MAX);
        out->bytes = __real_malloc((size_t)in->key.size + value_size + 1);
        memcpy(out->bytes, in->key.data, (size_t)in->key.size);
        if (value_size > 0) {
            memcpy(out->bytes + in->key.size, in->value.data, value_size);
        }
        out->key_size = in->key.size;
        out->value_size = in->value.size;
    }
}

void
bed_flush_one(struct bed *bed)
{
    struct mr_group_write *write = bed->writes[0];

    MR_CHECK(bed->write_count > 0);
    bed->write_count--;
    memmove(bed->writes, bed->writes + 1, bed->write_count * sizeof(bed->writes[0]));
    if (bed->error == MR_KAFKA_NONE && !bed->discard) {
        bed_keep(bed, write);
    }
    mr_groups_written(bed->groups, write, bed->error, bed->now);
}

void
bed_flush(struct bed *bed)
{
    while (bed->write_count > 0) {
        bed_flush_one(bed);
    }
}

void
bed_settle(struct bed *bed)
{
    if (!bed->hold) {
        bed_flush(bed);
    }
}

/* ---- life --------------------------------------------------------------------------------------
 */

struct mr_groups_actions
bed_actions(struct bed *bed)
{
    return (struct mr_groups_actions){bed, on_write, on_random};
}

static void
start(struct bed *bed)
{
    struct mr_groups_actions actions = bed_actions(bed);

    bed->groups = mr_groups_create(&bed->config, &actions);
    MR_CHECK(bed->groups);
    MR_CHECK_EQ(mr_groups_set_partition_count(bed->groups, 1), 0);
    mr_groups_load_begin(bed->groups, 0);
    for (uint32_t i = 0; i < bed->record_count; i++) {
        struct bed_record *record = &bed->records[i];

        MR_CHECK_EQ(mr_groups_load_record(
                        bed->groups, 0, (struct mr_bytes){record->bytes, record->key_size},
                        (struct mr_bytes){record->bytes + record->key_size, record->value_size}),
                    0);
    }
    mr_groups_load_end(bed->groups, 0, bed->now);
}

void
bed_open_with(struct bed *bed, const struct mr_groups_config *config)
{
    memset(bed, 0, sizeof(*bed));
    mr_rng_init(&bed->rng, 1);
    bed->config = *config;
    bed->now = (struct mr_group_time){.ns = MR_NS_PER_S, .ms = 1700000000000};
    start(bed);
}

void
bed_open(struct bed *bed)
{
    struct mr_groups_config config;

    mr_groups_config_default(&config);
    bed_open_with(bed, &config);
}

void
bed_close(struct bed *bed)
{
    mr_groups_destroy(bed->groups);
    for (uint32_t i = 0; i < bed->record_count; i++) {
        free(bed->records[i].bytes);
    }
}

void
bed_restart(struct bed *bed)
{
    mr_groups_destroy(bed->groups);
    bed->write_count = 0;
    start(bed);
}

void
bed_pass(struct bed *bed, int64_t ms)
{
    uint64_t end = bed->now.ns + (uint64_t)ms * MR_NS_PER_MS;

    while (mr_groups_deadline(bed->groups) <= end) {
        uint64_t at = mr_groups_deadline(bed->groups);

        if (at > bed->now.ns) {
            bed->now.ms += (int64_t)((at - bed->now.ns) / MR_NS_PER_MS);
            bed->now.ns = at;
        }
        mr_groups_tick(bed->groups, bed->now);
        bed_settle(bed);
    }
    bed->now.ms += (int64_t)((end - bed->now.ns) / MR_NS_PER_MS);
    bed->now.ns = end;
}

/* ---- members -----------------------------------------------------------------------------------
 */

void
bed_member(struct bed *bed, struct bed_member *member)
{
    memset(member, 0, sizeof(*member));
    member->bed = bed;
    member->group = "g";
    member->client = "c";
    member->version = 3;
    member->session_ms = 10000;
    member->rebalance_ms = 20000;
    snprintf(member->type, sizeof(member->type), "consumer");
    member->protocols[0] = (struct mr_group_protocol){
        .name = bed_str("range"),
        .metadata = {(const uint8_t *)"m", 1},
    };
    member->protocol_count = 1;
}

static void
join_answered(struct bed_member *member)
{
    const struct mr_group_join *join = &member->join;

    MR_CHECK(!member->joined);
    member->joined = true;
    member->parked = false;
    member->error = join->request.error;
    member->generation = join->generation;
    member->has_protocol = join->protocol_name.size >= 0;
    copy(join->protocol_name, member->protocol);
    copy(join->leader, member->leader);
    MR_CHECK(join->out_member_id.size >= 0);
    if (member->error == MR_KAFKA_NONE || member->error == MR_KAFKA_MEMBER_ID_REQUIRED) {
        copy(join->out_member_id, member->id);
    }
    member->skip = join->skip_assignment;
    member->member_count = join->member_count;
    for (int32_t i = 0; i < join->member_count && i < BED_MEMBERS_MAX; i++) {
        copy(join->members[i].member_id, member->members[i]);
        if (join->members[i].metadata.size < BED_TEXT_MAX) {
            copy_bytes(join->members[i].metadata, member->metadata[i]);
        }
    }
}

static void
on_joined(struct mr_group_request *request)
{
    join_answered((struct bed_member *)((char *)request - offsetof(struct bed_member, join)));
}

void
bed_join(struct bed_member *member)
{
    MR_CHECK(!member->parked);
    member->join = (struct mr_group_join){
        .request = {.done = on_joined},
        .api_version = member->version,
        .group_id = bed_str(member->group),
        .client_id = bed_str(member->client),
        .client_host = bed_str("/1.2.3.4"),
        .member_id = bed_str(member->id),
        .instance_id = bed_str(member->instance),
        .protocol_type = bed_str(member->type),
        .session_timeout_ms = member->session_ms,
        .rebalance_timeout_ms = member->rebalance_ms,
        .protocols = member->protocols,
        .protocol_count = member->protocol_count,
    };
    member->joined = false;
    member->parked = true;
    if (mr_groups_join(member->bed->groups, &member->join, member->bed->now)) {
        join_answered(member);
    }
    bed_settle(member->bed);
}

void
bed_join_twice(struct bed_member *member)
{
    bed_join(member);
    MR_CHECK(member->joined);
    MR_CHECK_EQ(member->error, MR_KAFKA_MEMBER_ID_REQUIRED);
    bed_join(member);
}

static void
sync_answered(struct bed_member *member)
{
    MR_CHECK(!member->synced);
    member->synced = true;
    member->sync_error = member->sync.request.error;
    copy_bytes(member->sync.assignment, member->assignment);
}

static void
on_synced(struct mr_group_request *request)
{
    sync_answered((struct bed_member *)((char *)request - offsetof(struct bed_member, sync)));
}

void
bed_sync(struct bed_member *member)
{
    bool leader = strcmp(member->leader, member->id) == 0 && !member->skip;

    member->sync = (struct mr_group_sync){
        .request = {.done = on_synced},
        .group_id = bed_str(member->group),
        .member_id = bed_str(member->id),
        .instance_id = bed_str(member->instance),
        .protocol_type = {NULL, -1},
        .protocol_name = {NULL, -1},
        .generation = member->generation,
        .assignments = member->assignments,
        .assignment_count = leader ? member->member_count : 0,
    };
    for (int32_t i = 0; i < member->sync.assignment_count; i++) {
        const char *id = member->members[i];

        member->assignments[i] = (struct mr_group_assignment){
            .member_id = bed_str(id),
            .assignment = {(const uint8_t *)id + strlen(id) - 1, 1},
        };
    }
    member->synced = false;
    if (mr_groups_sync(member->bed->groups, &member->sync, member->bed->now)) {
        sync_answered(member);
    }
    bed_settle(member->bed);
}

static void
check_assigned(const struct bed_member *member)
{
    MR_CHECK(member->synced);
    MR_CHECK_EQ(member->sync_error, MR_KAFKA_NONE);
    MR_CHECK_STR(member->assignment, member->id + strlen(member->id) - 1);
}

void
bed_stable(struct bed_member *member)
{
    bed_join(member);
    bed_pass(member->bed, 3000);
    MR_CHECK(member->joined);
    MR_CHECK_EQ(member->error, MR_KAFKA_NONE);
    bed_sync(member);
    check_assigned(member);
}

void
bed_stable_two(struct bed_member *first, struct bed_member *second)
{
    bed_join(first);
    bed_join(second);
    bed_pass(first->bed, 3000);
    if (!first->joined) {
        bed_pass(first->bed, 3000);
    }
    MR_CHECK(first->joined && second->joined);
    MR_CHECK_STR(first->leader, first->id);
    bed_sync(second);
    MR_CHECK(!second->synced);
    bed_sync(first);
    check_assigned(first);
    check_assigned(second);
}

int16_t
bed_heartbeat(struct bed_member *member)
{
    struct mr_group_heartbeat heartbeat = {
        .group_id = bed_str(member->group),
        .member_id = bed_str(member->id),
        .instance_id = bed_str(member->instance),
        .generation = member->generation,
    };

    return (int16_t)mr_groups_heartbeat(member->bed->groups, &heartbeat, member->bed->now);
}

static void
never(struct mr_group_request *request)
{
    (void)request;
    MR_CHECK(!"answered twice");
}

int16_t
bed_leave(struct bed_member *member)
{
    struct mr_group_leaving leaving = {
        .member_id = bed_str(member->id),
        .instance_id = {NULL, -1},
    };
    struct mr_group_leave leave = {
        .request = {.done = never},
        .group_id = bed_str(member->group),
        .members = &leaving,
        .member_count = 1,
    };

    MR_CHECK(mr_groups_leave(member->bed->groups, &leave, member->bed->now));
    bed_settle(member->bed);
    return leave.request.error != MR_KAFKA_NONE ? leave.request.error : leaving.error;
}

enum mr_group_state
bed_state(struct bed *bed, const char *group)
{
    struct mr_group_description description;
    int16_t error = (int16_t)mr_groups_describe(bed->groups, bed_str(group), &description);

    if (error == MR_KAFKA_GROUP_ID_NOT_FOUND) {
        return MR_GROUP_DEAD;
    }
    MR_CHECK_EQ(error, MR_KAFKA_NONE);
    return description.state;
}

/* ---- offsets -----------------------------------------------------------------------------------
 */

static void
on_committed(struct mr_group_request *request)
{
    struct bed_commit *commit = (struct bed_commit *)request;

    MR_CHECK(!commit->done);
    commit->done = true;
}

void
bed_commit_init(struct bed *bed, struct bed_commit *commit, const char *group, const char *topic,
                int32_t partition, int64_t offset)
{
    (void)bed;
    memset(commit, 0, sizeof(*commit));
    commit->commit = (struct mr_group_commit){
        .request = {.done = on_committed},
        .api_version = 8,
        .group_id = bed_str(group),
        .member_id = bed_str(""),
        .instance_id = {NULL, -1},
        .generation = -1,
        .retention_ms = -1,
        .offsets = &commit->offset,
        .offset_count = 1,
    };
    commit->offset = (struct mr_group_offset){
        .topic = bed_str(topic),
        .partition = partition,
        .leader_epoch = -1,
        .offset = offset,
        .metadata = bed_str(""),
    };
}

void
bed_commit_as(struct bed_commit *commit, const struct bed_member *member)
{
    commit->commit.member_id = bed_str(member->id);
    commit->commit.instance_id = bed_str(member->instance);
    commit->commit.generation = member->generation;
}

void
bed_commit_send(struct bed *bed, struct bed_commit *commit)
{
    if (mr_groups_commit(bed->groups, &commit->commit, bed->now)) {
        MR_CHECK(!commit->done);
        commit->done = true;
    }
    bed_settle(bed);
}

int16_t
bed_commit(struct bed *bed, const char *group, const char *topic, int32_t partition, int64_t offset)
{
    struct bed_commit commit;

    bed_commit_init(bed, &commit, group, topic, partition, offset);
    bed_commit_send(bed, &commit);
    MR_CHECK(commit.done);
    return commit.offset.error;
}

int64_t
bed_fetch(struct bed *bed, const char *group, const char *topic, int32_t partition)
{
    struct mr_group_offset offset = {.topic = bed_str(topic), .partition = partition};

    MR_CHECK_EQ(mr_groups_fetch_check(bed->groups, bed_str(group)), MR_KAFKA_NONE);
    mr_groups_fetch(bed->groups, bed_str(group), &offset);
    MR_CHECK(offset.metadata.size >= 0);
    return offset.offset;
}

static bool deleted;

static void
on_deleted(struct mr_group_request *request)
{
    (void)request;
    MR_CHECK(!deleted);
    deleted = true;
}

int16_t
bed_delete(struct bed *bed, const char *group)
{
    struct mr_group_delete request = {
        .request = {.done = on_deleted},
        .group_id = bed_str(group),
    };

    deleted = mr_groups_delete(bed->groups, &request, bed->now);
    bed_settle(bed);
    MR_CHECK(deleted);
    return request.request.error;
}

int16_t
bed_offset_delete(struct bed *bed, const char *group, const char *topic, int32_t partition,
                  int16_t *offset_error)
{
    struct mr_group_offset offset = {.topic = bed_str(topic), .partition = partition};
    struct mr_group_offset_delete request = {
        .request = {.done = on_deleted},
        .group_id = bed_str(group),
        .offsets = &offset,
        .offset_count = 1,
    };

    deleted = mr_groups_offset_delete(bed->groups, &request, bed->now);
    bed_settle(bed);
    MR_CHECK(deleted);
    *offset_error = offset.error;
    return request.request.error;
}
