/* control/group_offsets.c: committed offsets: commit, fetch, deletion, retention.
 *
 * An offset has an entry from its commit on; what is fetched is the entry's durable value, which
 * changes when a write ends, in the order of the writes. An entry lives while it has a value or
 * outstanding writes, and after a write that failed, because its record may be in the log all the
 * same: a deletion must cover it, lest it come back at the next start. */
#include "control/group_internal.h"

#include <string.h>

#include "dataplane/base/endian.h"

#define GROUP_ID_NOT_FOUND_VERSION 9
#define RETENTION_DEFAULT          (-1)          /* in a commit */
#define RETENTION_STEP_MS          1             /* between two partitions */
#define TOMBSTONE_RECORDS_MAX      1000u         /* of one write */
#define TOMBSTONE_BYTES_MAX        (256u * 1024) /* of one write, about */

/* ---- entries -----------------------------------------------------------------------------------
 */

static struct group_topic_name *
name_find(const struct mr_groups *groups, struct mr_str name)
{
    uint64_t hash = group_hash(groups, NULL, name);

    for (struct group_node *node = group_table_chain(&groups->topic_names, hash); node;
         node = node->next) {
        struct group_topic_name *shared = MR_CONTAINER_OF(node, struct group_topic_name, by_name);

        if (node->hash == hash && group_str_equal(shared->name, name)) {
            return shared;
        }
    }
    return NULL;
}

static struct group_topic_name *
name_make(struct mr_groups *groups, struct mr_str name)
{
    struct group_topic_name *shared = name_find(groups, name);

    if (shared) {
        return shared;
    }
    shared = group_alloc(groups, sizeof(*shared));
    if (!shared || !group_copy(groups, name, &shared->name)) {
        group_free(groups, shared);
        return NULL;
    }
    mr_list_init(&shared->topics);
    group_table_add(groups, &groups->topic_names, &shared->by_name, group_hash(groups, NULL, name));
    return shared;
}

static void
name_drop(struct mr_groups *groups, struct group_topic_name *shared)
{
    if (!mr_list_empty(&shared->topics)) {
        return;
    }
    group_table_remove(&groups->topic_names, &shared->by_name);
    group_free_str(groups, &shared->name);
    group_free(groups, shared);
}

static struct group_topic *
topic_find(const struct mr_groups *groups, const struct group *group, struct mr_str name)
{
    uint64_t hash = group_hash(groups, group, name);

    for (struct group_node *node = group_table_chain(&groups->topics, hash); node;
         node = node->next) {
        struct group_topic *topic = MR_CONTAINER_OF(node, struct group_topic, by_name);

        if (node->hash == hash && topic->group == group && group_str_equal(topic->name, name)) {
            return topic;
        }
    }
    return NULL;
}

static uint64_t
partition_hash(const struct mr_groups *groups, const struct group_topic *topic, int32_t partition)
{
    return group_hash(groups, topic, (struct mr_str){(const char *)&partition, sizeof(partition)});
}

static struct group_offset *
offset_find(const struct mr_groups *groups, const struct group_topic *topic, int32_t partition)
{
    uint64_t hash = partition_hash(groups, topic, partition);

    for (struct group_node *node = group_table_chain(&groups->offsets, hash); node;
         node = node->next) {
        struct group_offset *offset = MR_CONTAINER_OF(node, struct group_offset, by_partition);

        if (node->hash == hash && offset->topic == topic && offset->partition == partition) {
            return offset;
        }
    }
    return NULL;
}

struct group_offset *
group_offset_find(const struct mr_groups *groups, const struct group *group, struct mr_str topic,
                  int32_t partition)
{
    struct group_topic *found = topic_find(groups, group, topic);

    return found ? offset_find(groups, found, partition) : NULL;
}

static struct group_topic *
topic_make(struct mr_groups *groups, struct group *group, struct mr_str name)
{
    struct group_topic *topic = topic_find(groups, group, name);
    struct group_topic_name *shared;

    if (topic) {
        return topic;
    }
    topic = group_alloc(groups, sizeof(*topic));
    shared = topic ? name_make(groups, name) : NULL;
    if (!shared) {
        group_free(groups, topic);
        return NULL;
    }
    topic->group = group;
    topic->shared = shared;
    topic->name = shared->name;
    mr_list_push_back(&shared->topics, &topic->namesake);
    mr_list_init(&topic->offsets);
    mr_list_push_back(&group->topics, &topic->link);
    group_table_add(groups, &groups->topics, &topic->by_name, group_hash(groups, group, name));
    return topic;
}

static void
topic_drop(struct mr_groups *groups, struct group_topic *topic)
{
    if (!mr_list_empty(&topic->offsets)) {
        return;
    }
    mr_list_remove(&topic->link);
    mr_list_remove(&topic->namesake);
    group_table_remove(&groups->topics, &topic->by_name);
    name_drop(groups, topic->shared);
    group_free(groups, topic);
}

struct group_offset *
group_offset_make(struct mr_groups *groups, struct group *group, struct mr_str topic_name,
                  int32_t partition)
{
    struct group_topic *topic = topic_make(groups, group, topic_name);
    struct group_offset *offset = topic ? offset_find(groups, topic, partition) : NULL;

    if (offset || !topic) {
        return offset;
    }
    offset = group_alloc(groups, sizeof(*offset));
    if (!offset) {
        topic_drop(groups, topic);
        return NULL;
    }
    offset->topic = topic;
    offset->partition = partition;
    mr_list_push_back(&topic->offsets, &offset->link);
    group_table_add(groups, &groups->offsets, &offset->by_partition,
                    partition_hash(groups, topic, partition));
    group->offset_count++;
    return offset;
}

void
group_offset_drop(struct mr_groups *groups, struct group_offset *offset)
{
    struct group_topic *topic = offset->topic;

    if (offset->value || offset->writes > 0 || offset->doubtful) {
        return;
    }
    topic->group->offset_count--;
    mr_list_remove(&offset->link);
    group_table_remove(&groups->offsets, &offset->by_partition);
    group_free(groups, offset);
    topic_drop(groups, topic);
}

struct group_value *
group_value_make(struct mr_groups *groups, const struct mr_group_offset *offset, int64_t commit_ms,
                 int64_t expire_ms)
{
    size_t size = offset->metadata.size > 0 ? (size_t)offset->metadata.size : 0;
    struct group_value *value = group_alloc(groups, sizeof(*value) + size);
    char *metadata;

    if (!value) {
        return NULL;
    }
    metadata = (char *)(value + 1);
    if (size > 0) {
        memcpy(metadata, offset->metadata.data, size);
    }
    value->offset = offset->offset;
    value->commit_ms = commit_ms;
    value->expire_ms = expire_ms;
    value->leader_epoch = offset->leader_epoch;
    value->topic_id = offset->topic_id;
    value->metadata = (struct mr_str){metadata, (int32_t)size};
    return value;
}

void
group_offset_set(struct mr_groups *groups, struct group_offset *offset, struct group_value *value)
{
    groups->stats.offsets += (value ? 1 : 0);
    groups->stats.offsets -= (offset->value ? 1 : 0);
    group_free(groups, offset->value);
    offset->value = value;
}

void
group_offsets_free(struct mr_groups *groups, struct group *group)
{
    while (!mr_list_empty(&group->topics)) {
        struct group_topic *topic = MR_CONTAINER_OF(group->topics.next, struct group_topic, link);
        struct group_offset *offset =
            MR_CONTAINER_OF(topic->offsets.next, struct group_offset, link);

        MR_ASSERT(offset->writes == 0);
        offset->doubtful = false;
        group_offset_set(groups, offset, NULL);
        group_offset_drop(groups, offset); /* the last one takes the topic with it */
    }
}

void
group_release_unused(struct mr_groups *groups, struct group *group)
{
    if (group->state == MR_GROUP_EMPTY && !group->recorded && group->member_count == 0 &&
        group->pending_count == 0 && group->offset_count == 0 && group->writes == 0) {
        group_edge_dead(groups, group, MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
    }
}

/* ---- commit ------------------------------------------------------------------------------------
 */

void
group_commit_answer(struct mr_groups *groups, struct mr_group_commit *commit, int16_t error)
{
    for (int32_t i = 0; error != MR_KAFKA_NONE && i < commit->offset_count; i++) {
        if (commit->offsets[i].error == MR_KAFKA_NONE) {
            commit->offsets[i].error = error;
        }
    }
    group_answer(groups, &commit->request, error);
}

/* Kafka counts the characters of Java's UTF-16, not bytes. */
static bool
metadata_too_large(const struct mr_groups *groups, struct mr_str metadata)
{
    int64_t units = 0;

    for (int32_t i = 0; i < metadata.size; i++) {
        uint8_t byte = (uint8_t)metadata.data[i];

        units += (byte & 0xc0) != 0x80; /* the first byte of a character */
        units += byte >= 0xf0;          /* a surrogate pair */
    }
    return units > groups->config.offset_metadata_bytes_max;
}

static int16_t
commit_judge(const struct mr_groups *groups, const struct group *group,
             const struct mr_group_commit *commit)
{
    int16_t error;

    if (group->deleting) {
        return MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    if (commit->generation < 0 && group->state == MR_GROUP_EMPTY) {
        return MR_KAFKA_NONE;
    }
    if (commit->generation < 0 && group_str_empty(commit->member_id) &&
        commit->instance_id.size < 0) {
        return MR_KAFKA_UNKNOWN_MEMBER_ID;
    }
    error = group_member_check(groups, group, commit->member_id, commit->instance_id);
    if (error != MR_KAFKA_NONE) {
        return error;
    }
    if (commit->generation != group->generation && !MUTANT(COMMIT_OF_OLD_GENERATION)) {
        return MR_KAFKA_ILLEGAL_GENERATION;
    }
    return group->state == MR_GROUP_COMPLETING_REBALANCE ? MR_KAFKA_REBALANCE_IN_PROGRESS
                                                         : MR_KAFKA_NONE;
}

/* Adds the record of one offset. False at a bound. */
static bool
commit_one(struct mr_groups *groups, struct group_write *write, struct mr_group_offset *in,
           int64_t expire_ms)
{
    struct group_value *value = group_value_make(groups, in, groups->now.ms, expire_ms);
    struct group_offset *offset;

    if (!value) {
        return false;
    }
    offset = group_offset_make(groups, write->group, in->topic, in->partition);
    if (!offset || !group_write_offset(groups, write, offset, value)) {
        group_free(groups, value);
        if (offset) {
            group_offset_drop(groups, offset);
        }
        return false;
    }
    return true;
}

/* -1: with the group. A retention that no calendar has is for ever, a negative one over. */
static int64_t
expiry_ms(const struct mr_groups *groups, int64_t retention_ms)
{
    if (retention_ms == RETENTION_DEFAULT) {
        return -1;
    }
    if (retention_ms < 0) {
        return 0;
    }
    return retention_ms < INT64_MAX - groups->now.ms ? groups->now.ms + retention_ms : INT64_MAX;
}

static void
commit_group(struct mr_groups *groups, struct group *group, struct mr_group_commit *commit)
{
    int64_t expire_ms = expiry_ms(groups, commit->retention_ms);
    struct group_write *write =
        group_write_begin(groups, group, GROUP_WRITE_OFFSETS, (uint32_t)commit->offset_count + 1);

    if (!write) {
        group_commit_answer(groups, commit, MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    for (int32_t i = 0; i < commit->offset_count; i++) {
        struct mr_group_offset *offset = &commit->offsets[i];

        if (offset->error != MR_KAFKA_NONE) {
            continue;
        }
        if (metadata_too_large(groups, offset->metadata)) {
            offset->error = MR_KAFKA_OFFSET_METADATA_TOO_LARGE;
        } else if (!commit_one(groups, write, offset, expire_ms)) {
            group_write_drop(groups, write);
            group_commit_answer(groups, commit, MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
            return;
        }
    }
    if (write->write.record_count == 0) {
        group_write_drop(groups, write);
        group_commit_answer(groups, commit, MR_KAFKA_NONE);
        return;
    }
    if (MUTANT(COMMIT_ANSWERED_EARLY)) {
        group_commit_answer(groups, commit, MR_KAFKA_NONE);
    } else {
        write->request = &commit->request;
        group_park(&commit->request, GROUP_PARKED_COMMIT, write);
    }
    group_write_submit(groups, write);
}

static void
commit_known(struct mr_groups *groups, struct group *group, struct mr_group_commit *commit)
{
    int16_t error = commit_judge(groups, group, commit);
    struct group_member *member;

    if (error != MR_KAFKA_NONE) {
        group_commit_answer(groups, commit, error);
        return;
    }
    member = group_member_find(groups, group, commit->member_id);
    if (member && !member->pending && group->state != MR_GROUP_EMPTY) {
        group_session_renew(groups, member);
    }
    commit_group(groups, group, commit);
    group_release_unused(groups, group);
}

bool
mr_groups_commit(struct mr_groups *groups, struct mr_group_commit *commit, struct mr_group_time now)
{
    int16_t error = group_available(groups, commit->group_id);
    struct group *group = error == MR_KAFKA_NONE ? group_find(groups, commit->group_id) : NULL;

    group_request_begin(groups, &commit->request, now);
    if (error != MR_KAFKA_NONE) {
        group_commit_answer(groups, commit, error);
    } else if (!group && commit->generation >= 0) {
        group_commit_answer(groups, commit,
                            commit->api_version >= GROUP_ID_NOT_FOUND_VERSION
                                ? MR_KAFKA_GROUP_ID_NOT_FOUND
                                : MR_KAFKA_ILLEGAL_GENERATION);
    } else if (!group && !(group = group_create(groups, commit->group_id))) {
        group_commit_answer(groups, commit, MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
    } else {
        commit_known(groups, group, commit);
    }
    return group_request_end(groups, &commit->request);
}

/* ---- tombstones --------------------------------------------------------------------------------
 */

/* Tombstones of one group, in as many writes as it takes. */
struct tombstones {
    struct group *group;
    struct group_write *write;
    uint32_t left; /* at most so many more */
    bool failed;
};

static void
tombstones_submit(struct mr_groups *groups, struct tombstones *tombstones)
{
    if (tombstones->write && tombstones->write->write.record_count > 0) {
        group_write_submit(groups, tombstones->write);
    } else if (tombstones->write) {
        group_write_drop(groups, tombstones->write);
    }
    tombstones->write = NULL;
}

/* A write with room for one more record; NULL at a bound. */
static struct group_write *
tombstones_room(struct mr_groups *groups, struct tombstones *tombstones)
{
    struct group_write *write = tombstones->write;
    uint32_t capacity = tombstones->left + 1;

    if (write && (write->write.record_count == write->capacity ||
                  write->write.record_bytes >= TOMBSTONE_BYTES_MAX)) {
        tombstones_submit(groups, tombstones);
        write = NULL;
    }
    if (!write) {
        write =
            group_write_begin(groups, tombstones->group, GROUP_WRITE_OFFSETS,
                              capacity < TOMBSTONE_RECORDS_MAX ? capacity : TOMBSTONE_RECORDS_MAX);
        tombstones->write = write;
    }
    return write;
}

static void
tombstones_add(struct mr_groups *groups, struct tombstones *tombstones, struct group_offset *offset)
{
    struct group_write *write = tombstones->failed ? NULL : tombstones_room(groups, tombstones);

    if (!write || !group_write_offset(groups, write, offset, NULL)) {
        tombstones->failed = true;
    }
    tombstones->left -= tombstones->left > 0 ? 1 : 0;
}

static struct tombstones
tombstones_begin(struct group *group)
{
    return (struct tombstones){.group = group, .left = group->offset_count};
}

/* Ends with the group's own tombstone, which `request` (or nobody) waits for. */
static bool
tombstones_delete_group(struct mr_groups *groups, struct tombstones *tombstones,
                        struct mr_group_request *request)
{
    struct group_write *write = tombstones->failed ? NULL : tombstones_room(groups, tombstones);

    if (!write || !group_write_group_tombstone(groups, write)) {
        tombstones_submit(groups, tombstones);
        return false;
    }
    tombstones->group->deleting = true;
    tombstones->group->delete_error = MR_KAFKA_NONE;
    write->deletes_group = true;
    write->request = request;
    if (request) {
        group_park(request, GROUP_PARKED_WRITE, write);
    }
    tombstones_submit(groups, tombstones);
    return true;
}

/* Every offset of the group, including those whose commit is on its way. */
static void
tombstones_add_all(struct mr_groups *groups, struct tombstones *tombstones)
{
    MR_LIST_FOR_EACH(topic_node, &tombstones->group->topics)
    {
        struct group_topic *topic = MR_CONTAINER_OF(topic_node, struct group_topic, link);

        MR_LIST_FOR_EACH(node, &topic->offsets)
        {
            tombstones_add(groups, tombstones, MR_CONTAINER_OF(node, struct group_offset, link));
        }
    }
}

/* ---- the end of a write ------------------------------------------------------------------------
 */

static void
apply(struct mr_groups *groups, struct group_write *write, bool good)
{
    for (uint32_t i = 0; i < write->write.record_count; i++) {
        struct group_change *change = &write->changes[i];
        struct group_offset *offset = change->offset;

        if (!offset) {
            continue;
        }
        offset->writes--;
        offset->doubtful = !good;
        if (good) {
            groups->stats.commits += change->value ? 1 : 0;
            write->group->recorded |= change->value != NULL;
            group_offset_set(groups, offset, change->value);
            change->value = NULL;
        }
        change->offset = NULL;
        group_offset_drop(groups, offset);
    }
}

void
group_offsets_written(struct mr_groups *groups, struct group_write *write, int16_t error)
{
    struct group *group = write->group;
    struct mr_group_request *request = write->request;
    bool removes = !write->changes[0].value;

    error = MUTANT(FAILED_COMMIT_ANSWERED) ? MR_KAFKA_NONE : error;
    apply(groups, write, error == MR_KAFKA_NONE);
    write->request = NULL;
    if (error != MR_KAFKA_NONE && group->deleting && removes) {
        group->delete_error = error;
    }
    if (write->deletes_group) {
        error = group->delete_error;
        group->deleting = false;
    }
    if (request && request->kind == GROUP_PARKED_COMMIT) {
        group_commit_answer(groups, MR_CONTAINER_OF(request, struct mr_group_commit, request),
                            error);
    } else if (request) {
        group_answer(groups, request, error);
    }
}

/* ---- OffsetDelete, DeleteGroups ----------------------------------------------------------------
 */

/* Marks the group's topics that a subscription of the consumer protocol names: a version, then an
 * array of names. Bytes come from a client; false: they are no subscription. */
static bool
mark_subscription(const struct mr_groups *groups, const struct group *group,
                  struct mr_bytes metadata)
{
    const uint8_t *at = metadata.data;
    size_t left = metadata.size > 0 ? (size_t)metadata.size : 0;
    int32_t count;

    if (left < 6 || (int16_t)mr_be16_get(at) < 0) {
        return false;
    }
    count = (int32_t)mr_be32_get(at + 2);
    at += 6;
    left -= 6;
    for (int32_t i = 0; i < count; i++) {
        int16_t size = left < 2 ? -1 : (int16_t)mr_be16_get(at);
        struct group_topic *topic;

        if (size < 0 || (size_t)size > left - 2) {
            return false;
        }
        topic = topic_find(groups, group, (struct mr_str){(const char *)at + 2, size});
        if (topic) {
            topic->subscribed = true;
        }
        at += 2 + size;
        left -= 2 + (size_t)size;
    }
    return count >= 0;
}

static bool
is_consumer(const struct group *group)
{
    return group_str_equal(group->protocol_type, (struct mr_str){"consumer", 8});
}

/* Marks the topics that members consume, in one pass over the members' subscriptions; false: that
 * cannot be known. */
static bool
mark_subscribed(const struct mr_groups *groups, struct group *group)
{
    MR_LIST_FOR_EACH(topic, &group->topics)
    {
        MR_CONTAINER_OF(topic, struct group_topic, link)->subscribed = false;
    }
    if (!is_consumer(group)) {
        return true;
    }
    MR_LIST_FOR_EACH(node, &group->members)
    {
        if (!group->protocol ||
            !mark_subscription(groups, group, group_member_metadata(GROUP_MEMBER(node)))) {
            return false;
        }
    }
    return true;
}

/* Entries for the topics that a request names, so that they can be marked. False at a bound. */
static bool
topics_make(struct mr_groups *groups, struct group *group,
            const struct mr_group_offset_delete *request)
{
    for (int32_t i = 0; i < request->offset_count; i++) {
        if (request->offsets[i].error == MR_KAFKA_NONE &&
            !topic_make(groups, group, request->offsets[i].topic)) {
            return false;
        }
    }
    return true;
}

static void
topics_drop_empty(struct mr_groups *groups, struct group *group)
{
    MR_LIST_FOR_EACH(node, &group->topics)
    {
        topic_drop(groups, MR_CONTAINER_OF(node, struct group_topic, link));
    }
}

static void
offset_delete_group(struct mr_groups *groups, struct group *group,
                    struct mr_group_offset_delete *request)
{
    struct tombstones tombstones = tombstones_begin(group);
    bool known;

    tombstones.left = (uint32_t)request->offset_count;
    tombstones.failed = !topics_make(groups, group, request);
    known = mark_subscribed(groups, group);
    for (int32_t i = 0; i < request->offset_count; i++) {
        struct mr_group_offset *in = &request->offsets[i];
        struct group_offset *offset;

        if (in->error != MR_KAFKA_NONE || tombstones.failed) {
            continue;
        }
        if (!known || topic_find(groups, group, in->topic)->subscribed) {
            in->error = MR_KAFKA_GROUP_SUBSCRIBED_TO_TOPIC;
            continue;
        }
        offset = group_offset_find(groups, group, in->topic, in->partition);
        if (offset) {
            tombstones_add(groups, &tombstones, offset);
        }
    }
    topics_drop_empty(groups, group);
    if (tombstones.failed) {
        tombstones_submit(groups, &tombstones);
        group_answer(groups, &request->request, MR_KAFKA_COORDINATOR_NOT_AVAILABLE);
    } else if (tombstones.write) {
        tombstones.write->request = &request->request;
        group_park(&request->request, GROUP_PARKED_WRITE, tombstones.write);
        tombstones_submit(groups, &tombstones);
    } else {
        group_answer(groups, &request->request, MR_KAFKA_NONE);
    }
}

bool
mr_groups_offset_delete(struct mr_groups *groups, struct mr_group_offset_delete *request,
                        struct mr_group_time now)
{
    int16_t error = group_available(groups, request->group_id);
    struct group *group = error == MR_KAFKA_NONE ? group_find(groups, request->group_id) : NULL;

    group_request_begin(groups, &request->request, now);
    if (group_str_empty(request->group_id)) {
        error = MR_KAFKA_INVALID_GROUP_ID;
    } else if (error == MR_KAFKA_NONE && !group) {
        error = MR_KAFKA_GROUP_ID_NOT_FOUND;
    } else if (error == MR_KAFKA_NONE && group->deleting) {
        error = MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
    } else if (error == MR_KAFKA_NONE && group->state != MR_GROUP_EMPTY && !is_consumer(group)) {
        error = MR_KAFKA_NON_EMPTY_GROUP;
    }
    if (error != MR_KAFKA_NONE) {
        group_answer(groups, &request->request, error);
    } else {
        offset_delete_group(groups, group, request);
    }
    return group_request_end(groups, &request->request);
}

bool
mr_groups_delete(struct mr_groups *groups, struct mr_group_delete *request,
                 struct mr_group_time now)
{
    int16_t error = group_available(groups, request->group_id);
    struct group *group = error == MR_KAFKA_NONE ? group_find(groups, request->group_id) : NULL;
    struct tombstones tombstones;

    group_request_begin(groups, &request->request, now);
    if (error == MR_KAFKA_NONE && !group) {
        error = MR_KAFKA_GROUP_ID_NOT_FOUND;
    } else if (error == MR_KAFKA_NONE && group->state != MR_GROUP_EMPTY) {
        error = MR_KAFKA_NON_EMPTY_GROUP;
    } else if (error == MR_KAFKA_NONE && group->deleting) {
        error = MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    if (error == MR_KAFKA_NONE) {
        tombstones = tombstones_begin(group);
        tombstones_add_all(groups, &tombstones);
        if (tombstones_delete_group(groups, &tombstones, &request->request)) {
            return group_request_end(groups, &request->request);
        }
        error = MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    group_answer(groups, &request->request, error);
    return group_request_end(groups, &request->request);
}

void
mr_groups_topic_deleted(struct mr_groups *groups, struct mr_str topic, struct mr_group_time now)
{
    struct group_topic_name *shared = name_find(groups, topic);

    groups->now = now;
    if (!shared) {
        return;
    }
    MR_LIST_FOR_EACH(node, &shared->topics)
    {
        struct group_topic *found = MR_CONTAINER_OF(node, struct group_topic, namesake);
        struct group *group = found->group;
        struct tombstones tombstones = tombstones_begin(group);

        if (group->deleting ||
            groups->partitions[group->partition].state != MR_GROUPS_PARTITION_LOADED) {
            continue;
        }
        MR_LIST_FOR_EACH(offset_node, &found->offsets)
        {
            tombstones_add(groups, &tombstones,
                           MR_CONTAINER_OF(offset_node, struct group_offset, link));
        }
        tombstones_submit(groups, &tombstones);
    }
}

/* ---- retention ---------------------------------------------------------------------------------
 */

/* When an offset's retention began; false: it does not run. `known`: whether topics are marked. */
static bool
retention_base(const struct group *group, const struct group_offset *offset, bool known,
               int64_t *base_ms)
{
    const struct group_value *value = offset->value;

    if (!known || offset->topic->subscribed) {
        return false;
    }
    if (group->protocol_type.size <= 0) {
        *base_ms = value->commit_ms;
        return true;
    }
    if (group->state == MR_GROUP_EMPTY) {
        *base_ms = group->state_ms >= 0 ? group->state_ms : value->commit_ms;
        return true;
    }
    *base_ms = value->commit_ms;
    return group->state == MR_GROUP_STABLE && is_consumer(group);
}

static bool
expired(const struct mr_groups *groups, const struct group *group,
        const struct group_offset *offset, bool known)
{
    const struct group_value *value = offset->value;
    int64_t base_ms;

    if (offset->writes > 0) {
        return false;
    }
    if (!value) {
        return true; /* a doubtful one, which nobody was told of */
    }
    if (!retention_base(group, offset, known, &base_ms)) {
        return false;
    }
    if (value->expire_ms >= 0) {
        return groups->now.ms >= value->expire_ms;
    }
    return groups->now.ms - base_ms >= groups->config.offsets_retention_ms;
}

static void
retain(struct mr_groups *groups, struct group *group)
{
    struct tombstones tombstones = tombstones_begin(group);
    bool known = mark_subscribed(groups, group);
    uint32_t count = 0;

    MR_LIST_FOR_EACH(topic_node, &group->topics)
    {
        struct group_topic *topic = MR_CONTAINER_OF(topic_node, struct group_topic, link);

        MR_LIST_FOR_EACH(node, &topic->offsets)
        {
            struct group_offset *offset = MR_CONTAINER_OF(node, struct group_offset, link);

            if (expired(groups, group, offset, known)) {
                tombstones_add(groups, &tombstones, offset);
                count++;
            }
        }
    }
    groups->stats.expired_offsets += count;
    if (count == group->offset_count && group->state == MR_GROUP_EMPTY &&
        group->pending_count == 0 && group->writes == 0) {
        tombstones_delete_group(groups, &tombstones, NULL);
    } else {
        tombstones_submit(groups, &tombstones);
    }
}

void
group_retention(struct mr_groups *groups)
{
    struct group_partition *partition;

    if (groups->retention_at < groups->partition_count) {
        partition = &groups->partitions[groups->retention_at];
        if (partition->state == MR_GROUPS_PARTITION_LOADED) {
            MR_LIST_FOR_EACH(node, &partition->groups)
            {
                struct group *group = MR_CONTAINER_OF(node, struct group, link);

                if (!group->deleting) {
                    retain(groups, group);
                }
            }
        }
        groups->retention_at++;
    }
    if (groups->retention_at < groups->partition_count) {
        group_timer_set(groups, &groups->retention, RETENTION_STEP_MS);
    } else {
        groups->retention_at = 0;
        group_timer_set(groups, &groups->retention, groups->config.retention_check_ms);
    }
}

/* ---- fetch -------------------------------------------------------------------------------------
 */

enum mr_kafka_err
mr_groups_fetch_check(const struct mr_groups *groups, struct mr_str group_id)
{
    return group_available(groups, group_id);
}

static void
fetch_fill(const struct group_value *value, struct mr_group_offset *offset)
{
    offset->offset = value ? value->offset : -1;
    offset->leader_epoch = value ? value->leader_epoch : -1;
    offset->metadata = value ? value->metadata : group_str_none;
    offset->error = MR_KAFKA_NONE;
}

void
mr_groups_fetch(const struct mr_groups *groups, struct mr_str group_id,
                struct mr_group_offset *offset)
{
    const struct group *group = groups->partition_count > 0 ? group_find(groups, group_id) : NULL;
    const struct group_offset *found =
        group ? group_offset_find(groups, group, offset->topic, offset->partition) : NULL;
    const struct group_value *value = found ? found->value : NULL;

    if (value && !mr_uuid_is_zero(&value->topic_id) && !mr_uuid_is_zero(&offset->topic_id) &&
        !mr_uuid_equal(&value->topic_id, &offset->topic_id)) {
        value = NULL;
    }
    fetch_fill(value, offset);
}

void
mr_groups_fetch_all(const struct mr_groups *groups, struct mr_str group_id,
                    void (*visit)(void *context, const struct mr_group_offset *offset),
                    void *context)
{
    struct group *group = groups->partition_count > 0 ? group_find(groups, group_id) : NULL;

    if (!group) {
        return;
    }
    MR_LIST_FOR_EACH(topic_node, &group->topics)
    {
        const struct group_topic *topic = MR_CONTAINER_OF(topic_node, struct group_topic, link);

        MR_LIST_FOR_EACH(node, (struct mr_list *)&topic->offsets)
        {
            const struct group_offset *found = MR_CONTAINER_OF(node, struct group_offset, link);
            struct mr_group_offset offset = {
                .topic = topic->name,
                .partition = found->partition,
            };

            if (found->value) {
                offset.topic_id = found->value->topic_id;
                fetch_fill(found->value, &offset);
                visit(context, &offset);
            }
        }
    }
}
