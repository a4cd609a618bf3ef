/* storage/decompress.h: the codecs of a RecordBatch, each a step that fills a buffer.
 *
 * Private to storage's batch code; used by batch_stream.c only. */
#ifndef MR_STORAGE_DECOMPRESS_H
#define MR_STORAGE_DECOMPRESS_H

#include "storage/batch_stream.h"

/* Starts a frame. 0 or -ENOMEM. */
int decompress_start(struct mr_stream *stream);

/* Brings the next decompressed bytes to hand (at, end). 1, 0 at the end, or an error. */
int decompress_next(struct mr_stream *stream);

/* A buffer for one record that did not lie in one piece; valid until the next call. NULL: no
 * memory. */
uint8_t *decompress_record_buffer(struct mr_batch_scratch *scratch, size_t size);

/* Input of the stream that lies in one piece; NULL at its end. */
const uint8_t *mr_stream_input(const struct mr_stream *stream, size_t *size_out);

/* Passes over input. */
void mr_stream_input_skip(struct mr_stream *stream, size_t size);

#endif
