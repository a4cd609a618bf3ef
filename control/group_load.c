/* control/group_load.c: reads the records of __consumer_offsets back. Bytes come from a disk, and
 * may have been written by any version of Kafka. */
#include "control/group_internal.h"

#include <errno.h>

#include "dataplane/base/endian.h"
#include "dataplane/kafka/wire/wire.h"

#define KEY_OFFSET_COMMIT_OLD 0
#define KEY_OFFSET_COMMIT     1
#define KEY_GROUP_METADATA    2
#define VERSION_SIZE          2
#define NO_TIME               (-1)

/* A struct with its version (or kind) in front. 0, -EBADMSG or -ENOMEM. */
static int
decode(struct mr_groups *groups, const struct mr_wire_message *message, int16_t version,
       struct mr_bytes bytes, void *out)
{
    struct iovec slice = {(uint8_t *)bytes.data + VERSION_SIZE, (size_t)bytes.size - VERSION_SIZE};
    struct mr_wire_in in;

    mr_wire_init(message, out);
    if (version < message->version_min || version > message->version_max) {
        return -EBADMSG;
    }
    mr_wire_in_init(&in, &slice, 1, slice.iov_len);
    return mr_wire_decode(message, version, &in, &groups->bump, out);
}

static int16_t
version_of(struct mr_bytes bytes)
{
    return bytes.size < VERSION_SIZE ? -1 : (int16_t)mr_be16_get(bytes.data);
}

static struct group *
get_group(struct mr_groups *groups, struct mr_str id)
{
    struct group *group = group_find(groups, id);

    return group ? group : group_create(groups, id);
}

static bool
belongs(const struct mr_groups *groups, struct mr_str group_id, int32_t partition)
{
    return group_id.size >= 0 &&
           mr_groups_partition(group_id, groups->partition_count) == partition;
}

/* ---- offsets -----------------------------------------------------------------------------------
 */

static int
put_offset(struct mr_groups *groups, const struct mr_offset_commit_key *key,
           const struct mr_offset_commit_value *data)
{
    struct mr_group_offset in = {
        .offset = data->offset,
        .leader_epoch = data->leader_epoch,
        .metadata = data->metadata,
        .topic_id = data->topic_id,
    };
    struct group_value *value =
        group_value_make(groups, &in, data->commit_timestamp, data->expire_timestamp);
    struct group *group = value ? get_group(groups, key->group) : NULL;
    struct group_offset *offset =
        group ? group_offset_make(groups, group, key->topic, key->partition) : NULL;

    if (!offset) {
        group_free(groups, value);
        return -ENOMEM;
    }
    if (MUTANT(FIRST_OFFSET_LOADED) && offset->value) {
        group_free(groups, value);
        return 0;
    }
    group_offset_set(groups, offset, value);
    group->recorded = true;
    return 0;
}

static int
load_offset(struct mr_groups *groups, int32_t partition, struct mr_bytes key_bytes,
            struct mr_bytes value_bytes)
{
    struct mr_offset_commit_key key;
    struct mr_offset_commit_value value;
    int error = decode(groups, &mr_offset_commit_key_message, 0, key_bytes, &key);
    struct group *group;
    struct group_offset *offset;

    if (error) {
        return error;
    }
    if (!belongs(groups, key.group, partition) || key.topic.size < 0 || key.partition < 0) {
        return -EBADMSG;
    }
    if (value_bytes.size < 0 && MUTANT(TOMBSTONE_NOT_LOADED)) {
        return 0;
    }
    if (value_bytes.size < 0) {
        group = group_find(groups, key.group);
        offset = group ? group_offset_find(groups, group, key.topic, key.partition) : NULL;
        if (offset) {
            group_offset_set(groups, offset, NULL);
            group_offset_drop(groups, offset);
        }
        return 0;
    }
    error = decode(groups, &mr_offset_commit_value_message, version_of(value_bytes), value_bytes,
                   &value);
    return error ? error : put_offset(groups, &key, &value);
}

/* ---- groups ------------------------------------------------------------------------------------
 */

static void
clear_members(struct mr_groups *groups, struct group *group)
{
    MR_LIST_FOR_EACH(node, &group->members)
    {
        group_member_remove(groups, GROUP_MEMBER(node), MR_KAFKA_UNKNOWN_MEMBER_ID);
    }
    group_set_protocol(groups, group, NULL);
    group_free_str(groups, &group->protocol_type);
    group->generation = 0;
    group->recorded = false;
    group_restore(groups, group, MR_GROUP_EMPTY, NO_TIME);
}

/* Whether the members can be those of one group. */
static bool
plausible(const struct mr_group_metadata_value *value)
{
    if (value->members_count > 0 && (value->protocol.size < 0 || value->protocol_type.size <= 0)) {
        return false;
    }
    for (int32_t i = 0; i < value->members_count; i++) {
        if (value->members[i].member_id.size <= 0 || value->members[i].session_timeout < 0) {
            return false;
        }
    }
    return true;
}

/* 0; -EBADMSG for a member that is there already; -ENOMEM. */
static int
load_member(struct mr_groups *groups, struct group *group,
            const struct mr_group_metadata_value *value,
            const struct mr_group_metadata_value_member *in)
{
    struct mr_group_protocol protocol = {.name = value->protocol, .metadata = in->subscription};
    struct group_member_spec spec = {
        .id = in->member_id,
        .instance_id = in->group_instance_id,
        .client_id = in->client_id,
        .client_host = in->client_host,
        .session_timeout_ms = in->session_timeout,
        .rebalance_timeout_ms =
            in->rebalance_timeout < 0 ? in->session_timeout : in->rebalance_timeout,
        .protocols = &protocol,
        .protocol_count = 1,
    };
    struct group_member *member;

    if (group_member_find(groups, group, in->member_id) ||
        (in->group_instance_id.size >= 0 &&
         group_member_find_static(groups, group, in->group_instance_id))) {
        return -EBADMSG;
    }
    member = group_member_add(groups, group, &spec);
    if (!member || !group_copy_bytes(groups, in->assignment, &member->assignment)) {
        return -ENOMEM;
    }
    return 0;
}

static int
put_group(struct mr_groups *groups, struct group *group,
          const struct mr_group_metadata_value *value)
{
    int error = 0;

    clear_members(groups, group);
    for (int32_t i = 0; i < value->members_count && !error; i++) {
        error = load_member(groups, group, value, &value->members[i]);
    }
    if (!error && value->protocol_type.size > 0 &&
        !group_copy(groups, value->protocol_type, &group->protocol_type)) {
        error = -ENOMEM;
    }
    if (error) {
        clear_members(groups, group);
        return error;
    }
    group->recorded = true;
    group->generation =
        value->generation < 0 || MUTANT(GENERATION_NOT_LOADED) ? 0 : value->generation;
    if (group->member_count > 0) {
        struct group_member *leader = group_member_find(groups, group, value->leader);

        group->leader = leader ? leader : group->leader;
        group_set_protocol(groups, group, group_select_protocol(group));
        group_restore(groups, group, MR_GROUP_STABLE, value->current_state_timestamp);
    } else {
        group_restore(groups, group, MR_GROUP_EMPTY, value->current_state_timestamp);
    }
    return 0;
}

static int
load_group(struct mr_groups *groups, int32_t partition, struct mr_bytes key_bytes,
           struct mr_bytes value_bytes)
{
    struct mr_group_metadata_key key;
    struct mr_group_metadata_value value;
    int error = decode(groups, &mr_group_metadata_key_message, 0, key_bytes, &key);
    struct group *group;

    if (error) {
        return error;
    }
    if (!belongs(groups, key.group, partition)) {
        return -EBADMSG;
    }
    if (value_bytes.size < 0) {
        group = group_find(groups, key.group);
        if (group) {
            clear_members(groups, group);
            group_release_unused(groups, group);
        }
        return 0;
    }
    error = decode(groups, &mr_group_metadata_value_message, version_of(value_bytes), value_bytes,
                   &value);
    if (error) {
        return error;
    }
    if (!plausible(&value)) {
        return -EBADMSG;
    }
    group = get_group(groups, key.group);
    return group ? put_group(groups, group, &value) : -ENOMEM;
}

int
mr_groups_load_record(struct mr_groups *groups, int32_t partition, struct mr_bytes key,
                      struct mr_bytes value)
{
    int error;

    MR_ASSERT(mr_groups_partition_state(groups, partition) == MR_GROUPS_PARTITION_LOADING);
    if (version_of(key) < 0 || (value.size >= 0 && value.size < VERSION_SIZE)) {
        return -EBADMSG;
    }
    mr_bump_init(&groups->bump, groups->scratch, sizeof(groups->scratch),
                 groups->config.bytes_max - groups->bytes);
    switch (version_of(key)) {
    case KEY_OFFSET_COMMIT_OLD:
    case KEY_OFFSET_COMMIT:
        error = load_offset(groups, partition, key, value);
        break;
    case KEY_GROUP_METADATA:
        error = load_group(groups, partition, key, value);
        break;
    default:
        error = 0;
        break;
    }
    mr_bump_reset(&groups->bump);
    return error;
}
