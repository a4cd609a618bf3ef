/* storage/decompress.c: gzip, snappy, lz4 and zstd, in pieces of one buffer.
 *
 * gzip: ISA-L, concatenated members. lz4: the frame format, several frames. zstd: several frames, a
 * window of at most 2^27 bytes, what the Java client's library accepts. snappy: one raw block, or
 * the framing of xerial/snappy-java: 16 bytes (magic, version, compatible version), then blocks of
 * [size i32 big-endian][raw block]. A raw block can only be decompressed whole; it is refused where
 * it claims more than the format can give. */
#include "storage/decompress.h"

#include <isa-l/igzip_lib.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "dataplane/base/endian.h"

#define CHUNK_SIZE         ((size_t)64 * 1024)
#define KEEP_MAX           ((size_t)4 * 1024 * 1024) /* larger buffers are given back */
#define ZSTD_WINDOW_LOG    27

#define XERIAL_HEADER_SIZE 16u
/* Three bytes of a snappy copy give at most 64. */
#define SNAPPY_RATIO_MAX 22u
#define SNAPPY_SLACK     64u

static const uint8_t xerial_magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};

struct buffer {
    uint8_t *bytes;
    size_t size;
};

struct mr_batch_scratch {
    struct inflate_state inflate;
    LZ4F_dctx *lz4;
    ZSTD_DCtx *zstd;
    struct buffer record;
    struct buffer whole;  /* a snappy block's output */
    struct buffer gather; /* a snappy block's input that lay in several slices */
    uint8_t chunk[CHUNK_SIZE];
};

struct mr_batch_scratch *
mr_batch_scratch_create(void)
{
    struct mr_batch_scratch *scratch = calloc(1, sizeof(*scratch));

    if (!scratch) {
        return NULL;
    }
    if (LZ4F_isError(LZ4F_createDecompressionContext(&scratch->lz4, LZ4F_VERSION))) {
        scratch->lz4 = NULL;
    }
    scratch->zstd = ZSTD_createDCtx();
    if (!scratch->lz4 || !scratch->zstd ||
        ZSTD_isError(ZSTD_DCtx_setParameter(scratch->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG))) {
        mr_batch_scratch_destroy(scratch);
        return NULL;
    }
    return scratch;
}

void
mr_batch_scratch_destroy(struct mr_batch_scratch *scratch)
{
    if (!scratch) {
        return;
    }
    LZ4F_freeDecompressionContext(scratch->lz4);
    ZSTD_freeDCtx(scratch->zstd);
    free(scratch->record.bytes);
    free(scratch->whole.bytes);
    free(scratch->gather.bytes);
    free(scratch);
}

static uint8_t *
buffer_grow(struct buffer *buffer, size_t size)
{
    if (size > buffer->size) {
        free(buffer->bytes); /* nothing in it is needed any more */
        buffer->bytes = malloc(size);
        buffer->size = buffer->bytes ? size : 0;
    }
    return buffer->bytes;
}

static void
buffer_trim(struct buffer *buffer)
{
    if (buffer->size > KEEP_MAX) {
        free(buffer->bytes);
        *buffer = (struct buffer){NULL, 0};
    }
}

uint8_t *
decompress_record_buffer(struct mr_batch_scratch *scratch, size_t size)
{
    return buffer_grow(&scratch->record, size);
}

/* ---- snappy ---------------------------------------------------------------------------------- */

/* The next `size` bytes of input in one piece, passed over. NULL: not there, or no memory. */
static const uint8_t *
input_take(struct mr_stream *stream, size_t size)
{
    size_t have = 0;
    size_t piece;
    const uint8_t *input = mr_stream_input(stream, &piece);
    uint8_t *gather;

    if (size > stream->left) {
        return NULL;
    }
    if (piece >= size) {
        mr_stream_input_skip(stream, size);
        return input;
    }
    gather = buffer_grow(&stream->scratch->gather, size);
    while (gather && have < size) {
        input = mr_stream_input(stream, &piece);
        piece = piece < size - have ? piece : size - have;
        memcpy(gather + have, input, piece); /* the library wants one piece */
        mr_stream_input_skip(stream, piece);
        have += piece;
    }
    return gather;
}

static int
snappy_block(struct mr_stream *stream, size_t size)
{
    const uint8_t *input = input_take(stream, size);
    uint8_t *output;
    size_t output_size;

    if (!input || snappy_uncompressed_length((const char *)input, size, &output_size)) {
        return -EBADMSG;
    }
    if (output_size > size * SNAPPY_RATIO_MAX + SNAPPY_SLACK) {
        return -EBADMSG;
    }
    if (output_size > stream->limit - stream->passed) {
        return -EFBIG;
    }
    output = buffer_grow(&stream->scratch->whole, output_size ? output_size : 1);
    if (!output) {
        return -ENOMEM;
    }
    if (snappy_uncompress((const char *)input, size, (char *)output, &output_size)) {
        return -EBADMSG;
    }
    stream->at = output;
    stream->end = output + output_size;
    return 0;
}

static int
snappy_next(struct mr_stream *stream)
{
    int error = 0;

    do {
        const uint8_t *word;
        uint32_t size;

        if (stream->left == 0) {
            return 0;
        }
        if (!stream->xerial) {
            error = snappy_block(stream, stream->left);
            continue;
        }
        word = input_take(stream, 4);
        if (!word) {
            return -EBADMSG;
        }
        size = mr_be32_get(word);
        if (size == mr_be32_get(xerial_magic)) { /* another stream follows the first */
            if (!input_take(stream, XERIAL_HEADER_SIZE - 4)) {
                return -EBADMSG;
            }
            continue;
        }
        error = size ? snappy_block(stream, size) : -EBADMSG;
    } while (!error && stream->at == stream->end);
    return error ? error : 1;
}

/* Looks at the first bytes without taking them where they are not xerial's. */
static void
snappy_start(struct mr_stream *stream)
{
    struct mr_stream ahead = *stream;
    const uint8_t *header = input_take(&ahead, XERIAL_HEADER_SIZE);

    if (header && memcmp(header, xerial_magic, sizeof(xerial_magic)) == 0) {
        *stream = ahead;
        stream->xerial = true;
    }
}

/* ---- the streaming codecs -------------------------------------------------------------------- */

/* One call of a codec: takes from `input`, gives into the chunk. */
struct piece {
    const uint8_t *input;
    size_t input_size;
    size_t taken;
    size_t given;
    bool frame_ended;
};

static int
gzip_piece(struct mr_batch_scratch *scratch, struct piece *piece)
{
    struct inflate_state *state = &scratch->inflate;
    int error;

    if (state->block_state == ISAL_BLOCK_FINISH) {
        isal_inflate_reset(state);
        state->crc_flag = ISAL_GZIP;
    }
    state->next_in = (uint8_t *)(uintptr_t)piece->input;
    state->avail_in = (uint32_t)piece->input_size;
    state->next_out = scratch->chunk;
    state->avail_out = CHUNK_SIZE;
    error = isal_inflate(state);
    piece->taken = piece->input_size - state->avail_in;
    piece->given = CHUNK_SIZE - state->avail_out;
    piece->frame_ended = state->block_state == ISAL_BLOCK_FINISH;
    return error < ISAL_DECOMP_OK ? -EBADMSG : 0;
}

static int
lz4_piece(struct mr_batch_scratch *scratch, struct piece *piece)
{
    size_t result;

    piece->taken = piece->input_size;
    piece->given = CHUNK_SIZE;
    result = LZ4F_decompress(scratch->lz4, scratch->chunk, &piece->given, piece->input,
                             &piece->taken, NULL);
    piece->frame_ended = result == 0;
    return LZ4F_isError(result) ? -EBADMSG : 0;
}

/* A frame that libzstd sees whole goes another way through it, which refuses malformed ones that
 * pass in pieces. How the input is cut must not matter: a frame's first byte comes alone. */
static int
zstd_piece(struct mr_batch_scratch *scratch, struct piece *piece, bool frame_open)
{
    size_t size = frame_open || piece->input_size == 0 ? piece->input_size : 1;
    ZSTD_inBuffer input = {piece->input, size, 0};
    ZSTD_outBuffer output = {scratch->chunk, CHUNK_SIZE, 0};
    size_t result = ZSTD_decompressStream(scratch->zstd, &output, &input);

    piece->taken = input.pos;
    piece->given = output.pos;
    piece->frame_ended = result == 0;
    return ZSTD_isError(result) ? -EBADMSG : 0;
}

static int
piece_run(struct mr_stream *stream, struct piece *piece)
{
    switch (stream->codec) {
    case MR_BATCH_CODEC_GZIP:
        return gzip_piece(stream->scratch, piece);
    case MR_BATCH_CODEC_LZ4:
        return lz4_piece(stream->scratch, piece);
    case MR_BATCH_CODEC_ZSTD:
        return zstd_piece(stream->scratch, piece, stream->frame_open);
    default:
        return -EBADMSG;
    }
}

int
decompress_start(struct mr_stream *stream)
{
    struct mr_batch_scratch *scratch = stream->scratch;

    buffer_trim(&scratch->record);
    buffer_trim(&scratch->whole);
    buffer_trim(&scratch->gather);
    switch (stream->codec) {
    case MR_BATCH_CODEC_GZIP:
        isal_inflate_init(&scratch->inflate);
        scratch->inflate.crc_flag = ISAL_GZIP;
        break;
    case MR_BATCH_CODEC_LZ4:
        LZ4F_resetDecompressionContext(scratch->lz4);
        break;
    case MR_BATCH_CODEC_ZSTD:
        ZSTD_DCtx_reset(scratch->zstd, ZSTD_reset_session_only);
        break;
    case MR_BATCH_CODEC_SNAPPY:
        snappy_start(stream);
        break;
    default:
        return -EBADMSG;
    }
    return 0;
}

int
decompress_next(struct mr_stream *stream)
{
    if (stream->codec == MR_BATCH_CODEC_SNAPPY) {
        return snappy_next(stream);
    }
    for (;;) {
        struct piece piece = {0};
        int error;

        piece.input = mr_stream_input(stream, &piece.input_size);
        if (!piece.input && !stream->frame_open) {
            return 0;
        }
        error = piece_run(stream, &piece);
        if (error) {
            return error;
        }
        mr_stream_input_skip(stream, piece.taken);
        stream->frame_open = !piece.frame_ended;
        if (piece.given) {
            stream->at = stream->scratch->chunk;
            stream->end = stream->at + piece.given;
            return 1;
        }
        if (piece.taken == 0 && !piece.frame_ended) {
            return -EBADMSG; /* cut short: no input, no output, and not the end */
        }
    }
}
