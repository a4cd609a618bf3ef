/* tests/unit/storage/store_fixture.c: the fixture of the store's unit tests. */
#include "tests/unit/storage/store_fixture.h"

struct submit_options submit_options;

static void
on_room(void *context)
{
    ((struct fixture *)context)->rooms++;
}

static void
on_low_space(void *context)
{
    ((struct fixture *)context)->low_spaces++;
}

static void
on_failed(void *context)
{
    ((struct fixture *)context)->failures++;
}

void
connect_and_open(struct fixture *f)
{
    char reason[200];

    f->dev = mr_dev_sim_connect(f->sim);
    f->config.dev = f->dev;
    if (mr_store_open(&f->config, &f->store, reason, sizeof(reason)) != 0) {
        fprintf(stderr, "open: %s\n", reason);
        exit(1);
    }
}

void
set_up(struct fixture *f, uint64_t device_bytes, uint64_t journal_bytes)
{
    struct mr_dev_sim_config dev = {.size_bytes = device_bytes, .seed = 5, .garbage_on_cut = 0.5};
    struct mr_store_format format = {.store_id = {{1}}, .journal_bytes = journal_bytes};

    memset(f, 0, sizeof(*f));
    memset(&submit_options, 0, sizeof(submit_options));
    f->sim = mr_dev_sim_create(&dev);
    mr_clock_sim_init(&f->clock, 1700000000000);
    f->config = (struct mr_store_config){.clock = &f->clock.clock,
                                         .arena = aligned_alloc(4096, MR_STORE_ARENA_MIN),
                                         .arena_bytes = MR_STORE_ARENA_MIN,
                                         .logs_max = 16,
                                         .producers_max = 16,
                                         .direct_run_bytes = 32768,
                                         .index_bytes_max = MIB,
                                         .on_room = on_room,
                                         .on_low_space = on_low_space,
                                         .on_failed = on_failed,
                                         .context = f};
    f->dev = mr_dev_sim_connect(f->sim);
    MR_CHECK_EQ(mr_store_format(f->dev, &format), 0);
    mr_dev_sim_power_cut(f->sim);
    connect_and_open(f);
}

void
tear_down(struct fixture *f)
{
    MR_CHECK_EQ(mr_store_close(f->store), 0);
    mr_dev_sim_destroy(f->sim);
    free(f->config.arena);
}

void
crash(struct fixture *f)
{
    mr_dev_sim_power_cut(f->sim);
    mr_store_abandon(f->store);
    connect_and_open(f);
}

void
turn(struct fixture *f)
{
    mr_store_tick(f->store);
    MR_CHECK(mr_dev_poll(f->dev) >= 0);
    f->clock.now_ns += 1000;
}

void
settle(struct fixture *f)
{
    for (unsigned i = 0; i < 200; i++) {
        turn(f);
    }
}

struct mr_log *
log_of(struct fixture *f, int32_t partition)
{
    struct mr_log_id id = {.topic_id = {{42}}, .partition = partition};
    struct mr_log *log = mr_store_log_make(f->store, &id);

    MR_CHECK(log != NULL);
    return log;
}

void
delete_done(struct mr_log_delete *request, enum mr_kafka_err error)
{
    (void)request;
    MR_CHECK_EQ(error, MR_KAFKA_NONE);
    deletes++;
}

void
append_done(struct mr_append *append)
{
    struct sent *sent = MR_CONTAINER_OF(append, struct sent, append);

    MR_CHECK(!sent->answered);
    sent->answered = true;
}

/* A batch of one record as far as the store looks: `size` bytes, whose payload is `fill`. */
int
submit(struct mr_log *log, struct sent *sent, uint32_t size, uint8_t fill, int64_t producer,
       int16_t epoch, int32_t sequence)
{
    struct mr_batch_header header = {.size = (int32_t)size,
                                     .magic = 2,
                                     .producer_id = producer,
                                     .producer_epoch = epoch,
                                     .base_sequence = sequence,
                                     .base_timestamp = submit_options.timestamp,
                                     .max_timestamp = submit_options.timestamp,
                                     .record_count = 1,
                                     .leader_epoch = -1};

    memset(sent, 0, sizeof(*sent));
    sent->bytes = malloc(size);
    memset(sent->bytes, fill, size);
    mr_batch_header_put(sent->bytes, &header);
    header.crc = mr_crc32c(0, sent->bytes + 21, size - 21);
    sent->iov = (struct iovec){sent->bytes, size};
    sent->append.batch = (struct mr_batch){.header = header, .iov = &sent->iov, .iov_count = 1};
    sent->append.leader_epoch = 1;
    sent->append.segment_bytes = submit_options.segment_bytes;
    sent->append.segment_ms = submit_options.segment_ms;
    sent->append.done = append_done;
    {
        int error = mr_log_append(log, &sent->append);

        free(sent->bytes); /* the caller's again */
        return error;
    }
}

/* The same, again and again while there is no room or the log's last block is being loaded. */
void
submit_soon(struct fixture *f, struct mr_log *log, struct sent *sent, uint32_t size, uint8_t fill,
            int64_t producer, int16_t epoch, int32_t sequence)
{
    unsigned tries = 0;

    while (submit(log, sent, size, fill, producer, epoch, sequence) == -EAGAIN) {
        MR_CHECK(tries++ < 1000);
        turn(f);
    }
}

void
send_durable(struct fixture *f, struct mr_log *log, uint32_t size, uint8_t fill)
{
    struct sent sent;

    submit_soon(f, log, &sent, size, fill, -1, -1, -1);
    for (unsigned i = 0; i < 2000 && !sent.answered; i++) {
        turn(f);
    }
    MR_CHECK(sent.answered);
    MR_CHECK_EQ(sent.append.error, MR_KAFKA_NONE);
}

unsigned deletes;
bool read_is_done;

void
read_done(struct mr_read *read)
{
    (void)read;
    read_is_done = true;
}

/* Reads one batch of `size` bytes at `offset` and checks its payload. */
void
check_batch(struct fixture *f, struct mr_log *log, int64_t offset, uint32_t size, uint8_t fill)
{
    struct mr_read read = {
        .done = read_done, .offset = offset, .bytes_max = 1, .one_at_least = true};
    size_t at = 0;
    int result;

    read_is_done = false;
    result = mr_log_read(log, &read);
    MR_CHECK(result >= 0);
    for (unsigned i = 0; result == 0 && i < 2000 && !read_is_done; i++) {
        turn(f);
    }
    MR_CHECK_EQ(read.error, MR_KAFKA_NONE);
    MR_CHECK_EQ(read.size, size);
    for (unsigned i = 0; i < read.iov_count; i++) {
        const uint8_t *bytes = read.iov[i].iov_base;

        for (size_t k = 0; k < read.iov[i].iov_len; k++, at++) {
            MR_CHECK(at < MR_BATCH_HEADER_SIZE || bytes[k] == fill);
        }
    }
    MR_CHECK_EQ(at, size);
    mr_log_read_release(f->store, &read);
}
