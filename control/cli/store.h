/* control/cli/store.h: what the `log` commands share: a store that no broker has open.
 *
 * Blocking; one at a time. */
#ifndef MR_CONTROL_CLI_STORE_H
#define MR_CONTROL_CLI_STORE_H

#include "dataplane/base/uring.h"
#include "storage/log.h"

struct cli_stores {
    struct mr_uring uring;
    uint8_t *arena;
};

enum cli_store_mode { CLI_STORE_LOOK, CLI_STORE_REPAIR };

/* 0; or CLI_EXIT_FAILED after the error was printed. */
int cli_stores_init(struct cli_stores *stores);
void cli_stores_close(struct cli_stores *stores);

/* Opens the device or file. -errno after the error was printed. */
int cli_device_open(struct cli_stores *stores, const char *path, struct mr_dev **out);

/* Opens the store on it; `reason` as in mr_store_open(). 0 or -errno; nothing is printed. The
 * device stays the caller's. */
int cli_store_open(struct cli_stores *stores, struct mr_dev *dev, enum cli_store_mode mode,
                   struct mr_store **out, char *reason, size_t reason_size);

struct cli_reading {
    struct mr_read read;
    bool done;
};

/* One read, waited for. 0, also where read.error says that it failed, or -errno. After 0
 * mr_log_read_release() is owed. */
int cli_store_read(struct cli_stores *stores, struct mr_store *store, struct mr_log *log,
                   int64_t offset, struct cli_reading *reading);

/* The bytes of an answer in one piece that the caller frees; NULL without memory. */
uint8_t *cli_store_bytes(const struct mr_read *read);

/* Calls `each` for `path`, or for each DIR/store-*.mr where it is a directory, until one of them
 * does not return CLI_EXIT_OK. */
int cli_stores_each(const char *path, int (*each)(void *context, const char *path), void *context);

#endif
