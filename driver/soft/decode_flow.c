/* SPDX-License-Identifier: BSD-2-Clause */
/* Jumps, calls, and what depends on a condition code. */
#include "driver/soft/decode_operand.h"

#include "driver/soft/code_int.h"
#include "driver/soft/insn_int.h"
#include "driver/soft/ops_flow.h"
#include "driver/soft/ops_mov.h"

/* --- conditions ----------------------------------------------------------- */

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

bool
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
