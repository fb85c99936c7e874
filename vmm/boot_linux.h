/* SPDX-License-Identifier: BSD-2-Clause */
/* boot_linux - the Linux 64-bit boot protocol
 *
 * What:    reads a bzImage's setup header, loads the protected-mode part where
 *          the kernel prefers it, and enters it 200h behind, in long mode with
 *          an identity map of 4 GiB and the boot parameters ("zero page") in
 *          RSI. An ELF vmlinux is entered the same way at its own entry.
 * Model:   Linux Documentation/arch/x86/boot.rst, protocol 2.12 and later;
 *          zero-page.rst.
 * Units:   gpa, bytes.
 * Threads: pure but for the guest memory it fills.
 * Owns:    nothing.
 * Errors:  as boot.h.
 */
#ifndef VMM_BOOT_LINUX_H
#define VMM_BOOT_LINUX_H

#include "vmm/boot.h"

#define LINUX_HEADER_MAX 0x80 /* bytes of the setup header, from 1F1h */

struct linux_image {
	u64 payload_off, payload_bytes; /* protected-mode part in the file */
	u64 load_gpa;
	u64 memory_bytes; /* what it needs from load_gpa on until it runs */
	u64 initrd_limit; /* first address after the last usable one */
	u64 cmdline_max;
	u8 header[LINUX_HEADER_MAX];
	u32 header_bytes;
};

/* Do the first bytes look like a bzImage? count may be anything. */
bool linux_image_is(const u8 *head, u64 count);

int linux_image_parse(struct linux_image *img, const struct boot_file *f,
		      struct err *e) MUST_CHECK;
int linux_image_load(const struct linux_image *img, const struct boot_job *job,
		     struct cpu_state *s, struct err *e) MUST_CHECK;

/* For an ELF kernel that is in memory, up to end_gpa. */
int linux_enter_elf(u64 entry_gpa, u64 end_gpa, const struct boot_job *job,
		    struct cpu_state *s, struct err *e) MUST_CHECK;

#endif
