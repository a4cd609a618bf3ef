/* tests/unit/storage/store_fixture.h: a store over a simulated device, and simple ways to use it.
 */
#ifndef MR_TESTS_UNIT_STORAGE_STORE_FIXTURE_H
#define MR_TESTS_UNIT_STORAGE_STORE_FIXTURE_H

#include <errno.h>

#include "dataplane/base/clock.h"
#include "storage/batch.h"
#include "storage/crc32c.h"
#include "storage/log.h"
#include "storage/store.h"
#include "tests/mr_test.h"

#define MIB (1024u * 1024)

struct fixture {
    struct mr_dev_sim *sim;
    struct mr_dev *dev;
    struct mr_clock_sim clock;
    struct mr_store_config config;
    struct mr_store *store;
    unsigned rooms, low_spaces, failures;
};

struct sent {
    struct mr_append append;
    struct iovec iov;
    uint8_t *bytes;
    bool answered;
};

/* What submit() says beside its arguments; set_up() clears it. */
struct submit_options {
    uint32_t segment_bytes;
    int64_t segment_ms;
    int64_t timestamp;
};

extern struct submit_options submit_options;
extern bool read_is_done;
extern unsigned deletes;

void connect_and_open(struct fixture *f);
void set_up(struct fixture *f, uint64_t device_bytes, uint64_t journal_bytes);
void tear_down(struct fixture *f);
void crash(struct fixture *f);
void turn(struct fixture *f);
void settle(struct fixture *f);
/* What submit() answers by: sets `answered`. */
void append_done(struct mr_append *append);

/* Counts deletions in `deletes`; none may fail. */
void delete_done(struct mr_log_delete *request, enum mr_kafka_err error);
struct mr_log *log_of(struct fixture *f, int32_t partition);
int submit(struct mr_log *log, struct sent *sent, uint32_t size, uint8_t fill, int64_t producer,
           int16_t epoch, int32_t sequence);
void submit_soon(struct fixture *f, struct mr_log *log, struct sent *sent, uint32_t size,
                 uint8_t fill, int64_t producer, int16_t epoch, int32_t sequence);
void send_durable(struct fixture *f, struct mr_log *log, uint32_t size, uint8_t fill);
void read_done(struct mr_read *read);
void check_batch(struct fixture *f, struct mr_log *log, int64_t offset, uint32_t size,
                 uint8_t fill);

#endif
