/* tests/net/script_packets.c: packets of a script, in and out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/endian.h"
#include "tests/net/script_run.h"

struct run_packet {
    struct mr_tcp_packet packet;
    uint8_t bytes[];
};

/* ---- timestamps -------------------------------------------------------------------------------
 */

/* A script names timestamps of ours as it likes: each value stands for what we sent with it. */
static bool
map_find(const struct run *run, uint32_t script, uint32_t *live)
{
    for (unsigned i = 0; i < run->map_count; i++) {
        if (run->map[i].script == script) {
            *live = run->map[i].live;
            return true;
        }
    }
    return false;
}

static uint32_t
ecr_live(const struct run *run, uint32_t script)
{
    uint32_t live;

    if (script == 0 || map_find(run, script, &live)) {
        return script == 0 ? 0 : live;
    }
    return run->map_count ? script - run->map[0].script + run->map[0].live : script;
}

static bool
map_agrees(struct run *run, uint32_t script, uint32_t live)
{
    uint32_t known;

    if (map_find(run, script, &known)) {
        return known == live;
    }
    if (run->map_count < RUN_MAP_MAX) {
        run->map[run->map_count++] = (struct run_map){script, live};
    }
    return true;
}

/* ---- text -------------------------------------------------------------------------------------
 */

static void
print_options(const struct script_packet *packet)
{
    static const char *const names[] = {"nop",    "eol",  "mss", "wscale",
                                        "sackOK", "sack", "TS",  "other"};

    if (packet->any_options) {
        printf(" <...>");
        return;
    }
    for (unsigned i = 0; i < packet->option_count; i++) {
        const struct script_option *option = &packet->options[i];

        printf("%s%s", i ? "," : " <", names[option->kind]);
        if (option->kind == SCRIPT_OPTION_MSS || option->kind == SCRIPT_OPTION_WSCALE) {
            printf(" %u", option->value);
        } else if (option->kind == SCRIPT_OPTION_TS) {
            printf(" val %u ecr %u", option->value, option->ecr);
        }
        for (unsigned j = 0; j < option->block_count; j++) {
            printf(" %u:%u", option->blocks[j][0], option->blocks[j][1]);
        }
        printf("%s", i + 1 == packet->option_count ? ">" : "");
    }
}

static void
print_packet(const char *what, const struct script_packet *packet)
{
    printf("    %s ", what);
    for (unsigned i = 0; i < 8; i++) {
        if (packet->flags & 1 << i) {
            putchar("FSRP.UEW"[i]);
        }
    }
    printf("%s %u:%u(%u)", packet->flags ? "" : "-", packet->seq, packet->end, packet->size);
    if (packet->has_ack) {
        printf(" ack %u", packet->ack);
    }
    if (packet->window >= 0) {
        printf(" win %d", packet->window);
    }
    print_options(packet);
    putchar('\n');
}

/* ---- out --------------------------------------------------------------------------------------
 */

static void
read_options(const uint8_t *at, uint32_t size, struct script_packet *packet)
{
    while (size > 0 && packet->option_count < SCRIPT_OPTIONS_MAX) {
        struct script_option *option = &packet->options[packet->option_count++];
        uint32_t step = at[0] <= 1 ? 1 : at[1];

        *option = (struct script_option){.kind = SCRIPT_OPTION_OTHER};
        switch (at[0]) {
        case 0:
            option->kind = SCRIPT_OPTION_EOL;
            break;
        case 1:
            option->kind = SCRIPT_OPTION_NOP;
            break;
        case 2:
            option->kind = SCRIPT_OPTION_MSS;
            option->value = mr_be16_get(at + 2);
            break;
        case 3:
            option->kind = SCRIPT_OPTION_WSCALE;
            option->value = at[2];
            break;
        case 4:
            option->kind = SCRIPT_OPTION_SACK_OK;
            break;
        case 5:
            option->kind = SCRIPT_OPTION_SACK;
            option->block_count = (at[1] - 2u) / 8;
            for (unsigned i = 0; i < option->block_count; i++) {
                option->blocks[i][0] = mr_be32_get(at + 2 + 8 * i) - RUN_REMOTE_BASE;
                option->blocks[i][1] = mr_be32_get(at + 6 + 8 * i) - RUN_REMOTE_BASE;
            }
            break;
        case 8:
            option->kind = SCRIPT_OPTION_TS;
            option->value = mr_be32_get(at + 2);
            option->ecr = mr_be32_get(at + 6);
            break;
        default:
            break;
        }
        size -= step;
        at += step;
    }
}

bool
run_output(void *context, const struct mr_tcp_frame *frame)
{
    struct run *run = context;
    const uint8_t *tcp = frame->header + TCP_IP_SIZE;
    struct run_out *out = calloc(1, sizeof(*out));
    struct script_packet *packet;

    MR_ASSERT(out != NULL);
    packet = &out->packet;
    packet->flags = tcp[13];
    packet->ecn = frame->header[1] & 3;
    if ((packet->flags & TCP_SYN) &&
        (!run->local_known || !(packet->flags & TCP_ACK) || run->local_port == RUN_LOCAL_PORT)) {
        run->local_known = true;
        run->local_base = mr_be32_get(tcp + 4);
    }
    run->local_port = mr_be16_get(tcp);
    run->remote_port = mr_be16_get(tcp + 2);
    packet->seq = mr_be32_get(tcp + 4) - run->local_base;
    packet->size = frame->payload_size;
    packet->end = packet->seq + packet->size;
    packet->has_ack = (packet->flags & TCP_ACK) != 0;
    packet->ack = mr_be32_get(tcp + 8) - RUN_REMOTE_BASE;
    packet->window = mr_be16_get(tcp + 14);
    read_options(tcp + TCP_HEADER_SIZE, (uint32_t)(tcp[12] >> 4) * 4 - TCP_HEADER_SIZE, packet);
    out->at_ns = run->now_ns;
    mr_list_push_back(&run->outs, &out->node);
    if (run->verbose) {
        printf("%10.6f", (double)(run->now_ns - run->start_ns) * 1e-9);
        print_packet(">", packet);
    }
    return true;
}

static bool
same_options(struct run *run, const struct script_packet *want, const struct script_packet *got)
{
    if (want->any_options) {
        return true;
    }
    if (want->option_count != got->option_count) {
        return false;
    }
    for (unsigned i = 0; i < want->option_count; i++) {
        const struct script_option *a = &want->options[i];
        const struct script_option *b = &got->options[i];

        if (a->kind != b->kind || a->block_count != b->block_count || a->ecr != b->ecr ||
            memcmp(a->blocks, b->blocks, a->block_count * sizeof(a->blocks[0])) != 0) {
            return false;
        }
        if (a->kind == SCRIPT_OPTION_TS ? !map_agrees(run, a->value, b->value)
                                        : a->value != b->value) {
            return false;
        }
    }
    return true;
}

/* A script may write several segments as one: then all but the last lack its PSH and FIN. */
static bool
same_packet(struct run *run, const struct script_packet *want, const struct script_packet *got)
{
    uint8_t flags = want->flags;

    if (got->size < want->size) {
        flags &= (uint8_t) ~(TCP_PSH | TCP_FIN);
        if ((got->flags & TCP_FIN) || got->size == 0) {
            return false;
        }
    } else if (got->size > want->size) {
        return false;
    }
    if (got->size < want->size ? (got->flags & ~TCP_PSH) != flags : got->flags != flags) {
        return false;
    }
    if (want->ecn == -2 ? got->ecn == 0 : want->ecn >= 0 && got->ecn != want->ecn) {
        return false;
    }
    return got->seq == want->seq && (!want->has_ack || got->ack == want->ack) &&
           (want->window < 0 || want->window == got->window) && same_options(run, want, got);
}

bool
run_packet_out(struct run *run, const struct script_event *event, uint64_t at_ns,
               uint64_t tolerance_ns, uint64_t *seen_ns)
{
    struct script_packet want = event->packet;
    uint64_t until_ns = event->when == SCRIPT_ANY
                            ? run->now_ns + 600 * MR_NS_PER_S
                            : at_ns + tolerance_ns + event->until_ns - event->at_ns;

    for (;;) {
        struct run_out *out;
        bool same, done;

        if (mr_list_empty(&run->outs) && !run_until(run, until_ns, true)) {
            run_differs(run, event, "nothing was sent until %.6f s",
                        (double)(until_ns - run->start_ns) * 1e-9);
            print_packet("expected", &want);
            return false;
        }
        out = MR_CONTAINER_OF(mr_list_pop_front(&run->outs), struct run_out, node);
        *seen_ns = out->at_ns;
        same = same_packet(run, &want, &out->packet);
        if (same && event->when != SCRIPT_ANY &&
            (out->at_ns + tolerance_ns < at_ns || out->at_ns > until_ns)) {
            run_differs(run, event, "sent at %.6f s, expected at %.6f s",
                        (double)(out->at_ns - run->start_ns) * 1e-9,
                        (double)(at_ns - run->start_ns) * 1e-9);
            same = false;
        } else if (!same) {
            run_differs(run, event, "another packet was sent, at %.6f s",
                        (double)(out->at_ns - run->start_ns) * 1e-9);
            print_packet("expected", &want);
            print_packet("got     ", &out->packet);
        }
        done = out->packet.size == want.size;
        want.seq += out->packet.size;
        want.size -= out->packet.size < want.size ? out->packet.size : want.size;
        free(out);
        if (!same || done) {
            return same;
        }
    }
}

/* ---- in ---------------------------------------------------------------------------------------
 */

static uint32_t
write_option(const struct run *run, const struct script_option *option, uint8_t *at)
{
    switch (option->kind) {
    case SCRIPT_OPTION_NOP:
        at[0] = 1;
        return 1;
    case SCRIPT_OPTION_MSS:
        at[0] = 2;
        at[1] = 4;
        mr_be16_put(at + 2, (uint16_t)option->value);
        return 4;
    case SCRIPT_OPTION_WSCALE:
        at[0] = 3;
        at[1] = 3;
        at[2] = (uint8_t)option->value;
        return 3;
    case SCRIPT_OPTION_SACK_OK:
        at[0] = 4;
        at[1] = 2;
        return 2;
    case SCRIPT_OPTION_SACK:
        at[0] = 5;
        at[1] = (uint8_t)(2 + 8 * option->block_count);
        for (unsigned i = 0; i < option->block_count; i++) {
            mr_be32_put(at + 2 + 8 * i, option->blocks[i][0] + run->local_base);
            mr_be32_put(at + 6 + 8 * i, option->blocks[i][1] + run->local_base);
        }
        return at[1];
    case SCRIPT_OPTION_TS:
        at[0] = 8;
        at[1] = 10;
        mr_be32_put(at + 2, option->value);
        mr_be32_put(at + 6, ecr_live(run, option->ecr));
        return 10;
    default:
        at[0] = 0;
        return 1;
    }
}

static bool
icmp_in(struct run *run, const struct script_event *event)
{
    const struct script_packet *packet = &event->packet;
    uint32_t seq = run->local_base + packet->seq;

    if (strcmp(packet->icmp_code, "frag_needed") == 0 ||
        strcmp(packet->icmp_type, "packet_too_big") == 0) {
        mr_tcp_path_mtu(run->tcp, RUN_LOCAL, run->local_port, RUN_REMOTE, run->remote_port, seq,
                        packet->mtu, run->now_ns);
    } else {
        mr_tcp_unreachable(run->tcp, RUN_LOCAL, run->local_port, RUN_REMOTE, run->remote_port, seq,
                           run->now_ns);
    }
    run_turn(run);
    return true;
}

void
run_packet_free(void *context, struct mr_tcp_packet *packet)
{
    struct run *run = context;

    run->live_packets--;
    free(MR_CONTAINER_OF(packet, struct run_packet, packet));
}

bool
run_packet_in(struct run *run, const struct script_event *event)
{
    const struct script_packet *packet = &event->packet;
    struct run_packet *own;
    uint8_t header[TCP_HEADER_MAX + 64] = {0};
    uint32_t size = TCP_HEADER_SIZE;

    if (packet->icmp) {
        return icmp_in(run, event);
    }
    for (unsigned i = 0; i < packet->option_count; i++) {
        size += write_option(run, &packet->options[i], header + size);
        if (size > TCP_HEADER_MAX) {
            run_differs(run, event, "more options than fit");
            return false;
        }
    }
    size = (size + 3) / 4 * 4;
    if ((packet->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && run->local_port == 0) {
        run->local_port = RUN_LOCAL_PORT;
        run->remote_port = RUN_REMOTE_PORT;
    }
    mr_be16_put(header, run->remote_port);
    mr_be16_put(header + 2, run->local_port);
    mr_be32_put(header + 4, packet->seq + RUN_REMOTE_BASE);
    mr_be32_put(header + 8, packet->has_ack ? packet->ack + run->local_base : 0);
    header[12] = (uint8_t)(size / 4 << 4);
    header[13] = packet->flags;
    mr_be16_put(header + 14, packet->window < 0 ? 65535 : (uint16_t)packet->window);
    own = calloc(1, sizeof(*own) + size + packet->size);
    MR_ASSERT(own != NULL);
    memcpy(own->bytes, header, size);
    own->packet.segment = own->bytes;
    own->packet.size = size + packet->size;
    own->packet.source = RUN_REMOTE;
    own->packet.destination = RUN_LOCAL;
    own->packet.ecn = packet->ecn > 0 ? (uint8_t)packet->ecn : 0;
    own->packet.checksum_good = true;
    run->live_packets++;
    if (run->verbose) {
        printf("%10.6f", (double)(run->now_ns - run->start_ns) * 1e-9);
        print_packet("<", packet);
    }
    mr_tcp_input(run->tcp, &own->packet, run->now_ns);
    run_turn(run);
    return true;
}
