/* storage/producer.c: idempotence: what each producer appended last to each log (KIP-98).
 *
 * An entry keeps the last five durable batches and up to five that are not durable yet, so that a
 * checkpoint can write the durable ones and a failed group can be taken back. */
#include "storage/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW  MR_PRODUCER_WINDOW
#define SLOTS   (2 * WINDOW)
#define NOTHING UINT32_MAX

struct producer {
    struct mr_list node; /* log->producers */
    struct mr_list lru;
    struct mr_log *log;
    int64_t id;
    int64_t first_offset;      /* of the first batch that this entry ever knew */
    int64_t last_timestamp_ms; /* of the last batch taken; -1: before the last checkpoint */
    uint32_t hash_next;        /* also links the free ones */
    uint8_t durable;           /* the first so many windows are durable */
    uint8_t count;
    struct mr_entry_window windows[SLOTS]; /* oldest first */
};

int
producer_init(struct mr_store *store)
{
    uint32_t max = store->config.producers_max;
    uint32_t buckets = 16;

    while (buckets < max && buckets < (1u << 30)) {
        buckets *= 2;
    }
    /* Zero pages are only taken when they are touched. */
    store->producers = calloc(max ? max : 1, sizeof(*store->producers));
    store->producer_hash = malloc(buckets * sizeof(*store->producer_hash));
    if (!store->producers || !store->producer_hash) {
        return -ENOMEM;
    }
    memset(store->producer_hash, 0xff, buckets * sizeof(*store->producer_hash));
    store->producer_mask = buckets - 1;
    store->producer_free = NOTHING;
    return 0;
}

size_t
producer_bytes(uint32_t producers_max)
{
    return (size_t)producers_max * (sizeof(struct producer) + 2 * sizeof(uint32_t));
}

void
producer_deinit(struct mr_store *store)
{
    free(store->producers);
    free(store->producer_hash);
}

static uint32_t *
bucket_of(struct mr_store *store, const struct mr_log *log, int64_t id)
{
    uint64_t h = ((uint64_t)id * 0x9e3779b97f4a7c15ull) ^ (log->number * 0xc2b2ae3d27d4eb4full);

    return &store->producer_hash[(h >> 32 ^ h) & store->producer_mask];
}

static struct producer *
producer_find(struct mr_log *log, int64_t id)
{
    struct mr_store *store = log->store;

    for (uint32_t i = *bucket_of(store, log, id); i != NOTHING; i = store->producers[i].hash_next) {
        if (store->producers[i].id == id && store->producers[i].log == log) {
            return &store->producers[i];
        }
    }
    return NULL;
}

static void
producer_drop(struct mr_store *store, struct producer *producer)
{
    uint32_t *link = bucket_of(store, producer->log, producer->id);
    uint32_t i = (uint32_t)(producer - store->producers);

    while (*link != i) {
        link = &store->producers[*link].hash_next;
    }
    *link = producer->hash_next;
    mr_list_remove(&producer->node);
    mr_list_remove(&producer->lru);
    producer->log = NULL;
    producer->hash_next = store->producer_free;
    store->producer_free = i;
    store->stats.producers--;
}

/* Takes a free entry, or the one that was used longest ago and has nothing in flight. */
static struct producer *
producer_take(struct mr_store *store)
{
    uint32_t i = store->producer_free;

    if (i == NOTHING && store->producer_count < store->config.producers_max) {
        return &store->producers[store->producer_count++];
    }
    if (i == NOTHING) {
        MR_LIST_FOR_EACH(node, &store->producer_lru)
        {
            struct producer *producer = MR_CONTAINER_OF(node, struct producer, lru);

            if (producer->count == producer->durable) {
                producer_drop(store, producer);
                break;
            }
        }
        i = store->producer_free;
    }
    if (i == NOTHING) {
        return NULL;
    }
    store->producer_free = store->producers[i].hash_next;
    return &store->producers[i];
}

static struct producer *
producer_make(struct mr_log *log, int64_t id)
{
    struct mr_store *store = log->store;
    struct producer *producer = producer_take(store);
    uint32_t *bucket = bucket_of(store, log, id);

    if (!producer) {
        return NULL;
    }
    memset(producer, 0, sizeof(*producer));
    producer->log = log;
    producer->id = id;
    producer->last_timestamp_ms = -1;
    producer->hash_next = *bucket;
    *bucket = (uint32_t)(producer - store->producers);
    mr_list_push_back(&log->producers, &producer->node);
    mr_list_push_back(&store->producer_lru, &producer->lru);
    store->stats.producers++;
    return producer;
}

/* Sequences wrap from 2^31 - 1 to 0. */
static int32_t
sequence_add(int32_t sequence, int32_t delta)
{
    return (int32_t)(((uint32_t)sequence + (uint32_t)delta) & 0x7fffffffu);
}

enum producer_verdict
producer_check(struct mr_log *log, const struct mr_batch_header *header, int64_t *original,
               enum mr_kafka_err *error)
{
    struct producer *producer = producer_find(log, header->producer_id);
    const struct mr_entry_window *last;
    int32_t last_sequence = sequence_add(header->base_sequence, header->last_offset_delta);

    if (!producer || producer->count == 0) {
        return PRODUCER_NEW;
    }
    last = &producer->windows[producer->count - 1];
    if (header->producer_epoch < last->epoch) {
        *error = MR_KAFKA_INVALID_PRODUCER_EPOCH;
        return PRODUCER_REFUSED;
    }
    if (header->producer_epoch > last->epoch) {
        if (header->base_sequence != 0) {
            *error = MR_KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
            return PRODUCER_REFUSED;
        }
    } else {
        unsigned oldest = producer->count > WINDOW ? producer->count - WINDOW : 0;

        for (unsigned i = producer->count; i-- > oldest;) {
            const struct mr_entry_window *window = &producer->windows[i];

            if (window->epoch == header->producer_epoch &&
                window->first_sequence == header->base_sequence &&
                window->last_sequence == last_sequence) {
                *original = window->offset;
                return PRODUCER_DUPLICATE;
            }
        }
        if (header->base_sequence != sequence_add(last->last_sequence, 1)) {
            *error = MR_KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
            return PRODUCER_REFUSED;
        }
    }
    return producer->count - producer->durable == WINDOW ? PRODUCER_FULL : PRODUCER_NEW;
}

/* The batch was taken, not durable yet. False: no entry is free. */
bool
producer_note(struct mr_log *log, const struct mr_batch_header *header, int64_t offset)
{
    struct producer *producer = producer_find(log, header->producer_id);

    if (!producer) {
        producer = producer_make(log, header->producer_id);
        if (!producer) {
            return false;
        }
        producer->first_offset = offset;
    }
    mr_list_remove(&producer->lru);
    mr_list_push_back(&log->store->producer_lru, &producer->lru);
    if (producer->count - producer->durable ==
        WINDOW) { /* of a replica: only the last ones count */
        memmove(&producer->windows[producer->durable], &producer->windows[producer->durable + 1],
                (WINDOW - 1) * sizeof(producer->windows[0]));
        producer->count--;
    }
    MR_ASSERT(producer->count < SLOTS);
    producer->last_timestamp_ms = header->max_timestamp;
    producer->windows[producer->count++] = (struct mr_entry_window){
        .offset = offset,
        .first_sequence = header->base_sequence,
        .last_sequence = sequence_add(header->base_sequence, header->last_offset_delta),
        .epoch = header->producer_epoch,
    };
    return true;
}

/* The batches of this producer below the log's durable end are durable now. */
void
producer_durable(struct mr_log *log, int64_t id)
{
    struct producer *producer = producer_find(log, id);
    unsigned drop = 0;

    if (!producer || producer->durable == producer->count) {
        return;
    }
    while (producer->durable < producer->count &&
           producer->windows[producer->durable].offset < log->durable) {
        producer->durable++;
    }
    if (producer->durable > WINDOW) {
        drop = producer->durable - WINDOW;
    }
    while (drop < producer->durable &&
           producer->windows[drop].epoch != producer->windows[producer->durable - 1].epoch) {
        drop++; /* a new epoch forgets the one before */
    }
    memmove(producer->windows, producer->windows + drop,
            (producer->count - drop) * sizeof(producer->windows[0]));
    producer->durable = (uint8_t)(producer->durable - drop);
    producer->count = (uint8_t)(producer->count - drop);
}

uint32_t
mr_log_producers(const struct mr_log *log, struct mr_log_producer *out, uint32_t max)
{
    uint32_t count = 0;

    MR_LIST_FOR_EACH(node, &log->producers)
    {
        const struct producer *producer = MR_CONTAINER_OF(node, struct producer, node);
        const struct mr_entry_window *last;

        if (producer->durable == 0) {
            continue;
        }
        last = &producer->windows[producer->durable - 1];
        if (count < max) {
            out[count] = (struct mr_log_producer){producer->id, producer->last_timestamp_ms,
                                                  last->last_sequence, last->epoch};
        }
        count++;
    }
    return count;
}

/* Whether the batch at `offset` is the last that is known of the producer: it shows where the
 * sequence stands. */
bool
producer_is_last(struct mr_log *log, int64_t id, int64_t offset)
{
    const struct producer *producer = producer_find(log, id);

    return producer && producer->count > 0 &&
           producer->windows[producer->count - 1].offset == offset;
}

/* What is not durable never was. */
void
producer_rollback(struct mr_log *log)
{
    MR_LIST_FOR_EACH(node, &log->producers)
    {
        struct producer *producer = MR_CONTAINER_OF(node, struct producer, node);

        producer->count = producer->durable;
        if (producer->count == 0) {
            producer_drop(log->store, producer);
        }
    }
}

/* Batches at or above the offset are gone. */
void
producer_cut(struct mr_log *log, int64_t end)
{
    MR_LIST_FOR_EACH(node, &log->producers)
    {
        struct producer *producer = MR_CONTAINER_OF(node, struct producer, node);

        while (producer->count > 0 && producer->windows[producer->count - 1].offset >= end) {
            producer->count--;
        }
        if (producer->durable > producer->count) {
            producer->durable = producer->count;
        }
        if (producer->count == 0) {
            producer_drop(log->store, producer);
        }
    }
}

/* The producers that lose batches by a cut at `end`, at most `max`, with what stays of each. */
uint32_t
producer_cuts(struct mr_log *log, int64_t end, struct producer_cut *out, uint32_t max)
{
    uint32_t n = 0;

    MR_LIST_FOR_EACH(node, &log->producers)
    {
        const struct producer *producer = MR_CONTAINER_OF(node, struct producer, node);
        struct producer_cut *cut = &out[n];

        if (n == max || producer->windows[producer->count - 1].offset < end) {
            continue;
        }
        memset(cut, 0, sizeof(*cut));
        cut->id = producer->id;
        cut->first_offset = producer->first_offset;
        while (cut->count < WINDOW && producer->windows[cut->count].offset < end) {
            cut->windows[cut->count] = producer->windows[cut->count];
            cut->count++;
        }
        cut->wanted =
            cut->count < WINDOW && cut->first_offset < (cut->count ? cut->windows[0].offset : end);
        n++;
    }
    return n;
}

/* The producer has these durable windows and no others; none: it is unknown. */
void
producer_replace(struct mr_log *log, int64_t id, int64_t first_offset,
                 const struct mr_entry_window *windows, uint32_t count)
{
    struct producer *producer = producer_find(log, id);

    if (producer) {
        producer_drop(log->store, producer);
    }
    if (count > 0) {
        producer_restore(log, id, first_offset, windows, count);
    }
}

void
producer_drop_log(struct mr_log *log)
{
    MR_LIST_FOR_EACH(node, &log->producers)
    {
        producer_drop(log->store, MR_CONTAINER_OF(node, struct producer, node));
    }
}

bool
producer_restore(struct mr_log *log, int64_t id, int64_t first_offset,
                 const struct mr_entry_window *windows, uint32_t count)
{
    struct producer *producer = producer_make(log, id);

    if (!producer) {
        return false;
    }
    producer->first_offset = first_offset;
    memcpy(producer->windows, windows, count * sizeof(*windows));
    producer->count = (uint8_t)count;
    producer->durable = (uint8_t)count;
    return true;
}

size_t
producer_size(const struct mr_log *log)
{
    size_t size = 0;

    MR_LIST_FOR_EACH(node, &log->producers)
    {
        struct producer *producer = MR_CONTAINER_OF(node, struct producer, node);

        if (producer->durable > 0) {
            size += MR_ENTRY_PRODUCER_SIZE + producer->durable * MR_ENTRY_WINDOW_SIZE;
        }
    }
    return size;
}

/* Writes the durable windows for a checkpoint: producer_size() bytes. */
size_t
producer_encode(struct mr_log *log, uint8_t *out, uint32_t *count)
{
    uint8_t *at = out;

    *count = 0;
    MR_LIST_FOR_EACH(node, &log->producers)
    {
        struct producer *producer = MR_CONTAINER_OF(node, struct producer, node);

        if (producer->durable == 0) {
            continue;
        }
        mr_entry_producer_encode(producer->id, producer->durable, producer->first_offset, at);
        at += MR_ENTRY_PRODUCER_SIZE;
        for (unsigned i = 0; i < producer->durable; i++) {
            mr_entry_window_encode(&producer->windows[i], at);
            at += MR_ENTRY_WINDOW_SIZE;
        }
        (*count)++;
    }
    return (size_t)(at - out);
}
