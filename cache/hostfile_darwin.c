/* SPDX-License-Identifier: BSD-2-Clause */
/* What of a host file is macOS's own.
 *
 * Never run on macOS. tests/test_hostfile_darwin.c compiles this file on Linux
 * against tests/darwin_shim.h and checks which calls it makes.
 */
#if defined(__APPLE__) || defined(HOSTFILE_DARWIN_SHIM)
#include "cache/hostfile_int.h"

#include <errno.h>
#include <fcntl.h>
#ifdef __APPLE__
#include <sys/disk.h>
#endif
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int
rc_of(int answer)
{
	return answer < 0 ? -errno : 0;
}

/* F_NOCACHE asks for no alignment: what is odd takes the cached way inside of
 * the kernel. Sectors are what we ask for, so that it seldom does. */
int
hostfile_os_open_direct(const char *path, int fd_cached, bool read_only,
			u32 *align_bytes)
{
	int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	struct stat a, b;
	int rc = 0;

	if (fd < 0)
		return -errno;
	*align_bytes = 512;
	if (fcntl(fd, F_NOCACHE, 1) != 0)
		rc = -ENOTSUP;
	else if (fstat(fd, &a) != 0 || fstat(fd_cached, &b) != 0 ||
		 a.st_dev != b.st_dev || a.st_ino != b.st_ino)
		rc = -ESTALE; /* somebody put another file there */
	if (rc != 0)
		close(fd);
	return rc != 0 ? rc : fd;
}

/* fsync() leaves the data in the disk's own cache (fsync(2) says so), and is
 * no substitute where F_FULLFSYNC fails (disk-rules 9). */
int
hostfile_os_flush(int fd)
{
	return rc_of(fcntl(fd, F_FULLFSYNC));
}

int
hostfile_os_flush_dir(int fd)
{
	return rc_of(fcntl(fd, F_FULLFSYNC));
}

int
hostfile_os_punch(int fd, u64 off, u64 size_bytes)
{
	struct fpunchhole hole = {.fp_offset = (off_t)off,
				  .fp_length = (off_t)size_bytes};

	return rc_of(fcntl(fd, F_PUNCHHOLE, &hole));
}

/* There is no such call: zeros are written. */
int
hostfile_os_zero(int fd, u64 off, u64 size_bytes)
{
	(void)fd;
	(void)off;
	(void)size_bytes;
	return -EOPNOTSUPP;
}

ssize_t
hostfile_os_readv(int fd, const struct iovec *iov, unsigned count, u64 off)
{
	ssize_t n = preadv(fd, iov, (int)count, (off_t)off);

	return n < 0 ? -errno : n;
}

ssize_t
hostfile_os_writev(int fd, const struct iovec *iov, unsigned count, u64 off)
{
	ssize_t n = pwritev(fd, iov, (int)count, (off_t)off);

	return n < 0 ? -errno : n;
}

int
hostfile_os_device_size(int fd, u64 *size_bytes)
{
	u32 block_bytes = 0;
	u64 blocks = 0;

	if (ioctl(fd, DKIOCGETBLOCKSIZE, &block_bytes) != 0 ||
	    ioctl(fd, DKIOCGETBLOCKCOUNT, &blocks) != 0)
		return -errno;
	if (__builtin_mul_overflow(blocks, (u64)block_bytes, size_bytes))
		return -EOVERFLOW;
	return 0;
}

int
hostfile_os_lock(int fd, bool shared)
{
	int rc = rc_of(flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB));

	return rc == -EWOULDBLOCK ? -EBUSY : rc;
}

void
hostfile_os_unlock(int fd)
{
	(void)flock(fd, LOCK_UN); /* close() would do it, too */
}

void
hostfile_os_holder(int fd, char *text, size_t text_bytes)
{
	(void)fd;
	snprintf(text, text_bytes, "another process");
}

#endif
