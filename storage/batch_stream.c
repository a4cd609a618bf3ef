/* storage/batch_stream.c: bytes at hand, varints and records over slices or a codec's output. */
#include "storage/batch_stream.h"

#include <string.h>

#include "storage/decompress.h"

#define VARINT_BYTES_MAX  5
#define VARLONG_BYTES_MAX 10

const uint8_t *
mr_stream_input(const struct mr_stream *stream, size_t *size_out)
{
    size_t size;

    if (stream->left == 0) {
        *size_out = 0;
        return NULL;
    }
    size = stream->iov->iov_len - stream->iov_at;
    *size_out = size < stream->left ? size : stream->left;
    return (const uint8_t *)stream->iov->iov_base + stream->iov_at;
}

void
mr_stream_input_skip(struct mr_stream *stream, size_t size)
{
    stream->left -= size;
    stream->iov_at += size;
    while (stream->left > 0 && stream->iov_at >= stream->iov->iov_len) {
        stream->iov_at -= stream->iov->iov_len;
        stream->iov++;
    }
}

int
mr_stream_open(struct mr_stream *stream, struct mr_batch_scratch *scratch,
               enum mr_batch_codec codec, const struct iovec *iov, unsigned iov_count, size_t begin,
               size_t end, uint64_t limit)
{
    *stream = (struct mr_stream){.limit = limit,
                                 .iov = iov,
                                 .iov_count = iov_count,
                                 .left = end,
                                 .codec = codec,
                                 .scratch = scratch};
    mr_stream_input_skip(stream, 0); /* the first slices may be empty */
    mr_stream_input_skip(stream, begin);
    return codec == MR_BATCH_CODEC_NONE ? 0 : decompress_start(stream);
}

void
mr_stream_memory(struct mr_stream *stream, const uint8_t *bytes, size_t size)
{
    *stream =
        (struct mr_stream){.at = bytes, .end = bytes + size, .passed = size, .limit = UINT64_MAX};
}

int
mr_stream_fill(struct mr_stream *stream)
{
    size_t size;
    int got;

    if (stream->at != stream->end) {
        return 1;
    }
    if (stream->codec == MR_BATCH_CODEC_NONE) {
        const uint8_t *input = mr_stream_input(stream, &size);

        if (!input) {
            return 0;
        }
        stream->at = input;
        stream->end = input + size;
        stream->passed += size;
        mr_stream_input_skip(stream, size);
        return 1;
    }
    got = decompress_next(stream);
    if (got == 1) {
        stream->passed += (uint64_t)(stream->end - stream->at);
        if (stream->passed > stream->limit) {
            return -EFBIG;
        }
    }
    return got;
}

/* The same where the end would be too early. */
static int
fill_more(struct mr_stream *stream)
{
    int got = mr_stream_fill(stream);

    if (got == 0) {
        return -EBADMSG;
    }
    return got < 0 ? got : 0;
}

int
mr_stream_skip(struct mr_stream *stream, uint64_t size)
{
    while (size > 0) {
        uint64_t piece;
        int error = fill_more(stream);

        if (error) {
            return error;
        }
        piece = (uint64_t)(stream->end - stream->at);
        piece = piece < size ? piece : size;
        stream->at += piece;
        size -= piece;
    }
    return 0;
}

int
mr_stream_take(struct mr_stream *stream, size_t size, const uint8_t **out)
{
    uint8_t *buffer;
    size_t have = 0;

    if ((size_t)(stream->end - stream->at) >= size) {
        *out = stream->at;
        stream->at += size;
        return 0;
    }
    if (!stream->scratch) {
        return -EBADMSG;
    }
    if (size > stream->limit) {
        return -EFBIG;
    }
    buffer = decompress_record_buffer(stream->scratch, size);
    if (!buffer) {
        return -ENOMEM;
    }
    while (have < size) {
        size_t piece;
        int error = fill_more(stream);

        if (error) {
            return error;
        }
        piece = (size_t)(stream->end - stream->at);
        piece = piece < size - have ? piece : size - have;
        memcpy(buffer + have, stream->at, piece); /* joins what the codec gave in pieces */
        stream->at += piece;
        have += piece;
    }
    *out = buffer;
    return 0;
}

/* An unsigned varint of at most `bits` bits in at most `bytes_max` bytes. */
static int
varint(struct mr_stream *stream, unsigned bytes_max, unsigned bits, uint64_t *out)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes_max; i++) {
        uint8_t byte;

        if (stream->at == stream->end) {
            int error = fill_more(stream);

            if (error) {
                return error;
            }
        }
        byte = *stream->at++;
        if (i == bytes_max - 1 && byte >> (bits - 7 * (bytes_max - 1))) {
            return -EBADMSG; /* longer or larger than the type */
        }
        value |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (!(byte & 0x80)) {
            break;
        }
    }
    *out = value;
    return 0;
}

int
mr_stream_varint(struct mr_stream *stream, int32_t *out)
{
    uint64_t value = 0;
    int error = varint(stream, VARINT_BYTES_MAX, 32, &value);

    *out = (int32_t)((uint32_t)(value >> 1) ^ -(uint32_t)(value & 1));
    return error;
}

int
mr_stream_varlong(struct mr_stream *stream, int64_t *out)
{
    uint64_t value = 0;
    int error = varint(stream, VARLONG_BYTES_MAX, 64, &value);

    *out = (int64_t)((value >> 1) ^ -(value & 1));
    return error;
}

/* ---- records --------------------------------------------------------------------------------- */

/* A length and that many bytes; -1 is null where `nullable`. `end` is the record's. */
static int
field(struct mr_stream *stream, uint64_t end, bool nullable, const uint8_t **bytes_out,
      int32_t *size_out)
{
    int error = mr_stream_varint(stream, size_out);

    if (error) {
        return error;
    }
    *bytes_out = NULL;
    if (*size_out < 0) {
        return nullable && *size_out == -1 ? 0 : -EBADMSG;
    }
    if (mr_stream_position(stream) > end ||
        (uint64_t)*size_out > end - mr_stream_position(stream)) {
        return -EBADMSG;
    }
    *bytes_out = stream->at;
    return mr_stream_skip(stream, (uint64_t)*size_out);
}

static int
headers(struct mr_stream *stream, uint64_t end)
{
    int32_t count;
    int error = mr_stream_varint(stream, &count);

    /* Each header takes two bytes at least; a count beyond that would only cost time. */
    if (error || count < 0 || mr_stream_position(stream) > end ||
        (uint64_t)count > (end - mr_stream_position(stream)) / 2) {
        return error ? error : -EBADMSG;
    }
    for (int32_t i = 0; i < count && !error; i++) {
        const uint8_t *bytes;
        int32_t size;

        error = field(stream, end, false, &bytes, &size);
        if (!error) {
            error = field(stream, end, true, &bytes, &size);
        }
    }
    return error;
}

int
mr_stream_record(struct mr_stream *stream, uint32_t size, struct mr_stream_record *out)
{
    uint64_t end = mr_stream_position(stream) + size;
    uint64_t headers_begin;
    int error = mr_stream_skip(stream, 1); /* attributes: none is defined */

    if (!error) {
        error = mr_stream_varlong(stream, &out->timestamp_delta);
    }
    if (!error) {
        error = mr_stream_varint(stream, &out->offset_delta);
    }
    if (!error) {
        error = field(stream, end, true, &out->record.key, &out->record.key_size);
    }
    if (!error) {
        error = field(stream, end, true, &out->record.value, &out->record.value_size);
    }
    if (error) {
        return error;
    }
    headers_begin = mr_stream_position(stream);
    out->record.headers = stream->at;
    error = headers(stream, end);
    out->record.headers_size = (int32_t)(mr_stream_position(stream) - headers_begin);
    if (!error && mr_stream_position(stream) != end) {
        error = -EBADMSG;
    }
    return error;
}
