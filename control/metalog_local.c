/* control/metalog_local.c: records, the write in flight, snapshots and replay. */
#include "control/metalog_local.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/base/endian.h"
#include "storage/crc32c.h"

#define BLOCK          MR_DEV_BLOCK
#define HEADER_MAGIC   "MRMETAH1"
#define RECORD_MAGIC   "MRMETAR1"
#define HEADER_CRC_AT  56u
#define RECORD_HEADER  40u
#define RECORD_CRC_AT  36u
#define GROUP_SIZE_MAX (2u * 1024 * 1024) /* commands in one record; more than one may be */

struct header {
    uint64_t generation;
    uint64_t index; /* the state's */
    uint64_t size;
    uint32_t crc;
    uint64_t tail_size; /* commands behind `index`, in the first block after the state */
    uint32_t tail_crc;
    uint32_t tail_count;
};

/* An append that waits; the bytes lie behind it. */
struct pending {
    struct mr_list node;
    uint64_t token;
    uint32_t size;
    uint8_t bytes[];
};

/* A snapshot's way to the device. Records are written beside its first three steps; from TAIL on
 * the next one waits for the new area.
 *
 *     NONE ──begin──► KEEP ──end──► STATE ──written, no record under way──► TAIL
 *       ▲              │ given up     │ the tail does not fit                 │
 *       ├──────────────┴──────────────┘                                       ▼
 *       └──────────────────────written: the other area counts─── HEADER ◄── FLUSH
 */
enum snapshot_step {
    SNAPSHOT_NONE,
    SNAPSHOT_KEEP,  /* the owner saves the state; what commits is kept */
    SNAPSHOT_STATE, /* the state is being written, or is and a record is under way */
    SNAPSHOT_TAIL,  /* what was kept is being written */
    SNAPSHOT_FLUSH,
    SNAPSHOT_HEADER,
};

struct snapshot {
    enum snapshot_step step;
    struct mr_dev_io io;
    struct iovec iov;
    bool io_pending;
    uint64_t index;
    uint8_t *state;
    size_t size;
    struct mr_list kept; /* struct pending, committed behind `index` */
    size_t kept_bytes;
    uint32_t kept_count;
    uint8_t *tail; /* they, as bytes in whole blocks; then the header's block */
};

struct metalog_local {
    struct mr_metalog base;
    struct mr_dev *dev;
    struct mr_dev_io io; /* of records */
    struct iovec iov;
    bool writing;
    unsigned area;
    uint64_t generation;
    uint64_t next_index;
    uint64_t log_at; /* byte in the log space where the next record goes */
    uint32_t previous_crc;
    bool failed;

    struct mr_list waiting; /* struct pending, not written yet */
    struct mr_list flying;  /* in the record being written */
    uint32_t pending_count;
    uint64_t pending_bytes; /* of log space that they may need, each in a record of its own */
    uint8_t *record;        /* of record_capacity bytes, block-aligned */
    size_t record_capacity;
    size_t record_size;
    struct snapshot snapshot;
};

static void write_next(struct metalog_local *log);

/* ---- layout ---------------------------------------------------------------------------------- */

static uint64_t
space_bytes(const struct mr_dev *dev)
{
    return (dev->size_bytes - 2 * BLOCK) / 4 / BLOCK * BLOCK;
}

static uint64_t
snapshot_at(const struct mr_dev *dev, unsigned area)
{
    return 2 * BLOCK + area * 2 * space_bytes(dev);
}

static uint64_t
log_space_at(const struct mr_dev *dev, unsigned area)
{
    return snapshot_at(dev, area) + space_bytes(dev);
}

static size_t
round_up(size_t size)
{
    return (size + BLOCK - 1) / BLOCK * BLOCK;
}

/* Of log space that a command takes when it travels alone; in company it takes less. */
static size_t
record_bytes(size_t command_size)
{
    return round_up(RECORD_HEADER + 4 + command_size);
}

static void
header_put(uint8_t *block, const struct header *header)
{
    memset(block, 0, BLOCK);
    memcpy(block, HEADER_MAGIC, 8);
    mr_le64_put(block + 8, header->generation);
    mr_le64_put(block + 16, header->index);
    mr_le64_put(block + 24, header->size);
    mr_le32_put(block + 32, header->crc);
    mr_le64_put(block + 36, header->tail_size);
    mr_le32_put(block + 44, header->tail_crc);
    mr_le32_put(block + 48, header->tail_count);
    mr_le32_put(block + HEADER_CRC_AT, mr_crc32c(0, block, HEADER_CRC_AT));
}

static bool
header_get(const uint8_t *block, struct header *out)
{
    if (memcmp(block, HEADER_MAGIC, 8) != 0 ||
        mr_le32_get(block + HEADER_CRC_AT) != mr_crc32c(0, block, HEADER_CRC_AT)) {
        return false;
    }
    out->generation = mr_le64_get(block + 8);
    out->index = mr_le64_get(block + 16);
    out->size = mr_le64_get(block + 24);
    out->crc = mr_le32_get(block + 32);
    out->tail_size = mr_le64_get(block + 36);
    out->tail_crc = mr_le32_get(block + 44);
    out->tail_count = mr_le32_get(block + 48);
    return true;
}

/* ---- blocking I/O, for format and open ------------------------------------------------------- */

struct sync_io {
    struct mr_dev_io io;
    bool done;
    int result;
};

static void
on_sync_done(struct mr_dev_io *io, int result)
{
    struct sync_io *sync = MR_CONTAINER_OF(io, struct sync_io, io);

    sync->done = true;
    sync->result = result;
}

static int
sync_wait(struct mr_dev *dev, struct sync_io *sync)
{
    while (!sync->done) {
        int error = mr_dev_wait(dev);

        if (error) {
            return error;
        }
    }
    return sync->result;
}

static int
sync_read(struct mr_dev *dev, uint8_t *to, size_t size, uint64_t at)
{
    struct sync_io sync = {.io.done = on_sync_done};
    struct iovec iov = {to, size};

    mr_dev_read(dev, &sync.io, &iov, 1, at);
    return sync_wait(dev, &sync);
}

static int
sync_write(struct mr_dev *dev, uint8_t *from, size_t size, uint64_t at)
{
    struct sync_io sync = {.io.done = on_sync_done};
    struct iovec iov = {from, size};

    mr_dev_write(dev, &sync.io, &iov, 1, at, true);
    return sync_wait(dev, &sync);
}

static int
sync_flush(struct mr_dev *dev)
{
    struct sync_io sync = {.io.done = on_sync_done};

    mr_dev_flush(dev, &sync.io);
    return sync_wait(dev, &sync);
}

int
mr_metalog_local_format(struct mr_dev *dev)
{
    struct header header = {.generation = 1};
    uint8_t *block = aligned_alloc(BLOCK, BLOCK);
    int error;

    if (!block) {
        return -ENOMEM;
    }
    memset(block, 0, BLOCK);
    error = sync_write(dev, block, BLOCK, BLOCK);
    if (!error) {
        header_put(block, &header);
        error = sync_write(dev, block, BLOCK, 0);
    }
    free(block);
    return error;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void
fail(struct metalog_local *log, int error)
{
    log->failed = true;
    log->base.events.failed(log->base.events.context, error);
}

/* Builds one record of what waits; false where nothing does. */
static bool
build_record(struct metalog_local *log)
{
    size_t size = RECORD_HEADER;
    uint32_t count = 0;
    uint32_t crc;

    MR_LIST_FOR_EACH(node, &log->waiting)
    {
        struct pending *pending = MR_CONTAINER_OF(node, struct pending, node);

        if (count > 0 && size + 4 + pending->size > log->record_capacity) {
            break;
        }
        mr_le32_put(log->record + size, pending->size);
        memcpy(log->record + size + 4, pending->bytes, pending->size);
        size += 4 + pending->size;
        count++;
        mr_list_remove(node);
        mr_list_push_back(&log->flying, node);
    }
    if (count == 0) {
        return false;
    }
    memset(log->record, 0, RECORD_HEADER);
    memcpy(log->record, RECORD_MAGIC, 8);
    mr_le64_put(log->record + 8, log->generation);
    mr_le64_put(log->record + 16, log->next_index);
    mr_le32_put(log->record + 24, (uint32_t)(size - RECORD_HEADER));
    mr_le32_put(log->record + 28, count);
    mr_le32_put(log->record + 32, log->previous_crc);
    crc = mr_crc32c(0, log->record, size);
    mr_le32_put(log->record + RECORD_CRC_AT, crc);
    log->record_size = round_up(size);
    memset(log->record + size, 0, log->record_size - size);
    log->previous_crc = crc;
    return true;
}

static void
write_record(struct metalog_local *log)
{
    if (!build_record(log)) {
        return;
    }
    MR_ASSERT(log->record_size <= space_bytes(log->dev) - log->log_at); /* it was reserved */
    log->writing = true;
    log->iov = (struct iovec){log->record, log->record_size};
    mr_dev_write(log->dev, &log->io, &log->iov, 1, log_space_at(log->dev, log->area) + log->log_at,
                 true);
}

/* What a snapshot in progress does not cover travels with it. */
static void
pending_done(struct metalog_local *log, struct pending *pending)
{
    struct snapshot *snapshot = &log->snapshot;

    if (snapshot->step == SNAPSHOT_NONE) {
        free(pending);
        return;
    }
    mr_list_push_back(&snapshot->kept, &pending->node);
    snapshot->kept_bytes += 4 + pending->size;
    snapshot->kept_count++;
}

static void
record_written(struct metalog_local *log)
{
    struct mr_list done;
    struct mr_list *node;

    log->log_at += log->record_size;
    mr_list_init(&done);
    while ((node = mr_list_pop_front(&log->flying))) {
        mr_list_push_back(&done, node);
    }
    while ((node = mr_list_pop_front(&done))) {
        struct pending *pending = MR_CONTAINER_OF(node, struct pending, node);
        uint64_t index = log->next_index++;

        log->pending_count--;
        log->pending_bytes -= record_bytes(pending->size);
        log->base.events.committed(log->base.events.context, index, pending->bytes, pending->size,
                                   pending->token);
        pending_done(log, pending);
    }
}

static void
on_record_io(struct mr_dev_io *io, int result)
{
    struct metalog_local *log = MR_CONTAINER_OF(io, struct metalog_local, io);

    log->writing = false;
    if (log->failed) {
        return;
    }
    if (result) {
        fail(log, result);
        return;
    }
    record_written(log);
    write_next(log);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

static void
drop_all(struct mr_list *list)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(list))) {
        free(MR_CONTAINER_OF(node, struct pending, node));
    }
}

static void
snapshot_clear(struct snapshot *snapshot)
{
    drop_all(&snapshot->kept);
    snapshot->kept_bytes = 0;
    snapshot->kept_count = 0;
    free(snapshot->state);
    free(snapshot->tail);
    snapshot->state = NULL;
    snapshot->tail = NULL;
    snapshot->step = SNAPSHOT_NONE;
}

static void
snapshot_write(struct metalog_local *log, uint8_t *bytes, size_t size, uint64_t at, bool fua)
{
    struct snapshot *snapshot = &log->snapshot;

    snapshot->io_pending = true;
    snapshot->iov = (struct iovec){bytes, size};
    mr_dev_write(log->dev, &snapshot->io, &snapshot->iov, 1, at, fua);
}

/* Puts the kept commands behind the state; without memory or room the snapshot is given up, and
 * the owner will begin another. */
static void
snapshot_tail(struct metalog_local *log)
{
    struct snapshot *snapshot = &log->snapshot;
    size_t bytes = round_up(snapshot->kept_bytes);
    uint8_t *at;

    if (round_up(snapshot->size) + bytes <= space_bytes(log->dev)) {
        snapshot->tail = aligned_alloc(BLOCK, bytes > BLOCK ? bytes : BLOCK);
    }
    if (!snapshot->tail) {
        snapshot_clear(snapshot);
        return;
    }
    at = snapshot->tail;
    MR_LIST_FOR_EACH(node, &snapshot->kept)
    {
        const struct pending *pending = MR_CONTAINER_OF(node, struct pending, node);

        mr_le32_put(at, pending->size);
        memcpy(at + 4, pending->bytes, pending->size);
        at += 4 + pending->size;
    }
    memset(at, 0, bytes - snapshot->kept_bytes);
    snapshot->step = SNAPSHOT_TAIL;
    if (bytes > 0) {
        snapshot_write(log, snapshot->tail, bytes,
                       snapshot_at(log->dev, 1 - log->area) + round_up(snapshot->size), false);
    }
}

static void
snapshot_flush(struct metalog_local *log)
{
    log->snapshot.step = SNAPSHOT_FLUSH;
    log->snapshot.io_pending = true;
    mr_dev_flush(log->dev, &log->snapshot.io);
}

/* The other area's header: from here on it counts. */
static void
snapshot_header(struct metalog_local *log)
{
    struct snapshot *snapshot = &log->snapshot;
    struct header header = {
        .generation = log->generation + 1,
        .index = snapshot->index,
        .size = snapshot->size,
        .crc = mr_crc32c(0, snapshot->state, snapshot->size),
        .tail_size = snapshot->kept_bytes,
        .tail_crc = mr_crc32c(0, snapshot->tail, snapshot->kept_bytes),
        .tail_count = snapshot->kept_count,
    };

    snapshot->step = SNAPSHOT_HEADER;
    header_put(snapshot->tail, &header);
    snapshot_write(log, snapshot->tail, BLOCK, (uint64_t)(1 - log->area) * BLOCK, true);
}

static void
snapshot_counts(struct metalog_local *log)
{
    log->area = 1 - log->area;
    log->generation++;
    log->log_at = 0;
    log->previous_crc = 0;
    snapshot_clear(&log->snapshot);
}

/* The next step, if its turn has come. */
static void
snapshot_next(struct metalog_local *log)
{
    struct snapshot *snapshot = &log->snapshot;

    if (snapshot->io_pending) {
        return;
    }
    if (snapshot->step == SNAPSHOT_STATE && !log->writing) {
        snapshot_tail(log);
    }
    if (snapshot->io_pending) {
        return;
    }
    if (snapshot->step == SNAPSHOT_TAIL) {
        snapshot_flush(log);
    } else if (snapshot->step == SNAPSHOT_FLUSH) {
        snapshot_header(log);
    } else if (snapshot->step == SNAPSHOT_HEADER) {
        snapshot_counts(log);
    }
}

static void
on_snapshot_io(struct mr_dev_io *io, int result)
{
    struct metalog_local *log = MR_CONTAINER_OF(io, struct metalog_local, snapshot.io);

    log->snapshot.io_pending = false;
    if (log->failed) {
        return;
    }
    if (result) {
        fail(log, result);
        return;
    }
    write_next(log);
}

/* One record at a time. When a snapshot's state is on the device the next record is the first of
 * the other area: until that counts, none begins. */
static void
write_next(struct metalog_local *log)
{
    if (log->failed) {
        return;
    }
    snapshot_next(log);
    if (!log->writing && (log->snapshot.step <= SNAPSHOT_KEEP ||
                          (log->snapshot.step == SNAPSHOT_STATE && log->snapshot.io_pending))) {
        write_record(log);
    }
}

static int
local_snapshot_begin(struct mr_metalog *base, uint64_t index)
{
    struct metalog_local *log = MR_CONTAINER_OF(base, struct metalog_local, base);

    if (log->failed) {
        return -EIO;
    }
    if (log->snapshot.step != SNAPSHOT_NONE) {
        return -EBUSY;
    }
    MR_ASSERT(index + 1 == log->next_index);
    log->snapshot.step = SNAPSHOT_KEEP;
    log->snapshot.index = index;
    return 0;
}

static int
local_snapshot_end(struct mr_metalog *base, uint8_t *state, size_t size)
{
    struct metalog_local *log = MR_CONTAINER_OF(base, struct metalog_local, base);
    struct snapshot *snapshot = &log->snapshot;

    MR_ASSERT(snapshot->step == SNAPSHOT_KEEP);
    snapshot->state = state;
    snapshot->size = size;
    if (!state || log->failed || size > space_bytes(log->dev)) {
        snapshot_clear(snapshot);
        return !state ? 0 : log->failed ? -EIO : -EMSGSIZE;
    }
    MR_ASSERT(size > 0); /* on the device it would be a fresh log */
    memset(state + size, 0, round_up(size) - size);
    snapshot->step = SNAPSHOT_STATE;
    snapshot_write(log, state, round_up(size), snapshot_at(log->dev, 1 - log->area), false);
    return 0;
}

static int
local_append(struct mr_metalog *base, const uint8_t *command, size_t size, uint64_t token)
{
    struct metalog_local *log = MR_CONTAINER_OF(base, struct metalog_local, base);
    struct pending *pending;

    if (log->failed) {
        return -EIO;
    }
    /* A full log takes commands again after a snapshot; see mr_metalog_fill(). */
    if (log->pending_count == MR_METALOG_PENDING_MAX ||
        log->log_at + log->pending_bytes + record_bytes(size) > space_bytes(log->dev)) {
        return -EAGAIN;
    }
    pending = malloc(sizeof(*pending) + size);
    if (!pending) {
        return -EAGAIN;
    }
    pending->token = token;
    pending->size = (uint32_t)size;
    memcpy(pending->bytes, command, size);
    mr_list_push_back(&log->waiting, &pending->node);
    log->pending_count++;
    log->pending_bytes += record_bytes(size);
    write_next(log);
    return 0;
}

static void
local_close(struct mr_metalog *base)
{
    struct metalog_local *log = MR_CONTAINER_OF(base, struct metalog_local, base);

    while (log->writing || log->snapshot.io_pending) {
        if (mr_dev_wait(log->dev) != 0) {
            break; /* the device is gone; nothing will call back */
        }
    }
    drop_all(&log->waiting);
    drop_all(&log->flying);
    mr_dev_close(log->dev);
    snapshot_clear(&log->snapshot);
    free(log->record);
    free(log);
}

static void
local_fill(const struct mr_metalog *base, uint64_t *used, uint64_t *size)
{
    const struct metalog_local *log = MR_CONTAINER_OF(base, struct metalog_local, base);

    *used = log->log_at;
    *size = space_bytes(log->dev);
}

static const struct mr_metalog_ops local_ops = {
    .append = local_append,
    .snapshot_begin = local_snapshot_begin,
    .snapshot_end = local_snapshot_end,
    .fill = local_fill,
    .close = local_close,
};

/* ---- open ------------------------------------------------------------------------------------ */

struct replay {
    struct metalog_local *log;
    uint8_t *space; /* the whole log space */
    uint64_t space_size;
    char *reason;
    size_t reason_size;
};

/* The size of the whole record at `at`, with its fields; 0: no valid record of this generation. */
static size_t
record_at(const struct replay *replay, uint64_t at, uint64_t *index, uint32_t *count,
          uint32_t *previous)
{
    static const uint8_t zero[4];
    const uint8_t *bytes = replay->space + at;
    uint64_t left = replay->space_size - at;
    uint32_t size;
    uint32_t crc;

    if (left < RECORD_HEADER || memcmp(bytes, RECORD_MAGIC, 8) != 0 ||
        mr_le64_get(bytes + 8) != replay->log->generation) {
        return 0;
    }
    size = mr_le32_get(bytes + 24);
    if (size > left - RECORD_HEADER) {
        return 0;
    }
    crc = mr_crc32c(0, bytes, RECORD_CRC_AT);
    crc = mr_crc32c(crc, zero, sizeof(zero));
    crc = mr_crc32c(crc, bytes + RECORD_HEADER, size);
    if (crc != mr_le32_get(bytes + RECORD_CRC_AT)) {
        return 0;
    }
    *index = mr_le64_get(bytes + 16);
    *count = mr_le32_get(bytes + 28);
    *previous = mr_le32_get(bytes + 32);
    return RECORD_HEADER + size;
}

/* Passes the commands of a valid record or tail on; false where they do not fill it exactly. */
static bool
replay_commands(struct metalog_local *log, const uint8_t *bytes, size_t size, uint32_t count)
{
    size_t at = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t command;

        if (size - at < 4) {
            return false;
        }
        command = mr_le32_get(bytes + at);
        if (command > size - at - 4) {
            return false;
        }
        log->base.events.committed(log->base.events.context, log->next_index++, bytes + at + 4,
                                   command, 0);
        at += 4 + command;
    }
    return at == size;
}

static int
replay_log(struct replay *replay)
{
    struct metalog_local *log = replay->log;
    uint64_t index;
    uint32_t count;
    uint32_t previous;
    size_t size;

    while (log->log_at < replay->space_size &&
           (size = record_at(replay, log->log_at, &index, &count, &previous)) > 0 &&
           index == log->next_index && previous == log->previous_crc) {
        const uint8_t *bytes = replay->space + log->log_at;

        if (!replay_commands(log, bytes + RECORD_HEADER, size - RECORD_HEADER, count)) {
            snprintf(replay->reason, replay->reason_size, "metadata record %llu is malformed",
                     (unsigned long long)index);
            return -EUCLEAN;
        }
        log->previous_crc = mr_le32_get(bytes + RECORD_CRC_AT);
        log->log_at += round_up(size);
    }
    for (uint64_t at = log->log_at; at < replay->space_size; at += BLOCK) {
        if (record_at(replay, at, &index, &count, &previous) > 0 && index > log->next_index) {
            snprintf(replay->reason, replay->reason_size,
                     "metadata record %llu is bad, but record %llu behind it is whole",
                     (unsigned long long)log->next_index, (unsigned long long)index);
            return -EUCLEAN;
        }
    }
    return 0;
}

/* The state, then the commands that were kept behind it. */
static int
restore_state(struct replay *replay, const struct header *header, const uint8_t *snapshot)
{
    struct metalog_local *log = replay->log;
    const uint8_t *tail = snapshot + round_up(header->size);

    snprintf(replay->reason, replay->reason_size, "the metadata snapshot fails its checksum");
    if (mr_crc32c(0, snapshot, header->size) != header->crc ||
        mr_crc32c(0, tail, header->tail_size) != header->tail_crc) {
        return -EUCLEAN;
    }
    log->base.events.restore(log->base.events.context, header->index, snapshot, header->size);
    return replay_commands(log, tail, header->tail_size, header->tail_count) ? 0 : -EUCLEAN;
}

static int
restore_snapshot(struct replay *replay, const struct header *header)
{
    struct metalog_local *log = replay->log;
    uint64_t space = space_bytes(log->dev);
    size_t bytes;
    uint8_t *snapshot;
    int error;

    if (header->size > space || header->tail_size > space) {
        return -EUCLEAN;
    }
    log->next_index = header->index + 1;
    if (header->size == 0) {
        return 0; /* a fresh log: the state begins empty */
    }
    bytes = round_up(header->size) + round_up(header->tail_size);
    if (bytes > space) {
        return -EUCLEAN;
    }
    snapshot = aligned_alloc(BLOCK, bytes);
    if (!snapshot) {
        return -ENOMEM;
    }
    error = sync_read(log->dev, snapshot, bytes, snapshot_at(log->dev, log->area));
    error = error ? error : restore_state(replay, header, snapshot);
    free(snapshot);
    return error;
}

/* The generation of the record that an area's log begins with, whole or not; 0: none was ever
 * written there. -errno. */
static int
first_generation(struct metalog_local *log, uint8_t *block, unsigned area, uint64_t *out)
{
    int error = sync_read(log->dev, block, BLOCK, log_space_at(log->dev, area));

    *out = !error && memcmp(block, RECORD_MAGIC, 8) == 0 ? mr_le64_get(block + 8) : 0;
    return error;
}

/* A header that is not valid may be one that was never finished, or one that rot has spoiled: then
 * records that only it gives a meaning lie in its area. */
static int
check_lost_header(struct replay *replay, const bool valid[2])
{
    struct metalog_local *log = replay->log;

    for (unsigned area = 0; area < 2; area++) {
        uint64_t generation;
        int error;

        if (valid[area]) {
            continue;
        }
        error = first_generation(log, replay->space, area, &generation);
        if (error) {
            return error;
        }
        if (generation > log->generation) {
            snprintf(replay->reason, replay->reason_size,
                     "the header of area %u is bad, but the area holds records", area);
            return -EUCLEAN;
        }
    }
    return 0;
}

/* Flush first: what a killed process left in the drive's cache must not change under the replay. */
static int
open_log(struct replay *replay)
{
    struct metalog_local *log = replay->log;
    struct header headers[2];
    bool valid[2];
    int error = sync_flush(log->dev);

    if (!error) {
        error = sync_read(log->dev, log->record, 2 * BLOCK, 0);
    }
    if (error) {
        return error;
    }
    valid[0] = header_get(log->record, &headers[0]);
    valid[1] = header_get(log->record + BLOCK, &headers[1]);
    if (!valid[0] && !valid[1]) {
        snprintf(replay->reason, replay->reason_size, "this is no metadata log");
        error = check_lost_header(replay, valid);
        return error ? error : -ENODATA;
    }
    log->area = !valid[0] || (valid[1] && headers[1].generation > headers[0].generation);
    log->generation = headers[log->area].generation;
    error = check_lost_header(replay, valid);
    error = error ? error : restore_snapshot(replay, &headers[log->area]);
    if (!error) {
        error = sync_read(log->dev, replay->space, replay->space_size,
                          log_space_at(log->dev, log->area));
    }
    return error ? error : replay_log(replay);
}

int
mr_metalog_local_open(struct mr_dev *dev, const struct mr_metalog_events *events,
                      struct mr_metalog **out, char *reason, size_t reason_size)
{
    struct metalog_local *log = calloc(1, sizeof(*log));
    struct replay replay = {.log = log, .reason = reason, .reason_size = reason_size};
    int error = -ENOMEM;

    if (!log) {
        mr_dev_close(dev);
        return -ENOMEM;
    }
    snprintf(reason, reason_size, "the metadata log cannot be read");
    log->base.ops = &local_ops;
    log->base.events = *events;
    log->dev = dev;
    log->io.done = on_record_io;
    log->snapshot.io.done = on_snapshot_io;
    mr_list_init(&log->snapshot.kept);
    mr_list_init(&log->waiting);
    mr_list_init(&log->flying);
    log->record_capacity = round_up(GROUP_SIZE_MAX + RECORD_HEADER);
    log->record = aligned_alloc(BLOCK, log->record_capacity);
    replay.space_size = space_bytes(dev);
    replay.space = aligned_alloc(BLOCK, replay.space_size);
    if (log->record && replay.space) {
        error = open_log(&replay);
    }
    free(replay.space);
    if (error) {
        local_close(&log->base);
        return error;
    }
    log->base.events.leading(log->base.events.context, true);
    *out = &log->base;
    return 0;
}
