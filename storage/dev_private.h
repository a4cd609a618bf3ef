/* storage/dev_private.h: what the implementations of the disk contract share. */
#ifndef MR_STORAGE_DEV_PRIVATE_H
#define MR_STORAGE_DEV_PRIVATE_H

/* What `kind` of struct mr_dev_io holds. */
enum dev_kind {
    DEV_READ,
    DEV_WRITE,
    DEV_FLUSH,
};

#endif
