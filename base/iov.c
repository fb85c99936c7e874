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

/* A walk over the pieces of [at, at + left). */
struct walk {
	const struct iovec *iov, *end;
	u64 at, left;
};

static bool
walk_next(struct walk *w, char **piece, size_t *piece_bytes)
{
	while (w->left != 0) {
		assert(w->iov < w->end);
		if (w->at < w->iov->iov_len) {
			*piece = (char *)w->iov->iov_base + w->at;
			*piece_bytes = MIN(w->iov->iov_len - w->at, w->left);
			w->left -= *piece_bytes;
			w->at += *piece_bytes;
			return true;
		}
		w->at -= w->iov->iov_len;
		w->iov++;
	}
	return false;
}

void
iov_read(void *to, const struct iovec *iov, unsigned count, u64 at,
	 u64 size_bytes)
{
	struct walk w = {iov, iov + count, at, size_bytes};
	char *out = to, *piece;
	size_t n;

	while (walk_next(&w, &piece, &n)) {
		memcpy(out, piece, n);
		out += n;
	}
}

void
iov_write(const struct iovec *iov, unsigned count, u64 at, const void *from,
	  u64 size_bytes)
{
	struct walk w = {iov, iov + count, at, size_bytes};
	const char *in = from;
	char *piece;
	size_t n;

	while (walk_next(&w, &piece, &n)) {
		memcpy(piece, in, n);
		in += n;
	}
}

void
iov_zero(const struct iovec *iov, unsigned count, u64 at, u64 size_bytes)
{
	struct walk w = {iov, iov + count, at, size_bytes};
	char *piece;
	size_t n;

	while (walk_next(&w, &piece, &n))
		memset(piece, 0, n);
}

unsigned
iov_slice(struct iovec *out, unsigned max, const struct iovec *iov,
	  unsigned count, u64 at, u64 size_bytes)
{
	struct walk w = {iov, iov + count, at, size_bytes};
	unsigned used = 0;
	char *piece;
	size_t n;

	while (walk_next(&w, &piece, &n)) {
		if (used == max)
			return 0;
		out[used++] = (struct iovec){piece, n};
	}
	return used;
}
