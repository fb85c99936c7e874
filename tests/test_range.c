/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/range.h"

static void
test_range_inside_counts_the_end(void **state)
{
	(void)state;
	assert_true(range_inside(0, 10, 10));
	assert_true(range_inside(9, 1, 10));
	assert_true(range_inside(10, 0, 10));
	assert_false(range_inside(10, 1, 10));
	assert_false(range_inside(11, 0, 10));
	assert_false(range_inside(0, 11, 10));
}

static void
test_range_inside_never_wraps(void **state)
{
	(void)state;
	assert_false(range_inside(1, UINT64_MAX, UINT64_MAX));
	assert_false(range_inside(UINT64_MAX, 2, UINT64_MAX));
	assert_false(range_inside(UINT64_MAX - 1, UINT64_MAX - 1, 100));
	assert_true(range_inside(UINT64_MAX - 1, 1, UINT64_MAX));
	assert_true(range_inside(0, UINT64_MAX, UINT64_MAX));
}

static void
test_range_within_has_a_lower_end(void **state)
{
	(void)state;
	assert_true(range_within(100, 10, 100, 10));
	assert_false(range_within(99, 1, 100, 10));
	assert_false(range_within(100, 11, 100, 10));
	assert_true(range_within(UINT64_MAX - 1, 1, UINT64_MAX - 1, 1));
	assert_false(range_within(UINT64_MAX, 1, UINT64_MAX - 1, 1));
}

/* Against the definition, on all small ranges. */
static void
test_range_overlap_agrees_with_counting(void **state)
{
	u64 a, as, b, bs, x;

	(void)state;
	for (a = 0; a < 6; a++) {
		for (as = 0; as < 6; as++) {
			for (b = 0; b < 6; b++) {
				for (bs = 0; bs < 6; bs++) {
					bool shared = false;

					for (x = 0; x < 12; x++)
						shared |= x >= a &&
							  x < a + as &&
							  x >= b && x < b + bs;
					assert_int_equal(range_overlap(a, as, b,
								       bs),
							 shared);
				}
			}
		}
	}
}

static void
test_range_overlap_at_the_top_of_the_space(void **state)
{
	(void)state;
	assert_true(range_overlap(UINT64_MAX, 1, UINT64_MAX - 1, 2));
	assert_false(range_overlap(UINT64_MAX, 1, UINT64_MAX - 1, 1));
	assert_false(range_overlap(0, 1, UINT64_MAX, 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_range_inside_counts_the_end),
	    cmocka_unit_test(test_range_inside_never_wraps),
	    cmocka_unit_test(test_range_within_has_a_lower_end),
	    cmocka_unit_test(test_range_overlap_agrees_with_counting),
	    cmocka_unit_test(test_range_overlap_at_the_top_of_the_space),
	};

	return cmocka_run_group_tests_name("range", tests, NULL, NULL);
}
