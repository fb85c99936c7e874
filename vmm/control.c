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

struct call {
	struct machine *machine;
	const json_t *request;
	json_t *answer;
	struct err e; /* when the command returns a -errno */
};

static void
put_uint(json_t *o, const char *key, u64 v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static int
cmd_query(struct call *c)
{
	struct machine_info info;

	machine_query(c->machine, &info);
	json_object_set_new(c->answer, "name", json_string(info.name));
	json_object_set_new(c->answer, "state",
			    json_string(info.ended    ? "ended"
					: info.paused ? "paused"
						      : "running"));
	json_object_set_new(c->answer, "driver", json_string(info.driver));
	json_object_set_new(c->answer, "driver_why",
			    json_string(info.driver_why));
	if (info.stopped[0] != '\0')
		json_object_set_new(c->answer, "stopped",
				    json_string(info.stopped));
	put_uint(c->answer, "memory_bytes", info.memory_bytes);
	put_uint(c->answer, "pid", (u64)getpid());
	return 0;
}

/* An array; each disk says where it is. */
static json_t *
disks_stats(struct machine *m)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < MACHINE_DISKS; i++) {
		const struct disk *d = machine_disk(m, i);
		char *text = d != NULL ? disk_stats_json(d) : NULL;
		json_t *o = text != NULL ? json_loads(text, 0, NULL) : NULL;

		free(text);
		if (o == NULL)
			continue;
		put_uint(o, "at", i);
		json_array_append_new(all, o);
	}
	return all;
}

static int
cmd_stats(struct call *c)
{
	struct machine_stats st;

	machine_stats(c->machine, &st);
	put_uint(c->answer, "memory_bytes", st.memory_bytes);
	put_uint(c->answer, "run_ns", st.run_ns);
	put_uint(c->answer, "host_cpu_ns", st.host_cpu_ns);
	put_uint(c->answer, "exits", st.exits);
	put_uint(c->answer, "exits_io", st.exits_io);
	put_uint(c->answer, "exits_mmio", st.exits_mmio);
	put_uint(c->answer, "exits_hlt", st.exits_hlt);
	put_uint(c->answer, "exits_msr", st.exits_msr);
	put_uint(c->answer, "interrupts", st.interrupts);
	put_uint(c->answer, "insns", st.insns);
	json_object_set_new(c->answer, "disks", disks_stats(c->machine));
	return 0;
}

static int
cmd_pause(struct call *c)
{
	machine_pause(c->machine);
	json_object_set_new(c->answer, "state", json_string("paused"));
	return 0;
}

static int
cmd_continue(struct call *c)
{
	machine_continue(c->machine);
	json_object_set_new(c->answer, "state", json_string("running"));
	return 0;
}

static int
cmd_powerdown(struct call *c)
{
	machine_powerdown(c->machine);
	return 0;
}

static int
cmd_quit(struct call *c)
{
	machine_quit(c->machine);
	return 0;
}

/* The disk that "disk" names by its position; the first without it. */
static int
find_disk(struct call *c, struct disk **out)
{
	const json_t *at = json_object_get(c->request, "disk");
	json_int_t i = at != NULL ? json_integer_value(at) : 0;

	if (at != NULL && !json_is_integer(at))
		return err_set(&c->e, -EINVAL, "'disk' is a position, 0 to 3");
	*out = i >= 0 && i < MACHINE_DISKS
		   ? machine_disk(c->machine, (unsigned)i)
		   : NULL;
	return *out != NULL
		   ? 0
		   : err_set(&c->e, -ENOENT,
			     "there is no disk at position %lld", (long long)i);
}

/* {"cmd":"fault","disk":0,"rule":"write:EIO:count=1"}; without a rule there
 * are none any more. */
static int
cmd_fault(struct call *c)
{
	const json_t *rule = json_object_get(c->request, "rule");
	struct disk *d;
	int rc = find_disk(c, &d);

	if (rc != 0)
		return rc;
	if (rule != NULL && !json_is_string(rule))
		return err_set(&c->e, -EINVAL, "'rule' is a string");
	return disk_fault(d, json_string_value(rule), &c->e);
}

/* {"cmd":"eject","force":true}: "state" is open, or asked when the guest has
 * locked the door. {"cmd":"insert","file":"...","force":true}. */
static int
load_disc(struct call *c, const char *path, bool *asked)
{
	const json_t *force = json_object_get(c->request, "force");

	if (force != NULL && !json_is_boolean(force))
		return err_set(&c->e, -EINVAL, "'force' is true or false");
	return machine_load_disc(c->machine, path, json_is_true(force), asked,
				 &c->e);
}

static int
cmd_eject(struct call *c)
{
	bool asked;
	int rc = load_disc(c, NULL, &asked);

	if (rc == 0)
		json_object_set_new(c->answer, "state",
				    json_string(asked ? "asked" : "open"));
	return rc;
}

static int
cmd_insert(struct call *c)
{
	const char *path =
	    json_string_value(json_object_get(c->request, "file"));
	bool asked;

	if (path == NULL)
		return err_set(&c->e, -EINVAL, "'insert' needs a 'file'");
	return load_disc(c, path, &asked);
}

static const struct {
	const char *name;
	int (*run)(struct call *c);
} commands[] = {
    {"query", cmd_query},	  {"stats", cmd_stats},
    {"pause", cmd_pause},	  {"continue", cmd_continue},
    {"powerdown", cmd_powerdown}, {"quit", cmd_quit},
    {"fault", cmd_fault},	  {"eject", cmd_eject},
    {"insert", cmd_insert},
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
	struct call c = {.machine = m, .request = request};

	if (!json_is_object(request))
		return refuse("a request is a JSON object");
	if (name == NULL)
		return refuse("a request needs a string 'cmd'");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(name, commands[i].name) != 0)
			continue;
		c.answer = json_pack("{s:b}", "ok", 1);
		if (c.answer == NULL || commands[i].run(&c) == 0)
			return c.answer;
		json_decref(c.answer);
		return refuse(c.e.text);
	}
	return refuse("unknown command: there are query, stats, pause, "
		      "continue, powerdown, quit, fault, eject and insert");
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
