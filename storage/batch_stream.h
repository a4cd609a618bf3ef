/* storage/batch_stream.h: the bytes of a batch's records as one stream, decompressed as needed.
 *
 * Private to storage's batch code. Thread: any; a stream belongs to one and so does its scratch.
 * Lifecycle: mr_stream_open() or mr_stream_memory() -> steps -> nothing to close.
 * Errors of every step: -EBADMSG (the bytes end too early or are not what their codec says), -EFBIG
 * (more than the limit came out), -ENOMEM. After an error a stream is of no more use. */
#ifndef MR_STORAGE_BATCH_STREAM_H
#define MR_STORAGE_BATCH_STREAM_H

#include <errno.h>

#include "storage/batch.h"

struct mr_stream {
    const uint8_t *at; /* the bytes at hand are [at, end) */
    const uint8_t *end;
    uint64_t passed; /* bytes of the stream up to `end` */
    uint64_t limit;  /* what may come out in total */

    /* What is not at hand yet. */
    const struct iovec *iov;
    unsigned iov_count;
    size_t iov_at; /* in the first slice */
    size_t left;   /* bytes of input */
    enum mr_batch_codec codec;
    struct mr_batch_scratch *scratch;
    bool frame_open; /* a compressed frame has begun and not ended */
    bool xerial;     /* snappy in blocks */
};

/* The bytes [begin, end) of the slices, which must lie inside them. `scratch` may be NULL for
 * MR_BATCH_CODEC_NONE. */
int mr_stream_open(struct mr_stream *stream, struct mr_batch_scratch *scratch,
                   enum mr_batch_codec codec, const struct iovec *iov, unsigned iov_count,
                   size_t begin, size_t end, uint64_t limit);

/* Plain bytes in one piece. */
void mr_stream_memory(struct mr_stream *stream, const uint8_t *bytes, size_t size);

/* Brings at least one more byte to hand where none is. 1: there are bytes; 0: the end. */
int mr_stream_fill(struct mr_stream *stream);

/* Passes over `size` bytes. 0 or an error. */
int mr_stream_skip(struct mr_stream *stream, uint64_t size);

/* `size` bytes in one piece, valid until the next step. 0 or an error. */
int mr_stream_take(struct mr_stream *stream, size_t size, const uint8_t **out);

/* Zigzag varints of at most 32 and 64 bits. 0 or an error. */
int mr_stream_varint(struct mr_stream *stream, int32_t *out);
int mr_stream_varlong(struct mr_stream *stream, int64_t *out);

static inline uint64_t
mr_stream_position(const struct mr_stream *stream)
{
    return stream->passed - (uint64_t)(stream->end - stream->at);
}

/* A record's fields as they are encoded. The pointers of `record` are set only where the whole
 * record is at hand. */
struct mr_stream_record {
    int64_t timestamp_delta;
    int32_t offset_delta;
    struct mr_record record;
};

/* Reads one record of `size` bytes (its length prefix already read) and checks that its fields fill
 * it exactly. */
int mr_stream_record(struct mr_stream *stream, uint32_t size, struct mr_stream_record *out);

#endif
