/* SPDX-License-Identifier: BSD-2-Clause */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>

#include "tests/boot_rig.h"
#include "tests/vmm_rig.h"
#include "vmm/boot_elf.h"

static const u8 code[] = {0xf4, 0xeb, 0xfd};

static u8 image[RIG_IMAGE_MAX];
static struct ram ram;
static struct boot_file kernel;
static struct boot_job job;
static struct cpu_state cpu;
static struct err err;

#define EHDR ((Elf64_Ehdr *)(void *)image)
#define PHDR ((Elf64_Phdr *)(void *)(image + sizeof(Elf64_Ehdr)))

static void
build(u32 pvh_gpa)
{
	kernel = (struct boot_file){.path = "k", .fd = -1, .bytes = image};
	kernel.size_bytes = rig_elf(image, code, sizeof(code), pvh_gpa);
}

static int
setup(void **state)
{
	struct err e;

	(void)state;
	build(0);
	assert_int_equal(ram_init(&ram, 32 << 20, &e), 0);
	job = (struct boot_job){.ram = &ram,
				.kernel = &kernel,
				.cmdline = "a=b",
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

static const u8 *
at(u64 gpa)
{
	const u8 *p = ram_at(&ram, gpa, 1);

	assert_non_null(p);
	return p;
}

static void
test_boot_elf_enters_in_64_bit_mode(void **state)
{
	const u8 *z;

	(void)state;
	assert_int_equal(boot_load_job(&job, false, &cpu, &err), 0);
	assert_int_equal(cpu.rip, RIG_LOAD_GPA);
	assert_memory_equal(at(cpu.rip), code, sizeof(code));
	assert_true(cpu.efer & EFER_LMA);
	assert_int_equal(cpu.gpr[RSI], BOOT_PARAMS_GPA);
	z = at(BOOT_PARAMS_GPA);
	assert_memory_equal(z + 0x202, "HdrS", 4);
	assert_string_equal((const char *)at(get_le32(z + 0x228)), "a=b");
	assert_int_equal(z[0x1e8], 4);
}

static void
test_boot_elf_virtual_entry_is_translated(void **state)
{
	(void)state;
	EHDR->e_entry = 0xffffffff81000001;
	assert_int_equal(boot_load_job(&job, false, &cpu, &err), 0);
	assert_int_equal(cpu.rip, RIG_LOAD_GPA + 1);
}

static void
test_boot_elf_pvh_enters_in_32_bit_mode(void **state)
{
	struct boot_file initrd = {.path = "i",
				   .fd = -1,
				   .bytes = (const u8 *)"rd",
				   .size_bytes = 2};
	const u8 *info, *map, *mod;

	(void)state;
	build(RIG_LOAD_GPA + 1);
	job.initrd = &initrd;
	assert_int_equal(boot_load_job(&job, true, &cpu, &err), 0);
	assert_int_equal(cpu.rip, RIG_LOAD_GPA + 1);
	assert_int_equal(cpu.cr0, CR0_PE | CR0_ET);
	assert_int_equal(cpu.efer, 0);
	assert_int_equal(cpu.seg[SEG_CS].attr & (ATTR_L | ATTR_DB), ATTR_DB);
	assert_int_equal(cpu.seg[SEG_DS].limit_bytes, 0xffffffff);
	info = at(cpu.gpr[RBX]);
	assert_int_equal(get_le32(info), 0x336ec578);
	assert_int_equal(get_le32(info + 4), 1);
	assert_int_equal(get_le32(info + 12), 1);
	mod = at(get_le64(info + 16));
	assert_memory_equal(at(get_le64(mod)), "rd", 2);
	assert_int_equal(get_le64(mod + 8), 2);
	assert_string_equal((const char *)at(get_le64(info + 24)), "a=b");
	assert_int_equal(get_le64(info + 32), 0xf0000);
	assert_int_equal(get_le32(info + 48), 4);
	map = at(get_le64(info + 40));
	assert_int_equal(get_le64(map + 8), BOOT_LOW_RAM_END);
	assert_int_equal(get_le32(map + 16), 1);
	assert_int_equal(get_le64(map + 3 * 24), 0x100000);
}

/* Without 32-bit mode: a Linux vmlinux has a 64-bit entry besides, a kernel
 * whose only entry is PVH's cannot work. */
static void
test_boot_elf_pvh_without_32_bit_mode(void **state)
{
	(void)state;
	build(RIG_LOAD_GPA + 1);
	assert_int_equal(boot_load_job(&job, false, &cpu, &err), 0);
	assert_int_equal(cpu.rip, RIG_LOAD_GPA);
	build(RIG_LOAD_GPA);
	assert_int_equal(boot_load_job(&job, false, &cpu, &err), -ENOTSUP);
	assert_string_equal(err.text,
			    "'k' starts in 32-bit mode, which the software CPU "
			    "does not run; use KVM, or a bzImage");
}

static void
test_boot_elf_pvh_entry_outside_of_the_kernel_is_ignored(void **state)
{
	(void)state;
	build(0x500000);
	assert_int_equal(boot_load_job(&job, true, &cpu, &err), 0);
	assert_true(cpu.efer & EFER_LMA);
	assert_int_equal(cpu.rip, RIG_LOAD_GPA);
}

static void
refused(int rc, const char *sentence)
{
	assert_int_equal(boot_load_job(&job, false, &cpu, &err), rc);
	assert_string_equal(err.text, sentence);
	build(0);
}

static void
test_boot_elf_refuses_other_files_with_a_sentence(void **state)
{
	(void)state;
	EHDR->e_machine = EM_AARCH64;
	refused(-ENOEXEC, "'k' is a program for arm64, not for x86-64");
	EHDR->e_machine = EM_386;
	EHDR->e_ident[EI_CLASS] = ELFCLASS32;
	refused(-ENOEXEC, "'k' is a program for 32-bit x86, not for x86-64");
	EHDR->e_machine = 0x7777;
	refused(-ENOEXEC, "'k' is a program for another processor, not for "
			  "x86-64");
	EHDR->e_ident[EI_CLASS] = ELFCLASS32;
	refused(-ENOEXEC, "'k' is not a 64-bit ELF file");
	EHDR->e_ident[EI_DATA] = ELFDATA2MSB;
	refused(-ENOEXEC, "'k' is a big-endian ELF file");
	EHDR->e_type = ET_REL;
	refused(-ENOEXEC, "'k' is an ELF file that cannot be executed");
	EHDR->e_phnum = 0;
	refused(-ENOEXEC, "'k' is an ELF file without program headers");
	EHDR->e_phoff = UINT64_MAX - 10;
	refused(-ENOEXEC, "'k' is truncated");
	PHDR->p_type = PT_NULL;
	refused(-ENOEXEC, "'k' has nothing to load");
	PHDR->p_filesz = PHDR->p_memsz + 1;
	refused(-ENOEXEC, "'k' is truncated: a segment lies outside the file");
	PHDR->p_offset = UINT64_MAX;
	refused(-ENOEXEC, "'k' is truncated: a segment lies outside the file");
	PHDR->p_paddr = 1ULL << 40;
	refused(-ENOEXEC, "'k' has a segment at 0x10000000000, outside of low "
			  "memory");
	PHDR->p_paddr = UINT64_MAX - 100;
	refused(-ENOEXEC, "'k' has a segment at 0xffffffffffffff9b, outside of "
			  "low memory");
	EHDR->e_entry = 0x123;
	refused(-ENOEXEC, "'k' has its entry outside of what it loads");
	PHDR->p_paddr = EHDR->e_entry = 0x9000;
	refused(-ENOEXEC, "'k' has a segment at 0x9000, below 1 MiB");
	PHDR->p_memsz = 64 << 20;
	refused(-ENOMEM, "'k' needs 80 MiB of memory, the guest has 32 MiB");
}

static void
test_boot_elf_refuses_every_truncation(void **state)
{
	u64 whole;

	(void)state;
	build(RIG_LOAD_GPA + 1);
	whole = kernel.size_bytes;
	for (u64 n = 1; n < whole; n++) {
		u8 *copy = malloc(n);

		assert_non_null(copy);
		memcpy(copy, image, n);
		kernel.bytes = copy;
		kernel.size_bytes = n;
		assert_int_equal(boot_load_job(&job, true, &cpu, &err),
				 -ENOEXEC);
		free(copy);
	}
}

/* Notes with every nonsense in their sizes end the walk. */
static void
test_boot_elf_survives_broken_notes(void **state)
{
	static const u32 sizes[] = {0,		1,	    5,
				    0x7fffffff, 0xfffffffd, 0xffffffff};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (unsigned field = 0; field < 10; field++) {
			build(RIG_LOAD_GPA + 1);
			put_le32(image + RIG_ELF_NOTE_OFF + 4 * field,
				 sizes[i]);
			assert_int_equal(boot_load_job(&job, true, &cpu, &err),
					 0);
		}
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_boot_elf_enters_in_64_bit_mode),
	    CASE(test_boot_elf_virtual_entry_is_translated),
	    CASE(test_boot_elf_pvh_enters_in_32_bit_mode),
	    CASE(test_boot_elf_pvh_without_32_bit_mode),
	    CASE(test_boot_elf_pvh_entry_outside_of_the_kernel_is_ignored),
	    CASE(test_boot_elf_refuses_other_files_with_a_sentence),
	    CASE(test_boot_elf_refuses_every_truncation),
	    CASE(test_boot_elf_survives_broken_notes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
