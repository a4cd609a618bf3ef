/* dataplane/stores.c: makes stores in data directories, or on block devices that are blank. */
#include "dataplane/stores.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/log.h"
#include "storage/dev.h"

#define MAKING_PATH_SIZE (MR_CONTROL_PATH_SIZE + 8)

/* A file that is being made has another name: a start that is cut short leaves nothing that looks
 * like a store. One that was prepared has its own already, as has a device. */
static bool
making_path(const struct mr_control_store *store, char *path, size_t size)
{
    bool other = access(store->path, F_OK) != 0;

    snprintf(path, size, "%s%s", store->path, other ? ".new" : "");
    return other;
}

static int
format(const struct mr_plan *plan, const struct mr_control *control, unsigned index,
       struct mr_uring *uring)
{
    const struct mr_control_store *store = &plan->stores[index];
    struct mr_store_format format = {
        .store_id = mr_uuid_random(),
        .cluster_id = mr_control_cluster_id(control),
        .node_id = plan->node_id,
        .store_index = index,
        .journal_bytes = plan->journal_bytes,
    };
    const struct mr_dev_options durable = {.flush_writes = plan->drive.flush_writes};
    char path[MAKING_PATH_SIZE];
    struct mr_dev *dev;
    int error = 0;

    if (making_path(store, path, sizeof(path)) && unlink(path) != 0 && errno != ENOENT) {
        error = -errno;
    }
    if (!error && !store->device) {
        error = mr_dev_file_prepare(path, store->size_bytes, 0);
    }
    if (!error) {
        error = mr_dev_open(path, uring, &durable, &dev);
    }
    if (!error) {
        error = mr_store_format(dev, &format);
        mr_dev_close(dev);
    }
    return error;
}

/* Gives a file its name, durably. */
static int
finish(const struct mr_control_store *store)
{
    char path[MAKING_PATH_SIZE];

    if (!making_path(store, path, sizeof(path))) {
        return 0;
    }
    if (rename(path, store->path) != 0) {
        return -errno;
    }
    return mr_dev_file_prepare(store->path, store->size_bytes, 0); /* syncs the directory */
}

/* All get their names when all are made. */
static int
make_all(const struct mr_plan *plan, const struct mr_control *control, struct mr_uring *uring)
{
    int result = 0;

    for (unsigned i = 0; i < plan->store_count && !result; i++) {
        MR_LOG_INFO("storage", "making %s, %llu MiB", plan->stores[i].path,
                    (unsigned long long)(plan->stores[i].size_bytes >> 20));
        result = format(plan, control, i, uring);
    }
    for (unsigned i = 0; i < plan->store_count && !result; i++) {
        result = finish(&plan->stores[i]);
    }
    return result;
}

/* ---- block devices --------------------------------------------------------------------------- */

/* 0: a store of ours; -ENODATA: blank, or prepared by `millrace log format` and nobody's yet;
 * -EEXIST: something else; or another -errno. */
static int
look_at(const char *path, struct mr_uring *uring)
{
    struct mr_store_format found;
    struct mr_dev *dev;
    int error = mr_dev_uring_open(path, uring, &dev);

    if (!error) {
        error = mr_store_identify(dev, &found);
        if (error == -ENODATA) {
            error = mr_dev_check_blank(dev);
            error = error ? error : -ENODATA;
        } else if (error == -EPROTONOSUPPORT) {
            error = 0; /* it is one; its open says what is wrong */
        } else if (!error && mr_uuid_is_zero(&found.cluster_id)) {
            error = -ENODATA;
        }
        mr_dev_close(dev);
    }
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
            return mr_config_refuse(plan->config, "log.dirs", error, error_size,
                                    "%s holds something that is not ours; if that may be lost: "
                                    "millrace log format --force %s",
                                    path, path);
        }
        if (result && result != -ENODATA) {
            return mr_config_refuse(plan->config, "log.dirs", error, error_size, "%s: %s", path,
                                    strerror(-result));
        }
        stores += result == 0;
    }
    if (stores > 0 && stores < plan->store_count) {
        snprintf(error, error_size,
                 "%u of the %u devices in log.dirs hold stores: name those alone; or, if a first "
                 "start was cut short, overwrite the first and last MiB of all with zeros",
                 stores, plan->store_count);
        return -ENODATA;
    }
    plan->stores_exist = stores > 0;
    return 0;
}

/* ---- all ------------------------------------------------------------------------------------- */

/* Files that were prepared count as not made yet, where all of them are of that kind. */
static void
look_at_files(struct mr_plan *plan, struct mr_uring *uring)
{
    unsigned prepared = 0;

    for (unsigned i = 0; i < plan->store_count; i++) {
        prepared += look_at(plan->stores[i].path, uring) == -ENODATA;
    }
    plan->stores_exist = prepared < plan->store_count;
}

static int
make(struct mr_plan *plan, const struct mr_control *control, struct mr_uring *uring, char *error,
     size_t error_size)
{
    int result = plan->devices ? look_at_devices(plan, uring, error, error_size) : 0;

    if (result) {
        return result;
    }
    if (!plan->devices && plan->stores_exist) {
        look_at_files(plan, uring);
    }
    if (plan->stores_exist && mr_control_is_new(control)) {
        snprintf(error, error_size,
                 "%s has stores, but there is no metadata at %s: set "
                 "metadata.log.dir to where it lies",
                 plan->dirs[0], plan->metadata_path);
        return -ENODATA;
    }
    if (!plan->stores_exist && !mr_control_is_unused(control)) {
        snprintf(error, error_size,
                 "%s has metadata, but no store lies in log.dirs (%s): name the "
                 "directories that hold them, or remove both",
                 plan->metadata_path, plan->dirs[0]);
        return -ENODATA;
    }
    if (!plan->stores_exist) {
        result = make_all(plan, control, uring);
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
