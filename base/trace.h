/* SPDX-License-Identifier: BSD-2-Clause */
/* trace - what happened, in order, with times and request ids
 *
 * What:    a trace point is a name and the names of up to three numbers. It is
 *          off until trace_enable() is given a pattern that fits its name; off
 *          it costs one load and one branch. On, it copies the event into a
 *          ring of its thread; a writer thread turns rings into text lines:
 *
 *              SECONDS.NANOSECONDS NAME id=N a=N b=N c=N
 *
 *          in the order of their times. A ring that is full drops events and
 *          the writer says how many: a trace has gaps but never lies.
 *          Each folder lists its points in FOLDER/FOLDER_trace.def, one a
 *          line: TRACE_POINT(name, "a", "b", "c") with "" for a number that
 *          is not used. FOLDER/FOLDER_trace.h declares them, and one .c file
 *          defines them (see base/trace_def.h).
 *          Begin and end of one thing are two points with the same id.
 * Units:   times in nanoseconds of CLOCK_MONOTONIC; ids are trace_new_id()'s.
 * Threads: TRACE() from any thread; the rest from the thread that starts.
 * Owns:    rings, writer and file, from trace_start() to trace_stop().
 * Errors:  trace_enable: -ENOENT a pattern fits nothing, with a sentence.
 */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <stdatomic.h>

#include "base/bits.h"
#include "base/err.h"

struct trace_point {
	const char *name;
	const char *arg[3];
	atomic_bool on; /* [atomic] relaxed: a late look is a lost event */
} __attribute__((aligned(64)));

/* Comma-separated shell patterns: "ide_*,cache_flush_*". */
int trace_enable(const char *patterns, struct err *e) MUST_CHECK;

/* Events go to path, or to stderr when it is NULL. */
int trace_start(const char *path, struct err *e) MUST_CHECK;

/* Writes what is still in the rings. Harmless when nothing was started. */
void trace_stop(void);

/* Prints the names of all points, one a line, to stdout. */
void trace_list(void);

void trace_emit(const struct trace_point *tp, u64 id, u64 a, u64 b, u64 c);

/* Never 0; one relaxed atomic increment. */
u64 trace_new_id(void);

#define TRACE(point, id, a, b, c) \
	do { \
		if (unlikely(atomic_load_explicit(&trace_##point.on, \
						  memory_order_relaxed))) \
			trace_emit(&trace_##point, (u64)(id), (u64)(a), \
				   (u64)(b), (u64)(c)); \
	} while (0)

#define TRACE_DECLARE(n) extern struct trace_point trace_##n;

#define TRACE_IS_ON(point) \
	atomic_load_explicit(&trace_##point.on, memory_order_relaxed)

#endif
