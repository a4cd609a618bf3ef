/* storage/crc32c.h: CRC-32C (Castagnoli, RFC 3720 appendix B.4), the only user of ISA-L's CRC.
 *
 * Pure functions, any thread. The check value of "123456789" is 0xE3069283. */
#ifndef MR_STORAGE_CRC32C_H
#define MR_STORAGE_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* The CRC of `size` bytes that follow bytes whose CRC is `crc` (0 for none). */
uint32_t mr_crc32c(uint32_t crc, const void *data, size_t size);

/* The same over bytes [begin, end) of a slice list. */
uint32_t mr_crc32c_iov(uint32_t crc, const struct iovec *iov, unsigned iov_count, size_t begin,
                       size_t end);

/* Copies `size` bytes to `to` and returns their CRC after `crc`; piece by piece, so that the copy
 * reads what the CRC has just brought into the cache. */
uint32_t mr_crc32c_copy(uint32_t crc, void *to, const void *from, size_t size);

/* The CRC of A followed by B from CRC(A), CRC(B) and B's size: no byte is read again. */
uint32_t mr_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t size_b);

#endif
