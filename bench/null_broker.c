/* bench/null_broker.c: `mr_null_broker`, a broker that answers at once and does nothing.
 *
 * What mr_load reaches against it is the generator's own ceiling on this machine: a measurement of
 * a real broker is worth something only well below it. It has one topic of any name, leads all its
 * partitions, forgets what is produced and serves the same batch again and again, without end, to
 * whoever fetches. One thread, epoll. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/payload.h"
#include "dataplane/base/endian.h"
#include "dataplane/kafka/wire/wire.h"

#define EVENTS_MAX     64
#define FRAME_MAX      (64u << 20)
#define IN_ROOM        (1u << 20)
#define OUT_ROOM       (256u << 10)
#define DIRECT_MIN     (64u << 10)
#define BUMP_FIRST     (64u << 10)
#define BUMP_HEAP_MAX  (1u << 30) /* far above what a frame of FRAME_MAX decodes to */
#define PARTITIONS_MAX 100000
#define NODE_ID        1
#define TIMESTAMP_OLD  (-2) /* ListOffsets: the log's beginning */

/* What a fetch gets: batches of 16 records of 1 KiB, as mr_load sends them by default. */
#define RECORD_SIZE       1024
#define BATCH_RECORDS     16
#define FETCH_BATCHES_MAX 1024

#define LOG_END           (INT64_C(1) << 60)

static const int16_t api_keys[] = {MR_API_PRODUCE,  MR_API_FETCH,        MR_API_LIST_OFFSETS,
                                   MR_API_METADATA, MR_API_API_VERSIONS, MR_API_INIT_PRODUCER_ID};

#define API_COUNT (sizeof(api_keys) / sizeof(api_keys[0]))

struct broker {
    int epoll_fd;
    int listen_fd;
    uint16_t port;
    int32_t partitions;
    int64_t producer_id_next;
    struct load_payload payload; /* what a fetch gets */
    struct mr_bump bump;
    _Alignas(16) uint8_t bump_first[BUMP_FIRST];
};

struct conn {
    int fd;
    bool dead;
    bool blocked; /* the socket takes no more answers: no request is read until it does */
    uint8_t *in;
    size_t in_size;
    size_t in_room;
    uint8_t *out; /* answers not yet sent */
    size_t out_at;
    size_t out_size;
    size_t out_room;
};

/* ---- Answers ---- */

static void *
answer_api_versions(struct broker *broker)
{
    struct mr_api_versions_response *response = mr_bump_alloc(&broker->bump, sizeof(*response));
    struct mr_api_versions_response_api_version *keys =
        mr_bump_array(&broker->bump, API_COUNT, sizeof(*keys));

    mr_wire_init(&mr_api_versions_response_message, response);
    for (size_t i = 0; i < API_COUNT; i++) {
        const struct mr_wire_api *api = mr_wire_api_find(api_keys[i]);

        keys[i].api_key = api->key;
        keys[i].min_version = api->version_min;
        keys[i].max_version = api->version_max;
    }
    response->api_keys = keys;
    response->api_keys_count = (int32_t)API_COUNT;
    return response;
}

static void *
answer_metadata(struct broker *broker, const struct mr_metadata_request *request)
{
    static int32_t node = NODE_ID;
    size_t count = (size_t)broker->partitions;
    struct mr_metadata_response *response = mr_bump_alloc(&broker->bump, sizeof(*response));
    struct mr_metadata_response_broker *self = mr_bump_array(&broker->bump, 1, sizeof(*self));
    struct mr_metadata_response_topic *topic = mr_bump_array(&broker->bump, 1, sizeof(*topic));
    struct mr_metadata_response_partition *partitions =
        mr_bump_array(&broker->bump, count, sizeof(*partitions));

    mr_wire_init(&mr_metadata_response_message, response);
    self->node_id = NODE_ID;
    self->host = mr_str_from_c("127.0.0.1");
    self->port = broker->port;
    self->rack = mr_str_null();
    response->brokers = self;
    response->brokers_count = 1;
    response->controller_id = NODE_ID;
    if (request->topics_count <= 0) {
        return response;
    }
    topic->name = request->topics[0].name;
    memset(topic->topic_id.bytes, 1, sizeof(topic->topic_id.bytes));
    topic->partitions = partitions;
    topic->partitions_count = broker->partitions;
    for (int32_t i = 0; i < broker->partitions; i++) {
        partitions[i].partition_index = i;
        partitions[i].leader_id = NODE_ID;
        partitions[i].replica_nodes = &node;
        partitions[i].replica_nodes_count = 1;
        partitions[i].isr_nodes = &node;
        partitions[i].isr_nodes_count = 1;
    }
    response->topics = topic;
    response->topics_count = 1;
    return response;
}

/* Says yes to every partition. */
static void *
answer_produce(struct broker *broker, const struct mr_produce_request *request)
{
    struct mr_produce_response *response = mr_bump_alloc(&broker->bump, sizeof(*response));
    struct mr_produce_response_topic *topics =
        mr_bump_array(&broker->bump, (size_t)request->topic_data_count, sizeof(*topics));

    mr_wire_init(&mr_produce_response_message, response);
    for (int32_t t = 0; t < request->topic_data_count; t++) {
        const struct mr_produce_request_topic *asked = &request->topic_data[t];
        struct mr_produce_response_partition *parts =
            mr_bump_array(&broker->bump, (size_t)asked->partition_data_count, sizeof(*parts));

        for (int32_t p = 0; p < asked->partition_data_count; p++) {
            parts[p].index = asked->partition_data[p].index;
            parts[p].log_append_time_ms = -1;
            parts[p].error_message = mr_str_null();
            parts[p].current_leader.leader_id = -1;
            parts[p].current_leader.leader_epoch = -1;
        }
        topics[t].name = asked->name;
        topics[t].topic_id = asked->topic_id;
        topics[t].partition_responses = parts;
        topics[t].partition_responses_count = asked->partition_data_count;
    }
    response->responses = topics;
    response->responses_count = request->topic_data_count;
    return response;
}

static void *
answer_producer_id(struct broker *broker)
{
    struct mr_init_producer_id_response *response = mr_bump_alloc(&broker->bump, sizeof(*response));

    mr_wire_init(&mr_init_producer_id_response_message, response);
    response->producer_id = broker->producer_id_next++;
    return response;
}

static void *
answer_list_offsets(struct broker *broker, const struct mr_list_offsets_request *request)
{
    struct mr_list_offsets_response *response = mr_bump_alloc(&broker->bump, sizeof(*response));
    struct mr_list_offsets_response_topic *topics =
        mr_bump_array(&broker->bump, (size_t)request->topics_count, sizeof(*topics));

    mr_wire_init(&mr_list_offsets_response_message, response);
    for (int32_t t = 0; t < request->topics_count; t++) {
        const struct mr_list_offsets_request_topic *asked = &request->topics[t];
        struct mr_list_offsets_response_partition *parts =
            mr_bump_array(&broker->bump, (size_t)asked->partitions_count, sizeof(*parts));

        for (int32_t p = 0; p < asked->partitions_count; p++) {
            parts[p].partition_index = asked->partitions[p].partition_index;
            parts[p].timestamp = -1;
            parts[p].offset = asked->partitions[p].timestamp == TIMESTAMP_OLD ? 0 : LOG_END;
            parts[p].leader_epoch = -1;
        }
        topics[t].name = asked->name;
        topics[t].partitions = parts;
        topics[t].partitions_count = asked->partitions_count;
    }
    response->topics = topics;
    response->topics_count = request->topics_count;
    return response;
}

/* As many batches from `offset` on as `size_max` holds, at least one; the base offset is all that
 * differs, and no part of the checksum. */
static struct mr_wire_records
batches_from(struct broker *broker, int64_t offset, int32_t size_max)
{
    const struct load_payload *payload = &broker->payload;
    size_t count = (size_t)size_max / payload->size;
    struct iovec *iov;
    uint8_t *headers;

    count = count < 1 ? 1 : count > FETCH_BATCHES_MAX ? FETCH_BATCHES_MAX : count;
    iov = mr_bump_array(&broker->bump, count * 2, sizeof(*iov));
    headers = mr_bump_array(&broker->bump, count, MR_BATCH_HEADER_SIZE);
    for (size_t i = 0; i < count; i++) {
        uint8_t *header = headers + i * MR_BATCH_HEADER_SIZE;

        memcpy(header, payload->batch, MR_BATCH_HEADER_SIZE);
        mr_be64_put(header, (uint64_t)offset + i * (uint64_t)payload->header.record_count);
        iov[2 * i] = (struct iovec){header, MR_BATCH_HEADER_SIZE};
        iov[2 * i + 1] = (struct iovec){payload->batch + MR_BATCH_HEADER_SIZE,
                                        payload->size - MR_BATCH_HEADER_SIZE};
    }
    return (struct mr_wire_records){iov, (uint32_t)count * 2, (int32_t)(count * payload->size)};
}

static void *
answer_fetch(struct broker *broker, const struct mr_fetch_request *request)
{
    struct mr_fetch_response *response = mr_bump_alloc(&broker->bump, sizeof(*response));
    struct mr_fetch_response_topic *topics =
        mr_bump_array(&broker->bump, (size_t)request->topics_count, sizeof(*topics));

    mr_wire_init(&mr_fetch_response_message, response);
    for (int32_t t = 0; t < request->topics_count; t++) {
        const struct mr_fetch_request_topic *asked = &request->topics[t];
        struct mr_fetch_response_partition *parts =
            mr_bump_array(&broker->bump, (size_t)asked->partitions_count, sizeof(*parts));

        for (int32_t p = 0; p < asked->partitions_count; p++) {
            parts[p].partition_index = asked->partitions[p].partition;
            parts[p].high_watermark = LOG_END;
            parts[p].last_stable_offset = LOG_END;
            parts[p].diverging_epoch.epoch = -1;
            parts[p].diverging_epoch.end_offset = -1;
            parts[p].current_leader.leader_id = -1;
            parts[p].current_leader.leader_epoch = -1;
            parts[p].snapshot_id.end_offset = -1;
            parts[p].snapshot_id.epoch = -1;
            parts[p].preferred_read_replica = -1;
            parts[p].records = batches_from(broker, asked->partitions[p].fetch_offset,
                                            asked->partitions[p].partition_max_bytes);
        }
        topics[t].topic = asked->topic;
        topics[t].topic_id = asked->topic_id;
        topics[t].partitions = parts;
        topics[t].partitions_count = asked->partitions_count;
    }
    response->responses = topics;
    response->responses_count = request->topics_count;
    return response;
}

/* Returns NULL for an API it does not have, and for a Produce that wants no answer. */
static void *
answer(struct broker *broker, const struct mr_wire_api *api, const void *request)
{
    switch (api->key) {
    case MR_API_API_VERSIONS:
        return answer_api_versions(broker);
    case MR_API_METADATA:
        return answer_metadata(broker, request);
    case MR_API_PRODUCE:
        return ((const struct mr_produce_request *)request)->acks == 0
                   ? NULL
                   : answer_produce(broker, request);
    case MR_API_FETCH:
        return answer_fetch(broker, request);
    case MR_API_LIST_OFFSETS:
        return answer_list_offsets(broker, request);
    case MR_API_INIT_PRODUCER_ID:
        return answer_producer_id(broker);
    default:
        return NULL;
    }
}

static int
build_payload(struct broker *broker)
{
    struct load_options options = {.record_size = RECORD_SIZE, .records_per_batch = BATCH_RECORDS};
    int rc = load_payload_build(&broker->payload, &options);

    if (rc == 0) {
        load_payload_header(&broker->payload, 0, MR_BATCH_NO_PRODUCER, -1, -1,
                            broker->payload.batch);
    }
    return rc;
}

/* ---- Connections ---- */

/* Keeps the bytes of `out` after the first `skip` until the connection is flushed. */
static int
append(struct conn *conn, const struct mr_wire_out *out, size_t skip)
{
    if (conn->out_size + out->size > conn->out_room) {
        size_t room = conn->out_room + out->size + OUT_ROOM;
        uint8_t *grown = realloc(conn->out, room);

        if (!grown) {
            return -ENOMEM;
        }
        conn->out = grown;
        conn->out_room = room;
    }
    for (uint32_t i = 0; i < out->iov_count; i++) {
        size_t size = out->iov[i].iov_len;

        if (skip >= size) {
            skip -= size;
            continue;
        }
        memcpy(conn->out + conn->out_size, (uint8_t *)out->iov[i].iov_base + skip, size - skip);
        conn->out_size += size - skip;
        skip = 0;
    }
    return 0;
}

/* Small answers are gathered for one send; a large one goes out from where it lies, since a copy
 * would be most of its cost. */
static int
emit(struct conn *conn, const struct mr_wire_out *out)
{
    struct msghdr message = {.msg_iov = out->iov};
    ssize_t sent = 0;

    if (conn->out_size == 0 && out->size >= DIRECT_MIN) {
        message.msg_iovlen = out->iov_count < IOV_MAX ? out->iov_count : IOV_MAX;
        sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
    }
    return append(conn, out, sent > 0 ? (size_t)sent : 0);
}

/* One whole request; nonzero closes the connection. */
static int
handle(struct broker *broker, struct conn *conn, const uint8_t *bytes, size_t size)
{
    struct iovec slice = {(void *)(uintptr_t)bytes, size};
    struct mr_request_header header;
    const struct mr_wire_api *api;
    struct mr_wire_out out;
    struct mr_wire_in in;
    void *request, *response;
    uint8_t *room;
    int rc;

    mr_wire_in_init(&in, &slice, 1, size);
    rc = mr_wire_request_header_decode(&in, &broker->bump, &header);
    if (rc != 0) {
        return rc;
    }
    api = mr_wire_api_find(header.request_api_key);
    if (header.request_api_version < api->version_min ||
        header.request_api_version > api->version_max) {
        return -ENOTSUP;
    }
    request = mr_bump_alloc(&broker->bump, api->request->root->size);
    rc = mr_wire_decode(api->request, header.request_api_version, &in, &broker->bump, request);
    if (rc != 0) {
        return rc;
    }
    response = answer(broker, api, request);
    if (!response) {
        return api->key == MR_API_PRODUCE ? 0 : -ENOTSUP;
    }
    mr_wire_out_init(&out, &broker->bump);
    room = mr_wire_out_reserve_4(&out);
    mr_wire_response_header_encode(api, header.request_api_version, header.correlation_id, &out);
    rc = mr_wire_encode(api->response, header.request_api_version, response, &out);
    mr_wire_out_patch_4(room, (uint32_t)(out.size - 4));
    return rc != 0 ? rc : emit(conn, &out);
}

static void
flush(struct conn *conn)
{
    conn->blocked = false;
    while (!conn->dead && conn->out_at < conn->out_size) {
        ssize_t n =
            send(conn->fd, conn->out + conn->out_at, conn->out_size - conn->out_at, MSG_NOSIGNAL);

        if (n >= 0) {
            conn->out_at += (size_t)n;
        } else if (errno == EAGAIN) {
            conn->blocked = true;
            return;
        } else if (errno != EINTR) {
            conn->dead = true;
        }
    }
    conn->out_at = 0;
    conn->out_size = 0;
}

static void
handle_frames(struct broker *broker, struct conn *conn)
{
    size_t at = 0;

    while (!conn->dead && conn->in_size - at >= 4) {
        size_t size = mr_be32_get(conn->in + at);

        if (size > FRAME_MAX) {
            conn->dead = true;
            return;
        }
        if (conn->in_size - at < 4 + size) {
            break;
        }
        conn->dead = handle(broker, conn, conn->in + at + 4, size) != 0;
        mr_bump_reset(&broker->bump);
        at += 4 + size;
    }
    memmove(conn->in, conn->in + at, conn->in_size - at);
    conn->in_size -= at;
}

/* Makes room for the frame that begins the buffer. */
static void
make_room(struct conn *conn)
{
    size_t need = conn->in_size >= 4 ? 4 + (size_t)mr_be32_get(conn->in) : 0;
    uint8_t *grown;

    if (need <= conn->in_room) {
        return;
    }
    grown = realloc(conn->in, need + IN_ROOM);
    if (!grown) {
        conn->dead = true;
        return;
    }
    conn->in = grown;
    conn->in_room = need + IN_ROOM;
}

static void
serve(struct broker *broker, struct conn *conn)
{
    flush(conn);
    while (!conn->dead && !conn->blocked) {
        size_t room;
        ssize_t n;

        make_room(conn);
        if (conn->dead) {
            return;
        }
        room = conn->in_room - conn->in_size;
        n = recv(conn->fd, conn->in + conn->in_size, room, 0);
        if (n > 0) {
            conn->in_size += (size_t)n;
            handle_frames(broker, conn);
            flush(conn);
        } else if (n < 0 && errno == EAGAIN) {
            return;
        } else if (n == 0 || errno != EINTR) {
            conn->dead = true;
        }
    }
}

static void
close_conn(struct conn *conn)
{
    close(conn->fd);
    free(conn->in);
    free(conn->out);
    free(conn);
}

static void
accept_all(struct broker *broker)
{
    int fd;

    while ((fd = accept4(broker->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *conn = calloc(1, sizeof(*conn));
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    .data.ptr = conn};
        int one = 1;

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (!conn) {
            close(fd);
            continue;
        }
        conn->fd = fd;
        conn->in = malloc(IN_ROOM);
        conn->in_room = IN_ROOM;
        if (!conn->in || epoll_ctl(broker->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
            close_conn(conn);
        }
    }
}

static int
open_broker(struct broker *broker)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(broker->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN};
    socklen_t size = sizeof(address);
    int one = 1;

    broker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    broker->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (broker->epoll_fd < 0 || broker->listen_fd < 0 ||
        setsockopt(broker->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(broker->listen_fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(broker->listen_fd, SOMAXCONN) != 0 ||
        getsockname(broker->listen_fd, (struct sockaddr *)&address, &size) != 0 ||
        epoll_ctl(broker->epoll_fd, EPOLL_CTL_ADD, broker->listen_fd, &event) != 0) {
        fprintf(stderr, "mr_null_broker: cannot listen on port %u: %s\n", broker->port,
                strerror(errno));
        return -errno;
    }
    broker->port = ntohs(address.sin_port);
    return 0;
}

static int
parse(struct broker *broker, int argc, char **argv)
{
    static const struct option options[] = {
        {"port", 1, NULL, 'p'}, {"partitions", 1, NULL, 'n'}, {"help", 0, NULL, 'h'}, {0}};
    int which;

    while ((which = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        char *end = NULL;
        long value = optarg ? strtol(optarg, &end, 10) : 0;

        if (which == 'p' && *end == '\0' && value >= 0 && value <= 65535) {
            broker->port = (uint16_t)value;
        } else if (which == 'n' && *end == '\0' && value >= 1 && value <= PARTITIONS_MAX) {
            broker->partitions = (int32_t)value;
        } else {
            fputs("Usage: mr_null_broker [--port N (default 9092; 0: any)] [--partitions N]\n"
                  "Listens on 127.0.0.1, prints its port and answers until it is killed.\n",
                  which == 'h' ? stdout : stderr);
            return which == 'h' ? 0 : 2;
        }
    }
    return -1;
}

int
main(int argc, char **argv)
{
    static struct broker broker = {.port = 9092, .partitions = 1, .producer_id_next = 1};
    struct epoll_event events[EVENTS_MAX];
    int status = parse(&broker, argc, argv);

    if (status >= 0) {
        return status;
    }
    mr_bump_init(&broker.bump, broker.bump_first, sizeof(broker.bump_first), BUMP_HEAP_MAX);
    if (build_payload(&broker) != 0 || open_broker(&broker) != 0) {
        return 1;
    }
    printf("listening on port %u\n", broker.port);
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(broker.epoll_fd, events, EVENTS_MAX, -1);

        for (int i = 0; i < count; i++) {
            struct conn *conn = events[i].data.ptr;

            if (!conn) {
                accept_all(&broker);
                continue;
            }
            serve(&broker, conn);
            if (conn->dead) {
                close_conn(conn);
            }
        }
    }
}
