/* Goal: what a client was told is durable survives a power cut, once and in order.
 *
 * Method: the real broker runs with dev.volatile=true, so that kill -9 loses every write that was
 * not flushed. An idempotent producer (acks=all) and a plain one (acks=1, no retries) write
 * numbered records to four partitions; the broker is killed under that load again and again, each
 * time after at least ACKS_PER_CYCLE acknowledgements, and started again. The producers are never
 * told; they go on. At the end a consumer reads everything:
 *
 *   - every acknowledged record is at the offset that its acknowledgement named, exactly once;
 *   - records of a producer in a partition lie in the order of their numbers, none twice;
 *   - the idempotent producer's records have no gaps: what failed was sent again.
 *
 * Usage: power_cut BROKER CYCLES SHARDS. Exit status: 0, or 1 with what is missing. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TOPIC          "power"
#define PARTITIONS     4
#define PRODUCERS      2
#define ACKS_PER_CYCLE 1000u
#define NUMBERS_MAX    2000000u
#define IN_QUEUE_MAX   2000
#define DEADLINE_S     60

enum { IDEMPOTENT, PLAIN };

/* What is known of one producer's records in one partition, by number. */
struct stream {
    int64_t *acked; /* the offset told; -1: not acknowledged */
    uint32_t sent;
    int64_t last_found;
    uint32_t found;
};

static struct stream streams[PRODUCERS][PARTITIONS];
static uint64_t acks;
static uint64_t failures;
static pid_t broker;
static char folder[] = "/tmp/millrace-power-XXXXXX";
static char listen_at[32];

static void
die(const char *what)
{
    fprintf(stderr, "power_cut: %s\n", what);
    if (broker > 0) {
        kill(broker, SIGKILL);
    }
    exit(1);
}

static uint16_t
free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        die("no free port");
    }
    close(fd);
    return ntohs(address.sin_port);
}

/* Starts the broker and waits for its line. */
static void
start_broker(const char *program, const char *shards)
{
    char line[256] = "";
    size_t used = 0;
    int out[2];

    if (pipe(out) != 0) {
        die("no pipe");
    }
    broker = fork();
    if (broker == 0) {
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        execl(program, program, "--data-dir", folder, "--listen", listen_at, "--shards", shards,
              "--set", "dev.volatile=true", "--set", "num.partitions=4", "--set",
              "store.bytes=134217728", "--set", "journal.bytes=16777216", "--set", "log.level=warn",
              (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    while (!strstr(line, "ready")) {
        struct pollfd ready = {.fd = out[0], .events = POLLIN};
        ssize_t got = poll(&ready, 1, DEADLINE_S * 1000) == 1
                          ? read(out[0], line + used, sizeof(line) - 1 - used)
                          : 0;

        if (got <= 0) {
            die("the broker does not start");
        }
        used += (size_t)got;
        line[used] = '\0';
    }
    close(out[0]);
}

/* The broker's count of what is not flushed, shared with it. */
static _Atomic uint64_t *
map_gauge(void)
{
    char path[128];
    void *gauge;
    int fd;

    snprintf(path, sizeof(path), "%s/dev.volatile", folder);
    fd = open(path, O_RDONLY);
    gauge = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(uint64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (gauge == MAP_FAILED) {
        die("the broker keeps no count of what is not flushed");
    }
    close(fd);
    return gauge;
}

static void
unmap_gauge(_Atomic uint64_t *gauge)
{
    munmap((void *)(uintptr_t)gauge, sizeof(uint64_t));
}

static uint64_t
kill_broker(_Atomic uint64_t *gauge)
{
    kill(broker, SIGKILL);
    waitpid(broker, NULL, 0);
    broker = 0;
    return atomic_load(gauge);
}

/* ---- producing ------------------------------------------------------------------------------- */

static void
on_report(rd_kafka_t *handle, const rd_kafka_message_t *message, void *context)
{
    unsigned producer = (unsigned)(uintptr_t)context;
    uint32_t number = (uint32_t)(uintptr_t)message->_private;
    struct stream *stream = &streams[producer][message->partition];

    (void)handle;
    if (message->err) {
        failures++;
        return;
    }
    acks++;
    if (stream->acked[number] != -1) {
        die("a record was acknowledged twice");
    }
    stream->acked[number] = message->offset;
}

static rd_kafka_t *
make_producer(unsigned producer)
{
    const char *settings[][2] = {
        {"bootstrap.servers", listen_at},
        {"enable.idempotence", producer == IDEMPOTENT ? "true" : "false"},
        {"acks", producer == IDEMPOTENT ? "all" : "1"},
        {"retries", producer == IDEMPOTENT ? "1000000" : "0"},
        {"message.timeout.ms", "120000"},
        {"linger.ms", "1"},
        {"reconnect.backoff.ms", "20"},
        {"reconnect.backoff.max.ms", "100"},
        {"retry.backoff.ms", "20"},
        {"log_level", "0"},
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char error[256];
    rd_kafka_t *handle;

    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], error, sizeof(error)) !=
            RD_KAFKA_CONF_OK) {
            die(error);
        }
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_opaque(conf, (void *)(uintptr_t)producer);
    handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
    if (!handle) {
        die(error);
    }
    return handle;
}

static void
produce_some(rd_kafka_t *handle, unsigned producer)
{
    for (unsigned i = 0; i < 64 && rd_kafka_outq_len(handle) < IN_QUEUE_MAX; i++) {
        int32_t partition = (int32_t)(i % PARTITIONS);
        struct stream *stream = &streams[producer][partition];
        char text[48 * 1024];
        size_t padding = stream->sent % 512 == 0 ? 40000 : 64 + stream->sent % 256;
        int size = snprintf(text, sizeof(text), "%u %" PRIu32 " ", producer, stream->sent);

        if (stream->sent == NUMBERS_MAX) {
            die("too many records for this test");
        }
        memset(text + size, 'x', padding);
        if (rd_kafka_producev(handle, RD_KAFKA_V_TOPIC(TOPIC), RD_KAFKA_V_PARTITION(partition),
                              RD_KAFKA_V_VALUE(text, (size_t)size + padding),
                              RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                              RD_KAFKA_V_OPAQUE((void *)(uintptr_t)stream->sent),
                              RD_KAFKA_V_END) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return; /* the queue is full */
        }
        stream->sent++;
    }
}

static void
work(rd_kafka_t *handles[PRODUCERS])
{
    for (unsigned p = 0; p < PRODUCERS; p++) {
        produce_some(handles[p], p);
        rd_kafka_poll(handles[p], 1);
    }
}

/* Goes on producing until the broker holds something that is not flushed, for a while. */
static void
wait_for_load(rd_kafka_t *handles[PRODUCERS], _Atomic uint64_t *gauge)
{
    for (unsigned i = 0; i < 200; i++) {
        work(handles);
        for (unsigned k = 0; k < 20000; k++) {
            if (atomic_load(gauge) > 0) {
                return;
            }
        }
    }
}

static void
run_cycles(const char *program, unsigned cycles, const char *shards, rd_kafka_t *handles[PRODUCERS])
{
    unsigned dirty = 0;
    _Atomic uint64_t *gauge;

    for (unsigned cycle = 0; cycle < cycles; cycle++) {
        uint64_t target = acks + ACKS_PER_CYCLE + (uint64_t)(rand() % 4000);
        time_t deadline = time(NULL) + DEADLINE_S;

        while (acks < target) {
            work(handles);
            if (time(NULL) > deadline) {
                die("the producers do not go on after a restart");
            }
        }
        gauge = map_gauge();
        wait_for_load(handles, gauge);
        dirty += kill_broker(gauge) > 0;
        unmap_gauge(gauge);
        start_broker(program, shards);
    }
    printf("%u kills, %u with writes not flushed; %" PRIu64 " acknowledged, %" PRIu64 " failed\n",
           cycles, dirty, acks, failures);
    if (dirty * 2 <= cycles) {
        die("most kills must meet writes that are not flushed");
    }
    for (unsigned p = 0; p < PRODUCERS; p++) {
        if (rd_kafka_flush(handles[p], DEADLINE_S * 1000) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            die("the last records are not acknowledged");
        }
        rd_kafka_destroy(handles[p]);
    }
}

/* ---- judging --------------------------------------------------------------------------------- */

static void
judge_record(const rd_kafka_message_t *message)
{
    unsigned producer;
    uint32_t number;
    struct stream *stream;
    char text[64];
    size_t size = message->len < sizeof(text) - 1 ? message->len : sizeof(text) - 1;

    memcpy(text, message->payload, size);
    text[size] = '\0';
    if (sscanf(text, "%u %" SCNu32, &producer, &number) != 2 || producer >= PRODUCERS ||
        number >= streams[producer][message->partition].sent) {
        die("a record that nobody sent");
    }
    stream = &streams[producer][message->partition];
    if ((int64_t)number <= stream->last_found) {
        fprintf(stderr, "producer %u partition %d: %" PRIu32 " after %" PRId64 "\n", producer,
                message->partition, number, stream->last_found);
        die("a record twice, or out of order");
    }
    if (producer == IDEMPOTENT && (int64_t)number != stream->last_found + 1) {
        fprintf(stderr, "partition %d: %" PRIu32 " follows %" PRId64 "\n", message->partition,
                number, stream->last_found);
        die("acknowledged records of the idempotent producer are missing");
    }
    for (int64_t lost = stream->last_found + 1; lost < number; lost++) {
        if (stream->acked[lost] != -1) {
            fprintf(stderr, "producer %u partition %d: %" PRId64 "\n", producer, message->partition,
                    lost);
            die("an acknowledged record is missing");
        }
    }
    if (stream->acked[number] != -1 && stream->acked[number] != message->offset) {
        fprintf(stderr,
                "producer %u partition %d number %" PRIu32 ": told %" PRId64 ", found at %" PRId64
                "\n",
                producer, message->partition, number, stream->acked[number], message->offset);
        die("a record lies at another offset than acknowledged");
    }
    stream->last_found = number;
    stream->found++;
}

static rd_kafka_t *
make_consumer(void)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
    char error[256];
    rd_kafka_t *handle;

    rd_kafka_conf_set(conf, "bootstrap.servers", listen_at, error, sizeof(error));
    rd_kafka_conf_set(conf, "group.id", "unused", error, sizeof(error));
    rd_kafka_conf_set(conf, "enable.auto.commit", "false", error, sizeof(error));
    rd_kafka_conf_set(conf, "enable.partition.eof", "true", error, sizeof(error));
    rd_kafka_conf_set(conf, "check.crcs", "true", error, sizeof(error));
    rd_kafka_conf_set(conf, "log_level", "0", error, sizeof(error));
    handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof(error));
    if (!handle) {
        die(error);
    }
    for (int32_t p = 0; p < PARTITIONS; p++) {
        rd_kafka_topic_partition_list_add(list, TOPIC, p)->offset = 0;
    }
    rd_kafka_assign(handle, list);
    rd_kafka_topic_partition_list_destroy(list);
    return handle;
}

static void
judge(void)
{
    rd_kafka_t *handle = make_consumer();
    time_t deadline = time(NULL) + DEADLINE_S;
    int ended = 0;
    uint64_t found = 0;

    while (ended < PARTITIONS) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(handle, 1000);

        if (time(NULL) > deadline) {
            die("the consumer does not reach the end");
        }
        if (!message) {
            continue;
        }
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            ended++;
        } else if (message->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
            die("acknowledged records are missing: their topic is");
        } else if (!message->err) {
            judge_record(message);
            found++;
        }
        rd_kafka_message_destroy(message);
    }
    for (unsigned p = 0; p < PRODUCERS; p++) {
        for (unsigned part = 0; part < PARTITIONS; part++) {
            struct stream *stream = &streams[p][part];

            for (int64_t n = stream->last_found + 1; n < stream->sent; n++) {
                if (stream->acked[n] != -1) {
                    die("an acknowledged record is missing at the end");
                }
            }
        }
    }
    rd_kafka_destroy(handle);
    printf("%" PRIu64 " records found, every acknowledged one once and in order\n", found);
}

int
main(int argc, char **argv)
{
    rd_kafka_t *handles[PRODUCERS];
    unsigned seed = (unsigned)time(NULL);
    char command[128];
    int status;

    if (argc != 4) {
        fprintf(stderr, "usage: power_cut BROKER CYCLES SHARDS\n");
        return 1;
    }
    printf("seed %u\n", seed);
    fflush(stdout);
    srand(seed);
    if (!mkdtemp(folder)) {
        die("no temporary folder");
    }
    snprintf(listen_at, sizeof(listen_at), "127.0.0.1:%u", free_port());
    for (unsigned p = 0; p < PRODUCERS; p++) {
        for (unsigned part = 0; part < PARTITIONS; part++) {
            streams[p][part].acked = malloc(NUMBERS_MAX * sizeof(int64_t));
            memset(streams[p][part].acked, 0xff, NUMBERS_MAX * sizeof(int64_t));
            streams[p][part].last_found = -1;
        }
    }
    start_broker(argv[1], argv[3]);
    for (unsigned p = 0; p < PRODUCERS; p++) {
        handles[p] = make_producer(p);
    }
    run_cycles(argv[1], (unsigned)strtoul(argv[2], NULL, 10), argv[3], handles);
    judge();
    kill(broker, SIGTERM);
    waitpid(broker, &status, 0);
    broker = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        die("the broker did not stop cleanly");
    }
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command) == 0 ? 0 : 1;
}
