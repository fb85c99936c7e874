/* SPDX-License-Identifier: BSD-2-Clause */
/* hostfile_int - what a host file is made of, and what differs by host
 *
 * What:    the struct behind cache/hostfile.h, and the calls that each host
 *          makes in its own way: hostfile_linux.c, hostfile_darwin.c.
 *
 *          Two descriptors. Requests that are aligned go past the host's page
 *          cache, others through it. A host flush through either covers both:
 *          what is dirty, and what was reported lost, belongs to the inode.
 * Units:   bytes.
 * Threads: any.
 * Owns:    see cache/hostfile.h.
 * Errors:  os calls: 0 or a count, or -errno.
 */
#ifndef CACHE_HOSTFILE_INT_H
#define CACHE_HOSTFILE_INT_H

#include "cache/fault.h"
#include "cache/hostgate_int.h"
#include "cache/hostfile.h"

struct hostfile {
	struct hostgates gates;

	_Atomic int flush_error; /* [atomic] 0 or the first -errno; changed
				    inside GATE_FLUSH */
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
