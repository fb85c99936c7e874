/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "tests/vmm_rig.h"
#include "vmm/mmio.h"

#define BASE 0xfec00000ULL

struct echo {
	unsigned writes;
	u64 off[4], value[4];
	unsigned size_bytes[4];
};

static u64
echo_read(void *dev, u64 off, unsigned size_bytes)
{
	(void)dev;
	return 0x1111111111111111ULL * (off >> 3) + size_bytes;
}

static void
echo_write(void *dev, u64 off, unsigned size_bytes, u64 v)
{
	struct echo *d = dev;
	unsigned n = d->writes++ % ARRAY_SIZE(d->off);

	d->off[n] = off;
	d->size_bytes[n] = size_bytes;
	d->value[n] = v;
}

static void
test_mmio_reads_ones_where_nobody_is(void **state)
{
	struct mmio m;
	struct vm_exit x = {.kind = HV_EXIT_MMIO};

	(void)state;
	mmio_init(&m);
	x.mmio.gpa = 0xa0000;
	x.mmio.size_bytes = 16;
	mmio_exit(&m, &x);
	for (int i = 0; i < 16; i++)
		assert_int_equal(x.mmio.data[i], 0xff);
	x.mmio.write = true;
	mmio_exit(&m, &x); /* swallowed */
}

static void
test_mmio_splits_at_eight_bytes(void **state)
{
	struct mmio m;
	struct echo d = {.writes = 0};
	struct mmio_region r = {BASE, 0x1000, echo_read, echo_write, &d};
	struct vm_exit x = {.kind = HV_EXIT_MMIO};

	(void)state;
	mmio_init(&m);
	assert_int_equal(mmio_add(&m, &r), 0);
	x.mmio.gpa = BASE + 0x10;
	x.mmio.size_bytes = 16;
	mmio_exit(&m, &x);
	assert_true(get_le64(x.mmio.data) == 0x2222222222222222ULL + 8);
	assert_true(get_le64(x.mmio.data + 8) == 0x3333333333333333ULL + 8);
	x.mmio.write = true;
	x.mmio.size_bytes = 12;
	memset(x.mmio.data, 0x5a, sizeof(x.mmio.data));
	mmio_exit(&m, &x);
	assert_int_equal(d.writes, 2);
	assert_int_equal(d.off[0], 0x10);
	assert_true(d.value[0] == 0x5a5a5a5a5a5a5a5aULL);
	assert_int_equal(d.off[1], 0x18);
	assert_int_equal(d.size_bytes[1], 4);
	assert_true(d.value[1] == 0x5a5a5a5aULL);
}

static void
test_mmio_gives_no_region_what_reaches_over_its_end(void **state)
{
	struct mmio m;
	struct echo d = {.writes = 0};
	struct mmio_region r = {BASE, 0x1000, echo_read, echo_write, &d};
	struct vm_exit x = {.kind = HV_EXIT_MMIO};

	(void)state;
	mmio_init(&m);
	assert_int_equal(mmio_add(&m, &r), 0);
	x.mmio.gpa = BASE + 0xffc;
	x.mmio.size_bytes = 8;
	x.mmio.write = true;
	mmio_exit(&m, &x);
	assert_int_equal(d.writes, 0);
	x.mmio.gpa = UINT64_MAX - 3;
	mmio_exit(&m, &x);
	assert_int_equal(d.writes, 0);
}

static void
test_mmio_refuses_overlap_and_more_than_it_holds(void **state)
{
	struct mmio m;
	struct mmio_region r = {BASE, 0x1000, echo_read, echo_write, NULL};
	int rc;

	(void)state;
	mmio_init(&m);
	assert_int_equal(mmio_add(&m, &r), 0);
	r.gpa = BASE + 0xfff;
	assert_int_equal(mmio_add(&m, &r), -EEXIST);
	r.gpa = BASE - 0xfff;
	assert_int_equal(mmio_add(&m, &r), -EEXIST);
	for (unsigned i = 1; i < MMIO_REGIONS_MAX; i++) {
		r.gpa = BASE + i * 0x1000;
		assert_int_equal(mmio_add(&m, &r), 0);
	}
	r.gpa = 0;
	rc = mmio_add(&m, &r);
	assert_int_equal(rc, -ENOSPC);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mmio_reads_ones_where_nobody_is),
	    cmocka_unit_test(test_mmio_splits_at_eight_bytes),
	    cmocka_unit_test(
		test_mmio_gives_no_region_what_reaches_over_its_end),
	    cmocka_unit_test(test_mmio_refuses_overlap_and_more_than_it_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
