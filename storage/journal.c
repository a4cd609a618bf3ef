/* storage/journal.c: group commit: one set in flight, the next one fills.
 *
 *   NONE -> WRITING -> (FLUSHING) -> NONE            the usual way
 *                      FLUSHING -> VOIDING -> NONE   a direct run failed: nothing is answered until
 *                                                    the set that says so is durable
 *
 * A set that is its group's only write is written with FUA and is durable with its completion;
 * beside direct runs, or where it wraps, one flush follows. */
#include "storage/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/crc32c.h"

#define SET_SLACK    8192u /* of the buffer, for trims, deletes and growth */
#define LOG_FIXED    (MR_REC_CREATE_SIZE + MR_REC_IMAGE_SIZE + MR_REC_APPEND_SIZE + 32u)
#define IDLE_NS      MR_NS_PER_S
#define DIRECT_FLOOR (2 * BLOCK)
#define LONE_BYTES   32768u

#ifdef MR_MUTANTS
#define LATE_VOIDS 64u
/* Of MUTANT_VOID_WITH_DATA: they wait for the next group's set. */
static struct mr_rec late_voids[LATE_VOIDS];
static unsigned late_void_count;
#endif

static void
group_init(struct group *group)
{
    memset(group, 0, sizeof(*group));
    mr_list_init(&group->logs);
    mr_list_init(&group->trims);
    mr_list_init(&group->deletes);
    mr_list_init(&group->moves);
    group->estimate = MR_SET_HEADER_SIZE;
}

int
journal_init(struct mr_store *store)
{
    uint64_t quarter = store->ring_blocks / 4 * BLOCK - SET_SLACK;

    store->set_bytes_max = (uint32_t)(quarter < SET_BYTES_MAX ? quarter : SET_BYTES_MAX);
    if (store->config.direct_run_bytes < DIRECT_FLOOR) {
        store->config.direct_run_bytes = DIRECT_FLOOR;
    }
    if (store->config.direct_run_bytes > store->set_bytes_max / 8) {
        store->config.direct_run_bytes = store->set_bytes_max / 8;
    }
    store->lone_bytes =
        store->set_bytes_max / 8 < LONE_BYTES ? store->set_bytes_max / 8 : LONE_BYTES;
#ifdef MR_MUTANTS
    late_void_count = 0;
#endif
    group_init(&store->filling);
    group_init(&store->flying);
    store->filling.number = 1;
    store->set_capacity = store->set_bytes_max + SET_SLACK + BLOCK;
    if (posix_memalign((void **)&store->set, BLOCK, store->set_capacity)) {
        store->set = NULL;
        return -ENOMEM;
    }
    return 0;
}

/* ---- what fits ------------------------------------------------------------------------------- */

/* What the records of the log will take at most. A direct run leaves less than two blocks inline.
 */
static uint32_t
log_estimate(const struct mr_log *log, uint32_t batches, uint64_t bytes)
{
    uint64_t inline_bytes = bytes < log->store->config.direct_run_bytes ? bytes : 2 * BLOCK;
    uint32_t allocations = 0;

    for (uint32_t i = log->extent_count; i-- > 0 && log->extents[i]->sequence == 0;) {
        allocations++;
    }
    /* Whether the tail's image is needed is known when the set is made: it is counted. */
    return (uint32_t)(LOG_FIXED + log->set_position % BLOCK + batches * MR_REC_META_SIZE +
                      allocations * MR_REC_ALLOCATE_SIZE + inline_bytes);
}

uint64_t
journal_used(const struct mr_store *store)
{
    return store->position - store->usable[0].start_position;
}

static bool
journal_room(const struct mr_store *store, uint64_t blocks, uint64_t limit)
{
    return journal_used(store) + blocks <= limit;
}

/* Whether batches of so many bytes still fit into the set that is filling: produce is slowed from
 * 3/4 of the ring on by smaller sets, and refused at 7/8. */
bool
journal_admits(struct mr_log *log, uint32_t batches, uint32_t size)
{
    struct mr_store *store = log->store;
    uint64_t bytes = log->end_position - log->set_position + size;
    uint32_t estimate = log_estimate(log, log->fill_batches + batches, bytes);
    uint64_t total = (uint64_t)store->filling.estimate - log->fill_estimate + estimate;
    uint32_t max = store->set_bytes_max;

    if (mr_list_empty(&store->filling.logs)) {
        total += store->lone_bytes;
    }
    if (journal_used(store) >= store->ring_soft / 4 * 3) {
        max /= 4;
    }
    return total <= max && journal_room(store, mr_set_blocks(total), store->ring_soft / 8 * 7);
}

/* The log has `size` bytes more for the filling set. The estimate takes a log that could go direct
 * for one that does, hence holds room once for what is inline in a group that is small all the
 * same.
 */
void
journal_join(struct mr_log *log, uint32_t size)
{
    struct group *group = &log->store->filling;
    uint32_t estimate = log_estimate(log, log->fill_batches, log->end_position - log->set_position);

    if (mr_list_empty(&group->logs)) {
        group->estimate += log->store->lone_bytes;
    }
    if (mr_list_empty(&log->fill_node)) {
        mr_list_push_back(&group->logs, &log->fill_node);
    }
    group->bytes += size;
    group->estimate += estimate - log->fill_estimate;
    log->fill_estimate = estimate;
}

void
journal_leave(struct mr_log *log)
{
    struct group *group = &log->store->filling;

    if (mr_list_empty(&log->fill_node)) {
        return;
    }
    mr_list_remove(&log->fill_node);
    group->bytes -= log->end_position - log->set_position;
    group->estimate -= log->fill_estimate;
    if (mr_list_empty(&group->logs)) {
        group->estimate -= log->store->lone_bytes;
    }
    log->fill_estimate = 0;
    log->fill_batches = 0;
    log->early = 0;
    log->early_failed = false;
}

/* ---- encoding -------------------------------------------------------------------------------- */

struct encoder {
    struct mr_store *store;
    uint8_t *at;
    uint64_t sequence;
};

static void
put_record(struct encoder *encoder, const struct mr_rec *rec)
{
    encoder->at += mr_rec_encode(rec, encoder->at);
    encoder->store->record_count++;
}

/* The header of a batch that is not in a set yet: its bytes are in memory. */
static void
header_at(const struct mr_log *log, uint64_t position, uint8_t bytes[MR_BATCH_HEADER_SIZE],
          struct mr_batch_header *header)
{
    bool got = cache_get(log, position, bytes, MR_BATCH_HEADER_SIZE) &&
               mr_batch_header_get(bytes, header) == 0;

    MR_ASSERT(got);
}

/* The CRC over all bytes of the log in this group: the batches' own CRCs are combined, only the
 * bytes in front of what they cover are read. */
static uint32_t
run_crc(const struct mr_log *log)
{
    struct mr_batch_header header;
    uint32_t crc = 0;

    for (uint64_t at = log->set_position; at < log->end_position; at += (uint32_t)header.size) {
        uint8_t bytes[MR_BATCH_HEADER_SIZE];

        header_at(log, at, bytes, &header);
        crc = mr_crc32c(crc, bytes, 21);
        crc = mr_crc32c_combine(crc, header.crc, (uint64_t)header.size - 21);
    }
    return crc;
}

static void
put_metas(struct mr_log *log, uint8_t *out)
{
    struct mr_batch_header header;

    for (uint64_t at = log->set_position; at < log->end_position; at += (uint32_t)header.size) {
        uint8_t bytes[MR_BATCH_HEADER_SIZE];
        struct mr_rec_meta meta;

        header_at(log, at, bytes, &header);
        meta = (struct mr_rec_meta){
            .base_offset = header.base_offset,
            .base_timestamp = header.base_timestamp,
            .max_timestamp = header.max_timestamp,
            .producer_id = header.producer_id,
            .size = (uint32_t)header.size,
            .last_offset_delta = header.last_offset_delta,
            .flags = segment_starts_at(log, at) ? MR_REC_META_ROLLS : 0,
            .record_count = header.record_count,
            .base_sequence = header.base_sequence,
            .leader_epoch = header.leader_epoch,
            .producer_epoch = header.producer_epoch,
            .attributes = header.attributes,
        };
        mr_rec_meta_encode(&meta, out);
        out += MR_REC_META_SIZE;
    }
}

/* Marks the blocks of an inline range: those that begin in it are held by the journal from this
 * set on. */
static void
note_inline(struct mr_log *log, uint64_t position, uint32_t size, uint64_t sequence)
{
    uint64_t block = (position + BLOCK - 1) / BLOCK;

    for (; size > 0 && block * BLOCK < position + size; block++) {
        struct chunk *chunk = cache_find(log, block);
        struct cache_block *state = chunk_state(chunk, block);

        state->image = sequence;
        state->carry_from = state->carry_to = 0;
    }
}

/* A block is overwritten only while the journal holds every acknowledged byte in it: where it does
 * not, after the latest cut, the append brings the tail along. */
static void
put_image(struct encoder *encoder, struct mr_log *log)
{
    uint64_t block = log->set_position / BLOCK;
    uint32_t o = log->set_position % BLOCK;
    struct chunk *chunk = cache_find(log, block);
    struct cache_block *state = chunk_state(chunk, block);
    struct mr_rec rec = {.type = MR_REC_IMAGE, .log = log->number};

    if (state->image > log->cut_last || MUTANT(NO_TAIL_IMAGE)) {
        return;
    }
    rec.u.image.block = block;
    rec.u.image.size = o;
    rec.u.image.bytes = chunk->data + (block - chunk->block) * BLOCK;
    put_record(encoder, &rec);
    state->image = encoder->sequence;
    encoder->store->stats.tail_images++;
}

static void
put_append(struct encoder *encoder, struct mr_log *log)
{
    uint64_t position = log->set_position, size = log->end_position - position;
    uint64_t first = (position + BLOCK - 1) / BLOCK, end = log->end_position / BLOCK;
    struct mr_rec rec = {.type = MR_REC_APPEND, .log = log->number};
    struct mr_rec_append *append = &rec.u.append;
    uint8_t *record = encoder->at, *bytes;
    bool got;

    append->position = position;
    append->meta_count = log->fill_batches;
    append->head_size = (uint32_t)size;
    if (run_is_due(log)) {
        append->head_size = (uint32_t)(first * BLOCK - position);
        append->run_blocks = (uint32_t)(end - first);
        append->tail_size = log->end_position % BLOCK;
        append->crc = run_crc(log);
    }
    if (position % BLOCK != 0 && append->head_size > 0) {
        put_image(encoder, log);
        record = encoder->at;
    }
    put_record(encoder, &rec);
    put_metas(log, mr_rec_append_metas(record));
    bytes = mr_rec_append_bytes(record, append->meta_count);
    got = cache_get(log, position, bytes, append->head_size) &&
          cache_get(log, log->end_position - append->tail_size, bytes + append->head_size,
                    append->tail_size);
    MR_ASSERT(got);
    memset(bytes + append->head_size + append->tail_size, 0,
           (size_t)(encoder->at - (bytes + append->head_size + append->tail_size)));
    note_inline(log, position, append->head_size, encoder->sequence);
    note_inline(log, log->end_position - append->tail_size, append->tail_size, encoder->sequence);
    encoder->store->stats.inline_bytes += append->head_size + append->tail_size;
    if (append->run_blocks) {
        log->early = log->early ? log->early : run_first(log);
        encoder->store->flying.has_runs = true;
    }
}

#ifdef MR_MUTANTS
static void
void_late(struct mr_store *store)
{
    MR_LIST_FOR_EACH(node, &store->flying.logs)
    {
        struct mr_log *log = MR_CONTAINER_OF(node, struct mr_log, fly_node);

        if (log->run_failed && late_void_count < LATE_VOIDS) {
            struct mr_rec *rec = &late_voids[late_void_count++];

            log_void(log);
            *rec = (struct mr_rec){.type = MR_REC_VOID, .log = log->number};
            rec->u.voided.sequence = store->flying.sequence;
        }
    }
}

static void
put_late_voids(struct encoder *encoder)
{
    for (unsigned i = 0; i < late_void_count; i++) {
        put_record(encoder, &late_voids[i]);
    }
    late_void_count = 0;
}
#endif

static void
put_create(struct encoder *encoder, struct mr_log *log)
{
    struct mr_rec rec = {.type = MR_REC_CREATE, .log = log->number};

    if (!log->created) {
        rec.u.create.topic_id = log->id.topic_id;
        rec.u.create.partition = log->id.partition;
        put_record(encoder, &rec);
        log->created = true;
    }
}

static void
put_log(struct encoder *encoder, struct mr_log *log)
{
    struct mr_rec rec = {.log = log->number};
    uint32_t i = log->extent_count;

    put_create(encoder, log);
    while (i > 0 && log->extents[i - 1]->sequence == 0) {
        i--;
    }
    /* Those that an append took which was put off are not counted: they wait for it. */
    for (; i < log->extent_count && log->extents[i]->first_block * BLOCK < log->end_position; i++) {
        struct extent *extent = log->extents[i];

        rec.type = MR_REC_ALLOCATE;
        rec.u.allocate.first_block = extent->first_block;
        rec.u.allocate.ref = (struct mr_extent_ref){
            .lba = extent->lba, .order = extent->order, .kind = extent->kind};
        put_record(encoder, &rec);
        extent->sequence = encoder->sequence;
    }
    if (log->fill_batches > 0) {
        put_append(encoder, log);
    }
}

/* Whether the record fits into the set that is filling; it is in its list then. */
bool
move_queue(struct log_move *move)
{
    struct group *group = &move->log->store->filling;
    uint64_t size = mr_rec_size(&move->rec);

    if (group->estimate + size > move->log->store->set_bytes_max) {
        return false;
    }
    group->estimate += (uint32_t)size;
    mr_list_push_back(&group->moves, &move->node);
    return true;
}

/* Takes the moves of a log (NULL: all) out of the list of a group. */
void
moves_drop(struct mr_store *store, struct mr_list *moves, const struct mr_log *log, int error)
{
    MR_LIST_FOR_EACH(node, moves)
    {
        struct log_move *move = MR_CONTAINER_OF(node, struct log_move, node);

        if (log && move->log != log) {
            continue;
        }
        mr_list_remove(node);
        if (moves == &store->filling.moves) {
            store->filling.estimate -= (uint32_t)mr_rec_size(&move->rec);
        }
        move->decided(move, error);
    }
}

/* A move is dropped where another one went before it: what it says would not be true. */
static void
put_moves(struct encoder *encoder, struct group *from, struct group *to)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(&from->moves))) {
        struct log_move *move = MR_CONTAINER_OF(node, struct log_move, node);

        from->estimate -= (uint32_t)mr_rec_size(&move->rec);
        if (move->moves != move->log->moves && !MUTANT(SWAP_AFTER_TRIM)) {
            move->decided(move, -ESTALE);
            continue;
        }
        move->log->moves++;
        put_create(encoder, move->log);
        put_record(encoder, &move->rec);
        mr_list_push_back(&to->moves, node);
    }
}

/* Trims, deletes, moves and growth, as many as the slack of the buffer takes. */
static void
put_frees(struct encoder *encoder, struct group *from, struct group *to)
{
    struct mr_store *store = encoder->store;
    uint8_t *end = encoder->at + SET_SLACK;

    while (!mr_list_empty(&from->trims) && end - encoder->at > 2 * (int)MR_REC_SMALL_SIZE) {
        struct mr_list *node = mr_list_pop_front(&from->trims);
        struct mr_log_trim *trim = MR_CONTAINER_OF(node, struct mr_log_trim, node);
        struct mr_rec rec = {.type = MR_REC_TRIM, .log = trim->log->number};

        if (trim->offset > trim->log->durable) { /* a truncation came before it */
            trim->error = MR_KAFKA_OFFSET_OUT_OF_RANGE;
            mr_list_push_back(&store->trims_done, node);
            continue;
        }
        trim->log->moves++;
        trim->first_block = extent_trim_block(trim->log, trim->offset);
        rec.u.trim.offset = trim->offset;
        rec.u.trim.first_block = trim->first_block;
        put_record(encoder, &rec);
        if (MUTANT(REUSE_BEFORE_TRIM_DURABLE)) {
            extent_release_below(trim->log, trim->first_block);
        }
#ifdef MR_MUTANTS
        if (MUTANT(DISCARD_BEFORE_TRIM) && store->config.discard) {
            discard_early(trim->log, trim->first_block);
        }
#endif
        mr_list_push_back(&to->trims, node);
    }
    while (!mr_list_empty(&from->deletes) && end - encoder->at > 2 * (int)MR_REC_SMALL_SIZE) {
        struct mr_list *node = mr_list_pop_front(&from->deletes);
        struct mr_log_delete *request = MR_CONTAINER_OF(node, struct mr_log_delete, node);
        struct mr_rec rec = {.type = MR_REC_DELETE, .log = request->log->number};

        put_record(encoder, &rec);
        mr_list_push_back(&to->deletes, node);
    }
    put_moves(encoder, from, to);
    if (from->growth) {
        struct mr_rec rec = {.type = MR_REC_GROWTH};

        rec.u.growth.size_blocks = from->growth_blocks;
        put_record(encoder, &rec);
        to->growth = true;
        to->growth_blocks = from->growth_blocks;
        from->growth = false;
    }
}

/* ---- submitting ------------------------------------------------------------------------------ */

static void
set_done(struct mr_store *store, int result)
{
    store->in_flight--;
    store->flying.in_flight--;
    if (result) {
        store->flying.journal_failed = true;
    }
    journal_written(store);
}

static void
set_done_0(struct mr_dev_io *io, int result)
{
    set_done(MR_CONTAINER_OF(io, struct mr_store, set_io[0]), result);
}

static void
set_done_1(struct mr_dev_io *io, int result)
{
    set_done(MR_CONTAINER_OF(io, struct mr_store, set_io[1]), result);
}

/* Seals what lies in store->set up to `end`, gives it its place, and names the one or two ranges
 * of the ring it takes. Returns how many. */
static unsigned
set_place(struct mr_store *store, const uint8_t *end, uint64_t lba[2])
{
    uint32_t size = (uint32_t)(end - store->set);
    uint32_t blocks = mr_set_blocks(size);
    uint64_t at = store->position % store->ring_blocks;
    uint64_t first = store->ring_blocks - at < blocks ? store->ring_blocks - at : blocks;
    struct mr_set_header header = {
        .incarnation = store->super.incarnation,
        .sequence = store->sequence + 1,
        .position = store->position,
        .durable_sequence = store->durable_sequence,
        .size = size,
        .previous_crc = store->previous_crc,
        .record_count = store->record_count,
    };

    memset(store->set + size, 0, (size_t)blocks * BLOCK - size);
    mr_set_seal(store->set, &header, &store->super);
    store->sequence++;
    store->previous_crc = header.crc;
    store->position += blocks;
    store->flying.blocks = blocks;
    store->stats.group_bytes += (uint64_t)blocks * BLOCK;
    store->set_iov[0] = (struct iovec){.iov_base = store->set, .iov_len = first * BLOCK};
    store->set_iov[1] =
        (struct iovec){.iov_base = store->set + first * BLOCK, .iov_len = (blocks - first) * BLOCK};
    lba[0] = MR_FORMAT_JOURNAL_LBA + at;
    lba[1] = MR_FORMAT_JOURNAL_LBA;
    return first < blocks ? 2 : 1;
}

static void
set_write(struct mr_store *store, const uint8_t *end)
{
    uint64_t lba[2];
    unsigned count = set_place(store, end, lba);

    store->flying.in_flight += count;
    store->in_flight += count;
    store->set_io[0].done = set_done_0;
    store->set_io[1].done = set_done_1;
    if (count > 1) {
        store->flying.has_runs = true; /* two writes: a flush follows */
    }
    for (unsigned i = 0; i < count; i++) {
        mr_dev_write(store->dev, &store->set_io[i], &store->set_iov[i], 1, lba[i] * BLOCK,
                     !store->flying.has_runs);
    }
}

static void
list_move(struct mr_list *to, struct mr_list *from)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(from))) {
        mr_list_push_back(to, node);
    }
}

/* The log's part of the filling set is in the set now. */
static void
log_flies(struct mr_log *log)
{
    uint64_t early = log->early;
    bool failed = log->early_failed;

    list_move(&log->fly_appends, &log->fill_appends);
    journal_leave(log);
    mr_list_push_back(&log->store->flying.logs, &log->fly_node);
    log->set_end = log->end;
    log->set_position = log->end_position;
    if (early) {
        runs_fly(log, early, failed);
    }
}

static bool
idle_set_is_due(const struct mr_store *store)
{
    return !store->confirmed &&
           mr_clock_now_ns(store->config.clock) - store->idle_since_ns >= IDLE_NS &&
           journal_room(store, 1, store->ring_blocks / 8 * 7);
}

bool
journal_submit(struct mr_store *store)
{
    struct group *filling = &store->filling;
    struct encoder encoder = {
        .store = store, .at = store->set + MR_SET_HEADER_SIZE, .sequence = store->sequence + 1};
    bool frees = !mr_list_empty(&filling->trims) || !mr_list_empty(&filling->deletes) ||
                 !mr_list_empty(&filling->moves) || filling->growth;
    bool produce = !mr_list_empty(&filling->logs);

    if (store->state != GROUP_NONE || store->failed) {
        return false;
    }
    /* What frees space may use the ring but for a last part that voids need. */
    frees = frees && journal_room(store, mr_set_blocks(filling->estimate + SET_SLACK),
                                  store->ring_blocks - store->ring_blocks / 16);
    if (!frees && !produce && !idle_set_is_due(store)) {
        return false;
    }
    group_init(&store->flying);
    store->flying.number = filling->number++;
    store->flying.sequence = encoder.sequence;
    store->flying.began_ns = mr_clock_now_ns(store->config.clock);
    store->record_count = 0;
    MR_LIST_FOR_EACH(node, &filling->logs)
    {
        put_log(&encoder, MR_CONTAINER_OF(node, struct mr_log, fill_node));
    }
    MR_ASSERT((size_t)(encoder.at - store->set) <= filling->estimate);
    if (frees) {
        put_frees(&encoder, filling, &store->flying);
    }
#ifdef MR_MUTANTS
    put_late_voids(&encoder);
#endif
    store->state = GROUP_WRITING;
    store->confirmed = !frees && !produce;
    store->stats.groups++;
    store->flying.in_flight = filling->in_flight; /* of the runs that are on their way already */
    filling->in_flight = 0;
    filling->early = false;
    store->flying.in_flight++; /* so that no completion finds the group half submitted */
    set_write(store, encoder.at);
    while (!mr_list_empty(&filling->logs)) {
        log_flies(MR_CONTAINER_OF(filling->logs.next, struct mr_log, fill_node));
    }
    store->flying.in_flight--;
    store_room(store);
    return true;
}

/* ---- durable --------------------------------------------------------------------------------- */

static void
frees_apply(struct mr_store *store)
{
    struct group *group = &store->flying;
    struct mr_list *node;

    while ((node = mr_list_pop_front(&group->trims))) {
        struct mr_log_trim *trim = MR_CONTAINER_OF(node, struct mr_log_trim, node);

        if (trim->log->start < trim->offset) {
            trim->log->start = trim->offset;
            segment_trim(trim->log);
            extent_release_below(trim->log, trim->first_block);
        }
        mr_list_push_back(&store->trims_done, node);
    }
    while ((node = mr_list_pop_front(&group->deletes))) {
        log_bury(MR_CONTAINER_OF(node, struct mr_log_delete, node)->log);
        mr_list_push_back(&store->deletes_done, node);
    }
    while ((node = mr_list_pop_front(&group->moves))) {
        struct log_move *move = MR_CONTAINER_OF(node, struct log_move, node);

        move->decided(move, 0);
    }
    if (group->growth) {
        group->growth = false;
        if (mr_buddy_grow(&store->buddy, group->growth_blocks - store->size_blocks) == 0) {
            store->size_blocks = group->growth_blocks;
            store->low_told = false;
            store->room_event = true;
            store->stats.full = false;
        } else {
            store_fail(store);
        }
    }
}

/* The set is durable and nothing of the group is undecided: answer it. */
static void
group_finish(struct mr_store *store)
{
    struct group *group = &store->flying;
    struct mr_list *node;

    store->state = GROUP_NONE;
    store->durable_sequence = store->sequence;
    store->durable_position = store->position;
    store->durable_crc = store->previous_crc;
    store->idle_since_ns = mr_clock_now_ns(store->config.clock);
    mr_buckets_record(&store->stats.group_time, store->idle_since_ns - group->began_ns);
    while ((node = mr_list_pop_front(&group->logs))) {
        struct mr_log *log = MR_CONTAINER_OF(node, struct mr_log, fly_node);
        enum mr_kafka_err error = MR_KAFKA_NONE;

        if (log->run_failed) {
            log->run_failed = false;
            error = MR_KAFKA_KAFKA_STORAGE_ERROR;
        } else {
            log_durable(log);
        }
        if (log->deleted) {
            error = MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        }
        while ((node = mr_list_pop_front(&log->fly_appends))) {
            store_answer(MR_CONTAINER_OF(node, struct mr_append, node), error);
        }
    }
    frees_apply(store);
    store_room(store);
}

/* Says in a set of its own which logs' appends of the group do not count. */
static void
void_submit(struct mr_store *store)
{
    struct encoder encoder = {.store = store, .at = store->set + MR_SET_HEADER_SIZE};
    uint32_t failed = 0;

    MR_LIST_FOR_EACH(node, &store->flying.logs)
    {
        failed += MR_CONTAINER_OF(node, struct mr_log, fly_node)->run_failed;
    }
    if (MR_SET_HEADER_SIZE + failed * MR_REC_SMALL_SIZE > store->set_bytes_max ||
        !journal_room(store, mr_set_blocks(MR_SET_HEADER_SIZE + failed * MR_REC_SMALL_SIZE),
                      store->ring_blocks)) {
        store_fail(store);
        return;
    }
    store->record_count = 0;
    MR_LIST_FOR_EACH(node, &store->flying.logs)
    {
        struct mr_log *log = MR_CONTAINER_OF(node, struct mr_log, fly_node);
        struct mr_rec rec = {.type = MR_REC_VOID, .log = log->number};

        if (log->run_failed) {
            log_void(log);
            rec.u.voided.sequence = store->flying.sequence;
            if (!MUTANT(NO_VOID)) {
                put_record(&encoder, &rec);
            }
        }
    }
    store->state = GROUP_VOIDING;
    store->stats.voids++;
    store->flying.any_failed = false;
    store->flying.has_runs = false;
    set_write(store, encoder.at);
}

static void
group_flushed(struct mr_store *store)
{
#ifdef MR_MUTANTS
    if (store->flying.any_failed && MUTANT(VOID_WITH_DATA)) {
        store->flying.any_failed = false;
        void_late(store);
    }
#endif
    if (store->flying.any_failed) {
        void_submit(store);
    } else {
        group_finish(store);
    }
}

static void
flush_done(struct mr_dev_io *io, int result)
{
    struct mr_store *store = MR_CONTAINER_OF(io, struct mr_store, flush_io);

    store->in_flight--;
    if (store->failed) {
        return;
    }
    if (result) {
        store_fail(store);
    } else {
        mr_buckets_record(&store->stats.flush_time,
                          mr_clock_now_ns(store->config.clock) - store->flying.flush_began_ns);
        group_flushed(store);
    }
    store_drain(store);
}

/* Called after every write of the group. */
void
journal_written(struct mr_store *store)
{
    if (store->flying.in_flight > 0 || store->failed) {
        return;
    }
    if (store->flying.journal_failed) {
        store_fail(store);
    } else if (store->flying.has_runs && !MUTANT(ACK_BEFORE_FLUSH)) {
        if (store->state == GROUP_WRITING) {
            store->state = GROUP_FLUSHING;
        }
        store->flush_io.done = flush_done;
        store->flying.flush_began_ns = mr_clock_now_ns(store->config.clock);
        store->in_flight++;
        store->stats.flushes++;
        mr_dev_flush(store->dev, &store->flush_io);
    } else {
        group_flushed(store);
    }
    store_drain(store);
}

/* ---- open ------------------------------------------------------------------------------------ */

/* The first set of an incarnation covers what recovery dropped, before anything else is written
 * or served. Blocking. -ENOSPC: the ring has no room, checkpoint first. */
int
journal_open_set(struct mr_store *store)
{
    struct encoder encoder = {.store = store, .at = store->set + MR_SET_HEADER_SIZE};
    struct mr_rec rec = {.type = MR_REC_EPOCH};
    uint64_t lba[2];
    unsigned count;
    int error = 0;

    if (!journal_room(store, 1, store->ring_blocks)) {
        return -ENOSPC;
    }
    if (MUTANT(NO_OPEN_SET)) {
        return 0;
    }
    store->record_count = 0;
    rec.u.epoch.incarnation = store->super.incarnation;
    put_record(&encoder, &rec);
    count = set_place(store, encoder.at, lba);
    for (unsigned i = 0; i < count && !error; i++) {
        error = store_sync(store->dev, 'W', store->set_iov[i].iov_base, store->set_iov[i].iov_len,
                           lba[i] * BLOCK);
    }
    if (!error) {
        store->durable_sequence = store->sequence;
        store->durable_position = store->position;
        store->durable_crc = store->previous_crc;
        store->confirmed = true;
    }
    return error;
}
