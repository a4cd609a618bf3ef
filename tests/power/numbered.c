/* tests/power/numbered.c: sends numbered records and judges what is read. */
#include "tests/power/numbered.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
numbered_init(struct numbered *topic, const char *name, unsigned partitions, uint32_t numbers_max)
{
    memset(topic, 0, sizeof(*topic));
    topic->name = name;
    topic->partitions = partitions;
    topic->numbers_max = numbers_max;
}

/* ---- producing ------------------------------------------------------------------------------- */

static void
on_report(rd_kafka_t *handle, const rd_kafka_message_t *message, void *context)
{
    struct numbered_producer *producer = context;
    struct numbered *topic = producer->topic;
    uint32_t number = (uint32_t)(uintptr_t)message->_private;
    int64_t *acked = &topic->streams[producer->index][message->partition].acked[number];

    (void)handle;
    if (message->err) {
        if (producer->never_gives_up) {
            power_die("%s-%d: number %" PRIu32 " was given up: %s", topic->name, message->partition,
                      number, rd_kafka_err2str(message->err));
        }
        producer->refused[message->err != RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR]++;
        return;
    }
    topic->acks++;
    topic->acked_bytes += topic->streams[producer->index][message->partition].size[number];
    if (*acked != -1) {
        power_die("a record was acknowledged twice");
    }
    *acked = message->offset;
    if (message->offset >= topic->ends[message->partition]) {
        topic->ends[message->partition] = message->offset + 1;
    }
}

void
numbered_producer(struct numbered *topic, unsigned index, const char *const (*settings)[2])
{
    struct numbered_producer *producer = &topic->producers[index];

    *producer = (struct numbered_producer){
        .topic = topic, .index = index, .never_gives_up = settings == NULL};
    for (unsigned p = 0; p < topic->partitions; p++) {
        struct numbered_stream *stream = &topic->streams[index][p];

        stream->acked = malloc(topic->numbers_max * sizeof(*stream->acked));
        stream->found = calloc(topic->numbers_max, sizeof(*stream->found));
        stream->size = calloc(topic->numbers_max, sizeof(*stream->size));
        if (!stream->acked || !stream->found || !stream->size) {
            power_die("no memory");
        }
        memset(stream->acked, 0xff, topic->numbers_max * sizeof(*stream->acked));
    }
    producer->handle = settings ? power_client(RD_KAFKA_PRODUCER, settings, on_report, producer)
                                : power_producer(NULL, on_report, producer);
}

/* What a record consists of: a line that names it, and bytes that follow from the line. */
static void
fill(char *value, uint32_t size, unsigned producer, int32_t partition, uint32_t number)
{
    uint64_t state = ((uint64_t)producer << 56 | (uint64_t)partition << 48 | number) + 1;
    int used = snprintf(value, NUMBERED_SIZE_MIN, "%u %" PRIu32 " ", producer, number);

    for (uint32_t at = (uint32_t)used; at < size; at++) {
        if ((at - (uint32_t)used) % 8 == 0) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
        }
        value[at] = (char)(state >> (at - (uint32_t)used) % 8 * 8);
    }
}

bool
numbered_send(struct numbered *topic, unsigned producer, int32_t partition, uint32_t size)
{
    static char value[NUMBERED_SIZE_MAX];
    struct numbered_stream *stream = &topic->streams[producer][partition];

    if (stream->sent == topic->numbers_max) {
        power_die("too many records for this test");
    }
    size = size < NUMBERED_SIZE_MIN ? NUMBERED_SIZE_MIN : size;
    fill(value, size, producer, partition, stream->sent);
    if (rd_kafka_producev(topic->producers[producer].handle, RD_KAFKA_V_TOPIC(topic->name),
                          RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_VALUE(value, size),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                          RD_KAFKA_V_OPAQUE((void *)(uintptr_t)stream->sent),
                          RD_KAFKA_V_END) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return false;
    }
    stream->size[stream->sent++] = size;
    return true;
}

/* ---- judging --------------------------------------------------------------------------------- */

void
numbered_check_offsets(struct numbered *topic, rd_kafka_t *client)
{
    for (unsigned p = 0; p < topic->partitions; p++) {
        int64_t start, end;

        power_offsets(client, topic->name, (int32_t)p, &start, &end);
        if (start < topic->starts[p]) {
            power_die("%s-%u: the log start fell from %" PRId64 " to %" PRId64, topic->name, p,
                      topic->starts[p], start);
        }
        if (end < topic->ends[p]) {
            power_die("%s-%u: ends at %" PRId64 ", acknowledged was up to %" PRId64, topic->name, p,
                      end, topic->ends[p]);
        }
        topic->starts[p] = start;
    }
}

static void
judge_record(const rd_kafka_message_t *message, void *context)
{
    static char expected[NUMBERED_SIZE_MAX];
    struct numbered *topic = context;
    struct numbered_stream *stream;
    unsigned producer;
    uint32_t number;
    char text[NUMBERED_SIZE_MIN + 1] = "";

    if (message->len >= NUMBERED_SIZE_MIN) {
        memcpy(text, message->payload, NUMBERED_SIZE_MIN);
    }
    if (sscanf(text, "%u %" SCNu32, &producer, &number) != 2 ||
        producer >= NUMBERED_PRODUCERS_MAX ||
        number >= topic->streams[producer][message->partition].sent) {
        power_die("%s-%d: a record that nobody sent at %" PRId64, topic->name, message->partition,
                  message->offset);
    }
    stream = &topic->streams[producer][message->partition];
    fill(expected, stream->size[number], producer, message->partition, number);
    if (message->len != stream->size[number] ||
        memcmp(message->payload, expected, message->len) != 0) {
        power_die("%s-%d: the record at %" PRId64 " is not what was sent", topic->name,
                  message->partition, message->offset);
    }
    if ((int64_t)number <= stream->last_found) {
        power_die("%s-%d producer %u: %" PRIu32 " after %" PRId64
                  ": a record twice, or out of order",
                  topic->name, message->partition, producer, number, stream->last_found);
    }
    if (stream->acked[number] != -1 && stream->acked[number] != message->offset) {
        power_die("%s-%d producer %u: number %" PRIu32 " was acknowledged at %" PRId64
                  ", and lies at %" PRId64,
                  topic->name, message->partition, producer, number, stream->acked[number],
                  message->offset);
    }
    stream->last_found = number;
    stream->found[number] = true;
    topic->found++;
    topic->found_bytes[message->partition] += message->len;
}

static void
judge_stream(const struct numbered *topic, unsigned producer, unsigned partition)
{
    const struct numbered_stream *stream = &topic->streams[producer][partition];
    const struct numbered_producer *who = &topic->producers[producer];
    bool complete = who->never_gives_up && rd_kafka_outq_len(who->handle) == 0;

    for (uint32_t n = 0; n < stream->sent; n++) {
        if (stream->acked[n] == -1 && complete) {
            power_die("%s-%u: number %" PRIu32 " was never acknowledged", topic->name, partition,
                      n);
        }
        if (stream->acked[n] >= topic->starts[partition] && !stream->found[n]) {
            power_die("%s-%u producer %u: number %" PRIu32 ", acknowledged at %" PRId64
                      ", is missing; the log starts at %" PRId64,
                      topic->name, partition, producer, n, stream->acked[n],
                      topic->starts[partition]);
        }
    }
}

void
numbered_judge(struct numbered *topic, rd_kafka_t *client)
{
    topic->found = 0;
    memset(topic->found_bytes, 0, sizeof(topic->found_bytes));
    for (unsigned who = 0; who < NUMBERED_PRODUCERS_MAX; who++) {
        for (unsigned p = 0; p < topic->partitions && topic->producers[who].handle; p++) {
            topic->streams[who][p].last_found = -1;
            memset(topic->streams[who][p].found, 0, topic->numbers_max);
        }
    }
    power_read_all(topic->name, (int)topic->partitions, judge_record, topic);
    numbered_check_offsets(topic, client); /* what retention took meanwhile may be missing */
    for (unsigned who = 0; who < NUMBERED_PRODUCERS_MAX; who++) {
        for (unsigned p = 0; p < topic->partitions && topic->producers[who].handle; p++) {
            judge_stream(topic, who, p);
        }
    }
}
