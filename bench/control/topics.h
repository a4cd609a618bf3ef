/* bench/control/topics.h: topics that come and go, asked by one client one after the other.
 *
 * Any failure ends the program (die.h). */
#ifndef MR_BENCH_CONTROL_TOPICS_H
#define MR_BENCH_CONTROL_TOPICS_H

#include <stdint.h>

#include "control/cli/client.h"
#include "dataplane/base/histo.h"

/* Makes sure that groups have a coordinator, and that there is the topic that members commit to. */
void topics_prepare(struct mr_client *client);

/* Creates and deletes topics for so many seconds. Returns topics per second; the times of their
 * creations, in ns, go into `creation`. */
double topics_storm(struct mr_client *client, uint32_t partitions, double seconds,
                    struct mr_histo *creation);

/* Creates `count` topics of one partition, 500 in a request. Returns topics per second. */
double topics_fill(struct mr_client *client, uint32_t count);

#endif
