/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "driver/cpuid.h"
#include "tests/sys_world.h"

GUEST_CODE(code_set_cr0, "mov %rax, %cr0");
GUEST_CODE(code_set_cr2, "mov %rax, %cr2; mov %cr2, %rbx");
GUEST_CODE(code_set_cr3, "mov %rax, %cr3; mov %cr3, %rbx");
GUEST_CODE(code_set_cr4, "mov %rax, %cr4");
GUEST_CODE(code_set_cr8, "mov %rax, %cr8; mov %cr8, %rbx");
GUEST_CODE(code_get_cr0, "mov %cr0, %rax");
GUEST_CODE(code_get_crs, "mov %cr0, %rax; mov %cr2, %rbx; mov %cr3, %rcx;"
			 "mov %cr4, %rdx; mov %cr8, %rsi");
GUEST_CODE(code_set_cr0_32, ".code32; mov %eax, %cr0");
GUEST_CODE(code_cr1, ".byte 0x0f, 0x20, 0xc8");
GUEST_CODE(code_smsw, "mov $-1, %rax; mov %rax, %rbx; smsw %rax;"
		      "smsw %bx; movl $-1, 0x30000; smsw 0x30000");
GUEST_CODE(code_lmsw, "lmsw %ax");
GUEST_CODE(code_clts, "clts");
GUEST_CODE(code_remap, "mov 0x30000, %rbx; mov %rax, 0x4180;"
		       "mov 0x30000, %rcx; invlpg 0x30000;"
		       "mov 0x30000, %rdx");
GUEST_CODE(code_remap_cr3, "mov 0x30000, %rbx; mov %rax, 0x4180;"
			   "mov %cr3, %rsi; mov %rsi, %cr3;"
			   "mov 0x30000, %rdx");
GUEST_CODE(code_remap_cr4, "mov 0x30000, %rbx; mov %rax, 0x4180;"
			   "mov %rcx, %cr4; mov 0x30000, %rdx");
GUEST_CODE(code_nxe, "mov 0x30000, %rbx; wrmsr; mov 0x30000, %rbx");
GUEST_CODE(code_gs_base, "wrmsr; mov %gs:8, %rbx");
GUEST_CODE(code_wbinvd, "invd; wbinvd");
GUEST_CODE(code_invlpg, "invlpg (%rax)");
GUEST_CODE(code_set_dr0, "mov %rax, %dr0; mov %dr0, %rbx");
GUEST_CODE(code_set_dr4, ".byte 0x0f, 0x23, 0xe0; mov %dr6, %rbx");
GUEST_CODE(code_set_dr6, "mov %rax, %dr6; mov %dr6, %rbx");
GUEST_CODE(code_set_dr7, "mov %rax, %dr7; mov %dr7, %rbx");
GUEST_CODE(code_rdmsr, "rdmsr");
GUEST_CODE(code_wrmsr, "wrmsr");
GUEST_CODE(code_fs_base, "wrmsr; mov %fs:8, %rbx");
GUEST_CODE(code_swapgs, "swapgs; mov %gs:0, %rbx");
GUEST_CODE(code_rdtsc, "rdtsc");
GUEST_CODE(code_rdtsc_user, "rdtsc; int $0x80");
GUEST_CODE(code_rdtscp, "rdtscp");
GUEST_CODE(code_rdpmc, "rdpmc");
GUEST_CODE(code_cpuid, "cpuid");
GUEST_CODE(code_hlt, "hlt");
GUEST_CODE(code_cli, "cli; pushfq; pop %rbx");
GUEST_CODE(code_sti, "sti; pushfq; pop %rbx");
GUEST_CODE(code_cli_user, "cli; int $0x80");
GUEST_CODE(code_sti_user, "sti; int $0x80");
GUEST_CODE(code_sti_nop, "sti; inc %rbx; inc %rbx");
GUEST_CODE(code_pushf, "pushfq; pushfw");
GUEST_CODE(code_pushf32, ".code32; pushfl");
GUEST_CODE(code_popfq, "popfq; int $0x80");
GUEST_CODE(code_popfw, "popfw; int $0x80");
GUEST_CODE(code_popfl, ".code32; popfl; int $0x80");
GUEST_CODE(code_popf_tf, "popfq; inc %rbx; inc %rbx");
GUEST_CODE(code_monitor, "monitor");
GUEST_CODE(code_mwait, "mwait");
GUEST_CODE(code_rdrand, "rdrand %eax");
GUEST_CODE(code_xgetbv, "xgetbv");
GUEST_CODE(code_vmmcall, "vmmcall");
GUEST_CODE(code_stac, "stac");
GUEST_CODE(code_rdfsbase, "rdfsbase %rax");

static void
restart(struct sys_world *w)
{
	w->s.rip = W_CODE;
	w->s.gpr[RSP] = W_STACK;
}

/* Runs with RAX = v; a fault, #GP(0), is expected or not. */
static void
try_rax(struct sys_world *w, u64 v, bool ok)
{
	restart(w);
	w->s.gpr[RAX] = v;
	if (ok)
		sys_world_expect_halt(w);
	else
		sys_world_expect_fault(w, EXC_GP, 0, 0);
}

/* --- control registers ------------------------------------------------ */

static void
test_sys_regs_cr0_refuses_what_makes_no_sense(void **state)
{
	struct sys_world *w = *state;
	u64 cr0 = w->s.cr0;

	sys_world_code(w, code_set_cr0);
	try_rax(w, cr0 | BIT(32), false);
	try_rax(w, cr0 & ~CR0_PE, false); /* PG without PE */
	try_rax(w, cr0 | CR0_NW, false);  /* NW without CD */
	try_rax(w, cr0 & ~CR0_PG, false); /* in 64-bit mode */
	assert_int_equal(w->s.cr0, cr0);
	try_rax(w, cr0 | CR0_TS | CR0_AM | CR0_CD | CR0_NW, true);
	assert_int_equal(w->s.cr0, cr0 | CR0_TS | CR0_AM | CR0_CD | CR0_NW);
	/* ET cannot be cleared, undefined bits do not stick */
	try_rax(w, (cr0 & ~CR0_ET) | BIT(6) | BIT(28), true);
	assert_int_equal(w->s.cr0, cr0);
}

static void
test_sys_regs_control_registers_read_back(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_get_crs);
	w->s.cr2 = 0x1234567890;
	w->s.cr8 = 9;
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RAX], w->s.cr0);
	assert_int_equal(w->s.gpr[RBX], 0x1234567890);
	assert_int_equal(w->s.gpr[RCX], W_PML4);
	assert_int_equal(w->s.gpr[RDX], w->s.cr4);
	assert_int_equal(w->s.gpr[RSI], 9);
}

/* Paging goes on with LME set, and long mode begins; it ends when paging goes
 * off, which compatibility mode may do. Events have no legacy form yet: the
 * #GP of a refusal shuts down. */
static void
test_sys_regs_paging_enters_and_leaves_long_mode(void **state)
{
	struct sys_world *w = *state;
	u64 on = w->s.cr0;

	sys_world_code(w, code_set_cr0_32);
	sys_world_kernel32(w);
	/* of RAX, 32 bits are read there */
	try_rax(w, (on & ~CR0_PG) | BIT(40), true);
	assert_int_equal(w->s.efer & (EFER_LME | EFER_LMA), EFER_LME);
	assert_int_equal(w->s.cr0, on & ~CR0_PG);
	try_rax(w, on, true);
	assert_int_equal(w->s.efer & (EFER_LME | EFER_LMA),
			 EFER_LME | EFER_LMA);
	assert_int_equal(w->s.cr0, on);

	/* not without PAE, not into a segment with L set */
	try_rax(w, on & ~CR0_PG, true);
	restart(w);
	w->s.gpr[RAX] = on;
	w->s.cr4 &= ~CR4_PAE;
	assert_int_equal(sys_world_run(w), HV_EXIT_SHUTDOWN);
	assert_int_equal(w->s.cr0, on & ~CR0_PG);
	restart(w);
	w->s.cr4 |= CR4_PAE;
	w->s.seg[SEG_CS].attr |= ATTR_L;
	assert_int_equal(sys_world_run(w), HV_EXIT_SHUTDOWN);
	assert_int_equal(w->s.cr0, on & ~CR0_PG);
}

/* WP counts at once: the TLB forgets what it knew. */
static void
test_sys_regs_cr0_wp_guards_read_only_pages(void **state)
{
	struct sys_world *w = *state;

	sys_world_place(w, W_CODE, code_set_cr0, code_set_cr0_end);
	/* mov %ecx, 0x30000 before and after MOV CR0 */
	memcpy(w->ram + W_CODE, "\x89\x0c\x25\x00\x00\x03\x00", 7);
	memcpy(w->ram + W_CODE + 7, code_set_cr0, 3);
	memcpy(w->ram + W_CODE + 10, "\x89\x0c\x25\x00\x00\x03\x00\xf4", 8);
	sys_world_pte(w, W_DATA, W_DATA | 5);
	w->s.gpr[RAX] = w->s.cr0;
	w->s.gpr[RCX] = 0x77;
	w->s.cr0 &= ~CR0_WP;
	sys_world_expect_fault(w, EXC_PF, 3, 10);
	assert_int_equal(w->ram[W_DATA], 0x77);
}

static void
test_sys_regs_cr2_cr3_cr8_hold_values(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_set_cr2);
	try_rax(w, 0x8123456789abcdef, true);
	assert_true(w->s.gpr[RBX] == 0x8123456789abcdef);
	sys_world_code(w, code_set_cr3);
	try_rax(w, W_PML4 | 0x18, true);
	assert_int_equal(w->s.gpr[RBX], W_PML4 | 0x18);
	try_rax(w, W_PML4 | BIT(40), false); /* 40 address bits */
	try_rax(w, W_PML4 | BIT(63), false);
	sys_world_code(w, code_set_cr8);
	try_rax(w, 15, true);
	assert_int_equal(w->s.gpr[RBX], 15);
	try_rax(w, 16, false);
}

static void
test_sys_regs_cr4_knows_its_features_only(void **state)
{
	const u64 known = CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE |
			  CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	struct sys_world *w = *state;

	sys_world_code(w, code_set_cr4);
	for (unsigned i = 0; i < 64; i++)
		try_rax(w, BIT(i) | CR4_PAE, known & BIT(i));
	try_rax(w, known & ~CR4_PAE, false);
	try_rax(w, known, true);
	assert_int_equal(w->s.cr4, known);
}

static void
test_sys_regs_control_needs_cpl0(void **state)
{
	struct sys_world *w = *state;
	static const struct {
		const u8 *from, *to;
	} rows[] = {
#define C(name) {name, name##_end}
	    C(code_set_cr0), C(code_get_cr0), C(code_set_cr8), C(code_lmsw),
	    C(code_clts),    C(code_wbinvd),  C(code_invlpg),  C(code_set_dr0),
	    C(code_rdmsr),   C(code_wrmsr),   C(code_swapgs),  C(code_rdpmc),
	    C(code_hlt),
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		restart(w);
		sys_world_user(w);
		sys_world_place(w, W_CODE, rows[i].from, rows[i].to);
		sys_world_expect_fault(w, EXC_GP, 0, 0);
	}
}

static void
test_sys_regs_machine_status_word(void **state)
{
	struct sys_world *w = *state;
	u64 cr0 = w->s.cr0;

	sys_world_code(w, code_smsw);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RAX], cr0);
	assert_int_equal(w->s.gpr[RBX], ~0xffffULL | (cr0 & 0xffff));
	assert_int_equal(get_le32(w->ram + W_DATA),
			 0xffff0000 | (cr0 & 0xffff));
	sys_world_code(w, code_lmsw);
	try_rax(w, 0xffff, true);
	assert_int_equal(w->s.cr0, cr0 | CR0_EM | CR0_TS | CR0_MP);
	try_rax(w, 0, true); /* PE stays */
	assert_int_equal(w->s.cr0, cr0 & ~(CR0_EM | CR0_TS | CR0_MP));
	sys_world_code(w, code_clts);
	w->s.cr0 |= CR0_TS;
	try_rax(w, 0, true);
	assert_int_equal(w->s.cr0, cr0 & ~CR0_MP);
}

static void
test_sys_regs_stale_translations_end_with_a_flush(void **state)
{
	struct sys_world *w = *state;

	put_le64(w->ram + W_DATA, 1);
	put_le64(w->ram + W_DATA + 0x1000, 2);
	sys_world_code(w, code_remap);
	try_rax(w, (W_DATA + 0x1000) | W_PTE_ALL, true);
	assert_int_equal(w->s.gpr[RBX], 1);
	assert_int_equal(w->s.gpr[RDX], 2);
	sys_world_pte(w, W_DATA, W_DATA | W_PTE_ALL);
	sys_world_code(w, code_remap_cr3);
	try_rax(w, (W_DATA + 0x1000) | W_PTE_ALL, true);
	assert_int_equal(w->s.gpr[RBX], 1);
	assert_int_equal(w->s.gpr[RDX], 2);
}

/* Global pages outlive MOV CR3 but not a change of CR4.PGE. */
static void
test_sys_regs_cr4_pge_flushes_global_pages(void **state)
{
	struct sys_world *w = *state;
	u64 global = W_PTE_ALL | BIT(8);

	put_le64(w->ram + W_DATA, 1);
	put_le64(w->ram + W_DATA + 0x1000, 2);
	sys_world_pte(w, W_DATA, W_DATA | global);
	sys_world_code(w, code_remap_cr4);
	w->s.cr4 |= CR4_PGE;
	w->s.gpr[RCX] = w->s.cr4 & ~CR4_PGE;
	try_rax(w, (W_DATA + 0x1000) | global, true);
	assert_int_equal(w->s.gpr[RBX], 1);
	assert_int_equal(w->s.gpr[RDX], 2);
}

/* Without NXE the NX bit is a reserved one, at once. */
static void
test_sys_regs_efer_nxe_counts_at_once(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_nxe);
	sys_world_pte(w, W_DATA, W_DATA | W_PTE_ALL | BIT(8) | BIT(63));
	w->s.cr4 |= CR4_PGE;
	w->s.gpr[RCX] = 0xc0000080;
	w->s.gpr[RAX] = w->s.efer & ~EFER_NXE;
	w->s.gpr[RDX] = 0;
	sys_world_expect_fault(w, EXC_PF, 9, 10);
}

static void
test_sys_regs_undefined_ones_are_ud(void **state)
{
	struct sys_world *w = *state;
	static const struct {
		const u8 *from, *to;
	} rows[] = {
	    C(code_cr1),    C(code_monitor), C(code_mwait), C(code_rdrand),
	    C(code_xgetbv), C(code_vmmcall), C(code_stac),  C(code_rdfsbase),
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		restart(w);
		sys_world_place(w, W_CODE, rows[i].from, rows[i].to);
		sys_world_expect_fault(w, EXC_UD, 0, 0);
	}
}

/* --- debug registers -------------------------------------------------- */

static void
test_sys_regs_debug_registers_hold_what_they_may(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_set_dr0);
	try_rax(w, 0x8123456789abcdef, true);
	assert_true(w->s.gpr[RBX] == 0x8123456789abcdef);
	sys_world_code(w, code_set_dr6);
	try_rax(w, 0, true);
	assert_int_equal(w->s.gpr[RBX], 0xffff0ff0);
	try_rax(w, 0xffffffff, true);
	assert_int_equal(w->s.gpr[RBX], 0xffffefff);
	try_rax(w, BIT(32), false);
	sys_world_code(w, code_set_dr7);
	try_rax(w, 0xffffdfff, true);
	assert_int_equal(w->s.gpr[RBX], 0xffff07ff);
	try_rax(w, BIT(32), false);
}

static void
test_sys_regs_dr4_is_dr6_unless_de_is_set(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_set_dr4);
	try_rax(w, 3, true);
	assert_int_equal(w->s.gpr[RBX], 0xffff0ff3);
	restart(w);
	w->s.cr4 |= CR4_DE;
	sys_world_expect_fault(w, EXC_UD, 0, 0);
}

/* --- MSRs ------------------------------------------------------------- */

static void
set_msr(struct sys_world *w, u32 index, u64 v)
{
	restart(w);
	w->s.gpr[RCX] = 0xffffffff00000000 | index;
	w->s.gpr[RAX] = 0xffffffff00000000 | (u32)v;
	w->s.gpr[RDX] = 0xffffffff00000000 | v >> 32;
}

static void
test_sys_regs_msrs_hold_what_they_may(void **state)
{
	static const struct {
		u32 index;
		u64 good, bad;
	} rows[] = {
	    {0x1b, 0xfee00900, 0xfee00400},
	    {0x174, 0xffffffffffffffff, 0},
	    {0x175, 0xffff800000000000, 0x800000000000},
	    {0x176, 0x00007fffffffffff, 0xffff000000000000},
	    {0x277, 0x0007040600070106, 0x0007040600070206},
	    {0x2ff, 0x0c06, 0x0c07},
	    {0xc0000080, EFER_SCE | EFER_LME | EFER_LMA, BIT(12)},
	    {0xc0000080, EFER_LME | EFER_LMA, EFER_SCE}, /* LME, paging on */
	    {0xc0000081, 0x0023001000000000, 0},
	    {0xc0000082, 0xffffffff81000000, BIT(47)},
	    {0xc0000083, 0xffffffff81000000, BIT(47)},
	    {0xc0000084, 0x47700, BIT(32)},
	    {0xc0000100, 0x00007f1234567890, BIT(60)},
	    {0xc0000101, 0xffff888012345678, BIT(60)},
	    {0xc0000102, 0xffff888012345678, BIT(60)},
	    {0xc0000103, 0x12345678, BIT(32)},
	};
	struct sys_world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		sys_world_code(w, code_wrmsr);
		if (rows[i].bad) {
			set_msr(w, rows[i].index, rows[i].bad);
			sys_world_expect_fault(w, EXC_GP, 0, 0);
		}
		set_msr(w, rows[i].index, rows[i].good);
		sys_world_expect_halt(w);
		sys_world_code(w, code_rdmsr);
		set_msr(w, rows[i].index, 0);
		sys_world_expect_halt(w);
		assert_true(w->s.gpr[RAX] == (u32)rows[i].good);
		assert_true(w->s.gpr[RDX] == rows[i].good >> 32);
	}
}

/* LMA is not the program's. */
static void
test_sys_regs_efer_keeps_lma(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_wrmsr);
	set_msr(w, 0xc0000080, EFER_LME);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.efer, EFER_LME | EFER_LMA);
}

static void
test_sys_regs_segment_bases_count_at_once(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_fs_base);
	set_msr(w, 0xc0000100, W_DATA);
	put_le64(w->ram + W_DATA + 8, 0x4242);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 0x4242);
	sys_world_code(w, code_gs_base);
	set_msr(w, 0xc0000101, W_DATA + 8);
	put_le64(w->ram + W_DATA + 16, 0x4343);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 0x4343);
}

static void
test_sys_regs_swapgs_exchanges_bases(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_swapgs);
	w->s.seg[SEG_GS].base = 0x7f0000001000;
	w->s.msr.kernel_gs_base = W_DATA;
	put_le64(w->ram + W_DATA, 0x4242);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 0x4242);
	assert_int_equal(w->s.seg[SEG_GS].base, W_DATA);
	assert_int_equal(w->s.msr.kernel_gs_base, 0x7f0000001000);
}

/* MSRs that the processor does not keep: asked of the caller. */
static void
test_sys_regs_foreign_msrs_exit(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_rdmsr);
	set_msr(w, 0x4b564d00, 0);
	assert_int_equal(sys_world_run(w), HV_EXIT_MSR);
	assert_int_equal(w->x.msr.index, 0x4b564d00);
	assert_false(w->x.msr.write);
	w->x.msr.value = 0x1122334455667788;
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
	assert_int_equal(w->s.gpr[RAX], 0x55667788);
	assert_int_equal(w->s.gpr[RDX], 0x11223344);

	set_msr(w, 0x4b564d00, 0);
	sys_world_run(w);
	w->x.msr.fault = true;
	sys_world_go_on(w);
	assert_int_equal(sys_world_event(w, EXC_GP, true).rip, W_CODE);

	sys_world_code(w, code_wrmsr);
	set_msr(w, 0x4b564d00, 0x1122334455667788);
	assert_int_equal(sys_world_run(w), HV_EXIT_MSR);
	assert_true(w->x.msr.write);
	assert_int_equal(w->x.msr.value, 0x1122334455667788);
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
	assert_int_equal(w->s.rip, W_CODE + 3);

	set_msr(w, 0x4b564d00, 1);
	sys_world_run(w);
	w->x.msr.fault = true;
	sys_world_go_on(w);
	assert_int_equal(sys_world_event(w, EXC_GP, true).rip, W_CODE);
}

/* What kernels touch on an AMD part without asking first. */
static void
test_sys_regs_constant_msrs_read_and_swallow(void **state)
{
	static const u32 index[] = {0x8b,	0x1d9,	    0xc0010010,
				    0xc0010015, 0xc001001f, 0xc0010055};
	struct sys_world *w = *state;
	u64 before;

	for (size_t i = 0; i < ARRAY_SIZE(index); i++) {
		sys_world_code(w, code_rdmsr);
		set_msr(w, index[i], ~0ULL);
		sys_world_expect_halt(w);
		before = w->s.gpr[RDX] << 32 | w->s.gpr[RAX];
		sys_world_code(w, code_wrmsr);
		set_msr(w, index[i], ~before);
		sys_world_expect_halt(w);
		sys_world_code(w, code_rdmsr);
		set_msr(w, index[i], ~0ULL);
		sys_world_expect_halt(w);
		assert_int_equal(w->s.gpr[RDX] << 32 | w->s.gpr[RAX], before);
	}
}

/* --- time and identity ------------------------------------------------ */

static void
test_sys_regs_tsc_goes_on_from_what_was_written(void **state)
{
	struct sys_world *w = *state;
	u64 tsc;

	sys_world_code(w, code_wrmsr);
	set_msr(w, 0x10, 0x1234500000000000);
	sys_world_expect_halt(w);
	sys_world_code(w, code_rdtscp);
	restart(w);
	w->s.msr.tsc_aux = 0x321;
	sys_world_expect_halt(w);
	tsc = w->s.gpr[RDX] << 32 | w->s.gpr[RAX];
	assert_true(tsc > 0x1234500000000000);
	assert_true(tsc < 0x1234500000000000 + 60 * NS_PER_SEC);
	assert_int_equal(w->s.gpr[RCX], 0x321);
	sys_world_code(w, code_rdtsc);
	restart(w);
	sys_world_expect_halt(w);
	assert_true((w->s.gpr[RDX] << 32 | w->s.gpr[RAX]) >= tsc);
	sys_world_code(w, code_wrmsr);
	set_msr(w, 0x10, 1000);
	sys_world_expect_halt(w);
	assert_true(w->s.tsc >= 1000);
	assert_true(w->s.tsc < 60 * NS_PER_SEC);
}

static void
test_sys_regs_tsd_keeps_the_time_from_cpl3(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_rdtsc_user);
	sys_world_user(w);
	sys_world_run(w);
	sys_world_event(w, 0x80, false);
	restart(w);
	sys_world_user(w);
	w->s.cr4 |= CR4_TSD;
	sys_world_expect_fault(w, EXC_GP, 0, 0);
	sys_world_code(w, code_rdtscp);
	restart(w);
	sys_world_user(w);
	sys_world_expect_fault(w, EXC_GP, 0, 0);
}

static void
test_sys_regs_cpuid_is_the_table(void **state)
{
	static const u32 leaves[] = {0, 1, 0x80000000, 0x80000001, 0x12345};
	struct sys_world *w = *state;
	u32 want[4];

	sys_world_code(w, code_cpuid);
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
		cpuid_get(leaves[i], 0, want);
		w->s.gpr[RCX] = 0xffffffff00000000;
		try_rax(w, 0xffffffff00000000 | leaves[i], true);
		assert_int_equal(w->s.gpr[RAX], want[0]);
		assert_int_equal(w->s.gpr[RBX], want[1]);
		assert_int_equal(w->s.gpr[RCX], want[2]);
		assert_int_equal(w->s.gpr[RDX], want[3]);
	}
	/* a local APIC that is switched off is not there */
	cpuid_get(1, 0, want);
	assert_true(want[3] & BIT(9));
	w->s.msr.apic_base &= ~BIT(11);
	try_rax(w, 1, true);
	assert_int_equal(w->s.gpr[RDX], want[3] & ~(u32)BIT(9));
}

/* --- RFLAGS ----------------------------------------------------------- */

static void
test_sys_regs_cli_sti_obey_iopl(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_sti);
	sys_world_expect_halt(w);
	assert_true(w->s.gpr[RBX] & FL_IF);
	sys_world_code(w, code_cli);
	restart(w);
	sys_world_expect_halt(w);
	assert_false(w->s.gpr[RBX] & FL_IF);
	for (unsigned i = 0; i < 4; i++) {
		bool allowed = i / 2;

		if (i % 2)
			sys_world_code(w, code_sti_user);
		else
			sys_world_code(w, code_cli_user);
		restart(w);
		sys_world_user(w);
		w->s.rflags = (allowed ? 3 : 2) << 12 | (i % 2 ? 0 : FL_IF);
		if (!allowed) {
			sys_world_expect_fault(w, EXC_GP, 0, 0);
			continue;
		}
		sys_world_run(w);
		assert_int_equal(sys_world_event(w, 0x80, false).rflags & FL_IF,
				 i % 2 ? FL_IF : 0);
	}
}

/* The interrupt that waits comes after the instruction behind STI; where IF
 * was set, STI holds off nothing. */
static void
test_sys_regs_sti_shadows_one_instruction(void **state)
{
	struct sys_world *w = *state;

	for (unsigned was_on = 0; was_on < 2; was_on++) {
		sys_world_code(w, code_sti_nop);
		restart(w);
		w->s.gpr[RBX] = 0;
		w->s.rflags = was_on ? FL_IF : 0;
		w->s.int_shadow = was_on;
		w->s.rflags |= FL_ONE;
		assert_int_equal(w->hv->ops->state_set(w->hv, &w->s), 0);
		w->hv->ops->interrupt(w->hv, 0x40);
		sys_world_go_on(w);
		assert_int_equal(sys_world_event(w, 0x40, false).rip,
				 W_CODE + (was_on ? 1 : 4));
		assert_int_equal(w->s.gpr[RBX], was_on ? 0 : 1);
	}
}

static void
test_sys_regs_pushf_hides_rf_and_vm(void **state)
{
	struct sys_world *w = *state;
	u64 fl = FL_ONE | FL_CF | FL_IF | FL_IOPL | FL_AC | FL_ID;

	sys_world_code(w, code_pushf);
	w->s.rflags = fl | FL_RF;
	sys_world_expect_halt(w);
	assert_int_equal(get_le64(w->ram + W_STACK - 8), fl);
	assert_int_equal(get_le16(w->ram + W_STACK - 10), fl & 0xffff);
	assert_int_equal(w->s.gpr[RSP], W_STACK - 10);
	sys_world_code(w, code_pushf32);
	restart(w);
	sys_world_kernel32(w);
	sys_world_expect_halt(w);
	assert_int_equal(get_le32(w->ram + W_STACK - 4), fl);
	assert_int_equal(w->s.gpr[RSP], W_STACK - 4);
}

/* SDM 2B, POPF, table 4-16: what each privilege may change. */
#define POPF_ALL  (BITS(21, 0) & ~(BIT(3) | BIT(5) | BIT(15) | FL_TF))
#define POPF_FREE (FL_ARITH | FL_DF | FL_NT | FL_AC | FL_ID)

enum popf_form { POPFQ, POPFW, POPFL32 };

static void
prepare_popf(struct sys_world *w, enum popf_form form, bool user)
{
	if (form == POPFQ)
		sys_world_code(w, code_popfq);
	else if (form == POPFW)
		sys_world_code(w, code_popfw);
	else
		sys_world_code(w, code_popfl);
	if (user && form == POPFL32)
		sys_world_user32(w);
	else if (user)
		sys_world_user(w);
	else if (form == POPFL32)
		sys_world_kernel32(w);
}

static void
test_sys_regs_popf_changes_by_privilege(void **state)
{
	static const struct {
		bool user, down;
		u64 iopl, can;
	} rows[] = {
	    {false, false, 0, POPF_FREE | FL_IF | FL_IOPL},
	    {false, true, FL_IOPL, POPF_FREE | FL_IF | FL_IOPL},
	    {true, false, 0, POPF_FREE},
	    {true, true, 0, POPF_FREE},
	    {true, false, FL_IOPL, POPF_FREE | FL_IF},
	    {true, true, FL_IOPL, POPF_FREE | FL_IF},
	};

	for (size_t i = 0; i < 3 * ARRAY_SIZE(rows); i++) {
		struct sys_world *w = *state;
		enum popf_form form = i % 3;
		u64 can = rows[i / 3].can & (form == POPFW ? 0xffff : ~0ULL);
		u64 old = rows[i / 3].iopl, popped = POPF_ALL;

		if (rows[i / 3].down) {
			old |= POPF_ALL & ~(FL_VM | FL_RF | FL_IOPL);
			popped = 0;
		}
		prepare_popf(w, form, rows[i / 3].user);
		w->s.gpr[RSP] = W_STACK - 8;
		put_le64(w->ram + W_STACK - 8, popped);
		w->s.rflags = old;
		sys_world_run(w);
		assert_int_equal(sys_world_event(w, 0x80, false).rflags,
				 (old & ~can) | (popped & can) | FL_ONE);
		sys_world_close(w);
		world_setup(state);
	}
}

static void
test_sys_regs_popf_that_sets_tf_steps_the_next(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_popf_tf);
	w->s.gpr[RSP] = W_STACK - 8;
	w->s.gpr[RBX] = 0;
	put_le64(w->ram + W_STACK - 8, FL_TF);
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, EXC_DB, false).rip, W_CODE + 4);
	assert_int_equal(w->s.gpr[RBX], 1);
}

static void
test_sys_regs_flag_instructions_fault_whole(void **state)
{
	struct sys_world *w = *state;

	sys_world_pte(w, W_DATA, 0);
	sys_world_code(w, code_pushf);
	w->s.gpr[RSP] = W_DATA + 8;
	sys_world_gate(w, EXC_PF, W_CS64, 0x8e, 1);
	sys_world_expect_fault(w, EXC_PF, 2, 0);
	sys_world_code(w, code_popfq);
	w->s.rip = W_CODE;
	w->s.gpr[RSP] = W_DATA + 8;
	sys_world_expect_fault(w, EXC_PF, 0, 0);
	sys_world_gate(w, EXC_SS, W_CS64, 0x8e, 1);
	for (unsigned i = 0; i < 2; i++) {
		if (i)
			sys_world_code(w, code_pushf);
		w->s.rip = W_CODE;
		w->s.gpr[RSP] = BIT(62);
		sys_world_expect_fault(w, EXC_SS, 0, 0);
	}
}

static void
test_sys_regs_hlt_exits_behind_itself(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_hlt);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.rip, W_CODE + 1);
	assert_true(w->s.halted);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_sys_regs_cr0_refuses_what_makes_no_sense),
	    WORLD_TEST(test_sys_regs_control_registers_read_back),
	    WORLD_TEST(test_sys_regs_paging_enters_and_leaves_long_mode),
	    WORLD_TEST(test_sys_regs_cr0_wp_guards_read_only_pages),
	    WORLD_TEST(test_sys_regs_cr2_cr3_cr8_hold_values),
	    WORLD_TEST(test_sys_regs_cr4_knows_its_features_only),
	    WORLD_TEST(test_sys_regs_control_needs_cpl0),
	    WORLD_TEST(test_sys_regs_machine_status_word),
	    WORLD_TEST(test_sys_regs_stale_translations_end_with_a_flush),
	    WORLD_TEST(test_sys_regs_cr4_pge_flushes_global_pages),
	    WORLD_TEST(test_sys_regs_efer_nxe_counts_at_once),
	    WORLD_TEST(test_sys_regs_undefined_ones_are_ud),
	    WORLD_TEST(test_sys_regs_debug_registers_hold_what_they_may),
	    WORLD_TEST(test_sys_regs_dr4_is_dr6_unless_de_is_set),
	    WORLD_TEST(test_sys_regs_msrs_hold_what_they_may),
	    WORLD_TEST(test_sys_regs_efer_keeps_lma),
	    WORLD_TEST(test_sys_regs_segment_bases_count_at_once),
	    WORLD_TEST(test_sys_regs_swapgs_exchanges_bases),
	    WORLD_TEST(test_sys_regs_foreign_msrs_exit),
	    WORLD_TEST(test_sys_regs_constant_msrs_read_and_swallow),
	    WORLD_TEST(test_sys_regs_tsc_goes_on_from_what_was_written),
	    WORLD_TEST(test_sys_regs_tsd_keeps_the_time_from_cpl3),
	    WORLD_TEST(test_sys_regs_cpuid_is_the_table),
	    WORLD_TEST(test_sys_regs_cli_sti_obey_iopl),
	    WORLD_TEST(test_sys_regs_sti_shadows_one_instruction),
	    WORLD_TEST(test_sys_regs_pushf_hides_rf_and_vm),
	    WORLD_TEST(test_sys_regs_popf_changes_by_privilege),
	    WORLD_TEST(test_sys_regs_popf_that_sets_tf_steps_the_next),
	    WORLD_TEST(test_sys_regs_flag_instructions_fault_whole),
	    WORLD_TEST(test_sys_regs_hlt_exits_behind_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
