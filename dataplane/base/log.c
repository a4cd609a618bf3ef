/* base/log.c: formats a line and writes it at once. */
#include "dataplane/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE_MAX 1024

static enum mr_log_level level_max = MR_LOG_LEVEL_INFO;
static const char *const level_names[] = {"ERROR", "WARN ", "INFO ", "DEBUG"};

void
mr_log_level_set(enum mr_log_level level)
{
    level_max = level;
}

void
mr_log_line(enum mr_log_level level, const char *module, const char *format, ...)
{
    char line[LINE_SIZE_MAX];
    struct timespec ts;
    struct tm tm;
    va_list args;
    size_t used;
    int wrote;

    if (level > level_max) {
        return;
    }
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    used = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
    used += (size_t)snprintf(line + used, sizeof(line) - used,
                             ".%03ldZ %s %s: ", ts.tv_nsec / 1000000, level_names[level], module);
    va_start(args, format);
    wrote = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
    va_end(args);
    used += wrote < 0 ? 0 : (size_t)wrote;
    if (used > sizeof(line) - 2) {
        used = sizeof(line) - 2; /* a longer line is cut */
    }
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, used) < 0) {
        return; /* nobody is left to be told */
    }
}
