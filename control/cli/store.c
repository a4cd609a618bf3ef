#include "control/cli/store.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control/cli/cli.h"

#define RING_ENTRIES  64u
#define ARENA_BYTES   (64u * 1024 * 1024)
#define LOGS_MAX      1000000u
#define PRODUCERS_MAX 1000000u
#define INDEX_BYTES   (64u * 1024 * 1024)
#define READ_BYTES    (1024u * 1024)

int
cli_stores_init(struct cli_stores *stores)
{
    if (mr_uring_init(&stores->uring, RING_ENTRIES) != 0) {
        return cli_failed("no io_uring: the kernel does not allow it");
    }
    stores->arena = aligned_alloc(MR_DEV_BLOCK, ARENA_BYTES);
    if (!stores->arena) {
        mr_uring_close(&stores->uring);
        return cli_failed("no memory");
    }
    return CLI_EXIT_OK;
}

void
cli_stores_close(struct cli_stores *stores)
{
    free(stores->arena);
    mr_uring_close(&stores->uring);
}

int
cli_device_open(struct cli_stores *stores, const char *path, struct mr_dev **out)
{
    int error = mr_dev_uring_open(path, &stores->uring, out);

    if (error == -EWOULDBLOCK) {
        cli_failed("%s is in use by a broker; stop it first", path);
    } else if (error) {
        cli_failed("%s: %s", path, strerror(-error));
    }
    return error;
}

int
cli_store_open(struct cli_stores *stores, struct mr_dev *dev, enum cli_store_mode mode,
               struct mr_store **out, char *reason, size_t reason_size)
{
    struct mr_store_config config = {
        .dev = dev,
        .clock = &mr_clock_system,
        .arena = stores->arena,
        .arena_bytes = ARENA_BYTES,
        .logs_max = LOGS_MAX,
        .producers_max = PRODUCERS_MAX,
        .direct_run_bytes = 32768,
        .index_bytes_max = INDEX_BYTES,
        .read_only = mode == CLI_STORE_LOOK,
        .repair = mode == CLI_STORE_REPAIR,
    };

    return mr_store_open(&config, out, reason, reason_size);
}

static void
on_read(struct mr_read *read)
{
    MR_CONTAINER_OF(read, struct cli_reading, read)->done = true;
}

int
cli_store_read(struct cli_stores *stores, struct mr_store *store, struct mr_log *log,
               int64_t offset, struct cli_reading *reading)
{
    int result;

    *reading = (struct cli_reading){
        .read = {.done = on_read, .offset = offset, .bytes_max = READ_BYTES, .one_at_least = true}};
    result = mr_log_read(log, &reading->read);
    while (result == 0 && !reading->done) {
        mr_store_tick(store);
        mr_uring_wait(&stores->uring, MR_NS_PER_S);
        mr_uring_reap(&stores->uring, RING_ENTRIES);
    }
    return result < 0 ? result : 0;
}

uint8_t *
cli_store_bytes(const struct mr_read *read)
{
    uint8_t *bytes = malloc(read->size ? read->size : 1);
    size_t filled = 0;

    for (unsigned i = 0; bytes && i < read->iov_count; i++) {
        memcpy(bytes + filled, read->iov[i].iov_base, read->iov[i].iov_len);
        filled += read->iov[i].iov_len;
    }
    return bytes;
}

int
cli_stores_each(const char *path, int (*each)(void *context, const char *path), void *context)
{
    char pattern[4096];
    struct stat found;
    glob_t files;
    int status = CLI_EXIT_OK;

    if (stat(path, &found) != 0) {
        return cli_failed("%s: %s", path, strerror(errno));
    }
    if (!S_ISDIR(found.st_mode)) {
        return each(context, path);
    }
    snprintf(pattern, sizeof(pattern), "%s/store-*.mr", path);
    if (glob(pattern, 0, NULL, &files) != 0) {
        return cli_failed("%s has no store-*.mr", path);
    }
    for (size_t i = 0; i < files.gl_pathc && status == CLI_EXIT_OK; i++) {
        status = each(context, files.gl_pathv[i]);
    }
    globfree(&files);
    return status;
}
