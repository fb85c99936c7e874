/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/err.h"

static void
test_err_set_writes_a_sentence_and_returns_its_code(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(err_set(&e, -ENOENT, "no '%s' among %d", "x", 3),
			 -ENOENT);
	assert_string_equal(e.text, "no 'x' among 3");
}

static void
test_err_errno_names_the_error(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(err_errno(&e, -EACCES, "cannot open '%s'", "/a"),
			 -EACCES);
	assert_string_equal(e.text, "cannot open '/a': Permission denied");
}

static void
test_err_prefix_goes_in_front(void **state)
{
	struct err e;

	(void)state;
	err_set(&e, -EINVAL, "it is too short");
	err_prefix(&e, "kernel '%s'", "bz");
	assert_string_equal(e.text, "kernel 'bz': it is too short");
}

static void
test_err_without_a_place_only_returns(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, -EIO, "x"), -EIO);
	assert_int_equal(err_errno(NULL, -EIO, "x"), -EIO);
	err_prefix(NULL, "x");
}

/* A path of 4096 bytes must neither overflow nor lose the terminator. */
static void
test_err_cuts_what_does_not_fit(void **state)
{
	struct {
		struct err e;
		char guard[16];
	} s;
	char path[4096];

	(void)state;
	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	memset(s.guard, 0x5a, sizeof(s.guard));
	err_set(&s.e, -ENOENT, "'%s'", path);
	assert_int_equal(strlen(s.e.text), sizeof(s.e.text) - 1);
	err_errno(&s.e, -ENOENT, "'%s'", path);
	assert_int_equal(strlen(s.e.text), sizeof(s.e.text) - 1);
	err_prefix(&s.e, "start");
	assert_memory_equal(s.e.text, "start: 'ppp", 11);
	assert_int_equal(strlen(s.e.text), sizeof(s.e.text) - 1);
	err_prefix(&s.e, "%s", path);
	assert_int_equal(strlen(s.e.text), sizeof(s.e.text) - 1);
	assert_int_equal(s.guard[0], 0x5a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		test_err_set_writes_a_sentence_and_returns_its_code),
	    cmocka_unit_test(test_err_errno_names_the_error),
	    cmocka_unit_test(test_err_prefix_goes_in_front),
	    cmocka_unit_test(test_err_without_a_place_only_returns),
	    cmocka_unit_test(test_err_cuts_what_does_not_fit),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
