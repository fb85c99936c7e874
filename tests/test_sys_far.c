/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sys_world.h"

#define TARGET	 0x10100u /* inside the code area: HLT, or INT 80h for users */
#define NONCANON 0x800000000000ULL

GUEST_CODE(code_iretq, "iretq");
GUEST_CODE(code_iretd, "iretl");
GUEST_CODE(code_iretw, "iretw");
GUEST_CODE(code_iretd32, ".code32; iretl");
GUEST_CODE(code_lretq, "lretq");
GUEST_CODE(code_lretq_imm, "lretq $0x20");
GUEST_CODE(code_lretl, "lretl");
GUEST_CODE(code_lretl32, ".code32; lretl $8");
GUEST_CODE(code_ljmp, "ljmpl *0x30000");
GUEST_CODE(code_ljmpq, "rex64 ljmpl *0x30000");
GUEST_CODE(code_lcall, "lcall *0x30000");
GUEST_CODE(code_lcallq, "rex64 lcall *0x30000");
GUEST_CODE(code_ljmp32, ".code32; ljmp $0x10, $0x10100");
GUEST_CODE(code_lcall32, ".code32; lcall $0x10, $0x10100");
GUEST_CODE(code_lcall16, ".code32; lcallw $0x10, $0x1234");
GUEST_CODE(code_int80, "int $0x80");
GUEST_CODE(code_mode, ".byte 0x48, 0xff, 0xc0; int $0x80");
GUEST_CODE(code_call_iretq, "call *%rbx; iretq");
GUEST_CODE(code_jmp_rbx, "jmp *%rbx");
GUEST_CODE(code_mark, "inc %rbx; int $0x80");

static int
setup(void **state)
{
	struct sys_world *w;

	world_setup(state);
	w = *state;
	sys_world_place(w, TARGET, code_int80, code_int80_end);
	return 0;
}

/* Lays a frame for IRETQ at the top of the stack. */
static void
push_iretq(struct sys_world *w, u64 rip, u16 cs, u64 rflags, u64 rsp, u16 ss)
{
	u8 *at = w->ram + W_STACK - 40;

	w->s.gpr[RSP] = W_STACK - 40;
	w->s.rip = W_CODE;
	put_le64(at, rip);
	put_le64(at + 8, cs);
	put_le64(at + 16, rflags);
	put_le64(at + 24, rsp);
	put_le64(at + 32, ss);
}

/* m16:32 and m16:64 of the far jump and call tests. */
static void
put_pointer(struct sys_world *w, u64 ip, unsigned bytes, u16 sel)
{
	w->s.rip = W_CODE;
	memcpy(w->ram + W_DATA, &ip, bytes);
	put_le16(w->ram + W_DATA + bytes, sel);
}

/* --- IRET ------------------------------------------------------------- */

static void
test_sys_far_iretq_reaches_user_code(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_iretq);
	push_iretq(w, TARGET, W_USER_CS64,
		   FL_IF | FL_CF | FL_RF | FL_VM | FL_AC | FL_ID, 0x30ff1,
		   W_USER_DS);
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(f.rip, TARGET + 2);
	assert_int_equal(f.cs, W_USER_CS64);
	assert_int_equal(f.rflags, FL_ONE | FL_IF | FL_CF | FL_AC | FL_ID);
	assert_int_equal(f.rsp, 0x30ff1);
	assert_int_equal(f.ss, W_USER_DS);
	assert_int_equal(w->s.gpr[R15], W_STACK0 - 40);
}

/* Segments that CPL 3 may not use become null; those that are null already
 * keep the base that an MSR gave them. */
static void
test_sys_far_outer_return_drops_inner_segments(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_iretq);
	w->s.seg[SEG_ES].attr |= W_DPL(3);
	w->s.seg[SEG_FS].attr = 0xc09f; /* conforming code */
	w->s.seg[SEG_GS] =
	    (struct cpu_seg){.base = 0x123456789000, .attr = ATTR_UNUSABLE};
	push_iretq(w, TARGET, W_USER_CS64, 0, W_STACK, W_USER_DS);
	sys_world_run(w);
	sys_world_event(w, 0x80, false);
	assert_int_equal(w->s.seg[SEG_ES].sel, W_DS);
	assert_int_equal(w->s.seg[SEG_DS].sel, 0);
	assert_true(w->s.seg[SEG_DS].attr & ATTR_UNUSABLE);
	assert_int_equal(w->s.seg[SEG_FS].sel, W_DS);
	assert_int_equal(w->s.seg[SEG_GS].base, 0x123456789000);
}

static void
test_sys_far_iretq_reaches_compat_code(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_iretq);
	push_iretq(w, TARGET, W_USER_CS32, 0, 0xffff00000000ULL + W_STACK,
		   W_USER_DS);
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(f.rip, TARGET + 2);
	assert_int_equal(f.cs, W_USER_CS32);
	assert_int_equal(f.rsp, W_STACK);
}

/* A 16-bit SS takes only SP; the rest of RSP stays. */
static void
test_sys_far_iretq_to_a_16_bit_stack_moves_sp_only(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_iretq);
	sys_world_gdt(w, W_SPARE, sys_world_desc(0, 0xffff, 0x93 | W_DPL(3)));
	push_iretq(w, TARGET, W_USER_CS32, 0, 0xabcd1234, W_SPARE | 3);
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).rsp,
			 ((W_STACK - 40) & ~0xffffu) | 0x1234);
}

static void
test_sys_far_iretq_at_cpl0_may_have_a_null_ss(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_iretq);
	push_iretq(w, TARGET, W_CS64, 0, W_STACK - 0x100, 0);
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).ss, 0);
	assert_int_equal(w->s.gpr[R15], W_STACK - 0x100 - 40);
	/* to compatibility mode not */
	push_iretq(w, TARGET, W_CS32, 0, W_STACK, 0);
	sys_world_expect_fault(w, EXC_GP, 0, 0);
	/* to CPL 3 not */
	push_iretq(w, TARGET, W_USER_CS64, 0, W_STACK, 3);
	sys_world_expect_fault(w, EXC_GP, 0, 0);
}

static void
test_sys_far_iret_narrow_forms_pop_five_items(void **state)
{
	struct sys_world *w = *state;
	static const u32 frame32[5] = {TARGET, W_USER_CS64, FL_CF | FL_AC,
				       0x30abc, W_USER_DS};
	static const u16 frame16[5] = {0x8100, W_USER_CS64, FL_CF, 0xabc0,
				       W_USER_DS};
	struct sys_frame f;

	sys_world_code(w, code_iretd);
	memcpy(w->ram + W_STACK - 20, frame32, 20);
	w->s.gpr[RSP] = W_STACK - 20;
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(f.rsp, 0x30abc);
	assert_int_equal(f.rflags, FL_ONE | FL_CF | FL_AC);

	sys_world_close(w);
	setup(state);
	sys_world_place(w, 0x8100, code_int80, code_int80_end);
	sys_world_code(w, code_iretw);
	memcpy(w->ram + W_STACK - 10, frame16, 10);
	w->s.gpr[RSP] = W_STACK - 10;
	w->s.rflags = FL_ID; /* bits above 15 stay */
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(f.rip, 0x8102);
	assert_int_equal(f.rsp, 0xabc0);
	assert_int_equal(f.rflags, FL_ONE | FL_CF | FL_ID);
}

static void
test_sys_far_iret_in_compat_mode_pops_ss_only_outward(void **state)
{
	struct sys_world *w = *state;
	static const u32 frame[5] = {TARGET, W_CS32, FL_CF, 0x30abc, W_USER_DS};
	struct sys_frame f;

	sys_world_code(w, code_iretd32);
	sys_world_kernel32(w);
	memcpy(w->ram + W_STACK - 20, frame, 20);
	w->s.gpr[RSP] = W_STACK - 20;
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).rsp, W_STACK - 8);

	sys_world_close(w);
	setup(state);
	sys_world_code(w, code_iretd32);
	sys_world_kernel32(w);
	memcpy(w->ram + W_STACK - 20, frame, 20);
	w->ram[W_STACK - 16] = W_USER_CS32;
	w->s.gpr[RSP] = W_STACK - 20;
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(f.rsp, 0x30abc);
	assert_int_equal(f.cs, W_USER_CS32);
}

static void
test_sys_far_iret_in_a_nested_task_is_gp(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_iretq);
	push_iretq(w, TARGET, W_CS64, 0, W_STACK, W_DS);
	w->s.rflags = FL_NT;
	sys_world_expect_fault(w, EXC_GP, 0, 0);
}

/* Which flags each privilege may bring back. */
static void
test_sys_far_iretq_takes_flags_by_privilege(void **state)
{
	const u64 all = FL_ARITH | FL_DF | FL_IF | FL_IOPL | FL_NT | FL_AC |
			FL_ID | FL_VIF | FL_VIP;
	const u64 free = FL_ARITH | FL_DF | FL_NT | FL_AC | FL_ID;
	const u64 iopl3 = FL_IOPL;
	static const struct {
		bool user;
		u64 iopl;
	} rows[] = {{false, 0}, {true, 0}, {true, 3}};
	const u64 want[] = {all, free, free | FL_IF | iopl3};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct sys_world *w = *state;

		sys_world_code(w, code_iretq);
		if (rows[i].user)
			sys_world_user(w);
		push_iretq(w, TARGET, rows[i].user ? W_USER_CS64 : W_CS64, all,
			   W_STACK, rows[i].user ? W_USER_DS : W_DS);
		w->s.rflags = rows[i].iopl << 12;
		sys_world_run(w);
		assert_int_equal(sys_world_event(w, 0x80, false).rflags,
				 want[i] | FL_ONE);
		sys_world_close(w);
		setup(state);
	}
}

static void
test_sys_far_return_refuses_bad_code_segments(void **state)
{
	static const struct {
		u32 attr;
		u16 sel;
		u8 vector;
		u16 error;
	} rows[] = {
	    {0, 0, EXC_GP, 0},
	    {0, 3, EXC_GP, 0},
	    {0, W_GDT_BYTES | 3, EXC_GP, W_GDT_BYTES},
	    {W_DATA_RW | W_DPL(3), W_SPARE | 3, EXC_GP, W_SPARE},
	    {0x89, W_SPARE, EXC_GP, W_SPARE},
	    {W_CODE64, W_SPARE | 3, EXC_GP, W_SPARE},
	    {W_CODE64 | W_DPL(3), W_SPARE, EXC_GP, W_SPARE},
	    {W_CODE64 | W_DPL(3) | 4, W_SPARE | 2, EXC_GP, W_SPARE},
	    {W_CODE64 | 0x4000, W_SPARE, EXC_GP, W_SPARE},
	    {W_CODE64 & ~0x80u, W_SPARE, EXC_NP, W_SPARE},
	};
	struct sys_world *w = *state;

	for (size_t i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		size_t n = i / 2;

		if (i % 2)
			sys_world_code(w, code_lretq);
		else
			sys_world_code(w, code_iretq);
		if (rows[n].attr)
			sys_world_gdt(w, W_SPARE,
				      sys_world_desc(0, 0xfffff, rows[n].attr));
		push_iretq(w, TARGET, rows[n].sel, 0, W_STACK, W_USER_DS);
		sys_world_expect_fault(w, rows[n].vector, rows[n].error, 0);
	}
}

static void
test_sys_far_return_to_a_more_privileged_level_is_gp(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_iretq);
	sys_world_user(w);
	push_iretq(w, TARGET, W_CS64, 0, W_STACK, W_DS);
	sys_world_expect_fault(w, EXC_GP, W_CS64, 0);
	sys_world_user(w);
	sys_world_code(w, code_lretq);
	push_iretq(w, TARGET, W_CS64, 0, W_STACK, W_DS);
	sys_world_expect_fault(w, EXC_GP, W_CS64, 0);
}

static void
test_sys_far_return_refuses_bad_stack_segments(void **state)
{
	static const struct {
		u32 attr;
		u16 sel;
		u8 vector;
		u16 error;
	} rows[] = {
	    {0, 0, EXC_GP, 0},
	    {0, W_GDT_BYTES | 3, EXC_GP, W_GDT_BYTES},
	    {W_DATA_RW | W_DPL(3), W_SPARE, EXC_GP, W_SPARE},
	    {W_DATA_RW, W_SPARE | 3, EXC_GP, W_SPARE},
	    {0xc091 | W_DPL(3), W_SPARE | 3, EXC_GP, W_SPARE},
	    {W_CODE32 | W_DPL(3), W_SPARE | 3, EXC_GP, W_SPARE},
	    {0xc013 | W_DPL(3), W_SPARE | 3, EXC_SS, W_SPARE},
	};
	struct sys_world *w = *state;

	for (size_t i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		size_t n = i / 2;
		u8 *stack = w->ram + W_STACK - 40;

		if (rows[n].attr)
			sys_world_gdt(w, W_SPARE,
				      sys_world_desc(0, 0xfffff, rows[n].attr));
		push_iretq(w, TARGET, W_USER_CS64, 0, W_STACK, rows[n].sel);
		if (i % 2) {
			sys_world_code(w, code_lretq);
			memmove(stack + 16, stack + 24, 16);
		} else {
			sys_world_code(w, code_iretq);
		}
		sys_world_expect_fault(w, rows[n].vector, rows[n].error, 0);
	}
}

static void
test_sys_far_return_needs_a_canonical_target(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_iretq);
	push_iretq(w, NONCANON, W_CS64, 0, W_STACK, W_DS);
	sys_world_expect_fault(w, EXC_GP, 0, 0);
	/* beyond a compatibility segment's limit */
	sys_world_gdt(w, W_SPARE, sys_world_desc(0, 0xfff, 0x409b));
	push_iretq(w, 0x1000, W_SPARE, 0, W_STACK, W_DS);
	sys_world_expect_fault(w, EXC_GP, 0, 0);
}

static void
test_sys_far_iret_marks_segments_accessed(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_iretq);
	w->ram[W_GDT + 0x30 + 5] &= 0xfe;
	w->ram[W_GDT + 0x28 + 5] &= 0xfe;
	push_iretq(w, TARGET, W_USER_CS64, 0, W_STACK, W_USER_DS);
	sys_world_run(w);
	sys_world_event(w, 0x80, false);
	assert_int_equal(w->ram[W_GDT + 0x30 + 5], 0xfb);
	assert_int_equal(w->ram[W_GDT + 0x28 + 5], 0xf3);
}

/* The frame lies on two pages of which the second is absent. */
static void
test_sys_far_iret_fault_on_the_frame_changes_nothing(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_iretq);
	sys_world_gate(w, EXC_PF, W_CS64, 0x8e, 1);
	sys_world_pte(w, W_DATA, 0);
	w->s.gpr[RSP] = W_DATA - 32;
	put_le64(w->ram + W_DATA - 32, TARGET);
	put_le64(w->ram + W_DATA - 24, W_USER_CS64);
	sys_world_expect_fault(w, EXC_PF, 0, 0);
	assert_int_equal(w->s.cr2, W_DATA);
	assert_int_equal(w->s.seg[SEG_SS].sel, W_DS);
}

/* Code that the kernel ran a moment ago, from a page that users may not see, is
 * not the user's to run. */
static void
test_sys_far_privilege_guards_code_that_was_run(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_call_iretq);
	sys_world_place(w, TARGET, code_jmp_rbx, code_jmp_rbx_end);
	w->ram[W_DATA] = 0xc3; /* RET */
	sys_world_pte(w, W_DATA, W_DATA | 3);
	w->s.gpr[RBX] = W_DATA;
	push_iretq(w, TARGET, W_USER_CS64, 0, W_STACK, W_USER_DS);
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, EXC_PF, true).error, 0x15);
	assert_int_equal(w->s.cr2, W_DATA);
}

/* --- RETF ------------------------------------------------------------- */

static void
test_sys_far_lretq_reloads_cs_and_keeps_ss(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_lretq);
	sys_world_gdt(w, W_SPARE, sys_world_desc(0, 0xfffff, W_CODE64));
	put_le64(w->ram + W_STACK - 16, TARGET);
	put_le64(w->ram + W_STACK - 8, W_SPARE);
	w->s.gpr[RSP] = W_STACK - 16;
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).cs, W_SPARE);
	assert_int_equal(w->s.gpr[R15], W_STACK - 40);
	/* conforming code may be of just this level */
	sys_world_gdt(w, W_SPARE, sys_world_desc(0, 0xfffff, W_CODE64 | 4));
	put_le64(w->ram + W_STACK - 16, TARGET);
	put_le64(w->ram + W_STACK - 8, W_SPARE);
	w->s.gpr[RSP] = W_STACK - 16;
	w->s.rip = W_CODE;
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).cs, W_SPARE);
}

static void
test_sys_far_lret_to_an_outer_level_releases_both_stacks(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;
	u8 *at = w->ram + W_STACK - 64;

	sys_world_code(w, code_lretq_imm);
	put_le64(at, TARGET);
	put_le64(at + 8, W_USER_CS64);
	put_le64(at + 48, 0x30000);
	put_le64(at + 56, W_USER_DS);
	w->s.gpr[RSP] = W_STACK - 64;
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(f.rsp, 0x30020);
	assert_int_equal(f.ss, W_USER_DS);
	assert_int_equal(w->s.gpr[R15], W_STACK0 - 40);
}

static void
test_sys_far_lret_widths_and_compat_mode(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_lretl);
	put_le32(w->ram + W_STACK - 8, TARGET);
	put_le32(w->ram + W_STACK - 4, W_CS64);
	w->s.gpr[RSP] = W_STACK - 8;
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).rsp, W_STACK);

	w->s.rip = W_CODE;
	sys_world_code(w, code_lretl32);
	sys_world_kernel32(w);
	put_le32(w->ram + W_STACK - 8, TARGET);
	put_le32(w->ram + W_STACK - 4, W_CS64);
	w->s.gpr[RSP] = W_STACK - 8;
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).rsp, W_STACK + 8);
}

/* --- JMP, CALL -------------------------------------------------------- */

static void
test_sys_far_jmp_through_memory(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_ljmp);
	put_pointer(w, TARGET, 4, W_CS32);
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).cs, W_CS32);

	w->s.gpr[RSP] = W_STACK;
	sys_world_code(w, code_ljmpq);
	put_pointer(w, TARGET, 4, W_CS64 | 3);
	sys_world_expect_fault(w, EXC_GP, W_CS64, 0);
	w->s.gpr[RSP] = W_STACK;
	put_pointer(w, TARGET, 4, W_CS64);
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).cs, W_CS64);
	assert_int_equal(w->s.gpr[R15], W_STACK - 40);
}

static void
test_sys_far_jmp_may_enter_conforming_code_and_marks_it(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_ljmpq);
	sys_world_gdt(w, W_SPARE,
		      sys_world_desc(0, 0xfffff, (W_CODE64 | 4) & ~1u));
	put_pointer(w, TARGET, 4, W_SPARE);
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).cs, W_SPARE);
	assert_int_equal(w->ram[W_GDT + W_SPARE + 5], 0x9f);
}

static void
test_sys_far_jmp_direct_leads_from_compat_to_64_bit(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_ljmp32);
	sys_world_place(w, TARGET, code_mode, code_mode_end);
	sys_world_kernel32(w);
	w->s.gpr[RAX] = 0;
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(f.cs, W_CS64);
	assert_int_equal(f.rip, TARGET + 5);
	/* INC RAX; compatibility mode would have made it DEC EAX, INC EAX */
	assert_int_equal(w->s.gpr[RAX], 1);
}

static void
test_sys_far_call_pushes_by_operand_size(void **state)
{
	struct sys_world *w = *state;

	struct sys_frame f;

	sys_world_code(w, code_lcallq);
	sys_world_gdt(w, W_SPARE, sys_world_desc(0, 0xfffff, W_CODE64 & ~1u));
	put_pointer(w, TARGET, 4, W_SPARE);
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(w->ram[W_GDT + W_SPARE + 5], 0x9b);
	assert_int_equal(f.cs, W_SPARE);
	assert_int_equal(f.rsp, W_STACK - 16);
	assert_int_equal(get_le64(w->ram + W_STACK - 16), W_CODE + 8);
	assert_int_equal(get_le64(w->ram + W_STACK - 8), W_CS64);

	w->s.gpr[RSP] = W_STACK;
	sys_world_code(w, code_lcall);
	put_pointer(w, TARGET, 4, W_CS64);
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).rsp, W_STACK - 8);
	assert_int_equal(get_le32(w->ram + W_STACK - 8), W_CODE + 7);
	assert_int_equal(get_le32(w->ram + W_STACK - 4), W_CS64);

	w->s.gpr[RSP] = W_STACK;
	w->s.rip = W_CODE;
	sys_world_code(w, code_lcall32);
	sys_world_kernel32(w);
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).rsp, W_STACK - 8);
	assert_int_equal(get_le32(w->ram + W_STACK - 8), W_CODE + 7);
	assert_int_equal(get_le32(w->ram + W_STACK - 4), W_CS32);
}

static void
test_sys_far_call_16_bit_truncates_its_target(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_lcall16);
	sys_world_kernel32(w);
	sys_world_pte(w, 0x1000, 0);
	/* its page is absent */
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, EXC_PF, true).rip, 0x1234);
	assert_int_equal(get_le16(w->ram + W_STACK - 4), W_CODE + 6 - 0x10000);
	assert_int_equal(get_le16(w->ram + W_STACK - 2), W_CS32);
}

static void
test_sys_far_jmp_checks_its_code_segment(void **state)
{
	static const struct {
		u32 attr;
		u16 sel;
		u8 vector;
		u16 error;
	} rows[] = {
	    {0, 0, EXC_GP, 0},
	    {0, W_GDT_BYTES, EXC_GP, W_GDT_BYTES},
	    {W_DATA_RW, W_SPARE, EXC_GP, W_SPARE},
	    {W_CODE64 | W_DPL(3), W_SPARE, EXC_GP, W_SPARE},
	    {W_CODE64 | W_DPL(1) | 4, W_SPARE, EXC_GP, W_SPARE},
	    {W_CODE64, W_SPARE | 1, EXC_GP, W_SPARE},
	    {W_CODE64 | 0x4000, W_SPARE, EXC_GP, W_SPARE},
	    {W_CODE64 & ~0x80u, W_SPARE, EXC_NP, W_SPARE},
	    {0x89, W_SPARE, EXC_GP, W_SPARE}, /* no task switch */
	    {0x85, W_SPARE, EXC_GP, W_SPARE}, /* task gate */
	};
	struct sys_world *w = *state;

	sys_world_code(w, code_ljmpq);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].attr)
			sys_world_gdt(w, W_SPARE,
				      sys_world_desc(0, 0xfffff, rows[i].attr));
		put_pointer(w, TARGET, 4, rows[i].sel);
		w->s.gpr[RSP] = W_STACK;
		sys_world_expect_fault(w, rows[i].vector, rows[i].error, 0);
	}
}

static void
test_sys_far_jmp_from_cpl3_may_use_conforming_code(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_ljmpq);
	sys_world_user(w);
	sys_world_gdt(w, W_SPARE, sys_world_desc(0, 0xfffff, W_CODE64 | 4));
	put_pointer(w, TARGET, 4, W_SPARE);
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).cs, W_SPARE | 3);
	sys_world_user(w);
	w->s.gpr[RSP] = W_STACK;
	put_pointer(w, TARGET, 4, W_CS64);
	sys_world_expect_fault(w, EXC_GP, W_CS64, 0);
}

/* --- call gates ------------------------------------------------------- */

static void
put_gate(struct sys_world *w, u16 sel, u64 ip, u8 byte5)
{
	sys_world_gdt(w, W_SPARE,
		      (ip & 0xffff) | (u64)sel << 16 | (u64)byte5 << 40 |
			  (ip >> 16 & 0xffff) << 48);
	sys_world_gdt(w, W_SPARE + 8, ip >> 32);
}

static void
test_sys_far_call_gate_takes_the_inner_stack(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;
	const u8 *at = w->ram + W_STACK0 - 32;

	sys_world_code(w, code_lcall);
	sys_world_user(w);
	put_gate(w, W_SPARE + 16, TARGET, 0xec);
	sys_world_gdt(w, W_SPARE + 16,
		      sys_world_desc(0, 0xfffff, W_CODE64 & ~1u));
	put_pointer(w, 0x55555555, 4, W_SPARE | 3);
	/* the user sees none of what the call goes through */
	sys_world_pte(w, W_GDT, W_GDT | 3);
	sys_world_pte(w, W_TSS, W_TSS | 3);
	sys_world_pte(w, W_STACK0 - 0x1000, (W_STACK0 - 0x1000) | 3);
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(w->ram[W_GDT + W_SPARE + 16 + 5], 0x9b);
	assert_int_equal(f.cs, W_SPARE + 16);
	assert_int_equal(f.rsp, W_STACK0 - 32);
	assert_int_equal(f.ss, 0);
	assert_int_equal(get_le64(at), W_CODE + 7);
	assert_int_equal(get_le64(at + 8), W_USER_CS64);
	assert_int_equal(get_le64(at + 16), W_STACK);
	assert_int_equal(get_le64(at + 24), W_USER_DS);
}

/* RSP0 ends at byte 11 of the TSS. */
static void
test_sys_far_call_gate_needs_the_stack_in_the_tss(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_lcall);
	put_gate(w, W_CS64, TARGET, 0xec);
	put_pointer(w, 0, 4, W_SPARE | 3);
	sys_world_user(w);
	w->s.tr.limit_bytes = 11;
	sys_world_run(w);
	sys_world_event(w, 0x80, false);
	put_pointer(w, 0, 4, W_SPARE | 3);
	w->s.gpr[RSP] = W_STACK;
	sys_world_user(w);
	w->s.tr.limit_bytes = 10;
	/* and no stack for the event either: #TS, #TS, double fault */
	assert_int_equal(sys_world_run(w), HV_EXIT_SHUTDOWN);
}

static void
test_sys_far_call_gate_same_level_pushes_two_items(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_lcall);
	put_gate(w, W_CS64, TARGET, 0x8c);
	put_pointer(w, 0, 4, W_SPARE);
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).rsp, W_STACK - 16);
	assert_int_equal(get_le64(w->ram + W_STACK - 16), W_CODE + 7);
	assert_int_equal(get_le64(w->ram + W_STACK - 8), W_CS64);
}

static void
test_sys_far_call_gate_refusals(void **state)
{
	static const struct {
		u16 sel;
		u8 byte5, upper;
		bool user, jmp;
		u8 vector;
		u16 error;
	} rows[] = {
	    {W_CS64, 0x8c, 0, true, false, EXC_GP, W_SPARE}, /* gate DPL */
	    {W_CS64, 0x6c, 0, false, false, EXC_NP, W_SPARE},
	    {W_CS64, 0x8c, 1, false, false, EXC_GP, W_SPARE}, /* 16 bytes */
	    {0, 0x8c, 0, false, false, EXC_GP, 0},
	    {W_CS32, 0x8c, 0, false, false, EXC_GP, W_CS32},
	    {W_DS, 0x8c, 0, false, false, EXC_GP, W_DS},
	    {W_USER_CS64 & ~3, 0x8c, 0, false, false, EXC_GP, W_USER_CS64 & ~3},
	    {W_CS64, 0xec, 0, true, true, EXC_GP, W_CS64},    /* JMP inward */
	    {W_CS64, 0x84, 0, false, false, EXC_GP, W_SPARE}, /* 16-bit */
	    /* absent; neither L nor D */
	    {W_SPARE + 16, 0x8c, 0, false, false, EXC_NP, W_SPARE + 16},
	    {W_SPARE + 24, 0x8c, 0, false, false, EXC_GP, W_SPARE + 24},
	};
	struct sys_world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		sys_world_close(w);
		setup(state);
		if (rows[i].jmp)
			sys_world_code(w, code_ljmp);
		else
			sys_world_code(w, code_lcall);
		if (rows[i].user)
			sys_world_user(w);
		put_gate(w, rows[i].sel, TARGET, rows[i].byte5);
		sys_world_gdt(w, W_SPARE + 16,
			      sys_world_desc(0, 0xfffff, W_CODE64 & ~0x80u));
		sys_world_gdt(w, W_SPARE + 24,
			      sys_world_desc(0, 0xfffff, 0x809b));
		w->ram[W_GDT + W_SPARE + 13] = rows[i].upper;
		put_pointer(w, 0, 4, W_SPARE | (rows[i].user ? 3 : 0));
		sys_world_expect_fault(w, rows[i].vector, rows[i].error, 0);
	}
}

/* Stacks beyond the address space are #SS. */
static void
test_sys_far_non_canonical_stacks_are_ss(void **state)
{
	struct sys_world *w = *state;

	for (unsigned i = 0; i < 3; i++) {
		if (i == 0)
			sys_world_code(w, code_iretq);
		else if (i == 1)
			sys_world_code(w, code_lretq);
		else
			sys_world_code(w, code_lcallq);
		put_pointer(w, TARGET, 4, W_CS64);
		w->s.gpr[RSP] = NONCANON + 0x1000;
		sys_world_gate(w, EXC_SS, W_CS64, 0x8e, 1);
		sys_world_expect_fault(w, EXC_SS, 0, 0);
	}
}

/* IRET that sets TF lets one instruction pass. */
static void
test_sys_far_iret_steps_after_the_next_instruction(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_iretq);
	sys_world_place(w, TARGET, code_mark, code_mark_end);
	push_iretq(w, TARGET, W_USER_CS64, FL_TF, W_STACK, W_USER_DS);
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, EXC_DB, false).rip, TARGET + 3);
	assert_int_equal(w->s.gpr[RBX], 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)

/* The items of a frame are read from the top: a page that lacks several of them
 * is named by the highest. */
static void
test_sys_far_returns_read_the_frame_from_the_top(void **state)
{
	struct sys_world *w = *state;
	const u64 page = W_DATA + 0x1000;

	sys_world_code(w, code_iretq);
	sys_world_pte(w, page, 0);
	sys_world_gate(w, EXC_PF, W_CS64, 0x8e, 1);
	w->s.gpr[RSP] = page - 4;
	sys_world_expect_fault(w, EXC_PF, 0, 0);
	assert_int_equal(w->s.cr2, page - 4 + 16);

	sys_world_close(w);
	setup(state);
	sys_world_code(w, code_lretl32);
	sys_world_kernel32(w);
	sys_world_pte(w, page, 0);
	sys_world_gate(w, EXC_PF, W_CS64, 0x8e, 1);
	w->s.gpr[RSP] = page - 2;
	sys_world_expect_fault(w, EXC_PF, 0, 0);
	assert_int_equal(w->s.cr2, page - 2 + 4);
}

/* CS stays in memory when there is no room for IP. */
static void
test_sys_far_call_pushes_cs_before_ip(void **state)
{
	struct sys_world *w = *state;
	const u64 page = W_DATA + 0x1000;

	sys_world_code(w, code_lcall32);
	sys_world_kernel32(w);
	sys_world_pte(w, page - 0x1000, 0);
	sys_world_gate(w, EXC_PF, W_CS64, 0x8e, 1);
	w->s.gpr[RSP] = page + 4;
	sys_world_expect_fault(w, EXC_PF, 2, 0);
	assert_int_equal(w->s.cr2, page - 4);
	assert_int_equal(get_le32(w->ram + page), W_CS32);
}

/* The stack is that of the target, which in 64-bit mode has no limit. */
static void
test_sys_far_call_into_64_bit_ignores_the_stack_segment(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_lcall32);
	sys_world_kernel32(w);
	w->s.seg[SEG_SS].base = 0x1000;
	w->s.seg[SEG_SS].limit_bytes = 0xfff;
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).rsp, W_STACK - 8);
	assert_int_equal(get_le32(w->ram + W_STACK - 4), W_CS32);
}

/* RF lives until the next instruction is done: the trap after IRET sees it. */
static void
test_sys_far_iret_pops_rf(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_iretq);
	push_iretq(w, TARGET, W_CS64, FL_RF, W_STACK, W_DS);
	w->s.rflags = FL_TF;
	sys_world_run(w);
	assert_true(sys_world_event(w, EXC_DB, false).rflags & FL_RF);
	sys_world_close(w);
	setup(state);
	sys_world_code(w, code_iretq);
	push_iretq(w, TARGET, W_CS64, FL_RF, W_STACK, W_DS);
	sys_world_run(w);
	assert_false(sys_world_event(w, 0x80, false).rflags & FL_RF);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_sys_far_iretq_reaches_user_code),
	    T(test_sys_far_outer_return_drops_inner_segments),
	    T(test_sys_far_iretq_reaches_compat_code),
	    T(test_sys_far_iretq_to_a_16_bit_stack_moves_sp_only),
	    T(test_sys_far_iretq_at_cpl0_may_have_a_null_ss),
	    T(test_sys_far_iret_narrow_forms_pop_five_items),
	    T(test_sys_far_iret_in_compat_mode_pops_ss_only_outward),
	    T(test_sys_far_iret_in_a_nested_task_is_gp),
	    T(test_sys_far_iretq_takes_flags_by_privilege),
	    T(test_sys_far_return_refuses_bad_code_segments),
	    T(test_sys_far_return_to_a_more_privileged_level_is_gp),
	    T(test_sys_far_return_refuses_bad_stack_segments),
	    T(test_sys_far_return_needs_a_canonical_target),
	    T(test_sys_far_iret_marks_segments_accessed),
	    T(test_sys_far_iret_fault_on_the_frame_changes_nothing),
	    T(test_sys_far_privilege_guards_code_that_was_run),
	    T(test_sys_far_lretq_reloads_cs_and_keeps_ss),
	    T(test_sys_far_lret_to_an_outer_level_releases_both_stacks),
	    T(test_sys_far_lret_widths_and_compat_mode),
	    T(test_sys_far_jmp_through_memory),
	    T(test_sys_far_jmp_may_enter_conforming_code_and_marks_it),
	    T(test_sys_far_jmp_direct_leads_from_compat_to_64_bit),
	    T(test_sys_far_call_pushes_by_operand_size),
	    T(test_sys_far_call_16_bit_truncates_its_target),
	    T(test_sys_far_jmp_checks_its_code_segment),
	    T(test_sys_far_jmp_from_cpl3_may_use_conforming_code),
	    T(test_sys_far_call_gate_takes_the_inner_stack),
	    T(test_sys_far_call_gate_needs_the_stack_in_the_tss),
	    T(test_sys_far_call_gate_same_level_pushes_two_items),
	    T(test_sys_far_call_gate_refusals),
	    T(test_sys_far_non_canonical_stacks_are_ss),
	    T(test_sys_far_iret_steps_after_the_next_instruction),
	    T(test_sys_far_returns_read_the_frame_from_the_top),
	    T(test_sys_far_call_pushes_cs_before_ip),
	    T(test_sys_far_call_into_64_bit_ignores_the_stack_segment),
	    T(test_sys_far_iret_pops_rf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
