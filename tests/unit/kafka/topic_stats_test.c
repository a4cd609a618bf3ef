/* Goal: the counters of topics fit a table of fixed size: what has no room is counted together, and
 * deleted topics make room, for which the table is looked through once for each state of the
 * metadata, however often a topic finds no room.
 * Method: as many topics as fit, and snapshots that know some of them. */
#include <stdio.h>
#include <string.h>

#include "control/config.h"
#include "control/metadata.h"
#include "dataplane/kafka/topic_stats.h"
#include "tests/mr_test.h"

#define FIT (MR_CTL_METRICS_TOPICS - 1) /* beside the entry of those that do not */

static struct mr_uuid
id_of(unsigned number)
{
    return (struct mr_uuid){{(uint8_t)(number >> 8), (uint8_t)number, 1}};
}

static void
apply(struct mr_metadata *metadata, const uint8_t *command, size_t size)
{
    struct mr_metadata_outcome outcome;

    MR_CHECK(size > 0);
    MR_CHECK_EQ(mr_metadata_apply(metadata, command, size, &outcome), 0);
    MR_CHECK_EQ(outcome.error, MR_KAFKA_NONE);
}

static void
create(struct mr_metadata *metadata, unsigned number)
{
    static const uint16_t stores[1];
    uint8_t command[256];
    char name[16];
    int size = snprintf(name, sizeof(name), "t%u", number);
    struct mr_metadata_new_topic topic = {.id = id_of(number),
                                          .name = name,
                                          .name_size = (uint32_t)size,
                                          .partition_count = 1,
                                          .stores = stores};

    apply(metadata, command, mr_metadata_encode_create_topic(command, sizeof(command), &topic));
}

static void
delete_topic(struct mr_metadata *metadata, unsigned number)
{
    struct mr_uuid id = id_of(number);
    uint8_t command[64];

    apply(metadata, command, mr_metadata_encode_delete_topic(command, sizeof(command), &id));
}

static struct mr_ctl_metrics_topic *
at(struct mr_topic_stats *stats, unsigned number, const struct mr_snapshot *snapshot)
{
    struct mr_uuid id = id_of(number);

    return mr_topic_stats_at(stats, &id, snapshot);
}

MR_TEST(deleted_topics_make_room_once_for_each_state_of_the_metadata)
{
    static const struct mr_uuid none;
    static struct mr_ctl_metrics_topic copy[MR_CTL_METRICS_TOPICS];
    struct mr_topic_stats *stats = mr_topic_stats_create();
    struct mr_config *config = mr_config_create();
    struct mr_topic_defaults defaults;
    struct mr_metadata *metadata;
    const struct mr_snapshot *all;
    const struct mr_snapshot *fewer;
    struct mr_snapshot same_epoch;

    mr_topic_defaults(config, &defaults);
    metadata = mr_metadata_create(1, &defaults);
    for (unsigned i = 0; i < FIT; i++) {
        create(metadata, i);
    }
    all = mr_metadata_snapshot(metadata);
    for (unsigned i = 0; i < FIT; i++) {
        at(stats, i, all)->bytes_in = i;
    }
    MR_CHECK(mr_uuid_equal(&at(stats, FIT, all)->id, &none));
    at(stats, FIT + 1, all)->bytes_in += 5;

    delete_topic(metadata, 0);
    delete_topic(metadata, 1);
    fewer = mr_metadata_snapshot(metadata);
    same_epoch = *fewer;
    same_epoch.epoch = all->epoch;
    MR_CHECK(mr_uuid_equal(&at(stats, FIT, &same_epoch)->id, &none)); /* nobody has looked */
    at(stats, FIT, fewer)->bytes_in = FIT;
    at(stats, FIT + 1, fewer)->bytes_in = FIT + 1;
    MR_CHECK(mr_uuid_equal(&at(stats, FIT + 2, fewer)->id, &none));

    MR_CHECK_EQ(mr_topic_stats_copy(stats, copy), MR_CTL_METRICS_TOPICS);
    MR_CHECK_EQ(copy[0].bytes_in, 5);
    for (unsigned i = 1; i < MR_CTL_METRICS_TOPICS; i++) {
        struct mr_uuid id = id_of((unsigned)copy[i].bytes_in);

        MR_CHECK(copy[i].bytes_in >= 2 && mr_uuid_equal(&copy[i].id, &id));
    }
    mr_metadata_snapshot_release(all);
    mr_metadata_snapshot_release(fewer);
    mr_metadata_destroy(metadata);
    mr_config_destroy(config);
    mr_topic_stats_destroy(stats);
}

int
main(int argc, char **argv)
{
    static const struct mr_test_case cases[] = {
        MR_TEST_CASE(deleted_topics_make_room_once_for_each_state_of_the_metadata),
    };

    return mr_test_run(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
