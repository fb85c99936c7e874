/* SPDX-License-Identifier: BSD-2-Clause */
/* diff_run - one process of the differential test at work
 *
 * What:    makes cases, runs them on both sides, reports what differs; and
 *          the test of the test. diff_cpu.c starts processes that do this.
 * Threads: one thread; struct progress is shared with the parent.
 * Owns:    the caller owns everything; diff_run() opens and closes the sides.
 */
#ifndef TESTS_DIFF_RUN_H
#define TESTS_DIFF_RUN_H

#include <stdatomic.h>

#include "tests/diff_int.h"

enum {
	DIFF_SINGLE,
	DIFF_SEQUENCE,
	DIFF_SYSTEM,
	DIFF_SINGLE32,
	DIFF_SEQUENCE32,
	DIFF_SYSTEM32,
	DIFF_KINDS
};

extern const char diff_kind_letter[DIFF_KINDS + 1];
extern const char *const diff_kind_name[DIFF_KINDS];

struct diff_options {
	const char *driver;
	const char *only;
	u64 seed;
	u64 count[DIFF_KINDS];
	unsigned jobs;
	unsigned failures_max;
	int replay_kind; /* -1: none */
	u64 replay_index;
	int ignore; /* a vector of the host, -1: none */
	bool self_test_only;
	bool list;
};

/* Shared between the parent and one worker. */
struct diff_progress {
	_Atomic u64 started; /* cases so far, also tells that it moves */
	_Atomic u64 index;   /* of the case that runs now */
	_Atomic int kind;
	u64 done[DIFF_KINDS];
	u64 ended, faults[32], timeouts, skipped, unsteady;
	unsigned failures;
	u8 seen[ZYDIS_MNEMONIC_MAX_VALUE + 1];
};

struct diff_worker {
	const struct diff_options *opt;
	struct diff_forms *forms[2]; /* 64-bit, compatibility mode */
	struct diff_side host, guest;
	struct diff_progress *p;
	struct diff_case c;
	struct diff_seq seq;
	struct diff_outcome x, y;
};

/* Every jobs-th case, beginning with the self-th. 0, or 3 when a side cannot
 * be opened; differences are counted in w->p. */
int diff_run(struct diff_worker *w, unsigned self);
/* 0, or 1 when the host differs from itself or an error passes. */
int diff_run_self_test(struct diff_worker *w);

#endif
