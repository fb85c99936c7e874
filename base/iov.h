/* SPDX-License-Identifier: BSD-2-Clause */
/* iov - bytes that lie in several pieces
 *
 * What:    copying between a flat buffer and a vector of pieces, and cutting a
 *          part out of a vector.
 * Units:   bytes; at is where in the vector, counted over all its pieces.
 * Threads: pure functions.
 * Owns:    nothing.
 */
#ifndef BASE_IOV_H
#define BASE_IOV_H

#include <sys/uio.h>

#include "base/bits.h"

u64 iov_bytes(const struct iovec *iov, unsigned count);

/* [at, at + size_bytes) of the vector must exist. */
void iov_read(void *to, const struct iovec *iov, unsigned count, u64 at,
	      u64 size_bytes);
void iov_write(const struct iovec *iov, unsigned count, u64 at,
	       const void *from, u64 size_bytes);
void iov_zero(const struct iovec *iov, unsigned count, u64 at, u64 size_bytes);

/* The pieces of [at, at + size_bytes), at most max of them, into out. Returns
 * how many, or 0 when max is too small. */
unsigned iov_slice(struct iovec *out, unsigned max, const struct iovec *iov,
		   unsigned count, u64 at, u64 size_bytes);

#endif
