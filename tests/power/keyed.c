/* tests/power/keyed.c: random keys to a compacted topic, and the model of what it means. */
#include "tests/power/keyed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE      16
#define VALUE_MAX     1500
#define QUEUE_MAX     2000
#define TOMBSTONES_IN 8 /* one record in so many */
#define READINGS_MAX  3

/* ---- producing ------------------------------------------------------------------------------- */

static void
on_report(rd_kafka_t *handle, const rd_kafka_message_t *message, void *context)
{
    struct keyed *topic = context;
    struct keyed_partition *part = &topic->parts[message->partition];

    (void)handle;
    if (message->err) {
        power_die("%s: a record was given up: %s", topic->name, rd_kafka_err2str(message->err));
    }
    if (message->offset >= topic->numbers_max || part->at[message->offset] != -1) {
        power_die("%s-%d: two records are acknowledged at %" PRId64, topic->name,
                  message->partition, message->offset);
    }
    part->at[message->offset] = (int64_t)(uintptr_t)message->_private;
    part->offsets = message->offset >= part->offsets ? message->offset + 1 : part->offsets;
    topic->acks++;
}

void
keyed_init(struct keyed *topic, const char *name, unsigned partitions, unsigned producers,
           uint32_t keys, uint32_t numbers_max, const char *const *config)
{
    static const char *const codecs[KEYED_PRODUCERS_MAX] = {"none", "zstd", "lz4", "snappy",
                                                            "gzip"};

    *topic = (struct keyed){.name = name,
                            .partitions = partitions,
                            .producers = producers,
                            .keys = keys,
                            .numbers_max = numbers_max};
    for (unsigned p = 0; p < partitions; p++) {
        struct keyed_partition *part = &topic->parts[p];

        part->records = calloc(numbers_max, sizeof(*part->records));
        part->at = malloc(numbers_max * sizeof(*part->at));
        part->newest = malloc(keys * sizeof(*part->newest));
        if (!part->records || !part->at || !part->newest) {
            power_die("no memory");
        }
        memset(part->at, 0xff, numbers_max * sizeof(*part->at));
    }
    for (unsigned who = 0; who < producers; who++) {
        const char *const settings[][2] = {{"compression.type", codecs[who]}, {NULL, NULL}};

        topic->handles[who] = power_producer(settings, on_report, topic);
    }
    power_create_topic(topic->handles[0], name, (int)partitions, config);
}

/* The value names its record; the rest of it can be compressed. */
static void
fill(char *value, uint32_t size, uint32_t number)
{
    int used = snprintf(value, VALUE_MAX, "%" PRIu32 " ", number);

    for (uint32_t at = (uint32_t)used; at < size; at++) {
        value[at] = (char)('a' + (number + at / 8) % 26);
    }
}

static bool
send_one(struct keyed *topic)
{
    unsigned who = (unsigned)rand() % topic->producers;
    int32_t partition = rand() % (int32_t)topic->partitions;
    struct keyed_partition *part = &topic->parts[partition];
    struct keyed_record *record = &part->records[part->sent];
    char key[KEY_SIZE], value[VALUE_MAX];
    uint32_t keys = rand() % 2 ? topic->keys : topic->keys / 16 + 1; /* some are hot */
    int key_size;

    if (part->sent == topic->numbers_max) {
        power_die("too many records for this test");
    }
    *record = (struct keyed_record){.key = (uint32_t)rand() % keys,
                                    .size = (uint16_t)(KEY_SIZE + rand() % (VALUE_MAX - KEY_SIZE)),
                                    .producer = (uint8_t)who,
                                    .tombstone = rand() % TOMBSTONES_IN == 0};
    key_size = snprintf(key, sizeof(key), "key-%" PRIu32, record->key);
    fill(value, record->size, part->sent);
    if (rd_kafka_outq_len(topic->handles[who]) >= QUEUE_MAX ||
        rd_kafka_producev(topic->handles[who], RD_KAFKA_V_TOPIC(topic->name),
                          RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_KEY(key, (size_t)key_size),
                          RD_KAFKA_V_VALUE(record->tombstone ? NULL : value,
                                           record->tombstone ? 0 : record->size),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                          RD_KAFKA_V_OPAQUE((void *)(uintptr_t)part->sent),
                          RD_KAFKA_V_END) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return false;
    }
    part->sent++;
    return true;
}

void
keyed_work(struct keyed *topic, unsigned count)
{
    for (unsigned i = 0; i < count && send_one(topic); i++) {
    }
    for (unsigned who = 0; who < topic->producers; who++) {
        rd_kafka_poll(topic->handles[who], 0);
    }
}

/* ---- judging --------------------------------------------------------------------------------- */

static void
judge_record(const rd_kafka_message_t *message, void *context)
{
    struct keyed *topic = context;
    struct keyed_partition *part = &topic->parts[message->partition];
    const struct keyed_record *record;
    char key[KEY_SIZE], value[VALUE_MAX];
    int64_t number = message->offset < part->offsets ? part->at[message->offset] : -1;

    if (number == -1) {
        power_die("%s-%d: nothing was acknowledged at %" PRId64, topic->name, message->partition,
                  message->offset);
    }
    if (message->offset <= part->last_read) {
        power_die("%s-%d: %" PRId64 " comes after %" PRId64, topic->name, message->partition,
                  message->offset, part->last_read);
    }
    record = &part->records[number];
    snprintf(key, sizeof(key), "key-%" PRIu32, record->key);
    fill(value, record->size, (uint32_t)number);
    if (message->key_len != strlen(key) || memcmp(message->key, key, message->key_len) != 0 ||
        (record->tombstone ? message->payload != NULL
                           : message->len != record->size ||
                                 memcmp(message->payload, value, message->len) != 0)) {
        power_die("%s-%d: the record at %" PRId64 " is not what was sent", topic->name,
                  message->partition, message->offset);
    }
    part->last_read = message->offset;
    part->newest[record->key] = message->offset;
    topic->found++;
}

/* What was acknowledged lies in the order in which each producer sent it. */
static void
judge_order(const struct keyed *topic, unsigned partition)
{
    const struct keyed_partition *part = &topic->parts[partition];
    int64_t last[KEYED_PRODUCERS_MAX] = {-1, -1, -1, -1, -1};
    uint32_t count = 0;

    for (int64_t offset = 0; offset < part->offsets; offset++) {
        int64_t number = part->at[offset];

        if (number == -1) {
            power_die("%s-%u: offset %" PRId64 " was given to nobody", topic->name, partition,
                      offset);
        }
        if (number <= last[part->records[number].producer]) {
            power_die("%s-%u: a producer's record %" PRId64 " is out of order", topic->name,
                      partition, number);
        }
        last[part->records[number].producer] = number;
        count++;
    }
    if (count != part->sent) {
        power_die("%s-%u: %" PRIu32 " sent, %" PRIu32 " acknowledged", topic->name, partition,
                  part->sent, count);
    }
}

/* False: a key's tombstone is gone and an older record was read. That is right only where the
 * tombstone's time came between the two, as it may for a reader slower than delete.retention.ms. */
static bool
judge_map(struct keyed *topic, unsigned partition)
{
    const struct keyed_partition *part = &topic->parts[partition];
    bool *seen = calloc(topic->keys, sizeof(*seen));
    bool right = true;

    for (int64_t offset = part->offsets; offset-- > 0;) {
        const struct keyed_record *record = &part->records[part->at[offset]];

        if (seen[record->key]) {
            continue;
        }
        seen[record->key] = true;
        if (part->newest[record->key] == offset) {
            continue;
        }
        if (!record->tombstone) {
            power_die("%s-%u: the last record of key %" PRIu32 ", at %" PRId64
                      ", is missing; read was %" PRId64,
                      topic->name, partition, record->key, offset, part->newest[record->key]);
        }
        topic->tombstones_gone += part->newest[record->key] == -1;
        right &= part->newest[record->key] == -1;
    }
    free(seen);
    return right;
}

void
keyed_judge(struct keyed *topic)
{
    bool right = false;

    for (unsigned who = 0; who < topic->producers; who++) {
        power_flush(topic->handles[who]);
    }
    for (unsigned p = 0; p < topic->partitions; p++) {
        judge_order(topic, p);
    }
    for (unsigned reading = 0; reading < READINGS_MAX && !right; reading++) {
        topic->found = 0;
        topic->tombstones_gone = 0;
        for (unsigned p = 0; p < topic->partitions; p++) {
            topic->parts[p].last_read = -1;
            memset(topic->parts[p].newest, 0xff, topic->keys * sizeof(*topic->parts[p].newest));
        }
        power_read_all(topic->name, (int)topic->partitions, judge_record, topic);
        right = true;
        for (unsigned p = 0; p < topic->partitions; p++) {
            right &= judge_map(topic, p);
        }
    }
    if (!right) {
        power_die("%s: a deleted key has risen again", topic->name);
    }
}

void
keyed_destroy(struct keyed *topic)
{
    for (unsigned who = 0; who < topic->producers; who++) {
        rd_kafka_destroy(topic->handles[who]);
    }
    for (unsigned p = 0; p < topic->partitions; p++) {
        free(topic->parts[p].records);
        free(topic->parts[p].at);
        free(topic->parts[p].newest);
    }
}
