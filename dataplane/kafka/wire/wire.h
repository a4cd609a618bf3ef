/* kafka/wire/wire.h: encodes and decodes every message of messages.h, driven by its descriptor.
 *
 * Pure functions over memory; no I/O, no global state; any thread. A decoded value and an encoded
 * message live in the caller's bump arena and refer to the caller's input (records on encode)
 * without copying it: both stay valid until the arena is reset or that input goes away.
 *
 * Limits: what a decode allocates is bounded by a small constant times the bytes given, because
 * each count is checked against the bytes that are left before its array exists; the arena's own
 * limit comes on top. */
#ifndef MR_KAFKA_WIRE_WIRE_H
#define MR_KAFKA_WIRE_WIRE_H

#include <stddef.h>
#include <stdio.h>

#include "dataplane/base/bump.h"
#include "dataplane/kafka/wire/messages.h"
#include "dataplane/kafka/wire/types.h"

/* ---- Strings ---- */

/* Refers to `text`, up to its terminator; NULL gives null. */
struct mr_str mr_str_from_c(const char *text);

/* Null equals only null. */
bool mr_str_equal(struct mr_str a, struct mr_str b);

bool mr_str_equal_c(struct mr_str a, const char *b);

static inline struct mr_str
mr_str_null(void)
{
    return (struct mr_str){NULL, -1};
}

/* ---- Reading ---- */

/* A position in bytes that lie in one or more slices. */
struct mr_wire_in {
    const uint8_t *at; /* within the current slice */
    const uint8_t *end;
    const struct iovec *next; /* the slices after it */
    const struct iovec *next_end;
    uint64_t left; /* bytes that may still be read, over all slices */
};

/* Reads `size` bytes that begin at the first of `count` slices, which hold at least as many. The
 * slices stay the caller's and unchanged while `in` and what was decoded from it are used. */
void mr_wire_in_init(struct mr_wire_in *in, const struct iovec *slices, size_t count, size_t size);

/* Bytes not yet read: what trails a message after mr_wire_decode(). */
static inline uint64_t
mr_wire_in_left(const struct mr_wire_in *in)
{
    return in->left;
}

/* Sets every field of `value`, a struct of `message`, to its default. */
void mr_wire_init(const struct mr_wire_message *message, void *value);

/* Reads a message of `version`, which lies in the message's range, into `out`, a struct of
 * `message`. Fields that the version lacks get their defaults. Text, bytes and records refer to
 * the slices; only what straddles two of them is copied into `bump`.
 * Returns 0; -EBADMSG for bytes that are no such message; -ENOMEM at the arena's limit. After an
 * error `out` may be half filled and `in` stands anywhere. UTF-8 is not checked. */
int mr_wire_decode(const struct mr_wire_message *message, int16_t version, struct mr_wire_in *in,
                   struct mr_bump *bump, void *out);

/* ---- Writing ---- */

/* An encoded message as a list of slices, which grows; the last one may be empty. */
struct mr_wire_out {
    struct mr_bump *bump;
    struct iovec *iov;
    uint32_t iov_count;
    uint32_t iov_max;
    uint64_t size; /* the sum over the slices */
    uint8_t *at;   /* free bytes of the last slice's chunk */
    uint8_t *end;
    size_t chunk_size; /* of the next chunk */
    int error;         /* 0, or the first error: then nothing more is written */
};

void mr_wire_out_init(struct mr_wire_out *out, struct mr_bump *bump);

/* Leaves room for four bytes to be filled later, such as a frame's length; NULL after an error. */
uint8_t *mr_wire_out_reserve_4(struct mr_wire_out *out);

/* Fills room from mr_wire_out_reserve_4(), big-endian; `room` may be NULL. */
void mr_wire_out_patch_4(uint8_t *room, uint32_t value);

/* Copies bytes in. */
void mr_wire_out_bytes(struct mr_wire_out *out, const void *bytes, size_t size);

/* Appends slices by reference: they outlive `out`'s iov. */
void mr_wire_out_slices(struct mr_wire_out *out, const struct iovec *slices, uint32_t count);

/* Appends `value`, a struct of `message`, as `version`, which lies in the message's range. Fields
 * that the version lacks are skipped, tagged fields at their default left out. Everything but
 * records is copied. Returns out->error: 0, -ENOMEM at the arena's limit, or -EINVAL for a null
 * that this version cannot express or a text over 32,767 bytes. */
int mr_wire_encode(const struct mr_wire_message *message, int16_t version, const void *value,
                   struct mr_wire_out *out);

/* ---- APIs and headers ---- */

/* NULL for a key that Millrace does not know. */
const struct mr_wire_api *mr_wire_api_find(int16_t key);

/* All APIs by ascending key. */
const struct mr_wire_api *mr_wire_apis(uint32_t *count);

/* All messages: requests, responses, headers and stored data. */
const struct mr_wire_message *const *mr_wire_messages(uint32_t *count);

/* 1, or 2 from the API's flexible version on. */
int16_t mr_wire_request_header_version(const struct mr_wire_api *api, int16_t version);

/* 0, or 1 from the API's flexible version on; ApiVersions always has 0, because a client must be
 * able to read the answer to a version the broker does not know. */
int16_t mr_wire_response_header_version(const struct mr_wire_api *api, int16_t version);

/* Reads a request's header; the version may lie outside the API's range, which the caller judges
 * (ApiVersions has an answer for that). Returns as mr_wire_decode(), or -ENOTSUP for an unknown
 * API: then only the key, version and correlation id are set. */
int mr_wire_request_header_decode(struct mr_wire_in *in, struct mr_bump *bump,
                                  struct mr_request_header *header);

/* Writes a request's header; its key is a known API's. Returns as mr_wire_encode(). */
int mr_wire_request_header_encode(struct mr_wire_out *out, const struct mr_request_header *header);

/* Reads the header of a response to `api`, `version`. */
int mr_wire_response_header_decode(const struct mr_wire_api *api, int16_t version,
                                   struct mr_wire_in *in, struct mr_bump *bump,
                                   struct mr_response_header *header);

/* Writes the header of a response to `api`, `version`. */
int mr_wire_response_header_encode(const struct mr_wire_api *api, int16_t version,
                                   int32_t correlation_id, struct mr_wire_out *out);

/* ---- For people ---- */

/* Prints the fields that `version` has as one line of JSON, without a line break. Bytes and
 * records are hexadecimal text, ids as Kafka writes them, a byte that is no printable ASCII
 * \u00XX. Two values print alike only if they are alike. */
void mr_wire_print(const struct mr_wire_message *message, int16_t version, const void *value,
                   FILE *file);

#endif
