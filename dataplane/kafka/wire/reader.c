/* kafka/wire/reader.c: what the decoder reads when it is not just the next bytes of a slice. */
#include "dataplane/kafka/wire/reader.h"

#include "dataplane/base/assert.h"

#define UVARINT_SIZE_MAX 5

void
mr_wire_in_init(struct mr_wire_in *in, const struct iovec *slices, size_t count, size_t size)
{
    *in = (struct mr_wire_in){.next = slices, .left = size};
    if (count > 0) {
        in->at = slices[0].iov_base;
        in->end = in->at + slices[0].iov_len;
        in->next = slices + 1;
        in->next_end = slices + count;
    } else {
        in->next_end = slices;
    }
}

/* Returns the number of bytes at in->at, up to `size`, after moving to a slice that has some;
 * `size` is within in->left, so that there is one. */
static size_t
piece(struct mr_wire_in *in, uint64_t size)
{
    size_t here;

    while (in->at == in->end) {
        MR_ASSERT(in->next < in->next_end);
        in->at = in->next->iov_base;
        in->end = in->at + in->next->iov_len;
        in->next++;
    }
    here = (size_t)(in->end - in->at);
    return here < size ? here : (size_t)size;
}

int
reader_copy_slow(struct mr_wire_in *in, void *out, size_t size)
{
    uint8_t *to = out;

    if (size > in->left) {
        return -EBADMSG;
    }
    in->left -= size;
    while (size > 0) {
        size_t n = piece(in, size);

        memcpy(to, in->at, n);
        in->at += n;
        to += n;
        size -= n;
    }
    return 0;
}

int
reader_uvarint_slow(struct mr_wire_in *in, uint32_t *out)
{
    uint64_t value = 0;

    for (int i = 0; i < UVARINT_SIZE_MAX; i++) {
        uint8_t byte;
        int rc = reader_copy(in, &byte, 1);

        if (rc) {
            return rc;
        }
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            if (value > UINT32_MAX) {
                return -EBADMSG;
            }
            *out = (uint32_t)value;
            return 0;
        }
    }
    return -EBADMSG;
}

int
reader_view(struct mr_wire_in *in, struct mr_bump *bump, size_t size, const uint8_t **out)
{
    uint8_t *copy;

    if (size == 0) {
        *out = in->at;
        return 0;
    }
    if (size > in->left) {
        return -EBADMSG;
    }
    if (size <= (size_t)(in->end - in->at) || piece(in, size) == size) {
        *out = in->at;
        in->at += size;
        in->left -= size;
        return 0;
    }
    copy = mr_bump_alloc(bump, size);
    if (!copy) {
        return -ENOMEM;
    }
    *out = copy;
    return reader_copy_slow(in, copy, size);
}

int
reader_records(struct mr_wire_in *in, struct mr_bump *bump, size_t size,
               struct mr_wire_records *out)
{
    struct mr_wire_in ahead = *in;
    struct iovec *iov;
    uint32_t count = 0;
    size_t rest;

    if (size > in->left) {
        return -EBADMSG;
    }
    for (rest = size; rest > 0; count++) {
        size_t n = piece(&ahead, rest);

        ahead.at += n;
        rest -= n;
    }
    iov = mr_bump_alloc(bump, count * sizeof(*iov));
    if (!iov) {
        return -ENOMEM;
    }
    in->left -= size;
    rest = size;
    for (uint32_t i = 0; i < count; i++) {
        size_t n = piece(in, rest);

        iov[i] = (struct iovec){(void *)(uintptr_t)in->at, n};
        in->at += n;
        rest -= n;
    }
    *out = (struct mr_wire_records){iov, count, (int32_t)size};
    return 0;
}

int
reader_skip(struct mr_wire_in *in, uint64_t size)
{
    if (size > in->left) {
        return -EBADMSG;
    }
    in->left -= size;
    while (size > 0) {
        size_t n = piece(in, size);

        in->at += n;
        size -= n;
    }
    return 0;
}
