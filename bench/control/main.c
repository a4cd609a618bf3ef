/* bench/control/main.c: mr_control_load, which loads the control plane of any broker that speaks
 * Kafka: consumer groups that rebalance, heartbeats, commits, topics that come and go.
 * Prints one line of JSON. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/control/die.h"
#include "bench/control/members.h"
#include "bench/control/topics.h"
#include "dataplane/base/clock.h"

#define REBALANCES 3u /* of which the median is told */
#define TIMEOUT_MS 60000

static const char usage[] =
    "usage: mr_control_load MODE [OPTION]...\n"
    "  groups   rebalances of all members, then heartbeats and commits of some of them\n"
    "  storm    rebalances again and again\n"
    "  topics   topics are created and deleted, one after the other\n"
    "  fill     topics of one partition are created, 500 in a request\n"
    "options:\n"
    "  --bootstrap-server HOST:PORT  (default 127.0.0.1:9092)\n"
    "  --members N       members, a connection each (default 1000)\n"
    "  --groups N        groups that they are spread over (default 1)\n"
    "  --connections N   members that send heartbeats and commits (default 64)\n"
    "  --rounds R        storm: so many rebalances of every group a second (default: no pause)\n"
    "  --partitions N    topics: of each (default 10)\n"
    "  --topics N        fill: how many (default 10000)\n"
    "  --seconds S       of each measurement (default 3)\n";

struct options {
    const char *server;
    uint32_t members;
    uint32_t groups;
    uint32_t connections;
    uint32_t partitions;
    uint32_t topics;
    double rounds;
    double seconds;
};

void
die(const char *format, ...)
{
    va_list arguments;

    fputs("mr_control_load: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static double
ms(uint64_t ns)
{
    return (double)ns / (double)MR_NS_PER_MS;
}

static struct mr_client *
connect_client(const struct options *options)
{
    char error[MR_CLIENT_ERROR_SIZE];
    struct mr_client *client;

    if (mr_client_open(&client, options->server, MEMBERS_CLIENT_ID, TIMEOUT_MS, error) != 0) {
        die("%s", error);
    }
    return client;
}

/* Members that have been through a first rebalance. */
static void
open_members(const struct options *options, struct members *members)
{
    struct mr_client *client = connect_client(options);

    topics_prepare(client);
    mr_client_close(client);
    members_open(members, options->server, options->members, options->groups);
    members_rebalance(members);
}

static int
compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

/* ---- modes ----------------------------------------------------------------------------------- */

static void
run_groups(const struct options *options)
{
    static struct members members;
    static struct mr_histo beats, alone, commits;
    uint64_t times[REBALANCES];
    double beats_s, commits_s;

    open_members(options, &members);
    for (unsigned i = 0; i < REBALANCES; i++) {
        times[i] = members_rebalance(&members);
    }
    qsort(times, REBALANCES, sizeof(times[0]), compare);
    beats_s =
        members_ask(&members, options->connections, MEMBERS_HEARTBEAT, options->seconds, &beats);
    members_ask(&members, 1, MEMBERS_COMMIT, options->seconds, &alone);
    commits_s =
        members_ask(&members, options->connections, MEMBERS_COMMIT, options->seconds, &commits);
    members_close(&members);
    printf("{\"rebalance_ms\": %.1f, \"heartbeats_s\": %.0f, \"heartbeat_p99_ms\": %.2f, "
           "\"commit_alone_p50_ms\": %.2f, \"commit_alone_p99_ms\": %.2f, \"commits_s\": %.0f, "
           "\"commit_p99_ms\": %.2f}\n",
           ms(times[REBALANCES / 2]), beats_s, ms(mr_histo_quantile(&beats, 990)),
           ms(mr_histo_quantile(&alone, 500)), ms(mr_histo_quantile(&alone, 990)), commits_s,
           ms(mr_histo_quantile(&commits, 990)));
}

static void
sleep_until(uint64_t at_ns)
{
    struct timespec at = {.tv_sec = (time_t)(at_ns / MR_NS_PER_S),
                          .tv_nsec = (long)(at_ns % MR_NS_PER_S)};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void
run_storm(const struct options *options)
{
    static struct members members;
    uint64_t begin_ns, end_ns, count = 0;

    open_members(options, &members);
    begin_ns = mr_clock_now_ns(&mr_clock_system);
    end_ns = begin_ns + (uint64_t)(options->seconds * (double)MR_NS_PER_S);
    while (mr_clock_now_ns(&mr_clock_system) < end_ns) {
        members_rebalance(&members);
        count++;
        if (options->rounds > 0) {
            sleep_until(begin_ns +
                        (uint64_t)((double)count / options->rounds * (double)MR_NS_PER_S));
        }
    }
    end_ns = mr_clock_now_ns(&mr_clock_system);
    members_close(&members);
    printf("{\"rebalances_s\": %.0f}\n",
           (double)(count * options->groups) / ((double)(end_ns - begin_ns) / (double)MR_NS_PER_S));
}

static void
run_topics(const struct options *options)
{
    static struct mr_histo creation;
    struct mr_client *client = connect_client(options);
    double topics_s = topics_storm(client, options->partitions, options->seconds, &creation);

    mr_client_close(client);
    printf("{\"topics_s\": %.0f, \"create_p50_ms\": %.2f, \"create_p99_ms\": %.2f}\n", topics_s,
           ms(mr_histo_quantile(&creation, 500)), ms(mr_histo_quantile(&creation, 990)));
}

static void
run_fill(const struct options *options)
{
    struct mr_client *client = connect_client(options);

    printf("{\"filled_s\": %.0f}\n", topics_fill(client, options->topics));
    mr_client_close(client);
}

/* ---- command line ---------------------------------------------------------------------------- */

static double
number(const char *name, double least)
{
    char *end;
    double value = strtod(optarg, &end);

    if (*end || end == optarg || !(value >= least && value <= 1e9)) {
        die("--%s '%s' is no number of %g and more", name, optarg, least);
    }
    return value;
}

static void
parse(int argc, char **argv, struct options *out)
{
    static const struct option options[] = {{"bootstrap-server", required_argument, NULL, 'b'},
                                            {"members", required_argument, NULL, 'm'},
                                            {"groups", required_argument, NULL, 'g'},
                                            {"connections", required_argument, NULL, 'c'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {"partitions", required_argument, NULL, 'p'},
                                            {"topics", required_argument, NULL, 't'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option, index;

    while ((option = getopt_long(argc, argv, "h", options, &index)) != -1) {
        switch (option) {
        case 'b':
            out->server = optarg;
            break;
        case 'm':
            out->members = (uint32_t)number(options[index].name, 1);
            break;
        case 'g':
            out->groups = (uint32_t)number(options[index].name, 1);
            break;
        case 'c':
            out->connections = (uint32_t)number(options[index].name, 1);
            break;
        case 'r':
            out->rounds = number(options[index].name, 0.001);
            break;
        case 'p':
            out->partitions = (uint32_t)number(options[index].name, 1);
            break;
        case 't':
            out->topics = (uint32_t)number(options[index].name, 1);
            break;
        case 's':
            out->seconds = number(options[index].name, 0.001);
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            fputs(usage, stderr);
            exit(2);
        }
    }
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(const struct options *options);
    } modes[] = {
        {"groups", run_groups}, {"storm", run_storm}, {"topics", run_topics}, {"fill", run_fill}};
    struct options options = {.server = "127.0.0.1:9092",
                              .members = 1000,
                              .groups = 1,
                              .connections = 64,
                              .partitions = 10,
                              .topics = 10000,
                              .seconds = 3};

    parse(argc, argv, &options);
    for (size_t i = 0; optind + 1 == argc && i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(argv[optind], modes[i].name) == 0) {
            modes[i].run(&options);
            return 0;
        }
    }
    fputs(usage, stderr);
    return 2;
}
