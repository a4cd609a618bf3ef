/* bench/control/topics.c: topics that come and go. */
#include "bench/control/topics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/control/die.h"
#include "bench/control/members.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/kafka_err.h"
#include "dataplane/kafka/wire/wire.h"

#define TIMEOUT_MS     30000
#define FILL_BATCH     500u
#define NAME_SIZE      32
#define PATIENCE       100 /* tries for a coordinator */
#define RETRY_US       100000
#define TOPICS_GONE_US 10000 /* deleted partitions still take the place of new ones */

static uint64_t
now_ns(void)
{
    return mr_clock_now_ns(&mr_clock_system);
}

static double
seconds_since(uint64_t begin_ns)
{
    return (double)(now_ns() - begin_ns) / (double)MR_NS_PER_S;
}

static const void *
call(struct mr_client *client, int16_t key, const void *request)
{
    const void *response;

    if (mr_client_call(client, key, request, &response) != 0) {
        die("%s", mr_client_error(client));
    }
    return response;
}

/* The first error among the topics. */
static int16_t
create(struct mr_client *client, const char names[][NAME_SIZE], uint32_t count, uint32_t partitions)
{
    struct mr_create_topics_request_topic topics[FILL_BATCH] = {0};
    const struct mr_create_topics_response *response;
    struct mr_create_topics_request request;

    mr_wire_init(&mr_create_topics_request_message, &request);
    for (uint32_t i = 0; i < count; i++) {
        topics[i].name = mr_str_from_c(names[i]);
        topics[i].num_partitions = (int32_t)partitions;
        topics[i].replication_factor = 1;
    }
    request.topics = topics;
    request.topics_count = (int32_t)count;
    request.timeout_ms = TIMEOUT_MS;
    response = call(client, MR_API_CREATE_TOPICS, &request);
    for (int32_t i = 0; i < response->topics_count; i++) {
        if (response->topics[i].error_code != MR_KAFKA_NONE) {
            return response->topics[i].error_code;
        }
    }
    return MR_KAFKA_NONE;
}

static void delete (struct mr_client *client, const char *name)
{
    struct mr_delete_topics_request_topic topic = {.name = mr_str_from_c(name)};
    struct mr_str topic_name = topic.name;
    const struct mr_delete_topics_response *response;
    struct mr_delete_topics_request request;

    mr_wire_init(&mr_delete_topics_request_message, &request);
    request.topics = &topic;
    request.topics_count = 1;
    request.topic_names = &topic_name;
    request.topic_names_count = 1;
    request.timeout_ms = TIMEOUT_MS;
    response = call(client, MR_API_DELETE_TOPICS, &request);
    if (response->responses_count != 1 || response->responses[0].error_code != MR_KAFKA_NONE) {
        die("a topic was not deleted");
    }
}

static bool
coordinator_found(struct mr_client *client)
{
    const struct mr_find_coordinator_response *response;
    struct mr_find_coordinator_request request;
    struct mr_str key = mr_str_from_c("bench-0");

    mr_wire_init(&mr_find_coordinator_request_message, &request);
    request.key = key;
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    response = call(client, MR_API_FIND_COORDINATOR, &request);
    return response->coordinators_count == 1
               ? response->coordinators[0].error_code == MR_KAFKA_NONE
               : response->error_code == MR_KAFKA_NONE && response->node_id >= 0;
}

void
topics_prepare(struct mr_client *client)
{
    static const char names[1][NAME_SIZE] = {MEMBERS_TOPIC};
    int16_t error = create(client, names, 1, 1);

    if (error != MR_KAFKA_NONE && error != MR_KAFKA_TOPIC_ALREADY_EXISTS) {
        die("the topic of the members: %s", mr_kafka_err_text(error));
    }
    for (int tries = 0; !coordinator_found(client); tries++) {
        if (tries == PATIENCE) {
            die("no coordinator");
        }
        usleep(RETRY_US);
    }
}

double
topics_storm(struct mr_client *client, uint32_t partitions, double seconds,
             struct mr_histo *creation)
{
    char names[1][NAME_SIZE];
    uint64_t begin_ns = now_ns();

    memset(creation, 0, sizeof(*creation));
    while (seconds_since(begin_ns) < seconds) {
        uint64_t sent_ns = now_ns();
        int16_t error;

        snprintf(names[0], sizeof(names[0]), "storm-%" PRIu64, sent_ns);
        error = create(client, names, 1, partitions);
        if (error == MR_KAFKA_POLICY_VIOLATION) {
            usleep(TOPICS_GONE_US);
            continue;
        }
        if (error != MR_KAFKA_NONE) {
            die("a topic was not created: %s", mr_kafka_err_text(error));
        }
        mr_histo_record(creation, now_ns() - sent_ns);
        delete (client, names[0]);
    }
    return (double)creation->count / seconds_since(begin_ns);
}

double
topics_fill(struct mr_client *client, uint32_t count)
{
    static char names[FILL_BATCH][NAME_SIZE];
    uint64_t begin_ns = now_ns();

    for (uint32_t first = 0; first < count; first += FILL_BATCH) {
        uint32_t batch = count - first < FILL_BATCH ? count - first : FILL_BATCH;
        int16_t error;

        for (uint32_t i = 0; i < batch; i++) {
            snprintf(names[i], sizeof(names[i]), "fill-%u", first + i);
        }
        error = create(client, names, batch, 1);
        if (error != MR_KAFKA_NONE) {
            die("a topic was not created: %s", mr_kafka_err_text(error));
        }
    }
    return count / seconds_since(begin_ns);
}
