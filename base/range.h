/* SPDX-License-Identifier: BSD-2-Clause */
/* range - overflow-checked start + length arithmetic
 *
 * What:    every sum of a start and a length that a guest, a file or a socket
 *          chose goes through here (lba + count, gpa + size).
 * Units:   the caller's; both arguments in the same one.
 * Threads: pure functions.
 */
#ifndef BASE_RANGE_H
#define BASE_RANGE_H

#include "base/bits.h"

/* True when [start, start + size) lies inside [0, limit) with no wrap.
 * An empty range at or before limit is inside. */
static inline bool
range_inside(u64 start, u64 size, u64 limit)
{
	return start <= limit && size <= limit - start;
}

/* True when [start, start + size) lies inside [lo, lo + lo_size). */
static inline bool
range_within(u64 start, u64 size, u64 lo, u64 lo_size)
{
	return start >= lo && range_inside(start - lo, size, lo_size);
}

static inline bool
range_overlap(u64 a, u64 a_size, u64 b, u64 b_size)
{
	return a < b ? b - a < a_size && b_size != 0
		     : a - b < b_size && a_size != 0;
}

#endif
