#include "bench/load/stats.h"

void
load_stats_merge(struct load_stats *into, const struct load_stats *from)
{
    mr_histo_merge(&into->latency_ns, &from->latency_ns);
    mr_histo_merge(&into->lag_ns, &from->lag_ns);
    mr_histo_merge(&into->record_age_ms, &from->record_age_ms);
    into->requests += from->requests;
    into->records += from->records;
    into->bytes += from->bytes;
    for (int i = 0; i < LOAD_CODES; i++) {
        into->errors[i] += from->errors[i];
    }
    into->held_back += from->held_back;
    into->unsent += from->unsent;
    into->unanswered += from->unanswered;
    into->connections_lost += from->connections_lost;
    into->malformed += from->malformed;
    into->corrupt += from->corrupt;
    into->last_ns = from->last_ns > into->last_ns ? from->last_ns : into->last_ns;
}

uint64_t
load_stats_failures(const struct load_stats *stats)
{
    uint64_t sum = stats->connections_lost + stats->malformed + stats->corrupt;

    for (int i = 0; i < LOAD_CODES; i++) {
        sum += i == 1 ? 0 : stats->errors[i];
    }
    return sum;
}
