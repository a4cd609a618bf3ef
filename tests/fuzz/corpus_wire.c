/* tests/fuzz/corpus_wire.c: messages, and streams of requests. */
#include "dataplane/base/endian.h"
#include "dataplane/kafka/api.h"
#include "tests/fuzz/corpus.h"
#include "tests/mr_test.h"
#include "tests/unit/kafka/wire_random.h"

#define HEAP_MAX   (16u << 20)
#define STREAM_MAX 65536u
#define API_ASK    18
#define NAME_SIZE  128

static _Alignas(16) uint8_t first_chunk[65536];

/* See wire_fuzz.c: the message's index, its version above the first, and a cut. */
static void
write_message(uint32_t index, const struct mr_wire_message *message, int16_t version,
              struct mr_rng *rng)
{
    uint8_t head[3] = {(uint8_t)index, (uint8_t)(version - message->version_min), 16};
    char name[NAME_SIZE];
    struct mr_wire_out out;
    struct mr_bump bump;
    void *value;

    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), HEAP_MAX);
    value = mr_bump_alloc(&bump, message->root->size);
    wire_random_fill(message, version, rng, 1, &bump, value);
    mr_wire_out_init(&out, &bump);
    MR_CHECK_EQ(mr_wire_encode(message, version, value, &out), 0);
    snprintf(name, sizeof(name), "%s-%d", message->name, version);
    corpus_write("wire_fuzz", name, head, sizeof(head), wire_flatten(&out, &bump), out.size);
    mr_bump_reset(&bump);
}

/* Appends one framed request to `stream`; a NULL `body` is a random one. Returns the new size. */
static size_t
put_request(uint8_t *stream, size_t size, int16_t key, int16_t version, const void *body,
            struct mr_rng *rng)
{
    const struct mr_wire_api *wire = mr_wire_api_find(key);
    struct mr_request_header header = {.request_api_key = key,
                                       .request_api_version = version,
                                       .correlation_id = 1,
                                       .client_id = mr_str_from_c("fuzz")};
    struct mr_wire_out out;
    struct mr_bump bump;
    uint8_t *length;

    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), HEAP_MAX);
    if (!body) {
        void *filled = mr_bump_alloc(&bump, wire->request->root->size);

        wire_random_fill(wire->request, version, rng, 1, &bump, filled);
        body = filled;
    }
    mr_wire_out_init(&out, &bump);
    length = mr_wire_out_reserve_4(&out);
    mr_wire_request_header_encode(&out, &header);
    MR_CHECK_EQ(mr_wire_encode(wire->request, version, body, &out), 0);
    mr_wire_out_patch_4(length, (uint32_t)out.size - 4);
    MR_CHECK(size + out.size <= STREAM_MAX);
    memcpy(stream + size, wire_flatten(&out, &bump), out.size);
    mr_bump_reset(&bump);
    return size + out.size;
}

/* See conn_fuzz.c: seed, number of sizes, sizes. */
static void
write_stream(const char *name, uint8_t chunk, const uint8_t *stream, size_t size)
{
    uint8_t head[] = {chunk, 2, chunk, 0};

    corpus_write("conn_fuzz", name, head, sizeof(head), stream, size);
}

static void
write_requests(struct mr_rng *rng)
{
    static uint8_t stream[STREAM_MAX];
    const struct mr_api *api;

    for (unsigned i = 0; (api = mr_api_at(i)); i++) {
        const struct mr_wire_api *wire = mr_wire_api_find(api->key);

        for (int16_t v = wire->version_min; v <= api->version_max; v++) {
            char name[NAME_SIZE];
            size_t size = put_request(stream, 0, api->key, v, NULL, rng);

            snprintf(name, sizeof(name), "%s-%d", wire->name, v);
            write_stream(name, (uint8_t)(v * 16 + 3), stream, size);
        }
    }
}

/* What goes wrong between frames, and a fetch that waits with others behind it. */
static void
write_streams(struct mr_rng *rng)
{
    static uint8_t stream[STREAM_MAX];
    struct mr_fetch_request_partition partition = {.current_leader_epoch = -1,
                                                   .partition_max_bytes = 65536};
    struct mr_fetch_request_topic topic = {
        .topic = mr_str_from_c("t"), .partitions = &partition, .partitions_count = 1};
    struct mr_fetch_request fetch;
    size_t size = 0;

    for (unsigned i = 0; i < 20; i++) {
        size = put_request(stream, size, API_ASK, 0, NULL, rng);
    }
    write_stream("pipelined", 1, stream, size);
    write_stream("unfinished", 5, stream, size - 3);
    mr_be32_put(stream + size, 0);
    write_stream("length-zero", 30, stream, size + 4);
    mr_be32_put(stream + size, INT32_MAX);
    write_stream("length-large", 60, stream, size + 4);
    mr_be32_put(stream + size, 60000);
    memset(stream + size + 4, 0, 3000);
    write_stream("length-not-reached", 90, stream, size + 3004);

    mr_wire_init(&mr_fetch_request_message, &fetch);
    fetch.max_wait_ms = 600000;
    fetch.min_bytes = 1;
    fetch.max_bytes = 65536;
    fetch.session_epoch = -1;
    fetch.topics = &topic;
    fetch.topics_count = 1;
    size = 0;
    for (unsigned i = 0; i < 10; i++) {
        size = put_request(stream, size, MR_API_FETCH, 11, &fetch, rng);
    }
    size = put_request(stream, size, API_ASK, 3, NULL, rng);
    write_stream("fetches-wait", 120, stream, size);
}

void
corpus_wire(void)
{
    uint32_t count;
    const struct mr_wire_message *const *messages = mr_wire_messages(&count);
    struct mr_rng rng;

    MR_CHECK(count <= 256);
    mr_rng_init(&rng, 1);
    for (uint32_t i = 0; i < count; i++) {
        for (int16_t v = messages[i]->version_min; v <= messages[i]->version_max; v++) {
            write_message(i, messages[i], v, &rng);
        }
    }
    write_requests(&rng);
    write_streams(&rng);
}
