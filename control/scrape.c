/* control/scrape.c: committed offsets, then the shards' figures, then a page of text. */
#include "control/scrape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/coordinator.h"
#include "control/metrics.h"
#include "dataplane/base/assert.h"
#include "dataplane/shard/msg.h"

#define ENDS_PER_MESSAGE 1024u

enum scrape_state {
    SCRAPE_IDLE,
    SCRAPE_LAG,
    SCRAPE_SHARDS,
    SCRAPE_PAGE,
};

/* What a shard is asked for. While `lent` everything that `figures` leads to is the shard's. */
struct scrape_shard {
    struct mr_ctl_metrics *figures;
    struct mr_lag_ends ends;
    uint32_t ends_asked;
    bool lent;
    bool joins; /* in this round: it was not lent any more when that asked the shards */
    bool in;    /* joins, and has given all */
};

struct mr_scrape {
    struct mr_control *control;
    enum scrape_state state;
    uv_idle_t collector; /* active in LAG: the loop does not sleep */
    uv_timer_t deadline;
    uv_work_t work;
    struct scrape_shard *shards; /* [shard_count] */
    const struct mr_snapshot *snapshot;
    struct mr_lag lag;
    int32_t lag_partition; /* the next one to collect from */
    struct mr_figures figures;
    struct mr_lag_ends *ends; /* [shard_count], for the worker */
    char *page;
    size_t page_size;
    void (*done)(void *context, char *page, size_t size);
    void *context;
};

static void
set_state(struct mr_scrape *scrape, enum scrape_state state)
{
    MR_ASSERT(state == SCRAPE_IDLE || state == scrape->state + 1);
    scrape->state = state;
}

/* ---- the page -------------------------------------------------------------------------------- */

static void
round_end(struct mr_scrape *scrape)
{
    char *page = scrape->page;

    if (scrape->snapshot) {
        mr_metadata_snapshot_release(scrape->snapshot);
    }
    scrape->snapshot = NULL;
    scrape->page = NULL;
    mr_lag_free(&scrape->lag);
    set_state(scrape, SCRAPE_IDLE);
    scrape->done(scrape->context, page, scrape->page_size);
}

static void
render_on_worker(uv_work_t *work)
{
    struct mr_scrape *scrape = MR_CONTAINER_OF(work, struct mr_scrape, work);

    scrape->page = mr_metrics_render(&scrape->figures, &scrape->page_size);
}

static void
render_done(uv_work_t *work, int status)
{
    (void)status; /* nothing cancels it */
    round_end(MR_CONTAINER_OF(work, struct mr_scrape, work));
}

static void
render(struct mr_scrape *scrape)
{
    struct mr_control *control = scrape->control;
    struct mr_figures *figures = &scrape->figures;

    uv_timer_stop(&scrape->deadline);
    for (unsigned i = 0; i < control->config.shard_count; i++) {
        const struct scrape_shard *shard = &scrape->shards[i];

        figures->shards[i] = shard->in ? shard->figures : NULL;
        scrape->ends[i] = shard->in ? shard->ends : (struct mr_lag_ends){0};
    }
    figures->lag = &scrape->lag;
    figures->snapshot = scrape->snapshot;
    mr_groups_stats(mr_coordinator_groups(control->coordinator), &figures->groups);
    figures->partitions = mr_metadata_partitions(control->metadata);
    figures->snapshots = mr_metadata_snapshots(control->metadata);
    mr_metalog_fill(control->metalog, &figures->metalog_used_bytes, &figures->metalog_size_bytes);
    set_state(scrape, SCRAPE_PAGE);
    uv_queue_work(&control->loop, &scrape->work, render_on_worker, render_done);
}

/* ---- the shards ------------------------------------------------------------------------------ */

static void
ask(struct mr_scrape *scrape, unsigned index)
{
    struct scrape_shard *shard = &scrape->shards[index];
    struct mr_ctl_metrics *figures = shard->figures;
    uint32_t left = shard->ends.count - shard->ends_asked;

    if (!shard->joins || shard->in || shard->lent ||
        !mr_mesh_take(scrape->control->port, index, MR_MESH_REQUEST)) {
        return;
    }
    figures->ends = shard->ends.entries + shard->ends_asked;
    figures->end_count = left < ENDS_PER_MESSAGE ? left : ENDS_PER_MESSAGE;
    figures->ends_only = left > ENDS_PER_MESSAGE;
    shard->ends_asked += figures->end_count;
    shard->lent = true;
    mr_mesh_send(scrape->control->port, index,
                 (struct mr_msg){.type = MR_MSG_METRICS, .context = figures});
}

void
mr_scrape_turn(struct mr_scrape *scrape)
{
    for (unsigned i = 0; scrape->state == SCRAPE_SHARDS && i < scrape->control->config.shard_count;
         i++) {
        ask(scrape, i);
    }
}

static void
render_if_all_in(struct mr_scrape *scrape)
{
    for (unsigned i = 0; i < scrape->control->config.shard_count; i++) {
        if (scrape->shards[i].joins && !scrape->shards[i].in) {
            return;
        }
    }
    render(scrape);
}

void
mr_scrape_replied(struct mr_scrape *scrape, unsigned index)
{
    struct scrape_shard *shard = &scrape->shards[index];

    shard->lent = false;
    if (scrape->state != SCRAPE_SHARDS || !shard->joins) {
        return; /* too late for its round */
    }
    shard->in = !shard->figures->ends_only;
    ask(scrape, index);
    render_if_all_in(scrape);
}

static void
on_deadline(uv_timer_t *timer)
{
    render(timer->data);
}

static void
shards_begin(struct mr_scrape *scrape)
{
    unsigned count = scrape->control->config.shard_count;

    memset(scrape->ends, 0, count * sizeof(*scrape->ends));
    mr_lag_share(&scrape->lag, scrape->ends, count);
    for (unsigned i = 0; i < count; i++) {
        struct scrape_shard *shard = &scrape->shards[i];
        struct mr_lag_ends unused = shard->lent ? scrape->ends[i] : shard->ends;

        free(unused.entries);
        shard->ends = shard->lent ? shard->ends : scrape->ends[i];
        shard->ends_asked = 0;
        shard->joins = !shard->lent;
        shard->in = false;
    }
    set_state(scrape, SCRAPE_SHARDS);
    uv_timer_start(&scrape->deadline, on_deadline, MR_SCRAPE_WAIT_MS, 0);
    mr_scrape_turn(scrape);
    render_if_all_in(scrape);
}

/* ---- committed offsets ----------------------------------------------------------------------- */

static void
on_collect(uv_idle_t *collector)
{
    struct mr_scrape *scrape = collector->data;

    if (scrape->snapshot &&
        mr_lag_collect(scrape->control, scrape->snapshot, scrape->lag_partition, &scrape->lag)) {
        scrape->lag_partition++;
        return;
    }
    uv_idle_stop(collector);
    if (scrape->snapshot) {
        shards_begin(scrape);
    } else {
        round_end(scrape);
    }
}

bool
mr_scrape_begin(struct mr_scrape *scrape)
{
    if (scrape->state != SCRAPE_IDLE) {
        return false;
    }
    set_state(scrape, SCRAPE_LAG);
    scrape->snapshot = mr_metadata_snapshot(scrape->control->metadata);
    scrape->lag_partition = 0;
    uv_idle_start(&scrape->collector, on_collect);
    return true;
}

/* ---- life ------------------------------------------------------------------------------------ */

int
mr_scrape_create(struct mr_control *control, void (*done)(void *context, char *page, size_t size),
                 void *context, struct mr_scrape **out)
{
    struct mr_scrape *scrape = calloc(1, sizeof(*scrape));
    unsigned count = control->config.shard_count;
    bool good;

    if (!scrape) {
        return -ENOMEM;
    }
    scrape->control = control;
    scrape->done = done;
    scrape->context = context;
    scrape->figures.shard_count = count;
    scrape->shards = calloc(count, sizeof(*scrape->shards));
    scrape->ends = calloc(count, sizeof(*scrape->ends));
    scrape->figures.ends = scrape->ends;
    scrape->figures.shards = calloc(count, sizeof(*scrape->figures.shards));
    good = scrape->shards && scrape->ends && scrape->figures.shards;
    for (unsigned i = 0; good && i < count; i++) {
        scrape->shards[i].figures = calloc(1, sizeof(*scrape->shards[i].figures));
        good = scrape->shards[i].figures;
    }
    if (!good) {
        mr_scrape_destroy(scrape);
        return -ENOMEM;
    }
    *out = scrape;
    return 0;
}

void
mr_scrape_start(struct mr_scrape *scrape)
{
    scrape->collector.data = scrape;
    scrape->deadline.data = scrape;
    uv_idle_init(&scrape->control->loop, &scrape->collector);
    uv_timer_init(&scrape->control->loop, &scrape->deadline);
}

void
mr_scrape_destroy(struct mr_scrape *scrape)
{
    if (!scrape) {
        return;
    }
    for (unsigned i = 0; scrape->shards && i < scrape->control->config.shard_count; i++) {
        free(scrape->shards[i].figures);
        free(scrape->shards[i].ends.entries);
    }
    if (scrape->snapshot) {
        mr_metadata_snapshot_release(scrape->snapshot);
    }
    mr_lag_free(&scrape->lag);
    free(scrape->figures.shards);
    free(scrape->ends);
    free(scrape->shards);
    free(scrape);
}
