/* base/log.h: the operator's log: one line per event on stderr, levelled, one format.
 *
 *   2026-11-24T16:17:53.123Z INFO  storage: store 0 opened in 12 ms
 *
 * Any thread; a line is one write(2). Rare events only: a shard's tick logs nothing in the normal
 * case, since writing to stderr may block. */
#ifndef MR_BASE_LOG_H
#define MR_BASE_LOG_H

enum mr_log_level {
    MR_LOG_LEVEL_ERROR,
    MR_LOG_LEVEL_WARN,
    MR_LOG_LEVEL_INFO,
    MR_LOG_LEVEL_DEBUG,
};

/* Lines above this level are dropped; set once before the threads start. */
void mr_log_level_set(enum mr_log_level level);

/* @module is a short name such as "storage"; the message ends without a newline. */
__attribute__((format(printf, 3, 4))) void mr_log_line(enum mr_log_level level, const char *module,
                                                       const char *format, ...);

#define MR_LOG_ERROR(module, ...) mr_log_line(MR_LOG_LEVEL_ERROR, module, __VA_ARGS__)
#define MR_LOG_WARN(module, ...)  mr_log_line(MR_LOG_LEVEL_WARN, module, __VA_ARGS__)
#define MR_LOG_INFO(module, ...)  mr_log_line(MR_LOG_LEVEL_INFO, module, __VA_ARGS__)
#define MR_LOG_DEBUG(module, ...) mr_log_line(MR_LOG_LEVEL_DEBUG, module, __VA_ARGS__)

#endif
