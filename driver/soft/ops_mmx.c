/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/ops_mmx.h"

#include "driver/soft/sse_int.h"

UOP(mmx_check)
{
	if (unlikely(c->cr0 & CR0_EM)) {
		soft_raise(c, EXC_UD);
		return soft_fault(c, op);
	}
	if (unlikely(c->cr0 & CR0_TS)) {
		soft_raise(c, EXC_NM);
		return soft_fault(c, op);
	}
	NEXT;
}

UOP(mmx_begin)
{
	if (unlikely(fpu_pending(c))) {
		soft_raise(c, EXC_MF);
		return soft_fault(c, op);
	}
	fpu_x87_out(c);
	NEXT;
}

UOP(x87_home)
{
	fpu_x87_out(c);
	NEXT;
}

UOP(mmx_load16)
{
	mem_x128 *p = tlb_read_aligned(tlb, EA_X);

	if (unlikely(!p))
		p = sse_slow_aligned(c, EA_X, ACC_READ | SS_OF);
	if (!p)
		return soft_fault(c, op);
	*(mem_x128 *)(void *)&c->r[TMPB] = *p;
	NEXT;
}

#define PROBE(BYTES) \
	UOP(mmx_probe##BYTES) \
	{ \
		if (!tlb_write(tlb, EA_X, BYTES) && \
		    (fpu_misaligned(c, EA_X, BYTES) || \
		     mem_probe(c, EA_X, BYTES, ACC_WRITE | SS_OF) != \
			 HELPER_NEXT)) \
			return soft_fault(c, op); \
		NEXT; \
	}
PROBE(8)
PROBE(4)

static void
set_valid(struct soft *c)
{
	c->fx[FX_FTW] = 0xff;
}

/* Registers that MMX instructions wrote read as NaNs or infinities. */
static void
mark_written(struct soft *c, const struct uop *op)
{
	if (op->scale & MMX_OUT_REG)
		put_le16((u8 *)slot_at(c, op->reg) + 8, 0xffff);
	if (op->scale & MMX_OUT_RM)
		put_le16((u8 *)slot_at(c, op->base) + 8, 0xffff);
}

UOP(mmx_int)
{
	fpu_set_top(c, 0);
	set_valid(c);
	stub_call(op->imm, slot_at(c, op->reg), slot_at(c, op->base), c);
	mark_written(c, op);
	NEXT;
}

/* An unmasked exception comes after the change of the x87 state. */
UOP(mmx_fp)
{
	unsigned bytes = op->reg >= SLOT_MM ? 8 : 16;

	fpu_set_top(c, 0);
	set_valid(c);
	if (!fpu_simd(c, op->imm, slot_at(c, op->reg), bytes,
		      slot_at(c, op->base), false))
		return soft_fault(c, op);
	mark_written(c, op);
	NEXT;
}

UOP(mmx_emms)
{
	fpu_set_top(c, 0);
	c->fx[FX_FTW] = 0;
	NEXT;
}

enum helper_result
mmx_maskmovq(struct soft *c, const struct insn *in)
{
	u8 data[8], mask[8];
	u8 *p;

	/* Faults come after the change of the x87 state. */
	fpu_set_top(c, 0);
	set_valid(c);
	if (!insn_check(c, in, 0, 8, ACC_RMW))
		return HELPER_FAULT;
	p = mem_slow(c, insn_lin(c, in, 0), 8, ACC_RMW | insn_acc(c, in));
	if (!p)
		return c->exc.valid ? HELPER_FAULT : HELPER_RETRY;
	memcpy(data, c->fx + FX_ST(in->modrm_reg & 7), sizeof(data));
	memcpy(mask, c->fx + FX_ST(in->modrm_rm & 7), sizeof(mask));
	for (unsigned i = 0; i < 8; i++)
		if (mask[i] & 0x80)
			p[i] = data[i];
	if (p == c->bounce.data && !mem_commit(c))
		return HELPER_EXIT;
	return HELPER_NEXT;
}
