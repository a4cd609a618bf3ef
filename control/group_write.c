/* control/group_write.c: what becomes durable: records in the formats that Kafka 4.3.1 writes.
 *
 * A key is its kind (two bytes) and the key's struct; a value its version and the value's struct:
 *
 *     OffsetCommitKey  1   -> OffsetCommitValue  4, or 1 with an expiry of its own
 *     GroupMetadataKey 2   -> GroupMetadataValue 3
 */
#include "control/group_internal.h"

#include <string.h>

#include "dataplane/base/endian.h"
#include "dataplane/kafka/wire/wire.h"

#define KEY_OFFSET_COMMIT   1
#define KEY_GROUP_METADATA  2
#define OFFSET_VALUE        4
#define OFFSET_VALUE_EXPIRY 1
#define GROUP_VALUE         3
#define VERSION_SIZE        2

int16_t
group_write_error(enum mr_kafka_err error)
{
    switch (error) {
    case MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION:
    case MR_KAFKA_NOT_ENOUGH_REPLICAS:
    case MR_KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
    case MR_KAFKA_REQUEST_TIMED_OUT:
        return MR_KAFKA_COORDINATOR_NOT_AVAILABLE;
    case MR_KAFKA_NOT_LEADER_OR_FOLLOWER:
    case MR_KAFKA_KAFKA_STORAGE_ERROR:
        return MR_KAFKA_NOT_COORDINATOR;
    case MR_KAFKA_MESSAGE_TOO_LARGE:
    case MR_KAFKA_RECORD_LIST_TOO_LARGE:
    case MR_KAFKA_INVALID_FETCH_SIZE:
        return MR_KAFKA_UNKNOWN_SERVER_ERROR;
    default:
        return (int16_t)error;
    }
}

/* ---- a write's life ----------------------------------------------------------------------------
 */

struct group_write *
group_write_begin(struct mr_groups *groups, struct group *group, enum group_write_kind kind,
                  uint32_t records)
{
    struct group_write *write = group_alloc(groups, sizeof(*write));

    if (!write) {
        return NULL;
    }
    mr_list_init(&write->link);
    write->undo.member_id = group_str_null;
    write->kind = kind;
    write->group = group;
    write->capacity = records;
    write->write.partition = group->partition;
    write->write.timestamp_ms = groups->now.ms;
    write->records = group_alloc(groups, records * sizeof(*write->records));
    if (!write->records) {
        group_write_drop(groups, write);
        return NULL;
    }
    if (kind == GROUP_WRITE_OFFSETS) {
        write->changes = group_alloc(groups, records * sizeof(*write->changes));
        if (!write->changes) {
            group_write_drop(groups, write);
            return NULL;
        }
    }
    return write;
}

void
group_write_submit(struct mr_groups *groups, struct group_write *write)
{
    MR_ASSERT(write->write.record_count > 0);
    write->group->writes++;
    groups->stats.writes++;
    mr_list_push_back(&groups->partitions[write->write.partition].writes, &write->link);
    write->write.records = write->records;
    groups->actions.write(groups->actions.context, &write->write);
}

void
group_write_drop(struct mr_groups *groups, struct group_write *write)
{
    for (uint32_t i = 0; i < write->write.record_count; i++) {
        struct mr_bytes key = write->records[i].key;

        /* Key and value are one piece of memory. */
        group_free(groups, (uint8_t *)key.data);
        if (write->changes) {
            group_free(groups, write->changes[i].value);
        }
        if (write->changes && write->changes[i].offset) {
            write->changes[i].offset->writes--;
            group_offset_drop(groups, write->changes[i].offset);
        }
    }
    mr_list_remove(&write->link);
    group_free(groups, write->changes);
    group_free(groups, write->records);
    group_free(groups, write);
}

/* ---- encoding ----------------------------------------------------------------------------------
 */

static bool
encode(struct mr_wire_out *out, int16_t prefix, const struct mr_wire_message *message,
       int16_t version, const void *value)
{
    uint8_t bytes[VERSION_SIZE];

    mr_be16_put(bytes, (uint16_t)prefix);
    mr_wire_out_bytes(out, bytes, sizeof(bytes));
    return mr_wire_encode(message, version, value, out) == 0;
}

/* Copies the encoded key and value behind each other into the next record. */
static bool
append(struct mr_groups *groups, struct group_write *write, const struct mr_wire_out *out,
       size_t key_size)
{
    uint8_t *bytes;
    size_t at = 0;

    if (out->error || out->size > INT32_MAX) {
        return false;
    }
    bytes = group_alloc(groups, out->size);
    if (!bytes) {
        return false;
    }
    for (uint32_t i = 0; i < out->iov_count; i++) {
        if (out->iov[i].iov_len > 0) {
            memcpy(bytes + at, out->iov[i].iov_base, out->iov[i].iov_len);
            at += out->iov[i].iov_len;
        }
    }
    MR_ASSERT(at == out->size && write->write.record_count < write->capacity);
    write->records[write->write.record_count++] = (struct mr_group_record){
        .key = {bytes, (int32_t)key_size},
        .value = {out->size > key_size ? bytes + key_size : NULL,
                  out->size > key_size ? (int32_t)(out->size - key_size) : -1},
    };
    write->write.record_bytes += out->size;
    return true;
}

static void
bump_begin(struct mr_groups *groups, struct mr_wire_out *out)
{
    uint64_t left = groups->config.bytes_max - groups->bytes;

    mr_bump_init(&groups->bump, groups->scratch, sizeof(groups->scratch), left);
    mr_wire_out_init(out, &groups->bump);
}

bool
group_write_offset(struct mr_groups *groups, struct group_write *write, struct group_offset *offset,
                   struct group_value *value)
{
    struct mr_offset_commit_key key;
    struct mr_offset_commit_value data;
    struct mr_wire_out out;
    size_t key_size;
    bool good;

    mr_wire_init(&mr_offset_commit_key_message, &key);
    key.group = write->group->id;
    key.topic = offset->topic->name;
    key.partition = offset->partition;
    bump_begin(groups, &out);
    good = encode(&out, KEY_OFFSET_COMMIT, &mr_offset_commit_key_message, 0, &key);
    key_size = out.size;
    if (good && value) {
        int16_t version = value->expire_ms >= 0 ? OFFSET_VALUE_EXPIRY : OFFSET_VALUE;

        mr_wire_init(&mr_offset_commit_value_message, &data);
        data.offset = value->offset;
        data.leader_epoch = value->leader_epoch;
        data.metadata = value->metadata;
        data.commit_timestamp = value->commit_ms;
        data.expire_timestamp = value->expire_ms;
        data.topic_id = value->topic_id;
        good = encode(&out, version, &mr_offset_commit_value_message, version, &data);
    }
    good = good && append(groups, write, &out, key_size);
    mr_bump_reset(&groups->bump);
    if (good) {
        offset->writes++;
        write->changes[write->write.record_count - 1] =
            (struct group_change){.offset = offset, .value = value};
    }
    return good;
}

static bool
encode_group_key(struct group_write *write, struct mr_wire_out *out)
{
    struct mr_group_metadata_key key;

    mr_wire_init(&mr_group_metadata_key_message, &key);
    key.group = write->group->id;
    return encode(out, KEY_GROUP_METADATA, &mr_group_metadata_key_message, 0, &key);
}

static void
fill_member(const struct group_write *write, const struct group_member *member,
            struct mr_group_metadata_value_member *out)
{
    out->member_id = member->id;
    out->group_instance_id = member->instance_id;
    out->client_id = member->client_id;
    out->client_host = member->client_host;
    out->rebalance_timeout = member->rebalance_timeout_ms;
    out->session_timeout = member->session_timeout_ms;
    out->subscription = group_member_metadata(member);
    out->assignment =
        write->kind == GROUP_WRITE_ASSIGNMENT ? member->assignment_next : member->assignment;
}

static bool
encode_group_value(struct mr_groups *groups, struct group_write *write, struct mr_wire_out *out)
{
    struct group *group = write->group;
    struct mr_group_metadata_value value;
    int32_t count = 0;

    mr_wire_init(&mr_group_metadata_value_message, &value);
    value.protocol_type = group->protocol_type.size < 0 ? group_str_none : group->protocol_type;
    value.generation = group->generation;
    value.protocol = group->protocol ? group->protocol->name : group_str_null;
    value.leader = group->leader ? group->leader->id : group_str_null;
    value.current_state_timestamp = group->state_ms;
    value.members =
        mr_bump_array(&groups->bump, (size_t)group->member_count, sizeof(*value.members));
    if (!value.members) {
        return false;
    }
    MR_LIST_FOR_EACH(node, &group->members)
    {
        fill_member(write, GROUP_MEMBER(node), &value.members[count++]);
    }
    value.members_count = count;
    return encode(out, GROUP_VALUE, &mr_group_metadata_value_message, GROUP_VALUE, &value);
}

bool
group_write_group(struct mr_groups *groups, struct group_write *write)
{
    struct mr_wire_out out;
    size_t key_size;
    bool good;

    bump_begin(groups, &out);
    good = encode_group_key(write, &out);
    key_size = out.size;
    good = good && encode_group_value(groups, write, &out) && append(groups, write, &out, key_size);
    mr_bump_reset(&groups->bump);
    return good;
}

bool
group_write_group_tombstone(struct mr_groups *groups, struct group_write *write)
{
    struct mr_wire_out out;
    bool good;

    bump_begin(groups, &out);
    good = encode_group_key(write, &out) && append(groups, write, &out, out.size);
    mr_bump_reset(&groups->bump);
    return good;
}
