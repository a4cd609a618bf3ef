#include "bench/load/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/kafka/wire/wire.h"

#define PRODUCE_TIMEOUT_MS 30000
#define FETCH_WAIT_MS      500
#define FETCH_BYTES_MAX    (256 << 20)
#define FIRST_SIZE         4096

static uint8_t *
start_frame(struct mr_wire_out *out, struct mr_bump *bump, int16_t key, int16_t version,
            int32_t correlation_id)
{
    struct mr_request_header header;
    uint8_t *room;

    mr_wire_init(&mr_request_header_message, &header);
    header.request_api_key = key;
    header.request_api_version = version;
    header.correlation_id = correlation_id;
    header.client_id = mr_str_from_c("mr_load");
    mr_wire_out_init(out, bump);
    room = mr_wire_out_reserve_4(out);
    mr_wire_request_header_encode(out, &header);
    return room;
}

/* Copies the frame's slices but the batch's, which lies between what is copied. */
static int
split_frame(struct load_template *out, const struct mr_wire_out *frame,
            const struct load_payload *payload)
{
    size_t *size = &out->head_size;

    *out = (struct load_template){.bytes = malloc(frame->size - payload->size)};
    if (!out->bytes) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < frame->iov_count; i++) {
        const struct iovec *slice = &frame->iov[i];

        if (slice->iov_base == payload->batch) {
            size = &out->tail_size;
        } else if (slice->iov_len > 0) {
            memcpy(out->bytes + out->head_size + out->tail_size, slice->iov_base, slice->iov_len);
            *size += slice->iov_len;
        }
    }
    MR_ASSERT(out->head_size + out->tail_size == frame->size - payload->size);
    return 0;
}

int
load_template_make(struct load_template *out, const struct load_options *options,
                   const struct load_plan *plan, const struct load_payload *payload,
                   int32_t partition)
{
    _Alignas(16) uint8_t first[FIRST_SIZE];
    struct iovec batch = {payload->batch, payload->size};
    struct mr_produce_request_partition part = {.index = partition,
                                                .records = {&batch, 1, (int32_t)payload->size}};
    struct mr_produce_request_topic topic = {.name = mr_str_from_c(options->topic),
                                             .topic_id = plan->topic_id,
                                             .partition_data = &part,
                                             .partition_data_count = 1};
    struct mr_produce_request request;
    struct mr_wire_out frame;
    struct mr_bump bump;
    uint8_t *room;
    int rc;

    mr_bump_init(&bump, first, sizeof(first), 1 << 20);
    room = start_frame(&frame, &bump, MR_API_PRODUCE, plan->produce_version, 0);
    mr_wire_init(&mr_produce_request_message, &request);
    request.acks = (int16_t)options->acks;
    request.timeout_ms = PRODUCE_TIMEOUT_MS;
    request.topic_data = &topic;
    request.topic_data_count = 1;
    rc = mr_wire_encode(&mr_produce_request_message, plan->produce_version, &request, &frame);
    mr_wire_out_patch_4(room, (uint32_t)(frame.size - 4));
    if (rc == 0) {
        rc = split_frame(out, &frame, payload);
    }
    mr_bump_reset(&bump);
    return rc;
}

uint8_t *
load_fetch_encode(const struct load_options *options, const struct load_plan *plan,
                  const struct load_fetch_position *positions, int32_t count,
                  int32_t correlation_id, struct mr_bump *bump, size_t *size_out)
{
    struct mr_fetch_request_topic topic = {.topic = mr_str_from_c(options->topic),
                                           .topic_id = plan->topic_id,
                                           .partitions_count = count};
    struct mr_fetch_request request;
    struct mr_wire_out out;
    uint8_t *room, *flat, *at;

    topic.partitions = mr_bump_array(bump, (size_t)count, sizeof(*topic.partitions));
    if (!topic.partitions) {
        return NULL;
    }
    for (int32_t i = 0; i < count; i++) {
        struct mr_fetch_request_partition *part = &topic.partitions[i];

        part->partition = positions[i].partition;
        part->fetch_offset = positions[i].offset;
        part->current_leader_epoch = -1;
        part->last_fetched_epoch = -1;
        part->log_start_offset = -1;
        part->partition_max_bytes = options->fetch_bytes;
        part->high_watermark = INT64_MAX;
    }
    room = start_frame(&out, bump, MR_API_FETCH, plan->fetch_version, correlation_id);
    mr_wire_init(&mr_fetch_request_message, &request);
    request.max_wait_ms = FETCH_WAIT_MS;
    request.min_bytes = 1;
    request.max_bytes = FETCH_BYTES_MAX;
    request.topics = &topic;
    request.topics_count = 1;
    mr_wire_encode(&mr_fetch_request_message, plan->fetch_version, &request, &out);
    mr_wire_out_patch_4(room, (uint32_t)(out.size - 4));
    flat = out.error == 0 ? mr_bump_alloc(bump, out.size) : NULL;
    if (!flat) {
        return NULL;
    }
    at = flat;
    for (uint32_t i = 0; i < out.iov_count; i++) {
        if (out.iov[i].iov_len > 0) {
            memcpy(at, out.iov[i].iov_base, out.iov[i].iov_len);
            at += out.iov[i].iov_len;
        }
    }
    *size_out = out.size;
    return flat;
}
