/* tests/unit/tcp/tcp_parts_test.c: the parts of the TCP core that work alone: timer wheel, options,
 * checksums, secrets. */
#include "dataplane/base/clock.h"
#include "dataplane/base/endian.h"
#include "dataplane/base/rng.h"
#include "dataplane/tcp/tcp_priv.h"
#include "tests/mr_test.h"

#define TIMERS 2000

/* Goal: every timer fires once, never early, less than three ticks late. Method: random deadlines
 * from now to beyond the wheel's reach, random moves and cancellations, time in jumps to what the
 * wheel says is next. */
MR_TEST(timers_fire_once_and_in_time)
{
    static struct tcp_timer timers[TIMERS];
    static struct tcp_wheel wheel;
    static uint64_t want[TIMERS]; /* 0: not armed */
    struct mr_rng rng;
    uint64_t now_ns = 12345678;
    unsigned armed = 0;

    mr_rng_init(&rng, 7);
    tcp_wheel_init(&wheel, now_ns);
    for (unsigned i = 0; i < TIMERS; i++) {
        tcp_timer_init(&timers[i], 0);
    }
    for (unsigned round = 0; round < 20000; round++) {
        struct tcp_timer *timer;
        unsigned i = (unsigned)mr_rng_below(&rng, TIMERS);
        uint64_t next_ns;

        if (mr_rng_below(&rng, 4) == 0) {
            armed -= want[i] != 0;
            want[i] = 0;
            tcp_wheel_cancel(&timers[i]);
        } else {
            armed += want[i] == 0;
            want[i] = now_ns + mr_rng_below(&rng, 1ull << mr_rng_below(&rng, 48));
            tcp_wheel_arm(&wheel, &timers[i], want[i]);
        }
        next_ns = tcp_wheel_deadline(&wheel);
        if (next_ns != UINT64_MAX && mr_rng_below(&rng, 3) == 0) {
            now_ns = next_ns > now_ns ? next_ns : now_ns;
        }
        while ((timer = tcp_wheel_next(&wheel, now_ns)) != NULL) {
            uint64_t *deadline = &want[timer - timers];

            MR_CHECK(*deadline != 0);
            MR_CHECK(*deadline <= now_ns);
            MR_CHECK(now_ns - *deadline < 3 * TCP_WHEEL_TICK_NS);
            *deadline = 0;
            armed--;
        }
    }
    while (armed > 0) {
        now_ns = tcp_wheel_deadline(&wheel);
        MR_CHECK(now_ns != UINT64_MAX);
        for (struct tcp_timer *timer; (timer = tcp_wheel_next(&wheel, now_ns)) != NULL; armed--) {
            MR_CHECK(want[timer - timers] != 0 && want[timer - timers] <= now_ns);
            want[timer - timers] = 0;
        }
    }
}

/* Goal: a timer taken out of the wheel leaves nothing behind. */
MR_TEST(a_removed_timer_is_forgotten)
{
    static struct tcp_wheel wheel;
    struct tcp_timer timer;

    tcp_wheel_init(&wheel, 0);
    tcp_timer_init(&timer, 0);
    tcp_wheel_arm(&wheel, &timer, MR_NS_PER_S);
    tcp_wheel_remove(&wheel, &timer);
    MR_CHECK(tcp_wheel_next(&wheel, 2 * MR_NS_PER_S) == NULL);
    MR_CHECK(tcp_wheel_deadline(&wheel) == UINT64_MAX);
}

/* Goal: what is built is read back; what is malformed is refused. */
MR_TEST(options_survive_a_round_trip)
{
    struct tcp_options in = {.mss = 1460,
                             .sack_ok = true,
                             .has_ts = true,
                             .ts_val = 1,
                             .ts_ecr = 2,
                             .has_wscale = true,
                             .wscale = 7};
    struct tcp_options sack = {.has_ts = true, .block_count = 4};
    struct tcp_options out;
    uint8_t bytes[TCP_OPTIONS_MAX];
    uint32_t size = tcp_options_build(bytes, &in);

    MR_CHECK_EQ(size, 20);
    MR_CHECK_EQ(tcp_options_parse(bytes, size, &out), 0);
    MR_CHECK(out.mss == 1460 && out.sack_ok && out.has_ts && out.ts_val == 1 && out.ts_ecr == 2 &&
             out.has_wscale && out.wscale == 7 && out.block_count == 0);
    for (unsigned i = 0; i < 4; i++) {
        sack.blocks[i] = (struct tcp_block){100 * i, 100 * i + 50};
    }
    size = tcp_options_build(bytes, &sack);
    MR_CHECK_EQ(size, TCP_OPTIONS_MAX); /* three blocks fit beside a timestamp */
    MR_CHECK_EQ(tcp_options_parse(bytes, size, &out), 0);
    MR_CHECK_EQ(out.block_count, 3);
    MR_CHECK_EQ(out.blocks[2].end, 250);
    MR_CHECK(tcp_options_parse((const uint8_t *)"\2\5\1\1", 4, &out) != 0);
    MR_CHECK(tcp_options_parse((const uint8_t *)"\1\2\0\1", 4, &out) != 0);
    MR_CHECK(tcp_options_parse((const uint8_t *)"\1\1\1\2", 4, &out) != 0);
    MR_CHECK_EQ(tcp_options_parse((const uint8_t *)"\0\2\0\1", 4, &out), 0);
}

/* Goal: the sum is RFC 1071's whatever the pieces' sizes. Method: against one in a plain loop. */
MR_TEST(checksums_are_right_for_every_size)
{
    uint8_t bytes[100];

    for (unsigned size = 0; size < sizeof(bytes); size++) {
        uint32_t plain = 0;
        uint16_t sum;

        bytes[size] = (uint8_t)(size * 37 + 11);
        for (unsigned i = 0; i <= size; i++) {
            plain += i & 1 ? bytes[i] : (uint32_t)bytes[i] << 8;
        }
        plain = (plain & 0xffff) + (plain >> 16);
        plain = (plain & 0xffff) + (plain >> 16);
        sum = tcp_checksum(0, bytes, size + 1);
        MR_CHECK_EQ(mr_be16_get(&sum), (uint16_t)~plain);
    }
}

/* Goal: the published test vector: key 00 to 0f, input 00 to 0e. */
MR_TEST(siphash_matches_its_test_vector)
{
    uint8_t key[16], input[15];

    for (uint8_t i = 0; i < 16; i++) {
        key[i] = i;
    }
    for (uint8_t i = 0; i < 15; i++) {
        input[i] = i;
    }
    MR_CHECK(tcp_siphash(key, input, sizeof(input)) == 0xa129ca6149be45e5ull);
}

/* Goal: a cookie is known for two periods and to nobody else's ports. */
MR_TEST(cookies_are_known_for_a_while)
{
    static struct mr_tcp tcp;
    struct mr_tcp_packet packet = {.source = 1, .destination = 2};
    struct tcp_segment syn = {.packet = &packet, .source_port = 3, .destination_port = 4};
    struct tcp_segment ack = syn;
    struct tcp_options options;
    uint64_t now_ns = 1000 * MR_NS_PER_S;
    uint32_t ts;

    syn.seq = 77;
    syn.options = (struct tcp_options){
        .mss = 1460, .has_ts = true, .sack_ok = true, .has_wscale = true, .wscale = 9};
    ack.seq = 78;
    ack.ack = tcp_cookie_make(&tcp, &syn, &ts, now_ns) + 1;
    ack.options = (struct tcp_options){.has_ts = true, .ts_ecr = ts};
    MR_CHECK(tcp_cookie_check(&tcp, &ack, &options, now_ns));
    MR_CHECK(options.mss == 1460 && options.sack_ok && options.has_wscale && options.wscale == 9);
    MR_CHECK(tcp_cookie_check(&tcp, &ack, &options, now_ns + 128 * MR_NS_PER_S));
    MR_CHECK(!tcp_cookie_check(&tcp, &ack, &options, now_ns + 256 * MR_NS_PER_S));
    ack.source_port++;
    MR_CHECK(!tcp_cookie_check(&tcp, &ack, &options, now_ns));
}

MR_TEST_MAIN(MR_TEST_CASE(timers_fire_once_and_in_time), MR_TEST_CASE(a_removed_timer_is_forgotten),
             MR_TEST_CASE(options_survive_a_round_trip),
             MR_TEST_CASE(checksums_are_right_for_every_size),
             MR_TEST_CASE(siphash_matches_its_test_vector),
             MR_TEST_CASE(cookies_are_known_for_a_while))
