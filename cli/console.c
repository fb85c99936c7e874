/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/console.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define ESCAPE	     0x1d /* Ctrl-] */
#define INPUT_BYTES  1024
#define PATIENCE_MS  100 /* how soon an interrupt frees a blocked write */
#define WRITE_BYTES  4096
#define CONSOLE_PORT 0

struct console {
	struct chardev chardev;
	struct machine *machine; /* [const] after start */
	int wake_fd;		 /* [const] eventfd: room for input, or stop */
	bool is_terminal;	 /* [const] after start: stdin, and it is raw */
	pthread_t thread;
	bool started;
	atomic_bool stop;	 /* [atomic] the thread ends */
	atomic_bool interrupted; /* [atomic] output may be dropped */
	bool output_failed;	 /* [vcpu] */

	u8 input[INPUT_BYTES];	      /* [thread] what the guest did not take */
	size_t input_at, input_count; /* [thread] */
	bool escaped;		      /* [thread] the last key was ESCAPE */
	bool paused;		      /* [thread] by Ctrl-] z */
	bool ended;		      /* [thread] stdin gave its last byte */
};

/* What the mode was, for signal handlers too: set before raw is. */
static struct termios cooked, raw;
static atomic_bool raw_now;

static void
terminal_restore(void)
{
	if (atomic_exchange(&raw_now, false))
		tcsetattr(STDIN_FILENO, TCSADRAIN, &cooked);
}

/* A bug of ours should not leave the user a mute terminal. */
static void
on_fatal(int signo)
{
	if (atomic_load(&raw_now))
		tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
	raise(signo); /* SA_RESETHAND: the default action now */
}

/* Stopped and continued: the shell has set the mode it likes. */
static void
on_continue(int signo)
{
	(void)signo;
	if (atomic_load(&raw_now))
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

static void
catch_fatal(void)
{
	static const int fatal[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGQUIT};
	struct sigaction now = {.sa_handler = on_fatal,
				.sa_flags = (int)SA_RESETHAND},
			 cont = {.sa_handler = on_continue,
				 .sa_flags = SA_RESTART};

	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++) {
		struct sigaction old;

		/* A driver that catches its own faults keeps its handler. */
		if (sigaction(fatal[i], NULL, &old) == 0 &&
		    old.sa_handler == SIG_DFL)
			sigaction(fatal[i], &now, NULL);
	}
	sigaction(SIGCONT, &cont, NULL);
}

static int
terminal_make_raw(struct err *e)
{
	if (tcgetattr(STDIN_FILENO, &cooked) != 0)
		return err_errno(e, -errno, "cannot read the terminal's mode");
	raw = cooked;
	cfmakeraw(&raw);
	catch_fatal();
	atomic_store(&raw_now, true);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) != 0) {
		atomic_store(&raw_now, false);
		return err_errno(e, -errno, "cannot set the terminal's mode");
	}
	log_set_raw_terminal(true);
	return 0;
}

static void
wake(struct console *c)
{
	u64 one = 1;
	int saved = errno;

	/* A full counter is awake enough. */
	if (write(c->wake_fd, &one, sizeof(one)) < 0)
		errno = saved;
	errno = saved;
}

/* Waits for stdout, but not past an interrupt. */
static bool
wait_for_output(struct console *c)
{
	struct pollfd p = {STDOUT_FILENO, POLLOUT, 0};

	while (poll(&p, 1, PATIENCE_MS) <= 0)
		if (atomic_load(&c->interrupted))
			return false;
	return true;
}

static void
to_user(struct chardev *cd, const u8 *bytes, size_t count)
{
	struct console *c = CONTAINER_OF(cd, struct console, chardev);

	while (count != 0 && !c->output_failed && wait_for_output(c)) {
		ssize_t n =
		    write(STDOUT_FILENO, bytes, MIN(count, WRITE_BYTES));

		if (n >= 0) {
			bytes += n;
			count -= (size_t)n;
		} else if (errno != EINTR && errno != EAGAIN) {
			c->output_failed = true;
			if (errno != EPIPE)
				log_error("cannot write the guest's output: "
					  "%s",
					  strerror(errno));
			machine_quit(c->machine);
		}
	}
}

static void
guest_ready(struct chardev *cd)
{
	wake(CONTAINER_OF(cd, struct console, chardev));
}

/* A line beside the guest's own output. */
static void say(const char *fmt, ...) PRINTF_LIKE(1, 2);

static void
say(const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int n = snprintf(line, sizeof(line), "\r\n");

	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n - 2, fmt, ap);
	va_end(ap);
	n = MIN(n, (int)sizeof(line) - 3);
	memcpy(line + n, "\r\n", 2);
	/* Nobody is left to be told when stderr itself fails. */
	if (write(STDERR_FILENO, line, (size_t)n + 2) < 0)
		return;
}

static void
say_stats(struct machine *m)
{
	struct machine_stats st;

	machine_stats(m, &st);
	say("[%.1f s run, %.1f s CPU, %llu exits (%llu ports, %llu memory, "
	    "%llu halts), %llu interrupts, %llu M instructions]",
	    (double)st.run_ns / NS_PER_SEC, (double)st.host_cpu_ns / NS_PER_SEC,
	    (unsigned long long)st.exits, (unsigned long long)st.exits_io,
	    (unsigned long long)st.exits_mmio, (unsigned long long)st.exits_hlt,
	    (unsigned long long)st.interrupts,
	    (unsigned long long)(st.insns / 1000000));
}

static void
obey(struct console *c, u8 key)
{
	switch (key) {
	case 'q':
		atomic_store(&c->interrupted, true);
		machine_quit(c->machine);
		break;
	case 'd':
		say("[the power button was pressed]");
		machine_powerdown(c->machine);
		break;
	case 'z':
		c->paused = !c->paused;
		say(c->paused ? "[paused; Ctrl-] z continues]" : "[goes on]");
		if (c->paused)
			machine_pause(c->machine);
		else
			machine_continue(c->machine);
		break;
	case 's':
		say_stats(c->machine);
		break;
	default:
		say("[Ctrl-] and then  q: end the machine  d: press its power "
		    "button\r\n"
		    " z: pause or continue  s: statistics  Ctrl-]: send it  "
		    "h: this list]");
	}
}

/* Splits what was typed into input for the guest and orders to us. */
static size_t
take_keys(struct console *c, u8 *bytes, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (c->escaped && bytes[i] != ESCAPE)
			obey(c, bytes[i]);
		else if (c->escaped || bytes[i] != ESCAPE)
			bytes[kept++] = bytes[i];
		c->escaped = !c->escaped && bytes[i] == ESCAPE;
	}
	return kept;
}

static void
read_input(struct console *c)
{
	ssize_t n = read(STDIN_FILENO, c->input, sizeof(c->input));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) { /* a terminal that has gone is an end too */
		c->ended = true;
		return;
	}
	c->input_at = 0;
	c->input_count =
	    c->is_terminal ? take_keys(c, c->input, (size_t)n) : (size_t)n;
}

static void
push_input(struct console *c)
{
	while (c->input_count != 0) {
		size_t n = machine_serial_input(c->machine, CONSOLE_PORT,
						c->input + c->input_at,
						c->input_count);

		if (n == 0)
			return; /* guest_ready() will wake us */
		assert(n <= c->input_count);
		c->input_at += n;
		c->input_count -= n;
	}
}

static void *
console_main(void *arg)
{
	struct console *c = arg;

	while (!atomic_load(&c->stop)) {
		struct pollfd fds[2] = {{c->wake_fd, POLLIN, 0},
					{-1, POLLIN, 0}};
		u64 count;

		push_input(c);
		if (c->input_count == 0 && !c->ended)
			fds[1].fd = STDIN_FILENO;
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents != 0 && read(c->wake_fd, &count, 8) < 0)
			continue;
		if (fds[1].revents != 0)
			read_input(c);
	}
	return NULL;
}

int
console_open(struct console **out, struct err *e)
{
	struct console *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake_fd < 0) {
		int rc = -errno;

		free(c);
		return err_errno(e, rc, "cannot make an eventfd");
	}
	c->chardev.write = to_user;
	c->chardev.ready = guest_ready;
	*out = c;
	return 0;
}

struct chardev *
console_chardev(struct console *c)
{
	return &c->chardev;
}

int
console_start(struct console *c, struct machine *m, struct err *e)
{
	int rc;

	c->machine = m;
	c->is_terminal = isatty(STDIN_FILENO) != 0;
	if (c->is_terminal) {
		rc = terminal_make_raw(e);
		if (rc != 0)
			return rc;
	}
	rc = pthread_create(&c->thread, NULL, console_main, c);
	if (rc != 0) {
		terminal_restore();
		return err_errno(e, -rc, "cannot start a thread");
	}
	c->started = true;
	return 0;
}

void
console_interrupt(struct console *c)
{
	atomic_store(&c->interrupted, true);
}

void
console_stop(struct console *c)
{
	if (c == NULL || !c->started)
		return;
	atomic_store(&c->stop, true);
	wake(c);
	pthread_join(c->thread, NULL);
	c->started = false;
	terminal_restore();
	log_set_raw_terminal(false);
}

void
console_close(struct console *c)
{
	if (c == NULL)
		return;
	assert(!c->started);
	close(c->wake_fd);
	free(c);
}

const char *
console_append(char text[128])
{
	const char *term = getenv("TERM");
	struct winsize w;
	int n = 0;

	text[0] = '\0';
	if (!isatty(STDIN_FILENO))
		return text;
	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row != 0)
		n = snprintf(text, 128, " spindle.rows=%u spindle.cols=%u",
			     w.ws_row, w.ws_col);
	/* It becomes a word of the kernel's command line. */
	if (term != NULL && *term != '\0' && strlen(term) < 40 &&
	    term[strspn(term, "abcdefghijklmnopqrstuvwxyz"
			      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+.")] ==
		'\0')
		snprintf(text + n, 128 - (size_t)n, " spindle.term=%s", term);
	return text;
}
