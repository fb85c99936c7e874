/* SPDX-License-Identifier: BSD-2-Clause */
/* hostfile_int - what a host file is made of, and what differs by host
 *
 * What:    the struct behind cache/hostfile.h; the turn, which keeps host
 *          flushes of one file apart; and the calls that each host makes in
 *          its own way: hostfile_linux.c, hostfile_darwin.c.
 *
 *          Why a turn. When two host flushes of one file overlap and a write
 *          fails, the host may tell the one and let the other succeed, and
 *          the latter may come back first. With one host flush at a time the
 *          second is asked after the first has answered, and is answered by
 *          the sticky error (disk-rules 11).
 *
 *          Two descriptors. Requests that are aligned go past the host's page
 *          cache, others through it. A host flush through either covers both:
 *          what is dirty, and what was reported lost, belongs to the inode.
 *          An unaligned write that shares a page with an uncached write in
 *          flight makes the host drop one of the two: callers that write
 *          pieces smaller than a page side by side keep them aligned.
 * Units:   bytes.
 * Threads: any. The turn is left by whoever has it.
 * Owns:    see cache/hostfile.h.
 * Errors:  os calls: 0 or a count, or -errno.
 */
#ifndef CACHE_HOSTFILE_INT_H
#define CACHE_HOSTFILE_INT_H

#include "base/list.h"
#include "base/lock.h"
#include "cache/fault.h"
#include "cache/hostfile.h"

struct hostfile {
	struct lock lock; /* of the turn */
	struct cond left; /* somebody left the turn */

	bool flushing;			  /* [lock] somebody has the turn */
	struct list line;		  /* [lock] who gets it next */
	void (*go)(struct list *waiting); /* [lock] tells him */

	_Atomic int flush_error; /* [atomic] 0 or the first -errno; set and
				    read with the turn, or for information */
	_Atomic(struct fault_set *) faults; /* [atomic] release/acquire */
	_Atomic u64 size_bytes;		    /* [atomic] by itself */
	struct hostfile_stats stats;	    /* [atomic] each by itself */
	_Atomic unsigned pool_slot; /* [atomic] a hint: where in the pool's
				       table of files to look */

	/* [const] */
	int fd;	       /* past the page cache, or the same as fd_cached */
	int fd_cached; /* through the page cache */
	bool direct, device, read_only;
	u32 align_bytes;
	char *path;
};

/* --- the turn ---------------------------------------------------------- */

/* True: the turn is the caller's now. False: go(waiting) will be called when
 * it is, on the thread that left it, with no lock held. */
bool hostfile_turn_take(struct hostfile *f, struct list *waiting,
			void (*go)(struct list *)) MUST_CHECK;
void hostfile_turn_leave(struct hostfile *f);

/* --- what differs by host ---------------------------------------------- */

/* A second descriptor for the file behind fd_cached, which path names, that
 * goes past the page cache, and what it wants to be aligned. -ENOTSUP. */
int hostfile_os_open_direct(const char *path, int fd_cached, bool read_only,
			    u32 *align_bytes) MUST_CHECK;

/* THE flush: what was written to the file before is on stable storage. */
int hostfile_os_flush(int fd) MUST_CHECK;
int hostfile_os_flush_dir(int fd) MUST_CHECK;

int hostfile_os_punch(int fd, u64 off, u64 size_bytes) MUST_CHECK;
int hostfile_os_zero(int fd, u64 off, u64 size_bytes) MUST_CHECK;
ssize_t hostfile_os_readv(int fd, const struct iovec *iov, unsigned count,
			  u64 off) MUST_CHECK;
ssize_t hostfile_os_writev(int fd, const struct iovec *iov, unsigned count,
			   u64 off) MUST_CHECK;
int hostfile_os_device_size(int fd, u64 *size_bytes) MUST_CHECK;

/* -EBUSY when somebody else holds a lock that is in the way. */
int hostfile_os_lock(int fd, bool shared) MUST_CHECK;

/* At once, whoever else still has the open file in hand. */
void hostfile_os_unlock(int fd);

/* Who that is, "process 7 (name)", or "another process". */
void hostfile_os_holder(int fd, char *text, size_t text_bytes);

#endif
