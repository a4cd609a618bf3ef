#include "control/cli/client.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/endian.h"
#include "dataplane/base/kafka_err.h"
#include "dataplane/kafka/wire/wire.h"

#define ANSWER_SIZE_MAX (256u << 20)
#define HEAP_MAX        (1u << 30)
#define FIRST_SIZE      16384
#define KEYS_MAX        128
#define NAME_SIZE       256

struct version_range {
    int16_t min;
    int16_t max;
    bool known;
};

struct mr_client {
    const struct mr_client_io *io;
    int fd; /* io's handle */
    unsigned timeout_ms;
    int32_t correlation_id;
    char client_id[64];
    char address[NAME_SIZE];
    char error[MR_CLIENT_ERROR_SIZE];
    struct version_range versions[KEYS_MAX]; /* by API key, as the broker says */
    uint8_t *answer;                         /* the last one; the response refers to it */
    size_t answer_size;
    size_t answer_room;
    struct mr_bump bump;
    _Alignas(16) uint8_t first[FIRST_SIZE];
};

__attribute__((format(printf, 3, 4))) static int
fail(struct mr_client *client, int rc, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vsnprintf(client->error, sizeof(client->error), format, list);
    va_end(list);
    return rc;
}

/* ---- The socket ---- */

/* Waits for `events` until `deadline_ns`; 0, -ETIMEDOUT or -errno. */
static int
wait_for(int fd, short events, uint64_t deadline_ns)
{
    for (;;) {
        uint64_t now = mr_clock_now_ns(&mr_clock_system);
        struct pollfd set = {.fd = fd, .events = events};
        int n;

        if (now >= deadline_ns) {
            return -ETIMEDOUT;
        }
        n = poll(&set, 1, (int)((deadline_ns - now + MR_NS_PER_MS - 1) / MR_NS_PER_MS));
        if (n > 0) {
            return 0;
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
    }
}

static int
dial_one(const struct addrinfo *info, uint64_t deadline_ns)
{
    int one = 1;
    int failure = 0;
    socklen_t failure_size = sizeof(failure);
    int rc;
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    info->ai_protocol);

    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, info->ai_addr, info->ai_addrlen) != 0) {
        if (errno != EINPROGRESS) {
            rc = -errno;
            goto fail;
        }
        rc = wait_for(fd, POLLOUT, deadline_ns);
        if (rc != 0) {
            goto fail;
        }
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &failure_size);
        if (failure != 0) {
            rc = -failure;
            goto fail;
        }
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
fail:
    close(fd);
    return rc;
}

/* Opens a non-blocking TCP connection with TCP_NODELAY. -EADDRNOTAVAIL for a name that cannot be
 * resolved. */
static int
dial(const char *host, const char *port, unsigned timeout_ms)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    uint64_t deadline = mr_clock_now_ns(&mr_clock_system) + timeout_ms * MR_NS_PER_MS;
    struct addrinfo *list;
    int rc = -EADDRNOTAVAIL;

    if (getaddrinfo(host, port, &hints, &list) != 0) {
        return -EADDRNOTAVAIL;
    }
    for (const struct addrinfo *info = list; info; info = info->ai_next) {
        rc = dial_one(info, deadline);
        if (rc >= 0) {
            break;
        }
    }
    freeaddrinfo(list);
    return rc;
}

int
mr_client_split(const char *address, size_t address_size, char *host, char *port, size_t size)
{
    const char *end = address + address_size;
    const char *colon = end;
    size_t host_size;

    while (colon > address && colon[-1] != ':') {
        colon--;
    }
    if (colon <= address + 1 || colon == end) {
        return -EINVAL;
    }
    host_size = (size_t)(colon - 1 - address);
    if (address[0] == '[' && host_size > 2 && address[host_size - 1] == ']') {
        address++;
        host_size -= 2;
    }
    if (host_size >= size || (size_t)(end - colon) >= size) {
        return -EINVAL;
    }
    for (const char *at = colon; at < end; at++) {
        if (*at < '0' || *at > '9') {
            return -EINVAL;
        }
    }
    memcpy(host, address, host_size);
    host[host_size] = '\0';
    memcpy(port, colon, (size_t)(end - colon));
    port[end - colon] = '\0';
    return 0;
}

static ssize_t
socket_send(int fd, const struct iovec *iov, unsigned count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = count};
    ssize_t n;

    do {
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n >= 0 ? n : -errno;
}

static ssize_t
socket_receive(int fd, void *to, size_t size)
{
    ssize_t n;

    do {
        n = recv(fd, to, size, 0);
    } while (n < 0 && errno == EINTR);
    return n >= 0 ? n : -errno;
}

static void
socket_close(int fd)
{
    close(fd);
}

const struct mr_client_io mr_client_sockets = {
    .dial = dial,
    .send = socket_send,
    .receive = socket_receive,
    .wait = wait_for,
    .close = socket_close,
};

/* ---- Bytes ---- */

static int
send_all(struct mr_client *client, const struct mr_wire_out *out, uint64_t deadline_ns)
{
    for (uint32_t i = 0; i < out->iov_count; i++) {
        struct iovec left = out->iov[i];

        while (left.iov_len > 0) {
            ssize_t n = client->io->send(client->fd, &left, 1);
            int rc = n == -EAGAIN ? client->io->wait(client->fd, POLLOUT, deadline_ns) : 0;

            if (n < 0 && (n != -EAGAIN || rc != 0)) {
                return rc ? rc : (int)n;
            }
            if (n > 0) {
                left.iov_base = (uint8_t *)left.iov_base + n;
                left.iov_len -= (size_t)n;
            }
        }
    }
    return 0;
}

static int
receive(struct mr_client *client, uint8_t *to, size_t size, uint64_t deadline_ns)
{
    while (size > 0) {
        ssize_t n = client->io->receive(client->fd, to, size);
        int rc = n == -EAGAIN ? client->io->wait(client->fd, POLLIN, deadline_ns) : 0;

        if (n == 0) {
            return -ECONNRESET;
        }
        if (n < 0 && (n != -EAGAIN || rc != 0)) {
            return rc ? rc : (int)n;
        }
        if (n > 0) {
            to += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

/* ---- One request ---- */

static int
encode_request(struct mr_client *client, const struct mr_wire_api *api, int16_t version,
               const void *request, struct mr_wire_out *out)
{
    struct mr_request_header header;
    uint8_t *room;
    int rc;

    mr_wire_init(&mr_request_header_message, &header);
    header.request_api_key = api->key;
    header.request_api_version = version;
    header.correlation_id = ++client->correlation_id;
    header.client_id = mr_str_from_c(client->client_id);
    mr_wire_out_init(out, &client->bump);
    room = mr_wire_out_reserve_4(out);
    mr_wire_request_header_encode(out, &header);
    rc = mr_wire_encode(api->request, version, request, out);
    mr_wire_out_patch_4(room, (uint32_t)(out->size - 4));
    return rc;
}

static int
receive_frame(struct mr_client *client, uint64_t deadline_ns)
{
    uint8_t prefix[4];
    int rc = receive(client, prefix, sizeof(prefix), deadline_ns);

    if (rc != 0) {
        return rc;
    }
    client->answer_size = mr_be32_get(prefix);
    if (client->answer_size > ANSWER_SIZE_MAX) {
        return -EBADMSG;
    }
    if (client->answer_size > client->answer_room) {
        free(client->answer);
        client->answer = malloc(client->answer_size);
        client->answer_room = client->answer ? client->answer_size : 0;
        if (!client->answer) {
            return -ENOMEM;
        }
    }
    return receive(client, client->answer, client->answer_size, deadline_ns);
}

static int
decode_response(struct mr_client *client, const struct mr_wire_api *api, int16_t version,
                const void **response_out)
{
    struct iovec slice = {client->answer, client->answer_size};
    struct mr_response_header header;
    struct mr_wire_in in;
    void *response = mr_bump_alloc(&client->bump, api->response->root->size);
    int rc;

    if (!response) {
        return -ENOMEM;
    }
    mr_wire_in_init(&in, &slice, 1, client->answer_size);
    rc = mr_wire_response_header_decode(api, version, &in, &client->bump, &header);
    if (rc != 0) {
        return rc;
    }
    if (header.correlation_id != client->correlation_id) {
        return -EBADMSG;
    }
    *response_out = response;
    return mr_wire_decode(api->response, version, &in, &client->bump, response);
}

static int
explain(struct mr_client *client, const struct mr_wire_api *api, int rc)
{
    switch (rc) {
    case 0:
        return 0;
    case -ETIMEDOUT:
        return fail(client, rc, "%s did not answer %s within %u ms", client->address, api->name,
                    client->timeout_ms);
    case -ECONNRESET:
    case -EPIPE:
        return fail(client, -ECONNRESET, "%s closed the connection during %s", client->address,
                    api->name);
    case -EBADMSG:
        return fail(client, rc, "%s answered %s with bytes that are not Kafka's protocol",
                    client->address, api->name);
    default:
        return fail(client, rc, "%s with %s failed: %s", api->name, client->address, strerror(-rc));
    }
}

static int
call_version(struct mr_client *client, const struct mr_wire_api *api, int16_t version,
             const void *request, const void **response_out)
{
    uint64_t deadline =
        mr_clock_now_ns(&mr_clock_system) + (uint64_t)client->timeout_ms * MR_NS_PER_MS;
    struct mr_wire_out out;
    int rc;

    mr_bump_reset(&client->bump);
    rc = encode_request(client, api, version, request, &out);
    if (rc == -EINVAL) {
        return fail(client, rc, "%s version %d cannot express this request", api->name, version);
    }
    if (rc == 0) {
        rc = send_all(client, &out, deadline);
    }
    if (rc == 0) {
        rc = receive_frame(client, deadline);
    }
    if (rc == 0) {
        rc = decode_response(client, api, version, response_out);
    }
    return explain(client, api, rc);
}

int
mr_client_call(struct mr_client *client, int16_t key, const void *request,
               const void **response_out)
{
    const struct mr_wire_api *api = mr_wire_api_find(key);
    int16_t version = mr_client_version(client, key);

    MR_ASSERT(api != NULL);
    if (version < 0) {
        return fail(client, -ENOTSUP, "%s offers no version of %s that this tool knows",
                    client->address, api->name);
    }
    return call_version(client, api, version, request, response_out);
}

/* ---- Versions ---- */

/* A broker that does not know the version answers in version 0, which is then asked again. */
static int
negotiate(struct mr_client *client)
{
    const struct mr_wire_api *api = mr_wire_api_find(MR_API_API_VERSIONS);
    struct mr_api_versions_request request;
    const struct mr_api_versions_response *response;
    const void *answer;
    int16_t version = 3;
    int rc;

    mr_wire_init(&mr_api_versions_request_message, &request);
    request.client_software_name = mr_str_from_c("millrace");
    request.client_software_version = mr_str_from_c("1");
    do {
        rc = call_version(client, api, version, &request, &answer);
        if (rc == -EBADMSG && version == 3 && client->answer_size >= 6 &&
            mr_be16_get(client->answer + 4) == MR_KAFKA_UNSUPPORTED_VERSION) {
            version = 0;
            rc = 1;
            continue;
        }
        if (rc != 0) {
            return rc;
        }
        response = answer;
        if (response->error_code == MR_KAFKA_UNSUPPORTED_VERSION && version == 3) {
            version = 0;
            rc = 1;
        }
    } while (rc != 0);
    if (response->error_code != 0) {
        return fail(client, -EPROTO, "%s refused ApiVersions: %s", client->address,
                    mr_kafka_err_name(response->error_code));
    }
    for (int32_t i = 0; i < response->api_keys_count; i++) {
        const struct mr_api_versions_response_api_version *range = &response->api_keys[i];

        if (range->api_key >= 0 && range->api_key < KEYS_MAX) {
            client->versions[range->api_key] =
                (struct version_range){range->min_version, range->max_version, true};
        }
    }
    return 0;
}

int16_t
mr_client_version(const struct mr_client *client, int16_t key)
{
    const struct mr_wire_api *api = mr_wire_api_find(key);
    const struct version_range *range;
    int16_t max;

    if (!api || key < 0 || key >= KEYS_MAX || !client->versions[key].known) {
        return -1;
    }
    range = &client->versions[key];
    max = range->max < api->version_max ? range->max : api->version_max;
    return max >= range->min && max >= api->version_min ? max : -1;
}

int
mr_client_broker_versions(const struct mr_client *client, int16_t key, int16_t *min_out,
                          int16_t *max_out)
{
    if (key < 0 || key >= KEYS_MAX || !client->versions[key].known) {
        return -ENOENT;
    }
    *min_out = client->versions[key].min;
    *max_out = client->versions[key].max;
    return 0;
}

const char *
mr_client_error(const struct mr_client *client)
{
    return client->error;
}

const char *
mr_client_address(const struct mr_client *client)
{
    return client->address;
}

/* ---- Open and close ---- */

/* Connects `client` to one server of the list. */
static int
open_one(struct mr_client *client, const char *server, size_t server_size)
{
    char host[NAME_SIZE], port[NAME_SIZE];
    int fd;

    if (mr_client_split(server, server_size, host, port, sizeof(host)) != 0) {
        return fail(client, -EINVAL, "\"%.*s\" is not HOST:PORT", (int)server_size, server);
    }
    snprintf(client->address, sizeof(client->address), "%.*s", (int)server_size, server);
    fd = client->io->dial(host, port, client->timeout_ms);
    if (fd < 0) {
        return fail(client, fd, "cannot reach a broker at %s: %s", client->address,
                    fd == -EADDRNOTAVAIL ? "the name cannot be resolved" : strerror(-fd));
    }
    client->fd = fd;
    return negotiate(client);
}

int
mr_client_open(struct mr_client **out, const char *servers, const char *client_id,
               unsigned timeout_ms, char *error)
{
    return mr_client_open_over(out, &mr_client_sockets, servers, client_id, timeout_ms, error);
}

int
mr_client_open_over(struct mr_client **out, const struct mr_client_io *io, const char *servers,
                    const char *client_id, unsigned timeout_ms, char *error)
{
    struct mr_client *client = calloc(1, sizeof(*client));
    const char *at = servers;
    int rc;

    *out = NULL;
    if (!client) {
        snprintf(error, MR_CLIENT_ERROR_SIZE, "out of memory");
        return -ENOMEM;
    }
    client->io = io;
    client->fd = -1;
    client->timeout_ms = timeout_ms;
    snprintf(client->client_id, sizeof(client->client_id), "%s", client_id);
    mr_bump_init(&client->bump, client->first, sizeof(client->first), HEAP_MAX);
    for (;;) {
        size_t size = strcspn(at, ",");

        rc = open_one(client, at, size);
        if (rc == 0) {
            *out = client;
            return 0;
        }
        if (client->fd >= 0) {
            client->io->close(client->fd);
            client->fd = -1;
        }
        if (at[size] == '\0') {
            break;
        }
        at += size + 1;
    }
    memcpy(error, client->error, MR_CLIENT_ERROR_SIZE);
    mr_client_close(client);
    return rc;
}

void
mr_client_close(struct mr_client *client)
{
    if (!client) {
        return;
    }
    if (client->fd >= 0) {
        client->io->close(client->fd);
    }
    mr_bump_reset(&client->bump);
    free(client->answer);
    free(client);
}
