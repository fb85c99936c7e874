/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/decode_sse.h"

#include "driver/soft/code_int.h"
#include "driver/soft/ops_mov.h"

/* --- operands --------------------------------------------------------- */

struct sse_operands
sse_operands(const struct emitter *e)
{
	struct sse_operands o = {NULL, NULL};

	for (unsigned i = 0; i < e->in->operand_count_visible; i++) {
		const ZydisDecodedOperand *z = &e->ops[i];

		if (z->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG)
			o.reg = z;
		else if (z->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
			o.rm = z;
	}
	return o;
}

bool
sse_is_mem(const ZydisDecodedOperand *o)
{
	return o && o->type == ZYDIS_OPERAND_TYPE_MEMORY;
}

enum stub_kind
sse_kind_of(const ZydisDecodedOperand *o)
{
	if (!o || o->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return STUB_NONE;
	switch (ZydisRegisterGetClass(o->reg.value)) {
	case ZYDIS_REGCLASS_XMM:
		return STUB_XMM;
	case ZYDIS_REGCLASS_MMX:
		return STUB_MM;
	default:
		return STUB_GPR;
	}
}

u8
sse_slot_of(const ZydisDecodedOperand *o)
{
	u8 id = (u8)ZydisRegisterGetId(o->reg.value);

	switch (sse_kind_of(o)) {
	case STUB_XMM:
		return (u8)(SLOT_XMM + (id & 15));
	case STUB_MM:
		return (u8)(SLOT_MM + (id & 7));
	default:
		return (u8)decode_gpr(o->reg.value, NULL);
	}
}

bool
sse_writes(const ZydisDecodedOperand *o)
{
	return o && (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE);
}

void
emit_check(struct emitter *e, uop_fn fn)
{
	s32 off = uop_offset(fn);

	for (unsigned i = 0; i < e->n_uop; i++)
		if (e->uop[i].fn == off)
			return;
	emit(e, fn);
}

/* --- normal form ------------------------------------------------------ */

static u8
mandatory_prefix(const ZydisDecodedInstruction *in)
{
	for (unsigned i = 0; i < in->raw.prefix_count; i++)
		if (in->raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY)
			return in->raw.prefixes[i].value;
	return 0;
}

static u8
implicit_operands(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_PBLENDVB:
	case ZYDIS_MNEMONIC_BLENDVPS:
	case ZYDIS_MNEMONIC_BLENDVPD:
		return STUB_IN_XMM0;
	case ZYDIS_MNEMONIC_PCMPESTRI:
		return STUB_IN_AX_DX | STUB_OUT_CX | STUB_OUT_FLAGS;
	case ZYDIS_MNEMONIC_PCMPESTRM:
		return STUB_IN_AX_DX | STUB_OUT_XMM0 | STUB_OUT_FLAGS;
	case ZYDIS_MNEMONIC_PCMPISTRI:
		return STUB_OUT_CX | STUB_OUT_FLAGS;
	case ZYDIS_MNEMONIC_PCMPISTRM:
		return STUB_OUT_XMM0 | STUB_OUT_FLAGS;
	case ZYDIS_MNEMONIC_PTEST:
	case ZYDIS_MNEMONIC_COMISD:
	case ZYDIS_MNEMONIC_COMISS:
	case ZYDIS_MNEMONIC_UCOMISD:
	case ZYDIS_MNEMONIC_UCOMISS:
		return STUB_OUT_FLAGS;
	default:
		return 0;
	}
}

struct stub_insn
sse_stub_insn(const struct emitter *e, const struct sse_operands *o,
	      enum stub_kind mem_kind)
{
	const ZydisDecodedInstruction *in = e->in;
	struct stub_insn s = {
	    .prefix = mandatory_prefix(in),
	    .map = in->opcode_map == ZYDIS_OPCODE_MAP_0F38   ? 1
		   : in->opcode_map == ZYDIS_OPCODE_MAP_0F3A ? 2
							     : 0,
	    .opcode = in->opcode,
	    .has_imm = in->raw.imm[0].size != 0,
	    .imm = (u8)in->raw.imm[0].value.u,
	    .reg = sse_kind_of(o->reg),
	    .rm = sse_is_mem(o->rm) ? mem_kind : sse_kind_of(o->rm),
	    .reg_out = sse_writes(o->reg),
	    .rm_out = sse_writes(o->rm),
	    .implicit = implicit_operands(in->mnemonic),
	};

	if (s.reg == STUB_NONE)
		s.ext = in->raw.modrm.reg;
	if (!s.has_imm)
		s.imm = 0;
	s.wide = in->raw.rex.W && (s.reg == STUB_GPR || s.rm == STUB_GPR ||
				   (s.implicit & STUB_IN_AX_DX));
	/* From memory INSERTPS takes the one element that is there. */
	if (in->mnemonic == ZYDIS_MNEMONIC_INSERTPS && sse_is_mem(o->rm))
		s.imm &= 0x3f;
	return s;
}

/* What the memory operand of an instruction stands for. */
static enum stub_kind
mem_kind(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_CVTSI2SD:
	case ZYDIS_MNEMONIC_CVTSI2SS:
	case ZYDIS_MNEMONIC_PINSRB:
	case ZYDIS_MNEMONIC_PINSRW:
	case ZYDIS_MNEMONIC_PINSRD:
	case ZYDIS_MNEMONIC_PINSRQ:
	case ZYDIS_MNEMONIC_PEXTRB:
	case ZYDIS_MNEMONIC_PEXTRW:
	case ZYDIS_MNEMONIC_PEXTRD:
	case ZYDIS_MNEMONIC_PEXTRQ:
	case ZYDIS_MNEMONIC_EXTRACTPS:
		return STUB_GPR;
	default:
		return STUB_XMM;
	}
}

bool
sse_unaligned(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_PCMPESTRI:
	case ZYDIS_MNEMONIC_PCMPESTRM:
	case ZYDIS_MNEMONIC_PCMPISTRI:
	case ZYDIS_MNEMONIC_PCMPISTRM:
		return true;
	default:
		return false;
	}
}

/* --- moves ------------------------------------------------------------ */

/* Which move a mnemonic is when its first operand is an XMM register and the
 * other memory, when the first operand is memory (or a GPR), and between two
 * XMM registers. 0: no such form here; others are the move + 1. */
struct move_row {
	u16 mnemonic;
	u8 load, store, rr;
};
#define MOVE(m, load, store, rr) \
	{ \
		ZYDIS_MNEMONIC_##m, load, store, rr \
	}
#define ID(move) (SSE_##move + 1)

static const struct move_row moves[] = {
    MOVE(MOVUPS, ID(MOVU), ID(MOVU_ST), ID(MOVU)),
    MOVE(MOVUPD, ID(MOVU), ID(MOVU_ST), ID(MOVU)),
    MOVE(MOVDQU, ID(MOVU), ID(MOVU_ST), ID(MOVU)),
    MOVE(LDDQU, ID(MOVU), 0, 0),
    MOVE(MOVAPS, ID(MOVA), ID(MOVA_ST), ID(MOVA)),
    MOVE(MOVAPD, ID(MOVA), ID(MOVA_ST), ID(MOVA)),
    MOVE(MOVDQA, ID(MOVA), ID(MOVA_ST), ID(MOVA)),
    MOVE(MOVNTDQA, ID(MOVA), 0, 0),
    MOVE(MOVNTPS, 0, ID(MOVA_ST), 0),
    MOVE(MOVNTPD, 0, ID(MOVA_ST), 0),
    MOVE(MOVNTDQ, 0, ID(MOVA_ST), 0),
    MOVE(MOVSS, ID(MOV4), ID(MOV4_ST), ID(MOVSS)),
    MOVE(MOVSD, ID(MOV8), ID(MOV8_ST), ID(MOVL)),
    MOVE(MOVD, ID(MOV4), ID(MOV4_ST), 0),
    MOVE(MOVQ, ID(MOV8), ID(MOV8_ST), ID(MOVQ)),
    MOVE(MOVLPS, ID(MOVL), ID(MOV8_ST), 0),
    MOVE(MOVLPD, ID(MOVL), ID(MOV8_ST), 0),
    MOVE(MOVHPS, ID(MOVH), ID(MOVH_ST), 0),
    MOVE(MOVHPD, ID(MOVH), ID(MOVH_ST), 0),
    MOVE(MOVHLPS, 0, 0, ID(MOVHLPS)),
    MOVE(MOVLHPS, 0, 0, ID(MOVH)),
};

/* One uop that has a register form and two memory forms. reg is the slot of
 * the ModRM.reg operand. */
static struct uop *
emit_forms(struct emitter *e, const struct sse_forms *f, u8 reg,
	   const ZydisDecodedOperand *rm)
{
	struct memref m;
	struct uop *u;

	if (sse_is_mem(rm)) {
		m = emit_addr_x(e, rm);
		u = emit(e, m.indexed ? f->x : f->b);
		uop_mem(u, m);
	} else {
		u = emit(e, f->rr);
		u->base = sse_slot_of(rm);
	}
	u->reg = reg;
	return u;
}

static bool
emit_move(struct emitter *e, const struct sse_operands *o)
{
	const struct move_row *row = NULL;
	u8 dst, src, id;

	for (unsigned i = 0; i < ARRAY_SIZE(moves) && !row; i++)
		if (moves[i].mnemonic == e->in->mnemonic)
			row = &moves[i];
	if (!row)
		return false;
	if (sse_kind_of(&e->ops[0]) != STUB_XMM)
		id = row->store;
	else if (sse_kind_of(&e->ops[1]) != STUB_XMM)
		id = row->load;
	else
		id = row->rr;
	assert(id);
	emit_check(e, sse_check);
	if (sse_kind_of(o->rm) != STUB_XMM) {
		emit_forms(e, &sse_move[id - 1], sse_slot_of(o->reg), o->rm);
		return true;
	}
	/* Between registers either operand may be the ModRM.reg one. */
	dst = sse_slot_of(&e->ops[0]);
	src = sse_slot_of(&e->ops[1]);
	emit_forms(e, &sse_move[id - 1], dst, &e->ops[1])->base = src;
	return true;
}

/* --- instructions with handlers of their own -------------------------- */

/* Index + 1 by mnemonic. Logic on floats is logic on bits, and unpacking them
 * is unpacking integers. */
static const u8 hot_index[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
#define HOT_INDEX(M, m, kind) [ZYDIS_MNEMONIC_##M] = SSE_##M + 1,
    SSE_HOT(HOT_INDEX)
#undef HOT_INDEX
	[ZYDIS_MNEMONIC_ANDPS] = SSE_PAND + 1,
    [ZYDIS_MNEMONIC_ANDPD] = SSE_PAND + 1,
    [ZYDIS_MNEMONIC_ANDNPS] = SSE_PANDN + 1,
    [ZYDIS_MNEMONIC_ANDNPD] = SSE_PANDN + 1,
    [ZYDIS_MNEMONIC_ORPS] = SSE_POR + 1,
    [ZYDIS_MNEMONIC_ORPD] = SSE_POR + 1,
    [ZYDIS_MNEMONIC_XORPS] = SSE_PXOR + 1,
    [ZYDIS_MNEMONIC_XORPD] = SSE_PXOR + 1,
    [ZYDIS_MNEMONIC_UNPCKLPS] = SSE_PUNPCKLDQ + 1,
    [ZYDIS_MNEMONIC_UNPCKHPS] = SSE_PUNPCKHDQ + 1,
    [ZYDIS_MNEMONIC_UNPCKLPD] = SSE_PUNPCKLQDQ + 1,
    [ZYDIS_MNEMONIC_UNPCKHPD] = SSE_PUNPCKHQDQ + 1,
};
static_assert(SSE_HOT_COUNT < 255, "indices fit");

static const struct sse_forms *
hot_forms(const struct emitter *e)
{
	bool wide = e->in->raw.rex.W;
	u8 i = hot_index[e->in->mnemonic];

	if (i)
		return &sse_hot[i - 1];
	switch (e->in->mnemonic) {
	case ZYDIS_MNEMONIC_UCOMISD:
		return &sse_comisd[0];
	case ZYDIS_MNEMONIC_COMISD:
		return &sse_comisd[1];
	case ZYDIS_MNEMONIC_UCOMISS:
		return &sse_comiss[0];
	case ZYDIS_MNEMONIC_COMISS:
		return &sse_comiss[1];
	case ZYDIS_MNEMONIC_CVTSI2SD:
		return &sse_cvtsi2sd[wide];
	case ZYDIS_MNEMONIC_CVTTSD2SI:
		return &sse_cvttsd2si[wide];
	default:
		return NULL;
	}
}

static bool
emit_shift(struct emitter *e, const struct sse_operands *o)
{
	static const u16 mnemonic[SSE_SHIFT_COUNT] = {
#define SHIFT_MNEMONIC(M, m) ZYDIS_MNEMONIC_##M,
	    SSE_SHIFTS(SHIFT_MNEMONIC)};
	struct uop *u;

	if (o->reg)
		return false; /* by a register or memory */
	for (unsigned i = 0; i < SSE_SHIFT_COUNT; i++) {
		if (mnemonic[i] != e->in->mnemonic)
			continue;
		u = emit(e, sse_shift[i]);
		u->reg = sse_slot_of(o->rm);
		u->disp = (s32)(u8)e->in->raw.imm[0].value.u;
		return true;
	}
	return false;
}

/* --- through stubs ---------------------------------------------------- */

static bool
is_fp(const ZydisDecodedInstruction *in)
{
	/* SDM 2 2.4: types 2 and 3 are those with SIMD FP exceptions. */
	return in->meta.exception_class == ZYDIS_EXCEPTION_CLASS_SSE2 ||
	       in->meta.exception_class == ZYDIS_EXCEPTION_CLASS_SSE3;
}

static enum sse_form
mem_form(const struct emitter *e, const ZydisDecodedOperand *m)
{
	switch (m->size) {
	case 8:
		return SSE_LD1;
	case 16:
		return SSE_LD2;
	case 32:
		return SSE_LD4;
	case 64:
		return SSE_LD8;
	default:
		return sse_unaligned(e->in->mnemonic) ? SSE_LD16 : SSE_LD16A;
	}
}

/* A result in memory: the stub puts it into TMPB, a plain store does the
 * rest. */
static void
emit_stub_store(struct emitter *e, const struct sse_operands *o, s32 stub)
{
	struct memref m = emit_addr_x(e, o->rm);
	struct uop *u = emit(e, sse_stub[SSE_INT][SSE_RR]);

	u->reg = sse_slot_of(o->reg);
	u->base = TMPB;
	u->imm = stub;
	u = emit(e, m.indexed ? store_x[operand_lg(o->rm)]
			      : store_b[operand_lg(o->rm)]);
	uop_mem(u, m);
	u->reg = TMPB;
}

static bool
emit_stub(struct emitter *e, const struct sse_operands *o)
{
	struct stub_insn si = sse_stub_insn(e, o, mem_kind(e->in->mnemonic));
	bool flags = si.implicit & STUB_OUT_FLAGS;
	enum sse_class class = is_fp(e->in) ? (flags ? SSE_FP_FLAGS : SSE_FP)
					    : (flags ? SSE_INT_FLAGS : SSE_INT);
	const struct sse_forms *hot = hot_forms(e);
	s32 stub = stub_get(&si);
	struct memref m;
	struct uop *u;
	uop_fn fn;

	if (stub < 0)
		return false;
	if (sse_is_mem(o->rm) && sse_writes(o->rm)) {
		emit_stub_store(e, o, stub);
		return true;
	}
	if (hot) {
		emit_forms(e, hot, sse_slot_of(o->reg), o->rm)->imm = stub;
		return true;
	}
	if (sse_is_mem(o->rm)) {
		fn = sse_stub[class][mem_form(e, o->rm)];
		assert(fn);
		m = emit_addr_x(e, o->rm);
		u = emit(e, fn);
		uop_mem(u, m);
	} else {
		u = emit(e, sse_stub[class][SSE_RR]);
		u->base = sse_slot_of(o->rm);
	}
	/* Shifts by an immediate have no ModRM.reg operand. */
	u->reg = o->reg ? sse_slot_of(o->reg) : u->base;
	u->imm = stub;
	return true;
}

bool
emit_sse(struct emitter *e)
{
	struct sse_operands o = sse_operands(e);
	unsigned lg;
	struct memref m;
	struct uop *u;

	switch (e->in->mnemonic) {
	case ZYDIS_MNEMONIC_MOVNTI: /* no XMM register, and no #NM */
		lg = operand_lg(o.rm);
		m = emit_addr_x(e, o.rm);
		u = emit(e, m.indexed ? store_x[lg] : store_b[lg]);
		uop_mem(u, m);
		u->reg = sse_slot_of(o.reg);
		return true;
	case ZYDIS_MNEMONIC_MASKMOVDQU:
		emit_check(e, sse_check);
		emit_helper(e, sse_maskmovdqu, false);
		return true;
	case ZYDIS_MNEMONIC_PMOVMSKB:
		emit_check(e, sse_check);
		u = emit(e, sse_pmovmskb);
		u->reg = sse_slot_of(o.reg);
		u->base = sse_slot_of(o.rm);
		return true;
	default:
		break;
	}
	if (!o.rm)
		return false;
	if (emit_move(e, &o))
		return true;
	emit_check(e, sse_check);
	return emit_shift(e, &o) || emit_stub(e, &o);
}
