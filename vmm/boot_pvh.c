/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/boot_pvh.h"

/* struct hvm_start_info and what it points to, laid out in one page */
enum {
	S_MAGIC = 0,
	S_VERSION = 4,
	S_FLAGS = 8,
	S_NR_MODULES = 12,
	S_MODLIST = 16,
	S_CMDLINE = 24,
	S_RSDP = 32,
	S_MEMMAP = 40,
	S_MEMMAP_ENTRIES = 48,
	MODLIST_AT = 0x100,
	MEMMAP_AT = 0x200,
	INFO_BYTES = 0x400
};
#define START_MAGIC  0x336ec578
#define MEMMAP_BYTES 24

#define CMDLINE_MAX  2047
#define INITRD_LIMIT 0x80000000ULL

#define ATTR_CODE32 (ATTR_P | ATTR_S | ATTR_DB | ATTR_G | 11)
#define ATTR_DATA32 (ATTR_P | ATTR_S | ATTR_DB | ATTR_G | 3)
#define ATTR_TSS32  (ATTR_P | 11)

static void
put_start_info(const struct boot_job *job, u64 initrd_gpa)
{
	u8 *p = ram_at(job->ram, BOOT_PVH_GPA, INFO_BYTES);
	struct boot_e820 map[BOOT_E820_MAX];
	unsigned n = boot_e820(job->ram, map);

	assert(p != NULL);
	memset(p, 0, INFO_BYTES);
	put_le32(p + S_MAGIC, START_MAGIC);
	put_le32(p + S_VERSION, 1);
	put_le64(p + S_CMDLINE, BOOT_CMDLINE_GPA);
	put_le64(p + S_RSDP, job->rsdp_gpa);
	put_le64(p + S_MEMMAP, BOOT_PVH_GPA + MEMMAP_AT);
	put_le32(p + S_MEMMAP_ENTRIES, n);
	for (unsigned i = 0; i < n; i++) {
		u8 *q = p + MEMMAP_AT + i * MEMMAP_BYTES;

		put_le64(q, map[i].gpa);
		put_le64(q + 8, map[i].size_bytes);
		put_le32(q + 16, map[i].type);
	}
	if (job->initrd != NULL) {
		put_le32(p + S_NR_MODULES, 1);
		put_le64(p + S_MODLIST, BOOT_PVH_GPA + MODLIST_AT);
		put_le64(p + MODLIST_AT, initrd_gpa);
		put_le64(p + MODLIST_AT + 8, job->initrd->size_bytes);
	}
	ram_touched(job->ram, BOOT_PVH_GPA, INFO_BYTES);
}

static void
enter(u64 entry_gpa, struct cpu_state *s)
{
	cpu_state_reset(s);
	s->cr0 = CR0_PE | CR0_ET;
	s->rip = entry_gpa;
	s->gpr[RDX] = 0;
	s->gpr[RBX] = BOOT_PVH_GPA;
	for (int i = 0; i < SEG_COUNT; i++) {
		s->seg[i] = (struct cpu_seg){.limit_bytes = 0xffffffff,
					     .attr = ATTR_DATA32,
					     .sel = 0x18};
	}
	s->seg[SEG_CS].attr = ATTR_CODE32;
	s->seg[SEG_CS].sel = 0x10;
	s->tr = (struct cpu_seg){.limit_bytes = 0x67, .attr = ATTR_TSS32};
	s->gdt.limit_bytes = 0;
	s->idt.limit_bytes = 0;
}

int
pvh_load(const struct elf_image *img, const struct boot_job *job,
	 struct cpu_state *s, struct err *e)
{
	u64 initrd_gpa;
	int rc = elf_image_load(img, job, e);

	if (rc == 0)
		rc = boot_place_initrd(job, img->end_gpa, INITRD_LIMIT,
				       &initrd_gpa, e);
	if (rc == 0)
		rc = boot_put_cmdline(job, CMDLINE_MAX, e);
	if (rc != 0)
		return rc;
	put_start_info(job, initrd_gpa);
	enter(img->pvh_gpa, s);
	return 0;
}
