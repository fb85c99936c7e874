/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/trace_def.h"

TRACE_DEFINE(test_one, "lba", "count", "")
TRACE_DEFINE(test_two, "n", "", "thread")
TRACE_DEFINE(other_one, "", "", "")

#define THREADS 8
#define EVENTS	1000

static char path[300];

/* A line of the file. */
struct line {
	u64 ns, id;
	char name[64], rest[128];
};

static void
start(const char *patterns)
{
	const char *dir = getenv("TEST_TMP");
	struct err e = {""};

	snprintf(path, sizeof(path), "%s/trace.%d", dir ? dir : "/tmp",
		 (int)getpid());
	if (trace_enable(patterns, &e) != 0 || trace_start(path, &e) != 0)
		fail_msg("%s", e.text);
}

static bool
next_line(FILE *f, struct line *l)
{
	char text[256];
	unsigned long long s, ns, id;
	int n = 0;

	if (!fgets(text, sizeof(text), f))
		return false;
	assert_int_equal(sscanf(text, "%llu.%9llu %63s id=%llu%n", &s, &ns,
				l->name, &id, &n),
			 4);
	assert_int_equal(text[strlen(text) - 1], '\n');
	text[strlen(text) - 1] = '\0';
	l->ns = s * 1000000000 + ns;
	l->id = id;
	snprintf(l->rest, sizeof(l->rest), "%.127s", text + n);
	return true;
}

static FILE *
stop(void)
{
	FILE *f;

	trace_stop();
	f = fopen(path, "r");
	assert_non_null(f);
	unlink(path);
	return f;
}

static void
test_trace_writes_what_is_on_and_nothing_else(void **state)
{
	struct line l;
	FILE *f;

	(void)state;
	assert_false(TRACE_IS_ON(test_one));
	TRACE(test_one, 1, 2, 3, 4);
	start("test_*");
	assert_true(TRACE_IS_ON(test_one));
	assert_false(TRACE_IS_ON(other_one));
	TRACE(test_one, 7, 8, 9, 10);
	TRACE(other_one, 7, 0, 0, 0);
	TRACE(test_two, UINT64_MAX, 1, 2, UINT64_MAX);
	f = stop();
	assert_true(next_line(f, &l));
	assert_string_equal(l.name, "test_one");
	assert_int_equal(l.id, 7);
	assert_string_equal(l.rest, " lba=8 count=9");
	assert_true(next_line(f, &l));
	assert_string_equal(l.name, "test_two");
	assert_true(l.id == UINT64_MAX);
	assert_string_equal(l.rest, " n=1 thread=18446744073709551615");
	assert_false(next_line(f, &l));
	fclose(f);
	assert_false(TRACE_IS_ON(test_one));
	TRACE(test_one, 1, 2, 3, 4);
	trace_stop();
}

static void
test_trace_enable_refuses_what_fits_nothing(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(trace_enable("test_*,nothing_*", &e), -ENOENT);
	assert_string_equal(e.text, "no trace point fits 'nothing_*'");
	assert_false(TRACE_IS_ON(test_one)); /* not even the first */
	assert_int_equal(trace_enable("", &e), -ENOENT);
	assert_int_equal(trace_enable("test_one,", &e), -ENOENT);
	start("test_two,other_?ne");
	assert_false(TRACE_IS_ON(test_one));
	assert_true(TRACE_IS_ON(test_two));
	assert_true(TRACE_IS_ON(other_one));
	fclose(stop());
}

static void
test_trace_start_names_what_it_cannot_write(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(trace_start("/nonexistent/t", &e), -ENOENT);
	assert_string_equal(e.text, "cannot write the trace to "
				    "'/nonexistent/t': No such file or "
				    "directory");
	trace_stop();
}

static void *
emit_many(void *arg)
{
	for (u64 i = 0; i < EVENTS; i++)
		TRACE(test_two, trace_new_id(), i, 0, (u64)(uintptr_t)arg);
	return NULL;
}

static void
run_threads(unsigned count)
{
	pthread_t ids[100];

	for (unsigned i = 0; i < count; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, emit_many,
						(void *)(uintptr_t)i),
				 0);
	for (unsigned i = 0; i < count; i++)
		pthread_join(ids[i], NULL);
}

static void
check_order(FILE *f)
{
	u64 last_ns = 0, lines = 0, next[THREADS] = {0};
	unsigned long long n, thread;
	struct line l;

	while (next_line(f, &l)) {
		assert_true(l.ns >= last_ns);
		last_ns = l.ns;
		assert_string_equal(l.name, "test_two");
		assert_int_equal(sscanf(l.rest, " n=%llu thread=%llu", &n,
					&thread),
				 2);
		assert_true(thread < THREADS);
		assert_int_equal(n, next[thread]);
		next[thread]++;
		lines++;
	}
	assert_int_equal(lines, THREADS * EVENTS);
	fclose(f);
}

/* Threads come and go, so rings are handed on. All their events together fit
 * into one ring: none may be missing. */
static void
test_trace_orders_events_of_threads_by_time(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		start("test_two");
		run_threads(THREADS);
		check_order(stop());
	}
}

/* Lines of events, and events that are said to be missing. */
static void
count_lines(FILE *f, u64 *written, u64 *lost)
{
	struct line l;

	*written = *lost = 0;
	while (next_line(f, &l)) {
		if (strcmp(l.name, "trace_dropped") == 0)
			*lost +=
			    strtoull(l.rest + strlen(" events="), NULL, 10);
		else
			*written += 1;
	}
	fclose(f);
}

static void *
emit_a_flood(void *arg)
{
	for (unsigned i = 0; i < 300; i++)
		emit_many(arg);
	return NULL;
}

/* More than a ring holds, faster than it is written; and threads for whom
 * there is no ring. */
static void
test_trace_counts_what_it_drops(void **state)
{
	u64 written, lost;
	pthread_t id;

	(void)state;
	start("test_two");
	assert_int_equal(pthread_create(&id, NULL, emit_a_flood, NULL), 0);
	pthread_join(id, NULL);
	count_lines(stop(), &written, &lost);
	assert_true(lost != 0);
	assert_int_equal(written + lost, 300 * EVENTS);
	start("test_two");
	run_threads(100);
	count_lines(stop(), &written, &lost);
	assert_int_equal(written + lost, 100 * EVENTS);
}

static void
test_trace_ids_are_never_zero_and_never_twice(void **state)
{
	u64 a = trace_new_id(), b = trace_new_id();

	(void)state;
	assert_true(a != 0 && b != 0 && a != b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_trace_writes_what_is_on_and_nothing_else),
	    cmocka_unit_test(test_trace_enable_refuses_what_fits_nothing),
	    cmocka_unit_test(test_trace_start_names_what_it_cannot_write),
	    cmocka_unit_test(test_trace_orders_events_of_threads_by_time),
	    cmocka_unit_test(test_trace_counts_what_it_drops),
	    cmocka_unit_test(test_trace_ids_are_never_zero_and_never_twice),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
