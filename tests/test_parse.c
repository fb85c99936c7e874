/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/parse.h"

static void
size_is(const char *text, u64 want)
{
	struct err e = {"untouched"};
	u64 got = 1;

	assert_int_equal(parse_size(text, &got, &e), 0);
	assert_int_equal(got, want);
	assert_string_equal(e.text, "untouched");
}

static void
size_fails(const char *text, int want, const char *sentence)
{
	struct err e = {""};
	u64 got = 77;

	assert_int_equal(parse_size(text, &got, &e), want);
	assert_string_equal(e.text, sentence);
	assert_int_equal(got, 77);
}

static void
test_parse_size_reads_suffixes(void **state)
{
	(void)state;
	size_is("0", 0);
	size_is("4096", 4096);
	size_is("0x1000", 4096);
	size_is("64k", 65536);
	size_is("64K", 65536);
	size_is("512M", 512ULL << 20);
	size_is("512MB", 512ULL << 20);
	size_is("2GiB", 2ULL << 30);
	size_is("3t", 3ULL << 40);
	size_is("16777215T", 0xffffffULL << 40);
	size_is("18446744073709551615", UINT64_MAX);
}

static void
test_parse_size_refuses_what_is_no_size(void **state)
{
	(void)state;
	size_fails("", -EINVAL, "'' is not a size like 512M or 2G");
	size_fails("M", -EINVAL, "'M' is not a size like 512M or 2G");
	size_fails("-1", -EINVAL, "'-1' is not a size like 512M or 2G");
	size_fails("+1", -EINVAL, "'+1' is not a size like 512M or 2G");
	size_fails(" 1", -EINVAL, "' 1' is not a size like 512M or 2G");
	size_fails("1 ", -EINVAL, "'1 ' is not a size like 512M or 2G");
	size_fails("1.5G", -EINVAL, "'1.5G' is not a size like 512M or 2G");
	size_fails("1Q", -EINVAL, "'1Q' is not a size like 512M or 2G");
	size_fails("1MM", -EINVAL, "'1MM' is not a size like 512M or 2G");
	size_fails("1B", -EINVAL, "'1B' is not a size like 512M or 2G");
	size_fails("0x", -EINVAL, "'0x' is not a size like 512M or 2G");
	size_fails("99999999999999999999Q", -EINVAL,
		   "'99999999999999999999Q' is not a size like 512M or 2G");
	size_fails("ten", -EINVAL, "'ten' is not a size like 512M or 2G");
}

static void
test_parse_size_never_wraps(void **state)
{
	(void)state;
	size_fails("18446744073709551616", -ERANGE,
		   "the size '18446744073709551616' is too large");
	size_fails("0x10000000000000000", -ERANGE,
		   "the size '0x10000000000000000' is too large");
	size_fails("16777216T", -ERANGE, "the size '16777216T' is too large");
	size_fails("99999999999999999999999M", -ERANGE,
		   "the size '99999999999999999999999M' is too large");
}

static void
test_parse_u64_keeps_its_limits(void **state)
{
	struct err e = {""};
	u64 v = 77;

	(void)state;
	assert_int_equal(parse_u64("3", 3, 9, &v, &e), 0);
	assert_int_equal(v, 3);
	assert_int_equal(parse_u64("0x9", 3, 9, &v, &e), 0);
	assert_int_equal(v, 9);
	assert_int_equal(parse_u64("2", 3, 9, &v, &e), -ERANGE);
	assert_string_equal(e.text, "'2' is not in 3..9");
	assert_int_equal(parse_u64("10", 3, 9, &v, &e), -ERANGE);
	assert_int_equal(parse_u64("18446744073709551616", 0, UINT64_MAX, &v,
				   &e),
			 -ERANGE);
	assert_int_equal(parse_u64("4k", 0, 9999, &v, &e), -EINVAL);
	assert_string_equal(e.text, "'4k' is not a number");
	assert_int_equal(parse_u64("", 0, 9, &v, &e), -EINVAL);
	assert_int_equal(v, 9);
}

static void
test_parse_takes_no_error_text(void **state)
{
	u64 v;

	(void)state;
	assert_int_equal(parse_size("x", &v, NULL), -EINVAL);
	assert_int_equal(parse_u64("x", 0, 1, &v, NULL), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse_size_reads_suffixes),
	    cmocka_unit_test(test_parse_size_refuses_what_is_no_size),
	    cmocka_unit_test(test_parse_size_never_wraps),
	    cmocka_unit_test(test_parse_u64_keeps_its_limits),
	    cmocka_unit_test(test_parse_takes_no_error_text),
	};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
