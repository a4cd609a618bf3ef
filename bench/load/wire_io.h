/* bench/load/wire_io.h: the generator's connections over a DPDK device and our own TCP.
 *
 * One device and one thread in a process, which the device lives as long as. What is sent is copied
 * once, as the kernel would. */
#ifndef MR_BENCH_LOAD_WIRE_IO_H
#define MR_BENCH_LOAD_WIRE_IO_H

#include "bench/load/options.h"
#include "control/cli/client.h"

/* Starts the device of `options`; NULL after a line on stderr. */
const struct mr_client_io *load_wire_open(const struct load_options *options);

/* One turn of the transport; it may rest a little where `due_ns` is far. */
void load_wire_turn(uint64_t due_ns);

#endif
