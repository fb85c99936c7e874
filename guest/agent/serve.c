/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest/agent/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/agent_proto.h"

#define CHUNK_BYTES 4096 /* of output in a frame */

enum { POLL_LINE, POLL_STDIN, POLL_STDOUT, POLL_STDERR };

/* The command under way. pipe[] are our ends, -1 when closed. The command is
 * over for the host when it was reaped and its pipes have run dry; somebody
 * it left behind may still hold them open, so we do not wait for their end.
 *
 *   none --EXEC--> running --serve_reaped--> draining --finish--> none
 */
static struct {
	enum { NONE, RUNNING, DRAINING } state;
	pid_t pid;
	int wait_status;
	int pipe[AGENT_STREAMS];
	u32 credit[AGENT_STREAMS]; /* what we may send; [0] unused */
	u8 input[AGENT_WINDOW];	   /* ring: what stdin did not take yet */
	size_t input_at, input_count;
	bool input_ended;
} cmd = {.pipe = {-1, -1, -1}};

static struct {
	int fd;
	struct agent_parser parser;
	u8 seq;
	bool greeted, broken;
	u8 frame[AGENT_MAX_FRAME];
} line = {.fd = -1};

/* Sends the frame whose payload already lies in line.frame. */
static void
send_sealed(u8 type, size_t size_bytes)
{
	size_t count =
	    agent_frame_seal(line.frame, type, line.seq++, size_bytes);

	for (size_t at = 0; at < count && !line.broken;) {
		ssize_t n = write(line.fd, line.frame + at, count - at);

		if (n > 0)
			at += (size_t)n;
		else if (errno != EINTR)
			line.broken = true;
	}
}

static void
send_u32x2(u8 type, u32 a, u32 b)
{
	put_le32(line.frame + AGENT_HEADER_BYTES, a);
	put_le32(line.frame + AGENT_HEADER_BYTES + 4, b);
	send_sealed(type, 8);
}

static void
send_hello(void)
{
	struct timespec now;
	u8 *p = line.frame + AGENT_HEADER_BYTES;

	clock_gettime(CLOCK_BOOTTIME, &now);
	put_le32(p, AGENT_VERSION);
	put_le32(p + 4, 0);
	put_le64(p + 8, (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec);
	send_sealed(AGENT_HELLO, AGENT_HELLO_BYTES);
}

int
serve_open(const char *line_path)
{
	struct termios t;

	line.fd = open(line_path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (line.fd < 0)
		return -errno;
	if (tcgetattr(line.fd, &t) != 0) {
		int rc = -errno;

		serve_close();
		return rc;
	}
	cfmakeraw(&t);
	cfsetspeed(&t, B115200);
	t.c_cflag |= CLOCAL | CREAD;
	t.c_cflag &= ~CRTSCTS;
	tcsetattr(line.fd, TCSANOW, &t);
	agent_parser_init(&line.parser);
	send_hello();
	return 0;
}

void
serve_close(void)
{
	close(line.fd);
	line.fd = -1;
}

bool
serve_greeted(void)
{
	return line.greeted;
}

static void
close_pipe(unsigned stream)
{
	if (cmd.pipe[stream] >= 0)
		close(cmd.pipe[stream]);
	cmd.pipe[stream] = -1;
}

/* In the child: becomes argv, or says why not. */
static _Noreturn void
become(char **argv, char **env, int fds[AGENT_STREAMS])
{
	sigset_t none;
	int status;

	for (int i = 0; i < AGENT_STREAMS; i++)
		dup2(fds[i], i);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	for (; *env != NULL; env++)
		putenv(*env);
	execvp(argv[0], argv);
	status = errno == ENOENT ? AGENT_EXIT_NOT_FOUND : AGENT_EXIT_CANNOT_RUN;
	dprintf(STDERR_FILENO, "spindle-agent: cannot run '%s': %s\n", argv[0],
		strerror(errno));
	_exit(status);
}

static int
start_command(char **argv, char **env)
{
	int theirs[AGENT_STREAMS] = {-1, -1, -1};
	int rc = 0;

	for (int i = 0; i < AGENT_STREAMS && rc == 0; i++) {
		int p[2];

		if (pipe2(p, O_CLOEXEC) != 0) {
			rc = -errno;
			break;
		}
		theirs[i] = i == AGENT_STDIN ? p[0] : p[1];
		cmd.pipe[i] = i == AGENT_STDIN ? p[1] : p[0];
		fcntl(cmd.pipe[i], F_SETFL, O_NONBLOCK);
		cmd.credit[i] = AGENT_WINDOW;
	}
	if (rc == 0) {
		cmd.pid = fork();
		if (cmd.pid == 0)
			become(argv, env, theirs);
		if (cmd.pid < 0)
			rc = -errno;
	}
	for (int i = 0; i < AGENT_STREAMS; i++)
		if (theirs[i] >= 0)
			close(theirs[i]);
	return rc;
}

static void
exec_command(const u8 *payload, size_t size_bytes)
{
	char *strings[AGENT_MAX_STRINGS + 2], **env;

	if (cmd.state != NONE ||
	    agent_exec_unpack(payload, size_bytes, strings, &env) < 0) {
		line.broken = true;
		return;
	}
	cmd.input_at = cmd.input_count = 0;
	cmd.input_ended = false;
	if (start_command(strings, env) == 0) {
		cmd.state = RUNNING;
		return;
	}
	for (unsigned i = 0; i < AGENT_STREAMS; i++)
		close_pipe(i);
	send_u32x2(AGENT_EXIT, AGENT_EXIT_CANNOT_RUN, 0);
}

/* Gives stdin what waits for it, and the host room for as much again. */
static void
feed_stdin(void)
{
	u32 taken = 0;

	while (cmd.input_count != 0 && cmd.pipe[AGENT_STDIN] >= 0) {
		size_t run = MIN(cmd.input_count, AGENT_WINDOW - cmd.input_at);
		ssize_t n =
		    write(cmd.pipe[AGENT_STDIN], cmd.input + cmd.input_at, run);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) { /* EPIPE: the command reads no more */
			close_pipe(AGENT_STDIN);
			send_u32x2(AGENT_CLOSE, AGENT_STDIN, 0);
			return;
		}
		cmd.input_at = (cmd.input_at + (size_t)n) % AGENT_WINDOW;
		cmd.input_count -= (size_t)n;
		taken += (u32)n;
	}
	if (taken != 0)
		send_u32x2(AGENT_CREDIT, AGENT_STDIN, taken);
	if (cmd.input_count == 0 && cmd.input_ended)
		close_pipe(AGENT_STDIN);
}

static void
take_input(const u8 *bytes, size_t count)
{
	if (cmd.state != RUNNING || cmd.pipe[AGENT_STDIN] < 0)
		return;
	if (count > AGENT_WINDOW - cmd.input_count || cmd.input_ended) {
		line.broken = true;
		return;
	}
	for (size_t i = 0; i < count; i++)
		cmd.input[(cmd.input_at + cmd.input_count++) % AGENT_WINDOW] =
		    bytes[i];
	feed_stdin();
}

static void
take_credit(u32 stream, u32 count)
{
	if (cmd.state == NONE)
		return;
	if ((stream != AGENT_STDOUT && stream != AGENT_STDERR) ||
	    count > AGENT_WINDOW - cmd.credit[stream])
		line.broken = true;
	else
		cmd.credit[stream] += count;
}

static void
take_close(u32 stream)
{
	if (cmd.state == NONE)
		return;
	if (stream >= AGENT_STREAMS) {
		line.broken = true;
	} else if (stream == AGENT_STDIN) {
		cmd.input_ended = true;
		feed_stdin();
	} else {
		close_pipe(stream);
	}
}

static enum serve_result
take_frame(void)
{
	const u8 *p = agent_frame_payload(&line.parser);
	size_t size_bytes = agent_frame_size(&line.parser);
	u32 a = size_bytes >= 4 ? get_le32(p) : 0;
	u32 b = size_bytes >= 8 ? get_le32(p + 4) : 0;

	switch (agent_frame_type(&line.parser)) {
	case AGENT_HELLO:
		line.greeted = a == AGENT_VERSION;
		line.broken = !line.greeted;
		break;
	case AGENT_EXEC:
		exec_command(p, size_bytes);
		break;
	case AGENT_INPUT:
		take_input(p, size_bytes);
		break;
	case AGENT_CREDIT:
		take_credit(a, b);
		break;
	case AGENT_CLOSE:
		take_close(a);
		break;
	case AGENT_SIGNAL:
		if (cmd.state == RUNNING && a >= 1 && a <= 64)
			kill(-cmd.pid, (int)a);
		break;
	case AGENT_POWEROFF:
		return SERVE_POWEROFF;
	default:
		line.broken = true;
	}
	return line.broken ? SERVE_BROKEN : SERVE_ON;
}

static enum serve_result
read_line(void)
{
	enum serve_result result = SERVE_ON;
	u8 bytes[CHUNK_BYTES];
	ssize_t n = read(line.fd, bytes, sizeof(bytes));

	if (n <= 0)
		return n < 0 && errno == EINTR ? SERVE_ON : SERVE_BROKEN;
	for (size_t at = 0; at < (size_t)n && result == SERVE_ON;) {
		size_t used;
		enum agent_event event =
		    agent_parser_feed(&line.parser, bytes + at, (size_t)n - at,
				      &used);

		at += used;
		if (event == AGENT_BROKEN)
			return SERVE_BROKEN;
		if (event == AGENT_FRAME)
			result = take_frame();
	}
	return result;
}

/* Moves one chunk of output to the host. False when there is none now. */
static bool
send_output(unsigned stream)
{
	size_t room = MIN(cmd.credit[stream], CHUNK_BYTES);
	ssize_t n;

	if (cmd.pipe[stream] < 0 || room == 0)
		return false;
	n = read(cmd.pipe[stream], line.frame + AGENT_HEADER_BYTES, room);
	if (n < 0)
		return false; /* EAGAIN */
	if (n == 0) {
		close_pipe(stream);
		return false;
	}
	cmd.credit[stream] -= (u32)n;
	send_sealed(stream == AGENT_STDOUT ? AGENT_OUTPUT : AGENT_ERROR_OUTPUT,
		    (size_t)n);
	return true;
}

/* Everything the command wrote before it ended is in the pipes: when a read
 * finds nothing although there is credit, the command is over. */
static void
finish(void)
{
	for (unsigned i = AGENT_STDOUT; i <= AGENT_STDERR; i++) {
		while (send_output(i))
			;
		if (cmd.pipe[i] >= 0 && cmd.credit[i] == 0)
			return;
	}
	for (unsigned i = 0; i < AGENT_STREAMS; i++)
		close_pipe(i);
	cmd.state = NONE;
	if (WIFSIGNALED(cmd.wait_status))
		send_u32x2(AGENT_EXIT, 0, (u32)WTERMSIG(cmd.wait_status));
	else
		send_u32x2(AGENT_EXIT, (u32)WEXITSTATUS(cmd.wait_status), 0);
}

void
serve_reaped(pid_t pid, int wait_status)
{
	if (cmd.state != RUNNING || pid != cmd.pid)
		return;
	cmd.wait_status = wait_status;
	cmd.state = DRAINING;
	close_pipe(AGENT_STDIN);
	finish();
}

void
serve_poll(struct pollfd fds[SERVE_FDS])
{
	fds[POLL_LINE] = (struct pollfd){.fd = line.fd, .events = POLLIN};
	fds[POLL_STDIN] = (struct pollfd){.fd = -1, .events = POLLOUT};
	if (cmd.input_count != 0)
		fds[POLL_STDIN].fd = cmd.pipe[AGENT_STDIN];
	for (unsigned i = AGENT_STDOUT; i <= AGENT_STDERR; i++) {
		fds[i + 1] = (struct pollfd){.fd = -1, .events = POLLIN};
		if (cmd.credit[i] != 0)
			fds[i + 1].fd = cmd.pipe[i];
	}
}

enum serve_result
serve_run(const struct pollfd fds[SERVE_FDS])
{
	enum serve_result result = SERVE_ON;

	if (fds[POLL_LINE].revents != 0)
		result = read_line();
	if (fds[POLL_STDIN].revents != 0)
		feed_stdin();
	for (unsigned i = AGENT_STDOUT; i <= AGENT_STDERR; i++)
		if (fds[i + 1].revents != 0)
			send_output(i);
	if (cmd.state == DRAINING)
		finish();
	return line.broken ? SERVE_BROKEN : result;
}
