/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sys_world.h"

#define EXT		  1u
#define IDT_ERROR(vector) ((vector)*8u + 2)
#define GATE_INT	  0x8eu
#define GATE_TRAP	  0x8fu

GUEST_CODE(code_int3, "nop; int3");
GUEST_CODE(code_int80, "int $0x80");
GUEST_CODE(code_int81, "int $0x81");
GUEST_CODE(code_icebp, ".byte 0xf1");
GUEST_CODE(code_ud2, "nop; ud2");
GUEST_CODE(code_nops, "nop; nop; nop");
GUEST_CODE(code_read, "mov 0x30000, %rax");
GUEST_CODE(code_write, "mov %rax, 0x30000");
GUEST_CODE(code_bad_read, "mov (%rbx), %rax");
GUEST_CODE(code_div, "xor %ecx, %ecx; div %ecx");
GUEST_CODE(code_dr7, "mov %rax, %dr7");
GUEST_CODE(code_into, ".code32; mov $0x7fffffff, %eax; inc %eax; into");
GUEST_CODE(code_into_alone, ".code32; into");
GUEST_CODE(code_int32, ".code32; int $0x80");
GUEST_CODE(code_iretq, "iretq");
GUEST_CODE(code_sti_hlt, "sti; hlt");

/* --- the frame -------------------------------------------------------- */

static void
test_sys_event_pushes_an_aligned_frame_of_five(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_int3);
	w->s.gpr[RSP] = W_STACK - 3;
	w->s.rflags = FL_IF | FL_CF | FL_ZF | FL_NT | FL_AC;
	sys_world_run(w);
	f = sys_world_event(w, EXC_BP, false);
	assert_int_equal(w->s.gpr[R15], W_STACK - 16 - 40);
	assert_int_equal(w->s.gpr[RSP], w->s.gpr[R15]);
	assert_int_equal(f.rip, W_CODE + 2);
	assert_int_equal(f.cs, W_CS64);
	assert_int_equal(f.rflags,
			 FL_ONE | FL_IF | FL_CF | FL_ZF | FL_NT | FL_AC);
	assert_int_equal(f.rsp, W_STACK - 3);
	assert_int_equal(f.ss, W_DS);
	assert_int_equal(w->s.rflags, FL_ONE | FL_CF | FL_ZF | FL_AC);
	assert_int_equal(w->s.seg[SEG_SS].sel, W_DS);
}

static void
test_sys_event_keeps_if_through_a_trap_gate(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_int3);
	sys_world_gate(w, EXC_BP, W_CS64, GATE_TRAP, 0);
	w->s.rflags = FL_IF;
	sys_world_run(w);
	sys_world_event(w, EXC_BP, false);
	assert_int_equal(w->s.rflags, FL_ONE | FL_IF);
}

static void
test_sys_event_faults_push_rf_and_their_own_address(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_ud2);
	sys_world_run(w);
	f = sys_world_event(w, EXC_UD, false);
	assert_int_equal(f.rip, W_CODE + 1);
	assert_int_equal(f.rflags, FL_ONE | FL_RF);
	assert_int_equal(w->s.rflags & FL_RF, 0);
}

static void
test_sys_event_takes_rsp0_and_a_null_ss_from_cpl3(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_int80);
	sys_world_user(w);
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(w->s.gpr[R15], W_STACK0 - 40);
	assert_int_equal(f.rip, W_CODE + 2);
	assert_int_equal(f.cs, W_USER_CS64);
	assert_int_equal(f.ss, W_USER_DS);
	assert_int_equal(f.rsp, W_STACK);
	assert_int_equal(w->s.seg[SEG_CS].sel, W_CS64);
	assert_int_equal(w->s.seg[SEG_SS].sel, 0);
	assert_true(w->s.seg[SEG_SS].attr & ATTR_UNUSABLE);
}

static void
test_sys_event_takes_an_inner_level_other_than_0(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_int81);
	sys_world_user(w);
	sys_world_gdt(w, W_SPARE,
		      sys_world_desc(0, 0xfffff, W_CODE64 | W_DPL(1)));
	sys_world_gate(w, 0x81, W_SPARE, 0xee, 0);
	/* HLT is not allowed there: the second event comes from level 1 */
	sys_world_run(w);
	sys_world_event(w, EXC_GP, true);
	assert_int_equal(get_le64(w->ram + W_STACK0 - 32), W_SPARE | 1);
	assert_int_equal(get_le64(w->ram + W_STACK0 - 8), 1);
	assert_int_equal(get_le64(w->ram + W_STACK1 - 40), W_CODE + 2);
}

static void
test_sys_event_switches_to_the_ist_without_leaving_ss(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_int3);
	sys_world_gate(w, EXC_BP, W_CS64, GATE_INT, 1);
	sys_world_run(w);
	f = sys_world_event(w, EXC_BP, false);
	assert_int_equal(w->s.gpr[R15], W_IST1 - 40);
	assert_int_equal(f.rsp, W_STACK);
	assert_int_equal(w->s.seg[SEG_SS].sel, W_DS);
}

static void
test_sys_event_stays_at_cpl3_in_a_conforming_handler(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_int80);
	sys_world_user(w);
	sys_world_gdt(w, W_SPARE, sys_world_desc(0, 0xfffff, W_CODE64 | 4));
	sys_world_gate(w, 0x80, W_SPARE, 0xee, 0);
	sys_world_run(w);
	/* its HLT faults, at CPL 3 */
	sys_world_event(w, EXC_GP, true);
	assert_int_equal(get_le64(w->ram + W_STACK - 40), W_CODE + 2);
	assert_int_equal(get_le64(w->ram + W_STACK0 - 32), W_SPARE | 3);
}

static void
test_sys_event_from_compat_mode_pushes_64_bit_items(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_int32);
	sys_world_user32(w);
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(w->s.gpr[R15], W_STACK0 - 40);
	assert_int_equal(f.cs, W_USER_CS32);
	assert_int_equal(f.rip, W_CODE + 2);
}

/* --- gates that refuse ------------------------------------------------ */

static void
test_sys_event_int_n_needs_the_gate_to_allow_it(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_int80);
	sys_world_user(w);
	sys_world_gate(w, 0x80, W_CS64, GATE_INT, 0);
	sys_world_expect_fault(w, EXC_GP, IDT_ERROR(0x80), 0);
}

/* The address pushed is an offset in CS. */
static void
test_sys_event_from_compat_mode_pushes_an_offset(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_int32);
	sys_world_user32(w);
	w->s.seg[SEG_CS].base = W_CODE - 0x100;
	w->s.rip = 0x100;
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(f.rip, 0x102);
}

static void
test_sys_event_icebp_needs_no_permission(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_icebp);
	sys_world_user(w);
	sys_world_run(w);
	f = sys_world_event(w, EXC_DB, false);
	assert_int_equal(f.rip, W_CODE + 1);
	assert_int_equal(w->s.dr[6], 0xffff0ff0);
}

static void
test_sys_event_names_the_gate_that_is_absent(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_int80);
	sys_world_gate(w, 0x80, W_CS64, GATE_INT & 0x7f, 0);
	sys_world_expect_fault(w, EXC_NP, IDT_ERROR(0x80), 0);
}

static void
test_sys_event_sets_ext_when_hardware_met_the_gate(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_ud2);
	sys_world_gate(w, EXC_UD, W_CS64, GATE_INT & 0x7f, 0);
	sys_world_expect_fault(w, EXC_NP, IDT_ERROR(EXC_UD) | EXT, 1);
}

static void
test_sys_event_refuses_other_gate_types(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_int80);
	for (unsigned type = 0; type < 32; type++) {
		if (type == 14 || type == 15)
			continue;
		w->s.rip = W_CODE;
		w->s.gpr[RSP] = W_STACK;
		sys_world_gate(w, 0x80, W_CS64, (u8)(0xe0 | type), 0);
		sys_world_expect_fault(w, EXC_GP, IDT_ERROR(0x80), 0);
	}
}

static void
test_sys_event_refuses_vectors_beyond_the_idt(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_int80);
	w->s.idt.limit_bytes = 0x80 * 16 + 14;
	sys_world_expect_fault(w, EXC_GP, IDT_ERROR(0x80), 0);
	sys_world_code(w, code_int80);
	w->s.rip = W_CODE;
	w->s.idt.limit_bytes++;
	sys_world_run(w);
	sys_world_event(w, 0x80, false);
}

static void
test_sys_event_refuses_handlers_that_are_no_64_bit_code(void **state)
{
	static const struct {
		u32 attr;
		u8 vector;
	} rows[] = {
	    {W_DATA_RW, EXC_GP},	   {W_CODE32, EXC_GP},
	    {W_CODE64 | 0x4000, EXC_GP},   {W_CODE64 & ~0x80u, EXC_NP},
	    {W_CODE64 | W_DPL(1), EXC_GP}, {W_CODE64 | W_DPL(3) | 4, EXC_GP},
	    {0x8b, EXC_GP} /* a TSS */,
	};
	struct sys_world *w = *state;

	sys_world_code(w, code_int80);
	sys_world_gate(w, 0x80, W_SPARE, 0xee, 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		w->s.rip = W_CODE;
		w->s.gpr[RSP] = W_STACK;
		sys_world_gdt(w, W_SPARE,
			      sys_world_desc(0, 0xfffff, rows[i].attr));
		sys_world_expect_fault(w, rows[i].vector, W_SPARE, 0);
	}
}

static void
test_sys_event_refuses_a_handler_beyond_the_address_space(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_int80);
	put_le32(w->ram + W_IDT + 0x80 * 16 + 8, 0x8000);
	sys_world_expect_fault(w, EXC_GP, 0, 0);
}

/* The processor's own reads and pushes are supervisor accesses. */
static void
test_sys_event_tables_may_be_hidden_from_users(void **state)
{
	static const u32 pages[] = {W_GDT, W_IDT, W_TSS, W_STACK0 - 0x1000};
	struct sys_world *w = *state;

	sys_world_code(w, code_int80);
	sys_world_user(w);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		sys_world_pte(w, pages[i], pages[i] | 3);
	sys_world_run(w);
	sys_world_event(w, 0x80, false);
}

/* All ones make no gate. */
static void
test_sys_event_tables_on_a_device_shut_down(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_int80);
	w->s.idt.base = W_MMIO;
	assert_int_equal(sys_world_run(w), HV_EXIT_SHUTDOWN);
	sys_world_close(w);
	world_setup(state);
	sys_world_code(w, code_int80);
	w->s.gdt.base = W_MMIO;
	assert_int_equal(sys_world_run(w), HV_EXIT_SHUTDOWN);
}

/* Whatever is pushed to a device is lost, and nothing else happens. */
static void
test_sys_event_stack_on_a_device_keeps_nothing(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_int80);
	w->s.gpr[RSP] = W_MMIO + 0x800;
	assert_int_equal(sys_world_run(w), HV_EXIT_HLT);
	assert_int_equal(w->s.gpr[R14], 0x80);
	assert_int_equal(w->s.gpr[R15], W_MMIO + 0x800 - 40);
}

static void
test_sys_event_refuses_null_and_foreign_selectors(void **state)
{
	static const struct {
		u16 sel;
		u32 error;
	} rows[] = {{0, 0},
		    {3, 0},
		    {W_GDT_BYTES, W_GDT_BYTES},
		    {0x1007, 0x1004}};
	struct sys_world *w = *state;

	sys_world_code(w, code_int80);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		w->s.rip = W_CODE;
		w->s.gpr[RSP] = W_STACK;
		sys_world_gate(w, 0x80, rows[i].sel, 0xee, 0);
		sys_world_expect_fault(w, EXC_GP, rows[i].error, 0);
	}
}

static void
test_sys_event_marks_the_handler_segment_accessed(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_int3);
	sys_world_gdt(w, W_SPARE, sys_world_desc(0, 0xfffff, W_CODE64 & ~1u));
	sys_world_gate(w, EXC_BP, W_SPARE, GATE_INT, 0);
	sys_world_run(w);
	sys_world_event(w, EXC_BP, false);
	assert_int_equal(w->ram[W_GDT + W_SPARE + 5], 0x9b);
	assert_int_equal(w->s.seg[SEG_CS].attr & 1, 1);
}

static void
test_sys_event_refuses_a_tss_that_is_too_short(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_int80);
	sys_world_gate(w, 0x80, W_CS64, 0xee, 7);
	w->s.tr.limit_bytes = 0x5a;
	sys_world_expect_fault(w, EXC_TS, W_TR, 0);
	w->s.tr.limit_bytes = 0x5b; /* IST7 fits, and is 0 */
	w->s.rip = W_CODE;
	w->s.gpr[RSP] = W_STACK;
	sys_world_gate(w, EXC_SS, W_CS64, GATE_INT, 1);
	put_le64(w->ram + W_TSS + 0x24 + 6 * 8, BIT(63));
	sys_world_expect_fault(w, EXC_SS, 0, 0);
	/* the same on the way of something that no program asked for */
	w->s.rip = W_CODE;
	w->s.gpr[RSP] = W_STACK;
	sys_world_code(w, code_ud2);
	sys_world_gate(w, EXC_UD, W_CS64, GATE_INT, 7);
	sys_world_expect_fault(w, EXC_SS, EXT, 1);
}

/* --- faults on the way ------------------------------------------------ */

static void
test_sys_event_page_fault_sets_cr2_and_its_code(void **state)
{
	static const struct {
		u64 pte;
		bool write, user;
		u32 error;
	} rows[] = {
	    {0, false, false, 0},
	    {0, true, false, 2},
	    {0, false, true, 4},
	    {0, true, true, 6},
	    {3, false, true, 5},
	    {3, true, true, 7},
	    {5, true, true, 7},
	    {5, true, false, 3},
	    {7 | BIT(50), false, false, 9},
	};
	struct sys_world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		sys_world_close(w);
		sys_world_open(w);
		if (rows[i].write)
			sys_world_code(w, code_write);
		else
			sys_world_code(w, code_read);
		if (rows[i].user)
			sys_world_user(w);
		sys_world_pte(w, W_DATA,
			      rows[i].pte ? W_DATA | rows[i].pte : 0);
		sys_world_expect_fault(w, EXC_PF, rows[i].error, 0);
		assert_int_equal(w->s.cr2, W_DATA);
	}
}

static void
test_sys_event_two_contributory_faults_make_a_double_fault(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_bad_read);
	w->s.gpr[RBX] = BIT(63);
	sys_world_gate(w, EXC_GP, W_CS64, GATE_INT & 0x7f, 0);
	sys_world_expect_fault(w, EXC_DF, 0, 0);
}

static void
test_sys_event_page_fault_in_page_fault_is_double(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_bad_read);
	w->s.gpr[RBX] = W_DATA;
	w->s.gpr[RSP] = W_DATA + 0x1000;
	sys_world_pte(w, W_DATA, 0);
	sys_world_gate(w, EXC_DF, W_CS64, GATE_INT, 1);
	sys_world_run(w);
	f = sys_world_event(w, EXC_DF, true);
	assert_int_equal(f.error, 0);
	assert_int_equal(f.rip, W_CODE);
	assert_int_equal(f.rflags & FL_RF, 0);
	assert_int_equal(w->s.gpr[R15], W_IST1 - 48);
	assert_int_equal(w->s.cr2, W_DATA + 0x1000 - 48);
}

/* A page fault on the way to a contributory one comes in its place; a
 * contributory one on the way to a page fault is double. */
static void
test_sys_event_order_decides_between_page_and_double_fault(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_div);
	w->s.gpr[RSP] = W_DATA + 0x1000;
	sys_world_pte(w, W_DATA, 0);
	sys_world_gate(w, EXC_PF, W_CS64, GATE_INT, 1);
	sys_world_expect_fault(w, EXC_PF, 2, 2);
	assert_int_equal(w->s.cr2, W_DATA + 0x1000 - 40);

	w->s.rip = W_CODE;
	w->s.gpr[RSP] = W_STACK;
	sys_world_code(w, code_read);
	sys_world_gate(w, EXC_PF, 0, GATE_INT, 0);
	sys_world_expect_fault(w, EXC_DF, 0, 0);
	assert_int_equal(w->s.cr2, W_DATA);
}

static void
test_sys_event_benign_then_fault_delivers_the_fault(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_ud2);
	sys_world_gate(w, EXC_UD, W_SPARE, GATE_INT, 0);
	sys_world_expect_fault(w, EXC_GP, W_SPARE | EXT, 1);
}

static void
test_sys_event_third_fault_shuts_down(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_ud2);
	w->s.idt.limit_bytes = 0;
	assert_int_equal(sys_world_run(w), HV_EXIT_SHUTDOWN);
	assert_int_equal(w->s.rip, W_CODE + 1);
	assert_int_equal(w->s.gpr[RSP], W_STACK);
	assert_int_equal(w->s.seg[SEG_CS].sel, W_CS64);
}

/* An event's frame that cannot be written leaves no part of itself behind. */
static void
test_sys_event_frame_is_written_whole_or_not(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_int80);
	w->s.gpr[RSP] = W_DATA + 0x1010;
	sys_world_pte(w, W_DATA, 0);
	sys_world_gate(w, EXC_PF, W_CS64, GATE_INT, 1);
	memset(w->ram + W_DATA + 0xfc0, 0x5a, 0x80);
	sys_world_run(w);
	sys_world_event(w, EXC_PF, true);
	assert_int_equal(w->s.cr2, W_DATA + 0x1010 - 40);
	for (unsigned i = 0xfc0; i < 0x1040; i++)
		assert_int_equal(w->ram[W_DATA + i], 0x5a);
}

/* --- debug ------------------------------------------------------------ */

static void
test_sys_event_single_step_sets_bs_and_clears_tf(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_nops);
	w->s.rflags = FL_TF;
	w->s.dr[7] = 0x400;
	sys_world_run(w);
	f = sys_world_event(w, EXC_DB, false);
	assert_int_equal(f.rip, W_CODE + 1);
	assert_int_equal(f.rflags, FL_ONE | FL_TF);
	assert_int_equal(w->s.rflags, FL_ONE);
	assert_int_equal(w->s.dr[6], 0xffff4ff0);
}

static void
test_sys_event_general_detect_guards_debug_registers(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_dr7);
	w->s.dr[7] = 0x2400;
	sys_world_expect_fault(w, EXC_DB, 0, 0);
	assert_int_equal(w->s.dr[6], 0xffff2ff0);
	assert_int_equal(w->s.dr[7], 0x400);
}

static void
test_sys_event_into_traps_on_overflow(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_into);
	sys_world_kernel32(w);
	sys_world_run(w);
	f = sys_world_event(w, EXC_OF, false);
	assert_int_equal(f.rip, W_CODE + 7);
}

static void
test_sys_event_into_does_nothing_else(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_into_alone);
	sys_world_kernel32(w);
	w->s.rflags = FL_CF;
	sys_world_expect_halt(w);
	assert_int_equal(w->s.rip, W_CODE + 2);
}

/* --- from outside ----------------------------------------------------- */

static void
test_sys_event_interrupt_ends_a_halt(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_sti_hlt);
	sys_world_expect_halt(w);
	assert_true(w->hv->ops->irq_ready(w->hv));
	w->hv->ops->interrupt(w->hv, 0x40);
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
	f = sys_world_event(w, 0x40, false);
	assert_int_equal(f.rip, W_CODE + 2);
	assert_int_equal(f.rflags, FL_ONE | FL_IF);
	assert_int_equal(w->s.rflags, FL_ONE);
	assert_false(w->hv->ops->irq_ready(w->hv));
}

/* Vector 14 from outside is no page fault: no error code, CR2 stays, and what
 * goes wrong on its way is not a double fault. */
static void
test_sys_event_interrupt_is_benign_whatever_its_vector(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_sti_hlt);
	w->s.cr2 = 0x1234;
	sys_world_expect_halt(w);
	w->hv->ops->interrupt(w->hv, EXC_PF);
	sys_world_go_on(w);
	sys_world_event(w, EXC_PF, false);
	assert_int_equal(w->s.gpr[R15], W_STACK - 40);
	assert_int_equal(w->s.cr2, 0x1234);

	w->s.rip = W_CODE;
	sys_world_gate(w, EXC_PF, W_CS64, GATE_INT & 0x7f, 0);
	sys_world_expect_halt(w);
	w->hv->ops->interrupt(w->hv, EXC_PF);
	sys_world_go_on(w);
	assert_int_equal(sys_world_event(w, EXC_NP, true).error,
			 IDT_ERROR(EXC_PF) | EXT);
}

static void
test_sys_event_nmi_waits_for_iret(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_nops);
	sys_world_expect_halt(w);
	w->hv->ops->nmi(w->hv);
	sys_world_go_on(w);
	sys_world_event(w, EXC_NMI, false);
	assert_true(w->s.nmi_masked);

	/* a second one during the handler does not get through */
	w->hv->ops->nmi(w->hv);
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
	assert_int_equal(w->s.gpr[RSP], w->s.gpr[R15]);
	assert_true(w->s.nmi_pending);

	/* ... until the handler returns: to code that the second one hits
	 * before its first instruction */
	sys_world_code(w, code_iretq);
	w->s.rip = W_CODE;
	put_le64(w->ram + w->s.gpr[RSP], W_CODE + 0x100);
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, EXC_NMI, false).rip,
			 W_CODE + 0x100);
	assert_true(w->s.nmi_masked);
	assert_false(w->s.nmi_pending);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_sys_event_pushes_an_aligned_frame_of_five),
	    WORLD_TEST(test_sys_event_keeps_if_through_a_trap_gate),
	    WORLD_TEST(test_sys_event_faults_push_rf_and_their_own_address),
	    WORLD_TEST(test_sys_event_takes_rsp0_and_a_null_ss_from_cpl3),
	    WORLD_TEST(test_sys_event_takes_an_inner_level_other_than_0),
	    WORLD_TEST(test_sys_event_switches_to_the_ist_without_leaving_ss),
	    WORLD_TEST(test_sys_event_stays_at_cpl3_in_a_conforming_handler),
	    WORLD_TEST(test_sys_event_from_compat_mode_pushes_64_bit_items),
	    WORLD_TEST(test_sys_event_from_compat_mode_pushes_an_offset),
	    WORLD_TEST(test_sys_event_int_n_needs_the_gate_to_allow_it),
	    WORLD_TEST(test_sys_event_icebp_needs_no_permission),
	    WORLD_TEST(test_sys_event_names_the_gate_that_is_absent),
	    WORLD_TEST(test_sys_event_sets_ext_when_hardware_met_the_gate),
	    WORLD_TEST(test_sys_event_refuses_other_gate_types),
	    WORLD_TEST(test_sys_event_refuses_vectors_beyond_the_idt),
	    WORLD_TEST(test_sys_event_refuses_handlers_that_are_no_64_bit_code),
	    WORLD_TEST(test_sys_event_refuses_null_and_foreign_selectors),
	    WORLD_TEST(test_sys_event_marks_the_handler_segment_accessed),
	    WORLD_TEST(test_sys_event_refuses_a_tss_that_is_too_short),
	    WORLD_TEST(test_sys_event_page_fault_sets_cr2_and_its_code),
	    WORLD_TEST(
		test_sys_event_two_contributory_faults_make_a_double_fault),
	    WORLD_TEST(test_sys_event_page_fault_in_page_fault_is_double),
	    WORLD_TEST(
		test_sys_event_order_decides_between_page_and_double_fault),
	    WORLD_TEST(test_sys_event_benign_then_fault_delivers_the_fault),
	    WORLD_TEST(test_sys_event_third_fault_shuts_down),
	    WORLD_TEST(test_sys_event_frame_is_written_whole_or_not),
	    WORLD_TEST(test_sys_event_single_step_sets_bs_and_clears_tf),
	    WORLD_TEST(test_sys_event_general_detect_guards_debug_registers),
	    WORLD_TEST(test_sys_event_into_traps_on_overflow),
	    WORLD_TEST(test_sys_event_into_does_nothing_else),
	    WORLD_TEST(
		test_sys_event_refuses_a_handler_beyond_the_address_space),
	    WORLD_TEST(test_sys_event_tables_may_be_hidden_from_users),
	    WORLD_TEST(test_sys_event_tables_on_a_device_shut_down),
	    WORLD_TEST(test_sys_event_stack_on_a_device_keeps_nothing),
	    WORLD_TEST(test_sys_event_interrupt_ends_a_halt),
	    WORLD_TEST(test_sys_event_interrupt_is_benign_whatever_its_vector),
	    WORLD_TEST(test_sys_event_nmi_waits_for_iret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
