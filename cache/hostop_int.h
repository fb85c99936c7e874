/* SPDX-License-Identifier: BSD-2-Clause */
/* hostop_int - one access to a host file, as steps
 *
 * What:    a read, write, flush, discard or zeroing takes one step at the host
 *          when all goes well. This is the one place that knows what follows
 *          when it does not: faults that are to be injected, delays, short
 *          transfers, the end of the file, unaligned memory, EINTR and EAGAIN,
 *          what the file system cannot do, and flushes that failed before
 *          (disk-rules 11-14). Whoever makes the host calls, blocking or by
 *          ring, runs
 *
 *              while (hostop_next(o) != HOSTOP_DONE)
 *                      hostop_done(o, make the call that o->step names);
 *
 *          inside of the gate that hostop_gate() names.
 * Units:   bytes.
 * Threads: one at a time for each hostop.
 * Owns:    nothing.
 * Errors:  rc, as documented in cache/iopool.h.
 */
#ifndef CACHE_HOSTOP_INT_H
#define CACHE_HOSTOP_INT_H

#include "cache/hostfile_int.h"

#define HOSTOP_IOV_MAX 256

enum hostop_kind {
	HOSTOP_KIND_READ,
	HOSTOP_KIND_WRITE,
	HOSTOP_KIND_FLUSH,
	HOSTOP_KIND_DISCARD,
	HOSTOP_KIND_ZERO,
};

enum hostop_step {
	HOSTOP_DONE,  /* rc is the answer */
	HOSTOP_DELAY, /* wait for verdict.delay_ns */
	HOSTOP_READ,  /* fd, step_iov, step_iov_count, step_off */
	HOSTOP_WRITE, /* the same */
	HOSTOP_FLUSH, /* fd */
	HOSTOP_PUNCH, /* fd, step_off, step_bytes */
	HOSTOP_ZERO,  /* the same */
};

struct hostop {
	/* the caller's */
	enum hostop_kind kind;
	bool eof_zero; /* past the end of file there are zeros */
	struct hostfile *f;
	u64 off, size_bytes;
	const struct iovec *iov;
	unsigned iov_count;
	struct iovec *scratch; /* HOSTOP_IOV_MAX pieces */

	/* the answer */
	int rc;

	/* progress */
	u64 moved_bytes;
	bool ended;
	bool judged;  /* verdict is for the access that is next */
	bool cached;  /* through the page cache: it is not aligned */
	bool by_hand; /* it cannot zero: zeros are written */
	unsigned again;
	struct fault_verdict verdict;

	/* the step */
	enum hostop_step step;
	int fd;
	const struct iovec *step_iov;
	unsigned step_iov_count;
	u64 step_off, step_bytes;
	u64 step_start_ns; /* of a flush, for the trace */
};

/* Fills in what the caller does not: begins. */
void hostop_init(struct hostop *o);

/* Through which gate of the file it must go (hostgate_int.h). */
enum hostgate hostop_gate(const struct hostop *o);

enum hostop_step hostop_next(struct hostop *o);

/* What the call answered: a count, 0 or -errno. */
void hostop_done(struct hostop *o, s64 res);

/* Makes the call of the step, blocking. */
s64 hostop_call(const struct hostop *o);

#endif
