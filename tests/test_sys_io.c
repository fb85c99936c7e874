/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sys_world.h"

GUEST_CODE(code_in8, "in $0x71, %al");
GUEST_CODE(code_in16, "in %dx, %ax");
GUEST_CODE(code_in32, "in %dx, %eax");
GUEST_CODE(code_in_rexw, ".byte 0x48, 0xed");
GUEST_CODE(code_out8, "out %al, $0x80");
GUEST_CODE(code_out16, "out %ax, %dx");
GUEST_CODE(code_out32, "out %eax, $0xfe");
GUEST_CODE(code_insb, "insb");
GUEST_CODE(code_rep_insw, "rep insw");
GUEST_CODE(code_rep_insl, "rep insl");
GUEST_CODE(code_rep_insl32, ".code32; rep insl");
GUEST_CODE(code_rep_insb_a32, "addr32 rep insb");
GUEST_CODE(code_outsb, "outsb");
GUEST_CODE(code_rep_outsw, "rep outsw");
GUEST_CODE(code_rep_outsl, "rep outsl");
GUEST_CODE(code_outsb_ss, "outsb %ss:(%rsi), %dx");
GUEST_CODE(code_rep_outsb_fs, "rep outsb %fs:(%rsi), %dx");

static int
setup(void **state)
{
	struct sys_world *w;

	world_setup(state);
	w = *state;
	w->s.gpr[RDX] = 0x1f0;
	return 0;
}

static void
assert_io(const struct sys_world *w, bool write, u16 port, unsigned size,
	  u32 count)
{
	assert_int_equal(w->x.kind, HV_EXIT_IO);
	assert_int_equal(w->x.io.write, write);
	assert_int_equal(w->x.io.port, port);
	assert_int_equal(w->x.io.size_bytes, size);
	assert_int_equal(w->x.io.count, count);
}

/* Bytes n, n + 1, ... as the device's answer. */
static void
answer(struct sys_world *w, u8 n)
{
	for (u32 i = 0; i < w->x.io.count * w->x.io.size_bytes; i++)
		w->x.io.data[i] = (u8)(n + i);
}

static void
assert_bytes(const u8 *at, u32 bytes, u8 n)
{
	for (u32 i = 0; i < bytes; i++)
		assert_int_equal(at[i], (u8)(n + i));
}

/* --- IN, OUT ---------------------------------------------------------- */

static void
test_sys_io_in_merges_by_width(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_in8);
	w->s.gpr[RAX] = ~0ULL;
	sys_world_run(w);
	assert_io(w, false, 0x71, 1, 1);
	assert_int_equal(w->s.rip, W_CODE);
	w->x.io.data[0] = 0x5a;
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
	assert_int_equal(w->s.gpr[RAX], 0xffffffffffffff5a);

	sys_world_code(w, code_in16);
	w->s.rip = W_CODE;
	sys_world_run(w);
	assert_io(w, false, 0x1f0, 2, 1);
	put_le16(w->x.io.data, 0x1234);
	sys_world_go_on(w);
	assert_int_equal(w->s.gpr[RAX], 0xffffffffffff1234);

	sys_world_code(w, code_in32);
	w->s.rip = W_CODE;
	sys_world_run(w);
	put_le32(w->x.io.data, 0x89abcdef);
	sys_world_go_on(w);
	assert_int_equal(w->s.gpr[RAX], 0x89abcdef);

	sys_world_code(w, code_in_rexw);
	w->s.rip = W_CODE;
	sys_world_run(w);
	assert_io(w, false, 0x1f0, 4, 1);
}

static void
test_sys_io_out_carries_its_width(void **state)
{
	struct sys_world *w = *state;

	w->s.gpr[RAX] = 0x1122334455667788;
	sys_world_code(w, code_out8);
	sys_world_run(w);
	assert_io(w, true, 0x80, 1, 1);
	assert_int_equal(w->x.io.data[0], 0x88);
	assert_int_equal(w->s.rip, W_CODE + 2);
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);

	sys_world_code(w, code_out16);
	w->s.rip = W_CODE;
	sys_world_run(w);
	assert_io(w, true, 0x1f0, 2, 1);
	assert_int_equal(get_le16(w->x.io.data), 0x7788);

	sys_world_code(w, code_out32);
	w->s.rip = W_CODE;
	sys_world_run(w);
	assert_io(w, true, 0xfe, 4, 1);
	assert_int_equal(get_le32(w->x.io.data), 0x55667788);
}

/* An NMI that arrives with the answer waits for the instruction. */
static void
test_sys_io_in_completes_before_an_nmi(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_in8);
	w->s.rflags = FL_IF;
	sys_world_run(w);
	assert_false(w->hv->ops->irq_ready(w->hv));
	w->hv->ops->nmi(w->hv);
	w->x.io.data[0] = 0x5a;
	while (sys_world_go_on(w) == HV_EXIT_HLT && w->s.gpr[R14] == ~0ULL)
		;
	assert_true(sys_world_event(w, EXC_NMI, false).rip > W_CODE);
	assert_int_equal(w->s.gpr[RAX] & 0xff, 0x5a);
}

/* --- permission ------------------------------------------------------- */

static void
put_bitmap(struct sys_world *w, u16 at, u16 limit)
{
	put_le16(w->ram + W_TSS + 0x66, at);
	w->s.tr.limit_bytes = limit;
}

static void
test_sys_io_iopl_lets_pass(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_out16);
	sys_world_user(w);
	w->s.rflags = 2 << 12;
	sys_world_expect_fault(w, EXC_GP, 0, 0);
	w->s.rip = W_CODE;
	sys_world_user(w);
	w->s.rflags = FL_IOPL;
	sys_world_run(w);
	assert_io(w, true, 0x1f0, 2, 1);
}

static void
test_sys_io_bitmap_decides_port_by_port(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_out16);
	put_bitmap(w, 0x68, 0x68 + 8192);
	for (unsigned port = 0; port < 0x20; port++) {
		bool want = port != 7 && port != 8 && port != 15 &&
			    port != 16 && port != 20 && port != 19;

		memset(w->ram + W_TSS + 0x68, 0, 8193);
		w->ram[W_TSS + 0x69] = 1;	 /* port 8 */
		w->ram[W_TSS + 0x6a] = 1 | 0x10; /* ports 16, 20 */
		w->s.rip = W_CODE;
		w->s.gpr[RSP] = W_STACK;
		w->s.gpr[RDX] = port;
		sys_world_user(w);
		if (!want) {
			sys_world_expect_fault(w, EXC_GP, 0, 0);
			continue;
		}
		sys_world_run(w);
		assert_io(w, true, (u16)port, 2, 1);
	}
}

/* Two bytes are read for any port, and both must lie in the TSS. */
static void
test_sys_io_bitmap_ends_with_the_tss(void **state)
{
	static const struct {
		u16 port, at, limit;
		bool ok;
	} rows[] = {
	    {0, 0x68, 0x69, true},	   {0, 0x68, 0x68, false},
	    {7, 0x68, 0x69, true},	   {8, 0x68, 0x69, false},
	    {8, 0x68, 0x6a, true},	   {0xffff, 0x68, 0x2068, true},
	    {0xffff, 0x68, 0x2067, false}, {0, 0x68, 0x66, false},
	    {0, 0xffff, 0xffff, false},	   {0, 0, 0x67, true},
	};
	struct sys_world *w = *state;

	sys_world_code(w, code_out16);
	memset(w->ram + W_TSS + 0x68, 0, 8194);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		put_bitmap(w, rows[i].at, rows[i].limit);
		w->s.rip = W_CODE;
		w->s.gpr[RSP] = W_STACK;
		w->s.gpr[RDX] = rows[i].port;
		sys_world_user(w);
		if (!rows[i].ok) {
			sys_world_expect_fault(w, EXC_GP, 0, 0);
			continue;
		}
		sys_world_run(w);
		assert_io(w, true, rows[i].port, 2, 1);
	}
}

static void
test_sys_io_bitmap_may_be_hidden_from_users(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_out16);
	put_bitmap(w, 0x68, 0x2068);
	sys_world_user(w);
	sys_world_pte(w, W_TSS, W_TSS | 3);
	sys_world_run(w);
	assert_io(w, true, 0x1f0, 2, 1);
}

static void
test_sys_io_without_a_tss_nothing_is_allowed(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_out16);
	put_bitmap(w, 0x68, 0x2068);
	sys_world_user(w);
	w->s.tr.attr |= ATTR_UNUSABLE;
	sys_world_expect_fault(w, EXC_GP, 0, 0);
}

/* --- INS -------------------------------------------------------------- */

static void
test_sys_io_insb_moves_one(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_insb);
	w->s.gpr[RDI] = W_DATA;
	w->s.gpr[RCX] = 5;
	sys_world_run(w);
	assert_io(w, false, 0x1f0, 1, 1);
	answer(w, 0x77);
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
	assert_int_equal(w->ram[W_DATA], 0x77);
	assert_int_equal(w->ram[W_DATA + 1], 0);
	assert_int_equal(w->s.gpr[RDI], W_DATA + 1);
	assert_int_equal(w->s.gpr[RCX], 5);
}

/* A sector that begins in the middle of a page: two exits. */
static void
test_sys_io_rep_ins_batches_to_the_end_of_the_page(void **state)
{
	struct sys_world *w = *state;
	u64 at = W_DATA + 0x1000 - 100;

	sys_world_code(w, code_rep_insw);
	w->s.gpr[RDI] = at;
	w->s.gpr[RCX] = 256;
	sys_world_run(w);
	assert_io(w, false, 0x1f0, 2, 50);
	assert_int_equal(w->s.gpr[RCX], 256);
	answer(w, 1);
	sys_world_go_on(w);
	assert_io(w, false, 0x1f0, 2, 206);
	assert_int_equal(w->s.gpr[RCX], 206);
	assert_int_equal(w->s.gpr[RDI], at + 100);
	assert_bytes(w->ram + at, 100, 1);
	answer(w, 2);
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
	assert_bytes(w->ram + at + 100, 412, 2);
	assert_int_equal(w->ram[at + 512], 0);
	assert_int_equal(w->s.gpr[RCX], 0);
	assert_int_equal(w->s.gpr[RDI], at + 512);
	assert_int_equal(w->s.rip, W_CODE + 4);
}

/* A page of RAM without a fast write: code was decoded from it. */
static void
test_sys_io_rep_ins_overwrites_code(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_rep_insl);
	w->s.gpr[RDI] = W_CODE;
	w->s.gpr[RCX] = 0x41;
	sys_world_run(w);
	assert_io(w, false, 0x1f0, 4, 0x41);
	memset(w->ram + W_CODE - 0x100, 0, 0x100);
	answer(w, 0);
	w->x.io.data[2] = 0xf4; /* where the instruction itself ends: HLT */
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
	assert_int_equal(w->s.rip, W_CODE + 3);
	assert_bytes(w->ram + W_CODE + 3, 0x101, 3);
	assert_int_equal(w->ram[W_CODE - 1], 0);
	assert_int_equal(w->ram[W_CODE + 0x104], 0);
}

static void
test_sys_io_rep_ins_going_down_moves_singly(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_rep_insl);
	w->s.gpr[RDI] = W_DATA + 4;
	w->s.gpr[RCX] = 2;
	w->s.rflags = FL_DF;
	sys_world_run(w);
	assert_io(w, false, 0x1f0, 4, 1);
	answer(w, 0x10);
	sys_world_go_on(w);
	assert_io(w, false, 0x1f0, 4, 1);
	answer(w, 0x20);
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
	assert_bytes(w->ram + W_DATA + 4, 4, 0x10);
	assert_bytes(w->ram + W_DATA, 4, 0x20);
	assert_int_equal(w->s.gpr[RDI], W_DATA - 4);
	assert_int_equal(w->s.gpr[RCX], 0);
}

static void
test_sys_io_rep_ins_item_across_pages_goes_alone(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_rep_insl);
	w->s.gpr[RDI] = W_DATA + 0xffe;
	w->s.gpr[RCX] = 3;
	sys_world_run(w);
	assert_io(w, false, 0x1f0, 4, 1);
	answer(w, 1);
	sys_world_go_on(w);
	assert_io(w, false, 0x1f0, 4, 2);
	answer(w, 5);
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
	assert_bytes(w->ram + W_DATA + 0xffe, 12, 1);
}

/* The page that cannot be written faults before the device is asked. */
static void
test_sys_io_ins_faults_before_the_port_is_read(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_rep_insl);
	sys_world_pte(w, W_DATA + 0x1000, (W_DATA + 0x1000) | 5);
	w->s.gpr[RDI] = W_DATA + 0xffe;
	w->s.gpr[RCX] = 3;
	sys_world_expect_fault(w, EXC_PF, 3, 0);
	assert_int_equal(w->s.cr2, W_DATA + 0x1000);
	assert_int_equal(w->s.gpr[RCX], 3);

	/* ... and after a first part, with that part done */
	w->s.rip = W_CODE;
	w->s.gpr[RSP] = W_STACK;
	w->s.gpr[RDI] = W_DATA + 0xff8;
	sys_world_run(w);
	assert_io(w, false, 0x1f0, 4, 2);
	answer(w, 9);
	sys_world_go_on(w);
	assert_int_equal(sys_world_event(w, EXC_PF, true).rip, W_CODE);
	assert_bytes(w->ram + W_DATA + 0xff8, 8, 9);
	assert_int_equal(w->s.gpr[RCX], 1);
	assert_int_equal(w->s.gpr[RDI], W_DATA + 0x1000);
}

static void
test_sys_io_rep_ins_into_a_device_alternates(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_rep_insw);
	w->s.gpr[RDI] = W_MMIO + 8;
	w->s.gpr[RCX] = 2;
	for (unsigned i = 0; i < 2; i++) {
		if (i == 0)
			sys_world_run(w);
		else
			sys_world_go_on(w);
		assert_io(w, false, 0x1f0, 2, 1);
		answer(w, (u8)(0x30 + i));
		sys_world_go_on(w);
		assert_int_equal(w->x.kind, HV_EXIT_MMIO);
		assert_true(w->x.mmio.write);
		assert_int_equal(w->x.mmio.gpa, W_MMIO_GPA + 8 + 2 * i);
		assert_int_equal(w->x.mmio.size_bytes, 2);
		assert_bytes(w->x.mmio.data, 2, (u8)(0x30 + i));
	}
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
	assert_int_equal(w->s.gpr[RCX], 0);
	assert_int_equal(w->s.rip, W_CODE + 4);
}

static void
test_sys_io_rep_of_nothing_asks_nobody(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_rep_insl);
	w->s.gpr[RCX] = 0;
	w->s.gpr[RDI] = BIT(63); /* not even looked at */
	sys_world_expect_halt(w);
	sys_world_code(w, code_rep_outsl);
	w->s.rip = W_CODE;
	w->s.gpr[RSI] = BIT(63);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RSI], BIT(63));
}

/* Counters and pointers are as wide as addresses. */
static void
test_sys_io_rep_ins_narrow_addresses(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_rep_insb_a32);
	w->s.gpr[RDI] = 0xffffffff00000000 | W_DATA;
	w->s.gpr[RCX] = 0xffffffff00000004;
	sys_world_run(w);
	assert_io(w, false, 0x1f0, 1, 4);
	answer(w, 7);
	sys_world_go_on(w);
	assert_bytes(w->ram + W_DATA, 4, 7);
	assert_int_equal(w->s.gpr[RDI], W_DATA + 4);
	assert_int_equal(w->s.gpr[RCX], 0);

	sys_world_close(w);
	setup(state);
	sys_world_code(w, code_rep_insl32);
	sys_world_kernel32(w);
	w->s.seg[SEG_ES].base = 0xffffff00; /* addresses wrap at 4 GiB */
	w->s.gpr[RDI] = W_DATA + 0x200;
	w->s.gpr[RCX] = 2;
	sys_world_run(w);
	assert_io(w, false, 0x1f0, 4, 1); /* each has to ask the segment */
	answer(w, 3);
	sys_world_go_on(w);
	assert_io(w, false, 0x1f0, 4, 1);
	answer(w, 7);
	sys_world_go_on(w);
	assert_bytes(w->ram + W_DATA + 0x100, 8, 3);
}

/* --- OUTS ------------------------------------------------------------- */

static void
test_sys_io_outsb_moves_one(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_outsb);
	w->ram[W_DATA] = 0x42;
	w->s.seg[SEG_DS].base = 0x100; /* none in 64-bit mode */
	w->s.gpr[RSI] = W_DATA;
	w->s.rflags = FL_DF;
	sys_world_run(w);
	assert_io(w, true, 0x1f0, 1, 1);
	assert_int_equal(w->x.io.data[0], 0x42);
	assert_int_equal(w->s.gpr[RSI], W_DATA - 1);
	assert_int_equal(w->s.rip, W_CODE + 1);
}

static void
test_sys_io_rep_outs_batches_to_the_end_of_the_page(void **state)
{
	struct sys_world *w = *state;
	u64 at = W_DATA + 0x1000 - 100;

	sys_world_code(w, code_rep_outsw);
	for (unsigned i = 0; i < 512; i++)
		w->ram[at + i] = (u8)(i + 1);
	w->s.gpr[RSI] = at;
	w->s.gpr[RCX] = 256;
	sys_world_run(w);
	assert_io(w, true, 0x1f0, 2, 50);
	assert_bytes(w->x.io.data, 100, 1);
	assert_int_equal(w->s.rip, W_CODE);
	assert_int_equal(w->s.gpr[RCX], 206);
	sys_world_go_on(w);
	assert_io(w, true, 0x1f0, 2, 206);
	assert_bytes(w->x.io.data, 412, 101);
	assert_int_equal(w->s.rip, W_CODE + 3);
	assert_int_equal(w->s.gpr[RCX], 0);
	assert_int_equal(w->s.gpr[RSI], at + 512);
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
}

static void
test_sys_io_rep_outs_faults_after_what_could_be_read(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_rep_outsl);
	sys_world_pte(w, W_DATA + 0x1000, 0);
	w->s.gpr[RSI] = W_DATA + 0xffc;
	w->s.gpr[RCX] = 2;
	sys_world_run(w);
	assert_io(w, true, 0x1f0, 4, 1);
	sys_world_go_on(w);
	assert_int_equal(sys_world_event(w, EXC_PF, true).rip, W_CODE);
	assert_int_equal(w->s.cr2, W_DATA + 0x1000);
	assert_int_equal(w->s.gpr[RCX], 1);
}

static void
test_sys_io_rep_outs_from_a_device_alternates(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_rep_outsl);
	w->s.gpr[RSI] = W_MMIO;
	w->s.gpr[RCX] = 2;
	for (unsigned i = 0; i < 2; i++) {
		if (i == 0)
			sys_world_run(w);
		else
			sys_world_go_on(w);
		assert_int_equal(w->x.kind, HV_EXIT_MMIO);
		assert_false(w->x.mmio.write);
		assert_int_equal(w->x.mmio.gpa, W_MMIO_GPA + 4 * i);
		put_le32(w->x.mmio.data, 0xaa00 + i);
		sys_world_go_on(w);
		assert_io(w, true, 0x1f0, 4, 1);
		assert_int_equal(get_le32(w->x.io.data), 0xaa00 + i);
	}
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
}

static void
test_sys_io_outs_obeys_a_segment_prefix(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_rep_outsb_fs);
	w->s.seg[SEG_FS].base = 0x800;
	w->ram[W_DATA + 0x800] = 0x99;
	w->s.gpr[RSI] = W_DATA;
	w->s.gpr[RCX] = 1;
	sys_world_run(w);
	assert_io(w, true, 0x1f0, 1, 1);
	assert_int_equal(w->x.io.data[0], 0x99);
	sys_world_code(w, code_outsb_ss);
	w->s.rip = W_CODE;
	w->s.gpr[RSI] = BIT(62);
	/* which is no prefix in 64-bit mode */
	sys_world_expect_fault(w, EXC_GP, 0, 0);
}

/* Stepped, a REP traps after each item. */
static void
test_sys_io_rep_steps_item_by_item(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_rep_insw);
	w->s.gpr[RDI] = W_DATA;
	w->s.gpr[RCX] = 3;
	w->s.rflags = FL_TF;
	sys_world_run(w);
	assert_io(w, false, 0x1f0, 2, 1);
	answer(w, 1);
	sys_world_go_on(w);
	assert_int_equal(sys_world_event(w, EXC_DB, false).rip, W_CODE);
	assert_int_equal(w->s.gpr[RCX], 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_sys_io_in_merges_by_width),
	    T(test_sys_io_out_carries_its_width),
	    T(test_sys_io_in_completes_before_an_nmi),
	    T(test_sys_io_iopl_lets_pass),
	    T(test_sys_io_bitmap_decides_port_by_port),
	    T(test_sys_io_bitmap_ends_with_the_tss),
	    T(test_sys_io_bitmap_may_be_hidden_from_users),
	    T(test_sys_io_without_a_tss_nothing_is_allowed),
	    T(test_sys_io_insb_moves_one),
	    T(test_sys_io_rep_ins_batches_to_the_end_of_the_page),
	    T(test_sys_io_rep_ins_overwrites_code),
	    T(test_sys_io_rep_ins_going_down_moves_singly),
	    T(test_sys_io_rep_ins_item_across_pages_goes_alone),
	    T(test_sys_io_ins_faults_before_the_port_is_read),
	    T(test_sys_io_rep_ins_into_a_device_alternates),
	    T(test_sys_io_rep_of_nothing_asks_nobody),
	    T(test_sys_io_rep_ins_narrow_addresses),
	    T(test_sys_io_outsb_moves_one),
	    T(test_sys_io_rep_outs_batches_to_the_end_of_the_page),
	    T(test_sys_io_rep_outs_faults_after_what_could_be_read),
	    T(test_sys_io_rep_outs_from_a_device_alternates),
	    T(test_sys_io_outs_obeys_a_segment_prefix),
	    T(test_sys_io_rep_steps_item_by_item),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
