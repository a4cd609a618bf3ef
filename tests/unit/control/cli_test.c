/* tests/unit/control/cli_test.c: arguments, formats and tables of the command-line tool. */
#include "control/cli/args.h"
#include "control/cli/cli.h"
#include "control/cli/client.h"
#include "control/cli/message.h"
#include "control/cli/table.h"
#include "tests/mr_test.h"

static const struct cli_command *const commands[] = {
    &cli_topic_create, &cli_topic_list, &cli_topic_describe,      &cli_topic_delete,
    &cli_produce,      &cli_consume,    &cli_broker_api_versions,
};

static struct cli_args args;
static const struct cli_command *command;
static char error[CLI_ERROR_SIZE];

/* Parses words that end with NULL. */
static int
parse(const char *const *words)
{
    int count = 0;

    while (words[count]) {
        count++;
    }
    error[0] = '\0';
    return cli_parse(commands, sizeof(commands) / sizeof(commands[0]), count, words, &args,
                     &command, error);
}

#define PARSE(...) parse((const char *const[]){"millrace", __VA_ARGS__, NULL})

static void
check_refused(int rc, const char *text)
{
    MR_CHECK(rc != 0);
    MR_CHECK_STR(error, text);
}

/* Goal: options work before, between and after the words, with a space or '='. */
MR_TEST(options_may_stand_anywhere)
{
    MR_CHECK_EQ(PARSE("--json", "topic", "create", "--partitions=3", "orders", "--config", "a=b",
                      "--config=c=", "--bootstrap-server", "h:1"),
                0);
    MR_CHECK(command == &cli_topic_create);
    MR_CHECK(args.json);
    MR_CHECK_EQ(args.partitions, 3);
    MR_CHECK_EQ(args.replication_factor, -1);
    MR_CHECK_EQ(args.operand_count, 1);
    MR_CHECK_STR(args.operands[0], "orders");
    MR_CHECK_EQ(args.config_count, 2);
    MR_CHECK_STR(args.configs[1], "c=");
    MR_CHECK_STR(args.bootstrap_server, "h:1");
}

/* Goal: what is not given has the documented default. */
MR_TEST(defaults_are_the_documented_ones)
{
    MR_CHECK_EQ(PARSE("consume", "t"), 0);
    MR_CHECK(command == &cli_consume);
    MR_CHECK_STR(args.bootstrap_server, "127.0.0.1:9092");
    MR_CHECK_EQ(args.partition, -1);
    MR_CHECK_EQ(args.max_messages, -1);
    MR_CHECK_EQ(args.timeout_ms, 10000);
    MR_CHECK_STR(args.acks, "all");
    MR_CHECK_STR(args.compression, "none");
    MR_CHECK(!args.from_beginning && !args.exit_at_end && !args.json && !args.help);
}

/* Goal: after "--" everything is an operand; a lone "-" always is. */
MR_TEST(two_dashes_end_the_options)
{
    MR_CHECK_EQ(PARSE("topic", "delete", "-", "--", "--json", "--"), 0);
    MR_CHECK_EQ(args.operand_count, 3);
    MR_CHECK_STR(args.operands[1], "--json");
    MR_CHECK(!args.json);
}

/* Goal: a mistake is answered with the nearest right word. */
MR_TEST(a_mistyped_word_gets_the_nearest_one)
{
    check_refused(PARSE("topc", "list"), "unknown command \"topc\"; the nearest is \"topic\"");
    check_refused(PARSE("topic", "lits"),
                  "unknown command \"topic lits\"; the nearest is \"topic list\"");
    check_refused(PARSE("topic", "create", "t", "--partition", "1"),
                  "unknown option \"--partition\"; the nearest is \"--partitions\"");
    check_refused(PARSE("consume", "t", "--frombeginning=1"),
                  "unknown option \"--frombeginning\"; the nearest is \"--from-beginning\"");
    check_refused(PARSE("--jsn"), "unknown option \"--jsn\"; the nearest is \"--json\"");
}

/* Goal: values are judged: just below, at and above each limit; choices; missing values. */
MR_TEST(values_are_judged)
{
    check_refused(PARSE("topic", "create", "t", "--partitions", "0"),
                  "--partitions takes a number from 1 to 1000000, not \"0\"");
    MR_CHECK_EQ(PARSE("topic", "create", "t", "--partitions", "1"), 0);
    MR_CHECK_EQ(PARSE("topic", "create", "t", "--partitions", "1000000"), 0);
    MR_CHECK(PARSE("topic", "create", "t", "--partitions", "1000001") != 0);
    MR_CHECK(PARSE("topic", "create", "t", "--partitions", "7x") != 0);
    MR_CHECK(PARSE("topic", "create", "t", "--partitions", "") != 0);
    check_refused(PARSE("topic", "create", "t", "--partitions"),
                  "--partitions needs a value: --partitions N");
    check_refused(PARSE("topic", "create", "t", "--config", "=x"),
                  "--config takes KEY=VALUE, not \"=x\"");
    check_refused(PARSE("produce", "t", "--acks", "2"), "--acks takes 0|1|all, not \"2\"");
    MR_CHECK(PARSE("produce", "t", "--acks", "") != 0);
    MR_CHECK(PARSE("produce", "t", "--acks", "0|1") != 0);
    MR_CHECK_EQ(PARSE("produce", "t", "--acks", "all"), 0);
    check_refused(PARSE("topic", "list", "--json=1"), "--json takes no value");
}

/* Goal: too few and too many operands are refused, unless only help is wanted. */
MR_TEST(operands_are_counted)
{
    check_refused(PARSE("topic", "delete"), "topic delete needs NAME...");
    check_refused(PARSE("topic", "list", "x"), "\"x\" is one argument too many");
    check_refused(PARSE("topic"), "topic needs a command; see millrace --help");
    MR_CHECK_EQ(PARSE("topic", "delete", "--help"), 0);
    MR_CHECK(command == &cli_topic_delete && args.help);
    MR_CHECK_EQ(PARSE("-h"), 0);
    MR_CHECK(command == NULL && args.help);
}

MR_TEST(more_configs_or_operands_than_fit_are_refused)
{
    const char *words[CLI_OPERANDS_MAX + 5] = {"millrace", "topic", "delete"};

    for (size_t i = 0; i < CLI_OPERANDS_MAX; i++) {
        words[3 + i] = "t";
    }
    MR_CHECK_EQ(parse(words), 0);
    words[3 + CLI_OPERANDS_MAX] = "t";
    MR_CHECK(parse(words) != 0);
    words[2] = "create";
    for (size_t i = 3; i < 3 + CLI_CONFIGS_MAX; i++) {
        words[i] = "--config=a=b";
    }
    words[3 + CLI_CONFIGS_MAX] = "t";
    words[4 + CLI_CONFIGS_MAX] = NULL;
    MR_CHECK_EQ(parse(words), 0);
    words[4 + CLI_CONFIGS_MAX] = "--config=a=b";
    words[5 + CLI_CONFIGS_MAX] = NULL;
    MR_CHECK(parse(words) != 0);
}

MR_TEST(distance_counts_edits)
{
    MR_CHECK_EQ(cli_distance("", ""), 0);
    MR_CHECK_EQ(cli_distance("abc", ""), 3);
    MR_CHECK_EQ(cli_distance("kitten", "sitting"), 3);
    MR_CHECK_EQ(cli_distance("list", "lits"), 2);
}

/* Runs `print` against a memory stream and compares. */
static char *
message_text(const struct cli_message *message, const char *format)
{
    char *text;
    size_t size;
    FILE *file = open_memstream(&text, &size);

    MR_CHECK(cli_format_check(format) == NULL);
    cli_message_print(message, format, file);
    fclose(file);
    return text;
}

static void
check_message(const struct cli_message *message, const char *format, const char *want)
{
    char *text = message_text(message, format);

    MR_CHECK_STR(text, want);
    free(text);
}

static const struct cli_message sample = {
    .topic = "t",
    .partition = 2,
    .offset = 17,
    .timestamp_ms = 1700000000000,
    .key = {"k", 1},
    .value = {"some value", 10},
    .headers = {{"a", {"1", 1}}, {"b", {NULL, 0}}},
    .header_count = 2,
};

MR_TEST(a_format_prints_every_field)
{
    struct cli_message null = {.topic = "t", .timestamp_ms = -1};

    check_message(&sample, "%t|%p|%o|%k|%v|%T|%h|%%\\n\\t\\r\\\\",
                  "t|2|17|k|some value|1700000000000|a=1,b=|%\n\t\r\\");
    check_message(&null, "[%k][%v][%h]%T", "[][][]-1");
    check_message(&sample, "", "");
}

MR_TEST(an_unknown_or_cut_format_is_refused_at_its_place)
{
    MR_CHECK_STR(cli_format_check("%v %q"), "%q");
    MR_CHECK_STR(cli_format_check("%v%"), "%");
    MR_CHECK_STR(cli_format_check("\\x"), "\\x");
    MR_CHECK_STR(cli_format_check("%%\\"), "\\");
}

static void
check_json(const struct cli_message *message, const char *want)
{
    json_t *object = cli_message_json(message);
    char *text = json_dumps(object, JSON_COMPACT);

    MR_CHECK_STR(text, want);
    free(text);
    json_decref(object);
}

/* Goal: null, text and bytes that are no UTF-8 stay distinct in JSON. */
MR_TEST(a_message_as_json_loses_nothing)
{
    struct cli_message message = {.topic = "t", .timestamp_ms = 5};

    check_json(&sample,
               "{\"topic\":\"t\",\"partition\":2,\"offset\":17,\"timestamp\":1700000000000,"
               "\"key\":\"k\",\"value\":\"some value\",\"headers\":[{\"name\":\"a\","
               "\"value\":\"1\"},{\"name\":\"b\",\"value\":null}]}");
    message.key = (struct cli_bytes){"\xff", 1};
    message.value = (struct cli_bytes){"\xff\xfe", 2};
    check_json(&message, "{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"timestamp\":5,"
                         "\"key_base64\":\"/w==\",\"value_base64\":\"//4=\",\"headers\":[]}");
    message.key = (struct cli_bytes){"", 0};
    message.value = (struct cli_bytes){"\xff\xfe\xfd", 3};
    check_json(&message, "{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"timestamp\":5,"
                         "\"key\":\"\",\"value_base64\":\"//79\",\"headers\":[]}");
}

MR_TEST(a_table_is_as_wide_as_its_widest_cells)
{
    static const char *const columns[] = {"NAME", ">N", "LAST"};
    struct cli_table table;
    char *text;
    size_t size;
    FILE *file = open_memstream(&text, &size);

    cli_table_init(&table, columns, 3);
    cli_table_cell(&table, "gr\xc3\xbc\xc3\x9f"
                           "e");
    cli_table_cell(&table, "%d", 1000);
    cli_table_cell(&table, "x");
    cli_table_cell(&table, "a");
    cli_table_cell(&table, "%d", 7);
    cli_table_cell(&table, "a long cell");
    cli_table_print(&table, file);
    fclose(file);
    MR_CHECK_STR(text, "NAME      N  LAST\n"
                       "gr\xc3\xbc\xc3\x9f"
                       "e  1000  x\n"
                       "a         7  a long cell\n");
    free(text);
    cli_table_free(&table);
}

/* Goal: a group or client that is called so does not steer the terminal of who lists it. */
MR_TEST(control_characters_of_a_cell_are_not_printed)
{
    static const char *const columns[] = {"NAME"};
    struct cli_table table;
    char *text;
    size_t size;
    FILE *file = open_memstream(&text, &size);

    cli_table_init(&table, columns, 1);
    cli_table_cell(&table, "%s", "a\x1b[2Jb\nc\x7f");
    cli_table_print(&table, file);
    fclose(file);
    MR_CHECK_STR(text, "NAME\na?[2Jb?c?\n");
    free(text);
    cli_table_free(&table);
}

static int
split(const char *address, char *host, char *port)
{
    return mr_client_split(address, strlen(address), host, port, 16);
}

MR_TEST(an_address_is_split_at_its_last_colon)
{
    char host[16], port[16];

    MR_CHECK_EQ(split("localhost:9092", host, port), 0);
    MR_CHECK_STR(host, "localhost");
    MR_CHECK_STR(port, "9092");
    MR_CHECK_EQ(split("[::1]:1", host, port), 0);
    MR_CHECK_STR(host, "::1");
    MR_CHECK(split("localhost", host, port) != 0);
    MR_CHECK(split("localhost:", host, port) != 0);
    MR_CHECK(split(":9092", host, port) != 0);
    MR_CHECK(split("", host, port) != 0);
    MR_CHECK(split("h:http", host, port) != 0);
    MR_CHECK(split("fifteen-letters:1", host, port) == 0);
    MR_CHECK(split("sixteen--letters:1", host, port) != 0);
}

/* Goal: a server that is not there is an error with its address, on each of a list. */
MR_TEST(an_unreachable_broker_is_named)
{
    char why[MR_CLIENT_ERROR_SIZE];
    struct mr_client *client;

    MR_CHECK(mr_client_open(&client, "127.0.0.1:1,127.0.0.1:2", "test", 1000, why) != 0);
    MR_CHECK(client == NULL);
    MR_CHECK_STR(why, "cannot reach a broker at 127.0.0.1:2: Connection refused");
    MR_CHECK(mr_client_open(&client, "nonsense", "test", 1000, why) != 0);
    MR_CHECK_STR(why, "\"nonsense\" is not HOST:PORT");
}

MR_TEST_MAIN(MR_TEST_CASE(options_may_stand_anywhere),
             MR_TEST_CASE(defaults_are_the_documented_ones),
             MR_TEST_CASE(two_dashes_end_the_options),
             MR_TEST_CASE(a_mistyped_word_gets_the_nearest_one), MR_TEST_CASE(values_are_judged),
             MR_TEST_CASE(operands_are_counted),
             MR_TEST_CASE(more_configs_or_operands_than_fit_are_refused),
             MR_TEST_CASE(distance_counts_edits), MR_TEST_CASE(a_format_prints_every_field),
             MR_TEST_CASE(an_unknown_or_cut_format_is_refused_at_its_place),
             MR_TEST_CASE(a_message_as_json_loses_nothing),
             MR_TEST_CASE(a_table_is_as_wide_as_its_widest_cells),
             MR_TEST_CASE(control_characters_of_a_cell_are_not_printed),
             MR_TEST_CASE(an_address_is_split_at_its_last_colon),
             MR_TEST_CASE(an_unreachable_broker_is_named))
