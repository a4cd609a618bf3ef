/* bench/control/die.h: how mr_control_load ends when it cannot go on: one line, status 1. */
#ifndef MR_BENCH_CONTROL_DIE_H
#define MR_BENCH_CONTROL_DIE_H

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

#endif
