/* SPDX-License-Identifier: BSD-2-Clause */
/* Which family an integer instruction belongs to; strings, and instructions
 * without operands. */
#include "driver/soft/decode_operand.h"

#include "driver/soft/insn_int.h"
#include "driver/soft/ops_bits.h"
#include "driver/soft/ops_mov.h"

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
