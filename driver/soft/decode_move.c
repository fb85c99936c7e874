/* SPDX-License-Identifier: BSD-2-Clause */
/* Moves, exchanges, the stack. */
#include "driver/soft/decode_operand.h"

#include "driver/soft/insn_int.h"
#include "driver/soft/ops_mov.h"

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

/* --- by mnemonic ------------------------------------------------------- */

bool
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
