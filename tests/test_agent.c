/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/agent_proto.h"
#include "vmm/agent.h"

#define PATIENCE_S 20
#define FRAMES_MAX 256

/* The guest's side of the line, played by the test: what the host sends is
 * parsed into frames, what the guest says is handed to the chardev. */
struct rig {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct agent *agent;
	int in[2], out[2],
	    err[2];	 /* pipes; the agent has in[0] out[1] err[1] */
	size_t per_call; /* what the UART takes at once */
	bool balks;	 /* and it refuses every second call */
	bool full;
	unsigned refusals, quits;
	struct agent_parser parser;
	struct {
		u8 type;
		size_t size_bytes;
		u8 payload[AGENT_MAX_PAYLOAD];
	} frame[FRAMES_MAX];
	unsigned frames, taken;
	u8 seq;
};

static void
wait_changed(struct rig *r)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += PATIENCE_S;
	if (pthread_cond_timedwait(&r->changed, &r->lock, &end) != 0)
		fail_msg("nothing came within %d s", PATIENCE_S);
}

static size_t
uart_input(void *arg, const u8 *bytes, size_t count)
{
	struct rig *r = arg;
	size_t at = 0, used;

	pthread_mutex_lock(&r->lock);
	r->full = r->balks && !r->full;
	count = r->full ? 0 : MIN(count, r->per_call);
	r->refusals += r->full;
	while (at < count) {
		enum agent_event event =
		    agent_parser_feed(&r->parser, bytes + at, count - at,
				      &used);

		assert(event != AGENT_BROKEN && r->frames < FRAMES_MAX);
		at += used;
		if (event != AGENT_FRAME)
			continue;
		r->frame[r->frames].type = agent_frame_type(&r->parser);
		r->frame[r->frames].size_bytes = agent_frame_size(&r->parser);
		memcpy(r->frame[r->frames].payload,
		       agent_frame_payload(&r->parser),
		       agent_frame_size(&r->parser));
		r->frames++;
	}
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	return count;
}

static void
on_quit(void *arg)
{
	struct rig *r = arg;

	pthread_mutex_lock(&r->lock);
	r->quits++;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

static struct rig *
rig_open(void)
{
	static char *const argv[] = {"echo", "a b", NULL};
	static char *const env[] = {"X=1", NULL};
	struct rig *r = calloc(1, sizeof(*r));
	struct agent_config cfg = {.argv = argv, .env = env};
	struct agent_outside outside = {uart_input, on_quit, r};
	struct err e;

	signal(SIGPIPE, SIG_IGN);
	assert_non_null(r);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	r->per_call = SIZE_MAX;
	agent_parser_init(&r->parser);
	assert_int_equal(pipe2(r->in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(r->out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(r->err, O_CLOEXEC), 0);
	cfg.fd[0] = r->in[0];
	cfg.fd[1] = r->out[1];
	cfg.fd[2] = r->err[1];
	assert_int_equal(agent_open(&r->agent, &cfg, &e), 0);
	assert_int_equal(agent_start(r->agent, &outside, &e), 0);
	return r;
}

static struct agent_result
rig_close(struct rig *r)
{
	struct agent_result result;
	int fds[] = {r->in[0],	r->in[1],  r->out[0],
		     r->out[1], r->err[0], r->err[1]};

	agent_stop(r->agent, &result);
	agent_close(r->agent);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
	return result;
}

/* The guest says something. */
static void
say(struct rig *r, u8 type, const void *payload, size_t size_bytes)
{
	struct chardev *cd = agent_chardev(r->agent);
	static u8 frame[AGENT_MAX_FRAME];

	if (size_bytes != 0)
		memcpy(frame + AGENT_HEADER_BYTES, payload, size_bytes);
	size_bytes = agent_frame_seal(frame, type, r->seq++, size_bytes);
	cd->write(cd, frame, size_bytes);
}

static void
say2(struct rig *r, u8 type, u32 a, u32 b)
{
	u8 payload[8];

	put_le32(payload, a);
	put_le32(payload + 4, b);
	say(r, type, payload, 8);
}

static void
say_hello(struct rig *r, u32 version)
{
	u8 payload[AGENT_HELLO_BYTES] = {0};

	put_le32(payload, version);
	say(r, AGENT_HELLO, payload, sizeof(payload));
}

/* The next frame of the host; its index in r->frame. */
static unsigned
next_frame(struct rig *r)
{
	unsigned i;

	pthread_mutex_lock(&r->lock);
	while (r->taken == r->frames) {
		struct chardev *cd = agent_chardev(r->agent);

		if (r->balks) { /* the UART has room again */
			pthread_mutex_unlock(&r->lock);
			cd->ready(cd);
			sched_yield();
			pthread_mutex_lock(&r->lock);
		} else {
			wait_changed(r);
		}
	}
	i = r->taken++;
	pthread_mutex_unlock(&r->lock);
	return i;
}

/* The next frame is of this type, with these first two numbers. */
static void
expect2(struct rig *r, u8 type, u32 a, u32 b)
{
	unsigned i = next_frame(r);

	assert_int_equal(r->frame[i].type, type);
	assert_int_equal(r->frame[i].size_bytes, 8);
	assert_int_equal(get_le32(r->frame[i].payload), a);
	assert_int_equal(get_le32(r->frame[i].payload + 4), b);
}

static void
expect_quit(struct rig *r)
{
	pthread_mutex_lock(&r->lock);
	while (r->quits == 0)
		wait_changed(r);
	pthread_mutex_unlock(&r->lock);
}

/* HELLO both ways and EXEC. */
static void
begin(struct rig *r)
{
	char *strings[AGENT_MAX_STRINGS + 2], **env;
	unsigned i;

	say_hello(r, AGENT_VERSION);
	i = next_frame(r);
	assert_int_equal(r->frame[i].type, AGENT_HELLO);
	assert_int_equal(get_le32(r->frame[i].payload), AGENT_VERSION);
	i = next_frame(r);
	assert_int_equal(r->frame[i].type, AGENT_EXEC);
	assert_int_equal(agent_exec_unpack(r->frame[i].payload,
					   r->frame[i].size_bytes, strings,
					   &env),
			 2);
	assert_string_equal(strings[0], "echo");
	assert_string_equal(strings[1], "a b");
	assert_string_equal(env[0], "X=1");
	assert_null(env[1]);
}

static void
expect_read(int fd, const char *text)
{
	char got[256];
	size_t want = strlen(text), at = 0;

	while (at < want) {
		ssize_t n = read(fd, got + at, want - at);

		assert_true(n > 0);
		at += (size_t)n;
	}
	assert_memory_equal(got, text, want);
}

static void
test_agent_runs_a_command_and_reports_its_status(void **state)
{
	struct rig *r = rig_open();
	struct agent_result result;

	(void)state;
	begin(r);
	say(r, AGENT_OUTPUT, "to stdout", 9);
	say(r, AGENT_ERROR_OUTPUT, "to stderr", 9);
	say2(r, AGENT_EXIT, 7, 0);
	expect_read(r->out[0], "to stdout");
	expect_read(r->err[0], "to stderr");
	assert_int_equal(r->frame[next_frame(r)].type, AGENT_POWEROFF);
	result = rig_close(r);
	assert_true(result.up && result.ended);
	assert_int_equal(result.status, 7);
	assert_string_equal(result.trouble, "");
}

static void
test_agent_status_of_a_signal_is_128_and_its_number(void **state)
{
	struct rig *r = rig_open();
	struct agent_result result;

	(void)state;
	begin(r);
	say2(r, AGENT_EXIT, 0, SIGSEGV);
	result = rig_close(r);
	assert_true(result.ended);
	assert_int_equal(result.status, 128 + SIGSEGV);
}

static void
test_agent_passes_stdin_and_its_end(void **state)
{
	struct rig *r = rig_open();
	unsigned i;

	(void)state;
	begin(r);
	assert_int_equal(write(r->in[1], "typed", 5), 5);
	i = next_frame(r);
	assert_int_equal(r->frame[i].type, AGENT_INPUT);
	assert_int_equal(r->frame[i].size_bytes, 5);
	assert_memory_equal(r->frame[i].payload, "typed", 5);
	close(r->in[1]);
	r->in[1] = -1;
	expect2(r, AGENT_CLOSE, AGENT_STDIN, 0);
	rig_close(r);
}

/* More than a window of input: exactly a window comes, then what CREDIT
 * allows, in order. */
static void
test_agent_keeps_to_the_window_of_stdin(void **state)
{
	struct rig *r = rig_open();
	static u8 text[AGENT_WINDOW + 10000], got[sizeof(text)];
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (u8)(i * 7 + i / 256);
	begin(r);
	assert_int_equal(write(r->in[1], text, sizeof(text)), sizeof(text));
	close(r->in[1]);
	r->in[1] = -1;
	while (at < AGENT_WINDOW) {
		unsigned i = next_frame(r);

		assert_int_equal(r->frame[i].type, AGENT_INPUT);
		memcpy(got + at, r->frame[i].payload, r->frame[i].size_bytes);
		at += r->frame[i].size_bytes;
	}
	assert_int_equal(at, AGENT_WINDOW);
	/* A frame of another kind shows that no more input is under way. */
	agent_interrupt(r->agent, SIGUSR1);
	expect2(r, AGENT_SIGNAL, SIGUSR1, 0);
	say2(r, AGENT_CREDIT, AGENT_STDIN, AGENT_WINDOW);
	while (at < sizeof(text)) {
		unsigned i = next_frame(r);

		assert_int_equal(r->frame[i].type, AGENT_INPUT);
		memcpy(got + at, r->frame[i].payload, r->frame[i].size_bytes);
		at += r->frame[i].size_bytes;
	}
	assert_memory_equal(got, text, sizeof(text));
	expect2(r, AGENT_CLOSE, AGENT_STDIN, 0);
	rig_close(r);
}

static void
test_agent_stops_reading_stdin_that_nobody_wants(void **state)
{
	struct rig *r = rig_open();
	static u8 text[AGENT_MAX_PAYLOAD];
	char c;

	(void)state;
	begin(r);
	say2(r, AGENT_CLOSE, AGENT_STDIN, 0);
	assert_int_equal(write(r->in[1], "x", 1), 1);
	/* A round of output, so that the thread has looked around. */
	say(r, AGENT_OUTPUT, text, sizeof(text));
	for (size_t at = 0; at < sizeof(text);)
		at += (size_t)read(r->out[0], text, sizeof(text) - at);
	expect2(r, AGENT_CREDIT, AGENT_STDOUT, sizeof(text));
	assert_int_equal(read(r->in[0], &c, 1), 1); /* it is still there */
	close(r->in[1]); /* and its end is not passed on */
	r->in[1] = -1;
	say(r, AGENT_OUTPUT, text, sizeof(text));
	for (size_t at = 0; at < sizeof(text);)
		at += (size_t)read(r->out[0], text, sizeof(text) - at);
	expect2(r, AGENT_CREDIT, AGENT_STDOUT, sizeof(text));
	say2(r, AGENT_EXIT, 0, 0);
	assert_int_equal(r->frame[next_frame(r)].type, AGENT_POWEROFF);
	rig_close(r);
}

/* As long as the UART takes anything nobody waits for its word. */
static void
test_agent_hands_frames_over_in_pieces(void **state)
{
	struct rig *r = rig_open();

	(void)state;
	pthread_mutex_lock(&r->lock);
	r->per_call = 5;
	pthread_mutex_unlock(&r->lock);
	begin(r);
	rig_close(r);
}

/* A UART that takes a byte, then nothing until it says that it has room. */
static void
test_agent_goes_on_when_the_uart_has_room(void **state)
{
	struct rig *r = rig_open();

	(void)state;
	pthread_mutex_lock(&r->lock);
	r->per_call = 1;
	r->balks = true;
	pthread_mutex_unlock(&r->lock);
	begin(r);
	assert_true(r->refusals > 20);
	rig_close(r);
}

/* The reader takes nothing: a window of output is kept, no CREDIT is given.
 * When it reads, CREDIT comes; at the end nothing was lost. */
static void
test_agent_gives_credit_as_output_is_read(void **state)
{
	struct rig *r = rig_open();
	static u8 text[AGENT_WINDOW * 3], got[sizeof(text)];
	size_t said = 0, credit = AGENT_WINDOW, at = 0;
	int room;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (u8)(i * 5 + i / 256);
	room = fcntl(r->out[1], F_SETPIPE_SZ, 4096);
	assert_int_equal(room, 4096);
	begin(r);
	while (said < sizeof(text)) {
		size_t n = MIN(MIN(credit, 3000), sizeof(text) - said);

		if (n == 0) {
			unsigned i;

			while (at < said - 4096) { /* now read */
				ssize_t k =
				    read(r->out[0], got + at, said - 4096 - at);

				assert_true(k > 0);
				at += (size_t)k;
			}
			i = next_frame(r);
			assert_int_equal(r->frame[i].type, AGENT_CREDIT);
			assert_int_equal(get_le32(r->frame[i].payload),
					 AGENT_STDOUT);
			credit += get_le32(r->frame[i].payload + 4);
			continue;
		}
		say(r, AGENT_OUTPUT, text + said, n);
		said += n;
		credit -= n;
	}
	say2(r, AGENT_EXIT, 0, 0);
	while (at < sizeof(text)) {
		ssize_t k = read(r->out[0], got + at, sizeof(text) - at);

		assert_true(k > 0);
		at += (size_t)k;
	}
	assert_memory_equal(got, text, sizeof(text));
	assert_string_equal(rig_close(r).trouble, "");
}

static void *
read_all(void *arg)
{
	struct rig *r = arg;
	static u8 bytes[65536];
	size_t count = 0;
	ssize_t n;

	while ((n = read(r->out[0], bytes, sizeof(bytes))) > 0)
		count += (size_t)n;
	return (void *)(uintptr_t)count;
}

/* Makes stdout a pipe that is full. Returns how much is in it. */
static size_t
fill_stdout(struct rig *r)
{
	static u8 text[4096];

	assert_int_equal(fcntl(r->out[1], F_SETPIPE_SZ, 4096), 4096);
	assert_int_equal(write(r->out[1], text, sizeof(text)), sizeof(text));
	return sizeof(text);
}

/* The guest is gone, its last output is not. */
static void
test_agent_stop_waits_for_the_reader(void **state)
{
	struct rig *r = rig_open();
	static u8 text[20000];
	size_t before = fill_stdout(r);
	struct agent_result result;
	pthread_t reader;
	void *count;

	(void)state;
	begin(r);
	say(r, AGENT_OUTPUT, text, AGENT_MAX_PAYLOAD);
	say(r, AGENT_OUTPUT, text, sizeof(text) - AGENT_MAX_PAYLOAD);
	say2(r, AGENT_EXIT, 0, 0);
	assert_int_equal(pthread_create(&reader, NULL, read_all, r), 0);
	agent_stop(r->agent, &result);
	close(r->out[1]);
	r->out[1] = -1;
	pthread_join(reader, &count);
	assert_int_equal((uintptr_t)count, before + sizeof(text));
	rig_close(r);
}

static void
test_agent_tells_the_guest_that_a_reader_has_gone(void **state)
{
	struct rig *r = rig_open();
	struct agent_result result;

	(void)state;
	begin(r);
	close(r->out[0]);
	r->out[0] = -1;
	say(r, AGENT_OUTPUT, "x", 1);
	expect2(r, AGENT_CLOSE, AGENT_STDOUT, 0);
	say(r, AGENT_OUTPUT, "y", 1); /* was under way */
	say2(r, AGENT_EXIT, 0, SIGPIPE);
	result = rig_close(r);
	assert_true(result.ended);
	assert_string_equal(result.trouble, "");
}

static void
test_agent_says_when_output_cannot_be_written(void **state)
{
	struct rig *r = rig_open();
	struct agent_result result;
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(full >= 0);
	dup2(full, r->out[1]);
	close(full);
	begin(r);
	say(r, AGENT_OUTPUT, "x", 1);
	expect2(r, AGENT_CLOSE, AGENT_STDOUT, 0);
	result = rig_close(r);
	assert_non_null(strstr(result.trouble, "No space left"));
}

static void
test_agent_interrupt_is_passed_on_and_the_second_ends(void **state)
{
	struct rig *r = rig_open();

	(void)state;
	begin(r);
	agent_interrupt(r->agent, SIGINT);
	expect2(r, AGENT_SIGNAL, SIGINT, 0);
	assert_int_equal(r->quits, 0);
	agent_interrupt(r->agent, SIGINT);
	expect_quit(r);
	rig_close(r);
}

/* The command ignores it: after AGENT_BREAK_S the machine is ended. */
static void
test_agent_interrupt_that_is_ignored_ends_the_machine(void **state)
{
	struct rig *r = rig_open();

	(void)state;
	begin(r);
	agent_interrupt(r->agent, SIGINT);
	expect2(r, AGENT_SIGNAL, SIGINT, 0);
	expect_quit(r);
	rig_close(r);
}

static void
test_agent_interrupt_ends_a_guest_that_is_not_up(void **state)
{
	struct rig *r = rig_open();
	struct agent_result result;

	(void)state;
	agent_interrupt(r->agent, SIGINT);
	expect_quit(r);
	result = rig_close(r);
	assert_false(result.up || result.ended);
	assert_string_equal(result.trouble, "");
}

/* Output that nobody reads does not keep an interrupted run. */
static void
test_agent_stop_drops_output_after_an_interrupt(void **state)
{
	struct rig *r = rig_open();
	static u8 text[AGENT_WINDOW];

	(void)state;
	assert_int_equal(fcntl(r->out[1], F_SETPIPE_SZ, 4096), 4096);
	begin(r);
	for (unsigned i = 0; i < 4; i++)
		say(r, AGENT_OUTPUT, text, AGENT_WINDOW / 4);
	agent_interrupt(r->agent, SIGTERM);
	agent_interrupt(r->agent, SIGTERM);
	expect_quit(r);
	rig_close(r);
}

/* Each breach ends the conversation with a sentence and the machine with it. */
static void
breach(const char *sentence, void (*fn)(struct rig *r), bool up)
{
	struct rig *r = rig_open();
	struct agent_result result;

	if (up)
		begin(r);
	fn(r);
	expect_quit(r);
	result = rig_close(r);
	assert_false(result.ended);
	if (strstr(result.trouble, sentence) == NULL)
		fail_msg("'%s', not '%s'", result.trouble, sentence);
}

static void
do_wrong_version(struct rig *r)
{
	say_hello(r, AGENT_VERSION + 1);
}

static void
do_hello_again(struct rig *r)
{
	say_hello(r, AGENT_VERSION);
}

static void
do_garbage(struct rig *r)
{
	agent_chardev(r->agent)->write(agent_chardev(r->agent),
				       (const u8 *)"garbage", 7);
}

static void
do_lost_frame(struct rig *r)
{
	r->seq++;
	say(r, AGENT_OUTPUT, "x", 1);
}

static void
do_unknown_type(struct rig *r)
{
	say(r, 200, "x", 1);
}

static void
do_exec(struct rig *r)
{
	say(r, AGENT_EXEC, "x", 1);
}

static void
do_impossible_code(struct rig *r)
{
	say2(r, AGENT_EXIT, 256, 0);
}

static void
do_impossible_signal(struct rig *r)
{
	say2(r, AGENT_EXIT, 1, 9);
}

static void
do_short_exit(struct rig *r)
{
	say(r, AGENT_EXIT, "abc", 3);
}

static void
do_too_much_credit(struct rig *r)
{
	say2(r, AGENT_CREDIT, AGENT_STDIN, 1);
}

static void
do_credit_for_output(struct rig *r)
{
	assert_int_equal(write(r->in[1], "x", 1), 1);
	assert_int_equal(r->frame[next_frame(r)].type, AGENT_INPUT);
	say2(r, AGENT_CREDIT, AGENT_STDOUT, 1);
}

/* One byte more than the window, while the reader takes nothing. */
static void
do_flood(struct rig *r)
{
	static u8 text[AGENT_MAX_PAYLOAD];

	fill_stdout(r);
	for (unsigned i = 0; i < AGENT_WINDOW / AGENT_MAX_PAYLOAD; i++)
		say(r, AGENT_OUTPUT, text, sizeof(text));
	say(r, AGENT_OUTPUT, text, 1);
	close(r->out[0]); /* or agent_stop() would wait for a reader */
	r->out[0] = -1;
}

static void
do_output_after_exit(struct rig *r)
{
	say2(r, AGENT_EXIT, 0, 0);
	say(r, AGENT_OUTPUT, "x", 1);
}

static void
test_agent_breaks_off_when_the_guest_breaks_the_protocol(void **state)
{
	(void)state;
	breach("speaks version 2", do_wrong_version, false);
	breach("started a second time", do_hello_again, true);
	breach("garbled", do_garbage, true);
	breach("garbled", do_lost_frame, true);
	breach("frame of type 200", do_unknown_type, true);
	breach("frame of type 16", do_exec, true);
	breach("exit status that cannot be", do_impossible_code, true);
	breach("exit status that cannot be", do_impossible_signal, true);
	breach("exit status that cannot be", do_short_exit, true);
	breach("more room for input", do_too_much_credit, true);
	breach("more room for input", do_credit_for_output, true);
	breach("more output than", do_flood, true);
	breach("out of turn", do_output_after_exit, true);
}

static void
test_agent_refuses_a_command_that_is_too_long(void **state)
{
	static char word[AGENT_MAX_PAYLOAD];
	char *argv[] = {word, NULL};
	struct agent_config cfg = {.argv = argv};
	struct agent *a = NULL;
	struct err e;

	(void)state;
	memset(word, 'x', sizeof(word) - 1);
	assert_int_equal(agent_open(&a, &cfg, &e), -E2BIG);
	assert_null(a);
	assert_non_null(strstr(e.text, "longer than"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_agent_runs_a_command_and_reports_its_status),
	    cmocka_unit_test(
		test_agent_status_of_a_signal_is_128_and_its_number),
	    cmocka_unit_test(test_agent_passes_stdin_and_its_end),
	    cmocka_unit_test(test_agent_keeps_to_the_window_of_stdin),
	    cmocka_unit_test(test_agent_stops_reading_stdin_that_nobody_wants),
	    cmocka_unit_test(test_agent_goes_on_when_the_uart_has_room),
	    cmocka_unit_test(test_agent_hands_frames_over_in_pieces),
	    cmocka_unit_test(test_agent_stop_waits_for_the_reader),
	    cmocka_unit_test(
		test_agent_interrupt_that_is_ignored_ends_the_machine),
	    cmocka_unit_test(test_agent_gives_credit_as_output_is_read),
	    cmocka_unit_test(test_agent_tells_the_guest_that_a_reader_has_gone),
	    cmocka_unit_test(test_agent_says_when_output_cannot_be_written),
	    cmocka_unit_test(
		test_agent_interrupt_is_passed_on_and_the_second_ends),
	    cmocka_unit_test(test_agent_interrupt_ends_a_guest_that_is_not_up),
	    cmocka_unit_test(test_agent_stop_drops_output_after_an_interrupt),
	    cmocka_unit_test(
		test_agent_breaks_off_when_the_guest_breaks_the_protocol),
	    cmocka_unit_test(test_agent_refuses_a_command_that_is_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
