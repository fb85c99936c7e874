/* SPDX-License-Identifier: BSD-2-Clause */
/* test_soft - the ground of the software CPU: code cache, links, TLB, budgets
 *
 * What:    programs that change their own code, run one page at two
 *          addresses, move pages under the processor or are written over by
 *          devices; each must see what a processor without caches shows.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sys_world.h"

#define FN	0x40000u /* where tests put a second piece of code */
#define FN2	0x42000u
#define ALIAS_A 0x100000u /* linear addresses without a page of their own */
#define ALIAS_B 0x110000u
#define TABLES2 0x120000u /* a second set of page tables */
#define PTE_G	0x100u

/* --- self-modifying code --------------------------------------------- */

/* The store changes the immediate of the very next instruction. */
GUEST_CODE(code_smc_next, "movl $7, 1f+1(%rip); 1: mov $1, %ebx; hlt");
/* ... of an instruction in a block that already ran, in a loop. */
GUEST_CODE(code_smc_loop, "xor %ebx, %ebx; xor %ecx, %ecx;"
			  "1: add $1, %ebx; 2: nop; inc %ecx;"
			  "movb $3, 1b+2(%rip); cmp $10, %ecx; jb 1b; hlt");
GUEST_CODE(code_smc_rep, "mov $0x40000, %edi; mov $0x30000, %esi;"
			 "call *%rdi; mov %eax, %ebx;"
			 "mov $0x40000, %edi; mov $6, %ecx; rep movsb;"
			 "mov $0x40000, %edi; call *%rdi; hlt");
/* The page was written before it held code. */
GUEST_CODE(code_smc_data, "mov $0x40000, %edi; movb $0, 0x800(%rdi);"
			  "call *%rdi; mov %eax, %ebx; movb $2, 1(%rdi);"
			  "call *%rdi; hlt");
GUEST_CODE(code_ret1, "mov $1, %eax; ret");
GUEST_CODE(code_ret2, "mov $2, %eax; ret");
GUEST_CODE(code_call_fn, "mov $0x40000, %edi; call *%rdi; hlt");
GUEST_CODE(code_call_a, "mov $0x100ff0, %edi; call *%rdi; hlt");
GUEST_CODE(code_call_ab, "mov $0x100ff0, %edi; call *%rdi; mov %eax, %ebx;"
			 "mov $0x110ff0, %edi; call *%rdi; hlt");
/* A page's last bytes: falls, jumps or straddles into the next page. */
GUEST_CODE(code_jump_next, "jmp .+16");
GUEST_CODE(code_straddle, "mov $0x11223344, %eax; ret");

/* A byte register that must be fetched, compared with memory, and a branch. */
GUEST_CODE(code_fuse_high, "mov $0x0500, %ecx; movb $9, 0x30000;"
			   "xor %ebx, %ebx; cmp 0x30000, %ch; jae 1f;"
			   "or $1, %ebx; 1: cmp %ch, 0x30000; jbe 1f;"
			   "or $2, %ebx; 1: cmpb $9, 0x30000; jne 1f;"
			   "or $4, %ebx; 1: test %ch, 0x30000; jz 1f;"
			   "or $8, %ebx; 1: hlt");

/* --- translation ----------------------------------------------------- */

/* Reads lin, moves its page, reads again with and without INVLPG. */
GUEST_CODE(code_invlpg,
	   "mov 0x100000, %eax; movq $0x31007, 0x4800; invlpg 0x100000;"
	   "mov 0x100000, %ebx; hlt");
GUEST_CODE(code_exec_invlpg,
	   "mov $0x100000, %edi; call *%rdi; mov %eax, %ebx;"
	   "movq $0x42007, 0x4800; invlpg 0x100000; call *%rdi; hlt");
GUEST_CODE(code_cr3, "mov $0x100000, %edi; call *%rdi; mov %eax, %ebx;"
		     "mov 0x110000, %r8d;"
		     "mov $0x120000, %eax; mov %rax, %cr3;"
		     "call *%rdi; mov 0x110000, %r9d; hlt");
/* Calls a routine that switches address spaces before it returns to the same
 * linear address: the return stack must not lead back to the old page. */
GUEST_CODE(code_ras_cr3, "mov $0x100000, %edi; jmp *%rdi");
GUEST_CODE(code_ras_page, "mov $0x44000, %esi; call *%rsi;"
			  "mov $1, %ebx; hlt;"
			  "mov %r9, %r12; mov $0x100000, %edi; jmp *%rdi");
GUEST_CODE(code_ras_page2, "mov $0x44000, %esi; call *%rsi;"
			   "mov $2, %ebx; hlt");
GUEST_CODE(code_ras_switch, "mov %r12, %cr3; mov (%rsp), %rax; ret");
GUEST_CODE(code_wp, "mov %cr0, %rax; and $~0x10000, %rax; mov %rax, %cr0;"
		    "movl $1, 0x100000; or $0x10000, %rax; mov %rax, %cr0;"
		    "movl $2, 0x100000; hlt");
/* 1025 pages with as many slots: two share one. */
GUEST_CODE(code_sum, "xor %eax, %eax; xor %ecx, %ecx;"
		     "1: add (%rcx), %rax; add $0x1000, %rcx;"
		     "cmp $0x1f0000, %rcx; jb 1b; dec %ebx; jnz 2f; hlt;"
		     "2: xor %ecx, %ecx; jmp 1b");

GUEST_CODE(code_iretq, "iretq");
/* Two pages 4 MiB apart: they share a slot of the TLB. */
GUEST_CODE(code_write_two, "1: incl 0x30000; incl 0x430000; dec %ecx; jnz 1b;"
			   "hlt; mov $4, %ecx; jmp 1b");

/* --- budgets --------------------------------------------------------- */

GUEST_CODE(code_spin, "1: inc %rbx; jmp 1b");
GUEST_CODE(code_count, "mov $1000, %ecx; 1: dec %ecx; jnz 1b; hlt");
GUEST_CODE(code_count_fault, "nop; nop; mov 0x1f1000, %eax; nop; nop");
GUEST_CODE(code_long_rep, "1: mov $0x30000, %edi; mov $0x100000, %ecx;"
			  "rep stosb; inc %rbx; jmp 1b");
GUEST_CODE(code_poll_code, "mov $0x40000, %edi; 1: call *%rdi; cmp $2, %eax;"
			   "jne 1b; hlt");

#define PLACE(w, at, name) sys_world_place(w, at, name, name##_end)

static void
map(struct sys_world *w, u64 lin, u64 gpa)
{
	sys_world_pte(w, lin, gpa | W_PTE_ALL);
}

/* Ends a HLT by an interrupt and runs to the next one, with caches as they
 * are: sys_world_run() would begin afresh. */
static void
wake(struct sys_world *w)
{
	sys_world_gate(w, 0x80, W_CS64, 0x8e, 0);
	PLACE(w, W_HANDLERS + 0x80 * 16, code_iretq);
	w->hv->ops->interrupt(w->hv, 0x80);
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
}

static void
test_soft_sees_own_store_at_once(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_smc_next);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 7);
}

static void
test_soft_sees_store_into_running_loop(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_smc_loop);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 1 + 9 * 3);
}

static void
test_soft_drops_code_under_rep_movs(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_smc_rep);
	PLACE(w, FN, code_ret1);
	PLACE(w, W_DATA, code_ret2);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 1);
	assert_int_equal(w->s.gpr[RAX], 2);
}

static void
test_soft_drops_code_in_a_page_of_data(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_smc_data);
	PLACE(w, FN, code_ret1);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 1);
	assert_int_equal(w->s.gpr[RAX], 2);
}

static void
test_soft_drops_code_when_a_device_writes(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_call_fn);
	PLACE(w, FN, code_ret1);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RAX], 1);
	PLACE(w, FN, code_ret2);
	w->hv->ops->ram_written(w->hv, FN, 6);
	w->s.rip = W_CODE;
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RAX], 2);
}

static void
test_soft_fuses_compare_of_a_high_byte_with_memory(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_fuse_high);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 15);
}

/* One page of code at two addresses, each followed by another page. */
static void
two_views(struct sys_world *w)
{
	map(w, ALIAS_A, FN);
	map(w, ALIAS_A + 0x1000, 0x45000);
	map(w, ALIAS_B, FN);
	map(w, ALIAS_B + 0x1000, 0x46000);
	sys_world_code(w, code_call_ab);
}

static void
test_soft_links_by_linear_address(void **state)
{
	struct sys_world *w = *state;

	two_views(w);
	PLACE(w, FN + 0xff0, code_jump_next);
	PLACE(w, 0x45000, code_ret1);
	PLACE(w, 0x46000, code_ret2);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 1);
	assert_int_equal(w->s.gpr[RAX], 2);
}

static void
test_soft_straddles_into_the_right_page(void **state)
{
	struct sys_world *w = *state;
	u8 nops[0x0d];

	two_views(w);
	memset(nops, 0x90, sizeof(nops));
	sys_world_place(w, FN + 0xff0, nops, nops + sizeof(nops));
	/* three bytes before the edge, the rest behind it */
	PLACE(w, FN + 0xffd, code_straddle);
	sys_world_place(w, 0x45000, code_straddle + 3, code_straddle_end);
	sys_world_place(w, 0x46000, code_straddle + 3, code_straddle_end);
	w->ram[0x46001] = 0x99;
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 0x11223344);
	assert_int_equal(w->s.gpr[RAX], 0x99223344);
}

static void
test_soft_drops_straddling_code_by_its_second_page(void **state)
{
	struct sys_world *w = *state;

	map(w, ALIAS_A, FN);
	map(w, ALIAS_A + 0x1000, 0x45000);
	sys_world_code(w, code_call_a);
	memset(w->ram + FN + 0xff0, 0x90, 0x0d);
	PLACE(w, FN + 0xffd, code_straddle);
	sys_world_place(w, 0x45000, code_straddle + 3, code_straddle_end);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RAX], 0x11223344);
	w->ram[0x45000] = 0x55;
	w->hv->ops->ram_written(w->hv, 0x45000, 1);
	w->s.rip = W_CODE;
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RAX], 0x11553344);
}

static void
test_soft_reads_new_page_after_invlpg(void **state)
{
	struct sys_world *w = *state;

	map(w, ALIAS_A, 0x30000);
	put_le32(w->ram + 0x30000, 5);
	put_le32(w->ram + 0x31000, 6);
	sys_world_code(w, code_invlpg);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RAX], 5);
	assert_int_equal(w->s.gpr[RBX], 6);
}

static void
test_soft_runs_new_page_after_invlpg(void **state)
{
	struct sys_world *w = *state;

	map(w, ALIAS_A, FN);
	PLACE(w, FN, code_ret1);
	PLACE(w, FN2, code_ret2);
	sys_world_code(w, code_exec_invlpg);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 1);
	assert_int_equal(w->s.gpr[RAX], 2);
}

/* A second address space, equal to the first but for one page. */
static void
second_tables(struct sys_world *w, u64 lin, u64 gpa)
{
	u8 *t = w->ram + TABLES2;

	memcpy(t, w->ram + W_PML4, 0x4000);
	for (unsigned level = 0; level < 3; level++)
		put_le64(t + level * 0x1000,
			 (TABLES2 + (level + 1) * 0x1000) | W_PTE_ALL);
	put_le64(t + 0x3000 + (lin >> 12) * 8, gpa | W_PTE_ALL);
}

static void
test_soft_leaves_local_pages_with_cr3(void **state)
{
	struct sys_world *w = *state;

	map(w, ALIAS_A, FN);
	map(w, ALIAS_B, 0x30000);
	PLACE(w, FN, code_ret1);
	PLACE(w, FN2, code_ret2);
	second_tables(w, ALIAS_A, FN2);
	put_le64(w->ram + TABLES2 + 0x3000 + (ALIAS_B >> 12) * 8,
		 0x31000 | W_PTE_ALL);
	put_le32(w->ram + 0x30000, 5);
	put_le32(w->ram + 0x31000, 6);
	sys_world_code(w, code_cr3);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 1);
	assert_int_equal(w->s.gpr[RAX], 2);
	assert_int_equal(w->s.gpr[R8], 5);
	assert_int_equal(w->s.gpr[R9], 6);
}

static void
test_soft_keeps_global_pages_with_cr3(void **state)
{
	struct sys_world *w = *state;

	map(w, ALIAS_A, FN);
	PLACE(w, FN, code_ret1);
	second_tables(w, ALIAS_A, FN);
	/* Global: the first translation may outlive the switch, and here it
	 * is known to. */
	sys_world_pte(w, ALIAS_B, 0x30000 | W_PTE_ALL | PTE_G);
	put_le64(w->ram + TABLES2 + 0x3000 + (ALIAS_B >> 12) * 8,
		 0x31000 | W_PTE_ALL | PTE_G);
	put_le32(w->ram + 0x30000, 5);
	put_le32(w->ram + 0x31000, 6);
	w->s.cr4 |= CR4_PGE;
	sys_world_code(w, code_cr3);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[R8], 5);
	assert_int_equal(w->s.gpr[R9], 5);
}

static void
test_soft_returns_into_the_current_address_space(void **state)
{
	struct sys_world *w = *state;

	map(w, ALIAS_A, FN);
	PLACE(w, FN, code_ras_page);
	PLACE(w, FN2, code_ras_page2);
	PLACE(w, 0x44000, code_ras_switch);
	second_tables(w, ALIAS_A, FN2);
	sys_world_code(w, code_ras_cr3);
	/* The first turn makes the link that the second could follow. */
	w->s.gpr[R12] = W_PML4;
	w->s.gpr[R9] = TABLES2;
	w->s.rflags |= FL_IF;
	sys_world_expect_halt(w);
	assert_int_equal(w->s.gpr[RBX], 1);
	wake(w);
	assert_int_equal(w->s.gpr[RBX], 2);
}

static void
test_soft_obeys_wp_as_it_changes(void **state)
{
	struct sys_world *w = *state;

	sys_world_pte(w, ALIAS_A, 0x30000 | 5);
	sys_world_code(w, code_wp);
	assert_int_equal(sys_world_run(w), HV_EXIT_HLT);
	sys_world_event(w, EXC_PF, true);
	assert_int_equal(w->s.cr2, ALIAS_A);
	assert_int_equal(get_le32(w->ram + 0x30000), 1);
}

static void
test_soft_reads_every_page_right(void **state)
{
	struct sys_world *w = *state;
	u64 sum = 0;

	sys_world_code(w, code_sum);
	for (u64 at = 0x130000; at < 0x1f0000; at += 0x1000)
		put_le64(w->ram + at, at * 77);
	/* The first rounds set the accessed bits of the page tables, which are
	 * among the pages. */
	w->s.gpr[RBX] = 3;
	sys_world_expect_halt(w);
	w->s.rip = W_CODE;
	w->s.gpr[RBX] = 1;
	sys_world_expect_halt(w);
	for (u64 at = 0; at < 0x1f0000; at += 0x1000)
		sum += get_le64(w->ram + at);
	assert_int_equal(w->s.gpr[RAX], sum);
}

/* --- budgets and requests -------------------------------------------- */

static void
test_soft_comes_back_at_the_deadline(void **state)
{
	struct sys_world *w = *state;
	u64 start, end;

	sys_world_code(w, code_spin);
	w->hv->ops->state_set(w->hv, &w->s);
	start = vclock_now_ns(&w->clock);
	w->hv->ops->run(w->hv, start + 5 * NS_PER_MS, &w->x);
	end = vclock_now_ns(&w->clock);
	assert_int_equal(w->x.kind, HV_EXIT_KICK);
	assert_true(end - start >= 5 * NS_PER_MS);
	w->hv->ops->state_get(w->hv, &w->s);
	assert_true(w->s.gpr[RBX] > 1000);
}

struct kicker {
	struct sys_world *w;
	pthread_t thread;
	u8 *patch; /* written over FN first, or NULL */
};

static void *
kick_soon(void *arg)
{
	struct kicker *k = arg;
	struct hv *hv = k->w->hv;
	u64 until = clock_now_ns() + 2 * NS_PER_MS;

	while (clock_now_ns() < until)
		;
	if (k->patch) {
		__atomic_store_n(k->w->ram + FN + 1, 2, __ATOMIC_RELEASE);
		hv->ops->ram_written(hv, FN, 6);
	} else {
		hv->ops->kick(hv);
	}
	return NULL;
}

static void
run_kicked(struct sys_world *w, u8 *patch)
{
	struct kicker k = {.w = w, .patch = patch};

	w->hv->ops->state_set(w->hv, &w->s);
	assert_int_equal(pthread_create(&k.thread, NULL, kick_soon, &k), 0);
	w->hv->ops->run(w->hv, VCLOCK_NEVER, &w->x);
	pthread_join(k.thread, NULL);
	w->hv->ops->state_get(w->hv, &w->s);
}

static void
test_soft_leaves_when_kicked(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_spin);
	run_kicked(w, NULL);
	assert_int_equal(w->x.kind, HV_EXIT_KICK);
}

static void
test_soft_leaves_a_long_rep_when_kicked(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_long_rep);
	run_kicked(w, NULL);
	assert_int_equal(w->x.kind, HV_EXIT_KICK);
	/* wherever it stopped, count and address belong together */
	if (w->s.gpr[RCX] != 0)
		assert_int_equal(w->s.gpr[RDI] + w->s.gpr[RCX], 0x130000);
}

static void
test_soft_sees_a_device_write_while_running(void **state)
{
	struct sys_world *w = *state;

	PLACE(w, FN, code_ret1);
	sys_world_code(w, code_poll_code);
	run_kicked(w, w->ram);
	assert_int_equal(w->x.kind, HV_EXIT_HLT);
	assert_int_equal(w->s.gpr[RAX], 2);
}

static void
test_soft_counts_instructions(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_count);
	sys_world_expect_halt(w);
	assert_int_equal(w->s.insn_count, 1 + 2000 + 1);
}

/* The block is charged as it begins; a fault gives the rest back. */
static void
test_soft_counts_up_to_a_fault(void **state)
{
	struct sys_world *w = *state;

	sys_world_pte(w, 0x1f1000, 0);
	sys_world_code(w, code_count_fault);
	assert_int_equal(sys_world_run(w), HV_EXIT_HLT);
	sys_world_event(w, EXC_PF, true);
	/* two NOPs, and the handler's two and its HLT */
	assert_int_equal(w->s.insn_count, 5);
}

static void
test_soft_logs_writes_and_table_bits(void **state)
{
	struct sys_world *w = *state;
	const struct hv_ops *ops = w->hv->ops;
	u64 map_[W_RAM_BYTES / 4096 / 64];

	sys_world_pte(w, ALIAS_A, 0x30000 | W_PTE_ALL);
	put_le32(w->ram + 0x31000, 6);
	sys_world_code(w, code_invlpg);
	assert_int_equal(ops->dirty_log(w->hv, 0, true), 0);
	sys_world_expect_halt(w);
	memset(map_, 0, sizeof(map_));
	assert_int_equal(ops->dirty_get(w->hv, 0, map_), 0);
	/* the page table: written by the program and by the walk */
	assert_true(map_[0] & BIT(W_PT >> 12));
	/* A bits in the upper levels */
	assert_true(map_[0] & BIT(W_PML4 >> 12));
	/* read, not written */
	assert_false(map_[0] & BIT(0x30));
	memset(map_, 0, sizeof(map_));
	assert_int_equal(ops->dirty_get(w->hv, 0, map_), 0);
	assert_false(map_[0] & BIT(W_PT >> 12));
	/* again, through entries that are in the TLB */
	w->s.rip = W_CODE;
	sys_world_expect_halt(w);
	assert_int_equal(ops->dirty_get(w->hv, 0, map_), 0);
	assert_true(map_[0] & BIT(W_PT >> 12));
	assert_int_equal(ops->dirty_log(w->hv, 0, false), 0);
	assert_int_equal(ops->dirty_get(w->hv, 0, map_), -EINVAL);
}

static void
test_soft_logs_writes_to_pages_that_share_a_slot(void **state)
{
	struct sys_world *w = *state;
	const struct hv_ops *ops = w->hv->ops;
	u64 map_[W_RAM_BYTES / 4096 / 64];

	/* 4 MiB + 30000h, by a page directory entry of its own */
	put_le64(w->ram + 0x3000 + 2 * 8, 0x124000 | W_PTE_ALL);
	put_le64(w->ram + 0x124000 + 0x30 * 8, 0x31000 | W_PTE_ALL);
	sys_world_code(w, code_write_two);
	assert_int_equal(ops->dirty_log(w->hv, 0, true), 0);
	w->s.gpr[RCX] = 4;
	w->s.rflags |= FL_IF;
	sys_world_expect_halt(w);
	memset(map_, 0, sizeof(map_));
	assert_int_equal(ops->dirty_get(w->hv, 0, map_), 0);
	assert_int_equal(map_[0] & 3 * BIT(0x30), 3 * BIT(0x30));
	wake(w);
	memset(map_, 0, sizeof(map_));
	assert_int_equal(ops->dirty_get(w->hv, 0, map_), 0);
	assert_int_equal(map_[0] & 3 * BIT(0x30), 3 * BIT(0x30));
	assert_int_equal(get_le32(w->ram + 0x31000), 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_soft_sees_own_store_at_once),
	    WORLD_TEST(test_soft_sees_store_into_running_loop),
	    WORLD_TEST(test_soft_drops_code_under_rep_movs),
	    WORLD_TEST(test_soft_drops_code_in_a_page_of_data),
	    WORLD_TEST(test_soft_drops_code_when_a_device_writes),
	    WORLD_TEST(test_soft_fuses_compare_of_a_high_byte_with_memory),
	    WORLD_TEST(test_soft_links_by_linear_address),
	    WORLD_TEST(test_soft_straddles_into_the_right_page),
	    WORLD_TEST(test_soft_drops_straddling_code_by_its_second_page),
	    WORLD_TEST(test_soft_reads_new_page_after_invlpg),
	    WORLD_TEST(test_soft_runs_new_page_after_invlpg),
	    WORLD_TEST(test_soft_leaves_local_pages_with_cr3),
	    WORLD_TEST(test_soft_keeps_global_pages_with_cr3),
	    WORLD_TEST(test_soft_returns_into_the_current_address_space),
	    WORLD_TEST(test_soft_obeys_wp_as_it_changes),
	    WORLD_TEST(test_soft_reads_every_page_right),
	    WORLD_TEST(test_soft_comes_back_at_the_deadline),
	    WORLD_TEST(test_soft_leaves_when_kicked),
	    WORLD_TEST(test_soft_leaves_a_long_rep_when_kicked),
	    WORLD_TEST(test_soft_sees_a_device_write_while_running),
	    WORLD_TEST(test_soft_counts_instructions),
	    WORLD_TEST(test_soft_counts_up_to_a_fault),
	    WORLD_TEST(test_soft_logs_writes_and_table_bits),
	    WORLD_TEST(test_soft_logs_writes_to_pages_that_share_a_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
