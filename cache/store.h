/* SPDX-License-Identifier: BSD-2-Clause */
/* store - what the write cache stands on
 *
 * What:    the ops table through which the cache reaches whatever keeps the
 *          sectors: a raw image now, the image engine. hdd/ fills it, so that
 *          cache/ never includes hdd/. A store does not cache guest data and
 *          does not reorder: a write is in the store when its done() is
 *          called, and durable when a flush submitted after that is done.
 * Model:   disk-rules 2-4, 7-14, 19-21.
 * Units:   lba and count in 512-byte sectors.
 * Threads: submit from any thread, with no lock held that done() takes. done()
 *          runs on a thread of the I/O pool or inside submit().
 * Owns:    a request belongs to the store from submit to done().
 * Errors:  rc 0 or -errno: -EBADMSG a checksum does not hold, -EIO, -ENOSPC,
 *          -ENODATA. For a failed read or write bad_lba is the first sector
 *          that is known to be bad (lba itself when the store cannot tell).
 *          A write that failed may have left any mix of old and new sectors.
 *          A flush that failed fails for ever, until recover() succeeds.
 */
#ifndef CACHE_STORE_H
#define CACHE_STORE_H

#include "cache/iopool.h"

#define SECTOR_BYTES 512U

enum store_op {
	STORE_READ,
	STORE_WRITE,
	STORE_FLUSH,
	STORE_DISCARD, /* reads as zeros afterwards, like STORE_ZERO, and gives
			  the space back if it can */
	STORE_ZERO,
};

struct store_req {
	/* the caller's */
	enum store_op op;
	u64 lba;
	u32 count;
	const struct iovec *iov; /* whole sectors, but pieces of any size */
	unsigned iov_count;	 /* at most IOPOOL_IOV_MAX */
	u64 id;			 /* for the trace */
	void (*done)(struct store_req *r);

	/* the answer */
	int rc;
	u64 bad_lba;

	/* the store's */
	struct ioreq io;
	void *priv;
};

struct store;

struct store_ops {
	void (*submit)(struct store *s, struct store_req *const *reqs,
		       unsigned count);
	/* After a failed flush: everything that may be lost was submitted
	 * again, to new places, and is done (disk-rules 12). 0: flushes work
	 * again. NULL: the store has no new places, it stays failed. */
	int (*recover)(struct store *s);
	/* Is recover() worth the rewriting now? NULL: always. Any thread. */
	bool (*may_recover)(struct store *s);
};

struct store {
	const struct store_ops *ops;
	struct iopool *pool; /* where its I/O runs; for IO_CALL */
	u64 sectors;
	u32 align_sectors; /* writes smaller than this cost a read */
	bool read_only;
	bool can_discard; /* else discards are zeros */
};

static inline void
store_submit(struct store *s, struct store_req *const *reqs, unsigned count)
{
	s->ops->submit(s, reqs, count);
}

#endif
