/* tests/net/script_run.c: a script's events one after the other, in virtual time. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/net/script_run.h"

/* ---- settings ---------------------------------------------------------------------------------
 */

static bool
apply_setting(struct mr_tcp_config *config, const char *name, uint64_t value)
{
    const struct {
        const char *name;
        bool *flag;
        uint32_t *count;
        uint64_t *time_ms;
        unsigned *tries;
    } settings[] = {
        {"timestamps", &config->timestamps, NULL, NULL, NULL},
        {"sack", &config->sack, NULL, NULL, NULL},
        {"window_scale", &config->window_scale, NULL, NULL, NULL},
        {"rack", &config->rack, NULL, NULL, NULL},
        {"hystart", &config->hystart, NULL, NULL, NULL},
        {"ecn", &config->ecn, NULL, NULL, NULL},
        {"mtu", NULL, &config->mtu, NULL, NULL},
        {"tso_max", NULL, &config->tso_max, NULL, NULL},
        {"half_open_max", NULL, &config->half_open_max, NULL, NULL},
        {"reorder_max", NULL, &config->conn_reorder_max, NULL, NULL},
        {"buffer_min", NULL, &config->receive_buffer_min, NULL, NULL},
        {"buffer_max", NULL, &config->receive_buffer_max, NULL, NULL},
        {"delayed_ack_ms", NULL, NULL, &config->delayed_ack_ns, NULL},
        {"mtu_raise_ms", NULL, NULL, &config->mtu_raise_ns, NULL},
        {"time_wait_ms", NULL, NULL, &config->time_wait_ns, NULL},
        {"fin_wait_2_ms", NULL, NULL, &config->fin_wait_2_ns, NULL},
        {"linger_ms", NULL, NULL, &config->linger_ns, NULL},
        {"keepalive_idle_ms", NULL, NULL, &config->keepalive_idle_ns, NULL},
        {"keepalive_interval_ms", NULL, NULL, &config->keepalive_interval_ns, NULL},
        {"keepalive_probes", NULL, NULL, NULL, &config->keepalive_probes},
        {"retries_max", NULL, NULL, NULL, &config->retries_max},
        {"syn_retries_max", NULL, NULL, NULL, &config->syn_retries_max},
        {"synack_retries_max", NULL, NULL, NULL, &config->synack_retries_max},
    };

    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (strcmp(settings[i].name, name) == 0) {
            if (settings[i].flag) {
                *settings[i].flag = value != 0;
            } else if (settings[i].count) {
                *settings[i].count = (uint32_t)value;
            } else if (settings[i].time_ms) {
                *settings[i].time_ms = value * MR_NS_PER_MS;
            } else {
                *settings[i].tries = (unsigned)value;
            }
            return true;
        }
    }
    if (strcmp(name, "newreno") == 0) {
        config->cc = value ? MR_TCP_CC_NEWRENO : MR_TCP_CC_CUBIC;
        return true;
    }
    return false;
}

static bool
configure(struct run *run)
{
    struct mr_tcp_config *config = &run->config;
    char text[sizeof(run->script->settings)];
    char *save = NULL;

    mr_tcp_config_init(config);
    config->conns_max = 64;
    config->half_open_max = 16;
    config->segments_max = 4096;
    config->receive_buffer_max = 15u << 20; /* a window scale of 8 */
    config->addresses[0] = RUN_LOCAL;
    config->address_count = 1;
    memcpy(text, run->script->settings, sizeof(text));
    for (char *at = strtok_r(text, " \t\r", &save); at; at = strtok_r(NULL, " \t\r", &save)) {
        char *value = strchr(at, '=');

        if (value) {
            *value++ = 0;
        }
        if (!value || !apply_setting(config, at, strtoull(value, NULL, 0))) {
            printf("%s: no setting «%s»\n", run->path, at);
            return false;
        }
    }
    return true;
}

/* ---- the stack and its clock ------------------------------------------------------------------
 */

void
run_start(struct run *run)
{
    struct mr_tcp_ops ops = {.context = run, .output = run_output, .packet_free = run_packet_free};
    struct mr_tcp_events events;

    if (!run->tcp) {
        run_events(&events, run);
        MR_ASSERT(mr_tcp_create(&run->config, &ops, &events, run->now_ns, &run->tcp) == 0);
    }
}

void
run_turn(struct run *run)
{
    if (!run->tcp) {
        return;
    }
    mr_tcp_tick(run->tcp, run->now_ns);
    while (mr_tcp_dispatch(run->tcp, UINT32_MAX, run->now_ns) +
               mr_tcp_flush(run->tcp, UINT32_MAX, run->now_ns) >
           0) {
    }
}

bool
run_until(struct run *run, uint64_t until_ns, bool stop)
{
    while (run->tcp) {
        uint64_t deadline_ns = mr_tcp_deadline(run->tcp);

        if (stop && !mr_list_empty(&run->outs)) {
            return true;
        }
        if (deadline_ns > until_ns) {
            break;
        }
        run->now_ns = deadline_ns > run->now_ns ? deadline_ns : run->now_ns;
        run_turn(run);
    }
    if (stop && !mr_list_empty(&run->outs)) {
        return true;
    }
    run->now_ns = until_ns > run->now_ns ? until_ns : run->now_ns;
    return false;
}

void
run_differs(const struct run *run, const struct script_event *event, const char *format, ...)
{
    va_list list;

    printf("%s:%u: ", run->path, event->line);
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    putchar('\n');
}

/* ---- events -----------------------------------------------------------------------------------
 */

/* Blocking calls that may have got what they wait for by now. */
static bool
try_deferred(struct run *run)
{
    for (unsigned i = 0; i < run->deferred_count;) {
        bool late = run->now_ns >= run->deferred_ns[i];
        enum run_call result = run_call(run, run->deferred[i], late);

        if (result == RUN_CALL_DIFFERS && !late) {
            i++;
            continue;
        }
        run->deferred_count--;
        run->deferred[i] = run->deferred[run->deferred_count];
        run->deferred_ns[i] = run->deferred_ns[run->deferred_count];
        if (result == RUN_CALL_DIFFERS) {
            return false;
        }
    }
    return true;
}

static bool
pass_time(struct run *run, uint64_t until_ns)
{
    for (;;) {
        uint64_t next_ns = until_ns;

        for (unsigned i = 0; i < run->deferred_count; i++) {
            next_ns = run->deferred_ns[i] < next_ns ? run->deferred_ns[i] : next_ns;
        }
        run_until(run, next_ns, false);
        if (!try_deferred(run)) {
            return false;
        }
        if (next_ns >= until_ns) {
            return true;
        }
    }
}

static bool
do_call(struct run *run, const struct script_event *event, uint64_t base_ns)
{
    if (!event->call.blocking) {
        return run_call(run, event, true) == RUN_CALL_SAME;
    }
    if (run_call(run, event, false) == RUN_CALL_SAME) {
        return true;
    }
    if (run->deferred_count == RUN_DEFERRED_MAX) {
        run_differs(run, event, "too many calls wait");
        return false;
    }
    run->deferred[run->deferred_count] = event;
    run->deferred_ns[run->deferred_count++] =
        base_ns + event->call.end_ns + run->script->tolerance_ns;
    return true;
}

static bool
do_event(struct run *run, const struct script_event *event)
{
    uint64_t base_ns = event->when == SCRIPT_RELATIVE ? run->before_ns : run->start_ns;
    uint64_t at_ns = event->when == SCRIPT_ANY ? run->now_ns : base_ns + event->at_ns;
    uint64_t tolerance_ns = run->script->tolerance_ns;
    uint64_t seen_ns = at_ns;
    bool same = true;

    if (event->kind == SCRIPT_PACKET && event->packet.other) {
        printf("%s:%u: not a plain TCP packet\n", run->path, event->line);
        run->unsupported = true;
        return true;
    }
    if (event->kind == SCRIPT_PACKET && event->packet.out) {
        /* What takes long may be off by an eighth, as in the original. */
        if (event->when == SCRIPT_RELATIVE && event->at_ns / 8 > tolerance_ns) {
            tolerance_ns = event->at_ns / 8;
        }
        run_start(run);
        same = run_packet_out(run, event, at_ns, tolerance_ns, &seen_ns);
    } else {
        if (!pass_time(run, at_ns)) {
            return false;
        }
        if (event->kind == SCRIPT_PACKET) {
            run_start(run);
            same = run_packet_in(run, event);
        } else if (event->kind == SCRIPT_CALL) {
            same = do_call(run, event, base_ns);
        }
    }
    same = same && try_deferred(run);
    run->before_ns = event->when == SCRIPT_ANY || event->until_ns != event->at_ns ? seen_ns : at_ns;
    return same;
}

static bool
leftover(struct run *run, unsigned line)
{
    struct mr_list *node;
    bool none = mr_list_empty(&run->outs);

    if (!none) {
        struct run_out *out = MR_CONTAINER_OF(run->outs.next, struct run_out, node);

        printf("%s:%u: at its end a packet was sent that it does not tell of: flags %02x seq %u "
               "size %u at %.6f s\n",
               run->path, line, out->packet.flags, out->packet.seq, out->packet.size,
               (double)(out->at_ns - run->start_ns) * 1e-9);
    }
    while ((node = mr_list_pop_front(&run->outs)) != NULL) {
        free(MR_CONTAINER_OF(node, struct run_out, node));
    }
    return !none;
}

/* Everything is given back once the connections are gone. */
static bool
finish(struct run *run)
{
    const struct mr_tcp_stats *stats;
    bool clean;

    if (!run->tcp) {
        return true;
    }
    run->verbose = false;
    run_fds_close(run);
    run_until(run, run->now_ns + 1000 * MR_NS_PER_S, false);
    stats = mr_tcp_stats(run->tcp);
    clean = stats->conns == 0 && stats->segments == 0 && stats->packets_held == 0 &&
            stats->sends_pending == 0 && run->live_packets == 0;
    if (!clean) {
        printf(
            "%s: afterwards %llu connections, %llu segments, %llu packets, %llu sends are left\n",
            run->path, (unsigned long long)stats->conns, (unsigned long long)stats->segments,
            (unsigned long long)stats->packets_held, (unsigned long long)stats->sends_pending);
    }
    mr_tcp_destroy(run->tcp);
    return clean;
}

int
script_run(const char *path, const struct script *script, bool strict, bool verbose)
{
    static struct run run;
    bool same;

    run = (struct run){.path = path, .script = script, .verbose = verbose};
    run.start_ns = run.now_ns = run.before_ns = 1000 * MR_NS_PER_S;
    mr_list_init(&run.outs);
    same = configure(&run);
    for (unsigned i = 0; i < script->event_count && same && !run.unsupported; i++) {
        same = do_event(&run, &script->events[i]);
    }
    if (same && strict && !run.unsupported && script->event_count > 0) {
        same = !leftover(&run, script->events[script->event_count - 1].line);
    }
    same = finish(&run) && same;
    while (!mr_list_empty(&run.outs)) {
        free(MR_CONTAINER_OF(mr_list_pop_front(&run.outs), struct run_out, node));
    }
    return run.unsupported ? 77 : same ? 0 : 1;
}
