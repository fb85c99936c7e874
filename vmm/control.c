/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/control.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "vmm/control_int.h"
#include "vmm/machine.h"

struct client {
	int fd; /* -1: free */
	bool eof, closing;
	size_t in_count;
	char *in;  /* CONTROL_LINE_MAX + 1 bytes */
	char *out; /* the answer being sent, or NULL */
	size_t out_sent, out_count;
};

struct control {
	struct machine *machine;
	struct control_socket socket;
	int stop_fd;
	bool running;
	pthread_t thread;
	struct client client[CONTROL_CLIENTS]; /* the serving thread's */
};

/* --- commands ---------------------------------------------------------- */

static void
put_uint(json_t *o, const char *key, u64 v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void
cmd_query(struct machine *m, json_t *o)
{
	struct machine_info info;

	machine_query(m, &info);
	json_object_set_new(o, "name", json_string(info.name));
	json_object_set_new(o, "state",
			    json_string(info.ended    ? "ended"
					: info.paused ? "paused"
						      : "running"));
	json_object_set_new(o, "driver", json_string(info.driver));
	json_object_set_new(o, "driver_why", json_string(info.driver_why));
	put_uint(o, "memory_bytes", info.memory_bytes);
	put_uint(o, "pid", (u64)getpid());
}

static void
cmd_stats(struct machine *m, json_t *o)
{
	struct machine_stats st;

	machine_stats(m, &st);
	put_uint(o, "memory_bytes", st.memory_bytes);
	put_uint(o, "run_ns", st.run_ns);
	put_uint(o, "host_cpu_ns", st.host_cpu_ns);
	put_uint(o, "exits", st.exits);
	put_uint(o, "exits_io", st.exits_io);
	put_uint(o, "exits_mmio", st.exits_mmio);
	put_uint(o, "exits_hlt", st.exits_hlt);
	put_uint(o, "exits_msr", st.exits_msr);
	put_uint(o, "interrupts", st.interrupts);
	put_uint(o, "insns", st.insns);
}

static void
cmd_pause(struct machine *m, json_t *o)
{
	machine_pause(m);
	json_object_set_new(o, "state", json_string("paused"));
}

static void
cmd_continue(struct machine *m, json_t *o)
{
	machine_continue(m);
	json_object_set_new(o, "state", json_string("running"));
}

static void
cmd_powerdown(struct machine *m, json_t *o)
{
	(void)o;
	machine_powerdown(m);
}

static void
cmd_quit(struct machine *m, json_t *o)
{
	(void)o;
	machine_quit(m);
}

static const struct {
	const char *name;
	void (*run)(struct machine *m, json_t *answer);
} commands[] = {
    {"query", cmd_query},	  {"stats", cmd_stats},
    {"pause", cmd_pause},	  {"continue", cmd_continue},
    {"powerdown", cmd_powerdown}, {"quit", cmd_quit},
};

static json_t *
refuse(const char *sentence)
{
	return json_pack("{s:b, s:s}", "ok", 0, "error", sentence);
}

static json_t *
run_command(struct machine *m, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "cmd"));
	json_t *answer;

	if (!json_is_object(request))
		return refuse("a request is a JSON object");
	if (name == NULL)
		return refuse("a request needs a string 'cmd'");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(name, commands[i].name) != 0)
			continue;
		answer = json_pack("{s:b}", "ok", 1);
		if (answer != NULL)
			commands[i].run(m, answer);
		return answer;
	}
	return refuse("unknown command: there are query, stats, pause, "
		      "continue, powerdown and quit");
}

/* Takes the answer. */
static char *
print_line(json_t *answer)
{
	char *text = json_dumps(answer, JSON_PRESERVE_ORDER), *line = NULL;

	if (text != NULL && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	json_decref(answer);
	return line;
}

char *
control_answer(struct machine *m, const char *line, size_t count)
{
	json_error_t je;
	json_t *request = json_loadb(line, count, JSON_DECODE_ANY, &je);
	json_t *answer, *id;

	if (request == NULL)
		return print_line(refuse("a request is one line of JSON"));
	answer = run_command(m, request);
	id = json_object_get(request, "id");
	if (answer != NULL && id != NULL)
		json_object_set(answer, "id", id);
	json_decref(request);
	return print_line(answer);
}

/* --- clients ----------------------------------------------------------- */

static void
client_close(struct client *cl)
{
	close(cl->fd);
	free(cl->in);
	free(cl->out);
	*cl = (struct client){.fd = -1};
}

static void
client_accept(struct control *c)
{
	int fd = accept4(c->socket.listen_fd, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *cl = c->client;

	if (fd < 0)
		return; /* it went away again, or we are out of descriptors */
	while (cl->fd >= 0)
		cl++;
	assert(cl < c->client + CONTROL_CLIENTS);
	*cl = (struct client){.fd = fd, .in = malloc(CONTROL_LINE_MAX + 1)};
	if (cl->in == NULL)
		client_close(cl);
}

/* Sends what the socket takes. False: the client is gone. */
static bool
client_send(struct client *cl)
{
	while (cl->out != NULL) {
		ssize_t n = send(cl->fd, cl->out + cl->out_sent,
				 cl->out_count - cl->out_sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		cl->out_sent += (size_t)n;
		if (cl->out_sent < cl->out_count)
			continue;
		free(cl->out);
		cl->out = NULL;
	}
	return true;
}

static bool
client_answer(struct client *cl, char *answer)
{
	if (answer == NULL)
		return false;
	cl->out = answer;
	cl->out_sent = 0;
	cl->out_count = strlen(answer);
	return client_send(cl);
}

/* Answers whole lines, as long as the answers are taken. False: close. */
static bool
client_lines(struct control *c, struct client *cl)
{
	while (cl->out == NULL && !cl->closing) {
		char *end = memchr(cl->in, '\n', cl->in_count);
		size_t line = end != NULL ? (size_t)(end - cl->in) : 0;

		if (end == NULL && cl->in_count > CONTROL_LINE_MAX) {
			cl->closing = true;
			return client_answer(
			    cl,
			    print_line(refuse("a line may have 65536 bytes")));
		}
		/* the last line may lack its end */
		if (end == NULL && cl->eof)
			line = cl->in_count;
		if (end == NULL && (!cl->eof || line == 0))
			break;
		if (!client_answer(cl,
				   control_answer(c->machine, cl->in, line)))
			return false;
		line = MIN(line + 1, cl->in_count);
		memmove(cl->in, cl->in + line, cl->in_count - line);
		cl->in_count -= line;
	}
	return cl->out != NULL || !(cl->closing || cl->eof);
}

/* False: close. */
static bool
client_serve(struct control *c, struct client *cl, short events)
{
	ssize_t n;

	if (!client_send(cl))
		return false;
	if (cl->out == NULL && (events & (POLLIN | POLLHUP | POLLERR))) {
		n = recv(cl->fd, cl->in + cl->in_count,
			 CONTROL_LINE_MAX + 1 - cl->in_count, 0);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n == 0)
			cl->eof = true;
		if (n > 0)
			cl->in_count += (size_t)n;
	}
	return client_lines(c, cl);
}

/* --- the serving thread ------------------------------------------------ */

static void *
serve(void *arg)
{
	struct control *c = arg;
	struct pollfd pfd[2 + CONTROL_CLIENTS];

	for (;;) {
		bool room = false;

		pfd[0] = (struct pollfd){.fd = c->stop_fd, .events = POLLIN};
		for (int i = 0; i < CONTROL_CLIENTS; i++) {
			struct client *cl = &c->client[i];

			room = room || cl->fd < 0;
			pfd[2 + i] =
			    (struct pollfd){.fd = cl->fd,
					    .events = cl->out != NULL ? POLLOUT
								      : POLLIN};
		}
		/* when all places are taken, the next one waits in line */
		pfd[1] = (struct pollfd){.fd = room ? c->socket.listen_fd : -1,
					 .events = POLLIN};
		if (poll(pfd, ARRAY_SIZE(pfd), -1) < 0 && errno != EINTR) {
			log_error("control socket: poll: %s", strerror(errno));
			return NULL;
		}
		if (pfd[0].revents != 0)
			return NULL;
		for (int i = 0; i < CONTROL_CLIENTS; i++)
			if (pfd[2 + i].revents != 0 &&
			    !client_serve(c, &c->client[i], pfd[2 + i].revents))
				client_close(&c->client[i]);
		if (pfd[1].revents != 0)
			client_accept(c);
	}
}

/* Signals are for the machine's thread. */
static int
start_thread(struct control *c)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&c->thread, NULL, serve, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	c->running = rc == 0;
	return -rc;
}

int
control_open(struct control **out, const char *path, struct machine *m,
	     struct err *e)
{
	struct control *c = calloc(1, sizeof(*c));
	int rc;

	if (c == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	c->machine = m;
	c->stop_fd = -1;
	control_socket_init(&c->socket, "control socket");
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		c->client[i].fd = -1;
	rc = control_socket_open(&c->socket, path, e);
	if (rc != 0)
		goto out;
	c->stop_fd = eventfd(0, EFD_CLOEXEC);
	rc = c->stop_fd < 0 ? -errno : start_thread(c);
	if (rc != 0) {
		rc = err_errno(e, rc, "cannot serve control socket '%s'", path);
		goto out;
	}
	*out = c;
	return 0;
out:
	control_close(c);
	return rc;
}

void
control_close(struct control *c)
{
	u64 one = 1;

	if (c == NULL)
		return;
	if (c->running) {
		ssize_t n = write(c->stop_fd, &one, sizeof(one));

		assert(n == sizeof(one));
		pthread_join(c->thread, NULL);
	}
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		if (c->client[i].fd >= 0)
			client_close(&c->client[i]);
	control_socket_close(&c->socket);
	if (c->stop_fd >= 0)
		close(c->stop_fd);
	free(c);
}
