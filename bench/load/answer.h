/* bench/load/answer.h: judges the answers a connection receives. */
#ifndef MR_BENCH_LOAD_ANSWER_H
#define MR_BENCH_LOAD_ANSWER_H

#include "bench/load/conn.h"

/* One whole answer without its size. Counts it and moves the fetch positions; returns 0, or
 * -EBADMSG where it cannot be read. */
int load_answer(struct load_conn *conn, const uint8_t *bytes, size_t size, uint64_t now_ns);

/* Counts request `number` as done, with or without error. */
void load_answer_count(struct load_conn *conn, uint64_t number, bool good, uint64_t records,
                       uint64_t bytes, uint64_t now_ns);

#endif
