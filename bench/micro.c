/* bench/micro.c: `mr_micro`, what the codec, the checksum and a copy cost on this machine.
 *
 * Each line is the best of several rounds, because what disturbs a round only makes it slower. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/rng.h"
#include "dataplane/kafka/wire/wire.h"
#include "storage/crc32c.h"

#define ROUNDS       9
#define ROUND_NS     (20 * MR_NS_PER_MS)
#define PRODUCE      9
#define FETCH        12
#define BATCH_SIZE   1024
#define FIRST_SIZE   16384
#define HEAP_MAX     (1u << 20)
#define BUFFER_BYTES (1u << 20)

/* What one measured step works on. */
struct work {
    const struct mr_wire_message *message;
    int16_t version;
    const void *value;  /* to encode */
    struct iovec slice; /* to decode */
    struct mr_bump bump;
    uint8_t *from;
    uint8_t *to;
    size_t size;
    uint32_t sink; /* keeps results in use */
};

static _Alignas(16) uint8_t first[FIRST_SIZE];

/* Nanoseconds of one `step`, best round. */
static double
time_step(void (*step)(struct work *work), struct work *work)
{
    double best = 0;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begin = mr_clock_now_ns(&mr_clock_system);
        uint64_t count = 0;
        uint64_t elapsed;

        do {
            for (int i = 0; i < 16; i++) {
                step(work);
            }
            count += 16;
            elapsed = mr_clock_now_ns(&mr_clock_system) - begin;
        } while (elapsed < ROUND_NS);
        if (round == 0 || (double)elapsed / (double)count < best) {
            best = (double)elapsed / (double)count;
        }
    }
    return best;
}

/* ---- The codec ---- */

static void
step_decode(struct work *work)
{
    void *out = mr_bump_alloc(&work->bump, work->message->root->size);
    struct mr_wire_in in;
    int rc;

    mr_wire_in_init(&in, &work->slice, 1, work->slice.iov_len);
    rc = mr_wire_decode(work->message, work->version, &in, &work->bump, out);
    MR_ASSERT(rc == 0);
    mr_bump_reset(&work->bump);
}

static void
step_encode(struct work *work)
{
    struct mr_wire_out out;
    int rc;

    mr_wire_out_init(&out, &work->bump);
    rc = mr_wire_encode(work->message, work->version, work->value, &out);
    MR_ASSERT(rc == 0);
    mr_bump_reset(&work->bump);
}

/* Encodes once and leaves flat bytes in work->slice, which the caller frees. */
static void
encode_input(struct work *work)
{
    struct mr_wire_out out;
    uint8_t *at;
    int rc;

    mr_wire_out_init(&out, &work->bump);
    rc = mr_wire_encode(work->message, work->version, work->value, &out);
    MR_ASSERT(rc == 0);
    at = malloc(out.size);
    MR_ASSERT(at != NULL);
    work->slice = (struct iovec){at, out.size};
    for (uint32_t i = 0; i < out.iov_count; i++) {
        if (out.iov[i].iov_len > 0) {
            memcpy(at, out.iov[i].iov_base, out.iov[i].iov_len);
            at += out.iov[i].iov_len;
        }
    }
    mr_bump_reset(&work->bump);
}

static void
print_codec(const char *name, const struct mr_wire_message *message, int16_t version,
            const void *value, bool encode)
{
    struct work work = {.message = message, .version = version, .value = value};

    mr_bump_init(&work.bump, first, sizeof(first), HEAP_MAX);
    encode_input(&work);
    printf("%-34s %7.1f ns  (%zu bytes)\n", name,
           time_step(encode ? step_encode : step_decode, &work), work.slice.iov_len);
    free(work.slice.iov_base);
}

static void
bench_produce(void)
{
    static uint8_t bytes[BATCH_SIZE];
    struct iovec batch = {bytes, sizeof(bytes)};
    struct mr_produce_request_partition part = {.records = {&batch, 1, BATCH_SIZE}};
    struct mr_produce_request_topic topic = {
        .name = mr_str_from_c("orders"), .partition_data = &part, .partition_data_count = 1};
    struct mr_produce_response_partition done = {
        .log_append_time_ms = -1, .error_message = {NULL, -1}, .current_leader = {-1, -1}};
    struct mr_produce_response_topic done_topic = {.name = mr_str_from_c("orders"),
                                                   .partition_responses = &done,
                                                   .partition_responses_count = 1};
    struct mr_produce_request request;
    struct mr_produce_response response;

    mr_wire_init(&mr_produce_request_message, &request);
    request.topic_data = &topic;
    request.topic_data_count = 1;
    mr_wire_init(&mr_produce_response_message, &response);
    response.responses = &done_topic;
    response.responses_count = 1;
    print_codec("decode Produce request v9", &mr_produce_request_message, PRODUCE, &request, false);
    print_codec("encode Produce response v9", &mr_produce_response_message, PRODUCE, &response,
                true);
}

static void
bench_fetch(void)
{
    struct mr_fetch_request_partition part = {.fetch_offset = 1,
                                              .current_leader_epoch = -1,
                                              .last_fetched_epoch = -1,
                                              .log_start_offset = -1,
                                              .partition_max_bytes = 1 << 20,
                                              .high_watermark = INT64_MAX};
    struct mr_fetch_request_topic topic = {
        .topic = mr_str_from_c("orders"), .partitions = &part, .partitions_count = 1};
    struct mr_fetch_request request;

    mr_wire_init(&mr_fetch_request_message, &request);
    request.topics = &topic;
    request.topics_count = 1;
    print_codec("decode Fetch request v12", &mr_fetch_request_message, FETCH, &request, false);
}

/* ---- Bytes ---- */

static void
step_crc(struct work *work)
{
    work->sink += mr_crc32c(0, work->from, work->size);
}

/* The barrier keeps the compiler from dropping a copy that nobody reads. */
static void
step_copy(struct work *work)
{
    memcpy(work->to, work->from, work->size);
    __asm__ volatile("" : : "r"(work->to) : "memory");
}

static void
step_crc_copy(struct work *work)
{
    work->sink += mr_crc32c_copy(0, work->to, work->from, work->size);
}

/* From the CRCs of the batch header's part and of the records, as mr_load does per request. */
static void
step_combine(struct work *work)
{
    work->sink += mr_crc32c_combine(work->sink, 1, work->size);
}

static void
bench_bytes(void)
{
    static const size_t sizes[] = {1024, 65536, 1048576};
    struct work work = {.from = malloc(BUFFER_BYTES), .to = malloc(BUFFER_BYTES)};
    struct mr_rng rng;

    MR_ASSERT(work.from != NULL);
    MR_ASSERT(work.to != NULL);
    mr_rng_init(&rng, 1);
    for (size_t i = 0; i < BUFFER_BYTES; i++) {
        work.from[i] = (uint8_t)mr_rng_next(&rng);
    }
    memset(work.to, 0, BUFFER_BYTES);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        double bytes = (double)sizes[i];

        work.size = sizes[i];
        printf("%7zu bytes: CRC32C %6.2f GB/s, copy %6.2f GB/s, copy and CRC32C %6.2f GB/s\n",
               sizes[i], bytes / time_step(step_crc, &work), bytes / time_step(step_copy, &work),
               bytes / time_step(step_crc_copy, &work));
    }
    printf("%-34s %7.1f ns\n", "combine two CRC32C (1 MiB)", time_step(step_combine, &work));
    free(work.from);
    free(work.to);
}

int
main(void)
{
    bench_produce();
    bench_fetch();
    bench_bytes();
    return 0;
}
