/* base/assert.h: assertions that stay on in release builds.
 *
 * An assertion states what a bug in Millrace would break. It has one condition and no side
 * effects, and never judges bytes that came from a socket, a disk or a configuration file: those
 * get an error. */
#ifndef MR_BASE_ASSERT_H
#define MR_BASE_ASSERT_H

/* Prints the failed condition with its place to stderr and aborts. */
__attribute__((noreturn, cold)) void mr_assert_failed(const char *condition, const char *file,
                                                      int line);

#define MR_ASSERT(condition)                                                                       \
    (__builtin_expect(!(condition), 0) ? mr_assert_failed(#condition, __FILE__, __LINE__) : (void)0)

#endif
