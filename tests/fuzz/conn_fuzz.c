/* tests/fuzz/conn_fuzz.c: any bytes, cut anywhere, as what a client sends.
 *
 * Input: a byte of seed for the network, a byte n, n bytes that are sizes of chunks (0: 256), then
 * the stream, which is sent in these chunks over and over. The server is the real one over
 * simulated network and disk (tests/sim/sim_server.h). However bad the bytes are: a malformed frame
 * closes its connection, the end of the stream does too, another client is answered before and
 * after, and in the end nothing is held. */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/base/endian.h"
#include "dataplane/base/log.h"
#include "dataplane/kafka/api.h"
#include "tests/mr_test.h"
#include "tests/sim/sim_client.h"

#define HEAD_SIZE    2
#define FRAME_MAX    65536u
#define DECODE_MAX   (16u << 20)
#define CHUNK_NS     (10 * MR_NS_PER_MS)
#define API_VERSIONS 18

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    sim_server_runtime();
    mr_log_level_set(MR_LOG_LEVEL_ERROR); /* the server rightly complains of every input */
    return 0;
}

/* Whether the frame, without its length, is one that the server must refuse. */
static bool
malformed(const uint8_t *frame, size_t size)
{
    static _Alignas(16) uint8_t first_chunk[65536];
    struct iovec slice = {(void *)(uintptr_t)frame, size};
    const struct mr_wire_api *wire;
    const struct mr_api *api;
    struct mr_request_header header;
    struct mr_wire_in in;
    struct mr_bump bump;
    int16_t version;
    int error;

    if (size < 8) {
        return true;
    }
    api = mr_api_find((int16_t)mr_be16_get(frame));
    wire = mr_wire_api_find((int16_t)mr_be16_get(frame));
    version = (int16_t)mr_be16_get(frame + 2);
    if (!api || !wire) {
        return true;
    }
    if (version < 0 || version < wire->version_min || version > api->version_max) {
        return api->key != API_VERSIONS;
    }
    mr_bump_init(&bump, first_chunk, sizeof(first_chunk), DECODE_MAX);
    mr_wire_in_init(&in, &slice, 1, size);
    error = mr_wire_request_header_decode(&in, &bump, &header);
    if (!error) {
        void *body = mr_bump_alloc(&bump, wire->request->root->size);

        MR_CHECK(body != NULL);
        error = mr_wire_decode(wire->request, version, &in, &bump, body);
    }
    mr_bump_reset(&bump);
    return error == -EBADMSG;
}

static bool
has_malformed_frame(const uint8_t *stream, size_t size)
{
    while (size >= 4) {
        uint32_t length = mr_be32_get(stream);

        if (length == 0 || length > FRAME_MAX) {
            return true;
        }
        if (length > size - 4) {
            return false; /* unfinished */
        }
        if (malformed(stream + 4, length)) {
            return true;
        }
        stream += 4 + length;
        size -= 4 + length;
    }
    return false;
}

static void
check_served(struct sim_client *good, int32_t id)
{
    int32_t got = -1;

    sim_client_ask(good, id, 0);
    sim_clients_run(&good, 1, MR_NS_PER_S);
    MR_CHECK(sim_client_answer(good, &got) > 0);
    MR_CHECK_EQ(got, id);
}

static void
send_chunks(struct sim_client *hostile, const uint8_t *sizes, size_t size_count,
            const uint8_t *stream, size_t size)
{
    for (size_t i = 0; size > 0 && !hostile->ended; i++) {
        size_t chunk = size_count > 0 && sizes[i % size_count] > 0 ? sizes[i % size_count] : 256;

        chunk = chunk < size ? chunk : size;
        sim_client_put(hostile, stream, chunk);
        sim_clients_run(&hostile, 1, CHUNK_NS);
        stream += chunk;
        size -= chunk;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sim_server_config config = sim_server_defaults(size > 0 ? data[0] : 0);
    struct sim_client hostile, good;
    struct sim_client *both = &hostile;
    struct sim_server sim;
    size_t sizes;

    if (size < HEAD_SIZE || size - HEAD_SIZE < data[1]) {
        return 0;
    }
    sizes = data[1];
    config.frame_bytes_max = FRAME_MAX;
    config.frame_heap_bytes_max = FRAME_MAX + 4;
    config.buffer_size = data[0] & 1 ? 512 : 16384;
    sim_server_start(&sim, &config);
    sim_client_open(&good, &sim);
    sim_client_open(&hostile, &sim);
    check_served(&good, 1);
    data += HEAD_SIZE;
    size -= HEAD_SIZE;
    send_chunks(&hostile, data, sizes, data + sizes, size - sizes);
    sim_clients_run(&both, 1, MR_NS_PER_S);
    /* Frames behind waiting fetches may not have been looked at. */
    if (has_malformed_frame(data + sizes, size - sizes) && sim.server->fetches_parked == 0) {
        MR_CHECK(hostile.ended);
    }
    check_served(&good, 2);
    if (!hostile.ended) {
        mr_net_sim_peer_finish(hostile.peer);
        sim_clients_run(&both, 1, 5 * MR_NS_PER_S);
        MR_CHECK(hostile.ended);
    }
    check_served(&good, 3);
    sim_client_close(&hostile);
    sim_client_close(&good);
    sim_server_stop(&sim);
    return 0;
}
