/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/boot_linux.h"

#include <errno.h>

/* The setup header: offsets in the file, which are also offsets in the zero
 * page (boot.rst, "the real-mode kernel header"). */
enum {
	H_SETUP_SECTS = 0x1f1,
	H_SYSSIZE = 0x1f4,
	H_BOOT_FLAG = 0x1fe,
	H_JUMP = 0x200,
	H_MAGIC = 0x202,
	H_VERSION = 0x206,
	H_TYPE_OF_LOADER = 0x210,
	H_LOADFLAGS = 0x211,
	H_RAMDISK_IMAGE = 0x218,
	H_RAMDISK_SIZE = 0x21c,
	H_CMD_LINE_PTR = 0x228,
	H_INITRD_ADDR_MAX = 0x22c,
	H_KERNEL_ALIGNMENT = 0x230,
	H_XLOADFLAGS = 0x236,
	H_CMDLINE_SIZE = 0x238,
	H_PREF_ADDRESS = 0x258,
	H_INIT_SIZE = 0x260,
	H_END = 0x264
};

#define HEADER_FIRST	     H_SETUP_SECTS
#define BOOT_FLAG	     0xaa55
#define MAGIC		     "HdrS"
#define VERSION_MIN	     0x20c
#define LOADFLAG_LOADED_HIGH BIT(0)
#define XLF_KERNEL_64	     BIT(0)
#define XLF_ABOVE_4G	     BIT(1)
#define LOADER_UNKNOWN	     0xff
#define SECTOR		     512
#define ENTRY_64	     0x200

/* The rest of the zero page (zero-page.rst) */
enum {
	Z_ACPI_RSDP = 0x070,
	Z_EXT_RAMDISK_IMAGE = 0x0c0,
	Z_EXT_RAMDISK_SIZE = 0x0c4,
	Z_EXT_CMD_LINE_PTR = 0x0c8,
	Z_E820_ENTRIES = 0x1e8,
	Z_E820_TABLE = 0x2d0,
	Z_BYTES = 0x1000
};
#define E820_ENTRY_BYTES 20

/* Page-table entries, SDM 3A table 4-15 ff. */
#define PTE_PRESENT BIT(0)
#define PTE_WRITE   BIT(1)
#define PTE_LARGE   BIT(7)
#define PAGE_BYTES  4096ULL
#define LARGE_BYTES (2ULL << 20)
#define MAPPED_GIB  4
#define PTES	    512

/* An ELF kernel tells nothing about itself; these are what every kernel of the
 * last decade takes. */
#define ELF_CMDLINE_MAX	 2047
#define ELF_INITRD_LIMIT 0x80000000ULL

bool
linux_image_is(const u8 *head, u64 count)
{
	return count >= H_VERSION + 2 &&
	       get_le16(head + H_BOOT_FLAG) == BOOT_FLAG &&
	       memcmp(head + H_MAGIC, MAGIC, 4) == 0;
}

static int
check_header(const u8 *h, const struct boot_file *f, struct err *e)
{
	u16 version = get_le16(h + H_VERSION);

	if (version < VERSION_MIN)
		return err_set(e, -ENOEXEC,
			       "'%s' speaks boot protocol %u.%02u, 2.12 or "
			       "later is needed",
			       f->path, version >> 8, version & 0xff);
	if (!(h[H_LOADFLAGS] & LOADFLAG_LOADED_HIGH))
		return err_set(e, -ENOEXEC, "'%s' is a zImage, not a bzImage",
			       f->path);
	if (!(get_le16(h + H_XLOADFLAGS) & XLF_KERNEL_64))
		return err_set(e, -ENOEXEC,
			       "'%s' is a 32-bit kernel, not one for x86-64",
			       f->path);
	return 0;
}

int
linux_image_parse(struct linux_image *img, const struct boot_file *f,
		  struct err *e)
{
	u8 h[H_END];
	u64 setup, want;
	int rc = boot_file_read(f, 0, h, sizeof(h), e);

	if (rc == 0)
		rc = check_header(h, f, e);
	if (rc != 0)
		return rc;
	memset(img, 0, sizeof(*img));
	/* the header ends where the jump at its start leads to; this version
	 * has at least what is read here */
	img->header_bytes = MIN(MAX(H_MAGIC + h[H_JUMP + 1], H_END),
				HEADER_FIRST + LINUX_HEADER_MAX) -
			    HEADER_FIRST;
	rc = boot_file_read(f, HEADER_FIRST, img->header, img->header_bytes, e);
	if (rc != 0)
		return rc;
	setup = h[H_SETUP_SECTS] != 0 ? h[H_SETUP_SECTS] : 4;
	img->payload_off = (setup + 1) * SECTOR;
	/* syssize counts paragraphs, the last of which may be cut short; what
	 * follows the kernel in the file (a signature) is not loaded */
	want = (u64)get_le32(h + H_SYSSIZE) * 16;
	if (want <= ENTRY_64 || f->size_bytes < img->payload_off ||
	    f->size_bytes - img->payload_off + 15 < want)
		return err_set(e, -ENOEXEC,
			       "'%s' is truncated: its header promises %llu "
			       "bytes, it has %llu",
			       f->path,
			       (unsigned long long)(img->payload_off + want),
			       (unsigned long long)f->size_bytes);
	img->payload_bytes = MIN(want, f->size_bytes - img->payload_off);
	img->load_gpa = get_le64(h + H_PREF_ADDRESS);
	img->memory_bytes = MAX(get_le32(h + H_INIT_SIZE), img->payload_bytes);
	img->initrd_limit = get_le16(h + H_XLOADFLAGS) & XLF_ABOVE_4G
				? RAM_HIGH_BASE
				: get_le32(h + H_INITRD_ADDR_MAX) + 1ULL;
	img->cmdline_max = get_le32(h + H_CMDLINE_SIZE);
	return 0;
}

/* --- entering ------------------------------------------------------------- */

/* PML4, PDPT, and a page directory of 2 MiB pages for each GiB. */
static void
put_page_tables(const struct ram *ram)
{
	u64 pdpt = BOOT_TABLES_GPA + PAGE_BYTES, pd = pdpt + PAGE_BYTES;
	u64 bytes = (2 + MAPPED_GIB) * PAGE_BYTES;
	u8 *t = ram_at(ram, BOOT_TABLES_GPA, bytes);

	assert(t != NULL);
	memset(t, 0, bytes);
	put_le64(t, pdpt | PTE_PRESENT | PTE_WRITE);
	for (u64 i = 0; i < MAPPED_GIB; i++)
		put_le64(t + PAGE_BYTES + 8 * i,
			 (pd + i * PAGE_BYTES) | PTE_PRESENT | PTE_WRITE);
	for (u64 i = 0; i < MAPPED_GIB * PTES; i++)
		put_le64(t + 2 * PAGE_BYTES + 8 * i,
			 i * LARGE_BYTES | PTE_PRESENT | PTE_WRITE | PTE_LARGE);
	ram_touched(ram, BOOT_TABLES_GPA, bytes);
}

/* The selectors that the protocol asks for: 10h code, 18h data, flat. */
static void
put_gdt(const struct ram *ram, struct cpu_state *s)
{
	static const u64 gdt[4] = {0, 0, 0x00af9b000000ffff,
				   0x00cf93000000ffff};
	bool ok = ram_write(ram, BOOT_GDT_GPA, gdt, sizeof(gdt));

	assert(ok);
	s->gdt.base = BOOT_GDT_GPA;
	s->gdt.limit_bytes = sizeof(gdt) - 1;
}

static void
put_e820(u8 *zero, const struct ram *ram)
{
	struct boot_e820 map[BOOT_E820_MAX];
	unsigned n = boot_e820(ram, map);

	zero[Z_E820_ENTRIES] = (u8)n;
	for (unsigned i = 0; i < n; i++) {
		u8 *p = zero + Z_E820_TABLE + i * E820_ENTRY_BYTES;

		put_le64(p, map[i].gpa);
		put_le64(p + 8, map[i].size_bytes);
		put_le32(p + 16, map[i].type);
	}
}

/* header: bytes from 1F1h on. */
static void
put_zero_page(const struct boot_job *job, const u8 *header, u32 header_bytes,
	      u64 initrd_gpa)
{
	u8 *z = ram_at(job->ram, BOOT_PARAMS_GPA, Z_BYTES);
	u64 initrd_bytes = job->initrd != NULL ? job->initrd->size_bytes : 0;

	assert(z != NULL);
	memset(z, 0, Z_BYTES);
	memcpy(z + HEADER_FIRST, header, header_bytes);
	z[H_TYPE_OF_LOADER] = LOADER_UNKNOWN;
	z[H_LOADFLAGS] |= LOADFLAG_LOADED_HIGH;
	put_le32(z + H_RAMDISK_IMAGE, (u32)initrd_gpa);
	put_le32(z + Z_EXT_RAMDISK_IMAGE, (u32)(initrd_gpa >> 32));
	put_le32(z + H_RAMDISK_SIZE, (u32)initrd_bytes);
	put_le32(z + Z_EXT_RAMDISK_SIZE, (u32)(initrd_bytes >> 32));
	put_le32(z + H_CMD_LINE_PTR, BOOT_CMDLINE_GPA);
	put_le32(z + Z_EXT_CMD_LINE_PTR, 0);
	put_le64(z + Z_ACPI_RSDP, job->rsdp_gpa);
	put_e820(z, job->ram);
	ram_touched(job->ram, BOOT_PARAMS_GPA, Z_BYTES);
}

static void
enter(const struct boot_job *job, u64 entry_gpa, struct cpu_state *s)
{
	put_page_tables(job->ram);
	cpu_state_long_mode(s, entry_gpa, BOOT_TABLES_GPA);
	put_gdt(job->ram, s);
	s->gpr[RSI] = BOOT_PARAMS_GPA;
}

static int
check_fit(const struct linux_image *img, const struct boot_job *job,
	  struct err *e)
{
	u64 low_end = job->ram->low_end;

	if (img->load_gpa < BOOT_HIGH_RAM_GPA || img->load_gpa >= RAM_LOW_MAX ||
	    img->load_gpa % PAGE_BYTES != 0)
		return err_set(e, -ENOEXEC,
			       "'%s' wants to be loaded at %#llx, where no "
			       "kernel can be",
			       job->kernel->path,
			       (unsigned long long)img->load_gpa);
	if (img->load_gpa > low_end ||
	    img->memory_bytes > low_end - img->load_gpa)
		return err_set(e, -ENOMEM,
			       "'%s' needs %llu MiB of memory to start, the "
			       "guest has %llu MiB",
			       job->kernel->path,
			       (unsigned long long)(img->load_gpa +
						    img->memory_bytes +
						    (1 << 20) - 1) >>
				   20,
			       (unsigned long long)job->ram->size_bytes >> 20);
	return 0;
}

int
linux_image_load(const struct linux_image *img, const struct boot_job *job,
		 struct cpu_state *s, struct err *e)
{
	u64 initrd_gpa;
	int rc = check_fit(img, job, e);

	if (rc == 0)
		rc = boot_file_load(job->kernel, img->payload_off, job->ram,
				    img->load_gpa, img->payload_bytes, e);
	if (rc == 0)
		rc = boot_place_initrd(job, img->load_gpa + img->memory_bytes,
				       img->initrd_limit, &initrd_gpa, e);
	if (rc == 0)
		rc = boot_put_cmdline(job, img->cmdline_max, e);
	if (rc != 0)
		return rc;
	put_zero_page(job, img->header, img->header_bytes, initrd_gpa);
	enter(job, img->load_gpa + ENTRY_64, s);
	return 0;
}

int
linux_enter_elf(u64 entry_gpa, u64 end_gpa, const struct boot_job *job,
		struct cpu_state *s, struct err *e)
{
	u8 h[H_END] = {0};
	u64 initrd_gpa;
	int rc =
	    boot_place_initrd(job, end_gpa, ELF_INITRD_LIMIT, &initrd_gpa, e);

	if (rc == 0)
		rc = boot_put_cmdline(job, ELF_CMDLINE_MAX, e);
	if (rc != 0)
		return rc;
	put_le16(h + H_BOOT_FLAG, BOOT_FLAG);
	memcpy(h + H_MAGIC, MAGIC, 4);
	put_le16(h + H_VERSION, VERSION_MIN);
	put_le32(h + H_KERNEL_ALIGNMENT, 16 << 20);
	put_le32(h + H_CMDLINE_SIZE, ELF_CMDLINE_MAX);
	put_le32(h + H_INITRD_ADDR_MAX, (u32)ELF_INITRD_LIMIT - 1);
	put_zero_page(job, h + HEADER_FIRST, H_END - HEADER_FIRST, initrd_gpa);
	enter(job, entry_gpa, s);
	return 0;
}
