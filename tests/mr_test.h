/* tests/mr_test.h: what every test executable uses.
 *
 * A test is a function `MR_TEST(a_sentence_in_snake_case) { ... }`; MR_TEST_MAIN(...) lists them.
 * The first failed check prints its place and ends the executable with status 1; status 77 skips
 * with a reason. Command line: a substring selects tests. */
#ifndef MR_TESTS_MR_TEST_H
#define MR_TESTS_MR_TEST_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MR_TEST(name) static void name(void)

struct mr_test_case {
    const char *name;
    void (*run)(void);
};

#define MR_TEST_CASE(name)                                                                         \
    {                                                                                              \
#name, name                                                                                \
    }

#define MR_CHECK(condition)                                                                        \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition);          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* Compares two integers and prints both when they differ. */
#define MR_CHECK_EQ(got, want)                                                                     \
    do {                                                                                           \
        int64_t mr_got = (int64_t)(got);                                                           \
        int64_t mr_want = (int64_t)(want);                                                         \
        if (mr_got != mr_want) {                                                                   \
            fprintf(stderr, "%s:%d: %s is %" PRId64 ", expected %s = %" PRId64 "\n", __FILE__,     \
                    __LINE__, #got, mr_got, #want, mr_want);                                       \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define MR_CHECK_STR(got, want)                                                                    \
    do {                                                                                           \
        const char *mr_got = (got);                                                                \
        const char *mr_want = (want);                                                              \
        if (strcmp(mr_got, mr_want) != 0) {                                                        \
            fprintf(stderr, "%s:%d: %s is \"%s\", expected \"%s\"\n", __FILE__, __LINE__, #got,    \
                    mr_got, mr_want);                                                              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* Ends the executable as skipped. */
#define MR_SKIP(reason)                                                                            \
    do {                                                                                           \
        printf("skipped: %s\n", (reason));                                                         \
        exit(77);                                                                                  \
    } while (0)

static inline int
mr_test_run(const struct mr_test_case *cases, size_t count, int argc, char **argv)
{
    for (size_t i = 0; i < count; i++) {
        if (argc > 1 && !strstr(cases[i].name, argv[1])) {
            continue;
        }
        printf("%s\n", cases[i].name);
        fflush(stdout);
        cases[i].run();
    }
    return 0;
}

#define MR_TEST_MAIN(...)                                                                          \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        static const struct mr_test_case cases[] = {__VA_ARGS__};                                  \
        return mr_test_run(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);                   \
    }

#endif
