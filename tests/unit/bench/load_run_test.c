/* tests/unit/bench/load_run_test.c: whole runs of mr_load against mr_null_broker.
 *
 * Arguments: the paths of mr_null_broker and mr_load. */
#include <jansson.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/mr_test.h"

static const char *broker_path;
static const char *load_path;
static pid_t broker;
static unsigned port;

/* Starts the broker on a free port, which it prints. */
static void
start_broker(void)
{
    int ends[2];
    FILE *file;

    MR_CHECK_EQ(pipe(ends), 0);
    broker = fork();
    MR_CHECK(broker >= 0);
    if (broker == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl(broker_path, broker_path, "--port", "0", "--partitions", "3", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    file = fdopen(ends[0], "r");
    MR_CHECK(fscanf(file, "listening on port %u", &port) == 1);
    fclose(file);
}

static void
stop_broker(void)
{
    kill(broker, SIGTERM);
    waitpid(broker, NULL, 0);
}

/* Runs mr_load with `arguments` and returns its JSON; its exit status goes to `status_out`. */
static json_t *
run(const char *arguments, int *status_out)
{
    char command[1024];
    FILE *file;
    json_t *json;
    int status;

    snprintf(command, sizeof(command),
             "%s --bootstrap-server 127.0.0.1:%u --seconds 0.5 --warmup 0.1 --json %s 2>/dev/null",
             load_path, port, arguments);
    file = popen(command, "r");
    MR_CHECK(file != NULL);
    json = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL);
    status = pclose(file);
    *status_out = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return json;
}

static void
check_good(const char *arguments, int64_t rate_min, int64_t rate_max)
{
    int status;
    json_t *json = run(arguments, &status);
    json_int_t count =
        json_integer_value(json_object_get(json_object_get(json, "latency_us"), "count"));

    printf("%s: %" JSON_INTEGER_FORMAT " requests\n", arguments, count);
    MR_CHECK_EQ(status, 0);
    MR_CHECK(json_is_true(json_object_get(json, "valid")));
    MR_CHECK(count * 2 >= rate_min && count * 2 <= rate_max);
    MR_CHECK_EQ(json_integer_value(json_object_get(json, "unanswered")), 0);
    json_decref(json);
}

MR_TEST(an_open_loop_sends_exactly_its_schedule)
{
    start_broker();
    check_good("--rate 200 --connections 1", 198, 202);
    check_good("--rate 300 --connections 7 --threads 2 --idempotent", 292, 308);
    check_good("--rate 200 --acks 0 --connections 2", 196, 204);
    stop_broker();
}

MR_TEST(a_closed_loop_is_always_under_way)
{
    start_broker();
    check_good("--connections 2 --in-flight 1", 10, INT64_MAX);
    check_good("--connections 4 --threads 2 --in-flight 40 --idempotent", 10, INT64_MAX);
    check_good("--connections 2 --batch-bytes 4M --acks 1", 4, INT64_MAX);
    check_good("--connections 1 --acks 0 --record-size 0 --records-per-batch 1", 10, INT64_MAX);
    stop_broker();
}

/* Goal: what is fetched is whole and in order; the null broker's log has no end. */
MR_TEST(a_fetch_reads_on_and_on)
{
    start_broker();
    check_good("--fetch --check-crc", 10, INT64_MAX);
    check_good("--fetch --check-crc --connections 5 --threads 2 --fetch-bytes 1", 10, INT64_MAX);
    stop_broker();
}

/* Goal: a broker that dies is a failed run, not a good number. */
MR_TEST(a_lost_broker_fails_the_run)
{
    int status;
    json_t *json;

    start_broker();
    if (fork() == 0) {
        usleep(300000);
        kill(broker, SIGKILL);
        _exit(0);
    }
    json = run("--connections 2", &status);
    MR_CHECK_EQ(status, 1);
    MR_CHECK_EQ(json_integer_value(json_object_get(json, "connections_lost")), 2);
    MR_CHECK(json_is_false(json_object_get(json, "valid")));
    json_decref(json);
    stop_broker();
    wait(NULL);
    json = run("--connections 2", &status);
    MR_CHECK(json == NULL);
    MR_CHECK_EQ(status, 1);
}

int
main(int argc, char **argv)
{
    static const struct mr_test_case cases[] = {
        MR_TEST_CASE(an_open_loop_sends_exactly_its_schedule),
        MR_TEST_CASE(a_closed_loop_is_always_under_way),
        MR_TEST_CASE(a_fetch_reads_on_and_on),
        MR_TEST_CASE(a_lost_broker_fails_the_run),
    };

    if (argc < 3) {
        fprintf(stderr, "Usage: %s NULL_BROKER LOAD\n", argv[0]);
        return 1;
    }
    broker_path = argv[1];
    load_path = argv[2];
    return mr_test_run(cases, sizeof(cases) / sizeof(cases[0]), argc - 2, argv + 2);
}
