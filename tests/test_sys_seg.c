/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sys_world.h"

GUEST_CODE(code_load_ds, "mov %eax, %ds");
GUEST_CODE(code_load_fs, "mov %eax, %fs; mov %fs:0, %rbx");
GUEST_CODE(code_load_gs_mem, "movw 0x30000, %gs");
GUEST_CODE(code_load_ss, "mov %eax, %ss; inc %rbx");
GUEST_CODE(code_load_ss32, ".code32; mov %eax, %ss");
GUEST_CODE(code_load_ds32, ".code32; mov %eax, %ds; mov %ds:0, %ebx");
GUEST_CODE(code_store, "mov $-1, %rax; mov %rax, %rbx; mov %rax, %rcx;"
		       "mov %ds, %rax; mov %ds, %ebx; mov %ds, %cx;"
		       "movl $-1, 0x30000; movw %ds, 0x30000");
GUEST_CODE(code_push_pop, "push %fs; pop %gs; pushw %fs");
GUEST_CODE(code_push_pop32, ".code32; push %ds; pop %es; pushw %ds");
GUEST_CODE(code_pop_fs, "pop %fs");
GUEST_CODE(code_pop_ss32, ".code32; pop %ss; inc %ebx; push %ebx");
GUEST_CODE(code_lss, "lss 0x30000, %esp");
GUEST_CODE(code_lfs, ".byte 0x48; lfs 0x30000, %ebx");
GUEST_CODE(code_les32, ".code32; les 0x30000, %ebx");
GUEST_CODE(code_tables, "sgdt 0x30000; sidt 0x30010; lgdt 0x30020;"
			"lidt 0x30030");
GUEST_CODE(code_tables32, ".code32; sgdt 0x30000; lgdt 0x30020;"
			  "lidtw 0x30030");
GUEST_CODE(code_lgdt, "lgdt 0x30000");
GUEST_CODE(code_lldt, "lldt %ax");
GUEST_CODE(code_ltr, "ltr %ax");
GUEST_CODE(code_read_sel, "mov $-1, %rbx; mov %rbx, %rcx; sldt %rbx;"
			  "str %ecx; movl $-1, 0x30000; str 0x30000");
GUEST_CODE(code_ask, "lar %eax, %ebx; setz %r8b; lsl %eax, %ecx; setz %r9b;"
		     "verr %ax; setz %r10b; verw %ax; setz %r11b");
GUEST_CODE(code_ask_user,
	   "lar %eax, %ebx; setz %r8b; lsl %eax, %ecx; setz %r9b;"
	   "verr %ax; setz %r10b; verw %ax; setz %r11b; int $0x80");
GUEST_CODE(code_lar_forms,
	   "mov $-1, %rbx; mov $-1, %rcx; .byte 0x48; lar %eax, %ebx;"
	   "lar %ax, %cx; lsl 0x30000, %rdx");
GUEST_CODE(code_ss_load, "mov (%rbp), %ds");
GUEST_CODE(code_ss_store, "mov %ds, (%rbp)");
GUEST_CODE(code_ss_lfs, "lfs (%rbp), %eax");
GUEST_CODE(code_ss_lgdt, "lgdt (%rbp)");
GUEST_CODE(code_ss_sgdt, "sgdt (%rbp)");
GUEST_CODE(code_ss_lldt, "lldt (%rbp)");
GUEST_CODE(code_ss_str, "str (%rbp)");
GUEST_CODE(code_ss_lar, "lar (%rbp), %eax");
GUEST_CODE(code_ss_smsw, "smsw (%rbp)");
GUEST_CODE(code_ss_lmsw, "lmsw (%rbp)");
GUEST_CODE(code_ss_ljmp, "ljmpl *(%rbp)");
GUEST_CODE(code_ds_lgdt, "lgdt (%rbx)");
GUEST_CODE(code_arpl, ".code32; arpl %bx, %ax; setz %ch; arpl %bx, 0x30000;"
		      "setz %cl");

static void
spare(struct sys_world *w, u32 attr)
{
	sys_world_gdt(w, W_SPARE, sys_world_desc(0x12345678, 0xabcde, attr));
}

static void
restart(struct sys_world *w)
{
	w->s.rip = W_CODE;
	w->s.gpr[RSP] = W_STACK;
}

/* --- loads ------------------------------------------------------------ */

/* 0: allowed. */
static const struct load_row {
	u32 attr;
	u8 rpl;
	u8 data0, data3; /* MOV DS at CPL 0 and 3 */
	u8 ss0, ss3;	 /* MOV SS */
} load_rows[] = {
    /* data, writable */
    {W_DATA_RW, 0, 0, EXC_GP, 0, EXC_GP},
    {W_DATA_RW, 3, EXC_GP, EXC_GP, EXC_GP, EXC_GP},
    {W_DATA_RW | W_DPL(3), 0, 0, 0, EXC_GP, EXC_GP},
    {W_DATA_RW | W_DPL(3), 3, 0, 0, EXC_GP, 0},
    /* data, read only; expand down */
    {0xc091, 0, 0, EXC_GP, EXC_GP, EXC_GP},
    {0xc097 | W_DPL(3), 3, 0, 0, EXC_GP, 0},
    /* code: readable, execute only, conforming */
    {W_CODE64, 0, 0, EXC_GP, EXC_GP, EXC_GP},
    {0xa099, 0, EXC_GP, EXC_GP, EXC_GP, EXC_GP},
    {W_CODE64 | 4, 3, 0, 0, EXC_GP, EXC_GP},
    {0xa09d, 0, EXC_GP, EXC_GP, EXC_GP, EXC_GP},
    /* absent: after type and privilege */
    {0xc013, 0, EXC_NP, EXC_GP, EXC_SS, EXC_GP},
    {0xc013 | W_DPL(3), 3, EXC_NP, EXC_NP, EXC_GP, EXC_SS},
    /* system */
    {0x89, 0, EXC_GP, EXC_GP, EXC_GP, EXC_GP},
    {0x82, 0, EXC_GP, EXC_GP, EXC_GP, EXC_GP},
};

static void
check_load(struct sys_world *w, const struct load_row *row, bool ss, bool user,
	   u8 vector)
{
	struct sys_frame f;

	restart(w);
	if (ss)
		sys_world_code(w, code_load_ss);
	else
		sys_world_code(w, code_load_ds);
	if (user)
		sys_world_user(w);
	spare(w, row->attr);
	w->s.gpr[RAX] = W_SPARE | row->rpl;
	if (vector) {
		sys_world_expect_fault(w, vector, W_SPARE, 0);
		return;
	}
	sys_world_run(w);
	/* CPL 3 ends in the #GP of its HLT */
	if (user) {
		f = sys_world_event(w, EXC_GP, true);
		assert_int_equal(f.rip, W_CODE + (ss ? 5 : 2));
		if (ss)
			assert_int_equal(f.ss, W_SPARE | row->rpl);
	}
	if (!ss)
		assert_int_equal(w->s.seg[SEG_DS].sel, W_SPARE | row->rpl);
	else if (!user)
		assert_int_equal(w->s.seg[SEG_SS].sel, W_SPARE | row->rpl);
}

static void
test_sys_seg_load_checks_type_privilege_and_presence(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(load_rows); i++) {
		const struct load_row *row = &load_rows[i];
		const u8 want[2][2] = {{row->data0, row->data3},
				       {row->ss0, row->ss3}};

		for (unsigned k = 0; k < 4; k++) {
			check_load(*state, row, k / 2, k % 2,
				   want[k / 2][k % 2]);
			sys_world_close(*state);
			world_setup(state);
		}
	}
}

static void
test_sys_seg_load_refuses_selectors_beyond_the_table(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_load_ds);
	w->s.gpr[RAX] = W_GDT_BYTES;
	sys_world_expect_fault(w, EXC_GP, W_GDT_BYTES, 0);
	restart(w);
	w->s.gpr[RAX] = 0x1007; /* LDT */
	sys_world_expect_fault(w, EXC_GP, 0x1004, 0);
	restart(w);
	w->s.gdt.limit_bytes = W_DS + 6;
	w->s.gpr[RAX] = W_DS;
	/* the handler's CS still fits */
	sys_world_expect_fault(w, EXC_GP, W_DS, 0);
	restart(w);
	w->s.gdt.limit_bytes++;
	sys_world_expect_halt(w);
}

static void
test_sys_seg_load_reads_the_ldt(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_load_ds);
	put_le64(w->ram + W_LDT + 8, sys_world_desc(0, 1, W_DATA_RW & ~1u));
	w->s.gpr[RAX] = 0x0c;
	sys_world_expect_halt(w);
	assert_int_equal(w->s.seg[SEG_DS].sel, 0x0c);
	assert_int_equal(w->s.seg[SEG_DS].limit_bytes, 0x1fff);
	assert_int_equal(w->ram[W_LDT + 13], 0x93); /* accessed */
	restart(w);
	w->s.ldt.limit_bytes = 14;
	sys_world_expect_fault(w, EXC_GP, 0x0c, 0);
	restart(w);
	w->s.ldt.limit_bytes = 0xfff;
	w->s.ldt.attr = ATTR_UNUSABLE;
	sys_world_expect_fault(w, EXC_GP, 0x0c, 0);
}

static void
test_sys_seg_null_loads_by_segment_and_mode(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_load_ds);
	for (u64 sel = 0; sel < 4; sel++) {
		restart(w);
		w->s.gpr[RAX] = sel;
		sys_world_expect_halt(w);
		assert_int_equal(w->s.seg[SEG_DS].sel, sel);
		assert_true(w->s.seg[SEG_DS].attr & ATTR_UNUSABLE);
	}
	sys_world_code(w, code_load_ss);
	restart(w);
	w->s.gpr[RAX] = 0;
	sys_world_expect_halt(w);
	assert_true(w->s.seg[SEG_SS].attr & ATTR_UNUSABLE);
	restart(w);
	w->s.gpr[RAX] = 1; /* not CPL */
	sys_world_expect_fault(w, EXC_GP, 0, 0);
	restart(w);
	sys_world_user(w);
	w->s.gpr[RAX] = 3;
	sys_world_expect_fault(w, EXC_GP, 0, 0);

	sys_world_close(w);
	world_setup(state);
	sys_world_code(w, code_load_ss32);
	sys_world_kernel32(w);
	w->s.gpr[RAX] = 0;
	sys_world_expect_fault(w, EXC_GP, 0, 0);
}

static void
test_sys_seg_fs_load_takes_base_and_mov_uses_it(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_load_fs);
	sys_world_gdt(w, W_SPARE, sys_world_desc(W_DATA, 0xfff, W_DATA_RW));
	put_le64(w->ram + W_DATA, 0x1122334455667788);
	w->s.gpr[RAX] = W_SPARE;
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 0x1122334455667788);
	assert_int_equal(w->s.seg[SEG_FS].base, W_DATA);
	/* null clears it */
	restart(w);
	w->s.gpr[RAX] = 0;
	put_le64(w->ram, 0x99);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 0x99);
	assert_int_equal(w->s.seg[SEG_FS].base, 0);
}

static void
test_sys_seg_load_from_memory_unpacks_every_field(void **state)
{
	struct sys_world *w = *state;
	const struct cpu_seg *gs = &w->s.seg[SEG_GS];

	sys_world_code(w, code_load_gs_mem);
	put_le16(w->ram + W_DATA, W_SPARE);
	spare(w, 0xd092);
	sys_world_expect_halt(w);
	assert_int_equal(gs->base, 0x12345678);
	assert_int_equal(gs->limit_bytes, 0xabcdefff);
	assert_int_equal(gs->attr, 0xd093);
	assert_int_equal(w->ram[W_GDT + W_SPARE + 5], 0x93);
	restart(w);
	spare(w, 0x4093);
	sys_world_expect_halt(w);
	assert_int_equal(gs->limit_bytes, 0xabcde);
}

/* A table on a device is read like any memory there; the accessed bit is
 * dropped. */
static void
test_sys_seg_load_from_a_table_on_a_device(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_load_ds);
	w->s.gdt.base = W_MMIO;
	w->s.gpr[RAX] = W_SPARE;
	assert_int_equal(sys_world_run(w), HV_EXIT_MMIO);
	assert_int_equal(w->x.mmio.gpa, W_MMIO_GPA + W_SPARE);
	put_le64(w->x.mmio.data, sys_world_desc(1, 2, W_DATA_RW & ~1u));
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
	assert_int_equal(w->s.seg[SEG_DS].sel, W_SPARE);
	assert_int_equal(w->s.seg[SEG_DS].attr, W_DATA_RW);
}

/* Operands on a stack that lies beyond the address space are #SS, elsewhere
 * #GP. */
static void
test_sys_seg_operands_tell_stack_from_data(void **state)
{
	static const struct {
		const u8 *from, *to;
	} rows[] = {
#define C(name) {name, name##_end}
	    C(code_ss_load), C(code_ss_store), C(code_ss_lfs),	C(code_ss_lgdt),
	    C(code_ss_sgdt), C(code_ss_lldt),  C(code_ss_str),	C(code_ss_lar),
	    C(code_ss_smsw), C(code_ss_lmsw),  C(code_ss_ljmp),
	};
	struct sys_world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		restart(w);
		sys_world_place(w, W_CODE, rows[i].from, rows[i].to);
		w->s.gpr[RBP] = BIT(62);
		sys_world_expect_fault(w, EXC_SS, 0, 0);
	}
	sys_world_code(w, code_ds_lgdt);
	restart(w);
	w->s.gpr[RBX] = BIT(62);
	sys_world_expect_fault(w, EXC_GP, 0, 0);
	sys_world_gate(w, EXC_SS, W_CS64, 0x8e, 1);
	for (unsigned i = 0; i < 2; i++) {
		restart(w);
		if (i)
			sys_world_code(w, code_pop_fs);
		else
			sys_world_code(w, code_push_pop);
		w->s.gpr[RSP] = BIT(62);
		sys_world_expect_fault(w, EXC_SS, 0, 0);
	}
}

/* Kernels keep their GDT on a read-only page: what is accessed already is not
 * written to. */
static void
test_sys_seg_load_leaves_accessed_descriptors_alone(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_load_ds);
	sys_world_pte(w, W_GDT, W_GDT | 5);
	w->s.gpr[RAX] = W_USER_DS;
	sys_world_expect_halt(w);
	assert_int_equal(w->s.seg[SEG_DS].sel, W_USER_DS);
	restart(w);
	w->ram[W_GDT + W_DS + 5] &= 0xfe;
	w->s.gpr[RAX] = W_DS;
	sys_world_expect_fault(w, EXC_PF, 3, 0);
	assert_int_equal(w->s.cr2, W_GDT + W_DS + 5);
	assert_int_equal(w->s.seg[SEG_DS].sel, W_USER_DS);
}

/* In compatibility mode DS has a base. */
static void
test_sys_seg_compat_ds_base_counts(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_load_ds32);
	sys_world_kernel32(w);
	sys_world_gdt(w, W_SPARE, sys_world_desc(W_DATA, 0xfff, W_DATA_RW));
	put_le32(w->ram + W_DATA, 0xcafe);
	w->s.gpr[RAX] = W_SPARE;
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 0xcafe);
}

static void
test_sys_seg_mov_ss_holds_interrupts_off_for_one_instruction(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_load_ss);
	w->s.gpr[RAX] = W_DS;
	w->s.gpr[RBX] = 0;
	w->s.rflags = FL_IF;
	w->s.int_shadow = true; /* so that the interrupt waits for MOV SS */
	w->s.rflags |= FL_ONE;
	assert_int_equal(w->hv->ops->state_set(w->hv, &w->s), 0);
	w->hv->ops->interrupt(w->hv, 0x40);
	sys_world_go_on(w);
	f = sys_world_event(w, 0x40, false);
	assert_int_equal(f.rip, W_CODE + 5);
	assert_int_equal(w->s.gpr[RBX], 1);
}

/* As processors do: no single-step trap between MOV SS and the next. */
static void
test_sys_seg_mov_ss_is_stepped_with_the_next(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_load_ss);
	w->s.gpr[RAX] = W_DS;
	w->s.gpr[RBX] = 0;
	w->s.rflags = FL_TF;
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, EXC_DB, false).rip, W_CODE + 5);
	assert_int_equal(w->s.gpr[RBX], 1);
}

static void
test_sys_seg_store_widths(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_store);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RAX], W_DS);
	assert_int_equal(w->s.gpr[RBX], W_DS);
	assert_int_equal(w->s.gpr[RCX], ~0xffffULL | W_DS);
	assert_int_equal(get_le32(w->ram + W_DATA), 0xffff0000 | W_DS);
}

static void
test_sys_seg_push_pop_widths(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_push_pop);
	w->s.seg[SEG_FS].sel = W_DS;
	memset(w->ram + W_STACK - 16, 0xff, 16);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.seg[SEG_GS].sel, W_DS);
	assert_int_equal(w->s.gpr[RSP], W_STACK - 2);
	assert_int_equal(get_le64(w->ram + W_STACK - 8),
			 (u64)W_DS << 48 | W_DS);
	sys_world_code(w, code_push_pop32);
	restart(w);
	sys_world_kernel32(w);
	memset(w->ram + W_STACK - 16, 0xff, 16);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.seg[SEG_ES].sel, W_DS);
	assert_int_equal(get_le32(w->ram + W_STACK - 4), W_DS << 16 | W_DS);
	assert_int_equal(w->s.gpr[RSP], W_STACK - 2);
}

static void
test_sys_seg_pop_that_faults_leaves_rsp(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_pop_fs);
	w->s.gpr[RSP] = W_STACK - 8;
	put_le64(w->ram + W_STACK - 8, W_GDT_BYTES);
	sys_world_expect_fault(w, EXC_GP, W_GDT_BYTES, 0);
}

/* POP SS to a 16-bit stack moves ESP by the old width. */
static void
test_sys_seg_pop_ss_changes_the_width_afterwards(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_pop_ss32);
	sys_world_kernel32(w);
	sys_world_gdt(w, W_SPARE, sys_world_desc(0, 0xffff, 0x93));
	w->s.gpr[RSP] = 0x1fffc;
	w->s.gpr[RBX] = 7;
	put_le32(w->ram + 0x1fffc, W_SPARE);
	sys_world_expect_halt(w);
	/* 20000h, then SP alone goes down */
	assert_int_equal(w->s.gpr[RSP], 0x2fffc);
	assert_int_equal(w->s.gpr[RBX], 8);
	assert_int_equal(w->s.seg[SEG_SS].sel, W_SPARE);
}

static void
test_sys_seg_far_pointers_load_both_or_nothing(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_lss);
	put_le32(w->ram + W_DATA, 0x30800);
	put_le16(w->ram + W_DATA + 4, W_DS);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RSP], 0x30800);
	restart(w);
	put_le16(w->ram + W_DATA + 4, W_USER_DS);
	sys_world_expect_fault(w, EXC_GP, W_USER_DS & ~3, 0);

	restart(w);
	sys_world_code(w, code_lfs);
	/* REX.W, and still an offset of 32 bits */
	put_le32(w->ram + W_DATA, 0x55667788);
	put_le16(w->ram + W_DATA + 4, W_USER_DS);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 0x55667788);
	assert_int_equal(w->s.seg[SEG_FS].sel, W_USER_DS);

	restart(w);
	sys_world_code(w, code_les32);
	sys_world_kernel32(w);
	put_le16(w->ram + W_DATA + 4, W_DS);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 0x55667788);
	assert_int_equal(w->s.seg[SEG_ES].sel, W_DS);
}

/* --- tables ----------------------------------------------------------- */

static void
test_sys_seg_table_registers_travel(void **state)
{
	struct sys_world *w = *state;
	u8 *d = w->ram + W_DATA;

	sys_world_code(w, code_tables);
	memset(d, 0xee, 32);
	put_le16(d + 32, 0x1234);
	put_le64(d + 34, 0xffff812345678000);
	put_le16(d + 48, 0x5678);
	put_le64(d + 50, 0x7fff12345678);
	sys_world_expect_halt(w);
	assert_int_equal(get_le16(d), W_GDT_BYTES - 1);
	assert_int_equal(get_le64(d + 2), W_GDT);
	assert_int_equal(get_le16(d + 10), 0xeeee);
	assert_int_equal(get_le16(d + 16), 0xfff);
	assert_int_equal(get_le64(d + 18), W_IDT);
	assert_int_equal(w->s.gdt.limit_bytes, 0x1234);
	assert_true(w->s.gdt.base == 0xffff812345678000);
	assert_int_equal(w->s.idt.limit_bytes, 0x5678);
	assert_int_equal(w->s.idt.base, 0x7fff12345678);
}

static void
test_sys_seg_table_registers_are_short_in_compat_mode(void **state)
{
	struct sys_world *w = *state;
	u8 *d = w->ram + W_DATA;

	sys_world_code(w, code_tables32);
	sys_world_kernel32(w);
	memset(d, 0xee, 64);
	put_le32(d + 34, 0x12345678);
	put_le32(d + 50, 0x12345678);
	sys_world_expect_halt(w);
	assert_int_equal(get_le32(d + 2), W_GDT);
	assert_int_equal(get_le16(d + 6), 0xeeee);
	assert_int_equal(w->s.gdt.base, 0x12345678);
	assert_int_equal(w->s.idt.base, 0x345678);
}

static void
test_sys_seg_lgdt_refusals(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_lgdt);
	put_le64(w->ram + W_DATA + 2, BIT(47));
	sys_world_expect_fault(w, EXC_GP, 0, 0);
	restart(w);
	sys_world_user(w);
	put_le64(w->ram + W_DATA + 2, W_GDT);
	sys_world_expect_fault(w, EXC_GP, 0, 0);
}

static void
test_sys_seg_ltr_loads_and_marks_busy(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_ltr);
	sys_world_gdt(w, W_TR + 8, 0xffff8123);
	w->s.gpr[RAX] = W_TR;
	sys_world_expect_halt(w);
	assert_int_equal(w->s.tr.sel, W_TR);
	assert_true(w->s.tr.base == 0xffff812300000000 + W_TSS);
	assert_int_equal(w->s.tr.limit_bytes, 0x67);
	assert_int_equal(w->s.tr.attr, 0x8b);
	assert_int_equal(w->ram[W_GDT + W_TR + 5], 0x8b);
	/* it is busy now */
	restart(w);
	w->s.tr.base = W_TSS;
	sys_world_expect_fault(w, EXC_GP, W_TR, 0);
}

static void
test_sys_seg_system_loads_refuse(void **state)
{
	static const struct {
		bool ltr;
		u32 attr;
		u16 sel;
		u64 high;
		u8 vector;
		u16 error;
	} rows[] = {
	    {true, 0x89, 0, 0, EXC_GP, 0},
	    {true, 0x82, W_SPARE, 0, EXC_GP, W_SPARE},
	    {true, W_DATA_RW, W_SPARE, 0, EXC_GP, W_SPARE},
	    {true, 0x09, W_SPARE, 0, EXC_NP, W_SPARE},
	    {true, 0x89, W_SPARE, BIT(40), EXC_GP, W_SPARE},
	    {true, 0x89, W_SPARE, 0x8000, EXC_GP, W_SPARE},
	    {true, 0x89, 0x0c, 0, EXC_GP, 0x0c},
	    {true, 0x89, W_GDT_BYTES - 8, 0, EXC_GP, W_GDT_BYTES - 8},
	    {false, 0x89, W_SPARE, 0, EXC_GP, W_SPARE},
	    {false, 0x02, W_SPARE, 0, EXC_NP, W_SPARE},
	    {false, 0x82, 0x0c, 0, EXC_GP, 0x0c},
	};
	struct sys_world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].ltr)
			sys_world_code(w, code_ltr);
		else
			sys_world_code(w, code_lldt);
		restart(w);
		sys_world_gdt(w, W_SPARE,
			      sys_world_desc(0, 0x67, rows[i].attr));
		sys_world_gdt(w, W_SPARE + 8, rows[i].high);
		w->s.gpr[RAX] = rows[i].sel;
		sys_world_expect_fault(w, rows[i].vector, rows[i].error, 0);
		restart(w);
	}
	/* a good one, but in the LDT */
	sys_world_code(w, code_ltr);
	put_le64(w->ram + W_LDT + 8, sys_world_desc(0, 0x67, 0x89));
	w->s.gpr[RAX] = 0x0c;
	sys_world_expect_fault(w, EXC_GP, 0x0c, 0);
	restart(w);
	sys_world_user(w);
	sys_world_expect_fault(w, EXC_GP, 0, 0);
}

static void
test_sys_seg_lldt_loads_also_null(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_lldt);
	sys_world_gdt(w, W_LDTR + 8, 0xffff8123);
	w->s.gpr[RAX] = W_LDTR;
	sys_world_expect_halt(w);
	assert_int_equal(w->s.ldt.sel, W_LDTR);
	assert_true(w->s.ldt.base == 0xffff812300000000 + W_LDT);
	assert_int_equal(w->s.ldt.limit_bytes, 0xfff);
	restart(w);
	w->s.gpr[RAX] = 0;
	sys_world_expect_halt(w);
	assert_int_equal(w->s.ldt.sel, 0);
	assert_true(w->s.ldt.attr & ATTR_UNUSABLE);
}

static void
test_sys_seg_sldt_and_str_widths(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_read_sel);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], W_LDTR);
	assert_int_equal(w->s.gpr[RCX], W_TR);
	assert_int_equal(get_le32(w->ram + W_DATA), 0xffff0000 | W_TR);
}

/* --- questions -------------------------------------------------------- */

/* LAR LSL VERR VERW, at CPL 0 and 3. */
static const struct ask_row {
	u32 attr;
	u8 rpl;
	const char *cpl0, *cpl3; /* which of "lsrw" set ZF */
} ask_rows[] = {
    {W_DATA_RW, 0, "lsrw", ""},
    {W_DATA_RW, 3, "", ""},
    {W_DATA_RW | W_DPL(3), 3, "lsrw", "lsrw"},
    {0xc091 | W_DPL(3), 0, "lsr", "lsr"},
    {W_CODE64, 0, "lsr", ""},
    {0xa099 | W_DPL(3), 3, "ls", "ls"},
    {W_CODE64 | 4, 3, "lsr", "lsr"},
    {0xa09d, 3, "ls", "ls"},
    {0x13 | W_DPL(3), 3, "lsrw", "lsrw"}, /* absent does not matter */
    {0x82 | W_DPL(3), 3, "ls", "ls"},	  /* LDT */
    {0x89, 0, "ls", ""},		  /* TSS, free */
    {0x8b | W_DPL(3), 0, "ls", "ls"},	  /* TSS, busy */
    {0x8c | W_DPL(3), 0, "l", "l"},	  /* call gate */
    {0x8c, 0, "l", ""},
    {0x80, 0, "", ""}, /* the other types, in long mode */
    {0x81, 0, "", ""},
    {0x83, 0, "", ""},
    {0x84, 0, "", ""},
    {0x85, 0, "", ""},
    {0x86, 0, "", ""},
    {0x87, 0, "", ""},
    {0x88, 0, "", ""},
    {0x8a, 0, "", ""},
    {0x8d, 0, "", ""},
    {0x8e, 0, "", ""},
    {0x8f, 0, "", ""},
};

static void
check_ask(struct sys_world *w, const struct ask_row *row, bool user)
{
	const char *want = user ? row->cpl3 : row->cpl0;
	u64 ar = 0x1111, limit = 0x2222;

	if (user)
		sys_world_code(w, code_ask_user);
	else
		sys_world_code(w, code_ask);
	restart(w);
	if (user)
		sys_world_user(w);
	sys_world_gdt(w, W_SPARE,
		      sys_world_desc(0x12345678, 0xabcde, row->attr));
	w->s.gpr[RAX] = 0xffff0000 | W_SPARE | row->rpl;
	w->s.gpr[RBX] = ar;
	w->s.gpr[RCX] = limit;
	for (unsigned r = R8; r <= R11; r++)
		w->s.gpr[r] = 0;
	sys_world_run(w);
	if (user)
		sys_world_event(w, 0x80, false);
	if (strchr(want, 'l'))
		ar = (row->attr & 0xf0ff) << 8 | 0xa0000;
	if (strchr(want, 's'))
		limit = row->attr & ATTR_G ? 0xabcdefff : 0xabcde;
	assert_int_equal(w->s.gpr[RBX], ar);
	assert_int_equal(w->s.gpr[RCX], limit);
	assert_int_equal(w->s.gpr[R8], strchr(want, 'l') != NULL);
	assert_int_equal(w->s.gpr[R9], strchr(want, 's') != NULL);
	assert_int_equal(w->s.gpr[R10], strchr(want, 'r') != NULL);
	assert_int_equal(w->s.gpr[R11], strchr(want, 'w') != NULL);
}

static void
test_sys_seg_lar_lsl_verr_verw_by_type_and_privilege(void **state)
{
	for (size_t i = 0; i < 2 * ARRAY_SIZE(ask_rows); i++) {
		check_ask(*state, &ask_rows[i / 2], i % 2);
		sys_world_close(*state);
		world_setup(state);
	}
}

static void
test_sys_seg_questions_about_nothing_clear_zf(void **state)
{
	static const u16 sels[] = {0, 3, W_GDT_BYTES, 0x1004};
	struct sys_world *w = *state;

	sys_world_code(w, code_ask);
	for (size_t i = 0; i < ARRAY_SIZE(sels); i++) {
		restart(w);
		w->s.gpr[RAX] = sels[i];
		w->s.gpr[RBX] = 5;
		for (unsigned r = R8; r <= R11; r++)
			w->s.gpr[r] = 1;
		sys_world_expect_halt(w);
		assert_int_equal(w->s.gpr[RBX], 5);
		for (unsigned r = R8; r <= R11; r++)
			assert_int_equal(w->s.gpr[r], 0);
	}
}

static void
test_sys_seg_lar_and_lsl_widths(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_lar_forms);
	spare(w, W_DATA_RW);
	w->s.gpr[RAX] = W_SPARE;
	put_le16(w->ram + W_DATA, W_SPARE);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 0xca9300);
	assert_int_equal(w->s.gpr[RCX], ~0xffffULL | 0x9300);
	assert_int_equal(w->s.gpr[RDX], 0xabcdefff);
}

static void
test_sys_seg_arpl_raises_rpl(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_arpl);
	sys_world_kernel32(w);
	w->s.gpr[RAX] = 0x12340011;
	w->s.gpr[RBX] = 0x0022;
	w->s.gpr[RCX] = 0;
	put_le32(w->ram + W_DATA, 0x56780033);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RAX], 0x12340012);
	assert_int_equal(get_le32(w->ram + W_DATA), 0x56780033);
	assert_int_equal(w->s.gpr[RCX], 0x0100);
	restart(w); /* equal: nothing to raise */
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RAX], 0x12340012);
	assert_int_equal(w->s.gpr[RCX], 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_sys_seg_load_checks_type_privilege_and_presence),
	    WORLD_TEST(test_sys_seg_load_refuses_selectors_beyond_the_table),
	    WORLD_TEST(test_sys_seg_load_reads_the_ldt),
	    WORLD_TEST(test_sys_seg_null_loads_by_segment_and_mode),
	    WORLD_TEST(test_sys_seg_fs_load_takes_base_and_mov_uses_it),
	    WORLD_TEST(test_sys_seg_load_from_memory_unpacks_every_field),
	    WORLD_TEST(test_sys_seg_load_from_a_table_on_a_device),
	    WORLD_TEST(test_sys_seg_operands_tell_stack_from_data),
	    WORLD_TEST(test_sys_seg_load_leaves_accessed_descriptors_alone),
	    WORLD_TEST(test_sys_seg_compat_ds_base_counts),
	    WORLD_TEST(
		test_sys_seg_mov_ss_holds_interrupts_off_for_one_instruction),
	    WORLD_TEST(test_sys_seg_mov_ss_is_stepped_with_the_next),
	    WORLD_TEST(test_sys_seg_store_widths),
	    WORLD_TEST(test_sys_seg_push_pop_widths),
	    WORLD_TEST(test_sys_seg_pop_that_faults_leaves_rsp),
	    WORLD_TEST(test_sys_seg_pop_ss_changes_the_width_afterwards),
	    WORLD_TEST(test_sys_seg_far_pointers_load_both_or_nothing),
	    WORLD_TEST(test_sys_seg_table_registers_travel),
	    WORLD_TEST(test_sys_seg_table_registers_are_short_in_compat_mode),
	    WORLD_TEST(test_sys_seg_lgdt_refusals),
	    WORLD_TEST(test_sys_seg_ltr_loads_and_marks_busy),
	    WORLD_TEST(test_sys_seg_system_loads_refuse),
	    WORLD_TEST(test_sys_seg_lldt_loads_also_null),
	    WORLD_TEST(test_sys_seg_sldt_and_str_widths),
	    WORLD_TEST(test_sys_seg_lar_lsl_verr_verw_by_type_and_privilege),
	    WORLD_TEST(test_sys_seg_questions_about_nothing_clear_zf),
	    WORLD_TEST(test_sys_seg_lar_and_lsl_widths),
	    WORLD_TEST(test_sys_seg_arpl_raises_rpl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
