/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/sys_int.h"

/* Reads the 16-bit r/m operand that all selectors come in. */
static enum helper_result
read_sel(struct soft *c, const struct insn *in, u16 *sel)
{
	if (in->has_mem)
		return insn_read(c, in, 0, sel, 2, 0);
	*sel = (u16)c->r[in->modrm_rm];
	return HELPER_NEXT;
}

/* --- GDTR, IDTR ------------------------------------------------------- */

/* The operand is limit:base of 2 + 8 bytes in 64-bit mode, else 2 + 4, of
 * which a 16-bit operand size uses 24 bits of base. */
static enum helper_result
load_table(struct soft *c, const struct insn *in, struct cpu_table *t)
{
	unsigned base_bytes = c->mode & MODE_64 ? 8 : 4;
	enum helper_result res;
	u8 buf[10] = {0};
	u64 base;

	if (c->cpl != 0)
		return sys_gp(c);
	res = insn_read(c, in, 0, buf, 2 + base_bytes, 0);
	if (res != HELPER_NEXT)
		return res;
	base = get_le64(buf + 2);
	if (!(c->mode & MODE_64) && in->opsize == 2)
		base &= BITS(23, 0);
	if (!is_canonical(base))
		return sys_gp(c);
	t->base = base;
	t->limit_bytes = get_le16(buf);
	return HELPER_NEXT;
}

static enum helper_result
store_table(struct soft *c, const struct insn *in, const struct cpu_table *t)
{
	u8 buf[10];

	put_le16(buf, t->limit_bytes);
	put_le64(buf + 2, t->base);
	return insn_write(c, in, 0, buf, c->mode & MODE_64 ? 10 : 6, 0);
}

enum helper_result
sys_lgdt(struct soft *c, const struct insn *in)
{
	return load_table(c, in, &c->gdt);
}

enum helper_result
sys_lidt(struct soft *c, const struct insn *in)
{
	return load_table(c, in, &c->idt);
}

enum helper_result
sys_sgdt(struct soft *c, const struct insn *in)
{
	return store_table(c, in, &c->gdt);
}

enum helper_result
sys_sidt(struct soft *c, const struct insn *in)
{
	return store_table(c, in, &c->idt);
}

/* --- LDTR, TR --------------------------------------------------------- */

enum helper_result
sys_lldt(struct soft *c, const struct insn *in)
{
	enum helper_result res;
	struct sys_desc d;
	u16 sel;

	if (c->cpl != 0)
		return sys_gp(c);
	res = read_sel(c, in, &sel);
	if (res != HELPER_NEXT)
		return res;
	if (sel_is_null(sel)) {
		c->ldt = (struct cpu_seg){.sel = sel, .attr = ATTR_UNUSABLE};
		return HELPER_NEXT;
	}
	res = sys_desc_fetch_system(c, sel, SYS_LDT, &d);
	if (res == HELPER_NEXT)
		c->ldt = d.seg;
	return res;
}

enum helper_result
sys_ltr(struct soft *c, const struct insn *in)
{
	enum helper_result res;
	struct sys_desc d;
	u16 sel;

	if (c->cpl != 0)
		return sys_gp(c);
	res = read_sel(c, in, &sel);
	if (res != HELPER_NEXT)
		return res;
	if (sel_is_null(sel))
		return sys_gp(c);
	res = sys_desc_fetch_system(c, sel, SYS_TSS_FREE, &d);
	if (res != HELPER_NEXT)
		return res;
	res = sys_desc_mark(c, &d, SYS_TSS_BUSY);
	if (res == HELPER_NEXT)
		c->tr = d.seg;
	return res;
}

/* A register takes the selector zero-extended to the operand size, memory
 * takes 16 bits. */
static enum helper_result
store_sel(struct soft *c, const struct insn *in, u16 sel)
{
	if (in->has_mem)
		return insn_write(c, in, 0, &sel, 2, 0);
	reg_set(c, in->modrm_rm, false, in->opsize, sel);
	return HELPER_NEXT;
}

enum helper_result
sys_sldt(struct soft *c, const struct insn *in)
{
	return store_sel(c, in, c->ldt.sel);
}

enum helper_result
sys_str(struct soft *c, const struct insn *in)
{
	return store_sel(c, in, c->tr.sel);
}

/* --- questions about selectors ---------------------------------------- */

static void
set_zf(struct soft *c, bool zf)
{
	u64 fl = flags_arith(c) & ~FL_ZF;

	flags_set_arith(c, zf ? fl | FL_ZF : fl);
}

/* Whether CPL and RPL both reach the segment; conforming code always. */
static bool
reachable(const struct soft *c, const struct cpu_seg *s)
{
	if ((s->attr & ATTR_S) && (s->attr & ATTR_CODE) &&
	    (s->attr & ATTR_CONFORMING))
		return true;
	return MAX(c->cpl, s->sel & SEL_RPL) <= attr_dpl(s->attr);
}

/* Reads the descriptor that the operand names. *ok is false, and nothing is
 * wrong, where there is none that this privilege may know of. */
static enum helper_result
ask(struct soft *c, const struct insn *in, struct sys_desc *d, bool *ok)
{
	enum helper_result res;
	u16 sel;

	*ok = false;
	res = read_sel(c, in, &sel);
	if (res != HELPER_NEXT || sel_is_null(sel) ||
	    !sys_desc_find(c, sel, 8, &d->lin))
		return res;
	res = sys_desc_fetch(c, sel, 0, d);
	if (res == HELPER_NEXT)
		*ok = reachable(c, &d->seg);
	return res;
}

/* SDM 2A, LAR and LSL, table of types: in long mode what remains of the system
 * types are LDT, TSS and, for LAR alone, call gates. */
static bool
type_known(const struct soft *c, u32 attr, bool lar)
{
	unsigned type = attr_type(attr);

	if (attr & ATTR_S)
		return true;
	switch (type) {
	case SYS_LDT:
	case SYS_TSS_FREE:
	case SYS_TSS_BUSY:
		return true;
	case SYS_CALL_GATE:
		return lar;
	case 1: /* 16-bit TSS, free and busy */
	case 3:
		return !soft_in_long(c);
	case 4: /* 16-bit call gate, task gate */
	case 5:
		return lar && !soft_in_long(c);
	default:
		return false;
	}
}

enum helper_result
sys_lar(struct soft *c, const struct insn *in)
{
	enum helper_result res;
	struct sys_desc d;
	bool ok;

	res = ask(c, in, &d, &ok);
	if (res != HELPER_NEXT)
		return res;
	ok = ok && type_known(c, d.seg.attr, true);
	if (ok)
		reg_set(c, in->modrm_reg, false, in->opsize,
			(d.raw >> 32) & 0x00ffff00);
	set_zf(c, ok);
	return HELPER_NEXT;
}

enum helper_result
sys_lsl(struct soft *c, const struct insn *in)
{
	enum helper_result res;
	struct sys_desc d;
	bool ok;

	res = ask(c, in, &d, &ok);
	if (res != HELPER_NEXT)
		return res;
	ok = ok && type_known(c, d.seg.attr, false);
	if (ok)
		reg_set(c, in->modrm_reg, false, in->opsize, d.seg.limit_bytes);
	set_zf(c, ok);
	return HELPER_NEXT;
}

enum helper_result
sys_verr(struct soft *c, const struct insn *in)
{
	enum helper_result res;
	struct sys_desc d;
	bool ok;

	res = ask(c, in, &d, &ok);
	if (res != HELPER_NEXT)
		return res;
	set_zf(c,
	       ok && (d.seg.attr & ATTR_S) &&
		   (!(d.seg.attr & ATTR_CODE) || (d.seg.attr & ATTR_READABLE)));
	return HELPER_NEXT;
}

enum helper_result
sys_verw(struct soft *c, const struct insn *in)
{
	enum helper_result res;
	struct sys_desc d;
	bool ok;

	res = ask(c, in, &d, &ok);
	if (res != HELPER_NEXT)
		return res;
	set_zf(c, ok && (d.seg.attr & ATTR_S) && !(d.seg.attr & ATTR_CODE) &&
		      (d.seg.attr & ATTR_WRITABLE));
	return HELPER_NEXT;
}

/* Raises the RPL of the destination to that of the source. Memory is written
 * only when it changes. */
enum helper_result
sys_arpl(struct soft *c, const struct insn *in)
{
	unsigned rpl = c->r[in->modrm_reg] & SEL_RPL;
	enum helper_result res = HELPER_NEXT;
	u16 sel;
	bool raise;

	if (in->has_mem)
		res = insn_read(c, in, 0, &sel, 2, 0);
	else
		sel = (u16)c->r[in->modrm_rm];
	if (res != HELPER_NEXT)
		return res;
	raise = (sel & SEL_RPL) < rpl;
	if (raise) {
		sel = (u16)((sel & ~SEL_RPL) | rpl);
		if (in->has_mem)
			res = insn_write(c, in, 0, &sel, 2, 0);
		else
			reg_set(c, in->modrm_rm, false, 2, sel);
	}
	if (res == HELPER_NEXT || res == HELPER_EXIT)
		set_zf(c, raise);
	return res;
}
