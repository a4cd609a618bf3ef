/* control/admin.h: the admin HTTP server: /healthz, /readyz, /metrics.
 *
 * libmicrohttpd without threads of its own: its epoll descriptor is watched by the control thread's
 * loop, so nothing here ever runs beside the loop, and nothing of it is in the data path. A request
 * for /metrics begins a round of figures (scrape.h) and is answered with its page; those that come
 * meanwhile share the next one.
 *
 * Thread: control. Limits: 32 connections, 10 s each. */
#ifndef MR_CONTROL_ADMIN_H
#define MR_CONTROL_ADMIN_H

#include "control/loop.h"

struct mr_admin;

/* Listens on `listen`, "HOST:PORT". -errno, with one sentence in `error`. */
int mr_admin_create(struct mr_control *control, const char *listen, struct mr_admin **out,
                    char *error, size_t error_size);

/* Once the loop runs. */
void mr_admin_start(struct mr_admin *admin);

/* Once a turn: asks shards for which there was no credit. */
void mr_admin_turn(struct mr_admin *admin);

/* Every second or so: ends silent connections. */
void mr_admin_tick(struct mr_admin *admin);

/* A shard has filled in figures. */
void mr_admin_replied(struct mr_admin *admin, unsigned shard);

/* The loop has ended. NULL is fine. */
void mr_admin_destroy(struct mr_admin *admin);

#endif
