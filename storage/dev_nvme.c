/* storage/dev_nvme.c: reads and writes as NVMe commands (IORING_OP_URING_CMD).
 *
 * The block layer's checks, splitting and accounting are left out, and a FUA write is one for sure.
 * A command's slices go as they are: the kernel maps them, at most `command_bytes` at once. Flushes
 * and discards are left to the block layer: Linux 6.1 crashes when a command without data is polled
 * for.
 * Source: linux/nvme_ioctl.h; NVM Command Set Specification 1.0, 3.2 (Read, Write). */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/nvme_ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dataplane/base/assert.h"
#include "storage/dev_private.h"

#define OPCODE_WRITE      0x01u
#define OPCODE_READ       0x02u
#define CONTROL_FUA       (1u << 30) /* in command dword 12 */
#define PATH_SIZE         256
#define COMMAND_BYTES_MIN (64u * 1024)
#define BLOCKS_MAX        65536u /* the count of blocks has 16 bits, and 0 stands for 1 */

/* What one command may move: the drive's own limit, and the segments that memory may be in, each of
 * which may be one page. */
static uint64_t
command_limit(int block_fd)
{
    uint64_t bytes = dev_queue_limit(block_fd, "max_hw_sectors_kb") * 1024;
    uint64_t segments = dev_queue_limit(block_fd, "max_segments");

    if (segments > 1 && (segments - 1) * MR_DEV_BLOCK < bytes) {
        bytes = (segments - 1) * MR_DEV_BLOCK;
    }
    bytes -= bytes % MR_DEV_BLOCK;
    return bytes > COMMAND_BYTES_MIN ? bytes : COMMAND_BYTES_MIN;
}

int
dev_nvme_open(const char *path, int block_fd, struct dev_nvme *nvme)
{
    const char *name = strrchr(path, '/');
    char other[PATH_SIZE];
    int block_bytes;
    int id;

    name = name ? name + 1 : path;
    if (strncmp(name, "nvme", 4) != 0) {
        return -ENODEV;
    }
    snprintf(other, sizeof(other), "%.*sng%s", (int)(name - path), path, name + 4);
    nvme->fd = open(other, O_RDWR | O_CLOEXEC);
    if (nvme->fd < 0) {
        return -errno;
    }
    id = ioctl(nvme->fd, NVME_IOCTL_ID);
    if (id <= 0 || ioctl(block_fd, BLKSSZGET, &block_bytes) != 0 || block_bytes < 512) {
        close(nvme->fd);
        return -ENODEV;
    }
    nvme->namespace_id = (uint32_t)id;
    nvme->block_shift = (uint32_t)__builtin_ctz((unsigned)block_bytes);
    nvme->command_bytes = command_limit(block_fd);
    if (nvme->command_bytes > (uint64_t)BLOCKS_MAX << nvme->block_shift) {
        nvme->command_bytes = (uint64_t)BLOCKS_MAX << nvme->block_shift;
    }
    return 0;
}

/* The slices that the command takes: whole ones, or the beginning of one that is too large. */
static void
put_slices(const struct dev_nvme *nvme, struct mr_dev_io *io, struct io_uring_sqe *sqe,
           struct nvme_uring_cmd *command)
{
    const struct iovec *iov = io->iov_left.iov_len ? &io->iov_left : io->iov;
    unsigned count = io->iov_left.iov_len ? 1 : io->iov_count;
    unsigned taken = 0;

    io->moving = 0;
    while (taken < count && io->moving + iov[taken].iov_len <= nvme->command_bytes) {
        io->moving += iov[taken++].iov_len;
    }
    if (taken <= 1) {
        io->moving = taken == 1 ? io->moving : nvme->command_bytes;
        sqe->cmd_op = NVME_URING_CMD_IO;
        command->addr = (uint64_t)(uintptr_t)iov[0].iov_base;
        command->data_len = (uint32_t)io->moving;
    } else {
        sqe->cmd_op = NVME_URING_CMD_IO_VEC;
        command->addr = (uint64_t)(uintptr_t)iov;
        command->data_len = taken;
    }
}

void
dev_nvme_prepare(const struct dev_nvme *nvme, struct mr_dev_io *io, struct io_uring_sqe *sqe,
                 bool flush_writes)
{
    struct nvme_uring_cmd *command = (struct nvme_uring_cmd *)sqe->cmd;
    uint64_t block = io->offset >> nvme->block_shift;

    memset(command, 0, sizeof(*command)); /* its end lies beyond what the ring has cleared */
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = nvme->fd;
    command->nsid = nvme->namespace_id;
    put_slices(nvme, io, sqe, command);
    MR_ASSERT(io->moving % (1u << nvme->block_shift) == 0);
    command->opcode = io->kind == DEV_READ ? OPCODE_READ : OPCODE_WRITE;
    command->cdw10 = (uint32_t)block;
    command->cdw11 = (uint32_t)(block >> 32);
    command->cdw12 = (uint32_t)(io->moving >> nvme->block_shift) - 1;
    if (io->kind == DEV_WRITE && io->fua && !flush_writes) {
        command->cdw12 |= CONTROL_FUA;
    }
}
