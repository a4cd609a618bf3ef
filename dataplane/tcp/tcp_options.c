/* tcp/tcp_options.c: TCP options: maximum segment size, window scale, SACK, timestamps. */
#include <errno.h>

#include "dataplane/base/endian.h"
#include "dataplane/tcp/tcp_priv.h"

enum {
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_MSS = 2,
    OPTION_WSCALE = 3,
    OPTION_SACK_OK = 4,
    OPTION_SACK = 5,
    OPTION_TS = 8,
};

static void
parse_sack(const uint8_t *at, uint32_t size, struct tcp_options *out)
{
    if ((size - 2) % 8 != 0) {
        return;
    }
    out->block_count = 0;
    for (uint32_t i = 2; i + 8 <= size && out->block_count < TCP_SACK_BLOCKS_MAX; i += 8) {
        out->blocks[out->block_count++] =
            (struct tcp_block){mr_be32_get(at + i), mr_be32_get(at + i + 4)};
    }
}

static void
parse_one(const uint8_t *at, uint32_t size, struct tcp_options *out)
{
    switch (at[0]) {
    case OPTION_MSS:
        if (size == 4) {
            out->mss = mr_be16_get(at + 2);
        }
        break;
    case OPTION_WSCALE:
        if (size == 3) {
            /* RFC 7323 2.3: what is greater counts as 14. */
            out->wscale = at[2] > TCP_WSCALE_MAX ? TCP_WSCALE_MAX : at[2];
            out->has_wscale = true;
        }
        break;
    case OPTION_SACK_OK:
        out->sack_ok = out->sack_ok || size == 2;
        break;
    case OPTION_SACK:
        parse_sack(at, size, out);
        break;
    case OPTION_TS:
        if (size == 10) {
            out->has_ts = true;
            out->ts_val = mr_be32_get(at + 2);
            out->ts_ecr = mr_be32_get(at + 6);
        }
        break;
    default:
        break;
    }
}

int
tcp_options_parse(const uint8_t *at, uint32_t size, struct tcp_options *out)
{
    *out = (struct tcp_options){0};
    while (size > 0) {
        if (at[0] == OPTION_END) {
            return 0;
        }
        if (at[0] == OPTION_NOP) {
            at++;
            size--;
            continue;
        }
        if (size < 2 || at[1] < 2 || at[1] > size) {
            return -EBADMSG;
        }
        parse_one(at, at[1], out);
        size -= at[1];
        at += at[1];
    }
    return 0;
}

static uint8_t *
put_ts(uint8_t *at, const struct tcp_options *options)
{
    *at++ = OPTION_TS;
    *at++ = 10;
    mr_be32_put(at, options->ts_val);
    mr_be32_put(at + 4, options->ts_ecr);
    return at + 8;
}

/* The layout of each is the usual one, so that every option lies on its word where it can. */
uint32_t
tcp_options_build(uint8_t *at, const struct tcp_options *options)
{
    uint8_t *begin = at;

    if (options->mss) {
        *at++ = OPTION_MSS;
        *at++ = 4;
        mr_be16_put(at, options->mss);
        at += 2;
    }
    if (options->sack_ok) {
        if (!options->has_ts) {
            *at++ = OPTION_NOP;
            *at++ = OPTION_NOP;
        }
        *at++ = OPTION_SACK_OK;
        *at++ = 2;
    }
    if (options->has_ts) {
        if (!options->sack_ok) {
            *at++ = OPTION_NOP;
            *at++ = OPTION_NOP;
        }
        at = put_ts(at, options);
    }
    if (options->has_wscale) {
        *at++ = OPTION_NOP;
        *at++ = OPTION_WSCALE;
        *at++ = 3;
        *at++ = options->wscale;
    }
    if (options->block_count > 0) {
        uint32_t room = TCP_OPTIONS_MAX - (uint32_t)(at - begin);
        unsigned count = (unsigned)tcp_min(options->block_count, (room - 4) / 8);

        *at++ = OPTION_NOP;
        *at++ = OPTION_NOP;
        *at++ = OPTION_SACK;
        *at++ = (uint8_t)(2 + 8 * count);
        for (unsigned i = 0; i < count; i++, at += 8) {
            mr_be32_put(at, options->blocks[i].begin);
            mr_be32_put(at + 4, options->blocks[i].end);
        }
    }
    MR_ASSERT((at - begin) % 4 == 0);
    return (uint32_t)(at - begin);
}
