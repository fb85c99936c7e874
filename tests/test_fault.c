/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "cache/fault.h"

static int
set_up(void **state)
{
	struct fault_set *s;

	if (fault_set_open(&s) != 0)
		return -1;
	*state = s;
	return 0;
}

static int
tear_down(void **state)
{
	fault_set_close(*state);
	return 0;
}

static void
add(struct fault_set *s, const char *rule)
{
	struct err e = {""};

	if (fault_add(s, rule, &e) != 0)
		fail_msg("%s", e.text);
}

static int
error_of(struct fault_set *s, enum fault_op op, u64 off, u64 size_bytes)
{
	return fault_check(s, op, off, size_bytes).error;
}

static void
test_fault_empty_set_lets_everything_pass(void **state)
{
	struct fault_verdict v = fault_check(*state, FAULT_WRITE, 0, 512);

	assert_int_equal(v.error, 0);
	assert_false(v.after);
	assert_true(v.max_bytes == UINT64_MAX);
	assert_int_equal(v.delay_ns, 0);
}

static void
test_fault_acts_on_its_operation_only(void **state)
{
	struct fault_set *s = *state;

	add(s, "flush:EIO");
	assert_int_equal(error_of(s, FAULT_READ, 0, 1), 0);
	assert_int_equal(error_of(s, FAULT_WRITE, 0, 1), 0);
	assert_int_equal(error_of(s, FAULT_DISCARD, 0, 1), 0);
	assert_int_equal(error_of(s, FAULT_FLUSH, 0, UINT64_MAX), -EIO);
	fault_clear(s);
	assert_int_equal(error_of(s, FAULT_FLUSH, 0, UINT64_MAX), 0);
	add(s, "any:ENOSPC");
	for (int op = FAULT_READ; op <= FAULT_DISCARD; op++)
		assert_int_equal(error_of(s, (enum fault_op)op, 0, 1), -ENOSPC);
}

static void
test_fault_skips_then_acts_then_rests(void **state)
{
	struct fault_set *s = *state;

	add(s, "write:EIO:after=2:count=3");
	for (int i = 0; i < 8; i++) {
		assert_int_equal(error_of(s, FAULT_READ, 0, 1), 0);
		assert_int_equal(error_of(s, FAULT_WRITE, 0, 1),
				 i >= 2 && i < 5 ? -EIO : 0);
	}
}

static void
test_fault_acts_in_its_range_only(void **state)
{
	struct fault_set *s = *state;

	add(s, "read:EIO:off=4096-8k");
	assert_int_equal(error_of(s, FAULT_READ, 0, 4096), 0);
	assert_int_equal(error_of(s, FAULT_READ, 0, 4097), -EIO);
	assert_int_equal(error_of(s, FAULT_READ, 8191, 1), -EIO);
	assert_int_equal(error_of(s, FAULT_READ, 8192, 512), 0);
	assert_int_equal(error_of(s, FAULT_READ, 0, UINT64_MAX), -EIO);
}

static void
test_fault_first_rule_that_acts_decides(void **state)
{
	struct fault_set *s = *state;
	struct fault_verdict v;

	add(s, "write:EIO:count=1:done=1");
	add(s, "write:short:bytes=100:count=1");
	add(s, "write:short:count=1");
	add(s, "write:delay:ms=7:count=1");
	add(s, "write:delay:count=1");
	v = fault_check(s, FAULT_WRITE, 0, 512);
	assert_int_equal(v.error, -EIO);
	assert_true(v.after);
	assert_true(v.max_bytes == UINT64_MAX);
	v = fault_check(s, FAULT_WRITE, 0, 512);
	assert_int_equal(v.error, 0);
	assert_int_equal(v.max_bytes, 100);
	v = fault_check(s, FAULT_WRITE, 0, 512);
	assert_int_equal(v.max_bytes, 512);
	v = fault_check(s, FAULT_WRITE, 0, 512);
	assert_int_equal(v.delay_ns, 7000000);
	assert_true(v.max_bytes == UINT64_MAX);
	v = fault_check(s, FAULT_WRITE, 0, 512);
	assert_int_equal(v.delay_ns, 10000000);
	v = fault_check(s, FAULT_WRITE, 0, 512);
	assert_int_equal(v.delay_ns, 0);
}

static unsigned
hits(struct fault_set *s, u64 *which)
{
	unsigned n = 0;

	*which = 0;
	for (unsigned i = 0; i < 1000; i++) {
		bool hit = error_of(s, FAULT_READ, 0, 1) != 0;

		n += hit;
		if (i < 64 && hit)
			*which |= BIT(i);
	}
	return n;
}

/* The same seed gives the same accesses, another seed others. */
static void
test_fault_probability_repeats_with_its_seed(void **state)
{
	struct fault_set *s = *state;
	u64 a, b, c;

	add(s, "read:EIO:prob=0.25:seed=5");
	assert_in_range(hits(s, &a), 190, 310);
	fault_clear(s);
	add(s, "read:EIO:seed=5:prob=.25");
	hits(s, &b);
	assert_true(a == b);
	fault_clear(s);
	add(s, "read:EIO:prob=0.25:seed=6");
	hits(s, &c);
	assert_true(a != c);
	fault_clear(s);
	add(s, "read:EIO:prob=0");
	assert_int_equal(hits(s, &c), 0);
	fault_clear(s);
	add(s, "read:EIO:prob=1");
	assert_int_equal(hits(s, &c), 1000);
}

static void
test_fault_short_is_for_transfers(void **state)
{
	struct fault_set *s = *state;

	add(s, "any:short");
	assert_int_equal(fault_check(s, FAULT_READ, 0, 1).max_bytes, 512);
	assert_true(fault_check(s, FAULT_FLUSH, 0, 1).max_bytes == UINT64_MAX);
}

static void
test_fault_add_says_what_is_wrong(void **state)
{
	static const struct {
		const char *rule, *sentence;
	} bad[] = {
	    {"", "fault '': a fault is for read, write, flush, discard or any, "
		 "not for ''"},
	    {"sync:EIO", "fault 'sync:EIO': a fault is for read, write, "
			 "flush, discard or any, not for 'sync'"},
	    {"read", "fault 'read': a fault is an error like EIO, short or "
		     "delay, not ''"},
	    {"read:EINTR", "fault 'read:EINTR': a fault is an error like EIO, "
			   "short or delay, not 'EINTR'"},
	    {"flush:short",
	     "fault 'flush:short': only reads and writes can be short"},
	    {"read:EIO:", "fault 'read:EIO:': '' is not KEY=VALUE"},
	    {"read:EIO:x", "fault 'read:EIO:x': 'x' is not KEY=VALUE"},
	    {"read:EIO:x=1", "fault 'read:EIO:x=1': a fault has no 'x'"},
	    {"read:EIO:count=-1",
	     "fault 'read:EIO:count=-1': '-1' is not a number"},
	    {"read:EIO:prob=1.5", "fault 'read:EIO:prob=1.5': '1.5' is no "
				  "probability, 0 to 1"},
	    {"read:EIO:prob=nan", "fault 'read:EIO:prob=nan': 'nan' is no "
				  "probability, 0 to 1"},
	    {"read:EIO:prob=", "fault 'read:EIO:prob=': '' is no "
			       "probability, 0 to 1"},
	    {"read:EIO:off=5", "fault 'read:EIO:off=5': '5' is not a range "
			       "like 0-4096"},
	    {"read:EIO:off=8-8",
	     "fault 'read:EIO:off=8-8': the range '8-8' is empty"},
	    {"read:short:bytes=0", "fault 'read:short:bytes=0': a short "
				   "transfer moves at least one byte"},
	    {"read:EIO:seed=0", "fault 'read:EIO:seed=0': '0' is not in "
				"1..18446744073709551615"},
	    {"read:EIO:done=2", "fault 'read:EIO:done=2': '2' is not in 0..1"},
	    {"read:delay:ms=3600001", "fault 'read:delay:ms=3600001': "
				      "'3600001' is not in 0..3600000"},
	};
	char text[400];
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_not_equal(fault_add(*state, bad[i].rule, &e), 0);
		assert_string_equal(e.text, bad[i].sentence);
	}
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(fault_add(*state, text, &e), -EINVAL);
	assert_string_equal(e.text, "a fault of 399 characters");
	assert_int_equal(error_of(*state, FAULT_READ, 0, 1), 0);
}

static void
test_fault_set_has_an_end(void **state)
{
	struct err e;

	for (unsigned i = 0; i < FAULT_RULES_MAX; i++)
		add(*state, "read:EIO");
	assert_int_equal(fault_add(*state, "read:EIO", &e), -ENOSPC);
	assert_string_equal(e.text, "more than 32 faults");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_fault_empty_set_lets_everything_pass),
	    CASE(test_fault_acts_on_its_operation_only),
	    CASE(test_fault_skips_then_acts_then_rests),
	    CASE(test_fault_acts_in_its_range_only),
	    CASE(test_fault_first_rule_that_acts_decides),
	    CASE(test_fault_probability_repeats_with_its_seed),
	    CASE(test_fault_short_is_for_transfers),
	    CASE(test_fault_add_says_what_is_wrong),
	    CASE(test_fault_set_has_an_end),
	};

	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
