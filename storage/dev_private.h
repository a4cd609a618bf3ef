/* storage/dev_private.h: what the implementations of the disk contract share. */
#ifndef MR_STORAGE_DEV_PRIVATE_H
#define MR_STORAGE_DEV_PRIVATE_H

#include "storage/dev.h"

/* What `kind` of struct mr_dev_io holds. */
enum dev_kind {
    DEV_READ,
    DEV_WRITE,
    DEV_FLUSH,
    DEV_DISCARD,
};

/* Moves the operation past what was transferred. Returns false where that is impossible to go on
 * from: nothing moved, more than was asked, or a part of a sector. */
bool dev_io_advance(struct mr_dev_io *io, uint64_t moved);

/* A number from the block layer's description of an open drive or partition; 0: there is none. */
uint64_t dev_queue_limit(int block_fd, const char *name);

/* ---- dev_nvme -------------------------------------------------------------------------------- */

/* A namespace's character device (/dev/ng0n1 beside /dev/nvme0n1). */
struct dev_nvme {
    int fd;
    uint32_t namespace_id;
    uint32_t block_shift;   /* log2 of the bytes of a block of the drive */
    uint64_t command_bytes; /* of one command at most */
};

/* Finds it beside the open block device. -ENODEV: that is no NVMe namespace; or -errno. */
int dev_nvme_open(const char *path, int block_fd, struct dev_nvme *nvme);

/* Turns a cleared entry of a ring with room for commands into the command for what is left of a
 * read or write, or a part of that; io->moving says how much. With `flush_writes` a FUA write is a
 * plain one: a flush follows. */
void dev_nvme_prepare(const struct dev_nvme *nvme, struct mr_dev_io *io, struct io_uring_sqe *sqe,
                      bool flush_writes);

#endif
