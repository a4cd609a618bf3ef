/* storage/open.h: the pieces of recovery. Internal to the store. */
#ifndef MR_STORAGE_OPEN_H
#define MR_STORAGE_OPEN_H

#include "storage/format.h"
#include "storage/store.h"

/* Where logical blocks [first, end) of a log lie. */
struct open_place {
    uint64_t first, end;
    uint64_t lba;
};

/* The newest whole superblock, its slot, and how many are whole. -ENODATA, -EPROTONOSUPPORT, -EIO,
 * -ECANCELED. */
int open_super(struct mr_dev *dev, struct mr_super *out, unsigned *newest, unsigned *whole);

/* Fills the store; `reason` as in mr_store_open(). */
int open_recover(struct mr_store *store, char *reason, size_t reason_size);

/* The block's place by the log's map, or by an allocation in the set that is not applied yet. */
bool open_place_find(struct mr_store *store, const uint8_t *set, const struct mr_set_header *header,
                     uint64_t log, uint64_t block, struct open_place *out);

/* Replays one record. 0, -EUCLEAN, -ENOMEM. */
int open_apply(struct mr_store *store, const struct mr_rec *rec, uint64_t sequence, bool is_void);

#endif
