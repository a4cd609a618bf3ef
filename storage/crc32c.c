/* storage/crc32c.c: ISA-L's CRC wrapped once, and the arithmetic that joins two CRCs. */
#include "storage/crc32c.h"

#include <isa-l/crc.h>
#include <string.h>

/* ISA-L takes the length as an int; no single buffer of ours comes near, but the contract is a
 * size_t. */
#define PIECE_MAX ((size_t)1 << 30)

/* What one step of mr_crc32c_copy() handles: small enough to stay in the first-level cache. */
#define COPY_PIECE ((size_t)8192)

/* The polynomial 0x1EDC6F41, bits reflected: bit 31 is x^0. */
#define POLY UINT32_C(0x82F63B78)

/* The order of x divides 2^31 - 1, so the powers x^(2^n) repeat after 31 of them. */
#define POWERS 31u

/* x^(2^n) mod P for n in [0, POWERS). */
static const uint32_t powers[POWERS] = {
    0x40000000, 0x20000000, 0x08000000, 0x00800000, 0x00008000, 0x82F63B78, 0x6EA2D55C, 0x18B8EA18,
    0x510AC59A, 0xB82BE955, 0xB8FDB1E7, 0x88E56F72, 0x74C360A4, 0xE4172B16, 0x0D65762A, 0x35D73A62,
    0x28461564, 0xBF455269, 0xE2EA32DC, 0xFE7740E6, 0xF946610B, 0x3C204F8F, 0x538586E3, 0x59726915,
    0x734D5309, 0xBC1AC763, 0x7D0722CC, 0xD289CABE, 0xE94CA9BC, 0x05B74F3F, 0xA51E1F42,
};

uint32_t
mr_crc32c(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *at = data;

    /* ISA-L works on the raw register; Kafka's CRC-32C inverts it before and after. */
    crc = ~crc;
    while (size > 0) {
        size_t piece = size < PIECE_MAX ? size : PIECE_MAX;

        crc = crc32_iscsi((unsigned char *)(uintptr_t)at, (int)piece, crc);
        at += piece;
        size -= piece;
    }
    return ~crc;
}

uint32_t
mr_crc32c_iov(uint32_t crc, const struct iovec *iov, unsigned iov_count, size_t begin, size_t end)
{
    size_t at = 0;

    for (unsigned i = 0; i < iov_count && at < end; i++) {
        size_t slice_end = at + iov[i].iov_len;
        size_t from = begin > at ? begin : at;
        size_t to = end < slice_end ? end : slice_end;

        if (from < to) {
            crc = mr_crc32c(crc, (const uint8_t *)iov[i].iov_base + (from - at), to - from);
        }
        at = slice_end;
    }
    return crc;
}

uint32_t
mr_crc32c_copy(uint32_t crc, void *to, const void *from, size_t size)
{
    uint8_t *out = to;
    const uint8_t *in = from;

    while (size > 0) {
        size_t piece = size < COPY_PIECE ? size : COPY_PIECE;

        crc = mr_crc32c(crc, in, piece);
        memcpy(out, in, piece);
        in += piece;
        out += piece;
        size -= piece;
    }
    return crc;
}

/* a * b mod P, both reflected. */
static uint32_t
multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;

    for (uint32_t bit = UINT32_C(1) << 31; bit; bit >>= 1) {
        if (a & bit) {
            product ^= b;
        }
        b = (b >> 1) ^ (b & 1 ? POLY : 0);
    }
    return product;
}

uint32_t
mr_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t size_b)
{
    /* Appending B multiplies A's remainder by x^(8 * size_b); the two inversions cancel out. */
    unsigned power = 3;

    for (; size_b; size_b >>= 1) {
        if (size_b & 1) {
            crc_a = multiply(powers[power % POWERS], crc_a);
        }
        power++;
    }
    return crc_a ^ crc_b;
}
