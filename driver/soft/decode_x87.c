/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/decode_sse.h"

#include "driver/soft/fpu.h"
#include "driver/soft/ops_mmx.h"
#include "driver/soft/ops_mov.h"
#include "driver/soft/ops_x87.h"

/* --- x87 -------------------------------------------------------------- */

/* The memory forms of D8h..DFh by ModRM.reg, SDM 2 appendix B.17: the bytes of
 * an operand that is loaded or stored, or a control instruction. */
enum x87_mem { NONE, L2, L4, L8, L10, S2, S4, S8, S10, ENV };

static const u8 mem_forms[8][8] = {
    /* D8 */ {L4, L4, L4, L4, L4, L4, L4, L4},
    /* D9 */ {L4, NONE, S4, S4, ENV, ENV, ENV, ENV},
    /* DA */ {L4, L4, L4, L4, L4, L4, L4, L4},
    /* DB */ {L4, S4, S4, S4, NONE, L10, NONE, S10},
    /* DC */ {L8, L8, L8, L8, L8, L8, L8, L8},
    /* DD */ {L8, S8, S8, S8, ENV, NONE, ENV, ENV},
    /* DE */ {L2, L2, L2, L2, L2, L2, L2, L2},
    /* DF */ {L2, S2, S2, S2, L10, L8, S10, S8},
};

/* A word between TMPB and the operand. */
static void
emit_word(struct emitter *e, const uop_fn *b, const uop_fn *x)
{
	struct memref m = emit_addr_x(e, &e->ops[0]);
	struct uop *u = emit(e, m.indexed ? x[1] : b[1]);

	uop_mem(u, m);
	u->reg = TMPB;
}

/* FWAIT, the environment, and what touches only FCW and FSW. */
static bool
emit_control(struct emitter *e)
{
	bool mem = sse_is_mem(&e->ops[0]);

	switch (e->in->mnemonic) {
	case ZYDIS_MNEMONIC_FNSTCW:
		emit_check(e, x87_check);
		emit(e, x87_get_cw);
		emit_word(e, store_b, store_x);
		return true;
	case ZYDIS_MNEMONIC_FLDCW:
		emit_check(e, x87_check);
		emit(e, x87_pending);
		emit_word(e, load_b, load_x);
		emit(e, x87_set_cw);
		return true;
	case ZYDIS_MNEMONIC_FNSTSW:
		emit_check(e, x87_check);
		emit(e, mem ? x87_get_sw : x87_sw_ax);
		if (mem)
			emit_word(e, store_b, store_x);
		return true;
	case ZYDIS_MNEMONIC_FNCLEX:
		emit_check(e, x87_check);
		emit(e, x87_clex);
		return true;
	case ZYDIS_MNEMONIC_FNINIT:
		emit_check(e, x87_check);
		emit(e, x87_init);
		return true;
	case ZYDIS_MNEMONIC_FENI8087_NOP:
	case ZYDIS_MNEMONIC_FDISI8087_NOP:
	case ZYDIS_MNEMONIC_FSETPM287_NOP:
		emit(e, x87_check);
		return true;
	case ZYDIS_MNEMONIC_FNSTENV:
		emit_check(e, x87_check);
		emit_helper(e, x87_fnstenv, false);
		return true;
	case ZYDIS_MNEMONIC_FNSAVE:
		emit_check(e, x87_check);
		emit_helper(e, x87_fnsave, false);
		return true;
	case ZYDIS_MNEMONIC_FLDENV:
		emit_check(e, x87_check);
		emit(e, x87_pending);
		emit_helper(e, x87_fldenv, false);
		return true;
	case ZYDIS_MNEMONIC_FRSTOR:
		emit_check(e, x87_check);
		emit(e, x87_pending);
		emit_helper(e, x87_frstor, false);
		return true;
	default:
		return false;
	}
}

static const ZydisDecodedOperand *
mem_operand(const struct emitter *e)
{
	for (unsigned i = 0; i < e->in->operand_count; i++)
		if (sse_is_mem(&e->ops[i]))
			return &e->ops[i];
	return NULL;
}

static uop_fn
reg_handler(unsigned fop)
{
	unsigned opcode = 0xd8 + (fop >> 8), ext = fop >> 3 & 7;

	if ((opcode == 0xda || opcode == 0xdb) && ext < 4)
		return x87_cmov;
	if ((opcode == 0xdb || opcode == 0xdf) && (ext == 5 || ext == 6))
		return x87_comi;
	return x87_rr;
}

/* In compatibility mode the segment may end inside of a ten-byte operand. Its
 * first eight bytes have all their faults before the last two. */
static void
emit_first_part(struct emitter *e, const ZydisDecodedOperand *mem)
{
	ZydisDecodedOperand first = *mem;
	struct memref m;
	struct uop *u;

	if (mem->size != 80 || (e->mode & MODE_64))
		return;
	first.size = 64;
	m = emit_addr(e, &first);
	u = emit(e, x87_probe);
	uop_mem(u, m);
	u->imm = sse_writes(mem) ? ACC_WRITE : ACC_READ;
}

bool
emit_x87(struct emitter *e)
{
	const ZydisDecodedInstruction *in = e->in;
	unsigned modrm = (unsigned)in->raw.modrm.mod << 6 |
			 (unsigned)in->raw.modrm.reg << 3 | in->raw.modrm.rm;
	unsigned fop = (in->opcode & 7u) << 8 | modrm;
	const ZydisDecodedOperand *mem = mem_operand(e);
	struct memref m;
	struct uop *u;
	unsigned form;

	if (in->mnemonic == ZYDIS_MNEMONIC_FWAIT) {
		emit(e, x87_wait);
		return true;
	}
	if (emit_control(e))
		return true;
	if ((in->opcode & 0xf8) != 0xd8)
		return false;
	if (!mem) {
		emit_check(e, x87_check);
		emit(e, reg_handler(fop))->imm = X87_IMM(fop, e->pos, SEG_DS);
		return true;
	}
	form = mem_forms[in->opcode & 7][in->raw.modrm.reg];
	if (form == NONE || form == ENV)
		return false;
	emit_check(e, x87_check);
	if (!(e->mode & MODE_64))
		emit(e, x87_pending); /* before what a segment has to say */
	emit_first_part(e, mem);
	m = emit_addr_x(e, mem);
	u = emit(e, form < S2 ? x87_load[form - L2] : x87_store[form - S2]);
	uop_mem(u, m);
	u->imm = X87_IMM(fop, e->pos, decode_segment(mem->mem.segment));
	return true;
}

/* --- MMX -------------------------------------------------------------- */

/* Conversions with an MMX register compute under MXCSR. */
static bool
is_fp(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_CVTPI2PS:
	case ZYDIS_MNEMONIC_CVTPI2PD:
	case ZYDIS_MNEMONIC_CVTPS2PI:
	case ZYDIS_MNEMONIC_CVTPD2PI:
	case ZYDIS_MNEMONIC_CVTTPS2PI:
	case ZYDIS_MNEMONIC_CVTTPD2PI:
		return true;
	default:
		return false;
	}
}

/* CVTPI2PS, CVTPI2PD from memory. */
static bool
emit_from_pi(struct emitter *e, const struct sse_operands *o)
{
	struct stub_insn si = sse_stub_insn(e, o, STUB_MM);
	s32 stub = stub_get(&si);
	struct memref m;
	struct uop *u;

	if (stub < 0)
		return false;
	emit_check(e, sse_check);
	emit(e, x87_home);
	m = emit_addr_x(e, o->rm);
	u = emit(e, sse_stub[SSE_FP][SSE_LD8]);
	uop_mem(u, m);
	u->reg = sse_slot_of(o->reg);
	u->imm = stub;
	return true;
}

/* MOVD, MOVQ, MOVNTQ to memory: the instruction is complete before its store,
 * which therefore is made sure of first. */
static bool
emit_mmx_store(struct emitter *e, const struct sse_operands *o, s32 stub)
{
	unsigned lg = operand_lg(o->rm);
	struct memref m = emit_addr_x(e, o->rm);
	struct uop *u = emit(e, lg == 3 ? mmx_probe8 : mmx_probe4);

	uop_mem(u, m);
	u = emit(e, mmx_int);
	u->reg = sse_slot_of(o->reg);
	u->base = TMPB;
	u->imm = stub;
	u = emit(e, m.indexed ? store_x[lg] : store_b[lg]);
	uop_mem(u, m);
	u->reg = TMPB;
	return true;
}

/* Brings the memory operand to TMPB. */
static void
emit_mmx_load(struct emitter *e, const ZydisDecodedOperand *o)
{
	struct memref m = emit_addr_x(e, o);
	unsigned lg = operand_lg(o);
	struct uop *u = emit(e, lg == 4	    ? mmx_load16
				: m.indexed ? load_x[lg]
					    : load_b[lg]);

	uop_mem(u, m);
	u->reg = TMPB;
}

/* A store is moved as a plain 64-bit register: MOVQ mm, rm has a form for it,
 * MOVNTQ is the same but for the cache. */
static s32
mmx_stub(const struct emitter *e, const struct sse_operands *o)
{
	ZydisMnemonic mn = e->in->mnemonic;
	struct stub_insn si = sse_stub_insn(e, o, STUB_MM);

	if (mn == ZYDIS_MNEMONIC_MOVNTQ)
		si.opcode = 0x7f; /* MOVQ mm/m64, mm */
	else if (mn == ZYDIS_MNEMONIC_MOVD || mn == ZYDIS_MNEMONIC_PINSRW ||
		 (mn == ZYDIS_MNEMONIC_MOVQ && (si.opcode | 0x10) == 0x7e))
		si.rm = STUB_GPR;
	else if (is_fp(mn) && sse_is_mem(o->rm))
		si.rm = STUB_XMM;
	if (si.rm == STUB_GPR)
		si.wide = e->in->raw.rex.W;
	return stub_get(&si);
}

bool
emit_mmx(struct emitter *e)
{
	struct sse_operands o = sse_operands(e);
	bool fp = is_fp(e->in->mnemonic);
	struct uop *u;
	s32 stub;

	if (fp && sse_kind_of(o.reg) == STUB_XMM && sse_is_mem(o.rm))
		return emit_from_pi(e, &o);
	emit_check(e, mmx_check);
	if (sse_kind_of(o.reg) == STUB_XMM || sse_kind_of(o.rm) == STUB_XMM ||
	    fp)
		emit_check(e, sse_check);
	emit(e, mmx_begin);
	if (e->in->mnemonic == ZYDIS_MNEMONIC_EMMS) {
		emit(e, mmx_emms);
		return true;
	}
	if (e->in->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ) {
		emit_helper(e, mmx_maskmovq, false);
		return true;
	}
	stub = o.rm ? mmx_stub(e, &o) : -1;
	if (stub < 0)
		return false;
	if (sse_is_mem(o.rm) && sse_writes(o.rm))
		return emit_mmx_store(e, &o, stub);
	if (sse_is_mem(o.rm))
		emit_mmx_load(e, o.rm);
	u = emit(e, fp ? mmx_fp : mmx_int);
	u->base = sse_is_mem(o.rm) ? TMPB : sse_slot_of(o.rm);
	/* Shifts by an immediate have no ModRM.reg operand. */
	u->reg = o.reg ? sse_slot_of(o.reg) : u->base;
	u->imm = stub;
	if (sse_kind_of(o.reg) == STUB_MM && sse_writes(o.reg))
		u->scale |= MMX_OUT_REG;
	if (sse_kind_of(o.rm) == STUB_MM && sse_writes(o.rm))
		u->scale |= MMX_OUT_RM;
	return true;
}
