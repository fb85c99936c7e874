/* SPDX-License-Identifier: BSD-2-Clause */
/* boot - puts a kernel into guest memory and the processor at its entry
 *
 * What:    opens kernel and initrd, finds out what the kernel is (bzImage or
 *          ELF64), and loads it as its boot protocol wants it. Files are
 *          hostile: whatever is in them, the outcome is a loaded guest or one
 *          sentence. They stay open, so that a reboot loads the same files.
 * Model:   Linux x86 boot protocol 2.12 and later, 64-bit entry
 *          (boot_linux.h); ELF64 gABI (boot_elf.h); PVH (boot_pvh.h).
 * Units:   gpa, bytes.
 * Threads: the thread that opens the machine, later the vCPU thread.
 * Owns:    the open files and a copy of the command line.
 * Errors:  -ENOENT and the like for files, -ENOEXEC not a kernel for this
 *          machine, -ENOMEM it does not fit, -E2BIG command line too long,
 *          -EIO the file shrank. All with a sentence.
 */
#ifndef VMM_BOOT_H
#define VMM_BOOT_H

#include "base/err.h"
#include "driver/cpu_state.h"
#include "vmm/ram.h"

/* Where things lie in low memory; all of it is given to the kernel as usable,
 * which copies what it wants to keep first. */
#define BOOT_GDT_GPA	  0x500
#define BOOT_PVH_GPA	  0x6000
#define BOOT_PARAMS_GPA	  0x7000
#define BOOT_TABLES_GPA	  0x9000 /* six pages: identity map of 4 GiB */
#define BOOT_CMDLINE_GPA  0x20000
#define BOOT_CMDLINE_MAX  0x10000
#define BOOT_LOW_RAM_END  0x9fc00 /* above lies what a BIOS keeps for itself */
#define BOOT_BIOS_GPA	  0xf0000
#define BOOT_HIGH_RAM_GPA 0x100000

/* A file, or (fd < 0) bytes in memory. path names it in sentences. */
struct boot_file {
	const char *path;
	int fd;
	const u8 *bytes;
	u64 size_bytes;
};

int boot_file_open(struct boot_file *f, const char *path, const char *what,
		   struct err *e) MUST_CHECK;
void boot_file_close(struct boot_file *f);
int boot_file_read(const struct boot_file *f, u64 off, void *buf,
		   u64 size_bytes, struct err *e) MUST_CHECK;

/* The same straight into guest memory. */
int boot_file_load(const struct boot_file *f, u64 off, const struct ram *ram,
		   u64 gpa, u64 size_bytes, struct err *e) MUST_CHECK;

struct boot_e820 {
	u64 gpa, size_bytes;
	u32 type; /* 1 usable, 2 reserved */
};
#define BOOT_E820_MAX 6

/* The guest's memory map; returns how many entries. */
unsigned boot_e820(const struct ram *ram, struct boot_e820 out[BOOT_E820_MAX]);

/* What a protocol needs to load its kernel. */
struct boot_job {
	const struct ram *ram;
	const struct boot_file *kernel;
	const struct boot_file *initrd; /* NULL: none */
	const char *cmdline;
	u64 rsdp_gpa;
};

/* Puts the initrd at the end of low memory, not above limit and not below
 * floor. *gpa is 0 without an initrd. */
int boot_place_initrd(const struct boot_job *job, u64 floor, u64 limit,
		      u64 *gpa, struct err *e) MUST_CHECK;

int boot_put_cmdline(const struct boot_job *job, u64 max_bytes,
		     struct err *e) MUST_CHECK;

struct boot_config {
	const char *kernel;
	const char *initrd;  /* may be NULL */
	const char *cmdline; /* may be NULL */
	bool can_enter_32;   /* the processor runs 32-bit protected mode */
};

struct boot;

int boot_open(struct boot **out, const struct boot_config *cfg,
	      struct err *e) MUST_CHECK;
void boot_close(struct boot *b);

/* Fills memory, which is all zeros, and the processor's state. */
int boot_load(struct boot *b, const struct ram *ram, u64 rsdp_gpa,
	      struct cpu_state *s, struct err *e) MUST_CHECK;

/* The same for files that are already open (or in memory). */
int boot_load_job(const struct boot_job *job, bool can_enter_32,
		  struct cpu_state *s, struct err *e) MUST_CHECK;

#endif
