/* SPDX-License-Identifier: BSD-2-Clause */
/* hist - a histogram of latencies
 *
 * What:    counts values in buckets that are at most 1/8 wide of what they
 *          hold: eight to each power of two. Adding is one atomic increment.
 * Units:   nanoseconds, up to 2^40 (18 minutes); longer ones count as that.
 * Threads: any, at the same time; a reader sees each counter whole.
 * Owns:    nothing.
 */
#ifndef BASE_HIST_H
#define BASE_HIST_H

#include <stdatomic.h>

#include "base/bits.h"

#define HIST_BUCKETS 304 /* 8 below 8 ns, then 8 for each of 2^3..2^39 */

struct hist {
	_Atomic u64 count, sum_ns, max_ns; /* [atomic] each by itself */
	_Atomic u64 bucket[HIST_BUCKETS];
};

void hist_add(struct hist *h, u64 ns);

/* The value that the share p (0..1) of all is at most; 0 for an empty one. */
u64 hist_quantile_ns(const struct hist *h, double p);

/* Bucket i holds values from here up to where bucket i + 1 begins. */
u64 hist_bucket_ns(unsigned i);

#endif
