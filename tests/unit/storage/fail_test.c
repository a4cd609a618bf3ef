/* tests/unit/storage/fail_test.c: the Nth write, flush, read or allocation of a scripted workload
 * fails, for every N: the store fails cleanly or goes on, and what was acknowledged is there after
 * the next open. */
#include "tests/unit/storage/store_fixture.h"

#define BATCHES 36
#define TRIM_TO 4
#define CUT_TO  30

enum stage { RUNNING, OPENING, COLD };

static uint64_t allocations_left; /* the one that brings it to 0 fails; 0: none does */
static uint64_t allocations;

static bool
allocation_fails(void)
{
    allocations++;
    return allocations_left > 0 && --allocations_left == 0;
}

void *mr_test_malloc(size_t size);
void *mr_test_calloc(size_t count, size_t size);
void *mr_test_realloc(void *old, size_t size);
int mr_test_memalign(void **out, size_t alignment, size_t size);

void *
mr_test_malloc(size_t size)
{
    return allocation_fails() ? NULL : malloc(size);
}

void *
mr_test_calloc(size_t count, size_t size)
{
    return allocation_fails() ? NULL : calloc(count, size);
}

void *
mr_test_realloc(void *old, size_t size)
{
    return allocation_fails() ? NULL : realloc(old, size);
}

int
mr_test_memalign(void **out, size_t alignment, size_t size)
{
    return allocation_fails() ? ENOMEM : posix_memalign(out, alignment, size);
}

static const uint32_t sizes[] = {200, 5000, 40000, 100000, 70, 20000};

struct outcome {
    bool acknowledged[BATCHES]; /* of the batch at this offset */
    uint8_t fill[BATCHES];
    uint32_t size[BATCHES];
};

static void
trim_done(struct mr_log_trim *trim, enum mr_kafka_err error)
{
    (void)trim;
    (void)error; /* done or not: what is below is not looked at */
}

static void
cut_done(struct mr_log_truncate *truncate, enum mr_kafka_err error)
{
    (void)truncate;
    (void)error;
}

static void
read_some(struct fixture *f, struct mr_log *log, int64_t offset)
{
    struct mr_read read = {
        .done = read_done, .offset = offset, .bytes_max = 100000, .one_at_least = true};
    int result;

    read_is_done = false;
    result = mr_log_read(log, &read);
    for (unsigned i = 0; result == 0 && !read_is_done && i < 3000; i++) {
        turn(f);
    }
    MR_CHECK(result != 0 || read_is_done);
    if (result >= 0) {
        mr_log_read_release(f->store, &read);
    }
}

/* Appends of all sizes, a trim, a truncation that changes nothing, reads from memory. */
static void
workload(struct fixture *f, struct outcome *outcome)
{
    static struct mr_log_trim trim;
    static struct mr_log_truncate cut;
    struct sent sent;
    struct mr_log_id id = {.topic_id = {{42}}, .partition = 0};

    for (unsigned i = 0; i < BATCHES; i++) {
        struct mr_log *log = mr_store_log_make(f->store, &id);
        int error = -EAGAIN;

        if (!log) {
            continue;
        }
        for (unsigned k = 0; k < 300 && error == -EAGAIN; k++) {
            error = submit(log, &sent, sizes[i % 6], (uint8_t)(i + 1), -1, -1, -1);
            turn(f);
        }
        for (unsigned k = 0; k < 2000 && error == 0 && !sent.answered; k++) {
            turn(f);
        }
        MR_CHECK(error == -EAGAIN || sent.answered);
        if (error == 0 && sent.append.error == MR_KAFKA_NONE) {
            outcome->acknowledged[sent.append.base_offset] = true;
            outcome->fill[sent.append.base_offset] = (uint8_t)(i + 1);
            outcome->size[sent.append.base_offset] = sizes[i % 6];
        }
        if (i == 20) {
            trim = (struct mr_log_trim){.done = trim_done, .offset = TRIM_TO};
            mr_log_trim(log, &trim);
        }
        if (i == 25) {
            cut = (struct mr_log_truncate){.done = cut_done, .offset = 1000};
            mr_log_truncate(log, &cut);
        }
        if (i % 5 == 4) {
            read_some(f, log, 0);
            read_some(f, log, i / 2);
        }
    }
    for (unsigned k = 0; k < 300; k++) {
        turn(f);
    }
}

static bool found;

static void
find_done(struct mr_log_find *find)
{
    (void)find;
    found = true;
}

/* Nothing is in memory: reads one after the other and at random, a look-up, an append that loads
 * the log's last block, a truncation. */
static void
cold_workload(struct fixture *f)
{
    static struct mr_log_truncate cut;
    static struct mr_log_find find;
    static struct sent sent;
    struct mr_log *log = log_of(f, 0);
    int error = -EAGAIN;

    for (int64_t i = TRIM_TO; i < BATCHES; i++) {
        read_some(f, log, i);
        read_some(f, log, i * 7 % BATCHES);
    }
    found = false;
    find = (struct mr_log_find){
        .done = find_done, .kind = MR_LOG_FIND_TIME, .timestamp_ms = INT64_MAX};
    error = mr_log_find(log, &find);
    for (unsigned k = 0; k < 3000 && error == 0 && !found; k++) {
        turn(f);
    }
    MR_CHECK(error == -EAGAIN || found);
    error = -EAGAIN;
    for (unsigned k = 0; k < 300 && error == -EAGAIN; k++) {
        error = submit(log, &sent, 700, 1, -1, -1, -1);
        turn(f);
    }
    for (unsigned k = 0; k < 2000 && error == 0 && !sent.answered; k++) {
        turn(f);
    }
    MR_CHECK(error == -EAGAIN || sent.answered);
    cut = (struct mr_log_truncate){.done = cut_done, .offset = CUT_TO};
    mr_log_truncate(log, &cut);
    for (unsigned k = 0; k < 300; k++) {
        turn(f);
    }
}

static void
arm(struct fixture *f, char kind, uint64_t n)
{
    allocations_left = kind == 'a' ? n : 0;
    mr_dev_sim_fail_nth(f->sim, kind, kind == 'a' ? 0 : n);
}

/* Whether it came so far. Nothing fails from here on. */
static bool
disarm(struct fixture *f, char kind)
{
    bool reached = kind == 'a' ? allocations_left == 0 : mr_dev_sim_failed_nth(f->sim);

    allocations_left = 0;
    mr_dev_sim_fail_nth(f->sim, 'x', 0);
    return reached;
}

/* One run with the Nth operation of a kind failing ('a': allocation). True: it came so far. */
static bool
run_with(char kind, uint64_t n, enum stage stage)
{
    struct fixture f;
    struct outcome outcome = {0};
    int64_t end = stage == COLD ? CUT_TO : BATCHES;
    bool reached = false;

    set_up(&f, 24 * MIB, MIB);
    if (stage == RUNNING) {
        arm(&f, kind, n);
    }
    workload(&f, &outcome);
    mr_dev_sim_power_cut(f.sim);
    if (stage == RUNNING) {
        reached = disarm(&f, kind);
    }
    mr_store_abandon(f.store);
    if (stage == OPENING) {
        char reason[200];

        f.dev = mr_dev_sim_connect(f.sim);
        f.config.dev = f.dev;
        arm(&f, kind, n);
        if (mr_store_open(&f.config, &f.store, reason, sizeof(reason)) == 0) {
            mr_store_abandon(f.store);
        }
        reached = disarm(&f, kind);
        mr_dev_sim_power_cut(f.sim);
    } else if (stage == COLD) {
        connect_and_open(&f);
        MR_CHECK_EQ(mr_store_close(f.store), 0);
        mr_dev_sim_power_cut(f.sim);
        connect_and_open(&f);
        arm(&f, kind, n);
        cold_workload(&f);
        reached = disarm(&f, kind);
        mr_dev_sim_power_cut(f.sim);
        mr_store_abandon(f.store);
    }
    connect_and_open(&f);
    for (int64_t i = TRIM_TO; i < end; i++) {
        if (outcome.acknowledged[i]) {
            check_batch(&f, log_of(&f, 0), i, outcome.size[i], outcome.fill[i]);
        }
    }
    tear_down(&f);
    return reached;
}

static void
run_all(char kind, enum stage stage, uint64_t least)
{
    uint64_t n = 1;

    while (run_with(kind, n, stage)) {
        n++;
    }
    printf("  %c: %llu\n", kind, (unsigned long long)n - 1);
    MR_CHECK(n > least);
}

MR_TEST(any_write_may_fail)
{
    run_all('w', RUNNING, 30);
    run_all('w', OPENING, 2);
    run_all('w', COLD, 2);
}

MR_TEST(any_flush_may_fail)
{
    run_all('f', RUNNING, 10);
    run_all('f', OPENING, 1);
}

MR_TEST(any_read_may_fail)
{
    run_all('r', OPENING, 5);
    run_all('r', COLD, 10);
}

MR_TEST(any_allocation_may_fail)
{
    run_all('a', RUNNING, 20);
    run_all('a', OPENING, 10);
    run_all('a', COLD, 10);
}

MR_TEST_MAIN(MR_TEST_CASE(any_write_may_fail), MR_TEST_CASE(any_flush_may_fail),
             MR_TEST_CASE(any_read_may_fail), MR_TEST_CASE(any_allocation_may_fail))
