/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/decode_operand.h"

#include "driver/soft/ops_mov.h"

bool
is_gpr(const ZydisDecodedOperand *o)
{
	ZydisRegisterClass k;

	if (!IS_REG(o))
		return false;
	k = ZydisRegisterGetClass(o->reg.value);
	return k == ZYDIS_REGCLASS_GPR8 || k == ZYDIS_REGCLASS_GPR16 ||
	       k == ZYDIS_REGCLASS_GPR32 || k == ZYDIS_REGCLASS_GPR64;
}

bool
is_high(const ZydisDecodedOperand *o)
{
	bool high = false;

	if (IS_REG(o))
		decode_gpr(o->reg.value, &high);
	return high;
}

u8
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

void
reg_put_high(struct emitter *e, const ZydisDecodedOperand *o, u8 tmp)
{
	struct uop *u;

	if (!is_high(o))
		return;
	u = emit(e, high_put);
	u->reg = (u8)decode_gpr(o->reg.value, NULL);
	u->base = tmp;
}

u8
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

u8
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

void
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

bool
emit_plain(struct emitter *e, uop_fn fn)
{
	emit(e, fn);
	return true;
}

bool
emit_insn(struct emitter *e, helper_fn fn)
{
	emit_helper(e, fn, false);
	return true;
}
