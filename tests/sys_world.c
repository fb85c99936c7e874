/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/sys_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

/* Where handlers leave their mark. */
#define HANDLER_VECTOR R14
#define HANDLER_RSP    R15

u64
sys_world_desc(u32 base, u32 limit, u32 attr)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 |
	       (u64)(attr & 0xf0ff) << 40 | (u64)(limit >> 16 & 15) << 48 |
	       (u64)(base >> 24) << 56;
}

void
sys_world_gdt(struct sys_world *w, unsigned sel, u64 desc)
{
	put_le64(w->ram + W_GDT + (sel & ~7u), desc);
}

void
sys_world_gate(struct sys_world *w, unsigned vector, u16 sel, u8 type_dpl,
	       unsigned ist)
{
	u8 *gate = w->ram + W_IDT + vector * 16;
	u64 ip = W_HANDLERS + vector * 16;

	put_le64(gate, (ip & 0xffff) | (u64)sel << 16 | (u64)ist << 32 |
			   (u64)type_dpl << 40 | (ip >> 16) << 48);
	put_le64(gate + 8, ip >> 32);
}

void
sys_world_pte(struct sys_world *w, u64 lin, u64 pte)
{
	put_le64(w->ram + W_PT + (lin >> 12) * 8, pte);
}

static void
make_paging(struct sys_world *w)
{
	for (unsigned level = 0; level < 3; level++)
		put_le64(w->ram + W_PML4 + level * 0x1000,
			 (W_PML4 + (level + 1) * 0x1000) | W_PTE_ALL);
	for (u64 lin = 0; lin < W_RAM_BYTES; lin += 0x1000)
		sys_world_pte(w, lin, lin | W_PTE_ALL);
	sys_world_pte(w, W_MMIO, W_MMIO_GPA | W_PTE_ALL);
}

/* mov $vector, %r14d; mov %rsp, %r15; hlt */
static void
make_handler(struct sys_world *w, unsigned vector)
{
	static const u8 code[] = {0x41, 0xbe, 0,    0,	  0,
				  0,	0x49, 0x89, 0xe7, 0xf4};
	u8 *at = w->ram + W_HANDLERS + vector * 16;
	bool user = vector == 3 || vector == 4 || vector >= 0x80;

	memcpy(at, code, sizeof(code));
	put_le32(at + 2, vector);
	sys_world_gate(w, vector, W_CS64, user ? 0xee : 0x8e, 0);
}

static void
make_tables(struct sys_world *w)
{
	u32 user = W_DPL(3);

	sys_world_gdt(w, W_CS32, sys_world_desc(0, 0xfffff, W_CODE32));
	sys_world_gdt(w, W_CS64, sys_world_desc(0, 0xfffff, W_CODE64));
	sys_world_gdt(w, W_DS, sys_world_desc(0, 0xfffff, W_DATA_RW));
	sys_world_gdt(w, W_USER_CS32,
		      sys_world_desc(0, 0xfffff, W_CODE32 | user));
	sys_world_gdt(w, W_USER_DS,
		      sys_world_desc(0, 0xfffff, W_DATA_RW | user));
	sys_world_gdt(w, W_USER_CS64,
		      sys_world_desc(0, 0xfffff, W_CODE64 | user));
	sys_world_gdt(w, W_TR, sys_world_desc(W_TSS, 0x67, 0x89));
	sys_world_gdt(w, W_LDTR, sys_world_desc(W_LDT, 0xfff, 0x82));
	put_le64(w->ram + W_TSS + 4, W_STACK0);
	put_le64(w->ram + W_TSS + 12, W_STACK1);
	put_le64(w->ram + W_TSS + 36, W_IST1);
	put_le16(w->ram + W_TSS + 0x66, 0x68);
	for (unsigned v = 0; v < 256; v++)
		make_handler(w, v);
}

void
sys_world_open(struct sys_world *w)
{
	struct hv_config cfg = {.clock = &w->clock};
	struct err e;

	memset(w, 0, sizeof(*w));
	vclock_init(&w->clock, 0);
	vclock_start(&w->clock);
	assert_int_equal(hv_soft.create(&w->hv, &cfg, &e), 0);
	w->ram = mmap(NULL, W_RAM_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(w->ram, MAP_FAILED);
	assert_int_equal(w->hv->ops->mem_map(w->hv, 0, 0, W_RAM_BYTES, w->ram,
					     0),
			 0);
	make_paging(w);
	make_tables(w);
	cpu_state_long_mode(&w->s, W_CODE, W_PML4);
	w->s.seg[SEG_CS].sel = W_CS64;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		if (i != SEG_CS)
			w->s.seg[i].sel = W_DS;
	w->s.gdt.base = W_GDT;
	w->s.gdt.limit_bytes = W_GDT_BYTES - 1;
	w->s.idt.base = W_IDT;
	w->s.idt.limit_bytes = 0xfff;
	w->s.tr = (struct cpu_seg){.base = W_TSS,
				   .limit_bytes = 0x67,
				   .attr = 0x8b,
				   .sel = W_TR};
	w->s.ldt = (struct cpu_seg){.base = W_LDT,
				    .limit_bytes = 0xfff,
				    .attr = 0x82,
				    .sel = W_LDTR};
	w->s.gpr[RSP] = W_STACK;
	w->s.efer |= EFER_SCE | EFER_NXE;
}

void
sys_world_close(struct sys_world *w)
{
	w->hv->ops->destroy(w->hv);
	munmap(w->ram, W_RAM_BYTES);
}

int
world_setup(void **state)
{
	static struct sys_world w;

	sys_world_open(&w);
	*state = &w;
	return 0;
}

int
world_teardown(void **state)
{
	sys_world_close(*state);
	return 0;
}

/* The rest of the code area is HLT. */
void
sys_world_place(struct sys_world *w, u64 at, const u8 *from, const u8 *to)
{
	size_t bytes = (size_t)(to - from);

	assert_true(bytes < 0x1000);
	memcpy(w->ram + at, from, bytes);
	memset(w->ram + at + bytes, 0xf4, 16);
	w->hv->ops->ram_written(w->hv, at, bytes + 16);
}

/* --- where code starts ------------------------------------------------ */

static void
flat_seg(struct cpu_seg *s, u16 sel, u32 attr)
{
	*s = (struct cpu_seg){.sel = sel,
			      .attr = attr,
			      .limit_bytes = 0xffffffff};
}

void
sys_world_user(struct sys_world *w)
{
	for (unsigned i = 0; i < SEG_COUNT; i++)
		flat_seg(&w->s.seg[i], W_USER_DS, W_DATA_RW | W_DPL(3));
	flat_seg(&w->s.seg[SEG_CS], W_USER_CS64, W_CODE64 | W_DPL(3));
}

void
sys_world_user32(struct sys_world *w)
{
	sys_world_user(w);
	flat_seg(&w->s.seg[SEG_CS], W_USER_CS32, W_CODE32 | W_DPL(3));
}

void
sys_world_kernel32(struct sys_world *w)
{
	flat_seg(&w->s.seg[SEG_CS], W_CS32, W_CODE32);
}

/* --- running ---------------------------------------------------------- */

enum hv_exit_kind
sys_world_go_on(struct sys_world *w)
{
	do
		w->hv->ops->run(w->hv, VCLOCK_NEVER, &w->x);
	while (w->x.kind == HV_EXIT_KICK);
	w->hv->ops->state_get(w->hv, &w->s);
	return w->x.kind;
}

enum hv_exit_kind
sys_world_run(struct sys_world *w)
{
	w->s.gpr[HANDLER_VECTOR] = ~0ULL;
	w->s.halted = false;
	w->s.rflags |= FL_ONE; /* tests name the flags that matter */
	assert_int_equal(w->hv->ops->state_set(w->hv, &w->s), 0);
	return sys_world_go_on(w);
}

struct sys_frame
sys_world_event(struct sys_world *w, unsigned vector, bool has_error)
{
	const u8 *at = w->ram + w->s.gpr[HANDLER_RSP];
	struct sys_frame f = {0};

	assert_int_equal(w->x.kind, HV_EXIT_HLT);
	assert_int_equal(w->s.gpr[HANDLER_VECTOR], vector);
	assert_true(w->s.gpr[HANDLER_RSP] < W_RAM_BYTES - sizeof(f));
	if (has_error) {
		f.error = get_le64(at);
		at += 8;
	}
	f.rip = get_le64(at);
	f.cs = get_le64(at + 8);
	f.rflags = get_le64(at + 16);
	f.rsp = get_le64(at + 24);
	f.ss = get_le64(at + 32);
	return f;
}

void
sys_world_expect_fault(struct sys_world *w, unsigned vector, u32 error,
		       unsigned off)
{
	static const u8 with_error[] = {8, 10, 11, 12, 13, 14, 17};
	u64 rsp = w->s.gpr[RSP];
	struct sys_frame f;

	sys_world_run(w);
	f = sys_world_event(w, vector,
			    memchr(with_error, (int)vector,
				   sizeof(with_error)) != NULL);
	assert_int_equal(f.error, error);
	assert_int_equal(f.rip, W_CODE + off);
	assert_int_equal(f.rsp, rsp);
}

void
sys_world_expect_halt(struct sys_world *w)
{
	assert_int_equal(sys_world_run(w), HV_EXIT_HLT);
	assert_int_equal(w->s.gpr[HANDLER_VECTOR], ~0ULL);
}
