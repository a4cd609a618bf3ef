/* tests/sim/tcp_sim.c: two of our TCPs over a bad wire.
 *
 * Each seed draws a scenario, a wire and two configurations. Whatever the wire does: every byte
 * arrives once and right, every connection ends, and every pool is full again afterwards. At the
 * end the episodes of loss recovery are counted, since a run that never came there shows nothing.
 *
 *     tcp_sim [--seeds N] [--seed N] [--trace] */
#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include "dataplane/base/endian.h"
#include "dataplane/tcp/tcp_priv.h"
#include "tests/mr_test.h"
#include "tests/sim/tcp_app.h"

#define LIMIT_NS (4000ull * MR_NS_PER_S)

enum scenario {
    BULK,
    BOTH_WAYS,
    PING_PONG,
    SEVERAL,
    SIMULTANEOUS_OPEN,
    SIMULTANEOUS_CLOSE,
    ZERO_WINDOW,
    MTU_CHANGE,
    BLACK_HOLE,
    OUTAGE,
    DELAY_SPIKE,
    HALF_OPEN,
    LIAR,
    LONG,
    SCENARIOS,
};

static const char *const scenario_names[SCENARIOS] = {
    "bulk",        "both ways",  "ping pong",  "several", "simultaneous open", "simultaneous close",
    "zero window", "mtu change", "black hole", "outage",  "delay spike",       "half open",
    "liar",        "long",
};

static struct mr_tcp_stats totals;
static uint64_t scenario_counts[SCENARIOS];
static uint64_t bytes_total;
static uint64_t corrupted_total;
static bool tracing;

/* ---- drawing ----------------------------------------------------------------------------------
 */

static uint64_t
below(struct app *app, uint64_t bound)
{
    return mr_rng_below(&app->world.rng, bound);
}

static void
draw_link(struct app *app, struct world_link *link)
{
    static const uint32_t losses[] = {0, 0, 1000, 10000, 50000};
    static const uint64_t delays[] = {5000, 100000, 1000000, 20000000, 100000000};

    *link = (struct world_link){
        .loss_ppm = losses[below(app, 5)],
        .duplicate_ppm = below(app, 4) == 0 ? 10000 : 0,
        .corrupt_ppm = below(app, 4) == 0 ? 5000 : 0,
        .reorder_ppm = below(app, 3) == 0 ? 30000 : 0,
        .delay_ns = delays[below(app, 5)],
    };
    link->reorder_ns = 1 + below(app, 2 * link->delay_ns);
    if (below(app, 3) == 0) {
        link->ns_per_kib = 8000 + below(app, 400000);
        link->queue_ns = 2 * link->delay_ns + 30000 * 1000;
        link->ce = true;
    }
}

static void
draw_config(struct app *app, struct mr_tcp_config *config)
{
    static const uint32_t mtus[] = {576, 1500, 1500, 1500, 9000};

    mr_tcp_config_init(config);
    config->mtu = mtus[below(app, 5)];
    config->tso_max = below(app, 3) == 0 ? 65000 : 0;
    config->conns_max = 64;
    config->half_open_max = below(app, 4) == 0 ? 0 : 32; /* 0: cookies only */
    config->segments_max = below(app, 4) == 0 ? 64 : 4096;
    config->reorder_max = below(app, 4) == 0 ? 16 : 2048;
    config->conn_reorder_max = config->reorder_max;
    config->conn_queued_max = 4096;
    config->receive_buffer_min = 4096u << below(app, 6);
    config->receive_buffer_max = config->receive_buffer_min << below(app, 4);
    config->cc = below(app, 3) == 0 ? MR_TCP_CC_NEWRENO : MR_TCP_CC_CUBIC;
    config->timestamps = below(app, 4) != 0;
    config->sack = below(app, 4) != 0;
    config->window_scale = below(app, 4) != 0;
    config->rack = below(app, 3) != 0;
    config->hystart = below(app, 3) != 0;
    config->ecn = below(app, 4) != 0;
    config->time_wait_ns = 60 * MR_NS_PER_S;
    config->retries_max = 40;
    config->synack_retries_max = 20;
    config->syn_retries_max = 20;
    config->rto_max_ns = 10 * MR_NS_PER_S;
    config->linger_ns = 3000 * MR_NS_PER_S;
    config->mtu_raise_ns = MR_NS_PER_S / 2;
}

/* A long way with a deep queue before a slow hop: what slow start should notice in time. */
static void
draw_long(struct app *app, struct world_link *link, struct mr_tcp_config *config)
{
    link->loss_ppm = below(app, 3) ? 0 : link->loss_ppm / 50;
    link->corrupt_ppm = 0;
    link->reorder_ppm = 0;
    link->delay_ns = (5 + below(app, 40)) * MR_NS_PER_MS;
    link->ns_per_kib = 50000 + below(app, 400000);
    link->queue_ns = 4 * link->delay_ns + 200 * MR_NS_PER_MS;
    link->ce = true;
    config->segments_max = 8192;
    config->reorder_max = 8192;
    config->conn_reorder_max = 8192;
    config->receive_buffer_min = 65536;
    config->receive_buffer_max = 4u << 20;
    config->window_scale = true;
    config->hystart = true;
    config->ecn = true;
}

static void
draw_end(struct app *app, struct app_end *end)
{
    end->chunk = 1u << (4 + below(app, 13));
    end->pending_max = 1 + (unsigned)below(app, 16);
    if (below(app, 4) == 0) {
        end->hold_ns = 1 + below(app, 50 * MR_NS_PER_MS);
    }
}

/* Who sends a few bytes a round trip would never be done. */
static void
limit_total(struct app_end *end)
{
    uint64_t most = 400ull * end->chunk * end->pending_max;

    end->send_total = end->send_total < most ? end->send_total : most;
}

static uint64_t
draw_size(struct app *app)
{
    return below(app, 1ull << (6 + below(app, 13)));
}

/* ---- a peer that lies -------------------------------------------------------------------------
 */

/* Beside what host 1 says: acknowledgements of what was never sent, windows that shrink, SACK
 * blocks out of range, resets and SYNs in the window but not at its edge. */
static void
lie(struct world *world, struct world_host *from, struct world_frame *frame)
{
    struct world_frame *copy;
    uint8_t *tcp;
    uint32_t header;

    if (from->index != 1 || !world_chance(world, 100000)) {
        return;
    }
    header = (uint32_t)(frame->bytes[TCP_IP_SIZE + 12] >> 4) * 4;
    if (frame->bytes[TCP_IP_SIZE + 13] & (TCP_SYN | TCP_RST | TCP_FIN)) {
        return;
    }
    copy = world_frame_copy(frame);
    copy->size = TCP_IP_SIZE + header;
    tcp = copy->bytes + TCP_IP_SIZE;
    switch (mr_rng_below(&world->rng, 6)) {
    case 0: /* ACK of what was never sent */
        mr_be32_put(tcp + 8, mr_be32_get(tcp + 8) + (1u << 28));
        break;
    case 1: /* a window that shrinks */
        mr_be16_put(tcp + 14, (uint16_t)mr_rng_below(&world->rng, 3));
        break;
    case 2: /* SACK beyond what was sent */
        if (header + 12 <= TCP_HEADER_MAX) {
            copy = realloc(copy, sizeof(*copy) + copy->size + 12);
            MR_CHECK(copy != NULL);
            tcp = copy->bytes + TCP_IP_SIZE;
            memcpy(tcp + header, "\1\1\5\12", 4);
            mr_be32_put(tcp + header + 4, mr_be32_get(tcp + 8) + (1u << 27));
            mr_be32_put(tcp + header + 8, mr_be32_get(tcp + 8) + (1u << 28));
            tcp[12] = (uint8_t)((header + 12) / 4 << 4);
            copy->size += 12;
        }
        break;
    case 3: /* RST in the window */
        tcp[13] |= TCP_RST;
        mr_be32_put(tcp + 4, mr_be32_get(tcp + 4) + 7);
        break;
    case 4: /* SYN in the window */
        tcp[13] |= TCP_SYN;
        break;
    default: /* an ACK from long ago */
        mr_be32_put(tcp + 8, mr_be32_get(tcp + 8) - (1u << 29));
        break;
    }
    mr_be16_put(copy->bytes + 2, (uint16_t)copy->size);
    world_frame_seal(copy);
    copy->to = 0;
    world_send(world, copy, from->link.delay_ns);
}

/* ---- tracing ----------------------------------------------------------------------------------
 */

static void
trace(struct world *world, const struct world_frame *frame, const char *what)
{
    const uint8_t *tcp = frame->bytes + TCP_IP_SIZE;
    uint32_t header = (uint32_t)(tcp[12] >> 4) * 4;
    struct tcp_options options;

    printf("%12.6f %s %u %-8s", (double)world->now_ns * 1e-9, frame->to ? "->" : "<-",
           mr_be16_get(tcp + (frame->to ? 0 : 2)), what);
    for (unsigned i = 0; i < 8; i++) {
        if (tcp[13] & 1 << i) {
            putchar("FSRP.UEC"[i]);
        }
    }
    printf(" %u(%u) ack %u win %u", mr_be32_get(tcp + 4), frame->size - TCP_IP_SIZE - header,
           mr_be32_get(tcp + 8), mr_be16_get(tcp + 14));
    if (tcp_options_parse(tcp + 20, header - 20, &options) == 0) {
        if (options.has_ts) {
            printf(" ts %u %u", options.ts_val, options.ts_ecr);
        }
        for (unsigned i = 0; i < options.block_count; i++) {
            printf(" sack %u:%u", options.blocks[i].begin, options.blocks[i].end);
        }
    }
    putchar('\n');
}

/* ---- scenarios --------------------------------------------------------------------------------
 */

static void
add_totals(const struct app *app)
{
    for (unsigned i = 0; i < WORLD_HOSTS; i++) {
        if (app->world.hosts[i].tcp) {
            const uint64_t *from = (const uint64_t *)mr_tcp_stats(app->world.hosts[i].tcp);
            uint64_t *to = (uint64_t *)&totals;

            for (size_t j = 0; j < sizeof(totals) / sizeof(*to); j++) {
                to[j] += from[j];
            }
        }
    }
    corrupted_total += app->world.corrupted;
}

static bool
run_for(struct app *app, uint64_t ns)
{
    return app_run(app, ns);
}

static void
play_connect(struct app *app, enum scenario scenario)
{
    unsigned count = scenario == SEVERAL ? 2 + (unsigned)below(app, 20) : 1;

    for (unsigned i = 0; i < count; i++) {
        struct app_end *end;
        uint64_t there = draw_size(app);
        uint64_t back = scenario == BULK ? 0 : draw_size(app);

        if (scenario == PING_PONG) {
            back = there;
        }
        end = scenario == SIMULTANEOUS_OPEN
                  ? app_connect_both(app, there, back)
                  : app_connect(app, (unsigned)below(app, 2), there, back);
        draw_end(app, end);
        draw_end(app, end->peer);
        if (scenario == PING_PONG) {
            end->lockstep = true;
            end->peer->lockstep = true;
            end->chunk = end->peer->chunk = 1 + (unsigned)below(app, 2000);
            end->send_total %= 100 * end->chunk;
            end->peer->send_total = end->send_total;
        }
        limit_total(end);
        limit_total(end->peer);
        if (scenario == SIMULTANEOUS_CLOSE) {
            end->send_total = 100 + below(app, 100);
            end->peer->send_total = 100 + below(app, 100);
            end->chunk = end->peer->chunk = 300;
        }
        if (scenario == ZERO_WINDOW) {
            end->send_total += 1u << 17;
            end->peer->hold_ns = (1 + below(app, 20)) * MR_NS_PER_S;
        }
        if (scenario == LONG) {
            end->send_total += (1u << 20) + below(app, 3u << 20);
            end->chunk = 65536;
        }
        if (scenario >= MTU_CHANGE && scenario <= DELAY_SPIKE) {
            end->send_total += 1u << 17;
            end->chunk = 65536;
        }
    }
}

/* What happens to the wire in the midst of it. */
static void
play_event(struct app *app, enum scenario scenario)
{
    struct world_link *links[2] = {&app->world.hosts[0].link, &app->world.hosts[1].link};
    uint64_t rtt_ns = links[0]->delay_ns + links[1]->delay_ns;
    unsigned which = (unsigned)below(app, 2);

    switch (scenario) {
    case MTU_CHANGE:
    case BLACK_HOLE:
        run_for(app, below(app, 6) * rtt_ns + 1);
        for (unsigned i = 0; i < 2; i++) {
            links[i]->mtu = scenario == BLACK_HOLE ? 576 + (uint32_t)below(app, 300)
                                                   : 600 + (uint32_t)below(app, 800);
            links[i]->icmp = scenario == MTU_CHANGE;
        }
        break;
    case OUTAGE:
        run_for(app, below(app, 6) * rtt_ns + 1);
        links[which]->down = true;
        run_for(app, below(app, 5 * MR_NS_PER_S));
        links[which]->down = false;
        break;
    case DELAY_SPIKE:
        for (unsigned i = 0; i < 3; i++) {
            run_for(app, (2 + below(app, 6)) * rtt_ns + 1);
            links[which]->delay_ns += 300 * MR_NS_PER_MS;
            run_for(app, below(app, 2 * MR_NS_PER_S));
            links[which]->delay_ns -= 300 * MR_NS_PER_MS;
        }
        break;
    case LIAR:
        app->world.mutate = lie;
        break;
    default:
        break;
    }
}

static bool
check_data(struct app *app)
{
    bool good = app->corrupt == 0;

    for (unsigned i = 0; i < app->end_count; i++) {
        const struct app_end *end = &app->ends[i];
        const struct app_end *peer = end->peer;

        if (!end->closed || end->reason != 0 || end->received != peer->send_total ||
            end->done != end->send_total || end->failed != 0) {
            printf("end %u: closed %d reason %d received %" PRIu64 " of %" PRIu64 ", done %" PRIu64
                   " of %" PRIu64 ", failed %" PRIu64 "\n",
                   i, end->closed, end->reason, end->received, peer->send_total, end->done,
                   end->send_total, end->failed);
            good = false;
        }
        bytes_total += end->received;
    }
    if (app->corrupt) {
        printf("%" PRIu64 " bytes were wrong\n", app->corrupt);
    }
    return good;
}

/* One host forgets everything; the other must notice as soon as it sends, or by keepalive. */
static bool
play_half_open(struct app *app, struct mr_tcp_config *configs)
{
    struct app_end *end;
    bool good;

    configs[0].keepalive_idle_ns = 10 * MR_NS_PER_S;
    configs[0].keepalive_interval_ns = MR_NS_PER_S;
    app_host(app, 0, &configs[0]);
    app_host(app, 1, &configs[1]);
    end = app_connect(app, 0, draw_size(app), 0);
    draw_end(app, end);
    end->peer->send_total = 1u << 30; /* so that it does not end by itself */
    end->peer->pending_max = 1;
    end->send_total = below(app, 2) ? end->send_total : 1u << 30;
    run_for(app, below(app, 10) * MR_NS_PER_MS);
    world_host_stop(&app->world, 1);
    app_forget(end->peer);
    if (below(app, 2)) {
        app_host(app, 1, &configs[1]);
    }
    good = app_run(app, LIMIT_NS);
    if (!good) {
        printf("the surviving end is stuck\n");
    }
    return good && app->corrupt == 0;
}

static bool
play(struct app *app, enum scenario scenario)
{
    struct mr_tcp_config configs[WORLD_HOSTS];
    bool good;

    for (unsigned i = 0; i < WORLD_HOSTS; i++) {
        draw_link(app, &app->world.hosts[i].link);
        draw_config(app, &configs[i]);
        if (scenario == LONG) {
            draw_long(app, &app->world.hosts[i].link, &configs[i]);
        }
        app->world.hosts[i].refuse_ppm = below(app, 5) == 0 ? 20000 : 0;
    }
    app->world.trace = tracing ? trace : NULL;
    if (scenario == HALF_OPEN) {
        return play_half_open(app, configs);
    }
    app_host(app, 0, &configs[0]);
    app_host(app, 1, &configs[1]);
    play_connect(app, scenario);
    play_event(app, scenario);
    good = app_run(app, LIMIT_NS);
    if (!good) {
        printf("stuck after %u s\n", (unsigned)(LIMIT_NS / MR_NS_PER_S));
    }
    return check_data(app) && good;
}

static bool
run_seed(uint64_t seed)
{
    static struct app app;
    enum scenario scenario = (enum scenario)(seed % SCENARIOS);
    bool good;

    app_init(&app, seed);
    scenario_counts[scenario]++;
    good = play(&app, scenario);
    if (good) {
        app_settle(&app);
        good = app_clean(&app);
    }
    add_totals(&app);
    if (!good) {
        printf("FAILED: --seed %" PRIu64 " (%s)\n", seed, scenario_names[scenario]);
    }
    app_destroy(&app);
    return good;
}

/* ---- what was reached -------------------------------------------------------------------------
 */

static bool
reached(const char *name, uint64_t count, uint64_t want)
{
    printf("%10" PRIu64 "  %s%s\n", count, name, count < want ? "   TOO FEW" : "");
    return count >= want;
}

static bool
print_totals(bool judge)
{
    uint64_t want = judge ? 100 : 0;
    bool good = true;

    good &= reached("fast recoveries", totals.fast_recoveries, want);
    good &= reached("RACK recoveries", totals.rack_recoveries, want);
    good &= reached("tail loss probes", totals.probes_out, want);
    good &= reached("losses repaired by a probe", totals.probe_repairs, want);
    good &= reached("timeouts", totals.timeouts, want);
    good &= reached("recoveries undone", totals.undone_recoveries, want);
    good &= reached("timeouts undone", totals.undone_timeouts, want);
    good &= reached("window probes", totals.window_probes, want);
    good &= reached("ICMP path MTU", totals.mtu_reduced, want);
    good &= reached("black holes", totals.black_holes, want);
    good &= reached("larger segments tried", totals.mtu_probes, want);
    good &= reached("larger segments found to arrive", totals.mtu_raised, want);
    good &= reached("cookies accepted", totals.cookies_good, want);
    good &= reached("challenge ACKs", totals.challenge_acks, want);
    good &= reached("ECN reductions", totals.ecn_reductions, want);
    good &= reached("HyStart++ exits", totals.hystart_exits, want / 10);
    good &= reached("bad checksums", totals.bad_checksum, want);
    good &= reached("SACK blocks that lied", totals.bad_sack, want);
    for (unsigned i = 0; i < SCENARIOS; i++) {
        printf("%s%s %" PRIu64, i ? ", " : "            ", scenario_names[i], scenario_counts[i]);
    }
    putchar('\n');
    printf("%10" PRIu64 "  bytes, %" PRIu64 " retransmitted, %" PRIu64 " packets, %" PRIu64
           " corrupted\n",
           bytes_total, totals.bytes_retransmitted, totals.packets_out, corrupted_total);
    return good;
}

int
main(int argc, char **argv)
{
    uint64_t begin = 0;
    uint64_t end = 5000;
    uint64_t failed = 0;
    struct timespec start, stop;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            begin = strtoull(argv[++i], NULL, 0);
            end = begin + 1;
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            end = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--trace") == 0) {
            tracing = true;
        } else {
            fprintf(stderr, "usage: tcp_sim [--seeds N] [--seed N] [--trace]\n");
            return 2;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    printf("seeds %" PRIu64 " to %" PRIu64 "\n", begin, end - 1);
    for (uint64_t seed = begin; seed < end && failed < 20; seed++) {
        failed += !run_seed(seed);
    }
    clock_gettime(CLOCK_MONOTONIC, &stop);
    printf("%.1f s, %" PRIu64 " failed\n",
           (double)(stop.tv_sec - start.tv_sec) + (double)(stop.tv_nsec - start.tv_nsec) * 1e-9,
           failed);
    if (!print_totals(end - begin >= 5000) || failed > 0) {
        return 1;
    }
    return 0;
}
