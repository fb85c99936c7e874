/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/boot_elf.h"

#include <elf.h>
#include <errno.h>

#include "base/range.h"

#define NOTE_BYTES_MAX		 0x10000
#define XEN_ELFNOTE_PHYS32_ENTRY 18

bool
elf_image_is(const u8 *head, u64 count)
{
	return count >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0;
}

static const char *
machine_name(u16 machine)
{
	static const struct {
		u16 machine;
		const char *name;
	} names[] = {{EM_386, "32-bit x86"}, {EM_ARM, "32-bit ARM"},
		     {EM_AARCH64, "arm64"},  {EM_RISCV, "RISC-V"},
		     {EM_PPC64, "ppc64"},    {EM_S390, "s390"},
		     {EM_MIPS, "MIPS"},	     {EM_LOONGARCH, "LoongArch"}};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].machine == machine)
			return names[i].name;
	return "another processor";
}

static int
check_header(const Elf64_Ehdr *h, const struct boot_file *f, struct err *e)
{
	const char *why = NULL;

	if (h->e_ident[EI_DATA] == ELFDATA2LSB && h->e_machine != EM_X86_64)
		return err_set(e, -ENOEXEC,
			       "'%s' is a program for %s, not for x86-64",
			       f->path, machine_name(h->e_machine));
	if (h->e_ident[EI_CLASS] != ELFCLASS64)
		why = "is not a 64-bit ELF file";
	else if (h->e_ident[EI_DATA] != ELFDATA2LSB)
		why = "is a big-endian ELF file";
	else if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
		why = "is an ELF file that cannot be executed";
	else if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == 0)
		why = "is an ELF file without program headers";
	if (why != NULL)
		return err_set(e, -ENOEXEC, "'%s' %s", f->path, why);
	return 0;
}

static int
add_segment(struct elf_image *img, const Elf64_Phdr *p,
	    const struct boot_file *f, struct err *e)
{
	if (p->p_memsz == 0)
		return 0;
	if (img->count == ELF_SEGMENTS_MAX)
		return err_set(e, -ENOEXEC, "'%s' has more than %d segments",
			       f->path, ELF_SEGMENTS_MAX);
	if (p->p_filesz > p->p_memsz ||
	    !range_inside(p->p_offset, p->p_filesz, f->size_bytes))
		return err_set(e, -ENOEXEC,
			       "'%s' is truncated: a segment "
			       "lies outside the file",
			       f->path);
	if (!range_inside(p->p_paddr, p->p_memsz, RAM_LOW_MAX))
		return err_set(e, -ENOEXEC,
			       "'%s' has a segment at %#llx, outside of low "
			       "memory",
			       f->path, (unsigned long long)p->p_paddr);
	img->segment[img->count++] = (struct elf_segment){
	    .off = p->p_offset,
	    .file_bytes = p->p_filesz,
	    .gpa = p->p_paddr,
	    .memory_bytes = p->p_memsz,
	    .vaddr = p->p_vaddr,
	};
	img->end_gpa = MAX(img->end_gpa, p->p_paddr + p->p_memsz);
	return 0;
}

/* One note: sizes of name and descriptor, type, then both, padded to four
 * bytes. Returns the bytes it takes, 0 at the end or at nonsense. */
static u64
parse_note(struct elf_image *img, const u8 *p, u64 left)
{
	u64 name_bytes, desc_bytes, desc_at, total;

	if (left < 12)
		return 0;
	name_bytes = get_le32(p);
	desc_bytes = get_le32(p + 4);
	desc_at = 12 + ALIGN_UP(name_bytes, 4);
	total = desc_at + ALIGN_UP(desc_bytes, 4);
	if (total > left)
		return 0;
	if (get_le32(p + 8) == XEN_ELFNOTE_PHYS32_ENTRY && name_bytes == 4 &&
	    memcmp(p + 12, "Xen", 4) == 0 && desc_bytes >= 4) {
		img->has_pvh = true;
		img->pvh_gpa = get_le32(p + desc_at);
	}
	return total;
}

static int
parse_notes(struct elf_image *img, const Elf64_Phdr *p,
	    const struct boot_file *f, struct err *e)
{
	static _Thread_local u8 buf[NOTE_BYTES_MAX];
	u64 bytes = MIN(p->p_filesz, (u64)sizeof(buf)), at = 0, n;
	int rc = boot_file_read(f, p->p_offset, buf, bytes, e);

	if (rc != 0)
		return rc;
	while ((n = parse_note(img, buf + at, bytes - at)) != 0)
		at += n;
	return 0;
}

static bool
loaded(const struct elf_image *img, u64 gpa)
{
	for (unsigned i = 0; i < img->count; i++)
		if (range_within(gpa, 1, img->segment[i].gpa,
				 img->segment[i].memory_bytes))
			return true;
	return false;
}

/* e_entry is a physical address in a Linux vmlinux; elsewhere it may be a
 * virtual one. */
static int
find_entry(struct elf_image *img, u64 entry, const struct boot_file *f,
	   struct err *e)
{
	img->entry_gpa = entry;
	if (loaded(img, entry))
		return 0;
	for (unsigned i = 0; i < img->count; i++) {
		const struct elf_segment *s = &img->segment[i];

		if (!range_within(entry, 1, s->vaddr, s->memory_bytes))
			continue;
		img->entry_gpa = s->gpa + (entry - s->vaddr);
		return 0;
	}
	return err_set(e, -ENOEXEC,
		       "'%s' has its entry outside of what it "
		       "loads",
		       f->path);
}

int
elf_image_parse(struct elf_image *img, const struct boot_file *f, struct err *e)
{
	Elf64_Ehdr h;
	Elf64_Phdr p;
	int rc = boot_file_read(f, 0, &h, sizeof(h), e);

	if (rc == 0)
		rc = check_header(&h, f, e);
	memset(img, 0, sizeof(*img));
	for (unsigned i = 0; rc == 0 && i < h.e_phnum; i++) {
		u64 off = h.e_phoff + (u64)i * sizeof(p);

		if (off < h.e_phoff)
			return err_set(e, -ENOEXEC, "'%s' is truncated",
				       f->path);
		rc = boot_file_read(f, off, &p, sizeof(p), e);
		if (rc == 0 && p.p_type == PT_LOAD)
			rc = add_segment(img, &p, f, e);
		else if (rc == 0 && p.p_type == PT_NOTE)
			rc = parse_notes(img, &p, f, e);
	}
	if (rc != 0)
		return rc;
	if (img->count == 0)
		return err_set(e, -ENOEXEC, "'%s' has nothing to load",
			       f->path);
	if (img->has_pvh && !loaded(img, img->pvh_gpa))
		img->has_pvh = false;
	return find_entry(img, h.e_entry, f, e);
}

/* Memory is zero already, so only what the file holds is written. Segments
 * below 1 MiB would overwrite what the boot protocol puts there. */
int
elf_image_load(const struct elf_image *img, const struct boot_job *job,
	       struct err *e)
{
	for (unsigned i = 0; i < img->count; i++) {
		const struct elf_segment *s = &img->segment[i];
		int rc;

		if (s->gpa < BOOT_HIGH_RAM_GPA)
			return err_set(e, -ENOEXEC,
				       "'%s' has a segment at %#llx, below "
				       "1 MiB",
				       job->kernel->path,
				       (unsigned long long)s->gpa);
		if (ram_at(job->ram, s->gpa, s->memory_bytes) == NULL)
			return err_set(
			    e, -ENOMEM,
			    "'%s' needs %llu MiB of memory, the guest has "
			    "%llu MiB",
			    job->kernel->path,
			    (unsigned long long)(img->end_gpa + (1 << 20) -
						 1) >>
				20,
			    (unsigned long long)job->ram->size_bytes >> 20);
		rc = boot_file_load(job->kernel, s->off, job->ram, s->gpa,
				    s->file_bytes, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}
