/* SPDX-License-Identifier: BSD-2-Clause */
/* darwin_shim - as much of macOS as cache/hostfile_darwin.c sees, recorded
 *
 * What:    the constants and structs of macOS that the file names, and
 *          fcntl(), ioctl() and flock() replaced by functions that note what
 *          they were asked and answer what the test wants.
 * Model:   fcntl(2), fsync(2) of macOS; <sys/fcntl.h>, <sys/disk.h>. Written
 *          from the manual pages; never compared with a Mac.
 * Threads: one.
 * Owns:    nothing.
 */
#ifndef TESTS_DARWIN_SHIM_H
#define TESTS_DARWIN_SHIM_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bits.h"

#define HOSTFILE_DARWIN_SHIM 1

#define F_NOCACHE	   48
#define F_FULLFSYNC	   51
#define F_PUNCHHOLE	   99
#define DKIOCGETBLOCKSIZE  0x40046418UL
#define DKIOCGETBLOCKCOUNT 0x40086419UL

struct fpunchhole {
	unsigned fp_flags, reserved;
	off_t fp_offset, fp_length;
};

/* The calls so far, as text, and the errno they fail with; 0: they do not. */
static char shim_calls[512];
static int shim_errno;

static int
shim_call(const char *fmt, ...)
{
	size_t n = strlen(shim_calls);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(shim_calls + n, sizeof(shim_calls) - n, fmt, ap);
	va_end(ap);
	errno = shim_errno;
	return shim_errno != 0 ? -1 : 0;
}

static int
shim_fcntl(int fd, int op, ...)
{
	struct fpunchhole *hole;
	va_list ap;
	int rc;

	va_start(ap, op);
	if (op == F_NOCACHE) {
		rc = shim_call("F_NOCACHE %d;", va_arg(ap, int));
	} else if (op == F_FULLFSYNC) {
		rc = shim_call("F_FULLFSYNC fd %d;", fd);
	} else {
		hole = va_arg(ap, struct fpunchhole *);
		assert(op == F_PUNCHHOLE && hole->fp_flags == 0 &&
		       hole->reserved == 0);
		rc = shim_call("F_PUNCHHOLE %lld+%lld;",
			       (long long)hole->fp_offset,
			       (long long)hole->fp_length);
	}
	va_end(ap);
	return rc;
}

static int
shim_ioctl(int fd, unsigned long op, void *arg)
{
	(void)fd;
	if (op == DKIOCGETBLOCKSIZE) {
		*(u32 *)arg = 4096;
		return shim_call("BLOCKSIZE;");
	}
	assert(op == DKIOCGETBLOCKCOUNT);
	*(u64 *)arg = 1000;
	return shim_call("BLOCKCOUNT;");
}

static int
shim_flock(int fd, int op)
{
	(void)fd;
	return shim_call("flock %s%s%s%s;", op & LOCK_SH ? "SH" : "",
			 op & LOCK_EX ? "EX" : "", op & LOCK_UN ? "UN" : "",
			 op & LOCK_NB ? "|NB" : "");
}

#define fcntl shim_fcntl
#define ioctl shim_ioctl
#define flock shim_flock

#endif
