#include "bench/load/answer.h"

#include <errno.h>

#include "dataplane/base/clock.h"
#include "dataplane/kafka/wire/wire.h"
#include "storage/batch.h"
#include "storage/crc32c.h"

#define CRC_BEGIN 21

/* What the partitions of one Fetch answer held. */
struct haul {
    uint64_t records;
    uint64_t bytes;
    int64_t newest_ms;
};

static void
count_code(struct load_conn *conn, int16_t code)
{
    int at = code + 1;

    conn->stats->errors[at >= 0 && at < LOAD_CODES ? at : 0]++;
}

void
load_answer_count(struct load_conn *conn, uint64_t number, bool good, uint64_t records,
                  uint64_t bytes, uint64_t now_ns)
{
    const struct load_run *run = conn->run;
    struct load_stats *stats = conn->stats;
    uint64_t intended = conn->intended[number % (uint64_t)run->options->in_flight];

    if (!good) {
        return;
    }
    if (intended >= run->measure_ns && intended < run->end_ns) {
        mr_histo_record(&stats->latency_ns, now_ns - intended);
    }
    if (now_ns >= run->measure_ns && now_ns < run->end_ns) {
        stats->requests++;
        stats->records += records;
        stats->bytes += bytes;
        stats->last_ns = records > 0 ? now_ns : stats->last_ns;
    }
}

static int
answer_produce(struct load_conn *conn, struct mr_wire_in *in, uint64_t now_ns)
{
    const struct load_payload *payload = conn->run->payload;
    struct mr_produce_response response;
    bool good = true;
    int count = 0;
    int rc = mr_wire_decode(&mr_produce_response_message, conn->run->plan->produce_version, in,
                            &conn->bump, &response);

    if (rc != 0) {
        return rc;
    }
    for (int32_t t = 0; t < response.responses_count; t++) {
        for (int32_t p = 0; p < response.responses[t].partition_responses_count; p++) {
            int16_t code = response.responses[t].partition_responses[p].error_code;

            count_code(conn, code);
            good = good && code == 0;
            count++;
        }
    }
    if (count != 1) {
        return -EBADMSG;
    }
    load_answer_count(conn, conn->answered, good, (uint64_t)payload->header.record_count,
                      payload->size, now_ns);
    return 0;
}

/* Walks the whole batches of one partition; what follows the last one was cut by the broker. */
static void
walk_batches(struct load_conn *conn, const struct mr_wire_records *records, int64_t *offset,
             struct haul *haul)
{
    const uint8_t *at = records->iov_count > 0 ? records->iov[0].iov_base : NULL;
    size_t left = records->iov_count > 0 ? records->iov[0].iov_len : 0;
    struct mr_batch_header header;

    while (left >= MR_BATCH_HEADER_SIZE) {
        int64_t next;

        if (mr_batch_header_get(at, &header) != 0) {
            conn->stats->malformed++;
            return;
        }
        if ((size_t)header.size > left) {
            return;
        }
        if (conn->run->options->check_crc &&
            mr_crc32c(0, at + CRC_BEGIN, (size_t)header.size - CRC_BEGIN) != header.crc) {
            conn->stats->corrupt++;
        }
        next = header.base_offset + header.last_offset_delta + 1;
        if (next > *offset) {
            haul->records += (uint64_t)(header.record_count > 0 ? header.record_count : 0);
            haul->bytes += (uint64_t)header.size;
            haul->newest_ms =
                header.max_timestamp > haul->newest_ms ? header.max_timestamp : haul->newest_ms;
            *offset = next;
        }
        at += header.size;
        left -= (size_t)header.size;
    }
}

static int32_t
find_part(const struct load_conn *conn, int32_t partition)
{
    for (int32_t i = 0; i < conn->part_count; i++) {
        if (conn->parts[i].index == partition) {
            return i;
        }
    }
    return -1;
}

/* At the end of every partition a run that does not wait there is finished or begins again. */
static void
check_end(struct load_conn *conn)
{
    const struct load_options *options = conn->run->options;

    if (options->tail) {
        return;
    }
    for (int32_t i = 0; i < conn->part_count; i++) {
        if (!conn->parts[i].at_end) {
            return;
        }
    }
    conn->finished = !options->loop;
    for (int32_t i = 0; options->loop && i < conn->part_count; i++) {
        conn->positions[i].offset = conn->run->plan->offsets[conn->parts[i].index].begin;
        conn->parts[i].at_end = false;
    }
}

static int
answer_fetch(struct load_conn *conn, struct mr_wire_in *in, uint64_t now_ns)
{
    struct haul haul = {.newest_ms = -1};
    struct mr_fetch_response response;
    bool good;
    int rc = mr_wire_decode(&mr_fetch_response_message, conn->run->plan->fetch_version, in,
                            &conn->bump, &response);

    if (rc != 0) {
        return rc;
    }
    good = response.error_code == 0;
    if (!good) {
        count_code(conn, response.error_code);
    }
    for (int32_t t = 0; t < response.responses_count; t++) {
        for (int32_t p = 0; p < response.responses[t].partitions_count; p++) {
            const struct mr_fetch_response_partition *part = &response.responses[t].partitions[p];
            int32_t i = find_part(conn, part->partition_index);

            if (i < 0) {
                return -EBADMSG;
            }
            count_code(conn, part->error_code);
            good = good && part->error_code == 0;
            walk_batches(conn, &part->records, &conn->positions[i].offset, &haul);
            conn->parts[i].at_end =
                part->error_code == 0 && conn->positions[i].offset >= part->high_watermark;
        }
    }
    load_answer_count(conn, conn->answered, good, haul.records, haul.bytes, now_ns);
    if (conn->run->options->tail && haul.newest_ms >= 0 && now_ns >= conn->run->measure_ns) {
        int64_t age = mr_clock_wall_ms(&mr_clock_system) - haul.newest_ms;

        mr_histo_record(&conn->stats->record_age_ms, age > 0 ? (uint64_t)age : 0);
    }
    check_end(conn);
    return 0;
}

int
load_answer(struct load_conn *conn, const uint8_t *bytes, size_t size, uint64_t now_ns)
{
    const struct load_run *run = conn->run;
    bool fetch = run->options->fetch;
    struct iovec slice = {(void *)(uintptr_t)bytes, size};
    struct mr_response_header header;
    struct mr_wire_in in;
    int rc;

    if (conn->answered == conn->started) {
        return -EBADMSG;
    }
    mr_wire_in_init(&in, &slice, 1, size);
    rc = mr_wire_response_header_decode(
        mr_wire_api_find(fetch ? MR_API_FETCH : MR_API_PRODUCE),
        fetch ? run->plan->fetch_version : run->plan->produce_version, &in, &conn->bump, &header);
    if (rc == 0 && header.correlation_id != (int32_t)conn->answered) {
        rc = -EBADMSG;
    }
    if (rc == 0) {
        rc = fetch ? answer_fetch(conn, &in, now_ns) : answer_produce(conn, &in, now_ns);
    }
    mr_bump_reset(&conn->bump);
    if (rc == 0) {
        conn->answered++;
    }
    return rc;
}
