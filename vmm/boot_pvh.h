/* SPDX-License-Identifier: BSD-2-Clause */
/* boot_pvh - the PVH entry of an ELF kernel
 *
 * What:    loads the segments, writes the start info with memory map, initrd
 *          and command line, and sets up 32-bit protected mode without paging.
 * Model:   Xen docs/misc/pvh.pandoc; public/arch-x86/hvm/start_info.h,
 *          version 1.
 * Units:   gpa, bytes.
 * Threads: pure but for the guest memory it fills.
 * Owns:    nothing.
 * Errors:  as boot.h.
 */
#ifndef VMM_BOOT_PVH_H
#define VMM_BOOT_PVH_H

#include "vmm/boot_elf.h"

int pvh_load(const struct elf_image *img, const struct boot_job *job,
	     struct cpu_state *s, struct err *e) MUST_CHECK;

#endif
