/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/boot_rig.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>

size_t
rig_bzimage(u8 out[RIG_IMAGE_MAX], const u8 *code, size_t code_bytes)
{
	size_t payload = ALIGN_UP(0x200 + code_bytes, 16);

	assert(RIG_SETUP_BYTES + payload <= RIG_IMAGE_MAX);
	memset(out, 0, RIG_IMAGE_MAX);
	out[0x1f1] = RIG_SETUP_BYTES / 512 - 1;
	put_le32(out + 0x1f4, (u32)(payload / 16));
	put_le16(out + 0x1fe, 0xaa55);
	out[0x200] = 0xeb;
	out[0x201] = 0x6a;
	memcpy(out + 0x202, "HdrS", 4);
	put_le16(out + 0x206, 0x20f);
	out[0x211] = 1;
	put_le32(out + 0x22c, 0x7fffffff);
	put_le32(out + 0x230, 0x200000);
	out[0x234] = 1;
	put_le16(out + 0x236, 0x3);
	put_le32(out + 0x238, RIG_CMDLINE_SIZE);
	put_le64(out + 0x258, RIG_LOAD_GPA);
	put_le32(out + 0x260, 0x100000);
	memcpy(out + RIG_SETUP_BYTES + 0x200, code, code_bytes);
	return RIG_SETUP_BYTES + payload;
}

size_t
rig_elf(u8 out[RIG_IMAGE_MAX], const u8 *code, size_t code_bytes, u32 pvh_gpa)
{
	Elf64_Ehdr h = {
	    .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
	    .e_type = ET_EXEC,
	    .e_machine = EM_X86_64,
	    .e_version = 1,
	    .e_entry = RIG_LOAD_GPA,
	    .e_phoff = sizeof(h),
	    .e_ehsize = sizeof(h),
	    .e_phentsize = sizeof(Elf64_Phdr),
	    .e_phnum = pvh_gpa != 0 ? 2 : 1,
	};
	Elf64_Phdr p[2] = {
	    {.p_type = PT_LOAD,
	     .p_offset = RIG_ELF_SEGMENT_OFF,
	     .p_vaddr = 0xffffffff81000000,
	     .p_paddr = RIG_LOAD_GPA,
	     .p_filesz = code_bytes,
	     .p_memsz = code_bytes + 4096},
	    {.p_type = PT_NOTE,
	     .p_offset = RIG_ELF_NOTE_OFF,
	     .p_filesz = 40,
	     .p_memsz = 40},
	};
	u8 *n = out + RIG_ELF_NOTE_OFF;

	assert(RIG_ELF_SEGMENT_OFF + code_bytes <= RIG_IMAGE_MAX);
	memset(out, 0, RIG_IMAGE_MAX);
	memcpy(out, &h, sizeof(h));
	memcpy(out + sizeof(h), p, sizeof(p));
	/* a note of somebody else, then the one that is meant */
	put_le32(n, 4);
	put_le32(n + 4, 4);
	put_le32(n + 8, 1);
	memcpy(n + 12, "GNU", 4);
	put_le32(n + 20, 4);
	put_le32(n + 24, 4);
	put_le32(n + 28, 18);
	memcpy(n + 32, "Xen", 4);
	put_le32(n + 36, pvh_gpa);
	memcpy(out + RIG_ELF_SEGMENT_OFF, code, code_bytes);
	return RIG_ELF_SEGMENT_OFF + code_bytes;
}

const char *
rig_path(const char *name)
{
	static char path[512];
	const char *dir = getenv("TEST_TMP");

	snprintf(path, sizeof(path), "%s/%s", dir != NULL ? dir : "/tmp", name);
	return path;
}

const char *
rig_file(const char *name, const void *bytes, size_t count)
{
	const char *path = rig_path(name);
	FILE *f = fopen(path, "we");

	assert(f != NULL);
	if (fwrite(bytes, 1, count, f) != count || fclose(f) != 0)
		abort();
	return path;
}
