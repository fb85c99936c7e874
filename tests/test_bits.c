/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bits.h"

static void
test_bits_masks_are_inclusive(void **state)
{
	(void)state;
	assert_int_equal(BITS(0, 0), 1);
	assert_int_equal(BITS(7, 4), 0xf0);
	assert_true(BITS(63, 0) == UINT64_MAX);
	assert_true(BITS(63, 63) == BIT(63));
	assert_int_equal(BITS(13, 12), 0x3000);
}

static void
test_bits_get_moves_a_field_down(void **state)
{
	unsigned hi, lo;
	u64 x = 0xfedcba9876543210;

	(void)state;
	assert_int_equal(bits_get(x, 7, 4), 1);
	assert_true(bits_get(x, 63, 0) == x);
	assert_int_equal(bits_get(x, 63, 60), 0xf);
	for (hi = 0; hi < 64; hi++) {
		for (lo = 0; lo <= hi; lo++)
			assert_true(bits_get(x, hi, lo) ==
				    (x & BITS(hi, lo)) >> lo);
	}
}

static void
test_bits_align_keeps_the_type(void **state)
{
	u64 big = 0x100000fff;
	u32 small = 0xfff;

	(void)state;
	assert_true(ALIGN_DOWN(big, 4096) == 0x100000000);
	assert_true(ALIGN_UP(big, 4096) == 0x100001000);
	assert_true(ALIGN_UP((u64)0x100001000, 4096) == 0x100001000);
	assert_int_equal(ALIGN_UP(small, 4096), 4096);
	assert_int_equal(ALIGN_DOWN(small, 4096), 0);
	assert_int_equal(sizeof(ALIGN_UP(small, 4096)), 4);
}

/* Every alignment of the pointer, and the byte order spelled out. */
static void
test_bits_unaligned_access_is_little_endian(void **state)
{
	u8 raw[16];
	unsigned at;

	(void)state;
	for (at = 0; at < 8; at++) {
		memset(raw, 0xee, sizeof(raw));
		put_le64(raw + at, 0x0807060504030201);
		assert_int_equal(raw[at], 1);
		assert_int_equal(raw[at + 7], 8);
		assert_int_equal(raw[at + 8], 0xee);
		assert_true(get_le64(raw + at) == 0x0807060504030201);
		assert_int_equal(get_le32(raw + at + 1), 0x05040302);
		assert_int_equal(get_le16(raw + at + 6), 0x0807);
		put_le32(raw + at, 0xaabbccdd);
		put_le16(raw + at + 4, 0x1122);
		assert_true(get_le64(raw + at) == 0x08071122aabbccdd);
	}
}

struct outer {
	char before[3];
	struct {
		int x;
	} inner;
};

static void
test_bits_container_of_finds_the_outer_struct(void **state)
{
	struct outer o;

	(void)state;
	assert_ptr_equal(CONTAINER_OF(&o.inner, struct outer, inner), &o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bits_masks_are_inclusive),
	    cmocka_unit_test(test_bits_get_moves_a_field_down),
	    cmocka_unit_test(test_bits_align_keeps_the_type),
	    cmocka_unit_test(test_bits_unaligned_access_is_little_endian),
	    cmocka_unit_test(test_bits_container_of_finds_the_outer_struct),
	};

	return cmocka_run_group_tests_name("bits", tests, NULL, NULL);
}
