/* SPDX-License-Identifier: BSD-2-Clause */
/* A whole machine on a real driver, with guests of a few instructions. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/boot_rig.h"
#include "tests/vmm_rig.h"
#include "vmm/machine.h"

static u8 image[RIG_IMAGE_MAX];
static char kernel[512];
static struct machine_end end;
static struct machine_stats stats;
static const char *driver = "soft";

static u8 sent[64];
static size_t sent_count;

static void
sink(struct chardev *cd, const u8 *bytes, size_t count)
{
	(void)cd;
	assert_true(sent_count + count <= sizeof(sent));
	memcpy(sent + sent_count, bytes, count);
	sent_count += count;
}

static struct chardev console = {.write = sink};

static bool reboots;

/* Runs a guest whose 64-bit entry is code. */
static void
guest(const u8 *code, size_t code_bytes, bool no_lapic)
{
	struct machine_config cfg = {.memory_bytes = 32 << 20,
				     .driver = driver,
				     .kernel = kernel,
				     .no_reboot = !reboots,
				     .no_lapic = no_lapic,
				     .serial = {&console}};
	struct machine *m;
	struct err e = {""};
	int rc;

	snprintf(kernel, sizeof(kernel), "%s",
		 rig_file("machine-kernel", image,
			  rig_bzimage(image, code, code_bytes)));
	sent_count = 0;
	rc = machine_open(&m, &cfg, &e);
	unlink(kernel);
	if (strcmp(driver, "kvm") == 0 &&
	    (rc == -ENOENT || rc == -EACCES || rc == -ENOTSUP)) {
		print_message("skip: %s\n", e.text);
		skip();
	}
	if (rc != 0)
		print_message("%s\n", e.text);
	assert_int_equal(rc, 0);
	machine_run(m, &end);
	machine_stats(m, &stats);
	machine_close(m);
}

#define GUEST(no_lapic, ...) \
	do { \
		static const u8 code[] = {__VA_ARGS__}; \
		guest(code, sizeof(code), no_lapic); \
	} while (0)

/* The building blocks: OUT imm to a port, through DX. */
#define OUT(port, v) \
	0x66, 0xba, (port)&0xff, (port) >> 8, /* mov dx, port */ \
	    0xb0, (v),			      /* mov al, v */ \
	    0xee			      /* out dx, al */

static void
test_machine_prints_and_exits(void **state)
{
	(void)state;
	GUEST(false, OUT(0x3f8, 'h'), OUT(0x3f8, 'i'),
	      OUT(MACHINE_DEBUG_EXIT_PORT, 7));
	assert_int_equal(end.kind, MACHINE_DEBUG_EXIT);
	assert_int_equal(end.code, 7);
	assert_int_equal(sent_count, 2);
	assert_memory_equal(sent, "hi", 2);
	assert_true(stats.exits_io >= 3);
}

static void
test_machine_triple_fault_dumps_registers(void **state)
{
	(void)state;
	/* mov rax, 0x1122334455667788; ud2, with no IDT */
	GUEST(false, 0x48, 0xb8, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
	      0x0f, 0x0b);
	assert_int_equal(end.kind, MACHINE_TRIPLE_FAULT);
	assert_non_null(strstr(end.text, "rax 1122334455667788"));
	assert_non_null(strstr(end.text, "rip 000000000100020a"));
}

static void
test_machine_jump_to_nowhere_is_a_triple_fault(void **state)
{
	(void)state;
	/* mov rax, 0x800000000000 - 4096; jmp rax */
	GUEST(false, 0x48, 0xb8, 0x00, 0xf0, 0xff, 0xff, 0xff, 0x7f, 0x00, 0x00,
	      0xff, 0xe0);
	assert_int_equal(end.kind, MACHINE_TRIPLE_FAULT);
}

static void
test_machine_powers_off_and_reboots(void **state)
{
	(void)state;
	GUEST(false, OUT(0x605, 0x20), 0xf4);
	assert_int_equal(end.kind, MACHINE_POWEROFF);
	GUEST(false, OUT(0xcf9, 0x06), 0xf4);
	assert_int_equal(end.kind, MACHINE_REBOOT);
}

/* Reads the memory the VGA would have: nobody is there, all ones. */
static void
test_machine_absent_memory_reads_ones(void **state)
{
	(void)state;
	/* mov ebx, 0xb8000; mov al, [rbx]; mov edx, port; out dx, al */
	GUEST(false, 0xbb, 0x00, 0x80, 0x0b, 0x00, 0x8a, 0x03, 0x66, 0xba,
	      MACHINE_DEBUG_EXIT_PORT & 0xff, MACHINE_DEBUG_EXIT_PORT >> 8,
	      0xee);
	assert_int_equal(end.kind, MACHINE_DEBUG_EXIT);
	assert_int_equal(end.code, 0xff);
}

/* Builds an IDT entry for vector 20h at 2200h, sets up PIC and PIT, halts with
 * interrupts on. The handler exits with 9. */
__asm__(".pushsection .rodata\n"
	"timer_guest:\n"
	"	lea handler(%rip), %rax\n"
	"	mov $0x2200, %edi\n"
	"	mov %ax, (%rdi)\n"
	"	movw $0x10, 2(%rdi)\n"
	"	movw $0x8e00, 4(%rdi)\n"
	"	shr $16, %rax\n"
	"	mov %ax, 6(%rdi)\n"
	"	shr $16, %rax\n"
	"	mov %eax, 8(%rdi)\n"
	"	lidt idtr(%rip)\n"
	"	mov $0x3000, %esp\n"
	"	mov $0x11, %al; out %al, $0x20\n"
	"	mov $0x20, %al; out %al, $0x21\n"
	"	mov $0x04, %al; out %al, $0x21\n"
	"	mov $0x01, %al; out %al, $0x21\n"
	"	mov $0xfe, %al; out %al, $0x21\n"
	"	mov $0x30, %al; out %al, $0x43\n"
	"	mov $0x00, %al; out %al, $0x40\n"
	"	mov $0x08, %al; out %al, $0x40\n"
	"	sti\n"
	"1:	hlt\n"
	"	jmp 1b\n"
	"handler:\n"
	"	mov $0x501, %dx; mov $9, %al; out %al, %dx\n"
	"	hlt\n"
	"idtr:	.word 0xfff; .quad 0x2000\n"
	"timer_guest_end:\n"
	".popsection\n");
extern const u8 timer_guest[], timer_guest_end[];

static void
test_machine_timer_interrupt_wakes_hlt(void **state)
{
	(void)state;
	guest(timer_guest, (size_t)(timer_guest_end - timer_guest), false);
	assert_int_equal(end.kind, MACHINE_DEBUG_EXIT);
	assert_int_equal(end.code, 9);
}

static void
test_machine_timer_interrupt_wakes_hlt_without_lapic(void **state)
{
	(void)state;
	guest(timer_guest, (size_t)(timer_guest_end - timer_guest), true);
	assert_int_equal(end.kind, MACHINE_DEBUG_EXIT);
	assert_int_equal(end.code, 9);
}

/* CMOS memory survives a reset, nothing else does: the first time it is zero,
 * and the guest resets the machine; the second time it exits with 5. */
__asm__(".pushsection .rodata\n"
	"reset_guest:\n"
	"	mov $0x40, %al; out %al, $0x70\n"
	"	in $0x71, %al\n"
	"	test %al, %al\n"
	"	jnz 1f\n"
	"	mov $1, %al; out %al, $0x71\n"
	"	mov $0xcf9, %dx; mov $6, %al; out %al, %dx\n"
	"	ud2\n"
	"1:	mov $0x501, %dx; mov $5, %al; out %al, %dx\n"
	"	hlt\n"
	"reset_guest_end:\n"
	".popsection\n");
extern const u8 reset_guest[], reset_guest_end[];

static void
test_machine_starts_again_after_a_reset(void **state)
{
	(void)state;
	reboots = true;
	guest(reset_guest, (size_t)(reset_guest_end - reset_guest), false);
	assert_int_equal(end.kind, MACHINE_DEBUG_EXIT);
	assert_int_equal(end.code, 5);
}

static void
test_machine_unknown_driver_is_refused(void **state)
{
	struct machine_config cfg = {.memory_bytes = 32 << 20,
				     .driver = "warp",
				     .kernel = "/dev/null"};
	struct machine *m = NULL;
	struct err e = {""};

	(void)state;
	assert_int_equal(machine_open(&m, &cfg, &e), -EINVAL);
	assert_non_null(strstr(e.text, "warp"));
	assert_null(m);
}

static int
use_kvm(void **state)
{
	(void)state;
	reboots = false;
	driver = "kvm";
	return 0;
}

static int
use_soft(void **state)
{
	(void)state;
	reboots = false;
	driver = "soft";
	return 0;
}

#define EVERY(use) \
	cmocka_unit_test_setup(test_machine_prints_and_exits, use), \
	    cmocka_unit_test_setup(test_machine_triple_fault_dumps_registers, \
				   use), \
	    cmocka_unit_test_setup( \
		test_machine_jump_to_nowhere_is_a_triple_fault, use), \
	    cmocka_unit_test_setup(test_machine_powers_off_and_reboots, use), \
	    cmocka_unit_test_setup(test_machine_starts_again_after_a_reset, \
				   use), \
	    cmocka_unit_test_setup(test_machine_absent_memory_reads_ones, \
				   use), \
	    cmocka_unit_test_setup(test_machine_timer_interrupt_wakes_hlt, \
				   use), \
	    cmocka_unit_test_setup( \
		test_machine_timer_interrupt_wakes_hlt_without_lapic, use)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    EVERY(use_soft),
	    EVERY(use_kvm),
	    cmocka_unit_test_setup(test_machine_unknown_driver_is_refused,
				   use_soft),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
