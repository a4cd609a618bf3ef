/* Goal: the configuration's readers take what Kafka's take, later sources win, and each fault names
 * its place and the way out. Method: small files in a temporary directory. */
#include <errno.h>
#include <unistd.h>

#include "control/profile.h"
#include "tests/mr_test.h"

#define ERROR_SIZE 1024u

static const char *
write_file(const char *text)
{
    static char path[64];
    FILE *file;
    int fd;

    snprintf(path, sizeof(path), "/tmp/millrace-config-XXXXXX");
    fd = mkstemp(path);
    MR_CHECK(fd >= 0);
    file = fdopen(fd, "w");
    MR_CHECK(file && fputs(text, file) >= 0);
    fclose(file);
    return path;
}

static int
load(struct mr_config *config, const char *text, bool profile, char *error)
{
    const char *path = write_file(text);
    int result = profile ? mr_profile_load(config, path, error, ERROR_SIZE)
                         : mr_config_load(config, path, error, ERROR_SIZE);

    unlink(path);
    return result;
}

/* The text must be refused with a sentence that has each of the three parts. */
static void
check_refused(const char *text, bool profile, const char *line, const char *fault, const char *hint)
{
    struct mr_config *config = mr_config_create();
    char error[ERROR_SIZE] = "";

    MR_CHECK_EQ(load(config, text, profile, error), -EINVAL);
    if (!strstr(error, "/tmp/millrace-config-") || !strstr(error, line) || !strstr(error, fault) ||
        !strstr(error, hint)) {
        fprintf(stderr, "\"%s\" lacks \"%s\", \"%s\" or \"%s\"\n", error, line, fault, hint);
        exit(1);
    }
    mr_config_destroy(config);
}

MR_TEST(an_unknown_key_names_file_line_and_the_nearest_key)
{
    check_refused("# a comment\n\nnode.id=3\nnum.partition=5\n", false, ":4:", "'num.partition'",
                  "'num.partitions'");
}

MR_TEST(a_value_of_the_wrong_type_names_file_line_and_type)
{
    check_refused("num.partitions=many\n", false, ":1:", "'many'", "a whole number");
    check_refused("num.partitions=99999999999\n", false, ":1:", "'99999999999'", "num.partitions");
    check_refused("delete.topic.enable=yes\n", false, ":1:", "'yes'", "true or false");
}

MR_TEST(a_number_out_of_its_bounds_names_file_line_and_bounds)
{
    struct mr_config *config = mr_config_create();
    char error[ERROR_SIZE];

    check_refused("offsets.topic.num.partitions=-1\n", false, ":1:", "'-1'", "between 1 and 10000");
    check_refused("\nnode.id=-1\n", false, ":2:", "'node.id'", "between 0 and 2147483647");
    check_refused("num.partitions=10001\n", false, ":1:", "'num.partitions'", "10000");
    check_refused("[memory]\nbytes = 0\n", true, ":2:", "'memory.bytes'", "between 1");
    MR_CHECK_EQ(load(config, "num.partitions=10000\ngroup.max.size=1\nnode.id=0\n", false, error),
                0);
    mr_config_destroy(config);
}

MR_TEST(properties_are_read_with_all_separators_comments_and_continuations)
{
    struct mr_config *config = mr_config_create();
    char error[ERROR_SIZE];

    MR_CHECK_EQ(load(config,
                     "! note\n  # note \\\nnode.id : 4\n  num.partitions = 6  \n"
                     "delete.topic.enable false\nlog.retention.\\\n   ms=1\\\n  2\\\n  3\n"
                     "default.replication.factor=1",
                     false, error),
                0);
    MR_CHECK_EQ(mr_config_long(config, "node.id"), 4);
    MR_CHECK_EQ(mr_config_long(config, "num.partitions"), 6);
    MR_CHECK(!mr_config_bool(config, "delete.topic.enable"));
    MR_CHECK_EQ(mr_config_long(config, "log.retention.ms"), 123);
    MR_CHECK_EQ(mr_config_long(config, "default.replication.factor"), 1);
    mr_config_destroy(config);
}

MR_TEST(lines_are_counted_through_continuations)
{
    check_refused("node.id=\\\n3\n\nnonsense.key=1\n", false, ":4:", "'nonsense.key'",
                  "did you mean");
}

MR_TEST(later_sources_win_and_the_origin_tells_which)
{
    struct mr_config *config = mr_config_create();
    char error[ERROR_SIZE];

    MR_CHECK(!mr_config_origin(config, "shards"));
    MR_CHECK_EQ(load(config, "[cores]\nshards = 2\n", true, error), 0);
    MR_CHECK_EQ(mr_config_long(config, "shards"), 2);
    MR_CHECK_EQ(load(config, "shards=3\n", false, error), 0);
    MR_CHECK_EQ(mr_config_long(config, "shards"), 3);
    MR_CHECK(strstr(mr_config_origin(config, "shards"), ":1"));
    MR_CHECK_EQ(mr_config_set_pair(config, "shards=4", "--set", error, sizeof(error)), 0);
    MR_CHECK_EQ(mr_config_long(config, "shards"), 4);
    MR_CHECK_STR(mr_config_origin(config, "shards"), "--set");
    mr_config_destroy(config);
}

MR_TEST(a_refused_value_leaves_the_former_one)
{
    struct mr_config *config = mr_config_create();
    char error[ERROR_SIZE];

    MR_CHECK_EQ(mr_config_set_pair(config, "shards=4", "--set", error, sizeof(error)), 0);
    MR_CHECK_EQ(mr_config_set_pair(config, "shards=x", "--set", error, sizeof(error)), -EINVAL);
    MR_CHECK_EQ(mr_config_set_pair(config, "shards", "--set", error, sizeof(error)), -EINVAL);
    MR_CHECK_EQ(mr_config_set_pair(config, "=4", "--set", error, sizeof(error)), -EINVAL);
    MR_CHECK_EQ(mr_config_long(config, "shards"), 4);
    mr_config_destroy(config);
}

MR_TEST(a_profiles_faults_name_file_and_line)
{
    check_refused("[cores]\n; a note\nshard = 2\n", true, ":3:", "'[cores] shard'",
                  "'[cores] shards'");
    check_refused("[cores]\nshards = two\n", true, ":2:", "'two'", "a whole number");
    check_refused("[cores]\nshards\n", true, ":2:", "[section]", "name = value");
}

MR_TEST(a_file_that_is_not_there_is_named)
{
    struct mr_config *config = mr_config_create();
    char error[ERROR_SIZE] = "";

    MR_CHECK(mr_config_load(config, "/nonexistent/a.properties", error, sizeof(error)) < 0);
    MR_CHECK(strstr(error, "/nonexistent/a.properties"));
    MR_CHECK(mr_profile_load(config, "/nonexistent/b.ini", error, sizeof(error)) < 0);
    MR_CHECK(strstr(error, "/nonexistent/b.ini"));
    mr_config_destroy(config);
}

MR_TEST_MAIN(MR_TEST_CASE(an_unknown_key_names_file_line_and_the_nearest_key),
             MR_TEST_CASE(a_value_of_the_wrong_type_names_file_line_and_type),
             MR_TEST_CASE(a_number_out_of_its_bounds_names_file_line_and_bounds),
             MR_TEST_CASE(properties_are_read_with_all_separators_comments_and_continuations),
             MR_TEST_CASE(lines_are_counted_through_continuations),
             MR_TEST_CASE(later_sources_win_and_the_origin_tells_which),
             MR_TEST_CASE(a_refused_value_leaves_the_former_one),
             MR_TEST_CASE(a_profiles_faults_name_file_and_line),
             MR_TEST_CASE(a_file_that_is_not_there_is_named))
