/* control/scrape.h: one round of figures for /metrics.
 *
 *     IDLE ──begin──► LAG ──all collected──► SHARDS ──all in, or late──► PAGE ──► IDLE: done
 *
 * LAG: committed offsets are collected, a bit in each turn of the loop. SHARDS: every shard fills
 * in its figures and the ends of its logs, some of them for each message, so that no shard is held
 * up. One that does not within MR_SCRAPE_WAIT_MS is left out of the page, and of later ones until
 * it has. PAGE: a worker makes the text.
 *
 * Thread: control. Limits: one struct mr_ctl_metrics for each shard; MR_LAG_ENTRIES_MAX. */
#ifndef MR_CONTROL_SCRAPE_H
#define MR_CONTROL_SCRAPE_H

#include "control/loop.h"

#define MR_SCRAPE_WAIT_MS 5000u

struct mr_scrape;

/* `done` gets the page, which is then its owner's to free(), or NULL without memory; in a later
 * turn than its begin. -ENOMEM. */
int mr_scrape_create(struct mr_control *control,
                     void (*done)(void *context, char *page, size_t size), void *context,
                     struct mr_scrape **out);

/* Once the loop runs. */
void mr_scrape_start(struct mr_scrape *scrape);

/* False: a round is under way, whose figures may be older than this call. */
bool mr_scrape_begin(struct mr_scrape *scrape);

/* Once a turn: asks shards for which there was no credit. */
void mr_scrape_turn(struct mr_scrape *scrape);

/* A shard has filled in what it was sent. */
void mr_scrape_replied(struct mr_scrape *scrape, unsigned shard);

/* The loop and the shards have ended. NULL is fine. */
void mr_scrape_destroy(struct mr_scrape *scrape);

#endif
