/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache/hostfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/iov.h"
#include "cache/hostop_int.h"

/* --- opening ----------------------------------------------------------- */

static int
open_cached(struct hostfile *f, const struct hostfile_options *o, bool *created,
	    struct err *e)
{
	int mode = o->read_only ? O_RDONLY : O_RDWR;
	int flags = mode | O_CLOEXEC | O_NONBLOCK; /* a FIFO must not block */

	*created = false;
	if (o->create) {
		f->fd_cached = open(f->path, flags | O_CREAT | O_EXCL, 0644);
		*created = f->fd_cached >= 0;
		if (!*created && (errno != EEXIST || o->exclusive))
			return err_errno(e, -errno, "cannot create '%s'",
					 f->path);
	}
	if (!*created)
		f->fd_cached = open(f->path, flags);
	if (f->fd_cached < 0)
		return err_errno(e, -errno, "cannot open '%s'%s", f->path,
				 o->read_only ? "" : " for writing");
	return 0;
}

static int
check_kind(struct hostfile *f, struct err *e)
{
	struct stat st;
	u64 size_bytes = 0;
	int rc = 0;

	if (fstat(f->fd_cached, &st) != 0)
		return err_errno(e, -errno, "cannot look at '%s'", f->path);
	if (S_ISDIR(st.st_mode))
		return err_set(e, -EISDIR, "'%s' is a directory", f->path);
	f->device = !S_ISREG(st.st_mode);
	if (S_ISREG(st.st_mode))
		size_bytes = (u64)st.st_size;
	else if (S_ISBLK(st.st_mode))
		rc = hostfile_os_device_size(f->fd_cached, &size_bytes);
	else
		return err_set(e, -EINVAL,
			       "'%s' is neither a file nor a block device",
			       f->path);
	if (rc != 0)
		return err_errno(e, rc, "cannot tell how large '%s' is",
				 f->path);
	atomic_store(&f->size_bytes, size_bytes);
	return 0;
}

static int
take_lock(struct hostfile *f, const struct hostfile_options *o, struct err *e)
{
	char who[128];
	int rc;

	if (o->read_only && o->shared)
		return 0;
	rc = hostfile_os_lock(f->fd_cached, o->read_only);
	if (rc == -EBUSY) {
		hostfile_os_holder(f->fd_cached, who, sizeof(who));
		return err_set(e, rc, "'%s' is in use by %s", f->path, who);
	}
	if (rc != 0)
		return err_errno(e, rc, "cannot lock '%s'", f->path);
	return 0;
}

static int
open_direct(struct hostfile *f, const struct hostfile_options *o, struct err *e)
{
	int fd = -ENOTSUP;

	if (!o->buffered)
		fd = hostfile_os_open_direct(f->path, f->fd_cached,
					     o->read_only, &f->align_bytes);
	if (fd == -ESTALE)
		return err_set(e, fd, "'%s' was replaced while it was opened",
			       f->path);
	if (fd < 0 && fd != -ENOTSUP)
		return err_errno(e, fd, "cannot open '%s' a second time",
				 f->path);
	f->direct = fd >= 0;
	f->fd = f->direct ? fd : f->fd_cached;
	if (!f->direct)
		f->align_bytes = 1;
	assert((f->align_bytes & (f->align_bytes - 1)) == 0);
	return 0;
}

/* A new file has its size, and its name will be there after a power cut. */
static int
set_up_new(struct hostfile *f, u64 size_bytes, struct err *e)
{
	int rc = hostfile_resize(f, size_bytes);

	if (rc == 0)
		rc = hostfile_os_flush(f->fd_cached);
	if (rc == 0)
		rc = hostfile_flush_dir(f->path);
	if (rc != 0)
		return err_errno(e, rc, "cannot make '%s' of %llu bytes",
				 f->path, (unsigned long long)size_bytes);
	return 0;
}

int
hostfile_open(struct hostfile **out, const char *path,
	      const struct hostfile_options *o, struct err *e)
{
	struct hostfile *f = calloc(1, sizeof(*f));
	bool created = false;
	int rc;

	assert(!o->read_only || !o->create);
	if (!f || !(f->path = strdup(path))) {
		free(f);
		return err_set(e, -ENOMEM, "no memory to open '%s'", path);
	}
	hostgates_init(&f->gates);
	f->fd = f->fd_cached = -1;
	f->read_only = o->read_only;
	rc = open_cached(f, o, &created, e);
	if (rc == 0)
		rc = check_kind(f, e);
	if (rc == 0)
		rc = take_lock(f, o, e);
	if (rc == 0 && created)
		rc = set_up_new(f, o->size_bytes, e);
	if (rc == 0)
		rc = open_direct(f, o, e);
	if (rc == 0) {
		*out = f;
		return 0;
	}
	if (created)
		unlink(path);
	hostfile_close(f);
	return rc;
}

void
hostfile_close(struct hostfile *f)
{
	if (!f)
		return;
	if (f->fd >= 0 && f->fd != f->fd_cached)
		close(f->fd);
	if (f->fd_cached >= 0) {
		hostfile_os_unlock(f->fd_cached);
		close(f->fd_cached);
	}
	hostgates_release(&f->gates);
	free(f->path);
	free(f);
}

/* --- what it is -------------------------------------------------------- */

const char *
hostfile_path(const struct hostfile *f)
{
	return f->path;
}

u64
hostfile_size_bytes(const struct hostfile *f)
{
	return atomic_load(&f->size_bytes);
}

bool
hostfile_read_only(const struct hostfile *f)
{
	return f->read_only;
}

bool
hostfile_direct(const struct hostfile *f)
{
	return f->direct;
}

u32
hostfile_align_bytes(const struct hostfile *f)
{
	return f->align_bytes;
}

int
hostfile_flush_error(const struct hostfile *f)
{
	return atomic_load(&f->flush_error);
}

void
hostfile_forgive(struct hostfile *f)
{
	atomic_store(&f->flush_error, 0);
}

void
hostfile_set_faults(struct hostfile *f, struct fault_set *faults)
{
	atomic_store_explicit(&f->faults, faults, memory_order_release);
}

struct hostfile_stats *
hostfile_stats(struct hostfile *f)
{
	return &f->stats;
}

/* --- blocking access --------------------------------------------------- */

static int
run(enum hostop_kind kind, struct hostfile *f, u64 off, u64 size_bytes,
    const struct iovec *iov, unsigned count)
{
	struct iovec scratch[HOSTOP_IOV_MAX];
	struct hostop o = {
	    .kind = kind,
	    .f = f,
	    .off = off,
	    .size_bytes = size_bytes,
	    .iov = iov,
	    .iov_count = count,
	    .scratch = scratch,
	};
	enum hostgate gate;

	hostop_init(&o);
	gate = hostop_gate(&o);
	hostgate_enter_wait(&f->gates, gate);
	while (hostop_next(&o) != HOSTOP_DONE)
		hostop_done(&o, hostop_call(&o));
	hostgate_leave(&f->gates, gate);
	return o.rc;
}

int
hostfile_readv(struct hostfile *f, u64 off, const struct iovec *iov,
	       unsigned count)
{
	return run(HOSTOP_KIND_READ, f, off, iov_bytes(iov, count), iov, count);
}

int
hostfile_writev(struct hostfile *f, u64 off, const struct iovec *iov,
		unsigned count)
{
	return run(HOSTOP_KIND_WRITE, f, off, iov_bytes(iov, count), iov,
		   count);
}

int
hostfile_read(struct hostfile *f, u64 off, void *buf, u64 size_bytes)
{
	struct iovec iov = {buf, size_bytes};

	return hostfile_readv(f, off, &iov, 1);
}

int
hostfile_write(struct hostfile *f, u64 off, const void *buf, u64 size_bytes)
{
	struct iovec iov = {(void *)buf, size_bytes};

	return hostfile_writev(f, off, &iov, 1);
}

int
hostfile_flush(struct hostfile *f)
{
	return run(HOSTOP_KIND_FLUSH, f, 0, 0, NULL, 0);
}

int
hostfile_discard(struct hostfile *f, u64 off, u64 size_bytes)
{
	return run(HOSTOP_KIND_DISCARD, f, off, size_bytes, NULL, 0);
}

int
hostfile_zero(struct hostfile *f, u64 off, u64 size_bytes)
{
	return run(HOSTOP_KIND_ZERO, f, off, size_bytes, NULL, 0);
}

int
hostfile_resize(struct hostfile *f, u64 size_bytes)
{
	if (f->read_only)
		return -EROFS;
	if (f->device)
		return -ENOTSUP;
	if (size_bytes > INT64_MAX)
		return -EFBIG;
	if (ftruncate(f->fd_cached, (off_t)size_bytes) != 0)
		return -errno;
	atomic_store(&f->size_bytes, size_bytes);
	return 0;
}

/* lseek() is the host's only way to ask; nothing uses the file position, and
 * this is not the I/O path. */
int
hostfile_next_data(struct hostfile *f, u64 off, u64 *data_off, u64 *data_bytes)
{
	u64 size_bytes = hostfile_size_bytes(f);
	off_t data, hole;

	if (off >= size_bytes)
		return -ENXIO;
	data = lseek(f->fd_cached, (off_t)off, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		return -ENXIO;
	hole = data < 0 ? -1 : lseek(f->fd_cached, data, SEEK_HOLE);
	if (data < (off_t)off || hole <= data) { /* the host cannot tell */
		data = (off_t)off;
		hole = (off_t)size_bytes;
	}
	*data_off = (u64)data;
	*data_bytes = (u64)(hole - data);
	return 0;
}

int
hostfile_flush_dir(const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? MAX((size_t)(slash - path), 1U) : 1;
	char dir[PATH_MAX];
	int fd, rc;

	if (n >= sizeof(dir))
		return -ENAMETOOLONG;
	memcpy(dir, slash ? path : ".", n);
	dir[n] = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = hostfile_os_flush_dir(fd);
	close(fd);
	return rc;
}
