/* control/cli/client.h: a small blocking Kafka client over the wire codec.
 *
 * One connection, one request at a time: what administration and the set-up of a benchmark need.
 * A client belongs to one thread. Every wait has a deadline. Limits: an answer of at most
 * 256 MiB. */
#ifndef MR_CONTROL_CLI_CLIENT_H
#define MR_CONTROL_CLI_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define MR_CLIENT_ERROR_SIZE 512

struct mr_client;

/* What carries a client's bytes. A connection's handle is a number from 0 on, as a socket's is; the
 * functions return -errno. */
struct mr_client_io {
    int (*dial)(const char *host, const char *port, unsigned timeout_ms);
    /* How many bytes were taken; -EAGAIN: none now. */
    ssize_t (*send)(int handle, const struct iovec *iov, unsigned count);
    /* How many bytes came; 0: the end; -EAGAIN: none now. */
    ssize_t (*receive)(int handle, void *to, size_t size);
    /* Until `events` of poll(2) may be true; -ETIMEDOUT. */
    int (*wait)(int handle, short events, uint64_t deadline_ns);
    void (*close)(int handle);
};

/* TCP sockets of the kernel. */
extern const struct mr_client_io mr_client_sockets;

/* Connects to the first of `servers` ("HOST:PORT[,HOST:PORT...]", IPv6 addresses in brackets) that
 * answers and negotiates the versions of all APIs. `timeout_ms` bounds the connect to each server
 * and each later call. `client_id` is copied. Returns 0, or -errno with a sentence for people in
 * `error` (MR_CLIENT_ERROR_SIZE bytes). */
int mr_client_open(struct mr_client **out, const char *servers, const char *client_id,
                   unsigned timeout_ms, char *error);

/* The same over something else, which outlives the client. */
int mr_client_open_over(struct mr_client **out, const struct mr_client_io *io, const char *servers,
                        const char *client_id, unsigned timeout_ms, char *error);

/* Closes the connection and frees everything, the last answer included. NULL is fine. */
void mr_client_close(struct mr_client *client);

/* Sends `request`, a struct of the request of API `key`, in the highest version that both sides
 * know, and waits for the answer. `response_out` gets a struct of the API's response, valid until
 * the next call or close. Returns 0 or -errno, then mr_client_error() says why: -ENOTSUP where the
 * broker lacks the API (the client goes on), -ETIMEDOUT, -ECONNRESET, -EBADMSG (close it). */
int mr_client_call(struct mr_client *client, int16_t key, const void *request,
                   const void **response_out);

/* Why the last call failed, one sentence without a final stop. */
const char *mr_client_error(const struct mr_client *client);

/* The version mr_client_call() uses for API `key`; -1 where there is none in common. */
int16_t mr_client_version(const struct mr_client *client, int16_t key);

/* The broker's own range for API `key`; -ENOENT where it has none. */
int mr_client_broker_versions(const struct mr_client *client, int16_t key, int16_t *min_out,
                              int16_t *max_out);

/* The address that answered, "HOST:PORT"; lives as long as the client. */
const char *mr_client_address(const struct mr_client *client);

/* Splits "HOST:PORT" or "[HOST]:PORT" into `host` and `port`, each of `size` bytes; -EINVAL where
 * it is neither. */
int mr_client_split(const char *address, size_t address_size, char *host, char *port, size_t size);

#endif
