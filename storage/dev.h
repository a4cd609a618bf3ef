/* storage/dev.h: the disk contract: a flat space of blocks, asynchronous.
 *
 * Implementations: dev_uring.c (a file or a block device, O_DIRECT; with dev_nvme.c an NVMe drive's
 * own commands), dev_sim.c (tests: loses, tears
 * and reorders what was not flushed), dev_volatile.c (over another device: holds every write in
 * process memory until a flush, so that kill -9 is a power cut).
 *
 * Thread: a device belongs to one thread. Callbacks run inside mr_dev_poll() and mr_dev_wait() (for
 * dev_uring also wherever its ring is reaped), never inside the call that submits.
 * Completion rule: a submitting call cannot fail; `done` runs exactly once, later.
 * Order: operations complete, and reach the medium, in any order. What was written is durable only
 * when a flush that was submitted after the write's callback has run completes with 0, or when the
 * write itself was made with `fua` and completed whole. A crash may keep any subset of the rest,
 * torn at 512 bytes, and a sector that was being written may hold garbage.
 * Source: io_uring_enter(2), open(2) on O_DIRECT, pwritev2(2) on RWF_DSYNC. */
#ifndef MR_STORAGE_DEV_H
#define MR_STORAGE_DEV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "dataplane/base/clock.h"
#include "dataplane/base/list.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/uring.h"

#define MR_DEV_BLOCK   4096u /* the unit of every offset and size */
#define MR_DEV_SECTOR  512u  /* the unit that is written whole or not */
#define MR_DEV_IOV_MAX 512u  /* slices in one read or write */

/* One operation in flight; embedded by the submitter, who may reuse it from within `done`. */
struct mr_dev_io {
    /* @result: 0, or -errno. A read or write that moved fewer bytes than asked ends with -EIO (the
     * device has already tried the rest). After a failed write the blocks hold anything. */
    void (*done)(struct mr_dev_io *io, int result);

    /* Private to the implementation from the call to `done`. */
    struct mr_dev *dev;
    struct mr_uring_op op;
    struct mr_list node;
    struct iovec iov_left; /* the rest of a slice that a short transfer ended in */
    const struct iovec *iov;
    uint64_t offset;
    uint64_t size;
    uint64_t moving; /* bytes of the command under way (dev_nvme, a discard) */
    unsigned iov_count;
    uint8_t kind;
    bool fua;
};

struct mr_dev;

struct mr_dev_ops {
    void (*read)(struct mr_dev *dev, struct mr_dev_io *io);
    void (*write)(struct mr_dev *dev, struct mr_dev_io *io);
    void (*flush)(struct mr_dev *dev, struct mr_dev_io *io);
    void (*discard)(struct mr_dev *dev, struct mr_dev_io *io);
    void (*kick)(struct mr_dev *dev); /* NULL: there is nothing to do */
    int (*poll)(struct mr_dev *dev);
    int (*wait)(struct mr_dev *dev);
    int (*resize)(struct mr_dev *dev);
    bool (*busy)(const struct mr_dev *dev);
    int (*lend)(struct mr_dev *dev, void *base, size_t size);
    void (*close)(struct mr_dev *dev);
};

struct mr_dev {
    const struct mr_dev_ops *ops;
    uint64_t size_bytes; /* a multiple of MR_DEV_BLOCK; grows in mr_dev_resize() only */
};

/* Read into / write from `iov` at byte `offset`. Offset, every slice's address and size are
 * multiples of MR_DEV_BLOCK, except that a slice's size may be any multiple of MR_DEV_SECTOR when
 * it is the only one; the range lies inside the device. `iov` and what it names are lent until
 * `done`. */
void mr_dev_read(struct mr_dev *dev, struct mr_dev_io *io, const struct iovec *iov,
                 unsigned iov_count, uint64_t offset);
void mr_dev_write(struct mr_dev *dev, struct mr_dev_io *io, const struct iovec *iov,
                  unsigned iov_count, uint64_t offset, bool fua);

/* Makes durable exactly the writes whose `done` ran before this call. */
void mr_dev_flush(struct mr_dev *dev, struct mr_dev_io *io);

/* Tells the device that nobody needs these bytes, whole blocks: from this call on, and after
 * crashes, they hold anything until they are written again. Nothing else may be in flight there.
 * -EOPNOTSUPP: the device takes none (a file never does); no error changes what else is promised.
 */
void mr_dev_discard(struct mr_dev *dev, struct mr_dev_io *io, uint64_t offset, uint64_t size);

/* Lets the device begin with what was submitted, while the caller still works on what comes next;
 * otherwise it may begin with the next poll. Runs no callback. */
void mr_dev_kick(struct mr_dev *dev);

/* Runs the callbacks that are due, without sleeping; returns how many, or -ECANCELED. */
int mr_dev_poll(struct mr_dev *dev);

/* Sleeps until at least one callback has run. For opening and closing a store only, never from a
 * running shard. 0, or -ECANCELED when the device is gone (the simulated power was cut): no
 * callback of this device will run any more. */
int mr_dev_wait(struct mr_dev *dev);

/* Takes over the medium's new, larger size after a worker has extended and written it. 0 or
 * -errno. */
int mr_dev_resize(struct mr_dev *dev);

/* Whether operations are in flight whose callbacks only mr_dev_poll() or mr_dev_wait() will run:
 * the thread must not sleep, but poll. */
bool mr_dev_busy(const struct mr_dev *dev);

/* Tells which memory operations will mostly use, until the device is closed: the kernel may pin it
 * once instead of for each of them. 0; -ENOTSUP: makes no difference here; -ENOMEM: more than may
 * be locked (RLIMIT_MEMLOCK); -EMFILE: more huge pages than the kernel takes; or another -errno.
 * All works without. */
int mr_dev_lend(struct mr_dev *dev, void *base, size_t size);

/* Whether nothing but zeros lies in the first and the last MiB, where file systems, partition
 * tables and the like begin or end. Blocking. 0; -EEXIST: something does; or another -errno. */
int mr_dev_check_blank(struct mr_dev *dev);

/* Nothing may be in flight; NULL is fine. */
void mr_dev_close(struct mr_dev *dev);

/* ---- dev_uring ------------------------------------------------------------------------------- */

/* Opens a regular file or a block device with O_DIRECT | O_RDWR and takes an exclusive lock
 * (flock(2)) on it. `uring` outlives the device. -EWOULDBLOCK, or -EBUSY for a block device:
 * another process has it, for some seconds; else -errno. */
int mr_dev_uring_open(const char *path, struct mr_uring *uring, struct mr_dev **out);

/* How a drive is driven. All zeros: as mr_dev_uring_open() does. */
struct mr_dev_options {
    bool flush_writes; /* a FUA write becomes a write and a flush: where the drive's FUA is slow, or
                        * is no promise */
    bool polled;       /* reads and writes through a ring of the device's own, which looks for their
                        * completions in the drive's polled queues instead of taking interrupts */
    bool passthrough;  /* NVMe commands to the namespace's character device, past the block layer */
    bool registered;   /* file and lent memory are registered with the kernel */
    unsigned depth;    /* operations at once, more of them wait; 0: no limit */
};

/* As mr_dev_uring_open(). What the kernel or the drive cannot do is left out with a warning, which
 * names the path. */
int mr_dev_open(const char *path, struct mr_uring *uring, const struct mr_dev_options *options,
                struct mr_dev **out);

/* Creates (or extends) a regular file to `size_bytes`, writes zeros through to the medium and
 * flushes it, so that later writes change no file-system metadata. Blocking: main before launch,
 * or a worker of the control plane. `bytes_per_s` paces it (0: as fast as it goes). -errno; a
 * failed call leaves the file's former size. */
int mr_dev_file_prepare(const char *path, uint64_t size_bytes, uint64_t bytes_per_s);

/* ---- dev_volatile ---------------------------------------------------------------------------- */

/* Takes `inner` over (closes it with itself). Test use only, set by dev.volatile=true. */
int mr_dev_volatile_open(struct mr_dev *inner, struct mr_dev **out);

/* Counts the blocks that all such devices hold, and FUA writes in flight, into `blocks`, which
 * outlives them; call it before the first is opened. A test maps it from a file, to know what a
 * kill took. */
void mr_dev_volatile_gauge(_Atomic uint64_t *blocks);

/* ---- dev_sim --------------------------------------------------------------------------------- */

/* Chances are per operation, in [0, 1]. */
struct mr_dev_sim_config {
    uint64_t size_bytes;
    uint64_t seed;
    double write_fail;     /* EIO; the blocks then hold old, new or garbage sectors, each */
    double read_fail;      /* EIO */
    double flush_fail;     /* EIO */
    double garbage_on_cut; /* a sector that was in flight at a power cut holds garbage */
    unsigned complete_max; /* callbacks one poll may run (0: any number), chosen at random */
};

/* A device over memory whose unflushed writes survive a crash in any subset. It is two things: the
 * medium, which lives through crashes, and the connection to it, which does not. */
struct mr_dev_sim;

struct mr_dev_sim *mr_dev_sim_create(const struct mr_dev_sim_config *config);
void mr_dev_sim_destroy(struct mr_dev_sim *sim);

/* A fresh connection; the one before must have been cut. The returned device is owned by `sim`
 * (mr_dev_close() on it is a no-op). */
struct mr_dev *mr_dev_sim_connect(struct mr_dev_sim *sim);

/* The power goes: operations in flight and writes not flushed survive in any subset, torn. */
void mr_dev_sim_power_cut(struct mr_dev_sim *sim);

/* The process dies (kill -9): the drive keeps what it had completed in its cache, unflushed; each
 * sector in flight may or may not have reached it. */
void mr_dev_sim_kill(struct mr_dev_sim *sim);

/* Cuts the power inside the Nth later operation's submission (1: the next); 0 disarms. After it
 * fired, mr_dev_wait() and mr_dev_poll() return -ECANCELED and no callback runs. */
void mr_dev_sim_cut_after(struct mr_dev_sim *sim, uint64_t operations, bool kill);

/* Spoils the sector at byte `offset` on the medium, cache included. */
void mr_dev_sim_rot(struct mr_dev_sim *sim, uint64_t offset);

/* From now on writes that touch the block at `offset` fail (or stop failing). */
void mr_dev_sim_bad_block(struct mr_dev_sim *sim, uint64_t offset, bool bad);

/* The Nth later operation of a kind fails with EIO: 'r', 'w' or 'f'. 0 disarms. */
void mr_dev_sim_fail_nth(struct mr_dev_sim *sim, char kind, uint64_t n);
/* Whether it has come so far. */
bool mr_dev_sim_failed_nth(const struct mr_dev_sim *sim);

/* No operation completes until it is released again: a stalled drive. */
void mr_dev_sim_stall(struct mr_dev_sim *sim, bool stalled);

/* Operations submitted and not completed. */
unsigned mr_dev_sim_in_flight(const struct mr_dev_sim *sim);

/* Reads the medium as a device read would, for an oracle. */
void mr_dev_sim_peek(const struct mr_dev_sim *sim, uint64_t offset, void *out, size_t size);

/* The medium becomes larger (zeros); mr_dev_resize() takes it over. */
void mr_dev_sim_extend(struct mr_dev_sim *sim, uint64_t size_bytes);

/* A copy of medium and cache, to try something on without spoiling the original. */
struct mr_dev_sim *mr_dev_sim_copy(const struct mr_dev_sim *sim, uint64_t seed);

#endif
