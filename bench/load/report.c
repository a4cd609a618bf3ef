#include "bench/load/report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "dataplane/base/kafka_err.h"

#define LAG_WARN_NS  1000000 /* more at p99 and the schedule was not the one asked for */
#define CPU_WARN     0.9     /* of the generator's threads: then it may be what is measured */
#define RATE_KEPT    0.99
#define BYTES_PER_GB 1e9
#define BYTES_PER_MB 1e6
#define NS_PER_US    1e3

bool
load_result_good(const struct load_result *result)
{
    return result->stats.requests > 0 && load_stats_failures(&result->stats) == 0 &&
           result->stats.unanswered == 0;
}

static double
broker_cpu_per_gb(const struct load_result *result)
{
    if (result->broker_cpu_seconds < 0 || result->stats.bytes == 0) {
        return -1;
    }
    return result->broker_cpu_seconds / ((double)result->stats.bytes / BYTES_PER_GB);
}

static void
print_warnings(const struct load_result *result)
{
    const struct load_stats *stats = &result->stats;
    double rate = result->seconds > 0 ? (double)stats->requests / result->seconds : 0;
    uint64_t lag = mr_histo_quantile(&stats->lag_ns, 990);

    if (stats->requests == 0) {
        fputs("WARNING: nothing was measured: no request was answered without error between the "
              "warm-up and the end\n",
              stderr);
    }
    if (lag > LAG_WARN_NS) {
        fprintf(stderr,
                "WARNING: the generator did not keep its schedule: 1%% of the sends started more "
                "than %.1f ms late, for want of CPU; lower the rate, or give it more cores\n",
                (double)lag / 1e6);
    }
    if (result->target_rate > 0 && rate < result->target_rate * RATE_KEPT) {
        fprintf(stderr,
                "WARNING: the rate was not reached: %.0f requests/s were answered of %.0f "
                "scheduled; latency grows with the length of the run\n",
                rate, result->target_rate);
    }
    if (!result->options->spin &&
        result->own_cpu_seconds > result->seconds * result->options->threads * CPU_WARN) {
        fputs(
            "WARNING: the generator's threads were busy all the time: this may be its own ceiling, "
            "not the broker's; compare mr_null_broker, or use more --threads\n",
            stderr);
    }
    if (stats->unsent + stats->unanswered > 0) {
        fprintf(stderr,
                "WARNING: when waiting ended, %" PRIu64 " scheduled requests were not sent and "
                "%" PRIu64 " not answered; they are missing in the latencies\n",
                stats->unsent, stats->unanswered);
    }
    if (load_stats_failures(stats) > 0) {
        fprintf(stderr,
                "WARNING: %" PRIu64 " failures: error answers, %" PRIu64 " lost connections, "
                "%" PRIu64 " malformed answers, %" PRIu64 " corrupt batches\n",
                load_stats_failures(stats), stats->connections_lost, stats->malformed,
                stats->corrupt);
    }
}

static void
print_histo(const char *name, const struct mr_histo *histo, double unit, const char *unit_name)
{
    if (histo->count == 0) {
        printf("%-14s not measured\n", name);
        return;
    }
    printf("%-14s p50 %.1f  p99 %.1f  p99.9 %.1f  max %.1f %s\n", name,
           (double)mr_histo_quantile(histo, 500) / unit,
           (double)mr_histo_quantile(histo, 990) / unit,
           (double)mr_histo_quantile(histo, 999) / unit, (double)histo->max / unit, unit_name);
}

static void
print_text(const struct load_result *result)
{
    const struct load_stats *stats = &result->stats;
    double seconds = result->seconds;

    printf("throughput     %.1f MB/s  %.0f requests/s  %.0f records/s over %.2f s\n",
           (double)stats->bytes / BYTES_PER_MB / seconds, (double)stats->requests / seconds,
           (double)stats->records / seconds, seconds);
    print_histo("latency", &stats->latency_ns, NS_PER_US, "us");
    if (result->target_rate > 0) {
        print_histo("schedule lag", &stats->lag_ns, NS_PER_US, "us");
        printf("held back      %" PRIu64 " of %" PRIu64 " sends waited for the broker\n",
               stats->held_back, stats->lag_ns.count);
    }
    if (stats->record_age_ms.count > 0) {
        print_histo("record age", &stats->record_age_ms, 1, "ms");
    }
    printf("generator CPU  %.2f s of %.2f s\n", result->own_cpu_seconds, seconds);
    if (result->broker_cpu_seconds >= 0) {
        printf("broker CPU     %.2f s", result->broker_cpu_seconds);
        if (stats->bytes > 0) {
            printf(", %.3f s per GB", broker_cpu_per_gb(result));
        }
        putchar('\n');
    }
    for (int i = 0; i < LOAD_CODES; i++) {
        if (i != 1 && stats->errors[i] > 0) {
            printf("error          %" PRIu64 " x %d %s\n", stats->errors[i], i - 1,
                   mr_kafka_err_name(i - 1));
        }
    }
}

static json_t *
histo_json(const struct mr_histo *histo, double unit)
{
    json_t *object = json_object();

    json_object_set_new(object, "count", json_integer((json_int_t)histo->count));
    json_object_set_new(object, "p50", json_real((double)mr_histo_quantile(histo, 500) / unit));
    json_object_set_new(object, "p99", json_real((double)mr_histo_quantile(histo, 990) / unit));
    json_object_set_new(object, "p999", json_real((double)mr_histo_quantile(histo, 999) / unit));
    json_object_set_new(object, "max", json_real((double)histo->max / unit));
    return object;
}

static json_t *
options_json(const struct load_options *options)
{
    json_t *object = json_object();

    json_object_set_new(object, "mode", json_string(options->fetch ? "fetch" : "produce"));
    json_object_set_new(object, "connections", json_integer(options->connections));
    json_object_set_new(object, "threads", json_integer(options->threads));
    json_object_set_new(object, "in_flight", json_integer(options->in_flight));
    if (!options->fetch) {
        json_object_set_new(object, "record_size", json_integer(options->record_size));
        json_object_set_new(object, "acks", json_integer(options->acks));
        json_object_set_new(object, "idempotent", json_boolean(options->idempotent));
    }
    return object;
}

static json_t *
errors_json(const struct load_stats *stats)
{
    json_t *object = json_object();

    for (int i = 0; i < LOAD_CODES; i++) {
        char code[16];

        if (i != 1 && stats->errors[i] > 0) {
            snprintf(code, sizeof(code), "%d", i - 1);
            json_object_set_new(object, code, json_integer((json_int_t)stats->errors[i]));
        }
    }
    return object;
}

static void
set_count(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

static void
print_json(const struct load_result *result)
{
    const struct load_stats *stats = &result->stats;
    double seconds = result->seconds;
    json_t *object = options_json(result->options);

    json_object_set_new(object, "seconds", json_real(seconds));
    json_object_set_new(object, "mb_per_s", json_real((double)stats->bytes / 1e6 / seconds));
    json_object_set_new(object, "requests_per_s", json_real((double)stats->requests / seconds));
    json_object_set_new(object, "records_per_s", json_real((double)stats->records / seconds));
    json_object_set_new(object, "target_requests_per_s", json_real(result->target_rate));
    json_object_set_new(object, "latency_us", histo_json(&stats->latency_ns, NS_PER_US));
    json_object_set_new(object, "schedule_lag_us", histo_json(&stats->lag_ns, NS_PER_US));
    if (stats->record_age_ms.count > 0) {
        json_object_set_new(object, "record_age_ms", histo_json(&stats->record_age_ms, 1));
    }
    set_count(object, "held_back", stats->held_back);
    set_count(object, "unsent", stats->unsent);
    set_count(object, "unanswered", stats->unanswered);
    set_count(object, "connections_lost", stats->connections_lost);
    set_count(object, "malformed", stats->malformed);
    set_count(object, "corrupt", stats->corrupt);
    json_object_set_new(object, "errors", errors_json(stats));
    json_object_set_new(object, "generator_cpu_s", json_real(result->own_cpu_seconds));
    if (result->broker_cpu_seconds >= 0) {
        json_object_set_new(object, "broker_cpu_s", json_real(result->broker_cpu_seconds));
        json_object_set_new(object, "broker_cpu_s_per_gb", json_real(broker_cpu_per_gb(result)));
    }
    json_object_set_new(object, "valid", json_boolean(load_result_good(result)));
    json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(object);
}

void
load_report(const struct load_result *result)
{
    if (result->options->json) {
        print_json(result);
    } else {
        print_text(result);
    }
    fflush(stdout);
    print_warnings(result);
}
