/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/boot_rig.h"
#include "tests/fake_hv.h"
#include "tests/vmm_rig.h"
#include "vmm/control.h"
#include "vmm/machine_int.h"

static u8 image[RIG_IMAGE_MAX];
static char kernel[512], sock[100];
static struct machine *m;
static struct control *control;

static int
setup(void **state)
{
	struct machine_config cfg = {.memory_bytes = 32 << 20,
				     .kernel = kernel,
				     .name = "box"};
	struct err e = {""};

	(void)state;
	snprintf(kernel, sizeof(kernel), "%s",
		 rig_file("control-kernel", image,
			  rig_bzimage(image, (const u8 *)"\xf4", 1)));
	snprintf(sock, sizeof(sock), "%s", rig_path("control-sock"));
	fake_hv_script(NULL, 0);
	assert_int_equal(machine_open_ops(&m, &cfg, &fake_hv_ops, &e), 0);
	control = NULL;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	control_close(control);
	machine_close(m);
	unlink(kernel);
	return 0;
}

/* --- one line, one answer ------------------------------------------------- */

static json_t *
ask(const char *line)
{
	char *answer = control_answer(m, line, strlen(line));
	json_t *j;

	assert_non_null(answer);
	assert_ptr_equal(strchr(answer, '\n'), answer + strlen(answer) - 1);
	j = json_loads(answer, 0, NULL);
	free(answer);
	assert_non_null(j);
	return j;
}

static void
assert_refused(const char *line, const char *sentence)
{
	json_t *j = ask(line);

	assert_true(json_is_false(json_object_get(j, "ok")));
	assert_string_equal(json_string_value(json_object_get(j, "error")),
			    sentence);
	json_decref(j);
}

static void
assert_state(const char *want)
{
	json_t *j = ask("{\"cmd\": \"query\"}");

	assert_true(json_is_true(json_object_get(j, "ok")));
	assert_string_equal(json_string_value(json_object_get(j, "state")),
			    want);
	json_decref(j);
}

static void
done(const char *line)
{
	json_t *j = ask(line);

	assert_true(json_is_true(json_object_get(j, "ok")));
	json_decref(j);
}

static void
test_control_query_and_stats_tell_about_the_machine(void **state)
{
	json_t *j = ask("{\"cmd\": \"query\"}");

	(void)state;
	assert_string_equal(json_string_value(json_object_get(j, "name")),
			    "box");
	assert_string_equal(json_string_value(json_object_get(j, "driver")),
			    "fake");
	assert_int_equal(json_integer_value(json_object_get(j, "memory_bytes")),
			 32 << 20);
	assert_int_equal(json_integer_value(json_object_get(j, "pid")),
			 getpid());
	json_decref(j);
	j = ask("{\"cmd\": \"stats\"}");
	assert_int_equal(json_integer_value(json_object_get(j, "insns")), 4711);
	json_decref(j);
}

static void
test_control_commands_act(void **state)
{
	(void)state;
	assert_state("running");
	done("{\"cmd\": \"pause\"}");
	assert_state("paused");
	done("{\"cmd\": \"pause\"}");
	done("{\"cmd\": \"continue\"}");
	assert_state("running");
	done("{\"cmd\": \"powerdown\"}");
	assert_int_equal(m->acpi.s.sts, 0x100);
	assert_false(atomic_load(&m->quit));
	done("{\"cmd\": \"quit\"}");
	assert_true(atomic_load(&m->quit));
}

static void
test_control_gives_the_id_back_as_it_was(void **state)
{
	static const char *const ids[] = {"1",	  "\"a\\u0000b\"",    "null",
					  "-2.5", "[1, {\"x\": []}]", "true"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		char line[100];
		json_t *j,
		    *id = json_loads(ids[i], JSON_DECODE_ANY | JSON_ALLOW_NUL,
				     NULL);

		snprintf(line, sizeof(line), "{\"cmd\":\"query\",\"id\":%s}",
			 ids[i]);
		if (strstr(ids[i], "u0000") != NULL) { /* not for us */
			assert_refused(line, "a request is one line of JSON");
		} else {
			j = ask(line);
			assert_true(json_equal(json_object_get(j, "id"), id));
			json_decref(j);
		}
		json_decref(id);
	}
	/* also with a refusal */
	{
		json_t *j = ask("{\"cmd\": 5, \"id\": 7}");

		assert_int_equal(json_integer_value(json_object_get(j, "id")),
				 7);
		json_decref(j);
	}
}

static void
test_control_refuses_what_is_no_request(void **state)
{
	char deep[5000];

	(void)state;
	assert_refused("", "a request is one line of JSON");
	assert_refused("hello", "a request is one line of JSON");
	assert_refused("{\"cmd\": \"query\"", "a request is one line of JSON");
	assert_refused("{\"cmd\": \"query\"} {}",
		       "a request is one line of JSON");
	assert_refused("\xff\xfe", "a request is one line of JSON");
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = 0;
	assert_refused(deep, "a request is one line of JSON");
	assert_refused("[]", "a request is a JSON object");
	assert_refused("17", "a request is a JSON object");
	assert_refused("{}", "a request needs a string 'cmd'");
	assert_refused("{\"cmd\": 1}", "a request needs a string 'cmd'");
	assert_refused("{\"cmd\": \"Query\"}",
		       "unknown command: there are query, stats, pause, "
		       "continue, powerdown, quit, fault, eject and insert");
}

/* --- the socket ----------------------------------------------------------- */

static int
dial(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = 20};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", sock);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

static void
say(int fd, const char *line)
{
	assert_int_equal(send(fd, line, strlen(line), MSG_NOSIGNAL),
			 strlen(line));
}

/* Reads one line; its length, 0 at the end. */
static size_t
hear(int fd, char *buf, size_t size_bytes)
{
	size_t n = 0;

	while (n + 1 < size_bytes) {
		ssize_t r = recv(fd, buf + n, 1, 0);

		if (r <= 0 || buf[n++] == '\n')
			break;
	}
	buf[n] = 0;
	return n;
}

static void
expect(int fd, const char *part)
{
	char buf[4096];

	assert_true(hear(fd, buf, sizeof(buf)) > 0);
	assert_non_null(strstr(buf, part));
}

static void
expect_end(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, 0);

	assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

static void
open_socket(void)
{
	struct err e = {""};

	assert_int_equal(control_open(&control, sock, m, &e), 0);
}

static void
test_control_socket_is_the_owners_only_and_goes_away(void **state)
{
	mode_t old = umask(0);
	char lock[120];
	struct stat st;

	(void)state;
	open_socket();
	umask(old);
	snprintf(lock, sizeof(lock), "%s.lock", sock);
	assert_int_equal(stat(sock, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(lock, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	control_close(control);
	control = NULL;
	assert_int_equal(stat(sock, &st), -1);
	assert_int_equal(stat(lock, &st), -1);
}

static void
test_control_answers_several_clients_in_order(void **state)
{
	int a, b;

	(void)state;
	open_socket();
	a = dial();
	b = dial();
	say(a,
	    "{\"cmd\":\"query\",\"id\":1}\n{\"cmd\":\"stats\",\"id\":2}\n{\"c");
	say(b, "nonsense\n");
	expect(b, "one line of JSON");
	expect(a, "\"id\": 1");
	expect(a, "\"id\": 2");
	say(a, "md\":\"query\",\"id\":3}\n");
	expect(a, "\"id\": 3");
	close(a);
	say(b, "{\"cmd\":\"query\",\"id\":4}"); /* no newline, but the end */
	shutdown(b, SHUT_WR);
	expect(b, "\"id\": 4");
	expect_end(b);
	close(b);
}

static void
test_control_closes_after_one_error_on_a_long_line(void **state)
{
	static char junk[4096];
	int fd, other;
	char buf[200];

	(void)state;
	memset(junk, 'x', sizeof(junk));
	open_socket();
	fd = dial();
	other = dial();
	for (size_t sent = 0; sent < 1 << 20; sent += sizeof(junk))
		if (send(fd, junk, sizeof(junk), MSG_NOSIGNAL) < 0)
			break; /* closed on the way: that is the point */
	assert_true(hear(fd, buf, sizeof(buf)) > 0);
	assert_non_null(strstr(buf, "a line may have 65536 bytes"));
	expect_end(fd);
	close(fd);
	say(other, "{\"cmd\":\"query\",\"id\":5}\n"); /* unharmed */
	expect(other, "\"id\": 5");
	close(other);
}

/* A line of exactly the limit is one line. */
static void
test_control_takes_the_longest_line(void **state)
{
	static char line[CONTROL_LINE_MAX + 1];
	int fd;

	(void)state;
	memset(line, ' ', CONTROL_LINE_MAX);
	memcpy(line, "{\"cmd\":\"query\",\"id\":6}", 22);
	line[CONTROL_LINE_MAX] = '\n';
	open_socket();
	fd = dial();
	for (size_t at = 0; at < sizeof(line);) {
		ssize_t n =
		    send(fd, line + at, sizeof(line) - at, MSG_NOSIGNAL);

		assert_true(n > 0);
		at += (size_t)n;
	}
	expect(fd, "\"id\": 6");
	close(fd);
}

/* One that asks and does not listen stops being heard; others are served. */
static void
test_control_survives_a_client_that_does_not_read(void **state)
{
	static const char line[] = "{\"cmd\":\"stats\"}\n";
	int deaf, fd;
	unsigned sent = 0;

	(void)state;
	open_socket();
	deaf = dial();
	while (send(deaf, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		sent++;
	assert_int_equal(errno, EAGAIN);
	assert_true(sent > 100);
	fd = dial();
	say(fd, "{\"cmd\":\"query\",\"id\":7}\n");
	expect(fd, "\"id\": 7");
	close(fd);
	close(deaf);
}

static void
test_control_lets_one_client_too_many_wait(void **state)
{
	int fd[CONTROL_CLIENTS + 1];

	(void)state;
	open_socket();
	for (int i = 0; i <= CONTROL_CLIENTS; i++)
		fd[i] = dial();
	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		say(fd[i], "{\"cmd\":\"query\"}\n");
		expect(fd[i], "\"ok\": true");
	}
	say(fd[CONTROL_CLIENTS], "{\"cmd\":\"query\",\"id\":8}\n");
	close(fd[0]);
	expect(fd[CONTROL_CLIENTS], "\"id\": 8");
	for (int i = 1; i <= CONTROL_CLIENTS; i++)
		close(fd[i]);
}

static void
refused(int rc, const char *part)
{
	struct control *c = NULL;
	struct err e = {""};

	assert_int_equal(control_open(&c, sock, m, &e), rc);
	assert_null(c);
	assert_non_null(strstr(e.text, part));
}

static void
test_control_refuses_a_socket_that_is_taken(void **state)
{
	int fd;

	(void)state;
	open_socket();
	refused(-EADDRINUSE, "belongs to a virtual machine that runs");
	fd = dial(); /* and the first one still works */
	say(fd, "{\"cmd\":\"query\"}\n");
	expect(fd, "\"ok\": true");
	close(fd);
}

/* A socket bound at sock, as another program would. */
static int
bind_socket(bool listening)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", sock);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	if (listening)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void
test_control_replaces_what_a_dead_machine_left(void **state)
{
	char lock[120];
	int fd;

	(void)state;
	close(bind_socket(true));
	snprintf(lock, sizeof(lock), "%s.lock", sock);
	rig_file("control-sock.lock", "", 0);
	open_socket();
	fd = dial();
	say(fd, "{\"cmd\":\"query\"}\n");
	expect(fd, "\"ok\": true");
	close(fd);
}

static void
test_control_leaves_other_peoples_files_alone(void **state)
{
	struct stat st;
	int fd;

	(void)state;
	fd = bind_socket(true);
	refused(-EADDRINUSE, "another program listens on socket");
	assert_int_equal(stat(sock, &st), 0);
	close(fd);
	unlink(sock);
	rig_file("control-sock", "x", 1);
	refused(-EEXIST, "exists and is not a socket");
	assert_int_equal(stat(sock, &st), 0);
	assert_int_equal(st.st_size, 1);
	unlink(sock);
	/* somebody replaced the socket while we ran */
	open_socket();
	unlink(sock);
	rig_file("control-sock", "x", 1);
	control_close(control);
	control = NULL;
	assert_int_equal(stat(sock, &st), 0);
	unlink(sock);
}

static void
test_control_refuses_impossible_paths(void **state)
{
	struct control *c = NULL;
	struct err e = {""};
	char path[200];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	assert_int_equal(control_open(&c, path, m, &e), -ENAMETOOLONG);
	assert_non_null(strstr(e.text, "has 199 bytes"));
	assert_int_equal(control_open(&c, "", m, &e), -EINVAL);
	assert_int_equal(control_open(&c, "/nonexistent/s", m, &e), -ENOENT);
	assert_non_null(strstr(e.text, "cannot create '/nonexistent/s.lock'"));
	assert_null(c);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_control_query_and_stats_tell_about_the_machine),
	    CASE(test_control_commands_act),
	    CASE(test_control_gives_the_id_back_as_it_was),
	    CASE(test_control_refuses_what_is_no_request),
	    CASE(test_control_socket_is_the_owners_only_and_goes_away),
	    CASE(test_control_answers_several_clients_in_order),
	    CASE(test_control_closes_after_one_error_on_a_long_line),
	    CASE(test_control_takes_the_longest_line),
	    CASE(test_control_survives_a_client_that_does_not_read),
	    CASE(test_control_lets_one_client_too_many_wait),
	    CASE(test_control_refuses_a_socket_that_is_taken),
	    CASE(test_control_replaces_what_a_dead_machine_left),
	    CASE(test_control_leaves_other_peoples_files_alone),
	    CASE(test_control_refuses_impossible_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
