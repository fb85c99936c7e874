/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/devtest.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "vmm/devtest_int.h"
#include "vmm/machine_int.h"

/* --- news: interrupts ----------------------------------------------------- */

/* Never blocks: an eventfd takes a small number at any time. */
static void
poke(struct devtest *d)
{
	u64 one = 1;
	ssize_t n = write(d->wake_fd, &one, sizeof(one));

	assert(n == sizeof(one) || errno == EAGAIN);
}

void
devtest_irq(struct devtest *d, unsigned irq, bool level)
{
	char text[24];
	size_t n;

	assert(irq < 32);
	if (!d->intercepts || (d->irq_told >> irq & 1) == level)
		return;
	d->irq_told ^= 1U << irq;
	n = (size_t)snprintf(text, sizeof(text), "IRQ %s %u\n",
			     level ? "raise" : "lower", irq);
	lock_acquire(&d->lock);
	if (n > sizeof(d->news) - d->news_count) {
		d->news_lost = true;
	} else {
		memcpy(d->news + d->news_count, text, n);
		d->news_count += n;
	}
	lock_release(&d->lock);
	if (!d->in_line)
		poke(d);
}

/* --- the client ------------------------------------------------------------
 */

/* Sleeps until the client can do what events says, or it is to be looked after
 * something else. Returns what the client can do. */
static short
wait_for(struct devtest *d, short events)
{
	struct pollfd p[2] = {
	    {.fd = d->wake_fd, .events = POLLIN},
	    {.fd = d->fd >= 0 ? d->fd : d->socket.listen_fd, .events = events},
	};
	u64 n;

	if (poll(p, 2, -1) < 0)
		return 0; /* EINTR: look again */
	if (p[0].revents != 0 && read(d->wake_fd, &n, sizeof(n)) < 0)
		return 0;
	return p[1].revents;
}

/* False: the client is gone, or the machine is. */
static bool
send_all(struct devtest *d, const char *text, size_t count)
{
	while (count != 0 && !atomic_load(&d->stop)) {
		ssize_t n = send(d->fd, text, count, MSG_NOSIGNAL);

		if (n >= 0) {
			text += n;
			count -= (size_t)n;
		} else if (errno == EAGAIN) {
			wait_for(d, POLLOUT);
		} else if (errno != EINTR) {
			return false;
		}
	}
	return count == 0;
}

static bool
send_news(struct devtest *d)
{
	char text[DEVTEST_NEWS_BYTES];
	size_t count;
	bool lost;

	lock_acquire(&d->lock);
	count = d->news_count;
	memcpy(text, d->news, count);
	d->news_count = 0;
	lost = d->news_lost;
	lock_release(&d->lock);
	if (lost)
		log_error("device test: the client does not read what "
			  "interrupts there are");
	return send_all(d, text, count) && !lost;
}

/* The interrupts that a line caused come before its reply. */
static bool
answer_line(struct devtest *d, char *line, size_t count)
{
	struct devtest_reply reply;
	bool ok;

	devtest_command(d, line, count, &reply);
	ok = reply.text != NULL && send_news(d) &&
	     send_all(d, reply.text, reply.count);
	devtest_reply_release(&reply);
	return ok;
}

/* Answers the whole lines that are there. False: the end. */
static bool
answer_lines(struct devtest *d)
{
	static const char too_long[] = "FAIL a line has fewer than 1048576 "
				       "bytes\n";
	char *at = d->in, *end;

	while ((end = memchr(at, '\n', d->in_count - (size_t)(at - d->in))) !=
	       NULL) {
		if (!answer_line(d, at, (size_t)(end - at)))
			return false;
		at = end + 1;
	}
	d->in_count -= (size_t)(at - d->in);
	memmove(d->in, at, d->in_count);
	if (d->in_count < DEVTEST_LINE_MAX)
		return true;
	send_all(d, too_long, strlen(too_long));
	return false;
}

/* Until the client or the machine goes. */
static void
serve_client(struct devtest *d)
{
	while (!atomic_load(&d->stop)) {
		ssize_t n;

		if (wait_for(d, POLLIN) != 0) {
			n = recv(d->fd, d->in + d->in_count,
				 DEVTEST_LINE_MAX - d->in_count, 0);
			if (n == 0 ||
			    (n < 0 && errno != EAGAIN && errno != EINTR))
				return;
			if (n > 0)
				d->in_count += (size_t)n;
		}
		if (!answer_lines(d) || !send_news(d))
			return;
	}
}

static void *
serve(void *arg)
{
	struct devtest *d = arg;

	while (d->fd < 0 && !atomic_load(&d->stop))
		if (wait_for(d, POLLIN) != 0)
			d->fd = accept4(d->socket.listen_fd, NULL, NULL,
					SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (d->fd >= 0) {
		serve_client(d);
		close(d->fd);
		d->fd = -1;
	}
	if (!atomic_load(&d->stop))
		machine_quit(d->machine);
	return NULL;
}

/* --- opening ----------------------------------------------------------------
 */

/* True: somebody listened, and has us now. Everything that is wrong with the
 * path is found, and said, where we try to listen there. */
static bool
dial(struct devtest *d, const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) == 0 || strlen(path) >= sizeof(a.sun_path))
		return false;
	strcpy(a.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) != 0) {
		close(fd);
		return false;
	}
	d->fd = fd;
	return true;
}

/* Signals are for the machine's thread. */
static int
start_thread(struct devtest *d)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&d->thread, NULL, serve, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	d->running = rc == 0;
	return -rc;
}

int
devtest_open(struct devtest **out, const char *path, struct machine *m,
	     struct err *e)
{
	struct devtest *d = calloc(1, sizeof(*d));
	int rc = 0;

	if (d == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	lock_init(&d->lock);
	atomic_init(&d->stop, false);
	d->machine = m;
	d->fd = -1;
	control_socket_init(&d->socket, "device-test socket");
	d->in = malloc(DEVTEST_LINE_MAX);
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->in == NULL || d->wake_fd < 0)
		rc = err_errno(e, d->in == NULL ? -ENOMEM : -errno,
			       "cannot serve device-test socket '%s'", path);
	else if (!dial(d, path))
		rc = control_socket_open(&d->socket, path, e);
	*out = d; /* the thread's first line may need it */
	if (rc == 0) {
		rc = start_thread(d);
		if (rc != 0)
			err_errno(e, rc, "cannot serve device-test socket '%s'",
				  path);
	}
	if (rc != 0) {
		*out = NULL;
		devtest_close(d);
	}
	return rc;
}

void
devtest_close(struct devtest *d)
{
	if (d == NULL)
		return;
	if (d->running) {
		atomic_store(&d->stop, true);
		poke(d);
		pthread_join(d->thread, NULL);
	}
	control_socket_close(&d->socket);
	if (d->fd >= 0)
		close(d->fd);
	if (d->wake_fd >= 0)
		close(d->wake_fd);
	free(d->in);
	lock_destroy(&d->lock);
	free(d);
}
