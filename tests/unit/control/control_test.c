/* Goal: above a log that delays, drops and loses leadership, the control thread answers every
 * request exactly once, tells no success that is not committed and in use at every shard, and its
 * snapshots only rise; its pages of figures do not wait for a shard that is stuck.
 * Method: the real control thread in a thread of its own over metalog_test_engine.h; the test plays
 * the shards, late and in random order. ROUNDS seeds. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_eal.h>

#include "control/control.h"
#include "control/ctl_metrics.h"
#include "dataplane/base/rng.h"
#include "dataplane/kafka/wire/messages.h"
#include "dataplane/kafka/wire/wire.h"
#include "tests/mr_test.h"
#include "tests/unit/control/metalog_test_engine.h"

#define ROUNDS        500u
#define ROUNDS_CALM   20u
#define SHARDS        2u
#define REQUESTS      100u
#define IN_FLIGHT_MAX 16u
#define NAMES_MAX     3u
#define CREDITS       64u
#define BUMP_SIZE     16384u
#define COMMITS_MAX   16384u
#define CREATED_MAX   2048u
#define SILENCE_S     20u
#define PAGE_SIZE     65536u

enum kind {
    CREATE,
    DELETE,
    PRODUCER_ID,
    KINDS,
};

struct request {
    struct mr_ctl_request base;
    enum kind kind;
    bool under_way;
    struct mr_bump bump;
    _Alignas(16) uint8_t memory[BUMP_SIZE];
    char names[NAMES_MAX][32];
    struct mr_create_topics_request_topic new_topics[NAMES_MAX];
    struct mr_delete_topics_request_topic old_topics[NAMES_MAX];
    struct mr_create_topics_request create;
    struct mr_create_topics_response created;
    struct mr_delete_topics_request delete;
    struct mr_delete_topics_response deleted;
    struct mr_init_producer_id_request producer;
    struct mr_init_producer_id_response given;
};

struct shard {
    struct mr_mesh_port *port;
    const struct mr_snapshot *used;
    const struct mr_snapshot *offered; /* to be acknowledged some time */
    uint64_t epoch;
    bool stopped;
    bool stuck; /* acknowledges nothing, and keeps what asks for figures */
    struct mr_ctl_metrics *figures;
    unsigned figures_given; /* how often: shown as its connections */
};

struct commit {
    uint8_t kind; /* the command's first byte */
    struct mr_uuid id;
};

struct world {
    uint64_t seed;
    struct mr_rng rng;
    double lose_chance;
    double drop_chance;
    struct mr_config *config;
    struct mr_topic_defaults defaults;
    struct mr_mesh *mesh;
    struct mr_uring uring;
    struct mr_control_store stores[SHARDS];
    struct shard shards[SHARDS];
    pthread_t thread;
    pthread_barrier_t attached;
    struct request requests[IN_FLIGHT_MAX];
    unsigned under_way;
    unsigned sent;
    unsigned answered;
    unsigned successes;
    unsigned failures;
    unsigned name_number;
    struct mr_uuid topic_ids[CREATED_MAX]; /* created and not deleted by a request yet */
    char topic_names[CREATED_MAX][32];
    unsigned topic_count;
    int64_t producer_ids[REQUESTS];
    unsigned producer_id_count;
    int status;

    pthread_mutex_t lock; /* for what the engine tells */
    struct commit commits[COMMITS_MAX];
    unsigned commit_count;
    unsigned losses;
};

/* ---- the control thread ---------------------------------------------------------------------- */

#define KIND_CREATE 3 /* as metadata.c numbers its commands */
#define KIND_DELETE 4

static void
observe(void *context, const uint8_t *command, size_t size, uint64_t token)
{
    struct world *world = context;
    struct commit *commit;

    (void)token;
    pthread_mutex_lock(&world->lock);
    MR_CHECK(world->commit_count < COMMITS_MAX);
    commit = &world->commits[world->commit_count++];
    commit->kind = command[0];
    if (size >= 18) {
        memcpy(commit->id.bytes, command + 2, sizeof(commit->id.bytes));
    }
    pthread_mutex_unlock(&world->lock);
}

static void
observe_loss(void *context)
{
    struct world *world = context;

    pthread_mutex_lock(&world->lock);
    world->losses++;
    pthread_mutex_unlock(&world->lock);
}

static bool
is_committed(struct world *world, uint8_t kind, const struct mr_uuid *id)
{
    bool found = false;

    pthread_mutex_lock(&world->lock);
    for (unsigned i = 0; i < world->commit_count; i++) {
        found |= world->commits[i].kind == kind && mr_uuid_equal(&world->commits[i].id, id);
    }
    pthread_mutex_unlock(&world->lock);
    return found;
}

static int
open_engine(void *context, struct mr_uring *uring, const struct mr_metalog_events *events,
            struct mr_metalog **out)
{
    struct world *world = context;
    struct mr_test_engine_config config = {
        .seed = world->seed,
        .calm_commits = 2, /* the cluster id, the unclean start */
        .lose_chance = world->lose_chance,
        .drop_chance = world->drop_chance,
        .defaults = &world->defaults,
        .observe = observe,
        .observe_loss = observe_loss,
        .context = world,
    };

    return mr_test_engine_open(&config, uring, events, out);
}

static void
on_ready(void *context)
{
    (void)context;
}

static void *
run_control(void *context)
{
    struct world *world = context;
    struct mr_control_config config = {
        .config = world->config,
        .clock = &mr_clock_system,
        .node_id = 1,
        .nodes = {.id = 1, .count = 1, .host = "127.0.0.1", .port = 9092},
        .shard_count = SHARDS,
        .open_metalog = open_engine,
        .open_context = world,
    };
    struct mr_control *control;
    char error[256];

    MR_CHECK_EQ(mr_control_create(&config, &control, error, sizeof(error)), 0);
    MR_CHECK(mr_control_is_new(control));
    mr_control_attach(control, mr_mesh_port(world->mesh, SHARDS), world->stores, SHARDS);
    pthread_barrier_wait(&world->attached);
    world->status = mr_control_run(control, on_ready, NULL);
    mr_control_destroy(control);
    return NULL;
}

/* ---- requests -------------------------------------------------------------------------------- */

static void
fill_create(struct world *world, struct request *request)
{
    int32_t count = 1 + (int32_t)mr_rng_below(&world->rng, NAMES_MAX);

    for (int32_t i = 0; i < count; i++) {
        snprintf(request->names[i], sizeof(request->names[i]), "topic-%u", world->name_number++);
        request->new_topics[i] = (struct mr_create_topics_request_topic){
            .name = mr_str_from_c(request->names[i]),
            .num_partitions = 1 + (int32_t)mr_rng_below(&world->rng, 4),
            .replication_factor = 1,
        };
    }
    request->create = (struct mr_create_topics_request){request->new_topics, count, 1000, false};
    request->base.api_key = MR_API_CREATE_TOPICS;
    request->base.api_version = 7;
    request->base.request = &request->create;
    request->base.response = &request->created;
}

/* Topics that a request is to delete leave the list: none is asked for twice. */
static void
fill_delete(struct world *world, struct request *request)
{
    int32_t count = 0;

    while (count < (int32_t)NAMES_MAX && world->topic_count > 0) {
        unsigned at = (unsigned)mr_rng_below(&world->rng, world->topic_count);
        struct mr_delete_topics_request_topic *topic = &request->old_topics[count];

        memcpy(request->names[count], world->topic_names[at], sizeof(request->names[count]));
        topic->name =
            mr_rng_below(&world->rng, 2) ? mr_str_from_c(request->names[count]) : mr_str_null();
        topic->topic_id = topic->name.size < 0 ? world->topic_ids[at] : (struct mr_uuid){{0}};
        world->topic_count--;
        world->topic_ids[at] = world->topic_ids[world->topic_count];
        memcpy(world->topic_names[at], world->topic_names[world->topic_count],
               sizeof(world->topic_names[at]));
        count++;
    }
    request->delete =
        (struct mr_delete_topics_request){.topics = request->old_topics, .topics_count = count};
    request->base.api_key = MR_API_DELETE_TOPICS;
    request->base.api_version = 6;
    request->base.request = &request->delete;
    request->base.response = &request->deleted;
}

static void
fill_producer(struct request *request)
{
    request->producer = (struct mr_init_producer_id_request){
        .transactional_id = mr_str_null(), .producer_id = -1, .producer_epoch = -1};
    request->base.api_key = MR_API_INIT_PRODUCER_ID;
    request->base.api_version = 4;
    request->base.request = &request->producer;
    request->base.response = &request->given;
}

static void
send_request(struct world *world)
{
    unsigned shard = (unsigned)mr_rng_below(&world->rng, SHARDS);
    struct request *request = world->requests;

    while (request->under_way) {
        request++;
    }
    memset(request, 0, sizeof(*request));
    request->under_way = true;
    mr_bump_init(&request->bump, request->memory, sizeof(request->memory), 1024 * 1024);
    request->base.bump = &request->bump;
    request->kind = (enum kind)mr_rng_below(&world->rng, KINDS);
    if (request->kind == CREATE) {
        fill_create(world, request);
    } else if (request->kind == DELETE) {
        fill_delete(world, request);
    } else {
        fill_producer(request);
    }
    world->under_way++;
    world->sent++;
    MR_CHECK(mr_mesh_take(world->shards[shard].port, SHARDS, MR_MESH_REQUEST));
    mr_mesh_send(world->shards[shard].port, SHARDS,
                 (struct mr_msg){.type = MR_MSG_CTL_REQUEST, .context = &request->base});
}

static void
count_answer(struct world *world, int16_t error)
{
    world->successes += error == 0;
    world->failures += error != 0;
}

/* ---- judging answers ------------------------------------------------------------------------- */

static void
judge_created(struct world *world, const struct request *request)
{
    MR_CHECK_EQ(request->created.topics_count, request->create.topics_count);
    for (int32_t i = 0; i < request->created.topics_count; i++) {
        const struct mr_create_topics_response_topic *topic = &request->created.topics[i];

        count_answer(world, topic->error_code);
        if (topic->error_code) {
            continue;
        }
        MR_CHECK(is_committed(world, KIND_CREATE, &topic->topic_id));
        for (unsigned s = 0; s < SHARDS; s++) {
            MR_CHECK(mr_snapshot_topic_by_id(world->shards[s].used, &topic->topic_id));
        }
        MR_CHECK(world->topic_count < CREATED_MAX);
        world->topic_ids[world->topic_count] = topic->topic_id;
        memcpy(world->topic_names[world->topic_count++], request->names[i],
               sizeof(request->names[i]));
    }
}

static void
judge_deleted(struct world *world, const struct request *request)
{
    MR_CHECK_EQ(request->deleted.responses_count, request->delete.topics_count);
    for (int32_t i = 0; i < request->deleted.responses_count; i++) {
        const struct mr_delete_topics_response_topic *topic = &request->deleted.responses[i];

        count_answer(world, topic->error_code);
        if (topic->error_code) {
            continue;
        }
        MR_CHECK(mr_str_equal_c(topic->name, request->names[i]));
        MR_CHECK(is_committed(world, KIND_DELETE, &topic->topic_id));
        for (unsigned s = 0; s < SHARDS; s++) {
            MR_CHECK(!mr_snapshot_topic_by_id(world->shards[s].used, &topic->topic_id));
        }
    }
}

static void
judge_producer(struct world *world, const struct request *request)
{
    count_answer(world, request->given.error_code);
    if (request->given.error_code) {
        MR_CHECK_EQ(request->given.producer_id, -1);
        return;
    }
    MR_CHECK(request->given.producer_id >= 0);
    for (unsigned i = 0; i < world->producer_id_count; i++) {
        MR_CHECK(world->producer_ids[i] != request->given.producer_id);
    }
    world->producer_ids[world->producer_id_count++] = request->given.producer_id;
}

static void
on_reply(struct world *world, struct mr_ctl_request *base)
{
    struct request *request = (struct request *)base; /* its first member */

    MR_CHECK(request->under_way); /* answered once */
    MR_CHECK(!base->failed);
    if (request->kind == CREATE) {
        judge_created(world, request);
    } else if (request->kind == DELETE) {
        judge_deleted(world, request);
    } else {
        judge_producer(world, request);
    }
    mr_bump_reset(&request->bump);
    request->under_way = false;
    world->under_way--;
    world->answered++;
}

/* ---- the shards ------------------------------------------------------------------------------ */

static struct world *world_of_messages; /* mr_mesh_poll() passes one context, the shard's index */

static void
on_log_delete(struct world *world, struct shard *shard, struct mr_ctl_log *log)
{
    for (unsigned s = 0; s < SHARDS; s++) { /* nobody may append to it any more */
        MR_CHECK(!mr_snapshot_topic_by_id(world->shards[s].used, &log->topic_id));
    }
    mr_mesh_send(shard->port, SHARDS,
                 (struct mr_msg){.type = MR_MSG_LOG_DELETE_REPLY, .context = log});
}

static void
on_message(void *context, const struct mr_msg *message)
{
    struct shard *shard = context;

    switch (message->type) {
    case MR_MSG_CTL_REPLY:
        mr_mesh_give(shard->port, SHARDS, MR_MESH_REQUEST);
        on_reply(world_of_messages, message->context);
        break;
    case MR_MSG_SNAPSHOT:
        if (shard->stopped) {
            break; /* the control thread, whose it is, may have ended */
        }
        MR_CHECK(!shard->offered);
        shard->offered = message->context;
        MR_CHECK(shard->offered->epoch > shard->epoch);
        break;
    case MR_MSG_SERVE: /* not before every shard knows the topics */
        for (unsigned s = 0; s < SHARDS; s++) {
            MR_CHECK(world_of_messages->shards[s].used != NULL);
        }
        mr_mesh_send(shard->port, SHARDS, (struct mr_msg){.type = MR_MSG_SERVE_REPLY});
        break;
    case MR_MSG_LOG_DELETE:
        on_log_delete(world_of_messages, shard, message->context);
        break;
    case MR_MSG_METRICS:
        MR_CHECK(!shard->figures);
        shard->figures = message->context;
        break;
    case MR_MSG_STOP:
        shard->stopped = true;
        mr_mesh_send(shard->port, SHARDS, (struct mr_msg){.type = MR_MSG_STOP_REPLY});
        break;
    default:
        MR_CHECK(!"a message that the control thread never sends");
    }
}

static void
acknowledge(struct shard *shard)
{
    shard->used = shard->offered;
    shard->epoch = shard->used->epoch;
    shard->offered = NULL;
    mr_mesh_send(shard->port, SHARDS,
                 (struct mr_msg){.type = MR_MSG_SNAPSHOT_ACK, .arguments = {shard->epoch}});
}

static void
answer_figures(struct shard *shard)
{
    shard->figures->connections = ++shard->figures_given;
    mr_mesh_send(shard->port, SHARDS,
                 (struct mr_msg){.type = MR_MSG_METRICS_REPLY, .context = shard->figures});
    shard->figures = NULL;
}

static void
shards_turn(struct world *world)
{
    world_of_messages = world;
    for (unsigned s = 0; s < SHARDS; s++) {
        struct shard *shard = &world->shards[s];

        mr_mesh_poll(shard->port, 16, on_message, shard);
        if (shard->offered && !shard->stopped && !shard->stuck &&
            mr_rng_below(&world->rng, 4) == 0) {
            acknowledge(shard);
        }
        if (shard->figures && !shard->stuck) {
            answer_figures(shard);
        }
        mr_mesh_flush(shard->port);
    }
    mr_uring_submit(&world->uring);
    mr_uring_reap(&world->uring, 64);
    usleep((useconds_t)mr_rng_below(&world->rng, 100));
}

static void
start(struct world *world, uint64_t seed, double lose_chance, double drop_chance, const char *admin)
{
    static const uint32_t credits[MR_MESH_CLASSES] = {CREDITS, CREDITS, CREDITS, CREDITS};
    char error[256];

    memset(world, 0, sizeof(*world));
    world->seed = seed;
    world->lose_chance = lose_chance;
    world->drop_chance = drop_chance;
    mr_rng_init(&world->rng, seed);
    pthread_mutex_init(&world->lock, NULL);
    pthread_barrier_init(&world->attached, NULL, 2);
    world->config = mr_config_create();
    MR_CHECK_EQ(mr_config_set(world->config, "admin.listen", admin, "test", error, sizeof(error)),
                0);
    mr_topic_defaults(world->config, &world->defaults);
    MR_CHECK_EQ(mr_mesh_create(SHARDS, credits, &world->mesh), 0);
    MR_CHECK_EQ(mr_uring_init(&world->uring, 64), 0);
    for (unsigned s = 0; s < SHARDS; s++) {
        world->shards[s].port = mr_mesh_port(world->mesh, s);
        mr_mesh_port_bind(world->shards[s].port, &world->uring);
    }
    MR_CHECK_EQ(pthread_create(&world->thread, NULL, run_control, world), 0);
    pthread_barrier_wait(&world->attached);
    for (unsigned s = 0; s < SHARDS; s++) {
        mr_mesh_send(world->shards[s].port, SHARDS,
                     (struct mr_msg){.type = MR_MSG_SHARD_READY, .arguments = {s == 0}});
    }
    while (!world->shards[0].used || !world->shards[1].used) {
        shards_turn(world);
    }
    MR_CHECK_EQ(world->shards[0].used->generation, 1); /* shard 0 was not closed cleanly */
}

static void
stop(struct world *world)
{
    MR_CHECK_EQ(kill(getpid(), SIGTERM), 0);
    while (!world->shards[0].stopped || !world->shards[1].stopped) {
        shards_turn(world);
    }
    shards_turn(world);
    pthread_join(world->thread, NULL);
    MR_CHECK_EQ(world->status, 0);
    mr_uring_close(&world->uring);
    mr_mesh_destroy(world->mesh);
    mr_config_destroy(world->config);
    pthread_barrier_destroy(&world->attached);
    pthread_mutex_destroy(&world->lock);
}

struct total {
    unsigned successes;
    unsigned failures;
    unsigned losses;
};

static void
run_round(uint64_t seed, double lose_chance, double drop_chance, struct total *total)
{
    static struct world world;
    uint64_t last_ns;

    start(&world, seed, lose_chance, drop_chance, "");
    last_ns = mr_clock_now_ns(&mr_clock_system);
    while (world.answered < REQUESTS) {
        unsigned answered = world.answered;

        if (world.sent < REQUESTS && world.under_way < IN_FLIGHT_MAX) {
            send_request(&world);
        }
        shards_turn(&world);
        if (world.answered > answered) {
            last_ns = mr_clock_now_ns(&mr_clock_system);
        } else if (mr_clock_now_ns(&mr_clock_system) - last_ns > SILENCE_S * MR_NS_PER_S) {
            fprintf(stderr, "seed %llu: %u requests are not answered\n", (unsigned long long)seed,
                    world.under_way);
            exit(1);
        }
    }
    total->successes += world.successes;
    total->failures += world.failures;
    total->losses += world.losses;
    stop(&world);
}

MR_TEST(requests_are_answered_once_and_truly_above_a_log_that_loses_leadership)
{
    struct total total = {0};

    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        run_round(seed, 0.05, 0.02, &total);
    }
    printf("%u successes, %u failures, %u losses of leadership\n", total.successes, total.failures,
           total.losses);
    MR_CHECK(total.successes > ROUNDS && total.failures > ROUNDS && total.losses > ROUNDS);
}

MR_TEST(a_command_that_the_log_drops_is_answered_though_leadership_stays)
{
    struct total total = {0};

    for (uint64_t seed = 1; seed <= ROUNDS_CALM; seed++) {
        run_round(seed, 0, 0.5, &total);
    }
    MR_CHECK(total.successes > ROUNDS_CALM && total.failures > ROUNDS_CALM && total.losses == 0);
}

/* ---- figures --------------------------------------------------------------------------------- */

static struct sockaddr_in
free_address(char *text, size_t text_size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    int one = socket(AF_INET, SOCK_STREAM, 0);

    MR_CHECK_EQ(bind(one, (struct sockaddr *)&address, size), 0);
    MR_CHECK_EQ(getsockname(one, (struct sockaddr *)&address, &size), 0);
    close(one);
    snprintf(text, text_size, "127.0.0.1:%u", ntohs(address.sin_port));
    return address;
}

static int
ask_page(const struct sockaddr_in *address, const char *path)
{
    int one = socket(AF_INET, SOCK_STREAM, 0);
    char request[64];
    int size = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", path);

    MR_CHECK_EQ(connect(one, (const struct sockaddr *)address, sizeof(*address)), 0);
    MR_CHECK_EQ(send(one, request, (size_t)size, 0), size);
    return one;
}

/* What comes until the end of the connection, while the shards do their turns. */
static const char *
page_of(struct world *world, int one)
{
    static char page[PAGE_SIZE];
    size_t size = 0;
    ssize_t got;

    do {
        MR_CHECK(size + 1 < sizeof(page));
        shards_turn(world);
        got = recv(one, page + size, sizeof(page) - 1 - size, MSG_DONTWAIT);
        MR_CHECK(got >= 0 || errno == EAGAIN);
        size += got > 0 ? (size_t)got : 0;
    } while (got != 0);
    page[size] = 0;
    close(one);
    return page;
}

static const char *
get(struct world *world, const struct sockaddr_in *address, const char *path)
{
    return page_of(world, ask_page(address, path));
}

/* Goal: a shard that gives no figures delays a page, but does not hold it up, nor later ones; and
 * snapshots that it may still use stay in memory, and no longer than that.
 * Method: shard 1 keeps messages to itself while topics are created, then catches up. */
MR_TEST(a_stuck_shard_is_left_out_of_the_figures_and_keeps_its_snapshot)
{
    static struct world world;
    char text[32];
    struct sockaddr_in address = free_address(text, sizeof(text));
    const char *page;
    int first;
    int second;

    start(&world, 1, 0, 0, text);
    page = get(&world, &address, "/metrics");
    MR_CHECK(strstr(page, "millrace_shard_up{shard=\"0\"} 1\n"));
    MR_CHECK(strstr(page, "millrace_shard_up{shard=\"1\"} 1\n"));
    MR_CHECK(strstr(page, "millrace_connections{shard=\"1\"} 1\n"));
    MR_CHECK(strstr(page, "millrace_metadata_snapshots 1\n"));

    world.shards[1].stuck = true;
    while (world.sent < IN_FLIGHT_MAX) { /* their answers wait for shard 1 */
        send_request(&world);
    }
    while (!world.shards[1].offered) {
        shards_turn(&world);
    }
    first = ask_page(&address, "/metrics");
    while (!world.shards[1].figures || world.shards[0].figures_given < 2) {
        shards_turn(&world);
    }
    second = ask_page(&address, "/metrics"); /* shard 0 has given the first one's figures */
    MR_CHECK(strstr(get(&world, &address, "/healthz"), "\r\nok\n"));
    page = page_of(&world, first);
    MR_CHECK(strstr(page, "millrace_shard_up{shard=\"0\"} 1\n"));
    MR_CHECK(strstr(page, "millrace_shard_up{shard=\"1\"} 0\n"));
    MR_CHECK(strstr(page, "millrace_connections{shard=\"0\"} 2\n"));
    MR_CHECK(!strstr(page, "millrace_connections{shard=\"1\"}"));
    MR_CHECK(strstr(page, "millrace_metadata_snapshots ")[strlen("millrace_metadata_snapshots ")] >
             '1');
    page = page_of(&world, second);
    MR_CHECK(strstr(page, "millrace_shard_up{shard=\"1\"} 0\n"));
    MR_CHECK(strstr(page, "millrace_connections{shard=\"0\"} 3\n"));

    world.shards[1].stuck = false;
    while (world.under_way > 0) {
        shards_turn(&world);
    }
    do {
        page = get(&world, &address, "/metrics");
    } while (!strstr(page, "millrace_metadata_snapshots 1\n"));
    MR_CHECK(strstr(page, "millrace_shard_up{shard=\"1\"} 1\n"));
    stop(&world);
}

static int
start_eal(void)
{
    const char *arguments[] = {"control_test", "--no-pci",       "--no-huge",   "-m",    "64",
                               "--no-shconf",  "--no-telemetry", "--log-level", "error", "--lcores",
                               "0@0"};

    return rte_eal_init(11, (char **)(uintptr_t)arguments);
}

int
main(int argc, char **argv)
{
    static const struct mr_test_case cases[] = {
        MR_TEST_CASE(requests_are_answered_once_and_truly_above_a_log_that_loses_leadership),
        MR_TEST_CASE(a_command_that_the_log_drops_is_answered_though_leadership_stays),
        MR_TEST_CASE(a_stuck_shard_is_left_out_of_the_figures_and_keeps_its_snapshot),
    };

    if (start_eal() < 0) {
        return 1;
    }
    return mr_test_run(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
