/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/control_int.h"

#define BACKLOG	   8
#define LOCK_TRIES 16

void
control_socket_init(struct control_socket *s, const char *what)
{
	*s = (struct control_socket){.what = what,
				     .listen_fd = -1,
				     .lock_fd = -1};
}

/* Is what we locked still what the path names? Its last holder may have
 * removed it after we opened it. */
static bool
still_named(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int
take_lock(struct control_socket *s, struct err *e)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	for (int i = 0; i < LOCK_TRIES; i++) {
		int fd = open(s->lock_path,
			      O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return err_errno(e, -errno, "cannot create '%s'",
					 s->lock_path);
		if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
			int rc = -errno;

			close(fd);
			if (rc == -EAGAIN || rc == -EACCES)
				return err_set(e, -EADDRINUSE,
					       "%s '%s' belongs to a virtual "
					       "machine that runs",
					       s->what, s->path);
			return err_errno(e, rc, "cannot lock '%s'",
					 s->lock_path);
		}
		if (still_named(fd, s->lock_path)) {
			s->lock_fd = fd;
			return 0;
		}
		close(fd);
	}
	return err_set(e, -EADDRINUSE, "cannot lock '%s': it keeps changing",
		       s->lock_path);
}

static int
make_address(const struct control_socket *s, struct sockaddr_un *a,
	     const char *path, struct err *e)
{
	size_t n = strlen(path);

	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (n == 0)
		return err_set(e, -EINVAL, "the %s's path is empty", s->what);
	if (n >= sizeof(a->sun_path))
		return err_set(e, -ENAMETOOLONG,
			       "%s path '%.60s...' has %zu bytes, a socket's "
			       "may have %zu",
			       s->what, path, n, sizeof(a->sun_path) - 1);
	memcpy(a->sun_path, path, n);
	return 0;
}

static bool
somebody_listens(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes;

	if (fd < 0)
		return true;
	/* EAGAIN: it listens, and its queue is full */
	yes = connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 ||
	      errno == EAGAIN;
	close(fd);
	return yes;
}

/* Removes the socket that a dead process left. */
static int
clear_path(struct control_socket *s, const struct sockaddr_un *a, struct err *e)
{
	struct stat st;

	if (lstat(s->path, &st) != 0)
		return errno == ENOENT
			   ? 0
			   : err_errno(e, -errno, "cannot create %s '%s'",
				       s->what, s->path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, -EEXIST, "'%s' exists and is not a socket",
			       s->path);
	if (somebody_listens(a))
		return err_set(e, -EADDRINUSE,
			       "another program listens on socket '%s'",
			       s->path);
	if (unlink(s->path) != 0)
		return err_errno(e, -errno, "cannot replace socket '%s'",
				 s->path);
	return 0;
}

/* The mode is set before bind() makes the file, so that it never has another
 * one, whatever the umask is. */
static int
listen_at(struct control_socket *s, const struct sockaddr_un *a, struct err *e)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	s->listen_fd = fd;
	if (fd < 0 || fchmod(fd, 0600) != 0 ||
	    bind(fd, (const struct sockaddr *)a, sizeof(*a)) != 0)
		return err_errno(e, -errno, "cannot create %s '%s'", s->what,
				 s->path);
	s->bound = lstat(s->path, &st) == 0;
	if (s->bound) {
		s->dev = st.st_dev;
		s->ino = st.st_ino;
	}
	if (chmod(s->path, 0600) != 0 || listen(fd, BACKLOG) != 0)
		return err_errno(e, -errno, "cannot listen on socket '%s'",
				 s->path);
	return 0;
}

int
control_socket_open(struct control_socket *s, const char *path, struct err *e)
{
	struct sockaddr_un a;
	int rc = make_address(s, &a, path, e);

	if (rc != 0)
		return rc;
	s->path = strdup(path);
	if (s->path == NULL || asprintf(&s->lock_path, "%s.lock", path) < 0) {
		s->lock_path = NULL;
		return err_set(e, -ENOMEM, "out of memory");
	}
	rc = take_lock(s, e);
	if (rc == 0)
		rc = clear_path(s, &a, e);
	if (rc == 0)
		rc = listen_at(s, &a, e);
	return rc;
}

/* Removes only what is ours: somebody may have replaced the socket. The lock
 * file goes last, while it is locked. */
void
control_socket_close(struct control_socket *s)
{
	struct stat st;

	if (s->bound && lstat(s->path, &st) == 0 && st.st_dev == s->dev &&
	    st.st_ino == s->ino)
		unlink(s->path);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	if (s->lock_fd >= 0) {
		unlink(s->lock_path);
		close(s->lock_fd);
	}
	free(s->path);
	free(s->lock_path);
	control_socket_init(s, s->what);
}
