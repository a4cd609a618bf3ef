/* tests/unit/storage/crc32c_test.c: CRC-32C against a bitwise reference. */
#include "storage/crc32c.h"

#include "dataplane/base/rng.h"
#include "tests/mr_test.h"

static uint32_t
reference(uint32_t crc, const uint8_t *data, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0);
        }
    }
    return ~crc;
}

static uint8_t bytes[100000];
static uint8_t copy[100000];

static void
fill(uint64_t seed)
{
    struct mr_rng rng;

    mr_rng_init(&rng, seed);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)mr_rng_next(&rng);
    }
}

/* Goal: the convention is Kafka's. Method: the published check value. */
MR_TEST(check_value_is_as_published)
{
    MR_CHECK_EQ(mr_crc32c(0, "123456789", 9), 0xE3069283u);
    MR_CHECK_EQ(mr_crc32c(0, "", 0), 0);
}

/* Goal: every length and alignment agrees with the definition, in pieces and copied as well. */
MR_TEST(agrees_with_the_bitwise_reference)
{
    fill(1);
    for (size_t size = 0; size < 600; size++) {
        uint32_t want = reference(0, bytes + size % 7, size);
        size_t half = size / 3;

        MR_CHECK_EQ(mr_crc32c(0, bytes + size % 7, size), want);
        MR_CHECK_EQ(
            mr_crc32c(mr_crc32c(0, bytes + size % 7, half), bytes + size % 7 + half, size - half),
            want);
        MR_CHECK_EQ(mr_crc32c_copy(0, copy, bytes + size % 7, size), want);
        MR_CHECK(memcmp(copy, bytes + size % 7, size) == 0);
    }
    MR_CHECK_EQ(mr_crc32c_copy(7, copy, bytes, sizeof(bytes)), reference(7, bytes, sizeof(bytes)));
    MR_CHECK(memcmp(copy, bytes, sizeof(bytes)) == 0);
}

/* Goal: a range over slices is the range over the joined bytes. Method: all ranges over uneven
 * slices, an empty one among them. */
MR_TEST(slice_ranges_are_the_joined_bytes)
{
    struct iovec iov[5];
    const size_t sizes[5] = {1, 40, 0, 3, 20};
    size_t at = 0;

    fill(2);
    for (int i = 0; i < 5; i++) {
        iov[i] = (struct iovec){bytes + at, sizes[i]};
        at += sizes[i];
    }
    for (size_t begin = 0; begin <= at; begin++) {
        for (size_t end = begin; end <= at; end++) {
            MR_CHECK_EQ(mr_crc32c_iov(0, iov, 5, begin, end),
                        reference(0, bytes + begin, end - begin));
        }
    }
}

/* Goal: joining CRCs reads no byte and is exact for any size. Method: random splits; a size beyond
 * 32 bits by joining zeros twice. */
MR_TEST(combined_crcs_equal_the_whole)
{
    struct mr_rng rng;
    uint32_t a, b;

    fill(3);
    mr_rng_init(&rng, 4);
    for (int i = 0; i < 300; i++) {
        size_t size = mr_rng_below(&rng, sizeof(bytes) + 1);
        size_t cut = mr_rng_below(&rng, size + 1);

        a = mr_crc32c(0, bytes, cut);
        b = mr_crc32c(0, bytes + cut, size - cut);
        MR_CHECK_EQ(mr_crc32c_combine(a, b, size - cut), mr_crc32c(0, bytes, size));
    }
    a = mr_crc32c_combine(mr_crc32c_combine(5, 0, UINT64_C(1) << 33), 0, 77);
    b = mr_crc32c_combine(5, 0, (UINT64_C(1) << 33) + 77);
    MR_CHECK_EQ(a, b);
}

MR_TEST_MAIN(MR_TEST_CASE(check_value_is_as_published),
             MR_TEST_CASE(agrees_with_the_bitwise_reference),
             MR_TEST_CASE(slice_ranges_are_the_joined_bytes),
             MR_TEST_CASE(combined_crcs_equal_the_whole))
