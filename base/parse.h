/* SPDX-License-Identifier: BSD-2-Clause */
/* parse - numbers and sizes as people type them
 *
 * What:    strict readers for option values: the whole text must be the
 *          number, nothing is rounded, and what does not fit is refused
 *          rather than wrapped.
 * Units:   parse_size() speaks bytes; its suffixes are powers of 1024.
 * Threads: pure functions.
 * Owns:    nothing.
 * Errors:  -EINVAL not a number or size, -ERANGE outside what is allowed;
 *          the sentence quotes the text.
 */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include "base/bits.h"
#include "base/err.h"

/* "4096", "512M", "2GiB", "64k": decimal or 0x digits, then at most one of
 * K M G T (either case), alone or followed by "iB" or "B". */
MUST_CHECK int parse_size(const char *text, u64 *size_bytes, struct err *e);

/* A decimal or 0x number in min..max. */
MUST_CHECK int parse_u64(const char *text, u64 min, u64 max, u64 *value,
			 struct err *e);

#endif
