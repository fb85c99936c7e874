/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/decode_int.h"

#include "driver/soft/code_int.h"
#include "driver/soft/insn_int.h"
#include "driver/soft/ops_alu.h"
#include "driver/soft/ops_bits.h"
#include "driver/soft/ops_flow.h"
#include "driver/soft/ops_mov.h"

#define IS_REG(o) ((o)->type == ZYDIS_OPERAND_TYPE_REGISTER)
#define IS_MEM(o) ((o)->type == ZYDIS_OPERAND_TYPE_MEMORY)
#define IS_IMM(o) ((o)->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)

static bool
is_gpr(const ZydisDecodedOperand *o)
{
	ZydisRegisterClass k;

	if (!IS_REG(o))
		return false;
	k = ZydisRegisterGetClass(o->reg.value);
	return k == ZYDIS_REGCLASS_GPR8 || k == ZYDIS_REGCLASS_GPR16 ||
	       k == ZYDIS_REGCLASS_GPR32 || k == ZYDIS_REGCLASS_GPR64;
}

static s32
imm32(const ZydisDecodedOperand *o)
{
	return (s32)o->imm.value.u;
}

static bool
mode64(const struct emitter *e)
{
	return e->mode & MODE_64;
}

/* --- operands ---------------------------------------------------------- */

static bool
is_high(const ZydisDecodedOperand *o)
{
	bool high = false;

	if (IS_REG(o))
		decode_gpr(o->reg.value, &high);
	return high;
}

/* The slot that holds a register operand's value: AH and its like are brought
 * into tmp first. */
static u8
reg_slot(struct emitter *e, const ZydisDecodedOperand *o, u8 tmp)
{
	bool high;
	u8 reg = (u8)decode_gpr(o->reg.value, &high);
	struct uop *u;

	if (!high)
		return reg;
	u = emit(e, high_get);
	u->reg = tmp;
	u->base = reg;
	return tmp;
}

/* After an instruction that wrote tmp for AH and its like. */
static void
reg_put_high(struct emitter *e, const ZydisDecodedOperand *o, u8 tmp)
{
	struct uop *u;

	if (!is_high(o))
		return;
	u = emit(e, high_put);
	u->reg = (u8)decode_gpr(o->reg.value, NULL);
	u->base = tmp;
}

/* The slot of a source operand of any kind but immediate; memory is loaded
 * into tmp. */
static u8
source_slot(struct emitter *e, const ZydisDecodedOperand *o, u8 tmp)
{
	struct memref m;
	struct uop *u;

	if (IS_REG(o))
		return reg_slot(e, o, tmp);
	m = emit_addr_x(e, o);
	u = emit(e, (m.indexed ? load_x : load_b)[operand_lg(o)]);
	uop_mem(u, m);
	u->reg = tmp;
	return tmp;
}

/* A read-modify-write in three uops: begin gives the slot to work on. */
static u8
rmw_begin(struct emitter *e, const ZydisDecodedOperand *o, struct memref *m)
{
	struct uop *u;

	if (IS_REG(o))
		return reg_slot(e, o, TMPB);
	*m = emit_addr(e, o);
	u = emit(e, load_rmw[operand_lg(o)]);
	uop_mem(u, *m);
	u->reg = TMPB;
	return TMPB;
}

static void
rmw_end(struct emitter *e, const ZydisDecodedOperand *o, struct memref m)
{
	struct uop *u;

	if (IS_REG(o)) {
		reg_put_high(e, o, TMPB);
		return;
	}
	u = emit(e, store_b[operand_lg(o)]);
	uop_mem(u, m);
	u->reg = TMPB;
}

/* --- arithmetic --------------------------------------------------------- */

enum { FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI };

static void
note_compare(struct emitter *e, unsigned kind, unsigned form, unsigned lg)
{
	if (kind < ALU_CMP)
		return;
	e->cmp_end = e->n_uop;
	e->cmp_form = (u8)form;
	e->cmp_lg = (u8)lg;
	e->cmp_test = kind == ALU_TEST;
}

static bool
emit_alu(struct emitter *e, unsigned kind)
{
	const ZydisDecodedOperand *d = &e->ops[0], *s = &e->ops[1];
	unsigned lg = operand_lg(d), form;
	struct memref m;
	struct uop *u;
	u8 reg = 0;

	if (IS_REG(d))
		reg = reg_slot(e, d, TMPB);
	else if (IS_REG(s))
		reg = reg_slot(e, s, TMPC);
	if (IS_MEM(d) || IS_MEM(s)) {
		m = emit_addr(e, IS_MEM(d) ? d : s);
		form = IS_MEM(s) ? FORM_RM : IS_REG(s) ? FORM_MR : FORM_MI;
		u = emit(e, (form == FORM_RM   ? alu_rm
			     : form == FORM_MR ? alu_mr
					       : alu_mi)[kind][lg]);
		uop_mem(u, m);
	} else if (IS_REG(s)) {
		u8 src = reg_slot(e, s, TMPC);

		form = FORM_RR;
		u = emit(e, alu_rr[kind][lg]);
		u->base = src;
	} else {
		form = FORM_RI;
		u = emit(e, alu_ri[kind][lg]);
	}
	u->reg = reg;
	if (IS_IMM(s))
		u->imm = imm32(s);
	note_compare(e, kind, form, lg);
	if (kind < ALU_CMP)
		reg_put_high(e, d, TMPB);
	return true;
}

static bool
emit_one_operand(struct emitter *e, unsigned kind)
{
	const ZydisDecodedOperand *d = &e->ops[0];
	unsigned lg = operand_lg(d);
	struct uop *u;

	if (IS_MEM(d)) {
		struct memref m = emit_addr(e, d);

		uop_mem(emit(e, one_m[kind][lg]), m);
		return true;
	}
	{
		u8 reg = reg_slot(e, d, TMPB);

		u = emit(e, one_r[kind][lg]);
		u->reg = reg;
	}
	reg_put_high(e, d, TMPB);
	return true;
}

static bool
emit_shift(struct emitter *e, unsigned kind)
{
	const ZydisDecodedOperand *d = &e->ops[0], *n = &e->ops[1];
	unsigned lg = operand_lg(d), mask = lg == 3 ? 63 : 31;
	struct uop *u;

	if (IS_MEM(d)) {
		struct memref m = emit_addr(e, d);

		u = emit(e, (IS_IMM(n) ? shift_mi : shift_mc)[kind][lg]);
		uop_mem(u, m);
	} else {
		u8 reg = reg_slot(e, d, TMPB);

		u = emit(e, (IS_IMM(n) ? shift_ri : shift_rc)[kind][lg]);
		u->reg = reg;
	}
	if (IS_IMM(n))
		u->imm = (s32)(n->imm.value.u & mask);
	reg_put_high(e, d, TMPB);
	return true;
}

static bool
emit_double_shift(struct emitter *e, const uop_fn by_imm[4],
		  const uop_fn by_cl[4])
{
	const ZydisDecodedOperand *d = &e->ops[0], *n = &e->ops[2];
	unsigned lg = operand_lg(d), mask = lg == 3 ? 63 : 31;
	struct memref m = {0};
	u32 count = IS_IMM(n) ? (u32)n->imm.value.u & mask : 0;
	struct uop *u;
	u8 reg;

	reg = rmw_begin(e, d, &m);
	if (IS_IMM(n) && count == 0) {
		/* Nothing moves, no flag changes; a 32-bit register is still
		 * written. */
		u = emit(e, mov_rr[lg]);
		u->reg = u->base = reg;
	} else {
		u = emit(e, (IS_IMM(n) ? by_imm : by_cl)[lg]);
		u->reg = reg;
		u->base = (u8)decode_gpr(e->ops[1].reg.value, NULL);
		u->imm = (s32)count;
	}
	rmw_end(e, d, m);
	return true;
}

static bool
emit_accumulate(struct emitter *e, const uop_fn fn[4])
{
	unsigned lg = operand_lg(&e->ops[0]);
	u8 src = source_slot(e, &e->ops[0], TMPB);

	emit(e, fn[lg])->base = src;
	return true;
}

static bool
emit_imul(struct emitter *e)
{
	const ZydisDecodedOperand *d = &e->ops[0];
	unsigned n = e->in->operand_count_visible, lg = operand_lg(d);
	struct uop *u;
	u8 src;

	if (n == 1)
		return emit_accumulate(e, imul_r);
	src = source_slot(e, &e->ops[1], TMPB);
	u = emit(e, n == 3 ? imul_rri[lg] : imul_rr[lg]);
	u->reg = (u8)decode_gpr(d->reg.value, NULL);
	u->base = src;
	if (n == 3)
		u->imm = imm32(&e->ops[2]);
	return true;
}

/* reg = f(source): BSF, BSR, POPCNT, CRC32 (by source size). */
static bool
emit_scan(struct emitter *e, const uop_fn fn[4])
{
	unsigned lg = operand_lg(&e->ops[1]);
	u8 src = source_slot(e, &e->ops[1], TMPB);
	struct uop *u = emit(e, fn[lg]);

	u->reg = (u8)decode_gpr(e->ops[0].reg.value, NULL);
	u->base = src;
	return true;
}

static bool
emit_bit_test(struct emitter *e, unsigned kind)
{
	const ZydisDecodedOperand *d = &e->ops[0], *s = &e->ops[1];
	unsigned lg = operand_lg(d);
	struct memref m;
	struct uop *u;
	u8 bit;

	if (IS_REG(d)) {
		u = emit(e, (IS_IMM(s) ? bt_ri : bt_rr)[kind][lg]);
		u->reg = (u8)decode_gpr(d->reg.value, NULL);
		if (IS_IMM(s))
			u->imm = imm32(s);
		else
			u->base = (u8)decode_gpr(s->reg.value, NULL);
		return true;
	}
	if (!IS_IMM(s) && e->in->address_width != 64) {
		emit_helper(e, insn_bit_string, false);
		return true;
	}
	m = emit_addr(e, d);
	if (IS_IMM(s)) {
		u = emit(e, bt_mi[kind][lg]);
		uop_mem(u, m);
		u->imm = imm32(s);
		return true;
	}
	/* A bit string: the register reaches outside the operand. */
	bit = (u8)decode_gpr(s->reg.value, NULL);
	u = emit(e, bit_address);
	uop_mem(u, m);
	u->reg = bit;
	u->imm = (s32)lg;
	u = emit(e, (kind == BT_BT ? load_b : load_rmw)[lg]);
	u->reg = TMPB;
	u->base = TMPA;
	u = emit(e, bt_rr[kind][lg]);
	u->reg = TMPB;
	u->base = bit;
	if (kind != BT_BT) {
		u = emit(e, store_b[lg]);
		u->reg = TMPB;
		u->base = TMPA;
	}
	return true;
}

/* --- moves -------------------------------------------------------------- */

static void
emit_mov_imm(struct emitter *e, const ZydisDecodedOperand *d,
	     const ZydisDecodedOperand *s)
{
	unsigned lg = operand_lg(d);
	s64 v = s->imm.value.s;
	struct uop *u;
	u8 reg = is_high(d) ? TMPB : (u8)decode_gpr(d->reg.value, NULL);

	if (lg == 3 && v != (s32)v) {
		u = emit(e, mov_ri64);
		u->disp = (s32)v;
		u->imm = (s32)(v >> 32);
	} else {
		u = emit(e, mov_ri[lg]);
		u->imm = (s32)v;
	}
	u->reg = reg;
	reg_put_high(e, d, TMPB);
}

static bool
emit_mov(struct emitter *e)
{
	const ZydisDecodedOperand *d = &e->ops[0], *s = &e->ops[1];
	unsigned lg = operand_lg(d);
	struct memref m;
	struct uop *u;
	u8 reg;

	if ((IS_REG(d) && !is_gpr(d)) || (IS_REG(s) && !is_gpr(s)))
		return false; /* segment, control, debug registers */
	if (IS_MEM(d) && IS_IMM(s)) {
		m = emit_addr(e, d);
		u = emit(e, store_imm[lg]);
		uop_mem(u, m);
		u->imm = imm32(s);
	} else if (IS_MEM(d)) {
		reg = reg_slot(e, s, TMPC);
		m = emit_addr_x(e, d);
		u = emit(e, (m.indexed ? store_x : store_b)[lg]);
		uop_mem(u, m);
		u->reg = reg;
	} else if (IS_IMM(s)) {
		emit_mov_imm(e, d, s);
	} else {
		reg = is_high(d) ? TMPB : (u8)decode_gpr(d->reg.value, NULL);
		if (IS_MEM(s)) {
			m = emit_addr_x(e, s);
			u = emit(e, (m.indexed ? load_x : load_b)[lg]);
			uop_mem(u, m);
		} else {
			u8 src = reg_slot(e, s, TMPC);

			u = emit(e, mov_rr[lg]);
			u->base = src;
		}
		u->reg = reg;
		reg_put_high(e, d, TMPB);
	}
	return true;
}

static bool
emit_widen(struct emitter *e, const uop_fn rr[3][4], const uop_fn b[3][4],
	   const uop_fn x[3][4])
{
	const ZydisDecodedOperand *d = &e->ops[0], *s = &e->ops[1];
	unsigned from = operand_lg(s), to = operand_lg(d);
	struct uop *u;

	if (from > to) { /* MOVSXD r16, r/m32 reads all of its source */
		u8 src = source_slot(e, s, TMPB);

		u = emit(e, mov_rr[to]);
		u->reg = (u8)decode_gpr(d->reg.value, NULL);
		u->base = src;
		return true;
	}
	if (from == to) /* MOVSXD without REX.W, MOVZX r16, r/m16 */
		return emit_mov(e);
	if (IS_MEM(s)) {
		struct memref m = emit_addr_x(e, s);

		u = emit(e, (m.indexed ? x : b)[from][to]);
		uop_mem(u, m);
	} else {
		u8 src = reg_slot(e, s, TMPC);

		u = emit(e, rr[from][to]);
		u->base = src;
	}
	u->reg = (u8)decode_gpr(d->reg.value, NULL);
	return true;
}

static bool
emit_lea(struct emitter *e)
{
	const ZydisDecodedOperand *d = &e->ops[0];
	unsigned lg = operand_lg(d);
	ZydisDecodedOperand flat = e->ops[1];
	struct memref m;
	struct uop *u;

	/* No segment takes part. */
	flat.mem.segment = ZYDIS_REGISTER_DS;
	if (!mode64(e)) {
		emit_helper(e, insn_lea, false);
		return true;
	}
	m = emit_addr_x(e, &flat);
	if (lg == 1) {
		u = emit(e, m.indexed ? lea_x64 : lea_b64);
		uop_mem(u, m);
		u->reg = TMPB;
		u = emit(e, mov_rr[1]);
		u->base = TMPB;
	} else if (lg == 2) {
		u = emit(e, m.indexed ? lea_x32 : lea_b32);
		uop_mem(u, m);
	} else {
		u = emit(e, m.indexed ? lea_x64 : lea_b64);
		uop_mem(u, m);
	}
	u->reg = (u8)decode_gpr(d->reg.value, NULL);
	return true;
}

/* XCHG, XADD, CMPXCHG: destination first, then a register. */
static bool
emit_exchange(struct emitter *e, const uop_fn rr[4], const uop_fn m_[4],
	      bool writes_src)
{
	const ZydisDecodedOperand *d = &e->ops[0], *s = &e->ops[1];
	unsigned lg = operand_lg(d);
	struct memref m = {0};
	struct uop *u;
	u8 dst, src;

	if (IS_MEM(s)) { /* XCHG is symmetric */
		const ZydisDecodedOperand *t = d;

		d = s;
		s = t;
	}
	if (IS_MEM(d) && !is_high(s)) {
		m = emit_addr(e, d);
		u = emit(e, m_[lg]);
		uop_mem(u, m);
		u->reg = (u8)decode_gpr(s->reg.value, NULL);
		return true;
	}
	if (IS_MEM(d)) {
		/* AH may be part of the address: that is needed twice. */
		m = emit_addr(e, d);
		if (m.base != TMPA) {
			u = emit(e, ea_64);
			uop_mem(u, m);
			u->reg = ZERO; /* no segment */
			u->imm = m.base == RSP || m.base == RBP ? ACC_SS : 0;
			m = (struct memref){.base = TMPA, .index = ZERO};
		}
		u = emit(e, load_rmw[lg]);
		uop_mem(u, m);
		u->reg = dst = TMPB;
	} else {
		dst = reg_slot(e, d, TMPB);
	}
	src = reg_slot(e, s, TMPC);
	u = emit(e, rr[lg]);
	u->reg = dst;
	u->base = src;
	if (writes_src)
		reg_put_high(e, s, TMPC);
	rmw_end(e, d, m);
	return true;
}

static bool
emit_cmov(struct emitter *e, unsigned cc)
{
	unsigned lg = operand_lg(&e->ops[0]);
	u8 src = source_slot(e, &e->ops[1], TMPB);
	struct uop *u = emit(e, cmov_rr[cc][lg]);

	u->reg = (u8)decode_gpr(e->ops[0].reg.value, NULL);
	u->base = src;
	return true;
}

static bool
emit_setcc(struct emitter *e, unsigned cc)
{
	const ZydisDecodedOperand *d = &e->ops[0];

	if (IS_MEM(d)) {
		struct memref m = emit_addr(e, d);

		uop_mem(emit(e, setcc_b[cc]), m);
	} else {
		emit(e, setcc_r[cc])->reg =
		    is_high(d) ? TMPB : (u8)decode_gpr(d->reg.value, NULL);
		reg_put_high(e, d, TMPB);
	}
	return true;
}

/* --- the stack ----------------------------------------------------------- */

static bool
emit_push(struct emitter *e)
{
	const ZydisDecodedOperand *s = &e->ops[0];

	if (IS_REG(s) && !is_gpr(s))
		return false;
	if (!mode64(e) || e->in->operand_width != 64) {
		emit_helper(e, insn_push, false);
		return true;
	}
	if (IS_IMM(s)) {
		emit(e, push_i)->imm = imm32(s);
	} else {
		u8 src = source_slot(e, s, TMPB);

		emit(e, push_r)->reg = src;
	}
	return true;
}

static bool
emit_pop(struct emitter *e)
{
	const ZydisDecodedOperand *d = &e->ops[0];

	if (IS_REG(d) && !is_gpr(d))
		return false;
	if (!mode64(e) || e->in->operand_width != 64 || IS_MEM(d)) {
		emit_helper(e, insn_pop, false);
		return true;
	}
	emit(e, pop_r)->reg = (u8)decode_gpr(d->reg.value, NULL);
	return true;
}

static bool
emit_leave(struct emitter *e)
{
	if (mode64(e) && e->in->operand_width == 64)
		emit(e, leave_64);
	else
		emit_helper(e, insn_leave, false);
	return true;
}

/* --- jumps ---------------------------------------------------------------- */

static bool
is_far(const struct emitter *e)
{
	return e->in->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

/* Operand size of a near branch. On AMD parts an operand-size prefix counts in
 * 64-bit mode, too, unless REX.W is there. */
static unsigned
flow_bytes(const struct emitter *e)
{
	if (!mode64(e))
		return e->in->operand_width / 8;
	return (e->in->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) &&
		       !e->in->raw.rex.W
		   ? 2
		   : 8;
}

/* 64-bit mode proper; everything else near goes through helpers, but for the
 * direct jumps of 32-bit code. */
static bool
is_fast_flow(const struct emitter *e)
{
	return flow_bytes(e) == 8;
}

static bool
is_fast_jump(const struct emitter *e)
{
	return flow_bytes(e) != 2;
}

static struct insn *
emit_flow_helper(struct emitter *e, helper_fn fn)
{
	struct insn *in = emit_helper(e, fn, true);

	in->opsize = (u8)flow_bytes(e);
	e->fall = false;
	return in;
}

static s32
target_delta(const struct emitter *e)
{
	return (s32)(emit_next(e) + e->ops[0].imm.value.s);
}

static void
flow_ends(struct emitter *e)
{
	e->end = true;
	e->fall = false;
}

static void
emit_two_way(struct emitter *e, struct uop *u)
{
	u->disp = target_delta(e);
	emit_link(e, emit_link_kind(e, u->disp), 0);
	emit_link(e, emit_link_kind(e, emit_next(e)), emit_next(e));
	flow_ends(e);
}

/* The compare just emitted and this Jcc as one uop, or NULL. A memory operand
 * of the compare is loaded by what was its uop, into the temporary that cannot
 * hold the other operand: a first operand like AH is in TMPB, a second one in
 * TMPC. */
static struct uop *
fuse(struct emitter *e, unsigned cc)
{
	bool imm = e->cmp_form == FORM_RI || e->cmp_form == FORM_MI;
	const uop_fn(*t)[16] = e->cmp_test ? (imm ? test_jcc_ri : test_jcc_rr)
					   : (imm ? cmp_jcc_ri : cmp_jcc_rr);
	unsigned lg = e->cmp_lg;
	bool mem_second = e->cmp_form == FORM_RM;
	bool mem_first = e->cmp_form == FORM_MR || e->cmp_form == FORM_MI;
	struct uop old, *u;
	u16 off;

	if (!e->cmp_end || e->cmp_end != e->n_uop || !t[lg][cc])
		return NULL;
	old = e->uop[e->n_uop - 1];
	off = e->off[e->n_uop - 1];
	if (mem_first || mem_second) {
		struct uop *load = &e->uop[e->n_uop - 1];

		load->fn = uop_offset(load_b[lg]);
		load->reg = mem_second ? TMPC : TMPB;
		load->imm = 0;
	} else {
		e->n_uop--;
	}
	u = emit(e, t[lg][cc]);
	e->off[e->n_uop - 1] = off;
	u->reg = mem_first ? TMPB : old.reg;
	if (imm)
		u->imm = old.imm;
	else
		u->base = mem_second ? TMPC : mem_first ? old.reg : old.base;
	return u;
}

static bool
emit_jcc(struct emitter *e, unsigned cc)
{
	struct uop *u;

	if (!is_fast_jump(e)) {
		emit_flow_helper(e, insn_jcc16)->imm2 = (s64)cc;
		return true;
	}
	u = fuse(e, cc);
	if (!u)
		u = emit(e, jcc[cc]);
	emit_two_way(e, u);
	return true;
}

static bool
emit_loop(struct emitter *e, unsigned kind)
{
	struct uop *u;

	if (!is_fast_jump(e)) {
		emit_flow_helper(e, insn_loop16)->imm2 = (s64)kind;
		return true;
	}
	u = emit(e, loop_ops[kind]);
	u->imm = e->in->address_width / 8;
	emit_two_way(e, u);
	return true;
}

static bool
emit_jmp(struct emitter *e)
{
	const ZydisDecodedOperand *t = &e->ops[0];
	struct uop *u;

	if (is_far(e))
		return false;
	flow_ends(e);
	if (IS_IMM(t) && is_fast_jump(e)) {
		u = emit(e, jmp);
		u->disp = target_delta(e);
		emit_link(e, emit_link_kind(e, u->disp), 0);
	} else if (!is_fast_flow(e)) {
		emit_flow_helper(e, IS_IMM(t) ? insn_jmp16 : insn_jmp_near);
	} else {
		u8 src = source_slot(e, t, TMPB);

		emit(e, jmp_r)->reg = src;
	}
	return true;
}

/* The return link is found by RET through the return stack, from any address
 * space: it always needs its generation. */
static void
emit_return_link(struct emitter *e)
{
	emit_link(e, e->block_lin >> 63, emit_next(e));
}

static bool
emit_call(struct emitter *e)
{
	const ZydisDecodedOperand *t = &e->ops[0];
	struct uop *u;

	if (is_far(e))
		return false;
	flow_ends(e);
	if (!is_fast_flow(e)) {
		emit_flow_helper(e, insn_call_near);
	} else if (IS_IMM(t)) {
		u = emit(e, call_rel);
		u->disp = target_delta(e);
		emit_link(e, emit_link_kind(e, u->disp), 0);
		emit_return_link(e);
	} else {
		u8 src = source_slot(e, t, TMPB);

		emit(e, call_r)->reg = src;
		emit_return_link(e);
	}
	return true;
}

static bool
emit_ret(struct emitter *e)
{
	if (is_far(e))
		return false;
	flow_ends(e);
	if (!is_fast_flow(e))
		emit_flow_helper(e, insn_ret_near);
	else
		emit(e, ret)->imm = IS_IMM(&e->ops[0])
					? (s32)(e->ops[0].imm.value.u & 0xffff)
					: 0;
	return true;
}

/* --- by mnemonic ------------------------------------------------------- */

/* Condition code of a Jcc, SETcc or CMOVcc: the low nibble of its opcode. */
static unsigned
cc_of(const struct emitter *e)
{
	return e->in->opcode & 15;
}

/* The category also holds XBEGIN and XEND. */
static bool
is_jcc(const struct emitter *e)
{
	return (e->in->opcode & 0xf0) ==
	       (e->in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT ? 0x70 : 0x80);
}

static bool
emit_plain(struct emitter *e, uop_fn fn)
{
	emit(e, fn);
	return true;
}

static bool
emit_insn(struct emitter *e, helper_fn fn)
{
	emit_helper(e, fn, false);
	return true;
}

static bool
emit_bswap(struct emitter *e)
{
	unsigned lg = operand_lg(&e->ops[0]);
	/* A 16-bit BSWAP is undefined; parts clear the register's low half. */
	struct uop *u = emit(e, lg == 3	  ? bswap_64
				: lg == 2 ? bswap_32
					  : mov_ri[1]);

	u->reg = (u8)decode_gpr(e->ops[0].reg.value, NULL);
	return true;
}

/* CLFLUSH is checked like a load of a byte. */
static bool
emit_touch(struct emitter *e)
{
	ZydisDecodedOperand byte = e->ops[0];
	struct memref m;
	struct uop *u;

	byte.size = 8;
	m = emit_addr(e, &byte);
	u = emit(e, load_b[0]);
	uop_mem(u, m);
	u->reg = TMPB;
	return true;
}

/* PAUSE is REP NOP; with REX.B the opcode is XCHG r8, rAX after all. */
static bool
emit_pause(struct emitter *e)
{
	unsigned lg = e->in->raw.rex.W					 ? 3
		      : e->in->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE ? 1
									 : 2;
	struct uop *u;

	if (!e->in->raw.rex.B)
		return emit_plain(e, nop);
	u = emit(e, xchg_rr[lg]);
	u->reg = R8;
	u->base = RAX;
	return true;
}

static bool
emit_group_arith(struct emitter *e)
{
	switch (e->in->mnemonic) {
	case ZYDIS_MNEMONIC_ADD:
		return emit_alu(e, ALU_ADD);
	case ZYDIS_MNEMONIC_OR:
		return emit_alu(e, ALU_OR);
	case ZYDIS_MNEMONIC_ADC:
		return emit_alu(e, ALU_ADC);
	case ZYDIS_MNEMONIC_SBB:
		return emit_alu(e, ALU_SBB);
	case ZYDIS_MNEMONIC_AND:
		return emit_alu(e, ALU_AND);
	case ZYDIS_MNEMONIC_SUB:
		return emit_alu(e, ALU_SUB);
	case ZYDIS_MNEMONIC_XOR:
		return emit_alu(e, ALU_XOR);
	case ZYDIS_MNEMONIC_CMP:
		return emit_alu(e, ALU_CMP);
	case ZYDIS_MNEMONIC_TEST:
		return emit_alu(e, ALU_TEST);
	case ZYDIS_MNEMONIC_INC:
		return emit_one_operand(e, ONE_INC);
	case ZYDIS_MNEMONIC_DEC:
		return emit_one_operand(e, ONE_DEC);
	case ZYDIS_MNEMONIC_NEG:
		return emit_one_operand(e, ONE_NEG);
	case ZYDIS_MNEMONIC_NOT:
		return emit_one_operand(e, ONE_NOT);
	case ZYDIS_MNEMONIC_MUL:
		return emit_accumulate(e, mul_r);
	case ZYDIS_MNEMONIC_IMUL:
		return emit_imul(e);
	case ZYDIS_MNEMONIC_DIV:
		return emit_accumulate(e, div_r);
	case ZYDIS_MNEMONIC_IDIV:
		return emit_accumulate(e, idiv_r);
	case ZYDIS_MNEMONIC_AAA:
	case ZYDIS_MNEMONIC_AAS:
	case ZYDIS_MNEMONIC_DAA:
	case ZYDIS_MNEMONIC_DAS:
	case ZYDIS_MNEMONIC_AAM:
	case ZYDIS_MNEMONIC_AAD:
		return emit_insn(e, insn_bcd);
	default:
		return false;
	}
}

static bool
emit_group_bits(struct emitter *e)
{
	switch (e->in->mnemonic) {
	case ZYDIS_MNEMONIC_ROL:
		return emit_shift(e, SH_ROL);
	case ZYDIS_MNEMONIC_ROR:
		return emit_shift(e, SH_ROR);
	case ZYDIS_MNEMONIC_RCL:
		return emit_shift(e, SH_RCL);
	case ZYDIS_MNEMONIC_RCR:
		return emit_shift(e, SH_RCR);
	case ZYDIS_MNEMONIC_SHL:
		return emit_shift(e, SH_SHL);
	case ZYDIS_MNEMONIC_SHR:
		return emit_shift(e, SH_SHR);
	case ZYDIS_MNEMONIC_SAR:
		return emit_shift(e, SH_SAR);
	case ZYDIS_MNEMONIC_SHLD:
		return emit_double_shift(e, shld_i, shld_c);
	case ZYDIS_MNEMONIC_SHRD:
		return emit_double_shift(e, shrd_i, shrd_c);
	case ZYDIS_MNEMONIC_BSF:
		return emit_scan(e, bsf);
	case ZYDIS_MNEMONIC_BSR:
		return emit_scan(e, bsr);
	case ZYDIS_MNEMONIC_POPCNT:
		return emit_scan(e, popcnt);
	case ZYDIS_MNEMONIC_CRC32:
		return emit_scan(e, crc32_rr);
	case ZYDIS_MNEMONIC_BT:
		return emit_bit_test(e, BT_BT);
	case ZYDIS_MNEMONIC_BTS:
		return emit_bit_test(e, BT_BTS);
	case ZYDIS_MNEMONIC_BTR:
		return emit_bit_test(e, BT_BTR);
	case ZYDIS_MNEMONIC_BTC:
		return emit_bit_test(e, BT_BTC);
	case ZYDIS_MNEMONIC_BSWAP:
		return emit_bswap(e);
	default:
		return false;
	}
}

static bool
emit_group_move(struct emitter *e)
{
	switch (e->in->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return emit_mov(e);
	case ZYDIS_MNEMONIC_MOVZX:
		return emit_widen(e, movzx_rr, movzx_b, movzx_x);
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
		return emit_widen(e, movsx_rr, movsx_b, movsx_x);
	case ZYDIS_MNEMONIC_LEA:
		return emit_lea(e);
	case ZYDIS_MNEMONIC_XCHG:
		return emit_exchange(e, xchg_rr, xchg_m, true);
	case ZYDIS_MNEMONIC_XADD:
		return emit_exchange(e, xadd_rr, xadd_m, true);
	case ZYDIS_MNEMONIC_CMPXCHG:
		return emit_exchange(e, cmpxchg_rr, cmpxchg_m, false);
	case ZYDIS_MNEMONIC_CMPXCHG8B:
	case ZYDIS_MNEMONIC_CMPXCHG16B:
		return emit_insn(e, insn_cmpxchg_wide);
	case ZYDIS_MNEMONIC_PUSH:
		return emit_push(e);
	case ZYDIS_MNEMONIC_POP:
		return emit_pop(e);
	case ZYDIS_MNEMONIC_PUSHA:
	case ZYDIS_MNEMONIC_PUSHAD:
		return emit_insn(e, insn_pusha);
	case ZYDIS_MNEMONIC_POPA:
	case ZYDIS_MNEMONIC_POPAD:
		return emit_insn(e, insn_popa);
	case ZYDIS_MNEMONIC_ENTER:
		return emit_insn(e, insn_enter);
	case ZYDIS_MNEMONIC_LEAVE:
		return emit_leave(e);
	case ZYDIS_MNEMONIC_XLAT:
		return emit_insn(e, insn_xlat);
	case ZYDIS_MNEMONIC_BOUND:
		return emit_insn(e, insn_bound);
	case ZYDIS_MNEMONIC_SALC:
		return emit_insn(e, insn_salc);
	default:
		return false;
	}
}

static bool
emit_group_single(struct emitter *e)
{
	switch (e->in->mnemonic) {
	case ZYDIS_MNEMONIC_CBW:
		return emit_plain(e, cbw);
	case ZYDIS_MNEMONIC_CWDE:
		return emit_plain(e, cwde);
	case ZYDIS_MNEMONIC_CDQE:
		return emit_plain(e, cdqe);
	case ZYDIS_MNEMONIC_CWD:
		return emit_plain(e, cwd);
	case ZYDIS_MNEMONIC_CDQ:
		return emit_plain(e, cdq);
	case ZYDIS_MNEMONIC_CQO:
		return emit_plain(e, cqo);
	case ZYDIS_MNEMONIC_CLC:
		return emit_plain(e, clc);
	case ZYDIS_MNEMONIC_STC:
		return emit_plain(e, stc);
	case ZYDIS_MNEMONIC_CMC:
		return emit_plain(e, cmc);
	case ZYDIS_MNEMONIC_CLD:
		return emit_plain(e, cld);
	case ZYDIS_MNEMONIC_STD:
		return emit_plain(e, std_);
	case ZYDIS_MNEMONIC_LAHF:
		return emit_plain(e, lahf);
	case ZYDIS_MNEMONIC_SAHF:
		return emit_plain(e, sahf);
	case ZYDIS_MNEMONIC_PAUSE:
		return emit_pause(e);
	case ZYDIS_MNEMONIC_NOP:
		/* 0F 0D with a register is no prefetch. */
		if (e->in->opcode_map == ZYDIS_OPCODE_MAP_0F &&
		    e->in->opcode == 0x0d)
			return false;
		return emit_plain(e, nop);
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
	case ZYDIS_MNEMONIC_PREFETCH:
	case ZYDIS_MNEMONIC_PREFETCHNTA:
	case ZYDIS_MNEMONIC_PREFETCHT0:
	case ZYDIS_MNEMONIC_PREFETCHT1:
	case ZYDIS_MNEMONIC_PREFETCHT2:
	case ZYDIS_MNEMONIC_PREFETCHW:
		return emit_plain(e, nop);
	case ZYDIS_MNEMONIC_CLFLUSH:
		return emit_touch(e);
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD0:
		emit_helper(e, insn_ud, true);
		return true;
	default:
		return false;
	}
}

static bool
emit_group_flow(struct emitter *e)
{
	switch (e->in->mnemonic) {
	case ZYDIS_MNEMONIC_JMP:
		return emit_jmp(e);
	case ZYDIS_MNEMONIC_CALL:
		return emit_call(e);
	case ZYDIS_MNEMONIC_RET:
		return emit_ret(e);
	case ZYDIS_MNEMONIC_LOOPNE:
		return emit_loop(e, 0);
	case ZYDIS_MNEMONIC_LOOPE:
		return emit_loop(e, 1);
	case ZYDIS_MNEMONIC_LOOP:
		return emit_loop(e, 2);
	case ZYDIS_MNEMONIC_JCXZ:
	case ZYDIS_MNEMONIC_JECXZ:
	case ZYDIS_MNEMONIC_JRCXZ:
		return emit_loop(e, 3);
	default:
		break;
	}
	switch (e->in->meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
		return is_jcc(e) && emit_jcc(e, cc_of(e));
	case ZYDIS_CATEGORY_SETCC:
		return emit_setcc(e, cc_of(e));
	case ZYDIS_CATEGORY_CMOV:
		return emit_cmov(e, cc_of(e));
	default:
		return false;
	}
}

/* Of the two operands only the one at rSI can have another segment. */
static bool
emit_string(struct emitter *e, helper_fn fn)
{
	struct insn *in = emit_helper(e, fn, false);

	in->seg = SEG_DS;
	for (unsigned i = 0; i < e->in->operand_count; i++) {
		const ZydisDecodedOperand *o = &e->ops[i];

		if (IS_MEM(o) && decode_gpr(o->mem.base, NULL) == RSI)
			in->seg = (u8)decode_segment(o->mem.segment);
	}
	return true;
}

static bool
emit_group_string(struct emitter *e)
{
	switch (e->in->mnemonic) {
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVSQ:
		return emit_string(e, insn_movs);
	case ZYDIS_MNEMONIC_STOSB:
	case ZYDIS_MNEMONIC_STOSW:
	case ZYDIS_MNEMONIC_STOSD:
	case ZYDIS_MNEMONIC_STOSQ:
		return emit_string(e, insn_stos);
	case ZYDIS_MNEMONIC_LODSB:
	case ZYDIS_MNEMONIC_LODSW:
	case ZYDIS_MNEMONIC_LODSD:
	case ZYDIS_MNEMONIC_LODSQ:
		return emit_string(e, insn_lods);
	case ZYDIS_MNEMONIC_SCASB:
	case ZYDIS_MNEMONIC_SCASW:
	case ZYDIS_MNEMONIC_SCASD:
	case ZYDIS_MNEMONIC_SCASQ:
		return emit_string(e, insn_scas);
	case ZYDIS_MNEMONIC_CMPSB:
	case ZYDIS_MNEMONIC_CMPSW:
	case ZYDIS_MNEMONIC_CMPSD:
	case ZYDIS_MNEMONIC_CMPSQ:
		return emit_string(e, insn_cmps);
	default:
		return false;
	}
}

bool
emit_integer(struct emitter *e)
{
	if (e->in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return false;
	/* MOVSD and CMPSD are names of SSE2 instructions, too. */
	if (e->in->meta.category == ZYDIS_CATEGORY_STRINGOP)
		return emit_group_string(e);
	return emit_group_move(e) || emit_group_arith(e) ||
	       emit_group_flow(e) || emit_group_single(e) || emit_group_bits(e);
}
