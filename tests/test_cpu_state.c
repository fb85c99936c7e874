/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "driver/cpu_state.h"
#include "driver/cpuid.h"

/* SDM 3A table 9-1 */
static void
test_cpu_state_reset_starts_at_the_reset_vector(void **state)
{
	struct cpu_state s;
	u32 leaf1[4];

	(void)state;
	memset(&s, 0xa5, sizeof(s));
	cpu_state_reset(&s);
	assert_true(s.seg[SEG_CS].base + s.rip == 0xfffffff0);
	assert_int_equal(s.seg[SEG_CS].sel, 0xf000);
	assert_int_equal(s.rflags, 2);
	assert_true(s.cr0 == 0x60000010);
	assert_int_equal(s.efer, 0);
	assert_int_equal(s.cr4, 0);
	cpuid_get(1, 0, leaf1);
	assert_int_equal(s.gpr[RDX], leaf1[0]);
	assert_int_equal(s.gpr[RSP], 0);
	assert_true(s.dr[6] == 0xffff0ff0 && s.dr[7] == 0x400);
	assert_true(s.msr.pat == 0x0007040600070406ULL);
	for (int i = 0; i < SEG_COUNT; i++) {
		assert_int_equal(s.seg[i].limit_bytes, 0xffff);
		assert_true(s.seg[i].attr & ATTR_P);
	}
	assert_int_equal(get_le16(s.fx), 0x40);
	assert_int_equal(get_le32(s.fx + 24), 0x1f80);
	assert_false(s.halted || s.int_shadow || s.event_pending ||
		     s.nmi_pending || s.nmi_masked);
}

static void
test_cpu_state_long_mode_is_flat_64_bit_kernel_mode(void **state)
{
	struct cpu_state s;

	(void)state;
	memset(&s, 0xa5, sizeof(s));
	cpu_state_long_mode(&s, 0x1000200, 0x9000);
	assert_int_equal(s.rip, 0x1000200);
	assert_int_equal(s.cr3, 0x9000);
	assert_true((s.cr0 & (CR0_PE | CR0_PG | CR0_WP)) ==
		    (CR0_PE | CR0_PG | CR0_WP));
	assert_true(s.cr4 & CR4_PAE);
	assert_int_equal(s.efer & (EFER_LME | EFER_LMA), EFER_LME | EFER_LMA);
	assert_int_equal(s.rflags, 2);
	assert_true(s.seg[SEG_CS].attr & ATTR_L);
	assert_false(s.seg[SEG_CS].attr & ATTR_DB);
	assert_int_equal(s.seg[SEG_CS].attr & ATTR_TYPE, 11);
	for (int i = 0; i < SEG_COUNT; i++) {
		assert_true(s.seg[i].base == 0);
		assert_true(s.seg[i].limit_bytes == 0xffffffff);
		assert_int_equal(bits_get(s.seg[i].attr, 6, 5), 0);
	}
	assert_int_equal(s.gdt.limit_bytes, 0);
	assert_int_equal(s.idt.limit_bytes, 0);
	assert_int_equal(get_le16(s.fx), 0x37f);
	assert_int_equal(s.fx[4], 0); /* every x87 register empty */
}

static void
test_cpu_state_valid_refuses_each_impossibility(void **state)
{
	struct cpu_state good, s;

	(void)state;
	cpu_state_reset(&good);
	assert_true(cpu_state_valid(&good));
	cpu_state_long_mode(&good, 0x1000, 0x2000);
	assert_true(cpu_state_valid(&good));
	s = good, s.rip = 1ULL << 47; /* what SYSRET may leave behind */
	assert_true(cpu_state_valid(&s));
	s = good, s.cr0 &= ~CR0_PE;
	assert_false(cpu_state_valid(&s));
	s = good, s.cr0 |= CR0_NW;
	assert_false(cpu_state_valid(&s));
	s = good, s.cr0 |= BIT(32);
	assert_false(cpu_state_valid(&s));
	s = good, s.cr4 &= ~CR4_PAE;
	assert_false(cpu_state_valid(&s));
	s = good, s.cr4 |= BIT(40);
	assert_false(cpu_state_valid(&s));
	s = good, s.efer &= ~EFER_LMA;
	assert_false(cpu_state_valid(&s));
	s = good, s.efer &= ~EFER_LME;
	assert_false(cpu_state_valid(&s));
	s = good, s.efer |= BIT(40);
	assert_false(cpu_state_valid(&s));
	s = good, s.cr3 |= BIT(60);
	assert_false(cpu_state_valid(&s));
	s = good, s.cr8 = 16;
	assert_false(cpu_state_valid(&s));
	s = good, s.seg[SEG_CS].attr |= ATTR_DB;
	assert_false(cpu_state_valid(&s));
	s = good, s.rflags = 0;
	assert_false(cpu_state_valid(&s));
	s = good, s.rflags |= BIT(15);
	assert_false(cpu_state_valid(&s));
	s = good, s.rflags |= BIT(40);
	assert_false(cpu_state_valid(&s));
	s = good, s.dr[7] |= BIT(33);
	assert_false(cpu_state_valid(&s));
	s = good, s.dr[6] |= BIT(33);
	assert_false(cpu_state_valid(&s));
	s = good, put_le32(s.fx + 24, 0x10000);
	assert_false(cpu_state_valid(&s));
	s = good, s.seg[SEG_GS].base = BIT(47);
	assert_false(cpu_state_valid(&s));
	s = good, s.msr.lstar = BIT(63);
	assert_false(cpu_state_valid(&s));
	s = good, s.idt.base = BIT(62);
	assert_false(cpu_state_valid(&s));
}

static void
fill(struct cpu_state *s)
{
	memset(s, 0, sizeof(*s));
	for (u64 i = 0; i < 16; i++)
		s->gpr[i] = 0x1111000000000000ULL + i;
	s->rip = 0xffffffff81234567ULL;
	s->rflags = FL_ONE | FL_IF | FL_ZF;
	s->cr2 = 0xdeadbeef0badcafeULL;
	s->cr3 = 0x7654000;
	s->seg[SEG_CS].sel = 0x10;
	s->seg[SEG_FS].attr = ATTR_UNUSABLE;
	s->event_pending = true;
	s->event_vector = 14;
	s->halted = true;
	s->insn_count = 123456789;
}

static void
test_cpu_state_print_shows_what_a_person_needs(void **state)
{
	static const char *const wanted[] = {"rip ffffffff81234567",
					     "rax 1111000000000000",
					     "r15 111100000000000f",
					     "cr2 deadbeef0badcafe",
					     "cr3 0000000007654000",
					     " ZF IF",
					     "halted",
					     "cs  0010",
					     "unusable",
					     "vector 14",
					     "123456789 instructions"};
	struct cpu_state s;
	char text[4096];
	size_t n;
	int lines = 0;

	(void)state;
	fill(&s);
	n = cpu_state_print(&s, text, sizeof(text));
	assert_int_equal(n, strlen(text));
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		assert_non_null(strstr(text, wanted[i]));
	for (size_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	assert_in_range(lines, 15, 25);
	assert_int_equal(text[n - 1], '\n');
	/* every line fits a terminal */
	for (char *line = text, *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		assert_true(end - line < 100);
	}
}

static void
test_cpu_state_print_stays_inside_every_buffer(void **state)
{
	struct cpu_state s;
	char whole[4096], part[4096];
	size_t n;

	(void)state;
	fill(&s);
	n = cpu_state_print(&s, whole, sizeof(whole));
	for (size_t size = 0; size <= n + 2; size++) {
		size_t got, want = size == 0 ? 0 : MIN(size - 1, n);

		memset(part, '~', sizeof(part));
		got = cpu_state_print(&s, part, size);
		assert_int_equal(got, want);
		assert_memory_equal(part, whole, got);
		if (size)
			assert_int_equal(part[got], '\0');
		assert_int_equal(part[size], '~');
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cpu_state_reset_starts_at_the_reset_vector),
	    cmocka_unit_test(
		test_cpu_state_long_mode_is_flat_64_bit_kernel_mode),
	    cmocka_unit_test(test_cpu_state_valid_refuses_each_impossibility),
	    cmocka_unit_test(test_cpu_state_print_shows_what_a_person_needs),
	    cmocka_unit_test(test_cpu_state_print_stays_inside_every_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
