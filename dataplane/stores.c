/* dataplane/stores.c: makes stores in data directories, or on block devices that are blank. */
#include "dataplane/stores.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/log.h"
#include "storage/dev.h"

#define BLANK_BYTES                                                                                \
    (1u << 20) /* where file systems, partition tables and the like begin or end                   \
                */

static int
format(const struct mr_plan *plan, const struct mr_control *control, unsigned index,
       struct mr_uring *uring)
{
    const struct mr_control_store *store = &plan->stores[index];
    struct mr_store_format format = {
        .store_id = mr_uuid_random(),
        .cluster_id = mr_control_cluster_id(control),
        .node_id = plan->server.node.node_id,
        .store_index = index,
        .journal_bytes = plan->journal_bytes,
    };
    struct mr_dev *dev;
    int error = store->device ? 0 : mr_dev_file_prepare(store->path, store->size_bytes, 0);

    if (!error) {
        error = mr_dev_uring_open(store->path, uring, &dev);
    }
    if (!error) {
        error = mr_store_format(dev, &format);
        mr_dev_close(dev);
    }
    return error;
}

/* ---- block devices --------------------------------------------------------------------------- */

struct blank_read {
    struct mr_dev_io io;
    bool done;
    int error;
};

static void
on_read(struct mr_dev_io *io, int result)
{
    struct blank_read *read = MR_CONTAINER_OF(io, struct blank_read, io);

    read->done = true;
    read->error = result;
}

/* 0: nothing but zeros at `offset`; -EEXIST; or another -errno. */
static int
check_blank(struct mr_dev *dev, uint64_t offset, uint8_t *buffer)
{
    struct blank_read read = {.io = {.done = on_read}};
    struct iovec iov = {buffer, BLANK_BYTES};

    mr_dev_read(dev, &read.io, &iov, 1, offset);
    while (!read.done) {
        int error = mr_dev_wait(dev);

        if (error) {
            return error;
        }
    }
    if (read.error) {
        return read.error;
    }
    return buffer[0] == 0 && memcmp(buffer, buffer + 1, BLANK_BYTES - 1) == 0 ? 0 : -EEXIST;
}

/* 0: a store of ours; -ENODATA: blank; -EEXIST: something else; or another -errno. */
static int
look_at(const char *path, struct mr_uring *uring)
{
    uint8_t *buffer = aligned_alloc(MR_DEV_BLOCK, BLANK_BYTES);
    struct mr_store_format found;
    struct mr_dev *dev;
    int error = buffer ? mr_dev_uring_open(path, uring, &dev) : -ENOMEM;

    if (!error) {
        error = mr_store_identify(dev, &found);
        if (error == -ENODATA) {
            error = check_blank(dev, 0, buffer);
            error = error ? error : check_blank(dev, dev->size_bytes - BLANK_BYTES, buffer);
            error = error ? error : -ENODATA;
        }
        mr_dev_close(dev);
    }
    free(buffer);
    return error;
}

/* Whether all devices hold stores, or all are blank. */
static int
look_at_devices(struct mr_plan *plan, struct mr_uring *uring, char *error, size_t error_size)
{
    unsigned stores = 0;

    for (unsigned i = 0; i < plan->store_count; i++) {
        const char *path = plan->stores[i].path;
        int result = look_at(path, uring);

        if (result == -EEXIST) {
            snprintf(error, error_size,
                     "%s is not blank and no store: if what it holds may be lost, overwrite its "
                     "first and last MiB with zeros",
                     path);
            return result;
        }
        if (result && result != -ENODATA) {
            snprintf(error, error_size, "%s: %s", path, strerror(-result));
            return result;
        }
        stores += result == 0;
    }
    if (stores > 0 && stores < plan->store_count) {
        snprintf(error, error_size,
                 "%u of the %u devices in log.dirs hold stores: name those alone", stores,
                 plan->store_count);
        return -ENODATA;
    }
    plan->stores_exist = stores > 0;
    return 0;
}

/* ---- all ------------------------------------------------------------------------------------- */

static int
make(struct mr_plan *plan, const struct mr_control *control, struct mr_uring *uring, char *error,
     size_t error_size)
{
    int result = plan->devices ? look_at_devices(plan, uring, error, error_size) : 0;

    if (result) {
        return result;
    }
    if (plan->stores_exist && mr_control_is_new(control)) {
        snprintf(error, error_size,
                 "%s has stores, but there is no metadata at %s: set "
                 "metadata.log.dir to where it lies",
                 plan->dirs[0], plan->metadata_path);
        return -ENODATA;
    }
    if (!plan->stores_exist && !mr_control_is_new(control)) {
        snprintf(error, error_size,
                 "%s has metadata, but no store lies in log.dirs (%s): name the "
                 "directories that hold them, or remove both",
                 plan->metadata_path, plan->dirs[0]);
        return -ENODATA;
    }
    for (unsigned i = 0; i < plan->store_count && !plan->stores_exist && !result; i++) {
        MR_LOG_INFO("storage", "making %s, %llu MiB", plan->stores[i].path,
                    (unsigned long long)(plan->stores[i].size_bytes >> 20));
        result = format(plan, control, i, uring);
    }
    if (result) {
        snprintf(error, error_size, "a store cannot be made: %s", strerror(-result));
    }
    return result;
}

int
mr_stores_make(struct mr_plan *plan, const struct mr_control *control, char *error,
               size_t error_size)
{
    struct mr_uring uring;
    int result = mr_uring_init(&uring, 64);

    if (result) {
        snprintf(error, error_size, "no io_uring: %s", strerror(-result));
        return result;
    }
    result = make(plan, control, &uring, error, error_size);
    mr_uring_close(&uring);
    return result;
}
