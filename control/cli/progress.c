/* control/cli/progress.c: how far long work is, on a terminal. */
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "control/cli/cli.h"

#define EVERY_MS  100
#define BAR_WIDTH 30

static int64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
cli_progress_begin(struct cli_progress *progress, const char *label, uint64_t total)
{
    *progress = (struct cli_progress){
        .label = label, .total = isatty(STDERR_FILENO) ? total : 0, .next_ms = now_ms() + EVERY_MS};
}

void
cli_progress_step(struct cli_progress *progress, uint64_t done)
{
    unsigned filled;
    int64_t now;

    if (progress->total == 0 || (now = now_ms()) < progress->next_ms) {
        return;
    }
    done = done < progress->total ? done : progress->total;
    filled = (unsigned)(done * BAR_WIDTH / progress->total);
    fprintf(stderr, "\r%s [", progress->label);
    for (unsigned i = 0; i < BAR_WIDTH; i++) {
        fputc(i < filled ? '#' : ' ', stderr);
    }
    fprintf(stderr, "] %3" PRIu64 "%%", done * 100 / progress->total);
    progress->next_ms = now + EVERY_MS;
    progress->shown = true;
}

void
cli_progress_end(struct cli_progress *progress)
{
    if (progress->shown) {
        fputs("\r\033[K", stderr); /* the line is for what comes of the work */
    }
}
