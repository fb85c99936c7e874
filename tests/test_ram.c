/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>

#include "tests/vmm_rig.h"
#include "vmm/ram.h"

/* A driver that remembers what it was told about memory. */
struct fake_hv {
	struct hv hv;
	unsigned maps, touches;
	u64 gpa[4], size_bytes[4];
	u64 touched_gpa, touched_bytes;
	int rc;
};

static int
fake_map(struct hv *hv, unsigned slot, u64 gpa, u64 size_bytes, void *host,
	 u64 flags)
{
	struct fake_hv *f = (struct fake_hv *)hv;

	assert_non_null(host);
	assert_int_equal(flags, 0);
	assert_int_equal(slot, f->maps);
	f->gpa[slot] = gpa;
	f->size_bytes[slot] = size_bytes;
	f->maps++;
	return f->rc;
}

static void
fake_written(struct hv *hv, u64 gpa, u64 size_bytes)
{
	struct fake_hv *f = (struct fake_hv *)hv;

	f->touches++;
	f->touched_gpa = gpa;
	f->touched_bytes = size_bytes;
}

static const struct hv_ops fake_ops = {.mem_map = fake_map,
				       .ram_written = fake_written};

static void
test_ram_has_holes_where_a_pc_has_them(void **state)
{
	struct fake_hv f = {.hv = {&fake_ops}};
	struct ram r;
	struct err e;
	u8 b;

	(void)state;
	assert_int_equal(ram_init(&r, 4ULL << 30, &e), 0);
	assert_int_equal(ram_map(&r, &f.hv, &e), 0);
	assert_int_equal(f.maps, 3);
	assert_int_equal(f.size_bytes[0], 0xa0000);
	assert_int_equal(f.gpa[1], 0xc0000);
	assert_true(f.gpa[1] + f.size_bytes[1] == 0xc0000000);
	assert_true(f.gpa[2] == 0x100000000);
	assert_true(f.size_bytes[2] == 1ULL << 30);
	assert_true(ram_read(&r, 0x9ffff, &b, 1));
	assert_false(ram_read(&r, 0xa0000, &b, 1));
	assert_false(ram_read(&r, 0xbffff, &b, 1));
	assert_true(ram_read(&r, 0xc0000, &b, 1));
	assert_true(ram_read(&r, 0xbfffffff, &b, 1));
	assert_false(ram_read(&r, 0xc0000000, &b, 1));
	assert_false(ram_read(&r, 0xffffffff, &b, 1));
	assert_true(ram_read(&r, 0x100000000, &b, 1));
	assert_true(ram_read(&r, 0x13fffffff, &b, 1));
	assert_false(ram_read(&r, 0x140000000, &b, 1));
	ram_release(&r);
}

static void
test_ram_copies_whole_ranges_or_nothing(void **state)
{
	struct ram r;
	struct err e;
	u8 in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8] = {0};

	(void)state;
	assert_int_equal(ram_init(&r, 8 << 20, &e), 0);
	assert_true(ram_write(&r, 0x1000, in, 8));
	assert_true(ram_read(&r, 0x1000, out, 8));
	assert_memory_equal(in, out, 8);
	assert_true(ram_write(&r, (8 << 20) - 8, in, 8));
	assert_false(ram_write(&r, (8 << 20) - 7, in, 8));
	assert_false(ram_read(&r, UINT64_MAX, out, 8));
	assert_false(ram_read(&r, UINT64_MAX - 7, out, 8));
	assert_false(ram_read(&r, 0x9fffc, out, 8)); /* reaches into VGA */
	assert_false(ram_read(&r, 0, out, UINT64_MAX));
	assert_null(ram_at(&r, 0x100000, 8 << 20));
	assert_non_null(ram_at(&r, 8 << 20, 0));
	ram_release(&r);
}

static void
test_ram_tells_the_driver_what_was_written(void **state)
{
	struct fake_hv f = {.hv = {&fake_ops}};
	struct ram r;
	struct err e;
	u8 b = 1;

	(void)state;
	assert_int_equal(ram_init(&r, 8 << 20, &e), 0);
	assert_int_equal(ram_map(&r, &f.hv, &e), 0);
	assert_true(ram_write(&r, 0x1234, &b, 1));
	assert_int_equal(f.touches, 1);
	assert_int_equal(f.touched_gpa, 0x1234);
	assert_int_equal(f.touched_bytes, 1);
	assert_false(ram_write(&r, 0xa0000, &b, 1));
	assert_int_equal(f.touches, 1);
	ram_clear(&r);
	assert_int_equal(f.touches, 3); /* both slots */
	assert_true(ram_read(&r, 0x1234, &b, 1));
	assert_int_equal(b, 0);
	ram_release(&r);
}

static void
test_ram_refuses_what_cannot_be(void **state)
{
	struct ram r;
	struct err e;

	(void)state;
	assert_int_equal(ram_init(&r, 0, &e), -EINVAL);
	assert_int_equal(ram_init(&r, (8 << 20) + 4096, &e), -EINVAL);
	assert_int_equal(ram_init(&r, 1ULL << 50, &e), -EINVAL);
	assert_string_equal(e.text, "guest memory must be a whole number of "
				    "MiB from 4 MiB to 512 GiB");
}

static u64
available_mib(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	fclose(f);
	return kib >> 10;
}

static void
test_ram_refuses_more_than_the_host_has(void **state)
{
	u64 mib = available_mib() + 1024;
	struct ram r;
	struct err e;
	char want[100];

	(void)state;
	if (mib == 1024 || mib << 20 > RAM_MAX_BYTES)
		skip(); /* no /proc/meminfo line, or too large a host */
	assert_int_equal(ram_init(&r, mib << 20, &e), -ENOMEM);
	snprintf(want, sizeof(want),
		 "cannot give the guest %llu MiB of memory: the host has ",
		 (unsigned long long)mib);
	assert_memory_equal(e.text, want, strlen(want));
	ram_release(&r);
}

static void
test_ram_passes_on_that_the_driver_refuses(void **state)
{
	struct fake_hv f = {.hv = {&fake_ops}, .rc = -ENOSPC};
	struct ram r;
	struct err e;

	(void)state;
	assert_int_equal(ram_init(&r, 8 << 20, &e), 0);
	assert_int_equal(ram_map(&r, &f.hv, &e), -ENOSPC);
	assert_null(r.hv);
	ram_release(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ram_has_holes_where_a_pc_has_them),
	    cmocka_unit_test(test_ram_copies_whole_ranges_or_nothing),
	    cmocka_unit_test(test_ram_tells_the_driver_what_was_written),
	    cmocka_unit_test(test_ram_refuses_what_cannot_be),
	    cmocka_unit_test(test_ram_refuses_more_than_the_host_has),
	    cmocka_unit_test(test_ram_passes_on_that_the_driver_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
