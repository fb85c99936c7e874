/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sys_world.h"

GUEST_CODE(code_load, ".code32; mov %fs:(%eax), %ebx; hlt");
GUEST_CODE(code_store, ".code32; mov %ebx, %fs:(%eax); hlt");
GUEST_CODE(code_flat, ".code32; mov (%eax), %ebx; hlt");
GUEST_CODE(code_flat_ss, ".code32; mov (%ebp), %ebx; hlt");
GUEST_CODE(code_helper, ".code32; cmpxchg8b %fs:(%eax); hlt");
GUEST_CODE(code_reload, ".code32; mov 0x30000, %ebx; mov %eax, %ds;"
			"mov 0x30000, %ecx; hlt");
GUEST_CODE(code_movs, ".code32; rep movsb %fs:(%esi), %es:(%edi); hlt");
GUEST_CODE(code_push, ".code32; push %eax; hlt");
GUEST_CODE(code_x87, ".code32; fildl %fs:(%eax); hlt");
GUEST_CODE(code_sse, ".code32; movaps %fs:(%eax), %xmm0; hlt");
GUEST_CODE(code_sse_ss, ".code32; movaps (%ebp), %xmm0; hlt");

#define DATA_DOWN 0xc097u
#define DATA_RO	  0xc091u
#define CODE_ONLY 0xc099u

static void
segment(struct sys_world *w, unsigned seg, u32 base, u32 limit, u32 attr)
{
	w->s.seg[seg] = (struct cpu_seg){base, limit, attr, W_SPARE};
}

static void
again(struct sys_world *w)
{
	sys_world_close(w);
	sys_world_open(w);
	sys_world_kernel32(w);
}

/* A double word at off in FS. */
static const struct row {
	u32 attr, limit, off;
	bool load, store;
} rows[] = {
    {W_DATA_RW, W_DATA + 3, W_DATA, true, true},
    {W_DATA_RW, W_DATA + 2, W_DATA, false, false},
    {W_DATA_RW, 0xffffffff, 0xfffffffe, false, false},
    {DATA_DOWN, W_DATA - 1, W_DATA, true, true},
    {DATA_DOWN, W_DATA, W_DATA, false, false},
    {DATA_DOWN & ~ATTR_DB, 0, 0xfffc, true, true},
    {DATA_DOWN & ~ATTR_DB, 0, 0xfffd, false, false},
    {DATA_RO, 0xffffffff, W_DATA, true, false},
    {W_CODE32, 0xffffffff, W_DATA, true, false},
    {CODE_ONLY, 0xffffffff, W_DATA, false, false},
    {W_DATA_RW | ATTR_UNUSABLE, 0xffffffff, W_DATA, false, false},
};

static void
check_row(struct sys_world *w, const struct row *row, bool store)
{
	sys_world_kernel32(w);
	segment(w, SEG_FS, 0, row->limit, row->attr);
	w->s.rip = W_CODE;
	w->s.gpr[RSP] = W_STACK;
	w->s.gpr[RAX] = row->off;
	if (store ? row->store : row->load)
		sys_world_expect_halt(w);
	else
		sys_world_expect_fault(w, EXC_GP, 0, 0);
	sys_world_close(w);
	sys_world_open(w);
}

static void
test_insn_mem_obeys_type_and_limit_in_compat_mode(void **state)
{
	struct sys_world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		sys_world_code(w, code_load);
		check_row(w, &rows[i], false);
		sys_world_code(w, code_store);
		check_row(w, &rows[i], true);
	}
}

static void
test_insn_mem_checks_helpers_x87_and_sse_alike(void **state)
{
	struct sys_world *w = *state;
	static const struct {
		const u8 *from, *to;
		unsigned bytes;
	} codes[] = {
	    {code_helper, code_helper_end, 8},
	    {code_x87, code_x87_end, 4},
	    {code_sse, code_sse_end, 16},
	};

	for (unsigned i = 0; i < 6; i++) {
		bool fits = i & 1;

		sys_world_place(w, W_CODE, codes[i / 2].from, codes[i / 2].to);
		sys_world_kernel32(w);
		w->s.cr4 |= CR4_OSFXSR;
		segment(w, SEG_FS, 0, W_DATA + codes[i / 2].bytes - 2 + fits,
			W_DATA_RW);
		w->s.gpr[RAX] = W_DATA;
		if (fits)
			sys_world_expect_halt(w);
		else
			sys_world_expect_fault(w, EXC_GP, 0, 0);
		sys_world_close(w);
		sys_world_open(w);
	}
}

/* What reaches from the last byte of a flat segment to address 0. */
static void
test_insn_mem_flat_operand_does_not_wrap(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_flat);
	sys_world_kernel32(w);
	w->s.gpr[RAX] = 0xfffffffd;
	sys_world_expect_fault(w, EXC_GP, 0, 0);
	again(w);
	sys_world_code(w, code_flat_ss);
	w->s.gpr[RBP] = 0xfffffffd;
	sys_world_expect_fault(w, EXC_SS, 0, 0);
}

static void
test_insn_mem_misaligned_sse_comes_before_the_segment(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_sse_ss);
	sys_world_kernel32(w);
	w->s.cr4 |= CR4_OSFXSR;
	segment(w, SEG_SS, 0, W_DATA - 1, W_DATA_RW);
	w->s.gpr[RBP] = W_DATA;
	sys_world_expect_fault(w, EXC_SS, 0, 0);
	again(w);
	sys_world_code(w, code_sse_ss);
	w->s.cr4 |= CR4_OSFXSR;
	segment(w, SEG_SS, 0, W_DATA - 1, W_DATA_RW);
	w->s.gpr[RBP] = W_DATA + 1;
	sys_world_expect_fault(w, EXC_GP, 0, 0);
}

/* The code behind the load was decoded for the old segment. */
static void
test_insn_mem_asks_a_segment_loaded_in_the_same_block(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_reload);
	sys_world_kernel32(w);
	sys_world_gdt(w, W_SPARE, sys_world_desc(0, W_DATA + 2, 0x4093));
	put_le32(w->ram + W_DATA, 0x1234);
	w->s.gpr[RAX] = W_SPARE;
	w->s.gpr[RCX] = 7;
	sys_world_expect_fault(w, EXC_GP, 0, 8);
	assert_int_equal(w->s.gpr[RBX], 0x1234);
	assert_int_equal(w->s.gpr[RCX], 7);
}

static void
test_insn_mem_string_stops_at_the_limit(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_movs);
	sys_world_kernel32(w);
	segment(w, SEG_FS, 0, W_DATA + 2, W_DATA_RW);
	memcpy(w->ram + W_DATA, "abcdef", 6);
	w->s.gpr[RSI] = W_DATA;
	w->s.gpr[RDI] = W_DATA + 0x100;
	w->s.gpr[RCX] = 5;
	sys_world_expect_fault(w, EXC_GP, 0, 0);
	assert_memory_equal(w->ram + W_DATA + 0x100, "abc\0", 4);
	assert_int_equal(w->s.gpr[RCX], 2);
	assert_int_equal(w->s.gpr[RSI], W_DATA + 3);
}

static void
test_insn_mem_push_beyond_the_stack_is_ss(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_push);
	sys_world_kernel32(w);
	segment(w, SEG_SS, 0, W_STACK - 4, DATA_DOWN);
	sys_world_expect_fault(w, EXC_SS, 0, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_insn_mem_obeys_type_and_limit_in_compat_mode),
	    WORLD_TEST(test_insn_mem_checks_helpers_x87_and_sse_alike),
	    WORLD_TEST(test_insn_mem_flat_operand_does_not_wrap),
	    WORLD_TEST(test_insn_mem_misaligned_sse_comes_before_the_segment),
	    WORLD_TEST(test_insn_mem_asks_a_segment_loaded_in_the_same_block),
	    WORLD_TEST(test_insn_mem_string_stops_at_the_limit),
	    WORLD_TEST(test_insn_mem_push_beyond_the_stack_is_ss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
