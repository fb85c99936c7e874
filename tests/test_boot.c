/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/boot_rig.h"
#include "tests/vmm_rig.h"
#include "vmm/boot.h"

static u8 image[RIG_IMAGE_MAX];
static struct err err;

/* Opens and loads; the outcome is err. */
static int
try(const char *kernel, const char *initrd)
{
	struct boot_config cfg = {.kernel = kernel, .initrd = initrd};
	struct boot *b;
	struct ram ram;
	struct cpu_state cpu;
	int rc = boot_open(&b, &cfg, &err);

	if (rc != 0)
		return rc;
	assert_int_equal(ram_init(&ram, 64 << 20, &err), 0);
	rc = boot_load(b, &ram, 0, &cpu, &err);
	boot_close(b);
	ram_release(&ram);
	return rc;
}

static void
refused(const char *name, const void *bytes, size_t count, const char *why)
{
	char want[600];
	const char *path = rig_file(name, bytes, count);

	assert_int_equal(try(path, NULL), -ENOEXEC);
	snprintf(want, sizeof(want), "'%s' %s", path, why);
	assert_string_equal(err.text, want);
	unlink(path);
}

static void
test_boot_names_wrong_files(void **state)
{
	u8 arm64[64] = {0};

	(void)state;
	memcpy(arm64 + 0x38, "ARM\x64", 4);
	refused("arm64", arm64, sizeof(arm64),
		"is a kernel for arm64, not for x86-64");
	refused("gz", "\x1f\x8b\x08", 3,
		"is compressed with gzip; unpack it first");
	refused("xz", "\3757zXZ\0\0", 7,
		"is compressed with xz; unpack it first");
	refused("cpio", "070701xxxx", 10, "is a cpio archive, not a kernel");
	refused("text", "hello\n", 6,
		"is neither a bzImage nor an ELF64 kernel");
	refused("byte", "\x7f", 1, "is neither a bzImage nor an ELF64 kernel");
}

static void
test_boot_says_what_is_wrong_with_the_path(void **state)
{
	const char *path = rig_path("missing");
	char want[600];

	(void)state;
	unlink(path);
	assert_int_equal(try(path, NULL), -ENOENT);
	snprintf(want, sizeof(want),
		 "cannot open kernel '%s': No such file or directory", path);
	assert_string_equal(err.text, want);
	assert_int_equal(try("/", NULL), -EINVAL);
	assert_string_equal(err.text, "kernel '/' is not a regular file");
	path = rig_file("empty", "", 0);
	assert_int_equal(try(path, NULL), -ENOEXEC);
	assert_non_null(strstr(err.text, "is empty"));
	unlink(path);
}

/* A FIFO without a writer must not make us wait. */
static void
test_boot_does_not_wait_for_a_fifo(void **state)
{
	const char *path = rig_path("fifo");

	(void)state;
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(try(path, NULL), -EINVAL);
	assert_non_null(strstr(err.text, "is not a regular file"));
	unlink(path);
}

static void
test_boot_names_a_missing_initrd(void **state)
{
	char kernel[600];
	const char *path;

	(void)state;
	snprintf(kernel, sizeof(kernel), "%s",
		 rig_file("kernel", image,
			  rig_bzimage(image, (const u8 *)"\xf4", 1)));
	assert_int_equal(try(kernel, NULL), 0);
	path = rig_path("no-initrd");
	assert_int_equal(try(kernel, path), -ENOENT);
	assert_non_null(strstr(err.text, "cannot open initrd '"));
	unlink(kernel);
}

/* The file shrinks between open and load. */
static void
test_boot_notices_a_file_that_became_shorter(void **state)
{
	struct boot_config cfg = {0};
	struct boot *b;
	struct ram ram;
	struct cpu_state cpu;
	const char *path = rig_file("shrinking", image,
				    rig_bzimage(image, (const u8 *)"\xf4", 1));

	(void)state;
	cfg.kernel = path;
	assert_int_equal(boot_open(&b, &cfg, &err), 0);
	assert_int_equal(truncate(path, 0x500), 0);
	assert_int_equal(ram_init(&ram, 64 << 20, &err), 0);
	assert_int_equal(boot_load(b, &ram, 0, &cpu, &err), -EIO);
	assert_non_null(strstr(err.text, "became shorter"));
	boot_close(b);
	ram_release(&ram);
	unlink(path);
}

static void
test_boot_e820_leaves_out_the_hole(void **state)
{
	struct ram ram = {.size_bytes = 5ULL << 30,
			  .low_end = RAM_LOW_MAX,
			  .high_end = RAM_HIGH_BASE + (2ULL << 30)};
	struct boot_e820 map[BOOT_E820_MAX];
	unsigned n = boot_e820(&ram, map);
	u64 usable = 0;

	(void)state;
	assert_int_equal(n, 5);
	for (unsigned i = 0; i < n; i++) {
		if (i != 0)
			assert_true(map[i].gpa >=
				    map[i - 1].gpa + map[i - 1].size_bytes);
		if (map[i].type == 1)
			usable += map[i].size_bytes;
	}
	assert_true(map[4].gpa == RAM_HIGH_BASE);
	assert_true(map[4].size_bytes == 2ULL << 30);
	assert_true(usable == (5ULL << 30) - 0x100000 + BOOT_LOW_RAM_END);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_boot_names_wrong_files),
	    cmocka_unit_test(test_boot_says_what_is_wrong_with_the_path),
	    cmocka_unit_test(test_boot_does_not_wait_for_a_fifo),
	    cmocka_unit_test(test_boot_names_a_missing_initrd),
	    cmocka_unit_test(test_boot_notices_a_file_that_became_shorter),
	    cmocka_unit_test(test_boot_e820_leaves_out_the_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
