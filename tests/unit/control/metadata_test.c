/* Goal: the metadata state machine does what its commands say, and hostile bytes do nothing.
 * Method: commands applied by hand; saved states compared; every truncation and every change of
 * one byte of commands and saved states (AddressSanitizer watches). */
#include <errno.h>

#include "control/metadata.h"
#include "dataplane/base/rng.h"
#include "tests/mr_test.h"
#include "tests/unit/control/saved_state.h"

#define COMMAND_SIZE 4096u

struct fixture {
    struct mr_config *config;
    struct mr_topic_defaults defaults;
    struct mr_metadata *metadata;
    struct mr_metadata_outcome outcome;
    uint8_t command[COMMAND_SIZE];
    size_t size;
};

static void
setup(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->config = mr_config_create();
    MR_CHECK(f->config);
    mr_topic_defaults(f->config, &f->defaults);
    f->metadata = mr_metadata_create(7, &f->defaults);
    MR_CHECK(f->metadata);
}

static void
teardown(struct fixture *f)
{
    mr_metadata_destroy(f->metadata);
    mr_config_destroy(f->config);
}

static struct mr_uuid
id_of(uint8_t number)
{
    struct mr_uuid id = {{number, 1, 2, 3}};

    return id;
}

static void
encode_create(struct fixture *f, uint8_t number, const char *name, uint32_t partitions)
{
    static const uint16_t stores[8] = {0, 1, 2, 3, 0, 1, 2, 3};
    struct mr_metadata_new_topic topic = {.id = id_of(number),
                                          .name = name,
                                          .name_size = (uint32_t)strlen(name),
                                          .partition_count = partitions,
                                          .stores = stores};
    int retention = mr_topic_key_find("retention.ms", strlen("retention.ms"));

    MR_CHECK(retention >= 0);
    topic.overrides[retention] = "12345";
    f->size = mr_metadata_encode_create_topic(f->command, sizeof(f->command), &topic);
    MR_CHECK(f->size > 0);
}

static enum mr_kafka_err
apply(struct fixture *f)
{
    MR_CHECK_EQ(mr_metadata_apply(f->metadata, f->command, f->size, &f->outcome), 0);
    return f->outcome.error;
}

static enum mr_kafka_err
create(struct fixture *f, uint8_t number, const char *name, uint32_t partitions)
{
    encode_create(f, number, name, partitions);
    return apply(f);
}

static enum mr_kafka_err
delete_topic(struct fixture *f, uint8_t number)
{
    struct mr_uuid id = id_of(number);

    f->size = mr_metadata_encode_delete_topic(f->command, sizeof(f->command), &id);
    return apply(f);
}

static void
unclean_start(struct fixture *f)
{
    f->size = mr_metadata_encode_unclean_start(f->command, sizeof(f->command));
    MR_CHECK_EQ(apply(f), MR_KAFKA_NONE);
}

static int64_t
reserve(struct fixture *f, uint32_t count)
{
    f->size = mr_metadata_encode_producer_ids(f->command, sizeof(f->command), count);
    MR_CHECK_EQ(apply(f), MR_KAFKA_NONE);
    return f->outcome.first_producer_id;
}

static bool
count_tombstone(void *context, const struct mr_uuid *id, int32_t partition, uint16_t store)
{
    unsigned *count = context;

    (void)id;
    (void)partition;
    (void)store;
    (*count)++;
    return true;
}

static void
log_deleted(struct fixture *f, uint8_t topic, int32_t partition)
{
    struct mr_metadata_log log = {id_of(topic), partition};

    f->size = mr_metadata_encode_logs_deleted(f->command, sizeof(f->command), &log, 1);
    MR_CHECK_EQ(apply(f), MR_KAFKA_NONE);
}

static unsigned
tombstones(const struct fixture *f)
{
    unsigned count = 0;

    mr_metadata_tombstones(f->metadata, UINT64_MAX, count_tombstone, &count);
    return count;
}

static enum mr_kafka_err
grow(struct fixture *f, uint8_t number, uint32_t before, uint32_t count)
{
    static const uint16_t stores[8] = {5, 6, 7, 5, 6, 7, 5, 6};
    struct mr_uuid id = id_of(number);

    f->size =
        mr_metadata_encode_grow_topic(f->command, sizeof(f->command), &id, before, count, stores);
    return apply(f);
}

static void
encode_topic_config(struct fixture *f, uint8_t number, bool replace, enum mr_config_op op,
                    const char *name, const char *value)
{
    struct mr_uuid id = id_of(number);
    struct mr_metadata_change change = {.op = op, .name = name, .value = value};

    f->size =
        mr_metadata_encode_topic_config(f->command, sizeof(f->command), &id, replace, &change, 1);
}

static enum mr_kafka_err
topic_config(struct fixture *f, uint8_t number, bool replace, enum mr_config_op op,
             const char *name, const char *value)
{
    encode_topic_config(f, number, replace, op, name, value);
    return apply(f);
}

static void
encode_setting(struct fixture *f, const char *entity, enum mr_config_op op, const char *name,
               const char *value)
{
    struct mr_metadata_change change = {.op = op, .name = name, .value = value, .base = "delete"};

    f->size = mr_metadata_encode_settings(f->command, sizeof(f->command), MR_METADATA_BROKER,
                                          entity, false, &change, 1);
}

static enum mr_kafka_err
setting(struct fixture *f, const char *entity, enum mr_config_op op, const char *name,
        const char *value)
{
    encode_setting(f, entity, op, name, value);
    return apply(f);
}

static const char *
override(const struct fixture *f, uint8_t number, const char *name)
{
    struct mr_uuid id = id_of(number);

    return mr_metadata_overrides(f->metadata, &id)[mr_topic_key_find(name, strlen(name))];
}

/* A topic's limits as the data path sees them now. */
static struct mr_topic_limits
limits_of(struct fixture *f, uint8_t number)
{
    struct mr_uuid id = id_of(number);
    const struct mr_snapshot *snapshot = mr_metadata_snapshot(f->metadata);
    const struct mr_snapshot_topic *topic = mr_snapshot_topic_by_id(snapshot, &id);
    struct mr_topic_limits limits = topic->limits;

    mr_metadata_snapshot_release(snapshot);
    return limits;
}

/* A state with something of everything in it. */
static void
populate(struct fixture *f)
{
    struct mr_uuid cluster = id_of(99);

    f->size = mr_metadata_encode_cluster(f->command, sizeof(f->command), &cluster);
    MR_CHECK_EQ(apply(f), MR_KAFKA_NONE);
    MR_CHECK_EQ(create(f, 1, "one", 2), MR_KAFKA_NONE);
    unclean_start(f);
    MR_CHECK_EQ(create(f, 2, "two", 3), MR_KAFKA_NONE);
    MR_CHECK_EQ(create(f, 3, "gone", 2), MR_KAFKA_NONE);
    MR_CHECK_EQ(delete_topic(f, 3), MR_KAFKA_NONE);
    reserve(f, 1000);
    MR_CHECK_EQ(grow(f, 2, 3, 5), MR_KAFKA_NONE);
    MR_CHECK_EQ(topic_config(f, 2, false, MR_CONFIG_SET, "segment.ms", "9999"), MR_KAFKA_NONE);
    MR_CHECK_EQ(setting(f, "7", MR_CONFIG_SET, "message.max.bytes", "5000"), MR_KAFKA_NONE);
    MR_CHECK_EQ(setting(f, "", MR_CONFIG_SET, "log.retention.ms", "6000"), MR_KAFKA_NONE);
}

MR_TEST(a_cluster_id_is_taken_once)
{
    struct fixture f;
    struct mr_uuid first = id_of(1);
    struct mr_uuid second = id_of(2);
    const struct mr_snapshot *snapshot;

    setup(&f);
    MR_CHECK(!mr_metadata_has_cluster(f.metadata));
    f.size = mr_metadata_encode_cluster(f.command, sizeof(f.command), &first);
    apply(&f);
    f.size = mr_metadata_encode_cluster(f.command, sizeof(f.command), &second);
    apply(&f);
    MR_CHECK(mr_metadata_has_cluster(f.metadata));
    snapshot = mr_metadata_snapshot(f.metadata);
    MR_CHECK(mr_uuid_equal(&snapshot->cluster_id, &first));
    MR_CHECK_EQ(snapshot->node_id, 7);
    mr_metadata_snapshot_release(snapshot);
    teardown(&f);
}

MR_TEST(a_created_topic_is_found_by_name_and_id_with_its_configuration)
{
    struct fixture f;
    struct mr_uuid id = id_of(1);
    const struct mr_snapshot *snapshot;
    const struct mr_snapshot_topic *topic;

    setup(&f);
    MR_CHECK_EQ(create(&f, 1, "orders", 3), MR_KAFKA_NONE);
    MR_CHECK_EQ(create(&f, 2, "a", 1), MR_KAFKA_NONE);
    snapshot = mr_metadata_snapshot(f.metadata);
    MR_CHECK_EQ(snapshot->topic_count, 2);
    topic = mr_snapshot_topic_by_name(snapshot, "orders", 6);
    MR_CHECK(topic && topic == mr_snapshot_topic_by_id(snapshot, &id));
    MR_CHECK_EQ(topic->partition_count, 3);
    MR_CHECK_EQ(topic->partitions[2].store, 2);
    MR_CHECK_EQ(topic->limits.retention_ms, 12345);
    MR_CHECK(!mr_snapshot_topic_by_name(snapshot, "order", 5));
    MR_CHECK(!mr_snapshot_topic_by_name(snapshot, "orders2", 7));
    MR_CHECK_EQ(mr_metadata_partitions(f.metadata), 4);
    MR_CHECK_EQ(mr_metadata_store_load(f.metadata, 0), 2);
    MR_CHECK_EQ(mr_metadata_store_load(f.metadata, 3), 0);
    mr_metadata_snapshot_release(snapshot);
    teardown(&f);
}

MR_TEST(a_name_in_use_is_refused_and_free_again_after_the_deletion)
{
    struct fixture f;

    setup(&f);
    MR_CHECK_EQ(create(&f, 1, "t", 2), MR_KAFKA_NONE);
    MR_CHECK_EQ(create(&f, 2, "t", 3), MR_KAFKA_TOPIC_ALREADY_EXISTS);
    MR_CHECK_EQ(mr_metadata_partitions(f.metadata), 2);
    MR_CHECK_EQ(delete_topic(&f, 2), MR_KAFKA_UNKNOWN_TOPIC_ID);
    MR_CHECK_EQ(delete_topic(&f, 1), MR_KAFKA_NONE);
    MR_CHECK_EQ(delete_topic(&f, 1), MR_KAFKA_UNKNOWN_TOPIC_ID);
    MR_CHECK_EQ(create(&f, 2, "t", 3), MR_KAFKA_NONE);
    teardown(&f);
}

MR_TEST(tombstones_stay_until_their_logs_are_deleted)
{
    struct fixture f;

    setup(&f);
    create(&f, 1, "t", 3);
    MR_CHECK_EQ(delete_topic(&f, 1), MR_KAFKA_NONE);
    MR_CHECK_EQ(tombstones(&f), 3);
    MR_CHECK_EQ(mr_metadata_store_load(f.metadata, 0), 0);
    for (unsigned i = 0; i < 2; i++) { /* the second time there is none: nothing happens */
        log_deleted(&f, 1, 1);
        MR_CHECK_EQ(tombstones(&f), 2);
    }
    log_deleted(&f, 1, 3); /* no such partition */
    log_deleted(&f, 2, 0); /* no such topic */
    MR_CHECK_EQ(tombstones(&f), 2);
    log_deleted(&f, 1, 0);
    log_deleted(&f, 1, 2);
    MR_CHECK_EQ(tombstones(&f), 0);
    teardown(&f);
}

static size_t
saved_size(const struct fixture *f)
{
    size_t size;

    free(saved_state(f->metadata, &size));
    return size;
}

/* A topic of 5,000 partitions, with a number of its own. */
static enum mr_kafka_err
create_wide(struct fixture *f, unsigned number)
{
    static const uint16_t stores[5000];
    static uint8_t command[MR_METADATA_COMMAND_MAX];
    char name[32];
    struct mr_metadata_new_topic topic = {.name = name, .partition_count = 5000, .stores = stores};

    topic.name_size = (uint32_t)snprintf(name, sizeof(name), "wide-%u", number);
    memcpy(topic.id.bytes, &number, sizeof(number));
    topic.id.bytes[15] = 1;
    MR_CHECK_EQ(mr_metadata_apply(f->metadata, command,
                                  mr_metadata_encode_create_topic(command, sizeof(command), &topic),
                                  &f->outcome),
                0);
    return f->outcome.error;
}

/* The metadata log must always be able to take a saved state. Deleted topics count until their logs
 * are gone. */
MR_TEST(what_would_make_the_saved_state_too_large_is_refused)
{
    struct fixture f;
    unsigned created = 0;
    enum mr_kafka_err error;

    setup(&f);
    while ((error = create_wide(&f, created + 1)) == MR_KAFKA_NONE) {
        struct mr_uuid id = {{0}};

        created++;
        if (created % 2) {
            memcpy(id.bytes, &created, sizeof(created));
            id.bytes[15] = 1;
            f.size = mr_metadata_encode_delete_topic(f.command, sizeof(f.command), &id);
            MR_CHECK_EQ(apply(&f), MR_KAFKA_NONE);
        }
    }
    MR_CHECK_EQ(error, MR_KAFKA_POLICY_VIOLATION);
    MR_CHECK(saved_size(&f) <= MR_METADATA_STATE_MAX);
    MR_CHECK(saved_size(&f) > MR_METADATA_STATE_MAX - 5000 * 6 - 256);
    MR_CHECK(mr_metadata_partitions(f.metadata) < MR_METADATA_PARTITIONS_MAX);
    teardown(&f);
}

MR_TEST(blocks_of_producer_ids_never_overlap)
{
    struct fixture f;
    struct mr_rng rng;
    int64_t end = 0;

    setup(&f);
    mr_rng_init(&rng, 5);
    for (unsigned i = 0; i < 200; i++) {
        uint32_t count = 1 + (uint32_t)mr_rng_below(&rng, 5000);
        int64_t first = reserve(&f, count);

        MR_CHECK(first >= end);
        end = first + count;
        if (i % 20 == 0) {
            size_t size;
            uint8_t *state = saved_state(f.metadata, &size);

            MR_CHECK_EQ(mr_metadata_load(f.metadata, state, size), 0);
            free(state);
        }
    }
    teardown(&f);
}

MR_TEST(leader_epochs_rise_with_unclean_starts)
{
    struct fixture f;
    const struct mr_snapshot *snapshot;

    setup(&f);
    create(&f, 1, "old", 1);
    unclean_start(&f);
    create(&f, 2, "young", 1);
    unclean_start(&f);
    unclean_start(&f);
    snapshot = mr_metadata_snapshot(f.metadata);
    MR_CHECK_EQ(snapshot->generation, 3);
    MR_CHECK_EQ(
        mr_snapshot_leader_epoch(snapshot, mr_snapshot_topic_by_name(snapshot, "old", 3), 0), 3);
    MR_CHECK_EQ(
        mr_snapshot_leader_epoch(snapshot, mr_snapshot_topic_by_name(snapshot, "young", 5), 0), 2);
    mr_metadata_snapshot_release(snapshot);
    teardown(&f);
}

MR_TEST(a_snapshot_does_not_change_and_is_freed_by_its_last_holder)
{
    struct fixture f;
    const struct mr_snapshot *before;
    const struct mr_snapshot *after;

    setup(&f);
    create(&f, 1, "t", 2);
    before = mr_metadata_snapshot(f.metadata);
    after = mr_metadata_snapshot(f.metadata);
    MR_CHECK(before == after); /* nothing changed between the two */
    mr_metadata_snapshot_release(after);
    delete_topic(&f, 1);
    create(&f, 2, "u", 1);
    after = mr_metadata_snapshot(f.metadata);
    MR_CHECK(after->epoch > before->epoch);
    MR_CHECK(!mr_snapshot_topic_by_name(after, "t", 1));
    MR_CHECK_EQ(before->topic_count, 1);
    MR_CHECK_STR(mr_snapshot_topic_by_name(before, "t", 1)->name, "t");
    MR_CHECK_EQ(mr_metadata_snapshots(f.metadata), 2);
    mr_metadata_snapshot_release(before);
    MR_CHECK_EQ(mr_metadata_snapshots(f.metadata), 1);
    mr_metadata_snapshot_release(after);
    MR_CHECK_EQ(mr_metadata_snapshots(f.metadata), 1); /* the state keeps the current one */
    create(&f, 3, "v", 1);
    MR_CHECK_EQ(mr_metadata_snapshots(f.metadata), 0);
    teardown(&f);
}

static bool
collides(const struct fixture *f, const char *name)
{
    return mr_metadata_collides(f->metadata, name, (uint32_t)strlen(name));
}

MR_TEST(names_that_differ_in_dots_and_underscores_collide)
{
    struct fixture f;

    setup(&f);
    create(&f, 1, "a.b_c", 1);
    create(&f, 2, "a.c", 1);
    create(&f, 3, "plain", 1);
    MR_CHECK(collides(&f, "a_b.c"));
    MR_CHECK(collides(&f, "a.b.c"));
    MR_CHECK(collides(&f, "a_b_c"));
    MR_CHECK(collides(&f, "a_c"));
    MR_CHECK(!collides(&f, "a.b"));
    MR_CHECK(!collides(&f, "a.b_cc"));
    MR_CHECK(!collides(&f, "a-c"));
    MR_CHECK(!collides(&f, "plain"));
    MR_CHECK(!collides(&f, "z_z")); /* behind all others */
    delete_topic(&f, 1);
    MR_CHECK(!collides(&f, "a_b.c"));
    MR_CHECK(collides(&f, "a_c"));
    teardown(&f);
}

MR_TEST(two_topics_cannot_have_one_id)
{
    struct fixture f;

    setup(&f);
    create(&f, 1, "t", 1);
    encode_create(&f, 1, "u", 1);
    MR_CHECK_EQ(mr_metadata_apply(f.metadata, f.command, f.size, &f.outcome), -EBADMSG);
    MR_CHECK_EQ(mr_metadata_partitions(f.metadata), 1);
    teardown(&f);
}

MR_TEST(a_saved_state_loads_equal_and_never_lowers_the_epoch)
{
    struct fixture a;
    struct fixture b;
    size_t size;
    uint8_t *state;
    const struct mr_snapshot *before;
    const struct mr_snapshot *after;

    setup(&a);
    setup(&b);
    populate(&a);
    for (uint8_t i = 0; i < 100; i++) { /* b's epoch is ahead, and its state another */
        create(&b, i, "x", 1);
        delete_topic(&b, i);
    }
    before = mr_metadata_snapshot(b.metadata);
    state = saved_state(a.metadata, &size);
    MR_CHECK_EQ(mr_metadata_load(b.metadata, state, size), 0);
    MR_CHECK(same_state(a.metadata, b.metadata));
    after = mr_metadata_snapshot(b.metadata);
    MR_CHECK(after->epoch > before->epoch);
    MR_CHECK_EQ(mr_metadata_partitions(b.metadata), mr_metadata_partitions(a.metadata));
    MR_CHECK_EQ(reserve(&a, 1), reserve(&b, 1));
    mr_metadata_snapshot_release(before);
    mr_metadata_snapshot_release(after);
    free(state);
    teardown(&a);
    teardown(&b);
}

MR_TEST(more_partitions_come_behind_the_old_ones_and_once)
{
    struct fixture f;
    const struct mr_snapshot *snapshot;
    const struct mr_snapshot_topic *topic;

    setup(&f);
    MR_CHECK_EQ(create(&f, 1, "t", 2), MR_KAFKA_NONE);
    MR_CHECK_EQ(grow(&f, 1, 2, 5), MR_KAFKA_NONE);
    MR_CHECK_EQ(grow(&f, 1, 2, 4), MR_KAFKA_INVALID_PARTITIONS); /* it was proposed before */
    MR_CHECK_EQ(grow(&f, 2, 1, 2), MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    snapshot = mr_metadata_snapshot(f.metadata);
    topic = mr_snapshot_topic_by_name(snapshot, "t", 1);
    MR_CHECK_EQ(topic->partition_count, 5);
    MR_CHECK_EQ(topic->partitions[1].store, 1);
    MR_CHECK_EQ(topic->partitions[2].store, 5);
    MR_CHECK_EQ(topic->partitions[4].store, 7);
    MR_CHECK_EQ(topic->limits.retention_ms, 12345);
    MR_CHECK_EQ(mr_metadata_partitions(f.metadata), 5);
    MR_CHECK_EQ(mr_metadata_store_load(f.metadata, 6), 1);
    mr_metadata_snapshot_release(snapshot);
    MR_CHECK_EQ(delete_topic(&f, 1), MR_KAFKA_NONE);
    MR_CHECK_EQ(tombstones(&f), 5);
    MR_CHECK_EQ(mr_metadata_store_load(f.metadata, 6), 0);
    teardown(&f);
}

MR_TEST(a_topics_configuration_changes_whole_or_not)
{
    struct fixture f;

    setup(&f);
    MR_CHECK_EQ(create(&f, 1, "t", 1), MR_KAFKA_NONE); /* with retention.ms */
    MR_CHECK_EQ(topic_config(&f, 1, false, MR_CONFIG_SET, "segment.ms", "777"), MR_KAFKA_NONE);
    MR_CHECK_EQ(limits_of(&f, 1).segment_ms, 777);
    MR_CHECK_EQ(limits_of(&f, 1).retention_ms, 12345);
    MR_CHECK_EQ(topic_config(&f, 1, true, MR_CONFIG_SET, "segment.ms", "x"),
                MR_KAFKA_INVALID_CONFIG);
    MR_CHECK_STR(override(&f, 1, "segment.ms"), "777");
    MR_CHECK_EQ(topic_config(&f, 1, false, MR_CONFIG_DELETE, "retention.ms", NULL), MR_KAFKA_NONE);
    MR_CHECK_EQ(limits_of(&f, 1).retention_ms, 604800000);
    MR_CHECK_EQ(topic_config(&f, 1, true, MR_CONFIG_SET, "retention.bytes", "5"), MR_KAFKA_NONE);
    MR_CHECK(!override(&f, 1, "segment.ms"));
    MR_CHECK_STR(override(&f, 1, "retention.bytes"), "5");
    MR_CHECK_EQ(topic_config(&f, 9, false, MR_CONFIG_SET, "segment.ms", "777"),
                MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    teardown(&f);
}

MR_TEST(lists_grow_and_shrink_from_the_value_they_have)
{
    struct fixture f;

    setup(&f);
    MR_CHECK_EQ(create(&f, 1, "t", 1), MR_KAFKA_NONE);
    MR_CHECK_EQ(topic_config(&f, 1, false, MR_CONFIG_APPEND, "cleanup.policy", "compact"),
                MR_KAFKA_NONE);
    MR_CHECK_STR(override(&f, 1, "cleanup.policy"), "delete,compact"); /* from the default */
    MR_CHECK_EQ(topic_config(&f, 1, false, MR_CONFIG_APPEND, "cleanup.policy", "compact,delete"),
                MR_KAFKA_NONE);
    MR_CHECK_STR(override(&f, 1, "cleanup.policy"), "delete,compact");
    MR_CHECK_EQ(topic_config(&f, 1, false, MR_CONFIG_SUBTRACT, "cleanup.policy", "delete"),
                MR_KAFKA_NONE);
    MR_CHECK_STR(override(&f, 1, "cleanup.policy"), "compact");
    MR_CHECK(limits_of(&f, 1).compact && !limits_of(&f, 1).delete_old);
    MR_CHECK_EQ(topic_config(&f, 1, false, MR_CONFIG_APPEND, "cleanup.policy", "rubbish"),
                MR_KAFKA_INVALID_CONFIG);
    MR_CHECK_EQ(setting(&f, "7", MR_CONFIG_APPEND, "log.cleanup.policy", "compact"), MR_KAFKA_NONE);
    MR_CHECK_STR(mr_metadata_setting(f.metadata, MR_METADATA_BROKER, "7", "log.cleanup.policy"),
                 "delete,compact");
    teardown(&f);
}

MR_TEST(a_brokers_settings_act_on_topics_that_do_not_override_them)
{
    struct fixture f;

    setup(&f);                                         /* of node 7 */
    MR_CHECK_EQ(create(&f, 1, "t", 1), MR_KAFKA_NONE); /* with retention.ms */
    MR_CHECK_EQ(setting(&f, "", MR_CONFIG_SET, "message.max.bytes", "4000"), MR_KAFKA_NONE);
    MR_CHECK_EQ(setting(&f, "", MR_CONFIG_SET, "log.retention.ms", "5"), MR_KAFKA_NONE);
    MR_CHECK_EQ(setting(&f, "8", MR_CONFIG_SET, "message.max.bytes", "1"), MR_KAFKA_NONE);
    MR_CHECK_EQ(limits_of(&f, 1).max_message_bytes, 4000);
    MR_CHECK_EQ(limits_of(&f, 1).retention_ms, 12345);
    MR_CHECK_EQ(setting(&f, "7", MR_CONFIG_SET, "message.max.bytes", "3000"), MR_KAFKA_NONE);
    MR_CHECK_EQ(limits_of(&f, 1).max_message_bytes, 3000);
    MR_CHECK_EQ(create(&f, 2, "later", 1), MR_KAFKA_NONE);
    MR_CHECK_EQ(limits_of(&f, 2).max_message_bytes, 3000);
    MR_CHECK_EQ(setting(&f, "7", MR_CONFIG_DELETE, "message.max.bytes", NULL), MR_KAFKA_NONE);
    MR_CHECK_EQ(setting(&f, "", MR_CONFIG_DELETE, "message.max.bytes", NULL), MR_KAFKA_NONE);
    MR_CHECK_EQ(limits_of(&f, 1).max_message_bytes, 1048588);
    MR_CHECK(!mr_metadata_setting(f.metadata, MR_METADATA_BROKER, "", "message.max.bytes"));
    teardown(&f);
}

MR_TEST(a_saved_state_of_the_version_without_settings_loads)
{
    struct fixture f;
    struct fixture other;
    size_t size;
    uint8_t *state;

    setup(&f);
    setup(&other);
    MR_CHECK_EQ(create(&f, 1, "t", 1), MR_KAFKA_NONE);
    state = saved_state(f.metadata, &size);
    state[1] = 1; /* the version; it ended before the number of settings */
    MR_CHECK_EQ(mr_metadata_load(other.metadata, state, size - 4), 0);
    MR_CHECK(same_state(f.metadata, other.metadata));
    free(state);
    teardown(&f);
    teardown(&other);
}

/* Applies exactly the bytes of a heap block of their size, so that a read behind them is seen; then
 * looks at the state through a snapshot. */
static int
apply_bytes(struct fixture *f, const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    struct mr_metadata_outcome outcome;
    const struct mr_snapshot *snapshot;
    const struct mr_snapshot_topic *topic;
    struct mr_topic_walk walk;
    int error;

    memcpy(copy, bytes, size);
    error = mr_metadata_apply(f->metadata, copy, size, &outcome);
    free(copy);
    snapshot = mr_metadata_snapshot(f->metadata);
    MR_CHECK(snapshot);
    mr_snapshot_walk(snapshot, &walk);
    while ((topic = mr_topic_walk_next(&walk))) {
        MR_CHECK_EQ(strlen(topic->name), topic->name_size);
        MR_CHECK(mr_snapshot_topic_by_name(snapshot, topic->name, topic->name_size) == topic);
        if (topic->partition_count > 0) {
            mr_snapshot_leader_epoch(snapshot, topic, topic->partition_count - 1);
        }
    }
    mr_metadata_snapshot_release(snapshot);
    return error;
}

static void
spoil_command(const uint8_t *command, size_t size)
{
    struct fixture f;
    struct fixture untouched;

    setup(&untouched);
    populate(&untouched);
    for (size_t cut = 0; cut < size; cut++) {
        setup(&f);
        populate(&f);
        MR_CHECK_EQ(apply_bytes(&f, command, cut), -EBADMSG);
        MR_CHECK(same_state(f.metadata, untouched.metadata));
        teardown(&f);
    }
    setup(&f);
    populate(&f);
    for (size_t at = 0; at < size; at++) {
        static const uint8_t changes[] = {0x01, 0x80, 0xFF, 0x20, 0};

        for (unsigned c = 0; c < sizeof(changes); c++) {
            uint8_t bytes[COMMAND_SIZE];

            memcpy(bytes, command, size);
            bytes[at] = changes[c] ? (uint8_t)(bytes[at] ^ changes[c]) : 0;
            if (apply_bytes(&f, bytes, size) == -EBADMSG) {
                MR_CHECK(same_state(f.metadata, untouched.metadata));
            } else {
                teardown(&f);
                setup(&f);
                populate(&f);
            }
        }
    }
    teardown(&f);
    teardown(&untouched);
}

/* Goal: what the broker's configuration says for all topics is judged as a topic's own. */
MR_TEST(defaults_of_topics_are_judged)
{
    static const char *const wrong[][2] = {{"compression.type", "gizp"},
                                           {"log.cleanup.policy", "keep"},
                                           {"log.message.timestamp.type", "Now"},
                                           {"log.segment.bytes", "1000"}};
    char error[256];

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct mr_config *config = mr_config_create();

        MR_CHECK_EQ(mr_topic_defaults_check(config, error, sizeof(error)), 0);
        MR_CHECK_EQ(mr_config_set(config, wrong[i][0], wrong[i][1], "test", error, sizeof(error)),
                    0);
        MR_CHECK_EQ(mr_topic_defaults_check(config, error, sizeof(error)), -EINVAL);
        MR_CHECK(strstr(error, wrong[i][0]) && strstr(error, wrong[i][1]));
        mr_config_destroy(config);
    }
}

MR_TEST(hostile_commands_change_all_or_nothing)
{
    struct fixture f;
    struct mr_uuid id = id_of(1);

    setup(&f);
    encode_create(&f, 9, "new-topic", 3);
    spoil_command(f.command, f.size);
    f.size = mr_metadata_encode_delete_topic(f.command, sizeof(f.command), &id);
    spoil_command(f.command, f.size);
    f.size = mr_metadata_encode_logs_deleted(f.command, sizeof(f.command),
                                             (const struct mr_metadata_log[]){{id, 0}, {id, 1}}, 2);
    spoil_command(f.command, f.size);
    f.size = mr_metadata_encode_producer_ids(f.command, sizeof(f.command), 1000);
    spoil_command(f.command, f.size);
    f.size = mr_metadata_encode_cluster(f.command, sizeof(f.command), &id);
    spoil_command(f.command, f.size);
    f.size = mr_metadata_encode_unclean_start(f.command, sizeof(f.command));
    spoil_command(f.command, f.size);
    f.size = mr_metadata_encode_grow_topic(f.command, sizeof(f.command), &id, 2, 4,
                                           (const uint16_t[]){1, 2});
    spoil_command(f.command, f.size);
    encode_topic_config(&f, 1, true, MR_CONFIG_APPEND, "cleanup.policy", "compact");
    spoil_command(f.command, f.size);
    encode_setting(&f, "7", MR_CONFIG_SET, "log.retention.ms", "9");
    spoil_command(f.command, f.size);
    teardown(&f);
}

static void
load_bytes(const uint8_t *bytes, size_t size, bool must_fail)
{
    struct fixture f;
    struct fixture empty;
    uint8_t *copy = malloc(size ? size : 1);
    int error;

    setup(&f);
    setup(&empty);
    populate(&f);
    memcpy(copy, bytes, size);
    error = mr_metadata_load(f.metadata, copy, size);
    free(copy);
    MR_CHECK(error == 0 || error == -EBADMSG);
    MR_CHECK(!must_fail || error);
    if (error) {
        MR_CHECK(same_state(f.metadata, empty.metadata));
    }
    /* What was accepted must bear every later command. */
    encode_create(&f, 9, "new-topic", 3);
    apply_bytes(&f, f.command, f.size);
    f.size = mr_metadata_encode_unclean_start(f.command, sizeof(f.command));
    apply_bytes(&f, f.command, f.size);
    f.size = mr_metadata_encode_producer_ids(f.command, sizeof(f.command), UINT32_MAX);
    apply_bytes(&f, f.command, f.size);
    delete_topic(&f, 1);
    teardown(&f);
    teardown(&empty);
}

MR_TEST(hostile_saved_states_load_whole_or_leave_an_empty_state)
{
    struct fixture f;
    size_t size;
    uint8_t *state;

    setup(&f);
    populate(&f);
    state = saved_state(f.metadata, &size);
    for (size_t cut = 0; cut < size; cut++) {
        load_bytes(state, cut, true);
    }
    for (size_t at = 0; at < size; at++) {
        static const uint8_t changes[] = {0x01, 0x80, 0xFF};
        uint8_t was = state[at];

        for (unsigned c = 0; c < sizeof(changes); c++) {
            state[at] = was ^ changes[c];
            load_bytes(state, size, false);
        }
        state[at] = 0;
        load_bytes(state, size, false);
        state[at] = was;
    }
    memset(state + 22, 0xFF, 7); /* producer ids near the end of their range */
    state[29] = 0x7F;
    load_bytes(state, size, false);
    free(state);
    teardown(&f);
}

MR_TEST_MAIN(MR_TEST_CASE(a_cluster_id_is_taken_once),
             MR_TEST_CASE(a_created_topic_is_found_by_name_and_id_with_its_configuration),
             MR_TEST_CASE(a_name_in_use_is_refused_and_free_again_after_the_deletion),
             MR_TEST_CASE(tombstones_stay_until_their_logs_are_deleted),
             MR_TEST_CASE(what_would_make_the_saved_state_too_large_is_refused),
             MR_TEST_CASE(blocks_of_producer_ids_never_overlap),
             MR_TEST_CASE(leader_epochs_rise_with_unclean_starts),
             MR_TEST_CASE(a_snapshot_does_not_change_and_is_freed_by_its_last_holder),
             MR_TEST_CASE(names_that_differ_in_dots_and_underscores_collide),
             MR_TEST_CASE(two_topics_cannot_have_one_id),
             MR_TEST_CASE(a_saved_state_loads_equal_and_never_lowers_the_epoch),
             MR_TEST_CASE(more_partitions_come_behind_the_old_ones_and_once),
             MR_TEST_CASE(a_topics_configuration_changes_whole_or_not),
             MR_TEST_CASE(lists_grow_and_shrink_from_the_value_they_have),
             MR_TEST_CASE(a_brokers_settings_act_on_topics_that_do_not_override_them),
             MR_TEST_CASE(a_saved_state_of_the_version_without_settings_loads),
             MR_TEST_CASE(defaults_of_topics_are_judged),
             MR_TEST_CASE(hostile_commands_change_all_or_nothing),
             MR_TEST_CASE(hostile_saved_states_load_whole_or_leave_an_empty_state))
