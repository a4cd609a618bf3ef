/* base/utf8.h: the characters of UTF-8 text that a client has sent, which may be any bytes. */
#ifndef MR_BASE_UTF8_H
#define MR_BASE_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#define MR_UTF8_BAD 0xfffdu /* also a character of its own, of three bytes */

static inline bool
mr_utf8_is_code(uint32_t code, int32_t more)
{
    return code >= (more == 1   ? 0x80u
                    : more == 2 ? 0x800u
                                : 0x10000u) &&
           code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
}

/* The character at `at`, of `left` bytes at least one, and its bytes. A byte that begins none is
 * MR_UTF8_BAD, and one byte. */
static inline uint32_t
mr_utf8_next(const uint8_t *at, int32_t left, int32_t *size)
{
    uint32_t code = at[0];
    int32_t more = code < 0x80 ? 0 : code < 0xc2 ? -1 : code < 0xe0 ? 1 : code < 0xf0 ? 2 : 3;

    *size = 1;
    if (more == 0) {
        return code;
    }
    if (more < 0 || code > 0xf4 || more >= left) {
        return MR_UTF8_BAD;
    }
    code &= 0x3fu >> more;
    for (int32_t i = 1; i <= more; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return MR_UTF8_BAD;
        }
        code = code << 6 | (at[i] & 0x3f);
    }
    if (!mr_utf8_is_code(code, more)) {
        return MR_UTF8_BAD;
    }
    *size = more + 1;
    return code;
}

#endif
