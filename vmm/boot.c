/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/range.h"
#include "vmm/boot_elf.h"
#include "vmm/boot_linux.h"
#include "vmm/boot_pvh.h"

#define PAGE_BYTES 4096ULL

struct boot {
	struct boot_file kernel, initrd;
	char *kernel_path, *initrd_path, *cmdline;
	bool can_enter_32;
};

/* --- files -------------------------------------------------------------- */

int
boot_file_open(struct boot_file *f, const char *path, const char *what,
	       struct err *e)
{
	struct stat st;
	int fd, rc;

	/* O_NONBLOCK: a FIFO must not make us wait for its writer */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_errno(e, -errno, "cannot open %s '%s'", what, path);
	if (fstat(fd, &st) != 0) {
		rc = err_errno(e, -errno, "cannot read %s '%s'", what, path);
	} else if (!S_ISREG(st.st_mode)) {
		rc = err_set(e, -EINVAL, "%s '%s' is not a regular file", what,
			     path);
	} else if (st.st_size == 0) {
		rc = err_set(e, -ENOEXEC, "%s '%s' is empty", what, path);
	} else {
		*f = (struct boot_file){.path = path,
					.fd = fd,
					.size_bytes = (u64)st.st_size};
		return 0;
	}
	close(fd);
	return rc;
}

void
boot_file_close(struct boot_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

int
boot_file_read(const struct boot_file *f, u64 off, void *buf, u64 size_bytes,
	       struct err *e)
{
	u8 *p = buf;

	if (!range_inside(off, size_bytes, f->size_bytes))
		return err_set(e, -ENOEXEC, "'%s' is truncated", f->path);
	if (f->fd < 0) {
		memcpy(p, f->bytes + off, size_bytes);
		return 0;
	}
	while (size_bytes != 0) {
		ssize_t n = pread(f->fd, p, size_bytes, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, -errno, "cannot read '%s'",
					 f->path);
		if (n == 0)
			return err_set(e, -EIO, "'%s' became shorter", f->path);
		p += n;
		off += (u64)n;
		size_bytes -= (u64)n;
	}
	return 0;
}

int
boot_file_load(const struct boot_file *f, u64 off, const struct ram *ram,
	       u64 gpa, u64 size_bytes, struct err *e)
{
	u8 *p = ram_at(ram, gpa, size_bytes);
	int rc;

	if (p == NULL)
		return err_set(e, -ENOMEM,
			       "'%s' does not fit into the guest's memory "
			       "(%llu bytes at %#llx)",
			       f->path, (unsigned long long)size_bytes,
			       (unsigned long long)gpa);
	rc = boot_file_read(f, off, p, size_bytes, e);
	ram_touched(ram, gpa, size_bytes);
	return rc;
}

/* --- what protocols share ------------------------------------------------ */

unsigned
boot_e820(const struct ram *ram, struct boot_e820 out[BOOT_E820_MAX])
{
	unsigned n = 0;

	out[n++] = (struct boot_e820){0, BOOT_LOW_RAM_END, 1};
	out[n++] = (struct boot_e820){BOOT_LOW_RAM_END,
				      RAM_VGA_BASE - BOOT_LOW_RAM_END, 2};
	out[n++] = (struct boot_e820){BOOT_BIOS_GPA,
				      BOOT_HIGH_RAM_GPA - BOOT_BIOS_GPA, 2};
	out[n++] = (struct boot_e820){BOOT_HIGH_RAM_GPA,
				      ram->low_end - BOOT_HIGH_RAM_GPA, 1};
	if (ram->high_end > RAM_HIGH_BASE)
		out[n++] = (struct boot_e820){RAM_HIGH_BASE,
					      ram->high_end - RAM_HIGH_BASE, 1};
	return n;
}

int
boot_place_initrd(const struct boot_job *job, u64 floor, u64 limit, u64 *gpa,
		  struct err *e)
{
	u64 end = MIN(limit, job->ram->low_end), size_bytes;

	*gpa = 0;
	if (job->initrd == NULL)
		return 0;
	size_bytes = job->initrd->size_bytes;
	if (end < floor || size_bytes > end - floor ||
	    ALIGN_DOWN(end - size_bytes, PAGE_BYTES) < floor)
		return err_set(e, -ENOMEM,
			       "initrd '%s' (%llu MiB) does not fit beside "
			       "the kernel into %llu MiB of guest memory",
			       job->initrd->path,
			       (unsigned long long)size_bytes >> 20,
			       (unsigned long long)job->ram->size_bytes >> 20);
	*gpa = ALIGN_DOWN(end - size_bytes, PAGE_BYTES);
	return boot_file_load(job->initrd, 0, job->ram, *gpa, size_bytes, e);
}

int
boot_put_cmdline(const struct boot_job *job, u64 max_bytes, struct err *e)
{
	u64 n = strlen(job->cmdline);
	bool ok;

	max_bytes = MIN(max_bytes, (u64)BOOT_CMDLINE_MAX - 1);
	if (n > max_bytes)
		return err_set(e, -E2BIG,
			       "the kernel command line has %llu characters, "
			       "'%s' takes %llu",
			       (unsigned long long)n, job->kernel->path,
			       (unsigned long long)max_bytes);
	ok = ram_write(job->ram, BOOT_CMDLINE_GPA, job->cmdline, n + 1);
	assert(ok); /* the smallest guest has that memory */
	return 0;
}

/* --- which kernel is it? -------------------------------------------------- */

/* Names for the wrong files that people give most often. */
static int
not_a_kernel(const struct boot_file *f, const u8 *head, u64 count,
	     struct err *e)
{
	static const struct {
		u16 off;
		u8 count;
		const char *magic, *what;
	} known[] = {
	    {0x38, 4, "ARM\x64", "a kernel for arm64, not for x86-64"},
	    {0x24, 4, "\x18\x28\x6f\x01", "a kernel for 32-bit ARM"},
	    {0x30, 5, "RISCV", "a kernel for RISC-V, not for x86-64"},
	    {0, 2, "\x1f\x8b", "compressed with gzip; unpack it first"},
	    {0, 6, "\3757zXZ\0", "compressed with xz; unpack it first"},
	    {0, 4, "\x28\xb5\x2f\xfd", "compressed with zstd; unpack it"},
	    {0, 6, "070701", "a cpio archive, not a kernel"},
	    {0, 8, "!<arch>\n", "an archive, not a kernel"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].off + known[i].count <= count &&
		    memcmp(head + known[i].off, known[i].magic,
			   known[i].count) == 0)
			return err_set(e, -ENOEXEC, "'%s' is %s", f->path,
				       known[i].what);
	return err_set(e, -ENOEXEC,
		       "'%s' is neither a bzImage nor an ELF64 "
		       "kernel",
		       f->path);
}

static int
load_linux(const struct boot_job *job, struct cpu_state *s, struct err *e)
{
	struct linux_image img;
	int rc = linux_image_parse(&img, job->kernel, e);

	return rc != 0 ? rc : linux_image_load(&img, job, s, e);
}

/* An ELF kernel is entered through PVH where the processor can, else at its
 * 64-bit entry. A kernel whose ELF entry is its PVH entry has no 64-bit one. */
static int
load_elf(const struct boot_job *job, bool can_enter_32, struct cpu_state *s,
	 struct err *e)
{
	struct elf_image img;
	int rc = elf_image_parse(&img, job->kernel, e);

	if (rc != 0)
		return rc;
	if (img.has_pvh && can_enter_32)
		return pvh_load(&img, job, s, e);
	if (img.has_pvh && img.pvh_gpa == img.entry_gpa)
		return err_set(e, -ENOTSUP,
			       "'%s' starts in 32-bit mode, which the software "
			       "CPU does not run; use KVM, or a bzImage",
			       job->kernel->path);
	rc = elf_image_load(&img, job, e);
	return rc != 0 ? rc
		       : linux_enter_elf(img.entry_gpa, img.end_gpa, job, s, e);
}

int
boot_load_job(const struct boot_job *job, bool can_enter_32,
	      struct cpu_state *s, struct err *e)
{
	u8 head[0x400];
	u64 count = MIN(job->kernel->size_bytes, (u64)sizeof(head));
	int rc = boot_file_read(job->kernel, 0, head, count, e);

	if (rc != 0)
		return rc;
	if (elf_image_is(head, count))
		return load_elf(job, can_enter_32, s, e);
	if (linux_image_is(head, count))
		return load_linux(job, s, e);
	return not_a_kernel(job->kernel, head, count, e);
}

/* --- the machine's own -------------------------------------------------- */

int
boot_load(struct boot *b, const struct ram *ram, u64 rsdp_gpa,
	  struct cpu_state *s, struct err *e)
{
	struct boot_job job = {
	    .ram = ram,
	    .kernel = &b->kernel,
	    .initrd = b->initrd_path != NULL ? &b->initrd : NULL,
	    .cmdline = b->cmdline,
	    .rsdp_gpa = rsdp_gpa,
	};

	return boot_load_job(&job, b->can_enter_32, s, e);
}

int
boot_open(struct boot **out, const struct boot_config *cfg, struct err *e)
{
	struct boot *b = calloc(1, sizeof(*b));
	int rc = -ENOMEM;

	if (b == NULL)
		return err_set(e, rc, "out of memory");
	b->kernel.fd = b->initrd.fd = -1;
	b->can_enter_32 = cfg->can_enter_32;
	b->kernel_path = strdup(cfg->kernel);
	b->cmdline = strdup(cfg->cmdline != NULL ? cfg->cmdline : "");
	if (cfg->initrd != NULL)
		b->initrd_path = strdup(cfg->initrd);
	if (b->kernel_path == NULL || b->cmdline == NULL ||
	    (cfg->initrd != NULL && b->initrd_path == NULL)) {
		rc = err_set(e, rc, "out of memory");
		goto out;
	}
	rc = boot_file_open(&b->kernel, b->kernel_path, "kernel", e);
	if (rc == 0 && b->initrd_path != NULL)
		rc = boot_file_open(&b->initrd, b->initrd_path, "initrd", e);
	if (rc != 0)
		goto out;
	*out = b;
	return 0;
out:
	boot_close(b);
	return rc;
}

void
boot_close(struct boot *b)
{
	if (b == NULL)
		return;
	boot_file_close(&b->kernel);
	boot_file_close(&b->initrd);
	free(b->kernel_path);
	free(b->initrd_path);
	free(b->cmdline);
	free(b);
}
