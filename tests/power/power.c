/* tests/power/power.c: the broker of these tests and its clients. */
#include "tests/power/power.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGUMENTS_MAX 64
#define PAGE_BYTES    (4u << 20) /* of metrics */

static pid_t broker;
static char folder[] = "/tmp/millrace-power-XXXXXX";
static char listen_at[32], admin_at[32];
static const char *program;
static const char *const *given;
static const char *shards;      /* NULL: what is given is all */
static _Atomic uint64_t *gauge; /* the broker's count of what is not flushed, shared with it */

void
power_die(const char *format, ...)
{
    va_list args;

    fflush(stdout);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    if (broker > 0) {
        kill(broker, SIGKILL);
    }
    exit(1);
}

/* ---- the broker ------------------------------------------------------------------------------ */

static uint16_t
free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        power_die("no free port");
    }
    close(fd);
    return ntohs(address.sin_port);
}

void
power_prepare(const char *broker_program, const char *const *arguments)
{
    program = broker_program;
    given = arguments;
    if (!mkdtemp(folder)) {
        power_die("no temporary folder");
    }
    snprintf(listen_at, sizeof(listen_at), "127.0.0.1:%u", free_port());
    snprintf(admin_at, sizeof(admin_at), "127.0.0.1:%u", free_port());
}

void
power_listen(const char *address)
{
    snprintf(listen_at, sizeof(listen_at), "%s", address);
}

static void
run_broker(int out)
{
    char admin[64];
    const char *arguments[ARGUMENTS_MAX] = {program, "--listen", listen_at, "--set", admin};
    unsigned count = 5;

    snprintf(admin, sizeof(admin), "admin.listen=%s", admin_at);
    if (shards) {
        const char *const common[] = {"--data-dir", folder,  "--shards",
                                      shards,       "--set", "dev.volatile=true"};

        memcpy(&arguments[count], common, sizeof(common));
        count += sizeof(common) / sizeof(common[0]);
    }
    for (unsigned i = 0; given[i] && count < ARGUMENTS_MAX - 1; i++) {
        const char *at = strchr(given[i], '@');
        char *filled = NULL;

        if (at &&
            asprintf(&filled, "%.*s%s%s", (int)(at - given[i]), given[i], folder, at + 1) < 0) {
            _exit(127);
        }
        arguments[count++] = filled ? filled : given[i];
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* however the test ends */
    dup2(out, STDOUT_FILENO);
    execv(program, (char *const *)(uintptr_t)arguments);
    _exit(127);
}

static void
map_gauge(void)
{
    char path[128];
    void *mapped;
    int fd;

    snprintf(path, sizeof(path), "%s/dev.volatile", folder);
    fd = open(path, O_RDONLY);
    if (fd < 0) {
        return; /* not a volatile device */
    }
    mapped = mmap(NULL, sizeof(uint64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        power_die("the broker's count of what is not flushed cannot be mapped");
    }
    close(fd);
    gauge = mapped;
}

static void
unmap_gauge(void)
{
    if (gauge) {
        munmap((void *)(uintptr_t)gauge, sizeof(uint64_t));
        gauge = NULL;
    }
}

void
power_start(void)
{
    char line[256] = "";
    size_t used = 0;
    int out[2];

    if (pipe2(out, O_CLOEXEC) != 0) {
        power_die("no pipe");
    }
    broker = fork();
    if (broker == 0) {
        run_broker(out[1]);
    }
    close(out[1]);
    while (!strstr(line, "ready")) {
        struct pollfd ready = {.fd = out[0], .events = POLLIN};
        ssize_t got = poll(&ready, 1, POWER_DEADLINE_S * 1000) == 1
                          ? read(out[0], line + used, sizeof(line) - 1 - used)
                          : 0;

        if (got <= 0) {
            power_die("the broker does not start");
        }
        used += (size_t)got;
        line[used] = '\0';
    }
    close(out[0]);
    map_gauge();
}

unsigned
power_begin(int argc, char **argv, const char *const *arguments)
{
    unsigned seed = (unsigned)time(NULL);

    if (argc != 4) {
        fprintf(stderr, "usage: %s BROKER CYCLES SHARDS\n", argv[0]);
        exit(1);
    }
    printf("seed %u\n", seed);
    srand(seed);
    shards = argv[3];
    power_prepare(argv[1], arguments);
    power_start();
    return (unsigned)strtoul(argv[2], NULL, 10);
}

void
power_wait_unflushed(void (*work)(void *context), void *context)
{
    if (!gauge) {
        power_die("the broker keeps no count of what is not flushed");
    }
    for (unsigned i = 0; i < 200; i++) {
        work(context);
        for (unsigned k = 0; k < 20000; k++) {
            if (atomic_load(gauge) > 0) {
                return;
            }
        }
    }
}

uint64_t
power_kill(void)
{
    uint64_t unflushed;

    kill(broker, SIGKILL);
    waitpid(broker, NULL, 0);
    broker = 0;
    unflushed = gauge ? atomic_load(gauge) : 0;
    unmap_gauge();
    return unflushed;
}

void
power_stop(void)
{
    int status;

    kill(broker, SIGTERM);
    waitpid(broker, &status, 0);
    broker = 0;
    unmap_gauge();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        power_die("the broker did not stop cleanly");
    }
}

void
power_clean_up(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    if (system(command) != 0) {
        power_die("%s stays", folder);
    }
}

const char *
power_folder(void)
{
    return folder;
}

const char *
power_address(void)
{
    return listen_at;
}

/* ---- metrics --------------------------------------------------------------------------------- */

/* Whether an HTTP answer has come to its end. */
static bool
whole(const char *page)
{
    const char *body = strstr(page, "\r\n\r\n");
    const char *size = strcasestr(page, "\r\nContent-Length: ");

    return body && size && size < body && strlen(body + 4) >= strtoul(strchr(size, ' '), NULL, 10);
}

/* The whole answer, headers included, with a zero behind it; static memory. */
static const char *
scrape(void)
{
    static char page[PAGE_BYTES];
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: broker\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = POWER_DEADLINE_S};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    size_t used = 0;
    ssize_t got;

    page[0] = '\0';
    address.sin_port = htons((uint16_t)strtoul(strchr(admin_at, ':') + 1, NULL, 10));
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        write(fd, request, sizeof(request) - 1) != (ssize_t)(sizeof(request) - 1)) {
        power_die("the broker's metrics cannot be had: %s", strerror(errno));
    }
    while (!whole(page) && used < sizeof(page) - 1 &&
           (got = read(fd, page + used, sizeof(page) - 1 - used)) > 0) {
        used += (size_t)got;
        page[used] = '\0';
    }
    close(fd);
    if (!whole(page)) {
        power_die("the broker's metrics are cut off");
    }
    return page;
}

uint64_t
power_metric(const char *name)
{
    const char *at = scrape();
    size_t size = strlen(name);
    uint64_t sum = 0;
    bool found = false;

    for (; (at = strchr(at, '\n')) != NULL; at++) {
        const char *labels = at + 1 + size;

        if (strncmp(at + 1, name, size) == 0 && (*labels == '{' || *labels == ' ')) {
            found = true;
            sum += strtoull(strchr(labels, ' '), NULL, 10);
        }
    }
    if (!found) {
        power_die("the broker has no metric %s", name);
    }
    return sum;
}

/* ---- clients --------------------------------------------------------------------------------- */

static const char *const usual[][2] = {
    {"reconnect.backoff.ms", "20"},
    {"reconnect.backoff.max.ms", "100"},
    {"retry.backoff.ms", "20"},
    {"log_level", "0"},
    {NULL, NULL},
};

static const char *const patient[][2] = {
    {"enable.idempotence", "true"},   {"acks", "all"},    {"retries", "1000000"},
    {"message.timeout.ms", "300000"}, {"linger.ms", "1"}, {NULL, NULL},
};

static void
apply(rd_kafka_conf_t *conf, const char *const (*settings)[2])
{
    char error[256];

    for (; settings && (*settings)[0]; settings++) {
        if (rd_kafka_conf_set(conf, (*settings)[0], (*settings)[1], error, sizeof(error)) !=
            RD_KAFKA_CONF_OK) {
            power_die("%s", error);
        }
    }
}

static rd_kafka_t *
make_client(rd_kafka_type_t type, const char *const (*first)[2], const char *const (*second)[2],
            void (*on_report)(rd_kafka_t *handle, const rd_kafka_message_t *message, void *context),
            void *context)
{
    const char *const servers[][2] = {{"bootstrap.servers", listen_at}, {NULL, NULL}};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char error[256];
    rd_kafka_t *handle;

    apply(conf, servers);
    apply(conf, usual);
    apply(conf, first);
    apply(conf, second);
    if (on_report) {
        rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    }
    rd_kafka_conf_set_opaque(conf, context);
    handle = rd_kafka_new(type, conf, error, sizeof(error));
    if (!handle) {
        power_die("%s", error);
    }
    return handle;
}

rd_kafka_t *
power_client(rd_kafka_type_t type, const char *const (*settings)[2],
             void (*on_report)(rd_kafka_t *handle, const rd_kafka_message_t *message,
                               void *context),
             void *context)
{
    return make_client(type, settings, NULL, on_report, context);
}

rd_kafka_t *
power_producer(const char *const (*settings)[2],
               void (*on_report)(rd_kafka_t *handle, const rd_kafka_message_t *message,
                                 void *context),
               void *context)
{
    return make_client(RD_KAFKA_PRODUCER, patient, settings, on_report, context);
}

void
power_flush(rd_kafka_t *producer)
{
    if (rd_kafka_flush(producer, POWER_DEADLINE_S * 1000) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        power_die("the last records are not acknowledged: %d are open",
                  rd_kafka_outq_len(producer));
    }
}

/* ---- topics ---------------------------------------------------------------------------------- */

/* Waits for the answer of an admin request; the caller destroys it. */
static rd_kafka_event_t *
await(rd_kafka_queue_t *queue, const char *what)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, POWER_DEADLINE_S * 1000);

    if (!event) {
        power_die("%s: no answer", what);
    }
    if (rd_kafka_event_error(event)) {
        power_die("%s: %s", what, rd_kafka_event_error_string(event));
    }
    return event;
}

void
power_create_topic(rd_kafka_t *client, const char *topic, int partitions, const char *const *config)
{
    char text[256];
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_NewTopic_t *wanted = rd_kafka_NewTopic_new(topic, partitions, 1, text, sizeof(text));
    const rd_kafka_topic_result_t **results;
    rd_kafka_event_t *event;
    size_t count;

    for (; *config; config += 2) {
        rd_kafka_NewTopic_set_config(wanted, config[0], config[1]);
    }
    rd_kafka_CreateTopics(client, &wanted, 1, NULL, queue);
    event = await(queue, "CreateTopics");
    results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    if (count != 1 || rd_kafka_topic_result_error(results[0])) {
        power_die("%s is not created: %s", topic, rd_kafka_topic_result_error_string(results[0]));
    }
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(wanted);
    rd_kafka_queue_destroy(queue);
}

rd_kafka_resp_err_t
power_delete_topic(rd_kafka_t *client, const char *topic)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_DeleteTopic_t *wanted = rd_kafka_DeleteTopic_new(topic);
    const rd_kafka_topic_result_t **results;
    rd_kafka_event_t *event;
    rd_kafka_resp_err_t error;
    size_t count;

    rd_kafka_DeleteTopics(client, &wanted, 1, NULL, queue);
    event = await(queue, "DeleteTopics");
    results =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
    error = rd_kafka_topic_result_error(results[0]);
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteTopic_destroy(wanted);
    rd_kafka_queue_destroy(queue);
    return error;
}

void
power_alter_topic(rd_kafka_t *client, const char *topic, const char *key, const char *value)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_ConfigResource_t *wanted = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    const rd_kafka_ConfigResource_t **results;
    rd_kafka_event_t *event;
    size_t count;

    rd_kafka_ConfigResource_set_config(wanted, key, value);
    rd_kafka_AlterConfigs(client, &wanted, 1, NULL, queue);
    event = await(queue, "AlterConfigs");
    results =
        rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &count);
    if (count != 1 || rd_kafka_ConfigResource_error(results[0])) {
        power_die("%s=%s: %s", key, value, rd_kafka_ConfigResource_error_string(results[0]));
    }
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(wanted);
    rd_kafka_queue_destroy(queue);
}

void
power_offsets(rd_kafka_t *client, const char *topic, int32_t partition, int64_t *start,
              int64_t *end)
{
    rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(client, topic, partition, start,
                                                                 end, POWER_DEADLINE_S * 1000);

    if (error) {
        power_die("%s-%d has no offsets: %s", topic, partition, rd_kafka_err2str(error));
    }
}

void
power_read_all(const char *topic, int partitions,
               void (*on_record)(const rd_kafka_message_t *message, void *context), void *context)
{
    static const char *const settings[][2] = {
        {"group.id", "unused"},           {"enable.auto.commit", "false"},
        {"enable.partition.eof", "true"}, {"auto.offset.reset", "earliest"},
        {"check.crcs", "true"},           {NULL, NULL},
    };
    rd_kafka_t *handle = power_client(RD_KAFKA_CONSUMER, settings, NULL, NULL);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    time_t quiet_since = time(NULL);
    int ended = 0;

    for (int32_t p = 0; p < partitions; p++) {
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
    }
    rd_kafka_assign(handle, list);
    rd_kafka_topic_partition_list_destroy(list);
    while (ended < partitions) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(handle, 1000);

        if (time(NULL) > quiet_since + POWER_DEADLINE_S) {
            power_die("the consumer of %s does not reach the end", topic);
        }
        if (!message) {
            continue;
        }
        quiet_since = time(NULL);
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            ended++;
        } else if (message->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
            power_die("acknowledged records are missing: their topic %s is", topic);
        } else if (!message->err) {
            on_record(message, context);
        }
        rd_kafka_message_destroy(message);
    }
    rd_kafka_destroy(handle);
}
