/* SPDX-License-Identifier: BSD-2-Clause */
/* boot_rig - kernel files for tests
 *
 * What:    builds small but valid bzImage and ELF64 files in memory, and puts
 *          files on disk.
 * Units:   bytes.
 * Owns:    rig_file() returns a static buffer; files lie in TEST_TMP.
 */
#ifndef TESTS_BOOT_RIG_H
#define TESTS_BOOT_RIG_H

#include "base/bits.h"

#define RIG_SETUP_BYTES	 1024 /* boot sector and one setup sector */
#define RIG_LOAD_GPA	 0x1000000
#define RIG_IMAGE_MAX	 0x4000
#define RIG_CMDLINE_SIZE 255

/* A bzImage whose 64-bit entry is code; returns its size. */
size_t rig_bzimage(u8 out[RIG_IMAGE_MAX], const u8 *code, size_t code_bytes);

/* An ELF64 kernel with one segment at RIG_LOAD_GPA that begins with code, the
 * entry, and has 4096 bytes of bss behind it. pvh_gpa != 0: with a PVH note. */
size_t rig_elf(u8 out[RIG_IMAGE_MAX], const u8 *code, size_t code_bytes,
	       u32 pvh_gpa);
#define RIG_ELF_SEGMENT_OFF 0x200
#define RIG_ELF_NOTE_OFF    0x100

/* A path in the test's own directory. */
const char *rig_path(const char *name);

/* Writes a file there, and returns its path. */
const char *rig_file(const char *name, const void *bytes, size_t count);

#endif
