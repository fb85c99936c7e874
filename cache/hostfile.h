/* SPDX-License-Identifier: BSD-2-Clause */
/* hostfile - a file or block device of the host
 *
 * What:    opens it, locks it, knows its size and how it must be accessed, and
 *          is the one place that says what a flush is on this host. Reads and
 *          writes go through cache/iopool.h; the blocking calls here are for
 *          opening and for tools. Faults (cache/fault.h) are injected here,
 *          so that both kinds of access meet them.
 *          Uncached access (O_DIRECT, F_NOCACHE) is what is asked for by
 *          default; where the file system refuses it, or for a request that
 *          is not aligned to align_bytes, the host's page cache is used, and
 *          hostfile_direct() tells the former.
 * Model:   disk-rules 7-12. Linux: fdatasync(2), fallocate(2), BLKDISCARD,
 *          statx(2) STATX_DIOALIGN. macOS: F_FULLFSYNC, F_NOCACHE,
 *          F_PUNCHHOLE (hostfile_darwin.c; never run there).
 * Units:   bytes; off is a byte offset in the file.
 * Threads: any, at the same time, except open and close.
 * Owns:    the descriptors and the lock, until hostfile_close(). The lock is
 *          an open-file-description lock: it dies with its holder.
 * Errors:  open: -errno with a sentence; -EBUSY in use, which the sentence
 *          names. Flush: after one host flush failed, every later one answers
 *          the same error without asking the host, until hostfile_forgive()
 *          or the file is opened again (disk-rules 11, 12).
 */
#ifndef CACHE_HOSTFILE_H
#define CACHE_HOSTFILE_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "base/bits.h"
#include "base/err.h"
#include "base/list.h"

struct fault_set;
struct hostfile;

/* A place in a queue for a file: cache/hostgate_int.h. */
struct hostfile_waiter {
	struct list link;
	void (*go)(struct hostfile_waiter *w);
};

struct hostfile_options {
	bool read_only;
	bool create;	/* make it when it is not there; truncates nothing */
	bool exclusive; /* with create: -EEXIST when it is there */
	bool buffered;	/* use the host's page cache */
	bool shared;	/* read_only: no lock against writers is taken */
	u64 size_bytes; /* with create: the size of a new file */
};

int hostfile_open(struct hostfile **out, const char *path,
		  const struct hostfile_options *o, struct err *e) MUST_CHECK;

/* Flushes nothing. Harmless on NULL. */
void hostfile_close(struct hostfile *f);

const char *hostfile_path(const struct hostfile *f);
u64 hostfile_size_bytes(const struct hostfile *f);
bool hostfile_read_only(const struct hostfile *f);
bool hostfile_direct(const struct hostfile *f);

/* What off, size and memory of an uncached request must be multiples of: a
 * power of two; 1 when everything goes through the page cache. */
u32 hostfile_align_bytes(const struct hostfile *f);

/* Blocking, whole or failing: short transfers are carried on with. A read past
 * the end is -ENODATA. */
int hostfile_read(struct hostfile *f, u64 off, void *buf,
		  u64 size_bytes) MUST_CHECK;
int hostfile_write(struct hostfile *f, u64 off, const void *buf,
		   u64 size_bytes) MUST_CHECK;
int hostfile_readv(struct hostfile *f, u64 off, const struct iovec *iov,
		   unsigned count) MUST_CHECK;
int hostfile_writev(struct hostfile *f, u64 off, const struct iovec *iov,
		    unsigned count) MUST_CHECK;

/* Everything written so far is on stable storage when this returns 0. */
int hostfile_flush(struct hostfile *f) MUST_CHECK;

/* Gives the space of a range back; it reads as zeros afterwards. -ENOTSUP. */
int hostfile_discard(struct hostfile *f, u64 off, u64 size_bytes) MUST_CHECK;

/* Makes a range read as zeros, space kept; writes zeros where the host has
 * nothing better. */
int hostfile_zero(struct hostfile *f, u64 off, u64 size_bytes) MUST_CHECK;

int hostfile_resize(struct hostfile *f, u64 size_bytes) MUST_CHECK;

/* The next range with data at or after off: 0 and *data_off, *data_bytes, or
 * -ENXIO when there is none. Where the host cannot tell, all is data. */
int hostfile_next_data(struct hostfile *f, u64 off, u64 *data_off,
		       u64 *data_bytes) MUST_CHECK;

/* All suspect data was written anew elsewhere (disk-rules 12): flushes ask the
 * host again. */
void hostfile_forgive(struct hostfile *f);

/* 0, or the error of the flush that failed. */
int hostfile_flush_error(const struct hostfile *f);

/* Faults to inject from now on, or NULL; the set stays the caller's. */
void hostfile_set_faults(struct hostfile *f, struct fault_set *faults);

/* Counts of what was asked of the host, for statistics. */
struct hostfile_stats {
	_Atomic u64 reads, read_bytes, writes, write_bytes, flushes, discards;
	_Atomic u64 errors;
};
struct hostfile_stats *hostfile_stats(struct hostfile *f);

/* Makes the directory entry of path durable. */
int hostfile_flush_dir(const char *path) MUST_CHECK;

#endif
