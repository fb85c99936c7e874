/* SPDX-License-Identifier: BSD-2-Clause */
/* What of a host file is Linux's own. */
#ifdef __linux__
#include "cache/hostfile_int.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALIGN_SAFE 4096U /* no file system asks for more */

static int
rc_of(int answer)
{
	return answer < 0 ? -errno : 0;
}

/* Where nobody says what must be aligned: does half a kilobyte do? */
static u32
probe_align(int fd)
{
	u8 *buf = aligned_alloc(ALIGN_SAFE, ALIGN_SAFE);
	u32 align_bytes = ALIGN_SAFE;

	if (buf && pread(fd, buf + 512, 512, 512) == 512)
		align_bytes = 512;
	free(buf);
	return align_bytes;
}

static int
direct_align(int fd, u32 *align_bytes)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) != 0 ||
	    !(sx.stx_mask & STATX_DIOALIGN)) {
		*align_bytes = probe_align(fd);
		return 0;
	}
	if (sx.stx_dio_offset_align == 0)
		return -ENOTSUP;
	*align_bytes = MAX(sx.stx_dio_offset_align, sx.stx_dio_mem_align);
	*align_bytes = MAX(*align_bytes, 512U); /* memory, too */
	return (*align_bytes & (*align_bytes - 1)) == 0 ? 0 : -ENOTSUP;
}

int
hostfile_os_open_direct(const char *path, int fd_cached, bool read_only,
			u32 *align_bytes)
{
	int mode = read_only ? O_RDONLY : O_RDWR;
	struct stat a, b;
	int fd, rc;

	fd = open(path, mode | O_DIRECT | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == EINVAL ? -ENOTSUP : -errno;
	rc = direct_align(fd, align_bytes);
	if (rc == 0 && (fstat(fd, &a) != 0 || fstat(fd_cached, &b) != 0 ||
			a.st_dev != b.st_dev || a.st_ino != b.st_ino))
		rc = -ESTALE; /* somebody put another file there */
	if (rc != 0)
		close(fd);
	return rc != 0 ? rc : fd;
}

/* fdatasync() writes the data, what is needed to find it again, and has the
 * disk empty its own cache. */
int
hostfile_os_flush(int fd)
{
	return rc_of(fdatasync(fd));
}

int
hostfile_os_flush_dir(int fd)
{
	return rc_of(fsync(fd));
}

/* On a block device too: unlike BLKDISCARD, this promises zeros. */
int
hostfile_os_punch(int fd, u64 off, u64 size_bytes)
{
	return rc_of(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       (off_t)off, (off_t)size_bytes));
}

int
hostfile_os_zero(int fd, u64 off, u64 size_bytes)
{
	return rc_of(
	    fallocate(fd, FALLOC_FL_ZERO_RANGE, (off_t)off, (off_t)size_bytes));
}

ssize_t
hostfile_os_readv(int fd, const struct iovec *iov, unsigned count, u64 off)
{
	ssize_t n = preadv2(fd, iov, (int)count, (off_t)off, 0);

	return n < 0 ? -errno : n;
}

ssize_t
hostfile_os_writev(int fd, const struct iovec *iov, unsigned count, u64 off)
{
	ssize_t n = pwritev2(fd, iov, (int)count, (off_t)off, 0);

	return n < 0 ? -errno : n;
}

int
hostfile_os_device_size(int fd, u64 *size_bytes)
{
	return rc_of(ioctl(fd, BLKGETSIZE64, size_bytes));
}

int
hostfile_os_lock(int fd, bool shared)
{
	struct flock l = {.l_type = shared ? F_RDLCK : F_WRLCK,
			  .l_whence = SEEK_SET};
	int rc = rc_of(fcntl(fd, F_OFD_SETLK, &l));

	return rc == -EAGAIN || rc == -EACCES ? -EBUSY : rc;
}

void
hostfile_os_unlock(int fd)
{
	struct flock l = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	(void)fcntl(fd, F_OFD_SETLK, &l); /* close() would do it, too */
}

/* --- who holds the lock ------------------------------------------------ */

/* Does descriptor name of process pid have a lock on the file of st? */
static bool
holds(const char *pid, const char *name, const struct stat *st)
{
	char path[64], line[256];
	struct stat other;
	bool locked = false;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/%.16s/fd/%.16s", pid, name);
	if (stat(path, &other) != 0 || other.st_dev != st->st_dev ||
	    other.st_ino != st->st_ino)
		return false;
	snprintf(path, sizeof(path), "/proc/%.16s/fdinfo/%.16s", pid, name);
	info = fopen(path, "re");
	if (!info)
		return false;
	while (!locked && fgets(line, sizeof(line), info))
		locked = strncmp(line, "lock:", 5) == 0;
	fclose(info);
	return locked;
}

static bool
process_holds(const char *pid, const struct stat *st)
{
	char path[64];
	struct dirent *d;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (d = readdir(dir)) != NULL)
		found = isdigit((u8)d->d_name[0]) && holds(pid, d->d_name, st);
	closedir(dir);
	return found;
}

static void
process_name(const char *pid, char *text, size_t text_bytes)
{
	char path[64], name[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	f = fopen(path, "re");
	if (f && fgets(name, sizeof(name), f))
		name[strcspn(name, "\n")] = '\0';
	if (f)
		fclose(f);
	if (strtol(pid, NULL, 10) == getpid())
		snprintf(text, text_bytes, "this process");
	else
		snprintf(text, text_bytes, "process %.16s (%s)", pid, name);
}

/* The kernel does not tell who holds such a lock, but each process shows the
 * locks of its descriptors. */
void
hostfile_os_holder(int fd, char *text, size_t text_bytes)
{
	struct dirent *d;
	struct stat st;
	DIR *dir = opendir("/proc");

	snprintf(text, text_bytes, "another process");
	if (!dir || fstat(fd, &st) != 0) {
		if (dir)
			closedir(dir);
		return;
	}
	while ((d = readdir(dir)) != NULL) {
		if (isdigit((u8)d->d_name[0]) &&
		    process_holds(d->d_name, &st)) {
			process_name(d->d_name, text, text_bytes);
			break;
		}
	}
	closedir(dir);
}

#endif
