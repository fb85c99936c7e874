/* SPDX-License-Identifier: BSD-2-Clause */
/* Arithmetic, shifts, bits. */
#include "driver/soft/decode_operand.h"

#include "driver/soft/insn_int.h"
#include "driver/soft/ops_alu.h"
#include "driver/soft/ops_bits.h"
#include "driver/soft/ops_mov.h"

/* --- arithmetic --------------------------------------------------------- */

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

bool
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

/* --- shifts and bits ------------------------------------------------------ */

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

bool
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
