/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sys_world.h"

GUEST_CODE(code_daa, ".code32; daa; hlt");
GUEST_CODE(code_das, ".code32; das; hlt");
GUEST_CODE(code_aaa, ".code32; aaa; hlt");
GUEST_CODE(code_aas, ".code32; aas; hlt");
GUEST_CODE(code_aad, ".code32; aad; hlt");
GUEST_CODE(code_popa, ".code32; popal; hlt");
GUEST_CODE(code_fbld, ".code32; fbld %cs:(%eax); hlt");

/* Results and all six flags as an AMD part gives them (Zen 3). */
static const struct bcd_row {
	const u8 *from, *to;
	u16 ax, flags, out, out_flags;
} bcd_rows[] = {
    {code_daa, code_daa_end, 0x79, FL_AF, 0x7f, FL_AF},
    {code_daa, code_daa_end, 0x7b, 0, 0x81, FL_AF | FL_SF | FL_OF | FL_PF},
    {code_das, code_das_end, 0x00, FL_AF, 0xfa, FL_AF | FL_CF | FL_SF | FL_PF},
    {code_das, code_das_end, 0x85, FL_AF, 0x7f, FL_AF | FL_OF},
    {code_aaa, code_aaa_end, 0x7efa, 0, 0x8000,
     FL_AF | FL_CF | FL_OF | FL_SF | FL_PF},
    {code_aas, code_aas_end, 0x0005, 0, 0x0005, FL_PF},
    {code_aas, code_aas_end, 0x0106, FL_AF, 0x0000,
     FL_AF | FL_CF | FL_ZF | FL_PF},
    {code_aad, code_aad_end, 0x0c08, 0, 0x0080, FL_OF | FL_SF | FL_AF},
};

static void
test_insn_rare_bcd_sets_all_flags_as_amd_parts_do(void **state)
{
	struct sys_world *w = *state;

	for (size_t i = 0; i < sizeof(bcd_rows) / sizeof(bcd_rows[0]); i++) {
		const struct bcd_row *row = &bcd_rows[i];

		sys_world_place(w, W_CODE, row->from, row->to);
		sys_world_kernel32(w);
		w->s.gpr[RAX] = row->ax;
		w->s.rflags = FL_ONE | row->flags;
		sys_world_expect_halt(w);
		assert_int_equal(w->s.gpr[RAX], row->out);
		assert_int_equal(w->s.rflags & FL_ARITH, row->out_flags);
		sys_world_close(w);
		sys_world_open(w);
	}
}

static void
test_insn_rare_popa_keeps_what_it_popped_before_a_fault(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_popa);
	sys_world_kernel32(w);
	sys_world_pte(w, W_DATA + 0x1000, 0);
	put_le32(w->ram + W_DATA + 0xff8, 0x77);
	put_le32(w->ram + W_DATA + 0xffc, 0x66);
	w->s.gpr[RSP] = W_DATA + 0xff8;
	w->s.gpr[RBP] = 0x55;
	sys_world_gate(w, EXC_PF, W_CS64, 0x8e, 1);
	sys_world_expect_fault(w, EXC_PF, 0, 0);
	assert_int_equal(w->s.cr2, W_DATA + 0x1000);
	assert_int_equal(w->s.gpr[RDI], 0x77);
	assert_int_equal(w->s.gpr[RSI], 0x66);
	assert_int_equal(w->s.gpr[RBP], 0x55);
}

/* Eight bytes and then two: the page of the first before the segment's end. */
static void
test_insn_rare_fbld_has_the_faults_of_its_first_part_first(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_fbld);
	sys_world_kernel32(w);
	w->s.gpr[RAX] = 0xfffffff8;
	sys_world_expect_fault(w, EXC_PF, 0, 0);
	assert_int_equal(w->s.cr2, 0xfffffff8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_insn_rare_bcd_sets_all_flags_as_amd_parts_do),
	    WORLD_TEST(test_insn_rare_popa_keeps_what_it_popped_before_a_fault),
	    WORLD_TEST(
		test_insn_rare_fbld_has_the_faults_of_its_first_part_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
