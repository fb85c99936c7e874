/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>

#include "tests/boot_rig.h"
#include "tests/vmm_rig.h"
#include "vmm/boot_linux.h"

static const u8 code[] = {0xf4, 0xeb, 0xfd};

static u8 image[RIG_IMAGE_MAX];
static size_t image_bytes;
static struct ram ram;
static struct boot_file kernel, initrd;
static struct boot_job job;
static struct cpu_state cpu;
static struct err err;

static int
setup(void **state)
{
	struct err e;

	(void)state;
	image_bytes = rig_bzimage(image, code, sizeof(code));
	kernel = (struct boot_file){.path = "k",
				    .fd = -1,
				    .bytes = image,
				    .size_bytes = image_bytes};
	initrd = (struct boot_file){.path = "i",
				    .fd = -1,
				    .bytes = (const u8 *)"initial ramdisk",
				    .size_bytes = 15};
	assert_int_equal(ram_init(&ram, 64 << 20, &e), 0);
	job = (struct boot_job){.ram = &ram,
				.kernel = &kernel,
				.cmdline = "console=ttyS0",
				.rsdp_gpa = 0xf0000};
	memset(&err, 0, sizeof(err));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ram_release(&ram);
	return 0;
}

static int
load(void)
{
	struct linux_image img;
	int rc = linux_image_parse(&img, &kernel, &err);

	return rc != 0 ? rc : linux_image_load(&img, &job, &cpu, &err);
}

static const u8 *
at(u64 gpa)
{
	const u8 *p = ram_at(&ram, gpa, 1);

	assert_non_null(p);
	return p;
}

static void
test_boot_linux_enters_200h_behind_the_load_address(void **state)
{
	(void)state;
	assert_int_equal(load(), 0);
	assert_int_equal(cpu.rip, RIG_LOAD_GPA + 0x200);
	assert_memory_equal(at(cpu.rip), code, sizeof(code));
	assert_int_equal(cpu.gpr[RSI], BOOT_PARAMS_GPA);
	assert_int_equal(cpu.rflags & FL_IF, 0);
	assert_true(cpu.efer & EFER_LMA);
	assert_true(cpu.cr0 & CR0_PG);
	assert_true(cpu.cr4 & CR4_PAE);
	assert_int_equal(cpu.seg[SEG_CS].sel, 0x10);
	assert_int_equal(cpu.seg[SEG_DS].sel, 0x18);
}

/* Walks the page tables as the processor would. */
static void
test_boot_linux_maps_4_gib_one_to_one(void **state)
{
	(void)state;
	assert_int_equal(load(), 0);
	for (u64 lin = 0; lin < 4ULL << 30; lin += (2 << 20)) {
		u64 e = get_le64(at(cpu.cr3) + 8 * (lin >> 39));

		assert_int_equal(e & 3, 3);
		e = get_le64(at((e & ~0xfffULL) + 8 * (lin >> 30 & 511)));
		assert_int_equal(e & 3, 3);
		e = get_le64(at((e & ~0xfffULL) + 8 * (lin >> 21 & 511)));
		assert_true(e == (lin | 0x83));
	}
}

/* The descriptors must say what the hidden parts of the registers say. */
static void
test_boot_linux_gdt_holds_the_selectors(void **state)
{
	const u8 *gdt;

	(void)state;
	assert_int_equal(load(), 0);
	assert_int_equal(cpu.gdt.limit_bytes, 31);
	gdt = at(cpu.gdt.base);
	assert_true(get_le64(gdt + 0x10) == 0x00af9b000000ffff);
	assert_true(get_le64(gdt + 0x18) == 0x00cf93000000ffff);
}

static void
test_boot_linux_fills_the_zero_page(void **state)
{
	const u8 *z;

	(void)state;
	job.initrd = &initrd;
	assert_int_equal(load(), 0);
	z = at(BOOT_PARAMS_GPA);
	assert_memory_equal(z + 0x202, "HdrS", 4);
	assert_int_equal(get_le16(z + 0x206), 0x20f);
	assert_int_equal(z[0x210], 0xff);
	assert_int_equal(get_le32(z + 0x260), 0x100000);
	assert_int_equal(get_le64(z + 0x70), 0xf0000);
	assert_string_equal((const char *)at(get_le32(z + 0x228)),
			    "console=ttyS0");
	assert_int_equal(get_le32(z + 0x21c), 15);
	assert_memory_equal(at(get_le32(z + 0x218)), "initial ramdisk", 15);
	assert_int_equal(get_le32(z + 0x218) % 4096, 0);
	assert_int_equal(z[0x1e8], 4);
	assert_int_equal(get_le64(z + 0x2d0), 0);
	assert_int_equal(get_le64(z + 0x2d8), BOOT_LOW_RAM_END);
	assert_int_equal(get_le32(z + 0x2e0), 1);
	assert_int_equal(get_le64(z + 0x2d0 + 60), 0x100000);
	assert_int_equal(get_le64(z + 0x2d0 + 68), (64 << 20) - 0x100000);
}

static void
test_boot_linux_initrd_stays_below_its_limit(void **state)
{
	(void)state;
	job.initrd = &initrd;
	put_le16(image + 0x236, 1); /* not above 4 GiB */
	put_le32(image + 0x22c, 0x2ffffff);
	assert_int_equal(load(), 0);
	assert_int_equal(get_le32(at(BOOT_PARAMS_GPA) + 0x218), 0x2fff000);
	put_le32(image + 0x22c, RIG_LOAD_GPA + 0x100000 + 13);
	assert_int_equal(load(), -ENOMEM);
	assert_non_null(strstr(err.text, "initrd 'i'"));
}

static void
test_boot_linux_initrd_may_fill_what_is_left(void **state)
{
	static u8 big[1 << 20];
	u64 room = (64ULL << 20) - RIG_LOAD_GPA - 0x100000;

	(void)state;
	job.initrd = &initrd;
	initrd.bytes = big;
	initrd.size_bytes = sizeof(big);
	put_le32(image + 0x260, (u32)(0x100000 + room - sizeof(big)));
	assert_int_equal(load(), 0);
	put_le32(image + 0x260, (u32)(0x100000 + room - sizeof(big) + 1));
	assert_int_equal(load(), -ENOMEM);
}

static void
test_boot_linux_refuses_a_long_command_line(void **state)
{
	char line[RIG_CMDLINE_SIZE + 2];

	(void)state;
	memset(line, 'x', sizeof(line));
	line[RIG_CMDLINE_SIZE] = 0;
	job.cmdline = line;
	assert_int_equal(load(), 0);
	line[RIG_CMDLINE_SIZE] = 'x';
	line[RIG_CMDLINE_SIZE + 1] = 0;
	assert_int_equal(load(), -E2BIG);
	assert_string_equal(err.text, "the kernel command line has 256 "
				      "characters, 'k' takes 255");
}

static void
test_boot_linux_refuses_too_little_memory(void **state)
{
	(void)state;
	put_le32(image + 0x260, 49 << 20);
	assert_int_equal(load(), -ENOMEM);
	assert_string_equal(err.text, "'k' needs 65 MiB of memory to start, "
				      "the guest has 64 MiB");
	put_le32(image + 0x260, 48 << 20);
	assert_int_equal(load(), 0);
}

static void
test_boot_linux_refuses_each_wrong_header(void **state)
{
	static const struct {
		u16 off;
		u8 value;
		const char *sentence;
	} cases[] = {
	    {0x206, 0x0b,
	     "'k' speaks boot protocol 2.11, 2.12 or later is "
	     "needed"},
	    {0x211, 0x00, "'k' is a zImage, not a bzImage"},
	    {0x236, 0x00, "'k' is a 32-bit kernel, not one for x86-64"},
	    {0x25f, 0xff,
	     "'k' wants to be loaded at 0xff00000001000000, where "
	     "no kernel can be"},
	    {0x258, 0x01,
	     "'k' wants to be loaded at 0x1000001, where no "
	     "kernel can be"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		teardown(state);
		setup(state);
		image[cases[i].off] = cases[i].value;
		assert_int_equal(load(), -ENOEXEC);
		assert_string_equal(err.text, cases[i].sentence);
	}
}

/* Cut off anywhere, the file is refused, and never read past its end. */
static void
test_boot_linux_refuses_every_truncation(void **state)
{
	(void)state;
	for (size_t n = 1; n < image_bytes - 15; n++) {
		u8 *copy = malloc(n);

		assert_non_null(copy);
		memcpy(copy, image, n);
		kernel.bytes = copy;
		kernel.size_bytes = n;
		assert_int_equal(load(), -ENOEXEC);
		free(copy);
	}
	kernel.bytes = image;
	kernel.size_bytes = image_bytes - 15; /* the last paragraph cut */
	assert_int_equal(load(), 0);
}

static void
test_boot_linux_setup_sectors_of_zero_mean_four(void **state)
{
	static u8 big[RIG_IMAGE_MAX];

	(void)state;
	memcpy(big, image, 512 * 2);
	memcpy(big + 512 * 5, image + 512 * 2, image_bytes - 512 * 2);
	big[0x1f1] = 0;
	kernel.bytes = big;
	kernel.size_bytes = image_bytes + 512 * 3;
	assert_int_equal(load(), 0);
	assert_memory_equal(at(cpu.rip), code, sizeof(code));
}

static void
test_boot_linux_is_not_fooled_by_short_files(void **state)
{
	(void)state;
	assert_true(linux_image_is(image, image_bytes));
	for (size_t n = 0; n < 0x208; n++)
		assert_false(linux_image_is(image, n));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_boot_linux_enters_200h_behind_the_load_address),
	    CASE(test_boot_linux_maps_4_gib_one_to_one),
	    CASE(test_boot_linux_gdt_holds_the_selectors),
	    CASE(test_boot_linux_fills_the_zero_page),
	    CASE(test_boot_linux_initrd_stays_below_its_limit),
	    CASE(test_boot_linux_initrd_may_fill_what_is_left),
	    CASE(test_boot_linux_refuses_a_long_command_line),
	    CASE(test_boot_linux_refuses_too_little_memory),
	    CASE(test_boot_linux_refuses_each_wrong_header),
	    CASE(test_boot_linux_refuses_every_truncation),
	    CASE(test_boot_linux_setup_sectors_of_zero_mean_four),
	    CASE(test_boot_linux_is_not_fooled_by_short_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
