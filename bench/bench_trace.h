/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_trace - what a cached write costs on the host, read from a trace
 *
 * What:    takes the time that the controller, the disk and the cache spent on
 *          each 4 KiB write: from the write of the command register until the
 *          command is accepted, and from the write that starts the bus master
 *          until INTRQ. What the guest runs between the two is not the host's
 *          share. The time that tracing itself takes is in it.
 * Units:   microseconds.
 * Threads: one.
 * Owns:    nothing.
 * Errors:  -errno of open(2); -ENODATA no such write in the trace; -EOVERFLOW
 *          the trace has gaps.
 */
#ifndef BENCH_BENCH_TRACE_H
#define BENCH_BENCH_TRACE_H

#include "base/bits.h"

#define BENCH_TRACE_POINTS \
	"ide_reg_write,ide_command,ide_bm_write,ide_submit,ide_intrq"

struct bench_trace {
	unsigned count;
	double p50_us, p99_us;
};

int bench_trace_read(const char *path, struct bench_trace *t) MUST_CHECK;

#endif
