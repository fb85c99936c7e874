/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/iov.h"

u64
iov_bytes(const struct iovec *iov, unsigned count)
{
	u64 sum = 0;

	for (unsigned i = 0; i < count; i++)
		sum += iov[i].iov_len;
	return sum;
}

size_t
iov_next(struct iov_cursor *c, u64 max_bytes, u8 **piece)
{
	size_t n;

	assert(max_bytes != 0);
	for (;; c->iov++) {
		assert(c->iov < c->end);
		if (c->at < c->iov->iov_len)
			break;
		c->at -= c->iov->iov_len;
	}
	n = MIN(c->iov->iov_len - c->at, max_bytes);
	*piece = (u8 *)c->iov->iov_base + c->at;
	c->at += n;
	return n;
}

void
iov_cursor_read(struct iov_cursor *c, void *to, u64 size_bytes)
{
	u8 *out = to, *piece;

	while (size_bytes != 0) {
		size_t n = iov_next(c, size_bytes, &piece);

		memcpy(out, piece, n);
		out += n;
		size_bytes -= n;
	}
}

void
iov_cursor_write(struct iov_cursor *c, const void *from, u64 size_bytes)
{
	const u8 *in = from;
	u8 *piece;

	while (size_bytes != 0) {
		size_t n = iov_next(c, size_bytes, &piece);

		if (in == NULL) {
			memset(piece, 0, n);
		} else {
			memcpy(piece, in, n);
			in += n;
		}
		size_bytes -= n;
	}
}

void
iov_read(void *to, const struct iovec *iov, unsigned count, u64 at,
	 u64 size_bytes)
{
	struct iov_cursor c = iov_cursor(iov, count, at);

	iov_cursor_read(&c, to, size_bytes);
}

void
iov_write(const struct iovec *iov, unsigned count, u64 at, const void *from,
	  u64 size_bytes)
{
	struct iov_cursor c = iov_cursor(iov, count, at);

	iov_cursor_write(&c, from, size_bytes);
}

void
iov_zero(const struct iovec *iov, unsigned count, u64 at, u64 size_bytes)
{
	struct iov_cursor c = iov_cursor(iov, count, at);

	iov_cursor_write(&c, NULL, size_bytes);
}

unsigned
iov_slice(struct iovec *out, unsigned max, const struct iovec *iov,
	  unsigned count, u64 at, u64 size_bytes)
{
	struct iov_cursor c = iov_cursor(iov, count, at);
	unsigned used = 0;
	u8 *piece;

	while (size_bytes != 0) {
		size_t n = iov_next(&c, size_bytes, &piece);

		if (used == max)
			return 0;
		out[used++] = (struct iovec){piece, n};
		size_bytes -= n;
	}
	return used;
}
