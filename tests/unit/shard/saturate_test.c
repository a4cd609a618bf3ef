/* Goal: two shards that saturate each other neither deadlock nor starve each other, while one
 * shard's drive stalls: every request is answered exactly once and in order, clients of the healthy
 * store go on during the stall, and at the end all credits, contexts and buffers are back.
 *
 * Method: the real shards, servers, transport and stores in one process; the store of shard 0 lies
 * on a device that can stall. Eight clients, each a thread: every combination of (connected to
 * shard 0 or 1) x (partitions of store 0 or 1) x (produces, or produces and fetches). Each keeps a
 * window of requests under way for SECONDS; in the middle the drive stalls for a quarter of that
 * time, longer where the machine is so slow that the others have hardly moved. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include "control/metadata.h"
#include "dataplane/base/endian.h"
#include "dataplane/kafka/server.h"
#include "dataplane/kafka/wire/messages.h"
#include "dataplane/kafka/wire/wire.h"
#include "dataplane/shard/timer.h"
#include "storage/crc32c.h"
#include "tests/mr_test.h"
#include "tests/unit/shard/stall_dev.h"

#define SHARDS       2u
#define PARTITIONS   8u
#define CLIENTS      8u
#define WINDOW       32u
#define UNDER_WAY    (WINDOW * CLIENTS)
#define STORE_BYTES  (256u * 1024 * 1024)
#define ARENA_BYTES  (48u * 1024 * 1024)
#define BUFFERS      64u
#define BUFFER_SIZE  65536u
#define RECORD_BYTES 4000u
#define SECONDS      20
#define STALL_MAX    40 /* seconds; a client waits 60 for an answer */

/* ---- shards ---------------------------------------------------------------------------------- */

struct test_shard {
    unsigned index;
    char path[64];
    uint16_t port;
    struct mr_mesh_port *mesh_port;
    struct mr_shard shard;
    struct stall_dev stall;
    struct mr_store *store;
    struct mr_server *server;
    struct mr_net *net;
    struct mr_shard_steps steps;
    uint8_t *arena;
    uint8_t *receive;
    pthread_barrier_t *ready;
    bool stopping;
    atomic_bool stop;
    atomic_bool quiet; /* stopping, and no request of its own is under way */
};

static struct test_shard shards[SHARDS];
static struct mr_uuid cluster_id;

static void
on_room(void *context)
{
    struct test_shard *shard = context;

    if (shard->server) {
        mr_server_room(shard->server);
    }
}

static void
open_store(struct test_shard *shard)
{
    struct mr_store_format format = {.store_id = mr_uuid_random(),
                                     .cluster_id = cluster_id,
                                     .node_id = 1,
                                     .store_index = shard->index,
                                     .journal_bytes = 32u * 1024 * 1024};
    struct mr_store_config config = {.clock = &mr_clock_system,
                                     .arena = shard->arena,
                                     .arena_bytes = ARENA_BYTES,
                                     .logs_max = 64,
                                     .producers_max = 64,
                                     .direct_run_bytes = 32768,
                                     .index_bytes_max = 4u * 1024 * 1024,
                                     .on_room = on_room,
                                     .context = shard};
    struct mr_dev *dev;
    char reason[256];

    MR_CHECK_EQ(mr_dev_file_prepare(shard->path, STORE_BYTES, 0), 0);
    MR_CHECK_EQ(mr_dev_uring_open(shard->path, &shard->shard.uring, &dev), 0);
    stall_dev_init(&shard->stall, dev);
    config.dev = &shard->stall.dev;
    MR_CHECK_EQ(mr_store_format(config.dev, &format), 0);
    MR_CHECK_EQ(mr_store_open(&config, &shard->store, reason, sizeof(reason)), 0);
}

static int
on_serve(void *context)
{
    struct test_shard *shard = context;

    return mr_net_listen(shard->net, "127.0.0.1", 0, &shard->port);
}

static void
on_control(void *context, const struct mr_msg *message)
{
    (void)context;
    (void)message;
    MR_CHECK(!"no message but snapshots comes from control in this test");
}

static bool
all_quiet(void)
{
    bool all = true;

    for (unsigned i = 0; i < SHARDS; i++) {
        all &= atomic_load(&shards[i].quiet);
    }
    return all;
}

/* A quiet shard still answers the other until that is quiet, too. */
static bool
commit(void *context)
{
    struct test_shard *shard = context;
    bool worked = stall_dev_release(&shard->stall);

    if (atomic_load(&shard->stop) && !shard->stopping) {
        shard->stopping = true;
        mr_server_stop(shard->server);
    }
    if (shard->stopping && mr_server_idle(shard->server) && shard->net->connections == 0) {
        atomic_store(&shard->quiet, true);
    }
    if (all_quiet()) {
        mr_shard_stop(&shard->shard);
    }
    return shard->steps.commit(shard->steps.context) || worked;
}

static void
message(void *context, const struct mr_msg *received)
{
    struct test_shard *shard = context;

    shard->steps.message(shard->steps.context, received);
}

static bool
transmit(void *context)
{
    struct test_shard *shard = context;

    return shard->steps.transmit(shard->steps.context);
}

/* Never sleeps long: the stall ends, and the stop comes, without a wake-up. */
static uint64_t
deadline(void *context)
{
    struct test_shard *shard = context;

    return shard->shard.now_ns + MR_NS_PER_MS;
}

static void
build(struct test_shard *shard)
{
    struct mr_server_config config = {
        .nodes = {.id = 1, .count = 1, .host = "127.0.0.1", .port = 1},
        .store_count = SHARDS,
        .requests_max = 512,
        .connections_max = 32,
        .frame_bytes_max = 4u * 1024 * 1024,
        .frame_heap_bytes_max = 16u * 1024 * 1024,
        .connection_bytes_max = 1024 * 1024,
        .response_heap_bytes_max = 8u * 1024 * 1024,
        .fetch_bytes_max = 1024 * 1024,
        .fetches_parked_max = 64,
        .fetch_sessions_max = 8,
        .quota = {.meters_max = 16, .samples = 11, .sample_ms = 1000, .shard_count = 1},
        .idle_ns = 600 * MR_NS_PER_S};
    struct mr_server_store store = {.index = (uint16_t)shard->index};
    struct mr_net_uring_config net = {.uring = &shard->shard.uring,
                                      .arena = shard->receive,
                                      .buffer_count = BUFFERS,
                                      .buffer_size = BUFFER_SIZE,
                                      .connections_max = 32};
    struct mr_net_events events;

    MR_CHECK_EQ(
        mr_shard_init(&shard->shard, shard->index, SHARDS, &mr_clock_system, shard->mesh_port, 0),
        0);
    open_store(shard);
    store.store = shard->store;
    MR_CHECK_EQ(mr_server_create(&shard->shard, &config, &store, 1, &shard->server), 0);
    events = mr_server_net_events(shard->server);
    MR_CHECK_EQ(mr_net_uring_create(&net, &events, &shard->net), 0);
    mr_server_net_set(shard->server, shard->net);
    mr_server_on_serve(shard->server, on_serve, shard);
    shard->steps = mr_server_steps(shard->server, on_control, shard);
}

/* Every pool is back to zero. */
static void
check_returned(struct test_shard *shard)
{
    struct mr_store_stats stats;

    MR_CHECK_EQ(shard->server->requests_used, 0);
    MR_CHECK_EQ(shard->server->frame_heap_bytes, 0);
    MR_CHECK_EQ(shard->server->fetches_parked, 0);
    MR_CHECK_EQ(shard->net->buffers_free, BUFFERS);
    for (unsigned class = 0; class < MR_MESH_CLASSES; class ++) {
        MR_CHECK_EQ(mr_mesh_in_use(shard->mesh_port, 1 - shard->index, class), 0);
    }
    mr_store_stats(shard->store, &stats);
    MR_CHECK_EQ(stats.pinned_bytes, 0);
}

static int
run_shard(void *context)
{
    struct test_shard *shard = context;
    struct mr_shard_steps steps = {shard, message, commit, transmit, deadline};

    build(shard);
    pthread_barrier_wait(shard->ready);
    mr_shard_run(&shard->shard, &steps);
    pthread_barrier_wait(shard->ready); /* messages of the other may be under way until here */
    for (unsigned i = 0; i < 100; i++) {
        mr_shard_turn(&shard->shard, false);
    }
    check_returned(shard);
    MR_CHECK_EQ(mr_store_close(shard->store), 0);
    mr_dev_close(&shard->stall.dev);
    mr_net_destroy(shard->net);
    mr_server_destroy(shard->server);
    pthread_barrier_wait(shard->ready);
    mr_shard_close(&shard->shard);
    return 0;
}

/* ---- clients --------------------------------------------------------------------------------- */

struct client {
    unsigned connect_to;
    unsigned store;
    bool fetches;
    pthread_t thread;
    uint64_t sent;
    _Atomic uint64_t answered;
};

static struct client clients[CLIENTS];
static atomic_bool clients_stop;

static uint8_t batch[61 + 8 + RECORD_BYTES + 8];
static size_t batch_size;

/* One uncompressed record, by hand. */
static void
make_batch(void)
{
    uint8_t *at = batch + 61;
    uint32_t body = 1 + 1 + 1 + 1 + 2 + RECORD_BYTES + 1;

    memset(batch, 0, sizeof(batch));
    *at++ = (uint8_t)((body << 1 & 0x7f) | 0x80); /* zigzag varint of the record's length */
    *at++ = (uint8_t)(body << 1 >> 7);
    *at++ = 0; /* attributes */
    *at++ = 0; /* timestamp delta */
    *at++ = 0; /* offset delta */
    *at++ = 1; /* no key */
    *at++ = (uint8_t)((RECORD_BYTES << 1 & 0x7f) | 0x80);
    *at++ = (uint8_t)(RECORD_BYTES << 1 >> 7);
    memset(at, 'v', RECORD_BYTES);
    at += RECORD_BYTES;
    *at++ = 0; /* no headers */
    batch_size = (size_t)(at - batch);
    mr_be32_put(batch + 8, (uint32_t)batch_size - 12);
    batch[16] = 2;
    mr_be64_put(batch + 27, (uint64_t)mr_clock_wall_ms(&mr_clock_system));
    mr_be64_put(batch + 35, mr_be64_get(batch + 27));
    mr_be64_put(batch + 43, UINT64_MAX);
    mr_be16_put(batch + 51, UINT16_MAX);
    mr_be32_put(batch + 53, UINT32_MAX);
    mr_be32_put(batch + 57, 1);
    mr_be32_put(batch + 17, mr_crc32c(0, batch + 21, batch_size - 21));
}

static void
send_all(int fd, const struct mr_wire_out *out)
{
    for (uint32_t i = 0; i < out->iov_count; i++) {
        const uint8_t *at = out->iov[i].iov_base;
        size_t left = out->iov[i].iov_len;

        while (left > 0) {
            ssize_t sent = send(fd, at, left, MSG_NOSIGNAL);

            MR_CHECK(sent > 0);
            at += sent;
            left -= (size_t)sent;
        }
    }
}

static void
send_request(struct client *client, int fd, bool fetch, struct mr_bump *bump)
{
    int32_t partition = (int32_t)(client->store + SHARDS * (client->sent % (PARTITIONS / SHARDS)));
    struct iovec records = {batch, batch_size};
    struct mr_produce_request_partition produce_partition = {
        .index = partition, .records = {&records, 1, (int32_t)batch_size}};
    struct mr_produce_request_topic produce_topic = {.name = mr_str_from_c("t"),
                                                     .partition_data = &produce_partition,
                                                     .partition_data_count = 1};
    struct mr_fetch_request_partition fetch_partition;
    struct mr_fetch_request_topic fetch_topic = {
        .topic = mr_str_from_c("t"), .partitions = &fetch_partition, .partitions_count = 1};
    struct mr_produce_request produce;
    struct mr_fetch_request fetch_request;
    struct mr_request_header header = {.request_api_key = fetch ? MR_API_FETCH : MR_API_PRODUCE,
                                       .request_api_version = fetch ? 11 : 8,
                                       .correlation_id = (int32_t)client->sent,
                                       .client_id = mr_str_from_c("saturate")};
    struct mr_wire_out out;
    uint8_t *length;

    mr_wire_out_init(&out, bump);
    length = mr_wire_out_reserve_4(&out);
    mr_wire_request_header_encode(&out, &header);
    if (fetch) {
        mr_wire_init(&mr_fetch_request_message, &fetch_request);
        fetch_partition = (struct mr_fetch_request_partition){.partition = partition,
                                                              .current_leader_epoch = -1,
                                                              .fetch_offset = 0,
                                                              .partition_max_bytes = 65536};
        fetch_request.max_wait_ms = 50;
        fetch_request.min_bytes = client->sent % 8 ? 1 : 1 << 20;
        fetch_request.max_bytes = 1 << 20;
        fetch_request.session_epoch = -1;
        fetch_request.topics = &fetch_topic;
        fetch_request.topics_count = 1;
        mr_wire_encode(&mr_fetch_request_message, 11, &fetch_request, &out);
    } else {
        mr_wire_init(&mr_produce_request_message, &produce);
        produce.acks = -1;
        produce.timeout_ms = 30000;
        produce.topic_data = &produce_topic;
        produce.topic_data_count = 1;
        mr_wire_encode(&mr_produce_request_message, 8, &produce, &out);
    }
    MR_CHECK_EQ(out.error, 0);
    mr_wire_out_patch_4(length, (uint32_t)out.size - 4);
    send_all(fd, &out);
    client->sent++;
}

static void
receive_exactly(int fd, uint8_t *to, size_t size)
{
    while (size > 0) {
        ssize_t got = recv(fd, to, size, 0);

        MR_CHECK(got > 0);
        to += got;
        size -= (size_t)got;
    }
}

/* Answers carry correlation ids 0, 1, 2, ...: one each, in order. */
static void
receive_answer(struct client *client, int fd, uint8_t *buffer, size_t buffer_size)
{
    uint8_t start[8];
    uint32_t size;

    receive_exactly(fd, start, sizeof(start));
    size = mr_be32_get(start);
    MR_CHECK(size >= 4 && size - 4 <= buffer_size);
    MR_CHECK_EQ(mr_be32_get(start + 4), atomic_load(&client->answered));
    receive_exactly(fd, buffer, size - 4);
    atomic_fetch_add(&client->answered, 1);
}

static void *
run_client(void *context)
{
    struct client *client = context;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(shards[client->connect_to].port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {.tv_sec = 60};
    size_t buffer_size = 4u * 1024 * 1024;
    uint8_t *buffer = malloc(buffer_size);
    uint8_t *memory = aligned_alloc(16, 65536);
    struct mr_bump bump;

    MR_CHECK(buffer && memory);
    MR_CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    MR_CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    mr_bump_init(&bump, memory, 65536, 1 << 20);
    while (!atomic_load(&clients_stop)) {
        while (client->sent - atomic_load(&client->answered) < WINDOW) {
            send_request(client, fd, client->fetches && client->sent % 2, &bump);
            mr_bump_reset(&bump);
        }
        receive_answer(client, fd, buffer, buffer_size);
    }
    while (atomic_load(&client->answered) < client->sent) {
        receive_answer(client, fd, buffer, buffer_size);
    }
    close(fd);
    free(buffer);
    free(memory);
    return NULL;
}

/* ---- the test -------------------------------------------------------------------------------- */

/* Topic "t": partition p lies on store p mod SHARDS. */
static struct mr_metadata *
make_metadata(struct mr_topic_defaults *defaults, const struct mr_config *config)
{
    uint8_t command[4096];
    uint16_t stores[PARTITIONS];
    struct mr_metadata_new_topic topic = {.id = mr_uuid_random(),
                                          .name = "t",
                                          .name_size = 1,
                                          .partition_count = PARTITIONS,
                                          .stores = stores};
    struct mr_metadata_outcome outcome;
    struct mr_metadata *metadata;
    size_t size;

    mr_topic_defaults(config, defaults);
    metadata = mr_metadata_create(1, defaults);
    for (unsigned i = 0; i < PARTITIONS; i++) {
        stores[i] = (uint16_t)(i % SHARDS);
    }
    size = mr_metadata_encode_cluster(command, sizeof(command), &cluster_id);
    MR_CHECK_EQ(mr_metadata_apply(metadata, command, size, &outcome), 0);
    size = mr_metadata_encode_create_topic(command, sizeof(command), &topic);
    MR_CHECK_EQ(mr_metadata_apply(metadata, command, size, &outcome), 0);
    return metadata;
}

static void
count_message(void *context, const struct mr_msg *received)
{
    (void)received;
    (*(unsigned *)context)++;
}

/* One message to every shard, and their answers. */
static void
tell_all(struct mr_mesh_port *port, struct mr_uring *uring, struct mr_msg message)
{
    unsigned answered = 0;

    for (unsigned i = 0; i < SHARDS; i++) {
        MR_CHECK(mr_mesh_take(port, i, MR_MESH_REQUEST));
        mr_mesh_send(port, i, message);
    }
    mr_mesh_flush(port);
    mr_uring_submit(uring);
    while (answered < SHARDS) {
        mr_mesh_poll(port, 16, count_message, &answered);
        usleep(1000);
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        mr_mesh_give(port, i, MR_MESH_REQUEST);
    }
}

static void
publish(struct mr_mesh_port *port, struct mr_uring *uring, const struct mr_snapshot *snapshot)
{
    tell_all(port, uring,
             (struct mr_msg){.type = MR_MSG_SNAPSHOT, .context = (void *)(uintptr_t)snapshot});
    tell_all(port, uring, (struct mr_msg){.type = MR_MSG_SERVE});
}

static uint64_t
answered_by(unsigned store)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < CLIENTS; i++) {
        sum += clients[i].store == store ? atomic_load(&clients[i].answered) : 0;
    }
    return sum;
}

static void
saturate(void)
{
    uint64_t before[SHARDS];
    uint64_t healthy;

    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.connect_to = i & 1, .store = i >> 1 & 1, .fetches = i >> 2};
        MR_CHECK_EQ(pthread_create(&clients[i].thread, NULL, run_client, &clients[i]), 0);
    }
    usleep(SECONDS * 3 * 125000);
    before[0] = answered_by(0);
    before[1] = answered_by(1);
    atomic_store(&shards[0].stall.stalled, true);
    usleep(SECONDS * 250000);
    for (unsigned i = SECONDS / 4; i < STALL_MAX && answered_by(1) - before[1] <= UNDER_WAY; i++) {
        sleep(1);
    }
    healthy = answered_by(1) - before[1];
    atomic_store(&shards[0].stall.stalled, false);
    usleep(SECONDS * 3 * 125000);
    printf("store 0: %" PRIu64 " answers before its stall, %" PRIu64 " in all; store 1: %" PRIu64
           " during the stall, %" PRIu64 " in all\n",
           before[0], answered_by(0), healthy, answered_by(1));
    MR_CHECK(before[0] > 0);
    MR_CHECK(healthy > UNDER_WAY); /* more than was under way when the stall began */
    MR_CHECK(answered_by(0) > before[0] + UNDER_WAY); /* and it came back */
    atomic_store(&clients_stop, true);
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        MR_CHECK_EQ(clients[i].answered, clients[i].sent);
    }
}

static void
prepare_shard(unsigned index, struct mr_mesh *mesh, pthread_barrier_t *ready)
{
    struct test_shard *shard = &shards[index];

    shard->index = index;
    shard->ready = ready;
    shard->mesh_port = mr_mesh_port(mesh, index);
    shard->arena = aligned_alloc(MR_DEV_BLOCK, ARENA_BYTES);
    shard->receive = aligned_alloc(MR_DEV_BLOCK, (size_t)BUFFERS * BUFFER_SIZE);
    MR_CHECK(shard->arena && shard->receive);
    snprintf(shard->path, sizeof(shard->path), "saturate-%d-%u.mr", getpid(), index);
    rte_eal_remote_launch(run_shard, shard, index + 1);
}

MR_TEST(two_shards_saturate_each_other_while_a_drive_stalls)
{
    /* Few credits, so that they run out all the time. */
    const uint32_t credits[MR_MESH_CLASSES] = {8, 8, 8, 8};
    struct mr_config *config = mr_config_create();
    struct mr_topic_defaults defaults;
    struct mr_metadata *metadata;
    const struct mr_snapshot *snapshot;
    pthread_barrier_t ready;
    struct mr_mesh *mesh;
    struct mr_uring uring;

    cluster_id = mr_uuid_random();
    make_batch();
    pthread_barrier_init(&ready, NULL, SHARDS + 1);
    MR_CHECK_EQ(mr_mesh_create(SHARDS, credits, &mesh), 0);
    MR_CHECK_EQ(mr_uring_init(&uring, 16), 0);
    mr_mesh_port_bind(mr_mesh_port(mesh, SHARDS), &uring);
    for (unsigned i = 0; i < SHARDS; i++) {
        prepare_shard(i, mesh, &ready);
    }
    pthread_barrier_wait(&ready);
    metadata = make_metadata(&defaults, config);
    snapshot = mr_metadata_snapshot(metadata);
    publish(mr_mesh_port(mesh, SHARDS), &uring, snapshot);
    saturate();
    for (unsigned i = 0; i < SHARDS; i++) {
        atomic_store(&shards[i].stop, true);
    }
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&ready);
    rte_eal_mp_wait_lcore();
    for (unsigned i = 0; i < SHARDS; i++) {
        unlink(shards[i].path);
        free(shards[i].arena);
        free(shards[i].receive);
    }
    mr_uring_close(&uring);
    mr_mesh_destroy(mesh);
    mr_metadata_snapshot_release(snapshot);
    mr_metadata_destroy(metadata);
    mr_config_destroy(config);
}

int
main(int argc, char **argv)
{
    static const struct mr_test_case cases[] = {
        MR_TEST_CASE(two_shards_saturate_each_other_while_a_drive_stalls),
    };
    const char *arguments[] = {"saturate_test",
                               "--no-pci",
                               "--no-huge",
                               "-m",
                               "64",
                               "--no-shconf",
                               "--no-telemetry",
                               "--log-level",
                               "error",
                               "--lcores",
                               "0@(0-1),1@(0-1),2@(0-1)"};
    int probe = open(".", O_TMPFILE | O_RDWR | O_DIRECT, 0600);

    if (probe < 0) {
        MR_SKIP("no O_DIRECT on the file system of the build folder");
    }
    close(probe);
    if (rte_eal_init(11, (char **)(uintptr_t)arguments) < 0 || mr_timers_init() != 0) {
        return 1;
    }
    return mr_test_run(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
