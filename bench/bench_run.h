/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_run - what benchmarks beside another program have in common
 *
 * What:    starts a program and hands its output on, a line at a time; keeps
 *          samples of two sides, ours and the peer's, and gives their medians.
 * Units:   seconds are double, as they are printed.
 * Threads: one.
 * Owns:    nothing.
 * Errors:  -EIO the program ended, or was ended, before it was done.
 */
#ifndef BENCH_BENCH_RUN_H
#define BENCH_BENCH_RUN_H

#include <sys/types.h>

#include "base/bits.h"

#define BENCH_ROUNDS_MAX 15

enum bench_side { BENCH_OURS, BENCH_PEER, BENCH_SIDES };

struct bench_samples {
	double value[BENCH_ROUNDS_MAX];
	unsigned count;
};

/* 0 when there is none. */
double bench_median(struct bench_samples *s);

/* How far they lie apart, in percent of the median. */
double bench_spread(struct bench_samples *s);

/* More than BENCH_ROUNDS_MAX are dropped. */
void bench_add(struct bench_samples *s, double value);

struct bench_run {
	pid_t pid;
	/* Called with each line, and with NULL when timer_ns has come. True:
	 * the run is done. */
	bool (*line)(struct bench_run *r, const char *line);
	u64 timer_ns; /* of clock_now_ns(); 0: none */

	/* the run's */
	int out;
	char text[1024];
	size_t used;
	char last[1024]; /* what was said last, for the one who wonders */
};

/* Starts argv, its output piped; stdin is empty. 0 or -errno. */
int bench_start(struct bench_run *r, const char *const *argv) MUST_CHECK;

/* Follows it to its end, or until limit_ns have passed. */
int bench_follow(struct bench_run *r, u64 limit_ns) MUST_CHECK;

/* CPU time of a thread of a process, user mode only, in seconds; negative
 * when there is none. name NULL: the first thread. */
double bench_thread_user_s(pid_t pid, const char *name);

/* A figure means little without the machine, and what else it was doing. */
void bench_print_machine(void);

#endif
