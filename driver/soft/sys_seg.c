/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/sys_int.h"

/* --- derived state ---------------------------------------------------- */

/* Whether every access from 0 to 4 GiB is allowed. */
static bool
is_flat(const struct cpu_seg *s)
{
	u32 data = ATTR_CODE | ATTR_EXPAND_DOWN | ATTR_WRITABLE;

	return !(s->attr & ATTR_UNUSABLE) &&
	       (s->attr & data) == ATTR_WRITABLE && s->base == 0 &&
	       s->limit_bytes == BITS(31, 0);
}

/* CPL is what [S1] says. In compatibility mode every base is cut to 32 bits;
 * in 64-bit mode only FS and GS have one. MODE_STEP belongs to the run loop. */
void
soft_refresh(struct soft *c)
{
	bool code64 = soft_in_long(c) && (c->seg[SEG_CS].attr & ATTR_L);
	u32 mode = c->mode & MODE_STEP;

	c->cpl = 0;
	if (c->cr0 & CR0_PE)
		c->cpl = (u8)attr_dpl(c->seg[SEG_SS].attr);
	if (code64) {
		mode |= MODE_64;
		for (unsigned i = SEG_ES; i <= SEG_DS; i++)
			c->seg_base[i] = 0;
		c->seg_base[SEG_FS] = c->seg[SEG_FS].base;
		c->seg_base[SEG_GS] = c->seg[SEG_GS].base;
	} else {
		if (c->seg[SEG_CS].attr & ATTR_DB)
			mode |= MODE_D32;
		if (c->seg[SEG_SS].attr & ATTR_DB)
			mode |= MODE_SS32;
		for (unsigned i = 0; i < SEG_COUNT; i++) {
			c->seg_base[i] = (u32)c->seg[i].base;
			if (!is_flat(&c->seg[i]))
				mode |= MODE_CHECK(i);
		}
	}
	c->cs_base = c->seg_base[SEG_CS];
	if (c->cpl == 3)
		mode |= MODE_USER;
	c->mode = mode;
	c->tlb = c->tlbs[c->cpl == 3];
	c->ras_now = c->ras[c->cpl == 3];
}

/* --- descriptors ------------------------------------------------------ */

bool
sys_desc_find(const struct soft *c, u16 sel, unsigned size_bytes, u64 *lin)
{
	u64 base = c->gdt.base;
	u32 limit = c->gdt.limit_bytes, at = sel & ~7u;

	if (sel & SEL_TI) {
		if (c->ldt.attr & ATTR_UNUSABLE)
			return false;
		base = c->ldt.base;
		limit = c->ldt.limit_bytes;
	}
	*lin = base + at;
	return (u64)at + size_bytes - 1 <= limit;
}

/* SDM 3A figure 3-8. */
static void
unpack(struct sys_desc *d, u16 sel)
{
	u32 low = (u32)d->raw, high = (u32)(d->raw >> 32);
	u32 limit = (low & 0xffff) | (high & 0xf0000);

	d->seg.sel = sel;
	d->seg.attr = (high >> 8) & ATTR_MASK;
	d->seg.base = (low >> 16) | (high & 0xff) << 16 | (high & 0xff000000);
	d->seg.limit_bytes = d->seg.attr & ATTR_G ? limit << 12 | 0xfff : limit;
}

enum helper_result
sys_desc_fetch(struct soft *c, u16 sel, u32 ext, struct sys_desc *d)
{
	enum helper_result res;

	if (!sys_desc_find(c, sel, 8, &d->lin))
		return sys_raise_error(c, EXC_GP, sel_error(sel, ext));
	res = mem_read(c, d->lin, &d->raw, 8, ACC_READ | ACC_SYS);
	if (res != HELPER_NEXT)
		return res;
	unpack(d, sel);
	return HELPER_NEXT;
}

/* A descriptor table on a device (nobody has one) forgets the bit. */
enum helper_result
sys_desc_mark(struct soft *c, struct sys_desc *d, u8 bits)
{
	enum helper_result res;
	u8 byte5 = (u8)(d->seg.attr | bits);

	if ((d->seg.attr & bits) == bits)
		return HELPER_NEXT;
	res = mem_write(c, d->lin + 5, &byte5, 1, ACC_WRITE | ACC_SYS);
	if (res == HELPER_EXIT) {
		c->leave = LEAVE_NONE;
		res = HELPER_NEXT;
	}
	d->seg.attr |= bits;
	return res;
}

enum helper_result
sys_desc_fetch_system(struct soft *c, u16 sel, unsigned type,
		      struct sys_desc *d)
{
	u64 high, bad = sel_error(sel, 0);
	enum helper_result res;
	u32 attr;

	if ((sel & SEL_TI) || !sys_desc_find(c, sel, 16, &d->lin))
		return sys_raise_error(c, EXC_GP, (u32)bad);
	res = sys_desc_fetch(c, sel, 0, d);
	if (res != HELPER_NEXT)
		return res;
	res = mem_read(c, d->lin + 8, &high, 8, ACC_READ | ACC_SYS);
	if (res != HELPER_NEXT)
		return res;
	attr = d->seg.attr;
	d->seg.base |= high << 32;
	if ((attr & ATTR_S) || attr_type(attr) != type ||
	    (high & BITS(44, 40)) || !is_canonical(d->seg.base))
		return sys_raise_error(c, EXC_GP, (u32)bad);
	if (!(attr & ATTR_P))
		return sys_raise_error(c, EXC_NP, (u32)bad);
	return HELPER_NEXT;
}

/* --- loading ---------------------------------------------------------- */

void
sys_seg_set_null(struct soft *c, unsigned seg, u16 sel)
{
	struct cpu_seg *s = &c->seg[seg];
	u32 dpl = seg == SEG_SS ? (sel & SEL_RPL) << ATTR_DPL_SHIFT : 0;

	*s = (struct cpu_seg){.sel = sel, .attr = ATTR_UNUSABLE | dpl};
	c->seg_base[seg] = 0;
}

struct cpu_seg
sys_seg_flat(u16 sel, u32 attr)
{
	return (struct cpu_seg){.sel = sel,
				.limit_bytes = 0xffffffff,
				.attr = attr | ATTR_ACCESSED | ATTR_READABLE |
					ATTR_S | ATTR_P | ATTR_G};
}

/* SS: writable data of exactly this privilege. */
static enum helper_result
check_ss(struct soft *c, const struct cpu_seg *s)
{
	u32 attr = s->attr;

	if ((s->sel & SEL_RPL) != c->cpl || !(attr & ATTR_S) ||
	    (attr & ATTR_CODE) || !(attr & ATTR_WRITABLE) ||
	    attr_dpl(attr) != c->cpl)
		return sys_raise_error(c, EXC_GP, sel_error(s->sel, 0));
	if (!(attr & ATTR_P))
		return sys_raise_error(c, EXC_SS, sel_error(s->sel, 0));
	return HELPER_NEXT;
}

/* DS, ES, FS, GS: data or readable code, not more privileged than CPL or RPL
 * unless it is conforming code. */
static enum helper_result
check_data(struct soft *c, const struct cpu_seg *s)
{
	u32 attr = s->attr;
	bool code = attr & ATTR_CODE;

	if (!(attr & ATTR_S) || (code && !(attr & ATTR_READABLE)))
		return sys_raise_error(c, EXC_GP, sel_error(s->sel, 0));
	if (!(code && (attr & ATTR_CONFORMING)) &&
	    MAX(c->cpl, s->sel & SEL_RPL) > attr_dpl(attr))
		return sys_raise_error(c, EXC_GP, sel_error(s->sel, 0));
	if (!(attr & ATTR_P))
		return sys_raise_error(c, EXC_NP, sel_error(s->sel, 0));
	return HELPER_NEXT;
}

/* A null SS stands in 64-bit mode below CPL 3, where SS does nothing. */
static enum helper_result
load_null(struct soft *c, unsigned seg, u16 sel)
{
	if (seg == SEG_SS &&
	    (!(c->mode & MODE_64) || c->cpl == 3 || (sel & SEL_RPL) != c->cpl))
		return sys_gp(c);
	sys_seg_set_null(c, seg, sel);
	if (!(c->mode & MODE_64))
		soft_refresh(c);
	return HELPER_NEXT;
}

enum helper_result
sys_seg_load(struct soft *c, unsigned seg, u16 sel)
{
	enum helper_result res;
	struct sys_desc d;

	assert(seg != SEG_CS && seg < SEG_COUNT);
	if (sel_is_null(sel))
		return load_null(c, seg, sel);
	res = sys_desc_fetch(c, sel, 0, &d);
	if (res != HELPER_NEXT)
		return res;
	res = seg == SEG_SS ? check_ss(c, &d.seg) : check_data(c, &d.seg);
	if (res != HELPER_NEXT)
		return res;
	res = sys_desc_mark(c, &d, ATTR_ACCESSED);
	if (res != HELPER_NEXT)
		return res;
	c->seg[seg] = d.seg;
	if (seg == SEG_SS || !(c->mode & MODE_64))
		soft_refresh(c);
	else if (seg >= SEG_FS)
		c->seg_base[seg] = d.seg.base;
	return HELPER_NEXT;
}

void
sys_seg_drop_inner(struct soft *c)
{
	static const u8 segs[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

	for (unsigned i = 0; i < ARRAY_SIZE(segs); i++) {
		u32 attr = c->seg[segs[i]].attr;
		bool conforming =
		    (attr & ATTR_CODE) && (attr & ATTR_CONFORMING);

		if (!(attr & ATTR_UNUSABLE) && !conforming &&
		    attr_dpl(attr) < c->cpl)
			sys_seg_set_null(c, segs[i], 0);
	}
}

/* --- insn helpers ----------------------------------------------------- */

/* Loads seg as the last step of an instruction. SS holds interrupts and
 * single-step traps off until after the next one, which is expected to load
 * the stack pointer. */
static enum helper_result
load_last(struct soft *c, unsigned seg, u16 sel, bool shadow)
{
	u32 mode = c->mode;
	enum helper_result res = sys_seg_load(c, seg, sel);

	if (res != HELPER_NEXT)
		return res;
	if (seg != SEG_SS) /* what follows may want other checks */
		return c->mode == mode ? HELPER_NEXT : HELPER_JUMP;
	if (shadow) {
		c->int_shadow = true;
		c->trap_rule = TRAP_HELD;
	}
	return HELPER_JUMP;
}

static bool
seg_valid(unsigned seg)
{
	return seg < SEG_COUNT && seg != SEG_CS;
}

enum helper_result
sys_mov_to_seg(struct soft *c, const struct insn *in)
{
	u16 sel;

	if (!seg_valid(in->modrm_reg))
		return sys_raise(c, EXC_UD);
	if (in->has_mem) {
		enum helper_result res = insn_read(c, in, 0, &sel, 2, 0);

		if (res != HELPER_NEXT)
			return res;
	} else {
		sel = (u16)c->r[in->modrm_rm];
	}
	return load_last(c, in->modrm_reg, sel, true);
}

/* A register takes the selector zero-extended to the operand size, memory
 * takes 16 bits. */
enum helper_result
sys_mov_from_seg(struct soft *c, const struct insn *in)
{
	u16 sel;

	if (in->modrm_reg >= SEG_COUNT)
		return sys_raise(c, EXC_UD);
	sel = c->seg[in->modrm_reg].sel;
	if (in->has_mem)
		return insn_write(c, in, 0, &sel, 2, 0);
	reg_set(c, in->modrm_rm, false, in->opsize, sel);
	return HELPER_NEXT;
}

enum helper_result
sys_push_seg(struct soft *c, const struct insn *in)
{
	u64 sp = c->r[RSP] - in->opsize, v = c->seg[in->modrm_reg].sel;
	enum helper_result res = stack_write(c, sp, &v, in->opsize, 0);

	if (res == HELPER_NEXT || res == HELPER_EXIT)
		stack_set(c, sp);
	return res;
}

/* The new SS rules the stack pointer's width only from the next instruction
 * on, so the pointer moves first, and back if the load faults. */
enum helper_result
sys_pop_seg(struct soft *c, const struct insn *in)
{
	u64 sp = c->r[RSP], v = 0;
	enum helper_result res;

	if (!seg_valid(in->modrm_reg))
		return sys_raise(c, EXC_UD);
	res = stack_read(c, sp, &v, in->opsize, 0);
	if (res != HELPER_NEXT)
		return res;
	stack_set(c, sp + in->opsize);
	res = load_last(c, in->modrm_reg, (u16)v, true);
	if (res != HELPER_NEXT && res != HELPER_JUMP)
		c->r[RSP] = sp;
	return res;
}

/* LDS LES LFS LGS LSS; the segment is in imm. The offset has 16 or 32 bits: on
 * AMD parts REX.W does not widen it. */
enum helper_result
sys_load_far_pointer(struct soft *c, const struct insn *in)
{
	unsigned bytes = MIN(in->opsize, 4u);
	enum helper_result res;
	u64 at = 0;
	u16 sel;

	res = insn_read(c, in, 0, &at, bytes, 0);
	if (res == HELPER_NEXT)
		res = insn_read(c, in, bytes, &sel, 2, 0);
	if (res == HELPER_NEXT)
		res = load_last(c, (unsigned)in->imm, sel, false);
	if (res == HELPER_NEXT || res == HELPER_JUMP)
		reg_set(c, in->modrm_reg, false, in->opsize, at);
	return res;
}
