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

/* A walk over a vector that goes on where it was. */
struct iov_cursor {
	const struct iovec *iov, *end;
	u64 at; /* in *iov, or beyond it */
};

static inline struct iov_cursor
iov_cursor(const struct iovec *iov, unsigned count, u64 at)
{
	return (struct iov_cursor){iov, iov + count, at};
}

/* The next bytes that lie together: where, and how many, at most max_bytes
 * (not 0). So many must be left in the vector. */
size_t iov_next(struct iov_cursor *c, u64 max_bytes, u8 **piece);

void iov_cursor_read(struct iov_cursor *c, void *to, u64 size_bytes);

/* from NULL: zeros. */
void iov_cursor_write(struct iov_cursor *c, const void *from, u64 size_bytes);

#endif
