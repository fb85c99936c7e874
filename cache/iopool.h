/* SPDX-License-Identifier: BSD-2-Clause */
/* iopool - the persistent I/O pool
 *
 * What:    takes requests for host files and calls back when they are done.
 *          Two whole backends do the same: io_uring, and a pool of threads
 *          with preadv2/pwritev2. Threads, rings and request slots are made at
 *          open; afterwards no thread is created, nothing is allocated and
 *          lseek is never called. Requests are embedded in their callers and
 *          wait in line when the ring is full.
 *          Order: none between requests in flight. IO_FLUSH covers every
 *          write whose done() was called before the flush was submitted.
 *          A transfer is whole or an error: short ones are carried on with.
 * Model:   disk-rules 7-14; io_uring(7), liburing 2.3.
 * Units:   bytes; off is a byte offset in the file.
 * Threads: submit, cancel and drain from any thread, with no lock held that
 *          done() takes. done() runs on a thread of the pool, never inside
 *          submit; it holds no lock and may submit. Calls of done() for
 *          different requests may run at the same time.
 * Owns:    its threads; a request belongs to the pool from submit until its
 *          done() is called, which may free or submit it again.
 * Errors:  rc of a request: 0 or -errno. -ENODATA a read past the end of file
 *          (unless IO_EOF_ZERO), -ECANCELED, -EROFS, and what the host says.
 *          Flushes fail for ever once one has (cache/hostfile.h).
 */
#ifndef CACHE_IOPOOL_H
#define CACHE_IOPOOL_H

#include "base/err.h"
#include "base/list.h"
#include "cache/hostfile.h"

#define IOPOOL_IOV_MAX 256 /* pieces of one request */

enum io_op {
	IO_READ,
	IO_WRITE,
	IO_FLUSH,
	IO_DISCARD,
	IO_ZERO,
	IO_CALL, /* nothing but done(), on a thread of the pool */
};

#define IO_EOF_ZERO BIT(0) /* what lies past the end of file reads as zeros */

struct ioreq {
	/* the caller's */
	enum io_op op;
	u32 flags;
	struct hostfile *file;	 /* not for IO_CALL */
	u64 off, size_bytes;	 /* IO_READ, IO_WRITE: what iov holds */
	const struct iovec *iov; /* stays until done */
	unsigned iov_count;
	u64 id; /* for the trace: of the guest request behind it, or 0 */
	void (*done)(struct ioreq *r);

	/* the answer */
	int rc;
	u64 moved_bytes; /* from the start on, before an error */

	/* the pool's */
	struct list link;
	struct hostfile_waiter waiter;
	struct iopool *pool;
	u64 start_ns;
	u32 state;
	u32 gate;    /* of the file */
	bool inside; /* of that gate */
};

struct iopool_config {
	const char *backend; /* "auto", "uring", "threads" */
	unsigned depth;	     /* requests at the host at once; 0: 64 */
	unsigned threads;    /* of the thread pool; 0: 8 */
};

struct iopool;

int iopool_open(struct iopool **out, const struct iopool_config *cfg,
		struct err *e) MUST_CHECK;

/* Nothing may be in flight. */
void iopool_close(struct iopool *p);

/* "uring" or "threads", and one line that says why. */
const char *iopool_backend(const struct iopool *p);
const char *iopool_why(const struct iopool *p);

/* Memory that many requests will use: the host pins it once. A hint: no
 * answer, and requests with other memory work as well. At most one region.
 * Pinned memory must be forgotten before it is unmapped: the host would go on
 * using the old pages for whatever is mapped at its address next. */
void iopool_register_memory(struct iopool *p, void *base, u64 size_bytes);
void iopool_forget_memory(struct iopool *p, void *base);

/* The same for a file: to be called after it is opened, and before it is
 * closed. At most 64 are remembered. */
void iopool_register_file(struct iopool *p, struct hostfile *f);
void iopool_forget_file(struct iopool *p, struct hostfile *f);

/* All requests of the array with one host call where the backend can. */
void iopool_submit(struct iopool *p, struct ioreq *const *reqs, unsigned count);

/* A request that has not begun is done with -ECANCELED, soon and on a thread
 * of the pool; one that has begun goes on. Harmless on one that is done, while
 * its memory is there. */
void iopool_cancel(struct iopool *p, struct ioreq *r);

/* Waits until every request submitted before is done. Not from done(). */
void iopool_drain(struct iopool *p);

struct iopool_stats {
	u64 submitted, finished, failed;
	u64 host_calls; /* io_uring_enter, or calls of the threads */
	u64 waited;	/* had to wait in line */
};
void iopool_stats(struct iopool *p, struct iopool_stats *st);

#endif
