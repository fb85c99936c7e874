/* SPDX-License-Identifier: BSD-2-Clause */
/* boot_elf - kernels that are ELF64 files
 *
 * What:    checks the file, finds its loadable segments, its entry as a
 *          physical address, and the note that names a PVH entry.
 * Model:   System V gABI, chapters 4 and 5; psABI x86-64; Xen
 *          public/elfnote.h (XEN_ELFNOTE_PHYS32_ENTRY).
 * Units:   gpa (the segments' physical addresses), bytes.
 * Threads: pure but for the guest memory it fills.
 * Owns:    nothing.
 * Errors:  as boot.h.
 */
#ifndef VMM_BOOT_ELF_H
#define VMM_BOOT_ELF_H

#include "vmm/boot.h"

#define ELF_SEGMENTS_MAX 16

struct elf_segment {
	u64 off, file_bytes;
	u64 gpa, memory_bytes;
	u64 vaddr;
};

struct elf_image {
	unsigned count;
	struct elf_segment segment[ELF_SEGMENTS_MAX];
	u64 entry_gpa;
	u64 end_gpa; /* first address after the highest segment */
	bool has_pvh;
	u64 pvh_gpa;
};

bool elf_image_is(const u8 *head, u64 count);
int elf_image_parse(struct elf_image *img, const struct boot_file *f,
		    struct err *e) MUST_CHECK;
int elf_image_load(const struct elf_image *img, const struct boot_job *job,
		   struct err *e) MUST_CHECK;

#endif
