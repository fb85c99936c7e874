/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/sys_int.h"

/* --- shared checks ---------------------------------------------------- */

static bool
is_code(u32 attr)
{
	return (attr & ATTR_S) && (attr & ATTR_CODE);
}

/* L and D together are reserved in long mode. */
static bool
is_bad_code_size(const struct soft *c, u32 attr)
{
	return soft_in_long(c) && (attr & ATTR_L) && (attr & ATTR_DB);
}

static bool
is_code64(const struct soft *c, u32 attr)
{
	return soft_in_long(c) && (attr & ATTR_L);
}

/* An instruction pointer must be canonical in 64-bit mode and inside the
 * segment else. */
static enum helper_result
check_ip(struct soft *c, const struct cpu_seg *cs, u64 ip)
{
	bool ok =
	    is_code64(c, cs->attr) ? is_canonical(ip) : ip <= cs->limit_bytes;

	return ok ? HELPER_NEXT : sys_gp(c);
}

/* Loads CS for code at privilege cpl. */
static void
load_cs(struct soft *c, const struct sys_desc *d, unsigned cpl)
{
	c->seg[SEG_CS] = d->seg;
	c->seg[SEG_CS].sel = (u16)((d->seg.sel & ~SEL_RPL) | cpl);
}

/* --- returns ---------------------------------------------------------- */

/* SDM 2A, IRET and RET, "protected mode": RETURN-TO-SAME and -OUTER. */
enum helper_result
sys_return_check_cs(struct soft *c, struct far_return *f)
{
	struct sys_desc *d = &f->cs_desc;
	unsigned rpl = f->cs & SEL_RPL;
	enum helper_result res;
	u32 attr;

	if (sel_is_null(f->cs))
		return sys_gp(c);
	res = sys_desc_fetch(c, f->cs, 0, d);
	if (res != HELPER_NEXT)
		return res;
	attr = d->seg.attr;
	if (!is_code(attr) || is_bad_code_size(c, attr) || rpl < c->cpl ||
	    (attr & ATTR_CONFORMING ? attr_dpl(attr) > rpl
				    : attr_dpl(attr) != rpl))
		return sys_raise_error(c, EXC_GP, sel_error(f->cs, 0));
	if (!(attr & ATTR_P))
		return sys_raise_error(c, EXC_NP, sel_error(f->cs, 0));
	return HELPER_NEXT;
}

/* The SS that returns with CS. 64-bit code below CPL 3 may have a null one:
 * an event taken from an outer level left it so. */
static enum helper_result
return_check_ss(struct soft *c, struct far_return *f)
{
	struct sys_desc *d = &f->ss_desc;
	unsigned rpl = f->cs & SEL_RPL;
	enum helper_result res;
	u32 attr;

	if (sel_is_null(f->ss)) {
		if (!is_code64(c, f->cs_desc.seg.attr) || rpl == 3)
			return sys_gp(c);
		return HELPER_NEXT;
	}
	res = sys_desc_fetch(c, f->ss, 0, d);
	if (res != HELPER_NEXT)
		return res;
	attr = d->seg.attr;
	if ((f->ss & SEL_RPL) != rpl || !(attr & ATTR_S) ||
	    (attr & ATTR_CODE) || !(attr & ATTR_WRITABLE) ||
	    attr_dpl(attr) != rpl)
		return sys_raise_error(c, EXC_GP, sel_error(f->ss, 0));
	if (!(attr & ATTR_P))
		return sys_raise_error(c, EXC_SS, sel_error(f->ss, 0));
	return sys_desc_mark(c, d, ATTR_ACCESSED);
}

enum helper_result
sys_return_load(struct soft *c, struct far_return *f)
{
	unsigned rpl = f->cs & SEL_RPL, old = c->cpl;
	enum helper_result res = check_ip(c, &f->cs_desc.seg, f->ip);

	if (res == HELPER_NEXT && f->has_ss)
		res = return_check_ss(c, f);
	if (res == HELPER_NEXT)
		res = sys_desc_mark(c, &f->cs_desc, ATTR_ACCESSED);
	if (res != HELPER_NEXT)
		return res;
	load_cs(c, &f->cs_desc, rpl);
	if (f->has_ss && sel_is_null(f->ss)) {
		sys_seg_set_null(c, SEG_SS, (u16)rpl);
		c->seg[SEG_SS].sel = f->ss;
	} else if (f->has_ss) {
		c->seg[SEG_SS] = f->ss_desc.seg;
	}
	soft_refresh(c);
	if (c->cpl > old) {
		sys_seg_drop_inner(c);
		soft_refresh(c);
	}
	c->next_ip = f->ip;
	return HELPER_NEXT;
}

void
sys_return_sp(struct soft *c, u64 sp, unsigned size_bytes)
{
	if (size_bytes == 2)
		sp = (u16)sp;
	else if (size_bytes == 4)
		sp = (u32)sp;
	stack_set(c, sp);
}

enum helper_result
sys_pop_items(struct soft *c, u64 sp, u64 *item, unsigned count,
	      unsigned size_bytes)
{
	while (count-- > 0) {
		enum helper_result res;

		item[count] = 0;
		res = stack_read(c, sp + count * size_bytes, &item[count],
				 size_bytes, 0);
		if (res != HELPER_NEXT)
			return res;
	}
	return HELPER_NEXT;
}

/* RETF, RETF imm16. */
enum helper_result
sys_ret_far(struct soft *c, const struct insn *in)
{
	unsigned size = in->opsize;
	u64 item[2], after = c->r[RSP] + 2 * size + (u16)in->imm;
	enum helper_result res;
	struct far_return f;

	res = sys_pop_items(c, c->r[RSP], item, 2, size);
	if (res != HELPER_NEXT)
		return res;
	f.ip = item[0];
	f.cs = (u16)item[1];
	/* AMD parts read the outer stack pointer before CS is looked at. */
	f.has_ss = (f.cs & SEL_RPL) != c->cpl;
	if (f.has_ss) {
		res = sys_pop_items(c, after, item, 2, size);
		if (res != HELPER_NEXT)
			return res;
		f.sp = item[0];
		f.ss = (u16)item[1];
	}
	res = sys_return_check_cs(c, &f);
	if (res != HELPER_NEXT)
		return res;
	res = sys_return_load(c, &f);
	if (res != HELPER_NEXT)
		return res;
	if (f.has_ss)
		sys_return_sp(c, f.sp + (u16)in->imm, size);
	else
		stack_set(c, after);
	return HELPER_JUMP;
}

/* --- jumps and calls -------------------------------------------------- */

/* Where a far JMP or CALL goes. */
struct far_target {
	struct sys_desc cs;
	u64 ip;
	unsigned cpl;
	bool gate;
};

/* The code segment of a transfer without gate: same privilege. */
static enum helper_result
check_direct(struct soft *c, struct sys_desc *d)
{
	u32 attr = d->seg.attr, bad = sel_error(d->seg.sel, 0);
	unsigned dpl = attr_dpl(attr), rpl = d->seg.sel & SEL_RPL;

	if (is_bad_code_size(c, attr) ||
	    (attr & ATTR_CONFORMING ? dpl > c->cpl
				    : rpl > c->cpl || dpl != c->cpl))
		return sys_raise_error(c, EXC_GP, bad);
	if (!(attr & ATTR_P))
		return sys_raise_error(c, EXC_NP, bad);
	return HELPER_NEXT;
}

/* The code segment that a 64-bit call gate names. Only CALL may go inward. */
static enum helper_result
check_gated(struct soft *c, struct far_target *t, bool call)
{
	u32 attr = t->cs.seg.attr, bad = sel_error(t->cs.seg.sel, 0);
	unsigned dpl = attr_dpl(attr);
	bool conforming = attr & ATTR_CONFORMING;

	if (!is_code(attr) || dpl > c->cpl || !(attr & ATTR_L) ||
	    (attr & ATTR_DB) || (!call && !conforming && dpl != c->cpl))
		return sys_raise_error(c, EXC_GP, bad);
	if (!(attr & ATTR_P))
		return sys_raise_error(c, EXC_NP, bad);
	t->cpl = conforming ? c->cpl : dpl;
	return HELPER_NEXT;
}

/* APM 2 4.8.4: a call gate of long mode, 16 bytes:
 *   offset 15..0, selector, attributes, offset 31..16 | offset 63..32, 0 */
static enum helper_result
through_gate(struct soft *c, struct far_target *t, bool call)
{
	struct sys_desc gate = t->cs;
	u32 attr = gate.seg.attr, bad = sel_error(gate.seg.sel, 0);
	enum helper_result res;
	u64 high, gate_lin;
	u16 sel;

	if (!soft_in_long(c) || attr_type(attr) != SYS_CALL_GATE ||
	    attr_dpl(attr) < MAX(c->cpl, gate.seg.sel & SEL_RPL) ||
	    !sys_desc_find(c, gate.seg.sel, 16, &gate_lin))
		return sys_raise_error(c, EXC_GP, bad);
	res = mem_read(c, gate_lin + 8, &high, 8, ACC_READ | ACC_SYS);
	if (res != HELPER_NEXT)
		return res;
	if (high & BITS(44, 40))
		return sys_raise_error(c, EXC_GP, bad);
	if (!(attr & ATTR_P))
		return sys_raise_error(c, EXC_NP, bad);
	sel = (u16)(gate.raw >> 16);
	if (sel_is_null(sel))
		return sys_gp(c);
	res = sys_desc_fetch(c, sel, 0, &t->cs);
	if (res != HELPER_NEXT)
		return res;
	t->gate = true;
	t->ip = (gate.raw & 0xffff) | (gate.raw >> 48) << 16 | high << 32;
	return check_gated(c, t, call);
}

/* The target of a pointer sel:ip, checked up to its instruction pointer. */
static enum helper_result
resolve(struct soft *c, u16 sel, u64 ip, bool call, struct far_target *t)
{
	enum helper_result res;

	if (sel_is_null(sel))
		return sys_gp(c);
	res = sys_desc_fetch(c, sel, 0, &t->cs);
	if (res != HELPER_NEXT)
		return res;
	t->gate = false;
	t->cpl = c->cpl;
	t->ip = ip;
	if (!(t->cs.seg.attr & ATTR_S))
		res = through_gate(c, t, call);
	else if (is_code(t->cs.seg.attr))
		res = check_direct(c, &t->cs);
	else
		res = sys_raise_error(c, EXC_GP, sel_error(sel, 0));
	if (res == HELPER_NEXT)
		res = check_ip(c, &t->cs.seg, t->ip);
	return res;
}

/* The operand: ptr16:16/32 in the instruction, or m16:16/32. AMD parts have no
 * m16:64: REX.W does not widen the offset. */
static enum helper_result
read_pointer(struct soft *c, const struct insn *in, u16 *sel, u64 *ip)
{
	unsigned bytes = MIN(in->opsize, 4u);
	enum helper_result res;

	if (!in->has_mem) {
		*sel = (u16)in->imm2;
		*ip = in->opsize == 2 ? (u16)in->imm : (u32)in->imm;
		return HELPER_NEXT;
	}
	/* two reads, each with faults of its own */
	*ip = 0;
	res = insn_read(c, in, 0, ip, bytes, 0);
	if (res == HELPER_NEXT)
		res = insn_read(c, in, bytes, sel, 2, 0);
	return res;
}

enum helper_result
sys_jmp_far(struct soft *c, const struct insn *in)
{
	enum helper_result res;
	struct far_target t;
	u64 ip;
	u16 sel;

	res = read_pointer(c, in, &sel, &ip);
	if (res == HELPER_NEXT)
		res = resolve(c, sel, ip, false, &t);
	if (res == HELPER_NEXT)
		res = sys_desc_mark(c, &t.cs, ATTR_ACCESSED);
	if (res != HELPER_NEXT)
		return res;
	load_cs(c, &t.cs, c->cpl);
	soft_refresh(c);
	c->next_ip = t.ip;
	return HELPER_JUMP;
}

/* A call through a gate to an inner level: the stack pointer comes from the
 * TSS, SS becomes null, and the old ones are pushed. */
static enum helper_result
call_inner(struct soft *c, struct far_target *t)
{
	unsigned at = TSS_RSP(t->cpl);
	u64 sp, frame[4] = {c->next_ip, c->seg[SEG_CS].sel, c->r[RSP],
			    c->seg[SEG_SS].sel};
	enum helper_result res;

	if (at + 7 > c->tr.limit_bytes)
		return sys_raise_error(c, EXC_TS, sel_error(c->tr.sel, 0));
	res = mem_read(c, c->tr.base + at, &sp, 8, ACC_READ | ACC_SYS);
	if (res != HELPER_NEXT)
		return res;
	res = sys_desc_mark(c, &t->cs, ATTR_ACCESSED);
	if (res != HELPER_NEXT)
		return res;
	sp -= sizeof(frame);
	res = mem_write(c, sp, frame, sizeof(frame),
			ACC_WRITE | ACC_SS | ACC_SYS);
	if (res != HELPER_NEXT && res != HELPER_EXIT)
		return res;
	load_cs(c, &t->cs, t->cpl);
	sys_seg_set_null(c, SEG_SS, (u16)t->cpl);
	soft_refresh(c);
	c->r[RSP] = sp;
	c->next_ip = t->ip;
	return res == HELPER_EXIT ? res : HELPER_JUMP;
}

/* What a stack on a device makes of a push (nobody has one) is lost. */
static enum helper_result
push_item(struct soft *c, u64 sp, u64 v, unsigned size, bool flat)
{
	enum helper_result res;

	if (flat)
		res = mem_write(c, sp, &v, size, ACC_SS);
	else
		res = stack_write(c, sp, &v, size, 0);

	if (res == HELPER_EXIT) {
		c->leave = LEAVE_NONE;
		res = HELPER_NEXT;
	}
	return res;
}

/* A call at the same level pushes on the stack as the target will see it: CS
 * first, and what is pushed stays when the next item faults. A gate's frame is
 * made of 8-byte items. */
static enum helper_result
call_same(struct soft *c, struct far_target *t, unsigned size)
{
	bool flat = is_code64(c, t->cs.seg.attr);
	u64 sp = c->r[RSP] - 2 * size;
	enum helper_result res;

	res = sys_desc_mark(c, &t->cs, ATTR_ACCESSED);
	if (res == HELPER_NEXT)
		res = push_item(c, sp + size, c->seg[SEG_CS].sel, size, flat);
	if (res == HELPER_NEXT)
		res = push_item(c, sp, c->next_ip, size, flat);
	if (res != HELPER_NEXT)
		return res;
	stack_set(c, sp);
	load_cs(c, &t->cs, c->cpl);
	soft_refresh(c);
	c->next_ip = t->ip;
	return HELPER_JUMP;
}

enum helper_result
sys_call_far(struct soft *c, const struct insn *in)
{
	enum helper_result res;
	struct far_target t;
	u64 ip;
	u16 sel;

	res = read_pointer(c, in, &sel, &ip);
	if (res == HELPER_NEXT)
		res = resolve(c, sel, ip, true, &t);
	if (res != HELPER_NEXT)
		return res;
	if (t.cpl < c->cpl)
		return call_inner(c, &t);
	return call_same(c, &t, t.gate ? 8 : in->opsize);
}

/* --- fast system calls ------------------------------------------------ */

#define USER_DPL (3u << ATTR_DPL_SHIFT)
/* What SYSRET takes from R11; RF and VM become 0. */
#define SYSRET_FLAGS \
	(FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_AC | FL_VIF | \
	 FL_VIP | FL_ID)

/* AMD APM 3, SYSCALL. Fixed flat segments; nothing is read from tables. The
 * legacy form (without long mode) belongs to the legacy modes.
 *
 * A single step looks at TF after these two instructions rather than before,
 * so that a kernel with TF in its mask is not stepped into, and a debugger
 * sees its program right behind the SYSCALL. */
enum helper_result
sys_syscall(struct soft *c, const struct insn *in)
{
	u16 sel = (u16)(c->msr.star >> 32) & (u16)~SEL_RPL;
	u64 fl = flags_get(c) & ~FL_RF;

	(void)in;
	if (!(c->efer & EFER_SCE) || !soft_in_long(c))
		return sys_raise(c, EXC_UD);
	c->r[RCX] = c->next_ip;
	c->r[R11] = fl;
	c->next_ip = c->mode & MODE_64 ? c->msr.lstar : c->msr.cstar;
	c->seg[SEG_CS] = sys_seg_flat(sel, ATTR_CODE | ATTR_L);
	c->seg[SEG_SS] = sys_seg_flat((u16)(sel + 8), ATTR_DB);
	flags_set(c, fl & ~c->msr.fmask);
	c->trap_rule = TRAP_BY_NEW_TF;
	soft_refresh(c);
	return HELPER_JUMP;
}

/* AMD APM 3, SYSRET. A non-canonical RCX is found when the user's code is
 * fetched. Real parts leave SS's hidden part as it is, a trap that kernels
 * work around; here it becomes a flat user segment ([S1] needs its DPL). */
enum helper_result
sys_sysret(struct soft *c, const struct insn *in)
{
	u16 sel = (u16)(c->msr.star >> 48);

	if (!(c->efer & EFER_SCE) || !soft_in_long(c))
		return sys_raise(c, EXC_UD);
	if (c->cpl != 0)
		return sys_gp(c);
	if (in->opsize == 8) {
		c->seg[SEG_CS] = sys_seg_flat((u16)(sel + 16) | SEL_RPL,
					      ATTR_CODE | ATTR_L | USER_DPL);
		c->next_ip = c->r[RCX];
	} else {
		c->seg[SEG_CS] =
		    sys_seg_flat(sel | SEL_RPL, ATTR_CODE | ATTR_DB | USER_DPL);
		c->next_ip = (u32)c->r[RCX];
	}
	c->seg[SEG_SS] = sys_seg_flat((u16)(sel + 8), ATTR_DB | USER_DPL);
	flags_set(c, c->r[R11] & SYSRET_FLAGS);
	c->trap_rule = TRAP_BY_NEW_TF;
	soft_refresh(c);
	return HELPER_JUMP;
}
