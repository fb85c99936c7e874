/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sys_world.h"

GUEST_CODE(code_access, "mov 0x30000, %eax; movl $1, 0x30004; nop; hlt");
GUEST_CODE(code_enable, "mov %rax, %dr7; movl $1, 0x30000; nop; hlt");
GUEST_CODE(code_nops, "nop; nop; nop; hlt");
GUEST_CODE(code_stos, "rep stosb; hlt");
GUEST_CODE(code_push, "push %rax; nop; hlt");
GUEST_CODE(code_faults, "mov %rax, 0x30ffc; hlt");
GUEST_CODE(code_mov_ss, "mov 0x30000, %ss; inc %ebx; nop; hlt");

#define DR7_L(n)	    BIT(2 * (n))
#define DR7_TYPE(n, t, len) ((u64)((t) | (len) << 2) << (16 + 4 * (n)))
enum { FETCH = 0, WRITE = 1, ACCESS = 3 };
enum { LEN1 = 0, LEN2 = 1, LEN8 = 2, LEN4 = 3 };

static void
watch(struct sys_world *w, unsigned n, u64 at, unsigned type, unsigned len)
{
	w->s.dr[n] = at;
	w->s.dr[7] |= DR7_L(n) | DR7_TYPE(n, type, len);
}

/* The run ends in #DB at W_CODE + off with these bits in DR6. */
static void
expect_debug(struct sys_world *w, unsigned off, u64 bits)
{
	struct sys_frame f;

	sys_world_run(w);
	f = sys_world_event(w, EXC_DB, false);
	assert_int_equal(f.rip, W_CODE + off);
	assert_int_equal(w->s.dr[6] & 0xe00f, bits);
}

static void
test_sys_debug_write_watch_traps_after_the_store(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_access);
	watch(w, 1, W_DATA + 4, WRITE, LEN4);
	watch(w, 2, W_DATA, WRITE, LEN4); /* read only: no match */
	expect_debug(w, 18, 2);
	assert_int_equal(get_le32(w->ram + W_DATA + 4), 1);
}

static void
test_sys_debug_access_watch_sees_reads_that_overlap(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_access);
	watch(w, 0, W_DATA + 3, ACCESS, LEN1);
	watch(w, 3, W_DATA, ACCESS, LEN8);
	expect_debug(w, 7, 9);
}

static void
test_sys_debug_ignores_what_lies_beside_and_what_is_off(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_access);
	watch(w, 0, W_DATA + 8, ACCESS, LEN8);
	watch(w, 1, W_DATA - 1, ACCESS, LEN1);
	w->s.dr[2] = W_DATA;
	w->s.dr[7] |= DR7_TYPE(2, ACCESS, LEN4);
	sys_world_expect_halt(w);
}

static void
test_sys_debug_fetch_breakpoint_faults_before_and_rf_holds_it_off(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_nops);
	watch(w, 0, W_CODE + 1, FETCH, LEN1);
	expect_debug(w, 1, 1);
	w->s.rip = W_CODE + 1;
	w->s.gpr[RSP] = W_STACK;
	w->s.rflags = FL_RF;
	sys_world_expect_halt(w);
}

static void
test_sys_debug_dr7_counts_from_the_next_instruction(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_enable);
	w->s.dr[0] = W_DATA;
	w->s.gpr[RAX] = DR7_L(0) | DR7_TYPE(0, WRITE, LEN4);
	expect_debug(w, 14, 1);
}

static void
test_sys_debug_string_traps_between_elements(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_stos);
	watch(w, 0, W_DATA + 2, WRITE, LEN1);
	w->s.gpr[RDI] = W_DATA;
	w->s.gpr[RCX] = 6;
	expect_debug(w, 0, 1);
	assert_int_equal(w->s.gpr[RCX], 3);
}

static void
test_sys_debug_joins_a_single_step(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_push);
	watch(w, 0, W_STACK - 8, WRITE, LEN8);
	w->s.rflags = FL_TF;
	expect_debug(w, 1, 1 | BIT(14));
}

/* An access that faults was none. */
static void
test_sys_debug_fault_reports_no_watch(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_faults);
	sys_world_pte(w, W_DATA + 0x1000, 0);
	watch(w, 0, W_DATA + 0xffc, WRITE, LEN4);
	sys_world_run(w);
	sys_world_event(w, EXC_PF, true);
	assert_int_equal(w->s.dr[6] & 15, 0);
}

static void
test_sys_debug_mov_ss_holds_the_trap_for_one_instruction(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_mov_ss);
	put_le16(w->ram + W_DATA, W_DS);
	watch(w, 0, W_DATA, ACCESS, LEN2);
	expect_debug(w, 9, 1);
	assert_int_equal(w->s.gpr[RBX], 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_sys_debug_write_watch_traps_after_the_store),
	    WORLD_TEST(test_sys_debug_access_watch_sees_reads_that_overlap),
	    WORLD_TEST(test_sys_debug_ignores_what_lies_beside_and_what_is_off),
	    WORLD_TEST(
		test_sys_debug_fetch_breakpoint_faults_before_and_rf_holds_it_off),
	    WORLD_TEST(test_sys_debug_dr7_counts_from_the_next_instruction),
	    WORLD_TEST(test_sys_debug_string_traps_between_elements),
	    WORLD_TEST(test_sys_debug_joins_a_single_step),
	    WORLD_TEST(test_sys_debug_fault_reports_no_watch),
	    WORLD_TEST(
		test_sys_debug_mov_ss_holds_the_trap_for_one_instruction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
