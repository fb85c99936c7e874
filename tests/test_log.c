/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

static int kept_stderr, pipe_out;
static char text[8192];

/* From here to output() what goes to stderr lands in a pipe. */
static int
capture(void **state)
{
	int fds[2];

	(void)state;
	if (pipe2(fds, O_NONBLOCK) < 0)
		return -1;
	fflush(stderr);
	kept_stderr = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	pipe_out = fds[0];
	return 0;
}

/* What has arrived since the last call. */
static const char *
output(void)
{
	ssize_t n = read(pipe_out, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static int
release(void **state)
{
	(void)state;
	log_set_level(LOG_WARN);
	log_set_raw_terminal(false);
	dup2(kept_stderr, STDERR_FILENO);
	close(kept_stderr);
	close(pipe_out);
	return 0;
}

static void
test_log_writes_a_line_that_names_the_program(void **state)
{
	(void)state;
	log_warn("disk %d is '%s'", 3, "slow");
	assert_string_equal(output(), "spindle: disk 3 is 'slow'\n");
}

static void
test_log_drops_what_is_above_the_level(void **state)
{
	(void)state;
	assert_int_equal(log_level(), LOG_WARN);
	log_info("quiet");
	log_debug("quiet");
	assert_string_equal(output(), "");
	log_set_level(LOG_DEBUG);
	log_info("a");
	log_debug("b");
	assert_string_equal(output(), "spindle: a\nspindle: b\n");
	log_set_level(LOG_ERROR);
	log_warn("c");
	log_error("d");
	assert_string_equal(output(), "spindle: d\n");
}

static void
test_log_returns_the_carriage_of_a_raw_terminal(void **state)
{
	(void)state;
	log_set_raw_terminal(true);
	log_warn("x");
	assert_string_equal(output(), "spindle: x\r\n");
}

static void
test_log_cuts_a_line_that_is_too_long(void **state)
{
	static char big[5000];
	const char *got;

	(void)state;
	memset(big, 'b', sizeof(big) - 1);
	log_set_raw_terminal(true);
	log_warn("%s", big);
	got = output();
	assert_in_range(strlen(got), 1000, 1024);
	assert_string_equal(got + strlen(got) - 3, "b\r\n");
}

static void
guest_does_it_again(void)
{
	log_guest("guest wrote %d to port 3", 7);
}

static unsigned
lines(const char *p)
{
	unsigned n = 0;

	for (; *p != '\0'; p++)
		n += *p == '\n';
	return n;
}

static void
test_log_guest_goes_quiet_after_a_burst(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < LOG_GUEST_BURST; i++)
		guest_does_it_again();
	assert_int_equal(lines(output()), LOG_GUEST_BURST);
	guest_does_it_again();
	assert_string_equal(output(),
			    "spindle: guest: more of the same is not shown\n");
	for (i = 0; i < 1000; i++)
		guest_does_it_again();
	assert_string_equal(output(), "");
	log_guest("another place still speaks");
	assert_string_equal(output(), "spindle: another place still speaks\n");
}

static void
test_log_survives_a_closed_stderr(void **state)
{
	(void)state;
	close(STDERR_FILENO);
	log_error("nobody hears this");
	assert_string_equal(output(), "");
	dup2(kept_stderr, STDERR_FILENO);
}

#define CAPTURED(f) cmocka_unit_test_setup_teardown(f, capture, release)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CAPTURED(test_log_writes_a_line_that_names_the_program),
	    CAPTURED(test_log_drops_what_is_above_the_level),
	    CAPTURED(test_log_returns_the_carriage_of_a_raw_terminal),
	    CAPTURED(test_log_cuts_a_line_that_is_too_long),
	    CAPTURED(test_log_guest_goes_quiet_after_a_burst),
	    CAPTURED(test_log_survives_a_closed_stderr),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
