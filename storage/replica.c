/* storage/replica.c: a replica's append: the leader's bytes as they are. */
#include <errno.h>
#include <string.h>

#include "storage/crc32c.h"
#include "storage/internal.h"

#define CRC_BEGIN 21u

/* Judges all batches before anything is taken; counts them, and the leader epochs that they begin.
 */
static enum mr_kafka_err
replica_check(const struct mr_log *log, const struct mr_append *append, uint32_t size,
              uint32_t *batches, uint32_t *epochs)
{
    int32_t epoch = log->epoch_count ? log->epochs[log->epoch_count - 1].epoch : INT32_MIN;
    int64_t end = log->end;

    *batches = *epochs = 0;
    for (uint32_t at = 0; at < size; (*batches)++) {
        uint8_t bytes[MR_BATCH_HEADER_SIZE];
        struct mr_batch_header header;

        if (size - at < MR_BATCH_HEADER_SIZE) {
            return MR_KAFKA_CORRUPT_MESSAGE;
        }
        iov_copy(append->batch.iov, append->batch.iov_count, at, bytes, sizeof(bytes));
        if (mr_batch_header_get(bytes, &header) || header.magic != 2 ||
            (uint32_t)header.size > size - at || header.last_offset_delta < 0 ||
            mr_crc32c_iov(0, append->batch.iov, append->batch.iov_count, at + CRC_BEGIN,
                          at + (uint32_t)header.size) != header.crc) {
            return MR_KAFKA_CORRUPT_MESSAGE;
        }
        if (header.base_offset < end || header.base_offset > INT64_MAX - INT32_MAX - 1) {
            return MR_KAFKA_OFFSET_OUT_OF_RANGE;
        }
        end = header.base_offset + header.last_offset_delta + 1;
        if (header.leader_epoch > epoch) {
            epoch = header.leader_epoch;
            (*epochs)++;
        }
        at += (uint32_t)header.size;
    }
    return *batches > 0 ? MR_KAFKA_NONE : MR_KAFKA_CORRUPT_MESSAGE;
}

static void
replica_copy(struct mr_log *log, const struct mr_append *append, uint32_t size)
{
    uint64_t position = log->end_position;

    for (unsigned i = 0; i < append->batch.iov_count && size > 0; i++) {
        uint32_t n =
            append->batch.iov[i].iov_len < size ? (uint32_t)append->batch.iov[i].iov_len : size;

        cache_put(log, position, append->batch.iov[i].iov_base, n);
        position += n;
        size -= n;
    }
}

/* Moves the log's end over the copied batches. */
static void
replica_apply(struct mr_log *log, const struct mr_append *append, uint32_t size)
{
    for (uint32_t at = 0; at < size;) {
        uint8_t bytes[MR_BATCH_HEADER_SIZE];
        struct mr_batch_header header;

        iov_copy(append->batch.iov, append->batch.iov_count, at, bytes, sizeof(bytes));
        mr_batch_header_get(bytes, &header);
        log_epoch_note(log, header.leader_epoch, header.base_offset); /* there is room */
        if (header.producer_id != MR_BATCH_NO_PRODUCER) {
            producer_note(log, &header, header.base_offset); /* without an entry it is unknown */
        }
        log_applied(log, &header, header.base_offset, append->position + at,
                    log->segment_count < log->segment_capacity &&
                        segment_rolls(log, (uint32_t)header.size, header.max_timestamp,
                                      append->segment_bytes, append->segment_ms));
        at += (uint32_t)header.size;
    }
}

int
mr_log_append_replica(struct mr_log *log, struct mr_append *append, uint32_t size)
{
    enum mr_kafka_err refusal;
    uint8_t bytes[MR_BATCH_HEADER_SIZE];
    struct mr_batch_header first;
    uint32_t batches, epochs;
    int error;

    append->replica = true;
    append->batch.header = (struct mr_batch_header){.producer_id = MR_BATCH_NO_PRODUCER};
    if (log_refuses(log, append, size)) {
        return 0;
    }
    if (log->truncating) {
        return log_append_again(log);
    }
    refusal = replica_check(log, append, size, &batches, &epochs);
    if (refusal) {
        store_answer(append, refusal);
        return 0;
    }
    error = log_epoch_reserve(log, epochs) ? -EAGAIN : log_reserve(log, batches, size);
    if (error) {
        return log_not_reserved(log, append, error);
    }
    iov_copy(append->batch.iov, append->batch.iov_count, 0, bytes, sizeof(bytes));
    mr_batch_header_get(bytes, &first);
    append->base_offset = first.base_offset;
    append->position = log->end_position;
    append->size = size;
    replica_copy(log, append, size);
    cache_release(log, append->position, size);
    replica_apply(log, append, size);
    log_taken(log, append, batches, size);
    return 0;
}

/* Its batches are durable: they are still in memory, as all of the group is. */
void
replica_durable(struct mr_append *append)
{
    struct mr_log *log = append->log;

    for (uint64_t at = append->position; at < append->position + append->size;) {
        uint8_t bytes[MR_BATCH_HEADER_SIZE];
        struct mr_batch_header header;

        if (!cache_get(log, at, bytes, sizeof(bytes)) || mr_batch_header_get(bytes, &header)) {
            MR_ASSERT(!"bytes that are not settled are in memory");
        }
        if (header.producer_id != MR_BATCH_NO_PRODUCER) {
            producer_durable(log, header.producer_id);
        }
        at += (uint32_t)header.size;
    }
}
