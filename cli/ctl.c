/* SPDX-License-Identifier: BSD-2-Clause */
/* ctl - one message to a running machine, and its answer on stdout */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"

#define ANSWER_MAX_BYTES 65536
#define ANSWER_S	 10

static int
dial(const char *path, struct err *e)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, rc;

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(
		    e, -ENAMETOOLONG,
		    "the socket's name '%s' is longer than %zu bytes", path,
		    sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(e, -errno, "cannot make a socket");
	if (connect(fd, (void *)&address, sizeof(address)) != 0) {
		rc = -errno;
		close(fd);
		if (rc == -ECONNREFUSED)
			return err_set(e, rc, "no machine listens at '%s'",
				       path);
		return err_errno(e, rc, "cannot reach a machine at '%s'", path);
	}
	return fd;
}

/* The first line of stdin, as it is. */
static char *
read_request(void)
{
	char *line = NULL;
	size_t room_bytes = 0;
	ssize_t n = getline(&line, &room_bytes, stdin);

	if (n > 0 && line[n - 1] != '\n') { /* the last one may lack it */
		char *ended;

		if (asprintf(&ended, "%s\n", line) < 0)
			ended = NULL;
		free(line);
		return ended;
	}
	if (n <= 0) {
		free(line);
		return NULL;
	}
	return line;
}

/* Words behind a message: insert takes a file, it and eject then "force". */
static bool
words_fit(const char *message, char *const *word)
{
	bool insert = strcmp(message, "insert") == 0;

	if (insert && *word++ == NULL)
		return false;
	if ((insert || strcmp(message, "eject") == 0) && *word != NULL &&
	    strcmp(*word, "force") == 0)
		word++;
	return *word == NULL;
}

/* A file is named from where we are, which is not where the machine is. */
static void
add_words(json_t *request, const char *message, char *const *word)
{
	char *file;

	if (strcmp(message, "insert") == 0) {
		file = realpath(*word, NULL);
		json_object_set_new(request, "file",
				    json_string(file != NULL ? file : *word));
		free(file);
		word++;
	}
	if (*word != NULL)
		json_object_set_new(request, "force", json_true());
}

/* {"cmd":MESSAGE} and a newline; a message that begins with { goes as it is. */
static char *
make_request(const char *message, char *const *word)
{
	json_t *request;
	char *text, *line;
	int n;

	if (strcmp(message, "-") == 0)
		return read_request();
	if (message[0] == '{') {
		n = asprintf(&line, "%s\n", message);
		return n < 0 ? NULL : line;
	}
	request = json_pack("{s:s}", "cmd", message);
	if (request != NULL)
		add_words(request, message, word);
	text = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
	n = text != NULL ? asprintf(&line, "%s\n", text) : -1;
	free(text);
	json_decref(request);
	return n < 0 ? NULL : line;
}

static int
send_all(int fd, const char *text, struct err *e)
{
	size_t left = strlen(text);

	while (left != 0) {
		ssize_t n = send(fd, text, left, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0; /* it has read enough to answer */
		if (n < 0)
			return err_errno(e, -errno, "cannot send the message");
		text += n;
		left -= (size_t)n;
	}
	return 0;
}

/* Reads one line; returns its size without the newline. */
static int
receive_line(int fd, char answer[ANSWER_MAX_BYTES], struct err *e)
{
	u64 end_ns = clock_now_ns() + ANSWER_S * NS_PER_SEC;
	size_t count = 0;

	for (;;) {
		struct pollfd p = {fd, POLLIN, 0};
		u64 now = clock_now_ns();
		char *newline;
		ssize_t n;

		if (now >= end_ns ||
		    poll(&p, 1, (int)((end_ns - now) / NS_PER_MS) + 1) == 0)
			return err_set(e, -ETIMEDOUT,
				       "the machine did not answer within "
				       "%d seconds",
				       ANSWER_S);
		n = recv(fd, answer + count, ANSWER_MAX_BYTES - 1 - count, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, -errno, "cannot read the answer");
		if (n == 0)
			return err_set(e, -EPIPE,
				       "the machine hung up "
				       "without an answer");
		newline = memchr(answer + count, '\n', (size_t)n);
		count += (size_t)n;
		if (newline != NULL) {
			*newline = '\0';
			return (int)(newline - answer);
		}
		if (count == ANSWER_MAX_BYTES - 1)
			return err_set(e, -EMSGSIZE,
				       "the answer is longer "
				       "than %d bytes",
				       ANSWER_MAX_BYTES);
	}
}

/* Says what the answer says: its "ok", and its "error" as our sentence. */
static int
judge(const char *answer, struct err *e)
{
	json_t *root = json_loads(answer, 0, NULL);
	const char *text = json_string_value(json_object_get(root, "error"));
	int rc = 0;

	if (!json_is_boolean(json_object_get(root, "ok")))
		rc = err_set(e, -EBADMSG, "the answer is not a machine's");
	else if (!json_is_true(json_object_get(root, "ok")))
		rc = err_set(e, -EINVAL, "the machine refused: %s",
			     text != NULL ? text : "it did not say why");
	json_decref(root);
	return rc;
}

static int
exchange(int fd, const char *request, struct err *e)
{
	static char answer[ANSWER_MAX_BYTES];
	int rc = send_all(fd, request, e);

	if (rc == 0)
		rc = receive_line(fd, answer, e);
	if (rc < 0)
		return rc;
	puts(answer);
	return judge(answer, e);
}

int
ctl_main(const struct cli_command *self, int argc, char **argv)
{
	struct err e;
	bool help = false;
	int first = cli_parse(NULL, 0, argc, argv, &help, &e);
	char *request;
	int fd, rc;

	if (first < 0)
		return cli_usage("%s", e.text);
	if (help) {
		cli_print_help(
		    self, NULL, 0,
		    "MESSAGE is query, stats, pause, continue, powerdown or "
		    "quit; eject [force] or\n"
		    "insert FILE [force], for the CD drive; or a whole JSON "
		    "object; or - for a line\n"
		    "from stdin. The answer, one line of JSON, is printed; the "
		    "exit status is 0 when\n"
		    "it says \"ok\":true and 1 when not.\n");
		return CLI_OK;
	}
	if (argc - first < 2 || !words_fit(argv[first + 1], argv + first + 2))
		return cli_usage("'spindle ctl' takes a socket and a message");
	fd = dial(argv[first], &e);
	if (fd < 0)
		return cli_fail(&e);
	request = make_request(argv[first + 1], argv + first + 2);
	rc = request != NULL
		 ? exchange(fd, request, &e)
		 : err_set(&e, -EINVAL,
			   "there is no message, or it is not UTF-8");
	free(request);
	close(fd);
	return rc != 0 ? cli_fail(&e) : CLI_OK;
}
