/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest of a driver as one side of the differential test.
 *
 * The guest is a bare machine in long mode. User pages are those of the world
 * (diff_int.h), at the same addresses as on the host, but scattered in guest
 * physical memory so that neighbours in virtual memory are none in physical
 * memory. The kernel half has a GDT with Linux's selectors, a TSS, and an IDT
 * whose 256 handlers are one HLT each: the exit's RIP names the vector, and
 * the frame on the handler's stack has the rest. The exit page has HLT too,
 * which user code may not execute: #GP(0) at that address is the normal end.
 */
#include "tests/diff_int.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#define RAM_BYTES 0x200000U
#define KERNEL_VA 0xffffffff80000000ULL /* all of RAM, supervisor only */

/* Guest physical layout. */
#define GDT_GPA	      0x1000U
#define TSS_GPA	      0x2000U
#define IDT_GPA	      0x3000U
#define HANDLERS_GPA  0x4000U /* 256 of HANDLER_BYTES */
#define HANDLER_BYTES 16U
#define STACK_GPA     0x8000U /* grows down from here */
#define EXIT_GPA      0x9000U
#define LDT_GPA	      0xa000U
#define TABLES_GPA    0x10000U
#define WORLD_GPA     0x100000U

#define PTE_P  BIT(0)
#define PTE_W  BIT(1)
#define PTE_U  BIT(2)
#define PTE_AD (BIT(5) | BIT(6))
#define PTE_NX BIT(63)

/* Where each page of the world is: no two neighbours side by side. */
static const u32 world_gpa[DIFF_WORLD_PAGES] = {
    [PAGE_CODE0] = WORLD_GPA + 0x6000, [PAGE_CODE1] = WORLD_GPA + 0x2000,
    [PAGE_DATA0] = WORLD_GPA + 0x9000, [PAGE_DATA1] = WORLD_GPA + 0x4000,
    [PAGE_RO] = WORLD_GPA + 0xc000,    [PAGE_SMC] = WORLD_GPA + 0x0000,
};

static u8 *ram;
static u32 next_table = TABLES_GPA;
static struct vclock vclock;
static struct cpu_state template;

static u64 *
table_at(u64 *entry)
{
	if ((*entry & PTE_P) == 0) {
		next_table += DIFF_PAGE;
		assert(next_table < WORLD_GPA);
		*entry = next_table | PTE_P | PTE_W | PTE_U | PTE_AD;
	}
	return (u64 *)(ram + (*entry & BITS(50, 12)));
}

static void
map_page(u64 va, u32 gpa, u64 flags)
{
	u64 *t = (u64 *)(ram + TABLES_GPA);

	for (unsigned shift = 39; shift > 12; shift -= 9)
		t = table_at(&t[va >> shift & 511]);
	t[va >> 12 & 511] = gpa | flags | PTE_P | PTE_AD;
}

static void
map_all(void)
{
	for (u32 gpa = 0; gpa < RAM_BYTES; gpa += DIFF_PAGE)
		map_page(KERNEL_VA + gpa, gpa, PTE_W);
	map_page(DIFF_CODE_VA, world_gpa[PAGE_CODE0], PTE_U);
	map_page(DIFF_CODE_VA + DIFF_PAGE, world_gpa[PAGE_CODE1], PTE_U);
	map_page(DIFF_DATA_VA, world_gpa[PAGE_DATA0], PTE_U | PTE_W | PTE_NX);
	map_page(DIFF_DATA_VA + DIFF_PAGE, world_gpa[PAGE_DATA1],
		 PTE_U | PTE_W | PTE_NX);
	map_page(DIFF_DATA_VA + 2 * DIFF_PAGE, world_gpa[PAGE_RO],
		 PTE_U | PTE_NX);
	map_page(DIFF_SMC_VA, world_gpa[PAGE_SMC], PTE_U | PTE_W);
	map_page(DIFF_EXIT_VA, EXIT_GPA, PTE_U);
	map_page(DIFF_EXIT32_VA, EXIT_GPA, PTE_U);
	memset(ram + EXIT_GPA, 0xf4, DIFF_PAGE);
}

static void
put_gate(unsigned vector, unsigned dpl)
{
	u64 at = KERNEL_VA + HANDLERS_GPA + vector * HANDLER_BYTES;
	u8 *gate = ram + IDT_GPA + vector * 16U;

	put_le16(gate, (u16)at);
	put_le16(gate + 2, 0x10);
	gate[4] = 0;
	gate[5] = (u8)(0x8e | dpl << 5);
	put_le16(gate + 6, (u16)(at >> 16));
	put_le64(gate + 8, at >> 32);
	memset(ram + HANDLERS_GPA + vector * HANDLER_BYTES, 0xf4,
	       HANDLER_BYTES);
}

/* SDM 3A figure 3-8, with a flat base and limit. */
static void
put_flat(unsigned sel, u32 attr)
{
	put_le64(ram + GDT_GPA + sel, 0x000f00000000ffffULL | (u64)attr << 40);
}

static void
fill_tables(void)
{
	u64 tss = KERNEL_VA + TSS_GPA;

	put_flat(0x10, 0xa09b);
	put_flat(0x18, 0xc093);
	put_flat(0x20, 0xc0fb);
	put_flat(0x28, 0xc0f3);
	put_flat(0x30, 0xa0fb);
	for (unsigned n = 0; n < DIFF_LDT; n++)
		put_le64(ram + LDT_GPA + 8 * n, diff_desc_raw(&diff_ldt[n]));
	put_le64(ram + GDT_GPA + 0x40, 0x67 | (tss & 0xffffff) << 16 |
					   0x8bULL << 40 |
					   (tss >> 24 & 0xff) << 56);
	put_le64(ram + GDT_GPA + 0x48, tss >> 32);
	put_le64(ram + TSS_GPA + 4, KERNEL_VA + STACK_GPA);
	put_le16(ram + TSS_GPA + 102, 0x68); /* no I/O bitmap */
	for (unsigned v = 0; v < 256; v++)
		put_gate(v, v == EXC_BP || v == EXC_OF ? 3 : 0);
}

static void
fill_template(void)
{
	struct cpu_state *s = &template;
	struct cpu_seg data = {0, 0xffffffff, 0xc0f3, DIFF_DS};
	struct cpu_seg none = {0, 0, ATTR_UNUSABLE, 0};

	cpu_state_long_mode(s, 0, TABLES_GPA);
	s->seg[SEG_DS] = s->seg[SEG_ES] = s->seg[SEG_SS] = data;
	s->seg[SEG_FS] = s->seg[SEG_GS] = none;
	s->ldt.base = KERNEL_VA + LDT_GPA;
	s->ldt.limit_bytes = DIFF_LDT_BYTES - 1;
	s->ldt.attr = 0x82;
	s->ldt.sel = 0x50; /* nothing that LLDT could load again */
	s->tr.base = KERNEL_VA + TSS_GPA;
	s->tr.limit_bytes = 0x67;
	s->tr.attr = 0x8b;
	s->tr.sel = 0x40;
	s->gdt.base = KERNEL_VA + GDT_GPA;
	s->gdt.limit_bytes = 0x4f;
	s->idt.base = KERNEL_VA + IDT_GPA;
	s->idt.limit_bytes = 0xfff;
	s->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
	s->cr4 = CR4_DE | CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	s->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
}

static const u8 seg_order[DIFF_SELS] = {SEG_DS, SEG_ES, SEG_FS, SEG_GS, SEG_SS};

static void
set_segments(struct cpu_state *s, const struct diff_case *c)
{
	for (unsigned i = 0; i < DIFF_SELS; i++)
		if (c->sel[i] & 4)
			s->seg[seg_order[i]] = diff_desc_seg(c->sel[i] / 8U);
}

static void
set_regs(struct cpu_state *s, const struct diff_case *c)
{
	struct cpu_seg code64 = {0, 0xffffffff, 0xa0fb, DIFF_CS64};
	struct cpu_seg code32 = {0, 0xffffffff, 0xc0fb, DIFF_CS32};

	*s = template;
	memcpy(s->gpr, c->in.gpr, sizeof(s->gpr));
	s->rip = c->in.rip;
	s->rflags = c->in.rflags;
	s->seg[SEG_CS] = c->compat ? code32 : code64;
	s->seg[SEG_FS].base = c->in.fs_base;
	s->seg[SEG_GS].base = c->in.gs_base;
	set_segments(s, c);
	memcpy(s->fx, c->in.fx, sizeof(s->fx));
}

/* What the handler of the exception sees on its stack. */
static void
read_frame(const struct cpu_state *s, struct diff_outcome *o)
{
	const u8 *top = ram + STACK_GPA;
	u64 handler = s->rip - (KERNEL_VA + HANDLERS_GPA);

	o->vector = (unsigned)(handler / HANDLER_BYTES);
	o->has_error = s->gpr[RSP] == KERNEL_VA + STACK_GPA - 48;
	if (!o->has_error && s->gpr[RSP] != KERNEL_VA + STACK_GPA - 40) {
		o->vector = DIFF_LOST;
		snprintf(o->text, sizeof(o->text), "handler stack is at %#llx",
			 (unsigned long long)s->gpr[RSP]);
		return;
	}
	o->error = o->has_error ? get_le32(top - 48) : 0;
	o->out.rip = get_le64(top - 40);
	o->cs = get_le16(top - 32);
	o->out.rflags = get_le64(top - 24);
	o->out.gpr[RSP] = get_le64(top - 16);
	o->cr2 = o->vector == EXC_PF ? s->cr2 : 0;
	if (o->vector == EXC_GP && o->error == 0 &&
	    (o->out.rip == DIFF_EXIT_VA || o->out.rip == DIFF_EXIT32_VA)) {
		o->vector = DIFF_END;
		o->has_error = false;
		/* RF is an artefact of the fault that ends the case */
		o->out.rflags &= ~FL_RF;
	}
}

static void
read_segments(const struct cpu_state *s, struct diff_outcome *o)
{
	for (unsigned i = 0; i < DIFF_SELS; i++)
		o->sel[i] = s->seg[seg_order[i]].sel;
	/* SS is the handler's by now; the case's is in the frame */
	o->sel[DIFF_SELS - 1] = get_le16(ram + STACK_GPA - 8);
	o->out.fs_base = s->seg[SEG_FS].base;
	o->out.gs_base = s->seg[SEG_GS].base;
}

static void
wrong_exit(const struct vm_exit *x, struct diff_outcome *o)
{
	o->vector = x->kind == HV_EXIT_KICK ? DIFF_TIMEOUT : DIFF_LOST;
	snprintf(o->text, sizeof(o->text), "exit %d %.100s", (int)x->kind,
		 x->kind == HV_EXIT_ERROR ? x->error.text : "");
}

static void
world_changed(struct diff_side *side)
{
	for (unsigned p = 0; p < DIFF_WORLD_PAGES; p++)
		side->hv->ops->ram_written(side->hv, world_gpa[p], DIFF_PAGE);
}

static void
guest_run(struct diff_side *side, const struct diff_case *c,
	  struct diff_outcome *o)
{
	const struct hv_ops *ops = side->hv->ops;
	struct cpu_state s;
	struct vm_exit x;
	u64 handlers = KERNEL_VA + HANDLERS_GPA, deadline_ns;

	memset(o, 0, offsetof(struct diff_outcome, text) + 1);
	world_changed(side);
	set_regs(&s, c);
	if (ops->state_set(side->hv, &s) != 0) {
		o->vector = DIFF_LOST;
		snprintf(o->text, sizeof(o->text), "state refused");
		return;
	}
	deadline_ns = vclock_now_ns(&vclock) + side->patience_ns;
	do {
		ops->run(side->hv, deadline_ns, &x);
	} while (x.kind == HV_EXIT_KICK &&
		 vclock_now_ns(&vclock) < deadline_ns);
	ops->state_get(side->hv, &s);
	memcpy(o->out.gpr, s.gpr, sizeof(o->out.gpr));
	memcpy(o->out.fx, s.fx, sizeof(o->out.fx));
	memset(o->out.fx + 416, 0, 96);
	o->out.rip = s.rip;
	o->out.rflags = s.rflags;
	read_segments(&s, o);
	if (x.kind != HV_EXIT_HLT)
		wrong_exit(&x, o);
	else if (s.rip - handlers < 256 * HANDLER_BYTES)
		read_frame(&s, o);
	else
		wrong_exit(&x, o);
}

int
diff_guest_open(struct diff_side *side, const char *driver, struct err *e)
{
	const struct hv_ops *ops =
	    strcmp(driver, "kvm") == 0 ? &hv_kvm : &hv_soft;
	struct hv_config cfg = {.clock = &vclock};
	int rc;

	memset(side, 0, sizeof(*side));
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED)
		return err_errno(e, -errno, "cannot get guest memory");
	map_all();
	fill_tables();
	fill_template();
	vclock_init(&vclock, 0);
	vclock_start(&vclock);
	rc = ops->create(&side->hv, &cfg, e);
	if (rc != 0)
		return rc;
	rc = ops->mem_map(side->hv, 0, 0, RAM_BYTES, ram, 0);
	if (rc != 0)
		return err_errno(e, rc, "cannot map guest memory");
	side->name = ops->name;
	side->run = guest_run;
	for (unsigned p = 0; p < DIFF_WORLD_PAGES; p++)
		side->page[p] = ram + world_gpa[p];
	return 0;
}

void
diff_guest_close(struct diff_side *side)
{
	if (side->hv != NULL)
		side->hv->ops->destroy(side->hv);
	side->hv = NULL;
}
