/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/iov.h"

#define BYTES 64

static u8 memory[BYTES];

/* Five pieces, one of them empty, that lie backwards in memory. */
static unsigned
pieces(struct iovec *iov)
{
	static const size_t sizes[] = {7, 0, 16, 1, 40};
	u8 *end = memory + BYTES;

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		end -= sizes[i];
		iov[i] = (struct iovec){end, sizes[i]};
	}
	assert_ptr_equal(end, memory);
	return ARRAY_SIZE(sizes);
}

/* Byte at of the vector, found the slow way. */
static u8 *
byte_at(const struct iovec *iov, u64 at)
{
	while (at >= iov->iov_len)
		at -= iov++->iov_len;
	return (u8 *)iov->iov_base + at;
}

static void
test_iov_counts_all_bytes(void **state)
{
	struct iovec iov[5];

	(void)state;
	assert_int_equal(iov_bytes(iov, pieces(iov)), BYTES);
	assert_int_equal(iov_bytes(iov, 3), 23);
	assert_int_equal(iov_bytes(iov, 0), 0);
}

/* Every part of the vector, read, written, zeroed and sliced. */
static void
test_iov_reads_and_writes_every_part(void **state)
{
	struct iovec iov[5], out[5];
	unsigned n = pieces(iov), used;
	u8 flat[BYTES], want[BYTES];

	(void)state;
	for (unsigned at = 0; at < BYTES; at++) {
		for (unsigned size = 0; size <= BYTES - at; size++) {
			for (unsigned i = 0; i < BYTES; i++) {
				memory[i] = (u8)(i + 1);
				flat[i] = (u8)(200 - i);
			}
			iov_read(want, iov, n, at, size);
			for (unsigned i = 0; i < size; i++)
				assert_int_equal(want[i],
						 *byte_at(iov, at + i));
			used = iov_slice(out, 5, iov, n, at, size);
			assert_int_equal(iov_bytes(out, used), size);
			for (unsigned i = 0; i < size; i++)
				assert_ptr_equal(byte_at(out, i),
						 byte_at(iov, at + i));
			iov_write(iov, n, at, flat, size);
			for (unsigned i = 0; i < BYTES; i++) {
				u8 *p = byte_at(iov, i);
				bool in = i >= at && i < at + size;

				assert_int_equal(*p, in ? flat[i - at]
							: (u8)(p - memory + 1));
			}
			iov_zero(iov, n, at, size);
			for (unsigned i = 0; i < BYTES; i++)
				assert_true((*byte_at(iov, i) == 0) ==
					    (i >= at && i < at + size));
		}
	}
}

static void
test_iov_slice_tells_when_there_is_no_room(void **state)
{
	struct iovec iov[5], out[5];
	unsigned n = pieces(iov);

	(void)state;
	assert_int_equal(iov_slice(out, 5, iov, n, 0, BYTES), 4);
	assert_int_equal(iov_slice(out, 3, iov, n, 0, BYTES), 0);
	assert_int_equal(iov_slice(out, 1, iov, n, 7, 16), 1);
	assert_int_equal(iov_slice(out, 1, iov, n, 6, 2), 0);
}

/* In steps of any size a cursor comes to the bytes that a walk from the start
 * would find. */
static void
test_iov_cursor_goes_on_where_it_was(void **state)
{
	struct iovec iov[5];
	unsigned count = pieces(iov);

	(void)state;
	for (unsigned i = 0; i < BYTES; i++)
		memory[i] = (u8)(i * 3 + 1);
	for (u64 start = 0; start < BYTES; start++)
		for (u64 step = 1; step <= 9; step++) {
			struct iov_cursor c = iov_cursor(iov, count, start);
			u8 got[BYTES], zero[9] = {0};

			for (u64 at = start; at < BYTES; at += step) {
				u64 n = MIN(step, BYTES - at);

				iov_cursor_read(&c, got, n);
				for (u64 i = 0; i < n; i++)
					assert_int_equal(got[i],
							 *byte_at(iov, at + i));
			}
			c = iov_cursor(iov, count, start);
			iov_cursor_write(&c, zero, 1);
			assert_int_equal(*byte_at(iov, start), 0);
			c = iov_cursor(iov, count, start);
			got[0] = (u8)((byte_at(iov, start) - memory) * 3 + 1);
			iov_cursor_write(&c, got, 1);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_iov_cursor_goes_on_where_it_was),
	    cmocka_unit_test(test_iov_counts_all_bytes),
	    cmocka_unit_test(test_iov_reads_and_writes_every_part),
	    cmocka_unit_test(test_iov_slice_tells_when_there_is_no_room),
	};

	return cmocka_run_group_tests_name("iov", tests, NULL, NULL);
}
