/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/agent.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "vmm/agent_int.h"

#define CHUNK_BYTES 4096 /* PIPE_BUF: a write after POLLOUT does not block */

/* What the thread needs to know of the others' fields, read at one time. */
struct view {
	enum talk talk;
	bool tx_free, input_unwanted, stopping;
	u32 input_credit;
	size_t out_count[AGENT_STREAMS];
};

static struct view
look(struct agent *a) EXCLUDES(a->lock)
{
	struct view v;

	lock_acquire(&a->lock);
	v.talk = a->talk;
	v.tx_free = a->tx_at == a->tx_count && !a->stopping;
	v.input_unwanted = a->input_unwanted;
	v.stopping = a->stopping;
	v.input_credit = a->input_credit;
	for (unsigned i = AGENT_STDOUT; i <= AGENT_STDERR; i++)
		v.out_count[i] = a->out[i].count;
	lock_release(&a->lock);
	return v;
}

static void
send_hello(struct agent *a) EXCLUDES(a->lock)
{
	put_le32(a->tx + AGENT_HEADER_BYTES, AGENT_VERSION);
	memset(a->tx + AGENT_HEADER_BYTES + 4, 0, AGENT_HELLO_BYTES - 4);
	agent_line_send(a, AGENT_HELLO, AGENT_HELLO_BYTES);
	a->hello_sent = true;
}

static void
send_exec(struct agent *a) EXCLUDES(a->lock)
{
	memcpy(a->tx + AGENT_HEADER_BYTES, a->exec, a->exec_bytes);
	agent_line_send(a, AGENT_EXEC, a->exec_bytes);
	a->exec_sent = true;
}

/* One word about an output stream, if one is due. */
static bool
send_about(struct agent *a, unsigned stream) EXCLUDES(a->lock)
{
	struct stream *s = &a->out[stream];

	if (s->close_owed) {
		s->close_owed = false;
		agent_line_send2(a, AGENT_CLOSE, stream, 0);
		return true;
	}
	if (s->owed >= AGENT_WINDOW / 2) {
		u32 owed = s->owed;

		s->owed = 0;
		agent_line_send2(a, AGENT_CREDIT, stream, owed);
		return true;
	}
	return false;
}

/* Sends the next frame that is due, other than input. False: none is. */
static bool
send_due(struct agent *a, const struct view *v) EXCLUDES(a->lock)
{
	int signo;

	if (!v->tx_free || (v->talk != RUNNING && v->talk != ENDED))
		return false;
	if (!a->hello_sent) {
		send_hello(a);
	} else if (!a->exec_sent) {
		send_exec(a);
	} else if (v->talk == ENDED) {
		if (a->poweroff_sent)
			return false;
		a->poweroff_sent = true;
		a->deadline_ns = clock_now_ns() + AGENT_OFF_S * NS_PER_SEC;
		agent_line_send(a, AGENT_POWEROFF, 0);
	} else if ((signo = atomic_exchange(&a->signo, 0)) != 0) {
		agent_line_send2(a, AGENT_SIGNAL, (u32)signo, 0);
	} else if (!send_about(a, AGENT_STDOUT) &&
		   !send_about(a, AGENT_STDERR)) {
		if (!a->eof_seen || a->eof_sent)
			return false;
		a->eof_sent = true;
		agent_line_send2(a, AGENT_CLOSE, AGENT_STDIN, 0);
	}
	return true;
}

static bool
wants_input(const struct agent *a, const struct view *v)
{
	return v->tx_free && v->talk == RUNNING && a->exec_sent &&
	       v->input_credit != 0 && !v->input_unwanted && !a->eof_seen;
}

static void
read_input(struct agent *a, const struct view *v) EXCLUDES(a->lock)
{
	ssize_t n = read(a->fd[AGENT_STDIN], a->tx + AGENT_HEADER_BYTES,
			 MIN(v->input_credit, CHUNK_BYTES));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) { /* a terminal that has gone is an end too */
		a->eof_seen = true;
		return;
	}
	lock_acquire(&a->lock);
	a->input_credit -= (u32)n;
	lock_release(&a->lock);
	agent_line_send(a, AGENT_INPUT, (size_t)n);
}

static void
drop_output(struct agent *a, unsigned stream) EXCLUDES(a->lock)
{
	struct stream *s = &a->out[stream];

	lock_acquire(&a->lock);
	s->close_owed = !s->reader_gone;
	s->reader_gone = true;
	s->count = 0;
	lock_release(&a->lock);
}

static void
write_output(struct agent *a, unsigned stream) EXCLUDES(a->lock)
{
	struct stream *s = &a->out[stream];
	u8 bytes[CHUNK_BYTES];
	size_t count;
	ssize_t n;

	lock_acquire(&a->lock);
	count = MIN(s->count, CHUNK_BYTES);
	for (size_t i = 0; i < count; i++)
		bytes[i] = s->ring[(s->at + i) % AGENT_WINDOW];
	lock_release(&a->lock);
	n = count != 0 ? write(a->fd[stream], bytes, count) : 0;
	if (n < 0 && errno != EINTR && errno != EAGAIN) {
		int saved = errno;

		drop_output(a, stream);
		if (saved == EPIPE) /* the command hears of it by SIGPIPE */
			return;
		lock_acquire(&a->lock);
		snprintf(a->trouble, sizeof(a->trouble),
			 "cannot write the command's output: %s",
			 strerror(saved));
		lock_release(&a->lock);
		return;
	}
	if (n <= 0)
		return;
	lock_acquire(&a->lock);
	s->at = (s->at + (size_t)n) % AGENT_WINDOW;
	s->count -= (size_t)n;
	lock_release(&a->lock);
	s->owed += (u32)n;
}

static void
ask_quit(struct agent *a) EXCLUDES(a->lock)
{
	if (!a->quit_asked)
		a->outside.quit(a->outside.arg);
	a->quit_asked = true;
	a->deadline_ns = 0;
}

/* What time and interrupts ask for. */
static void
watch(struct agent *a, const struct view *v) EXCLUDES(a->lock)
{
	unsigned interrupts = atomic_load(&a->interrupts);

	if (interrupts != a->interrupts_seen) {
		a->interrupts_seen = interrupts;
		a->deadline_ns = clock_now_ns() + AGENT_BREAK_S * NS_PER_SEC;
		if (interrupts > 1 || v->talk != RUNNING || !a->exec_sent) {
			ask_quit(a);
			drop_output(a, AGENT_STDOUT);
			drop_output(a, AGENT_STDERR);
		}
	}
	if (v->talk == BROKEN ||
	    (a->deadline_ns != 0 && clock_now_ns() >= a->deadline_ns))
		ask_quit(a);
}

static void
tell_up(struct agent *a) EXCLUDES(a->lock)
{
	u64 ns, cpu_ns, guest_ns;

	lock_acquire(&a->lock);
	ns = a->up_ns;
	cpu_ns = a->up_cpu_ns;
	guest_ns = a->up_guest_ns;
	a->up_told = a->up;
	lock_release(&a->lock);
	if (a->up_told)
		log_info("guest up: %.3f s, %.3f s of CPU time, "
			 "%.3f s by its own clock",
			 (double)ns / NS_PER_SEC, (double)cpu_ns / NS_PER_SEC,
			 (double)guest_ns / NS_PER_SEC);
}

/* Sleeps until there is something to do. */
static void
wait_and_move(struct agent *a, const struct view *v) EXCLUDES(a->lock)
{
	struct pollfd fds[1 + AGENT_STREAMS];
	int timeout_ms = -1;
	u64 count;

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = (struct pollfd){.fd = -1};
	fds[0] = (struct pollfd){a->wake_fd, POLLIN, 0};
	if (wants_input(a, v))
		fds[1] = (struct pollfd){a->fd[0], POLLIN, 0};
	for (unsigned i = AGENT_STDOUT; i <= AGENT_STDERR; i++)
		if (v->out_count[i] != 0)
			fds[1 + i] = (struct pollfd){a->fd[i], POLLOUT, 0};
	if (a->deadline_ns != 0) {
		u64 now = clock_now_ns();

		timeout_ms =
		    now >= a->deadline_ns
			? 0
			: (int)((a->deadline_ns - now) / NS_PER_MS) + 1;
	}
	if (poll(fds, ARRAY_SIZE(fds), timeout_ms) <= 0)
		return;
	if (fds[0].revents != 0 && read(a->wake_fd, &count, 8) < 0)
		return;
	for (unsigned i = AGENT_STDOUT; i <= AGENT_STDERR; i++)
		if (fds[1 + i].revents != 0)
			write_output(a, i);
	/* After a wake-up the view is old: nobody may want input any more. */
	if (fds[1].revents != 0 && fds[0].revents == 0)
		read_input(a, v);
}

static void *
agent_main(void *arg)
{
	struct agent *a = arg;

	for (;;) {
		struct view v = look(a);

		if (!a->up_told)
			tell_up(a);
		watch(a, &v);
		if (send_due(a, &v))
			continue;
		if (v.stopping && v.out_count[AGENT_STDOUT] == 0 &&
		    v.out_count[AGENT_STDERR] == 0)
			return NULL;
		wait_and_move(a, &v);
	}
}

int
agent_open(struct agent **out, const struct agent_config *cfg, struct err *e)
{
	struct agent *a = calloc(1, sizeof(*a));
	int n;

	if (a == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	n = agent_exec_pack(a->exec, cfg->argv, cfg->env);
	if (n < 0) {
		free(a);
		return err_set(e, n,
			       "the command is longer than %d bytes or %d "
			       "words",
			       AGENT_MAX_PAYLOAD, AGENT_MAX_STRINGS);
	}
	a->exec_bytes = (size_t)n;
	a->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->wake_fd < 0) {
		n = -errno;
		free(a);
		return err_errno(e, n, "cannot make an eventfd");
	}
	lock_init(&a->lock);
	agent_line_init(a);
	memcpy(a->fd, cfg->fd, sizeof(a->fd));
	a->open_ns = clock_now_ns();
	*out = a;
	return 0;
}

struct chardev *
agent_chardev(struct agent *a)
{
	return &a->chardev;
}

int
agent_start(struct agent *a, const struct agent_outside *outside, struct err *e)
{
	int rc;

	assert(!a->started);
	a->outside = *outside;
	rc = pthread_create(&a->thread, NULL, agent_main, a);
	if (rc != 0)
		return err_errno(e, -rc, "cannot start a thread");
	a->started = true;
	return 0;
}

void
agent_interrupt(struct agent *a, int signo)
{
	atomic_store(&a->signo, signo);
	atomic_fetch_add(&a->interrupts, 1);
	agent_wake(a);
}

void
agent_stop(struct agent *a, struct agent_result *result)
{
	lock_acquire(&a->lock);
	a->stopping = true;
	lock_release(&a->lock);
	agent_wake(a);
	if (a->started)
		pthread_join(a->thread, NULL);
	a->started = false;
	lock_acquire(&a->lock);
	result->up = a->up;
	result->ended = a->talk == ENDED;
	result->status = a->status;
	snprintf(result->trouble, sizeof(result->trouble), "%s", a->trouble);
	lock_release(&a->lock);
}

void
agent_close(struct agent *a)
{
	if (a == NULL)
		return;
	assert(!a->started);
	close(a->wake_fd);
	lock_destroy(&a->lock);
	free(a);
}
