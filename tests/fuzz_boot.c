/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_boot - any bytes as a kernel file
 *
 * The first byte chooses: bit 0 whether 32-bit mode is there, bit 1 an initrd.
 * The rest is the file. Whatever it is, the outcome is a processor that starts
 * inside guest memory, or one sentence.
 */
#include <ctype.h>

#include "vmm/boot.h"

#define GUEST_BYTES (48ULL << 20)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void
check_sentence(const struct err *e)
{
	size_t n = strnlen(e->text, sizeof(e->text));

	assert(n > 0 && n < sizeof(e->text));
	for (size_t i = 0; i < n; i++)
		assert(isprint((unsigned char)e->text[i]));
}

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct ram ram;
	struct boot_file kernel = {.path = "kernel", .fd = -1};
	struct boot_file initrd = {.path = "initrd",
				   .fd = -1,
				   .bytes = (const u8 *)"initrd",
				   .size_bytes = 6};
	struct boot_job job = {.ram = &ram,
			       .kernel = &kernel,
			       .cmdline = "a=b",
			       .rsdp_gpa = 1};
	struct cpu_state s;
	struct err e = {""};
	int rc;

	if (ram.host == NULL) {
		rc = ram_init(&ram, GUEST_BYTES, &e);
		assert(rc == 0);
	}
	if (size < 2) /* an empty file does not get this far */
		return 0;
	kernel.bytes = data + 1;
	kernel.size_bytes = size - 1;
	if (data[0] & 2)
		job.initrd = &initrd;
	rc = boot_load_job(&job, data[0] & 1, &s, &e);
	if (rc == 0)
		assert(ram_at(&ram, s.rip, 1) != NULL && e.text[0] == 0);
	else
		check_sentence(&e);
	ram_clear(&ram);
	return 0;
}
